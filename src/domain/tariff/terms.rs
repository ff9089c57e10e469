//! A tariff as a mall's price sheet says it, one table of the bundle; every doubtful reading is a switch with a name.

use serde::Deserialize;
use toml::Spanned;

use super::calendar::{DAY_S, DayKind};
use crate::domain::admission::table::{Spaces, WhenFull};

pub use super::amounts::{Amounts, Factor, Grace, Minutes, Price, TimeOfDay};

/// What a kind of vehicle pays in a lot.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tariff {
    /// Its name, printed on every line of a fee.
    pub id: Spanned<String>,
    /// The classes of vehicles that pay it; none named: every class that no other tariff of the lot names.
    #[serde(default)]
    pub classes: Vec<String>,
    /// The lots in which it holds; none named: the car park itself.
    #[serde(default)]
    pub zones: Vec<String>,
    /// Time that costs nothing.
    pub free: Option<Free>,
    /// What the beginning of the stay costs, before segments and units.
    #[serde(default)]
    pub blocks: Vec<Block>,
    /// The repeating unit, where the price is the same at every time of day.
    pub unit: Option<Unit>,
    /// Parts of the day with prices of their own.
    #[serde(default)]
    pub segments: Vec<Segment>,
    /// What a time of day is that no segment holds.
    #[serde(default)]
    pub outside: Outside,
    /// Whether a unit ends with its segment.
    #[serde(default)]
    pub rounding: Rounding,
    /// When the rule begins again.
    #[serde(default)]
    pub restart: Restart,
    /// Whether the free minutes are given again with it.
    #[serde(default)]
    pub restart_free: bool,
    /// From when the 24-hour days of caps and restarts are counted.
    #[serde(default)]
    pub days_from: DaysFrom,
    /// What counts of a minute that has begun.
    #[serde(default)]
    pub clock: StayClock,
    /// The most that something costs.
    #[serde(default)]
    pub caps: Vec<Cap>,
    /// Classes that pay this tariff times a factor.
    #[serde(default)]
    pub multipliers: Vec<Multiplier>,
    /// What factors and bays multiply.
    #[serde(default)]
    pub multiply: Multiply,
    /// Time to reach the exit after paying.
    #[serde(default)]
    pub grace_minutes: Grace,
}

/// Minutes that cost nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Free {
    /// How many.
    pub minutes: Minutes,
    /// What happens when they are exceeded.
    #[serde(default)]
    pub reading: FreeReading,
    /// Whether a threshold applies again to what a time benefit leaves.
    #[serde(default)]
    pub after_benefit: AfterBenefit,
    /// Which visits of a day have them.
    #[serde(default)]
    pub visits: FreeVisits,
}

/// Minutes of a segment that cost nothing, measured on what is to be charged of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SegmentFree {
    /// How many.
    pub minutes: Minutes,
    /// What happens when they are exceeded.
    #[serde(default)]
    pub reading: FreeReading,
}

/// How free minutes are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FreeReading {
    /// A longer stay is charged from its start.
    #[default]
    Threshold,
    /// A longer stay is charged after them.
    Deducted,
}

/// Whether what a time benefit leaves of a stay may be free by the threshold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AfterBenefit {
    /// Only the whole stay is measured.
    #[default]
    Once,
    /// The rest is measured again.
    Again,
}

/// Which visits of a plate on one day have free minutes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FreeVisits {
    /// Each.
    #[default]
    Each,
    /// The first only.
    FirstOfDay,
}

/// The beginning of a stay, or of a segment, at a price of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Block {
    /// How long it is.
    pub minutes: Minutes,
    /// Its own unit, which must divide it; left out: one price for the whole block.
    pub unit_minutes: Option<Minutes>,
    /// The price of the unit.
    pub fen: Price,
}

/// A repeating unit; a started one counts whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unit {
    /// Its length.
    pub minutes: Minutes,
    /// Its price.
    pub fen: Price,
}

/// A part of the day with prices of its own, from `from` up to but not including `to`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Segment {
    /// Its name, printed on lines.
    pub id: Spanned<String>,
    /// What a driver reads in Chinese.
    pub zh: Option<String>,
    /// What a driver reads in English.
    pub en: Option<String>,
    /// When it begins; every day it begins anew.
    pub from: TimeOfDay,
    /// When it ends; not later than `from` means the next day.
    pub to: TimeOfDay,
    /// On which days; none named: every day.
    #[serde(default)]
    pub days: Vec<Days>,
    /// Whose day counts for the part after midnight.
    #[serde(default)]
    pub night_of: NightOf,
    /// Minutes at its beginning that cost nothing, each time it comes.
    pub free: Option<SegmentFree>,
    /// What its beginning costs.
    #[serde(default)]
    pub blocks: Vec<Block>,
    /// Its repeating unit.
    pub unit: Unit,
    /// The most that it costs each time it comes.
    pub cap_fen: Option<Price>,
}

/// Days on which a segment holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Days {
    /// Days of work, moved ones too.
    Workday,
    /// Days of the weekend that are neither holidays nor worked.
    Weekend,
    /// Holidays.
    Holiday,
    /// Mondays.
    Mon,
    /// Tuesdays.
    Tue,
    /// Wednesdays.
    Wed,
    /// Thursdays.
    Thu,
    /// Fridays.
    Fri,
    /// Saturdays.
    Sat,
    /// Sundays.
    Sun,
}

