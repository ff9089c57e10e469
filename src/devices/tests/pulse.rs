//! Devices that go away and come back, as the loop hears of them: a broker that is gone, a port that is pulled out, a
//! camera that falls silent.

use tokio_serial::{SerialPort, SerialStream};

use super::broker::{Mosquitto, settings};
use super::push::{self, curl};
use super::*;

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

/// The next device that is away, and why.
async fn lost(site: &mut Site) -> (String, String) {
    loop {
        if let Input::DeviceLost { device, why } = site.committed().await {
            return (device.0, why);
        }
    }
}

async fn back(site: &mut Site) -> String {
    loop {
        if let Input::DeviceBack { device } = site.committed().await {
            return device.0;
        }
    }
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

/// A printer, which is not asked anything regularly.
fn line(directory: &Path) -> Plan {
    let path = directory.join("ttyLINE").display().to_string();
    plan(&format!(
        "links = [{{ id = \"line\", kind = \"serial\", path = {path:?} }}]\n\
         devices = [{{ id = \"card\", profile = \"escpos/printer\", link = \"line\" }}]\n"
    ))
    .expect("right settings")
}
