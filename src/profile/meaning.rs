//! What a message means once it is a tree of values, whatever link brought it; and what a command may be given.

use std::collections::BTreeMap;

use hyper::body::Bytes;
use jiff::civil::{DateTime, date};
use toml::Spanned;

use super::charset;
use super::document::PartOf;
use super::json::{Body, bad, place, scalar, scaled, shortened, toml_scalar};
use super::language::{Arg, ArgKind, Condition, Emits, Field, Guard, Message};
use super::statement::{
    CANDIDATES_MAX, Candidate, CannotSend, Colour, DeviceAnswer, EVENT_CHARS_MAX, Heading, Level, NoPicture,
    PICTURE_BYTES_MAX, PICTURES_BYTES_MAX, Picture, Rejection, SeenPlate, Stage, Statement, UNREAD_CHARS_MAX,
    VehicleKind,
};
use super::template::{Value, Values};
use crate::domain::event::{ArmPosition, UtcMs, VehicleSign};
use crate::domain::plate::{NotAPlate, Plate};

/// No plate has more characters, and no list of confidences more entries.
const PLATE_CHARS_MAX: usize = 16;

/// A value that cannot be read, beside a plate that can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Strange;

/// What a message says whose conditions hold: all of it or nothing.
pub(super) fn of(message: &Message, body: Body) -> Result<Vec<Statement>, Rejection> {
    if *message.emits.get_ref() == Emits::Unsupported {
        return Err(Rejection::Unsupported(message.because.clone().unwrap_or_default()));
    }
    let all = message.meanings().map(|(emits, fields)| statement(*emits.get_ref(), fields, body));
    all.filter_map(Result::transpose).collect()
}

fn statement(
    emits: Emits,
    fields: &BTreeMap<String, Spanned<Field>>,
    body: Body,
) -> Result<Option<Statement>, Rejection> {
    let field = |name: &str| fields.get(name).map(|field| field.get_ref());
    Ok(Some(match emits {
        Emits::Nothing | Emits::Unsupported => return Ok(None),
        Emits::KeepAlive => Statement::KeepAlive {},
        Emits::Away => Statement::Away {},
        Emits::PlateRead => Statement::PlateRead(seen_plate(body, &field)?),
        Emits::Input => {
            let (field_number, number) = needed_integer(body, field("number"))?;
            let number = u16::try_from(number).map_err(|_| bad(field_number, "not an input number"))?;
            Statement::Input { number, level: needed(body, field("level"), level)? }
        }
        Emits::Inputs => inputs(body, &field)?,
        Emits::Card => {
            let (number_field, number) = needed_integer(body, field("number"))?;
            let facility = field("facility").map(|field| body.integer(field)).transpose()?.flatten();
            Statement::Card {
                facility: facility.and_then(|code| u64::try_from(code).ok()),
                number: u64::try_from(number).map_err(|_| bad(number_field, "not a card number"))?,
            }
        }
        Emits::Tunnelled => {
            let (channel_field, channel) = needed_integer(body, field("channel"))?;
            let channel = u16::try_from(channel).map_err(|_| bad(channel_field, "not a channel"))?;
            let bytes_field = field("bytes").expect("the catalogue refuses a message that lacks a needed field");
            let bytes = body.bytes(bytes_field)?.ok_or_else(|| Rejection::MissingField(place(bytes_field)))?;
            Statement::Tunnelled { channel, bytes: hex::encode_upper(bytes) }
        }
        Emits::Arm => Statement::Arm { position: needed(body, field("position"), position)? },
        Emits::VehicleSign => Statement::VehicleSign { sign: needed(body, field("sign"), sign)? },
    }))
}

/// The device's own running number of a message, where it has one. A number that is none tells nothing of what is missing.
pub(super) fn number(message: &Message, body: Body) -> Option<u64> {
    body.at(message.number.as_deref()?).and_then(scalar)?.parse().ok()
}

/// The fields of a vehicle's message that have a value nobody can read. They cost the vehicle nothing but themselves;
/// somebody should look why.
pub(super) fn strange(message: &Message, body: Body) -> Vec<&'static str> {
    if *message.emits.get_ref() != Emits::PlateRead {
        return Vec::new();
    }
    let field = |name: &str| message.fields.get(name).map(|field| field.get_ref());
    let local = field("captured_local").filter(|field| !body.is_blank(field));
    let found = [
        ("confidence", confidence(body, field("confidence")).is_err()),
        ("captured", captured(body, &field).is_err()),
        ("captured_local", local.is_some_and(|local| on_the_wall(body, local).is_none())),
        ("stored_offline", stored_offline(body, field("stored_offline")).is_err()),
    ];
    found.into_iter().filter(|(_, is_strange)| *is_strange).map(|(name, _)| name).collect()
}

