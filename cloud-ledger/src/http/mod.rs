//! The interface of `docs/cloud-api.md` over HTTP: which address does what, and the server around it.

mod auth;
mod books;
mod coupons;
mod problem;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{StatusCode, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::serve::ListenerExt;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::boxes::NewEpoch;
use crate::campaigns::{Campaign, CampaignView};
use crate::clock::now_ms;
use crate::debts::{DEBTS_MAX, Debts};
use crate::escrow::{EscrowView, Escrows, GRANTS_SHOWN, Release};
use crate::grants::GRANTS_MAX;
use crate::ledger::{BoxView, Enrolment, EpochEnd, Grant, GrantAsk, Hello, Ledger, Refusal, Upload, Welcome};
use crate::members::{Feed, MEMBERS_MAX, MemberView, Members, Profile};
use crate::merchants::Merchant;
use crate::phones::{PhoneAsk, PhoneToken};
use crate::points::{Credit, Done, Lots, Spend};
use crate::restore::{BranchPage, Epochs, JournalPage};
use crate::sign::PublicKey;
use crate::statement::{LINES_MAX, Period, Statement};
use crate::upload::ENTRIES_MAX;
use crate::verify::Report;

pub use auth::Tokens;
use auth::{Admin, Body, Enrolling, Keys, Page, Reader, Signed};
use books::{Checked, keep_books};
use problem::{Problem, as_problem};

/// The most bytes of an upload, as the page promises to boxes.
pub const UPLOAD_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The most bytes of any other body; the largest is a member with all plates and codes.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

/// How many characters a box's name may have: the box builds ids of it, an epoch and two numbers, which must fit too.
pub const BOX_CHARS_MAX: usize = 64;

/// How many requests may wait for the database at once; the others wait in front of it without a thread each.
const TURNS: usize = 32;

/// How long a stop waits for requests that have begun.
const STOP_WAIT: Duration = Duration::from_secs(10);

/// How many changes a page of the feed has where the box does not say.
const CHANGES_DEFAULT: usize = 500;

/// The interface for programs. A test holds it to the routes below.
const OPENAPI: &str = include_str!("../../openapi.json");

/// Serves the interface until `shutdown` is ready; then ends the requests that have begun, and returns. Meanwhile it
/// computes the books again at the times that the ledger's settings name.
pub async fn serve(
    listener: TcpListener,
    ledger: Arc<Ledger>,
    tokens: Tokens,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    let (turns, keys, checked) = (Semaphore::new(TURNS), Keys::default(), Checked::default());
    let desk = Arc::new(Desk { ledger, tokens, turns, keys, checked });
    let listener = listener.tap_io(|stream| {
        // Answers are small and somebody waits for each; a connection that is gone already shows elsewhere.
        let _ = stream.set_nodelay(true);
    });
    let (stopping, begun) = tokio::sync::oneshot::channel::<()>();
    let shutdown = async move {
        shutdown.await;
        drop(stopping);
    };
    let server = axum::serve(listener, router(Arc::clone(&desk))).with_graceful_shutdown(shutdown);
    let overdue = async move {
        let _ = begun.await;
        tokio::time::sleep(STOP_WAIT).await;
    };
    tokio::select! {
        ended = server.into_future() => Ok(ended?),
        () = keep_books(desk) => Ok(()),
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
    keys: Keys,
    checked: Checked,
}

type Answer<T> = Result<Json<T>, Problem>;

fn router(desk: Arc<Desk>) -> Router {
    let journal = post(upload).get(journal_page).layer(DefaultBodyLimit::max(UPLOAD_BYTES_MAX));
    let boxes = Router::new()
        .route("/v1/boxes/{box}", get(show_box))
        .route("/v1/boxes/{box}/enrol", post(enrol))
        .route("/v1/boxes/{box}/hello", post(hello))
        .route("/v1/boxes/{box}/grants", post(grant).get(list_grants))
        .route("/v1/boxes/{box}/epochs", post(new_epoch).get(list_epochs))
        .route("/v1/boxes/{box}/branch", get(branch_page))
        .route("/v1/boxes/{box}/fence", post(fence))
        .route("/v1/grants/{grant}/recall", post(recall))
        .route("/v1/grants/{grant}/release", post(release));
    let members = Router::new()
        .route("/v1/feed", get(feed))
        .route("/v1/members", get(list_members))
        .route("/v1/members/{id}", get(show_member).put(put_member).delete(remove_member))
        .route("/v1/members/{id}/lots", get(list_lots))
        .route("/v1/members/{id}/phones", post(phone_token))
        .route("/v1/members/{id}/credits", post(credit))
        .route("/v1/members/{id}/spends", post(spend))
        .route("/v1/members/{id}/spends/{op}/reverse", post(reverse))
        .route("/v1/coupons/{id}", get(coupons::show).put(coupons::put))
        .route("/v1/coupons/{id}/release", post(coupons::release))
        .route("/v1/merchants/{id}", put(put_merchant))
        .route("/v1/campaigns/{id}", get(show_campaign).put(put_campaign))
        .route("/v1/debts", get(list_debts))
        .route("/v1/statement", get(statement))
        .route("/v1/verify", get(verify));
    Router::new()
        .route("/healthz", get(health))
        .route("/openapi.json", get(openapi))
        .merge(boxes)
        .merge(members)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .route("/v1/boxes/{box}/journal", journal)
        .fallback(no_such_page)
        .layer(map_response(as_problem))
        .with_state(desk)
}

async fn health(State(desk): State<Arc<Desk>>) -> Answer<Value> {
    desk.ask(|ledger| ledger.is_well()).await?;
    let books = desk.checked.word();
    let at_ms = Some(desk.checked.at_ms.load(Ordering::Relaxed)).filter(|at_ms| *at_ms > 0);
    Ok(Json(json!({ "ok": true, "books": books, "books_at_ms": at_ms })))
}

async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI).into_response()
}

