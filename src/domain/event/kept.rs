//! Which records the journal keeps, and what of them is not written because it says nothing.

use super::{Fen, Record};

pub(super) fn is_zero(fen: &Fen) -> bool {
    fen.0 == 0
}

pub(super) fn is_nothing(number: &i64) -> bool {
    *number == 0
}

pub(super) fn is_none_passed_over(records: &u64) -> bool {
    *records == 0
}

impl Record {
    /// Whether the record is a decision of this box. What the cloud owns is cached beside the journal, not in it.
    pub fn is_journaled(&self) -> bool {
        !matches!(self, Record::Fed { .. } | Record::Acknowledged { .. } | Record::LeaseSeen { .. })
    }
}
