//! What a device says once its profile has been applied, still in the device's own terms: input numbers, not loops.

use hyper::body::Bytes;
use serde::{Deserialize, Serialize};

use super::layout::Fault;
use crate::domain::event::{ArmPosition, PhotoKind, UtcMs, VehicleSign};
use crate::domain::plate::Plate;
pub use crate::domain::plate::told::{Candidate, Colour, PlateBox, Stage, VehicleKind};

/// The largest posted body that is looked at: a camera's full result with two pictures stays below it, also where each of them
/// is too large to be taken, as base64 of 2.5 MiB are, so that the vehicle is heard without them.
pub const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The largest message of a broker that is looked at, below the 4 MiB that the box asks of it with all that MQTT puts around.
pub const MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024 - 64 * 1024;

/// The largest picture that is taken: a full-HD scene at a camera's best quality stays below it. Taking it out of its
/// message and hashing it stands between a vehicle and its barrier, so the limit is also one on that time.
pub const PICTURE_BYTES_MAX: usize = 1024 * 1024;

/// All pictures of one message.
pub const PICTURES_BYTES_MAX: usize = PICTURE_BYTES_MAX + 256 * 1024;

/// The longest event identity that is kept: a serial number and a time are about 35 characters.
pub const EVENT_CHARS_MAX: usize = 128;

/// Other readings of one plate that are kept; engines give up to ten.
pub const CANDIDATES_MAX: usize = 10;

/// What is kept of a text that is no plate: an advertisement on a van is longer than any plate.
pub const UNREAD_CHARS_MAX: usize = 32;

/// The longest text that is taken from a field: a device's own words for a refusal.
pub const TEXT_CHARS_MAX: usize = 200;

/// One thing that a device says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Statement {
    /// A camera saw a vehicle.
    PlateRead(SeenPlate),
    /// An input contact.
    Input {
        /// The input, counted as the device counts.
        number: u16,
        /// What it did.
        level: Level,
    },
    /// All input contacts at once.
    Inputs {
        /// How many the device has.
        count: u16,
        /// Those that are closed.
        on: Vec<u16>,
    },
    /// A reader read a card.
    Card {
        /// The facility code, where the format has one.
        #[serde(default)]
        facility: Option<u64>,
        /// The card number.
        number: u64,
    },
    /// Another device's bytes came through this one's tunnel.
    Tunnelled {
        /// Which of the device's own ports.
        channel: u16,
        /// The bytes, in hex.
        bytes: String,
    },
    /// Where the arm is, by the barrier's own limit switches.
    Arm {
        /// Where.
        position: ArmPosition,
    },
    /// Something about a vehicle besides its plate.
    VehicleSign {
        /// What.
        sign: VehicleSign,
    },
    /// The device is there.
    KeepAlive {},
    /// The device goes, or its broker says for it that it is gone.
    Away {},
}

/// A camera's statement about one vehicle, before it is known which lane it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeenPlate {
    /// The device's identity of the event; quick and full result of one vehicle share it. Empty in the answer about a
    /// picture, whose event the box knows.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub event: String,
    /// The plate; absent where the camera saw a vehicle without a readable one.
    pub plate: Option<Plate>,
    /// What the camera read instead where that is no plate, such as a part of one: at most [`UNREAD_CHARS_MAX`] characters.
    #[serde(default)]
    pub unread: Option<String>,
    /// 0 to 100; 0 where the device does not say.
    #[serde(default)]
    pub confidence: u8,
    /// The device's own time of the event.
    pub captured: Option<UtcMs>,
    /// The same by the clocks on the site's walls, where the device says no offset.
    #[serde(default)]
    pub captured_local: Option<jiff::civil::DateTime>,
    /// Whether the device stored it while it was cut off.
    #[serde(default)]
    pub stored_offline: bool,
    /// What comes after what within one event.
    #[serde(default)]
    pub stage: Stage,
    /// 0 to 100 for each character of the plate; empty where the device does not say.
    #[serde(default)]
    pub char_confidence: Vec<u8>,
    /// Other readings, best first; empty where the device gives none.
    #[serde(default)]
    pub candidates: Vec<Candidate>,
    /// The colour of the plate, where the device says it.
    #[serde(default)]
    pub colour: Option<Colour>,
    /// The kind of vehicle, where the device says it.
    #[serde(default)]
    pub vehicle: Option<VehicleKind>,
    /// Which way it drives, as the camera sees it.
    #[serde(default)]
    pub direction: Option<Heading>,
}

/// Which way a vehicle drives before a camera. Which of the two is the way through its lane depends on how it hangs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Heading {
    /// Towards the camera.
    Approaching,
    /// Away from it.
    Leaving,
}

