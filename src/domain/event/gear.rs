//! What becomes of a lane's devices: where an arm is, an arm that is let down, a device that is away.

use serde::{Deserialize, Serialize};

use super::{CommandAnswer, CommandId, DeviceId, LaneId};

/// Where the arm was seen to be, by its own limit switches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArmPosition {
    /// At the upper limit.
    Up,
    /// At the lower limit.
    Down,
    /// Between the limits.
    Between,
}

/// Which of an arm's two limit switches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// Closed while the arm is up.
    Upper,
    /// Closed while the arm is down.
    Lower,
}

/// What a limit switch is; where the arm is follows from both of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwitchTold {
    /// Which lane's.
    pub lane: LaneId,
    /// Which of the two.
    pub limit: Limit,
    /// Whether the arm is at it.
    pub closed: bool,
}

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
