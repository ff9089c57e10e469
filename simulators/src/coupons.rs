//! Holds what the cloud ledger knows of the mall's coupons against what drivers did with them.

use serde_json::Value;

use crate::outcome::{Outcome, Visit};
use crate::tariff::COUPON_FEN;

/// Coupons with which a vehicle has left.
pub fn used(outcome: &Outcome) -> usize {
    outcome.visits.iter().filter(|visit| is_used(visit)).count()
}

/// Each coupon as `GET /v1/coupons/{id}` gives it: shown and left with, it was used once, for what it takes off, by a box that
/// had it alone; else not at all. An empty list means that all agree.
pub fn compare(outcome: &Outcome, coupons: &[Value]) -> Vec<String> {
    let mut differences = Vec::new();
    for visit in &outcome.visits {
        let Some(id) = &visit.coupon else { continue };
        let Some(found) = coupons.iter().find(|coupon| coupon["id"] == id.as_str()) else {
            differences.push(format!("{id}: the cloud ledger does not know it"));
            continue;
        };
        let uses = found["uses"].as_array().map(Vec::as_slice).unwrap_or_default();
        let stands: Vec<&Value> = uses.iter().filter(|one| one["stands"] == true).collect();
        let is_right = match (is_used(visit), stands.as_slice()) {
            (true, [one]) => one["fen"] == COUPON_FEN && one["claimed"] == true,
            (false, []) => true,
            (true | false, _) => false,
        };
        if !is_right {
            let plate = &visit.plate;
            differences.push(format!("{id}, shown for {plate} (used: {}): {uses:?}", is_used(visit)));
        }
    }
    let shown = |coupon: &&Value| outcome.visits.iter().any(|v| v.coupon.as_deref() == coupon["id"].as_str());
    let of_nobody = coupons.iter().filter(|coupon| !shown(coupon));
    let of_nobody = of_nobody.filter(|coupon| coupon["uses"].as_array().is_none_or(|uses| !uses.is_empty()));
    differences.extend(of_nobody.map(|coupon| format!("{}: used, and nobody has shown it", coupon["id"])));
    differences
}

fn is_used(visit: &Visit) -> bool {
    visit.coupon.is_some() && visit.exit.is_some()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::outcome::Passage;

    #[test]
    fn a_coupon_is_used_once_by_who_left_with_it_and_by_nobody_else() {
        let once = json!({"fen": COUPON_FEN, "claimed": true, "stands": true});
        let back = json!({"fen": COUPON_FEN, "claimed": true, "stands": false});
        check(Some(true), json!([once]), true);
        check(Some(true), json!([back, once]), true);
        check(Some(true), json!([]), false);
        check(Some(true), json!([once, once]), false);
        check(Some(true), json!([{"fen": COUPON_FEN - 1, "claimed": true, "stands": true}]), false);
        check(Some(true), json!([{"fen": COUPON_FEN, "claimed": false, "stands": true}]), false);
        check(Some(false), json!([]), true);
        check(Some(false), json!([once]), false);
        check(None, json!([]), true);
        check(None, json!([once]), false);
        let outcome = Outcome { visits: vec![visit(true)], ..Outcome::default() };
        assert_eq!(compare(&outcome, &[]), ["C-1: the cloud ledger does not know it"]);
        assert_eq!((used(&outcome), used(&Outcome::default())), (1, 0));
    }

    /// Whether the driver who showed it has left; none: nobody has shown it.
    fn check(left: Option<bool>, uses: Value, agrees: bool) {
        let outcome = Outcome { visits: left.map(visit).into_iter().collect(), ..Outcome::default() };
        let found = compare(&outcome, &[json!({"id": "C-1", "uses": uses})]);
        assert_eq!(found.is_empty(), agrees, "{left:?} {uses}: {found:?}");
    }

    fn visit(has_left: bool) -> Visit {
        Visit { coupon: Some("C-1".to_owned()), exit: has_left.then(Passage::default), ..Visit::default() }
    }
}
