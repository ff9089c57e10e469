//! What the cloud ledger does in the model.

use crate::protocol::{Action, Broken, Protocol, Release};
use crate::state::{Entry, Epoch, Grant, Ledger, Message, Pocket, Points, Pot, Standing, State, Upload};

/// How points leave a pot.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Spent,
    Returned,
}

impl Protocol {
    #[allow(clippy::wildcard_enum_match_arm, reason = "the caller passes what the ledger does")]
    pub(crate) fn ledger_does(&self, state: &mut State, action: Action) -> bool {
        match action {
            Action::Grant { name, member, amount } => self.grant(&mut state.ledger, name, member, amount),
            Action::Online { member, amount } => {
                let can = amount > 0 && state.ledger.available(member) >= amount;
                if can {
                    let account = &mut state.ledger.accounts[usize::from(member)];
                    (account.debited, account.online) = (account.debited + amount, account.online + amount);
                    state.truth.goods[usize::from(member)] += amount;
                }
                can
            }
            Action::OnlineReverse { member, amount } => {
                let back = state.truth.brought_back.iter().sum::<Points>() + amount;
                let account = &mut state.ledger.accounts[usize::from(member)];
                let can = amount > 0 && account.online >= amount && back <= self.bounds.reversals;
                if can {
                    (account.debited, account.online) = (account.debited - amount, account.online - amount);
                    state.truth.goods[usize::from(member)] -= amount;
                    state.truth.brought_back[usize::from(member)] += amount;
                }
                can
            }
            Action::Apply(upload) => self.apply(state, upload),
            Action::Declare { name } => {
                let can = state.ledger.epoch(name) < self.bounds.fences;
                if can {
                    state.truth.faults += 1;
                    fence(&mut state.ledger, name);
                }
                can
            }
            Action::Release { name, epoch, pocket } => self.release(state, name, epoch, pocket),
            Action::TimeFrees { grant } => end(state, grant, Standing::Closed),
            Action::LoseCommit { grant } => {
                let can = end(state, grant, Standing::Forgotten);
                state.truth.faults += u8::from(can);
                can
            }
            Action::BareReturn { grant, amount } => {
                let pot = &mut state.ledger.grants[usize::from(grant)].pot;
                let can = pot.standing == Standing::Open;
                if can {
                    pot.outstanding -= amount;
                    close_if_empty(pot);
                }
                can
            }
            Action::ReverseForBox { name, epoch, grant } => reverse_for_box(state, name, epoch, grant),
            other => unreachable!("{other:?} is not done by the ledger"),
        }
    }

    fn grant(&self, ledger: &mut Ledger, name: u8, member: u8, amount: Points) -> bool {
        let can = amount > 0 && ledger.available(member) >= amount && ledger.grants.len() < self.bounds.grants;
        if can {
            let epoch = ledger.epoch(name);
            ledger.grants.push(Grant { name, epoch, amount, pot: Pot::new(member, amount) });
        }
        can
    }

    /// One entry of a journal, once and in its turn, of whatever epoch.
    fn apply(&self, state: &mut State, upload: Upload) -> bool {
        let Upload { name, epoch, seq, entry } = upload;
        if self.is(Broken::LateFactsDiscarded) && epoch != state.ledger.epoch(name) {
            return false;
        }
        let Some(row) = state.ledger.boxes[usize::from(name)].get_mut(usize::from(epoch)) else { return false };
        if seq == row.cursor + 1 {
            row.cursor = seq;
        } else if seq > row.cursor || !self.is(Broken::UploadAppliedTwice) {
            return false;
        }
        match entry {
            Entry::Spend(pocket, n) | Entry::Post(pocket, n) => {
                self.take_out(state, (name, epoch), pocket, n, Way::Spent);
            }
            Entry::Return(pocket, n) => self.take_out(state, (name, epoch), pocket, n, Way::Returned),
            Entry::Reverse(pocket, n) => put_back(state, (name, epoch), pocket, n),
            Entry::Earn(pocket, n) => self.earn(&mut state.ledger, (name, epoch), pocket, n),
            Entry::Accept(pocket, _) => {
                let pot = state.ledger.pot(name, epoch, pocket);
                state.truth.has_alarmed |= pot.is_none_or(|pot| pot.standing == Standing::Forgotten);
            }
            Entry::Hold(..) | Entry::Void(..) => {}
        }
        true
    }

    fn earn(&self, ledger: &mut Ledger, (name, epoch): (u8, u8), pocket: Pocket, points: Points) {
        let Pocket::Born(member) = pocket else { unreachable!("what is earned is born") };
        ledger.accounts[usize::from(member)].credited += points;
        if self.is(Broken::EarnedEverywhere) {
            return;
        }
        let is_ended = epoch != ledger.epoch(name);
        let born = &mut ledger.boxes[usize::from(name)][usize::from(epoch)].born;
        match born.binary_search_by_key(&member, |pot| pot.member) {
            Ok(place) => put_in(&mut born[place], points, is_ended),
            Err(place) => {
                let standing = if is_ended { Standing::Frozen } else { Standing::Open };
                born.insert(place, Pot { standing, ..Pot::new(member, points) });
            }
        }
    }

