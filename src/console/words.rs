//! The page's two languages, and how it writes money, times and hashes.

use crate::domain::event::{CommandAnswer, Fen, UtcMs};

/// A language of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lang {
    /// Chinese, the site's own language and the default.
    Zh,
    /// English.
    En,
}

impl Lang {
    /// The language that the address asks for, or else the browser, or else Chinese.
    pub fn choose(asked: Option<&str>, accept_language: Option<&str>) -> Self {
        let first = accept_language.and_then(|list| list.split(',').next()).unwrap_or("zh").trim();
        match asked.unwrap_or(first) {
            text if text.starts_with("en") => Lang::En,
            _ => Lang::Zh,
        }
    }

    /// The text of this language.
    pub fn pick<T>(self, zh: T, en: T) -> T {
        match self {
            Lang::Zh => zh,
            Lang::En => en,
        }
    }

    /// The code for `lang=`.
    pub fn code(self) -> &'static str {
        self.pick("zh", "en")
    }

    /// What the page's `html` element says.
    pub fn tag(self) -> &'static str {
        self.pick("zh-CN", "en")
    }

    /// The other one, with its own name.
    pub fn other(self) -> (Lang, &'static str) {
        match self {
            Lang::Zh => (Lang::En, "English"),
            Lang::En => (Lang::Zh, "中文"),
        }
    }

    /// A length of time: `2 h 05 min`.
    pub fn duration(self, ms: i64) -> String {
        let minutes = ms.max(0) / 60_000;
        match (minutes / 60, minutes % 60) {
            (0, minutes) => format!("{minutes} {}", self.pick("分钟", "min")),
            (hours, minutes) => {
                format!("{hours} {} {minutes:02} {}", self.pick("小时", "h"), self.pick("分", "min"))
            }
        }
    }
}

/// What came back for a raise of which nobody knows the end, and who says so.
pub(super) fn said(answer: Option<&CommandAnswer>, lang: Lang) -> Option<(&'static str, &str)> {
    match answer {
        Some(CommandAnswer::Refused(words)) => Some((lang.pick("设备拒绝：", "The device refused: "), words)),
        Some(CommandAnswer::Silent(words)) => Some((lang.pick("设备没有回应：", "No answer from the device: "), words)),
        Some(CommandAnswer::NotSent(words)) => Some((lang.pick("未发出：", "Not sent: "), words)),
        Some(CommandAnswer::Accepted | CommandAnswer::Unconfirmed(_)) | None => None,
    }
}

/// Fen as yuan: `¥12.30`, `−¥3.00`.
pub fn yuan(fen: Fen) -> String {
    let sign = if fen.0 < 0 { "−" } else { "" };
    format!("{sign}¥{}.{:02}", fen.0.abs() / 100, fen.0.abs() % 100)
}

/// The time of day at the site, `14:03:09`.
pub fn time_of_day(at: UtcMs, zone: &jiff::tz::TimeZone) -> String {
    local(at, zone, "%H:%M:%S")
}

/// Day and time at the site, `03-01 14:03`.
pub fn day_and_time(at: UtcMs, zone: &jiff::tz::TimeZone) -> String {
    local(at, zone, "%m-%d %H:%M")
}

/// The first characters of a hash, enough to compare two screens by eye.
pub fn short_hash(hex: &str) -> String {
    hex.chars().take(12).collect()
}

fn local(at: UtcMs, zone: &jiff::tz::TimeZone, format: &str) -> String {
    match jiff::Timestamp::from_millisecond(at.0) {
        Ok(moment) => moment.to_zoned(zone.clone()).strftime(format).to_string(),
        Err(_) => "?".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_outranks_the_browser() {
        assert_eq!(Lang::choose(None, None), Lang::Zh);
        assert_eq!(Lang::choose(None, Some("en-GB,zh;q=0.5")), Lang::En);
        assert_eq!(Lang::choose(Some("zh"), Some("en-GB")), Lang::Zh);
        assert_eq!(Lang::choose(Some("en"), Some("zh-CN")), Lang::En);
        assert_eq!(Lang::choose(Some("fr"), None), Lang::Zh);
    }

    #[test]
    fn money_and_time_read_as_people_write_them() {
        assert_eq!([yuan(Fen(0)), yuan(Fen(1205)), yuan(Fen(-300))], ["¥0.00", "¥12.05", "−¥3.00"]);
        assert_eq!(Lang::En.duration(125 * 60_000), "2 h 05 min");
        assert_eq!(Lang::Zh.duration(59_999), "0 分钟");
        let zone = jiff::tz::TimeZone::fixed(jiff::tz::offset(8));
        assert_eq!(day_and_time(UtcMs(1_772_337_600_000), &zone), "03-01 12:00");
    }
}
