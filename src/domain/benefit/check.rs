//! Refuses a table of benefits that contradicts itself: amounts out of range, names that nothing has, two of one name.

use std::collections::BTreeSet;

use super::table::{Give, Limit, Split, Table, When};

/// The most that any amount may be: keeps every product far inside 64 bits.
const AMOUNT_MAX: i64 = 100_000_000;
/// The most minutes of one benefit: a month of days.
const MINUTES_MAX: u32 = 31 * 24 * 60;
/// The most benefits, limits and campaigns of a bundle: a mall has dozens, and each is looked at for every vehicle.
const RULES_MAX: usize = 500;
const WHOLE_BPS: u32 = 10_000;
/// The most that points are multiplied by: a hundred times.
const MULTIPLY_BPS_MAX: i64 = 1_000_000;

/// What every benefit has: its table, its name, its conditions, what it gives, its campaign.
type Common<'a> = (&'static str, &'a str, &'a When, &'a Give, Option<&'a str>);

/// Says what is wrong, where, and what is allowed.
pub fn check(table: &Table) -> Result<(), String> {
    let rules = rules(table);
    if rules.len() + table.limits.len() + table.campaigns.len() + table.bonuses.len() > RULES_MAX {
        return Err(format!("benefits: more than {RULES_MAX} rules, limits and campaigns"));
    }
    let mut seen = BTreeSet::new();
    for (kind, id, when, give, campaign) in rules {
        let place = format!("benefits.{kind} \"{id}\"");
        if id.is_empty() || !seen.insert(id) {
            return Err(format!("{place}: names must be there and differ, because lines and limits go by them"));
        }
        check_when(&place, when, table)?;
        check_give(&place, give)?;
        if kind != "coupon" && matches!(give, Give::MultiplyBps(_)) {
            return Err(format!("{place}: multiply_bps is allowed for coupons and bonuses only"));
        }
        check_campaign(&place, campaign, table)?;
    }
    check_multipliers(table)?;
    for bonus in &table.bonuses {
        let place = format!("benefits.bonus \"{}\"", bonus.id);
        check_when(&place, &bonus.when, table)?;
        check_campaign(&place, bonus.campaign.as_deref(), table)?;
        in_range(&format!("{place}: points"), bonus.points, 0, AMOUNT_MAX)?;
        in_range(
            &format!("{place}: multiply_bps"),
            i64::from(bonus.multiply_bps),
            i64::from(WHOLE_BPS),
            MULTIPLY_BPS_MAX,
        )?;
    }
    for limit in &table.limits {
        check_limit(limit, &seen)?;
    }
    check_campaigns(table)?;
    for (name, split) in &table.funders {
        check_split(name, split)?;
    }
    for (name, cap) in [("cap_fen_visit", table.cap_fen_visit), ("cap_fen_day", table.cap_fen_day)] {
        in_range(&format!("benefits.{name}"), cap.unwrap_or(0), 0, AMOUNT_MAX)?;
    }
    let tiers: BTreeSet<&String> = table.tiers.names.iter().collect();
    if tiers.len() != table.tiers.names.len() {
        return Err("benefits.tiers.names: a tier is named twice".to_owned());
    }
    check_tier("benefits.tiers.safe", table.tiers.safe.iter(), table)
}

fn rules(table: &Table) -> Vec<Common<'_>> {
    let entitlements =
        table.entitlements.iter().map(|r| ("entitlement", &*r.id, &r.when, &r.give, r.campaign.as_deref()));
    let coupons = table.coupons.iter().map(|r| ("coupon", &*r.id, &r.when, &r.give, r.campaign.as_deref()));
    let passes = table.passes.iter().map(|r| ("pass", &*r.id, &r.when, &r.give, r.campaign.as_deref()));
    let gifts = table.validations.iter().map(|r| ("validation", &*r.id, &r.when, &r.give, r.campaign.as_deref()));
    entitlements.chain(coupons).chain(passes).chain(gifts).collect()
}

fn check_when(place: &str, when: &When, table: &Table) -> Result<(), String> {
    check_tier(place, when.tiers.iter(), table)?;
    if let (Some(from), Some(until)) = (when.from, when.until)
        && from >= until
    {
        return Err(format!("{place}: it runs from {from} until {until}, which is never; `until` must be later"));
    }
    if let Some(day) = when.days_of_month.iter().find(|day| !(1..=31).contains(*day)) {
        return Err(format!("{place}: day {day} of the month; allowed are 1 to 31"));
    }
    if let Some(variant) = when.variant.filter(|variant| variant.is >= variant.of) {
        return Err(format!("{place}: part {} of {}; allowed are 0 to one less than `of`", variant.is, variant.of));
    }
    in_range(&format!("{place}: min_fee_fen"), when.min_fee_fen.unwrap_or(0), 0, AMOUNT_MAX)?;
    in_range(&format!("{place}: min_spend_fen"), when.min_spend_fen.unwrap_or(0), 0, AMOUNT_MAX)
}

