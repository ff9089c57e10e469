//! One lane as a driver meets it: a camera that looks, loops in the road, and an arm that goes up and comes down.

mod arm;
mod rear;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::cables::{Cables, Swap, the_other};
use crate::camera::{Camera, CameraInput, Capture, GateStatus, OutputCommand};
use crate::faults::{Fault, Faults};
use crate::led_card::{Heard, LedLine};
use crate::relay_board::{BoardReport, Effect, RelayBoard};
use arm::Arm;
pub use rear::{Both, Rear};

/// How long a vehicle needs from one loop to the next in fast time.
const VEHICLE_MOVES: Duration = Duration::from_millis(15);
/// How long a vehicle that goes back is in the way of the next one, in real time: longer than a box's `back_out_ms` may be,
/// for it has no other sign that an unread vehicle is another one.
pub const BACKS_OUT: Duration = Duration::from_millis(1000);
/// Raises waiting for a driver; more means that the box raises without end.
const RAISES_QUEUED: usize = 64;

/// How often it is looked whether anybody still waits for a card's relays.
const CARD_LOOK: Duration = Duration::from_millis(100);
/// The board's or card's contacts, as an electrician wired them: input of the arrival loop, of the passage loop, of the upper
/// limit switch, of the loop under the arm, and the outputs that raise and lower.
const BOARD_ARRIVAL: u8 = 0;
const BOARD_PASSAGE: u8 = 1;
const BOARD_UPPER_LIMIT: u8 = 2;
const BOARD_SAFETY: u8 = 3;
const BOARD_LOWER_LIMIT: u8 = 4;
const BOARD_RAISES: u8 = 0;
const BOARD_LOWERS: u8 = 1;

/// A lane's devices.
pub struct Wiring {
    /// What looks at plates.
    pub camera: Arc<Camera>,
    /// A second one that looks at them from behind.
    pub rear: Option<Rear>,
    /// Where the loops and the limit switches are.
    pub contacts: Contacts,
    /// What moves the arm.
    pub relays: Relays,
}

/// Where the contacts of loops and limit switches are.
#[derive(Clone)]
pub enum Contacts {
    /// At the camera's inputs.
    Camera,
    /// At a board's.
    Board(Arc<RelayBoard>),
    /// At those of a card that has inputs besides its display.
    Card(Arc<LedLine>),
}

/// Whose relays move the arm.
pub enum Relays {
    /// The camera's.
    Camera(mpsc::Receiver<OutputCommand>),
    /// A board's.
    Board(mpsc::Receiver<BoardReport>),
    /// A card's, by [`listen`].
    Card(mpsc::Receiver<Pulse>),
}

/// The loops in the road.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loop {
    /// Before the arm.
    Arrival,
    /// Under the arm, where there is one.
    Safety,
    /// Beyond the arm.
    Passage,
}

/// What an arm did.
#[derive(Debug, Default)]
pub struct Moves {
    /// Whether a vehicle is under it.
    is_under: AtomicBool,
    /// Times that it came down because it was told to.
    lowered: AtomicUsize,
    /// Vehicles that it was let down on.
    hits: AtomicUsize,
    /// Times that it did not go up as it should although its relay was closed.
    failed: AtomicUsize,
    /// Whether it hangs halfway.
    hangs: AtomicBool,
}

/// Where the arm is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArmPosition {
    /// Closed.
    Down,
    /// Moving.
    Between,
    /// Open.
    Up,
}

/// A lane. Only one vehicle is in front of it at a time.
pub struct Barrier {
    gear: Gear,
    rear: Option<Rear>,
    /// Whether a vehicle stands on the arrival loop that is told only after its plate.
    is_held_back: AtomicBool,
    raises: mpsc::Receiver<Instant>,
    cleared: mpsc::Sender<()>,
    frees: mpsc::Sender<()>,
    position: watch::Receiver<ArmPosition>,
    moves: Arc<Moves>,
    tasks: [JoinHandle<()>; 2],
}

