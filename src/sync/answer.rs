//! What the cloud ledger answers, as `docs/cloud-api.md` says it.

use serde::Deserialize;
use serde_json::Value;

use crate::domain::event::{FeedChange, GrantId, Points, UtcMs};
use crate::domain::points::Lot;

/// How far the ledger is in an epoch.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Cursor {
    /// The epoch.
    pub epoch: u32,
    /// The newest entry applied.
    pub seq: u64,
    /// The head after it.
    #[serde(default)]
    pub head: String,
}

/// The answer to a greeting.
#[derive(Debug, Deserialize)]
pub struct Hello {
    /// What the ledger thinks of this journal.
    pub verdict: Verdict,
    /// The box's epoch as the ledger knows it.
    pub epoch: u32,
    /// How far the ledger is.
    pub cursor: Cursor,
    /// The leave to spend points.
    pub lease: Option<Lease>,
    /// Grants that are wanted back.
    #[serde(default)]
    pub recalls: Vec<GrantId>,
    pub(super) wants: Option<Wants>,
    #[serde(default)]
    pub(super) signature: String,
}

/// A leave to spend points.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Lease {
    /// For how long, in milliseconds.
    pub length_ms: i64,
    /// From when on: the ledger's time now.
    pub server_ms: UtcMs,
}

#[derive(Debug, Deserialize)]
pub(super) struct Wants {
    pub(super) epoch: u32,
}

/// What the ledger thinks of this journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It goes on from what the ledger holds.
    Ok,
    /// It is shorter than what the ledger holds.
    Behind,
    /// It tells another history.
    Fork,
    /// Its epoch has ended.
    WrongEpoch,
}

impl Verdict {
    pub(super) fn word(self) -> &'static str {
        match self {
            Verdict::Ok => "ok",
            Verdict::Behind => "behind",
            Verdict::Fork => "fork",
            Verdict::WrongEpoch => "wrong-epoch",
        }
    }
}

/// A page of the feed.
#[derive(Debug)]
pub(super) struct Page {
    pub changes: Vec<FeedChange>,
    pub next: u64,
    pub more: bool,
}

/// A new epoch.
#[derive(Debug, Deserialize)]
pub struct NewEpoch {
    pub(super) ended: u32,
    /// The epoch.
    pub epoch: u32,
    /// How far its journal is held: a box takes only an epoch of which nothing is.
    pub cursor: Cursor,
    #[serde(default)]
    pub(super) signature: String,
}

/// A page of a stored journal.
#[derive(Debug, Deserialize)]
pub struct StoredPage {
    /// The entries.
    pub entries: Vec<StoredEntry>,
    /// Whether the next page is not empty.
    pub more: bool,
}

/// An entry as the ledger holds it.
#[derive(Debug, Deserialize)]
pub struct StoredEntry {
    /// Its number in its epoch.
    pub seq: u64,
    /// The stored text.
    pub body: String,
    /// The head after it.
    pub head: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Enrolled {
    pub(super) epoch: u32,
    pub(super) ledger_key: String,
    pub(super) cursor: Cursor,
    #[serde(default)]
    pub(super) signature: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Granted {
    pub(super) grants: Vec<SignedGrant>,
}

#[derive(Debug, Deserialize)]
pub(super) struct SignedGrant {
    pub(super) grant: GrantId,
    pub(super) points: Points,
    pub(super) lot: Lot,
    #[serde(default)]
    pub(super) signature: String,
}

#[derive(Deserialize)]
pub(super) struct Applied {
    pub(super) cursor: Cursor,
    #[serde(default)]
    pub(super) signature: String,
}

#[derive(Deserialize)]
pub(super) struct RawPage {
    pub(super) changes: Vec<Value>,
    pub(super) next: u64,
    pub(super) more: bool,
}

#[derive(Deserialize)]
pub(super) struct Epochs {
    pub(super) epochs: Vec<Cursor>,
}

#[derive(Deserialize)]
pub(super) struct Problem {
    #[serde(default)]
    pub(super) code: String,
    #[serde(default)]
    pub(super) detail: String,
    pub(super) cursor: Option<Cursor>,
}
