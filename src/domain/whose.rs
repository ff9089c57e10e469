//! Whose read it is: news or a repeat; said of the vehicle before the arm, of the last one that drives off, or of another.

use super::decide::Work;
use super::ends;
use super::event::{PlateRead, ReadOutcome};
use super::lane::{Phase, Visit};
use super::matching::are_alike;
use super::plate::told::Stage;

/// How long before the end of a passage a late read of the same vehicle may have been taken.
const LATE_READ_MS: i64 = 600_000;

/// A known event is news only where it waited behind another vehicle, where it seemed to drive away, or where the camera's
/// full result corrects the quick one before anything was decided for good.
pub(super) fn read_is_news(work: &Work<'_>, read: &PlateRead, before: ReadOutcome) -> bool {
    if stands_nowhere(read) {
        return false;
    }
    // Written down only, because it was old; now it is said of a vehicle that is there.
    let is_there_now = before == ReadOutcome::StoredOffline && !read.stored_offline;
    if before == ReadOutcome::DrivesAway || is_there_now {
        return true;
    }
    // The event had no plate beside a vehicle that was served: whose it is, is only told by the plate.
    let is_first_plate =
        before == ReadOutcome::SameVehicle && work.facts.plate_before.is_none() && read.plate.is_some();
    match &work.lane.phase {
        Phase::Idle => {
            let stands_there = work.lane.arrival && work.sees_arrivals();
            before == ReadOutcome::Queued || !read.earlier.is_empty() || is_first_plate && stands_there
        }
        Phase::Waiting(waiting) => {
            let is_another = is_first_plate && waiting.visit.plate.is_none() && read.captured >= waiting.visit.captured;
            (waiting.visit.event == read.event || is_another)
                && read.plate.is_some()
                && read.plate != waiting.visit.plate
        }
        Phase::Raised(_) => is_first_plate,
    }
}

/// A camera says it when it has not seen the vehicle for some time: none need stand there now.
pub(super) fn is_last_word(read: &PlateRead) -> bool {
    read.told.stage == Stage::Last
}

/// Whether no vehicle need stand before the arm for what a camera says.
pub(super) fn stands_nowhere(read: &PlateRead) -> bool {
    is_last_word(read) || read.told.drives_away
}

/// Whether a camera now gives another plate to an event that is known, however late. A quick result corrects nothing: it
/// is a repeat that comes after its full one.
pub(super) fn is_correction(work: &Work<'_>, read: &PlateRead) -> bool {
    read.plate.is_some() && read.told.stage != Stage::Quick && read.plate != work.facts.plate_before
}

/// A camera often reads a vehicle again while it drives off, and then often a little otherwise. Nobody stands where it
/// stood while the arrival loop is clear.
pub(super) fn is_still_the_last_vehicle(work: &Work<'_>, read: &PlateRead) -> bool {
    let window = work.settings.same_vehicle_ms;
    work.lane.last.as_ref().is_some_and(|last| {
        let since = read.captured.0.saturating_sub(last.at.0);
        let is_left_alone = work.sees_arrivals() && !work.lane.arrival;
        let is_alike = || read.plate.as_ref().is_some_and(|plate| last.plates().any(|other| are_alike(other, plate)));
        let is_it = read.plate.as_ref() == Some(&last.plate)
            || ends::may_be_the_last(last, read)
            || is_left_alone && is_alike();
        // A vehicle that was done in the far future was done before the clock was put right.
        is_it && since <= window && since >= -LATE_READ_MS
    })
}

/// Whether a camera's statement may be about this vehicle: of its event, or with a plate that hardly differs from its own.
pub(super) fn is_alike_to(visit: &Visit, read: &PlateRead) -> bool {
    let own = visit.reads.iter().map(|before| &before.plate).chain(&visit.plate);
    let mut alike = own.filter(|own| read.plate.as_ref().is_some_and(|plate| are_alike(own, plate)));
    visit.is_of(&read.event) || alike.next().is_some()
}

/// Whether the last vehicle may still be in the camera's picture.
pub(super) fn has_just_passed(work: &Work<'_>) -> bool {
    let since = work.lane.last.as_ref().map(|last| work.now.utc.0.saturating_sub(last.at.0));
    since.is_some_and(|since| (0..=work.settings.same_vehicle_ms).contains(&since))
}
