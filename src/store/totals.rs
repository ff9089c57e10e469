//! What the tills' books come to: by shift, terminal and business day.

use rusqlite::{Connection, Rows, Statement, params};

use super::reader::tills::Scope;
use super::word::Word;
use crate::domain::event::{BookingKind, Fen, NotCash, Points, Tally, Totals};

/// What a shift, a terminal or a day has done.
pub(super) fn of(db: &Connection, scope: &Scope) -> rusqlite::Result<Totals> {
    let mut totals = Totals::default();
    for (what, tally) in tallies(db, scope)? {
        match what {
            BookingKind::Sale => totals.sales = tally,
            BookingKind::Capture => totals.captures = tally,
            BookingKind::Void => totals.voids = tally,
            BookingKind::Refund => totals.refunds = tally,
        }
    }
    totals.not_cash = not_cash(db, scope)?;
    totals.open_holds = open_holds(db, scope)?;
    totals.missing_numbers = missing_numbers(db, scope)?;
    (totals.coupons, totals.coupons_fen) = coupons(db, scope)?;
    Ok(totals)
}

fn not_cash(db: &Connection, scope: &Scope) -> rusqlite::Result<NotCash> {
    let whose = whose(scope);
    let sql = format!(
        "SELECT money.value ->> '$.kind', sum(iif(what = 'sale', 1, -1) * (money.value ->> '$.fen'))
         FROM till_book, json_each(line, '$.money') AS money WHERE {whose} GROUP BY 1"
    );
    let mut statement = db.prepare_cached(&sql)?;
    let mut rows = in_scope(&mut statement, scope)?;
    let mut found = NotCash::default();
    while let Some(row) = rows.next()? {
        let Word(kind) = row.get(0)?;
        found.add(kind, Fen(row.get(1)?));
    }
    Ok(found)
}

/// Whose lines of the books, and uses of coupons, are in a scope: of a shift, of a terminal's day, of a day.
pub(super) const WHOSE: [&str; 3] = ["terminal = ?1 AND shift = ?2", "day = ?2 AND terminal = ?1", "day = ?1"];

fn whose(scope: &Scope) -> &'static str {
    let [shift, terminal_day, day] = WHOSE;
    match scope {
        Scope::Shift(..) => shift,
        Scope::TerminalDay(..) => terminal_day,
        Scope::Day(_) => day,
    }
}

fn in_scope<'a>(statement: &'a mut Statement<'_>, scope: &Scope) -> rusqlite::Result<Rows<'a>> {
    match scope {
        Scope::Shift(terminal, shift) => statement.query(params![terminal.as_str(), shift]),
        Scope::TerminalDay(terminal, day) => statement.query(params![terminal.as_str(), day.0]),
        Scope::Day(day) => statement.query([day.0]),
    }
}

fn coupons(db: &Connection, scope: &Scope) -> rusqlite::Result<(u64, Fen)> {
    let whose = whose(scope);
    let sql = format!("SELECT count(*), coalesce(sum(fen), 0) FROM coupon_use WHERE {whose} AND returned_by IS NULL");
    let mut statement = db.prepare_cached(&sql)?;
    let mut rows = in_scope(&mut statement, scope)?;
    // A count has a row always.
    let Some(sums) = rows.next()? else { return Ok((0, Fen(0))) };
    Ok((sums.get(0)?, Fen(sums.get(1)?)))
}

fn open_holds(db: &Connection, scope: &Scope) -> rusqlite::Result<u64> {
    match scope {
        Scope::Shift(terminal, _) | Scope::TerminalDay(terminal, _) => {
            let sql = "SELECT count(*) FROM till_hold WHERE ended IS NULL AND terminal = ?1";
            db.prepare_cached(sql)?.query_row([terminal.as_str()], |row| row.get(0))
        }
        Scope::Day(_) => {
            let sql = "SELECT count(*) FROM till_hold WHERE ended IS NULL";
            db.prepare_cached(sql)?.query_row((), |row| row.get(0))
        }
    }
}

/// Holes in the tills' own counts.
fn missing_numbers(db: &Connection, scope: &Scope) -> rusqlite::Result<u64> {
    match scope {
        Scope::Shift(terminal, shift) => {
            let sql = "SELECT coalesce(max(number) - min(number) + 1 - count(DISTINCT number), 0) FROM operation
                       WHERE terminal = ?1 AND shift = ?2 AND number IS NOT NULL";
            db.prepare_cached(sql)?.query_row(params![terminal.as_str(), shift], |row| row.get(0))
        }
        Scope::TerminalDay(terminal, day) => {
            let sql = "SELECT coalesce(max(number) - min(number) + 1 - count(DISTINCT number), 0) FROM operation
                       WHERE day = ?2 AND terminal = ?1 AND number IS NOT NULL";
            db.prepare_cached(sql)?.query_row(params![terminal.as_str(), day.0], |row| row.get(0))
        }
        Scope::Day(day) => {
            let sql = "SELECT coalesce(sum(n), 0) FROM (
                       SELECT max(number) - min(number) + 1 - count(DISTINCT number) AS n FROM operation
                       WHERE day = ?1 AND number IS NOT NULL GROUP BY terminal)";
            db.prepare_cached(sql)?.query_row([day.0], |row| row.get(0))
        }
    }
}

fn tallies(db: &Connection, scope: &Scope) -> rusqlite::Result<Vec<(BookingKind, Tally)>> {
    let whose = whose(scope);
    let sql = format!(
        "SELECT what, count(*), sum(sale_fen), sum(sale_points_fen), sum(parking_fen), sum(parking_points_fen),
         sum(sale_points + parking_points), sum(earned) FROM till_book WHERE {whose} GROUP BY what"
    );
    let mut statement = db.prepare_cached(&sql)?;
    let mut rows = in_scope(&mut statement, scope)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let Word(what) = row.get(0)?;
        let tally = Tally {
            count: row.get(1)?,
            sale_fen: Fen(row.get(2)?),
            sale_points_fen: Fen(row.get(3)?),
            parking_fen: Fen(row.get(4)?),
            parking_points_fen: Fen(row.get(5)?),
            points_spent: Points(row.get(6)?),
            points_earned: Points(row.get(7)?),
        };
        found.push((what, tally));
    }
    Ok(found)
}
