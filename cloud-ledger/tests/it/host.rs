//! What the tests stand on: a ledger served on a port of the system's choice, a plain HTTP client, a box's journal.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use cloud_ledger::db::{Database, PostgresSettings};
use cloud_ledger::sign::LedgerKey;
use cloud_ledger::{Ledger, Settings, Tokens};
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub const ADMIN: &str = "token-of-the-administrator";
pub const BOX_1: &str = "token-of-box-1";
pub const BOX_2: &str = "token-of-box-2";

/// Which database a test runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    Sqlite,
    Postgres,
}

tokio::task_local! {
    /// The database of the test that is running.
    pub static ENGINE: On;
}

/// Makes each of these a test on SQLite and a test on PostgreSQL.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test]
            async fn $name() {
                $crate::host::ENGINE.scope($crate::host::On::Sqlite, super::$name()).await;
            })*
        }

        mod on_postgres {
            $(#[tokio::test]
            async fn $name() {
                $crate::host::ENGINE.scope($crate::host::On::Postgres, super::$name()).await;
            })*
        }
    };
}
pub(crate) use on_both;

/// A new database of an engine, for a ledger whose key is in `place`.
pub fn database(engine: On, place: &Path) -> String {
    match engine {
        On::Sqlite => format!("sqlite:{}", place.join("cloud.db").display()),
        On::Postgres => crate::postgres::shared().database(),
    }
}

/// The ledger in a database.
pub fn ledger(url: &str, settings: Settings) -> Ledger {
    let database = Database::open(url, &PostgresSettings::default()).unwrap();
    Ledger::new(database, LedgerKey::of(&[7; 32]).unwrap(), settings)
}

/// Changes a database behind the ledger's back; how many rows.
pub fn tamper(url: &str, sql: &str) -> usize {
    match url.strip_prefix("sqlite:") {
        Some(file) => rusqlite::Connection::open(file).unwrap().execute(sql, []).unwrap(),
        None => {
            let name = url.rsplit('/').next().unwrap();
            let counted = format!("WITH done AS ({sql} RETURNING 1) SELECT count(*) FROM done");
            crate::postgres::shared().run(name, &counted).trim().parse().unwrap()
        }
    }
}

/// A ledger that is being served, and where it is kept.
pub struct Host {
    pub place: TempDir,
    pub url: String,
    pub address: SocketAddr,
    settings: Settings,
    stop: oneshot::Sender<()>,
    server: JoinHandle<anyhow::Result<()>>,
}

/// An answer: the status, the head in small letters, the body as JSON.
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Value,
}

impl Host {
    pub async fn start() -> Self {
        Self::start_with(Settings { recompute: None, ..Settings::default() }).await
    }

    pub async fn start_with(settings: Settings) -> Self {
        let place = tempfile::tempdir().unwrap();
        let engine = ENGINE.get();
        let path = place.path().to_owned();
        let url = tokio::task::spawn_blocking(move || database(engine, &path)).await.unwrap();
        Self::start_in(place, url, settings).await
    }

    /// On a database that is there already.
    pub async fn start_at(url: String) -> Self {
        let settings = Settings { recompute: None, ..Settings::default() };
        Self::start_in(tempfile::tempdir().unwrap(), url, settings).await
    }

    async fn start_in(place: TempDir, url: String, settings: Settings) -> Self {
        let (at, chosen) = (url.clone(), settings.clone());
        let ledger = tokio::task::spawn_blocking(move || Arc::new(ledger(&at, chosen))).await.unwrap();
        let boxes = [("demo-1", BOX_1), ("demo-2", BOX_2)].map(|(name, token)| (name.to_owned(), token.to_owned()));
        let tokens = Tokens::new(ADMIN, boxes).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let server = tokio::spawn(cloud_ledger::serve(listener, ledger, tokens, async { drop(stopped.await) }));
        Self { place, url, address, settings, stop, server }
    }

    /// Stops it in an orderly way and starts it again.
    pub async fn restart(self) -> Self {
        self.stop.send(()).unwrap();
        self.server.await.unwrap().unwrap();
        Self::start_in(self.place, self.url, self.settings).await
    }

    /// Stops it in an orderly way.
    pub async fn stop(self) {
        self.stop.send(()).unwrap();
        self.server.await.unwrap().unwrap();
    }

    /// Changes the database behind the ledger's back; how many rows.
    pub async fn tamper(&self, sql: &str) -> usize {
        let (url, sql) = (self.url.clone(), sql.to_owned());
        tokio::task::spawn_blocking(move || tamper(&url, &sql)).await.unwrap()
    }

    /// A request that a box has signed.
    pub async fn signed(&self, signer: &Signer, method: &str, path: &str, body: &str) -> Answer {
        send(self.address, method, path, &signer.headers(method, path, body.as_bytes()), body.as_bytes()).await
    }

    /// A box that has enrolled with a new key.
    pub async fn enrol(&self, name: &str, token: &str, seed: u8) -> Signer {
        let mut signer = Signer::new(name, seed);
        let key = json!({ "public_key": signer.public_key() });
        let enrolled = self.post(token, &format!("/v1/boxes/{name}/enrol"), key).await;
        assert_eq!(enrolled.status, 200, "{}", enrolled.body);
        signer.epoch = u32::try_from(enrolled.body["epoch"].as_u64().unwrap()).unwrap();
        signer
    }

    pub async fn get(&self, token: &str, path: &str) -> Answer {
        call(self.address, "GET", path, token, "").await
    }

    pub async fn post(&self, token: &str, path: &str, body: Value) -> Answer {
        call(self.address, "POST", path, token, &body.to_string()).await
    }

    pub async fn put(&self, token: &str, path: &str, body: Value) -> Answer {
        call(self.address, "PUT", path, token, &body.to_string()).await
    }

