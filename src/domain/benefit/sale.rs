//! What a sale earns: the plain points with the remainder from before, what bonuses add, and status points beside them.
//! All of it is a function of what stays with the customer and of stored facts, so that no way of cutting a return
//! gives more or less.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::budget::budget_left;
use super::facts::{CampaignNews, Count, CountKey, Counters, Facts, HeldCoupon, MemberFacts, Use};
use super::privileges::Privileges;
use super::quote::{Known, civil};
use super::reason::NotUsed;
use super::table::{Bonus, CouponKind, Dimension, Give, When};
use super::{Moment, eligible};
use crate::domain::event::{Fen, MemberId, Points, UtcMs};
use crate::domain::points::{Lot, POINTS_MAX};
use crate::domain::rules::Rules;

/// What is known of a sale beside its amount; kept with it, so that goods that come back are reckoned by the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SaleFacts {
    /// The member's tier by the cloud's last word.
    pub tier: String,
    /// Of when that word is; none: it does not age.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier_as_of: Option<UtcMs>,
    /// What sales before left over of a point, in parts of one (`earn.fen` of them are a point); less than nothing where
    /// goods of an earlier sale came back since.
    pub carried: i64,
    /// When it happened.
    pub at: UtcMs,
    /// Whether the clock was sure of that.
    pub trusted: bool,
    /// What the cloud had said about campaigns.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub campaigns: BTreeMap<String, CampaignNews>,
    /// When it last said something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub campaigns_as_of: Option<UtcMs>,
    /// What the campaigns of bonuses had cost here before it; those that had cost nothing are left out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub spent: BTreeMap<String, Fen>,
    /// The coupon that multiplies what it earns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coupon: Option<SaleCoupon>,
    /// The plans, tags and the birthday of the member that some condition of the rules asks for; nothing else is kept.
    #[serde(default, skip_serializing_if = "Privileges::is_empty")]
    pub privileges: Privileges,
    /// The shop of the till, or the till where it stands in none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merchant: Option<String>,
}

/// What of a member's privileges the conditions of bonuses and multiplying coupons ask for.
pub fn asked_at_tills(rules: &Rules, known: Privileges) -> Privileges {
    let table = &rules.benefits;
    let multiplies = |kind: &&CouponKind| matches!(kind.give, Give::MultiplyBps(_));
    let of_coupons = table.coupons.iter().filter(multiplies).map(|kind| &kind.when);
    let whens: Vec<&When> = table.bonuses.iter().map(|bonus| &bonus.when).chain(of_coupons).collect();
    Privileges {
        plans: known.plans.into_iter().filter(|plan| whens.iter().any(|when| when.plans.contains(&plan.id))).collect(),
        tags: known.tags.into_iter().filter(|tag| whens.iter().any(|when| when.tags.contains(tag))).collect(),
        birthday: known.birthday.filter(|_| whens.iter().any(|when| when.birthday.is_some())),
        passes: Vec::new(),
    }
}

/// A coupon that multiplies what one sale earns, as its kind said when it was used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SaleCoupon {
    /// The coupon's own number.
    pub id: String,
    /// Its kind; what it adds goes by this name.
    pub kind: String,
    /// So many times, in basis points; 20000 is twice.
    pub multiply_bps: u32,
    /// Only while at least so much is paid with money.
    #[serde(default)]
    pub min_spend_fen: Fen,
    /// Who pays for what it adds; empty: whoever issued the points.
    #[serde(default)]
    pub funder: String,
    /// The campaign whose budget it uses up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub campaign: Option<String>,
}

/// What a till asks about before it sells: whose sale, how much money, and the coupon that it would name.
#[derive(Clone, Copy, Debug)]
pub struct Basket<'a> {
    /// The member.
    pub member: &'a MemberId,
    /// What money pays of the goods.
    pub fen: Fen,
    /// What is known beside it.
    pub sale: &'a SaleFacts,
    /// The coupon, with what it rests on and the shop.
    pub coupon: Option<(&'a HeldCoupon, &'a Known, &'a str)>,
}

