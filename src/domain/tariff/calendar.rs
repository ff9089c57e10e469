//! The mall's own time: what a clock on its wall shows at a moment, and what kind of day that is.

use jiff::tz::TimeZoneDatabase;
use serde::{Deserialize, Serialize};

/// Seconds of a civil day without a clock change.
pub const DAY_S: i64 = 86_400;

/// Until when a zone's clock changes are computed in advance, 2100-01-01; later moments keep the last offset.
const CHANGES_UNTIL_S: i64 = 4_102_444_800;

/// A time zone as its offsets from UTC, from the database that is built into this program: the same on every box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    /// Its name in the tz database.
    pub name: String,
    /// From which second since 1970 on which offset holds, in order; the first holds from the beginning of time.
    offsets: Vec<(i64, i64)>,
}

impl Zone {
    /// The zone of that name; `None` where the database does not know it.
    pub fn named(name: &str) -> Option<Self> {
        let zone = TimeZoneDatabase::bundled().get(name).ok()?;
        let start = jiff::Timestamp::UNIX_EPOCH;
        let mut offsets = vec![(i64::MIN, i64::from(zone.to_offset(start).seconds()))];
        for change in zone.following(start) {
            let at = change.timestamp().as_second();
            if at >= CHANGES_UNTIL_S {
                break;
            }
            let offset = i64::from(change.offset().seconds());
            if offsets.last().is_some_and(|(_, before)| *before != offset) {
                offsets.push((at, offset));
            }
        }
        Some(Self { name: name.to_owned(), offsets })
    }

    /// The offset from UTC that holds at a moment, and the moment until which it holds.
    pub fn offset_at(&self, utc_s: i64) -> (i64, i64) {
        let after = match self.offsets.last() {
            Some((from, _)) if utc_s >= *from => self.offsets.len(),
            Some(_) | None => self.offsets.partition_point(|(from, _)| *from <= utc_s),
        };
        let (_, offset) = self.offsets[after - 1];
        (offset, self.offsets.get(after).map_or(i64::MAX, |(from, _)| *from))
    }

    /// What the wall clock shows, in seconds since 1970-01-01T00:00:00 on that wall.
    pub fn local(&self, utc_s: i64) -> i64 {
        utc_s + self.offset_at(utc_s).0
    }

    /// The first moment at which the wall clock shows `local_s`; where it is skipped, the moment of the change.
    pub fn utc(&self, local_s: i64) -> i64 {
        let mut until = i64::MIN;
        for (n, (from, offset)) in self.offsets.iter().enumerate() {
            let end = self.offsets.get(n + 1).map_or(i64::MAX, |(from, _)| *from);
            let utc = local_s - offset;
            if utc < *from {
                return until.max(*from);
            }
            if utc < end {
                return utc;
            }
            until = end;
        }
        until
    }

    /// The next moment after `utc_s` at which the wall's date changes.
    pub fn next_midnight(&self, utc_s: i64) -> i64 {
        let day = self.local(utc_s).div_euclid(DAY_S);
        let mut at = utc_s;
        loop {
            let (offset, until) = self.offset_at(at);
            let midnight = (day + 1) * DAY_S - offset;
            if midnight < until || (at + offset).div_euclid(DAY_S) != day {
                return midnight.max(at);
            }
            at = until;
        }
    }
}

/// What kind of day a date is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DayKind {
    /// A day of work, also one that was moved to a weekend.
    Workday,
    /// Saturday or Sunday, unless it is a holiday or worked.
    Weekend,
    /// A day on the list of holidays.
    Holiday,
}

/// Zone, holidays and moved working days.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Calendar {
    /// The site's time zone.
    pub zone: Zone,
    /// Holidays, as days since 1970-01-01, in order.
    pub holidays: Vec<i64>,
    /// Days of a weekend that are worked, in order.
    pub workdays: Vec<i64>,
}

/// How many kinds of date there are for a tariff: seven weekdays, each of them a workday, a weekend's or a holiday.
pub const DATES: usize = 21;

impl Calendar {
    /// Weekday (Monday is 0) and kind of a date.
    pub fn date(&self, day: i64) -> (usize, DayKind) {
        let weekday = usize::try_from((day + 3).rem_euclid(7)).expect("a rest of seven is small");
        let kind = if self.holidays.binary_search(&day).is_ok() {
            DayKind::Holiday
        } else if weekday < 5 || self.workdays.binary_search(&day).is_ok() {
            DayKind::Workday
        } else {
            DayKind::Weekend
        };
        (weekday, kind)
    }
}

/// A number below [`DATES`] for a kind of date.
pub fn date_number(weekday: usize, kind: DayKind) -> usize {
    let kind = match kind {
        DayKind::Workday => 0,
        DayKind::Weekend => 1,
        DayKind::Holiday => 2,
    };
    weekday * 3 + kind
}

/// The day number of a civil date, from the published algorithm `days_from_civil` of Howard Hinnant.
pub fn day_number(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1970..=2199).contains(&year) || !(1..=12).contains(&month) || !(1..=days_of(year, month)).contains(&day) {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some(era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468)
}

