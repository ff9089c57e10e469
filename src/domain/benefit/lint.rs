//! Doubtful things in a table of benefits: allowed, but hardly meant.

use std::collections::BTreeSet;

use super::table::{Entitlement, Give, Table, When, Window};

/// Something doubtful.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// A word for it.
    pub code: &'static str,
    /// What it is about.
    pub rule: String,
    /// A sentence.
    pub text: String,
}

/// Where points come from: those of boxes, those that the ledger gives unless it is told otherwise, and the words that a
/// member programme has for the rest.
const SOURCES: [&str; 8] = ["earned", "promo", "goodwill", "backfill", "credit", "purchase", "referral", "community"];

/// Everything doubtful, in the order of the names.
pub fn lint(table: &Table) -> Vec<Finding> {
    let mut found = Vec::new();
    unfunded(table, &mut found);
    overlaps(table, &mut found);
    unreachable(table, &mut found);
    for bonus in &table.bonuses {
        if bonus.valid_days.is_some_and(|days| days <= bonus.pending_days) {
            let text = format!(
                "its points wait for {} days and live for {}, so that nobody can spend them",
                bonus.pending_days,
                bonus.valid_days.unwrap_or(0)
            );
            found.push(Finding { code: "pending_outlasts_validity", rule: bonus.id.clone(), text });
        }
    }
    for campaign in &table.campaigns {
        if campaign.budget_fen.is_some() && campaign.local_share_bps == 0 {
            let text = "it has a budget and no local_share_bps, so that it stops whenever the cloud is away".to_owned();
            found.push(Finding { code: "stops_offline", rule: campaign.id.clone(), text });
        }
        if !names_campaign(table, &campaign.id) {
            let text = "no benefit belongs to it".to_owned();
            found.push(Finding { code: "unreachable", rule: campaign.id.clone(), text });
        }
    }
    found.sort();
    found
}

/// Benefits that cost something and name nobody who pays.
fn unfunded(table: &Table, found: &mut Vec<Finding>) {
    let costs = |give: &Give| match give {
        Give::Minutes(_)
        | Give::FirstMinutes(_)
        | Give::Fen(_)
        | Give::PercentBps(_)
        | Give::FixedPriceFen(_)
        | Give::Full
        | Give::Service(_)
        | Give::MultiplyBps(_) => true,
        Give::Zone(_) | Give::GraceMinutes(_) | Give::Greeting { .. } | Give::PriceLevel(_) => false,
    };
    let entitlements = table.entitlements.iter().map(|rule| (&rule.id, &rule.funder, costs(&rule.give)));
    let coupons = table.coupons.iter().map(|rule| (&rule.id, &rule.funder, costs(&rule.give)));
    let passes = table.passes.iter().map(|rule| (&rule.id, &rule.funder, costs(&rule.give)));
    let bonuses = table.bonuses.iter().map(|rule| (&rule.id, &rule.funder, true));
    for (id, funder, costs) in entitlements.chain(coupons).chain(passes).chain(bonuses) {
        if costs && funder.is_none() {
            let text = "it names no funder, so that the car park itself pays for it".to_owned();
            found.push(Finding { code: "unfunded", rule: id.clone(), text });
        }
    }
}

/// Two entitlements to time that one member has at once, and that may be combined: often one was meant to replace the
/// other.
fn overlaps(table: &Table, found: &mut Vec<Finding>) {
    let gives_time = |rule: &&Entitlement| matches!(rule.give, Give::Minutes(_) | Give::FirstMinutes(_));
    let timed: Vec<&Entitlement> = table.entitlements.iter().filter(gives_time).collect();
    for (n, one) in timed.iter().enumerate() {
        for other in &timed[n + 1..] {
            let is_denied = table.denies(&one.class, &other.class);
            if !is_denied && may_meet(&one.when, &other.when) {
                let text = format!("one member can have it and \"{}\" on the same stay, and both count", other.id);
                found.push(Finding { code: "overlap", rule: one.id.clone(), text });
            }
        }
    }
}

