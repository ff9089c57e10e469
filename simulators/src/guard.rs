//! A guard in the booth: raises with a reason, takes cash from a waiting driver, corrects a plate.

use anyhow::Result;
use reqwest::Client;
use serde_json::{Value, json};

use crate::till::{Attempts, Failure, answer, http_client};

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
