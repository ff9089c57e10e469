//! Where a lane's arm is, by both of its limit switches together; and arms that break: one that hangs between its ends, does
//! not come down, comes down too early, or is driven through. Staff are told, and nothing is tried again by itself.

use serde::{Deserialize, Serialize};

use super::decide::Work;
use super::event::{ArmPosition, CommandId, Limit, Record, SwitchTold, UtcMs};
use super::lane::{Lane, LoopRole, Motion, Phase};
use super::{cables, detectors};

/// How long an arm may be on its way, in milliseconds: slow ones need six seconds.
const MOVES_MS: u64 = 10_000;
/// How long both switches may be closed, in milliseconds: what hangs on two devices is not heard in the order in which it
/// changed.
const BOTH_MS: u64 = 2_000;

/// What the arm's limit switches say, and what follows from it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Whether the arm is at the upper one, where that was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upper: Option<bool>,
    /// Whether it is at the lower one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lower: Option<bool>,
    /// What cannot last, while it lasts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub odd: Option<Odd>,
    /// Whether staff were told that the two contradict each other, until both were seen open.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub contradict: bool,
    /// The command after which the arm was not seen to leave its upper end yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lowered: Option<Motion>,
    /// Whether staff were told that it does not come down.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stays_up: bool,
    /// Whether it was seen up since it was last told to go up.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub was_up: bool,
    /// Whether it then came down before its vehicle drove on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_early: bool,
    /// Whether staff were told that a vehicle drove through it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_broken: bool,
}

/// An arm in a state that cannot last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Odd {
    /// Which.
    pub what: Oddity,
    /// Since when, by the clock that never jumps.
    pub since_ms: u64,
    /// Since when, for people.
    pub since: UtcMs,
    /// Whether it has lasted for too long, and staff were told.
    pub told: bool,
}

/// A state of an arm that cannot last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Oddity {
    /// It is at neither end.
    Between,
    /// It is at both.
    Both,
}

impl Limits {
    /// Whether nothing was seen yet.
    pub fn is_unknown(&self) -> bool {
        *self == Self::default()
    }

    /// Since when the arm hangs between its ends, where it does.
    pub fn hangs_since(&self) -> Option<UtcMs> {
        self.odd.filter(|odd| odd.what == Oddity::Between && odd.told).map(|odd| odd.since)
    }

    /// Whether the switches say that the arm is at both its ends, and have said so for too long.
    pub fn is_nowhere(&self) -> bool {
        self.odd.is_some_and(|odd| odd.what == Oddity::Both && odd.told)
    }

    /// Where the arm is by both; none where that cannot be. Where one was not heard of, the other being open only says that
    /// the arm is not there.
    fn position(&self, before: Option<ArmPosition>) -> Option<ArmPosition> {
        match (self.upper, self.lower) {
            (Some(true), Some(true)) => None,
            (Some(true), Some(false) | None) => Some(ArmPosition::Up),
            (Some(false) | None, Some(true)) => Some(ArmPosition::Down),
            (Some(false), None) if before == Some(ArmPosition::Down) => before,
            (None, Some(false)) if before == Some(ArmPosition::Up) => before,
            (Some(false), Some(false) | None) | (None, Some(false) | None) => Some(ArmPosition::Between),
        }
    }

    /// Whether an arm that is at neither end can be told from one whose other end nobody sees.
    fn sees_both_ends(&self) -> bool {
        self.upper.is_some() == self.lower.is_some()
    }
}

/// A limit switch speaks.
pub(super) fn switch_told(work: &mut Work<'_>, told: &SwitchTold) {
    let limits = &mut work.lane.limits;
    match told.limit {
        Limit::Upper => limits.upper = Some(told.closed),
        Limit::Lower => limits.lower = Some(told.closed),
    }
    if (limits.upper, limits.lower) == (Some(false), Some(false)) {
        limits.contradict = false;
    }
    match limits.position(work.lane.arm) {
        Some(position) => moved(work, position),
        None => watch(work, Some(Oddity::Both)),
    }
}

/// The arm is there, by its switches or by the word of a device that knows.
pub(super) fn moved(work: &mut Work<'_>, position: ArmPosition) {
    cables::arm_moved(work, position);
    if position == ArmPosition::Down {
        detectors::is_down(work);
    }
    let before = work.lane.arm.replace(position);
    if before != Some(position) {
        work.records.push(Record::BarrierMoved { lane: work.lane_id.clone(), position });
    }
    let limits = &work.lane.limits;
    let was_between = limits.odd.is_some_and(|odd| odd.what == Oddity::Between);
    let is_between = position == ArmPosition::Between && (limits.sees_both_ends() || was_between);
    watch(work, is_between.then_some(Oddity::Between));
    let limits = &mut work.lane.limits;
    if position != ArmPosition::Up && limits.lowered.take().is_some() {
        limits.stays_up = false;
    }
    match position {
        ArmPosition::Up => (limits.was_up, limits.is_broken) = (true, false),
        ArmPosition::Between => limits.is_broken = false,
        // Not where it was never seen elsewhere.
        ArmPosition::Down if was_between || before == Some(ArmPosition::Up) => came_down(work),
        ArmPosition::Down => {}
    }
}

/// The arm was told to go up.
pub(super) fn raised(work: &mut Work<'_>) {
    let is_up = work.lane.arm == Some(ArmPosition::Up);
    let limits = &mut work.lane.limits;
    (limits.lowered, limits.was_up, limits.is_early) = (None, is_up, false);
}

/// The arm was told to come down. Where a switch sees it, it is to be seen.
pub(super) fn lowered(work: &mut Work<'_>, command: &CommandId) {
    if work.lane.arm == Some(ArmPosition::Up) {
        work.lane.limits.lowered = Some(Motion { command: command.clone(), since_ms: work.now.uptime_ms });
        work.wake_in(MOVES_MS);
    }
}

