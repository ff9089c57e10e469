//! From a camera's plate message to the raise command, as the camera sees it, beside the least that any box could need:
//! one round trip through the same broker and one durable commit to the same disk.
//!
//! `cargo bench --bench latency` starts Debian's mosquitto and the daemon of this build, and takes both in turns, so
//! that whatever else the machine does hits both.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rumqttc::NetworkOptions;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{Client, Event, MqttOptions};

const ROUNDS: usize = 10;
const SAMPLES: usize = 100;
/// Taken before the first round and thrown away: caches fill, files grow.
const WARM_UP: usize = 50;
const PATIENCE: Duration = Duration::from_secs(30);
const CAMERA: &str = "265e1040-85e01fb7";
/// What one decision of the daemon writes into its journal, roughly.
const ROW_BYTES: usize = 1024;

fn main() {
    let folder = tempfile::Builder::new().prefix("latency").tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let broker = Broker::start(folder.path());
    let daemon = Daemon::start(folder.path(), broker.port);
    let mut lane = Lane::start(broker.port);
    let floor = Floor::start(folder.path(), broker.port);
    lane.take(WARM_UP, &daemon);
    floor.take(WARM_UP);
    let (mut ours, mut least) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.extend(lane.take(SAMPLES, &daemon));
        least.extend(floor.take(SAMPLES));
    }
    let inside = daemon.histogram();
    report(ours, least, &inside);
}

#[allow(clippy::print_stdout, reason = "the benchmark's answer")]
fn report(mut ours: Vec<Duration>, mut least: Vec<Duration>, inside: &str) {
    ours.sort_unstable();
    least.sort_unstable();
    println!("{} samples each, in {ROUNDS} rounds that take turns", ours.len());
    println!("{:<44} {:>9} {:>9}", "", "p50 µs", "p99 µs");
    let line = |what: &str, samples: &[Duration]| {
        println!("{what:<44} {:>9} {:>9}", at(samples, 50).as_micros(), at(samples, 99).as_micros());
    };
    line("plate message to raise command", &ours);
    line("floor: QoS 1 round trip and durable commit", &least);
    let ratio = |percent| at(&ours, percent).as_secs_f64() / at(&least, percent).as_secs_f64();
    println!("{:<44} {:>9.2} {:>9.2}", "ratio", ratio(50), ratio(99));
    println!("{inside}");
}

fn at(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}

/// Debian's mosquitto on a port that was free a moment ago.
struct Broker {
    port: u16,
    child: Child,
}

impl Broker {
    fn start(folder: &Path) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its number").port();
        let file = folder.join("mosquitto.conf");
        let settings = format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\npersistence true\n\
             persistence_location {}/\nlog_dest stderr\nuser root\n",
            folder.display()
        );
        std::fs::write(&file, settings).expect("the broker's settings");
        let name = if Path::new("/usr/sbin/mosquitto").exists() { "/usr/sbin/mosquitto" } else { "mosquitto" };
        let child = Command::new(name).arg("-c").arg(&file).stderr(Stdio::piped()).spawn();
        let mut child = child.expect("mosquitto is installed by ./test");
        let [running] = lines(&mut child, [" running"]);
        running.recv_timeout(PATIENCE).expect("the broker runs");
        Self { port, child }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// The daemon with one entry lane.
struct Daemon {
    address: SocketAddr,
    child: Child,
    /// One line for every car that has passed.
    entered: Receiver<String>,
}

