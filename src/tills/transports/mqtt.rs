//! Tills behind a broker: each asks on a topic of its own and is answered on one of its own.
//!
//! Every connection has a client of its own, because the library would send what it could not deliver once more after a
//! reconnect, and would acknowledge messages of the former connection. The broker keeps what tills ask while the box is
//! away, and forgets a message only when it is answered: a message that comes twice has the same key.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use anyhow::Context;
use rumqttc::NetworkOptions;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    ConnectProperties, Filter, LastWill, Packet, Publish, PublishProperties, RetainForwardRule, SubscribeReasonCode,
};
use rumqttc::v5::{AsyncClient, Event, MqttOptions};
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{error, info};

use super::letter::Letter;
use super::{Access, Bus};
use crate::domain::event::TerminalId;
use crate::tills::access::Terminal;
use crate::tills::problem::{Code, Problem};
use crate::tills::verbs::Answer;
use crate::tills::{MOST_BODY_BYTES, Tills};

/// How many messages the broker may send before the first is answered: every till of a large mall at once.
const UNANSWERED_MAX: u16 = 512;
/// How many answers may be under way.
const IN_FLIGHT_MAX: u16 = 512;
/// Answers, acknowledgements and subscriptions that wait for the connection: more than there can be of them.
const REQUESTS_MAX: usize = 2048;
/// A request, and what surrounds it.
const PACKET_BYTES_MAX: u32 = MOST_BODY_BYTES as u32 + 4096;
/// How long the broker keeps what tills ask while the box is away.
const KEPT_S: u32 = 7 * 24 * 3600;
/// A dead line is noticed after one and a half of this.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// How long what just happened is news to a till that the broker cannot reach, in seconds.
const NEWS_S: u32 = 60;
/// The longest state of a till that is looked at.
const MOST_STATE_BYTES: usize = 256;

/// Serves one connection until it is lost.
pub(super) async fn serve(tills: &Arc<Tills>, bus: &Bus) -> anyhow::Result<()> {
    let (client, mut connection) = AsyncClient::new(options(bus), REQUESTS_MAX);
    let mut desk = Desk { tills, bus, client: &client, queues: BTreeMap::new(), tasks: JoinSet::new() };
    loop {
        let event = connection.poll().await.context("talk to the broker")?;
        let read_at = Instant::now();
        if let Event::Incoming(Packet::Publish(publish)) = event {
            desk.hear(publish, read_at).await;
        } else if let Event::Incoming(Packet::ConnAck(_)) = event {
            client.try_subscribe_many(filters(bus)).context("ask for the tills' topics")?;
        } else if let Event::Incoming(Packet::SubAck(ack)) = event {
            let refused = ack.return_codes.iter().any(|code| !matches!(code, SubscribeReasonCode::Success(_)));
            if refused {
                error!(site = bus.site, "the broker refuses the tills' topics: no till is heard; see its access list");
            } else {
                info!(site = bus.site, "tills are heard through the broker");
            }
            desk.tasks.spawn(tell_state(Arc::clone(tills), client.clone(), box_state(bus)));
            desk.tasks.spawn(tell_news(Arc::clone(tills), client.clone(), bus.site.clone()));
        }
    }
}

fn options(bus: &Bus) -> MqttOptions {
    let usual = format!("gatepost-tills-{}", bus.site);
    let mut options = MqttOptions::new(bus.client_id.clone().unwrap_or(usual), &bus.host, bus.port);
    let mut network = NetworkOptions::new();
    // Without it one small packet waits up to 40 ms for the next.
    network.set_tcp_nodelay(true);
    let mut properties = ConnectProperties::new();
    properties.session_expiry_interval = Some(KEPT_S);
    properties.receive_maximum = Some(UNANSWERED_MAX);
    properties.max_packet_size = Some(PACKET_BYTES_MAX);
    let gone = json!({"mode": "offline"}).to_string();
    options
        .set_connect_properties(properties)
        .set_clean_start(false)
        .set_keep_alive(KEEP_ALIVE)
        .set_manual_acks(true)
        .set_outgoing_inflight_upper_limit(IN_FLIGHT_MAX)
        .set_last_will(LastWill::new(box_state(bus), gone, QoS::AtLeastOnce, true, None))
        .set_network_options(network);
    if let Some(username) = &bus.username {
        options.set_credentials(username, bus.password.as_ref().map_or("", |password| password.shown()));
    }
    options
}

