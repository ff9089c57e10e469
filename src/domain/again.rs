//! Whether a barrier is raised once more for a vehicle that was read again before it has passed.

use super::arm;
use super::decide::Work;
use super::event::{ArmPosition, CommandAnswer, PlateRead};
use super::lane::Raised;
use super::plate::told::End;

/// How long a raise of which nobody knows whether it worked counts as one that did, in milliseconds: a slow arm is up after
/// six seconds, and until its driver has noticed, the camera reads the plate again and again.
const UNCERTAIN_MS: u64 = 10_000;
/// An arm that was told to go up has left its lower limit switch by then, however slow it is.
const LEAVES_SWITCH_MS: u64 = 2_000;

/// Whether the arm need not have gone up for a vehicle that still stands before it. A rear camera reads one that drives off,
/// and a switch knows better than any answer.
pub(super) fn may_be_raised(work: &Work<'_>, read: &PlateRead, raised: &Raised) -> bool {
    let is_seen = !work.settings.gear.switches.iter().any(|device| work.lane.lost.contains(device));
    let arm = work.lane.arm.filter(|_| is_seen);
    // One that hangs is nobody's to raise before somebody has looked.
    if read.told.end == End::Rear || arm == Some(ArmPosition::Up) || arm::hangs(&work.lane) {
        return false;
    }
    if work.lane.limits.is_early {
        return true;
    }
    let has_been = |ms: u64| work.now.uptime_ms >= raised.since_ms + ms;
    let has_had_time = has_been(UNCERTAIN_MS);
    match raised.answer {
        Some(CommandAnswer::NotSent(_)) => true,
        Some(CommandAnswer::Refused(_) | CommandAnswer::Silent(_)) => {
            has_had_time || arm == Some(ArmPosition::Down) && has_been(LEAVES_SWITCH_MS)
        }
        Some(CommandAnswer::Unconfirmed(_)) => {
            let is_unseen = arm.is_none() && work.settings.gear.switches.is_empty();
            has_had_time && (is_unseen || arm == Some(ArmPosition::Down))
        }
        Some(CommandAnswer::Accepted) | None => false,
    }
}
