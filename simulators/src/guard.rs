//! A guard in the booth: raises with a reason, takes cash from a waiting driver, corrects a plate.

use std::time::Duration;

use anyhow::Result;
use reqwest::Client;
use serde_json::{Value, json};

use crate::till::{Attempts, Failure, answer, http_client};

/// So many looks at the page without the alarm are enough: it is not going to come. Only looks that the box answers count.
const LOOKS: usize = 300;
/// Between two of them.
const LOOKS_APART: Duration = Duration::from_millis(200);

/// Where a guard finds the box and how it knows the guard.
#[derive(Clone, Debug)]
pub struct GuardSettings {
    /// The box's web address without a path.
    pub base: String,
    /// The guard's name in the box's settings.
    pub operator: String,
    /// The guard's number.
    pub pin: String,
}

/// A guard; every act is repeated until the box has answered it.
pub struct Guard {
    settings: GuardSettings,
    http: Client,
}

impl Guard {
    /// A guard who has not done anything yet.
    pub fn new(settings: GuardSettings) -> Result<Self> {
        Ok(Self { settings, http: http_client()? })
    }

    /// Raises a lane's barrier whatever is due; the plate where the guard can read it.
    pub async fn raise(&self, lane: &str, reason: &str, plate: &str) -> Result<Value, Failure> {
        self.act(lane, "raise", json!({"reason": reason, "plate": plate})).await
    }

    /// Takes cash for the vehicle that waits at a lane.
    pub async fn settle(&self, lane: &str, fen: i64) -> Result<Value, Failure> {
        self.act(lane, "settle", json!({ "fen": fen })).await
    }

    /// Says which plate the vehicle that waits at a lane really has.
    pub async fn correct_plate(&self, lane: &str, plate: &str, reason: &str) -> Result<Value, Failure> {
        self.act(lane, "plate", json!({"plate": plate, "reason": reason})).await
    }

    /// Looks at the page until it shows one of these alarms, each of its lane, and says which; none where it never does.
    pub async fn told_of(&self, alarms: &[(&'static str, &'static str)]) -> Option<&'static str> {
        self.told_since(0, alarms).await
    }

    /// The same, of alarms with a higher number.
    pub async fn told_since(&self, number: u64, alarms: &[(&'static str, &'static str)]) -> Option<&'static str> {
        let shown = |page: &str| {
            let shown: Vec<Alarm<'_>> = alarms_on(page).into_iter().filter(|alarm| alarm.number > number).collect();
            let is_shown = |(code, lane): &&(&str, &str)| {
                shown.iter().any(|alarm| alarm.code == *code && alarm.about.contains(lane))
            };
            alarms.iter().find(is_shown).map(|(code, _)| *code)
        };
        self.look_until(shown).await
    }

    /// The number of the newest alarm.
    pub async fn newest_alarm(&self) -> u64 {
        let newest = |page: &str| Some(alarms_on(page).iter().map(|alarm| alarm.number).max().unwrap_or(0));
        self.look_until(newest).await.unwrap_or(0)
    }

    async fn look_until<T>(&self, found: impl Fn(&str) -> Option<T>) -> Option<T> {
        let mut looks = 0;
        while looks < LOOKS {
            if let Some(page) = self.page().await {
                looks += 1;
                if let Some(found) = found(&page) {
                    return Some(found);
                }
            }
            tokio::time::sleep(LOOKS_APART).await;
        }
        None
    }

    async fn page(&self) -> Option<String> {
        let page = self.http.get(format!("{}/?lang=en", self.settings.base)).send().await.ok()?;
        page.error_for_status().ok()?.text().await.ok()
    }

    /// A lost answer to these is safe to ask again: a second raise or correction changes nothing, and a second
    /// settlement finds nothing due.
    async fn act(&self, lane: &str, act: &str, mut body: Value) -> Result<Value, Failure> {
        let url = format!("{}/api/v1/staff/lanes/{lane}/{act}", self.settings.base);
        body["operator"] = json!(self.settings.operator);
        body["pin"] = json!(self.settings.pin);
        let mut attempts = Attempts::begin();
        loop {
            let found = answer(self.http.post(&url).json(&body).send().await).await;
            if attempts.settle(&found).await {
                return found;
            }
        }
    }
}

/// An alarm on the page: what stands before its code is the time, the lane, the stay.
#[derive(Debug, PartialEq, Eq)]
struct Alarm<'a> {
    code: &'a str,
    about: Vec<&'a str>,
    number: u64,
}

fn alarms_on(page: &str) -> Vec<Alarm<'_>> {
    let parts: Vec<&str> = page.split(" · #").collect();
    fn of<'a>(before: &'a str, behind: &str) -> Option<Alarm<'a>> {
        let mut about: Vec<&str> = before.rsplit('>').next()?.split(" · ").collect();
        let digits = behind.split(|c: char| !c.is_ascii_digit()).next()?;
        Some(Alarm { code: about.pop()?, about, number: digits.parse().ok()? })
    }
    parts.windows(2).filter_map(|pair| of(pair[0], pair[1])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alarms_are_read_off_the_page_with_their_lanes() {
        let page = "<li><span>The barrier of vip-in went up</span><span class=\"quiet\">03-02 08:21 · vip-in · \
                    arm_up_unasked · #318</span></li><li><span>x</span><span class=\"quiet\">exit-1 · S1-4 · debt · #7</span>";
        let shown = alarms_on(page);
        let about = vec!["03-02 08:21", "vip-in"];
        assert_eq!(shown[0], Alarm { code: "arm_up_unasked", about, number: 318 });
        assert_eq!(shown[1], Alarm { code: "debt", about: vec!["exit-1", "S1-4"], number: 7 });
        assert_eq!(shown.len(), 2);
        assert_eq!(alarms_on("<p>Nothing needs your attention</p>"), []);
    }
}
