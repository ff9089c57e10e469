//! Read-only views of the ledger file: a screen, a till and the upload look at it without ever holding up the loop.

mod benefits;
pub mod books;
pub mod journal;
pub mod lanes;
pub mod members;
pub mod merchant;
pub mod news;
#[cfg(test)]
pub mod sample;
pub mod settlement;
pub mod stays;
#[cfg(test)]
mod tests;
pub mod tills;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, InterruptHandle, OpenFlags, Transaction, TransactionBehavior};
use serde::de::DeserializeOwned;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many views may be looked at at once; the box has four cores and the loop needs one of them.
const CONNECTIONS: usize = 2;
/// How long a view may take. A reader that stays longer keeps the write-ahead log from being reset.
pub const VIEW_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the whole books may take, for the administrator: a year of a big site is some millions of rows.
pub const BOOKS_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a view waits for the writer where the two meet (a checkpoint, the first opening of the file).
const BUSY_TIMEOUT: Duration = Duration::from_millis(500);

/// The way to look at the ledger file. Clones share the connections.
#[derive(Clone)]
pub struct Reader {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
}

/// One consistent look at the ledger file: everything asked of one view is of the same moment.
pub struct View<'a> {
    tx: Transaction<'a>,
}

/// Why a view could not be given.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It took too long and was stopped.
    #[error("the view took longer than {} ms", .0.as_millis())]
    Deadline(Duration),
    /// The file could not be read.
    #[error("read the ledger file: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// A stored text is not what this version writes.
    #[error("the ledger file holds a {what} that this version cannot read: {why}")]
    Foreign {
        /// Which column.
        what: &'static str,
        /// What the parser said.
        why: String,
    },
    /// The view's own thread died.
    #[error("the view stopped before its end")]
    Broken,
}

impl Reader {
    /// Opens the ledger file for reading; fails where it does not exist or is not a database.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        let first = connect(path)?;
        first.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        let permits = Arc::new(Semaphore::new(CONNECTIONS));
        Ok(Self { shared: Arc::new(Shared { path: path.to_owned(), idle: Mutex::new(vec![first]), permits }) })
    }

    /// Looks, within [`VIEW_TIMEOUT`].
    pub async fn look<T, F>(&self, look: F) -> Result<T, ReadError>
    where
        T: Send + 'static,
        F: FnOnce(&View<'_>) -> Result<T, ReadError> + Send + 'static,
    {
        self.look_within(VIEW_TIMEOUT, look).await
    }

    /// Looks, within `limit`; the query is stopped when the limit is reached or the asker goes away.
    pub async fn look_within<T, F>(&self, limit: Duration, look: F) -> Result<T, ReadError>
    where
        T: Send + 'static,
        F: FnOnce(&View<'_>) -> Result<T, ReadError> + Send + 'static,
    {
        let stop = StopOnDrop(Stop::default());
        let running = stop.0.clone();
        let shared = self.shared.clone();
        let work = async move {
            let permit = shared.permits.clone().acquire_owned().await.map_err(|_| ReadError::Broken)?;
            tokio::task::spawn_blocking(move || shared.look(permit, &running, look))
                .await
                .map_err(|_| ReadError::Broken)?
        };
        let outcome = tokio::time::timeout(limit, work).await;
        drop(stop);
        outcome.unwrap_or(Err(ReadError::Deadline(limit)))
    }
}

impl Shared {
    fn look<T>(
        &self,
        permit: OwnedSemaphorePermit,
        stop: &Stop,
        look: impl FnOnce(&View<'_>) -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => connect(&self.path)?,
        };
        if !stop.arm(connection.get_interrupt_handle()) {
            return Err(ReadError::Broken);
        }
        let found = one_look(&mut connection, look);
        stop.disarm();
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        drop(permit);
        found
    }
}

fn one_look<T>(
    connection: &mut Connection,
    look: impl FnOnce(&View<'_>) -> Result<T, ReadError>,
) -> Result<T, ReadError> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Deferred)?;
    look(&View { tx })
}

fn connect(path: &Path) -> Result<Connection, ReadError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(super::file::STATEMENTS_KEPT);
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

/// Stops a running query from outside, and only that one: once disarmed it cannot hit the connection's next user.
#[derive(Clone, Default)]
struct Stop {
    state: Arc<Mutex<StopState>>,
}

#[derive(Default)]
enum StopState {
    #[default]
    NotStarted,
    Running(InterruptHandle),
    Over,
}

impl Stop {
    /// Whether the query may begin.
    fn arm(&self, handle: InterruptHandle) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let may_begin = matches!(*state, StopState::NotStarted);
        if may_begin {
            *state = StopState::Running(handle);
        }
        may_begin
    }

    fn disarm(&self) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = StopState::Over;
    }

    fn stop(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let StopState::Running(handle) = &*state {
            handle.interrupt();
        }
        *state = StopState::Over;
    }
}

struct StopOnDrop(Stop);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// A stored JSON text as its type.
fn from_json<T: DeserializeOwned>(what: &'static str, text: &str) -> Result<T, ReadError> {
    serde_json::from_str(text).map_err(|e| ReadError::Foreign { what, why: e.to_string() })
}

/// A stored word as the enum that is written in JSON as that word.
fn from_word<T: DeserializeOwned>(what: &'static str, word: String) -> Result<T, ReadError> {
    serde_json::from_value(serde_json::Value::String(word)).map_err(|e| ReadError::Foreign { what, why: e.to_string() })
}

/// An unsigned number that the schema keeps positive.
fn unsigned(what: &'static str, number: i64) -> Result<u64, ReadError> {
    u64::try_from(number).map_err(|_| ReadError::Foreign { what, why: format!("{number} is below zero") })
}
