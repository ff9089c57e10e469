//! The tills' books as others look at them: totals, shifts, holds whose time is over, tills that staff let in.

use super::benefits::unreadable;
use super::journal::Head;
use super::{ReadError, View, from_json};
use crate::domain::event::{
    Booking, BusinessDay, Fen, OpId, Pairing, Points, Record, Stated, TerminalId, TillAnswer, TillDone, Totals, UtcMs,
    VoucherHow,
};
use crate::domain::office::Voucher;
use crate::store::journal::Entry;
use crate::store::tills::ClosedTotals;
use crate::store::word::Word;
use crate::store::{office, tills, totals};
use rusqlite::OptionalExtension;
use serde::Serialize;

/// What is added up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One shift of one terminal.
    Shift(TerminalId, u32),
    /// One terminal's business day.
    TerminalDay(TerminalId, BusinessDay),
    /// The whole site's business day.
    Day(BusinessDay),
}

/// A line of the tills' books, with the entry that holds it.
#[derive(Clone, Debug)]
pub struct BookedLine {
    /// The line.
    pub line: Booking,
    /// What this box could spend for the member then.
    pub usable: Option<Points>,
    /// When it was decided.
    pub at: UtcMs,
    /// Where the journal stood after it.
    pub head: Head,
}

/// A shift that is over, with the entry that closed it.
#[derive(Clone, Debug)]
pub struct ClosedShift {
    /// The business day.
    pub day: BusinessDay,
    /// What it did.
    pub totals: Totals,
    /// What its till says that it did.
    pub stated: Option<Stated>,
    /// When it was closed.
    pub at: UtcMs,
    /// Where the journal stood after it.
    pub head: Head,
}

/// The most disputes that an answer lists.
const DISPUTES_MAX: u32 = 500;

/// A dispute that nobody has settled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OpenDispute {
    /// Its name.
    pub dispute: OpId,
    /// Who disputes.
    pub party: String,
    /// Which entry of the journal.
    pub entry: u64,
    /// Why.
    pub reason: String,
    /// Who opened it.
    pub by: String,
}

