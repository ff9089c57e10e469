//! Recorded exchanges beside a profile: the bytes that a device sends and hears, and what they mean. They prove the
//! profile both ways, and damaged they prove that it takes nothing for what it is not.

mod answers;
mod exchanges;
mod mutations;
mod provinces;
mod untouched;

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use toml::Spanned;

use super::Profile;
use super::language::ArgKind;
use super::mistake::{Mistake, Source};
use super::statement::{NoPicture, Statement};
use super::template::{Value, Values};
use crate::domain::event::PhotoKind;

/// A file of recorded exchanges.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recording {
    /// Where the facts come from: documents and public sources, for whoever doubts them.
    pub source: String,
    /// The parameters of the recorded device.
    #[serde(default)]
    pub params: BTreeMap<String, toml::Value>,
    /// MQTT: what it says.
    #[serde(default)]
    pub says: Vec<Says>,
    /// MQTT: what it is told and how it answers.
    #[serde(default)]
    pub told: Vec<Told>,
    /// HTTP: what it posts, or says in its stream.
    #[serde(default)]
    pub post: Vec<Post>,
    /// HTTP: what the box answers to a post.
    #[serde(default)]
    pub reply: Vec<ReplyOf>,
    /// HTTP: what the box asks of it.
    #[serde(default)]
    pub call: Vec<CallOf>,
    /// HTTP: what the box asks about a picture.
    #[serde(default)]
    pub look: Vec<LookOf>,
    /// Frames: one of either side.
    #[serde(default)]
    pub frame: Vec<Frame>,
    /// Modbus: what is written and how it answers.
    #[serde(default)]
    pub bus: Vec<Bus>,
    /// Wiegand: the bits of a card.
    #[serde(default)]
    pub card: Vec<Card>,
    /// OSDP: one packet of either side.
    #[serde(default)]
    pub packet: Vec<PacketOf>,
    /// Commands that the profile's guards must stop.
    #[serde(default)]
    pub forbidden: Vec<Forbidden>,
}

/// A message of an MQTT device.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Says {
    /// What happens, for people.
    pub what: Spanned<String>,
    /// Where it arrives.
    pub topic: String,
    /// What arrives.
    #[serde(default)]
    pub body: String,
    /// The same in hex, for what is no text in UTF-8.
    pub body_hex: Option<String>,
    /// What it means.
    #[serde(default)]
    pub means: Vec<Statement>,
    /// The pictures that it brings.
    #[serde(default)]
    pub pictures: Vec<RecordedPicture>,
    /// Or the name of the rejection.
    pub rejected: Option<String>,
}

/// A picture in a recorded message.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordedPicture {
    /// Of what it is.
    pub kind: PhotoKind,
    /// SHA-256 of its bytes, in hex.
    pub sha256: Option<String>,
    /// Or why it is not taken.
    pub refused: Option<NoPicture>,
    /// Where the plate is in it: left, top, right and lower edge, as the device counts.
    pub plate_box: Option<[u32; 4]>,
}

/// A command to an MQTT device.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Told {
    /// What happens, for people.
    pub what: Spanned<String>,
    /// Parameters of this exchange, instead of the recording's.
    pub params: Option<BTreeMap<String, toml::Value>>,
    /// The command.
    pub command: String,
    /// Its arguments, with `id` and `timestamp`.
    pub args: BTreeMap<String, toml::Value>,
    /// In which layout the device spoke last, 0 where it has not.
    #[serde(default)]
    pub layout: usize,
    /// Where it is published.
    pub topic: String,
    /// What is published, byte for byte.
    pub body: String,
    /// Where the answer arrives; absent where there is none.
    pub reply_topic: Option<String>,
    /// What arrives.
    #[serde(default)]
    pub reply: String,
    /// The id in the answer.
    #[serde(default)]
    pub reply_id: String,
    /// The refusal, where the device does not take the command.
    pub refused: Option<String>,
}

impl Told {
    /// Whether this command waits for an answer with this id.
    fn awaits(&self) -> impl Fn(&str, &str) -> bool {
        |id, command| id == self.reply_id && command == self.command
    }
}

/// What an HTTP device posts; without a path, a part of its stream.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Post {
    /// What happens, for people.
    pub what: Spanned<String>,
    /// Where it is posted.
    pub path: Option<String>,
    /// Its content type.
    #[serde(default = "json_type")]
    pub content_type: String,
    /// Its body.
    #[serde(default)]
    pub body: String,
    /// The same in hex, for what is no text in UTF-8.
    pub body_hex: Option<String>,
    /// What it means.
    #[serde(default)]
    pub means: Vec<Statement>,
    /// The pictures that it brings.
    #[serde(default)]
    pub pictures: Vec<RecordedPicture>,
    /// Or the name of the rejection.
    pub rejected: Option<String>,
    /// Which of the profile's replies answers it.
    pub reply: Option<String>,
    /// What the reply repeats of it.
    #[serde(default)]
    pub echo: BTreeMap<String, toml::Value>,
}

