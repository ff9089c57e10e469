//! Raising a barrier through a broker: sent once, never again; then what came back, or that nothing did.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rumqttc::v5::AsyncClient;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::PublishProperties;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::planning::MqttDevice;
use super::submitting::{Delivery, answered};
use super::{Clock, Raise};
use crate::domain::event::{CommandAnswer, CommandId};
use crate::metrics::Metrics;
use crate::profile::language::RAISE;
use crate::profile::mqtt::DeviceAnswer;
use crate::profile::template::{Value, Values};

/// How long a broker may hold a raise for a device that is away. Later, another vehicle could stand there.
const EXPIRY_S: u32 = 5;
/// Raises of one link whose answers are waited for: more than any site has lanes. Beyond it the oldest is given up.
pub const UNANSWERED_MAX: usize = 32;

/// What the connection tells about commands.
#[derive(Debug)]
pub enum News {
    /// Connected and subscribed.
    Up(AsyncClient),
    /// The connection ended.
    Lost,
    /// The next command in line is on the socket, with this packet number.
    Sent {
        /// The packet number.
        packet: u16,
        /// When it was written.
        at: Instant,
    },
    /// The broker answered for it.
    Taken {
        /// The packet number.
        packet: u16,
        /// Why it goes no further, where the broker says so.
        problem: Option<String>,
    },
    /// A device speaks in another topic layout than before.
    Spoke {
        /// Which, by position.
        device: usize,
        /// The layout.
        layout: usize,
    },
    /// A device answered a command.
    Answered {
        /// Which, by position.
        device: usize,
        /// Its answer.
        answer: DeviceAnswer,
    },
}

/// The commands of one broker link.
pub struct Raising {
    devices: Vec<MqttDevice>,
    layouts: Vec<usize>,
    client: Option<AsyncClient>,
    unanswered: Vec<Unanswered>,
    deliveries: mpsc::Sender<Delivery>,
    now: Clock,
    metrics: Arc<Metrics>,
}

struct Unanswered {
    raise: Raise,
    device: usize,
    id: String,
    until: tokio::time::Instant,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Handed,
    Sent(u16),
    WithTheBroker,
}

impl Raising {
    /// For these devices, in the order of their positions.
    pub fn new(
        devices: Vec<MqttDevice>,
        deliveries: mpsc::Sender<Delivery>,
        now: Clock,
        metrics: Arc<Metrics>,
    ) -> Self {
        let layouts = vec![0; devices.len()];
        Self { devices, layouts, client: None, unanswered: Vec::new(), deliveries, now, metrics }
    }

