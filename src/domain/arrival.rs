//! A vehicle before the arm: whose read it is, whether it may go, and what it waits for.

use super::admission::table::NoEntry;
use super::decide::{StayFacts, Work};
use super::event::{
    Action, Evidence, Fen, Input, LaneId, Matched, MatchedBy, PlateRead, RaiseCause, ReadOutcome, Record, StayId, UtcMs,
};
use super::lane::{Direction, Lane, Phase, PossibleStay, Raised, Unpaid, Visit, WaitReason, Waiting};
use super::matching::answer::Verdict;
use super::matching::are_alike;
use super::split::{self, Offered};
use super::stay::StayState;
use super::{again, cables, dues, emergency, ends, entry, reread, second, whose, zones};

/// A camera's statement.
///
/// What was decided for good is not decided again by what comes later of the same event, and what a camera says of a
/// vehicle that it lost from sight, or that drives away, moves no barrier; it is recorded.
pub(super) fn read(work: &mut Work<'_>, read: &PlateRead) {
    if read.told.picture_of.is_some() {
        return second::looked(work, read);
    }
    if work.lane.emergency.is_some() && !read.stored_offline && !whose::stands_nowhere(read) {
        return emergency::read(work, read);
    }
    if let Some(outcome) = work.facts.read_before
        && !whose::read_is_news(work, read, outcome)
    {
        // A quick result decides before the full one brings the pictures and the better plate: the journal holds them
        // all the same.
        let is_better = reread::better_known(work, read);
        let is_correction = whose::is_correction(work, read);
        if read.photos.is_some() || is_better || is_correction {
            take(work, read, outcome);
        }
        let is_behind = work.lane.next.as_ref().is_some_and(|next| next.event == read.event);
        if is_behind && is_correction && !whose::stands_nowhere(read) {
            stands_behind(work, read);
        }
        return;
    }
    if read.stored_offline {
        take(work, read, ReadOutcome::StoredOffline);
        return;
    }
    if whose::is_last_word(read) {
        take(work, read, ReadOutcome::Lost);
        return;
    }
    if read.told.drives_away {
        take(work, read, ReadOutcome::DrivesAway);
        return;
    }
    match work.lane.phase.clone() {
        // One vehicle a raise: the one before is not away yet.
        Phase::Idle if work.settings.detectors.is_one_by_one() && work.passage_is_covered() => queue(work, read),
        Phase::Idle => read_in_idle_lane(work, read),
        Phase::Waiting(waiting) => read_while_waiting(work, read, &waiting),
        Phase::Raised(raised) => read_while_raised(work, read, raised),
    }
}

pub(super) fn read_in_idle_lane(work: &mut Work<'_>, read: &PlateRead) {
    if whose::is_still_the_last_vehicle(work, read) {
        ends::has_read_the_last(work, read);
        take(work, read, ReadOutcome::SameVehicle);
        return;
    }
    let Some(plate) = &read.plate else {
        take(work, read, ReadOutcome::NoPlate);
        wait(work, visit(read, None), None, WaitReason::NoPlate);
        return;
    };
    take(work, read, ReadOutcome::Taken);
    let plate = work.facts.read_as.clone().unwrap_or_else(|| plate.clone());
    let read = &PlateRead { plate: Some(plate.clone()), earlier: read.all_reads(), ..read.clone() };
    if let Some(zone) = work.settings.zone.clone() {
        return zones::read(work, read, &zone);
    }
    match work.settings.direction {
        Direction::Entry => entry::enter(work, read, &plate),
        Direction::Exit => leave(work, read),
    }
}

