//! Looks for what a bundle may say without meaning it: fees that fall, rules that never come, hours that two rules hold.

use std::collections::BTreeSet;

use super::Rules;
use crate::domain::event::UtcMs;
use crate::domain::tariff::calendar::{DAY_S, DayKind, wall_text};
use crate::domain::tariff::terms::Tariff;
use crate::domain::tariff::{ORDINARY, Probe, Question, Tariffs, ZonePart};

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// A word for it: `fee_falls`, `overlap`, `unreachable`.
    pub code: &'static str,
    /// The tariff.
    pub tariff: String,
    /// What and where, in a sentence.
    pub text: String,
}

/// Lengths of stays that are tried: every five minutes of a day, and every half hour of the four days after it.
const FINE_STEP_S: i64 = 300;
const COARSE_STEP_S: i64 = 1800;
const COARSE_UNTIL_S: i64 = 5 * DAY_S;
/// The Monday from which the tried days are looked for, 2026-03-02.
const MONDAY: i64 = 20_514;
/// The most moments of entry that are tried for one tariff.
const ENTRIES_MAX: usize = 80;

/// All findings, tariff by tariff.
pub fn lint(rules: &Rules) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (n, tariff) in rules.tariffs.written().enumerate() {
        overlaps(tariff, &mut findings);
        tariff_is_reached(&rules.tariffs, n, tariff, &mut findings);
        try_stays(&rules.tariffs, tariff, &mut findings);
    }
    findings
}

fn finding(code: &'static str, tariff: &Tariff, text: String) -> Finding {
    Finding { code, tariff: tariff.id.get_ref().clone(), text }
}

/// Two segments that hold at one moment: the first in the file counts, which its author may not have meant.
fn overlaps(tariff: &Tariff, findings: &mut Vec<Finding>) {
    let edges: BTreeSet<i64> = tariff.segments.iter().flat_map(|segment| [segment.from.0, segment.to.0]).collect();
    let mut told = BTreeSet::new();
    for (second, today, before) in moments(&edges) {
        let holding: Vec<usize> =
            (0..tariff.segments.len()).filter(|n| tariff.segments[*n].holds(second, today, before).is_some()).collect();
        if let [first, second_one, ..] = holding[..]
            && told.insert((first, second_one))
        {
            let names = [first, second_one].map(|n| tariff.segments[n].id.get_ref().clone());
            let text = format!(
                "segments {} and {} both hold at {:02}:{:02} on {}; the first counts",
                names[0],
                names[1],
                second / 3600,
                second / 60 % 60,
                day_text(today)
            );
            findings.push(finding("overlap", tariff, text));
        }
    }
}

/// A weekday, from Monday, and what kind of day it is.
type Day = (usize, DayKind);

/// Every edge of every kind of date: the second of the day, the day, and the day before it.
fn moments(edges: &BTreeSet<i64>) -> Vec<(i64, Day, Day)> {
    let dates = |weekday: usize| {
        let own = if weekday < 5 { DayKind::Workday } else { DayKind::Weekend };
        let moved = if weekday < 5 { None } else { Some(DayKind::Workday) };
        [Some(own), moved, Some(DayKind::Holiday)].into_iter().flatten().map(move |kind| (weekday, kind))
    };
    let mut all = Vec::new();
    for weekday in 0..7 {
        for today in dates(weekday) {
            for before in dates((weekday + 6) % 7) {
                let seconds = edges.iter().copied().filter(|edge| *edge < DAY_S).chain([0]);
                all.extend(seconds.map(|second| (second, today, before)));
            }
        }
    }
    all
}

fn day_text((weekday, kind): Day) -> String {
    let day = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"][weekday];
    let kind = match kind {
        DayKind::Workday => "a day of work",
        DayKind::Weekend => "of the weekend",
        DayKind::Holiday => "a holiday",
    };
    format!("a {day} that is {kind}")
}

/// A tariff of a lot that another tariff before it holds for every class of its own.
fn tariff_is_reached(tariffs: &Tariffs, n: usize, tariff: &Tariff, findings: &mut Vec<Finding>) {
    let same_lots = |other: &&Tariff| {
        other.zones.iter().all(|zone| tariff.zones.contains(zone)) && other.zones.is_empty() == tariff.zones.is_empty()
    };
    for other in tariffs.written().take(n).filter(same_lots) {
        let taken = tariff.classes.iter().filter(|class| other.classes.contains(class));
        for class in taken {
            findings.push(finding(
                "unreachable",
                tariff,
                format!("class {class} pays tariff {} already", other.id.get_ref()),
            ));
        }
        if tariff.classes.is_empty() && other.classes.is_empty() && tariff.multipliers.is_empty() {
            let text = format!("every class pays tariff {} already", other.id.get_ref());
            findings.push(finding("unreachable", tariff, text));
        }
    }
}

