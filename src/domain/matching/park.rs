//! The vehicles inside, ready to be asked which of them stands at the exit.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::answer::{self, Answer, CERTAIN_PPM, Evidence, Known, Ppm, Question, Thresholds, Verdict};
use super::errors::{Confusion, ErrorModel};
use super::fusion::{self, Statement};
use super::index::{Index, Near, Reach};
use super::learning::{Experience, LESSONS_MAX, Learned, Lesson};
use super::likelihood::Likelihood;
use super::population::Population;
use super::reading::Reading;
use super::symbols::Packed;
use super::traffic::Traffic;
use crate::domain::plate::Plate;
use crate::domain::plate::class::{Class, Format};
use crate::domain::plate::told::{Colour, VehicleKind};

/// How certain an exact match of a plate is that the matching cannot weigh: foreign, ten signs, unknown signs.
const EXACT_PPM: Ppm = 999_000;

/// A vehicle inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inside {
    /// Its plate as the stay has it.
    pub plate: Plate,
    /// The camera's confidence in each character, in basis points; empty where it was not told.
    pub confidences: Vec<u16>,
    /// The colour, where it was told.
    pub colour: Option<Colour>,
    /// The kind of vehicle, where it was told.
    pub vehicle: Option<VehicleKind>,
    /// The camera that read it.
    pub camera: String,
    /// When it came in, in seconds since 1970.
    pub entered_s: Option<i64>,
}

/// A vehicle at an exit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Everything that was read of it, in the order in which it was read.
    pub reads: Vec<Seen>,
    /// How many of the vehicles here have no entry, in millionths.
    pub no_entry_ppm: Ppm,
    /// When, in seconds since 1970.
    pub at_s: Option<i64>,
}

/// One statement of one camera at the exit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// What was read.
    pub plate: Plate,
    /// The camera's confidence in each character, in basis points; empty where it was not told.
    pub confidences: Vec<u16>,
    /// Other texts that the camera holds possible, with its confidence in each, in basis points.
    pub others: Vec<(Plate, u16)>,
    /// The colour, where it was told.
    pub colour: Option<Colour>,
    /// The kind of vehicle, where it was told.
    pub vehicle: Option<VehicleKind>,
    /// The camera.
    pub camera: String,
    /// Whether it was the camera's first, quick result.
    pub is_quick: bool,
}

impl Seen {
    /// A statement of which only the plate and the camera are known.
    pub fn of(plate: Plate, camera: &str) -> Self {
        let camera = camera.to_owned();
        Self {
            plate,
            confidences: Vec::new(),
            others: Vec::new(),
            colour: None,
            vehicle: None,
            camera,
            is_quick: false,
        }
    }
}

/// A vehicle inside that may be the one at the exit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate<K> {
    /// Its key.
    pub key: K,
    /// Its plate as the stay has it.
    pub plate: Plate,
    /// How certain it is, in millionths.
    pub posterior_ppm: Ppm,
    /// Whether what both cameras told of colour and kind is the same: evidence besides the plate's text.
    pub second_factor: bool,
}

/// What came of the question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match<K> {
    /// What to do.
    pub verdict: Verdict,
    /// The best candidates, the likeliest first; those below the threshold of being shown are left out.
    pub candidates: Vec<Candidate<K>>,
    /// How certain it is that the vehicle has no entry here, in millionths.
    pub none_ppm: Ppm,
    /// The text that the statements together say.
    pub read: Plate,
}

/// What a pair of cameras has shown, and what was learned from it where it is of use.
type Taught = (Experience, Option<Arc<Learned>>);

/// An entry lane and an exit lane.
type LanePair = (String, String);

/// All vehicles inside. `K` names a stay.
#[derive(Clone, Debug)]
pub struct Park<K> {
    inside: BTreeMap<K, Inside>,
    by_plate: BTreeMap<Packed, Vec<K>>,
    /// Plates that cannot be packed are only compared exactly.
    by_text: BTreeMap<Plate, Vec<K>>,
    index: Index,
    population: Population,
    confusion: Arc<Confusion>,
    experience: BTreeMap<LanePair, Taught>,
    traffic: Traffic,
    thresholds: Thresholds,
    formats: Vec<Format>,
}

/// The most vehicles with plates near a read that are weighed; only a park of copies has more.
const WEIGHED_MAX: usize = 512;

impl Inside {
    /// A vehicle of which only the plate and the camera are known.
    pub fn of(plate: Plate, camera: &str) -> Self {
        let (confidences, camera) = (Vec::new(), camera.to_owned());
        Self { plate, confidences, colour: None, vehicle: None, camera, entered_s: None }
    }
}

