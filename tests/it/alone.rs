//! The simulated devices alone, each over its real link, against the box: a dry talk, then the daemon and a technician.

use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use simulators::alone;
use simulators::faults::Fault;

use crate::boxed::{Broker, Site, gatepost, root};

/// Far beyond what any step takes, so that only a fault reaches it.
const PATIENCE: Duration = Duration::from_secs(20);
/// The camera's sign of life among what was recorded of it.
const KEEP_ALIVE: &str = "the camera is there";

#[test]
fn simulated_devices_pass_the_dry_talk_and_serve_the_daemon() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start(folder.path());
    let card = Alone::start("kf/dc199", "pty");
    let reader = Alone::start("osdp/reader", "pty");
    let board = Alone::start("waveshare/modbus-relay-8", "pty");
    let camera = Alone::start("vzenith/r-mqtt", &format!("mqtt://127.0.0.1:{}", broker.port));
    let (card_line, reader_line, board_line) = (card.hear("/dev/"), reader.hear("/dev/"), board.hear("/dev/"));
    camera.hear("things to say");
    let settings = SETTINGS
        .replace("CARD", &card_line)
        .replace("READER", &reader_line)
        .replace("BOARD", &board_line)
        .replace("BROKER", &broker.port.to_string());
    let mut site = Site::start_by(&settings, |file, _| {
        let number = camera.number_of(KEEP_ALIVE);
        let talk = std::thread::scope(|scope| {
            let talk = scope.spawn(|| checked(file));
            // A sign of life now and then, as a camera gives one.
            while !talk.is_finished() {
                camera.type_in(&format!("say {number}"));
                camera.hear("said");
            }
            talk.join().unwrap()
        });
        assert!(talk.contains("4 devices: 4 well, 0 quiet, 0 with a fault; no barrier was moved"), "{talk}");
        let mut command = gatepost();
        command.arg("run").arg("--config").arg(file);
        command
    });
    assert!(!board.has_said("Pulsed"), "the dry talk moved no barrier");

    reader.type_in("card 1 12345");
    site.until("the card is on record", |site| journal_of(site).contains("card_read"));
    let file = site.folder.path().join("gatepost.toml");
    let told = tell(&file, &["display", "say", "text=欢迎光临"]);
    assert_eq!(told, "taken\n", "the card answers");
    card.hear("00 64 FF FF 30");
    assert!(
        tell(&file, &["relays", "raise", "output=0", "pulse_ms=500"]).starts_with("not-allowed: raise is for the loop")
    );
    let moved = tell(&file, &["relays", "all_on"]);
    assert!(moved.starts_with("not-allowed: all_on of relays would move the arm of "), "{moved}");
    let known = checked(&file);
    assert!(known.contains("The daemon is running") && known.contains("display"), "{known}");
    site.daemon.kill();
    drop(site);
}

/// For training and for integrators: none of them needs anything but its profile and its link.
#[test]
fn every_shipped_product_runs_alone_over_its_own_link() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start(folder.path());
    for shipped in gatepost::profile::shipped::SHIPPED {
        let profile = shipped.file.trim_start_matches("device-profiles/").trim_end_matches(".toml");
        let kind = shipped.text.lines().find_map(|line| line.strip_prefix("link = ")).unwrap().trim_matches('"');
        let (link, words) = match kind {
            "mqtt" => (format!("mqtt://127.0.0.1:{}", broker.port), "things to say"),
            // One that reads pictures is only asked.
            "http" if shipped.text.contains("[read_picture]") => ("listen://127.0.0.1:0".to_owned(), "listening on"),
            "http" => ("http://127.0.0.1:1".to_owned(), "things to say"),
            "modbus-tcp" => ("listen://127.0.0.1:0".to_owned(), "listening on 127.0.0.1:"),
            "serial" | "modbus-rtu" | "wiegand" | "osdp" => ("pty".to_owned(), "/dev/"),
            other => panic!("{profile} has the link {other}"),
        };
        let device = Alone::start(profile, &link);
        device.hear(words);
        if kind == "modbus-tcp" {
            continue;
        }
        if link == "http://127.0.0.1:1" {
            device.type_in("say 0");
            device.hear("post to 127.0.0.1:1");
        }
        device.type_in("nonsense");
        device.hear("write `");
    }
}

