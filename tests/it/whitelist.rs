//! The list of plates that a camera keeps for the time when the box is away: copied in small steps, told how old it is, and
//! what the camera did with it meanwhile is on record and raises nothing.

use std::process::Command;

use serde_json::Value;

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
