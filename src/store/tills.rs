//! The tills' tables: what their records write, and what deciding their requests needs to know.

use anyhow::Context;
use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::benefits::CouponUseOf;
use super::facts::{look_up_member, parse, remember, rules_of};
use super::journal::Entry;
use super::reader::tills::Scope;
use super::tables::{Movement, json, name, one, points_entry, put_into_grants, take_from_grants};
use super::{Store, benefits, bonuses, codes, counts, escrow, passes, totals, ways};
use crate::domain::benefit::{SaleFacts, asked_at_tills};
use crate::domain::decide::{Facts, StoredOperation};
use crate::domain::event::{
    Answered, Booking, BookingKind, BusinessDay, CloudNews, CouponMove, CouponWish, Fen, MemberId, OpId, PaymentVoid,
    Points, Record, Sale, ShiftEnd, ShiftStart, Stated, StayId, TakenBack, TerminalId, TillAct, TillAnswer, TillDone,
    TillHold, TillWish, Totals,
};
use crate::domain::points;
use crate::domain::rules::Rules;
use crate::domain::till::facts::{Booked, Held, OpenDebt, Ways};

/// The spends of a transaction and the money that it took for parking, by their places among its effects.
const SPENDS: [&str; 2] = ["/6", "/7"];
const PAYMENT: &str = "/3";
/// The place of the coupon that multiplied what it earned.
const COUPON: &str = "/60";

/// Writes what a till's record means.
#[allow(clippy::wildcard_enum_match_arm, reason = "the caller passes the tills' kinds")]
pub(super) fn apply(db: &Connection, seq: u64, record: &Record) -> anyhow::Result<()> {
    match record {
        Record::SaleCommitted(sale) => sold(db, sale),
        Record::OperationAnswered(answered) => keep_answer(db, seq, answered),
        Record::TillBooked(booking) => book(db, seq, booking),
        Record::TillHoldPlaced(hold) => {
            take_from_grants(db, &hold.parts)?;
            let sql = "INSERT INTO till_hold (op, terminal, expires_ms, hold) VALUES (?1, ?2, ?3, ?4)";
            one(db, sql, params![hold.op.as_str(), hold.terminal.as_str(), hold.expires.0, json(hold)?])
        }
        Record::TillHoldEnded { op, why } => {
            let sql = "SELECT hold FROM till_hold WHERE op = ?1 AND ended IS NULL";
            let hold: String = db.prepare_cached(sql)?.query_row([op.as_str()], |row| row.get(0))?;
            put_into_grants(db, &parse::<TillHold>(&hold)?.parts)?;
            let sql = "UPDATE till_hold SET ended = ?2 WHERE op = ?1 AND ended IS NULL";
            one(db, sql, params![op.as_str(), name(why)?])
        }
        Record::PaymentVoided(void) => void_payment(db, seq, void),
        Record::PointsTakenBack(taken) => take_back(db, seq, taken),
        Record::PointsOwed(debt) => {
            let sql = "INSERT INTO points_debt (debt, of, member, points, seq) VALUES (?1, ?2, ?3, ?4, ?5)";
            one(db, sql, params![debt.debt.as_str(), debt.of.as_str(), debt.member.as_str(), debt.points.0, seq])
        }
        Record::CouponMoved(moved) => benefits::coupon_moved(db, seq, moved),
        Record::ShiftOpened(start) => open_shift(db, seq, start),
        Record::ShiftClosed(end) => close_shift(db, seq, end),
        Record::TerminalChanged(pairing) => {
            let sql = "INSERT INTO terminal (terminal, merchant, token_sha256, seq) VALUES (?1, ?2, ?3, ?4)
                       ON CONFLICT (terminal) DO UPDATE SET merchant = excluded.merchant,
                       token_sha256 = excluded.token_sha256, seq = excluded.seq";
            one(db, sql, params![pairing.terminal.as_str(), pairing.merchant, pairing.token_sha256, seq])
        }
        _ => unreachable!("the caller passes the tills' kinds"),
    }
}

