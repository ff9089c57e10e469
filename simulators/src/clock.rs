//! The simulated world's time: it runs faster than ours, so that an hour of parking takes a minute.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// China Standard Time, which has no summer time: the wall clock of the simulated mall.
const UTC_OFFSET_MS: i64 = 8 * 3600 * 1000;
const DAY_MS: i64 = 24 * 3600 * 1000;

/// Maps real time to the world's time: `start + (real - anchor) * speed`.
///
/// Whoever knows the three numbers computes the same time, in this process or in another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VirtualClock {
    /// The world's time at the anchor, in milliseconds since 1970-01-01T00:00:00Z.
    pub start_ms: i64,
    /// The real time of the anchor, in milliseconds since 1970-01-01T00:00:00Z.
    pub anchor_ms: i64,
    /// World seconds per real second, at least 1.
    pub speed: u32,
}

/// A date and a time of day as a clock on the mall's wall shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WallTime {
    /// Year, month 1-12, day 1-31.
    pub date: (i64, i64, i64),
    /// Hour 0-23, minute, second.
    pub time: (i64, i64, i64),
}

impl VirtualClock {
    /// A clock that shows `start_ms` now and runs `speed` times as fast as ours.
    pub fn starting_at(start_ms: i64, speed: u32) -> Self {
        Self { start_ms, anchor_ms: real_now_ms(), speed: speed.max(1) }
    }

    /// A clock that shows our own time at our own speed.
    pub fn real() -> Self {
        let now = real_now_ms();
        Self { start_ms: now, anchor_ms: now, speed: 1 }
    }

    /// The world's time in milliseconds since 1970-01-01T00:00:00Z.
    pub fn now_ms(&self) -> i64 {
        self.start_ms + (real_now_ms() - self.anchor_ms) * i64::from(self.speed)
    }

    /// The real time left until the world's clock shows `virtual_ms`; zero when that is past.
    pub fn real_until(&self, virtual_ms: i64) -> Duration {
        let left_ms = virtual_ms - self.now_ms();
        Duration::from_millis(u64::try_from(left_ms).unwrap_or(0)) / self.speed
    }

    /// The world's time in whole seconds since 1970-01-01T00:00:00Z.
    pub fn now_s(&self) -> i64 {
        self.now_ms().div_euclid(1000)
    }
}

/// The mall's wall clock at a moment in milliseconds since 1970-01-01T00:00:00Z.
pub fn wall_time(utc_ms: i64) -> WallTime {
    let local_ms = utc_ms + UTC_OFFSET_MS;
    let second_of_day = local_ms.rem_euclid(DAY_MS) / 1000;
    WallTime {
        date: civil_from_days(local_ms.div_euclid(DAY_MS)),
        time: (second_of_day / 3600, second_of_day / 60 % 60, second_of_day % 60),
    }
}

/// The moment as RFC 3339 with the mall's offset.
pub fn rfc3339(utc_ms: i64) -> String {
    let WallTime { date: (year, month, day), time: (hour, minute, second) } = wall_time(utc_ms);
    let millis = utc_ms.rem_euclid(1000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}+08:00")
}

/// The proleptic Gregorian date of a number of days since 1970-01-01.
///
/// Counts in years that begin on 1 March, so that the leap day is a year's last day and needs no special case.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[allow(clippy::disallowed_methods, reason = "this is the world's only reader of the system's clock")]
fn real_now_ms() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_as_people_write_them() {
        check(0, "1970-01-01T08:00:00.000+08:00");
        check(1_772_294_399_638, "2026-02-28T23:59:59.638+08:00");
        check(1_772_294_400_000, "2026-03-01T00:00:00.000+08:00");
        check(1_709_136_000_000, "2024-02-29T00:00:00.000+08:00");
        check(4_107_513_599_999, "2100-02-28T23:59:59.999+08:00");
        check(4_107_513_600_000, "2100-03-01T00:00:00.000+08:00");
    }

    #[test]
    fn a_clock_shows_its_start_at_its_anchor_and_then_runs_at_its_speed() {
        let anchor_ms = real_now_ms() - 1000;
        let clock = VirtualClock { start_ms: 5_000_000, anchor_ms, speed: 60 };
        let passed_ms = clock.now_ms() - 5_000_000;
        assert!(passed_ms >= 60_000, "{passed_ms} ms");
        assert_eq!(passed_ms % 60, 0);
        assert_eq!(clock.real_until(5_000_000), Duration::ZERO);
        assert!(clock.real_until(clock.now_ms() + 600_000) <= Duration::from_secs(10));
    }

    fn check(utc_ms: i64, expect: &str) {
        assert_eq!(rfc3339(utc_ms), expect);
    }
}
