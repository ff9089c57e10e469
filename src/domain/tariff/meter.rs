//! The meter of one vehicle in one lot: walks from change to change of the price, never from minute to minute.

use super::calendar::DAY_S;
use super::plan::Step;
use super::run::{Run, is_within};
use super::tally::{Limit, Source, Tally};
use super::terms::{CapPart, CapPeriod, DaysFrom, FreeReading, Restart, Rounding};

/// What a run counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Units and cuts.
    pub tally: Tally,
    /// What was charged under each shared cap: cap, day, fen.
    pub shared: Vec<(usize, i64, i64)>,
    /// Whether any time was free by a free minute.
    pub was_free: bool,
}

/// A cap's money in the time that it now covers.
#[derive(Clone, Copy, Debug)]
struct Window {
    id: i64,
    used: i64,
    /// The one before, for clocks that are put back over midnight.
    before: (i64, i64),
    /// How much of `used` came from earlier visits.
    given: i64,
}

struct Meter<'a> {
    run: Run<'a>,
    at: i64,
    /// Of the unit that has begun: what is left, its place in the tally, whether it is the stay's own beginning.
    unit_left: i64,
    unit_place: usize,
    unit_is_block: bool,
    /// How much of the beginnings is used up.
    block_clock: i64,
    segment_clock: i64,
    segment: Option<(usize, i64)>,
    segment_used: i64,
    /// Seconds of the segment that cost nothing; `None` until that is known.
    segment_free: Option<i64>,
    /// Free seconds still to be taken off.
    skip: i64,
    /// From when 24-hour days count, once that is known.
    anchor: Option<i64>,
    period_end: i64,
    period_is_free: bool,
    windows: Vec<Window>,
    /// What the last full day began with, and what had been counted then.
    mark: Option<(Carry, Tally)>,
    count: Count,
}

/// What one day of 24 hours takes over from the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Carry {
    segment: Option<(usize, i64)>,
    used: i64,
    free: Option<i64>,
}

/// Meters a stay.
pub fn meter(run: Run<'_>) -> Count {
    if let Some((free_s, free)) = run.plan.free()
        && run.has_free
        && !run.plan.tariff.restart_free
        && is_within(&run, free_s, free, run.entry, run.exit)
    {
        return Count { was_free: true, ..Count::default() };
    }
    let mut meter = Meter::new(run);
    meter.walk();
    meter.finish()
}

impl<'a> Meter<'a> {
    fn new(run: Run<'a>) -> Self {
        let tariff = &run.plan.tariff;
        let skip = match run.plan.free() {
            Some((free_s, free)) if run.has_free && !tariff.restart_free => match free.reading {
                FreeReading::Threshold => 0,
                FreeReading::Deducted => free_s,
            },
            Some(_) | None => 0,
        };
        Self {
            at: run.charge_from,
            unit_left: 0,
            unit_place: 0,
            unit_is_block: false,
            block_clock: 0,
            segment_clock: 0,
            segment: None,
            segment_used: 0,
            segment_free: None,
            skip,
            anchor: match tariff.days_from {
                DaysFrom::Entry => Some(run.entry),
                DaysFrom::Charge => None,
            },
            period_end: i64::MIN,
            period_is_free: false,
            windows: vec![Window { id: i64::MIN, used: 0, before: (i64::MIN, 0), given: 0 }; tariff.caps.len()],
            mark: None,
            count: Count::default(),
            run,
        }
    }

