//! The decision: from an input and the facts it needs to what is written, done and answered. It cannot fail.

use std::sync::Arc;

use super::emergency::Called;
use super::event::{
    Action, CloudNews, CommandId, Decision, Fen, GrantId, Ids, Input, LaneId, MemberId, Now, OpId, Points, Purse,
    RaiseCause, ReadOutcome, Record, Reply, UtcMs,
};
use super::lane::{Lane, LaneSettings, Lanes, PossibleStay};
use super::matching::answer::Verdict;
use super::matching::learning::Lesson;
use super::plate::Plate;
use super::points::{self, POINTS_MAX, Part};
use super::rules::Rules;
use super::stay::Stay;
use super::tariff::PriorVisit;
use super::{access, arrival, emergency, passage, sale};

/// What the store looked up for one input, before anything is decided.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Names for what this decision makes.
    pub ids: Ids,
    /// Whether this box may spend no points.
    pub quarantined: bool,
    /// Who has called an emergency.
    pub emergency: Called,
    /// The rules in force.
    pub rules: Arc<Rules>,
    /// The state of the lane that the input speaks of.
    pub lane: Lane,
    /// What became of this camera's event before.
    pub read_before: Option<ReadOutcome>,
    /// The stay of the vehicle that the lane serves.
    pub visit_stay: Option<StayFacts>,
    /// The stay that the input names by its plate or id; for a read without one, the stay that it is certainly.
    pub named_stay: Option<StayFacts>,
    /// Which stays inside a read may be, where somebody is inside.
    pub found: Option<Found>,
    /// The lane that serves the named stay at this moment, whether it enters or leaves there, and its state.
    pub serving: Option<(LaneId, Lane)>,
    /// The member whose plate or code the input names.
    pub member: Option<KnownMember>,
    /// What that member can spend here.
    pub purse: Purse,
    /// Whether that member has a vehicle inside.
    pub member_inside: bool,
    /// The stored answer for the input's idempotency key.
    pub operation: Option<StoredOperation>,
    /// Whether the input's request for a grant is one of that member's and still unanswered.
    pub request_is_open: bool,
    /// Whether the grant that the input brings was accepted before.
    pub grant_is_known: bool,
    /// Lanes where a vehicle of the input's member waits for money or points.
    pub waiting_lanes: Vec<LaneId>,
    /// Up to where the cloud holds the journal.
    pub acknowledged: u64,
}

/// What the matching says of a read.
#[derive(Clone, Debug)]
pub struct Found {
    /// What to do.
    pub verdict: Verdict,
    /// The plate as it was read.
    pub read: Plate,
    /// The stays that it may be, the likeliest first.
    pub candidates: Vec<PossibleStay>,
    /// How certain it is that the vehicle has no entry, in millionths.
    pub none_ppm: u32,
    /// What the best candidate would teach, where it is certain enough to teach, or what a guard's choice teaches.
    pub lesson: Option<Lesson>,
}

/// A stay and what hangs on it.
#[derive(Clone, Debug)]
pub struct StayFacts {
    /// The stay.
    pub stay: Stay,
    /// The rules that it pinned at entry.
    pub rules: Arc<Rules>,
    /// The lane where it is pending, if it is.
    pub at_lane: Option<LaneId>,
    /// When it was read at the exit where it now stands.
    pub exit_read: Option<UtcMs>,
    /// Points set aside for it.
    pub hold: Option<Hold>,
    /// What its member can spend here, besides the hold.
    pub purse: Purse,
    /// Whether its member has another vehicle inside.
    pub member_has_another: bool,
    /// Earlier visits of the same plate that its fee may depend on.
    pub prior: Vec<PriorVisit>,
}

/// What a decision needs to know of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownMember {
    /// The id.
    pub id: MemberId,
    /// Whether plates may be matched for this member.
    pub consent_plates: bool,
}

/// Points set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Its id, later the spend's.
    pub op: OpId,
    /// Whose.
    pub member: MemberId,
    /// How many.
    pub points: Points,
    /// What they pay.
    pub fen: Fen,
    /// From which grants.
    pub parts: Vec<Part>,
}

/// A till's earlier request with the same key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredOperation {
    /// SHA-256 of its canonical body.
    pub fingerprint: String,
    /// What was answered.
    pub answer: super::event::TillAnswer,
}

/// The highest cursor of the feed: what the ledger file can hold.
const CURSOR_MAX: u64 = i64::MAX as u64;