fn json_type() -> String {
    "application/json".to_owned()
}

/// What the box answers to a post.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplyOf {
    /// What happens, for people.
    pub what: Spanned<String>,
    /// Which of the profile's replies.
    pub reply: String,
    /// What it repeats of the post.
    #[serde(default)]
    pub echo: BTreeMap<String, toml::Value>,
    /// The commands that it carries, in order.
    #[serde(default)]
    pub carries: Vec<Carried>,
    /// The answer, byte for byte.
    pub body: String,
}

/// One command in an answer.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Carried {
    /// The command.
    pub command: String,
    /// Its arguments.
    #[serde(default)]
    pub args: BTreeMap<String, toml::Value>,
}

/// What the box asks of an HTTP device, and its answer.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallOf {
    /// What happens, for people.
    pub what: Spanned<String>,
    /// Parameters of this exchange, instead of the recording's.
    pub params: Option<BTreeMap<String, toml::Value>>,
    /// The command.
    pub command: String,
    /// Its arguments.
    #[serde(default)]
    pub args: BTreeMap<String, toml::Value>,
    /// The request's method.
    pub method: String,
    /// The request's path.
    pub path: String,
    /// The request's body, byte for byte.
    #[serde(default)]
    pub body: String,
    /// The answer's status.
    pub status: u16,
    /// The answer's content type.
    #[serde(default)]
    pub answer_type: String,
    /// The answer's body.
    #[serde(default)]
    pub answer: String,
    /// The refusal, where the device does not take the command.
    pub refused: Option<String>,
}

/// A picture that a device is to read, and its answer.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LookOf {
    /// What happens, for people.
    pub what: Spanned<String>,
    /// The picture in hex; its first bytes say whether it is a JPEG or a PNG.
    pub picture_hex: String,
    /// How it is asked about; where it is not given, only the answer is looked at.
    pub asks: Option<AsksOf>,
    /// The answer's status.
    #[serde(default = "ok")]
    pub status: u16,
    /// The answer's content type.
    #[serde(default = "json_type")]
    pub answer_type: String,
    /// The answer's body.
    pub answer: String,
    /// What it means.
    #[serde(default)]
    pub means: Vec<Statement>,
    /// Or the name of the rejection.
    pub rejected: Option<String>,
}

fn ok() -> u16 {
    200
}

/// The request that hands a picture in: the picture stands between two texts.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AsksOf {
    /// Where it is posted.
    pub path: String,
    /// As what.
    pub content_type: String,
    /// What stands before the picture, byte for byte but for line breaks: each is CR LF on the wire.
    pub before: String,
    /// What stands behind it.
    pub behind: String,
}

/// One frame: what we send, what answers it, or what the device says by itself.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Frame {
    /// What happens, for people.
    pub what: Spanned<String>,
    /// The bytes, in hex.
    pub hex: String,
    /// Parameters of this exchange, instead of the recording's.
    pub params: Option<BTreeMap<String, toml::Value>>,
    /// The command whose frame it is.
    pub command: Option<String>,
    /// The command's arguments.
    #[serde(default)]
    pub args: BTreeMap<String, toml::Value>,
    /// Set where others sent it with values of their own: it is recognised as the command, and not made again.
    #[serde(default)]
    pub only_read: bool,
    /// The command that it answers.
    pub answers: Option<String>,
    /// The refusal, where the device does not take the command.
    pub refused: Option<String>,
    /// What it means.
    #[serde(default)]
    pub means: Vec<Statement>,
    /// Or the name of the rejection.
    pub rejected: Option<String>,
}

/// A frame on a Modbus line and its answer.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bus {
    /// What happens, for people.
    pub what: Spanned<String>,
    /// The command, with its arguments; absent for one of the profile's polls.
    pub command: Option<String>,
    /// Which poll, 0 for the first.
    #[serde(default)]
    pub poll: usize,
    /// The command's arguments.
    #[serde(default)]
    pub args: BTreeMap<String, toml::Value>,
    /// What is written, in hex.
    pub writes: String,
    /// What comes back, in hex.
    pub answer: String,
    /// For a poll: which inputs are on.
    pub inputs_on: Option<Vec<usize>>,
    /// For a refusal: its number.
    pub refused: Option<u8>,
    /// For a frame that is no answer: the name of the fault.
    pub fault: Option<String>,
}

/// The bits of a card.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Card {
    /// What happens, for people.
    pub what: Spanned<String>,
    /// 0 and 1.
    pub bits: String,
    /// The format's name.
    pub format: Option<String>,
    /// The facility code.
    pub facility: Option<u64>,
    /// The card number.
    #[serde(default)]
    pub number: u64,
    /// Or the name of the fault.
    pub fault: Option<String>,
}

/// One OSDP packet.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PacketOf {
    /// What happens, for people.
    pub what: Spanned<String>,
    /// The bytes, in hex.
    pub hex: String,
    /// For what we send: the code and the data in hex, and the sequence number.
    pub sends: Option<Sent>,
    /// For a reply: `taken`, `refused`, `busy`, `bad-card`, `other`; or what it means.
    pub answer: Option<String>,
    /// What it means.
    pub means: Option<Statement>,
    /// Or the name of the rejection.
    pub rejected: Option<String>,
    /// The sequence number of the packet that it answers.
    #[serde(default)]
    pub sequence: u8,
}

