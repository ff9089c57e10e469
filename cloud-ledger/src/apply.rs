//! What a box's entries do to the accounts, reckoned in memory: a fact is never refused, at worst it is an alarm. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::db::Value;
use crate::journal::{Fact, Movement, Part};
use crate::lot::Terms;
use crate::transfer::{Cause, What};
use crate::values;

/// A grant or pocket of the box and epoch whose journal is read.
#[derive(Clone, Debug)]
pub struct Pot {
    /// Whose points.
    pub member: String,
    /// The lot that they come from.
    pub lot: String,
    /// The entry that bore it, or 0 for a grant.
    pub born_seq: i64,
    /// The record of that entry.
    pub place: i64,
    /// What was reserved.
    pub amount: i64,
    /// What was spent of it.
    pub spent: i64,
    /// What was returned of it.
    pub returned: i64,
    /// What was given back to the member before the box was heard.
    pub released: i64,
    /// What was spent of that after all.
    pub late_spent: i64,
    /// What turned out not to be spent of that.
    pub late_returned: i64,
    /// Whether the box has said that it has it.
    pub accepted: bool,
}

/// What is left of a spend to be reversed, from the pot itself and from its reserve.
#[derive(Clone, Copy, Debug, Default)]
pub struct Taken {
    /// From the pot.
    pub normal: i64,
    /// From the reserve.
    pub late: i64,
}

/// What a stretch of a journal changes.
pub struct Book<'a> {
    box_name: &'a str,
    epoch: u32,
    now_ms: i64,
    /// The pots that the stretch names, by id; new ones are added.
    pub pots: BTreeMap<String, Pot>,
    /// What is left of spends, by op and pot.
    pub spends: BTreeMap<(String, String), Taken>,
    /// Pots that were there before and have changed.
    pub changed: BTreeSet<String>,
    /// Pots that are new.
    pub born: BTreeSet<String>,
    /// Rows of new lots.
    pub lots: Vec<Vec<Value>>,
    /// Points that go back to lots.
    pub back: BTreeMap<String, i64>,
    /// Rows of movements.
    pub transfers: Vec<Vec<Value>>,
    /// Rows of what was moved beyond what was reserved.
    pub excess: Vec<Vec<Value>>,
    /// What somebody should look at: the entry, the code, the text.
    pub alarms: Vec<(i64, &'static str, String)>,
}

/// How points leave a box's escrow.
#[derive(Clone, Copy)]
enum Way {
    Spent,
    Returned,
}

impl<'a> Book<'a> {
    /// A book for a stretch of a box's journal, which knows no pots yet.
    pub fn new(box_name: &'a str, epoch: u32, now_ms: i64) -> Self {
        Self {
            box_name,
            epoch,
            now_ms,
            pots: BTreeMap::new(),
            spends: BTreeMap::new(),
            changed: BTreeSet::new(),
            born: BTreeSet::new(),
            lots: Vec::new(),
            back: BTreeMap::new(),
            transfers: Vec::new(),
            excess: Vec::new(),
            alarms: Vec::new(),
        }
    }

    /// Takes up one fact. One that has an op is only taken where the op is new.
    pub fn take(&mut self, seq: i64, record: usize, fact: &Fact) {
        match fact {
            Fact::GrantAccepted { grant, member, points } => self.accept(seq, grant, member, *points),
            Fact::PointsEarned { op, member, points, terms } => self.earn(seq, record, op, member, *points, terms),
            Fact::PointsSpent(movement) => self.release(seq, record, movement, Way::Spent),
            Fact::PointsReturned(movement) => self.release(seq, record, movement, Way::Returned),
            Fact::PointsReversed { of, movement } => self.reverse(seq, record, of, movement),
            Fact::DebtBooked(_) | Fact::DebtPaid { .. } => {}
            Fact::ShareTaken { .. } | Fact::CouponTold { .. } => {}
        }
    }

    /// Notes something that somebody should look at.
    pub fn alarm(&mut self, seq: i64, code: &'static str, text: String) {
        self.alarms.push((seq, code, text));
    }

