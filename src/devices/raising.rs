//! Commands through a broker: each is sent once, never again; then what came back, or that nothing did.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rumqttc::v5::AsyncClient;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::PublishProperties;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::Clock;
use super::order::{Order, Outcome};
use super::planning::MqttDevice;
use super::submitting::Delivery;
use crate::metrics::Metrics;
use crate::profile::mqtt::DeviceAnswer;
use crate::profile::template::{Value, Values};

/// How long a broker may hold a command for a device that is away. Later, another vehicle could stand there.
const EXPIRY_S: u32 = 5;
/// Commands of one link whose answers are waited for: more than any site has lanes. Beyond it the oldest is given up.
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

/// The commands of one link that wait for their answers, for who hears the devices: which of them a message answers.
#[derive(Clone, Debug, Default)]
pub struct Awaited(Arc<Mutex<BTreeSet<Awaits>>>);

/// The device's position, the id and the command's name.
type Awaits = (usize, String, String);

impl Awaited {
    /// Whether this device was told this command with this id, and has neither answered it nor been given up.
    pub fn has(&self, device: usize, id: &str, command: &str) -> bool {
        self.all().contains(&(device, id.to_owned(), command.to_owned()))
    }

    fn add(&self, awaits: Awaits) -> Ticket {
        self.all().insert(awaits.clone());
        Ticket { awaited: self.clone(), awaits }
    }

    /// A panic elsewhere leaves the set as it was.
    fn all(&self) -> MutexGuard<'_, BTreeSet<Awaits>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of them; it ends with the wait.
struct Ticket {
    awaited: Awaited,
    awaits: Awaits,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.awaited.all().remove(&self.awaits);
    }
}

/// The commands of one broker link.
pub struct Raising {
    devices: Vec<MqttDevice>,
    layouts: Vec<usize>,
    client: Option<AsyncClient>,
    unanswered: Vec<Unanswered>,
    awaited: Awaited,
    deliveries: mpsc::Sender<Delivery>,
    now: Clock,
    metrics: Arc<Metrics>,
}

struct Unanswered {
    order: Order,
    device: usize,
    id: String,
    until: tokio::time::Instant,
    stage: Stage,
    _ticket: Ticket,
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
        let awaited = Awaited::default();
        Self { devices, layouts, client: None, unanswered: Vec::new(), awaited, deliveries, now, metrics }
    }

    /// What waits for an answer.
    pub fn awaited(&self) -> Awaited {
        self.awaited.clone()
    }

    /// Until the link or the loop is gone.
    pub async fn run(mut self, mut orders: mpsc::Receiver<Order>, mut news: mpsc::Receiver<News>) {
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
                asked = orders.recv() => match asked {
                    Some(order) => self.obey(order).await,
                    None => return,
                },
                () = silence => self.give_up_late().await,
            }
        }
    }

    async fn obey(&mut self, order: Order) {
        self.make_room().await;
        if let Some((order, why)) = self.send(order) {
            self.end(order, Outcome::NotSent(why)).await;
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
            self.end(forgotten.order, Outcome::silent("newer commands came before its answer")).await;
        }
    }

    /// Gives back what cannot be sent, and why.
    fn send(&mut self, order: Order) -> Option<(Order, String)> {
        let Some(client) = &self.client else { return Some((order, "not connected to the broker".to_owned())) };
        if self.unanswered.len() >= UNANSWERED_MAX {
            return Some((order, "the connection takes no more commands".to_owned()));
        }
        let Some(device) = self.devices.iter().position(|device| device.wiring.device == order.device) else {
            return Some((order, "the device is not on this link".to_owned()));
        };
        let id = correlation(&order.id);
        let mut args: Values = order.args.clone();
        args.insert("id".to_owned(), Value::Text(id.clone()));
        args.insert("timestamp".to_owned(), Value::Integer((self.now)().0 / 1000));
        let codec = &self.devices[device].codec;
        let publication = match codec.encode(&order.command, self.layouts[device], &args) {
            Ok(publication) => publication,
            Err(error) => return Some((order, error.to_string())),
        };
        // Before it is out: the answer may be quicker than this thread.
        let ticket = self.awaited.add((device, id.clone(), order.command.clone()));
        let expiry = PublishProperties { message_expiry_interval: Some(EXPIRY_S), ..PublishProperties::default() };
        let topic = publication.topic;
        let handed = client.try_publish_with_properties(&topic, QoS::AtLeastOnce, false, publication.body, expiry);
        if handed.is_err() {
            return Some((order, "not connected to the broker".to_owned()));
        }
        let within = match codec.reply_timeout_ms(&order.command) {
            0 => Duration::from_secs(u64::from(EXPIRY_S)),
            timeout_ms => Duration::from_millis(timeout_ms),
        };
        let until = tokio::time::Instant::now() + within;
        self.unanswered.push(Unanswered { order, device, id, until, stage: Stage::Handed, _ticket: ticket });
        None
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
                    next.order.sent(&self.metrics, at);
                }
            }
            News::Taken { packet, problem: Some(problem) } => {
                self.silent(|waiting| waiting.stage == Stage::Sent(packet), &problem).await;
            }
            News::Taken { packet, problem: None } => self.taken_by_the_broker(packet).await,
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
        self.end(waiting.order, answer.into()).await;
    }

    /// What a device never answers is over now.
    async fn taken_by_the_broker(&mut self, packet: u16) {
        let Some(position) = self.unanswered.iter().position(|waiting| waiting.stage == Stage::Sent(packet)) else {
            return;
        };
        let waiting = &mut self.unanswered[position];
        waiting.stage = Stage::WithTheBroker;
        if self.devices[waiting.device].codec.reply_timeout_ms(&waiting.order.command) == 0 {
            let told = self.unanswered.remove(position);
            let why = "the broker took it, and the device confirms nothing".to_owned();
            self.end(told.order, Outcome::Unconfirmed(why)).await;
        }
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
            self.end(waiting.order, Outcome::silent(why)).await;
        }
    }

    async fn end(&self, order: Order, outcome: Outcome) {
        if let Some(input) = order.end(outcome, &self.metrics) {
            // Without the loop nobody is left to tell.
            let _ = self.deliveries.send(Delivery { inputs: vec![input], ..Delivery::default() }).await;
        }
    }
}

/// A command's id as devices take it: 16 characters, the same for the same command.
fn correlation(id: &str) -> String {
    hex::encode(&Sha256::digest(id)[..8])
}
