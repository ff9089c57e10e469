//! The service desk's and the merchants' acts: what was done under which name, and what deciding the next one needs.

use anyhow::Context;
use rusqlite::{Connection, OptionalExtension, params};

use super::Store;
use super::facts::{debts_for, find_serving_lane, look_up_member, parse, stay_where};
use super::journal::Entry;
use super::tables::{json, name, one};
use crate::domain::decide::Facts;
use crate::domain::event::{BusinessDay, Fen, Note, OfficeAct, OfficeNote, OpId, Points, StayId, TillCommit, UtcMs};
use crate::domain::office::Voucher;

/// Keeps what was done.
pub(super) fn noted(db: &Connection, seq: u64, note: &OfficeNote) -> anyhow::Result<()> {
    let OfficeNote { op, day, act, used } = note;
    if let (Note::VoucherKeyed { number, .. }, Some(used)) = (&act.note, used) {
        let sql = "INSERT INTO voucher_use (number, day, how, stay, fen, of_waived, seq)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        let stay = used.stay.as_ref().map(StayId::as_str);
        one(db, sql, params![number, day.0, name(&used.how)?, stay, used.fen.0, used.of_waived.0, seq])?;
    }
    let (subject, points) = match &act.note {
        Note::PointsGiven { points, receipt, .. } => {
            (receipt.as_ref().map(|(shop, receipt)| format!("{shop}\n{receipt}")), points.0)
        }
        Note::DisputeOpened { entry, .. } => (Some(entry.to_string()), 0),
        Note::DisputeSettled { of, .. } => (Some(of.0.clone()), 0),
        Note::VouchersPrinted { first, count, .. } => (Some((first + count - 1).to_string()), 0),
        Note::VoucherKeyed { number, .. } => (Some(number.to_string()), 0),
    };
    let sql = "INSERT INTO office_note (op, id, kind, by_whom, day, subject, points, note, seq)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    let kind = act.note.word();
    one(db, sql, params![op.as_str(), act.id, kind, act.by, day.0, subject, points, json(act)?, seq])
}

/// Looks up what deciding an act needs.
pub(super) fn look_up(store: &Store, facts: &mut Facts, act: &OfficeAct) -> anyhow::Result<()> {
    let db = &store.db;
    let sql = "SELECT note FROM office_note WHERE id = ?1 AND by_whom = ?2";
    let before: Option<String> =
        db.prepare_cached(sql)?.query_row(params![act.id, act.by], |row| row.get(0)).optional()?;
    facts.office.before = before.map(|text| parse(&text)).transpose()?;
    match &act.note {
        Note::PointsGiven { member, receipt, .. } => {
            look_up_member(store, facts, member)?;
            let sql = "SELECT day, sum(points) FROM office_note WHERE kind = 'points_given' AND by_whom = ?1
                       GROUP BY day ORDER BY day DESC LIMIT 1";
            let given =
                db.prepare_cached(sql)?.query_row([&act.by], |row| Ok((BusinessDay(row.get(0)?), Points(row.get(1)?))));
            facts.office.given = given.optional()?;
            if let Some((shop, receipt)) = receipt {
                facts.office.earned_by = receipt_before(db, shop, receipt)?;
            }
        }
        Note::DisputeOpened { party, entry, .. } => {
            let sql = "SELECT count(*) FROM leg WHERE seq = ?1 AND (payer = ?2 OR acceptor = ?2)";
            let legs: u32 = db.prepare_cached(sql)?.query_row(params![entry, party], |row| row.get(0))?;
            facts.office.is_leg = legs > 0;
            let sql = "SELECT op FROM office_note WHERE kind = 'dispute_opened' AND subject = ?1
                       AND note ->> '$.note.party' = ?2 AND op NOT IN
                       (SELECT subject FROM office_note WHERE kind = 'dispute_settled')";
            facts.office.dispute = op_of(db, sql, params![entry.to_string(), party])?;
        }
        Note::DisputeSettled { of, .. } => {
            let sql = "SELECT op FROM office_note WHERE kind = 'dispute_opened' AND op = ?1 AND op NOT IN
                       (SELECT subject FROM office_note WHERE kind = 'dispute_settled')";
            facts.office.dispute = op_of(db, sql, params![of.as_str()])?;
        }
        Note::VouchersPrinted { .. } => facts.office.next_voucher = next_voucher(db)?,
        Note::VoucherKeyed { number, plate, left, .. } => {
            look_up_voucher_stay(store, facts, plate, *left)?;
            facts.office.voucher = voucher(db, *number)?;
            let sql = "SELECT count(*) FROM office_note WHERE kind = 'voucher_keyed' AND subject = ?1";
            let keyed: u32 = db.prepare_cached(sql)?.query_row([number.to_string()], |row| row.get(0))?;
            facts.office.is_keyed = keyed > 0;
        }
    }
    Ok(())
}

