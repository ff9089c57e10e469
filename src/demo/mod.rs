//! The whole mall in one command: broker, cloud ledger and simulated world here, the daemon as a child, the books compared.

mod daemon;
mod mall;
mod report;

use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use simulators::clock::VirtualClock;
use simulators::faults::{FAULTS, Fault, Faults};
use simulators::gear::{Device, LaneGear};
use simulators::guard::GuardSettings;
use simulators::plan::{Plan, PlanSettings};
use simulators::till::TillSettings;
use simulators::world::{Ask, Happening, Progress, World, WorldSettings};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::mpsc;
use tracing_subscriber::EnvFilter;

use crate::daemon::told_to_stop;
use daemon::Daemon;
use mall::{BOX_ID, Mall};
use report::{Losses, Report, Told};

/// The world's day begins here: 2026-03-02T08:00:00+08:00.
const DAY_BEGINS_MS: i64 = 1_772_409_600_000;
/// Lines of progress that may wait for the terminal.
const PROGRESS_LINES: usize = 256;
/// Alarms that are counted; a day of the demo has some dozens.
const ALARMS_COUNTED: usize = 10_000;
/// How long the box may take to hand everything over when the day is done.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(30);

/// What the demo is run with.
#[derive(Args, Debug)]
pub struct Options {
    /// How many cars come; from 20 on, everything that can go wrong goes wrong at least once.
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u32).range(1..=5000))]
    cars: u32,
    /// Everything random comes from this number.
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// How many times as fast as ours the mall's time runs while cars are parked.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=600))]
    speed: u32,
    /// End when the day is done, instead of leaving the page open.
    #[arg(long)]
    headless: bool,
    /// Print only one JSON object, as the last line.
    #[arg(long)]
    json: bool,
    /// Where the page listens; a free port is taken when headless.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// What the lanes hang on, in turn: vzenith-mqtt, vzenith-http, modbus, kf, native, hikvision, qianyi,
    /// hikvision-stream, axis, rekor, frigate, dahua, hyperlpr, second-look. Without it: cameras at the broker, and a relay board at
    /// the last exit.
    #[arg(long, value_delimiter = ',', value_name = "NAME,…")]
    devices: Vec<Device>,
    /// What goes wrong with them: lost, late, duplicated, reordered, corrupted, clock, reboot, dead-relay, stuck-arm,
    /// slow-arm, torn-arm, swapped, swapped-relays, swapped-loops, wrong-character, or all.
    #[arg(long, value_delimiter = ',', value_name = "NAME,…", value_parser = faults)]
    faults: Vec<Wrong>,
    /// Keep the ledgers, settings and log in this folder, to look at them afterwards.
    #[arg(long, value_name = "DIRECTORY")]
    keep: Option<PathBuf>,
}

/// One fault, or all of them.
#[derive(Clone, Debug)]
struct Wrong(Vec<Fault>);

fn faults(name: &str) -> Result<Wrong, String> {
    let all = || FAULTS.iter().map(|(_, fault)| *fault).collect();
    Ok(Wrong(if name == "all" { all() } else { vec![name.parse()?] }))
}