/// Which day's kind counts for the part of a segment after midnight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NightOf {
    /// The day that the calendar shows.
    #[default]
    OwnDay,
    /// The day before, on which the night began.
    DayBefore,
}

/// What the hours are that no segment holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outside {
    /// A mistake of the bundle.
    #[default]
    Refused,
    /// Hours that cost nothing.
    Free,
}

/// How units meet segments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rounding {
    /// Each segment counts its own units from its own beginning.
    #[default]
    PerSegment,
    /// A unit that has begun runs on into the next segment; only charged time counts.
    Overall,
}

/// When units and blocks begin again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum Restart {
    /// Never: the repeating unit goes on.
    #[default]
    #[serde(rename = "never")]
    Never,
    /// Every 24 hours.
    #[serde(rename = "24h")]
    Hours24,
    /// At every midnight of the mall's wall clock.
    #[serde(rename = "midnight")]
    Midnight,
}

/// From when 24-hour days are counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DaysFrom {
    /// From the entry.
    #[default]
    Entry,
    /// From the first moment that is charged, after deducted minutes and time benefits.
    Charge,
}

/// What counts of a minute that has begun.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StayClock {
    /// Its seconds.
    #[default]
    Seconds,
    /// The whole minute.
    StartedMinutes,
    /// Nothing.
    WholeMinutes,
}

/// The most that a time costs.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cap {
    /// What time.
    pub per: CapPeriod,
    /// How much: for the first such time, the second, …; the last one for all later ones.
    pub fen: Amounts,
    /// Which segments count towards it; none named: everything.
    #[serde(default)]
    pub segments: Vec<String>,
    /// Whether it also limits a part of such a time.
    #[serde(default)]
    pub part: CapPart,
    /// Whether all visits of a plate on the day share it; for `day` only.
    #[serde(default)]
    pub shared: bool,
}

/// What a cap covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum CapPeriod {
    /// Every 24 hours.
    #[serde(rename = "24h")]
    Hours24,
    /// Every day of the calendar.
    #[serde(rename = "day")]
    Day,
    /// The whole stay.
    #[serde(rename = "stay")]
    Stay,
}

impl CapPeriod {
    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            CapPeriod::Hours24 => "24h",
            CapPeriod::Day => "day",
            CapPeriod::Stay => "stay",
        }
    }
}

/// Whether a cap limits a part of its time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CapPart {
    /// It does.
    #[default]
    Limited,
    /// Only a full time is limited.
    Unlimited,
}

/// A class that pays a factor.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Multiplier {
    /// Which class.
    pub class: String,
    /// The factor in basis points; 20000 is double.
    pub bps: Factor,
    /// Where a part of a fen goes.
    #[serde(default)]
    pub round: Round,
}

/// Where a part of a fen goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Round {
    /// To the nearer fen, from the half upwards.
    #[default]
    HalfUp,
    /// Upwards.
    Up,
    /// Downwards.
    Down,
}

/// What factors and bays multiply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Multiply {
    /// The fee after its caps.
    #[default]
    Total,
    /// The price of each unit; the caps stay.
    Units,
}

/// A lot inside the car park.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InnerLot {
    /// Its name.
    pub id: Spanned<String>,
    /// Whether the car park's own clock runs on meanwhile.
    pub outer: OuterClock,
    /// Who may drive in.
    #[serde(default)]
    pub access: ZoneAccess,
    /// Its bays; left out: they are not counted.
    pub spaces: Option<Spaces>,
    /// What happens at its entry when none is free.
    #[serde(default)]
    pub full: WhenFull,
}

/// Who may drive into an inner lot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ZoneAccess {
    /// Everyone.
    #[default]
    Everyone,
    /// Those whose list or pass names it, and whom a guard lets in.
    Entitled,
}

/// What the car park's own clock does while a vehicle is in an inner lot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OuterClock {
    /// It runs; the inner lot is paid on top.
    Running,
    /// It stands still; only the inner lot is paid.
    Paused,
}

/// The most that a rule may have of anything (segments, blocks, caps, amounts of a cap): far above any price sheet.
pub const LIST_MAX: usize = 32;

impl Days {
    /// Whether a date is one of them.
    pub fn holds(self, weekday: usize, kind: DayKind) -> bool {
        match self {
            Days::Workday => kind == DayKind::Workday,
            Days::Weekend => kind == DayKind::Weekend,
            Days::Holiday => kind == DayKind::Holiday,
            Days::Mon => weekday == 0,
            Days::Tue => weekday == 1,
            Days::Wed => weekday == 2,
            Days::Thu => weekday == 3,
            Days::Fri => weekday == 4,
            Days::Sat => weekday == 5,
            Days::Sun => weekday == 6,
        }
    }
}

impl Segment {
    /// Whether it holds at a second of the day, and if so whether it began on the day before. `today` and `before` are
    /// weekday and kind of the two dates.
    pub fn holds(&self, second: i64, today: (usize, DayKind), before: (usize, DayKind)) -> Option<bool> {
        let on = |(weekday, kind)| self.days.is_empty() || self.days.iter().any(|days| days.holds(weekday, kind));
        let (from, to) = (self.from.0, self.to.0);
        if from < to {
            return (second >= from && second < to && on(today)).then_some(false);
        }
        if second >= from && on(today) {
            return Some(false);
        }
        let night = match self.night_of {
            NightOf::OwnDay => today,
            NightOf::DayBefore => before,
        };
        (second < to.min(DAY_S) && on(night)).then_some(true)
    }
}
