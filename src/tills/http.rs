//! The tills' verbs over HTTP: an address and a method for each, as the served OpenAPI document says.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Query, RawPathParams, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::Tills;
use super::access::{idempotency_key, text_header};
use super::body::object;
use super::openapi;
use super::problem::Problem;
use super::verbs::{Answer, Request, Verb};

/// Tells a till that it hears a stored answer.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Where each verb is, below `/api/v1`.
#[rustfmt::skip]
pub(super) const ADDRESSES: [(Verb, &str, &str); 21] = [
    (Verb::Hello, "POST", "/shifts"),
    (Verb::Status, "GET", "/status"),
    (Verb::Lookup, "POST", "/member-lookups"),
    (Verb::Quote, "POST", "/quotes"),
    (Verb::Hold, "POST", "/holds"),
    (Verb::Capture, "POST", "/holds/{hold}/capture"),
    (Verb::Release, "POST", "/holds/{hold}/release"),
    (Verb::Commit, "POST", "/transactions"),
    (Verb::Void, "POST", "/transactions/{transaction}/voids"),
    (Verb::Refund, "POST", "/transactions/{transaction}/refunds"),
    (Verb::Reverse, "POST", "/reversals"),
    (Verb::Query, "GET", "/operations/{key}"),
    (Verb::Totals, "GET", "/shifts/{shift}/totals"),
    (Verb::Close, "POST", "/shifts/{shift}/close"),
    (Verb::Validate, "POST", "/stays/{stay}/validations"),
    (Verb::Coupon, "POST", "/coupons/{coupon}/redeem"),
    (Verb::CouponCheck, "GET", "/coupons/{coupon}"),
    (Verb::CouponReturn, "POST", "/coupons/{coupon}/return"),
    (Verb::Receipt, "GET", "/receipts/{transaction}"),
    (Verb::Slip, "GET", "/shifts/{shift}/slip"),
    (Verb::Report, "POST", "/hours"),
];

/// Where else some of them are.
#[rustfmt::skip]
pub(super) const MORE_ADDRESSES: [(Verb, &str, &str); 2] = [
    (Verb::Totals, "GET", "/totals"),
    (Verb::Coupon, "POST", "/stays/{stay}/coupons"),
];

/// The verbs' addresses and the document that describes them.
pub(super) fn routes() -> Router<Arc<Tills>> {
    let document = openapi::document().to_string();
    let serve = async move || ([(header::CONTENT_TYPE, "application/json")], document);
    let mut router = Router::new().route("/openapi.json", get(serve));
    for (verb, method, path) in ADDRESSES.into_iter().chain(MORE_ADDRESSES) {
        router = router.route(path, at(verb, method));
    }
    router
}

fn at(verb: Verb, method: &str) -> MethodRouter<Arc<Tills>> {
    let is_post = method == "POST";
    let handler = move |State(tills): State<Arc<Tills>>,
                        params: RawPathParams,
                        Query(query): Query<BTreeMap<String, String>>,
                        headers: HeaderMap,
                        body: Result<Bytes, BytesRejection>| async move {
        let params: Vec<(String, String)> =
            params.iter().chain(query.iter().map(|(name, value)| (name.as_str(), value.as_str()))).map(owned).collect();
        answer(tills.ask_over_http(verb, is_post, params, &headers, body).await)
    };
    if is_post { post(handler) } else { get(handler) }
}

fn owned((name, value): (&str, &str)) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

impl Tills {
    async fn ask_over_http(
        self: &Arc<Self>,
        verb: Verb,
        is_post: bool,
        params: Vec<(String, String)>,
        headers: &HeaderMap,
        body: Result<Bytes, BytesRejection>,
    ) -> Result<Answer, Problem> {
        let terminal = self.terminal(headers).await?;
        let key = if is_post { Some(idempotency_key(headers)?.to_owned()) } else { None };
        let mut fields = if is_post { object(body)? } else { Map::new() };
        for (name, text) in params {
            if fields.contains_key(&name) {
                return Err(Problem::field(&name, "it stands in the address already"));
            }
            if let Some(value) = value_of(&name, &text) {
                fields.insert(name, value);
            }
        }
        let number = counted(headers, "gatepost-seq")?;
        let shift = counted(headers, "gatepost-shift")?;
        let shift = shift.map(|shift| u32::try_from(shift).unwrap_or(u32::MAX));
        self.ask(&terminal, Request { verb, key, number, shift, body: fields }).await
    }
}

/// A part of an address: a shift is a number, and the current one need not be named.
fn value_of(name: &str, text: &str) -> Option<Value> {
    match (name, text.parse::<u64>()) {
        ("shift" | "sale_fen" | "columns", Ok(number)) => Some(number.into()),
        ("shift", Err(_)) if text == "current" => None,
        _ => Some(text.into()),
    }
}

/// A header that counts something.
fn counted(headers: &HeaderMap, name: &str) -> Result<Option<u64>, Problem> {
    let Some(text) = text_header(headers, name) else { return Ok(None) };
    let wrong = || Problem::field(name, "not a whole number; 1, 2, 3 and so on are allowed");
    text.parse().map(Some).map_err(|_| wrong()).and_then(|number| match number {
        Some(0) => Err(wrong()),
        number => Ok(number),
    })
}

fn answer(outcome: Result<Answer, Problem>) -> Response {
    let (replayed, mut response) = match outcome {
        Ok(answer) => (answer.replayed, bytes_or_json(answer.body)),
        Err(problem) => (problem.is_replayed(), problem.into_response()),
    };
    if replayed {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

/// What is meant for a printer goes out as the printer takes it; lines without bytes have it in base64.
fn bytes_or_json(body: Value) -> Response {
    match body["escpos"].as_str().and_then(|text| STANDARD.decode(text).ok()) {
        Some(bytes) => ([(header::CONTENT_TYPE, "application/octet-stream")], bytes).into_response(),
        None => Json(body).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_has_an_address() {
        let verbs: Vec<Verb> = ADDRESSES.iter().map(|(verb, _, _)| *verb).collect();
        assert_eq!(verbs, Verb::all().collect::<Vec<_>>());
    }
}
