//! `gatepost tell`: a technician's command for one device of the running daemon, within its profile's guards.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use gatepost::config;
use gatepost::devices::hatch::{Wish, ask};

use super::{complain, say};

/// Which device, what, and with what.
#[derive(Args)]
pub struct Options {
    /// The device's name in the settings.
    device: String,
    /// One of its profile's commands; `gatepost profile show` lists them. A barrier is raised at the page, with a reason.
    command: String,
    /// Arguments as NAME=VALUE: a number, a text, bytes in hex; rows as a TOML list.
    args: Vec<String>,
    /// The daemon's settings file.
    #[arg(long, value_name = "FILE", default_value = "/etc/gatepost/gatepost.toml")]
    config: PathBuf,
}

/// Runs the command: 0 where the device took it or confirms nothing, 1 where it refused or nothing is known, 2 where it may
/// not be told.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let settings = match config::load(&options.config) {
        Ok(settings) => settings,
        Err(mistakes) => {
            mistakes.iter().for_each(|mistake| complain(&mistake.to_string()));
            return Ok(ExitCode::from(2));
        }
    };
    let args: anyhow::Result<BTreeMap<_, _>> = options.args.iter().map(|text| argument(text)).collect();
    let wish = Wish { device: options.device.clone(), command: options.command.clone(), args: args? };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("start the runtime")?;
    let answer = runtime.block_on(ask(&config::hatch_of(&settings.ledger), &wish))?;
    match &answer.why {
        Some(why) => say(format_args!("{}: {why}", answer.outcome)),
        None => say(format_args!("{}", answer.outcome)),
    }
    Ok(match answer.outcome.as_str() {
        "taken" | "unconfirmed" => ExitCode::SUCCESS,
        "not-allowed" => ExitCode::from(2),
        _ => ExitCode::FAILURE,
    })
}

fn argument(text: &str) -> anyhow::Result<(String, toml::Value)> {
    let (name, value) = text.split_once('=').with_context(|| format!("{text:?} is not NAME=VALUE"))?;
    let value = match value.parse::<i64>() {
        Ok(number) => toml::Value::Integer(number),
        Err(_) if value.starts_with('[') => {
            let table: toml::Table = toml::from_str(&format!("rows = {value}")).context("read the rows")?;
            table.get("rows").cloned().context("read the rows")?
        }
        Err(_) => toml::Value::from(value),
    };
    Ok((name.to_owned(), value))
}
