//! Lanes with two cameras, front and rear: one vehicle that both read is one arrival, and each camera alone will do.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gatepost::domain::event::{ArmPosition, DeviceId, Input, LaneId, PlateRead, VehicleSign};
use gatepost::domain::lane::{Direction, LaneSettings, PassedBy};
use gatepost::domain::plate::told::{End, Told};
use serde_json::{Value, json};
use simulators::photo::take;

use crate::boxed::{Broker, Site};
use crate::foreign::{IN, cameras, commands, now_ms, pass, plate, plate_message, publish, raise_of};
use crate::story::Story;

/// The camera behind the vehicles of the entry.
const REAR: &str = "265e1040-85e01fb9";

#[test]
fn two_cameras_on_a_real_broker_make_one_arrival_and_keep_the_pictures_of_both() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start(folder.path());
    let mut commands = commands(&broker);
    let mut site = Site::start(&format!("[photos]\nmin_free_mb = 0\n{}", two_at_the_entry(&broker)));
    site.daemon.hear("connected to the broker");

    // Both cameras give their event the same number; the rear one reads an 8 for the 3.
    let at = now_ms();
    with_pictures(&broker, IN, "粤B12345", at);
    commands.hear(&raise_of(IN));
    with_pictures(&broker, REAR, "粤B12845", at);
    site.until("the pictures of both are kept", |site| site.metric("gatepost_photos_kept_total") == 4);
    let page = |site: &Site| crate::boxed::request(site.address, "GET", "/", &[], "").unwrap().body;
    site.until("the page shows those of both", |site| page(site).matches("\"/console/photos/").count() == 4);
    assert!(page(&site).contains("前置相机") && page(&site).contains("后置相机"), "{}", page(&site));
    pass(&broker, IN);
    site.daemon.hear("a vehicle is inside");

    // It is read once more from behind while it drives off, and the next one by the rear camera alone.
    plate(&broker, REAR, "粤B12845", at + 1);
    plate(&broker, REAR, "粤B98765", at + 2);
    commands.hear(&raise_of(IN));
    pass(&broker, IN);
    site.daemon.hear("a vehicle is inside");
    let books = site.books();
    let inside: Vec<&str> =
        books["stays"].as_array().unwrap().iter().filter_map(|stay| stay["plate"].as_str()).collect();
    assert_eq!((inside.len(), books["raises"].as_array().unwrap().len()), (2, 2), "{books}");
    assert!(inside.contains(&"粤B98765"), "{inside:?}");

    // The rear camera falls silent, and the front one goes on.
    site.until("staff hear it", |site| page(site).contains("plates are read from the front alone"));
    plate(&broker, IN, "粤B55555", now_ms());
    commands.hear(&raise_of(IN));
    site.daemon.kill();
    let photos = site.folder.path().join("photos");
    let right = site.verify_with(&["--photos", photos.to_str().unwrap()]).unwrap();
    assert!(right.contains("4 pictures are what the journal says, 0 are gone"), "{right}");
}

#[test]
fn what_either_camera_says_of_a_vehicle_is_known_to_be_of_it_while_it_is_served() {
    for has_loop in [false, true] {
        let mut story = bare("in", Direction::Entry, PassedBy::PassageLoop);
        if has_loop {
            story = Story::new();
            two_cameras(&mut story, "in");
            story.arrival("in", true);
        }
        assert_eq!(story.read("in", "粤B12345"), 1);
        for plate in ["粤B12845", "粤B12345"] {
            assert_eq!(rear(&mut story, plate), 0, "the same vehicle from behind");
        }
        let said = story.rows("SELECT event FROM plate_read WHERE device = 'rear' ORDER BY seq");
        let state = story.rows("SELECT state ->> '$.phase.visit' FROM lane WHERE lane = 'in'").concat();
        let times_known = |event: &String| state.matches(&format!("{event:?}")).count();
        assert_eq!(said.iter().map(times_known).collect::<Vec<_>>(), [1, 1], "{has_loop}, {said:?}: {state}");
    }
}

/// Its picture is the only one of that end. Where that end has been read, it may be of the vehicle behind.
#[test]
fn what_the_rear_camera_could_not_read_is_known_to_be_of_the_vehicle_that_is_served() {
    for (front, rear_before, is_known) in
        [("", None, true), ("粤B12345", None, true), ("粤B12345", Some("粤B12345"), false)]
    {
        let mut story = Story::new();
        two_cameras(&mut story, "in");
        story.arrival("in", true);
        assert_eq!(story.read("in", front), usize::from(!front.is_empty()));
        assert!(rear_before.is_none_or(|plate| rear(&mut story, plate) == 0));
        assert_eq!(rear(&mut story, ""), 0);
        let unread =
            story.rows("SELECT event FROM plate_read WHERE device = 'rear' ORDER BY seq DESC LIMIT 1").concat();
        let known = story.rows("SELECT coalesce(state ->> '$.phase.visit.events', '-') FROM lane WHERE lane = 'in'");
        let expected = if is_known { format!("[{unread:?}]") } else { "-".to_owned() };
        assert_eq!(known, [expected], "{front:?} {rear_before:?}");
    }
}

