//! What the settings say about links, devices and lanes: the words of `[[links]]`, `[[devices]]` and `[[lanes]]`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

use super::lists::Entitled;
use crate::domain::event::DeviceId;
use crate::domain::gear::Gear;
use crate::domain::lane::{Detectors, Direction, LoopRole, PassedBy, Unpaid};
use crate::profile::statement::Heading;

/// Links, devices and lanes, as the settings list them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DevicesConfig {
    /// `[[links]]`
    #[serde(default)]
    pub links: Vec<LinkConfig>,
    /// `[[devices]]`
    #[serde(default)]
    pub devices: Vec<DeviceConfig>,
    /// `[[lanes]]`
    #[serde(default)]
    pub lanes: Vec<LaneConfig>,
    /// `[emergency]`: the fire panel's contact, closed while every barrier must be up.
    pub emergency: Option<ContactConfig>,
}

/// `[[links]]`: a broker, a line, or an address to which devices post.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkConfig {
    /// Its name.
    pub id: Spanned<String>,
    /// What it is.
    pub kind: Spanned<LinkKind>,
    /// mqtt: the broker's name or address; 127.0.0.1 where it is not given. tcp: the board's or the gateway's.
    pub host: Option<Spanned<String>>,
    /// mqtt: the broker's port; 1883 where it is not given. tcp: the port; 502 where it is not given.
    pub port: Option<Spanned<u16>>,
    /// mqtt: the client id; `gatepost-<box>` where it is not given. Two clients of one id throw each other out.
    pub client_id: Option<Spanned<String>>,
    /// mqtt: the broker's user.
    pub username: Option<Spanned<String>>,
    /// mqtt: the user's password.
    pub password: Option<Spanned<Secret>>,
    /// http-push: the address at which devices post, such as 0.0.0.0:8090.
    pub listen: Option<Spanned<std::net::SocketAddr>>,
    /// serial: the port's file, such as /dev/ttyS1.
    pub path: Option<Spanned<PathBuf>>,
    /// serial: bits per second; 9600 where it is not given.
    pub baud: Option<Spanned<u32>>,
    /// serial: none where it is not given.
    pub parity: Option<Spanned<Parity>>,
    /// serial: 7 or 8 bits a character; 8 where it is not given.
    pub data_bits: Option<Spanned<u8>>,
    /// serial: 1 or 2 bits behind each; 1 where it is not given.
    pub stop_bits: Option<Spanned<u8>>,
    /// tunnel: the device whose own serial port it is.
    pub device: Option<Spanned<String>>,
    /// tunnel: which of that device's ports; 0 where it is not given.
    pub channel: Option<Spanned<u16>>,
}

/// What a link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LinkKind {
    /// An MQTT broker.
    Mqtt,
    /// A serial line.
    Serial,
    /// A board with a network plug, or a gateway with a serial line behind it.
    Tcp,
    /// An address to which devices post.
    HttpPush,
    /// Devices that are asked for the stream of their events.
    HttpStream,
    /// The serial port of another device, such as a camera.
    Tunnel,
    /// Devices that are only asked, such as one that reads pictures.
    HttpAsk,
}

/// The check bit of a serial line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Parity {
    /// None.
    None,
    /// The ones, itself among them, are even in number.
    Even,
    /// They are odd in number.
    Odd,
}

/// A password: never shown.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

