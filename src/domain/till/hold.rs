//! Points set aside for a sale that is not finished: placed, captured in whole or in part, released, or expired.

use super::facts::Held;
use super::{RETURN, Refused, first_of, op, put_back, send_home};
use crate::domain::decide::Facts;
use crate::domain::event::{
    Booking, BookingKind, Decision, Fen, HoldEnd, MemberId, Now, OpId, Points, Record, TerminalId, TillAct, TillDone,
    TillHold, UtcMs,
};
use crate::domain::points::{self, Purse};

/// The spend's place among a capture's effects: where a commit has it, so that both are undone alike.
const SPEND: u32 = 6;

/// Sets points aside.
pub(super) fn place(
    decision: &mut Decision,
    act: &TillAct,
    member: &MemberId,
    points: Points,
    ttl_ms: i64,
    facts: &Facts,
    now: Now,
) -> Result<TillDone, Refused> {
    if facts.member.is_none() {
        return Err(("member-unknown", "no such member".to_owned()));
    }
    if let Some(why) = facts.points_are_stopped() {
        return Err(("quarantined", why.to_owned()));
    }
    let valid = facts.purse.valid(&facts.till(now));
    let Some(parts) = points::take(&valid, points) else {
        let usable = points::usable(&valid).0;
        return Err(("insufficient-points", format!("{} points are needed, {usable} are usable here", points.0)));
    };
    let mut purse = facts.purse.clone();
    points::lower(&mut purse, &parts);
    let hold = TillHold {
        op: op(facts, 0),
        terminal: act.terminal.clone(),
        member: member.clone(),
        points,
        fen: facts.rules.points_worth(points),
        parts,
        expires: UtcMs(now.utc.0 + ttl_ms),
        shop: act.mark.shop.clone(),
    };
    let TillHold { op, fen, expires, .. } = hold.clone();
    decision.records.push(Record::TillHoldPlaced(hold));
    Ok(TillDone::Held { hold: op, points, fen, expires, usable: usable(&purse, facts, now) })
}

/// Spends what was set aside, or a part of it.
pub(super) fn capture(
    decision: &mut Decision,
    act: &TillAct,
    fen: Option<Fen>,
    receipt: &str,
    facts: &Facts,
    now: Now,
) -> Result<TillDone, Refused> {
    let hold = open(decision, &act.terminal, facts, now)?;
    if let Some(why) = facts.points_are_stopped() {
        return Err(("quarantined", why.to_owned()));
    }
    let fen = fen.unwrap_or(hold.fen);
    let points = facts.rules.points_needed(fen);
    let points = if fen == hold.fen { hold.points } else { points };
    if fen.0 > hold.fen.0 || points.0 > hold.points.0 || points.0 <= 0 {
        let detail = format!("fen: {} fen; from 1 to {} fen are set aside", fen.0, hold.fen.0);
        return Err(("amount-mismatch", detail));
    }
    let whole = facts.rules.payable(fen);
    if whole != fen && fen != hold.fen {
        let detail = format!("fen: {} fen; points pay whole multiples, and {} fen is the next below", fen.0, whole.0);
        return Err(("amount-mismatch", detail));
    }
    let parts = first_of(&hold.parts, points);
    let transaction = op(facts, 0);
    decision.records.push(Record::TillHoldEnded { op: hold.op.clone(), why: HoldEnd::Captured });
    decision.records.push(Record::PointsSpent {
        op: op(facts, SPEND),
        member: hold.member.clone(),
        points,
        fen,
        parts: parts.clone(),
        stay: None,
    });
    decision.records.push(Record::TillBooked(Booking {
        op: transaction.clone(),
        what: BookingKind::Capture,
        of: None,
        terminal: act.terminal.clone(),
        shift: facts.tills.shift,
        day: facts.day,
        merchant: act.mark.merchant.clone(),
        shop: act.mark.shop.clone(),
        duplicate_of: None,
        left_with: None,
        late_ms: 0,
        receipt: receipt.to_owned(),
        member: Some(hold.member.clone()),
        stay: None,
        price_level: None,
        list_fen: None,
        visit: facts.tills.visit.clone(),
        sale_fen: fen,
        sale_points_fen: fen,
        sale_points: points,
        parking_fen: Fen(0),
        parking_points_fen: Fen(0),
        parking_points: Points(0),
        money: Vec::new(),
        earned: Points(0),
        earning: None,
        how: None,
        rules: facts.rules.version,
        at: now.utc,
    }));
    let mut purse = facts.purse.clone();
    put_back(&mut purse, &hold.parts, facts.ids.seq);
    points::lower(&mut purse, &parts);
    send_home(decision, facts, &hold.member, &mut purse);
    let (released, usable) = (Points(hold.points.0 - points.0), usable(&purse, facts, now));
    Ok(TillDone::Captured { transaction, hold: hold.op.clone(), points, fen, released, usable })
}

