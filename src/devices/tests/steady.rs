//! Loops that chatter, of devices that tell their inputs by themselves: one change is one input of the loop, and the
//! broker keeps it until it is on disk.

use super::broker::{Camera, Mosquitto, SN, event, input, plate};
use super::push::{self, curl};
use super::*;
use crate::domain::event::{EmergencySource, LaneId};
use crate::domain::lane::LoopRole;

#[tokio::test(flavor = "multi_thread")]
async fn a_loop_that_chatters_at_a_broker_is_one_change_and_holds_up_no_plate() {
    let mut broker = Mosquitto::start().await;
    let mut site = broker.site_of(patient(broker.port)).await;
    let mut camera = Camera::connect(broker.port).await;
    for value in [1, 0, 1, 0, 1] {
        camera.says("gpio_in", &input(0, value)).await;
    }
    camera.says("ivs_result", &plate("粤B12345", 1)).await;
    assert_eq!(event(&site.committed().await), "e-1", "a plate waits for nobody");
    assert_eq!(site.committed().await, arrival(true));
    camera.says("gpio_in", &input(0, 1)).await;
    assert_eq!(site.committed().await, arrival(true), "what is said again is told at once");
    camera.says("gpio_in", &input(0, 2)).await;
    assert_eq!([site.committed().await, site.committed().await], [arrival(true), arrival(false)], "a pulse is one");
    for value in [1, 0, 1, 0] {
        camera.says("gpio_in", &input(0, value)).await;
    }
    camera.says("ivs_result", &plate("粤B12345", 2)).await;
    assert_eq!(event(&site.committed().await), "e-2");
    camera.says("gpio_in", &input(0, 1)).await;
    assert_eq!(site.committed().await, arrival(true), "nothing was told of what ended as it had been");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_level_that_is_not_on_disk_comes_again() {
    let mut broker = Mosquitto::start().await;
    let mut site = broker.site_of(patient(broker.port)).await;
    let mut camera = Camera::connect(broker.port).await;
    camera.says("gpio_in", &input(0, 1)).await;
    camera.says("ivs_result", &plate("粤B12345", 1)).await;
    assert_eq!(event(&site.committed().await), "e-1", "heard after the loop");
    site.devices.stop().await;
    // The box ended before the level was steady; now it ends before the level is on disk.
    let mut site = broker.site_of(patient(broker.port)).await;
    let uncommitted = in_time(async {
        loop {
            let envelope = site.next().await;
            if envelope.input == arrival(true) {
                return envelope;
            }
            let _ = envelope.reply.send(Reply::Done);
        }
    })
    .await;
    camera.says("ivs_result", &plate("粤B12346", 2)).await;
    assert_eq!(event(&site.committed().await), "e-2", "it holds up nobody");
    site.devices.stop().await;
    drop(uncommitted);
    let mut site = broker.site_of(patient(broker.port)).await;
    let again = [site.committed().await, site.committed().await, site.committed().await];
    assert!(again.contains(&arrival(true)), "it never was on disk: {again:?}");
}

/// What a broker has of a fire panel's contact is where it stands now: its last word counts, however much was said before, and
/// a word that it retained is of no known age. The loops of the same device are heard in their order.
#[tokio::test(flavor = "multi_thread")]
async fn a_fire_that_is_over_when_the_box_comes_back_opens_nothing_and_one_that_burns_does() {
    let mut broker = Mosquitto::start().await;
    let mut camera = Camera::connect(broker.port).await;
    let topic = format!("device/{SN}/message/up/gpio_in");
    camera.publishes(&topic, &input(1, 1), true).await;
    let calls = Input::Emergency { source: EmergencySource::Contact, active: true };
    let mut site = broker.site_of(fire(broker.port)).await;
    camera.says("ivs_result", &plate("粤B12345", 1)).await;
    assert_eq!(event(&site.committed().await), "e-1", "the retained word is no call");
    broker.log("Received PUBACK from gatepost-mall-1").await;
    site.devices.stop().await;

    for (number, value) in [(1, 1), (0, 1), (0, 0), (1, 0)] {
        camera.says("gpio_in", &input(number, value)).await;
    }
    let mut site = broker.site_of(fire(broker.port)).await;
    let mut heard = vec![site.committed().await, site.committed().await, site.committed().await];
    let over = Input::Emergency { source: EmergencySource::Contact, active: false };
    assert!(heard.contains(&over), "it burnt while the box was away, and does not now: {heard:?}");
    heard.retain(|input| *input != over);
    assert_eq!(heard, [arrival(true), arrival(false)]);
    for _ in 0..4 {
        broker.log("Received PUBACK from gatepost-mall-1").await;
    }
    site.devices.stop().await;

    for value in [1, 0, 1] {
        camera.says("gpio_in", &input(1, value)).await;
    }
    let mut site = broker.site_of(fire(broker.port)).await;
    assert_eq!(site.committed().await, calls, "late is better than never");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_that_tells_a_level_is_answered_once_it_is_on_disk() {
    let (mut site, address) = push::site_with("debounce_ms = 50").await;
    let path = "/vzenith/input";
    let gio = r#"{"AlarmGioIn":{"deviceName":"IN-1","ipaddr":"192.168.22.2","serialno":"0f823866-d2dc45ab","result":{"TriggerResult":{"source":0,"value":1}}}}"#;
    let post = curl(address, path, gio);
    let envelope = site.next().await;
    assert_eq!(envelope.input, arrival(true));
    assert!(!post.is_finished(), "answered before its commit");
    let _ = envelope.reply.send(Reply::Done);
    assert!(post.await.expect("curl ran").ends_with(" 200"));
}

#[test]
fn what_nobody_polls_has_no_poll_ms_and_what_has_no_inputs_no_debounce() {
    let wrong = |profile: &str, link: &str, more: &str| {
        let text = format!(
            "links = [{{ id = \"l\", {link} }}]\n\
             devices = [{{ id = \"d\", profile = \"{profile}\", link = \"l\", {more} }}]\n"
        );
        let mistakes = plan(&text).expect_err("wrong settings");
        mistakes.iter().map(|mistake| format!("{}; allowed: {}", mistake.wrong, mistake.allowed)).collect::<Vec<_>>()
    };
    let mqtt = "kind = \"mqtt\"";
    let named = "params = { name = \"in-1\" }";
    assert_eq!(
        wrong("gatepost/mqtt", mqtt, &format!("{named}, poll_ms = 50")),
        ["gatepost/mqtt is not polled: it speaks by itself; allowed: no poll_ms; debounce_ms for its inputs"]
    );
    assert_eq!(
        wrong("gatepost/mqtt", mqtt, &format!("{named}, debounce_ms = 2001")),
        ["debounce_ms is 2001; allowed: 0 to 2000"]
    );
    let line = "kind = \"serial\", path = \"/dev/ttyS1\"";
    assert_eq!(
        wrong("escpos/printer", line, "debounce_ms = 20"),
        ["escpos/printer has no inputs; allowed: no debounce_ms"]
    );
}

#[test]
fn a_camera_that_times_its_pulse_by_itself_is_given_none() {
    let lane = |pulse: &str| {
        plan(&format!(
            r#"
            links = [{{ id = "l", kind = "http-push", listen = "127.0.0.1:8090" }}]
            devices = [{{ id = "cam", profile = "hikvision/isapi", link = "l", params = {{ name = "a" }}, address = "b" }}]
            [[lanes]]
            id = "exit-1"
            direction = "exit"
            camera = "cam"
            barrier = {{ device = "cam", output = 0{pulse} }}
            "#
        ))
    };
    assert!(lane("").is_ok());
    let mistakes = lane(", pulse_ms = 500").expect_err("nobody would heed it");
    assert_eq!(mistakes[0].wrong, "the device times the pulse by its own settings and is told of none");
}

fn arrival(occupied: bool) -> Input {
    Input::LoopChanged { lane: LaneId::from("entry-1"), role: LoopRole::Arrival, occupied }
}

/// A camera on which a fire panel's contact hangs beside a loop.
fn fire(port: u16) -> Plan {
    plan(&format!(
        r#"
        links = [{{ id = "broker", kind = "mqtt", port = {port} }}]
        devices = [{{ id = "cam", profile = "vzenith/r-mqtt", link = "broker", params = {{ sn = "{SN}" }} }}]
        emergency = {{ device = "cam", input = 1 }}
        [[lanes]]
        id = "entry-1"
        direction = "entry"
        camera = "cam"
        barrier = {{ device = "cam", output = 0, pulse_ms = 500 }}
        arrival_loop = {{ device = "cam", input = 0 }}
        "#
    ))
    .expect("right settings")
}

/// A camera whose loop must be as it is for a second.
fn patient(port: u16) -> Plan {
    plan(&format!(
        r#"
        links = [{{ id = "broker", kind = "mqtt", port = {port} }}]
        devices = [{{ id = "cam", profile = "vzenith/r-mqtt", link = "broker", params = {{ sn = "{SN}" }}, debounce_ms = 1000 }}]
        [[lanes]]
        id = "entry-1"
        direction = "entry"
        camera = "cam"
        barrier = {{ device = "cam", output = 0, pulse_ms = 500 }}
        arrival_loop = {{ device = "cam", input = 0 }}
        "#
    ))
    .expect("right settings")
}
