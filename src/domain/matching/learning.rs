//! What a pair of cameras has shown about its own mistakes: counted, held against the published ones, used if better.
//!
//! The counts are an association matrix after Oliveira-Neto, Han and Jeong (IEEE T-ITS 14(4), 2013): how often the exit
//! camera read this sign where the entry camera had read that one. They come from pairs that were certain by themselves
//! and from what guards chose. They hold no plates.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::errors::{Confusion, Kind, Read, Sureness, Table, WIDTH, provinces};
use super::symbols::{Packed, Sign, is_province};

/// Pairs that must have been seen before anything is believed.
pub const LESSONS_LEAST: u32 = 25;
/// Certain pairs that are counted; later ones add nothing that is worth a row in the ledger. A guard's choice always
/// counts.
pub const LESSONS_MAX: u32 = 4_096;
/// Every so many lessons one is held out, to see whether the others help with it.
const HELD_OUT: u32 = 4;
/// How many characters the default weighs in each row.
const DEFAULT_CHARACTERS: f64 = 300.0;
/// How many errors the default error rate weighs.
const DEFAULT_ERRORS: f64 = 2.0;
/// How far a learned chance may be from the default, either way: a camera that was turned or cleaned must not be
/// misjudged for long.
const RATIO_MAX: f64 = 64.0;

/// How often one camera read this and the other that, as `"8B"` for an 8 at the entry and a B at the exit.
pub type Counts = BTreeMap<String, u32>;

/// All that a camera pair has shown, as it is stored and exported.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Experience {
    /// Pairs of reads that were counted.
    pub lessons: u32,
    /// What they showed.
    pub seen: Counts,
    /// The same of those that were held out.
    pub held_out: Counts,
}

/// One pair of reads of one vehicle, sign by sign.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lesson {
    /// Whether it only tests what the others teach.
    pub is_held_out: bool,
    /// The pairs of signs, each with its number.
    pub signs: Counts,
}

/// What the counts say beside the default: a factor for every pair of signs.
#[derive(Clone, Debug)]
pub struct Learned {
    ratios: Table,
}

impl Lesson {
    /// What two reads of one vehicle teach; `None` where they have not the same length. The issuing letter is left out:
    /// it is another alphabet and hardly ever misread.
    pub fn of(entry: Packed, exit: Packed, before: u32) -> Option<Self> {
        if entry.len() != exit.len() || entry.is_empty() {
            return None;
        }
        let mut signs = Counts::new();
        for place in (0..entry.len()).filter(|place| *place != 1 || !is_province(entry.sign(0))) {
            let pair =
                [entry.sign(place), exit.sign(place)].into_iter().filter_map(super::symbols::character).collect();
            *signs.entry(pair).or_default() += 1;
        }
        Some(Self { is_held_out: before % HELD_OUT == HELD_OUT - 1, signs })
    }
}

impl Experience {
    /// Counts a lesson.
    pub fn take(&mut self, lesson: &Lesson) {
        self.lessons = self.lessons.saturating_add(1);
        let counts = if lesson.is_held_out { &mut self.held_out } else { &mut self.seen };
        for (pair, count) in &lesson.signs {
            let sum = counts.entry(pair.clone()).or_default();
            *sum = sum.saturating_add(*count);
        }
    }
}

impl Learned {
    /// What an experience says; `None` where it is too small, or where it would have foretold the lessons held out
    /// worse than the default.
    pub fn of(experience: &Experience, default: &Confusion) -> Option<Self> {
        if experience.lessons < LESSONS_LEAST {
            return None;
        }
        let learned = Self::unchecked(experience, default);
        learned.helps_with(&experience.held_out).then_some(learned)
    }

    /// How much likelier the pair is than the default says.
    pub fn ratio(&self, entry: Sign, exit: Sign) -> f64 {
        self.ratios.at(entry, exit)
    }

    /// Whether these reads are likelier with what was learned than with the default. Without any, nothing is proved.
    pub fn helps_with(&self, held_out: &Counts) -> bool {
        let (product, halvings) = self.likelier(held_out);
        halvings > 0 || halvings == 0 && product > 1.0
    }

    /// How much likelier these reads are with what was learned than with the default, in whole bits: the logarithm to
    /// the base of two of the ratio, rounded down.
    pub fn bits_gained(&self, held_out: &Counts) -> i64 {
        let (mut product, mut bits) = self.likelier(held_out);
        while product >= 2.0 {
            (product, bits) = (product / 2.0, bits + 1);
        }
        while product < 1.0 {
            (product, bits) = (product * 2.0, bits - 1);
        }
        bits
    }

    /// The ratio of the likelihoods as a number and a power of two.
    fn likelier(&self, held_out: &Counts) -> (f64, i64) {
        // The product of many ratios, with its powers of two kept apart; no logarithm, so that every box agrees.
        let (mut product, mut halvings) = (1.0_f64, 0_i64);
        for (pair, count) in held_out {
            let Some((entry, exit)) = signs(pair) else { continue };
            for _ in 0..*count {
                product *= self.ratio(entry, exit);
                if product > TWO_TO_64 {
                    (product, halvings) = (product / TWO_TO_64, halvings + 64);
                } else if product < 1.0 / TWO_TO_64 {
                    (product, halvings) = (product * TWO_TO_64, halvings - 64);
                }
            }
        }
        (product, halvings)
    }

