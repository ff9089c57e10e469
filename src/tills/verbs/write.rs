//! Requests that change something happen once, whatever becomes of the line between till and box.

use std::sync::{Arc, PoisonError};

use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::lookup::{MemberRef, member_gone, resolve};
use super::receipt::{self, Place};
use super::{Answer, Verb, parse};
use crate::domain::event::{Fen, Input, MemberId, Reply, Shown, TerminalId, TillAnswer, TillMark};
use crate::domain::till::TOMBSTONED;
use crate::site::Unavailable;
use crate::store::reader::journal::Operation;
use crate::store::reader::{ReadError, View};
use crate::tills::Tills;
use crate::tills::access::{Terminal, check_key};
use crate::tills::body::Body;
use crate::tills::merchants::takes_part;
use crate::tills::problem::{Code, Problem};

/// Longest idempotency key, with room for what a line without keys makes of its numbers.
const MOST_KEY_CHARS: usize = 128;

impl Tills {
    /// Does what a till asks, or says what was done before for the same key.
    pub(in crate::tills) async fn write(
        self: &Arc<Self>,
        terminal: &Terminal,
        verb: Verb,
        key: String,
        mark: TillMark,
        body: &Body,
    ) -> Result<Answer, Problem> {
        // The verb is a part of what was asked, so that one key is never two requests.
        let fingerprint = body.fingerprint_of(verb.name());
        let guard = InFlight::enter(self, &terminal.id, &key)?;
        let asked = self.member_ref(terminal, body);
        let (stored, member) =
            self.stored_and_member(&terminal.id, &key, asked.as_ref().ok().cloned().flatten()).await?;
        // What was done before is told whoever the member is by now.
        if let Some(stored) = stored {
            return stored.to_answer_of(self, Some(&fingerprint), true);
        }
        let by_points = verb == Verb::Commit && parse::pays_by_points(body)?;
        takes_part(mark.shop.as_ref(), verb, by_points)?;
        if asked?.is_some() && member.is_none() {
            return Err(member_gone());
        }
        let input = parse::input(verb, body, terminal, &key, fingerprint, mark, member)?;
        let answer = self.submit(&key, input, guard).await?;
        self.answer(&terminal.id, &key, answer).await
    }

    /// What became of a key: three answers, and one more that tells a tombstone from a key that nobody used.
    pub(super) async fn query(&self, terminal: &Terminal, body: &Body) -> Result<Value, Problem> {
        let key = check_key(body.needed_text("key", MOST_KEY_CHARS)?)?;
        if self.is_in_flight(&terminal.id, key) {
            return Ok(json!({"status": "in_progress"}));
        }
        let Some(stored) = self.stored(&terminal.id, key).await? else {
            return Ok(json!({"status": "not_found"}));
        };
        if stored.is_tombstone() {
            return Ok(json!({"status": "not_found", "tombstoned": true}));
        }
        Ok(match stored.to_json(self) {
            Ok(answer) => json!({"status": "applied", "answer": answer}),
            Err(problem) => json!({"status": "refused", "answer": problem.to_json()}),
        })
    }

    /// Whether there is an answer under a key, or there will be one in a moment.
    pub(in crate::tills) async fn is_answered(&self, terminal: &TerminalId, key: &str) -> bool {
        self.is_in_flight(terminal, key) || self.stored(terminal, key).await.is_ok_and(|stored| stored.is_some())
    }

    async fn stored(&self, terminal: &TerminalId, key: &str) -> Result<Option<Stored>, Problem> {
        let (terminal, key) = (terminal.clone(), key.to_owned());
        Ok(self.settings.reader.look(move |view| look_up_key(view, &terminal, &key)).await?)
    }

    /// What was done under this key, and which member is meant: one look, because each costs a till its wait.
    async fn stored_and_member(
        &self,
        terminal: &TerminalId,
        key: &str,
        asked: Option<MemberRef>,
    ) -> Result<(Option<Stored>, Option<(MemberId, Shown)>), Problem> {
        let (terminal, key) = (terminal.clone(), key.to_owned());
        let look = self.settings.reader.look(move |view| {
            let stored = look_up_key(view, &terminal, &key)?;
            let found = asked.map(|member_ref| resolve(view, &member_ref)).transpose()?.flatten();
            Ok((stored, found.map(|(member, shown)| (member.id, shown))))
        });
        Ok(look.await?)
    }

