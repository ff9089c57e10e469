//! Whether the layout of a profile's frames makes sense: every part is one thing, and every name means a part.

use std::collections::BTreeSet;
use std::ops::Range;

use super::super::framing::swapped;
use super::super::language::frame::{Digits, Escape, Hex, Part, SerialCommand, SerialWords};
use super::super::language::{ArgKind, Link, ParamKind};
use super::super::layout::{Kind, NUMBER_DIGITS_MAX, argument, called, holds, kind, kinds_said, span, width};
use super::super::mistake::{Mistake, Source, one_of};
use super::{POLL_MS, REPLY_MS, belongs, check_named, fields, head, names, tests_without_params, unused, within};

/// A pause that ends a frame: from the shortest that a computer can tell to the longest that a bus can wait.
const GAP_MS: std::ops::RangeInclusive<u64> = 1..=1_000;

/// The longest frame of any device, and so what a line that never ends one may fill.
const FRAME_BYTES: std::ops::RangeInclusive<usize> = 1..=65_536;
/// Reserved bytes that stand together in one.
const RESERVED_BYTES: std::ops::RangeInclusive<usize> = 1..=4_096;

/// The mistakes of a profile for a device that speaks in frames.
pub fn serial(source: &Source, words: &SerialWords) -> Vec<Mistake> {
    let mut mistakes = head(source, &words.profile, &words.params);
    within(source, &words.frame.gap_ms, &GAP_MS, "gap_ms", &mut mistakes);
    within(source, &words.frame.bytes_max, &FRAME_BYTES, "bytes_max", &mut mistakes);
    let owned: Vec<Part> = words.frame.parts.iter().map(|part| part.get_ref().clone()).collect();
    for part in &words.frame.parts {
        one_thing(source, part.span(), part.get_ref(), &owned, &mut mistakes);
    }
    if let Some(escape) = &words.frame.escape {
        escapes(source, words, escape, &mut mistakes);
    }
    for message in &words.messages {
        belongs(source, message, Link::Serial, &mut mistakes);
        fields(source, message, &words.params, &mut mistakes);
        parts(source, &message.emits.span(), &message.data, &mut mistakes);
    }
    for poll in &words.polls {
        within(source, &poll.every_ms, &POLL_MS, "every_ms", &mut mistakes);
        if !words.commands.iter().any(|command| command.name.get_ref() == poll.command.get_ref()) {
            let allowed = one_of(words.commands.iter().map(|command| command.name.get_ref().as_str()));
            let wrong = format!("there is no command {:?}", poll.command.get_ref());
            mistakes.push(source.mistake(poll.command.span(), wrong, allowed));
        }
    }
    for command in &words.commands {
        let at = command.name.span();
        check_named(source, &named!(command), &mut mistakes);
        parts(source, &at, &command.data, &mut mistakes);
        for part in words.frame.parts.iter().map(|part| part.get_ref()).chain(&command.data) {
            arguments_fit(source, words, command, part, &mut mistakes);
        }
        let Some(reply) = &command.reply else { continue };
        within(source, &reply.timeout_ms, &REPLY_MS, "timeout_ms", &mut mistakes);
        parts(source, &at, &reply.data, &mut mistakes);
        for condition in reply.when.iter().chain(&reply.success) {
            tests_without_params(source, condition, &mut mistakes);
        }
    }
    unused::serial(source, words, &mut mistakes);
    names::serial(source, words, &mut mistakes);
    mistakes
}

/// An escape hides something in one way, and what it puts there can be told back.
fn escapes(source: &Source, words: &SerialWords, escape: &Escape, mistakes: &mut Vec<Mistake>) {
    let mut wrong =
        |wrong: &str, allowed: &str| mistakes.push(source.mistake(words.frame.gap_ms.span(), wrong, allowed));
    if escape.xor.is_some() != escape.swaps.is_empty() || (escape.xor.is_none() && !escape.hides.0.is_empty()) {
        return wrong("how the escape hides a byte is not clear", "xor with hides, or swaps = { C0 = \"DC\", … }");
    }
    if escape.xor.is_some() {
        if words.frame.start.is_none() && words.frame.end.is_none() && escape.hides.0.is_empty() {
            wrong("the escape hides nothing", "hides = \"7E\", with start or end");
        }
        return;
    }
    let pair = |(hidden, shown): (&String, &Hex)| match shown.0.as_slice() {
        [shown] => Some((swapped(hidden)?, *shown)),
        _ => None,
    };
    let pairs: Option<Vec<(u8, u8)>> = escape.swaps.iter().map(pair).collect();
    let Some(pairs) = pairs else {
        return wrong("swaps are not of single bytes", "two hex digits for each, such as C0 = \"DC\"");
    };
    let hidden: BTreeSet<u8> = pairs.iter().map(|(hidden, _)| *hidden).collect();
    let shown: BTreeSet<u8> = pairs.iter().map(|(_, shown)| *shown).collect();
    if !hidden.contains(&escape.byte)
        || hidden.len().min(shown.len()) < escape.swaps.len()
        || !hidden.is_disjoint(&shown)
    {
        let allowed = "the escape byte among the hidden ones, and for each another byte that is not hidden itself";
        wrong("what the escape hides cannot be told back", allowed);
    }
}

