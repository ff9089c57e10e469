//! What a member has beside the tier, as the administrator writes it and the boxes hear it. Pure.

use serde::{Deserialize, Serialize};

use crate::ledger::{Refusal, check_name};

/// How many plans, tags or passes one member may have: far more than anybody sells.
pub const PRIVILEGES_MAX: usize = 64;

/// Plans, tags, the birthday and passes of one member.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Privileges {
    /// Paid plans.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub plans: Vec<PaidPlan>,
    /// Tags, as rules of the boxes name them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Month and day, such as `05-20`; no box learns a year.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub birthday: Option<String>,
    /// Passes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub passes: Vec<IssuedPass>,
}

/// A paid plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PaidPlan {
    /// Its name in the rules of the boxes.
    pub id: String,
    /// It runs until before this moment, in milliseconds since 1970.
    pub until_ms: i64,
}

/// A pass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuedPass {
    /// Its own number.
    pub id: String,
    /// Its kind in the rules of the boxes.
    pub kind: String,
    /// Its first day, such as `2026-03-01`.
    pub first_day: String,
    /// The box that alone counts its uses.
    #[serde(default, rename = "box", skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
}

impl Privileges {
    /// From the column of a member's row.
    pub(crate) fn read(text: &str) -> Result<Self, crate::db::Error> {
        serde_json::from_str(text).map_err(|error| crate::db::Error::unreadable(format!("what a member has: {error}")))
    }

    /// For that column.
    pub(crate) fn text(&self) -> String {
        serde_json::to_string(self).expect("names and numbers are what JSON can always hold")
    }

    /// Refuses what no box could use, with the field's name.
    pub fn check(&self) -> Result<(), Refusal> {
        for (field, count) in [("plans", self.plans.len()), ("tags", self.tags.len()), ("passes", self.passes.len())] {
            if count > PRIVILEGES_MAX {
                return Err(Refusal::BadRequest(format!("{field}: at most {PRIVILEGES_MAX} are allowed")));
            }
        }
        for (n, plan) in self.plans.iter().enumerate() {
            check_name(&format!("plans[{n}].id"), &plan.id)?;
        }
        for (n, tag) in self.tags.iter().enumerate() {
            check_name(&format!("tags[{n}]"), tag)?;
        }
        for (n, pass) in self.passes.iter().enumerate() {
            check_name(&format!("passes[{n}].id"), &pass.id)?;
            check_name(&format!("passes[{n}].kind"), &pass.kind)?;
            pass.at.as_ref().map_or(Ok(()), |at| check_name(&format!("passes[{n}].box"), at))?;
            if !is_date(&pass.first_day) {
                return Err(Refusal::BadRequest(format!("passes[{n}].first_day: must be a day such as 2026-03-01")));
            }
        }
        if self.birthday.as_ref().is_some_and(|day| !is_date(&format!("2000-{day}"))) {
            return Err(Refusal::BadRequest("birthday: must be month and day, such as 05-20".to_owned()));
        }
        Ok(())
    }
}

/// Whether a text is a day of the calendar, written `2026-03-01`.
fn is_date(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let [year, month, day] = parts[..] else { return false };
    let number = |text: &str, digits: usize| {
        (text.len() == digits && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse::<u32>().ok()).flatten()
    };
    let (Some(year), Some(month), Some(day)) = (number(year, 4), number(month, 2), number(day, 2)) else {
        return false;
    };
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return false,
    };
    (1..=days).contains(&day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_one_of_the_calendar() {
        for day in ["2026-03-01", "2000-02-29", "2024-12-31"] {
            assert!(is_date(day), "{day}");
        }
        for day in ["", "2026-3-1", "2026-02-29", "2026-13-01", "2026-00-10", "2026-04-31", "1900-02-29", "+026-03-01"]
        {
            assert!(!is_date(day), "{day}");
        }
    }
}
