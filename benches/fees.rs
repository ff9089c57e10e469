//! Fees a second on one core, beside a bare multiplication and a meter that goes from minute to minute.

use std::hint::black_box;
use std::time::{Duration, Instant};

use gatepost::domain::event::UtcMs;
use gatepost::domain::rules::Rules;
use gatepost::domain::tariff::{self, Question};

/// How long each figure is measured.
const MEASURE: Duration = Duration::from_millis(600);
/// Monday 2026-03-02T09:17:23 in Shanghai.
const ENTRY_S: i64 = 1_772_414_243;

fn main() {
    let simple = Rules::parse(include_str!("../systemd/rules.toml")).expect("the shipped bundle");
    let complex = Rules::parse(include_str!("../examples/tariffs/singapore-short-term.toml")).expect("an example");
    say("fees a second on one core (total alone; with lines in two languages; of a bare multiplication)");
    for (length, seconds) in [("an hour", 3661), ("a day", 86_399), ("a month", 30 * 86_400 + 3661)] {
        let floor = rate(|n| (black_box(seconds + n % 7) + 1799) / 1800 * black_box(500));
        let naive = rate(|n| naive_fee(black_box(seconds + n % 7)));
        for (name, rules) in [("simple", &simple), ("complex", &complex)] {
            let question = |n: i64| Question::of(UtcMs(ENTRY_S * 1000), UtcMs((ENTRY_S + seconds + n % 7) * 1000));
            let total = rate(|n| tariff::total(rules, &question(n)).0);
            let lines = rate(|n| tariff::fee(rules, &question(n)).total.0);
            say(&format!(
                "{name:>8}, {length:>7}: {:>9} total, {:>9} with lines; a multiplication {:.0} x, the naive meter {:.4} x",
                total as u64,
                lines as u64,
                floor / total,
                naive / total
            ));
        }
    }
}

/// The simple tariff, minute by minute.
fn naive_fee(seconds: i64) -> i64 {
    let (mut fen, mut day_fen, mut unit_left) = (0, 0, 0);
    for at in (0..seconds).step_by(60) {
        if at % 86_400 == 0 {
            (day_fen, unit_left) = (0, 0);
        }
        if unit_left == 0 {
            let add = 500.min(6000 - day_fen);
            (fen, day_fen, unit_left) = (fen + add, day_fen + add, 1800);
        }
        unit_left -= 60;
        black_box(fen);
    }
    if seconds <= 900 { 0 } else { fen }
}

/// How often a second `what` is done.
fn rate(mut what: impl FnMut(i64) -> i64) -> f64 {
    let (start, mut done) = (Instant::now(), 0_i64);
    while start.elapsed() < MEASURE {
        for _ in 0..64 {
            black_box(what(done));
            done += 1;
        }
    }
    done as f64 / start.elapsed().as_secs_f64()
}

#[allow(clippy::print_stdout, reason = "the benchmark's own answer")]
fn say(line: &str) {
    println!("{line}");
}
