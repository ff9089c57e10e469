//! The words of a device profile, exactly as they stand in its TOML file; every unknown word is an error.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use crate::domain::event::PhotoKind;

/// Only the part that says which link a profile is for.
#[derive(Clone, Debug, Deserialize)]
pub struct Opening {
    /// The head.
    pub profile: Head,
}

/// `[profile]`: which product it is.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// `vendor/product`, the name that settings use; also the file's path without `.toml`.
    pub id: Spanned<String>,
    /// Who makes it.
    pub vendor: String,
    /// What it is called.
    pub product: String,
    /// How it is reached.
    pub link: Link,
    /// What an installer should know.
    #[serde(default)]
    pub notes: String,
}

/// How a product is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Link {
    /// Through an MQTT broker.
    Mqtt,
    /// On a serial bus.
    ModbusRtu,
}

/// A profile for an MQTT device.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MqttWords {
    /// The head.
    pub profile: Head,
    /// What the settings must or may say for each device.
    #[serde(default)]
    pub params: BTreeMap<String, Param>,
    /// The topic layouts that the product is known to use, the usual one first; `{layout}` in a topic stands for each.
    pub layouts: Vec<Spanned<String>>,
    /// Topics on which devices that the settings do not name would speak; the `{parameter}` becomes their name.
    #[serde(default)]
    pub strangers: Vec<Spanned<String>>,
    /// What the device says. The first message that fits is taken.
    #[serde(default, rename = "message")]
    pub messages: Vec<Message>,
    /// What the device can be told.
    #[serde(default, rename = "command")]
    pub commands: Vec<MqttCommand>,
}

/// A profile for a board on a serial bus.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModbusWords {
    /// The head.
    pub profile: Head,
    /// What the settings must or may say for each device; `address` is the board's address on the bus.
    #[serde(default)]
    pub params: BTreeMap<String, Param>,
    /// Milliseconds within which the board answers a frame.
    pub reply_timeout_ms: Spanned<u64>,
    /// What is read again and again.
    #[serde(default, rename = "poll")]
    pub polls: Vec<Poll>,
    /// What the board can be told.
    #[serde(default, rename = "command")]
    pub commands: Vec<ModbusCommand>,
}

/// One parameter of a profile.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Param {
    /// What it holds.
    #[serde(rename = "type")]
    pub kind: ParamKind,
    /// One line for the installer.
    pub help: String,
    /// Whether the settings must give it.
    #[serde(default)]
    pub required: bool,
    /// What it is where the settings are silent.
    pub default: Option<Spanned<toml::Value>>,
    /// Lowest integer.
    pub min: Option<i64>,
    /// Highest integer.
    pub max: Option<i64>,
}

/// What a parameter holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ParamKind {
    /// One level of a topic, such as a serial number: no `/`, `+` or `#`.
    Text,
    /// Several levels of a topic: no `+` or `#`.
    Topic,
    /// A whole number.
    Integer,
}

/// `[[message]]`: how to recognise and read one thing that the device says.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// Its name in logs.
    pub name: String,
    /// Where it arrives.
    pub topics: Vec<Spanned<String>>,
    /// All of these must hold.
    #[serde(default)]
    pub when: Vec<Condition>,
    /// The part of the body that paths start from; a path that starts with `$.` starts from the top.
    #[serde(default)]
    pub root: String,
    /// What it means.
    pub emits: Spanned<Emits>,
    /// Where the meaning stands in the body.
    #[serde(default)]
    pub fields: BTreeMap<String, Spanned<Field>>,
    /// Where pictures stand in the body; one that is absent, null or empty is none.
    #[serde(default)]
    pub pictures: BTreeMap<PhotoKind, Spanned<PictureWords>>,
    /// For `emits = "unsupported"`: what the installer should do.
    pub because: Option<String>,
}

/// A picture inside a message.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PictureWords {
    /// Where it stands: names and list positions joined by dots.
    pub path: String,
    /// How its bytes are written as text.
    pub encoding: PictureEncoding,
}

/// How a picture's bytes are written as text. White space in it does not matter, and padding may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PictureEncoding {
    /// Base64, standard alphabet.
    Base64,
    /// Base64 with `-` and `_`.
    Base64Url,
    /// `data:image/jpeg;base64,` before it.
    DataUrl,
}

/// What a message means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Emits {
    /// A camera saw a vehicle.
    PlateRead,
    /// An input contact changed.
    Input,
    /// The arm's limit switches.
    Arm,
    /// A vehicle passed, turned back or followed.
    VehicleSign,
    /// The device is there.
    KeepAlive,
    /// Known, and nothing to do.
    Nothing,
    /// Known, and not usable; counted as a rejection.
    Unsupported,
}

