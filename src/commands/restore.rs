//! `gatepost restore`: a box that burned down, or whose ledger file is gone, from the cloud ledger's copy or a backup.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use gatepost::clock::Clock;
use gatepost::config::{self, Settings};
use gatepost::domain::event::{CloudNews, EpochReason, Input};
use gatepost::site::Core;
use gatepost::store::{Store, copy};
use gatepost::sync::restore::{Restore, Stage};
use serde_json::{Value, json};

use super::{complain, say};

/// From where.
#[derive(Args)]
pub struct Options {
    /// From the cloud ledger's copy of the journal; the box goes on in a new epoch.
    #[arg(long, required_unless_present = "from_backup", conflicts_with = "from_backup")]
    from_cloud: bool,
    /// From a backup; the box spends no points until the cloud ledger has given it a new epoch.
    #[arg(long, value_name = "FILE")]
    from_backup: Option<PathBuf>,
    /// The settings file.
    #[arg(long, value_name = "FILE", default_value = "/etc/gatepost/gatepost.toml")]
    config: PathBuf,
    /// One object of JSON at the end, with the milliseconds of each stage and of all, instead of lines as it goes on.
    #[arg(long)]
    json: bool,
}

/// Restores, and says how long it took.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let begun = Instant::now();
    let settings = match config::load(&options.config) {
        Ok(settings) => settings,
        Err(mistakes) => {
            mistakes.iter().for_each(|mistake| complain(&mistake.to_string()));
            return Ok(ExitCode::from(2));
        }
    };
    let mut told = match &options.from_backup {
        Some(file) => from_backup(file, &settings, options.json)?,
        None => from_cloud(&settings, options.json)?,
    };
    let took = begun.elapsed();
    told["total_ms"] = json!(millis(took));
    if options.json {
        say(told.to_string());
    } else {
        let seconds = took.as_secs();
        say(format!("done in {}:{:02} min; start the daemon", seconds / 60, seconds % 60));
    }
    Ok(ExitCode::SUCCESS)
}

/// The timer: what was reached after how long, and what it counted.
#[derive(Default)]
struct Timer {
    reached: BTreeMap<Stage, (Duration, u64)>,
}

impl Timer {
    /// Each stage with the milliseconds that it took itself.
    fn stages(&self) -> Value {
        let mut before = Duration::ZERO;
        let stage = |(stage, (at, count)): (&Stage, &(Duration, u64))| {
            let took = at.saturating_sub(std::mem::replace(&mut before, *at));
            json!({"stage": stage, "count": count, "took_ms": millis(took)})
        };
        self.reached.iter().map(stage).collect()
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn from_cloud(settings: &Settings, is_quiet: bool) -> anyhow::Result<Value> {
    let cloud = settings.cloud.as_ref().context("the settings name no [cloud] to restore from")?;
    rustls::crypto::ring::default_provider().install_default().ok().context("install the TLS provider")?;
    let restore = Restore {
        cloud,
        box_id: &settings.box_id,
        key_file: &settings.key_file,
        ledger: &settings.ledger,
        lanes: &settings.lanes,
        clock: &Clock::new(settings.clock),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let begun = Instant::now();
    let mut timer = Timer::default();
    let progress = |stage: Stage, count: u64| {
        let at = begun.elapsed();
        timer.reached.insert(stage, (at, count));
        if !is_quiet {
            say(format!(
                "{:>4}:{:02}.{} {}",
                at.as_secs() / 60,
                at.as_secs() % 60,
                at.subsec_millis() / 100,
                stage.words(count)
            ));
        }
    };
    let restored = runtime.block_on(restore.run(progress))?;
    let journal = &restored.journal;
    let told = json!({"entries": journal.entries, "epoch": restored.epoch, "changes": restored.changes,
        "passed_over": journal.passed_over, "stages": timer.stages()});
    if is_quiet {
        return Ok(told);
    }
    say(format!(
        "{} entries up to epoch {}; the box goes on in epoch {}",
        journal.entries, journal.epoch, restored.epoch
    ));
    if !journal.passed_over.is_empty() {
        let count = journal.passed_over.len();
        say(format!(
            "{count} records follow from a branch that the cloud ledger does not apply, and were passed over:"
        ));
        journal.passed_over.iter().take(10).for_each(|why| say(format!("  {why}")));
    }
    Ok(told)
}

/// A backup is older than what was spent since: it never resumes its epoch.
fn from_backup(file: &Path, settings: &Settings, is_quiet: bool) -> anyhow::Result<Value> {
    let entries = copy::backup(file, &settings.ledger)?;
    let store = Store::open(&settings.ledger, &settings.box_id)?;
    let mut core = Core::new(store, settings.lanes.clone());
    let reason = format!("the ledger file was put back from a backup of {entries} entries");
    let doubted = CloudNews::Doubted { why: EpochReason::Restored, reason };
    core.step(Input::Cloud(doubted), Clock::new(settings.clock).now())?;
    core.commit()?;
    if !is_quiet {
        say(format!("{entries} entries; no points are spent until the cloud ledger has given a new epoch"));
    }
    Ok(json!({"entries": entries}))
}
