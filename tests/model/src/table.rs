//! The sizes at which the protocol is checked in every state, and the broken variants with what must catch them.

use std::time::{Duration, Instant};

use stateright::{Checker, HasDiscoveries, Model};

use crate::properties::{
    ALARMED, APPLICABLE, COVER, GRANTED_AGAIN, NEVER_NEGATIVE, NO_OVERSPEND, NO_UNDERFLOW, NOT_NEGATIVE, SPENT_OFFLINE,
};
use crate::protocol::{Bounds, Broken, Protocol, Release, right};
use crate::state::Points;

/// Threads of the checker; the project's machines have two cores.
const THREADS: usize = 2;
/// No shortest violation is longer.
const DEPTH_MAX: usize = 16;

/// A size at which the right protocol is checked.
pub struct Row {
    /// What is special about it.
    pub name: &'static str,
    /// The protocol at that size.
    pub protocol: Protocol,
    /// How many different states there are: an unintended change of the model shows here first.
    pub states: usize,
    /// Which of [`REACHED`] must be reached: a model in which nothing happens is clean, too.
    pub reaches: &'static [&'static str],
    /// Whether it is too long for every test run.
    pub is_long: bool,
}

/// A broken variant.
pub struct Mutant {
    /// Its number and what is wrong.
    pub name: &'static str,
    /// The protocol with that one change.
    pub protocol: Protocol,
    /// What must be violated; each of them can be.
    pub violates: &'static [&'static str],
    /// How many steps the shortest violation of any of them takes.
    pub steps: usize,
}

/// What a check found.
#[derive(Debug)]
pub struct Found {
    /// Different states.
    pub states: usize,
    /// States that were made, counting each time.
    pub generated: usize,
    /// The properties that were violated, or reached where they only have to be reachable.
    pub discoveries: Vec<&'static str>,
    /// How long it took.
    pub time: Duration,
}

/// The protocol at every size that is checked.
pub fn rows() -> Vec<Row> {
    let row = |name, states, bounds| Row {
        name,
        protocol: right(bounds, Release::Never),
        states,
        reaches: &REACHED,
        is_long: false,
    };
    let released = |name, states, release, bounds| Row {
        name,
        protocol: right(bounds, release),
        states,
        reaches: &REACHED,
        is_long: false,
    };
    vec![
        row("the protocol", 83_648, base()),
        row("larger balance", 556_028, Bounds { balances: vec![3], journal: 4, ..base() }),
        row("three boxes", 40_578, Bounds { boxes: 3, faults: 1, ..base() }),
        row("two members in one journal", 97_870, Bounds { balances: vec![2, 1], faults: 1, ..base() }),
        row("points held until passed", 73_567, Bounds { has_holds: true, faults: 1, ..base() }),
        row("reversals", 83_148, Bounds { reversals: 1, journal: 4, faults: 1, ..base() }),
        row("leases run out", 53_380, Bounds { has_leases: true, faults: 1, ..base() }),
        row("a third fault", 259_806, Bounds { journal: 2, faults: 3, ..base() }),
        row("a box in doubt goes on writing", 86_746, Bounds { writes_in_doubt: true, ..base() }),
        released("release, the member pays late facts", 34_705, Release::MemberPays, Bounds { faults: 1, ..base() }),
        released("release, a reserve pays", 34_705, Release::ReservePays, Bounds { faults: 1, ..base() }),
        Row {
            // One point cannot be spent at two boxes.
            reaches: &[GRANTED_AGAIN],
            ..released(
                "release of born points",
                120_954,
                Release::ReservePays,
                Bounds { balances: vec![1], earns: 1, faults: 1, ..base() },
            )
        },
        released("release and reversals", 92_662, Release::ReservePays, Bounds { reversals: 1, faults: 1, ..base() }),
        Row { is_long: true, ..row("earned offline", 0, Bounds { earns: 1, journal: 4, ..base() }) },
    ]
}

