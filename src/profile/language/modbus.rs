//! The words for relay and input boards that speak Modbus.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use super::frame::Order;
use super::{Ack, Arg, Guard, Head, Param, Retry, one};

/// A profile for a board on a serial bus.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModbusWords {
    /// The head.
    pub profile: Head,
    /// What the settings must or may say for each device; `address` is the board's address on the bus.
    #[serde(default)]
    pub params: BTreeMap<String, Param>,
    /// Milliseconds within which the board answers a frame.
    #[schemars(with = "u64")]
    pub reply_timeout_ms: Spanned<u64>,
    /// What is read again and again.
    #[serde(default, rename = "poll")]
    pub polls: Vec<Poll>,
    /// What the board can be told.
    #[serde(default, rename = "command")]
    pub commands: Vec<ModbusCommand>,
}

/// `[[poll]]`: inputs that are read again and again.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Poll {
    /// 2 (discrete inputs), 1 (coils), 3 (holding registers) or 4 (input registers).
    #[schemars(with = "u8")]
    pub function: Spanned<u8>,
    /// Where the first one stands.
    pub address: u16,
    /// How many inputs, 1 to 64.
    #[schemars(with = "u16")]
    pub count: Spanned<u16>,
    /// 3 and 4: how many inputs a register holds, the first in its lowest bit, 2 to 16; where it is not given, each has
    /// a register of its own, in which anything but 0 is on.
    #[schemars(with = "Option<u16>")]
    pub bits: Option<Spanned<u16>>,
    /// 3 and 4: which byte of a register comes first; `high-first` where it is not given.
    #[serde(default)]
    pub order: Order,
    /// The first input's number; its address where it is not given.
    pub first: Option<u16>,
    /// Set for what is no input, such as a board's own outputs: that it answers shows that it is there, and what it
    /// answers is told to nobody.
    #[serde(default)]
    pub untold: bool,
    /// Milliseconds between two reads.
    #[schemars(with = "u64")]
    pub every_ms: Spanned<u64>,
}

/// `[[command]]` of a board on a serial bus.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModbusCommand {
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
    /// Whether it is ever repeated.
    #[serde(default)]
    pub retry: Retry,
    /// When it must not be sent.
    pub guard: Option<Guard>,
    /// How much the echo proves.
    pub ack: Ack,
    /// What it takes.
    #[serde(default)]
    pub args: BTreeMap<String, Arg>,
    /// 5 or 6 (one value), 15 (outputs) or 16 (registers).
    #[schemars(with = "u8")]
    pub function: Spanned<u8>,
    /// Where it is written.
    #[schemars(with = "Number")]
    pub address: Spanned<Number>,
    /// What is written: one number for 5 and 6, one or more for 16.
    #[schemars(with = "Vec<Number>")]
    pub values: Spanned<Vec<Number>>,
}

/// A number of a frame: fixed, or made from an argument as `base + argument * times / divided_by`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
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
