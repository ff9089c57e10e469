//! Tills on serial ports: frames are acknowledged, asked, answered, and sent again where nobody acknowledged them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use serde_json::{Map, Value};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, sleep_until};
use tokio_serial::{SerialPortBuilderExt, SerialStream};

use super::Charset;
use super::classic::{self, Check, Heard};
use super::strong::{self, Frame};
use crate::domain::event::TerminalId;
use crate::tills::Tills;
use crate::tills::access::Terminal;
use crate::tills::problem::{Code, Problem};
use crate::tills::verbs::{Answer, Request, Verb};

/// How long the classic line waits for an acknowledgement, and how often it sends.
const CLASSIC_PATIENCE: Duration = Duration::from_secs(1);
const CLASSIC_TRIES: u32 = 3;
/// The same on the strong line.
const STRONG_PATIENCE: Duration = Duration::from_millis(300);
const STRONG_TRIES: u32 = 5;
/// How often the strong line says that the answer is not there yet.
const WAIT_EVERY: Duration = Duration::from_millis(500);
/// A port that takes no bytes for so long is not there: an answer takes a second at 9600 baud.
const WRITE_WITHIN: Duration = Duration::from_secs(15);

/// Serves the classic framing until the port is lost.
pub(super) async fn classic(
    tills: &Arc<Tills>,
    terminal: &TerminalId,
    port: &Path,
    baud: u32,
    check: Check,
    charset: Charset,
) -> anyhow::Result<()> {
    let mut port = open(port, baud)?;
    let mut reader = classic::Reader::new(check);
    let mut sent: Option<Sent> = None;
    let mut buffer = [0; 512];
    loop {
        let Some(count) = read_or_repeat(&mut port, &mut buffer, &mut sent).await? else { continue };
        for heard in buffer[..count].iter().filter_map(|byte| reader.take(*byte)).collect::<Vec<_>>() {
            match heard {
                Heard::Ack => sent = None,
                Heard::Nak => {
                    if let Some(sent) = &mut sent {
                        sent.due = Instant::now();
                    }
                }
                Heard::Damaged => write(&mut port, &[classic::NAK]).await?,
                Heard::Text(text) => {
                    write(&mut port, &[classic::ACK]).await?;
                    let answer = tills.answer_text(terminal, &charset.decode(&text), '|').await;
                    let mut answer = charset.encode(&answer);
                    answer.truncate(classic::MOST_TEXT_BYTES);
                    let frame = check.frame(&answer);
                    write(&mut port, &frame).await?;
                    sent = Some(Sent::new(frame, CLASSIC_PATIENCE, CLASSIC_TRIES));
                }
            }
        }
    }
}

/// Serves the strong framing until the port is lost.
pub(super) async fn strong(tills: &Arc<Tills>, terminal: &TerminalId, port: &Path, baud: u32) -> anyhow::Result<()> {
    let mut port = open(port, baud)?;
    let mut reader = strong::Reader::default();
    let mut sent: Option<Sent> = None;
    let mut buffer = [0; 512];
    loop {
        let Some(count) = read_or_repeat(&mut port, &mut buffer, &mut sent).await? else { continue };
        for frame in buffer[..count].iter().filter_map(|byte| reader.take(*byte)).collect::<Vec<_>>() {
            if frame.flags & strong::RECEIPT != 0 {
                sent = sent.filter(|sent| sent.number != Some(frame.number));
                continue;
            }
            write(&mut port, &frame.reply(strong::RECEIPT).to_wire()).await?;
            let answer = answer_frame(tills, terminal, &frame, &mut port).await?;
            let wire = answer.to_wire();
            write(&mut port, &wire).await?;
            sent = Some(Sent { number: Some(frame.number), ..Sent::new(wire, STRONG_PATIENCE, STRONG_TRIES) });
        }
    }
}

/// What was sent and nobody has acknowledged yet.
struct Sent {
    bytes: Vec<u8>,
    number: Option<u16>,
    due: Instant,
    patience: Duration,
    tries_left: u32,
}

impl Sent {
    fn new(bytes: Vec<u8>, patience: Duration, tries: u32) -> Self {
        Self { bytes, number: None, due: Instant::now() + patience, patience, tries_left: tries - 1 }
    }
}

