//! The command `gatepost-cloud`: serves the reference cloud ledger, checks it, fills it and prints statements.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use clap::{ArgGroup, Args, Parser, Subcommand};
use cloud_ledger::clock::now_ms;
use cloud_ledger::db::{Database, PostgresSettings};
use cloud_ledger::ledger::{LEASE_MS, RECOMPUTE, STANDING_SHARE_BPS};
use cloud_ledger::phones::{DAYS_DEFAULT, DAYS_MAX, PhoneAsk};
use cloud_ledger::sign::LedgerKey;
use cloud_ledger::statement::{LINES_MAX, Line, Period};
use cloud_ledger::{Ledger, Settings, Tokens};
use jiff::civil::Date;
use jiff::tz::TimeZone;
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
    /// Work with many members at once.
    #[command(subcommand)]
    Members(MembersCommand),
    /// Print every movement of points of some days, for the settlement.
    Statement(StatementOf),
    /// Sign whose phone a key is, as POST /v1/members/{id}/phones does for the mall's app.
    MemberToken(MemberToken),
    /// Fill an empty database from the boxes' exported journals and a table of members.
    Rebuild(Rebuild),
    /// Ask a ledger, whosever it is, for every promise of docs/cloud-api.md. Its members and boxes of the test stay.
    Conformance(Conformance),
}

#[derive(Subcommand)]
enum MembersCommand {
    /// Write the members of a table with the columns id, handle, tier, consent_plates, plates and, where they are
    /// there, codes, home and points. Plates and codes are apart by spaces.
    Import(Import),
}

#[derive(Args)]
struct Where {
    /// Where the ledger is kept: postgres://USER@HOST/NAME or sqlite:FILE.
    #[arg(long, value_name = "URL")]
    database: String,
}

#[derive(Args)]
#[command(group(ArgGroup::new("admin").required(true).args(["admin_token", "admin_token_file"])))]
struct Serve {
    #[command(flatten)]
    place: Where,
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
    /// The file with the ledger's own key. Where it is not given: beside a SQLite file, with .key at its end.
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Refuse to start where PostgreSQL does not have each commit on a second server before it returns.
    #[arg(long)]
    require_quorum: bool,
    /// How many days a box may spend points after its last handshake.
    #[arg(long, value_name = "DAYS", default_value_t = LEASE_MS / DAY_MS, value_parser = clap::value_parser!(i64).range(1..=365))]
    lease_days: i64,
    /// How much of a member's balance standing grants may hold, in basis points.
    #[arg(long, value_name = "BPS", default_value_t = STANDING_SHARE_BPS, value_parser = clap::value_parser!(i64).range(0..=10_000))]
    standing_share_bps: i64,
    /// How often all balances are computed again from the journals; 0 for never.
    #[arg(long, value_name = "MINUTES", default_value_t = RECOMPUTE.as_secs() / 60)]
    recompute_minutes: u64,
}

#[derive(Args)]
struct Import {
    #[command(flatten)]
    place: Where,
    /// The table: comma-separated values in UTF-8.
    file: PathBuf,
    /// Write the rows that are good even where others are broken.
    #[arg(long)]
    only_good: bool,
}

#[derive(Args)]
struct StatementOf {
    #[command(flatten)]
    place: Where,
    /// The first day.
    #[arg(long, value_name = "YYYY-MM-DD")]
    from: Date,
    /// The day after the last one.
    #[arg(long, value_name = "YYYY-MM-DD")]
    to: Date,
    /// Where the days begin.
    #[arg(long, value_name = "ZONE", default_value = "Asia/Shanghai")]
    zone: String,
    /// Only this member.
    #[arg(long, value_name = "ID")]
    member: Option<String>,
    /// Only at this box.
    #[arg(long = "box", value_name = "NAME")]
    box_name: Option<String>,
    /// Only points of this issuer.
    #[arg(long, value_name = "NAME")]
    issuer: Option<String>,
    /// Comma-separated values with a first line of names, and no sums.
    #[arg(long)]
    csv: bool,
}

#[derive(Args)]
struct MemberToken {
    #[command(flatten)]
    place: Where,
    /// The file with the ledger's own key. Where it is not given: beside a SQLite file, with .key at its end.
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// The member.
    #[arg(long, value_name = "ID")]
    member: String,
    /// The phone's public key, in base64.
    #[arg(long, value_name = "KEY")]
    phone_key: String,
    /// For how many days the boxes take its codes.
    #[arg(long, default_value_t = DAYS_DEFAULT, value_parser = clap::value_parser!(i64).range(1..=DAYS_MAX))]
    days: i64,
}

