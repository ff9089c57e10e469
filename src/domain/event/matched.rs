//! An entry was chosen for a vehicle at an exit.

use serde::{Deserialize, Serialize};

use super::{LaneId, MatchedBy, StayId};
use crate::domain::matching::learning::Lesson;
use crate::domain::plate::Plate;

/// Which entry was chosen, and how certain that was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Matched {
    /// Which stay.
    pub stay: StayId,
    /// At which lane.
    pub lane: LaneId,
    /// By which lane it came in.
    pub entry_lane: LaneId,
    /// The plate as it was read here.
    pub read: Plate,
    /// How certain it was, in millionths.
    pub posterior_ppm: u32,
    /// How certain it was that the vehicle had no entry, in millionths.
    pub none_ppm: u32,
    /// Whether colour and kind of vehicle were told at both and are the same.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub second_factor: bool,
    /// Who decided.
    pub by: MatchedBy,
    /// What it teaches about the cameras of the two lanes, where it does.
    pub lesson: Option<Lesson>,
}
