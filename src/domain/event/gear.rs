//! What becomes of a lane's devices: an arm that is let down, a device that is away.

use serde::{Deserialize, Serialize};

use super::{CommandAnswer, CommandId, DeviceId, LaneId};

/// An arm is let down, or what came back for that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LowerStep {
    /// Which lane.
    pub lane: LaneId,
    /// The command.
    pub command: CommandId,
    /// What came back; none: it is commanded now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<CommandAnswer>,
}

/// A device is away, or there again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceChange {
    /// Which.
    pub device: DeviceId,
    /// Why it is away; none: it is there again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<String>,
}
