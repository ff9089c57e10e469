//! Copies of the ledger file: a backup of one that is in use, one made again from its journal, and what can be saved of
//! a damaged one.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use rusqlite::backup::Backup;
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};
use serde::Serialize;

use super::journal::{self, Chain, Entry, Head};
use super::tables;

/// Pages copied at once: the loop waits for none of them, and a copy is begun anew only by what it writes meanwhile.
const BACKUP_PAGES: i32 = 512;
/// The pause between them.
const BACKUP_PAUSE: Duration = Duration::from_millis(2);
/// Entries that may be missing one after the other before a damaged file counts as read to its end.
const GAP_ENTRIES: u64 = 100_000;

/// One line of an export, as `docs/recovery.md` says it; a cloud ledger can be made again from such lines.
#[derive(Debug, Serialize)]
pub struct Line<'a> {
    /// The box's name.
    #[serde(rename = "box")]
    pub box_id: &'a str,
    /// The epoch.
    pub epoch: u32,
    /// The entry's number in it.
    pub seq: u64,
    /// The stored text.
    pub body: &'a str,
    /// The head after it, in hex.
    pub head: String,
}

/// Copies a ledger file that may be in use. What is copied is one moment of it. Gives the number of its entries.
pub fn backup(from: &Path, to: &Path) -> anyhow::Result<u64> {
    anyhow::ensure!(!to.exists(), "{} exists already; a backup never replaces a file", to.display());
    let source = journal::open(from)?;
    let unfinished = beside(to, ".unfinished");
    let mut copy = Connection::open(&unfinished).with_context(|| format!("make {}", unfinished.display()))?;
    let run = Backup::new(&source, &mut copy).context("begin the copy")?;
    run.run_to_completion(BACKUP_PAGES, BACKUP_PAUSE, None).context("copy the ledger")?;
    drop(run);
    // A single file, whole without a write-ahead log beside it.
    let mode: String = copy.query_row("PRAGMA journal_mode = DELETE", (), |row| row.get(0))?;
    anyhow::ensure!(mode == "delete", "the copy cannot be closed as one file");
    let entries = copy.query_row("SELECT count(*) FROM journal", (), |row| row.get(0))?;
    copy.close().map_err(|(_, error)| error).context("close the copy")?;
    put_in_place(&unfinished, to)?;
    Ok(entries)
}