fn box_state(bus: &Bus) -> String {
    format!("gp/{}/box/state", bus.site)
}

fn filters(bus: &Bus) -> Vec<Filter> {
    let mut asked = Filter::new(format!("gp/{}/pos/+/req/+", bus.site), QoS::AtLeastOnce);
    // What a broker kept from another time is no request.
    asked.retain_forward_rule = RetainForwardRule::Never;
    vec![asked, Filter::new(format!("gp/{}/pos/+/state", bus.site), QoS::AtLeastOnce)]
}

/// Says what mode the box is in, now and at every change. It ends with the connection.
async fn tell_state(tills: Arc<Tills>, client: AsyncClient, topic: String) {
    let mut news = tills.news.subscribe();
    loop {
        let state = *news.borrow_and_update();
        if let Some(state) = state
            && client.publish(&topic, QoS::AtLeastOnce, true, state.to_json().to_string()).await.is_err()
        {
            return;
        }
        if news.changed().await.is_err() {
            return;
        }
    }
}

/// Tells each till what happens to its shop and its guests, as `/events` does. It ends with the connection.
async fn tell_news(tills: Arc<Tills>, client: AsyncClient, site: String) {
    let mut told = tills.told.subscribe();
    loop {
        let one = match told.recv().await {
            Ok(one) => one,
            Err(RecvError::Lagged(_)) => continue,
            Err(RecvError::Closed) => return,
        };
        // A ledger that cannot be read now costs the tills a word, never a sale.
        let Ok(known) = tills.known().await else { continue };
        for (id, till) in known.iter().filter(|(_, till)| !till.is_shut_out) {
            let Some((name, data)) = tills.for_till(id, till.merchant.as_deref(), &one) else { continue };
            let fresh = PublishProperties { message_expiry_interval: Some(NEWS_S), ..PublishProperties::default() };
            let topic = format!("gp/{site}/pos/{id}/events/{name}");
            let said =
                client.publish_with_properties(topic, QoS::AtLeastOnce, false, data.to_string().into_bytes(), fresh);
            if said.await.is_err() {
                return;
            }
        }
    }
}

/// Where messages are handed out: each till has a queue of its own, so that its requests are done in its order and none
/// waits for another's.
struct Desk<'a> {
    tills: &'a Arc<Tills>,
    bus: &'a Bus,
    client: &'a AsyncClient,
    queues: BTreeMap<TerminalId, mpsc::Sender<Asked>>,
    tasks: JoinSet<()>,
}

/// A message and the verb of its topic.
struct Asked {
    verb: String,
    publish: Publish,
    read_at: Instant,
}

impl Desk<'_> {
    async fn hear(&mut self, publish: Publish, read_at: Instant) {
        let topic = String::from_utf8_lossy(&publish.topic).into_owned();
        let Some((name, what)) = parts(&topic, &self.bus.site) else { return self.forget(&publish) };
        let terminal = TerminalId(name.to_owned());
        let is_known = matches!(self.tills.terminal_named(name).await, Ok(Some(_)));
        if let (true, "state") = (is_known, what) {
            self.tills.till_is(&terminal, &publish.payload);
        }
        let Some(verb) = what.strip_prefix("req/").filter(|_| !publish.retain && !publish.payload.is_empty()) else {
            return self.forget(&publish);
        };
        let verb = verb.to_ascii_uppercase();
        if !is_known {
            // Nobody by that name: it is told so, and takes no room here.
            let letter = Letter::read(&publish, &verb, &answers(self.bus, &terminal), read_at);
            (self.tills.settings.reject)(Code::TerminalRevoked.as_str());
            let (body, properties) = letter.answer(Err(shut_out()));
            let _ =
                self.client.try_publish_with_properties(&letter.reply_to, QoS::AtLeastOnce, false, body, properties);
            return self.forget(&publish);
        }
        let asked = Asked { verb, publish, read_at };
        let queue = self.queues.entry(terminal).or_insert_with_key(|terminal| {
            let (send, receive) = mpsc::channel(UNANSWERED_MAX.into());
            let (tills, bus, client) = (Arc::clone(self.tills), self.bus.clone(), self.client.clone());
            self.tasks.spawn(answer_in_turn(tills, bus, client, terminal.clone(), receive));
            send
        });
        // The broker sends no more than the queue holds before the first is acknowledged.
        let _ = queue.try_send(asked);
    }

    fn forget(&self, publish: &Publish) {
        acknowledge(self.client, publish);
    }
}

