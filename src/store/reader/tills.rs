//! The tills' books as others look at them: totals, shifts, holds whose time is over, tills that staff let in.

use super::{ReadError, View};
use crate::domain::event::{BusinessDay, OpId, Pairing, TerminalId, Totals, UtcMs};
use crate::store::tills;

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

impl View<'_> {
    /// The open shift of a terminal.
    pub fn current_shift(&self, terminal: &TerminalId) -> Result<u32, ReadError> {
        Ok(tills::current_shift(&self.tx, terminal.as_str())?)
    }

    /// What a shift, a terminal or a day has done.
    pub fn till_totals(&self, scope: &Scope) -> Result<Totals, ReadError> {
        Ok(tills::totals(&self.tx, scope)?)
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