fn sold(db: &Connection, sale: &Sale) -> anyhow::Result<()> {
    let sql = "INSERT INTO sale (op, terminal, receipt, member, fen, at_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let Sale { op, terminal, receipt, member, total_fen, at_ms } = sale;
    let member = member.as_ref().map(MemberId::as_str);
    one(db, sql, params![op.as_str(), terminal.as_str(), receipt, member, total_fen.0, at_ms.0])
}

fn keep_answer(db: &Connection, seq: u64, answered: &Answered) -> anyhow::Result<()> {
    let sql = "INSERT INTO operation (terminal, key, fingerprint, answer, seq, number, shift, day)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    let Answered { terminal, key, fingerprint, number, shift, day, answer } = answered;
    one(db, sql, params![terminal.as_str(), key, fingerprint, json(answer)?, seq, number, shift, day.0])
}

/// The most answers that are forgotten with one day: more would hold the lanes up; the rest go with the next.
const FORGOTTEN_MAX: u32 = 50_000;

/// Up to which entry answers may be forgotten: those of a day that is closed, with everything before it, as far as the
/// cloud holds the journal.
pub(super) fn may_be_forgotten(db: &Connection, day: BusinessDay, acknowledged: u64) -> anyhow::Result<Option<u64>> {
    // What came after a day was closed belongs to a later one, so the entry that closed it bounds it.
    let sql = "SELECT min(max(seq), ?2) FROM day_close WHERE day <= ?1";
    let until: Option<u64> = db.prepare_cached(sql)?.query_row(params![day.0, acknowledged], |row| row.get(0))?;
    let sql = "SELECT max(seq) FROM (SELECT seq FROM operation WHERE seq <= ?1 ORDER BY seq LIMIT ?2)";
    Ok(match until {
        Some(until) => db.prepare_cached(sql)?.query_row(params![until, FORGOTTEN_MAX], |row| row.get(0))?,
        None => None,
    })
}

/// Removes stored answers, and keeps of each which entry of the journal has it: a repeat is still no second time.
pub(super) fn forget_answers(db: &Connection, until: u64) -> anyhow::Result<()> {
    let found: Vec<(String, String, u64)> = {
        let mut query = db.prepare_cached("SELECT terminal, key, seq FROM operation WHERE seq <= ?1")?;
        let rows = query.query_map([until], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        rows.collect::<Result<_, _>>()?
    };
    for (terminal, key, entry) in found {
        let sql = "INSERT INTO operation_past (id, entry) VALUES (?1, ?2)";
        db.prepare_cached(sql)?.execute(params![past_id(&terminal, &key), entry])?;
    }
    db.prepare_cached("DELETE FROM operation WHERE seq <= ?1")?.execute([until])?;
    Ok(())
}

fn past_id(terminal: &str, key: &str) -> Vec<u8> {
    Sha256::digest(format!("{terminal}\n{key}"))[..16].to_vec()
}

/// An answer that is kept in the journal alone, with its entry.
pub(super) fn past_answer(db: &Connection, terminal: &str, key: &str) -> anyhow::Result<Option<(u64, Answered)>> {
    let sql = "SELECT entry, body FROM operation_past JOIN journal USING (entry) WHERE id = ?1";
    let found: Option<(u64, Vec<u8>)> =
        db.prepare_cached(sql)?.query_row([past_id(terminal, key)], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let Some((entry, body)) = found else { return Ok(None) };
    let body: Entry = serde_json::from_slice(&body).context("read the entry of an old answer")?;
    let answered = body.records.into_iter().find_map(|record| {
        let Record::OperationAnswered(answered) = record else { return None };
        (answered.terminal.as_str() == terminal && answered.key == key).then_some(answered)
    });
    Ok(answered.map(|answered| (entry, answered)))
}

fn book(db: &Connection, seq: u64, line: &Booking) -> anyhow::Result<()> {
    let sql = "INSERT INTO till_book (op, what, of, terminal, shift, day, merchant, member, stay, sale_fen,
               sale_points_fen, sale_points, parking_fen, parking_points_fen, parking_points, earned, line, seq)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)";
    let values = params![
        line.op.as_str(),
        name(&line.what)?,
        line.of.as_ref().map(OpId::as_str),
        line.terminal.as_str(),
        line.shift,
        line.day.0,
        line.merchant,
        line.member.as_ref().map(MemberId::as_str),
        line.stay.as_ref().map(StayId::as_str),
        line.sale_fen.0,
        line.sale_points_fen.0,
        line.sale_points.0,
        line.parking_fen.0,
        line.parking_points_fen.0,
        line.parking_points.0,
        line.earned.0,
        json(line)?,
        seq
    ];
    one(db, sql, values)?;
    if let (Some(how), Some(member)) = (&line.how, &line.member) {
        let status = match line.what {
            BookingKind::Sale | BookingKind::Capture => how.status.0,
            BookingKind::Void | BookingKind::Refund => -how.status.0,
        };
        // What goes back is less than nothing by itself, so the account is there before it is changed.
        let sql = "INSERT INTO earning_account (member, carried, status) VALUES (?1, 0, 0) ON CONFLICT DO NOTHING";
        db.prepare_cached(sql)?.execute([member.as_str()])?;
        let sql = "UPDATE earning_account SET carried = carried + ?2, status = status + ?3 WHERE member = ?1";
        one(db, sql, params![member.as_str(), how.carried_by, status])?;
        bonuses::cost(db, line.what, how)?;
    }
    begin_shift(db, seq, &line.terminal, line.shift, line.day.0, None)
}

