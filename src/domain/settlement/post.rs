//! Legs: each spend of points names, lot by lot, who is to be paid, and each benefit who pays for it.

use std::collections::BTreeMap;

use super::{Leg, LegKind, Posting, Rule};
use crate::domain::benefit::{self, ACCEPTOR, UNFUNDED};
use crate::domain::decide::Facts;
use crate::domain::event::{Corrected, CouponMove, Decision, Fen, OpId, Points, Record, StayId, VoucherUse};
use crate::domain::points::Part;

/// What stands for the rule of a paper voucher, which is worth what it says.
const PAPER: &str = "voucher";

/// Adds to a decision what of it belongs to the day's accounts. No decision goes without.
pub(in crate::domain) fn post(decision: &mut Decision, facts: &Facts) {
    let posting = posting(&decision.records, facts);
    if !posting.legs.is_empty() || !posting.stays.is_empty() || !posting.strangers.is_empty() {
        decision.records.push(Record::DayPosted(posting));
    }
}

fn posting(records: &[Record], facts: &Facts) -> Posting {
    let mut posting = Posting { day: facts.day, ..Posting::default() };
    let shop = shop(records);
    let has_stay = records.iter().any(|r| matches!(r, Record::StayEntered { .. } | Record::StayClosed { .. }));
    for record in records {
        if let Record::PointsSpent { op, fen, parts, stay, .. } = record {
            let acceptor =
                if stay.is_some() { ACCEPTOR.to_owned() } else { shop.clone().unwrap_or(UNFUNDED.to_owned()) };
            let leg = |part: &Part, fen| of_part(LegKind::Spend, op, stay, Some(acceptor.clone()), part, fen);
            posting.legs.extend(parts.iter().zip(shares(*fen, parts)).map(|(part, fen)| leg(part, fen)));
        }
        if let Record::PointsReversed { op, of, fen, parts, stay, .. } = record {
            let leg =
                |part: &Part, fen| Leg { of: Some(of.clone()), ..of_part(LegKind::Undone, op, stay, None, part, fen) };
            posting.legs.extend(parts.iter().zip(shares(*fen, parts)).map(|(part, fen)| leg(part, fen)));
        }
        if let Record::CouponMoved(moved) = record {
            posting.legs.extend(of_coupon(moved));
        }
        if let Record::OfficeNoted(note) = record
            && let Some(used) = &note.used
        {
            posting.legs.extend(of_voucher(&note.op, used));
        }
        if let Record::StayCorrected(corrected) = record {
            posting.legs.extend(of_correction(corrected, facts));
        }
        if let Record::StayClosed { stay, .. } = record {
            posting.stays.push(stay.clone());
            posting.legs.extend(of_benefits(records, facts, stay));
        }
        if let Record::PassageSeen { lane, .. } = record
            && !has_stay
        {
            posting.strangers.push(lane.clone());
        }
    }
    if posting.legs.iter().any(|leg| leg.what == LegKind::Spend) {
        posting.funders.clone_from(&facts.rules.benefits.funders);
    }
    posting
}

/// Where points were accepted for goods: the till's shop, or the till where it stands in none.
fn shop(records: &[Record]) -> Option<String> {
    records.iter().find_map(|record| {
        let Record::TillBooked(line) = record else { return None };
        Some(line.merchant.clone().unwrap_or_else(|| line.terminal.0.clone()))
    })
}

fn of_part(what: LegKind, op: &OpId, stay: &Option<StayId>, acceptor: Option<String>, part: &Part, fen: Fen) -> Leg {
    Leg {
        what,
        op: Some(op.clone()),
        of: None,
        stay: stay.clone(),
        payer: None,
        acceptor,
        grant: Some(part.grant.clone()),
        points: part.points,
        fen,
        rule: None,
    }
}

/// What benefits took off the fee of a stay that ends: as this decision says, or as it was held before.
fn of_benefits(records: &[Record], facts: &Facts, stay: &StayId) -> Vec<Leg> {
    let known = [&facts.visit_stay, &facts.named_stay].into_iter().flatten().find(|known| known.stay.id == *stay);
    let Some(known) = known else { return Vec::new() };
    let now = records.iter().rev().find_map(|record| {
        let Record::BenefitsHeld { stay: of, uses } = record else { return None };
        (of == stay).then_some(uses)
    });
    let uses = now.unwrap_or(&known.benefits.held).iter();
    let of_use = |used| benefit::payers(&known.rules.benefits, used).into_iter().map(|paid| (Rule::of(used), paid));
    let leg = |(rule, (payer, fen)): (Rule, (String, Fen))| Leg {
        what: LegKind::Benefit,
        op: None,
        of: None,
        stay: Some(stay.clone()),
        payer: Some(payer),
        acceptor: Some(ACCEPTOR.to_owned()),
        grant: None,
        points: Points(0),
        fen,
        rule: Some(rule),
    };
    uses.flat_map(of_use).map(leg).collect()
}

