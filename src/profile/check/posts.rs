//! Whether a profile for HTTP makes sense: every post has its answer, every command one way to travel.

use std::collections::BTreeSet;

use super::super::language::http::{HttpCommand, HttpPoll, HttpWords, InReply, PictureForm, Request};
use super::super::language::{Emits, LOWER, Link, Message, RAISE};
use super::super::mistake::{Mistake, Source, one_of};
use super::super::template;
use super::{
    REPLY_MS, belongs, check_named, fields, head, identity, is_json, names_known, placeholders, tests_without_params,
    unused, within,
};

/// A stream that says nothing for longer is dead for a driver; shorter, a slow heartbeat would look like it.
const SILENT_MS: std::ops::RangeInclusive<u64> = 1_000..=300_000;
/// Shorter, no engine has looked at a picture; after longer its vehicle is gone, and newer pictures wait.
const PICTURE_MS: std::ops::RangeInclusive<u64> = 100..=30_000;
/// Oftener, a camera has no time for plates; after more than an hour nobody misses it.
const POLL_MS: std::ops::RangeInclusive<u64> = 500..=3_600_000;

/// The mistakes of a profile for HTTP.
pub fn http(source: &Source, words: &HttpWords) -> Vec<Mistake> {
    let mut mistakes = head(source, &words.profile, &words.params);
    identity(source, words.identity.as_ref(), &words.params, &mut mistakes);
    if let Some(ms) = &words.answer_within_ms {
        within(source, ms, &REPLY_MS, "answer_within_ms", &mut mistakes);
    }
    if let Some(stream) = &words.stream {
        within(source, &stream.silent_ms, &SILENT_MS, "silent_ms", &mut mistakes);
        names_known(source, &stream.path, &words.params, &[], &mut mistakes);
        is_path(source, &stream.path, &mut mistakes);
    }
    for poll in &words.polls {
        self::poll(source, words, poll, &mut mistakes);
    }
    for (name, answer) in &words.replies {
        let echoed = echoed(words, name);
        let echoed: Vec<&str> = echoed.iter().map(String::as_str).collect();
        names_known(source, &answer.body, &words.params, &echoed, &mut mistakes);
        lacking(source, words, name, answer.body.get_ref(), &mut mistakes);
    }
    for message in &words.messages {
        belongs(source, message, Link::Http, &mut mistakes);
        fields(source, message, &words.params, &mut mistakes);
        for path in &message.paths {
            names_known(source, path, &words.params, &[], &mut mistakes);
            is_path(source, path, &mut mistakes);
        }
        answer(source, words, message, &mut mistakes);
        let is_fetched = words.stream.is_some() || !words.polls.is_empty() || message.answers.is_some();
        if message.paths.is_empty() && !is_fetched && *message.emits.get_ref() != Emits::Unsupported {
            let wrong = format!("nothing brings the message {:?}", message.name);
            mistakes.push(source.mistake(message.emits.span(), wrong, "paths, a [stream] or a [[poll]]"));
        }
        if let Some(reply) = &message.reply {
            reply_known(source, words, reply, &mut mistakes);
        }
    }
    for command in &words.commands {
        self::command(source, words, command, &mut mistakes);
    }
    unused::http(source, words, &mut mistakes);
    if let Some(form) = &words.read_picture {
        picture_form(source, words, form, &mut mistakes);
    }
    mistakes
}

