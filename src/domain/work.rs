//! A decision about one lane while it is being made: what it knows, and what comes of it.

use super::decide::{Facts, StayFacts};
use super::event::{
    Action, CommandId, Decision, LaneId, MemberId, Now, OpId, Points, RaiseCause, Record, Reply, StayId,
};
use super::lane::{Lane, LaneSettings, LoopRole};
use super::points::{self, Purse};
use super::{arm, cables, detectors, escrow};

/// A decision about one lane while it is being made.
pub(super) struct Work<'a> {
    pub lane_id: LaneId,
    pub settings: &'a LaneSettings,
    pub facts: &'a Facts,
    pub now: Now,
    pub lane: Lane,
    pub records: Vec<Record>,
    pub actions: Vec<Action>,
    pub reply: Reply,
    ops: u32,
}

impl<'a> Work<'a> {
    pub fn new(lane_id: LaneId, settings: &'a LaneSettings, facts: &'a Facts, now: Now) -> Self {
        Self {
            lane_id,
            settings,
            facts,
            now,
            lane: facts.lane.clone(),
            records: Vec::new(),
            actions: Vec::new(),
            reply: Reply::Done,
            ops: 0,
        }
    }

    /// The next effect's id.
    pub fn op(&mut self) -> OpId {
        let op = self.facts.ids.op(self.ops);
        self.ops += 1;
        op
    }

    /// Commands the barrier up: the record, the action, and the time by which the vehicle should have passed.
    pub fn command_raise(&mut self, cause: RaiseCause, stay: Option<StayId>) -> CommandId {
        let command = CommandId(self.op().0);
        self.records.push(Record::BarrierCommanded {
            lane: self.lane_id.clone(),
            command: command.clone(),
            cause,
            stay,
        });
        self.actions.push(Action::Raise { lane: self.lane_id.clone(), command: command.clone() });
        self.wake_in(self.settings.pass_timeout_ms);
        arm::raised(self);
        detectors::raised(self, &command);
        cables::raised(self, &command);
        command
    }

    /// Whether nobody knows what stands on a loop, because the device that tells it is lost.
    pub fn is_blind(&self, role: LoopRole) -> bool {
        self.settings.gear.loops.get(&role).is_some_and(|device| self.lane.lost.contains(device))
    }

    /// The stay of the vehicle here, where it is here that it waits to come in or to leave. Meanwhile the vehicle may stand
    /// elsewhere: its stay then is that lane's.
    pub fn pending_here(&self) -> Option<StayFacts> {
        self.facts.visit_stay.clone().filter(|inside| inside.at_lane.as_ref() == Some(&self.lane_id))
    }

    /// Whether a loop tells that a vehicle stands before the arm.
    pub fn sees_arrivals(&self) -> bool {
        self.settings.has_arrival_loop && !self.is_blind(LoopRole::Arrival)
    }

    /// Whether a vehicle stands on the passage loop, and not only a fault of the loop.
    pub fn passage_is_covered(&self) -> bool {
        let is_stuck = self.lane.covered.is_some_and(|covered| covered.stuck);
        self.lane.passage && !is_stuck && !self.is_blind(LoopRole::Passage)
    }

    /// Asks to be called again.
    pub fn wake_in(&mut self, ms: u64) {
        self.actions.push(Action::Wake { lane: self.lane_id.clone(), at_uptime_ms: self.now.uptime_ms + ms });
    }

    /// Lists something for staff.
    pub fn alarm(&mut self, code: &str, text: String) {
        let (lane, stay) = (self.lane_id.clone(), self.lane.stay().cloned());
        self.records.push(Record::alarm(code, text, Some(lane), stay));
    }

    /// Points that nobody needs here any more go back to the cloud, besides what is kept between visits. A box in doubt
    /// gives nothing back: what its journal has forgotten may have spent the same points, and the cloud would hand them
    /// out again.
    pub fn return_points(&mut self, member: &MemberId, purse: &Purse, keep: Points) {
        if self.facts.quarantined {
            return;
        }
        let parts = points::beyond(purse, keep);
        if !parts.is_empty() {
            let op = self.op();
            self.records.push(escrow::returned(op, member, parts));
        }
    }

    pub fn finish(mut self) -> Decision {
        let (is_told_to_lower, may_lower) = detectors::lowers(&self);
        assert!(!is_told_to_lower || may_lower, "no arm comes down while the safety loop forbids it");
        if self.lane != self.facts.lane {
            self.records.push(Record::LaneMoved { lane: self.lane_id.clone(), state: self.lane });
        }
        let decision = Decision { records: self.records, actions: self.actions, reply: self.reply };
        let commands = decision.records.iter().filter(|r| matches!(r, Record::BarrierCommanded { .. })).count();
        let raises = decision.actions.iter().filter(|a| matches!(a, Action::Raise { .. })).count();
        let lowered = |record: &&Record| matches!(record, Record::BarrierLowered(step) if step.answer.is_none());
        let lowers = decision.actions.iter().filter(|a| matches!(a, Action::Lower { .. })).count();
        assert_eq!(decision.records.iter().filter(lowered).count(), lowers, "nor down");
        assert_eq!(commands, raises, "no barrier moves for a reason that is not on disk");
        decision
    }
}