fn read_while_waiting(work: &mut Work<'_>, read: &PlateRead, waiting: &Waiting) {
    let is_said_before = read.plate == waiting.visit.plate || waiting.visit.is_read_again(read);
    let is_same = read.plate.is_none() || is_said_before;
    let is_of_another =
        !is_same && (whose::is_still_the_last_vehicle(work, read) || ends::is_outvoted(work, read, waiting));
    if (is_same && !may_go_on(work, read, waiting)) || is_of_another {
        take(work, read, ReadOutcome::SameVehicle);
        if is_same {
            second::remember(work, read);
        }
        return seen_again(work);
    }
    // The same vehicle read better, or another one after the first has gone: nothing was decided for good either way.
    let earlier = if work.lane.is_same_arrival(read) { waiting.visit.reads.clone() } else { Vec::new() };
    withdraw(work, "another plate was read in the lane");
    if work.facts.read_before.is_some() && waiting.visit.reads.is_empty() && waiting.visit.stay.is_none() {
        // The first plate of an event that had none. It was looked up as a new vehicle already, and fed back it would be
        // a repeat.
        return read_in_idle_lane(work, read);
    }
    work.actions.push(Action::Then(Box::new(Input::PlateRead(PlateRead { earlier, ..read.clone() }))));
}

/// A waiting vehicle is still there.
fn seen_again(work: &mut Work<'_>) {
    if work.settings.forget_ms == 0 || work.sees_arrivals() {
        return;
    }
    let now_ms = work.now.uptime_ms;
    if let Phase::Waiting(waiting) = &mut work.lane.phase {
        waiting.since_ms = now_ms;
        work.wake_in(work.settings.forget_ms);
    }
}

/// Whether what a waiting vehicle lacked has come about since.
pub(super) fn may_go_on(work: &Work<'_>, read: &PlateRead, waiting: &Waiting) -> bool {
    let is_free = read.plate.is_some() && served_elsewhere(work).is_none();
    match waiting.why {
        WaitReason::LeavingElsewhere => is_free,
        WaitReason::NoEntryFound | WaitReason::ChoiceOfStay => is_free && certain_stay(work).is_some(),
        // Said once by a list; the books may have been put right since.
        WaitReason::InsideAlready => is_free && work.facts.named_stay.is_none(),
        WaitReason::FeeDue
        | WaitReason::NoPlate
        | WaitReason::Blocked
        | WaitReason::Full
        | WaitReason::DebtsDue
        | WaitReason::NoZoneRight => false,
    }
}

fn read_while_raised(work: &mut Work<'_>, read: &PlateRead, mut raised: Raised) {
    if raised.is_ahead
        && work.lane.arrival
        && raised.visit.as_ref().is_some_and(|visit| whose::is_alike_to(visit, read))
    {
        // It was read before it came to the loop, and has come.
        raised.is_ahead = false;
        work.lane.phase = Phase::Raised(raised.clone());
    }
    let Some(visit) = &raised.visit else {
        return queue(work, read);
    };
    if read.plate.is_none() {
        if visit.is_unread_from(read.told.end) {
            second::remember(work, read);
        }
        return take(work, read, ReadOutcome::SameVehicle);
    }
    if read.plate == visit.plate {
        take(work, read, ReadOutcome::SameVehicle);
        still_there(work, read, raised);
        reread::better_known(work, read);
        second::remember(work, read);
        return;
    }
    if work.lane.is_same_arrival(read) && (visit.is_unread_from(read.told.end) || visit.is_read_again(read)) {
        reread::better_known(work, read);
        second::remember(work, read);
        return take(work, read, ReadOutcome::SameVehicle);
    }
    if raised.on_passage && !raised.told || !work.sees_arrivals() {
        return queue(work, read);
    }
    if raised.is_ahead && !raised.on_passage && work.lane.arrival {
        super::passage::back_out(work, "it never came to the arrival loop, where another vehicle stands");
        work.actions.push(Action::Then(Box::new(Input::PlateRead(read.clone()))));
        return;
    }
    if !raised.on_passage && visit.left_at_ms.is_none() {
        // It has not moved since, so this is a second reading of the same vehicle. A raised barrier is never re-decided.
        reread::better_known(work, read);
        return take(work, read, ReadOutcome::SameVehicle);
    }
    if super::passage::can_tell_a_return(work, &raised) {
        super::passage::back_out(work, "another vehicle stands in its place");
    } else {
        super::passage::passed(work, &raised, Evidence::NextVehicle);
    }
    work.actions.push(Action::Then(Box::new(Input::PlateRead(read.clone()))));
}

