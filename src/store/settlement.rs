//! The day's accounts in the ledger file: legs, what belongs to which day, days that are closed, and what they came to.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::facts::parse;
use super::reader::tills::Scope;
use super::tables::{json, name, one};
use super::word::Word;
use super::{Store, mismatch, office, tills, totals};
use crate::domain::benefit::UNFUNDED;
use crate::domain::decide::Facts;
use crate::domain::event::{
    BusinessDay, Fen, GrantId, JournalHead, LaneId, OpId, Points, Shop, StayId, TerminalId, UtcMs,
};
use crate::domain::points::Lot;
use crate::domain::settlement::{
    ANSWERS_KEPT_DAYS, Closed, Closing, Cost, EXCEPTIONS_MAX, Leg, LegKind, Owed, Posting, Report, Rule, StaySums,
    TillDay,
};

/// A whole, in basis points.
const WHOLE_BPS: i64 = 10_000;

/// Writes what of an entry belongs to a day.
pub(super) fn post(db: &Connection, seq: u64, posting: &Posting) -> anyhow::Result<()> {
    let mut n = 0;
    for leg in &posting.legs {
        for share in shared(db, posting, leg)? {
            write_leg(db, (seq, n), posting.day, leg, &share)?;
            n += 1;
        }
    }
    let stays = posting.stays.iter().map(StayId::as_str).map(|stay| ("stay", stay));
    let strangers = posting.strangers.iter().map(LaneId::as_str).map(|lane| ("stranger", lane));
    for (n, (kind, item)) in (0_u32..).zip(stays.chain(strangers)) {
        let sql = "INSERT INTO day_item (seq, n, day, kind, name) VALUES (?1, ?2, ?3, ?4, ?5)";
        one(db, sql, params![seq, n, posting.day.0, kind, item])?;
    }
    Ok(())
}

/// What of a leg one party pays.
struct Share {
    payer: String,
    points: i64,
    face: i64,
    lot: Lot,
}

/// Who pays a leg: whom it names, else who funds the lot; where that name stands for several, each of them, and what goes
/// back goes back to those who paid.
fn shared(db: &Connection, posting: &Posting, leg: &Leg) -> anyhow::Result<Vec<Share>> {
    let lot = match &leg.grant {
        Some(grant) => lot_of(db, grant)?,
        None => Lot::default(),
    };
    let named = [&lot.funder, &lot.issuer].into_iter().find(|party| !party.is_empty()).cloned();
    let payer = leg.payer.clone().or(named).unwrap_or_else(|| UNFUNDED.to_owned());
    let before = match &leg.of {
        Some(of) => paid_by(db, of, lot.id.as_deref())?,
        None => Vec::new(),
    };
    let (face, points) = (leg.fen.0, leg.points.0);
    let shares: Vec<(String, i64, i64)> =
        match (posting.funders.get(&payer).filter(|_| leg.payer.is_none()), &before[..]) {
            (_, [_, _, ..]) => {
                let weights: Vec<i64> = before.iter().map(|(_, face)| *face).collect();
                let parts = parted(face, &weights).into_iter().zip(parted(points, &weights));
                before.into_iter().zip(parts).map(|((payer, _), (face, points))| (payer, face, points)).collect()
            }
            (_, [(payer, _)]) => vec![(payer.clone(), face, points)],
            (Some(split), []) => {
                let parts = split.of(face).into_iter().zip(split.of(points));
                parts.map(|((payer, face), (_, points))| (payer.to_owned(), face, points)).collect()
            }
            (None, []) => vec![(payer, face, points)],
        };
    let share = |(payer, face, points)| Share { payer, points, face, lot: lot.clone() };
    Ok(shares.into_iter().map(share).collect())
}

