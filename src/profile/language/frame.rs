//! The words for bytes on a wire: what a frame is made of, from its first byte to its check.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use super::{Ack, Arg, Condition, Guard, Head, Message, Param, Retry};

/// A profile for a device that speaks in frames on a serial line, or through another device's tunnel.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SerialWords {
    /// The head.
    pub profile: Head,
    /// What the settings must or may say for each device.
    #[serde(default)]
    pub params: BTreeMap<String, Param>,
    /// How every frame is built.
    pub frame: FrameWords,
    /// What the device says by itself or when it is asked. The first message that fits is taken.
    #[serde(default, rename = "message")]
    pub messages: Vec<Message>,
    /// What is asked again and again.
    #[serde(default, rename = "poll")]
    pub polls: Vec<SerialPoll>,
    /// What the device can be told.
    #[serde(default, rename = "command")]
    pub commands: Vec<SerialCommand>,
}

/// `[frame]`: how every frame is built, in both directions.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FrameWords {
    /// Bytes before every frame that stand nowhere else, in hex.
    #[serde(default)]
    pub start: Option<Hex>,
    /// Bytes after every frame that stand nowhere else, in hex.
    #[serde(default)]
    pub end: Option<Hex>,
    /// How start, end and the escape byte itself are hidden within a frame.
    #[serde(default)]
    pub escape: Option<Escape>,
    /// A pause of so many milliseconds within a frame ends it, or makes a part of a frame void.
    #[schemars(with = "u64")]
    pub gap_ms: Spanned<u64>,
    /// The longest frame in bytes, without start, end and escapes; 4096 where it is not given.
    #[serde(default = "frame_bytes_max")]
    #[schemars(with = "usize")]
    pub bytes_max: Spanned<usize>,
    /// The parts of a frame in order. A part named `data` holds what a command or message lays out.
    #[schemars(with = "Vec<Part>")]
    pub parts: Vec<Spanned<Part>>,
}

fn frame_bytes_max() -> Spanned<usize> {
    Spanned::new(0..0, 4096)
}

/// How reserved bytes are hidden within a frame: the escape byte, then the hidden byte xor a mask, or another byte in its
/// place.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Escape {
    /// The escape byte.
    pub byte: u8,
    /// What the hidden byte is combined with.
    pub xor: Option<u8>,
    /// Beside `xor`: which bytes are hidden besides the escape byte.
    #[serde(default)]
    pub hides: Hex,
    /// Instead of `xor`: each hidden byte, the escape byte among them, and what stands for it, both in hex; nothing else
    /// may follow the escape byte.
    #[serde(default)]
    pub swaps: BTreeMap<String, Hex>,
}

/// One part of a frame or of its data. Exactly one of `always`, `reserved`, `number`, `text`, `bytes_of`, `counts`,
/// `count_of`, `each` and `check` says what it is; a part that has only a name and a width is a number.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Its name: what conditions, fields, `counts` and `check` call it.
    pub name: Option<String>,
    /// Its width in bytes; numbers have 1 to 8, a reserved part any.
    pub bytes: Option<usize>,
    /// Which byte of a number comes first; `high-first` where it is not given.
    #[serde(default)]
    pub order: Order,
    /// How a number, a length or a check is written: as bytes where it is not given, else as digits that a person can
    /// read, one a byte.
    #[serde(default)]
    pub digits: Digits,
    /// These bytes, in hex; anything else is no frame of this kind.
    pub always: Option<Hex>,
    /// Written as zeros, read as anything.
    #[serde(default)]
    pub reserved: bool,
    /// A number: the argument or parameter of this name. Reading gives it the part's name, or this one.
    pub number: Option<String>,
    /// What a number is where nobody gives it.
    pub default: Option<i64>,
    /// The number on the wire is `base + value * times / divided_by`.
    #[serde(default)]
    pub base: i64,
    /// See `base`.
    #[serde(default = "one")]
    pub times: i64,
    /// See `base`.
    #[serde(default = "one")]
    pub divided_by: i64,
    /// A text: the argument or parameter of this name.
    pub text: Option<String>,
    /// How a text is written; `gbk` where it is not given.
    #[serde(default)]
    pub charset: Charset,
    /// What follows a text and ends it, in hex.
    pub ends: Option<Hex>,
    /// The most bytes that a text or `bytes_of` may have.
    pub max: Option<usize>,
    /// Plain bytes: the argument of this name, in hex.
    pub bytes_of: Option<String>,
    /// The length in bytes of one part, or of all from the first named to the second.
    #[serde(default)]
    pub counts: Vec<String>,
    /// Added to what `counts` and `count_of` count.
    #[serde(default)]
    pub add: i64,
    /// How many rows the `each` part of this name has.
    pub count_of: Option<String>,
    /// Rows: the argument of this name is a list, and `parts` lays out each of them.
    pub each: Option<String>,
    /// See `each`.
    #[serde(default)]
    pub parts: Vec<Part>,
    /// What stands between two rows, in hex.
    pub between: Option<Hex>,
    /// A check over the parts named in `over`.
    pub check: Option<CheckName>,
    /// A check that has no name here.
    pub crc: Option<Crc>,
    /// The first and the last part that the check covers.
    #[serde(default)]
    pub over: Vec<String>,
    /// The check covers the bytes that these parts' hex digits stand for, not the digits as they go over the wire.
    #[serde(default)]
    pub over_hex: bool,
}

