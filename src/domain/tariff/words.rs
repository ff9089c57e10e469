//! A fee in words: what the driver reads on the receipt, in Chinese and in English.

use super::plan::Plan;
use super::pricing::{Metered, Priced};
use super::run::Scale;
use super::tally::{Charged, Limit, Source};
use super::terms::{
    AfterBenefit, CapPart, CapPeriod, DaysFrom, FreeReading, FreeVisits, Multiply, Restart, Rounding, StayClock,
};
use super::{CapUse, Fee, FeeLine, Fen, Question, Reading, yuan};

/// From which length on a stay may meet the end of a day: 23 hours, when clocks are put forward.
const SHORTEST_DAY_S: i64 = 23 * 3600;

/// The fee with its lines.
pub fn fee(question: &Question, priced: &Priced<'_>) -> Fee {
    let mut lines = Vec::new();
    for metered in &priced.metered {
        lot_lines(question, metered, &mut lines);
    }
    let mut before = priced.gross;
    for (benefit, after) in question.free.iter().zip(&priced.lowered) {
        lines.push(FeeLine {
            rule: benefit.source.clone(),
            fen: Fen(after - before),
            zh: benefit.zh.clone(),
            en: benefit.en.clone(),
        });
        before = *after;
    }
    let main = &priced.metered[0];
    if priced.grace > 0 {
        let minutes = main.plan.tariff.grace_minutes.0;
        let (zh, en) =
            (format!("缴费后{minutes}分钟内离场,免补差额"), format!("leaving within {minutes} min of paying"));
        lines.push(FeeLine { rule: format!("{}.grace", main.plan.id()), fen: Fen(-priced.grace), zh, en });
    }
    let sum: i64 = lines.iter().map(|line| line.fen.0).sum();
    assert_eq!(sum, priced.total, "the lines of a fee sum to it");
    assert!(sum >= 0, "no cap and no benefit takes more than the units gave");
    let mut readings: Vec<Reading> = priced.metered.iter().flat_map(|metered| readings(question, metered)).collect();
    readings.sort();
    readings.dedup();
    Fee { total: Fen(priced.total), lines, readings, caps: caps(main) }
}

