//! Whether the names in a profile of frames mean something: what a command writes is given by somebody, and what a test or a
//! field reads is a part that says something.

use std::collections::BTreeSet;
use std::ops::Range;

use super::super::language::frame::{Part, SerialCommand, SerialWords};
use super::super::language::{ArgKind, Condition};
use super::super::layout::{Kind, argument, called, kind};
use super::super::mistake::{Mistake, Source, one_of};
use super::commands::given_by_the_house;

/// What each row has besides what the command has: its own number, and what the house writes in it.
const OF_A_ROW: [&str; 2] = ["row", "text"];

/// The names of a profile of frames that mean nothing.
pub(super) fn serial(source: &Source, words: &SerialWords, mistakes: &mut Vec<Mistake>) {
    let frame: Vec<&Part> = words.frame.parts.iter().map(|part| part.get_ref()).collect();
    for command in &words.commands {
        command_names(source, words, command, &frame, mistakes);
        let Some(reply) = &command.reply else { continue };
        for condition in reply.when.iter().chain(&reply.success) {
            tested(source, &frame, &reply.data, "", condition, mistakes);
        }
    }
    for message in &words.messages {
        for condition in &message.when {
            tested(source, &frame, &message.data, &message.root, condition, mistakes);
        }
        for field in message.meanings().flat_map(|(_, fields)| fields.values()) {
            for path in field.get_ref().path.iter().chain(&field.get_ref().or_join).chain(&field.get_ref().each) {
                read(source, &frame, &message.data, &whole(&message.root, path), field.span(), mistakes);
            }
        }
    }
}

fn command_names(
    source: &Source,
    words: &SerialWords,
    command: &SerialCommand,
    frame: &[&Part],
    mistakes: &mut Vec<Mistake>,
) {
    let at = command.name.span();
    let numbers: BTreeSet<&str> = frame.iter().filter(|part| is_number(part)).map(|part| argument(part)).collect();
    for name in command.set.keys().filter(|name| !numbers.contains(name.as_str())) {
        let wrong = format!("the frame has no part {name} that is a number to be set");
        mistakes.push(source.mistake(at.clone(), wrong, one_of(numbers.iter().copied())));
    }
    let own = command.args.keys().chain(words.params.keys()).chain(command.set.keys()).map(String::as_str);
    let house: &[&str] = if command.service { &[] } else { given_by_the_house(command.name.get_ref()) };
    let known: BTreeSet<&str> = own.chain(house.iter().copied()).collect();
    let given = Given { source, at, command, known };
    given.all(command.data.iter(), mistakes);
    given.all(frame.iter().copied().filter(|part| argument(part) != "data"), mistakes);
}

/// What a command's frame may be made of.
struct Given<'s> {
    source: &'s Source<'s>,
    at: Range<usize>,
    command: &'s SerialCommand,
    known: BTreeSet<&'s str>,
}

impl Given<'_> {
    fn all<'p>(&self, parts: impl Iterator<Item = &'p Part>, mistakes: &mut Vec<Mistake>) {
        for part in parts {
            let name = argument(part);
            let (is_given, needs) = match kind(part) {
                Kind::Number(_) => (part.default.is_some() || self.known.contains(name), Some(ArgKind::Integer)),
                Kind::Text => (self.known.contains(name), None),
                Kind::Bytes => (self.known.contains(name), Some(ArgKind::Bytes)),
                Kind::Each(rows) => {
                    self.rows(part, mistakes);
                    (self.known.contains(rows), Some(ArgKind::Rows))
                }
                Kind::Always(_) | Kind::Reserved(_) | Kind::Counts(_) | Kind::CountOf(..) | Kind::Check(..) => continue,
            };
            if !is_given {
                let wrong = format!("nobody gives {name} to the command {}", self.command.name.get_ref());
                let allowed = format!("{}; or a number in set, or with a default", one_of(self.known.iter().copied()));
                mistakes.push(self.source.mistake(self.at.clone(), wrong, allowed));
            }
            let has = self.command.args.get(name).map(|arg| arg.kind);
            if let (Some(needs), Some(has)) = (needs, has)
                && needs != has
            {
                let wrong = format!("the argument {name} is written as another type than it has");
                let allowed = "number of an integer, text of any, bytes_of of bytes, each of rows";
                mistakes.push(self.source.mistake(self.at.clone(), wrong, allowed));
            }
        }
    }

    /// What an installer writes in rows by hand is the installer's.
    fn rows(&self, part: &Part, mistakes: &mut Vec<Mistake>) {
        if !self.command.service {
            let known = self.known.iter().copied().chain(OF_A_ROW).collect();
            let row = Given { source: self.source, at: self.at.clone(), command: self.command, known };
            row.all(part.parts.iter(), mistakes);
        }
    }
}

/// A test reads a part, and compares it with what such a part can be.
fn tested(
    source: &Source,
    frame: &[&Part],
    data: &[Part],
    root: &str,
    condition: &Condition,
    mistakes: &mut Vec<Mistake>,
) {
    let path = whole(root, condition.path.get_ref());
    let Some(part) = read(source, frame, data, &path, condition.path.span(), mistakes) else { return };
    let is_counted = matches!(kind(part), Kind::Number(_) | Kind::Counts(_) | Kind::CountOf(..));
    let texts = condition.is.iter().chain(&condition.is_not).flatten().filter_map(toml::Value::as_str);
    for text in texts.filter(|text| is_counted && text.parse::<i64>().is_err()) {
        let wrong = format!("{path} is a number and never {text:?}");
        mistakes.push(source.mistake(condition.path.span(), wrong, "numbers, such as 194 or 0xC2"));
    }
}

/// The part at a path; a mistake where none is there. Nothing about what is within rows.
fn read<'p>(
    source: &Source,
    frame: &[&'p Part],
    data: &'p [Part],
    path: &str,
    at: Range<usize>,
    mistakes: &mut Vec<Mistake>,
) -> Option<&'p Part> {
    let mut steps = path.split('.');
    let first = steps.next().unwrap_or_default();
    let mut named: Vec<&'p Part> = frame.iter().copied().filter(|part| says(part)).collect();
    let (mut name, mut before) = (first, "");
    if first == "data" && !data.is_empty() {
        named = data.iter().filter(|part| says(part)).collect();
        (name, before) = (steps.next()?, "data.");
    }
    let found = named.iter().find(|part| called(part) == name).copied();
    if found.is_none() {
        let own = data.iter().filter(|part| says(part)).map(|part| format!("data.{}", called(part)));
        let of_frame = frame.iter().filter(|part| says(part)).map(|part| called(part).to_owned());
        let known: Vec<String> = of_frame.filter(|name| data.is_empty() || name != "data").chain(own).collect();
        let wrong = format!("no part {before}{name} says anything here");
        mistakes.push(source.mistake(at, wrong, one_of(known.iter().map(String::as_str))));
    }
    found
}

/// A part that is always the same, or a check, has no value.
fn says(part: &Part) -> bool {
    !called(part).is_empty() && !matches!(kind(part), Kind::Always(_) | Kind::Check(..))
}

fn is_number(part: &Part) -> bool {
    matches!(kind(part), Kind::Number(_))
}

fn whole(root: &str, path: &str) -> String {
    match path.strip_prefix("$.") {
        Some(from_the_top) => from_the_top.to_owned(),
        None if root.is_empty() => path.to_owned(),
        None => format!("{root}.{path}"),
    }
}
