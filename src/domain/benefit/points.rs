//! How many points may pay for what is left of a fee, and from which lots.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::facts::{Facts, Lot, Source, Use};
use super::reason::{NotUsed, Reason};
use super::table::{Beyond, Dimension, Limit, Table, Weekday, Window};
use crate::domain::event::{Fen, Points, UtcMs};
use crate::domain::points::Part;

/// The class of points in the stacking rules and the limits.
pub(super) const CLASS: &str = "points";
/// What a lot must allow to pay for parking.
const PARKING: &str = "parking";

/// What points are worth for parking, and how far they may go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rate {
    /// So many points …
    pub points: i64,
    /// … are worth so many fen.
    pub fen: i64,
    /// Points are spent in multiples of this.
    pub granularity: i64,
    /// The most that points may pay of what is left, in basis points.
    pub cap_bps: u32,
    /// The most that points may pay for one member in one civil day, in fen.
    pub cap_fen_day: Option<i64>,
    /// What must be paid with money at least where anything is, in fen.
    pub min_cash: Fen,
    /// Whether the last multiple may be worth more than what is left, so that points can pay all of it.
    pub rounds_up: bool,
}

/// What points would pay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// How many.
    pub points: Points,
    /// What they pay.
    pub fen: Fen,
    /// From which lots, in the order in which they are spent.
    pub lots: Vec<LotPart>,
}

/// A part of an offer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LotPart {
    /// The lot.
    pub lot: String,
    /// How many points of it.
    pub points: Points,
    /// What they pay.
    pub fen: Fen,
    /// Where the lot came from.
    pub source: String,
    /// Who pays for it.
    pub funder: String,
    /// What the payer settles of its value, in basis points.
    pub settle_bps: u32,
    /// When the lot expires.
    pub until: Option<UtcMs>,
}

/// Why points do not pay an amount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Short {
    /// No whole number of multiples is worth just that; the next one below is worth so much.
    NotWhole(Fen),
    /// So many points are needed, and so many may pay.
    Points {
        /// That are needed.
        needed: Points,
        /// That may pay here and now.
        has: Points,
        /// Why others may not.
        told: Vec<NotUsed>,
    },
}

/// The offer for `left` fen, and why lots are not in it.
pub(super) fn offer(table: &Table, rate: &Rate, facts: &Facts, left: Fen) -> (Option<Offer>, Vec<NotUsed>) {
    most(table, rate, facts, cap(rate, facts, left), left)
}

/// The most that points pay of `left` fen where they may pay `cap` of it, and why lots are not in it.
pub(super) fn most(table: &Table, rate: &Rate, facts: &Facts, cap: i64, left: Fen) -> (Option<Offer>, Vec<NotUsed>) {
    let (lots, mut told) = usable(table, rate, facts);
    let wish = facts.points_wish.map_or(i64::MAX, |wish| wish.0);
    let points = points_within(rate, cap, left).min(held(&lots)).min(wish).max(0);
    let points = points / rate.granularity * rate.granularity;
    if points == 0 {
        return (None, told);
    }
    told.sort();
    (Some(draw(lots, Points(points), Fen(fen_of(rate, points).min(cap)))), told)
}

/// The points that pay just `fen`, whatever the caps.
pub(super) fn exactly(table: &Table, rate: &Rate, facts: &Facts, fen: Fen) -> Result<Offer, Short> {
    let needed = points_within(&Rate { rounds_up: true, ..rate.clone() }, fen.0, fen);
    if !rate.rounds_up && fen_of(rate, needed) != fen.0 {
        return Err(Short::NotWhole(Fen(fen_of(rate, points_within(rate, fen.0, fen)))));
    }
    let (lots, told) = usable(table, rate, facts);
    let has = held(&lots);
    if has < needed {
        return Err(Short::Points { needed: Points(needed), has: Points(has), told });
    }
    Ok(draw(lots, Points(needed), fen))
}

/// How many points more would pay up to `cap` of `left` fen, where only their number is in the way.
pub(super) fn lacking(table: &Table, rate: &Rate, facts: &Facts, cap: i64, left: Fen) -> Points {
    let (lots, _) = usable(table, rate, facts);
    let all = lots.iter().map(|(lot, _)| lot.points.0).fold(0, i64::saturating_add);
    Points((points_within(rate, cap, left) - all).max(0))
}

fn held(lots: &[(&Lot, i64)]) -> i64 {
    lots.iter().map(|(lot, most)| lot.points.0.min(*most)).fold(0, i64::saturating_add)
}

