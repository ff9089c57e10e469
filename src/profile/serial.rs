//! What a device says and hears in frames: bytes in, statements or answers out; a command in, bytes out.

use std::sync::Arc;

use serde_json::Value as Json;

use super::framing::Framing;
use super::json::Body;
use super::language::Message;
use super::language::frame::{Part, SerialCommand, SerialReply, SerialWords};
use super::layout::{self, Fault, Read, Step};
use super::meaning::{self, answer};
use super::statement::{CannotSend, DeviceAnswer, Rejection, Statement};
use super::template::{Value, Values};
use super::trying::{self, Tried};

/// One device that speaks in frames: the profile with the settings' parameters in it.
#[derive(Clone, Debug)]
pub struct SerialCodec {
    words: Arc<SerialWords>,
    framing: Framing,
    params: Values,
}

/// A frame to be sent, and how its answer is told from other frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// The command's name.
    pub command: String,
    /// The bytes.
    pub frame: Vec<u8>,
    /// How long the answer may take, in milliseconds; `None` where there is none.
    pub answer_within_ms: Option<u64>,
}

/// A frame as a person reads it.
#[derive(Clone, Debug)]
pub struct Explained {
    /// Its parts.
    pub steps: Vec<Step>,
    /// The command or message of the profile that it is, and the parts of its data.
    pub is: Vec<(String, Vec<Step>)>,
}

impl SerialCodec {
    pub(super) fn new(words: Arc<SerialWords>, params: Values) -> Self {
        let framing = Framing::new(&words.frame);
        Self { words, framing, params }
    }

    /// How frames come out of a stream.
    pub fn framing(&self) -> &Framing {
        &self.framing
    }

    /// By which parameters frames tell for whom they are; empty where one line has one device.
    pub fn address(&self) -> String {
        let names = self.words.frame.parts.iter().filter_map(|part| part.get_ref().number.as_ref());
        let ours: Vec<String> = names.filter_map(|name| self.params.get(name)).map(Value::written).collect();
        ours.join(" ")
    }

    /// What is asked again and again: the command, and the milliseconds between two of it.
    pub fn polls(&self) -> impl Iterator<Item = (&str, u64)> {
        self.words.polls.iter().map(|poll| (poll.command.get_ref().as_str(), *poll.every_ms.get_ref()))
    }

    /// The frame that carries a command.
    pub fn encode(&self, command: &str, args: &Values) -> Result<Outgoing, CannotSend> {
        let words = self.command(command).ok_or_else(|| CannotSend::NoCommand(command.to_owned()))?;
        let given = meaning::arguments(&words.args, words.guard.as_ref(), args)?;
        let mut values = self.params.clone();
        values.extend(given);
        values.extend(words.set.iter().map(|(name, number)| (name.clone(), Value::Integer(*number))));
        let data = layout::write(&words.data, &values)?;
        values.insert("data".to_owned(), Value::Bytes(data));
        let frame = self.framing.write(&values)?;
        let answer_within_ms = self.reply(words).map(|reply| *reply.timeout_ms.get_ref());
        Ok(Outgoing { command: command.to_owned(), frame, answer_within_ms })
    }

    /// What a frame says by itself.
    pub fn decode(&self, frame: &[u8]) -> Result<Vec<Statement>, Rejection> {
        let read = self.framing.read(frame)?;
        self.is_ours(&read)?;
        for message in &self.words.messages {
            // Frames of other kinds may not fit this one's layout, and that is no fault.
            let Ok(top) = laid_out(&read, &message.data) else { continue };
            let body = Body::new(&top, &message.root);
            if message.when.iter().all(|condition| body.fits(condition)) {
                return meaning::of(message, body);
            }
        }
        Err(Rejection::UnknownMessage)
    }

    /// Every message of the profile before a frame, in the order in which they are tried: the first that fits is taken.
    pub fn tries(&self, frame: &[u8]) -> Result<Vec<Tried>, Rejection> {
        let read = self.framing.read(frame)?;
        self.is_ours(&read)?;
        let one = |message: &Message| match laid_out(&read, &message.data) {
            Ok(top) => trying::tried(message, &top),
            Err(fault) => trying::elsewhere(message, format!("its data is laid out otherwise: {fault}")),
        };
        Ok(self.words.messages.iter().map(one).collect())
    }

