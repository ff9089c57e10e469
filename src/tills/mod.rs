//! Tills and staff: their requests over HTTP become inputs of the loop, and its answers become theirs.

mod access;
mod body;
mod care;
mod closing;
mod days;
mod holds;
mod http;
mod merchant_page;
mod merchants;
mod news;
mod office;
mod openapi;
mod pairing;
mod paper;
mod problem;
mod refs;
#[cfg(test)]
mod rig;
mod rules;
mod scanners;
mod slip;
mod staff;
mod terminals;
#[cfg(test)]
mod tests;
mod tickets;
mod transports;
mod verbs;
mod wallet;
mod witness;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::sync::{OnceCell, broadcast, watch};

use crate::domain::benefit::{Basket, Known, NotUsed, SaleEarns, ValidationKind};
use crate::domain::event::{BusinessDay, Fen, LaneId, Pairing, Points, TerminalId, UtcMs};
use crate::domain::rules::Rules;
use crate::domain::stay::Stay;
use crate::domain::tariff::{Fee, PriorVisit};
use crate::member_code;
use crate::photos::Photos;
use crate::site::Handle;
use crate::store::reader::Reader;
use crate::store::reader::news::News;

pub use access::{Operator, Secret, Terminal};
pub use closing::OpenFrom;
pub use merchants::Merchant;
pub use problem::{Code, Problem};
pub use scanners::Scanner;
pub use transports::{Access, Bus, Charset, Tap, TillLine, hostile};

use access::{Attempts, Pace};
use merchant_page::Searches;
use pairing::Waiting;
use refs::MemberRefs;
use scanners::Scan;
use verbs::BoxState;

/// Largest body taken. A commit is under 1 KiB; this leaves room and still cannot fill the box's memory.
const MOST_BODY_BYTES: usize = 64 * 1024;
/// How long a till waits for the loop before it hears that the outcome is unknown.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// How many requests a second one till may make: a queue of stored sales goes out in seconds, and a till that has lost
/// its mind takes no more than its share.
pub const MOST_REQUESTS_PER_S: u32 = 50;

/// Told the code of every refused request, for the metrics.
pub type Reject = Arc<dyn Fn(&str) + Send + Sync>;

/// What a stay costs at a moment under the rules of its entry, with what the ledger knows of it.
pub type QuoteStay = Arc<dyn Fn(&Stay, &[PriorVisit], &Known, UtcMs) -> Option<StayPrice> + Send + Sync>;

/// What a basket would earn a member now under the rules in force, or why its coupon would not be used; and the member's
/// price level. The time of the sale is the clock's.
pub type EarnedBy = Arc<dyn Fn(&Basket<'_>) -> (Result<SaleEarns, NotUsed>, Option<String>) + Send + Sync>;

/// Reads and proves the rules files of the settings.
pub type ReadRules = Arc<dyn Fn() -> Result<String, String> + Send + Sync>;

/// What the room needs; `main` puts it together.
#[derive(Clone)]
pub struct Settings {
    /// The way into the loop.
    pub handle: Handle,
    /// The way to look at the ledger file.
    pub reader: Reader,
    /// The pictures of arrivals.
    pub photos: Photos,
    /// The tills of the site.
    pub terminals: Vec<Terminal>,
    /// The people who may act at a lane.
    pub operators: Vec<Operator>,
    /// The lanes of the site.
    pub lanes: Vec<LaneId>,
    /// Scanners of their own.
    pub scanners: Vec<Scanner>,
    /// The shops of the site, as far as the settings know them.
    pub merchants: Vec<Merchant>,
    /// What things cost.
    pub pricing: Pricing,
    /// The site's name, for the head of what a till prints.
    pub site: String,
    /// The site's time zone, for the times that a till prints.
    pub zone: jiff::tz::TimeZone,
    /// Whether the line to the cloud is up.
    pub cloud_is_up: Arc<AtomicBool>,
    /// Told the code of every refused request.
    pub reject: Reject,
    /// Reads and proves the rules files of the settings, or says what is wrong with them.
    pub read_rules: ReadRules,
    /// What this box seals its tickets with.
    pub ticket_key: Secret,
    /// The cloud ledger's keys, by which members' phones are known.
    pub code_keys: member_code::Keys,
    /// The first business day that the box does not close by itself yet; none: staff alone close days.
    pub open_from: Option<OpenFrom>,
    /// How long a till waits for the loop, [`ANSWER_TIMEOUT`] at a site.
    pub answer_timeout: Duration,
    /// How many requests a second each till may make, [`MOST_REQUESTS_PER_S`] at a site.
    pub most_requests_per_s: u32,
}

/// What things cost, from the rules; `main` ties it to the domain.
#[derive(Clone)]
pub struct Pricing {
    /// Civil time now.
    pub now: Arc<dyn Fn() -> UtcMs + Send + Sync>,
    /// The business day now.
    pub today: Arc<dyn Fn() -> BusinessDay + Send + Sync>,
    /// The rules of a version.
    pub rules: Arc<dyn Fn(u32) -> Option<Arc<Rules>> + Send + Sync>,
    /// What a stay costs at a moment under the rules of its entry; `None` where those rules are not there.
    pub quote: QuoteStay,
    /// The points that a sale earns a member now, and the price level that the member has.
    pub earned: EarnedBy,
    /// The inner lots of the rules in force.
    pub zones: Arc<dyn Fn() -> Vec<String> + Send + Sync>,
    /// What shops may give under the rules in force.
    pub gifts: Arc<dyn Fn() -> Vec<ValidationKind> + Send + Sync>,
    /// What tiers, coupons and shops give, in Chinese and English, for a sheet of paper.
    pub sheet: Arc<dyn Fn() -> Vec<(String, String)> + Send + Sync>,
    /// The money that so many points pay at most of an amount.
    pub worth: Arc<dyn Fn(Points, Fen) -> Fen + Send + Sync>,
}

/// What a stay costs at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StayPrice {
    /// The fee and why.
    pub fee: Fee,
    /// What is still to be paid.
    pub due: Fen,
    /// The points that would pay it.
    pub points_needed: Points,
    /// What points may pay of it.
    pub points_cap: Fen,
    /// Benefits that were looked at and not used, and why.
    pub not_used: Vec<NotUsed>,
}

