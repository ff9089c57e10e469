//! The words of a device profile, exactly as they stand in its TOML file; every unknown word is an error.
//! Here is what all profiles share; each link has a file of its own.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

pub mod frame;
pub mod http;
pub mod modbus;
pub mod mqtt;
pub mod picture;
pub mod reader;

pub use http::Identity;
pub use modbus::{ModbusCommand, ModbusWords, Number, Poll};
pub use mqtt::{MqttCommand, MqttReply, MqttWords};
pub use picture::{BoxWords, PictureEncoding, PictureWords};

use crate::domain::event::PhotoKind;

/// Only the part that says which link a profile is for.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct Opening {
    /// The head.
    pub profile: Head,
}

/// `[profile]`: which product it is.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// `vendor/product`, the name that settings use; also the file's path without `.toml`.
    #[schemars(with = "String")]
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
    /// After how long a silence it is away, in milliseconds, where it says at regular times that it is there.
    #[serde(default)]
    pub silent_ms: Option<u64>,
    /// The command that asks how the device is and moves nothing: `gatepost check` sends it.
    #[schemars(with = "Option<String>")]
    pub check: Option<Spanned<String>>,
}

/// How a product is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Link {
    /// Through an MQTT broker.
    Mqtt,
    /// Relay and input boards on a serial bus.
    ModbusRtu,
    /// The same boards behind a TCP port.
    ModbusTcp,
    /// HTTP in either direction.
    Http,
    /// Frames on a serial line, or in another device's tunnel.
    Serial,
    /// Card readers on two data wires.
    Wiegand,
    /// Card readers on an OSDP bus.
    Osdp,
}

impl Link {
    /// The link as profiles write it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Mqtt => "mqtt",
            Self::ModbusRtu => "modbus-rtu",
            Self::ModbusTcp => "modbus-tcp",
            Self::Http => "http",
            Self::Serial => "serial",
            Self::Wiegand => "wiegand",
            Self::Osdp => "osdp",
        }
    }
}

/// One parameter of a profile.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
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
    #[schemars(with = "Option<serde_json::Value>")]
    pub default: Option<Spanned<toml::Value>>,
    /// Lowest integer.
    pub min: Option<i64>,
    /// Highest integer.
    pub max: Option<i64>,
    /// The words of a choice.
    #[serde(default)]
    pub choices: Vec<String>,
}

/// What a parameter holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ParamKind {
    /// One level of a topic, such as a serial number: no `/`, `+` or `#`.
    Text,
    /// Several levels of a topic: no `+` or `#`.
    Topic,
    /// A whole number.
    Integer,
    /// One of the words in `choices`.
    Choice,
}

/// `[[message]]`: how to recognise and read one thing that the device says.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// Its name in logs.
    pub name: String,
    /// MQTT: where it arrives.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub topics: Vec<Spanned<String>>,
    /// HTTP: the paths to which it is posted; parameters in braces. A message of a stream has none.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub paths: Vec<Spanned<String>>,
    /// HTTP: the content types it may have, without their parameters; empty for any.
    #[serde(default)]
    pub content_types: Vec<String>,
    /// HTTP: whether it may come as a GET request, with all it says in the query.
    #[serde(default)]
    pub get: bool,
    /// HTTP: what of the box's own it answers; such a message is said nowhere else.
    #[schemars(with = "Option<Asks>")]
    pub answers: Option<Spanned<Asks>>,
    /// HTTP: which of the profile's replies answers it.
    #[schemars(with = "Option<String>")]
    pub reply: Option<Spanned<String>>,
    /// HTTP: values of the message that its answer repeats, by the names that the reply uses.
    #[serde(default)]
    pub echo: BTreeMap<String, String>,
    /// Serial: how the frame's `data` part is laid out.
    #[serde(default)]
    pub data: Vec<frame::Part>,
    /// All of these must hold.
    #[serde(default)]
    pub when: Vec<Condition>,
    /// The part of the body that paths start from; a path that starts with `$.` starts from the top.
    #[serde(default)]
    pub root: String,
    /// MQTT, HTTP: where the device's own running number of such messages stands; a gap in it is told.
    pub number: Option<String>,
    /// What it means.
    #[schemars(with = "Emits")]
    pub emits: Spanned<Emits>,
    /// Where the meaning stands in the body.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Field>")]
    pub fields: BTreeMap<String, Spanned<Field>>,
    /// Where pictures stand in the body; one that is absent, null or empty is none.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, PictureWords>")]
    pub pictures: BTreeMap<PhotoKind, Spanned<PictureWords>>,
    /// What the same message says besides, such as a status that has the arm and the inputs.
    #[serde(default)]
    pub also: Vec<Also>,
    /// For `emits = "unsupported"`: what the installer should do.
    pub because: Option<String>,
}

