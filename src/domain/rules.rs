//! The rule bundle: what parking costs and what points are worth, as data with its own golden cases inside.

use serde::Deserialize;

use super::event::{Fen, Points, UtcMs};
use super::points::POINTS_MAX;
use super::tariff;

/// A bundle that was read and proved itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Rises with every change; a stay pins the version of its entry.
    pub version: u32,
    /// What a stay costs.
    pub tariff: Tariff,
    /// What points are worth when they pay for parking.
    pub points: PointsRate,
    /// What a sale earns.
    pub earn: EarnRate,
    /// How many points to ask the cloud for when a member's car enters.
    pub grants: GrantSize,
}

/// What a stay costs.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tariff {
    /// The rule's name, printed on every line of a fee.
    pub id: String,
    /// Minutes that cost nothing.
    pub free_minutes: u32,
    /// What happens when they are exceeded.
    pub free: FreeReading,
    /// Length of a charged unit in minutes; a started unit counts whole.
    pub unit_minutes: u32,
    /// Price of a unit in fen.
    pub unit_fen: i64,
    /// The most that a day costs in fen; left out: no cap.
    pub cap_fen: Option<i64>,
    /// What a day is.
    #[serde(default)]
    pub cap_per: CapPeriod,
    /// Minutes to reach the exit after paying.
    pub grace_minutes: u32,
}

/// How free minutes are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FreeReading {
    /// A longer stay is charged from its start.
    Threshold,
    /// A longer stay is charged after them.
    Deducted,
}

/// What a cap covers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum CapPeriod {
    /// Every 24 hours, counted from the entry; the rest of a day starts its units anew.
    #[default]
    #[serde(rename = "24h_from_entry")]
    DayFromEntry,
}

/// What points are worth.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PointsRate {
    /// So many points …
    pub points: i64,
    /// … are worth so many fen.
    pub fen: i64,
    /// Points are spent in multiples of this, rounded up.
    pub granularity: i64,
}

/// What a sale earns, rounded down.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EarnRate {
    /// So many fen …
    pub fen: i64,
    /// … earn so many points.
    pub points: i64,
}

/// How big a grant to ask for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantSize {
    /// Points for what is bought in one visit, until there are spends enough to tell.
    pub visit_points: i64,
    /// Points kept at a member's home between visits; the ledger may give less. 0: none are kept.
    #[serde(default)]
    pub standing_points: i64,
    /// With fewer points than this at home, more are asked for.
    #[serde(default)]
    pub low_water_points: i64,
}

/// A mistake in a bundle, for the person who wrote it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadRules(pub String);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Bundle {
    bundle: Header,
    tariff: Tariff,
    points: PointsRate,
    earn: EarnRate,
    grants: GrantSize,
    #[serde(default)]
    golden: Vec<Golden>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    version: u32,
}

/// A stay with its right fee, as the bundle's author computed it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Golden {
    /// Length of the stay in seconds.
    stay_seconds: i64,
    fee_fen: i64,
}

/// The most that any amount in a bundle may be: keeps every product far inside 64 bits.
const AMOUNT_MAX: i64 = 100_000_000;

impl Rules {
    /// Reads a bundle and refuses it where it contradicts itself or computes its own golden cases differently.
    pub fn parse(text: &str) -> Result<Self, BadRules> {
        let bundle: Bundle = toml::from_str(text).map_err(|e| BadRules(e.to_string()))?;
        let rules = Self {
            version: bundle.bundle.version,
            tariff: bundle.tariff,
            points: bundle.points,
            earn: bundle.earn,
            grants: bundle.grants,
        };
        rules.check_ranges()?;
        if bundle.golden.is_empty() {
            return Err(BadRules("no [[golden]] case; a bundle proves itself with at least one".to_owned()));
        }
        for (n, case) in bundle.golden.iter().enumerate() {
            let fee = tariff::fee(&rules.tariff, UtcMs(0), UtcMs(case.stay_seconds.saturating_mul(1000)));
            if fee.total != Fen(case.fee_fen) {
                return Err(BadRules(format!(
                    "golden case {}: a stay of {} s must cost {} fen, but this box computes {} fen",
                    n + 1,
                    case.stay_seconds,
                    case.fee_fen,
                    fee.total.0
                )));
            }
        }
        Ok(rules)
    }

