//! Recorded exchanges beside a profile: the bytes that a device sends and hears, and what they mean. They prove the
//! profile both ways.

use std::collections::BTreeMap;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::language::CommandName;
use super::mistake::{Mistake, Source};
use super::modbus::Answer;
use super::mqtt::Meaning;
use super::statement::{NoPicture, Picture, Statement};
use super::template::{Value, Values};
use super::{Codec, Profile};
use crate::domain::event::PhotoKind;

/// A file of recorded exchanges.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recording {
    /// The parameters of the recorded device.
    pub params: BTreeMap<String, toml::Value>,
    /// MQTT: what it says.
    #[serde(default)]
    pub says: Vec<Says>,
    /// MQTT: what it is told and how it answers.
    #[serde(default)]
    pub told: Vec<Told>,
    /// Serial bus: what is written and how it answers.
    #[serde(default)]
    pub bus: Vec<Bus>,
}

/// A message of an MQTT device.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Says {
    /// What happens, for people.
    pub what: toml::Spanned<String>,
    /// Where it arrives.
    pub topic: String,
    /// What arrives.
    pub body: String,
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
}

/// A command to an MQTT device.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Told {
    /// What happens, for people.
    pub what: toml::Spanned<String>,
    /// The command.
    pub command: CommandName,
    /// Its arguments, with `id` and `timestamp`.
    pub args: BTreeMap<String, toml::Value>,
    /// In which layout the device spoke last, 0 where it has not.
    #[serde(default)]
    pub layout: usize,
    /// Where it is published.
    pub topic: String,
    /// What is published, byte for byte.
    pub body: String,
    /// Where the answer arrives.
    pub reply_topic: String,
    /// What arrives.
    pub reply: String,
    /// The id in the answer.
    pub reply_id: String,
    /// The refusal, where the device does not take the command.
    pub refused: Option<String>,
}

/// A frame on a serial bus and its answer.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bus {
    /// What happens, for people.
    pub what: toml::Spanned<String>,
    /// The command, with its arguments; absent for the profile's first poll.
    pub command: Option<CommandName>,
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

/// Runs every exchange both ways: how many there are, or everything that differs.
pub fn check(profile: &Profile, source: &Source) -> Result<usize, Vec<Mistake>> {
    let recording: Recording = toml::from_str(source.text).map_err(|error| vec![source.unreadable(&error)])?;
    let codec = profile
        .bind(&recording.params)
        .map_err(|bad| bad.into_iter().map(|bad| source.whole(bad.wrong, bad.allowed)).collect::<Vec<Mistake>>())?;
    let mut mistakes = Vec::new();
    let mut differs = |what: &toml::Spanned<String>, found: Result<(), (String, String)>| {
        if let Err((found, recorded)) = found {
            let wrong = format!("{}: the profile gives {found}", what.get_ref());
            mistakes.push(source.mistake(what.span(), wrong, format!("as recorded, {recorded}")));
        }
    };
    for says in &recording.says {
        differs(&says.what, said(&codec, says));
    }
    for told in &recording.told {
        differs(&told.what, obeyed(&codec, told));
    }
    for bus in &recording.bus {
        differs(&bus.what, exchanged(&codec, bus));
    }
    let count = recording.says.len() + recording.told.len() + recording.bus.len();
    if mistakes.is_empty() { Ok(count) } else { Err(mistakes) }
}

/// Arguments as a command takes them.
pub fn args(given: &BTreeMap<String, toml::Value>) -> Values {
    let value = |value: &toml::Value| match value.as_integer() {
        Some(number) => Value::Integer(number),
        None => Value::Text(super::json::toml_scalar(value)),
    };
    given.iter().map(|(name, given)| (name.clone(), value(given))).collect()
}

fn said(codec: &Codec, says: &Says) -> Result<(), (String, String)> {
    let Codec::Mqtt(codec) = codec else { return Err(not_for_this_link()) };
    let found = codec.decode(&says.topic, says.body.as_bytes());
    let found = found.map(|heard| (heard.what, heard.pictures.iter().map(recorded_picture).collect()));
    let found = found.map_err(|rejection| rejection.name().to_owned());
    let recorded = match &says.rejected {
        Some(name) => Err(name.clone()),
        None => Ok((Meaning::Says(says.means.clone()), says.pictures.clone())),
    };
    same(&found, &recorded)
}

fn recorded_picture(picture: &Picture) -> RecordedPicture {
    let sha256 = picture.bytes.as_ref().ok().map(|bytes| hex::encode(Sha256::digest(bytes)));
    RecordedPicture { kind: picture.kind, sha256, refused: picture.bytes.as_ref().err().copied() }
}

fn obeyed(codec: &Codec, told: &Told) -> Result<(), (String, String)> {
    let Codec::Mqtt(codec) = codec else { return Err(not_for_this_link()) };
    let publication = codec.encode(told.command, told.layout, &args(&told.args));
    let found = publication.map(|publication| (publication.topic, publication.body));
    same(&found, &Some((told.topic.clone(), told.body.clone())))?;
    let found = codec.decode(&told.reply_topic, told.reply.as_bytes()).map(|heard| heard.what);
    let taken = told.refused.clone().map_or(Ok(()), Err);
    same(&found, &Ok(Meaning::Answers(super::mqtt::DeviceAnswer { id: told.reply_id.clone(), taken })))
}

fn exchanged(codec: &Codec, bus: &Bus) -> Result<(), (String, String)> {
    let Codec::Modbus(codec) = codec else { return Err(not_for_this_link()) };
    let request = match bus.command {
        Some(command) => codec.encode(command, &args(&bus.args)),
        None => codec.polls().into_iter().next().map(|(request, _, _)| request),
    };
    let Some(request) = request else { return Err(("no such frame".to_owned(), bus.writes.clone())) };
    same(&hex::encode_upper(&request.frame), &bus.writes.replace(' ', ""))?;
    let bytes = hex::decode(bus.answer.replace(' ', "")).map_err(|error| (error.to_string(), "hex".to_owned()))?;
    let found = request.answered(&bytes).map_err(|fault| fault.name().to_owned());
    let recorded = match (&bus.fault, bus.refused, &bus.inputs_on) {
        (Some(fault), _, _) => Err(fault.clone()),
        (None, Some(reason), _) => Ok(Answer::Refused(reason)),
        (None, None, Some(on)) => {
            let count = codec.polls().first().map_or(0, |(request, _, _)| usize::from(request.frame[5]));
            Ok(Answer::Inputs((0..count).map(|number| on.contains(&number)).collect()))
        }
        (None, None, None) => Ok(Answer::Echo),
    };
    same(&found, &recorded)
}

fn same<T: PartialEq + std::fmt::Debug>(found: &T, recorded: &T) -> Result<(), (String, String)> {
    if found == recorded { Ok(()) } else { Err((format!("{found:?}"), format!("{recorded:?}"))) }
}

fn not_for_this_link() -> (String, String) {
    ("nothing: the profile is for another link".to_owned(), "says and told for mqtt, bus for modbus-rtu".to_owned())
}
