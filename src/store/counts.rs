//! The tills' own counts of their requests: when the last hole of one is filled.

use rusqlite::params;

use super::Store;
use crate::domain::decide::Facts;
use crate::domain::event::{TerminalId, TillMark};

/// Looks whether the request's number was the only one that was still missing in the terminal's open shift.
pub(super) fn look_up(store: &Store, facts: &mut Facts, terminal: &TerminalId, mark: &TillMark) -> anyhow::Result<()> {
    let (Some(number), Some(last)) = (mark.number, facts.tills.last_number) else { return Ok(()) };
    // Only one that comes late can fill anything, and late ones are few.
    if number < last {
        let sql = "SELECT coalesce(max(number) - min(number) + 1 - count(DISTINCT number) = 1
                   AND ?3 > min(number) AND sum(number = ?3) = 0, 0)
                   FROM operation WHERE terminal = ?1 AND shift = ?2 AND number IS NOT NULL";
        let found = params![terminal.as_str(), facts.tills.shift, number];
        facts.tills.fills_last_hole = store.db.prepare_cached(sql)?.query_row(found, |row| row.get(0))?;
    }
    Ok(())
}