/// Prices many stays: no longer one may cost less, and every part of the tariff should come once.
fn try_stays(tariffs: &Tariffs, tariff: &Tariff, findings: &mut Vec<Finding>) {
    let class = tariff.classes.first().cloned().unwrap_or_else(|| class_of_all(tariffs, tariff));
    let probe = Probe::of(tariffs, tariff.id.get_ref());
    let mut seen = probe.nothing_seen();
    let mut worst: Option<Fall> = None;
    for entry in entries(tariffs, tariff) {
        let mut dearest = (0, 0);
        for length in lengths() {
            let question = question(tariff, &class, entry, length);
            let fen = probe.look(&question, &mut seen);
            let fall = dearest.1 - fen;
            if fall > worst.as_ref().map_or(0, |worst| worst.fen) {
                worst = Some(Fall { fen: fall, entry, short: dearest.0, dear: dearest.1, long: length, cheap: fen });
            }
            if fen > dearest.1 {
                dearest = (length, fen);
            }
        }
    }
    if let Some(fall) = worst {
        let text = format!(
            "entered {}, {} costs {} fen and {} costs {} fen",
            wall_text(tariffs.calendar.zone.local(fall.entry)),
            clock(fall.short),
            fall.dear,
            clock(fall.long),
            fall.cheap
        );
        findings.push(finding("fee_falls", tariff, text));
    }
    for name in probe.unseen(&seen) {
        findings.push(finding(
            "unreachable",
            tariff,
            format!("{name} came in none of the stays tried, up to five days"),
        ));
    }
}

/// A longer stay that costs less.
struct Fall {
    fen: i64,
    entry: i64,
    short: i64,
    dear: i64,
    long: i64,
    cheap: i64,
}

fn clock(seconds: i64) -> String {
    format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// A class that no tariff names, so that the tariff for every class is asked.
fn class_of_all(tariffs: &Tariffs, tariff: &Tariff) -> String {
    let is_named = |name: &str| {
        tariffs.written().filter(|other| other.zones == tariff.zones).any(|other| {
            other.classes.iter().any(|class| class == name)
                || other.multipliers.iter().any(|factor| factor.class == name)
        })
    };
    if is_named(ORDINARY) { "none of the named".to_owned() } else { ORDINARY.to_owned() }
}

fn question(tariff: &Tariff, class: &str, entry: i64, length: i64) -> Question {
    let (entry, exit) = (UtcMs(entry * 1000), UtcMs((entry + length) * 1000));
    let zones = tariff.zones.first().map(|zone| ZonePart { zone: zone.clone(), from: entry, to: exit });
    Question { class: class.to_owned(), zones: zones.into_iter().collect(), ..Question::of(entry, exit) }
}

fn lengths() -> impl Iterator<Item = i64> {
    let fine = (1..=DAY_S / FINE_STEP_S).map(|n| n * FINE_STEP_S);
    fine.chain((1..=(COARSE_UNTIL_S - DAY_S) / COARSE_STEP_S).map(|n| DAY_S + n * COARSE_STEP_S))
}

/// A day of work, a weekend, a holiday and the days before them, at the hours where something may change.
fn entries(tariffs: &Tariffs, tariff: &Tariff) -> Vec<i64> {
    let calendar = &tariffs.calendar;
    let holiday = calendar.holidays.iter().find(|day| **day > MONDAY).copied();
    let days: Vec<i64> = if tariff.segments.iter().all(|segment| segment.days.is_empty()) {
        vec![MONDAY]
    } else {
        [Some(MONDAY), Some(MONDAY + 4), Some(MONDAY + 5), holiday.map(|day| day - 1), holiday]
            .into_iter()
            .flatten()
            .collect()
    };
    let mut seconds = BTreeSet::from([0, 10 * 3600]);
    for segment in &tariff.segments {
        for edge in [segment.from.0, segment.to.0] {
            seconds.extend([edge, edge - 600].into_iter().filter(|second| (0..DAY_S).contains(second)));
        }
    }
    let all = days.iter().flat_map(|day| seconds.iter().map(move |second| day * DAY_S + second));
    all.take(ENTRIES_MAX).map(|local| calendar.zone.utc(local)).collect()
}
