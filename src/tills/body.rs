//! The fields of a request's body, each checked by name: what is wrong and what is allowed goes back to the asker.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::problem::{Code, Problem};
use super::wallet;
use crate::domain::event::{Fen, Points, UtcMs};
use crate::domain::plate::Plate;

/// Largest amount of one field, ¥1,000,000: far above any receipt, far below where sums could overflow.
pub(super) const MOST_FEN: i64 = 100_000_000;

/// A JSON object whose fields are all known.
pub(super) struct Body {
    fields: Map<String, Value>,
}

impl Body {
    /// The object in `bytes`; a field that is not in `allowed` is refused.
    pub(super) fn parse(bytes: Result<Bytes, BytesRejection>, allowed: &[&str]) -> Result<Self, Problem> {
        Self::of(Value::Object(object(bytes)?), "body", allowed)
    }

    /// The object in `value`, which stands in the field `name`.
    pub(super) fn of(value: Value, name: &str, allowed: &[&str]) -> Result<Self, Problem> {
        let Value::Object(fields) = value else {
            return Err(Problem::field(name, "not a JSON object; an object is allowed"));
        };
        if let Some(unknown) = fields.keys().find(|field| !allowed.contains(&field.as_str())) {
            return Err(Problem::field(unknown, format!("unknown; allowed are {}", allowed.join(", "))));
        }
        Ok(Self { fields })
    }

    /// The same without some fields.
    pub(super) fn without(&self, names: &[&str]) -> Self {
        let fields = self.fields.iter().filter(|(name, _)| !names.contains(&name.as_str()));
        Self { fields: fields.map(|(name, value)| (name.clone(), value.clone())).collect() }
    }

    /// SHA-256 in hex of what is asked and of the body with its fields in order, so that spacing and order do not make
    /// another request.
    pub(super) fn fingerprint_of(&self, verb: &str) -> String {
        let canonical = serde_json::to_vec(&(verb, &self.fields)).expect("a map of JSON values is always JSON");
        hex::encode(Sha256::digest(canonical))
    }

    /// Refuses a body in which a card number stands. Codes are looked at where they are used: there they may also be
    /// payment codes.
    pub(super) fn refuse_cards(&self) -> Result<(), Problem> {
        let mut waiting: Vec<(&str, &Value)> = Vec::new();
        waiting.extend(self.fields.iter().map(|(name, value)| (name.as_str(), value)));
        while let Some((name, value)) = waiting.pop() {
            match value {
                Value::String(text) if !matches!(name, "code" | "member_ref") => wallet::refuse_card(name, text)?,
                Value::Number(number) => wallet::refuse_card(name, &number.to_string())?,
                Value::Array(items) => waiting.extend(items.iter().map(|item| (name, item))),
                Value::Object(fields) => waiting.extend(fields.iter().map(|(name, value)| (name.as_str(), value))),
                Value::Null | Value::Bool(_) | Value::String(_) => {}
            }
        }
        Ok(())
    }

    /// Whether the field is there.
    pub(super) fn has(&self, name: &str) -> bool {
        self.fields.get(name).is_some_and(|value| !value.is_null())
    }

    /// A text of 1 to `most` characters without control characters.
    pub(super) fn text(&self, name: &str, most: usize) -> Result<Option<&str>, Problem> {
        let allowed = format!("a text of 1 to {most} characters is allowed");
        let Some(value) = self.fields.get(name).filter(|value| !value.is_null()) else { return Ok(None) };
        let Some(text) = value.as_str() else { return Err(Problem::field(name, format!("not a text; {allowed}"))) };
        let length = text.chars().count();
        if text.trim().is_empty() || length > most || text.chars().any(char::is_control) {
            return Err(Problem::field(name, format!("{length} characters or unprintable ones; {allowed}")));
        }
        Ok(Some(text.trim()))
    }

    /// The same, where the field must be there.
    pub(super) fn needed_text(&self, name: &str, most: usize) -> Result<&str, Problem> {
        self.text(name, most)?.ok_or_else(|| Problem::field(name, format!("missing; a text of 1 to {most} characters")))
    }

    /// A positive amount of fen.
    pub(super) fn fen(&self, name: &str) -> Result<Option<Fen>, Problem> {
        let Some(value) = self.fields.get(name).filter(|value| !value.is_null()) else { return Ok(None) };
        match value.as_i64() {
            Some(fen) if (1..=MOST_FEN).contains(&fen) => Ok(Some(Fen(fen))),
            Some(_) | None => {
                Err(Problem::field(name, format!("{value}; a whole number of fen from 1 to {MOST_FEN} is allowed")))
            }
        }
    }

    /// The same, where the field must be there.
    pub(super) fn needed_fen(&self, name: &str) -> Result<Fen, Problem> {
        self.fen(name)?.ok_or_else(|| Problem::field(name, "missing; a whole number of fen is needed"))
    }

    /// A whole number between two limits.
    pub(super) fn whole(&self, name: &str, least: i64, most: i64) -> Result<Option<i64>, Problem> {
        let Some(value) = self.fields.get(name).filter(|value| !value.is_null()) else { return Ok(None) };
        match value.as_i64() {
            Some(number) if (least..=most).contains(&number) => Ok(Some(number)),
            Some(_) | None => {
                Err(Problem::field(name, format!("{value}; a whole number from {least} to {most} is allowed")))
            }
        }
    }

