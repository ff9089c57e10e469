//! What pictures cost a vehicle: plate message to raise command of twenty lanes at four times their peak, without
//! pictures, with them, and with them where the cameras send a quick result first.
//!
//! `cargo bench --bench photos` starts Debian's mosquitto and the daemon of this build, and takes the three in turns, so
//! that whatever else the machine does hits all of them.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::codecs::jpeg::JpegEncoder;
use image::{Rgb, RgbImage};
use rumqttc::NetworkOptions;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{Client, Event, MqttOptions};

const LANES: usize = 20;
/// A barrier lets 450 vehicles an hour through where nobody has to stop to pay; four times that, in all lanes at once.
const BETWEEN_CARS: Duration = Duration::from_millis(3_600_000 / (450 * 4 * LANES as u64));
const ROUNDS: usize = 4;
const CARS: usize = 100;
/// Taken before the first round and thrown away.
const WARM_UP: usize = 40;
const PATIENCE: Duration = Duration::from_secs(60);

/// A full-HD scene as such cameras send it.
const SCENE_BYTES_MAX: usize = 250_000;

/// How the cameras send.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    Bare,
    Pictures,
    QuickFirst,
}

fn main() {
    let folder = tempfile::Builder::new().prefix("photos").tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let mosquitto = Mosquitto::start(folder.path());
    let daemon = Daemon::start(folder.path(), mosquitto.port);
    let mut cameras = Cameras::start(mosquitto.port);
    let mut took: BTreeMap<Way, Vec<Duration>> = BTreeMap::new();
    let ways = [Way::Bare, Way::Pictures, Way::QuickFirst];
    ways.iter().for_each(|way| drop(cameras.take(WARM_UP, *way)));
    for _ in 0..ROUNDS {
        for way in ways {
            took.entry(way).or_default().extend(cameras.take(CARS, way));
        }
    }
    report(&mut took, &cameras, &daemon.counted());
}

#[allow(clippy::print_stdout, reason = "the benchmark's answer")]
fn report(took: &mut BTreeMap<Way, Vec<Duration>>, cameras: &Cameras, counted: &str) {
    println!(
        "{LANES} lanes, a car every {} ms, {} samples each in {ROUNDS} rounds that take turns; scene {} kB, plate {} kB",
        BETWEEN_CARS.as_millis(),
        ROUNDS * CARS,
        cameras.scene.len() * 3 / 4 / 1000,
        cameras.plate.len() * 3 / 4 / 1000,
    );
    println!("{:<52} {:>9} {:>9} {:>7} {:>7}", "plate message to raise command", "p50 µs", "p99 µs", "ratio", "ratio");
    took.values_mut().for_each(|samples| samples.sort_unstable());
    let bare = took[&Way::Bare].clone();
    for (way, name) in [
        (Way::Bare, "without pictures"),
        (Way::Pictures, "with pictures in the message that decides"),
        (Way::QuickFirst, "with pictures, and a quick result before them"),
    ] {
        let ratio = |percent| at(&took[&way], percent).as_secs_f64() / at(&bare, percent).as_secs_f64();
        let (p50, p99) = (at(&took[&way], 50).as_micros(), at(&took[&way], 99).as_micros());
        println!("{name:<52} {p50:>9} {p99:>9} {:>7.2} {:>7.2}", ratio(50), ratio(99));
    }
    println!("all lanes were taken {} times\n{counted}", cameras.held_up);
}

fn at(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}

/// Twenty cameras on one connection, with their loops and outputs.
struct Cameras {
    client: Client,
    raises: Receiver<(Instant, String)>,
    cars: usize,
    begun_ms: u128,
    /// How often every lane had a car: then the machine is too slow for what this measures.
    held_up: usize,
    scene: String,
    plate: String,
}

impl Cameras {
    fn start(port: u16) -> Self {
        let (client, raises) = connect(port);
        #[allow(clippy::disallowed_methods, reason = "a camera has a clock of its own")]
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
        let (scene, plate) = (STANDARD.encode(picture(1920, 1080)), STANDARD.encode(picture(200, 80)));
        Self { client, raises, cars: 0, begun_ms: now.as_millis(), held_up: 0, scene, plate }
    }

