//! Tills and staff: their requests over HTTP become inputs of the loop, and its answers become theirs.

mod access;
mod body;
mod care;
mod gift;
mod lookup;
mod problem;
mod quote;
mod receipt;
mod refs;
#[cfg(test)]
mod rig;
mod rules;
mod staff;
mod status;
#[cfg(test)]
mod tests;
mod tickets;
mod transaction;
mod witness;

use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post};

use crate::domain::benefit::{Known, NotUsed};
use crate::domain::event::{Fen, LaneId, Points, UtcMs};
use crate::domain::rules::Rules;
use crate::domain::stay::Stay;
use crate::domain::tariff::{Fee, PriorVisit};
use crate::photos::Photos;
use crate::site::Handle;
use crate::store::reader::Reader;

pub use access::{Operator, Secret, Terminal};
pub use problem::{Code, Problem};

use access::Attempts;
use refs::MemberRefs;

/// Largest body taken. A commit is under 1 KiB; this leaves room and still cannot fill the box's memory.
const MOST_BODY_BYTES: usize = 64 * 1024;
/// How long a till waits for the loop before it hears that the outcome is unknown.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Told the code of every refused request, for the metrics.
pub type Reject = Arc<dyn Fn(&str) + Send + Sync>;

/// What a stay costs at a moment under the rules of its entry, with what the ledger knows of it.
pub type QuoteStay = Arc<dyn Fn(&Stay, &[PriorVisit], &Known, UtcMs) -> Option<StayPrice> + Send + Sync>;

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
    /// What things cost.
    pub pricing: Pricing,
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
    /// How long a till waits for the loop, [`ANSWER_TIMEOUT`] at a site.
    pub answer_timeout: Duration,
}

/// What things cost, from the rules; `main` ties it to the domain.
#[derive(Clone)]
pub struct Pricing {
    /// Civil time now.
    pub now: Arc<dyn Fn() -> UtcMs + Send + Sync>,
    /// The rules of a version.
    pub rules: Arc<dyn Fn(u32) -> Option<Arc<Rules>> + Send + Sync>,
    /// What a stay costs at a moment under the rules of its entry; `None` where those rules are not there.
    pub quote: QuoteStay,
    /// The points that a sale earns.
    pub earned: Arc<dyn Fn(Fen) -> Points + Send + Sync>,
    /// The inner lots of the rules in force.
    pub zones: Arc<dyn Fn() -> Vec<String> + Send + Sync>,
    /// The money that so many points pay at most.
    pub worth: Arc<dyn Fn(Points) -> Fen + Send + Sync>,
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
}

/// The requests of `docs/till-api.md`, below `/api/v1`.
pub fn router(settings: Settings) -> Router {
    let reject = settings.reject.clone();
    let state =
        Arc::new(Tills { settings, refs: Mutex::default(), in_flight: Mutex::default(), attempts: Mutex::default() });
    let api = Router::new()
        .route("/member-lookups", post(lookup::look_up))
        .route("/quotes", post(quote::quote))
        .route("/transactions", post(transaction::commit))
        .route("/stays/{stay}/validations", post(gift::validate))
        .route("/stays/{stay}/coupons", post(gift::show_coupon))
        .route("/operations/{key}", get(transaction::operation))
        .route("/status", get(status::status))
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
        .route("/staff/counts", post(care::count))
        .route("/staff/days", get(care::days))
        .route("/tickets", post(tickets::issue))
        .route("/tickets/scans", post(tickets::scan))
        .route("/reversals", post(staff::reverse_at_till))
        .route("/staff/reversals", post(staff::reverse))
        .route("/staff/emergency", post(staff::emergency))
        .route("/staff/rules/activate", post(rules::activate))
        .route("/staff/rules/rollback", post(rules::roll_back))
        .route("/staff/books", get(staff::books))
        .route("/staff/photos/{id}", get(staff::photo))
        .fallback(no_such_request)
        .method_not_allowed_fallback(no_such_method)
        .layer(DefaultBodyLimit::max(MOST_BODY_BYTES))
        .layer(middleware::from_fn_with_state(reject, count_rejections))
        .layer(middleware::from_fn_with_state(Arc::clone(&state), witness::hear))
        .with_state(state);
    Router::new().nest("/api/v1", api)
}

async fn no_such_request() -> Problem {
    Problem::new(Code::NotFound, "no such request; docs/till-api.md lists them")
}

async fn no_such_method() -> Problem {
    Problem::new(Code::MethodNotAllowed, "this address takes another method; docs/till-api.md lists them")
}

async fn count_rejections(State(reject): State<Reject>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
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