/// What answers a picture is about that picture, and comes nowhere else.
fn answer(source: &Source, words: &HttpWords, message: &Message, mistakes: &mut Vec<Mistake>) {
    let Some(answers) = &message.answers else { return };
    let mut wrong = |wrong: &str, allowed: &str| {
        let wrong = format!("the message {:?} {wrong}", message.name);
        mistakes.push(source.mistake(answers.span(), wrong, allowed));
    };
    if words.read_picture.is_none() {
        wrong("answers what is never asked", "[read_picture]");
    }
    if !message.paths.is_empty() || message.reply.is_some() || message.number.is_some() {
        wrong("is an answer and is posted", "no paths, reply or number with answers");
    }
    match message.emits.get_ref() {
        Emits::PlateRead | Emits::Nothing | Emits::Unsupported => {}
        Emits::Input | Emits::Inputs | Emits::Card | Emits::Tunnelled | Emits::Arm | Emits::VehicleSign => {
            wrong("says of a picture what is in none", "plate_read, nothing, unsupported");
        }
        Emits::KeepAlive | Emits::Away => {
            wrong("says no more than any answer does", "plate_read, nothing, unsupported")
        }
    }
    if !message.pictures.is_empty() {
        wrong("brings pictures of a picture", "no pictures with answers");
    }
}

/// A picture goes out in a form that its product can read, and something reads the answer.
fn picture_form(source: &Source, words: &HttpWords, form: &PictureForm, mistakes: &mut Vec<Mistake>) {
    is_path(source, &form.path, mistakes);
    within(source, &form.timeout_ms, &PICTURE_MS, "timeout_ms", mistakes);
    for text in [&form.path, &form.part, &form.file_name, &form.content_type] {
        names_known(source, text, &words.params, &["format"], mistakes);
        let is_plain = |c: char| !c.is_control() && c != '"' && c != '\\';
        if text.get_ref().is_empty() || !text.get_ref().chars().all(is_plain) {
            let wrong = format!("{:?} cannot stand in a form", text.get_ref());
            mistakes.push(source.mistake(text.span(), wrong, "a text without quotes, backslashes and line breaks"));
        }
    }
    let reads = |message: &&Message| message.answers.is_some() && *message.emits.get_ref() == Emits::PlateRead;
    if !words.messages.iter().any(|message| reads(&message)) {
        let allowed = "a [[message]] with answers = \"read_picture\" and emits = \"plate_read\"";
        mistakes.push(source.mistake(form.path.span(), "nothing reads the answer about a picture", allowed));
    }
}

/// A poll asks and moves nothing.
fn poll(source: &Source, words: &HttpWords, poll: &HttpPoll, mistakes: &mut Vec<Mistake>) {
    within(source, &poll.every_ms, &POLL_MS, "every_ms", mistakes);
    let may_ask = |command: &HttpCommand| {
        let is_get = command.request.as_ref().is_some_and(|request| request.method.get_ref() == "GET");
        is_get && command.args.is_empty() && !matches!(command.name.get_ref().as_str(), RAISE | LOWER)
    };
    let named = |command: &&HttpCommand| command.name.get_ref() == poll.command.get_ref();
    if !words.commands.iter().find(named).is_some_and(may_ask) {
        let known = words.commands.iter().filter(|command| may_ask(command));
        let allowed = format!("a GET request without arguments: {}", one_of(known.map(|c| c.name.get_ref().as_str())));
        let wrong = format!("{:?} cannot be asked again and again", poll.command.get_ref());
        mistakes.push(source.mistake(poll.command.span(), wrong, allowed));
    }
}

fn command(source: &Source, words: &HttpWords, command: &HttpCommand, mistakes: &mut Vec<Mistake>) {
    check_named(source, &named!(command), mistakes);
    match (command.in_reply.as_slice(), &command.request) {
        (pieces @ [_, ..], None) => {
            for in_reply in pieces {
                carried(source, words, command, in_reply, mistakes);
            }
        }
        ([], Some(request)) => asked(source, words, command, request, mistakes),
        ([_, ..], Some(_)) | ([], None) => {
            let wrong = format!("how the command {} travels is not clear", command.name.get_ref());
            mistakes.push(source.mistake(command.name.span(), wrong, "either in_reply or request"));
        }
    }
}

