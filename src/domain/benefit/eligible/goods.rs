//! Whether a coupon may be used for goods at a till now, and what it takes off.

use std::collections::BTreeSet;

use super::{Audience, Look};
use crate::domain::benefit::budget::budget_left;
use crate::domain::benefit::facts::{Facts, HeldCoupon, HeldPass, Source, Use};
use crate::domain::benefit::reason::{NotUsed, Reason};
use crate::domain::benefit::table::{CouponKind, Give, Table};
use crate::domain::benefit::{Known, Moment, civil};
use crate::domain::event::{Fen, MemberId};
use crate::domain::rules::Rules;

/// What a coupon takes off goods, or why it is not used. Conditions on the holder are not met at a till, which does not
/// know whose it is; the limits of a visit are not those of a sale.
pub fn for_goods(
    rules: &Rules,
    held: &HeldCoupon,
    known: &Known,
    merchant: &str,
    sale: Option<Fen>,
    moment: Moment,
) -> Result<Use, NotUsed> {
    let facts = facts(rules, known, sale, moment);
    let look = Look { table: &rules.benefits, facts: &facts, gross: Fen(0) };
    let kind = rules.benefits.coupons.iter().find(|kind| kind.id == held.kind);
    let used = kind.ok_or_else(Reason::unknown_kind).and_then(|kind| look.goods(kind, held, merchant, sale));
    used.map_err(|reason| reason.about(&held.kind, Some(&held.id)))
}

/// The kind of a coupon that multiplies what a member's sale earns, or why it is not used. `facts` are the sale's; without
/// a member in them, whose it is, is not asked yet.
pub(in crate::domain::benefit) fn multiplier<'a>(
    table: &'a Table,
    facts: &Facts,
    held: &HeldCoupon,
    merchant: &str,
) -> Result<&'a CouponKind, NotUsed> {
    let look = Look { table, facts, gross: Fen(0) };
    let kind = table.coupons.iter().find(|kind| kind.id == held.kind);
    let usable = kind.ok_or_else(Reason::unknown_kind).and_then(|kind| {
        if !matches!(kind.give, Give::MultiplyBps(_)) {
            return Err(Reason::not_for_points());
        }
        look.usable(kind, held, merchant).map(|_| kind)
    });
    usable.map_err(|reason| reason.about(&held.kind, Some(&held.id)))
}

/// What a pass takes off goods at a shop, or why it is not used: as often at each shop, and in all, as its kind says.
pub fn pass_for_goods(
    rules: &Rules,
    (held, member): (&HeldPass, &MemberId),
    known: &Known,
    merchant: &str,
    sale: Option<Fen>,
    moment: Moment,
) -> Result<Use, NotUsed> {
    let facts = facts(rules, known, sale, moment);
    let look = Look { table: &rules.benefits, facts: &facts, gross: Fen(0) };
    let kind = rules.benefits.passes.iter().find(|kind| kind.id == held.kind);
    let used = kind.ok_or_else(Reason::unknown_kind).and_then(|kind| {
        look.pass_left(kind, held, merchant)?;
        let fen = look.within_budget(&kind.give, kind.campaign.as_deref(), sale, None)?;
        Ok(Use {
            source: Source::Pass,
            benefit: kind.id.clone(),
            instance: Some(held.id.clone()),
            class: kind.class.clone(),
            campaign: kind.campaign.clone(),
            member: Some(member.clone()),
            plate: None,
            merchant: Some(merchant.to_owned()),
            operator: None,
            day: facts.civil.date(),
            minutes: 0,
            fen,
        })
    });
    used.map_err(|reason| reason.about(&held.kind, Some(&held.id)))
}

