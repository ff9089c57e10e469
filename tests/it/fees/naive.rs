//! A second meter, as simple as can be: it goes from minute to minute and asks at each what it costs. It shares no code
//! with the product, reads no bundle, and takes the time of day from the tz database at every step.

use std::collections::BTreeMap;
use std::fmt::Write;

use jiff::tz::TimeZone;

/// A tariff with everything that a tariff can say. Times are minutes, `0` days are all days.
#[derive(Clone, Debug, Default)]
pub struct Sheet {
    pub id: String,
    /// Minutes, whether deducted, whether measured again after a benefit, whether for the first visit only.
    pub free: Option<(i64, bool, bool, bool)>,
    /// Minutes, unit, fen.
    pub blocks: Vec<(i64, i64, i64)>,
    /// Minutes, fen.
    pub unit: Option<(i64, i64)>,
    pub segments: Vec<Segment>,
    pub overall: bool,
    /// 0 never, 1 every 24 hours, 2 at midnight.
    pub restart: u8,
    pub restart_free: bool,
    pub from_charge: bool,
    pub caps: Vec<Cap>,
    /// Basis points, and whether units are multiplied and not the total.
    pub factor: Option<(i64, bool)>,
    pub zone: Option<&'static str>,
}

#[derive(Clone, Debug, Default)]
pub struct Segment {
    pub from: i64,
    pub to: i64,
    pub days: Vec<&'static str>,
    pub night_of_day_before: bool,
    /// Minutes, whether deducted.
    pub free: Option<(i64, bool)>,
    pub blocks: Vec<(i64, i64, i64)>,
    pub unit: (i64, i64),
    pub cap: Option<i64>,
}

#[derive(Clone, Debug)]
pub struct Cap {
    /// `24h`, `day`, `stay`.
    pub per: &'static str,
    pub fen: Vec<i64>,
    pub segments: Vec<usize>,
    pub full_only: bool,
    pub shared: bool,
}

/// Dates that are not what their weekday says.
#[derive(Clone, Debug, Default)]
pub struct Dates {
    pub holidays: Vec<jiff::civil::Date>,
    pub workdays: Vec<jiff::civil::Date>,
}

/// One clock of a stay: from, to, when it stands still.
#[derive(Clone, Debug)]
pub struct Clock<'a> {
    pub sheet: &'a Sheet,
    pub from: i64,
    pub to: i64,
    pub pauses: Vec<(i64, i64)>,
    /// What earlier visits were charged: cap, day, fen.
    pub prior: Vec<(usize, i64, i64)>,
    pub is_first_visit: bool,
    pub bays: i64,
}

/// What the wall shows: days since 1970, minute of the day, weekday name, kind.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Wall {
    day: i64,
    minute: i64,
    names: [&'static str; 2],
    names_before: [&'static str; 2],
}

pub struct Naive<'a> {
    pub zone: TimeZone,
    pub dates: &'a Dates,
    /// Seconds of one step.
    pub step: i64,
}

/// Which segment at which visit of it: number and the day on which it began.
type Place = (usize, i64);

