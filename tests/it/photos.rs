//! Pictures of arrivals from a real broker to the page, the person with a PIN, and the proof; and a disk without room.

use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gatepost::domain::event::{Input, PhotoHashes};
use serde_json::{Value, json};
use simulators::photo::{Pictures, take};

use crate::boxed::{Broker, Site, gatepost};
use crate::foreign::{IN, cameras, commands, now_ms, pass, plate_message, publish, raise_of};
use crate::story::Story;

const PLATE: &str = "粤B12345";

#[test]
fn the_pictures_of_an_arrival_are_kept_shown_and_proved() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start(folder.path());
    let mut commands = commands(&broker);
    let mut site = Site::start(&format!("[photos]\nmin_free_mb = 0\n{}", cameras(&broker)));
    site.daemon.hear("connected to the broker");

    // The quick result raises; the full one brings the pictures and raises nothing.
    let at = now_ms();
    publish(&broker, &format!("device/{IN}/message/up/quick_ivs_result"), &plate_message(IN, PLATE, at));
    commands.hear(&raise_of(IN));
    arrive(&broker, at, &take(PLATE));
    site.until("both pictures are kept", |site| site.metric("gatepost_photos_kept_total") == 2);
    site.until("the page shows them", |site| names_on_the_page(site).len() == 2);
    let names = names_on_the_page(&site);
    let scene = names.iter().find(|name| name.contains("-s-")).unwrap();

    let pin = ["-H", "Gatepost-Operator: guard", "-H", "Gatepost-Pin: 4711"];
    assert_eq!(get(&site, &[], &format!("/console/photos/{scene}")), (200, "image/jpeg".to_owned()));
    assert_eq!(get(&site, &pin, &format!("/api/v1/staff/photos/{scene}")), (200, "image/jpeg".to_owned()));
    site.daemon.hear("a picture was looked at");
    assert_eq!(get(&site, &[], &format!("/api/v1/staff/photos/{scene}")).0, 401);
    for way_out in ["../../ledger.db", "..%2f..%2fledger.db", "%2e%2e%2f%2e%2e%2fetc%2fpasswd", "....//ledger.db"] {
        assert_eq!(get(&site, &pin, &format!("/api/v1/staff/photos/{way_out}")).0, 404, "{way_out}");
        assert_eq!(get(&site, &[], &format!("/console/photos/{way_out}")).0, 404, "{way_out}");
    }
    pass(&broker, IN);
    site.daemon.hear("a vehicle is inside");
    assert_eq!(get(&site, &[], &format!("/console/photos/{scene}")).0, 404, "the vehicle has gone");
    assert_eq!(get(&site, &pin, &format!("/api/v1/staff/photos/{scene}")).0, 200);
    assert_eq!(site.books()["raises"].as_array().unwrap().len(), 1);

    site.daemon.kill();
    let photos = site.folder.path().join("photos");
    let verify = |site: &Site| site.verify_with(&["--photos", photos.to_str().unwrap()]);
    let right = verify(&site).unwrap();
    assert!(right.contains("2 pictures are what the journal says, 0 are gone"), "{right}");
    let file = photos.join(&scene[..8]).join(format!("{}.jpg", &scene[9..]));
    let mut bytes = std::fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let wrong = verify(&site).unwrap_err();
    assert!(wrong.contains(&format!("the picture {scene} is not what the camera sent")), "{wrong}");
    site.verify().unwrap();
}

