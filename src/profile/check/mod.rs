//! Whether a profile makes sense: every mistake with its line, before any device is touched.

use std::collections::BTreeMap;

use toml::Spanned;

/// What is the same in the commands of every link.
macro_rules! named {
    ($command:expr) => {
        $crate::profile::check::commands::Named {
            name: &$command.name,
            is_service: $command.service,
            ack: $command.ack,
            retry: $command.retry,
            guard: $command.guard.as_ref(),
            args: &$command.args,
        }
    };
}

mod boards;
mod commands;
mod frames;
mod names;
mod posts;
mod readers;
mod unused;
mod words;

pub use boards::modbus;
pub use commands::{question, variants};
pub use frames::serial;
pub use posts::http;
pub use readers::{osdp, wiegand};

use super::json::{own_base64, toml_scalar};
use super::language::{
    Arg, ArgKind, Condition, Decode, Emits, Field, Head, Identity, Link, Message, MqttCommand, MqttWords, Param,
    ParamKind,
};
use super::meaning::{is_wall_time, level, position, sign};
use super::mistake::{Mistake, Source, one_of};
use super::statement::{Colour, Heading, VehicleKind};
use super::template::{self, Value, Values};
use crate::domain::event::PhotoKind;
use commands::check_named;

/// Slower than this, a driver waits at a loop that nobody has seen.
const POLL_MS: std::ops::RangeInclusive<u64> = 10..=5_000;
/// Longer than this, a lane would wait for a board that is not there.
const REPLY_MS: std::ops::RangeInclusive<u64> = 20..=60_000;

/// What one message may say besides: a status of more is one of `inputs`.
const ALSO_MAX: usize = 8;

/// What a message of each meaning must and may say.
fn fields_of(emits: Emits) -> (&'static [&'static str], &'static [&'static str]) {
    match emits {
        Emits::PlateRead => (
            &["event", "plate"],
            &[
                "confidence",
                "captured",
                "captured_ms",
                "captured_s",
                "captured_us",
                "captured_local",
                "stored_offline",
                "stage",
                "char_confidence",
                "candidates",
                "colour",
                "vehicle",
                "direction",
            ],
        ),
        Emits::Input => (&["number", "level"], &[]),
        Emits::Inputs => (&["bits", "count"], &[]),
        Emits::Card => (&["number"], &["facility"]),
        Emits::Tunnelled => (&["channel", "bytes"], &[]),
        Emits::Arm => (&["position"], &[]),
        Emits::VehicleSign => (&["sign"], &[]),
        Emits::KeepAlive | Emits::Away | Emits::Nothing | Emits::Unsupported => (&[], &[]),
    }
}

/// The same of what answers the box: it is about the box's own picture, whose event and time are known.
fn fields_of_an_answer(emits: Emits) -> (&'static [&'static str], &'static [&'static str]) {
    match emits {
        Emits::PlateRead => (&["plate"], &["confidence", "char_confidence", "candidates", "colour", "vehicle"]),
        Emits::Input | Emits::Inputs | Emits::Card | Emits::Tunnelled | Emits::Arm | Emits::VehicleSign => (&[], &[]),
        Emits::KeepAlive | Emits::Away | Emits::Nothing | Emits::Unsupported => (&[], &[]),
    }
}

/// The mistakes of an MQTT profile.
pub fn mqtt(source: &Source, words: &MqttWords) -> Vec<Mistake> {
    let mut mistakes = head(source, &words.profile, &words.params);
    for layout in &words.layouts {
        names_known(source, layout, &words.params, &[], &mut mistakes);
    }
    if words.layouts.is_empty() {
        mistakes.push(source.whole("layouts is empty", "at least one topic layout"));
    }
    for stranger in &words.strangers {
        names_known(source, stranger, &words.params, &[], &mut mistakes);
    }
    for text in words.messages.iter().flat_map(|message| &message.topics) {
        names_known(source, text, &words.params, &["layout"], &mut mistakes);
    }
    identity(source, words.identity.as_ref(), &words.params, &mut mistakes);
    for message in &words.messages {
        belongs(source, message, Link::Mqtt, &mut mistakes);
        fields(source, message, &words.params, &mut mistakes);
    }
    for command in &words.commands {
        mqtt_command(source, command, &words.params, &mut mistakes);
    }
    unused::mqtt(source, words, &mut mistakes);
    mistakes
}