    fn walk(&mut self) {
        while self.at < self.run.exit {
            let pause = match self.run.pause_at(self.at) {
                Ok(end) => {
                    self.at = end;
                    continue;
                }
                Err(next) => next,
            };
            if self.at >= self.period_end {
                self.begin_period();
                if self.at >= self.run.exit {
                    return;
                }
            }
            let piece = self.run.piece_at(self.at);
            if self.segment != piece.segment {
                self.enter_segment(piece.segment);
            }
            let end = piece.end.min(pause).min(self.run.exit).min(self.period_end).min(self.window_end());
            let is_charged = self.run.plan.segments.is_empty() || piece.segment.is_some();
            if !is_charged || self.period_is_free {
                self.count.was_free |= is_charged;
                self.at = end;
                continue;
            }
            self.take_free(end);
            if self.anchor.is_none() && self.at < end {
                // Days that count from the first charged moment begin here, and may end before this piece does.
                self.anchor = Some(self.at);
                self.period_end = i64::MIN;
                continue;
            }
            self.charge(end, piece.day);
        }
    }

    /// The rule begins, or begins again.
    fn begin_period(&mut self) {
        let tariff = &self.run.plan.tariff;
        let is_first = self.period_end == i64::MIN;
        let Some(anchor) = self.anchor.or(Some(self.at).filter(|_| tariff.restart == Restart::Midnight)) else {
            self.period_end = i64::MAX;
            return;
        };
        (self.unit_left, self.block_clock, self.segment_clock) = (0, 0, 0);
        let start = match tariff.restart {
            Restart::Never => {
                self.period_end = i64::MAX;
                return;
            }
            Restart::Hours24 => {
                if !is_first {
                    self.jump();
                }
                anchor + (self.at - anchor).div_euclid(DAY_S) * DAY_S
            }
            Restart::Midnight => {
                let zone = &self.run.calendar.zone;
                zone.utc(zone.local(self.at).div_euclid(DAY_S) * DAY_S)
            }
        };
        self.period_end = match tariff.restart {
            Restart::Never | Restart::Hours24 => start + DAY_S,
            Restart::Midnight => self.run.calendar.zone.next_midnight(self.at),
        };
        if let Some((free_s, free)) = self.run.plan.free().filter(|_| tariff.restart_free && self.run.has_free) {
            let (from, to) = (start.max(self.run.entry), self.period_end.min(self.run.exit));
            self.period_is_free = is_within(&self.run, free_s, free, from, to);
            // What a day does not use of its free minutes is not carried into the next.
            self.skip = match free.reading {
                FreeReading::Threshold => 0,
                FreeReading::Deducted => free_s,
            };
        }
    }

    /// Whole days that cost the same as the one before are multiplied.
    fn jump(&mut self) {
        let (plan, zone) = (self.run.plan, &self.run.calendar.zone);
        let anchor = self.anchor.unwrap_or(self.at);
        let day = (self.at - anchor) / DAY_S;
        let is_even = plan.repeats
            && self.run.pauses.is_empty()
            && self.skip == 0
            && (!plan.needs_wall || zone.offset_at(anchor).1 >= self.run.exit);
        if !is_even || day <= plan.caps_settle_at() {
            return;
        }
        let carry = self.carry();
        match self.mark.take() {
            Some((before, tally)) if before == carry => {
                // The last full day is walked: a segment that begins in it may find the exit before its own end.
                let days = (self.run.exit - self.at) / DAY_S - 1;
                if days > 0 {
                    self.count.tally.repeat(&tally, days);
                    self.at += days * DAY_S;
                    self.segment = self.segment.map(|(segment, began)| (segment, began + days));
                }
            }
            Some(_) | None => self.mark = Some((carry, self.count.tally.clone())),
        }
    }

    /// What this moment has taken over, told by the age of the segment and not by its date.
    fn carry(&self) -> Carry {
        let today = self.run.piece_at(self.at).day;
        let segment = self.segment.map(|(segment, began)| (segment, today - began));
        Carry { segment, used: self.segment_used, free: self.segment_free }
    }

    fn enter_segment(&mut self, segment: Option<(usize, i64)>) {
        self.segment = segment;
        (self.segment_clock, self.segment_used, self.segment_free) = (0, 0, None);
        match self.run.plan.tariff.rounding {
            // The beginning of the stay is one price, whichever segments it reaches over.
            Rounding::PerSegment if !self.unit_is_block => self.unit_left = 0,
            Rounding::PerSegment | Rounding::Overall => {}
        }
    }

