//! A plate camera that speaks one of several dialects, through a broker or by posts: it reports plates, some kinds also
//! loops and the arm, and it raises the barrier.
//!
//! Vzenith's topics and fields are those of its documents, MQTT v1.1.14 and the posts of revisions 1.8.0 to 1.9.7.

mod axis;
mod broker;
mod dahua;
mod dialect;
mod frigate;
mod gate;
mod hyperlpr;
mod isapi;
mod messages;
mod native;
mod offline;
mod posting;
mod qianyi;
mod rekor;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::sync::mpsc;

use crate::clock::VirtualClock;
use crate::faults::{Fault, Faults};
use crate::photo;
use broker::Broker;
use dialect::{Message, Said};
use messages::Sender;
use offline::Offline;
use posting::Poster;

pub use dialect::{Dialect, Way};
pub use gate::LOGIN;

/// What a camera without a readable plate says instead of one.
pub const NO_PLATE: &str = "_无_";
/// Output commands waiting for the world; more would mean that nobody looks at the barrier.
const COMMANDS_QUEUED: usize = 64;
/// How late a late plate is.
const LATE: Duration = Duration::from_millis(400);
/// How long a camera needs to start anew in fast time; longer than the box waits for an answer's raise.
const STARTS_ANEW: Duration = Duration::from_millis(700);
/// How far a wrong clock is ahead: further than any box believes.
const AHEAD_MS: i64 = 3 * 3600 * 1000;

/// How a camera is set up.
#[derive(Clone, Debug)]
pub struct CameraSettings {
    /// Whose protocol it speaks.
    pub dialect: Dialect,
    /// How it is connected.
    pub link: CameraLink,
    /// The serial number, part of every message.
    pub sn: String,
    /// How often it says that it lives, in real time.
    pub keep_alive: Duration,
    /// How long before the full result a quick one is sent; none where the camera sends no quick results.
    pub quick_lead: Option<Duration>,
    /// Whether its full results bring pictures.
    pub sends_pictures: bool,
    /// What goes wrong with it.
    pub faults: Faults,
    /// Whether its clock is wrong.
    pub has_wrong_clock: bool,
    /// After how long without an answer, or without its broker, it does without the box: its own list lets in, and what it saw
    /// it says later. Only Vzenith's cameras; none waits.
    pub offline_after: Option<Duration>,
}

/// How a camera is connected.
#[derive(Clone, Debug)]
pub enum CameraLink {
    /// Through a broker.
    Broker {
        /// The broker's host.
        host: String,
        /// The broker's port.
        port: u16,
    },
    /// It posts to the box, and asks it often whether there is anything to do.
    Posts(SocketAddr),
    /// The box asks it for the stream of its events.
    Stream,
}

/// Why a camera took a picture; the numbers are the vendor's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// By itself.
    Automatic = 1,
    /// By a loop drawn into its picture.
    VirtualLoop = 8,
    /// The vehicle went back.
    TurnedBack = 66,
    /// The vehicle passed the barrier.
    Passed = 67,
}

/// What a camera saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capture {
    /// The plate, or [`NO_PLATE`].
    pub plate: String,
    /// When, in milliseconds since 1970-01-01T00:00:00Z.
    pub at_ms: i64,
    /// 0 to 100.
    pub confidence: u8,
    /// Why.
    pub trigger: Trigger,
}

/// When a capture was published.
#[derive(Clone, Copy, Debug)]
pub struct Reported {
    /// Its first message, quick or full.
    pub first: Instant,
    /// Its full result.
    pub full: Instant,
    /// Whether anything of it left the camera.
    pub is_said: bool,
    /// Whether the camera starts anew and hears nothing for a while.
    pub starts_anew: bool,
}

/// The camera's inputs, to which the loop detectors are wired, and the limit switches where the camera itself does not
/// know its arm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CameraInput {
    /// Before the arm.
    ArrivalLoop = 0,
    /// Beyond the arm.
    PassageLoop = 1,
    /// Closed while the arm is up.
    UpperLimit = 2,
    /// Closed while the arm is down.
    LowerLimit = 3,
}

/// Where the arm's limit switches see it; the numbers are the vendor's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GateStatus {
    /// At the lower limit.
    Down = 0,
    /// At the upper limit.
    Up = 1,
    /// Between the limits.
    Between = 2,
}

