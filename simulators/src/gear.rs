//! What the lanes of the simulated mall are made of: which camera, which board or card, on which line.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::barrier::{Barrier, Wiring};
use crate::camera::{Camera, CameraLink, CameraSettings};
use crate::clock::VirtualClock;
use crate::faults::{Fault, Faults};
use crate::led_card::LedLine;
use crate::relay_board::{BoardSettings, Dialect, RelayBoard};
use crate::world::{BOARD_ADDRESS, CAMERAS, ENTRY_LANE, INNER_LANES};

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
}

/// All of them, by their names.
pub const DEVICES: [(&str, Device); 4] = [
    ("vzenith-mqtt", Device::VzenithMqtt),
    ("vzenith-http", Device::VzenithHttp),
    ("modbus", Device::Modbus),
    ("kf", Device::Kf),
];

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
}

/// What a lane hangs on, for the box's settings.
#[derive(Clone, Debug)]
pub struct LaneGear {
    /// The lane.
    pub lane: &'static str,
    /// The camera's serial number.
    pub sn: &'static str,
    /// What moves its arm.
    pub device: Device,
    /// The serial device of its board or card.
    pub line: Option<PathBuf>,
}

/// Where the lanes are opened.
pub(crate) struct Place {
    /// The broker.
    pub broker: (String, u16),
    /// Where cameras post.
    pub posts: SocketAddr,
    /// What the lanes hang on, in turn; none: the first four on cameras at the broker, the last on a board.
    pub devices: Vec<Device>,
    pub faults: Arc<Faults>,
    pub clock: VirtualClock,
}

pub(crate) type Lanes = BTreeMap<&'static str, tokio::sync::Mutex<Barrier>>;

/// Opens every lane.
pub(crate) async fn open(place: &Place) -> Result<(Lanes, Vec<LaneGear>)> {
    let mut cameras = BTreeMap::new();
    for (number, (lane, sn)) in CAMERAS.into_iter().enumerate() {
        let device = place.device(number);
        let link = match device {
            Device::VzenithHttp => CameraLink::Posts(place.posts),
            Device::VzenithMqtt | Device::Modbus | Device::Kf => {
                CameraLink::Broker { host: place.broker.0.clone(), port: place.broker.1 }
            }
        };
        let is_first = lane == ENTRY_LANE;
        let settings = CameraSettings {
            link,
            sn: sn.to_owned(),
            keep_alive: KEEP_ALIVE,
            quick_lead: is_first.then_some(QUICK_LEAD),
            sends_pictures: true,
            faults: Arc::clone(&place.faults),
            has_wrong_clock: is_first && place.faults.strikes(Fault::Clock),
        };
        let connected = Camera::connect(settings, place.clock).await;
        let (camera, commands) = connected.with_context(|| format!("connect {lane}'s camera"))?;
        cameras.insert(lane, (Arc::new(camera), commands, device));
    }
    let arms: BTreeMap<&str, Arc<Camera>> =
        cameras.iter().map(|(lane, (camera, ..))| (*lane, Arc::clone(camera))).collect();
    let is_swapped = INNER_LANES.iter().all(|lane| cameras.get(lane).is_some_and(|(_, _, device)| device.is_camera()))
        && place.faults.strikes(Fault::Swapped);
    let (mut lanes, mut gear) = (Lanes::new(), Vec::new());
    for (lane, sn) in CAMERAS {
        let Some((camera, commands, device)) = cameras.remove(lane) else { continue };
        let (wiring, line) = wiring(device, commands, &place.faults)?;
        let other = if is_swapped { the_other(lane) } else { lane };
        let tells_arm = arms.get(other).map_or_else(|| Arc::clone(&camera), Arc::clone);
        let barrier = Barrier::build(lane, camera, tells_arm, wiring, Arc::clone(&place.faults));
        lanes.insert(lane, tokio::sync::Mutex::new(barrier));
        gear.push(LaneGear { lane, sn, device, line });
    }
    Ok((lanes, gear))
}

impl Place {
    fn device(&self, number: usize) -> Device {
        match self.devices.as_slice() {
            [] if number + 1 == CAMERAS.len() => Device::Modbus,
            [] => Device::VzenithMqtt,
            devices => devices[number % devices.len()],
        }
    }
}

impl Device {
    fn is_camera(self) -> bool {
        match self {
            Self::VzenithMqtt | Self::VzenithHttp => true,
            Self::Modbus | Self::Kf => false,
        }
    }
}

fn wiring(
    device: Device,
    commands: tokio::sync::mpsc::Receiver<crate::camera::OutputCommand>,
    faults: &Arc<Faults>,
) -> Result<(Wiring, Option<PathBuf>)> {
    Ok(match device {
        Device::VzenithMqtt | Device::VzenithHttp => (Wiring::Camera(commands), None),
        Device::Modbus => {
            let settings = BoardSettings { dialect: Dialect::Waveshare, address: BOARD_ADDRESS, report_frames: false };
            let (board, reports) = RelayBoard::open(settings).context("open a relay board")?;
            board.suffer(Arc::clone(faults));
            let line = board.path().to_owned();
            (Wiring::Board(Arc::new(board), reports), Some(line))
        }
        Device::Kf => {
            let card = LedLine::open(&[0]).context("open a card")?;
            card.suffer(Arc::clone(faults));
            let line = card.path().to_owned();
            (Wiring::Card(Arc::new(card)), Some(line))
        }
    })
}

/// Whose limit switches are on this lane's cable.
fn the_other(lane: &'static str) -> &'static str {
    match INNER_LANES {
        [one, other] if lane == one => other,
        [one, other] if lane == other => one,
        _ => lane,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read_by_name_and_an_unknown_one_is_told_with_the_list() {
        for (name, device) in DEVICES {
            assert_eq!((name.parse(), device.name()), (Ok(device), name));
        }
        let told = "hikvision".parse::<Device>().unwrap_err();
        assert!(told.contains("vzenith-mqtt, vzenith-http, modbus, kf"), "{told}");
    }
}