impl Look<'_> {
    /// What stands against a coupon at a till, whatever it gives; else the most that it may take off, where that is
    /// bound.
    fn usable(&self, kind: &CouponKind, held: &HeldCoupon, merchant: &str) -> Result<Option<i64>, Reason> {
        if !kind.merchants.iter().any(|name| name == merchant) {
            return Err(Reason::not_at_this_shop(&kind.merchants));
        }
        let ceiling = self.coupon_is_good(kind, held)?;
        let asks_whose = self.facts.member.is_some() || !matches!(kind.give, Give::MultiplyBps(_));
        match self.is_for(&kind.when) {
            Audience::Everybody | Audience::This => {}
            Audience::Others | Audience::ThisIfConfirmed(_) if asks_whose => {
                return Err(Reason::not_in_audience(&kind.id));
            }
            Audience::Others | Audience::ThisIfConfirmed(_) => {}
        }
        self.holds(&kind.when, self.facts.spend)?;
        self.campaign(kind.campaign.as_deref())?;
        Ok(ceiling)
    }

    fn goods(&self, kind: &CouponKind, held: &HeldCoupon, merchant: &str, sale: Option<Fen>) -> Result<Use, Reason> {
        let ceiling = self.usable(kind, held, merchant)?;
        let fen = self.within_budget(&kind.give, kind.campaign.as_deref(), sale, ceiling)?;
        Ok(used_at_till(kind, held, self.facts, fen))
    }

    /// What it takes off, no more than a ceiling and what its campaign has left.
    fn within_budget(
        &self,
        give: &Give,
        campaign: Option<&str>,
        sale: Option<Fen>,
        ceiling: Option<i64>,
    ) -> Result<Fen, Reason> {
        let budget = self.campaign(campaign)?.and_then(|campaign| budget_left(campaign, self.facts));
        let fen = match takes_off(give, sale)? {
            None => 0,
            Some(fen) => fen.min(ceiling.unwrap_or(i64::MAX)).min(budget.unwrap_or(i64::MAX)),
        };
        if fen == 0 && !matches!(give, Give::Service(_)) {
            return Err(Reason::needs_spend(Fen(1), sale.unwrap_or_default()));
        }
        Ok(Fen(fen))
    }
}

/// A coupon that is used up at a till.
pub(in crate::domain::benefit) fn used_at_till(kind: &CouponKind, held: &HeldCoupon, facts: &Facts, fen: Fen) -> Use {
    Use {
        source: Source::Coupon,
        benefit: kind.id.clone(),
        instance: Some(held.id.clone()),
        class: kind.class.clone(),
        campaign: kind.campaign.clone(),
        member: None,
        plate: None,
        merchant: held.merchant.clone(),
        operator: None,
        day: facts.civil.date(),
        minutes: 0,
        fen,
    }
}

/// What is taken off goods of such a price; none where something is handed over instead.
fn takes_off(give: &Give, sale: Option<Fen>) -> Result<Option<i64>, Reason> {
    let price = || sale.map(|sale| sale.0).filter(|fen| *fen > 0).ok_or_else(|| Reason::needs_spend(Fen(1), Fen(0)));
    Ok(match give {
        Give::Service(_) => None,
        Give::Fen(fen) => Some((*fen).min(price()?)),
        Give::PercentBps(bps) => {
            let part = i128::from(price()?) * i128::from(*bps) / 10_000;
            Some(i64::try_from(part).unwrap_or(i64::MAX).min(price()?))
        }
        Give::FixedPriceFen(fen) => Some((price()? - fen).max(0)),
        Give::Full => Some(price()?),
        Give::MultiplyBps(_) => return Err(Reason::with_the_sale()),
        Give::Minutes(_)
        | Give::FirstMinutes(_)
        | Give::Zone(_)
        | Give::GraceMinutes(_)
        | Give::Greeting { .. }
        | Give::PriceLevel(_) => return Err(Reason::not_for_goods()),
    })
}

/// A till knows the goods and the moment, and neither a vehicle nor a member.
fn facts(rules: &Rules, known: &Known, sale: Option<Fen>, moment: Moment) -> Facts {
    Facts {
        at: moment.at,
        civil: civil(rules, moment.at),
        clock_trusted: moment.trusted,
        places: BTreeSet::new(),
        stay_seconds: 0,
        plate: None,
        member: None,
        blocked: None,
        coupons: Vec::new(),
        passes: Vec::new(),
        validations: Vec::new(),
        spend: sale.unwrap_or_default(),
        operator: None,
        approved: BTreeSet::new(),
        campaigns: known.campaigns.clone(),
        cloud_age_ms: known.campaigns_as_of.map(|as_of| moment.at.0.saturating_sub(as_of.0).max(0)),
        used: known.used.clone(),
        paid: Fen(0),
        paid_by_points: Fen(0),
        paid_at: None,
        lots: Vec::new(),
        points_wish: None,
    }
}
