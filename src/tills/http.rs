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
use serde_json::{Map, Value};

use super::Tills;
use super::access::{idempotency_key, text_header};
use super::body::object;
use super::problem::Problem;
use super::verbs::{Answer, Request, Verb};

/// Tells a till that it hears a stored answer.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// The served description of all this.
const OPENAPI: &str = include_str!("openapi.json");

/// Where each verb is, below `/api/v1`.
#[rustfmt::skip]
pub(super) const ADDRESSES: [(Verb, &str, &str); 16] = [
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
    (Verb::Coupon, "POST", "/stays/{stay}/coupons"),
];

/// The verbs' addresses and the document that describes them.
pub(super) fn routes() -> Router<Arc<Tills>> {
    let mut router = Router::new().route("/openapi.json", get(openapi)).route("/totals", at(Verb::Totals, "GET"));
    for (verb, method, path) in ADDRESSES {
        router = router.route(path, at(verb, method));
    }
    router
}

async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI).into_response()
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
        ("shift", Ok(number)) => Some(number.into()),
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
        Ok(answer) => (answer.replayed, Json(answer.body).into_response()),
        Err(problem) => (problem.is_replayed(), problem.into_response()),
    };
    if replayed {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_served_document_names_every_address_field_and_code() {
        let document: Value = serde_json::from_str(OPENAPI).expect("JSON");
        let paths = document["paths"].as_object().expect("paths");
        let mut described = BTreeSet::new();
        for (path, methods) in paths {
            for (method, operation) in methods.as_object().expect("methods") {
                let verb = Verb::named(operation["x-verb"].as_str().expect("a verb")).expect("a known verb");
                described.insert((verb, method.to_uppercase(), path.clone()));
                assert_eq!(fields_of(operation), verb.fields().iter().map(|f| (*f).to_owned()).collect(), "{path}");
            }
        }
        let mut served: BTreeSet<(Verb, String, String)> =
            ADDRESSES.iter().map(|(verb, method, path)| (*verb, (*method).to_owned(), (*path).to_owned())).collect();
        served.insert((Verb::Totals, "GET".to_owned(), "/totals".to_owned()));
        assert_eq!(described, served);
        let codes = &document["components"]["schemas"]["Problem"]["properties"]["code"]["enum"];
        let codes: Vec<&str> = codes.as_array().expect("codes").iter().filter_map(Value::as_str).collect();
        assert_eq!(codes, super::super::problem::names());
    }

    #[test]
    fn every_verb_has_an_address() {
        let verbs: Vec<Verb> = ADDRESSES.iter().map(|(verb, _, _)| *verb).collect();
        assert_eq!(verbs, Verb::all().collect::<Vec<_>>());
    }

    fn fields_of(operation: &Value) -> BTreeSet<String> {
        let parameters = operation["parameters"].as_array().expect("parameters").iter();
        let named = parameters.filter_map(|parameter| parameter["name"].as_str());
        let body = operation["requestBody"]["content"]["application/json"]["schema"]["properties"].as_object();
        named.chain(body.into_iter().flat_map(|fields| fields.keys().map(String::as_str))).map(str::to_owned).collect()
    }
}
