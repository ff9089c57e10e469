//! The service desk: points by hand within limits, and disputes about what a statement says.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use serde_json::json;

use super::Tills;
use super::body::Body;
use super::problem::{Code, Problem};
use super::staff::{Answer, Given, MOST_NAME_CHARS, MOST_REASON_CHARS};
use super::verbs::{MOST_CODE_CHARS, resolve};
use crate::domain::event::{GivenFor, Input, Note, OfficeAct, OpId};

/// Longest name that an asker gives to an act.
const MOST_ID_CHARS: usize = 64;
/// The most points in a body; the rules say how many are allowed.
const MOST_POINTS: i64 = 1_000_000_000;
/// The highest entry that a body may name.
const MOST_ENTRY: i64 = i64::MAX;

/// `POST /staff/points`: points are given by hand.
pub(super) async fn points(State(tills): State<Arc<Tills>>, body: Given) -> Answer {
    let allowed = [
        "operator",
        "pin",
        "second",
        "second_pin",
        "id",
        "code",
        "points",
        "for",
        "funder",
        "reason",
        "merchant",
        "receipt_no",
    ];
    let body = Body::parse(body, &allowed)?;
    let by = tills.operator_of(&body)?;
    let second = tills.second_of(&body, &by)?;
    let source = match body.needed_text("for", MOST_NAME_CHARS)? {
        "goodwill" => GivenFor::Goodwill,
        "backfill" => GivenFor::Backfill,
        other => return Err(Problem::field("for", format!("{other:?}; goodwill and backfill are allowed"))),
    };
    let receipt = match (body.text("merchant", MOST_NAME_CHARS)?, body.text("receipt_no", MOST_NAME_CHARS)?) {
        (Some(shop), Some(receipt)) => Some((shop.to_owned(), receipt.to_owned())),
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => {
            return Err(Problem::field("receipt_no", "merchant and receipt_no go together"));
        }
    };
    let member_ref = tills.of_code(body.needed_text("code", MOST_CODE_CHARS)?)?;
    let found = tills.settings.reader.look(move |view| resolve(view, &member_ref)).await?;
    let unknown = || Problem::new(Code::MemberUnknown, "no member of that code is known to this box");
    let note = Note::PointsGiven {
        member: found.ok_or_else(unknown)?.0.id,
        points: body.needed_points("points", MOST_POINTS)?,
        source,
        funder: body.text("funder", MOST_NAME_CHARS)?.unwrap_or_default().to_owned(),
        reason: body.needed_text("reason", MOST_REASON_CHARS)?.to_owned(),
        receipt,
    };
    tills.office(id_of(&body)?, by, second, note).await
}

/// `GET /staff/disputes`: what is disputed and not settled.
pub(super) async fn disputes(State(tills): State<Arc<Tills>>, headers: HeaderMap) -> Answer {
    tills.operator_in(&headers)?;
    let open = tills.settings.reader.look(|view| view.open_disputes()).await?;
    Ok(Json(json!({ "disputes": open })))
}

/// `POST /staff/disputes/settlements`.
pub(super) async fn settle(State(tills): State<Arc<Tills>>, body: Given) -> Answer {
    let body = Body::parse(body, &["operator", "pin", "id", "dispute", "outcome"])?;
    let by = tills.operator_of(&body)?;
    let of = OpId(body.needed_text("dispute", MOST_ID_CHARS * 2)?.to_owned());
    let outcome = body.needed_text("outcome", MOST_REASON_CHARS)?.to_owned();
    tills.office(id_of(&body)?, by, None, Note::DisputeSettled { of, outcome }).await
}

/// `POST /staff/disputes`: a party disputes an entry; the office opens it where the merchant called.
pub(super) async fn dispute(State(tills): State<Arc<Tills>>, body: Given) -> Answer {
    let body = Body::parse(body, &["operator", "pin", "id", "party", "entry", "reason"])?;
    let by = tills.operator_of(&body)?;
    let party = body.needed_text("party", MOST_NAME_CHARS)?.to_owned();
    tills.open_dispute(&body, by, party).await
}

impl Tills {
    /// Opens a dispute of a party.
    pub(super) async fn open_dispute(&self, body: &Body, by: String, party: String) -> Answer {
        let entry = body.needed_number("entry", 1, MOST_ENTRY)?;
        let entry = u64::try_from(entry).expect("the limit above is above nothing");
        let reason = body.needed_text("reason", MOST_REASON_CHARS)?.to_owned();
        self.office(id_of(body)?, by, None, Note::DisputeOpened { party, entry, reason }).await
    }

    /// Has an act decided. Its own name makes a repeat harmless.
    pub(super) async fn office(&self, id: String, by: String, second: Option<String>, note: Note) -> Answer {
        let late = "the box has not answered yet; ask for the same again, under the same id";
        let shop = self.shop_of(about(&note)).await?;
        self.decided(Input::Office(OfficeAct { id, by, second, shop, note }), late).await
    }
}

/// The shop that an act is about.
fn about(note: &Note) -> Option<&str> {
    match note {
        Note::PointsGiven { receipt, .. } => receipt.as_ref().map(|(shop, _)| shop.as_str()),
        Note::DisputeOpened { party, .. } => Some(party),
        Note::VoucherKeyed { shop, .. } => shop.as_deref(),
        Note::DisputeSettled { .. } | Note::VouchersPrinted { .. } => None,
    }
}

/// The asker's own name for an act.
pub(super) fn id_of(body: &Body) -> Result<String, Problem> {
    Ok(body.needed_text("id", MOST_ID_CHARS)?.to_owned())
}
