//! From the raise to the passage: loops, the arm, time-outs, backing out, and coming back after a restart.

use super::decide::{Facts, StayFacts, Work};
use super::event::{
    Action, CommandAnswer, CommandId, Decision, Evidence, Fen, Input, LaneId, PlateRead, Record, VehicleSign,
};
use super::lane::{Covered, Direction, Lane, LoopRole, PassedBy, Phase, Raised, Waiting};
use super::stay::StayState;
use super::{arm, arrival, cables, detectors, emergency, ends, tailgate, zones};

/// A loop detector changed.
pub(super) fn loop_changed(work: &mut Work<'_>, role: LoopRole, occupied: bool) {
    if work.lane.emergency.is_some() {
        return emergency::loop_changed(work, role, occupied);
    }
    cables::loop_changed(work, role, occupied);
    detectors::stood_on(work, role, occupied);
    match (role, occupied) {
        (LoopRole::Arrival, true) if !work.lane.arrival => arrived(work),
        (LoopRole::Arrival, false) if work.lane.arrival => left(work),
        (LoopRole::Passage, true) if !work.lane.passage => passage_entered(work),
        (LoopRole::Passage, false) if work.lane.passage => passage_left(work),
        (LoopRole::Safety, occupied) => (work.lane.safety, work.lane.safety_untold) = (occupied, false),
        (LoopRole::Arrival | LoopRole::Passage, _) => {}
    }
}

fn arrived(work: &mut Work<'_>) {
    work.lane.arrival = true;
    work.lane.behind = None;
    match &mut work.lane.phase {
        Phase::Idle => {}
        Phase::Waiting(waiting) => waiting.visit.left_at_ms = None,
        // Where the vehicle is over the passage loop already, this is the next one; a return is told by its plate.
        Phase::Raised(_) => {}
    }
}

fn left(work: &mut Work<'_>) {
    work.lane.arrival = false;
    let now_ms = work.now.uptime_ms;
    match &mut work.lane.phase {
        Phase::Idle => return,
        Phase::Waiting(waiting) => waiting.visit.left_at_ms = Some(now_ms),
        Phase::Raised(raised) => match &mut raised.visit {
            Some(visit) if !raised.on_passage => {
                // Whoever stood there has taken the raise, read or not: the next one is another vehicle.
                raised.is_ahead = false;
                visit.left_at_ms = Some(now_ms);
            }
            Some(_) | None => return,
        },
    }
    work.wake_in(work.settings.back_out_ms);
}

fn passage_entered(work: &mut Work<'_>) {
    work.lane.passage = true;
    if work.settings.stuck_ms > 0 {
        work.lane.covered = Some(Covered { since_ms: work.now.uptime_ms, stuck: false });
        work.wake_in(work.settings.stuck_ms);
    }
    match &mut work.lane.phase {
        Phase::Raised(raised) => raised.on_passage = true,
        Phase::Idle | Phase::Waiting(_) => {
            if let Phase::Waiting(waiting) = &mut work.lane.phase {
                waiting.crossed = true;
            }
            work.records.push(Record::PassageSeen { lane: work.lane_id.clone(), command: None });
            work.alarm("passage_without_raise", format!("A vehicle passed {} without a raise", work.lane_id));
            arm::driven_through(work);
        }
    }
}

fn passage_left(work: &mut Work<'_>) {
    work.lane.passage = false;
    work.lane.covered = None;
    match work.lane.phase.clone() {
        Phase::Raised(raised) if raised.on_passage => {
            detectors::both_passed(work);
            passed(work, &raised, Evidence::PassageLoop);
        }
        // It was read behind the one before, was gone from the arrival loop then, and somebody has passed since.
        Phase::Idle if work.lane.behind.is_some() => {
            let timeout_ms = i64::try_from(work.settings.pass_timeout_ms).unwrap_or(i64::MAX);
            let now = work.now.utc;
            let is_fresh = |read: &PlateRead| now.0.saturating_sub(read.captured.0) <= timeout_ms;
            let read = work.lane.behind.take().filter(is_fresh);
            work.actions.extend(read.map(|read| Action::Then(Box::new(Input::VehicleFollowed(read)))));
        }
        Phase::Idle if work.settings.detectors.is_one_by_one() => serve_next(work),
        Phase::Waiting(mut waiting) if waiting.crossed && work.lane.arrival => {
            // The one that waits stands there yet.
            waiting.crossed = false;
            work.lane.phase = Phase::Waiting(waiting);
        }
        Phase::Raised(_) | Phase::Idle | Phase::Waiting(_) => {}
    }
}

