//! `gatepost check`: whether the settings are right and every device is there, and what to do where it is not.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use gatepost::clock::Clock;
use gatepost::config::{self, Settings};
use gatepost::devices::check::{Finding, Verdict, talk};
use gatepost::devices::hatch;
use gatepost::site::{Past, may_start};
use gatepost::store::reader::Reader;
use tokio::runtime::Runtime;

use super::{complain, say};

/// How often a running daemon is asked.
const LOOK: Duration = Duration::from_millis(200);

/// What is looked at.
#[derive(Args)]
pub struct Options {
    /// The settings file.
    #[arg(long, value_name = "FILE", default_value = "/etc/gatepost/gatepost.toml")]
    config: PathBuf,
    /// Only the settings, their rules and their device profiles; no device is talked to.
    #[arg(long)]
    settings_only: bool,
    /// Seconds that a device has to speak.
    #[arg(long, value_name = "SECONDS", default_value_t = 12, value_parser = clap::value_parser!(u64).range(1..=600))]
    wait: u64,
}

/// Runs the check: 0 where all is well, 1 where a device has a fault, 2 where the settings have mistakes.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let settings = match config::load(&options.config) {
        Ok(settings) => settings,
        Err(mistakes) => {
            mistakes.iter().for_each(|mistake| complain(&mistake.to_string()));
            return Ok(ExitCode::from(2));
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("start the runtime")?;
    if let Err(error) = rules_may_start(&settings, &runtime) {
        complain(&format!("{}: the daemon would not start with the rules: {error:#}", options.config.display()));
        return Ok(ExitCode::from(2));
    }
    let (file, lanes) = (options.config.display(), settings.lanes.len());
    say(format!("{file} is right: box {}, {lanes} lanes", settings.box_id));
    if options.settings_only {
        return Ok(ExitCode::SUCCESS);
    }
    // Cameras may want their requests encrypted; the daemon installs the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let found = runtime.block_on(async {
        let (hatch, wait) = (config::hatch_of(&settings.ledger), Duration::from_secs(options.wait));
        if hatch::look(&hatch).await.is_ok() {
            say("The daemon is running and has the devices; this is what it knows of them.");
            return known_by_the_daemon(&hatch, wait).await;
        }
        let clock = Clock::new(settings.clock);
        Ok(talk(settings.devices, Arc::new(move || clock.utc()), wait).await)
    })?;
    found.iter().for_each(|finding| say(finding.to_string()));
    let count = |verdict| found.iter().filter(|finding| finding.verdict == verdict).count();
    let (well, quiet, faults) = (count(Verdict::Well), count(Verdict::Quiet), count(Verdict::Fault));
    say(format!("{} devices: {well} well, {quiet} quiet, {faults} with a fault; no barrier was moved", found.len()));
    Ok(if faults == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A version of the rules stands for one text for ever; what the ledger knows of it is only looked at.
fn rules_may_start(settings: &Settings, runtime: &Runtime) -> anyhow::Result<()> {
    if !settings.ledger.exists() {
        return Ok(());
    }
    let past = |version| {
        let reader = Reader::open(&settings.ledger)?;
        let (in_force, newest, same) = runtime.block_on(reader.look(move |view| view.rules_known(version)))?;
        Ok(Past { in_force, newest, same })
    };
    may_start(&settings.rules, past, Clock::new(settings.clock).now())
}

/// A daemon that has just started does not know its devices yet: it is asked until all is well, or for so long.
async fn known_by_the_daemon(hatch: &Path, wait: Duration) -> anyhow::Result<Vec<Finding>> {
    let until = Instant::now() + wait;
    loop {
        let found = hatch::look(hatch).await?;
        if found.iter().all(|finding| finding.verdict == Verdict::Well) || Instant::now() >= until {
            return Ok(found);
        }
        tokio::time::sleep(LOOK).await;
    }
}
