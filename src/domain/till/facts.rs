//! What deciding a till's request rests on.

use crate::domain::settlement::ClosingFacts;
use std::sync::Arc;

use crate::domain::decide::{SpendFacts, StoredOperation};
use crate::domain::event::{Booking, Fen, OpId, Points, TillHold, Totals};
use crate::domain::rules::Rules;
use crate::domain::stay::StayState;

/// What deciding a till's request rests on; filled where the input needs it.
#[derive(Clone, Debug, Default)]
pub struct TillFacts {
    /// The terminal's open shift; shifts count from 1 at each terminal.
    pub shift: u32,
    /// The highest number of the till's own count that was answered in it.
    pub last_number: Option<u64>,
    /// The hold that is meant.
    pub hold: Option<Held>,
    /// The transaction that is meant.
    pub booked: Option<Booked>,
    /// What is stored under the key that the till gives up.
    pub original: Option<StoredOperation>,
    /// What the open shift has done.
    pub totals: Totals,
    /// What the member owes of points that were earned too much, the oldest first.
    pub debts: Vec<OpenDebt>,
    /// Every hold that is open, where an epoch ends.
    pub open_holds: Vec<TillHold>,
    /// What closing a day rests on.
    pub closing: ClosingFacts,
}

/// A hold of a till.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The hold.
    pub hold: TillHold,
    /// Why it is over, in the journal's word; none: it is open.
    pub ended: Option<String>,
}

/// Points that are owed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenDebt {
    /// The debt.
    pub debt: OpId,
    /// The earning that was too much.
    pub of: OpId,
    /// What is open of it.
    pub open: Points,
}

/// A transaction of a till and what became of it.
#[derive(Clone, Debug)]
pub struct Booked {
    /// The line in the books.
    pub booking: Booking,
    /// Goods that came back.
    pub refunded: Fen,
    /// Whether it was taken back as a whole.
    pub is_void: bool,
    /// The spends that paid it, with what is left of them.
    pub spends: Vec<SpendFacts>,
    /// Money that was taken for parking.
    pub payment: Option<(OpId, Fen)>,
    /// The state of the stay whose parking was paid.
    pub stay_state: Option<StayState>,
    /// What the pocket that it earned still holds and may be used now.
    pub born: Points,
    /// The rules by which it was reckoned.
    pub rules: Arc<Rules>,
}
