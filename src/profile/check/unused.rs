//! Whether a profile uses what it asks for: an argument or a parameter that goes nowhere is a slip in a template, and whoever
//! sets it believes that the device was told.

use std::collections::{BTreeMap, BTreeSet};

use toml::Spanned;

use super::super::language::frame::{Part, SerialWords};
use super::super::language::http::HttpWords;
use super::super::language::{Arg, Head, Identity, Message, ModbusWords, MqttWords, Number, Param};
use super::super::mistake::{Mistake, Source};
use super::super::template;

/// A parameter that the language itself knows: what `{NAME_length}` counts.
const DATA_LEN: &str = "data_len";
/// The parameter that is a device's address on its bus, which its link writes.
const ADDRESS: &str = "address";

/// Names that something is made of.
type Used<'w> = BTreeSet<&'w str>;

/// A command, and what the device is told of its arguments.
struct Told<'w> {
    name: &'w Spanned<String>,
    args: &'w BTreeMap<String, Arg>,
    used: Used<'w>,
}

pub(super) fn mqtt(source: &Source, words: &MqttWords, mistakes: &mut Vec<Mistake>) {
    let mut all = of_messages(&words.messages, words.identity.as_ref());
    let tops = words.layouts.iter().chain(&words.strangers);
    all.extend(templates(tops.map(|text| text.get_ref().as_str())));
    let mut told = Vec::new();
    for command in &words.commands {
        let replies = command.reply.iter().flat_map(|reply| &reply.topics);
        let texts = [&command.topic, &command.payload].into_iter().chain(replies);
        let used = templates(texts.map(|text| text.get_ref().as_str()));
        told.push(Told { name: &command.name, args: &command.args, used });
        all.extend(command.only_if.keys().map(String::as_str));
    }
    args(source, &told, mistakes);
    all.extend(told.iter().flat_map(|told| told.used.iter().copied()));
    params(source, &words.profile, &words.params, &all, mistakes);
}

pub(super) fn http(source: &Source, words: &HttpWords, mistakes: &mut Vec<Mistake>) {
    let mut all = of_messages(&words.messages, words.identity.as_ref());
    all.extend(templates(words.stream.iter().map(|stream| stream.path.get_ref().as_str())));
    all.extend(templates(words.replies.values().map(|reply| reply.body.get_ref().as_str())));
    let forms = words.read_picture.iter();
    let of_forms = forms.flat_map(|form| [&form.path, &form.part, &form.file_name, &form.content_type]);
    all.extend(templates(of_forms.map(|text| text.get_ref().as_str())));
    let mut told = Vec::new();
    for command in &words.commands {
        let bodies = command.in_reply.iter().map(|in_reply| &in_reply.body);
        let requests = command.request.iter().flat_map(|request| std::iter::once(&request.path).chain(&request.body));
        let used = templates(bodies.chain(requests).map(|text| text.get_ref().as_str()));
        told.push(Told { name: &command.name, args: &command.args, used });
        all.extend(command.only_if.keys().map(String::as_str));
    }
    args(source, &told, mistakes);
    all.extend(told.iter().flat_map(|told| told.used.iter().copied()));
    params(source, &words.profile, &words.params, &all, mistakes);
}

pub(super) fn serial(source: &Source, words: &SerialWords, mistakes: &mut Vec<Mistake>) {
    let mut all = of_messages(&words.messages, None);
    let of_frame: Used = words.frame.parts.iter().flat_map(|part| of_part(part.get_ref())).collect();
    let mut told = Vec::new();
    for command in &words.commands {
        let mut used = of_frame.clone();
        used.extend(command.data.iter().flat_map(of_part));
        told.push(Told { name: &command.name, args: &command.args, used });
        let of_reply = command.reply.iter().flat_map(|reply| reply.only_if.keys());
        all.extend(command.only_if.keys().chain(of_reply).map(String::as_str));
    }
    all.extend(of_frame);
    args(source, &told, mistakes);
    all.extend(told.iter().flat_map(|told| told.used.iter().copied()));
    params(source, &words.profile, &words.params, &all, mistakes);
}

