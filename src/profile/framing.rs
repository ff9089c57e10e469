//! Frames out of a stream of bytes: where one begins and ends, what its escapes hide, and how to go on after noise.

use std::sync::Arc;

use super::language::frame::{Escape, FrameWords, Part};
use super::layout::{self, Fault, Read};
use super::statement::CannotSend;
use super::template::Values;

/// One line's framing.
#[derive(Clone, Debug)]
pub struct Framing {
    words: Arc<FrameWords>,
    parts: Arc<[Part]>,
    escape: Option<Arc<Escapes>>,
}

/// How bytes are hidden within a frame.
#[derive(Debug)]
struct Escapes {
    byte: u8,
    /// Each hidden byte, and what stands for it behind the escape byte.
    pairs: Vec<(u8, u8)>,
    /// What any byte behind the escape byte may be combined with: some devices hide more than they must.
    xor: Option<u8>,
}

impl Escapes {
    fn new(words: &Escape) -> Self {
        let swaps = words.swaps.iter().filter_map(|(hidden, shown)| Some((swapped(hidden)?, *shown.0.first()?)));
        let hides = std::iter::once(words.byte).chain(words.hides.0.iter().copied());
        let pairs = match words.xor {
            Some(xor) => hides.map(|hidden| (hidden, hidden ^ xor)).collect(),
            None => swaps.collect(),
        };
        Self { byte: words.byte, pairs, xor: words.xor }
    }

    fn hidden(&self, byte: u8) -> Option<u8> {
        self.pairs.iter().find(|(hidden, _)| *hidden == byte).map(|(_, shown)| *shown)
    }

    fn shown(&self, behind: u8) -> Option<u8> {
        let swapped = || self.pairs.iter().find(|(_, shown)| *shown == behind).map(|(hidden, _)| *hidden);
        self.xor.map_or_else(swapped, |xor| Some(behind ^ xor))
    }
}

/// The byte that a profile names in `swaps`.
pub(super) fn swapped(name: &str) -> Option<u8> {
    match super::bytes(name).as_deref() {
        Ok([byte]) => Some(*byte),
        Ok(_) | Err(_) => None,
    }
}

/// The bytes that have come and are not yet a frame.
#[derive(Debug, Default)]
pub struct Waiting {
    bytes: Vec<u8>,
    /// Whether they came right behind a flag that ended a frame, and that may begin the next one too.
    is_behind_flag: bool,
}

impl Waiting {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

impl Framing {
    pub(super) fn new(words: &FrameWords) -> Self {
        let parts = words.parts.iter().map(|part| part.get_ref().clone()).collect();
        let escape = words.escape.as_ref().map(|escape| Arc::new(Escapes::new(escape)));
        Self { words: Arc::new(words.clone()), parts, escape }
    }

    /// A pause of so many milliseconds ends a frame.
    pub fn gap_ms(&self) -> u64 {
        *self.words.gap_ms.get_ref()
    }

    /// The frame with these values in it, as it goes over the wire.
    pub fn write(&self, values: &Values) -> Result<Vec<u8>, CannotSend> {
        let inner = layout::write(&self.parts, values)?;
        if inner.len() > self.bytes_max() {
            let allowed = format!("a frame of at most {} bytes", self.bytes_max());
            return Err(CannotSend::BadArgument("data".to_owned(), allowed));
        }
        let mut frame = self.start().to_vec();
        frame.extend(self.hidden(&inner));
        frame.extend_from_slice(self.end());
        Ok(frame)
    }

    /// What one whole frame means.
    pub fn read(&self, frame: &[u8]) -> Result<Read, Fault> {
        if frame.len() > self.longest() {
            return Err(Fault::TooLong);
        }
        let rest = frame.strip_prefix(self.start()).ok_or_else(|| Fault::NotThis("start".to_owned()))?;
        let inner = rest.strip_suffix(self.end()).ok_or(Fault::CutOff)?;
        layout::read(&self.parts, &self.shown(inner)?)
    }

    /// Whether anything tells a damaged frame from a whole one.
    pub fn has_check(&self) -> bool {
        self.parts.iter().any(|part| part.check.is_some() || part.crc.is_some())
    }

    /// The frame with each of its lengths one too high and one too low, and every check right again: for tests of what
    /// reads it.
    pub fn with_wrong_lengths(&self, frame: &[u8]) -> Vec<(Vec<u8>, String)> {
        let inner = frame.strip_prefix(self.start()).and_then(|rest| rest.strip_suffix(self.end()));
        let Some(Ok(inner)) = inner.map(|inner| self.shown(inner)) else { return Vec::new() };
        let whole = |inner: &[u8]| [self.start(), &self.hidden(inner), self.end()].concat();
        layout::with_wrong_lengths(&self.parts, &inner).into_iter().map(|(bytes, what)| (whole(&bytes), what)).collect()
    }

