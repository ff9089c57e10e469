//! Points that the cloud ledger lends to this box: grants, recalls, leave to spend, doubt, and a new epoch's beginning.

use super::claim;
use super::decide::{EscrowFacts, Facts, Hold, Place};
use super::event::{
    Action, CloudNews, Decision, EpochReason, Given, HoldEnd, Input, JournalHead, MemberId, Now, OpId, Points, Record,
    Reply, StaffRefusal, StayId, Tender, Undo, UtcMs, Witnessed,
};
use super::points::{self, POINTS_MAX, Part, Pocket};
use super::stay::StayState;
use super::till::put_back;
use super::{restoring, share};

/// The highest cursor of the feed: what the ledger file can hold.
const CURSOR_MAX: u64 = i64::MAX as u64;
/// A lease or a clock beyond this is a mistake: the year 2200.
const TIME_MAX: UtcMs = UtcMs(7_258_118_400_000);
/// The longest lease that is believed, a year: it only ever stops spending, and a wrong one should not last for ever.
const LEASE_MS_MAX: i64 = 366 * 86_400_000;

/// The cloud ledger speaks.
pub(super) fn cloud(news: &CloudNews, facts: &Facts, now: Now) -> Decision {
    let mut decision = Decision::nothing();
    match news {
        CloudNews::Granted { request, member, epoch, grants } => {
            if facts.request_is_open {
                granted(&mut decision, facts, request, member, *epoch, grants);
            }
        }
        CloudNews::Acknowledged { epoch, seq } => match facts.escrow.place {
            Place::Beyond => {
                let text = format!("the cloud holds {seq} entries of epoch {epoch} and this journal does not");
                doubt(&mut decision, facts, EpochReason::Behind, &text);
            }
            Place::Held { entry, .. } if entry > facts.acknowledged => {
                decision.records.push(Record::Acknowledged { entry });
            }
            Place::Held { .. } | Place::Unknown => {}
        },
        CloudNews::Fed { changes, next } => {
            if *next <= CURSOR_MAX {
                decision.records.push(Record::Fed { changes: changes.clone(), next: *next, heard: now.utc });
                decision.records.extend(share::words(changes, facts));
            }
        }
        CloudNews::Doubted { why, reason } => doubt(&mut decision, facts, *why, reason),
        CloudNews::Refusing { reason } => {
            let text = format!("The cloud ledger refuses what this box sends, and is asked again and again: {reason}");
            decision.records.push(alarm("cloud_refuses", text));
        }
        CloudNews::Recalled { .. } => recalled(&mut decision, facts),
        CloudNews::Leased { server_ms, length_ms } => leased(&mut decision, &facts.escrow, *server_ms, *length_ms),
        CloudNews::Unleased => unleased(&mut decision, &facts.escrow),
        CloudNews::TimePassed { server_ms } => time_passed(&mut decision, &facts.escrow, *server_ms),
        CloudNews::EpochGiven { from, epoch, why } => {
            if *from == facts.ids.epoch && epoch > from {
                close_epoch(&mut decision, facts, news, *epoch, *why, now);
            }
        }
        CloudNews::EpochBegins { epoch, why } => {
            if *epoch == facts.ids.epoch && facts.ids.seq == 1 {
                begin_epoch(&mut decision, facts, *epoch, *why);
            }
        }
        CloudNews::HomesLooked { .. } => top_up(&mut decision, facts),
        CloudNews::CouponsLooked(look) => claim::looked(&mut decision, look, facts, now),
    }
    decision
}

/// Somebody outside remembers a head. Where this journal does not hold it, the journal was rewound.
pub(super) fn witnessed(seen: &Witnessed, facts: &Facts) -> Decision {
    let mut decision = Decision::nothing();
    let Witnessed { by, head } = seen;
    let is_missed = match &facts.escrow.place {
        Place::Beyond => true,
        Place::Held { head: ours, .. } => *ours != head.head,
        Place::Unknown => false,
    };
    // What an epoch that has ended had is spent here no more, whatever of it was lost.
    if is_missed && is_news(facts, EpochReason::Witness) && head.epoch >= facts.ids.epoch {
        decision.records.push(Record::WitnessSeen { by: by.clone(), head: head.clone() });
        let JournalHead { epoch, seq, .. } = head;
        let text = format!("{by} remembers entry {seq} of epoch {epoch}, which this journal does not hold");
        doubt(&mut decision, facts, EpochReason::Witness, &text);
    }
    decision
}

