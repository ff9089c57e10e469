//! What a box that lost its disk gets back: how far each of its journals is held, and the stored entries.

use serde::Serialize;

use crate::boxes::{Hold, standing};
use crate::db::Row;
use crate::journal::Head;
use crate::ledger::{Ledger, Refusal, check_limit};
use crate::upload::ENTRIES_MAX;
use crate::values;

/// How many bytes of bodies one page brings, unless its first entry alone is larger.
const PAGE_BYTES: usize = 4 * 1024 * 1024;

/// The journals of a box.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Epochs {
    /// By epoch.
    pub epochs: Vec<EpochView>,
}

/// How far the journal of one epoch is held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EpochView {
    /// The epoch.
    pub epoch: u32,
    /// Its newest entry.
    pub seq: i64,
    /// That entry's head.
    pub head: Head,
    /// How many entries are held.
    pub entries: i64,
}

/// A stretch of a stored journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct JournalPage {
    /// The epoch.
    pub epoch: u32,
    /// In order, strictly after what was asked.
    pub entries: Vec<StoredEntry>,
    /// Whether there are more after the last one.
    pub more: bool,
}

/// An entry as the box wrote it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StoredEntry {
    /// Its number.
    pub seq: i64,
    /// The exact text that was hashed.
    pub body: String,
    /// The head after it.
    pub head: Head,
}

/// Entries beside a journal, in the order in which they came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BranchPage {
    /// Strictly after what was asked.
    pub entries: Vec<BranchEntry>,
    /// Whether there are more after the last one.
    pub more: bool,
}

/// An entry beside a journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BranchEntry {
    /// Counts all such entries.
    pub number: i64,
    /// The entry.
    #[serde(flatten)]
    pub entry: StoredEntry,
}

impl Ledger {
    /// How far each journal of a box is held.
    pub fn epochs(&self, box_name: &str) -> Result<Epochs, Refusal> {
        self.database.read(|tx| {
            standing(tx, box_name, Hold::Not)?;
            let rows =
                tx.rows("SELECT epoch, seq, head FROM cursor WHERE box = $1 ORDER BY epoch", values![box_name])?;
            let epoch = |row: &Row| {
                let (epoch, seq, head) = (row.epoch(0), row.int(1), Head(row.hash(2)));
                // A journal has no holes: its newest entry's number is how many there are.
                EpochView { epoch, seq, head, entries: seq }
            };
            Ok(Epochs { epochs: rows.iter().map(epoch).collect() })
        })
    }

    /// At most `limit` stored entries after number `after`.
    pub fn journal_page(&self, box_name: &str, epoch: u32, after: i64, limit: usize) -> Result<JournalPage, Refusal> {
        check_limit(limit, ENTRIES_MAX)?;
        self.database.read(|tx| {
            standing(tx, box_name, Hold::Not)?;
            let rows = tx.rows(
                "SELECT seq, body, head FROM entry WHERE box = $1 AND epoch = $2 AND seq > $3 ORDER BY seq LIMIT $4",
                values![box_name, epoch, after, limit + 1],
            )?;
            let (mut entries, mut bytes) = (Vec::new(), 0);
            for row in rows.iter().take(limit) {
                let entry = StoredEntry { seq: row.int(0), body: row.text(1), head: Head(row.hash(2)) };
                bytes += entry.body.len();
                if bytes > PAGE_BYTES && !entries.is_empty() {
                    break;
                }
                entries.push(entry);
            }
            let more = entries.len() < rows.len();
            Ok(JournalPage { epoch, entries, more })
        })
    }

    /// At most `limit` entries beside the journal of an epoch, after number `after`.
    pub fn branch_page(&self, box_name: &str, epoch: u32, after: i64, limit: usize) -> Result<BranchPage, Refusal> {
        check_limit(limit, ENTRIES_MAX)?;
        self.database.read(|tx| {
            standing(tx, box_name, Hold::Not)?;
            let rows = tx.rows(
                "SELECT number, seq, body, head FROM branch_entry
                 WHERE box = $1 AND epoch = $2 AND number > $3 ORDER BY number LIMIT $4",
                values![box_name, epoch, after, limit + 1],
            )?;
            let entry = |row: &Row| BranchEntry {
                number: row.int(0),
                entry: StoredEntry { seq: row.int(1), body: row.text(2), head: Head(row.hash(3)) },
            };
            Ok(BranchPage { entries: rows.iter().take(limit).map(entry).collect(), more: rows.len() > limit })
        })
    }
}
