//! A vehicle at an entry: whether it is let in, on what right, and how its stay begins.

use super::admission::table::{NoEntry, Passback, RepeatEntry};
use super::admission::{self, Asked, Judgement, Right};
use super::arrival::{self, raise, served_elsewhere, visit, wait};
use super::benefit::{self, Known, Moment};
use super::capacity::OUTSIDE;
use super::decide::{StayFacts, Work};
use super::escrow;
use super::event::{Fen, LaneId, MemberId, PlateRead, Points, RaiseCause, Record, StayId, UtcMs};
use super::lane::{Lane, Phase, Visit, WaitReason, Waiting};
use super::losses::NEVER_SEEN;
use super::plate::Plate;
use super::points::{self, POINTS_MAX};
use super::reread::entry_read;
use super::stay::{EntryRead, Stay, StayState};

/// A vehicle at an entry: its stay begins, pending until it has passed, unless somebody has something against it.
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
        if !may_come_again(work, &inside, plate, read.captured) {
            return wait(work, visit(read, None), None, WaitReason::InsideAlready);
        }
        end_without_exit(work, &inside, plate);
    }
    match judge(work, plate, read.captured) {
        Judgement::LetIn(right) => {
            let visit = begin(work, visit(read, None), plate, right);
            raise(work, visit, RaiseCause::Entry, Fen(0));
        }
        Judgement::Blocked { list, reason } => {
            work.alarm("blocked", format!("{} is on the list {list} ({})", plate.masked(), reason.word()));
            wait(work, visit(read, None), None, WaitReason::Blocked);
        }
        Judgement::DebtsDue => {
            let debts = work.facts.debts;
            let visit = begin(work, visit(read, None), plate, None);
            wait(work, visit, Some(debts), WaitReason::DebtsDue);
        }
        Judgement::Full => wait(work, visit(read, None), None, WaitReason::Full),
    }
}

/// The stay of a vehicle that the camera has read.
fn begin(work: &mut Work<'_>, mut visit: Visit, plate: &Plate, right: Option<Right>) -> Visit {
    let entry_read = Some(entry_read(work, &visit.event, plate, &visit.reads));
    visit.greeting = greeting(work, plate, visit.captured);
    visit.stay = Some(open_stay(work, Some(plate.clone()), visit.captured, Begun { right, entry_read }));
    visit
}

/// How a member is greeted who comes in: by the newest word of the cloud, under the rules that the stay will have.
fn greeting(work: &Work<'_>, plate: &Plate, at: UtcMs) -> Option<(String, String)> {
    let rules = &work.facts.rules;
    let stay = new_stay(work, Some(plate.clone()), at);
    let moment = Moment { at, trusted: work.now.trusted };
    stay.member.as_ref().filter(|_| rules.benefits.greets())?;
    benefit::greeting(rules, &stay, &work.facts.standing, moment)
}

/// What the judges of the rules in force say of a vehicle at this lane.
pub(super) fn judge(work: &Work<'_>, plate: &Plate, at: UtcMs) -> Judgement {
    judge_but(work, plate, at, None)
}

/// The same of a vehicle that is counted among those inside already, on the right `own`.
pub(super) fn judge_but(work: &Work<'_>, plate: &Plate, at: UtcMs, own: Option<&Right>) -> Judgement {
    let admission = &work.facts.rules.admission;
    let free = admission.policy.spaces.map(|spaces| work.facts.counts.free(OUTSIDE, spaces.0));
    let on_passes = admission::without(&work.facts.on_passes, own);
    admission.judge(&Asked { plate, at, on_passes: &on_passes, debts: work.facts.debts, free })
}