/// A fresh read proves that the vehicle still stands there, or has come back.
fn still_there(work: &mut Work<'_>, read: &PlateRead, mut raised: Raised) {
    if raised.on_passage {
        return;
    }
    if again::may_be_raised(work, read, &raised) {
        return raise_again(work, raised);
    }
    if work.lane.arrival
        && let Some(visit) = &mut raised.visit
    {
        visit.left_at_ms = None;
        work.lane.phase = Phase::Raised(raised);
    }
}

/// Raising once more is not blind where a fresh read has proved that the vehicle still stands there.
fn raise_again(work: &mut Work<'_>, mut raised: Raised) {
    let stay = raised.visit.as_ref().and_then(|visit| visit.stay.clone());
    raised.command = work.command_raise(RaiseCause::StillThere, stay);
    raised.answer = None;
    raised.since_ms = work.now.uptime_ms;
    work.lane.phase = Phase::Raised(raised);
}

fn queue(work: &mut Work<'_>, read: &PlateRead) {
    if read.plate.is_some() {
        take(work, read, ReadOutcome::Queued);
        stands_behind(work, read);
    }
}

/// The vehicle behind is served by all that was read of it; another that has come in its place, by its own read.
fn stands_behind(work: &mut Work<'_>, read: &PlateRead) {
    let is_alike = |next: &PlateRead| match (&next.plate, &read.plate) {
        (Some(before), Some(now)) => are_alike(before, now),
        (None, _) | (_, None) => false,
    };
    let before = work.lane.next.as_ref().filter(|next| next.event == read.event || is_alike(next));
    let earlier = before.map_or_else(Vec::new, PlateRead::all_reads);
    work.lane.next = Some(PlateRead { earlier, ..read.clone() });
}

/// The lane besides this one that serves the named stay, and its state.
pub(super) fn served_elsewhere(work: &Work<'_>) -> Option<(LaneId, Lane)> {
    work.facts.serving.clone().filter(|(other, _)| *other != work.lane_id)
}

/// A vehicle at an exit: find its stay, compute what it owes, and let it go if that is covered.
fn leave(work: &mut Work<'_>, read: &PlateRead) {
    let Some(inside) = certain_stay(work).cloned() else { return leave_unknown(work, read) };
    if let Err(other) = take_over(work) {
        return entry::wait_for_the_other(work, read, &inside, &other);
    }
    let mut visit = visit(read, Some(inside.stay.id.clone()));
    visit.matched_ppm = matched(work, &inside, MatchedBy::Automatic);
    visit.second_factor = candidate_of(work, &inside).is_some_and(|candidate| candidate.second_factor);
    settle(work, &inside, visit, read.captured, false);
}

/// A vehicle at the exit that is certainly no stay inside: a person chooses among those that it may be, or it pays what
/// the site has laid down for it.
fn leave_unknown(work: &mut Work<'_>, read: &PlateRead) {
    let candidates = work.facts.found.as_ref().map(|found| found.candidates.clone()).unwrap_or_default();
    if !candidates.is_empty() {
        return wait_with(work, visit(read, None), WaitReason::ChoiceOfStay, candidates);
    }
    match work.facts.rules.admission.policy.no_entry {
        NoEntry::Guard => {
            let latest = work.facts.latest.clone();
            wait_with(work, visit(read, None), WaitReason::NoEntryFound, latest);
        }
        how @ (NoEntry::DayMax | NoEntry::Minimum) => leave_assumed(work, visit(read, None), how),
    }
}

/// The vehicle pays as if it had come in as long ago as the rule says.
pub(super) fn leave_assumed(work: &mut Work<'_>, mut visit: Visit, how: NoEntry) {
    let inside = entry::assume(work, visit.plate.clone(), visit.captured, how);
    visit.stay = Some(inside.stay.id.clone());
    let at = visit.captured;
    settle(work, &inside, visit, at, false);
}

/// Waits for a person who is shown the stays that it may be.
pub(super) fn wait_with(work: &mut Work<'_>, visit: Visit, why: WaitReason, candidates: Vec<PossibleStay>) {
    wait(work, visit, None, why);
    if let Phase::Waiting(waiting) = &mut work.lane.phase {
        waiting.candidates = candidates;
    }
}

