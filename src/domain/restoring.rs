//! Points that go back after their lot is over: they get a life of their own, as the rules promise.

use super::decide::Facts;
use super::event::{Decision, MemberId, Now, OpId, Points, Record, UtcMs};
use super::points::{self, Lot, Part, Pocket, Purse};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// The place of what goes home among the effects of a giving back, and where the lives anew begin: far behind all else.
const OVER: u32 = 199_999;
const ANEW: u32 = 200_000;

/// Gives points that went back into lots that are over `min_life_days` more: what is over goes home, where its lot ends,
/// and the same points are born here for as long, with the same payer and the same restrictions. The parts are in the
/// purse. With a clock in doubt nobody knows what is over, and a box in doubt gives nothing back.
pub(super) fn revive(
    decision: &mut Decision,
    member: &MemberId,
    parts: &[Part],
    min_life_days: u32,
    purse: &mut Purse,
    facts: &Facts,
    now: Now,
) {
    if min_life_days == 0 || !now.trusted || facts.quarantined {
        return;
    }
    let lot_of = |part: &Part| purse.pockets().iter().find(|pocket| pocket.grant == part.grant).map(|found| &found.lot);
    let is_over = |lot: &Lot| lot.expires_ms.is_some_and(|until| until <= now.utc);
    let over: Vec<(Part, Lot)> = parts
        .iter()
        .filter_map(|part| lot_of(part).filter(|lot| is_over(lot)).map(|lot| (part.clone(), lot.clone())))
        .collect();
    if over.is_empty() {
        return;
    }
    let gone: Vec<Part> = over.iter().map(|(part, _)| part.clone()).collect();
    points::lower(purse, &gone);
    let (op, points) = (facts.ids.op(OVER), points::sum(&gone));
    decision.records.push(Record::PointsReturned { op, member: member.clone(), points, parts: gone });
    let until = UtcMs(now.utc.0.saturating_add(i64::from(min_life_days) * DAY_MS));
    for (n, (part, lot)) in (ANEW..).zip(over) {
        let (op, points) = (facts.ids.op(n), part.points);
        let lot = Lot { id: None, valid_from_ms: None, expires_ms: Some(until), ..lot };
        purse.add(pocket(&op, points, &lot, facts));
        decision.records.push(Record::PointsEarned { op, member: member.clone(), points, lot });
    }
}

fn pocket(op: &OpId, remaining: Points, lot: &Lot, facts: &Facts) -> Pocket {
    Pocket { grant: points::born(op), remaining, lot: lot.clone(), since: facts.ids.seq }
}
