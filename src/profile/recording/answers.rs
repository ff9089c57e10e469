//! Recorded acknowledgements, damaged and in the wrong order: none of them may count as a command that was taken.

use serde_json::Value as Json;

use super::super::http::tree;
use super::super::json::Body;
use super::super::modbus::{Answer, Framing, ModbusCodec, RECORDED_TRANSACTION};
use super::super::mqtt::{Meaning, MqttCodec};
use super::super::osdp::{Answer as ReaderAnswer, OsdpCodec};
use super::super::{Codec, bytes};
use super::exchanges::With;
use super::mutations::{Found, checked_if, cut, flipped, halves};
use super::{Bus, CallOf, Frame, PacketOf, Recording, Told};

/// Statuses that say that a request was not carried out, or not by this device.
const REFUSING: [u16; 8] = [0, 199, 300, 302, 401, 404, 500, 503];
/// OSDP counts its packets from 1 to 3 and begins again.
const SEQUENCES: std::ops::RangeInclusive<u8> = 1..=3;

/// Every exchange with an acknowledgement in it, with how many copies were not taken, or the first that was.
pub fn of<'r>(with: &With, recording: &'r Recording) -> Vec<Found<'r>> {
    match with.codec {
        Codec::Mqtt(_) => {
            let answered = recording.told.iter().filter(|told| told.reply_topic.is_some());
            answered.map(|told| (&told.what, published(with, told, &recording.told))).collect()
        }
        Codec::Http(_) => recording.call.iter().map(|call| (&call.what, called(with, call))).collect(),
        Codec::Serial(_) => {
            let answers = recording.frame.iter().filter(|frame| frame.answers.is_some() && frame.rejected.is_none());
            answers.map(|frame| (&frame.what, framed(with, frame, &recording.frame))).collect()
        }
        Codec::Modbus(codec) => {
            let commands = recording.bus.iter().filter(|bus| bus.command.is_some());
            commands.map(|bus| (&bus.what, written(with, codec, bus, &recording.bus))).collect()
        }
        Codec::Osdp(codec) => {
            let answers = recording.packet.iter().filter(|packet| packet.answer.is_some());
            answers.map(|packet| (&packet.what, packeted(codec, packet))).collect()
        }
        // Nobody tells such a reader anything.
        Codec::Wiegand(_) => Vec::new(),
    }
}

fn published(with: &With, told: &Told, all: &[Told]) -> Result<usize, String> {
    // What the exchange itself has already complained about is nothing here.
    let Ok(Codec::Mqtt(codec)) = with.own(told.params.as_ref()) else { return Ok(0) };
    let topic = told.reply_topic.as_deref().unwrap_or_default();
    let is_taken = |bytes: &[u8]| is_taken_on(&codec, topic, told, bytes);
    let proved_by = codec.proved_by(&told.command);
    let whole = told.reply.as_bytes();
    let count = damaged("", whole, &proved_by, told.refused.is_some(), is_taken)?;
    let others: Vec<&Told> = all.iter().filter(|other| other.reply_id != told.reply_id).collect();
    match others.iter().find(|other| is_taken(other.reply.as_bytes())) {
        Some(other) => Err(format!("the answer to {:?} is taken for its own", other.what.get_ref())),
        None => Ok(count + others.len()),
    }
}

fn is_taken_on(codec: &MqttCodec, topic: &str, told: &Told, bytes: &[u8]) -> bool {
    match codec.decode_awaited(topic, bytes, told.awaits()).map(|heard| heard.what) {
        Ok(Meaning::Answers(answer)) => answer.taken.is_ok(),
        Ok(Meaning::Says(_) | Meaning::AnswersNobody) | Err(_) => false,
    }
}

fn called(with: &With, call: &CallOf) -> Result<usize, String> {
    // What the exchange itself has already complained about is nothing here.
    let Ok(Codec::Http(codec)) = with.own(call.params.as_ref()) else { return Ok(0) };
    let taken =
        |status: u16, bytes: &[u8]| codec.answered(&call.command, status, &call.answer_type, bytes).taken.is_ok();
    if let Some(status) = REFUSING.into_iter().find(|status| taken(*status, call.answer.as_bytes())) {
        return Err(format!("it is taken with the status {status}"));
    }
    let proved_by = codec.proved_by(&call.command);
    if proved_by.is_empty() {
        // The status alone says it.
        return Ok(REFUSING.len());
    }
    let is_taken = |bytes: &[u8]| taken(call.status, bytes);
    let count = damaged(&call.answer_type, call.answer.as_bytes(), &proved_by, call.refused.is_some(), is_taken)?;
    Ok(REFUSING.len() + count)
}

