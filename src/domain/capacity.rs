//! How many vehicles are where, and how many bays are free: from the stays, put right by what people counted.

use std::collections::BTreeMap;

use super::admission::Right;
use super::event::{Record, StayId};

/// The name under which the car park outside of its inner lots is counted.
pub const OUTSIDE: &str = "";

/// How many vehicles are where by the books, and by how much people counted otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// By the name of an inner lot, or [`OUTSIDE`].
    pub vehicles: BTreeMap<String, u32>,
    /// What people counted less what the books said then, by the same names.
    pub drift: BTreeMap<String, i64>,
}

/// Which vehicles are where and on what right, kept ready from record to record.
#[derive(Clone, Debug, Default)]
pub struct Occupants {
    inside: BTreeMap<StayId, Place>,
    rights: BTreeMap<Right, u32>,
    counts: Counts,
}

/// Where a vehicle is.
#[derive(Clone, Debug)]
struct Place {
    zone: String,
    right: Option<Right>,
}

impl Counts {
    /// How many vehicles are there by the books.
    pub fn by_books(&self, zone: &str) -> u32 {
        self.vehicles.get(zone).copied().unwrap_or(0)
    }

    /// How many of `spaces` bays are free; below 0 where more vehicles came in than fit.
    pub fn free(&self, zone: &str, spaces: u32) -> i64 {
        i64::from(spaces) - i64::from(self.by_books(zone)) - self.drift.get(zone).copied().unwrap_or(0)
    }
}

impl Occupants {
    /// How many are where.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// How many vehicles are inside on a right.
    pub fn on(&self, right: &Right) -> u32 {
        self.rights.get(right).copied().unwrap_or(0)
    }

    /// A vehicle is inside.
    pub fn enter(&mut self, stay: StayId, right: Option<Right>, zone: Option<String>) {
        let zone = zone.unwrap_or_else(|| OUTSIDE.to_owned());
        *self.counts.vehicles.entry(zone.clone()).or_default() += 1;
        if let Some(right) = &right {
            *self.rights.entry(right.clone()).or_default() += 1;
        }
        self.inside.insert(stay, Place { zone, right });
    }

    /// What people counted less what the books said.
    pub fn drift(&mut self, zone: String, drift: i64) {
        self.counts.drift.insert(zone, drift);
    }

    /// Follows a record.
    pub fn follow(&mut self, record: &Record) {
        if let Record::StayOpened { stay } = record {
            self.enter(stay.id.clone(), stay.right.clone(), None);
        } else if let Record::StayClosed { stay, .. } | Record::StayVoided { stay, .. } = record {
            self.leave(stay);
        } else if let Record::StayReread(reread) = record {
            self.change_right(&reread.stay, reread.right.clone());
        } else if let Record::StayCorrected(corrected) = record {
            self.change_right(&corrected.stay.id, corrected.stay.right.clone());
        } else if let Record::ZoneEntered { stay, zone, .. } = record {
            self.go(stay, zone);
        } else if let Record::ZoneLeft { stay, .. } = record {
            self.go(stay, OUTSIDE);
        } else if let Record::CountTaken { zone, counted, by_books, .. } = record {
            let zone = zone.clone().unwrap_or_else(|| OUTSIDE.to_owned());
            self.drift(zone, i64::from(*counted) - i64::from(*by_books));
        }
    }

    fn leave(&mut self, stay: &StayId) {
        let Some(place) = self.inside.remove(stay) else { return };
        lower(&mut self.counts.vehicles, &place.zone);
        if let Some(right) = &place.right {
            lower(&mut self.rights, right);
        }
    }

    fn change_right(&mut self, stay: &StayId, right: Option<Right>) {
        let Some(place) = self.inside.get_mut(stay) else { return };
        if let Some(right) = &right {
            *self.rights.entry(right.clone()).or_default() += 1;
        }
        if let Some(before) = std::mem::replace(&mut place.right, right) {
            lower(&mut self.rights, &before);
        }
    }

    fn go(&mut self, stay: &StayId, zone: &str) {
        let Some(place) = self.inside.get_mut(stay) else { return };
        let before = std::mem::replace(&mut place.zone, zone.to_owned());
        lower(&mut self.counts.vehicles, &before);
        *self.counts.vehicles.entry(zone.to_owned()).or_default() += 1;
    }
}

/// One less; a name that counts nothing is forgotten.
fn lower<K: Ord + Clone>(counts: &mut BTreeMap<K, u32>, name: &K) {
    if let Some(count) = counts.get_mut(name) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vehicles_are_counted_where_they_are() {
        let mut occupants = Occupants::default();
        let right = Right::Pass { id: "P".to_owned() };
        occupants.enter("S1-1".into(), Some(right.clone()), None);
        occupants.enter("S1-2".into(), None, Some("vip".to_owned()));
        occupants.go(&"S1-1".into(), "vip");
        assert_eq!((occupants.counts().by_books(OUTSIDE), occupants.counts().by_books("vip")), (0, 2));
        assert_eq!((occupants.on(&right), occupants.counts().free("vip", 5)), (1, 3));
        occupants.drift("vip".to_owned(), 2);
        assert_eq!(occupants.counts().free("vip", 5), 1, "people counted two more than the books");
        occupants.leave(&"S1-1".into());
        occupants.leave(&"S1-1".into());
        assert_eq!((occupants.on(&right), occupants.counts().free("vip", 5)), (0, 2));
    }
}
