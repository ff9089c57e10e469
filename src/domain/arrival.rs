//! A vehicle before the arm: whose read it is, whether it may go, and what it waits for.

use super::benefit::{self, Moment, Outcome, RestsOn, Use};
use super::decide::{StayFacts, Work};
use super::event::{
    Action, ArrivalRead, Evidence, Fen, Input, LaneId, MatchedBy, MemberId, PlateRead, Points, RaiseCause, ReadOutcome,
    Record, StayId, UtcMs,
};
use super::lane::{Direction, Lane, Phase, PossibleStay, Raised, Unpaid, Visit, WaitReason, Waiting};
use super::matching::answer::{Thresholds, Verdict};
use super::plate::Plate;
use super::plate::told::Told;
use super::points::{self, POINTS_MAX};
use super::stay::{EntryRead, Stay, StayState};
use super::{emergency, escrow};

/// How long before the end of a passage a late read of the same vehicle may have been taken.
const LATE_READ_MS: i64 = 600_000;

/// A camera's statement.
pub(super) fn read(work: &mut Work<'_>, read: &PlateRead) {
    if work.lane.emergency.is_some() && !read.stored_offline {
        return emergency::read(work, read);
    }
    if let Some(outcome) = work.facts.read_before
        && !read_is_news(work, read, outcome)
    {
        // A quick result decides before the full one brings the pictures and the better plate: the journal holds them
        // all the same.
        let is_better = better_known(work, read);
        if read.photos.is_some() || is_better {
            take(work, read, outcome);
        }
        return;
    }
    if read.stored_offline {
        take(work, read, ReadOutcome::StoredOffline);
        return;
    }
    match work.lane.phase.clone() {
        Phase::Idle => read_in_idle_lane(work, read),
        Phase::Waiting(waiting) => read_while_waiting(work, read, &waiting),
        Phase::Raised(raised) => read_while_raised(work, read, raised),
    }
}

/// A known event is news only where it waited behind another vehicle, or where the camera's full result corrects the
/// quick one before anything was decided for good.
fn read_is_news(work: &Work<'_>, read: &PlateRead, before: ReadOutcome) -> bool {
    match &work.lane.phase {
        Phase::Idle => before == ReadOutcome::Queued || !read.earlier.is_empty(),
        Phase::Waiting(waiting) => {
            waiting.visit.event == read.event && read.plate.is_some() && read.plate != waiting.visit.plate
        }
        Phase::Raised(_) => false,
    }
}

fn read_in_idle_lane(work: &mut Work<'_>, read: &PlateRead) {
    let Some(plate) = &read.plate else {
        take(work, read, ReadOutcome::NoPlate);
        wait(work, visit(read, None), None, WaitReason::NoPlate);
        return;
    };
    if is_still_the_last_vehicle(work, plate, read.captured) {
        take(work, read, ReadOutcome::SameVehicle);
        return;
    }
    take(work, read, ReadOutcome::Taken);
    let plate = work.facts.read_as.clone().unwrap_or_else(|| plate.clone());
    let read = &PlateRead { plate: Some(plate.clone()), earlier: read.all_reads(), ..read.clone() };
    match work.settings.direction {
        Direction::Entry => enter(work, read, &plate),
        Direction::Exit => leave(work, read),
    }
}

/// A camera often reads a vehicle again while it drives off.
fn is_still_the_last_vehicle(work: &Work<'_>, plate: &Plate, captured: UtcMs) -> bool {
    let window = work.settings.same_vehicle_ms;
    work.lane.last.as_ref().is_some_and(|last| {
        let since = captured.0.saturating_sub(last.at.0);
        // A vehicle that was done in the far future was done before the clock was put right.
        last.plate == *plate && since <= window && since >= -LATE_READ_MS
    })
}

