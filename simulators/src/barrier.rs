//! One lane as a driver meets it: a camera that looks, loops in the road, and an arm that goes up and comes down.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::camera::{Camera, CameraInput, Capture, GateStatus, OutputCommand, Reported};
use crate::relay_board::{BoardReport, Effect, RelayBoard};

/// How long the arm moves; real ones need seconds, and the box does not wait for them.
const ARM_TRAVELS: Duration = Duration::from_millis(15);
/// How long the arm stays up for a vehicle that does not come.
const ARM_WAITS: Duration = Duration::from_secs(3);
/// How long a vehicle needs from one loop to the next in fast time.
const VEHICLE_MOVES: Duration = Duration::from_millis(15);
/// Raises waiting for a driver; more means that the box raises without end.
const RAISES_QUEUED: usize = 64;

/// The board's contacts, as an electrician wired them: input of the arrival loop, of the passage loop, of the upper
/// limit switch, and the output that raises.
const BOARD_ARRIVAL: u8 = 0;
const BOARD_PASSAGE: u8 = 1;
const BOARD_UPPER_LIMIT: u8 = 2;
const BOARD_RAISES: u8 = 0;

/// What the arm and the loops of a lane are wired to.
pub enum Wiring {
    /// To the camera's inputs and outputs.
    Camera(mpsc::Receiver<OutputCommand>),
    /// To a relay board.
    Board(Arc<RelayBoard>, mpsc::Receiver<BoardReport>),
}

/// The loops in the road.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loop {
    /// Before the arm.
    Arrival,
    /// Beyond the arm.
    Passage,
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
    name: String,
    gear: Gear,
    raises: mpsc::Receiver<Instant>,
    cleared: mpsc::Sender<()>,
    position: watch::Receiver<ArmPosition>,
    arm: JoinHandle<()>,
}

impl Barrier {
    /// Builds a lane of this name around a camera.
    pub fn build(name: &str, camera: Camera, wiring: Wiring) -> Self {
        let camera = Arc::new(camera);
        let (board, pulses) = match wiring {
            Wiring::Camera(commands) => (None, Pulses::Camera(commands)),
            Wiring::Board(board, reports) => (Some(board), Pulses::Board(reports)),
        };
        let gear = Gear { camera, board };
        let (raised, raises) = mpsc::channel(RAISES_QUEUED);
        let (cleared, clearings) = mpsc::channel(1);
        let (moved, position) = watch::channel(ArmPosition::Down);
        let arm = Arm { gear: gear.clone(), pulses, clearings, raised, moved };
        Self { name: name.to_owned(), gear, raises, cleared, position, arm: tokio::spawn(arm.work()) }
    }

    /// The lane's name in the box's settings.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Waits until the arm is down behind the vehicle before; raises that nobody used are forgotten.
    pub async fn closed(&mut self) -> Result<()> {
        self.position.wait_for(|position| *position == ArmPosition::Down).await.context("watch the arm")?;
        while self.raises.try_recv().is_ok() {}
        Ok(())
    }

    /// The camera reads a vehicle.
    pub async fn read(&self, capture: &Capture) -> Result<Reported> {
        self.gear.camera.report(capture).await
    }

    /// The vehicle comes onto a loop or leaves it, and stays so until the box can know.
    pub async fn step(&self, on: Loop, occupied: bool) -> Result<()> {
        self.gear.report_loop(on, occupied).await?;
        tokio::time::sleep(VEHICLE_MOVES).await;
        if let Some(board) = &self.gear.board {
            board.inputs_noticed().await;
        }
        Ok(())
    }

    /// When the arm went up, if it does before the driver's patience is over.
    pub async fn raised(&mut self, patience: Duration) -> Option<Instant> {
        tokio::time::timeout(patience, self.raises.recv()).await.ok().flatten()
    }

    /// Drives from the arrival loop through under the raised arm.
    pub async fn drive_through(&self) -> Result<()> {
        self.step(Loop::Passage, true).await?;
        self.step(Loop::Arrival, false).await?;
        self.step(Loop::Passage, false).await?;
        self.clear();
        Ok(())
    }

    /// Goes back from the arrival loop.
    pub async fn back_out(&self) -> Result<()> {
        self.step(Loop::Arrival, false).await?;
        self.clear();
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
        self.arm.abort();
    }
}

/// The devices of a lane.
#[derive(Clone)]
struct Gear {
    camera: Arc<Camera>,
    board: Option<Arc<RelayBoard>>,
}

impl Gear {
    async fn report_loop(&self, on: Loop, occupied: bool) -> Result<()> {
        let (camera_input, board_input) = match on {
            Loop::Arrival => (CameraInput::ArrivalLoop, BOARD_ARRIVAL),
            Loop::Passage => (CameraInput::PassageLoop, BOARD_PASSAGE),
        };
        match &self.board {
            Some(board) => board.set_input(board_input, occupied),
            None => self.camera.report_input(camera_input, occupied).await?,
        }
        Ok(())
    }

    async fn report_arm(&self, position: ArmPosition) -> Result<()> {
        let status = match position {
            ArmPosition::Down => GateStatus::Down,
            ArmPosition::Between => GateStatus::Between,
            ArmPosition::Up => GateStatus::Up,
        };
        match &self.board {
            Some(board) => board.set_input(BOARD_UPPER_LIMIT, position == ArmPosition::Up),
            None => self.camera.report_gate(status).await?,
        }
        Ok(())
    }
}

/// Where raise pulses come from.
enum Pulses {
    Camera(mpsc::Receiver<OutputCommand>),
    Board(mpsc::Receiver<BoardReport>),
}

impl Pulses {
    /// The next raise; none when the device is gone.
    async fn next(&mut self) -> Option<Instant> {
        match self {
            Self::Camera(commands) => loop {
                let command = commands.recv().await?;
                if command.raises() {
                    return Some(command.at);
                }
            },
            Self::Board(reports) => loop {
                if let BoardReport::Acted(Effect::Pulsed { output: BOARD_RAISES, .. }, at) = reports.recv().await? {
                    return Some(at);
                }
            },
        }
    }
}

/// The arm, in its own task.
struct Arm {
    gear: Gear,
    pulses: Pulses,
    clearings: mpsc::Receiver<()>,
    raised: mpsc::Sender<Instant>,
    moved: watch::Sender<ArmPosition>,
}

impl Arm {
    async fn work(mut self) {
        while let Some(at) = self.pulses.next().await {
            while self.clearings.try_recv().is_ok() {}
            self.travel(ArmPosition::Up).await;
            let _ = self.raised.try_send(at);
            self.stay_up().await;
            self.travel(ArmPosition::Down).await;
        }
    }

    /// Until the vehicle is gone, or for a while; another pulse begins the while again.
    async fn stay_up(&mut self) {
        loop {
            tokio::select! {
                _ = self.clearings.recv() => return,
                Some(at) = self.pulses.next() => { let _ = self.raised.try_send(at); }
                () = tokio::time::sleep(ARM_WAITS) => return,
            }
        }
    }

    async fn travel(&self, to: ArmPosition) {
        for position in [ArmPosition::Between, to] {
            if let Err(error) = self.gear.report_arm(position).await {
                tracing::warn!(%error, "the arm's position was not reported");
            }
            self.moved.send_replace(position);
            if position == ArmPosition::Between {
                tokio::time::sleep(ARM_TRAVELS).await;
            }
        }
    }
}
