//! `[site] day_begins` and `day_closes`: when a business day begins, and when the box closes those that are over.

use toml::Spanned;

use super::SiteConfig;
use crate::profile::mistake::{Mistake, Source};

/// The minutes of the day at which a business day begins, and at which days are closed.
pub(super) fn minutes(site: &SiteConfig, source: &Source, mistakes: &mut Vec<Mistake>) -> (u16, Option<u16>) {
    let mut minute = |text: &Spanned<String>| {
        let found = minute_of(text.get_ref());
        if found.is_none() {
            let wrong = format!("{:?} is no time of the night", text.get_ref());
            mistakes.push(source.mistake(text.span(), wrong, "00:00 to 11:59"));
        }
        found
    };
    let begins = minute(&site.day_begins).unwrap_or(0);
    let closes = site.day_closes.as_ref().and_then(|text| Some((text.span(), minute(text)?)));
    let Some((span, closes)) = closes else { return (begins, None) };
    if closes < begins {
        let allowed = format!("{} to 11:59, or leave it out", site.day_begins.get_ref());
        mistakes.push(source.mistake(span, "a day cannot be closed before it is over".to_owned(), &allowed));
    }
    (begins, Some(closes))
}

/// A time of the first half of the day as its minute: a business day is named after the day on which it begins.
fn minute_of(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let is_two = |part: &str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
    if !is_two(hour) || !is_two(minute) {
        return None;
    }
    let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
    (hour < 12 && minute < 60).then_some(hour * 60 + minute)
}