/// What a sale of a member's rests on beside its amount; when it happened is the till's to say.
pub(super) fn sale_facts(db: &Connection, rules: &Rules, member: &MemberId) -> anyhow::Result<SaleFacts> {
    let sql = "SELECT tier, coalesce((SELECT carried FROM earning_account a WHERE a.member = m.member), 0)
               FROM cloud_member m WHERE member = ?1";
    let known = db.prepare_cached(sql)?.query_row([member.as_str()], |row| Ok((row.get(0)?, row.get(1)?)));
    let (tier, carried) = known.optional()?.unwrap_or_default();
    let (campaigns, campaigns_as_of) = benefits::campaigns(db)?;
    let spent = bonuses::spent(db, rules)?;
    let tier_as_of = rules.benefits.tiers.max_age_hours.map_or(Ok(None), |_| benefits::heard(db))?;
    let privileges = asked_at_tills(rules, benefits::standing_of(db, member)?.privileges);
    Ok(SaleFacts { tier, tier_as_of, carried, campaigns, campaigns_as_of, spent, privileges, ..SaleFacts::default() })
}

/// A payment that is given back is paid no more; where nothing is paid any more, no grace runs from it.
fn void_payment(db: &Connection, seq: u64, void: &PaymentVoid) -> anyhow::Result<()> {
    let sql = "DELETE FROM payment WHERE op = ?1 AND stay = ?2 AND fen = ?3";
    one(db, sql, params![void.of.as_str(), void.stay.as_str(), void.fen.0])?;
    let sql = "UPDATE stay SET paid_fen = paid_fen - ?3, changed_seq = ?2,
               paid_ms = CASE paid_fen WHEN ?3 THEN NULL ELSE paid_ms END WHERE stay = ?1";
    one(db, sql, params![void.stay.as_str(), seq, void.fen.0])
}

fn take_back(db: &Connection, seq: u64, taken: &TakenBack) -> anyhow::Result<()> {
    take_from_grants(db, &taken.parts)?;
    if let Some(debt) = &taken.debt {
        let sql = "UPDATE points_debt SET paid = paid + ?2 WHERE debt = ?1";
        one(db, sql, params![debt.as_str(), taken.points.0])?;
    }
    points_entry(db, seq, &taken.op, &taken.member, Movement::TakenBack { of: &taken.of }, taken.points)
}

fn open_shift(db: &Connection, seq: u64, start: &ShiftStart) -> anyhow::Result<()> {
    begin_shift(db, seq, &start.terminal, start.shift, start.day.0, start.operator.as_deref())
}

