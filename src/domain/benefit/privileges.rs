//! What the cloud ledger says of a member beside the tier: paid plans, tags, the birthday, passes.

use jiff::civil::{Date, DateTime};
use serde::{Deserialize, Serialize};

use super::facts::{CouponState, HeldPass};
use crate::domain::event::UtcMs;

/// What a member has beside the tier, by the cloud's last word.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Privileges {
    /// Paid plans that were bought and not taken back.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub plans: Vec<PaidPlan>,
    /// Tags that the cloud reckoned; the box never makes any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Month and day of the birthday; the year stays with the cloud.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub birthday: Option<MonthDay>,
    /// Passes that the member holds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub passes: Vec<IssuedPass>,
}

/// A paid plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaidPlan {
    /// Its name in the bundle.
    pub id: String,
    /// It runs until before this moment, whether the cloud can be asked or not.
    pub until_ms: UtcMs,
}

/// A pass as the cloud ledger issued it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuedPass {
    /// Its own number.
    pub id: String,
    /// Its kind in the bundle.
    pub kind: String,
    /// Its first day, by the site's calendar.
    pub first_day: Date,
    /// The box that alone may count its uses; none: whichever sees it, where its uses are not counted.
    #[serde(default, rename = "box", skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
}

/// A day of every year, written `05-20`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MonthDay {
    /// From 1 to 12.
    pub month: i8,
    /// From 1 to the last day of that month in a leap year.
    pub day: i8,
}

impl Privileges {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The passes as the box of that name may use them.
    pub fn held_passes(&self, here: &str) -> Vec<HeldPass> {
        let state = |at: &Option<String>| match at.as_deref() {
            None => CouponState::Issued,
            Some(at) if at == here => CouponState::ClaimedHere,
            Some(_) => CouponState::ClaimedElsewhere,
        };
        let held = |pass: &IssuedPass| HeldPass {
            id: pass.id.clone(),
            kind: pass.kind.clone(),
            first_day: pass.first_day,
            state: state(&pass.at),
        };
        self.passes.iter().map(held).collect()
    }

    /// Paid plans with the moment of the site's wall clock before which they run. One that was bought twice runs until
    /// the later end.
    pub(super) fn running_until(
        &self,
        civil: impl Fn(UtcMs) -> DateTime,
    ) -> std::collections::BTreeMap<String, DateTime> {
        let mut plans = std::collections::BTreeMap::new();
        for plan in &self.plans {
            let until = civil(plan.until_ms);
            let known = plans.entry(plan.id.clone()).or_insert(until);
            *known = until.max(*known);
        }
        plans
    }
}

impl TryFrom<String> for MonthDay {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        // A leap year has every day that a birthday can be on.
        let date: Option<Date> = (text.len() == 5).then(|| format!("2000-{text}").parse().ok()).flatten();
        let date = date.ok_or_else(|| format!("{text:?} is no day of a year; allowed is month and day, as 05-20"))?;
        Ok(Self { month: date.month(), day: date.day() })
    }
}

impl From<MonthDay> for String {
    fn from(MonthDay { month, day }: MonthDay) -> Self {
        format!("{month:02}-{day:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_birthday_is_month_and_day_and_nothing_else() {
        for (text, expect) in [("05-20", Some((5, 20))), ("02-29", Some((2, 29))), ("12-31", Some((12, 31)))] {
            let day: MonthDay = serde_json::from_value(text.into()).unwrap();
            assert_eq!(Some((day.month, day.day)), expect);
            assert_eq!(serde_json::to_value(day).unwrap(), text);
        }
        for text in ["", "5-20", "02-30", "13-01", "2000-05-20", "05-20x", "零五-20"] {
            assert!(serde_json::from_value::<MonthDay>(text.into()).is_err(), "{text}");
        }
    }
}
