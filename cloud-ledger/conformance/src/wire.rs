//! The wire of `docs/cloud-api.md`, written from the page: the office, a box with a key and a journal, and signatures.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use reqwest::{Client, Method};
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::expect::{Broken, ok, same};

/// How long an answer may take.
const ANSWER_WAIT: Duration = Duration::from_secs(60);

/// The ledger under test.
#[derive(Clone, Debug)]
pub struct Target {
    /// Where it is, such as `http://127.0.0.1:7070`.
    pub url: String,
    /// The administrator's token.
    pub admin_token: String,
    /// Two boxes that no site uses, each with its enrolment token.
    pub boxes: [(String, String); 2],
}

/// An answer, whatever it says.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status of HTTP.
    pub status: u16,
    /// The body; null where it is no JSON.
    pub body: Value,
}

/// The administrator, and what the checks share.
pub struct Office {
    /// The ledger under test.
    pub target: Target,
    client: Client,
    run: String,
    names: AtomicU64,
}

impl Office {
    /// A client for the ledger. Names are new with every run.
    pub fn new(target: &Target) -> anyhow::Result<Self> {
        let client = Client::builder().no_proxy().timeout(ANSWER_WAIT).build().context("build the HTTP client")?;
        let mut random = [0; 4];
        SystemRandom::new().fill(&mut random).map_err(|_| anyhow::anyhow!("the system gives no random bytes"))?;
        Ok(Self { target: target.clone(), client, run: hex::encode(random), names: AtomicU64::new(0) })
    }

    /// Whether the ledger answers at all.
    pub async fn is_there(&self) -> anyhow::Result<()> {
        let answer = self.client.get(format!("{}/healthz", self.target.url)).send().await;
        let answer = answer.with_context(|| format!("reach the ledger at {}", self.target.url))?;
        anyhow::ensure!(answer.status() == 200, "GET /healthz answers {}", answer.status());
        Ok(())
    }

    /// A name that was never used before.
    pub fn name(&self, what: &str) -> String {
        format!("conf-{what}-{}-{}", self.run, self.names.fetch_add(1, Ordering::Relaxed))
    }

    /// Asks as the administrator.
    pub async fn ask(&self, method: &str, path: &str, body: &Value) -> Result<Answer, Broken> {
        self.send(method, path, body, Some(&self.target.admin_token)).await
    }

    /// The same with another token, or with none.
    pub async fn send(&self, method: &str, path: &str, body: &Value, token: Option<&str>) -> Result<Answer, Broken> {
        let mut request = self.request(method, path)?;
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if !body.is_null() {
            request = request.json(body);
        }
        answer(request).await
    }

    /// A new member with these points, in the default lot.
    pub async fn member(&self, points: i64) -> Result<String, Broken> {
        let id = self.name("member");
        let profile = json!({"handle": "T**", "tier": "test", "consent_plates": false, "plates": [], "codes": []});
        ok("create a member", self.ask("PUT", &format!("/v1/members/{id}"), &profile).await?)?;
        if points > 0 {
            self.credit(&id, &json!({"op": self.name("credit"), "points": points, "reason": "test"})).await?;
        }
        Ok(id)
    }

    /// Credits a member.
    pub async fn credit(&self, member: &str, credit: &Value) -> Result<Value, Broken> {
        ok("credit", self.ask("POST", &format!("/v1/members/{member}/credits"), credit).await?)
    }

    /// A member's four sums: credited, debited, available, outstanding.
    pub async fn sums(&self, member: &str) -> Result<[i64; 4], Broken> {
        let view = ok("a member", self.ask("GET", &format!("/v1/members/{member}"), &Value::Null).await?)?;
        Ok(["credited", "debited", "available", "outstanding"].map(|field| view[field].as_i64().unwrap_or(i64::MIN)))
    }

    /// How many alarms of this code a box has.
    pub async fn alarms(&self, site: &Site<'_>, code: &str) -> Result<usize, Broken> {
        let view = ok("a box", self.ask("GET", &format!("/v1/boxes/{}", site.name), &Value::Null).await?)?;
        let alarms = view["alarms"].as_array().ok_or("a box: alarms must be a list")?;
        Ok(alarms.iter().filter(|alarm| alarm["code"] == code).count())
    }

