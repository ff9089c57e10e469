//! The commands, and the introduction of the rooms to each other.

mod commands;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

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
    /// Check a settings file, its rules and its device profiles, and say what a daemon would do with them.
    Check {
        /// The settings file.
        #[arg(long, value_name = "FILE", default_value = "/etc/gatepost/gatepost.toml")]
        config: PathBuf,
    },
    /// Look at a ledger's journal.
    Journal {
        #[command(subcommand)]
        what: JournalCommand,
    },
    /// Look at device profiles, prove them with their recordings, and say what bytes mean.
    Profile {
        #[command(subcommand)]
        what: commands::profile::What,
    },
    /// Say which vehicle inside a read is, from files or as a filter; or look at what cameras have learned.
    Match(commands::matching::Options),
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

#[derive(Subcommand)]
enum JournalCommand {
    /// Check the chain of hashes from the first entry, and make every table again from it beside the stored ones.
    Verify {
        /// The ledger file.
        #[arg(long, value_name = "FILE", default_value = "/var/lib/gatepost/ledger.db")]
        ledger: PathBuf,
        /// Also compare the pictures in this folder with the hashes that the journal holds.
        #[arg(long, value_name = "DIRECTORY")]
        photos: Option<PathBuf>,
    },
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Run { config } => gatepost::daemon::run(&config),
        Command::Check { config } => check(&config),
        Command::Journal { what: JournalCommand::Verify { ledger, photos } } => verify(&ledger, photos.as_deref()),
        Command::Profile { what } => commands::profile::run(what),
        Command::Match(options) => commands::matching::run(options),
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

#[allow(clippy::print_stdout, reason = "the command's own answer")]
fn check(config: &std::path::Path) -> anyhow::Result<ExitCode> {
    match gatepost::config::load(config) {
        Ok(settings) => {
            println!("{} is right: box {}, {} lanes", config.display(), settings.box_id, settings.lanes.len());
            Ok(ExitCode::SUCCESS)
        }
        Err(mistakes) => {
            mistakes.iter().for_each(|mistake| complain(&mistake.to_string()));
            Ok(ExitCode::from(2))
        }
    }
}

#[allow(clippy::print_stdout, reason = "the command's own answer")]
fn verify(ledger: &std::path::Path, photos: Option<&std::path::Path>) -> anyhow::Result<ExitCode> {
    let verdict = gatepost::store::journal::verify(ledger)?;
    println!("{} entries, head {}", verdict.entries, verdict.head);
    verdict.faults.iter().for_each(|fault| println!("FAULT: {fault}"));
    let mut is_whole = verdict.faults.is_empty();
    if is_whole {
        println!("the chain is whole and every table follows from it");
    }
    if let Some(directory) = photos {
        let mut checker = gatepost::photos::Checker::new(directory);
        gatepost::store::journal::each_read_with_photos(ledger, |seq, read| Ok(checker.look(seq, read)?))?;
        let tally = checker.tally();
        println!("{} pictures are what the journal says, {} are gone", tally.matching, tally.gone);
        tally.altered.iter().for_each(|which| println!("FAULT: {which} is not what the camera sent"));
        is_whole &= tally.altered.is_empty();
    }
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[allow(clippy::print_stderr, reason = "the command's own complaint")]
fn complain(text: &str) {
    eprintln!("{text}");
}
