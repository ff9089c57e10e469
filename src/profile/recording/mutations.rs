//! Recorded bytes, damaged: flipped, cut, doubled, reordered, with a wrong length or in a wrong character set. Nothing may
//! panic, and where a check exists nothing damaged may be taken for a statement.

use toml::Spanned;

use super::super::charset;
use super::super::document;
use super::super::http::HttpCodec;
use super::super::layout::Fault;
use super::super::modbus::{Answer, BadFrame, Framing, RECORDED_TRANSACTION};
use super::super::mqtt::{Meaning, MqttCodec};
use super::super::serial::SerialCodec;
use super::super::statement::{Rejection, Statement};
use super::super::wiegand::{Cards, bits};
use super::super::{Codec, bytes};
use super::exchanges::body;
use super::{LookOf, Recording, provinces};

/// Damaged copies of each kind of one text: enough to meet every byte of a frame and every region of a document.
const COPIES_MAX: usize = 300;

pub(super) type Found<'r> = (&'r Spanned<String>, Result<usize, String>);

/// Every exchange that comes from a device, with how many damaged copies behaved, or the first that did not.
pub fn of<'r>(recording: &'r Recording, codec: &Codec) -> Vec<Found<'r>> {
    match codec {
        Codec::Mqtt(codec) => recording
            .says
            .iter()
            .map(|says| (&says.what, message(codec, &says.topic, &bytes_of(&says.body, says.body_hex.as_ref()))))
            .collect(),
        Codec::Http(codec) => {
            let posts = recording.post.iter().map(|post| {
                let body = bytes_of(&post.body, post.body_hex.as_ref());
                (&post.what, posted(codec, post.path.as_deref(), &post.content_type, &body))
            });
            let looks = recording.look.iter().map(|look| (&look.what, looked(codec, look)));
            posts.chain(looks).collect()
        }
        Codec::Serial(codec) => recording.frame.iter().map(|frame| (&frame.what, framed(codec, &frame.hex))).collect(),
        Codec::Modbus(codec) => recording
            .bus
            .iter()
            .filter(|bus| bus.fault.is_none() && bus.command.is_none())
            .map(|bus| {
                let request = codec.polls().into_iter().nth(bus.poll).map(|(request, _, _)| request);
                let checked = request.map(|request| match codec.framing() {
                    Framing::Rtu => checked(&bus.answer, |bytes| request.answered(bytes).is_ok()),
                    Framing::Tcp => {
                        over_tcp(&bus.answer, |bytes| request.answered_over_tcp(RECORDED_TRANSACTION, bytes))
                    }
                });
                (&bus.what, checked.unwrap_or(Ok(0)))
            })
            .collect(),
        Codec::Wiegand(cards) => recording
            .card
            .iter()
            .filter(|card| card.fault.is_none())
            .map(|card| (&card.what, one_bit_of_a_card(cards, &card.bits)))
            .collect(),
        Codec::Osdp(codec) => recording
            .packet
            .iter()
            .filter(|packet| packet.rejected.is_none() && packet.sends.is_none())
            .map(|packet| (&packet.what, checked(&packet.hex, |bytes| codec.answered(packet.sequence, bytes).is_ok())))
            .collect(),
    }
}

/// What the exchange itself has already complained about is nothing here.
fn bytes_of(text: &str, in_hex: Option<&String>) -> Vec<u8> {
    body(text, in_hex).unwrap_or_default()
}

fn message(codec: &MqttCodec, topic: &str, body: &[u8]) -> Result<usize, String> {
    let decode = |bytes: &[u8]| {
        codec.decode(topic, bytes).map(|heard| match heard.what {
            Meaning::Says(says) => says,
            Meaning::Answers(_) | Meaning::AnswersNobody => Vec::new(),
        })
    };
    text(body, OneOf { says_most: codec.says_most(), shows_its_end: document::shows_its_end("", body) }, decode)
}