fn begin_shift(
    db: &Connection,
    seq: u64,
    terminal: &TerminalId,
    shift: u32,
    day: i32,
    operator: Option<&str>,
) -> anyhow::Result<()> {
    let sql = "INSERT INTO shift (terminal, shift, day, operator, opened_seq) VALUES (?1, ?2, ?3, ?4, ?5)
               ON CONFLICT (terminal, shift) DO UPDATE SET operator = coalesce(excluded.operator, operator)";
    one(db, sql, params![terminal.as_str(), shift, day, operator, seq])
}

fn close_shift(db: &Connection, seq: u64, end: &ShiftEnd) -> anyhow::Result<()> {
    begin_shift(db, seq, &end.terminal, end.shift, end.day.0, None)?;
    let sql = "UPDATE shift SET closed_seq = ?3, totals = ?4 WHERE terminal = ?1 AND shift = ?2 AND closed_seq IS NULL";
    let totals = ClosedTotals { totals: end.totals, stated: end.stated };
    one(db, sql, params![end.terminal.as_str(), end.shift, seq, json(&totals)?])
}

/// What a closed shift came to, and beside it what its till says.
#[derive(Serialize, Deserialize)]
pub(super) struct ClosedTotals {
    #[serde(flatten)]
    pub(super) totals: Totals,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) stated: Option<Stated>,
}

/// Looks up what deciding a till's request needs.
pub(super) fn look_up_act(store: &Store, facts: &mut Facts, act: &TillAct) -> anyhow::Result<()> {
    facts.operation = operation(store, &act.terminal, &act.key)?;
    if facts.operation.is_some() {
        return Ok(());
    }
    look_up_till(store, facts, &act.terminal)?;
    counts::look_up(store, facts, &act.terminal, &act.mark)?;
    match &act.wish {
        TillWish::Hold { member, shown, .. } => {
            facts.tills.code = codes::find(&store.db, Some(member), shown.as_ref())?;
            look_up_member(store, facts, member)
        }
        TillWish::Capture { hold, .. } | TillWish::Release { hold } => look_up_hold(store, facts, hold),
        TillWish::Void { transaction } | TillWish::Refund { transaction, .. } => {
            look_up_transaction(store, facts, transaction)
        }
        TillWish::Reverse { original_key } => {
            facts.tills.original = operation(store, &act.terminal, original_key)?;
            look_up_original(store, facts)
        }
        TillWish::Coupon(CouponWish::Use { code, .. }) => {
            facts.coupon = benefits::coupon(&store.db, code, None)?;
            facts.tills.coupons = benefits::known_for_goods(&store.db, &facts.rules)?;
            facts.tills.pass = passes::held(&store.db, code, &store.box_id, &mut facts.tills.coupons.used)?;
            Ok(())
        }
        TillWish::Coupon(CouponWish::Return { code, .. }) => {
            facts.tills.coupon_use = benefits::coupon_use(&store.db, CouponUseOf::Coupon(code))?;
            Ok(())
        }
        TillWish::OpenShift { .. } | TillWish::Report(_) => Ok(()),
        TillWish::CloseShift { shift, .. } => {
            facts.tills.totals = totals::of(&store.db, &Scope::Shift(act.terminal.clone(), *shift))?;
            Ok(())
        }
    }
}

fn look_up_original(store: &Store, facts: &mut Facts) -> anyhow::Result<()> {
    match facts.tills.original.as_ref().map(|original| original.answer.clone()) {
        Some(TillAnswer::Applied { transaction, .. })
        | Some(TillAnswer::Done { done: TillDone::Captured { transaction, .. }, .. }) => {
            look_up_transaction(store, facts, &transaction)
        }
        Some(TillAnswer::Done { done: TillDone::Held { hold, .. }, .. }) => look_up_hold(store, facts, &hold),
        Some(TillAnswer::Done { done: TillDone::Coupon(CouponMove::Used(used)), .. }) => {
            facts.tills.coupon_use = benefits::coupon_use(&store.db, CouponUseOf::Op(&used.op))?;
            Ok(())
        }
        Some(TillAnswer::Done { .. } | TillAnswer::Refused { .. }) | None => Ok(()),
    }
}

