//! The database under the ledger: PostgreSQL for a chain, or one SQLite file for a demo, behind the same statements.
//!
//! Statements are written once, with `$1` for the first value. Three words in braces stand for what the two engines
//! say differently: `{lock}` and `{share}` hold a row that was read, `{any $1}` is "one of this list", and `{rows}` is
//! where [`Tx::each`] puts its rows.

mod postgres;
mod schema;
mod sending;
mod sqlite;
mod value;

use std::path::Path;

use anyhow::bail;

pub use postgres::PostgresSettings;
pub use value::{Row, Value};

use crate::Refusal;

/// The version of the tables.
pub const SCHEMA_VERSION: i64 = 4;

/// How often a transaction is tried that met another one; each loser has let a winner through, so this is far away.
const TRIES: u32 = 12;

/// Makes the list of a statement's values.
#[macro_export]
macro_rules! values {
    ($($value:expr),* $(,)?) => { &[$($crate::db::Value::from($value)),*] };
}

/// Where the ledger is kept.
pub enum Database {
    /// One file; all writing goes through one connection.
    Sqlite(sqlite::File),
    /// A PostgreSQL primary.
    Postgres(postgres::Server),
}

/// Why a statement did not do its work.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct Error {
    text: String,
    /// Whether the same transaction may succeed when it is tried again: it met another one.
    is_retryable: bool,
}

/// One transaction, which is committed whole or not at all.
pub struct Tx<'a> {
    engine: Engine<'a>,
}

/// One of several statements that travel together.
pub enum Ask<'a> {
    /// A statement with its values.
    One(&'a str, &'a [Value]),
    /// A statement for many rows, as [`Tx::each`] takes it.
    Each(&'a str, &'a str, &'a [Vec<Value>]),
}

