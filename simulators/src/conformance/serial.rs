//! The till's end of a serial line, in both framings, written from the document alone.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use serde_json::{Map, Value, json};

use super::{Ask, Cut, Heard, Options, Verb, text};

const STX: u8 = 0x02;
const ETX: u8 = 0x03;
const ACK: u8 = 0x06;
const NAK: u8 = 0x15;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(12);
/// After so long without a receipt a frame is sent again.
const AGAIN: Duration = Duration::from_millis(900);

/// Opens a port as it is set up, raw.
pub(super) fn open(port: &Path) -> Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let line = rustix::fs::open(port, flags, Mode::empty()).with_context(|| format!("open {}", port.display()))?;
    let mut mode = tcgetattr(&line).context("read the port's mode")?;
    mode.make_raw();
    tcsetattr(&line, OptionalActions::Now, &mode).context("make the port raw")?;
    Ok(line)
}

/// Bytes in and out.
struct Bytes {
    line: OwnedFd,
    waiting: Vec<u8>,
}

impl Bytes {
    fn new(line: OwnedFd) -> Self {
        Self { line, waiting: Vec::new() }
    }

    fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            match rustix::io::write(&self.line, bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(Errno::AGAIN) => self.ready(PollFlags::OUT, Instant::now() + PATIENCE)?,
                Err(error) => return Err(error).context("write to the line"),
            }
        }
        Ok(())
    }

    /// The next byte, or none where none comes in time.
    fn next(&mut self, until: Instant) -> Result<Option<u8>> {
        while self.waiting.is_empty() {
            if Instant::now() >= until {
                return Ok(None);
            }
            let mut piece = [0; 512];
            match rustix::io::read(&self.line, &mut piece) {
                Ok(0) | Err(Errno::AGAIN) => self.ready(PollFlags::IN, until)?,
                Ok(count) => self.waiting.extend(piece[..count].iter().rev()),
                Err(error) => return Err(error).context("read from the line"),
            }
        }
        Ok(self.waiting.pop())
    }

    fn ready(&self, flags: PollFlags, until: Instant) -> Result<()> {
        let left = until.saturating_duration_since(Instant::now());
        let timeout = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
        match poll(&mut [PollFd::new(&self.line, flags)], Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error).context("wait for the line"),
        }
    }
}

/// STX, fields, ETX, check byte.
pub(super) struct Classic {
    bytes: Bytes,
    seed: u8,
    with_stx: bool,
}

impl Classic {
    pub(super) fn new(line: OwnedFd, options: &Options) -> Self {
        Self { bytes: Bytes::new(line), seed: options.check_seed, with_stx: options.check_with_stx }
    }

    pub(super) fn ask(&mut self, ask: &Ask<'_>) -> Result<Heard> {
        let text = text::line(ask, '|');
        let mut frame = vec![STX];
        frame.extend(text.as_bytes());
        frame.extend([ETX, self.check(text.as_bytes())]);
        if ask.cut == Cut::InRequest {
            self.bytes.write(&frame[..frame.len() / 2])?;
            return Ok(Heard::Nothing);
        }
        self.bytes.write(&frame)?;
        if ask.cut == Cut::AfterRequest {
            return Ok(Heard::Nothing);
        }
        let until = Instant::now() + PATIENCE;
        let mut again = Instant::now() + AGAIN;
        let mut is_taken = false;
        loop {
            match self.bytes.next(again.min(until))? {
                Some(ACK) => is_taken = true,
                Some(NAK) => self.bytes.write(&frame)?,
                Some(STX) => {
                    if let Some(answer) = self.answer(until)? {
                        if ask.cut == Cut::BeforeAnswer {
                            return Ok(Heard::Nothing);
                        }
                        self.bytes.write(&[ACK])?;
                        if let Some(heard) = text::heard(&answer, ask, '|') {
                            return Ok(heard);
                        }
                    } else {
                        self.bytes.write(&[NAK])?;
                    }
                }
                Some(_) => {}
                None if Instant::now() >= until => return Ok(Heard::Nothing),
                None => {
                    if !is_taken {
                        self.bytes.write(&frame)?;
                    }
                    again = Instant::now() + AGAIN;
                }
            }
        }
    }

    /// The text of a frame whose STX was read; none where it is damaged.
    fn answer(&mut self, until: Instant) -> Result<Option<String>> {
        let mut text = Vec::new();
        loop {
            match self.bytes.next(until)? {
                Some(ETX) => break,
                Some(byte) => text.push(byte),
                None => return Ok(None),
            }
        }
        let check = self.bytes.next(until)?;
        Ok((check == Some(self.check(&text))).then(|| String::from_utf8_lossy(&text).into_owned()))
    }

    fn check(&self, text: &[u8]) -> u8 {
        let start = self.seed ^ ETX ^ if self.with_stx { STX } else { 0 };
        text.iter().fold(start, |check, byte| check ^ byte)
    }
}

/// COBS and CRC-32.
pub(super) struct Strong {
    bytes: Bytes,
    exchange: u16,
}

const ANSWER: u8 = 0x01;
const RECEIPT: u8 = 0x02;
const WAIT: u8 = 0x04;
const PROBLEM: u8 = 0x08;
const REPLAYED: u8 = 0x10;

impl Strong {
    pub(super) fn new(line: OwnedFd) -> Self {
        Self { bytes: Bytes::new(line), exchange: 0 }
    }

