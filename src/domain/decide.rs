//! The decision: from an input and the facts it needs to what is written, done and answered. It cannot fail.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::admission::Right;
use super::benefit::{HeldCoupon, Known};
use super::capacity::Counts;
use super::claim::CouponNow;
use super::emergency::Called;
use super::event::{
    Action, BusinessDay, Decision, EpochReason, Fen, GrantId, Ids, Input, JournalHead, LaneId, MemberId, Now, OpId,
    Points, ReadOutcome, Record, StayId, UtcMs,
};
use super::lane::{Direction, Lane, Lanes, PossibleStay};
use super::losses::DayReport;
use super::matching::answer::Verdict;
use super::matching::learning::Lesson;
use super::office::{self, OfficeFacts};
use super::plate::Plate;
use super::points::{Part, Purse, Till};
use super::rules::Rules;
use super::share::ShareNow;
use super::stay::{Recognised, Stay};
use super::tariff::PriorVisit;
use super::till::facts::TillFacts;
pub(super) use super::work::Work;
use super::{
    access, arm, arrival, card, claim, corrections, detectors, emergency, escrow, gear, passage, sale, settlement,
    tailgate, till,
};

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
    /// The plate that the event had then.
    pub plate_before: Option<Plate>,
    /// The stay of the vehicle that the lane serves.
    pub visit_stay: Option<StayFacts>,
    /// The stay that the input names by its plate or id; for a read without one, the stay that it is certainly.
    pub named_stay: Option<StayFacts>,
    /// Which stays inside a read may be, where somebody is inside.
    pub found: Option<Found>,
    /// The lane that serves the named stay at this moment, whether it enters or leaves there, and its state.
    pub serving: Option<(LaneId, Lane)>,
    /// The plate that all statements about the vehicle say together.
    pub read_as: Option<Plate>,
    /// The member whose plate or code the input names.
    pub member: Option<KnownMember>,
    /// What the cloud says of that member, where the rules greet members at a lane.
    pub standing: Known,
    /// How that member was recognised, where the plate was read a little wrong.
    pub recognised: Option<Recognised>,
    /// What that member can spend here.
    pub purse: Purse,
    /// Whether that member has a vehicle inside.
    pub member_inside: bool,
    /// The coupon that the input shows.
    pub coupon: Option<HeldCoupon>,
    /// The stored answer for the input's idempotency key.
    pub operation: Option<StoredOperation>,
    /// Whether the input's request for a grant is one of that member's and still unanswered.
    pub request_is_open: bool,
    /// Lanes where a vehicle of the input's member waits for money or points.
    pub waiting_lanes: Vec<LaneId>,
    /// Up to which entry the cloud holds the journal, counted through all epochs of the file.
    pub acknowledged: u64,
    /// The day of the week (Monday = 1) and the minute of the day, by the site's own time.
    pub civil: (u8, u16),
    /// What the plate that the input names still owes for earlier stays.
    pub debts: Fen,
    /// The business day.
    pub day: BusinessDay,
    /// What decisions about the escrow rest on besides.
    pub escrow: EscrowFacts,
    /// What tills' requests rest on besides.
    pub tills: TillFacts,
    /// What the service desk's and merchants' acts rest on.
    pub office: OfficeFacts,
    /// How many vehicles are where.
    pub counts: Counts,
    /// How many vehicles are inside on each pass of the plate that the input names.
    pub on_passes: BTreeMap<Right, u32>,
    /// How many tickets were issued so far.
    pub tickets: u32,
    /// The last vehicles that came in, for a guard, where the rules want them shown.
    pub latest: Vec<PossibleStay>,
    /// Earlier visits of the plate that the input names, for a stay that is made or put right.
    pub prior: Vec<PriorVisit>,
    /// What that plate owes for earlier stays, the oldest debt first.
    pub open_debts: Vec<Debt>,
    /// The first of two stays that are merged.
    pub first: Option<StayFacts>,
    /// Another stay inside with the plate that a stay is to have.
    pub inside_by_plate: Option<StayId>,
    /// The newest day that was reported.
    pub last_day: Option<String>,
}

