//! The page in a real browser: a vehicle appears while a guard looks on, and the guard lets it go with a reason.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, SystemTime};

use base64::Engine;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

/// A busy machine and a browser's first start; nothing here waits for the clock.
const PATIENCE: Duration = Duration::from_secs(90);
const OPERATOR: &str = "guard-1";
const PIN: &str = "4711";
const PLATE: &str = "粤B12345";
/// Fifty minutes at five yuan for each half hour begun.
const PARKED: Duration = Duration::from_secs(50 * 60);

/// A camera's serial number, as `params.sn` and in its topics.
const ENTRY: &str = "265e1040-85e01fb7";
const EXIT: &str = "917e2298-8ddf3e46";
const ARRIVAL_LOOP: u8 = 0;
const PASSAGE_LOOP: u8 = 1;

#[tokio::test]
async fn a_guard_sees_a_vehicle_arrive_and_lets_it_go_with_a_reason() {
    let site = tempfile::tempdir().unwrap();
    let mut broker = Broker::start(site.path()).await;
    let mut cameras = Cameras::connect(&mut broker).await;
    let daemon = Daemon::start(site.path(), broker.port).await;
    broker.log("Sending SUBACK to gatepost-box-1").await;
    let mut page = Page::open(&daemon.base);
    page.step("opened").await;

    cameras.stands_at(ENTRY, PARKED).await;
    assert_eq!(cameras.told().await, ENTRY);
    cameras.drives_through(ENTRY).await;
    cameras.stands_at(EXIT, Duration::ZERO).await;
    page.step("waiting").await;
    page.step("refused").await;
    let raises = daemon.raises().await;
    assert_eq!(raises.len(), 1, "a wrong PIN raised the exit: {raises:#?}\n{}", daemon.said());
    page.go_on().await;

    page.step("raised").await;
    assert_eq!(cameras.told().await, EXIT);
    cameras.loop_is(EXIT, PASSAGE_LOOP, true).await;
    page.step("passing").await;
    cameras.loop_is(EXIT, ARRIVAL_LOOP, false).await;
    cameras.loop_is(EXIT, PASSAGE_LOOP, false).await;
    page.step("gone").await;
    page.ended().await;

    let raises = daemon.raises().await;
    assert_eq!(raises.len(), 2, "{raises:?}");
    assert_eq!(raises[1]["lane"], "exit-1");
    assert_eq!(
        raises[1]["cause"],
        json!({"why": "staff", "operator": OPERATOR, "reason": "设备故障 / Device fault: the loop is stuck"})
    );
}

/// Debian's mosquitto on a port of its own.
struct Broker {
    /// Killed when it is dropped.
    _child: Child,
    log: Lines<BufReader<ChildStderr>>,
    port: u16,
}

impl Broker {
    async fn start(folder: &Path) -> Self {
        let port = free_port();
        let file = folder.join("mosquitto.conf");
        let text = format!("listener {port} 127.0.0.1\nallow_anonymous true\nlog_dest stderr\nlog_type all\n");
        std::fs::write(&file, text).unwrap();
        let mut command = Command::new("/usr/sbin/mosquitto");
        command.arg("-c").arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = start(&mut command, "mosquitto");
        let log = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut broker = Self { _child: child, log, port };
        broker.log("running").await;
        broker
    }

    async fn log(&mut self, words: &str) {
        line_with(&mut self.log, words).await;
    }
}

/// The cameras of both lanes, played with mosquitto's own clients.
struct Cameras {
    /// Killed when it is dropped.
    _child: Child,
    commands: Lines<BufReader<ChildStdout>>,
    port: u16,
}