/// The camera or the barrier said something about the vehicle.
pub(super) fn vehicle_seen(work: &mut Work<'_>, sign: VehicleSign) {
    match (sign, work.lane.phase.clone()) {
        (VehicleSign::Passed, Phase::Raised(raised)) if sees_no_passage(work) => {
            passed(work, &raised, Evidence::Camera);
        }
        (VehicleSign::TurnedBack, Phase::Raised(raised)) if !raised.on_passage => {
            back_out(work, "the camera saw it turn back");
        }
        (VehicleSign::TurnedBack, Phase::Waiting(_)) => {
            arrival::withdraw(work, "the camera saw it turn back");
            serve_next(work);
        }
        (VehicleSign::Tailgated, _) => tailgate::told(work),
        (VehicleSign::Passed | VehicleSign::TurnedBack, Phase::Idle | Phase::Waiting(_) | Phase::Raised(_)) => {}
    }
}

/// Whether no passage loop tells that a vehicle has passed, so that others may.
fn sees_no_passage(work: &Work<'_>) -> bool {
    work.settings.passed_by != PassedBy::PassageLoop || work.is_blind(LoopRole::Passage)
}

/// What came back for a command. It never means that the arm moved.
pub(super) fn answered(work: &mut Work<'_>, command: &CommandId, answer: &CommandAnswer) {
    if work.lane.emergency.is_some() {
        return emergency::answered(work, command, answer);
    }
    if detectors::answered(work, command, answer) {
        return;
    }
    let Phase::Raised(raised) = &mut work.lane.phase else { return };
    if raised.command != *command || raised.answer.is_some() {
        return;
    }
    raised.answer = Some(answer.clone());
    let has_told = raised.has_told_uncertain;
    raised.has_told_uncertain |= raised.is_uncertain() && !matches!(answer, CommandAnswer::Unconfirmed(_));
    work.records.push(Record::BarrierAnswered {
        lane: work.lane_id.clone(),
        command: command.clone(),
        answer: answer.clone(),
    });
    match answer {
        // A device that never confirms would call somebody for each vehicle; its loops and switches tell what is wrong.
        CommandAnswer::Accepted | CommandAnswer::Unconfirmed(_) => {}
        // The same vehicle, which was raised for once more.
        CommandAnswer::Refused(_) | CommandAnswer::Silent(_) if has_told => {}
        CommandAnswer::Refused(why) | CommandAnswer::Silent(why) => {
            work.alarm("raise_uncertain", format!("Nobody knows if the barrier of {} went up: {why}", work.lane_id));
        }
        CommandAnswer::NotSent(why) => {
            work.alarm("raise_not_sent", format!("The barrier of {} was not told to go up: {why}", work.lane_id));
        }
    }
}

/// A deadline came. Which one is seen from the state: an early or late call does no harm.
pub(super) fn due(work: &mut Work<'_>) {
    arm::due(work);
    if work.lane.emergency.is_some() {
        return emergency::due(work);
    }
    let now_ms = work.now.uptime_ms;
    watch_the_loop(work);
    detectors::watch_where_vehicles_stand(work);
    cables::due(work);
    match work.lane.phase.clone() {
        Phase::Idle => {}
        Phase::Waiting(waiting) => {
            let is_gone = waiting.visit.left_at_ms.is_some_and(|left| now_ms >= left + work.settings.back_out_ms);
            if is_gone && waiting.crossed {
                tailgate::waiting_one_followed(work, &waiting, Evidence::PassageLoop);
                serve_next(work);
            } else if is_gone {
                arrival::withdraw(work, "it left the lane");
                serve_next(work);
            } else if is_forgotten(work, &waiting) {
                arrival::withdraw(work, "nobody has seen it any more");
                serve_next(work);
            }
        }
        Phase::Raised(raised) => {
            let left_at = raised.visit.as_ref().and_then(|visit| visit.left_at_ms);
            let is_gone = left_at.is_some_and(|left| now_ms >= left + work.settings.back_out_ms);
            if is_gone && !raised.on_passage && !work.lane.arrival {
                gone(work, &raised);
            } else if now_ms >= raised.since_ms + work.settings.pass_timeout_ms {
                overdue(work, &raised);
            }
        }
    }
}

