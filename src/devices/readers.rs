//! Card readers on an OSDP bus: asked in turn, over a secure channel where they have a key, and asked again with the same
//! packet where an answer is lost, so that no card is.

use std::sync::Arc;
use std::time::Duration;

use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::contacts::Contacts;
use super::order::{Order, Outcome};
use super::planning::{ReaderPlan, ReadersPlan};
use super::serial::{Fault, Port, Reopening};
use super::submitting::{self, Delivery};
use super::wiring::Wiring;
use super::{Clock, Sparing};
use crate::metrics::{Metrics, Trouble};
use crate::profile::osdp::{Answer, OsdpCodec, PACKET_BYTES_MAX, SecureChannel, command};
use crate::profile::statement::{Rejection, Statement};

/// A packet is repeated so often before its reader counts as away: the standard's time for it is 8 s of silence, and a
/// driver's patience is shorter.
const FAULTS_UNTIL_LOST: u32 = 3;
/// A lost reader is asked this seldom, so that its silence does not hold up the others; so is one that refuses the key.
const LOST_POLL: Duration = Duration::from_secs(1);
/// What came before a question is read in so many pieces; a line that brings more is noise.
const STALE_READS_MAX: usize = 64;
/// The shortest packet: head, code and a check of one byte.
const PACKET_BYTES_MIN: usize = 7;
/// Every packet begins with it.
const START: u8 = 0x53;

/// One bus and its readers.
pub struct Readers {
    readers: Vec<Reader>,
    reopening: Reopening,
    deliveries: mpsc::Sender<Delivery>,
    now: Clock,
    metrics: Arc<Metrics>,
    warned: Sparing,
}

struct Reader {
    codec: OsdpCodec,
    wiring: Wiring,
    contacts: Contacts,
    key: Option<[u8; 16]>,
    every: Duration,
    within: Duration,
    due: Instant,
    /// The number of the next packet; 0 says that everything before is forgotten.
    sequence: u8,
    stage: Stage,
    /// What was sent and has no answer yet; it is sent again as it was.
    waits: Option<Vec<u8>>,
    faults: u32,
    is_lost: bool,
}

/// How far a reader has come since it was last lost.
enum Stage {
    /// It is asked who it is.
    Unknown,
    /// It is asked to prove that it has the key.
    Challenged([u8; 8]),
    /// It has proved it, and is shown that we have it, too.
    Proving(Box<SecureChannel>),
    /// It is asked for cards.
    Served(Option<Box<SecureChannel>>),
}

/// What came of one packet.
enum Heard {
    Packet(Vec<u8>),
    Nothing,
    Noise,
}

impl Readers {
    /// The bus as the settings plan it.
    pub fn new(plan: ReadersPlan, deliveries: mpsc::Sender<Delivery>, now: Clock, metrics: Arc<Metrics>) -> Self {
        let readers = plan.readers.into_iter().map(Reader::new).collect();
        let reopening = Reopening::new(plan.id, plan.wire, Arc::clone(&metrics));
        Self { readers, reopening, deliveries, now, metrics, warned: Sparing::default() }
    }

