//! A receipt tap: what a till sends to its printer is read along, and each receipt earns. Nothing is ever sent back.
//!
//! It is for tills that nobody may touch. What is read there is what somebody printed, so it earns only, up to an
//! amount, and never spends.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use tokio::io::AsyncReadExt;
use tokio::time::timeout;
use tracing::{info, warn};

use super::{Charset, serial, usual_baud};
use crate::domain::event::TerminalId;
use crate::tills::Tills;
use crate::tills::problem::{Code, Problem};
use crate::tills::refs::CODE_PREFIX;
use crate::tills::verbs::{Request, Verb};

/// A printer's silence after which a receipt without a cut is over.
const SILENCE: Duration = Duration::from_secs(3);
/// Longest receipt that is read: some metres of paper.
pub(super) const MOST_BYTES: usize = 64 * 1024;
/// Longest receipt number and member code.
const MOST_CHARS: usize = 64;
/// What a receipt earns for at most where the settings do not say, in fen: ¥5,000.
const MOST_FEN: i64 = 500_000;
/// How often a receipt is asked for again where the box is busy, and after how long.
const TRIES: u32 = 30;
const AGAIN: Duration = Duration::from_secs(2);

const ESC: u8 = 0x1B;
const FS: u8 = 0x1C;
const GS: u8 = 0x1D;

/// A printer's line and where on its paper things stand.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tap {
    /// Which till, of `[[terminals]]` or paired.
    pub(super) terminal: TerminalId,
    /// The port that hears what the printer hears.
    port: std::path::PathBuf,
    /// Bits a second.
    #[serde(default = "usual_baud")]
    baud: u32,
    /// How texts are written.
    #[serde(default)]
    charset: Charset,
    /// What the line with the amount begins with.
    amount: String,
    /// What the line with the receipt number begins with.
    receipt: String,
    /// What the line with the member's code begins with, where the till prints one.
    member: Option<String>,
    /// Receipts with one of these words are none: reprints, voids, reports.
    #[serde(default)]
    skip: Vec<String>,
    /// The most that one receipt earns for, in fen.
    #[serde(default = "most_fen")]
    most_fen: i64,
}

fn most_fen() -> i64 {
    MOST_FEN
}

/// Reads along until the port is lost.
pub(super) async fn listen(tills: &Arc<Tills>, tap: &Tap) -> anyhow::Result<()> {
    let mut port = serial::open(&tap.port, tap.baud)?;
    let mut paper = Paper::default();
    let mut buffer = [0; 512];
    loop {
        let count = match timeout(SILENCE, port.read(&mut buffer)).await {
            Ok(count) => count.context("read from the port")?,
            Err(_) => {
                tills.printed(tap, paper.take());
                continue;
            }
        };
        anyhow::ensure!(count > 0, "the port is gone");
        for byte in &buffer[..count] {
            if paper.hear(*byte) {
                tills.printed(tap, paper.take());
            }
        }
    }
}

/// What a receipt says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Read {
    pub(super) receipt: String,
    pub(super) fen: i64,
    pub(super) member: Option<String>,
}

impl Tap {
    /// What stands on the paper; none where it is no receipt.
    pub(super) fn read(&self, paper: &[u8]) -> Option<Read> {
        let text = self.charset.decode(paper);
        if self.skip.iter().any(|word| text.contains(word.as_str())) {
            return None;
        }
        let value = |words: &str| {
            let found = text.lines().filter_map(|line| line.trim_start().strip_prefix(words));
            found.map(|rest| rest.trim_matches([' ', ':', '：', '\t'])).collect::<Vec<_>>()
        };
        let short = |text: &&&str| !text.is_empty() && text.chars().count() <= MOST_CHARS;
        let receipt = value(&self.receipt).iter().find(short).map(|text| (*text).to_owned())?;
        // Sums come last: what begins with the same words before is a part.
        let fen = value(&self.amount).iter().rev().find_map(|text| fen_of(text))?;
        let member = self.member.as_deref().map(value).unwrap_or_default();
        let member = member.iter().find(short).map(|text| (*text).to_owned());
        Some(Read { receipt, fen, member })
    }
}

/// An amount in yuan as paper shows it, `￥1,234.50`, in fen.
fn fen_of(text: &str) -> Option<i64> {
    let text = text.rsplit(char::is_whitespace).next()?;
    let text: String = text.chars().filter(|c| !matches!(c, '￥' | '¥' | ',' | '元')).collect();
    let (yuan, fen) = text.split_once('.').unwrap_or((&text, "00"));
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let fen = match fen.len() {
        1 => format!("{fen}0"),
        2 => fen.to_owned(),
        _ => return None,
    };
    if !is_number(yuan) || !is_number(&fen) || yuan.len() > 7 {
        return None;
    }
    format!("{yuan}{fen}").parse().ok().filter(|fen| *fen > 0)
}

