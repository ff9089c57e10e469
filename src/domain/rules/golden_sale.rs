//! Golden cases of sales: what they earn by the author's own reckoning, so that no box earns it otherwise.

use serde::Deserialize;
use toml::Spanned;

use super::{BadRules, Rules};
use crate::domain::benefit::{MonthDay, PaidPlan, Privileges, SaleCoupon, SaleFacts, sale_earns};
use crate::domain::event::{Fen, MemberId, UtcMs};
use crate::domain::tariff::calendar::moment;
use crate::domain::tariff::terms::Price;

/// A sale and what it earns.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GoldenSale {
    /// For people.
    #[serde(default)]
    name: String,
    sale_fen: Price,
    /// When, by the mall's clock; a Monday at noon where it does not matter.
    #[serde(default = "monday_at_noon")]
    at: String,
    #[serde(default)]
    tier: String,
    /// The shop.
    #[serde(default)]
    merchant: Option<String>,
    /// Tags of the member.
    #[serde(default)]
    tags: Vec<String>,
    /// Month and day of the member's birthday, such as `03-02`.
    #[serde(default)]
    birthday: Option<MonthDay>,
    /// Paid plans that run then.
    #[serde(default)]
    plans: Vec<String>,
    /// What is carried to it, in parts of a point.
    #[serde(default)]
    carried: i64,
    /// The kind of the coupon that is named with it.
    #[serde(default)]
    coupon: Option<String>,
    /// Spendable points in all.
    points: i64,
    /// What bonuses and the coupon add of them, by the bonus or the kind.
    #[serde(default)]
    bonuses: std::collections::BTreeMap<String, i64>,
    /// Status points.
    #[serde(default)]
    status_points: i64,
    /// What is carried on.
    #[serde(default)]
    carries: i64,
}

fn monday_at_noon() -> String {
    "2026-03-02T12:00:00".to_owned()
}

/// Computes every case; the first that comes out differently refuses the bundle.
pub(super) fn prove(rules: &Rules, cases: &[Spanned<GoldenSale>], text: &str) -> Result<(), BadRules> {
    for (n, case) in cases.iter().enumerate() {
        let golden = case.get_ref();
        let name = if golden.name.is_empty() {
            format!("golden sale {}", n + 1)
        } else {
            format!("golden sale {:?}", golden.name)
        };
        let wrong = |what: String, allowed: &str| BadRules::at(text, case.span(), format!("{name}: {what}"), allowed);
        let at = moment(&golden.at, &rules.tariffs.calendar.zone);
        let at = at.ok_or_else(|| wrong(format!("{:?} is no moment", golden.at), "such as 2026-03-02T12:00:00"))?;
        let (tier, carried) = (golden.tier.clone(), golden.carried);
        let at = UtcMs(at * 1000);
        let plans =
            golden.plans.iter().map(|id| PaidPlan { id: id.clone(), until_ms: UtcMs(i64::from(u32::MAX) * 1000) });
        let (plans, tags, birthday) = (plans.collect(), golden.tags.clone(), golden.birthday);
        let (privileges, merchant) =
            (Privileges { plans, tags, birthday, ..Privileges::default() }, golden.merchant.clone());
        let mut sale = SaleFacts { tier, carried, at, trusted: true, privileges, merchant, ..SaleFacts::default() };
        if let Some(name) = &golden.coupon {
            let kind = rules.benefits.coupons.iter().find(|kind| kind.id == *name);
            sale.coupon = kind.and_then(|kind| SaleCoupon::of(kind, name, None));
            if sale.coupon.is_none() {
                let what = format!("the coupon {name:?} multiplies no points");
                return Err(wrong(what, "a kind of benefits.coupon that gives multiply_bps"));
            }
        }
        let earns = sale_earns(rules, &MemberId::from("golden"), Fen(golden.sale_fen.0), &sale);
        let found = (
            earns.points().0,
            earns.extra.iter().map(|(bonus, points)| (bonus.clone(), points.0)).collect(),
            earns.status.0,
            earns.carried,
        );
        let expected = (golden.points, golden.bonuses.clone(), golden.status_points, golden.carries);
        if found != expected {
            let what =
                format!("must earn {expected:?}, but this box computes {found:?} (points, bonuses, status, carried)");
            return Err(wrong(what, "a bundle that this box computes as its author did"));
        }
    }
    Ok(())
}
