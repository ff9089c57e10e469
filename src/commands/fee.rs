//! `gatepost fee`: one fee with its lines, from a bundle, or once more for a stay of a ledger from its own journal.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use gatepost::bundle;
use gatepost::domain::benefit::{Asked, Given, MonthDay, Outcome};
use gatepost::domain::event::{Fen, Points, UtcMs};
use gatepost::domain::points::POINTS_MAX;
use gatepost::domain::rules::Rules;
use gatepost::domain::tariff::calendar::moment;
use gatepost::domain::tariff::{self, Fee, FreeTime, ORDINARY, PriorVisit, Question, ZonePart, yuan};
use gatepost::store::recompute;
use serde::Deserialize;
use serde_json::json;

use super::{complain, say};

/// What `gatepost fee` is asked.
#[derive(Args)]
pub struct Options {
    /// The rule bundle.
    #[arg(long, value_name = "FILE", required_unless_present = "ledger")]
    bundle: Option<PathBuf>,
    /// When the vehicle came, by the mall's clock: 2026-03-02T18:30.
    #[arg(long, value_name = "TIME", required_unless_present = "ledger")]
    entry: Option<String>,
    /// When it leaves.
    #[arg(long, value_name = "TIME", required_unless_present = "ledger")]
    exit: Option<String>,
    /// The class of vehicle.
    #[arg(long, default_value = ORDINARY)]
    class: String,
    /// How many bays it takes up.
    #[arg(long, default_value_t = 1)]
    bays: u32,
    /// A part of the stay in an inner lot: NAME,FROM,TO.
    #[arg(long, value_name = "NAME,FROM,TO")]
    zone: Vec<String>,
    /// Minutes that a benefit takes off the start of the stay.
    #[arg(long, value_name = "MINUTES")]
    free_minutes: Vec<i64>,
    /// The member's tier.
    #[arg(long)]
    tier: Option<String>,
    /// A paid plan of the member that runs.
    #[arg(long, value_name = "PLAN")]
    plan: Vec<String>,
    /// A tag of the member.
    #[arg(long)]
    tag: Vec<String>,
    /// The member's birthday, as 05-20.
    #[arg(long, value_name = "MM-DD", value_parser = month_day)]
    birthday: Option<MonthDay>,
    /// A pass of the member that began on the day of the entry, by the id of its kind in the bundle.
    #[arg(long, value_name = "KIND")]
    pass: Vec<String>,
    /// What a merchant gave: KIND,MERCHANT,FEN of the receipt.
    #[arg(long, value_name = "KIND,MERCHANT,FEN", value_parser = validation)]
    validation: Vec<Given>,
    /// A coupon that is shown, by the id of its kind in the bundle.
    #[arg(long, value_name = "KIND")]
    coupon: Vec<String>,
    /// Points that the member could spend.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..=POINTS_MAX))]
    points: i64,
    /// Earlier visits of the plate, as a JSON list of {entry, exit, fen?}.
    #[arg(long, value_name = "FILE")]
    prior: Option<PathBuf>,
    /// A ledger whose stays are computed again from the bundles in its journal.
    #[arg(long, value_name = "FILE", conflicts_with = "bundle")]
    ledger: Option<PathBuf>,
    /// One stay of the ledger; left out: all that were priced.
    #[arg(long, requires = "ledger")]
    stay: Option<String>,
    /// Answer as JSON.
    #[arg(long, conflicts_with = "explain")]
    json: bool,
    /// Answer with every line and every reading.
    #[arg(long)]
    explain: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Visit {
    entry: String,
    exit: String,
    fen: Option<i64>,
}

/// Runs the command.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    if let Some(ledger) = &options.ledger {
        return again(ledger, options.stay.as_deref());
    }
    let file = options.bundle.as_deref().context("name a bundle")?;
    let rules = match bundle::load(file, None, &[]) {
        Ok((_, rules)) => rules,
        Err(mistake) => {
            complain(&mistake.to_string());
            return Ok(ExitCode::from(2));
        }
    };
    let question = question(options, &rules)?;
    let outcome = reckon(options, &rules, &question);
    if options.json {
        say(as_json(&outcome).to_string());
    } else {
        tell(&outcome.fee, options.explain);
        tell_rest(&outcome);
    }
    Ok(ExitCode::SUCCESS)
}

/// The fee after what the person asked about has: a tier, plans, coupons, points.
fn reckon(options: &Options, rules: &Rules, question: &Question) -> Outcome {
    let asked = Asked {
        tier: options.tier.clone(),
        plans: options.plan.clone(),
        tags: options.tag.clone(),
        birthday: options.birthday,
        passes: options.pass.clone(),
        coupons: options.coupon.clone(),
        validations: options.validation.clone(),
        points: Points(options.points),
    };
    asked.reckon(rules, question)
}