fn op_of(db: &Connection, sql: &str, values: impl rusqlite::Params) -> anyhow::Result<Option<OpId>> {
    Ok(db.prepare_cached(sql)?.query_row(values, |row| Ok(OpId(row.get(0)?))).optional()?)
}

/// The number after the last voucher that was printed.
pub(super) fn next_voucher(db: &Connection) -> rusqlite::Result<u32> {
    let sql = "SELECT coalesce(max(CAST(subject AS INTEGER)), 0) + 1 FROM office_note WHERE kind = 'vouchers_printed'";
    db.prepare_cached(sql)?.query_row((), |row| row.get(0))
}

/// The stay that a voucher with that plate is for: of the vehicle that is inside, or of its last visit; with the time at
/// which it left, the one that had begun by then.
fn look_up_voucher_stay(store: &Store, facts: &mut Facts, plate: &str, left: Option<UtcMs>) -> anyhow::Result<()> {
    let until = left.map_or(i64::MAX, |left| left.0);
    let inside = "SELECT stay FROM stay WHERE plate = ?1 AND state IN ('pending_entry', 'open', 'pending_exit')
                  AND entry_ms <= ?2";
    let over = "SELECT stay FROM stay WHERE plate = ?1 AND state = 'closed' AND entry_ms <= ?2
                ORDER BY exit_ms DESC LIMIT 1";
    for sql in [inside, over] {
        let found: Option<String> =
            store.db.prepare_cached(sql)?.query_row(params![plate, until], |row| row.get(0)).optional()?;
        let Some(stay) = found else { continue };
        facts.named_stay = stay_where(store, "stay = ?1", &stay)?;
        find_serving_lane(store, facts);
        if let Some(inside) = &facts.named_stay {
            facts.open_debts = debts_for(&store.db, &inside.stay)?;
        }
        let sql =
            "SELECT waived_fen - coalesce((SELECT sum(of_waived) FROM voucher_use WHERE voucher_use.stay = ?1), 0)
                   FROM stay WHERE stay = ?1";
        facts.office.waived = Fen(store.db.prepare_cached(sql)?.query_row([&stay], |row| row.get(0))?);
        return Ok(());
    }
    Ok(())
}

/// A paper voucher as it was printed.
pub(super) fn voucher(db: &Connection, number: u32) -> anyhow::Result<Option<Voucher>> {
    let sql = "SELECT note FROM office_note
               WHERE kind = 'vouchers_printed' AND ?1 BETWEEN note ->> '$.note.first' AND CAST(subject AS INTEGER)";
    let note: Option<String> = db.prepare_cached(sql)?.query_row([number], |row| row.get(0)).optional()?;
    let Some(note) = note else { return Ok(None) };
    let act: OfficeAct = parse(&note)?;
    let Note::VouchersPrinted { fen, funder, gives, .. } = act.note else { return Ok(None) };
    Ok(Some(Voucher { fen, funder, gives }))
}