fn read_while_waiting(work: &mut Work<'_>, read: &PlateRead, waiting: &Waiting) {
    let is_same = read.plate.is_none() || read.plate == waiting.visit.plate;
    let is_of_the_last = read.plate.as_ref().is_some_and(|plate| is_still_the_last_vehicle(work, plate, read.captured));
    if (is_same && !may_go_on(work, read, waiting)) || (!is_same && is_of_the_last) {
        take(work, read, ReadOutcome::SameVehicle);
        return;
    }
    // The same vehicle read better, or another one after the first has gone: nothing was decided for good either way.
    let earlier = if work.lane.is_same_arrival(read) { waiting.visit.reads.clone() } else { Vec::new() };
    withdraw(work, "another plate was read in the lane");
    work.actions.push(Action::Then(Box::new(Input::PlateRead(PlateRead { earlier, ..read.clone() }))));
}

/// Whether what a waiting vehicle lacked has come about since.
fn may_go_on(work: &Work<'_>, read: &PlateRead, waiting: &Waiting) -> bool {
    let is_free = read.plate.is_some() && served_elsewhere(work).is_none();
    match waiting.why {
        WaitReason::LeavingElsewhere => is_free,
        WaitReason::NoEntryFound | WaitReason::ChoiceOfStay => is_free && certain_stay(work).is_some(),
        WaitReason::FeeDue | WaitReason::NoPlate => false,
    }
}

fn read_while_raised(work: &mut Work<'_>, read: &PlateRead, raised: Raised) {
    let Some(visit) = &raised.visit else {
        return queue(work, read);
    };
    if read.plate.is_none() {
        return take(work, read, ReadOutcome::SameVehicle);
    }
    if read.plate == visit.plate {
        take(work, read, ReadOutcome::SameVehicle);
        still_there(work, raised);
        better_known(work, read);
        return;
    }
    if raised.on_passage && !raised.told || !work.settings.has_arrival_loop {
        return queue(work, read);
    }
    if !raised.on_passage && visit.left_at_ms.is_none() {
        // It has not moved since, so this is a second reading of the same vehicle. A raised barrier is never re-decided.
        better_known(work, read);
        return take(work, read, ReadOutcome::SameVehicle);
    }
    if super::passage::can_tell_a_return(work, &raised) {
        super::passage::back_out(work, "another vehicle stands in its place");
    } else {
        super::passage::passed(work, &raised, Evidence::NextVehicle);
    }
    work.actions.push(Action::Then(Box::new(Input::PlateRead(read.clone()))));
}

/// A further statement about a vehicle whose barrier was raised at an entry: the barrier is not decided again, but its
/// stay is known by all that was read of it. Whether the statement said anything new.
fn better_known(work: &mut Work<'_>, read: &PlateRead) -> bool {
    if work.settings.direction == Direction::Exit || !work.lane.may_be_corrected_by(read) {
        return false;
    }
    let Phase::Raised(raised) = &mut work.lane.phase else { return false };
    let Some(visit) = raised.visit.as_mut().filter(|visit| visit.stay.is_some()) else { return false };
    if !visit.keep(read) {
        return false;
    }
    let all = PlateRead { earlier: visit.reads.clone(), ..read.clone() };
    let plate = work.facts.read_as.clone().filter(|plate| visit.plate.as_ref() != Some(plate));
    // Another vehicle inside has that very plate: which of the two was misread is seen when they leave.
    let (Some(plate), Some(inside), None) = (plate, work.facts.visit_stay.clone(), &work.facts.named_stay) else {
        return true;
    };
    if inside.stay.state == StayState::PendingEntry {
        visit.plate = Some(plate.clone());
        correct_stay(work, &inside, plate, &all);
    }
    true
}

