//! A till's commit: what was bought, what was paid for parking, what it earned and spent, exactly once.

use super::benefit::{self, ByPoints, Moment, Outcome, Paying, Short, Use};
use super::decide::{Facts, StayFacts};
use super::event::{
    Action, Booking, BookingKind, CouponMove, Decision, Fen, HoldEnd, Input, MemberId, Now, OpId, Points, Record,
    Reply, Sale, StayId, Tender, TillAnswer, TillCommit, TillHold, UtcMs,
};
use super::points::{self, Purse};
use super::{earning, gift, till};

/// Decides a till's commit.
pub(super) fn commit(commit: &TillCommit, facts: &Facts, now: Now) -> Decision {
    if let Some(stored) = &facts.operation {
        return Decision { reply: Reply::Till(till::repeat(&commit.fingerprint, stored)), ..Decision::nothing() };
    }
    let mut decision = Decision::nothing();
    let answer = match &commit.gift {
        Some(given) => gift::give(&mut decision, commit, given, facts, now).unwrap_or_else(|refusal| refusal),
        None => match check(commit, facts, now) {
            Ok(plan) => apply(&mut decision, commit, facts, plan, now),
            Err(refusal) => refusal,
        },
    };
    let TillCommit { terminal, key, fingerprint, mark, .. } = commit;
    till::answered(&mut decision, facts, terminal, key, fingerprint, mark, answer);
    decision
}

/// The place of the use of a coupon among a commit's effects.
const COUPON: u32 = 60;

/// What a commit will do, once nothing speaks against it.
struct Plan {
    stay: Option<(StayId, Fen)>,
    /// What the stay uses up of benefits.
    uses: Option<Vec<Use>>,
    /// Points for parking and points for the sale, each a spend of its own.
    spends: Vec<Spend>,
    /// Points that were set aside for it, which are free again before anything is spent.
    hold: Option<TillHold>,
    /// The coupon that multiplies what the sale earns.
    multiplied: Option<till::Multiplied>,
    /// What is kept of the member's code.
    code: Option<Record>,
}

/// Points that a commit will spend.
struct Spend {
    member: MemberId,
    points: Points,
    fen: Fen,
    parts: Vec<points::Part>,
    stay: Option<StayId>,
}

fn refuse(code: &str, detail: String) -> TillAnswer {
    TillAnswer::Refused { code: code.to_owned(), detail }
}

/// The most that one amount of a commit may be, ¥1,000,000: far above any receipt, far below where sums could overflow.
const FEN_MAX: i64 = 100_000_000;

/// How long before this box's clock a sale that spends points may have happened: a till's clock may be some minutes off,
/// and a spend that was stored while the till was cut off would be older. A late sale that only earns is welcome.
const LATE_SPEND_MS: i64 = 10 * 60_000;

fn check(commit: &TillCommit, facts: &Facts, now: Now) -> Result<Plan, TillAnswer> {
    till::check_shift(&commit.mark, facts).map_err(|(code, detail)| refuse(code, detail))?;
    for (name, fen) in [("sale", commit.sale), ("cash", commit.cash), ("points", commit.points_cover)] {
        if !(0..=FEN_MAX).contains(&fen.0) {
            return Err(refuse("bad-request", format!("{name}: {} fen; allowed are 0 to {FEN_MAX} fen", fen.0)));
        }
    }
    if let Some(list) = commit.list.filter(|list| *list < commit.sale || commit.member.is_none()) {
        let detail = format!("list: {} fen; no less than the sale's {} fen, for a member", list.0, commit.sale.0);
        return Err(refuse("bad-request", detail));
    }
    if commit.member.is_some() && facts.member.is_none() {
        return Err(refuse("member-unknown", "no such member".to_owned()));
    }
    let reckoned = match &commit.stay {
        None => None,
        Some(id) => Some((id.clone(), due_of(facts, id, now)?)),
    };
    let stay = reckoned.as_ref().map(|(id, outcome)| (id.clone(), outcome.due));
    let parking = stay.as_ref().map_or(Fen(0), |(_, due)| *due);
    let total = commit.sale.0 + parking.0;
    if commit.cash.0 + commit.points_cover.0 != total {
        let detail = format!("the tenders make {} fen, due are {total} fen", commit.cash.0 + commit.points_cover.0);
        return Err(refuse("tender-mismatch", detail));
    }
    if let Some((_, outcome)) = &reckoned
        && Fen(parking.0.min(commit.points_cover.0)) > outcome.points_cap
    {
        return Err(beyond_the_cap(outcome.points_cap));
    }
    let hold = match &commit.hold {
        None => None,
        Some(_) => Some(held_for(commit, facts, now)?),
    };
    let code = check_code(commit, hold.as_ref(), facts, now)?;
    let multiplied = check_coupon(commit, parking, facts, now)?;
    let (spends, by_points) = if commit.points_cover.0 == 0 {
        (Vec::new(), Vec::new())
    } else {
        check_not_late(commit, now)?;
        plan_spends(commit, facts, reckoned.as_ref(), hold.as_ref(), now)?
    };
    let inside = facts.named_stay.as_ref().filter(|_| parking.0 > 0);
    let uses =
        reckoned.as_ref().zip(inside).map(|((_, outcome), inside)| outcome.uses_with(&inside.benefits, &by_points));
    Ok(Plan { stay, uses, spends, hold, multiplied, code })
}