impl Naive<'_> {
    /// The fee of several clocks after `free_s` seconds of benefits, in order.
    pub fn fee(&self, clocks: &[Clock<'_>], free_s: i64) -> i64 {
        let from = self.after_benefit(clocks, free_s);
        clocks.iter().map(|clock| self.clock_fee(clock, from)).sum()
    }

    fn after_benefit(&self, clocks: &[Clock<'_>], mut free_s: i64) -> i64 {
        let mut at = clocks[0].from;
        while free_s > 0 && at < clocks[0].to {
            let runs = |clock: &Clock<'_>| {
                (clock.from..clock.to).contains(&at)
                    && !is_paused(clock, at)
                    && (clock.sheet.unit.is_some() || self.place(clock.sheet, at).is_some())
            };
            if clocks.iter().any(runs) {
                free_s -= self.step;
            }
            at += self.step;
        }
        at
    }

    fn clock_fee(&self, clock: &Clock<'_>, charge_from: i64) -> i64 {
        let sheet = clock.sheet;
        let charge_from = charge_from.max(clock.from);
        let mut paid: BTreeMap<(usize, i64), i64> = BTreeMap::new();
        for (cap, day, fen) in &clock.prior {
            *paid.entry((*cap, *day)).or_default() += fen;
        }
        let free = sheet.free.filter(|(_, _, _, first_only)| clock.is_first_visit || !first_only);
        let mut skip = 0;
        if let Some((minutes, deducted, again, _)) = free
            && !sheet.restart_free
        {
            let measured_from = if again { charge_from } else { clock.from };
            if self.running(clock, measured_from, clock.to) <= minutes * 60 {
                return 0;
            }
            skip = if deducted { minutes * 60 } else { 0 };
        }
        let (mut total, mut unit_left, mut in_block) = (0, 0, false);
        let (mut begun, mut segment_begun) = (0, 0);
        let (mut place, mut segment_paid, mut segment_free): (Option<Place>, i64, Option<i64>) = (None, 0, None);
        let (mut period, mut period_is_free) = (None, false);
        let mut day_zero = if sheet.from_charge { None } else { Some(clock.from) };
        let mut at = charge_from;
        while at < clock.to {
            let now = at;
            at += self.step;
            if is_paused(clock, now) {
                continue;
            }
            let this_period = match sheet.restart {
                0 => Some(0),
                1 => day_zero.map(|zero| (now - zero).div_euclid(86_400)),
                _ => Some(self.wall(now).day),
            };
            if this_period != period && this_period.is_some() {
                if period.is_some() || sheet.restart == 0 {
                    (unit_left, begun, segment_begun, in_block) = (0, 0, 0, false);
                }
                period = this_period;
                if let Some((minutes, deducted, again, _)) = free
                    && sheet.restart_free
                {
                    let same = |t: i64| match sheet.restart {
                        1 => Some((t - day_zero.unwrap_or(t)).div_euclid(86_400)) == period,
                        _ => Some(self.wall(t).day) == period,
                    };
                    let start = if again { charge_from } else { clock.from };
                    let inside =
                        (start..clock.to).step_by(self.step as usize).filter(|t| same(*t) && !is_paused(clock, *t));
                    period_is_free = inside.count() as i64 * self.step <= minutes * 60;
                    skip = if deducted { minutes * 60 } else { 0 };
                }
            }
            let here = self.place(sheet, now);
            if here != place {
                place = here;
                (segment_begun, segment_paid, segment_free) = (0, 0, None);
                if !sheet.overall && !in_block {
                    unit_left = 0;
                }
            }
            if (sheet.unit.is_none() && here.is_none()) || period_is_free {
                continue;
            }
            if skip > 0 {
                skip -= self.step;
                continue;
            }
            if let Some((n, _)) = here
                && let Some((minutes, deducted)) = sheet.segments[n].free
            {
                let left = segment_free.unwrap_or_else(|| {
                    let rest = self.rest_in(clock, now, here);
                    if deducted {
                        minutes * 60
                    } else if rest <= minutes * 60 {
                        i64::MAX
                    } else {
                        0
                    }
                });
                segment_free = Some(if left == i64::MAX { left } else { (left - self.step).max(0) });
                if left > 0 {
                    continue;
                }
            }
            // The first moment that is charged, as docs/tariffs.md says: not one that a segment gives away.
            day_zero.get_or_insert(now);
            if sheet.restart == 1 && period.is_none() {
                period = Some(0);
            }
            if unit_left == 0 {
                let (unit, fen, block) = price(sheet, here, &mut begun, &mut segment_begun);
                in_block = block;
                unit_left = unit * 60;
                let fen = match sheet.factor {
                    Some((bps, true)) => (fen * bps + 5000) / 10_000 * clock.bays,
                    Some((_, false)) | None => fen,
                };
                let left = self.room(clock, &paid, now, day_zero.unwrap(), here, segment_paid).min(fen);
                total += left;
                segment_paid += left;
                for (n, cap) in sheet.caps.iter().enumerate() {
                    if counts(cap, here) {
                        *paid.entry((n, self.window(cap, now, day_zero.unwrap()))).or_default() += left;
                    }
                }
            }
            unit_left -= self.step;
        }
        match sheet.factor {
            Some((bps, false)) => (total * bps + 5000) / 10_000 * clock.bays,
            Some((_, true)) => total,
            None => total * clock.bays,
        }
    }

    fn rest_in(&self, clock: &Clock<'_>, from: i64, place: Option<Place>) -> i64 {
        let mut seconds = 0;
        let mut at = from;
        while at < clock.to && self.place(clock.sheet, at) == place {
            seconds += if is_paused(clock, at) { 0 } else { self.step };
            at += self.step;
        }
        seconds
    }

    fn running(&self, clock: &Clock<'_>, from: i64, to: i64) -> i64 {
        (from..to).step_by(self.step as usize).filter(|at| !is_paused(clock, *at)).count() as i64 * self.step
    }

    fn room(
        &self,
        clock: &Clock<'_>,
        paid: &BTreeMap<(usize, i64), i64>,
        now: i64,
        day_zero: i64,
        place: Option<Place>,
        segment_paid: i64,
    ) -> i64 {
        let sheet = clock.sheet;
        let mut room = place.and_then(|(n, _)| sheet.segments[n].cap).map_or(i64::MAX, |cap| cap - segment_paid);
        for (n, cap) in sheet.caps.iter().enumerate().filter(|(_, cap)| counts(cap, place)) {
            let window = self.window(cap, now, day_zero);
            let is_full = match cap.per {
                "24h" => day_zero + (window + 1) * 86_400 <= clock.to,
                "day" => self.fills_day(clock, window),
                _ => true,
            };
            if cap.full_only && !is_full {
                continue;
            }
            let nth = if cap.per == "24h" { usize::try_from(window).unwrap() } else { 0 };
            let most = cap.fen[nth.min(cap.fen.len() - 1)];
            room = room.min((most - paid.get(&(n, window)).copied().unwrap_or(0)).max(0));
        }
        room
    }

    /// Whether the stay holds every minute of a date.
    fn fills_day(&self, clock: &Clock<'_>, day: i64) -> bool {
        let date = jiff::civil::Date::constant(1970, 1, 1).checked_add(jiff::Span::new().days(day)).unwrap();
        let start = date.to_zoned(self.zone.clone()).unwrap().timestamp().as_second();
        let end = date.tomorrow().unwrap().to_zoned(self.zone.clone()).unwrap().timestamp().as_second();
        clock.from <= start && clock.to >= end
    }

    fn window(&self, cap: &Cap, now: i64, day_zero: i64) -> i64 {
        match cap.per {
            "24h" => (now - day_zero).div_euclid(86_400),
            "day" => self.wall(now).day,
            _ => 0,
        }
    }

    /// The first segment that holds at a moment.
    fn place(&self, sheet: &Sheet, at: i64) -> Option<Place> {
        if sheet.segments.is_empty() {
            return None;
        }
        let wall = self.wall(at);
        sheet.segments.iter().enumerate().find_map(|(n, segment)| {
            let on = |names: [&str; 2]| segment.days.is_empty() || segment.days.iter().any(|day| names.contains(day));
            if segment.from < segment.to {
                let is_in = (segment.from..segment.to).contains(&wall.minute) && on(wall.names);
                return is_in.then_some((n, wall.day));
            }
            if wall.minute >= segment.from && on(wall.names) {
                return Some((n, wall.day));
            }
            let names = if segment.night_of_day_before { wall.names_before } else { wall.names };
            (wall.minute < segment.to && on(names)).then_some((n, wall.day - 1))
        })
    }

    fn wall(&self, at: i64) -> Wall {
        let offset = i64::from(self.zone.to_offset(jiff::Timestamp::from_second(at).unwrap()).seconds());
        let local = at + offset;
        let (day, minute) = (local.div_euclid(86_400), local.rem_euclid(86_400) / 60);
        Wall { day, minute, names: self.names(day), names_before: self.names(day - 1) }
    }

    fn names(&self, day: i64) -> [&'static str; 2] {
        // 1970-01-01 was a Thursday.
        let weekday = ["thu", "fri", "sat", "sun", "mon", "tue", "wed"][day.rem_euclid(7) as usize];
        let is = |dates: &[jiff::civil::Date]| {
            dates.iter().any(|date| (*date - jiff::civil::Date::constant(1970, 1, 1)).get_days() as i64 == day)
        };
        let kind = if is(&self.dates.holidays) {
            "holiday"
        } else if matches!(weekday, "sat" | "sun") && !is(&self.dates.workdays) {
            "weekend"
        } else {
            "workday"
        };
        [weekday, kind]
    }
}

