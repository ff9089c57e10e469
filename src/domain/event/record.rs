//! What was decided: the journal's lines, from which every table follows.

use serde::{Deserialize, Serialize};

use super::{
    ArmPosition, CommandAnswer, CommandId, EmergencySource, FeedChange, Fen, GrantId, LaneId, MemberId, OpId,
    PlateRead, Points, StayId, TerminalId, TillAnswer, UtcMs,
};
use crate::domain::lane::Lane;
use crate::domain::matching::learning::Lesson;
use crate::domain::plate::Plate;
use crate::domain::points::Part;
use crate::domain::stay::Stay;
use crate::domain::tariff::Fee;

/// How sure the box is that a vehicle has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// The passage loop was entered and left.
    PassageLoop,
    /// The camera said so.
    Camera,
    /// Another vehicle stands at the arrival loop, so the first is gone.
    NextVehicle,
    /// Nobody saw it; time ran out. Listed for staff.
    Unconfirmed,
}

/// Why a barrier was commanded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum RaiseCause {
    /// A vehicle enters.
    Entry,
    /// Nothing is due: free time, or paid before.
    NothingDue,
    /// Points cover the fee.
    Points,
    /// Money covers the fee.
    Paid,
    /// A person decided.
    Staff {
        /// Who.
        operator: String,
        /// Why.
        reason: String,
    },
    /// The vehicle still stands there after an uncertain raise, and a fresh read proves it.
    StillThere,
    /// A fire alarm or a guard's emergency holds every barrier up.
    Emergency,
}

/// Who decided which stay a vehicle is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "who", rename_all = "snake_case")]
pub enum MatchedBy {
    /// The box: it was certain enough.
    Automatic,
    /// A person chose among the candidates.
    Guard {
        /// Who.
        operator: String,
        /// How that person knew.
        reason: String,
    },
}

/// Where money for a stay came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Tender {
    /// A till.
    Till {
        /// Which.
        terminal: TerminalId,
    },
    /// A guard at the lane.
    Guard {
        /// Who.
        operator: String,
    },
    /// Points at a till.
    Points {
        /// Whose.
        member: MemberId,
    },
}

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
    StayMatched {
        /// Which stay.
        stay: StayId,
        /// At which lane.
        lane: LaneId,
        /// By which lane it came in.
        entry_lane: LaneId,
        /// The plate as it was read here.
        read: Plate,
        /// How certain it was, in millionths.
        posterior_ppm: u32,
        /// How certain it was that the vehicle had no entry, in millionths.
        none_ppm: u32,
        /// Who decided.
        by: MatchedBy,
        /// What it teaches about the cameras of the two lanes, where it does.
        lesson: Option<Lesson>,
    },
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
    },
    /// The entry never happened, or the exit was never seen.
    StayVoided {
        /// Which stay.
        stay: StayId,
        /// Why.
        reason: String,
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
    /// The box wants points for a visit.
    GrantRequested {
        /// The request's id.
        request: OpId,
        /// For whom.
        member: MemberId,
        /// How many.
        points: Points,
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
    },
    /// The cloud had nothing to give.
    GrantRefused {
        /// The request it answers.
        request: OpId,
    },
    /// A till's sale.
    SaleCommitted {
        /// The effect's id.
        op: OpId,
        /// At which terminal.
        terminal: TerminalId,
        /// The till's receipt.
        receipt: String,
        /// Who bought.
        member: Option<MemberId>,
        /// For how much.
        total_fen: Fen,
        /// When.
        at_ms: UtcMs,
    },
    /// A till's answer, kept for a repeat of its key.
    OperationAnswered {
        /// Which terminal.
        terminal: TerminalId,
        /// Which key.
        key: String,
        /// SHA-256 of the canonical body, in hex.
        fingerprint: String,
        /// What was answered.
        answer: TillAnswer,
    },
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
        /// Why.
        reason: String,
    },
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
    },
    /// Cache, not journal: the cloud holds the journal up to here.
    Acknowledged {
        /// The highest entry number applied.
        seq: u64,
    },
}

impl Record {
    /// Whether the record is a decision of this box. What the cloud owns is cached beside the journal, not in it.
    pub fn is_journaled(&self) -> bool {
        !matches!(self, Record::Fed { .. } | Record::Acknowledged { .. })
    }
}

/// What a lane made of a plate read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReadOutcome {
    /// A new vehicle.
    Taken,
    /// The vehicle that is already being served.
    SameVehicle,
    /// Waits behind the vehicle that is being served.
    Queued,
    /// The same statement again.
    Repeated,
    /// Stored by the camera while cut off; kept for staff.
    StoredOffline,
    /// No plate in it.
    NoPlate,
    /// Seen while an emergency held the barrier up.
    Emergency,
}
