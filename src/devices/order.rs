//! One command on its way to a device, and what came back for it.

use std::time::Instant;

use tokio::sync::oneshot;

use super::submitting::answered;
use crate::domain::event::{CommandAnswer, CommandId, DeviceId, Input, LaneId};
use crate::metrics::Metrics;
use crate::profile::language::{LOWER, RAISE};
use crate::profile::template::Values;

/// A command for one device, on its link's queue.
#[derive(Debug)]
pub struct Order {
    /// For which device.
    pub device: DeviceId,
    /// Which of its profile's commands.
    pub command: String,
    /// With what.
    pub args: Values,
    /// Another name for each order, so that its answer can be told from others.
    pub id: String,
    purpose: Purpose,
}

#[derive(Debug)]
enum Purpose {
    /// The loop lets a vehicle pass; what comes back is an input.
    Raise { lane: LaneId, command: CommandId, of_read: bool },
    /// The loop lets an arm down; what comes back is an input.
    Lower { lane: LaneId, command: CommandId },
    /// Somebody waits for what comes back.
    Asked(oneshot::Sender<Outcome>),
}

/// What came back for a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The device says that it took it.
    Taken,
    /// The device refused, with its own words.
    Refused(String),
    /// It was sent, and nothing ever confirms it.
    Unconfirmed(String),
    /// It was sent, and its answer did not come: what became of it is unknown.
    Silent(String),
    /// It never left the box.
    NotSent(String),
}

impl Order {
    /// A raise, after its commit.
    pub fn raise(lane: LaneId, command: CommandId, device: DeviceId, args: Values, of_read: bool) -> Self {
        let id = command.to_string();
        Self { device, command: RAISE.to_owned(), args, id, purpose: Purpose::Raise { lane, command, of_read } }
    }

    /// An arm is let down, after its commit.
    pub fn lower(lane: LaneId, command: CommandId, device: DeviceId, args: Values) -> Self {
        let id = command.to_string();
        Self { device, command: LOWER.to_owned(), args, id, purpose: Purpose::Lower { lane, command } }
    }

    /// Any other command; its outcome goes to the receiver.
    pub fn asked(device: DeviceId, command: &str, args: Values, id: String) -> (Self, oneshot::Receiver<Outcome>) {
        let (outcome, answer) = oneshot::channel();
        (Self { device, command: command.to_owned(), args, id, purpose: Purpose::Asked(outcome) }, answer)
    }

    /// Whether it lets a vehicle pass.
    pub fn is_raise(&self) -> bool {
        matches!(self.purpose, Purpose::Raise { .. })
    }

    /// It is on the wire.
    pub fn sent(&self, metrics: &Metrics, at: Instant) {
        match &self.purpose {
            Purpose::Raise { lane, command, of_read } => {
                metrics.raise_sent(lane.as_str(), *of_read, at);
                tracing::info!(%lane, %command, device = %self.device, "raising the barrier");
            }
            Purpose::Lower { lane, command } => {
                tracing::info!(%lane, %command, device = %self.device, "letting the arm down");
            }
            Purpose::Asked(_) => tracing::debug!(device = %self.device, command = self.command, "told a device"),
        }
    }

    /// It is over: an input for the loop, or an answer for whoever asked.
    pub fn end(self, outcome: Outcome, metrics: &Metrics) -> Option<Input> {
        match self.purpose {
            Purpose::Raise { lane, command, .. } => Some(answered(metrics, lane, command, outcome.into())),
            Purpose::Lower { lane, command } => Some(answered(metrics, lane, command, outcome.into())),
            Purpose::Asked(waiting) => {
                // Who asked may have gone.
                let _ = waiting.send(outcome);
                None
            }
        }
    }
}

impl Outcome {
    /// The same for something that is known by its words.
    pub fn not_sent(why: &str) -> Self {
        Self::NotSent(why.to_owned())
    }

    /// The same for something that is known by its words.
    pub fn silent(why: &str) -> Self {
        Self::Silent(why.to_owned())
    }

    /// The word for people and programs.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Refused(_) => "refused",
            Self::Unconfirmed(_) => "unconfirmed",
            Self::Silent(_) => "unknown",
            Self::NotSent(_) => "not-sent",
        }
    }

    /// What there is to say besides.
    pub fn why(&self) -> Option<&str> {
        match self {
            Self::Taken => None,
            Self::Refused(why) | Self::Unconfirmed(why) | Self::Silent(why) | Self::NotSent(why) => Some(why),
        }
    }
}

/// Of a raise little is of use: all that is not known for certain is uncertain, but for what never left the box.
impl From<Outcome> for CommandAnswer {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Taken => Self::Accepted,
            Outcome::Refused(why) => Self::Refused(why),
            Outcome::Unconfirmed(why) => Self::Unconfirmed(why),
            Outcome::Silent(why) => Self::Silent(why),
            Outcome::NotSent(why) => Self::NotSent(why),
        }
    }
}

/// The answer of a device, as its profile reads it.
impl From<crate::profile::statement::DeviceAnswer> for Outcome {
    fn from(answer: crate::profile::statement::DeviceAnswer) -> Self {
        match answer.taken {
            Ok(()) => Self::Taken,
            Err(why) => Self::Refused(why),
        }
    }
}
