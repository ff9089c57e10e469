//! What the benchmarks of the whole program share: Debian's mosquitto, the daemon of this build, and cameras.

// Each benchmark is a program of its own and uses its part of this room.
#![allow(dead_code, reason = "no benchmark uses all of it")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rumqttc::NetworkOptions;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{Client, Event, MqttOptions};

pub mod wire;

/// How long a program may take for what it is waited for.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A folder for one run, on the disk that the build is on.
pub fn folder(name: &str) -> tempfile::TempDir {
    tempfile::Builder::new().prefix(name).tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder")
}

/// Debian's mosquitto, on a port that was free a moment ago and with queues that throw nothing away.
pub struct Broker {
    pub port: u16,
    program: Program,
}

impl Broker {
    pub fn start(folder: &Path) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its number").port();
        let file = folder.join("mosquitto.conf");
        let settings = format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\nlog_dest stderr\nuser root\n\
             max_queued_messages 0\nmax_inflight_messages 0\n"
        );
        std::fs::write(&file, settings).expect("the broker's settings");
        let name = if Path::new("/usr/sbin/mosquitto").exists() { "/usr/sbin/mosquitto" } else { "mosquitto" };
        let program = Program::start(Command::new(name).arg("-c").arg(&file));
        program.hear(" running");
        Self { port, program }
    }

    /// A client that hears one topic: each message with the moment in which it came.
    pub fn listen(&self, name: &str, topic: &str) -> (Client, Receiver<(Instant, String)>) {
        let mut network = NetworkOptions::new();
        network.set_tcp_nodelay(true);
        let mut options = MqttOptions::new(name, "127.0.0.1", self.port);
        options.set_network_options(network);
        let (client, mut connection) = Client::new(options, 1024);
        client.subscribe(topic, QoS::AtLeastOnce).expect("a new connection");
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
}

/// The daemon of this build, with its page and its broker.
pub struct Daemon {
    pub address: SocketAddr,
    program: Program,
}

impl Daemon {
    /// `settings` follow the tables of the box: `[http]` is theirs to add to, devices and lanes are theirs. `name` is
    /// that of its ledger file, `<name>.db`. Its tills may ask as fast as they can.
    pub fn start(folder: &Path, name: &str, broker: &Broker, settings: &str) -> Self {
        Self::with_http(folder, name, broker, "till_requests_per_s = 100000\n", settings)
    }

    /// The same with other lines in the table `[http]`.
    pub fn with_http(folder: &Path, name: &str, broker: &Broker, http: &str, settings: &str) -> Self {
        let settings = format!(
            "box = {{ id = \"box-1\" }}\nledger = {{ file = \"{}/{name}.db\" }}\n\
             rules = {{ file = \"{}/rules.toml\" }}\nphotos = {{ min_free_mb = 0 }}\n\
             [http]\nlisten = \"127.0.0.1:0\"\n{http}\
             [[links]]\nid = \"broker\"\nkind = \"mqtt\"\nport = {}\n{settings}",
            folder.display(),
            folder.display(),
            broker.port,
        );
        // As they are shipped; a home keeps its members' points, so that they can pay without a car in the house.
        let rules = include_str!("../../systemd/rules.toml").replace("[grants]", "[grants]\nstanding_points = 300");
        std::fs::write(folder.join("rules.toml"), rules).expect("the rules");
        let file = folder.join(format!("{name}.toml"));
        std::fs::write(&file, settings).expect("the daemon's settings");
        let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
        let program = Program::start(command.arg("run").arg("--config").arg(&file));
        let ready = program.hear("ready address=");
        let address = ready.split("address=").nth(1).and_then(|rest| rest.split(' ').next()).expect("an address");
        let daemon = Self { address: address.parse().expect("an address"), program };
        daemon.until(|metrics| metrics.contains("gatepost_link_up{link=\"broker\"} 1"));
        daemon
    }

    /// The next line of its log with these words.
    pub fn hear(&self, words: &str) -> String {
        self.program.hear(words)
    }

    /// Asks for its metrics until they are as they should be.
    pub fn until(&self, is_so: impl Fn(&str) -> bool) {
        let begun = Instant::now();
        while !is_so(&self.metrics()) {
            assert!(begun.elapsed() < PATIENCE, "the daemon gets there");
        }
    }

    pub fn metrics(&self) -> String {
        let mut stream = TcpStream::connect(self.address).expect("the daemon's page");
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: box\r\nConnection: close\r\n\r\n").expect("a request");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("an answer");
        text
    }

    pub fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.program.child.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("the kernel counts it");
        line.split_whitespace().next().and_then(|kib| kib.parse().ok()).expect("a number")
    }
}

/// A program whose log is read, so that it never waits for us. It ends with this.
struct Program {
    child: Child,
    said: Receiver<String>,
}