/// Hours, minutes and seconds as `1:02:03`.
fn clock(seconds: i64) -> String {
    format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

fn caps(main: &Metered<'_>) -> Vec<CapUse> {
    let uses = main.count.shared.iter().map(|(cap, day, fen)| CapUse {
        rule: main.plan.cap_rules[*cap].clone(),
        day: i32::try_from(*day).unwrap_or(i32::MAX),
        fen: Fen(*fen),
    });
    uses.collect()
}

fn lot_lines(question: &Question, metered: &Metered<'_>, lines: &mut Vec<FeeLine>) {
    let (plan, tally) = (metered.plan, &metered.count.tally);
    let id = plan.id();
    let of_lot = metered.lot.map_or(String::new(), |lot| format!("[{lot}] "));
    let mut add = |rule: String, fen: i64, zh: String, en: String| {
        lines.push(FeeLine { rule, fen: Fen(fen), zh: format!("{of_lot}{zh}"), en: format!("{of_lot}{en}") });
    };
    if tally.charged.is_empty() {
        let (rule, zh, en) = nothing_charged(metered);
        add(rule, 0, zh, en);
    }
    for charged in &tally.charged {
        let (rule, zh, en) = charged_words(plan, charged);
        add(format!("{id}.{rule}"), charged.units * charged.fen, zh, en);
    }
    for cut in &tally.cuts {
        let (rule, zh, en) = cut_words(plan, cut.limit);
        let (times_zh, times_en) = match cut.times {
            1 => (String::new(), String::new()),
            times => (format!("({times}次)"), format!(" ({times} times)")),
        };
        add(rule, -cut.fen, format!("{zh}{times_zh}"), format!("{en}{times_en}"));
    }
    if plan.tariff.multiply == Multiply::Units {
        return;
    }
    let total = tally.total();
    let of_class = Scale { bays: 1, ..metered.scale }.of(total);
    if metered.scale.bps != Scale::ONE.bps {
        let factor = factor(metered.scale.bps);
        let class = &question.class;
        add(
            format!("{id}.class.{class}"),
            of_class - total,
            format!("{class}车型×{factor}"),
            format!("{class} × {factor}"),
        );
    }
    let bays = metered.scale.bays;
    if bays > 1 {
        let fen = metered.scale.of(total) - of_class;
        add(format!("{id}.bays"), fen, format!("占用{bays}个车位"), format!("{bays} bays"));
    }
}

/// A factor in basis points as a person writes it: 15000 is 1.5.
fn factor(bps: i64) -> String {
    let text = format!("{}.{:04}", bps / 10_000, bps % 10_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn nothing_charged(metered: &Metered<'_>) -> (String, String, String) {
    let (id, stayed) = (metered.plan.id(), clock(metered.seconds));
    match metered.plan.tariff.free {
        Some(free) if metered.count.was_free => (
            format!("{id}.free"),
            format!("停车{stayed},{}分钟内免费", free.minutes.0),
            format!("{stayed} parked, free up to {} min", free.minutes.0),
        ),
        Some(_) | None => (
            format!("{id}.outside"),
            format!("停车{stayed},无收费时段"),
            format!("{stayed} parked, none of it in charged hours"),
        ),
    }
}

fn charged_words(plan: &Plan, charged: &Charged) -> (String, String, String) {
    let stayed = clock(charged.seconds);
    let price = yuan(charged.fen);
    let (units, minutes) = (charged.units, charged.unit_s / 60);
    let arithmetic =
        (format!("{stayed},{units}个{minutes}分钟×¥{price}"), format!("{units} × {minutes} min × ¥{price}"));
    match charged.source {
        Source::Unit => {
            ("unit".to_owned(), format!("停车{}", arithmetic.0), format!("{stayed} parked, {}", arithmetic.1))
        }
        Source::Block(n) => (
            format!("block.{}", n + 1),
            format!("起始第{}段{}", n + 1, arithmetic.0),
            format!("beginning, part {}: {stayed}, {}", n + 1, arithmetic.1),
        ),
        Source::Segment(segment) => {
            let (rule, zh, en) = segment_words(plan, segment);
            (rule, format!("{zh}{}", arithmetic.0), format!("{en} {stayed}, {}", arithmetic.1))
        }
        Source::SegmentBlock(segment, n) => {
            let (rule, zh, en) = segment_words(plan, segment);
            (
                format!("{rule}.block.{}", n + 1),
                format!("{zh}起始第{}段{}", n + 1, arithmetic.0),
                format!("{en}, beginning, part {}: {stayed}, {}", n + 1, arithmetic.1),
            )
        }
    }
}

fn segment_words(plan: &Plan, segment: usize) -> (String, String, String) {
    let segment = &plan.tariff.segments[segment];
    let id = segment.id.get_ref().clone();
    (id.clone(), segment.zh.clone().unwrap_or_else(|| id.clone()), segment.en.clone().unwrap_or(id))
}

fn cut_words(plan: &Plan, limit: Limit) -> (String, String, String) {
    match limit {
        Limit::Segment(segment) => {
            let most = yuan(plan.segments[segment].cap.unwrap_or(0));
            let (rule, zh, en) = segment_words(plan, segment);
            (format!("{}.{rule}.cap", plan.id()), format!("{zh}封顶¥{most}"), format!("{en}, at most ¥{most}"))
        }
        Limit::Cap(n) => {
            let cap = &plan.tariff.caps[n];
            let most: Vec<String> = cap.fen.0.iter().map(|fen| format!("¥{}", yuan(fen.0))).collect();
            let most = most.join("/");
            let (zh, en) = match (cap.per, cap.shared) {
                (CapPeriod::Hours24, _) => ("24小时封顶", "in 24 h"),
                (CapPeriod::Day, false) => ("每日封顶", "a day"),
                (CapPeriod::Day, true) => ("当日各次停车合计封顶", "a day for all visits"),
                (CapPeriod::Stay, _) => ("单次停车封顶", "a stay"),
            };
            (plan.cap_rules[n].clone(), format!("{zh}{most}"), format!("at most {most} {en}"))
        }
    }
}

/// The switches of a tariff that bore on this answer.
fn readings(question: &Question, metered: &Metered<'_>) -> Vec<Reading> {
    let (tariff, id) = (&metered.plan.tariff, metered.plan.id());
    let has_benefit = !question.free.is_empty();
    let mut found = Vec::new();
    let mut say = |switch: &str, reading: &str| {
        found.push(Reading { switch: format!("{id}.{switch}"), reading: reading.to_owned() });
    };
    if let Some(free) = &tariff.free {
        say(
            "free.reading",
            match free.reading {
                FreeReading::Threshold => "threshold",
                FreeReading::Deducted => "deducted",
            },
        );
        if has_benefit && free.reading == FreeReading::Threshold {
            say(
                "free.after_benefit",
                match free.after_benefit {
                    AfterBenefit::Once => "once",
                    AfterBenefit::Again => "again",
                },
            );
        }
        if !question.prior.is_empty() {
            say(
                "free.visits",
                match free.visits {
                    FreeVisits::Each => "each",
                    FreeVisits::FirstOfDay => "first_of_day",
                },
            );
        }
    }
    if !tariff.segments.is_empty() {
        say(
            "rounding",
            match tariff.rounding {
                Rounding::PerSegment => "per_segment",
                Rounding::Overall => "overall",
            },
        );
    }
    if metered.seconds > SHORTEST_DAY_S {
        say(
            "restart",
            match tariff.restart {
                Restart::Never => "never",
                Restart::Hours24 => "24h",
                Restart::Midnight => "midnight",
            },
        );
        let counts_days =
            tariff.restart == Restart::Hours24 || tariff.caps.iter().any(|cap| cap.per == CapPeriod::Hours24);
        if counts_days {
            say(
                "days_from",
                match tariff.days_from {
                    DaysFrom::Entry => "entry",
                    DaysFrom::Charge => "charge",
                },
            );
        }
    }
    if tariff.caps.iter().any(|cap| cap.per != CapPeriod::Stay) {
        let limited = tariff.caps.iter().all(|cap| cap.part == CapPart::Limited);
        say("caps.part", if limited { "limited" } else { "unlimited" });
    }
    if metered.scale != Scale::ONE {
        say(
            "multiply",
            match tariff.multiply {
                Multiply::Total => "total",
                Multiply::Units => "units",
            },
        );
    }
    match tariff.clock {
        StayClock::Seconds => {}
        StayClock::StartedMinutes => say("clock", "started_minutes"),
        StayClock::WholeMinutes => say("clock", "whole_minutes"),
    }
    found
}
