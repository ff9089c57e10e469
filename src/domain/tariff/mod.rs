//! What a stay costs, line by line, from the rules in force when it began.

mod amounts;
pub mod calendar;
mod meter;
mod plan;
mod pricing;
mod probe;
mod run;
mod tally;
pub mod terms;
#[cfg(test)]
mod tests;
mod words;

use serde::{Deserialize, Serialize};

use super::event::{Fen, UtcMs};
use super::rules::Rules;
use super::stay::Stay;

pub use pricing::Tariffs;
pub use probe::Probe;

/// Everything that a fee follows from, besides the tariffs themselves. The same question always has the same answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// When the vehicle was read at the entry.
    pub entry: UtcMs,
    /// When it leaves, or would leave.
    pub exit: UtcMs,
    /// What kind of vehicle it is, by a name that the tariffs know; an unknown one pays what every other vehicle pays.
    pub class: String,
    /// How many bays it takes up, at least 1.
    pub bays: u32,
    /// The parts of the stay spent in inner lots, in the order of time and without overlaps.
    pub zones: Vec<ZonePart>,
    /// Earlier visits of the same plate that may share a cap or the free minutes of a day.
    pub prior: Vec<PriorVisit>,
    /// Time that a benefit takes from the start of what is still charged, before rounding; in the order of use.
    pub free: Vec<FreeTime>,
    /// What has been paid.
    pub paid: Fen,
    /// When it was last paid; a grace period runs from then.
    pub paid_at: Option<UtcMs>,
}

impl Question {
    /// A stay of an ordinary vehicle in one bay, without benefits and with nothing paid.
    pub fn of(entry: UtcMs, exit: UtcMs) -> Self {
        Self {
            entry,
            exit,
            class: ORDINARY.to_owned(),
            bays: 1,
            zones: Vec::new(),
            prior: Vec::new(),
            free: Vec::new(),
            paid: Fen(0),
            paid_at: None,
        }
    }
}

/// The class of a vehicle that is nothing special.
pub const ORDINARY: &str = "car";

/// A part of a stay spent in an inner lot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ZonePart {
    /// The lot, by its name in the tariffs.
    pub zone: String,
    /// When it was entered.
    pub from: UtcMs,
    /// When it was left.
    pub to: UtcMs,
}

/// An earlier visit of the same plate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriorVisit {
    /// When it came in.
    pub entry: UtcMs,
    /// When it left.
    pub exit: UtcMs,
    /// What it was charged under each shared cap: [`Fee::caps`] of its own answer.
    #[serde(default)]
    pub caps: Vec<CapUse>,
}

/// What was charged under a cap that the visits of a day share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CapUse {
    /// The cap's rule, `<tariff>.cap.<period>`.
    pub rule: String,
    /// The civil day, counted from 1970-01-01 in the site's time zone.
    pub day: i32,
    /// How much, after the cap.
    pub fen: Fen,
}

/// Time that need not be paid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FreeTime {
    /// The benefit's rule; it names the line.
    pub source: String,
    /// How much, in seconds; more than the stay is the whole stay.
    pub seconds: i64,
    /// What the driver reads, in Chinese.
    pub zh: String,
    /// What the driver reads, in English.
    pub en: String,
}

/// One line of a fee.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeeLine {
    /// The rule's name in the bundle and what it did.
    pub rule: String,
    /// What it adds or takes away.
    pub fen: Fen,
    /// The arithmetic in Chinese.
    pub zh: String,
    /// The arithmetic in English.
    pub en: String,
}

/// A fee: lines that sum to the total.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fee {
    /// The sum of the lines, never negative.
    pub total: Fen,
    /// The lines in the order of evaluation: units, caps, multipliers, then a line for each [`FreeTime`] (what it
    /// lowers the fee by, negative or 0, in the order of the question), then the grace after a payment.
    pub lines: Vec<FeeLine>,
    /// Which reading of each rule that can be read in two ways was used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub readings: Vec<Reading>,
    /// What was charged under the caps that a later visit of the same day shares.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub caps: Vec<CapUse>,
}

/// A rule that can be read in two ways, and how it was read: the tariff's own switch.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Reading {
    /// The switch, `<tariff>.<key>`.
    pub switch: String,
    /// Its position.
    pub reading: String,
}

/// A fee and what of it is still to be paid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quote {
    /// The fee.
    pub fee: Fee,
    /// Its unpaid part.
    pub due: Fen,
}

/// Answers a question under the tariffs of `rules`. Total: every question has an answer, and it is never negative.
pub fn fee(rules: &Rules, question: &Question) -> Fee {
    rules.tariffs.fee(question)
}

/// The total of [`fee`] alone, without the lines: for those who ask a million times.
pub fn total(rules: &Rules, question: &Question) -> Fen {
    rules.tariffs.total(question)
}

/// What `stay` costs if it leaves at `at`, less what has been paid. Inside the grace after a payment nothing more is
/// due. `prior` are the earlier visits of the same plate that may share a cap with it.
pub fn quote(rules: &Rules, stay: &Stay, prior: &[PriorVisit], at: UtcMs) -> Quote {
    let class = stay.plate.as_ref().map_or(ORDINARY, super::plate::Plate::class);
    // Debts are paid first; the grace after a payment is for what was paid for this stay.
    let paid = Fen((stay.paid.0 - stay.debts.0).max(0));
    let mut fee = fee(
        rules,
        &Question {
            class: class.to_owned(),
            prior: prior.to_vec(),
            paid,
            paid_at: stay.paid_at.filter(|_| paid.0 > 0),
            ..Question::of(stay.entry, at)
        },
    );
    add_debts(&mut fee, stay.debts);
    let due = Fen((fee.total.0 - stay.paid.0).max(0));
    Quote { fee, due }
}

/// What earlier stays of the plate left unpaid is a line of its own.
pub(super) fn add_debts(fee: &mut Fee, debts: Fen) {
    if debts.0 > 0 {
        fee.lines.push(FeeLine {
            rule: "debt".to_owned(),
            fen: debts,
            zh: "此前停车未付金额".to_owned(),
            en: "unpaid from earlier stays".to_owned(),
        });
        fee.total.0 += debts.0;
    }
}

/// Fen as yuan with two decimals.
pub fn yuan(fen: i64) -> String {
    let sign = if fen < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", fen.abs() / 100, fen.abs() % 100)
}
