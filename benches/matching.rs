//! How fast a plate is found among a million, and what that costs in memory, beside a scan and beside a general index
//! of deletions, on the same plates and the same misreads.
//!
//! `cargo bench --bench matching`

use std::time::{Duration, Instant};

use gatepost::domain::matching::errors::{Confusion, ErrorModel};
use gatepost::domain::matching::index::{Index, Near, Reach};
use gatepost::domain::matching::learning::{Experience, Learned, Lesson};
use gatepost::domain::matching::symbols::Packed;
use rapidfuzz::distance::levenshtein;
use symspell::{SymSpell, SymSpellBuilder, UnicodeStringStrategy, Verbosity};

const PLATES: usize = 1_000_000;
/// A large car park.
const INSIDE: usize = 50_000;
const QUERIES: usize = 20_000;
/// The scan reads everything each time; a few queries tell enough.
const SCANS: usize = 20;
const SEED: u64 = 2_026;

fn main() {
    let mut draw = Draw(SEED);
    let mut plates: Vec<String> = (0..PLATES + PLATES / 8).map(|_| draw.plate()).collect();
    plates.sort();
    plates.dedup();
    // The draw's order, not the alphabet's, decides who is in the smaller set.
    plates.sort_by_key(|plate| {
        plate.bytes().fold(SEED, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
    });
    plates.truncate(PLATES);
    let queries: Vec<String> = (0..QUERIES).map(|n| draw.misread(&plates[n * 37 % INSIDE])).collect();

    own("members, one sign apart", Reach::One, &plates, &queries);
    own("open stays, two signs apart", Reach::Two, &plates[..INSIDE], &queries);
    scan(&plates, &queries[..SCANS]);
    deletions(&plates, &queries);
    learning(&mut draw, &plates);
}

fn own(what: &str, reach: Reach, plates: &[String], queries: &[String]) {
    let packed: Vec<Packed> = plates.iter().map(|plate| pack(plate)).collect();
    let queries: Vec<Packed> = queries.iter().map(|plate| pack(plate)).collect();
    let begin = Instant::now();
    let mut index = Index::of(reach, packed);
    let built = begin.elapsed();
    let found = measure(&queries, |query| {
        let Near { found, .. } = index.near(*query);
        found.len()
    });
    let bytes = index.bytes() as f64 / index.len() as f64;
    say(what, plates.len(), built, &found);
    say_line(&format!("    {bytes:.1} bytes a plate with the packed plate itself, {:.1} on top of it", bytes - 8.0));
    let begin = Instant::now();
    let moved = queries.iter().take(10_000);
    moved.for_each(|query| {
        if index.insert(*query) {
            index.remove(*query);
        }
    });
    say_line(&format!("    {:.2} µs for one in and out", micros(begin.elapsed()) / 10_000.0));
}

fn scan(plates: &[String], queries: &[String]) {
    let plates: Vec<Vec<char>> = plates.iter().map(|plate| plate.chars().collect()).collect();
    let args = levenshtein::Args::default().score_cutoff(1);
    let found = measure(queries, |query| {
        let scorer = levenshtein::BatchComparator::new(query.chars());
        plates.iter().filter(|plate| scorer.distance_with_args(plate.iter().copied(), &args).is_some()).count()
    });
    say("rapidfuzz, scan, one sign apart", plates.len(), Duration::ZERO, &found);
}

fn deletions(plates: &[String], queries: &[String]) {
    let begin = Instant::now();
    let mut index: SymSpell<UnicodeStringStrategy> =
        SymSpellBuilder::default().max_dictionary_edit_distance(1).count_threshold(0).build().expect("settings");
    for plate in plates {
        index.load_dictionary_line(&format!("{plate} 1"), 0, 1, " ");
    }
    let built = begin.elapsed();
    let found = measure(queries, |query| index.lookup(query, Verbosity::All, 1).len());
    say("symspell, one sign apart", plates.len(), built, &found);
}

/// What some pairs of a camera with habits of its own teach about ten thousand later ones.
fn learning(draw: &mut Draw, plates: &[String]) {
    let default = Confusion::of(&ErrorModel::default());
    let mut lesson = |before: u32| {
        let plate = &plates[draw.below(PLATES as u64) as usize];
        Lesson::of(pack(plate), pack(&draw.with_habits(plate)), before)
    };
    let mut later = Experience::default();
    (0..10_000).filter_map(|_| lesson(0)).for_each(|lesson| later.take(&lesson));
    for pairs in [25, 100, 400, 4_000] {
        let mut experience = Experience::default();
        while experience.lessons < pairs {
            if let Some(lesson) = lesson(experience.lessons) {
                experience.take(&lesson);
            }
        }
        match Learned::of(&experience, &default) {
            Some(learned) => say_line(&format!(
                "learned from {pairs} pairs: 10,000 later ones are {} bits likelier than with the default",
                learned.bits_gained(&later.seen)
            )),
            None => say_line(&format!("learned from {pairs} pairs: not used, it does not help with those held out")),
        }
    }
}

/// What a way of finding took and how much it found.
struct Found {
    times: Vec<Duration>,
    found: usize,
}

fn measure<Q>(queries: &[Q], mut find: impl FnMut(&Q) -> usize) -> Found {
    // Once before it counts: what was just built is not yet in any cache.
    let found = queries.iter().map(&mut find).sum();
    let mut times: Vec<Duration> = queries
        .iter()
        .map(|query| {
            let begin = Instant::now();
            std::hint::black_box(find(query));
            begin.elapsed()
        })
        .collect();
    times.sort();
    Found { times, found }
}

fn say(what: &str, plates: usize, built: Duration, found: &Found) {
    let at = |percent: usize| micros(found.times[(found.times.len() * percent / 100).min(found.times.len() - 1)]);
    say_line(&format!(
        "{what}: {plates} plates, built in {} ms; p50 {:.1} µs, p99 {:.1} µs; {:.2} found for each of {} queries",
        built.as_millis(),
        at(50),
        at(99),
        found.found as f64 / found.times.len() as f64,
        found.times.len()
    ));
}

#[allow(clippy::print_stdout, reason = "the benchmark's own answer")]
fn say_line(text: &str) {
    println!("{text}");
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn pack(plate: &str) -> Packed {
    Packed::of(&plate.parse().expect("a drawn plate")).expect("signs of plates")
}

/// Plates and misreads; a generator of a few lines, because a benchmark must draw the same for ever (xorshift64).
struct Draw(u64);

impl Draw {
    fn plate(&mut self) -> String {
        let mut plate = match self.below(10) {
            0..6 => "粤B".to_owned(),
            6..9 => format!("粤{}", self.of("ACSEFLPT")),
            _ => format!("{}{}", self.of("京沪苏浙湘桂赣闽鄂川"), self.of("ABCDEFG")),
        };
        let letters = "ABCDEFGHJKLMNPQRSTUVWXYZ";
        if self.below(10) < 4 {
            plate.push(if self.below(5) < 4 { 'D' } else { 'F' });
            plate.push(self.of("0123456789ABCDEFGHJKLMNPQRSTUVWXYZ"));
            (0..4).for_each(|_| plate.push(self.of("0123456789")));
            return plate;
        }
        let lettered = [self.below(10), self.below(10)];
        for place in 0..5 {
            let from = if lettered.contains(&place) { letters } else { "0123456789" };
            plate.push(self.of(from));
        }
        plate
    }

    /// One serial character wrong, or missing once in ten times.
    fn misread(&mut self, plate: &str) -> String {
        let mut chars: Vec<char> = plate.chars().collect();
        let place = 2 + self.below(chars.len() as u64 - 2) as usize;
        if self.below(10) == 0 {
            chars.remove(place);
        } else {
            chars[place] = self.of("0123456789ABCDEFGHJKLMNPQRSTUVWXYZ");
        }
        // A plate has a digit at least; one without is no query.
        if chars.iter().any(char::is_ascii_digit) { chars.into_iter().collect() } else { plate.to_owned() }
    }

    /// What an exit camera makes of a plate that takes one in twelve 3 for a 5, 7 for a 2 and B for an R.
    fn with_habits(&mut self, plate: &str) -> String {
        let mut read = |sign, taken_for| if self.below(12) == 0 { taken_for } else { sign };
        let place = |(place, sign)| match sign {
            '3' => read('3', '5'),
            '7' => read('7', '2'),
            'B' if place > 1 => read('B', 'R'),
            other => other,
        };
        let text: String = plate.chars().enumerate().map(place).collect();
        if text.chars().any(|c| c.is_ascii_digit()) { text } else { plate.to_owned() }
    }

    fn of(&mut self, from: &str) -> char {
        let place = self.below(from.chars().count() as u64) as usize;
        from.chars().nth(place).expect("below the count")
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}
