//! What staff put right in the books, and what came of it.

use serde::{Deserialize, Serialize};

use super::{Fen, OpId, StayId, UtcMs};
use crate::domain::benefit::{RestsOn, Use};
use crate::domain::plate::Plate;
use crate::domain::stay::Stay;
use crate::domain::tariff::Fee;

/// What staff put right in the books, with what they know it from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Correction {
    /// Who does it; already verified by the room that took the request.
    pub operator: String,
    /// Why.
    pub reason: String,
    /// What it is known from: a photo's name, a receipt, who saw it.
    pub evidence: String,
    /// What is put right.
    pub what: Wrong,
}

/// What was wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "wrong", rename_all = "snake_case")]
pub enum Wrong {
    /// The plate of a stay.
    Plate {
        /// Which stay.
        stay: StayId,
        /// The right one.
        plate: Plate,
    },
    /// When a stay began.
    Entry {
        /// Which stay.
        stay: StayId,
        /// When it did.
        entry: UtcMs,
    },
    /// Two stays are one visit: the first is where it began, the second where it ended.
    Merge {
        /// The one that began; it is void then.
        first: StayId,
        /// The one that stays.
        stay: StayId,
    },
    /// One open stay is two visits.
    Split {
        /// Which stay.
        stay: StayId,
        /// When the vehicle left without being seen.
        left: UtcMs,
        /// When it came again without being seen.
        back: UtcMs,
    },
    /// A stay's vehicle is not inside any more.
    Ended {
        /// Which stay.
        stay: StayId,
    },
    /// A limit that only two persons go beyond kept a stay from a benefit.
    Approved {
        /// Which stay.
        stay: StayId,
        /// The limit's name in the bundle.
        limit: String,
        /// The second person, already verified.
        second: String,
    },
    /// How many vehicles are inside.
    Count {
        /// The inner lot; none: the car park outside of its inner lots.
        zone: Option<String>,
        /// How many were counted.
        vehicles: u32,
    },
}

/// Two persons let a stay go beyond a limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// Which stay.
    pub stay: StayId,
    /// The limit's name in the bundle.
    pub limit: String,
    /// Who.
    pub operator: String,
    /// And who agreed.
    pub second: String,
    /// Why.
    pub reason: String,
    /// What it is known from.
    pub evidence: String,
}

/// A stay that was put right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Corrected {
    /// The effect's id.
    pub op: OpId,
    /// The whole stay, as it is now.
    pub stay: Stay,
    /// When it left, where it has.
    pub exit: Option<UtcMs>,
    /// For which moment it was reckoned, where it has left.
    pub at: Option<UtcMs>,
    /// What it costs, where it has left.
    pub fee: Option<Fee>,
    /// What the fee rested on besides, where the rules have benefits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rests_on: Option<Box<RestsOn>>,
    /// What it used up of benefits, in place of what was used before, where it has left; journals from before a correction
    /// moved benefits do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uses: Option<Vec<Use>>,
    /// What the fee rose by; below 0, what it fell by.
    pub difference: Fen,
    /// The money that goes back to the driver.
    pub refund: Fen,
    /// Who did it.
    pub operator: String,
    /// Why.
    pub reason: String,
    /// What it is known from.
    pub evidence: String,
}