enum Engine<'a> {
    Sqlite(&'a rusqlite::Connection),
    Postgres(postgres::Transaction<'a>),
}

impl Database {
    /// Opens `sqlite:FILE` or `postgres://…`; makes the file or the tables where they are missing.
    pub fn open(url: &str, settings: &PostgresSettings) -> anyhow::Result<Self> {
        Self::at(url, settings, true)
    }

    /// Opens what is there already.
    pub fn open_existing(url: &str, settings: &PostgresSettings) -> anyhow::Result<Self> {
        Self::at(url, settings, false)
    }

    /// Opens the file at `path`; makes it where it is missing.
    pub fn open_file(path: &Path) -> anyhow::Result<Self> {
        Ok(Self::Sqlite(sqlite::File::open(path, true)?))
    }

    fn at(url: &str, settings: &PostgresSettings, make: bool) -> anyhow::Result<Self> {
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return Ok(Self::Postgres(postgres::Server::open(url, settings, make)?));
        }
        match url.strip_prefix("sqlite:") {
            Some(file) if !file.is_empty() && file != ":memory:" => {
                Ok(Self::Sqlite(sqlite::File::open(Path::new(file), make)?))
            }
            _ => bail!("--database '{url}' is not understood; allowed are postgres://USER@HOST/NAME and sqlite:FILE"),
        }
    }

    /// What a person calls it, without a password.
    pub fn name(&self) -> String {
        match self {
            Self::Sqlite(file) => format!("sqlite:{}", file.path().display()),
            Self::Postgres(server) => server.name().to_owned(),
        }
    }

    /// Which engine it is, in one word.
    pub fn engine(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "sqlite",
            Self::Postgres(_) => "postgres",
        }
    }

    /// Runs `work` in a transaction and commits it where it succeeds. Where it met another transaction it runs again,
    /// so it must not keep anything from one run to the next. When this returns a value, the commit has returned.
    pub fn write<T>(&self, mut work: impl FnMut(&mut Tx<'_>) -> Result<T, Refusal>) -> Result<T, Refusal> {
        for turn in 0.. {
            let outcome = match self {
                Self::Sqlite(file) => file.write(&mut work),
                Self::Postgres(server) => server.transact(postgres::WRITE, &mut work),
            };
            match outcome {
                Err(Refusal::Database(error)) if error.is_retryable && turn < TRIES => self.pause(turn),
                other => return other,
            }
        }
        unreachable!("the loop ends by returning")
    }

    /// Runs `work` on one moment's state, which it cannot change.
    pub fn read<T>(&self, mut work: impl FnMut(&mut Tx<'_>) -> Result<T, Refusal>) -> Result<T, Refusal> {
        match self {
            Self::Sqlite(file) => file.read(&mut work),
            Self::Postgres(server) => server.transact(postgres::READ, &mut work),
        }
    }

    /// The file's or the server's own check of its pages; what it finds wrong.
    pub fn pages(&self) -> Result<Vec<String>, Refusal> {
        match self {
            Self::Sqlite(file) => file.pages(),
            // PostgreSQL checks pages as it reads them where checksums are on; it has no statement for it.
            Self::Postgres(_) => Ok(Vec::new()),
        }
    }

    /// Whether the database answers and takes writes.
    pub fn is_primary(&self) -> Result<(), Refusal> {
        match self {
            Self::Sqlite(file) => file.read(|tx| Ok(tx.only("SELECT 1", &[]).map(drop)?)),
            Self::Postgres(server) => server.is_primary(),
        }
    }

    /// Lets the next number of a table come after the highest one that it holds, where rows brought their own.
    pub fn skip_numbers(&self, table: &str) -> Result<(), Refusal> {
        match self {
            // SQLite always goes on after the highest one.
            Self::Sqlite(_) => Ok(()),
            Self::Postgres(server) => server.skip_numbers(table),
        }
    }

    fn pause(&self, turn: u32) {
        match self {
            Self::Sqlite(_) => {}
            Self::Postgres(server) => server.pause(turn),
        }
    }
}

impl Error {
    /// What is stored cannot be read.
    pub fn unreadable(text: String) -> Self {
        Self { text, is_retryable: false }
    }
}

impl Tx<'_> {
    /// All rows of a query.
    pub fn rows(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Row>, Error> {
        match &mut self.engine {
            Engine::Sqlite(db) => sqlite::rows(db, sql, values),
            Engine::Postgres(transaction) => transaction.rows(sql, values),
        }
    }

    /// The first row of a query, if there is one.
    pub fn row(&mut self, sql: &str, values: &[Value]) -> Result<Option<Row>, Error> {
        Ok(self.rows(sql, values)?.into_iter().next())
    }

    /// The row of a query that always has one.
    pub fn only(&mut self, sql: &str, values: &[Value]) -> Result<Row, Error> {
        let row = self.row(sql, values)?;
        row.ok_or_else(|| Error { text: format!("no row came of: {sql}"), is_retryable: false })
    }

    /// Runs a statement; how many rows it touched.
    pub fn run(&mut self, sql: &str, values: &[Value]) -> Result<u64, Error> {
        match &mut self.engine {
            Engine::Sqlite(db) => sqlite::run(db, sql, values),
            Engine::Postgres(transaction) => transaction.run(sql, values),
        }
    }

    /// Runs a statement for many rows at once; `{rows}` in it stands for a query of them, whose columns are `types`:
    /// `t` for text, `i` for whole numbers, `b` for bytes. What the statement returns, in no order that means anything.
    pub fn each(&mut self, sql: &str, types: &str, rows: &[Vec<Value>]) -> Result<Vec<Row>, Error> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        assert!(rows.iter().all(|row| row.len() == types.len()), "each row has the columns of: {sql}");
        match &mut self.engine {
            Engine::Sqlite(db) => sqlite::each(db, sql, rows),
            Engine::Postgres(transaction) => transaction.each(sql, types, rows),
        }
    }

    /// Several statements in one journey to the server, each run after the one before it; the rows of each. Where one
    /// fails, those behind it have done nothing.
    pub fn all(&mut self, asks: &[Ask<'_>]) -> Result<Vec<Vec<Row>>, Error> {
        match &mut self.engine {
            Engine::Sqlite(_) => asks
                .iter()
                .map(|ask| match ask {
                    Ask::One(sql, values) => self.rows(sql, values),
                    Ask::Each(sql, types, rows) => self.each(sql, types, rows),
                })
                .collect(),
            Engine::Postgres(transaction) => transaction.all(asks),
        }
    }

    /// The next number of a counter whose numbers become visible in order: whoever takes one holds the counter until
    /// the commit. So it is taken last.
    pub fn next_number(&mut self, counter: &str) -> Result<i64, Error> {
        let row =
            self.only("UPDATE counter SET value = value + 1 WHERE name = $1 RETURNING value", values![counter])?;
        Ok(row.int(0))
    }
}

/// Replaces each `{any $n}` of a statement.
fn with_lists(sql: &str, list: impl Fn(&str) -> String) -> String {
    let mut parts = sql.split("{any ");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (value, rest) = part.split_once('}').expect("each {any $n} of our own statements is closed");
        text.push_str(&list(value));
        text.push_str(rest);
    }
    text
}
