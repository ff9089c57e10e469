//! The database file: its tables, the checks that the database itself holds, and the postings to a member's account.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction, TransactionBehavior, params};

/// Marks the file as this ledger's ("GPCL").
const APPLICATION_ID: i64 = 0x4750_434c;

/// The version of the tables below.
const SCHEMA_VERSION: i64 = 1;

/// How long a second process on the same file (the `verify` command) may keep the writer waiting.
const BUSY_WAIT: Duration = Duration::from_secs(10);

/// Nothing here is ever deleted except what a removed member was called: journals, ops and requests stay for ever,
/// because a box may come back after weeks and repeat itself.
const SCHEMA: &str = "
CREATE TABLE box (
    name  TEXT PRIMARY KEY,
    epoch INTEGER NOT NULL CHECK (epoch >= 0)
) STRICT, WITHOUT ROWID;

CREATE TABLE cursor (
    box   TEXT NOT NULL REFERENCES box (name),
    epoch INTEGER NOT NULL CHECK (epoch >= 0),
    seq   INTEGER NOT NULL CHECK (seq >= 0),
    head  BLOB NOT NULL CHECK (length(head) = 32),
    PRIMARY KEY (box, epoch)
) STRICT, WITHOUT ROWID;

-- `arrival` is the order in which entries of all boxes were applied: the order in which `verify` repeats them.
CREATE TABLE entry (
    arrival INTEGER PRIMARY KEY,
    box     TEXT NOT NULL,
    epoch   INTEGER NOT NULL,
    seq     INTEGER NOT NULL CHECK (seq >= 1),
    body    TEXT NOT NULL,
    head    BLOB NOT NULL CHECK (length(head) = 32),
    UNIQUE (box, epoch, seq),
    FOREIGN KEY (box, epoch) REFERENCES cursor (box, epoch)
) STRICT;

-- What is available is credited - debited - escrow; the check is the promise that it is never negative.
CREATE TABLE account (
    member   TEXT PRIMARY KEY,
    credited INTEGER NOT NULL DEFAULT 0 CHECK (credited >= 0),
    debited  INTEGER NOT NULL DEFAULT 0 CHECK (debited >= 0),
    escrow   INTEGER NOT NULL DEFAULT 0 CHECK (escrow >= 0),
    version  INTEGER NOT NULL DEFAULT 0 CHECK (version >= 0),
    CHECK (debited + escrow <= credited)
) STRICT, WITHOUT ROWID;

CREATE TABLE member (
    id             TEXT PRIMARY KEY REFERENCES account (member),
    handle         TEXT NOT NULL,
    tier           TEXT NOT NULL,
    consent_plates INTEGER NOT NULL CHECK (consent_plates IN (0, 1))
) STRICT, WITHOUT ROWID;