/// A text has no check, so a letter may be turned where it means nothing; but what says that the command was taken is
/// untouched, and a part of an answer, or its halves the wrong way round, is none.
fn damaged(
    content_type: &str,
    whole: &[u8],
    proved_by: &[&str],
    is_refused: bool,
    is_taken: impl Fn(&[u8]) -> bool,
) -> Result<usize, String> {
    let proof = |bytes: &[u8]| -> Vec<Option<Json>> {
        let tree = tree(content_type, bytes).unwrap_or_default();
        proved_by.iter().map(|path| Body::new(&tree, "").at(path).cloned()).collect()
    };
    let untouched = proof(whole);
    let mut count = 0;
    for copy in flipped(whole) {
        count += 1;
        if is_taken(&copy) && (is_refused || proof(&copy) != untouched) {
            return Err(format!("{} is taken", String::from_utf8_lossy(&copy)));
        }
    }
    let whole = whole.trim_ascii_end();
    let doubled = [whole, whole].concat();
    for copy in cut(whole).map(<[u8]>::to_vec).chain(halves(whole)).chain([doubled]).filter(|copy| copy != whole) {
        count += 1;
        if is_taken(&copy) {
            return Err(format!("{} is taken", String::from_utf8_lossy(&copy)));
        }
    }
    Ok(count)
}

fn framed(with: &With, frame: &Frame, all: &[Frame]) -> Result<usize, String> {
    let (Ok(Codec::Serial(codec)), Some(command)) = (with.own(frame.params.as_ref()), &frame.answers) else {
        return Ok(0);
    };
    let is_taken = |bytes: &[u8]| match codec.answered(command, bytes) {
        Ok(Some(answer)) => answer.taken.is_ok(),
        Ok(None) | Err(_) => false,
    };
    let mut count = checked_if(&frame.hex, codec.framing().has_check(), is_taken)?;
    let of_another =
        |other: &&Frame| other.answers.as_ref().is_some_and(|answered| !codec.are_answered_alike(command, answered));
    for other in all.iter().filter(of_another).filter(|other| other.hex != frame.hex) {
        count += 1;
        if is_taken(&bytes(&other.hex)?) {
            return Err(format!("{:?} is taken for its answer", other.what.get_ref()));
        }
    }
    Ok(count)
}

fn written(with: &With, codec: &ModbusCodec, bus: &Bus, all: &[Bus]) -> Result<usize, String> {
    let command = bus.command.as_deref().unwrap_or_default();
    let Ok(request) = codec.encode(command, &with.args(command, &bus.args)) else { return Ok(0) };
    let answered = |transaction: u16, bytes: &[u8]| match codec.framing() {
        Framing::Rtu => request.answered(bytes) == Ok(Answer::Echo),
        Framing::Tcp => request.answered_over_tcp(transaction, bytes) == Ok(Answer::Echo),
    };
    let is_taken = |bytes: &[u8]| answered(RECORDED_TRANSACTION, bytes);
    let whole = bytes(&bus.answer)?;
    // An echo repeats its command, so that TCP's answers are known by their bytes as RTU's are by their check.
    let mut count = if bus.fault.is_none() { checked_if(&bus.answer, true, is_taken)? } else { 0 };
    if codec.framing() == Framing::Tcp && answered(RECORDED_TRANSACTION + 1, &whole) {
        return Err("it is taken for the answer to another request".to_owned());
    }
    let head = if codec.framing() == Framing::Tcp { 6 } else { 0 };
    for other in all {
        // An echo repeats six bytes: of commands that begin alike only the order on the line tells.
        if bytes(&other.writes)?.get(head..head + 6) == request.frame.get(..6) {
            continue;
        }
        count += 1;
        if is_taken(&bytes(&other.answer)?) {
            return Err(format!("the answer of {:?} is taken for its own", other.what.get_ref()));
        }
    }
    Ok(count)
}

fn packeted(codec: &OsdpCodec, packet: &PacketOf) -> Result<usize, String> {
    let whole = bytes(&packet.hex)?;
    let others = SEQUENCES.filter(|sequence| *sequence != packet.sequence);
    for sequence in others.clone() {
        if matches!(codec.answered(sequence, &whole), Ok(ReaderAnswer::Taken)) {
            return Err(format!("it is taken for the answer to packet {sequence}"));
        }
    }
    Ok(others.count())
}