/// An OSDP packet that the box sends.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sent {
    /// The command's code.
    pub code: u8,
    /// What belongs to it, in hex.
    #[serde(default)]
    pub data: String,
}

/// A command that must not be sent.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Forbidden {
    /// What would happen, for people.
    pub what: Spanned<String>,
    /// The command.
    pub command: String,
    /// Its arguments.
    #[serde(default)]
    pub args: BTreeMap<String, toml::Value>,
}

/// What was proved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Proved {
    /// Exchanges, each both ways where it goes both ways.
    pub exchanges: usize,
    /// Those of them that are not as recorded, whole or damaged.
    pub failed: usize,
    /// Damaged copies that behaved.
    pub damaged: usize,
}

/// What a profile gives beside what was recorded; both for a person to read.
type Differs = (String, String);

/// Runs every exchange both ways and damages each: how many there were, or everything that differs.
pub fn check(profile: &Profile, source: &Source) -> Result<Proved, Vec<Mistake>> {
    let (proved, mistakes) = prove(profile, source);
    if mistakes.is_empty() { Ok(proved) } else { Err(mistakes) }
}

/// The same with how many there were also where something differs. What nothing was recorded of is not proved.
pub fn prove(profile: &Profile, source: &Source) -> (Proved, Vec<Mistake>) {
    let recording: Recording = match toml::from_str(source.text) {
        Ok(recording) => recording,
        Err(error) => return (Proved::default(), vec![source.unreadable(&error)]),
    };
    let codec = match profile.bind(&recording.params) {
        Ok(codec) => codec,
        Err(bad) => {
            let mistakes = bad.into_iter().map(|bad| source.whole(bad.wrong, bad.allowed)).collect();
            return (Proved::default(), mistakes);
        }
    };
    let mut mistakes = Vec::new();
    let mut failed = BTreeSet::new();
    if recording.source.trim().is_empty() {
        mistakes.push(source.whole("the source is empty", "where the facts come from"));
    }
    let mut proved = Proved::default();
    let with = exchanges::With { profile, codec: &codec };
    for (what, found) in with.all(&recording) {
        proved.exchanges += 1;
        if let Err((found, recorded)) = found {
            let wrong = format!("{}: the profile gives {found}", what.get_ref());
            mistakes.push(source.mistake(what.span(), wrong, format!("as recorded, {recorded}")));
            failed.insert(what.span().start);
        }
    }
    for (what, found) in mutations::of(&recording, &codec).into_iter().chain(answers::of(&with, &recording)) {
        match found {
            Ok(count) => proved.damaged += count,
            Err(wrong) => {
                let wrong = format!("{}, damaged: {wrong}", what.get_ref());
                mistakes.push(source.mistake(what.span(), wrong, "a rejection, or the same meaning"));
                failed.insert(what.span().start);
            }
        }
    }
    proved.failed = failed.len();
    if proved.exchanges == 0 {
        mistakes
            .push(source.whole("nothing is recorded", "exchanges, as the manual's section on recordings lists them"));
    }
    let allowed = "an exchange for each; [[forbidden]] for a command that is never sent";
    mistakes.extend(untouched::of(&with, &recording).into_iter().map(|wrong| source.whole(wrong, allowed)));
    (proved, mistakes)
}

/// What a device says, as its recording writes it down.
pub fn means(says: &[Statement]) -> String {
    let written = |statement: &Statement| toml::Value::try_from(statement).map(|value| value.to_string());
    let all: Vec<String> = says.iter().filter_map(|statement| written(statement).ok()).collect();
    format!("means = [{}]", all.join(", "))
}

/// Arguments as a command takes them.
pub fn args(profile: &Profile, command: &str, given: &BTreeMap<String, toml::Value>) -> Values {
    let known = profile.args(command);
    let kind = |name: &String| known.and_then(|known| known.get(name)).map(|arg| arg.kind);
    given.iter().map(|(name, given)| (name.clone(), value(given, kind(name)))).collect()
}

fn value(given: &toml::Value, kind: Option<ArgKind>) -> Value {
    if let Some(number) = given.as_integer() {
        return Value::Integer(number);
    }
    if let Some(rows) = given.as_array() {
        let row = |row: &toml::Value| -> Values {
            let members = row.as_table().into_iter().flatten();
            members.map(|(name, given)| (name.clone(), value(given, None))).collect()
        };
        return Value::Rows(rows.iter().map(row).collect());
    }
    let text = super::json::toml_scalar(given);
    match kind {
        Some(ArgKind::Bytes) => super::bytes(&text).map_or(Value::Text(text), Value::Bytes),
        Some(ArgKind::Integer | ArgKind::Text | ArgKind::Rows) | None => Value::Text(text),
    }
}
