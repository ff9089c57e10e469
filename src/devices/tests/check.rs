//! A dry talk over real links: each device with its own fault, told with what to do, and no barrier moved.

use std::sync::Mutex;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_serial::{SerialPort, SerialStream};

use super::super::check::{Asking, Finding, Verdict, Watch, talk};
use super::broker::{Camera, Mosquitto, SN};
use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_is_told_with_what_to_do_and_no_barrier_moves() {
    // Another test may have installed it already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let directory = tempfile::tempdir().expect("a directory");
    let heard = Arc::new(Mutex::new(Vec::new()));
    let _good = answering(directory.path(), "good", &[0x01, 0x02, 0x01, 0x00, 0xA1, 0x88], &heard);
    // What an even parity bit does to a line that expects none.
    let _parity = answering(directory.path(), "parity", &[0x01, 0x82, 0x81, 0x00, 0x21, 0x88], &heard);
    let _dead = answering(directory.path(), "dead", &[], &heard);
    let camera = refusing_logins().await;
    let broker = Mosquitto::start_with("allow_anonymous false").await;
    let path = |name: &str| directory.path().join(name).display().to_string();
    let (good, parity, dead, gone) = (path("good"), path("parity"), path("dead"), path("gone"));
    let text = format!(
        r#"
        links = [
          {{ id = "good", kind = "serial", path = "{good}" }}, {{ id = "parity", kind = "serial", path = "{parity}" }},
          {{ id = "dead", kind = "serial", path = "{dead}" }}, {{ id = "gone", kind = "serial", path = "{gone}" }},
          {{ id = "no-broker", kind = "mqtt", port = {} }}, {{ id = "closed", kind = "mqtt", port = {} }},
          {{ id = "posts", kind = "http-push", listen = "127.0.0.1:{}" }},
        ]
        devices = [
          {{ id = "a-board", profile = "waveshare/modbus-relay-8", link = "good" }},
          {{ id = "b-parity", profile = "waveshare/modbus-relay-8", link = "parity" }},
          {{ id = "c-dead", profile = "osdp/reader", link = "dead" }},
          {{ id = "d-gone", profile = "wiegand/reader", link = "gone" }},
          {{ id = "e-no-broker", profile = "vzenith/r-mqtt", link = "no-broker", params = {{ sn = "a1" }} }},
          {{ id = "f-closed", profile = "vzenith/r-mqtt", link = "closed", params = {{ sn = "a2" }} }},
          {{ id = "g-login", profile = "hikvision/isapi", link = "posts", params = {{ name = "a" }}, address = "{camera}", username = "box", password = "wrong" }},
        ]

        [[lanes]]
        id = "exit-1"
        direction = "exit"
        camera = "g-login"
        barrier = {{ device = "a-board", output = 0, pulse_ms = 500 }}
        "#,
        super::broker::free_port(),
        broker.port,
        super::broker::free_port(),
    );
    let plan = plan(&text).expect("right settings");
    let now: Clock = Arc::new(|| UtcMs(1_772_294_400_000));
    let found = talk(plan, now, Duration::from_secs(3)).await;
    told(&found, "a-board", Verdict::Well, "heard", "");
    told(&found, "b-parity", Verdict::Fault, "what it sends is no answer", "baud and parity of the link");
    told(&found, "c-dead", Verdict::Fault, "it does not answer", "its power, A and B of the line");
    told(&found, "d-gone", Verdict::Fault, "the link gone is down", "ls -l /dev/serial/by-id");
    told(&found, "e-no-broker", Verdict::Fault, "the link no-broker is down", "start the broker");
    told(&found, "f-closed", Verdict::Fault, "the link closed is down", "username and password of the link");
    told(&found, "g-login", Verdict::Fault, "it does not accept our login", "set username and password of the device");
    let frames = heard.lock().expect("whole").clone();
    assert!(frames.iter().any(|frame: &Vec<u8>| frame.starts_with(&[0x01, 0x02])), "inputs were read");
    assert!(
        frames.iter().all(|frame| !frame.starts_with(&[0x01, 0x05])),
        "and no output was told anything: {frames:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_talk_with_a_camera_takes_nothing_from_the_daemon() {
    let mut broker = Mosquitto::start().await;
    let text = format!(
        r#"
        links = [{{ id = "broker", kind = "mqtt", port = {} }}]
        devices = [{{ id = "cam", profile = "vzenith/r-mqtt", link = "broker", params = {{ sn = "{SN}" }} }}]
        "#,
        broker.port
    );
    // The daemon has been here before: the broker keeps for it what cameras say while it is away.
    let daemon = broker.site_of(plan(&text).expect("right")).await;
    daemon.devices.stop().await;
    let mut camera = Camera::connect(broker.port).await;
    camera.says("keep_alive", "{}").await;
    let now: Clock = Arc::new(|| UtcMs(1_772_294_400_000));
    let checking = tokio::spawn(talk(plan(&text).expect("right"), now, Duration::from_secs(20)));
    broker.log("Sending SUBACK to gatepost-mall-1-check").await;
    camera.says("keep_alive", "{}").await;
    let found = checking.await.expect("it ran");
    told(&found, "cam", Verdict::Well, "heard", "");
    let mut daemon = Site::start(plan(&text).expect("right"));
    daemon.until(|metrics| metrics.is_link_up("broker")).await;
    daemon.until(|metrics| metrics.health.of("cam").is_some_and(|health| health.heard.is_some())).await;
    assert!(daemon.inputs.try_recv().is_err(), "a sign of life is no input");
}

/// Forty cameras behind a switch that is off must not make an installer wait for each of them in turn.
#[tokio::test]
async fn devices_are_asked_together() {
    let profile =
        Catalogue::load(None).expect("the shipped profiles").profile("escpos/printer").expect("shipped").clone();
    let devices =
        ["one", "two"].map(|link| (crate::domain::event::DeviceId::from(link), (link.to_owned(), profile.clone())));
    let devices = BTreeMap::from(devices);
    let metrics = Arc::new(Metrics::default());
    metrics.link_up("one", true);
    metrics.link_up("two", true);
    let watch = Watch::new(devices.clone(), BTreeMap::new(), metrics);
    let teller = Teller::new(devices, Allowance::remembered_in(None), Arc::new(|| UtcMs(0)));
    let ((queue_one, mut one), (queue_two, mut two)) = (mpsc::channel(8), mpsc::channel(8));
    teller.connect(BTreeMap::from([("one".to_owned(), queue_one), ("two".to_owned(), queue_two)]));
    let mut asking = Asking::default();
    asking.ask(&watch, &teller);
    // Neither is answered before both were asked.
    let orders = async { (one.recv().await.expect("asked"), two.recv().await.expect("asked")) };
    let (one, two) = timeout(PATIENCE, orders).await.expect("both are asked");
    assert_eq!([one.command, two.command], ["paper_state", "paper_state"]);
}

/// A clock that is hours off puts wrong times on record wherever the box believes it.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_far_off_is_a_fault() {
    let metrics = Arc::new(Metrics::default());
    let catalogue = Catalogue::load(None).expect("the shipped profiles");
    let profile = catalogue.profile("vzenith/r-mqtt").expect("it is shipped").clone();
    let devices = BTreeMap::from([("cam".into(), ("broker".to_owned(), profile))]);
    let watch = Watch::new(devices, BTreeMap::new(), Arc::clone(&metrics));
    metrics.link_up("broker", true);
    metrics.health.heard("cam");
    metrics.health.clock("cam", -59_000);
    told(&watch.now(Duration::ZERO), "cam", Verdict::Well, "59000 ms behind", "");
    metrics.health.clock("cam", 28_800_000);
    told(&watch.now(Duration::ZERO), "cam", Verdict::Fault, "28800000 ms ahead", "time zone");
}

