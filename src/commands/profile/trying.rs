//! `gatepost profile try`: step by step what bytes mean by a profile, and why they do not mean what somebody hoped.

use gatepost::profile::http::{Heard, HttpCodec};
use gatepost::profile::language::reader::OsdpCheck;
use gatepost::profile::modbus::{Answer, Framing, ModbusCodec};
use gatepost::profile::mqtt::{Meaning, MqttCodec};
use gatepost::profile::osdp::{self, OsdpCodec, Packet};
use gatepost::profile::recording::means;
use gatepost::profile::statement::{Picture, Rejection};
use gatepost::profile::template::Value;
use gatepost::profile::trying::Tried;

use crate::commands::say;

/// Where this device is heard, if it is not heard there.
pub fn places<'p>(what: &str, known: impl Iterator<Item = &'p str>, asked: &str) {
    let known: Vec<&str> = known.collect();
    if !known.contains(&asked) && !known.is_empty() {
        say(format_args!("this device's {what}: {}", known.join(", ")));
    }
}

/// Every message with the first thing that speaks against it, up to the one that is taken.
pub fn messages(tried: Result<Vec<Tried>, Rejection>) {
    // The rejection itself is told at the end.
    for one in tried.unwrap_or_default() {
        match (&one.why_not, one.fits) {
            (None, _) => say(format_args!("message {:?}: it is this one", one.message)),
            (Some(why), true) => say(format_args!("message {:?}: it is this one, but {why}", one.message)),
            (Some(why), false) => say(format_args!("message {:?}: no: {why}", one.message)),
        }
        if one.fits {
            return;
        }
    }
}

/// A message of a broker; which commands it could answer is tried one by one.
pub fn published(codec: &MqttCodec, topic: &str, body: &[u8]) -> Result<String, Rejection> {
    let heard = codec.decode(topic, body)?;
    Ok(match heard.what {
        Meaning::Says(says) => means(&says) + &pictured(&heard.pictures),
        Meaning::Answers(_) | Meaning::AnswersNobody => answers(codec, topic, body),
    })
}

fn answers(codec: &MqttCodec, topic: &str, body: &[u8]) -> String {
    let mut all = Vec::new();
    for name in codec.commands() {
        if let Ok(Meaning::Answers(answer)) =
            codec.decode_awaited(topic, body, |_, command| command == name).map(|heard| heard.what)
        {
            let taken = answer.taken.map_or_else(|why| format!("refused, {why}"), |()| "taken".to_owned());
            all.push(format!("as the answer to {name} with the id {:?}: {taken}", answer.id));
        }
    }
    all.join("\n")
}

/// A post that was understood, with what it brings and how it is answered.
pub fn posted(codec: &HttpCodec, heard: &Heard) -> String {
    let mut lines = means(&heard.says) + &pictured(&heard.pictures);
    if !heard.names_device {
        lines += "\nit names no device: on a path of several it is refused";
    }
    for (name, value) in &heard.echo {
        let value = match value {
            Value::Integer(number) => number.to_string(),
            Value::Text(_) | Value::Bytes(_) | Value::Rows(_) => format!("{:?}", value.written()),
        };
        lines += &format!("\necho: {name} = {value}");
    }
    let Some(reply) = &heard.reply else { return lines };
    lines += &format!("\nreply = {reply:?}");
    match codec.reply(reply, &heard.echo, &[]) {
        Ok(made) => lines + &format!("\nanswered: {}", made.body),
        Err(why) => lines + &format!("\nthe answer cannot be made: {why}"),
    }
}

fn pictured(pictures: &[Picture]) -> String {
    let one = |picture: &Picture| {
        let bytes = match &picture.bytes {
            Ok(bytes) => format!("{} bytes", bytes.len()),
            Err(why) => why.name().to_owned(),
        };
        let place = picture.plate_box.map_or_else(String::new, |plate| format!(", {plate:?}"));
        format!("\npicture {:?}: {bytes}{place}", picture.kind)
    };
    pictures.iter().map(one).collect()
}