    /// One of the two boxes, with a new key and a new epoch.
    pub async fn site(&self, number: usize) -> Result<Site<'_>, Broken> {
        let (name, token) = self.target.boxes[number].clone();
        // The first key of a box continues the epoch that it has; the second one begins a new one.
        for _ in 0..2 {
            let key = new_key()?;
            let site = Site::enrolled(self, &name, &token, key).await?;
            if site.held == 0 {
                return Ok(site);
            }
        }
        Err(format!("{name}: a second new key got an epoch with entries in it"))
    }

    fn request(&self, method: &str, path: &str) -> Result<reqwest::RequestBuilder, Broken> {
        let method: Method = method.parse().map_err(|_| format!("{method} is no method"))?;
        Ok(self.client.request(method, format!("{}{path}", self.target.url)))
    }
}

/// A box of the test: its key, its epoch and its journal.
pub struct Site<'a> {
    /// The box's name.
    pub name: String,
    /// The box's epoch, as it believes.
    pub epoch: u32,
    /// The journal: bodies and heads, in hex.
    pub journal: Vec<(String, String)>,
    /// What the ledger signs with.
    pub ledger_key: String,
    office: &'a Office,
    key: Ed25519KeyPair,
    held: u64,
}

/// A new key pair.
pub fn new_key() -> Result<Ed25519KeyPair, Broken> {
    let mut seed = [0; 32];
    SystemRandom::new().fill(&mut seed).map_err(|_| "the system gives no random bytes")?;
    Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|why| why.to_string())
}

/// A public key as it is sent.
pub fn public(key: &Ed25519KeyPair) -> String {
    BASE64.encode(key.public_key().as_ref())
}

impl<'a> Site<'a> {
    /// Enrols a key for a box, and checks what the ledger signed.
    pub async fn enrolled(office: &'a Office, name: &str, token: &str, key: Ed25519KeyPair) -> Result<Self, Broken> {
        let public = public(&key);
        let path = format!("/v1/boxes/{name}/enrol");
        let answer = office.send("POST", &path, &json!({"public_key": public}), Some(token)).await?;
        let answer = ok("enrol", answer)?;
        let epoch = answer["epoch"].as_u64().and_then(|epoch| u32::try_from(epoch).ok());
        let epoch = epoch.ok_or("enrol: epoch must be a whole number")?;
        let ledger_key = answer["ledger_key"].as_str().ok_or("enrol: ledger_key is missing")?.to_owned();
        let held = answer["cursor"]["seq"].as_u64().ok_or("enrol: cursor.seq is missing")?;
        let site = Self { name: name.to_owned(), epoch, journal: Vec::new(), ledger_key, office, key, held };
        let cursor = cursor_lines(&answer["cursor"]);
        let lines = ["gatepost-enrol-v1".to_owned(), name.to_owned(), public, epoch.to_string()];
        site.is_signed("enrolment", &[&lines[..], &cursor].concat(), &answer)?;
        Ok(site)
    }

    /// The head before the first entry, from the page's definition.
    pub fn genesis(&self) -> String {
        hex::encode(Sha256::digest(format!("gatepost-journal-v1\n{}\n{}", self.name, self.epoch)))
    }

    /// The newest entry's head.
    pub fn head(&self) -> String {
        self.journal.last().map_or_else(|| self.genesis(), |(_, head)| head.clone())
    }

    /// Writes an entry with these records.
    pub fn write(&mut self, records: &Value) {
        let number = self.journal.len() + 1;
        let body = json!({"at_ms": number, "trusted": true, "input": {"kind": "test"}, "records": records}).to_string();
        self.write_raw(body);
    }

    /// Writes an entry with this text.
    pub fn write_raw(&mut self, body: String) {
        let before = hex::decode(self.head()).expect("our own heads are hex");
        let head = hex::encode(Sha256::new().chain_update(before).chain_update(&body).finalize());
        self.journal.push((body, head));
    }

    /// The entries `from..=to`, as they go over the wire.
    pub fn entries(&self, from: usize, to: usize) -> Value {
        let entry = |seq: usize| json!({"seq": seq, "body": self.journal[seq - 1].0, "head": self.journal[seq - 1].1});
        (from..=to).map(entry).collect()
    }

