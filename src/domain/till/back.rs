//! What goes back: a whole transaction of the day, goods of any day, or a request that the till gives up. Goods that
//! come back are reckoned from what stays with the customer, so that no way of cutting a return gives more.

use super::facts::Booked;
use super::hold::free;
use super::{Refused, TOMBSTONED, coupon, last_of, op, put_back, send_home};
use crate::domain::benefit::{points_cost, sale_earns};
use crate::domain::decide::Facts;
use crate::domain::event::{
    Answered, Booking, BookingKind, CouponMove, Decision, EarnedHow, ExtraPoints, Fen, GivenBack, HoldEnd, Money, Now,
    OpId, PaymentVoid, Points, PointsDebt, Record, Reversal, TakenBack, TillAct, TillAnswer, TillDone,
};
use crate::domain::points::{self, Part, Purse};
use crate::domain::restoring;
use crate::domain::stay::StayState;

/// Places of the effects among those of one decision.
const REVERSED: u32 = 10;
const PAYMENT: u32 = 20;
const COUPON: u32 = 30;
const TAKEN: u32 = 21;
const OWED: u32 = 22;
/// Where what is taken of bonuses begins, and what is owed of them: far apart, as a bundle has fewer rules.
const TAKEN_EXTRA: u32 = 1_000;
const OWED_EXTRA: u32 = 100_000;

/// Takes back a whole transaction of the same business day.
pub(super) fn void(
    decision: &mut Decision,
    act: &TillAct,
    transaction: &OpId,
    facts: &Facts,
    now: Now,
) -> Result<TillDone, Refused> {
    let booked = theirs(act, transaction, facts)?;
    if booked.booking.day != facts.day {
        return Err(("not-reversible", "it is of another business day; a refund is allowed".to_owned()));
    }
    may_be_undone(booked)?;
    let whole = booked.booking.sale_fen;
    Ok(TillDone::GivenBack(give_back(decision, act, booked, (whole, BookingKind::Void), None, facts, now)))
}

/// Takes goods back, of any day and in any split.
pub(super) fn refund(
    decision: &mut Decision,
    act: &TillAct,
    transaction: &OpId,
    fen: Fen,
    facts: &Facts,
    now: Now,
) -> Result<TillDone, Refused> {
    let booked = theirs(act, transaction, facts)?;
    if booked.is_void {
        return Err(("not-reversible", "the whole transaction was taken back before".to_owned()));
    }
    spends_are_of_this_epoch(booked)?;
    let left = booked.booking.sale_fen.0 - booked.refunded.0;
    if !(1..=left).contains(&fen.0) {
        return Err(("amount-mismatch", format!("fen: {} fen; goods for {left} fen can still come back", fen.0)));
    }
    Ok(TillDone::GivenBack(give_back(decision, act, booked, (fen, BookingKind::Refund), None, facts, now)))
}

/// Undoes a request that the till gives up; one that was never seen is refused should it still come.
pub(super) fn give_up(
    decision: &mut Decision,
    act: &TillAct,
    original_key: &str,
    facts: &Facts,
    now: Now,
) -> Result<TillDone, Refused> {
    if original_key == act.key {
        return Err(("bad-request", "original_key: a reversal has a key of its own".to_owned()));
    }
    let original_key = original_key.to_owned();
    let reversed = |result, back| Ok(TillDone::Reversed { original_key: original_key.clone(), result, back });
    let Some(original) = &facts.tills.original else {
        bury(decision, act, &original_key, facts);
        return reversed(Reversal::Tombstoned, None);
    };
    match &original.answer {
        TillAnswer::Refused { .. } => reversed(Reversal::NothingToUndo, None),
        TillAnswer::Done { done: TillDone::Held { .. }, .. } => {
            let held = facts.tills.hold.as_ref().filter(|held| held.ended.is_none());
            let Some(held) = held else { return reversed(Reversal::NothingToUndo, None) };
            free(decision, &held.hold, HoldEnd::Released, facts, now);
            reversed(Reversal::Reversed, None)
        }
        TillAnswer::Applied { .. } | TillAnswer::Done { done: TillDone::Captured { .. }, .. } => {
            let Some(booked) = &facts.tills.booked else { return reversed(Reversal::Kept, None) };
            if booked.is_void {
                return reversed(Reversal::NothingToUndo, None);
            }
            if may_be_undone(booked).is_err() {
                return reversed(Reversal::Kept, None);
            }
            let whole = booked.booking.sale_fen;
            // The goods were sold all the same where the sale came by another way: what it earned is that one's.
            let left_with = booked.ways.stands.clone();
            let back = give_back(decision, act, booked, (whole, BookingKind::Void), left_with, facts, now);
            reversed(Reversal::Reversed, Some(back))
        }
        TillAnswer::Done { done: TillDone::Coupon(CouponMove::Used(used)), .. } => {
            let standing = facts.tills.coupon_use.as_ref().filter(|standing| standing.op == used.op);
            let Some(standing) = standing else { return reversed(Reversal::NothingToUndo, None) };
            coupon::put_back(decision, act, standing, op(facts, 0), facts);
            reversed(Reversal::Reversed, None)
        }
        TillAnswer::Done { .. } => reversed(Reversal::Kept, None),
    }
}

