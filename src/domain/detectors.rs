//! What the loops do to a raised arm: hold it up, or let it down behind a vehicle, and never on something under it.

use super::arm;
use super::decide::Work;
use super::event::{Action, ArmPosition, CommandAnswer, CommandId, LowerStep, RaiseCause, Record};
use super::lane::{Covered, Detectors, LoopRole, Motion, Phase, Raised};
use super::passage;

/// How long an arm may take to come down, in milliseconds; afterwards it is not on its way any more.
const LOWERING_MS: u64 = 6_000;
/// How often an arm is told to stay up while a loop holds it, in milliseconds: shorter than any controller's own timer.
const HOLD_AGAIN_MS: u64 = 3_000;

/// The arm was told to go up: nothing is on its way down any more.
pub(super) fn raised(work: &mut Work<'_>, command: &CommandId) {
    work.lane.lowering = None;
    work.lane.both_passed = false;
    if work.settings.detectors == Detectors::Hold && work.lane.emergency.is_none() {
        work.lane.held = Some(Motion { command: command.clone(), since_ms: work.now.uptime_ms });
        work.wake_in(HOLD_AGAIN_MS);
    }
}

/// The arm is down.
pub(super) fn is_down(work: &mut Work<'_>) {
    work.lane.lowering = None;
}

/// The daemon started, or the loop under the arm was away: until it is told to be clear, something may be there.
pub(super) fn unknown(work: &mut Work<'_>) {
    work.lane.both_passed = false;
    if work.settings.detectors.lowers() {
        (work.lane.safety, work.lane.safety_untold) = (true, true);
        work.wake_in(LOWERING_MS);
    }
}

/// A vehicle has been on both loops.
pub(super) fn both_passed(work: &mut Work<'_>) {
    work.lane.both_passed = work.settings.detectors.lowers();
}

/// After everything that happens in a lane: whether the arm is held up once more, or comes down now.
pub(super) fn consider(work: &mut Work<'_>) {
    end_of_lowering(work);
    if work.lane.emergency.is_some() {
        (work.lane.held, work.lane.lowering, work.lane.both_passed) = (None, None, false);
        return;
    }
    hold(work);
    if work.lane.safety && work.lane.lowering.is_some() {
        up_again(work);
    }
    let follows = work.actions.iter().any(|action| matches!(action, Action::Then(_) | Action::Raise { .. }));
    if work.lane.both_passed && !follows && may_lower(work) && is_clear(work) && !arm::hangs(&work.lane) {
        lower(work);
    }
}

/// The loop before the arm or under it was told. The passage loop is watched where passages are.
pub(super) fn stood_on(work: &mut Work<'_>, role: LoopRole, occupied: bool) {
    if !occupied || work.settings.stuck_ms == 0 {
        work.lane.stood.remove(&role);
        return;
    }
    let since_ms = work.now.uptime_ms;
    if role != LoopRole::Passage && !work.lane.stood.contains_key(&role) {
        work.lane.stood.insert(role, Covered { since_ms, stuck: false });
        work.wake_in(work.settings.stuck_ms);
    }
}

/// A loop before the arm or under it that stays covered while nobody is served is told to staff, once until it is clear.
pub(super) fn watch_where_vehicles_stand(work: &mut Work<'_>) {
    let now_ms = work.now.uptime_ms;
    for (role, covered) in work.lane.stood.clone() {
        if covered.stuck || now_ms < covered.since_ms + work.settings.stuck_ms {
            continue;
        }
        let stuck = work.lane.phase == Phase::Idle && !work.is_blind(role);
        work.lane.stood.insert(role, Covered { since_ms: now_ms, stuck });
        if !stuck {
            // Who stands there is known, or nobody knows; it is looked at again.
            work.wake_in(work.settings.stuck_ms);
            continue;
        }
        let lane = work.lane_id.clone();
        let text = if role == LoopRole::Safety {
            format!("The loop under the arm of {lane} stays covered, so that the arm cannot come down: look at it")
        } else {
            format!("The arrival loop of {lane} stays covered and nobody is served there: look at it")
        };
        work.alarm("stuck_loop", text);
    }
}

/// The clock that never jumps began anew.
pub(super) fn watched_anew(work: &mut Work<'_>) {
    let since_ms = work.now.uptime_ms;
    for covered in work.lane.stood.values_mut() {
        covered.since_ms = since_ms;
    }
    if !work.lane.stood.is_empty() {
        work.wake_in(work.settings.stuck_ms);
    }
}

/// What came back for a command that lets the arm down. It is never repeated: the arm's own controller has a timer.
pub(super) fn answered(work: &mut Work<'_>, command: &CommandId, answer: &CommandAnswer) -> bool {
    let Some(lowering) = &work.lane.lowering else { return false };
    if lowering.command != *command {
        return false;
    }
    let (lane, command, answer) = (work.lane_id.clone(), command.clone(), answer.clone());
    if matches!(answer, CommandAnswer::Refused(_) | CommandAnswer::NotSent(_)) {
        work.lane.lowering = None;
    }
    work.records.push(Record::BarrierLowered(LowerStep { lane, command, answer: Some(answer) }));
    true
}