pub(super) fn modbus(source: &Source, words: &ModbusWords, mistakes: &mut Vec<Mistake>) {
    let mut all = Used::from([ADDRESS]);
    let mut told = Vec::new();
    for command in &words.commands {
        let numbers = command.values.get_ref().iter().chain([command.address.get_ref()]);
        let used: Used = numbers.filter_map(|number: &Number| number.arg.as_deref()).collect();
        told.push(Told { name: &command.name, args: &command.args, used });
        all.extend(command.only_if.keys().map(String::as_str));
    }
    args(source, &told, mistakes);
    all.extend(told.iter().flat_map(|told| told.used.iter().copied()));
    params(source, &words.profile, &words.params, &all, mistakes);
}

/// For links that fill in nothing themselves but perhaps a device's address.
pub(super) fn only_address(source: &Source, head: &Head, known: &BTreeMap<String, Param>, mistakes: &mut Vec<Mistake>) {
    params(source, head, known, &Used::from([ADDRESS]), mistakes);
}

fn of_messages<'w>(messages: &'w [Message], identity: Option<&'w Identity>) -> Used<'w> {
    let conditions = || messages.iter().flat_map(|message| &message.when);
    let places = messages.iter().flat_map(|message| message.topics.iter().chain(&message.paths));
    let tested = conditions().map(|condition| &condition.path);
    let mut used = templates(places.chain(tested).map(|text| text.get_ref().as_str()));
    used.extend(conditions().filter_map(|condition| condition.is_param.as_ref()).map(|name| name.get_ref().as_str()));
    used.extend(identity.map(|identity| identity.param.get_ref().as_str()));
    used
}

fn of_part(part: &Part) -> Vec<&str> {
    let own = [&part.name, &part.number, &part.text, &part.bytes_of, &part.each];
    let own = own.into_iter().flatten().map(String::as_str);
    own.chain(part.parts.iter().flat_map(of_part)).collect()
}

/// The names in these texts, and those of which they hold only a length or another writing.
fn templates<'w>(texts: impl Iterator<Item = &'w str>) -> Used<'w> {
    let names = texts.flat_map(template::names);
    let both = |name: &'w str| {
        let plain = name.strip_suffix("_length").or_else(|| name.strip_suffix("_base64"));
        std::iter::once(name).chain(plain)
    };
    names.flat_map(both).collect()
}

/// Of the ways to say one command each may leave something out. What can be one thing only chooses nothing: a device with one
/// output need not be told which.
fn args(source: &Source, told: &[Told], mistakes: &mut Vec<Mistake>) {
    for (number, one) in told.iter().enumerate() {
        let is_same = |other: &&Told| other.name.get_ref() == one.name.get_ref();
        if told[..number].iter().any(|before| is_same(&before)) {
            continue;
        }
        let is_used = |name: &str| told.iter().filter(is_same).any(|way| way.used.contains(name));
        let chooses = |arg: &Arg| arg.min.is_none() || arg.min != arg.max;
        for (name, _) in one.args.iter().filter(|(name, arg)| chooses(arg) && !is_used(name)) {
            let wrong = format!("the argument {name} of {} goes nowhere", one.name.get_ref());
            let allowed =
                format!("{{{name}}} or a part {name} in what is sent, min and max the same, or no such argument");
            mistakes.push(source.mistake(one.name.span(), wrong, allowed));
        }
    }
}

fn params(source: &Source, head: &Head, params: &BTreeMap<String, Param>, used: &Used, mistakes: &mut Vec<Mistake>) {
    for name in params.keys().filter(|name| !used.contains(name.as_str()) && *name != DATA_LEN) {
        let at = source.text.find(&format!("[params.{name}]")).unwrap_or(head.id.span().start);
        let allowed = format!("{{{name}}} in a topic, a path or a command, a test, the identity, or no such parameter");
        mistakes.push(source.mistake(at..at, format!("the parameter {name} is used nowhere"), allowed));
    }
}
