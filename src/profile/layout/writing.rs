//! From values to bytes: every part in turn, then the lengths, then the checks.

use std::ops::Range;

use super::super::checks::Check;
use super::super::language::frame::{Charset, Digits, Order, Part};
use super::super::statement::CannotSend;
use super::super::template::{Value, Values};
use super::{Kind, ROWS_MAX, argument, called, kind, span};

/// The bytes of a layout with these values in it.
pub fn write(parts: &[Part], values: &Values) -> Result<Vec<u8>, CannotSend> {
    let mut out = Vec::new();
    let mut ranges = Vec::with_capacity(parts.len());
    for part in parts {
        let start = out.len();
        one(part, values, &mut out)?;
        ranges.push(start..out.len());
    }
    for (part, at) in parts.iter().zip(&ranges) {
        if let Kind::Counts(_) = kind(part) {
            let counted = counted(parts, part, &ranges);
            number(part, counted, &mut out[at.clone()])?;
        }
    }
    for (part, at) in parts.iter().zip(&ranges) {
        if let Kind::Check(width, check) = kind(part) {
            let over = covered(parts, part, &ranges);
            let value = checked(part, check, &out[over], width).ok_or_else(|| {
                CannotSend::BadArgument(argument(part).to_owned(), "hex digits in pairs under the check".to_owned())
            })?;
            if !put(part, value, &mut out[at.clone()]) {
                return Err(too_wide(part, at.len()));
            }
        }
    }
    Ok(out)
}

/// The bytes with each length one too high and one too low, and the checks made anew over what then stands there.
pub fn with_wrong_lengths(parts: &[Part], whole: &[u8]) -> Vec<(Vec<u8>, String)> {
    let Ok(read) = super::read(parts, whole) else { return Vec::new() };
    let place = |part: &Part| read.places.iter().find(|(name, _)| name == called(part)).map(|(_, at)| at.clone());
    let mut found = Vec::new();
    for part in parts.iter().filter(|part| matches!(kind(part), Kind::Counts(_))) {
        for change in [1u8, 0xFF] {
            let mut bytes = whole.to_vec();
            let Some(at) = place(part) else { continue };
            let is_low_first = part.digits == Digits::None && part.order == Order::LowFirst;
            let lowest = if is_low_first { at.start } else { at.end - 1 };
            bytes[lowest] = bytes[lowest].wrapping_add(change);
            for ending in parts {
                let Kind::Check(width, check) = kind(ending) else { continue };
                let ends = (ending.over.first(), ending.over.last());
                let names =
                    |name: Option<&String>| parts.iter().find(|part| name.is_some_and(|name| called(part) == name));
                let (Some(first), Some(last)) = (names(ends.0).and_then(&place), names(ends.1).and_then(&place)) else {
                    continue;
                };
                let Some(at) = place(ending) else { continue };
                if let Some(value) = checked(ending, check, &bytes[first.start..last.end], width) {
                    put(ending, value, &mut bytes[at]);
                }
            }
            found.push((bytes, format!("a wrong {}", called(part))));
        }
    }
    found
}

/// A number as it stands on the wire; the width is that of `out`.
fn number(part: &Part, value: i64, out: &mut [u8]) -> Result<(), CannotSend> {
    let width = out.len();
    let is_put = u64::try_from(value).is_ok_and(|value| put(part, value, out));
    if is_put { Ok(()) } else { Err(too_wide(part, width)) }
}

fn too_wide(part: &Part, width: usize) -> CannotSend {
    CannotSend::BadArgument(argument(part).to_owned(), format!("a number that fits {width} bytes"))
}

fn one(part: &Part, values: &Values, out: &mut Vec<u8>) -> Result<(), CannotSend> {
    match kind(part) {
        Kind::Always(bytes) => out.extend_from_slice(bytes),
        Kind::Reserved(width) | Kind::Counts(width) | Kind::Check(width, _) => out.resize(out.len() + width, 0),
        Kind::Number(width) => {
            let value = scaled(part, given(part, values)?).ok_or_else(|| {
                CannotSend::BadArgument(argument(part).to_owned(), "a number that fits the frame".to_owned())
            })?;
            let at = out.len();
            out.resize(at + width, 0);
            number(part, value, &mut out[at..])?;
        }
        Kind::Text => {
            let text = values.get(argument(part)).ok_or_else(|| missing(part))?.written();
            let bytes = encoded(part, &text)?;
            within(part, bytes.len())?;
            out.extend(bytes);
            out.extend(part.ends.iter().flat_map(|ends| &ends.0));
        }
        Kind::Bytes => {
            let Some(Value::Bytes(bytes)) = values.get(argument(part)) else { return Err(missing(part)) };
            within(part, bytes.len())?;
            out.extend(bytes);
        }
        Kind::CountOf(width, name) => {
            let rows = rows(name, values)?.len();
            let at = out.len();
            out.resize(at + width, 0);
            number(part, i64::try_from(rows).unwrap_or(i64::MAX).saturating_add(part.add), &mut out[at..])?;
        }
        Kind::Each(name) => {
            for (n, row) in rows(name, values)?.iter().enumerate() {
                if n > 0 {
                    out.extend(part.between.iter().flat_map(|between| &between.0));
                }
                let mut row_values = values.clone();
                row_values.insert("row".to_owned(), Value::Integer(i64::try_from(n).unwrap_or(i64::MAX)));
                row_values.extend(row.clone());
                out.extend(write(&part.parts, &row_values)?);
            }
        }
    }
    Ok(())
}

