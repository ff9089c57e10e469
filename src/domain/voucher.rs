//! A paper voucher that is keyed in: it pays for the stay that it was handed over for, or for goods, and once.

use super::benefit::{self, ACCEPTOR, Give, Moment, RestsOn, Validation};
use super::corrections::{reckon, reckoned_at};
use super::decide::{Facts, StayFacts};
use super::event::{
    Action, Decision, Evidence, Fen, Input, Note, Now, OfficeAct, OpId, Record, StaffRefusal, Tender, UtcMs,
    VoucherGives, VoucherHow, VoucherUse,
};
use super::lane::Phase;
use super::office::{Voucher, not_that_way};
use super::points::{self, Purse};
use super::stay::StayState;
use super::{escrow, gift};

/// How long after a vehicle has left its voucher may still be keyed in without the time at which it left: within the
/// month that a shop or a driver may ask about it. After that, or with a time that is a day off, the paper is kept by
/// itself.
const KNOWN_BY_PLATE_MS: i64 = 31 * 86_400_000;
const KNOWN_BY_TIME_MS: i64 = 86_400_000;
/// The name of what a voucher takes off, in the lines of a fee and in the counts.
const PAPER: &str = "paper_voucher";

/// What a keyed voucher came to, in words and for the record.
type Keyed = Result<(String, VoucherUse), StaffRefusal>;

/// Decides what a voucher of that number is good for now. Paper that people have taken is never refused because of the
/// stay: where none is known it is kept by itself.
pub(super) fn key_in(decision: &mut Decision, act: &OfficeAct, facts: &Facts, now: Now) -> Keyed {
    let Note::VoucherKeyed { left, shop, cash, .. } = &act.note else { unreachable!("the caller looked at the note") };
    let Some(voucher) = &facts.office.voucher else {
        return Err(not_that_way("number: no such voucher was printed here"));
    };
    if facts.office.is_keyed {
        return Err(not_that_way("number: this voucher was keyed in before"));
    }
    let mut keyed = Keying { decision, act, facts, voucher, ops: 0 };
    match (voucher.gives, &facts.named_stay) {
        (VoucherGives::Goods, _) => {
            let shop = shop.clone().ok_or_else(|| not_that_way("merchant: missing; a shop took this voucher"))?;
            let said = format!("{} fen, paid by {} to {shop}", voucher.fen.0, voucher.funder);
            Ok((said, keyed.owed(VoucherHow::Goods, None, voucher.fen, shop)))
        }
        (VoucherGives::Parking | VoucherGives::Minutes { .. }, None) => Ok(keyed.unmatched()),
        (VoucherGives::Parking | VoucherGives::Minutes { .. }, Some(inside)) => match inside.stay.state {
            StayState::PendingEntry | StayState::Open | StayState::PendingExit => match left {
                Some(left) => keyed.leave(inside, *left, *cash, now),
                None => keyed.give(inside, now),
            },
            StayState::Closed if is_near(inside, *left, now) => keyed.settle(inside),
            StayState::Closed | StayState::Void => Ok(keyed.unmatched()),
        },
    }
}

/// Whether a stay that is over is the one that the paper is about.
fn is_near(inside: &StayFacts, left: Option<UtcMs>, now: Now) -> bool {
    let Some(exit) = inside.left else { return false };
    match left {
        Some(left) => (exit.0 - left.0).abs() <= KNOWN_BY_TIME_MS,
        None => now.utc.0 - exit.0 <= KNOWN_BY_PLATE_MS,
    }
}

/// A voucher while it is being keyed in.
struct Keying<'a> {
    decision: &'a mut Decision,
    act: &'a OfficeAct,
    facts: &'a Facts,
    voucher: &'a Voucher,
    ops: u32,
}

