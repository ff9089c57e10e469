//! A vehicle that follows another through one raise: evidence always, a stay of its own at an entry, a debt at an exit.

use super::admission::table::Escaped;
use super::decide::{StayFacts, Work};
use super::entry::Begun;
use super::event::{Action, Evidence, Input, PlateRead, ReadOutcome, Record, StayId, UtcMs};
use super::lane::{Direction, Phase, Waiting};
use super::plate::Plate;
use super::reread::entry_read;
use super::stay::{EntryRead, StayState};
use super::{arrival, dues, ends, entry, passage};

/// The camera or the barrier says that a second vehicle followed. Which one it was is known where its plate was read.
pub(super) fn told(work: &mut Work<'_>) {
    match work.lane.phase.clone() {
        Phase::Raised(_) | Phase::Idle => match work.lane.next.take().or_else(|| work.lane.behind.take()) {
            Some(read) => work.actions.push(Action::Then(Box::new(Input::VehicleFollowed(read)))),
            None => seen(work, None, None, Evidence::Camera),
        },
        // It stands there yet, so it was another one that nobody has read.
        Phase::Waiting(_) if work.lane.arrival => seen(work, None, None, Evidence::Camera),
        Phase::Waiting(waiting) => waiting_one_followed(work, &waiting, Evidence::Camera),
    }
}

/// The vehicle whose plate was read behind another's has followed it.
pub(super) fn followed(work: &mut Work<'_>, read: &PlateRead) {
    let is_of_the_first = |inside: &StayFacts| Some(&inside.stay.id) == work.lane.stay();
    if work.settings.zone.is_some() || work.facts.named_stay.as_ref().is_some_and(is_of_the_first) {
        return seen(work, read.plate.clone(), None, Evidence::Camera);
    }
    arrival::take(work, read, ReadOutcome::Taken);
    match (work.settings.direction, &read.plate) {
        (Direction::Entry, Some(plate)) => {
            let entry_read = entry_read(work, &read.event, plate, &read.all_reads());
            came_in(work, Some(plate.clone()), read.captured, Some(entry_read), Evidence::Camera)
        }
        (Direction::Exit, _) => {
            let inside = arrival::certain_stay(work).cloned();
            went_out(work, inside, read.plate.clone(), read.captured, Evidence::Camera);
        }
        (Direction::Entry, None) => came_in(work, None, read.captured, None, Evidence::Camera),
    }
}

/// The vehicle that waited is gone, and meanwhile somebody drove over the passage loop.
pub(super) fn waiting_one_followed(work: &mut Work<'_>, waiting: &Waiting, evidence: Evidence) {
    let (plate, at) = (waiting.visit.plate.clone(), waiting.visit.captured);
    if work.settings.zone.is_some() {
        seen(work, plate.clone(), None, evidence);
    } else if work.settings.direction == Direction::Exit {
        let inside = work.facts.visit_stay.clone();
        went_out(work, inside, plate.clone(), at, evidence);
    } else if let Some(inside) = work.facts.visit_stay.clone() {
        seen(work, plate.clone(), Some(inside.stay.id.clone()), evidence);
        work.records.push(Record::StayEntered { stay: inside.stay.id, evidence });
    } else {
        let visit = &waiting.visit;
        let entry_read = plate.as_ref().map(|plate| entry_read(work, &visit.event, plate, &visit.reads));
        came_in(work, plate.clone(), at, entry_read, evidence);
    }
    work.lane.last = ends::served(work, &waiting.visit);
    work.lane.phase = Phase::Idle;
}

/// It is inside without a leave: its stay begins all the same.
fn came_in(work: &mut Work<'_>, plate: Option<Plate>, at: UtcMs, entry_read: Option<EntryRead>, evidence: Evidence) {
    if let (Some(inside), Some(plate)) = (work.facts.named_stay.clone(), &plate)
        && inside.stay.plate.as_ref() == Some(plate)
    {
        if inside.stay.state != StayState::Open {
            return seen(work, Some(plate.clone()), Some(inside.stay.id), evidence);
        }
        entry::end_without_exit(work, &inside, plate);
    }
    let stay = entry::open_stay(work, plate.clone(), at, Begun { right: None, entry_read });
    work.records.push(Record::StayEntered { stay: stay.clone(), evidence });
    seen(work, plate, Some(stay), evidence);
}

/// It has left without paying: its plate owes it, or staff are told, as the site wants it.
fn went_out(work: &mut Work<'_>, inside: Option<StayFacts>, plate: Option<Plate>, at: UtcMs, evidence: Evidence) {
    let Some(inside) = inside else { return seen(work, plate, None, evidence) };
    seen(work, plate, Some(inside.stay.id.clone()), evidence);
    let is_here = work.lane.stay() == Some(&inside.stay.id);
    let is_free = is_here || arrival::take_over(work).is_ok();
    if !is_free || inside.hold.is_some() {
        return;
    }
    match work.facts.rules.admission.policy.escaped {
        Escaped::Report if is_here => work.records.push(Record::StayResumed { stay: inside.stay.id }),
        Escaped::Report => {}
        Escaped::Debt => {
            let due = dues::charge(work, &inside, at);
            passage::escaped(work, &inside, due, evidence);
            if let Some(member) = inside.stay.member.filter(|_| !inside.member_has_another) {
                work.return_points(&member, &inside.purse, inside.keep);
            }
        }
    }
}

/// What was seen is on record, whatever comes of it.
fn seen(work: &mut Work<'_>, plate: Option<Plate>, stay: Option<StayId>, evidence: Evidence) {
    let who = plate.as_ref().map_or("A vehicle".to_owned(), Plate::masked);
    work.alarm("tailgated", format!("{who} followed another through {}", work.lane_id));
    work.records.push(Record::TailgateSeen { lane: work.lane_id.clone(), plate, stay, evidence });
}
