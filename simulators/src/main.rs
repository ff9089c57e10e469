//! The simulated devices, one command each, for a person who tests a box by hand.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand, ValueEnum};
use simulators::clock::{VirtualClock, rfc3339};
use simulators::line::Line;
use simulators::modbus::Dialect;
use simulators::phone::Phone;
use simulators::relay_board::{BoardReport, BoardSettings, RelayBoard};
use simulators::till::{Operation, Tender, Till, TillSettings, Transaction};
use tokio::sync::mpsc;

/// Simulated parking devices that speak the protocols of real ones.
#[derive(Parser)]
#[command(name = "gatepost-sim", version, about, long_about = None)]
struct Command {
    #[command(subcommand)]
    device: Device,
}

#[derive(Subcommand)]
enum Device {
    /// One vehicle arrives at a camera of any kind that the simulated mall has; prints what the box commands.
    Camera(simulators::passage::Options),
    /// A Modbus RTU relay and input board on a pseudo-terminal; prints its path and every frame.
    ///
    /// While it runs, lines on standard input change it: `in 0 on`, `in 0 off`, `hang-up`.
    RelayBoard(BoardArgs),
    /// A till that asks the box over HTTP.
    Till(TillArgs),
    /// Proves the matcher of a box: draws car parks with misread plates, asks `gatepost match`, and counts.
    Matching(simulators::matching::Options),
    /// One device of a shipped profile alone over its real link: it says what was recorded of the real one.
    ///
    /// Lines on standard input make it speak: `list`, `say 0`, `say 0 OLD=NEW`, `in 0 on`, `card 1 12345`.
    #[command(name = "device", after_help = simulators::alone::EXAMPLES)]
    Alone(simulators::alone::Options),
    /// A member's phone: prints its public key, or with a token the code that it shows now.
    Phone(PhoneArgs),
    /// A TCP line that can be cut; type `cut` or `restore` and Enter.
    Line(LineArgs),
}

#[derive(Args)]
struct BoardArgs {
    /// Whose habits the board has.
    #[arg(long, value_enum, default_value = "waveshare")]
    dialect: DialectName,
    /// The board's address on its line.
    #[arg(long, default_value_t = 1)]
    address: u8,
}

#[derive(Clone, Copy, ValueEnum)]
enum DialectName {
    /// Pulses by coil 0x0200 + n.
    Waveshare,
    /// Pulses by two registers at 3 + n * 5.
    Lc,
}

#[derive(Args)]
struct TillArgs {
    /// The box's web address.
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    base: String,
    /// The terminal's id in the box's settings.
    #[arg(long, default_value = "till-1")]
    terminal: String,
    /// The terminal's token, where it speaks HTTP.
    #[arg(long, default_value = "")]
    token: String,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Find a member by a code or a plate.
    Lookup {
        /// What the till scans.
        #[arg(long, conflicts_with = "plate")]
        code: Option<String>,
        /// A plate.
        #[arg(long)]
        plate: Option<String>,
    },
    /// Ask what a vehicle owes.
    Quote {
        /// Its plate.
        #[arg(long)]
        plate: String,
    },
    /// Commit a transaction, until its outcome is known.
    Commit {
        /// The idempotency key; the same key never pays twice.
        #[arg(long)]
        key: String,
        /// The till's receipt number.
        #[arg(long)]
        receipt: String,
        /// The member, as the lookup names it.
        #[arg(long)]
        member_ref: Option<String>,
        /// What was bought, in fen.
        #[arg(long)]
        sale_fen: Option<i64>,
        /// The stay to pay, as the quote names it.
        #[arg(long)]
        stay: Option<String>,
        /// Cash, in fen.
        #[arg(long, default_value_t = 0)]
        cash_fen: i64,
        /// Paid with points, in fen.
        #[arg(long, default_value_t = 0)]
        points_fen: i64,
        /// Hang up before the answer, as if the cable were pulled; then ask `query`.
        #[arg(long)]
        lose_answer: bool,
    },
    /// Ask what became of a key.
    Query {
        /// The idempotency key.
        #[arg(long)]
        key: String,
    },
    /// Ask a box for everything that it promises a till, over any of its lines, with the line cut where it hurts.
    Conformance(simulators::conformance::Options),
}

#[derive(Args)]
struct PhoneArgs {
    /// The file with the phone's key; it is made where it is missing.
    #[arg(long, value_name = "FILE", default_value = "phone.key")]
    key_file: PathBuf,
    /// The token that the cloud ledger signed for the public key, as `gatepost-cloud member-token` prints it.
    #[arg(long)]
    token: Option<String>,
    /// The moment in milliseconds since 1970-01-01T00:00:00Z instead of now, for tests of a till.
    #[arg(long, value_name = "MS")]
    at_ms: Option<i64>,
}

#[derive(Args)]
struct LineArgs {
    /// Where the line leads.
    #[arg(long, value_name = "IP:PORT")]
    to: SocketAddr,
}

#[tokio::main]
async fn main() -> Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match Command::parse().device {
        Device::Camera(options) => {
            let _ = rustls::crypto::ring::default_provider().install_default();
            simulators::passage::run(options, say).await
        }
        Device::RelayBoard(args) => relay_board(&args).await,
        Device::Till(args) => till(args).await,
        Device::Matching(options) => options.run().map(|report| say(&report)),
        Device::Alone(options) => {
            let _ = rustls::crypto::ring::default_provider().install_default();
            simulators::alone::run(&options, typed_lines()?, say).await
        }
        Device::Phone(args) => phone(args),
        Device::Line(args) => line(&args).await,
    }
}