/// Whether a vehicle waits in a lane without an arrival loop that no camera has seen again for long.
fn is_forgotten(work: &Work<'_>, waiting: &Waiting) -> bool {
    let forget_ms = work.settings.forget_ms;
    forget_ms > 0 && !work.sees_arrivals() && work.now.uptime_ms >= waiting.since_ms + forget_ms
}

/// A passage loop that stays covered says nothing about vehicles any more, and staff are told once.
fn watch_the_loop(work: &mut Work<'_>) {
    let Some(covered) = work.lane.covered.filter(|covered| !covered.stuck) else { return };
    if work.settings.stuck_ms == 0 || work.now.uptime_ms < covered.since_ms + work.settings.stuck_ms {
        return;
    }
    work.lane.covered = Some(Covered { stuck: true, ..covered });
    work.alarm("stuck_loop", format!("The passage loop of {} stays covered: look at it", work.lane_id));
    if let Phase::Raised(raised) = work.lane.phase.clone()
        && raised.on_passage
    {
        passed(work, &raised, Evidence::Unconfirmed);
    }
}

/// The arrival loop is clear and the vehicle was not seen to pass.
fn gone(work: &mut Work<'_>, raised: &Raised) {
    if can_tell_a_return(work, raised) {
        back_out(work, "it left the lane backwards");
    } else {
        passed(work, raised, Evidence::Unconfirmed);
    }
}

/// Whether a vehicle that has left the arrival loop must have gone back, because it would have been seen to pass. A lane
/// that sees no passage, or whose passage loop is covered all the time, cannot tell; most vehicles then drove on.
pub(super) fn can_tell_a_return(work: &Work<'_>, raised: &Raised) -> bool {
    match work.settings.passed_by {
        PassedBy::PassageLoop => !raised.on_passage && !work.lane.passage && !work.is_blind(LoopRole::Passage),
        PassedBy::Camera => !raised.on_passage,
        PassedBy::Timeout => false,
    }
}

/// The vehicle should have passed by now.
fn overdue(work: &mut Work<'_>, raised: &Raised) {
    let stands_before = work.lane.arrival && work.sees_arrivals();
    let stands_beyond = raised.on_passage && !work.is_blind(LoopRole::Passage);
    if !stands_before && !stands_beyond {
        return passed(work, raised, Evidence::Unconfirmed);
    }
    let place = if stands_beyond { "beyond" } else { "before" };
    if let Phase::Raised(standing) = &mut work.lane.phase
        && !standing.told
    {
        standing.told = true;
        let look = if stands_beyond { "" } else { ": look whether the arm is up, and not another lane's in its place" };
        work.alarm("not_driving_on", format!("A vehicle stands {place} the raised barrier of {}{look}", work.lane_id));
    }
    work.wake_in(work.settings.pass_timeout_ms);
}

/// The vehicle has passed: what was pending is now posted.
pub(super) fn passed(work: &mut Work<'_>, raised: &Raised, evidence: Evidence) {
    cables::passed(work, evidence);
    let command = Some(raised.command.clone());
    work.records.push(Record::PassageSeen { lane: work.lane_id.clone(), command });
    if evidence == Evidence::Unconfirmed {
        work.alarm("unconfirmed", format!("Nobody saw whether the vehicle passed {}", work.lane_id));
    }
    if let Some(inside) = work.facts.visit_stay.clone() {
        let stay = inside.stay.id.clone();
        match inside.stay.state {
            StayState::PendingEntry => work.records.push(Record::StayEntered { stay, evidence }),
            StayState::PendingExit => {
                let open = Unsettled::of(&inside, raised.waived);
                if let Some(hold) = inside.hold.clone() {
                    work.records.push(Record::PointsSpent {
                        op: hold.op,
                        member: hold.member,
                        points: hold.points,
                        fen: hold.fen,
                        parts: hold.parts,
                        stay: Some(stay.clone()),
                    });
                }
                let (waived, owed) = (open.waived, Fen(open.booked.0 + open.old.0));
                work.records.push(Record::StayClosed { stay, evidence, waived, owed });
                book_debts(work, &inside, &open);
                if let Some(member) = inside.stay.member.filter(|_| !inside.member_has_another) {
                    work.return_points(&member, &inside.purse, inside.keep);
                }
            }
            StayState::Open => zones::passed(work, raised, &inside, evidence),
            StayState::Closed | StayState::Void => {}
        }
    }
    work.lane.last = raised.visit.as_ref().and_then(|visit| ends::served(work, visit));
    work.lane.phase = Phase::Idle;
    serve_next(work);
}

