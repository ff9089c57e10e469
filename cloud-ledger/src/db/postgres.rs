//! PostgreSQL: a pool of connections to the primary, transactions that roll back when they are dropped, and what the
//! server says about how long its commits last.

use std::fmt::Write as _;
use std::future::Future;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use deadpool_postgres::{Hook, HookError, Manager, ManagerConfig, Object, Pool, RecyclingMethod};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio_postgres::NoTls;
use tokio_postgres::config::Config;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};

use super::sending::{in_order, ready, spoken};
use super::{Ask, Engine, Error, Row, SCHEMA_VERSION, Tx, Value, schema};
use crate::Refusal;

/// Row locks are taken by name in every transaction that decides, so it needs no more than this.
pub const WRITE: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";

/// One moment's state for everything that is read.
pub const READ: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// How many connections one replica of the ledger has at most.
const CONNECTIONS: usize = 16;

/// How long a server may take to answer a call.
const CONNECT_WAIT: Duration = Duration::from_secs(10);

/// How long a request waits for one of the connections: as long as a box waits for an answer.
const POOL_WAIT: Duration = Duration::from_secs(30);

/// After how long of silence a dead server is given up.
const SILENCE: Duration = Duration::from_secs(15);

/// What every new connection is told. A commit that is not on disk here is worth no barrier; `remote_apply` is more
/// than enough and left alone. A statement that hangs must not hold a member's row for ever.
const GREETING: &str = "
SELECT set_config('synchronous_commit', 'on', false)
 WHERE current_setting('synchronous_commit') NOT IN ('on', 'remote_apply');
SET statement_timeout = '60s';
SET idle_in_transaction_session_timeout = '60s';
";

/// What the operator wants of PostgreSQL.
#[derive(Clone, Debug, Default)]
pub struct PostgresSettings {
    /// Refuse to start where a commit is not on a second server before it returns.
    pub require_quorum: bool,
}

/// A pool of connections, with the threads that drive them.
pub struct Server {
    runtime: Option<Runtime>,
    pool: Pool,
    name: String,
}

/// One transaction on one connection.
pub struct Transaction<'a> {
    handle: &'a Handle,
    client: Option<Object>,
    begin: Option<&'static str>,
}

impl Server {
    pub fn open(url: &str, settings: &PostgresSettings, make: bool) -> anyhow::Result<Self> {
        // Balances are read from the primary only: a standby may lag behind what was granted.
        let mark = if url.contains('?') { '&' } else { '?' };
        let url = format!("{url}{mark}target_session_attrs=read-write");
        let mut config: Config = url.parse().context("read --database as a PostgreSQL address")?;
        config.connect_timeout(CONNECT_WAIT).tcp_user_timeout(SILENCE).keepalives_idle(SILENCE);
        if config.get_application_name().is_none() {
            config.application_name("gatepost-cloud");
        }
        let name = name(&config);
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("postgres")
            .enable_all()
            .build()
            .context("start the threads for PostgreSQL")?;
        let manager = Manager::from_config(config, NoTls, ManagerConfig { recycling_method: RecyclingMethod::Fast });
        let greet = Hook::async_fn(|client: &mut deadpool_postgres::ClientWrapper, _| {
            Box::pin(async move { client.batch_execute(GREETING).await.map_err(HookError::Backend) })
        });
        let pool = Pool::builder(manager)
            .max_size(CONNECTIONS)
            .wait_timeout(Some(POOL_WAIT))
            .create_timeout(Some(POOL_WAIT))
            .runtime(deadpool_postgres::Runtime::Tokio1)
            .post_create(greet)
            .build()
            .context("make the pool of connections")?;
        let server = Self { runtime: Some(runtime), pool, name };
        server.look_at_settings(settings)?;
        server.prepare_tables(make)?;
        Ok(server)
    }

