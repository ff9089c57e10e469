//! What deciding a till's request rests on.

use crate::domain::settlement::ClosingFacts;
use std::sync::Arc;

use crate::domain::benefit::{HeldPass, Known, SaleFacts};
use crate::domain::decide::{SpendFacts, StoredOperation};
use crate::domain::event::{Booking, CodeUse, CouponUse, Fen, MemberId, OpId, Points, StayId, TillHold, Totals, UtcMs};
use crate::domain::rules::Rules;
use crate::domain::stay::StayState;

/// What deciding a till's request rests on; filled where the input needs it.
#[derive(Clone, Debug, Default)]
pub struct TillFacts {
    /// The terminal's open shift; shifts count from 1 at each terminal.
    pub shift: u32,
    /// The highest number of the till's own count that was answered in it.
    pub last_number: Option<u64>,
    /// Whether the request's number is the only one that was still missing in it.
    pub fills_last_hole: bool,
    /// What became of the code by which the member was shown.
    pub code: Option<CodeUse>,
    /// The hold that is meant.
    pub hold: Option<Held>,
    /// The transaction that is meant.
    pub booked: Option<Booked>,
    /// What is stored under the key that the till gives up.
    pub original: Option<StoredOperation>,
    /// What a coupon for goods rests on besides itself: campaigns and what they have cost.
    pub coupons: Known,
    /// Whose coupon it is, where the cloud says.
    pub coupon_member: Option<MemberId>,
    /// The pass of that number and whose it is, where no coupon has it; its uses are counted in `coupons`.
    pub pass: Option<(HeldPass, MemberId)>,
    /// The use of a coupon that stands, where it is meant.
    pub coupon_use: Option<CouponUse>,
    /// What the open shift has done.
    pub totals: Totals,
    /// The newest sale with the same receipt that came by another way and has earned, and when it happened.
    pub twin: Option<(OpId, UtcMs)>,
    /// What the service desk gave for a sale with the same receipt, and when.
    pub made_up: Option<(OpId, UtcMs)>,
    /// The stay of the member that is inside.
    pub visit: Option<StayId>,
    /// What a sale of the member's rests on: the tier, and what is carried from sale to sale.
    pub earning: SaleFacts,
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
    /// The same of each bonus, in their order.
    pub born_extra: Vec<Points>,
    /// The rules by which it was reckoned.
    pub rules: Arc<Rules>,
    /// The same sale by other ways.
    pub ways: Ways,
}

/// What became of the same sale at other terminals.
#[derive(Clone, Debug, Default)]
pub struct Ways {
    /// The one that has earned, where it is not this one.
    pub first: Option<Box<Booked>>,
    /// Goods that came back by the others.
    pub returned: Fen,
    /// One of them that stands.
    pub stands: Option<OpId>,
}

impl Booked {
    /// The way by which the sale has earned.
    pub fn earner(&self) -> &Self {
        self.ways.first.as_deref().unwrap_or(self)
    }
}