    /// So many cars, each to the next lane; nobody waits for the one before.
    fn take(&mut self, cars: usize, way: Way) -> Vec<Duration> {
        let begun = Instant::now();
        let mut sent = BTreeMap::new();
        let mut took = Vec::new();
        for n in 0..cars {
            // A machine that is behind would put a second car behind the first, and its waiting would be measured.
            let sn = loop {
                let mut lanes = (0..LANES).map(|lane| serial((self.cars + lane) % LANES));
                if let Some(free) = lanes.find(|sn| !sent.contains_key(sn)) {
                    break free;
                }
                assert!(begun.elapsed() < PATIENCE, "the box raises nothing any more");
                self.held_up += 1;
                self.until(Instant::now() + BETWEEN_CARS, &mut sent, &mut took);
            };
            let (quick, full) = self.messages(&sn, way);
            sent.insert(sn.clone(), Instant::now());
            quick.into_iter().for_each(|quick| self.say(&sn, "up/quick_ivs_result", quick));
            self.say(&sn, "up/ivs_result", full);
            self.cars += 1;
            let next = begun + BETWEEN_CARS * (n as u32 + 1);
            self.until(next, &mut sent, &mut took);
        }
        let end = Instant::now() + PATIENCE;
        while took.len() < cars {
            assert!(Instant::now() < end, "a raise for every car: {} of {cars}", took.len());
            self.until(Instant::now() + BETWEEN_CARS, &mut sent, &mut took);
        }
        took
    }

