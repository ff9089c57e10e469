//! Every decoder behind one door, for bytes that mean harm: random tests and fuzzing feed it, and it must neither panic nor
//! take more than it was given.

use std::path::Path;

use super::document;
use super::framing::Waiting;
use super::http::HttpCodec;
use super::language::{ArgKind, Link, ParamKind};
use super::layout::ROWS_MAX;
use super::mistake::Source;
use super::mqtt::{Meaning, MqttCodec};
use super::osdp::{OsdpCodec, Randoms, SecureChannel};
use super::recording::Recording;
use super::serial::SerialCodec;
use super::shipped::SHIPPED;
use super::statement::Statement;
use super::stream::Events;
use super::template::{Value, Values};
use super::{Codec, Profile};

/// What a post or a part may say that it is.
const CONTENT_TYPES: [&str; 6] = [
    "application/json",
    "application/xml",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "multipart/mixed; boundary=--boundary",
    "",
];

/// The devices of the shipped recordings.
#[derive(Debug)]
pub struct Decoders {
    codecs: Vec<(Link, Codec)>,
}

impl Decoders {
    /// One device for each shipped profile, with its recording's parameters.
    pub fn shipped() -> Self {
        let bound = SHIPPED.iter().filter_map(|shipped| {
            let profile = Profile::parse(&Source { file: Path::new(shipped.file), text: shipped.text }).ok()?;
            let recording: Recording = toml::from_str(shipped.recording).ok()?;
            Some((profile.link(), profile.bind(&recording.params).ok()?))
        });
        Self { codecs: bound.collect() }
    }

    /// How many devices there are.
    pub fn count(&self) -> usize {
        self.codecs.len()
    }

    /// Lets one decoder have the bytes: the first says which device, the second which of its topics, paths or content
    /// types. Every statement that comes of it, all within bounds.
    pub fn feed(&self, bytes: &[u8]) -> Vec<Statement> {
        let [which, rest @ ..] = bytes else { return Vec::new() };
        let codec = self.codecs.get(usize::from(*which) % self.codecs.len().max(1));
        Self::feed_one(codec.map(|(_, codec)| codec), rest)
    }

    /// The same among the devices of one link.
    pub fn feed_link(&self, link: Link, bytes: &[u8]) -> Vec<Statement> {
        let [which, rest @ ..] = bytes else { return Vec::new() };
        let of_link: Vec<&Codec> = self.codecs.iter().filter(|(of, _)| *of == link).map(|(_, codec)| codec).collect();
        Self::feed_one(of_link.get(usize::from(*which) % of_link.len().max(1)).copied(), rest)
    }

    fn feed_one(codec: Option<&Codec>, bytes: &[u8]) -> Vec<Statement> {
        let [way, bytes @ ..] = bytes else { return Vec::new() };
        let way = usize::from(*way);
        let content_type = CONTENT_TYPES[way % CONTENT_TYPES.len()];
        let _ = document::read(content_type, bytes);
        stream(content_type, bytes);
        let statements = match codec {
            Some(Codec::Mqtt(codec)) => message(codec, way, bytes),
            Some(Codec::Http(codec)) => post(codec, way, content_type, bytes),
            Some(Codec::Serial(codec)) => line(codec, way, bytes),
            Some(Codec::Modbus(codec)) => {
                for (request, _, _) in codec.polls() {
                    let _ = request.answered(bytes);
                    let _ = request.answered_over_tcp(1, bytes);
                }
                Vec::new()
            }
            Some(Codec::Wiegand(cards)) => {
                let bits: Vec<bool> = bytes.iter().map(|byte| byte & 1 == 1).collect();
                cards.decode(&bits).into_iter().collect()
            }
            Some(Codec::Osdp(codec)) => {
                let _ = codec.answered(u8::try_from(way % 4).unwrap_or_default(), bytes);
                Vec::new()
            }
            None => Vec::new(),
        };
        let is_nameless = |says: &Statement| matches!(says, Statement::PlateRead(read) if read.event.is_empty());
        let is_right = |says: &Statement| says.is_bounded() && !is_nameless(says);
        assert!(statements.iter().all(is_right), "a statement beyond all bounds: {statements:?}");
        statements
    }
}