fn month_day(text: &str) -> Result<MonthDay, String> {
    MonthDay::try_from(text.to_owned())
}

fn validation(text: &str) -> Result<Given, String> {
    let wrong = || format!("{text:?} is not understood; allowed is KIND,MERCHANT,FEN");
    let [kind, merchant, fen] = text.split(',').collect::<Vec<_>>()[..] else { return Err(wrong()) };
    let fen = Fen(fen.parse().ok().filter(|fen| (0..=POINTS_MAX).contains(fen)).ok_or_else(wrong)?);
    Ok(Given { kind: kind.to_owned(), merchant: merchant.to_owned(), fen })
}

fn question(options: &Options, rules: &Rules) -> anyhow::Result<Question> {
    let zone = &rules.tariffs.calendar.zone;
    let at = |text: &str| {
        let seconds = moment(text, zone)
            .with_context(|| format!("read {text:?}; allowed: 2026-03-02T18:30 or 2026-03-02T18:30:00+08:00"));
        seconds.map(|seconds| UtcMs(seconds * 1000))
    };
    let (entry, exit) = (options.entry.as_deref().unwrap_or_default(), options.exit.as_deref().unwrap_or_default());
    let mut question =
        Question { class: options.class.clone(), bays: options.bays, ..Question::of(at(entry)?, at(exit)?) };
    for part in &options.zone {
        let [name, from, to] = part.split(',').collect::<Vec<_>>()[..] else {
            anyhow::bail!("--zone {part}: allowed is NAME,FROM,TO");
        };
        question.zones.push(ZonePart { zone: name.to_owned(), from: at(from)?, to: at(to)? });
    }
    for minutes in &options.free_minutes {
        question.free.push(FreeTime {
            source: "free".to_owned(),
            seconds: minutes.saturating_mul(60),
            zh: format!("免费{minutes}分钟"),
            en: format!("{minutes} min free"),
        });
    }
    if let Some(file) = &options.prior {
        let text = std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
        let visits: Vec<Visit> = serde_json::from_str(&text).with_context(|| format!("read {}", file.display()))?;
        for visit in visits {
            let earlier = Question {
                prior: question.prior.clone(),
                class: question.class.clone(),
                ..Question::of(at(&visit.entry)?, at(&visit.exit)?)
            };
            let caps = match visit.fen {
                None => tariff::fee(rules, &earlier).caps,
                Some(fen) => rules.tariffs.shared_caps(&earlier, Fen(fen)),
            };
            question.prior.push(PriorVisit { entry: earlier.entry, exit: earlier.exit, caps });
        }
    }
    Ok(question)
}

fn as_json(outcome: &Outcome) -> serde_json::Value {
    json!({
        "fee_fen": outcome.fee.total,
        "due_fen": outcome.due,
        "points": outcome.points.as_ref().map(|offer| json!({"points": offer.points, "fen": offer.fen})),
        "lines": outcome.fee.lines,
        "readings": outcome.fee.readings,
        "not_used": outcome.not_used,
    })
}

/// What points would pay, and what was looked at and not used.
fn tell_rest(outcome: &Outcome) {
    if let Some((zh, en)) = outcome.points_words() {
        say(format!("  {zh}  {en}"));
    }
    for reason in &outcome.not_used {
        say(format!("  not used: {}  {}  {}", reason.benefit, reason.zh, reason.en));
    }
}

fn tell(fee: &Fee, explain: bool) {
    say(format!("¥{}", yuan(fee.total.0)));
    for line in &fee.lines {
        say(format!("  {:>10}  {}  {}", yuan(line.fen.0), line.zh, line.en));
        if explain {
            say(format!("              rule {}", line.rule));
        }
    }
    for reading in fee.readings.iter().filter(|_| explain) {
        say(format!("  read as: {} = {}", reading.switch, reading.reading));
    }
}

/// Every fee in the journal, computed once more under the bundle that its stay pinned.
fn again(ledger: &Path, stay: Option<&str>) -> anyhow::Result<ExitCode> {
    let found = recompute::fees(ledger, stay)?;
    for fault in &found.faults {
        say(format!("DIFFERS: {fault}"));
    }
    if let (Some(_), Some(fee)) = (stay, &found.last) {
        tell(fee, true);
    }
    say(format!("{} fees computed again, {} differ", found.fees, found.faults.len()));
    anyhow::ensure!(found.fees > 0, "no such stay was priced");
    Ok(if found.faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
