//! What an MQTT device says and hears, by its profile: topic and bytes in, statements out; a command in, bytes out.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::json::{Body, bad, decimal, place, scalar, shortened};
use super::language::{CommandName, Emits, Field, Message, MqttCommand, MqttWords};
use super::statement::{
    BODY_BYTES_MAX, CANDIDATES_MAX, Candidate, Colour, EVENT_CHARS_MAX, Level, PICTURE_BYTES_MAX, PICTURES_BYTES_MAX,
    Picture, Rejection, SeenPlate, Stage, Statement, VehicleKind,
};
use super::template::{self, Values};
use crate::domain::event::{ArmPosition, UtcMs, VehicleSign};

/// No plate has more characters, and no list of confidences more entries.
const PLATE_CHARS_MAX: usize = 16;

/// One device of an MQTT profile: the profile with the settings' parameters in it.
#[derive(Clone, Debug)]
pub struct MqttCodec {
    words: Arc<MqttWords>,
    layouts: Vec<String>,
    params: Values,
    routes: BTreeMap<String, Route>,
}

#[derive(Clone, Debug)]
enum Route {
    Says { layout: usize, messages: Vec<usize> },
    Answers { layout: usize, command: usize },
}

/// A message that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// The topic layout in which the device spoke; commands go there.
    pub layout: usize,
    /// What it means.
    pub what: Meaning,
    /// The pictures of the vehicle that it tells of.
    pub pictures: Vec<Picture>,
}

/// What a message means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// The device says something; may be nothing of interest.
    Says(Vec<Statement>),
    /// The device answers a command.
    Answers(DeviceAnswer),
}

/// A device's answer to a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceAnswer {
    /// The command's `{id}`.
    pub id: String,
    /// Taken, or refused in the device's own words.
    pub taken: Result<(), String>,
}

/// A message to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// Where.
    pub topic: String,
    /// What.
    pub body: String,
}

impl MqttCodec {
    pub(super) fn new(words: Arc<MqttWords>, params: Values) -> Self {
        let layouts: Vec<String> =
            words.layouts.iter().filter_map(|layout| template::plain(layout.get_ref(), &params)).collect();
        let mut codec = Self { words, layouts, params, routes: BTreeMap::new() };
        codec.routes = codec.routed();
        codec
    }

    /// Every topic on which the device speaks.
    pub fn topics(&self) -> impl Iterator<Item = &str> {
        self.routes.keys().map(String::as_str)
    }

    /// Patterns of topics on which devices of the same product speak that the settings do not name.
    pub fn strangers(&self) -> impl Iterator<Item = &str> {
        self.words.strangers.iter().map(|pattern| pattern.get_ref().as_str())
    }

    /// How long a command's answer may take, in milliseconds; 0 where the profile has no such command.
    pub fn reply_timeout_ms(&self, command: CommandName) -> u64 {
        self.command(command).map_or(0, |command| *command.reply.timeout_ms.get_ref())
    }

    /// What a message means.
    pub fn decode(&self, topic: &str, body: &[u8]) -> Result<Heard, Rejection> {
        if body.len() > BODY_BYTES_MAX {
            return Err(Rejection::TooLarge(body.len()));
        }
        let route = self.routes.get(topic).ok_or(Rejection::UnknownTopic)?;
        let top: Value =
            serde_json::from_slice(body).map_err(|error| Rejection::Malformed(shortened(&error.to_string())))?;
        match route {
            Route::Says { layout, messages } => {
                let (statements, pictures) = self.said(messages, &top)?;
                Ok(Heard { layout: *layout, what: Meaning::Says(statements), pictures })
            }
            Route::Answers { layout, command } => {
                let answer = answered(&self.words.commands[*command], &top)?;
                Ok(Heard { layout: *layout, what: Meaning::Answers(answer), pictures: Vec::new() })
            }
        }
    }

    /// The message that carries a command, in the layout in which the device spoke last (0 where it has not spoken).
    /// `None` where the profile has no such command; the arguments were checked with the settings.
    pub fn encode(&self, command: CommandName, layout: usize, args: &Values) -> Option<Publication> {
        let command = self.command(command)?;
        let layout = self.layouts.get(layout).or_else(|| self.layouts.first())?;
        let mut values = self.params.clone();
        values.extend(args.clone());
        let topic = template::plain(&in_layout(command.topic.get_ref(), layout), &values)?;
        let body = template::json(command.payload.get_ref(), &values)?;
        Some(Publication { topic, body })
    }

    fn command(&self, name: CommandName) -> Option<&MqttCommand> {
        self.words.commands.iter().find(|command| *command.name.get_ref() == name)
    }