/// What a basket would earn if it were sold now, or why its coupon would not be used. A commit at the same moment gives
/// the same, as long as nobody else uses up the coupon or a budget before it.
pub fn promise(rules: &Rules, basket: &Basket<'_>) -> Result<SaleEarns, NotUsed> {
    let Basket { member, fen, sale, coupon } = *basket;
    let coupon = match coupon {
        None => None,
        Some((held, known, merchant)) => Some(sale_coupon(rules, held, known, merchant, (Some(member), fen), sale)?.0),
    };
    Ok(sale_earns(rules, member, fen, &SaleFacts { coupon, ..sale.clone() }))
}

/// What a sale earns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SaleEarns {
    /// The plain points.
    pub plain: Points,
    /// What is carried to the member's next sale.
    pub carried: i64,
    /// What bonuses add, by the bonus, in the order of the table; the last is what a coupon adds, by its kind.
    pub extra: Vec<(String, Points)>,
    /// Status points: they count for the tier and buy nothing.
    pub status: Points,
}

impl SaleEarns {
    /// Spendable points in all.
    pub fn points(&self) -> Points {
        Points(self.plain.0 + self.extra.iter().map(|(_, points)| points.0).sum::<i64>())
    }
}

/// What so much money for goods earns a member.
pub fn sale_earns(rules: &Rules, member: &MemberId, fen: Fen, sale: &SaleFacts) -> SaleEarns {
    assert!(fen.0 >= 0, "a negative sale earns nothing");
    let carried = if rules.earn.carry { sale.carried } else { 0 };
    let parts = i128::from(fen.0) * i128::from(rules.earn.points.0) + i128::from(carried);
    let unit = i128::from(rules.earn.fen.0);
    let whole = if parts < 0 { 0 } else { (parts / unit).min(i128::from(POINTS_MAX)) };
    let left = if rules.earn.carry { parts - whole * unit } else { 0 };
    let status = i128::from(fen.0) * i128::from(rules.earn.status_points.0) / unit;
    let plain = i64::try_from(whole).expect("no more than the most that points may be");
    // A multiple is of what this sale's own money makes, not of what was carried to it.
    let own = i64::try_from((i128::from(fen.0) * i128::from(rules.earn.points.0) / unit).min(i128::from(POINTS_MAX)));
    let own = own.expect("no more than the most that points may be");
    let facts = facts(rules, member, sale);
    let mut budgets = Budgets { rules, facts: &facts, given: BTreeMap::new() };
    let mut extra = extra(rules, &facts, (fen, own), sale.merchant.as_deref(), &mut budgets);
    if let Some(coupon) = &sale.coupon
        && let Some((kind, points)) = coupon.adds(fen, own, &extra)
    {
        let points = budgets.within(coupon.campaign.as_deref(), points);
        extra.extend((points.0 > 0).then_some((kind, points)));
    }
    SaleEarns {
        plain: Points(plain),
        carried: i64::try_from(left).unwrap_or(0),
        extra,
        status: Points(i64::try_from(status.min(i128::from(POINTS_MAX))).expect("no more than the most")),
    }
}

/// What of the campaigns' budgets is left while one sale is reckoned.
struct Budgets<'a> {
    rules: &'a Rules,
    facts: &'a Facts,
    given: BTreeMap<String, i64>,
}

impl Budgets<'_> {
    /// As many of the points as the campaign's budget still pays for; their cost is what they are worth when they pay.
    fn within(&mut self, campaign: Option<&str>, points: Points) -> Points {
        let campaigns = &self.rules.benefits.campaigns;
        let Some(campaign) = campaign.and_then(|id| campaigns.iter().find(|known| known.id == id)) else {
            return points;
        };
        let given = self.given.entry(campaign.id.clone()).or_default();
        let points = match budget_left(campaign, self.facts) {
            None => points,
            Some(left) => Points(points.0.min(points_for(self.rules, Fen((left - *given).max(0))).0)),
        };
        *given += points_cost(self.rules, points).0;
        points
    }
}

/// What points that a campaign gives cost it: what they are worth when they pay, to the fen, rounded up.
pub fn points_cost(rules: &Rules, points: Points) -> Fen {
    let (fen, per) = (i128::from(rules.points.fen.0), i128::from(rules.points.points.0));
    let cost = (i128::from(points.0.max(0)) * fen + per - 1) / per;
    Fen(i64::try_from(cost).unwrap_or(i64::MAX))
}