/// Whether a doubt says more than what is known: a journal of which only the epoch had ended turns out to be rewound.
fn is_news(facts: &Facts, why: EpochReason) -> bool {
    facts.escrow.doubt.is_none_or(|known| known.is_whole() && !why.is_whole())
}

/// From here on this box spends no points; said once.
fn doubt(decision: &mut Decision, facts: &Facts, why: EpochReason, reason: &str) {
    if !is_news(facts, why) {
        return;
    }
    decision.records.push(Record::Quarantined { why: Some(why), reason: reason.to_owned() });
    let text = format!("This box spends no points until it has a new epoch: {reason}");
    decision.records.push(alarm("quarantined", text));
}

/// Something for staff that is not about one lane.
fn alarm(code: &str, text: String) -> Record {
    Record::alarm(code, text, None, None)
}

pub(super) fn returned(op: OpId, member: &MemberId, parts: Vec<Part>) -> Record {
    Record::PointsReturned { op, member: member.clone(), points: points::sum(&parts), parts }
}

fn granted(decision: &mut Decision, facts: &Facts, request: &OpId, member: &MemberId, epoch: u32, grants: &[Given]) {
    let grants: Vec<&Given> = grants.iter().filter(|given| given.points.0 > 0).collect();
    if grants.is_empty() || epoch != facts.ids.epoch {
        decision.records.push(Record::GrantRefused { request: request.clone() });
        return;
    }
    let mut purse = facts.purse.clone();
    for given in &grants {
        let room = POINTS_MAX - points::usable(&purse).0;
        let is_twice = purse.pockets().iter().any(|pocket| pocket.grant == given.grant);
        let is_known = is_twice || facts.escrow.known_grants.contains(&given.grant);
        if is_known || !points::is_clouds(&given.grant) || given.points.0 > room {
            decision.records = vec![Record::GrantRefused { request: request.clone() }];
            let (points, grant) = (given.points.0, &given.grant);
            let text = format!("The cloud ledger gave a grant that cannot be taken: {points} points as {grant}");
            decision.records.push(alarm("grant_unusable", text));
            return;
        }
        let Given { grant, points, lot } = (*given).clone();
        purse.add(Pocket { grant: grant.clone(), remaining: points, lot: lot.clone(), since: facts.ids.seq });
        let (request, member) = (request.clone(), member.clone());
        decision.records.push(Record::GrantAccepted { request, grant, member, points, lot });
    }
    if facts.member_inside {
        let waiting = facts.waiting_lanes.iter();
        decision
            .actions
            .extend(waiting.map(|lane| Action::Then(Box::new(Input::LaneReconsidered { lane: lane.clone() }))));
        return;
    }
    if facts.quarantined {
        return;
    }
    // The member left before the answer came: what is not kept between visits goes back.
    let keep = facts.member.as_ref().map_or(Points(0), |known| known.keep);
    let parts = points::beyond(&purse, keep);
    if !parts.is_empty() {
        decision.records.push(returned(facts.ids.op(0), member, parts));
    }
}

/// The ledger wants a grant back: what is not held goes. A box in doubt keeps it, as at the lanes.
fn recalled(decision: &mut Decision, facts: &Facts) {
    if facts.quarantined {
        return;
    }
    for (n, (member, purse)) in (0..).zip(&facts.escrow.purses) {
        let parts = points::all(purse);
        if !parts.is_empty() {
            decision.records.push(returned(facts.ids.op(n), member, parts));
        }
    }
}

/// Leave to spend until a moment of the ledger's time. It can only be moved on: an old answer that comes late changes
/// nothing.
fn leased(decision: &mut Decision, escrow: &EscrowFacts, server_ms: UtcMs, length_ms: i64) {
    if !(UtcMs(0)..=TIME_MAX).contains(&server_ms) || !(0..=LEASE_MS_MAX).contains(&length_ms) {
        return;
    }
    let given = UtcMs(server_ms.0 + length_ms);
    let until_ms = escrow.lease.map_or(given, |lease| lease.until_ms.max(given));
    let latest_ms = escrow.lease.map_or(server_ms, |lease| lease.latest_ms.max(server_ms));
    decision.records.push(Record::LeaseSeen { until_ms, latest_ms });
    if escrow.has_lapsed && latest_ms < until_ms {
        decision.records.push(Record::LeaseRenewed { until_ms });
    } else if !escrow.has_lapsed && latest_ms >= until_ms {
        lapse(decision, until_ms);
    }
}

