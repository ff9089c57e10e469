//! Which member's vehicle it is, where the plate was read a little otherwise than the member's is.
//!
//! Nearly every plate that is like a member's belongs to a stranger. So a member is weighed beside everybody else who may
//! give the same read, and is recognised only where hardly anybody else may: at an unlikely region, at a letter where
//! only digits stand, and most of all where the member comes here often.

use std::collections::BTreeMap;

use super::answer::Ppm;
use super::fusion::{self, Statement};
use super::index::{Index, Near, Reach, without};
use super::likelihood::Likelihood;
use super::park::{Park, Seen, statement};
use super::reading::Reading;
use super::symbols::{Packed, SIGNS};
use crate::domain::plate::Plate;
use crate::domain::plate::class::Class;

/// Of the vehicles that come, how many are taken to be members', in whole.
const MEMBERS_SHARE: f64 = 0.3;
/// A club is taken to be at least so large: of a few members no single one is likely to come.
const MEMBERS_LEAST: usize = 20_000;
/// How many vehicles come in the time in which visits are counted: all that were ever seen to leave, which errs to the
/// safe side, between these bounds. The upper one is 10,000 a day for a month.
const ARRIVALS: std::ops::RangeInclusive<u64> = 10_000..=300_000;
/// Below so many vehicles inside, what plates are usual here is not known, and nobody is recognised.
const INSIDE_LEAST: usize = 100;
/// However much of what a stranger may give is the member's own, so much is left for strangers.
const STRANGERS_LEAST: f64 = 0.05;
/// Visits of one plate that count.
pub const VISITS_MAX: u32 = 64;

/// The plates of all members.
#[derive(Clone, Debug)]
pub struct Members {
    index: Index,
    /// Plates whose text is not what their pack says: an O or an I in the serial.
    odd: BTreeMap<Packed, Vec<Plate>>,
}

/// A member's plate near a read, and how often it was here lately.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Regular {
    /// The plate.
    pub plate: Plate,
    /// Visits within the last 30 days; more than [`VISITS_MAX`] count as that.
    pub visits: u32,
}

impl Members {
    /// An index of these, and of the odd ones among them: see [`Members::is_odd`]. Plates that cannot be packed are known
    /// exactly only, and not here.
    pub fn of(packed: Vec<Packed>, odd: Vec<Plate>) -> Self {
        let mut members = Self { index: Index::of(Reach::One, packed), odd: BTreeMap::new() };
        odd.iter().for_each(|plate| members.add(plate));
        members
    }

    /// Whether a plate's text is not what its pack says: only an O or an I can make it so.
    pub fn is_odd(text: &str, pack: Packed) -> bool {
        text.contains(['O', 'I']) && pack.text() != text
    }

    /// How many plates.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// A member has this plate.
    pub fn add(&mut self, plate: &Plate) {
        let Some(pack) = Packed::of(plate) else { return };
        self.index.insert(pack);
        if Self::is_odd(plate.as_str(), pack) {
            let texts = self.odd.entry(pack).or_default();
            if !texts.contains(plate) {
                texts.push(plate.clone());
            }
        }
    }

    /// The text that a plate's signs have where no O or I stands for a digit; `None` where that is the plate itself, or
    /// it cannot be packed.
    pub fn plain_text(plate: &Plate) -> Option<String> {
        Packed::of(plate).map(Packed::text).filter(|text| text != plate.as_str())
    }

    /// No member has this plate any more. `is_plain_left` says whether one has its plain text.
    pub fn remove(&mut self, plate: &Plate, is_plain_left: bool) {
        let Some(pack) = Packed::of(plate) else { return };
        if let Some(texts) = self.odd.get_mut(&pack) {
            texts.retain(|text| text != plate);
            if texts.is_empty() {
                self.odd.remove(&pack);
            }
        }
        if !self.odd.contains_key(&pack) && !is_plain_left {
            self.index.remove(pack);
        }
    }