/// Keeps a refusal under a key that has not come, with a fingerprint that no request has.
fn bury(decision: &mut Decision, act: &TillAct, original_key: &str, facts: &Facts) {
    let detail = "the till gave this request up before it came; a new request needs a new key".to_owned();
    decision.records.push(Record::OperationAnswered(Answered {
        terminal: act.terminal.clone(),
        key: original_key.to_owned(),
        fingerprint: String::new(),
        number: None,
        shift: facts.tills.shift,
        day: facts.day,
        answer: TillAnswer::Refused { code: TOMBSTONED.to_owned(), detail },
    }));
}

fn theirs<'a>(act: &TillAct, transaction: &OpId, facts: &'a Facts) -> Result<&'a Booked, Refused> {
    let unknown = || {
        let detail = "this box's journal holds no such transaction of a till; only the box that made it takes it back";
        ("transaction-unknown", detail.to_owned())
    };
    let booked = facts.tills.booked.as_ref().filter(|booked| booked.booking.op == *transaction).ok_or_else(unknown)?;
    let (theirs, ours) = (&booked.booking.merchant, &act.mark.merchant);
    // Goods come back at any till of the same shop.
    let is_same_shop = ours.is_some() && ours == theirs;
    if booked.booking.terminal == act.terminal || is_same_shop { Ok(booked) } else { Err(unknown()) }
}

/// Whether a whole transaction can be undone: nothing of it came back before, and no vehicle has left on it.
fn may_be_undone(booked: &Booked) -> Result<(), Refused> {
    if booked.is_void || booked.refunded.0 > 0 {
        return Err(("not-reversible", "something of it was taken back before; a refund is allowed".to_owned()));
    }
    spends_are_of_this_epoch(booked)?;
    match booked.stay_state {
        None | Some(StayState::Open) => Ok(()),
        Some(StayState::PendingEntry | StayState::PendingExit) => {
            Err(("busy-at-lane", "the vehicle whose parking it paid stands at a lane now".to_owned()))
        }
        Some(StayState::Closed | StayState::Void) => {
            Err(("not-reversible", "the vehicle has left on the parking that it paid".to_owned()))
        }
    }
}

/// What an epoch that has ended spent, only the cloud ledger gives back.
fn spends_are_of_this_epoch(booked: &Booked) -> Result<(), Refused> {
    if booked.spends.iter().all(|spend| spend.is_of_this_epoch || spend.points.0 == 0) {
        return Ok(());
    }
    let detail = "this box has begun a new epoch since; the cloud ledger gives back the points that it spent before";
    Err(("spend-elsewhere", detail.to_owned()))
}