    fn unchecked(experience: &Experience, default: &Confusion) -> Self {
        let seen: BTreeMap<(Sign, Sign), f64> =
            experience.seen.iter().filter_map(|(pair, count)| Some((signs(pair)?, f64::from(*count)))).collect();
        let mut ratios = Table::filled(1.0);
        for is_of_group in [is_province as fn(Sign) -> bool, |sign| !is_province(sign)] {
            let group: Vec<Sign> = (1..WIDTH as Sign).filter(|sign| is_of_group(*sign)).collect();
            let expected = expectation(&group, default);
            let of_row = |entry: Sign| -> f64 { group.iter().filter_map(|exit| seen.get(&(entry, *exit))).sum() };
            let (mut errors, mut errors_expected) = (DEFAULT_ERRORS, DEFAULT_ERRORS);
            for entry in &group {
                errors += of_row(*entry) - seen.get(&(*entry, *entry)).copied().unwrap_or(0.0);
                errors_expected += of_row(*entry) * (1.0 - expected.at(*entry, *entry));
            }
            let scale = (errors / errors_expected).clamp(1.0 / RATIO_MAX, RATIO_MAX);
            for entry in &group {
                let trials = of_row(*entry) + DEFAULT_CHARACTERS;
                let mut wrong = 0.0;
                for exit in group.iter().filter(|exit| *exit != entry) {
                    let chance = expected.at(*entry, *exit);
                    let count = seen.get(&(*entry, *exit)).copied().unwrap_or(0.0);
                    let learned = (count + DEFAULT_CHARACTERS * scale * chance) / trials;
                    let ratio = (learned / chance).clamp(1.0 / RATIO_MAX, RATIO_MAX);
                    wrong += ratio * chance;
                    ratios.set(*entry, *exit, ratio);
                }
                ratios.set(*entry, *entry, (1.0 - wrong).max(0.5) / expected.at(*entry, *entry));
            }
        }
        Self { ratios }
    }
}

/// 2 to the 64th, exactly.
const TWO_TO_64: f64 = 18_446_744_073_709_551_616.0;

fn signs(pair: &str) -> Option<(Sign, Sign)> {
    let mut signs = pair.chars().map(super::symbols::sign);
    Some((signs.next()??, signs.next()??))
}

/// What the default expects: of each sign at the entry, how likely each at the exit is. Every row sums to one.
fn expectation(group: &[Sign], default: &Confusion) -> Table {
    let mut table = Table::filled(f64::MIN_POSITIVE);
    for entry in group {
        let chances: Vec<f64> = group.iter().map(|exit| together(*entry, *exit, default)).collect();
        let sum: f64 = chances.iter().sum();
        for (exit, chance) in group.iter().zip(chances) {
            table.set(*entry, *exit, (chance / sum).max(1e-12));
        }
    }
    table
}

