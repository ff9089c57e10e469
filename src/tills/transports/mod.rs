//! The lines over which tills ask besides HTTP: two serial framings and a folder of files, as the settings name them.

mod classic;
mod files;
mod serial;
mod strong;
mod text;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tracing::{info, warn};

use super::Tills;
use crate::domain::event::TerminalId;

/// How long a line that was lost is left alone before it is opened again.
const AGAIN: Duration = Duration::from_secs(2);

/// A till that does not speak HTTP, `[[till_lines]]` in the settings. Nobody else can speak on its line, so it shows no
/// token; a till that was shut out is not heard here either.
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
            Charset::Gbk => encoding_rs::GBK.encode(text).0.into_owned(),
        }
    }
}

impl TillLine {
    /// Which till.
    pub fn terminal(&self) -> &TerminalId {
        match self {
            TillLine::SerialClassic { terminal, .. }
            | TillLine::SerialStrong { terminal, .. }
            | TillLine::Files { terminal, .. } => terminal,
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
    let terminal = line.terminal().clone();
    let mut was_lost = false;
    loop {
        let outcome = match &line {
            TillLine::SerialClassic { port, baud, check_seed, check_with_stx, charset, .. } => {
                let check = classic::Check { seed: *check_seed, with_stx: *check_with_stx };
                serial::classic(&tills, &terminal, port, *baud, check, *charset).await
            }
            TillLine::SerialStrong { port, baud, .. } => serial::strong(&tills, &terminal, port, *baud).await,
            TillLine::Files { folder, charset, .. } => files::watch(&tills, &terminal, folder, *charset).await,
        };
        match outcome {
            Ok(()) => info!(%terminal, "a till's line was closed"),
            Err(error) if !was_lost => warn!(%terminal, "a till's line is lost, and is opened again: {error:#}"),
            Err(_) => {}
        }
        was_lost = true;
        tokio::time::sleep(AGAIN).await;
    }
}
