//! A camera's connection to its broker: it publishes, hears commands and answers them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rumqttc::NetworkOptions;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{LastWill, Packet, PubAckReason, Publish};
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::dialect::{Dialect, Message};
use super::messages::{self, Sender};
use super::offline::Offline;
use super::{CameraSettings, Capture, OutputCommand};
use crate::clock::VirtualClock;

/// Messages waiting for the broker's acknowledgement; rumqttc reserves memory for each, and a camera has few.
const MESSAGES_IN_FLIGHT: u16 = 64;
/// Messages waiting to be sent while the broker is away; more than a camera says in a minute.
const MESSAGES_QUEUED: usize = 256;
/// Pause before the next attempt to reach a broker.
const RECONNECT_PAUSE: Duration = Duration::from_millis(200);
/// How long the broker may take to answer the first time.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);

/// A camera's side of a broker; it disconnects when it is dropped.
pub(super) struct Broker {
    dialect: Dialect,
    client: AsyncClient,
    deaf_until: Arc<Mutex<Option<Instant>>>,
    offline: Option<Arc<Offline>>,
    commands: mpsc::Sender<OutputCommand>,
    listens: watch::Receiver<bool>,
    tasks: [JoinHandle<()>; 2],
}

impl Broker {
    /// Returns when the broker has confirmed that commands will come. `offline` is what the camera does by itself.
    pub async fn connect(
        host: &str,
        port: u16,
        settings: &CameraSettings,
        clock: VirtualClock,
        offline: Option<Offline>,
        commands: mpsc::Sender<OutputCommand>,
    ) -> Result<Self> {
        let offline = offline.map(Arc::new);
        let dialect = settings.dialect;
        let (client, eventloop) = AsyncClient::new(mqtt_options(host, port, settings), MESSAGES_QUEUED);
        let (listening, mut listens) = watch::channel(false);
        let deaf_until = Arc::new(Mutex::new(None));
        let ears = Ears {
            sn: settings.sn.clone(),
            dialect,
            clock,
            client: client.clone(),
            commands: commands.clone(),
            listening,
            deaf_until: Arc::clone(&deaf_until),
            offline: offline.clone(),
        };
        let tasks =
            [tokio::spawn(ears.listen(eventloop)), tokio::spawn(keep_alive(client.clone(), settings.clone(), clock))];
        let heard = listens.clone();
        let broker = Self { dialect, client, deaf_until, offline, commands, listens: heard, tasks };
        tokio::time::timeout(CONNECT_PATIENCE, listens.wait_for(|yes| *yes))
            .await
            .with_context(|| format!("reach the broker {host}:{port} in time"))?
            .context("keep the connection to the broker")?;
        Ok(broker)
    }

    /// Says this; false where the broker stays away and the camera can do without.
    pub async fn publish(&self, message: Message) -> Result<bool> {
        if let Some(offline) = &self.offline {
            let mut listens = self.listens.clone();
            if !matches!(tokio::time::timeout(offline.after, listens.wait_for(|yes| *yes)).await, Ok(Ok(_))) {
                return Ok(false);
            }
        }
        let Message { to, body, .. } = message;
        let retains = self.dialect.retains(&to);
        self.client.publish(to, QoS::AtLeastOnce, retains, body).await.context("publish what a camera says")?;
        Ok(true)
    }

    /// What the camera does about a plate of which nobody heard: its own list decides, and the record is kept.
    pub fn decide_alone(&self, capture: &Capture, record: u64, message: &Message) -> Result<()> {
        let Some(offline) = &self.offline else { return Ok(()) };
        offline.keep(record, message);
        if !offline.lets_in(&capture.plate, capture.at_ms) {
            return Ok(());
        }
        let raise = OutputCommand { id: String::new(), io: 0, value: 2, delay_ms: 500, at: Instant::now() };
        self.commands.try_send(raise).context("move the arm by the camera's own list")
    }

    /// Until the camera has noticed that its broker is gone.
    pub async fn is_cut_off(&self) -> Result<()> {
        self.listens.clone().wait_for(|yes| !*yes).await.map(|_| ()).context("look at the connection to the broker")
    }

    /// What it has said is on its way; commands that come while it starts are lost in it.
    pub fn start_anew(&self, within: Duration) {
        *self.deaf_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + within);
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// The camera's receiving half.
struct Ears {
    sn: String,
    dialect: Dialect,
    clock: VirtualClock,
    client: AsyncClient,
    commands: mpsc::Sender<OutputCommand>,
    listening: watch::Sender<bool>,
    deaf_until: Arc<Mutex<Option<Instant>>>,
    offline: Option<Arc<Offline>>,
}

impl Ears {
    async fn listen(self, mut eventloop: EventLoop) {
        loop {
            match eventloop.poll().await {
                Ok(Event::Incoming(packet)) => self.take(&packet),
                Ok(Event::Outgoing(_)) => {}
                Err(error) => {
                    tracing::debug!(sn = self.sn, %error, "the camera lost its broker");
                    self.listening.send_replace(false);
                    if self.offline.is_some() {
                        // What was on its way is lost, and not said as if it had just happened.
                        eventloop.pending.clear();
                    }
                    tokio::time::sleep(RECONNECT_PAUSE).await;
                }
            }
        }
    }

