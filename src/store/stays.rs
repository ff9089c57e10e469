//! What records do to the rows of stays beside their plain life: inner lots, counts, corrections, and who is where.

use anyhow::Context;
use rusqlite::{Connection, params};

use super::facts::parse;
use super::tables::{json, one, set_fact};
use crate::domain::admission::Right;
use crate::domain::capacity::Occupants;
use crate::domain::event::{Corrected, Fen, MemberId, OpId, StayId, UtcMs};
use crate::domain::stay::{Stay, ZoneVisit};
use crate::domain::tariff::Fee;

/// What the names of facts begin with that say how people counted.
pub(super) const DRIFT: &str = "drift/";

/// Who is where, from the tables.
pub(super) fn occupants(db: &Connection) -> anyhow::Result<Occupants> {
    let mut occupants = Occupants::default();
    let sql = "SELECT s.stay, s.right_held, z.zone FROM stay s INDEXED BY stay_inside_by_change
               LEFT JOIN zone_visit z ON z.stay = s.stay AND z.to_ms IS NULL
               WHERE s.state IN ('pending_entry', 'open', 'pending_exit')";
    let mut statement = db.prepare(sql)?;
    let mut rows = statement.query(())?;
    while let Some(row) = rows.next()? {
        let (stay, right): (String, Option<String>) = (row.get(0)?, row.get(1)?);
        let right = right.map(|text| parse::<Right>(&text)).transpose()?;
        occupants.enter(StayId(stay), right, row.get(2)?);
    }
    let mut statement = db.prepare("SELECT name, value FROM fact WHERE name LIKE 'drift/%'")?;
    let mut rows = statement.query(())?;
    while let Some(row) = rows.next()? {
        let (name, value): (String, String) = (row.get(0)?, row.get(1)?);
        let drift = value.parse().with_context(|| format!("read the fact {name}"))?;
        occupants.drift(name.trim_start_matches(DRIFT).to_owned(), drift);
    }
    Ok(occupants)
}

/// The parts of a stay in inner lots, the oldest first.
pub(super) fn zone_visits(db: &Connection, stay: &StayId) -> rusqlite::Result<Vec<ZoneVisit>> {
    let sql = "SELECT zone, from_ms, to_ms FROM zone_visit WHERE stay = ?1 ORDER BY seq";
    let mut statement = db.prepare_cached(sql)?;
    let visit = |row: &rusqlite::Row<'_>| {
        let to: Option<i64> = row.get(2)?;
        Ok(ZoneVisit { zone: row.get(0)?, from: UtcMs(row.get(1)?), to: to.map(UtcMs) })
    };
    statement.query_map([stay.as_str()], visit)?.collect()
}

/// A vehicle drove into an inner lot.
pub(super) fn zone_entered(db: &Connection, seq: u64, stay: &StayId, zone: &str, at: UtcMs) -> anyhow::Result<()> {
    one(
        db,
        "INSERT INTO zone_visit (stay, seq, zone, from_ms) VALUES (?1, ?2, ?3, ?4)",
        params![stay.as_str(), seq, zone, at.0],
    )
}

/// A vehicle drove out of an inner lot.
pub(super) fn zone_left(db: &Connection, stay: &StayId, zone: &str, at: UtcMs) -> anyhow::Result<()> {
    let sql = "UPDATE zone_visit SET to_ms = max(from_ms, ?3) WHERE stay = ?1 AND zone = ?2 AND to_ms IS NULL";
    one(db, sql, params![stay.as_str(), zone, at.0])
}

/// People counted.
pub(super) fn count_taken(db: &Connection, zone: Option<&str>, counted: u32, by_books: u32) -> anyhow::Result<()> {
    let drift = i64::from(counted) - i64::from(by_books);
    set_fact(db, &format!("{DRIFT}{}", zone.unwrap_or_default()), &drift.to_string())
}

/// A stay was put right.
pub(super) fn corrected(db: &Connection, seq: u64, corrected: &Corrected) -> anyhow::Result<()> {
    let Corrected { op, stay, exit, fee, uses, difference, refund, operator, reason, evidence, .. } = corrected;
    let sql = "INSERT INTO correction (op, stay, difference_fen, operator, reason, evidence, seq)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    one(db, sql, params![op.as_str(), stay.id.as_str(), difference.0, operator, reason, evidence, seq])?;
    rewrite(db, seq, stay)?;
    if let (Some(_), Some(uses)) = (exit, uses) {
        super::benefits::put_right(db, seq, &stay.id, uses)?;
    }
    if let (Some(_), Some(fee)) = (exit, fee) {
        reprice(db, stay, fee, *difference, *refund)?;
    }
    Ok(())
}