async fn relay_board(args: &BoardArgs) -> Result<()> {
    let dialect = match args.dialect {
        DialectName::Waveshare => Dialect::Waveshare,
        DialectName::Lc => Dialect::Lc,
    };
    let settings = BoardSettings { dialect, address: args.address, report_frames: true };
    let (mut board, mut reports) = RelayBoard::open(settings)?;
    say(&board.path().display().to_string());
    let mut lines = typed_lines()?;
    let mut typing = true;
    loop {
        tokio::select! {
            report = reports.recv() => match report {
                Some(report) => say(&board_report(&report)),
                None => return Ok(()),
            },
            line = lines.recv(), if typing => match line {
                Some(line) => change_board(&mut board, &line),
                None => typing = false,
            },
        }
    }
}

fn board_report(report: &BoardReport) -> String {
    match report {
        BoardReport::Acted(effect, _) => format!("  {effect:?}"),
        BoardReport::Frame { request, answer: Some(answer) } => format!("{} -> {}", hex(request), hex(answer)),
        BoardReport::Frame { request, answer: None } => format!("{} -> silence", hex(request)),
    }
}

fn change_board(board: &mut RelayBoard, line: &str) {
    match line.split_whitespace().collect::<Vec<_>>().as_slice() {
        ["in", input, state @ ("on" | "off")] if input.parse().is_ok_and(|n: u8| n < 8) => {
            board.set_input(input.parse().unwrap_or(0), *state == "on");
        }
        ["hang-up"] => board.hang_up(),
        _ => say("write `in <0-7> on`, `in <0-7> off` or `hang-up`"),
    }
}

async fn till(args: TillArgs) -> Result<()> {
    if let Verb::Conformance(options) = args.verb {
        let (base, terminal, token) = (args.base, args.terminal, args.token);
        let asking =
            tokio::task::spawn_blocking(move || simulators::conformance::run(&options, &base, &terminal, &token));
        let report = asking.await.context("run the suite")??;
        say(&report.to_string());
        return if report.is_good() { Ok(()) } else { bail!("the box does not keep every promise") };
    }
    let till = Till::new(TillSettings { base: args.base, terminal: args.terminal, token: args.token })?;
    match args.verb {
        Verb::Lookup { code: Some(code), .. } => say(&format!("{:#?}", till.lookup_code(&code).await?)),
        Verb::Lookup { plate: Some(plate), .. } => say(&format!("{:#?}", till.lookup_plate(&plate).await?)),
        Verb::Lookup { code: None, plate: None } => bail!("give --code or --plate"),
        Verb::Quote { plate } => say(&format!("{:#?}", till.quote_plate(&plate).await?)),
        Verb::Commit { key, receipt, member_ref, sale_fen, stay, cash_fen, points_fen, lose_answer } => {
            let tenders = [Tender::cash(cash_fen), Tender::points(points_fen)];
            let transaction = Transaction {
                receipt_no: receipt,
                occurred_at: rfc3339(VirtualClock::real().now_ms()),
                member_ref,
                sale_fen,
                stay,
                tenders: tenders.into_iter().filter(|tender| tender.fen != 0).collect(),
            };
            if lose_answer {
                till.commit_and_hang_up(&key, &transaction).await?;
                say("sent, and hung up before the answer");
            } else {
                say(&format!("{:#}", till.commit_until_known(&key, &transaction).await?));
            }
        }
        Verb::Query { key } => match till.query(&key).await? {
            Operation::Applied(answer) => say(&format!("applied: {answer:#}")),
            Operation::InProgress => say("in progress"),
            Operation::NotFound => say("not found"),
        },
        Verb::Conformance(_) => unreachable!("done above"),
    }
    Ok(())
}

fn phone(args: PhoneArgs) -> Result<()> {
    let phone = Phone::open(&args.key_file)?;
    let Some(token) = args.token else {
        say(&phone.public_key());
        return Ok(());
    };
    let at_ms = args.at_ms.unwrap_or_else(|| VirtualClock::real().now_ms());
    say(&phone.with_token(token).code(at_ms)?);
    Ok(())
}

async fn line(args: &LineArgs) -> Result<()> {
    let line = Line::open(args.to).await?;
    say(&format!("{} leads to {}; type `cut` or `restore`", line.address(), args.to));
    let mut lines = typed_lines()?;
    while let Some(typed) = lines.recv().await {
        match typed.trim() {
            "cut" => line.cut(),
            "restore" => line.restore(),
            _ => {
                say("type `cut` or `restore`");
                continue;
            }
        }
        say(&format!("the line is {}", if typed.trim() == "cut" { "cut" } else { "whole" }));
    }
    // Without a keyboard the line stays whole until the process is stopped.
    std::future::pending().await
}

/// Lines of standard input; the channel closes at its end.
fn typed_lines() -> Result<mpsc::Receiver<String>> {
    let (typed, lines) = mpsc::channel(1);
    let read = move || {
        for line in std::io::stdin().lines().map_while(std::result::Result::ok) {
            if typed.blocking_send(line).is_err() {
                return;
            }
        }
    };
    std::thread::Builder::new().name("keyboard".to_owned()).spawn(read).context("listen to the keyboard")?;
    Ok(lines)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(" ")
}

#[allow(clippy::print_stdout, reason = "this is what the command is for")]
fn say(text: &str) {
    println!("{text}");
}