    /// Hands the request to the loop. The key stays in flight until the loop has answered, even where the till hung up
    /// or was told that the answer is late.
    async fn submit(&self, key: &str, input: Input, guard: InFlight) -> Result<TillAnswer, Problem> {
        let reply = self.settings.handle.try_submit(input).map_err(unavailable)?;
        let (tell, told) = oneshot::channel();
        tokio::spawn(async move {
            let reply = reply.await;
            drop(guard);
            // The till may have gone; its answer is stored under its key.
            let _ = tell.send(reply);
        });
        let reply = tokio::time::timeout(self.settings.answer_timeout, told).await.map_err(|_| Problem::late(key))?;
        match reply {
            Ok(Ok(Reply::Till(answer))) => Ok(answer),
            Ok(Ok(Reply::Done | Reply::Staff(_) | Reply::Ticket(_))) => {
                tracing::error!("the loop answered a till with another's reply");
                Err(Problem::new(Code::Internal, "the box gave no answer for a till").with_unknown_outcome())
            }
            Ok(Err(_)) | Err(_) => Err(Problem::late(key)),
        }
    }

    async fn answer(&self, terminal: &TerminalId, key: &str, answer: TillAnswer) -> Result<Answer, Problem> {
        match answer {
            TillAnswer::Refused { code, detail } => Err(refusal(&code, &detail)),
            TillAnswer::Applied { replayed, .. } | TillAnswer::Done { replayed, .. } => {
                // It is committed: whatever fails from here on must not tell the till that nothing happened.
                let stored = self.stored(terminal, key).await.map_err(Problem::with_unknown_outcome)?;
                stored.ok_or_else(|| Problem::late(key))?.to_answer_of(self, None, replayed)
            }
        }
    }

    fn is_in_flight(&self, terminal: &TerminalId, key: &str) -> bool {
        let in_flight = self.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
        in_flight.contains(&(terminal.0.clone(), key.to_owned()))
    }
}

/// What stands in the ledger file under a key.
struct Stored {
    operation: Operation,
    stay_paid: Option<Fen>,
}

impl Stored {
    fn to_answer_of(&self, tills: &Tills, fingerprint: Option<&str>, replayed: bool) -> Result<Answer, Problem> {
        let is_other = fingerprint.is_some_and(|fingerprint| fingerprint != self.operation.fingerprint);
        if is_other && !self.is_tombstone() {
            let detail = "this key was used for another request; a new one needs a new key";
            return Err(Problem::new(Code::IdempotencyKeyReused, detail));
        }
        let as_before = |problem: Problem| if replayed { problem.replayed() } else { problem };
        Ok(Answer { body: self.to_json(tills).map_err(as_before)?, replayed })
    }

    fn to_json(&self, tills: &Tills) -> Result<Value, Problem> {
        let Operation { epoch, seq, head, .. } = &self.operation;
        let place = Place { epoch: *epoch, seq: *seq, head };
        match &self.operation.answer {
            TillAnswer::Applied { transaction, earned, spent, usable, stay, duplicate_of, replayed: _ } => {
                Ok(receipt::Applied {
                    duplicate_of: duplicate_of.as_ref(),
                    transaction,
                    earned: *earned,
                    spent: *spent,
                    usable: *usable,
                    stay: stay.as_ref(),
                    stay_paid: self.stay_paid,
                    place,
                }
                .to_json())
            }
            TillAnswer::Done { done, .. } => Ok(receipt::done(done, &tills.settings.zone, &place)),
            TillAnswer::Refused { code, detail } => Err(refusal(code, detail)),
        }
    }

    fn is_tombstone(&self) -> bool {
        matches!(&self.operation.answer, TillAnswer::Refused { code, .. } if code == TOMBSTONED)
    }
}

/// A key that is being worked on; leaves the list when dropped.
pub(in crate::tills) struct InFlight {
    tills: Arc<Tills>,
    key: (String, String),
}

impl InFlight {
    fn enter(tills: &Arc<Tills>, terminal: &TerminalId, key: &str) -> Result<Self, Problem> {
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
        TillAnswer::Applied { stay: None, .. } | TillAnswer::Done { .. } | TillAnswer::Refused { .. } => None,
    };
    Ok(Some(Stored { operation, stay_paid }))
}

/// A refusal that the domain decided, as its problem.
pub(super) fn refusal(code: &str, detail: &str) -> Problem {
    match Code::named(code) {
        Some(code) => Problem::new(code, detail),
        None => {
            tracing::error!(code, "the domain refused with a code that the table lacks");
            Problem::new(Code::Internal, format!("refused: {code}: {detail}"))
        }
    }
}

/// The loop that cannot be reached.
pub(in crate::tills) fn unavailable(why: Unavailable) -> Problem {
    match why {
        Unavailable::Busy | Unavailable::Stopped => Problem::new(Code::Busy, why.to_string()),
    }
}