/// `[[devices]]`: one device on a link.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceConfig {
    /// Its name.
    pub id: Spanned<String>,
    /// Which product.
    pub profile: Spanned<String>,
    /// On which link.
    pub link: Spanned<String>,
    /// What the profile asks for.
    #[serde(default)]
    pub params: BTreeMap<String, Spanned<toml::Value>>,
    /// The device's clock is believed while it is no further than this from the box's, in seconds.
    #[serde(default = "clock_tolerance_s")]
    pub clock_tolerance_s: u32,
    /// Which way vehicles that come to the lane drive, as the camera sees it: `approaching` or `leaving`. Left out, what it
    /// says of their direction counts for nothing.
    pub coming: Option<Spanned<Heading>>,
    /// An input counts once it has been steady for so many milliseconds; at once where it is not given.
    pub debounce_ms: Option<Spanned<u32>>,
    /// Milliseconds between two polls of a device that is polled, instead of the profile's.
    pub poll_ms: Option<Spanned<u64>>,
    /// After how long a silence it counts as away, in milliseconds; where it is not given, as its profile says.
    pub silent_ms: Option<Spanned<u64>>,
    /// Between which two times of the site's day its silence counts, such as `["08:00", "22:00"]`; always where it is not
    /// given.
    pub silent_hours: Option<Spanned<[String; 2]>>,
    /// The copy of the box's plates that the camera keeps, to let them in by itself while the box is away.
    pub whitelist: Option<WhitelistConfig>,
    /// http-ask: the cameras whose pictures it reads as well, where it reads pictures.
    pub reads: Option<Spanned<Vec<Spanned<String>>>>,
    /// What is done to its pictures, instead of what its lane says.
    #[serde(default)]
    pub photos: SeenConfig,
    /// http-push, http-stream, http-ask: the device's own address, HOST or HOST:PORT, where it is asked.
    pub address: Option<Spanned<String>>,
    /// http-push, http-stream, http-ask: the device's user.
    pub username: Option<Spanned<String>>,
    /// http-push, http-stream, http-ask: the user's password. An OSDP reader's key: 32 hex digits.
    pub password: Option<Spanned<Secret>>,
}

/// `whitelist` of a camera.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WhitelistConfig {
    /// Who stands on it: `members`, `rights` (allow lists and passes).
    pub of: Spanned<Vec<Entitled>>,
    /// The most plates that the camera holds; 2000 where it is not given.
    #[serde(default = "plates_of_a_list")]
    pub most: Spanned<u32>,
}

/// What the smallest of the usual cameras holds.
fn plates_of_a_list() -> Spanned<u32> {
    Spanned::new(0..0, 2_000)
}

/// `[[lanes]]`: which devices make a lane.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LaneConfig {
    /// Its name.
    pub id: Spanned<String>,
    /// Which way it leads.
    pub direction: Direction,
    /// The camera that looks at it.
    pub camera: Spanned<String>,
    /// A second camera, which looks at the vehicles from behind.
    pub rear_camera: Option<Spanned<String>>,
    /// The card reader at it.
    pub reader: Option<Spanned<String>>,
    /// What raises its barrier.
    pub barrier: BarrierConfig,
    /// The loop under the camera, before the arm.
    pub arrival_loop: Option<ContactConfig>,
    /// The loop beyond the arm.
    pub passage_loop: Option<ContactConfig>,
    /// The loop under the arm: while it is covered, nothing lets the arm down.
    pub safety_loop: Option<ContactConfig>,
    /// Closed while the arm is up.
    pub upper_limit: Option<ContactConfig>,
    /// Closed while the arm is down.
    pub lower_limit: Option<ContactConfig>,
    /// What tells that a vehicle has passed; the passage loop where there is one, else the camera.
    pub passed_by: Option<Spanned<PassedBy>>,
    /// How long after a raise a passage may take, in milliseconds; 60000 where it is not given.
    pub pass_timeout_ms: Option<Spanned<u64>>,
    /// How long the arrival loop must be clear before a vehicle counts as gone back; 8000 where it is not given.
    pub back_out_ms: Option<Spanned<u64>>,
    /// How long after a passage the same plate is still the same vehicle; 10000 where it is not given.
    pub same_vehicle_ms: Option<Spanned<u64>>,
    /// What becomes of a vehicle at this exit that has not paid: it waits, or its plate owes what is due.
    #[serde(default, rename = "exit_unpaid")]
    pub unpaid: Unpaid,
    /// The inner lot of the rules into or out of which it leads; left out: the car park itself.
    pub zone: Option<Spanned<String>>,
    /// How long a lane without an arrival loop remembers a waiting vehicle that no camera has seen again; 180000 where it
    /// is not given.
    pub forget_ms: Option<Spanned<u64>>,
    /// How long a loop may be covered before it counts as stuck; 300000 where it is not given.
    pub stuck_ms: Option<Spanned<u64>>,
    /// What the loops do to a raised arm: `hold`, `timer`, `at_once`, `anti_tailgate` or `one_by_one`.
    pub detectors: Option<Spanned<Detectors>>,
    /// The device that shows its drivers what happens: lines of text, free bays, a code for paying.
    pub display: Option<Spanned<String>>,
    /// The device that says it.
    pub speaker: Option<Spanned<String>>,
    /// What is done to the pictures of its cameras.
    #[serde(default)]
    pub photos: SeenConfig,
}