/// The pictures of the vehicle that a message tells of, in its body or in the parts beside it. One that cannot be taken
/// out costs the message nothing else.
pub(super) fn pictures(message: &Message, body: Body, parts: &[PartOf]) -> Vec<Picture> {
    let mut room = PICTURES_BYTES_MAX;
    let mut found = Vec::new();
    for (kind, words) in &message.pictures {
        let (words, most) = (words.get_ref(), room.min(PICTURE_BYTES_MAX));
        let bytes = match &words.part {
            Some(name) => of_part(parts, name, most),
            None => body.picture(words, most).map(|found| found.map(Bytes::from)),
        };
        if let Some(bytes) = bytes {
            room -= bytes.as_ref().map_or(0, Bytes::len);
            let plate_box = words.plate_box.as_ref().and_then(|words| body.plate_box(words));
            found.push(Picture { kind: *kind, bytes, plate_box });
        }
    }
    found
}

/// Devices differ in which of the two names they give, and in its case.
fn of_part(parts: &[PartOf], name: &str, most_bytes: usize) -> Option<Result<Bytes, NoPicture>> {
    let is_it = |part: &&PartOf| [part.filename, part.name].iter().any(|own| own.eq_ignore_ascii_case(name));
    let part = parts.iter().find(is_it).filter(|part| !part.bytes.is_empty())?;
    Some(if part.bytes.len() > most_bytes { Err(NoPicture::PhotoTooLarge) } else { Ok(part.kept()) })
}

fn seen_plate<'f>(body: Body, field: &impl Fn(&str) -> Option<&'f Field>) -> Result<SeenPlate, Rejection> {
    let (plate, unread) = plate(body, field("plate"))?;
    Ok(SeenPlate {
        event: event(body, field("event"))?,
        plate,
        unread,
        confidence: confidence(body, field("confidence")).unwrap_or(0),
        captured: captured(body, field).unwrap_or(None),
        captured_local: field("captured_local").and_then(|field| on_the_wall(body, field)),
        // Whoever came, and when, is not known: it is on record and must raise nothing.
        stored_offline: stored_offline(body, field("stored_offline")).unwrap_or(true),
        stage: stage(body, field("stage")),
        char_confidence: char_confidence(body, field("char_confidence")),
        candidates: candidates(body, field("candidates")),
        colour: word(body, field("colour")).as_deref().and_then(Colour::of_word),
        vehicle: word(body, field("vehicle")).as_deref().and_then(VehicleKind::of_word),
        direction: word(body, field("direction")).as_deref().and_then(Heading::of_word),
    })
}

/// The device's identity of what it tells; what answers the box has none.
fn event(body: Body, field: Option<&Field>) -> Result<String, Rejection> {
    if field.is_none() {
        return Ok(String::new());
    }
    let (field, event) = needed_text(body, field)?;
    if event.is_empty() || event.chars().count() > EVENT_CHARS_MAX || event.contains(char::is_control) {
        return Err(bad(field, format!("not 1 to {EVENT_CHARS_MAX} printable characters")));
    }
    Ok(event)
}

fn inputs<'f>(body: Body, field: &impl Fn(&str) -> Option<&'f Field>) -> Result<Statement, Rejection> {
    let (count_field, count) = needed_integer(body, field("count"))?;
    let count = u16::try_from(count).ok().filter(|count| (1..=64).contains(count));
    let count = count.ok_or_else(|| bad(count_field, "not 1 to 64 inputs"))?;
    let bits = field("bits").expect("the catalogue refuses a message that lacks a needed field");
    Ok(Statement::Inputs { count, on: super::contacts::on(body, bits, count)? })
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
    // Its plate takes the same steps as the plate itself.
    let steps = Field { path: field.plate.clone(), ..field.clone() };
    let candidate = |entry: Body| {
        let plate = charset::plate(&word(entry, Some(&steps))?).ok()?;
        let confidence = field.confidence.as_deref().and_then(|path| entry.at(path)).and_then(scalar);
        let confidence = confidence.and_then(|text| scaled(&text, field));
        Some(Candidate { plate, confidence: confidence.map_or(0, percent) })
    };
    body.entries(field).filter_map(candidate).take(CANDIDATES_MAX).collect()
}