/// `[[message.also]]`: one more thing that a message says.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Also {
    /// What it means.
    #[schemars(with = "Emits")]
    pub emits: Spanned<Emits>,
    /// Where the meaning stands in the body.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Field>")]
    pub fields: BTreeMap<String, Spanned<Field>>,
}

impl Message {
    /// All that it means, each with its fields.
    pub fn meanings(&self) -> impl Iterator<Item = (&Spanned<Emits>, &BTreeMap<String, Spanned<Field>>)> + Clone {
        let also = self.also.iter().map(|also| (&also.emits, &also.fields));
        std::iter::once((&self.emits, &self.fields)).chain(also)
    }
}

/// What a device is asked to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Asks {
    /// What stands on a plate in a picture.
    ReadPicture,
}

/// What a message means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Emits {
    /// A camera saw a vehicle.
    PlateRead,
    /// An input contact changed.
    Input,
    /// All input contacts, as a number with one bit each.
    Inputs,
    /// A reader read a card.
    Card,
    /// Another device's bytes, through this one's tunnel.
    Tunnelled,
    /// The arm's limit switches.
    Arm,
    /// A vehicle passed, turned back or followed.
    VehicleSign,
    /// The device is there.
    KeepAlive,
    /// The device goes, or its broker says for it that it is gone.
    Away,
    /// Known, and nothing to do.
    Nothing,
    /// Known, and not usable; counted as a rejection.
    Unsupported,
}

/// A test of one field; numbers and texts are compared as they are written.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// The field; in a message's test a `{parameter}` may be a part of it.
    #[schemars(with = "String")]
    pub path: Spanned<String>,
    /// It is there and is one of these.
    #[schemars(with = "Option<Vec<serde_json::Value>>")]
    pub is: Option<Vec<toml::Value>>,
    /// It is there and is what the settings give to the parameter of this name.
    #[schemars(with = "Option<String>")]
    pub is_param: Option<Spanned<String>>,
    /// It is not there or is none of these.
    #[schemars(with = "Option<Vec<serde_json::Value>>")]
    pub is_not: Option<Vec<toml::Value>>,
    /// It is there and is a number above this.
    pub above: Option<i64>,
    /// Whether it is there at all, whatever it is.
    pub is_there: Option<bool>,
}

/// How one value is taken from the body.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// Where it stands: names and list positions joined by dots. Absent where `or_join` or `always` stands for it.
    pub path: Option<String>,
    /// What it always is, for a message that says it by its topic alone; instead of `path`.
    #[schemars(with = "Option<serde_json::Value>")]
    pub always: Option<toml::Value>,
    /// Where it stands otherwise: the values at these paths, joined by `_`.
    #[serde(default)]
    pub or_join: Vec<String>,
    /// For `bits` of inputs: the path of each input's own value, instead of `path`.
    #[serde(default)]
    pub each: Vec<String>,
    /// A number on the wire is multiplied by this, so that 0.97 becomes 97 with `times = 100`; what is left after the
    /// point is dropped.
    pub times: Option<i64>,
    /// A number above this is not multiplied, for products that say 0.97 or 97.
    pub times_up_to: Option<i64>,
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
    /// For `captured_local`: how the time is written, as strftime has it; `%Y-%m-%d %H:%M:%S%.f` where it is not given.
    pub format: Option<String>,
    /// The product's own words to ours; a word that is not listed is a rejection.
    #[serde(default)]
    pub map: BTreeMap<String, String>,
    /// What it is where the body is silent.
    #[schemars(with = "Option<serde_json::Value>")]
    pub default: Option<toml::Value>,
}