impl Heading {
    /// The direction that a profile's map names; nothing for `unknown`.
    pub fn of_word(word: &str) -> Option<Self> {
        match word {
            "approaching" => Some(Self::Approaching),
            "leaving" => Some(Self::Leaving),
            _ => None,
        }
    }
}

/// A device's answer to a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceAnswer {
    /// The command's `{id}`; empty on links where the order tells.
    pub id: String,
    /// Taken, or refused in the device's own words.
    pub taken: Result<(), String>,
}

/// Why a command is not put into bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CannotSend {
    /// The product has no such command.
    #[error("the profile has no command {0}")]
    NoCommand(String),
    /// It needs an argument that was not given.
    #[error("the argument {0} is missing")]
    MissingArgument(String),
    /// An argument does not fit.
    #[error("the argument {0} does not fit; allowed: {1}")]
    BadArgument(String, String),
    /// The profile forbids it.
    #[error("it must not be sent: {0}")]
    Forbidden(String),
}

impl CannotSend {
    /// The name under which it is counted.
    pub fn name(&self) -> &'static str {
        match self {
            Self::NoCommand(_) => "no-such-command",
            Self::MissingArgument(_) => "missing-argument",
            Self::BadArgument(..) => "bad-argument",
            Self::Forbidden(_) => "forbidden",
        }
    }
}

/// A picture that came in a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Of what it is.
    pub kind: PhotoKind,
    /// Its bytes as the device made them; whether they are a picture is not known here.
    pub bytes: Result<Bytes, NoPicture>,
    /// Where the device says that the plate is in it.
    pub plate_box: Option<PlateBox>,
}

/// Why a picture was not taken out of its message. The message itself is understood all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoPicture {
    /// It is no text in the encoding that the profile names.
    PhotoEncoding,
    /// It is larger than [`PICTURE_BYTES_MAX`], or all of the message are larger than [`PICTURES_BYTES_MAX`].
    PhotoTooLarge,
}

impl NoPicture {
    /// The name under which it is counted.
    pub fn name(self) -> &'static str {
        match self {
            Self::PhotoEncoding => "photo-encoding",
            Self::PhotoTooLarge => "photo-too-large",
        }
    }
}

/// What an input contact did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// It is closed.
    On,
    /// It is open.
    Off,
    /// It closed and opened.
    Pulse,
}

impl Statement {
    /// Whether everything in it is within what the house takes, whatever the device said.
    pub fn is_bounded(&self) -> bool {
        match self {
            Statement::PlateRead(read) => {
                read.confidence <= 100
                    && read.event.chars().count() <= EVENT_CHARS_MAX
                    && read.char_confidence.iter().all(|confidence| *confidence <= 100)
            }
            Statement::Inputs { count, on } => *count <= 64 && on.iter().all(|number| number < count),
            Statement::Input { .. }
            | Statement::Card { .. }
            | Statement::Tunnelled { .. }
            | Statement::Arm { .. }
            | Statement::VehicleSign { .. }
            | Statement::KeepAlive {}
            | Statement::Away {} => true,
        }
    }
}

/// Why a message was not understood. The text never holds a plate, so that it may be logged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// Larger than [`BODY_BYTES_MAX`], or [`MESSAGE_BYTES_MAX`] at a broker.
    #[error("the body has {bytes} bytes or more; at most {most} are read")]
    TooLarge {
        /// How many came or were promised.
        bytes: usize,
        /// How many may come.
        most: usize,
    },
    /// No message of the profile has this topic.
    #[error("no message of the profile has this topic or path")]
    UnknownTopic,
    /// Not the format that the profile expects.
    #[error("the body is not in its format: {0}")]
    Malformed(String),
    /// The bytes are no frame of this profile.
    #[error(transparent)]
    Frame(#[from] Fault),
    /// The message names another device.
    #[error("the message is for another device: {0}")]
    NotForThis(String),
    /// The topic is known, but no message of the profile fits the body.
    #[error("no message of the profile fits the body")]
    UnknownMessage,
    /// The profile knows this message and cannot use it.
    #[error("{0}")]
    Unsupported(String),
    /// A field that the statement needs is not there.
    #[error("the field {0} is missing")]
    MissingField(String),
    /// A field has a value that its decoding does not allow.
    #[error("the field {field}: {why}")]
    BadField {
        /// The path.
        field: String,
        /// What is wrong, without the value.
        why: String,
    },
}

impl Rejection {
    /// The name under which it is counted.
    pub fn name(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "too-large",
            Self::UnknownTopic => "unknown-topic",
            Self::Malformed(_) => "malformed",
            Self::Frame(fault) => fault.name(),
            Self::NotForThis(_) => "another-device",
            Self::UnknownMessage => "unknown-message",
            Self::Unsupported(_) => "unsupported",
            Self::MissingField(_) => "missing-field",
            Self::BadField { .. } => "bad-field",
        }
    }
}