/// Two implementations of the secure channel meet: the daemon's and the simulated reader's.
#[test]
fn a_reader_with_a_key_speaks_of_cards_over_the_secure_channel_and_to_no_other_key() {
    let key = "404142434445464748494A4B4C4D4E4F";
    let reader = Alone::start_with("osdp/reader", "pty", None, Some(key));
    let line = reader.hear("/dev/");
    let settings = |key: &str| KEYED_READER.replace("READER", &line).replace("KEY", key);
    let mut stranger = Site::start(&settings("404142434445464748494A4B4C4D4E40"));
    stranger.daemon.hear("different keys");
    stranger.daemon.kill();
    drop(stranger);
    let mut site = Site::start(&settings(key));
    // Authenticated and encrypted: a reply on the open channel with the card in it.
    reader.type_in("card 1 12345");
    site.until("the card is on record", |site| journal_of(site).contains("card_read"));
    assert!(reader.has_said(" 02 18 50 ") && !reader.has_said("80 98 1C C0"), "the card went over the line encrypted");
    site.daemon.kill();
}

#[test]
fn a_camera_that_is_asked_for_its_stream_wants_to_know_by_whom() {
    let camera = Alone::start_with("hikvision/isapi", "listen://127.0.0.1:0", Some("box:Circle Of Life"), None);
    let address = camera.hear("listening on ").replace("listening on ", "");
    let mut site = Site::start(&STREAMED.replace("CAMERA", &address));
    // Whichever question comes first; the stream may know the login by then.
    camera.hear("-> 401");
    camera.hear("alertStream -> the stream");
    camera.type_in("list");
    let number = camera.hear("a plate in the stream").split(':').next().unwrap().to_owned();
    camera.type_in(&format!("say {number} 粤B12345=粤B54321"));
    camera.hear("to 1:");
    site.until("the plate is on record", |site| journal_of(site).contains("粤B54321"));
    camera.hear("PUT /ISAPI/Parking/channels/1/barrierGate -> 200");
    site.daemon.kill();
}

#[test]
fn an_engine_alone_reads_the_pictures_of_a_camera_and_answers_what_is_typed() {
    let engine = Alone::start_with("hyperlpr/rest", "listen://127.0.0.1:0", None, None);
    let address = engine.hear("listening on ").replace("listening on ", "");
    let posts = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let mut site = Site::start(&LOOKED_AT_TWICE.replace("POSTS", &posts).replace("ENGINE", &address));
    engine.hear("GET / -> 200");
    let looks = |site: &Site| journal_of(site).matches("picture_of").count();
    arrive("粤B54321", &["--device", "vzenith-http", "--posts", &posts]).unwrap();
    engine.hear("POST /api/v1/rec -> 200");
    site.until("what it read is on record", |site| looks(site) > 0);
    let before = looks(&site);
    // The engine fails at the next picture, and the vehicle passes all the same.
    engine.type_in("say 6");
    engine.hear("the next picture gets: the engine failed");
    arrive("粤B98765", &["--device", "vzenith-http", "--posts", &posts]).unwrap();
    let refused = "gatepost_rejections_total{room=\"devices\",reason=\"unsupported\"}";
    site.until("the failure is counted", |site| site.metric(refused) == 1);
    assert_eq!(looks(&site), before, "it said nothing");
    site.daemon.kill();
}

#[test]
fn a_vehicle_at_any_kind_of_camera_is_read_by_the_box() {
    let posts = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut site = Site::start(&POSTED.replace("POSTS", &posts.to_string()));
    arrive("粤B54321", &["--device", "rekor", "--posts", &posts.to_string()]).unwrap();
    site.until("the plate is on record", |site| journal_of(site).contains("粤B54321"));
    let wrong = arrive("粤B54321", &["--device", "rekor", "--loops"]).unwrap_err().to_string();
    assert!(wrong.contains("the loops of rekor are on a board or card"), "{wrong}");
    let wrong = arrive("粤B54321", &["--device", "hikvision-stream", "--wait", "0"]).unwrap_err().to_string();
    assert!(wrong.contains("nobody asked for the stream within 0 s"), "{wrong}");
    site.daemon.kill();
}