async fn enrol(State(desk): State<Arc<Desk>>, by: Enrolling, Body(key): Body<Key>) -> Answer<Enrolment> {
    let wrong = "public_key: must be the 32 bytes of an Ed25519 key in base64";
    let key = PublicKey::read(&key.public_key).ok_or_else(|| Problem::bad_request(wrong))?;
    desk.run(move |ledger| ledger.enrol(&by.name, key, by.token, now_ms())).await
}

async fn hello(State(desk): State<Arc<Desk>>, asked: Signed<Hello>) -> Answer<Welcome> {
    desk.run(move |ledger| ledger.hello(&asked.caller.name, &asked.body, now_ms())).await
}

async fn upload(State(desk): State<Arc<Desk>>, asked: Signed<Upload>) -> Answer<Value> {
    desk.run(move |ledger| {
        let name = &asked.caller.name;
        let cursor = ledger.upload(name, &asked.body, now_ms())?;
        Ok::<_, Refusal>(json!({ "cursor": cursor, "signature": ledger.sign_cursor(name, &cursor) }))
    })
    .await
}

async fn grant(State(desk): State<Arc<Desk>>, asked: Signed<GrantAsk>) -> Answer<Grant> {
    desk.run(move |ledger| {
        let Signed { caller, body } = asked;
        // A box of the first kind understands one grant only.
        let Some((epoch, key)) = caller.signer else {
            return Ok(ledger.grant(&caller.name, &body, 1, now_ms())?);
        };
        ledger.check_current(&caller.name, Some(key))?;
        if epoch != body.epoch {
            let why = "gatepost-epoch: grants are asked for in the epoch that they are for";
            return Err(Problem::new(StatusCode::CONFLICT, "wrong-epoch", why));
        }
        Ok(ledger.grant(&caller.name, &body, GRANTS_MAX, now_ms())?)
    })
    .await
}

async fn new_epoch(State(desk): State<Arc<Desk>>, asked: Signed<EpochEnd>) -> Answer<NewEpoch> {
    desk.run(move |ledger| {
        let name = &asked.caller.name;
        ledger.check_current(name, asked.caller.signer.map(|(_, key)| key))?;
        ledger.new_epoch(name, &asked.body, now_ms())
    })
    .await
}

async fn list_epochs(State(desk): State<Arc<Desk>>, Path(name): Path<String>, by: Reader) -> Answer<Epochs> {
    desk.run(move |ledger| {
        check_reader(ledger, &by)?;
        ledger.epochs(&name)
    })
    .await
}