    /// Sends the entries `from..=to`.
    pub async fn upload(&self, from: usize, to: usize) -> Result<Answer, Broken> {
        self.post("journal", &json!({"epoch": self.epoch, "entries": self.entries(from, to)})).await
    }

    /// Sends everything, which must be taken, and checks the signed cursor.
    pub async fn upload_all(&self) -> Result<(), Broken> {
        let answer = ok("upload", self.upload(1, self.journal.len()).await?)?;
        same("the cursor after an upload", answer["cursor"].clone(), self.cursor(self.journal.len()))?;
        let lines = ["gatepost-cursor-v1".to_owned(), self.name.clone()];
        self.is_signed("upload", &[&lines[..], &cursor_lines(&answer["cursor"])].concat(), &answer)
    }

    /// What the cursor is after so many entries.
    pub fn cursor(&self, seq: usize) -> Value {
        let head = if seq == 0 { self.genesis() } else { self.journal[seq - 1].1.clone() };
        json!({"epoch": self.epoch, "seq": seq, "head": head})
    }

    /// Greets the ledger with where the journal stands.
    pub async fn hello(&self) -> Result<Value, Broken> {
        let seq = self.journal.len();
        let greeting = json!({"epoch": self.epoch, "seq": seq, "head": self.head()});
        self.greet(&greeting).await
    }

    /// The same with another greeting; checks what the ledger signed.
    pub async fn greet(&self, greeting: &Value) -> Result<Value, Broken> {
        let answer = ok("hello", self.post("hello", greeting).await?)?;
        let said = ["epoch", "seq", "head"].map(|field| plain(&greeting[field]));
        let lease = ["length_ms", "server_ms"].map(|field| plain(&answer["lease"][field]));
        let mut lines = vec!["gatepost-hello-v1".to_owned(), self.name.clone()];
        lines.extend(said);
        lines.extend([plain(&answer["verdict"]), plain(&answer["epoch"])]);
        lines.extend(cursor_lines(&answer["cursor"]));
        lines.extend(lease);
        lines.push(list(&answer["recalls"]));
        lines.push(plain(&answer["wants"]["epoch"]));
        self.is_signed("handshake", &lines, &answer)?;
        Ok(answer)
    }

    /// Asks for points; checks what the ledger signed of each grant.
    pub async fn grant(&self, member: &str, points: i64) -> Result<Value, Broken> {
        let request = self.office.name("request");
        let body = json!({"request": request, "epoch": self.epoch, "member": member, "points": points});
        self.grant_as(&body).await
    }

    /// The same with another request.
    pub async fn grant_as(&self, body: &Value) -> Result<Value, Broken> {
        let answer = ok("a grant", self.post("grants", body).await?)?;
        let grants = answer["grants"].as_array().ok_or("a grant: grants must be a list")?;
        for grant in grants {
            let lot = &grant["lot"];
            let mut lines = vec!["gatepost-grant-v1".to_owned(), self.name.clone()];
            lines.extend(["epoch", "request", "member"].map(|field| plain(&answer[field])));
            lines.extend(["grant", "points"].map(|field| plain(&grant[field])));
            let terms = ["id", "issuer", "funder", "source", "settle_bps", "expires_ms", "valid_from_ms"];
            lines.extend(terms.map(|field| plain(&lot[field])));
            lines.push(list(&lot["places"]));
            lines.push(times(&lot["times"]));
            self.is_signed("grant", &lines, grant)?;
        }
        Ok(answer)
    }

    /// Asks for a grant that must be one whole grant, and takes it into the journal; its id.
    pub async fn granted(&mut self, member: &str, points: i64) -> Result<String, Broken> {
        let answer = self.grant(member, points).await?;
        same("the points of a grant", answer["points"].clone(), json!(points))?;
        let grant = answer["grants"][0]["grant"].as_str().ok_or("a grant: there is none")?.to_owned();
        same("the field that names the only grant", answer["grant"].clone(), json!(grant))?;
        self.write(&json!([{"kind": "grant_accepted", "request": answer["request"], "grant": grant,
            "member": member, "points": points}]));
        Ok(grant)
    }

