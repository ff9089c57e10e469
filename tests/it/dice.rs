//! What random stories begin with: numbers that are the same story for ever, a folder, and lanes.

mod generator;

use std::path::PathBuf;

use gatepost::domain::event::{DeviceId, LaneId};
use gatepost::domain::lane::{Direction, LaneSettings, Lanes, LoopRole, PassedBy};
pub use generator::Dice;

/// A folder in memory where there is one: these stories cut the power by forgetting, not by pulling a plug.
pub fn memory() -> PathBuf {
    let shared = PathBuf::from("/dev/shm");
    if shared.is_dir() { shared } else { std::env::temp_dir() }
}

/// Two lanes of each kind that a site may have.
pub fn lanes() -> Lanes {
    let lane = |direction, has_arrival_loop, passed_by| LaneSettings {
        has_arrival_loop,
        passed_by,
        ..LaneSettings::plain(direction)
    };
    let mut lanes = Lanes::from([
        (LaneId::from("in"), lane(Direction::Entry, true, PassedBy::PassageLoop)),
        (LaneId::from("in-2"), lane(Direction::Entry, true, PassedBy::Timeout)),
        (LaneId::from("in-bare"), lane(Direction::Entry, false, PassedBy::Camera)),
        (LaneId::from("out"), lane(Direction::Exit, true, PassedBy::PassageLoop)),
        (LaneId::from("out-2"), lane(Direction::Exit, true, PassedBy::Timeout)),
        (LaneId::from("out-bare"), lane(Direction::Exit, false, PassedBy::Camera)),
    ]);
    for (lane, settings) in &mut lanes {
        let device = |kind| DeviceId(format!("{kind}-{lane}"));
        settings.gear.camera = Some(device("camera"));
        settings.gear.loops = [LoopRole::Arrival, LoopRole::Passage].map(|role| (role, device("board"))).into();
    }
    lanes
}
