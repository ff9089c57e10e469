//! The till's end of a broker, in both versions of MQTT, byte by byte from the standard, so that it can be cut anywhere.
//!
//! Sources: OASIS, MQTT Version 5.0 (2019) and MQTT Version 3.1.1 (2014).

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value, json};

use super::{Ask, Cut, Heard, Options, Verb};
use crate::clock::{VirtualClock, rfc3339};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(12);
/// How long a request that spends may be under way, in seconds.
const SPEND_WITHIN_S: u32 = 10;

const CONNECT: u8 = 0x10;
const CONNACK: u8 = 0x20;
const PUBLISH_ONCE: u8 = 0x32;
const RETAIN: u8 = 0x01;
const PUBACK: u8 = 0x40;
const SUBSCRIBE: u8 = 0x82;
const SUBACK: u8 = 0x90;

/// Properties of MQTT 5 that are used here.
const EXPIRY: u8 = 0x02;
const CONTENT_TYPE: u8 = 0x03;
const RESPONSE_TOPIC: u8 = 0x08;
const CORRELATION: u8 = 0x09;
const USER: u8 = 0x26;

/// A till behind a broker.
pub(super) struct Till {
    broker: String,
    base: String,
    terminal: String,
    password: Option<String>,
    token: Option<String>,
    is_five: bool,
    line: Option<Line>,
}

impl Till {
    pub(super) fn new(options: &Options, terminal: &str, token: &str, is_five: bool) -> Result<Self> {
        let broker = options.broker.clone().context("MQTT needs --broker HOST:PORT")?;
        Ok(Self {
            broker,
            base: format!("gp/{}/pos/{terminal}", options.site),
            terminal: terminal.to_owned(),
            password: options.broker_password.clone(),
            token: options.show_token.then(|| token.to_owned()),
            is_five,
            line: None,
        })
    }

    pub(super) fn ask(&mut self, ask: &Ask<'_>) -> Result<Heard> {
        if self.line.is_none() {
            self.line = Some(self.connect()?);
        }
        let (topic, message) = (format!("{}/req/{}", self.base, ask.verb.name()), self.message(ask));
        let line = self.line.as_mut().context("the line was made just now")?;
        let packet = line.publish(&topic, &message.properties, &message.body, 0);
        if ask.cut == Cut::InRequest {
            line.stream.write_all(&packet[..packet.len() / 2]).context("send half a request")?;
            self.line = None;
            return Ok(Heard::Nothing);
        }
        line.stream.write_all(&packet).context("send the request")?;
        let until = Instant::now() + PATIENCE;
        let heard = loop {
            let Some((kind, body)) = line.read(until)? else { break Heard::Nothing };
            if kind == PUBACK && ask.cut == Cut::AfterRequest {
                break Heard::Nothing;
            } else if kind & 0xF0 == PUBLISH_ONCE & 0xF0 {
                let incoming = Incoming::read(kind, &body, self.is_five)?;
                if ask.cut != Cut::BeforeAnswer {
                    line.acknowledge(incoming.packet)?;
                }
                if let Some(heard) = incoming.heard(&message.key, self.is_five)? {
                    break heard;
                }
            }
        };
        if matches!(ask.cut, Cut::AfterRequest | Cut::BeforeAnswer) {
            self.line = None;
            return Ok(Heard::Nothing);
        }
        Ok(heard)
    }

    /// Connects, with the last words that the broker shall say for a till that is gone, and listens to its answers.
    fn connect(&self) -> Result<Line> {
        let stream = TcpStream::connect(&self.broker).with_context(|| format!("connect to {}", self.broker))?;
        stream.set_nodelay(true)?;
        let mut line = Line { stream, waiting: Vec::new(), packet: 0, is_five: self.is_five };
        let state = format!("{}/state", self.base);
        // A clean start, a last will of quality 1 that is kept; a name and a password where there is one.
        let flags = 0x02 | 0x04 | 0x08 | 0x20 | if self.password.is_some() { 0xC0 } else { 0 };
        let mut body = text("MQTT");
        body.extend([if self.is_five { 5 } else { 4 }, flags, 0, 60]);
        body.extend(line.no_properties());
        body.extend(text(&format!("till-{}-{}", self.terminal, std::process::id())));
        body.extend(line.no_properties());
        body.extend(text(&state));
        body.extend(text("offline"));
        if let Some(password) = &self.password {
            body.extend(text(&self.terminal));
            body.extend(text(password));
        }
        line.stream.write_all(&packet(CONNECT, &body)).context("greet the broker")?;
        let answer = line.expect(CONNACK)?;
        ensure!(answer.get(1) == Some(&0), "the broker refuses the till: {answer:?}");
        let mut body = vec![0, 1];
        body.extend(line.no_properties());
        body.extend(text(&format!("{}/res/#", self.base)));
        body.push(1);
        line.stream.write_all(&packet(SUBSCRIBE, &body)).context("ask for answers")?;
        let answer = line.expect(SUBACK)?;
        ensure!(answer.last().is_some_and(|code| *code < 0x80), "the broker refuses the till its answers: {answer:?}");
        let here = line.publish(&state, &[], b"online", RETAIN);
        line.stream.write_all(&here).context("say that the till is here")?;
        line.expect(PUBACK)?;
        Ok(line)
    }

