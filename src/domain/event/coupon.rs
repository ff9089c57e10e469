//! Coupons at the tills: what a till asks about one, and what the journal keeps of it.

use serde::{Deserialize, Serialize};

use super::{BusinessDay, Fen, OpId, Shop, TerminalId};
use crate::domain::benefit::Use;

/// What a till asks about a coupon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "coupon", rename_all = "snake_case")]
pub enum CouponWish {
    /// Use it for goods.
    Use {
        /// Its own number.
        code: String,
        /// What the goods cost, where the till says.
        sale: Option<Fen>,
        /// The till's own receipt number.
        receipt: String,
    },
    /// The goods came back or were never handed over: it is good again.
    Return {
        /// Its own number.
        code: String,
        /// The use; none: the one that stands.
        of: Option<OpId>,
    },
}

/// What became of a coupon at a till.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "way", rename_all = "snake_case")]
pub enum CouponMove {
    /// It was used for goods.
    Used(Box<CouponUse>),
    /// A use was taken back.
    Returned {
        /// The effect's id.
        op: OpId,
        /// At which terminal.
        at: TerminalId,
        /// In which of its shifts.
        in_shift: u32,
        /// On which business day.
        on_day: BusinessDay,
        /// What was taken back.
        of: Box<CouponUse>,
    },
}

/// A coupon that was used for goods.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CouponUse {
    /// The effect's id, and the use's name.
    pub op: OpId,
    /// At which terminal.
    pub terminal: TerminalId,
    /// In which of its shifts.
    pub shift: u32,
    /// On which business day.
    pub day: BusinessDay,
    /// The shop that took it, or the till where it stands in none.
    pub merchant: String,
    /// What is known of the shop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shop: Option<Shop>,
    /// The till's receipt.
    pub receipt: String,
    /// What the goods cost, where the till said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sale_fen: Option<Fen>,
    /// The sale whose points it multiplied; it is good again when that sale is undone as a whole, and not before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transaction: Option<OpId>,
    /// The version of the rules by which it was good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<u32>,
    /// What was used up, and for how much.
    pub used: Use,
    /// Who pays for it, and how much.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub payers: Vec<(String, Fen)>,
}
