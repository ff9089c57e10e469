//! Several statements about one vehicle made into one: quick and full results, front and rear cameras.

use super::errors::{Confusion, Read};
use super::likelihood::Likelihood;
use super::reading::Reading;
use super::symbols::{Packed, is_letter, is_province};

/// The most statements about one arrival that are taken into account; a camera's quick and full result and a second
/// camera's are four.
pub const READS_MAX: usize = 8;
/// The most texts that are left as what may be meant.
const MEANT_MAX: usize = 4;
/// What a text must be worth to be kept, in basis points.
const MEANT_BP: u32 = 100;
/// How much oftener a quick result is wrong than a full one.
const QUICK_ERRORS: f64 = 3.0;
/// The chance of a read that no single mistake explains.
const UNEXPLAINED: f64 = 1e-7;

/// One statement about an arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statement {
    /// What was read.
    pub reading: Reading,
    /// Whether it was the camera's first, quick result.
    pub is_quick: bool,
}

/// What may be meant by statements about one vehicle, the likeliest first, with shares in basis points.
///
/// Every text that was read is asked how well it explains all of them. Where they agree this is the one text; where they
/// do not, the better source, the surer camera and the likelier plate decide, and a text keeps its share.
pub fn fuse(confusion: &Confusion, likelihood: &Likelihood<'_>, statements: &[Statement]) -> Vec<(Reading, u32)> {
    let statements = &statements[statements.len().saturating_sub(READS_MAX)..];
    let mut texts: Vec<Reading> = Vec::new();
    for statement in statements.iter().rev().filter(|statement| !statement.reading.is_empty()) {
        match texts.iter_mut().find(|text| text.plate == statement.reading.plate) {
            Some(text) => text.colour = text.colour.or(statement.reading.colour),
            None => texts.push(statement.reading),
        }
    }
    let weight = |text: &Reading| {
        let prior = likelihood.alone(&Reading::of(text.plate)).max(f64::MIN_POSITIVE);
        statements.iter().fold(prior, |weight, statement| weight * explains(confusion, text.plate, statement))
    };
    let weights: Vec<f64> = texts.iter().map(weight).collect();
    let sum: f64 = weights.iter().sum();
    // A sum of nothing at all means that no text explains the others: then each stands for itself.
    let even = 10_000 / texts.len().max(1) as u32;
    let share = |weight: f64| if sum > 0.0 { (weight / sum * 1e4) as u32 } else { even };
    let mut meant: Vec<(Reading, u32)> = texts.into_iter().zip(weights.into_iter().map(share)).collect();
    // The newest of equals stays first: a full result comes after its quick one.
    meant.sort_by_key(|(_, bp)| std::cmp::Reverse(*bp));
    let best = meant.first().map_or(0, |(_, bp)| *bp).min(MEANT_BP);
    meant.retain(|(_, bp)| *bp >= best);
    meant.truncate(MEANT_MAX);
    meant
}

/// The chance that a camera says this where the plate is that.
fn explains(confusion: &Confusion, truth: Packed, statement: &Statement) -> f64 {
    let (reading, factor) = (&statement.reading, if statement.is_quick { QUICK_ERRORS } else { 1.0 });
    if reading.len() != truth.len() {
        let (long, short) = if reading.len() > truth.len() { (reading.plate, truth) } else { (truth, reading.plate) };
        let is_explained = super::index::is_near(super::index::Reach::One, long, short);
        return if is_explained { factor * (confusion.missing + confusion.added) } else { UNEXPLAINED };
    }
    let mut chance = 1.0;
    for place in 0..truth.len() {
        chance *= one(confusion, truth, reading.at(place), place, factor);
    }
    chance.max(UNEXPLAINED * UNEXPLAINED)
}