impl Cameras {
    async fn connect(broker: &mut Broker) -> Self {
        let mut command = Command::new("mosquitto_sub");
        command.args(["-h", "127.0.0.1", "-p", &broker.port.to_string(), "-q", "1", "-i", "cameras"]);
        command.args(["-t", "device/+/message/down/gpio_out"]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = start(&mut command, "mosquitto-clients");
        let commands = BufReader::new(child.stdout.take().unwrap()).lines();
        broker.log("Sending SUBACK to cameras").await;
        Self { _child: child, commands, port: broker.port }
    }

    /// A vehicle stands on the arrival loop and was read `ago`.
    async fn stands_at(&self, sn: &str, ago: Duration) {
        self.loop_is(sn, ARRIVAL_LOOP, true).await;
        let at = (unix_time() - ago).as_millis() as u64;
        let in_base64 = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
        let pictures = simulators::photo::take(PLATE);
        let result = json!({"license": in_base64(PLATE.as_bytes()), "confidence": 98, "triggerType": 8, "start_time": at,
            "unique_id": format!("{sn}_{at}"), "full_image_content": in_base64(&pictures.scene),
            "small_image_content": in_base64(&pictures.plate)});
        self.says(sn, "ivs_result", json!({"AlarmInfoPlate": {"result": {"PlateResult": result}}})).await;
    }

    /// The vehicle leaves over both loops.
    async fn drives_through(&self, sn: &str) {
        self.loop_is(sn, PASSAGE_LOOP, true).await;
        self.loop_is(sn, ARRIVAL_LOOP, false).await;
        self.loop_is(sn, PASSAGE_LOOP, false).await;
    }

    async fn loop_is(&self, sn: &str, source: u8, occupied: bool) {
        let result = json!({"TriggerResult": {"source": source, "value": u8::from(occupied)}});
        self.says(sn, "gpio_in", json!({"body": {"AlarmGioIn": {"result": result}}})).await;
    }

    /// The next command for the barrier's output, obeyed; whose it was.
    async fn told(&mut self) -> String {
        let line = within("a command for a camera", self.commands.next_line()).await.unwrap().unwrap();
        let command: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(command["payload"]["body"], json!({"delay": 500, "io": 0, "value": 2}), "a pulse of the camera");
        let sn = command["sn"].as_str().unwrap().to_owned();
        let reply = json!({"id": command["id"], "sn": sn, "name": "gpio_out", "code": 200, "payload": null});
        self.publish(&format!("device/{sn}/message/down/gpio_out/reply"), &reply).await;
        sn
    }

    async fn says(&self, sn: &str, name: &str, payload: Value) {
        let message = json!({"sn": sn, "name": name, "version": "1.0", "payload": payload});
        self.publish(&format!("device/{sn}/message/up/{name}"), &message).await;
    }

    async fn publish(&self, topic: &str, message: &Value) {
        let mut command = Command::new("mosquitto_pub");
        command.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-q", "1"]);
        command.args(["-t", topic, "-m", &message.to_string()]).stdin(Stdio::null());
        let mut child = start(&mut command, "mosquitto-clients");
        assert!(within("mosquitto_pub", child.wait()).await.unwrap().success(), "{topic} was not published");
    }
}

/// The daemon with one lane each way.
struct Daemon {
    /// Killed when it is dropped.
    _child: Child,
    base: String,
    log: PathBuf,
}

impl Daemon {
    async fn start(folder: &Path, broker: u16) -> Self {
        let config = folder.join("gatepost.toml");
        std::fs::write(&config, settings(folder, broker)).unwrap();
        let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/systemd/rules.toml");
        std::fs::copy(rules, folder.join("rules.toml")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
        command.args(["run", "--config"]).arg(&config).env_remove("RUST_LOG").env("NO_COLOR", "1");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = start(&mut command, "gatepost");
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let ready = line_with(&mut log, "address=").await;
        let address = ready.split("address=").nth(1).unwrap().split(' ').next().unwrap();
        Self { _child: child, base: format!("http://{address}"), log: keep(log, folder.join("gatepost.log")) }
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// The raises in the books.
    async fn raises(&self) -> Vec<Value> {
        // Another test of this process may have been first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().timeout(PATIENCE).no_proxy().build().unwrap();
        let request = http.get(format!("{}/api/v1/staff/books", self.base));
        let request = request.header("Gatepost-Operator", OPERATOR).header("Gatepost-Pin", PIN);
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "{}: {}", answer.status(), self.said());
        let books: Value = answer.json().await.unwrap();
        books["raises"].as_array().unwrap().clone()
    }
}

/// Chromium with the page open; `page.mjs` says what it sees.
struct Page {
    child: Child,
    words: ChildStdin,
    steps: Lines<BufReader<ChildStdout>>,
}

impl Page {
    fn open(base: &str) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let browser = root.join("target/browser");
        for needed in [Path::new("/usr/bin/chromium"), &browser.join("node_modules/playwright-core")] {
            assert!(needed.exists(), "{} is not there; ./test installs it", needed.display());
        }
        let mut command = Command::new("node");
        command.arg(root.join("tests/it/page.mjs")).arg(browser).args([base, OPERATOR, PIN]);
        let mut child = start(command.stdin(Stdio::piped()).stdout(Stdio::piped()), "nodejs");
        let steps = BufReader::new(child.stdout.take().unwrap()).lines();
        let words = child.stdin.take().unwrap();
        Self { child, words, steps }
    }