    /// Takes bytes as they come; gives every frame that is complete, and noise as what it is.
    pub fn take(&self, waiting: &mut Waiting, bytes: &[u8]) -> Vec<Result<Vec<u8>, Fault>> {
        waiting.bytes.extend_from_slice(bytes);
        let mut found = Vec::new();
        while !waiting.bytes.is_empty() {
            match self.next(&waiting.bytes, waiting.is_behind_flag) {
                Next::Wait if waiting.bytes.len() > self.longest() => {
                    *waiting = Waiting::default();
                    found.push(Err(Fault::TooLong));
                }
                Next::Wait => break,
                Next::Frame(length) => {
                    let rest = waiting.bytes.split_off(length);
                    found.push(Ok(std::mem::replace(&mut waiting.bytes, rest)));
                    waiting.is_behind_flag = self.has_flags();
                }
                Next::Shares(length) => {
                    found.push(Ok([self.start(), &waiting.bytes[..length]].concat()));
                    waiting.bytes.drain(..length);
                }
                Next::Idle(length) => {
                    waiting.bytes.drain(..length);
                    waiting.is_behind_flag = false;
                }
                Next::Noise(length, fault) => {
                    waiting.bytes.drain(..length.clamp(1, waiting.bytes.len()));
                    waiting.is_behind_flag = false;
                    if !matches!((&fault, found.last()), (Fault::NotThis(_), Some(Err(Fault::NotThis(_))))) {
                        found.push(Err(fault));
                    }
                }
            }
        }
        found
    }

    /// The line was quiet for the pause that ends a frame.
    pub fn quiet(&self, waiting: &mut Waiting) -> Option<Result<Vec<u8>, Fault>> {
        let bytes = std::mem::take(waiting).bytes;
        // A flag alone is a line that has nothing to say.
        if bytes.is_empty() || (self.has_flags() && bytes == self.start()) {
            return None;
        }
        // Where neither a length nor an end byte tells, the pause does.
        let is_whole = self.end().is_empty() && self.read(&bytes).is_ok();
        Some(if is_whole { Ok(bytes) } else { Err(Fault::CutOff) })
    }

    fn next(&self, bytes: &[u8], is_behind_flag: bool) -> Next {
        let start = self.start();
        if self.has_flags() && (is_behind_flag || bytes.starts_with(start)) && !start.starts_with(bytes) {
            return self.between_flags(bytes);
        }
        if !start.is_empty() {
            let begins = bytes.windows(start.len()).position(|window| window == start);
            match begins {
                Some(0) => {}
                Some(at) => return Next::Noise(at, Fault::NotThis("start".to_owned())),
                None => {
                    let keep = (1..start.len()).rev().find(|keep| bytes.ends_with(&start[..*keep])).unwrap_or(0);
                    if keep == bytes.len() {
                        return Next::Wait;
                    }
                    return Next::Noise(bytes.len() - keep, Fault::NotThis("start".to_owned()));
                }
            }
        }
        if !self.end().is_empty() {
            let inner = &bytes[start.len()..];
            let ends = inner.windows(self.end().len()).position(|window| window == self.end());
            return ends.map_or(Next::Wait, |at| Next::Frame(start.len() + at + self.end().len()));
        }
        let shown = match self.shown(&bytes[start.len()..]) {
            Ok(shown) => shown,
            Err(_) => return Next::Wait,
        };
        match layout::needed(&self.parts, &shown) {
            Ok(Some(length)) if length == 0 || length > self.bytes_max() => {
                Next::Noise(1, Fault::WrongLength("frame".to_owned()))
            }
            Ok(Some(length)) if length <= shown.len() => self.cut(bytes, length),
            Ok(Some(_) | None) => Next::Wait,
            Err(fault) => Next::Noise(1, fault),
        }
    }

    /// Where the same byte begins and ends frames: two of it in a row are no frame, and the second may begin one, so that
    /// neither an idle line nor a lost end puts all that follows out of step.
    fn between_flags(&self, bytes: &[u8]) -> Next {
        let flag = self.start();
        let next_flag = |bytes: &[u8]| bytes.windows(flag.len()).position(|window| window == flag);
        if let Some(inner) = bytes.strip_prefix(flag) {
            return match next_flag(inner) {
                Some(0) => Next::Idle(flag.len()),
                Some(at) => Next::Frame(flag.len() + at + flag.len()),
                None => Next::Wait,
            };
        }
        let Some(at) = next_flag(bytes) else { return Next::Wait };
        let whole = [flag, &bytes[..at + flag.len()]].concat();
        match self.read(&whole) {
            Ok(_) => Next::Shares(at + flag.len()),
            Err(_) => Next::Noise(at, Fault::NotThis("start".to_owned())),
        }
    }

