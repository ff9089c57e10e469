//! What staff put right in the books: the fee is computed again under the rules of the entry, and the difference posted.

use super::admission::{self, Asked, Judgement, Right};
use super::benefit::{Beyond, Moment, RestsOn, Source, Use};
use super::decide::{Facts, StayFacts};
use super::event::{
    Action, Approval, Corrected, Correction, Decision, Evidence, Fen, Input, Now, OpId, Record, Reply, StaffRefusal,
    StayId, UtcMs, Wrong,
};
use super::losses::NEVER_SEEN;
use super::plate::Plate;
use super::points::Purse;
use super::stay::{Stay, StayState};
use super::tariff::{Fee, PriorVisit};
use super::{benefit, escrow, points};

/// The longest stay that a correction may make: an entry before that is a slip of the pen.
const LONGEST_MS: i64 = 400 * 86_400_000;

/// A person puts the books right.
pub(super) fn decide(correction: &Correction, facts: &Facts, now: Now) -> Decision {
    let mut books = Books { correction, facts, now, records: Vec::new(), actions: Vec::new(), ops: 0 };
    let done = match &correction.what {
        Wrong::Plate { plate, .. } => books.plate(plate),
        Wrong::Entry { entry, .. } => books.entry(*entry),
        Wrong::Merge { .. } => books.merge(),
        Wrong::Split { left, back, .. } => books.split(*left, *back),
        Wrong::Ended { .. } => books.ended(),
        Wrong::Approved { limit, second, .. } => books.approve(limit, second),
        Wrong::Count { zone, vehicles } => Ok(books.count(zone.as_deref(), *vehicles)),
    };
    let (records, actions) = if done.is_ok() { (books.records, books.actions) } else { Default::default() };
    Decision { records, actions, reply: Reply::Staff(done) }
}

/// A correction while it is being made.
struct Books<'a> {
    correction: &'a Correction,
    facts: &'a Facts,
    now: Now,
    records: Vec<Record>,
    actions: Vec<Action>,
    ops: u32,
}

type Done = Result<String, StaffRefusal>;

