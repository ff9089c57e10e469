//! The lines over which tills ask besides HTTP: two serial framings, a folder of files and a broker, as the settings name
//! them.

mod classic;
mod files;
pub mod hostile;
mod letter;
mod mqtt;
mod serial;
mod strong;
mod tap;
mod text;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use tokio::time::Instant;
use tracing::{info, warn};

pub use self::tap::Tap;
use super::Tills;
use super::slip::gbk;
use crate::domain::event::TerminalId;

/// How long a line that was lost is left alone before it is opened again.
const AGAIN: Duration = Duration::from_secs(2);

/// A line that lived for so long is told again when it is lost.
const STEADY: Duration = Duration::from_secs(60);

/// Tills that do not speak HTTP, `[[till_lines]]` in the settings. Nobody else can speak on the line of one till, so it
/// shows no token; a till that was shut out is not heard here either.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum TillLine {
    /// STX, fields, ETX, check byte.
    SerialClassic {
        /// Which till, of `[[terminals]]` or paired.
        terminal: TerminalId,
        /// The port.
        port: PathBuf,
        /// Bits a second.
        #[serde(default = "usual_baud")]
        baud: u32,
        /// What the check byte begins with.
        #[serde(default)]
        check_seed: u8,
        /// Whether STX is reckoned into it.
        #[serde(default)]
        check_with_stx: bool,
        /// How texts are written.
        #[serde(default)]
        charset: Charset,
    },
    /// COBS and CRC-32.
    SerialStrong {
        /// Which till.
        terminal: TerminalId,
        /// The port.
        port: PathBuf,
        /// Bits a second.
        #[serde(default = "usual_baud")]
        baud: u32,
    },
    /// `request.txt` and `result.txt` in a folder.
    Files {
        /// Which till.
        terminal: TerminalId,
        /// The folder.
        folder: PathBuf,
        /// How texts are written.
        #[serde(default)]
        charset: Charset,
    },
    /// Any number of tills behind a broker.
    Mqtt(Bus),
    /// A printer's line that is read along, and earns.
    Tap(Tap),
}

/// A broker and the tills behind it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bus {
    /// The site's name in the topics.
    #[serde(deserialize_with = "level")]
    site: String,
    /// Who makes sure that a till speaks for itself alone.
    access: Access,
    /// The broker.
    #[serde(default = "usual_host")]
    host: String,
    /// Its port.
    #[serde(default = "usual_port")]
    port: u16,
    /// The box's name at the broker; `gatepost-tills-<site>` where it is not given.
    client_id: Option<String>,
    /// The box's user at the broker.
    username: Option<String>,
    /// The user's password.
    password: Option<Password>,
}

/// Who makes sure that a till speaks for itself alone. There is no default: a broker that lets anybody write to any topic
/// must not be taken for one that does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// The broker's access list.
    Broker,
    /// Each request shows the till's token.
    Token,
}

/// A password that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    fn shown(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl<'de> Deserialize<'de> for Password {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        String::deserialize(source).map(Self)
    }
}

/// How a till writes texts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Charset {
    /// UTF-8.
    #[default]
    Utf8,
    /// GBK, as tills on a Chinese Windows do.
    Gbk,
}

fn usual_baud() -> u32 {
    9600
}

fn usual_host() -> String {
    "127.0.0.1".to_owned()
}

fn usual_port() -> u16 {
    1883
}

/// One level of a topic.
fn level<'de, D: Deserializer<'de>>(source: D) -> Result<String, D::Error> {
    let text = String::deserialize(source)?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if (1..=40).contains(&text.len()) && text.chars().all(is_plain) {
        return Ok(text);
    }
    let allowed = "1 to 40 letters, digits, hyphens and underscores";
    Err(serde::de::Error::custom(format!("site {text:?} cannot stand in a topic; allowed are {allowed}")))
}

impl Charset {
    fn decode(self, bytes: &[u8]) -> String {
        match self {
            Charset::Utf8 => String::from_utf8_lossy(bytes).into_owned(),
            Charset::Gbk => encoding_rs::GBK.decode_without_bom_handling(bytes).0.into_owned(),
        }
    }

    fn encode(self, text: &str) -> Vec<u8> {
        match self {
            Charset::Utf8 => text.as_bytes().to_vec(),
            Charset::Gbk => gbk(text),
        }
    }
}

impl TillLine {
    /// Which line it is, for the log.
    fn name(&self) -> String {
        match self {
            TillLine::SerialClassic { terminal, .. }
            | TillLine::SerialStrong { terminal, .. }
            | TillLine::Files { terminal, .. } => terminal.to_string(),
            TillLine::Mqtt(bus) => format!("gp/{}", bus.site),
            TillLine::Tap(tap) => tap.terminal.to_string(),
        }
    }
}

/// Serves every line until the process ends; a line that is lost is opened again.
pub(super) fn serve(tills: &Arc<Tills>, lines: Vec<TillLine>) {
    for line in lines {
        tokio::spawn(keep(Arc::clone(tills), line));
    }
}

async fn keep(tills: Arc<Tills>, line: TillLine) {
    let name = line.name();
    let mut was_lost = false;
    loop {
        let opened = Instant::now();
        let outcome = match &line {
            TillLine::SerialClassic { terminal, port, baud, check_seed, check_with_stx, charset } => {
                let check = classic::Check { seed: *check_seed, with_stx: *check_with_stx };
                serial::classic(&tills, terminal, port, *baud, check, *charset).await
            }
            TillLine::SerialStrong { terminal, port, baud } => serial::strong(&tills, terminal, port, *baud).await,
            TillLine::Files { terminal, folder, charset } => files::watch(&tills, terminal, folder, *charset).await,
            TillLine::Mqtt(bus) => mqtt::serve(&tills, bus).await,
            TillLine::Tap(tap) => tap::listen(&tills, tap).await,
        };
        was_lost &= opened.elapsed() < STEADY;
        match outcome {
            Ok(()) => info!(line = name, "a till's line was closed"),
            Err(error) if !was_lost => warn!(line = name, "a till's line is lost, and is opened again: {error:#}"),
            Err(_) => {}
        }
        was_lost = true;
        tokio::time::sleep(AGAIN).await;
    }
}