/// A vehicle is beyond the arm that nobody raised for it.
pub(super) fn driven_through(work: &mut Work<'_>) {
    let is_seen_down = work.lane.arm == Some(ArmPosition::Down) && !is_unseen(work);
    if is_seen_down && !std::mem::replace(&mut work.lane.limits.is_broken, true) {
        let look = "look whether the arm is broken off, or can be driven round";
        work.alarm("arm_broken", format!("A vehicle drove through {} while its arm was down: {look}", work.lane_id));
    }
}

/// What lasts for too long is told once.
pub(super) fn due(work: &mut Work<'_>) {
    let now_ms = work.now.uptime_ms;
    if work.lane.limits.lowered.as_ref().is_some_and(|lowered| now_ms >= lowered.since_ms + MOVES_MS) {
        stays_up(work);
    }
    let Some(odd) = work.lane.limits.odd.filter(|odd| !odd.told) else { return };
    if now_ms < odd.since_ms + odd.what.may_last_ms() || is_unseen(work) {
        return;
    }
    work.lane.limits.odd = Some(Odd { told: true, ..odd });
    match odd.what {
        Oddity::Between => {
            let look = "something holds it, or its drive is broken: nothing raises it again by itself";
            work.alarm("arm_stuck", format!("The arm of {} hangs between its ends: {look}", work.lane_id));
        }
        Oddity::Both => contradict(work),
    }
}

/// A device is away: what it said need not be so.
pub(super) fn lost_sight(work: &mut Work<'_>) {
    if is_unseen(work) {
        let limits = &mut work.lane.limits;
        (limits.upper, limits.lower, limits.odd, limits.lowered) = (None, None, None, None);
    }
}

/// The daemon started: the switches are told anew, and deadlines begin anew.
pub(super) fn started(work: &mut Work<'_>) {
    let since_ms = work.now.uptime_ms;
    let limits = &mut work.lane.limits;
    (limits.upper, limits.lower, limits.lowered) = (None, None, None);
    limits.odd = limits.odd.filter(|odd| odd.what == Oddity::Between).map(|odd| Odd { since_ms, ..odd });
    if limits.odd.is_some() {
        work.wake_in(MOVES_MS);
    }
}

/// Whether raising the arm once more would be blind: it hangs, and somebody must look first.
pub(super) fn hangs(lane: &Lane) -> bool {
    lane.limits.hangs_since().is_some()
}

impl Oddity {
    fn may_last_ms(self) -> u64 {
        match self {
            Oddity::Between => MOVES_MS,
            Oddity::Both => BOTH_MS,
        }
    }
}

fn watch(work: &mut Work<'_>, what: Option<Oddity>) {
    let before = work.lane.limits.odd;
    if before.map(|odd| odd.what) == what {
        return;
    }
    if hangs(&work.lane) && what.is_none() {
        work.alarm("arm_free", format!("The arm of {} no longer hangs between its ends", work.lane_id));
    }
    let (since_ms, since) = (work.now.uptime_ms, work.now.utc);
    work.lane.limits.odd = what.map(|what| Odd { what, since_ms, since, told: false });
    if let Some(what) = what {
        work.wake_in(what.may_last_ms());
    }
}

/// The arm has come down: on its vehicle, or before that drove on.
fn came_down(work: &mut Work<'_>) {
    let is_seen = work.settings.gear.loops.contains_key(&LoopRole::Safety) && !work.is_blind(LoopRole::Safety);
    let is_stuck = work.lane.stood.get(&LoopRole::Safety).is_some_and(|covered| covered.stuck);
    if work.lane.safety && is_seen && !is_stuck && work.lane.emergency.is_none() {
        let text = format!("The arm of {} is down, and something is under it: look at once", work.lane_id);
        work.alarm("under_the_arm", text);
    }
    let was_up = std::mem::take(&mut work.lane.limits.was_up);
    let stands_before = match &work.lane.phase {
        Phase::Raised(raised) => raised.visit.is_some() && !raised.on_passage && work.lane.arrival,
        Phase::Idle | Phase::Waiting(_) => false,
    };
    if was_up && stands_before && work.sees_arrivals() {
        work.lane.limits.is_early = true;
        let text = format!("The arm of {} came down, and its vehicle still stands before it", work.lane_id);
        work.alarm("arm_down_early", text);
    }
}

fn stays_up(work: &mut Work<'_>) {
    work.lane.limits.lowered = None;
    let is_up = work.lane.arm == Some(ArmPosition::Up) && !is_unseen(work);
    if is_up && !std::mem::replace(&mut work.lane.limits.stays_up, true) {
        let look = "look at the relay that lowers it and its cable, and whether something holds the arm";
        work.alarm(
            "arm_not_seen_down",
            format!("The arm of {} was told to come down and stays up: {look}", work.lane_id),
        );
    }
}

/// Nobody knows where the arm is any more.
fn contradict(work: &mut Work<'_>) {
    work.lane.arm = None;
    if !std::mem::replace(&mut work.lane.limits.contradict, true) {
        let look = "one of them is stuck, or its cable is on the contact of another";
        let text = format!("Both limit switches of {} say that the arm is at their end: {look}", work.lane_id);
        work.alarm("limit_switches", text);
    }
}

/// Whether what tells where the arm is may be away: its switches' devices, or where it has none, the one that moves it.
fn is_unseen(work: &Work<'_>) -> bool {
    let gear = &work.settings.gear;
    let is_lost = |device| work.lane.lost.contains(device);
    if gear.switches.is_empty() {
        gear.barrier.as_ref().is_some_and(is_lost)
    } else {
        gear.switches.iter().any(is_lost)
    }
}
