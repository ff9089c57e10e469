//! What a box does in the model.

use crate::ledger::fence;
use crate::protocol::{Action, Broken, Protocol, send};
use crate::state::{Device, Entry, Message, Pocket, Points, State, Upload};

impl Protocol {
    /// What stands in the journal.
    #[allow(clippy::wildcard_enum_match_arm, reason = "the caller passes what a box writes")]
    pub(crate) fn box_writes(&self, state: &mut State, at: usize, action: Action) -> bool {
        let here = &state.devices[at];
        if here.is_dirty || !self.may_write(here, action) {
            return false;
        }
        match action {
            Action::Accept { grant, .. } => self.accept(state, at, grant),
            Action::Spend { pocket, amount, .. } => {
                self.hand_out(state, at, pocket, amount, Entry::Spend(pocket, amount))
            }
            Action::Hold { pocket, amount, .. } => {
                self.hand_out(state, at, pocket, amount, Entry::Hold(pocket, amount))
            }
            Action::Void { pocket, amount, .. } => {
                let can = amount > 0 && here.held(pocket) >= amount;
                if can {
                    // A box in doubt may have let this vehicle pass already: nothing is taken off what was handed out.
                    if !here.is_quarantined() {
                        let member = owner(state, pocket);
                        state.truth.goods[member] -= amount;
                    }
                    write(&mut state.devices[at], Entry::Void(pocket, amount));
                }
                can
            }
            Action::Post { pocket, amount, .. } => {
                let can = amount > 0 && here.held(pocket) >= amount;
                if can {
                    write(&mut state.devices[at], Entry::Post(pocket, amount));
                }
                can
            }
            Action::Return { pocket, amount, .. } => self.give_back(state, at, pocket, amount),
            Action::Reverse { pocket, amount, .. } => {
                let back = state.truth.brought_back.iter().sum::<Points>() + amount;
                let can = amount > 0 && here.spent(pocket) >= amount && back <= self.bounds.reversals;
                if can {
                    let member = owner(state, pocket);
                    // The same goods cannot be brought back a second time.
                    if !state.truth.is_taken_back {
                        state.truth.goods[member] -= amount;
                    }
                    state.truth.brought_back[member] += amount;
                    write(&mut state.devices[at], Entry::Reverse(pocket, amount));
                }
                can
            }
            Action::Earn { member, amount, .. } => {
                let can = amount > 0 && state.truth.earned.iter().sum::<Points>() + amount <= self.bounds.earns;
                if can {
                    state.truth.earned[usize::from(member)] += amount;
                    write(&mut state.devices[at], Entry::Earn(Pocket::Born(member), amount));
                }
                can
            }
            Action::ReverseElsewhere { member, .. } => take_back_anywhere(state, at, member),
            other => unreachable!("{other:?} is not written by a box"),
        }
    }

    /// What a box does beside its journal, or has done to it.
    #[allow(clippy::wildcard_enum_match_arm, reason = "the caller passes what a box does")]
    pub(crate) fn box_does(&self, state: &mut State, at: usize, action: Action) -> bool {
        let here = &mut state.devices[at];
        match action {
            Action::Sync { seq, .. } => {
                let can = !here.is_dirty && (1..=here.length()).contains(&seq);
                can && send(&mut state.network, upload(&state.devices[at], seq))
            }
            Action::Lapse { .. } => !std::mem::replace(&mut here.has_lapsed, true),
            Action::Renew { .. } => std::mem::replace(&mut here.has_lapsed, false),
            Action::Backup { .. } => {
                let can = here.backup.is_none();
                if can {
                    here.backup = Some((here.epoch, here.journal.clone()));
                    state.truth.faults += 1;
                }
                can
            }
            Action::Restore { .. } => {
                let Some((epoch, journal)) = here.backup.clone() else { return false };
                if epoch == here.epoch && journal == here.journal {
                    return false;
                }
                (here.epoch, here.journal) = (epoch, journal);
                if self.is(Broken::RestoreUnnoticed) || self.is(Broken::WitnessRestored) {
                    here.witness = (here.epoch, here.length());
                }
                state.truth.faults += 1;
                true
            }
            Action::Handshake { .. } => self.handshake(state, at),
            Action::Clone { .. } => {
                let twin = here.clone();
                state.devices.push(twin);
                state.truth.faults += 1;
                true
            }
            Action::Fsync { .. } => {
                let can = std::mem::take(&mut here.is_dirty);
                if can {
                    here.witness = (here.epoch, here.length());
                }
                can
            }
            Action::CrashLoses { .. } => {
                let can = std::mem::take(&mut here.is_dirty);
                if can {
                    here.journal.pop();
                }
                can
            }
            other => unreachable!("{other:?} is not done by a box"),
        }
    }

    /// Whether the journal has room, and the box trusts it enough. In doubt it neither hands out nor gives back: what
    /// it has forgotten may have spent the same points. What a raised barrier has begun is ended in any case.
    #[allow(clippy::wildcard_enum_match_arm, reason = "the caller passes what a box writes")]
    fn may_write(&self, here: &Device, action: Action) -> bool {
        let has_room = here.journal.len() < self.bounds.journal;
        match action {
            Action::Void { .. } | Action::Post { .. } => true,
            Action::Accept { .. } | Action::Earn { .. } => {
                has_room && (self.bounds.writes_in_doubt || !here.is_quarantined())
            }
            Action::Return { .. } => has_room && (self.is(Broken::ReturnInDoubt) || !here.is_quarantined()),
            _ => has_room && !here.is_quarantined(),
        }
    }