fn acknowledge(client: &AsyncClient, publish: &Publish) {
    if publish.qos != QoS::AtMostOnce {
        // A connection that takes none is ending, and the broker brings the message again.
        let _ = client.try_ack(publish);
    }
}

/// The till's name and the rest of a topic.
fn parts<'a>(topic: &'a str, site: &str) -> Option<(&'a str, &'a str)> {
    topic.strip_prefix("gp/")?.strip_prefix(site)?.strip_prefix("/pos/")?.split_once('/')
}

fn answers(bus: &Bus, terminal: &TerminalId) -> String {
    format!("gp/{}/pos/{terminal}/res", bus.site)
}

fn shut_out() -> Problem {
    Problem::new(Code::TerminalRevoked, "this till is not registered or was shut out")
}

async fn answer_in_turn(
    tills: Arc<Tills>,
    bus: Bus,
    client: AsyncClient,
    terminal: TerminalId,
    mut queue: mpsc::Receiver<Asked>,
) {
    let own = answers(&bus, &terminal);
    while let Some(Asked { verb, publish, read_at }) = queue.recv().await {
        let letter = Letter::read(&publish, &verb, &own, read_at);
        let outcome = tills.answer_letter(&bus, &terminal, &letter).await;
        if let Err(problem) = &outcome {
            (tills.settings.reject)(problem.code().as_str());
        }
        let (body, properties) = letter.answer(outcome);
        let sent = client.publish_with_properties(&letter.reply_to, QoS::AtLeastOnce, false, body, properties).await;
        if sent.is_err() {
            return;
        }
        acknowledge(&client, &publish);
    }
}

impl Tills {
    async fn answer_letter(
        self: &Arc<Self>,
        bus: &Bus,
        terminal: &TerminalId,
        letter: &Letter,
    ) -> Result<Answer, Problem> {
        let terminal = self.on_bus(bus, terminal, letter.token.as_deref()).await?;
        let request = letter.request.clone()?;
        let late = letter.out_of_time(request.spends(), (self.settings.pricing.now)());
        if let Some(late) = late {
            // What was done in time is told at any time.
            let is_done = match &request.key {
                Some(key) => self.is_answered(&terminal.id, key).await,
                None => false,
            };
            if !is_done {
                return Err(late);
            }
        }
        self.ask(&terminal, request).await
    }

    async fn on_bus(&self, bus: &Bus, terminal: &TerminalId, token: Option<&str>) -> Result<Terminal, Problem> {
        match (bus.access, token) {
            (Access::Broker, None) => self.on_line(terminal).await,
            // A token that is shown must be the right one, whoever else looks at it.
            (Access::Broker | Access::Token, Some(token)) => {
                self.terminal_with(terminal.as_str(), token).await?.ok_or_else(shut_out)
            }
            (Access::Token, None) => Err(shut_out()),
        }
    }

    /// A till says that it is there, or the broker that it is gone.
    fn till_is(&self, terminal: &TerminalId, payload: &[u8]) {
        let text = String::from_utf8_lossy(&payload[..payload.len().min(MOST_STATE_BYTES)]).into_owned();
        let told = serde_json::from_str::<Value>(&text).ok();
        let word = told.as_ref().and_then(|told| told["state"].as_str()).unwrap_or(&text);
        let is_there = !payload.is_empty() && word != "offline";
        self.present.lock().unwrap_or_else(PoisonError::into_inner).insert(terminal.clone(), is_there);
    }
}
