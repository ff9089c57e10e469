//! What a till gives to a stay: a merchant's validation, a coupon that was shown there.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;

use super::Tills;
use super::access::{Terminal, idempotency_key};
use super::body::Body;
use super::problem::Problem;
use super::quote::MOST_STAY_CHARS;
use super::transaction::{InFlight, stored_answer};
use crate::domain::event::{Fen, Gift, StayId, TillCommit};

/// Longest name of a kind or number of a coupon.
const MOST_NAME_CHARS: usize = 128;
/// Longest receipt number.
const MOST_RECEIPT_CHARS: usize = 64;

/// `POST /stays/{stay}/validations`.
pub(super) async fn validate(
    State(tills): State<Arc<Tills>>,
    headers: HeaderMap,
    Path(stay): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let terminal = tills.terminal(&headers)?;
    let body = Body::parse(body, &["kind", "receipt_no", "spend_fen"])?;
    let gift = Gift::Validation {
        kind: body.needed_text("kind", MOST_NAME_CHARS)?.to_owned(),
        merchant: terminal.merchant.clone().unwrap_or_else(|| terminal.id.0.clone()),
        spend: body.fen("spend_fen")?.unwrap_or_default(),
    };
    tills.give(terminal, &headers, stay, &body, gift).await
}

/// `POST /stays/{stay}/coupons`.
pub(super) async fn show_coupon(
    State(tills): State<Arc<Tills>>,
    headers: HeaderMap,
    Path(stay): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let terminal = tills.terminal(&headers)?;
    let body = Body::parse(body, &["coupon", "receipt_no"])?;
    let gift = Gift::Coupon { code: body.needed_text("coupon", MOST_NAME_CHARS)?.to_owned() };
    tills.give(terminal, &headers, stay, &body, gift).await
}

impl Tills {
    async fn give(
        self: &Arc<Self>,
        terminal: &Terminal,
        headers: &HeaderMap,
        stay: String,
        body: &Body,
        gift: Gift,
    ) -> Result<Response, Problem> {
        let key = idempotency_key(headers)?;
        if stay.chars().count() > MOST_STAY_CHARS {
            return Err(Problem::field("stay", format!("at most {MOST_STAY_CHARS} characters are allowed")));
        }
        // The stay is a part of what was asked, though it stands in the address.
        let fingerprint = body.fingerprint_with(&stay);
        let guard = InFlight::enter(self, &terminal.id, key)?;
        if let Some(stored) = self.stored(&terminal.id, key).await? {
            return stored_answer(stored, Some(&fingerprint));
        }
        let commit = TillCommit {
            terminal: terminal.id.clone(),
            key: key.to_owned(),
            fingerprint,
            receipt: body.text("receipt_no", MOST_RECEIPT_CHARS)?.unwrap_or_default().to_owned(),
            occurred: None,
            member: None,
            sale: Fen(0),
            stay: Some(StayId(stay)),
            cash: Fen(0),
            points_cover: Fen(0),
            gift: Some(gift),
        };
        let answer = self.submit(commit, guard).await?;
        self.answer(&terminal.id, key, answer).await
    }
}
