//! The match of a business day: what till, lane and journal say the same of, and what they do not.

use rusqlite::{Connection, Row};

use super::facts::parse;
use super::tills::ClosedTotals;
use crate::domain::event::{BusinessDay, Fen};
use crate::domain::settlement::{Exception, Mismatch, TillDay};

/// What somebody should look at, in the order in which it is listed.
pub(super) fn listed(db: &Connection, day: BusinessDay, tills: &[TillDay]) -> rusqlite::Result<Vec<Exception>> {
    let mut found = unfinished(tills);
    found.extend(of(db, day, GIVEN_UP, Mismatch::TillOnly)?);
    found.extend(of(db, day, HELD_AT_TILLS, Mismatch::BoxOnly)?);
    found.extend(of(db, day, HELD_AT_LANES, Mismatch::BoxOnly)?);
    found.extend(differences(db, day)?);
    found.extend(of(db, day, STRANGERS, Mismatch::LaneOnly)?);
    found.extend(of(db, day, UNMATCHED, Mismatch::LaneOnly)?);
    found.extend(of(db, day, WAIVED, Mismatch::WrittenOff)?);
    found.extend(of(db, day, LATE, Mismatch::TimeDiff)?);
    found.extend(of(db, day, DUPLICATES, Mismatch::Duplicate)?);
    found.extend(of(db, day, DISPUTED, Mismatch::Disputed)?);
    Ok(found)
}

/// How many lines of the tills' books and stays of a day are in no list: nobody says anything else of them.
pub(super) fn matched(db: &Connection, day: BusinessDay) -> rusqlite::Result<u64> {
    let lines: u64 = db.prepare_cached(MATCHED_LINES)?.query_row([day.0], |row| row.get(0))?;
    let stays: u64 = db.prepare_cached(MATCHED_STAYS)?.query_row([day.0], |row| row.get(0))?;
    Ok(lines + stays)
}

/// Lines that came in time, once, disputed by nobody, and whose points are those of their legs.
const MATCHED_LINES: &str = "SELECT count(*) FROM till_book AS book
    WHERE book.day = ?1 AND line ->> '$.late_ms' IS NULL AND line ->> '$.duplicate_of' IS NULL
    AND NOT EXISTS (SELECT 1 FROM office_note AS note
        WHERE note.kind = 'dispute_opened' AND note.subject = CAST(book.seq AS TEXT)
        AND note.op NOT IN (SELECT subject FROM office_note WHERE kind = 'dispute_settled'))
    AND (what NOT IN ('sale', 'capture') OR sale_points_fen + parking_points_fen =
        coalesce((SELECT sum(face_fen) FROM leg WHERE leg.seq = book.seq AND leg.what <> 'benefit'), 0))
    AND NOT EXISTS (SELECT 1 FROM leg AS spent
        WHERE spent.seq = book.seq AND spent.op IS NOT NULL AND spent.what <> 'benefit'
        AND (SELECT sum(face_fen) FROM leg AS part
             WHERE part.seq = book.seq AND part.op = spent.op AND part.what <> 'benefit')
            IS NOT (SELECT fen FROM points_entry WHERE points_entry.op = spent.op))";
/// Stays that were paid in full, of which nothing was let go and nobody disputes a leg.
const MATCHED_STAYS: &str = "SELECT count(*) FROM day_item JOIN stay ON stay.stay = day_item.name
    WHERE day = ?1 AND kind = 'stay' AND waived_fen = 0
    AND coalesce(fee_fen, 0) - paid_fen - waived_fen - owed_fen
        - coalesce((SELECT sum(spent.fen) FROM points_entry spent JOIN hold ON hold.op = spent.op
                    WHERE spent.stay = stay.stay AND spent.kind = 'spent'), 0) <= 0
    AND NOT EXISTS (SELECT 1 FROM office_note AS note
        WHERE note.kind = 'dispute_opened' AND note.subject = CAST(day_item.seq AS TEXT)
        AND note.op NOT IN (SELECT subject FROM office_note WHERE kind = 'dispute_settled'))";
/// Requests that a till gave up and that never came: nobody else knows what they would have been.
const GIVEN_UP: &str = "SELECT terminal || ' ' || key, 0, 1 FROM operation
    WHERE day = ?1 AND answer ->> '$.code' = 'tombstoned' ORDER BY terminal, key";
/// Points that are still set aside when the day is looked at: for a sale that has not been finished,
const HELD_AT_TILLS: &str = "SELECT terminal || ' ' || op, hold ->> '$.fen', 1 FROM till_hold
    WHERE ended IS NULL AND ?1 IS NOT NULL ORDER BY expires_ms, op";
/// and for a vehicle that has not passed yet.
const HELD_AT_LANES: &str =
    "SELECT stay || ' ' || op, fen, 1 FROM hold WHERE state = 'held' AND ?1 IS NOT NULL ORDER BY stay, op";

/// What a till has not finished, and what it counted and never arrived.
fn unfinished(tills: &[TillDay]) -> Vec<Exception> {
    let found = |state, till: &TillDay, count| {
        let about = till.terminal.0.clone();
        (count > 0).then_some(Exception { state, about, fen: Fen(0), count })
    };
    let of = |till: &TillDay| {
        let TillDay { totals, open_shifts, .. } = till;
        [found(Mismatch::TillOnly, till, totals.missing_numbers), found(Mismatch::BoxOnly, till, *open_shifts)]
    };
    tills.iter().flat_map(of).flatten().collect()
}