async fn journal_page(
    State(desk): State<Arc<Desk>>,
    Path(name): Path<String>,
    by: Reader,
    Page(page): Page<EntriesPage>,
) -> Answer<JournalPage> {
    desk.run(move |ledger| {
        check_reader(ledger, &by)?;
        ledger.journal_page(&name, page.epoch, page.after, page.limit.unwrap_or(ENTRIES_MAX))
    })
    .await
}

async fn feed(State(desk): State<Arc<Desk>>, by: Reader, Page(page): Page<FeedPage>) -> Answer<Feed> {
    if let Reader::Admin = by {
        return Err(Problem::unauthorised("the feed is for boxes"));
    }
    let limit = page.limit.unwrap_or(CHANGES_DEFAULT);
    let after = i64::try_from(page.after).unwrap_or(i64::MAX);
    desk.run(move |ledger| ledger.feed(after, limit)).await
}

async fn branch_page(
    State(desk): State<Arc<Desk>>,
    _: Admin,
    Path(name): Path<String>,
    Page(page): Page<EntriesPage>,
) -> Answer<BranchPage> {
    let limit = page.limit.unwrap_or(ENTRIES_MAX);
    desk.run(move |ledger| ledger.branch_page(&name, page.epoch, page.after, limit)).await
}

async fn fence(
    State(desk): State<Arc<Desk>>,
    _: Admin,
    Path(name): Path<String>,
    Body(fence): Body<Fence>,
) -> Answer<Value> {
    desk.run(move |ledger| {
        let epoch = ledger.fence(&name, fence.epoch, fence.revoke)?;
        Ok::<_, Refusal>(json!({ "box": name, "epoch": epoch }))
    })
    .await
}

async fn show_box(State(desk): State<Arc<Desk>>, _: Admin, Path(name): Path<String>) -> Answer<BoxView> {
    desk.run(move |ledger| ledger.box_view(&name)).await
}

async fn list_grants(
    State(desk): State<Arc<Desk>>,
    _: Admin,
    Path(name): Path<String>,
    Page(page): Page<NamePage>,
) -> Answer<Escrows> {
    desk.run(move |ledger| ledger.escrows(&name, &page.after, page.limit.unwrap_or(GRANTS_SHOWN))).await
}

async fn recall(State(desk): State<Arc<Desk>>, _: Admin, Path(grant): Path<String>) -> Answer<EscrowView> {
    desk.run(move |ledger| ledger.recall(&grant)).await
}

async fn release(
    State(desk): State<Arc<Desk>>,
    _: Admin,
    Path(grant): Path<String>,
    Body(release): Body<Release>,
) -> Answer<EscrowView> {
    desk.run(move |ledger| ledger.release(&grant, &release, now_ms())).await
}

async fn list_members(State(desk): State<Arc<Desk>>, _: Admin, Page(page): Page<NamePage>) -> Answer<Members> {
    desk.run(move |ledger| ledger.members(&page.after, page.limit.unwrap_or(MEMBERS_MAX))).await
}

async fn show_member(State(desk): State<Arc<Desk>>, _: Admin, Path(id): Path<String>) -> Answer<MemberView> {
    desk.run(move |ledger| ledger.member(&id)).await
}

async fn list_lots(State(desk): State<Arc<Desk>>, _: Admin, Path(id): Path<String>) -> Answer<Lots> {
    desk.run(move |ledger| ledger.lots(&id)).await
}