/// What benefits take off a stay more or less than before it was put right, for each who pays them.
fn of_correction(corrected: &Corrected, facts: &Facts) -> Vec<Leg> {
    let (Some(uses), Some(before)) = (&corrected.uses, &facts.named_stay) else { return Vec::new() };
    // Two stays that are one visit go by the rules of the first.
    let first = facts.first.as_ref().filter(|first| first.stay.rules == corrected.stay.rules);
    let rules = if before.stay.rules == corrected.stay.rules { before } else { first.unwrap_or(before) };
    let mut owed: BTreeMap<(String, Rule), i64> = BTreeMap::new();
    for (stay, uses, way) in [(before, &before.benefits.held, -1), (rules, uses, 1)] {
        for used in uses {
            for (payer, fen) in benefit::payers(&stay.rules.benefits, used) {
                *owed.entry((payer, Rule::of(used))).or_default() += way * fen.0;
            }
        }
    }
    let leg = |((payer, rule), fen): ((String, Rule), i64)| Leg {
        what: if fen > 0 { LegKind::Benefit } else { LegKind::Undone },
        op: None,
        of: None,
        stay: Some(corrected.stay.id.clone()),
        payer: Some(payer),
        acceptor: Some(ACCEPTOR.to_owned()),
        grant: None,
        points: Points(0),
        fen: Fen(fen.abs()),
        rule: Some(rule),
    };
    owed.into_iter().filter(|(_, fen)| *fen != 0).map(leg).collect()
}

/// What a coupon took off goods is owed to the shop that took it, and no more once the use is taken back.
fn of_coupon(moved: &CouponMove) -> Vec<Leg> {
    let (what, of) = match moved {
        CouponMove::Used(used) => (LegKind::Benefit, &**used),
        CouponMove::Returned { of, .. } => (LegKind::Undone, &**of),
    };
    let leg = |(payer, fen): &(String, Fen)| Leg {
        what,
        op: None,
        of: None,
        stay: None,
        payer: Some(payer.clone()),
        acceptor: Some(of.merchant.clone()),
        grant: None,
        points: Points(0),
        fen: *fen,
        rule: Some(Rule::of(&of.used)),
    };
    of.payers.iter().map(leg).collect()
}

/// What a voucher that was keyed in pays at once; of one that was given to a stay the stay's own entry says it.
fn of_voucher(op: &OpId, used: &VoucherUse) -> Vec<Leg> {
    let leg = |(payer, fen): &(String, Fen)| Leg {
        what: LegKind::Benefit,
        op: Some(op.clone()),
        of: None,
        stay: used.stay.clone(),
        payer: Some(payer.clone()),
        acceptor: Some(used.acceptor.clone()),
        grant: None,
        points: Points(0),
        fen: *fen,
        rule: Some(Rule { benefit: PAPER.to_owned(), campaign: None, instance: None }),
    };
    used.payers.iter().map(leg).collect()
}

/// What each part paid of an amount, by its points; whole fen that add up to the amount, whatever the parts.
fn shares(fen: Fen, parts: &[Part]) -> Vec<Fen> {
    let all: i128 = parts.iter().map(|part| i128::from(part.points.0)).sum();
    let (mut points, mut given) = (0_i128, 0_i64);
    let share = |part: &Part| {
        points += i128::from(part.points.0);
        let so_far = if all == 0 { 0 } else { i128::from(fen.0) * points / all };
        let so_far = i64::try_from(so_far).expect("it is never more than the whole amount");
        let share = so_far - given;
        given = so_far;
        Fen(share)
    };
    parts.iter().map(share).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_shares_of_an_amount_are_the_amount(
            fen in 0_i64..=100_000_000,
            points in proptest::collection::vec(1_i64..=1_000_000_000, 1..9),
        ) {
            let parts: Vec<Part> =
                points.iter().map(|points| Part { grant: "G".into(), points: Points(*points) }).collect();
            let shares = shares(Fen(fen), &parts);
            prop_assert_eq!(shares.iter().map(|share| share.0).sum::<i64>(), fen);
            let all: i128 = points.iter().map(|points| i128::from(*points)).sum();
            for (share, points) in shares.iter().zip(points) {
                let exact = i128::from(fen) * i128::from(points) / all;
                prop_assert!((i128::from(share.0) - exact).abs() <= 1, "{} is {exact} or a fen beside", share.0);
            }
        }
    }

    /// The example of the design: seventy points of two lots pay ¥7.00.
    #[test]
    fn two_lots_pay_what_their_points_are_worth() {
        let part = |grant: &str, points| Part { grant: grant.into(), points: Points(points) };
        assert_eq!(shares(Fen(700), &[part("A", 40), part("B", 30)]), [Fen(400), Fen(300)]);
        assert_eq!(shares(Fen(1), &[part("A", 1), part("B", 1)]), [Fen(0), Fen(1)]);
    }
}