impl Books<'_> {
    fn plate(&mut self, plate: &Plate) -> Done {
        let inside = self.stay()?;
        if inside.stay.state == StayState::Open && self.facts.inside_by_plate.is_some() {
            return Err(no(format!("{plate} is inside already; merge the two stays, or end the other one")));
        }
        let mut stay = Stay { plate: Some(plate.clone()), ..inside.stay.clone() };
        if inside.stay.state == StayState::Open {
            let member = self.facts.member.as_ref().filter(|member| member.consent_plates);
            stay.member = member.map(|member| member.id.clone());
            if stay.member != inside.stay.member {
                self.return_points(&inside);
            }
            stay.right = self.right_of(&inside, plate);
            stay.debts = self.facts.debts;
        }
        self.correct(&inside, stay)
    }

    /// On what right the vehicle is inside by its true plate, as if that had been read at the entry.
    fn right_of(&self, inside: &StayFacts, plate: &Plate) -> Option<Right> {
        let on_passes = admission::without(&self.facts.on_passes, inside.stay.right.as_ref());
        let asked = Asked { plate, at: inside.stay.entry, on_passes: &on_passes, debts: Fen(0), free: None };
        match inside.rules.admission.judge(&asked) {
            Judgement::LetIn(right) => right,
            Judgement::Blocked { .. } | Judgement::DebtsDue | Judgement::Full => None,
        }
    }

    fn entry(&mut self, entry: UtcMs) -> Done {
        let inside = self.stay()?;
        let until = inside.left.unwrap_or(self.now.utc);
        if entry > until || entry.0 < until.0.saturating_sub(LONGEST_MS) {
            return Err(no("the entry must be before the exit, by at most 400 days".to_owned()));
        }
        self.correct(&inside, Stay { entry, ..inside.stay.clone() })
    }

    fn merge(&mut self) -> Done {
        let inside = self.stay()?;
        let Some(first) = self.facts.first.clone().filter(|first| first.stay.id != inside.stay.id) else {
            return Err(no("there is no such first stay".to_owned()));
        };
        let is_over = match first.stay.state {
            StayState::Open => false,
            StayState::Void => true,
            StayState::PendingEntry | StayState::PendingExit => return Err(StaffRefusal::BusyAtLane),
            StayState::Closed => {
                return Err(no("the first stay has left; only one that did not can be a part".to_owned()));
            }
        };
        let until = inside.left.filter(|_| inside.stay.assumed.is_some()).unwrap_or(inside.stay.entry);
        if first.stay.entry > until || first.stay.paid.0 > 0 {
            let why = "the first stay must have begun before the other, and nothing may have been paid for it";
            return Err(no(why.to_owned()));
        }
        if !is_over {
            let reason = format!("it is one visit with {}", inside.stay.id);
            self.records.push(Record::StayVoided { stay: first.stay.id.clone(), reason });
            if first.stay.member != inside.stay.member {
                self.return_points(&first);
            }
        }
        let (entry, entry_lane, rules) = (first.stay.entry, first.stay.entry_lane.clone(), first.stay.rules);
        let stay = Stay { entry, entry_lane, rules, assumed: None, ..inside.stay.clone() };
        let inside = StayFacts { rules: first.rules.clone(), ..inside };
        self.correct(&inside, stay)
    }

    fn split(&mut self, left: UtcMs, back: UtcMs) -> Done {
        let inside = self.stay()?;
        let stay = &inside.stay;
        if stay.state != StayState::Open {
            return Err(no("only a vehicle that is inside can have gone and come again unseen".to_owned()));
        }
        if !(stay.entry <= left && left <= back && back <= self.now.utc) {
            return Err(no("the times must follow one another: entry, left, back, now".to_owned()));
        }
        if stay.paid.0 > 0 || stay.debts.0 > 0 || !stay.zones.is_empty() {
            return Err(no("a stay with payments, debts or parts in inner lots is not split".to_owned()));
        }
        let Reckoned { fee, rests_on, .. } = reckon(&inside, stay, &inside.prior, left);
        let (id, lane, due) = (stay.id.clone(), stay.entry_lane.clone(), fee.total);
        self.records.push(Record::StayExiting { stay: id.clone(), lane, at: left, fee, rests_on, denied: Vec::new() });
        let is_owed = stay.plate.is_some();
        let (waived, owed) = if is_owed { (Fen(0), due) } else { (due, Fen(0)) };
        self.records.push(Record::StayClosed { stay: id.clone(), evidence: Evidence::Unconfirmed, waived, owed });
        self.owe(stay.plate.clone(), &id, due);
        let second = Stay {
            id: self.facts.ids.stay(),
            state: StayState::PendingEntry,
            entry: back,
            rules: self.facts.rules.version,
            fee: None,
            debts: if is_owed { due } else { Fen(0) },
            right: None,
            assumed: None,
            ..stay.clone()
        };
        let begun = second.id.clone();
        self.records.push(Record::StayOpened { stay: second });
        self.records.push(Record::StayEntered { stay: begun.clone(), evidence: Evidence::Unconfirmed });
        Ok(format!("{id} ended then and owes {} fen; {begun} goes on", due.0))
    }

    /// A stay whose vehicle is not inside any more; also what lets a vehicle in again that is kept out because of it.
    fn ended(&mut self) -> Done {
        let inside = self.stay()?;
        if inside.stay.state != StayState::Open {
            return Err(no("only the stay of a vehicle that is inside by the books can be ended".to_owned()));
        }
        let reason = format!("{NEVER_SEEN}; {}: {}", self.correction.operator, self.correction.reason);
        self.records.push(Record::StayVoided { stay: inside.stay.id.clone(), reason });
        self.return_points(&inside);
        Ok(format!("{} has ended without an exit", inside.stay.id))
    }

    /// A stay gets what a limit kept from it. A vehicle that waits at a lane is looked at again.
    fn approve(&mut self, limit: &str, second: &str) -> Done {
        let Some(inside) = &self.facts.named_stay else { return Err(no("there is no such stay".to_owned())) };
        if !matches!(inside.stay.state, StayState::Open | StayState::PendingExit) {
            return Err(no("only the stay of a vehicle that is inside can go beyond a limit".to_owned()));
        }
        let limits = inside.rules.benefits.limits.iter().filter(|known| known.beyond == Beyond::SecondApproval);
        let names: Vec<&str> = limits.map(|known| known.id.as_str()).collect();
        if !names.contains(&limit) {
            let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            return Err(no(format!("limit: two persons may go beyond {known}")));
        }
        let (stay, Correction { operator, reason, evidence, .. }) = (inside.stay.id.clone(), self.correction.clone());
        let (limit, second) = (limit.to_owned(), second.to_owned());
        let done = format!("{stay} may go beyond {limit}");
        self.records.push(Record::LimitApproved(Approval { stay, limit, operator, second, reason, evidence }));
        if let Some((lane, _)) = &self.facts.serving {
            self.actions.push(Action::Then(Box::new(Input::LaneReconsidered { lane: lane.clone() })));
        }
        Ok(done)
    }

    fn count(&mut self, zone: Option<&str>, counted: u32) -> String {
        let by_books = self.facts.counts.by_books(zone.unwrap_or(super::capacity::OUTSIDE));
        let (zone, operator) = (zone.map(ToOwned::to_owned), self.correction.operator.clone());
        self.records.push(Record::CountTaken { zone, counted, by_books, operator });
        format!("counted {counted}, the books say {by_books}")
    }

    /// The stay that is put right. One that stands at a lane is left alone until it has gone.
    fn stay(&self) -> Result<StayFacts, StaffRefusal> {
        let inside = self.facts.named_stay.clone().ok_or_else(|| no("there is no such stay".to_owned()))?;
        match inside.stay.state {
            StayState::Open | StayState::Closed if self.facts.serving.is_none() => Ok(inside),
            StayState::Open | StayState::Closed | StayState::PendingEntry | StayState::PendingExit => {
                Err(StaffRefusal::BusyAtLane)
            }
            StayState::Void => Err(no("the stay is void".to_owned())),
        }
    }

    /// Posts the stay as it is now; of one that has left also what its fee rose or fell by.
    fn correct(&mut self, inside: &StayFacts, stay: Stay) -> Done {
        let exit = inside.left;
        let at = exit.map(|exit| reckoned_at(inside, exit));
        let again = at.map(|at| reckon(inside, &stay, &self.facts.prior, at));
        let uses = again.as_ref().map(|again| again.uses.clone());
        let (fee, rests_on) = again.map_or((None, None), |again| (Some(again.fee), again.rests_on));
        let before = inside.stay.fee.as_ref().map_or(0, |fee| fee.total.0);
        let difference = Fen(fee.as_ref().map_or(0, |fee| fee.total.0 - before));
        let (op, plate, id) = (self.op(), stay.plate.clone(), stay.id.clone());
        let settled = self.settle_debts(&id, Fen((-difference.0).max(0)));
        // Only money that was taken goes back; points are given back by undoing their spend.
        let now = before + difference.0;
        let refund = Fen((-difference.0 - settled.0).min(stay.paid.0 - now).max(0));
        let Correction { operator, reason, evidence, .. } = self.correction.clone();
        let corrected =
            Corrected { op, stay, exit, at, fee, rests_on, uses, difference, refund, operator, reason, evidence };
        self.records.push(Record::StayCorrected(Box::new(corrected)));
        self.owe(plate, &id, difference);
        Ok(match (difference.0, refund.0) {
            (more @ 1.., _) => format!("{id} is put right; its plate owes {more} fen more"),
            (_, 0) => format!("{id} is put right"),
            (_, back) => format!("{id} is put right; give {back} fen back"),
        })
    }

    /// What the fee fell by pays first what the stay's plate still owes for it.
    fn settle_debts(&mut self, stay: &StayId, less: Fen) -> Fen {
        let mut left = less.0;
        for debt in &self.facts.open_debts {
            let fen = debt.open.0.min(left);
            if fen > 0 {
                left -= fen;
                let (op, debt, stay) = (self.op(), debt.op.clone(), stay.clone());
                self.records.push(Record::DebtPaid { op, debt, fen: Fen(fen), stay });
            }
        }
        Fen(less.0 - left)
    }

    fn owe(&mut self, plate: Option<Plate>, stay: &StayId, fen: Fen) {
        if let Some(plate) = plate.filter(|_| fen.0 > 0) {
            let debt = self.op();
            self.records.push(Record::DebtBooked { debt, stay: stay.clone(), plate, fen });
        }
    }

    /// A box in doubt gives nothing back, as at the lanes.
    fn return_points(&mut self, inside: &StayFacts) {
        let Some(member) = inside.stay.member.as_ref().filter(|_| !inside.member_has_another) else { return };
        let parts = points::beyond(&inside.purse, inside.keep);
        if !self.facts.quarantined && !parts.is_empty() {
            let op = self.op();
            self.records.push(escrow::returned(op, member, parts));
        }
    }

    fn op(&mut self) -> OpId {
        let op = self.facts.ids.op(self.ops);
        self.ops += 1;
        op
    }
}

