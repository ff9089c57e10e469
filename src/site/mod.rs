//! The loop: an input is decided, journaled, then acted on. One thread, the database's only writer.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::tz::TimeZone;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tracing::{error, info, warn};

use crate::clock::Clock;
use crate::domain::decide::decide;
use crate::domain::event::{
    Action, BusinessDay, CloudNews, CommandAnswer, CommandId, DeviceChange, EpochReason, Input, JournalHead, LaneId,
    Now, Record, Reply, UtcMs, Witnessed,
};
use crate::domain::lane::Lanes;
use crate::store::Store;

mod rules;

pub use rules::{Past, RulesBook, activate as activate_rules, may_start};

/// How many inputs may wait. A full queue makes the links stop reading and the tills hear `busy`; nothing is dropped.
pub const QUEUE_INPUTS: usize = 1024;
/// How many inputs one commit may carry: enough to ride out a slow disk, few enough that the first never waits long.
const BATCH_INPUTS: usize = 64;
/// How many inputs one input may lead to before the loop calls it a mistake of ours.
const THEN_INPUTS: usize = 256;
/// Commits after which an idle moment is used to write the WAL back: about 2500 pages.
const TIDY_COMMITS: u32 = 256;

/// Which way an arm is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Motion {
    /// Up.
    Raise,
    /// Down.
    Lower,
}

/// A command for a barrier, for the devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BarrierMove {
    /// Which lane's barrier.
    pub lane: LaneId,
    /// The command's id.
    pub command: CommandId,
    /// Which way.
    pub motion: Motion,
    /// Whether a camera's statement led to it at once, and not a payment or a person later: for the latency figures.
    pub of_read: bool,
}

/// An input with the place where its reply goes.
#[derive(Debug)]
pub struct Envelope {
    /// What happened.
    pub input: Input,
    /// Told after the commit; the sender may have gone.
    pub reply: oneshot::Sender<Reply>,
}

/// The way into the loop, for every room that hears something.
#[derive(Clone, Debug)]
pub struct Handle {
    inputs: mpsc::Sender<Envelope>,
}

/// Why an input was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// The queue is full.
    #[error("the box is behind; try again")]
    Busy,
    /// The loop has ended.
    #[error("the box is stopping")]
    Stopped,
}

impl Handle {
    /// A handle that feeds `inputs`.
    pub fn new(inputs: mpsc::Sender<Envelope>) -> Self {
        Self { inputs }
    }

    /// Puts an input in line, waiting where the line is full; the receiver answers after the commit.
    pub async fn submit(&self, input: Input) -> Result<oneshot::Receiver<Reply>, Unavailable> {
        let (reply, answer) = oneshot::channel();
        self.inputs.send(Envelope { input, reply }).await.map_err(|_| Unavailable::Stopped)?;
        Ok(answer)
    }

    /// Puts an input in line, or says at once that the line is full: for those who can be told to try again.
    pub fn try_submit(&self, input: Input) -> Result<oneshot::Receiver<Reply>, Unavailable> {
        let (reply, answer) = oneshot::channel();
        match self.inputs.try_send(Envelope { input, reply }) {
            Ok(()) => Ok(answer),
            Err(mpsc::error::TrySendError::Full(_)) => Err(Unavailable::Busy),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(Unavailable::Stopped),
        }
    }
}

/// Ledger and lanes: the synchronous heart of the loop, which tests and replays drive with a time of their own.
pub struct Core {
    store: Store,
    lanes: Lanes,
    zone: TimeZone,
    /// The minute of the day at which a business day begins.
    day_begins_min: u16,
    book: RulesBook,
}

/// What an input led to. The actions and the reply go out only after the commit.
#[derive(Debug)]
pub struct Step {
    /// For the one who asked.
    pub reply: Reply,
    /// Raises and wakes.
    pub actions: Vec<Action>,
    /// What was written; worth telling only once it is on disk.
    pub records: Vec<Record>,
}

