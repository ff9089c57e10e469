//! Paper vouchers: what one is good for, and what came of it when it was keyed in.

use serde::{Deserialize, Serialize};

use super::{Fen, StayId};

/// What a paper voucher is good for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "for", rename_all = "snake_case")]
pub enum VoucherGives {
    /// Its amount comes off a parking fee.
    #[default]
    Parking,
    /// So many minutes of a stay cost nothing.
    Minutes {
        /// How many.
        minutes: u32,
    },
    /// Its amount pays for goods at a shop.
    Goods,
}

impl VoucherGives {
    /// Whether it lets an amount off a parking fee, as all did that were printed before there were others.
    pub fn is_parking(&self) -> bool {
        *self == Self::Parking
    }
}

/// How a voucher that was keyed in counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VoucherHow {
    /// As a gift to a stay that goes on: its fee is less when the vehicle leaves, and it is owed then.
    Given,
    /// The vehicle had left by hand: its stay was ended with it.
    Left,
    /// The stay was over: it pays what was let go or is still owed.
    Settled,
    /// The box knows no stay that it can be for; the paper says what is owed.
    Unmatched,
    /// A shop took it for goods.
    Goods,
}

/// What came of a voucher that was keyed in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoucherUse {
    /// How it counts.
    pub how: VoucherHow,
    /// The stay that it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stay: Option<StayId>,
    /// What it pays now; nothing for a stay that goes on or is ended with it, whose own entry says so.
    pub fen: Fen,
    /// What of it pays for what was let go.
    pub of_waived: Fen,
    /// Who owes it, to the fen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub payers: Vec<(String, Fen)>,
    /// To whom.
    pub acceptor: String,
}
