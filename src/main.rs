//! The commands, and the introduction of the rooms to each other.

mod commands;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use commands::complain;

/// The box in a mall's car park: plates, stays, fees, points as payment offline, barriers.
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the daemon.
    Run {
        /// The settings file.
        #[arg(long, value_name = "FILE", default_value = "/etc/gatepost/gatepost.toml")]
        config: PathBuf,
    },
    /// Check the settings, their rules and their device profiles, and talk to every device without moving a barrier.
    Check(commands::check::Options),
    /// Look at a ledger's journal.
    Journal {
        #[command(subcommand)]
        what: commands::journal::What,
    },
    /// Look at device profiles, prove them with their recordings, and say what bytes mean.
    Profile {
        #[command(subcommand)]
        what: commands::profile::What,
    },
    /// Say which vehicle inside a read is, from files or as a filter; or look at what cameras have learned.
    Match(commands::matching::Options),
    /// Tell a device of the running daemon something, such as a test print.
    Tell(commands::tell::Options),
    /// Copy the ledger file while the daemon runs.
    Backup(commands::backup::Backup),
    /// Make the ledger file again, from the cloud ledger's copy or from a backup.
    Restore(commands::restore::Options),
    /// Tell what was lost on a day of the calendar: raises for nobody, stays without an end, statements that never came.
    Day(commands::day::Options),
    /// Compute one fee, with its lines.
    Fee(commands::fee::Options),
    /// Check, compare, sign and try out rule bundles.
    Bundle {
        #[command(subcommand)]
        what: commands::bundle::What,
    },
    /// Run a whole simulated mall with nothing else installed, and watch it at http://127.0.0.1:8080.
    #[cfg(feature = "demo")]
    Demo(gatepost::demo::Options),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Run { config } => gatepost::daemon::run(&config),
        Command::Check(options) => commands::check::run(&options),
        Command::Profile { what } => commands::profile::run(what),
        Command::Match(options) => commands::matching::run(options),
        Command::Journal { what } => commands::journal::run(&what),
        Command::Tell(options) => commands::tell::run(&options),
        Command::Backup(options) => commands::backup::run(&options),
        Command::Restore(options) => commands::restore::run(&options),
        Command::Day(options) => commands::day::run(&options),
        Command::Fee(options) => commands::fee::run(&options),
        Command::Bundle { what } => commands::bundle::run(&what),
        #[cfg(feature = "demo")]
        Command::Demo(options) => gatepost::demo::run(&options),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            complain(&format!("gatepost: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