/// The stay that a read is, where no person need be asked.
pub(super) fn certain_stay<'a>(work: &Work<'a>) -> Option<&'a StayFacts> {
    let inside = work.facts.named_stay.as_ref()?;
    let is_it = match &work.facts.found {
        Some(found) => match found.verdict {
            Verdict::Automatic => found.candidates.first().is_some_and(|best| best.stay == inside.stay.id),
            Verdict::Guard | Verdict::None => false,
        },
        None => true,
    };
    is_it.then_some(inside)
}

/// Records which stay the vehicle is; how certain the box was, where it was not a person who decided.
pub(super) fn matched(work: &mut Work<'_>, inside: &StayFacts, by: MatchedBy) -> Option<u32> {
    let found = work.facts.found.as_ref()?;
    let candidate = candidate_of(work, inside);
    let posterior_ppm = candidate.map_or(0, |candidate| candidate.posterior_ppm);
    let second_factor = candidate.is_some_and(|candidate| candidate.second_factor);
    let certain = match &by {
        MatchedBy::Automatic => Some(posterior_ppm),
        MatchedBy::Guard { .. } => None,
    };
    let read = found.read.clone();
    work.records.push(Record::StayMatched(Matched {
        stay: inside.stay.id.clone(),
        lane: work.lane_id.clone(),
        entry_lane: inside.stay.entry_lane.clone(),
        read,
        posterior_ppm,
        none_ppm: found.none_ppm,
        second_factor,
        by,
        lesson: found.lesson.clone(),
    }));
    certain
}

fn candidate_of<'a>(work: &Work<'a>, inside: &StayFacts) -> Option<&'a PossibleStay> {
    work.facts.found.as_ref()?.candidates.iter().find(|candidate| candidate.stay == inside.stay.id)
}

/// Takes the named stay from a lane where it only waits: the vehicle has come over here. Where the barrier is up for it
/// already, that lane keeps it and is named.
pub(super) fn take_over(work: &mut Work<'_>) -> Result<(), LaneId> {
    let Some((other, state)) = served_elsewhere(work) else { return Ok(()) };
    match state.phase {
        Phase::Idle => {}
        Phase::Waiting(_) => {
            let state = Lane { phase: Phase::Idle, ..state };
            work.records.push(Record::LaneMoved { lane: other, state });
        }
        Phase::Raised(_) => return Err(other),
    }
    Ok(())
}

/// Lets a vehicle go if what it owes is nothing or covered by points; otherwise it waits for another tender.
pub(super) fn settle(work: &mut Work<'_>, inside: &StayFacts, visit: Visit, at: UtcMs, asked_for_points: bool) {
    let outcome = dues::reckon(work, inside, at);
    dues::tell_flags(work, inside, &outcome);
    let due = outcome.due;
    let visit = Visit { greeting: outcome.rights.greeting.clone(), ..visit };
    let uses = outcome.uses_with(&inside.benefits, &[]);
    if due.0 == 0 {
        dues::hold_benefits(work, inside, uses);
        let cause = if inside.stay.paid.0 > 0 { RaiseCause::Paid } else { RaiseCause::NothingDue };
        return raise(work, visit, cause, Fen(0));
    }
    let mut asked = asked_for_points;
    let offered = split::offered(work, inside, &outcome, &visit, at);
    let with_points = offered.as_ref().and_then(|offered| offered.rest(due));
    if let Some(Offered { member, most, lacking }) = offered {
        if let Some(by_points) = most.filter(|most| most.offer.fen == due) {
            dues::hold_benefits(work, inside, outcome.uses_with(&inside.benefits, &by_points.uses));
            let (op, stay, offer) = (work.op(), inside.stay.id.clone(), by_points.offer);
            let (points, parts) = (offer.points, offer.parts());
            work.records.push(Record::HoldPlaced { op, stay, member, points, fen: due, parts });
            return raise(work, visit, RaiseCause::Points, Fen(0));
        }
        if !asked && lacking.0 > 0 {
            entry::ask_for_points(work, member, lacking);
            asked = true;
        }
    }
    dues::hold_benefits(work, inside, uses);
    if work.settings.unpaid == Unpaid::Debt && visit.plate.is_some() {
        return raise(work, visit, RaiseCause::Debt, Fen(0));
    }
    wait(work, visit, Some(due), WaitReason::FeeDue);
    if let Phase::Waiting(waiting) = &mut work.lane.phase {
        (waiting.asked_for_points, waiting.with_points) = (asked, with_points);
    }
}