impl View<'_> {
    /// A transaction, or what was given back, as the books hold it.
    pub fn booked(&self, op: &OpId) -> Result<Option<BookedLine>, ReadError> {
        let sql = "SELECT line, seq FROM till_book WHERE op = ?1";
        let mut query = self.tx.prepare_cached(sql)?;
        let found = query.query_row([op.as_str()], |row| Ok((row.get::<_, String>(0)?, row.get(1)?))).optional()?;
        let Some((line, entry)) = found else { return Ok(None) };
        let (body, head) = self.entry_of(entry)?;
        let usable = body.records.iter().find_map(|record| {
            let Record::OperationAnswered(answered) = record else { return None };
            usable(&answered.answer)
        });
        Ok(Some(BookedLine { line: from_json("till_book.line", &line)?, usable, at: body.at_ms, head }))
    }

    /// A shift that is over; none where it is not.
    pub fn closed_shift(&self, terminal: &TerminalId, shift: u32) -> Result<Option<ClosedShift>, ReadError> {
        let sql = "SELECT day, totals, closed_seq FROM shift
                   WHERE terminal = ?1 AND shift = ?2 AND closed_seq IS NOT NULL";
        let mut query = self.tx.prepare_cached(sql)?;
        let row = query.query_row((terminal.as_str(), shift), |row| {
            Ok((BusinessDay(row.get(0)?), row.get::<_, String>(1)?, row.get(2)?))
        });
        let Some((day, totals, entry)) = row.optional()? else { return Ok(None) };
        let (body, head) = self.entry_of(entry)?;
        let ClosedTotals { totals, stated } = from_json("shift.totals", &totals)?;
        Ok(Some(ClosedShift { day, totals, stated, at: body.at_ms, head }))
    }

    /// An entry of the journal, and where the journal stood after it.
    fn entry_of(&self, entry: u64) -> Result<(Entry, Head), ReadError> {
        let sql = "SELECT body, epoch, seq, lower(hex(head)), (SELECT box_id FROM box) FROM journal WHERE entry = ?1";
        let (body, head) = self.tx.prepare_cached(sql)?.query_row([entry], |row| {
            let head = Head { epoch: row.get(1)?, seq: row.get(2)?, head: row.get(3)?, box_id: row.get(4)? };
            Ok((row.get::<_, Vec<u8>>(0)?, head))
        })?;
        Ok((from_json("journal.body", &String::from_utf8_lossy(&body))?, head))
    }

    /// The highest number of a till's own count that was answered; none where it does not count.
    pub fn last_number(&self, terminal: &TerminalId) -> Result<Option<u64>, ReadError> {
        let sql = "SELECT max(number) FROM operation
                   WHERE terminal = ?1 AND number IS NOT NULL
                   AND shift = (SELECT max(shift) FROM operation WHERE terminal = ?1 AND number IS NOT NULL)";
        Ok(self.tx.prepare_cached(sql)?.query_row([terminal.as_str()], |row| row.get(0))?)
    }

    /// The open shift of a terminal.
    pub fn current_shift(&self, terminal: &TerminalId) -> Result<u32, ReadError> {
        Ok(tills::current_shift(&self.tx, terminal.as_str())?)
    }

    /// What a shift, a terminal or a day has done.
    pub fn till_totals(&self, scope: &Scope) -> Result<Totals, ReadError> {
        Ok(totals::of(&self.tx, scope)?)
    }

    /// The number after the last paper voucher that was given out.
    pub fn next_voucher(&self) -> Result<u32, ReadError> {
        Ok(office::next_voucher(&self.tx)?)
    }

    /// Paper vouchers that were given out, from a number on.
    pub fn vouchers(&self, first: u32, count: u32) -> Result<Vec<(u32, Voucher)>, ReadError> {
        let mut found = Vec::new();
        for number in (0..count).map_while(|n| first.checked_add(n)) {
            let Some(voucher) = office::voucher(&self.tx, number).map_err(unreadable)? else { break };
            found.push((number, voucher));
        }
        Ok(found)
    }

    /// What a voucher was keyed in as: how it counts, for which stay, and what it pays; none where it was not.
    pub fn voucher_use(&self, number: u32) -> Result<Option<(VoucherHow, Option<String>, Fen)>, ReadError> {
        let sql = "SELECT how, stay, fen FROM voucher_use WHERE number = ?1";
        let found = self.tx.prepare_cached(sql)?.query_row([number], |row| {
            let Word(how) = row.get(0)?;
            Ok((how, row.get(1)?, Fen(row.get(2)?)))
        });
        Ok(found.optional()?)
    }

    /// Disputes that nobody has settled: who, about which entry, since which business day, and why.
    pub fn open_disputes(&self) -> Result<Vec<OpenDispute>, ReadError> {
        let sql = "SELECT op, note ->> '$.note.party', note ->> '$.note.entry', note ->> '$.note.reason', by_whom
                   FROM office_note WHERE kind = 'dispute_opened' AND op NOT IN
                   (SELECT subject FROM office_note WHERE kind = 'dispute_settled') ORDER BY seq LIMIT ?1";
        let mut query = self.tx.prepare_cached(sql)?;
        let rows = query.query_map([DISPUTES_MAX], |row| {
            let (dispute, party, entry) = (OpId(row.get(0)?), row.get(1)?, row.get(2)?);
            Ok(OpenDispute { dispute, party, entry, reason: row.get(3)?, by: row.get(4)? })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Holds of tills whose time is over, the oldest first, at most `most`.
    pub fn due_holds(&self, now: UtcMs, most: u32) -> Result<Vec<OpId>, ReadError> {
        let sql = "SELECT op FROM till_hold WHERE ended IS NULL AND expires_ms <= ?1 ORDER BY expires_ms LIMIT ?2";
        let mut query = self.tx.prepare_cached(sql)?;
        let rows = query.query_map((now.0, most), |row| Ok(OpId(row.get(0)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Every till that staff let in or shut out.
    pub fn terminals(&self) -> Result<Vec<Pairing>, ReadError> {
        let mut query = self.tx.prepare_cached("SELECT terminal, merchant, token_sha256 FROM terminal")?;
        let rows = query.query_map((), |row| {
            Ok(Pairing {
                terminal: TerminalId(row.get(0)?),
                merchant: row.get(1)?,
                token_sha256: row.get(2)?,
                by: String::new(),
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

/// What an answer said of the member's points.
fn usable(answer: &TillAnswer) -> Option<Points> {
    match answer {
        TillAnswer::Applied { usable, .. } => Some(*usable),
        TillAnswer::Done { done, .. } => match done {
            TillDone::Held { usable, .. } | TillDone::Captured { usable, .. } | TillDone::Released { usable, .. } => {
                Some(*usable)
            }
            TillDone::GivenBack(back) => Some(back.usable),
            TillDone::Reversed { back, .. } => back.as_ref().map(|back| back.usable),
            TillDone::Coupon(_)
            | TillDone::Reported(_)
            | TillDone::ShiftOpened { .. }
            | TillDone::ShiftClosed { .. } => None,
        },
        TillAnswer::Refused { .. } => None,
    }
}