    /// What a frame says as the answer to a command; `None` where it is not that command's answer.
    pub fn answered(&self, command: &str, frame: &[u8]) -> Result<Option<DeviceAnswer>, Rejection> {
        let read = self.framing.read(frame)?;
        self.is_ours(&read)?;
        let Some(reply) = self.command(command).and_then(|words| self.reply(words)) else { return Ok(None) };
        let Some(top) = fitting(&read, reply) else { return Ok(None) };
        Ok(Some(answer(String::new(), reply.success.as_ref(), Body::new(&top, ""))))
    }

    /// Whether the device answers both commands in the same words, so that only their order on the line tells which it means.
    pub fn are_answered_alike(&self, one: &str, other: &str) -> bool {
        let when = |name: &str| self.command(name).and_then(|words| self.reply(words)).map(|reply| &reply.when);
        one == other || when(one) == when(other)
    }

    /// A frame step by step, in either direction, and what it is by this profile.
    pub fn explain(&self, frame: &[u8]) -> Result<Explained, Rejection> {
        let read = self.framing.read(frame)?;
        let mut is = Vec::new();
        for words in &self.words.commands {
            let header_fits =
                words.set.iter().all(|(name, number)| read.values.get(name).and_then(Json::as_i64) == Some(*number));
            if header_fits && let Ok(data) = data_of(&read, &words.data) {
                is.push((format!("the command {}", words.name.get_ref()), data.steps));
            }
            if let Some(reply) = &words.reply
                && fitting(&read, reply).is_some()
                && let Ok(data) = data_of(&read, &reply.data)
            {
                is.push((format!("the answer to {}", words.name.get_ref()), data.steps));
            }
        }
        for message in &self.words.messages {
            if let Ok(top) = laid_out(&read, &message.data)
                && message.when.iter().all(|condition| Body::new(&top, &message.root).fits(condition))
                && let Ok(data) = data_of(&read, &message.data)
            {
                is.push((format!("the message {:?}", message.name), data.steps));
            }
        }
        Ok(Explained { steps: read.steps, is })
    }

    fn command(&self, name: &str) -> Option<&SerialCommand> {
        self.words.commands.iter().find(|command| command.name.get_ref() == name)
    }

    /// The answer that a command has with this device's settings.
    fn reply<'w>(&self, command: &'w SerialCommand) -> Option<&'w SerialReply> {
        let has = |(name, word): (&String, &String)| self.params.get(name) == Some(&Value::Text(word.clone()));
        command.reply.as_ref().filter(|reply| reply.only_if.iter().all(has))
    }

    /// On a shared line every frame tells for whom it is: parts that hold a parameter must hold this device's.
    fn is_ours(&self, read: &Read) -> Result<(), Rejection> {
        let parts = self.words.frame.parts.iter().map(|part| part.get_ref());
        for name in parts.filter_map(|part| part.number.as_ref()) {
            if let (Some(Value::Integer(ours)), Some(found)) = (self.params.get(name), read.values.get(name))
                && found.as_i64() != Some(*ours)
            {
                return Err(Rejection::NotForThis(name.clone()));
            }
        }
        Ok(())
    }
}

/// The frame's values, with those of its `data` part below `data`.
fn laid_out(read: &Read, parts: &[Part]) -> Result<Json, Fault> {
    let mut top = read.values.clone();
    if !parts.is_empty() {
        top.insert("data".to_owned(), Json::Object(data_of(read, parts)?.values));
    }
    Ok(Json::Object(top))
}

fn data_of(read: &Read, parts: &[Part]) -> Result<Read, Fault> {
    let text = read.values.get("data").and_then(Json::as_str).unwrap_or_default();
    let bytes = hex::decode(text).unwrap_or_default();
    if parts.is_empty() && bytes.is_empty() {
        return Ok(Read::default());
    }
    layout::read(parts, &bytes)
}

fn fitting(read: &Read, reply: &SerialReply) -> Option<Json> {
    let top = laid_out(read, &reply.data).ok()?;
    let body = Body::new(&top, "");
    reply.when.iter().all(|condition| body.fits(condition)).then_some(top)
}
