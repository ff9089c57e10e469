//! Devices that go away and come back, as the loop hears of them: a broker that is gone, a port that is pulled out, a
//! camera that falls silent.

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{LastWill, Packet};
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use tokio_serial::{SerialPort, SerialStream};

use super::broker::{Mosquitto, settings};
use super::push::{self, curl};
use super::*;
use crate::metrics::Trouble;

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_whose_broker_is_gone_is_lost() {
    let mut broker = Mosquitto::start().await;
    let mut site = Site::watched(settings(broker.port, None));
    broker.is_subscribed().await;
    site.until(|metrics| metrics.is_link_up("broker")).await;
    drop(broker);
    let (device, why) = lost(&mut site).await;
    assert_eq!(why, "its link broker is down", "{device}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_whose_port_is_pulled_out_is_lost_and_back_with_the_port() {
    let directory = tempfile::tempdir().expect("a directory");
    let ends = plug_in(directory.path());
    let mut site = Site::watched(line(directory.path()));
    site.until(|metrics| metrics.is_link_up("line")).await;
    // The number of a pseudo-terminal that is gone is soon another one's.
    std::fs::remove_file(directory.path().join("ttyLINE")).expect("unplugged");
    drop(ends);
    assert_eq!(lost(&mut site).await, ("card".to_owned(), "its link line is down".to_owned()));
    let _ends = plug_in(directory.path());
    assert_eq!(back(&mut site).await, "card");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_that_posts_nothing_for_its_time_is_lost_and_back_with_one_word() {
    let (mut site, address) = push::site_with("silent_ms = 500").await;
    assert_eq!(lost(&mut site).await, ("cam".to_owned(), "it has said nothing for 0 s".to_owned()));
    let polling = curl(address, "/devicemanagement/php/receivedeviceinfo.php", "serialno=0f823866-d2dc45ab");
    assert_eq!(polling.await.expect("curl ran"), "{} 200");
    assert_eq!(back(&mut site).await, "cam");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_of_the_native_dialect_that_dies_is_lost_by_its_last_will_and_back_when_it_says_so() {
    let mut broker = Mosquitto::start().await;
    // What somebody has had kept besides the state is of another time: nobody stands there, and nothing was answered.
    let mut keeper = Native::connect_as(broker.port, "keeper", None).await;
    keeper.publishes("gatepost/in-1/plate", r#"{"event":"e1","plate":"粤B12345"}"#, true).await;
    keeper.publishes("gatepost/in-1/raise/answer", r#"{"id":"c1","taken":true}"#, true).await;
    let mut site = Site::watched(native(broker.port));
    broker.is_subscribed().await;
    site.until(|metrics| metrics.is_link_up("broker")).await;
    let device = Native::connect(broker.port).await;
    site.until(|metrics| metrics.health.of("cam").is_some_and(|health| health.heard.is_some())).await;
    let died = tokio::time::Instant::now();
    device.dies();
    let gone = "it said that it goes, or its broker that it is gone".to_owned();
    assert_eq!(lost(&mut site).await, ("cam".to_owned(), gone.clone()));
    assert!(died.elapsed() < super::super::pulse::AWAY, "no pause: it is certain");
    assert_eq!(site.metrics.health.of("cam").expect("known").trouble, Some(Trouble::Gone));
    site.devices.stop().await;

    // A box that starts now finds what the broker has kept.
    let mut site = Site::watched(native(broker.port));
    assert_eq!(lost(&mut site).await, ("cam".to_owned(), gone));
    let mut device = Native::connect(broker.port).await;
    assert_eq!(back(&mut site).await, "cam");
    device.publishes("gatepost/in-1/plate", r#"{"event":"e2","plate":"粤B12345"}"#, false).await;
    assert_eq!(site.metrics.rejections("devices", "unmatched-answer"), 0, "no old answer was heard");
    let heard = site.committed().await;
    let Input::PlateRead(read) = &heard else { panic!("{heard:?}") };
    assert_eq!(read.event, "e2", "what was kept was not heard");
}

/// The next device that is away, and why.
async fn lost(site: &mut Site) -> (String, String) {
    in_time(async {
        loop {
            let input = site.committed().await;
            nobody_stands_there(&input);
            if let Input::DeviceLost { device, why } = input {
                return (device.0, why);
            }
        }
    })
    .await
}

async fn back(site: &mut Site) -> String {
    in_time(async {
        loop {
            let input = site.committed().await;
            nobody_stands_there(&input);
            if let Input::DeviceBack { device } = input {
                return device.0;
            }
        }
    })
    .await
}

fn nobody_stands_there(input: &Input) {
    assert!(!matches!(input, Input::PlateRead(_)), "{input:?}");
}

fn plug_in(directory: &Path) -> (SerialStream, SerialStream) {
    let (line, other_end) = SerialStream::pair().expect("a pseudo-terminal");
    let name = other_end.name().expect("a named end");
    let link = directory.join("ttyLINE");
    // The one before is gone with its port.
    let _ = std::fs::remove_file(&link);
    std::os::unix::fs::symlink(name, link).expect("linked");
    (line, other_end)
}

/// A camera of the native dialect, which has a last will.
struct Native {
    client: AsyncClient,
    connection: EventLoop,
}

impl Native {
    async fn connect(port: u16) -> Self {
        let mut native = Self::connect_as(port, "in-1", Some(r#"{"online":false}"#)).await;
        native.publishes("gatepost/in-1/state", r#"{"online":true}"#, true).await;
        native
    }

    async fn connect_as(port: u16, id: &str, will: Option<&str>) -> Self {
        let mut options = MqttOptions::new(id, "127.0.0.1", port);
        if let Some(will) = will {
            options.set_last_will(LastWill::new("gatepost/in-1/state", will.to_owned(), QoS::AtLeastOnce, true, None));
        }
        let (client, connection) = AsyncClient::new(options, 16);
        Self { client, connection }
    }

    async fn publishes(&mut self, topic: &str, body: &str, retain: bool) {
        self.client.publish(topic, QoS::AtLeastOnce, retain, body.to_owned()).await.expect("handed");
        let taken = async {
            while !matches!(self.connection.poll().await.expect("connected"), Event::Incoming(Packet::PubAck(_))) {}
        };
        in_time(taken).await;
    }

    /// Without a word: the broker speaks for it.
    fn dies(self) {
        drop(self.connection);
    }
}

fn native(port: u16) -> Plan {
    plan(&format!(
        r#"
        links = [{{ id = "broker", kind = "mqtt", port = {port} }}]
        devices = [{{ id = "cam", profile = "gatepost/mqtt", link = "broker", params = {{ name = "in-1" }} }}]
        [[lanes]]
        id = "entry-1"
        direction = "entry"
        camera = "cam"
        barrier = {{ device = "cam", output = 0, pulse_ms = 500 }}
        "#
    ))
    .expect("right settings")
}

/// A printer, which is not asked anything regularly.
fn line(directory: &Path) -> Plan {
    let path = directory.join("ttyLINE").display().to_string();
    plan(&format!(
        "links = [{{ id = \"line\", kind = \"serial\", path = {path:?} }}]\n\
         devices = [{{ id = \"card\", profile = \"escpos/printer\", link = \"line\" }}]\n"
    ))
    .expect("right settings")
}
