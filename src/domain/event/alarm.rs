//! What staff should look at, and how soon somebody must have answered.

use super::{LaneId, Record, StayId};

/// Codes of alarms that wait for nobody: a person may be in danger, or this journal may exist twice.
const WITHIN_1_H: [&str; 4] = ["emergency", "emergency_uncertain", "quarantined", "under_the_arm"];
/// Codes of what works badly at this moment: a lane, a device, the line to the ledger, a till whose requests are lost.
const WITHIN_2_H: [&str; 20] = [
    "arm_broken",
    "arm_down_early",
    "arm_not_seen_down",
    "arm_not_seen_up",
    "arm_stuck",
    "arm_up_unasked",
    "arrival_loop_silent",
    "cloud_refuses",
    "device_lost",
    "grant_unusable",
    "lane_rebuilt",
    "lease_lapsed",
    "limit_switches",
    "loops_swapped",
    "not_driving_on",
    "passage_without_raise",
    "raise_not_sent",
    "raise_uncertain",
    "stuck_loop",
    "till_numbers_missing",
];
/// How long everything else may wait: until the day's books are looked at.
const OTHERWISE_H: u8 = 24;

/// Within how many hours an alarm of this code must be answered: 1, 2 or 24.
pub fn answer_within_h(code: &str) -> u8 {
    if WITHIN_1_H.contains(&code) {
        1
    } else if WITHIN_2_H.contains(&code) {
        2
    } else {
        OTHERWISE_H
    }
}

impl Record {
    /// Something that staff should look at, with the time in which they must answer.
    pub fn alarm(code: &str, text: String, lane: Option<LaneId>, stay: Option<StayId>) -> Self {
        Record::AlarmRaised { code: code.to_owned(), text, lane, stay, within_h: answer_within_h(code) }
    }
}