/// What nobody has paid of a stay whose vehicle has left.
struct Unsettled {
    /// What a guard let go.
    waived: Fen,
    /// What becomes a debt now.
    booked: Fen,
    /// What of the debts of earlier stays is still open.
    old: Fen,
    /// What of them was paid with this stay.
    paid_debts: Fen,
}

impl Unsettled {
    /// What is paid counts for this stay first. A guard lets go what this stay costs, never what an earlier one left.
    fn of(inside: &StayFacts, let_go: Fen) -> Self {
        let fee = inside.stay.fee.as_ref().map_or(0, |fee| fee.total.0);
        let by_points = inside.hold.as_ref().map_or(0, |hold| hold.fen.0);
        let unpaid = (fee - inside.stay.paid.0 - by_points).max(0);
        let debts = inside.stay.debts.0;
        let old = unpaid.min(debts);
        let own = unpaid - old;
        let waived = if inside.stay.plate.is_some() { own.min(let_go.0) } else { own };
        Self { waived: Fen(waived), booked: Fen(own - waived), old: Fen(old), paid_debts: Fen(debts - old) }
    }
}

/// A stay ends although nobody saw its vehicle pass, and what it still costs is waived; what earlier stays left is owed.
pub(super) fn let_go(work: &mut Work<'_>, inside: &StayFacts, due: Fen) {
    end_unpaid(work, inside, due, due, Evidence::Unconfirmed);
}

/// A vehicle has left without a leave, and its plate owes what is due. Nobody can be asked for it without a plate.
pub(super) fn escaped(work: &mut Work<'_>, inside: &StayFacts, due: Fen, evidence: Evidence) {
    let waived = if inside.stay.plate.is_some() { Fen(0) } else { due };
    end_unpaid(work, inside, due, waived, evidence);
}

fn end_unpaid(work: &mut Work<'_>, inside: &StayFacts, due: Fen, let_go: Fen, evidence: Evidence) {
    let debts = inside.stay.debts.0;
    let old = due.0.min(debts);
    let own = due.0 - old;
    let waived = own.min(let_go.0);
    let open =
        Unsettled { waived: Fen(waived), booked: Fen(own - waived), old: Fen(old), paid_debts: Fen(debts - old) };
    let (stay, owed) = (inside.stay.id.clone(), Fen(open.booked.0 + open.old.0));
    work.records.push(Record::StayClosed { stay, evidence, waived: open.waived, owed });
    book_debts(work, inside, &open);
}

fn book_debts(work: &mut Work<'_>, inside: &StayFacts, open: &Unsettled) {
    let stay = &inside.stay.id;
    let mut paid = open.paid_debts.0;
    for debt in &inside.debts {
        let fen = debt.open.0.min(paid);
        if fen > 0 {
            paid -= fen;
            let (op, debt, stay) = (work.op(), debt.op.clone(), stay.clone());
            work.records.push(Record::DebtPaid { op, debt, fen: Fen(fen), stay });
        }
    }
    if let Some(plate) = inside.stay.plate.clone().filter(|_| open.booked.0 > 0) {
        let (debt, stay) = (work.op(), stay.clone());
        work.alarm("debt", format!("{} left and owes for {stay}", plate.masked()));
        work.records.push(Record::DebtBooked { debt, stay, plate, fen: open.booked });
    }
}

/// The vehicle went back: what was pending is void, and nothing was spent.
pub(super) fn back_out(work: &mut Work<'_>, why: &str) {
    cables::gone_back(work);
    if let Some(inside) = work.pending_here() {
        let stay = inside.stay.id;
        if let Some(hold) = &inside.hold {
            work.records.push(Record::HoldVoided { op: hold.op.clone(), reason: why.to_owned() });
        }
        match inside.stay.state {
            StayState::PendingEntry => {
                work.records.push(Record::StayVoided { stay, reason: why.to_owned() });
                if let Some(member) = inside.stay.member.filter(|_| !inside.member_has_another) {
                    work.return_points(&member, &inside.purse, inside.keep);
                }
            }
            StayState::PendingExit => work.records.push(Record::StayResumed { stay }),
            StayState::Open | StayState::Closed | StayState::Void => {}
        }
    }
    work.lane.phase = Phase::Idle;
    serve_next(work);
}

/// The vehicle behind, where it still stands there.
pub(super) fn serve_next(work: &mut Work<'_>) {
    let is_there = work.lane.arrival || !work.sees_arrivals();
    let Some(next) = work.lane.next.take() else { return };
    if is_there {
        work.actions.push(Action::Then(Box::new(Input::PlateRead(next))));
    } else {
        work.lane.behind = Some(next);
    }
}