    /// Where the next cap's time begins.
    fn window_end(&self) -> i64 {
        let has_24h_caps = self.run.plan.tariff.caps.iter().any(|cap| cap.per == CapPeriod::Hours24);
        match self.anchor {
            Some(anchor) if has_24h_caps => anchor + ((self.at - anchor).div_euclid(DAY_S) + 1) * DAY_S,
            Some(_) | None => i64::MAX,
        }
    }

    /// Lets free seconds go by: the stay's own first, then the segment's.
    fn take_free(&mut self, end: i64) {
        let taken = self.skip.min(end - self.at);
        (self.skip, self.at) = (self.skip - taken, self.at + taken);
        self.count.was_free |= taken > 0;
        if self.at >= end {
            return;
        }
        let Some((segment, _)) = self.segment else { return };
        let Some((free_s, reading)) = self.run.plan.segments[segment].free else { return };
        let left = self.segment_free.unwrap_or_else(|| match reading {
            FreeReading::Deducted => free_s,
            FreeReading::Threshold if self.rest_of_segment() <= free_s => i64::MAX,
            FreeReading::Threshold => 0,
        });
        let taken = left.min(end - self.at);
        self.segment_free = Some(if left == i64::MAX { left } else { left - taken });
        self.count.was_free |= taken > 0;
        self.at += taken;
    }

    /// How long the clock will run in this segment.
    fn rest_of_segment(&self) -> i64 {
        let mut at = self.at;
        while at < self.run.exit {
            let piece = self.run.piece_at(at);
            if piece.segment != self.segment {
                break;
            }
            at = piece.end;
        }
        self.run.running(self.at, at.min(self.run.exit))
    }

    fn charge(&mut self, end: i64, day: i64) {
        while self.at < end {
            if self.unit_left > 0 {
                let taken = self.unit_left.min(end - self.at);
                self.count.tally.charged[self.unit_place].seconds += taken;
                (self.unit_left, self.at) = (self.unit_left - taken, self.at + taken);
                continue;
            }
            self.begin_units(end, day);
        }
    }

    /// Begins as many units of one price as there is time for before `end`, the last of them perhaps only in part.
    fn begin_units(&mut self, end: i64, day: i64) {
        let (source, step, clock) = self.step();
        let rest = end - self.at;
        let (units, taken) = if step.until_s == i64::MAX {
            (div_ceil(rest, step.unit_s), rest)
        } else {
            let room = step.until_s - clock;
            let units = div_ceil(rest.min(room), step.unit_s);
            (units, rest.min(units * step.unit_s))
        };
        match source {
            Source::Block(_) => self.block_clock += units * step.unit_s,
            Source::SegmentBlock(..) => self.segment_clock += units * step.unit_s,
            Source::Segment(_) | Source::Unit => {}
        }
        let fen = self.run.scale.of(step.fen);
        self.unit_place = self.count.tally.charge(source, step.unit_s, fen, units);
        self.unit_is_block = matches!(source, Source::Block(_));
        self.count.tally.charged[self.unit_place].seconds += taken;
        self.unit_left = units * step.unit_s - taken;
        self.limit(units * fen, day);
        self.at += taken;
    }

    /// Which unit begins now.
    fn step(&self) -> (Source, Step, i64) {
        let plan = self.run.plan;
        if let Some((n, step)) = plan.blocks.at(self.block_clock) {
            return (Source::Block(n), step, self.block_clock);
        }
        match (self.segment, plan.unit) {
            (Some((segment, _)), _) => match plan.segments[segment].blocks.at(self.segment_clock) {
                Some((n, step)) => (Source::SegmentBlock(segment, n), step, self.segment_clock),
                None => (Source::Segment(segment), plan.segments[segment].unit, 0),
            },
            (None, Some(unit)) => (Source::Unit, unit, 0),
            (None, None) => unreachable!("a tariff has a unit or segments, and nothing is charged outside them"),
        }
    }