/// A frame of either side on a board's bus.
pub fn on_the_bus(codec: &ModbusCodec, frame: &[u8]) -> Result<String, String> {
    let tcp = codec.framing() == Framing::Tcp;
    // Over TCP six bytes stand before, and the check is left out.
    let inner = if tcp { frame.get(6..).unwrap_or_default() } else { frame };
    let [address, function, ..] = *inner else { return Err("the frame is cut off".to_owned()) };
    say(format_args!("board {address}, function {}, this device is {}", function & 0x7F, codec.address()));
    let transaction = frame.first_chunk::<2>().map_or(0, |number| u16::from_be_bytes(*number));
    let answered = |request: &gatepost::profile::modbus::Request| match tcp {
        true => request.answered_over_tcp(transaction, frame),
        false => request.answered(frame),
    };
    let mut found = Vec::new();
    let mut why = Vec::new();
    for (request, first, _) in codec.polls() {
        let title = first
            .map_or_else(|| "the poll of what is no input".to_owned(), |first| format!("the poll from input {first}"));
        match answered(&request) {
            _ if (tcp && request.over_tcp(transaction) == frame) || request.frame == frame => {
                found.push(format!("it is {title}"))
            }
            Ok(answer) => found.push(format!("as the answer to {title}: {}", answer_said(&answer))),
            Err(no_answer) => why.push(format!("as the answer to {title}: {no_answer}")),
        }
    }
    found.extend(codec.commands_of(inner, tcp).into_iter().map(|(name, is_exception)| match is_exception {
        None => format!("it can be the command {name}, or its echo"),
        Some(reason) => format!("as the answer to {name}: {}", answer_said(&Answer::Refused(reason))),
    }));
    if found.is_empty() {
        Err(why.into_iter().chain(["it is no command of the profile".to_owned()]).collect::<Vec<_>>().join("\n"))
    } else {
        Ok(found.join("\n"))
    }
}

fn answer_said(answer: &Answer) -> String {
    match answer {
        Answer::Echo => "taken".to_owned(),
        Answer::Inputs(on) => {
            let on: Vec<String> = on.iter().enumerate().filter(|(_, on)| **on).map(|(n, _)| n.to_string()).collect();
            format!("of its inputs, counted from the poll's first, on: [{}]", on.join(", "))
        }
        Answer::Refused(reason) => {
            let why = match reason {
                1 => "unknown function",
                2 => "unknown address",
                3 => "a value that is not allowed",
                4 => "the board failed",
                6 => "busy",
                _ => "a reason of its own",
            };
            format!("refused, {reason} ({why})")
        }
    }
}

/// A packet of either side on a readers' bus.
pub fn packet(codec: &OsdpCodec, frame: &[u8]) -> Result<String, Rejection> {
    let packet = Packet::read(frame)?;
    say(format_args!("{}", packet_said(&packet)));
    if packet.address != codec.address() {
        return Ok(format!("a packet of address {}; this reader is {}", packet.address, codec.address()));
    }
    if !packet.is_reply {
        return Ok("a packet to the reader".to_owned());
    }
    codec.meaning(&packet).map(|answer| match answer {
        osdp::Answer::Taken => "the reader took it, or has nothing to say".to_owned(),
        osdp::Answer::Refused(reason) => format!("refused, {reason}"),
        osdp::Answer::Busy => "the reader is busy: it is asked again later".to_owned(),
        osdp::Answer::Says(says) => means(&[says]),
        osdp::Answer::BadCard(why) => format!("a card that is none: {why}"),
        osdp::Answer::Other(code) => format!("a reply with the code {code:02X}, which says nothing here"),
    })
}

fn packet_said(packet: &Packet) -> String {
    let who = if packet.is_reply { "a reply" } else { "a command" };
    let ends = match packet.check {
        OsdpCheck::Crc => "a CRC",
        OsdpCheck::Checksum => "a checksum",
    };
    let mut said = format!(
        "address {}, {who} with the code {:02X}, sequence {}, ends with {ends}",
        packet.address, packet.code, packet.sequence
    );
    if let Some((kind, _)) = &packet.security {
        said += &format!(", security block {kind:02X}");
    }
    if !packet.data.is_empty() {
        said += &format!(", data {}", hex::encode_upper(&packet.data));
    }
    said
}
