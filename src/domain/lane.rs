//! The lane: from a vehicle's arrival to the moment it has passed, and every way in which that goes wrong.

use serde::{Deserialize, Serialize};

/// What a loop detector is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoopRole {
    /// Under the camera, before the arm.
    Arrival,
    /// Beyond the arm.
    Passage,
}

/// Which way a lane leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Into the car park.
    Entry,
    /// Out of it.
    Exit,
}

/// A lane's whole state; it survives a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lane {}