/// The pictures' disk is a small one of its own, and somebody else has filled it.
#[test]
fn a_disk_without_room_costs_pictures_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start(folder.path());
    let mut commands = commands(&broker);
    let settings = format!("[photos]\ndirectory = \"{{folder}}/disk\"\nmin_free_mb = 0\n{}", cameras(&broker));
    let mut site = Site::start_by(&settings, |file, folder| on_a_full_disk(&folder.join("disk"), file));
    site.daemon.hear("connected to the broker");
    for car in 0..3 {
        arrive(&broker, now_ms() + car, &take(PLATE));
        if car == 0 {
            commands.hear(&raise_of(IN));
        }
    }
    pass(&broker, IN);
    site.daemon.hear("a vehicle is inside");
    let no_room = r#"gatepost_rejections_total{room="photos",reason="photo-no-room"}"#;
    site.until("the pictures are counted", |site| site.metric(no_room) > 0);
    assert_eq!(site.metric("gatepost_photos_kept_total"), 0);
    assert_eq!(site.stays_of(PLATE), ["open"]);
    site.daemon.kill();
    site.verify().unwrap();
    let text = site.verify_with(&["--photos", folder.path().to_str().unwrap()]).unwrap();
    assert!(text.contains("0 pictures are what the journal says"), "{text}");
}

#[test]
fn pictures_that_come_after_the_decision_are_in_the_journal_and_decide_nothing() {
    let mut story = Story::new();
    story.arrival("in", true);
    let quick = story.statement("in", PLATE);
    let hashes = PhotoHashes { scene: Some("5a".repeat(32)), plate: None };
    let full = gatepost::domain::event::PlateRead { photos: Some(hashes), ..quick.clone() };
    assert_eq!(story.feed(Input::PlateRead(quick.clone())).0, 1);
    let (phase, outcome) = (story.phase("in"), story.rows("SELECT outcome FROM plate_read"));
    assert_eq!(story.feed(Input::PlateRead(full)).0, 0);
    assert_eq!((story.phase("in"), story.rows("SELECT outcome FROM plate_read")), (phase, outcome));
    let entries = || story.rows("SELECT CAST(body AS TEXT) FROM journal");
    let named = entries().iter().filter(|body| body.contains(&"5a".repeat(32))).count();
    assert_eq!(named, 1, "in one entry");
    let before = entries().len();
    story.feed(Input::PlateRead(quick));
    assert_eq!(story.rows("SELECT CAST(body AS TEXT) FROM journal").len(), before, "a repeat without any is no entry");
}

fn arrive(broker: &Broker, at: u64, pictures: &Pictures) {
    let mut message: Value = serde_json::from_str(&plate_message(IN, PLATE, at)).unwrap();
    let result = &mut message["payload"]["AlarmInfoPlate"]["result"]["PlateResult"];
    result["full_image_content"] = json!(STANDARD.encode(&pictures.scene));
    result["small_image_content"] = json!(STANDARD.encode(&pictures.plate));
    publish(broker, &format!("device/{IN}/message/up/ivs_result"), &message.to_string());
}

fn names_on_the_page(site: &Site) -> Vec<String> {
    let page = crate::boxed::request(site.address, "GET", "/", &[], "").unwrap().body;
    let names = page.split("/console/photos/").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned());
    names.collect()
}

/// The status and the type of an answer.
fn get(site: &Site, args: &[&str], path: &str) -> (u16, String) {
    let mut command = Command::new("curl");
    command.args(["-sS", "--path-as-is", "--max-time", "30", "-o", "/dev/null", "-w", "%{http_code} %{content_type}"]);
    let answer = command.args(args).arg(format!("http://{}{path}", site.address)).output();
    let answer = answer.expect("curl is installed by ./test");
    assert!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
    let text = String::from_utf8(answer.stdout).unwrap();
    let (status, kind) = text.split_once(' ').unwrap();
    (status.parse().unwrap(), kind.to_owned())
}

/// A file system in memory that only the daemon sees; 60 of its 64 kB are taken.
fn on_a_full_disk(disk: &Path, settings: &Path) -> Command {
    std::fs::create_dir(disk).unwrap();
    let script = "mount -t tmpfs -o size=64k,mode=0700 none \"$1\" && head -c 61440 /dev/zero > \"$1/other\" && \
                  exec \"$2\" run --config \"$3\"";
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]).arg(disk);
    command.arg(gatepost().get_program()).arg(settings);
    command
}
