//! The one language of the house: what comes in, what was decided, what is to be done.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::lane::{Lane, LoopRole};
use super::plate::Plate;
use super::points::Part;
use super::stay::Stay;
use super::tariff::Fee;

macro_rules! text_id {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl $name {
            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

text_id! {
    /// A lane's name from the settings.
    LaneId;
    /// A device's name from the settings.
    DeviceId;
    /// A stay, `S<epoch>-<entry number>`.
    StayId;
    /// A member, as the cloud ledger names it.
    MemberId;
    /// A grant, as the cloud ledger names it, or `born:<member>`.
    GrantId;
    /// An effect that must happen once for ever: `<box>/<epoch>/<entry number>/<n>`.
    OpId;
    /// A command to a device, the `OpId` of the decision that gave it.
    CommandId;
    /// A till's name from the settings.
    TerminalId;
}

/// Money in fen (1/100 yuan).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fen(pub i64);

/// Loyalty points.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Points(pub i64);

/// A moment in milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UtcMs(pub i64);

/// The two clocks of a decision.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Milliseconds of a clock that never jumps; for deadlines only, its zero means nothing.
    pub uptime_ms: u64,
    /// Civil time; for stays.
    pub utc: UtcMs,
    /// Whether civil time is known to be right (a box may boot without a clock battery).
    pub trusted: bool,
}

/// One statement of one camera about one vehicle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlateRead {
    /// The lane that the camera looks at.
    pub lane: LaneId,
    /// The camera.
    pub device: DeviceId,
    /// The camera's identity of the event; the same for a repeat of the same statement.
    pub event: String,
    /// The plate as read; `None` where the camera saw a vehicle without a readable plate.
    pub plate: Option<Plate>,
    /// The camera's confidence, 0 to 100.
    pub confidence: u8,
    /// When the camera says that it happened, by the clock that the profile trusts.
    pub captured: UtcMs,
    /// Whether the camera stored it while it was cut off, so that no vehicle need be there now.
    pub stored_offline: bool,
}

/// What a camera or a barrier says about a vehicle besides its plate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VehicleSign {
    /// The vehicle went back.
    TurnedBack,
    /// The vehicle has passed the barrier.
    Passed,
    /// A second vehicle followed through one raise.
    Tailgated,
}

/// What came back for a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommandAnswer {
    /// The device says that it took the command; it does not mean that the arm moved.
    Accepted,
    /// The device refused, with its own words.
    Refused(String),
    /// Nothing came back in time, or the command could not be sent: uncertain, never retried blindly.
    Silent(String),
}

/// Where the arm was seen to be, by its own limit switches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArmPosition {
    /// At the upper limit.
    Up,
    /// At the lower limit.
    Down,
    /// Between the limits.
    Between,
}

/// What a person at the booth or the service desk asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StaffAct {
    /// The lane it is about.
    pub lane: LaneId,
    /// Who does it; already verified by the room that took the request.
    pub operator: String,
    /// What is asked.
    pub what: StaffWish,
}

/// The wishes of staff.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "wish", rename_all = "snake_case")]
pub enum StaffWish {
    /// Raise the barrier now, whatever is due, for a reason.
    Raise {
        /// Why, in the operator's words.
        reason: String,
        /// The plate, where the operator could read it and the camera could not.
        plate: Option<Plate>,
    },
    /// Take cash for the waiting vehicle.
    Settle {
        /// The amount taken; must be what is due.
        fen: Fen,
    },
    /// Say which plate the waiting vehicle really has.
    CorrectPlate {
        /// The right plate.
        plate: Plate,
        /// How the operator knows.
        reason: String,
    },
}

/// One commit of a till.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TillCommit {
    /// The terminal, already verified.
    pub terminal: TerminalId,
    /// The idempotency key.
    pub key: String,
    /// SHA-256 of the canonical body, in hex.
    pub fingerprint: String,
    /// The till's own receipt number.
    pub receipt: String,
    /// When the till says that it happened.
    pub occurred: Option<UtcMs>,
    /// Who buys, where the till knows.
    pub member: Option<MemberId>,
    /// What was bought and earns points.
    pub sale: Fen,
    /// The stay whose due is paid.
    pub stay: Option<StayId>,
    /// Money taken by the till.
    pub cash: Fen,
    /// Money to be covered with points.
    pub points_cover: Fen,
}

/// A change that the cloud ledger's feed brings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FeedChange {
    /// The whole member as it now is.
    Member {
        /// The member.
        member: Member,
    },
    /// The member is gone.
    MemberRemoved {
        /// Whose.
        id: MemberId,
    },
}

/// A member as the box knows it: the cloud ledger's fact, cached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The id.
    pub id: MemberId,
    /// A masked name that a till may show.
    pub handle: String,
    /// The tier's name.
    pub tier: String,
    /// Whether the member agreed that plates are matched and points spent at the barrier.
    pub consent_plates: bool,
    /// The member's plates.
    pub plates: Vec<Plate>,
    /// The codes that a till may scan.
    pub codes: Vec<String>,
}

