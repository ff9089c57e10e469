//! `gatepost backup`: a copy of the ledger file while the daemon runs.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use gatepost::store::copy;

use super::say;

/// Where from and where to.
#[derive(Args)]
pub struct Backup {
    /// The copy; it must not exist yet.
    file: PathBuf,
    /// The ledger file.
    #[arg(long, value_name = "FILE", default_value = "/var/lib/gatepost/ledger.db")]
    ledger: PathBuf,
}

/// Copies.
pub fn run(options: &Backup) -> anyhow::Result<ExitCode> {
    let entries = copy::backup(&options.ledger, &options.file)?;
    say(format!("{} holds {entries} entries", options.file.display()));
    Ok(ExitCode::SUCCESS)
}