/// What tells devices of one topic or path apart is one of their parameters.
fn identity(
    source: &Source,
    identity: Option<&Identity>,
    params: &BTreeMap<String, Param>,
    mistakes: &mut Vec<Mistake>,
) {
    let Some(identity) = identity else { return };
    if !params.contains_key(identity.param.get_ref()) {
        let known = one_of(params.keys().map(String::as_str));
        let wrong = format!("there is no parameter {:?}", identity.param.get_ref());
        mistakes.push(source.mistake(identity.param.span(), wrong, known));
    }
    if identity.paths.is_empty() {
        let wrong = "the identity stands nowhere";
        mistakes.push(source.mistake(identity.param.span(), wrong, "paths = [\"…\"], where it may stand"));
    }
}

fn head(source: &Source, head: &Head, params: &BTreeMap<String, Param>) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    let id = head.id.get_ref();
    let is_word =
        |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if !id.split_once('/').is_some_and(|(vendor, product)| is_word(vendor) && is_word(product)) {
        let allowed = "vendor/product in lower-case letters, digits and hyphens";
        mistakes.push(source.mistake(head.id.span(), format!("the id {id:?} is not right"), allowed));
    }
    for (name, param) in params {
        if (param.kind == ParamKind::Choice) == param.choices.is_empty() {
            let wrong = format!("the parameter {name} is a choice without choices, or has choices without being one");
            mistakes.push(source.mistake(head.id.span(), wrong, "choices = [\"…\"] with type = \"choice\" only"));
        }
        if let Some(default) = &param.default
            && let Err(allowed) = super::param_value(param, default.get_ref())
        {
            mistakes.push(source.mistake(default.span(), format!("the default of {name} does not fit"), allowed));
        }
    }
    mistakes
}

/// A device on a bus has its address there, one that fits the byte in which it goes over the wire.
fn address(source: &Source, head: &Head, params: &BTreeMap<String, Param>, most: i64, mistakes: &mut Vec<Mistake>) {
    let allowed = format!("type = \"integer\" with min and max, from 0 to {most}");
    let Some(param) = params.get("address") else {
        mistakes.push(source.whole("there is no [params.address]", allowed));
        return;
    };
    let fits = |bound: Option<i64>| bound.is_some_and(|bound| (0..=most).contains(&bound));
    if param.kind != ParamKind::Integer || !fits(param.min) || !fits(param.max) {
        mistakes.push(source.mistake(head.id.span(), "[params.address] is no address on the bus", allowed));
    }
}

fn within<T: PartialOrd + std::fmt::Display>(
    source: &Source,
    value: &Spanned<T>,
    allowed: &std::ops::RangeInclusive<T>,
    name: &str,
    mistakes: &mut Vec<Mistake>,
) {
    if !allowed.contains(value.get_ref()) {
        let wrong = format!("{name} is {}", value.get_ref());
        let allowed = format!("{} to {}", allowed.start(), allowed.end());
        mistakes.push(source.mistake(value.span(), wrong, allowed));
    }
}

fn names_known(
    source: &Source,
    text: &Spanned<String>,
    params: &BTreeMap<String, Param>,
    also: &[&str],
    mistakes: &mut Vec<Mistake>,
) {
    for name in template::names(text.get_ref()) {
        if !params.contains_key(name) && !also.contains(&name) {
            let allowed = one_of(params.keys().map(String::as_str).chain(also.iter().copied()));
            mistakes.push(source.mistake(text.span(), format!("{{{name}}} is not known here"), allowed));
        }
    }
}

fn fields(source: &Source, message: &Message, params: &BTreeMap<String, Param>, mistakes: &mut Vec<Mistake>) {
    let emits = *message.emits.get_ref();
    let known = if message.answers.is_some() { fields_of_an_answer(emits) } else { fields_of(emits) };
    meaning(source, &message.name, &message.emits, &message.fields, known, mistakes);
    also(source, message, mistakes);
    for condition in &message.when {
        tests_something(source, condition, mistakes);
        names_known(source, &condition.path, params, &[], mistakes);
        if let Some(name) = condition.is_param.as_ref().filter(|name| !params.contains_key(name.get_ref())) {
            let known = one_of(params.keys().map(String::as_str));
            mistakes.push(source.mistake(name.span(), format!("there is no parameter {:?}", name.get_ref()), known));
        }
    }
    pictures(source, message, mistakes);
    if (emits == Emits::Unsupported) != message.because.is_some() {
        let wrong = format!("the message {:?} gives a reason without need, or none", message.name);
        mistakes.push(source.mistake(message.emits.span(), wrong, "because = \"…\" with emits = \"unsupported\" only"));
    }
}