/// The sale of a shop's receipt that has earned and stands, or what was given by hand for it.
fn receipt_before(db: &Connection, shop: &str, receipt: &str) -> anyhow::Result<Option<OpId>> {
    let sql = "SELECT op FROM till_book AS book WHERE what = 'sale' AND merchant = ?1 AND line ->> '$.receipt' = ?2
               AND member IS NOT NULL AND earned > 0
               AND NOT EXISTS (SELECT 1 FROM till_book AS back WHERE back.of = book.op AND back.what = 'void')
               UNION ALL SELECT op FROM office_note WHERE kind = 'points_given' AND subject = ?1 || char(10) || ?2";
    op_of(db, sql, params![shop, receipt])
}

/// What was given by hand for a shop's receipt, the newest, and when.
pub(super) fn made_up(db: &Connection, shop: &str, receipt: &str) -> anyhow::Result<Option<(OpId, UtcMs)>> {
    let sql = "SELECT op, body FROM office_note JOIN journal ON entry = office_note.seq
               WHERE kind = 'points_given' AND subject = ?1 || char(10) || ?2 ORDER BY office_note.seq DESC LIMIT 1";
    let found: Option<(String, Vec<u8>)> =
        db.prepare_cached(sql)?.query_row(params![shop, receipt], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let Some((op, body)) = found else { return Ok(None) };
    let entry: Entry = serde_json::from_slice(&body).context("read the entry of points by hand")?;
    Ok(Some((OpId(op), entry.at_ms)))
}

/// The newest sale of the same shop and amount, with the same receipt number or the same payment, that came by another
/// terminal and has earned, and when it happened.
pub(super) fn twin(db: &Connection, shop: &str, commit: &TillCommit) -> anyhow::Result<Option<(OpId, UtcMs)>> {
    let payment = commit.money.first().and_then(|money| money.reference.as_deref());
    let ways = [("$.receipt", Some(commit.receipt.as_str())), ("$.money[0].ref", payment)];
    for (what, text) in ways {
        let Some(text) = text.filter(|text| !text.is_empty()) else { continue };
        let twin = twin_by(db, what, (shop, text, commit.sale.0, commit.terminal.as_str()))?;
        if twin.is_some() {
            return Ok(twin);
        }
    }
    Ok(None)
}

fn twin_by(db: &Connection, what: &str, of: (&str, &str, i64, &str)) -> anyhow::Result<Option<(OpId, UtcMs)>> {
    let sql = format!(
        "SELECT op, line ->> '$.at' FROM till_book AS book WHERE what = 'sale' AND merchant = ?1 AND line ->> '{what}' = ?2
               AND member IS NOT NULL AND sale_fen = ?3 AND terminal <> ?4
               AND line ->> '$.duplicate_of' IS NULL
               AND NOT EXISTS (SELECT 1 FROM till_book AS back WHERE back.of = book.op AND back.what = 'void'
                               AND back.line ->> '$.left_with' IS NULL)
               ORDER BY seq DESC LIMIT 1"
    );
    let twin = db.prepare_cached(&sql)?.query_row(of, |row| Ok((OpId(row.get(0)?), UtcMs(row.get(1)?))));
    Ok(twin.optional()?)
}

/// Vouchers that were keyed in on a day, and what they let off in all.
pub(super) fn vouchers_keyed(db: &Connection, day: BusinessDay) -> rusqlite::Result<(u64, Fen)> {
    let sql = "SELECT count(*), coalesce(sum((SELECT printed.note ->> '$.note.fen' FROM office_note AS printed
               WHERE printed.kind = 'vouchers_printed' AND CAST(keyed.subject AS INTEGER)
               BETWEEN printed.note ->> '$.note.first' AND CAST(printed.subject AS INTEGER))), 0)
               FROM office_note AS keyed WHERE kind = 'voucher_keyed' AND day = ?1";
    db.prepare_cached(sql)?.query_row([day.0], |row| Ok((row.get(0)?, Fen(row.get(1)?))))
}