/// A device of any profile, its parameters made up: it is told every command with its least and its most arguments, and
/// its decoder has the bytes as in [`Decoders::feed`].
pub fn device(profile: &Profile, bytes: &[u8]) {
    let Ok(codec) = profile.bind(&made_up(profile)) else { return };
    for command in profile.commands() {
        for is_most in [false, true] {
            let args = command.args.iter().map(|(name, arg)| {
                let bound = if is_most { arg.max } else { arg.min };
                let size = usize::try_from(bound.unwrap_or(1)).unwrap_or(1).min(ROWS_MAX);
                let value = match arg.kind {
                    ArgKind::Integer => Value::Integer(bound.unwrap_or(0)),
                    ArgKind::Text => Value::Text("粤".repeat(size)),
                    ArgKind::Bytes => Value::Bytes(vec![0x7E; size]),
                    ArgKind::Rows => Value::Rows(vec![row(); size]),
                };
                (name.clone(), value)
            });
            told(&codec, profile, command.name, &args.chain(row()).collect());
        }
    }
    let _ = (profile.input_count(), profile.is_heard_always());
    drop(Decoders::feed_one(Some(&codec), bytes));
}

/// No frame of any device here is longer, and an escape may double it.
const FRAME_BYTES_MAX: usize = 64 * 1024;

fn told(codec: &Codec, profile: &Profile, command: &str, args: &Values) {
    match codec {
        Codec::Mqtt(codec) => drop(codec.encode(command, 0, args)),
        Codec::Http(codec) => {
            let _ = codec.call(command, args);
            for reply in profile.replies() {
                let _ = codec.reply(reply, &row(), &[(command, args.clone())]);
            }
        }
        Codec::Serial(codec) => {
            if let Ok(sent) = codec.encode(command, args) {
                assert!(sent.frame.len() <= 2 * FRAME_BYTES_MAX, "a frame of {} bytes", sent.frame.len());
                let _ = codec.explain(&sent.frame);
                let _ = codec.framing().with_wrong_lengths(&sent.frame);
            }
        }
        Codec::Modbus(codec) => {
            if let Ok(request) = codec.encode(command, args) {
                let sent = request.over_tcp(1);
                let _ = (request.answered(&sent), request.answered_over_tcp(1, &sent));
            }
        }
        Codec::Wiegand(_) | Codec::Osdp(_) => {}
    }
}

/// What fits each parameter.
fn made_up(profile: &Profile) -> std::collections::BTreeMap<String, toml::Value> {
    let given = profile.params().iter().filter(|(_, param)| param.default.is_none());
    let made = given.map(|(name, param)| {
        let value = match param.kind {
            ParamKind::Text | ParamKind::Topic => toml::Value::from("A1"),
            ParamKind::Integer => toml::Value::from(param.max.or(param.min).unwrap_or(1)),
            ParamKind::Choice => toml::Value::from(param.choices.first().map_or("", String::as_str)),
        };
        (name.clone(), value)
    });
    made.collect()
}

/// What the house gives besides a command's own arguments, and what a row may hold.
fn row() -> Values {
    let text = |name: &str| (name.to_owned(), Value::Text("A1".to_owned()));
    let number = |name: &str| (name.to_owned(), Value::Integer(1));
    Values::from([text("id"), text("text"), number("timestamp"), number("number"), number("row")])
}