impl Core {
    /// Over an open ledger, at a site that goes by UTC.
    pub fn new(store: Store, lanes: Lanes) -> Self {
        let book = RulesBook::default();
        book.show(&store);
        Self { store, lanes, zone: TimeZone::UTC, day_begins_min: 0, book }
    }

    /// The same at a site with a time zone of its own.
    pub fn in_zone(self, zone: TimeZone) -> Self {
        Self { zone, ..self }
    }

    /// The same where a business day begins at another minute than midnight.
    pub fn with_day_begin(self, day_begins_min: u16) -> Self {
        Self { day_begins_min, ..self }
    }

    /// Where the journal stands.
    pub fn head(&self) -> JournalHead {
        self.store.head()
    }

    /// Decides an input and whatever it leads to at once, into the open batch. The first decision's reply is the
    /// answer.
    pub fn step(&mut self, input: Input, now: Now) -> anyhow::Result<Step> {
        let mut waiting = VecDeque::from([input]);
        let mut reply = None;
        let mut step = Step { reply: Reply::Done, actions: Vec::new(), records: Vec::new() };
        let mut decided = 0;
        while let Some(input) = waiting.pop_front() {
            decided += 1;
            if decided > THEN_INPUTS {
                error!("one input led to too many others; the rest is left");
                break;
            }
            if let Input::RulesOffered { operator, offer, .. } = &input {
                let (answer, records) = rules::offered(&mut self.store, operator.as_deref(), offer, now)?;
                step.records.extend(records);
                reply.get_or_insert(answer);
                continue;
            }
            let mut facts = self.store.facts(&input)?;
            facts.civil = civil(&self.zone, now.utc);
            // Also where a clock was put back: what comes now belongs to the first day that is not closed.
            facts.day = business_day(&self.zone, self.day_begins_min, now.utc).max(self.store.first_open_day());
            let decision = decide(&input, &facts, &self.lanes, now);
            if !decision.records.is_empty() {
                self.store.append(&input, &decision.records, now)?;
                step.records.extend(decision.records);
            }
            for action in decision.actions {
                match action {
                    Action::Then(next) => waiting.push_back(*next),
                    Action::Raise { .. } | Action::Lower { .. } | Action::Wake { .. } => step.actions.push(action),
                }
            }
            reply.get_or_insert(decision.reply);
        }
        step.reply = reply.unwrap_or(Reply::Done);
        Ok(step)
    }

    /// What the daemon tells itself when it starts: each lane takes up what it was doing, also one that the settings
    /// no longer have, and a ledger file that is behind the cloud is doubted.
    pub fn first_inputs(&self) -> Vec<Input> {
        let lanes: BTreeSet<LaneId> = self.store.lanes().chain(self.lanes.keys()).cloned().collect();
        let mut inputs: Vec<Input> = lanes.into_iter().map(|lane| Input::Started { lane }).collect();
        inputs.extend(
            self.store.rewound().map(|reason| Input::Cloud(CloudNews::Doubted { why: EpochReason::Behind, reason })),
        );
        inputs
    }

    /// Makes the batch durable.
    pub fn commit(&mut self) -> anyhow::Result<()> {
        self.store.commit()?;
        self.book.show(&self.store);
        Ok(())
    }

    /// The rules, for those who quote: always the committed ones.
    pub fn book(&self) -> RulesBook {
        self.book.clone()
    }
}

/// The day of the week (Monday = 1) and the minute of the day at a site. A time that no calendar has is midnight.
fn civil(zone: &TimeZone, at: UtcMs) -> (u8, u16) {
    let Ok(moment) = jiff::Timestamp::from_millisecond(at.0) else { return (1, 0) };
    let there = zone.to_datetime(moment);
    let minute = u16::from(there.hour().unsigned_abs()) * 60 + u16::from(there.minute().unsigned_abs());
    (there.date().weekday().to_monday_one_offset().unsigned_abs(), minute)
}