    /// Takes points out of a pot: what is reserved first, then what a release has set aside for it.
    fn take_out(&self, state: &mut State, place: (u8, u8), pocket: Pocket, points: Points, way: Way) {
        if self.is(Broken::EarnedEverywhere)
            && let Pocket::Born(member) = pocket
        {
            state.ledger.accounts[usize::from(member)].debited += points;
            return;
        }
        let Some(pot) = pot_mut(&mut state.ledger, place, pocket) else {
            state.truth.has_underflowed = true;
            return;
        };
        let covered = points.min(pot.outstanding);
        pot.outstanding -= covered;
        let mut rest = points - covered;
        let mut debited = covered;
        match pot.standing {
            Standing::Open | Standing::Frozen => close_if_empty(pot),
            // What nobody holds escrow for is the member's to pay: the loss is seen, and not hidden.
            Standing::Closed | Standing::Forgotten => {
                state.truth.has_underflowed |= rest > 0;
                debited += std::mem::take(&mut rest);
            }
            Standing::Released if self.release == Release::MemberPays => debited += std::mem::take(&mut rest),
            Standing::Released => {
                let from_reserve = rest.min(pot.reserved);
                pot.reserved -= from_reserve;
                if way == Way::Spent {
                    pot.lost += from_reserve;
                }
                rest -= from_reserve;
            }
        }
        let member = usize::from(pot.member);
        state.truth.has_underflowed |= rest > 0;
        if way == Way::Spent {
            state.ledger.accounts[member].debited += debited;
        }
    }

    /// A grant or born points of an ended epoch go back to the member, and the same amount is set aside for late facts.
    fn release(&self, state: &mut State, name: u8, epoch: u8, pocket: Pocket) -> bool {
        if epoch >= state.ledger.epoch(name) {
            return false;
        }
        let Some(pot) = pot_mut(&mut state.ledger, (name, epoch), pocket) else { return false };
        if pot.outstanding == 0 {
            return false;
        }
        let points = std::mem::take(&mut pot.outstanding);
        if self.release == Release::ReservePays {
            pot.reserved += points;
        }
        pot.standing = Standing::Released;
        state.truth.released[usize::from(pot.member)] += points;
        true
    }
}

/// Ends a box's epoch: its grants wait for late facts, and only the next epoch gets new ones.
pub(crate) fn fence(ledger: &mut Ledger, name: u8) {
    let ended = ledger.epoch(name);
    for grant in ledger.grants.iter_mut().filter(|grant| grant.name == name && grant.epoch == ended) {
        freeze(&mut grant.pot);
    }
    let epochs = &mut ledger.boxes[usize::from(name)];
    epochs[usize::from(ended)].born.iter_mut().for_each(freeze);
    epochs.push(Epoch::default());
}

fn freeze(pot: &mut Pot) {
    if pot.standing == Standing::Open {
        pot.standing = Standing::Frozen;
    }
}

/// A reversed spend: the points are the member's again and reserved again, at the same box. What the reserve has paid
/// goes back to the reserve first.
fn put_back(state: &mut State, (name, epoch): (u8, u8), pocket: Pocket, points: Points) {
    let is_ended = epoch != state.ledger.epoch(name);
    let Some(pot) = pot_mut(&mut state.ledger, (name, epoch), pocket) else {
        state.truth.has_underflowed = true;
        return;
    };
    let to_reserve = points.min(pot.lost);
    (pot.lost, pot.reserved) = (pot.lost - to_reserve, pot.reserved + to_reserve);
    let to_member = points - to_reserve;
    let member = usize::from(pot.member);
    if to_member > 0 {
        put_in(pot, to_member, is_ended);
        state.ledger.accounts[member].debited -= to_member;
    }
}

/// A receipt of an ended epoch is taken back at the ledger, once; the goods come back once only.
fn reverse_for_box(state: &mut State, name: u8, epoch: u8, grant: u8) -> bool {
    let pocket = Pocket::Grant(grant);
    let cursor = state.ledger.cursor(name, epoch);
    let is_spend = |message: &Message| match message {
        Message::Upload(upload) => {
            let is_of = (upload.name, upload.epoch) == (name, epoch) && upload.seq <= cursor;
            is_of && matches!(upload.entry, Entry::Spend(of, _) if of == pocket)
        }
        Message::BareReturn(..) => false,
    };
    let member = usize::from(state.ledger.grants[usize::from(grant)].pot.member);
    if state.truth.is_taken_back || epoch >= state.ledger.epoch(name) || !state.network.iter().any(is_spend) {
        return false;
    }
    state.truth.is_taken_back = true;
    state.ledger.accounts[member].debited -= 1;
    if state.truth.brought_back[member] == 0 {
        state.truth.goods[member] -= 1;
        state.truth.brought_back[member] = 1;
    }
    true
}

fn put_in(pot: &mut Pot, points: Points, is_ended: bool) {
    pot.outstanding += points;
    match pot.standing {
        Standing::Closed if is_ended => pot.standing = Standing::Frozen,
        Standing::Closed => pot.standing = Standing::Open,
        Standing::Open | Standing::Frozen | Standing::Released | Standing::Forgotten => {}
    }
}

fn close_if_empty(pot: &mut Pot) {
    if pot.outstanding == 0 {
        pot.standing = Standing::Closed;
    }
}

fn end(state: &mut State, grant: u8, standing: Standing) -> bool {
    let pot = &mut state.ledger.grants[usize::from(grant)].pot;
    let can = pot.standing == Standing::Open;
    if can {
        (pot.outstanding, pot.standing) = (0, standing);
    }
    can
}

fn pot_mut(ledger: &mut Ledger, (name, epoch): (u8, u8), pocket: Pocket) -> Option<&mut Pot> {
    match pocket {
        Pocket::Grant(number) => {
            let grant = ledger.grants.get_mut(usize::from(number))?;
            (grant.name == name && grant.epoch == epoch).then_some(&mut grant.pot)
        }
        Pocket::Born(member) => {
            let row = &mut ledger.boxes[usize::from(name)][usize::from(epoch)];
            row.born.iter_mut().find(|pot| pot.member == member)
        }
    }
}
