//! Several devices on one topic or path: a message is of the device that it names, and one that names none tells all of them
//! that they are there, or gone.

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use serde_json::{Value, json};

use super::broker::Mosquitto;
use super::push::curl;
use super::*;
use crate::domain::event::DeviceId;
use crate::metrics::Trouble;

#[tokio::test(flavor = "multi_thread")]
async fn two_cameras_of_one_frigate_share_a_link_and_each_plate_reaches_its_lane() {
    let mut broker = Mosquitto::start().await;
    let mut site = Site::start(cameras(broker.port, "frigate/lpr", "broker", ["ramp_in", "ramp_out"]));
    broker.is_subscribed().await;
    site.until(|metrics| metrics.is_link_up("broker")).await;
    let mut frigate = Frigate::connect(broker.port).await;
    for (camera, event, lane) in [("ramp_out", "e1", "exit-1"), ("ramp_in", "e2", "entry-1")] {
        frigate.says("tracked_object_update", &plate(Some(camera), event)).await;
        let Input::PlateRead(read) = site.committed().await else { panic!("a plate of {camera}") };
        assert_eq!((read.lane.as_str(), read.event.as_str()), (lane, event), "{camera}");
    }
    // A camera in the lobby is nobody's here, and a plate of no camera could be anybody's.
    frigate.says("tracked_object_update", &plate(Some("lobby"), "e4")).await;
    frigate.says("tracked_object_update", &plate(None, "e5")).await;
    frigate.says("tracked_object_update", "{").await;
    frigate.says("tracked_object_update", &plate(Some("ramp_in"), "e6")).await;
    let Input::PlateRead(read) = site.committed().await else { panic!("a plate") };
    assert_eq!(read.event, "e6", "nothing came of the others");
    for reason in ["another-device", "unknown-message", "malformed"] {
        assert_eq!(site.metrics.rejections("devices", reason), 1, "{reason}");
    }
    for device in ["in", "out"] {
        let health = site.metrics.health.of(device).expect("known");
        assert_eq!((health.trouble, health.heard.is_some()), (None, true), "{device} did nothing wrong");
    }
    for _ in 0..6 {
        broker.log("Received PUBACK from gatepost-mall-1").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_whose_cable_is_cut_is_lost_alone_and_all_are_with_their_frigate() {
    let mut broker = Mosquitto::start().await;
    let mut frigate = Frigate::connect(broker.port).await;
    frigate.keeps("available", "online").await;
    let mut site = Site::watched(cameras(broker.port, "frigate/lpr", "broker", ["ramp_in", "ramp_out"]));
    broker.is_subscribed().await;
    for device in ["in", "out"] {
        site.until(|metrics| metrics.health.of(device).is_some_and(|health| health.heard.is_some())).await;
    }
    frigate.says("stats", &stats(5.1, 0.0)).await;
    assert_eq!(lost(&mut site).await, "out");
    // It has said of ramp_in, too, that it is there; and a word about nobody brings none back.
    assert_eq!(site.metrics.health.of("in").expect("known").trouble, None);
    frigate.says("tracked_object_update", r#"{"type":"description","id":"x","description":"a car"}"#).await;
    frigate.says("ramp_out/status/detect", "online").await;
    frigate.says("ramp_in/status/detect", "offline").await;
    assert_eq!(lost(&mut site).await, "in", "earlier than the minute");
    assert_eq!(site.metrics.health.of("out").expect("known").trouble, Some(Trouble::Gone), "a try is no picture");
    frigate.says("stats", &stats(5.1, 0.2)).await;
    assert_eq!([back(&mut site).await, back(&mut site).await], ["in", "out"]);
    site.devices.stop().await;

    // A box that starts now finds in the broker that all of it is gone.
    frigate.keeps("available", "offline").await;
    let mut site = Site::watched(cameras(broker.port, "frigate/lpr", "broker", ["ramp_in", "ramp_out"]));
    assert_eq!([lost(&mut site).await, lost(&mut site).await], ["in", "out"]);
}

/// A profile that does not ask for the name: one camera alone is meant, of two nobody knows which.
#[tokio::test(flavor = "multi_thread")]
async fn a_plate_of_no_camera_is_taken_from_one_alone_and_from_none_of_two() {
    let own = tempfile::tempdir().expect("a directory");
    let profile = include_str!("../../../device-profiles/frigate/lpr.toml");
    let lenient = profile.replace(", { path = \"camera\", is_param = \"camera\" }", "");
    assert_ne!(profile, lenient);
    std::fs::write(own.path().join("own.toml"), lenient).expect("written");
    let catalogue = Catalogue::load(Some(own.path())).expect("right");
    let mut broker = Mosquitto::start().await;
    let link = format!("id = \"broker\"\nkind = \"mqtt\"\nport = {}", broker.port);
    let alone = settings(&link, "frigate/lpr", "broker", "camera = \"a\"", "camera = \"b\", prefix = \"other\"");
    let both = settings(&link, "frigate/lpr", "broker", "camera = \"a\"", "camera = \"b\"");
    let mut frigate = Frigate::connect(broker.port).await;
    for (text, is_taken) in [(alone, true), (both, false)] {
        let mut site = broker.site_of(planned(&text, &catalogue).expect("right settings")).await;
        frigate.says("tracked_object_update", &plate(None, "e1")).await;
        frigate.says("tracked_object_update", &plate(Some("a"), "e2")).await;
        let Input::PlateRead(read) = site.committed().await else { panic!("a plate") };
        assert_eq!(read.event, if is_taken { "e1" } else { "e2" });
        assert_eq!(site.metrics.rejections("devices", "missing-field"), u64::from(!is_taken));
        if is_taken {
            site.committed().await;
        }
        for _ in 0..2 {
            // Or the next box would hear them again.
            broker.log("Received PUBACK from gatepost-mall-1").await;
        }
        site.devices.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_s_cameras_post_to_one_path_and_its_sign_of_life_is_of_all_of_them() {
    let listen = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address");
    let mut site = Site::start(agents(listen, "camera = 7", "camera = 8"));
    site.until(|metrics| metrics.is_link_up("posts")).await;
    let path = "/rekor/agent";
    for (camera, lane) in [(8, "exit-1"), (7, "entry-1")] {
        let posting = curl(listen, path, &group(json!(camera)));
        let Input::PlateRead(read) = site.committed().await else { panic!("a plate of {camera}") };
        assert_eq!(read.lane.as_str(), lane, "{camera}");
        assert_eq!(posting.await.expect("curl ran"), "OK 200");
    }
    assert_eq!(curl(listen, path, &group(json!(9))).await.expect("curl ran"), "another-device 400");
    assert_eq!(curl(listen, path, &group(Value::Null)).await.expect("curl ran"), "missing-field 400");
    for device in ["in", "out"] {
        site.metrics.health.fails(device, Trouble::Login);
    }
    assert_eq!(curl(listen, path, r#"{"data_type":"heartbeat"}"#).await.expect("curl ran"), "OK 200");
    for device in ["in", "out"] {
        assert_eq!(site.metrics.health.of(device).expect("known").trouble, None, "{device} is there");
    }
}

/// Also where they differ in their letters' case only, and where one has no name of its own: it would take all that the others
/// say.
#[test]
fn devices_that_nobody_could_tell_apart_are_refused_with_both_names() {
    let listen = "127.0.0.1:1".parse().expect("an address");
    for (one, other) in [("ramp", "ramp"), ("ramp", "Ramp")] {
        let found = planned_cameras(1, "frigate/lpr", "broker", [one, other]).map(drop).expect_err("one name for two");
        assert!(
            found.contains("out and in answer to the same name on one link; allowed: params of its own"),
            "{found}"
        );
    }
    assert!(planned_agents(listen, "camera = 7", "camera = 8").is_ok());
    for (one, other) in [("camera = 7", "camera = 7"), ("camera = 7", ""), ("", "camera = 7"), ("", "")] {
        let found = planned_agents(listen, one, other).map(drop).expect_err("nobody could tell");
        assert!(found.contains("out and in answer to the same name on one link"), "{one} {other}: {found}");
    }
}

fn plate(camera: Option<&str>, event: &str) -> String {
    json!({"type": "lpr", "id": event, "name": null, "plate": "粤B12345", "score": 0.95, "camera": camera,
        "timestamp": 1_772_294_399.638, "plate_box": [917, 487, 1029, 529]})
    .to_string()
}

fn stats(ramp_in: f64, ramp_out: f64) -> String {
    let camera = |fps: f64| json!({"camera_fps": fps, "process_fps": fps, "pid": 372});
    json!({"cameras": {"ramp_in": camera(ramp_in), "ramp_out": camera(ramp_out), "lobby": camera(5.0)}}).to_string()
}

fn group(camera: Value) -> String {
    json!({"data_type": "alpr_group", "camera_id": camera, "best_uuid": format!("u-{camera}"), "best_plate_number": "A13709",
        "best_confidence": 92.1, "epoch_start": 1_772_294_399_638_i64})
    .to_string()
}

async fn lost(site: &mut Site) -> String {
    loop {
        let Input::DeviceLost { device: DeviceId(device), why } = site.committed().await else { continue };
        // Nobody plays the board.
        if device != "board" {
            assert_eq!(why, "it said that it goes, or its broker that it is gone", "{device}");
            return device;
        }
    }
}

async fn back(site: &mut Site) -> String {
    loop {
        let input = site.committed().await;
        assert!(!matches!(input, Input::PlateRead(_)), "{input:?}");
        if let Input::DeviceBack { device } = input {
            return device.0;
        }
    }
}

/// A Frigate with all its cameras.
struct Frigate {
    client: AsyncClient,
    connection: EventLoop,
}

impl Frigate {
    async fn connect(port: u16) -> Self {
        let (client, connection) = AsyncClient::new(MqttOptions::new("frigate", "127.0.0.1", port), 16);
        Self { client, connection }
    }

    async fn says(&mut self, topic: &str, body: &str) {
        self.publishes(topic, body, false).await;
    }

    async fn keeps(&mut self, topic: &str, body: &str) {
        self.publishes(topic, body, true).await;
    }

    async fn publishes(&mut self, topic: &str, body: &str, retain: bool) {
        let topic = format!("frigate/{topic}");
        self.client.publish(topic, QoS::AtLeastOnce, retain, body.to_owned()).await.expect("handed");
        loop {
            let event = timeout(PATIENCE, self.connection.poll()).await.expect("in time").expect("connected");
            if matches!(event, Event::Incoming(Packet::PubAck(_))) {
                return;
            }
        }
    }
}

fn cameras(port: u16, profile: &str, link: &str, names: [&str; 2]) -> Plan {
    planned_cameras(port, profile, link, names).expect("right settings")
}

fn planned_cameras(port: u16, profile: &str, link: &str, [one, other]: [&str; 2]) -> Result<Plan, String> {
    let links = format!("id = \"broker\"\nkind = \"mqtt\"\nport = {port}");
    two(&links, profile, link, &format!("camera = \"{one}\""), &format!("camera = \"{other}\""))
}

fn agents(listen: std::net::SocketAddr, one: &str, other: &str) -> Plan {
    planned_agents(listen, one, other).expect("right settings")
}

fn planned_agents(listen: std::net::SocketAddr, one: &str, other: &str) -> Result<Plan, String> {
    let links = format!("id = \"posts\"\nkind = \"http-push\"\nlisten = \"{listen}\"");
    let named =
        |more: &str| if more.is_empty() { "name = \"agent\"".to_owned() } else { format!("name = \"agent\", {more}") };
    two(&links, "rekor/webhook", "posts", &named(one), &named(other))
}

fn two(links: &str, profile: &str, link: &str, one: &str, other: &str) -> Result<Plan, String> {
    let planned = plan(&settings(links, profile, link, one, other));
    planned.map_err(|found| found.iter().map(|mistake| format!("{mistake}\n")).collect())
}

/// Two cameras, one of each lane; a board raises.
fn settings(links: &str, profile: &str, link: &str, one: &str, other: &str) -> String {
    format!(
        r#"
        [[links]]
        {links}
        [[devices]]
        id = "in"
        profile = "{profile}"
        link = "{link}"
        params = {{ {one} }}
        [[devices]]
        id = "out"
        profile = "{profile}"
        link = "{link}"
        params = {{ {other} }}
        [[links]]
        id = "gateway"
        kind = "tcp"
        host = "127.0.0.1"
        port = 9
        [[devices]]
        id = "board"
        profile = "waveshare/modbus-relay-8"
        link = "gateway"
        [[lanes]]
        id = "entry-1"
        direction = "entry"
        camera = "in"
        barrier = {{ device = "board", output = 0, pulse_ms = 500 }}
        [[lanes]]
        id = "exit-1"
        direction = "exit"
        camera = "out"
        barrier = {{ device = "board", output = 1, pulse_ms = 500 }}
        "#
    )
}
