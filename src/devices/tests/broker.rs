//! The MQTT link against Debian's mosquitto, with a camera made of a plain client.

use serde_json::{Value, json};
use sha2::Digest;

pub(super) use super::mosquitto::{Cable, Camera, Mosquitto, SN, free_port};
use super::*;
use crate::domain::event::VehicleSign;
use crate::photos::Checker;
use crate::profile::statement::MESSAGE_BYTES_MAX;

#[tokio::test]
async fn a_read_is_acknowledged_only_after_its_commit() {
    let mut broker = Mosquitto::start().await;
    let mut site = broker.site(None).await;
    let mut camera = Camera::connect(broker.port).await;
    camera.says("ivs_result", &plate("粤B12345", 1)).await;
    let uncommitted = site.next().await;
    assert_eq!(event(&uncommitted.input), "e-1");
    camera.says("ivs_result", &plate("粤B12346", 2)).await;
    assert_eq!(event(&site.next().await.input), "e-2", "the next message is not held up by the commit of the first");
    site.devices.stop().await;

    let mut site = broker.site(None).await;
    assert_eq!(event(&site.committed().await), "e-1", "the broker brings again what was not committed");
    assert_eq!(event(&site.committed().await), "e-2");
    broker.log("Received PUBACK from gatepost-mall-1").await;
    broker.log("Received PUBACK from gatepost-mall-1").await;
    site.devices.stop().await;

    let mut site = broker.site(None).await;
    camera.says("ivs_result", &plate("粤B12347", 3)).await;
    assert_eq!(event(&site.committed().await), "e-3", "what was committed does not come again");
}

/// Somebody takes away what the broker kept on a camera's topic: that is no word of the camera, and no fault of it.
#[tokio::test]
async fn an_empty_message_says_nothing_and_is_counted() {
    let mut broker = Mosquitto::start().await;
    let mut site = broker.site(None).await;
    let mut camera = Camera::connect(broker.port).await;
    camera.says("ivs_result", &plate("粤B12345", 1)).await;
    assert_eq!(event(&site.committed().await), "e-1");
    camera.says("ivs_result", "").await;
    camera.says("ivs_result", &plate("粤B12346", 2)).await;
    assert_eq!(event(&site.committed().await), "e-2");
    assert_eq!(
        (site.metrics.rejections("devices", "empty-body"), site.metrics.rejections("devices", "malformed")),
        (1, 0)
    );
    let health = site.metrics.health.all();
    assert!(health.iter().all(|device| device.trouble.is_none()), "{health:?}");
    for _ in 0..3 {
        broker.log("Received PUBACK from gatepost-mall-1").await;
    }
}

#[tokio::test]
async fn a_raise_is_answered_by_the_camera() {
    let mut broker = Mosquitto::start().await;
    let mut site = broker.site(None).await;
    let mut camera = Camera::connect(broker.port).await;

    site.raise("entry-1", "box/1/7/0").await;
    let command = camera.told().await;
    assert_eq!(command["payload"]["body"], json!({"delay": 1500, "io": 0, "value": 2}));
    assert_eq!(command["sn"], SN);
    camera.answers(&command, 200).await;
    assert_eq!(site.answer("box/1/7/0").await, CommandAnswer::Accepted);

    site.raise("entry-1", "box/1/8/0").await;
    let command = camera.told().await;
    camera.answers(&command, 403).await;
    assert_eq!(site.answer("box/1/8/0").await, CommandAnswer::Refused("code 403".to_owned()));
}

#[tokio::test]
async fn a_camera_that_does_not_answer_leaves_the_outcome_unknown() {
    let mut broker = Mosquitto::start().await;
    let mut site = broker.site(Some("timeout_ms = 50")).await;
    let mut camera = Camera::connect(broker.port).await;
    site.raise("entry-1", "box/1/7/0").await;
    let command = camera.told().await;
    assert_eq!(site.answer("box/1/7/0").await, CommandAnswer::Silent("no answer in time".to_owned()));
    camera.answers(&command, 200).await;
    camera.says("gpio_in", &input(0, 1)).await;
    assert!(matches!(site.committed().await, Input::LoopChanged { .. }), "a late answer is not taken");
    assert_eq!(site.metrics.rejections("devices", "unmatched-answer"), 1);
}

