//! The interface of `docs/cloud-api.md` over HTTP: who may ask what, how a body is read, how a refusal is told.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Path, Query, Request, State};
use axum::http::{HeaderValue, StatusCode, header, request::Parts};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use axum::{Json, Router};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::clock::now_ms;
use crate::journal::Cursor;
use crate::ledger::{BoxView, Grant, GrantAsk, Hello, Ledger, Refusal, Upload, Welcome, check_name};
use crate::members::{Credit, Done, Feed, MEMBERS_MAX, MemberView, Members, Profile, Spend};
use crate::verify::Report;

/// The most bytes of an upload, as the page promises to boxes.
pub const UPLOAD_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The most bytes of any other body; the largest is a member with all plates and codes.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

/// How many characters a box's name may have: the box builds ids of it, an epoch and two numbers, which must fit too.
pub const BOX_CHARS_MAX: usize = 64;

/// How many requests may wait for the database at once; the others wait in front of it without a thread each.
const TURNS: usize = 32;

/// How long a body may take to arrive, so that a dead line does not keep its connection.
const BODY_WAIT: Duration = Duration::from_secs(30);

/// How long a stop waits for requests that have begun.
const STOP_WAIT: Duration = Duration::from_secs(10);

/// How many changes a page of the feed has where the box does not say.
const CHANGES_DEFAULT: usize = 500;

/// Who may ask: one token for the administrator and one for each box. Kept as hashes, so that finding one takes the
/// same time for every wrong token, and nothing readable stays in memory.
pub struct Tokens {
    admin: Fingerprint,
    boxes: BTreeMap<Fingerprint, String>,
}

type Fingerprint = [u8; 32];

impl Tokens {
    /// The administrator's token, and each box's name with its token. No two may be the same.
    pub fn new(admin: &str, boxes: impl IntoIterator<Item = (String, String)>) -> anyhow::Result<Self> {
        ensure!(!admin.is_empty(), "the administrator's token is empty");
        let mut tokens = Self { admin: fingerprint(admin), boxes: BTreeMap::new() };
        for (name, token) in boxes {
            let is_short = name.chars().count() <= BOX_CHARS_MAX;
            let is_name = is_short && check_name("box", &name).is_ok() && !name.contains(['/', '%', '?', '#']);
            ensure!(is_name, "'{name}' cannot be a box's name");
            ensure!(!token.is_empty(), "the token of box '{name}' is empty");
            ensure!(!tokens.boxes.values().any(|known| *known == name), "box '{name}' is named twice");
            let token = fingerprint(&token);
            ensure!(token != tokens.admin, "box '{name}' has the administrator's token");
            let before = tokens.boxes.insert(token, name.clone());
            ensure!(before.is_none(), "box '{name}' has the token of box '{}'", before.unwrap_or_default());
        }
        Ok(tokens)
    }
}

/// Serves the interface until `shutdown` is ready; then ends the requests that have begun, and returns.
pub async fn serve(
    listener: TcpListener,
    ledger: Arc<Ledger>,
    tokens: Tokens,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    let desk = Arc::new(Desk { ledger, tokens, turns: Semaphore::new(TURNS) });
    let listener = listener.tap_io(|stream| {
        // Answers are small and somebody waits for each; a connection that is gone already shows elsewhere.
        let _ = stream.set_nodelay(true);
    });
    let (stopping, begun) = tokio::sync::oneshot::channel::<()>();
    let shutdown = async move {
        shutdown.await;
        drop(stopping);
    };
    let server = axum::serve(listener, router(desk)).with_graceful_shutdown(shutdown);
    let overdue = async move {
        let _ = begun.await;
        tokio::time::sleep(STOP_WAIT).await;
    };
    tokio::select! {
        ended = server.into_future() => Ok(ended?),
        () = overdue => {
            tracing::warn!("a request did not end in time; stopping without it");
            Ok(())
        }
    }
}

/// What every request needs.
struct Desk {
    ledger: Arc<Ledger>,
    tokens: Tokens,
    turns: Semaphore,
}

type Answer<T> = Result<Json<T>, Problem>;

