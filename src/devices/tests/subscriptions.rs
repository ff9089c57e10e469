//! What the box asks a broker for: signs of life so that they are not kept, and what a broker refuses told with what to do.

use serde_json::json;

use super::super::check::Verdict;
use super::broker::{Camera, Mosquitto, SN, plate};
use super::check::told;
use super::*;

/// A broker keeps for a box that is away so much and no more: vehicles, and not how often a camera said that it is there.
#[tokio::test(flavor = "multi_thread")]
async fn signs_of_life_push_no_vehicle_out_of_the_broker_s_queue() {
    let mut broker = Mosquitto::start_with("allow_anonymous true\nmax_queued_messages 2").await;
    let settings = settings(broker.port, "vzenith/r-mqtt", &format!("sn = \"{SN}\", root = \"mall/ramp\""));
    let site = broker.site_of(plan(&settings).expect("right")).await;
    site.devices.stop().await;
    let mut camera = Camera::connect(broker.port).await;
    camera.publishes("mall/ramp/up/ivs_result", &plate("粤B12345", 1), false).await;
    for _ in 0..20 {
        camera.publishes("mall/ramp/up/keep_alive", "{}", false).await;
    }
    camera.publishes("mall/ramp/up/ivs_result", &plate("粤B12346", 2), false).await;
    let mut site = broker.site_of(plan(&settings).expect("right")).await;
    for expect in ["e-1", "e-2"] {
        let Input::PlateRead(read) = site.committed().await else { panic!("a plate") };
        assert_eq!(read.event, expect);
    }
    camera.publishes("mall/ramp/up/keep_alive", "{}", false).await;
    site.until(|metrics| metrics.health.of("cam").is_some_and(|health| health.heard.is_some())).await;
}

/// Nothing is wrong with the camera, and its own settings are not the place to look.
#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_that_the_broker_refuses_is_told_with_its_topic_and_where_to_allow_it() {
    let mut broker = Mosquitto::that_refuses("device/+/message/up/#").await;
    let settings = settings(broker.port, "vzenith/r-mqtt", &format!("sn = \"{SN}\""));
    let mut site = broker.site_of(plan(&settings).expect("right")).await;
    assert_eq!(site.metrics.rejections("devices", "subscription-refused"), 1);
    let found = site.devices.watch().now(Duration::ZERO);
    let seen = "the broker of the link broker refuses the subscription to device/+/message/up/#";
    let advice = "in the broker's access list, let the username of the link broker subscribe to and read device/+/";
    told(&found, "cam", Verdict::Fault, seen, advice);
    // In its other layout it is heard; what is refused may be its vehicles all the same.
    let mut camera = Camera::connect(broker.port).await;
    camera.publishes(&format!("{SN}/device/message/up/ivs_result"), &plate("粤B12345", 1), false).await;
    assert!(matches!(site.committed().await, Input::PlateRead(_)));
    told(&site.devices.watch().now(Duration::ZERO), "cam", Verdict::Fault, seen, advice);
}

/// What one device's profile does not know may be the answer for which another one waits.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_on_a_topic_of_two_products_reaches_the_one_that_waits_for_it() {
    let own = tempfile::tempdir().expect("a directory");
    let head = |id: &str| {
        format!(
            r#"
            layouts = ["shared"]
            [profile]
            id = "own/{id}"
            vendor = "Own"
            product = "one of two"
            link = "mqtt"
            [params.name]
            type = "text"
            required = true
            help = "its name"
            [identity]
            param = "name"
            paths = ["name"]
            "#
        )
    };
    let sees = r#"
        [[message]]
        name = "plate"
        topics = ["{layout}/all"]
        when = [{ path = "kind", is = ["plate"] }]
        emits = "plate_read"
        fields.event = { path = "event" }
        fields.plate = { path = "plate" }
    "#;
    let raises = r#"
        [[command]]
        name = "raise"
        ack = "device"
        topic = "device/b/message/down/open"
        payload = '{"id":"{id}","output":"{output}","pulse_ms":"{pulse_ms}"}'
        args = { output = { min = 0, max = 1 }, pulse_ms = { min = 100, max = 5000 } }
        reply = { topics = ["{layout}/all"], id = "id", success = { path = "ok", is = [true] }, timeout_ms = 5000 }
    "#;
    for (id, words) in [("sees", sees), ("raises", raises)] {
        std::fs::write(own.path().join(format!("{id}.toml")), head(id) + words).expect("written");
    }
    let catalogue = Catalogue::load(Some(own.path())).expect("right");
    let mut broker = Mosquitto::start().await;
    let settings = format!(
        r#"
        links = [{{ id = "broker", kind = "mqtt", port = {} }}]
        devices = [
          {{ id = "a-cam", profile = "own/sees", link = "broker", params = {{ name = "a" }} }},
          {{ id = "b-arm", profile = "own/raises", link = "broker", params = {{ name = "b" }} }},
        ]
        [[lanes]]
        id = "entry-1"
        direction = "entry"
        camera = "a-cam"
        barrier = {{ device = "b-arm", output = 0, pulse_ms = 500 }}
        "#,
        broker.port
    );
    let mut site = broker.site_of(planned(&settings, &catalogue).expect("right settings")).await;
    let mut camera = Camera::connect(broker.port).await;
    site.raise("entry-1", "box/1/7/0").await;
    let command = camera.told().await;
    camera.publishes("shared/all", &json!({"id": command["id"], "ok": true}).to_string(), false).await;
    assert_eq!(site.answer("box/1/7/0").await, CommandAnswer::Accepted);
    assert_eq!(site.metrics.rejections("devices", "unknown-message"), 0, "somebody knew it");
    camera.publishes("shared/all", r#"{"kind":"weather"}"#, false).await;
    site.until(|metrics| metrics.rejections("devices", "unknown-message") == 1).await;
    assert_eq!(site.metrics.rejections("devices", "missing-field"), 0, "once for all of them");
}

/// One camera, in sight of no lane of its own.
fn settings(port: u16, profile: &str, params: &str) -> String {
    format!(
        r#"
        links = [{{ id = "broker", kind = "mqtt", port = {port} }}]
        devices = [{{ id = "cam", profile = "{profile}", link = "broker", params = {{ {params} }} }}]
        [[lanes]]
        id = "entry-1"
        direction = "entry"
        camera = "cam"
        barrier = {{ device = "cam", output = 0, pulse_ms = 1500 }}
        "#
    )
}
