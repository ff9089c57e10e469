//! Wires that contradict each other: an arm that does not follow its raise, one that goes up for nobody, loops that see
//! vehicles in the wrong order. Staff are told what to look at.

use serde::{Deserialize, Serialize};

use super::decide::Work;
use super::event::{ArmPosition, CommandId, Evidence};
use super::lane::{LoopRole, Motion, Phase};

/// How long an arm may take until its upper limit switch sees it, in milliseconds: slow ones need six seconds.
const GOING_UP_MS: u64 = 8_000;
/// After so long an arm that was no longer seen up is down, in milliseconds, where no switch tells that.
const GOING_DOWN_MS: u64 = 10_000;
/// So many vehicles in a row tell of a cable; a single one may have been a motorcycle, or have driven the wrong way.
const IN_A_ROW: u8 = 2;

/// What was seen of a lane's wires.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cables {
    /// The raise after which the arm was not seen to move yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub awaited: Option<Motion>,
    /// Whether a vehicle was seen to pass since then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_passed: bool,
    /// Whether staff were told that the arm does not follow.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub told: bool,
    /// Where the arm last came to rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rest: Option<ArmPosition>,
    /// When the arm was last seen to move, by the clock that never jumps.
    #[serde(default)]
    pub moved_ms: u64,
    /// Whether the arrival loop has seen the vehicle that is next on the passage loop.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_arrived: bool,
    /// How far a vehicle has come that took the loops the wrong way round.
    #[serde(default)]
    pub backwards: Backwards,
    /// Vehicles in a row that the arrival loop has not seen.
    #[serde(default)]
    pub missed: u8,
    /// Vehicles in a row that took the loops the wrong way round.
    #[serde(default)]
    pub reversed: u8,
}

impl Cables {
    /// Whether nothing was seen yet.
    pub fn is_unknown(&self) -> bool {
        *self == Self::default()
    }
}

/// A vehicle on the passage loop first, then on both, then on the arrival loop alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Backwards {
    /// No such vehicle.
    #[default]
    No,
    /// On the passage loop, and the arrival loop has seen nobody.
    Passage,
    /// On both.
    Both,
    /// On the arrival loop alone.
    Arrival,
}

/// The arm was told to go up. Where a switch sees it, it is to be seen.
pub(super) fn raised(work: &mut Work<'_>, command: &CommandId) {
    let is_seen = work.lane.arm.is_some_and(|arm| arm != ArmPosition::Up) && work.lane.emergency.is_none();
    if is_seen && work.lane.cables.awaited.is_none() {
        work.lane.cables.awaited = Some(Motion { command: command.clone(), since_ms: work.now.uptime_ms });
        work.lane.cables.has_passed = false;
        work.wake_in(GOING_UP_MS);
    }
}

/// The arm was seen; called before the lane knows.
pub(super) fn arm_moved(work: &mut Work<'_>, position: ArmPosition) {
    if work.lane.arm == Some(position) {
        return;
    }
    let now_ms = work.now.uptime_ms;
    let is_for_nobody = position == ArmPosition::Up && goes_up_for_nobody(work);
    let cables = &mut work.lane.cables;
    cables.moved_ms = now_ms;
    match position {
        ArmPosition::Up => cables.rest = Some(ArmPosition::Up),
        ArmPosition::Down => cables.rest = Some(ArmPosition::Down),
        ArmPosition::Between => {}
    }
    // An arm without an upper switch is seen to leave the lower one.
    if position != ArmPosition::Down {
        (cables.awaited, cables.told) = (None, false);
    }
    if is_for_nobody {
        let causes = "by hand or a remote control, or a raise for another lane moves this arm: then the cables of the two \
                      are swapped";
        let text = format!("The barrier of {} went up, and nobody had it raised here: {causes}", work.lane_id);
        work.alarm("arm_up_unasked", text);
    }
}

/// Whether an arm that now is up was down before, and nothing here had sent it up.
fn goes_up_for_nobody(work: &Work<'_>) -> bool {
    let cables = &work.lane.cables;
    let was_down = match cables.rest {
        Some(ArmPosition::Down) => true,
        Some(ArmPosition::Up) => work.now.uptime_ms >= cables.moved_ms + GOING_DOWN_MS,
        Some(ArmPosition::Between) | None => false,
    };
    let is_asked = matches!(work.lane.phase, Phase::Raised(_)) || cables.awaited.is_some();
    was_down && !is_asked && work.lane.emergency.is_none() && work.lane.lowering.is_none()
}