/// A command for one of the camera's outputs, already acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputCommand {
    /// The command's own id; empty where an answer brought it.
    pub id: String,
    /// The output; 0 raises.
    pub io: i64,
    /// 0 off, 1 held, 2 pulse.
    pub value: i64,
    /// The pulse's length in milliseconds.
    pub delay_ms: i64,
    /// When it arrived.
    pub at: Instant,
}

impl OutputCommand {
    /// Whether this is the pulse that raises the barrier.
    pub fn raises(&self) -> bool {
        self.io == 0 && self.value == 2
    }
}

/// A connected camera; it disconnects when it is dropped.
pub struct Camera {
    settings: CameraSettings,
    clock: VirtualClock,
    mouth: Mouth,
    gate: Option<gate::Gate>,
    messages: AtomicU64,
    records: AtomicU64,
}

enum Mouth {
    Broker(Broker),
    Posts(Poster),
    /// At its gate.
    Stream,
}

impl Camera {
    /// Connects and listens for commands. Through a broker it returns when that has confirmed both; a box that is posted to
    /// may still be off.
    pub async fn connect(
        settings: CameraSettings,
        clock: VirtualClock,
    ) -> Result<(Self, mpsc::Receiver<OutputCommand>)> {
        let (commands, received) = mpsc::channel(COMMANDS_QUEUED);
        let is_asked = settings.dialect.is_asked();
        let gate = if is_asked { Some(gate::Gate::open(commands.clone()).await?) } else { None };
        let alive = settings.dialect.alive(&Sender { sn: &settings.sn, number: 0, now_s: clock.now_s() });
        let mouth = match &settings.link {
            CameraLink::Broker { host, port } => {
                let offline = settings.offline_after.filter(|_| settings.dialect == Dialect::VzenithMqtt);
                let offline = offline.map(Offline::new);
                Mouth::Broker(Broker::connect(host, *port, &settings, clock, offline, commands).await?)
            }
            CameraLink::Posts(address) => {
                let offline = settings.offline_after.filter(|_| settings.dialect == Dialect::VzenithHttp);
                let offline = offline.map(Offline::new);
                Mouth::Posts(Poster::start(settings.dialect, *address, alive, offline, commands)?)
            }
            CameraLink::Stream => {
                let gate = gate.as_ref().context("a camera that is not asked has no stream")?;
                alive.into_iter().for_each(|alive| gate.keep_alive(alive, settings.keep_alive));
                Mouth::Stream
            }
        };
        let (messages, records) = (AtomicU64::new(1), AtomicU64::new(1));
        Ok((Self { settings, clock, mouth, gate, messages, records }, received))
    }

    /// The serial number.
    pub fn sn(&self) -> &str {
        &self.settings.sn
    }

    /// Where it is asked for its barrier, if that is how it is told.
    pub fn address(&self) -> Option<SocketAddr> {
        self.gate.as_ref().map(|gate| gate.address)
    }

    /// Whether the box should take its own time: this camera tells none, or one that nobody should believe.
    pub fn leaves_time_to_the_box(&self) -> bool {
        self.settings.has_wrong_clock || !self.settings.dialect.tells_the_moment()
    }

    /// Until it has noticed that its broker is gone; at once where it has none.
    pub async fn is_cut_off(&self) -> Result<()> {
        match &self.mouth {
            Mouth::Broker(broker) => broker.is_cut_off().await,
            Mouth::Posts(_) | Mouth::Stream => Ok(()),
        }
    }