impl Program {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().expect("./test installs what is needed");
        let pipe = child.stderr.take().expect("it was asked for");
        let (tell, said) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                // Where nobody listens any more, the pipe must be emptied all the same.
                let _ = tell.send(line);
            }
        });
        Self { child, said }
    }

    fn hear(&self, words: &str) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let line = self.said.recv_timeout(left).unwrap_or_else(|_| panic!("nobody says {words:?}"));
            if line.contains(words) {
                return line;
            }
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The settings of entry lanes, each with a camera that is also its barrier and its loop; `more` stands in each lane.
pub fn entry_lanes(lanes: Range<usize>, more: &str) -> String {
    let lane = |lane| {
        format!(
            "[[lanes]]\nid = \"entry-{lane}\"\ndirection = \"entry\"\ncamera = \"camera-{lane}\"\n\
             barrier = {{ device = \"camera-{lane}\", output = 0, pulse_ms = 1500 }}\n\
             passage_loop = {{ device = \"camera-{lane}\", input = 1 }}\n{more}\n"
        )
    };
    cameras(lanes.clone()) + &lanes.map(lane).collect::<String>()
}

/// The settings of cameras.
pub fn cameras(lanes: Range<usize>) -> String {
    let camera = |lane| {
        format!(
            "[[devices]]\nid = \"camera-{lane}\"\nprofile = \"vzenith/r-mqtt\"\nlink = \"broker\"\n\
             params = {{ sn = \"{}\" }}\n",
            serial(lane)
        )
    };
    lanes.map(camera).collect()
}

/// The serial number of a lane's camera.
pub fn serial(lane: usize) -> String {
    format!("265e1040-{lane:08x}")
}

/// A camera's clock, in milliseconds.
pub fn camera_ms() -> u128 {
    #[allow(clippy::disallowed_methods, reason = "a camera has a clock of its own")]
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.expect("after 1970").as_millis()
}

/// What the cameras of [`entry_lanes`] say.
pub struct Cameras<'a> {
    pub client: &'a Client,
}

impl Cameras<'_> {
    /// A vehicle's plate; `pictures` are fields of the result, each with a comma behind it. `name` is the topic's:
    /// `ivs_result`, or `quick_ivs_result` for what comes before it.
    pub fn plate(&self, sn: &str, name: &str, vehicle: usize, at_ms: u128, pictures: &str) {
        self.say(sn, &format!("up/{name}"), plate(sn, name, vehicle, at_ms, pictures));
    }

    /// The answer to a raise command, which is given as it came.
    pub fn obeys(&self, command: &str) {
        self.say(field(command, "sn"), "down/gpio_out/reply", obeyed(command));
    }

    /// The vehicle drives over the passage loop.
    pub fn passes(&self, sn: &str) {
        for level in [1, 0] {
            self.say(sn, "up/gpio_in", loop_level(sn, level));
        }
    }

    fn say(&self, sn: &str, name: &str, body: String) {
        self.client.publish(topic(sn, name), QoS::AtLeastOnce, false, body).expect("the connection lives");
    }
}

/// Where a camera speaks and hears.
pub fn topic(sn: &str, name: &str) -> String {
    format!("device/{sn}/message/{name}")
}

/// What a camera says of a vehicle, as in [`Cameras::plate`].
pub fn plate(sn: &str, name: &str, vehicle: usize, at_ms: u128, pictures: &str) -> String {
    let (license, s) = (base64_of(&format!("粤B{:05}", vehicle % 100_000)), at_ms / 1000);
    format!(
        r#"{{"id":"iUA4fO7yCGrHZO2C","bv":12378,"sn":"{sn}","name":"{name}","version":"1.0","timestamp":{s},"payload":{{"AlarmInfoPlate":{{"channel":0,"deviceName":"SU4tMQ==","ipaddr":"192.168.6.94","serialno":"{sn}","rule_id":1,"result":{{"PlateResult":{{"license":"{license}","license_ext_type":0,"colorType":1,"type":1,"confidence":98,"direction":4,"triggerType":8,"isoffline":0,"is_encrypted":0,"is_fake_plate":0,{pictures}"plateid":{vehicle},"start_time":{at_ms},"unique_id":"{sn}_{at_ms}","timeStamp":{{"Timeval":{{"sec":{s},"usec":0}}}}}}}}}}}}}}"#
    )
}

/// What a camera answers to a raise command, which is given as it came.
pub fn obeyed(command: &str) -> String {
    let (sn, id) = (field(command, "sn"), field(command, "id"));
    format!(r#"{{"code":200,"id":"{id}","name":"gpio_out","payload":null,"sn":"{sn}","timestamp":1,"version":"1.0"}}"#)
}

/// What a camera says of its loop.
pub fn loop_level(sn: &str, level: usize) -> String {
    format!(
        r#"{{"id":"b1","bv":12378,"sn":"{sn}","name":"gpio_in","version":"1.0","timestamp":1,"payload":{{"body":{{"AlarmGioIn":{{"deviceName":"IVS","serialno":"{sn}","result":{{"TriggerResult":{{"source":1,"value":{level}}}}}}}}}}}}}"#
    )
}

/// A text field of a flat JSON message.
pub fn field<'a>(message: &'a str, name: &str) -> &'a str {
    let rest = message.split(&format!(r#""{name}":""#)).nth(1).expect("the field");
    rest.split('"').next().expect("its text")
}

/// The sample below which so many of a thousand are.
pub fn at(sorted: &[Duration], per_mille: usize) -> Duration {
    sorted[(sorted.len() * per_mille / 1000).min(sorted.len() - 1)]
}

#[allow(clippy::print_stdout, reason = "the benchmark's answer")]
pub fn say(line: &str) {
    println!("{line}");
}

fn base64_of(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}
