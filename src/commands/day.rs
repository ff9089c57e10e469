//! `gatepost day`: what was lost on a day of the calendar.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use gatepost::domain::losses::DayReport;
use gatepost::domain::tariff::yuan;
use gatepost::store::day;

use super::say;

/// Which day of which ledger.
#[derive(Args)]
pub struct Options {
    /// The ledger; it may be in use.
    #[arg(long, value_name = "FILE", default_value = "/var/lib/gatepost/ledger.db")]
    ledger: PathBuf,
    /// The day by the site's calendar, such as 2026-03-02.
    #[arg(long, value_name = "DATE")]
    date: String,
    /// The site's time zone.
    #[arg(long, value_name = "ZONE", default_value = "Asia/Shanghai")]
    timezone: String,
    /// Answer as JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let date = options.date.parse().with_context(|| format!("read the date {}", options.date))?;
    let zone = jiff::tz::TimeZone::get(&options.timezone).context("find the time zone")?;
    let report = day::report(&options.ledger, date, &zone)?;
    if options.json {
        say(&serde_json::to_string_pretty(&report).context("write the report")?);
    } else {
        lines(&report).iter().for_each(say);
    }
    Ok(ExitCode::SUCCESS)
}

fn lines(report: &DayReport) -> Vec<String> {
    let mut lines = vec![
        format!("{}: {} entered, {} left", report.date, report.entered, report.left),
        format!(
            "let go unpaid {}, left owing {}, corrected by {}",
            yuan(report.waived.0),
            yuan(report.owed.0),
            yuan(report.corrected.0)
        ),
        format!("raised without a stay: {}", report.raised_without_stay.count),
        format!("passed without a raise: {}, followed another: {}", report.passed_without_raise, report.tailgated),
        format!("stays without an exit: {}", report.without_exit.count),
        format!("charged without an entry: {}", report.without_entry.count),
        format!("paid but still inside: {}", report.paid_inside.count),
        format!("gaps in the cameras' statements: {}", report.gaps.count),
    ];
    lines.extend(
        report.gaps.first.iter().map(|gap| format!("  {}: {} missing after {}", gap.device, gap.missing, gap.after)),
    );
    lines
}
