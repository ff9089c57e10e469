//! The link to an MQTT broker: what devices say goes into the loop; the broker may forget each message only after the
//! loop has committed it.
//!
//! Every connection has a client of its own. rumqttc would keep unacknowledged publishes and send them again after a
//! reconnect, so that a barrier could rise minutes late; and it would send an acknowledgement that was meant for a
//! message of the former connection. A client that dies with its connection can do neither, while the broker keeps the
//! session, and with it what the cameras said meanwhile.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rumqttc::NetworkOptions;
use rumqttc::Outgoing;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    ConnectProperties, DisconnectReasonCode, Filter, Packet, PubAckReason, Publish, RetainForwardRule,
    SubscribeReasonCode,
};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions, StateError};
use tokio::sync::mpsc;

use super::backoff::Attempts;
use super::kept::{self, Kept};
use super::planning::{BrokerPlan, MqttDevice};
use super::raising::{Awaited, News};
use super::submitting::{self, Delivery, Receipt, whole};
use super::{Clock, Sparing};
use crate::domain::event::Input;
use crate::metrics::{Metrics, Trouble};
use crate::photos::Desk;
use crate::profile::mqtt::{Heard, Meaning};
use crate::profile::statement::{Picture, Rejection, Statement};
use crate::profile::template;

/// How many messages the broker may send before the first is acknowledged; 20 lanes say at most a few at once.
const UNACKNOWLEDGED_MAX: u16 = 64;
/// rumqttc reserves a table for this many publishes of ours.
const IN_FLIGHT_MAX: u16 = 64;
/// Acknowledgements and commands that wait for the connection. A broker sends faster than it is answered in a burst: what
/// finds no room here waits its turn (`submitting`).
const REQUESTS_MAX: usize = 256;
/// Above the largest message that a profile reads, so that one a little larger is told by name; the broker drops what is larger.
const PACKET_BYTES_MAX: u32 = 4 * 1024 * 1024;
/// How long the broker keeps what was said while the box was away.
const SESSION_S: u32 = 7 * 24 * 3600;
/// A dead line is noticed after one and a half of this.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// The first pause before a new attempt, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));
/// Topics of one subscription request; a request of all of them could be larger than a broker takes.
const FILTERS_PER_REQUEST: usize = 50;

/// One broker and the devices behind it.
pub struct Broker {
    id: String,
    options: MqttOptions,
    devices: Arc<[MqttDevice]>,
    /// The devices that speak on each topic, by their positions.
    by_topic: BTreeMap<String, Arc<[usize]>>,
    strangers: BTreeSet<String>,
    layouts: Vec<usize>,
    deliveries: mpsc::Sender<Delivery>,
    news: mpsc::Sender<News>,
    awaited: Awaited,
    now: Clock,
    metrics: Arc<Metrics>,
    desk: Desk,
    warned: Sparing,
    kept: Kept,
}

impl Broker {
    /// The link as the settings plan it. What is heard goes to `deliveries`; what concerns commands to `news`;
    /// `awaited` are those without an answer.
    pub fn new(
        plan: BrokerPlan,
        deliveries: mpsc::Sender<Delivery>,
        news: mpsc::Sender<News>,
        awaited: Awaited,
        now: Clock,
        metrics: Arc<Metrics>,
        desk: Desk,
    ) -> Self {
        let devices: Arc<[MqttDevice]> = plan.devices.clone().into();
        let mut by_topic: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (number, device) in devices.iter().enumerate() {
            device.codec.topics().for_each(|topic| by_topic.entry(topic.to_owned()).or_default().push(number));
        }
        Self {
            options: options(&plan),
            kept: Kept::new(&plan.client_id),
            id: plan.id,
            by_topic: by_topic.into_iter().map(|(topic, devices)| (topic, devices.into())).collect(),
            strangers: devices.iter().flat_map(|device| device.codec.strangers()).map(str::to_owned).collect(),
            layouts: vec![0; devices.len()],
            devices,
            deliveries,
            news,
            awaited,
            now,
            metrics,
            desk,
            warned: Sparing::default(),
        }
    }

