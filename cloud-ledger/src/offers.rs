//! What the administrator says of coupons; the feed tells every box, and the newest word wins there.

use serde::{Deserialize, Serialize};

use crate::claims;
use crate::ledger::{Ledger, Refusal, check_name};
use crate::members::{What, put_what};

/// A coupon as the administrator writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Coupon {
    /// Its kind in the rules of the boxes.
    pub kind: String,
    /// Whose it is; none: whoever shows it.
    #[serde(default)]
    pub member: Option<String>,
    /// The merchant that issued it.
    #[serde(default)]
    pub merchant: Option<String>,
    /// Not good before, in milliseconds since 1970.
    #[serde(default)]
    pub from_ms: Option<i64>,
    /// Not good from then on.
    #[serde(default)]
    pub until_ms: Option<i64>,
    /// Where it is in its life.
    pub state: CouponState,
}

/// Where a coupon is in its life, as far as the administrator can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CouponState {
    /// It may be shown.
    Issued,
    /// It was used outside of every box.
    Used,
    /// It is good for nothing any more.
    Revoked,
}

/// A coupon on the feed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedCoupon {
    /// Its own number, which its holder shows.
    pub id: String,
    /// The rest.
    #[serde(flatten)]
    pub coupon: Coupon,
}

impl Ledger {
    /// Tells every box of a coupon. One that a box has alone, or has used, cannot be used elsewhere.
    pub fn put_coupon(&self, id: &str, coupon: &Coupon) -> Result<(), Refusal> {
        check_name("id", id)?;
        check_name("kind", &coupon.kind)?;
        for (field, name) in [("member", &coupon.member), ("merchant", &coupon.merchant)] {
            name.as_deref().map_or(Ok(()), |name| check_name(field, name))?;
        }
        if coupon.from_ms.zip(coupon.until_ms).is_some_and(|(from, until)| from >= until) {
            return Err(Refusal::BadRequest("until_ms: must come after from_ms".to_owned()));
        }
        // A refusal inside is committed: a coupon that a box has is asked back.
        self.database.write(|tx| {
            if let Err(taken) = claims::stated(tx, id, coupon)? {
                return Ok(Err(taken));
            }
            put_what(tx, &What::Coupon { coupon: FeedCoupon { id: id.to_owned(), coupon: coupon.clone() } })?;
            Ok(Ok(()))
        })?
    }
}