fn router(desk: Arc<Desk>) -> Router {
    let upload = post(upload).layer(DefaultBodyLimit::max(UPLOAD_BYTES_MAX));
    let others = Router::new()
        .route("/healthz", get(health))
        .route("/v1/boxes/{box}", get(show_box))
        .route("/v1/boxes/{box}/hello", post(hello))
        .route("/v1/boxes/{box}/grants", post(grant))
        .route("/v1/boxes/{box}/fence", post(fence))
        .route("/v1/feed", get(feed))
        .route("/v1/members", get(list_members))
        .route("/v1/members/{id}", get(show_member).put(put_member).delete(remove_member))
        .route("/v1/members/{id}/credits", post(credit))
        .route("/v1/members/{id}/spends", post(spend))
        .route("/v1/verify", get(verify))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX));
    Router::new()
        .route("/v1/boxes/{box}/journal", upload)
        .merge(others)
        .fallback(no_such_page)
        .layer(map_response(as_problem))
        .with_state(desk)
}

async fn health() -> Json<Value> {
    Json(json!({ "ok": true }))
}

async fn hello(State(desk): State<Arc<Desk>>, OwnBox(name): OwnBox, Body(hello): Body<Hello>) -> Answer<Welcome> {
    desk.run(move |ledger| ledger.hello(&name, &hello, now_ms())).await
}

async fn upload(State(desk): State<Arc<Desk>>, OwnBox(name): OwnBox, Body(upload): Body<Upload>) -> Answer<Value> {
    desk.run(move |ledger| ledger.upload(&name, &upload, now_ms()).map(|cursor| json!({ "cursor": cursor }))).await
}

async fn grant(State(desk): State<Arc<Desk>>, OwnBox(name): OwnBox, Body(ask): Body<GrantAsk>) -> Answer<Grant> {
    desk.run(move |ledger| ledger.grant(&name, &ask)).await
}

async fn feed(State(desk): State<Arc<Desk>>, _: AnyBox, Page(page): Page<FeedPage>) -> Answer<Feed> {
    let limit = page.limit.unwrap_or(CHANGES_DEFAULT);
    let after = i64::try_from(page.after).unwrap_or(i64::MAX);
    desk.run(move |ledger| ledger.feed(after, limit)).await
}

async fn fence(
    State(desk): State<Arc<Desk>>,
    _: Admin,
    Path(name): Path<String>,
    Body(fence): Body<Fence>,
) -> Answer<Value> {
    desk.run(move |ledger| ledger.fence(&name, fence.epoch).map(|epoch| json!({ "box": name, "epoch": epoch }))).await
}

async fn show_box(State(desk): State<Arc<Desk>>, _: Admin, Path(name): Path<String>) -> Answer<BoxView> {
    desk.run(move |ledger| ledger.box_view(&name)).await
}

async fn list_members(State(desk): State<Arc<Desk>>, _: Admin, Page(page): Page<MemberPage>) -> Answer<Members> {
    desk.run(move |ledger| ledger.members(&page.after, page.limit.unwrap_or(MEMBERS_MAX))).await
}

async fn show_member(State(desk): State<Arc<Desk>>, _: Admin, Path(id): Path<String>) -> Answer<MemberView> {
    desk.run(move |ledger| ledger.member(&id)).await
}

async fn put_member(
    State(desk): State<Arc<Desk>>,
    _: Admin,
    Path(id): Path<String>,
    Body(profile): Body<Profile>,
) -> Answer<MemberView> {
    desk.run(move |ledger| ledger.put_member(&id, &profile)).await
}

async fn remove_member(State(desk): State<Arc<Desk>>, _: Admin, Path(id): Path<String>) -> Answer<Value> {
    desk.run(move |ledger| ledger.remove_member(&id).map(|()| json!({ "removed": id }))).await
}

async fn credit(
    State(desk): State<Arc<Desk>>,
    _: Admin,
    Path(id): Path<String>,
    Body(credit): Body<Credit>,
) -> Answer<Done> {
    desk.run(move |ledger| ledger.credit(&id, &credit, now_ms())).await
}

async fn spend(
    State(desk): State<Arc<Desk>>,
    _: Admin,
    Path(id): Path<String>,
    Body(spend): Body<Spend>,
) -> Answer<Done> {
    desk.run(move |ledger| ledger.spend(&id, &spend, now_ms())).await
}

async fn verify(State(desk): State<Arc<Desk>>, _: Admin) -> Answer<Report> {
    desk.run(|ledger| ledger.verify()).await
}

async fn no_such_page() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "not-found", "there is nothing at this address")
}

/// Body of `fence`: the epoch that ends.
#[derive(Deserialize)]
struct Fence {
    epoch: u32,
}

#[derive(Deserialize)]
struct FeedPage {
    #[serde(default)]
    after: u64,
    limit: Option<usize>,
}

#[derive(Deserialize)]
struct MemberPage {
    #[serde(default)]
    after: String,
    limit: Option<usize>,
}

