//! The simulated mall: it opens its lanes, tills and booth, lets the day of a plan happen, and keeps its own account.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Serialize;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use crate::barrier::Barrier;
use crate::cables::{Cables, Misled};
use crate::clock::VirtualClock;
use crate::driver;
use crate::faults::{Faults, Stroke, Suffers};
use crate::gear::{self, Device, LaneGear, Lanes, Place};
use crate::guard::{Guard, GuardSettings};
use crate::led_card::LedLine;
use crate::outcome::{Hurt, Outcome, Sale};
use crate::plan::Plan;
use crate::till::{Till, TillSettings};

/// The way in.
pub const ENTRY_LANE: &str = "entry-1";
/// The way into the inner lot, and out of it.
pub const INNER_LANES: [&str; 2] = ["vip-in", "vip-out"];
/// The lanes and their cameras' serial numbers.
pub const CAMERAS: [(&str, &str); 5] = [
    (ENTRY_LANE, "5e1f0a01-e0000001"),
    ("exit-1", "5e1f0a02-e0000002"),
    (INNER_LANES[0], "5e1f0a04-e0000004"),
    (INNER_LANES[1], "5e1f0a05-e0000005"),
    ("exit-2", "5e1f0a03-e0000003"),
];
/// The lane that a second camera looks at from behind, and that camera's serial number.
pub const REAR_CAMERA: (&str, &str) = ("exit-1", "5e1f0a06-e0000006");
/// How long a display may be dark at the end of the day: a box tells one that was away first seldom, then ever more.
const LIT_WITHIN: Duration = Duration::from_secs(90);
/// How often it is looked.
const LIT_LOOK: Duration = Duration::from_millis(100);
/// The relay board's address on its line.
pub const BOARD_ADDRESS: u8 = 1;
/// The lanes that have a display with a voice, and its address on their line.
pub const CARDS: [(&str, u8); 2] = [(ENTRY_LANE, 0), ("exit-1", 5)];

/// Where the world finds the box and the broker.
#[derive(Clone, Debug)]
pub struct WorldSettings {
    /// The broker's host.
    pub broker_host: String,
    /// The broker's port.
    pub broker_port: u16,
    /// Where cameras post.
    pub posts: SocketAddr,
    /// What the lanes hang on, in turn; none: cameras at the broker, and a relay board at the last exit.
    pub devices: Vec<Device>,
    /// What goes wrong with them.
    pub faults: Faults,
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
    gear: Vec<LaneGear>,
    strokes: Option<mpsc::Receiver<Stroke>>,
}