#[tokio::test]
async fn a_camera_that_never_answers_still_gets_every_raise() {
    let mut broker = Mosquitto::start().await;
    let mut site = broker.site(None).await;
    let mut camera = Camera::connect(broker.port).await;
    for n in 0..=super::super::raising::UNANSWERED_MAX {
        site.raise("entry-1", &format!("box/1/{n}/0")).await;
        camera.told().await;
        site.until(|metrics| metrics.raises_sent("entry-1") == u64::try_from(n).expect("small") + 1).await;
    }
    let forgotten = "newer commands came before its answer".to_owned();
    assert_eq!(site.answer("box/1/0/0").await, CommandAnswer::Silent(forgotten));
}

#[tokio::test]
async fn a_raise_that_nobody_hears_is_known_at_once() {
    let mut broker = Mosquitto::start().await;
    let mut site = broker.site(None).await;
    site.raise("entry-1", "box/1/7/0").await;
    assert_eq!(site.answer("box/1/7/0").await, CommandAnswer::Silent("no device listens for it".to_owned()));
    drop(broker);

    let port = free_port();
    let mut site = Site::start(settings(port, None));
    site.raise("entry-1", "box/1/8/0").await;
    assert_eq!(site.answer("box/1/8/0").await, CommandAnswer::NotSent("not connected to the broker".to_owned()));
    site.raise("no-such-lane", "box/1/9/0").await;
    assert_eq!(site.answer("box/1/9/0").await, CommandAnswer::NotSent("the lane has no barrier".to_owned()));
}

#[tokio::test]
async fn a_raise_that_was_cut_off_is_never_sent_again() {
    let mut broker = Mosquitto::start().await;
    let mut camera = Camera::connect(broker.port).await;
    let mut cable = Cable::between(broker.port).await;
    let mut site = Site::start(settings(cable.port, None));
    broker.is_subscribed().await;
    site.until(|metrics| metrics.is_link_up("broker")).await;
    cable.loses_what_is_sent();
    site.raise("entry-1", "box/1/7/0").await;
    site.until(|metrics| metrics.raises_sent("entry-1") == 1).await;
    cable.is_cut_and_mended();
    let lost = "the link broke before the broker took it".to_owned();
    assert_eq!(site.answer("box/1/7/0").await, CommandAnswer::Silent(lost));

    broker.is_subscribed().await;
    site.until(|metrics| metrics.is_link_up("broker")).await;
    site.raise("entry-1", "box/1/8/0").await;
    let first = camera.told().await;
    camera.answers(&first, 200).await;
    let answer = site.answer("box/1/8/0").await;
    assert_eq!(answer, CommandAnswer::Accepted, "the first raise that the camera hears is the new one");
}

/// Two boxes of one name put each other out: the longer each waits, the fewer vehicles are lost.
#[tokio::test]
async fn a_box_that_is_put_out_at_once_comes_back_less_and_less_often() {
    const TAKEN_OVER: &[u8] = &[0xE0, 2, 0x8E, 0];
    for (goodbye, why) in [(TAKEN_OVER, "as gatepost-mall-1: each box needs a client_id of its own"), (&[], "closed")] {
        let broker = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let site = Site::start(settings(broker.local_addr().expect("its address").port(), None));
        put_out(&site, &broker, goodbye).await;
        let first = tokio::time::Instant::now();
        for _ in 0..3 {
            put_out(&site, &broker, goodbye).await;
        }
        // 200, 400 and 800 ms, but for the moment until the box has seen it.
        assert!(first.elapsed() > Duration::from_millis(1300), "{why}: {:?}", first.elapsed());
        let told = |metrics: &Metrics| metrics.health.why_down("broker").is_some_and(|told| told.contains(why));
        assert!(told(&site.metrics), "{:?}", site.metrics.health.why_down("broker"));
    }
}

