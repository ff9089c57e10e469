//! Coupons that the cloud ledger gives to one box alone: what it tells every box, and this box's word about one.

use serde::{Deserialize, Serialize};

use super::{Fen, MemberId, StayId};

/// Which box has a coupon alone, as the ledger told it last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CouponClaim {
    /// The coupon.
    pub coupon: String,
    /// Goes up whenever another box, or none, has it; a box's word names the one that it follows.
    pub turn: u64,
    /// The box that has it; none: nobody.
    #[serde(rename = "box", default)]
    pub box_id: Option<String>,
    /// In which epoch of that box alone.
    #[serde(default)]
    pub epoch: u32,
    /// Whether somebody else wants it.
    #[serde(default)]
    pub wanted: bool,
    /// The boxes that have used it, and not taken that back.
    #[serde(default)]
    pub used: Vec<String>,
}

/// This box's word about a coupon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CouponWord {
    /// The coupon.
    pub coupon: String,
    /// The turn of the ledger that was heard last; 0 where it has told of none.
    pub turn: u64,
    /// What is said.
    #[serde(flatten)]
    pub says: CouponSays,
}

/// What a box says of a coupon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "says", rename_all = "snake_case")]
pub enum CouponSays {
    /// Its holder is here: this box wants it alone.
    Wanted,
    /// This box has heard that it has it alone; a ledger that was made again learns it from this.
    Taken,
    /// This box had it alone, has not used it, and never will by that turn.
    Returned,
    /// It was used here.
    Used {
        /// The stay, or the effect at a till.
        by: String,
        /// What it took off.
        fen: Fen,
        /// Whether this box had it alone; else a declared risk was run.
        claimed: bool,
    },
    /// A use that was told came to nothing: it is good again.
    Unused {
        /// The stay, or the effect at a till.
        by: String,
    },
}

/// Which coupons are looked at, because something about them may have changed; all that matter where nothing is named.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CouponsLook {
    /// Those of members who came, or whose card was looked up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<MemberId>,
    /// Those of stays that began or ended, or were put right.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stays: Vec<StayId>,
    /// These.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub coupons: Vec<String>,
    /// Whether a till asks for them: they are wanted though no vehicle of the member is inside.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub asked: bool,
}

impl CouponsLook {
    /// Whether nothing is named.
    pub fn is_everything(&self) -> bool {
        self.members.is_empty() && self.stays.is_empty() && self.coupons.is_empty()
    }
}
