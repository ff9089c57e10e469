//! What the lanes of the simulated mall are made of: which camera, which board or card, on which line.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::sync::mpsc;

use crate::barrier::{self, Barrier, Contacts, Rear, Relays, Wiring};
use crate::cables::Cables;
use crate::camera::{Camera, CameraLink, CameraSettings, Dialect, OutputCommand, Way};
use crate::clock::VirtualClock;
use crate::engine::Engine;
use crate::faults::{Fault, Faults};
use crate::led_card::LedLine;
use crate::relay_board::{self, BoardReport, BoardSettings, RelayBoard};
use crate::world::{BOARD_ADDRESS, CAMERAS, ENTRY_LANE, REAR_CAMERA};

/// How often a camera says that it lives.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// How long before the full result the quick one comes in fast time.
const QUICK_LEAD: Duration = Duration::from_millis(30);

/// What moves the arm of a lane and hears its loops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// The camera, through a broker.
    VzenithMqtt,
    /// The camera, which posts; the answers command it.
    VzenithHttp,
    /// A relay and input board on a serial line.
    Modbus,
    /// A card with display, relays and inputs on a serial line.
    Kf,
    /// The camera, through a broker, in Gatepost's own dialect.
    Native,
    /// The camera, which is asked over HTTP; the loops are on a board.
    Hikvision,
    /// The camera, which posts; the answers command it, and the loops are on a board.
    Qianyi,
    /// As `Hikvision`, but the box asks for the stream of events.
    HikvisionStream,
    /// A board, beside a camera that only posts or publishes what it reads.
    Axis,
    /// The same.
    Rekor,
    /// The same.
    Frigate,
    /// The same.
    Dahua,
    /// The same.
    HyperLpr,
    /// As `VzenithMqtt`, and an engine reads the camera's pictures as well.
    SecondLook,
}

/// All of them, by their names.
pub const DEVICES: [(&str, Device); 14] = [
    ("vzenith-mqtt", Device::VzenithMqtt),
    ("vzenith-http", Device::VzenithHttp),
    ("modbus", Device::Modbus),
    ("kf", Device::Kf),
    ("native", Device::Native),
    ("hikvision", Device::Hikvision),
    ("qianyi", Device::Qianyi),
    ("hikvision-stream", Device::HikvisionStream),
    ("axis", Device::Axis),
    ("rekor", Device::Rekor),
    ("frigate", Device::Frigate),
    ("dahua", Device::Dahua),
    ("hyperlpr", Device::HyperLpr),
    ("second-look", Device::SecondLook),
];

/// Where a lane's arm and its contacts hang.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hangs {
    /// Both on the camera.
    Camera,
    /// The arm on the camera, loops and limit switches on a board.
    CameraAndBoard,
    /// Both on a board.
    Board,
    /// Both on a card.
    Card,
}

impl FromStr for Device {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = DEVICES.iter().find(|(known, _)| *known == name).map(|(_, device)| *device);
        let names = DEVICES.map(|(name, _)| name).join(", ");
        known.ok_or_else(|| format!("there is no device {name:?}; there are {names}"))
    }
}

impl Device {
    /// Its name.
    pub fn name(self) -> &'static str {
        DEVICES.iter().find(|(_, device)| *device == self).map_or("unknown", |(name, _)| name)
    }

    /// Whose protocol the camera speaks.
    pub fn dialect(self) -> Dialect {
        match self {
            Self::VzenithMqtt | Self::Modbus | Self::Kf | Self::SecondLook => Dialect::VzenithMqtt,
            Self::VzenithHttp => Dialect::VzenithHttp,
            Self::Native => Dialect::Native,
            Self::Hikvision => Dialect::Isapi,
            Self::Qianyi => Dialect::Qianyi,
            Self::HikvisionStream => Dialect::IsapiStream,
            Self::Axis => Dialect::Axis,
            Self::Rekor => Dialect::Rekor,
            Self::Frigate => Dialect::Frigate,
            Self::Dahua => Dialect::Dahua,
            Self::HyperLpr => Dialect::HyperLpr,
        }
    }

    /// Where the arm and the contacts hang.
    pub fn hangs(self) -> Hangs {
        match self {
            Self::VzenithMqtt | Self::VzenithHttp | Self::Qianyi | Self::Native | Self::SecondLook => Hangs::Camera,
            Self::Hikvision | Self::HikvisionStream => Hangs::CameraAndBoard,
            Self::Modbus | Self::Axis | Self::Rekor | Self::Frigate | Self::Dahua | Self::HyperLpr => Hangs::Board,
            Self::Kf => Hangs::Card,
        }
    }
}

/// What a lane hangs on, for the box's settings.
#[derive(Clone, Debug)]
pub struct LaneGear {
    /// The lane.
    pub lane: &'static str,
    /// How the camera calls itself.
    pub camera: String,
    /// Where the camera is asked for its barrier, if that is how it is told.
    pub address: Option<SocketAddr>,
    /// How a second one calls itself, which looks at the vehicles from behind.
    pub rear: Option<String>,
    /// What moves its arm.
    pub device: Device,
    /// The serial device of its board or card, which also has its loops.
    pub line: Option<PathBuf>,
    /// Who reads its camera's pictures as well.
    pub engine: Option<Arc<Engine>>,
}

/// Where the lanes are opened.
pub(crate) struct Place {
    /// The broker.
    pub broker: (String, u16),
    /// Where cameras post.
    pub posts: SocketAddr,
    /// What the lanes hang on, in turn; none: the first four on cameras at the broker, the last on a board.
    pub devices: Vec<Device>,
    pub faults: Faults,
    pub clock: VirtualClock,
}

