//! Which way vehicles go: how usual it is that one from this entry leaves by that exit.

use std::collections::BTreeMap;

/// Vehicles that must have left before the ways say anything.
const VEHICLES_LEAST: u64 = 500;
/// How many vehicles the belief weighs that an entry's vehicles spread like all others.
const BELIEVED_VEHICLES: u64 = 100;
/// An even spread, in basis points.
const EVEN_BP: u128 = 10_000;

/// Counts of vehicles by entry lane and exit lane.
#[derive(Clone, Debug, Default)]
pub struct Traffic {
    ways: BTreeMap<String, BTreeMap<String, u64>>,
    entries: BTreeMap<String, u64>,
    exits: BTreeMap<String, u64>,
    all: u64,
}

impl Traffic {
    /// Counts vehicles that came by `entry` and left by `exit`.
    pub fn saw(&mut self, entry: &str, exit: &str, vehicles: u32) {
        let vehicles = u64::from(vehicles);
        *self.ways.entry(entry.to_owned()).or_default().entry(exit.to_owned()).or_default() += vehicles;
        *self.entries.entry(entry.to_owned()).or_default() += vehicles;
        *self.exits.entry(exit.to_owned()).or_default() += vehicles;
        self.all += vehicles;
    }

    /// All vehicles.
    pub fn vehicles(&self) -> u64 {
        self.all
    }

    /// How often a vehicle from `entry` leaves by `exit`, in basis points of how often any vehicle does; `None` where
    /// too little was seen.
    pub fn usual_bp(&self, entry: &str, exit: &str) -> Option<u32> {
        let of_exit = u128::from(*self.exits.get(exit).filter(|vehicles| **vehicles > 0)?);
        let of_entry = u128::from(self.entries.get(entry).copied().unwrap_or(0));
        if self.all < VEHICLES_LEAST {
            return None;
        }
        let way = u128::from(self.ways.get(entry).and_then(|exits| exits.get(exit)).copied().unwrap_or(0));
        let (all, believed) = (u128::from(self.all), u128::from(BELIEVED_VEHICLES));
        let bp = EVEN_BP * (way * all + believed * of_exit) / ((of_entry + believed) * of_exit);
        Some(u32::try_from(bp).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_that_many_take_is_usual() {
        let mut traffic = Traffic::default();
        for (entry, exit, vehicles) in [("in-1", "out-1", 900), ("in-1", "out-2", 100), ("in-2", "out-2", 1000)] {
            traffic.saw(entry, exit, vehicles);
        }
        let bp = |entry, exit| traffic.usual_bp(entry, exit).expect("enough was seen");
        assert!((15_000..20_000).contains(&bp("in-1", "out-1")), "{}", bp("in-1", "out-1"));
        assert!(bp("in-1", "out-2") < 4_000 && bp("in-2", "out-1") < 2_000);
        assert_eq!(bp("in-3", "out-1"), 10_000, "of an entry that is new nothing is believed");
        assert_eq!(traffic.usual_bp("in-1", "out-3"), None);
    }

    #[test]
    fn a_few_vehicles_say_nothing() {
        let mut traffic = Traffic::default();
        traffic.saw("in", "out", 499);
        assert_eq!(traffic.usual_bp("in", "out"), None);
        traffic.saw("in", "out", 1);
        assert_eq!(traffic.usual_bp("in", "out"), Some(10_000));
    }
}
