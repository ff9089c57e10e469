//! What tills, their printers and scanners send, behind doors for bytes that mean harm: it is understood as on its line, but
//! for the ledger file, and what is understood stays within its bounds.

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Publish, PublishProperties};
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::classic::{self, Check, Heard};
use super::letter::Letter;
use super::strong::{self, Frame};
use super::tap::{MOST_BYTES, Paper, Tap};
use super::text::{self, Line};
use super::{Charset, serial};
use crate::domain::event::{Input, TillCommit, UtcMs};
use crate::member_code;
use crate::tills::access::{Secret, Terminal};
use crate::tills::body::{self, MOST_FEN};
use crate::tills::problem::Problem;
use crate::tills::scanners::Lines;
use crate::tills::tickets;
use crate::tills::verbs::{MOST_CODE_CHARS, Request, Verb};
use crate::tills::wallet;

/// Where the answers to the till go that writes letters here.
const ANSWERS: &str = "gp/site/pos/T1/res";
/// The longest that a receipt may earn for and a member's code be, by the document of the tap.
const MOST_TAP_CHARS: usize = 64;
/// When the letters are read.
const NOON: UtcMs = UtcMs(1_772_337_600_000);

/// The classic serial line. The first byte says how the till reckons its check byte and writes its texts.
pub fn classic(bytes: &[u8]) {
    let [way, bytes @ ..] = bytes else { return };
    let check = Check { seed: if way & 1 == 0 { 0 } else { 0x7F }, with_stx: way & 2 != 0 };
    let charset = if way & 4 == 0 { Charset::Utf8 } else { Charset::Gbk };
    let mut reader = classic::Reader::new(check);
    for heard in bytes.iter().filter_map(|byte| reader.take(*byte)) {
        let Heard::Text(text) = heard else { continue };
        let mut again = classic::Reader::new(check);
        let frame = check.frame(&text);
        let read: Vec<Heard> = frame.into_iter().filter_map(|byte| again.take(byte)).collect();
        assert_eq!(read, [Heard::Text(text.clone())], "a text is framed as it was");
        line(&charset.decode(&text), '|');
    }
}

/// The lines in the files of a folder: the first byte says how texts are written.
pub fn fields(bytes: &[u8]) {
    let [way, bytes @ ..] = bytes else { return };
    let charset = if way & 1 == 0 { Charset::Utf8 } else { Charset::Gbk };
    line(&charset.decode(bytes), if way & 2 == 0 { ',' } else { '|' });
}

/// The strong serial line. With an odd first byte what follows is the body of a whole frame whose verb the second byte
/// names, because no fuzzer guesses a CRC-32.
pub fn strong(bytes: &[u8]) {
    let wire = match bytes {
        [way, verb, body @ ..] if way & 1 == 1 => {
            let body = body.get(..strong::MOST_BODY_BYTES).unwrap_or(body).to_vec();
            Frame { flags: 0, number: 1, verb: *verb, key: [7; 16], body }.to_wire()
        }
        [_, wire @ ..] => wire.to_vec(),
        [] => return,
    };
    let mut reader = strong::Reader::default();
    for frame in wire.iter().filter_map(|byte| reader.take(*byte)) {
        let mut again = strong::Reader::default();
        let read: Vec<Frame> = frame.to_wire().into_iter().filter_map(|byte| again.take(byte)).collect();
        assert_eq!(read, std::slice::from_ref(&frame), "a frame is written as it was read");
        if let Ok(request) = serial::request(&frame) {
            understood(request);
        }
    }
}

/// A broker's topic. The first byte says which verb the topic names and whether the till speaks MQTT 5; up to the first
/// line feed stand what MQTT 5 carries beside the body, with tabs between: key, topic of the answer, number, shift.
pub fn letter(bytes: &[u8]) {
    let [way, rest @ ..] = bytes else { return };
    let verbs: Vec<&str> = Verb::all().map(Verb::name).collect();
    let verb = verbs[usize::from(*way) % verbs.len()];
    let cut = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
    let (head, body) = (&rest[..cut], rest.get(cut + 1..).unwrap_or_default());
    let properties = (way & 0x80 != 0).then(|| beside(head));
    let publish = Publish::new(format!("gp/site/pos/T1/req/{verb}"), QoS::AtLeastOnce, body.to_vec(), properties);
    let letter = Letter::read(&publish, verb, ANSWERS, Instant::now());
    let is_own = letter.reply_to == ANSWERS || letter.reply_to.starts_with(&format!("{ANSWERS}/"));
    assert!(is_own && !letter.reply_to.contains(['+', '#']), "an answer goes elsewhere: {}", letter.reply_to);
    if let Ok(request) = &letter.request {
        let _ = letter.out_of_time(request.spends(), NOON);
        understood(request.clone());
    }
    let _ = letter.answer(Ok(Value::Object(Map::new()).into()));
}