fn one() -> i64 {
    1
}

/// Which byte of a number comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// The highest.
    #[default]
    HighFirst,
    /// The lowest.
    LowFirst,
}

/// How a number is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Digits {
    /// As bytes.
    #[default]
    None,
    /// As hex digits with capital letters, the highest first.
    Hex,
    /// As hex digits with small letters, the highest first.
    HexSmall,
    /// As decimal digits, the highest first.
    Decimal,
}

/// How a text is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Charset {
    /// GBK; what it cannot write is refused.
    #[default]
    Gbk,
    /// ASCII only.
    Ascii,
    /// UTF-8.
    Utf8,
}

/// Checks that have a name. The catalogue of parametrised CRC algorithms (reveng.sourceforge.io) describes each CRC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CheckName {
    /// CRC-16/MODBUS: polynomial 8005 reflected, start FFFF.
    Crc16Modbus,
    /// CRC-16/ARC: polynomial 8005 reflected, start 0.
    Crc16Arc,
    /// CRC-16/XMODEM: polynomial 1021, start 0.
    Crc16Xmodem,
    /// CRC-16/CCITT-FALSE: polynomial 1021, start FFFF.
    Crc16Ccitt,
    /// CRC-16/SPI-FUJITSU: polynomial 1021, start 1D0F, as OSDP uses it.
    #[serde(rename = "crc16-1d0f")]
    Crc16Start1d0f,
    /// CRC-16/X-25: polynomial 1021 reflected, start and end FFFF.
    Crc16X25,
    /// CRC-16/KERMIT: polynomial 1021 reflected, start 0.
    Crc16Kermit,
    /// CRC-8: polynomial 07, start 0.
    Crc8,
    /// CRC-32 as in Ethernet and zip.
    Crc32,
    /// The sum of the bytes.
    Sum,
    /// The two's complement of the sum of the bytes, so that all add up to 0.
    SumToZero,
    /// All bytes combined by exclusive or.
    Xor,
}

/// A CRC by its parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Crc {
    /// 8, 16 or 32 bits.
    pub width: u32,
    /// The polynomial, not reflected.
    pub polynomial: u64,
    /// The value before the first byte.
    #[serde(default)]
    pub start: u64,
    /// Whether bits go in and out lowest first.
    #[serde(default)]
    pub reflected: bool,
    /// What the result is combined with.
    #[serde(default)]
    pub xor_out: u64,
}

/// Bytes as a profile writes them: hex digits in pairs, blanks between them as one likes.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[schemars(with = "String")]
pub struct Hex(pub Vec<u8>);

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        super::super::bytes(&text).map(Self).map_err(serde::de::Error::custom)
    }
}

/// `[[poll]]` of a serial device: a command that is sent again and again.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SerialPoll {
    /// Which of the profile's commands.
    #[schemars(with = "String")]
    pub command: Spanned<String>,
    /// Milliseconds between two of them.
    #[schemars(with = "u64")]
    pub every_ms: Spanned<u64>,
}

/// `[[command]]` of a device that speaks in frames.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SerialCommand {
    /// One of the house's commands, or any name with `service = true`.
    #[schemars(with = "String")]
    pub name: Spanned<String>,
    /// A command for an installer's hands, not for the house.
    #[serde(default)]
    pub service: bool,
    /// Where the installation chooses: the command is this one where the choice parameter has this word. The others of
    /// its name are for the parameter's other words.
    #[serde(default)]
    pub only_if: BTreeMap<String, String>,
    /// How much the answer proves.
    pub ack: Ack,
    /// Whether it is ever repeated.
    #[serde(default)]
    pub retry: Retry,
    /// When it must not be sent.
    #[serde(default)]
    pub guard: Option<Guard>,
    /// What it takes.
    #[serde(default)]
    pub args: BTreeMap<String, Arg>,
    /// The numbers of the frame's own parts.
    #[serde(default)]
    pub set: BTreeMap<String, i64>,
    /// The frame's `data` part.
    #[serde(default)]
    pub data: Vec<Part>,
    /// The device's answer; absent where there is none.
    #[serde(default)]
    pub reply: Option<SerialReply>,
}

/// The answer to a command on a serial line: the next frame that fits while the command waits.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SerialReply {
    /// There is an answer only where these choice parameters have these words.
    #[serde(default)]
    pub only_if: BTreeMap<String, String>,
    /// What makes a frame the answer.
    pub when: Vec<Condition>,
    /// How its `data` part is laid out.
    #[serde(default)]
    pub data: Vec<Part>,
    /// What says that the device took the command; absent where the answer itself says it.
    #[serde(default)]
    pub success: Option<Condition>,
    /// Milliseconds after which the outcome counts as unknown.
    #[schemars(with = "u64")]
    pub timeout_ms: Spanned<u64>,
}