impl<K: Ord + Clone> Park<K> {
    /// Nobody inside.
    pub fn new(model: &ErrorModel, thresholds: Thresholds, formats: Vec<Format>) -> Self {
        let shapes: Vec<String> = formats.iter().map(|format| format.as_str().to_owned()).collect();
        Self {
            inside: BTreeMap::new(),
            by_plate: BTreeMap::new(),
            by_text: BTreeMap::new(),
            index: Index::new(Reach::Two),
            population: Population::new(&shapes),
            confusion: Arc::new(Confusion::of(model)),
            experience: BTreeMap::new(),
            traffic: Traffic::default(),
            thresholds,
            formats,
        }
    }

    /// How many are inside.
    pub fn len(&self) -> usize {
        self.inside.len()
    }

    /// Whether nobody is.
    pub fn is_empty(&self) -> bool {
        self.inside.is_empty()
    }

    /// The thresholds.
    pub fn thresholds(&self) -> Thresholds {
        self.thresholds
    }

    /// How the cameras here err.
    pub fn confusion(&self) -> &Confusion {
        &self.confusion
    }

    /// How likely reads are, with the cameras and the vehicles that are here.
    pub fn likelihood(&self) -> Likelihood<'_> {
        Likelihood::new(&self.confusion, &self.population)
    }

    /// One who is inside.
    pub fn inside(&self, key: &K) -> Option<&Inside> {
        self.inside.get(key)
    }

    /// A vehicle has come in, or is known better than before.
    pub fn enter(&mut self, key: K, vehicle: Inside) {
        self.leave(&key);
        match Packed::of(&vehicle.plate) {
            Some(packed) => {
                self.population.add(packed);
                self.index.insert(packed);
                self.by_plate.entry(packed).or_default().push(key.clone());
            }
            None => self.by_text.entry(vehicle.plate.clone()).or_default().push(key.clone()),
        }
        self.inside.insert(key, vehicle);
    }

    /// A vehicle has gone; nothing happens where it was not inside.
    pub fn leave(&mut self, key: &K) {
        let Some(vehicle) = self.inside.remove(key) else { return };
        match Packed::of(&vehicle.plate) {
            Some(packed) => {
                self.population.take(packed);
                if !forget(&mut self.by_plate, &packed, key) {
                    self.index.remove(packed);
                }
            }
            None => {
                forget(&mut self.by_text, &vehicle.plate, key);
            }
        }
    }

    /// Nobody is inside any more; what was learned stays.
    pub fn clear(&mut self) {
        let shapes: Vec<String> = self.formats.iter().map(|format| format.as_str().to_owned()).collect();
        self.inside.clear();
        self.by_plate.clear();
        self.by_text.clear();
        self.index = Index::new(Reach::Two);
        self.population = Population::new(&shapes);
    }

    /// What a pair of cameras has shown: the entry's, then the exit's.
    pub fn experience(&self, entry: &str, exit: &str) -> Option<&Experience> {
        self.experience.get(&(entry.to_owned(), exit.to_owned())).map(|(experience, _)| experience)
    }

    /// Counts what a pair of cameras has shown of one vehicle.
    pub fn learn(&mut self, entry: &str, exit: &str, lesson: &Lesson) {
        let (experience, learned) = self.experience.entry((entry.to_owned(), exit.to_owned())).or_default();
        experience.take(lesson);
        // A few lessons change little; weighing them anew each time would cost more than it brings.
        if experience.lessons.is_multiple_of(8) || experience.lessons < 64 {
            *learned = Learned::of(experience, &self.confusion).map(Arc::new);
        }
    }

    /// Takes up what was learned before.
    pub fn remember(&mut self, entry: &str, exit: &str, experience: Experience) {
        let learned = Learned::of(&experience, &self.confusion).map(Arc::new);
        self.experience.insert((entry.to_owned(), exit.to_owned()), (experience, learned));
    }

    /// Forgets all that was learned.
    pub fn unlearn(&mut self) {
        self.experience.clear();
        self.traffic = Traffic::default();
    }

    /// Counts vehicles that came in by one lane and left by another.
    pub fn left_by(&mut self, entry: &str, exit: &str, vehicles: u32) {
        self.traffic.saw(entry, exit, vehicles);
    }

    /// How many vehicles were seen to leave.
    pub fn vehicles_seen(&self) -> u64 {
        self.traffic.vehicles()
    }

    /// The text that several statements about one vehicle say together; `None` where none of them can be weighed.
    pub fn together(&self, reads: &[Seen]) -> Option<Plate> {
        let statements: Vec<Statement> = reads.iter().filter_map(statement).collect();
        let meant = fusion::fuse(&self.confusion, &self.likelihood(), &statements);
        text_of(reads, meant.first()?.0.plate).cloned()
    }

    /// Whether the pair's experience is in use: enough of it, and better than the default with what was held out.
    pub fn has_learned(&self, entry: &str, exit: &str) -> bool {
        self.experience.get(&(entry.to_owned(), exit.to_owned())).is_some_and(|(_, learned)| learned.is_some())
    }

    /// How much likelier the lessons held out are with what a pair of cameras has shown, in bits; `None` where it is not
    /// in use.
    pub fn bits_gained(&self, entry: &str, exit: &str) -> Option<i64> {
        let (experience, learned) = self.experience.get(&(entry.to_owned(), exit.to_owned()))?;
        Some(learned.as_ref()?.bits_gained(&experience.held_out))
    }

    /// What a vehicle that left teaches, where the pair of cameras still learns from such.
    pub fn lesson(&self, key: &K, exit_camera: &str, read: &Plate, was_chosen: bool) -> Option<Lesson> {
        let vehicle = self.inside.get(key)?;
        let before = self.experience(&vehicle.camera, exit_camera).map_or(0, |experience| experience.lessons);
        if before >= LESSONS_MAX && !was_chosen {
            return None;
        }
        Lesson::of(Packed::of(&vehicle.plate)?, Packed::of(read)?, before)
    }

    /// Which vehicle is it? `None` where nothing was read.
    pub fn ask(&self, asked: &Asked) -> Option<Match<K>> {
        let last = asked.reads.last()?;
        let statements: Vec<Statement> = asked.reads.iter().filter_map(statement).collect();
        if statements.is_empty() {
            return Some(self.exactly(&last.plate, asked));
        }
        let likelihood = self.likelihood();
        let mut meant = fusion::fuse(&self.confusion, &likelihood, &statements);
        if let [(reading, bp)] = &mut meant[..]
            && !last.others.is_empty()
        {
            let (own, others) = possible(*reading, *bp, last);
            *bp = own;
            meant.extend(others);
        }
        let read = meant.first().and_then(|(reading, _)| text_of(&asked.reads, reading.plate)).unwrap_or(&last.plate);
        Some(self.weigh(&likelihood, &meant, read.clone(), asked))
    }

    fn weigh(&self, likelihood: &Likelihood<'_>, meant: &[(Reading, u32)], read: Plate, asked: &Asked) -> Match<K> {
        let mut near = self.near(meant);
        let keys: Vec<&K> =
            near.found.iter().filter_map(|plate| self.by_plate.get(plate)).flatten().take(WEIGHED_MAX).collect();
        near.is_cut |= keys.len() == WEIGHED_MAX;
        let known: Vec<Known<'_>> = keys.iter().map(|key| self.known(key, asked)).collect();
        let question = Question {
            reads: meant,
            candidates: &known,
            inside: u32::try_from(self.inside.len()).unwrap_or(u32::MAX),
            no_entry_ppm: asked.no_entry_ppm,
        };
        let Answer { ranked, none_ppm } = answer::answer(likelihood, &question);
        let candidates: Vec<Candidate<K>> = ranked
            .into_iter()
            .filter(|(_, posterior)| *posterior >= self.thresholds.shown_ppm)
            .map(|(place, posterior_ppm)| Candidate {
                key: keys[place].clone(),
                plate: self.inside[keys[place]].plate.clone(),
                posterior_ppm,
                second_factor: looks_alike(&self.inside[keys[place]], asked),
            })
            .collect();
        let verdict = self.verdict(&read, &candidates, near.is_cut);
        Match { verdict, candidates, none_ppm, read }
    }

    /// An automatic match is certain enough, was searched for to the end, and takes no special plate for a misread.
    fn verdict(&self, read: &Plate, candidates: &[Candidate<K>], is_cut: bool) -> Verdict {
        let Some(best) = candidates.first() else { return Verdict::None };
        let special = |plate: &Plate| Class::of(plate, &self.formats).is_special();
        let is_plain = best.plate == *read || !(special(&best.plate) || special(read));
        let is_exact = best.plate == *read;
        let enough = if is_exact { self.thresholds.exact_ppm } else { self.thresholds.automatic_ppm };
        if best.posterior_ppm >= enough && is_plain && !is_cut { Verdict::Automatic } else { Verdict::Guard }
    }

    /// A plate that cannot be weighed is compared as it is.
    fn exactly(&self, read: &Plate, asked: &Asked) -> Match<K> {
        let keys = self.by_text.get(read).map_or(&[][..], Vec::as_slice);
        let each = EXACT_PPM / u32::try_from(keys.len()).unwrap_or(u32::MAX).max(1);
        let candidate = |key: &K| Candidate {
            key: key.clone(),
            plate: read.clone(),
            posterior_ppm: each,
            second_factor: looks_alike(&self.inside[key], asked),
        };
        let candidates: Vec<Candidate<K>> = keys.iter().take(answer::RANKED_MAX).map(candidate).collect();
        let verdict = match candidates.len() {
            0 => Verdict::None,
            1 => Verdict::Automatic,
            _ => Verdict::Guard,
        };
        let none_ppm = if keys.is_empty() { CERTAIN_PPM } else { (CERTAIN_PPM - EXACT_PPM).min(asked.no_entry_ppm) };
        Match { verdict, candidates, none_ppm, read: read.clone() }
    }

    fn near(&self, meant: &[(Reading, u32)]) -> Near {
        let mut all = Near::default();
        for (reading, _) in meant {
            let near = self.index.near(reading.plate);
            all.is_cut |= near.is_cut;
            all.visited += near.visited;
            for plate in near.found {
                if !all.found.contains(&plate) {
                    all.found.push(plate);
                }
            }
        }
        all
    }

    fn known(&self, key: &K, asked: &Asked) -> Known<'_> {
        let vehicle = &self.inside[key];
        let exit_camera = asked.reads.last().map_or("", |seen| seen.camera.as_str());
        let entry = Reading::told(&vehicle.plate, &vehicle.confidences, vehicle.colour)
            .expect("only packed plates are found by their pack");
        let learned = self.experience.get(&(vehicle.camera.clone(), exit_camera.to_owned()));
        let inside_s = asked
            .at_s
            .zip(vehicle.entered_s)
            .map(|(at, entered)| u32::try_from(at.saturating_sub(entered).max(0)).unwrap_or(u32::MAX));
        Known {
            entry,
            learned: learned.and_then(|(_, learned)| learned.as_deref()),
            evidence: Evidence {
                same_kind: same(vehicle.vehicle, asked.vehicle()),
                same_colour: same(vehicle.colour, asked.colour()).filter(|_| {
                    let is_plain = |colour: Option<Colour>| colour.is_some_and(|colour| !colour.is_green());
                    is_plain(vehicle.colour) && is_plain(asked.colour())
                }),
                inside_s,
                lanes_bp: self.traffic.usual_bp(&vehicle.camera, exit_camera),
            },
        }
    }
}