/// Takes `points`, which the lots hold, for `value`: each lot pays by its share of the points, as its funder is asked
/// for it.
fn draw(lots: Vec<(&Lot, i64)>, points: Points, value: Fen) -> Offer {
    let mut parts = Vec::new();
    let (points, value) = (points.0, value.0);
    let (mut taken, mut paid) = (0, 0);
    for (lot, most) in lots {
        let part = lot.points.0.min(most).min(points - taken);
        if part <= 0 {
            continue;
        }
        taken += part;
        // What rounding has left falls to the later parts, so that they sum to the whole.
        let upto = i128::from(value) * i128::from(taken) / i128::from(points);
        let upto = i64::try_from(upto).expect("a part of an amount is not more than the amount");
        parts.push(LotPart {
            lot: lot.id.clone(),
            points: Points(part),
            fen: Fen(upto - paid),
            source: lot.source.clone(),
            funder: lot.funder.clone(),
            settle_bps: lot.settle_bps,
            until: lot.until,
        });
        paid = upto;
    }
    assert_eq!(taken, points, "no more is offered than the lots hold");
    Offer { points: Points(points), fen: Fen(value), lots: parts }
}

/// What points may pay of `left`, in fen. Where a part is paid already, the share is one of the whole, so that it is the
/// same whichever tender comes first.
pub(super) fn cap(rate: &Rate, facts: &Facts, left: Fen) -> i64 {
    let whole = i128::from(left.0) + i128::from(facts.paid.0);
    let part = whole * i128::from(rate.cap_bps.min(10_000)) / 10_000;
    let part = i64::try_from(part).unwrap_or(i64::MAX) - facts.paid_by_points.0;
    let money = (rate.min_cash.0 - (facts.paid.0 - facts.paid_by_points.0)).max(0);
    let today = facts.civil.date();
    let (on, who) = match (&facts.member, &facts.plate) {
        (Some(member), _) => (Dimension::Member, member.id.as_str()),
        (None, Some(plate)) => (Dimension::Plate, plate.as_str()),
        (None, None) => (Dimension::Member, ""),
    };
    let today_fen = facts.used.sum(on, who, Window::Day, today, |class, _| class == CLASS).fen;
    let day = rate.cap_fen_day.map_or(i64::MAX, |cap| cap - today_fen);
    part.min(day).min(left.0 - money).max(0)
}

/// The points that pay at most `cap` fen, or a little more where they may pay all that is left.
fn points_within(rate: &Rate, cap: i64, left: Fen) -> i64 {
    let (points, fen) = (i128::from(rate.points), i128::from(rate.fen));
    let whole = i128::from(rate.granularity);
    let exact = if rate.rounds_up && cap == left.0 {
        let needed = (i128::from(cap) * points + fen - 1) / fen;
        (needed + whole - 1) / whole * whole
    } else {
        i128::from(cap) * points / fen / whole * whole
    };
    i64::try_from(exact).unwrap_or(i64::MAX)
}

pub(super) fn fen_of(rate: &Rate, points: i64) -> i64 {
    let fen = i128::from(points) * i128::from(rate.fen) / i128::from(rate.points);
    i64::try_from(fen).unwrap_or(i64::MAX)
}

