//! What was decided: the journal's lines, from which every table follows.

use serde::{Deserialize, Serialize};

use super::{
    Answered, Approval, ArmPosition, Booking, CodeUse, CommandAnswer, CommandId, Corrected, DeviceChange,
    EmergencySource, EpochReason, Evidence, FeedChange, Fen, GrantId, HoldEnd, JournalHead, LaneId, LowerStep, Matched,
    MemberId, OfficeNote, OpId, Pairing, PaymentVoid, PlateRead, Points, PointsDebt, RaiseCause, ReadOutcome, Sale,
    ShareTaken, ShiftEnd, ShiftStart, ShownCard, StayId, TakenBack, Tender, TillHold, UtcMs,
};
use crate::domain::benefit::{Denied, RestsOn, Use, Validation};
use crate::domain::lane::Lane;
use crate::domain::plate::Plate;
use crate::domain::points::{Lot, Part};
use crate::domain::settlement::{Closed, Posting};
use crate::domain::stay::{Reread, Stay};
use crate::domain::tariff::Fee;

/// What was decided: a line of the journal and, applied, the tables.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Record {
    /// The daemon started and found this lane in mid-work.
    Started {
        /// The lane.
        lane: LaneId,
    },
    /// A camera's statement, kept so that a repeat is known.
    ReadTaken {
        /// The statement.
        read: PlateRead,
        /// What the lane made of it, in a word.
        outcome: ReadOutcome,
    },
    /// A lane's state after the decision.
    LaneMoved {
        /// The lane.
        lane: LaneId,
        /// Its whole state.
        state: Lane,
    },
    /// A stay begins, pending until the vehicle has passed.
    StayOpened {
        /// The whole stay.
        stay: Stay,
    },
    /// The vehicle is inside.
    StayEntered {
        /// Which stay.
        stay: StayId,
        /// How that is known.
        evidence: Evidence,
    },
    /// Which stay the vehicle at the exit is, how certain that is, and what the two cameras showed of each other.
    StayMatched(Matched),
    /// What was learned about the cameras' mistakes is forgotten.
    ExperienceReset {
        /// Why.
        reason: String,
    },
    /// The vehicle is at the exit; what it owes.
    StayExiting {
        /// Which stay.
        stay: StayId,
        /// By which lane.
        lane: LaneId,
        /// When it was read there.
        at: UtcMs,
        /// The fee and why.
        fee: Fee,
        /// What the ledger knew of its benefits, so that the fee can be computed again; none where the rules have none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rests_on: Option<Box<RestsOn>>,
        /// Benefits that were looked at and not used, and why.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        denied: Vec<Denied>,
    },
    /// The camera read a vehicle better after its raise at the entry; only what its stay is known by changes.
    StayReread(Box<Reread>),
    /// At the exit the driver has shown the code of a member's phone: the stay is that member's.
    StayMemberShown {
        /// Which stay.
        stay: StayId,
        /// Whose.
        member: MemberId,
    },
    /// The vehicle went back inside from the exit.
    StayResumed {
        /// Which stay.
        stay: StayId,
    },
    /// The vehicle has left.
    StayClosed {
        /// Which stay.
        stay: StayId,
        /// How that is known.
        evidence: Evidence,
        /// What a guard let go unpaid.
        waived: Fen,
        /// What is still owed: booked as a debt now, or a debt of an earlier stay that was not paid.
        #[serde(default, skip_serializing_if = "super::kept::is_zero")]
        owed: Fen,
    },
    /// A vehicle left without paying; its plate owes it.
    DebtBooked {
        /// The effect's id, and the debt's name.
        debt: OpId,
        /// For which stay.
        stay: StayId,
        /// Who owes it.
        plate: Plate,
        /// How much.
        fen: Fen,
    },
    /// A debt was paid, with what a later stay paid.
    DebtPaid {
        /// The effect's id.
        op: OpId,
        /// Which debt.
        debt: OpId,
        /// How much of it.
        fen: Fen,
        /// The stay that paid it.
        stay: StayId,
    },
    /// The entry never happened, or the exit was never seen.
    StayVoided {
        /// Which stay.
        stay: StayId,
        /// Why.
        reason: String,
    },
    /// A vehicle without a readable plate has a ticket, whose number stands for its plate.
    TicketIssued {
        /// Where.
        lane: LaneId,
        /// Its number.
        ticket: Plate,
    },
    /// A vehicle drove into an inner lot.
    ZoneEntered {
        /// Which stay.
        stay: StayId,
        /// Which lot.
        zone: String,
        /// By which lane.
        lane: LaneId,
        /// When it was read there.
        at: UtcMs,
        /// How it is known that it passed.
        evidence: Evidence,
    },
    /// A vehicle drove out of an inner lot.
    ZoneLeft {
        /// Which stay.
        stay: StayId,
        /// Which lot.
        zone: String,
        /// By which lane.
        lane: LaneId,
        /// When it was read there.
        at: UtcMs,
        /// How it is known that it passed.
        evidence: Evidence,
    },
    /// A person has counted the vehicles inside.
    CountTaken {
        /// The inner lot; none: the car park outside of its inner lots.
        zone: Option<String>,
        /// How many were counted.
        counted: u32,
        /// How many the books say.
        by_books: u32,
        /// Who counted.
        operator: String,
    },
    /// A vehicle followed another through one raise.
    TailgateSeen {
        /// Which lane.
        lane: LaneId,
        /// Its plate, where it was read.
        plate: Option<Plate>,
        /// Its stay, where it is known.
        stay: Option<StayId>,
        /// How that is known.
        evidence: Evidence,
    },
    /// A stay was put right by a person. What it cost is computed again under the rules of its entry.
    StayCorrected(Box<Corrected>),
    /// What was lost on a business day.
    DayReported {
        /// The report.
        report: crate::domain::losses::DayReport,
    },
    /// Money was taken for a stay.
    PaymentTaken {
        /// The effect's id.
        op: OpId,
        /// Which stay.
        stay: StayId,
        /// How much.
        fen: Fen,
        /// From where.
        tender: Tender,
        /// When.
        at: UtcMs,
    },
    /// What a stay uses up of benefits, in place of what was held before: posted when it has left, void where it stays.
    BenefitsHeld {
        /// Which stay.
        stay: StayId,
        /// The uses.
        uses: Vec<Use>,
    },
    /// A merchant gave time or money to a stay.
    ValidationGiven {
        /// The effect's id.
        op: OpId,
        /// Which stay.
        stay: StayId,
        /// What.
        validation: Validation,
        /// What is known of the shop that gave it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        shop: Option<Box<super::Shop>>,
    },
    /// A coupon was shown for a stay.
    CouponShown {
        /// The effect's id.
        op: OpId,
        /// Which stay.
        stay: StayId,
        /// The coupon's own number.
        coupon: String,
        /// What is known of the shop where it was shown.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        shop: Option<Box<super::Shop>>,
    },
    /// A coupon was used for goods, or is good again.
    CouponMoved(super::CouponMove),
    /// This box's word about a coupon that one box has alone.
    CouponTold(super::CouponWord),
    /// Points are set aside; they are spent when the vehicle has passed.
    HoldPlaced {
        /// The hold, later the spend.
        op: OpId,
        /// For which stay.
        stay: StayId,
        /// Whose points.
        member: MemberId,
        /// How many in all.
        points: Points,
        /// What they pay.
        fen: Fen,
        /// From which grants.
        parts: Vec<Part>,
    },
    /// Points set aside go back to their grants.
    HoldVoided {
        /// Which hold.
        op: OpId,
        /// Why.
        reason: String,
    },
    /// Points are spent, for good.
    PointsSpent {
        /// The effect's id; a hold's id where there was one.
        op: OpId,
        /// Whose.
        member: MemberId,
        /// How many in all.
        points: Points,
        /// What they paid.
        fen: Fen,
        /// From which grants.
        parts: Vec<Part>,
        /// For which stay, if any.
        stay: Option<StayId>,
    },
    /// Points are earned, born in this box's escrow.
    PointsEarned {
        /// The effect's id.
        op: OpId,
        /// Whose.
        member: MemberId,
        /// How many.
        points: Points,
        /// Where and when they may be spent, and who pays for them.
        #[serde(default, skip_serializing_if = "Lot::is_unrestricted")]
        lot: Lot,
    },
    /// Points that this box needs no more go back to the cloud.
    PointsReturned {
        /// The effect's id.
        op: OpId,
        /// Whose.
        member: MemberId,
        /// How many in all.
        points: Points,
        /// From which grants.
        parts: Vec<Part>,
    },
    /// A spend is undone, as far as this box's journal holds it: its points are here again.
    PointsReversed {
        /// The effect's id.
        op: OpId,
        /// The spend.
        of: OpId,
        /// Whose.
        member: MemberId,
        /// How many in all.
        points: Points,
        /// What they had paid.
        fen: Fen,
        /// Back to which grants.
        parts: Vec<Part>,
        /// For which stay they had been spent, if any.
        stay: Option<StayId>,
        /// Who wanted it and why.
        reason: String,
    },
    /// The box wants points for a visit, or to keep for a member between visits.
    GrantRequested {
        /// The request's id.
        request: OpId,
        /// For whom.
        member: MemberId,
        /// How many.
        points: Points,
        /// Whether they are to be kept between visits.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        standing: bool,
    },
    /// The cloud gave a grant.
    GrantAccepted {
        /// The request it answers.
        request: OpId,
        /// The grant.
        grant: GrantId,
        /// Whose.
        member: MemberId,
        /// How many.
        points: Points,
        /// What they may be spent on.
        #[serde(default, skip_serializing_if = "Lot::is_unrestricted")]
        lot: Lot,
    },
    /// The cloud had nothing to give.
    GrantRefused {
        /// The request it answers.
        request: OpId,
    },
    /// A till's sale.
    SaleCommitted(Sale),
    /// A till's answer, kept for a repeat of its key.
    OperationAnswered(Answered),
    /// A line of the tills' books.
    TillBooked(Booking),
    /// Points are set aside for a till.
    TillHoldPlaced(TillHold),
    /// Points are not set aside for a till any more: they are back in their grants.
    TillHoldEnded {
        /// Which hold.
        op: OpId,
        /// Why.
        why: HoldEnd,
    },
    /// Money that a till took for parking is given back.
    PaymentVoided(PaymentVoid),
    /// Earned points are taken back.
    PointsTakenBack(TakenBack),
    /// Earned points that are not here any more are owed.
    PointsOwed(PointsDebt),
    /// The service desk or a merchant did something.
    OfficeNoted(Box<OfficeNote>),
    /// A till's shift begins.
    ShiftOpened(ShiftStart),
    /// A till's shift is over.
    ShiftClosed(ShiftEnd),
    /// A code of a member's phone was used.
    MemberCodeUsed(CodeUse),
    /// A till is let in, or shut out.
    TerminalChanged(Pairing),
    /// What of this entry belongs to a business day: who owes whom, which stays ended.
    DayPosted(Posting),
    /// A business day is closed.
    DayClosed(Closed),
    /// A barrier is to be raised.
    BarrierCommanded {
        /// Which lane.
        lane: LaneId,
        /// The command.
        command: CommandId,
        /// Why.
        cause: RaiseCause,
        /// For which stay, if any.
        stay: Option<StayId>,
    },
    /// What came back for a command.
    BarrierAnswered {
        /// Which lane.
        lane: LaneId,
        /// The command.
        command: CommandId,
        /// What came back.
        answer: CommandAnswer,
    },
    /// A limit switch changed.
    BarrierMoved {
        /// Which lane.
        lane: LaneId,
        /// Where the arm is.
        position: ArmPosition,
    },
    /// A vehicle passed that nobody let through, or a raise without a stay was used.
    PassageSeen {
        /// Which lane.
        lane: LaneId,
        /// The raise it used, if there was one.
        command: Option<CommandId>,
    },
    /// A card was shown at a lane.
    CardRead(ShownCard),
    /// An arm is let down, or what came back for that.
    BarrierLowered(LowerStep),
    /// A device is away, or there again.
    DeviceChanged(DeviceChange),
    /// Something that staff should look at.
    AlarmRaised {
        /// A word for it.
        code: String,
        /// A sentence for staff.
        text: String,
        /// Where.
        lane: Option<LaneId>,
        /// Which stay.
        stay: Option<StayId>,
        /// Within how many hours somebody must answer: 1, 2 or 24; 0 in journals from before there was such a time.
        #[serde(default)]
        within_h: u8,
    },
    /// An emergency was called or ended.
    EmergencyChanged {
        /// By whom.
        source: EmergencySource,
        /// Whether it is on.
        active: bool,
    },
    /// This box spends no more points until it has a new epoch.
    Quarantined {
        /// Why, in a word.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<EpochReason>,
        /// Why.
        reason: String,
    },
    /// The first entry of an epoch. What older epochs still held is no longer spent.
    EpochBegan {
        /// The epoch that begins.
        epoch: u32,
        /// Why.
        reason: EpochReason,
        /// Where the journal of the epoch before it ended on this box.
        previous: Option<JournalHead>,
        /// Records of a copy that contradict what came before them, and were passed over when it was made again.
        #[serde(default, skip_serializing_if = "super::kept::is_none_passed_over")]
        passed_over: u64,
    },
    /// Somebody outside remembers what this journal does not hold.
    WitnessSeen {
        /// Who.
        by: String,
        /// What is remembered.
        head: JournalHead,
    },
    /// The ledger's leave to spend points has run out.
    LeaseLapsed {
        /// When it ended, by the ledger's time.
        until_ms: UtcMs,
    },
    /// The ledger's leave to spend points is there again.
    LeaseRenewed {
        /// Until when, by the ledger's time.
        until_ms: UtcMs,
    },
    /// A stay may go beyond a limit of benefits.
    LimitApproved(Approval),
    /// This box's part of a campaign's budget, as it follows what the ledger told.
    CampaignShareTaken(ShareTaken),
    /// Rules became active.
    RulesActivated {
        /// Their version.
        version: u32,
        /// SHA-256 of the file, in hex.
        hash: String,
        /// The file itself, so that any past fee can be computed again.
        text: String,
    },
    /// Cache, not journal: the cloud's members changed.
    Fed {
        /// The changes.
        changes: Vec<FeedChange>,
        /// The cursor after them.
        next: u64,
        /// When they were heard, by this box's clock.
        heard: UtcMs,
    },
    /// Cache, not journal: the cloud holds the journal up to here.
    Acknowledged {
        /// The highest entry applied, counted through all epochs of this file.
        entry: u64,
    },
    /// Cache, not journal: until when points may be spent, and how late it is at least, by the ledger's time.
    LeaseSeen {
        /// Until when.
        until_ms: UtcMs,
        /// How late it is at least.
        latest_ms: UtcMs,
    },
}