/// The ledger has taken its leave back: a box that was revoked, for one.
fn unleased(decision: &mut Decision, escrow: &EscrowFacts) {
    let latest_ms = escrow.lease.map_or(UtcMs(0), |lease| lease.latest_ms);
    if escrow.lease.is_none_or(|lease| lease.until_ms > latest_ms) {
        decision.records.push(Record::LeaseSeen { until_ms: latest_ms, latest_ms });
    }
    if !escrow.has_lapsed {
        lapse(decision, latest_ms);
    }
}

fn time_passed(decision: &mut Decision, escrow: &EscrowFacts, server_ms: UtcMs) {
    let Some(lease) = escrow.lease.filter(|lease| lease.latest_ms < server_ms && server_ms <= TIME_MAX) else { return };
    decision.records.push(Record::LeaseSeen { until_ms: lease.until_ms, latest_ms: server_ms });
    if !escrow.has_lapsed && server_ms >= lease.until_ms {
        lapse(decision, lease.until_ms);
    }
}

fn lapse(decision: &mut Decision, until_ms: UtcMs) {
    decision.records.push(Record::LeaseLapsed { until_ms });
    let text =
        "The cloud ledger has not given this box leave to spend points, or too long ago; none are spent until it does";
    decision.records.push(alarm("lease_lapsed", text.to_owned()));
}

/// The old epoch's last entry. What is held for a vehicle before a raised arm cannot wait for its passage: where the
/// journal is whole the points are spent now, covered by the grants of the epoch that ends, and all that is left goes
/// back. A journal that was rewound says nothing more: it does not know what its grants still hold, so its escrow stays
/// with the ledger, and what is held for a vehicle is void in the new epoch, where its plate will owe the money.
fn close_epoch(decision: &mut Decision, facts: &Facts, news: &CloudNews, epoch: u32, why: EpochReason, now: Now) {
    // A witness may have spoken since the ledger was asked; the worse of the two counts.
    let why = facts.escrow.doubt.filter(|doubt| !doubt.is_whole()).unwrap_or(why);
    if why.is_whole() {
        let mut next = 0;
        let mut op = || {
            next += 1;
            facts.ids.op(next - 1)
        };
        for (stay, hold) in &facts.escrow.holds {
            spend_now(decision, stay, hold, op(), now);
        }
        for hold in &facts.tills.open_holds {
            decision.records.push(Record::TillHoldEnded { op: hold.op.clone(), why: HoldEnd::EpochEnded });
            decision.records.push(returned(op(), &hold.member, hold.parts.clone()));
        }
        for (member, purse) in &facts.escrow.purses {
            decision.records.push(returned(op(), member, points::all(purse)));
        }
        decision.records.extend(claim::last_words(facts));
    }
    let then = if why.is_whole() && facts.escrow.has_more_purses {
        news.clone()
    } else {
        CloudNews::EpochBegins { epoch, why }
    };
    decision.actions.push(Action::Then(Box::new(Input::Cloud(then))));
}

/// The vehicle stands before a raised arm: its points are a payment from now on, whether it drives on or back.
fn spend_now(decision: &mut Decision, stay: &StayId, hold: &Hold, op: OpId, now: Now) {
    let Hold { op: of, member, points, fen, parts } = hold.clone();
    let tender = Tender::Points { member: member.clone() };
    decision.records.push(Record::PointsSpent { op: of, member, points, fen, parts, stay: Some(stay.clone()) });
    decision.records.push(Record::PaymentTaken { op, stay: stay.clone(), fen, tender, at: now.utc });
}

/// The first entry of a new epoch. Members who are inside get new points, because their old grants stay behind.
fn begin_epoch(decision: &mut Decision, facts: &Facts, epoch: u32, why: EpochReason) {
    let EscrowFacts { previous, passed_over, members_inside, .. } = &facts.escrow;
    decision.records.push(Record::EpochBegan {
        epoch,
        reason: why,
        previous: previous.clone(),
        passed_over: *passed_over,
    });
    for (_, hold) in &facts.escrow.holds {
        let reason = "the journal that holds its points was rewound".to_owned();
        decision.records.push(Record::HoldVoided { op: hold.op.clone(), reason });
    }
    for hold in &facts.tills.open_holds {
        decision.records.push(Record::TillHoldEnded { op: hold.op.clone(), why: HoldEnd::EpochEnded });
    }
    if !why.is_whole() {
        let text = format!("The box works with a new epoch, {epoch}; what it held before stays with the cloud ledger");
        decision.records.push(alarm("epoch_began", text));
    }
    for (n, member) in (0..).zip(members_inside) {
        let (request, points) = (facts.ids.op(n), visit_size(facts));
        let member = member.clone();
        decision.records.push(Record::GrantRequested { request, member, points, standing: false });
    }
}

