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

/// The head before any entry is where an epoch's chain begins; each entry links to the one before it.
#[derive(Clone, Debug)]
pub struct Chain {
    box_id: String,
    /// Entries taken in, of all epochs.
    pub entries: u64,
    /// The epoch of the newest one.
    pub epoch: u32,
    /// Its number in that epoch.
    pub seq: u64,
    /// The head after it.
    pub head: Head,
}

impl Chain {
    /// Before the first entry of a box's journal.
    pub fn new(box_id: &str) -> Self {
        Self { box_id: box_id.to_owned(), entries: 0, epoch: 0, seq: 0, head: [0; 32] }
    }

    /// Takes in the next entry, or says why it cannot be the next one.
    pub fn take(&mut self, epoch: u32, seq: u64, body: &[u8], head: &[u8]) -> Result<(), String> {
        let (number, before) =
            if epoch > self.epoch { (1, genesis(&self.box_id, epoch)) } else { (self.seq + 1, self.head) };
        if epoch < self.epoch || seq != number {
            let wanted = if epoch < self.epoch { self.epoch } else { epoch };
            return Err(format!("entry {number} of epoch {wanted} is missing; the next one is {seq} of epoch {epoch}"));
        }
        let linked = link(&before, body);
        if head != linked {
            return Err(format!("entry {seq} of epoch {epoch} does not link to the one before it"));
        }
        (self.epoch, self.seq, self.head) = (epoch, seq, linked);
        self.entries += 1;
        Ok(())
    }
}

/// What a verification found.
#[derive(Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Entries checked, of all epochs.
    pub entries: u64,
    /// How many epochs the journal has.
    pub epochs: u32,
    /// The head of the newest epoch's chain, in hex.
    pub head: String,
    /// Records that were passed over when the file was made again from a copy, as its journal says.
    pub passed_over: u64,
    /// Everything that is wrong, in words; empty where all is well.
    pub faults: Vec<String>,
}

/// How many faults are listed before the rest is only counted.
const FAULTS_LISTED: usize = 20;

/// Checks the chain of every epoch from its first entry and makes every table again from it, beside the stored ones.
pub fn verify(path: &Path) -> anyhow::Result<Verdict> {
    let stored = open(path)?;
    let mut again = Again::over(&stored)?;
    let mut rows = stored.prepare("SELECT entry, epoch, seq, body, head FROM journal ORDER BY entry")?;
    let mut rows = rows.query(())?;
    while let Some(row) = rows.next()? {
        let (entry, epoch, seq): (u64, u32, u64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let (body, head): (Vec<u8>, Vec<u8>) = (row.get(3)?, row.get(4)?);
        if !again.take(entry, epoch, seq, &body, &head)? {
            break;
        }
    }
    if again.faults.is_empty() && again.contradictions.is_empty() {
        compare_tables(&stored, &again.db, &mut again.faults)?;
    }
    let Again { chain, mut faults, epochs, passed_over, contradictions, .. } = again;
    faults.splice(0..0, contradictions);
    let more = faults.len().saturating_sub(FAULTS_LISTED);
    faults.truncate(FAULTS_LISTED);
    if more > 0 {
        faults.push(format!("… and {more} more"));
    }
    Ok(Verdict { entries: chain.entries, epochs, head: hex::encode(chain.head), passed_over, faults })
}

/// Opens a ledger file that nobody will change through this connection.
pub(super) fn open(path: &Path) -> anyhow::Result<Connection> {
    Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
        .with_context(|| format!("open the ledger {}", path.display()))
}

/// The tables, made again.
struct Again {
    db: Connection,
    chain: Chain,
    epochs: u32,
    passed_over: u64,
    /// Records that contradict those before them, until the journal itself speaks of them.
    contradictions: Vec<String>,
    faults: Vec<String>,
}

impl Again {
    fn over(stored: &Connection) -> anyhow::Result<Self> {
        let db = Connection::open_in_memory().context("open a scratch database")?;
        db.execute_batch(super::file::SCHEMA).context("make the tables again")?;
        db.execute_batch("BEGIN")?;
        let box_id: String = stored.query_row("SELECT box_id FROM box", (), |row| row.get(0))?;
        let first: u32 = stored.query_row("SELECT min(epoch) FROM epoch", (), |row| row.get(0))?;
        tables::found(&db, &box_id, first)?;
        let chain = Chain::new(&box_id);
        Ok(Self { db, chain, epochs: 0, passed_over: 0, contradictions: Vec::new(), faults: Vec::new() })
    }

    /// Whether the chain goes on.
    fn take(&mut self, entry: u64, epoch: u32, seq: u64, body: &[u8], head: &[u8]) -> anyhow::Result<bool> {
        let is_first = epoch != self.chain.epoch;
        if let Err(fault) = self.chain.take(epoch, seq, body, head) {
            self.faults.append(&mut self.contradictions);
            self.faults.push(fault);
            return Ok(false);
        }
        if entry != self.chain.entries {
            self.faults.push(format!("entry {} is missing; the next one is {entry}", self.chain.entries));
            return Ok(false);
        }
        self.epochs += u32::from(is_first);
        match serde_json::from_slice::<Entry>(body) {
            Ok(read) => self.apply(&read)?,
            Err(error) => self.faults.push(format!("entry {entry} cannot be read: {error}")),
        }
        Ok(true)
    }

    fn apply(&mut self, read: &Entry) -> anyhow::Result<()> {
        let entry = self.chain.entries;
        if self.epochs > 1 && self.chain.seq == 1 && !matches!(read.records.first(), Some(Record::EpochBegan { .. })) {
            self.faults.push(format!("entry {entry} is the first of its epoch and does not say so"));
        }
        if let Some(Record::EpochBegan { passed_over, .. }) = read.records.first()
            && *passed_over > 0
            && self.contradictions.len() as u64 == *passed_over
        {
            // The copy from which the file was made again had lost a branch; it was said, and these follow from it.
            self.passed_over += passed_over;
            self.contradictions.clear();
        }
        for (n, record) in (0..).zip(&read.records) {
            if let Some(why) = apply_or_pass_over(&self.db, entry, n, record)? {
                self.contradictions.push(format!("entry {entry} contradicts the entries before it: {why}"));
            }
        }
        Ok(())
    }
}

/// Applies a record whole, or passes it over whole and says why it does not fit what came before it.
pub(super) fn apply_or_pass_over(
    db: &Connection,
    entry: u64,
    n: u32,
    record: &Record,
) -> anyhow::Result<Option<String>> {
    db.prepare_cached("SAVEPOINT record")?.execute(())?;
    let why = tables::apply(db, entry, n, record).err().map(|error| error.to_string());
    if why.is_some() {
        db.prepare_cached("ROLLBACK TO record")?.execute(())?;
    }
    db.prepare_cached("RELEASE record")?.execute(())?;
    Ok(why)
}

/// Shows every read that brought pictures, with the number of its entry. The chain is not checked; [`verify`] does that.
pub fn each_read_with_photos(
    path: &Path,
    mut show: impl FnMut(u64, &PlateRead) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let stored = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
        .with_context(|| format!("open the ledger {}", path.display()))?;
    let mut rows = stored.prepare("SELECT seq, body FROM journal ORDER BY entry")?;
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
