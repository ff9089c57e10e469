//! The simulated mall: it opens its lanes, tills and booth, lets the day of a plan happen, and keeps its own account.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::barrier::{Barrier, Wiring};
use crate::camera::{Camera, CameraSettings};
use crate::clock::VirtualClock;
use crate::driver;
use crate::guard::{Guard, GuardSettings};
use crate::outcome::{Outcome, Sale};
use crate::plan::{ExitLane, Plan};
use crate::relay_board::{BoardSettings, Dialect, RelayBoard};
use crate::till::{Till, TillSettings};

/// The way in.
pub const ENTRY_LANE: &str = "entry-1";
/// The lanes and their cameras' serial numbers.
pub const CAMERAS: [(&str, &str); 3] =
    [(ENTRY_LANE, "5e1f0a01-e0000001"), ("exit-1", "5e1f0a02-e0000002"), ("exit-2", "5e1f0a03-e0000003")];
/// The relay board's address on its line.
pub const BOARD_ADDRESS: u8 = 1;
/// How often a camera says that it lives.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// How long before the full result the quick one comes in fast time.
const QUICK_LEAD: Duration = Duration::from_millis(30);

/// Where the world finds the box and the broker.
#[derive(Clone, Debug)]
pub struct WorldSettings {
    /// The broker's host.
    pub broker_host: String,
    /// The broker's port.
    pub broker_port: u16,
    /// The till in the food court and the pay desk.
    pub till: TillSettings,
    /// The guard at the exits.
    pub guard: GuardSettings,
    /// The world's time; the box must run on the same one.
    pub clock: VirtualClock,
}

/// What the world asks of whoever runs the box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happening {
    /// Cut the box's line to the cloud.
    CutCloud,
    /// Mend it.
    RestoreCloud,
    /// Kill the box without warning and start it again; done when it answers.
    KillBox,
}

/// A happening, and where to say that it is done. Without that word the day does not end.
#[derive(Debug)]
pub struct Ask {
    /// What is to happen.
    pub what: Happening,
    /// To be told when it has happened.
    pub done: oneshot::Sender<()>,
}

/// A line for whoever watches.
#[derive(Clone, Debug, Serialize)]
pub struct Progress {
    /// The world's time in milliseconds since 1970-01-01T00:00:00Z.
    pub at_ms: i64,
    /// What happened.
    pub text: String,
    /// The day so far.
    pub counters: Counters,
}

/// The day so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Cars that drove in.
    pub entries: usize,
    /// Cars that drove out.
    pub exits: usize,
    /// Barriers that guards raised.
    pub manual: usize,
    /// Cash taken for parking.
    pub cash_fen: i64,
    /// Purchases.
    pub sales: usize,
}

/// A mall whose lanes are open and whose day has not begun.
pub struct World {
    mall: Arc<Mall>,
    asks: mpsc::Sender<Ask>,
    board: PathBuf,
}

impl World {
    /// Opens the lanes: connects the cameras to the broker and puts the relay board on its line.
    ///
    /// The world asks for happenings through `asks`, and tells what it does through `progress`, which may be full or
    /// closed.
    pub async fn open(
        settings: WorldSettings,
        plan: Plan,
        asks: mpsc::Sender<Ask>,
        progress: mpsc::Sender<Progress>,
    ) -> Result<Self> {
        let board = BoardSettings { dialect: Dialect::Waveshare, address: BOARD_ADDRESS, report_frames: false };
        let (board, reports) = RelayBoard::open(board).context("open the relay board")?;
        let path = board.path().to_owned();
        let mut on_board = Some((Arc::new(board), reports));
        let mut lanes = BTreeMap::new();
        for (place, (lane, sn)) in CAMERAS.into_iter().enumerate() {
            let camera = CameraSettings {
                host: settings.broker_host.clone(),
                port: settings.broker_port,
                sn: sn.to_owned(),
                keep_alive: KEEP_ALIVE,
                quick_lead: (place == 0).then_some(QUICK_LEAD),
                sends_pictures: true,
            };
            let (camera, commands) =
                Camera::connect(camera, settings.clock).await.with_context(|| format!("connect {lane}'s camera"))?;
            let on_board = if lane == ExitLane::Two.name() { on_board.take() } else { None };
            let wiring = match on_board {
                Some((board, reports)) => Wiring::Board(board, reports),
                None => Wiring::Camera(commands),
            };
            lanes.insert(lane, tokio::sync::Mutex::new(Barrier::build(lane, camera, wiring)));
        }
        let mall = Mall {
            clock: settings.clock,
            begins_ms: AtomicU64::new(0),
            lanes,
            till: Till::new(settings.till.clone())?,
            terminal: settings.till.terminal,
            guard: Guard::new(settings.guard)?,
            asks: asks.clone(),
            progress,
            box_is_off: AtomicBool::new(false),
            times_killed: AtomicUsize::new(0),
            account: Mutex::new(Account::default()),
            plan,
        };
        Ok(Self { mall: Arc::new(mall), asks, board: path })
    }

    /// The serial device of the relay board, for the box's settings.
    pub fn board_path(&self) -> &Path {
        &self.board
    }