fn carried(source: &Source, words: &HttpWords, command: &HttpCommand, in_reply: &InReply, mistakes: &mut Vec<Mistake>) {
    let also = placeholders(&command.args);
    let also: Vec<&str> = also.iter().map(String::as_str).collect();
    names_known(source, &in_reply.body, &words.params, &also, mistakes);
    is_json(source, &in_reply.body, &words.params, &also, mistakes);
    for reply in &in_reply.to {
        reply_known(source, words, reply, mistakes);
        if let Some(answer) = words.replies.get(reply.get_ref()) {
            let echoed = echoed(words, reply.get_ref());
            is_json(
                source,
                &answer.body,
                &words.params,
                &echoed.iter().map(String::as_str).collect::<Vec<_>>(),
                mistakes,
            );
        }
    }
}

fn asked(source: &Source, words: &HttpWords, command: &HttpCommand, request: &Request, mistakes: &mut Vec<Mistake>) {
    let also = placeholders(&command.args);
    let also: Vec<&str> = also.iter().map(String::as_str).collect();
    names_known(source, &request.path, &words.params, &also, mistakes);
    is_path(source, &request.path, mistakes);
    if let Some(body) = &request.body {
        names_known(source, body, &words.params, &also, mistakes);
    }
    if !matches!(request.method.get_ref().as_str(), "GET" | "PUT" | "POST" | "DELETE") {
        let wrong = format!("the method is {:?}", request.method.get_ref());
        mistakes.push(source.mistake(request.method.span(), wrong, "GET, PUT, POST, DELETE"));
    }
    if request.body.is_some() != request.content_type.is_some() {
        let wrong = "a body without its content type, or a content type without a body";
        mistakes.push(source.mistake(request.path.span(), wrong, "both, or none"));
    }
    if let Some(success) = &request.success {
        tests_without_params(source, success, mistakes);
    }
    within(source, &request.timeout_ms, &REPLY_MS, "timeout_ms", mistakes);
}

/// The messages that are answered with this reply.
fn answered_with<'w>(words: &'w HttpWords, reply: &str) -> impl Iterator<Item = &'w Message> {
    words.messages.iter().filter(move |message| message.reply.as_ref().is_some_and(|own| own.get_ref() == reply))
}

/// What some message with this reply gives it to repeat.
fn echoed(words: &HttpWords, reply: &str) -> BTreeSet<String> {
    answered_with(words, reply).flat_map(|message| message.echo.keys().cloned()).collect()
}

/// What one message gives its reply to repeat, all messages with the same reply must give.
fn lacking(source: &Source, words: &HttpWords, reply: &str, body: &str, mistakes: &mut Vec<Mistake>) {
    let echoed = echoed(words, reply);
    for name in template::names(body).into_iter().filter(|name| echoed.contains(*name)) {
        for message in answered_with(words, reply).filter(|message| !message.echo.contains_key(name)) {
            let wrong = format!("the message {:?} gives nothing for {{{name}}} in its reply {reply}", message.name);
            let at = message.reply.as_ref().map_or(0..0, |reply| reply.span());
            mistakes.push(source.mistake(at, wrong, format!("echo = {{ {name} = \"PATH\" }}, or a reply of its own")));
        }
    }
}

fn reply_known(source: &Source, words: &HttpWords, reply: &toml::Spanned<String>, mistakes: &mut Vec<Mistake>) {
    if !words.replies.contains_key(reply.get_ref()) {
        let known = one_of(words.replies.keys().map(String::as_str));
        let wrong = format!("there is no reply {:?}", reply.get_ref());
        mistakes.push(source.mistake(reply.span(), wrong, known));
    }
}

fn is_path(source: &Source, path: &toml::Spanned<String>, mistakes: &mut Vec<Mistake>) {
    if !path.get_ref().starts_with('/') {
        let wrong = format!("{:?} is no path", path.get_ref());
        mistakes.push(source.mistake(path.span(), wrong, "a path that begins with /"));
    }
}