fn check_tier<'a>(place: &str, tiers: impl Iterator<Item = &'a String>, table: &Table) -> Result<(), String> {
    for tier in tiers {
        if !table.tiers.names.contains(tier) {
            return Err(format!("{place}: tier \"{tier}\" is not in benefits.tiers.names {:?}", table.tiers.names));
        }
    }
    Ok(())
}

fn check_give(place: &str, give: &Give) -> Result<(), String> {
    match give {
        Give::Minutes(minutes) | Give::FirstMinutes(minutes) | Give::GraceMinutes(minutes) => {
            in_range(&format!("{place}: minutes"), i64::from(*minutes), 1, i64::from(MINUTES_MAX))
        }
        Give::Fen(fen) => in_range(&format!("{place}: fen"), *fen, 1, AMOUNT_MAX),
        Give::PercentBps(bps) => in_range(&format!("{place}: percent_bps"), i64::from(*bps), 1, i64::from(WHOLE_BPS)),
        Give::FixedPriceFen(fen) => in_range(&format!("{place}: fixed_price_fen"), *fen, 0, AMOUNT_MAX),
        Give::MultiplyBps(bps) => {
            in_range(&format!("{place}: multiply_bps"), i64::from(*bps), i64::from(WHOLE_BPS) + 1, MULTIPLY_BPS_MAX)
        }
        Give::Full | Give::Zone(_) | Give::Greeting { .. } | Give::PriceLevel(_) | Give::Service(_) => Ok(()),
    }
}

/// A coupon that multiplies points stands among the bonuses of what a sale earned, and takes no money off.
fn check_multipliers(table: &Table) -> Result<(), String> {
    for coupon in table.coupons.iter().filter(|coupon| matches!(coupon.give, Give::MultiplyBps(_))) {
        let place = format!("benefits.coupon \"{}\"", coupon.id);
        if table.bonuses.iter().any(|bonus| bonus.id == coupon.id) {
            return Err(format!("{place}: a bonus has this name too; what each adds is told by its name"));
        }
        if coupon.offline_risk_fen != 0 {
            return Err(format!("{place}: offline_risk_fen; it takes no money off, and is good where it was claimed"));
        }
    }
    Ok(())
}

fn check_campaign(place: &str, campaign: Option<&str>, table: &Table) -> Result<(), String> {
    match campaign.filter(|id| !table.campaigns.iter().any(|campaign| campaign.id == *id)) {
        Some(id) => Err(format!("{place}: campaign \"{id}\" is not in benefits.campaign")),
        None => Ok(()),
    }
}

fn check_limit(limit: &Limit, rules: &BTreeSet<&str>) -> Result<(), String> {
    let place = format!("benefits.limit \"{}\"", limit.id);
    if limit.max_uses.is_none() && limit.max_fen.is_none() && limit.max_minutes.is_none() {
        return Err(format!("{place}: it limits nothing; write max_uses, max_fen or max_minutes"));
    }
    if let Some(name) = limit.benefits.iter().find(|name| !rules.contains(name.as_str())) {
        return Err(format!("{place}: no benefit is named \"{name}\""));
    }
    for (name, max) in [("max_uses", limit.max_uses), ("max_fen", limit.max_fen), ("max_minutes", limit.max_minutes)] {
        in_range(&format!("{place}: {name}"), max.unwrap_or(0), 0, AMOUNT_MAX)?;
    }
    Ok(())
}

fn check_campaigns(table: &Table) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for campaign in &table.campaigns {
        let place = format!("benefits.campaign \"{}\"", campaign.id);
        if !seen.insert(&campaign.id) {
            return Err(format!("{place}: it is there twice"));
        }
        in_range(&format!("{place}: budget_fen"), campaign.budget_fen.unwrap_or(0), 0, AMOUNT_MAX)?;
        let share = i64::from(campaign.local_share_bps);
        in_range(&format!("{place}: local_share_bps"), share, 0, i64::from(WHOLE_BPS))?;
    }
    Ok(())
}

fn check_split(name: &str, split: &Split) -> Result<(), String> {
    let sum: u64 = split.shares.values().map(|bps| u64::from(*bps)).sum();
    if sum != u64::from(WHOLE_BPS) {
        return Err(format!("benefits.funder.{name}: the shares sum to {sum}; they must sum to {WHOLE_BPS}"));
    }
    Ok(())
}

fn in_range(what: &str, value: i64, least: i64, most: i64) -> Result<(), String> {
    if (least..=most).contains(&value) {
        Ok(())
    } else {
        Err(format!("{what} is {value}; allowed are {least} to {most}"))
    }
}
