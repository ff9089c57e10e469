//! What was recorded of a device, as texts and bytes; what they mean is the business of whoever hears them.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::unhex;

/// A recording, with the parameters that a person gave in place of the recorded ones.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Recording {
    #[serde(default, deserialize_with = "texts")]
    pub params: BTreeMap<String, String>,
    #[serde(default)]
    pub says: Vec<Says>,
    #[serde(default)]
    pub told: Vec<Told>,
    #[serde(default)]
    pub post: Vec<Post>,
    #[serde(default)]
    pub call: Vec<Call>,
    #[serde(default)]
    pub look: Vec<Look>,
    #[serde(default)]
    pub frame: Vec<Frame>,
    /// What a reader of cards and the box say to each other; only their being there counts here.
    #[serde(default)]
    packet: Vec<toml::Value>,
    #[serde(default)]
    pub bus: Vec<Bus>,
    #[serde(default)]
    pub card: Vec<Bits>,
    /// Where the device is asked for the stream of its events, by its profile.
    #[serde(skip)]
    pub stream: Option<String>,
    /// Where pictures are posted to it, by its profile.
    #[serde(skip)]
    pub reads: Option<String>,
}

/// A message to a broker.
#[derive(Debug, Deserialize)]
pub(super) struct Says {
    pub what: String,
    pub topic: String,
    #[serde(flatten)]
    pub body: Body,
}

/// What is said, as a text or, where it is none, as bytes in hex.
#[derive(Debug, Deserialize)]
pub(super) struct Body {
    body: Option<String>,
    body_hex: Option<String>,
}

impl Body {
    /// Its bytes, with texts replaced.
    pub fn with(&self, changes: &[(String, String)]) -> Result<Vec<u8>> {
        let bytes = match (&self.body, &self.body_hex) {
            (Some(text), None) => text.clone().into_bytes(),
            (None, Some(digits)) => unhex(digits)?,
            (Some(_), Some(_)) | (None, None) => bail!("what is said has one of body and body_hex"),
        };
        Ok(changes.iter().fold(bytes, |bytes, (old, new)| replaced(&bytes, old.as_bytes(), new.as_bytes())))
    }
}

fn replaced(bytes: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((first, more)) = rest.split_first() {
        match rest.strip_prefix(old).filter(|_| !old.is_empty()) {
            Some(after) => {
                out.extend(new);
                rest = after;
            }
            None => {
                out.push(*first);
                rest = more;
            }
        }
    }
    out
}

/// A command through a broker, and the answer.
#[derive(Debug, Deserialize)]
pub(super) struct Told {
    pub topic: String,
    pub reply_topic: Option<String>,
    #[serde(default)]
    pub reply: String,
    pub refused: Option<String>,
}

/// A post of the device.
#[derive(Debug, Deserialize)]
pub(super) struct Post {
    pub what: String,
    pub path: Option<String>,
    #[serde(default = "json")]
    pub content_type: String,
    #[serde(flatten)]
    pub body: Body,
}

/// A request to the device, and its answer.
#[derive(Debug, Deserialize)]
pub(super) struct Call {
    pub method: String,
    pub path: String,
    pub status: u16,
    #[serde(default)]
    pub answer_type: String,
    #[serde(default)]
    pub answer: String,
    pub refused: Option<String>,
}

/// An answer about a picture.
#[derive(Debug, Deserialize)]
pub(super) struct Look {
    pub what: String,
    #[serde(default = "ok")]
    pub status: u16,
    #[serde(default = "json")]
    pub answer_type: String,
    pub answer: String,
}

fn ok() -> u16 {
    200
}

/// One frame of either side.
#[derive(Debug, Deserialize)]
pub(super) struct Frame {
    pub what: String,
    pub hex: String,
    pub command: Option<String>,
    pub answers: Option<String>,
    pub refused: Option<String>,
    #[serde(default)]
    pub means: Vec<toml::Value>,
}

/// A Modbus frame and its answer.
#[derive(Debug, Deserialize)]
pub(super) struct Bus {
    pub writes: String,
    pub answer: String,
}

impl Bus {
    /// Whether it begins with a head that says how long it is.
    fn is_over_tcp(&self) -> bool {
        let Ok(bytes) = unhex(&self.writes) else { return false };
        matches!(bytes.as_slice(), [_, _, 0, 0, high, low, rest @ ..] if usize::from(u16::from_be_bytes([*high, *low])) == rest.len())
    }
}

/// A card's bits.
#[derive(Debug, Deserialize)]
pub(super) struct Bits {
    pub what: String,
    pub bits: String,
}

fn json() -> String {
    "application/json".to_owned()
}

fn texts<'de, D: serde::Deserializer<'de>>(from: D) -> Result<BTreeMap<String, String>, D::Error> {
    let values = BTreeMap::<String, toml::Value>::deserialize(from)?;
    let text = |value: toml::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    Ok(values.into_iter().map(|(name, value)| (name, text(value))).collect())
}

impl Recording {
    /// Whether it was recorded of a Modbus board.
    pub fn is_of_a_board(&self) -> bool {
        !self.bus.is_empty()
    }

    /// The links at which it says or answers something.
    pub fn links(&self) -> Vec<&'static str> {
        let is_over_tcp = self.is_of_a_board() && self.bus.iter().all(Bus::is_over_tcp);
        let is_asked = !self.call.is_empty() || self.stream.is_some() || self.reads.is_some();
        let speaks_in_frames = !self.frame.is_empty() || !self.card.is_empty() || !self.packet.is_empty();
        let is_on_a_line = speaks_in_frames || self.is_of_a_board() && !is_over_tcp;
        let all = [
            (!self.says.is_empty() || !self.told.is_empty(), "mqtt://HOST:PORT"),
            (self.post.iter().any(|post| post.path.is_some()), "http://HOST:PORT"),
            (is_asked || is_over_tcp, "listen://HOST:PORT"),
            (is_on_a_line, "pty"),
        ];
        all.into_iter().filter(|(has, _)| *has).map(|(_, link)| link).collect()
    }

    /// Reads a recording's text; where a parameter is given, its recorded text becomes the given one everywhere.
    pub fn read(text: &str, given: &BTreeMap<String, String>) -> Result<Self> {
        let recorded: Self = toml::from_str(text).context("read the recording")?;
        let mut changed = text.to_owned();
        for (name, new) in given {
            let old = recorded.params.get(name);
            let old = old.with_context(|| {
                let known: Vec<&str> = recorded.params.keys().map(String::as_str).collect();
                format!("there is no parameter {name}; the recording has {}", known.join(", "))
            })?;
            changed = changed.replace(old.as_str(), new);
        }
        toml::from_str(&changed).context("read the recording with these parameters")
    }
}
