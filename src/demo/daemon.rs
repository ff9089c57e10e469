//! The daemon as a child of the demo, run exactly as a site runs it: its own process, its own settings file.

use std::collections::BTreeSet;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;
use simulators::barrier::BACKS_OUT;
use simulators::camera::{Dialect, LOGIN};
use simulators::clock::VirtualClock;
use simulators::gear::{Device, Hangs, LaneGear};
use simulators::plan::{Plan, Right};
use simulators::world::{BOARD_ADDRESS, CARDS, ENTRY_LANE, INNER_LANES};
use tokio::process::{Child, Command};
use tokio::time::Instant;

use super::mall::{BOX_ID, BOX_TOKEN};

/// The demo's till.
pub const TERMINAL: &str = "till-1";
/// What the till proves itself with.
pub const TERMINAL_TOKEN: &str = "demo-till-token";
/// The demo's guard.
pub const OPERATOR: &str = "guard-1";
/// The guard's PIN.
pub const PIN: &str = "4711";

/// How long the daemon may take to answer and to hear its devices after its start.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// How long to wait between two looks at a daemon that is not ready.
const LOOK_PERIOD: Duration = Duration::from_millis(50);

/// How long nothing may have been written before the day counts as over: longer than an arm takes to come down.
const QUIET: Duration = Duration::from_millis(1500);

/// What the daemon is put into.
pub struct Surroundings<'a> {
    /// Where its files are.
    pub folder: &'a Path,
    /// Where its page is.
    pub listen: SocketAddr,
    /// Where the broker is.
    pub broker: SocketAddr,
    /// Where the line to the cloud begins.
    pub cloud: SocketAddr,
    /// Where cameras post.
    pub posts: SocketAddr,
    /// What each lane hangs on.
    pub gear: &'a [LaneGear],
    /// The serial line with the displays.
    pub cards: &'a Path,
    /// The mall's time.
    pub clock: VirtualClock,
}

/// The settings file of the demo's box.
pub fn settings(around: &Surroundings<'_>) -> String {
    let Surroundings { folder, listen, broker, cloud, posts, gear, cards, clock } = around;
    let mut text = format!(
        r#"[box]
id = "{BOX_ID}"
[site]
name = "Gatepost demo mall"
[ledger]
file = "{ledger}"
[http]
listen = "{listen}"
till_requests_per_s = 1000
[rules]
file = "rules.toml"
[cloud]
url = "http://{cloud}/"
token_file = "{token}"
retry_max_s = 1
[clock]
anchor_ms = {anchor_ms}
start_ms = {start_ms}
speed = {speed}
[[terminals]]
id = "{TERMINAL}"
token = "{TERMINAL_TOKEN}"
merchant = "Noodle bar"
[[operators]]
id = "{OPERATOR}"
pin = "{PIN}"
[[links]]
id = "broker"
kind = "mqtt"
host = "{broker_host}"
port = {broker_port}
[[links]]
id = "posts"
kind = "http-push"
listen = "{posts}"
[[links]]
id = "streams"
kind = "http-stream"
[[links]]
id = "engines"
kind = "http-ask"
[signs]
pay_code = "https://pay.example/{{stay}}"
[[links]]
id = "displays"
kind = "serial"
path = "{cards}"
"#,
        ledger = folder.join("ledger.db").display(),
        token = folder.join("box-token").display(),
        anchor_ms = clock.anchor_ms,
        start_ms = clock.start_ms,
        speed = clock.speed,
        broker_host = broker.ip(),
        broker_port = broker.port(),
        cards = cards.display(),
    );
    for (lane, address) in CARDS {
        text += &format!(
            "[[devices]]\nid = \"display-{lane}\"\nprofile = \"kf/dc199\"\nlink = \"displays\"\n\
             params = {{ address = {address} }}\n"
        );
    }
    for gear in *gear {
        text += &lane_settings(gear);
    }
    text
}

/// The rules of the demo's mall: the shipped price list, what the mall gives, and who parks for nothing.
pub fn rules(plan: &Plan) -> String {
    let plates = |right| plan.plates_on(right).iter().map(|plate| format!("{plate:?}")).collect::<Vec<_>>().join(", ");
    let (pass, list) = (plates(Right::Pass), plates(Right::List));
    let mut text =
        [include_str!("../../systemd/rules.toml"), include_str!("benefits.toml"), include_str!("stays.toml")].concat();
    text +=
        &format!("\n[[passes]]\nid = \"P-1001\"\nplates = [{pass}]\nfrom = \"2026-03-01\"\nuntil = \"2026-03-31\"\n");
    text += &format!("cars = {}\n", plan.plates_on(Right::Pass).len().max(1));
    text += &format!("\n[[lists]]\nid = \"house\"\nkind = \"allow\"\nplates = [{list}]\nzones = [\"vip\"]\n");
    text
}