/// Frees what was set aside.
pub(super) fn release(
    decision: &mut Decision,
    terminal: &TerminalId,
    facts: &Facts,
    now: Now,
) -> Result<TillDone, Refused> {
    let hold = open(decision, terminal, facts, now)?.clone();
    Ok(free(decision, &hold, HoldEnd::Released, facts, now))
}

/// Frees a hold without asking whose it is.
pub(super) fn free(decision: &mut Decision, hold: &TillHold, why: HoldEnd, facts: &Facts, now: Now) -> TillDone {
    decision.records.push(Record::TillHoldEnded { op: hold.op.clone(), why });
    let mut purse = facts.purse.clone();
    put_back(&mut purse, &hold.parts, facts.ids.seq);
    send_home(decision, facts, &hold.member, &mut purse);
    TillDone::Released { hold: hold.op.clone(), points: hold.points, usable: usable(&purse, facts, now) }
}

/// What the member could spend here at once.
fn usable(purse: &Purse, facts: &Facts, now: Now) -> Points {
    points::usable(&purse.valid(&facts.till(now)))
}

/// The time of a hold is over.
pub(in crate::domain) fn due(hold: &OpId, facts: &Facts, now: Now) -> Decision {
    let mut decision = Decision::nothing();
    let held = facts.tills.hold.as_ref().filter(|held| held.hold.op == *hold && held.ended.is_none());
    if let Some(held) = held.filter(|held| now.utc >= held.hold.expires) {
        free(&mut decision, &held.hold, HoldEnd::Expired, facts, now);
    }
    decision
}

/// The hold that a terminal means, where it is open; one whose time is over is freed at once.
fn open<'a>(
    decision: &mut Decision,
    terminal: &TerminalId,
    facts: &'a Facts,
    now: Now,
) -> Result<&'a TillHold, Refused> {
    match find(terminal, facts, now) {
        Ok(hold) => Ok(hold),
        Err(refused) => {
            let held = facts.tills.hold.as_ref().filter(|held| is_theirs(held, terminal) && held.ended.is_none());
            if let Some(held) = held {
                free(decision, &held.hold, HoldEnd::Expired, facts, now);
            }
            Err(refused)
        }
    }
}

/// The same, without freeing anything.
pub(in crate::domain) fn find<'a>(terminal: &TerminalId, facts: &'a Facts, now: Now) -> Result<&'a TillHold, Refused> {
    let Some(held) = facts.tills.hold.as_ref().filter(|held| is_theirs(held, terminal)) else {
        return Err(("hold-unknown", "hold: this terminal has set nothing aside by that name".to_owned()));
    };
    match held.ended.as_deref() {
        None if now.utc < held.hold.expires => Ok(&held.hold),
        None | Some("expired") => {
            let detail = "its time is over and its points are free again; set them aside once more".to_owned();
            Err(("hold-expired", detail))
        }
        Some(why) => Err(("hold-ended", format!("this hold is {why}"))),
    }
}

fn is_theirs(held: &Held, terminal: &TerminalId) -> bool {
    held.hold.terminal == *terminal
}

const _: () = assert!(SPEND < RETURN);
