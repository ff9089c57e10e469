//! Who pays whom for one stay: every fen of the fee before benefits has a payer.

use serde::{Deserialize, Serialize};

use super::eligible::{Candidate, UNFUNDED};
use super::facts::{Source, Use};
use super::plan::Plan;
use super::points::Offer;
use super::table::{Split, Table};
use super::{ACCEPTOR, DRIVER};
use crate::domain::event::Fen;

/// An amount that one party owes another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Leg {
    /// Who pays.
    pub payer: String,
    /// Who is paid.
    pub acceptor: String,
    /// The rule, the lot, or the tender that it comes from.
    pub of: String,
    /// The coupon's, pass's or validation's own number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// Its face value.
    pub fen: Fen,
    /// What is settled, where that is agreed to be less than the face value.
    pub settle_fen: Fen,
}

/// The legs of a stay. `graced` is what the car park lets go within the grace after a payment, `total` the fee.
pub(super) fn legs(
    table: &Table,
    candidates: &[Candidate<'_>],
    plan: &Plan,
    points: Option<&Offer>,
    graced: Fen,
    total: Fen,
) -> Vec<Leg> {
    let mut legs = Vec::new();
    for step in &plan.steps {
        let candidate = &candidates[step.candidate];
        for (payer, fen) in split(table, candidate.funder, step.fen) {
            legs.push(leg(payer, candidate.rule, candidate.instance, fen, 10_000));
        }
    }
    if graced.0 > 0 {
        legs.push(leg(ACCEPTOR, "grace", None, graced.0, 10_000));
    }
    let by_points = points.map_or(0, |offer| offer.fen.0);
    for lot in points.iter().flat_map(|offer| &offer.lots) {
        for (payer, fen) in split(table, &lot.funder, lot.fen.0) {
            legs.push(leg(payer, "points", Some(&lot.lot), fen, lot.settle_bps));
        }
    }
    legs.push(leg(DRIVER, "cash", None, total.0 - by_points, 10_000));
    legs.retain(|leg| leg.fen.0 != 0);
    legs
}

/// Who pays for one use of a benefit, and how much of it, under the rules by which it was used.
pub fn payers(table: &Table, used: &Use) -> Vec<(String, Fen)> {
    let merchant = || used.merchant.as_deref().unwrap_or(UNFUNDED);
    let funder = match used.source {
        Source::Entitlement => table.entitlements.iter().find(|rule| rule.id == used.benefit).map(|r| &r.funder),
        Source::Validation => table.validations.iter().find(|kind| kind.id == used.benefit).map(|kind| &kind.funder),
        Source::Pass => table.passes.iter().find(|kind| kind.id == used.benefit).map(|kind| &kind.funder),
        Source::Coupon => table.coupons.iter().find(|kind| kind.id == used.benefit).map(|kind| &kind.funder),
        Source::Points => return Vec::new(),
    };
    let funder = funder.and_then(Option::as_deref);
    let funder = match used.source {
        Source::Validation => funder.unwrap_or_else(merchant),
        Source::Coupon if funder == Some("merchant") => merchant(),
        Source::Coupon | Source::Entitlement | Source::Pass | Source::Points => funder.unwrap_or(UNFUNDED),
    };
    shares_of(table, funder, used.fen)
}

/// Who pays an amount for which a funder of the bundle stands, or that party alone; whole fen that add up to it.
pub fn shares_of(table: &Table, funder: &str, fen: Fen) -> Vec<(String, Fen)> {
    let shares = split(table, funder, fen.0).into_iter().filter(|(_, fen)| *fen != 0);
    shares.map(|(payer, fen)| (payer.to_owned(), Fen(fen))).collect()
}

/// The shares of an amount, each rounded down, and the rest to the holder of the remainder.
fn split<'a>(table: &'a Table, funder: &'a str, fen: i64) -> Vec<(&'a str, i64)> {
    table.funders.get(funder).map_or_else(|| vec![(funder, fen)], |split| split.of(fen))
}

impl Split {
    /// What of an amount each pays, the same parties in the same order whatever the amount.
    pub fn of(&self, fen: i64) -> Vec<(&str, i64)> {
        let share = |bps: u32| i64::try_from(i128::from(fen) * i128::from(bps) / 10_000).unwrap_or(fen);
        let mut shares: Vec<(&str, i64)> = self.shares.iter().map(|(who, bps)| (who.as_str(), share(*bps))).collect();
        let rest = fen - shares.iter().map(|(_, fen)| fen).sum::<i64>();
        match shares.iter_mut().find(|(who, _)| *who == self.remainder) {
            Some((_, fen)) => *fen += rest,
            None => shares.push((&self.remainder, rest)),
        }
        shares
    }
}

fn leg(payer: &str, of: &str, instance: Option<&str>, fen: i64, settle_bps: u32) -> Leg {
    let settled = i64::try_from(i128::from(fen) * i128::from(settle_bps.min(10_000)) / 10_000).unwrap_or(fen);
    Leg {
        payer: payer.to_owned(),
        acceptor: ACCEPTOR.to_owned(),
        of: of.to_owned(),
        instance: instance.map(str::to_owned),
        fen: Fen(fen),
        settle_fen: Fen(settled),
    }
}
