//! The service desk and merchants: points by hand within limits, disputes with what they are about, and paper vouchers
//! that are keyed in once each.

use super::decide::Facts;
use super::event::{
    BusinessDay, Decision, Fen, GivenFor, Note, Now, OfficeAct, OfficeNote, OpId, Points, Record, Reply, StaffRefusal,
    VoucherGives,
};
use super::points::{self, Lot, Pocket};
use super::till::send_home;
use super::voucher;

/// What deciding such an act rests on.
#[derive(Clone, Debug, Default)]
pub struct OfficeFacts {
    /// What was done under the same name before.
    pub before: Option<OfficeAct>,
    /// What this person gave by hand on the newest day on which anything was given.
    pub given: Option<(BusinessDay, Points)>,
    /// The sale of that receipt that has earned.
    pub earned_by: Option<OpId>,
    /// Whether the entry that is disputed says something of that party.
    pub is_leg: bool,
    /// The dispute of that party about that entry, or the dispute that is meant, where it is open.
    pub dispute: Option<OpId>,
    /// The number after the last voucher that was printed.
    pub next_voucher: u32,
    /// The vouchers of that number.
    pub voucher: Option<Voucher>,
    /// Whether that number was keyed in before.
    pub is_keyed: bool,
    /// What a stay that is over was let go and no voucher has paid yet.
    pub waived: Fen,
}

/// A paper voucher as it was printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voucher {
    /// What it pays at most; nothing where it gives minutes.
    pub fen: Fen,
    /// Who pays for it.
    pub funder: String,
    /// What it is good for.
    pub gives: VoucherGives,
}

/// The most vouchers of one print: a stack that fits a drawer.
pub const VOUCHERS_MAX: u32 = 500;
/// The points' place among the effects.
const EARNING: u32 = 4;

/// Decides what the service desk or a merchant wants.
pub(super) fn act(act: &OfficeAct, facts: &Facts, now: Now) -> Decision {
    let mut decision = Decision::nothing();
    if let Some(before) = &facts.office.before {
        let is_same = before.note == act.note;
        let other = || not_that_way("id: it was used for something else; a new act needs a new one");
        decision.reply = Reply::Staff(if is_same { Ok("it was done before".to_owned()) } else { Err(other()) });
        return decision;
    }
    let mut used = None;
    let done = match &act.note {
        Note::PointsGiven { .. } => give(&mut decision, act, facts, now),
        Note::DisputeOpened { .. } => open(facts),
        Note::DisputeSettled { .. } => match &facts.office.dispute {
            Some(_) => Ok("the dispute is settled".to_owned()),
            None => Err(not_that_way("dispute: no open dispute has that name")),
        },
        Note::VouchersPrinted { first, count, .. } => print(*first, *count, facts),
        Note::VoucherKeyed { .. } => voucher::key_in(&mut decision, act, facts, now).map(|(said, of)| {
            used = Some(of);
            said
        }),
    };
    if done.is_ok() {
        let (op, day, act) = (facts.ids.op(0), facts.day, act.clone());
        decision.records.push(Record::OfficeNoted(Box::new(OfficeNote { op, day, act, used })));
    }
    decision.reply = Reply::Staff(done);
    decision
}

fn give(decision: &mut Decision, act: &OfficeAct, facts: &Facts, now: Now) -> Result<String, StaffRefusal> {
    let Note::PointsGiven { member, points, source, funder, receipt, .. } = &act.note else {
        unreachable!("the caller looked at the note")
    };
    if facts.member.is_none() {
        return Err(not_that_way("no such member is known to this box"));
    }
    let limits = &facts.rules.goodwill;
    if !(1..=limits.most_points.0).contains(&points.0) {
        return Err(not_that_way(&format!("points: 1 to {} are allowed", limits.most_points.0)));
    }
    if *source == GivenFor::Backfill && receipt.is_none() {
        return Err(not_that_way("receipt: a sale that no till brought has a shop and a receipt number"));
    }
    if let Some(sale) = &facts.office.earned_by {
        return Err(not_that_way(&format!("receipt: it has earned already, as {sale}")));
    }
    let given = facts.office.given.filter(|(day, _)| *day == facts.day).map_or(0, |(_, points)| points.0);
    let today = given + points.0;
    if act.second.is_none() && (points.0 > limits.alone_points.0 || today > limits.day_points.0) {
        return Err(StaffRefusal::PointsSecondNeeded { points: *points });
    }
    let op = facts.ids.op(EARNING);
    let lot = Lot { source: source.word().to_owned(), funder: funder.clone(), ..Lot::default() };
    let mut purse = facts.purse.clone();
    purse.add(Pocket { grant: points::born(&op), remaining: *points, lot: lot.clone(), since: facts.ids.seq });
    decision.records.push(Record::PointsEarned { op, member: member.clone(), points: *points, lot });
    send_home(decision, facts, member, &mut purse);
    let usable = points::usable(&purse.valid(&facts.till(now))).0;
    Ok(format!("{} points are given; {usable} are usable here", points.0))
}

fn open(facts: &Facts) -> Result<String, StaffRefusal> {
    if !facts.office.is_leg {
        return Err(not_that_way("entry: the journal's entry of that number says nothing of this party"));
    }
    if let Some(dispute) = &facts.office.dispute {
        return Err(not_that_way(&format!("entry: it is disputed already, as {dispute}")));
    }
    Ok(format!("the dispute is open, as {}", facts.ids.op(0)))
}

fn print(first: u32, count: u32, facts: &Facts) -> Result<String, StaffRefusal> {
    if !(1..=VOUCHERS_MAX).contains(&count) {
        return Err(not_that_way(&format!("count: 1 to {VOUCHERS_MAX} vouchers at a time")));
    }
    if first != facts.office.next_voucher {
        return Err(not_that_way(&format!("first: the next voucher has the number {}", facts.office.next_voucher)));
    }
    Ok(format!("the vouchers {first} to {} are printed", first + count - 1))
}

pub(super) fn not_that_way(why: &str) -> StaffRefusal {
    StaffRefusal::NotThatWay { why: why.to_owned() }
}
