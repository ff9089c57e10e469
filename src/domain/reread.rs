//! A vehicle that is read again while its barrier is up: the barrier is not decided anew, but its stay is known by the best
//! of what was read.

use super::admission::{Judgement, Right};
use super::decide::{StayFacts, Work};
use super::event::{ArrivalRead, PlateRead, Points, Record};
use super::lane::{Direction, Phase};
use super::plate::Plate;
use super::plate::told::Told;
use super::stay::{EntryRead, Reread, StayState};
use super::{entry, escrow, points};

/// Takes in a further statement about a vehicle whose barrier was raised. Whether it said anything new. At an exit it is
/// kept with the others and no more: whose stay ends was decided with the raise, and the plate of a stay is that of its
/// entry.
pub(super) fn better_known(work: &mut Work<'_>, read: &PlateRead) -> bool {
    if !work.lane.may_be_corrected_by(read) {
        return false;
    }
    let Phase::Raised(raised) = &mut work.lane.phase else { return false };
    let Some(visit) = raised.visit.as_mut() else { return false };
    if !visit.keep(read) {
        return false;
    }
    if work.settings.direction == Direction::Exit || visit.stay.is_none() {
        return true;
    }
    let reads = visit.reads.clone();
    let plate = work.facts.read_as.clone().filter(|plate| visit.plate.as_ref() != Some(plate));
    // Another vehicle inside has that very plate: which of the two was misread is seen when they leave.
    let (Some(plate), Some(inside), None) = (plate, work.facts.visit_stay.clone(), &work.facts.named_stay) else {
        return true;
    };
    if inside.stay.state == StayState::PendingEntry {
        visit.plate = Some(plate.clone());
        let entry_read = entry_read(work, read.of_event(), &plate, &reads);
        correct_stay(work, &inside, plate, entry_read);
    }
    true
}

/// The stay of a vehicle that still stands before the raised barrier gets the plate that was read better, and what goes
/// with that plate: its member, its right, its debts.
fn correct_stay(work: &mut Work<'_>, inside: &StayFacts, plate: Plate, entry_read: EntryRead) {
    let member = entry::consenting_member(work);
    let right = right_of(work, inside, &plate);
    let (stay, debts) = (inside.stay.id.clone(), work.facts.debts);
    let reread = Reread { stay, plate, member: member.clone(), entry_read, right, debts };
    work.records.push(Record::StayReread(Box::new(reread)));
    if member == inside.stay.member {
        return;
    }
    if let Some(before) = inside.stay.member.as_ref().filter(|_| !inside.member_has_another) {
        work.return_points(before, &inside.purse, inside.keep);
    }
    let Some(member) = member else { return };
    let here = points::usable(&work.facts.purse);
    entry::ask_for_points(work, member, Points(escrow::visit_size(work.facts).0 - here.0));
}

/// On what right the better known vehicle is inside. It is in already, so that a list that would have kept it out is only
/// told.
fn right_of(work: &mut Work<'_>, inside: &StayFacts, plate: &Plate) -> Option<Right> {
    let judgement = entry::judge_but(work, plate, inside.stay.entry, inside.stay.right.as_ref());
    match judgement {
        Judgement::LetIn(right) => right,
        Judgement::Blocked { list, reason } => {
            let what = format!("{} came in and is on the list {list} ({})", plate.masked(), reason.word());
            work.alarm("blocked", what);
            None
        }
        Judgement::DebtsDue | Judgement::Full => None,
    }
}

/// What the exit will compare: what was told with the text that the stay is known by, and the looks of the vehicle from
/// whichever statement told them.
pub(super) fn entry_read(work: &Work<'_>, event: &str, plate: &Plate, reads: &[ArrivalRead]) -> EntryRead {
    let all = reads.iter().rev();
    let of_text = all.clone().find(|read| read.plate == *plate);
    let mut told = of_text.map_or_else(Told::default, |read| read.told.clone());
    let look = |of: fn(&ArrivalRead) -> bool| all.clone().find(|read| of(read)).map(|read| &read.told);
    told.colour = told.colour.or_else(|| look(|read| read.told.colour.is_some())?.colour);
    told.vehicle = told.vehicle.or_else(|| look(|read| read.told.vehicle.is_some())?.vehicle);
    let recognised = work.facts.recognised.clone().filter(|_| entry::consenting_member(work).is_some());
    EntryRead { event: event.to_owned(), told, recognised }
}
