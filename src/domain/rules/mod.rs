//! The rule bundle: what parking costs and what points are worth, as data with its own golden cases inside.

mod file;
mod golden;
mod golden_sale;
pub mod lint;
mod overlay;
#[cfg(test)]
pub(crate) mod tests;

use std::ops::Range;

use serde::Deserialize;

use super::admission::Admission;
use super::benefit;
use super::event::{Fen, Points, UtcMs};
use super::points::POINTS_MAX;
use super::tariff::terms::{Factor, Price};
use super::tariff::{self, Question, Tariffs};

pub use overlay::{compose, composed};

/// A bundle that was read and proved itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Rises with every change; a stay pins the version of its entry.
    pub version: u32,
    /// From when it may be in force; `None`: at once.
    pub effective_from: Option<UtcMs>,
    /// The keys that a site's overlay may set; `*` stands for any one part.
    pub overridable: Vec<String>,
    /// What stays cost.
    pub tariffs: Tariffs,
    /// Who is let in, and what the site does where a stay is not as it should be.
    pub admission: Admission,
    /// What drivers need not pay, and why.
    pub benefits: benefit::Table,
    /// What points are worth when they pay for parking.
    pub points: PointsRate,
    /// What a sale earns.
    pub earn: EarnRate,
    /// How many points to ask the cloud for when a member's car enters.
    pub grants: GrantSize,
    /// How many points staff give by hand.
    pub goodwill: Goodwill,
}

/// What points are worth.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PointsRate {
    /// So many points …
    pub points: Count,
    /// … are worth so many fen.
    pub fen: Count,
    /// Points are spent in multiples of this.
    pub granularity: Count,
    /// What points pay of an amount that is no whole number of multiples.
    #[serde(default)]
    pub rounding: PointsRounding,
    /// The share of a fee that points may pay, in basis points.
    #[serde(default = "whole")]
    pub cap_bps: Factor,
    /// The most that points pay for one member on one day; left out: no limit.
    pub cap_fen_day: Option<Price>,
    /// What must be paid with money in any case.
    #[serde(default = "nothing")]
    pub min_cash_fen: Price,
}

/// What points pay of an amount that is no whole number of multiples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PointsRounding {
    /// All of it: the member gives the whole multiple.
    #[default]
    Up,
    /// What whole multiples are worth; the rest is paid with money.
    Down,
}

/// What a sale earns, rounded down.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EarnRate {
    /// So many fen …
    pub fen: Count,
    /// … earn so many points.
    pub points: Price,
    /// Whether what is left over of a point is kept for the member's next sale.
    #[serde(default)]
    pub carry: bool,
    /// Days before plainly earned points may be spent.
    #[serde(default)]
    pub pending_days: u32,
    /// … and so many status points, which count for the tier and buy nothing.
    #[serde(default = "nothing")]
    pub status_points: Price,
}

/// How big a grant to ask for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantSize {
    /// Points for what is bought in one visit, until there are spends enough to tell.
    pub visit_points: Count,
    /// Points kept at a member's home between visits; the ledger may give less. 0: none are kept.
    #[serde(default = "nothing")]
    pub standing_points: Price,
    /// With fewer points than this at home, more are asked for.
    #[serde(default = "nothing")]
    pub low_water_points: Price,
}

/// How many points staff may give by hand.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Goodwill {
    /// One person alone, at a time.
    pub alone_points: Count,
    /// One person alone, on one business day.
    pub day_points: Count,
    /// Two persons, at a time.
    pub most_points: Count,
}

impl Default for Goodwill {
    fn default() -> Self {
        Self { alone_points: Count(200), day_points: Count(1_000), most_points: Count(10_000) }
    }
}

/// A number from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "i64")]
pub struct Count(pub i64);

/// The most that any amount in a bundle may be: keeps every product far inside 64 bits.
const AMOUNT_MAX: i64 = 100_000_000;

impl TryFrom<i64> for Count {
    type Error = String;