#[derive(Args)]
struct Rebuild {
    #[command(flatten)]
    place: Where,
    /// The table of members, as for `members import`; `points` is what each got of the chain less what it spent online.
    #[arg(long, value_name = "FILE")]
    members: PathBuf,
    /// Exported journals: lines of {"box","epoch","seq","body","head"}.
    #[arg(required = true, value_name = "JOURNAL")]
    journals: Vec<PathBuf>,
}

/// Milliseconds of a day.
const DAY_MS: i64 = 24 * 3600 * 1000;

#[derive(Args)]
struct Verify {
    #[command(flatten)]
    place: Where,
}

#[derive(Args)]
struct Conformance {
    /// Where the ledger is, such as http://127.0.0.1:7070.
    #[arg(long, value_name = "URL")]
    url: String,
    /// The administrator's token.
    #[arg(long, value_name = "TOKEN")]
    admin_token: String,
    /// A box that no site uses, and its enrolment token. Two of them.
    #[arg(long = "box", value_name = "NAME=TOKEN", required = true)]
    boxes: Vec<String>,
}

#[allow(clippy::print_stderr, reason = "the last word of the command")]
fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Serve(settings) => serve(&settings),
        Command::Verify(settings) => verify(&settings),
        Command::Members(MembersCommand::Import(settings)) => import(&settings),
        Command::Statement(settings) => statement(&settings),
        Command::MemberToken(settings) => member_token(&settings),
        Command::Rebuild(settings) => rebuild(&settings),
        Command::Conformance(settings) => conformance(&settings),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("gatepost-cloud: {error:#}");
        ExitCode::from(EXIT_UNABLE)
    })
}

