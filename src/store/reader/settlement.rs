//! The day's accounts as others look at them: what a day came to, and each party's statement.

use super::journal::Head;
use super::{ReadError, View, from_json};
use crate::domain::event::BusinessDay;
use crate::domain::settlement::{Closed, Report};
use crate::store::settlement;

pub use crate::store::settlement::Evidence;

impl View<'_> {
    /// What a closed day came to, as it was written when it was closed, and where the journal stood after that entry; none
    /// where it is not closed.
    pub fn closed_day(&self, day: BusinessDay) -> Result<Option<(Closed, Head)>, ReadError> {
        let Some((by, report, entry)) = settlement::closed(&self.tx, day)? else { return Ok(None) };
        let report = from_json("day_close.report", &report)?;
        let sql = "SELECT epoch, seq, lower(hex(head)), (SELECT box_id FROM box) FROM journal WHERE entry = ?1";
        let head = self.tx.prepare_cached(sql)?.query_row([entry], |row| {
            Ok(Head { epoch: row.get(0)?, seq: row.get(1)?, head: row.get(2)?, box_id: row.get(3)? })
        })?;
        Ok(Some((Closed { day, by, report, forgets: None }, head)))
    }

    /// What a day has come to so far.
    pub fn day_so_far(&self, day: BusinessDay) -> Result<Report, ReadError> {
        Ok(settlement::report(&self.tx, day)?)
    }

    /// The oldest day that has anything in it and is not closed.
    pub fn oldest_open_day(&self) -> Result<Option<BusinessDay>, ReadError> {
        let last = settlement::last_closed(&self.tx)?;
        Ok(settlement::oldest_open(&self.tx, last)?)
    }

    /// The legs of a day in which a party pays or is paid, in the order of the journal.
    pub fn statement(&self, day: BusinessDay, party: &str) -> Result<Vec<Evidence>, ReadError> {
        Ok(settlement::statement(&self.tx, day, party)?)
    }
}