    fn routed(&self) -> BTreeMap<String, Route> {
        let mut routes = BTreeMap::new();
        for (layout, prefix) in self.layouts.iter().enumerate() {
            let topic = |pattern: &str| template::plain(&in_layout(pattern, prefix), &self.params);
            for (number, message) in self.words.messages.iter().enumerate() {
                for topic in message.topics.iter().filter_map(|pattern| topic(pattern.get_ref())) {
                    let route = routes.entry(topic).or_insert(Route::Says { layout, messages: Vec::new() });
                    if let Route::Says { messages, .. } = route {
                        messages.push(number);
                    }
                }
            }
            for (command, words) in self.words.commands.iter().enumerate() {
                for topic in words.reply.topics.iter().filter_map(|pattern| topic(pattern.get_ref())) {
                    routes.insert(topic, Route::Answers { layout, command });
                }
            }
        }
        routes
    }

    fn said(&self, messages: &[usize], top: &Value) -> Result<(Vec<Statement>, Vec<Picture>), Rejection> {
        for number in messages {
            let message = &self.words.messages[*number];
            let body = Body::new(top, &message.root);
            if message.when.iter().all(|condition| body.fits(condition)) {
                return Ok((meaning(message, body)?, pictures(message, body)));
            }
        }
        Err(Rejection::UnknownMessage)
    }
}

fn in_layout(pattern: &str, layout: &str) -> String {
    pattern.replace("{layout}", layout)
}

fn meaning(message: &Message, body: Body) -> Result<Vec<Statement>, Rejection> {
    let field = |name: &str| message.fields.get(name).map(|field| field.get_ref());
    let statement = match message.emits.get_ref() {
        Emits::Nothing => return Ok(Vec::new()),
        Emits::Unsupported => return Err(Rejection::Unsupported(message.because.clone().unwrap_or_default())),
        Emits::KeepAlive => Statement::KeepAlive {},
        Emits::PlateRead => Statement::PlateRead(seen_plate(body, &field)?),
        Emits::Input => {
            let (field_number, number) = needed_integer(body, field("number"))?;
            let number = u16::try_from(number).map_err(|_| bad(field_number, "not an input number"))?;
            Statement::Input { number, level: needed(body, field("level"), level)? }
        }
        Emits::Arm => Statement::Arm { position: needed(body, field("position"), position)? },
        Emits::VehicleSign => Statement::VehicleSign { sign: needed(body, field("sign"), sign)? },
    };
    Ok(vec![statement])
}

/// A picture that cannot be taken out costs the message nothing else.
fn pictures(message: &Message, body: Body) -> Vec<Picture> {
    let mut room = PICTURES_BYTES_MAX;
    let mut found = Vec::new();
    for (kind, words) in &message.pictures {
        if let Some(bytes) = body.picture(words.get_ref(), room.min(PICTURE_BYTES_MAX)) {
            room -= bytes.as_ref().map_or(0, Vec::len);
            found.push(Picture { kind: *kind, bytes });
        }
    }
    found
}

fn seen_plate<'f>(body: Body, field: &impl Fn(&str) -> Option<&'f Field>) -> Result<SeenPlate, Rejection> {
    let (event_field, event) = needed_text(body, field("event"))?;
    if event.is_empty() || event.chars().count() > EVENT_CHARS_MAX || event.contains(char::is_control) {
        return Err(bad(event_field, format!("not 1 to {EVENT_CHARS_MAX} printable characters")));
    }
    Ok(SeenPlate {
        event,
        plate: plate(body, field("plate"))?,
        confidence: confidence(body, field("confidence"))?,
        captured: captured(body, field)?,
        stored_offline: match field("stored_offline") {
            Some(stored) => body.text(stored)?.is_some_and(|word| word == "yes"),
            None => false,
        },
        stage: stage(body, field("stage")),
        char_confidence: char_confidence(body, field("char_confidence")),
        candidates: candidates(body, field("candidates")),
        colour: word(body, field("colour")).as_deref().and_then(Colour::of_word),
        vehicle: word(body, field("vehicle")).as_deref().and_then(VehicleKind::of_word),
    })
}

/// A field of which a strange value costs nothing but itself: the vehicle was seen all the same.
fn word(body: Body, field: Option<&Field>) -> Option<String> {
    body.text(field?).ok().flatten()
}

fn stage(body: Body, field: Option<&Field>) -> Stage {
    match word(body, field).as_deref() {
        Some("quick") => Stage::Quick,
        Some("last") => Stage::Last,
        Some(_) | None => Stage::Full,
    }
}

/// A list that cannot belong to a plate says nothing; the plate itself still counts.
fn char_confidence(body: Body, field: Option<&Field>) -> Vec<u8> {
    let numbers = field.and_then(|field| body.integers(field).ok()).unwrap_or_default();
    if numbers.len() > PLATE_CHARS_MAX { Vec::new() } else { numbers.into_iter().map(percent).collect() }
}

