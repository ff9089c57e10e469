//! What tills ask besides a commit: points set aside, goods that come back, requests that are given up, shifts.

mod back;
mod coupon;
pub mod facts;
mod hold;
mod shown;

use super::decide::{Facts, StoredOperation};
use super::event::{
    Answered, Decision, HourTotals, MemberId, Now, OpId, Pairing, Points, Record, Reply, ShiftEnd, ShiftStart, Stated,
    TerminalId, TillAct, TillAnswer, TillDone, TillMark, TillWish,
};
use super::points::{self, Part, Pocket, Purse};

pub(super) use coupon::{Multiplied, multiply};
pub(super) use hold::{due, find as find_hold};
pub(super) use shown::{check as check_shown, shown};

/// A code of `docs/till-api.md` and a sentence.
pub(super) type Refused = (&'static str, String);

/// The code of a request that was given up before it came.
pub const TOMBSTONED: &str = "tombstoned";
/// The place of what goes back to the cloud among a decision's effects: far behind everything else.
const RETURN: u32 = 100;

/// Where the hours of any clock begin: offsets from UTC are whole quarters of an hour.
const QUARTER_MS: i64 = 15 * 60_000;

/// Decides what a till asks.
pub(super) fn act(act: &TillAct, facts: &Facts, now: Now) -> Decision {
    let mut decision = Decision::nothing();
    if let Some(stored) = &facts.operation {
        decision.reply = Reply::Till(repeat(&act.fingerprint, stored));
        return decision;
    }
    let done = match check_shift(&act.mark, facts) {
        Ok(()) => wish(&mut decision, act, facts, now),
        Err(refused) => Err(refused),
    };
    let answer = match done {
        Ok(done) => TillAnswer::Done { done, replayed: false },
        Err((code, detail)) => TillAnswer::Refused { code: code.to_owned(), detail },
    };
    let TillAct { terminal, key, fingerprint, mark, .. } = act;
    answered(&mut decision, facts, terminal, key, fingerprint, mark, answer);
    decision
}

fn wish(decision: &mut Decision, act: &TillAct, facts: &Facts, now: Now) -> Result<TillDone, Refused> {
    match &act.wish {
        TillWish::Hold { member, points, ttl_ms, shown } => {
            let terminal = &act.terminal;
            let code = check_shown(shown.as_ref(), Some(member), terminal.as_str(), true, facts, now.utc, now)?;
            let held = hold::place(decision, act, member, *points, *ttl_ms, facts, now)?;
            decision.records.extend(code);
            Ok(held)
        }
        TillWish::Capture { fen, receipt, .. } => hold::capture(decision, act, *fen, receipt, facts, now),
        TillWish::Release { .. } => hold::release(decision, &act.terminal, facts, now),
        TillWish::Void { transaction } => back::void(decision, act, transaction, facts, now),
        TillWish::Refund { transaction, fen } => back::refund(decision, act, transaction, *fen, facts, now),
        TillWish::Reverse { original_key } => back::give_up(decision, act, original_key, facts, now),
        TillWish::Coupon(wish) => coupon::ask(decision, act, wish, facts, now),
        TillWish::Report(hour) => report(hour, now),
        TillWish::OpenShift { operator } => open_shift(decision, &act.terminal, operator.clone(), facts),
        TillWish::CloseShift { shift, stated } => close_shift(decision, &act.terminal, *shift, *stated, facts),
    }
}

/// The stored answer for a key that came before; a request that was given up is refused whatever it says.
pub(super) fn repeat(fingerprint: &str, stored: &StoredOperation) -> TillAnswer {
    let is_tombstone = matches!(&stored.answer, TillAnswer::Refused { code, .. } if code == TOMBSTONED);
    if stored.fingerprint != fingerprint && !is_tombstone {
        let detail = "this key was used with another body".to_owned();
        return TillAnswer::Refused { code: "idempotency-key-reused".to_owned(), detail };
    }
    match stored.answer.clone() {
        TillAnswer::Applied { transaction, earned, spent, usable, stay, duplicate_of, .. } => {
            TillAnswer::Applied { transaction, earned, spent, usable, stay, duplicate_of, replayed: true }
        }
        TillAnswer::Done { done, .. } => TillAnswer::Done { done, replayed: true },
        TillAnswer::Refused { code, detail } => TillAnswer::Refused { code, detail },
    }
}

/// Keeps the answer for a repeat, and notices where the till's own count has a hole.
pub(super) fn answered(
    decision: &mut Decision,
    facts: &Facts,
    terminal: &TerminalId,
    key: &str,
    fingerprint: &str,
    mark: &TillMark,
    answer: TillAnswer,
) {
    if let (Some(number), Some(last)) = (mark.number, facts.tills.last_number)
        && number > last.saturating_add(1)
    {
        let text = format!("{terminal}: the request {number} followed {last}; what lies between did not arrive");
        decision.records.push(Record::alarm("till_numbers_missing", text, None, None));
    }
    if facts.tills.fills_last_hole {
        let text = format!("{terminal}: what did not arrive before is here, and no request of the shift is missing");
        decision.records.push(Record::alarm("till_numbers_complete", text, None, None));
    }
    decision.records.push(Record::OperationAnswered(Answered {
        terminal: terminal.clone(),
        key: key.to_owned(),
        fingerprint: fingerprint.to_owned(),
        number: mark.number,
        shift: facts.tills.shift,
        day: facts.day,
        answer: answer.clone(),
    }));
    decision.reply = Reply::Till(answer);
}

/// A till that believes another shift to be open would book into the wrong one.
pub(super) fn check_shift(mark: &TillMark, facts: &Facts) -> Result<(), Refused> {
    match mark.shift {
        Some(shift) if shift != facts.tills.shift => {
            Err(("shift-closed", format!("shift {shift} is not open; the open one is {}", facts.tills.shift)))
        }
        Some(_) | None => Ok(()),
    }
}

/// Staff let a till in, or shut it out.
pub(super) fn pair(pairing: &Pairing) -> Decision {
    let text = match &pairing.token_sha256 {
        Some(_) => format!("{} may ask", pairing.terminal),
        None => format!("{} is shut out", pairing.terminal),
    };
    Decision {
        records: vec![Record::TerminalChanged(pairing.clone())],
        reply: Reply::Staff(Ok(text)),
        ..Decision::nothing()
    }
}

/// Keeps what a till sold in an hour; it goes into no drawer and no member's points.
fn report(told: &HourTotals, now: Now) -> Result<TillDone, Refused> {
    if told.hour.0.rem_euclid(QUARTER_MS) != 0 {
        return Err(("bad-request", "hour: an hour of the clock begins at a whole hour of its own offset".to_owned()));
    }
    if now.trusted && told.hour > now.utc {
        return Err(("bad-request", "hour: it has not begun yet by this box's clock".to_owned()));
    }
    Ok(TillDone::Reported(*told))
}

fn open_shift(
    decision: &mut Decision,
    terminal: &TerminalId,
    operator: Option<String>,
    facts: &Facts,
) -> Result<TillDone, Refused> {
    let (terminal, shift, day) = (terminal.clone(), facts.tills.shift, facts.day);
    decision.records.push(Record::ShiftOpened(ShiftStart { terminal, shift, day, operator }));
    Ok(TillDone::ShiftOpened { shift, day })
}

fn close_shift(
    decision: &mut Decision,
    terminal: &TerminalId,
    shift: u32,
    stated: Option<Stated>,
    facts: &Facts,
) -> Result<TillDone, Refused> {
    if shift != facts.tills.shift {
        let detail = format!("shift {shift} is not open; the open one is {}", facts.tills.shift);
        return Err(("shift-closed", detail));
    }
    let (terminal, day, totals) = (terminal.clone(), facts.day, facts.tills.totals);
    decision.records.push(Record::ShiftClosed(ShiftEnd { terminal, shift, day, totals, stated }));
    Ok(TillDone::ShiftClosed { shift, day, totals, stated: stated.map(Box::new) })
}

/// A purse with points in it that are free again.
pub(super) fn put_back(purse: &mut Purse, parts: &[Part], since: u64) {
    let mut pockets = purse.pockets().to_vec();
    for part in parts {
        match pockets.iter_mut().find(|pocket| pocket.grant == part.grant) {
            Some(pocket) => pocket.remaining.0 += part.points.0,
            None => {
                let (grant, remaining, lot) = (part.grant.clone(), part.points, points::Lot::default());
                pockets.push(Pocket { grant, remaining, lot, since });
            }
        }
    }
    *purse = pockets.into_iter().collect();
}

/// A member without a vehicle here needs nothing reserved here, besides what is kept between visits. A box in doubt
/// gives nothing back.
pub(super) fn send_home(decision: &mut Decision, facts: &Facts, member: &MemberId, purse: &mut Purse) {
    if facts.member_inside || facts.quarantined {
        return;
    }
    let keep = facts.member.as_ref().map_or(Points(0), |known| known.keep);
    let parts = points::beyond(purse, keep);
    if !parts.is_empty() {
        points::lower(purse, &parts);
        let (op, member, points) = (facts.ids.op(RETURN), member.clone(), points::sum(&parts));
        decision.records.push(Record::PointsReturned { op, member, points, parts });
    }
}

/// The first `points` of parts that hold at least so many.
fn first_of(parts: &[Part], points: Points) -> Vec<Part> {
    let mut wanted = points.0;
    let mut taken = Vec::new();
    for part in parts {
        let now = wanted.min(part.points.0);
        if now > 0 {
            taken.push(Part { grant: part.grant.clone(), points: Points(now) });
            wanted -= now;
        }
    }
    assert!(wanted == 0, "no more is taken than there is");
    taken
}

/// The last `points` of parts: what was taken last goes back first.
fn last_of(parts: &[Part], points: Points) -> Vec<Part> {
    let backwards: Vec<Part> = parts.iter().rev().cloned().collect();
    first_of(&backwards, points)
}

/// An effect's place among those of the same decision.
fn op(facts: &Facts, n: u32) -> OpId {
    facts.ids.op(n)
}
