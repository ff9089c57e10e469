//! Commit and query: a till's transaction happens once, whatever becomes of the line between till and box.

use std::sync::{Arc, PoisonError};

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::Tills;
use super::access::{Terminal, check_key, idempotency_key};
use super::body::{Body, MOST_FEN};
use super::lookup::{MemberRef, member_gone, resolve};
use super::problem::{Code, Problem};
use super::quote::MOST_STAY_CHARS;
use super::receipt::Applied;
use crate::domain::event::{Fen, Input, MemberId, Reply, StayId, TerminalId, TillAnswer, TillCommit};
use crate::site::Unavailable;
use crate::store::reader::journal::Operation;
use crate::store::reader::{ReadError, View};

/// Longest receipt number.
const MOST_RECEIPT_CHARS: usize = 64;
/// Most tenders of one receipt: real ones have two or three.
const MOST_TENDERS: usize = 16;
/// Tells a till that it hears a stored answer.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// `POST /transactions`.
pub(super) async fn commit(
    State(tills): State<Arc<Tills>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let terminal = tills.terminal(&headers)?;
    let key = idempotency_key(&headers)?;
    let body = Body::parse(body, &["receipt_no", "occurred_at", "member_ref", "sale_fen", "stay", "tenders"])?;
    let fingerprint = body.fingerprint();
    let guard = InFlight::enter(&tills, &terminal.id, key)?;
    if let Some(stored) = tills.stored(&terminal.id, key).await? {
        return stored_answer(stored, Some(&fingerprint));
    }
    let mut commit = parse(&body, terminal, key, fingerprint)?;
    if let Some(member_ref) = tills.member_ref(terminal, &body)? {
        commit.member = Some(tills.resolve_member(member_ref).await?);
    }
    let answer = tills.submit(commit, guard).await?;
    tills.answer(&terminal.id, key, answer).await
}

/// `GET /operations/{key}`.
pub(super) async fn operation(
    State(tills): State<Arc<Tills>>,
    headers: HeaderMap,
    Path(key): Path<String>,
) -> Result<Json<Value>, Problem> {
    let terminal = tills.terminal(&headers)?;
    check_key(&key)?;
    if tills.is_in_flight(&terminal.id, &key) {
        return Ok(Json(json!({"status": "in_progress"})));
    }
    let Some(stored) = tills.stored(&terminal.id, &key).await? else {
        return Ok(Json(json!({"status": "not_found"})));
    };
    Ok(Json(match stored.to_answer() {
        Ok(answer) => json!({"status": "applied", "answer": answer}),
        Err(problem) => json!({"status": "refused", "answer": problem.to_json()}),
    }))
}

/// What stands in the ledger file under a key.
pub(super) struct Stored {
    operation: Operation,
    stay_paid: Option<Fen>,
}

impl Stored {
    fn to_answer(&self) -> Result<Value, Problem> {
        match &self.operation.answer {
            TillAnswer::Applied { transaction, earned, spent, usable, stay, replayed: _ } => Ok(Applied {
                transaction,
                earned: *earned,
                spent: *spent,
                usable: *usable,
                stay: stay.as_ref(),
                stay_paid: self.stay_paid,
                epoch: self.operation.epoch,
                seq: self.operation.seq,
                head: &self.operation.head,
            }
            .to_json()),
            TillAnswer::Refused { code, detail } => Err(refusal(code, detail)),
        }
    }
}

impl Tills {
    pub(super) async fn stored(&self, terminal: &TerminalId, key: &str) -> Result<Option<Stored>, Problem> {
        let (terminal, key) = (terminal.clone(), key.to_owned());
        Ok(self.settings.reader.look(move |view| look_up_key(view, &terminal, &key)).await?)
    }

    async fn resolve_member(&self, member_ref: MemberRef) -> Result<MemberId, Problem> {
        let found = self.settings.reader.look(move |view| resolve(view, &member_ref)).await?;
        found.map(|member| member.id).ok_or_else(member_gone)
    }

    /// Hands the commit to the loop. The key stays in flight until the loop has answered, even where the till hung up
    /// or was told that the answer is late.
    pub(super) async fn submit(&self, commit: TillCommit, guard: InFlight) -> Result<TillAnswer, Problem> {
        let key = commit.key.clone();
        let reply = self.settings.handle.try_submit(Input::Till(commit)).map_err(unavailable)?;
        let (tell, told) = oneshot::channel();
        tokio::spawn(async move {
            let reply = reply.await;
            drop(guard);
            // The till may have gone; its answer is stored under its key.
            let _ = tell.send(reply);
        });
        let reply = tokio::time::timeout(self.settings.answer_timeout, told).await.map_err(|_| Problem::late(&key))?;
        match reply {
            Ok(Ok(Reply::Till(answer))) => Ok(answer),
            Ok(Ok(Reply::Done | Reply::Staff(_) | Reply::Ticket(_))) => {
                tracing::error!("the loop answered a till with another's reply");
                Err(Problem::new(Code::Internal, "the box gave no answer for a till").with_unknown_outcome())
            }
            Ok(Err(_)) | Err(_) => Err(Problem::late(&key)),
        }
    }

