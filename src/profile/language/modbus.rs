//! The words for relay and input boards that speak Modbus.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

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
    /// 2 (discrete inputs) or 1 (coils).
    #[schemars(with = "u8")]
    pub function: Spanned<u8>,
    /// The first input.
    pub address: u16,
    /// How many, 1 to 64.
    #[schemars(with = "u16")]
    pub count: Spanned<u16>,
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