    /// Connects, listens, and connects again, until the loop is gone.
    pub async fn run(mut self) {
        let mut attempts = Attempts::new(PAUSE);
        self.metrics.link_up(&self.id, false);
        loop {
            let (client, connection) = AsyncClient::new(self.options.clone(), REQUESTS_MAX);
            let ended = self.converse(&client, connection, &mut attempts).await;
            self.metrics.link_up(&self.id, false);
            self.metrics.health.link_is_down(&self.id, &ended.why);
            if self.news.send(News::Lost).await.is_err() || self.deliveries.is_closed() {
                return;
            }
            // Once per outage; a broker that is away for an hour is one line, not a thousand. Two with one name that put each
            // other out hold for as long as the other one waits, and would wait ever shorter if that counted.
            let (is_news, pause) = attempts.goes(!ended.is_taken_over, Instant::now());
            if is_news {
                tracing::warn!(link = self.id, why = ended.why, "the broker is not reachable; trying again");
            }
            tokio::time::sleep(pause).await;
        }
    }

    async fn converse(&mut self, client: &AsyncClient, mut connection: EventLoop, attempts: &mut Attempts) -> Ended {
        self.kept.connecting();
        let mut to_confirm = VecDeque::new();
        let mut came_up = false;
        loop {
            let event = match connection.poll().await {
                Ok(event) => event,
                Err(error) => return self.ended(&error),
            };
            let read_at = Instant::now();
            if attempts.holds(read_at) {
                self.log_up();
            }
            self.kept.look(read_at);
            let going_on = if let Event::Incoming(Packet::Publish(publish)) = event {
                self.hear(client, publish, read_at).await
            } else if let Event::Incoming(Packet::PubAck(ack)) = event {
                self.tell(News::Taken { packet: ack.pkid, problem: problem(ack.reason) }).await
            } else if let Event::Outgoing(Outgoing::Publish(packet)) = event {
                self.kept.is_mark() || self.tell(News::Sent { packet, at: read_at }).await
            } else if let Event::Incoming(Packet::ConnAck(ack)) = event {
                to_confirm = self.subscribe(client);
                self.kept.begin(client, ack.session_present, read_at, (self.now)());
                true
            } else if let Event::Incoming(Packet::SubAck(ack)) = event {
                // A broker answers in the order in which it was asked.
                self.refused_subscriptions(&to_confirm.pop_front().unwrap_or_default(), &ack.return_codes);
                let is_ready = to_confirm.is_empty() && !came_up;
                came_up |= is_ready;
                !is_ready || self.up(client, attempts).await
            } else {
                true
            };
            if !going_on {
                return Ended { is_taken_over: false, why: "the box is stopping".to_owned() };
            }
        }
    }

    async fn up(&mut self, client: &AsyncClient, attempts: &mut Attempts) -> bool {
        self.metrics.link_up(&self.id, true);
        if attempts.comes(Instant::now()) {
            self.log_up();
        }
        self.tell(News::Up(client.clone())).await
    }

    fn log_up(&self) {
        tracing::info!(link = self.id, devices = self.devices.len(), "connected to the broker");
    }

    fn ended(&self, error: &ConnectionError) -> Ended {
        let taken_over = DisconnectReasonCode::SessionTakenOver;
        let is_taken_over = matches!(error, ConnectionError::MqttState(StateError::ServerDisconnect { reason_code, .. }) if *reason_code == taken_over);
        let why = if is_taken_over {
            let own = self.options.client_id();
            format!("somebody else connects to the broker as {own}: each box needs a client_id of its own")
        } else {
            error.to_string()
        };
        Ended { is_taken_over, why }
    }

    async fn tell(&self, news: News) -> bool {
        self.news.send(news).await.is_ok()
    }