/// Whether a value can stand in a part that is a number.
pub fn holds(part: &Part, value: i64) -> bool {
    let Kind::Number(width) = kind(part) else { return false };
    let scaled = scaled(part, value).and_then(|scaled| u64::try_from(scaled).ok());
    scaled.is_some_and(|scaled| put(part, scaled, &mut vec![0; width]))
}

fn given(part: &Part, values: &Values) -> Result<i64, CannotSend> {
    match (values.get(argument(part)), part.default) {
        (Some(Value::Integer(number)), _) => Ok(*number),
        (Some(Value::Text(_) | Value::Bytes(_) | Value::Rows(_)), _) => {
            Err(CannotSend::BadArgument(argument(part).to_owned(), "a whole number".to_owned()))
        }
        (None, Some(default)) => Ok(default),
        (None, None) => Err(missing(part)),
    }
}

fn scaled(part: &Part, value: i64) -> Option<i64> {
    part.base.checked_add(value.checked_mul(part.times)?.checked_div(part.divided_by)?)
}

fn rows<'v>(name: &str, values: &'v Values) -> Result<&'v [Values], CannotSend> {
    match values.get(name) {
        Some(Value::Rows(rows)) if rows.len() <= ROWS_MAX => Ok(rows),
        Some(Value::Rows(_)) => Err(CannotSend::BadArgument(name.to_owned(), format!("at most {ROWS_MAX} rows"))),
        Some(Value::Text(_) | Value::Integer(_) | Value::Bytes(_)) => {
            Err(CannotSend::BadArgument(name.to_owned(), "a list of rows".to_owned()))
        }
        None => Err(CannotSend::MissingArgument(name.to_owned())),
    }
}

fn encoded(part: &Part, text: &str) -> Result<Vec<u8>, CannotSend> {
    let bad = |allowed: &str| CannotSend::BadArgument(argument(part).to_owned(), allowed.to_owned());
    match part.charset {
        Charset::Utf8 => Ok(text.as_bytes().to_vec()),
        Charset::Ascii if text.is_ascii() => Ok(text.as_bytes().to_vec()),
        Charset::Ascii => Err(bad("letters, digits and signs of ASCII")),
        Charset::Gbk => {
            let (bytes, _, had_errors) = encoding_rs::GBK.encode(text);
            if had_errors { Err(bad("characters that GBK has")) } else { Ok(bytes.into_owned()) }
        }
    }
}

fn within(part: &Part, bytes: usize) -> Result<(), CannotSend> {
    match part.max {
        Some(max) if bytes > max => {
            Err(CannotSend::BadArgument(argument(part).to_owned(), format!("at most {max} bytes on the wire")))
        }
        Some(_) | None => Ok(()),
    }
}

fn missing(part: &Part) -> CannotSend {
    CannotSend::MissingArgument(argument(part).to_owned())
}

fn counted(parts: &[Part], part: &Part, ranges: &[Range<usize>]) -> i64 {
    let bytes = span(parts, &part.counts).map_or(0, |(first, last)| ranges[last].end - ranges[first].start);
    i64::try_from(bytes).unwrap_or(i64::MAX).saturating_add(part.add)
}

pub(super) fn covered(parts: &[Part], part: &Part, ranges: &[Range<usize>]) -> Range<usize> {
    debug_assert!(!called(part).is_empty() || !part.over.is_empty());
    span(parts, &part.over).map_or(0..0, |(first, last)| ranges[first].start..ranges[last].end)
}

/// Writes a number over bytes that wait for it; false where it does not fit them.
fn put(part: &Part, value: u64, out: &mut [u8]) -> bool {
    let width = out.len();
    let digits = match part.digits {
        Digits::None => return put_bytes(value, part.order, out),
        Digits::Hex => format!("{value:0width$X}"),
        Digits::HexSmall => format!("{value:0width$x}"),
        Digits::Decimal => format!("{value:0width$}"),
    };
    let fits = digits.len() == width;
    if fits {
        out.copy_from_slice(digits.as_bytes());
    }
    fits
}

fn put_bytes(value: u64, order: Order, out: &mut [u8]) -> bool {
    let width = out.len();
    if width < 8 && value >> (width * 8) != 0 {
        return false;
    }
    for (n, byte) in out.iter_mut().enumerate() {
        let shift = match order {
            Order::HighFirst => 8 * (width - 1 - n),
            Order::LowFirst => 8 * n,
        };
        *byte = u8::try_from(value >> shift & 0xFF).expect("masked to one byte");
    }
    true
}

/// The check of the bytes that it covers; `None` where they should be hex digits in pairs and are not.
pub(super) fn checked(part: &Part, check: Check, over: &[u8], width: usize) -> Option<u64> {
    // Two digits stand for one byte.
    let width = if part.digits == Digits::None { width } else { width.div_ceil(2) };
    if part.over_hex { Some(check.of(&hex::decode(over).ok()?, width)) } else { Some(check.of(over, width)) }
}