/// Builds the lanes of a place, with the cables between them as they are.
pub fn build(
    wirings: Vec<(&'static str, Wiring)>,
    faults: &Faults,
    cables: &Arc<Cables>,
) -> BTreeMap<&'static str, Barrier> {
    let of = |wiring: &Wiring| Senses { camera: Arc::clone(&wiring.camera), contacts: wiring.contacts.clone() };
    let senses: BTreeMap<_, _> = wirings.iter().map(|(lane, wiring)| (*lane, of(wiring))).collect();
    let (mut arms, mut ears) = (BTreeMap::new(), BTreeMap::new());
    for (lane, _) in &wirings {
        let (pulses, heard) = mpsc::channel(RAISES_QUEUED);
        arms.insert(*lane, pulses);
        ears.insert(*lane, heard);
    }
    let mut lanes = BTreeMap::new();
    for (lane, wiring) in wirings {
        let Some(pulses) = ears.remove(lane) else { continue };
        let own = of(&wiring);
        let others = senses.get(the_other(lane)).unwrap_or(&own).clone();
        let gear = Gear { lane, own, others, cables: Arc::clone(cables), faults: faults.at(lane) };
        let wires = Wires {
            lane,
            own: arms[lane].clone(),
            others: arms.get(the_other(lane)).unwrap_or(&arms[lane]).clone(),
            cables: Arc::clone(cables),
        };
        let has_eyes = !matches!(wiring.relays, Relays::Board(_));
        let wires = tokio::spawn(wires.carry(wiring.relays));
        lanes.insert(lane, Barrier::new(gear, has_eyes, wiring.rear, pulses, wires));
    }
    lanes
}

impl Barrier {
    fn new(
        gear: Gear,
        has_eyes: bool,
        rear: Option<Rear>,
        pulses: mpsc::Receiver<Pulse>,
        wires: JoinHandle<()>,
    ) -> Self {
        let (raised, raises) = mpsc::channel(RAISES_QUEUED);
        let (cleared, clearings) = mpsc::channel(1);
        let (frees, freed) = mpsc::channel(1);
        let (moved, position) = watch::channel(ArmPosition::Down);
        let moves = Arc::<Moves>::default();
        let moves_of_arm = Arc::clone(&moves);
        let arm = Arm { gear: gear.clone(), has_eyes, pulses, clearings, freed, raised, moved, moves: moves_of_arm };
        let tasks = [wires, tokio::spawn(arm.work())];
        Self { gear, rear, is_held_back: AtomicBool::new(false), raises, cleared, frees, position, moves, tasks }
    }

    /// Whether the box takes its own time there instead of the camera's.
    pub fn leaves_time_to_the_box(&self) -> bool {
        self.gear.own.camera.leaves_time_to_the_box()
    }

    /// How often the arm did not go up as it should although its relay was closed.
    pub fn times_failed(&self) -> usize {
        self.moves.failed.load(Ordering::SeqCst)
    }

    /// Whether the arm hangs halfway up.
    pub fn hangs(&self) -> bool {
        self.moves.hangs.load(Ordering::SeqCst)
    }

    /// A guard frees the arm, and it goes on up.
    pub fn free(&self) {
        // One such word is enough.
        let _ = self.frees.try_send(());
    }

    /// Whether the vehicle that now drives through the closed arm tears it off.
    pub fn is_torn_off(&self) -> bool {
        self.gear.faults.strikes(Fault::TornArm)
    }

