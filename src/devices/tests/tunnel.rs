//! A display and relay card on the serial port of a camera: its frames go through the camera's messages and come back in
//! them, over MQTT and in the answers to posts.

use std::net::SocketAddr;

use base64::Engine;
use serde_json::{Value as Json, json};

use super::broker::{Camera, Mosquitto, SN};
use super::push::{PLATE, curl};
use super::*;
use crate::profile::template::{Value, Values};

#[tokio::test]
async fn a_raise_goes_through_the_camera_and_the_card_s_own_answer_comes_back() {
    let mut broker = Mosquitto::start().await;
    let mut site = broker.site_of(through_mqtt(broker.port, "")).await;
    let mut camera = Camera::connect(broker.port).await;
    site.until(|metrics| metrics.is_link_up("card-line")).await;
    site.raise("entry-1", "box/1/7/0").await;
    let (topic, command) = camera.told_on().await;
    assert_eq!(topic, format!("device/{SN}/message/down/serial_data"));
    let carried = &command["payload"]["body"]["serialData"][0];
    assert_eq!(carried["serialChannel"], 0);
    assert_eq!(decoded(&carried["data"]), RAISE_FRAME, "the card's own frame");
    camera.answers_on("serial_data", &command, 200).await;
    camera.says("serial_data", &serial_data(TAKEN)).await;
    assert_eq!(site.answer("box/1/7/0").await, CommandAnswer::Accepted);

    // The camera takes the frame, and the card refuses.
    site.raise("entry-1", "box/1/8/0").await;
    let (_, command) = camera.told_on().await;
    camera.answers_on("serial_data", &command, 200).await;
    camera.says("serial_data", &serial_data(&REFUSED[..4])).await;
    camera.says("serial_data", &serial_data(&REFUSED[4..])).await;
    assert_eq!(site.answer("box/1/8/0").await, CommandAnswer::Refused("data.ack 1".to_owned()), "in two pieces");
}

#[tokio::test]
async fn what_the_camera_does_not_take_is_no_raise_and_the_tunnel_opens_again() {
    let mut broker = Mosquitto::start().await;
    let mut site = broker.site_of(through_mqtt(broker.port, "")).await;
    let mut camera = Camera::connect(broker.port).await;
    site.until(|metrics| metrics.is_link_up("card-line")).await;
    site.raise("entry-1", "box/1/7/0").await;
    let (_, command) = camera.told_on().await;
    camera.answers_on("serial_data", &command, 403).await;
    let CommandAnswer::Silent(why) = site.answer("box/1/7/0").await else { panic!("not taken") };
    assert!(why.contains("cam did not take it: code 403"), "{why}");
    site.until(|metrics| metrics.is_link_up("card-line")).await;
    let teller = site.devices.teller();
    let (told, ()) = tokio::join!(teller.tell("card", "stop_voice", Values::new()), async {
        let (_, command) = camera.told_on().await;
        camera.answers_on("serial_data", &command, 200).await;
        camera.says("serial_data", &serial_data(&[0x00, 0x64, 0xFF, 0xFF, 0x31, 0x01, 0x00, 0x67, 0x7B])).await;
    });
    assert_eq!(told, Ok(Outcome::Taken));
}

#[tokio::test]
async fn a_technician_moves_no_arm_neither_by_the_card_s_relay_nor_through_the_port_on_which_it_hangs() {
    let mut broker = Mosquitto::start().await;
    let site = broker.site_of(through_mqtt(broker.port, "")).await;
    let mut camera = Camera::connect(broker.port).await;
    let teller = site.devices.teller();
    let relay = Values::from(["channel", "on", "seconds"].map(|name| (name.to_owned(), Value::Integer(1))));
    let (command, device, lane) = ("relay".to_owned(), "card".into(), "entry-1".into());
    let told = teller.tell_by_hand("card", "relay", relay).await;
    assert_eq!(told, Err(CannotTell::MovesAnArm { command, device, lane }));
    let through = |port| {
        let bytes = ("bytes".to_owned(), Value::Bytes(RAISE_FRAME.to_vec()));
        Values::from([("channel".to_owned(), Value::Integer(port)), bytes])
    };
    let told = teller.tell_by_hand("cam", "tunnel", through(0)).await;
    assert_eq!(told, Err(CannotTell::Carries { device: "cam".into(), channel: 0, link: "card-line".to_owned() }));
    let (told, ()) = tokio::join!(teller.tell_by_hand("cam", "tunnel", through(1)), async {
        let (_, command) = camera.told_on().await;
        assert_eq!(command["payload"]["body"]["serialData"][0]["serialChannel"], 1, "nothing else was told");
        camera.answers_on("serial_data", &command, 200).await;
    });
    assert_eq!(told, Ok(Outcome::Taken), "nothing hangs on that port");
}

