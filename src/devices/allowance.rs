//! What may be told only so often a day, such as what wears out a memory: counted on disk, so that a restart gives nothing
//! back.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::domain::event::UtcMs;

/// A day of UTC.
const DAY_MS: i64 = 24 * 3600 * 1000;

/// The counts of one day.
#[derive(Debug)]
pub struct Allowance {
    file: Option<PathBuf>,
    counts: Mutex<Counts>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Counts {
    /// Days since 1970.
    day: i64,
    /// How often each `device command` was sent on it.
    sent: BTreeMap<String, u32>,
}

impl Allowance {
    /// What the file remembers; without a file the count ends with the process. One that cannot be read is begun anew.
    pub fn remembered_in(file: Option<&Path>) -> Self {
        let text = file.and_then(|file| std::fs::read_to_string(file).ok());
        let counts = text.and_then(|text| toml::from_str(&text).ok()).unwrap_or_default();
        Self { file: file.map(Path::to_owned), counts: Mutex::new(counts) }
    }

    /// Counts one more, before it is sent; false where there were as many as may be. A clock that goes back by a day begins
    /// no new one; one that was far ahead counted a day that is not to come for long.
    pub fn take(&self, device: &str, command: &str, most: u32, now: UtcMs) -> std::io::Result<bool> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = counts.clone();
        let day = now.0.div_euclid(DAY_MS);
        if day > next.day || next.day > day + 1 {
            next = Counts { day, sent: BTreeMap::new() };
        }
        let sent = next.sent.entry(format!("{device} {command}")).or_default();
        if *sent >= most {
            return Ok(false);
        }
        *sent += 1;
        if let Some(file) = &self.file {
            write(file, &next)?;
        }
        *counts = next;
        Ok(true)
    }
}

/// Whole or not at all.
fn write(file: &Path, counts: &Counts) -> std::io::Result<()> {
    let text = toml::to_string(counts).map_err(std::io::Error::other)?;
    let beside = file.with_extension("new");
    let mut new = std::fs::File::create(&beside)?;
    new.write_all(text.as_bytes())?;
    new.sync_all()?;
    std::fs::rename(&beside, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restart_gives_nothing_back_and_a_new_day_does() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("commands.toml");
        let at = |day: i64| UtcMs(day * DAY_MS + 5);
        let take = |day| Allowance::remembered_in(Some(&file)).take("card", "store_text", 2, at(day)).expect("written");
        assert_eq!([take(22_000), take(22_000), take(22_000)], [true, true, false], "the clock is years ahead");
        assert_eq!([take(20_000), take(20_000), take(20_000)], [true, true, false]);
        assert!(!take(19_999), "a clock that goes back begins no new day");
        assert!(take(20_001));
        let other = Allowance::remembered_in(Some(&file)).take("card", "other", 2, at(20_001)).expect("written");
        assert!(other, "each command has its own");
    }

    #[test]
    fn what_cannot_be_counted_is_not_sent() {
        let nowhere = Path::new("/proc/nowhere/commands.toml");
        let allowance = Allowance::remembered_in(Some(nowhere));
        assert!(allowance.take("card", "store_text", 2, UtcMs(0)).is_err());
    }
}
