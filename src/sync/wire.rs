//! The wire to the cloud ledger, as `docs/cloud-api.md` says it: signed requests, and answers that prove who gave them.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use reqwest::{Client, Method, Response, StatusCode, Url, header};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tracing::warn;

use super::answer::{
    Applied, Cursor, Enrolled, Epochs, Granted, Hello, NewEpoch, Page, Problem, RawPage, SignedGrant, StoredPage,
};
use super::identity::{Identity, is_signed};
use crate::domain::benefit::MonthDay;
use crate::domain::event::{FeedChange, Given, GrantId, JournalHead};
use crate::domain::plate::Plate;
use crate::domain::points::{Lot, Window};
use crate::store::reader::journal::{Entry, GrantRequest};

/// How long a connection may take to come up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a request may take: a full batch over a slow mobile line.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// The largest answer taken: a page of 500 entries to restore from, with room for the envelope.
const ANSWER_BYTES: usize = 12 << 20;
/// From this size on a body is compressed.
const COMPRESS_BYTES: usize = 1 << 10;
/// How hard: the journal shrinks to a tenth at the first level already.
const COMPRESS_LEVEL: i32 = 3;

/// The ledger, as this box sees it.
pub struct Cloud {
    client: Client,
    base: Url,
    box_id: String,
    identity: Mutex<Identity>,
}

/// Why a request brought nothing.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The upload began too late.
    #[error("the ledger is at entry {}, the upload began later", .0.seq)]
    Gap(Cursor),
    /// The journal does not link to what the ledger holds.
    #[error("the ledger holds another history after entry {}", .0.seq)]
    Fork(Cursor),
    /// The ledger does not know the member.
    #[error("the ledger does not know the member")]
    MemberUnknown,
    /// The ledger does not know this box by its key.
    #[error("the ledger does not know this box's key")]
    Unknown,
    /// What was sent will not be taken, however often it is sent again.
    #[error("the ledger refused: {code}: {detail}")]
    Refused {
        /// The refusal's name.
        code: String,
        /// Its words.
        detail: String,
    },
    /// An answer that the ledger cannot have given.
    #[error("an answer about {0} does not bear the cloud ledger's signature")]
    Forged(&'static str),
    /// The line or the ledger failed.
    #[error(transparent)]
    Line(#[from] anyhow::Error),
}

#[derive(Serialize)]
struct Upload<'a> {
    epoch: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    branch: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prev: Option<&'a str>,
    entries: Vec<UploadEntry<'a>>,
}

#[derive(Serialize)]
struct UploadEntry<'a> {
    seq: u64,
    body: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    head: Option<&'a str>,
}

impl Cloud {
    /// The ledger at an address, for a box.
    pub fn new(base: &str, box_id: &str, identity: Identity) -> anyhow::Result<Self> {
        let base = Url::parse(base).with_context(|| format!("read the cloud's address {base:?}"))?;
        let client = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            .tcp_nodelay(true)
            .no_proxy()
            .build()
            .context("build the HTTP client")?;
        Ok(Self { client, base, box_id: box_id.to_owned(), identity: Mutex::new(identity) })
    }

    /// Makes this box's key known; `pinned` is the ledger's key where the settings name it.
    pub async fn enrol(&self, token: &str, pinned: Option<&str>) -> Result<Cursor, Failure> {
        let public_key = self.identity().public_key();
        let body = json!({ "public_key": public_key }).to_string();
        let request = self.client.post(self.url(&self.path("enrol"))?).bearer_auth(token);
        let request = request.header(header::CONTENT_TYPE, "application/json").body(body);
        let answer: Enrolled = answer(request.send().await.context("reach the cloud ledger")?).await?;
        let Enrolled { epoch, ledger_key, cursor, signature } = answer;
        let known = pinned.map(str::to_owned).or_else(|| self.identity().ledger_key().map(str::to_owned));
        let text = lines(&[
            "gatepost-enrol-v1",
            &self.box_id,
            &public_key,
            &epoch.to_string(),
            &cursor.epoch.to_string(),
            &cursor.seq.to_string(),
            &cursor.head,
        ]);
        let expected = known.as_deref().unwrap_or(&ledger_key);
        if expected != ledger_key || !is_signed(expected, &text, &signature) {
            return Err(Failure::Forged("the enrolment"));
        }
        self.identity().enrolled(&ledger_key, epoch)?;
        Ok(cursor)
    }

