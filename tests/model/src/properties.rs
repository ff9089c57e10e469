//! What must hold in every state, and what must be reachable so that a clean result is not an empty one.

use stateright::Property;

use crate::protocol::{Action, Protocol, Release, small};
use crate::state::{Message, Pocket, Points, Standing, State};

/// P1: nobody gets goods for points that never were.
pub const NO_OVERSPEND: &str = "P1 no overspend";
/// P2: what the ledger keeps for a box covers what the box may still do with it.
pub const COVER: &str = "P2 escrow covers the box";
/// P3: no account goes below zero; where the member pays for late facts, not below what was released.
pub const NOT_NEGATIVE: &str = "P3 the ledger is not negative";
/// The same without the exception: what the reserve is for.
pub const NEVER_NEGATIVE: &str = "P3 available is never below zero";
/// P4: whatever a box has done can still be booked.
pub const APPLICABLE: &str = "P4 every fact stays applicable";
/// P5: the ledger never takes out of a pot what is not in it.
pub const NO_UNDERFLOW: &str = "P5 no underflow";
/// P6: more than ever was is not handed out and booked to the end without an alarm.
pub const ALARMED: &str = "P6 a loss is seen";
/// R1: all points can be spent offline, at two boxes, before the ledger hears of any.
pub const SPENT_OFFLINE: &str = "R1 all spent offline at two boxes";
/// R2: points that one box gave back can be granted to another.
pub const GRANTED_AGAIN: &str = "R2 returned and granted again";

/// Every property of the right protocol.
pub fn all(release: Release) -> Vec<&'static str> {
    let mut all = vec![NO_OVERSPEND, NOT_NEGATIVE, APPLICABLE, NO_UNDERFLOW, SPENT_OFFLINE, GRANTED_AGAIN];
    if release != Release::MemberPays {
        all.push(COVER);
    }
    all
}

/// The property of this name.
pub fn one(name: &'static str) -> Property<Protocol> {
    match name {
        NO_OVERSPEND => Property::always(NO_OVERSPEND, no_overspend),
        COVER => Property::always(COVER, cover),
        NOT_NEGATIVE => Property::always(NOT_NEGATIVE, not_negative),
        NEVER_NEGATIVE => Property::always(NEVER_NEGATIVE, |protocol: &Protocol, state: &State| {
            (0..protocol.bounds.balances.len()).all(|member| state.ledger.available(small(member)) >= 0)
        }),
        APPLICABLE => Property::always(APPLICABLE, applicable),
        NO_UNDERFLOW => Property::always(NO_UNDERFLOW, |_, state: &State| !state.truth.has_underflowed),
        ALARMED => Property::always(ALARMED, alarmed),
        SPENT_OFFLINE => Property::sometimes(SPENT_OFFLINE, spent_offline),
        GRANTED_AGAIN => Property::sometimes(GRANTED_AGAIN, granted_again),
        other => unreachable!("{other} is not a property"),
    }
}

/// P1, for each member.
pub fn no_overspend(protocol: &Protocol, state: &State) -> bool {
    let truth = &state.truth;
    protocol
        .bounds
        .balances
        .iter()
        .enumerate()
        .all(|(member, balance)| truth.goods[member] <= balance + truth.earned[member] + truth.released[member])
}

/// P2: for every pot of a box that is in the epoch and trusts its journal.
pub fn cover(_: &Protocol, state: &State) -> bool {
    state.devices.iter().filter(|device| !device.is_quarantined()).all(|device| {
        let cursor = state.ledger.cursor(device.name, device.epoch);
        device.pockets().into_iter().all(|pocket| {
            let pot = state.ledger.pot(device.name, device.epoch, pocket);
            let kept = pot.map_or(0, |pot| pot.outstanding + pot.reserved);
            kept >= device.remaining(pocket) + device.held(pocket) + device.underway(pocket, cursor)
        })
    })
}

/// P3, for each member.
pub fn not_negative(protocol: &Protocol, state: &State) -> bool {
    (0..protocol.bounds.balances.len()).all(|member| {
        let least = match protocol.release {
            Release::MemberPays => -state.truth.released[member],
            Release::Never | Release::ReservePays => 0,
        };
        state.ledger.available(small(member)) >= least
    })
}

/// P4: delivering what is next in line changes the ledger.
pub fn applicable(protocol: &Protocol, state: &State) -> bool {
    state.network.iter().all(|message| match message {
        Message::Upload(upload) => {
            let is_next = upload.seq == state.ledger.cursor(upload.name, upload.epoch) + 1;
            !is_next || protocol.next(state, Action::Apply(*upload)).is_some()
        }
        Message::BareReturn(..) => true,
    })
}

fn alarmed(protocol: &Protocol, state: &State) -> bool {
    let is_heard = |device: &crate::state::Device| {
        let cursor = state.ledger.cursor(device.name, device.epoch);
        device.length() <= cursor
    };
    let all_heard = state.devices.iter().all(is_heard);
    no_overspend(protocol, state) || !all_heard || state.truth.has_alarmed || state.truth.has_underflowed
}

fn spent_offline(protocol: &Protocol, state: &State) -> bool {
    let balance: Points = protocol.bounds.balances.iter().sum();
    let debited: Points = state.ledger.accounts.iter().map(|account| account.debited).sum();
    let goods: Points = state.truth.goods.iter().sum();
    let spenders = state.devices.iter().filter(|device| device.pockets().into_iter().any(|p| device.spent(p) > 0));
    goods == balance && debited == 0 && spenders.count() >= 2
}

fn granted_again(protocol: &Protocol, state: &State) -> bool {
    let balance: Points = protocol.bounds.balances.iter().sum();
    let credited: Points = state.ledger.accounts.iter().map(|account| account.credited).sum();
    let granted: Points = state.ledger.grants.iter().map(|grant| grant.amount).sum();
    let is_back = |name: u8| {
        let mut closed = state
            .ledger
            .grants
            .iter()
            .enumerate()
            .filter(|(_, grant)| grant.name == name && grant.pot.standing == Standing::Closed);
        closed.any(|(number, _)| {
            let returned = |device: &crate::state::Device| {
                device.journal.iter().any(|entry| {
                    matches!(entry, crate::state::Entry::Return(pocket, _) if *pocket == Pocket::Grant(small(number)))
                })
            };
            state.devices.iter().any(returned)
        })
    };
    let names: Vec<u8> = state.ledger.grants.iter().map(|grant| grant.name).collect();
    credited == balance
        && granted > balance
        && names.iter().any(|name| is_back(*name) && names.iter().any(|other| other != name))
}