/// Decides one input.
pub fn decide(input: &Input, facts: &Facts, lanes: &Lanes, now: Now) -> Decision {
    let Some(lane_id) = input.lane() else {
        return match input {
            Input::Till(commit) => sale::commit(commit, facts, now),
            Input::Cloud(news) => cloud(news, facts),
            Input::Emergency { source, active } => emergency::spoken(source, *active, facts, lanes),
            Input::ExperienceForgotten { reason } => {
                Decision { records: vec![Record::ExperienceReset { reason: reason.clone() }], ..Decision::nothing() }
            }
            Input::RulesOffered { .. } => Decision::nothing(),
            Input::Started { .. }
            | Input::PlateRead(_)
            | Input::LoopChanged { .. }
            | Input::VehicleSeen { .. }
            | Input::BarrierAnswered { .. }
            | Input::BarrierMoved { .. }
            | Input::LaneDue { .. }
            | Input::LaneReconsidered { .. }
            | Input::LaneEmergency { .. }
            | Input::Staff(_) => unreachable!("these name a lane"),
        };
    };
    let Some(settings) = lanes.get(lane_id) else {
        return match input {
            Input::Started { .. } => passage::removed(lane_id, facts),
            // A lane that the settings no longer have: an old queued message, nothing to serve.
            Input::PlateRead(_)
            | Input::LoopChanged { .. }
            | Input::VehicleSeen { .. }
            | Input::BarrierAnswered { .. }
            | Input::BarrierMoved { .. }
            | Input::LaneDue { .. }
            | Input::LaneReconsidered { .. }
            | Input::LaneEmergency { .. }
            | Input::Staff(_)
            | Input::Till(_)
            | Input::Cloud(_)
            | Input::Emergency { .. }
            | Input::ExperienceForgotten { .. }
            | Input::RulesOffered { .. } => Decision::nothing(),
        };
    };
    let mut work = Work::new(lane_id.clone(), settings, facts, now);
    match input {
        Input::Started { .. } => passage::started(&mut work),
        Input::PlateRead(read) => arrival::read(&mut work, read),
        Input::LoopChanged { role, occupied, .. } => passage::loop_changed(&mut work, *role, *occupied),
        Input::VehicleSeen { sign, .. } => passage::vehicle_seen(&mut work, *sign),
        Input::BarrierAnswered { command, answer, .. } => passage::answered(&mut work, command, answer),
        Input::BarrierMoved { position, .. } => passage::arm_moved(&mut work, *position),
        Input::LaneDue { .. } => passage::due(&mut work),
        Input::LaneReconsidered { .. } => arrival::reconsider(&mut work),
        Input::LaneEmergency { active, .. } => emergency::lane_told(&mut work, *active),
        Input::Staff(act) => access::staff(&mut work, act),
        Input::Till(_)
        | Input::Cloud(_)
        | Input::Emergency { .. }
        | Input::ExperienceForgotten { .. }
        | Input::RulesOffered { .. } => {
            unreachable!("these name no lane")
        }
    }
    work.finish()
}

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
    fn new(lane_id: LaneId, settings: &'a LaneSettings, facts: &'a Facts, now: Now) -> Self {
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
    pub fn command_raise(&mut self, cause: RaiseCause, stay: Option<super::event::StayId>) -> CommandId {
        let command = CommandId(self.op().0);
        self.records.push(Record::BarrierCommanded {
            lane: self.lane_id.clone(),
            command: command.clone(),
            cause,
            stay,
        });
        self.actions.push(Action::Raise { lane: self.lane_id.clone(), command: command.clone() });
        self.wake_in(self.settings.pass_timeout_ms);
        command
    }

    /// Asks to be called again.
    pub fn wake_in(&mut self, ms: u64) {
        self.actions.push(Action::Wake { lane: self.lane_id.clone(), at_uptime_ms: self.now.uptime_ms + ms });
    }

    /// Lists something for staff.
    pub fn alarm(&mut self, code: &str, text: String) {
        self.records.push(Record::AlarmRaised {
            code: code.to_owned(),
            text,
            lane: Some(self.lane_id.clone()),
            stay: self.lane.stay().cloned(),
        });
    }

    /// Points that nobody needs here any more go back to the cloud. A box in doubt gives nothing back: what its journal
    /// has forgotten may have spent the same points, and the cloud would hand them out again.
    pub fn return_points(&mut self, member: &MemberId, purse: &Purse) {
        if self.facts.quarantined {
            return;
        }
        let parts = points::all(purse);
        if !parts.is_empty() {
            let op = self.op();
            self.records.push(returned(op, member, parts));
        }
    }

    fn finish(mut self) -> Decision {
        if self.lane != self.facts.lane {
            self.records.push(Record::LaneMoved { lane: self.lane_id.clone(), state: self.lane });
        }
        let decision = Decision { records: self.records, actions: self.actions, reply: self.reply };
        let commands = decision.records.iter().filter(|r| matches!(r, Record::BarrierCommanded { .. })).count();
        let raises = decision.actions.iter().filter(|a| matches!(a, Action::Raise { .. })).count();
        assert_eq!(commands, raises, "no barrier moves for a reason that is not on disk");
        decision
    }
}