    /// Everything, after every connect: a broker that lost its session lost the subscriptions too. Returns what each request
    /// asks for.
    fn subscribe(&self, client: &AsyncClient) -> VecDeque<Vec<String>> {
        let strangers: BTreeSet<String> = self.strangers.iter().map(|pattern| template::filter(pattern)).collect();
        // Overlapping subscriptions would bring every message twice.
        let covered = |topic: &str| strangers.iter().any(|filter| template::covers(filter, topic));
        let own = self.by_topic.keys().map(|topic| (topic, self.keeps_state(topic)));
        // A state that is told twice says nothing else than one that is told once.
        let own = own.filter(|(topic, keeps_state)| *keeps_state || !covered(topic));
        let own = own.map(|(topic, keeps_state)| asked(topic, keeps_state, self.quality(topic)));
        let all = strangers.iter().map(|filter| asked(filter, false, QoS::AtLeastOnce)).chain(own);
        let filters: Vec<Filter> = all.chain([self.kept.filter()]).collect();
        let requests = filters.chunks(FILTERS_PER_REQUEST);
        for request in requests.clone() {
            // A connection that cannot take it is ending; the next one subscribes again.
            let _ = client.try_subscribe_many(request.to_vec());
        }
        self.devices.iter().for_each(|device| self.metrics.health.hears_all(device.wiring.device.as_str()));
        requests.map(|request| request.iter().map(|filter| filter.path.clone()).collect()).collect()
    }

    /// Signs of life need not be kept for a box that is away: they would push vehicles out of the broker's queue. Nothing else
    /// asks for these topics, because two subscriptions of different quality would bring one message twice.
    fn quality(&self, topic: &str) -> QoS {
        let devices = self.by_topic.get(topic);
        let is_only_alive = |device: &usize| self.devices[*device].codec.is_only_alive(topic);
        let may_be_lost = devices.is_some_and(|devices| devices.iter().all(is_only_alive));
        if may_be_lost { QoS::AtMostOnce } else { QoS::AtLeastOnce }
    }

    /// Which devices are not heard now, and on what.
    fn refused_subscriptions(&mut self, asked: &[String], codes: &[SubscribeReasonCode]) {
        let refused = asked.iter().zip(codes).filter(|(_, code)| !matches!(code, SubscribeReasonCode::Success(_)));
        for (topic, why) in refused {
            self.metrics.rejected("devices", "subscription-refused");
            for device in self.devices.iter() {
                let mut topics = device.codec.topics();
                if topics.any(|own| own == topic || template::covers(topic, own)) {
                    self.metrics.health.may_not_hear(device.wiring.device.as_str(), topic);
                }
            }
            tracing::error!(
                link = self.id,
                topic,
                ?why,
                "the broker refuses a subscription: devices are not heard; its access list must let the link's user \
                 subscribe to this topic and read it"
            );
        }
    }

    async fn hear(&mut self, client: &AsyncClient, publish: Publish, read_at: Instant) -> bool {
        let receipt = Some(Receipt::new(client, &publish));
        let mut delivery = Delivery { receipt, ..self.delivery_of(&publish, read_at).await };
        self.desk.spooled(&mut delivery.photos).await;
        self.deliveries.send(delivery).await.is_ok()
    }

    async fn delivery_of(&mut self, publish: &Publish, read_at: Instant) -> Delivery {
        if self.kept.heard(publish) {
            return Delivery::default();
        }
        if publish.payload.is_empty() {
            // No device's fault: a broker sends one to all who listen when somebody takes away what it kept on a topic.
            self.metrics.rejected("devices", "empty-body");
            tracing::debug!(link = self.id, topic = ?publish.topic, "an empty message says nothing");
            return Delivery::default();
        }
        let topic = String::from_utf8_lossy(&publish.topic);
        let Some(devices) = self.by_topic.get(topic.as_ref()).cloned() else {
            self.stranger(&topic);
            return Delivery::default();
        };
        if publish.retain && !self.keeps_state(&topic) {
            // The broker kept it from another time; no vehicle need be there now.
            self.metrics.rejected("devices", "retained");
            return Delivery::default();
        }
        self.delivery_to(&devices, &topic, &publish.payload, read_at).await
    }