impl Desk {
    /// Runs `work` on a thread that may wait for the disk, when its turn has come.
    async fn run<T, E, W>(self: Arc<Self>, work: W) -> Answer<T>
    where
        T: Send + 'static,
        E: Into<Problem> + Send + 'static,
        W: FnOnce(&Ledger) -> Result<T, E> + Send + 'static,
    {
        let _turn = self.turns.acquire().await.expect("the turns are never closed");
        let ledger = Arc::clone(&self.ledger);
        match tokio::task::spawn_blocking(move || work(&ledger)).await {
            Ok(outcome) => outcome.map(Json).map_err(Into::into),
            Err(panicked) => Err(Problem::internal(&panicked.to_string())),
        }
    }
}

/// The caller is the box that the path names.
struct OwnBox(String);

/// The caller is one of the boxes.
struct AnyBox;

/// The caller is the administrator.
struct Admin;

impl FromRequestParts<Arc<Desk>> for OwnBox {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, desk: &Arc<Desk>) -> Result<Self, Response> {
        let Path(name) = Path::<String>::from_request_parts(parts, desk).await.map_err(IntoResponse::into_response)?;
        if bearer(parts).and_then(|token| desk.tokens.boxes.get(&token)) != Some(&name) {
            return Err(Problem::unauthorised("the token is not the one of this box").into_response());
        }
        Ok(Self(name))
    }
}

impl FromRequestParts<Arc<Desk>> for AnyBox {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, desk: &Arc<Desk>) -> Result<Self, Problem> {
        if bearer(parts).is_some_and(|token| desk.tokens.boxes.contains_key(&token)) {
            return Ok(Self);
        }
        Err(Problem::unauthorised("the token is not one of a box"))
    }
}

impl FromRequestParts<Arc<Desk>> for Admin {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, desk: &Arc<Desk>) -> Result<Self, Problem> {
        if bearer(parts) == Some(desk.tokens.admin) {
            return Ok(Self);
        }
        Err(Problem::unauthorised("the token is not the administrator's"))
    }
}

fn bearer(parts: &Parts) -> Option<Fingerprint> {
    let (scheme, token) = parts.headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| fingerprint(token.trim()))
}

fn fingerprint(token: &str) -> Fingerprint {
    Sha256::digest(token).into()
}

/// A JSON body, whatever the caller says its type is; what is wrong with it names the field.
struct Body<T>(T);

impl<T: DeserializeOwned> FromRequest<Arc<Desk>> for Body<T> {
    type Rejection = Response;

    async fn from_request(request: Request, desk: &Arc<Desk>) -> Result<Self, Response> {
        let arriving = tokio::time::timeout(BODY_WAIT, Bytes::from_request(request, desk)).await;
        let late = |_| Problem::new(StatusCode::REQUEST_TIMEOUT, "too-slow", "the body did not arrive in time");
        let bytes = arriving.map_err(late).map_err(IntoResponse::into_response)?;
        let bytes = bytes.map_err(IntoResponse::into_response)?;
        match Json::from_bytes(&bytes) {
            Ok(Json(body)) => Ok(Self(body)),
            Err(wrong) => {
                let text = wrong.body_text();
                let detail = text.strip_prefix("Failed to deserialize the JSON body into the target type: ");
                Err(Problem::bad_request(detail.unwrap_or(&text)).into_response())
            }
        }
    }
}

/// The part of an address after the question mark.
struct Page<T>(T);

impl<T: DeserializeOwned> FromRequestParts<Arc<Desk>> for Page<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, desk: &Arc<Desk>) -> Result<Self, Problem> {
        match Query::from_request_parts(parts, desk).await {
            Ok(Query(page)) => Ok(Self(page)),
            Err(wrong) => Err(Problem::bad_request(&wrong.body_text())),
        }
    }
}

/// A refusal as RFC 9457 has it, with a `code` for programs.
struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    cursor: Option<Cursor>,
}

