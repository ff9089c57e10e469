//! Bytes laid out part by part, as a profile lists them: one list says how they are written and how they are read.

mod reading;
mod writing;

pub use reading::{Read, Step, needed, read};
pub use writing::{holds, with_wrong_lengths, write};

use super::checks::Check;
use super::language::frame::{Digits, Part};

/// Why bytes are not what a layout describes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// They end too early.
    #[error("the frame is cut off")]
    CutOff,
    /// Bytes are left over.
    #[error("{0} bytes are left over")]
    LeftOver(usize),
    /// A part that is always the same is something else.
    #[error("the part {0} is not what it always is")]
    NotThis(String),
    /// A length says something else than there is.
    #[error("the part {0} gives a wrong length")]
    WrongLength(String),
    /// A check does not fit.
    #[error("the check {0} is wrong")]
    WrongCheck(String),
    /// A text is not written in its character set.
    #[error("the text {0} is not in its character set")]
    BadText(String),
    /// More bytes than such a frame may have.
    #[error("the frame is too long")]
    TooLong,
}

impl Fault {
    /// The name under which it is counted.
    pub fn name(&self) -> &'static str {
        match self {
            Self::CutOff => "frame-cut-off",
            Self::LeftOver(_) => "bytes-left-over",
            Self::NotThis(_) => "not-this-frame",
            Self::WrongLength(_) => "wrong-length",
            Self::WrongCheck(_) => "wrong-checksum",
            Self::BadText(_) => "bad-text",
            Self::TooLong => "frame-too-long",
        }
    }
}

/// Rows that are read of one frame; a screen has four lines.
pub const ROWS_MAX: usize = 64;

/// What a part is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind<'p> {
    Always(&'p [u8]),
    Reserved(usize),
    Number(usize),
    Text,
    Bytes,
    Counts(usize),
    CountOf(usize, &'p str),
    Each(&'p str),
    Check(usize, Check),
}

/// Digits of a number that is written out, hex ones among them: more do not fit one.
pub(super) const NUMBER_DIGITS_MAX: usize = 15;

/// What a part is; the check of the profile has made sure that it is one thing only.
pub(super) fn kind(part: &Part) -> Kind<'_> {
    let width = part.bytes.unwrap_or(1).clamp(1, 8);
    let check = part.check.map(Check::named).or(part.crc.map(Check::Crc));
    if let Some(bytes) = &part.always {
        Kind::Always(&bytes.0)
    } else if part.reserved {
        Kind::Reserved(part.bytes.unwrap_or(1))
    } else if part.text.is_some() {
        Kind::Text
    } else if part.bytes_of.is_some() {
        Kind::Bytes
    } else if !part.counts.is_empty() {
        Kind::Counts(width)
    } else if let Some(rows) = &part.count_of {
        Kind::CountOf(width, rows)
    } else if let Some(rows) = &part.each {
        Kind::Each(rows)
    } else if let Some(check) = check {
        Kind::Check(width, check)
    } else if part.digits == Digits::None {
        Kind::Number(width)
    } else {
        Kind::Number(part.bytes.unwrap_or(1).clamp(1, NUMBER_DIGITS_MAX))
    }
}

/// How many of the exclusive words say what a part is; 1 is right, and 0 where it is a number by its name alone.
pub(super) fn kinds_said(part: &Part) -> usize {
    let said = [
        part.always.is_some(),
        part.reserved,
        part.number.is_some(),
        part.text.is_some(),
        part.bytes_of.is_some(),
        !part.counts.is_empty(),
        part.count_of.is_some(),
        part.each.is_some(),
        part.check.is_some(),
        part.crc.is_some(),
    ];
    said.into_iter().filter(|said| *said).count()
}

/// How a part is called: by its name, or by the argument that it holds.
pub(super) fn called(part: &Part) -> &str {
    let by_argument = [&part.number, &part.text, &part.bytes_of, &part.each];
    let own = part.name.as_deref();
    own.or_else(|| by_argument.into_iter().flatten().next().map(String::as_str)).unwrap_or("")
}

/// The argument that a number, text or run of bytes holds.
pub(super) fn argument(part: &Part) -> &str {
    let by_argument = [&part.number, &part.text, &part.bytes_of, &part.each];
    by_argument.into_iter().flatten().next().map_or_else(|| called(part), String::as_str)
}

/// The width where it is always the same.
pub(super) fn width(part: &Part) -> Option<usize> {
    match kind(part) {
        Kind::Always(bytes) => Some(bytes.len()),
        Kind::Reserved(width)
        | Kind::Number(width)
        | Kind::Counts(width)
        | Kind::CountOf(width, _)
        | Kind::Check(width, _) => Some(width),
        Kind::Text | Kind::Bytes | Kind::Each(_) => None,
    }
}

/// The positions of the first and the last part that a `counts` or `over` names.
pub(super) fn span(parts: &[Part], names: &[String]) -> Option<(usize, usize)> {
    let at = |name: &String| parts.iter().position(|part| called(part) == name);
    let first = at(names.first()?)?;
    let last = at(names.last()?)?;
    (first <= last).then_some((first, last))
}

#[cfg(test)]
mod tests;