    /// User, host and database, without the password.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs `work` in a transaction that begins with `begin`; commits it where it succeeds, else rolls it back.
    pub fn transact<T>(
        &self,
        begin: &'static str,
        work: impl FnOnce(&mut Tx<'_>) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let handle = self.handle();
        let client = handle.block_on(self.pool.get()).map_err(|error| unreachable_server(&error))?;
        let transaction = Transaction { handle, client: Some(client), begin: Some(begin) };
        let mut tx = Tx { engine: Engine::Postgres(transaction) };
        let outcome = work(&mut tx);
        let Engine::Postgres(transaction) = tx.engine else {
            unreachable!("the engine of a transaction does not change")
        };
        match outcome {
            Ok(done) => {
                transaction.end("COMMIT")?;
                Ok(done)
            }
            Err(refusal) => {
                // Why it was refused is what the caller needs to hear; a connection that cannot roll back is dropped.
                if transaction.end("ROLLBACK").is_err() {
                    tracing::warn!("a transaction did not roll back; its connection is given up");
                }
                Err(refusal)
            }
        }
    }

    /// Refuses where the server is a standby: what it says may be older than what was granted.
    pub fn is_primary(&self) -> Result<(), Refusal> {
        self.transact(READ, |tx| match tx.only("SELECT pg_is_in_recovery()", &[])?.flag(0) {
            false => Ok(()),
            true => Err(Error { text: "the server is a standby".to_owned(), is_retryable: false }.into()),
        })
    }

    /// Lets the next number of a table come after the highest one that it holds.
    pub fn skip_numbers(&self, table: &str) -> Result<(), Refusal> {
        let sql = format!(
            "SELECT setval(pg_get_serial_sequence('{table}', 'number'), coalesce(max(number), 0) + 1, false)
             FROM {table}"
        );
        self.transact(WRITE, |tx| Ok(tx.rows(&sql, &[]).map(drop)?))
    }

    /// Waits a little before the `turn`th repeat, so that two that met do not meet again.
    pub fn pause(&self, turn: u32) {
        let random = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), turn) % 1000;
        let micros = (random + 200) << turn.min(6);
        self.handle().block_on(tokio::time::sleep(Duration::from_micros(micros)));
    }

    fn handle(&self) -> &Handle {
        self.runtime.as_ref().expect("the threads live as long as the server").handle()
    }

    fn look_at_settings(&self, settings: &PostgresSettings) -> anyhow::Result<()> {
        let worries = self.transact(READ, worries).with_context(|| format!("ask {} how it is set up", self.name))?;
        for worry in &worries {
            tracing::warn!(database = self.name, "{worry}");
        }
        if settings.require_quorum && !worries.is_empty() {
            bail!("--require-quorum: {}", worries.join("; "));
        }
        Ok(())
    }

    fn prepare_tables(&self, make: bool) -> anyhow::Result<()> {
        let version = || self.transact(READ, stored_version).with_context(|| format!("look into {}", self.name));
        let mut stored = version()?;
        if stored.is_none() && make {
            // Another replica may start at the same moment: whoever comes second finds what the first one has made.
            let made = self.transact(WRITE, make_tables);
            stored = version()?;
            if stored.is_none() {
                made.context("make the tables")?;
            }
        }
        let Some(version) = stored else { bail!("{} has no tables of a cloud ledger", self.name) };
        ensure!(
            version == SCHEMA_VERSION,
            "{} has tables of version {version}; this program knows version {SCHEMA_VERSION}",
            self.name
        );
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.pool.close();
        if let Some(runtime) = self.runtime.take() {
            // The last holder may be an asynchronous task, which must not wait for threads.
            runtime.shutdown_background();
        }
    }
}

impl Transaction<'_> {
    pub fn rows(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Row>, Error> {
        self.ask(&spoken(sql), values)
    }

    pub fn run(&mut self, sql: &str, values: &[Value]) -> Result<u64, Error> {
        let sql = spoken(sql);
        let (handle, client, begin) = self.parts();
        handle.block_on(after(begin, client, async {
            let statement = client.prepare_cached(&sql).await?;
            let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| value as _).collect();
            client.execute(&statement, &values).await
        }))
    }

    pub fn each(&mut self, sql: &str, types: &str, rows: &[Vec<Value>]) -> Result<Vec<Row>, Error> {
        let answered = self.all(&[Ask::Each(sql, types, rows)])?;
        Ok(answered.into_iter().flatten().collect())
    }

    /// All statements are on their way before the first is answered; the server runs them in order.
    pub fn all(&mut self, asks: &[Ask<'_>]) -> Result<Vec<Vec<Row>>, Error> {
        let ready: Vec<_> = asks.iter().map(ready).collect();
        let (handle, client, begin) = self.parts();
        handle.block_on(after(begin, client, async {
            let mut statements = Vec::with_capacity(ready.len());
            for (sql, values) in ready.iter().flatten() {
                statements.push((client.prepare_cached(sql).await?, values.as_sql()));
            }
            let asked = statements.iter().map(|(statement, values)| Box::pin(client.query(statement, values)));
            let mut answered = in_order(asked.collect()).await?.into_iter();
            let mut next = || answered.next().map(|rows| rows.iter().map(row).collect());
            Ok(ready.iter().map(|ready| ready.as_ref().and_then(|_| next()).unwrap_or_default()).collect())
        }))
    }

    fn ask(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Row>, Error> {
        let (handle, client, begin) = self.parts();
        let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| value as _).collect();
        let answered = handle.block_on(after(begin, client, async {
            let statement = client.prepare_cached(sql).await?;
            client.query(&statement, &values).await
        }))?;
        Ok(answered.iter().map(row).collect())
    }

    /// Sends statements that take no values and answer nothing.
    fn batch(&mut self, sql: &str) -> Result<(), Error> {
        let (handle, client, begin) = self.parts();
        handle.block_on(after(begin, client, client.batch_execute(sql)))
    }

    /// Ends the transaction. A connection that fails here is not used again.
    fn end(mut self, word: &str) -> Result<(), Error> {
        if self.begin.is_some() {
            self.client = None;
            return Ok(());
        }
        let client = self.client.as_ref().expect("a transaction ends once");
        self.handle.block_on(client.batch_execute(word))?;
        self.client = None;
        Ok(())
    }

    fn parts(&mut self) -> (&Handle, &Object, Option<&'static str>) {
        let begin = self.begin.take();
        (self.handle, self.client.as_ref().expect("a transaction is used before it ends"), begin)
    }
}