    /// Lets the day happen and returns the world's account of it, when every car is gone.
    pub async fn run(self) -> Result<Outcome> {
        let begins_ms = u64::try_from(self.mall.clock.now_ms()).context("begin after 1970")?;
        self.mall.begins_ms.store(begins_ms, Ordering::SeqCst);
        let cloud = tokio::spawn(cut_and_restore(Arc::clone(&self.mall), self.asks));
        let mut visits = vec![crate::outcome::Visit::default(); self.mall.plan.cars.len()];
        let mut cars = JoinSet::new();
        for number in 0..visits.len() {
            let mall = Arc::clone(&self.mall);
            cars.spawn(async move { (number, driver::visit(&mall, number).await) });
        }
        while let Some(done) = cars.join_next().await {
            let (number, visit) = done.context("finish a car's visit")?;
            visits[number] = visit;
        }
        cloud.await.context("finish the cut of the line")?;
        Ok(self.mall.outcome(visits))
    }
}

/// The mall while its day happens; every car, till and guard shares it.
pub(crate) struct Mall {
    pub(crate) plan: Plan,
    pub(crate) clock: VirtualClock,
    pub(crate) till: Till,
    pub(crate) terminal: String,
    pub(crate) guard: Guard,
    lanes: BTreeMap<&'static str, tokio::sync::Mutex<Barrier>>,
    begins_ms: AtomicU64,
    asks: mpsc::Sender<Ask>,
    progress: mpsc::Sender<Progress>,
    box_is_off: AtomicBool,
    times_killed: AtomicUsize,
    account: Mutex<Account>,
}

/// What is added up while the day happens.
#[derive(Default)]
struct Account {
    counters: Counters,
    sales: Vec<Sale>,
    troubles: Vec<String>,
    latency_us: Vec<u64>,
}

/// How often the box had been killed when somebody looked, and whether it was off.
#[derive(Clone, Copy)]
pub(crate) struct BoxSeen(usize, bool);

impl Mall {
    /// Stands in line for a lane; one vehicle at a time is at its arrival loop.
    pub(crate) async fn queue(&self, lane: &str) -> Option<tokio::sync::MutexGuard<'_, Barrier>> {
        Some(self.lanes.get(lane)?.lock().await)
    }

    /// Waits until so many world milliseconds of the day have passed.
    pub(crate) async fn until(&self, day_ms: i64) {
        let begins_ms = i64::try_from(self.begins_ms.load(Ordering::SeqCst)).unwrap_or(0);
        self.until_moment(begins_ms + day_ms).await;
    }

    /// Waits until the world's clock shows a moment.
    pub(crate) async fn until_moment(&self, utc_ms: i64) {
        tokio::time::sleep(self.clock.real_until(utc_ms)).await;
    }

    /// Kills the box and goes on at once; the box comes back by itself.
    pub(crate) fn kill_box(self: &Arc<Self>) {
        self.times_killed.fetch_add(1, Ordering::SeqCst);
        self.box_is_off.store(true, Ordering::SeqCst);
        self.tell("the box is killed without warning", |_| {});
        let mall = Arc::clone(self);
        tokio::spawn(async move {
            happen(&mall.asks, Happening::KillBox).await;
            mall.box_is_off.store(false, Ordering::SeqCst);
            mall.tell("the box is back", |_| {});
        });
    }

    pub(crate) fn look_at_box(&self) -> BoxSeen {
        BoxSeen(self.times_killed.load(Ordering::SeqCst), self.box_is_off.load(Ordering::SeqCst))
    }

    /// Whether the box was off at any moment since somebody looked.
    pub(crate) fn box_was_off_since(&self, before: BoxSeen) -> bool {
        let now = self.look_at_box();
        before.1 || now.1 || now.0 != before.0
    }

    /// Adds to the day's account and tells whoever watches.
    pub(crate) fn tell(&self, text: &str, count: impl FnOnce(&mut Counters)) {
        let counters = {
            let mut account = self.account();
            count(&mut account.counters);
            account.counters
        };
        // A watcher who does not keep up misses lines; the account does not depend on it.
        drop(self.progress.try_send(Progress { at_ms: self.clock.now_ms(), text: text.to_owned(), counters }));
    }

    /// Something happened that must not.
    pub(crate) fn trouble(&self, text: String) {
        self.tell(&text, |_| {});
        self.account().troubles.push(text);
    }

    pub(crate) fn sold(&self, sale: Sale) {
        self.account().sales.push(sale);
    }

    pub(crate) fn raised_after(&self, read: Instant, raised: Instant) {
        let micros = raised.saturating_duration_since(read).as_micros();
        self.account().latency_us.push(u64::try_from(micros).unwrap_or(u64::MAX));
    }

    fn outcome(&self, visits: Vec<crate::outcome::Visit>) -> Outcome {
        let account = std::mem::take(&mut *self.account());
        let mut outcome = Outcome {
            visits,
            manual: account.counters.manual,
            sales: account.sales,
            troubles: account.troubles,
            latency_us: account.latency_us,
            ..Outcome::default()
        };
        let balances = self.plan.members.iter().map(|member| (member.id.clone(), member.balance));
        outcome.sum_up(self.plan.tariff, balances);
        outcome
    }

    fn account(&self) -> std::sync::MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn cut_and_restore(mall: Arc<Mall>, asks: mpsc::Sender<Ask>) {
    let Some((from_ms, to_ms)) = mall.plan.cut_ms else { return };
    mall.until(from_ms).await;
    happen(&asks, Happening::CutCloud).await;
    mall.tell("the line to the cloud is cut", |_| {});
    mall.until(to_ms).await;
    happen(&asks, Happening::RestoreCloud).await;
    mall.tell("the line to the cloud is mended", |_| {});
}

async fn happen(asks: &mpsc::Sender<Ask>, what: Happening) {
    let (done, happened) = oneshot::channel();
    if asks.send(Ask { what, done }).await.is_ok() {
        // An orchestrator that is gone will not answer, and the day goes on without it.
        drop(happened.await);
    }
}