/// The business day of a moment: the calendar day at the site, less the part of the night that belongs to the day before.
pub fn business_day(zone: &TimeZone, begins_min: u16, at: UtcMs) -> BusinessDay {
    let at = at.0.saturating_sub(i64::from(begins_min) * 60_000);
    let Ok(moment) = jiff::Timestamp::from_millisecond(at) else { return BusinessDay::default() };
    let first = jiff::civil::date(1970, 1, 1);
    let days = zone.to_datetime(moment).date().since(first).map(|span| span.get_days());
    BusinessDay(days.unwrap_or_default())
}

/// The loop and what it needs.
pub struct Site {
    core: Core,
    clock: Clock,
    inputs: mpsc::Receiver<Envelope>,
    outputs: Outputs,
}

/// Where the loop's actions go.
pub struct Outputs {
    /// To the devices.
    pub raises: mpsc::Sender<BarrierMove>,
    /// To the timer.
    pub deadlines: Arc<Deadlines>,
    /// Told a new number after every commit that changed something: the console redraws, the sync wakes.
    pub version: watch::Sender<u64>,
    /// Told where the journal stands after every commit that changed something.
    pub head: watch::Sender<JournalHead>,
    /// What a witness on another disk remembers, from before this start.
    pub witnessed: Option<JournalHead>,
}

impl Site {
    /// The loop over an open ledger.
    pub fn new(core: Core, clock: Clock, inputs: mpsc::Receiver<Envelope>, outputs: Outputs) -> Self {
        Self { core, clock, inputs, outputs }
    }

    /// Runs until every handle is gone. An error means that the disk failed: the process must end, and start again
    /// from what is on disk.
    pub fn run(mut self) -> anyhow::Result<()> {
        self.start_lanes()?;
        let mut commits = 0;
        while let Some(first) = self.inputs.blocking_recv() {
            let mut batch = Batch::default();
            self.decide(first, &mut batch)?;
            while batch.replies.len() < BATCH_INPUTS
                && let Ok(next) = self.inputs.try_recv()
            {
                self.decide(next, &mut batch)?;
            }
            self.finish(batch)?;
            commits += 1;
            if commits >= TIDY_COMMITS && self.inputs.is_empty() {
                self.core.store.tidy_up()?;
                commits = 0;
            }
        }
        Ok(())
    }

    /// Every lane takes up what it was doing when the box stopped.
    fn start_lanes(&mut self) -> anyhow::Result<()> {
        let mut batch = Batch::default();
        let seen = self.outputs.witnessed.take();
        let seen = seen.map(|head| Input::Witnessed(Witnessed { by: "the witness file".to_owned(), head }));
        for input in seen.into_iter().chain(self.core.first_inputs()) {
            batch.take(self.core.step(input, self.clock.now())?, false);
        }
        self.finish(batch)
    }

    fn decide(&mut self, envelope: Envelope, batch: &mut Batch) -> anyhow::Result<()> {
        let of_read = matches!(envelope.input, Input::PlateRead(_));
        let step = self.core.step(envelope.input, self.clock.now())?;
        let answer = batch.take(step, of_read);
        batch.replies.push((envelope.reply, answer));
        Ok(())
    }

    /// One fsync, and only then the actions, the answers and the log.
    fn finish(&mut self, batch: Batch) -> anyhow::Result<()> {
        self.core.commit()?;
        let mut unsent = Vec::new();
        for raise in batch.raises {
            if let Err(refused) = self.outputs.raises.try_send(raise) {
                unsent.push(refused.into_inner());
            }
        }
        for (at_uptime_ms, lane) in batch.wakes {
            self.outputs.deadlines.add(at_uptime_ms, lane);
        }
        for (reply, answer) in batch.replies {
            // Whoever asked may have gone; what was decided stands.
            let _ = reply.send(answer);
        }
        if !batch.records.is_empty() {
            self.outputs.head.send_replace(self.core.head());
            self.outputs.version.send_modify(|version| *version += 1);
        }
        batch.records.iter().for_each(log);
        self.own_up(unsent)
    }