fn percent(value: i64) -> u8 {
    u8::try_from(value.clamp(0, 100)).expect("0 to 100 fits a byte")
}

/// The plate, or what was read instead: a vehicle of which the camera saw a part of the plate is there all the same.
fn plate(body: Body, field: Option<&Field>) -> Result<(Option<Plate>, Option<String>), Rejection> {
    let Some(field) = field else { return Ok((None, None)) };
    // A field that is not there at all is a mistake of the device; null, or what the profile lists as nothing, is a vehicle
    // without a plate.
    if body.lacks(field) && field.default.is_none() {
        return Err(Rejection::MissingField(place(field)));
    }
    let Some(text) = body.text(field)?.filter(|text| !text.trim().is_empty() && !field.nulls.contains(text)) else {
        return Ok((None, None));
    };
    Ok(match charset::plate(&text) {
        Ok(plate) => (Some(plate), None),
        Err(NotAPlate::NoPlate) => (None, None),
        Err(NotAPlate::Length(_) | NotAPlate::Character(_) | NotAPlate::NoDigit) => {
            (None, Some(shortened(&text).chars().take(UNREAD_CHARS_MAX).collect()))
        }
    })
}

/// Clamped to 0..=100: a camera that boasts has still seen a vehicle.
fn confidence(body: Body, field: Option<&Field>) -> Result<u8, Strange> {
    let Some(field) = field else { return Ok(0) };
    let Some(text) = side(body, field)? else { return Ok(0) };
    scaled(&text, field).map(percent).ok_or(Strange)
}

/// In the first of its forms that can be read.
fn captured<'f>(body: Body, field: &impl Fn(&str) -> Option<&'f Field>) -> Result<Option<UtcMs>, Strange> {
    let told = [
        whole(body, field("captured_ms")),
        with_offset(body, field("captured")),
        in_seconds(body, field("captured_s"), field("captured_us")),
    ];
    match told.iter().find_map(|told| told.ok().flatten()) {
        Some(ms) => Ok(Some(UtcMs(ms))),
        None if told.contains(&Err(Strange)) => Err(Strange),
        None => Ok(None),
    }
}

fn with_offset(body: Body, field: Option<&Field>) -> Result<Option<i64>, Strange> {
    let Some(text) = field.map(|field| side(body, field)).transpose()?.flatten() else { return Ok(None) };
    let time: jiff::Timestamp = text.trim().parse().map_err(|_| Strange)?;
    Ok(Some(time.as_millisecond()))
}

fn in_seconds(body: Body, seconds: Option<&Field>, micros: Option<&Field>) -> Result<Option<i64>, Strange> {
    let Some(seconds) = whole(body, seconds)? else { return Ok(None) };
    let micros = whole(body, micros).ok().flatten().unwrap_or(0);
    seconds.checked_mul(1000).and_then(|ms| ms.checked_add(micros / 1000)).map(Some).ok_or(Strange)
}

fn whole(body: Body, field: Option<&Field>) -> Result<Option<i64>, Strange> {
    let Some(field) = field else { return Ok(None) };
    let Some(text) = side(body, field)? else { return Ok(None) };
    scaled(&text, field).map(Some).ok_or(Strange)
}

fn stored_offline(body: Body, field: Option<&Field>) -> Result<bool, Strange> {
    let Some(field) = field else { return Ok(false) };
    Ok(side(body, field)?.is_some_and(|word| word == "yes"))
}

/// The text of a field without which the vehicle was seen all the same; what is blank says as much as what is not there.
fn side(body: Body, field: &Field) -> Result<Option<String>, Strange> {
    if body.is_blank(field) {
        return Ok(field.default.as_ref().map(toml_scalar));
    }
    body.text(field).map_err(|_| Strange)
}

/// How most cameras that say no offset write a time; a `T` may stand between its halves.
const WALL_TIME: &str = "%Y-%m-%d %H:%M:%S%.f";

/// What is no such time costs only itself: the vehicle was seen all the same.
fn on_the_wall(body: Body, field: &Field) -> Option<DateTime> {
    let text = word(body, Some(field))?;
    match &field.format {
        Some(format) => DateTime::strptime(format, text.trim()).ok(),
        None => DateTime::strptime(WALL_TIME, text.trim().replacen('T', " ", 1)).ok(),
    }
}