    /// The lane's name in the box's settings.
    pub fn name(&self) -> &'static str {
        self.gear.lane
    }

    /// How often the arm was told to come down and did, and how often it came down on a vehicle.
    pub fn lowered_and_hits(&self) -> (usize, usize) {
        (self.moves.lowered.load(Ordering::SeqCst), self.moves.hits.load(Ordering::SeqCst))
    }

    /// Says where the arm is, as devices do when they are switched on.
    pub async fn tell_arm(&self) -> Result<()> {
        let position = *self.position.borrow();
        self.gear.report_arm(position).await
    }

    /// Waits until the arm is down behind the vehicle before; raises that nobody used are forgotten.
    pub async fn closed(&mut self) -> Result<()> {
        self.position.wait_for(|position| *position == ArmPosition::Down).await.context("watch the arm")?;
        while self.raises.try_recv().is_ok() {}
        Ok(())
    }

    /// The camera reads a vehicle, and where there is one behind it too, that one reads the plate `behind` of it.
    pub async fn read(&self, capture: &Capture, behind: &str) -> Result<Both> {
        let front = &self.gear.own.camera;
        let both = match &self.rear {
            Some(rear) => rear.read_too(front, capture, behind).await?,
            None => Both { reported: front.report(capture).await?, otherwise: None },
        };
        self.say_what_was_held_back().await?;
        Ok(both)
    }

    /// The vehicle comes onto a loop or leaves it, and stays so until the box can know.
    pub async fn step(&self, on: Loop, occupied: bool) -> Result<()> {
        if on == Loop::Safety {
            // It is where it is, whatever the loop's detector says of it and when.
            self.moves.is_under.store(occupied, Ordering::SeqCst);
        }
        if on == Loop::Arrival && occupied && self.gear.faults.strikes(Fault::Reordered) {
            self.is_held_back.store(true, Ordering::SeqCst);
            tokio::time::sleep(VEHICLE_MOVES).await;
            return Ok(());
        }
        // A vehicle that goes away again was there before.
        self.say_what_was_held_back().await?;
        self.gear.report_loop(on, occupied).await?;
        tokio::time::sleep(VEHICLE_MOVES).await;
        self.gear.own.noticed().await;
        Ok(())
    }

    async fn say_what_was_held_back(&self) -> Result<()> {
        if self.is_held_back.swap(false, Ordering::SeqCst) {
            self.gear.report_loop(Loop::Arrival, true).await?;
            self.gear.own.noticed().await;
        }
        Ok(())
    }

    /// When the arm went up, if it does before the driver's patience is over.
    pub async fn raised(&mut self, patience: Duration) -> Option<Instant> {
        tokio::time::timeout(patience, self.raises.recv()).await.ok().flatten()
    }

    /// Drives from the arrival loop through under the raised arm.
    pub async fn drive_through(&self) -> Result<()> {
        self.step(Loop::Safety, true).await?;
        self.step(Loop::Passage, true).await?;
        self.step(Loop::Arrival, false).await?;
        self.step(Loop::Safety, false).await?;
        self.step(Loop::Passage, false).await?;
        self.clear();
        Ok(())
    }

    /// Goes back from the arrival loop; the next vehicle cannot be there before this one is out of its way.
    pub async fn back_out(&self) -> Result<()> {
        self.step(Loop::Arrival, false).await?;
        self.clear();
        tokio::time::sleep(BACKS_OUT).await;
        Ok(())
    }

    /// Tells the arm that nobody is under it or before it any more.
    fn clear(&self) {
        // One such word is enough for the arm; a second one waiting behind it would lower it on the next vehicle.
        let _ = self.cleared.try_send(());
    }
}

impl Drop for Barrier {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// What sees a lane, and the one whose cables may be in the places of its own.
#[derive(Clone)]
struct Gear {
    lane: &'static str,
    own: Senses,
    others: Senses,
    cables: Arc<Cables>,
    faults: Faults,
}

/// What tells the box of plates, loops and the arm.
#[derive(Clone)]
struct Senses {
    camera: Arc<Camera>,
    contacts: Contacts,
}

impl Gear {
    async fn report_loop(&self, on: Loop, occupied: bool) -> Result<()> {
        let are_swapped = self.cables.are_wrong(Swap::Loops, self.lane);
        let by_cable = match on {
            Loop::Arrival if are_swapped => Loop::Passage,
            Loop::Passage if are_swapped => Loop::Arrival,
            Loop::Arrival | Loop::Passage | Loop::Safety => on,
        };
        self.own.report_loop(by_cable, occupied).await
    }

