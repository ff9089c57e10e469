//! A lane with two cameras: what the one says of a vehicle that the other has read is said of the same vehicle.

use super::decide::Work;
use super::event::PlateRead;
use super::lane::{Served, Visit, Waiting};
use super::matching::are_alike;
use super::plate::told::End;

/// What is remembered of a vehicle that has passed: its plate, and in a lane that sees both ends, from which it was not
/// read, and as what else it was.
pub(super) fn served(work: &Work<'_>, visit: &Visit) -> Option<Served> {
    let has_both = work.settings.gear.rear_camera.is_some();
    let plate = visit.plate.clone()?;
    let unread = [End::Front, End::Rear].into_iter().find(|end| has_both && visit.is_unread_from(*end));
    let also = visit.reads.iter().map(|read| &read.plate).filter(|other| has_both && **other != plate).cloned();
    Some(Served { also: also.collect(), plate, at: work.now.utc, unread })
}

/// Whether the last vehicle, driving off, may be what a camera has now read: as one of them did before, or, by the camera
/// that had not read it, a little otherwise or not at all.
pub(super) fn may_be_the_last(last: &Served, read: &PlateRead) -> bool {
    let is_said_again = read.plate.as_ref().is_some_and(|plate| last.also.contains(plate));
    let is_alike = || read.plate.as_ref().is_none_or(|plate| are_alike(&last.plate, plate));
    is_said_again || last.unread == Some(read.told.end) && is_alike()
}

/// That camera has had its say: what it reads next is another vehicle.
pub(super) fn has_read_the_last(work: &mut Work<'_>, read: &PlateRead) {
    if let Some(last) = &mut work.lane.last
        && last.unread == Some(read.told.end)
    {
        last.unread = None;
    }
}

/// Whether a vehicle whose stay is known was now read quite differently by the other camera: a dirty plate, or that of a
/// trailer. A camera that alone is left counts as it says, because the vehicle may be another one.
pub(super) fn is_outvoted(work: &Work<'_>, read: &PlateRead, waiting: &Waiting) -> bool {
    let visit = &waiting.visit;
    let gear = &work.settings.gear;
    let first = match read.told.end {
        End::Front => &gear.rear_camera,
        End::Rear => &gear.camera,
    };
    let is_there = first.as_ref().is_some_and(|device| !work.lane.lost.contains(device));
    let is_alike = |plate| visit.reads.iter().any(|before| are_alike(&before.plate, plate));
    visit.stay.is_some()
        && visit.is_unread_from(read.told.end)
        && is_there
        && !read.plate.as_ref().is_some_and(is_alike)
}