    /// A member with a balance.
    pub async fn member(&self, id: &str, points: i64) {
        let made = self.put(ADMIN, &format!("/v1/members/{id}"), profile(&[], &[])).await;
        assert_eq!(made.status, 200, "{}", made.body);
        let credit = json!({"op": format!("start-{id}"), "points": points, "reason": "opening balance"});
        assert_eq!(self.post(ADMIN, &format!("/v1/members/{id}/credits"), credit).await.status, 200);
    }

    /// A member's credited, debited, outstanding and available points.
    pub async fn sums(&self, id: &str) -> [i64; 4] {
        let member = self.get(ADMIN, &format!("/v1/members/{id}")).await.body;
        ["credited", "debited", "outstanding", "available"].map(|name| member[name].as_i64().unwrap())
    }

    pub async fn alarms(&self, name: &str) -> Vec<String> {
        let shown = self.get(ADMIN, &format!("/v1/boxes/{name}")).await.body;
        shown["alarms"].as_array().unwrap().iter().map(|alarm| alarm["code"].as_str().unwrap().to_owned()).collect()
    }

    pub async fn faults(&self) -> Vec<String> {
        let report = self.get(ADMIN, "/v1/verify").await.body;
        let faults: Vec<String> =
            report["faults"].as_array().unwrap().iter().map(|fault| fault.as_str().unwrap().to_owned()).collect();
        assert_eq!(report["ok"], json!(faults.is_empty()));
        faults
    }
}

/// A box's key, and the epoch that it believes to be in.
pub struct Signer {
    pub name: String,
    pub epoch: u32,
    pub pair: Ed25519KeyPair,
}

impl Signer {
    pub fn new(name: &str, seed: u8) -> Self {
        Self { name: name.to_owned(), epoch: 1, pair: Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap() }
    }

    pub fn public_key(&self) -> String {
        BASE64.encode(self.pair.public_key())
    }

    /// The three headers, by the tests' own reading of the page.
    pub fn headers(&self, method: &str, path: &str, body: &[u8]) -> String {
        let Self { name, epoch, .. } = self;
        let hash = hex::encode(Sha256::digest(body));
        let text = format!("gatepost-request-v1\n{method}\n{path}\n{name}\n{epoch}\n{hash}");
        let signature = BASE64.encode(self.pair.sign(text.as_bytes()));
        format!("gatepost-box: {name}\r\ngatepost-epoch: {epoch}\r\ngatepost-signature: {signature}\r\n")
    }
}

/// Whether the ledger of these tests has signed these lines.
pub fn has_signed(lines: &[&str], signature: &Value) -> bool {
    let key = LedgerKey::of(&[7; 32]).unwrap().public();
    key.has_signed(&lines.join("\n"), signature.as_str().unwrap_or_default())
}

/// A member's profile.
pub fn profile(plates: &[&str], codes: &[&str]) -> Value {
    json!({"handle": "王**", "tier": "gold", "consent_plates": true, "plates": plates, "codes": codes})
}

/// One request on a connection of its own.
pub async fn call(address: SocketAddr, method: &str, path: &str, token: &str, body: &str) -> Answer {
    let authorization = if token.is_empty() { String::new() } else { format!("authorization: Bearer {token}\r\n") };
    send(address, method, path, &authorization, body.as_bytes()).await
}

/// One request with these headers, each with its end of line.
pub async fn send(address: SocketAddr, method: &str, path: &str, headers: &str, body: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: cloud\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n"
    );
    // The server may answer and hang up before it has read all of a body that it refuses.
    let _ = stream.write_all(&[head.as_bytes(), body].concat()).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer to {method} {path}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let body = serde_json::from_str(body).unwrap_or_else(|_| panic!("not JSON: {body}"));
    Answer { status, head: head.to_lowercase(), body }
}

/// A box's journal, hashed by the tests' own reading of the page.
#[derive(Clone)]
pub struct Journal {
    epoch: u32,
    entries: Vec<Value>,
    heads: Vec<[u8; 32]>,
}

impl Journal {
    pub fn new(name: &str, epoch: u32) -> Self {
        let genesis = Sha256::digest(format!("gatepost-journal-v1\n{name}\n{epoch}").as_bytes()).into();
        Self { epoch, entries: Vec::new(), heads: vec![genesis] }
    }

    /// Adds an entry with these records.
    pub fn add(&mut self, records: Value) {
        self.add_text(
            &json!({"at_ms": 1772294399638_i64, "trusted": true, "input": {}, "records": records}).to_string(),
        );
    }

    pub fn add_text(&mut self, body: &str) {
        let mut hash = Sha256::new();
        hash.update(self.heads.last().unwrap());
        hash.update(body.as_bytes());
        self.heads.push(hash.finalize().into());
        self.entries
            .push(json!({"seq": self.entries.len() + 1, "body": body, "head": self.head(self.entries.len() + 1)}));
    }

    /// Takes the newest entry off, as a restored backup would.
    pub fn forget(&mut self) {
        self.entries.pop();
        self.heads.pop();
    }

    pub fn length(&self) -> usize {
        self.entries.len()
    }

    pub fn head(&self, seq: usize) -> String {
        hex::encode(self.heads[seq])
    }

    pub fn cursor(&self, seq: usize) -> Value {
        json!({"epoch": self.epoch, "seq": seq, "head": self.head(seq)})
    }

    /// What the box says of itself.
    pub fn hello(&self) -> Value {
        self.cursor(self.length())
    }

    /// The upload of the entries `from..=to`, counted from 1.
    pub fn upload(&self, from: usize, to: usize) -> Value {
        json!({"epoch": self.epoch, "entries": self.entries[from - 1..to]})
    }
}
