//! From bytes to values: every part in turn, every length and every check looked at, each step told for people.

use std::ops::Range;

use serde_json::{Map, Value};

use super::super::language::frame::{Charset, Digits, Order, Part};
use super::writing::{checked, covered};
use super::{Fault, Kind, ROWS_MAX, argument, called, kind, span, width};

/// What bytes mean by a layout.
#[derive(Clone, Debug, Default)]
pub struct Read {
    /// The named parts: numbers, texts, bytes in hex, lists of rows.
    pub values: Map<String, Value>,
    /// Where each named part stands.
    pub places: Vec<(String, Range<usize>)>,
    /// What was seen, part by part.
    pub steps: Vec<Step>,
}

/// One part as a person reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The part.
    pub part: String,
    /// Where it stands.
    pub at: Range<usize>,
    /// What it says.
    pub says: String,
}

/// Reads bytes that must fit the layout exactly.
pub fn read(parts: &[Part], bytes: &[u8]) -> Result<Read, Fault> {
    let (read, used) = read_front(parts, bytes, true)?;
    if used < bytes.len() { Err(Fault::LeftOver(bytes.len() - used)) } else { Ok(read) }
}

/// How many bytes a frame has that begins like this; `None` while too few have come, or where only a pause tells.
pub fn needed(parts: &[Part], so_far: &[u8]) -> Result<Option<usize>, Fault> {
    let mut cursor = Cursor::new(parts, so_far, false);
    for (n, part) in parts.iter().enumerate() {
        let Some(length) = cursor.length(n) else { return Ok(None) };
        let length = length?;
        if cursor.at + length > so_far.len() {
            // What follows may have a length of its own that is not here yet.
            let rest: Option<usize> = parts[n + 1..].iter().map(|part| width(part).or(cursor.promised(part))).sum();
            return Ok(rest.map(|rest| cursor.at + length + rest));
        }
        cursor.take(n, part, length)?;
    }
    Ok(Some(cursor.at))
}

/// Reads from the front; tells how many bytes it took. `to_the_end` says that the last part without a length takes all.
fn read_front(parts: &[Part], bytes: &[u8], to_the_end: bool) -> Result<(Read, usize), Fault> {
    let mut cursor = Cursor::new(parts, bytes, to_the_end);
    let mut read = Read::default();
    for (n, part) in parts.iter().enumerate() {
        if let Kind::Each(_) = kind(part) {
            cursor.rows(n, part, &mut read)?;
            continue;
        }
        let length = cursor.length(n).ok_or(Fault::CutOff)??;
        if cursor.at + length > bytes.len() {
            return Err(Fault::CutOff);
        }
        cursor.take(n, part, length)?;
        let at = cursor.ranges[n].clone();
        let value = cursor.meaning(part, &bytes[at.clone()])?;
        read.note(part, at, value);
    }
    cursor.lengths_fit()?;
    cursor.checks_fit(&mut read)?;
    Ok((read, cursor.at))
}

impl Read {
    fn note(&mut self, part: &Part, at: Range<usize>, value: Option<Value>) {
        let name = if called(part).is_empty() { "(fixed)" } else { called(part) };
        let says = match &value {
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
            None => "as it must be".to_owned(),
        };
        self.steps.push(Step { part: name.to_owned(), at: at.clone(), says });
        if !called(part).is_empty() {
            self.places.push((called(part).to_owned(), at));
            if let Some(value) = value {
                self.values.insert(called(part).to_owned(), value);
            }
        }
    }
}

