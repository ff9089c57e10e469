//! What of a profile no recorded exchange touches, and so nothing proves.

use std::collections::BTreeSet;

use super::super::http::Way;
use super::super::{Codec, bytes};
use super::Recording;
use super::exchanges::{With, body};

/// Every command and message that no exchange touches, as a person reads it.
pub fn of(with: &With, recording: &Recording) -> Vec<String> {
    let told = touched_commands(recording);
    let mut untouched: Vec<String> = Vec::new();
    for command in with.profile.commands().iter().map(|command| command.name).filter(|name| !told.contains(name)) {
        let line = format!("no exchange touches the command {command}");
        if !untouched.contains(&line) {
            untouched.push(line);
        }
    }
    let heard = heard_messages(with, recording);
    let messages = with.profile.messages().iter().enumerate().filter(|(number, _)| !heard.contains(number));
    untouched.extend(messages.map(|(_, message)| format!("no exchange touches the message {:?}", message.name)));
    untouched
}

fn touched_commands(recording: &Recording) -> BTreeSet<&str> {
    let told = recording.told.iter().map(|told| &told.command);
    let carried = recording.reply.iter().flat_map(|reply| &reply.carries).map(|carried| &carried.command);
    let called = recording.call.iter().map(|call| &call.command);
    let framed = recording.frame.iter().flat_map(|frame| frame.command.iter().chain(&frame.answers));
    let written = recording.bus.iter().filter_map(|bus| bus.command.as_ref());
    let forbidden = recording.forbidden.iter().map(|forbidden| &forbidden.command);
    let all = told.chain(carried).chain(called).chain(framed).chain(written).chain(forbidden);
    all.map(String::as_str).collect()
}

/// The positions of the messages that fit something recorded, whatever comes of it.
fn heard_messages(with: &With, recording: &Recording) -> BTreeSet<usize> {
    let says = recording.says.iter().filter_map(|says| {
        let Codec::Mqtt(codec) = with.codec else { return None };
        codec.tries(&says.topic, &body(&says.body, says.body_hex.as_ref()).ok()?).ok()
    });
    let posts = recording.post.iter().filter_map(|post| {
        let Codec::Http(codec) = with.codec else { return None };
        let body = body(&post.body, post.body_hex.as_ref()).ok()?;
        codec.tries(post.path.as_deref().map_or(Way::Unasked, Way::Post), &post.content_type, &body).ok()
    });
    // No message reads what comes with another status.
    let read = recording.look.iter().filter(|look| (200..300).contains(&look.status));
    let looks = read.filter_map(|look| {
        let Codec::Http(codec) = with.codec else { return None };
        codec.tries(Way::OfPicture, &look.answer_type, look.answer.as_bytes()).ok()
    });
    let heard = recording.frame.iter().filter(|frame| frame.command.is_none());
    let frames = heard.filter_map(|frame| {
        let Ok(Codec::Serial(codec)) = with.own(frame.params.as_ref()) else { return None };
        codec.tries(&bytes(&frame.hex).ok()?).ok()
    });
    says.chain(posts).chain(looks).chain(frames).filter_map(|tried| tried.iter().position(|tried| tried.fits)).collect()
}
