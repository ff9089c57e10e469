//! Coupons for goods: used once at a till of a shop that takes them, and good again when the use is taken back.

use super::{Refused, op};
use crate::domain::benefit::{
    Moment, NotUsed, SaleCoupon, SaleFacts, for_goods, pass_for_goods, payers, sale_coupon, sale_earns,
};
use crate::domain::decide::Facts;
use crate::domain::earning::earns;
use crate::domain::event::{
    CouponMove, CouponUse, CouponWish, Decision, Fen, Now, OpId, Record, TillAct, TillCommit, TillDone,
};

/// The place of a coupon's effect among those of its decision.
const EFFECT: u32 = 0;

/// Decides what a till asks about a coupon.
pub(super) fn ask(
    decision: &mut Decision,
    act: &TillAct,
    wish: &CouponWish,
    facts: &Facts,
    now: Now,
) -> Result<TillDone, Refused> {
    match wish {
        CouponWish::Use { code, sale, receipt } => take(decision, act, (code, *sale, receipt), facts, now),
        CouponWish::Return { code, of } => {
            let standing = standing(act, code, of.as_ref(), facts)?;
            Ok(TillDone::Coupon(put_back(decision, act, standing, op(facts, EFFECT), facts)))
        }
    }
}

fn take(
    decision: &mut Decision,
    act: &TillAct,
    (code, sale, receipt): (&str, Option<Fen>, &str),
    facts: &Facts,
    now: Now,
) -> Result<TillDone, Refused> {
    let merchant = act.mark.merchant.clone().unwrap_or_else(|| act.terminal.0.clone());
    let moment = Moment { at: now.utc, trusted: now.trusted };
    let known = &facts.tills.coupons;
    let used = match (&facts.coupon, &facts.tills.pass) {
        (Some(held), _) => for_goods(&facts.rules, held, known, &merchant, sale, moment),
        (None, Some((held, member))) => pass_for_goods(&facts.rules, (held, member), known, &merchant, sale, moment),
        (None, None) => return Err(("benefit-unknown", format!("no coupon or pass {code:?} is known here"))),
    };
    let used = used.map_err(|why| in_words(code, &why))?;
    let done = CouponMove::Used(Box::new(CouponUse {
        op: op(facts, EFFECT),
        terminal: act.terminal.clone(),
        shift: facts.tills.shift,
        day: facts.day,
        merchant,
        shop: act.mark.shop.clone(),
        receipt: receipt.to_owned(),
        sale_fen: sale,
        transaction: None,
        rules: Some(facts.rules.version),
        payers: payers(&facts.rules.benefits, &used),
        used,
    }));
    decision.records.push(Record::CouponMoved(done.clone()));
    Ok(TillDone::Coupon(done))
}

/// A coupon that multiplies what a sale earns, and that it is used up with that very sale.
pub struct Multiplied {
    /// What it does to the earning.
    pub coupon: SaleCoupon,
    /// What is written of it.
    pub used: Box<CouponUse>,
}

/// Whether the coupon that a till names with a sale may multiply what it earns. `fen` is what money pays of the goods,
/// `effect` the use's name.
pub fn multiply(
    commit: &TillCommit,
    code: &str,
    fen: Fen,
    effect: OpId,
    facts: &Facts,
    now: Now,
) -> Result<Multiplied, Refused> {
    let state = |why: &str| ("coupon-state", format!("coupon {code:?}: {why}"));
    let Some(member) = commit.member.as_ref().filter(|_| commit.sale.0 > 0) else {
        let detail = "coupon: it multiplies what a member's sale earns; sale_fen and member_ref are needed";
        return Err(("bad-request", detail.to_owned()));
    };
    let Some(held) = &facts.coupon else {
        return Err(("benefit-unknown", format!("no coupon {code:?} is known here")));
    };
    if facts.tills.coupon_member.as_ref().is_some_and(|owner| owner != member) {
        return Err(state("it is another member's"));
    }
    let merchant = commit.mark.merchant.clone().unwrap_or_else(|| commit.terminal.0.clone());
    let at = commit.occurred.unwrap_or(now.utc);
    let mut sale = SaleFacts { at, trusted: now.trusted, ..facts.tills.earning.clone() };
    let here = SaleFacts { at: now.utc, ..sale.clone() };
    let used = sale_coupon(&facts.rules, held, &facts.tills.coupons, &merchant, (Some(member), fen), &here);
    let (coupon, used) = used.map_err(|why| in_words(code, &why))?;
    sale.coupon = Some(coupon.clone());
    let earned = sale_earns(&facts.rules, member, fen, &sale);
    // A coupon that would change nothing is kept.
    if !earns(commit, facts, now) || !earned.extra.iter().any(|(by, _)| *by == coupon.kind) {
        return Err(state(
            "this sale earns nothing that it could multiply; it is kept, and the sale without it is allowed",
        ));
    }
    let used = Box::new(CouponUse {
        op: effect,
        terminal: commit.terminal.clone(),
        shift: facts.tills.shift,
        day: facts.day,
        merchant,
        shop: commit.mark.shop.clone(),
        receipt: commit.receipt.clone(),
        sale_fen: Some(commit.sale),
        transaction: Some(op(facts, 0)),
        rules: Some(facts.rules.version),
        // What it adds is points; their lot says who pays for them.
        payers: Vec::new(),
        used,
    });
    Ok(Multiplied { coupon, used })
}

fn in_words(code: &str, NotUsed { code: why, en, .. }: &NotUsed) -> Refused {
    let is_of_this_shop = why != "not_at_this_shop";
    (if is_of_this_shop { "coupon-state" } else { "benefit-unknown" }, format!("coupon {code:?}: {en}"))
}

/// The use that stands, where this terminal or another of the same shop made it.
fn standing<'a>(act: &TillAct, code: &str, of: Option<&OpId>, facts: &'a Facts) -> Result<&'a CouponUse, Refused> {
    let unused = || ("coupon-state", format!("coupon {code:?}: no use of it at this shop can be taken back"));
    let found = facts.tills.coupon_use.as_ref().filter(|found| of.is_none_or(|of| *of == found.op));
    let found = found.ok_or_else(unused)?;
    let is_same_shop = act.mark.merchant.as_ref().is_some_and(|merchant| *merchant == found.merchant);
    if found.terminal != act.terminal && !is_same_shop {
        return Err(unused());
    }
    match &found.transaction {
        None => Ok(found),
        Some(sale) => {
            let detail =
                format!("coupon {code:?}: it multiplied what {sale} earned, and comes back with that whole sale");
            Err(("coupon-state", detail))
        }
    }
}

/// Makes a coupon good again.
pub(super) fn put_back(decision: &mut Decision, act: &TillAct, of: &CouponUse, op: OpId, facts: &Facts) -> CouponMove {
    let done = CouponMove::Returned {
        op,
        at: act.terminal.clone(),
        in_shift: facts.tills.shift,
        on_day: facts.day,
        of: Box::new(of.clone()),
    };
    decision.records.push(Record::CouponMoved(done.clone()));
    done
}