    /// A raise that no device room would take is answered like one that a link could not send.
    fn own_up(&mut self, unsent: Vec<BarrierMove>) -> anyhow::Result<()> {
        if unsent.is_empty() {
            return Ok(());
        }
        let mut batch = Batch::default();
        for BarrierMove { lane, command, .. } in unsent {
            let answer = CommandAnswer::NotSent("the device room is not taking commands".to_owned());
            let input = Input::BarrierAnswered { lane, command, answer };
            batch.take(self.core.step(input, self.clock.now())?, false);
        }
        self.finish(batch)
    }
}

/// What waits for the commit.
#[derive(Default)]
struct Batch {
    raises: Vec<BarrierMove>,
    wakes: Vec<(u64, LaneId)>,
    replies: Vec<(oneshot::Sender<Reply>, Reply)>,
    records: Vec<Record>,
}

impl Batch {
    fn take(&mut self, step: Step, of_read: bool) -> Reply {
        for action in step.actions {
            match action {
                Action::Raise { lane, command } => {
                    self.raises.push(BarrierMove { lane, command, motion: Motion::Raise, of_read });
                }
                Action::Lower { lane, command } => {
                    self.raises.push(BarrierMove { lane, command, motion: Motion::Lower, of_read: false });
                }
                Action::Wake { lane, at_uptime_ms } => self.wakes.push((at_uptime_ms, lane)),
                Action::Then(_) => unreachable!("followed before the commit"),
            }
        }
        self.records.extend(step.records);
        step.reply
    }
}

/// The lanes' deadlines, by the clock that never jumps.
#[derive(Debug, Default)]
pub struct Deadlines {
    set: Mutex<BTreeSet<(u64, LaneId)>>,
    changed: Notify,
}

impl Deadlines {
    fn add(&self, at_uptime_ms: u64, lane: LaneId) {
        self.set.lock().unwrap_or_else(PoisonError::into_inner).insert((at_uptime_ms, lane));
        self.changed.notify_one();
    }

    fn next(&self) -> Option<(u64, LaneId)> {
        self.set.lock().unwrap_or_else(PoisonError::into_inner).first().cloned()
    }

    /// Calls the lanes when they are due, until the loop ends.
    pub async fn keep(&self, clock: &Clock, handle: &Handle) {
        loop {
            let Some((at, lane)) = self.next() else {
                self.changed.notified().await;
                continue;
            };
            let now = clock.now().uptime_ms;
            if at > now {
                let wait = std::time::Duration::from_millis(at - now);
                // Either the time has come or an earlier deadline was added.
                let _ = tokio::time::timeout(wait, self.changed.notified()).await;
                continue;
            }
            self.set.lock().unwrap_or_else(PoisonError::into_inner).remove(&(at, lane.clone()));
            if handle.submit(Input::LaneDue { lane }).await.is_err() {
                return;
            }
        }
    }
}