fn rewrite(db: &Connection, seq: u64, stay: &Stay) -> anyhow::Result<()> {
    let sql = "UPDATE stay SET plate = ?3, member = ?4, entry_lane = ?5, entry_ms = ?6, rules = ?7, assumed = ?8,
               right_held = ?9, debts_fen = ?10, changed_seq = ?2 WHERE stay = ?1";
    let plate = stay.plate.as_ref().map(|plate| plate.as_str());
    let member = stay.member.as_ref().map(|member| member.as_str());
    let assumed = stay.assumed.map(|assumed| json(&assumed)).transpose()?;
    let right = stay.right.as_ref().map(json).transpose()?;
    let (id, lane, entry, debts) = (stay.id.as_str(), stay.entry_lane.as_str(), stay.entry.0, stay.debts.0);
    one(db, sql, params![id, seq, plate, member, lane, entry, stay.rules, assumed, right, debts])
}

/// A higher fee is owed by the plate, or let go where there is none.
fn reprice(db: &Connection, stay: &Stay, fee: &Fee, difference: Fen, refund: Fen) -> anyhow::Result<()> {
    let more = difference.0.max(0);
    let (owed, waived) = if stay.plate.is_some() { (more, 0) } else { (0, more) };
    let sql = "UPDATE stay SET fee = ?2, fee_fen = ?3, owed_fen = owed_fen + ?4, waived_fen = waived_fen + ?5,
               refund_fen = refund_fen + ?6 WHERE stay = ?1";
    one(db, sql, params![stay.id.as_str(), json(fee)?, fee.total.0, owed, waived, refund.0])
}

/// What points had paid is paid no more: a vehicle that is inside owes it again, one that has left was let go. Points
/// that paid at a till are a payment in the entry of their spend; points that were held at a lane are none.
pub(super) fn payment_reversed(db: &Connection, seq: u64, of: &OpId, stay: &StayId, fen: Fen) -> anyhow::Result<()> {
    let sql = "DELETE FROM payment WHERE stay = ?1 AND fen = ?2 AND tender ->> '$.by' = 'points'
               AND seq = (SELECT seq FROM points_entry WHERE op = ?3)";
    let was_payment = db.prepare_cached(sql)?.execute(params![stay.as_str(), fen.0, of.as_str()])? > 0;
    let paid = if was_payment { fen.0 } else { 0 };
    let sql = "UPDATE stay SET paid_fen = paid_fen - ?3, changed_seq = ?2,
               waived_fen = waived_fen + CASE state WHEN 'closed' THEN ?4 ELSE 0 END WHERE stay = ?1";
    one(db, sql, params![stay.as_str(), seq, paid, fen.0])
}

/// A debt was paid by a stay or for it. A vehicle of that plate that is inside in another stay owes so much less there.
pub(super) fn debt_paid(db: &Connection, debt: &OpId, fen: Fen, by: &StayId) -> anyhow::Result<()> {
    one(db, "UPDATE debt SET paid_fen = paid_fen + ?2 WHERE debt = ?1", params![debt.as_str(), fen.0])?;
    let sql =
        "UPDATE stay SET debts_fen = max(0, debts_fen - ?2) WHERE plate = (SELECT plate FROM debt WHERE debt = ?1)
               AND state IN ('pending_entry', 'open', 'pending_exit') AND stay <> ?3";
    db.prepare_cached(sql)?.execute(params![debt.as_str(), fen.0, by.as_str()])?;
    Ok(())
}

/// The stay at the exit is a member's who has shown a code there.
pub(super) fn member_shown(db: &Connection, seq: u64, stay: &StayId, member: &MemberId) -> anyhow::Result<()> {
    let sql = "UPDATE stay SET member = ?3, changed_seq = ?2 WHERE stay = ?1 AND state = 'pending_exit'";
    one(db, sql, params![stay.as_str(), seq, member.as_str()])
}