/// The daemon started: deadlines begin anew, and a raise that was not answered before is uncertain.
pub(super) fn started(work: &mut Work<'_>) {
    if fits_no_more(work) {
        work.records = put_down(&work.lane_id, work.facts);
        work.lane = Lane::default();
        return;
    }
    // What is there and what is not is told anew, and until then nobody knows what is under the arm.
    work.lane.lost.clear();
    (work.lane.held, work.lane.lowering) = (None, None);
    detectors::unknown(work);
    detectors::watched_anew(work);
    cables::started(work);
    arm::started(work);
    if work.lane.emergency.is_some() {
        work.records.push(Record::Started { lane: work.lane_id.clone() });
        return emergency::hold(work);
    }
    let now_ms = work.now.uptime_ms;
    if let Some(covered) = work.lane.covered {
        work.lane.covered = Some(Covered { since_ms: now_ms, ..covered });
        work.wake_in(work.settings.stuck_ms);
    }
    match work.lane.phase.clone() {
        Phase::Idle => return,
        Phase::Waiting(mut waiting) => {
            waiting.since_ms = now_ms;
            if work.settings.forget_ms > 0 && !work.sees_arrivals() {
                work.wake_in(work.settings.forget_ms);
            }
            if waiting.visit.left_at_ms.is_some() {
                waiting.visit.left_at_ms = Some(now_ms);
                work.wake_in(work.settings.back_out_ms);
            }
            work.lane.phase = Phase::Waiting(waiting);
        }
        Phase::Raised(mut raised) => {
            raised.since_ms = now_ms;
            if let Some(visit) = raised.visit.as_mut().filter(|visit| visit.left_at_ms.is_some()) {
                visit.left_at_ms = Some(now_ms);
                work.wake_in(work.settings.back_out_ms);
            }
            work.wake_in(work.settings.pass_timeout_ms);
            let command = raised.command.clone();
            work.lane.phase = Phase::Raised(raised);
            answered(work, &command, &CommandAnswer::Silent("the box restarted before an answer came".to_owned()));
        }
    }
    work.records.insert(0, Record::Started { lane: work.lane_id.clone() });
}

/// Whether the lane was rebuilt while it served a vehicle, an entry into an exit or the other way round.
fn fits_no_more(work: &Work<'_>) -> bool {
    work.facts.visit_stay.as_ref().is_some_and(|inside| match (inside.stay.state, work.settings.direction) {
        (StayState::PendingEntry, Direction::Entry) | (StayState::PendingExit, Direction::Exit) => false,
        (StayState::PendingEntry, Direction::Exit) | (StayState::PendingExit, Direction::Entry) => true,
        (StayState::Open, Direction::Entry | Direction::Exit) => work.settings.zone.is_none(),
        (StayState::Closed | StayState::Void, Direction::Entry | Direction::Exit) => true,
    })
}

/// The daemon started without a lane that served a vehicle when it stopped: its stay must not stay pending for ever.
pub(super) fn removed(lane_id: &LaneId, facts: &Facts) -> Decision {
    let mut decision = Decision::nothing();
    if facts.lane.phase != Phase::Idle || facts.lane.next.is_some() {
        decision.records = put_down(lane_id, facts);
        decision.records.push(Record::LaneMoved { lane: lane_id.clone(), state: Lane::default() });
    }
    decision
}

/// The lane's vehicle is inside as far as anybody knows: it was let in, or it has not left.
fn put_down(lane_id: &LaneId, facts: &Facts) -> Vec<Record> {
    let stay = facts.lane.stay().cloned();
    let text = format!("The settings no longer have {lane_id} as it was when it served a vehicle");
    let mut records = vec![
        Record::Started { lane: lane_id.clone() },
        Record::alarm("lane_rebuilt", text, Some(lane_id.clone()), stay),
    ];
    let Some(inside) = &facts.visit_stay else { return records };
    let stay = inside.stay.id.clone();
    if let Some(hold) = &inside.hold {
        records.push(Record::HoldVoided { op: hold.op.clone(), reason: "its lane was rebuilt".to_owned() });
    }
    match inside.stay.state {
        StayState::PendingEntry => records.push(Record::StayEntered { stay, evidence: Evidence::Unconfirmed }),
        StayState::PendingExit => records.push(Record::StayResumed { stay }),
        StayState::Open | StayState::Closed | StayState::Void => {}
    }
    records
}