/// The hold that is meant, and its member's purse.
pub(super) fn look_up_hold(store: &Store, facts: &mut Facts, op: &OpId) -> anyhow::Result<()> {
    facts.tills.hold = hold(store, op)?;
    match facts.tills.hold.as_ref().map(|held| held.hold.member.clone()) {
        Some(member) => {
            look_up_member(store, facts, &member)?;
            remember_hold(store, facts)
        }
        None => Ok(()),
    }
}

/// The lots of points that are set aside, where nothing else is left in their pockets.
pub(super) fn remember_hold(store: &Store, facts: &mut Facts) -> anyhow::Result<()> {
    let held = facts.tills.hold.as_ref().filter(|held| held.ended.is_none());
    held.map_or(Ok(()), |held| remember(store, &mut facts.purse, &held.hold.parts))
}

/// Every open hold, where an epoch ends or begins.
pub(super) fn look_up_epoch(store: &Store, facts: &mut Facts, news: &CloudNews) -> anyhow::Result<()> {
    if !matches!(news, CloudNews::EpochGiven { .. } | CloudNews::EpochBegins { .. }) {
        return Ok(());
    }
    let mut statement =
        store.db.prepare_cached("SELECT hold FROM till_hold WHERE ended IS NULL ORDER BY expires_ms, op")?;
    let mut rows = statement.query(())?;
    while let Some(row) = rows.next()? {
        facts.tills.open_holds.push(parse(&row.get::<_, String>(0)?)?);
    }
    Ok(())
}