fn parts(source: &Source, at: &Range<usize>, all: &[Part], mistakes: &mut Vec<Mistake>) {
    for part in all {
        one_thing(source, at.clone(), part, all, mistakes);
        parts(source, at, &part.parts, mistakes);
    }
}

/// Whatever the profile allows for a number goes into the part that carries it; what lies between goes into it as well.
fn arguments_fit(
    source: &Source,
    words: &SerialWords,
    command: &SerialCommand,
    part: &Part,
    mistakes: &mut Vec<Mistake>,
) {
    for inner in &part.parts {
        arguments_fit(source, words, command, inner, mistakes);
    }
    let name = argument(part);
    let arg = command.args.get(name).filter(|arg| arg.kind == ArgKind::Integer);
    let param = words.params.get(name).filter(|param| param.kind == ParamKind::Integer);
    let bounds = match (arg, command.set.get(name), param) {
        (Some(arg), _, _) => (arg.min.unwrap_or(0), arg.max.unwrap_or(i64::MAX)),
        (None, Some(fixed), _) => (*fixed, *fixed),
        (None, None, Some(param)) => (param.min.unwrap_or(0), param.max.unwrap_or(i64::MAX)),
        (None, None, None) => return,
    };
    // By zero it cannot be divided, which is a mistake of its own.
    let is_reckoned = matches!(kind(part), Kind::Number(_)) && part.divided_by != 0;
    for value in [bounds.0, bounds.1].into_iter().filter(|value| is_reckoned && !holds(part, *value)) {
        let width = width(part).unwrap_or_default();
        let as_what = if part.digits == Digits::None { "bytes" } else { "digits" };
        let wrong = format!("{name} may be {value}, which does not fit the {width} {as_what} of its part");
        let allowed = "min and max between which every number fits, once base, times and divided_by are reckoned";
        mistakes.push(source.mistake(command.name.span(), wrong, allowed));
    }
}

/// A part is one thing only, has a width that such a thing can have, and names parts that are there.
fn one_thing(source: &Source, at: Range<usize>, part: &Part, all: &[Part], mistakes: &mut Vec<Mistake>) {
    let label = if called(part).is_empty() { "without a name".to_owned() } else { called(part).to_owned() };
    let mut wrong = |wrong: String, allowed: &str| mistakes.push(source.mistake(at.clone(), wrong, allowed));
    let said = kinds_said(part);
    if said > 1 || (said == 0 && part.name.is_none()) {
        let allowed =
            "one of always, reserved, number, text, bytes_of, counts, count_of, each, check, crc; or a name alone";
        wrong(format!("what the part {label} is, is not clear"), allowed);
    }
    let is_written_out = part.digits != Digits::None && matches!(kind(part), Kind::Number(_));
    let widths = match (part.reserved, is_written_out) {
        (true, _) => RESERVED_BYTES,
        (false, true) => 1..=NUMBER_DIGITS_MAX,
        (false, false) => 1..=8,
    };
    if part.bytes.is_some_and(|bytes| !widths.contains(&bytes)) {
        wrong(
            format!("the part {label} has {} bytes", part.bytes.unwrap_or(0)),
            "1 to 8; 1 to 15 digits of a number that is written in digits; 1 to 4096 of a reserved part",
        );
    }
    if part.bytes.is_some() && width(part).is_none() {
        wrong(format!("the part {label} has no width of its own"), "max, and a part with counts");
    }
    if part.divided_by == 0 || part.times == 0 {
        wrong(format!("the part {label} is divided or multiplied by 0"), "any other number");
    }
    if part.crc.is_some_and(|crc| !matches!(crc.width, 8 | 16 | 32)) {
        wrong(format!("the crc of {label} has another width"), "8, 16 or 32");
    }
    let is_check = part.check.is_some() || part.crc.is_some();
    if part.digits != Digits::None && !has_digits(part, said) {
        wrong(
            format!("the part {label} has digits and is no number"),
            "digits with number, counts, count_of, check, crc",
        );
    }
    if part.digits == Digits::Decimal && is_check {
        wrong(format!("the check {label} is written as decimal digits"), "hex, hex-small, none");
    }
    if part.over_hex && !is_check {
        wrong(format!("the part {label} has over_hex and no check"), "over_hex = true beside check or crc");
    }
    if is_check == part.over.is_empty() {
        wrong(
            format!("the part {label} has a check without over, or over without a check"),
            "over = [\"first\", \"last\"]",
        );
    }
    for names in [&part.counts, &part.over] {
        if !names.is_empty() && (names.len() > 2 || span(all, names).is_none()) {
            let known = one_of(all.iter().map(called).filter(|name| !name.is_empty()));
            wrong(format!("{} are not parts beside {label}, in this order", names.join(", ")), &known);
        }
    }
    if let Some(rows) = &part.count_of
        && !all.iter().any(|other| other.each.as_ref() == Some(rows))
    {
        wrong(format!("there are no rows {rows}"), "the name of a part with each");
    }
    if part.each.is_some() == part.parts.is_empty() {
        wrong(
            format!("the part {label} has rows without parts, or parts without rows"),
            "each = \"…\" with parts = [ … ]",
        );
    }
}

/// Whether a part is a number that can be written as digits.
fn has_digits(part: &Part, said: usize) -> bool {
    let is_counted = !part.counts.is_empty() || part.count_of.is_some();
    said == 0 || part.number.is_some() || is_counted || part.check.is_some() || part.crc.is_some()
}
