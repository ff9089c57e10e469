//! What a stay owes at the exit: reckoned and written down, with the benefits that its fee rests on set aside.

use super::benefit::{self, Moment, Outcome, RestsOn, Use};
use super::decide::{StayFacts, Work};
use super::event::{Fen, Record, UtcMs};
use super::points;
use super::stay::StayState;

/// Computes and records what a stay owes at the exit, and sets aside the benefits that its fee rests on.
pub(super) fn charge(work: &mut Work<'_>, inside: &StayFacts, at: UtcMs) -> Fen {
    let outcome = reckon(work, inside, at);
    hold_benefits(work, inside, outcome.uses_with(&inside.benefits, &[]));
    outcome.due
}

/// Computes and records what a stay owes at the exit, and sets nothing aside.
pub(super) fn reckon(work: &mut Work<'_>, inside: &StayFacts, at: UtcMs) -> Outcome {
    let moment = Moment { at, trusted: work.now.trusted };
    let purse = inside.purse.valid(&work.facts.till(work.now));
    let outcome = benefit::quote(&inside.rules, &inside.stay, &inside.prior, &inside.benefits, &purse, moment);
    work.records.push(Record::StayExiting {
        stay: inside.stay.id.clone(),
        lane: work.lane_id.clone(),
        at,
        fee: outcome.fee.clone(),
        rests_on: RestsOn::of(&inside.rules, &inside.benefits, moment),
        denied: outcome.denied(),
    });
    outcome
}

/// What is held for the stay is from now on this and nothing else.
pub(super) fn hold_benefits(work: &mut Work<'_>, inside: &StayFacts, uses: Vec<Use>) {
    if uses != inside.benefits.held {
        work.records.push(Record::BenefitsHeld { stay: inside.stay.id.clone(), uses });
    }
}

/// What a stay would owe at a moment, without the debts of earlier ones.
pub(super) fn own_due(inside: &StayFacts, at: UtcMs) -> i64 {
    let moment = Moment { at, trusted: true };
    let outcome =
        benefit::quote(&inside.rules, &inside.stay, &inside.prior, &inside.benefits, &points::Purse::new(), moment);
    outcome.due.0 - inside.stay.debts.0
}

/// Staff hear once of each limit that the rules let a stay go beyond: when its vehicle comes to the exit.
pub(super) fn tell_flags(work: &mut Work<'_>, inside: &StayFacts, outcome: &Outcome) {
    if inside.stay.state != StayState::Open {
        return;
    }
    for limit in &outcome.flags {
        let (lane, stay) = (work.lane_id.clone(), inside.stay.id.clone());
        let text = format!("{stay} goes beyond the limit {limit}, which lets it go and tells you");
        work.records.push(Record::alarm("limit_exceeded", text, Some(lane), Some(stay)));
    }
}