/// Takes the next connection and its subscriptions, and ends it once it is up.
async fn put_out(site: &Site, broker: &tokio::net::TcpListener, goodbye: &[u8]) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (mut line, _) = timeout(PATIENCE, broker.accept()).await.expect("in time").expect("connected");
    for answer in [&[0x20, 3, 0, 0, 0][..], &[0x90, 4, 0, 1, 0, 1]] {
        assert!(in_time(line.read(&mut [0; 4096])).await.expect("readable") > 0);
        line.write_all(answer).await.expect("writable");
    }
    site.until(|metrics| metrics.is_link_up("broker")).await;
    line.write_all(goodbye).await.expect("writable");
    line.shutdown().await.expect("ended");
    // Until the box hangs up, too.
    in_time(async { while line.read(&mut [0; 4096]).await.is_ok_and(|count| count > 0) {} }).await;
}

#[tokio::test]
async fn what_was_never_heard_is_asked_for_again_and_comes_as_stored() {
    let mut broker = Mosquitto::start().await;
    let mut site = broker.site(None).await;
    let mut camera = Camera::connect(broker.port).await;
    camera.says("ivs_result", &numbered(1)).await;
    assert_eq!(event(&site.committed().await), "e-1");
    camera.says("ivs_result", &numbered(5)).await;
    assert_eq!(event(&site.committed().await), "e-5");
    let (topic, asked) = camera.told_on().await;
    assert!(topic.ends_with("/down/check_offline_record"), "{topic}");
    assert_eq!(asked["payload"]["body"], json!({"enable": "push", "max_count": 3, "min_id": 2}));
    camera.answers_on("check_offline_record", &asked, 200).await;
    for number in 2..=4 {
        camera.says("ivs_result_offline", &numbered(number)).await;
        let stored = site.committed().await;
        assert!(matches!(&stored, Input::PlateRead(read) if read.stored_offline), "{stored:?}");
    }
    let text = site.metrics.text();
    assert!(text.contains(r#"gatepost_device_events_refilled_total{device="cam"} 3"#), "{text}");
}

/// A plate of which the camera tells its own number.
fn numbered(number: u32) -> String {
    plate("粤B12345", number).replace("\"confidence\":98", &format!("\"confidence\":98,\"plateid\":{number}"))
}

#[tokio::test]
async fn what_cannot_be_understood_is_counted_by_name_and_stops_nothing() {
    let mut broker = Mosquitto::start().await;
    let mut site = broker.site(None).await;
    let mut camera = Camera::connect(broker.port).await;
    camera.says("ivs_result", "{").await;
    camera.says("ivs_result", &plate("粤B12345", 1).replace("57Kk", "!!!!")).await;
    camera.says("ivs_result", &plate("B12", 7)).await;
    camera.says("ivs_result", &"x".repeat(MESSAGE_BYTES_MAX + 1)).await;
    camera.says("no_such_thing", "{}").await;
    camera.publishes("device/stranger-1/message/up/ivs_result", "{}", false).await;
    camera.publishes(&format!("device/{SN}/message/up/ivs_result"), "", true).await;
    camera.says("keep_alive", "{}").await;
    camera.says("ivs_result", &plate("粤B12345", 9)).await;
    assert!(matches!(site.committed().await, Input::PlateRead(read) if read.told.unread.as_deref() == Some("B12")));
    assert_eq!(event(&site.committed().await), "e-9", "nothing else came of it");
    for reason in ["malformed", "bad-field", "not-a-plate", "too-large", "unknown-topic", "unknown-device"] {
        assert_eq!(site.metrics.rejections("devices", reason), 1, "{reason}");
    }
    for _ in 0..9 {
        broker.log("Received PUBACK from gatepost-mall-1").await;
    }
}

#[tokio::test]
async fn what_the_broker_retained_is_stale() {
    let mut broker = Mosquitto::start().await;
    let mut camera = Camera::connect(broker.port).await;
    camera.publishes(&format!("device/{SN}/message/up/ivs_result"), &plate("粤B12345", 1), true).await;
    let mut site = broker.site(None).await;
    camera.says("ivs_result", &plate("粤B12346", 2)).await;
    assert_eq!(event(&site.committed().await), "e-2");
}

#[tokio::test]
async fn inputs_and_signs_reach_their_lane() {
    let mut broker = Mosquitto::start().await;
    let mut site = broker.site(None).await;
    let mut camera = Camera::connect(broker.port).await;
    let lane = || LaneId::from("entry-1");
    camera.says("gpio_in", &input(0, 1)).await;
    let role = crate::domain::lane::LoopRole::Arrival;
    assert_eq!(site.committed().await, Input::LoopChanged { lane: lane(), role, occupied: true });
    camera.says("ivs_result", &plate("粤B12345", 1).replace("\"triggerType\":8", "\"triggerType\":67")).await;
    assert_eq!(site.committed().await, Input::VehicleSeen { lane: lane(), sign: VehicleSign::Passed });
    camera.publishes(&format!("{SN}/device/message/up/gpio_in"), &input(0, 0), false).await;
    assert_eq!(site.committed().await, Input::LoopChanged { lane: lane(), role, occupied: false });
    site.raise("entry-1", "box/1/7/0").await;
    assert_eq!(
        camera.told_on().await.0,
        format!("{SN}/device/message/down/gpio_out"),
        "in the layout of the last word"
    );
}

#[tokio::test]
async fn the_time_from_a_plate_to_its_raise_is_measured() {
    let mut broker = Mosquitto::start().await;
    let mut site = broker.site(None).await;
    let mut camera = Camera::connect(broker.port).await;
    camera.says("ivs_result", &plate("粤B12345", 1)).await;
    site.committed().await;
    site.raise("entry-1", "box/1/7/0").await;
    let command = camera.told().await;
    camera.answers(&command, 200).await;
    site.answer("box/1/7/0").await;
    let (p50, p99, count) = site.metrics.latency_quantiles();
    assert_eq!(count, 1);
    assert!(p50 > 0 && p50 == p99 && p99 < 1_000_000, "{p50} {p99}");
}

#[tokio::test]
async fn pictures_go_to_their_folder_and_their_hashes_with_the_read() {
    let mut broker = Mosquitto::start().await;
    let mut site = broker.site(None).await;
    let mut camera = Camera::connect(broker.port).await;
    let (scene, crop) = (sample::jpeg(640, 360), sample::jpeg(120, 40));
    camera.says("ivs_result", &with_pictures(&plate("粤B12345", 1), &scene, &crop)).await;
    let envelope = site.next().await;
    let Input::PlateRead(read) = &envelope.input else { panic!("a read") };
    assert!([&scene, &crop].map(|picture| sample::is_on_disk(site.directory.path(), picture)) == [true; 2]);
    let hashes = read.photos.clone().expect("both pictures");
    let sha256 = |bytes: &[u8]| hex::encode(sha2::Sha256::digest(bytes));
    assert_eq!((hashes.scene, hashes.plate), (Some(sha256(&scene)), Some(sha256(&crop))));
    site.until(|metrics| metrics.photos_kept() == 2).await;
    let mut checker = Checker::new(site.directory.path());
    checker.look(1, read).expect("looked");
    assert_eq!(checker.tally().matching, 2);

    camera.says("ivs_result", &with_pictures(&plate("粤B12346", 2), b"a text", &crop)).await;
    camera.says("ivs_result", &plate("粤B12347", 3).replace("license", "full_image_content\":\"!\",\"license")).await;
    let _ = envelope.reply.send(Reply::Done);
    let Input::PlateRead(read) = site.committed().await else { panic!("a read") };
    let hashes = read.photos.expect("the plate's picture");
    assert!(hashes.scene.is_none() && hashes.plate.is_some(), "a text is no picture, and the read goes on");
    assert_eq!(event(&site.committed().await), "e-3");
    for (reason, count) in [("photo-foreign", 1), ("photo-encoding", 1)] {
        assert_eq!(site.metrics.rejections("photos", reason), count, "{reason}");
    }
    assert!(site.photos.of_arrival(&LaneId::from("entry-1"), "e-1").scene.is_some(), "the page finds it");
    for _ in 0..3 {
        broker.log("Received PUBACK from gatepost-mall-1").await;
    }
}

#[tokio::test]
async fn a_camera_s_rectangle_reaches_the_pictures() {
    let mut broker = Mosquitto::start().await;
    let mut site = broker.site(None).await;
    let mut camera = Camera::connect(broker.port).await;
    let rectangle = r#""location":{"RECT":{"left":200,"top":100,"right":360,"bottom":140}},"license""#;
    let message = with_pictures(&plate("粤B12345", 1), &sample::jpeg(640, 360), b"");
    camera.says("ivs_result", &message.replace("\"license\"", rectangle)).await;
    let Input::PlateRead(read) = site.committed().await else { panic!("a read") };
    assert!(read.photos.is_some_and(|hashes| hashes.scene.is_some() && hashes.plate.is_none()));
    let mut changes = site.photos.changes();
    in_time(async {
        while site.photos.of_arrival(&LaneId::from("entry-1"), "e-1").plate.is_none() {
            changes.changed().await.expect("the pictures are there");
        }
    })
    .await;
}

fn with_pictures(message: &str, scene: &[u8], crop: &[u8]) -> String {
    use base64::Engine;
    let mut message: Value = serde_json::from_str(message).expect("JSON");
    let result = &mut message["payload"]["AlarmInfoPlate"]["result"]["PlateResult"];
    let text = |bytes| json!(base64::engine::general_purpose::STANDARD.encode(bytes));
    result["full_image_content"] = text(scene);
    result["small_image_content"] = text(crop);
    message.to_string()
}

pub(super) fn settings(port: u16, profile_timeout: Option<&str>) -> Plan {
    let (profile, usual) = (include_str!("../../../device-profiles/vzenith/r-mqtt.toml"), "timeout_ms = 10000");
    let profile = profile.replace(usual, profile_timeout.unwrap_or(usual));
    let text = format!(
        r#"
        links = [{{ id = "broker", kind = "mqtt", port = {port} }}]
        devices = [{{ id = "cam", profile = "vzenith/r-mqtt", link = "broker", params = {{ sn = "{SN}" }} }}]

        [[lanes]]
        id = "entry-1"
        direction = "entry"
        camera = "cam"
        barrier = {{ device = "cam", output = 0, pulse_ms = 1500 }}
        arrival_loop = {{ device = "cam", input = 0 }}
        "#
    );
    planned(&text, &catalogue_with(&profile)).expect("right settings")
}

pub(super) fn event(input: &Input) -> &str {
    let Input::PlateRead(read) = input else { panic!("not a plate read: {input:?}") };
    &read.event
}

pub(super) fn plate(plate: &str, event: u32) -> String {
    use base64::Engine;
    let license = base64::engine::general_purpose::STANDARD.encode(plate);
    let result = json!({"license": license, "confidence": 98, "triggerType": 8, "unique_id": format!("e-{event}")});
    json!({"sn": SN, "payload": {"AlarmInfoPlate": {"result": {"PlateResult": result}}}}).to_string()
}

pub(super) fn input(source: u16, value: u16) -> String {
    let result = json!({"TriggerResult": {"source": source, "value": value}});
    json!({"sn": SN, "payload": {"body": {"AlarmGioIn": {"result": result}}}}).to_string()
}