/// Each kind of device on a line: the box tells what is wrong with its answers, and finds it again.
#[test]
fn devices_whose_answers_suffer_are_found_again() {
    // In the order in which they strike.
    let all = [Fault::Duplicated, Fault::Corrupted, Fault::Lost, Fault::Late];
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start(folder.path());
    let devices =
        ["kf/dc199", "osdp/reader", "waveshare/modbus-relay-8"].map(|profile| Alone::suffering(profile, &all));
    let [card, reader, board] = devices.each_ref().map(|device| device.hear("/dev/"));
    let settings = SETTINGS.replace("CARD", &card).replace("READER", &reader).replace("BOARD", &board);
    let mut site = Site::start(&settings.replace("BROKER", &broker.port.to_string()));
    for fault in all {
        devices.iter().for_each(|device| drop(device.hear(&format!("! {}, 1:", fault.name()))));
    }
    for device in ["display", "reader", "relays"] {
        let up = format!("gatepost_device_up{{device=\"{device}\"}}");
        site.until("it is found again", |site| site.metric(&up) == 1);
    }
    site.daemon.kill();
}

#[test]
fn a_board_with_a_network_plug_answers_with_the_request_s_own_number() {
    use std::io::{Read, Write};
    let board = Alone::start("waveshare/modbus-poe-eth-relay-b", "listen://127.0.0.1:0");
    let address = board.hear("listening on ").replace("listening on ", "");
    let mut line = std::net::TcpStream::connect(address).unwrap();
    line.write_all(&[0x12, 0x34, 0, 0, 0, 6, 1, 5, 2, 0, 0, 5]).unwrap();
    let mut answer = [0; 12];
    line.read_exact(&mut answer).unwrap();
    assert_eq!(answer, [0x12, 0x34, 0, 0, 0, 6, 1, 5, 2, 0, 0, 5]);
}

const SETTINGS: &str = r#"
[[links]]
id = "broker"
kind = "mqtt"
port = BROKER
[[links]]
id = "card-line"
kind = "serial"
path = "CARD"
[[links]]
id = "reader-line"
kind = "serial"
path = "READER"
[[links]]
id = "board-line"
kind = "serial"
path = "BOARD"
[[devices]]
id = "camera"
profile = "vzenith/r-mqtt"
link = "broker"
params = { sn = "265e1040-85e01fb7" }
[[devices]]
id = "display"
profile = "kf/dc199"
link = "card-line"
[[devices]]
id = "reader"
profile = "osdp/reader"
link = "reader-line"
[[devices]]
id = "relays"
profile = "waveshare/modbus-relay-8"
link = "board-line"
[[lanes]]
id = "out"
direction = "exit"
camera = "camera"
reader = "reader"
barrier = { device = "relays", output = 0, pulse_ms = 500 }
arrival_loop = { device = "relays", input = 0 }
"#;

const KEYED_READER: &str = r#"
[[links]]
id = "readers"
kind = "serial"
path = "READER"
[[devices]]
id = "reader"
profile = "osdp/reader"
link = "readers"
password = "KEY"
[[links]]
id = "posts"
kind = "http-push"
listen = "127.0.0.1:0"
[[devices]]
id = "camera"
profile = "vzenith/r-http"
link = "posts"
params = { sn = "0f823866-d2dc45ab" }
[[lanes]]
id = "out"
direction = "exit"
camera = "camera"
barrier = { device = "camera", output = 0, pulse_ms = 500 }
reader = "reader"
"#;

/// A vehicle at a simulated camera `in`.
fn arrive(plate: &str, words: &[&str]) -> anyhow::Result<()> {
    #[derive(clap::Parser)]
    struct Command {
        #[command(flatten)]
        options: simulators::passage::Options,
    }
    let _ = rustls::crypto::ring::default_provider().install_default();
    let command: Command = clap::Parser::parse_from([&["camera", "--sn", "in", "--plate", plate], words].concat());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(simulators::passage::run(command.options, |_| {}))
}

const LOOKED_AT_TWICE: &str = r#"
[[links]]
id = "posts"
kind = "http-push"
listen = "POSTS"
[[links]]
id = "engines"
kind = "http-ask"
[[devices]]
id = "camera"
profile = "vzenith/r-http"
link = "posts"
params = { sn = "in" }
[[devices]]
id = "engine"
profile = "hyperlpr/rest"
link = "engines"
address = "ENGINE"
reads = ["camera"]
[[lanes]]
id = "entry"
direction = "entry"
camera = "camera"
same_vehicle_ms = 50
passed_by = "timeout"
pass_timeout_ms = 50
barrier = { device = "camera", output = 0, pulse_ms = 500 }
"#;