fn may_meet(one: &When, other: &When) -> bool {
    let share = |a: &[String], b: &[String]| a.is_empty() || b.is_empty() || a.iter().any(|x| b.contains(x));
    let days = one.weekdays.is_empty()
        || other.weekdays.is_empty()
        || one.weekdays.iter().any(|day| other.weekdays.contains(day));
    let starts_late = |a: &When, b: &When| matches!((a.from, b.until), (Some(from), Some(until)) if from >= until);
    days && share(&one.tiers, &other.tiers)
        && share(&one.places, &other.places)
        && !starts_late(one, other)
        && !starts_late(other, one)
}

/// Rules that no stay can ever reach.
fn unreachable(table: &Table, found: &mut Vec<Finding>) {
    let mut tell = |rule: &str, text: &str| {
        found.push(Finding { code: "unreachable", rule: rule.to_owned(), text: text.to_owned() });
    };
    for limit in &table.limits {
        if [limit.max_uses, limit.max_fen, limit.max_minutes].contains(&Some(0)) {
            tell(&limit.id, "it allows nothing, so that what it counts is never given");
        }
        if let Some(source) = limit.lot_sources.iter().find(|source| !SOURCES.contains(&source.as_str())) {
            tell(&limit.id, &format!("no points have the source {source:?}; known are {}", SOURCES.join(", ")));
        }
        if limit.window == Window::Visit && !limit.lot_sources.is_empty() {
            tell(&limit.id, "points of one visit are one payment; a limit on lots needs a day or longer");
        }
    }
    for coupon in table.coupons.iter().filter(|coupon| matches!(coupon.give, Give::MultiplyBps(_))) {
        if coupon.merchants.is_empty() {
            tell(&coupon.id, "it multiplies what a sale earns and names no merchants, so that it is for parking only");
        }
        if coupon.when.min_fee_fen.is_some() || !coupon.when.places.is_empty() {
            tell(
                &coupon.id,
                "it multiplies what a sale earns, and its conditions are a stay's: a sale has no parking fee and no zone",
            );
        }
        if coupon.automatic {
            tell(&coupon.id, "it multiplies what a sale earns, and `automatic` is for stays: a till names the coupon");
        }
    }
    for bonus in &table.bonuses {
        if bonus.when.min_fee_fen.is_some() || !bonus.when.places.is_empty() {
            tell(&bonus.id, "it is for sales, and its conditions are a stay's: a sale has no parking fee and no zone");
        }
    }
    for pass in &table.passes {
        if pass.uses == Some(0) || pass.uses_per_merchant == Some(0) || pass.merchants.is_empty() {
            tell(&pass.id, "it can be used nowhere");
        }
    }
    let classes: BTreeSet<&str> = (table.entitlements.iter().map(|rule| rule.class.as_str()))
        .chain(table.coupons.iter().map(|rule| rule.class.as_str()))
        .chain(table.passes.iter().map(|rule| rule.class.as_str()))
        .chain(table.validations.iter().map(|rule| rule.class.as_str()))
        .chain([super::points::CLASS])
        .collect();
    for (one, other) in &table.stacking.deny {
        for class in [one, other] {
            if !classes.contains(class.as_str()) {
                tell(class, "the stacking rules name this class, and no benefit has it");
            }
        }
    }
}

fn names_campaign(table: &Table, id: &str) -> bool {
    let names = |campaign: &Option<String>| campaign.as_deref() == Some(id);
    table.entitlements.iter().any(|rule| names(&rule.campaign))
        || table.coupons.iter().any(|rule| names(&rule.campaign))
        || table.passes.iter().any(|rule| names(&rule.campaign))
        || table.validations.iter().any(|rule| names(&rule.campaign))
        || table.bonuses.iter().any(|rule| names(&rule.campaign))
}