    /// A record that moves points.
    pub fn moved(&self, kind: &str, member: &str, parts: &[(&str, i64)]) -> Value {
        let points: i64 = parts.iter().map(|part| part.1).sum();
        let parts: Value = parts.iter().map(|(grant, points)| json!({"grant": grant, "points": points})).collect();
        json!({"kind": kind, "op": self.office.name("op"), "member": member, "points": points, "parts": parts})
    }

    /// Sends a signed request to one of this box's addresses.
    pub async fn post(&self, what: &str, body: &Value) -> Result<Answer, Broken> {
        self.send("POST", &format!("/v1/boxes/{}/{what}", self.name), body.to_string().into_bytes(), None).await
    }

    /// Reads with a signed request.
    pub async fn read(&self, path: &str) -> Result<Answer, Broken> {
        self.send("GET", path, Vec::new(), None).await
    }

    /// The same as [`Site::post`] for an upload, compressed.
    pub async fn post_compressed(&self, what: &str, body: &Value) -> Result<Answer, Broken> {
        let bytes = zstd::encode_all(body.to_string().as_bytes(), 3).map_err(|why| why.to_string())?;
        self.send("POST", &format!("/v1/boxes/{}/{what}", self.name), bytes, Some("zstd")).await
    }

    /// Signs and sends.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        body: Vec<u8>,
        encoding: Option<&str>,
    ) -> Result<Answer, Broken> {
        let signature = self.signature(method, path, &body);
        self.send_signed(method, path, body, encoding, &signature).await
    }

    /// Sends with a signature that may be a wrong one.
    pub async fn send_signed(
        &self,
        method: &str,
        path: &str,
        body: Vec<u8>,
        encoding: Option<&str>,
        signature: &str,
    ) -> Result<Answer, Broken> {
        let mut request = self.office.request(method, path)?;
        request = request.header("Gatepost-Box", &self.name).header("Gatepost-Epoch", self.epoch.to_string());
        request = request.header("Gatepost-Signature", signature);
        if let Some(encoding) = encoding {
            request = request.header("Content-Encoding", encoding);
        }
        if !body.is_empty() {
            request = request.header("Content-Type", "application/json").body(body);
        }
        answer(request).await
    }

    /// The signature of a request.
    pub fn signature(&self, method: &str, path: &str, body: &[u8]) -> String {
        let hash = hex::encode(Sha256::digest(body));
        let epoch = self.epoch.to_string();
        let text = ["gatepost-request-v1", method, path, &self.name, &epoch, &hash].join("\n");
        BASE64.encode(self.key.sign(text.as_bytes()))
    }

    fn is_signed(&self, what: &str, lines: &[String], answer: &Value) -> Result<(), Broken> {
        let wrong = || format!("{what}: the signature is not the ledger's over {lines:?} in {answer}");
        let signature = answer["signature"].as_str().and_then(|text| BASE64.decode(text).ok()).ok_or_else(wrong)?;
        let key = BASE64.decode(&self.ledger_key).map_err(|_| "enrol: ledger_key is not base64")?;
        let verified = UnparsedPublicKey::new(&ED25519, key).verify(lines.join("\n").as_bytes(), &signature);
        verified.map_err(|_| wrong())
    }
}

async fn answer(request: reqwest::RequestBuilder) -> Result<Answer, Broken> {
    let response = request.send().await.map_err(|why| format!("the ledger did not answer: {why}"))?;
    let status = response.status().as_u16();
    let bytes = response.bytes().await.map_err(|why| format!("the answer broke off: {why}"))?;
    Ok(Answer { status, body: serde_json::from_slice(&bytes).unwrap_or(Value::Null) })
}

fn cursor_lines(cursor: &Value) -> [String; 3] {
    ["epoch", "seq", "head"].map(|field| plain(&cursor[field]))
}

/// A value as it stands in a signed line.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

fn list(values: &Value) -> String {
    let values = values.as_array().map(Vec::as_slice).unwrap_or_default();
    values.iter().map(plain).collect::<Vec<_>>().join(",")
}

fn times(windows: &Value) -> String {
    let windows = windows.as_array().map(Vec::as_slice).unwrap_or_default();
    let window = |w: &Value| format!("{}@{}-{}", list(&w["days"]), w["from_min"], w["to_min"]);
    windows.iter().map(window).collect::<Vec<_>>().join(";")
}