/// Runs the demo. The exit code tells whether the box's books match the simulated world.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("error"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    rustls::crypto::ring::default_provider().install_default().ok().context("install the TLS provider")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let folder = Folder::make(options.keep.clone())?;
    let report = runtime.block_on(day(options, &folder))?;
    say(&report.as_json_line());
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn day(options: &Options, folder: &Folder) -> anyhow::Result<Report> {
    let mut plan = Plan::draw(PlanSettings { seed: options.seed, cars: options.cars, speed: options.speed });
    let mall = Mall::open(&folder.path, &mut plan).await?;
    let (page, cameras) = (Held::address()?, Held::address()?);
    let listen = if options.headless { page.address } else { check_free(options.listen).await? };
    let (base, posts) = (format!("http://{listen}"), cameras.address);
    let clock = VirtualClock::starting_at(DAY_BEGINS_MS, options.speed);
    let (asks_in, asks) = mpsc::channel(4);
    let (progress_in, progress) = mpsc::channel(PROGRESS_LINES);
    let settings = WorldSettings {
        broker_host: "127.0.0.1".to_owned(),
        broker_port: mall.broker.port(),
        posts,
        devices: options.devices.clone(),
        faults: Faults::of(options.faults.iter().flat_map(|wrong| wrong.0.iter().copied())),
        till: TillSettings {
            base: base.clone(),
            terminal: daemon::TERMINAL.to_owned(),
            token: daemon::TERMINAL_TOKEN.to_owned(),
        },
        guard: GuardSettings { base: base.clone(), operator: daemon::OPERATOR.to_owned(), pin: daemon::PIN.to_owned() },
        clock,
    };
    let rules = daemon::rules(&plan);
    let coupons: Vec<String> = plan.coupons().map(str::to_owned).collect();
    let mut world = World::open(settings, plan, asks_in, progress_in).await.context("open the simulated mall")?;
    let config = daemon::settings(&daemon::Surroundings {
        folder: &folder.path,
        listen,
        broker: mall.broker,
        cloud: mall.line.address(),
        posts,
        gear: world.gear(),
        cards: world.cards_path(),
        clock,
    });
    let mut daemon = Daemon::start(&folder.path, &config, &rules, &base).await?;
    let is_quiet = options.json;
    greet(options, folder, &base, is_quiet);
    say_unless(is_quiet, &made_of(world.gear(), &options.faults));
    let watcher = tokio::spawn(watch(progress, is_quiet));
    let outcome = {
        let mut day = Box::pin(world.run());
        let mut asks = asks;
        loop {
            tokio::select! {
                outcome = &mut day => break outcome.context("run the simulated day")?,
                Some(ask) = asks.recv() => obey(ask, &mut daemon, &mall).await?,
                signal = told_to_stop() => anyhow::bail!("{} before the day was over", signal?),
            }
        }
    };
    let books = daemon.settled_books(SETTLE_TIMEOUT).await?;
    let (latency, cloud) = (daemon.latency_us().await?, mall.accounts(&coupons).await?);
    let away = daemon.devices_away(SETTLE_TIMEOUT).await?;
    if !options.headless {
        say_unless(is_quiet, &format!("The day is done; the page stays open at {base} until Ctrl-C."));
        told_to_stop().await?;
    }
    daemon.stop().await?;
    drop(world);
    drop(watcher.await);
    let ledger = folder.path.join("ledger.db");
    let verdict = crate::store::journal::verify(&ledger).context("verify the journal")?;
    let losses = losses(&ledger, clock.now_ms())?;
    let alarms = alarms(&ledger).await?;
    Report::make(&Told { outcome, books, cloud, verdict, losses, alarms, latency_us: latency, away })
}

/// What the box's own report says was lost, over all days that the demo touched.
fn losses(ledger: &Path, until_ms: i64) -> anyhow::Result<Losses> {
    let zone = jiff::tz::TimeZone::get("Asia/Shanghai").context("find the time zone")?;
    let date = |ms: i64| anyhow::Ok(zone.to_datetime(jiff::Timestamp::from_millisecond(ms)?).date());
    let (mut day, last) = (date(DAY_BEGINS_MS)?, date(until_ms)?);
    let mut losses = Losses::default();
    while day <= last {
        losses.add(&crate::store::day::report(ledger, day, &zone).context("look through the day")?);
        day = day.tomorrow()?;
    }
    Ok(losses)
}

/// What staff were told, by its word, and how often.
async fn alarms(ledger: &Path) -> anyhow::Result<BTreeMap<String, u32>> {
    let reader = crate::store::reader::Reader::open(ledger).context("open the ledger to read")?;
    let mut told = BTreeMap::new();
    for alarm in reader.look(|view| view.alarms(ALARMS_COUNTED)).await.context("read the alarms")? {
        *told.entry(alarm.code).or_default() += 1;
    }
    Ok(told)
}

