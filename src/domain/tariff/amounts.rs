//! Numbers and times of day as a bundle may write them, each with its bounds: a wrong one is told where it stands.

use serde::Deserialize;

use super::calendar::time_of;

/// The most that any amount in a bundle may be, ¥1,000,000: keeps every product far inside 64 bits.
pub const FEN_MAX: i64 = 100_000_000;
/// The longest time that a tariff may speak of: 31 days.
pub const MINUTES_MAX: i64 = 31 * 1440;
/// The largest factor: a hundredfold.
pub const BPS_MAX: i64 = 1_000_000;

macro_rules! bounded {
    ($($(#[$doc:meta])* $name:ident: $least:expr, $most:expr, $unit:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
        #[serde(try_from = "i64")]
        pub struct $name(pub i64);

        impl TryFrom<i64> for $name {
            type Error = String;

            fn try_from(number: i64) -> Result<Self, String> {
                if ($least..=$most).contains(&number) {
                    return Ok(Self(number));
                }
                Err(format!(concat!("{} ", $unit, ", expected {} to {}"), number, $least, $most))
            }
        }
    )*};
}

bounded! {
    /// A length of time, at least a minute.
    Minutes: 1, MINUTES_MAX, "minutes";
    /// An amount of money, 0 upwards.
    Price: 0, FEN_MAX, "fen";
    /// A factor in basis points.
    Factor: 0, BPS_MAX, "basis points";
    /// Minutes of grace, 0 to a day.
    Grace: 0, 1440, "minutes";
}

impl Default for Grace {
    /// A quarter of an hour, as most car parks give.
    fn default() -> Self {
        Self(15)
    }
}

impl Minutes {
    /// The same in seconds.
    pub fn seconds(self) -> i64 {
        self.0 * 60
    }
}

/// One amount, or one for each time in order.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "OneOrMore")]
pub struct Amounts(pub Vec<Price>);

#[derive(Deserialize)]
#[serde(untagged, expecting = "an amount in fen from 0 to 100000000, or a list of them")]
enum OneOrMore {
    One(Price),
    More(Vec<Price>),
}

impl From<OneOrMore> for Amounts {
    fn from(amounts: OneOrMore) -> Self {
        match amounts {
            OneOrMore::One(price) => Self(vec![price]),
            OneOrMore::More(prices) => Self(prices),
        }
    }
}

impl Amounts {
    /// The amount for the `n`th time, from 0.
    pub fn of(&self, n: i64) -> i64 {
        let n = usize::try_from(n).unwrap_or(0).min(self.0.len() - 1);
        self.0[n].0
    }
}

/// A time of day in seconds after midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct TimeOfDay(pub i64);

impl TryFrom<String> for TimeOfDay {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no time of day, expected \"00:00\" to \"24:00\"");
        time_of(&text).map(Self).ok_or_else(wrong)
    }
}

impl TimeOfDay {
    /// As it is written.
    pub fn text(self) -> String {
        format!("{:02}:{:02}", self.0 / 3600, self.0 / 60 % 60)
    }
}