/// The device that hears a lane's loops, and may move its arm, where that is not the camera.
fn actor_settings(gear: &LaneGear) -> String {
    let Some(path) = gear.line.as_ref().map(|path| path.display()) else { return String::new() };
    let lane = gear.lane;
    let (profile, params) = match gear.device.hangs() {
        Hangs::Board | Hangs::CameraAndBoard => {
            ("waveshare/modbus-relay-8", format!("params = {{ address = {BOARD_ADDRESS} }}"))
        }
        Hangs::Card => ("kf/dc199", "poll_ms = 50".to_owned()),
        Hangs::Camera => return String::new(),
    };
    format!(
        "[[links]]\nid = \"line-{lane}\"\nkind = \"serial\"\npath = \"{path}\"\n\
         [[devices]]\nid = \"actor-{lane}\"\nprofile = \"{profile}\"\nlink = \"line-{lane}\"\n{params}\n"
    )
}

/// The switches that see the arm, where the camera does not tell of it. The lane on a board closes behind each vehicle,
/// and never on one.
fn more_contacts(gear: &LaneGear) -> String {
    let lane = gear.lane;
    let switches = |device: &str, upper: u8, lower: u8| {
        format!(
            "upper_limit = {{ device = \"{device}\", input = {upper} }}\n\
             lower_limit = {{ device = \"{device}\", input = {lower} }}\n"
        )
    };
    match gear.device.hangs() {
        Hangs::Camera if matches!(gear.device.dialect(), Dialect::VzenithHttp | Dialect::Qianyi) => {
            switches(&format!("camera-{lane}"), 2, 3)
        }
        Hangs::Camera => String::new(),
        Hangs::Card | Hangs::CameraAndBoard => switches(&format!("actor-{lane}"), 2, 4),
        Hangs::Board => {
            let actor = format!("actor-{lane}");
            let safety = format!("safety_loop = {{ device = \"{actor}\", input = 3 }}\n");
            switches(&actor, 2, 4) + &safety + "detectors = \"anti_tailgate\"\n"
        }
    }
}

/// A lane's camera: its profile, its link, and what it is called there.
fn camera_settings(gear: &LaneGear) -> String {
    let LaneGear { lane, camera, address, device, .. } = gear;
    let (profile, link, name) = match device.dialect() {
        Dialect::VzenithMqtt => ("vzenith/r-mqtt", "broker", "sn"),
        Dialect::VzenithHttp => ("vzenith/r-http", "posts", "sn"),
        Dialect::Native => ("gatepost/mqtt", "broker", "name"),
        Dialect::Isapi => ("hikvision/isapi", "posts", "name"),
        Dialect::IsapiStream => ("hikvision/isapi", "streams", "name"),
        Dialect::Qianyi => ("qianyi/http", "posts", "sn"),
        Dialect::Axis => ("axis/lpv", "posts", "name"),
        Dialect::Rekor => ("rekor/webhook", "posts", "name"),
        Dialect::Frigate => ("frigate/lpr", "broker", "camera"),
        Dialect::Dahua => ("dahua/itsapi", "posts", "id"),
        Dialect::HyperLpr => ("hyperlpr/gateway", "posts", "name"),
    };
    let (username, password) = LOGIN;
    let login = format!("username = \"{username}\"\npassword = \"{password}\"\n");
    let asked = address.map_or_else(String::new, |address| format!("address = \"{address}\"\n{login}"));
    format!(
        "[[devices]]\nid = \"camera-{lane}\"\nprofile = \"{profile}\"\nlink = \"{link}\"\n\
         params = {{ {name} = \"{camera}\" }}\nclock_tolerance_s = 3600\n{asked}"
    )
}

/// The second camera, which sees the lane's vehicles from behind.
fn rear_camera_settings(gear: &LaneGear) -> String {
    let Some(sn) = &gear.rear else { return String::new() };
    format!(
        "[[devices]]\nid = \"camera-{}-rear\"\nprofile = \"vzenith/r-mqtt\"\nlink = \"broker\"\n\
         params = {{ sn = \"{sn}\" }}\nclock_tolerance_s = 3600\n",
        gear.lane
    )
}

/// Who reads the pictures of a lane's camera as well.
fn engine_settings(gear: &LaneGear) -> String {
    let lane = gear.lane;
    let Some(engine) = &gear.engine else { return String::new() };
    format!(
        "[[devices]]\nid = \"engine-{lane}\"\nprofile = \"hyperlpr/rest\"\nlink = \"engines\"\n\
         address = \"{}\"\nreads = [\"camera-{lane}\"]\n",
        engine.address()
    )
}

