//! What staff may do at a lane: raise with a reason, take cash, say which plate it really is.

use super::admission::Judgement;
use super::admission::table::NoEntry;
use super::decide::Work;
use super::entry::Begun;
use super::event::{
    Action, Fen, Input, MatchedBy, PlateRead, RaiseCause, Record, Reply, StaffAct, StaffRefusal, StaffWish, StayId,
    Tender,
};
use super::lane::{Direction, Phase, Raised, Visit, WaitReason, Waiting};
use super::plate::Plate;
use super::stay::StayState;
use super::{arrival, dues, emergency, entry, split, zones};

/// A person acts.
pub(super) fn staff(work: &mut Work<'_>, act: &StaffAct) {
    let done = match &act.what {
        StaffWish::Raise { reason, plate, debt, second } => {
            let second = second.as_deref().filter(|second| *second != act.operator);
            raise(work, &act.operator, reason, plate.as_ref(), *debt, second)
        }
        StaffWish::Settle { fen } => take_cash(work, &act.operator, *fen),
        StaffWish::ChooseStay { stay, reason } => choose_stay(work, &act.operator, stay, reason),
        StaffWish::CorrectPlate { plate, .. } => correct_plate(work, plate),
        StaffWish::IssueTicket => return issue_ticket(work),
        StaffWish::ShowTicket { ticket } => show_ticket(work, ticket),
        StaffWish::ChargeWithoutEntry { how, .. } => charge_without_entry(work, *how),
    };
    work.reply = Reply::Staff(done);
}

/// Raises whatever is due. What a known vehicle owes is let go, and said so on its stay, or booked as its plate's debt.
fn raise(
    work: &mut Work<'_>,
    operator: &str,
    reason: &str,
    plate: Option<&Plate>,
    debt: bool,
    second: Option<&str>,
) -> Result<String, StaffRefusal> {
    if work.lane.emergency.is_some() {
        emergency::hold(work);
        return Ok(format!("{} is held up by an emergency", work.lane_id));
    }
    let reason = second.map_or_else(|| reason.to_owned(), |second| format!("{reason} (with {second})"));
    if !debt && second.is_none() {
        needs_no_second(work, plate)?;
    }
    let let_go = |due: Fen| if debt { Fen(0) } else { due };
    let cause = RaiseCause::Staff { operator: operator.to_owned(), reason };
    match work.lane.phase.clone() {
        Phase::Raised(raised) => raise_once_more(work, raised, cause),
        Phase::Waiting(waiting) => {
            let (visit, due) = visit_for_raise(work, Some(waiting), plate);
            arrival::raise(work, visit, cause, let_go(due));
        }
        Phase::Idle if plate.is_some() => {
            let (visit, due) = visit_for_raise(work, None, plate);
            arrival::raise(work, visit, cause, let_go(due));
        }
        Phase::Idle => raise_for_nobody(work, cause),
    }
    Ok(format!("raising {}", work.lane_id))
}

/// Much is let go only by two; whoever is alone books a debt instead, so nobody is stranded.
fn needs_no_second(work: &Work<'_>, plate: Option<&Plate>) -> Result<(), StaffRefusal> {
    let limit = work.facts.rules.admission.policy.second_confirmation_fen.0;
    let is_as_read = |visit: &Visit| plate.is_none() || plate == visit.plate.as_ref();
    let named = work.facts.named_stay.as_ref().filter(|_| work.settings.direction == Direction::Exit);
    let due = match &work.lane.phase {
        Phase::Waiting(waiting) if waiting.visit.stay.is_some() && is_as_read(&waiting.visit) => {
            waiting.due.unwrap_or(Fen(0)).0 - work.facts.visit_stay.as_ref().map_or(0, |inside| inside.stay.debts.0)
        }
        Phase::Waiting(waiting) => named.map_or(0, |inside| dues::own_due(inside, waiting.visit.captured)),
        Phase::Idle => named.map_or(0, |inside| dues::own_due(inside, work.now.utc)),
        Phase::Raised(_) => 0,
    };
    if limit.0 > 0 && due >= limit.0 { Err(StaffRefusal::SecondNeeded { fen: Fen(due) }) } else { Ok(()) }
}

fn raise_once_more(work: &mut Work<'_>, mut raised: Raised, cause: RaiseCause) {
    let stay = raised.visit.as_ref().and_then(|visit| visit.stay.clone());
    raised.command = work.command_raise(cause, stay);
    raised.answer = None;
    raised.since_ms = work.now.uptime_ms;
    work.lane.phase = Phase::Raised(raised);
}