    fn take(&self, packet: &Packet) {
        if matches!(packet, Packet::ConnAck(_)) {
            // The event loop must not wait for its own queue, so these only try; a full queue shows on the next loss.
            let (commands, _) = self.dialect.commands(&self.sn);
            // Of the list first: with the answer to the last request the camera listens.
            let of_list = self.offline.iter().map(|_| messages::list_topics(&self.sn).0);
            let asked =
                of_list.chain([commands]).all(|topic| self.client.try_subscribe(topic, QoS::AtLeastOnce).is_ok());
            if !asked {
                tracing::warn!(sn = self.sn, "the camera could not ask for its commands");
            }
        }
        if matches!(packet, Packet::SubAck(_)) {
            self.listening.send_replace(true);
        }
        // A broker that started anew has nobody to hand a message to until the box has asked for it, and says so.
        if matches!(packet, Packet::PubAck(ack) if ack.reason == PubAckReason::Success) {
            self.release();
        }
        if let Packet::Publish(publish) = packet {
            let deaf_until = *self.deaf_until.lock().unwrap_or_else(PoisonError::into_inner);
            if deaf_until.is_none_or(|until| Instant::now() >= until) {
                self.obey(publish);
            }
        }
    }

    /// The box is there: what was seen meanwhile is said, in its order.
    fn release(&self) {
        let Some(offline) = &self.offline else { return };
        while let Some((record, message)) = offline.next() {
            let stored = messages::stored(&message);
            if self.client.try_publish(stored.to, QoS::AtLeastOnce, false, stored.body).is_err() {
                return;
            }
            offline.forget(record);
        }
    }

    /// An order for the camera's own list, and the answer to it.
    fn takes_list(&self, publish: &Publish) -> bool {
        let (orders, replies) = messages::list_topics(&self.sn);
        let Some(offline) = self.offline.as_ref().filter(|_| publish.topic == orders.as_bytes()) else { return false };
        if let Some(reply) = messages::listed(&self.sn, &publish.payload, offline, self.clock.now_s())
            && self.client.try_publish(replies, QoS::AtLeastOnce, false, reply.to_string()).is_err()
        {
            tracing::warn!(sn = self.sn, "the camera's answer found no room in its queue");
        }
        true
    }

    fn obey(&self, publish: &Publish) {
        if self.takes_list(publish) {
            return;
        }
        let Some((command, reply)) = self.dialect.obeyed(&self.sn, &publish.payload, self.clock.now_s()) else {
            tracing::warn!(sn = self.sn, "the camera got a command that it does not understand");
            return;
        };
        let (_, replies) = self.dialect.commands(&self.sn);
        if self.client.try_publish(replies, QoS::AtLeastOnce, false, reply.to_string()).is_err() {
            tracing::warn!(sn = self.sn, "the camera's answer found no room in its queue");
        }
        if self.commands.try_send(command).is_err() {
            tracing::warn!(sn = self.sn, "nobody looks at the camera's outputs");
        }
    }
}

async fn keep_alive(client: AsyncClient, settings: CameraSettings, clock: VirtualClock) {
    let mut ticks = tokio::time::interval(settings.keep_alive);
    for number in 1.. {
        ticks.tick().await;
        let sender = Sender { sn: &settings.sn, number, now_s: clock.now_s() };
        let Some(alive) = settings.dialect.alive(&sender) else { return };
        let retains = settings.dialect.retains(&alive.to);
        if client.publish(alive.to, QoS::AtLeastOnce, retains, alive.body).await.is_err() {
            return;
        }
    }
}

fn mqtt_options(host: &str, port: u16, settings: &CameraSettings) -> MqttOptions {
    let mut options = MqttOptions::new(format!("camera-{}", settings.sn), host, port);
    let mut network = NetworkOptions::new();
    // Without this a message waits up to 40 ms for the acknowledgement of the one before it.
    network.set_tcp_nodelay(true);
    if let Some(will) = settings.dialect.last_will(&settings.sn) {
        options.set_last_will(LastWill::new(will.to, will.body, QoS::AtLeastOnce, true, None));
    }
    options
        .set_network_options(network)
        .set_outgoing_inflight_upper_limit(MESSAGES_IN_FLIGHT)
        .set_clean_start(true)
        .set_keep_alive(Duration::from_secs(30));
    options
}