impl World {
    /// Opens the lanes: connects the cameras and puts boards and cards on their lines.
    ///
    /// The world asks for happenings through `asks`, and tells what it does through `progress`, which may be full or
    /// closed.
    pub async fn open(
        settings: WorldSettings,
        plan: Plan,
        asks: mpsc::Sender<Ask>,
        progress: mpsc::Sender<Progress>,
    ) -> Result<Self> {
        let place = Place {
            broker: (settings.broker_host.clone(), settings.broker_port),
            posts: settings.posts,
            devices: settings.devices.clone(),
            faults: settings.faults.clone(),
            clock: settings.clock,
        };
        let strokes = settings.faults.watch();
        let cables = Arc::new(Cables::of(&settings.faults));
        let (lanes, gear) = gear::open(&place, &cables).await?;
        let cards = LedLine::open(&CARDS.map(|(_, address)| address)).context("open the displays")?;
        cards.suffer(settings.faults.at("the displays"));
        let mall = Mall {
            cards,
            cables,
            rounds: tokio::sync::Mutex::default(),
            kill_is_over: watch::Sender::new(plan.kill_at_exit_of.is_none()),
            faults: settings.faults,
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
        Ok(Self { mall: Arc::new(mall), asks, gear, strokes: Some(strokes) })
    }

    /// What each lane hangs on, for the box's settings.
    pub fn gear(&self) -> &[LaneGear] {
        &self.gear
    }

    /// The serial device of the displays, for the box's settings.
    pub fn cards_path(&self) -> &Path {
        self.mall.cards.path()
    }

    /// Lets the day happen and returns the world's account of it, when every car is gone. The devices stay on until the
    /// world is dropped.
    pub async fn run(&mut self) -> Result<Outcome> {
        let begins_ms = u64::try_from(self.mall.clock.now_ms()).context("begin after 1970")?;
        self.mall.begins_ms.store(begins_ms, Ordering::SeqCst);
        let devices = self.gear.iter().map(|gear| (gear.lane, gear.device.name())).collect();
        let cloud = tokio::spawn(cut_and_restore(Arc::clone(&self.mall), self.asks.clone()));
        let watching = self.strokes.take().map(|strokes| tokio::spawn(tell_of(Arc::clone(&self.mall), strokes)));
        for lane in self.mall.lanes.values() {
            lane.lock().await.tell_arm().await.context("tell where an arm is")?;
        }
        let mut visits = vec![crate::outcome::Visit::default(); self.mall.plan.cars.len()];
        let mut cars = JoinSet::new();
        for number in 0..visits.len() {
            let mall = Arc::clone(&self.mall);
            cars.spawn(async move { (number, driver::visit(&mall, number).await) });
        }
        while let Some(done) = cars.join_next().await {
            let (number, visit) = done.context("finish a car's visit")?;
            visits[number] = visit;
            if self.mall.plan.kill_at_exit_of == Some(number) && !self.mall.was_killed() {
                // It had no occasion, and none will come.
                self.mall.kill_is_over.send_replace(true);
            }
        }
        cloud.await.context("finish the cut of the line")?;
        for lane in self.mall.lanes.values() {
            lane.lock().await.closed().await?;
        }
        let arms = self.mall.arms().await;
        self.mall.until_screens_are_lit().await;
        if let Some(watching) = watching {
            watching.abort();
        }
        Ok(Outcome { devices, ..self.mall.outcome(arms, visits) })
    }
}

/// The mall while its day happens; every car, till and guard shares it.
pub(crate) struct Mall {
    pub(crate) plan: Plan,
    pub(crate) clock: VirtualClock,
    pub(crate) till: Till,
    pub(crate) terminal: String,
    pub(crate) guard: Guard,
    pub(crate) cables: Arc<Cables>,
    /// Held by the vehicle that goes in and out of the inner lot until its cables are right.
    pub(crate) rounds: tokio::sync::Mutex<()>,
    kill_is_over: watch::Sender<bool>,
    cards: LedLine,
    faults: Faults,
    lanes: Lanes,
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
    misled: Vec<Misled>,
    hurt: Vec<Hurt>,
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
            mall.kill_is_over.send_replace(true);
        });
    }

    /// Waits until the box was killed and is back, or will not be killed any more.
    pub(crate) async fn until_kill_is_over(&self) {
        // The sender lives as long as the mall.
        drop(self.kill_is_over.subscribe().wait_for(|is_over| *is_over).await);
    }

    /// Whether the day's kill has happened.
    pub(crate) fn was_killed(&self) -> bool {
        self.times_killed.load(Ordering::SeqCst) > 0
    }

    pub(crate) fn look_at_box(&self) -> BoxSeen {
        BoxSeen(self.times_killed.load(Ordering::SeqCst), self.box_is_off.load(Ordering::SeqCst))
    }

    /// Whether the box was off at any moment since somebody looked.
    pub(crate) fn box_was_off_since(&self, before: BoxSeen) -> bool {
        let now = self.look_at_box();
        before.1 || now.1 || now.0 != before.0
    }

    /// What the display of a lane shows, where it has one.
    pub(crate) fn screen(&self, lane: &str) -> Option<String> {
        let (_, address) = CARDS.iter().find(|(of, _)| *of == lane)?;
        Some(self.cards.screen(*address).join(" | "))
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

    /// Staff must have been told of this.
    pub(crate) fn note_misled(&self, misled: Misled) {
        self.account().misled.push(misled);
    }

    /// An arm broke, and staff must have been told.
    pub(crate) fn note_hurt(&self, hurt: Hurt) {
        self.account().hurt.push(hurt);
    }

    pub(crate) fn raised_after(&self, read: Instant, raised: Instant) {
        let micros = raised.saturating_duration_since(read).as_micros();
        self.account().latency_us.push(u64::try_from(micros).unwrap_or(u64::MAX));
    }

    /// How often arms were let down by the box, and on how many vehicles any arm came down.
    async fn arms(&self) -> (usize, usize) {
        let (mut lowered, mut hits) = (0, 0);
        for lane in self.lanes.values() {
            let (of_lane, hit) = lane.lock().await.lowered_and_hits();
            (lowered, hits) = (lowered + of_lane, hits + hit);
        }
        (lowered, hits)
    }

    /// Waits for displays that started anew: the box must tell them again what they are to show.
    async fn until_screens_are_lit(&self) {
        let end = Instant::now() + LIT_WITHIN;
        for (lane, address) in CARDS {
            while self.cards.screen(address).is_empty() && Instant::now() < end {
                tokio::time::sleep(LIT_LOOK).await;
            }
            if self.cards.screen(address).is_empty() {
                self.trouble(format!("the display of {lane} stays dark"));
            }
        }
    }

    fn outcome(&self, arms: (usize, usize), visits: Vec<crate::outcome::Visit>) -> Outcome {
        let account = std::mem::take(&mut *self.account());
        let (shown, broken) = (self.cards.shown(), self.cards.broken_frames());
        let mut troubles = account.troubles;
        if shown.screens == 0 || shown.sentences == 0 || shown.flash_writes > 0 || broken > 0 {
            troubles.push(format!("the displays came to {shown:?} and {broken} broken frames"));
        }
        if arms.1 > 0 {
            troubles.push(format!("an arm came down on {} vehicles", arms.1));
        }
        let mut outcome = Outcome {
            shown,
            faults: self.faults.struck(),
            suffered: self.faults.suffered(),
            misled: account.misled,
            hurt: account.hurt,
            arms_lowered: arms.0,
            visits,
            manual: account.counters.manual,
            sales: account.sales,
            troubles,
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

/// Names each fault that strikes to whoever watches.
async fn tell_of(mall: Arc<Mall>, mut strokes: mpsc::Receiver<Stroke>) {
    while let Some(Stroke { fault, place, of, times }) = strokes.recv().await {
        let of = match of {
            Suffers::Words => "",
            Suffers::Polls => " in polls",
            Suffers::Signs => " in what is shown and said",
        };
        mall.tell(&format!("! {} at {place}{of}, {times}: {}", fault.name(), fault.words()), |_| {});
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