/// Whether the member was shown in a way that allows this. What was set aside was paid for with the code then.
fn check_code(
    commit: &TillCommit,
    hold: Option<&TillHold>,
    facts: &Facts,
    now: Now,
) -> Result<Option<Record>, TillAnswer> {
    let held = hold.map_or(0, |hold| hold.fen.0);
    let (shown, place, pays) = (commit.shown.as_ref(), commit.terminal.as_str(), commit.points_cover.0 > held);
    let at = commit.occurred.unwrap_or(now.utc);
    let checked = till::check_shown(shown, commit.member.as_ref(), place, pays, facts, at, now);
    checked.map_err(|(code, detail)| refuse(code, detail))
}

fn held_for(commit: &TillCommit, facts: &Facts, now: Now) -> Result<TillHold, TillAnswer> {
    let hold = till::find_hold(&commit.terminal, facts, now).map_err(|(code, detail)| refuse(code, detail))?;
    if Some(&hold.member) != commit.member.as_ref() {
        return Err(refuse("hold-unknown", "hold: these points belong to another member".to_owned()));
    }
    Ok(hold.clone())
}

/// The coupon that the till names with the sale. Points pay for parking first, and what they pay of the sale earns nothing.
fn check_coupon(
    commit: &TillCommit,
    parking: Fen,
    facts: &Facts,
    now: Now,
) -> Result<Option<till::Multiplied>, TillAnswer> {
    let Some(code) = &commit.coupon else { return Ok(None) };
    check_not_late(commit, now)?;
    let money = Fen(commit.sale.0 - (commit.points_cover.0 - parking.0).max(0));
    let multiplied = till::multiply(commit, code, money, facts.ids.op(COUPON), facts, now);
    multiplied.map(Some).map_err(|(code, detail)| refuse(code, detail))
}

fn check_not_late(commit: &TillCommit, now: Now) -> Result<(), TillAnswer> {
    let late = commit.occurred.map_or(0, |at| now.utc.0.saturating_sub(at.0));
    if now.trusted && late > LATE_SPEND_MS {
        let most = LATE_SPEND_MS / 60_000;
        let detail = format!(
            "occurred_at: {} minutes before this box's clock; points and coupons are used at most {most} minutes late, and \
             the sale is allowed without them",
            late / 60_000
        );
        return Err(refuse("late-redemption", detail));
    }
    Ok(())
}

/// How far apart in time the same receipt of a shop may come by two ways: a day and a half, so that a stored sale is still
/// known on the next day, and a receipt counter that begins anew each day is not.
const TWINS_APART_MS: i64 = 36 * 60 * 60_000;

/// How long after a sale the service desk may have made up for it: a month of receipts in drawers.
const MADE_UP_WITHIN_MS: i64 = 31 * 24 * 60 * 60_000;

