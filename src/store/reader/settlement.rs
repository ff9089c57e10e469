//! The day's accounts as others look at them: what a day came to, and each party's statement.

use super::{ReadError, View, from_json};
use crate::domain::event::BusinessDay;
use crate::domain::settlement::{Closed, Report};
use crate::store::settlement;

pub use crate::store::settlement::Evidence;

impl View<'_> {
    /// What a closed day came to, as it was written when it was closed; none where it is not closed.
    pub fn closed_day(&self, day: BusinessDay) -> Result<Option<Closed>, ReadError> {
        let found = settlement::closed(&self.tx, day)?;
        found
            .map(|(by, report)| Ok(Closed { day, by, report: from_json("day_close.report", &report)?, forgets: None }))
            .transpose()
    }

    /// What a day has come to so far.
    pub fn day_so_far(&self, day: BusinessDay) -> Result<Report, ReadError> {
        Ok(settlement::report(&self.tx, day)?)
    }

    /// The legs of a day in which a party pays or is paid, in the order of the journal.
    pub fn statement(&self, day: BusinessDay, party: &str) -> Result<Vec<Evidence>, ReadError> {
        Ok(settlement::statement(&self.tx, day, party)?)
    }
}