fn lane_settings(gear: &LaneGear) -> String {
    let lane = gear.lane;
    let direction = if lane == ENTRY_LANE || lane == INNER_LANES[0] { "entry" } else { "exit" };
    let zone = if INNER_LANES.contains(&lane) { "zone = \"vip\"\n" } else { "" };
    let has_card = CARDS.iter().any(|(of, _)| *of == lane);
    let signs = format!("display = \"display-{lane}\"\nspeaker = \"display-{lane}\"\n");
    let signs = if has_card { signs } else { String::new() };
    let devices = actor_settings(gear) + &camera_settings(gear) + &rear_camera_settings(gear) + &engine_settings(gear);
    let contacts = more_contacts(gear);
    let rear = if gear.rear.is_some() { format!("rear_camera = \"camera-{lane}-rear\"\n") } else { String::new() };
    let loops = format!("{}-{lane}", if gear.line.is_some() { "actor" } else { "camera" });
    let (moves, output, pulse) = match (gear.device.hangs(), gear.device) {
        // It times its pulse itself.
        (_, Device::Hikvision | Device::HikvisionStream) => ("camera", 0, ""),
        (Hangs::Camera | Hangs::CameraAndBoard, _) => ("camera", 0, ", pulse_ms = 500"),
        (Hangs::Board, _) => ("actor", 0, ", pulse_ms = 500, lower = { output = 1, pulse_ms = 500 }"),
        (Hangs::Card, _) => ("actor", 1, ", pulse_ms = 1000"),
    };
    format!(
        r#"{devices}[[lanes]]
id = "{lane}"
direction = "{direction}"
camera = "camera-{lane}"
{rear}barrier = {{ device = "{moves}-{lane}", output = {output}{pulse} }}
arrival_loop = {{ device = "{loops}", input = 0 }}
passage_loop = {{ device = "{loops}", input = 1 }}
{contacts}{zone}{signs}pass_timeout_ms = 6000
back_out_ms = {back_out_ms}
"#,
        // Nobody drives up before the vehicle that went back is out of the way.
        back_out_ms = BACKS_OUT.as_millis() * 7 / 10,
    )
}

/// The running daemon.
pub struct Daemon {
    child: Child,
    config: PathBuf,
    log: PathBuf,
    base: String,
    http: reqwest::Client,
    /// The links that have devices.
    links: BTreeSet<String>,
    /// Plate message to raise command, in microseconds, of the daemons that were killed.
    latency_us: Vec<u32>,
}

impl Daemon {
    /// Writes the settings, starts the daemon and waits until it answers.
    pub async fn start(folder: &Path, settings: &str, rules: &str, base: &str) -> anyhow::Result<Self> {
        let config = folder.join("gatepost.toml");
        std::fs::write(&config, settings).context("write the settings")?;
        std::fs::write(folder.join("rules.toml"), rules).context("write the rules")?;
        std::fs::write(folder.join("box-token"), BOX_TOKEN).context("write the box's token")?;
        let log = folder.join("gatepost.log");
        let child = spawn(&config, &log)?;
        let http = reqwest::Client::builder().timeout(Duration::from_secs(10)).no_proxy().build()?;
        let (base, links) = (base.to_owned(), links_in_use(settings)?);
        let mut daemon = Self { child, config, log, base, http, links, latency_us: Vec::new() };
        daemon.until_ready().await?;
        Ok(daemon)
    }

    /// `kill -9`, and the start that systemd would give it.
    pub async fn kill_and_restart(&mut self) -> anyhow::Result<()> {
        self.latency_us = self.latency_us().await.unwrap_or_default();
        self.child.kill().await.context("kill the daemon")?;
        self.child = spawn(&self.config, &self.log)?;
        self.until_ready().await
    }