    fn check_ranges(&self) -> Result<(), BadRules> {
        let from_one = [
            ("bundle.version", i64::from(self.version)),
            ("tariff.unit_minutes", i64::from(self.tariff.unit_minutes)),
            ("points.points", self.points.points),
            ("points.fen", self.points.fen),
            ("points.granularity", self.points.granularity),
            ("earn.fen", self.earn.fen),
            ("grants.visit_points", self.grants.visit_points),
        ];
        let from_zero = [
            ("tariff.free_minutes", i64::from(self.tariff.free_minutes)),
            ("tariff.unit_fen", self.tariff.unit_fen),
            ("tariff.cap_fen", self.tariff.cap_fen.unwrap_or(0)),
            ("tariff.grace_minutes", i64::from(self.tariff.grace_minutes)),
            ("earn.points", self.earn.points),
            ("grants.standing_points", self.grants.standing_points),
            ("grants.low_water_points", self.grants.low_water_points),
        ];
        for (least, values) in [(1, &from_one[..]), (0, &from_zero[..])] {
            for (name, value) in values {
                if !(least..=AMOUNT_MAX).contains(value) {
                    return Err(BadRules(format!("{name} is {value}; allowed are {least} to {AMOUNT_MAX}")));
                }
            }
        }
        Ok(())
    }

    /// How many points pay for an amount of money: rounded up to the granularity.
    pub fn points_needed(&self, fen: Fen) -> Points {
        assert!(fen.0 >= 0, "a negative amount is not paid with points");
        let (fen, granule) = (i128::from(fen.0), i128::from(self.points.granularity));
        let exact = div_ceil(fen * i128::from(self.points.points), i128::from(self.points.fen));
        Points(at_most_64_bits(div_ceil(exact, granule) * granule))
    }

    /// The money that so many points pay at most: whole granules only, rounded down.
    pub fn points_worth(&self, points: Points) -> Fen {
        let granules = points.0.max(0) / self.points.granularity;
        let whole = i128::from(granules * self.points.granularity);
        Fen(at_most_64_bits(whole * i128::from(self.points.fen) / i128::from(self.points.points)))
    }

    /// The most that a day of parking can cost in points; none where there is no cap.
    pub fn cap_in_points(&self) -> Option<Points> {
        self.tariff.cap_fen.map(|fen| self.points_needed(Fen(fen)))
    }

    /// How many points a sale earns: rounded down, and never more than one amount may be.
    pub fn points_earned(&self, fen: Fen) -> Points {
        assert!(fen.0 >= 0, "a negative sale earns nothing");
        let exact = i128::from(fen.0) * i128::from(self.earn.points) / i128::from(self.earn.fen);
        Points(at_most_64_bits(exact).min(POINTS_MAX))
    }
}

fn div_ceil(a: i128, b: i128) -> i128 {
    (a + b - 1) / b
}

/// An amount that no purse can hold stays one, where a wrapped one would be a small or a negative one.
fn at_most_64_bits(amount: i128) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX)
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// The bundle of the demo: 15 minutes free, 5 yuan a started half hour, 60 yuan a day, 10 points a yuan.
    pub const DEMO: &str = include_str!("../../systemd/rules.toml");

    #[test]
    fn the_shipped_bundle_proves_itself() {
        let rules = Rules::parse(DEMO).expect("the shipped bundle is right");
        assert_eq!(rules.points_needed(Fen(500)), Points(50));
        assert_eq!(rules.points_needed(Fen(501)), Points(60));
        assert_eq!(rules.points_needed(Fen(0)), Points(0));
        assert_eq!(rules.points_worth(Points(59)), Fen(500));
        assert_eq!(rules.points_earned(Fen(12_899)), Points(128));
    }

    #[test]
    fn an_amount_beyond_64_bits_stays_large() {
        let mut rules = Rules::parse(DEMO).expect("the shipped bundle is right");
        (rules.points.points, rules.points.fen, rules.earn.points, rules.earn.fen) = (AMOUNT_MAX, 1, AMOUNT_MAX, 1);
        assert_eq!(rules.points_needed(Fen(i64::MAX)), Points(i64::MAX));
        assert_eq!(rules.points_earned(Fen(i64::MAX)), Points(POINTS_MAX));
        (rules.points.points, rules.points.fen) = (1, AMOUNT_MAX);
        assert_eq!(rules.points_worth(Points(i64::MAX)), Fen(i64::MAX));
    }

    #[test]
    fn a_wrong_bundle_says_what_is_wrong_and_what_is_allowed() {
        check("fee_fen = 500", "fee_fen = 501", "must cost 501 fen, but this box computes 500 fen");
        check("unit_minutes = 30", "unit_minutes = 0", "tariff.unit_minutes is 0; allowed are 1 to");
        check("cap_per = \"24h_from_entry\"", "cap_per = \"week\"", "expected");
        check("[earn]", "[earn]\nbonus = 2", "unknown field `bonus`");
    }

    fn check(from: &str, to: &str, expect: &str) {
        assert!(DEMO.contains(from), "{from} is in the bundle");
        let error = Rules::parse(&DEMO.replacen(from, to, 1)).expect_err(to).to_string();
        assert!(error.contains(expect), "{error}");
    }
}