    /// Whether the same bytes begin and end a frame.
    fn has_flags(&self) -> bool {
        !self.start().is_empty() && self.start() == self.end()
    }

    /// A length promises a frame; the check says whether it is one. If not, the length was noise too.
    fn cut(&self, bytes: &[u8], length: usize) -> Next {
        let on_the_wire = self.start().len() + self.wire_length(&bytes[self.start().len()..], length);
        match self.read(&bytes[..on_the_wire]) {
            Ok(_) => Next::Frame(on_the_wire),
            Err(fault) => Next::Noise(1, fault),
        }
    }

    fn start(&self) -> &[u8] {
        self.words.start.as_ref().map_or(&[], |hex| &hex.0)
    }

    fn end(&self) -> &[u8] {
        self.words.end.as_ref().map_or(&[], |hex| &hex.0)
    }

    fn bytes_max(&self) -> usize {
        *self.words.bytes_max.get_ref()
    }

    /// Every byte may be escaped, besides start and end.
    fn longest(&self) -> usize {
        2 * self.bytes_max() + self.start().len() + self.end().len()
    }

    fn hidden(&self, inner: &[u8]) -> Vec<u8> {
        let Some(escape) = &self.escape else { return inner.to_vec() };
        let mut out = Vec::with_capacity(inner.len());
        for byte in inner {
            match escape.hidden(*byte) {
                Some(shown) => out.extend([escape.byte, shown]),
                None => out.push(*byte),
            }
        }
        out
    }

    fn shown(&self, inner: &[u8]) -> Result<Vec<u8>, Fault> {
        let Some(escape) = &self.escape else { return Ok(inner.to_vec()) };
        let mut out = Vec::with_capacity(inner.len());
        let mut bytes = inner.iter();
        while let Some(byte) = bytes.next() {
            if *byte == escape.byte {
                let behind = *bytes.next().ok_or(Fault::CutOff)?;
                out.push(escape.shown(behind).ok_or_else(|| Fault::NotThis("escape".to_owned()))?);
            } else {
                out.push(*byte);
            }
        }
        Ok(out)
    }

    /// How many bytes on the wire stand for so many shown ones.
    fn wire_length(&self, wire: &[u8], shown: usize) -> usize {
        let Some(escape) = &self.escape else { return shown };
        let mut at = 0;
        for _ in 0..shown {
            at += if wire.get(at) == Some(&escape.byte) { 2 } else { 1 };
        }
        at.min(wire.len())
    }
}

enum Next {
    Wait,
    Frame(usize),
    /// A frame whose beginning is the flag that ended the one before.
    Shares(usize),
    /// A flag that begins nothing.
    Idle(usize),
    Noise(usize, Fault),
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELIMITED: &str = r#"
        start = "7E"
        end = "7E"
        escape = { byte = 0x7D, xor = 0x20, hides = "7E" }
        gap_ms = 20
        parts = [{ name = "command" }, { bytes_of = "data" }, { name = "check", check = "sum", over = ["command", "data"] }]
    "#;
    const COUNTED: &str = r#"
        gap_ms = 20
        parts = [
          { always = "AA 55" },
          { name = "length", bytes = 2, order = "low-first", counts = ["length", "check"], add = 1 },
          { name = "command" },
          { bytes_of = "data" },
          { name = "check", bytes = 2, check = "crc16-x25", over = ["length", "data"] },
        ]
    "#;

    #[test]
    fn escapes_hide_start_end_and_themselves() {
        let framing = framing(DELIMITED);
        let frame = framing.write(&values(1, &[0x7E, 0x7D, 0x20])).expect("written");
        assert_eq!(hex::encode(&frame), "7e017d5e7d5d201c7e");
        assert_eq!(framing.read(&frame).expect("read").values["data"], "7E7D20");
    }

    /// SLIP, as RFC 1055 has it.
    const SLIP: &str = r#"
        start = "C0"
        end = "C0"
        escape = { byte = 0xDB, swaps = { C0 = "DC", DB = "DD" } }
        gap_ms = 20
        parts = [{ name = "command" }, { bytes_of = "data" }, { name = "check", check = "sum", over = ["command", "data"] }]
    "#;

    #[test]
    fn escapes_may_put_another_byte_in_the_place_of_each() {
        let framing = framing(SLIP);
        let frame = framing.write(&values(1, &[0xC0, 0xDB, 0xDC, 0xDD])).expect("written");
        assert_eq!(hex::encode(&frame), "c001dbdcdbdddcdd55c0");
        assert_eq!(framing.read(&frame).expect("read").values["data"], "C0DBDCDD");
        let other = hex::decode("c001db2055c0").expect("hex");
        assert_eq!(framing.read(&other).err(), Some(Fault::NotThis("escape".to_owned())), "nothing else is hidden");
    }

