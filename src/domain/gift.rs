//! What a till gives to a stay besides money: a merchant's validation, a coupon that was shown there.

use super::benefit::{self, CouponState, HeldCoupon, Moment, Validation};
use super::decide::{Facts, StayFacts};
use super::event::{Action, Decision, Fen, Gift, Input, Now, Points, Record, StayId, TillAnswer, TillCommit};

/// Decides a gift. The stay's benefits are reckoned again, so that the answer says what is still due.
pub(super) fn give(
    decision: &mut Decision,
    commit: &TillCommit,
    gift: &Gift,
    facts: &Facts,
    now: Now,
) -> Result<TillAnswer, TillAnswer> {
    let Some(inside) = commit.stay.as_ref().and(facts.named_stay.as_ref()) else {
        let id = commit.stay.clone().unwrap_or(StayId(String::new()));
        return Err(refuse("stay-unknown", format!("no open stay {id}")));
    };
    let (stay, op) = (inside.stay.id.clone(), facts.ids.op(0));
    let mut inside = inside.clone();
    let shop = commit.mark.shop.clone().map(Box::new);
    let record = match gift {
        Gift::Validation { kind, merchant, spend } => {
            check_kind(&inside, kind, merchant)?;
            let validation = Validation {
                id: op.0.clone(),
                kind: kind.clone(),
                merchant: merchant.clone(),
                operator: Some(commit.terminal.0.clone()),
                spend: *spend,
                gives: None,
            };
            inside.benefits.validations.push(validation.clone());
            Record::ValidationGiven { op: op.clone(), stay: stay.clone(), validation, shop }
        }
        Gift::Coupon { code } => {
            let coupon = check_coupon(code, facts.coupon.as_ref())?;
            inside.benefits.coupons.retain(|held| held.id != *code);
            inside.benefits.coupons.push(HeldCoupon { shown: true, ..coupon });
            Record::CouponShown { op: op.clone(), stay: stay.clone(), coupon: code.clone(), shop }
        }
    };
    decision.records.push(record);
    if let Some((lane, _)) = &facts.serving {
        decision.actions.push(Action::Then(Box::new(Input::LaneReconsidered { lane: lane.clone() })));
    }
    let due = due(&inside, now);
    Ok(TillAnswer::Applied {
        transaction: op,
        earned: Points(0),
        spent: Points(0),
        usable: Points(0),
        stay: Some((stay, due)),
        duplicate_of: None,
        replayed: false,
    })
}

/// The most gifts of one stay: a family's receipts of a day, and a bound on what is looked at for each vehicle.
const GIFTS_MAX: usize = 32;

fn check_kind(inside: &StayFacts, kind: &str, merchant: &str) -> Result<(), TillAnswer> {
    let known = inside.rules.benefits.validations.iter().find(|known| known.id == kind);
    let Some(known) = known else {
        let kinds: Vec<&str> = inside.rules.benefits.validations.iter().map(|known| known.id.as_str()).collect();
        return Err(refuse("benefit-unknown", format!("no validation {kind:?}; there are {}", kinds.join(", "))));
    };
    if !known.merchants.is_empty() && !known.merchants.iter().any(|name| name == merchant) {
        return Err(refuse("benefit-unknown", format!("{merchant:?} may not give {kind:?}")));
    }
    if inside.benefits.validations.len() >= GIFTS_MAX {
        return Err(refuse("benefit-unknown", format!("this stay has {GIFTS_MAX} validations already")));
    }
    Ok(())
}

fn check_coupon(code: &str, known: Option<&HeldCoupon>) -> Result<HeldCoupon, TillAnswer> {
    let Some(coupon) = known else {
        return Err(refuse("benefit-unknown", format!("no coupon {code:?} is known here")));
    };
    let why = match coupon.state {
        CouponState::Issued | CouponState::ClaimedHere => return Ok(coupon.clone()),
        CouponState::ClaimedElsewhere => "another site has claimed it",
        CouponState::Held => "it is set aside for another vehicle",
        CouponState::Used => "it has been used",
        CouponState::Revoked => "its issuer took it back",
    };
    Err(refuse("coupon-state", format!("coupon {code:?} cannot be used: {why}")))
}

/// What is due of a stay now.
pub(super) fn due(inside: &StayFacts, now: Now) -> Fen {
    if inside.hold.is_some() {
        return Fen(0);
    }
    let moment = Moment { at: inside.exit_read.unwrap_or(now.utc), trusted: now.trusted };
    benefit::quote(&inside.rules, &inside.stay, &inside.prior, &inside.benefits, &inside.purse, moment).due
}

fn refuse(code: &str, detail: String) -> TillAnswer {
    TillAnswer::Refused { code: code.to_owned(), detail }
}