impl Asked {
    /// The colour, as the last statement that told one has it.
    fn colour(&self) -> Option<Colour> {
        self.reads.iter().rev().find_map(|seen| seen.colour)
    }

    /// The kind of vehicle, as the last statement that told one has it.
    fn vehicle(&self) -> Option<VehicleKind> {
        self.reads.iter().rev().find_map(|seen| seen.vehicle)
    }
}

/// Whether two cameras told the same, where both told.
fn same<T: PartialEq>(entry: Option<T>, exit: Option<T>) -> Option<bool> {
    Some(entry? == exit?)
}

/// Whether both cameras told colour and kind, and the same ones.
fn looks_alike(vehicle: &Inside, asked: &Asked) -> bool {
    same(vehicle.colour, asked.colour()) == Some(true) && same(vehicle.vehicle, asked.vehicle()) == Some(true)
}

/// Takes a key out of a list of keys; whether any is left.
fn forget<Q: Ord, K: PartialEq>(lists: &mut BTreeMap<Q, Vec<K>>, of: &Q, key: &K) -> bool {
    let Some(keys) = lists.get_mut(of) else { return false };
    keys.retain(|other| other != key);
    let is_left = !keys.is_empty();
    if !is_left {
        lists.remove(of);
    }
    is_left
}

pub(super) fn statement(seen: &Seen) -> Option<Statement> {
    let reading = Reading::told(&seen.plate, &seen.confidences, seen.colour)?;
    Some(Statement { reading, is_quick: seen.is_quick })
}

