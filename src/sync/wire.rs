//! The wire to the cloud ledger, as `docs/cloud-api.md` says it.

use std::time::Duration;

use anyhow::Context;
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tracing::warn;

use crate::domain::event::{FeedChange, GrantId, Points};
use crate::domain::plate::Plate;
use crate::store::reader::journal::{Entry, GrantRequest};

/// How long a connection may take to come up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a request may take: a full batch over a slow mobile line.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// The largest answer taken: a page of 500 members with their plates is a tenth of it.
const ANSWER_BYTES: usize = 4 << 20;

/// The ledger, as this box sees it.
pub(super) struct Cloud {
    client: Client,
    base: Url,
    box_id: String,
    token: String,
}

/// Why a request brought nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("the ledger is at entry {}, the upload began later", .0.seq)]
    Gap(Cursor),
    #[error("the ledger holds another history after entry {}", .0.seq)]
    Fork(Cursor),
    #[error("the ledger does not know the member")]
    MemberUnknown,
    /// What was sent will not be taken, however often it is sent again.
    #[error("the ledger refused: {code}: {detail}")]
    Refused { code: String, detail: String },
    #[error(transparent)]
    Line(#[from] anyhow::Error),
}

/// How far the ledger is.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Cursor {
    /// 0 where the ledger does not say.
    #[serde(default)]
    pub epoch: u32,
    pub seq: u64,
}

/// The answer to a greeting.
#[derive(Debug, Deserialize)]
pub(super) struct Hello {
    pub verdict: Verdict,
    pub cursor: Cursor,
}

/// What the ledger thinks of this journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Verdict {
    Ok,
    Behind,
    Fork,
    WrongEpoch,
}

/// A page of the feed.
#[derive(Debug)]
pub(super) struct Page {
    pub changes: Vec<FeedChange>,
    pub next: u64,
    pub more: bool,
}

/// The answer to a request for a grant.
#[derive(Debug, Deserialize)]
pub(super) struct Given {
    pub grant: Option<GrantId>,
    pub points: Points,
    pub epoch: u32,
}

#[derive(Serialize)]
struct Upload<'a> {
    epoch: u32,
    entries: Vec<UploadEntry<'a>>,
}

#[derive(Serialize)]
struct UploadEntry<'a> {
    seq: u64,
    body: &'a str,
    head: &'a str,
}

#[derive(Deserialize)]
struct Applied {
    cursor: Cursor,
}

#[derive(Deserialize)]
struct RawPage {
    changes: Vec<Value>,
    next: u64,
    more: bool,
}

#[derive(Deserialize)]
struct Problem {
    #[serde(default)]
    code: String,
    #[serde(default)]
    detail: String,
    cursor: Option<Cursor>,
}

impl Cloud {
    pub fn new(base: &str, box_id: &str, token: &str) -> anyhow::Result<Self> {
        let base = Url::parse(base).with_context(|| format!("read the cloud's address {base:?}"))?;
        let client = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            .tcp_nodelay(true)
            .no_proxy()
            .build()
            .context("build the HTTP client")?;
        Ok(Self { client, base, box_id: box_id.to_owned(), token: token.to_owned() })
    }

    pub async fn hello(&self, epoch: u32, seq: u64, head: &str) -> Result<Hello, Failure> {
        let body = json!({ "epoch": epoch, "seq": seq, "head": head });
        self.send(self.post("hello")?.json(&body)).await
    }

    pub async fn upload(&self, epoch: u32, entries: &[Entry]) -> Result<Cursor, Failure> {
        let entries = entries.iter().map(|e| UploadEntry { seq: e.seq, body: &e.body, head: &e.head }).collect();
        let applied: Applied = self.send(self.post("journal")?.json(&Upload { epoch, entries })).await?;
        Ok(applied.cursor)
    }

    pub async fn grant(&self, epoch: u32, wanted: &GrantRequest) -> Result<Given, Failure> {
        let GrantRequest { request, member, points } = wanted;
        let body = json!({ "request": request, "epoch": epoch, "member": member, "points": points });
        self.send(self.post("grants")?.json(&body)).await
    }

    pub async fn feed(&self, after: u64, limit: usize) -> Result<Page, Failure> {
        let url = self.url(&format!("v1/feed?after={after}&limit={limit}"))?;
        let page: RawPage = self.send(self.client.get(url)).await?;
        let changes = page.changes.into_iter().map(change).collect::<Result<_, _>>()?;
        Ok(Page { changes, next: page.next, more: page.more })
    }

    fn post(&self, what: &str) -> anyhow::Result<RequestBuilder> {
        Ok(self.client.post(self.url(&format!("v1/boxes/{}/{what}", self.box_id))?))
    }

    fn url(&self, path: &str) -> anyhow::Result<Url> {
        self.base.join(path).with_context(|| format!("make the address of {path}"))
    }

    async fn send<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, Failure> {
        let response = request.bearer_auth(&self.token).send().await.context("reach the cloud ledger")?;
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
            _ if is_for_good(status) => Failure::Refused { code: problem.code, detail: problem.detail },
            (code, _) => Failure::Line(anyhow::anyhow!("the ledger failed: {code}: {}", problem.detail)),
        })
    }
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

/// A change of the feed. A plate that no camera could read is left out; a kind that this version does not know stops
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
    serde_json::from_value(value).context("read a change of the feed")
}
