//! A card that was shown at a lane's reader.

use serde::{Deserialize, Serialize};

use super::{DeviceId, LaneId, MemberId, UtcMs};

/// A card as its reader tells it: the facility code where the card has one, a hyphen, the card's own number. Where a member
/// has this as a code, the card is that member's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CardNumber(String);

impl CardNumber {
    /// From the two numbers.
    pub fn new(facility: Option<u64>, number: u64) -> Self {
        Self(facility.map_or_else(|| number.to_string(), |facility| format!("{facility}-{number}")))
    }

    /// As a code.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One card at one lane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownCard {
    /// Which lane.
    pub lane: LaneId,
    /// The reader.
    pub device: DeviceId,
    /// The card.
    pub card: CardNumber,
    /// Whose it is, where a member has it as a code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<MemberId>,
    /// When.
    pub at: UtcMs,
}
