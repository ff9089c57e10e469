//! Turns likelihoods into posteriors, and posteriors into a decision: automatic, a guard's choice, or none.

use serde::{Deserialize, Serialize};

use super::learning::Learned;
use super::likelihood::Likelihood;
use super::reading::Reading;
use super::symbols::{PACKED_SIGNS, Packed, is_digit};

/// A certainty in millionths.
pub type Ppm = u32;
/// Quite certain.
pub const CERTAIN_PPM: Ppm = 1_000_000;

/// How certain a match must be for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thresholds {
    /// The stay is taken without asking anybody, where its plate was read otherwise.
    pub automatic_ppm: Ppm,
    /// The same where the plate was read exactly as at the entry: only in a dense fleet is that less than certain, and
    /// there a guard sees no more than the camera did.
    pub exact_ppm: Ppm,
    /// A member's points and benefits are used without a second factor.
    pub member_ppm: Ppm,
    /// A guard is shown the candidate.
    pub shown_ppm: Ppm,
}

impl Default for Thresholds {
    /// Chosen on seeds other than those of the proof; see `docs/matching.md`.
    fn default() -> Self {
        Self { automatic_ppm: 992_000, exact_ppm: 950_000, member_ppm: 999_000, shown_ppm: 1_000 }
    }
}

/// The bounds of what is believed about vehicles without an entry: guessed too low it closes wrong stays, guessed too
/// high it asks a guard too often.
pub const NO_ENTRY_PPM: std::ops::RangeInclusive<Ppm> = 1_000..=500_000;
/// Of the vehicles without an entry, how many have a sister inside whose plate differs in one digit: fleets number
/// theirs in a row, and families choose theirs.
const SISTERS: f64 = 0.02;
/// Plates that differ from one plate in one digit: nine others at each of about five places.
const SISTER_PLATES: f64 = 45.0;
/// How many candidates an answer names at most.
pub const RANKED_MAX: usize = 8;

/// What speaks for or against a candidate besides its plate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Whether the vehicle's kind (car, van, lorry) was the same at entry and exit, where both were told.
    pub same_kind: Option<bool>,
    /// Whether the plate's colour was the same, where both were told and neither is a new-energy one: those two the
    /// shapes of plates tell apart.
    pub same_colour: Option<bool>,
    /// Since when it has been inside, in seconds, where that is known.
    pub inside_s: Option<u32>,
    /// How usual it is that a vehicle from its entry lane leaves here, in basis points of an even spread.
    pub lanes_bp: Option<u32>,
}

/// A stay that may be meant.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// Its read at entry.
    pub entry: Reading,
    /// What the two cameras have learned of each other.
    pub learned: Option<&'a Learned>,
    /// What else is known.
    pub evidence: Evidence,
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// What was read, and how likely each is what the camera meant, in basis points that sum to 10,000 at most.
    pub reads: &'a [(Reading, u32)],
    /// The stays near any of the reads.
    pub candidates: &'a [Known<'a>],
    /// How many stays are open.
    pub inside: u32,
    /// How many of the vehicles here have no entry, in millionths.
    pub no_entry_ppm: Ppm,
}

/// The answer: the best candidates by certainty, and what is left for a vehicle that is none of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The candidate's place in the question and its posterior, the likeliest first; equal ones in the order of the
    /// question.
    pub ranked: Vec<(usize, Ppm)>,
    /// The posterior that the vehicle is none of the candidates.
    pub none_ppm: Ppm,
}

/// What is done with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The best candidate is it.
    Automatic,
    /// A guard chooses among the candidates.
    Guard,
    /// No entry was found.
    None,
}

/// Weighs every candidate and the vehicle that never entered.
pub fn answer(likelihood: &Likelihood<'_>, question: &Question<'_>) -> Answer {
    let no_entry = f64::from(question.no_entry_ppm.clamp(*NO_ENTRY_PPM.start(), *NO_ENTRY_PPM.end())) / 1e6;
    let inside = f64::from(question.inside.max(question.candidates.len() as u32).max(1));
    let each = (1.0 - no_entry) / inside;
    let stranger = |read: &Reading| {
        let sisters = question.candidates.iter().filter(|known| is_sister(known.entry.plate, read.plate)).count();
        let sister = sisters as f64 / inside / SISTER_PLATES * read.marks_if_right();
        (1.0 - SISTERS) * likelihood.alone(read) + SISTERS * sister
    };
    let stranger: f64 = question.reads.iter().map(|(read, bp)| share(*bp) * stranger(read)).sum();
    let weights: Vec<f64> = question
        .candidates
        .iter()
        .map(|known| {
            let alone = likelihood.alone(&known.entry);
            if alone <= 0.0 {
                return 0.0;
            }
            let both = |read: &Reading| likelihood.both(&known.entry, read, known.learned);
            let both: f64 = question.reads.iter().map(|(read, bp)| share(*bp) * both(read)).sum();
            each * both / alone * known.evidence.weight()
        })
        .collect();
    let nobody = no_entry * stranger;
    let sum = nobody + weights.iter().sum::<f64>();
    if sum <= 0.0 {
        return Answer { ranked: Vec::new(), none_ppm: CERTAIN_PPM };
    }
    let ppm = |weight: f64| (weight / sum * f64::from(CERTAIN_PPM)) as Ppm;
    let mut ranked: Vec<(usize, Ppm)> = weights.iter().map(|weight| ppm(*weight)).enumerate().collect();
    ranked.sort_by_key(|(place, posterior)| (std::cmp::Reverse(*posterior), *place));
    ranked.truncate(RANKED_MAX);
    Answer { ranked, none_ppm: ppm(nobody) }
}

impl Answer {
    /// The best posterior, 0 where there is no candidate.
    pub fn best_ppm(&self) -> Ppm {
        self.ranked.first().map_or(0, |(_, posterior)| *posterior)
    }
}

impl Evidence {
    /// How much likelier the candidate is for it than a stranger. Bounded: none of it outweighs a plate.
    fn weight(self) -> f64 {
        let kind = match self.same_kind {
            Some(true) => 1.3,
            Some(false) => 0.1,
            None => 1.0,
        };
        // Six of seven plates are blue: that two are says little, and a camera takes one colour for another now and then.
        let colour = match self.same_colour {
            Some(true) => 1.2,
            Some(false) => 0.2,
            None => 1.0,
        };
        let time = match self.inside_s {
            Some(..30) => 0.05,
            Some(30..120) => 0.5,
            Some(2_592_000..) => 0.3,
            Some(120..2_592_000) | None => 1.0,
        };
        let lanes = self.lanes_bp.map_or(1.0, |bp| f64::from(bp.clamp(2_500, 40_000)) / 1e4);
        kind * colour * time * lanes
    }
}

/// Whether two plates differ in one digit and nothing else.
fn is_sister(one: Packed, other: Packed) -> bool {
    let mut unlike = (0..PACKED_SIGNS).map(|place| (one.sign(place), other.sign(place))).filter(|(a, b)| a != b);
    unlike.next().is_some_and(|(a, b)| is_digit(a) && is_digit(b)) && unlike.next().is_none()
}

fn share(bp: u32) -> f64 {
    f64::from(bp.min(10_000)) / 1e4
}