/// The chance that a camera reads the sign at a place of a plate so.
pub(super) fn one(confusion: &Confusion, truth: Packed, read: Read, place: usize, factor: f64) -> f64 {
    let sign = truth.sign(place);
    let table = if is_province(sign) {
        &confusion.province
    } else if place == 1 && is_letter(sign) {
        &confusion.issuer
    } else {
        &confusion.serial
    };
    let (right, wrong) = read.sureness.weights();
    if sign == read.sign {
        (1.0 - factor * (1.0 - table.at(sign, sign))).max(0.01) * right
    } else {
        (factor * table.at(sign, read.sign)).min(0.5) * wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::matching::errors::{ErrorModel, Sureness};
    use crate::domain::matching::population::Population;

    #[test]
    fn agreeing_statements_are_one_text() {
        check(&[("粤B12345", true), ("粤B12345", false)], &["粤B12345"]);
        check(&[], &[]);
    }

    #[test]
    fn the_full_result_outweighs_the_quick_one() {
        check(&[("粤B12345", true), ("粤B12346", false)], &["粤B12346", "粤B12345"]);
        check(&[("粤B12346", false), ("粤B12345", true)], &["粤B12346", "粤B12345"]);
    }

    #[test]
    fn two_against_one_win() {
        check(&[("粤B12845", false), ("粤B12B45", false), ("粤B12845", false)], &["粤B12845"]);
    }

    /// Cameras that say nothing of their characters: two texts once each are both kept, the likelier plate first.
    #[test]
    fn without_a_word_on_its_characters_the_likelier_text_comes_first_and_a_third_read_decides() {
        let once = fused(&[("粤B12345", false), ("粤B1Z345", false)]);
        assert_eq!(fused(&[("粤B1Z345", false), ("粤B12345", false)]), once, "whichever came first");
        assert_eq!(once.iter().map(|(text, _)| text.as_str()).collect::<Vec<_>>(), ["粤B12345", "粤B1Z345"]);
        assert!((6_000..9_500).contains(&once[0].1), "neither is certain: {once:?}");
        for (often, other) in [("粤B12345", "粤B1Z345"), ("粤B1Z345", "粤B12345")] {
            let third = fused(&[(often, false), (other, false), (often, false)]);
            assert!(third[0].0 == often && third[0].1 >= 9_500, "{third:?}");
        }
    }

    #[test]
    fn a_lost_character_is_known_for_one() {
        let meant = fused(&[("粤BD1234", false), ("粤BD12345", false)]);
        assert_eq!(meant[0].0, "粤BD12345", "{meant:?}");
    }

    #[test]
    fn a_doubtful_character_gives_way() {
        let confusion = Confusion::of(&ErrorModel::default());
        let population = Population::new(&[]);
        let likelihood = Likelihood::new(&confusion, &population);
        let (mut first, second) = (reading("粤B12345"), reading("粤B12346"));
        first.sureness = [Sureness::Sure; 9];
        let mut unsure = second;
        unsure.sureness[6] = Sureness::Unsure;
        let statement = |reading| Statement { reading, is_quick: false };
        let meant = fuse(&confusion, &likelihood, &[statement(first), statement(unsure)]);
        assert_eq!(meant[0].0.plate, first.plate);
    }

    fn check(reads: &[(&str, bool)], expect: &[&str]) {
        let found = fused(reads);
        assert_eq!(found.iter().map(|(text, _)| text.as_str()).collect::<Vec<_>>(), expect, "{found:?}");
        assert!(found.iter().map(|(_, bp)| bp).sum::<u32>() <= 10_000);
    }

    fn fused(reads: &[(&str, bool)]) -> Vec<(String, u32)> {
        let confusion = Confusion::of(&ErrorModel::default());
        let population = Population::new(&[]);
        let likelihood = Likelihood::new(&confusion, &population);
        let statements: Vec<Statement> =
            reads.iter().map(|(text, is_quick)| Statement { reading: reading(text), is_quick: *is_quick }).collect();
        fuse(&confusion, &likelihood, &statements).into_iter().map(|(read, bp)| (read.plate.text(), bp)).collect()
    }

    fn reading(text: &str) -> Reading {
        Reading::of(Packed::of(&text.parse().expect("a plate")).expect("known signs"))
    }
}