#[test]
fn a_rear_camera_that_reads_a_plate_a_little_otherwise_brings_no_second_vehicle() {
    for on_passage in [false, true] {
        let mut story = bare("in", Direction::Entry, PassedBy::PassageLoop);
        assert_eq!(story.read("in", "粤B12345"), 1);
        if on_passage {
            story.passage("in", true);
        }
        for _ in 0..2 {
            assert_eq!(rear(&mut story, "粤B12845"), 0, "the same vehicle from behind");
            let behind = story.rows("SELECT coalesce(state ->> '$.next.event', '-') FROM lane WHERE lane = 'in'");
            assert_eq!(behind, ["-"], "nobody stands behind it");
        }
        story.passage("in", true);
        story.passage("in", false);
        assert_eq!((story.phase("in").as_str(), story.commands.len()), ("idle", 1));
        assert_eq!(story.rows("SELECT outcome FROM plate_read"), ["taken", "same_vehicle", "same_vehicle"]);
        // Its sister, right behind it: what the front camera itself reads otherwise is another vehicle.
        assert_eq!(story.read("in", "粤B12346"), 1);
    }
}

#[test]
fn the_front_camera_reads_the_sister_behind_as_another_vehicle() {
    let mut story = bare("in", Direction::Entry, PassedBy::PassageLoop);
    assert_eq!(story.read("in", "粤B12345"), 1);
    assert_eq!(story.read("in", "粤B12346"), 0, "it stands behind");
    story.passage("in", true);
    story.passage("in", false);
    assert_eq!((story.phase("in").as_str(), story.commands.len()), ("raised", 2), "its turn");
}

#[test]
fn a_vehicle_that_drives_off_is_read_from_behind_and_starts_nothing() {
    for read_as in ["粤B12845", ""] {
        let mut story = bare("in", Direction::Entry, PassedBy::PassageLoop);
        assert_eq!(story.read("in", "粤B12345"), 1);
        story.passage("in", true);
        story.passage("in", false);
        assert_eq!(rear(&mut story, read_as), 0, "{read_as:?}");
        assert_eq!(story.phase("in"), "idle", "{read_as:?}");
        // Once: what it then reads is the next vehicle.
        assert_eq!(rear(&mut story, "粤B12847"), 1, "{read_as:?}");
    }
}

#[test]
fn a_vehicle_that_waits_to_pay_is_not_driven_away_by_a_dirty_plate_behind() {
    let mut story = Story::new();
    two_cameras(&mut story, "out");
    story.enter("in", "粤B12345");
    story.minutes(61);
    story.arrival("out", true);
    assert_eq!(story.read("out", "粤B12345"), 0, "it owes");
    let due = "SELECT coalesce(state ->> '$.phase.due', '-') || '' FROM lane WHERE lane = 'out'";
    let owes = story.rows(due);
    assert_eq!(rear_at(&mut story, "out", "粤C77777"), 0, "the trailer's own plate");
    assert_eq!((story.phase("out").as_str(), story.rows(due)), ("waiting", owes.clone()));

    // Where the front camera is away, nobody else can have read the next vehicle.
    story.feed(Input::DeviceLost { device: "camera-out".into(), why: "its link is down".to_owned() });
    assert_eq!(
        story.rows("SELECT text FROM alarm WHERE code = 'device_lost'"),
        ["camera-out is away: at out plates are read from the rear alone"]
    );
    rear_at(&mut story, "out", "粤C77778");
    assert_ne!(story.rows(due), owes);
    story.feed(Input::DeviceLost { device: "rear".into(), why: "its link is down".to_owned() });
    let told = story.rows("SELECT text FROM alarm WHERE code = 'device_lost' ORDER BY seq");
    assert_eq!(told[1], "rear is away: at out plates are not read");
}

#[test]
fn a_rear_camera_outvotes_the_first_without_an_arrival_loop() {
    let mut story = bare("out-bare", Direction::Exit, PassedBy::Camera);
    story.enter("in", "粤B12345");
    story.enter("in", "粤B12B45");
    story.minutes(5);
    assert_eq!(story.read("out-bare", "粤B12845"), 0, "a 3 read as an 8, or a B");
    assert_eq!(rear_at(&mut story, "out-bare", "粤B12345"), 1);
    // Both reads are taken, the second beside the first: one arrival, which was undecided until then.
    let taken = "SELECT (r.value ->> '$.read.device') || ' ' || coalesce(r.value ->> '$.read.earlier[0].plate', '-') \
                 FROM journal, json_each(CAST(body AS TEXT), '$.records') r WHERE r.value ->> '$.outcome' = 'taken' \
                 AND r.value ->> '$.read.lane' = 'out-bare'";
    assert_eq!(story.rows(taken), ["camera-out-bare -", "rear 粤B12845"]);
    story.sign("out-bare", VehicleSign::Passed);
    assert_eq!(story.stays(), ["粤B12345 closed 0 0 0", "粤B12B45 open - 0 0"]);
}

