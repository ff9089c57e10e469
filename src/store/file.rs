//! The ledger's file: made, marked, checked and locked before anything is read from it.

use std::fs::File;
use std::path::Path;

use anyhow::Context;
use rusqlite::Connection;

/// The tables, as they are made in a new file.
pub(crate) const SCHEMA: &str = include_str!("schema.sql");

/// Marks the file as a Gatepost ledger (`GATE` in ASCII).
const APPLICATION_ID: i32 = 0x4741_5445;
const SCHEMA_VERSION: i32 = 6;

/// The first SQLite without the WAL-reset corruption bug, and one later release that was withdrawn.
const SQLITE_LEAST: i32 = 3_051_003;
const SQLITE_WITHDRAWN: i32 = 3_052_000;

/// The epoch of a box that the cloud ledger has never heard of.
pub(super) const FIRST_EPOCH: u32 = 1;

/// Pages in the WAL after which a commit writes them back itself. The loop does it earlier, in an idle moment, so that
/// no commit has to.
const CHECKPOINT_PAGES: i32 = 8000;
/// Prepared statements that a connection keeps: all of the loop's, with room.
pub(super) const STATEMENTS_KEPT: usize = 160;

pub(super) fn check_sqlite(version: i32) -> anyhow::Result<()> {
    anyhow::ensure!(
        version >= SQLITE_LEAST && version != SQLITE_WITHDRAWN,
        "SQLite {version} may corrupt a write-ahead log; needed is 3.51.3 or later, and not 3.52.0"
    );
    Ok(())
}

/// Nobody else writes while this lives.
pub(super) struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing is not enough: a child process on its way to another program may hold a copy of the file.
        let _ = self.0.unlock();
    }
}

pub(super) fn lock(path: &Path) -> anyhow::Result<Lock> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let file = File::options().create(true).truncate(false).write(true).open(&name);
    let file = file.with_context(|| format!("open {}", name.display()))?;
    file.try_lock().with_context(|| format!("{} is in use by another daemon", path.display()))?;
    Ok(Lock(file))
}

/// Sets what durability rests on and reads it back: drivers and defaults have disagreed before.
pub(super) fn set_pragmas(db: &Connection) -> anyhow::Result<()> {
    db.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    let journal_mode: String = db.query_row("PRAGMA journal_mode = WAL", (), |row| row.get(0))?;
    anyhow::ensure!(journal_mode == "wal", "journal_mode is {journal_mode}, not wal");
    let settings: [(&str, i64); 7] = [
        ("synchronous", 2),
        ("foreign_keys", 1),
        ("trusted_schema", 0),
        ("cell_size_check", 1),
        ("wal_autocheckpoint", i64::from(CHECKPOINT_PAGES)),
        ("journal_size_limit", 64 << 20),
        ("temp_store", 2),
    ];
    for (name, value) in settings {
        db.pragma_update(None, name, value)?;
        let found: i64 = db.pragma_query_value(None, name, |row| row.get(0))?;
        anyhow::ensure!(found == value, "{name} is {found}, not {value}");
    }
    Ok(())
}

pub(super) fn create(db: &Connection, box_id: &str) -> anyhow::Result<()> {
    let version: i32 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let application: i32 = db.pragma_query_value(None, "application_id", |row| row.get(0))?;
    if version == 0 && application == 0 {
        db.execute_batch("BEGIN IMMEDIATE")?;
        db.execute_batch(SCHEMA)?;
        super::tables::found(db, box_id, FIRST_EPOCH)?;
        mark(db)?;
        db.execute_batch("COMMIT")?;
        return Ok(());
    }
    anyhow::ensure!(application == APPLICATION_ID, "this is not a Gatepost ledger");
    anyhow::ensure!(
        version == SCHEMA_VERSION,
        "this ledger has the form {version}, this daemon reads the form {SCHEMA_VERSION}"
    );
    Ok(())
}

/// Marks a file as a Gatepost ledger of this form.
pub(super) fn mark(db: &Connection) -> anyhow::Result<()> {
    db.pragma_update(None, "application_id", APPLICATION_ID)?;
    db.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    #[test]
    fn an_old_sqlite_is_refused() {
        assert!(check_sqlite(3_040_001).is_err());
        assert!(check_sqlite(3_051_002).is_err());
        assert!(check_sqlite(3_052_000).is_err());
        assert!(check_sqlite(3_051_003).is_ok());
        assert!(check_sqlite(rusqlite::version_number()).is_ok());
    }

    #[test]
    fn a_second_opener_and_another_box_are_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("ledger.db");
        let first = Store::open(&path, "box-1").expect("a new ledger");
        let second = Store::open(&path, "box-1").err().expect("two writers").to_string();
        assert!(second.contains("in use by another daemon"), "{second}");
        drop(first);
        let foreign = Store::open(&path, "box-2").err().expect("another box").to_string();
        assert!(foreign.contains("belongs to the box \"box-1\""), "{foreign}");
    }
}