    fn message(&self, ask: &Ask<'_>) -> Message {
        let name = if ask.verb.writes() { "s" } else { "ask" };
        let key = format!("{name}{}-{}", ask.shift, ask.number);
        let mut fields: Map<String, Value> = ask.fields.clone();
        if let Some(original) = fields.remove("original") {
            let name = if ask.verb == Verb::Reverse { "original_key" } else { "key" };
            fields.insert(name.to_owned(), json!(format!("s{}-{original}", ask.shift)));
        }
        let spends = matches!(ask.verb, Verb::Hold | Verb::Capture | Verb::CouponUse);
        let reply_to = format!("{}/res/{}", self.base, ask.verb.name());
        let body = Value::Object(fields);
        if self.is_five {
            let properties = self.properties(ask, &reply_to, &key, spends);
            return Message { key, properties, body: body.to_string().into_bytes() };
        }
        let envelope = self.envelope(ask, &reply_to, &key, spends, body);
        Message { key, properties: Vec::new(), body: envelope.to_string().into_bytes() }
    }

    fn properties(&self, ask: &Ask<'_>, reply_to: &str, key: &str, spends: bool) -> Vec<u8> {
        let mut properties = Vec::new();
        if spends {
            properties.push(EXPIRY);
            properties.extend(SPEND_WITHIN_S.to_be_bytes());
        }
        properties.push(RESPONSE_TOPIC);
        properties.extend(text(reply_to));
        properties.push(CORRELATION);
        properties.extend(text(key));
        let mut user = |name: &str, value: &str| {
            properties.push(USER);
            properties.extend(text(name));
            properties.extend(text(value));
        };
        if ask.verb.writes() {
            user("seq", &ask.number.to_string());
            user("shift", &ask.shift.to_string());
        }
        if let Some(token) = &self.token {
            user("token", token);
        }
        properties
    }

    fn envelope(&self, ask: &Ask<'_>, reply_to: &str, key: &str, spends: bool, body: Value) -> Value {
        let now = VirtualClock::real().now_ms();
        let mut envelope = json!({
            "v": 1, "op": ask.verb.name(), "key": key, "ts": rfc3339(now), "reply_to": reply_to, "body": body,
        });
        if ask.verb.writes() {
            envelope["seq"] = json!(ask.number);
            envelope["shift"] = json!(ask.shift);
        }
        if spends {
            envelope["expires_at"] = json!(rfc3339(now + i64::from(SPEND_WITHIN_S) * 1000));
        }
        if let Some(token) = &self.token {
            envelope["token"] = json!(token);
        }
        envelope
    }
}

/// A request and the key by which its answer is known.
struct Message {
    key: String,
    properties: Vec<u8>,
    body: Vec<u8>,
}

/// A connection to the broker.
struct Line {
    stream: TcpStream,
    waiting: Vec<u8>,
    packet: u16,
    is_five: bool,
}