struct Cursor<'p, 'b> {
    parts: &'p [Part],
    bytes: &'b [u8],
    to_the_end: bool,
    at: usize,
    ranges: Vec<Range<usize>>,
    /// What the lengths read so far promise: first part, last part, bytes, and the part that says so.
    promises: Vec<(usize, usize, i64, &'p Part)>,
    row_counts: Vec<(&'p str, i64)>,
}

impl<'p, 'b> Cursor<'p, 'b> {
    fn new(parts: &'p [Part], bytes: &'b [u8], to_the_end: bool) -> Self {
        let ranges = Vec::with_capacity(parts.len());
        Self { parts, bytes, to_the_end, at: 0, ranges, promises: Vec::new(), row_counts: Vec::new() }
    }

    /// The length of the part that comes next; `None` where nothing tells it.
    fn length(&self, n: usize) -> Option<Result<usize, Fault>> {
        let part = &self.parts[n];
        if let Some(width) = width(part) {
            return Some(Ok(width));
        }
        if let Some(ends) = part.ends.as_ref().filter(|ends| !ends.0.is_empty()) {
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            let found = rest.windows(ends.0.len()).position(|window| window == ends.0);
            return found.map(|at| Ok(at + ends.0.len()));
        }
        if let Some((first, last, bytes, said_by)) =
            self.promises.iter().rev().find(|(f, l, ..)| (*f..=*l).contains(&n))
        {
            let before: usize = self.ranges[*first..n].iter().map(Range::len).sum();
            let after: usize = self.parts[n + 1..=*last].iter().filter_map(width).sum();
            let length = bytes.saturating_sub(i64::try_from(before + after).unwrap_or(i64::MAX));
            return Some(usize::try_from(length).map_err(|_| Fault::WrongLength(called(said_by).to_owned())));
        }
        if self.to_the_end && matches!(kind(part), Kind::Text | Kind::Bytes) {
            let after: usize = self.parts[n + 1..].iter().map(|part| width(part).unwrap_or(0)).sum();
            return Some(self.bytes.len().checked_sub(self.at + after).ok_or(Fault::CutOff));
        }
        None
    }

    /// For a part behind the next one: its length where one part's length was already told.
    fn promised(&self, part: &Part) -> Option<usize> {
        let n = self.parts.iter().position(|other| std::ptr::eq(other, part))?;
        let (.., bytes, _) = self.promises.iter().find(|(first, last, ..)| *first == n && *last == n)?;
        usize::try_from(*bytes).ok()
    }

    /// Goes past the next part and remembers what it promises.
    fn take(&mut self, n: usize, part: &'p Part, length: usize) -> Result<(), Fault> {
        let at = self.at..self.at + length;
        let own = &self.bytes[at.clone()];
        match kind(part) {
            Kind::Always(bytes) if own != bytes => return Err(Fault::NotThis(label(part, n))),
            Kind::Counts(_) => {
                let bytes = number_of(part, own)?.saturating_sub(part.add);
                if let Some((first, last)) = span(self.parts, &part.counts) {
                    self.promises.push((first, last, bytes, part));
                }
            }
            Kind::CountOf(_, rows) => {
                self.row_counts.push((rows, number_of(part, own)?.saturating_sub(part.add)));
            }
            Kind::Always(_)
            | Kind::Reserved(_)
            | Kind::Number(_)
            | Kind::Text
            | Kind::Bytes
            | Kind::Each(_)
            | Kind::Check(..) => {}
        }
        self.at = at.end;
        self.ranges.push(at);
        Ok(())
    }

    fn rows(&mut self, n: usize, part: &'p Part, read: &mut Read) -> Result<(), Fault> {
        let start = self.at;
        let count = self.row_counts.iter().find(|(name, _)| *name == called(part) || *name == argument(part));
        let count = count.and_then(|(_, count)| usize::try_from(*count).ok()).filter(|count| *count <= ROWS_MAX);
        let count = count.ok_or_else(|| Fault::WrongLength(label(part, n)))?;
        let mut rows = Vec::with_capacity(count);
        for row in 0..count {
            let between = part.between.as_ref().filter(|_| row > 0);
            if let Some(between) = between {
                let rest = self.bytes.get(self.at..).unwrap_or_default();
                if !rest.starts_with(&between.0) {
                    return Err(Fault::NotThis(label(part, n)));
                }
                self.at += between.0.len();
            }
            let rest = self.bytes.get(self.at..).ok_or(Fault::CutOff)?;
            let (found, used) = read_front(&part.parts, rest, false)?;
            for step in found.steps {
                let at = self.at + step.at.start..self.at + step.at.end;
                read.steps.push(Step { part: format!("{}[{row}].{}", called(part), step.part), at, says: step.says });
            }
            rows.push(Value::Object(found.values));
            self.at += used;
        }
        self.ranges.push(start..self.at);
        read.places.push((called(part).to_owned(), start..self.at));
        read.values.insert(called(part).to_owned(), Value::Array(rows));
        Ok(())
    }

    fn meaning(&self, part: &Part, own: &[u8]) -> Result<Option<Value>, Fault> {
        Ok(match kind(part) {
            Kind::Always(_) | Kind::Each(_) | Kind::Check(..) => None,
            Kind::Reserved(_) | Kind::Bytes => Some(Value::String(hex::encode_upper(own))),
            Kind::Number(_) => {
                let wire = number_of(part, own)?;
                let value = unscaled(part, wire);
                // Eight bytes with the highest bit set are large, not negative.
                Some(if value == wire { wire.cast_unsigned().into() } else { value.into() })
            }
            Kind::Counts(_) | Kind::CountOf(..) => Some(number_of(part, own)?.into()),
            Kind::Text => {
                let ends = part.ends.as_ref().map_or(0, |ends| ends.0.len());
                let text = decoded(part.charset, &own[..own.len() - ends]);
                Some(Value::String(text.ok_or_else(|| Fault::BadText(called(part).to_owned()))?))
            }
        })
    }

    /// A length that did not decide where its parts end is looked at all the same.
    fn lengths_fit(&self) -> Result<(), Fault> {
        for (first, last, bytes, said_by) in &self.promises {
            let found: usize = self.ranges[*first..=*last].iter().map(Range::len).sum();
            if i64::try_from(found).unwrap_or(i64::MAX) != *bytes {
                return Err(Fault::WrongLength(called(said_by).to_owned()));
            }
        }
        Ok(())
    }

    fn checks_fit(&self, read: &mut Read) -> Result<(), Fault> {
        for (n, part) in self.parts.iter().enumerate() {
            let Kind::Check(width, check) = kind(part) else { continue };
            let over = covered(self.parts, part, &self.ranges);
            let found = number_of(part, &self.bytes[self.ranges[n].clone()])?;
            let right = checked(part, check, &self.bytes[over.clone()], width);
            if right.is_none_or(|right| found != right.cast_signed()) {
                return Err(Fault::WrongCheck(label(part, n)));
            }
            if let Some(step) = read.steps.iter_mut().find(|step| step.at == self.ranges[n]) {
                step.says = format!("right over bytes {} to {}", over.start, over.end.saturating_sub(1));
            }
        }
        Ok(())
    }
}

fn label(part: &Part, n: usize) -> String {
    if called(part).is_empty() { format!("{}", n + 1) } else { called(part).to_owned() }
}

/// The number that a part's bytes or digits say.
fn number_of(part: &Part, own: &[u8]) -> Result<i64, Fault> {
    let bad = || Fault::BadText(called(part).to_owned());
    let is_right = |is: fn(&u8) -> bool| own.iter().all(is);
    let (radix, is_right) = match part.digits {
        Digits::None => return Ok(as_number(own, part.order)),
        Digits::Hex => (16, is_right(|byte| matches!(byte, b'0'..=b'9' | b'A'..=b'F'))),
        Digits::HexSmall => (16, is_right(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))),
        Digits::Decimal => (10, is_right(u8::is_ascii_digit)),
    };
    let text = std::str::from_utf8(own).ok().filter(|_| is_right).ok_or_else(bad)?;
    i64::from_str_radix(text, radix).map_err(|_| bad())
}

fn as_number(bytes: &[u8], order: Order) -> i64 {
    let number = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
    let value = match order {
        Order::HighFirst => bytes.iter().fold(0, number),
        Order::LowFirst => bytes.iter().rev().fold(0, number),
    };
    value.cast_signed()
}

/// The value behind a number on the wire; the number itself where the scale does not divide it.
fn unscaled(part: &Part, wire: i64) -> i64 {
    let value = wire.checked_sub(part.base).and_then(|value| value.checked_mul(part.divided_by));
    match value {
        Some(value) if value.checked_rem(part.times) == Some(0) => value / part.times,
        Some(_) | None => wire,
    }
}

fn decoded(charset: Charset, bytes: &[u8]) -> Option<String> {
    match charset {
        Charset::Utf8 => String::from_utf8(bytes.to_vec()).ok(),
        Charset::Ascii => bytes.is_ascii().then(|| String::from_utf8_lossy(bytes).into_owned()),
        Charset::Gbk => {
            encoding_rs::GBK.decode_without_bom_handling_and_without_replacement(bytes).map(|text| text.into_owned())
        }
    }
}