    /// Reports a plate: first the quick result where this camera sends one, then the full one of the same event.
    pub async fn report(&self, capture: &Capture) -> Result<Reported> {
        let faults = &self.settings.faults;
        // A camera numbers its records without a gap, apart from its messages.
        let record = self.records.fetch_add(1, Ordering::Relaxed);
        let ahead_ms = if self.settings.has_wrong_clock { AHEAD_MS } else { 0 };
        let shown = Capture { at_ms: capture.at_ms + ahead_ms, ..capture.clone() };
        let pictures = if self.settings.sends_pictures {
            let plate = capture.plate.clone();
            Some(tokio::task::spawn_blocking(move || photo::take(&plate)).await.context("take a picture")?)
        } else {
            None
        };
        if faults.strikes(Fault::Lost) {
            let now = Instant::now();
            return Ok(Reported { first: now, full: now, is_said: false, starts_anew: false });
        }
        if faults.strikes(Fault::Late) {
            tokio::time::sleep(LATE).await;
        }
        let starts_anew = faults.strikes(Fault::Reboot);
        if starts_anew {
            self.start_anew();
        }
        let first = Instant::now();
        if let Some(lead) = self.settings.quick_lead.filter(|_| self.settings.dialect.says_quick()) {
            self.say(&Said::Plate { capture: &shown, record, is_quick: true, pictures: None }).await?;
            tokio::time::sleep(lead).await;
        }
        let full = Instant::now();
        let said = Said::Plate { capture: &shown, record, is_quick: false, pictures: pictures.as_ref() };
        let is_heard = self.say(&said).await?;
        let is_said = is_heard || self.does_without_the_box(&said, capture, record)?;
        Ok(Reported { first, full, is_said, starts_anew })
    }

    /// Reports that a loop wired to an input was entered or left.
    pub async fn report_input(&self, input: CameraInput, occupied: bool) -> Result<()> {
        self.say(&Said::Input(input, occupied)).await.map(|_| ())
    }

    /// Reports where the arm is. A camera that posts does not know its arm; its switches are on two inputs.
    pub async fn report_gate(&self, status: GateStatus) -> Result<()> {
        match &self.mouth {
            Mouth::Broker(_) => self.say(&Said::Gate(status)).await.map(|_| ()),
            Mouth::Posts(_) | Mouth::Stream => {
                let mut limits =
                    [(CameraInput::LowerLimit, GateStatus::Down), (CameraInput::UpperLimit, GateStatus::Up)];
                // An arm leaves one switch before it reaches the other.
                limits.sort_by_key(|(_, at)| *at == status);
                for (input, at) in limits {
                    self.report_input(input, at == status).await?;
                }
                Ok(())
            }
        }
    }

    /// Says this, with what happens to messages on their way; false where nobody hears it. Where its maker knows nothing of
    /// it, it says nothing.
    async fn say(&self, said: &Said<'_>) -> Result<bool> {
        let (dialect, faults) = (self.settings.dialect, &self.settings.faults);
        let number = self.messages.fetch_add(1, Ordering::Relaxed);
        let sender = Sender { sn: &self.settings.sn, number, now_s: self.clock.now_s() };
        let Some(message) = dialect.message(said, &sender) else { return Ok(true) };
        if faults.strikes(Fault::Corrupted) {
            let body = message.body[..message.body.len() / 2].to_vec();
            self.send(Message { body, ..message.clone() }).await?;
        }
        let again = faults.strikes(Fault::Duplicated).then(|| message.clone());
        let is_heard = self.send(message).await?;
        match again {
            Some(message) => Ok(self.send(message).await? || is_heard),
            None => Ok(is_heard),
        }
    }

    /// Where nobody heard of a plate, a camera with a list of its own decides by it.
    fn does_without_the_box(&self, said: &Said<'_>, capture: &Capture, record: u64) -> Result<bool> {
        let sender = Sender { sn: &self.settings.sn, number: 0, now_s: self.clock.now_s() };
        let message = self.settings.dialect.message(said, &sender);
        match (&self.mouth, message) {
            (Mouth::Posts(poster), Some(message)) => poster.decide_alone(capture, record, &message)?,
            (Mouth::Broker(broker), Some(message)) => broker.decide_alone(capture, record, &message)?,
            (Mouth::Posts(_) | Mouth::Broker(_), None) => {}
            (Mouth::Stream, _) => return Ok(false),
        }
        Ok(true)
    }

    async fn send(&self, message: Message) -> Result<bool> {
        match &self.mouth {
            Mouth::Broker(broker) => broker.publish(message).await,
            Mouth::Posts(poster) => poster.post(&message).await,
            Mouth::Stream => Ok(self.gate.as_ref().is_some_and(|gate| gate.stream(&message))),
        }
    }

    fn start_anew(&self) {
        match &self.mouth {
            Mouth::Broker(broker) => broker.start_anew(STARTS_ANEW),
            Mouth::Posts(poster) => poster.start_anew(STARTS_ANEW),
            Mouth::Stream => {}
        }
        if let Some(gate) = &self.gate {
            gate.start_anew(STARTS_ANEW);
        }
    }
}