    fn accept(&mut self, seq: i64, grant: &str, member: &str, points: i64) {
        match self.pots.get_mut(grant) {
            Some(pot) if pot.accepted => {
                self.alarm(seq, "grant-accepted-twice", format!("the grant '{grant}' was accepted before"));
            }
            Some(pot) if pot.born_seq == 0 && pot.member == member && pot.amount == points => {
                pot.accepted = true;
                self.changed.insert(grant.to_owned());
            }
            Some(_) => self.alarm(seq, "grant-altered", format!("the grant '{grant}' has another member or amount")),
            None => self.alarm(seq, "grant-unknown", format!("the grant '{grant}' is not one of this box and epoch")),
        }
    }

    fn earn(&mut self, seq: i64, record: usize, op: &str, member: &str, points: i64, terms: &Terms) {
        let id = format!("born:{op}");
        self.lots.push(
            values![
                &id,
                member,
                &terms.issuer,
                &terms.funder,
                &terms.source,
                terms.settle_bps,
                terms.expires_ms,
                terms.valid_from_ms,
                terms.places_text(),
                terms.times_text(),
                self.now_ms,
                points,
            ]
            .to_vec(),
        );
        self.note(seq, op, None, member, points, What::Earned { issuer: &terms.issuer, lot: &id, escrow: &id });
        let pot = Pot {
            member: member.to_owned(),
            lot: id.clone(),
            born_seq: seq,
            place: i64::try_from(record).unwrap_or(i64::MAX),
            amount: points,
            spent: 0,
            returned: 0,
            released: 0,
            late_spent: 0,
            late_returned: 0,
            accepted: false,
        };
        self.pots.insert(id.clone(), pot);
        self.born.insert(id);
    }

    /// Takes points out of the box's escrow. What is not covered is booked beside the accounts, never on them.
    fn release(&mut self, seq: i64, record: usize, movement: &Movement, way: Way) {
        self.compare_parts(seq, movement);
        for (index, part) in movement.parts.iter().enumerate() {
            let mut left = part.points;
            for id in self.named(&part.grant, &movement.member) {
                left -= self.take_from(seq, &id, movement, left, way);
            }
            if left > 0 {
                self.exceed(seq, (record, index), movement, part, left, way.word(), way.alarm());
            }
        }
    }

    /// Takes up to `wanted` points from a pot: first what is outstanding, then what was released of it.
    fn take_from(&mut self, seq: i64, id: &str, movement: &Movement, wanted: i64, way: Way) -> i64 {
        let pot = self.pots.get_mut(id).expect("the pot was named by this book");
        let normal = wanted.min(pot.amount - pot.spent - pot.returned - pot.released);
        let late = (wanted - normal).min(pot.released - pot.late_spent - pot.late_returned);
        match way {
            Way::Spent => (pot.spent, pot.late_spent) = (pot.spent + normal, pot.late_spent + late),
            Way::Returned => (pot.returned, pot.late_returned) = (pot.returned + normal, pot.late_returned + late),
        }
        let lot = pot.lot.clone();
        let reserve = format!("{}/{}", self.box_name, self.epoch);
        let (op, member) = (&movement.op, &movement.member);
        match way {
            Way::Spent => {
                let taken = self.spends.entry((op.clone(), id.to_owned())).or_default();
                (taken.normal, taken.late) = (taken.normal + normal, taken.late + late);
                self.note(seq, op, Some(op), member, normal, What::Spent { lot: &lot, escrow: id });
                let what = What::LateSpent { lot: &lot, escrow: id, reserve: &reserve };
                self.note(seq, op, Some(op), member, late, what);
            }
            Way::Returned => {
                *self.back.entry(lot.clone()).or_default() += normal;
                self.note(seq, op, None, member, normal, What::Returned { lot: &lot, escrow: id });
                let what = What::LateReturned { lot: &lot, escrow: id, reserve: &reserve };
                self.note(seq, op, None, member, late, what);
            }
        }
        self.touch(id);
        normal + late
    }