impl Tills {
    /// Earns what a receipt says, in the background: the printer does not wait.
    fn printed(self: &Arc<Self>, tap: &Tap, paper: Vec<u8>) {
        let Some(read) = tap.read(&paper) else { return };
        if read.fen > tap.most_fen {
            warn!(terminal = %tap.terminal, fen = read.fen, "a receipt is larger than a tap may earn for");
            return;
        }
        let (tills, terminal) = (Arc::clone(self), tap.terminal.clone());
        tokio::spawn(async move {
            match tills.earn(&terminal, &read).await {
                Ok(earned) => info!(%terminal, receipt = read.receipt, earned, "a receipt was read along"),
                Err(problem) => {
                    warn!(%terminal, code = problem.code().as_str(), "a receipt that was read along is lost")
                }
            }
        });
    }

    async fn earn(self: &Arc<Self>, terminal: &TerminalId, read: &Read) -> Result<i64, Problem> {
        let mut member = read.member.clone();
        let mut tries = 0;
        loop {
            let terminal = self.on_line(terminal).await?;
            match self.ask(&terminal, read.request(self.today().0, member.as_deref())).await {
                Ok(answer) => return Ok(answer.body["earned_points"].as_i64().unwrap_or(0)),
                // A code that nobody has is no member's; the sale was one all the same.
                Err(problem) if problem.code() == Code::MemberUnknown && member.is_some() => member = None,
                Err(problem) if problem.is_retryable() && tries < TRIES => {
                    tries += 1;
                    tokio::time::sleep(AGAIN).await;
                }
                Err(problem) => return Err(problem),
            }
        }
    }
}

impl Read {
    /// The sale. The same receipt of the same day has the same key, so that paper that is printed twice earns once.
    pub(super) fn request(&self, day: i32, member: Option<&str>) -> Request {
        let key = hex::encode(&Sha256::digest(format!("{day}\n{}\n{}", self.receipt, self.fen))[..16]);
        let mut body = Map::new();
        body.insert("receipt_no".to_owned(), json!(self.receipt));
        body.insert("sale_fen".to_owned(), json!(self.fen));
        body.insert("tenders".to_owned(), json!([{"kind": "cash", "fen": self.fen}]));
        if let Some(member) = member {
            body.insert("member_ref".to_owned(), Value::String(format!("{CODE_PREFIX}{member}")));
        }
        Request { verb: Verb::Commit, key: Some(format!("tap-{key}")), number: None, shift: None, body }
    }
}

/// What is on the paper: a printer's bytes without its commands.
#[derive(Debug, Default)]
pub(super) struct Paper {
    text: Vec<u8>,
    /// A command that is not whole yet.
    command: Vec<u8>,
    /// Bytes of a picture or a code that follow.
    to_skip: usize,
}

impl Paper {
    /// Takes a byte; true where the paper was cut.
    pub(super) fn hear(&mut self, byte: u8) -> bool {
        if self.to_skip > 0 {
            self.to_skip -= 1;
            return false;
        }
        if self.command.is_empty() && !matches!(byte, ESC | FS | GS) {
            if self.text.len() < MOST_BYTES && (byte == b'\n' || byte == b'\t' || byte >= b' ') {
                self.text.push(byte);
            }
            return false;
        }
        self.command.push(byte);
        match whole(&self.command) {
            None => false,
            Some(Whole { skips, cuts }) => {
                self.command.clear();
                self.to_skip = skips;
                cuts
            }
        }
    }

    /// What stands on it; it is empty afterwards.
    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.text)
    }
}

/// A command that is whole: how many bytes of data follow, and whether it cuts the paper.
struct Whole {
    skips: usize,
    cuts: bool,
}