/// As many points as so much money pays for.
fn points_for(rules: &Rules, fen: Fen) -> Points {
    let points = i128::from(fen.0) * i128::from(rules.points.points.0) / i128::from(rules.points.fen.0);
    Points(i64::try_from(points).unwrap_or(POINTS_MAX))
}

/// The campaign whose budget pays for what a bonus, or the coupon, adds to a sale.
pub fn campaign_of<'a>(rules: &'a Rules, bonus: &str, sale: &'a SaleFacts) -> Option<&'a str> {
    let of_bonus = rules.benefits.bonuses.iter().find(|known| known.id == bonus).map(|known| known.campaign.as_deref());
    let of_coupon = || sale.coupon.as_ref().filter(|coupon| coupon.kind == bonus)?.campaign.as_deref();
    of_bonus.unwrap_or_else(of_coupon)
}

fn extra(
    rules: &Rules,
    facts: &Facts,
    (fen, own): (Fen, i64),
    merchant: Option<&str>,
    budgets: &mut Budgets<'_>,
) -> Vec<(String, Points)> {
    let is_here = |bonus: &Bonus| {
        bonus.merchants.is_empty() || merchant.is_some_and(|here| bonus.merchants.iter().any(|shop| shop == here))
    };
    let runs = |bonus: &&Bonus| is_here(bonus) && eligible::bonus_runs(&rules.benefits, facts, bonus, fen);
    let running: Vec<&Bonus> = rules.benefits.bonuses.iter().filter(runs).collect();
    let best = running.iter().map(|bonus| bonus.multiply_bps).max().unwrap_or(10_000);
    let mut multiplied = false;
    let mut found = Vec::new();
    for bonus in running {
        let mut points = if own > 0 { bonus.points } else { 0 };
        // Of several multiples the best counts, once.
        if bonus.multiply_bps == best && best > 10_000 && !multiplied {
            multiplied = true;
            let more = i128::from(own) * i128::from(best - 10_000) / 10_000;
            points = points.saturating_add(i64::try_from(more).unwrap_or(POINTS_MAX));
        }
        let points = budgets.within(bonus.campaign.as_deref(), Points(points.min(POINTS_MAX)));
        if points.0 > 0 {
            found.push((bonus.id.clone(), points));
        }
    }
    found
}

impl SaleCoupon {
    /// A coupon of this kind as it counts for a sale; none where the kind multiplies nothing. `issuer` is the merchant
    /// that gave it out.
    pub fn of(kind: &CouponKind, id: &str, issuer: Option<&str>) -> Option<Self> {
        let Give::MultiplyBps(multiply_bps) = kind.give else { return None };
        let funder = match kind.funder.as_deref() {
            Some("merchant") => issuer,
            funder => funder,
        };
        Some(Self {
            id: id.to_owned(),
            kind: kind.id.clone(),
            multiply_bps,
            min_spend_fen: Fen(kind.when.min_spend_fen.unwrap_or(0)),
            funder: funder.unwrap_or_default().to_owned(),
            campaign: kind.campaign.clone(),
        })
    }

    /// What it adds after the bonuses: a multiple of what the sale's own money makes together with them.
    fn adds(&self, fen: Fen, own: i64, bonuses: &[(String, Points)]) -> Option<(String, Points)> {
        let before = i128::from(own) + bonuses.iter().map(|(_, points)| i128::from(points.0)).sum::<i128>();
        let more = before * i128::from(self.multiply_bps.saturating_sub(10_000)) / 10_000;
        let more = i64::try_from(more).unwrap_or(POINTS_MAX).min(POINTS_MAX);
        (fen >= self.min_spend_fen && more > 0).then(|| (self.kind.clone(), Points(more)))
    }

    /// The terms of what it adds: it waits as plain points do.
    pub fn terms(&self, rules: &Rules, at: UtcMs) -> Lot {
        Lot { source: "promo".to_owned(), funder: self.funder.clone(), ..terms_of(rules, None, at) }
    }
}

