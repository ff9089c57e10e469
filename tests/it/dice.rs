//! What random stories begin with: numbers that are the same story for ever, a folder, and lanes.

use std::path::PathBuf;

use gatepost::domain::event::{DeviceId, LaneId};
use gatepost::domain::lane::{Direction, LaneSettings, Lanes, LoopRole, PassedBy};

/// A small generator of numbers, so that a seed is the same story for ever (SplitMix64).
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.below(from.len() as u64)).unwrap()].clone()
    }
}

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
