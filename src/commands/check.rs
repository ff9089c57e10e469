//! `gatepost check`: whether the settings are right and every device is there, and what to do where it is not.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use gatepost::clock::Clock;
use gatepost::config;
use gatepost::devices::check::{Verdict, talk};
use gatepost::devices::hatch;

use super::{complain, say};

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
    let (file, lanes) = (options.config.display(), settings.lanes.len());
    say(format!("{file} is right: box {}, {lanes} lanes", settings.box_id));
    if options.settings_only {
        return Ok(ExitCode::SUCCESS);
    }
    // Cameras may want their requests encrypted; the daemon installs the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("start the runtime")?;
    let found = runtime.block_on(async {
        let running = hatch::look(&config::hatch_of(&settings.ledger)).await;
        if let Ok(found) = running {
            say("The daemon is running and has the devices; this is what it knows of them.");
            return found;
        }
        let clock = Clock::new(settings.clock);
        talk(settings.devices, Arc::new(move || clock.utc()), Duration::from_secs(options.wait)).await
    });
    found.iter().for_each(|finding| say(finding.to_string()));
    let count = |verdict| found.iter().filter(|finding| finding.verdict == verdict).count();
    let (well, quiet, faults) = (count(Verdict::Well), count(Verdict::Quiet), count(Verdict::Fault));
    say(format!("{} devices: {well} well, {quiet} quiet, {faults} with a fault; no barrier was moved", found.len()));
    Ok(if faults == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