    /// Whether this box's key was made known before.
    pub fn is_enrolled(&self) -> bool {
        self.identity().ledger_key().is_some()
    }

    /// Greets the ledger with where the journal stands.
    pub async fn hello(&self, at: &JournalHead) -> Result<Hello, Failure> {
        let JournalHead { epoch, seq, head } = at;
        let body = json!({ "epoch": epoch, "seq": seq, "head": head });
        let hello: Hello = self.post(*epoch, "hello", &body).await?;
        let or_dash = |number: Option<i64>| number.map_or("-".to_owned(), |number| number.to_string());
        let text = lines(&[
            "gatepost-hello-v1",
            &self.box_id,
            &epoch.to_string(),
            &seq.to_string(),
            head,
            hello.verdict.word(),
            &hello.epoch.to_string(),
            &hello.cursor.epoch.to_string(),
            &hello.cursor.seq.to_string(),
            &hello.cursor.head,
            &or_dash(hello.lease.map(|lease| lease.length_ms)),
            &or_dash(hello.lease.map(|lease| lease.server_ms.0)),
            &hello.recalls.iter().map(GrantId::as_str).collect::<Vec<_>>().join(","),
            &or_dash(hello.wants.as_ref().map(|wants| i64::from(wants.epoch))),
        ]);
        self.check("the handshake", &text, &hello.signature)?;
        Ok(hello)
    }

    /// Hands in entries of one epoch, or asks how far the ledger is in it with none.
    pub async fn upload(&self, at: u32, epoch: u32, entries: &[Entry]) -> Result<Cursor, Failure> {
        self.hand_in(at, epoch, None, entries).await
    }

    /// Hands in entries that do not link to what the ledger holds, with the head before the first of them.
    pub async fn hand_in_branch(&self, at: u32, epoch: u32, prev: &str, entries: &[Entry]) -> Result<(), Failure> {
        self.hand_in(at, epoch, Some(prev), entries).await.map(|_| ())
    }

    async fn hand_in(&self, at: u32, epoch: u32, prev: Option<&str>, entries: &[Entry]) -> Result<Cursor, Failure> {
        let last = entries.len().saturating_sub(1);
        // The last head proves all before it, and hashes do not compress.
        let sent = entries.iter().enumerate().map(|(n, e)| UploadEntry {
            seq: e.seq,
            body: &e.body,
            head: (n == last).then_some(e.head.as_str()),
        });
        let upload = Upload { epoch, branch: prev.map(|_| true), prev, entries: sent.collect() };
        let applied: Applied = self.post(at, "journal", &upload).await?;
        let Cursor { epoch: of, seq, head } = &applied.cursor;
        let text = lines(&["gatepost-cursor-v1", &self.box_id, &of.to_string(), &seq.to_string(), head]);
        self.check("the cursor", &text, &applied.signature)?;
        if *of != epoch {
            return Err(anyhow::anyhow!("the ledger was asked about epoch {epoch} and speaks of {of}").into());
        }
        Ok(applied.cursor)
    }

    /// Asks for points.
    pub(super) async fn grant(&self, epoch: u32, wanted: &GrantRequest) -> Result<Vec<Given>, Failure> {
        let GrantRequest { request, member, points, standing } = wanted;
        let mut body = json!({ "request": request, "epoch": epoch, "member": member, "points": points });
        if *standing {
            body["standing"] = json!(true);
        }
        let granted: Granted = self.post(epoch, "grants", &body).await?;
        for SignedGrant { grant, points, lot, signature } in &granted.grants {
            let text = lines(&[
                "gatepost-grant-v1",
                &self.box_id,
                &epoch.to_string(),
                request.as_str(),
                member.as_str(),
                grant.as_str(),
                &points.0.to_string(),
                &lot_lines(lot),
            ]);
            self.check("a grant", &text, signature)?;
        }
        let given = granted.grants.into_iter();
        Ok(given.map(|SignedGrant { grant, points, lot, .. }| Given { grant, points, lot }).collect())
    }