/// A reader's side of the secure channel, for bytes that mean harm: the answers to the challenge, to the proof, and what
/// comes over the open channel. The reader's key is the standard's own, so that a fuzzer may hold it, too; with an even
/// first byte what follows is sealed by it first.
pub fn secure(codec: &OsdpCodec, bytes: &[u8]) {
    let [way, bytes @ ..] = bytes else { return };
    let key = &super::osdp::DEFAULT_KEY;
    let randoms = Randoms { controller: [1; 8], reader: [2; 8] };
    let sequence = (way >> 1) % 4;
    let _ = codec.challenged(sequence, bytes, key, randoms.controller);
    let mut channel = SecureChannel::new(key, randoms);
    let _ = codec.proved(sequence, bytes, &channel);
    let sent = if way & 1 == 0
        && let [code, data @ ..] = bytes
    {
        let mut packet = codec.packet(sequence, *code, data.get(..SEALED_BYTES_MAX).unwrap_or(data));
        packet.is_reply = true;
        let mut reader = channel.clone();
        reader.seal(packet).bytes()
    } else {
        bytes.to_vec()
    };
    let before = channel.first_mac();
    let answer = codec.answered_over(&mut channel, sequence, &sent);
    let has_moved = before != channel.first_mac();
    assert!(answer.is_ok() || !has_moved || way & 1 == 0, "a refused packet moved the channel on: {answer:?}");
}

/// What fits one packet.
const SEALED_BYTES_MAX: usize = 1_000;

/// What the recorded devices send, each with the position of its profile among the shipped ones.
pub fn seeds() -> Vec<(usize, Vec<u8>)> {
    let mut seeds = Vec::new();
    for (which, shipped) in SHIPPED.iter().enumerate() {
        let Ok(recording) = toml::from_str::<Recording>(shipped.recording) else { continue };
        let hex = |text: &str| super::bytes(text).unwrap_or_default();
        let texts = recording.says.iter().map(|says| says.body.as_bytes().to_vec());
        let posts = recording.post.iter().map(|post| post.body.as_bytes().to_vec());
        let looks = recording.look.iter().map(|look| look.answer.as_bytes().to_vec());
        let posts = posts.chain(looks);
        let frames = recording.frame.iter().map(|frame| hex(&frame.hex));
        let answers = recording.bus.iter().map(|bus| hex(&bus.answer));
        let cards = recording.card.iter().map(|card| card.bits.bytes().collect());
        let packets = recording.packet.iter().map(|packet| hex(&packet.hex));
        let all = texts.chain(posts).chain(frames).chain(answers).chain(cards).chain(packets);
        seeds.extend(all.map(|bytes| (which, bytes)));
    }
    seeds
}

fn message(codec: &MqttCodec, way: usize, bytes: &[u8]) -> Vec<Statement> {
    let topics: Vec<&str> = codec.topics().collect();
    let Some(topic) = topics.get(way % topics.len().max(1)) else { return Vec::new() };
    match codec.decode(topic, bytes).map(|heard| heard.what) {
        Ok(Meaning::Says(statements)) => statements,
        Ok(Meaning::Answers(_) | Meaning::AnswersNobody) | Err(_) => Vec::new(),
    }
}

fn post(codec: &HttpCodec, way: usize, content_type: &str, bytes: &[u8]) -> Vec<Statement> {
    let paths: Vec<&str> = codec.paths().collect();
    // With the same bytes behind the path, as far as an address can hold them.
    let query = percent_encoding::percent_encode(&bytes[..bytes.len().min(2000)], percent_encoding::CONTROLS);
    let path = paths.get(way % paths.len().max(1)).map(|path| format!("{path}?{query}"));
    let posted = path.and_then(|path| codec.decode(&path, content_type, bytes).ok());
    let streamed = codec.decode_event(content_type, bytes).ok();
    let answered = codec.decode_answer(200, content_type, bytes).unwrap_or_default();
    // What answers the box is about an event that the box knows.
    let answered = answered.into_iter().map(|mut says| {
        if let Statement::PlateRead(read) = &mut says
            && read.event.is_empty()
        {
            read.event.push_str("known");
        }
        says
    });
    posted.into_iter().chain(streamed).flat_map(|heard| heard.says).chain(answered).collect()
}

