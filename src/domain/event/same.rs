//! Which statements of a camera are about one event.

use super::{PlateRead, UtcMs};

/// How long after its first statement a camera may still speak of the same event, in milliseconds. One that is started anew
/// may count from 1 again, and what it then says is of another vehicle.
pub const SAME_EVENT_MS: i64 = 10 * 60_000;

impl PlateRead {
    /// Whether it may be of an event that was first told of then: by the time that counts, or, for what was on its way for
    /// long, by what the camera says.
    pub fn is_of_event_of(&self, first: UtcMs) -> bool {
        let times = [Some(self.captured), self.told.clock];
        times.into_iter().flatten().any(|at| at.0.abs_diff(first.0) <= SAME_EVENT_MS.unsigned_abs())
    }
}