impl Daemon {
    fn start(folder: &Path, port: u16) -> Self {
        let settings = format!(
            r#"
            box = {{ id = "box-1" }}
            ledger = {{ file = "{folder}/ledger.db" }}
            http = {{ listen = "127.0.0.1:0" }}
            rules = {{ file = "{package}/systemd/rules.toml" }}
            links = [{{ id = "broker", kind = "mqtt", port = {port} }}]
            [[devices]]
            id = "camera"
            profile = "vzenith/r-mqtt"
            link = "broker"
            params = {{ sn = "{CAMERA}" }}
            [[lanes]]
            id = "entry-1"
            direction = "entry"
            camera = "camera"
            barrier = {{ device = "camera", output = 0, pulse_ms = 1500 }}
            passage_loop = {{ device = "camera", input = 1 }}
            "#,
            folder = folder.display(),
            package = env!("CARGO_MANIFEST_DIR"),
        );
        let file = folder.join("gatepost.toml");
        std::fs::write(&file, settings).expect("the daemon's settings");
        let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
        let child = command.arg("run").arg("--config").arg(&file).stderr(Stdio::piped()).spawn();
        let mut child = child.expect("the daemon starts");
        let [ready, entered] = lines(&mut child, ["ready address=", "a vehicle is inside"]);
        let ready = ready.recv_timeout(PATIENCE).expect("the daemon gets ready");
        let address = ready.split("address=").nth(1).and_then(|rest| rest.split(' ').next()).expect("an address");
        Self { address: address.parse().expect("an address"), child, entered }
    }

    /// What the daemon itself measured, without broker and network.
    fn histogram(&self) -> String {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(self.address).expect("the daemon's page");
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: box\r\nConnection: close\r\n\r\n").expect("a request");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("an answer");
        let lines = text.lines().filter(|line| line.starts_with("gatepost_plate_to_raise_seconds_"));
        lines.collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// The lines with these words, each kind on its own; read in the background, so that the program never waits for us.
fn lines<const KINDS: usize>(child: &mut Child, words: [&'static str; KINDS]) -> [Receiver<String>; KINDS] {
    let pipe = child.stderr.take().expect("it was asked for");
    let (tell, told): (Vec<_>, Vec<_>) = words.iter().map(|_| channel()).unzip();
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            if let Some(kind) = words.iter().position(|words| line.contains(words)) {
                // Where nobody waits any more, the pipe must be emptied all the same.
                let _ = tell[kind].send(line);
            }
        }
    });
    told.try_into().expect("one for each of the words")
}

fn end(child: &mut Child) {
    // It may have ended already.
    let _ = child.kill();
    let _ = child.wait();
}

/// A camera at the entry lane, with its loops and its barrier output.
struct Lane {
    client: Client,
    raises: Receiver<(Instant, String)>,
    cars: usize,
    begun_ms: u128,
}

impl Lane {
    fn start(port: u16) -> Self {
        let (client, raises) = connect(port, "camera", &format!("device/{CAMERA}/message/down/gpio_out"));
        #[allow(clippy::disallowed_methods, reason = "a camera has a clock of its own")]
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
        Self { client, raises, cars: 0, begun_ms: now.as_millis() }
    }

    /// So many cars, one after the other; each has passed before the next comes.
    fn take(&mut self, samples: usize, daemon: &Daemon) -> Vec<Duration> {
        (0..samples).map(|_| self.one_car(daemon)).collect()
    }