/// The lots that may pay, in the order in which they are spent, each with the most of its points that limits allow.
fn usable<'a>(table: &Table, rate: &Rate, facts: &'a Facts) -> (Vec<(&'a Lot, i64)>, Vec<NotUsed>) {
    let mut told = Vec::new();
    let mut good = Vec::new();
    let refused = refuse_all(facts);
    for lot in &facts.lots {
        match refused.clone().map_or_else(|| may_pay(table, facts, lot), Err) {
            Ok(()) => good.push(lot),
            Err(reason) => told.push(reason.about(CLASS, Some(&lot.id))),
        }
    }
    // Expiring first, then restricted first, then oldest.
    good.sort_by_key(|lot| {
        let is_free = lot.places.is_empty() && lot.weekdays.is_empty();
        (lot.until.map_or(i64::MAX, |until| until.0), is_free, lot.earned, &lot.id)
    });
    let mut rooms = rooms(table, rate, facts);
    let mut lots = Vec::new();
    for lot in good {
        let mut most = i64::MAX;
        for (limit, left) in rooms.iter_mut().filter(|(limit, _)| limits_lot(limit, &lot.source)) {
            most = most.min(*left);
            if most == 0 {
                told.push(Reason::limit_reached(limit).about(CLASS, Some(&lot.id)));
            }
        }
        for (_, left) in rooms.iter_mut().filter(|(limit, _)| limits_lot(limit, &lot.source)) {
            *left -= most.min(lot.points.0);
        }
        lots.push((lot, most));
    }
    (lots, told)
}

fn refuse_all(facts: &Facts) -> Option<Reason> {
    if let Some(why) = &facts.blocked {
        return Some(Reason::blocked(why));
    }
    facts.member.as_ref().filter(|member| !member.consent).map(|_| Reason::no_consent())
}

fn may_pay(table: &Table, facts: &Facts, lot: &Lot) -> Result<(), Reason> {
    if table.lots.exclude_sources.contains(&lot.source) {
        return Err(Reason::points_excluded(&lot.source));
    }
    let is_timed = lot.from.is_some() || lot.until.is_some() || !lot.weekdays.is_empty();
    if is_timed && !facts.clock_trusted {
        return Err(Reason::clock_doubtful());
    }
    let is_time = lot.from.is_none_or(|from| facts.at >= from) && lot.until.is_none_or(|until| facts.at < until);
    let is_day = lot.weekdays.is_empty() || lot.weekdays.contains(&Weekday::of(facts.civil.date()));
    if !is_time || !is_day {
        return Err(Reason::points_not_now());
    }
    let is_here = |place: &String| place == PARKING || facts.places.contains(place);
    if lot.places.is_empty() || lot.places.iter().any(is_here) { Ok(()) } else { Err(Reason::points_not_here()) }
}

/// What each limit on points has left, in points.
fn rooms<'a>(table: &'a Table, rate: &Rate, facts: &Facts) -> Vec<(&'a Limit, i64)> {
    let on_points = |limit: &&Limit| !limit.lot_sources.is_empty() || limit.classes.iter().any(|class| class == CLASS);
    let limits = table.limits.iter().filter(on_points).filter(|limit| match limit.beyond {
        Beyond::Deny => true,
        Beyond::Flag => false,
        Beyond::SecondApproval => !facts.approved.contains(&limit.id),
    });
    limits.filter_map(|limit| Some((limit, room(limit, rate, facts)?))).collect()
}

/// `None` where the limit counts for nobody here.
fn room(limit: &Limit, rate: &Rate, facts: &Facts) -> Option<i64> {
    let who = match limit.on {
        Dimension::Plate => facts.plate.as_deref(),
        Dimension::Member => facts.member.as_ref().map(|member| member.id.as_str()),
        Dimension::Operator => facts.operator.as_deref(),
        Dimension::Merchant | Dimension::Pass | Dimension::Campaign => None,
    }?;
    let is_counted = |class: &str, source: &str| class == CLASS && limits_lot(limit, source);
    let used = facts.used.sum(limit.on, who, limit.window, facts.civil.date(), is_counted);
    if limit.max_uses.is_some_and(|max| used.uses >= max) {
        return Some(0);
    }
    let left = limit.max_fen.map(|max| i128::from((max - used.fen).max(0)) * i128::from(rate.points));
    Some(left.map_or(i64::MAX, |left| i64::try_from(left / i128::from(rate.fen)).unwrap_or(i64::MAX)))
}

fn limits_lot(limit: &Limit, source: &str) -> bool {
    limit.lot_sources.is_empty() || limit.lot_sources.iter().any(|name| name == source)
}

impl Offer {
    /// The points as they are taken from a purse, whose grants are the lots.
    pub fn parts(&self) -> Vec<Part> {
        self.lots.iter().map(|lot| Part { grant: lot.lot.as_str().into(), points: lot.points }).collect()
    }

    /// What is to be counted when the points are spent: one use for each source.
    pub(super) fn uses(&self, facts: &Facts) -> Vec<Use> {
        let mut by_source: BTreeMap<&str, i64> = BTreeMap::new();
        for lot in &self.lots {
            *by_source.entry(&lot.source).or_default() += lot.fen.0;
        }
        let used = |(source, fen): (&str, i64)| Use {
            source: Source::Points,
            benefit: source.to_owned(),
            instance: None,
            class: CLASS.to_owned(),
            campaign: None,
            member: facts.member.as_ref().map(|member| member.id.clone()),
            plate: facts.plate.clone(),
            merchant: None,
            operator: facts.operator.clone(),
            day: facts.civil.date(),
            minutes: 0,
            fen: Fen(fen),
        };
        by_source.into_iter().map(used).collect()
    }
}
