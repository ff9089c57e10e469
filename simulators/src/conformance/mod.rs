//! Asks a box, over any of its lines, for what `docs/till-api.md` promises a till: nothing twice, nothing lost.

mod files;
mod http;
mod mqtt;
mod pairing;
mod serial;
mod steps;
mod suite;
mod survivor;
mod text;
mod till;

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use serde_json::{Map, Value};

pub use suite::Report;
pub use survivor::Survivor;

/// How the till speaks to the box.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Transport {
    /// HTTP and JSON.
    Http,
    /// STX, fields, ETX, check byte, on a serial port.
    SerialClassic,
    /// COBS and CRC-32, on a serial port.
    SerialStrong,
    /// Files in a folder.
    Files,
    /// A broker, with the properties of MQTT 5.
    Mqtt5,
    /// A broker, with an envelope for MQTT 3.1.1.
    Mqtt311,
}

/// Which box, over which line, and how long.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// How the till speaks to the box.
    #[arg(long, value_enum)]
    pub transport: Transport,
    /// The serial port.
    #[arg(long)]
    pub port: Option<PathBuf>,
    /// What the classic check byte begins with.
    #[arg(long, default_value_t = 0)]
    pub check_seed: u8,
    /// Whether STX is reckoned into it.
    #[arg(long)]
    pub check_with_stx: bool,
    /// The folder of files.
    #[arg(long)]
    pub folder: Option<PathBuf>,
    /// The broker.
    #[arg(long, value_name = "HOST:PORT")]
    pub broker: Option<String>,
    /// The till's password at the broker, where its user name is the terminal's id.
    #[arg(long)]
    pub broker_password: Option<String>,
    /// The site's name in the topics.
    #[arg(long, default_value = "site")]
    pub site: String,
    /// Whether the till shows its token in each request, where the broker has no access list.
    #[arg(long)]
    pub show_token: bool,
    /// What the phone of a member who has at least 100 points at the box shows now (`gatepost-sim phone`). A code pays
    /// once, so each lets the line be cut around one hold more; six of them cut it everywhere.
    #[arg(long)]
    pub member_code: Vec<String>,
    /// The plate of a vehicle that is inside, to be asked for and given parking.
    #[arg(long)]
    pub plate: Option<String>,
    /// What this till may give to that vehicle's stay: the id of a validation in the rules.
    #[arg(long)]
    pub validation: Option<String>,
    /// Who lets a new till in by its eight digits; over HTTP, with `--pin`.
    #[arg(long, requires = "pin")]
    pub operator: Option<String>,
    /// The operator's PIN.
    #[arg(long)]
    pub pin: Option<String>,
    /// A coupon that takes something off goods at this till, to be used and returned.
    #[arg(long)]
    pub coupon: Option<String>,
    /// How many sales the storm of cut lines makes.
    #[arg(long, default_value_t = 60)]
    pub storm: u32,
    /// Where the storm begins; the same seed is the same storm.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// Where the line is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    /// Nowhere.
    Never,
    /// In the middle of the request.
    InRequest,
    /// When the request is out; nobody hears the answer.
    AfterRequest,
    /// When the answer is in: the till dies with it.
    BeforeAnswer,
    /// Nowhere, but nobody listens: the box may die meanwhile.
    Deaf,
}

/// What a till asks.
struct Ask<'a> {
    verb: Verb,
    /// In the till's own count; questions have one too, which the box does not count.
    number: u64,
    shift: u64,
    fields: &'a Map<String, Value>,
    cut: Cut,
}

/// What a till heard.
#[derive(Clone, Debug, PartialEq)]
enum Heard {
    /// Done, or found; and whether it was done before.
    Done(Value, bool),
    /// Refused, with the code.
    Refused(String),
    /// Nothing.
    Nothing,
}

/// The verbs that the suite uses, with name, number and address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Hello,
    Status,
    Lookup,
    Quote,
    Hold,
    Capture,
    Release,
    Commit,
    Void,
    Refund,
    Reverse,
    Query,
    Totals,
    Close,
    Validate,
    CouponUse,
    CouponCheck,
    CouponReturn,
    Receipt,
    Slip,
    Report,
}

