//! How a refusal is told: RFC 9457, with a `code` for programs.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::journal::Cursor;
use crate::ledger::Refusal;

/// A refusal as RFC 9457 has it, with a `code` for programs.
pub(super) struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    cursor: Option<Cursor>,
}

impl Problem {
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), cursor: None }
    }

    pub fn unauthorised(detail: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorised", detail)
    }

    pub fn bad_request(detail: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-request", detail)
    }

    /// What went wrong inside is for the log; the caller learns that it may try again.
    pub fn internal(cause: &str) -> Self {
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
            Refusal::Revoked(_) => (S::FORBIDDEN, "revoked", None),
            Refusal::GrantUnknown(_) => (S::NOT_FOUND, "grant-unknown", None),
            Refusal::CouponUnknown(_) => (S::NOT_FOUND, "coupon-unknown", None),
            Refusal::CouponTaken { .. } => (S::CONFLICT, "coupon-taken", None),
            Refusal::CampaignUnknown(_) => (S::NOT_FOUND, "campaign-unknown", None),
            Refusal::SpendUnknown(_) => (S::NOT_FOUND, "spend-unknown", None),
            Refusal::NotFrozen { .. } => (S::CONFLICT, "not-frozen", None),
            Refusal::ReverseAtBox(_) => (S::CONFLICT, "reverse-at-box", None),
            Refusal::MemberUnknown(_) => (S::NOT_FOUND, "member-unknown", None),
            Refusal::BoxUnknown(_) => (S::NOT_FOUND, "box-unknown", None),
            Refusal::Taken { .. } => (S::CONFLICT, "taken", None),
            Refusal::InsufficientPoints { .. } => (S::CONFLICT, "insufficient-points", None),
        };
        Self { status, code, detail, cursor }
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
        "unauthorised" => "Neither token nor signature opens this",
        "revoked" => "The key or token was taken back",
        "grant-unknown" => "No such grant",
        "spend-unknown" => "No such spend",
        "coupon-unknown" => "No such coupon",
        "coupon-taken" => "A box has it or has used it",
        "campaign-unknown" => "No such campaign",
        "not-frozen" => "The box may still spend it",
        "reverse-at-box" => "Only that box may reverse it",
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
pub(super) async fn as_problem(response: Response) -> Response {
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
        let page = include_str!("../../../docs/cloud-api.md");
        let table = page.split("| code | HTTP | meaning |").nth(1).and_then(|rest| rest.split("\n\n").next());
        let cells = table.expect("the table is where it was").lines().filter_map(|row| row.split('|').nth(1));
        let codes: Vec<&str> = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
        assert!(codes.len() >= 16, "{codes:?}");
        let untitled: Vec<_> = codes.into_iter().filter(|code| title(code) == title("nonsense")).collect();
        assert_eq!(untitled, ["internal"]);
    }
}