/// Unit, price and whether it is the stay's own beginning; moves the beginnings on.
fn price(sheet: &Sheet, place: Option<Place>, begun: &mut i64, segment_begun: &mut i64) -> (i64, i64, bool) {
    let mut end = 0;
    for (minutes, unit, fen) in &sheet.blocks {
        end += minutes;
        if *begun < end {
            *begun += unit;
            return (*unit, *fen, true);
        }
    }
    let Some((n, _)) = place else {
        let (unit, fen) = sheet.unit.unwrap();
        return (unit, fen, false);
    };
    let mut end = 0;
    for (minutes, unit, fen) in &sheet.segments[n].blocks {
        end += minutes;
        if *segment_begun < end {
            *segment_begun += unit;
            return (*unit, *fen, false);
        }
    }
    let (unit, fen) = sheet.segments[n].unit;
    (unit, fen, false)
}

fn counts(cap: &Cap, place: Option<Place>) -> bool {
    cap.segments.is_empty() || place.is_some_and(|(n, _)| cap.segments.contains(&n))
}

fn is_paused(clock: &Clock<'_>, at: i64) -> bool {
    clock.pauses.iter().any(|(from, to)| (*from..*to).contains(&at))
}

impl Sheet {
    /// The same as a table of a bundle.
    pub fn toml(&self) -> String {
        let mut text = format!("[[tariffs]]\nid = \"{}\"\n", self.id);
        let mut add = |line: String| writeln!(text, "{line}").unwrap();
        if let Some(zone) = self.zone {
            add(format!("zones = [\"{zone}\"]"));
        }
        if let Some((minutes, deducted, again, first)) = self.free {
            add(format!(
                "free = {{ minutes = {minutes}, reading = \"{}\", after_benefit = \"{}\", visits = \"{}\" }}",
                reading(deducted),
                if again { "again" } else { "once" },
                if first { "first_of_day" } else { "each" }
            ));
        }
        add(format!("blocks = [{}]", blocks(&self.blocks)));
        if let Some((minutes, fen)) = self.unit {
            add(format!("unit = {{ minutes = {minutes}, fen = {fen} }}"));
        } else {
            add("outside = \"free\"".to_owned());
        }
        add(format!("rounding = \"{}\"", if self.overall { "overall" } else { "per_segment" }));
        add(format!("restart = \"{}\"", ["never", "24h", "midnight"][usize::from(self.restart)]));
        add(format!("restart_free = {}", self.restart_free));
        add(format!("days_from = \"{}\"", if self.from_charge { "charge" } else { "entry" }));
        if let Some((bps, units)) = self.factor {
            add(format!("multipliers = [{{ class = \"odd\", bps = {bps} }}]"));
            add(format!("multiply = \"{}\"", if units { "units" } else { "total" }));
        }
        for cap in &self.caps {
            let names: Vec<String> = cap.segments.iter().map(|n| format!("\"s{n}\"")).collect();
            let part = if cap.full_only { "unlimited" } else { "limited" };
            add("[[tariffs.caps]]".to_owned());
            add(format!("per = \"{}\"\nfen = {:?}\nsegments = [{}]", cap.per, cap.fen, names.join(", ")));
            add(format!("part = \"{part}\"\nshared = {}", cap.shared));
        }
        for (n, segment) in self.segments.iter().enumerate() {
            add("[[tariffs.segments]]".to_owned());
            let time = |minute: i64| format!("{:02}:{:02}", minute / 60, minute % 60);
            add(format!("id = \"s{n}\"\nfrom = \"{}\"\nto = \"{}\"", time(segment.from), time(segment.to)));
            add(format!("days = {:?}", segment.days));
            add(format!("night_of = \"{}\"", if segment.night_of_day_before { "day_before" } else { "own_day" }));
            if let Some((minutes, deducted)) = segment.free {
                add(format!("free = {{ minutes = {minutes}, reading = \"{}\" }}", reading(deducted)));
            }
            add(format!("blocks = [{}]", blocks(&segment.blocks)));
            add(format!("unit = {{ minutes = {}, fen = {} }}", segment.unit.0, segment.unit.1));
            if let Some(cap) = segment.cap {
                add(format!("cap_fen = {cap}"));
            }
        }
        text
    }
}

fn reading(deducted: bool) -> &'static str {
    if deducted { "deducted" } else { "threshold" }
}

fn blocks(blocks: &[(i64, i64, i64)]) -> String {
    let made: Vec<String> = blocks
        .iter()
        .map(|(minutes, unit, fen)| format!("{{ minutes = {minutes}, unit_minutes = {unit}, fen = {fen} }}"))
        .collect();
    made.join(", ")
}
