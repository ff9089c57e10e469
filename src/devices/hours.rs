//! The hours of the site's day in which a device's silence means something: at night a camera at an empty lane is silent, too.

use std::time::Duration;

use jiff::civil::Time;
use jiff::tz::TimeZone;

use crate::domain::event::UtcMs;

const DAY_S: i64 = 24 * 3600;

/// From one time of the day until another, which may be on the next day.
#[derive(Clone, Debug)]
pub struct Hours {
    from_s: i64,
    until_s: i64,
    zone: TimeZone,
}

impl Hours {
    /// Two different times as `08:00`; `None` where they are not that.
    pub fn read([from, until]: &[String; 2], zone: &TimeZone) -> Option<Self> {
        let of_day = |text: &String| Some(second_of_day(text.parse().ok()?));
        let (from_s, until_s) = (of_day(from)?, of_day(until)?);
        (from_s != until_s).then(|| Self { from_s, until_s, zone: zone.clone() })
    }

    /// For how long they have lasted at this moment; `None` outside of them.
    pub fn lasted(&self, now: UtcMs) -> Option<Duration> {
        let now = jiff::Timestamp::from_millisecond(now.0).ok()?.to_zoned(self.zone.clone());
        let since = (second_of_day(now.time()) - self.from_s).rem_euclid(DAY_S);
        let all = (self.until_s - self.from_s).rem_euclid(DAY_S);
        (since < all).then(|| Duration::from_secs(since.unsigned_abs()))
    }
}

fn second_of_day(time: Time) -> i64 {
    i64::from(time.hour()) * 3600 + i64::from(time.minute()) * 60 + i64::from(time.second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_last_from_their_beginning_until_their_end_also_over_midnight() {
        // Half past four in the afternoon in Greenwich, half past midnight in Shanghai.
        let now = UtcMs(1_772_294_400_000 + 1_800_000);
        let minutes = |from: &str, until: &str, zone: &TimeZone| {
            let hours = Hours::read(&[from.to_owned(), until.to_owned()], zone).expect("two times");
            hours.lasted(now).map(|lasted| lasted.as_secs() / 60)
        };
        let shanghai = TimeZone::get("Asia/Shanghai").expect("a zone");
        for (from, until, zone, expect) in [
            ("08:00", "22:00", &TimeZone::UTC, Some(510)),
            ("08:00", "22:00", &shanghai, None),
            ("08:00", "16:30", &TimeZone::UTC, None),
            ("16:30", "17:00", &TimeZone::UTC, Some(0)),
            ("22:00", "06:00", &shanghai, Some(150)),
            ("22:00", "06:00", &TimeZone::UTC, None),
        ] {
            assert_eq!(minutes(from, until, zone), expect, "{from} to {until}");
        }
        for (from, until) in [("08:00", "08:00"), ("8", "22:00"), ("08:00", "25:00"), ("", "")] {
            assert!(Hours::read(&[from.to_owned(), until.to_owned()], &TimeZone::UTC).is_none(), "{from} to {until}");
        }
    }
}
