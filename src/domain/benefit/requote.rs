//! A correction or a refund: the stay is reckoned again under its own rules, and only the difference is posted.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Outcome;
use super::earn::Earned;
use super::facts::Use;
use super::legs::Leg;
use super::points::LotPart;
use super::table::LotPolicy;
use crate::domain::event::{Fen, Points, UtcMs};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// What changes from an old outcome to a new one: add it to the old, and it is the new.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Differences {
    /// By rule, what its lines change by; rules that stay the same are left out.
    pub lines: BTreeMap<String, Fen>,
    /// What the driver gets back (negative) or still owes in money.
    pub cash: Fen,
    /// What points pay more, or less, in fen.
    pub by_points: Fen,
    /// Points given back to their lots.
    pub restored: Vec<Restored>,
    /// Points taken in addition.
    pub taken: Vec<LotPart>,
    /// What the legs change by.
    pub legs: Vec<Leg>,
    /// Uses that are taken back: coupons return to their holder, minutes to their allowance.
    pub returned: Vec<Use>,
    /// Uses that come in addition.
    pub used: Vec<Use>,
    /// Points that were earned in addition, or are taken back.
    pub earned: Points,
    /// What the member's carried remainder changes by, in parts of a point.
    pub remainder: i64,
}

/// Points given back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// The lot.
    pub lot: String,
    /// How many.
    pub points: Points,
    /// When they expire: as before, but not sooner than the least life that the rules give them.
    pub until: Option<UtcMs>,
}

/// The difference between two outcomes of one stay under the same bundle. `now` is the moment of the correction.
pub fn requote(old: &Outcome, new: &Outcome, lots: &LotPolicy, now: UtcMs) -> Differences {
    let mut lines = sums(&new.fee.lines, |line| (line.rule.clone(), line.fen.0));
    for (rule, fen) in sums(&old.fee.lines, |line| (line.rule.clone(), line.fen.0)) {
        *lines.entry(rule).or_default() -= fen;
    }
    lines.retain(|_, fen| *fen != 0);
    let (restored, taken) = lots_between(old, new, lots, now);
    let by_points = points_fen(new) - points_fen(old);
    let earned = |outcome: &Outcome| outcome.earned.clone().unwrap_or_default();
    let (was, is): (Earned, Earned) = (earned(old), earned(new));
    Differences {
        lines: lines.into_iter().map(|(rule, fen)| (rule, Fen(fen))).collect(),
        cash: Fen(new.fee.total.0 - old.fee.total.0 - by_points),
        by_points: Fen(by_points),
        restored,
        taken,
        legs: legs_between(&old.legs, &new.legs),
        returned: uses_without(&old.uses, &new.uses),
        used: uses_without(&new.uses, &old.uses),
        earned: Points(is.points.0 - was.points.0),
        remainder: is.remainder - was.remainder,
    }
}

fn sums<T, K: Ord>(list: &[T], of: impl Fn(&T) -> (K, i64)) -> BTreeMap<K, i64> {
    let mut sums = BTreeMap::new();
    for (key, amount) in list.iter().map(of) {
        *sums.entry(key).or_default() += amount;
    }
    sums
}

fn points_fen(outcome: &Outcome) -> i64 {
    outcome.points.as_ref().map_or(0, |offer| offer.fen.0)
}

fn lots_between(old: &Outcome, new: &Outcome, policy: &LotPolicy, now: UtcMs) -> (Vec<Restored>, Vec<LotPart>) {
    let parts = |outcome: &Outcome| outcome.points.as_ref().map_or(Vec::new(), |offer| offer.lots.clone());
    let (old, new) = (parts(old), parts(new));
    let of = |parts: &[LotPart], lot: &str| parts.iter().find(|part| part.lot == lot).cloned();
    let least = now.0.saturating_add(i64::from(policy.min_life_days) * DAY_MS);
    let restored = old.iter().filter_map(|was| {
        let points = was.points.0 - of(&new, &was.lot).map_or(0, |is| is.points.0);
        // A lot that lives on keeps its own expiry; one that is over gets the least life.
        let until = was.until.map(|until| if until <= now { UtcMs(least) } else { until });
        (points > 0).then(|| Restored { lot: was.lot.clone(), points: Points(points), until })
    });
    let taken = new.iter().filter_map(|is| {
        let was = of(&old, &is.lot);
        let points = is.points.0 - was.as_ref().map_or(0, |was| was.points.0);
        let fen = is.fen.0 - was.as_ref().map_or(0, |was| was.fen.0);
        (points > 0).then(|| LotPart { points: Points(points), fen: Fen(fen), ..is.clone() })
    });
    (restored.collect(), taken.collect())
}

fn legs_between(old: &[Leg], new: &[Leg]) -> Vec<Leg> {
    let key = |leg: &Leg| (leg.payer.clone(), leg.acceptor.clone(), leg.of.clone(), leg.instance.clone());
    let mut face = sums(new, |leg| (key(leg), leg.fen.0));
    let mut settled = sums(new, |leg| (key(leg), leg.settle_fen.0));
    for leg in old {
        *face.entry(key(leg)).or_default() -= leg.fen.0;
        *settled.entry(key(leg)).or_default() -= leg.settle_fen.0;
    }
    let change = face.into_iter().map(|(key, fen)| {
        let settle_fen = settled.get(&key).copied().unwrap_or(0);
        let (payer, acceptor, of, instance) = key;
        Leg { payer, acceptor, of, instance, fen: Fen(fen), settle_fen: Fen(settle_fen) }
    });
    change.filter(|leg| leg.fen.0 != 0 || leg.settle_fen.0 != 0).collect()
}

/// The uses of `some` that `others` do not have in the same amount.
fn uses_without(some: &[Use], others: &[Use]) -> Vec<Use> {
    let is_same = |a: &Use, b: &Use| a == b;
    let mut left = some.to_vec();
    for other in others {
        if let Some(n) = left.iter().position(|used| is_same(used, other)) {
            left.remove(n);
        }
    }
    left
}