fn candidates(body: Body, field: Option<&Field>) -> Vec<Candidate> {
    let Some(field) = field else { return Vec::new() };
    let text = |entry: Body, path: &Option<String>| path.as_deref().and_then(|path| entry.at(path)).and_then(scalar);
    let candidate = |entry: Body| {
        let plate = text(entry, &field.plate)?.parse().ok()?;
        let confidence = text(entry, &field.confidence).and_then(|text| decimal(&text, field.times.unwrap_or(1)));
        Some(Candidate { plate, confidence: confidence.map_or(0, percent) })
    };
    body.entries(field).filter_map(candidate).take(CANDIDATES_MAX).collect()
}

fn percent(value: i64) -> u8 {
    u8::try_from(value.clamp(0, 100)).expect("0 to 100 fits a byte")
}

fn plate(body: Body, field: Option<&Field>) -> Result<Option<crate::domain::plate::Plate>, Rejection> {
    let Some(field) = field else { return Ok(None) };
    // An absent field is a mistake of the device; a null word is a vehicle without a plate.
    if field.path.as_deref().is_some_and(|path| body.at(path).is_none()) && field.or_join.is_empty() {
        return Err(Rejection::MissingField(place(field)));
    }
    let Some(text) = body.text(field)? else { return Ok(None) };
    text.parse().map(Some).map_err(Rejection::NotAPlate)
}

/// Clamped to 0..=100: a camera that boasts has still seen a vehicle.
fn confidence(body: Body, field: Option<&Field>) -> Result<u8, Rejection> {
    let Some(field) = field else { return Ok(0) };
    Ok(percent(body.integer(field)?.unwrap_or(0)))
}

fn captured<'f>(body: Body, field: &impl Fn(&str) -> Option<&'f Field>) -> Result<Option<UtcMs>, Rejection> {
    if let Some(ms) = field("captured_ms").map(|field| body.integer(field)).transpose()?.flatten() {
        return Ok(Some(UtcMs(ms)));
    }
    let Some(seconds) = field("captured_s").map(|field| body.integer(field)).transpose()?.flatten() else {
        return Ok(None);
    };
    let micros = field("captured_us").map(|field| body.integer(field)).transpose()?.flatten().unwrap_or(0);
    Ok(seconds.checked_mul(1000).and_then(|ms| ms.checked_add(micros / 1000)).map(UtcMs))
}

/// The words of ours that a `level` may be mapped to.
pub(super) fn level(word: &str) -> Option<Level> {
    match word {
        "on" => Some(Level::On),
        "off" => Some(Level::Off),
        "pulse" => Some(Level::Pulse),
        _ => None,
    }
}

/// The words of ours that a `position` may be mapped to.
pub(super) fn position(word: &str) -> Option<ArmPosition> {
    match word {
        "up" => Some(ArmPosition::Up),
        "down" => Some(ArmPosition::Down),
        "between" => Some(ArmPosition::Between),
        _ => None,
    }
}

/// The words of ours that a `sign` may be mapped to.
pub(super) fn sign(word: &str) -> Option<VehicleSign> {
    match word {
        "passed" => Some(VehicleSign::Passed),
        "turned_back" => Some(VehicleSign::TurnedBack),
        "tailgated" => Some(VehicleSign::Tailgated),
        _ => None,
    }
}

fn needed<T>(body: Body, field: Option<&Field>, ours: impl Fn(&str) -> Option<T>) -> Result<T, Rejection> {
    let (field, word) = needed_text(body, field)?;
    ours(&word).ok_or_else(|| bad(field, "a value that the profile does not list"))
}

fn needed_integer<'f>(body: Body, field: Option<&'f Field>) -> Result<(&'f Field, i64), Rejection> {
    let (field, text) = needed_text(body, field)?;
    let number = text.parse().map_err(|_| bad(field, "not a whole number"))?;
    Ok((field, number))
}

fn needed_text<'f>(body: Body, field: Option<&'f Field>) -> Result<(&'f Field, String), Rejection> {
    let field = field.expect("the catalogue refuses a profile whose message lacks a needed field");
    let text = body.text(field)?.ok_or_else(|| Rejection::MissingField(place(field)))?;
    Ok((field, text))
}

fn answered(command: &MqttCommand, top: &Value) -> Result<DeviceAnswer, Rejection> {
    let body = Body::new(top, "");
    let path = command.reply.id.get_ref();
    let id = body.at(path).and_then(scalar).ok_or_else(|| Rejection::MissingField(path.clone()))?;
    let success = &command.reply.success;
    if body.fits(success) {
        return Ok(DeviceAnswer { id, taken: Ok(()) });
    }
    let path = success.path.get_ref();
    let words = match body.at(path).and_then(scalar) {
        Some(value) => format!("{path} {}", shortened(&value)),
        None => format!("no {path} in the answer"),
    };
    Ok(DeviceAnswer { id, taken: Err(words) })
}
