//! How a member was shown to the box: by the signed code of a phone, by a code that stays the same, or by a plate.

use serde::{Deserialize, Serialize};

use super::{LaneId, MemberId, TerminalId, UtcMs};

/// How a member was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Shown {
    /// A code that the member's phone signed for one time step of 30 seconds, counted from 1970-01-01T00:00:00Z.
    Code {
        /// The step.
        step: u64,
    },
    /// A code that stays the same, so that anybody may have copied it: good for earning alone.
    Fixed,
    /// A plate that somebody typed.
    Plate,
}

/// A member was shown before anything is bought.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberShown {
    /// Where.
    pub at: ShownAt,
    /// Who.
    pub member: MemberId,
    /// How.
    pub shown: Shown,
}

/// Where a member was shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "place", rename_all = "snake_case")]
pub enum ShownAt {
    /// At a till.
    Till {
        /// Which.
        terminal: TerminalId,
    },
    /// At a lane, where a vehicle stands.
    Lane {
        /// Which.
        lane: LaneId,
    },
}

impl ShownAt {
    /// One text for each place.
    pub fn name(&self) -> String {
        match self {
            ShownAt::Till { terminal } => terminal.0.clone(),
            ShownAt::Lane { lane } => format!("lane:{lane}"),
        }
    }
}

/// A phone's code was used: no other place takes it again, and it pays once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodeUse {
    /// Whose.
    pub member: MemberId,
    /// Of which step.
    pub step: u64,
    /// Where it was shown first.
    pub place: String,
    /// When, by this box's clock.
    pub at: UtcMs,
    /// Whether points were spent on it.
    pub paid: bool,
}
