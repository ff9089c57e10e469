//! What the journals say of coupons, held against what is stored: every use, and that no box has what it gave back.

use std::collections::{BTreeMap, BTreeSet};

use super::{Books, Place};
use crate::db::Tx;
use crate::journal::{CouponSays, Fact};
use crate::ledger::Refusal;

/// What was said, box by box, epoch by epoch, in the order of each journal.
#[derive(Clone, Default)]
pub(super) struct Said {
    /// By coupon, box and purpose: whether the last word lets the use stand.
    uses: BTreeMap<(String, String, String), bool>,
    /// Coupons that a box asked for, or had, in an epoch.
    asked: BTreeSet<(String, String, u32)>,
    /// The turns that a box gave back in an epoch.
    given_back: BTreeSet<(String, String, u32, i64)>,
}

impl Said {
    pub(super) fn hear(&mut self, (box_name, epoch, _): &Place, fact: &Fact) {
        let Fact::CouponTold { coupon, turn, says } = fact else { return };
        let (coupon, name) = (coupon.clone(), box_name.clone());
        match says {
            CouponSays::Wanted | CouponSays::Taken => _ = self.asked.insert((coupon, name, *epoch)),
            CouponSays::Returned => _ = self.given_back.insert((coupon, name, *epoch, *turn)),
            CouponSays::Used { purpose, .. } => _ = self.uses.insert((coupon, name, purpose.clone()), true),
            CouponSays::Unused { purpose } => _ = self.uses.insert((coupon, name, purpose.clone()), false),
        }
    }

    pub(super) fn compare(mut self, tx: &mut Tx<'_>, books: &mut Books) -> Result<(), Refusal> {
        for row in tx.rows("SELECT coupon, box, purpose, stands FROM coupon_use", &[])? {
            let (coupon, name) = (row.text(0), row.text(1));
            if self.uses.remove(&(coupon.clone(), name.clone(), row.text(2))) != Some(row.flag(3)) {
                books.fault(format!("coupon '{coupon}': its use at '{name}' is not what the journal says"));
            }
        }
        for (coupon, name, _) in self.uses.keys() {
            books.fault(format!("coupon '{coupon}': a use that '{name}' told is not stored"));
        }
        for row in tx.rows("SELECT id, box, epoch, turn FROM coupon WHERE box IS NOT NULL", &[])? {
            let (coupon, name, epoch, turn) = (row.text(0), row.text(1), row.epoch(2), row.int(3));
            if !self.asked.contains(&(coupon.clone(), name.clone(), epoch)) {
                books.fault(format!("coupon '{coupon}': '{name}' has it in epoch {epoch} and never asked for it"));
            }
            if self.given_back.contains(&(coupon.clone(), name.clone(), epoch, turn)) {
                books.fault(format!("coupon '{coupon}': '{name}' gave turn {turn} back and has it still"));
            }
        }
        Ok(())
    }
}
