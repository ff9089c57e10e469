//! Whether a pass is good today, here and often enough: a number of days, a set of merchants, so many uses at each.

use super::{Candidate, Look, PARKING};
use crate::domain::benefit::facts::{CouponState, HeldPass, Source};
use crate::domain::benefit::reason::Reason;
use crate::domain::benefit::table::{Dimension, PassKind};

impl<'a> Look<'a> {
    pub(super) fn at_pass(&self, kind: &'a PassKind, held: &'a HeldPass) -> Result<Candidate<'a>, Reason> {
        self.may_have_any(true)?;
        let uses_left = self.pass_left(kind, held, PARKING)?;
        self.is_for_parking(&kind.give)?;
        let mut candidate = self.candidate(Source::Pass, &kind.id, (&kind.zh, &kind.en), &kind.class, &kind.give);
        candidate.uses_left = uses_left;
        candidate.instance = Some(&held.id);
        candidate.merchant = Some(PARKING);
        candidate.funder = kind.funder.as_deref().unwrap_or(super::UNFUNDED);
        candidate.campaign = self.campaign(kind.campaign.as_deref())?;
        Ok(candidate)
    }

    /// How often it may still be used at a merchant, where its uses are counted.
    pub(super) fn pass_left(&self, kind: &PassKind, held: &HeldPass, merchant: &str) -> Result<Option<i64>, Reason> {
        match held.state {
            CouponState::ClaimedHere => {}
            // Another site might count a use that this one does not know of.
            CouponState::Issued if kind.uses.is_some() || kind.uses_per_merchant.is_some() => {
                return Err(Reason::needs_claim());
            }
            CouponState::Issued => {}
            CouponState::ClaimedElsewhere => return Err(Reason::claimed_elsewhere()),
            CouponState::Held => return Err(Reason::coupon_held()),
            CouponState::Used => return Err(Reason::coupon_used()),
            CouponState::Revoked => return Err(Reason::coupon_revoked()),
        }
        self.clock_is_sure()?;
        let today = self.facts.civil.date();
        let last = held.first_day.saturating_add(jiff::Span::new().days(i64::from(kind.days.clamp(1, 3650)) - 1));
        if today < held.first_day {
            return Err(Reason::not_yet(held.first_day.to_datetime(jiff::civil::Time::MIN)));
        }
        if today > last {
            return Err(Reason::pass_over(last));
        }
        if !kind.merchants.iter().any(|known| known == merchant) {
            let is_parking = merchant == PARKING;
            return Err(if is_parking { Reason::not_for_parking() } else { Reason::not_at_this_shop(&kind.merchants) });
        }
        self.holds(&kind.when, self.facts.spend)?;
        let used = self.facts.used.total(Dimension::Pass, &held.id, |_, _| true).uses;
        let here = self.facts.used.total(Dimension::Pass, &held.id, |_, at| at == merchant).uses;
        let left = [kind.uses.map(|uses| uses - used), kind.uses_per_merchant.map(|uses| uses - here)];
        let left = left.into_iter().flatten().min();
        if left.is_some_and(|left| left <= 0) { Err(Reason::coupon_used()) } else { Ok(left) }
    }
}