    #[test]
    fn frames_come_out_of_a_stream_in_any_pieces_and_after_noise() {
        for text in [DELIMITED, COUNTED, SLIP] {
            let framing = framing(text);
            let one = framing.write(&values(1, &[1, 2, 0x7D, 0xC0])).expect("written");
            let two = framing.write(&values(2, &[])).expect("written");
            let stream: Vec<u8> = [&[0x00, 0x13][..], &one, &two].concat();
            for size in 1..stream.len() {
                let mut waiting = Waiting::default();
                let found: Vec<Vec<u8>> = stream
                    .chunks(size)
                    .flat_map(|piece| framing.take(&mut waiting, piece))
                    .filter_map(Result::ok)
                    .collect();
                assert_eq!(found, [one.clone(), two.clone()], "in pieces of {size}");
            }
        }
    }

    /// Eight bits that nobody meant as a frame, or that got lost, cost no frame but the one to which they belonged.
    #[test]
    fn idle_flags_and_lost_ones_put_nothing_out_of_step() {
        for text in [DELIMITED, SLIP] {
            let framing = framing(text);
            let frames: Vec<Vec<u8>> =
                (1..=5).map(|command| framing.write(&values(command, &[9, 8])).expect("written")).collect();
            let flag = frames[0][0];
            let end_lost = |frame: &[u8]| frame[..frame.len() - 1].to_vec();
            let start_lost = |frame: &[u8]| frame[1..].to_vec();
            let of = |first: Vec<u8>| [vec![first], frames[1..].to_vec()].concat().concat();
            for (what, stream, count) in [
                ("an idle flag before", [&[flag][..], &frames.concat()].concat(), 5),
                ("three idle flags before", [&[flag; 3][..], &frames.concat()].concat(), 5),
                ("two ends", of([&frames[0][..], &[flag]].concat()), 5),
                ("a lost end", of(end_lost(&frames[0])), 5),
                (
                    "one flag between",
                    [end_lost(&frames[0]), frames[1..].iter().flat_map(|f| end_lost(f)).collect(), vec![flag]].concat(),
                    5,
                ),
                ("a lost start", of(start_lost(&frames[0])), 4),
                ("a start and an end lost", of([&start_lost(&frames[0])[..1], &end_lost(&frames[0])].concat()), 5),
                ("noise between", of([&frames[0][..], &[0x11, 0x22]].concat()), 5),
            ] {
                for size in [1, 3, stream.len()] {
                    let mut waiting = Waiting::default();
                    let taken =
                        stream.chunks(size).flat_map(|piece| framing.take(&mut waiting, piece)).collect::<Vec<_>>();
                    let whole: Vec<Vec<u8>> =
                        taken.into_iter().flatten().filter(|frame| framing.read(frame).is_ok()).collect();
                    assert_eq!(whole, frames[5 - count..], "{what}, in pieces of {size}");
                    assert_eq!(framing.quiet(&mut waiting), None, "{what}: nothing is left over");
                }
            }
            let mut waiting = Waiting::default();
            assert!(framing.take(&mut waiting, &[flag]).is_empty());
            assert_eq!(framing.quiet(&mut waiting), None, "an idle flag is no fault");
        }
    }

    #[test]
    fn a_length_that_promises_too_much_ends_with_the_pause() {
        let framing = framing(COUNTED);
        let mut waiting = Waiting::default();
        let frame = framing.write(&values(1, &[1, 2, 3])).expect("written");
        assert!(framing.take(&mut waiting, &frame[..frame.len() - 1]).is_empty());
        assert_eq!(framing.quiet(&mut waiting), Some(Err(Fault::CutOff)));
        assert_eq!(framing.take(&mut waiting, &frame), [Ok(frame)]);
    }

    #[test]
    fn a_line_that_never_makes_a_frame_is_given_up() {
        let framing = framing(DELIMITED);
        let mut waiting = Waiting::default();
        let noise = [&[0x7E][..], &[0x11; 20_000]].concat();
        assert!(framing.take(&mut waiting, &noise).contains(&Err(Fault::TooLong)));
    }

    fn framing(text: &str) -> Framing {
        Framing::new(&toml::from_str(text).expect("right words"))
    }

    fn values(command: i64, data: &[u8]) -> Values {
        use super::super::template::Value;
        Values::from([
            ("command".to_owned(), Value::Integer(command)),
            ("data".to_owned(), Value::Bytes(data.to_vec())),
        ])
    }
}