/// Reads some bytes; or sends again what is not acknowledged in time, and gives it up after the last try: the till asks
/// with its key.
async fn read_or_repeat(
    port: &mut (impl AsyncRead + AsyncWrite + Unpin),
    buffer: &mut [u8],
    sent: &mut Option<Sent>,
) -> anyhow::Result<Option<usize>> {
    let due = sent.as_ref().map(|sent| sent.due);
    tokio::select! {
        read = port.read(buffer) => {
            let count = read.context("read from the port")?;
            anyhow::ensure!(count > 0, "the port is gone");
            return Ok(Some(count));
        }
        () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
    }
    if let Some(mut again) = sent.take().filter(|sent| sent.tries_left > 0) {
        write(port, &again.bytes).await?;
        again.tries_left -= 1;
        again.due = Instant::now() + again.patience;
        *sent = Some(again);
    }
    Ok(None)
}

async fn write(port: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> anyhow::Result<()> {
    let writing = async {
        port.write_all(bytes).await?;
        port.flush().await
    };
    tokio::time::timeout(WRITE_WITHIN, writing).await.context("the port takes no bytes")?.context("write to the port")
}

pub(super) fn open(port: &Path, baud: u32) -> anyhow::Result<SerialStream> {
    let opened = tokio_serial::new(port.to_string_lossy(), baud).open_native_async();
    opened.with_context(|| format!("open {}", port.display()))
}

/// Asks what a frame says, and tells the till to wait on where that takes long.
async fn answer_frame(
    tills: &Arc<Tills>,
    terminal: &TerminalId,
    frame: &Frame,
    port: &mut (impl AsyncWrite + Unpin),
) -> anyhow::Result<Frame> {
    let asking = tills.answer_strong(terminal, frame);
    tokio::pin!(asking);
    loop {
        tokio::select! {
            outcome = &mut asking => return Ok(to_frame(frame, outcome)),
            () = tokio::time::sleep(WAIT_EVERY) => {
                write(port, &frame.reply(strong::ANSWER | strong::WAIT).to_wire()).await?;
            }
        }
    }
}

fn to_frame(asked: &Frame, outcome: Result<Answer, Problem>) -> Frame {
    let (flags, body) = match outcome {
        Ok(answer) if answer.replayed => (strong::REPLAYED, answer.body),
        Ok(answer) => (0, answer.body),
        Err(problem) => (strong::PROBLEM, problem.to_json()),
    };
    let body = serde_json::to_vec(&body).expect("a JSON value is always JSON");
    Frame { flags: strong::ANSWER | flags, body, ..asked.clone() }
}

impl Tills {
    /// The till at the end of a line, where it is not shut out.
    pub(super) async fn on_line(&self, terminal: &TerminalId) -> Result<Terminal, Problem> {
        let refused = || Problem::new(Code::TerminalRevoked, "this till is not registered or was shut out");
        self.terminal_named(terminal.as_str()).await?.ok_or_else(refused)
    }

    /// Answers a line of fields with one.
    pub(super) async fn answer_text(self: &Arc<Self>, terminal: &TerminalId, text: &str, separator: char) -> String {
        match self.on_line(terminal).await {
            Ok(terminal) => self.ask_in_text(&terminal, text, separator).await,
            Err(problem) => super::text::refusal(text, separator, problem),
        }
    }

    async fn answer_strong(self: &Arc<Self>, terminal: &TerminalId, frame: &Frame) -> Result<Answer, Problem> {
        let outcome = self.ask_in_frame(terminal, frame).await;
        if let Err(problem) = &outcome {
            (self.settings.reject)(problem.code().as_str());
        }
        outcome
    }

    async fn ask_in_frame(self: &Arc<Self>, terminal: &TerminalId, frame: &Frame) -> Result<Answer, Problem> {
        let terminal = self.on_line(terminal).await?;
        self.ask(&terminal, request(frame)?).await
    }
}

/// What a frame of the strong line asks.
pub(super) fn request(frame: &Frame) -> Result<Request, Problem> {
    let unknown = || Problem::field("verb", format!("{}; a number of docs/till-api.md is allowed", frame.verb));
    let verb = Verb::numbered(frame.verb).ok_or_else(unknown)?;
    let mut body: Map<String, Value> = if frame.body.is_empty() {
        Map::new()
    } else {
        serde_json::from_slice(&frame.body)
            .map_err(|e| Problem::new(Code::BadRequest, format!("body: {e}; a JSON object is allowed")))?
    };
    let number = body.remove("number").and_then(|value| value.as_u64());
    let in_shift = body.remove("in_shift").and_then(|value| value.as_u64());
    let shift = in_shift.map(|shift| u32::try_from(shift).unwrap_or(u32::MAX));
    let key = verb.writes().then(|| hex::encode(frame.key));
    Ok(Request { verb, key, number, shift, body })
}