/// What a coupon that a till names with a sale does to what it earns, and what is used up, or why it is not used. `fen`
/// is what money pays of the goods; without a member, whose it is, is not asked yet.
pub fn sale_coupon(
    rules: &Rules,
    held: &HeldCoupon,
    known: &Known,
    merchant: &str,
    (member, fen): (Option<&MemberId>, Fen),
    sale: &SaleFacts,
) -> Result<(SaleCoupon, Use), NotUsed> {
    let whoever = MemberId::from("");
    let mut facts = facts(rules, member.unwrap_or(&whoever), sale);
    facts.member = facts.member.filter(|_| member.is_some());
    (facts.spend, facts.used) = (fen, known.used.clone());
    let kind = eligible::multiplier(&rules.benefits, &facts, held, merchant)?;
    let coupon = SaleCoupon::of(kind, &held.id, held.merchant.as_deref()).expect("its kind multiplies, as was asked");
    Ok((coupon, eligible::used_at_till(kind, held, &facts, Fen(0))))
}

/// The terms of the points that a sale earns: by which bonus, or plainly.
pub fn terms_of(rules: &Rules, bonus: Option<&str>, at: UtcMs) -> Lot {
    const DAY_MS: i64 = 24 * 60 * 60 * 1000;
    let after = |days: u32| UtcMs(at.0.saturating_add(i64::from(days) * DAY_MS));
    let waits = |days: u32| (days > 0).then(|| after(days));
    let Some(bonus) = bonus.and_then(|id| rules.benefits.bonuses.iter().find(|bonus| bonus.id == id)) else {
        return Lot { valid_from_ms: waits(rules.earn.pending_days), ..Lot::default() };
    };
    Lot {
        source: "promo".to_owned(),
        funder: bonus.funder.clone().unwrap_or_default(),
        valid_from_ms: waits(bonus.pending_days),
        expires_ms: bonus.valid_days.map(after),
        ..Lot::default()
    }
}

/// The price level that a member has, by the last entitlement that gives one. Of what is known of a sale the tier counts.
pub fn price_level(rules: &Rules, member: &MemberId, known: &SaleFacts, moment: Moment) -> Option<String> {
    if !rules.benefits.entitlements.iter().any(|rule| matches!(rule.give, Give::PriceLevel(_))) {
        return None;
    }
    let (tier, tier_as_of) = (known.tier.clone(), known.tier_as_of);
    let sale = SaleFacts { tier, tier_as_of, at: moment.at, trusted: moment.trusted, ..SaleFacts::default() };
    let facts = facts(rules, member, &sale);
    let gathered = eligible::gather(&rules.benefits, &facts, Fen(0));
    gathered.rights.iter().rev().find_map(|give| match give {
        Give::PriceLevel(level) => Some(level.clone()),
        Give::Minutes(_)
        | Give::FirstMinutes(_)
        | Give::Fen(_)
        | Give::PercentBps(_)
        | Give::FixedPriceFen(_)
        | Give::Full
        | Give::Zone(_)
        | Give::GraceMinutes(_)
        | Give::Greeting { .. }
        | Give::Service(_)
        | Give::MultiplyBps(_) => None,
    })
}

fn facts(rules: &Rules, member: &MemberId, sale: &SaleFacts) -> Facts {
    Facts {
        at: sale.at,
        civil: civil(rules, sale.at),
        clock_trusted: sale.trusted,
        places: BTreeSet::new(),
        stay_seconds: 0,
        plate: None,
        member: Some(MemberFacts {
            id: member.clone(),
            // Who is known at a till has shown a code or a plate there.
            consent: true,
            tier: sale.tier.clone(),
            tier_age_ms: sale.tier_as_of.map(|as_of| sale.at.0.saturating_sub(as_of.0).max(0)),
            plans: sale.privileges.running_until(|until| civil(rules, until)),
            tags: sale.privileges.tags.iter().cloned().collect(),
            birthday: sale.privileges.birthday.map(|birthday| (birthday.month, birthday.day)),
            has_earlier_vehicle: false,
        }),
        blocked: None,
        coupons: Vec::new(),
        passes: Vec::new(),
        validations: Vec::new(),
        spend: Fen(0),
        operator: None,
        approved: BTreeSet::new(),
        campaigns: sale.campaigns.clone(),
        cloud_age_ms: sale.campaigns_as_of.map(|as_of| sale.at.0.saturating_sub(as_of.0).max(0)),
        used: spent_so_far(sale),
        paid: Fen(0),
        paid_by_points: Fen(0),
        paid_at: None,
        lots: Vec::new(),
        points_wish: None,
    }
}