/// `photos` of a lane or of a camera.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeenConfig {
    /// The driver's seat: left, top, width and height in thousandths of the scene. Nobody is to make it out.
    pub blur: Option<Spanned<[u16; 4]>>,
}

/// An output that raises a barrier.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BarrierConfig {
    /// Whose output.
    pub device: Spanned<String>,
    /// Which, counted as the device counts, from 0.
    pub output: Spanned<u16>,
    /// How long the contact closes, in milliseconds, where the device is told that.
    pub pulse_ms: Option<Spanned<u32>>,
    /// What lets the arm down, for detector modes that do.
    pub lower: Option<LowerConfig>,
}

/// An output that lets an arm down, of the device that raises it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LowerConfig {
    /// Which, counted as the device counts, from 0.
    pub output: Spanned<u16>,
    /// How long the contact closes, in milliseconds, where the device is told that.
    pub pulse_ms: Option<Spanned<u32>>,
}

/// An input contact.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContactConfig {
    /// Whose input.
    pub device: Spanned<String>,
    /// Which, counted as the device counts, from 0.
    pub input: Spanned<u16>,
    /// How long it must be on to count, in milliseconds, where that is longer than the device's `debounce_ms`.
    pub presence_ms: Option<Spanned<u32>>,
}

/// A cheap camera drifts by seconds a day and is set once a day.
fn clock_tolerance_s() -> u32 {
    5
}

impl DeviceConfig {
    /// How long an input must be steady, in milliseconds.
    pub fn debounce_ms(&self) -> u32 {
        self.debounce_ms.as_ref().map_or(0, |ms| *ms.get_ref())
    }

    /// Whether it reads the pictures of one of the lane's cameras.
    fn reads_for(&self, lane: &LaneConfig) -> bool {
        let cameras = [Some(&lane.camera), lane.rear_camera.as_ref()];
        let reads = self.reads.iter().flat_map(|reads| reads.get_ref());
        reads.into_iter().any(|read| cameras.iter().flatten().any(|camera| camera.get_ref() == read.get_ref()))
    }
}

impl LaneConfig {
    /// What the loops do; where nothing is given, the arm's own timer counts.
    pub fn detectors(&self) -> Detectors {
        self.detectors.as_ref().map(|given| *given.get_ref()).unwrap_or_default()
    }

    /// The devices that the lane is made of, among all.
    pub fn gear(&self, devices: &[DeviceConfig]) -> Gear {
        let id = |name: &Spanned<String>| DeviceId(name.get_ref().clone());
        let loops = [
            (LoopRole::Arrival, &self.arrival_loop),
            (LoopRole::Passage, &self.passage_loop),
            (LoopRole::Safety, &self.safety_loop),
        ];
        let loops = loops.into_iter().filter_map(|(role, contact)| Some((role, id(&contact.as_ref()?.device))));
        let switches = [&self.upper_limit, &self.lower_limit].into_iter().flatten();
        Gear {
            camera: Some(id(&self.camera)),
            rear_camera: self.rear_camera.as_ref().map(id),
            second_reader: devices.iter().find(|device| device.reads_for(self)).map(|device| id(&device.id)),
            barrier: Some(id(&self.barrier.device)),
            loops: loops.collect(),
            switches: switches.map(|contact| id(&contact.device)).collect(),
            reader: self.reader.as_ref().map(id),
            display: self.display.as_ref().map(id),
            speaker: self.speaker.as_ref().map(id),
        }
    }
}

impl Secret {
    /// The password itself.
    pub fn revealed(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl LinkKind {
    /// The kind as the settings write it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Mqtt => "mqtt",
            Self::Serial => "serial",
            Self::Tcp => "tcp",
            Self::HttpPush => "http-push",
            Self::HttpStream => "http-stream",
            Self::Tunnel => "tunnel",
            Self::HttpAsk => "http-ask",
        }
    }
}
