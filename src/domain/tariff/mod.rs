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

use super::admission::Right;
use super::admission::table::NoEntry;
use super::event::{Fen, UtcMs};
use super::rules::Rules;
use super::stay::{Stay, ZoneVisit};

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
    // Debts are paid first; the grace after a payment is for what was paid for this stay.
    let paid = Fen((stay.paid.0 - stay.debts.0).max(0));
    let question = Question { paid, paid_at: stay.paid_at.filter(|_| paid.0 > 0), ..question(stay, prior, at) };
    let mut fee = fee_of(rules, stay, question);
    add_debts(&mut fee, stay.debts);
    let due = Fen((fee.total.0 - stay.paid.0).max(0));
    Quote { fee, due }
}

/// How far back an earlier visit may have ended: the longest civil day, with room.
pub const LOOK_BACK_MS: i64 = 26 * 3600 * 1000;

/// Whether an earlier visit is one that the fee of a stay from `entry` may depend on.
pub fn is_prior(visit: &PriorVisit, entry: UtcMs) -> bool {
    visit.exit.0 >= entry.0.saturating_sub(LOOK_BACK_MS) && visit.entry.0 <= entry.0
}

/// Answers a question about a stay: what its list or pass covers costs nothing, and what was assumed is said.
pub fn fee_of(rules: &Rules, stay: &Stay, mut question: Question) -> Fee {
    let exit = question.exit;
    let covered = stay.right.as_ref().map(|right| (right, rules.admission.covered_until(right, stay.entry, exit)));
    let mut fee = match &covered {
        Some((_, until)) if *until >= exit => Fee::default(),
        Some((_, until)) => {
            question.entry = *until;
            fee(rules, &question)
        }
        None => fee(rules, &question),
    };
    if let Some((right, until)) = covered {
        fee.lines.insert(0, right_line(right, stay.entry, until));
    }
    if let Some(assumed) = stay.assumed {
        fee.lines.insert(0, assumed_line(assumed));
    }
    fee
}

/// What is asked about a stay that leaves at `at`, with its parts in inner lots, without payments and rights.
pub fn question(stay: &Stay, prior: &[PriorVisit], at: UtcMs) -> Question {
    let class = stay.plate.as_ref().map_or(ORDINARY, super::plate::Plate::class);
    let part = |part: &ZoneVisit| ZonePart { zone: part.zone.clone(), from: part.from, to: part.to.unwrap_or(at) };
    Question {
        class: class.to_owned(),
        prior: prior.to_vec(),
        zones: stay.zones.iter().map(part).collect(),
        ..Question::of(stay.entry, at)
    }
}

/// The least that a stay costs which is not free, in whole minutes from its entry; none where everything is free.
pub fn shortest_charged(rules: &Rules, class: &str, entry: UtcMs) -> Option<i64> {
    let costs = |minutes: i64| {
        let question = Question { class: class.to_owned(), ..Question::of(entry, UtcMs(entry.0 + minutes * 60_000)) };
        total(rules, &question).0 > 0
    };
    (1..=24 * 60).find(|minutes| costs(*minutes))
}

/// What a list or a pass covers is a line of its own, so that nobody wonders about the time.
fn right_line(right: &Right, entry: UtcMs, until: UtcMs) -> FeeLine {
    let minutes = (until.0 - entry.0).max(0) / 60_000;
    let (zh, en) = match right {
        Right::List { id } => (format!("白名单{id}，免费"), format!("list {id}: free")),
        Right::Pass { id } => {
            (format!("月卡{id}，前{minutes}分钟免费"), format!("pass {id}: the first {minutes} min are free"))
        }
    };
    FeeLine { rule: right.rule(), fen: Fen(0), zh, en }
}

/// An entry that nobody read is said to be assumed.
fn assumed_line(assumed: NoEntry) -> FeeLine {
    let (rule, zh, en) = match assumed {
        NoEntry::Guard => ("no_entry.guard", "无入场记录，由岗亭确定入场时间", "no entry found; a guard set its time"),
        NoEntry::DayMax => ("no_entry.day_max", "无入场记录，按24小时计费", "no entry found; charged as 24 hours"),
        NoEntry::Minimum => ("no_entry.minimum", "无入场记录，按最低收费", "no entry found; charged the least fee"),
    };
    FeeLine { rule: rule.to_owned(), fen: Fen(0), zh: zh.to_owned(), en: en.to_owned() }
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