/// What the campaigns had cost, as the counts of one day: their budgets know no window.
fn spent_so_far(sale: &SaleFacts) -> Counters {
    let count = |(who, fen): (&String, &Fen)| {
        let (on, day) = (Dimension::Campaign, jiff::civil::Date::MIN);
        let key = CountKey { on, who: who.clone(), day, class: String::new(), benefit: String::new() };
        (key, Count { uses: 0, minutes: 0, fen: fen.0 })
    };
    Counters(sale.spent.iter().map(count).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Small sales that earn nothing alone earn what their sum earns, whatever came back in between.
        #[test]
        fn nothing_is_lost_between_sales(sales in proptest::collection::vec(0_i64..1_000, 1..20)) {
            let rules = carrying();
            let (mut carried, mut points) = (0, 0);
            for fen in &sales {
                let facts = SaleFacts { carried, ..SaleFacts::default() };
                let earns = sale_earns(&rules, &"M".into(), Fen(*fen), &facts);
                carried = earns.carried;
                points += earns.points().0;
            }
            prop_assert_eq!(points, sales.iter().sum::<i64>() / 1_000);
            prop_assert!((0..1_000).contains(&carried));
        }
    }

    #[test]
    fn what_was_taken_too_much_before_is_made_up_first() {
        let rules = carrying();
        let facts = SaleFacts { carried: -700, ..SaleFacts::default() };
        let earns = sale_earns(&rules, &"M".into(), Fen(1_600), &facts);
        assert_eq!((earns.plain.0, earns.carried), (0, 900));
        let earns = sale_earns(&rules, &"M".into(), Fen(500), &facts);
        assert_eq!((earns.plain.0, earns.carried), (0, -200), "never less than nothing");
    }

    #[test]
    fn a_coupon_multiplies_what_the_sale_s_own_money_and_its_bonuses_make() {
        let bonus = "\n[[benefits.bonus]]\nid = \"b\"\npoints = 50\nwhen = { min_spend_fen = 30000 }\n\
                     [[benefits.bonus]]\nid = \"d\"\nmultiply_bps = 20000\n";
        let rules = Rules::parse(&(carrying_text() + bonus)).expect("rules");
        let coupon = |multiply_bps| SaleCoupon { kind: "c".to_owned(), multiply_bps, ..SaleCoupon::default() };
        // Fen, carried, times in basis points, from how much on, and what the coupon adds.
        for (fen, carried, bps, least, adds) in [
            (31_900, 0, 30_000, 0, Some((31 + 31 + 50) * 2)),
            (31_900, 900, 30_000, 0, Some((31 + 31 + 50) * 2)),
            (29_999, 0, 20_000, 0, Some(29 + 29)),
            (5_000, 0, 15_000, 5_000, Some(5)),
            (4_999, 0, 15_000, 5_000, None),
            (3_000, 0, 11_000, 0, None),
            (999, 900, 20_000, 0, None),
            (0, 0, 1_000_000, 0, None),
        ] {
            let coupon = SaleCoupon { min_spend_fen: Fen(least), ..coupon(bps) };
            let facts = SaleFacts { carried, coupon: Some(coupon), ..SaleFacts::default() };
            let earns = sale_earns(&rules, &"M".into(), Fen(fen), &facts);
            let plain = sale_earns(&rules, &"M".into(), Fen(fen), &SaleFacts { coupon: None, ..facts });
            let added = earns.extra.iter().find(|(kind, _)| kind == "c").map(|(_, points)| points.0);
            assert_eq!(added, adds, "{fen} fen {bps} bps");
            assert_eq!(earns.points().0, plain.points().0 + adds.unwrap_or(0));
            assert_eq!((earns.plain, earns.carried, earns.status), (plain.plain, plain.carried, plain.status));
        }
    }

    fn carrying() -> Rules {
        Rules::parse(&carrying_text()).expect("rules")
    }

    fn carrying_text() -> String {
        let text = include_str!("../../../systemd/rules.toml");
        let earn = "[earn]                    # 1 point for every whole yuan spent\nfen = 100";
        assert!(text.contains(earn));
        text.replace(earn, "[earn]\ncarry = true\nfen = 1000")
    }
}
