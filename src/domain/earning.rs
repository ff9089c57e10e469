//! What a till's sale earns its member, written as records: plain points, bonuses each in a lot of its own, and what is
//! carried to the next sale.

use super::benefit::{SaleCoupon, SaleFacts, campaign_of, points_cost, sale_earns, terms_of};
use super::decide::Facts;
use super::event::{Decision, EarnedHow, ExtraPoints, Fen, MemberId, Now, OpId, Points, Record, TakenBack, TillCommit};
use super::points::{self, Part, Pocket, Purse};
use super::sale::twin;

/// The plain earning's place among a commit's effects.
const EARNING: u32 = 4;
/// Where what earlier earnings took too much begins among them.
const REPAID: u32 = 8;
/// The most debts of points that one earning pays, so that their places stay apart from others'.
const REPAID_MAX: usize = 40;
/// Where the bonuses begin. A bundle has fewer rules than places follow.
const EXTRA: u32 = 1_000;

/// What was earned, for the line in the books.
#[derive(Default)]
pub(super) struct Written {
    /// In all.
    pub points: Points,
    /// The plain earning, where it earned a point.
    pub earning: Option<OpId>,
    /// How it came about; nothing without a member.
    pub how: Option<Box<EarnedHow>>,
}

/// Earns what `fen` for goods are worth to the member, with the coupon that multiplies it.
pub(super) fn earn(
    decision: &mut Decision,
    commit: &TillCommit,
    facts: &Facts,
    (fen, coupon): (Fen, Option<SaleCoupon>),
    purse: &mut Purse,
    now: Now,
) -> Written {
    let Some(member) = commit.member.as_ref().filter(|_| earns(commit, facts, now)) else { return Written::default() };
    let at = commit.occurred.unwrap_or(now.utc);
    let merchant = Some(commit.mark.merchant.clone().unwrap_or_else(|| commit.terminal.0.clone()));
    let sale = SaleFacts { at, trusted: now.trusted, coupon, merchant, ..facts.tills.earning.clone() };
    let earned = sale_earns(&facts.rules, member, fen, &sale);
    let mut bring = |decision: &mut Decision, op: &OpId, points: Points, bonus: Option<&str>| {
        let coupon = sale.coupon.as_ref().filter(|coupon| bonus == Some(&coupon.kind));
        let lot = coupon.map_or_else(|| terms_of(&facts.rules, bonus, at), |coupon| coupon.terms(&facts.rules, at));
        purse.add(Pocket { grant: points::born(op), remaining: points, lot: lot.clone(), since: facts.ids.seq });
        decision.records.push(Record::PointsEarned { op: op.clone(), member: member.clone(), points, lot });
    };
    let plain = facts.ids.op(EARNING);
    if earned.plain.0 > 0 {
        bring(decision, &plain, earned.plain, None);
    }
    let mut extra = Vec::new();
    for (n, (bonus, points)) in (EXTRA..).zip(&earned.extra) {
        let op = facts.ids.op(n);
        bring(decision, &op, *points, Some(bonus));
        let campaign = campaign_of(&facts.rules, bonus, &sale).map(str::to_owned);
        let cost = campaign.as_ref().map_or(Fen(0), |_| points_cost(&facts.rules, *points));
        extra.push(ExtraPoints { bonus: bonus.clone(), op, points: *points, campaign, cost });
    }
    if earned.plain.0 > 0 {
        repay(decision, facts, member, &plain, earned.plain, purse);
    }
    let carried_by = if facts.rules.earn.carry { earned.carried - sale.carried } else { 0 };
    let how = EarnedHow { sale, extra, status: earned.status, carried_by };
    Written { points: earned.points(), earning: (earned.plain.0 > 0).then_some(plain), how: Some(Box::new(how)) }
}

/// Whether a till's sale earns at all: it has not earned by another way before, and the shop's sales do.
pub(super) fn earns(commit: &TillCommit, facts: &Facts, now: Now) -> bool {
    let earns_nothing = commit.mark.shop.as_ref().is_some_and(|shop| shop.earns_nothing);
    commit.sale.0 > 0 && twin(commit, facts, now).is_none() && !earns_nothing
}

/// Points that were earned too much before are taken from what is earned now, the oldest first.
fn repay(decision: &mut Decision, facts: &Facts, member: &MemberId, earning: &OpId, earned: Points, purse: &mut Purse) {
    let mut left = earned.0;
    for (n, owed) in (REPAID..).zip(facts.tills.debts.iter().take(REPAID_MAX)) {
        let points = Points(left.min(owed.open.0));
        if points.0 == 0 {
            break;
        }
        left -= points.0;
        let parts = vec![Part { grant: points::born(earning), points }];
        points::lower(purse, &parts);
        decision.records.push(Record::PointsTakenBack(TakenBack {
            op: facts.ids.op(n),
            of: owed.of.clone(),
            member: member.clone(),
            points,
            parts,
            debt: Some(owed.debt.clone()),
        }));
    }
}