/// The same sale that came by another way before and has earned: by a receipt's picture, the cloud, or another line, or
/// by hand at the service desk. What is sold after the desk gave points has the number of a counter that began anew.
pub(super) fn twin(commit: &TillCommit, facts: &Facts, now: Now) -> Option<OpId> {
    let at = commit.occurred.unwrap_or(now.utc);
    let is_near = |other: UtcMs| (at.0 - other.0).abs() <= TWINS_APART_MS;
    let was_sold = |given: UtcMs| (-LATE_SPEND_MS..=MADE_UP_WITHIN_MS).contains(&(given.0 - at.0));
    let twin = facts.tills.twin.as_ref().filter(|(_, other)| is_near(*other));
    let made_up = facts.tills.made_up.as_ref().filter(|(_, given)| was_sold(*given));
    twin.or(made_up).filter(|_| commit.sale.0 > 0).map(|(op, _)| op.clone())
}

/// How long ago the till says that it happened, where that is more than clocks differ.
fn late_ms(commit: &TillCommit, now: Now) -> i64 {
    let late = commit.occurred.map_or(0, |at| now.utc.0.saturating_sub(at.0));
    if late.abs() > LATE_SPEND_MS { late } else { 0 }
}

fn due_of(facts: &Facts, id: &StayId, now: Now) -> Result<Outcome, TillAnswer> {
    let Some(inside) = &facts.named_stay else {
        return Err(refuse("stay-unknown", format!("no open stay {id}")));
    };
    if inside.hold.is_some() {
        return Err(refuse("tender-mismatch", "points are paying for this stay at the exit; due are 0 fen".to_owned()));
    }
    // A vehicle that stands at the exit owes what it owed when it was read there.
    let at = inside.exit_read.unwrap_or(now.utc);
    let (moment, till) = (Moment { at, trusted: now.trusted }, facts.till(now));
    Ok(benefit::quote(&inside.rules, &inside.stay, &inside.prior, &inside.benefits, &inside.purse.valid(&till), moment))
}

/// Points pay for parking first, as the stay's own rules have it; what they pay of the sale is a spend of its own, so that
/// every stay's books close. The uses are what is counted of those for parking.
fn plan_spends(
    commit: &TillCommit,
    facts: &Facts,
    reckoned: Option<&(StayId, Outcome)>,
    hold: Option<&TillHold>,
    now: Now,
) -> Result<(Vec<Spend>, Vec<Use>), TillAnswer> {
    let Some(member) = &facts.member else {
        return Err(refuse("bad-request", "a points tender needs member_ref".to_owned()));
    };
    if let Some(why) = facts.points_are_stopped() {
        return Err(refuse("quarantined", why.to_owned()));
    }
    let mut purse = facts.purse.clone();
    if let Some(hold) = hold {
        till::put_back(&mut purse, &hold.parts, 0);
    }
    let mut purse = purse.valid(&facts.till(now));
    let for_parking = Fen(reckoned.map_or(0, |(_, outcome)| outcome.due.0.min(commit.points_cover.0)));
    let for_goods = Fen(commit.points_cover.0 - for_parking.0);
    let (mut spends, mut uses) = (Vec::new(), Vec::new());
    if let (Some((stay, outcome)), Some(inside)) = (reckoned.filter(|_| for_parking.0 > 0), &facts.named_stay) {
        let by_points = pay_by_points(inside, outcome, (&member.id, &purse), for_parking, now)?;
        let (points, parts) = (by_points.offer.points, by_points.offer.parts());
        points::lower(&mut purse, &parts);
        spends.push(Spend { member: member.id.clone(), points, fen: for_parking, parts, stay: Some(stay.clone()) });
        uses = by_points.uses;
    }
    if for_goods.0 > 0 {
        let whole = facts.rules.payable(for_goods);
        if whole != for_goods {
            return Err(not_whole(for_goods, whole));
        }
        let (points, usable) = (facts.rules.points_needed(for_goods), points::usable(&purse));
        let parts = points::take(&purse, points).ok_or_else(|| too_few(points, usable, String::new()))?;
        spends.push(Spend { member: member.id.clone(), points, fen: for_goods, parts, stay: None });
    }
    Ok((spends, uses))
}