    /// Ends an epoch and asks for the next one.
    pub async fn new_epoch(&self, ends: u32, at: &JournalHead, reason: &str) -> Result<NewEpoch, Failure> {
        let body = json!({ "epoch": ends, "seq": at.seq, "head": at.head, "reason": reason });
        let given: NewEpoch = self.post(at.epoch, "epochs", &body).await?;
        let NewEpoch { ended, epoch, cursor, signature } = &given;
        let text = lines(&[
            "gatepost-epoch-v1",
            &self.box_id,
            &ended.to_string(),
            &epoch.to_string(),
            &cursor.epoch.to_string(),
            &cursor.seq.to_string(),
            &cursor.head,
        ]);
        self.check("a new epoch", &text, signature)?;
        if *ended != ends || cursor.epoch != *epoch {
            return Err(anyhow::anyhow!("the ledger was asked to end epoch {ends} and speaks of others").into());
        }
        Ok(given)
    }

    pub(super) async fn feed(&self, epoch: u32, after: u64, limit: usize) -> Result<Page, Failure> {
        let page: RawPage = self.get(epoch, &format!("v1/feed?after={after}&limit={limit}")).await?;
        let changes = page.changes.into_iter().map(change).collect::<Result<_, _>>()?;
        Ok(Page { changes, next: page.next, more: page.more })
    }

    /// How far the ledger is in every epoch of this box.
    pub async fn epochs(&self) -> Result<Vec<Cursor>, Failure> {
        Ok(self.get::<Epochs>(0, &self.path("epochs")).await?.epochs)
    }

    /// A page of what the ledger holds of an epoch.
    pub async fn stored(&self, epoch: u32, after: u64, limit: usize) -> Result<StoredPage, Failure> {
        self.get(0, &format!("{}?epoch={epoch}&after={after}&limit={limit}", self.path("journal"))).await
    }

    fn path(&self, what: &str) -> String {
        format!("v1/boxes/{}/{what}", self.box_id)
    }

    fn url(&self, path: &str) -> anyhow::Result<Url> {
        self.base.join(path).with_context(|| format!("make the address of {path}"))
    }

    async fn get<T: DeserializeOwned>(&self, epoch: u32, path: &str) -> Result<T, Failure> {
        self.send(Method::GET, epoch, path, Vec::new()).await
    }

    async fn post<T: DeserializeOwned>(&self, epoch: u32, what: &str, body: &impl Serialize) -> Result<T, Failure> {
        let body = serde_json::to_vec(body).context("write a request as JSON")?;
        self.send(Method::POST, epoch, &self.path(what), body).await
    }

    async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        epoch: u32,
        path: &str,
        body: Vec<u8>,
    ) -> Result<T, Failure> {
        let url = self.url(path)?;
        let is_large = body.len() >= COMPRESS_BYTES;
        let body =
            if is_large { zstd::encode_all(&body[..], COMPRESS_LEVEL).context("compress a body")? } else { body };
        let target = url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
        let (epoch, signature) = {
            let identity = self.identity();
            // A key opens the epochs from its enrolment on; the journal may still be in an older one.
            let epoch = epoch.max(identity.epoch()).to_string();
            let digest = hex::encode(Sha256::digest(&body));
            let text = lines(&["gatepost-request-v1", method.as_str(), &target, &self.box_id, &epoch, &digest]);
            (epoch, identity.sign(&text))
        };
        let mut request = self.client.request(method, url);
        request = request.header("gatepost-box", &self.box_id).header("gatepost-epoch", epoch);
        request = request.header("gatepost-signature", signature);
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json").body(body);
        }
        if is_large {
            request = request.header(header::CONTENT_ENCODING, "zstd");
        }
        answer(request.send().await.context("reach the cloud ledger")?).await
    }

    fn check(&self, what: &'static str, text: &str, signature: &str) -> Result<(), Failure> {
        let identity = self.identity();
        let is_the_ledgers = identity.ledger_key().is_some_and(|key| is_signed(key, text, signature));
        if is_the_ledgers { Ok(()) } else { Err(Failure::Forged(what)) }
    }

    fn identity(&self) -> MutexGuard<'_, Identity> {
        self.identity.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lines(lines: &[&str]) -> String {
    lines.join("\n")
}

