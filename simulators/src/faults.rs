//! What goes wrong in a car park with devices and cables, and how often it did: the box's books must be right all the same.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

/// Something that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// A camera's plate result never comes.
    Lost,
    /// It comes late.
    Late,
    /// A message comes twice.
    Duplicated,
    /// The arrival loop is heard of after the plate.
    Reordered,
    /// A message comes cut off first, an answer of a board or card with a wrong check.
    Corrupted,
    /// The camera of the way in is three hours ahead.
    Clock,
    /// A device starts anew when it should raise: it hears nothing, or answers nothing.
    Reboot,
    /// The relay is acknowledged and the arm does not move.
    DeadRelay,
    /// The limit switches of the two lanes of the inner lot are on each other's cables.
    Swapped,
}

/// All of them, by their names.
pub const FAULTS: [(&str, Fault); 9] = [
    ("lost", Fault::Lost),
    ("late", Fault::Late),
    ("duplicated", Fault::Duplicated),
    ("reordered", Fault::Reordered),
    ("corrupted", Fault::Corrupted),
    ("clock", Fault::Clock),
    ("reboot", Fault::Reboot),
    ("dead-relay", Fault::DeadRelay),
    ("swapped", Fault::Swapped),
];

impl FromStr for Fault {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = FAULTS.iter().find(|(known, _)| *known == name).map(|(_, fault)| *fault);
        let names = FAULTS.map(|(name, _)| name).join(", ");
        known.ok_or_else(|| format!("there is no fault {name:?}; there are {names}, and all"))
    }
}

impl Fault {
    fn name(self) -> &'static str {
        FAULTS.iter().find(|(_, fault)| *fault == self).map_or("unknown", |(name, _)| name)
    }

    /// Every how many times it strikes where it can, and from which on. Different for each, so that they meet in all ways.
    fn rhythm(self) -> (u32, u32) {
        match self {
            Self::Lost => (7, 3),
            Self::Late => (5, 1),
            Self::Duplicated => (3, 0),
            Self::Reordered => (4, 2),
            Self::Corrupted => (6, 4),
            Self::Clock | Self::Swapped => (1, 0),
            Self::Reboot => (13, 5),
            // A driver waits long before a dead arm, and then calls somebody.
            Self::DeadRelay => (23, 9),
        }
    }
}

/// Which faults a world has, and how often each struck.
#[derive(Debug, Default)]
pub struct Faults {
    which: BTreeSet<Fault>,
    state: Mutex<BTreeMap<Fault, (u32, u32)>>,
}

impl Faults {
    /// These.
    pub fn of(which: impl IntoIterator<Item = Fault>) -> Self {
        Self { which: which.into_iter().collect(), state: Mutex::default() }
    }

    /// Whether the world has this one at all.
    pub fn has(&self, fault: Fault) -> bool {
        self.which.contains(&fault)
    }

    /// Whether it strikes now, where it can; counted.
    pub fn strikes(&self, fault: Fault) -> bool {
        if !self.has(fault) {
            return false;
        }
        let (every, from) = fault.rhythm();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (chances, struck) = state.entry(fault).or_default();
        let is_now = *chances % every == from;
        *chances += 1;
        *struck += u32::from(is_now);
        is_now
    }

    /// How often each struck.
    pub fn struck(&self) -> BTreeMap<&'static str, u32> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let struck = |fault: &Fault| state.get(fault).map_or(0, |(_, struck)| *struck);
        self.which.iter().map(|fault| (fault.name(), struck(fault))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_strikes_in_its_rhythm_and_only_where_the_world_has_it() {
        let faults = Faults::of([Fault::Duplicated]);
        let struck: Vec<bool> = (0..7).map(|_| faults.strikes(Fault::Duplicated)).collect();
        assert_eq!(struck, [true, false, false, true, false, false, true]);
        assert!(!faults.strikes(Fault::Lost));
        assert_eq!(faults.struck(), BTreeMap::from([("duplicated", 3)]));
    }

    #[test]
    fn names_are_read_and_an_unknown_one_is_told_with_the_list() {
        for (name, fault) in FAULTS {
            assert_eq!((name.parse(), fault.name()), (Ok(fault), name));
        }
        let told = "lightning".parse::<Fault>().unwrap_err();
        assert!(told.contains("\"lightning\"") && told.contains("dead-relay, swapped, and all"), "{told}");
    }
}
