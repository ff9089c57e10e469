//! Golden cases: stays with their right fees, by which a bundle proves that this box reads it as its author did.

use serde::Deserialize;
use toml::Spanned;

use super::{BadRules, Rules};
use crate::domain::benefit::Asked;
use crate::domain::event::{Fen, UtcMs};
use crate::domain::points::POINTS_MAX;
use crate::domain::tariff::calendar::moment;
use crate::domain::tariff::terms::Price;
use crate::domain::tariff::{Fee, FreeTime, ORDINARY, PriorVisit, Question, ZonePart};

/// What a receipt's fen and a driver's points may be.
const POINTS_ALLOWED: &str = "0 to 1000000000";

/// A stay with its right fee, as the bundle's author computed it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Golden {
    /// For people.
    #[serde(default)]
    name: String,
    /// When it begins, by the mall's clock; a Monday at ten where it does not matter.
    #[serde(default = "monday_at_ten")]
    entry: String,
    exit: Option<String>,
    stay_minutes: Option<i64>,
    stay_seconds: Option<i64>,
    #[serde(default = "ordinary")]
    class: String,
    #[serde(default = "one")]
    bays: u32,
    #[serde(default)]
    zones: Vec<Part>,
    #[serde(default)]
    prior: Vec<Visit>,
    /// Free minutes by benefits, in the order of use.
    #[serde(default)]
    free_minutes: Vec<i64>,
    /// What its driver has; the fee is then the one after all benefits.
    has: Option<Asked>,
    fee_fen: Price,
    /// What points would pay of it.
    points_fen: Option<Price>,
    /// The lines, where they are part of the case.
    lines: Option<Vec<Line>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    zone: String,
    from: String,
    to: String,
}

/// An earlier visit; what it was charged is computed where it is not given.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Visit {
    entry: String,
    exit: String,
    fen: Option<Price>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    rule: String,
    fen: i64,
}

fn monday_at_ten() -> String {
    "2026-03-02T10:00:00".to_owned()
}

fn ordinary() -> String {
    ORDINARY.to_owned()
}

fn one() -> u32 {
    1
}

/// Computes every case; the first that comes out differently refuses the bundle.
pub(super) fn prove(rules: &Rules, cases: &[Spanned<Golden>], text: &str) -> Result<(), BadRules> {
    for (n, case) in cases.iter().enumerate() {
        let golden = case.get_ref();
        let name = if golden.name.is_empty() {
            format!("golden case {}", n + 1)
        } else {
            format!("golden case {:?}", golden.name)
        };
        let wrong = |what: String, allowed: &str| BadRules::at(text, case.span(), format!("{name}: {what}"), allowed);
        let question = question(rules, golden).map_err(|what| wrong(what, "see docs/tariffs.md"))?;
        let (fee, by_points, not_used) = match &golden.has {
            None => (rules.tariffs.fee(&question), Fen(0), String::new()),
            Some(has) => {
                amounts_are_right(has).map_err(|what| wrong(what, POINTS_ALLOWED))?;
                let outcome = has.reckon(rules, &question);
                let not_used = outcome.not_used.iter().map(|one| format!("; not used: {}, {}", one.benefit, one.en));
                (outcome.fee.clone(), outcome.points.as_ref().map_or(Fen(0), |offer| offer.fen), not_used.collect())
            }
        };
        if fee.total.0 != golden.fee_fen.0 {
            let what = format!(
                "must cost {} fen, but this box computes {} fen ({}{not_used})",
                golden.fee_fen.0,
                fee.total.0,
                told(&fee)
            );
            return Err(wrong(what, "a bundle that this box computes as its author did"));
        }
        if let Some(expected) = golden.points_fen.as_ref().filter(|expected| expected.0 != by_points.0) {
            let what = format!("points must pay {} fen, but this box lets them pay {}", expected.0, by_points.0);
            return Err(wrong(what, "a bundle that this box computes as its author did"));
        }
        let found: Vec<Line> = fee.lines.iter().map(|line| Line { rule: line.rule.clone(), fen: line.fen.0 }).collect();
        if golden.lines.as_ref().is_some_and(|lines| *lines != found) {
            return Err(wrong(format!("has other lines: {}", told(&fee)), "the lines that this box computes"));
        }
    }
    Ok(())
}

fn amounts_are_right(has: &Asked) -> Result<(), String> {
    let mut amounts = has.validations.iter().map(|given| given.fen.0).chain([has.points.0]);
    let wrong = amounts.find(|amount| !(0..=POINTS_MAX).contains(amount));
    wrong.map_or(Ok(()), |wrong| Err(format!("{wrong} is out of range")))
}

fn told(fee: &Fee) -> String {
    let lines: Vec<String> = fee.lines.iter().map(|line| format!("{} {}", line.rule, line.fen.0)).collect();
    lines.join(", ")
}

fn question(rules: &Rules, golden: &Golden) -> Result<Question, String> {
    let zone = &rules.tariffs.calendar.zone;
    let at = |text: &str| moment(text, zone).map(|s| UtcMs(s * 1000)).ok_or_else(|| format!("{text:?} is no moment"));
    let entry = at(&golden.entry)?;
    let exit = match (&golden.exit, golden.stay_minutes, golden.stay_seconds) {
        (Some(exit), None, None) => at(exit)?,
        (None, Some(minutes), None) => UtcMs(entry.0.saturating_add(minutes.saturating_mul(60_000))),
        (None, None, Some(seconds)) => UtcMs(entry.0.saturating_add(seconds.saturating_mul(1000))),
        _ => return Err("one of exit, stay_minutes and stay_seconds is needed".to_owned()),
    };
    let mut prior = Vec::new();
    for visit in &golden.prior {
        let (entry, exit) = (at(&visit.entry)?, at(&visit.exit)?);
        let asked = Question {
            class: golden.class.clone(),
            bays: golden.bays,
            prior: prior.clone(),
            ..Question::of(entry, exit)
        };
        let caps = match visit.fen {
            None => rules.tariffs.fee(&asked).caps,
            Some(fen) => rules.tariffs.shared_caps(&asked, Fen(fen.0)),
        };
        prior.push(PriorVisit { entry, exit, caps });
    }
    let zones: Result<Vec<ZonePart>, String> = golden
        .zones
        .iter()
        .map(|part| Ok(ZonePart { zone: part.zone.clone(), from: at(&part.from)?, to: at(&part.to)? }))
        .collect();
    let free = golden.free_minutes.iter().map(|minutes| FreeTime {
        source: "free".to_owned(),
        seconds: minutes.saturating_mul(60),
        zh: format!("免费{minutes}分钟"),
        en: format!("{minutes} min free"),
    });
    Ok(Question {
        class: golden.class.clone(),
        bays: golden.bays,
        zones: zones?,
        prior,
        free: free.collect(),
        ..Question::of(entry, exit)
    })
}
