//! Devices that are asked again and again over HTTP how they are: an answer shows that they are there, and may say where the
//! arm is.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::Clock;
use super::calling::Caller;
use super::planning::HttpDevice;
use super::submitting::{self, Delivery};
use crate::metrics::Metrics;
use crate::profile::http::Call;
use crate::profile::statement::{Rejection, Statement};

/// A model that does not know the question answers all the same; more often it need not say so.
const REFUSED_PAUSE: Duration = Duration::from_secs(60);

/// One device and what it is asked.
pub struct Polling {
    device: HttpDevice,
    caller: Arc<Caller>,
    polls: Vec<Poll>,
    deliveries: mpsc::Sender<Delivery>,
    now: Clock,
    metrics: Arc<Metrics>,
}

struct Poll {
    call: Call,
    every: Duration,
    due: Instant,
    /// What it said last: only what is new is told.
    said: Vec<Statement>,
}

impl Polling {
    /// For a device whose profile has polls.
    pub fn new(
        device: HttpDevice,
        caller: Arc<Caller>,
        deliveries: mpsc::Sender<Delivery>,
        now: Clock,
        metrics: Arc<Metrics>,
    ) -> Self {
        let due = Instant::now();
        let poll = |(call, every_ms)| Poll { call, every: Duration::from_millis(every_ms), due, said: Vec::new() };
        let polls = device.codec.polls().into_iter().map(poll).collect();
        Self { device, caller, polls, deliveries, now, metrics }
    }

    /// Asks until the loop is gone.
    pub async fn run(mut self) {
        while let Some((number, due)) = self.next() {
            sleep_until(due).await;
            let Ok(pause) = self.ask(number).await else { return };
            self.polls[number].due = Instant::now() + pause;
        }
    }

    fn next(&self) -> Option<(usize, Instant)> {
        self.polls.iter().map(|poll| poll.due).enumerate().min_by_key(|(_, due)| *due)
    }

    /// The pause until it is asked again; an error where the loop is gone.
    async fn ask(&mut self, number: usize) -> Result<Duration, mpsc::error::SendError<Delivery>> {
        let poll = &self.polls[number];
        let (says, pause) = match self.caller.poll(&poll.call).await {
            Ok((200..300, content_type, body)) => (Some(self.says(&content_type, &body)), poll.every),
            // Whether it may be asked again is known where the login is.
            Ok((401, ..)) => (None, poll.every),
            Ok(_) => {
                self.metrics.rejected("devices", "poll-refused");
                (None, poll.every.max(REFUSED_PAUSE))
            }
            Err(_) => (None, poll.every),
        };
        let Some(says) = says else {
            // Nobody said anything. Once it speaks again, whatever it says is news.
            self.polls[number].said.clear();
            return if self.deliveries.is_closed() {
                Err(mpsc::error::SendError(Delivery::default()))
            } else {
                Ok(pause)
            };
        };
        if self.polls[number].said != says {
            let received = (self.now)();
            let inputs = submitting::inputs_of(&self.metrics, &self.device.wiring, says.clone(), received);
            self.polls[number].said = says;
            self.deliveries.send(Delivery { inputs, ..Delivery::default() }).await?;
        }
        if self.deliveries.is_closed() { Err(mpsc::error::SendError(Delivery::default())) } else { Ok(pause) }
    }

    /// An answer that no message of the profile reads shows that the device is there, and no more.
    fn says(&self, content_type: &str, body: &[u8]) -> Vec<Statement> {
        if !self.device.codec.hears_events() {
            return Vec::new();
        }
        match self.device.codec.decode_event(content_type, body) {
            Ok(heard) => heard.says,
            Err(Rejection::UnknownMessage) => Vec::new(),
            Err(rejection) => {
                self.metrics.rejected("devices", rejection.name());
                Vec::new()
            }
        }
    }
}
