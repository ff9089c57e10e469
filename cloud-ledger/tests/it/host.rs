//! What the tests stand on: a ledger served on a port of the system's choice, a plain HTTP client, a box's journal.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use cloud_ledger::{Ledger, Tokens};
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

/// A ledger that is being served, and its file.
pub struct Host {
    pub place: TempDir,
    pub address: SocketAddr,
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
        Self::start_in(tempfile::tempdir().unwrap()).await
    }

    pub async fn start_in(place: TempDir) -> Self {
        let ledger = Arc::new(Ledger::open(&place.path().join("cloud.db")).unwrap());
        let boxes = [("demo-1", BOX_1), ("demo-2", BOX_2)].map(|(name, token)| (name.to_owned(), token.to_owned()));
        let tokens = Tokens::new(ADMIN, boxes).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let server = tokio::spawn(cloud_ledger::serve(listener, ledger, tokens, async { drop(stopped.await) }));
        Self { place, address, stop, server }
    }

    pub fn file(&self) -> PathBuf {
        self.place.path().join("cloud.db")
    }

    /// Stops it in an orderly way and hands back its place.
    pub async fn stop(self) -> TempDir {
        self.stop.send(()).unwrap();
        self.server.await.unwrap().unwrap();
        self.place
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

/// A member's profile.
pub fn profile(plates: &[&str], codes: &[&str]) -> Value {
    json!({"handle": "王**", "tier": "gold", "consent_plates": true, "plates": plates, "codes": codes})
}

/// One request on a connection of its own.
pub async fn call(address: SocketAddr, method: &str, path: &str, token: &str, body: &str) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let authorization = if token.is_empty() { String::new() } else { format!("authorization: Bearer {token}\r\n") };
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: cloud\r\nconnection: close\r\n{authorization}content-length: {length}\r\n\r\n{body}"
    );
    // The server may answer and hang up before it has read all of a body that it refuses.
    let _ = stream.write_all(request.as_bytes()).await;
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