    /// Takes off what any cap has no room for; all caps count only what was left.
    fn limit(&mut self, fen: i64, day: i64) {
        let plan = self.run.plan;
        let mut least = (fen, None);
        if let Some((segment, began)) = self.segment
            && let Some(cap) = plan.segments[segment].cap
            && cap - self.segment_used < least.0
        {
            least = (cap - self.segment_used, Some((Limit::Segment(segment), began)));
        }
        for n in 0..plan.tariff.caps.len() {
            if !self.counts_towards(n) {
                continue;
            }
            let id = self.turn_window(n, day);
            if let Some(cap) = self.amount(n, id) {
                let room = (cap - self.windows[n].used).max(0);
                if room < least.0 {
                    least = (room, Some((Limit::Cap(n), id)));
                }
            }
        }
        let (charged, limit) = least;
        if let Some((limit, window)) = limit {
            self.count.tally.cut(limit, window, fen - charged);
        }
        self.segment_used += charged;
        for n in 0..plan.tariff.caps.len() {
            if self.counts_towards(n) {
                self.windows[n].used += charged;
            }
        }
    }

    fn counts_towards(&self, cap: usize) -> bool {
        let mask = self.run.plan.cap_masks[cap];
        self.segment.map_or(mask == u64::MAX, |(segment, _)| mask >> segment & 1 == 1)
    }

    /// Turns a cap's window to this moment and returns its number.
    fn turn_window(&mut self, n: usize, day: i64) -> i64 {
        let cap = &self.run.plan.tariff.caps[n];
        let id = match cap.per {
            CapPeriod::Stay => 0,
            CapPeriod::Day => day,
            CapPeriod::Hours24 => (self.at - self.anchor.unwrap_or(self.run.entry)).div_euclid(DAY_S),
        };
        if self.windows[n].id == id {
            return id;
        }
        self.keep_shared(n);
        let window = self.windows[n];
        let given =
            || self.run.prior.iter().filter(|(cap, day, _)| (*cap, *day) == (n, id)).map(|(_, _, fen)| fen).sum();
        let (used, given) = if window.before.0 == id { (window.before.1, window.before.1) } else { (given(), given()) };
        self.windows[n] = Window { id, used, before: (window.id, window.used), given };
        id
    }

    /// A cap's amount in a window; `None` where it does not limit a part and the stay does not fill it.
    fn amount(&self, n: usize, id: i64) -> Option<i64> {
        let (cap, run) = (&self.run.plan.tariff.caps[n], &self.run);
        let (amount, is_full) = match cap.per {
            CapPeriod::Stay => (cap.fen.of(0), true),
            CapPeriod::Hours24 => {
                let start = self.anchor.unwrap_or(run.entry) + id * DAY_S;
                (cap.fen.of(id), start + DAY_S <= run.exit)
            }
            CapPeriod::Day => {
                let zone = &run.calendar.zone;
                let (from, to) = (zone.local(run.entry), zone.local(run.exit));
                (cap.fen.of(0), from <= id * DAY_S && to >= (id + 1) * DAY_S)
            }
        };
        let limits = match cap.part {
            CapPart::Limited => true,
            CapPart::Unlimited => is_full,
        };
        limits.then_some(amount)
    }

    fn keep_shared(&mut self, n: usize) {
        let window = self.windows[n];
        let own = window.used - window.given;
        if self.run.plan.tariff.caps[n].shared && own > 0 {
            self.count.shared.push((n, window.id, own));
        }
    }

    fn finish(mut self) -> Count {
        for n in 0..self.windows.len() {
            self.keep_shared(n);
        }
        self.count
    }
}

fn div_ceil(a: i64, b: i64) -> i64 {
    (a + b - 1) / b
}