    /// A positive number of points; the field must be there.
    pub(super) fn needed_points(&self, name: &str, most: i64) -> Result<Points, Problem> {
        let missing = || Problem::field(name, "missing; a whole number of points is needed");
        self.whole(name, 1, most)?.map(Points).ok_or_else(missing)
    }

    /// A whole number; the field must be there.
    pub(super) fn needed_number(&self, name: &str, least: i64, most: i64) -> Result<i64, Problem> {
        let value = self.fields.get(name).and_then(Value::as_i64).filter(|number| (least..=most).contains(number));
        value.ok_or_else(|| Problem::field(name, format!("a whole number from {least} to {most} is needed")))
    }

    /// Yes or no; the field must be there.
    pub(super) fn needed_truth(&self, name: &str) -> Result<bool, Problem> {
        let value = self.fields.get(name).and_then(Value::as_bool);
        value.ok_or_else(|| Problem::field(name, "true or false is needed"))
    }

    /// A plate.
    pub(super) fn plate(&self, name: &str) -> Result<Option<Plate>, Problem> {
        let Some(text) = self.text(name, 32)? else { return Ok(None) };
        text.parse().map(Some).map_err(|e| Problem::field(name, e))
    }

    /// A moment with its offset, RFC 3339.
    pub(super) fn moment(&self, name: &str) -> Result<Option<UtcMs>, Problem> {
        let Some(text) = self.text(name, 40)? else { return Ok(None) };
        match text.parse::<jiff::Timestamp>() {
            Ok(moment) => Ok(Some(UtcMs(moment.as_millisecond()))),
            Err(_) => {
                Err(Problem::field(name, "not a time; RFC 3339 with offset is allowed, 2026-03-01T12:30:00+08:00"))
            }
        }
    }

    /// The objects of a list of at most `most`; each may have the fields `allowed`.
    pub(super) fn objects(&self, name: &str, most: usize, allowed: &[&str]) -> Result<Vec<Body>, Problem> {
        let wrong = || Problem::field(name, format!("a list of 1 to {most} objects is needed"));
        let items = self.fields.get(name).and_then(Value::as_array).ok_or_else(wrong)?;
        if items.is_empty() || items.len() > most {
            return Err(wrong());
        }
        items.iter().map(|item| Self::of(item.clone(), name, allowed)).collect()
    }
}

/// A body as a JSON object; nothing at all is an empty one.
pub(super) fn object(bytes: Result<Bytes, BytesRejection>) -> Result<Map<String, Value>, Problem> {
    let bytes = bytes.map_err(unreadable)?;
    if bytes.is_empty() {
        return Ok(Map::new());
    }
    let value: Value = serde_json::from_slice(&bytes)
        .map_err(|e| Problem::new(Code::BadRequest, format!("body: {e}; a JSON object is allowed")))?;
    match value {
        Value::Object(fields) => Ok(fields),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(Problem::field("body", "not a JSON object; an object is allowed"))
        }
    }
}

fn unreadable(rejection: BytesRejection) -> Problem {
    let is_too_large = rejection.into_response().status() == StatusCode::PAYLOAD_TOO_LARGE;
    if is_too_large {
        return Problem::new(Code::BodyTooLarge, format!("body: more than {} bytes", super::MOST_BODY_BYTES));
    }
    Problem::new(Code::BadRequest, "body: it broke off before its end")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_spacing_make_no_other_request() {
        let one = parse(r#"{"receipt_no":"A","sale_fen":5,"tenders":[{"kind":"cash","fen":5}]}"#);
        let two = parse(r#"{ "tenders":[ {"fen":5,"kind":"cash"} ], "sale_fen":5, "receipt_no":"A" }"#);
        let other = parse(r#"{"receipt_no":"A","sale_fen":6,"tenders":[{"kind":"cash","fen":5}]}"#);
        assert_eq!(one.fingerprint_of("COMMIT"), two.fingerprint_of("COMMIT"));
        assert_ne!(one.fingerprint_of("COMMIT"), other.fingerprint_of("COMMIT"));
        assert_ne!(one.fingerprint_of("COMMIT"), one.fingerprint_of("REFUND"));
    }

    #[test]
    fn an_amount_is_a_positive_whole_number() {
        for wrong in ["0", "-1", "1.5", "\"5\"", "1e3", "100000001", "true", "99999999999999999999"] {
            let body = parse(&format!(r#"{{"sale_fen":{wrong}}}"#));
            assert!(body.fen("sale_fen").is_err(), "{wrong}");
        }
        assert_eq!(parse(r#"{"sale_fen":12800}"#).fen("sale_fen"), Ok(Some(Fen(12800))));
    }

    #[test]
    fn a_moment_needs_its_offset() {
        let noon = parse(r#"{"at":"2026-03-01T12:00:00+08:00"}"#).moment("at").expect("a moment");
        assert_eq!(noon, Some(UtcMs(1_772_337_600_000)));
        assert!(parse(r#"{"at":"2026-03-01T12:00:00"}"#).moment("at").is_err());
    }

    fn parse(text: &str) -> Body {
        let allowed = ["receipt_no", "sale_fen", "tenders", "at"];
        Body::parse(Ok(Bytes::from(text.to_owned())), &allowed).map_err(|p| p.to_json()).expect("a body")
    }
}