    /// Opens the port, asks the readers, and opens it again when it is lost, until the loop is gone.
    pub async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        loop {
            let fault = match self.reopening.open().await {
                Ok(mut port) => match self.serve(&mut port, &mut orders).await {
                    Some(fault) => fault,
                    None => return,
                },
                Err(fault) => fault,
            };
            let until = self.reopening.closed(&fault);
            tokio::select! {
                asked = orders.recv() => match asked {
                    Some(order) => self.refuse(order),
                    None => return,
                },
                () = sleep_until(until) => {}
            }
            if self.deliveries.is_closed() {
                return;
            }
        }
    }

    /// Until the port is lost, or `None` when the loop is gone.
    async fn serve(&mut self, port: &mut Port, orders: &mut mpsc::Receiver<Order>) -> Option<Fault> {
        for reader in &mut self.readers {
            reader.start_anew();
        }
        loop {
            let next = self.readers.iter().enumerate().min_by_key(|(_, reader)| reader.due);
            let (number, due) = next.map(|(number, reader)| (number, reader.due))?;
            let outcome = tokio::select! {
                biased;
                asked = orders.recv() => {
                    self.refuse(asked?);
                    Ok(())
                }
                () = sleep_until(due) => self.ask(port, number).await,
            };
            if let Err(fault) = outcome {
                return Some(fault);
            }
            if self.deliveries.is_closed() {
                return None;
            }
            if port.may_be_dead() && self.readers.iter().all(|reader| reader.is_lost) {
                return Some(Fault::Silent);
            }
        }
    }

    /// Readers are told nothing by their profiles.
    fn refuse(&self, order: Order) {
        let none = order.end(Outcome::not_sent("a reader takes no commands"), &self.metrics);
        debug_assert!(none.is_none(), "no lane's barrier hangs on a reader");
    }

    async fn ask(&mut self, port: &mut Port, number: usize) -> Result<(), Fault> {
        let reader = &mut self.readers[number];
        reader.due = Instant::now() + if reader.is_lost { LOST_POLL } else { reader.every };
        let bytes = reader.next_packet();
        for _ in 0..STALE_READS_MAX {
            if port.arrived()?.is_empty() {
                break;
            }
        }
        port.send(&bytes).await?;
        match heard(port, Instant::now() + reader.within).await? {
            Heard::Packet(bytes) => match reader.hears(&bytes) {
                Ok(answer) => self.answered(number, answer).await,
                Err(rejection) => self.reject(number, &rejection),
            },
            Heard::Noise => self.reject(number, &Rejection::Frame(crate::profile::layout::Fault::CutOff)),
            Heard::Nothing => {
                self.metrics.rejected("devices", "no-answer");
                self.fails(number, "no answer in time", Trouble::Silent);
            }
        }
        Ok(())
    }

    async fn answered(&mut self, number: usize, answer: Answer) {
        let reader = &mut self.readers[number];
        let device = reader.wiring.device.clone();
        let (link, received) = (self.reopening.link(), (self.now)());
        if std::mem::take(&mut reader.is_lost) {
            tracing::info!(link, %device, "the reader answers again");
        }
        match answer {
            Answer::Says(Statement::Inputs { count, on }) => {
                let now = Instant::now();
                reader.contacts.read(0, (0..count).map(|input| on.contains(&input)), now);
                reader.contacts.tell(&reader.wiring, &self.deliveries, now);
                self.metrics.health.heard(device.as_str());
            }
            Answer::Says(statement) => {
                let inputs = submitting::inputs_of(&self.metrics, &reader.wiring, vec![statement], received);
                if !inputs.is_empty() {
                    // Without the loop nobody is left to tell.
                    let _ = self.deliveries.send(Delivery { inputs, ..Delivery::default() }).await;
                }
            }
            Answer::BadCard(reason) => {
                self.metrics.health.heard(device.as_str());
                self.metrics.rejected("devices", reason);
                if self.warned.allows(&format!("{device} {reason}")) {
                    tracing::warn!(link, %device, reason, "a card was shown that no format of the profile fits");
                }
            }
            Answer::Refused(reason) => {
                self.metrics.rejected("devices", "refused");
                if reader.start_again_after_refusal() {
                    self.metrics.health.fails(device.as_str(), Trouble::Login);
                    if self.warned.allows(&format!("{device} key")) {
                        tracing::warn!(link, %device, reason, "the reader and the box have different keys");
                    }
                }
            }
            Answer::Taken | Answer::Busy | Answer::Other(_) => self.metrics.health.heard(device.as_str()),
        }
    }

    fn reject(&mut self, number: usize, rejection: &Rejection) {
        self.metrics.rejected("devices", rejection.name());
        let device = self.readers[number].wiring.device.clone();
        if self.warned.allows(&format!("{device} {}", rejection.name())) {
            let (link, reason) = (self.reopening.link(), rejection.name());
            tracing::warn!(link, %device, reason, "a packet was rejected: {rejection}");
        }
        self.fails(number, &rejection.to_string(), Trouble::Garbled);
    }

    fn fails(&mut self, number: usize, why: &str, trouble: Trouble) {
        let reader = &mut self.readers[number];
        self.metrics.health.fails(reader.wiring.device.as_str(), trouble);
        reader.faults += 1;
        if reader.faults >= FAULTS_UNTIL_LOST {
            reader.forget();
            if !std::mem::replace(&mut reader.is_lost, true) {
                let link = self.reopening.link();
                tracing::warn!(link, device = %reader.wiring.device, why, "the reader is lost");
            }
        }
    }
}

impl Reader {
    fn new(plan: ReaderPlan) -> Self {
        let (every_ms, within_ms) = plan.codec.times_ms();
        Self {
            codec: plan.codec,
            wiring: plan.wiring,
            contacts: Contacts::new(plan.debounce_ms),
            key: plan.key.map(|key| key.0),
            every: Duration::from_millis(plan.poll_ms.unwrap_or(every_ms)),
            within: Duration::from_millis(within_ms),
            due: Instant::now(),
            sequence: 0,
            stage: Stage::Unknown,
            waits: None,
            faults: 0,
            is_lost: false,
        }
    }

    /// After a pause nothing is known: the conversation begins anew.
    fn start_anew(&mut self) {
        self.forget();
        self.contacts.forget();
        self.due = Instant::now();
    }

