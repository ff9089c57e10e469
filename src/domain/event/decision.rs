//! What a decision is: records for the journal, actions for the devices, a reply for the one who asked.

use serde::{Deserialize, Serialize};

use super::{BusinessDay, CommandId, Fen, Input, LaneId, OpId, Points, Record, StayId, TillDone};
use crate::domain::plate::Plate;

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
    /// Let a lane's arm down.
    Lower {
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
    /// For a driver without a plate: the number of the ticket.
    Ticket(Plate),
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
    /// The vehicle that waits is not known to be that stay.
    NotPossible,
    /// So much is let go only by two persons.
    SecondNeeded {
        /// What would be let go.
        fen: Fen,
    },
    /// The books cannot be put right in that way.
    NotThatWay {
        /// Why, and what is allowed.
        why: String,
    },
    /// So many points are given by hand only with a second person.
    PointsSecondNeeded {
        /// How many.
        points: Points,
    },
    /// This box's journal holds no such spend: only the cloud ledger can undo it.
    SpentElsewhere,
    /// The spend is of an epoch of this box that has ended: the cloud ledger undoes it.
    EpochEnded,
    /// What it paid for is being settled at a lane at this moment.
    BusyAtLane,
    /// The rules are not put in force.
    RulesRefused {
        /// Why, and what is allowed.
        why: String,
    },
    /// The day is not closed.
    DayRefused {
        /// The day that has to be closed before it; none: it is not over itself.
        first: Option<BusinessDay>,
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
        /// The same sale that came by another way before and has earned; this one earns nothing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        duplicate_of: Option<OpId>,
        /// Set when it is the stored answer for a repeated key.
        #[serde(skip)]
        replayed: bool,
    },
    /// Something else than a commit is done.
    Done {
        /// What.
        done: TillDone,
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
