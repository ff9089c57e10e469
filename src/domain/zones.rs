//! Inner lots: a vehicle that is inside drives into one or out of it, and its stay is split there.

use super::admission::table::WhenFull;
use super::arrival::{self, raise, visit, wait};
use super::benefit::{self, Moment};
use super::decide::{StayFacts, Work};
use super::event::{Evidence, Fen, PlateRead, RaiseCause, Record, StayId, UtcMs};
use super::lane::{Direction, Raised, Visit, WaitReason, Waiting};
use super::points::Purse;
use super::stay::StayState;

/// A vehicle before the arm of an inner lot.
pub(super) fn read(work: &mut Work<'_>, read: &PlateRead, zone: &str) {
    let inside = arrival::certain_stay(work).cloned().filter(|inside| inside.stay.state == StayState::Open);
    match work.settings.direction {
        Direction::Entry => drive_in(work, read, zone, inside),
        Direction::Exit => {
            if inside.is_none() {
                work.alarm("zone_stranger", format!("A vehicle without a stay leaves {zone}"));
            }
            // Nobody is locked in: whose it is may be asked at the exit of the car park.
            raise(work, visit(read, inside.map(|inside| inside.stay.id)), RaiseCause::Zone, Fen(0));
        }
    }
}

fn drive_in(work: &mut Work<'_>, read: &PlateRead, zone: &str, inside: Option<StayFacts>) {
    let Some(inside) = inside else {
        let candidates = work.facts.found.as_ref().map(|found| found.candidates.clone()).unwrap_or_default();
        let why = if candidates.is_empty() { WaitReason::NoEntryFound } else { WaitReason::ChoiceOfStay };
        return arrival::wait_with(work, visit(read, None), why, candidates);
    };
    drive_in_as(work, visit(read, None), zone, &inside);
}

/// A known vehicle drives in where it may.
pub(super) fn drive_in_as(work: &mut Work<'_>, mut visit: Visit, zone: &str, inside: &StayFacts) {
    let why = refusal(work, zone, inside, visit.captured);
    match why {
        None => {
            visit.stay = Some(inside.stay.id.clone());
            raise(work, visit, RaiseCause::Zone, Fen(0));
        }
        Some(why) => wait(work, visit, None, why),
    }
}

/// What speaks against a vehicle in an inner lot, by the rules in force. A lot that they do not know is open.
fn refusal(work: &Work<'_>, zone: &str, inside: &StayFacts, at: UtcMs) -> Option<WaitReason> {
    let rules = &work.facts.rules;
    let lot = rules.tariffs.lot(zone)?;
    let may = rules.admission.may_enter(lot, inside.stay.plate.as_ref(), at) || has_benefit(work, inside, zone, at);
    if !may {
        return Some(WaitReason::NoZoneRight);
    }
    let free = lot.spaces.map(|spaces| work.facts.counts.free(zone, spaces.0));
    let is_full = lot.full == WhenFull::Wait && free.is_some_and(|free| free <= 0);
    is_full.then_some(WaitReason::Full)
}

/// Whether a member's tier or plan opens the lot.
fn has_benefit(work: &Work<'_>, inside: &StayFacts, zone: &str, at: UtcMs) -> bool {
    let moment = Moment { at, trusted: work.now.trusted };
    let purse = Purse::new();
    let outcome = benefit::quote(&inside.rules, &inside.stay, &inside.prior, &inside.benefits, &purse, moment);
    outcome.rights.zones.iter().any(|open| open == zone)
}

/// A bay may be free now for a vehicle that waits before the inner lot.
pub(super) fn reconsider(work: &mut Work<'_>, waiting: &Waiting, zone: &str) {
    if waiting.why == WaitReason::Full
        && let Some(inside) = work.facts.named_stay.clone()
        && refusal(work, zone, &inside, waiting.visit.captured).is_none()
    {
        drive_in_as(work, waiting.visit.clone(), zone, &inside);
    }
}

/// The vehicle has passed the arm of an inner lot.
pub(super) fn passed(work: &mut Work<'_>, raised: &Raised, inside: &StayFacts, evidence: Evidence) {
    let Some(zone) = work.settings.zone.clone() else { return };
    let at = raised.visit.as_ref().map_or(work.now.utc, |visit| visit.captured);
    let (stay, lane): (StayId, _) = (inside.stay.id.clone(), work.lane_id.clone());
    let open = inside.stay.zones.last().filter(|part| part.to.is_none());
    match work.settings.direction {
        // Nobody saw it leave the lot where it was before.
        Direction::Entry => {
            if let Some(part) = open {
                let zone = part.zone.clone();
                work.records.push(Record::ZoneLeft {
                    stay: stay.clone(),
                    zone,
                    lane: lane.clone(),
                    at,
                    evidence: Evidence::Unconfirmed,
                });
            }
            work.records.push(Record::ZoneEntered { stay, zone, lane, at, evidence });
        }
        Direction::Exit => {
            if open.is_some_and(|part| part.zone == zone) {
                work.records.push(Record::ZoneLeft { stay, zone, lane, at, evidence });
            } else {
                work.alarm("zone_unseen", format!("{stay} left {zone}, which it was not seen to enter"));
            }
        }
    }
}