/// What tills say of their shifts that these books do not say: what they state with their Z slips.
fn counted_otherwise(db: &Connection, day: BusinessDay) -> rusqlite::Result<Vec<Exception>> {
    let sql = "SELECT terminal, shift, totals FROM shift WHERE day = ?1 AND totals ->> '$.stated' IS NOT NULL
               ORDER BY terminal, shift";
    let shift = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    let rows: Vec<(String, u32, String)> =
        db.prepare_cached(sql)?.query_map([day.0], shift)?.collect::<Result<_, _>>()?;
    let mut found = Vec::new();
    for (terminal, shift, totals) in rows {
        // What cannot be read any more was written by this very code, and is looked at by the journal's proof.
        let Ok(ClosedTotals { totals, stated: Some(stated) }) = parse(&totals) else { continue };
        for (name, by) in stated.differences(&totals) {
            let (fen, count) = if name == "sales" { (0, by.unsigned_abs()) } else { (by, 1) };
            let about = format!("{terminal} shift {shift} {name}");
            found.push(Exception { state: Mismatch::AmountDiff, about, fen: Fen(fen), count });
        }
    }
    Ok(found)
}

/// Stays whose money does not add up to their fee, entries whose lines of the books and legs differ, and spends whose
/// legs are not what the points paid.
fn differences(db: &Connection, day: BusinessDay) -> rusqlite::Result<Vec<Exception>> {
    let mut found = of(db, day, UNBALANCED_STAYS, Mismatch::AmountDiff)?;
    found.extend(of(db, day, UNBALANCED_LINES, Mismatch::AmountDiff)?);
    found.extend(of(db, day, UNBALANCED_SPENDS, Mismatch::AmountDiff)?);
    found.extend(counted_otherwise(db, day)?);
    Ok(found)
}

/// What a vehicle's stay was paid, let go and left owing, against its fee. More than the fee is not wrong: a fee may
/// have become less after it was paid.
const UNBALANCED_STAYS: &str = "SELECT stay, missing, 1 FROM (
    SELECT stay.stay AS stay, coalesce(fee_fen, 0) - paid_fen - waived_fen - owed_fen
        - coalesce((SELECT sum(spent.fen) FROM points_entry spent JOIN hold ON hold.op = spent.op
                    WHERE spent.stay = stay.stay AND spent.kind = 'spent'), 0) AS missing
    FROM day_item JOIN stay ON stay.stay = day_item.name WHERE day = ?1 AND kind = 'stay') WHERE missing > 0";
/// What the tills' books say that points paid, against the legs of the same entry. What goes back is not looked at here:
/// its money and its points are rounded each for itself.
const UNBALANCED_LINES: &str = "SELECT op, booked - legs, 1 FROM (
    SELECT op, sale_points_fen + parking_points_fen AS booked,
        coalesce((SELECT sum(face_fen) FROM leg WHERE leg.seq = till_book.seq AND leg.what <> 'benefit'), 0) AS legs
    FROM till_book WHERE day = ?1 AND what IN ('sale', 'capture')) WHERE booked <> legs";
/// What the points' ledger says, against the legs.
const UNBALANCED_SPENDS: &str = "SELECT op, paid - legs, 1 FROM (
    SELECT leg.op AS op, sum(face_fen) AS legs, (SELECT fen FROM points_entry WHERE points_entry.op = leg.op) AS paid
    FROM leg WHERE day = ?1 AND leg.op IS NOT NULL AND leg.what <> 'benefit' GROUP BY leg.op) WHERE paid IS NOT legs";
const STRANGERS: &str =
    "SELECT name, 0, count(*) FROM day_item WHERE day = ?1 AND kind = 'stranger' GROUP BY name ORDER BY name";
const WAIVED: &str = "SELECT stay, waived_fen, 1 FROM day_item JOIN stay ON stay.stay = day_item.name
    WHERE day = ?1 AND kind = 'stay' AND waived_fen > 0 ORDER BY stay";

const LATE: &str =
    "SELECT op, sale_fen, 1 FROM till_book WHERE day = ?1 AND line ->> '$.late_ms' IS NOT NULL ORDER BY seq";
const DUPLICATES: &str =
    "SELECT op, sale_fen, 1 FROM till_book WHERE day = ?1 AND line ->> '$.duplicate_of' IS NOT NULL ORDER BY seq";
/// Paper that people took and no stay is known for, or whose stay came to nothing.
const UNMATCHED: &str = "SELECT 'voucher ' || number, voucher_use.fen, 1 FROM voucher_use LEFT JOIN stay USING (stay)
    WHERE day = ?1 AND (how = 'unmatched' OR how = 'given' AND state = 'void') ORDER BY number";
/// Disputes about a day's entries that nobody has settled.
const DISPUTED: &str = "SELECT note.op, coalesce(sum(leg.fen), 0), 1 FROM office_note AS note
    JOIN leg ON leg.seq = CAST(note.subject AS INTEGER) AND note.note ->> '$.note.party' IN (leg.payer, leg.acceptor)
    WHERE note.kind = 'dispute_opened' AND leg.day = ?1
    AND note.op NOT IN (SELECT subject FROM office_note WHERE kind = 'dispute_settled') GROUP BY note.op ORDER BY note.op";

fn of(db: &Connection, day: BusinessDay, sql: &str, state: Mismatch) -> rusqlite::Result<Vec<Exception>> {
    let exception = |row: &Row<'_>| {
        let fen = Fen(row.get::<_, Option<i64>>(1)?.unwrap_or(0));
        Ok(Exception { state, about: row.get(0)?, fen, count: row.get(2)? })
    };
    db.prepare_cached(sql)?.query_map([day.0], exception)?.collect()
}