fn raise_for_nobody(work: &mut Work<'_>, cause: RaiseCause) {
    let command = work.command_raise(cause.clone(), None);
    work.alarm("raised_without_stay", format!("A guard raised {} for no vehicle that the box knows", work.lane_id));
    work.lane.phase = Phase::Raised(Raised {
        visit: None,
        command,
        cause,
        answer: None,
        on_passage: false,
        waived: Fen(0),
        since_ms: work.now.uptime_ms,
        told: false,
        has_told_uncertain: false,
        is_ahead: false,
    });
}

/// The vehicle that a guard lets through and what it owes: an entry begins a stay even without a plate, an exit ends the
/// stay that the plate names. A plate that the guard names outranks what the camera read.
fn visit_for_raise(work: &mut Work<'_>, waiting: Option<Waiting>, plate: Option<&Plate>) -> (Visit, Fen) {
    let is_as_read = |visit: &Visit| plate.is_none() || plate == visit.plate.as_ref();
    if let Some(waiting) = waiting.as_ref().filter(|waiting| waiting.visit.stay.is_some()) {
        if is_as_read(&waiting.visit) {
            return (waiting.visit.clone(), waiting.due.unwrap_or(Fen(0)));
        }
        arrival::withdraw(work, "a guard named another plate");
    }
    let now = work.now.utc;
    let mut visit = waiting.map_or_else(
        || Visit {
            plate: None,
            event: format!("staff/{}", work.facts.ids.op(0)),
            captured: now,
            stay: None,
            left_at_ms: None,
            matched_ppm: None,
            second_factor: false,
            reads: Vec::new(),
            events: Vec::new(),
            greeting: None,
        },
        |waiting| Visit { stay: None, ..waiting.visit },
    );
    visit.plate = plate.cloned().or(visit.plate);
    match (work.settings.direction, work.facts.named_stay.clone()) {
        (Direction::Entry, None) => {
            // In a lane of an inner lot it is somebody who is inside already, whose stay nobody knows.
            if work.settings.zone.is_none() {
                let right = visit.plate.as_ref().and_then(|plate| match entry::judge(work, plate, visit.captured) {
                    Judgement::LetIn(right) => right,
                    Judgement::Blocked { .. } | Judgement::DebtsDue | Judgement::Full => None,
                });
                let begun = Begun { right, entry_read: None };
                visit.stay = Some(entry::open_stay(work, visit.plate.clone(), visit.captured, begun));
            }
        }
        (Direction::Entry | Direction::Exit, Some(inside)) if work.settings.zone.is_some() => {
            if inside.stay.state == StayState::Open {
                visit.stay = Some(inside.stay.id);
            }
        }
        // It is inside already by the books; a second stay would be wrong, the guard's raise is on record.
        (Direction::Entry, Some(_)) | (Direction::Exit, None) => {}
        (Direction::Exit, Some(inside)) => match arrival::take_over(work) {
            Ok(()) => {
                let due = dues::charge(work, &inside, visit.captured);
                visit.stay = Some(inside.stay.id);
                return (visit, due);
            }
            Err(other) => {
                work.alarm("leaving_elsewhere", format!("{} is served by {other} already", inside.stay.id));
            }
        },
    }
    (visit, Fen(0))
}

fn take_cash(work: &mut Work<'_>, operator: &str, fen: Fen) -> Result<String, StaffRefusal> {
    let Phase::Waiting(waiting) = work.lane.phase.clone() else { return Err(StaffRefusal::NothingWaiting) };
    let (Some(due), Some(stay)) = (waiting.due, waiting.visit.stay.clone()) else {
        return Err(StaffRefusal::NothingWaiting);
    };
    if Some(fen) == waiting.with_points {
        return split::pay(work, operator, waiting, (fen, due));
    }
    if fen != due || due.0 == 0 {
        return Err(StaffRefusal::AmountMismatch { due });
    }
    take_payment(work, &stay, fen, Tender::Guard { operator: operator.to_owned() });
    arrival::raise(work, waiting.visit, RaiseCause::Paid, Fen(0));
    Ok(format!("paid, raising {}", work.lane_id))
}

pub(super) fn take_payment(work: &mut Work<'_>, stay: &StayId, fen: Fen, tender: Tender) {
    let (op, stay, at) = (work.op(), stay.clone(), work.now.utc);
    work.records.push(Record::PaymentTaken { op, stay, fen, tender, at });
}