#[test]
fn devices_that_are_away_are_told_with_what_the_lane_lacks() {
    let mut story = Story::new();
    change(&mut story, "in", |lane| {
        let gear = &mut lane.gear;
        gear.switches = [DeviceId::from("switches")].into();
        (gear.reader, gear.display, gear.speaker) =
            (Some("reader".into()), Some("screen".into()), Some("voice".into()));
    });
    for device in ["switches", "reader", "screen", "voice", "printer"] {
        story.feed(Input::DeviceLost { device: device.into(), why: "its link is down".to_owned() });
    }
    let lacks = [
        "switches is away: at in the arm is not seen",
        "reader is away: at in cards are not read",
        "screen is away: at in drivers are shown nothing",
        "voice is away: at in drivers are told nothing",
    ];
    assert_eq!(story.rows("SELECT text FROM alarm WHERE code = 'device_lost' ORDER BY seq"), lacks);
}

#[test]
fn a_switch_whose_device_is_away_misses_no_arm() {
    for is_away in [false, true] {
        let mut story = Story::new();
        change(&mut story, "in", |lane| lane.gear.switches = [DeviceId::from("switches")].into());
        story.feed(Input::BarrierMoved { lane: "in".into(), position: ArmPosition::Down });
        story.arrival("in", true);
        assert_eq!(story.read("in", "粤B12345"), 1);
        if is_away {
            story.feed(Input::DeviceLost { device: "switches".into(), why: "its link is down".to_owned() });
        }
        story.seconds(9);
        assert_eq!(story.alarms(), [if is_away { "device_lost" } else { "arm_not_seen_up" }]);
    }
}

/// The entry has a second camera, which counts as away when it has said nothing for two seconds.
fn two_at_the_entry(broker: &Broker) -> String {
    let settings = cameras(broker);
    let camera = "camera = \"cam-entry\"\n";
    assert!(settings.contains(camera), "{settings}");
    let rear = format!(
        "[[devices]]\nid = \"cam-rear\"\nprofile = \"vzenith/r-mqtt\"\nlink = \"broker\"\n\
         params = {{ sn = \"{REAR}\" }}\nclock_tolerance_s = 86400\nsilent_ms = 2000\n"
    );
    settings.replacen(camera, &format!("{camera}rear_camera = \"cam-rear\"\n"), 1) + &rear
}

fn with_pictures(broker: &Broker, camera: &str, plate: &str, at: u64) {
    let mut message: Value = serde_json::from_str(&plate_message(camera, plate, at)).unwrap();
    let result = &mut message["payload"]["AlarmInfoPlate"]["result"]["PlateResult"];
    let pictures = take(plate);
    result["unique_id"] = json!("1");
    result["full_image_content"] = json!(STANDARD.encode(&pictures.scene));
    result["small_image_content"] = json!(STANDARD.encode(&pictures.plate));
    publish(broker, &format!("device/{camera}/message/up/ivs_result"), &message.to_string());
}

/// A lane with two cameras and without an arrival loop.
fn bare(lane: &str, direction: Direction, passed_by: PassedBy) -> Story {
    let mut story = Story::new();
    change(&mut story, lane, |settings| {
        *settings = LaneSettings { passed_by, ..LaneSettings::plain(direction) };
    });
    two_cameras(&mut story, lane);
    story
}

fn two_cameras(story: &mut Story, lane: &str) {
    let front = format!("camera-{lane}");
    change(story, lane, |settings| {
        (settings.gear.camera, settings.gear.rear_camera) = (Some(front.as_str().into()), Some("rear".into()));
    });
}

fn change(story: &mut Story, lane: &str, change: impl Fn(&mut LaneSettings)) {
    change(story.lanes.get_mut(&LaneId::from(lane)).unwrap());
    story.restart();
}

/// The rear camera of the entry says something new; how many raises followed.
fn rear(story: &mut Story, plate: &str) -> usize {
    rear_at(story, "in", plate)
}

fn rear_at(story: &mut Story, lane: &str, plate: &str) -> usize {
    let statement = story.statement(lane, plate);
    let told = Told { end: End::Rear, ..Told::default() };
    let event = format!("rear {}", statement.event);
    story.feed(Input::PlateRead(PlateRead { device: "rear".into(), event, told, ..statement })).0
}