    /// Puts points of a spend back into the pots that it took them from.
    fn reverse(&mut self, seq: i64, record: usize, of: &str, movement: &Movement) {
        self.compare_parts(seq, movement);
        let reserve = format!("{}/{}", self.box_name, self.epoch);
        for (index, part) in movement.parts.iter().enumerate() {
            let mut left = part.points;
            for id in self.named(&part.grant, &movement.member) {
                let taken = self.spends.entry((of.to_owned(), id.clone())).or_default();
                let normal = left.min(taken.normal);
                let late = (left - normal).min(taken.late);
                (taken.normal, taken.late) = (taken.normal - normal, taken.late - late);
                let pot = self.pots.get_mut(&id).expect("the pot was named by this book");
                (pot.spent, pot.late_spent) = (pot.spent - normal, pot.late_spent - late);
                let lot = pot.lot.clone();
                let (op, member) = (&movement.op, &movement.member);
                self.note(seq, op, Some(of), member, normal, What::Reversed { lot: &lot, escrow: &id });
                let what = What::LateReversed { lot: &lot, escrow: &id, reserve: &reserve };
                self.note(seq, op, Some(of), member, late, what);
                self.touch(&id);
                left -= normal + late;
            }
            if left > 0 {
                self.exceed(seq, (record, index), movement, part, left, "reversed", "over-reversed");
            }
        }
    }

    /// The pots that a part names: a grant, a pocket, or all pockets of a member, oldest first.
    fn named(&self, name: &str, member: &str) -> Vec<String> {
        if let Some(pot) = self.pots.get(name) {
            return if pot.member == member { vec![name.to_owned()] } else { Vec::new() };
        }
        if name.strip_prefix("born:") != Some(member) {
            return Vec::new();
        }
        let is_pocket = |(_, pot): &(&String, &Pot)| pot.born_seq > 0 && pot.member == member;
        let mut pockets: Vec<(&String, &Pot)> = self.pots.iter().filter(is_pocket).collect();
        pockets.sort_by_key(|(_, pot)| (pot.born_seq, pot.place));
        pockets.into_iter().map(|(id, _)| id.clone()).collect()
    }

    fn compare_parts(&mut self, seq: i64, movement: &Movement) {
        let in_parts: i64 = movement.parts.iter().map(|part| part.points).sum();
        if in_parts != movement.points {
            let text = format!("the parts of '{}' are {in_parts} points, not {}", movement.op, movement.points);
            self.alarm(seq, "parts-differ", text);
        }
    }

    #[allow(clippy::too_many_arguments, reason = "a row of the table and its alarm")]
    fn exceed(
        &mut self,
        seq: i64,
        (record, index): (usize, usize),
        movement: &Movement,
        part: &Part,
        points: i64,
        word: &'static str,
        code: &'static str,
    ) {
        let (member, grant) = (&movement.member, &part.grant);
        self.alarm(seq, code, format!("{points} points of '{member}' were {word} beyond '{grant}'"));
        self.excess.push(values![self.box_name, self.epoch, seq, record, index, word, member, grant, points].to_vec());
    }

    fn note(&mut self, seq: i64, op: &str, of_op: Option<&str>, member: &str, points: i64, what: What<'_>) {
        if points > 0 {
            let place = Some((self.box_name, self.epoch, seq));
            self.transfers.push(what.row(&Cause { at_ms: self.now_ms, op, of_op, place }, member, points));
        }
    }

    fn touch(&mut self, id: &str) {
        if !self.born.contains(id) {
            self.changed.insert(id.to_owned());
        }
    }
}

impl Way {
    fn word(self) -> &'static str {
        match self {
            Way::Spent => "spent",
            Way::Returned => "returned",
        }
    }

    fn alarm(self) -> &'static str {
        match self {
            Way::Spent => "overspent",
            Way::Returned => "over-returned",
        }
    }
}
