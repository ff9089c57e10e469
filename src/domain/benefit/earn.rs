//! What money earns, with the remainder that is carried to the next time, so that no way of cutting a sum earns more.

use serde::{Deserialize, Serialize};

use super::facts::Facts;
use super::table::{Bonus, Table};
use crate::domain::event::{Fen, Points};

/// What a sale or a payment earns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EarnRate {
    /// So many fen …
    pub fen: i64,
    /// … earn so many points.
    pub points: i64,
}

/// Points that were earned, and what was left over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Earned {
    /// The points.
    pub points: Points,
    /// The part of a point that was left over, in parts of one point: `rate.fen` of them are a point.
    pub remainder: i64,
    /// Of the points, those that bonuses added, by the bonus that did.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bonuses: Vec<(String, Points)>,
}

/// What `fen` earn on top of the remainder from before, which is one of the stored facts of a sale: a re-quote uses the
/// same one.
pub fn earn(rate: &EarnRate, fen: Fen, remainder: i64) -> Earned {
    assert!(fen.0 >= 0 && (0..rate.fen).contains(&remainder), "a sale is not negative, a remainder less than a point");
    let parts = i128::from(fen.0) * i128::from(rate.points) + i128::from(remainder);
    let (whole, rest) = (parts / i128::from(rate.fen), parts % i128::from(rate.fen));
    let points = i64::try_from(whole).unwrap_or(i64::MAX).min(crate::domain::points::POINTS_MAX);
    let remainder = i64::try_from(rest).expect("a rest is less than what it was divided by");
    Earned { points: Points(points), remainder, bonuses: Vec::new() }
}

/// What the cash of a stay would earn, with the bonuses of the day.
pub(super) fn of_cash(table: &Table, rate: &EarnRate, facts: &Facts, cash: Fen) -> Earned {
    if facts.member.is_none() {
        return Earned::default();
    }
    let mut earned = earn(rate, cash, 0);
    let plain = earned.points.0;
    let running: Vec<&Bonus> =
        table.bonuses.iter().filter(|bonus| super::eligible::bonus_runs(table, facts, bonus, cash)).collect();
    let best = running.iter().filter(|bonus| bonus.multiply_bps > 10_000).max_by_key(|bonus| bonus.multiply_bps);
    if let Some(bonus) = best {
        let more = i128::from(plain) * i128::from(bonus.multiply_bps - 10_000) / 10_000;
        earned.bonuses.push((bonus.id.clone(), Points(i64::try_from(more).unwrap_or(0))));
    }
    let added = running.iter().filter(|bonus| bonus.points > 0 && plain > 0);
    earned.bonuses.extend(added.map(|bonus| (bonus.id.clone(), Points(bonus.points))));
    let more: i64 = earned.bonuses.iter().map(|(_, points)| points.0).sum();
    earned.points = Points(plain.saturating_add(more).min(crate::domain::points::POINTS_MAX));
    earned
}