pub(crate) type Lanes = BTreeMap<&'static str, tokio::sync::Mutex<Barrier>>;

/// Opens every lane.
pub(crate) async fn open(place: &Place, cables: &Arc<Cables>) -> Result<(Lanes, Vec<LaneGear>)> {
    let (mut wirings, mut gear) = (Vec::new(), Vec::new());
    for (number, (lane, sn)) in CAMERAS.into_iter().enumerate() {
        let device = place.device(number);
        let (camera, commands) =
            place.camera(lane, sn, device).await.with_context(|| format!("connect {lane}'s camera"))?;
        let (contacts, relays, line) = contacts(device, commands, &place.faults.at(lane))?;
        let (name, address) = (camera.sn().to_owned(), camera.address());
        let rear = place.rear_camera(lane).await.with_context(|| format!("connect {lane}'s rear camera"))?;
        let behind = rear.as_ref().map(|camera| camera.sn().to_owned());
        wirings.push((lane, Wiring { camera: Arc::new(camera), rear: rear.map(Rear::new), contacts, relays }));
        let is_read_twice = device == Device::SecondLook;
        let engine = if is_read_twice { Some(Arc::new(Engine::open(place.faults.at(lane)).await?)) } else { None };
        gear.push(LaneGear { lane, camera: name, address, rear: behind, device, line, engine });
    }
    let lanes = barrier::build(wirings, &place.faults, cables);
    Ok((lanes.into_iter().map(|(lane, barrier)| (lane, tokio::sync::Mutex::new(barrier))).collect(), gear))
}

impl Place {
    fn device(&self, number: usize) -> Device {
        match self.devices.as_slice() {
            [] if number + 1 == CAMERAS.len() => Device::Modbus,
            [] => Device::VzenithMqtt,
            devices => devices[number % devices.len()],
        }
    }

    async fn camera(
        &self,
        lane: &'static str,
        sn: &str,
        device: Device,
    ) -> Result<(Camera, mpsc::Receiver<OutputCommand>)> {
        let dialect = device.dialect();
        let link = match dialect.way() {
            Way::Broker => CameraLink::Broker { host: self.broker.0.clone(), port: self.broker.1 },
            Way::Posts => CameraLink::Posts(self.posts),
            Way::Stream => CameraLink::Stream,
        };
        let (is_first, faults) = (lane == ENTRY_LANE, self.faults.at(lane));
        let settings = CameraSettings {
            dialect,
            link,
            sn: dialect.name_of(sn),
            keep_alive: KEEP_ALIVE,
            quick_lead: is_first.then_some(QUICK_LEAD),
            sends_pictures: true,
            offline_after: None,
            has_wrong_clock: is_first && dialect.has_clock() && faults.strikes(Fault::Clock),
            faults,
        };
        Camera::connect(settings, self.clock).await
    }

    /// The camera behind the vehicles, where the lane has one: at the broker, whatever the lane hangs on.
    async fn rear_camera(&self, lane: &'static str) -> Result<Option<Camera>> {
        let (of, sn) = REAR_CAMERA;
        if lane != of {
            return Ok(None);
        }
        let settings = CameraSettings {
            dialect: Dialect::VzenithMqtt,
            link: CameraLink::Broker { host: self.broker.0.clone(), port: self.broker.1 },
            sn: sn.to_owned(),
            keep_alive: KEEP_ALIVE,
            quick_lead: None,
            sends_pictures: true,
            offline_after: None,
            has_wrong_clock: false,
            faults: self.faults.at(lane),
        };
        // Nobody tells it to raise anything.
        let (camera, _) = Camera::connect(settings, self.clock).await?;
        Ok(Some(camera))
    }
}

fn contacts(
    device: Device,
    commands: mpsc::Receiver<OutputCommand>,
    faults: &Faults,
) -> Result<(Contacts, Relays, Option<PathBuf>)> {
    Ok(match device.hangs() {
        Hangs::Camera => (Contacts::Camera, Relays::Camera(commands), None),
        Hangs::Board => {
            let (board, reports) = board(faults)?;
            let line = board.path().to_owned();
            (Contacts::Board(Arc::new(board)), Relays::Board(reports), Some(line))
        }
        Hangs::CameraAndBoard => {
            let (board, _) = board(faults)?;
            let line = board.path().to_owned();
            (Contacts::Board(Arc::new(board)), Relays::Camera(commands), Some(line))
        }
        Hangs::Card => {
            let card = Arc::new(LedLine::open(&[0]).context("open a card")?);
            card.suffer(faults.clone());
            let line = card.path().to_owned();
            (Contacts::Card(Arc::clone(&card)), Relays::Card(barrier::listen(card)), Some(line))
        }
    })
}

fn board(faults: &Faults) -> Result<(RelayBoard, mpsc::Receiver<BoardReport>)> {
    let dialect = relay_board::Dialect::Waveshare;
    let settings = BoardSettings { dialect, address: BOARD_ADDRESS, report_frames: false };
    let (board, reports) = RelayBoard::open(settings).context("open a relay board")?;
    board.suffer(faults.clone());
    Ok((board, reports))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read_by_name_and_an_unknown_one_is_told_with_the_list() {
        for (name, device) in DEVICES {
            assert_eq!((name.parse(), device.name()), (Ok(device), name));
        }
        let told = "hikvsion".parse::<Device>().unwrap_err();
        assert!(told.contains("modbus, kf, native, hikvision, qianyi, hikvision-stream, axis"), "{told}");
    }
}
