//! The list of plates that a camera keeps for the time when the box is away: copied in small steps, told how old it is, and
//! what the camera did with it meanwhile is on record and raises nothing.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use simulators::camera::{Camera, CameraLink, CameraSettings, Capture, Dialect, OutputCommand, Trigger};
use simulators::clock::VirtualClock;
use simulators::faults::Faults;

use crate::alone::Alone;
use crate::boxed::{Broker, Program, Site, gatepost};
use crate::foreign::{IN, cameras, now_ms, plate_message, publish};

const LISTS: &str = r#"
[[lists]]
id = "staff"
kind = "allow"
plates = ["粤B11111", "粤B22222"]
[[lists]]
id = "wanted"
kind = "block"
reason = "managed"
plates = ["粤B99999"]
"#;

#[test]
fn a_camera_is_told_who_may_come_in_without_the_box_and_who_not_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start(folder.path());
    let mut told = list_orders(&broker);
    let mut site = Site::start_by(&with_list(&broker), |file, folder| with_rules(file, folder, LISTS));
    let mut added = Vec::new();
    for _ in 0..2 {
        let order = next(&mut told);
        // Until all of it is there nobody may believe that it is new.
        assert_eq!(site.metric(r#"gatepost_device_list_as_of_seconds{device="cam-entry"}"#), 0);
        let body = &order["payload"]["body"];
        assert_eq!(body["operator_type"], "update_or_add");
        added.push(body["dldb_rec"]["plate"].as_str().unwrap().to_owned());
        let (from, until) = (&body["dldb_rec"]["enable_time"], &body["dldb_rec"]["overdue_time"]);
        assert!(from.as_str().unwrap() < until.as_str().unwrap() && from.as_str().unwrap().len() == 19, "{body}");
        answer(&broker, &order);
    }
    assert_eq!(added, ["粤B11111", "粤B22222"], "who is blocked is on no list");
    let pending = r#"gatepost_device_list_pending{device="cam-entry"}"#;
    // Its age is known too, once all of it is there.
    let as_of = r#"gatepost_device_list_as_of_seconds{device="cam-entry"}"#;
    until(&site, |site| {
        site.metric(r#"gatepost_device_list_plates{device="cam-entry"}"#) == 2
            && site.metric(pending) == 0
            && site.metric(as_of) > 1_700_000_000
    });

    // One has lost the right while the box was off: only that is told, and never a delete without a plate.
    site.daemon.kill();
    let rules = site.folder.path().join("rules.toml");
    let text = std::fs::read_to_string(&rules).unwrap();
    let changed = text.replace("\"粤B11111\", \"粤B22222\"", "\"粤B22222\"").replace("version = 1 ", "version = 2 ");
    assert_ne!(text, changed);
    std::fs::write(&rules, changed).unwrap();
    site.restart();
    let order = next(&mut told);
    assert_eq!(order["payload"]["body"]["operator_type"], "delete");
    assert_eq!(order["payload"]["body"]["plate"], "粤B11111");
    answer(&broker, &order);
    until(&site, |site| {
        site.metric(r#"gatepost_device_list_plates{device="cam-entry"}"#) == 1 && site.metric(pending) == 0
    });

    // What the camera let in by itself meanwhile: on record, and nothing is raised for it.
    let stored = plate_message(IN, "粤B22222", now_ms() - 60_000);
    publish(&broker, &format!("device/{IN}/message/up/ivs_result_offline"), &stored);
    site.until("the stored read is on record", |site| site.metric(r#"gatepost_reads_total{lane="entry-1"}"#) == 1);
    assert_eq!(site.stays_of("粤B22222"), Vec::<String>::new());
    assert_eq!(site.metric(r#"gatepost_raises_sent_total{lane="entry-1"}"#), 0);
    site.daemon.kill();
    let ledger = site.folder.path().join("ledger.db");
    let journal = gatepost().args(["journal", "tail", "--ledger"]).arg(ledger).output().unwrap();
    assert!(String::from_utf8_lossy(&journal.stdout).contains("stored_offline"));
    site.verify().unwrap();
}

/// The answer was lost with the power: the plate may be in the camera, and must not stay there for ever.
#[test]
fn a_plate_that_may_be_in_a_camera_is_taken_out_when_its_right_ends() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start(folder.path());
    let mut told = list_orders(&broker);
    let mut site = Site::start_by(&with_list(&broker), |file, folder| with_rules(file, folder, LISTS));
    assert_eq!(next(&mut told)["payload"]["body"]["dldb_rec"]["plate"], "粤B11111");
    site.daemon.kill();
    let rules = site.folder.path().join("rules.toml");
    let text = std::fs::read_to_string(&rules).unwrap();
    std::fs::write(&rules, text.replace("\"粤B11111\", ", "").replace("version = 1 ", "version = 2 ")).unwrap();
    site.restart();
    let order = next(&mut told);
    assert_eq!(
        (&order["payload"]["body"]["operator_type"], &order["payload"]["body"]["plate"]),
        (&"delete".into(), &"粤B11111".into())
    );
    site.daemon.kill();
}

/// Another protocol, the same list: requests with the camera's answers as they were recorded.
#[test]
fn a_camera_that_is_asked_over_http_has_its_list_too() {
    let camera = Alone::start("hikvision/isapi", "listen://127.0.0.1:0");
    let address = camera.hear("listening on ").replace("listening on ", "");
    let settings = format!(
        r#"
        [[links]]
        id = "posts"
        kind = "http-push"
        listen = "127.0.0.1:0"
        [[devices]]
        id = "cam"
        profile = "hikvision/isapi"
        link = "posts"
        params = {{ name = "in" }}
        address = "{address}"
        username = "box"
        password = "secret"
        whitelist = {{ of = ["rights"], most = 100 }}
        [[lanes]]
        id = "entry-1"
        direction = "entry"
        camera = "cam"
        barrier = {{ device = "cam", output = 0 }}
        "#
    );
    let mut site = Site::start_by(&settings, |file, folder| with_rules(file, folder, LISTS));
    for _ in 0..2 {
        camera.hear("PUT /ISAPI/ITC/Entrance/VCL -> 200");
    }
    let held = r#"gatepost_device_list_plates{device="cam"}"#;
    let pending = r#"gatepost_device_list_pending{device="cam"}"#;
    until(&site, |site| site.metric(held) == 2 && site.metric(pending) == 0);
    site.daemon.kill();
    let rules = site.folder.path().join("rules.toml");
    let text = std::fs::read_to_string(&rules).unwrap();
    std::fs::write(&rules, text.replace("\"粤B11111\", ", "").replace("version = 1 ", "version = 2 ")).unwrap();
    site.restart();
    camera.hear("DELETE /ISAPI/ITC/Entrance/VCL -> 200");
    until(&site, |site| site.metric(held) == 1 && site.metric(pending) == 0);
    site.daemon.kill();
    site.verify().unwrap();
}

/// An independent camera: it takes the list, notices by itself that the box is away, lets in only who stands on it, and says
/// afterwards what it saw. The lane degrades to members only, and the box hears of each vehicle once.
#[test]
fn a_camera_goes_by_its_own_list_while_the_box_is_down_and_the_box_hears_of_it_afterwards() {
    let posts = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let settings = OWN_LIST.replace("POSTS", &posts.to_string());
    let mut site = Site::start_by(&settings, |file, folder| with_rules(file, folder, LISTS));
    let mut camera = OwnList::connect(posts);
    let held = r#"gatepost_device_list_plates{device="cam"}"#;
    let pending = r#"gatepost_device_list_pending{device="cam"}"#;
    until(&site, |site| site.metric(held) == 2 && site.metric(pending) == 0);
    assert!(camera.lets_in("粤B33333"), "a visitor comes in while the box is there");

    site.daemon.kill();
    for (plate, may) in [("粤B11111", true), ("粤B33333", false), ("粤B99999", false), ("粤B22222", true)] {
        assert_eq!(camera.lets_in(plate), may, "{plate} while the box is down");
    }

    site.restart();
    site.until("all of it is on record", |site| site.metric(r#"gatepost_reads_total{lane="entry-1"}"#) == 4);
    assert_eq!(site.metric(r#"gatepost_raises_sent_total{lane="entry-1"}"#), 0, "nothing is raised for what is over");
    assert!(!camera.raises_within(Duration::ZERO));
    site.daemon.kill();
    assert_eq!(stored(&site), ["粤B11111", "粤B33333", "粤B99999", "粤B22222"], "each once and in its turn");
    site.verify().unwrap();
}

/// The same through a broker, which goes down with the box: the camera takes the list with its own answers, and has what it saw
/// ready when the broker is there again.
#[test]
fn a_camera_at_a_broker_goes_by_its_own_list_while_that_is_down_too() {
    let folder = tempfile::tempdir().unwrap();
    let mut broker = Broker::start(folder.path());
    let link = CameraLink::Broker { host: "127.0.0.1".to_owned(), port: broker.port };
    let mut camera = OwnList::connect_as(Dialect::VzenithMqtt, link, IN);
    let mut site = Site::start_by(&with_list(&broker), |file, folder| with_rules(file, folder, LISTS));
    let held = r#"gatepost_device_list_plates{device="cam-entry"}"#;
    let pending = r#"gatepost_device_list_pending{device="cam-entry"}"#;
    until(&site, |site| site.metric(held) == 2 && site.metric(pending) == 0);
    assert!(camera.lets_in("粤B33333"), "a visitor comes in while the box is there");

    broker.kill();
    camera.is_cut_off();
    site.daemon.kill();
    for (plate, may) in [("粤B11111", true), ("粤B33333", false), ("粤B99999", false), ("粤B22222", true)] {
        assert_eq!(camera.lets_in(plate), may, "{plate} while broker and box are down");
    }

    broker.restart();
    site.restart();
    site.until("all of it is on record", |site| stored(site).len() == 4);
    assert_eq!(site.metric(r#"gatepost_raises_sent_total{lane="entry-1"}"#), 0, "nothing is raised for what is over");
    assert!(!camera.raises_within(Duration::ZERO));
    site.daemon.kill();
    assert_eq!(stored(&site), ["粤B11111", "粤B33333", "粤B99999", "粤B22222"], "each once and in its turn");
    site.verify().unwrap();
}

/// The plates of the journal that cameras had stored, in their order.
fn stored(site: &Site) -> Vec<&'static str> {
    let ledger = site.folder.path().join("ledger.db");
    let journal = gatepost().args(["journal", "tail", "--ledger"]).arg(ledger).output().unwrap();
    let journal = String::from_utf8(journal.stdout).unwrap();
    let lines = journal.lines().filter(|line| line.contains("\"stored_offline\":true"));
    let plate =
        |line: &str| ["粤B11111", "粤B22222", "粤B33333", "粤B99999"].into_iter().find(|plate| line.contains(plate));
    lines.map(|line| plate(line).unwrap()).collect()
}

const OWN_LIST: &str = r#"
[[links]]
id = "posts"
kind = "http-push"
listen = "POSTS"
[[devices]]
id = "cam"
profile = "vzenith/r-http"
link = "posts"
params = { sn = "0f823866-d2dc45ab" }
clock_tolerance_s = 86400
whitelist = { of = ["rights"], most = 100 }
[[lanes]]
id = "entry-1"
direction = "entry"
camera = "cam"
barrier = { device = "cam", output = 0, pulse_ms = 500 }
"#;

/// A simulated camera with a list of its own, and the runtime that it lives in.
struct OwnList {
    runtime: tokio::runtime::Runtime,
    camera: Camera,
    arm: tokio::sync::mpsc::Receiver<OutputCommand>,
}

impl OwnList {
    fn connect(posts: SocketAddr) -> Self {
        Self::connect_as(Dialect::VzenithHttp, CameraLink::Posts(posts), "0f823866-d2dc45ab")
    }

    fn connect_as(dialect: Dialect, link: CameraLink, sn: &str) -> Self {
        // Another test may have done it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let settings = CameraSettings {
            dialect,
            link,
            sn: sn.to_owned(),
            keep_alive: Duration::from_secs(5),
            quick_lead: None,
            sends_pictures: false,
            faults: Faults::default(),
            has_wrong_clock: false,
            offline_after: Some(Duration::from_millis(300)),
        };
        let (camera, arm) = runtime.block_on(Camera::connect(settings, VirtualClock::real())).unwrap();
        Self { runtime, camera, arm }
    }

    /// Until it has noticed that its broker is gone.
    fn is_cut_off(&self) {
        self.runtime.block_on(self.camera.is_cut_off()).unwrap();
    }

    /// Whether the arm goes up for a vehicle with this plate.
    fn lets_in(&mut self, plate: &str) -> bool {
        let (plate, trigger) = (plate.to_owned(), Trigger::VirtualLoop);
        let capture = Capture { plate, at_ms: i64::try_from(now_ms()).unwrap(), confidence: 97, trigger };
        assert!(self.runtime.block_on(self.camera.report(&capture)).unwrap().is_said);
        self.raises_within(Duration::from_millis(500))
    }

    fn raises_within(&mut self, patience: Duration) -> bool {
        let next = async { tokio::time::timeout(patience, self.arm.recv()).await };
        self.runtime.block_on(next).is_ok_and(|command| command.is_some_and(|command| command.raises()))
    }
}

fn with_list(broker: &Broker) -> String {
    let list = "clock_tolerance_s = 86400\nwhitelist = { of = [\"members\", \"rights\"], most = 100 }";
    cameras(broker).replacen("clock_tolerance_s = 86400", list, 1)
}

/// The daemon with more rules than the shipped ones.
fn with_rules(settings: &std::path::Path, folder: &std::path::Path, more: &str) -> Command {
    let rules = folder.join("rules.toml");
    let text = std::fs::read_to_string(&rules).unwrap();
    std::fs::write(&rules, text + more).unwrap();
    let mut command = gatepost();
    command.arg("run").arg("--config").arg(settings);
    command
}

/// Hears every order for a camera's list.
fn list_orders(broker: &Broker) -> Program {
    let mut command = Command::new("stdbuf");
    command.args(["-oL", "mosquitto_sub", "-h", "127.0.0.1", "-p", &broker.port.to_string(), "-q", "1", "-d"]);
    command.args(["-t", "device/+/message/down/white_list_operator"]);
    let mut heard = Program::start("mosquitto_sub", &mut command);
    heard.hear("Subscribed");
    heard
}

fn next(told: &mut Program) -> Value {
    serde_json::from_str(&told.hear("white_list_operator\",\"version")).unwrap()
}

fn answer(broker: &Broker, order: &Value) {
    let reply =
        serde_json::json!({"code": 200, "id": order["id"], "name": "white_list_operator", "sn": IN, "payload": null});
    publish(broker, &format!("device/{IN}/message/down/white_list_operator/reply"), &reply.to_string());
}

fn until(site: &Site, is_so: impl Fn(&Site) -> bool) {
    let end = std::time::Instant::now() + crate::boxed::PATIENCE;
    while !is_so(site) {
        assert!(std::time::Instant::now() < end, "it never came");
        std::thread::yield_now();
    }
}