/// What decisions about the escrow rest on; filled where the input needs it.
#[derive(Clone, Debug, Default)]
pub struct EscrowFacts {
    /// Why the journal is in doubt, where it is.
    pub doubt: Option<EpochReason>,
    /// Until when points may be spent, where the ledger gave such a leave.
    pub lease: Option<Lease>,
    /// Whether that leave has run out.
    pub has_lapsed: bool,
    /// Where the place in a journal that the input speaks of is in this file.
    pub place: Place,
    /// Which of the grants that the input brings were accepted before.
    pub known_grants: Vec<GrantId>,
    /// Every hold of the epoch that ends.
    pub holds: Vec<(StayId, Hold)>,
    /// The purses that the input is about.
    pub purses: Vec<(MemberId, Purse)>,
    /// Whether there are more of them than one entry can hold.
    pub has_more_purses: bool,
    /// Where the epoch before a new one ended.
    pub previous: Option<JournalHead>,
    /// Records of a copy that were passed over when the file was made again.
    pub passed_over: u64,
    /// The members who have a vehicle inside.
    pub members_inside: Vec<MemberId>,
    /// What the member, or else everybody here, usually spends at most in one go.
    pub usual_spend: Option<Points>,
    /// The spends that are to be undone.
    pub spends: Vec<SpendFacts>,
    /// What this box has of the campaigns that the feed shares out.
    pub shares: BTreeMap<String, ShareNow>,
    /// The coupons that the input is about.
    pub coupons: Vec<CouponNow>,
}

impl Facts {
    /// Here and now, for points that may be spent only in some places or at some times.
    pub fn till(&self, now: Now) -> Till<'_> {
        let (day, minute) = self.civil;
        Till { box_id: &self.ids.box_id, at: now.utc, day, minute }
    }

    /// Whether a vehicle that waits may go on when another is gone: bays are counted, or it waits for its own stay's end.
    fn counts_matter(&self) -> bool {
        let rules = &self.rules;
        let admission = &rules.admission;
        admission.policy.spaces.is_some()
            || admission.keeps_out_repeats()
            || rules.tariffs.lots().any(|lot| lot.spaces.is_some())
    }

    /// Why no points may be spent here now, in words for a till; none where they may.
    pub fn points_are_stopped(&self) -> Option<&'static str> {
        if self.quarantined {
            Some("this box may not spend points now; take another tender")
        } else if self.escrow.has_lapsed {
            Some("the cloud ledger's leave to spend points here has run out; take another tender")
        } else {
            None
        }
    }
}

pub use super::held::{Lease, Place, SpendFacts};

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
    /// When it left, where it has.
    pub left: Option<UtcMs>,
    /// What else its fee depends on, and what is held for it.
    pub benefits: Known,
    /// Points set aside for it.
    pub hold: Option<Hold>,
    /// What its member can spend here, besides the hold.
    pub purse: Purse,
    /// Whether its member has another vehicle inside.
    pub member_has_another: bool,
    /// Earlier visits of the same plate that its fee may depend on.
    pub prior: Vec<PriorVisit>,
    /// Points that stay here for its member between visits.
    pub keep: Points,
    /// What its plate owes for earlier stays, the oldest debt first.
    pub debts: Vec<Debt>,
}

/// A debt of a plate, and what of it is still open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Debt {
    /// Its name.
    pub op: OpId,
    /// What is open.
    pub open: Fen,
}

/// What a decision needs to know of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownMember {
    /// The id.
    pub id: MemberId,
    /// Whether plates may be matched for this member.
    pub consent_plates: bool,
    /// Points that stay here for the member between visits.
    pub keep: Points,
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

/// Decides one input. What of it belongs to the day's accounts is posted with it, and coupons that it touches are looked
/// at.
pub fn decide(input: &Input, facts: &Facts, lanes: &Lanes, now: Now) -> Decision {
    let mut decision = dispatch(input, facts, lanes, now);
    settlement::post(&mut decision, facts);
    claim::post(&mut decision, facts);
    decision
}