/// A status says how several things are. A vehicle or a card is said alone, so that nothing beside it can cost it.
fn also(source: &Source, message: &Message, mistakes: &mut Vec<Mistake>) {
    let is_state = |emits: Emits| matches!(emits, Emits::Input | Emits::Inputs | Emits::Arm | Emits::VehicleSign);
    let takes_more = is_state(*message.emits.get_ref()) || *message.emits.get_ref() == Emits::KeepAlive;
    if let Some(first) = message.also.first().filter(|_| !takes_more || message.answers.is_some()) {
        let wrong = format!("the message {:?} says something besides", message.name);
        let allowed = "also beside emits = \"input\", \"inputs\", \"arm\", \"vehicle_sign\" and \"keep_alive\"";
        mistakes.push(source.mistake(first.emits.span(), wrong, allowed));
    }
    if let Some(beyond) = message.also.get(ALSO_MAX) {
        let wrong = format!("the message {:?} says more than {ALSO_MAX} things besides", message.name);
        mistakes.push(source.mistake(beyond.emits.span(), wrong, format!("at most {ALSO_MAX}")));
    }
    for more in &message.also {
        let emits = *more.emits.get_ref();
        if is_state(emits) {
            meaning(source, &message.name, &more.emits, &more.fields, fields_of(emits), mistakes);
        } else {
            let wrong = format!("the message {:?} says this besides", message.name);
            mistakes.push(source.mistake(more.emits.span(), wrong, "input, inputs, arm, vehicle_sign"));
        }
    }
}

/// What one meaning of a message must and may say, and that each of it can be read.
fn meaning(
    source: &Source,
    message: &str,
    emits: &Spanned<Emits>,
    fields: &BTreeMap<String, Spanned<Field>>,
    (needed, also): (&[&str], &[&str]),
    mistakes: &mut Vec<Mistake>,
) {
    for name in needed.iter().filter(|name| !fields.contains_key(**name)) {
        let wrong = format!("the message {message:?} lacks the field {name}");
        let allowed = format!("it must have {}", one_of(needed.iter().copied()));
        mistakes.push(source.mistake(emits.span(), wrong, allowed));
    }
    for (name, field) in fields {
        if !needed.contains(&name.as_str()) && !also.contains(&name.as_str()) {
            let allowed = one_of(needed.iter().chain(also).copied());
            mistakes.push(source.mistake(field.span(), format!("a message of this kind has no field {name}"), allowed));
        }
        self::field(source, name, field, mistakes);
    }
}

fn field(source: &Source, name: &str, field: &Spanned<Field>, mistakes: &mut Vec<Mistake>) {
    for own in field.get_ref().decode.iter().filter_map(|decode| match decode {
        Decode::Base64Own(own) => Some(own),
        Decode::Base64 | Decode::Base64Url | Decode::Hex | Decode::Utf8OrGbk | Decode::Gbk => None,
    }) {
        if own_base64(own).is_none() {
            let allowed = "64 different ASCII characters, and a padding that is none of them";
            mistakes.push(source.mistake(field.span(), "this alphabet is not one of base64", allowed));
        }
    }
    let (words, at) = (field.get_ref(), field.span());
    if !words.each.is_empty() && name != "bits" {
        mistakes.push(source.mistake(at.clone(), format!("{name} has each"), "each with bits only"));
    }
    let is_read = words.path.is_some() || !words.or_join.is_empty();
    if usize::from(is_read) + usize::from(words.always.is_some()) + usize::from(!words.each.is_empty()) != 1 {
        let allowed = "path, with or_join for where it is missing; or_join alone; or always";
        mistakes.push(source.mistake(at, format!("where {name} stands is not clear"), allowed));
    }
    if words.times_up_to.is_some() && words.times.is_none() {
        let wrong = format!("{name} has times_up_to and no times");
        mistakes.push(source.mistake(field.span(), wrong, "times_up_to beside times"));
    }
    if let Some(format) = &words.format
        && (name != "captured_local" || !is_wall_time(format))
    {
        let allowed = "of captured_local only, with year, month, day, hour, minute and second as strftime has them";
        mistakes.push(source.mistake(field.span(), format!("{name} has the format {format:?}"), allowed));
    }
    our_words(source, name, field, mistakes);
    words::unused(source, name, field, mistakes);
}