/// The room's own state: the settings and what is only known while the process lives.
struct Tills {
    settings: Settings,
    refs: Mutex<MemberRefs>,
    in_flight: Mutex<BTreeSet<(String, String)>>,
    attempts: Mutex<Attempts>,
    pace: Mutex<Pace>,
    waiting: Mutex<Waiting>,
    scans: Mutex<BTreeMap<TerminalId, Scan>>,
    searches: Mutex<Searches>,
    paired: OnceCell<Mutex<BTreeMap<TerminalId, Pairing>>>,
    news: watch::Sender<Option<BoxState>>,
    told: broadcast::Sender<Arc<News>>,
    streams: Mutex<BTreeMap<TerminalId, usize>>,
    present: Mutex<BTreeMap<TerminalId, bool>>,
}

impl Tills {
    fn new(settings: Settings) -> Arc<Self> {
        Arc::new(Self {
            settings,
            refs: Mutex::default(),
            in_flight: Mutex::default(),
            attempts: Mutex::default(),
            pace: Mutex::default(),
            waiting: Mutex::default(),
            scans: Mutex::default(),
            searches: Mutex::default(),
            paired: OnceCell::new(),
            news: watch::Sender::default(),
            told: broadcast::Sender::new(news::MOST_TOLD),
            streams: Mutex::default(),
            present: Mutex::default(),
        })
    }
}

/// The requests of `docs/till-api.md`, below `/api/v1`.
pub fn router(settings: Settings) -> Router {
    serve(Tills::new(settings))
}

/// The same, with the tills on other lines than HTTP, and with the clock that ends what they forget. Needs a runtime.
pub fn open(settings: Settings, lines: Vec<TillLine>) -> Router {
    let Settings { reader, handle, pricing, open_from, .. } = settings.clone();
    if let Some(open_from) = open_from {
        tokio::spawn(closing::keep(reader.clone(), handle.clone(), open_from));
    }
    tokio::spawn(holds::keep(reader, handle, pricing.now));
    let tills = Tills::new(settings);
    tokio::spawn(news::keep(Arc::clone(&tills)));
    transports::serve(&tills, lines);
    scanners::listen(&tills);
    serve(tills)
}