CREATE TABLE plate (
    plate    TEXT PRIMARY KEY,
    member   TEXT NOT NULL REFERENCES member (id),
    position INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX plate_member ON plate (member);

CREATE TABLE code (
    code     TEXT PRIMARY KEY,
    member   TEXT NOT NULL REFERENCES member (id),
    position INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX code_member ON code (member);

-- Every request for a grant with its answer. A request that got nothing has no grant.
CREATE TABLE grant_request (
    number   INTEGER PRIMARY KEY,
    box      TEXT NOT NULL REFERENCES box (name),
    request  TEXT NOT NULL,
    epoch    INTEGER NOT NULL,
    member   TEXT NOT NULL REFERENCES account (member),
    asked    INTEGER NOT NULL CHECK (asked >= 1),
    granted  INTEGER NOT NULL CHECK (granted BETWEEN 0 AND asked),
    grant_id TEXT UNIQUE,
    UNIQUE (box, request),
    CHECK ((granted > 0) = (grant_id IS NOT NULL))
) STRICT;

-- Points reserved for one box and epoch: grants, and what the box earned for a member (`born:<member>`).
CREATE TABLE escrow (
    box      TEXT NOT NULL,
    epoch    INTEGER NOT NULL,
    grant_id TEXT NOT NULL,
    member   TEXT NOT NULL REFERENCES account (member),
    amount   INTEGER NOT NULL CHECK (amount >= 0),
    spent    INTEGER NOT NULL DEFAULT 0 CHECK (spent >= 0),
    returned INTEGER NOT NULL DEFAULT 0 CHECK (returned >= 0),
    accepted INTEGER NOT NULL DEFAULT 0 CHECK (accepted IN (0, 1)),
    PRIMARY KEY (box, epoch, grant_id),
    CHECK (spent + returned <= amount),
    FOREIGN KEY (box, epoch) REFERENCES cursor (box, epoch)
) STRICT, WITHOUT ROWID;

-- What boxes said they spent or returned beyond what was reserved for them: a loss for people to settle.
CREATE TABLE excess (
    box      TEXT NOT NULL,
    epoch    INTEGER NOT NULL,
    seq      INTEGER NOT NULL,
    record   INTEGER NOT NULL,
    part     INTEGER NOT NULL,
    what     TEXT NOT NULL CHECK (what IN ('spent', 'returned')),
    member   TEXT NOT NULL,
    grant_id TEXT NOT NULL,
    points   INTEGER NOT NULL CHECK (points > 0),
    PRIMARY KEY (box, epoch, seq, record, part),
    FOREIGN KEY (box, epoch) REFERENCES cursor (box, epoch)
) STRICT, WITHOUT ROWID;

CREATE TABLE op (
    op     TEXT PRIMARY KEY,
    box    TEXT NOT NULL,
    epoch  INTEGER NOT NULL,
    seq    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE credit (
    op     TEXT PRIMARY KEY,
    member TEXT NOT NULL REFERENCES account (member),
    points INTEGER NOT NULL CHECK (points > 0),
    reason TEXT NOT NULL,
    at_ms  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE online_spend (
    op     TEXT PRIMARY KEY,
    member TEXT NOT NULL REFERENCES account (member),
    points INTEGER NOT NULL CHECK (points > 0),
    at_ms  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The same words about the same entry are one alarm, however often a box repeats itself.
CREATE TABLE alarm (
    number INTEGER PRIMARY KEY,
    box    TEXT NOT NULL REFERENCES box (name),
    epoch  INTEGER NOT NULL,
    seq    INTEGER NOT NULL,
    code   TEXT NOT NULL,
    text   TEXT NOT NULL,
    at_ms  INTEGER NOT NULL,
    UNIQUE (box, epoch, seq, code, text)
) STRICT;

-- `content` is the member as JSON, or null where the member was removed.
CREATE TABLE change (
    change  INTEGER PRIMARY KEY,
    member  TEXT NOT NULL,
    content TEXT
) STRICT;
";

/// A member's three sums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Points that the member ever got.
    pub credited: i64,
    /// Points that are gone.
    pub debited: i64,
    /// Points reserved for boxes and not yet spent or returned.
    pub escrow: i64,
}

impl Sums {
    /// What can be granted or spent online.
    pub fn available(self) -> i64 {
        self.credited - self.debited - self.escrow
    }
}

/// Opens the file for the ledger, makes it where it is missing, and reads back that commits will last.
pub fn open(path: &Path) -> anyhow::Result<Connection> {
    let mut db = Connection::open(path).with_context(|| format!("open the database {}", path.display()))?;
    db.busy_timeout(BUSY_WAIT)?;
    // A file that is somebody else's is not even switched to another journal mode.
    expect_ours_or_new(&db, path)?;
    settle(&db).with_context(|| format!("set up the database {}", path.display()))?;
    let tx = begin(&mut db)?;
    if expect_ours_or_new(&tx, path)? {
        tx.execute_batch(SCHEMA).context("make the tables")?;
        tx.pragma_update(None, "application_id", APPLICATION_ID)?;
        tx.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    }
    tx.commit().context("make the tables")?;
    Ok(db)
}

/// Opens an existing file of the ledger for reading only.
pub fn open_for_reading(path: &Path) -> anyhow::Result<Connection> {
    // A database in WAL mode needs its shared-memory file, so the file is opened for writing and then held to reading.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db =
        Connection::open_with_flags(path, flags).with_context(|| format!("open the database {}", path.display()))?;
    db.busy_timeout(BUSY_WAIT)?;
    db.pragma_update(None, "query_only", true)?;
    ensure!(!expect_ours_or_new(&db, path)?, "{} is empty", path.display());
    Ok(db)
}

/// Begins a transaction that holds the right to write from its first statement, so that what it reads stays true.
pub fn begin(db: &mut Connection) -> rusqlite::Result<Transaction<'_>> {
    db.transaction_with_behavior(TransactionBehavior::Immediate)
}

/// The sums of a member, if there is an account.
pub fn sums(db: &Connection, member: &str) -> rusqlite::Result<Option<Sums>> {
    db.prepare_cached("SELECT credited, debited, escrow FROM account WHERE member = ?1")?
        .query_row([member], |row| Ok(Sums { credited: row.get(0)?, debited: row.get(1)?, escrow: row.get(2)? }))
        .optional()
}

/// Makes the account if it is missing; says whether it was.
pub fn ensure_account(db: &Connection, member: &str) -> rusqlite::Result<bool> {
    let made =
        db.prepare_cached("INSERT INTO account (member) VALUES (?1) ON CONFLICT DO NOTHING")?.execute([member])?;
    Ok(made == 1)
}

/// Adds `change` to a member's sums. The table's check refuses what would make the available points negative.
pub fn post(db: &Connection, member: &str, change: Sums) -> rusqlite::Result<()> {
    let posted = db
        .prepare_cached(
            "UPDATE account SET credited = credited + ?2, debited = debited + ?3, escrow = escrow + ?4
             WHERE member = ?1",
        )?
        .execute(params![member, change.credited, change.debited, change.escrow])?;
    assert_eq!(posted, 1, "an account is made before it is posted to");
    Ok(())
}

/// Settings of the connection; those that make a commit last are read back.
fn settle(db: &Connection) -> anyhow::Result<()> {
    let mode: String = db.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    ensure!(mode == "wal", "the file system does not allow a write-ahead log (journal_mode is {mode})");
    db.pragma_update(None, "synchronous", "FULL")?;
    db.pragma_update(None, "foreign_keys", true)?;
    let synchronous: i64 = db.pragma_query_value(None, "synchronous", |row| row.get(0))?;
    let foreign_keys: bool = db.pragma_query_value(None, "foreign_keys", |row| row.get(0))?;
    ensure!(synchronous == 2, "synchronous is {synchronous}, not FULL");
    ensure!(foreign_keys, "foreign keys are not checked");
    Ok(())
}

/// Whether the file is new and empty; an error where it is not this ledger's.
fn expect_ours_or_new(db: &Connection, path: &Path) -> anyhow::Result<bool> {
    let path = path.display();
    let read = |name| db.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let application = read("application_id").with_context(|| format!("read {path} as a database"))?;
    let version = read("user_version")?;
    let tables: i64 = db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables == 0 && application == 0 {
        return Ok(true);
    }
    ensure!(application == APPLICATION_ID, "{path} is a database, but not one of a cloud ledger");
    ensure!(
        version == SCHEMA_VERSION,
        "{path} has tables of version {version}; this program knows version {SCHEMA_VERSION}"
    );
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_database_itself_refuses_to_give_points_twice() {
        let place = tempfile::tempdir().unwrap();
        let db = open(&place.path().join("cloud.db")).unwrap();
        ensure_account(&db, "M1").unwrap();
        post(&db, "M1", Sums { credited: 100, ..Sums::default() }).unwrap();
        post(&db, "M1", Sums { escrow: 60, ..Sums::default() }).unwrap();
        assert!(post(&db, "M1", Sums { debited: 41, ..Sums::default() }).is_err());
        assert_eq!(sums(&db, "M1").unwrap().map(Sums::available), Some(40));
    }

    #[test]
    fn a_foreign_database_is_left_alone() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("other.db");
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (a)").unwrap();
        let refused = open(&path).unwrap_err().to_string();
        assert!(refused.contains("not one of a cloud ledger"), "{refused}");
        assert!(open_for_reading(&path).is_err());
        assert!(open_for_reading(&place.path().join("missing.db")).is_err());
        assert!(!place.path().join("missing.db").exists());
    }

    #[test]
    fn a_newer_database_is_not_touched() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("cloud.db");
        open(&path).unwrap().pragma_update(None, "user_version", 2).unwrap();
        let refused = open(&path).unwrap_err().to_string();
        assert!(refused.contains("version 2"), "{refused}");
    }
}