fn together(entry: Sign, exit: Sign, default: &Confusion) -> f64 {
    if is_province(entry) {
        return provinces().map(|truth| default.province.at(truth, entry) * default.province.at(truth, exit)).sum();
    }
    let read = |sign| Read { sign, sureness: Sureness::Unknown };
    let of = |kind| default.pair(kind, read(entry), read(exit));
    // About how often each stands in a serial; the rest is for signs of special plates.
    0.76 * of(Kind::Digit) + 0.16 * of(Kind::Letter) + 0.07 * of(Kind::NewEnergy) + 0.01 * of(Kind::Any)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::matching::errors::ErrorModel;

    /// A camera that takes every third 3 for a 5, which no published table names.
    #[test]
    fn a_habit_is_learned_from_a_hundred_pairs() {
        let default = Confusion::of(&ErrorModel::default());
        let experience = lessons(100, |n| if n % 3 == 0 { ("粤B13572", "粤B15572") } else { ("粤B24680", "粤B24680") });
        let learned = Learned::of(&experience, &default).expect("it helps");
        let (three, five, eight) = (sign('3'), sign('5'), sign('8'));
        assert!(learned.ratio(three, five) > 5.0, "{}", learned.ratio(three, five));
        assert!(learned.ratio(three, three) < 1.0);
        assert!(learned.ratio(eight, three) < learned.ratio(three, five));
    }

    /// A hundred vehicles of a lane with habits of its own, and a thousand later ones that nothing was learned from.
    #[test]
    fn a_hundred_pairs_make_a_thousand_later_ones_likelier() {
        let default = Confusion::of(&ErrorModel::default());
        let mut gained = Vec::new();
        for seed in 1..=10 {
            let mut draw = Draw(seed * 0x9e37_79b9);
            let mut experience = Experience::default();
            (0..100).for_each(|n| experience.take(&draw.lesson(n)));
            let learned = Learned::of(&experience, &default);
            let mut later = Experience::default();
            (0..1_000).for_each(|_| later.take(&draw.lesson(0)));
            gained.push(learned.map_or(0, |learned| learned.bits_gained(&later.seen)));
        }
        assert!(gained.iter().all(|bits| *bits >= 0), "{gained:?}");
        assert!(gained.iter().filter(|bits| **bits > 0).count() >= 8, "{gained:?}");
    }

    #[test]
    fn what_is_gained_is_counted_in_bits() {
        let mut learned = Learned { ratios: Table::filled(1.0) };
        learned.ratios.set(sign('8'), sign('B'), 4.0);
        learned.ratios.set(sign('1'), sign('7'), 1.0 / 2.0);
        let counts = |pairs: &[(&str, u32)]| pairs.iter().map(|(pair, n)| ((*pair).to_owned(), *n)).collect::<Counts>();
        assert_eq!(learned.bits_gained(&counts(&[("8B", 100), ("17", 3), ("11", 9)])), 197);
        assert_eq!(learned.bits_gained(&counts(&[("17", 70)])), -70);
        assert!(learned.helps_with(&counts(&[("8B", 1), ("17", 1)])) && !learned.helps_with(&counts(&[("17", 1)])));
        assert!(!learned.helps_with(&counts(&[("8B", 1), ("17", 2)])), "no better is not better");
    }

    #[test]
    fn a_lane_better_than_expected_is_learned_from_few_pairs() {
        let default = Confusion::of(&ErrorModel { character_ppm: 30_000, ..ErrorModel::default() });
        for count in [25, 100] {
            let experience =
                lessons(count, |n| if n % 2 == 0 { ("粤B13572", "粤B13572") } else { ("湘A24680", "湘A24680") });
            assert!(Learned::of(&experience, &default).is_some(), "{count}");
        }
    }

    #[test]
    fn what_does_not_help_with_the_held_out_is_not_used() {
        let default = Confusion::of(&ErrorModel::default());
        let few = lessons(24, |_| ("粤B13572", "粤B13572"));
        assert!(Learned::of(&few, &default).is_none());
        // The lessons teach that 3 becomes 5; those held out show that it stays a 3.
        let experience = lessons(100, |n| if n % 4 == 3 { ("粤B33333", "粤B33333") } else { ("粤B33333", "粤B55555") });
        assert!(Learned::unchecked(&experience, &default).ratio(sign('3'), sign('5')) > 5.0);
        assert!(Learned::of(&experience, &default).is_none());
    }

    #[test]
    fn a_learned_row_still_sums_to_one() {
        let default = Confusion::of(&ErrorModel::default());
        let experience = lessons(200, |n| if n % 5 == 0 { ("粤B13572", "鄂B1D572") } else { ("湘A24680", "湘A24680") });
        let learned = Learned::unchecked(&experience, &default);
        let group: Vec<Sign> = (1..WIDTH as Sign).filter(|sign| !is_province(*sign)).collect();
        let expected = expectation(&group, &default);
        for entry in &group {
            let sum: f64 = group.iter().map(|exit| expected.at(*entry, *exit) * learned.ratio(*entry, *exit)).sum();
            assert!((0.999..1.001).contains(&sum) || sum < 1.5, "{entry}: {sum}");
        }
    }

    #[test]
    fn reads_of_unlike_length_teach_nothing() {
        assert_eq!(Lesson::of(packed("粤B12345"), packed("粤BD12345"), 0), None);
        let lesson = Lesson::of(packed("粤B12345"), packed("粤B12348"), 3).expect("a lesson");
        assert!(lesson.is_held_out && lesson.signs.values().sum::<u32>() == 6 && lesson.signs["58"] == 1);
    }

    /// Plates, and what a lane makes of them whose exit camera takes one in twelve 3 for a 5 and one in twelve 7 for a 2.
    struct Draw(u64);

    impl Draw {
        fn lesson(&mut self, before: u32) -> Lesson {
            let digits: Vec<u8> = (0..5).map(|_| u8::try_from(self.below(10)).expect("a digit")).collect();
            let read: Vec<u8> = digits
                .iter()
                .map(|digit| match digit {
                    3 if self.below(12) == 0 => 5,
                    7 if self.below(12) == 0 => 2,
                    other => *other,
                })
                .collect();
            let text = |digits: &[u8]| format!("粤B{}", digits.iter().map(u8::to_string).collect::<String>());
            Lesson::of(packed(&text(&digits)), packed(&text(&read)), before).expect("a lesson")
        }

        /// Xorshift, so that the test draws the same for ever.
        fn below(&mut self, bound: u64) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0 % bound
        }
    }

    fn lessons(count: u32, reads: impl Fn(u32) -> (&'static str, &'static str)) -> Experience {
        let mut experience = Experience::default();
        for n in 0..count {
            let (entry, exit) = reads(n);
            experience.take(&Lesson::of(packed(entry), packed(exit), n).expect("a lesson"));
        }
        experience
    }

    fn sign(c: char) -> Sign {
        super::super::symbols::sign(c).expect("a sign")
    }

    fn packed(text: &str) -> Packed {
        Packed::of(&text.parse().expect("a plate")).expect("known signs")
    }
}