fn serve(state: Arc<Tills>) -> Router {
    let reject = state.settings.reject.clone();
    let api = http::routes()
        .route("/events", get(news::events))
        .route("/pairings", post(pairing::begin))
        .route("/pairings/{pairing}", get(pairing::poll))
        .route("/staff/pairings", post(pairing::let_in))
        .route("/staff/terminals", get(terminals::list))
        .route("/staff/terminals/{terminal}/revocation", post(pairing::shut_out))
        .route("/staff/lanes/{lane}/raise", post(staff::raise))
        .route("/staff/lanes/{lane}/settle", post(staff::settle))
        .route("/staff/lanes/{lane}/stay", post(staff::choose_stay))
        .route("/staff/lanes/{lane}/candidates", get(staff::candidates))
        .route("/staff/lanes/{lane}/plate", post(staff::correct_plate))
        .route("/staff/lanes/{lane}/ticket", post(tickets::by_guard))
        .route("/staff/lanes/{lane}/no-entry", post(staff::no_entry))
        .route("/staff/stays/{stay}/correct", post(care::correct))
        .route("/staff/stays/{stay}/merge", post(care::merge))
        .route("/staff/stays/{stay}/split", post(care::split))
        .route("/staff/stays/{stay}/end", post(care::end))
        .route("/staff/stays/{stay}/approve", post(care::approve))
        .route("/staff/counts", post(care::count))
        .route("/staff/days", get(care::days))
        .route("/tickets", post(tickets::issue))
        .route("/tickets/scans", post(tickets::scan))
        .route("/scans", post(scanners::scan))
        .route("/merchant/totals", post(merchant_page::totals))
        .route("/merchant/stays", post(merchant_page::stays))
        .route("/merchant/gifts", post(merchant_page::gift))
        .route("/merchant/coupons", post(merchant_page::coupon))
        .route("/merchant/coupon-checks", post(merchant_page::check))
        .route("/merchant/disputes", post(merchant_page::dispute))
        .route("/staff/reversals", post(staff::reverse))
        .route("/staff/points", post(office::points))
        .route("/staff/vouchers", get(paper::print))
        .route("/staff/vouchers", post(paper::give_out))
        .route("/staff/vouchers/next", get(paper::next))
        .route("/staff/vouchers/uses", post(paper::key_in))
        .route("/staff/vouchers/checks", post(paper::check))
        .route("/staff/disputes", get(office::disputes))
        .route("/staff/disputes", post(office::dispute))
        .route("/staff/disputes/settlements", post(office::settle))
        .route("/staff/emergency", post(staff::emergency))
        .route("/staff/rules/activate", post(rules::activate))
        .route("/staff/rules/rollback", post(rules::roll_back))
        .route("/staff/books", get(staff::books))
        .route("/staff/business-days/{day}", get(days::look))
        .route("/staff/business-days/{day}/close", post(days::close))
        .route("/staff/business-days/{day}/statements/{party}", get(days::statement))
        .route("/staff/photos/{id}", get(staff::photo))
        .fallback(no_such_request)
        .method_not_allowed_fallback(no_such_method)
        .layer(DefaultBodyLimit::max(MOST_BODY_BYTES))
        .layer(middleware::from_fn_with_state(reject, count_rejections))
        .layer(middleware::from_fn_with_state(Arc::clone(&state), witness::hear))
        .with_state(state);
    Router::new().nest("/api/v1", api).merge(merchant_page::pages())
}

async fn no_such_request() -> Problem {
    Problem::new(Code::NotFound, "no such request; docs/till-api.md lists them")
}

async fn no_such_method() -> Problem {
    Problem::new(Code::MethodNotAllowed, "this address takes another method; docs/till-api.md lists them")
}

async fn count_rejections(State(reject): State<Reject>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let is_refused = response.status().is_client_error() || response.status().is_server_error();
    if is_refused && response.extensions().get::<Code>().is_none() {
        // An address or a query that cannot be read at all is refused before any of our own code sees it.
        let wrong = "the address or what stands behind it cannot be read; each field is allowed once, in UTF-8";
        response = Problem::new(Code::BadRequest, wrong).into_response();
    }
    if let Some(code) = response.extensions().get::<Code>() {
        reject(code.as_str());
    }
    response
}

/// A moment as a till reads it: RFC 3339 with the site's offset.
fn local_time(at: UtcMs, zone: &jiff::tz::TimeZone) -> String {
    match jiff::Timestamp::from_millisecond(at.0) {
        Ok(moment) => moment.to_zoned(zone.clone()).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
        Err(_) => String::new(),
    }
}

/// A business day as a till reads it, `2026-03-01`.
fn date(day: BusinessDay) -> String {
    let date = jiff::civil::date(1970, 1, 1).checked_add(jiff::Span::new().days(day.0));
    date.map_or_else(|_| String::new(), |date| date.to_string())
}

/// The business day of such a text.
fn day_of(text: &str) -> Option<BusinessDay> {
    let days = text.parse::<jiff::civil::Date>().ok()?.since(jiff::civil::date(1970, 1, 1)).ok()?.get_days();
    Some(BusinessDay(days))
}