/// The stay of a vehicle that still stands before the raised barrier gets the plate that was read better, and is the
/// member's whose plate that is.
fn correct_stay(work: &mut Work<'_>, inside: &StayFacts, plate: Plate, read: &PlateRead) {
    let member = consenting_member(work);
    let entry_read = entry_read(work, &PlateRead { plate: Some(plate.clone()), ..read.clone() });
    work.records.push(Record::StayReread { stay: inside.stay.id.clone(), plate, member: member.clone(), entry_read });
    if member == inside.stay.member {
        return;
    }
    if let Some(before) = inside.stay.member.as_ref().filter(|_| !inside.member_has_another) {
        work.return_points(before, &inside.purse, inside.keep);
    }
    let Some(member) = member else { return };
    ask_for_points(work, member, escrow::visit_size(work.facts));
}

/// A fresh read proves that the vehicle still stands there, or has come back.
fn still_there(work: &mut Work<'_>, mut raised: Raised) {
    if raised.on_passage {
        return;
    }
    if raised.is_uncertain() {
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
        work.lane.next = Some(read.clone());
    }
}

/// A vehicle at an entry: its stay begins, pending until it has passed.
pub(super) fn enter(work: &mut Work<'_>, read: &PlateRead, plate: &Plate) {
    // Who is like it inside does not matter here: only the same plate twice is one vehicle.
    let same = |inside: &StayFacts| inside.stay.plate.as_ref() == Some(plate);
    if let Some(inside) = work.facts.named_stay.clone().filter(same) {
        let age = read.captured.0.saturating_sub(inside.stay.entry.0);
        let window = work.settings.same_vehicle_ms;
        if inside.stay.entry_lane == work.lane_id && (-window..=window).contains(&age) {
            return;
        }
        if let Some((other, _)) = served_elsewhere(work) {
            return wait_for_the_other(work, read, &inside, &other);
        }
        end_without_exit(work, &inside, plate);
    }
    let entry_read = entry_read(work, read);
    let stay = open_stay(work, Some(plate.clone()), read.captured, Some(entry_read));
    raise(work, visit(read, Some(stay)), RaiseCause::Entry, Fen(0));
}

/// The lane besides this one that serves the named stay, and its state.
pub(super) fn served_elsewhere(work: &Work<'_>) -> Option<(LaneId, Lane)> {
    work.facts.serving.clone().filter(|(other, _)| *other != work.lane_id)
}

/// One vehicle does not stand in two lanes. Which of the two was misread is for staff to see; neither stay is touched.
fn wait_for_the_other(work: &mut Work<'_>, read: &PlateRead, inside: &StayFacts, other: &LaneId) {
    work.alarm("leaving_elsewhere", format!("{} is served by {other} already", inside.stay.id));
    wait(work, visit(read, None), None, WaitReason::LeavingElsewhere);
}

/// A vehicle comes in whose stay is still open: nobody saw it leave.
fn end_without_exit(work: &mut Work<'_>, inside: &StayFacts, plate: &Plate) {
    let id = inside.stay.id.clone();
    work.alarm("repeat_entry", format!("{} entered again; its stay {id} had no exit", plate.masked()));
    work.records.push(Record::StayVoided { stay: id, reason: "its exit was never seen".to_owned() });
    // The plate may be another member's by now, and then nobody would need the first one's points here.
    if let Some(member) = inside.stay.member.as_ref().filter(|_| !inside.member_has_another)
        && Some(member) != consenting_member(work).as_ref()
    {
        work.return_points(member, &inside.purse, inside.keep);
    }
}

fn consenting_member(work: &Work<'_>) -> Option<MemberId> {
    work.facts.member.as_ref().filter(|member| member.consent_plates).map(|member| member.id.clone())
}