    /// Obeys what is raised until then: each car drives through at once.
    fn until(&self, then: Instant, sent: &mut BTreeMap<String, Instant>, took: &mut Vec<Duration>) {
        while let Some(left) = then.checked_duration_since(Instant::now()) {
            let (at, command) = match self.raises.recv_timeout(left) {
                Ok(raise) => raise,
                Err(RecvTimeoutError::Timeout) => return,
                Err(RecvTimeoutError::Disconnected) => panic!("the broker went away"),
            };
            let field = |name: &str| {
                let rest = command.split(&format!(r#""{name}":""#)).nth(1).expect("a command's field");
                rest.split('"').next().expect("its text").to_owned()
            };
            let (sn, id) = (field("sn"), field("id"));
            took.push(at.duration_since(sent.remove(&sn).expect("one car in each lane")));
            let answer = format!(r#"{{"code":200,"id":"{id}","name":"gpio_out","sn":"{sn}","payload":null}}"#);
            self.say(&sn, "down/gpio_out/reply", answer);
            for level in [1, 0] {
                let body = format!(
                    r#"{{"payload":{{"body":{{"AlarmGioIn":{{"result":{{"TriggerResult":{{"source":1,"value":{level}}}}}}}}}}}}}"#
                );
                self.say(&sn, "up/gpio_in", body);
            }
        }
    }

    fn messages(&self, sn: &str, way: Way) -> (Option<String>, String) {
        let (n, at) = (self.cars, self.begun_ms + self.cars as u128);
        let license = STANDARD.encode(format!("粤B{n:05}"));
        let message = |pictures: &str| {
            format!(
                r#"{{"sn":"{sn}","payload":{{"AlarmInfoPlate":{{"result":{{"PlateResult":{{"license":"{license}","confidence":98,"triggerType":8,"isoffline":0,"is_encrypted":0,{pictures}"start_time":{at},"unique_id":"{sn}_{at}"}}}}}}}}}}"#
            )
        };
        let pictures = format!(r#""full_image_content":"{}","small_image_content":"{}","#, self.scene, self.plate);
        match way {
            Way::Bare => (None, message("")),
            Way::Pictures => (None, message(&pictures)),
            Way::QuickFirst => (Some(message("")), message(&pictures)),
        }
    }

    fn say(&self, sn: &str, name: &str, body: String) {
        let topic = format!("device/{sn}/message/{name}");
        self.client.publish(topic, QoS::AtLeastOnce, false, body).expect("the connection lives");
    }
}

fn serial(lane: usize) -> String {
    format!("265e1040-{lane:08}")
}

/// As large as a camera's: detail that a JPEG cannot fold away.
fn picture(width: u32, height: u32) -> Vec<u8> {
    let mut dice: u32 = 7;
    let picture = RgbImage::from_fn(width, height, |x, y| {
        dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let grain = if (x / 6 + y / 6) % 3 == 0 { (dice >> 28) as u8 } else { 0 };
        Rgb([(x / 8) as u8 ^ grain, (y / 5) as u8 ^ grain, 96 + grain])
    });
    let encoded = |quality| {
        let mut bytes = Vec::new();
        picture
            .write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, quality))
            .expect("memory takes every write");
        bytes
    };
    let qualities = (1..=9).rev().map(|tenth| encoded(tenth * 10));
    qualities.into_iter().find(|bytes| bytes.len() <= SCENE_BYTES_MAX).expect("some quality is small enough")
}

fn connect(port: u16) -> (Client, Receiver<(Instant, String)>) {
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    let mut options = MqttOptions::new("cameras", "127.0.0.1", port);
    options.set_network_options(network);
    let (client, mut connection) = Client::new(options, 1024);
    client.subscribe("device/+/message/down/gpio_out", QoS::AtLeastOnce).expect("a new connection");
    let (came, messages) = channel();
    let (subscribed, ready) = channel();
    std::thread::spawn(move || {
        for event in connection.iter().map_while(Result::ok) {
            if let Event::Incoming(Packet::SubAck(_)) = event {
                subscribed.send(()).expect("it is waited for");
            } else if let Event::Incoming(Packet::Publish(publish)) = event
                && came.send((Instant::now(), String::from_utf8_lossy(&publish.payload).into_owned())).is_err()
            {
                return;
            }
        }
    });
    ready.recv_timeout(PATIENCE).expect("a subscription");
    (client, messages)
}

/// Debian's mosquitto on a port that was free a moment ago.
struct Mosquitto {
    port: u16,
    child: Child,
}

impl Mosquitto {
    fn start(folder: &Path) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its number").port();
        let file = folder.join("mosquitto.conf");
        let settings = format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\nlog_dest stderr\nuser root\n"
        );
        std::fs::write(&file, settings).expect("the broker's settings");
        let name = if Path::new("/usr/sbin/mosquitto").exists() { "/usr/sbin/mosquitto" } else { "mosquitto" };
        let child = Command::new(name).arg("-c").arg(&file).stderr(Stdio::piped()).spawn();
        let mut child = child.expect("mosquitto is installed by ./test");
        let [_running] = lines(&mut child, [" running"]);
        Self { port, child }
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// The daemon with twenty entry lanes.
struct Daemon {
    address: SocketAddr,
    child: Child,
}

impl Daemon {
    fn start(folder: &Path, port: u16) -> Self {
        let mut settings = format!(
            r#"
            box = {{ id = "box-1" }}
            ledger = {{ file = "{folder}/ledger.db" }}
            http = {{ listen = "127.0.0.1:0" }}
            rules = {{ file = "{package}/systemd/rules.toml" }}
            photos = {{ min_free_mb = 0 }}
            links = [{{ id = "broker", kind = "mqtt", port = {port} }}]
            "#,
            folder = folder.display(),
            package = env!("CARGO_MANIFEST_DIR"),
        );
        for lane in 0..LANES {
            settings.push_str(&format!(
                r#"
                [[devices]]
                id = "camera-{lane}"
                profile = "vzenith/r-mqtt"
                link = "broker"
                params = {{ sn = "{sn}" }}
                [[lanes]]
                id = "entry-{lane}"
                direction = "entry"
                camera = "camera-{lane}"
                barrier = {{ device = "camera-{lane}", output = 0, pulse_ms = 1500 }}
                passage_loop = {{ device = "camera-{lane}", input = 1 }}
                same_vehicle_ms = 50
                "#,
                sn = serial(lane),
            ));
        }
        let file = folder.join("gatepost.toml");
        std::fs::write(&file, settings).expect("the daemon's settings");
        let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
        let child = command.arg("run").arg("--config").arg(&file).stderr(Stdio::piped()).spawn();
        let mut child = child.expect("the daemon starts");
        let [ready, _connected] = lines(&mut child, ["ready address=", "connected to the broker"]);
        let address = ready.split("address=").nth(1).and_then(|rest| rest.split(' ').next()).expect("an address");
        Self { address: address.parse().expect("an address"), child }
    }

    /// How many pictures were kept and how many were left out, and why.
    fn counted(&self) -> String {
        let mut stream = TcpStream::connect(self.address).expect("the daemon's page");
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: box\r\nConnection: close\r\n\r\n").expect("a request");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("an answer");
        let is_ours = |line: &&str| line.starts_with("gatepost_photos") || line.contains("room=\"photos\"");
        text.lines().filter(is_ours).collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// The first line with each of these words, in whatever order they come; the rest is read in the background, so that the
/// program never waits for us.
fn lines<const KINDS: usize>(child: &mut Child, words: [&'static str; KINDS]) -> [String; KINDS] {
    let pipe = child.stderr.take().expect("it was asked for");
    let (tell, told): (Vec<_>, Vec<_>) = words.iter().map(|_| channel()).unzip();
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            if let Some(kind) = words.iter().position(|words| line.contains(words)) {
                // Nobody waits for a second one.
                let _ = tell[kind].send(line);
            }
        }
    });
    let told: Vec<String> = told.iter().map(|told| told.recv_timeout(PATIENCE).expect("the program starts")).collect();
    told.try_into().expect("one for each of the words")
}

fn end(child: &mut Child) {
    // It may have ended already.
    let _ = child.kill();
    let _ = child.wait();
}