/// The text among the reads that was packed so.
fn text_of(reads: &[Seen], packed: Packed) -> Option<&Plate> {
    reads.iter().rev().map(|seen| &seen.plate).find(|plate| Packed::of(plate) == Some(packed))
}

/// How many other texts of a camera are taken into account.
const OTHERS_MAX: usize = 4;

/// The camera's own text keeps at least half of what it was worth; the others share the rest by their confidence.
fn possible(own: Reading, bp: u32, seen: &Seen) -> (u32, Vec<(Reading, u32)>) {
    let others: Vec<(Reading, u32)> = seen
        .others
        .iter()
        .take(OTHERS_MAX)
        .filter_map(|(plate, confidence)| {
            Some((Reading::told(plate, &[], seen.colour)?, u32::from((*confidence).min(10_000))))
        })
        .filter(|(reading, confidence)| reading.plate != own.plate && *confidence > 0)
        .collect();
    let sum: u32 = others.iter().map(|(_, confidence)| confidence).sum();
    // A camera's list of candidates is no posterior: the first is right far more often than its number says.
    let given = (bp / 2).min(bp * sum / (sum + 40_000));
    let of = |confidence: u32| (u64::from(given) * u64::from(confidence) / u64::from(sum.max(1))) as u32;
    (bp - given, others.into_iter().map(|(reading, confidence)| (reading, of(confidence))).collect())
}