/// A loop speaks; called before the lane knows.
pub(super) fn loop_changed(work: &mut Work<'_>, role: LoopRole, occupied: bool) {
    if !work.sees_arrivals() || work.is_blind(LoopRole::Passage) {
        work.lane.cables.backwards = Backwards::No;
        return;
    }
    match (role, occupied) {
        (LoopRole::Arrival, true) if !work.lane.arrival => {
            let cables = &mut work.lane.cables;
            cables.has_arrived = true;
            cables.backwards = match cables.backwards {
                Backwards::Passage if work.lane.passage => Backwards::Both,
                Backwards::No | Backwards::Passage | Backwards::Both | Backwards::Arrival => Backwards::No,
            };
        }
        (LoopRole::Passage, true) if !work.lane.passage => passage_entered(work),
        (LoopRole::Passage, false) if work.lane.passage => {
            let is_both = work.lane.cables.backwards == Backwards::Both;
            work.lane.cables.backwards = if is_both { Backwards::Arrival } else { Backwards::No };
            work.lane.cables.has_arrived = work.lane.arrival;
        }
        (LoopRole::Arrival, false) if work.lane.arrival => arrival_left(work),
        (LoopRole::Arrival | LoopRole::Passage | LoopRole::Safety, _) => {}
    }
}

fn passage_entered(work: &mut Work<'_>) {
    if work.lane.cables.has_arrived || work.lane.arrival {
        (work.lane.cables.missed, work.lane.cables.reversed) = (0, 0);
        return;
    }
    work.lane.cables.backwards = Backwards::Passage;
    if !matches!(work.lane.phase, Phase::Raised(_)) {
        return;
    }
    if in_a_row(&mut work.lane.cables.missed) {
        let causes = "it is broken, or its cable is on the input of another loop";
        let text = format!("Vehicles pass {} that its arrival loop does not see: {causes}", work.lane_id);
        work.alarm("arrival_loop_silent", text);
    }
}

fn arrival_left(work: &mut Work<'_>) {
    if work.lane.cables.backwards != Backwards::Arrival {
        return;
    }
    work.lane.cables.backwards = Backwards::No;
    work.lane.cables.has_arrived = false;
    if in_a_row(&mut work.lane.cables.reversed) {
        let causes = "the cables of the two are swapped, or vehicles drive through it the wrong way";
        let text = format!("At {} the passage loop sees vehicles before the arrival loop: {causes}", work.lane_id);
        work.alarm("loops_swapped", text);
    }
}

/// Counts one more; true where it is to be told, once for all in a row.
fn in_a_row(count: &mut u8) -> bool {
    *count = count.saturating_add(1);
    *count == IN_A_ROW
}

/// The vehicle went back, so it is not the next one on the passage loop.
pub(super) fn gone_back(work: &mut Work<'_>) {
    work.lane.cables.has_arrived &= work.lane.arrival;
}

/// A vehicle has passed: whatever the switch says, the arm was not in its way.
pub(super) fn passed(work: &mut Work<'_>, evidence: Evidence) {
    let is_seen = matches!(evidence, Evidence::PassageLoop | Evidence::Camera);
    work.lane.cables.has_passed |= is_seen && work.lane.cables.awaited.is_some();
}

/// The arm should have been seen by now.
pub(super) fn due(work: &mut Work<'_>) {
    let Some(awaited) = &work.lane.cables.awaited else { return };
    if work.now.uptime_ms < awaited.since_ms + GOING_UP_MS {
        return;
    }
    let has_passed = work.lane.cables.has_passed;
    work.lane.cables.awaited = None;
    // A switch whose device is away sees no arm.
    if work.settings.gear.switches.iter().any(|device| work.lane.lost.contains(device)) {
        return;
    }
    if std::mem::replace(&mut work.lane.cables.told, true) {
        return;
    }
    let what = if has_passed {
        "a vehicle passed, so look at the switch and whether its cable is on the input of another arm's"
    } else {
        "look at the relay and its cable, and whether another lane's arm went up instead: then the cables of the two are \
         swapped"
    };
    let text = format!("The barrier of {} was told to go up and its limit switch did not see it: {what}", work.lane_id);
    work.alarm("arm_not_seen_up", text);
}

/// The daemon started: what moved meanwhile is not known.
pub(super) fn started(work: &mut Work<'_>) {
    let now_ms = work.now.uptime_ms;
    let cables = &mut work.lane.cables;
    (cables.awaited, cables.backwards, cables.has_passed) = (None, Backwards::No, false);
    if cables.rest.is_some() {
        cables.moved_ms = now_ms;
    }
}