fn beside(head: &[u8]) -> PublishProperties {
    let mut parts = head.split(|byte| *byte == b'\t');
    let mut next = || parts.next().unwrap_or_default();
    let (key, topic, number, shift) = (next(), next(), next(), next());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    PublishProperties {
        correlation_data: Some(key.to_vec().into()),
        response_topic: Some(text(topic)),
        user_properties: vec![("seq".to_owned(), text(number)), ("shift".to_owned(), text(shift))],
        message_expiry_interval: Some(5),
        ..PublishProperties::default()
    }
}

/// The body of a request over HTTP. The first byte says which verb it is for.
pub fn posted(bytes: &[u8]) {
    let [way, rest @ ..] = bytes else { return };
    let verbs: Vec<Verb> = Verb::all().collect();
    let verb = verbs[usize::from(*way) % verbs.len()];
    let Ok(body) = body::object(Ok(rest.to_vec().into())) else { return };
    understood(Request { verb, key: Some("k".to_owned()), number: None, shift: None, body });
}

/// A printer's line that is read along.
pub fn paper(bytes: &[u8]) {
    let settings = "terminal = \"till-1\"\nport = \"/dev/null\"\ncharset = \"gbk\"\namount = \"合计\"\n\
                    receipt = \"小票号\"\nmember = \"会员号\"\nskip = [\"重印\"]";
    let tap: Tap = toml::from_str(settings).expect("these settings are right");
    let mut paper = Paper::default();
    for byte in bytes {
        if paper.hear(*byte) {
            receipt(&tap, &paper.take());
        }
    }
    receipt(&tap, &paper.take());
}

fn receipt(tap: &Tap, paper: &[u8]) {
    assert!(paper.len() <= MOST_BYTES, "a receipt of {} bytes", paper.len());
    let Some(read) = tap.read(paper) else { return };
    let request = read.request(1, read.member.as_deref());
    assert!(!request.spends() && read.fen > 0, "a tap only earns: {read:?}");
    assert!(read.receipt.chars().count() <= MOST_TAP_CHARS, "a long number: {read:?}");
    understood(request);
}

/// A scanner's line.
pub fn scans(bytes: &[u8]) {
    let mut lines = Lines::default();
    for code in bytes.iter().filter_map(|byte| lines.take(*byte)) {
        // A byte that is no text becomes a sign of three.
        assert!(code.len() <= 3 * MOST_CODE_CHARS, "a code of {} bytes", code.len());
        let _ = tickets::ticket_of(&Secret::from("the box's own"), &code);
        if wallet::check(&code).is_ok() && member_code::is_meant(&code) {
            let read = member_code::read(&code, &member_code::Keys::default(), NOON);
            assert!(read.is_err(), "nobody's key signed it: {code}");
        }
    }
}

fn line(text: &str, separator: char) {
    let line = Line::parse(text, separator);
    let outcome = line.request();
    let answer = match &outcome {
        Ok(_) => text::refusal(text, separator, Problem::field("harm", "nothing is done here")),
        Err(problem) => text::refusal(text, separator, problem.clone()),
    };
    assert!(!answer.contains(char::is_control), "an answer is one line: {answer:?}");
    if let Ok(request) = outcome {
        understood(request);
    }
}

/// What is asked of the loop is within the bounds that it counts on.
fn understood(request: Request) {
    let terminal = Terminal { id: "T1".into(), token: Secret::from("t"), merchant: None };
    let Ok(Some(Input::Till(commit))) = request.understood(&terminal) else { return };
    let TillCommit { sale, cash, points_cover, receipt, .. } = commit;
    for fen in [sale, cash, points_cover] {
        assert!((0..=MOST_FEN).contains(&fen.0), "an amount beyond all bounds: {fen:?}");
    }
    assert!(receipt.chars().count() <= MOST_TAP_CHARS, "a long number: {receipt}");
}