    /// Until the link or the loop is gone.
    pub async fn run(mut self, mut raises: mpsc::Receiver<Raise>, mut news: mpsc::Receiver<News>) {
        loop {
            let next_end = self.unanswered.iter().map(|waiting| waiting.until).min();
            let silence = async {
                match next_end {
                    Some(end) => tokio::time::sleep_until(end).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                told = news.recv() => match told {
                    Some(news) => self.hear(news).await,
                    None => return,
                },
                asked = raises.recv() => match asked {
                    Some(raise) => self.raise(raise).await,
                    None => return,
                },
                () = silence => self.give_up_late().await,
            }
        }
    }

    async fn raise(&mut self, raise: Raise) {
        self.make_room().await;
        if let Err((raise, why)) = self.send(raise) {
            self.answer(raise, CommandAnswer::Silent(why.to_owned())).await;
        }
    }

    /// A driver who waits matters more than an old command's answer. One that is not yet on the socket stays: its turn
    /// there tells which packet it is.
    async fn make_room(&mut self) {
        if self.unanswered.len() < UNANSWERED_MAX {
            return;
        }
        if let Some(oldest) = self.unanswered.iter().position(|waiting| waiting.stage != Stage::Handed) {
            let forgotten = self.unanswered.remove(oldest);
            let why = "newer raises came before its answer".to_owned();
            self.answer(forgotten.raise, CommandAnswer::Silent(why)).await;
        }
    }

    fn send(&mut self, raise: Raise) -> Result<(), (Raise, &'static str)> {
        let Some(client) = &self.client else { return Err((raise, "not connected to the broker")) };
        if self.unanswered.len() >= UNANSWERED_MAX {
            return Err((raise, "the connection takes no more raises"));
        }
        let Some(device) = self.devices.iter().position(|device| device.wiring.device == raise.device) else {
            return Err((raise, "the device is not on this link"));
        };
        let id = correlation(&raise.command);
        let mut args: Values = raise.args.clone();
        args.insert("id".to_owned(), Value::Text(id.clone()));
        args.insert("timestamp".to_owned(), Value::Integer((self.now)().0 / 1000));
        let codec = &self.devices[device].codec;
        let Ok(publication) = codec.encode(RAISE, self.layouts[device], &args) else {
            return Err((raise, "the profile cannot raise"));
        };
        let expiry = PublishProperties { message_expiry_interval: Some(EXPIRY_S), ..PublishProperties::default() };
        let topic = publication.topic;
        let handed = client.try_publish_with_properties(&topic, QoS::AtLeastOnce, false, publication.body, expiry);
        if handed.is_err() {
            return Err((raise, "not connected to the broker"));
        }
        // After it is handed over: a slow log must not keep a driver waiting.
        tracing::info!(lane = %raise.lane, command = %raise.command, id, topic, "raising the barrier");
        let until = tokio::time::Instant::now() + Duration::from_millis(codec.reply_timeout_ms(RAISE));
        self.unanswered.push(Unanswered { raise, device, id, until, stage: Stage::Handed });
        Ok(())
    }

    async fn hear(&mut self, news: News) {
        match news {
            News::Up(client) => self.client = Some(client),
            News::Lost => {
                self.client = None;
                let lost = |waiting: &Unanswered| waiting.stage != Stage::WithTheBroker;
                self.silent(lost, "the link broke before the broker took it").await;
            }
            News::Sent { packet, at } => {
                // The connection writes in the order in which it was handed; nobody else publishes on it.
                if let Some(next) = self.unanswered.iter_mut().find(|waiting| waiting.stage == Stage::Handed) {
                    next.stage = Stage::Sent(packet);
                    self.metrics.raise_sent(next.raise.lane.as_str(), next.raise.of_read, at);
                }
            }
            News::Taken { packet, problem: Some(problem) } => {
                self.silent(|waiting| waiting.stage == Stage::Sent(packet), &problem).await;
            }
            News::Taken { packet, problem: None } => {
                for waiting in self.unanswered.iter_mut().filter(|waiting| waiting.stage == Stage::Sent(packet)) {
                    waiting.stage = Stage::WithTheBroker;
                }
            }
            News::Spoke { device, layout } => self.layouts[device] = layout,
            News::Answered { device, answer } => self.device_answered(device, answer).await,
        }
    }

    async fn device_answered(&mut self, device: usize, answer: DeviceAnswer) {
        let Some(position) =
            self.unanswered.iter().position(|waiting| waiting.device == device && waiting.id == answer.id)
        else {
            self.metrics.rejected("devices", "unmatched-answer");
            tracing::debug!(device = %self.devices[device].wiring.device, "an answer to no open command");
            return;
        };
        let waiting = self.unanswered.remove(position);
        let answer = match answer.taken {
            Ok(()) => CommandAnswer::Accepted,
            Err(words) => CommandAnswer::Refused(words),
        };
        self.answer(waiting.raise, answer).await;
    }

    async fn give_up_late(&mut self) {
        let now = tokio::time::Instant::now();
        self.silent(|waiting| waiting.until <= now, "no answer in time").await;
    }

    async fn silent(&mut self, which: impl Fn(&Unanswered) -> bool, why: &str) {
        let (silent, kept) = std::mem::take(&mut self.unanswered).into_iter().partition(|waiting| which(waiting));
        self.unanswered = kept;
        let silent: Vec<Unanswered> = silent;
        for waiting in silent {
            self.answer(waiting.raise, CommandAnswer::Silent(why.to_owned())).await;
        }
    }

    async fn answer(&self, raise: Raise, answer: CommandAnswer) {
        let input = answered(&self.metrics, raise.lane, raise.command, answer);
        // Without the loop nobody is left to tell.
        let _ = self.deliveries.send(Delivery { inputs: vec![input], ..Delivery::default() }).await;
    }
}

/// A command's id as devices take it: 16 characters, the same for the same command.
fn correlation(command: &CommandId) -> String {
    hex::encode(&Sha256::digest(command.as_str())[..8])
}