    fn one_car(&mut self, daemon: &Daemon) -> Duration {
        let n = self.cars;
        self.cars += 1;
        let (at, license) = (self.begun_ms + n as u128, base64_of(&format!("粤B{n:05}")));
        let plate = format!(
            r#"{{"id":"iUA4fO7yCGrHZO2C","bv":12378,"sn":"{CAMERA}","name":"ivs_result","version":"1.0","timestamp":{s},"payload":{{"AlarmInfoPlate":{{"channel":0,"deviceName":"SU4tMQ==","ipaddr":"192.168.6.94","serialno":"{CAMERA}","rule_id":1,"result":{{"PlateResult":{{"license":"{license}","license_ext_type":0,"colorType":1,"type":1,"confidence":98,"direction":4,"triggerType":8,"isoffline":0,"is_encrypted":0,"is_fake_plate":0,"plateid":{n},"start_time":{at},"unique_id":"{CAMERA}_{at}","timeStamp":{{"Timeval":{{"sec":{s},"usec":0}}}}}}}}}}}}}}"#,
            s = at / 1000,
        );
        let begun = Instant::now();
        self.say("up/ivs_result", plate);
        let (raised, command) = self.raises.recv_timeout(PATIENCE).expect("a raise for every car");
        let took = raised.duration_since(begun);
        let id = command.split(r#""id":""#).nth(1).and_then(|rest| rest.split('"').next()).expect("a command's id");
        let answer = format!(
            r#"{{"code":200,"id":"{id}","name":"gpio_out","payload":null,"sn":"{CAMERA}","timestamp":1,"version":"1.0"}}"#
        );
        self.say("down/gpio_out/reply", answer);
        for level in [1, 0] {
            self.say("up/gpio_in", format!(r#"{{"id":"b1","bv":12378,"sn":"{CAMERA}","name":"gpio_in","version":"1.0","timestamp":1,"payload":{{"body":{{"AlarmGioIn":{{"deviceName":"IVS","serialno":"{CAMERA}","result":{{"TriggerResult":{{"source":1,"value":{level}}}}}}}}}}}}}"#));
        }
        daemon.entered.recv_timeout(PATIENCE).expect("every car gets inside");
        took
    }

    fn say(&self, name: &str, body: String) {
        let topic = format!("device/{CAMERA}/message/{name}");
        self.client.publish(topic, QoS::AtLeastOnce, false, body).expect("the connection lives");
    }
}

/// A client that asks and one that writes one row before it answers.
struct Floor {
    client: Client,
    answers: Receiver<(Instant, String)>,
}

impl Floor {
    fn start(folder: &Path, port: u16) -> Self {
        let (echo, questions) = connect(port, "echo", "floor/question");
        let db = rusqlite::Connection::open(folder.join("floor.db")).expect("a database");
        db.pragma_update(None, "journal_mode", "wal").expect("a write-ahead log");
        db.pragma_update(None, "synchronous", 2).expect("a sync with every commit");
        db.execute_batch("CREATE TABLE row (n INTEGER PRIMARY KEY, body BLOB NOT NULL)").expect("a table");
        std::thread::spawn(move || {
            let mut insert = db.prepare("INSERT INTO row (body) VALUES (?1)").expect("a statement");
            for (_, question) in questions {
                insert.execute([vec![7_u8; ROW_BYTES]]).expect("a durable row");
                if echo.publish("floor/answer", QoS::AtLeastOnce, false, question).is_err() {
                    return;
                }
            }
        });
        let (client, answers) = connect(port, "asker", "floor/answer");
        Self { client, answers }
    }

    fn take(&self, samples: usize) -> Vec<Duration> {
        (0..samples).map(|_| self.one()).collect()
    }

    fn one(&self) -> Duration {
        let begun = Instant::now();
        self.client.publish("floor/question", QoS::AtLeastOnce, false, vec![b'x'; 600]).expect("the connection lives");
        let (answered, _) = self.answers.recv_timeout(PATIENCE).expect("an answer to every question");
        answered.duration_since(begun)
    }
}

/// A client that hears one topic: each message with the moment in which it came.
fn connect(port: u16, name: &str, topic: &str) -> (Client, Receiver<(Instant, String)>) {
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    let mut options = MqttOptions::new(name, "127.0.0.1", port);
    options.set_network_options(network);
    let (client, mut connection) = Client::new(options, 1024);
    client.subscribe(topic, QoS::AtLeastOnce).expect("a new connection");
    let (came, messages) = channel();
    let (subscribed, ready) = channel();
    std::thread::spawn(move || {
        for event in connection.iter().map_while(Result::ok) {
            if let Event::Incoming(Packet::SubAck(_)) = event {
                subscribed.send(()).expect("it is waited for");
            } else if let Event::Incoming(Packet::Publish(publish)) = event {
                let text = String::from_utf8_lossy(&publish.payload).into_owned();
                if came.send((Instant::now(), text)).is_err() {
                    return;
                }
            }
        }
    });
    ready.recv_timeout(PATIENCE).expect("a subscription");
    (client, messages)
}

fn base64_of(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}