fn pay_by_points(
    inside: &StayFacts,
    outcome: &Outcome,
    (payer, purse): (&MemberId, &Purse),
    fen: Fen,
    now: Now,
) -> Result<ByPoints, TillAnswer> {
    let moment = Moment { at: inside.exit_read.unwrap_or(now.utc), trusted: now.trusted };
    let StayFacts { rules, stay, benefits: known, .. } = inside;
    let paying = Paying { rules, stay, known, payer, purse, moment };
    let most = outcome.points_may_pay(&paying);
    if fen > most {
        return Err(beyond_the_cap(most));
    }
    outcome.just_by_points(&paying, fen).map_err(|short| match short {
        Short::NotWhole(whole) => not_whole(fen, whole),
        Short::Points { needed, has, told } => {
            let why = told.first().map_or(String::new(), |told| format!("; others: {}", told.en));
            too_few(needed, has, why)
        }
    })
}

fn beyond_the_cap(most: Fen) -> TillAnswer {
    refuse("tender-mismatch", format!("points may pay {} fen of the parking fee", most.0))
}

fn not_whole(fen: Fen, whole: Fen) -> TillAnswer {
    let detail = format!("points pay whole multiples; {} fen is none, and {} fen is the next below", fen.0, whole.0);
    refuse("tender-mismatch", detail)
}

fn too_few(needed: Points, usable: Points, why: String) -> TillAnswer {
    refuse("insufficient-points", format!("{} points are needed, {} are usable here{why}", needed.0, usable.0))
}

fn apply(decision: &mut Decision, commit: &TillCommit, facts: &Facts, plan: Plan, now: Now) -> TillAnswer {
    let transaction = facts.ids.op(0);
    let mut purse = facts.purse.clone();
    decision.records.extend(plan.code.clone());
    if let Some(hold) = &plan.hold {
        decision.records.push(Record::TillHoldEnded { op: hold.op.clone(), why: HoldEnd::Captured });
        till::put_back(&mut purse, &hold.parts, facts.ids.seq);
    }
    let spent = spend(decision, facts, &plan.spends, &mut purse);
    let parking = plan.stay.as_ref().map_or(Fen(0), |(_, due)| *due);
    pay_parking(decision, commit, facts, &plan, parking, now);
    // What the payment rests on stays with the vehicle until it has left: nobody else uses it up meanwhile.
    if let (Some((stay, _)), Some(uses)) = (&plan.stay, &plan.uses)
        && facts.named_stay.as_ref().is_some_and(|inside| inside.benefits.held != *uses)
    {
        decision.records.push(Record::BenefitsHeld { stay: stay.clone(), uses: uses.clone() });
    }
    // What points paid earns nothing; they pay for parking first.
    let sale_by_points = (commit.points_cover.0 - parking.0).max(0);
    let coupon = plan.multiplied.as_ref().map(|multiplied| multiplied.coupon.clone());
    let earning = (Fen(commit.sale.0 - sale_by_points), coupon);
    let earned = earning::earn(decision, commit, facts, earning, &mut purse, now);
    if let Some(multiplied) = &plan.multiplied {
        decision.records.push(Record::CouponMoved(CouponMove::Used(multiplied.used.clone())));
    }
    let points_earned = earned.points;
    if commit.sale.0 > 0 {
        decision.records.push(Record::SaleCommitted(Sale {
            op: transaction.clone(),
            terminal: commit.terminal.clone(),
            receipt: commit.receipt.clone(),
            member: commit.member.clone(),
            total_fen: commit.sale,
            at_ms: commit.occurred.unwrap_or(now.utc),
        }));
    }
    decision.records.push(Record::TillBooked(booking(commit, facts, &plan, parking, earned, now)));
    give_back(decision, facts, &mut purse);
    if let Some((lane, _)) = facts.serving.as_ref().filter(|_| plan.stay.is_some()) {
        decision.actions.push(Action::Then(Box::new(Input::LaneReconsidered { lane: lane.clone() })));
    }
    let stay = plan.stay.map(|(id, _)| (id, Fen(0)));
    let usable = points::usable(&purse.valid(&facts.till(now)));
    let duplicate_of = twin(commit, facts, now);
    TillAnswer::Applied { transaction, earned: points_earned, spent, usable, stay, duplicate_of, replayed: false }
}