/// The terms of a lot as they are signed.
fn lot_lines(lot: &Lot) -> String {
    let or_dash = |number: Option<i64>| number.map_or("-".to_owned(), |number| number.to_string());
    let window = |Window { days, from_min, to_min }: &Window| {
        let days: Vec<String> = days.iter().map(ToString::to_string).collect();
        format!("{}@{from_min}-{to_min}", days.join(","))
    };
    let times: Vec<String> = lot.times.iter().flatten().map(window).collect();
    lines(&[
        lot.id.as_deref().unwrap_or("-"),
        &lot.issuer,
        &lot.funder,
        &lot.source,
        &or_dash(lot.settle_bps.map(i64::from)),
        &or_dash(lot.expires_ms.map(|at| at.0)),
        &or_dash(lot.valid_from_ms.map(|at| at.0)),
        &lot.places.join(","),
        &times.join(";"),
    ])
}

async fn answer<T: DeserializeOwned>(response: Response) -> Result<T, Failure> {
    let status = response.status();
    let bytes = read(response).await?;
    if status == StatusCode::OK {
        return Ok(serde_json::from_slice(&bytes).context("read the cloud ledger's answer")?);
    }
    let problem: Problem = serde_json::from_slice(&bytes).unwrap_or_else(|_| Problem {
        code: format!("status {status}"),
        detail: "no reason was given".to_owned(),
        cursor: None,
    });
    Err(match (problem.code.as_str(), problem.cursor) {
        ("gap", Some(cursor)) => Failure::Gap(cursor),
        ("fork", Some(cursor)) => Failure::Fork(cursor),
        ("member-unknown", _) => Failure::MemberUnknown,
        ("unauthorised" | "box-unknown", _) => Failure::Unknown,
        _ if is_for_good(status) => Failure::Refused { code: problem.code, detail: problem.detail },
        (code, _) => Failure::Line(anyhow::anyhow!("the ledger failed: {code}: {}", problem.detail)),
    })
}

/// Whether the same request would be answered the same again. A ledger that is slow or broken is not.
fn is_for_good(status: StatusCode) -> bool {
    status.is_client_error() && status != StatusCode::REQUEST_TIMEOUT && status != StatusCode::TOO_MANY_REQUESTS
}

async fn read(mut response: Response) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.context("read the cloud ledger's answer")? {
        anyhow::ensure!(bytes.len() + chunk.len() <= ANSWER_BYTES, "the answer is larger than {ANSWER_BYTES} bytes");
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// A change of the feed. A plate that no camera could read and a birthday on no day are left out; a kind that this version does not know stops
/// the feed, because skipping it could lose a fact.
fn change(mut value: Value) -> anyhow::Result<FeedChange> {
    if let Some(plates) = value.pointer_mut("/member/plates").and_then(Value::as_array_mut) {
        plates.retain(|plate| {
            let is_plate = plate.as_str().is_some_and(|text| text.parse::<Plate>().is_ok());
            if !is_plate {
                warn!("the feed holds a member's plate that is no plate; it is left out");
            }
            is_plate
        });
    }
    if let Some(birthday) = value.pointer_mut("/member/birthday")
        && serde_json::from_value::<Option<MonthDay>>(birthday.clone()).is_err()
    {
        warn!("the feed holds a member's birthday that is no day of a year; it is left out");
        *birthday = Value::Null;
    }
    serde_json::from_value(value).context("read a change of the feed")
}
