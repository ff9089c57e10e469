//! One vehicle in one lot before the meter runs: its times, its tariff, and what holds at a moment.

use super::calendar::{Calendar, DAY_S};
use super::plan::Plan;
use super::terms::{AfterBenefit, Free, Round};

/// What is metered.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// The tariff.
    pub plan: &'a Plan,
    /// The wall's time.
    pub calendar: &'a Calendar,
    /// When the vehicle came, in seconds since 1970.
    pub entry: i64,
    /// When it leaves; not before it came.
    pub exit: i64,
    /// Times in which this clock stands still, in order and apart from each other.
    pub pauses: &'a [(i64, i64)],
    /// From when time benefits let it be charged; `entry` without any.
    pub charge_from: i64,
    /// Whether free minutes of the stay are given to this visit.
    pub has_free: bool,
    /// A factor on the price of each unit.
    pub scale: Scale,
    /// What earlier visits were charged: cap, day, fen.
    pub prior: &'a [(usize, i64, i64)],
}

/// A factor on a price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    /// In basis points, already rounded by [`Scale::of`].
    pub bps: i64,
    /// Where a part of a fen goes.
    pub round: Round,
    /// And so many bays.
    pub bays: i64,
}

/// The whole amount.
const WHOLE_BPS: i64 = 10_000;

impl Scale {
    /// No factor.
    pub const ONE: Self = Self { bps: WHOLE_BPS, round: Round::HalfUp, bays: 1 };

    /// The scaled amount.
    pub fn of(self, fen: i64) -> i64 {
        if self.bps == WHOLE_BPS {
            return fen * self.bays;
        }
        let (exact, whole) = (i128::from(fen) * i128::from(self.bps), i128::from(WHOLE_BPS));
        let scaled = match self.round {
            Round::HalfUp => (exact + whole / 2).div_euclid(whole),
            Round::Up => (exact + whole - 1).div_euclid(whole),
            Round::Down => exact.div_euclid(whole),
        };
        i64::try_from(scaled).unwrap_or(i64::MAX / self.bays) * self.bays
    }
}

/// A time in which nothing about the price changes, except that units end.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    /// When it ends.
    pub end: i64,
    /// The wall's date.
    pub day: i64,
    /// The segment and the day on which it began.
    pub segment: Option<(usize, i64)>,
}

/// The moment at which `seconds` of charged time have gone by since `run.charge_from`.
pub fn charged_until(runs: &[Run<'_>], seconds: i64) -> i64 {
    let Some(outer) = runs.first() else { return 0 };
    let (mut at, mut left) = (outer.entry, seconds);
    while left > 0 && at < outer.exit {
        let mut end = outer.exit;
        let mut is_charged = false;
        for run in runs {
            let (until, charged) = run.charges_at(at);
            end = end.min(until);
            is_charged |= charged;
        }
        let taken = if is_charged { left.min(end - at) } else { 0 };
        at = if is_charged { at + taken } else { end };
        left -= taken;
    }
    at
}

/// Whether free minutes hold all of `from..to`.
pub fn is_within(run: &Run<'_>, free_s: i64, free: &Free, from: i64, to: i64) -> bool {
    let from = match free.after_benefit {
        AfterBenefit::Once => from,
        AfterBenefit::Again => from.max(run.charge_from),
    };
    run.running(from, to) <= free_s
}

impl Run<'_> {
    /// How long the clock runs between two moments.
    pub fn running(&self, from: i64, to: i64) -> i64 {
        let paused = |(start, end): &(i64, i64)| (to.min(*end) - from.max(*start)).max(0);
        (to - from).max(0) - self.pauses.iter().map(paused).sum::<i64>()
    }

    /// The end of the pause that holds a moment, if one does; else the beginning of the next.
    pub fn pause_at(&self, at: i64) -> Result<i64, i64> {
        for (start, end) in self.pauses {
            if at < *start {
                return Err(*start);
            }
            if at < *end {
                return Ok(*end);
            }
        }
        Err(i64::MAX)
    }

    /// Until when the price stays as it is at a moment, and whether there is one.
    fn charges_at(&self, at: i64) -> (i64, bool) {
        if at < self.entry {
            return (self.entry, false);
        }
        if at >= self.exit {
            return (i64::MAX, false);
        }
        match self.pause_at(at) {
            Ok(end) => (end, false),
            Err(next) => {
                let piece = self.piece_at(at);
                let is_charged = self.plan.segments.is_empty() || piece.segment.is_some();
                (piece.end.min(next).min(self.exit), is_charged)
            }
        }
    }

    pub fn piece_at(&self, at: i64) -> Piece {
        if !self.plan.needs_wall {
            return Piece { end: i64::MAX, day: 0, segment: None };
        }
        let (offset, until) = self.calendar.zone.offset_at(at);
        let local = at + offset;
        let day = local.div_euclid(DAY_S);
        let second = local.rem_euclid(DAY_S);
        if self.plan.segments.is_empty() {
            return Piece { end: until.min((day + 1) * DAY_S - offset), day, segment: None };
        }
        let (_, before) = self.calendar.date(day - 1);
        let spans = self.plan.parts_of(self.calendar.date(day), before);
        let span = spans.iter().find(|span| second < span.until).expect("the last span ends with the day");
        let segment = span.segment.map(|(n, is_of_before)| (n, day - i64::from(is_of_before)));
        Piece { end: until.min(day * DAY_S + span.until - offset), day, segment }
    }
}