/// What the cloud ledger says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "news", rename_all = "snake_case")]
pub enum CloudNews {
    /// The answer to a request for a grant.
    Granted {
        /// The request.
        request: OpId,
        /// The grant, if any was given.
        grant: Option<GrantId>,
        /// For whom.
        member: MemberId,
        /// The epoch it was made for.
        epoch: u32,
        /// How much.
        points: Points,
    },
    /// The ledger holds the journal up to here.
    Acknowledged {
        /// The highest entry number applied.
        seq: u64,
    },
    /// A part of the feed.
    Fed {
        /// The changes, in order.
        changes: Vec<FeedChange>,
        /// The cursor after them.
        next: u64,
    },
    /// The ledger will not take what this box sends; told once, until something was taken again.
    Refusing {
        /// The refusal in words.
        reason: String,
    },
    /// The handshake failed: this journal may have been rewound.
    Doubted {
        /// The verdict in words.
        reason: String,
    },
}

/// Everything that can happen to a box.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Input {
    /// The daemon has started; asked once for each lane.
    Started {
        /// The lane to look at.
        lane: LaneId,
    },
    /// A camera made a statement.
    PlateRead(PlateRead),
    /// A loop detector changed.
    LoopChanged {
        /// The lane.
        lane: LaneId,
        /// Which loop.
        role: LoopRole,
        /// Whether a vehicle stands on it.
        occupied: bool,
    },
    /// A camera or barrier said something about a vehicle.
    VehicleSeen {
        /// The lane.
        lane: LaneId,
        /// What.
        sign: VehicleSign,
    },
    /// A device answered a command, or did not.
    BarrierAnswered {
        /// The lane.
        lane: LaneId,
        /// Which command.
        command: CommandId,
        /// What came back.
        answer: CommandAnswer,
    },
    /// A limit switch changed.
    BarrierMoved {
        /// The lane.
        lane: LaneId,
        /// Where the arm is.
        position: ArmPosition,
    },
    /// A lane's deadline has come.
    LaneDue {
        /// The lane.
        lane: LaneId,
    },
    /// Something changed that may let a waiting vehicle go; look again.
    LaneReconsidered {
        /// The lane.
        lane: LaneId,
    },
    /// The rules in the settings are not the ones in force.
    RulesOffered {
        /// Their version.
        version: u32,
    },
    /// A person acts.
    Staff(StaffAct),
    /// A till commits.
    Till(TillCommit),
    /// The cloud speaks.
    Cloud(CloudNews),
}

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
}

/// What the edges are to do once the records are on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Raise a lane's barrier by its configured pulse.
    Raise {
        /// Which lane.
        lane: LaneId,
        /// The command's id.
        command: CommandId,
    },
    /// Call the lane again then.
    Wake {
        /// Which lane.
        lane: LaneId,
        /// By the clock that never jumps.
        at_uptime_ms: u64,
    },
    /// Decide this next, before the batch is committed.
    Then(Box<Input>),
}

/// The answer for the one who asked, sent after the commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Nobody waits for more than the commit.
    Done,
    /// For a till.
    Till(TillAnswer),
    /// For staff.
    Staff(Result<String, StaffRefusal>),
}

/// Why a wish of staff was not followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StaffRefusal {
    /// No vehicle waits there.
    NothingWaiting,
    /// The money is not what is due.
    AmountMismatch {
        /// What is due.
        due: Fen,
    },
}

/// A till's answer: stored, and given again for the same key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum TillAnswer {
    /// It is done.
    Applied {
        /// The transaction.
        transaction: OpId,
        /// Points earned.
        earned: Points,
        /// Points spent.
        spent: Points,
        /// What this box can still spend for the member.
        usable: Points,
        /// The stay and what it still owes.
        stay: Option<(StayId, Fen)>,
        /// Set when it is the stored answer for a repeated key.
        #[serde(skip)]
        replayed: bool,
    },
    /// It was refused and nothing happened.
    Refused {
        /// The problem's code, as in `docs/till-api.md`.
        code: String,
        /// What is wrong and what is allowed.
        detail: String,
    },
}

/// What a decision needs to know to name things.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ids {
    /// The box's name.
    pub box_id: String,
    /// The box's epoch.
    pub epoch: u32,
    /// The number that the journal entry of this decision will have.
    pub seq: u64,
}

impl Ids {
    /// The `n`th effect of this decision.
    pub fn op(&self, n: u32) -> OpId {
        OpId(format!("{}/{}/{}/{n}", self.box_id, self.epoch, self.seq))
    }

    /// The stay that this decision opens.
    pub fn stay(&self) -> StayId {
        StayId(format!("S{}-{}", self.epoch, self.seq))
    }
}

/// A decision: what to write, what to do, what to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Written in one transaction with every table that follows from them.
    pub records: Vec<Record>,
    /// Done only after the commit.
    pub actions: Vec<Action>,
    /// Given only after the commit.
    pub reply: Reply,
}

impl Decision {
    /// Nothing to write, nothing to do.
    pub fn nothing() -> Self {
        Self { records: Vec::new(), actions: Vec::new(), reply: Reply::Done }
    }
}

/// Points that a box may spend for a member, by grant, in the order in which they are spent.
pub type Purse = BTreeMap<GrantId, Points>;