/// Gives back goods for `sale`, and with a void the parking too. What the goods had earned stays where the same sale is
/// left with another way.
fn give_back(
    decision: &mut Decision,
    act: &TillAct,
    booked: &Booked,
    (sale, what): (Fen, BookingKind),
    left_with: Option<OpId>,
    facts: &Facts,
    now: Now,
) -> GivenBack {
    let back = Back::of(booked, sale, what, left_with);
    let mut purse = facts.purse.clone();
    give_points(decision, booked, &back, act, &mut purse, (facts, now));
    if let (Some((of, fen)), Some(stay)) = (booked.payment.as_ref().filter(|_| back.with_parking), &booked.booking.stay)
    {
        let (op, of, stay, fen) = (op(facts, PAYMENT), of.clone(), stay.clone(), *fen);
        decision.records.push(Record::PaymentVoided(PaymentVoid { op, of, stay, fen }));
    }
    let taken = take_earned(decision, booked.earner(), &back, facts, &mut purse);
    let line = back.booking(act, booked, what, facts, now);
    let cash = line.sale_fen.0 - line.sale_points_fen.0 + line.parking_fen.0 - line.parking_points_fen.0;
    let (points_fen, points) =
        (Fen(line.sale_points_fen.0 + line.parking_points_fen.0), Points(line.sale_points.0 + line.parking_points.0));
    let (stay, money) = (line.stay.clone(), line.money.clone());
    decision.records.push(Record::TillBooked(line));
    // A coupon that multiplied what the sale earned is good again once nothing of the sale is left.
    let is_undone = booked.refunded.0 + sale.0 == booked.booking.sale_fen.0;
    let multiplied = facts.tills.coupon_use.as_ref().filter(|_| is_undone);
    let multiplied = multiplied.filter(|used| used.transaction.as_ref() == Some(&booked.booking.op));
    if let Some(used) = multiplied {
        coupon::put_back(decision, act, used, op(facts, COUPON), facts);
    }
    if let Some(member) = &booked.booking.member {
        send_home(decision, facts, member, &mut purse);
    }
    GivenBack {
        back: op(facts, 0),
        transaction: booked.booking.op.clone(),
        sale_fen: sale,
        cash_fen: Fen(cash),
        money,
        points_fen,
        points,
        taken,
        owed: Points(back.earned().0 - taken.0),
        stay,
        coupon: multiplied.and_then(|used| used.used.instance.clone()),
        usable: points::usable(&purse.valid(&facts.till(now))),
    }
}

/// What goes back, reckoned from what stays with the customer before and after.
struct Back {
    sale: Fen,
    sale_points_fen: Fen,
    sale_points: Points,
    /// What the points that go back had paid: a function of their number alone, so that it adds up whatever the split.
    reversed_fen: Fen,
    parking_points: Points,
    with_parking: bool,
    /// Money that went back before.
    returned: Fen,
    /// Plain points, and what each bonus had added, that the goods no longer earn.
    plain: Points,
    extra: Vec<Points>,
    /// What that had cost the campaigns of the bonuses.
    costs: Vec<Fen>,
    /// Status points likewise.
    status: Points,
    /// By how much it changes what the member carries to the next sale.
    carried_by: i64,
    /// The same sale by another way, which keeps what it earned.
    left_with: Option<OpId>,
}

impl Back {
    fn of(booked: &Booked, sale: Fen, what: BookingKind, left_with: Option<OpId>) -> Self {
        let kept = booked.booking.sale_fen.0 - booked.refunded.0;
        let (before, after) = (Kept::of(booked, Fen(kept)), Kept::of(booked, Fen(kept - sale.0)));
        // By whichever way goods come back, the sale has earned once, and what it earned goes back once.
        let earner = booked.earner();
        let kept = (kept - booked.ways.returned.0).max(0);
        let less = if left_with.is_some() { kept } else { (kept - sale.0).max(0) };
        let (was, is) = (Kept::of(earner, Fen(kept)), Kept::of(earner, Fen(less)));
        let with_parking = what == BookingKind::Void;
        // Staff may have undone a spend meanwhile: what is not there does not go back twice.
        let left = |has_stay: bool| {
            let spends = booked.spends.iter().filter(|spend| spend.stay.is_some() == has_stay);
            spends.map(|spend| spend.points.0).sum::<i64>()
        };
        Self {
            sale,
            sale_points_fen: Fen(before.points_fen.0 - after.points_fen.0),
            sale_points: Points((before.points.0 - after.points.0).min(left(false))),
            reversed_fen: Fen(before.spent_fen.0 - after.spent_fen.0),
            parking_points: Points(if with_parking { left(true) } else { 0 }),
            with_parking,
            returned: Fen(booked.refunded.0 - (booked.booking.sale_points_fen.0 - before.points_fen.0)),
            plain: Points(was.plain.0 - is.plain.0),
            extra: was.extra.iter().zip(&is.extra).map(|(was, is)| Points(was.0 - is.0)).collect(),
            costs: was.extra.iter().zip(&is.extra).map(|(was, is)| cost_between(earner, *was, *is)).collect(),
            status: Points(was.status.0 - is.status.0),
            carried_by: is.carried - was.carried,
            left_with,
        }
    }

    /// Earned points in all.
    fn earned(&self) -> Points {
        Points(self.plain.0 + self.extra.iter().map(|points| points.0).sum::<i64>())
    }