/// What a site manager wants to read.
fn log(record: &Record) {
    match record {
        Record::StayEntered { stay, .. } => info!(%stay, "a vehicle is inside"),
        Record::StayClosed { stay, waived, .. } => info!(%stay, waived_fen = waived.0, "a vehicle has left"),
        Record::PaymentTaken { stay, fen, .. } => info!(%stay, fen = fen.0, "paid"),
        Record::PointsSpent { points, .. } => info!(points = points.0, "points spent"),
        Record::PointsEarned { points, .. } => info!(points = points.0, "points earned"),
        Record::AlarmRaised { code, lane, stay, .. } => {
            let (lane, stay) = (lane.as_ref().map(|l| l.as_str()), stay.as_ref().map(|s| s.as_str()));
            warn!(code, lane, stay, "staff should look");
        }
        Record::Quarantined { reason, .. } => error!(reason, "this box spends no more points"),
        Record::EpochBegan { epoch, .. } => warn!(epoch, "a new epoch has begun"),
        Record::WitnessSeen { by, .. } => error!(by, "somebody remembers entries that this journal does not hold"),
        Record::LeaseLapsed { .. } => warn!("the cloud ledger's leave to spend points has run out"),
        Record::LeaseRenewed { .. } => info!("the cloud ledger's leave to spend points is there again"),
        Record::DebtBooked { stay, fen, .. } => info!(%stay, fen = fen.0, "left unpaid; booked as a debt"),
        Record::DebtPaid { debt, fen, .. } => info!(%debt, fen = fen.0, "a debt was paid"),
        Record::PointsReversed { of, points, .. } => info!(%of, points = points.0, "a spend was undone"),
        Record::ShiftClosed(shift) => {
            info!(terminal = %shift.terminal, shift = shift.shift, cash_fen = shift.totals.cash().0, "a shift is closed");
        }
        Record::TerminalChanged(pairing) => {
            let may_ask = pairing.token_sha256.is_some();
            info!(terminal = %pairing.terminal, by = pairing.by, may_ask, "a till was let in or shut out");
        }
        Record::DayClosed(closed) => {
            let (day, to_see) = (closed.day.0, closed.report.exceptions.len());
            info!(day, by = closed.by, to_see, "a business day is closed");
        }
        Record::PointsOwed(debt) => info!(points = debt.points.0, "points are owed"),
        Record::EmergencyChanged { active: true, .. } => error!("emergency: every barrier is held up"),
        Record::EmergencyChanged { active: false, .. } => warn!("a call of an emergency has ended"),
        Record::TailgateSeen { lane, .. } => warn!(%lane, "a vehicle followed another"),
        Record::StayCorrected(corrected) => {
            info!(stay = %corrected.stay.id, difference_fen = corrected.difference.0, "a stay was put right");
        }
        Record::CountTaken { counted, by_books, .. } => info!(counted, by_books, "vehicles were counted"),
        Record::DayReported { report } => info!(date = report.date, "the day was looked through"),
        Record::Started { lane } => info!(%lane, "took up a lane in mid-work"),
        Record::DeviceChanged(DeviceChange { device, lost: Some(why) }) => warn!(%device, why, "a device is away"),
        Record::DeviceChanged(DeviceChange { device, lost: None }) => info!(%device, "a device is there again"),
        Record::OfficeNoted(note) => info!(by = note.act.by, what = note.act.note.word(), "the office did something"),
        Record::MemberCodeUsed(_)
        | Record::StayMemberShown { .. }
        | Record::TicketIssued { .. }
        | Record::ZoneEntered { .. }
        | Record::ZoneLeft { .. }
        | Record::ReadTaken { .. }
        | Record::LaneMoved { .. }
        | Record::StayOpened { .. }
        | Record::StayMatched(_)
        | Record::ExperienceReset { .. }
        | Record::StayReread(_)
        | Record::StayExiting { .. }
        | Record::StayResumed { .. }
        | Record::StayVoided { .. }
        | Record::BenefitsHeld { .. }
        | Record::ValidationGiven { .. }
        | Record::DayPosted(_)
        | Record::CouponShown { .. }
        | Record::CouponMoved(_)
        | Record::CouponTold(_)
        | Record::HoldPlaced { .. }
        | Record::HoldVoided { .. }
        | Record::PointsReturned { .. }
        | Record::GrantRequested { .. }
        | Record::GrantAccepted { .. }
        | Record::GrantRefused { .. }
        | Record::SaleCommitted { .. }
        | Record::TillBooked { .. }
        | Record::TillHoldPlaced { .. }
        | Record::TillHoldEnded { .. }
        | Record::PaymentVoided { .. }
        | Record::PointsTakenBack { .. }
        | Record::ShiftOpened { .. }
        | Record::OperationAnswered { .. }
        | Record::BarrierCommanded { .. }
        | Record::BarrierAnswered { .. }
        | Record::BarrierMoved { .. }
        | Record::CardRead { .. }
        | Record::BarrierLowered(_)
        | Record::PassageSeen { .. }
        | Record::RulesActivated { .. }
        | Record::LimitApproved(_)
        | Record::CampaignShareTaken(_)
        | Record::Fed { .. }
        | Record::Acknowledged { .. }
        | Record::LeaseSeen { .. } => {}
    }
}