    /// A message is of the device that it names; one that names none can tell all of its topic that they are there, or gone.
    async fn delivery_to(&mut self, devices: &[usize], topic: &str, body: &[u8], read_at: Instant) -> Delivery {
        let mut delivery = Delivery::default();
        let (mut is_of_nobody, mut is_unmatched, mut rejected) = (true, false, None);
        for &number in devices {
            let is_awaited = |id: &str, command: &str| self.awaited.has(number, id, command);
            let heard = self.devices[number].codec.decode_awaited(topic, body, is_awaited);
            match heard.and_then(|heard| heard.of_one(devices.len() > 1)) {
                // The next device may wait for an answer that this one does not.
                Ok(heard) if devices.len() > 1 && !heard.names_device && heard.what == Meaning::AnswersNobody => {
                    (is_of_nobody, is_unmatched) = (false, true);
                }
                Ok(heard) => {
                    let is_answer = matches!(heard.what, Meaning::Answers(_));
                    let is_for_one = heard.names_device || is_answer;
                    is_unmatched &= !is_answer;
                    delivery.join(self.understood(number, heard, read_at).await);
                    is_of_nobody = false;
                    if is_for_one {
                        break;
                    }
                }
                Err(Rejection::NotForThis(_)) => {}
                // One of another product may know it, or wait for it.
                Err(rejection) => rejected = rejected.or(Some(rejection)),
            }
        }
        if let Some(rejection) = rejected.filter(|_| is_of_nobody && !is_unmatched) {
            let whose = devices.first().copied().filter(|_| devices.len() == 1);
            self.reject(whose, topic, &rejection);
            return delivery;
        }
        if is_unmatched {
            self.metrics.rejected("devices", "unmatched-answer");
        }
        if is_of_nobody {
            // Of a device that the settings need not name, such as a camera in the lobby that hangs on the same server.
            self.metrics.rejected("devices", "another-device");
            tracing::debug!(link = self.id, %topic, "a message is about a device that the settings do not name");
        }
        delivery
    }

    /// On a topic of several devices nobody knows whose it was.
    fn reject(&mut self, whose: Option<usize>, topic: &str, rejection: &Rejection) {
        let reason = rejection.name();
        self.metrics.rejected("devices", reason);
        let device = whose.map_or("(unknown)", |number| self.devices[number].wiring.device.as_str());
        if whose.is_some() {
            self.metrics.health.fails(device, Trouble::Garbled);
        }
        if self.warned.allows(&format!("{device} {reason}")) {
            tracing::warn!(link = self.id, %device, %topic, reason, "a message was rejected: {rejection}");
        }
    }

    async fn understood(&mut self, device: usize, heard: Heard, read_at: Instant) -> Delivery {
        if self.layouts[device] != heard.layout {
            self.layouts[device] = heard.layout;
            self.tell(News::Spoke { device, layout: heard.layout }).await;
        }
        submitting::numbered(&self.metrics, &self.devices[device].wiring.device, heard.number);
        submitting::strange(&self.metrics, &self.devices[device].wiring.device, &heard.strange);
        match heard.what {
            Meaning::Answers(answer) => {
                self.metrics.health.heard(self.devices[device].wiring.device.as_str());
                self.tell(News::Answered { device, answer }).await;
                Delivery::default()
            }
            // Known and of no interest, and no sign of any device in particular.
            Meaning::Says(says) if says.is_empty() && !heard.names_device => Delivery::default(),
            Meaning::AnswersNobody => {
                let device = &self.devices[device].wiring.device;
                self.metrics.health.heard(device.as_str());
                self.metrics.rejected("devices", "unmatched-answer");
                tracing::debug!(%device, "an answer to no open command");
                Delivery::default()
            }
            Meaning::Says(statements) => self.delivery_of_all(device, statements, heard.pictures, read_at),
        }
    }