impl Problem {
    fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), cursor: None }
    }

    fn unauthorised(detail: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorised", detail)
    }

    fn bad_request(detail: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-request", detail)
    }

    /// What went wrong inside is for the log; the caller learns that it may try again.
    fn internal(cause: &str) -> Self {
        tracing::error!(cause, "a request failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the ledger failed; nothing was kept, try again")
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        use StatusCode as S;
        let detail = refusal.to_string();
        let (status, code, cursor) = match refusal {
            Refusal::Database(cause) => return Self::internal(&cause.to_string()),
            Refusal::BadRequest(_) => (S::BAD_REQUEST, "bad-request", None),
            Refusal::MalformedEntry { cursor, .. } => (S::BAD_REQUEST, "bad-request", Some(cursor)),
            Refusal::Gap { cursor } => (S::CONFLICT, "gap", Some(cursor)),
            Refusal::Fork { cursor, .. } => (S::CONFLICT, "fork", Some(cursor)),
            Refusal::UnknownKind { cursor, .. } => (S::UNPROCESSABLE_ENTITY, "unknown-kind", Some(cursor)),
            Refusal::WrongEpoch { .. } => (S::CONFLICT, "wrong-epoch", None),
            Refusal::RequestReused { .. } => (S::UNPROCESSABLE_ENTITY, "request-reused", None),
            Refusal::MemberUnknown(_) => (S::NOT_FOUND, "member-unknown", None),
            Refusal::BoxUnknown(_) => (S::NOT_FOUND, "box-unknown", None),
            Refusal::Taken { .. } => (S::CONFLICT, "taken", None),
            Refusal::InsufficientPoints { .. } => (S::CONFLICT, "insufficient-points", None),
        };
        Self { status, code, detail, cursor }
    }
}

impl From<anyhow::Error> for Problem {
    fn from(cause: anyhow::Error) -> Self {
        Self::internal(&format!("{cause:#}"))
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let title = title(self.code);
        let status = self.status.as_u16();
        let mut body = json!({
            "type": "about:blank", "status": status, "code": self.code, "title": title, "detail": self.detail,
        });
        if let Some(cursor) = self.cursor {
            body["cursor"] = json!(cursor);
        }
        let mut response = (self.status, body.to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_TYPE));
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

const PROBLEM_TYPE: &str = "application/problem+json";

fn title(code: &str) -> &'static str {
    match code {
        "unauthorised" => "The token does not open this",
        "bad-request" => "The request is not what the page says",
        "too-large" => "The body is too large",
        "too-slow" => "The body came too slowly",
        "gap" => "Entries are missing",
        "fork" => "The journal was rewritten",
        "unknown-kind" => "A record of an unknown kind",
        "wrong-epoch" => "Not the box's epoch",
        "request-reused" => "The id was used for something else",
        "member-unknown" => "No such member",
        "box-unknown" => "No such box",
        "taken" => "It belongs to another member",
        "insufficient-points" => "Not enough points",
        "not-found" => "Nothing here",
        "method-not-allowed" => "Not this way",
        _ => "The ledger failed",
    }
}

/// Gives refusals that the router or an extractor made in plain text the shape that all others have.
async fn as_problem(response: Response) -> Response {
    let status = response.status();
    let is_problem = response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == PROBLEM_TYPE);
    if is_problem || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let (code, detail) = match status {
        StatusCode::PAYLOAD_TOO_LARGE => ("too-large", "the body is larger than this address takes"),
        StatusCode::METHOD_NOT_ALLOWED => ("method-not-allowed", "this address does not answer this method"),
        StatusCode::NOT_FOUND => ("not-found", "there is nothing at this address"),
        _ if status.is_client_error() => ("bad-request", "the request could not be read"),
        _ => ("internal", "the ledger failed; nothing was kept, try again"),
    };
    let mut problem = Problem::new(status, code, detail).into_response();
    if let Some(allowed) = response.headers().get(header::ALLOW) {
        problem.headers_mut().insert(header::ALLOW, allowed.clone());
    }
    problem
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_of_the_page_has_a_title_of_its_own() {
        let page = include_str!("../../docs/cloud-api.md");
        let table = page.split("| code | HTTP | meaning |").nth(1).and_then(|rest| rest.split("\n\n").next());
        let cells = table.expect("the table is where it was").lines().filter_map(|row| row.split('|').nth(1));
        let codes: Vec<&str> = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
        assert!(codes.len() >= 16, "{codes:?}");
        let untitled: Vec<_> = codes.into_iter().filter(|code| title(code) == title("nonsense")).collect();
        assert_eq!(untitled, ["internal"]);
    }

    #[test]
    fn tokens_that_would_open_two_doors_are_refused() {
        let tokens = |boxes: &[(&str, &str)]| {
            Tokens::new("a", boxes.iter().map(|(name, token)| ((*name).to_owned(), (*token).to_owned()))).is_ok()
        };
        assert!(tokens(&[("demo-1", "b"), ("demo-2", "c")]));
        assert!(!tokens(&[("demo-1", "a")]));
        assert!(!tokens(&[("demo-1", "b"), ("demo-2", "b")]));
        assert!(!tokens(&[(&"d".repeat(BOX_CHARS_MAX + 1), "b")]));
        assert!(Tokens::new("", []).is_err());
    }
}
