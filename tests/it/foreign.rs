//! The daemon among programs that nobody here wrote: mosquitto as the broker and the camera, a public Modbus library as
//! the relay board, curl as the till.

use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::boxed::{Broker, PATIENCE, Program, Site, root};

pub const IN: &str = "265e1040-85e01fb7";
pub const OUT: &str = "265e1040-85e01fb8";

#[test]
fn a_stay_from_plate_to_payment_with_mosquitto_and_curl() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start(folder.path());
    let mut commands = commands(&broker);
    let mut site = Site::start(&cameras(&broker));
    site.daemon.hear("connected to the broker");

    // It came two hours ago, as its camera says: four half hours at five yuan are due.
    plate(&broker, IN, "粤B12345", now_ms() - 7_199_000);
    commands.hear(&raise_of(IN));
    pass(&broker, IN);
    site.daemon.hear("a vehicle is inside");
    plate(&broker, OUT, "粤B12345", now_ms());
    site.until("the car stands at the exit", |site| site.stays_of("粤B12345") == ["pending_exit"]);

    let (status, problem) = till(&site, None, "member-lookups", &json!({"code": "GPM1001"}));
    assert_eq!((status, &problem["code"]), (400, &json!("idempotency-key-missing")));
    let (status, problem) = till(&site, Some("l-1"), "member-lookups", &json!({"code": "GPM1001"}));
    assert_eq!((status, &problem["code"]), (404, &json!("member-unknown")));
    let (status, quote) = till(&site, Some("q-1"), "quotes", &json!({"plate": "粤B12345"}));
    assert_eq!((status, &quote["due_fen"]), (200, &json!(2000)), "{quote}");

    let body = |fen| json!({"receipt_no": "A-17", "stay": quote["stay"], "tenders": [{"kind": "cash", "fen": fen}]});
    let (status, paid) = till(&site, Some("t-1"), "transactions", &body(2000));
    assert_eq!((status, &paid["stay"]["due_fen"]), (200, &json!(0)), "{paid}");
    commands.hear(&raise_of(OUT));
    let (status, again) = till(&site, Some("t-1"), "transactions", &body(2000));
    assert_eq!((status, &again), (200, &paid), "the same key gets the same answer");
    let (status, problem) = till(&site, Some("t-1"), "transactions", &body(1999));
    assert_eq!((status, &problem["code"]), (422, &json!("idempotency-key-reused")));
    let query =
        curl(&site, &["-H", "Authorization: Bearer secret", "-H", "Gatepost-Terminal: till-1"], "operations/t-1");
    assert_eq!((query.0, &query.1["status"], &query.1["answer"]), (200, &json!("applied"), &paid));

    pass(&broker, OUT);
    site.daemon.hear("a vehicle has left");
    assert_eq!(site.stays_of("粤B12345"), ["closed"]);
    assert_eq!(site.books()["payments"].as_array().unwrap().len(), 1);
    assert_eq!(site.metric(r#"gatepost_rejections_total{room="tills",reason="idempotency-key-missing"}"#), 1);
    site.daemon.kill();
    site.verify().unwrap();
}

#[test]
fn a_passage_over_a_relay_board_that_a_public_modbus_library_plays() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start(folder.path());
    let mut line = SerialLine::start(folder.path());
    let mut board = line.board();
    let mut site = Site::start(&relays(&broker, &line));
    site.daemon.hear("connected to the broker");

    drive_through(&mut site, &broker, &mut board, "粤B12345");

    // A checksum that is wrong once, and noise between the frames: named, counted, and the lane works on.
    board.tell("spoil");
    board.hear("spoilt");
    board.tell("noise");
    board.hear("noisy");
    drive_through(&mut site, &broker, &mut board, "粤B12346");
    assert_eq!(site.metric(r#"gatepost_rejections_total{room="devices",reason="wrong-checksum"}"#), 1);

    // The line is torn out and put back.
    line.tear_out();
    site.daemon.hear("the port is not there; trying again");
    drop(board);
    line.put_back();
    let mut board = line.board();
    site.daemon.hear("the port is open");
    drive_through(&mut site, &broker, &mut board, "粤B12347");
    site.daemon.kill();
    site.verify().unwrap();
}

#[test]
fn what_makes_no_sense_is_named_and_the_lane_works_on() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start(folder.path());
    let mut commands = commands(&broker);
    let mut site = Site::start(&cameras(&broker));
    site.daemon.hear("connected to the broker");

    let result = format!("device/{IN}/message/up/ivs_result");
    let no_plate_field = r#"{"sn":"x","payload":{"AlarmInfoPlate":{"result":{"PlateResult":{"start_time":1}}}}}"#;
    publish(&broker, &result, r#"{"id":"iUA4fO7yCGr"#);
    publish(&broker, &result, no_plate_field);
    publish(&broker, &format!("device/{IN}/message/up/never_heard_of"), "{}");
    publish(&broker, "device/00000000-00000000/message/up/ivs_result", "{}");
    // In order on one link: when this car is served, all of the above was heard.
    plate(&broker, IN, "停车场入口", now_ms());
    let page = |site: &Site| crate::boxed::request(site.address, "GET", "/", &[], "").unwrap().body;
    site.until("staff see a vehicle", |site| page(site).contains("看不清车牌"));
    plate(&broker, IN, "粤B12345", now_ms());
    commands.hear(&raise_of(IN));
    for reason in ["malformed", "missing-field", "not-a-plate", "unknown-topic", "unknown-device"] {
        let name = format!(r#"gatepost_rejections_total{{room="devices",reason="{reason}"}}"#);
        assert_eq!(site.metric(&name), 1, "{reason}");
    }
    pass(&broker, IN);
    site.daemon.hear("a vehicle is inside");
    assert_eq!(site.stays_of("粤B12345"), ["open"]);
}

#[test]
fn a_broker_that_dies_and_comes_back_is_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut broker = Broker::start(folder.path());
    let mut site = Site::start(&cameras(&broker));
    site.daemon.hear("connected to the broker");
    for (round, car) in ["粤B12345", "粤B12346", "粤B12347"].into_iter().enumerate() {
        if round > 0 {
            broker.kill();
            site.daemon.hear("the broker is not reachable");
            broker.restart();
            site.daemon.hear("connected to the broker");
        }
        let mut commands = commands(&broker);
        plate(&broker, IN, car, now_ms());
        commands.hear(&raise_of(IN));
        pass(&broker, IN);
        site.daemon.hear("a vehicle is inside");
        assert_eq!(site.stays_of(car), ["open"]);
    }
}

fn drive_through(site: &mut Site, broker: &Broker, board: &mut Program, car: &str) {
    board.tell("input 0 on");
    // The line may be open before the board answers on it, and what does not answer is not told to raise.
    board.tell("show");
    board.hear("shown");
    plate(broker, IN, car, now_ms());
    // Relay 0, word 1 is "flash", word 2 the length in tenths of a second.
    board.hear("write 3 4 5");
    board.tell("input 1 on");
    board.tell("input 0 off");
    // A loop that is free again before it was asked was never taken.
    board.tell("show");
    board.hear("shown");
    board.tell("input 1 off");
    site.daemon.hear("a vehicle is inside");
    assert_eq!(site.stays_of(car), ["open"]);
}

/// A pair of pseudo-terminals, joined by socat.
struct SerialLine {
    box_end: String,
    board_end: String,
    socat: Program,
}

impl SerialLine {
    fn start(folder: &Path) -> Self {
        let end = |name| folder.join(name).display().to_string();
        let (box_end, board_end) = (end("box"), end("board"));
        let socat = join(&box_end, &board_end);
        Self { box_end, board_end, socat }
    }

    fn board(&self) -> Program {
        let python = root().join("target/python/bin/python");
        let script = root().join("tests/it/relay_board.py");
        let mut board = Program::start("pymodbus", Command::new(python).arg(script).arg(&self.board_end));
        board.hear("ready");
        board
    }

    fn tear_out(&mut self) {
        self.socat.kill();
        // A killed socat leaves its links behind.
        std::fs::remove_file(&self.box_end).unwrap();
        std::fs::remove_file(&self.board_end).unwrap();
    }

    fn put_back(&mut self) {
        self.socat = join(&self.box_end, &self.board_end);
    }
}

/// Two pseudo-terminals, joined by socat.
pub fn join(one: &str, other: &str) -> Program {
    let end = |path: &str| format!("pty,rawer,link={path}");
    let mut socat = Program::start("socat", Command::new("socat").args(["-d", "-d", &end(one), &end(other)]));
    socat.hear("starting data transfer loop");
    socat
}

/// Hears every command to every camera.
pub fn commands(broker: &Broker) -> Program {
    // Into a pipe it would keep its lines until it has many.
    let mut command = Command::new("stdbuf");
    command.args(["-oL", "mosquitto_sub", "-h", "127.0.0.1", "-p", &broker.port.to_string(), "-q", "1", "-d", "-v"]);
    command.args(["-t", "device/+/message/down/gpio_out"]);
    let mut heard = Program::start("mosquitto_sub", &mut command);
    heard.hear("Subscribed");
    heard
}

pub fn raise_of(camera: &str) -> String {
    format!("device/{camera}/message/down/gpio_out {{")
}

pub fn publish(broker: &Broker, topic: &str, body: &str) {
    let port = broker.port.to_string();
    let mut command = Command::new("mosquitto_pub");
    command.args(["-h", "127.0.0.1", "-p", &port, "-q", "1", "-t", topic, "-m", body]);
    let sent = command.output().expect("mosquitto-clients are installed by ./test");
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
}

pub fn plate(broker: &Broker, camera: &str, plate: &str, at_ms: u64) {
    let topic = format!("device/{camera}/message/up/ivs_result");
    publish(broker, &topic, &plate_message(camera, plate, at_ms));
}

/// A full result of a camera, in the layout of its maker's document.
pub fn plate_message(camera: &str, license: &str, at_ms: u64) -> String {
    let license = STANDARD.encode(license);
    let place = json!({"left": 954, "top": 502, "right": 1109, "bottom": 555});
    let result = json!({
        "license": license, "license_ext_type": 0, "colorType": 1, "type": 1, "confidence": 98, "direction": 4,
        "triggerType": 8, "isoffline": 0, "is_encrypted": 0, "is_fake_plate": 0, "plateid": 594_785,
        "start_time": at_ms, "unique_id": format!("{camera}_{at_ms}"), "location": {"RECT": place},
        "plates": [{"license": license, "color": 1, "type": 1, "plate_width": 155, "is_danger": -1, "pos": place}],
        "timeStamp": {"Timeval": {"sec": at_ms / 1000, "usec": at_ms % 1000 * 1000}},
    });
    json!({
        "id": "iUA4fO7yCGrHZO2C", "bv": 12378, "sn": camera, "name": "ivs_result", "version": "1.0",
        "timestamp": at_ms / 1000,
        "payload": {"AlarmInfoPlate": {
            "channel": 0, "deviceName": "SU4tMQ==", "ipaddr": "192.168.6.94", "serialno": camera, "user_data": "",
            "rule_id": 1, "result": {"PlateResult": result},
        }},
    })
    .to_string()
}

/// Over the passage loop, which is the camera's input 1.
pub fn pass(broker: &Broker, camera: &str) {
    for level in [1, 0] {
        publish(broker, &format!("device/{camera}/message/up/gpio_in"), &gpio_message(camera, 1, level));
    }
}

/// An input of a camera changed.
pub fn gpio_message(camera: &str, input: u16, level: u8) -> String {
    let trigger = json!({"source": input, "value": level});
    let body = json!({"AlarmGioIn": {"deviceName": "IVS", "serialno": camera, "result": {"TriggerResult": trigger}}});
    json!({"id": "b1", "bv": 12378, "sn": camera, "name": "gpio_in", "version": "1.0", "timestamp": 1_621_927_036,
        "payload": {"body": body}})
    .to_string()
}

fn till(site: &Site, key: Option<&str>, request: &str, body: &Value) -> (u16, Value) {
    let body = body.to_string();
    let mut args = vec!["-H", "Authorization: Bearer secret", "-H", "Gatepost-Terminal: till-1"];
    let key = key.map(|key| format!("Idempotency-Key: {key}"));
    if let Some(key) = &key {
        args.extend(["-H", key]);
    }
    args.extend(["-H", "Content-Type: application/json", "--data", &body]);
    curl(site, &args, request)
}

fn curl(site: &Site, args: &[&str], request: &str) -> (u16, Value) {
    let mut command = Command::new("curl");
    command.args(["-sS", "--max-time", &PATIENCE.as_secs().to_string(), "-w", "\n%{content_type}\n%{http_code}"]);
    let answer = command.args(args).arg(format!("http://{}/api/v1/{request}", site.address)).output();
    let answer = answer.expect("curl is installed by ./test");
    assert!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
    let text = String::from_utf8(answer.stdout).unwrap();
    let mut lines = text.rsplitn(3, '\n');
    let status: u16 = lines.next().unwrap().parse().unwrap();
    let kind = lines.next().unwrap();
    assert_eq!(kind, if status < 400 { "application/json" } else { "application/problem+json" });
    (status, serde_json::from_str(lines.next().unwrap()).unwrap())
}

/// A camera's clock.
#[allow(clippy::disallowed_methods, reason = "a camera has a clock of its own")]
pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis().try_into().unwrap()
}

/// An entry and an exit whose cameras raise and hear the loops. Their clocks are believed, so that a stay of two hours
/// need not be waited for.
pub fn cameras(broker: &Broker) -> String {
    let mut text = link(broker);
    for (lane, direction, sn) in [("entry-1", "entry", IN), ("exit-1", "exit", OUT)] {
        text.push_str(&format!(
            r#"
            [[devices]]
            id = "cam-{direction}"
            profile = "vzenith/r-mqtt"
            link = "broker"
            params = {{ sn = "{sn}" }}
            clock_tolerance_s = 86400
            [[lanes]]
            id = "{lane}"
            direction = "{direction}"
            camera = "cam-{direction}"
            barrier = {{ device = "cam-{direction}", output = 0, pulse_ms = 1500 }}
            passage_loop = {{ device = "cam-{direction}", input = 1 }}
            "#
        ));
    }
    text
}

/// An entry whose barrier and loops hang on a relay board.
fn relays(broker: &Broker, line: &SerialLine) -> String {
    format!(
        r#"{link}
        [[links]]
        id = "rs485"
        kind = "serial"
        path = "{path}"
        [[devices]]
        id = "cam-in"
        profile = "vzenith/r-mqtt"
        link = "broker"
        params = {{ sn = "{IN}" }}
        [[devices]]
        id = "board"
        profile = "lc/modbus-8r"
        link = "rs485"
        [[lanes]]
        id = "entry-1"
        direction = "entry"
        camera = "cam-in"
        barrier = {{ device = "board", output = 0, pulse_ms = 500 }}
        arrival_loop = {{ device = "board", input = 0 }}
        passage_loop = {{ device = "board", input = 1 }}
        "#,
        link = link(broker),
        path = line.box_end,
    )
}

fn link(broker: &Broker) -> String {
    format!("[[links]]\nid = \"broker\"\nkind = \"mqtt\"\nport = {}\n", broker.port)
}