impl Verb {
    fn name(self) -> &'static str {
        match self {
            Verb::Hello => "HELLO",
            Verb::Status => "STATUS",
            Verb::Lookup => "LOOKUP",
            Verb::Quote => "QUOTE",
            Verb::Hold => "HOLD",
            Verb::Capture => "CAPTURE",
            Verb::Release => "RELEASE",
            Verb::Commit => "COMMIT",
            Verb::Void => "VOID",
            Verb::Refund => "REFUND",
            Verb::Reverse => "REVERSE",
            Verb::Query => "QUERY",
            Verb::Totals => "TOTALS_X",
            Verb::Close => "TOTALS_Z",
            Verb::Validate => "VALIDATE_PARKING",
            Verb::CouponUse => "COUPON_USE",
            Verb::CouponCheck => "COUPON_CHECK",
            Verb::CouponReturn => "COUPON_RETURN",
            Verb::Receipt => "RECEIPT",
            Verb::Slip => "SLIP",
            Verb::Report => "REPORT",
        }
    }

    fn number(self) -> u8 {
        match self {
            Verb::Hello => 1,
            Verb::Status => 2,
            Verb::Lookup => 3,
            Verb::Quote => 4,
            Verb::Hold => 5,
            Verb::Capture => 6,
            Verb::Release => 7,
            Verb::Commit => 8,
            Verb::Void => 9,
            Verb::Refund => 10,
            Verb::Reverse => 11,
            Verb::Query => 12,
            Verb::Totals => 13,
            Verb::Close => 14,
            Verb::Validate => 15,
            Verb::CouponUse => 16,
            Verb::CouponCheck => 17,
            Verb::CouponReturn => 18,
            Verb::Receipt => 19,
            Verb::Slip => 20,
            Verb::Report => 21,
        }
    }

    fn writes(self) -> bool {
        match self {
            Verb::Status
            | Verb::Lookup
            | Verb::Quote
            | Verb::Query
            | Verb::Totals
            | Verb::CouponCheck
            | Verb::Receipt
            | Verb::Slip => false,
            Verb::Hello
            | Verb::Hold
            | Verb::Capture
            | Verb::Release
            | Verb::Commit
            | Verb::Void
            | Verb::Refund
            | Verb::Reverse
            | Verb::Close
            | Verb::Validate
            | Verb::CouponUse
            | Verb::CouponReturn
            | Verb::Report => true,
        }
    }
}

/// A line to a box.
enum Wire {
    Http(http::Line),
    Classic(serial::Classic),
    Strong(serial::Strong),
    Files(files::Folder),
    Mqtt(mqtt::Till),
}

impl Wire {
    fn ask(&mut self, ask: &Ask<'_>) -> Result<Heard> {
        if let Wire::Http(line) = self {
            return line.ask(ask);
        }
        // Only HTTP takes it for a wish to stop when its till hangs up.
        let cut = if ask.cut == Cut::Deaf { Cut::AfterRequest } else { ask.cut };
        let ask = &Ask { cut, verb: ask.verb, number: ask.number, shift: ask.shift, fields: ask.fields };
        match self {
            Wire::Http(line) => line.ask(ask),
            Wire::Classic(line) => line.ask(ask),
            Wire::Strong(line) => line.ask(ask),
            Wire::Files(folder) => folder.ask(ask),
            Wire::Mqtt(till) => till.ask(ask),
        }
    }
}

/// Runs the suite against a box that listens where `options` says. HTTP and a broker also need the address or the token.
pub fn run(options: &Options, base: &str, terminal: &str, token: &str) -> Result<Report> {
    suite::run(wire(options, base, terminal, token)?, options)
}

fn wire(options: &Options, base: &str, terminal: &str, token: &str) -> Result<Wire> {
    let port = || options.port.clone().context("a serial line needs --port");
    Ok(match options.transport {
        Transport::Http => Wire::Http(http::Line::new(base, terminal, token)?),
        Transport::SerialClassic => Wire::Classic(serial::Classic::new(serial::open(&port()?)?, options)),
        Transport::SerialStrong => Wire::Strong(serial::Strong::new(serial::open(&port()?)?)),
        Transport::Files => Wire::Files(files::Folder::new(options.folder.clone().context("files need --folder")?)?),
        Transport::Mqtt5 => Wire::Mqtt(mqtt::Till::new(options, terminal, token, true)?),
        Transport::Mqtt311 => Wire::Mqtt(mqtt::Till::new(options, terminal, token, false)?),
    })
}

/// Runs the suite over the till's end of a pseudo-terminal, of which the box has opened the other end.
pub fn run_over(options: &Options, line: OwnedFd) -> Result<Report> {
    suite::run(wire_over(options, line)?, options)
}

fn wire_over(options: &Options, line: OwnedFd) -> Result<Wire> {
    Ok(match options.transport {
        Transport::SerialClassic => Wire::Classic(serial::Classic::new(line, options)),
        Transport::SerialStrong => Wire::Strong(serial::Strong::new(line)),
        Transport::Http | Transport::Files | Transport::Mqtt5 | Transport::Mqtt311 => {
            bail!("this transport has no serial line")
        }
    })
}

/// Both ends of a pseudo-terminal, to be kept while it is used, and the path of the end that a box opens.
pub fn pseudo_terminal() -> Result<(OwnedFd, OwnedFd, PathBuf)> {
    crate::relay_board::open_line()
}