/// What is stored under a till's key.
pub(super) fn operation(store: &Store, terminal: &TerminalId, key: &str) -> anyhow::Result<Option<StoredOperation>> {
    let sql = "SELECT fingerprint, answer FROM operation WHERE terminal = ?1 AND key = ?2";
    let stored: Option<(String, String)> = store
        .db
        .prepare_cached(sql)?
        .query_row(params![terminal.as_str(), key], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    if let Some((fingerprint, answer)) = stored {
        return Ok(Some(StoredOperation { fingerprint, answer: parse(&answer)? }));
    }
    let past = past_answer(&store.db, terminal.as_str(), key)?;
    Ok(past.map(|(_, Answered { fingerprint, answer, .. })| StoredOperation { fingerprint, answer }))
}

/// A terminal's open shift and where its own count stands.
pub(super) fn look_up_till(store: &Store, facts: &mut Facts, terminal: &TerminalId) -> anyhow::Result<()> {
    facts.tills.shift = current_shift(&store.db, terminal.as_str())?;
    let sql = "SELECT max(number) FROM operation WHERE terminal = ?1 AND shift = ?2 AND number IS NOT NULL";
    let mut last = store.db.prepare_cached(sql)?;
    facts.tills.last_number = last.query_row(params![terminal.as_str(), facts.tills.shift], |row| row.get(0))?;
    if facts.tills.last_number.is_none() && facts.tills.shift > 1 {
        // The count goes on through the shifts.
        facts.tills.last_number =
            last.query_row(params![terminal.as_str(), facts.tills.shift - 1], |row| row.get(0))?;
    }
    Ok(())
}

/// The shift after the last one that was closed.
pub(super) fn current_shift(db: &Connection, terminal: &str) -> rusqlite::Result<u32> {
    let sql = "SELECT coalesce(max(shift), 0) + 1 FROM shift WHERE terminal = ?1 AND closed_seq IS NOT NULL";
    db.prepare_cached(sql)?.query_row([terminal], |row| row.get(0))
}

/// A hold and whether it is over.
pub(super) fn hold(store: &Store, op: &OpId) -> anyhow::Result<Option<Held>> {
    let sql = "SELECT hold, ended FROM till_hold WHERE op = ?1";
    let found: Option<(String, Option<String>)> =
        store.db.prepare_cached(sql)?.query_row([op.as_str()], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    found.map(|(hold, ended)| Ok(Held { hold: parse(&hold)?, ended })).transpose()
}

/// What a member owes of points that were earned too much.
pub(super) fn points_debts(store: &Store, member: &MemberId) -> anyhow::Result<Vec<OpenDebt>> {
    let sql = "SELECT debt, of, points - paid FROM points_debt WHERE member = ?1 AND paid < points ORDER BY seq";
    let mut statement = store.db.prepare_cached(sql)?;
    let rows = statement.query_map([member.as_str()], |row| {
        Ok(OpenDebt { debt: OpId(row.get(0)?), of: OpId(row.get(1)?), open: Points(row.get(2)?) })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn look_up_transaction(store: &Store, facts: &mut Facts, op: &OpId) -> anyhow::Result<()> {
    let Some(mut booked) = booked(store, op)? else { return Ok(()) };
    if let Some(used) = effect(op, COUPON) {
        facts.tills.coupon_use = benefits::coupon_use(&store.db, CouponUseOf::Op(&OpId(used)))?;
    }
    booked.ways = ways::ways(store, &booked)?;
    if let Some(member) = &booked.booking.member {
        look_up_member(store, facts, member)?;
        for spend in &booked.spends {
            remember(store, &mut facts.purse, &spend.parts)?;
        }
    }
    facts.tills.booked = Some(booked);
    Ok(())
}

/// The name of one of a transaction's effects.
fn effect(op: &OpId, n: &str) -> Option<String> {
    op.0.strip_suffix("/0").map(|transaction| format!("{transaction}{n}"))
}

/// A transaction and what became of it, without the same sale by other ways.
pub(super) fn booked(store: &Store, op: &OpId) -> anyhow::Result<Option<Booked>> {
    let sql = "SELECT line FROM till_book WHERE op = ?1 AND what IN ('sale', 'capture')";
    let line: Option<String> = store.db.prepare_cached(sql)?.query_row([op.as_str()], |row| row.get(0)).optional()?;
    let Some(line) = line else { return Ok(None) };
    let booking: Booking = parse(&line)?;
    let sql = "SELECT coalesce(sum(sale_fen), 0), coalesce(max(what = 'void'), 0) FROM till_book WHERE of = ?1";
    let (refunded, is_void) =
        store.db.prepare_cached(sql)?.query_row([op.as_str()], |row| Ok((Fen(row.get(0)?), row.get(1)?)))?;
    let mut spends = Vec::new();
    for spend in SPENDS.into_iter().filter_map(|n| effect(op, n)) {
        spends.extend(escrow::spend(store, &spend)?);
    }
    let payment = match effect(op, PAYMENT) {
        Some(payment) => payment_of(&store.db, &payment)?,
        None => None,
    };
    let stay_state = match &booking.stay {
        None => None,
        Some(stay) => {
            let sql = "SELECT state FROM stay WHERE stay = ?1";
            let state: String = store.db.prepare_cached(sql)?.query_row([stay.as_str()], |row| row.get(0))?;
            Some(parse(&format!("\"{state}\""))?)
        }
    };
    let born = booking.earning.as_ref().map_or(Ok(Points(0)), |earning| left_of(store, earning))?;
    let extra = booking.how.iter().flat_map(|how| &how.extra);
    let born_extra = extra.map(|extra| left_of(store, &extra.op)).collect::<Result<_, _>>()?;
    let (rules, ways) = (rules_of(store, booking.rules)?, Ways::default());
    Ok(Some(Booked { booking, refunded, is_void, spends, payment, stay_state, born, born_extra, rules, ways }))
}

/// What an earning's pocket still holds that may be used now.
fn left_of(store: &Store, earning: &OpId) -> anyhow::Result<Points> {
    let sql = "SELECT remaining FROM points_grant WHERE grant_id = ?1 AND epoch = ?2";
    let born = points::born(earning);
    let mut statement = store.db.prepare_cached(sql)?;
    let left = statement.query_row(params![born.as_str(), store.epoch], |row| row.get(0)).optional()?;
    Ok(Points(left.unwrap_or(0)))
}

fn payment_of(db: &Connection, op: &str) -> anyhow::Result<Option<(OpId, Fen)>> {
    let sql = "SELECT op, fen FROM payment WHERE op = ?1";
    Ok(db.prepare_cached(sql)?.query_row([op], |row| Ok((OpId(row.get(0)?), Fen(row.get(1)?)))).optional()?)
}
