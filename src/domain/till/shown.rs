//! What a member's code is good for: the place that saw it first may take it, for one payment, within a quarter of an hour.

use super::Refused;
use crate::domain::decide::Facts;
use crate::domain::event::{CodeUse, Decision, MemberId, MemberShown, Now, Record, Reply, Shown, TillAnswer, UtcMs};

/// How long a code is good for, by its step, and how far a phone's clock may be off: one step to each side.
const STEP_MS: i64 = 30_000;
const STEPS_OFF: u64 = 1;
/// How long after it was shown a code still pays at its place: a basket at a till takes minutes, not hours.
const PAYS_FOR_MS: i64 = 15 * 60_000;

/// Decides what it means that a member was shown before anything is bought.
pub(in crate::domain) fn shown(shown: &MemberShown, facts: &Facts, now: Now) -> Decision {
    let mut decision = Decision::nothing();
    let place = shown.at.name();
    match check(Some(&shown.shown), Some(&shown.member), &place, false, facts, now.utc, now) {
        Ok(record) => decision.records.extend(record),
        Err((code, detail)) => {
            decision.reply = Reply::Till(TillAnswer::Refused { code: code.to_owned(), detail });
        }
    }
    decision
}

/// Whether a member who was shown so may do it here now, and what is kept of the code. `pays` says that points are to
/// be spent; `at` is when the till says that it happened. Requests in old journals do not say how the member was shown.
pub(in crate::domain) fn check(
    shown: Option<&Shown>,
    member: Option<&MemberId>,
    place: &str,
    pays: bool,
    facts: &Facts,
    at: UtcMs,
    now: Now,
) -> Result<Option<Record>, Refused> {
    let (Some(shown), Some(member)) = (shown, member) else { return Ok(None) };
    let step = match shown {
        Shown::Code { step } => *step,
        Shown::Fixed | Shown::Plate if pays => {
            let detail = "a code that stays the same and a plate earn and do not pay; the phone's own code is allowed";
            return Err(("member-code-static", detail.to_owned()));
        }
        Shown::Fixed | Shown::Plate => return Ok(None),
    };
    if pays && !now.trusted {
        let detail = "this box's clock is in doubt, so no code pays; another tender is allowed";
        return Err(("member-code-expired", detail.to_owned()));
    }
    let used = |at: UtcMs, paid: bool| {
        let (member, place) = (member.clone(), place.to_owned());
        Some(Record::MemberCodeUsed(CodeUse { member, step, place, at, paid }))
    };
    match &facts.tills.code {
        Some(before) if before.place != place => Err((
            "member-code-replayed",
            "this code was shown at another place before; the phone shows a new one".into(),
        )),
        Some(_) if !pays => Ok(None),
        Some(before) if before.paid => {
            Err(("member-code-replayed", "this code has paid before; the phone shows a new one".to_owned()))
        }
        Some(before) if !(0..=PAYS_FOR_MS).contains(&(now.utc.0 - before.at.0)) => {
            Err(("member-code-expired", "it was shown too long ago; the phone shows a new one".to_owned()))
        }
        Some(before) => Ok(used(before.at, true)),
        None if is_of(step, if pays { now.utc } else { at }) || !now.trusted => Ok(used(now.utc, pays)),
        None => Err(("member-code-expired", "its half minute is over; the phone shows a new one".to_owned())),
    }
}

/// Whether a step is the one of a moment, or beside it.
fn is_of(step: u64, at: UtcMs) -> bool {
    u64::try_from(at.0.div_euclid(STEP_MS)).is_ok_and(|now| now.abs_diff(step) <= STEPS_OFF)
}
