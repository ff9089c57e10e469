//! A plate camera that speaks the Vzenith dialects, through a broker or by posts: it reports plates, loops and the arm, and
//! raises the barrier.
//!
//! Topics and fields are those of the vendor's documents, MQTT v1.1.14 and the posts of revisions 1.8.0 to 1.9.7.

mod broker;
mod messages;
mod posting;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::sync::mpsc;

use crate::clock::VirtualClock;
use crate::faults::{Fault, Faults};
use crate::photo;
use broker::Broker;
use posting::Poster;

/// What a camera without a readable plate says instead of one.
pub const NO_PLATE: &str = "_无_";
/// Output commands waiting for the world; more would mean that nobody looks at the barrier.
const COMMANDS_QUEUED: usize = 64;
/// The name of a full result.
const PLATE: &str = "ivs_result";
/// How late a late plate is.
const LATE: Duration = Duration::from_millis(400);
/// How long a camera needs to start anew in fast time; longer than the box waits for an answer's raise.
const STARTS_ANEW: Duration = Duration::from_millis(700);
/// How far a wrong clock is ahead: further than any box believes.
const AHEAD_MS: i64 = 3 * 3600 * 1000;

/// How a camera is set up.
#[derive(Clone, Debug)]
pub struct CameraSettings {
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
    pub faults: Arc<Faults>,
    /// Whether its clock is wrong.
    pub has_wrong_clock: bool,
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
    messages: AtomicU64,
    records: AtomicU64,
    /// An arrival that is told after the plate.
    held_back: Mutex<Option<CameraInput>>,
}

enum Mouth {
    Broker(Broker),
    Posts(Poster),
}

impl Camera {
    /// Connects and listens for commands. Through a broker it returns when that has confirmed both; a box that is posted to
    /// may still be off.
    pub async fn connect(
        settings: CameraSettings,
        clock: VirtualClock,
    ) -> Result<(Self, mpsc::Receiver<OutputCommand>)> {
        let (commands, received) = mpsc::channel(COMMANDS_QUEUED);
        let mouth = match &settings.link {
            CameraLink::Broker { host, port } => {
                Mouth::Broker(Broker::connect(host, *port, &settings, clock, commands).await?)
            }
            CameraLink::Posts(address) => Mouth::Posts(Poster::start(*address, &settings.sn, commands)?),
        };
        let (messages, records) = (AtomicU64::new(1), AtomicU64::new(1));
        Ok((Self { settings, clock, mouth, messages, records, held_back: Mutex::default() }, received))
    }

    /// The serial number.
    pub fn sn(&self) -> &str {
        &self.settings.sn
    }

    /// Whether its clock is so wrong that nobody should believe it.
    pub fn has_wrong_clock(&self) -> bool {
        self.settings.has_wrong_clock
    }

    /// Reports a plate: first the quick result where this camera sends one, then the full one of the same event.
    pub async fn report(&self, capture: &Capture) -> Result<Reported> {
        let faults = &self.settings.faults;
        // A camera numbers its records without a gap, apart from its messages.
        let number = self.records.fetch_add(1, Ordering::Relaxed);
        let ahead_ms = if self.settings.has_wrong_clock { AHEAD_MS } else { 0 };
        let shown = Capture { at_ms: capture.at_ms + ahead_ms, ..capture.clone() };
        let quick = messages::plate_payload(&self.settings.sn, number, &shown);
        let mut result = quick.clone();
        if self.settings.sends_pictures {
            let plate = capture.plate.clone();
            let pictures = tokio::task::spawn_blocking(move || photo::take(&plate)).await.context("take a picture")?;
            messages::add_pictures(&mut result, &pictures);
        }
        if faults.strikes(Fault::Lost) {
            let now = Instant::now();
            self.say_what_was_held_back().await?;
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
        if let (Some(lead), Mouth::Broker(_)) = (self.settings.quick_lead, &self.mouth) {
            self.say("quick_ivs_result", quick, &capture.plate).await?;
            tokio::time::sleep(lead).await;
        }
        let full = Instant::now();
        self.say(PLATE, result, &capture.plate).await?;
        self.say_what_was_held_back().await?;
        Ok(Reported { first, full, is_said: true, starts_anew })
    }

    /// Reports that a loop wired to an input was entered or left.
    pub async fn report_input(&self, input: CameraInput, occupied: bool) -> Result<()> {
        if input == CameraInput::ArrivalLoop && occupied && self.settings.faults.strikes(Fault::Reordered) {
            *self.held_back() = Some(input);
            return Ok(());
        }
        // A vehicle that goes away again was there before.
        self.say_what_was_held_back().await?;
        self.say_input(input, occupied).await
    }

    /// Reports where the arm is. A camera that posts does not know its arm; its switches are on two inputs.
    pub async fn report_gate(&self, status: GateStatus) -> Result<()> {
        match &self.mouth {
            Mouth::Broker(_) => self.say("barr_gate_status", messages::gate_payload(status), "").await,
            Mouth::Posts(_) => {
                self.say_input(CameraInput::LowerLimit, status == GateStatus::Down).await?;
                self.say_input(CameraInput::UpperLimit, status == GateStatus::Up).await
            }
        }
    }

    async fn say_what_was_held_back(&self) -> Result<()> {
        let held_back = self.held_back().take();
        match held_back {
            Some(input) => self.say_input(input, true).await,
            None => Ok(()),
        }
    }

    async fn say_input(&self, input: CameraInput, occupied: bool) -> Result<()> {
        self.say("gpio_in", messages::input_payload(&self.settings.sn, input, occupied), "").await
    }

    /// A message of this name, with what happens to messages on their way.
    async fn say(&self, name: &str, payload: Value, plate: &str) -> Result<()> {
        let number = self.messages.fetch_add(1, Ordering::Relaxed);
        let text = match &self.mouth {
            Mouth::Broker(_) => {
                messages::envelope(&self.settings.sn, name, number, self.clock.now_s(), payload).to_string()
            }
            Mouth::Posts(_) => messages::post(&payload, plate).to_string(),
        };
        if self.settings.faults.strikes(Fault::Corrupted) {
            let cut = text.char_indices().nth(text.chars().count() / 2).map_or(0, |(at, _)| at);
            self.send(name, text[..cut].to_owned()).await?;
        }
        let again = self.settings.faults.strikes(Fault::Duplicated).then(|| text.clone());
        self.send(name, text).await?;
        match again {
            Some(text) => self.send(name, text).await,
            None => Ok(()),
        }
    }

    async fn send(&self, name: &str, text: String) -> Result<()> {
        match &self.mouth {
            Mouth::Broker(broker) => broker.publish(name, text).await,
            Mouth::Posts(poster) => poster.post(name == PLATE, text).await,
        }
    }

    fn start_anew(&self) {
        match &self.mouth {
            Mouth::Broker(broker) => broker.start_anew(STARTS_ANEW),
            Mouth::Posts(poster) => poster.start_anew(STARTS_ANEW),
        }
    }

    fn held_back(&self) -> std::sync::MutexGuard<'_, Option<CameraInput>> {
        self.held_back.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