/// Opens a stay that waits for its vehicle to pass, and asks for the points of its visit where it is a member's.
pub(super) fn open_stay(
    work: &mut Work<'_>,
    plate: Option<Plate>,
    entry: UtcMs,
    entry_read: Option<EntryRead>,
) -> StayId {
    let member = consenting_member(work).filter(|_| plate.is_some());
    let stay = Stay {
        id: work.facts.ids.stay(),
        plate,
        member: member.clone(),
        state: StayState::PendingEntry,
        entry_lane: work.lane_id.clone(),
        entry,
        rules: work.facts.rules.version,
        fee: None,
        paid: Fen(0),
        paid_at: None,
        debts: work.facts.debts,
        entry_read,
    };
    let id = stay.id.clone();
    work.records.push(Record::StayOpened { stay });
    if let Some(member) = member {
        // What is kept here between visits, or was granted for another vehicle of the member's, counts as well.
        let here = points::usable(&work.facts.purse);
        ask_for_points(work, member, Points(escrow::visit_size(work.facts).0 - here.0));
    }
    id
}

/// What the exit will compare: what was told with the text that the stay is known by, and the looks of the vehicle from
/// whichever statement told them.
fn entry_read(work: &Work<'_>, read: &PlateRead) -> EntryRead {
    let all = read.earlier.iter().rev();
    let of_text = all.clone().find(|before| Some(&before.plate) == read.plate.as_ref());
    let mut told = of_text.map_or_else(Told::default, |before| before.told.clone());
    let look = |of: fn(&ArrivalRead) -> bool| all.clone().find(|before| of(before)).map(|before| &before.told);
    told.colour = told.colour.or_else(|| look(|before| before.told.colour.is_some())?.colour);
    told.vehicle = told.vehicle.or_else(|| look(|before| before.told.vehicle.is_some())?.vehicle);
    let recognised = work.facts.recognised.clone().filter(|_| consenting_member(work).is_some());
    EntryRead { event: read.event.clone(), told, recognised }
}

fn ask_for_points(work: &mut Work<'_>, member: MemberId, points: Points) {
    if !work.facts.quarantined && points.0 > 0 {
        let (request, points) = (work.op(), Points(points.0.min(POINTS_MAX)));
        work.records.push(Record::GrantRequested { request, member, points, standing: false });
    }
}

/// A vehicle at an exit: find its stay, compute what it owes, and let it go if that is covered.
fn leave(work: &mut Work<'_>, read: &PlateRead) {
    let Some(inside) = certain_stay(work).cloned() else {
        let candidates = work.facts.found.as_ref().map(|found| found.candidates.clone()).unwrap_or_default();
        let why = if candidates.is_empty() { WaitReason::NoEntryFound } else { WaitReason::ChoiceOfStay };
        wait(work, visit(read, None), None, why);
        if let Phase::Waiting(waiting) = &mut work.lane.phase {
            waiting.candidates = candidates;
        }
        return;
    };
    if let Err(other) = take_over(work) {
        return wait_for_the_other(work, read, &inside, &other);
    }
    let mut visit = visit(read, Some(inside.stay.id.clone()));
    visit.matched_ppm = matched(work, &inside, MatchedBy::Automatic);
    visit.second_factor = candidate_of(work, &inside).is_some_and(|candidate| candidate.second_factor);
    settle(work, &inside, visit, read.captured, false);
}

/// The stay that a read is, where no person need be asked.
fn certain_stay<'a>(work: &Work<'a>) -> Option<&'a StayFacts> {
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
    work.records.push(Record::StayMatched {
        stay: inside.stay.id.clone(),
        lane: work.lane_id.clone(),
        entry_lane: inside.stay.entry_lane.clone(),
        read,
        posterior_ppm,
        none_ppm: found.none_ppm,
        second_factor,
        by,
        lesson: found.lesson.clone(),
    });
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

/// Computes and records what a stay owes at the exit, and sets aside the benefits that its fee rests on.
pub(super) fn charge(work: &mut Work<'_>, inside: &StayFacts, at: UtcMs) -> Fen {
    let outcome = reckon(work, inside, at);
    hold_benefits(work, inside, outcome.uses_with_points(&inside.stay, None, Fen(0)));
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
    });
    outcome
}

