//! Harm at every door: the corpus of the fuzz targets, whole and damaged, through the same doors, within bounded time.
//!
//! `GATEPOST_CORPUS=write` draws the corpus anew from the recordings; `GATEPOST_HARM=N` damages it N times as often.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use gatepost::doors::DOORS;
use gatepost::profile::Profile;
use gatepost::profile::hostile::seeds;
use gatepost::profile::mistake::Source;
use gatepost::profile::shipped::SHIPPED;

use crate::boxed::root;
use crate::dice::Dice;

/// Damaged copies for each door: some seconds for all of them in a debug build.
const RUNS: u64 = 5_000;
/// No single piece may keep a door busy for longer; a debug build on a busy machine takes milliseconds.
const LONGEST: Duration = Duration::from_secs(5);
/// Larger seeds teach a fuzzer nothing and slow it down.
const SEED_BYTES_MAX: usize = 6_000;
/// Seeds of each door.
const SEEDS_MAX: usize = 24;

#[test]
fn harm_at_every_door_is_refused_in_bounded_time() {
    if std::env::var("GATEPOST_CORPUS").is_ok_and(|word| word == "write") {
        write_corpus();
    }
    let often: u64 = std::env::var("GATEPOST_HARM").ok().and_then(|times| times.parse().ok()).unwrap_or(1);
    for (number, (name, door)) in (0..).zip(DOORS) {
        let corpus = corpus(name);
        assert!(!corpus.is_empty(), "fuzz/corpus/{name} is empty; GATEPOST_CORPUS=write fills it");
        let mut dice = Dice(number);
        let damaged = (0..RUNS * often).map(|_| spoilt(&corpus, &mut dice));
        for bytes in corpus.clone().into_iter().chain(damaged) {
            let began = Instant::now();
            door(&bytes);
            assert!(began.elapsed() < LONGEST, "{name} was busy for {:?}: {}", began.elapsed(), shown(&bytes));
        }
    }
}

#[test]
fn every_door_is_a_fuzz_target() {
    let manifest = std::fs::read_to_string(root().join("fuzz/Cargo.toml")).unwrap();
    for (name, _) in DOORS {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "fuzz/Cargo.toml: {name}");
        let target = std::fs::read_to_string(root().join(format!("fuzz/fuzz_targets/{name}.rs"))).unwrap();
        assert!(target.contains(&format!("door(\"{name}\")")), "{name}.rs opens its own door");
    }
}

/// Enough of the bytes to make a test of.
fn shown(bytes: &[u8]) -> String {
    bytes.iter().take(400).map(|byte| format!("{byte:02X}")).collect()
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder(name))
        .map(|entries| entries.map(|entry| entry.unwrap().path()).collect())
        .unwrap_or_default();
    files.sort();
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

fn folder(name: &str) -> PathBuf {
    root().join("fuzz/corpus").join(name)
}

fn spoilt(corpus: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    let pick = |dice: &mut Dice, end: usize| usize::try_from(dice.below(end.max(1) as u64)).unwrap();
    let mut bytes = corpus[pick(dice, corpus.len())].clone();
    for _ in 0..=dice.below(4) {
        let at = pick(dice, bytes.len() + 1);
        match dice.below(7) {
            0 if at < bytes.len() => bytes[at] ^= 1 << dice.below(8),
            1 if at < bytes.len() => bytes[at] = [0, 0xFF, b'"', b'<', b'{', b'[', b'=', 0x80][pick(dice, 8)],
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(at..(at + pick(dice, 40)).min(bytes.len()))),
            4 => {
                let run = vec![bytes.get(at).copied().unwrap_or(b'['); pick(dice, 400)];
                bytes.splice(at..at, run);
            }
            5 => {
                let other = &corpus[pick(dice, corpus.len())];
                bytes.truncate(at);
                bytes.extend_from_slice(&other[pick(dice, other.len() + 1)..]);
            }
            _ => {
                let from = pick(dice, bytes.len() + 1);
                let copy = bytes[from.min(at)..from.max(at)].to_vec();
                bytes.splice(at..at, copy);
            }
        }
    }
    bytes
}

/// What the recordings, the profiles, the manual and the examples hold, a few of each.
fn write_corpus() {
    let mut of_door: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
    let mut of_link: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (which, shipped) in SHIPPED.iter().enumerate() {
        let profile = Profile::parse(&Source { file: Path::new(shipped.file), text: shipped.text }).unwrap();
        of_link.entry(profile.link().word().replace('-', "_")).or_default().push(which);
        of_door.entry("profile".to_owned()).or_default().push(shipped.text.as_bytes().to_vec());
        of_door.entry("recording".to_owned()).or_default().push(shipped.recording.as_bytes().to_vec());
    }
    for (which, bytes) in seeds() {
        let (link, place) = of_link
            .iter()
            .find_map(|(link, all)| Some((link.clone(), all.iter().position(|one| *one == which)?)))
            .unwrap();
        for way in 0..3 {
            let head = [u8::try_from(place).unwrap(), way];
            of_door.entry(link.clone()).or_default().push([&head, &bytes[..]].concat());
        }
        if link == "http" {
            for kind in 0..6 {
                of_door.entry("document".to_owned()).or_default().push([&[kind], &bytes[..]].concat());
            }
        }
    }
    let event =
        "--boundary\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{\"a\":[1]}\r\n--boundary--\r\n";
    for kind in [3, 4] {
        of_door.entry("event_stream".to_owned()).or_default().push([&[kind], event.as_bytes()].concat());
    }
    let plates =
        ["粤B12345", "粤BD12345", "粤Z1234港", "京A12345警", "AB12 CDE", "临00042", "无", "沪A·12345", "使014578"];
    of_door.insert("plate".to_owned(), plates.iter().map(|plate| plate.as_bytes().to_vec()).collect());
    let manual = std::fs::read_to_string(root().join("device-profiles/README.md")).unwrap();
    let settings = manual.split("```toml").skip(1).filter_map(|rest| rest.split("```").next());
    of_door.insert("settings".to_owned(), settings.map(|text| text.as_bytes().to_vec()).collect());
    let mut rules = vec![std::fs::read(root().join("systemd/rules.toml")).unwrap()];
    let mut examples: Vec<PathBuf> =
        std::fs::read_dir(root().join("examples/tariffs")).unwrap().map(|entry| entry.unwrap().path()).collect();
    examples.sort();
    rules.extend(examples.iter().map(|file| std::fs::read(file).unwrap()));
    of_door.insert("bundle".to_owned(), rules);
    for (name, mut seeds) in of_door {
        seeds.retain(|seed| seed.len() <= SEED_BYTES_MAX);
        seeds.sort();
        seeds.dedup();
        // Some of everything, not the first of one product.
        let step = seeds.len().div_ceil(SEEDS_MAX).max(1);
        let _ = std::fs::remove_dir_all(folder(&name));
        std::fs::create_dir_all(folder(&name)).unwrap();
        for (number, seed) in seeds.iter().step_by(step).enumerate() {
            std::fs::write(folder(&name).join(format!("{number:02}")), seed).unwrap();
        }
    }
}