/// The nine broken variants of the protocol's text, and eight of what the text left open.
pub fn mutants() -> Vec<Mutant> {
    let mutant = |name, broken, violates, steps, bounds| Mutant {
        name,
        protocol: Protocol { broken: Some(broken), ..right(bounds, Release::Never) },
        violates,
        steps,
    };
    vec![
        mutant("M1 time frees escrow", Broken::TimeFreesEscrow, &[NO_OVERSPEND, COVER], 3, base()),
        mutant("M2 an upload is applied twice", Broken::UploadAppliedTwice, &[COVER, NOT_NEGATIVE], 8, base()),
        mutant("M3 a grant is taken in twice", Broken::GrantTakenTwice, &[NO_OVERSPEND, COVER], 3, base()),
        mutant("M4 a restored box is not fenced", Broken::RestoreUnnoticed, &[NO_OVERSPEND], 6, base()),
        mutant("M5 a return goes beside the journal", Broken::ReturnBesideJournal, &[COVER, NO_OVERSPEND], 4, base()),
        mutant("M6 the barrier is raised before the commit", Broken::RaisedBeforeCommit, &[NO_OVERSPEND], 5, base()),
        Mutant {
            protocol: Protocol { broken: Some(Broken::LateFactsDiscarded), ..right(base(), Release::MemberPays) },
            ..mutant("M7 late facts are thrown away", Broken::LateFactsDiscarded, &[APPLICABLE], 4, base())
        },
        mutant("M8 the witness is restored with the disk", Broken::WitnessRestored, &[NO_OVERSPEND], 6, base()),
        mutant(
            "M9 what is earned offline counts everywhere",
            Broken::EarnedEverywhere,
            &[NO_OVERSPEND],
            5,
            Bounds { balances: vec![1], journal: 4, earns: 1, faults: 0, ..base() },
        ),
        mutant(
            "a receipt is taken back at any box",
            Broken::ReversedElsewhere,
            &[NO_OVERSPEND],
            5,
            Bounds { balances: vec![1], journal: 4, faults: 0, ..base() },
        ),
        mutant(
            "the ledger takes back a fenced box's receipt",
            Broken::ReversedForBox,
            &[NO_OVERSPEND],
            11,
            Bounds { balances: vec![1], journal: 4, faults: 1, reversals: 2, ..base() },
        ),
        mutant(
            "a return takes what is held",
            Broken::ReturnTakesHeld,
            &[NO_OVERSPEND],
            11,
            Bounds { has_holds: true, faults: 0, ..base() },
        ),
        Mutant {
            name: "the member pays for what was released",
            protocol: right(base(), Release::MemberPays),
            violates: &[NEVER_NEGATIVE],
            steps: 9,
        },
        mutant("a box in doubt gives points back", Broken::ReturnInDoubt, &[NO_OVERSPEND], 10, base()),
        mutant(
            "an epoch is begun twice",
            Broken::EpochBegunTwice,
            &[NO_OVERSPEND],
            10,
            Bounds { journal: 2, grants: 1, faults: 3, ..base() },
        ),
        mutant("two clones of a box at once", Broken::TwoClones, &[NO_OVERSPEND], 5, base()),
        mutant("the ledger loses a commit", Broken::CommitLost, &[NO_OVERSPEND], 5, Bounds { faults: 1, ..base() }),
    ]
}

/// The sizes that the protocol's text names for its first row and its broken variants.
pub fn base() -> Bounds {
    Bounds {
        boxes: 2,
        balances: vec![2 as Points],
        grants: 2,
        journal: 3,
        faults: 2,
        fences: 2,
        earns: 0,
        reversals: 0,
        has_holds: false,
        has_leases: false,
        writes_in_doubt: false,
    }
}

/// Every property that only has to be reachable.
pub const REACHED: [&str; 2] = [SPENT_OFFLINE, GRANTED_AGAIN];

/// Visits every state of a protocol.
pub fn exhaust(protocol: Protocol) -> Found {
    let began = Instant::now();
    let checker = protocol.checker().threads(THREADS).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let mut discoveries: Vec<&'static str> = checker.discoveries().into_keys().collect();
    discoveries.sort_unstable();
    let (states, generated) = (checker.unique_state_count(), checker.state_count());
    Found { states, generated, discoveries, time: began.elapsed() }
}

/// The same, with these properties and no others.
pub fn exhaust_for(mut protocol: Protocol, names: &[&'static str]) -> Found {
    protocol.checked = names.to_vec();
    exhaust(protocol)
}

/// The shortest way to violate one of the properties, in steps, with what happens in each.
pub fn shortest(protocol: &Protocol, violates: &[&'static str]) -> Option<Vec<String>> {
    for depth in 2..=DEPTH_MAX {
        let mut protocol = protocol.clone();
        protocol.checked = violates.to_vec();
        let checker = protocol.checker().target_max_depth(depth).finish_when(HasDiscoveries::AnyFailures);
        let discoveries = checker.spawn_bfs().join().discoveries();
        if let Some(path) = discoveries.into_values().min_by_key(|path| path.clone().into_actions().len()) {
            return Some(path.into_actions().iter().map(|action| format!("{action:?}")).collect());
        }
    }
    None
}

/// The safety properties of [`Mutant`] M7 without the one that sees it.
pub const SAFETY_WITHOUT_FACTS: [&str; 3] = [NO_OVERSPEND, NOT_NEGATIVE, NO_UNDERFLOW];

/// What must hold even where the ledger has lost a commit.
pub const SEEN: [&str; 1] = [ALARMED];
