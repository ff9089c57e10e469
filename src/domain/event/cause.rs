//! The words of the records: how sure, why, who, with what, and what became of a read.

use serde::{Deserialize, Serialize};

use super::{MemberId, TerminalId};

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
    /// The site lets vehicles go and books what they owe.
    Debt,
    /// It may drive into or out of an inner lot.
    Zone,
    /// The vehicle still stands there after an uncertain raise, and a fresh read proves it.
    StillThere,
    /// A fire alarm or a guard's emergency holds every barrier up.
    Emergency,
    /// A vehicle is on a loop that holds the arm up.
    HeldByLoop,
    /// Something came under an arm that was on its way down.
    SafetyLoop,
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
    /// A camera's last word on a vehicle that it had lost from sight, and of which nothing was heard before; kept for
    /// staff.
    Lost,
    /// It drives away, by what the camera says of its direction; kept for staff.
    DrivesAway,
    /// No plate in it.
    NoPlate,
    /// Seen while an emergency held the barrier up.
    Emergency,
}
