//! Harm at every door: the corpus of the fuzz targets, whole and damaged, through the same doors, within bounded time.
//!
//! `GATEPOST_CORPUS=write` draws the seeds of the corpus anew from the recordings; `GATEPOST_HARM=N` damages it N times as often.

mod seeds;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use gatepost::doors::DOORS;

use crate::boxed::root;
use crate::dice::Dice;

/// Damaged copies for each door: some seconds for all of them in a debug build.
const RUNS: u64 = 5_000;
/// No single piece may keep a door busy for longer; a debug build on a busy machine takes milliseconds.
const LONGEST: Duration = Duration::from_secs(5);

#[test]
fn harm_at_every_door_is_refused_in_bounded_time() {
    if std::env::var("GATEPOST_CORPUS").is_ok_and(|word| word == "write") {
        seeds::write();
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
    let pick = |dice: &mut Dice, end: usize| dice.place(end.max(1));
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