/// A device is away: an arm that comes down blindly goes up again.
pub(super) fn lost_sight(work: &mut Work<'_>) {
    let is_blind = work.is_blind(LoopRole::Safety) || work.is_blind(LoopRole::Passage);
    if is_blind && work.lane.lowering.is_some() && work.lane.emergency.is_none() {
        up_again(work);
    }
}

/// Whether this decision lets the arm down, and whether it may.
pub(super) fn lowers(work: &Work<'_>) -> (bool, bool) {
    (work.actions.iter().any(|action| matches!(action, Action::Lower { .. })), may_lower(work))
}

/// Whether nothing forbids that the arm comes down: nothing is under it, as far as loops that are there can tell, and
/// nobody is being let through.
fn may_lower(work: &Work<'_>) -> bool {
    let is_seen = |role| work.settings.gear.loops.contains_key(&role) && !work.is_blind(role);
    let is_let_through = matches!(work.lane.phase, Phase::Raised(_));
    let sees_all = is_seen(LoopRole::Safety) && is_seen(LoopRole::Passage);
    let is_free = !work.lane.safety && !work.lane.passage;
    sees_all && is_free && !is_let_through && work.lane.emergency.is_none()
}

/// Mode 3 waits until nobody is on the arrival loop either; mode 4 closes behind the one who has passed.
fn is_clear(work: &Work<'_>) -> bool {
    match work.settings.detectors {
        Detectors::AtOnce => !work.lane.arrival && work.sees_arrivals(),
        Detectors::AntiTailgate => true,
        Detectors::Hold | Detectors::Timer | Detectors::OneByOne => false,
    }
}

fn lower(work: &mut Work<'_>) {
    let command = CommandId(work.op().0);
    let lane = work.lane_id.clone();
    work.records.push(Record::BarrierLowered(LowerStep { lane: lane.clone(), command: command.clone(), answer: None }));
    work.actions.push(Action::Lower { lane, command: command.clone() });
    work.lane.both_passed = false;
    arm::lowered(work, &command);
    work.lane.lowering = Some(Motion { command, since_ms: work.now.uptime_ms });
    work.wake_in(LOWERING_MS);
}

/// Something came under the arm on its way down, or may have.
fn up_again(work: &mut Work<'_>) {
    let command = work.command_raise(RaiseCause::SafetyLoop, None);
    let text = "goes up again: something is under it, or its loops cannot be seen";
    work.alarm("under_the_arm", format!("The arm of {} {text}", work.lane_id));
    if work.lane.phase == Phase::Idle {
        work.lane.phase = Phase::Raised(Raised {
            visit: None,
            command,
            cause: RaiseCause::SafetyLoop,
            answer: None,
            on_passage: work.lane.passage,
            waived: Default::default(),
            since_ms: work.now.uptime_ms,
            told: false,
            has_told_uncertain: false,
            is_ahead: false,
        });
    }
}

/// The arm had the time to come down; or what was under it is away.
fn end_of_lowering(work: &mut Work<'_>) {
    let is_over = |motion: &Motion| work.now.uptime_ms >= motion.since_ms + LOWERING_MS;
    if work.lane.lowering.as_ref().is_some_and(is_over) {
        work.lane.lowering = None;
    }
    if let Phase::Raised(raised) = &work.lane.phase
        && raised.cause == RaiseCause::SafetyLoop
        && raised.visit.is_none()
        && !raised.on_passage
        && is_done(work, raised)
    {
        // Its own timer lets the arm down: whoever waits before it may have taken the raise for a leave.
        work.lane.phase = Phase::Idle;
        passage::serve_next(work);
    }
}

/// Whether an arm that went up again keeps nobody waiting any more: nothing is under it; or nobody knows, and it has had
/// the time to go up, so that its own timer lets it down whatever a loop may say some day.
fn is_done(work: &Work<'_>, raised: &Raised) -> bool {
    let is_blind = work.is_blind(LoopRole::Safety) || work.is_blind(LoopRole::Passage);
    let is_untold = work.lane.safety_untold || work.is_blind(LoopRole::Safety);
    let has_had_time = work.now.uptime_ms >= raised.since_ms + LOWERING_MS;
    if work.lane.safety { is_untold && has_had_time } else { !is_blind || has_had_time }
}

/// In mode 1 a vehicle on a loop holds the arm up; a raise of which nobody knows the end is not repeated.
fn hold(work: &mut Work<'_>) {
    let Some(held) = &work.lane.held else { return };
    if work.now.uptime_ms < held.since_ms + HOLD_AGAIN_MS {
        return;
    }
    let (is_let_through, is_uncertain) = match &work.lane.phase {
        // Raising once more is not blind where the arm was seen up, or the device took the first one.
        Phase::Raised(raised) => {
            (true, raised.answer != Some(CommandAnswer::Accepted) && work.lane.arm != Some(ArmPosition::Up))
        }
        Phase::Idle | Phase::Waiting(_) => (false, false),
    };
    // A vehicle before the arm holds it only until the one that it was raised for has passed.
    let is_before = is_let_through && work.lane.arrival && work.sees_arrivals();
    let is_under = work.lane.safety && !work.is_blind(LoopRole::Safety);
    // Nor is it moved again while it hangs.
    if is_uncertain || arm::hangs(&work.lane) || !(is_before || is_under || work.passage_is_covered()) {
        work.lane.held = None;
        return;
    }
    let stay = work.lane.stay().cloned();
    work.command_raise(RaiseCause::HeldByLoop, stay);
}