/// In pieces as a line brings them, and each frame once more as an answer and for a person.
fn line(codec: &SerialCodec, way: usize, bytes: &[u8]) -> Vec<Statement> {
    let framing = codec.framing();
    let mut waiting = Waiting::default();
    let pieces = bytes.chunks(1 + way % 7);
    let mut frames: Vec<Vec<u8>> = pieces.flat_map(|piece| framing.take(&mut waiting, piece)).flatten().collect();
    frames.extend(framing.quiet(&mut waiting).and_then(Result::ok));
    let mut statements = Vec::new();
    for frame in &frames {
        // Between a start and an end a damaged frame comes out of the line as well, and says nothing.
        let is_whole = framing.read(frame).is_ok();
        let _ = codec.explain(frame);
        let commands = ["raise", "say", "read_inputs"];
        let answers =
            commands.iter().filter(|command| codec.answered(command, frame).is_ok_and(|answer| answer.is_some()));
        let (answers, says) = (answers.count(), codec.decode(frame).unwrap_or_default());
        assert!(is_whole || (answers == 0 && says.is_empty()), "a frame with a wrong check says something");
        statements.extend(says);
    }
    statements
}

/// A stream of events in pieces; no more comes out of it than went in.
pub fn stream(content_type: &str, bytes: &[u8]) {
    let Some(mut events) = Events::new(content_type) else { return };
    let found: Vec<_> = bytes.chunks(13).flat_map(|piece| events.take(piece)).flatten().collect();
    let length: usize = found.iter().chain(events.settled().as_ref()).map(|event| event.body.len()).sum();
    assert!(length <= bytes.len(), "more came out of a stream than went into it");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every recorded exchange damaged in a few hundred ways by a generator with a fixed seed, for every device.
    #[test]
    fn damaged_recordings_of_every_device_stay_within_bounds() {
        let decoders = Decoders::shipped();
        assert_eq!(decoders.count(), SHIPPED.len());
        let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
        let seeds = seeds();
        let mut said = 0;
        for (which, seed) in &seeds {
            for way in 0..SPOILT_COPIES {
                let body = if way < 8 { seed.clone() } else { spoilt(seed, &seeds, &mut dice) };
                let head = [u8::try_from(*which).expect("few devices"), u8::try_from(way % 256).expect("a byte")];
                said += decoders.feed(&[&head, &body[..]].concat()).len();
            }
        }
        assert!(said > seeds.len(), "whole exchanges say something: {said}");
    }

    /// A few hundred copies meet every region of a text and every byte of a frame.
    const SPOILT_COPIES: usize = 200;

    fn spoilt(seed: &[u8], seeds: &[(usize, Vec<u8>)], dice: &mut Dice) -> Vec<u8> {
        let mut bytes = seed.to_vec();
        for _ in 0..=dice.below(4) {
            let at = dice.below(bytes.len() + 1);
            match dice.below(7) {
                0 if at < bytes.len() => bytes[at] ^= 1 << dice.below(8),
                1 if at < bytes.len() => {
                    bytes[at] = *[0, 0xFF, b'"', b'<', b'{', 0x80].get(dice.below(6)).unwrap_or(&0)
                }
                2 => bytes.truncate(at),
                3 => drop(bytes.drain(at..(at + dice.below(9)).min(bytes.len()))),
                4 => {
                    let run = vec![bytes.get(at).copied().unwrap_or(b'['); dice.below(300)];
                    bytes.splice(at..at, run);
                }
                5 => {
                    let other = &seeds[dice.below(seeds.len())].1;
                    bytes.extend_from_slice(&other[dice.below(other.len() + 1)..]);
                }
                _ => {
                    let from = dice.below(bytes.len() + 1);
                    let copy = bytes[from.min(at)..from.max(at)].to_vec();
                    bytes.splice(at..at, copy);
                }
            }
        }
        bytes
    }

    /// xorshift: the same numbers everywhere.
    struct Dice(u64);

    impl Dice {
        fn below(&mut self, end: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            usize::try_from(self.0 % u64::try_from(end.max(1)).expect("small")).expect("small")
        }
    }
}
