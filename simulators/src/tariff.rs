//! What the world expects a stay to cost, computed by its own code and not by the box's.

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

/// Points that pay one yuan.
const POINTS_PER_YUAN: i64 = 10;
/// Fen of a sale that earn one point.
const SALE_FEN_PER_POINT: i64 = 100;

/// The tariff that the simulated mall hangs out at its entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tariff {
    /// Up to and including this long costs nothing; longer is charged from the first minute.
    pub free_minutes: i64,
    /// The length of a charged unit; each one that has begun is charged.
    pub unit_minutes: i64,
    /// The price of a unit in fen.
    pub unit_fen: i64,
    /// The most that any 24 hours from the entry cost, in fen.
    pub cap_fen: i64,
}

/// Minutes of a stay that cost a gold member nothing.
const GOLD_FREE_MINUTES: i64 = 16;
/// What the noodle bar gives to a guest's stay, in fen.
pub const NOODLE_BAR_GIFT_FEN: i64 = 200;
/// What the mall's coupon takes off a stay, in fen.
pub const COUPON_FEN: i64 = 200;

/// What a driver need not pay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Rights {
    /// Whether the car is a gold member's.
    pub is_gold: bool,
    /// What shops gave, in fen.
    pub gift_fen: i64,
    /// What a coupon takes off that was shown for the stay, in fen.
    pub coupon_fen: i64,
    /// Whether a pass or a list lets it park for nothing.
    pub is_free: bool,
}

impl Tariff {
    /// The demo's tariff: 15 minutes free, then 5 yuan for each half hour begun, at most 60 yuan in 24 hours.
    pub const DEMO: Self = Self { free_minutes: 15, unit_minutes: 30, unit_fen: 500, cap_fen: 6000 };

    /// The fee in fen for a vehicle read at the entry and at the exit at these moments, in milliseconds.
    pub fn fee_fen(&self, entry_ms: i64, exit_ms: i64) -> i64 {
        let stayed_ms = whole_seconds_ms(exit_ms - entry_ms);
        if stayed_ms <= self.free_minutes * MINUTE_MS {
            return 0;
        }
        let whole_days = stayed_ms / DAY_MS;
        let rest_ms = stayed_ms % DAY_MS;
        let unit_ms = self.unit_minutes * MINUTE_MS;
        let units_begun = (rest_ms + unit_ms - 1) / unit_ms;
        whole_days * self.cap_fen + (units_begun * self.unit_fen).min(self.cap_fen)
    }

    /// The fee in fen after what the driver need not pay: a gold member's minutes come off before the started units are
    /// counted, a shop's gift and a coupon after. Nobody is paid for parking.
    pub fn fee_fen_after(&self, entry_ms: i64, exit_ms: i64, rights: Rights) -> i64 {
        if rights.is_free {
            return 0;
        }
        let gross_fen = self.fee_fen(entry_ms, exit_ms);
        let after_time_fen = if rights.is_gold && gross_fen > 0 {
            // The free quarter of an hour is for whole stays: what the minutes leave is charged from its first unit.
            let rest_ms = (whole_seconds_ms(exit_ms - entry_ms) - GOLD_FREE_MINUTES * MINUTE_MS).max(0);
            let unit_ms = self.unit_minutes * MINUTE_MS;
            gross_fen.min((rest_ms + unit_ms - 1) / unit_ms * self.unit_fen)
        } else {
            gross_fen
        };
        (after_time_fen - rights.gift_fen - rights.coupon_fen).max(0)
    }

    /// How far a stay is from the nearest moment at which its fee changes, in milliseconds.
    pub fn distance_to_edge_ms(&self, entry_ms: i64, at_ms: i64) -> i64 {
        let stayed_ms = (at_ms - entry_ms).max(0);
        let unit_ms = self.unit_minutes * MINUTE_MS;
        let to_free = (stayed_ms - self.free_minutes * MINUTE_MS).abs();
        let into_unit = stayed_ms % unit_ms;
        let to_unit = if stayed_ms < unit_ms { unit_ms - stayed_ms } else { into_unit.min(unit_ms - into_unit) };
        to_free.min(to_unit)
    }
}

/// A stay is counted in whole seconds; what has begun of one is not.
fn whole_seconds_ms(stayed_ms: i64) -> i64 {
    stayed_ms.max(0) / 1000 * 1000
}

/// How many points pay so many fen; a part of a point is a whole one.
pub fn points_for_fen(fen: i64) -> i64 {
    (fen * POINTS_PER_YUAN + 99) / 100
}

/// How many points a sale of so many fen earns; a part of a point is none.
pub fn points_earned_by(sale_fen: i64) -> i64 {
    sale_fen / SALE_FEN_PER_POINT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_stay_costs() {
        check_fee("0 s", 0, 0);
        check_fee("a clock that runs backwards", -5_000, 0);
        check_fee("exactly the free minutes", 15 * MINUTE_MS, 0);
        check_fee("a part of a second longer", 15 * MINUTE_MS + 999, 0);
        check_fee("a second longer is charged from the first minute", 15 * MINUTE_MS + 1000, 500);
        check_fee("exactly one unit", 30 * MINUTE_MS, 500);
        check_fee("one unit and a part of a second", 30 * MINUTE_MS + 300, 500);
        check_fee("one unit and a second", 30 * MINUTE_MS + 1000, 1000);
        check_fee("an hour", 60 * MINUTE_MS, 1000);
        check_fee("five and a half hours", 330 * MINUTE_MS, 5500);
        check_fee("six hours reach the cap", 360 * MINUTE_MS, 6000);
        check_fee("a night stays at the cap", 20 * 60 * MINUTE_MS, 6000);
        check_fee("exactly a day", DAY_MS, 6000);
        check_fee("a day and a second", DAY_MS + 1000, 6500);
        check_fee("a day and a night", DAY_MS + 20 * 60 * MINUTE_MS, 12_000);
        check_fee("two days and an hour", 2 * DAY_MS + 60 * MINUTE_MS, 13_000);
    }

    #[test]
    fn points_for_money_and_money_for_points() {
        assert_eq!([0, 500, 1000, 505, 1].map(points_for_fen), [0, 50, 100, 51, 1]);
        assert_eq!([0, 99, 100, 12_850].map(points_earned_by), [0, 0, 1, 128]);
    }

    #[test]
    fn edges_are_where_the_fee_changes() {
        for (stayed_ms, distance_ms) in [(0, 15), (14, 1), (16, 1), (29, 1), (31, 1), (46, 14), (60, 0)] {
            let found = Tariff::DEMO.distance_to_edge_ms(0, stayed_ms * MINUTE_MS);
            assert_eq!(found, distance_ms * MINUTE_MS, "{stayed_ms} minutes");
        }
    }

    fn check_fee(what: &str, stayed_ms: i64, expect_fen: i64) {
        let entry_ms = 1_772_294_399_638;
        assert_eq!(Tariff::DEMO.fee_fen(entry_ms, entry_ms + stayed_ms), expect_fen, "{what}");
    }
}
