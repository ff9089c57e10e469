//! What somebody else reads in a camera's picture: said of the vehicle in that picture, whatever stands in the lane by now.

use super::arrival::{read_in_idle_lane, take, withdraw};
use super::decide::Work;
use super::ends;
use super::event::{Action, ArrivalRead, Input, PlateRead, ReadOutcome};
use super::lane::{Direction, Phase, Waiting};
use super::matching::are_alike;
use super::matching::errors::Sureness;
use super::plate::Plate;
use super::plate::told::Told;
use super::{arrival, reread, whose};

impl PlateRead {
    /// The camera's event that it is about: its own, or that of the picture in which somebody else read it.
    pub fn of_event(&self) -> &str {
        self.told.picture_of.as_deref().unwrap_or(&self.event)
    }
}

/// A second look at a picture. It moves nobody but the vehicle of that picture, and that one only while it waits.
pub(super) fn looked(work: &mut Work<'_>, read: &PlateRead) {
    if work.facts.read_before.is_some() {
        return;
    }
    if work.lane.emergency.is_some() {
        return take(work, read, ReadOutcome::Emergency);
    }
    if stands_behind(work, read) {
        return take(work, read, ReadOutcome::Queued);
    }
    if work.lane.phase == Phase::Idle && !read.earlier.is_empty() {
        // It was withdrawn for this very read, to be decided by all that was read of it.
        return read_in_idle_lane(work, read);
    }
    match work.lane.phase.clone() {
        Phase::Waiting(waiting) if work.lane.is_same_arrival(read) => looked_at_a_waiting_one(work, read, &waiting),
        Phase::Raised(_) if work.lane.is_same_arrival(read) => {
            let visit = work.lane.visit();
            if visit.is_some_and(|visit| leaves_room(said_in(&visit.reads), read)) {
                reread::better_known(work, read);
            }
            take(work, read, ReadOutcome::SameVehicle);
        }
        // Its vehicle has gone.
        Phase::Idle | Phase::Waiting(_) | Phase::Raised(_) => take(work, read, ReadOutcome::SameVehicle),
    }
}

/// A camera's statement of the vehicle that is being served: its pictures are that vehicle's, too. Nothing is remembered
/// where one camera has said all that there is, and nobody else looks at its pictures.
pub(super) fn remember(work: &mut Work<'_>, read: &PlateRead) {
    let gear = &work.settings.gear;
    if gear.second_reader.is_none() && gear.rear_camera.is_none() {
        return;
    }
    match &mut work.lane.phase {
        Phase::Idle => {}
        Phase::Waiting(waiting) => waiting.visit.is_also(&read.event),
        Phase::Raised(raised) => {
            if let Some(visit) = &mut raised.visit {
                visit.is_also(&read.event);
            }
        }
    }
}

/// A vehicle behind another is served, when its turn comes, by all that was read of it.
fn stands_behind(work: &mut Work<'_>, read: &PlateRead) -> bool {
    let of = read.of_event().to_owned();
    let Some(next) = work.lane.next.as_mut().filter(|next| next.event == of) else { return false };
    if leaves_room(next.plate.iter().map(|plate| (plate, &next.told)), read) {
        next.earlier = PlateRead { earlier: next.earlier.clone(), ..read.clone() }.all_reads();
    }
    true
}

fn looked_at_a_waiting_one(work: &mut Work<'_>, read: &PlateRead, waiting: &Waiting) {
    if !may_decide(work, read, waiting) {
        if let Phase::Waiting(waiting) = &mut work.lane.phase
            && leaves_room(said_in(&waiting.visit.reads), read)
        {
            waiting.visit.keep(read);
        }
        return take(work, read, ReadOutcome::SameVehicle);
    }
    let read = PlateRead { earlier: waiting.visit.reads.clone(), ..read.clone() };
    withdraw(work, "its picture was read better");
    if waiting.visit.reads.is_empty() {
        // Looked up as a new vehicle already, because nothing was known of it.
        return read_in_idle_lane(work, &read);
    }
    work.actions.push(Action::Then(Box::new(Input::PlateRead(read))));
}

/// Whether a waiting vehicle is to be decided again: it had no plate, or all that was read of it now says another one.
///
/// Not where a person has said who it is. And a plate quite unlike the camera's is another vehicle's that stands in the
/// picture, just as one that has just passed.
fn may_decide(work: &Work<'_>, read: &PlateRead, waiting: &Waiting) -> bool {
    let visit = &waiting.visit;
    if whose::is_still_the_last_vehicle(work, read) || ends::is_outvoted(work, read, waiting) {
        return false;
    }
    if visit.reads.is_empty() {
        return read.plate.is_some() && visit.stay.is_none() && visit.plate.is_none();
    }
    let is_said_by_a_person = visit.stay.is_some() && visit.matched_ppm.is_none();
    if is_said_by_a_person && work.settings.direction == Direction::Exit {
        return false;
    }
    let says_other = work.facts.read_as.as_ref().is_some_and(|all| visit.plate.as_ref() != Some(all));
    leaves_room(said_in(&visit.reads), read) && (says_other || arrival::may_go_on(work, read, waiting))
}

/// Whether what was read in the picture may count beside what cameras said of the vehicle: where one of them says the same, or
/// leaves room for it, because it was unsure of every sign that differs, or held the other text possible itself. One that is
/// sure, or says nothing of its signs, is not outvoted by a reader of whom no more is known.
fn leaves_room<'r>(mut said: impl Iterator<Item = (&'r Plate, &'r Told)>, read: &PlateRead) -> bool {
    let Some(plate) = &read.plate else { return false };
    said.any(|(before, told)| before == plate || are_alike(before, plate) && is_doubted(before, told, plate))
}

fn said_in(reads: &[ArrivalRead]) -> impl Iterator<Item = (&Plate, &Told)> {
    reads.iter().map(|read| (&read.plate, &read.told))
}

fn is_doubted(said: &Plate, told: &Told, other: &Plate) -> bool {
    let is_unsure = |confidence: &u8| Sureness::of_bp(u16::from(*confidence) * 100) == Sureness::Unsure;
    let (said, meant): (Vec<char>, Vec<char>) = (said.as_str().chars().collect(), other.as_str().chars().collect());
    let fits = said.len() == meant.len() && said.len() == told.char_confidence.len();
    let mut differing = said.iter().zip(&meant).zip(&told.char_confidence).filter(|((said, meant), _)| said != meant);
    fits && differing.all(|(_, confidence)| is_unsure(confidence))
        || told.candidates.iter().any(|held| held.plate == *other)
}