impl Line {
    fn no_properties(&self) -> &'static [u8] {
        if self.is_five { &[0] } else { &[] }
    }

    fn publish(&mut self, topic: &str, properties: &[u8], payload: &[u8], flags: u8) -> Vec<u8> {
        self.packet = self.packet.checked_add(1).unwrap_or(1);
        let mut body = text(topic);
        body.extend(self.packet.to_be_bytes());
        if self.is_five {
            body.extend(length(properties.len()));
            body.extend(properties);
        }
        body.extend(payload);
        packet(PUBLISH_ONCE | flags, &body)
    }

    fn acknowledge(&mut self, number: u16) -> Result<()> {
        self.stream.write_all(&packet(PUBACK, &number.to_be_bytes())).context("acknowledge an answer")
    }

    fn expect(&mut self, kind: u8) -> Result<Vec<u8>> {
        let until = Instant::now() + PATIENCE;
        loop {
            match self.read(until)? {
                Some((found, body)) if found == kind => return Ok(body),
                // An answer to what was asked on a former line may be first.
                Some(_) => {}
                None => bail!("the broker says nothing"),
            }
        }
    }

    /// The next packet: its first byte and what follows its length.
    fn read(&mut self, until: Instant) -> Result<Option<(u8, Vec<u8>)>> {
        loop {
            if let Some((kind, body, used)) = first_packet(&self.waiting)? {
                self.waiting.drain(..used);
                return Ok(Some((kind, body)));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            self.stream.set_read_timeout(Some(left))?;
            let mut piece = [0; 4096];
            match self.stream.read(&mut piece) {
                Ok(0) => bail!("the broker hung up"),
                Ok(count) => self.waiting.extend(&piece[..count]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return Ok(None),
                Err(error) => return Err(error).context("listen to the broker"),
            }
        }
    }
}

/// A message from the broker.
struct Incoming {
    packet: u16,
    correlation: Vec<u8>,
    content_type: String,
    replayed: bool,
    body: Value,
}

impl Incoming {
    fn read(kind: u8, bytes: &[u8], is_five: bool) -> Result<Self> {
        let mut rest = bytes;
        take_text(&mut rest)?;
        let packet = if kind & 0x06 == 0 { 0 } else { u16::from_be_bytes(take::<2>(&mut rest)?) };
        let mut incoming =
            Self { packet, correlation: Vec::new(), content_type: String::new(), replayed: false, body: Value::Null };
        if is_five {
            let (size, used) = read_length(rest)?.context("read the length of the properties")?;
            let mut properties = rest.get(used..used + size).context("read the properties")?;
            rest = &rest[used + size..];
            while let Some((&name, more)) = properties.split_first() {
                properties = more;
                match name {
                    EXPIRY => drop(take::<4>(&mut properties)?),
                    CORRELATION => incoming.correlation = take_text(&mut properties)?.to_vec(),
                    CONTENT_TYPE => {
                        incoming.content_type = String::from_utf8_lossy(take_text(&mut properties)?).into_owned();
                    }
                    USER => {
                        let name = take_text(&mut properties)?;
                        incoming.replayed |= (name, take_text(&mut properties)?) == (b"replayed", b"true");
                    }
                    other => bail!("the answer has the property {other}"),
                }
            }
        }
        incoming.body = serde_json::from_slice(rest).context("read the answer's body")?;
        Ok(incoming)
    }

    /// What it answers to the request of `key`; none where it answers another.
    fn heard(self, key: &str, is_five: bool) -> Result<Option<Heard>> {
        let (is_ours, is_done, replayed, body) = if is_five {
            let is_done = self.content_type == "application/json";
            ensure!(is_done || self.content_type == "application/problem+json", "a body of {:?}", self.content_type);
            (self.correlation == key.as_bytes(), is_done, self.replayed, self.body)
        } else {
            let envelope = self.body;
            let is = |name: &str| envelope[name] == json!(true);
            (envelope["key"] == json!(key), is("ok"), is("replayed"), envelope["body"].clone())
        };
        if !is_ours {
            return Ok(None);
        }
        let code = || body["code"].as_str().unwrap_or("none").to_owned();
        Ok(Some(if is_done { Heard::Done(body, replayed) } else { Heard::Refused(code()) }))
    }
}

fn packet(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![kind];
    packet.extend(length(body.len()));
    packet.extend(body);
    packet
}

/// A text or some bytes with their length before them.
fn text(text: &str) -> Vec<u8> {
    let mut bytes = u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes().to_vec();
    bytes.extend(text.as_bytes());
    bytes
}

/// Seven bits a byte, the least first; the eighth says that more follow.
fn length(mut size: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(size % 128).unwrap_or(0);
        size /= 128;
        bytes.push(if size > 0 { low | 0x80 } else { low });
        if size == 0 {
            return bytes;
        }
    }
}

fn read_length(bytes: &[u8]) -> Result<Option<(usize, usize)>> {
    let mut size = 0;
    for (place, byte) in bytes.iter().take(4).enumerate() {
        size += usize::from(byte & 0x7F) << (7 * place);
        if byte & 0x80 == 0 {
            return Ok(Some((size, place + 1)));
        }
    }
    ensure!(bytes.len() < 4, "a length of more than four bytes");
    Ok(None)
}

fn first_packet(bytes: &[u8]) -> Result<Option<(u8, Vec<u8>, usize)>> {
    let Some((&kind, rest)) = bytes.split_first() else { return Ok(None) };
    let Some((size, used)) = read_length(rest)? else { return Ok(None) };
    Ok(rest.get(used..used + size).map(|body| (kind, body.to_vec(), 1 + used + size)))
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N]> {
    let (taken, more) = rest.split_first_chunk::<N>().context("read a number")?;
    *rest = more;
    Ok(*taken)
}

fn take_text<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8]> {
    let size = usize::from(u16::from_be_bytes(take::<2>(rest)?));
    let (taken, more) = rest.split_at_checked(size).context("read a text")?;
    *rest = more;
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of section 1.5.5 of the standard.
    #[test]
    fn a_length_is_written_as_the_standard_says() -> Result<()> {
        let table: [(usize, &[u8]); 4] =
            [(127, &[0x7F]), (128, &[0x80, 0x01]), (16_383, &[0xFF, 0x7F]), (16_384, &[0x80, 0x80, 0x01])];
        for (size, bytes) in table {
            ensure!(length(size) == bytes && read_length(bytes)? == Some((size, bytes.len())), "{size}");
        }
        Ok(())
    }
}