/// The vehicle is the stay that the guard chose among those shown, and is served as if the box had been certain.
fn choose_stay(work: &mut Work<'_>, operator: &str, stay: &StayId, reason: &str) -> Result<String, StaffRefusal> {
    let Phase::Waiting(waiting) = work.lane.phase.clone() else { return Err(StaffRefusal::NothingWaiting) };
    let is_shown = waiting.candidates.iter().any(|candidate| candidate.stay == *stay);
    let Some(inside) = work.facts.named_stay.clone().filter(|_| is_shown) else {
        return Err(StaffRefusal::NotPossible);
    };
    if arrival::take_over(work).is_err() {
        return Err(StaffRefusal::NotPossible);
    }
    let by = MatchedBy::Guard { operator: operator.to_owned(), reason: reason.to_owned() };
    if let Some(zone) = work.settings.zone.clone() {
        zones::drive_in_as(work, waiting.visit, &zone, &inside);
        return Ok(format!("the vehicle is the stay {stay}"));
    }
    let matched_ppm = arrival::matched(work, &inside, by);
    let visit = Visit { stay: Some(stay.clone()), matched_ppm, ..waiting.visit };
    let at = visit.captured;
    arrival::settle(work, &inside, visit, at, false);
    Ok(format!("the vehicle is the stay {stay}"))
}

/// A vehicle without a readable plate comes in under a number of its own.
fn issue_ticket(work: &mut Work<'_>) {
    let lane = work.lane.clone();
    let is_entry = work.settings.direction == Direction::Entry && work.settings.zone.is_none();
    let ticket = if is_entry { entry::on_ticket(work, &lane) } else { None };
    work.reply = ticket.map_or(Reply::Staff(Err(StaffRefusal::NothingWaiting)), Reply::Ticket);
}

/// A ticket is shown: the vehicle that stands there has its number, as if the camera had read it.
fn show_ticket(work: &mut Work<'_>, ticket: &Plate) -> Result<String, StaffRefusal> {
    if !ticket.is_ticket() {
        return Err(StaffRefusal::NotPossible);
    }
    match work.lane.phase {
        Phase::Waiting(_) => correct_plate(work, ticket),
        Phase::Idle => {
            work.actions.push(Action::Then(Box::new(Input::PlateRead(by_hand(work, ticket, work.now.utc)))));
            Ok(format!("the vehicle is {ticket}"))
        }
        Phase::Raised(_) => Err(StaffRefusal::NothingWaiting),
    }
}

/// What a guard lays down for a vehicle whose entry nobody knows.
fn charge_without_entry(work: &mut Work<'_>, how: NoEntry) -> Result<String, StaffRefusal> {
    let Phase::Waiting(waiting) = work.lane.phase.clone() else { return Err(StaffRefusal::NothingWaiting) };
    let is_unknown = match waiting.why {
        WaitReason::NoEntryFound | WaitReason::ChoiceOfStay | WaitReason::NoPlate => true,
        WaitReason::FeeDue
        | WaitReason::LeavingElsewhere
        | WaitReason::Blocked
        | WaitReason::Full
        | WaitReason::DebtsDue
        | WaitReason::InsideAlready
        | WaitReason::NoZoneRight => false,
    };
    let is_exit = work.settings.direction == Direction::Exit && work.settings.zone.is_none();
    // By its very plate it is inside after all.
    if !is_unknown || !is_exit || work.facts.named_stay.is_some() {
        return Err(StaffRefusal::NotPossible);
    }
    arrival::leave_assumed(work, waiting.visit, how);
    Ok("it is charged without an entry".to_owned())
}

/// A statement that a person makes in place of the camera.
fn by_hand(work: &Work<'_>, plate: &Plate, captured: super::event::UtcMs) -> PlateRead {
    PlateRead {
        lane: work.lane_id.clone(),
        device: super::event::DeviceId::from("staff"),
        event: format!("staff/{}", work.facts.ids.op(0)),
        plate: Some(plate.clone()),
        confidence: 100,
        captured,
        stored_offline: false,
        photos: None,
        told: Default::default(),
        earlier: Vec::new(),
    }
}

/// The vehicle is served again from the start, as if the camera had read it right.
fn correct_plate(work: &mut Work<'_>, plate: &Plate) -> Result<String, StaffRefusal> {
    let Phase::Waiting(waiting) = work.lane.phase.clone() else { return Err(StaffRefusal::NothingWaiting) };
    arrival::withdraw(work, "staff corrected the plate");
    let read = by_hand(work, plate, waiting.visit.captured);
    work.actions.push(Action::Then(Box::new(Input::PlateRead(read))));
    let was = match waiting.why {
        WaitReason::NoPlate => "without a plate",
        WaitReason::FeeDue
        | WaitReason::NoEntryFound
        | WaitReason::ChoiceOfStay
        | WaitReason::LeavingElsewhere
        | WaitReason::Blocked
        | WaitReason::Full
        | WaitReason::DebtsDue
        | WaitReason::InsideAlready
        | WaitReason::NoZoneRight => "with another plate",
    };
    Ok(format!("the vehicle {was} is now {plate}"))
}