    fn delivery_of_all(
        &self,
        device: usize,
        statements: Vec<Statement>,
        pictures: Vec<Picture>,
        read_at: Instant,
    ) -> Delivery {
        let wiring = &self.devices[device].wiring;
        let received = (self.now)();
        let inputs = if self.kept.is_coming() {
            let offset_ms = self.metrics.health.of(wiring.device.as_str()).and_then(|health| health.clock_offset_ms);
            let (statements, too_old) = kept::written_down_only(statements, wiring, offset_ms, received);
            (0..too_old).for_each(|_| self.metrics.rejected("devices", "kept-too-long"));
            // How long it lay at the broker says nothing of the camera's clock.
            submitting::heard_of(&self.metrics, wiring, statements, received)
        } else {
            submitting::inputs_of(&self.metrics, wiring, statements, received)
        };
        let mut delivery = Delivery { inputs, held: wiring.waits(), ..Delivery::default() };
        let mut pictures = Some(pictures);
        for input in &mut delivery.inputs {
            if let Input::PlateRead(read) = input {
                self.metrics.plate_heard(read.lane.as_str(), &read.event, read_at);
                let brought = whole(&self.metrics, pictures.take().unwrap_or_default());
                delivery.looks.extend(wiring.look(read, &brought));
                let taken = self.desk.take(read, brought);
                read.photos = taken.hashes;
                delivery.photos.extend(taken.kept);
            }
        }
        delivery
    }

    fn keeps_state(&self, topic: &str) -> bool {
        let devices = self.by_topic.get(topic);
        devices.is_some_and(|devices| devices.iter().all(|device| self.devices[*device].codec.keeps_state(topic)))
    }

    fn stranger(&mut self, topic: &str) {
        let name = self.strangers.iter().find_map(|pattern| template::speaker(pattern, topic));
        let (reason, known) = match name {
            Some(name) if self.is_own(name) => ("unknown-topic", true),
            Some(_) => ("unknown-device", false),
            None => ("unknown-topic", true),
        };
        self.metrics.rejected("devices", reason);
        let name = crate::profile::shortened(name.unwrap_or(topic));
        if self.warned.allows(&format!("{reason} {name}")) {
            if known {
                tracing::warn!(
                    link = self.id,
                    device = name,
                    topic = crate::profile::shortened(topic),
                    reason,
                    "a topic that the profile does not know"
                );
            } else {
                tracing::warn!(link = self.id, device = name, reason, "a device speaks that the settings do not name");
            }
        }
    }

    /// Whether a name of a topic belongs to a device of the settings, which then speaks on an unknown topic.
    fn is_own(&self, name: &str) -> bool {
        self.by_topic.keys().any(|topic| topic.split('/').any(|level| level == name))
    }
}

struct Ended {
    /// By somebody who has the same name.
    is_taken_over: bool,
    why: String,
}

fn problem(reason: PubAckReason) -> Option<String> {
    if reason == PubAckReason::Success {
        None
    } else if reason == PubAckReason::NoMatchingSubscribers {
        Some("no device listens for it".to_owned())
    } else {
        Some(format!("the broker refuses it: {reason:?}"))
    }
}

/// A subscription. Only whether a device is there is wanted as the broker has kept it.
fn asked(topic: &str, keeps_state: bool, quality: QoS) -> Filter {
    let mut filter = Filter::new(topic, quality);
    filter.retain_forward_rule =
        if keeps_state { RetainForwardRule::OnEverySubscribe } else { RetainForwardRule::Never };
    filter
}

fn options(plan: &BrokerPlan) -> MqttOptions {
    let mut options = MqttOptions::new(&plan.client_id, &plan.host, plan.port);
    let mut network = NetworkOptions::new();
    // Without it one small packet waits up to 40 ms for the next.
    network.set_tcp_nodelay(true);
    let mut properties = ConnectProperties::new();
    // A guest leaves nothing behind: the broker must not collect messages for one who never comes back.
    properties.session_expiry_interval = Some(if plan.is_guest { 0 } else { SESSION_S });
    properties.receive_maximum = Some(UNACKNOWLEDGED_MAX);
    properties.max_packet_size = Some(PACKET_BYTES_MAX);
    options
        .set_connect_properties(properties)
        .set_clean_start(plan.is_guest)
        .set_keep_alive(KEEP_ALIVE)
        .set_manual_acks(true)
        .set_outgoing_inflight_upper_limit(IN_FLIGHT_MAX)
        .set_network_options(network);
    if let Some((username, password)) = &plan.credentials {
        options.set_credentials(username, password);
    }
    options
}