/// For which moment a stay that has left is reckoned: its exit, or its payment where the grace after it was used.
pub(super) fn reckoned_at(inside: &StayFacts, exit: UtcMs) -> UtcMs {
    let graced = |fee: &Fee| fee.lines.iter().any(|line| line.rule == "grace" || line.rule.ends_with(".grace"));
    let by_grace = inside.stay.fee.as_ref().is_some_and(graced);
    inside.stay.paid_at.filter(|_| by_grace).unwrap_or(exit)
}

/// What a stay costs, what that rests on, and what it uses up of benefits.
pub(super) struct Reckoned {
    pub fee: Fee,
    rests_on: Option<Box<RestsOn>>,
    uses: Vec<Use>,
}

/// What a stay costs under its own rules with what was known of it, before anything was paid: a payment for a wrong fee
/// must not bring the grace that follows a right one. Points that were set aside stay as they are.
pub(super) fn reckon(inside: &StayFacts, stay: &Stay, prior: &[PriorVisit], at: UtcMs) -> Reckoned {
    let moment = Moment { at, trusted: true };
    let unpaid = stay.unpaid();
    let outcome = benefit::quote(&inside.rules, &unpaid, prior, &inside.benefits, &Purse::new(), moment);
    let mut uses = outcome.uses_without_points();
    uses.extend(inside.benefits.held.iter().filter(|used| used.source == Source::Points).cloned());
    Reckoned { fee: outcome.fee, rests_on: RestsOn::of(&inside.rules, &inside.benefits, moment), uses }
}

fn no(why: String) -> StaffRefusal {
    StaffRefusal::NotThatWay { why }
}
