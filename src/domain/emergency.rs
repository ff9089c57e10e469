//! A fire alarm or a guard's emergency: every barrier goes up and is held up, and nothing else decides until it is over.

use super::arrival;
use super::decide::{Facts, Work};
use super::detectors;
use super::dues;
use super::event::{
    Action, CommandAnswer, CommandId, Decision, EmergencySource, Evidence, Input, PlateRead, RaiseCause, ReadOutcome,
    Record, Reply,
};
use super::lane::{Direction, Emergency, Lanes, LoopRole, Phase};
use super::passage;
use super::stay::StayState;

/// How often a held barrier is told to go up again, in milliseconds: a pulse that the hardware times cannot hold an arm,
/// and many controllers lower it by themselves after some seconds.
const HOLD_AGAIN_MS: u64 = 3_000;

/// Who calls an emergency. The contact and the staff call it independently, so neither ends what the other has called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Called {
    /// The fire panel's contact is closed.
    pub by_contact: bool,
    /// A guard has called it.
    pub by_staff: bool,
}

impl Called {
    /// Whether there is an emergency.
    pub fn is_on(self) -> bool {
        self.by_contact || self.by_staff
    }

    /// After one of the two has spoken.
    pub fn after(mut self, source: &EmergencySource, active: bool) -> Self {
        match source {
            EmergencySource::Contact => self.by_contact = active,
            EmergencySource::Staff { .. } => self.by_staff = active,
        }
        self
    }
}

/// The contact or a guard has spoken: on record, and every lane is told where that changes anything for it.
pub(super) fn spoken(source: &EmergencySource, active: bool, facts: &Facts, lanes: &Lanes) -> Decision {
    let mut decision = Decision::nothing();
    decision.reply = match source {
        EmergencySource::Contact => Reply::Done,
        EmergencySource::Staff { .. } => Reply::Staff(Ok(sentence(active).to_owned())),
    };
    let (before, after) = (facts.emergency, facts.emergency.after(source, active));
    if before == after {
        return decision;
    }
    decision.records.push(Record::EmergencyChanged { source: source.clone(), active });
    if before.is_on() != after.is_on() {
        let code = if active { "emergency" } else { "emergency_over" };
        let text = sentence(active).to_owned();
        decision.records.push(Record::alarm(code, text, None, None));
        let told = lanes.keys().map(|lane| Input::LaneEmergency { lane: lane.clone(), active });
        decision.actions.extend(told.map(|input| Action::Then(Box::new(input))));
    }
    decision
}

fn sentence(active: bool) -> &'static str {
    if active { "Emergency: every barrier is raised and held up" } else { "The emergency is over" }
}

/// The lane's part: what was waiting waits no longer, and what was raised for is taken for gone.
pub(super) fn lane_told(work: &mut Work<'_>, active: bool) {
    if active == work.lane.emergency.is_some() {
        return;
    }
    if !active {
        work.lane.emergency = None;
        return;
    }
    // The vehicle behind may be anywhere by now; it is not served by itself afterwards.
    work.lane.next = None;
    match work.lane.phase.clone() {
        Phase::Idle => {}
        Phase::Waiting(_) => arrival::withdraw(work, "emergency: every barrier is up"),
        Phase::Raised(raised) => passage::passed(work, &raised, Evidence::Unconfirmed),
    }
    hold(work);
}

/// Commands the barrier up, and again before it can come down.
pub(super) fn hold(work: &mut Work<'_>) {
    let told = work.lane.emergency.as_ref().is_some_and(|emergency| emergency.told);
    let command = work.command_raise(RaiseCause::Emergency, None);
    work.wake_in(HOLD_AGAIN_MS);
    work.lane.emergency = Some(Emergency { command, raised_ms: work.now.uptime_ms, told });
}

/// A deadline came while the barrier is held.
pub(super) fn due(work: &mut Work<'_>) {
    if work.lane.emergency.as_ref().is_some_and(|held| work.now.uptime_ms >= held.raised_ms + HOLD_AGAIN_MS) {
        hold(work);
    }
}

/// What came back for a raise of the emergency. A barrier that cannot be commanded is told once: somebody must go there.
pub(super) fn answered(work: &mut Work<'_>, command: &CommandId, answer: &CommandAnswer) {
    let Some(held) = work.lane.emergency.clone().filter(|held| held.command == *command) else { return };
    match answer {
        CommandAnswer::Accepted => {}
        CommandAnswer::Refused(why)
        | CommandAnswer::Silent(why)
        | CommandAnswer::Unconfirmed(why)
        | CommandAnswer::NotSent(why)
            if !held.told =>
        {
            work.records.push(Record::BarrierAnswered {
                lane: work.lane_id.clone(),
                command: command.clone(),
                answer: answer.clone(),
            });
            work.alarm("emergency_uncertain", format!("Emergency: open {} by hand; {why}", work.lane_id));
            work.lane.emergency = Some(Emergency { told: true, ..held });
        }
        CommandAnswer::Refused(_)
        | CommandAnswer::Silent(_)
        | CommandAnswer::Unconfirmed(_)
        | CommandAnswer::NotSent(_) => {}
    }
}

/// A vehicle that leaves during an emergency is let go: its stay ends, and what it owed is waived on record.
pub(super) fn read(work: &mut Work<'_>, read: &PlateRead) {
    if work.facts.read_before.is_some() {
        return;
    }
    arrival::take(work, read, ReadOutcome::Emergency);
    let Some(inside) = work.facts.named_stay.clone() else { return };
    let is_inside = match inside.stay.state {
        StayState::Open => true,
        StayState::PendingEntry | StayState::PendingExit | StayState::Closed | StayState::Void => false,
    };
    if work.settings.direction == Direction::Entry || !is_inside {
        return;
    }
    let due = dues::reckon(work, &inside, read.captured).due;
    passage::let_go(work, &inside, due);
    if let Some(member) = inside.stay.member.filter(|_| !inside.member_has_another) {
        work.return_points(&member, &inside.purse, inside.keep);
    }
}

/// Loops are only noted: nobody is let through, so nobody passes without leave.
pub(super) fn loop_changed(work: &mut Work<'_>, role: LoopRole, occupied: bool) {
    detectors::stood_on(work, role, occupied);
    match role {
        LoopRole::Arrival => work.lane.arrival = occupied,
        LoopRole::Passage => work.lane.passage = occupied,
        LoopRole::Safety => (work.lane.safety, work.lane.safety_untold) = (occupied, false),
    }
}