/// Somebody paid, or points arrived: look again at the vehicle that waits.
pub(super) fn reconsider(work: &mut Work<'_>) {
    let Phase::Waiting(waiting) = work.lane.phase.clone() else { return };
    if let Some(zone) = work.settings.zone.clone() {
        return zones::reconsider(work, &waiting, &zone);
    }
    if work.settings.direction == Direction::Entry {
        return entry::reconsider(work, &waiting);
    }
    let Some(inside) = work.facts.visit_stay.clone() else { return };
    if waiting.why != WaitReason::FeeDue {
        return;
    }
    let at = waiting.visit.captured;
    settle(work, &inside, waiting.visit, at, waiting.asked_for_points);
}

/// Commands the barrier up for a vehicle.
pub(super) fn raise(work: &mut Work<'_>, visit: Visit, cause: RaiseCause, waived: Fen) {
    let command = work.command_raise(cause.clone(), visit.stay.clone());
    let is_ahead = work.sees_arrivals() && !work.lane.arrival && whose::has_just_passed(work);
    work.lane.phase = Phase::Raised(Raised {
        is_ahead,
        has_told_uncertain: false,
        visit: Some(visit),
        command,
        cause,
        answer: None,
        on_passage: false,
        waived,
        since_ms: work.now.uptime_ms,
        told: false,
    });
}

/// The vehicle waits for what it lacks.
pub(super) fn wait(work: &mut Work<'_>, visit: Visit, due: Option<Fen>, why: WaitReason) {
    let since_ms = work.now.uptime_ms;
    let (asked_for_points, with_points, candidates, crossed) = (false, None, Vec::new(), false);
    work.lane.phase =
        Phase::Waiting(Waiting { visit, due, with_points, why, asked_for_points, candidates, crossed, since_ms });
    if work.settings.forget_ms > 0 && !work.sees_arrivals() {
        work.wake_in(work.settings.forget_ms);
    }
}

/// The waiting vehicle is not here, or not the one it seemed: its stay goes on as if it had never come to the exit.
pub(super) fn withdraw(work: &mut Work<'_>, why: &str) {
    cables::gone_back(work);
    let pending = work.pending_here();
    if let Some(inside) = &pending
        && inside.stay.state == StayState::PendingExit
    {
        work.records.push(Record::StayResumed { stay: inside.stay.id.clone() });
        if let Some(hold) = &inside.hold {
            work.records.push(Record::HoldVoided { op: hold.op.clone(), reason: why.to_owned() });
        }
    }
    if let Some(inside) = pending.filter(|inside| inside.stay.state == StayState::PendingEntry) {
        work.records.push(Record::StayVoided { stay: inside.stay.id.clone(), reason: why.to_owned() });
        if let Some(member) = inside.stay.member.filter(|_| !inside.member_has_another) {
            work.return_points(&member, &inside.purse, inside.keep);
        }
    }
    work.lane.phase = Phase::Idle;
}

/// Keeps the statement, so that a repeat of it is known.
pub(super) fn take(work: &mut Work<'_>, read: &PlateRead, outcome: ReadOutcome) {
    work.records.push(Record::ReadTaken { read: read.clone(), outcome });
}

pub(super) fn visit(read: &PlateRead, stay: Option<StayId>) -> Visit {
    Visit {
        plate: read.plate.clone(),
        event: read.of_event().to_owned(),
        captured: read.captured,
        stay,
        left_at_ms: None,
        matched_ppm: None,
        second_factor: false,
        reads: if read.earlier.is_empty() { read.all_reads() } else { read.earlier.clone() },
        events: Vec::new(),
        greeting: None,
    }
}
