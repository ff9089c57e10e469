//! Staff and the books: what is put right with evidence, what was counted, and what was lost on a day.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use serde_json::{Value, json};

use super::Tills;
use super::access::text_header;
use super::body::Body;
use super::problem::{Code, Problem};
use super::staff::{Answer, Given, MOST_NAME_CHARS, MOST_REASON_CHARS};
use super::verbs::MOST_STAY_CHARS;
use crate::domain::event::{Correction, Input, StayId, UtcMs, Wrong};

/// Longest evidence: a photo's name, or who saw what.
const MOST_EVIDENCE_CHARS: usize = 400;
/// The most vehicles that anybody counts.
const MOST_VEHICLES: i64 = 100_000;
/// The most days that a page shows.
const MOST_DAYS: usize = 31;

/// `POST /staff/stays/{stay}/correct`: its plate or the time of its entry was wrong.
pub(super) async fn correct(State(tills): State<Arc<Tills>>, Path(stay): Path<String>, body: Given) -> Answer {
    let body = Body::parse(body, &["operator", "pin", "reason", "evidence", "plate", "entered_at"])?;
    let stay = stay_id(&stay)?;
    let what = match (body.plate("plate")?, body.moment("entered_at")?) {
        (Some(plate), None) => Wrong::Plate { stay, plate },
        (None, Some(entry)) => Wrong::Entry { stay, entry },
        (Some(_), Some(_)) | (None, None) => {
            return Err(Problem::field("plate", "exactly one of plate and entered_at is allowed"));
        }
    };
    tills.put_right(&body, what).await
}

/// `POST /staff/stays/{stay}/merge`: it is one visit with another that began before it.
pub(super) async fn merge(State(tills): State<Arc<Tills>>, Path(stay): Path<String>, body: Given) -> Answer {
    let body = Body::parse(body, &["operator", "pin", "reason", "evidence", "first"])?;
    let first = StayId(body.needed_text("first", MOST_STAY_CHARS)?.to_owned());
    let stay = stay_id(&stay)?;
    tills.put_right(&body, Wrong::Merge { first, stay }).await
}

/// `POST /staff/stays/{stay}/split`: its vehicle has gone and come again unseen.
pub(super) async fn split(State(tills): State<Arc<Tills>>, Path(stay): Path<String>, body: Given) -> Answer {
    let body = Body::parse(body, &["operator", "pin", "reason", "evidence", "left_at", "back_at"])?;
    let (left, back) = (needed_moment(&body, "left_at")?, needed_moment(&body, "back_at")?);
    let stay = stay_id(&stay)?;
    tills.put_right(&body, Wrong::Split { stay, left, back }).await
}

/// `POST /staff/stays/{stay}/end`: its vehicle is not inside any more.
pub(super) async fn end(State(tills): State<Arc<Tills>>, Path(stay): Path<String>, body: Given) -> Answer {
    let body = Body::parse(body, &["operator", "pin", "reason", "evidence"])?;
    let stay = stay_id(&stay)?;
    tills.put_right(&body, Wrong::Ended { stay }).await
}

/// `POST /staff/stays/{stay}/approve`: two persons let it go beyond a limit of benefits.
pub(super) async fn approve(State(tills): State<Arc<Tills>>, Path(stay): Path<String>, body: Given) -> Answer {
    let allowed = ["operator", "pin", "reason", "evidence", "limit", "second", "second_pin"];
    let body = Body::parse(body, &allowed)?;
    let operator = tills.operator_of(&body)?;
    let missing = || Problem::field("second", "missing; another person must agree");
    let second = tills.second_of(&body, &operator)?.ok_or_else(missing)?;
    let limit = body.needed_text("limit", MOST_NAME_CHARS)?.to_owned();
    let stay = stay_id(&stay)?;
    tills.put_right(&body, Wrong::Approved { stay, limit, second }).await
}

/// `POST /staff/counts`: how many vehicles are inside.
pub(super) async fn count(State(tills): State<Arc<Tills>>, body: Given) -> Answer {
    let body = Body::parse(body, &["operator", "pin", "reason", "evidence", "zone", "vehicles"])?;
    let zone = body.text("zone", MOST_NAME_CHARS)?.map(ToOwned::to_owned);
    if let Some(zone) = &zone
        && !(tills.settings.pricing.zones)().contains(zone)
    {
        return Err(Problem::field("zone", "no inner lot of that name is in the rules"));
    }
    let vehicles = body.needed_number("vehicles", 0, MOST_VEHICLES)?;
    let vehicles = u32::try_from(vehicles).unwrap_or(u32::MAX);
    tills.put_right(&body, Wrong::Count { zone, vehicles }).await
}

/// `GET /staff/days`: what was lost on the last business days, the newest first.
pub(super) async fn days(State(tills): State<Arc<Tills>>, headers: HeaderMap) -> Result<Json<Value>, Problem> {
    let needed = || Problem::new(Code::OperatorUnknown, "the headers Gatepost-Operator and Gatepost-Pin are needed");
    let operator = text_header(&headers, "gatepost-operator").ok_or_else(needed)?;
    tills.operator(operator, text_header(&headers, "gatepost-pin").ok_or_else(needed)?)?;
    let days = tills.settings.reader.look(|view| view.day_reports(MOST_DAYS)).await?;
    Ok(Json(json!({ "days": days })))
}

impl Tills {
    async fn put_right(&self, body: &Body, what: Wrong) -> Answer {
        let operator = self.operator_of(body)?;
        let reason = body.needed_text("reason", MOST_REASON_CHARS)?.to_owned();
        let evidence = body.needed_text("evidence", MOST_EVIDENCE_CHARS)?.to_owned();
        let late = "the box has not answered yet; look at the stay before you do it again";
        self.decided(Input::Corrected(Correction { operator, reason, evidence, what }), late).await
    }
}

fn stay_id(text: &str) -> Result<StayId, Problem> {
    if text.chars().count() > MOST_STAY_CHARS {
        return Err(Problem::new(Code::StayUnknown, "no stay has so long a name"));
    }
    Ok(StayId::from(text))
}

fn needed_moment(body: &Body, name: &str) -> Result<UtcMs, Problem> {
    body.moment(name)?.ok_or_else(|| Problem::field(name, "missing; RFC 3339 with offset is needed"))
}