/// Whether a vehicle that is inside by the books may come in: by its own list or pass first, else as the site does.
fn may_come_again(work: &mut Work<'_>, inside: &StayFacts, plate: &Plate, at: UtcMs) -> bool {
    let admission = &work.facts.rules.admission;
    let passback = admission.passback_of(plate, at);
    let may = match passback {
        Passback::Off => admission.policy.repeat_entry == RepeatEntry::CloseOld,
        Passback::Soft => true,
        Passback::Hard => false,
    };
    let (id, masked) = (&inside.stay.id, plate.masked());
    match passback {
        Passback::Soft => work.alarm("passback", format!("{masked} entered although {id} is inside")),
        Passback::Hard => work.alarm("passback", format!("{masked} is kept out because {id} is inside")),
        Passback::Off if !may => work.alarm("repeat_entry", format!("{masked} waits because {id} is inside")),
        Passback::Off => {}
    }
    may
}

/// One vehicle does not stand in two lanes. Which of the two was misread is for staff to see; neither stay is touched.
pub(super) fn wait_for_the_other(work: &mut Work<'_>, read: &PlateRead, inside: &StayFacts, other: &LaneId) {
    work.alarm("leaving_elsewhere", format!("{} is served by {other} already", inside.stay.id));
    wait(work, visit(read, None), None, WaitReason::LeavingElsewhere);
}

/// A vehicle comes in whose stay is still open: nobody saw it leave.
pub(super) fn end_without_exit(work: &mut Work<'_>, inside: &StayFacts, plate: &Plate) {
    let id = inside.stay.id.clone();
    work.alarm("repeat_entry", format!("{} entered again; its stay {id} had no exit", plate.masked()));
    work.records.push(Record::StayVoided { stay: id, reason: NEVER_SEEN.to_owned() });
    // The plate may be another member's by now, and then nobody would need the first one's points here.
    if let Some(member) = inside.stay.member.as_ref().filter(|_| !inside.member_has_another)
        && Some(member) != consenting_member(work).as_ref()
    {
        work.return_points(member, &inside.purse, inside.keep);
    }
}

pub(super) fn consenting_member(work: &Work<'_>) -> Option<MemberId> {
    work.facts.member.as_ref().filter(|member| member.consent_plates).map(|member| member.id.clone())
}

/// What a stay begins with besides plate and time.
#[derive(Default)]
pub(super) struct Begun {
    /// On what right it is inside.
    pub right: Option<Right>,
    /// What the camera told; none where a person lets it in.
    pub entry_read: Option<EntryRead>,
}

/// Opens a stay that waits for its vehicle to pass, and asks for the points of its visit where it is a member's.
pub(super) fn open_stay(work: &mut Work<'_>, plate: Option<Plate>, entry: UtcMs, begun: Begun) -> StayId {
    let Begun { right, entry_read } = begun;
    let stay = Stay { right, entry_read, ..new_stay(work, plate, entry) };
    let member = stay.member.clone();
    let id = stay.id.clone();
    work.records.push(Record::StayOpened { stay });
    if let Some(member) = member {
        // What is kept here between visits, or was granted for another vehicle of the member's, counts as well.
        let here = points::usable(&work.facts.purse);
        ask_for_points(work, member, Points(escrow::visit_size(work.facts).0 - here.0));
    }
    id
}

/// A stay that begins now, under the rules in force.
pub(super) fn new_stay(work: &Work<'_>, plate: Option<Plate>, entry: UtcMs) -> Stay {
    Stay {
        id: work.facts.ids.stay(),
        member: consenting_member(work).filter(|_| plate.is_some()),
        plate,
        state: StayState::PendingEntry,
        entry_lane: work.lane_id.clone(),
        entry,
        rules: work.facts.rules.version,
        fee: None,
        paid: Fen(0),
        paid_at: None,
        debts: work.facts.debts,
        right: None,
        assumed: None,
        untrusted: !work.now.trusted,
        zones: Vec::new(),
        entry_read: None,
    }
}