fn dispatch(input: &Input, facts: &Facts, lanes: &Lanes, now: Now) -> Decision {
    let Some(lane_id) = input.lane() else {
        return match input {
            Input::Till(commit) => sale::commit(commit, facts, now),
            Input::TillAct(act) => till::act(act, facts, now),
            Input::TillHoldDue { hold } => till::due(hold, facts, now),
            Input::MemberShown(shown) => till::shown(shown, facts, now),
            Input::Office(wanted) => office::act(wanted, facts, now),
            Input::TerminalChanged(pairing) => till::pair(pairing),
            Input::DayClosing(closing) => settlement::close(closing, facts),
            Input::Cloud(news) => escrow::cloud(news, facts, now),
            Input::Witnessed(seen) => escrow::witnessed(seen, facts),
            Input::Undo(undo) => escrow::undo(undo, facts, now),
            Input::Emergency { source, active } => emergency::spoken(source, *active, facts, lanes),
            Input::ExperienceForgotten { reason } => {
                Decision { records: vec![Record::ExperienceReset { reason: reason.clone() }], ..Decision::nothing() }
            }
            Input::RulesOffered { .. } => Decision::nothing(),
            Input::Corrected(correction) => reconsidered(corrections::decide(correction, facts, now), facts, lanes),
            Input::DayEnded(report) => day_ended(report, facts),
            Input::DeviceLost { device, why } => gear::changed(device, Some(why), lanes),
            Input::DeviceBack { device } => gear::changed(device, None, lanes),
            Input::Started { .. }
            | Input::VehicleFollowed(_)
            | Input::PlateRead(_)
            | Input::LoopChanged { .. }
            | Input::VehicleSeen { .. }
            | Input::BarrierAnswered { .. }
            | Input::BarrierMoved { .. }
            | Input::LimitSwitch(_)
            | Input::CardRead { .. }
            | Input::LaneDue { .. }
            | Input::LaneReconsidered { .. }
            | Input::LaneEmergency { .. }
            | Input::LaneDevice { .. }
            | Input::Staff(_) => unreachable!("these name a lane"),
        };
    };
    let Some(settings) = lanes.get(lane_id) else {
        // A lane that the settings no longer have: but for its end, an old queued message and nothing to serve.
        let is_its_end = matches!(input, Input::Started { .. });
        return if is_its_end { passage::removed(lane_id, facts) } else { Decision::nothing() };
    };
    let mut work = Work::new(lane_id.clone(), settings, facts, now);
    match input {
        Input::Started { .. } => passage::started(&mut work),
        Input::PlateRead(read) => arrival::read(&mut work, read),
        Input::VehicleFollowed(read) => tailgate::followed(&mut work, read),
        Input::LoopChanged { role, occupied, .. } => passage::loop_changed(&mut work, *role, *occupied),
        Input::VehicleSeen { sign, .. } => passage::vehicle_seen(&mut work, *sign),
        Input::BarrierAnswered { command, answer, .. } => passage::answered(&mut work, command, answer),
        Input::BarrierMoved { position, .. } => arm::moved(&mut work, *position),
        Input::LimitSwitch(told) => arm::switch_told(&mut work, told),
        Input::CardRead { device, card, .. } => card::read(&mut work, device, card),
        Input::MemberShown(shown) => card::member_shown(&mut work, shown),
        Input::LaneDue { .. } => passage::due(&mut work),
        Input::LaneReconsidered { .. } => arrival::reconsider(&mut work),
        Input::LaneEmergency { active, .. } => emergency::lane_told(&mut work, *active),
        Input::LaneDevice { device, is_lost, .. } => gear::lane_told(&mut work, device, *is_lost),
        Input::Staff(act) => access::staff(&mut work, act),
        Input::Till(_)
        | Input::TillAct(_)
        | Input::TillHoldDue { .. }
        | Input::Office(_)
        | Input::TerminalChanged(_)
        | Input::DayClosing(_)
        | Input::Cloud(_)
        | Input::Witnessed(_)
        | Input::Undo(_)
        | Input::Emergency { .. }
        | Input::ExperienceForgotten { .. }
        | Input::RulesOffered { .. }
        | Input::Corrected(_)
        | Input::DeviceLost { .. }
        | Input::DeviceBack { .. }
        | Input::DayEnded(_) => unreachable!("these name no lane"),
    }
    detectors::consider(&mut work);
    reconsidered(work.finish(), facts, lanes)
}

/// Where bays are counted, or a stay ended by hand, vehicles that wait at an entry are looked at again.
fn reconsidered(mut decision: Decision, facts: &Facts, lanes: &Lanes) -> Decision {
    let makes_room = |record: &Record| {
        matches!(
            record,
            Record::StayClosed { .. } | Record::StayVoided { .. } | Record::ZoneLeft { .. } | Record::CountTaken { .. }
        )
    };
    if decision.records.iter().any(makes_room) && facts.counts_matter() {
        let entries = lanes.iter().filter(|(_, settings)| settings.direction == Direction::Entry);
        let inputs = entries.map(|(lane, _)| Input::LaneReconsidered { lane: lane.clone() });
        decision.actions.extend(inputs.map(|input| Action::Then(Box::new(input))));
    }
    decision
}

/// Each day is reported once, and none before one that was.
fn day_ended(report: &DayReport, facts: &Facts) -> Decision {
    if facts.last_day.as_ref().is_some_and(|last| *last >= report.date) {
        return Decision::nothing();
    }
    Decision { records: vec![Record::DayReported { report: report.clone() }], ..Decision::nothing() }
}