    async fn report_arm(&self, position: ArmPosition) -> Result<()> {
        let are_swapped = self.cables.are_wrong(Swap::Switches, self.lane);
        if are_swapped { &self.others } else { &self.own }.report_arm(position).await
    }
}

impl Senses {
    /// Only a lane on a board has a loop under its arm.
    async fn report_loop(&self, on: Loop, occupied: bool) -> Result<()> {
        let (camera_input, board_input) = match on {
            Loop::Arrival => (Some(CameraInput::ArrivalLoop), BOARD_ARRIVAL),
            Loop::Passage => (Some(CameraInput::PassageLoop), BOARD_PASSAGE),
            Loop::Safety => (None, BOARD_SAFETY),
        };
        match (&self.contacts, camera_input) {
            (Contacts::Board(board), _) => board.set_input(board_input, occupied),
            (Contacts::Card(card), _) => card.set_input(board_input, occupied),
            (Contacts::Camera, Some(input)) => self.camera.report_input(input, occupied).await?,
            (Contacts::Camera, None) => {}
        }
        Ok(())
    }

    async fn report_arm(&self, position: ArmPosition) -> Result<()> {
        let status = match position {
            ArmPosition::Down => GateStatus::Down,
            ArmPosition::Between => GateStatus::Between,
            ArmPosition::Up => GateStatus::Up,
        };
        match &self.contacts {
            Contacts::Board(board) => {
                board.set_input(BOARD_UPPER_LIMIT, position == ArmPosition::Up);
                board.set_input(BOARD_LOWER_LIMIT, position == ArmPosition::Down);
            }
            Contacts::Card(card) => {
                card.set_input(BOARD_UPPER_LIMIT, position == ArmPosition::Up);
                card.set_input(BOARD_LOWER_LIMIT, position == ArmPosition::Down);
            }
            Contacts::Camera => self.camera.report_gate(status).await?,
        }
        Ok(())
    }

    /// Returns when a box that asks for inputs has asked.
    async fn noticed(&self) {
        match &self.contacts {
            Contacts::Camera => {}
            Contacts::Board(board) => board.inputs_noticed().await,
            Contacts::Card(card) => card.inputs_noticed().await,
        }
    }
}

/// What an arm is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pulse {
    /// To go up, and when.
    Up(Instant),
    /// To come down.
    Down,
}

/// The card's relays as pulses, until the card is gone or nobody waits for them.
pub fn listen(card: Arc<LedLine>) -> mpsc::Receiver<Pulse> {
    let (heard, pulses) = mpsc::channel(RAISES_QUEUED);
    let listening = move || {
        while !heard.is_closed() {
            let pulse = match card.heard_within(CARD_LOOK) {
                Some((_, Heard::Raised(_))) => Pulse::Up(Instant::now()),
                Some((_, Heard::Lowered(_))) => Pulse::Down,
                Some(_) | None => continue,
            };
            if heard.blocking_send(pulse).is_err() {
                return;
            }
        }
    };
    // Without the thread no raise is ever seen, which no day survives unnoticed.
    drop(std::thread::Builder::new().name("card-relays".to_owned()).spawn(listening));
    pulses
}

impl Relays {
    /// The next pulse; none when the device is gone.
    async fn next(&mut self) -> Option<Pulse> {
        match self {
            Self::Camera(commands) => loop {
                let command = commands.recv().await?;
                if command.raises() {
                    return Some(Pulse::Up(command.at));
                }
            },
            Self::Card(pulses) => pulses.recv().await,
            Self::Board(reports) => loop {
                match reports.recv().await? {
                    BoardReport::Acted(Effect::Pulsed { output: BOARD_RAISES, .. }, at) => return Some(Pulse::Up(at)),
                    BoardReport::Acted(Effect::Pulsed { output: BOARD_LOWERS, .. }, _) => return Some(Pulse::Down),
                    BoardReport::Acted(..) | BoardReport::Frame { .. } => {}
                }
            },
        }
    }
}

/// The wires from a lane's relays to an arm.
struct Wires {
    lane: &'static str,
    own: mpsc::Sender<Pulse>,
    others: mpsc::Sender<Pulse>,
    cables: Arc<Cables>,
}

impl Wires {
    async fn carry(self, mut relays: Relays) {
        while let Some(pulse) = relays.next().await {
            let is_astray = self.cables.are_wrong(Swap::Relays, self.lane);
            if is_astray && matches!(pulse, Pulse::Up(_)) {
                self.cables.lead_astray();
            }
            let arm = if is_astray { &self.others } else { &self.own };
            if arm.send(pulse).await.is_err() {
                return;
            }
        }
    }
}