/// Who paid what of a spend from a lot.
fn paid_by(db: &Connection, of: &OpId, lot: Option<&str>) -> anyhow::Result<Vec<(String, i64)>> {
    let sql = "SELECT payer, sum(face_fen) FROM leg WHERE op = ?1 AND lot IS ?2 GROUP BY payer ORDER BY payer";
    let mut query = db.prepare_cached(sql)?;
    let rows = query.query_map(params![of.as_str(), lot], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// An amount in the proportion of weights, in whole parts that add up to it.
fn parted(whole: i64, weights: &[i64]) -> Vec<i64> {
    let all: i128 = weights.iter().map(|weight| i128::from(*weight)).sum();
    let (mut so_far, mut given) = (0_i128, 0_i64);
    let part = |weight: &i64| {
        so_far += i128::from(*weight);
        let upto = if all == 0 { whole } else { i64::try_from(i128::from(whole) * so_far / all).unwrap_or(whole) };
        let part = upto - given;
        given = upto;
        part
    };
    weights.iter().map(part).collect()
}

fn write_leg(db: &Connection, (seq, n): (u64, u32), day: BusinessDay, leg: &Leg, share: &Share) -> anyhow::Result<()> {
    let Share { payer, points, face, lot } = share;
    let acceptor = match (&leg.acceptor, &leg.of) {
        (Some(acceptor), _) => acceptor.clone(),
        (None, Some(of)) => {
            let sql = "SELECT acceptor FROM leg WHERE op = ?1 LIMIT 1";
            let found = db.prepare_cached(sql)?.query_row([of.as_str()], |row| row.get(0)).optional()?;
            found.unwrap_or_else(|| UNFUNDED.to_owned())
        }
        (None, None) => UNFUNDED.to_owned(),
    };
    let rate = lot.settle_bps.map_or(WHOLE_BPS, |bps| i64::from(bps).min(WHOLE_BPS));
    let fen = i64::try_from(i128::from(*face) * i128::from(rate) / i128::from(WHOLE_BPS))?;
    let sql = "INSERT INTO leg (seq, n, day, what, op, stay, payer, acceptor, lot, points, face_fen, fen, rule)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
    let values = params![
        seq,
        n,
        day.0,
        name(&leg.what)?,
        leg.op.as_ref().map(OpId::as_str),
        leg.stay.as_ref().map(StayId::as_str),
        payer,
        acceptor,
        lot.id,
        points,
        face,
        fen,
        leg.rule.as_ref().map(json).transpose()?
    ];
    one(db, sql, values)
}

/// The terms of a grant; those of points that were born here are the usual ones.
fn lot_of(db: &Connection, grant: &GrantId) -> anyhow::Result<Lot> {
    let sql = "SELECT lot FROM points_grant WHERE grant_id = ?1";
    let lot: Option<Option<String>> =
        db.prepare_cached(sql)?.query_row([grant.as_str()], |row| row.get(0)).optional()?;
    lot.flatten().map_or_else(|| Ok(Lot::default()), |lot| parse(&lot))
}

/// Writes that a day is closed.
pub(super) fn close(db: &Connection, seq: u64, closed: &Closed) -> anyhow::Result<()> {
    let sql = "INSERT INTO day_close (day, closed_by, report, seq) VALUES (?1, ?2, ?3, ?4)";
    one(db, sql, params![closed.day.0, closed.by, json(&closed.report)?, seq])?;
    match closed.forgets {
        Some(until) => tills::forget_answers(db, until),
        None => Ok(()),
    }
}

/// The newest day that is closed.
pub(super) fn last_closed(db: &Connection) -> rusqlite::Result<Option<BusinessDay>> {
    db.prepare_cached("SELECT max(day) FROM day_close")?
        .query_row((), |row| Ok(row.get::<_, Option<i32>>(0)?.map(BusinessDay)))
}

/// The oldest day after `last` that has anything in it.
pub(super) fn oldest_open(db: &Connection, last: Option<BusinessDay>) -> rusqlite::Result<Option<BusinessDay>> {
    let sql = "SELECT min(day) FROM (SELECT min(day) AS day FROM till_book WHERE day > ?1
               UNION ALL SELECT min(day) FROM leg WHERE day > ?1
               UNION ALL SELECT min(day) FROM voucher_use WHERE day > ?1
               UNION ALL SELECT min(day) FROM shift WHERE day > ?1
               UNION ALL SELECT min(day) FROM day_item WHERE day > ?1)";
    let after = last.map_or(i32::MIN, |last| last.0);
    let oldest: Option<i32> = db.prepare_cached(sql)?.query_row([after], |row| row.get(0))?;
    Ok(oldest.map(BusinessDay))
}

/// Looks up what closing a day needs.
pub(super) fn look_up(store: &Store, facts: &mut Facts, closing: &Closing) -> anyhow::Result<()> {
    let last = store.closed_day;
    let head = JournalHead { epoch: store.epoch, seq: facts.ids.seq.saturating_sub(1), head: hex::encode(store.head) };
    facts.tills.closing.last = last;
    facts.tills.closing.oldest = oldest_open(&store.db, last)?;
    let kept_from = closing.day.0.saturating_sub(ANSWERS_KEPT_DAYS);
    facts.tills.closing.forgets = tills::may_be_forgotten(&store.db, BusinessDay(kept_from), store.acknowledged)?;
    facts.tills.closing.report = Report { head, ..report(&store.db, closing.day)? };
    Ok(())
}

/// What a day has come to. Of one that is not over it is what it has come to so far.
pub(super) fn report(db: &Connection, day: BusinessDay) -> rusqlite::Result<Report> {
    let (tills, owed, stays) = (till_days(db, day)?, owed(db, day)?, stay_sums(db, day)?);
    let costs = costs(db, day)?;
    let (vouchers, matched) = (office::vouchers_keyed(db, day)?, mismatch::matched(db, day)?);
    let mut exceptions = mismatch::listed(db, day, &tills)?;
    let more_exceptions = exceptions.len().saturating_sub(EXCEPTIONS_MAX) as u64;
    exceptions.truncate(EXCEPTIONS_MAX);
    Ok(Report {
        tills,
        owed,
        costs,
        stays,
        matched,
        exceptions,
        more_exceptions,
        vouchers,
        head: JournalHead::default(),
    })
}

fn till_days(db: &Connection, day: BusinessDay) -> rusqlite::Result<Vec<TillDay>> {
    let sql = "SELECT terminal FROM till_book WHERE day = ?1 UNION SELECT terminal FROM shift WHERE day = ?1
               UNION SELECT terminal FROM operation WHERE day = ?1 AND number IS NOT NULL ORDER BY terminal";
    let mut statement = db.prepare_cached(sql)?;
    let terminals: Vec<TerminalId> =
        statement.query_map([day.0], |row| Ok(TerminalId(row.get(0)?)))?.collect::<Result<_, _>>()?;
    let mut open =
        db.prepare_cached("SELECT count(*) FROM shift WHERE terminal = ?1 AND day = ?2 AND closed_seq IS NULL")?;
    let mut days = Vec::new();
    for terminal in terminals {
        let totals = totals::of(db, &Scope::TerminalDay(terminal.clone(), day))?;
        let open_shifts = open.query_row(params![terminal.as_str(), day.0], |row| row.get(0))?;
        days.push(TillDay { terminal, totals, open_shifts });
    }
    Ok(days)
}

fn owed(db: &Connection, day: BusinessDay) -> rusqlite::Result<Vec<Owed>> {
    let sql = "SELECT payer, acceptor, sum(points * way), sum(face_fen * way), sum(fen * way)
               FROM (SELECT *, CASE what WHEN 'undone' THEN -1 ELSE 1 END AS way FROM leg WHERE day = ?1)
               GROUP BY payer, acceptor ORDER BY payer, acceptor";
    let owed = |row: &Row<'_>| {
        Ok(Owed {
            payer: row.get(0)?,
            acceptor: row.get(1)?,
            points: Points(row.get(2)?),
            face_fen: Fen(row.get(3)?),
            fen: Fen(row.get(4)?),
        })
    };
    db.prepare_cached(sql)?.query_map([day.0], owed)?.collect()
}