const POSTED: &str = r#"
[[links]]
id = "posts"
kind = "http-push"
listen = "POSTS"
[[devices]]
id = "camera"
profile = "rekor/webhook"
link = "posts"
params = { name = "in" }
[[devices]]
id = "gate"
profile = "vzenith/r-http"
link = "posts"
params = { sn = "0f823866-d2dc45ab" }
[[lanes]]
id = "out"
direction = "exit"
camera = "camera"
barrier = { device = "gate", output = 0, pulse_ms = 500 }
"#;

const STREAMED: &str = r#"
[[links]]
id = "streams"
kind = "http-stream"
[[devices]]
id = "camera"
profile = "hikvision/isapi"
link = "streams"
address = "CAMERA"
username = "box"
password = "Circle Of Life"
params = { name = "exit-1" }
[[lanes]]
id = "in"
direction = "entry"
camera = "camera"
barrier = { device = "camera", output = 0 }
"#;

fn journal_of(site: &Site) -> String {
    let ledger = site.folder.path().join("ledger.db");
    let journal = gatepost().args(["journal", "tail", "--ledger"]).arg(ledger).output().unwrap();
    String::from_utf8(journal.stdout).unwrap()
}

fn checked(settings: &Path) -> String {
    let checked = gatepost().args(["check", "--wait", "20", "--config"]).arg(settings).output().unwrap();
    String::from_utf8([checked.stdout, checked.stderr].concat()).unwrap()
}

fn tell(settings: &Path, words: &[&str]) -> String {
    let mut command: Command = gatepost();
    let told = command.arg("tell").args(words).arg("--config").arg(settings).output().unwrap();
    String::from_utf8([told.stdout, told.stderr].concat()).unwrap()
}

fn options(profile: &str, link: &str) -> alone::Options {
    alone::Options {
        profile: profile.to_owned(),
        link: link.to_owned(),
        profiles: Some(root().join("device-profiles")),
        params: Vec::new(),
        play: false,
        login: None,
        key: None,
        faults: Vec::new(),
    }
}

/// One device alone, on a thread of its own.
pub struct Alone {
    typed: tokio::sync::mpsc::Sender<String>,
    said: Mutex<(mpsc::Receiver<String>, Vec<String>)>,
}

impl Alone {
    pub fn start(profile: &str, link: &str) -> Self {
        Self::start_with(profile, link, None, None)
    }

    /// One on a line of its own whose answers suffer.
    fn suffering(profile: &str, faults: &[Fault]) -> Self {
        Self::start_by(alone::Options { faults: faults.to_vec(), ..options(profile, "pty") })
    }

    /// The same for a device that demands a login, or a reader that has a key.
    fn start_with(profile: &str, link: &str, login: Option<&str>, key: Option<&str>) -> Self {
        let (login, key) = (login.map(str::to_owned), key.map(str::to_owned));
        Self::start_by(alone::Options { login, key, ..options(profile, link) })
    }

    fn start_by(options: alone::Options) -> Self {
        // Another test may have done it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (typed, lines) = tokio::sync::mpsc::channel(16);
        let (tell, said) = mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let tell = Mutex::new(tell);
            let say = |line: &str| {
                // The test may be over.
                let _ = tell.lock().unwrap().send(line.to_owned());
            };
            runtime.block_on(alone::run(&options, lines, &say))
        });
        Self { typed, said: Mutex::new((said, Vec::new())) }
    }

    fn type_in(&self, line: &str) {
        self.typed.blocking_send(line.to_owned()).unwrap();
    }

    /// The next line with these words.
    pub fn hear(&self, words: &str) -> String {
        let mut said = self.said.lock().unwrap();
        // In all: one that is asked every second always says something.
        let until = std::time::Instant::now() + PATIENCE;
        loop {
            let left = until.saturating_duration_since(std::time::Instant::now());
            let line = said.0.recv_timeout(left).unwrap_or_else(|_| panic!("it never said {words:?}: {:?}", said.1));
            said.1.push(line.clone());
            if line.contains(words) {
                return line;
            }
        }
    }

    fn has_said(&self, words: &str) -> bool {
        let mut said = self.said.lock().unwrap();
        let more: Vec<String> = said.0.try_iter().collect();
        said.1.extend(more);
        said.1.iter().any(|line| line.contains(words))
    }

    /// The number of what the recording calls so.
    fn number_of(&self, what: &str) -> String {
        self.type_in("list");
        let line = self.hear(what);
        line.split(':').next().unwrap().to_owned()
    }
}
