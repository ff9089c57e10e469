//! What a stay's fee depends on besides its times, for those who only ask.

use super::{ReadError, View};
use crate::domain::benefit::Known;
use crate::domain::rules::Rules;
use crate::domain::stay::Stay;

impl View<'_> {
    /// What the ledger knows of a stay's benefits, as a decision would look it up.
    pub fn benefits(&self, rules: &Rules, stay: &Stay) -> Result<Known, ReadError> {
        crate::store::benefits::known(&self.tx, rules, stay).map_err(unreadable)
    }
}

fn unreadable(error: anyhow::Error) -> ReadError {
    match error.downcast::<rusqlite::Error>() {
        Ok(error) => ReadError::Sqlite(error),
        Err(error) => ReadError::Foreign { what: "benefit", why: format!("{error:#}") },
    }
}