    fn forget(&mut self) {
        (self.sequence, self.stage, self.waits, self.faults) = (0, Stage::Unknown, None, 0);
    }

    /// What has no answer yet goes out again as it was: the reader knows by its number that it is the same, and repeats
    /// its answer with the card in it.
    fn next_packet(&mut self) -> Vec<u8> {
        if let Some(bytes) = &self.waits {
            return bytes.clone();
        }
        let sequence = self.sequence;
        let packet = match (&mut self.stage, &self.key) {
            (Stage::Unknown, _) => self.codec.packet(sequence, command::IDENTIFY, &[0]),
            (Stage::Challenged(random), Some(key)) => self.codec.challenge(sequence, key, *random),
            (Stage::Proving(channel), Some(key)) => self.codec.proof(sequence, key, channel),
            (Stage::Served(Some(channel)), _) => channel.seal(self.codec.packet(sequence, command::POLL, &[])),
            (Stage::Challenged(_) | Stage::Proving(_), None) | (Stage::Served(None), _) => {
                self.codec.packet(sequence, command::POLL, &[])
            }
        };
        let bytes = packet.bytes();
        self.waits = Some(bytes.clone());
        bytes
    }

    /// An answer to what was sent last. After it the next packet has the next number: 1, 2, 3, 1, …
    fn hears(&mut self, bytes: &[u8]) -> Result<Answer, Rejection> {
        let answer = self.understood(bytes)?;
        if answer != Answer::Busy {
            self.sequence = self.sequence % 3 + 1;
            self.waits = None;
        }
        self.faults = 0;
        Ok(answer)
    }

    fn understood(&mut self, bytes: &[u8]) -> Result<Answer, Rejection> {
        let sequence = self.sequence;
        let (answer, next) = match (&mut self.stage, self.key) {
            (Stage::Unknown, key) => {
                let answer = self.codec.answered(sequence, bytes)?;
                let next = match key {
                    _ if answer == Answer::Busy => None,
                    // Without randomness there is no channel; it is tried again.
                    Some(_) => random().map(Stage::Challenged),
                    None => Some(Stage::Served(None)),
                };
                (answer, next)
            }
            (Stage::Challenged(random), Some(key)) => match self.codec.challenged(sequence, bytes, &key, *random)? {
                Some(channel) => (Answer::Taken, Some(Stage::Proving(Box::new(channel)))),
                None => (Answer::Refused(0), None),
            },
            (Stage::Proving(channel), Some(_)) => {
                if self.codec.proved(sequence, bytes, channel)? {
                    (Answer::Taken, Some(Stage::Served(Some(channel.clone()))))
                } else {
                    (Answer::Refused(0), None)
                }
            }
            (Stage::Served(Some(channel)), _) => (self.codec.answered_over(channel, sequence, bytes)?, None),
            (Stage::Challenged(_) | Stage::Proving(_), None) | (Stage::Served(None), _) => {
                (self.codec.answered(sequence, bytes)?, None)
            }
        };
        if let Some(next) = next {
            self.stage = next;
        }
        Ok(answer)
    }

    /// A refused packet ends what was agreed. Whether it was the key that was refused.
    fn start_again_after_refusal(&mut self) -> bool {
        let was_the_key = match &self.stage {
            Stage::Challenged(_) | Stage::Proving(_) => true,
            Stage::Unknown | Stage::Served(_) => false,
        };
        self.forget();
        self.due = Instant::now() + LOST_POLL;
        was_the_key
    }
}

/// Ours of the two random numbers of a channel.
fn random() -> Option<[u8; 8]> {
    let mut random = [0; 8];
    SystemRandom::new().fill(&mut random).ok().map(|()| random)
}

/// One packet, from its first byte to the length that it promises.
async fn heard(port: &mut Port, until: Instant) -> Result<Heard, Fault> {
    let mut bytes: Vec<u8> = Vec::new();
    let mut has_noise = false;
    loop {
        let begins = bytes.iter().position(|byte| *byte == START).unwrap_or(bytes.len());
        has_noise |= bytes.drain(..begins).any(|byte| byte != 0xFF);
        if let [_, _, low, high, ..] = *bytes {
            let length = usize::from(u16::from_le_bytes([low, high]));
            if !(PACKET_BYTES_MIN..=PACKET_BYTES_MAX).contains(&length) {
                has_noise = true;
                bytes.remove(0);
                continue;
            }
            if bytes.len() >= length {
                bytes.truncate(length);
                return Ok(Heard::Packet(bytes));
            }
        }
        match timeout_at(until, port.hear()).await {
            Ok(more) => bytes.extend(more?),
            Err(_) if bytes.is_empty() && !has_noise => return Ok(Heard::Nothing),
            Err(_) => return Ok(Heard::Noise),
        }
    }
}