impl Drop for Transaction<'_> {
    /// A connection that is still in a transaction is closed, not handed to the next one.
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            drop(Object::take(client));
        }
    }
}

/// Sends `begin`, where the transaction has not begun, and the statement right behind it: one journey for both.
async fn after<T>(
    begin: Option<&'static str>,
    client: &Object,
    statement: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, Error> {
    match begin {
        None => Ok(statement.await?),
        Some(begin) => {
            let ((), done) = tokio::try_join!(client.batch_execute(begin), statement)?;
            Ok(done)
        }
    }
}

fn row(row: &tokio_postgres::Row) -> Row {
    let value = |index: usize| match *row.columns()[index].type_() {
        Type::INT8 => Value::from(row.get::<_, Option<i64>>(index)),
        Type::INT4 => Value::from(row.get::<_, Option<i32>>(index).map(i64::from)),
        Type::BOOL => Value::from(row.get::<_, Option<bool>>(index)),
        Type::BYTEA => row.get::<_, Option<Vec<u8>>>(index).map_or(Value::Null, Value::Bytes),
        _ => Value::from(row.get::<_, Option<String>>(index)),
    };
    Row((0..row.len()).map(value).collect())
}

/// What makes a commit last less than it should, in sentences for the operator.
fn worries(tx: &mut Tx<'_>) -> Result<Vec<String>, Refusal> {
    let settings = tx.only(
        "SELECT current_setting('fsync'), current_setting('full_page_writes'), current_setting('synchronous_commit'),
                current_setting('synchronous_standby_names')",
        &[],
    )?;
    let mut worries = Vec::new();
    for (column, name) in ["fsync", "full_page_writes"].into_iter().enumerate() {
        if settings.text(column) != "on" {
            worries.push(format!("{name} is {}: a power cut loses what was granted", settings.text(column)));
        }
    }
    let commit = settings.text(2);
    if commit != "on" && commit != "remote_apply" {
        worries.push(format!("synchronous_commit is {commit}: a commit returns before it lasts"));
    }
    if settings.text(3).trim().is_empty() {
        worries.push(
            "synchronous_standby_names is empty: a grant is answered before a second server has it, so losing this \
             one may give its points twice"
                .to_owned(),
        );
    }
    Ok(worries)
}

fn stored_version(tx: &mut Tx<'_>) -> Result<Option<i64>, Refusal> {
    let is_there = tx.only(
        "SELECT count(*) FROM information_schema.tables WHERE table_schema = current_schema() AND table_name = 'about'",
        &[],
    )?;
    if is_there.int(0) == 0 {
        return Ok(None);
    }
    Ok(tx.row("SELECT value FROM about WHERE name = 'tables'", &[])?.map(|row| row.int(0)))
}

fn make_tables(tx: &mut Tx<'_>) -> Result<(), Refusal> {
    let Engine::Postgres(transaction) = &mut tx.engine else { unreachable!("the caller is PostgreSQL") };
    transaction.batch(&schema::for_postgres())?;
    tx.run("INSERT INTO about (name, value) VALUES ('tables', $1)", &[Value::from(SCHEMA_VERSION)])?;
    Ok(())
}

fn name(config: &Config) -> String {
    let hosts = config.get_hosts().iter().zip(config.get_ports().iter().chain(std::iter::repeat(&5432)));
    let hosts = hosts.map(|(host, port)| match host {
        tokio_postgres::config::Host::Tcp(host) => format!("{host}:{port}"),
        tokio_postgres::config::Host::Unix(folder) => format!("{}:{port}", folder.display()),
    });
    let hosts: Vec<String> = hosts.collect();
    format!(
        "postgres://{}@{}/{}",
        config.get_user().unwrap_or_default(),
        hosts.join(","),
        config.get_dbname().unwrap_or_default()
    )
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        let met_another = [
            SqlState::T_R_SERIALIZATION_FAILURE,
            SqlState::T_R_DEADLOCK_DETECTED,
            // The same request twice at the same moment: on the second look the first one's answer is there.
            SqlState::UNIQUE_VIOLATION,
        ];
        let is_retryable = error.code().is_some_and(|code| met_another.contains(code));
        let text = match error.as_db_error() {
            Some(said) => format!("{} ({})", said.message(), said.code().code()),
            None => error.to_string(),
        };
        Self { text, is_retryable }
    }
}

fn unreachable_server(error: &deadpool_postgres::PoolError) -> Error {
    let mut text = format!("no connection to PostgreSQL: {error}");
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        write!(text, ": {cause}").expect("a text takes what is written to it");
        source = cause.source();
    }
    Error { text, is_retryable: false }
}