fn returned(op: OpId, member: &MemberId, parts: Vec<Part>) -> Record {
    Record::PointsReturned { op, member: member.clone(), points: points::sum(&parts), parts }
}

fn cloud(news: &CloudNews, facts: &Facts) -> Decision {
    let mut decision = Decision::nothing();
    match news {
        CloudNews::Granted { request, grant, member, epoch, points } => {
            if facts.request_is_open {
                granted(&mut decision, facts, request, grant.as_ref(), member, *epoch, *points);
            }
        }
        CloudNews::Acknowledged { seq } => {
            let newest = facts.ids.seq - 1;
            if *seq > newest {
                doubt(&mut decision, facts, &format!("the cloud holds {seq} entries and this journal only {newest}"));
            } else if *seq > facts.acknowledged {
                decision.records.push(Record::Acknowledged { seq: *seq });
            }
        }
        CloudNews::Fed { changes, next } => {
            if *next <= CURSOR_MAX {
                decision.records.push(Record::Fed { changes: changes.clone(), next: *next });
            }
        }
        CloudNews::Doubted { reason } => doubt(&mut decision, facts, reason),
        CloudNews::Refusing { reason } => {
            let text = format!("The cloud ledger refuses what this box sends, and is asked again and again: {reason}");
            decision.records.push(alarm("cloud_refuses", text));
        }
    }
    decision
}

/// From here on this box spends no points; said once.
fn doubt(decision: &mut Decision, facts: &Facts, reason: &str) {
    if facts.quarantined {
        return;
    }
    decision.records.push(Record::Quarantined { reason: reason.to_owned() });
    let text = format!("This box spends no points until it has a new epoch: {reason}");
    decision.records.push(alarm("quarantined", text));
}

/// Something for staff that is not about one lane.
fn alarm(code: &str, text: String) -> Record {
    Record::AlarmRaised { code: code.to_owned(), text, lane: None, stay: None }
}

fn granted(
    decision: &mut Decision,
    facts: &Facts,
    request: &OpId,
    grant: Option<&GrantId>,
    member: &MemberId,
    epoch: u32,
    points: Points,
) {
    let Some(grant) = grant.filter(|_| points.0 > 0 && epoch == facts.ids.epoch) else {
        decision.records.push(Record::GrantRefused { request: request.clone() });
        return;
    };
    let room = POINTS_MAX - points::usable(&facts.purse).0;
    if facts.grant_is_known || !points::is_clouds(grant) || points.0 > room {
        decision.records.push(Record::GrantRefused { request: request.clone() });
        let text = format!("The cloud ledger gave a grant that cannot be taken: {} points as {grant}", points.0);
        decision.records.push(alarm("grant_unusable", text));
        return;
    }
    decision.records.push(Record::GrantAccepted {
        request: request.clone(),
        grant: grant.clone(),
        member: member.clone(),
        points,
    });
    if facts.member_inside {
        let waiting = facts.waiting_lanes.iter();
        decision
            .actions
            .extend(waiting.map(|lane| Action::Then(Box::new(Input::LaneReconsidered { lane: lane.clone() }))));
        return;
    }
    if facts.quarantined {
        return;
    }
    // The member left before the answer came: everything that is here goes back.
    let mut purse = facts.purse.clone();
    purse.insert(grant.clone(), points);
    decision.records.push(returned(facts.ids.op(0), member, points::all(&purse)));
}

impl Input {
    /// The lane that an input speaks of.
    pub fn lane(&self) -> Option<&LaneId> {
        match self {
            Input::PlateRead(read) => Some(&read.lane),
            Input::Staff(act) => Some(&act.lane),
            Input::Started { lane }
            | Input::LoopChanged { lane, .. }
            | Input::VehicleSeen { lane, .. }
            | Input::BarrierAnswered { lane, .. }
            | Input::BarrierMoved { lane, .. }
            | Input::LaneDue { lane }
            | Input::LaneReconsidered { lane }
            | Input::LaneEmergency { lane, .. } => Some(lane),
            Input::Till(_)
            | Input::Cloud(_)
            | Input::Emergency { .. }
            | Input::ExperienceForgotten { .. }
            | Input::RulesOffered { .. } => None,
        }
    }
}
