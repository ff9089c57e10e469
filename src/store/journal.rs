//! The hash chain: how an entry's head follows from the one before, and the proof that nothing was changed.

use std::path::Path;

use anyhow::Context;
use rusqlite::{Connection, OpenFlags};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::tables;
use crate::domain::event::{Input, PlateRead, Record, UtcMs};

/// The head of a chain: SHA-256 over the head before and the stored bytes.
pub type Head = [u8; 32];

/// One line of the journal: an input that mattered and what was decided.
#[derive(Debug, Deserialize)]
pub struct Entry {
    /// When it was decided.
    pub at_ms: UtcMs,
    /// Whether that time is known to be right.
    pub trusted: bool,
    /// What happened.
    pub input: Input,
    /// What was decided.
    pub records: Vec<Record>,
}

/// The same, borrowed, as it is written.
#[derive(Serialize)]
pub(super) struct EntryRef<'a> {
    pub at_ms: UtcMs,
    pub trusted: bool,
    pub input: &'a Input,
    pub records: &'a [&'a Record],
}

/// The head before the first entry of a box's epoch, as in `docs/cloud-api.md`.
pub fn genesis(box_id: &str, epoch: u32) -> Head {
    Sha256::digest(format!("gatepost-journal-v1\n{box_id}\n{epoch}")).into()
}

/// The head after an entry.
pub fn link(before: &Head, body: &[u8]) -> Head {
    let mut hasher = Sha256::new();
    hasher.update(before);
    hasher.update(body);
    hasher.finalize().into()
}

/// What a verification found.
#[derive(Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Entries checked.
    pub entries: u64,
    /// The head of the chain, in hex.
    pub head: String,
    /// Everything that is wrong, in words; empty where all is well.
    pub faults: Vec<String>,
}

/// How many faults are listed before the rest is only counted.
const FAULTS_LISTED: usize = 20;

/// Checks the chain from the first entry and makes every table again from it, beside the stored ones.
pub fn verify(path: &Path) -> anyhow::Result<Verdict> {
    let stored = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
        .with_context(|| format!("open the ledger {}", path.display()))?;
    let again = Connection::open_in_memory().context("open a scratch database")?;
    again.execute_batch(super::SCHEMA).context("make the tables again")?;
    again.execute_batch("BEGIN")?;
    let (box_id, epoch): (String, u32) =
        stored.query_row("SELECT box_id, epoch FROM box", (), |row| Ok((row.get(0)?, row.get(1)?)))?;
    let mut head = genesis(&box_id, epoch);
    let mut faults = Vec::new();
    let mut entries = 0;
    let mut rows = stored.prepare("SELECT seq, body, head FROM journal ORDER BY seq")?;
    let mut rows = rows.query(())?;
    while let Some(row) = rows.next()? {
        let (seq, body, stored_head): (u64, Vec<u8>, Vec<u8>) = (row.get(0)?, row.get(1)?, row.get(2)?);
        entries += 1;
        if seq != entries {
            faults.push(format!("entry {entries} is missing; the next one is {seq}"));
            break;
        }
        head = link(&head, &body);
        if stored_head != head {
            faults.push(format!("entry {seq} does not link to the one before it"));
            break;
        }
        match serde_json::from_slice::<Entry>(&body) {
            Ok(entry) => {
                for (n, record) in (0..).zip(&entry.records) {
                    if let Err(error) = tables::apply(&again, seq, n, record) {
                        faults.push(format!("entry {seq} contradicts the entries before it: {error}"));
                    }
                }
            }
            Err(error) => faults.push(format!("entry {seq} cannot be read: {error}")),
        }
    }
    if faults.is_empty() {
        compare_tables(&stored, &again, &mut faults)?;
    }
    let more = faults.len().saturating_sub(FAULTS_LISTED);
    faults.truncate(FAULTS_LISTED);
    if more > 0 {
        faults.push(format!("… and {more} more"));
    }
    Ok(Verdict { entries, head: hex::encode(head), faults })
}

/// Shows every read that brought pictures, with the number of its entry. The chain is not checked; [`verify`] does that.
pub fn each_read_with_photos(
    path: &Path,
    mut show: impl FnMut(u64, &PlateRead) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let stored = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
        .with_context(|| format!("open the ledger {}", path.display()))?;
    let mut rows = stored.prepare("SELECT seq, body FROM journal ORDER BY seq")?;
    let mut rows = rows.query(())?;
    while let Some(row) = rows.next()? {
        let (seq, body): (u64, Vec<u8>) = (row.get(0)?, row.get(1)?);
        let entry: Entry = serde_json::from_slice(&body).with_context(|| format!("read entry {seq}"))?;
        for record in &entry.records {
            if let Record::ReadTaken { read, .. } = record
                && read.photos.is_some()
            {
                show(seq, read)?;
            }
        }
    }
    Ok(())
}

fn compare_tables(stored: &Connection, again: &Connection, faults: &mut Vec<String>) -> anyhow::Result<()> {
    for table in tables::CONSEQUENCES {
        let (left, right) = (dump(stored, table)?, dump(again, table)?);
        let missing = right.iter().filter(|row| left.binary_search(row).is_err());
        faults.extend(missing.map(|row| format!("table {table} lacks {row}")));
        let foreign = left.iter().filter(|row| right.binary_search(row).is_err());
        faults.extend(foreign.map(|row| format!("table {table} holds {row}, which the journal does not say")));
    }
    Ok(())
}

/// A table's rows as sorted text.
fn dump(conn: &Connection, table: &str) -> anyhow::Result<Vec<String>> {
    let mut statement = conn.prepare(&format!("SELECT * FROM {table}"))?;
    let columns = statement.column_count();
    let mut rows = statement.query(())?;
    let mut lines = Vec::new();
    while let Some(row) = rows.next()? {
        let values: Result<Vec<String>, rusqlite::Error> =
            (0..columns).map(|n| row.get_ref(n).map(|value| format!("{value:?}"))).collect();
        lines.push(values?.join(", "));
    }
    lines.sort();
    Ok(lines)
}