    /// The members' plates near a read, by their texts; nothing where a limit ended the search.
    pub fn near(&self, read: &Plate) -> Vec<Plate> {
        let Some(pack) = Packed::of(read) else { return Vec::new() };
        let Near { found, is_cut, .. } = self.index.near(pack);
        if is_cut {
            return Vec::new();
        }
        // Whether a member has the plain text too, where an odd one is known, the table says.
        let texts = |pack: Packed| {
            let plain = pack.text().parse().ok();
            plain.into_iter().chain(self.odd.get(&pack).into_iter().flatten().cloned())
        };
        found.into_iter().flat_map(texts).filter(|plate| plate != read).collect()
    }
}

impl<K: Ord + Clone> Park<K> {
    /// How certain it is that the vehicle of these statements is each member's, in millionths. `members` is how many
    /// plates all members have.
    pub fn weigh_members(&self, reads: &[Seen], near: &[Regular], members: usize) -> Vec<Ppm> {
        let likelihood = self.likelihood();
        let statements: Vec<Statement> = reads.iter().filter_map(statement).collect();
        let meant = fusion::fuse(self.confusion(), &likelihood, &statements);
        let is_known = self.len() >= INSIDE_LEAST;
        let Some((read, _)) = meant.first().filter(|_| meant.len() == 1 && is_known) else {
            return vec![0; near.len()];
        };
        let each = MEMBERS_SHARE / members.max(MEMBERS_LEAST) as f64;
        let arrivals = self.vehicles_seen().clamp(*ARRIVALS.start(), *ARRIVALS.end()) as f64;
        let gives: Vec<f64> = near.iter().map(|regular| self.gives(&likelihood, &regular.plate, read)).collect();
        let expected = |regular: &Regular| each + f64::from(regular.visits.min(VISITS_MAX)) / arrivals;
        let weights: Vec<f64> = near.iter().zip(&gives).map(|(regular, gives)| expected(regular) * gives).collect();
        // Every vehicle that may give this read, but for those weighed here: a plate is nobody else's.
        let all = likelihood.alone(read);
        let own = |regular: &Regular| match Packed::of(&regular.plate).map(Reading::of) {
            // The region of a read is taken for the true one there, so that only such plates are among all.
            Some(own) if own.at(0) == read.at(0) && own.at(1) == read.at(1) => likelihood.alone(&own),
            Some(_) | None => 0.0,
        };
        let owned: f64 = near.iter().zip(&gives).map(|(regular, gives)| own(regular) * gives).sum();
        let stranger = (all - owned).max(all * STRANGERS_LEAST);
        let sum = stranger + weights.iter().sum::<f64>();
        weights.iter().map(|weight| if sum > 0.0 { (weight / sum * 1e6) as Ppm } else { 0 }).collect()
    }

