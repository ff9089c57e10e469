//! Every size of the protocol is clean, every broken variant is not.

use grants_model::properties::{APPLICABLE, NO_OVERSPEND};
use grants_model::protocol::Broken;
use grants_model::table::{REACHED, SAFETY_WITHOUT_FACTS, SEEN, exhaust, exhaust_for, mutants, rows, shortest};

/// What M7 looks like to a check without P4: the number of its states, all of them clean.
const LATE_FACTS_STATES: usize = 312_988;

#[test]
fn the_protocol_holds_in_every_state() {
    for row in rows().into_iter().filter(|row| !row.is_long) {
        let found = exhaust(row.protocol);
        let mut expected = row.reaches.to_vec();
        expected.sort_unstable();
        assert_eq!(found.discoveries, expected, "{}: what is reached, and nothing that is violated", row.name);
        assert_eq!(found.states, row.states, "{}: the model has changed; see why before the number follows", row.name);
    }
}

#[test]
fn every_broken_variant_is_caught_by_what_it_breaks() {
    for mutant in mutants() {
        for name in mutant.violates {
            let found = exhaust_for(mutant.protocol.clone(), &[*name]);
            assert_eq!(found.discoveries, [*name], "{}", mutant.name);
        }
        let steps = shortest(&mutant.protocol, mutant.violates).expect("a violation");
        assert_eq!(steps.len(), mutant.steps, "{}: {steps:#?}", mutant.name);
    }
}

#[test]
fn only_p4_sees_that_late_facts_are_thrown_away() {
    let is_m7 = |mutant: &grants_model::table::Mutant| mutant.protocol.broken == Some(Broken::LateFactsDiscarded);
    let m7 = mutants().into_iter().find(is_m7).expect("it is in the table");
    let found = exhaust_for(m7.protocol.clone(), &SAFETY_WITHOUT_FACTS);
    assert_eq!(found.discoveries, [""; 0], "the bound on overspending absorbs it");
    assert_eq!(found.states, LATE_FACTS_STATES);
    assert_eq!(exhaust_for(m7.protocol, &[APPLICABLE]).discoveries, [APPLICABLE]);
}

#[test]
fn a_lost_commit_overspends_and_is_seen() {
    let lost = mutants().into_iter().find(|mutant| mutant.protocol.broken == Some(Broken::CommitLost));
    let lost = lost.expect("it is in the table").protocol;
    assert_eq!(exhaust_for(lost.clone(), &[NO_OVERSPEND]).discoveries, [NO_OVERSPEND]);
    assert_eq!(exhaust_for(lost, &SEEN).discoveries, [""; 0], "booked to the end, it has raised an alarm");
    assert_eq!(REACHED.len(), 2);
}
