//! One SQLite file: one connection that writes, one that reads, and settings that make a commit last.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, ensure};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::{Engine, Error, Row, SCHEMA_VERSION, Tx, Value, schema, with_lists};
use crate::Refusal;

/// Marks the file as this ledger's ("GPCL").
const APPLICATION_ID: i64 = 0x4750_434c;

/// How long a second process on the same file (the `verify` command) may keep the writer waiting.
const BUSY_WAIT: Duration = Duration::from_secs(10);

/// How many prepared statements a connection keeps: all that the ledger has.
const STATEMENTS: usize = 200;

/// An open file.
pub struct File {
    path: PathBuf,
    writer: Mutex<Connection>,
    reader: Mutex<Connection>,
}

impl File {
    pub fn open(path: &Path, make: bool) -> anyhow::Result<Self> {
        if !make {
            // Opening it for writing would make a file where there is none.
            open_for_reading(path)?;
        }
        let writer = open(path)?;
        let reader = open_for_reading(path)?;
        Ok(Self { path: path.to_owned(), writer: Mutex::new(writer), reader: Mutex::new(reader) })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The right to write is taken before the first statement, so that what is read stays true. After a panic the
    /// transaction was rolled back, so the connection is as good as before.
    pub fn write<T>(&self, work: impl FnOnce(&mut Tx<'_>) -> Result<T, Refusal>) -> Result<T, Refusal> {
        let mut db = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let tx = db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(Error::from)?;
        let done = work(&mut Tx { engine: Engine::Sqlite(&tx) })?;
        tx.commit().map_err(Error::from)?;
        Ok(done)
    }

    /// Reading never waits for a commit.
    pub fn read<T>(&self, work: impl FnOnce(&mut Tx<'_>) -> Result<T, Refusal>) -> Result<T, Refusal> {
        let mut db = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        let tx = db.transaction().map_err(Error::from)?;
        work(&mut Tx { engine: Engine::Sqlite(&tx) })
    }

    pub fn pages(&self) -> Result<Vec<String>, Refusal> {
        self.read(|tx| {
            let found = tx.rows("PRAGMA integrity_check(20)", &[])?;
            Ok(found.iter().map(|row| row.text(0)).filter(|text| text != "ok").collect())
        })
    }
}

pub fn rows(db: &Connection, sql: &str, values: &[Value]) -> Result<Vec<Row>, Error> {
    let mut statement = db.prepare_cached(&spoken(sql))?;
    let columns = statement.column_count();
    let read = |row: &rusqlite::Row<'_>| (0..columns).map(|column| value(row, column)).collect::<Result<_, _>>();
    let rows = statement.query_map(rusqlite::params_from_iter(values), |row| read(row).map(Row))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub fn run(db: &Connection, sql: &str, values: &[Value]) -> Result<u64, Error> {
    Ok(db.prepare_cached(&spoken(sql))?.execute(rusqlite::params_from_iter(values))? as u64)
}

/// Row by row: here a statement costs no journey.
pub fn each(db: &Connection, sql: &str, each: &[Vec<Value>]) -> Result<Vec<Row>, Error> {
    let columns: Vec<String> = (1..=each[0].len()).map(|number| format!("${number}")).collect();
    // "WHERE true" keeps ON CONFLICT from being read as a join.
    let sql = sql.replace("{rows}", &format!("SELECT {} WHERE true", columns.join(", ")));
    let mut answered = Vec::new();
    for row in each {
        answered.extend(rows(db, &sql, row)?);
    }
    Ok(answered)
}

/// The statement as SQLite says it.
fn spoken(sql: &str) -> String {
    let sql = sql.replace("{lock}", "").replace("{share}", "");
    with_lists(&sql, |value| format!("IN (SELECT value FROM json_each({value}))")).replace('$', "?")
}

fn value(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Value> {
    Ok(match row.get_ref(column)? {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Int(number),
        ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(bytes) => Value::Bytes(bytes.to_owned()),
        ValueRef::Real(_) => unreachable!("the tables are strict and hold no such numbers"),
    })
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        Self { text: error.to_string(), is_retryable: false }
    }
}

fn open(path: &Path) -> anyhow::Result<Connection> {
    let mut db = Connection::open(path).with_context(|| format!("open the database {}", path.display()))?;
    db.busy_timeout(BUSY_WAIT)?;
    db.set_prepared_statement_cache_capacity(STATEMENTS);
    // A file that is somebody else's is not even switched to another journal mode.
    expect_ours_or_new(&db, path)?;
    settle(&db).with_context(|| format!("set up the database {}", path.display()))?;
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if expect_ours_or_new(&tx, path)? {
        tx.execute_batch(&schema::for_sqlite()).context("make the tables")?;
        tx.pragma_update(None, "application_id", APPLICATION_ID)?;
        tx.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    }
    tx.commit().context("make the tables")?;
    Ok(db)
}

fn open_for_reading(path: &Path) -> anyhow::Result<Connection> {
    // A database in WAL mode needs its shared-memory file, so the file is opened for writing and then held to reading.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db =
        Connection::open_with_flags(path, flags).with_context(|| format!("open the database {}", path.display()))?;
    db.busy_timeout(BUSY_WAIT)?;
    db.set_prepared_statement_cache_capacity(STATEMENTS);
    db.pragma_update(None, "query_only", true)?;
    ensure!(!expect_ours_or_new(&db, path)?, "{} is empty", path.display());
    Ok(db)
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
    use crate::values;

    #[test]
    fn the_database_itself_refuses_to_give_points_twice() {
        let place = tempfile::tempdir().unwrap();
        let db = open(&place.path().join("cloud.db")).unwrap();
        run(&db, "INSERT INTO account (member) VALUES ('M1')", &[]).unwrap();
        let lot =
            "INSERT INTO lot (id, member, issuer, funder, source, settle_bps, places, times, at_ms, points, available)
                   VALUES ('credit:a', 'M1', 'mall', 'mall', 'credit', 10000, '', '', 0, 100, 100)";
        run(&db, lot, &[]).unwrap();
        let take = "UPDATE lot SET available = available - $1 WHERE id = 'credit:a'";
        run(&db, take, values![60_i64]).unwrap();
        assert!(run(&db, take, values![41_i64]).is_err());
        assert!(run(&db, "UPDATE lot SET available = available + $1", values![61_i64]).is_err());
        assert!(run(&db, "UPDATE lot SET spent = spent + $1", values![61_i64]).is_err());
    }

    #[test]
    fn a_foreign_database_is_left_alone() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("other.db");
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (a)").unwrap();
        let refused = open(&path).unwrap_err().to_string();
        assert!(refused.contains("not one of a cloud ledger"), "{refused}");
        assert!(open_for_reading(&path).is_err());
        assert!(File::open(&place.path().join("missing.db"), false).is_err());
        assert!(!place.path().join("missing.db").exists());
    }

    #[test]
    fn a_newer_database_is_not_touched() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("cloud.db");
        open(&path).unwrap().pragma_update(None, "user_version", SCHEMA_VERSION + 1).unwrap();
        let refused = open(&path).unwrap_err().to_string();
        assert!(refused.contains(&format!("version {}", SCHEMA_VERSION + 1)), "{refused}");
    }
}