    pub(super) fn ask(&mut self, ask: &Ask<'_>) -> Result<Heard> {
        self.exchange = self.exchange.wrapping_add(1);
        let exchange = self.exchange;
        let frame = self.frame(0, exchange, ask.verb, &key(ask.shift, ask.number), &body(ask));
        if ask.cut == Cut::InRequest {
            self.bytes.write(&frame[..frame.len() / 2])?;
            // What follows would be read as the rest of it: the line's silence is a zero byte here.
            self.bytes.write(&[0])?;
            return Ok(Heard::Nothing);
        }
        self.bytes.write(&frame)?;
        if ask.cut == Cut::AfterRequest {
            return Ok(Heard::Nothing);
        }
        let until = Instant::now() + PATIENCE;
        let mut again = Instant::now() + AGAIN;
        let mut is_taken = false;
        loop {
            let Some((flags, number, body)) = self.read(again.min(until))? else {
                if Instant::now() >= until {
                    return Ok(Heard::Nothing);
                }
                if !is_taken {
                    self.bytes.write(&frame)?;
                }
                again = Instant::now() + AGAIN;
                continue;
            };
            if flags & RECEIPT != 0 {
                is_taken |= number == exchange;
            } else if flags & ANSWER != 0 && flags & WAIT == 0 {
                if number == exchange && ask.cut == Cut::BeforeAnswer {
                    return Ok(Heard::Nothing);
                }
                let receipt = self.frame(RECEIPT, number, ask.verb, &[0; 16], b"");
                self.bytes.write(&receipt)?;
                if number == exchange {
                    return heard(flags, &body);
                }
            }
        }
    }

    fn frame(&self, flags: u8, number: u16, verb: Verb, key: &[u8; 16], body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![1, flags];
        bytes.extend(number.to_be_bytes());
        bytes.push(verb.number());
        bytes.extend(key);
        bytes.extend(body);
        bytes.extend(crc32(&bytes).to_be_bytes());
        let mut wire = stuff(&bytes);
        wire.push(0);
        wire
    }

    /// Flags, number and body of the next whole frame.
    fn read(&mut self, until: Instant) -> Result<Option<(u8, u16, Vec<u8>)>> {
        let mut wire = Vec::new();
        loop {
            match self.bytes.next(until)? {
                None => return Ok(None),
                Some(0) => {
                    let bytes = unstuff(&std::mem::take(&mut wire));
                    if bytes.len() >= 25 && crc32(&bytes[..bytes.len() - 4]).to_be_bytes() == bytes[bytes.len() - 4..] {
                        let number = u16::from_be_bytes([bytes[2], bytes[3]]);
                        return Ok(Some((bytes[1], number, bytes[21..bytes.len() - 4].to_vec())));
                    }
                }
                Some(byte) => wire.push(byte),
            }
        }
    }
}

fn heard(flags: u8, body: &[u8]) -> Result<Heard> {
    let body: Value = serde_json::from_slice(body).context("read the answer's body")?;
    if flags & PROBLEM != 0 {
        return Ok(Heard::Refused(body["code"].as_str().unwrap_or("none").to_owned()));
    }
    Ok(Heard::Done(body, flags & REPLAYED != 0))
}

fn body(ask: &Ask<'_>) -> Vec<u8> {
    let mut fields: Map<String, Value> = ask.fields.clone();
    if let Some(original) = fields.remove("original").and_then(|number| number.as_u64()) {
        let name = if ask.verb == Verb::Reverse { "original_key" } else { "key" };
        let key: String = key(ask.shift, original).iter().map(|byte| format!("{byte:02x}")).collect();
        fields.insert(name.to_owned(), json!(key));
    }
    if ask.verb.writes() {
        fields.insert("number".to_owned(), json!(ask.number));
        fields.insert("in_shift".to_owned(), json!(ask.shift));
    }
    Value::Object(fields).to_string().into_bytes()
}

fn key(shift: u64, number: u64) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&shift.to_be_bytes());
    key[8..].copy_from_slice(&number.to_be_bytes());
    key
}

/// CRC-32/ISO-HDLC, bit by bit: slow, short, and nobody else's.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 };
        }
    }
    !crc
}

/// Consistent Overhead Byte Stuffing, as Cheshire and Baker published it.
fn stuff(bytes: &[u8]) -> Vec<u8> {
    let mut wire = Vec::new();
    let mut block = Vec::new();
    for byte in bytes.iter().chain([&0]) {
        if *byte != 0 {
            block.push(*byte);
        }
        if *byte == 0 || block.len() == 254 {
            wire.push(u8::try_from(block.len() + 1).expect("a block has at most 254 bytes"));
            wire.append(&mut block);
        }
    }
    wire
}

fn unstuff(wire: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = wire;
    while let Some((&code, after)) = rest.split_first() {
        let (block, next) = after.split_at(after.len().min(usize::from(code).saturating_sub(1)));
        bytes.extend(block);
        if code < 0xFF && !next.is_empty() {
            bytes.push(0);
        }
        rest = next;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use anyhow::ensure;

    use super::*;

    #[test]
    fn the_frame_is_the_documents() -> Result<()> {
        let (master, _slave, _) = crate::relay_board::open_line()?;
        let frame = Strong::new(master).frame(0, 1, Verb::Status, b"0123456789abcdef", b"{}");
        let hex: String = frame.iter().map(|byte| format!("{byte:02x}")).collect();
        ensure!(include_str!("../../../docs/till-api.md").contains(&hex), "docs/till-api.md lacks {hex}");
        let long: Vec<u8> = (0..1000_u32).map(|n| u8::try_from(n % 7 * (n % 256) % 256).unwrap_or(0)).collect();
        ensure!(unstuff(&stuff(&long)) == long && crc32(b"123456789") == 0xCBF4_3926);
        Ok(())
    }
}