impl Keying<'_> {
    /// The vehicle is inside: the voucher is a gift to its stay, and its funder owes it when the vehicle has left.
    fn give(&mut self, inside: &StayFacts, now: Now) -> Keyed {
        if self.is_leaving() {
            return Err(not_that_way("plate: its barrier is up now; key the voucher in when the vehicle has passed"));
        }
        let with = self.gifted(inside);
        if let Some((lane, _)) = &self.facts.serving {
            self.decision.actions.push(Action::Then(Box::new(Input::LaneReconsidered { lane: lane.clone() })));
        }
        let said = format!("it is given to {}; {} fen are due now", inside.stay.id, gift::due(&with, now).0);
        Ok((said, self.told(VoucherHow::Given, inside)))
    }

    /// The vehicle has left by hand and its stay is open by the books: it ends as the manual log has it. What neither the
    /// voucher nor the money of the log pays was let go by whoever raised the arm.
    fn leave(&mut self, inside: &StayFacts, left: UtcMs, cash: Fen, now: Now) -> Keyed {
        if self.facts.serving.is_some() || inside.stay.state != StayState::Open {
            return Err(not_that_way("plate: the vehicle stands at a lane now, so it has not left"));
        }
        if left > now.utc {
            return Err(not_that_way("left_at: it is still to come"));
        }
        let with = self.gifted(inside);
        let stay = inside.stay.id.clone();
        let moment = Moment { at: left, trusted: true };
        let priced = benefit::quote(&inside.rules, &inside.stay, &inside.prior, &with.benefits, &Purse::new(), moment);
        let rests_on = RestsOn::of(&inside.rules, &with.benefits, moment);
        let uses = priced.uses_with(&inside.benefits, &[]);
        let denied = priced.denied();
        let (fee, lane, due) = (priced.fee, inside.stay.entry_lane.clone(), priced.due);
        let paid = Fen(cash.0.min(due.0));
        self.decision.records.extend([
            Record::StayExiting { stay: stay.clone(), lane, at: left, fee, rests_on, denied },
            Record::BenefitsHeld { stay: stay.clone(), uses },
        ]);
        if paid.0 > 0 {
            let (op, tender) = (self.op(), Tender::Guard { operator: self.act.by.clone() });
            self.decision.records.push(Record::PaymentTaken { op, stay: stay.clone(), fen: paid, tender, at: left });
        }
        // What earlier stays of the plate left stays owed as far as no money came for it.
        let rest = due.0 - paid.0;
        let old = rest.min(inside.stay.debts.0);
        let (waived, owed) = (Fen(rest - old), Fen(old));
        let evidence = Evidence::Unconfirmed;
        self.decision.records.push(Record::StayClosed { stay: stay.clone(), evidence, waived, owed });
        self.pay_debts(inside, Fen(inside.stay.debts.0 - old));
        self.return_points(inside);
        let said = format!("{stay} has ended; {} fen were paid beside it, {} fen were let go", paid.0, waived.0);
        Ok((said, self.told(VoucherHow::Left, inside)))
    }

    /// The stay is over: the voucher pays first what its plate still owes for it, then what was let go.
    fn settle(&mut self, inside: &StayFacts) -> Keyed {
        let worth = match self.voucher.gives {
            VoucherGives::Parking | VoucherGives::Goods => self.voucher.fen.0,
            VoucherGives::Minutes { .. } => self.worth_of_time(inside).0,
        };
        let stay = inside.stay.id.clone();
        let mut left = worth;
        for debt in &self.facts.open_debts {
            let fen = Fen(debt.open.0.min(left));
            if fen.0 > 0 {
                left -= fen.0;
                let (op, debt, stay) = (self.op(), debt.op.clone(), stay.clone());
                self.decision.records.push(Record::DebtPaid { op, debt, fen, stay });
            }
        }
        let of_waived = Fen(left.min(self.facts.office.waived.0));
        let fen = Fen(worth - left + of_waived.0);
        let said = match fen.0 {
            0 => format!("{stay} is over and nothing of it is open; the voucher is kept and owes nothing"),
            _ => format!("{} fen of {stay}, which is over, paid by {}", fen.0, self.voucher.funder),
        };
        let used = self.owed(VoucherHow::Settled, Some(inside), fen, ACCEPTOR.to_owned());
        Ok((said, VoucherUse { of_waived, ..used }))
    }

    /// No stay is known that it can be for. An amount is owed as the paper says; what minutes are worth nobody can tell.
    fn unmatched(&mut self) -> (String, VoucherUse) {
        let fen = self.voucher.fen;
        let said = match self.voucher.gives {
            VoucherGives::Minutes { .. } => "no stay is known for it; it is kept for the day's report".to_owned(),
            VoucherGives::Parking | VoucherGives::Goods => {
                format!("no stay is known for it; {} fen, paid by {}", fen.0, self.voucher.funder)
            }
        };
        (said, self.owed(VoucherHow::Unmatched, None, fen, ACCEPTOR.to_owned()))
    }

    /// What its minutes take off a stay that is over, reckoned again with and without them under the rules of its entry.
    fn worth_of_time(&self, inside: &StayFacts) -> Fen {
        let Some(at) = inside.left.map(|exit| reckoned_at(inside, exit)) else { return Fen(0) };
        let mut with = inside.clone();
        with.benefits.validations.push(self.validation());
        let fee = |of: &StayFacts| reckon(of, &of.stay, &of.prior, at).fee.total.0;
        Fen((fee(inside) - fee(&with)).max(0))
    }

    /// Writes the gift, and gives the stay as it is with it.
    fn gifted(&mut self, inside: &StayFacts) -> StayFacts {
        let (op, validation) = (self.facts.ids.op(0), self.validation());
        let mut with = inside.clone();
        with.benefits.validations.push(validation.clone());
        let stay = inside.stay.id.clone();
        self.decision.records.push(Record::ValidationGiven { op, stay, validation, shop: None });
        with
    }

    fn validation(&self) -> Validation {
        let gives = match self.voucher.gives {
            VoucherGives::Minutes { minutes } => Give::Minutes(minutes),
            VoucherGives::Parking | VoucherGives::Goods => Give::Fen(self.voucher.fen.0),
        };
        Validation {
            id: self.facts.ids.op(0).0,
            kind: PAPER.to_owned(),
            merchant: self.voucher.funder.clone(),
            operator: Some(self.act.by.clone()),
            spend: Fen(0),
            gives: Some(gives),
        }
    }

    /// Whether a barrier is up for the vehicle: what it used is settled already.
    fn is_leaving(&self) -> bool {
        self.facts.serving.as_ref().is_some_and(|(_, lane)| matches!(lane.phase, Phase::Raised(_)))
    }

    /// For a stay whose own entry says what is owed.
    fn told(&self, how: VoucherHow, inside: &StayFacts) -> VoucherUse {
        let (stay, acceptor) = (Some(inside.stay.id.clone()), ACCEPTOR.to_owned());
        VoucherUse { how, stay, fen: Fen(0), of_waived: Fen(0), payers: Vec::new(), acceptor }
    }

    fn owed(&self, how: VoucherHow, inside: Option<&StayFacts>, fen: Fen, acceptor: String) -> VoucherUse {
        let payers = benefit::shares_of(&self.facts.rules.benefits, &self.voucher.funder, fen);
        let stay = inside.map(|inside| inside.stay.id.clone());
        VoucherUse { how, stay, fen, of_waived: Fen(0), payers, acceptor }
    }

    fn pay_debts(&mut self, inside: &StayFacts, paid: Fen) {
        let mut left = paid.0;
        for debt in &inside.debts {
            let fen = Fen(debt.open.0.min(left));
            if fen.0 > 0 {
                left -= fen.0;
                let (op, debt, stay) = (self.op(), debt.op.clone(), inside.stay.id.clone());
                self.decision.records.push(Record::DebtPaid { op, debt, fen, stay });
            }
        }
    }

    /// A box in doubt gives nothing back, as at the lanes.
    fn return_points(&mut self, inside: &StayFacts) {
        let Some(member) = inside.stay.member.as_ref().filter(|_| !inside.member_has_another) else { return };
        let parts = points::beyond(&inside.purse, inside.keep);
        if !self.facts.quarantined && !parts.is_empty() {
            let op = self.op();
            self.decision.records.push(escrow::returned(op, member, parts));
        }
    }

    /// The places among the effects after the act itself.
    fn op(&mut self) -> OpId {
        self.ops += 1;
        self.facts.ids.op(self.ops)
    }
}
