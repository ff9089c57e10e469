//! What shifts, terminals and days come to: the numbers of the X and Z slips.

use serde::{Deserialize, Serialize};

use super::{Fen, NotCash, Points, UtcMs};

/// One kind of line in a total.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// How many lines.
    pub count: u64,
    /// Goods.
    pub sale_fen: Fen,
    /// What points paid of them.
    pub sale_points_fen: Fen,
    /// Parking.
    pub parking_fen: Fen,
    /// What points paid of it.
    pub parking_points_fen: Fen,
    /// Points spent; of what was given back, points that went back.
    pub points_spent: Points,
    /// Points earned; of what was given back, points that were taken back.
    pub points_earned: Points,
}

/// What a shift, a terminal or a day did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Commits.
    pub sales: Tally,
    /// Captures.
    pub captures: Tally,
    /// Voids, also of requests that were given up.
    pub voids: Tally,
    /// Refunds.
    pub refunds: Tally,
    /// Holds that are neither captured nor free.
    pub open_holds: u64,
    /// Numbers that are missing in the till's own count.
    pub missing_numbers: u64,
    /// How much of the money was not cash.
    #[serde(default)]
    pub not_cash: NotCash,
    /// Coupons that were used for goods and not returned.
    #[serde(default)]
    pub coupons: u64,
    /// What they took off.
    #[serde(default)]
    pub coupons_fen: Fen,
}

impl Totals {
    /// Money of every kind: taken less given back.
    pub fn money(&self) -> Fen {
        let money = |tally: &Tally| {
            tally.sale_fen.0 - tally.sale_points_fen.0 + tally.parking_fen.0 - tally.parking_points_fen.0
        };
        Fen(money(&self.sales) - money(&self.voids) - money(&self.refunds))
    }

    /// What of it lies in the drawer.
    pub fn cash(&self) -> Fen {
        Fen(self.money().0 - self.not_cash.sum().0)
    }
}

/// What a till sold in an hour that it does not send line by line: without members, and without what it sent here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HourTotals {
    /// When the hour began.
    pub hour: UtcMs,
    /// How many sales.
    pub count: u32,
    /// What they came to.
    pub sale_fen: Fen,
}
