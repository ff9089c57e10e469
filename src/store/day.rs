//! What was lost on a day of the calendar, read from the journal of a ledger that may be in use.

use std::path::Path;

use anyhow::Context;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::journal::Entry;
use crate::domain::event::UtcMs;
use crate::domain::losses::{Day, DayReport};

/// So many entries in a row may carry the time of a clock that was wrong, before it is believed that the day is over; a
/// busy day has about as many.
const CLOCK_WRONG_ENTRIES: u64 = 10_000;

/// Looks through a day of a site's calendar.
pub fn report(ledger: &Path, date: Date, zone: &TimeZone) -> anyhow::Result<DayReport> {
    let (from, until) = bounds(date, zone)?;
    let db = Connection::open_with_flags(ledger, OpenFlags::SQLITE_OPEN_READ_ONLY)
        .with_context(|| format!("open the ledger {}", ledger.display()))?;
    let mut day = Day::new(date.to_string(), from, until);
    let first = first_from(&db, from)?;
    let mut statement = db.prepare("SELECT body FROM journal WHERE entry >= ?1 ORDER BY entry")?;
    let mut rows = statement.query([first.saturating_sub(CLOCK_WRONG_ENTRIES)])?;
    let mut beyond = 0;
    while let Some(row) = rows.next()?.filter(|_| beyond < CLOCK_WRONG_ENTRIES) {
        let entry = read(&row.get::<_, Vec<u8>>(0)?)?;
        if (from..until).contains(&entry.at_ms) {
            entry.records.iter().for_each(|record| day.take(entry.at_ms, record));
            beyond = 0;
        } else if entry.at_ms >= until {
            beyond += 1;
        }
    }
    Ok(day.report())
}

/// When the journal begins; none where it is empty.
pub fn begin(ledger: &Path) -> anyhow::Result<Option<UtcMs>> {
    let db = Connection::open_with_flags(ledger, OpenFlags::SQLITE_OPEN_READ_ONLY)
        .with_context(|| format!("open the ledger {}", ledger.display()))?;
    let sql = "SELECT body FROM journal ORDER BY entry LIMIT 1";
    let body: Option<Vec<u8>> = db.query_row(sql, (), |row| row.get(0)).optional()?;
    body.map(|body| Ok(read(&body)?.at_ms)).transpose()
}

/// The first moment of a day at a site, and the first after it.
fn bounds(date: Date, zone: &TimeZone) -> anyhow::Result<(UtcMs, UtcMs)> {
    let begin = |date: Date| {
        let zoned = date.to_zoned(zone.clone()).with_context(|| format!("find the beginning of {date}"))?;
        anyhow::Ok(UtcMs(zoned.timestamp().as_millisecond()))
    };
    Ok((begin(date)?, begin(date.tomorrow().context("find the day after")?)?))
}

/// About the first entry from a moment on, by halving: entries are in the order of time but where a clock was put right.
fn first_from(db: &Connection, from: UtcMs) -> anyhow::Result<u64> {
    let newest: Option<u64> = db.query_row("SELECT max(entry) FROM journal", (), |row| row.get(0))?;
    let (mut low, mut high) = (1, newest.unwrap_or(0) + 1);
    let mut statement = db.prepare("SELECT body FROM journal WHERE entry = ?1")?;
    while low < high {
        let middle = low + (high - low) / 2;
        let body: Vec<u8> = statement.query_row([middle], |row| row.get(0))?;
        if read(&body)?.at_ms < from { low = middle + 1 } else { high = middle }
    }
    Ok(low)
}

fn read(body: &[u8]) -> anyhow::Result<Entry> {
    serde_json::from_slice(body).context("read an entry of the journal")
}