/// What each party paid for what.
fn costs(db: &Connection, day: BusinessDay) -> rusqlite::Result<Vec<Cost>> {
    let sql = "SELECT payer, rule ->> '$.benefit' AS benefit, rule ->> '$.campaign' AS campaign, count(*),
               sum(face_fen * way), sum(fen * way)
               FROM (SELECT *, CASE what WHEN 'undone' THEN -1 ELSE 1 END AS way FROM leg WHERE day = ?1)
               GROUP BY 1, 2, 3 ORDER BY 1, 2, 3";
    let cost = |row: &Row<'_>| {
        let (face_fen, fen) = (Fen(row.get(4)?), Fen(row.get(5)?));
        let (payer, benefit, campaign) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(Cost { payer, benefit, campaign, count: row.get(3)?, face_fen, fen })
    };
    db.prepare_cached(sql)?.query_map([day.0], cost)?.collect()
}

fn stay_sums(db: &Connection, day: BusinessDay) -> rusqlite::Result<StaySums> {
    let sql = "SELECT count(*), coalesce(sum(fee_fen), 0), coalesce(sum(paid_fen), 0), coalesce(sum(waived_fen), 0),
               coalesce(sum(owed_fen), 0),
               coalesce(sum((SELECT sum(spent.fen) FROM points_entry spent JOIN hold ON hold.op = spent.op
                             WHERE spent.stay = stay.stay AND spent.kind = 'spent')), 0),
               (SELECT coalesce(sum(CASE what WHEN 'undone' THEN -face_fen ELSE face_fen END), 0) FROM leg
                WHERE day = ?1 AND stay IS NOT NULL AND (what = 'benefit' OR what = 'undone' AND op IS NULL))
               FROM day_item JOIN stay ON stay.stay = day_item.name WHERE day = ?1 AND kind = 'stay'";
    db.prepare_cached(sql)?.query_row([day.0], |row| {
        Ok(StaySums {
            count: row.get(0)?,
            fee_fen: Fen(row.get(1)?),
            paid_fen: Fen(row.get(2)?),
            waived_fen: Fen(row.get(3)?),
            owed_fen: Fen(row.get(4)?),
            points_fen: Fen(row.get(5)?),
            benefit_fen: Fen(row.get(6)?),
        })
    })
}