    /// To which payments the money goes back.
    fn money(&self, booked: &Booked) -> Vec<Money> {
        let Booking { parking_fen, parking_points_fen, money, .. } = &booked.booking;
        let parking = if self.with_parking { parking_fen.0 - parking_points_fen.0 } else { 0 };
        let to = self.returned.0 + self.sale.0 - self.sale_points_fen.0 + parking;
        Money::going_back(money, self.returned, Fen(to))
    }

    /// What of the earning is taken back, for the line in the books.
    fn how(&self, booked: &Booked) -> Option<Box<EarnedHow>> {
        let was = booked.booking.how.as_ref()?;
        let back = self.extra.iter().zip(&self.costs);
        let extra = was.extra.iter().zip(back).map(|(was, (points, cost))| {
            let cost = was.campaign.as_ref().map_or(Fen(0), |_| *cost);
            ExtraPoints { points: *points, cost, ..was.clone() }
        });
        let (sale, status, carried_by) = (was.sale.clone(), self.status, self.carried_by);
        Some(Box::new(EarnedHow { sale, extra: extra.collect(), status, carried_by }))
    }

    fn booking(&self, act: &TillAct, booked: &Booked, what: BookingKind, facts: &Facts, now: Now) -> Booking {
        let with_parking = |fen: Fen| if self.with_parking { fen } else { Fen(0) };
        Booking {
            op: op(facts, 0),
            what,
            of: Some(booked.booking.op.clone()),
            terminal: act.terminal.clone(),
            shift: facts.tills.shift,
            day: facts.day,
            merchant: act.mark.merchant.clone(),
            shop: act.mark.shop.clone(),
            duplicate_of: None,
            left_with: self.left_with.clone(),
            late_ms: 0,
            receipt: booked.booking.receipt.clone(),
            member: booked.booking.member.clone(),
            stay: booked.booking.stay.clone().filter(|_| self.with_parking),
            price_level: booked.booking.price_level.clone(),
            list_fen: None,
            visit: booked.booking.visit.clone(),
            sale_fen: self.sale,
            sale_points_fen: self.sale_points_fen,
            sale_points: self.sale_points,
            parking_fen: with_parking(booked.booking.parking_fen),
            parking_points_fen: with_parking(booked.booking.parking_points_fen),
            parking_points: self.parking_points,
            money: self.money(booked),
            earned: self.earned(),
            earning: booked.earner().booking.earning.clone(),
            how: self.how(booked.earner()),
            rules: booked.booking.rules,
            at: now.utc,
        }
    }
}

/// What a sale would have been with less in the basket: a function of what is left alone, under the rules of the sale.
struct Kept {
    points_fen: Fen,
    points: Points,
    /// What those points had paid.
    spent_fen: Fen,
    plain: Points,
    extra: Vec<Points>,
    status: Points,
    carried: i64,
}

impl Kept {
    fn of(booked: &Booked, left: Fen) -> Self {
        let Booking { sale_fen, sale_points_fen, sale_points, .. } = booked.booking;
        // Points and money stay in the proportion in which they paid; what is rounded goes back as points.
        let points_fen = share(sale_points_fen.0, left.0, sale_fen.0);
        let points = share(sale_points.0, points_fen, sale_points_fen.0);
        let spent_fen = Fen(share(sale_points_fen.0, points, sale_points.0));
        let money = Fen(left.0 - points_fen);
        let (points_fen, points, none) = (Fen(points_fen), Points(points), Points(0));
        let (Some(how), Some(member)) = (&booked.booking.how, &booked.booking.member) else {
            // A line from before there were bonuses, or one that earned nothing.
            let earned = booked.booking.earning.as_ref().map_or(none, |_| booked.rules.points_earned(money));
            let plain = earned.min(booked.booking.earned);
            return Self { points_fen, points, spent_fen, plain, extra: Vec::new(), status: none, carried: 0 };
        };
        let earns = sale_earns(&booked.rules, member, money, &how.sale);
        let given = |bonus: &str| earns.extra.iter().find(|(id, _)| id == bonus).map_or(none, |(_, points)| *points);
        let extra: Vec<Points> = how.extra.iter().map(|was| given(&was.bonus).min(was.points)).collect();
        let given = booked.booking.earned.0 - how.extra.iter().map(|was| was.points.0).sum::<i64>();
        let (plain, status) = (earns.plain.min(Points(given)), earns.status);
        Self { points_fen, points, spent_fen, plain, extra, status, carried: earns.carried }
    }
}