/// A test of one field; numbers and texts are compared as they are written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// The field.
    pub path: Spanned<String>,
    /// It is there and is one of these.
    pub is: Option<Vec<toml::Value>>,
    /// It is not there or is none of these.
    pub is_not: Option<Vec<toml::Value>>,
}

/// How one value is taken from the body.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// Where it stands: names and list positions joined by dots.
    pub path: Option<String>,
    /// What it always is, for a message that says it by its topic alone; instead of `path`.
    pub always: Option<toml::Value>,
    /// Where it stands otherwise: the values at these paths, joined by `_`.
    #[serde(default)]
    pub or_join: Vec<String>,
    /// A number on the wire is multiplied by this, so that 0.97 becomes 97 with `times = 100`; what is left after the
    /// point is dropped.
    pub times: Option<i64>,
    /// A list in one text, cut at this.
    pub split: Option<String>,
    /// For `candidates`: where the plate stands in each entry.
    pub plate: Option<String>,
    /// For `candidates`: where the confidence stands in each entry.
    pub confidence: Option<String>,
    /// What to undo, in this order.
    #[serde(default)]
    pub decode: Vec<Decode>,
    /// Texts that mean "nothing", before or after decoding.
    #[serde(default)]
    pub nulls: Vec<String>,
    /// Only the part before this text counts.
    pub first_before: Option<String>,
    /// The product's own words to ours; a word that is not listed is a rejection.
    #[serde(default)]
    pub map: BTreeMap<String, String>,
    /// What it is where the body is silent.
    pub default: Option<toml::Value>,
}

/// A step of decoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decode {
    /// Base64, standard alphabet, padding optional.
    Base64,
    /// UTF-8 where it is valid, else GBK, strictly.
    Utf8OrGbk,
}

/// How much an answer proves; it never proves that the arm moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ack {
    /// The device says that it took the command.
    Device,
}

/// A bound on an argument of a command.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arg {
    /// Lowest value.
    pub min: i64,
    /// Highest value.
    pub max: i64,
    /// The value is a multiple of this.
    #[serde(default = "one")]
    pub step: i64,
}

fn one() -> i64 {
    1
}

/// `[[command]]` of an MQTT device.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MqttCommand {
    /// Which of our commands it carries out.
    pub name: Spanned<CommandName>,
    /// How much the answer proves.
    pub ack: Ack,
    /// Bounds of the arguments.
    pub args: BTreeMap<String, Arg>,
    /// Where it is published.
    pub topic: Spanned<String>,
    /// The JSON that is published; `{name}` stands for a parameter or an argument.
    pub payload: Spanned<String>,
    /// The device's answer.
    pub reply: MqttReply,
}

/// Our commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommandName {
    /// Raise the barrier by a pulse that the device times.
    Raise,
}

/// The device's answer to a command.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MqttReply {
    /// Where it arrives.
    pub topics: Vec<Spanned<String>>,
    /// The field that repeats the command's `{id}`.
    pub id: Spanned<String>,
    /// What says that the device took the command.
    pub success: Condition,
    /// Milliseconds after which the outcome counts as unknown.
    pub timeout_ms: Spanned<u64>,
}

/// `[[poll]]`: inputs that are read again and again.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Poll {
    /// 2 (discrete inputs) or 1 (coils).
    pub function: Spanned<u8>,
    /// The first input.
    pub address: u16,
    /// How many, 1 to 64.
    pub count: Spanned<u16>,
    /// Milliseconds between two reads.
    pub every_ms: Spanned<u64>,
}

/// `[[command]]` of a board on a serial bus.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModbusCommand {
    /// Which of our commands it carries out.
    pub name: Spanned<CommandName>,
    /// How much the echo proves.
    pub ack: Ack,
    /// Bounds of the arguments.
    pub args: BTreeMap<String, Arg>,
    /// 5 or 6 (one value) or 16 (registers).
    pub function: Spanned<u8>,
    /// Where it is written.
    pub address: Spanned<Number>,
    /// What is written: one number for 5 and 6, one or more for 16.
    pub values: Spanned<Vec<Number>>,
}

/// A number of a frame: fixed, or made from an argument as `base + argument * times / divided_by`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Number {
    /// What is always there.
    #[serde(default)]
    pub base: i64,
    /// The argument.
    pub arg: Option<String>,
    /// The factor.
    #[serde(default = "one")]
    pub times: i64,
    /// The divisor, applied last and without remainder.
    #[serde(default = "one")]
    pub divided_by: i64,
}