/// Pictures belong to a vehicle that was seen.
fn pictures(source: &Source, message: &Message, mistakes: &mut Vec<Mistake>) {
    for (kind, picture) in &message.pictures {
        if *message.emits.get_ref() != Emits::PlateRead {
            let wrong = format!("the message {:?} has pictures and tells of no vehicle", message.name);
            mistakes.push(source.mistake(picture.span(), wrong, "pictures with emits = \"plate_read\" only"));
        }
        let words = picture.get_ref();
        let is_text = !words.path.is_empty() && words.encoding.is_some() && words.part.is_none();
        let is_named = words.path.is_empty() && words.encoding.is_none() && words.part.is_some();
        let is_part = is_named && message.topics.is_empty();
        if !is_text && !is_part {
            let allowed = "path and encoding, or over http the name of a part";
            mistakes.push(source.mistake(picture.span(), "nothing tells where the picture stands", allowed));
        }
        let Some(plate) = &words.plate_box else { continue };
        let has_size =
            plate.right.is_some() != plate.width.is_some() && plate.bottom.is_some() != plate.height.is_some();
        if *kind != PhotoKind::Scene || plate.of == Some(0) || !has_size {
            let allowed = "plate_box of a scene, with right or width, bottom or height, and of = 1 or more where it counts \
                           no pixels";
            mistakes.push(source.mistake(picture.span(), "this is no place of a plate in a picture", allowed));
        }
        for condition in &plate.when {
            tests_without_params(source, condition, mistakes);
        }
    }
}

fn tests_something(source: &Source, condition: &Condition, mistakes: &mut Vec<Mistake>) {
    let values = condition.is.is_some() || condition.is_not.is_some() || condition.is_param.is_some();
    if !values && condition.above.is_none() && condition.is_there.is_none() {
        let wrong = format!("nothing is tested about {}", condition.path.get_ref());
        let allowed = "is = […], is_not = […], above = … or is_there = true";
        mistakes.push(source.mistake(condition.path.span(), wrong, allowed));
    }
    if [&condition.is, &condition.is_not].into_iter().flatten().any(Vec::is_empty) {
        let wrong = format!("{} is compared with nothing", condition.path.get_ref());
        mistakes.push(source.mistake(condition.path.span(), wrong, "one value or more, such as is = [1]"));
    }
}

/// Parameters are put into the tests of a message only: elsewhere they would test nothing.
fn tests_without_params(source: &Source, condition: &Condition, mistakes: &mut Vec<Mistake>) {
    tests_something(source, condition, mistakes);
    let allowed = "is, is_not, above and is_there with values and plain paths; parameters in the when of a [[message]]";
    if let Some(name) = &condition.is_param {
        let wrong = format!("the parameter {} tests nothing here", name.get_ref());
        mistakes.push(source.mistake(name.span(), wrong, allowed));
    }
    if let Some(name) = template::names(condition.path.get_ref()).first() {
        mistakes.push(source.mistake(condition.path.span(), format!("{{{name}}} stands for nothing here"), allowed));
    }
}

/// What the profile translates to must be a word of ours.
fn our_words(source: &Source, name: &str, field: &Spanned<Field>, mistakes: &mut Vec<Mistake>) {
    let (is_ours, allowed): (fn(&str) -> bool, &str) = match name {
        "level" => (|word| level(word).is_some(), "on, off, pulse"),
        "position" => (|word| position(word).is_some(), "up, down, between"),
        "sign" => (|word| sign(word).is_some(), "passed, turned_back, tailgated"),
        "stored_offline" => (|word| matches!(word, "yes" | "no"), "yes, no"),
        "stage" => (|word| matches!(word, "quick" | "full" | "last"), "quick, full, last"),
        "colour" => (
            |word| word == "unknown" || Colour::of_word(word).is_some(),
            "blue, yellow, white, black, green, yellow_green, unknown",
        ),
        "vehicle" => (
            |word| word == "unknown" || VehicleKind::of_word(word).is_some(),
            "car, van, bus, truck, motorcycle, unknown",
        ),
        "direction" => (|word| word == "unknown" || Heading::of_word(word).is_some(), "approaching, leaving, unknown"),
        _ => return,
    };
    let words = field.get_ref();
    let always = words.always.as_ref().map(toml_scalar);
    let default = words.default.as_ref().map(toml_scalar);
    for word in words.map.values().chain(&always).chain(&default).filter(|word| !is_ours(word)) {
        mistakes.push(source.mistake(field.span(), format!("{name} cannot be {word:?}"), allowed));
    }
    if words.map.is_empty() && always.is_none() {
        mistakes.push(source.mistake(
            field.span(),
            format!("{name} is not translated"),
            format!("map = {{ … }} to {allowed}"),
        ));
    }
}