/// What less points cost a campaign less: whatever the cutting, all together come to what they all had cost.
fn cost_between(booked: &Booked, was: Points, is: Points) -> Fen {
    Fen(points_cost(&booked.rules, was).0 - points_cost(&booked.rules, is).0)
}

/// `whole × part ÷ of`, rounded down.
fn share(whole: i64, part: i64, of: i64) -> i64 {
    if of == 0 {
        return 0;
    }
    let exact = i128::from(whole) * i128::from(part) / i128::from(of);
    i64::try_from(exact).expect("a part of an amount is no larger than the amount")
}

fn give_points(
    decision: &mut Decision,
    booked: &Booked,
    back: &Back,
    act: &TillAct,
    purse: &mut Purse,
    (facts, now): (&Facts, Now),
) {
    let mut n = REVERSED;
    let mut restored = Vec::new();
    for spend in &booked.spends {
        let (points, fen) = match &spend.stay {
            None => (back.sale_points, Fen(back.reversed_fen.0.min(spend.fen.0))),
            Some(_) => (back.parking_points, spend.fen),
        };
        if points.0 <= 0 {
            continue;
        }
        let parts = last_of(&spend.parts, points);
        put_back(purse, &parts, facts.ids.seq);
        restored.extend(parts.clone());
        decision.records.push(Record::PointsReversed {
            op: op(facts, n),
            of: spend.op.clone(),
            member: spend.member.clone(),
            points,
            fen,
            parts,
            stay: spend.stay.clone(),
            reason: format!("{}: taken back at the till", act.terminal),
        });
        n += 1;
    }
    if let Some(spend) = booked.spends.first() {
        let days = booked.rules.benefits.lots.min_life_days;
        restoring::revive(decision, &spend.member, &restored, days, purse, facts, now);
    }
}

/// Takes back what was earned too much: from the very pockets that were earned where they are still here, else it is
/// owed.
fn take_earned(decision: &mut Decision, booked: &Booked, back: &Back, facts: &Facts, purse: &mut Purse) -> Points {
    let Some(member) = &booked.booking.member else { return Points(0) };
    let plain = booked.booking.earning.iter().map(|of| (of, back.plain, booked.born, TAKEN, OWED));
    let extra = booked.booking.how.iter().flat_map(|how| &how.extra).zip(&back.extra).zip(&booked.born_extra);
    let extra = (0..).zip(extra).map(|(n, ((of, points), born))| {
        let (taken, owed) = (TAKEN_EXTRA + n, OWED_EXTRA + n);
        (&of.op, *points, *born, taken, owed)
    });
    let mut taken_in_all = Points(0);
    for (of, earned, born, taken_at, owed_at) in plain.chain(extra) {
        let taken = Points(earned.0.min(born.0));
        if taken.0 > 0 {
            let parts = vec![Part { grant: points::born(of), points: taken }];
            points::lower(purse, &parts);
            let (op, of, member) = (op(facts, taken_at), of.clone(), member.clone());
            let back = TakenBack { op, of, member, points: taken, parts, debt: None };
            decision.records.push(Record::PointsTakenBack(back));
        }
        let owed = Points(earned.0 - taken.0);
        if owed.0 > 0 {
            let (debt, of, member) = (op(facts, owed_at), of.clone(), member.clone());
            decision.records.push(Record::PointsOwed(PointsDebt { debt, of, member, points: owed }));
        }
        taken_in_all.0 += taken.0;
    }
    taken_in_all
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_way_of_cutting_a_return_gives_more(
            sale in 1_i64..1_000_000,
            points_bps in 0_i64..=10_000,
            cuts in proptest::collection::vec(0_i64..1_000_000, 0..6),
        ) {
            let by_points = sale * points_bps / 10_000;
            let points = by_points / 10;
            let mut left = sale;
            let (mut fen, mut back) = (0, 0);
            for cut in cuts.into_iter().chain([sale]) {
                let cut = cut.min(left);
                let kept = |left| {
                    let fen = share(by_points, left, sale);
                    (fen, share(points, fen, by_points))
                };
                fen += kept(left).0 - kept(left - cut).0;
                back += kept(left).1 - kept(left - cut).1;
                left -= cut;
                prop_assert!(fen <= sale - left && back <= points);
            }
            prop_assert_eq!((left, fen, back), (0, by_points, points));
        }
    }
}