#[allow(clippy::print_stdout, reason = "the answer of the command")]
fn conformance(settings: &Conformance) -> anyhow::Result<ExitCode> {
    let pair = |pair: &String| pair.split_once('=').map(|(name, token)| (name.to_owned(), token.to_owned()));
    let boxes: Option<Vec<_>> = settings.boxes.iter().map(pair).collect();
    let boxes = boxes.and_then(|boxes| <[_; 2]>::try_from(boxes).ok());
    let boxes = boxes.context("--box: two are needed, each as NAME=TOKEN")?;
    let url = settings.url.trim_end_matches('/').to_owned();
    let target = ledger_conformance::wire::Target { url, admin_token: settings.admin_token.clone(), boxes };
    // Fails where it was done before, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let threads = tokio::runtime::Builder::new_current_thread().enable_all().build().context("start the client")?;
    let outcomes = threads.block_on(ledger_conformance::run(&target))?;
    for outcome in &outcomes {
        match &outcome.broken {
            None => println!("kept    {}", outcome.promise),
            Some(why) => println!("BROKEN  {}\n        {why}", outcome.promise),
        }
    }
    let broken = outcomes.iter().filter(|outcome| outcome.broken.is_some()).count();
    println!("{} promises kept, {broken} broken", outcomes.len() - broken);
    Ok(if broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn serve(settings: &Serve) -> anyhow::Result<ExitCode> {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let postgres = PostgresSettings { require_quorum: settings.require_quorum };
    let minutes = Some(settings.recompute_minutes).filter(|minutes| *minutes > 0);
    let chosen = Settings {
        lease_ms: settings.lease_days * DAY_MS,
        standing_share_bps: settings.standing_share_bps,
        recompute: minutes.map(|minutes| Duration::from_secs(minutes * 60)),
    };
    // The database keeps threads of its own, and is opened and left outside of those of the server.
    let database = Database::open(&settings.place.database, &postgres)?;
    let key = key(settings.key_file.as_deref(), &settings.place)?;
    let ledger = Arc::new(Ledger::new(database, key, chosen));
    let tokens = tokens(settings)?;
    let threads = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("start the server")?;
    threads.block_on(listen(settings, Arc::clone(&ledger), tokens))?;
    Ok(ExitCode::SUCCESS)
}

async fn listen(settings: &Serve, ledger: Arc<Ledger>, tokens: Tokens) -> anyhow::Result<()> {
    // Listened for before the address is known, so that a stop that comes at once is heard.
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let listener =
        TcpListener::bind(settings.listen).await.with_context(|| format!("listen on {}", settings.listen))?;
    let key = ledger.public_key();
    tracing::info!(address = %listener.local_addr()?, database = ledger.name(), %key, "serving");
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        tracing::info!("stopping");
    };
    cloud_ledger::serve(listener, ledger, tokens, stop).await.context("serve")
}

#[allow(clippy::print_stdout, reason = "the answer of the command")]
fn verify(settings: &Verify) -> anyhow::Result<ExitCode> {
    let report =
        unsigned(Database::open_existing(&settings.place.database, &PostgresSettings::default())?)?.verify()?;
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

#[allow(clippy::print_stdout, reason = "the answer of the command")]
fn import(settings: &Import) -> anyhow::Result<ExitCode> {
    let ledger = unsigned(Database::open(&settings.place.database, &PostgresSettings::default())?)?;
    let done = ledger.import(&settings.file, settings.only_good, now_ms())?;
    for broken in &done.broken {
        println!("{}: {broken}", settings.file.display());
    }
    println!("{} members written, {} points credited, {} rows broken", done.members, done.points, done.broken.len());
    Ok(if done.broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[allow(clippy::print_stdout, reason = "the answer of the command")]
fn statement(settings: &StatementOf) -> anyhow::Result<ExitCode> {
    let zone = TimeZone::get(&settings.zone).with_context(|| format!("--zone '{}'", settings.zone))?;
    let begin = |day: Date| Ok::<_, anyhow::Error>(day.to_zoned(zone.clone())?.timestamp().as_millisecond());
    let period = Period {
        from_ms: begin(settings.from)?,
        to_ms: begin(settings.to)?,
        member: settings.member.clone(),
        box_name: settings.box_name.clone(),
        issuer: settings.issuer.clone(),
    };
    let ledger = unsigned(Database::open_existing(&settings.place.database, &PostgresSettings::default())?)?;
    let mut table = csv::Writer::from_writer(std::io::stdout());
    let mut sums: BTreeMap<(String, String, String), (i64, i64)> = BTreeMap::new();
    let mut after = 0;
    loop {
        let page = ledger.statement(&period, after, LINES_MAX)?;
        for line in &page.lines {
            if settings.csv {
                table.serialize(line)?;
            } else {
                let Line { issuer, funder, what, points, settle_bps, .. } = line;
                let sum = sums.entry((issuer.clone(), funder.clone(), what.clone())).or_default();
                *sum = (sum.0 + points, sum.1 + points * settle_bps);
            }
            after = line.number;
        }
        if !page.more {
            break;
        }
    }
    table.flush()?;
    for ((issuer, funder, what), (points, settled)) in &sums {
        // Rounded down once, over all lines: what is paid never exceeds what was agreed.
        println!("{issuer}, paid by {funder}: {what} {points} points, settled as {}", settled / 10_000);
    }
    Ok(ExitCode::SUCCESS)
}

#[allow(clippy::print_stdout, reason = "the answer of the command")]
fn member_token(settings: &MemberToken) -> anyhow::Result<ExitCode> {
    let database = Database::open_existing(&settings.place.database, &PostgresSettings::default())?;
    let key = key(settings.key_file.as_deref(), &settings.place)?;
    let ask = PhoneAsk { phone_key: settings.phone_key.clone(), days: Some(settings.days) };
    let token = Ledger::new(database, key, Settings::default()).phone_token(&settings.member, &ask, now_ms())?;
    println!("{}", token.token);
    Ok(ExitCode::SUCCESS)
}

#[allow(clippy::print_stdout, reason = "the answer of the command")]
fn rebuild(settings: &Rebuild) -> anyhow::Result<ExitCode> {
    let ledger = unsigned(Database::open(&settings.place.database, &PostgresSettings::default())?)?;
    let done = ledger.rebuild(&settings.members, &settings.journals, now_ms())?;
    done.warnings.iter().for_each(|warning| println!("warning: {warning}"));
    println!(
        "{} members, {} journals with {} entries and {} grants made again",
        done.members.members, done.journals, done.entries, done.grants
    );
    let report = ledger.verify()?;
    report.faults.iter().for_each(|fault| println!("fault: {fault}"));
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A ledger that answers no box, and so signs nothing: any key will do.
fn unsigned(database: Database) -> anyhow::Result<Ledger> {
    Ok(Ledger::new(database, LedgerKey::of(&[0; 32])?, Settings::default()))
}

fn key(key_file: Option<&Path>, place: &Where) -> anyhow::Result<LedgerKey> {
    let beside = place.database.strip_prefix("sqlite:").map(|file| PathBuf::from(format!("{file}.key")));
    match key_file.map(Path::to_owned).or(beside) {
        Some(file) => LedgerKey::open(&file),
        None => bail!("give --key-file: with PostgreSQL all replicas share one key"),
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