/// Whether all of a time, up to its seconds, is there once it was written in this format.
pub(super) fn is_wall_time(format: &str) -> bool {
    let sample = date(2026, 2, 28).at(23, 59, 58, 0);
    let written = jiff::fmt::strtime::format(format, sample);
    written.is_ok_and(|text| DateTime::strptime(format, text).ok() == Some(sample))
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
    let text = body.text(field)?.ok_or_else(|| Rejection::MissingField(body.missing(field)))?;
    Ok((field, text))
}

/// A device's answer: taken where the profile's test holds, or where it asks for none.
pub(super) fn answer(id: String, success: Option<&Condition>, body: Body) -> DeviceAnswer {
    let Some(success) = success.filter(|success| !body.fits(success)) else {
        return DeviceAnswer { id, taken: Ok(()) };
    };
    let path = success.path.get_ref();
    let words = match body.at(path).and_then(scalar) {
        Some(value) => format!("{path} {}", shortened(&value)),
        None => format!("no {path} in the answer"),
    };
    DeviceAnswer { id, taken: Err(words) }
}

/// The arguments of a command, each within its bounds, and none that the profile's guard forbids. What the profile does
/// not name, such as a command's id, passes as it is.
pub(super) fn arguments(
    known: &BTreeMap<String, Arg>,
    guard: Option<&Guard>,
    given: &Values,
) -> Result<Values, CannotSend> {
    if let Some(guard) = guard {
        guarded(guard, given)?;
    }
    let mut values = given.clone();
    for (name, arg) in known {
        match (given.get(name), arg.default) {
            (Some(value), _) => {
                fits(arg, value).map_err(|allowed| CannotSend::BadArgument(name.clone(), allowed))?;
            }
            (None, Some(default)) => {
                values.insert(name.clone(), Value::Integer(default));
            }
            (None, None) => return Err(CannotSend::MissingArgument(name.clone())),
        }
    }
    Ok(values)
}

/// A template with its names replaced, or the first name that has no value.
pub(super) fn filled(
    template: &str,
    values: &Values,
    fill: impl Fn(&str, &Values) -> Option<String>,
) -> Result<String, CannotSend> {
    fill(template, values).ok_or_else(|| {
        let missing = super::template::names(template).into_iter().find(|name| !values.contains_key(*name));
        CannotSend::MissingArgument(missing.unwrap_or_default().to_owned())
    })
}

fn guarded(guard: &Guard, given: &Values) -> Result<(), CannotSend> {
    let is_empty = |name: &String| match given.get(name) {
        None => true,
        Some(Value::Text(text)) => text.trim().is_empty(),
        Some(Value::Bytes(bytes)) => bytes.is_empty(),
        Some(Value::Rows(rows)) => rows.is_empty(),
        Some(Value::Integer(_)) => false,
    };
    if guard.never || guard.needs.iter().any(is_empty) {
        return Err(CannotSend::Forbidden(guard.because.clone()));
    }
    Ok(())
}

fn fits(arg: &Arg, value: &Value) -> Result<(), String> {
    let (min, max) = (arg.min.unwrap_or(0), arg.max.unwrap_or(i64::MAX));
    let (size, what) = match (arg.kind, value) {
        (ArgKind::Integer, Value::Integer(number)) => {
            let is_right = (min..=max).contains(number) && number % arg.step.max(1) == 0;
            return if is_right { Ok(()) } else { Err(format!("{min} to {max} in steps of {}", arg.step)) };
        }
        (ArgKind::Text, Value::Text(text)) => (text.chars().count(), "characters"),
        (ArgKind::Bytes, Value::Bytes(bytes)) => (bytes.len(), "bytes"),
        (ArgKind::Rows, Value::Rows(rows)) => (rows.len(), "rows"),
        (ArgKind::Integer, _) => return Err("a whole number".to_owned()),
        (ArgKind::Text, _) => return Err("a text".to_owned()),
        (ArgKind::Bytes, _) => return Err("bytes in hex".to_owned()),
        (ArgKind::Rows, _) => return Err("a list of rows".to_owned()),
    };
    let size = i64::try_from(size).unwrap_or(i64::MAX);
    if (min..=max).contains(&size) { Ok(()) } else { Err(format!("{min} to {max} {what}")) }
}
