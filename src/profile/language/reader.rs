//! The words for card readers: bits on two wires (Wiegand), and readers on an OSDP bus.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use super::{Head, Param};

/// A profile for a reader with two data wires.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WiegandWords {
    /// The head.
    pub profile: Head,
    /// What the settings must or may say for each device.
    #[serde(default)]
    pub params: BTreeMap<String, Param>,
    /// A pause of so many milliseconds ends a card.
    #[schemars(with = "u64")]
    pub gap_ms: Spanned<u64>,
    /// The formats, told apart by their number of bits.
    #[serde(rename = "card")]
    #[schemars(with = "Vec<CardFormat>")]
    pub cards: Vec<Spanned<CardFormat>>,
}

/// A profile for a reader on an OSDP bus. The packets are those of the standard; a profile says which of them it speaks.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OsdpWords {
    /// The head.
    pub profile: Head,
    /// What the settings must or may say for each device; `address` is the reader's address on the bus.
    #[serde(default)]
    pub params: BTreeMap<String, Param>,
    /// How packets end.
    pub check: OsdpCheck,
    /// Milliseconds between two polls.
    #[schemars(with = "u64")]
    pub every_ms: Spanned<u64>,
    /// Milliseconds within which the reader answers.
    #[schemars(with = "u64")]
    pub reply_timeout_ms: Spanned<u64>,
    /// The formats of raw card data, told apart by their number of bits.
    #[serde(rename = "card")]
    #[schemars(with = "Vec<CardFormat>")]
    pub cards: Vec<Spanned<CardFormat>>,
}

/// How an OSDP packet ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OsdpCheck {
    /// A CRC of two bytes.
    Crc,
    /// One byte that makes the sum zero.
    Checksum,
}

/// `[[card]]`: one format. Bits are counted from 0 in the order in which they arrive.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CardFormat {
    /// Its name.
    pub name: String,
    /// How many bits it has.
    pub bits: usize,
    /// Its parity bits.
    #[serde(default)]
    pub parity: Vec<Parity>,
    /// First and last bit of the facility code, highest first.
    pub facility: Option<[usize; 2]>,
    /// First and last bit of the card number, highest first.
    pub number: [usize; 2],
}

/// One parity bit of a card.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parity {
    /// The parity bit.
    pub at: usize,
    /// First and last bit that it covers besides itself.
    pub over: [usize; 2],
    /// Whether the ones, itself among them, are even or odd in number.
    pub is: EvenOdd,
}

/// Even or odd.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EvenOdd {
    /// An even number of ones.
    Even,
    /// An odd number of ones.
    Odd,
}