    fn accept(&self, state: &mut State, at: usize, number: u8) -> bool {
        let here = &mut state.devices[at];
        let Some(grant) = state.ledger.grants.get(usize::from(number)) else { return false };
        let pocket = Pocket::Grant(number);
        let is_known = here.journal.contains(&Entry::Accept(pocket, grant.amount));
        let can =
            grant.name == here.name && grant.epoch == here.epoch && (!is_known || self.is(Broken::GrantTakenTwice));
        if can {
            write(here, Entry::Accept(pocket, grant.amount));
        }
        can
    }

    fn hand_out(&self, state: &mut State, at: usize, pocket: Pocket, amount: Points, entry: Entry) -> bool {
        let here = &mut state.devices[at];
        if here.has_lapsed || amount <= 0 || here.remaining(pocket) < amount {
            return false;
        }
        if self.is(Broken::RaisedBeforeCommit) {
            here.journal.push(entry);
            here.is_dirty = true;
        } else {
            write(here, entry);
        }
        let member = owner(state, pocket);
        state.truth.goods[member] += amount;
        true
    }

    fn give_back(&self, state: &mut State, at: usize, pocket: Pocket, amount: Points) -> bool {
        let here = &mut state.devices[at];
        let mut most = here.remaining(pocket);
        if self.is(Broken::ReturnTakesHeld) {
            most += here.held(pocket);
        }
        if amount <= 0 || amount > most {
            return false;
        }
        match pocket {
            Pocket::Grant(number) if self.is(Broken::ReturnBesideJournal) => {
                send(&mut state.network, Message::BareReturn(number, amount))
            }
            Pocket::Born(_) if self.is(Broken::EarnedEverywhere) => false,
            Pocket::Grant(_) | Pocket::Born(_) => {
                write(here, Entry::Return(pocket, amount));
                true
            }
        }
    }

    /// A box in doubt sends what is left, and begins a new epoch with an empty journal.
    fn handshake(&self, state: &mut State, at: usize) -> bool {
        let here = &state.devices[at];
        let (name, epoch) = (here.name, here.epoch);
        let newest = state.ledger.epoch(name);
        let cursor = state.ledger.cursor(name, epoch);
        let in_doubt = epoch != newest || here.length() < cursor || here.is_quarantined();
        let is_busy = here.is_dirty || here.pockets().into_iter().any(|pocket| here.held(pocket) > 0);
        // An epoch with a grant or an entry in it was begun by a journal that is gone: it is not begun a second time.
        let was_begun = state.ledger.cursor(name, newest) > 0
            || state.ledger.grants.iter().any(|grant| (grant.name, grant.epoch) == (name, newest));
        let ends_newest = epoch == newest || (was_begun && !self.is(Broken::EpochBegunTwice));
        let has_next = !ends_newest || newest < self.bounds.fences;
        if !in_doubt || is_busy || !has_next || self.is(Broken::RestoreUnnoticed) {
            return false;
        }
        for seq in cursor + 1..=here.length() {
            send(&mut state.network, upload(here, seq));
        }
        if ends_newest {
            fence(&mut state.ledger, name);
        }
        let here = &mut state.devices[at];
        here.epoch = state.ledger.epoch(name);
        here.journal.clear();
        here.witness = (here.epoch, 0);
        true
    }
}

/// Writes an entry durably; whoever is told of it remembers how long the journal is now. A box in doubt stays in doubt,
/// however much it writes.
fn write(device: &mut Device, entry: Entry) {
    let was_in_doubt = device.is_quarantined();
    device.journal.push(entry);
    device.witness =
        if was_in_doubt { (device.witness.0, device.witness.1 + 1) } else { (device.epoch, device.length()) };
}

/// A receipt of any box is taken back, once at each box; the goods come back once only.
fn take_back_anywhere(state: &mut State, at: usize, member: u8) -> bool {
    let pocket = Pocket::Born(member);
    let whose = usize::from(member);
    let was_sold = state.truth.goods[whose] + state.truth.brought_back[whose] > 0;
    let was_here = state.devices[at].journal.iter().any(|entry| matches!(entry, Entry::Earn(..)));
    if !was_sold || was_here {
        return false;
    }
    if state.truth.brought_back[whose] == 0 {
        state.truth.goods[whose] -= 1;
        state.truth.brought_back[whose] = 1;
    }
    write(&mut state.devices[at], Entry::Earn(pocket, 1));
    true
}

fn upload(device: &Device, seq: u16) -> Message {
    let entry = device.journal[usize::from(seq) - 1];
    Message::Upload(Upload { name: device.name, epoch: device.epoch, seq, entry })
}

/// Whose points a pocket holds.
fn owner(state: &State, pocket: Pocket) -> usize {
    match pocket {
        Pocket::Grant(number) => usize::from(state.ledger.grants[usize::from(number)].pot.member),
        Pocket::Born(member) => usize::from(member),
    }
}