/// What is held for the stay is from now on this and nothing else.
fn hold_benefits(work: &mut Work<'_>, inside: &StayFacts, uses: Vec<Use>) {
    if uses != inside.benefits.held {
        work.records.push(Record::BenefitsHeld { stay: inside.stay.id.clone(), uses });
    }
}

/// Lets a vehicle go if what it owes is nothing or covered by points; otherwise it waits for another tender.
pub(super) fn settle(work: &mut Work<'_>, inside: &StayFacts, visit: Visit, at: UtcMs, asked_for_points: bool) {
    let outcome = reckon(work, inside, at);
    let due = outcome.due;
    let mut uses = outcome.uses_with_points(&inside.stay, None, Fen(0));
    if due.0 == 0 {
        hold_benefits(work, inside, uses);
        let cause = if inside.stay.paid.0 > 0 { RaiseCause::Paid } else { RaiseCause::NothingDue };
        return raise(work, visit, cause, Fen(0));
    }
    let mut asked = asked_for_points;
    // A wrong match would spend somebody else's points: below that certainty, and where the vehicle does not look like
    // the one that came in, the fee is due by other tenders.
    let is_certain =
        visit.second_factor || visit.matched_ppm.is_none_or(|matched| matched >= Thresholds::default().member_ppm);
    let may_cover = outcome.points_cap == due;
    let may_spend = is_certain && may_cover && work.facts.points_are_stopped().is_none();
    if let Some(member) = inside.stay.member.clone().filter(|_| may_spend) {
        let needed = inside.rules.points_needed(due);
        let purse = inside.purse.valid(&work.facts.till(work.now));
        if let Some(parts) = points::take(&purse, needed) {
            uses = outcome.uses_with_points(&inside.stay, Some(&member), due);
            hold_benefits(work, inside, uses);
            let op = work.op();
            let stay = inside.stay.id.clone();
            work.records.push(Record::HoldPlaced { op, stay, member, points: needed, fen: due, parts });
            return raise(work, visit, RaiseCause::Points, Fen(0));
        }
        if !asked {
            ask_for_points(work, member, Points(needed.0 - points::usable(&purse).0));
            asked = true;
        }
    }
    hold_benefits(work, inside, uses);
    if work.settings.unpaid == Unpaid::Debt && visit.plate.is_some() {
        return raise(work, visit, RaiseCause::Debt, Fen(0));
    }
    wait(work, visit, Some(due), WaitReason::FeeDue);
    if let Phase::Waiting(waiting) = &mut work.lane.phase {
        waiting.asked_for_points = asked;
    }
}

/// Somebody paid, or points arrived: look again at the vehicle that waits.
pub(super) fn reconsider(work: &mut Work<'_>) {
    let Phase::Waiting(waiting) = work.lane.phase.clone() else { return };
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
    work.lane.phase = Phase::Raised(Raised {
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

fn wait(work: &mut Work<'_>, visit: Visit, due: Option<Fen>, why: WaitReason) {
    work.lane.phase = Phase::Waiting(Waiting { visit, due, why, asked_for_points: false, candidates: Vec::new() });
}

/// The waiting vehicle is not here, or not the one it seemed: its stay goes on as if it had never come to the exit.
pub(super) fn withdraw(work: &mut Work<'_>, why: &str) {
    if let Some(inside) = &work.facts.visit_stay
        && inside.stay.state == StayState::PendingExit
    {
        work.records.push(Record::StayResumed { stay: inside.stay.id.clone() });
        if let Some(hold) = &inside.hold {
            work.records.push(Record::HoldVoided { op: hold.op.clone(), reason: why.to_owned() });
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
        event: read.event.clone(),
        captured: read.captured,
        stay,
        left_at_ms: None,
        matched_ppm: None,
        second_factor: false,
        reads: if read.earlier.is_empty() { read.all_reads() } else { read.earlier.clone() },
    }
}
