//! The only reader of the system's clocks.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde::Deserialize;

use crate::domain::event::{Now, UtcMs};

/// Before this moment no box was ever sold: a clock that shows less has lost its battery (2026-01-01T00:00:00Z).
const FLOOR: UtcMs = UtcMs(1_767_225_600_000);

/// The clocks of this process.
#[derive(Clone, Debug)]
pub struct Clock {
    started: Instant,
    simulated: Option<SimulatedTime>,
}

/// Civil time that runs faster than the world's, for the demo and for testers: at `anchor_ms` of real time it shows
/// `start_ms`, and from there it runs `speed` times as fast. Deadlines at the lanes stay in real time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SimulatedTime {
    /// A moment of real time, in milliseconds since 1970.
    pub anchor_ms: i64,
    /// What the clock shows then, in milliseconds since 1970.
    pub start_ms: i64,
    /// How many times as fast it runs, 1 to 10 000.
    pub speed: i64,
}

impl Clock {
    /// The system's clocks, with civil time as `simulated` says, if anything.
    pub fn new(simulated: Option<SimulatedTime>) -> Self {
        Self { started: Instant::now(), simulated }
    }

    /// Both clocks, read now.
    pub fn now(&self) -> Now {
        let uptime_ms = self.started.elapsed().as_millis().try_into().unwrap_or(u64::MAX);
        let utc = self.utc();
        Now { uptime_ms, utc, trusted: utc >= FLOOR }
    }

    /// Civil time.
    pub fn utc(&self) -> UtcMs {
        let real = real_utc_ms();
        UtcMs(self.simulated.map_or(real, |time| time.start_ms + (real - time.anchor_ms) * time.speed))
    }
}

#[allow(clippy::disallowed_methods, reason = "this is the one place that may")]
fn real_utc_ms() -> i64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => since.as_millis().try_into().unwrap_or(i64::MAX),
        // A clock before 1970 is no clock; the floor makes it untrusted.
        Err(_) => 0,
    }
}