    /// Waits until the page has come so far.
    async fn step(&mut self, name: &str) {
        let step = within(name, self.steps.next_line()).await.unwrap();
        assert_eq!(step.as_deref(), Some(name), "the browser's own words are above");
    }

    /// The page waits for this where the books are looked at first.
    async fn go_on(&mut self) {
        within("the page", self.words.write_all(b"go on\n")).await.unwrap();
    }

    async fn ended(mut self) {
        let status: ExitStatus = within("the browser's end", self.child.wait()).await.unwrap();
        assert!(status.success(), "{status}");
    }
}

fn settings(folder: &Path, broker: u16) -> String {
    let mut text = format!(
        r#"[box]
id = "box-1"
[ledger]
file = "{}"
[http]
listen = "127.0.0.1:0"
[photos]
min_free_mb = 0
[rules]
file = "rules.toml"
[[operators]]
id = "{OPERATOR}"
pin = "{PIN}"
[[links]]
id = "broker"
kind = "mqtt"
host = "127.0.0.1"
port = {broker}
"#,
        folder.join("ledger.db").display()
    );
    for (direction, sn) in [("entry", ENTRY), ("exit", EXIT)] {
        text += &format!(
            r#"[[devices]]
id = "camera-{direction}"
profile = "vzenith/r-mqtt"
link = "broker"
params = {{ sn = "{sn}" }}
clock_tolerance_s = 7200
[[lanes]]
id = "{direction}-1"
direction = "{direction}"
camera = "camera-{direction}"
barrier = {{ device = "camera-{direction}", output = 0, pulse_ms = 500 }}
arrival_loop = {{ device = "camera-{direction}", input = {ARRIVAL_LOOP} }}
passage_loop = {{ device = "camera-{direction}", input = {PASSAGE_LOOP} }}
"#
        );
    }
    text
}

fn start(command: &mut Command, package: &str) -> Child {
    let child = command.kill_on_drop(true).spawn();
    child.unwrap_or_else(|error| panic!("{package} does not start ({error}); ./test installs it"))
}

/// Reads on until the end, so that whoever writes is never held up, and keeps it in a file.
fn keep<R: AsyncRead + Unpin + Send + 'static>(mut lines: Lines<BufReader<R>>, file: PathBuf) -> PathBuf {
    let kept = file.clone();
    tokio::spawn(async move {
        let mut text = String::new();
        while let Ok(Some(line)) = lines.next_line().await {
            text = text + &line + "\n";
            std::fs::write(&file, &text).unwrap();
        }
    });
    kept
}

async fn line_with<R: AsyncRead + Unpin>(lines: &mut Lines<BufReader<R>>, words: &str) -> String {
    let mut seen = String::new();
    let found = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.contains(words) {
                return line;
            }
            seen = seen.clone() + &line + "\n";
        }
        panic!("it ended before it said {words:?}: {seen}");
    };
    within(words, found).await
}

async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| panic!("{what:?} did not come"))
}

#[allow(clippy::disallowed_methods, reason = "the camera has a clock of its own")]
fn unix_time() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap()
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