fn posted(codec: &HttpCodec, path: Option<&str>, content_type: &str, body: &[u8]) -> Result<usize, String> {
    let decode = |bytes: &[u8]| match path {
        Some(path) => codec.decode(path, content_type, bytes).map(|heard| heard.says),
        None => codec.decode_event(content_type, bytes).map(|heard| heard.says),
    };
    let shows_its_end = document::shows_its_end(content_type, body);
    text(body, OneOf { says_most: codec.says_most(), shows_its_end }, decode)
}

/// Statuses that say that the picture was not read.
const UNREAD: [u16; 5] = [0, 199, 300, 422, 500];

/// The answer about a picture is a text like any other; with a status that says that nothing was read, it says nothing.
fn looked(codec: &HttpCodec, look: &LookOf) -> Result<usize, String> {
    let decode = |status: u16, bytes: &[u8]| codec.decode_answer(status, &look.answer_type, bytes);
    if let Some(status) = UNREAD.into_iter().find(|status| decode(*status, look.answer.as_bytes()).is_ok()) {
        return Err(format!("it is taken with the status {status}"));
    }
    let kind =
        OneOf { says_most: 1, shows_its_end: document::shows_its_end(&look.answer_type, look.answer.as_bytes()) };
    text(look.answer.as_bytes(), kind, |bytes| decode(look.status, bytes)).map(|count| UNREAD.len() + count)
}

/// What may be expected of a text.
#[derive(Clone, Copy)]
struct OneOf {
    /// How much a message of its profile says.
    says_most: usize,
    shows_its_end: bool,
}

/// A text has no check, so a flipped letter may be another plate; but it says so much as a message does and within bounds, or
/// it is a rejection; a part of it is no message, and another character set does not change what it means. Of a form and a bare
/// word a part is another form or word: there it is the length over HTTP or at the broker that tells, and no part arrives.
fn text(
    whole: &[u8],
    kind: OneOf,
    decode: impl Fn(&[u8]) -> Result<Vec<Statement>, Rejection>,
) -> Result<usize, String> {
    let meant = decode(whole);
    let mut count = 0;
    let parts = || cut(whole.trim_ascii_end());
    let doubled = [whole, whole].concat();
    for copy in flipped(whole).chain(halves(whole)).chain(parts().map(<[u8]>::to_vec)).chain([doubled.clone()]) {
        count += 1;
        if decode(&copy).is_ok_and(|says| says.len() > kind.says_most || !says.iter().all(Statement::is_bounded)) {
            return Err("it says more than a message does, or something beyond all bounds".to_owned());
        }
    }
    for copy in parts().filter(|_| kind.shows_its_end) {
        count += 1;
        if decode(copy).is_ok_and(|says| !says.is_empty()) && meant.as_ref() != decode(copy).as_ref() {
            return Err(format!("its first {} bytes say something else", copy.len()));
        }
    }
    let doubled = if kind.shows_its_end { doubled } else { whole.to_vec() };
    // What was recorded in GBK has no other character set to be in.
    let is_utf8 = charset::guessed(whole).is_some_and(|text| text.as_bytes() == whole);
    let gbk =
        std::str::from_utf8(whole).ok().filter(|_| is_utf8).map(|text| encoding_rs::GBK.encode(text).0.into_owned());
    let gbk = gbk.unwrap_or_else(|| whole.to_vec());
    let broken: Vec<u8> = whole.iter().map(|byte| if byte.is_ascii() { *byte } else { 0xFF }).collect();
    for (copy, how) in [(doubled, "twice"), (gbk, "in GBK"), (broken, "in no character set")] {
        count += 1;
        let found = decode(&copy);
        if found.is_ok() && copy != whole && found != meant {
            return Err(format!("{how} it means something else"));
        }
    }
    if is_utf8 {
        count += provinces::of(whole, &meant, decode)?;
    }
    Ok(count)
}