/// A step of decoding.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Decode {
    /// Base64, standard alphabet, padding optional.
    Base64,
    /// Base64 with `-` and `_`, padding optional.
    Base64Url,
    /// Base64 with an alphabet of the product's own.
    Base64Own(OwnBase64),
    /// Hex digits in pairs.
    Hex,
    /// UTF-8 where it is valid, else GBK, strictly; what is valid in both is GBK where that makes a plate of it.
    Utf8OrGbk,
    /// GBK, strictly.
    Gbk,
}

/// A product's own base64.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OwnBase64 {
    /// The 64 characters in order.
    pub alphabet: String,
    /// What fills up the end, where it is not `=`.
    pub padding: Option<char>,
}

/// How much is known once a command was sent; it never proves that the arm moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Ack {
    /// Nothing: not even that it arrived.
    None,
    /// The line took the bytes.
    Transport,
    /// The device says that it took the command.
    Device,
    /// The device says so only when its own limit switch has moved.
    LimitSwitch,
}

/// Whether a command is ever repeated. A barrier command never is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Retry {
    /// Never.
    #[default]
    Never,
    /// While there is no answer.
    Again(Again),
}

/// How a harmless command is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Again {
    /// How often besides the first time, 1 to 5.
    pub times: u8,
    /// The pause before each, in milliseconds.
    pub pause_ms: u64,
}

/// When a command must not be sent.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Guard {
    /// Never: it is known only so that its bytes are recognised.
    #[serde(default)]
    pub never: bool,
    /// Only when these arguments are given and not empty.
    #[serde(default)]
    pub needs: Vec<String>,
    /// Not where the device is a lane's barrier: it switches outputs, and an arm may hang on them.
    #[serde(default)]
    pub moves: bool,
    /// At most so often a day, such as for what wears out a memory.
    pub per_day_max: Option<u32>,
    /// Why.
    pub because: String,
}

/// The command that the house gives to lift an arm.
pub const RAISE: &str = "raise";

/// The command that lets an arm come down. Its own controller does that; nobody here sends it.
pub const LOWER: &str = "lower";

/// The command that carries another device's bytes.
pub const TUNNEL: &str = "tunnel";

/// The command that shows lines of text until the power goes; never one that writes a memory.
pub const SHOW: &str = "show";

/// The command that says a sentence.
pub const SAY: &str = "say";

/// The command that shows a code for paying beside a text.
pub const PAY_SCREEN: &str = "pay_screen";

/// The command that shows how many bays are free.
pub const FREE_BAYS: &str = "free_bays";

/// The command that puts a plate on a camera's own list.
pub const WHITELIST_ADD: &str = "whitelist_add";

/// The command that takes one off it; never without a plate, because that empties the list.
pub const WHITELIST_DELETE: &str = "whitelist_delete";

/// The command that asks a device to say again what was not heard, from a number on.
pub const REFILL: &str = "refill";

/// What an argument of a command may be.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Arg {
    /// What it is; `integer` where it is not given.
    #[serde(default, rename = "type")]
    pub kind: ArgKind,
    /// Lowest integer.
    pub min: Option<i64>,
    /// Highest integer; for a text, bytes or rows the most characters, bytes or rows.
    pub max: Option<i64>,
    /// An integer is a multiple of this.
    #[serde(default = "one")]
    pub step: i64,
    /// What it is where nobody gives it.
    pub default: Option<i64>,
}

/// What an argument is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ArgKind {
    /// A whole number.
    #[default]
    Integer,
    /// A text.
    Text,
    /// Bytes in hex.
    Bytes,
    /// A list of rows, each with values of its own.
    Rows,
}

fn one() -> i64 {
    1
}