/// Points for one visit: what members usually spend at most, and the most that parking costs.
pub(super) fn visit_size(facts: &Facts) -> Points {
    let usual = facts.escrow.usual_spend.unwrap_or(Points(facts.rules.grants.visit_points.0));
    let parking = facts.rules.day_in_points();
    Points(usual.0.saturating_add(parking.0).clamp(1, POINTS_MAX))
}

/// Members at home here whose points have run low.
fn top_up(decision: &mut Decision, facts: &Facts) {
    let grants = &facts.rules.grants;
    if facts.points_are_stopped().is_some() {
        return;
    }
    for (n, (member, purse)) in (0..).zip(&facts.escrow.purses) {
        let usable = points::usable(purse);
        if usable.0 < grants.low_water_points.0 && usable.0 < grants.standing_points.0 {
            let points = Points((grants.standing_points.0 - usable.0).min(POINTS_MAX));
            let (request, member) = (facts.ids.op(n), member.clone());
            decision.records.push(Record::GrantRequested { request, member, points, standing: true });
        }
    }
}

/// The return's place among the effects of undoing a transaction: far behind its spends, of which there are two at most.
const UNDO_RETURN: u32 = 100;

/// A spend is undone. Only the journal that holds it may do so: two boxes without a line could otherwise each give the
/// same points back.
pub(super) fn undo(undo: &Undo, facts: &Facts, now: Now) -> Decision {
    let mut decision = Decision::nothing();
    decision.reply = Reply::Staff(undo_spends(&mut decision, undo, facts, now));
    decision
}

fn undo_spends(decision: &mut Decision, undo: &Undo, facts: &Facts, now: Now) -> Result<String, StaffRefusal> {
    let spends = &facts.escrow.spends;
    if spends.is_empty() {
        return Err(StaffRefusal::SpentElsewhere);
    }
    // The ledger gives back what an ended epoch spent; both could otherwise give the same points back.
    if spends.iter().any(|spend| !spend.is_reversed && !spend.is_of_this_epoch) {
        return Err(StaffRefusal::EpochEnded);
    }
    let is_at_lane = |state: Option<StayState>| match state {
        Some(StayState::PendingEntry | StayState::PendingExit) => true,
        Some(StayState::Open | StayState::Closed | StayState::Void) | None => false,
    };
    if spends.iter().any(|spend| !spend.is_reversed && is_at_lane(spend.stay_state)) {
        return Err(StaffRefusal::BusyAtLane);
    }
    let total: i64 = spends.iter().map(|spend| spend.taken.0).sum();
    for (n, spend) in (0..).zip(spends) {
        if !spend.is_reversed {
            decision.records.push(Record::PointsReversed {
                op: facts.ids.op(n),
                of: spend.op.clone(),
                member: spend.member.clone(),
                points: spend.points,
                fen: spend.fen,
                parts: spend.parts.clone(),
                stay: spend.stay.clone(),
                reason: format!("{}: {}", undo.by, undo.reason),
            });
        }
    }
    let parts: Vec<Part> =
        spends.iter().filter(|spend| !spend.is_reversed).flat_map(|spend| spend.parts.clone()).collect();
    let mut purse = facts.purse.clone();
    put_back(&mut purse, &parts, facts.ids.seq);
    if let Some(spend) = spends.first() {
        let days = facts.rules.benefits.lots.min_life_days;
        restoring::revive(decision, &spend.member, &parts, days, &mut purse, facts, now);
    }
    // What is here for a member without a vehicle here goes back.
    if !facts.member_inside
        && !facts.quarantined
        && let Some(member) = spends.first().map(|spend| spend.member.clone())
    {
        let keep = facts.member.as_ref().map_or(Points(0), |known| known.keep);
        let parts = points::beyond(&purse, keep);
        if !parts.is_empty() {
            decision.records.push(returned(facts.ids.op(UNDO_RETURN), &member, parts));
        }
    }
    Ok(format!("{total} points are back"))
}