fn framed(codec: &SerialCodec, text: &str) -> Result<usize, String> {
    let whole = bytes(text)?;
    let framing = codec.framing();
    if framing.read(&whole).is_err() {
        // A recorded fault is damaged already.
        return Ok(0);
    }
    let mut count = checked_if(text, framing.has_check(), |bytes| framing.read(bytes).is_ok())?;
    for (copy, what) in framing.with_wrong_lengths(&whole) {
        count += 1;
        match framing.read(&copy) {
            Ok(_) => return Err(format!("{what} is taken")),
            Err(Fault::WrongCheck(_)) if !framing.has_check() => return Err("a check that is not there".to_owned()),
            Err(_) => {}
        }
    }
    Ok(count)
}

fn checked(text: &str, is_taken: impl Fn(&[u8]) -> bool) -> Result<usize, String> {
    checked_if(text, true, is_taken)
}

/// TCP has a check of its own, so that a turned bit does not arrive; but a frame that is cut, doubled or reordered, and one
/// with another number or length, is no answer.
fn over_tcp(text: &str, answered: impl Fn(&[u8]) -> Result<Answer, BadFrame>) -> Result<usize, String> {
    let whole = bytes(text)?;
    let mut count = checked_if(text, false, |bytes| answered(bytes).is_ok())?;
    let doubled = [whole.clone(), whole.clone()].concat();
    let of_the_head = flipped(&whole[..whole.len().min(6)]).map(|head| [&head, &whole[head.len()..]].concat());
    for copy in halves(&whole).chain(cut(&whole).map(<[u8]>::to_vec)).chain(of_the_head).chain([doubled]) {
        count += 1;
        if answered(&copy).is_ok() {
            return Err(format!("{} is taken", hex::encode_upper(&copy)));
        }
    }
    Ok(count)
}

/// With a check no damaged copy is taken; without one, nothing may panic, and a cut or doubled frame is still no frame
/// wherever it has a length.
pub(super) fn checked_if(text: &str, has_check: bool, is_taken: impl Fn(&[u8]) -> bool) -> Result<usize, String> {
    let whole = bytes(text)?;
    let mut count = 0;
    let doubled = [whole.clone(), whole.clone()].concat();
    let copies = flipped(&whole).chain(halves(&whole)).chain(cut(&whole).map(<[u8]>::to_vec)).chain([doubled]);
    for copy in copies.filter(|copy| *copy != whole) {
        count += 1;
        // A line ends with its answer, so that more bytes after it are the next one's.
        if is_taken(&copy) && has_check && !copy.starts_with(&whole) {
            return Err(format!("{} is taken", hex::encode_upper(&copy)));
        }
    }
    Ok(count)
}

fn one_bit_of_a_card(cards: &Cards, text: &str) -> Result<usize, String> {
    let whole = bits(text)?;
    let meant = cards.decode(&whole);
    for n in 0..whole.len() {
        let mut copy = whole.clone();
        copy[n] = !copy[n];
        let found = cards.decode(&copy);
        if found.is_ok() && found != meant && cards.covers(whole.len(), n) {
            return Err(format!("with bit {n} turned it is another card"));
        }
        let _ = cards.decode(&whole[..n]);
    }
    Ok(2 * whole.len())
}

/// One bit turned in every byte, another one in the next.
pub(super) fn flipped(whole: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let every = if whole.len() <= 200 { 1 } else { 8 };
    let step = (whole.len() * 8 / every).div_ceil(COPIES_MAX).max(1) * every;
    (0..whole.len() * 8).step_by(step).map(|bit| {
        let mut copy = whole.to_vec();
        copy[bit / 8] ^= 1 << ((bit + bit / 8) % 8);
        copy
    })
}

pub(super) fn cut(whole: &[u8]) -> impl Iterator<Item = &[u8]> {
    let step = whole.len().div_ceil(COPIES_MAX).max(1);
    (0..whole.len()).step_by(step).map(|length| &whole[..length])
}

/// The second part before the first.
pub(super) fn halves(whole: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    [2, 3, 5].into_iter().map(|part| {
        let (first, second) = whole.split_at(whole.len() / part);
        [second, first].concat()
    })
}