/// Calls `write` with every entry of a journal, oldest first; stops where the chain breaks, and says so.
pub fn export(path: &Path, mut write: impl FnMut(&Line<'_>) -> anyhow::Result<()>) -> anyhow::Result<u64> {
    let stored = journal::open(path)?;
    let box_id: String = stored.query_row("SELECT box_id FROM box", (), |row| row.get(0))?;
    let mut chain = Chain::new(&box_id);
    let mut rows = stored.prepare("SELECT epoch, seq, body, head FROM journal ORDER BY entry")?;
    let mut rows = rows.query(())?;
    while let Some(row) = rows.next()? {
        let (epoch, seq, body, head): (u32, u64, Vec<u8>, Vec<u8>) =
            (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
        chain.take(epoch, seq, &body, &head).map_err(|fault| anyhow::anyhow!("{fault}; try journal salvage"))?;
        let body = std::str::from_utf8(&body).with_context(|| format!("read entry {seq} of epoch {epoch}"))?;
        write(&Line { box_id: &box_id, epoch, seq, body, head: hex::encode(head) })?;
    }
    Ok(chain.entries)
}

/// A ledger file that is being made again from the entries of its journal.
pub struct Remake {
    db: Connection,
    path: PathBuf,
    box_id: String,
    chain: Chain,
    passed_over: Vec<String>,
}

/// What was made again.
#[derive(Debug)]
pub struct Remade {
    /// Entries, of all epochs.
    pub entries: u64,
    /// The newest epoch.
    pub epoch: u32,
    /// Records that contradict those before them and were passed over, in words: they follow from a branch that this
    /// copy does not hold.
    pub passed_over: Vec<String>,
}

impl Remake {
    /// Begins beside `path`, where no ledger may be yet.
    pub fn begin(path: &Path, box_id: &str) -> anyhow::Result<Self> {
        anyhow::ensure!(!path.exists(), "{} exists already; move it away before it is made again", path.display());
        let unfinished = beside(path, ".unfinished");
        if unfinished.exists() {
            std::fs::remove_file(&unfinished).with_context(|| format!("remove {}", unfinished.display()))?;
        }
        let db = Connection::open(&unfinished).with_context(|| format!("make {}", unfinished.display()))?;
        // Nothing of it counts before it is put in place, whole.
        db.execute_batch("PRAGMA synchronous = OFF; PRAGMA journal_mode = OFF; PRAGMA foreign_keys = ON;")?;
        db.execute_batch(super::file::SCHEMA).context("make the tables")?;
        super::file::mark(&db)?;
        db.execute_batch("BEGIN")?;
        let (path, box_id) = (path.to_owned(), box_id.to_owned());
        let chain = Chain::new(&box_id);
        Ok(Self { db, path, box_id, chain, passed_over: Vec::new() })
    }

    /// Takes in the next entry of a copy.
    pub fn take(&mut self, epoch: u32, seq: u64, body: &str, head: &str) -> anyhow::Result<()> {
        if self.chain.entries == 0 {
            tables::found(&self.db, &self.box_id, epoch)?;
        }
        let head = hex::decode(head).context("read a head of the copy")?;
        self.chain.take(epoch, seq, body.as_bytes(), &head).map_err(|fault| anyhow::anyhow!("the copy: {fault}"))?;
        let entry = self.chain.entries;
        let sql = "INSERT INTO journal (entry, epoch, seq, body, head) VALUES (?1, ?2, ?3, ?4, ?5)";
        self.db.prepare_cached(sql)?.execute(params![entry, epoch, seq, body.as_bytes(), head])?;
        let read: Entry = serde_json::from_str(body)
            .with_context(|| format!("read entry {seq} of epoch {epoch}; is this version older than the box was?"))?;
        for (n, record) in (0..).zip(&read.records) {
            if let Some(why) = journal::apply_or_pass_over(&self.db, entry, n, record)? {
                self.passed_over.push(format!("entry {seq} of epoch {epoch}: {why}"));
            }
        }
        Ok(())
    }

    /// Entries taken in so far.
    pub fn entries(&self) -> u64 {
        self.chain.entries
    }

    /// Puts the file in place. The cloud ledger holds all of it.
    pub fn finish(self) -> anyhow::Result<Remade> {
        let Self { db, path, box_id, chain, passed_over } = self;
        if chain.entries == 0 {
            tables::found(&db, &box_id, super::file::FIRST_EPOCH)?;
        }
        for (name, value) in [("acknowledged", chain.entries), ("passed_over", passed_over.len() as u64)] {
            db.execute("INSERT INTO cloud_cursor (name, value) VALUES (?1, ?2)", params![name, value])?;
        }
        db.execute_batch("COMMIT").context("finish the ledger")?;
        db.close().map_err(|(_, error)| error).context("close the ledger")?;
        put_in_place(&beside(&path, ".unfinished"), &path)?;
        let epoch = chain.epoch.max(super::file::FIRST_EPOCH);
        Ok(Remade { entries: chain.entries, epoch, passed_over })
    }
}

/// What a salvage found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Salvaged {
    /// Entries that link to the one before them, from the first one on.
    pub proven: u64,
    /// Entries after a gap that link to a neighbour whose own place nobody can prove.
    pub loose: u64,
    /// What is not there or does not link, in words.
    pub lost: Vec<String>,
}

/// Reads what can be read of a damaged ledger file and calls `write` with every entry that links to the entry before it,
/// by what that one says of itself. Reads entry by entry, so that a damaged page costs only what stands on it.
pub fn salvage(
    path: &Path,
    box_id: Option<&str>,
    mut write: impl FnMut(&Line<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<Salvaged> {
    let db = open_damaged(path)?;
    let named: Option<String> = db.query_row("SELECT box_id FROM box", (), |row| row.get(0)).ok();
    let box_id =
        named.or(box_id.map(str::to_owned)).context("the file does not say whose it is; name it with --box")?;
    let mut found = Salvaged::default();
    let (mut entry, mut gap) = (0, 0);
    let mut before: Option<Before> = None;
    let mut is_proven = true;
    let newest: Option<u64> = db.query_row("SELECT max(entry) FROM journal", (), |row| row.get(0)).ok().flatten();
    while newest.map_or(gap < GAP_ENTRIES, |newest| entry < newest) {
        entry += 1;
        let Some(row) = read_entry(&db, entry) else {
            gap += 1;
            (before, is_proven) = (None, false);
            continue;
        };
        if gap > 0 {
            found.lost.push(format!("{gap} entries before entry {} of epoch {} cannot be read", row.seq, row.epoch));
            gap = 0;
        }
        let links = row.links_to(&box_id, before.as_ref());
        if links {
            if is_proven {
                found.proven += 1
            } else {
                found.loose += 1
            }
            let Row { epoch, seq, body, head } = &row;
            if let Ok(body) = std::str::from_utf8(body) {
                write(&Line { box_id: &box_id, epoch: *epoch, seq: *seq, body, head: hex::encode(head) })?;
            }
        } else {
            found.lost.push(format!("entry {} of epoch {} does not link to the one before it", row.seq, row.epoch));
            is_proven = false;
        }
        before = Some(Before { epoch: row.epoch, seq: row.seq, head: row.head });
    }
    if gap > 0 && newest.is_some() {
        found.lost.push(format!("the last {gap} entries cannot be read"));
    }
    Ok(found)
}

/// An entry as it stands in a file that may be damaged.
struct Row {
    epoch: u32,
    seq: u64,
    body: Vec<u8>,
    head: Head,
}

/// What the entry before says of itself.
struct Before {
    epoch: u32,
    seq: u64,
    head: Head,
}

impl Row {
    fn links_to(&self, box_id: &str, before: Option<&Before>) -> bool {
        let head = match before {
            _ if self.seq == 1 => journal::genesis(box_id, self.epoch),
            Some(before) if (before.epoch, before.seq + 1) == (self.epoch, self.seq) => before.head,
            Some(_) | None => return false,
        };
        journal::link(&head, &self.body) == self.head
    }
}

fn read_entry(db: &Connection, entry: u64) -> Option<Row> {
    let sql = "SELECT epoch, seq, body, head FROM journal WHERE entry = ?1";
    let row = db.query_row(sql, [entry], |row| {
        Ok(Row { epoch: row.get(0)?, seq: row.get(1)?, body: row.get(2)?, head: row.get(3)? })
    });
    row.optional().ok().flatten()
}

/// A damaged file is read as it stands, without a look at its log where that cannot be used.
fn open_damaged(path: &Path) -> anyhow::Result<Connection> {
    let is_usable = |db: &Connection| db.query_row("SELECT count(*) FROM sqlite_schema", (), |_| Ok(())).is_ok();
    if let Ok(db) = journal::open(path)
        && is_usable(&db)
    {
        return Ok(db);
    }
    let uri = format!("file:{}?immutable=1", path.display());
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    let db = Connection::open_with_flags(uri, flags).with_context(|| format!("open {}", path.display()))?;
    anyhow::ensure!(is_usable(&db), "{} is so damaged that its tables cannot be found", path.display());
    Ok(db)
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// A file counts only when all of it and its name are on the disk.
fn put_in_place(unfinished: &Path, path: &Path) -> anyhow::Result<()> {
    let put = || -> std::io::Result<()> {
        File::open(unfinished)?.sync_all()?;
        std::fs::rename(unfinished, path)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    };
    put().with_context(|| format!("put {} in place", path.display()))
}