/// The line in the tills' books, with everything that a return of goods needs to know later.
fn booking(
    commit: &TillCommit,
    facts: &Facts,
    plan: &Plan,
    parking: Fen,
    earned: earning::Written,
    now: Now,
) -> Booking {
    let points = |is_parking: bool| {
        let spends = plan.spends.iter().filter(|spend| spend.stay.is_some() == is_parking);
        spends.fold((0, 0), |(fen, points), spend| (fen + spend.fen.0, points + spend.points.0))
    };
    let ((sale_points_fen, sale_points), (parking_points_fen, parking_points)) = (points(false), points(true));
    Booking {
        op: facts.ids.op(0),
        what: BookingKind::Sale,
        of: None,
        terminal: commit.terminal.clone(),
        shift: facts.tills.shift,
        day: facts.day,
        merchant: commit.mark.merchant.clone(),
        shop: commit.mark.shop.clone(),
        duplicate_of: twin(commit, facts, now),
        left_with: None,
        late_ms: late_ms(commit, now),
        receipt: commit.receipt.clone(),
        member: commit.member.clone(),
        stay: plan.stay.as_ref().map(|(stay, _)| stay.clone()),
        price_level: level_of(commit, facts, now),
        list_fen: commit.list,
        visit: facts.tills.visit.clone(),
        sale_fen: commit.sale,
        sale_points_fen: Fen(sale_points_fen),
        sale_points: Points(sale_points),
        parking_fen: parking,
        parking_points_fen: Fen(parking_points_fen),
        parking_points: Points(parking_points),
        money: commit.money.clone(),
        earned: earned.points,
        earning: earned.earning,
        how: earned.how,
        rules: facts.rules.version,
        at: commit.occurred.unwrap_or(now.utc),
    }
}

/// The list of prices that the member has when the goods are sold.
fn level_of(commit: &TillCommit, facts: &Facts, now: Now) -> Option<String> {
    let member = commit.member.as_ref().filter(|_| commit.sale.0 > 0)?;
    let moment = Moment { at: commit.occurred.unwrap_or(now.utc), trusted: now.trusted };
    benefit::price_level(&facts.rules, member, &facts.tills.earning, moment)
}

fn spend(decision: &mut Decision, facts: &Facts, spends: &[Spend], purse: &mut Purse) -> Points {
    for (n, spend) in (6..).zip(spends) {
        points::lower(purse, &spend.parts);
        decision.records.push(Record::PointsSpent {
            op: facts.ids.op(n),
            member: spend.member.clone(),
            points: spend.points,
            fen: spend.fen,
            parts: spend.parts.clone(),
            stay: spend.stay.clone(),
        });
    }
    Points(spends.iter().map(|spend| spend.points.0).sum())
}

fn pay_parking(decision: &mut Decision, commit: &TillCommit, facts: &Facts, plan: &Plan, parking: Fen, now: Now) {
    let Some((stay, _)) = &plan.stay else { return };
    let by_points = Fen(commit.points_cover.0.min(parking.0));
    let by_cash = Fen(parking.0 - by_points.0);
    let mut take = |op: OpId, fen: Fen, tender: Tender| {
        if fen.0 > 0 {
            decision.records.push(Record::PaymentTaken { op, stay: stay.clone(), fen, tender, at: now.utc });
        }
    };
    if let Some(spend) = plan.spends.first() {
        take(facts.ids.op(2), by_points, Tender::Points { member: spend.member.clone() });
    }
    take(facts.ids.op(3), by_cash, Tender::Till { terminal: commit.terminal.clone() });
}

/// A member without a vehicle here needs nothing reserved here, besides what is kept between visits. A box in doubt
/// gives nothing back, as at the lanes.
fn give_back(decision: &mut Decision, facts: &Facts, purse: &mut Purse) {
    let stays = facts.member_inside || facts.quarantined;
    let Some(member) = facts.member.as_ref().filter(|_| !stays) else { return };
    let parts = points::beyond(purse, member.keep);
    if !parts.is_empty() {
        points::lower(purse, &parts);
        decision.records.push(Record::PointsReturned {
            op: facts.ids.op(5),
            member: member.id.clone(),
            points: points::sum(&parts),
            parts,
        });
    }
}
