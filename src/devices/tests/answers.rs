//! A camera that says everything on one topic, and posts that do not say whose they are: each to whom it belongs.

use serde_json::json;

use super::broker::{Camera, Mosquitto, SN};
use super::push::{PLATE, curl};
use super::*;

const HEARTBEAT: &str = "/devicemanagement/php/receivedeviceinfo.php";

/// The voice's answer needs no test, the barrier's does: a refused raise must not pass for a taken one.
#[tokio::test]
async fn of_two_commands_that_are_answered_on_one_topic_each_is_judged_by_its_own_test() {
    let own = tempfile::tempdir().expect("a directory");
    let text = include_str!("../../../device-profiles/vzenith/r-mqtt.toml");
    let shared = text.replace("{layout}/down/tts_voice/reply", "{layout}/down/gpio_out/reply");
    assert_ne!(shared, text);
    std::fs::write(own.path().join("own.toml"), shared).expect("written");
    let mut broker = Mosquitto::start().await;
    let settings = SETTINGS.replace("BROKER_PORT", &broker.port.to_string()).replace("SERIAL", SN);
    let plan = planned(&settings, &Catalogue::load(Some(own.path())).expect("right")).expect("right settings");
    let mut site = broker.site_of(plan).await;
    let mut camera = Camera::connect(broker.port).await;
    site.raise("entry-1", "box/1/7/0").await;
    let (_, command) = camera.told_on().await;
    camera.answers_on("gpio_out", &command, 403).await;
    assert_eq!(site.answer("box/1/7/0").await, CommandAnswer::Refused("code 403".to_owned()));
    camera.answers_on("gpio_out", &json!({"id": "never-sent"}), 200).await;
    site.until(|metrics| metrics.rejections("devices", "unmatched-answer") == 1).await;
}

const SETTINGS: &str = r#"
links = [{ id = "broker", kind = "mqtt", port = BROKER_PORT }]
devices = [{ id = "cam", profile = "vzenith/r-mqtt", link = "broker", params = { sn = "SERIAL" } }]

[[lanes]]
id = "entry-1"
direction = "entry"
camera = "cam"
barrier = { device = "cam", output = 0, pulse_ms = 1500 }
"#;

/// Whose arm would it be?
#[tokio::test(flavor = "multi_thread")]
async fn a_post_that_names_nobody_of_a_shared_path_carries_no_order_and_is_no_vehicle() {
    let other =
        "[[devices]]\nid = \"cam-2\"\nprofile = \"vzenith/r-http\"\nlink = \"posts\"\nparams = { sn = \"other\" }";
    let (mut site, address) = super::push::site_with(other).await;
    site.raise("entry-1", "c1").await;
    for _ in 0..20 {
        // Somebody is there: all that it says.
        assert_eq!(curl(address, HEARTBEAT, "device_name=ivs").await.expect("curl ran"), "{} 200");
    }
    let theirs = curl(address, HEARTBEAT, "serialno=other").await.expect("curl ran");
    assert_eq!(theirs, "{} 200", "nor another one's");
    let nameless = PLATE.replace("\"serialno\":\"0f823866-d2dc45ab\",", "");
    assert_ne!(nameless, PLATE);
    assert_eq!(curl(address, "/vzenith", &nameless).await.expect("curl ran"), "missing-field 400");
    assert_eq!(site.metrics.rejections("devices", "missing-field"), 1);
    let raising = async {
        while !curl(address, HEARTBEAT, "serialno=0f823866-d2dc45ab").await.expect("curl ran").contains("ivs_ioctrl") {}
    };
    timeout(PATIENCE, raising).await.expect("in time");
    assert!(matches!(site.answer("c1").await, CommandAnswer::Unconfirmed(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_that_has_its_path_alone_need_not_name_itself() {
    let (_site, address) = super::push::site_with("").await;
    assert_eq!(curl(address, HEARTBEAT, "device_name=ivs").await.expect("curl ran"), "{} 200");
}
