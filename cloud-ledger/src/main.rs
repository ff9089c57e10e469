//! The command `gatepost-cloud`: serves the reference cloud ledger from one file, or checks that file.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use clap::{ArgGroup, Args, Parser, Subcommand};
use cloud_ledger::{Ledger, Tokens};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// The command could not do its work; 1 is for a check that found faults.
const EXIT_UNABLE: u8 = 2;

/// The reference cloud ledger: members, their points, and what the boxes did with them.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the interface of docs/cloud-api.md until SIGTERM or Ctrl-C.
    Serve(Serve),
    /// Compute every chain and every balance again from what is stored, and say what differs.
    Verify(Verify),
}

#[derive(Args)]
#[command(group(ArgGroup::new("admin").required(true).args(["admin_token", "admin_token_file"])))]
struct Serve {
    /// Where the ledger is kept: sqlite:FILE. The file is made where it is missing.
    #[arg(long, value_name = "sqlite:FILE")]
    database: String,
    /// Where to listen. Put a terminator of TLS in front of anything but the loopback.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:7070")]
    listen: SocketAddr,
    /// The administrator's token. Others on this machine can see it; --admin-token-file is better.
    #[arg(long, value_name = "TOKEN")]
    admin_token: Option<String>,
    /// A file that holds the administrator's token.
    #[arg(long, value_name = "FILE")]
    admin_token_file: Option<PathBuf>,
    /// A box and its token, or @ and a file that holds the token. Once for each box.
    #[arg(long = "box", value_name = "NAME=TOKEN|NAME=@FILE")]
    boxes: Vec<String>,
}

#[derive(Args)]
struct Verify {
    /// Where the ledger is kept: sqlite:FILE. It may be in use.
    #[arg(long, value_name = "sqlite:FILE")]
    database: String,
}

#[allow(clippy::print_stderr, reason = "the last word of the command")]
fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Serve(settings) => serve(&settings),
        Command::Verify(settings) => verify(&settings),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("gatepost-cloud: {error:#}");
        ExitCode::from(EXIT_UNABLE)
    })
}

#[tokio::main]
async fn serve(settings: &Serve) -> anyhow::Result<ExitCode> {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let ledger = Ledger::open(&database(&settings.database)?)?;
    let tokens = tokens(settings)?;
    // Listened for before the address is known, so that a stop that comes at once is heard.
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let listener =
        TcpListener::bind(settings.listen).await.with_context(|| format!("listen on {}", settings.listen))?;
    tracing::info!(address = %listener.local_addr()?, database = %ledger.path().display(), "serving");
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        tracing::info!("stopping");
    };
    cloud_ledger::serve(listener, Arc::new(ledger), tokens, stop).await.context("serve")?;
    Ok(ExitCode::SUCCESS)
}

#[allow(clippy::print_stdout, reason = "the answer of the command")]
fn verify(settings: &Verify) -> anyhow::Result<ExitCode> {
    let report = cloud_ledger::verify::file(&database(&settings.database)?)?;
    println!("{} members and {} entries computed again", report.members, report.entries);
    for fault in &report.faults {
        println!("fault: {fault}");
    }
    if report.ok {
        println!("everything agrees");
        return Ok(ExitCode::SUCCESS);
    }
    println!("{} faults", report.faults.len());
    Ok(ExitCode::FAILURE)
}

fn database(url: &str) -> anyhow::Result<PathBuf> {
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        bail!(
            "this version holds only the embedded store: give --database sqlite:FILE instead of a PostgreSQL address"
        );
    }
    match url.strip_prefix("sqlite:") {
        Some(file) if !file.is_empty() && file != ":memory:" => Ok(PathBuf::from(file)),
        _ => bail!("--database '{url}' is not understood; allowed is sqlite:FILE"),
    }
}

fn tokens(settings: &Serve) -> anyhow::Result<Tokens> {
    let admin = match (&settings.admin_token, &settings.admin_token_file) {
        (Some(token), _) => token.clone(),
        (None, Some(file)) => read_token(file)?,
        (None, None) => bail!("give --admin-token-file or --admin-token"),
    };
    let boxes = settings.boxes.iter().map(|pair| {
        let (name, token) = pair.split_once('=').ok_or_else(|| anyhow!("--box '{pair}': allowed is NAME=TOKEN"))?;
        let token = match token.strip_prefix('@') {
            Some(file) => read_token(Path::new(file))?,
            None => token.to_owned(),
        };
        Ok((name.to_owned(), token))
    });
    Tokens::new(&admin, boxes.collect::<anyhow::Result<Vec<_>>>()?)
}

fn read_token(file: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(file).with_context(|| format!("read the token in {}", file.display()))?;
    Ok(text.trim().to_owned())
}