async fn phone_token(
    State(desk): State<Arc<Desk>>,
    _: Admin,
    Path(id): Path<String>,
    Body(ask): Body<PhoneAsk>,
) -> Answer<PhoneToken> {
    desk.run(move |ledger| ledger.phone_token(&id, &ask, now_ms())).await
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

async fn put_merchant(
    State(desk): State<Arc<Desk>>,
    _: Admin,
    Path(id): Path<String>,
    Body(merchant): Body<Merchant>,
) -> Answer<Value> {
    desk.run(move |ledger| ledger.put_merchant(&id, &merchant).map(|()| json!({ "told": id }))).await
}

async fn put_campaign(
    State(desk): State<Arc<Desk>>,
    _: Admin,
    Path(id): Path<String>,
    Body(campaign): Body<Campaign>,
) -> Answer<Value> {
    desk.run(move |ledger| ledger.put_campaign(&id, &campaign, now_ms()).map(|()| json!({ "told": id }))).await
}

async fn show_campaign(State(desk): State<Arc<Desk>>, _: Admin, Path(id): Path<String>) -> Answer<CampaignView> {
    desk.run(move |ledger| ledger.campaign(&id)).await
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

async fn reverse(
    State(desk): State<Arc<Desk>>,
    _: Admin,
    Path((id, op)): Path<(String, String)>,
    Body(reverse): Body<Spend>,
) -> Answer<Done> {
    desk.run(move |ledger| ledger.reverse(&id, &op, &reverse, now_ms())).await
}

async fn list_debts(State(desk): State<Arc<Desk>>, _: Admin, Page(page): Page<DebtPage>) -> Answer<Debts> {
    desk.run(move |ledger| ledger.debts(&page.after, page.limit.unwrap_or(DEBTS_MAX), page.open)).await
}

async fn statement(State(desk): State<Arc<Desk>>, _: Admin, Page(page): Page<StatementPage>) -> Answer<Statement> {
    desk.run(move |ledger| {
        let period = Period {
            from_ms: page.from_ms,
            to_ms: page.to_ms,
            member: page.member,
            box_name: page.box_name,
            issuer: page.issuer,
        };
        ledger.statement(&period, page.after, page.limit.unwrap_or(LINES_MAX))
    })
    .await
}

async fn verify(State(desk): State<Arc<Desk>>, _: Admin) -> Answer<Report> {
    desk.run(|ledger| ledger.verify()).await
}

async fn no_such_page() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "not-found", "there is nothing at this address")
}

/// A restore is for the box as it is now, not for one that was lost.
fn check_reader(ledger: &Ledger, by: &Reader) -> Result<(), Refusal> {
    match by {
        Reader::Admin => Ok(()),
        Reader::Box(caller) => ledger.check_current(&caller.name, caller.signer.map(|(_, key)| key)),
    }
}

/// Body of `enrol`.
#[derive(Deserialize)]
struct Key {
    public_key: String,
}

/// Body of `fence`: the epoch that ends, and whether the box's key is taken back too.
#[derive(Deserialize)]
struct Fence {
    epoch: u32,
    #[serde(default)]
    revoke: bool,
}

#[derive(Deserialize)]
struct FeedPage {
    #[serde(default)]
    after: u64,
    limit: Option<usize>,
}

#[derive(Deserialize)]
struct EntriesPage {
    epoch: u32,
    #[serde(default)]
    after: i64,
    limit: Option<usize>,
}

#[derive(Deserialize)]
struct NamePage {
    #[serde(default)]
    after: String,
    limit: Option<usize>,
}

#[derive(Deserialize)]
struct DebtPage {
    #[serde(default)]
    after: String,
    limit: Option<usize>,
    #[serde(default)]
    open: bool,
}

#[derive(Deserialize)]
struct StatementPage {
    from_ms: i64,
    to_ms: i64,
    member: Option<String>,
    #[serde(rename = "box")]
    box_name: Option<String>,
    issuer: Option<String>,
    #[serde(default)]
    after: i64,
    limit: Option<usize>,
}

impl Desk {
    /// Runs `work` on a thread that may wait for the disk, when its turn has come.
    async fn ask<T, E, W>(self: &Arc<Self>, work: W) -> Result<T, Problem>
    where
        T: Send + 'static,
        E: Into<Problem> + Send + 'static,
        W: FnOnce(&Ledger) -> Result<T, E> + Send + 'static,
    {
        let _turn = self.turns.acquire().await.expect("the turns are never closed");
        let ledger = Arc::clone(&self.ledger);
        match tokio::task::spawn_blocking(move || work(&ledger)).await {
            Ok(outcome) => outcome.map_err(Into::into),
            Err(panicked) => Err(Problem::internal(&panicked.to_string())),
        }
    }

    /// The same, as the answer to a request.
    async fn run<T, E, W>(self: Arc<Self>, work: W) -> Answer<T>
    where
        T: Send + 'static,
        E: Into<Problem> + Send + 'static,
        W: FnOnce(&Ledger) -> Result<T, E> + Send + 'static,
    {
        self.ask(work).await.map(Json)
    }
}
