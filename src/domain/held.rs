//! What the store says of the ledger's leave, of a place in the journal, and of a spend that may be undone.

use super::event::{Fen, MemberId, OpId, Points, StayId, UtcMs};
use super::points::Part;
use super::stay::StayState;

/// The ledger's leave to spend points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Until when, by the ledger's time.
    pub until_ms: UtcMs,
    /// How late it is at least, by the ledger's time.
    pub latest_ms: UtcMs,
}

/// Where an epoch's entry is in the ledger file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// The file does not know that epoch, which is an older one, or nothing was asked.
    #[default]
    Unknown,
    /// It is here.
    Held {
        /// Its number, counted through all epochs of the file.
        entry: u64,
        /// The head after it, in hex.
        head: String,
    },
    /// The journal ends before it.
    Beyond,
}

/// A spend in this box's journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpendFacts {
    /// The spend.
    pub op: OpId,
    /// Whose points.
    pub member: MemberId,
    /// How many were taken.
    pub taken: Points,
    /// How many of them are not undone.
    pub points: Points,
    /// What those paid.
    pub fen: Fen,
    /// From which grants those are.
    pub parts: Vec<Part>,
    /// For which stay, if any.
    pub stay: Option<StayId>,
    /// The state of that stay.
    pub stay_state: Option<StayState>,
    /// Whether all of it was undone before.
    pub is_reversed: bool,
    /// Whether its grants are of the epoch in which this box now works.
    pub is_of_this_epoch: bool,
}