/// What is to be done is the same whether the daemon runs beside the check or not.
#[test]
fn a_camera_that_could_be_asked_is_told_as_one_by_a_daemon_too() {
    let metrics = Arc::new(Metrics::default());
    let catalogue = Catalogue::load(None).expect("the shipped profiles");
    let profile = catalogue.profile("hikvision/isapi").expect("it is shipped").clone();
    let devices = BTreeMap::from([("cam".into(), ("posts".to_owned(), profile))]);
    let kinds = BTreeMap::from([("posts".to_owned(), super::super::settings::LinkKind::HttpPush)]);
    let watch = Watch::new(devices, kinds, Arc::clone(&metrics));
    metrics.link_up("posts", true);
    for _ in 0..3 {
        metrics.health.fails("cam", crate::metrics::Trouble::Silent);
    }
    told(&watch.now(Duration::ZERO), "cam", Verdict::Fault, "it does not answer", "its address in the settings");
}

pub(super) fn told(found: &[Finding], device: &str, verdict: Verdict, seen: &str, advice: &str) {
    let finding = found.iter().find(|finding| finding.device == device).expect("every device has a line");
    assert_eq!(finding.verdict, verdict, "{finding}");
    assert!(finding.seen.contains(seen), "{finding}\nshould say\n{seen}");
    assert!(finding.advice.contains(advice) && finding.advice.is_empty() == advice.is_empty(), "{finding}");
}

/// A device that answers everything with the same bytes; the box's end of its line has this name.
fn answering(directory: &Path, name: &str, answer: &'static [u8], heard: &Arc<Mutex<Vec<Vec<u8>>>>) -> SerialStream {
    let (mut line, other_end) = SerialStream::pair().expect("a pseudo-terminal");
    std::os::unix::fs::symlink(other_end.name().expect("a named end"), directory.join(name)).expect("linked");
    let heard = Arc::clone(heard);
    tokio::spawn(async move {
        let mut buffer = [0; 64];
        while let Ok(count) = line.read(&mut buffer).await {
            heard.lock().expect("whole").push(buffer[..count].to_vec());
            if count == 0 || line.write_all(answer).await.is_err() {
                return;
            }
        }
    });
    other_end
}

/// A camera that wants another password, whatever it is told.
async fn refusing_logins() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                while stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {
                    let challenge = "Digest realm=\"cam\", nonce=\"a\", qop=\"auth\", algorithm=MD5";
                    let answer = format!(
                        "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: {challenge}\r\nContent-Length: 0\r\n\r\n"
                    );
                    if stream.write_all(answer.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}