    /// The chance that a plate gives a read. A special plate is never taken for a misread of anything.
    fn gives(&self, likelihood: &Likelihood<'_>, truth: &Plate, read: &Reading) -> f64 {
        let Some(pack) = Packed::of(truth) else { return 0.0 };
        if Class::of(truth, &[]).is_special() {
            return 0.0;
        }
        let confusion = self.confusion();
        let places = |truth: Packed, short: &Reading, length: usize| -> f64 {
            (0..length).map(|place| fusion::one(confusion, truth, short.at(place), place, 1.0)).product()
        };
        let (long, short) = (pack.len(), read.len());
        let text = if long == short {
            (1.0 - confusion.missing - confusion.added) * places(pack, read, long)
        } else if long == short + 1 {
            let gaps = (0..long).map(|gap| places(without(pack, gap), read, short)).sum::<f64>();
            confusion.missing / long as f64 * gaps
        } else if long + 1 == short {
            let one_less = |gap| {
                let shorter = Reading { plate: without(read.plate, gap), ..Reading::of(pack) };
                places(pack, &shorter, long)
            };
            confusion.added / short as f64 / SIGNS as f64 * (0..short).map(one_less).sum::<f64>()
        } else {
            0.0
        };
        text * likelihood.shows_colour(long == 8, read.colour)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::matching::answer::Thresholds;
    use crate::domain::matching::errors::ErrorModel;
    use crate::domain::matching::park::Inside;
    use crate::domain::plate::told::Colour;

    const MEMBER: Ppm = 999_000;

    #[test]
    fn a_misread_of_a_regular_is_recognised_only_where_nobody_else_fits() {
        // A letter where a new-energy plate has digits only, and a region that is hardly ever seen here.
        check("粤BD12845", 30, "粤BD12B45", 100_000, true);
        check("粤B12345", 30, "鄂B12345", 100_000, true);
        // The same of somebody who was never here: one of a million may be anybody.
        check("粤BD12845", 0, "粤BD12B45", 1_000_000, false);
        // Quite usual plates, each as likely a stranger's own.
        check("粤B12345", 64, "粤B12346", 10, false);
        check("粤B12845", 64, "粤B12B45", 10, false);
        // Two signs apart, and special plates, never.
        check("粤B12345", 64, "鄂B12346", 10, false);
        check("粤B1234警", 64, "粤B1284警", 10, false);
    }

    #[test]
    fn where_hardly_anybody_is_inside_nobody_is_recognised() {
        let mut park: Park<u32> = Park::new(&ErrorModel::default(), Thresholds::default(), Vec::new());
        (0..99).for_each(|n| park.enter(n, Inside::of(plate(&format!("粤B7{n:04}")), "in")));
        let regular = [Regular { plate: plate("粤BD12845"), visits: 30 }];
        let ask = |park: &Park<u32>| park.weigh_members(&[Seen::of(plate("粤BD12B45"), "in")], &regular, 10);
        assert_eq!(ask(&park), [0]);
        park.enter(99, Inside::of(plate("粤BD77777"), "in"));
        assert!(ask(&park)[0] > 0);
    }

    #[test]
    fn the_colour_speaks_too() {
        let certainty = |colour| weigh("粤BD12845", 3, "粤BD12B45", 100_000, colour);
        assert!(certainty(Some(Colour::Green)) >= certainty(None));
        assert!(certainty(Some(Colour::Blue)) <= certainty(None));
    }

    #[test]
    fn plates_come_and_go_and_equal_packs_are_told_apart() {
        let pack = |text: &str| Packed::of_text(text).expect("known signs");
        let mut members = Members::of(vec![pack("粤B12345"), pack("粤BO7777")], vec![plate("粤BO7777")]);
        members.add(&plate("ABCDEFGH12"));
        assert_eq!(members.len(), 2, "ten signs are known exactly only");
        assert_eq!(members.near(&plate("粤B12346")), [plate("粤B12345")]);
        assert_eq!(members.near(&plate("粤B12345")), [], "the very plate is found in the table");
        assert_eq!(members.near(&plate("粤BO7778")), [plate("粤B07777"), plate("粤BO7777")]);
        members.add(&plate("粤B07777"));
        assert_eq!(Members::plain_text(&plate("粤BO7777")).as_deref(), Some("粤B07777"));
        members.remove(&plate("粤BO7777"), true);
        assert_eq!(members.near(&plate("粤B07778")), [plate("粤B07777")]);
        members.remove(&plate("粤B07777"), false);
        members.remove(&plate("粤B12345"), false);
        assert!(members.is_empty() && members.near(&plate("粤B12346")).is_empty());
    }

    fn check(member: &str, visits: u32, read: &str, members: usize, expect: bool) {
        let certainty = weigh(member, visits, read, members, None);
        assert_eq!(certainty >= MEMBER, expect, "{member} {visits} visits, read as {read}: {certainty}");
    }

    fn weigh(member: &str, visits: u32, read: &str, members: usize, colour: Option<Colour>) -> Ppm {
        let mut park: Park<u32> = Park::new(&ErrorModel::default(), Thresholds::default(), Vec::new());
        park.left_by("in", "out", 40_000);
        for n in 0..500 {
            let text = if n % 3 == 0 { format!("粤BD1{n:04}") } else { format!("粤B7{n:04}") };
            park.enter(n, Inside::of(plate(&text), "in"));
        }
        let seen = Seen { colour, ..Seen::of(plate(read), "in") };
        park.weigh_members(&[seen], &[Regular { plate: plate(member), visits }], members)[0]
    }

    fn plate(text: &str) -> Plate {
        text.parse().expect("a plate")
    }
}