async fn obey(ask: Ask, daemon: &mut Daemon, mall: &Mall) -> anyhow::Result<()> {
    match ask.what {
        Happening::CutCloud => mall.line.cut(),
        Happening::RestoreCloud => mall.line.restore(),
        Happening::KillBox => daemon.kill_and_restart().await?,
    }
    // The world may have ended meanwhile.
    let _ = ask.done.send(());
    Ok(())
}

fn greet(options: &Options, folder: &Folder, base: &str, is_quiet: bool) {
    let Options { cars, seed, speed, .. } = options;
    say_unless(is_quiet, &format!("Gatepost demo: {cars} cars, seed {seed}, {speed} times as fast as a real day."));
    say_unless(
        is_quiet,
        &format!("Open {base} - box {BOX_ID}, operator {} with PIN {}.", daemon::OPERATOR, daemon::PIN),
    );
    say_unless(is_quiet, &format!("Settings, ledgers and the daemon's log: {}", folder.path.display()));
}

/// What the lanes hang on, and what goes wrong there.
fn made_of(gear: &[LaneGear], wrong: &[Wrong]) -> String {
    let behind = |gear: &LaneGear| if gear.rear.is_some() { " with a second camera behind" } else { "" };
    let lane = |gear: &LaneGear| format!("{} on {}{}", gear.lane, gear.device.name(), behind(gear));
    let lanes: Vec<String> = gear.iter().map(lane).collect();
    let faults: Vec<&str> = wrong.iter().flat_map(|wrong| &wrong.0).map(|fault| fault.name()).collect();
    let faults = if faults.is_empty() { "none".to_owned() } else { faults.join(", ") };
    format!("Lanes: {}. Faults: {faults}; each is told with a ! where it strikes.", lanes.join(", "))
}

/// Shows what happens in the mall, a line each.
async fn watch(mut progress: mpsc::Receiver<Progress>, is_quiet: bool) {
    while let Some(line) = progress.recv().await {
        let c = line.counters;
        let time = simulators::clock::rfc3339(line.at_ms);
        let clock = time.get(11..19).unwrap_or_default();
        let (cash, text) = (crate::domain::tariff::yuan(c.cash_fen), line.text);
        say_unless(is_quiet, &format!("{clock}  in {:>4}  out {:>4}  cash ¥{cash:>8}  {text}", c.entries, c.exits));
    }
}

/// An address that is ours although nobody listens there yet: the daemon may, and nobody is given its port meanwhile.
struct Held {
    address: SocketAddr,
    _socket: TcpSocket,
}

impl Held {
    fn address() -> anyhow::Result<Self> {
        let hold = || {
            let socket = TcpSocket::new_v4()?;
            socket.set_reuseaddr(true)?;
            socket.bind((std::net::Ipv4Addr::LOCALHOST, 0).into())?;
            std::io::Result::Ok(Self { address: socket.local_addr()?, _socket: socket })
        };
        hold().context("find a free port")
    }
}

async fn check_free(address: SocketAddr) -> anyhow::Result<SocketAddr> {
    TcpListener::bind(address).await.with_context(|| format!("{address} is in use; choose another with --listen"))?;
    Ok(address)
}

/// Where the demo's files are; removed at the end unless they are to be kept.
struct Folder {
    path: PathBuf,
    is_kept: bool,
}

impl Folder {
    fn make(keep: Option<PathBuf>) -> anyhow::Result<Self> {
        let is_kept = keep.is_some();
        let path = keep.unwrap_or_else(|| std::env::temp_dir().join(format!("gatepost-demo-{}", std::process::id())));
        std::fs::create_dir_all(&path).with_context(|| format!("make the folder {}", path.display()))?;
        anyhow::ensure!(
            !path.join("ledger.db").exists(),
            "{} holds the ledger of an earlier demo; choose an empty folder",
            path.display()
        );
        Ok(Self { path, is_kept })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.is_kept {
            // A folder that cannot be removed is left to the system's own cleaning.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

fn say_unless(is_quiet: bool, line: &str) {
    if !is_quiet {
        say(line);
    }
}

fn say(line: &str) {
    // A day goes on where nobody reads: its report is the exit code too.
    let _ = writeln!(std::io::stdout(), "{line}");
}
