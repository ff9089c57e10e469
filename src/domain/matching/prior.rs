//! How many of the vehicles at an exit have no entry: estimated from the lane, and rather too high than too low.

use serde::{Deserialize, Serialize};

use super::answer::{CERTAIN_PPM, Ppm};

/// What is believed before anything was seen: two in a hundred, worth as many exits as stated.
const BELIEVED_PPM: u64 = 20_000;
const BELIEVED_EXITS: u64 = 200;
/// Exits after which older ones count half: a lane's habits change within weeks.
const MEMORY_EXITS: u64 = 4_096;
/// Added to the estimate, because too low a guess closes wrong stays and too high a one only asks a guard.
const MARGIN_PER_CENT: u64 = 125;
/// The bounds of the estimate, in millionths.
const BOUNDS: std::ops::RangeInclusive<u64> = 5_000..=300_000;
/// After an outage: how many of the next exits are believed to have no entry, and how firmly.
const OUTAGE_PPM: u64 = 100_000;
const OUTAGE_EXITS: u64 = 200;

/// What a lane has shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoEntry {
    /// Exits seen, old ones counting less.
    exits: u64,
    /// The sum of how certain it was that they had none, in millionths.
    without_ppm: u64,
}

impl NoEntry {
    /// Counts an exit and how certain it was in the end that it had no entry.
    pub fn saw(&mut self, none_ppm: Ppm) {
        if self.exits >= MEMORY_EXITS {
            (self.exits, self.without_ppm) = (self.exits / 2, self.without_ppm / 2);
        }
        self.exits += 1;
        self.without_ppm += u64::from(none_ppm.min(CERTAIN_PPM));
    }

    /// The box did not hear the entries for a while: vehicles came in that it does not know.
    pub fn after_outage(&mut self) {
        self.exits = self.exits.min(OUTAGE_EXITS) + OUTAGE_EXITS;
        self.without_ppm = self.without_ppm.min(self.exits * BELIEVED_PPM) + OUTAGE_EXITS * 2 * OUTAGE_PPM;
    }

    /// What to believe of the next one, in millionths.
    pub fn expected_ppm(&self) -> Ppm {
        let share = (self.without_ppm + BELIEVED_PPM * BELIEVED_EXITS) / (self.exits + BELIEVED_EXITS);
        let bounded = (share * MARGIN_PER_CENT / 100).clamp(*BOUNDS.start(), *BOUNDS.end());
        Ppm::try_from(bounded).expect("the upper bound fits")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_shows_its_share_and_the_guess_stays_above_it() {
        for (every, low, high) in [(100, 10_000, 16_000), (20, 50_000, 66_000), (2, 300_000, 300_000)] {
            let mut lane = NoEntry::default();
            (0..10_000).for_each(|n| lane.saw(if n % every == 0 { CERTAIN_PPM } else { 0 }));
            let expected = lane.expected_ppm();
            assert!((low..=high).contains(&expected), "one in {every}: {expected}");
        }
        let mut lane = NoEntry::default();
        (0..100_000).for_each(|_| lane.saw(0));
        assert_eq!(lane.expected_ppm(), 5_000, "never below the bound");
        assert_eq!(NoEntry::default().expected_ppm(), 25_000);
    }

    #[test]
    fn an_outage_raises_it_and_exits_calm_it() {
        let mut lane = NoEntry::default();
        (0..5_000).for_each(|_| lane.saw(0));
        lane.after_outage();
        assert!(lane.expected_ppm() >= 80_000, "{}", lane.expected_ppm());
        (0..3_000).for_each(|_| lane.saw(0));
        assert!(lane.expected_ppm() < 20_000, "{}", lane.expected_ppm());
    }
}