/// A leg with what proves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The journal's entry.
    pub entry: u64,
    /// The head after it, in hex.
    pub head: String,
    /// Why.
    pub what: LegKind,
    /// The spend, or what undid it.
    pub op: Option<String>,
    /// The stay.
    pub stay: Option<String>,
    /// The till's receipt.
    pub receipt: Option<String>,
    /// The till.
    pub terminal: Option<String>,
    /// The floor and the kind of trade of the shop, as they were known then.
    pub shop: Option<Shop>,
    /// The ledger's name of the lot.
    pub lot: Option<String>,
    /// Who pays.
    pub payer: String,
    /// Who is paid.
    pub acceptor: String,
    /// How many points; negative where they went back.
    pub points: Points,
    /// What they were worth to the customer.
    pub face_fen: Fen,
    /// What is owed for it.
    pub fen: Fen,
    /// What of the rules it is for; none for points.
    pub rule: Option<Rule>,
    /// Whose shift it was at the till, where the cashier said.
    pub operator: Option<String>,
    /// Where and when the vehicle came in, by which its pictures are named.
    pub came: Option<(String, UtcMs)>,
    /// Where and when it left.
    pub left: Option<(String, UtcMs)>,
}

/// A lane and a time beside it.
fn place(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<(String, UtcMs)>> {
    let (lane, ms): (Option<String>, Option<i64>) = (row.get(at)?, row.get(at + 1)?);
    Ok(lane.zip(ms.map(UtcMs)))
}

/// The legs of a day in which a party pays or is paid, in the order of the journal.
pub(super) fn statement(db: &Connection, day: BusinessDay, party: &str) -> rusqlite::Result<Vec<Evidence>> {
    let sql =
        "SELECT leg.seq, hex(journal.head), what, leg.op, leg.stay, book.receipt, book.terminal, lot, payer, acceptor,
               points, face_fen, fen, coalesce(book.shop, taken.shop,
                   (SELECT shop FROM validation WHERE validation.stay = leg.stay AND merchant = payer
                    AND shop IS NOT NULL LIMIT 1)),
               rule, (SELECT operator FROM shift WHERE shift.terminal = coalesce(book.terminal, taken.terminal)
                      AND shift.shift = coalesce(book.shift, taken.shift)),
               visit.entry_lane, visit.entry_ms, visit.exit_lane, visit.exit_ms
               FROM leg JOIN journal ON journal.entry = leg.seq
               LEFT JOIN (SELECT seq, terminal, shift, line ->> '$.receipt' AS receipt, line -> '$.shop' AS shop
                          FROM till_book WHERE day = ?1) book ON book.seq = leg.seq
               LEFT JOIN (SELECT seq, terminal, shift, line -> '$.shop' AS shop FROM coupon_use WHERE day = ?1) taken
                          ON taken.seq = leg.seq
               LEFT JOIN stay AS visit ON visit.stay = leg.stay
               WHERE day = ?1 AND (payer = ?2 OR acceptor = ?2) ORDER BY leg.seq, leg.n";
    let evidence = |row: &Row<'_>| {
        let Word(what) = row.get(2)?;
        let way = if what == LegKind::Undone { -1 } else { 1 };
        Ok(Evidence {
            entry: row.get(0)?,
            head: row.get::<_, String>(1)?.to_lowercase(),
            what,
            op: row.get(3)?,
            stay: row.get(4)?,
            receipt: row.get(5)?,
            terminal: row.get(6)?,
            lot: row.get(7)?,
            payer: row.get(8)?,
            acceptor: row.get(9)?,
            points: Points(way * row.get::<_, i64>(10)?),
            face_fen: Fen(way * row.get::<_, i64>(11)?),
            fen: Fen(way * row.get::<_, i64>(12)?),
            // What cannot be read any more is left out: the leg is what is owed.
            shop: row.get::<_, Option<String>>(13)?.and_then(|text| parse(&text).ok()),
            rule: row.get::<_, Option<String>>(14)?.and_then(|text| parse(&text).ok()),
            operator: row.get(15)?,
            came: place(row, 16)?,
            left: place(row, 18)?,
        })
    };
    db.prepare_cached(sql)?.query_map(params![day.0, party], evidence)?.collect()
}

/// Who closed a day, what it came to, as JSON, and the entry that closed it; none where it is not closed.
pub(super) fn closed(db: &Connection, day: BusinessDay) -> rusqlite::Result<Option<(String, String, u64)>> {
    let sql = "SELECT closed_by, report, seq FROM day_close WHERE day = ?1";
    db.prepare_cached(sql)?.query_row([day.0], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).optional()
}
