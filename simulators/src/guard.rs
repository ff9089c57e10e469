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
        let mut looks = 0;
        while looks < LOOKS {
            if let Some(page) = self.page().await {
                looks += 1;
                let shown = alarms_on(&page);
                let is_shown = |(code, lane): &&(&str, &str)| shown.iter().any(|(c, l)| c == code && l.contains(lane));
                if let Some((code, _)) = alarms.iter().find(is_shown) {
                    return Some(*code);
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

/// The alarms on the page, each by its code with what stands before it: the time, the lane, the stay.
fn alarms_on(page: &str) -> Vec<(&str, Vec<&str>)> {
    let mut before_numbers: Vec<&str> = page.split(" · #").collect();
    // What stands behind the last number belongs to none.
    before_numbers.pop();
    fn of(text: &str) -> Option<(&str, Vec<&str>)> {
        let mut words: Vec<&str> = text.rsplit('>').next()?.split(" · ").collect();
        Some((words.pop()?, words))
    }
    before_numbers.into_iter().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alarms_are_read_off_the_page_with_their_lanes() {
        let page = "<li><span>The barrier of vip-in went up</span><span class=\"quiet\">03-02 08:21 · vip-in · \
                    arm_up_unasked · #318</span></li><li><span>x</span><span class=\"quiet\">exit-1 · S1-4 · debt · #7</span>";
        let shown = alarms_on(page);
        assert_eq!(shown[0], ("arm_up_unasked", vec!["03-02 08:21", "vip-in"]));
        assert_eq!(shown[1], ("debt", vec!["exit-1", "S1-4"]));
        assert_eq!(shown.len(), 2);
        assert_eq!(alarms_on("<p>Nothing needs your attention</p>"), []);
    }
}