#[tokio::test]
async fn inputs_of_a_card_in_a_tunnel_are_read_where_the_settings_ask_for_it() {
    let mut broker = Mosquitto::start().await;
    let mut site = broker.site_of(through_mqtt(broker.port, "poll_ms = 500")).await;
    let mut camera = Camera::connect(broker.port).await;
    let (_, command) = camera.told_on().await;
    assert_eq!(decoded(&command["payload"]["body"]["serialData"][0]["data"]), READ_INPUTS);
    camera.answers_on("serial_data", &command, 200).await;
    camera.says("serial_data", &serial_data(INPUT_0)).await;
    let role = crate::domain::lane::LoopRole::Arrival;
    assert_eq!(site.committed().await, Input::LoopChanged { lane: LaneId::from("entry-1"), role, occupied: true });
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_to_a_plate_carries_the_card_s_raise() {
    raised_through_posts("vzenith/r-http", "/vzenith", "0f823866-d2dc45ab").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_hangs_on_the_cameras_that_share_these_posts_as_well() {
    raised_through_posts("qianyi/http", "/qianyi", "00112233445566778899aabbccddeeff").await;
}

async fn raised_through_posts(profile: &str, path: &str, sn: &str) {
    let (mut site, address) = through_posts(profile, sn).await;
    let posting = curl(address, path, &PLATE.replace("0f823866-d2dc45ab", sn));
    let envelope = site.next().await;
    // The loop hands raises over before it answers.
    site.raise("entry-1", "c1").await;
    let _ = envelope.reply.send(Reply::Done);
    let answer = posting.await.expect("curl ran");
    let body: Json = serde_json::from_str(answer.strip_suffix(" 200").expect("taken")).expect("JSON");
    let carried = &body["Response_AlarmInfoPlate"]["serialData"][0];
    assert_eq!(decoded(&carried["data"]), RAISE_FRAME);
    let data = base64::engine::general_purpose::STANDARD.encode(TAKEN);
    let said = json!({"SerialData": {"serialChannel": 0, "data": data, "dataLen": TAKEN.len(), "deviceName": "IN-1",
        "ipaddr": "192.168.22.2", "serialno": sn}});
    let serial = curl(address, &format!("{path}/serial"), &said.to_string()).await.expect("curl ran");
    assert!(serial.ends_with(" 200"), "{serial}");
    assert_eq!(site.answer("c1").await, CommandAnswer::Accepted, "the card says what the camera cannot");
}

#[test]
fn a_tunnel_that_does_not_fit_is_told_with_its_line() {
    let right = mqtt_settings(1, "");
    let wrong = |from: &str, to: &str, expect: &str| {
        assert!(right.contains(from), "{from}");
        let found = plan(&right.replace(from, to)).expect_err(to);
        let found: String = found.iter().map(|mistake| format!("{mistake}\n")).collect();
        assert!(found.contains(expect), "{found}\nshould say\n{expect}");
    };
    wrong("device = \"cam\", channel = 0", "channel = 0", "the link lacks its device; allowed: device = \"cam-in\"");
    wrong("device = \"cam\", channel = 0", "device = \"cma\"", "there is no device \"cma\"; allowed: cam, card");
    wrong("device = \"cam\", channel = 0", "device = \"card\"", "kf/dc199 has no tunnel");
    wrong("channel = 0", "channel = 7", "vzenith/r-mqtt has no port 7; allowed: 0 to 1");
    wrong("channel = 0", "baud = 9600", "a link of kind tunnel has no baud; allowed: device, channel");
    let twice = "links = [{ id = \"other\", kind = \"tunnel\", device = \"cam\" }, ";
    wrong("links = [", twice, "goes where another one goes");
    let relay = "profile = \"waveshare/modbus-relay-8\"\n        link = \"card-line\"";
    wrong("profile = \"kf/dc199\"\n        link = \"card-line\"", relay, "cannot hang on this link");
}

const RAISE_FRAME: &[u8] = &[0x00, 0x64, 0xFF, 0xFF, 0x0F, 0x06, 0x01, 0x01, 0x00, 0x00, 0x00, 0x01, 0x24, 0xA5];
const TAKEN: &[u8] = &[0x00, 0x64, 0xFF, 0xFF, 0x0F, 0x01, 0x00, 0x06, 0xB7];
const REFUSED: &[u8] = &[0x00, 0x64, 0xFF, 0xFF, 0x0F, 0x01, 0x01, 0xC7, 0x77];
const READ_INPUTS: &[u8] = &[0x00, 0x64, 0xFF, 0xFF, 0xD5, 0x00, 0x2F, 0x67];
const INPUT_0: &[u8] = &[0x00, 0x64, 0xFF, 0xFF, 0xD5, 0x08, 0, 0, 0, 0, 0x05, 0, 0, 0, 0x33, 0x92];

fn decoded(data: &Json) -> Vec<u8> {
    base64::engine::general_purpose::STANDARD.decode(data.as_str().expect("a text")).expect("base64")
}

fn serial_data(bytes: &[u8]) -> String {
    let data = base64::engine::general_purpose::STANDARD.encode(bytes);
    let said = json!({"serialChannel": 0, "data": data, "dataLen": bytes.len()});
    json!({"sn": SN, "payload": {"body": {"SerialData": said}}}).to_string()
}

fn through_mqtt(port: u16, more: &str) -> Plan {
    planned(&mqtt_settings(port, more), &slow_cards()).expect("right settings")
}

fn mqtt_settings(port: u16, more: &str) -> String {
    format!(
        r#"
        links = [{{ id = "broker", kind = "mqtt", port = {port} }}, {{ id = "card-line", kind = "tunnel", device = "cam", channel = 0 }}]

        [[devices]]
        id = "cam"
        profile = "vzenith/r-mqtt"
        link = "broker"
        params = {{ sn = "{SN}" }}
        {CARD_AND_LANE}
        {more}
        "#
    )
}

const CARD_AND_LANE: &str = r#"
        [[lanes]]
        id = "entry-1"
        direction = "entry"
        camera = "cam"
        barrier = { device = "card", output = 1, pulse_ms = 1000 }
        arrival_loop = { device = "card", input = 0 }

        [[devices]]
        id = "card"
        profile = "kf/dc199"
        link = "card-line"
"#;

/// A card that may take its time, so that a busy test machine does not pass for a dead one.
fn slow_cards() -> Catalogue {
    let own = tempfile::tempdir().expect("a directory");
    let profile = include_str!("../../../device-profiles/kf/dc199.toml");
    std::fs::write(own.path().join("own.toml"), profile.replace("timeout_ms = 300", "timeout_ms = 10000"))
        .expect("written");
    Catalogue::load(Some(own.path())).expect("right")
}

async fn through_posts(profile: &str, sn: &str) -> (Site, SocketAddr) {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address");
    let text = format!(
        r#"
        links = [{{ id = "posts", kind = "http-push", listen = "{free}" }}, {{ id = "card-line", kind = "tunnel", device = "cam" }}]

        [[devices]]
        id = "cam"
        profile = "{profile}"
        link = "posts"
        params = {{ sn = "{sn}" }}
        {CARD_AND_LANE}
        "#
    );
    let site = Site::start(planned(&text, &slow_cards()).expect("right settings"));
    site.until(|metrics| metrics.is_link_up("posts") && metrics.is_link_up("card-line")).await;
    (site, free)
}
