//! What a stay's fee depends on besides its times, for those who only ask.

use super::{ReadError, View};
use crate::domain::benefit::{HeldCoupon, HeldPass, Known, SaleFacts};
use crate::domain::event::MemberId;
use crate::domain::rules::Rules;
use crate::domain::stay::Stay;

impl View<'_> {
    /// What the ledger knows of a stay's benefits, as a decision would look it up.
    pub fn benefits(&self, rules: &Rules, stay: &Stay) -> Result<Known, ReadError> {
        let here: String = self.tx.query_row("SELECT box_id FROM box WHERE one = 1", (), |row| row.get(0))?;
        crate::store::benefits::known(&self.tx, rules, stay, &here).map_err(unreadable)
    }

    /// A coupon as it is for goods, with what that rests on besides; none where this box knows no such coupon.
    pub fn coupon(&self, code: &str, rules: &Rules) -> Result<Option<(HeldCoupon, Known)>, ReadError> {
        let look = || {
            let Some(held) = crate::store::benefits::coupon(&self.tx, code, None)? else { return Ok(None) };
            Ok(Some((held, crate::store::benefits::known_for_goods(&self.tx, rules)?)))
        };
        look().map_err(unreadable)
    }

    /// A pass as it is for goods, with whose it is and what that rests on; none where this box knows no such pass.
    #[allow(clippy::type_complexity, reason = "three facts of one pass, taken apart where they are asked for")]
    pub fn pass(&self, number: &str, rules: &Rules) -> Result<Option<(HeldPass, MemberId, Known)>, ReadError> {
        let here = self.head()?.box_id;
        let look = || {
            let mut known = crate::store::benefits::known_for_goods(&self.tx, rules)?;
            let held = crate::store::passes::held(&self.tx, number, &here, &mut known.used)?;
            Ok(held.map(|(held, member)| (held, member, known)))
        };
        look().map_err(unreadable)
    }

    /// The same with whose it is; none there where anybody may show it.
    #[allow(clippy::type_complexity, reason = "three facts of one coupon, taken apart where they are asked for")]
    pub fn coupon_of(
        &self,
        code: &str,
        rules: &Rules,
    ) -> Result<Option<(HeldCoupon, Known, Option<MemberId>)>, ReadError> {
        let Some((held, known)) = self.coupon(code, rules)? else { return Ok(None) };
        let owner = crate::store::benefits::coupon_member(&self.tx, code).map_err(unreadable)?;
        Ok(Some((held, known, owner)))
    }

    /// What a sale of a member's rests on, as a decision would look it up.
    pub fn sale_facts(&self, member: &MemberId, rules: &Rules) -> Result<SaleFacts, ReadError> {
        crate::store::tills::sale_facts(&self.tx, rules, member).map_err(unreadable)
    }
}

pub(super) fn unreadable(error: anyhow::Error) -> ReadError {
    match error.downcast::<rusqlite::Error>() {
        Ok(error) => ReadError::Sqlite(error),
        Err(error) => ReadError::Foreign { what: "benefit", why: format!("{error:#}") },
    }
}