/// The command in `bytes`, where it is whole. Source: Epson, ESC/POS command reference; one that is not in this table is
/// taken to have one parameter, as most have.
fn whole(bytes: &[u8]) -> Option<Whole> {
    let (lead, kind) = (*bytes.first()?, *bytes.get(1)?);
    let parameters = &bytes[2..];
    let two = |at: usize| Some(usize::from(*parameters.get(at)?) + 256 * usize::from(*parameters.get(at + 1)?));
    let plain = |count: usize| (parameters.len() >= count).then_some(Whole { skips: 0, cuts: false });
    match (lead, kind) {
        (ESC, b'i' | b'm') => Some(Whole { skips: 0, cuts: true }),
        (GS, b'V') => match parameters.first()? {
            0 | 1 | b'0' | b'1' => Some(Whole { skips: 0, cuts: true }),
            _ => Some(Whole { skips: 1, cuts: true }),
        },
        (ESC, b'@' | b'2' | b'<') | (FS, b'&' | b'.') => plain(0),
        (ESC, b'$' | b'\\') | (GS, b'L' | b'W' | b'P' | b'$' | b'\\') | (FS, b'S' | b'p') => plain(2),
        (ESC, b'p') => plain(3),
        (ESC, b'*') => {
            let columns = two(1)?;
            let bytes_a_column = if parameters[0] >= 32 { 3 } else { 1 };
            Some(Whole { skips: columns * bytes_a_column, cuts: false })
        }
        (GS, b'v') => Some(Whole { skips: two(2)? * two(4)?, cuts: false }),
        (GS, b'(') | (FS, b'(') => Some(Whole { skips: two(1)?, cuts: false }),
        (GS, b'k') if *parameters.first()? >= 65 => {
            Some(Whole { skips: usize::from(*parameters.get(1)?), cuts: false })
        }
        (GS, b'k') | (ESC, b'D') => {
            (parameters.len() > 1 && parameters.last() == Some(&0)).then_some(Whole { skips: 0, cuts: false })
        }
        _ => plain(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_is_read_whatever_the_printer_is_told_besides() {
        let tap = tap();
        let mut bytes = b"\x1B@\x1C&\x1Ba\x01\x1D!\x11".to_vec();
        bytes.extend(Charset::Gbk.encode("咖啡馆\n"));
        bytes.extend(b"\x1D!\x00\x1Ba\x00");
        bytes.extend(
            Charset::Gbk.encode("小票号: A-17\n拿铁 x2      60.00\n合计件数 2\n合计     ￥1,060.50\n会员号：GPM1\n"),
        );
        // A picture and a code whose bytes would be lines of their own.
        bytes.extend(b"\x1Dv0\x00\x0B\x00\x01\x00");
        bytes.extend(Charset::Gbk.encode("\n合计 9.99\n"));
        bytes.extend(b"\x1D(k\x05\x001P0\nB\x1Bp\x00\x19\xFA\x1Bd\x03");
        let mut paper = Paper::default();
        assert!(!bytes.iter().any(|byte| paper.hear(*byte)));
        assert!(b"\x1DVB".iter().filter(|byte| paper.hear(**byte)).count() == 1, "it is cut");
        paper.hear(0);
        let read = tap.read(&paper.take()).expect("a receipt");
        assert_eq!(read, Read { receipt: "A-17".to_owned(), fen: 106_050, member: Some("GPM1".to_owned()) });
        assert_eq!(tap.read(&Charset::Gbk.encode("小票号: A-17\n合计 10.00\n【重印】\n")), None);
        assert_eq!(tap.read(&Charset::Gbk.encode("日结\n合计 10.00\n")), None, "it has no number");
        assert_eq!(tap.read(&Charset::Gbk.encode("我的小票号: A-17\n合计 10.00\n")), None, "the words begin the line");
    }

    #[test]
    fn an_amount_is_whole_fen_or_none() {
        let table =
            [("12.50", Some(1250)), ("￥1,234.5", Some(123_450)), ("12", Some(1200)), ("RMB 8.00元", Some(800))];
        for (text, expect) in table {
            assert_eq!(fen_of(text), expect, "{text}");
        }
        for none in ["", "0.00", "-5.00", "12.345", "12.5.0", "x", "12345678.00", "1e3"] {
            assert_eq!(fen_of(none), None, "{none}");
        }
    }

    #[test]
    fn a_reprint_has_the_same_key_and_another_sale_another() {
        let read = Read { receipt: "A-17".to_owned(), fen: 500, member: None };
        let key = |read: &Read, day| read.request(day, None).key;
        assert_eq!(key(&read, 1), key(&read, 1));
        for (other, day) in [(Read { fen: 501, ..read.clone() }, 1), (read.clone(), 2)] {
            assert_ne!(key(&read, 1), key(&other, day));
        }
        assert!(!read.request(1, Some("GPM1")).spends(), "a tap earns only");
    }

    #[test]
    fn paper_without_end_fills_no_memory() {
        let mut paper = Paper::default();
        (0..3 * MOST_BYTES).for_each(|_| assert!(!paper.hear(b'a')));
        assert_eq!(paper.take().len(), MOST_BYTES);
    }

    fn tap() -> Tap {
        toml::from_str(
            "terminal = \"till-1\"\nport = \"/dev/null\"\ncharset = \"gbk\"\namount = \"合计\"\nreceipt = \"小票号\"\n\
             member = \"会员号\"\nskip = [\"重印\"]",
        )
        .expect("settings")
    }
}
