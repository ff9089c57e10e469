//! A coupon is used once in every state of its protocol, and twice in each broken variant.

use grants_model::claims::{Broken, Claims, PASSED_ON, RISKED_TWICE, USED_AGAIN, exhaust, right, shortest};

#[test]
fn a_coupon_is_used_once_in_every_state() {
    let (states, found) = exhaust(right());
    assert_eq!(found, [PASSED_ON, USED_AGAIN], "what is reached, and nothing that is violated");
    assert_eq!(states, 471_399, "the model has changed; see why before the number follows");
}

#[test]
fn a_declared_risk_can_be_run_at_both_boxes() {
    let (_, found) = exhaust(Claims { is_risky: true, words: 4, faults: 1, ..right() });
    assert_eq!(found, [PASSED_ON, USED_AGAIN, RISKED_TWICE], "and nothing else that is violated");
}

#[test]
fn every_broken_claim_is_a_coupon_used_twice() {
    use Broken::{FenceFrees, GivenTwice, LossUnnoticed, OldEpochCounts, UsedAfterReturn};
    for broken in [GivenTwice, FenceFrees, OldEpochCounts, UsedAfterReturn, LossUnnoticed] {
        assert!(shortest(broken).is_some(), "{broken:?} is not caught");
    }
}
