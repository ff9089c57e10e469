//! The bundle's tables about who may come in: `[stays]`, `[[lists]]` and `[[passes]]`, as they are written.

use serde::{Deserialize, Serialize};
use toml::Spanned;

use crate::domain::event::Fen;
use crate::domain::plate::Plate;

/// `[stays]`: what the site does where a stay is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// A vehicle at the exit without an entry.
    pub no_entry: NoEntry,
    /// How many of the last vehicles that came in a guard is shown for it, where the plate is like none inside.
    pub no_entry_last: LastShown,
    /// A vehicle that comes in although it is inside by the books.
    pub repeat_entry: RepeatEntry,
    /// Who is asked first about a vehicle at an entry; the first who has something to say decides.
    pub judgement_order: Vec<Judge>,
    /// When debts of earlier stays are collected.
    pub debts: DebtsWhen,
    /// From this much on, a guard who lets a fee go needs a second person.
    pub second_confirmation_fen: Limit,
    /// Bays of the car park, without those of inner lots; left out: they are not counted.
    pub spaces: Option<Spaces>,
    /// What happens at an entry when none is free.
    pub full: WhenFull,
    /// A vehicle that drives out behind another without a leave of its own owes its fee.
    pub escaped: Escaped,
}

/// What becomes of a vehicle at the exit without an entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoEntry {
    /// A guard says which stay it is, what it pays, or lets it go with a reason.
    #[default]
    Guard,
    /// It pays as if it had come 24 hours ago.
    DayMax,
    /// It pays the least that a stay costs which is not free.
    Minimum,
}

/// What becomes of a vehicle that comes in although it is inside by the books.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RepeatEntry {
    /// The old stay ends as one whose exit was not seen.
    #[default]
    CloseOld,
    /// It waits for a person.
    Refuse,
}

/// Somebody who is asked about a vehicle at an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Judge {
    /// Lists of vehicles that may not come in.
    Block,
    /// Lists of vehicles that always may, for nothing.
    Allow,
    /// Passes.
    Pass,
    /// Debts of earlier stays.
    Debts,
    /// Free spaces.
    Full,
}

/// When debts of earlier stays are collected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DebtsWhen {
    /// With the fee of the stay.
    #[default]
    AtExit,
    /// Before the vehicle comes in.
    AtEntry,
}

/// What happens at an entry when no bay is free.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenFull {
    /// The vehicle waits until one is.
    #[default]
    Wait,
    /// It comes in and looks for itself.
    LetIn,
}

/// What becomes of a vehicle that drove out behind another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Escaped {
    /// Its plate owes its fee.
    #[default]
    Debt,
    /// It is only reported, and its stay stays open for staff.
    Report,
}

/// A vehicle that comes in although its right is in use by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Passback {
    /// As the site does with every vehicle.
    #[default]
    Off,
    /// It comes in and is reported.
    Soft,
    /// It waits for a person.
    Hard,
}

/// Why a list blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BlockReason {
    /// Its owner owes money.
    Arrears,
    /// The police or the mall's management wants it.
    Managed,
    /// Anything else.
    Other,
}

impl BlockReason {
    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            BlockReason::Arrears => "arrears",
            BlockReason::Managed => "managed",
            BlockReason::Other => "other",
        }
    }
}

/// `[[lists]]`: vehicles that are always let in for nothing, or never.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct List {
    /// Its name, printed on the line of a fee.
    pub id: Spanned<String>,
    /// What it does.
    pub kind: ListKind,
    /// Why it blocks; for those that do.
    pub reason: Option<BlockReason>,
    /// The vehicles.
    pub plates: Vec<Spanned<Plate>>,
    /// What happens where one of them comes in twice.
    #[serde(default)]
    pub passback: Passback,
    /// Inner lots that they may enter where those are not open to everyone.
    #[serde(default)]
    pub zones: Vec<String>,
}

/// What a list does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ListKind {
    /// Lets in, for nothing.
    Allow,
    /// Keeps out.
    Block,
}

/// `[[passes]]`: a monthly card, a fixed bay, a family's cars.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WrittenPass {
    /// Its name, printed on the line of a fee.
    pub id: Spanned<String>,
    /// The vehicles that it is for.
    pub plates: Vec<Spanned<Plate>>,
    /// The first day on which it holds, such as 2026-03-01.
    pub from: Spanned<String>,
    /// The last one.
    pub until: Spanned<String>,
    /// How many of its vehicles are inside for nothing at one time; others pay as everybody does.
    #[serde(default)]
    pub cars: Cars,
    /// What happens where one of them comes in twice.
    #[serde(default)]
    pub passback: Passback,
    /// Inner lots that they may enter where those are not open to everyone.
    #[serde(default)]
    pub zones: Vec<String>,
}

/// How many vehicles of a pass, from 1 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "i64")]
pub struct Cars(pub u32);

/// Bays, from 1 to 100,000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "i64")]
pub struct Spaces(pub u32);

/// How many vehicles a guard is shown, from 0 to 20: more are no choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "i64")]
pub struct LastShown(pub u32);

/// An amount of fen, from 0 to 100,000,000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "i64")]
pub struct Limit(pub Fen);

impl Default for Policy {
    fn default() -> Self {
        Self {
            no_entry: NoEntry::default(),
            no_entry_last: LastShown::default(),
            repeat_entry: RepeatEntry::default(),
            judgement_order: vec![Judge::Block, Judge::Allow, Judge::Pass, Judge::Debts, Judge::Full],
            debts: DebtsWhen::default(),
            second_confirmation_fen: Limit(Fen(10_000)),
            spaces: None,
            full: WhenFull::default(),
            escaped: Escaped::default(),
        }
    }
}

impl Default for Cars {
    fn default() -> Self {
        Self(1)
    }
}

impl TryFrom<i64> for Cars {
    type Error = String;

    fn try_from(number: i64) -> Result<Self, String> {
        within(number, 1, 100).map(Self)
    }
}

impl TryFrom<i64> for Spaces {
    type Error = String;

    fn try_from(number: i64) -> Result<Self, String> {
        within(number, 1, 100_000).map(Self)
    }
}

impl TryFrom<i64> for LastShown {
    type Error = String;

    fn try_from(number: i64) -> Result<Self, String> {
        within(number, 0, 20).map(Self)
    }
}

impl TryFrom<i64> for Limit {
    type Error = String;

    fn try_from(number: i64) -> Result<Self, String> {
        within(number, 0, 100_000_000).map(|fen| Self(Fen(i64::from(fen))))
    }
}

fn within(number: i64, least: u32, most: u32) -> Result<u32, String> {
    let fits = u32::try_from(number).ok().filter(|number| (least..=most).contains(number));
    fits.ok_or_else(|| format!("{number}, expected {least} to {most}"))
}