/// A stay for a vehicle at the exit whose entry nobody knows, so long ago as the rule says.
pub(super) fn assume(work: &mut Work<'_>, plate: Option<Plate>, at: UtcMs, how: NoEntry) -> StayFacts {
    let class = plate.as_ref().map_or(super::tariff::ORDINARY, Plate::class);
    let minutes = match how {
        NoEntry::Guard => 0,
        NoEntry::DayMax => 24 * 60,
        NoEntry::Minimum => super::tariff::shortest_charged(&work.facts.rules, class, at).unwrap_or(0),
    };
    let entry = UtcMs(at.0.saturating_sub(minutes * 60_000));
    let stay = Stay { assumed: Some(how), ..new_stay(work, plate, entry) };
    work.alarm("no_entry", format!("{} is charged without an entry", stay.id));
    work.records.push(Record::StayOpened { stay: stay.clone() });
    let (rules, purse) = (work.facts.rules.clone(), work.facts.purse.clone());
    StayFacts {
        rules,
        at_lane: None,
        exit_read: None,
        left: None,
        benefits: Known::default(),
        hold: None,
        purse,
        member_has_another: false,
        prior: work.facts.prior.iter().filter(|visit| super::tariff::is_prior(visit, entry)).cloned().collect(),
        keep: work.facts.member.as_ref().map_or(Points(0), |member| member.keep),
        debts: work.facts.open_debts.clone(),
        stay,
    }
}

/// Asks the cloud ledger for points.
pub(super) fn ask_for_points(work: &mut Work<'_>, member: MemberId, points: Points) {
    if !work.facts.quarantined && points.0 > 0 {
        let (request, points) = (work.op(), Points(points.0.min(POINTS_MAX)));
        work.records.push(Record::GrantRequested { request, member, points, standing: false });
    }
}

/// Something may have changed for a vehicle that waits at an entry: a bay is free, or its debts are paid.
pub(super) fn reconsider(work: &mut Work<'_>, waiting: &Waiting) {
    if let Some(inside) = &work.facts.visit_stay {
        let is_paid = inside.stay.paid >= waiting.due.unwrap_or(Fen(0));
        if waiting.why == WaitReason::DebtsDue && is_paid {
            raise(work, waiting.visit.clone(), RaiseCause::Paid, Fen(0));
        }
        return;
    }
    let is_free = match waiting.why {
        WaitReason::Full => true,
        WaitReason::InsideAlready => work.facts.named_stay.is_none(),
        WaitReason::FeeDue
        | WaitReason::NoEntryFound
        | WaitReason::ChoiceOfStay
        | WaitReason::NoPlate
        | WaitReason::LeavingElsewhere
        | WaitReason::Blocked
        | WaitReason::DebtsDue
        | WaitReason::NoZoneRight => false,
    };
    let Some(plate) = waiting.visit.plate.clone().filter(|_| is_free) else { return };
    if let Judgement::LetIn(right) = judge(work, &plate, waiting.visit.captured) {
        let visit = begin(work, waiting.visit.clone(), &plate, right);
        raise(work, visit, RaiseCause::Entry, Fen(0));
    }
}

/// A vehicle that waits without a readable plate comes in under the number of a ticket.
pub(super) fn on_ticket(work: &mut Work<'_>, lane: &Lane) -> Option<Plate> {
    let Phase::Waiting(waiting) = &lane.phase else { return None };
    let needs_one = waiting.why == WaitReason::NoPlate && waiting.visit.plate.is_none();
    if !needs_one {
        return None;
    }
    let ticket = Plate::of_ticket(work.facts.tickets.wrapping_add(1));
    work.records.push(Record::TicketIssued { lane: work.lane_id.clone(), ticket: ticket.clone() });
    let mut visit = waiting.visit.clone();
    match judge(work, &ticket, visit.captured) {
        Judgement::Full => {
            visit.plate = Some(ticket.clone());
            wait(work, visit, None, WaitReason::Full);
        }
        Judgement::LetIn(_) | Judgement::Blocked { .. } | Judgement::DebtsDue => {
            visit.plate = Some(ticket.clone());
            visit.stay = Some(open_stay(work, Some(ticket.clone()), visit.captured, Begun::default()));
            arrival::raise(work, visit, RaiseCause::Entry, Fen(0));
        }
    }
    Some(ticket)
}