    fn try_from(number: i64) -> Result<Self, String> {
        let wrong = || format!("{number}, expected 1 to {AMOUNT_MAX}");
        (1..=AMOUNT_MAX).contains(&number).then_some(Self(number)).ok_or_else(wrong)
    }
}

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

fn whole() -> Factor {
    Factor(10_000)
}

fn nothing() -> Price {
    Price(0)
}

/// A mistake in a bundle, for the person who wrote it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{wrong}; allowed: {allowed}", .place.map_or(String::new(), |(line, column)| format!("{line}:{column}: ")))]
pub struct BadRules {
    /// Line and column, both from 1; `None` where the whole bundle is meant.
    pub place: Option<(usize, usize)>,
    /// What is wrong.
    pub wrong: String,
    /// What is allowed.
    pub allowed: String,
}

impl BadRules {
    fn whole(wrong: impl Into<String>, allowed: impl Into<String>) -> Self {
        Self { place: None, wrong: wrong.into(), allowed: allowed.into() }
    }

    fn at(text: &str, span: Range<usize>, wrong: impl Into<String>, allowed: impl Into<String>) -> Self {
        let place = (span.end > 0).then(|| place(text, span.start));
        Self { place, wrong: wrong.into(), allowed: allowed.into() }
    }

    fn unreadable(text: &str, error: &toml::de::Error) -> Self {
        let message = error.message().replace('\n', "; ");
        let (wrong, allowed) = match message.split_once(", expected ") {
            Some((wrong, allowed)) => (wrong.to_owned(), allowed.to_owned()),
            None => (message, "what docs/tariffs.md describes".to_owned()),
        };
        Self { place: error.span().map(|span| place(text, span.start)), wrong, allowed }
    }
}

fn place(text: &str, byte: usize) -> (usize, usize) {
    let before = text.get(..byte).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    (line, before.chars().rev().take_while(|c| *c != '\n').count() + 1)
}

impl Rules {
    /// Reads a bundle and refuses it where it contradicts itself or computes its own golden cases differently.
    pub fn parse(text: &str) -> Result<Self, BadRules> {
        let (rules, cases, sales) = file::read(text)?;
        golden::prove(&rules, &cases, text)?;
        golden_sale::prove(&rules, &sales, text)?;
        Ok(rules)
    }

    /// How many points are worth an amount of money at least, in whole multiples.
    pub fn points_needed(&self, fen: Fen) -> Points {
        assert!(fen.0 >= 0, "a negative amount is not paid with points");
        let (fen, granule) = (i128::from(fen.0), i128::from(self.points.granularity.0));
        let (points, worth) = (fen * i128::from(self.points.points.0), i128::from(self.points.fen.0));
        Points(at_most_64_bits(div_ceil(div_ceil(points, worth), granule) * granule))
    }

    /// What points pay of an amount: all of it, or what whole multiples are worth.
    pub fn payable(&self, fen: Fen) -> Fen {
        let whole = self.points_needed(fen);
        match self.points.rounding {
            PointsRounding::Up => fen,
            PointsRounding::Down if self.points_worth(whole) == fen => fen,
            PointsRounding::Down => self.points_worth(Points(whole.0 - self.points.granularity.0)),
        }
    }

    /// The money that so many points pay at most: whole granules only, rounded down.
    pub fn points_worth(&self, points: Points) -> Fen {
        let granules = points.0.max(0) / self.points.granularity.0;
        let whole = i128::from(granules * self.points.granularity.0);
        Fen(at_most_64_bits(whole * i128::from(self.points.fen.0) / i128::from(self.points.points.0)))
    }

    /// What a day of parking costs in points: as a rule the cap, and what a grant for a visit should cover.
    pub fn day_in_points(&self) -> Points {
        self.points_needed(tariff::total(self, &Question::of(UtcMs(0), UtcMs(DAY_MS))))
    }

    /// How many points a sale earns: rounded down, and never more than one amount may be.
    pub fn points_earned(&self, fen: Fen) -> Points {
        assert!(fen.0 >= 0, "a negative sale earns nothing");
        let exact = i128::from(fen.0) * i128::from(self.earn.points.0) / i128::from(self.earn.fen.0);
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