/// A message says where it arrives in the words of its own link.
fn belongs(source: &Source, message: &Message, link: Link, mistakes: &mut Vec<Mistake>) {
    let said = [
        ("topics", !message.topics.is_empty(), link == Link::Mqtt),
        ("paths", !message.paths.is_empty(), link == Link::Http),
        ("content_types", !message.content_types.is_empty(), link == Link::Http),
        ("answers", message.answers.is_some(), link == Link::Http),
        ("reply", message.reply.is_some(), link == Link::Http),
        ("get", message.get, link == Link::Http),
        ("number", message.number.is_some(), matches!(link, Link::Mqtt | Link::Http)),
        ("data", !message.data.is_empty(), link == Link::Serial),
    ];
    for (word, _, _) in said.iter().filter(|(_, is_said, may_be)| *is_said && !may_be) {
        let allowed = one_of(said.iter().filter(|(_, _, may_be)| *may_be).map(|(word, _, _)| *word));
        let wrong = format!("a message of link {} has no {word}", link.word());
        mistakes.push(source.mistake(message.emits.span(), wrong, allowed));
    }
    if link == Link::Mqtt && message.topics.is_empty() {
        let wrong = format!("the message {:?} has no topic", message.name);
        mistakes.push(source.mistake(message.emits.span(), wrong, "topics = [\"…\"]"));
    }
}

fn mqtt_command(source: &Source, command: &MqttCommand, params: &BTreeMap<String, Param>, mistakes: &mut Vec<Mistake>) {
    check_named(source, &named!(command), mistakes);
    names_known(source, &command.topic, params, &["layout"], mistakes);
    let mut also = placeholders(&command.args);
    also.extend(["id".to_owned(), "timestamp".to_owned()]);
    let also: Vec<&str> = also.iter().map(String::as_str).collect();
    names_known(source, &command.payload, params, &also, mistakes);
    is_json(source, &command.payload, params, &also, mistakes);
    let Some(reply) = &command.reply else { return };
    for topic in &reply.topics {
        names_known(source, topic, params, &["layout"], mistakes);
    }
    if let Some(success) = &reply.success {
        tests_without_params(source, success, mistakes);
    }
    within(source, &reply.timeout_ms, &REPLY_MS, "timeout_ms", mistakes);
    if !template::names(command.payload.get_ref()).contains(&"id") {
        mistakes.push(source.mistake(
            command.payload.span(),
            "the payload lacks {id}",
            "{id}, so that the answer can be recognised",
        ));
    }
}

/// The names that a command's arguments give to its templates.
fn placeholders(args: &BTreeMap<String, Arg>) -> Vec<String> {
    let derived = args.iter().filter_map(|(name, arg)| match arg.kind {
        ArgKind::Bytes => Some(format!("{name}_length")),
        ArgKind::Text => Some(format!("{name}_base64")),
        ArgKind::Integer | ArgKind::Rows => None,
    });
    args.keys().cloned().chain(derived).collect()
}

fn is_json(
    source: &Source,
    text: &Spanned<String>,
    params: &BTreeMap<String, Param>,
    also: &[&str],
    mistakes: &mut Vec<Mistake>,
) {
    let mut sample: Values = params.keys().map(|name| (name.clone(), Value::Text("x".to_owned()))).collect();
    sample.extend(also.iter().map(|name| ((*name).to_owned(), Value::Integer(1))));
    let made = template::json(text.get_ref(), &sample).unwrap_or_default();
    if let Err(error) = serde_json::from_str::<serde_json::Value>(&made) {
        mistakes.push(source.mistake(text.span(), format!("the payload is not JSON: {error}"), "one JSON object"));
    }
}