    pub(super) async fn answer(
        &self,
        terminal: &TerminalId,
        key: &str,
        answer: TillAnswer,
    ) -> Result<Response, Problem> {
        match answer {
            TillAnswer::Refused { code, detail } => Err(refusal(&code, &detail)),
            TillAnswer::Applied { replayed, .. } => {
                // It is committed: whatever fails from here on must not tell the till that nothing happened.
                let stored = self.stored(terminal, key).await.map_err(Problem::with_unknown_outcome)?;
                let stored = stored.ok_or_else(|| Problem::late(key))?;
                let mut response = stored_answer(stored, None)?;
                if !replayed {
                    response.headers_mut().remove(REPLAYED);
                }
                Ok(response)
            }
        }
    }

    fn is_in_flight(&self, terminal: &TerminalId, key: &str) -> bool {
        let in_flight = self.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
        in_flight.contains(&(terminal.0.clone(), key.to_owned()))
    }
}

/// A key that is being worked on; leaves the list when dropped.
pub(super) struct InFlight {
    tills: Arc<Tills>,
    key: (String, String),
}

impl InFlight {
    pub(super) fn enter(tills: &Arc<Tills>, terminal: &TerminalId, key: &str) -> Result<Self, Problem> {
        let key = (terminal.0.clone(), key.to_owned());
        let is_new = tills.in_flight.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone());
        if !is_new {
            let detail = "this key is being worked on; ask GET /api/v1/operations/{key} or send it again in a second";
            return Err(Problem::new(Code::IdempotencyKeyInProgress, detail).with_unknown_outcome());
        }
        Ok(Self { tills: tills.clone(), key })
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.tills.in_flight.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

fn look_up_key(view: &View<'_>, terminal: &TerminalId, key: &str) -> Result<Option<Stored>, ReadError> {
    let Some(operation) = view.operation(terminal, key)? else { return Ok(None) };
    let stay_paid = match &operation.answer {
        TillAnswer::Applied { stay: Some((stay, _)), .. } => Some(view.paid_until(stay, operation.entry)?),
        TillAnswer::Applied { stay: None, .. } | TillAnswer::Refused { .. } => None,
    };
    Ok(Some(Stored { operation, stay_paid }))
}

pub(super) fn stored_answer(stored: Stored, fingerprint: Option<&str>) -> Result<Response, Problem> {
    if fingerprint.is_some_and(|fingerprint| fingerprint != stored.operation.fingerprint) {
        let detail = "this key was used for another body; a new transaction needs a new key";
        return Err(Problem::new(Code::IdempotencyKeyReused, detail));
    }
    let replayed = (REPLAYED, HeaderValue::from_static("true"));
    match stored.to_answer() {
        Ok(answer) => Ok(([replayed], Json(answer)).into_response()),
        Err(problem) => Ok(([replayed], problem).into_response()),
    }
}

fn parse(body: &Body, terminal: &Terminal, key: &str, fingerprint: String) -> Result<TillCommit, Problem> {
    let receipt = body.needed_text("receipt_no", MOST_RECEIPT_CHARS)?.to_owned();
    let (sale, stay) = (body.fen("sale_fen")?, body.text("stay", MOST_STAY_CHARS)?.map(StayId::from));
    if sale.is_none() && stay.is_none() {
        return Err(Problem::field("sale_fen", "at least one of sale_fen and stay is needed"));
    }
    let (cash, points_cover) = tenders(body)?;
    if points_cover.0 > 0 && !body.has("member_ref") {
        return Err(Problem::field("member_ref", "missing; a points tender needs the member whose points they are"));
    }
    Ok(TillCommit {
        terminal: terminal.id.clone(),
        key: key.to_owned(),
        fingerprint,
        receipt,
        occurred: body.moment("occurred_at")?,
        member: None,
        sale: sale.unwrap_or_default(),
        stay,
        cash,
        points_cover,
        gift: None,
    })
}

/// What is paid with money and what with points.
fn tenders(body: &Body) -> Result<(Fen, Fen), Problem> {
    let (mut cash, mut points) = (0, 0);
    for tender in body.objects("tenders", MOST_TENDERS, &["kind", "fen"])? {
        let fen = tender.needed_fen("fen")?.0;
        match tender.needed_text("kind", 16)? {
            "cash" => cash += fen,
            "points" => points += fen,
            other => return Err(Problem::field("kind", format!("{other:?}; cash and points are allowed"))),
        }
    }
    if cash + points > MOST_FEN {
        return Err(Problem::field("tenders", format!("more than {MOST_FEN} fen in all")));
    }
    Ok((Fen(cash), Fen(points)))
}

/// A refusal that the domain decided, as its problem.
fn refusal(code: &str, detail: &str) -> Problem {
    match Code::named(code) {
        Some(code) => Problem::new(code, detail),
        None => {
            tracing::error!(code, "the domain refused with a code that the table lacks");
            Problem::new(Code::Internal, format!("refused: {code}: {detail}"))
        }
    }
}

/// The loop that cannot be reached.
pub(super) fn unavailable(why: Unavailable) -> Problem {
    match why {
        Unavailable::Busy | Unavailable::Stopped => Problem::new(Code::Busy, why.to_string()),
    }
}