/// Year, month and day of a day number: `civil_from_days` of the same source.
pub fn civil_date(day: i64) -> (i64, i64, i64) {
    let days = day + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year + era * 400 + i64::from(month <= 2), month, of_year - (153 * shifted + 2) / 5 + 1)
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// A moment as the wall shows it: `2026-03-02T18:30:00`.
pub fn wall_text(local_s: i64) -> String {
    let (year, month, day) = civil_date(local_s.div_euclid(DAY_S));
    let s = local_s.rem_euclid(DAY_S);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
}

/// A time on the mall's wall, `2026-03-02T18:30` or `2026-03-02 18:30:05`, or a moment with an offset,
/// `2026-03-02T18:30:00+08:00`, as seconds since 1970 in UTC.
pub fn moment(text: &str, zone: &Zone) -> Option<i64> {
    let (date, time) = text.split_once(['T', ' '])?;
    let day = date_of(date)?;
    let (time, offset) = match time.find(['+', '-', 'Z']) {
        Some(at) => (&time[..at], Some(offset_of(&time[at..])?)),
        None => (time, None),
    };
    let seconds = match time.len() {
        5 => time_of(time)?,
        8 => time_of(&time[..5])? + two(time.get(6..8)?, 59).filter(|_| time.as_bytes()[5] == b':')?,
        _ => return None,
    };
    let local = day * DAY_S + seconds;
    Some(offset.map_or_else(|| zone.utc(local), |offset| local - offset))
}

/// The day number of `2026-03-02`.
pub fn date_of(text: &str) -> Option<i64> {
    let mut parts = text.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || year.len() != 4 || month.len() != 2 || day.len() != 2 {
        return None;
    }
    day_number(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?)
}

/// The second of the day of `07:30`; `24:00` is the end of the day.
pub fn time_of(text: &str) -> Option<i64> {
    let (hours, minutes) = text.split_once(':')?;
    let seconds = two(hours, 24)? * 3600 + two(minutes, 59)? * 60;
    (seconds <= DAY_S).then_some(seconds)
}

fn offset_of(text: &str) -> Option<i64> {
    if text == "Z" {
        return Some(0);
    }
    let seconds = time_of(&text[1..])?;
    Some(if text.starts_with('-') { -seconds } else { seconds })
}

fn two(text: &str, most: i64) -> Option<i64> {
    let is_number = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| is_number && *number <= most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_day_numbers_are_each_others_inverse() {
        for day in (0..80_000).step_by(17) {
            let (year, month, of_month) = civil_date(day);
            assert_eq!(day_number(year, month, of_month), Some(day));
        }
        assert_eq!(day_number(2026, 3, 2), Some(20_514));
        assert_eq!(day_number(2026, 2, 29), None);
        assert_eq!(day_number(2028, 2, 29), Some(21_243));
    }

    #[test]
    fn a_zone_knows_its_clock_changes() {
        let shanghai = Zone::named("Asia/Shanghai").expect("built in");
        assert_eq!(shanghai.local(1_772_294_400), 1_772_294_400 + 8 * 3600);
        let berlin = Zone::named("Europe/Berlin").expect("built in");
        let spring = moment("2026-03-29T01:59:59", &berlin).expect("a moment");
        assert_eq!(wall_text(berlin.local(spring + 1)), "2026-03-29T03:00:00");
        let skipped = moment("2026-03-29T02:30", &berlin).expect("a moment");
        assert_eq!(skipped, spring + 1, "a skipped time is the moment of the change");
        assert_eq!(berlin.next_midnight(spring) - moment("2026-03-29T00:00", &berlin).expect("midnight"), 23 * 3600);
        assert_eq!(moment("2026-03-29T02:30+02:00", &berlin), Some(spring + 1 - 1800));
        assert!(Zone::named("Mars/Base").is_none());
    }

    #[test]
    fn a_moment_is_read_strictly() {
        let zone = Zone::named("Asia/Shanghai").expect("built in");
        for wrong in ["2026-03-02", "2026-3-2T10:00", "2026-03-02T25:00", "2026-03-02T10:00:61", "2026-03-02T10:0"] {
            assert_eq!(moment(wrong, &zone), None, "{wrong}");
        }
        assert_eq!(moment("2026-03-02 10:00:05", &zone), moment("2026-03-02T02:00:05Z", &zone));
    }

    #[test]
    fn a_moved_working_day_is_a_workday() {
        let zone = Zone::named("Asia/Shanghai").expect("built in");
        let day = |text| date_of(text).expect("a date");
        let calendar = Calendar { zone, holidays: vec![day("2026-10-01")], workdays: vec![day("2026-10-10")] };
        assert_eq!(calendar.date(day("2026-10-01")), (3, DayKind::Holiday));
        assert_eq!(calendar.date(day("2026-10-10")), (5, DayKind::Workday));
        assert_eq!(calendar.date(day("2026-10-11")), (6, DayKind::Weekend));
    }
}