    /// Asks the daemon to stop, as systemd would.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        let pid = self.child.id().context("the daemon has ended already")?;
        let pid = rustix::process::Pid::from_raw(i32::try_from(pid)?).context("the daemon has no process id")?;
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).context("stop the daemon")?;
        let status = self.child.wait().await.context("wait for the daemon")?;
        anyhow::ensure!(status.success(), "the daemon ended with {status}; its log: {}", self.log.display());
        Ok(())
    }

    /// Plate message to raise command in microseconds, of every raise of the day.
    pub async fn latency_us(&self) -> anyhow::Result<Vec<u32>> {
        let text = self.get("/metrics/plate-to-raise.json").await?;
        let newest: Vec<u32> = serde_json::from_str(&text).context("read the latency figures")?;
        Ok(self.latency_us.iter().copied().chain(newest).collect())
    }

    /// The devices that the box believes away and goes on doing so; one that is asked may just have started anew.
    pub async fn devices_away(&self, limit: Duration) -> anyhow::Result<Vec<String>> {
        let deadline = Instant::now() + limit;
        loop {
            let away = away_by(&self.get("/metrics").await?);
            if away.is_empty() || Instant::now() > deadline {
                return Ok(away);
            }
            tokio::time::sleep(LOOK_PERIOD).await;
        }
    }

    /// The books, once nothing is pending, the cloud has everything, and no arm moves any more.
    pub async fn settled_books(&mut self, limit: Duration) -> anyhow::Result<Value> {
        let deadline = Instant::now() + limit;
        let (mut quiet_since, mut quiet_seq) = (Instant::now(), Value::Null);
        loop {
            let books: Value =
                serde_json::from_str(&self.get("/api/v1/staff/books").await?).context("read the books")?;
            let stays = books["stays"].as_array().context("read the stays of the books")?;
            let is_pending = stays.iter().any(|stay| stay["state"].as_str().is_some_and(|s| s.starts_with("pending")));
            if is_pending || books["unacknowledged_entries"] != 0 || books["seq"] != quiet_seq {
                (quiet_since, quiet_seq) = (Instant::now(), books["seq"].clone());
            }
            if quiet_since.elapsed() >= QUIET || Instant::now() > deadline {
                return Ok(books);
            }
            tokio::time::sleep(LOOK_PERIOD).await;
        }
    }

    /// Until it answers and hears every device: what these say before that is lost, as it is at a site.
    async fn until_ready(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + START_TIMEOUT;
        while !self.hears_everything().await {
            if let Some(status) = self.child.try_wait().context("look at the daemon")? {
                anyhow::bail!("the daemon ended with {status}: {}", last_lines(&self.log));
            }
            anyhow::ensure!(Instant::now() < deadline, "the daemon does not answer: {}", last_lines(&self.log));
            tokio::time::sleep(LOOK_PERIOD).await;
        }
        Ok(())
    }

    async fn hears_everything(&self) -> bool {
        self.get("/metrics").await.is_ok_and(|metrics| are_up(&self.links, &metrics))
    }

    async fn get(&self, path: &str) -> anyhow::Result<String> {
        let request = self.http.get(format!("{}{path}", self.base));
        let request = request.header("Gatepost-Operator", OPERATOR).header("Gatepost-Pin", PIN);
        let response = request.send().await.with_context(|| format!("ask the box for {path}"))?;
        let response = response.error_for_status().with_context(|| format!("ask the box for {path}"))?;
        response.text().await.with_context(|| format!("read the box's answer for {path}"))
    }
}

/// The links on which these settings have devices.
fn links_in_use(settings: &str) -> anyhow::Result<BTreeSet<String>> {
    let settings: toml::Table = settings.parse().context("read the settings")?;
    let devices = settings.get("devices").and_then(toml::Value::as_array).context("find the devices")?;
    Ok(devices.iter().filter_map(|device| Some(device.get("link")?.as_str()?.to_owned())).collect())
}

fn are_up(links: &BTreeSet<String>, metrics: &str) -> bool {
    let lines = links.iter().map(|link| format!("gatepost_link_up{{link=\"{link}\"}} 1"));
    lines.into_iter().all(|line| metrics.lines().any(|other| other == line))
}

fn away_by(metrics: &str) -> Vec<String> {
    let device =
        |line: &str| Some(line.strip_prefix("gatepost_device_up{device=\"")?.strip_suffix("\"} 0")?.to_owned());
    metrics.lines().filter_map(device).collect()
}

fn spawn(config: &Path, log: &Path) -> anyhow::Result<Child> {
    let log = File::options().create(true).append(true).open(log).context("open the daemon's log")?;
    Command::new(std::env::current_exe().context("find this program")?)
        .args(["run", "--config"])
        .arg(config)
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .context("start the daemon")
}

fn last_lines(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines.get(lines.len().saturating_sub(5)..).unwrap_or_default().join(" | ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_begins_when_every_link_with_devices_is_up() {
        let settings = r#"
            links = [{ id = "broker" }, { id = "posts" }, { id = "spare" }]
            devices = [{ id = "a", link = "broker" }, { id = "b", link = "posts" }, { id = "c", link = "broker" }]
        "#;
        let links = links_in_use(settings).unwrap();
        assert_eq!(links, ["broker", "posts"].map(str::to_owned).into());
        let up = |broker: u8| {
            format!("gatepost_link_up{{link=\"broker\"}} {broker}\ngatepost_link_up{{link=\"posts\"}} 1\n")
        };
        assert!(are_up(&links, &up(1)));
        assert!(!are_up(&links, &up(0)), "what a camera says now is lost");
        assert!(!are_up(&links, "gatepost_link_up{link=\"posts\"} 1"), "the other is not even begun");
    }

    #[test]
    fn a_device_that_the_box_believes_away_is_found() {
        let up = |a: u8| format!("gatepost_device_up{{device=\"a\"}} {a}\ngatepost_device_up{{device=\"b\"}} 1\n");
        assert_eq!((away_by(&up(0)), away_by(&up(1))), (vec!["a".to_owned()], vec![]));
    }
}
