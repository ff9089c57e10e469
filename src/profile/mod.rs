//! Device profiles: one product per TOML file says what its bytes mean and what bytes move it. Pure: bytes in, values out.

pub mod language;
pub mod mistake;
pub mod modbus;
pub mod mqtt;
pub mod recording;
pub mod statement;

mod check;
mod json;
pub use json::shortened;
pub mod template;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use language::{CommandName, Emits, Link, ModbusWords, MqttWords, Opening, Param, ParamKind};
use mistake::{Mistake, Source, one_of};
use modbus::ModbusCodec;
use mqtt::MqttCodec;
use template::{Value, Values};

/// The profiles that every box has; a file of the same id in the site's own directory replaces one.
const SHIPPED: &[(&str, &str)] = &[
    ("device-profiles/lc/modbus-8r.toml", include_str!("../../device-profiles/lc/modbus-8r.toml")),
    ("device-profiles/vzenith/r-mqtt.toml", include_str!("../../device-profiles/vzenith/r-mqtt.toml")),
    (
        "device-profiles/waveshare/modbus-relay-8.toml",
        include_str!("../../device-profiles/waveshare/modbus-relay-8.toml"),
    ),
];

/// The largest profile file that is read.
const PROFILE_BYTES_MAX: u64 = 256 * 1024;

/// How deep below the given directory profiles are looked for: vendor, product.
const DIRECTORY_DEPTH_MAX: usize = 3;

/// Every profile that this box knows, by id.
#[derive(Clone, Debug)]
pub struct Catalogue {
    profiles: BTreeMap<String, Profile>,
}

/// One product.
#[derive(Clone, Debug)]
pub struct Profile {
    words: Words,
}

#[derive(Clone, Debug)]
enum Words {
    Mqtt(Arc<MqttWords>),
    Modbus(Arc<ModbusWords>),
}

/// One device: a profile with the settings' parameters in it.
#[derive(Clone, Debug)]
pub enum Codec {
    /// Through an MQTT broker.
    Mqtt(MqttCodec),
    /// On a serial bus.
    Modbus(ModbusCodec),
}

/// Why parameters do not fit a profile: which one, what is wrong, what is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadParam {
    /// Its name.
    pub name: String,
    /// What is wrong.
    pub wrong: String,
    /// What is allowed.
    pub allowed: String,
}

impl Catalogue {
    /// The shipped profiles, and those of a site's own directory before them. Every mistake of every file is told.
    pub fn load(directory: Option<&Path>) -> Result<Self, Vec<Mistake>> {
        let mut mistakes = Vec::new();
        let mut profiles = BTreeMap::new();
        let shipped = SHIPPED.iter().map(|(file, text)| (PathBuf::from(file), (*text).to_owned()));
        let own = match directory {
            Some(directory) => files_below(directory).unwrap_or_else(|mistake| {
                mistakes.push(mistake);
                Vec::new()
            }),
            None => Vec::new(),
        };
        for (file, text) in shipped.chain(own) {
            match Profile::parse(&Source { file: &file, text: &text }) {
                Ok(profile) => {
                    profiles.insert(profile.id().to_owned(), profile);
                }
                Err(found) => mistakes.extend(found),
            }
        }
        if mistakes.is_empty() { Ok(Self { profiles }) } else { Err(mistakes) }
    }

    /// The profile with this id.
    pub fn profile(&self, id: &str) -> Option<&Profile> {
        self.profiles.get(id)
    }

    /// Every id, in order.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.profiles.keys().map(String::as_str)
    }
}

impl Profile {
    /// Reads a profile and checks that it makes sense.
    pub fn parse(source: &Source) -> Result<Self, Vec<Mistake>> {
        let unreadable = |error: toml::de::Error| vec![source.unreadable(&error)];
        let opening: Opening = toml::from_str(source.text).map_err(unreadable)?;
        let (words, mistakes) = match opening.profile.link {
            Link::Mqtt => {
                let words: MqttWords = toml::from_str(source.text).map_err(unreadable)?;
                let mistakes = check::mqtt(source, &words);
                (Words::Mqtt(Arc::new(words)), mistakes)
            }
            Link::ModbusRtu => {
                let words: ModbusWords = toml::from_str(source.text).map_err(unreadable)?;
                let mistakes = check::modbus(source, &words);
                (Words::Modbus(Arc::new(words)), mistakes)
            }
        };
        if mistakes.is_empty() { Ok(Self { words }) } else { Err(mistakes) }
    }

    /// `vendor/product`.
    pub fn id(&self) -> &str {
        match &self.words {
            Words::Mqtt(words) => words.profile.id.get_ref(),
            Words::Modbus(words) => words.profile.id.get_ref(),
        }
    }

    /// How the product is reached.
    pub fn link(&self) -> Link {
        match &self.words {
            Words::Mqtt(_) => Link::Mqtt,
            Words::Modbus(_) => Link::ModbusRtu,
        }
    }

    /// Whether the product says such things.
    pub fn emits(&self, what: Emits) -> bool {
        match &self.words {
            Words::Mqtt(words) => words.messages.iter().any(|message| *message.emits.get_ref() == what),
            Words::Modbus(words) => what == Emits::Input && !words.polls.is_empty(),
        }
    }

    /// How many inputs are read, where the profile says so.
    pub fn input_count(&self) -> Option<u16> {
        match &self.words {
            Words::Mqtt(_) => None,
            Words::Modbus(words) => words.polls.iter().map(|poll| poll.address + *poll.count.get_ref()).max(),
        }
    }

    /// The bounds of a command's arguments; `None` where the product has no such command.
    pub fn args(&self, command: CommandName) -> Option<&BTreeMap<String, language::Arg>> {
        match &self.words {
            Words::Mqtt(words) => {
                words.commands.iter().find(|words| *words.name.get_ref() == command).map(|words| &words.args)
            }
            Words::Modbus(words) => {
                words.commands.iter().find(|words| *words.name.get_ref() == command).map(|words| &words.args)
            }
        }
    }

    /// The device that these parameters describe.
    pub fn bind(&self, given: &BTreeMap<String, toml::Value>) -> Result<Codec, Vec<BadParam>> {
        let known = match &self.words {
            Words::Mqtt(words) => &words.params,
            Words::Modbus(words) => &words.params,
        };
        let values = bound(known, given)?;
        Ok(match &self.words {
            Words::Mqtt(words) => Codec::Mqtt(MqttCodec::new(Arc::clone(words), values)),
            Words::Modbus(words) => Codec::Modbus(ModbusCodec::new(Arc::clone(words), &values)),
        })
    }
}

fn bound(known: &BTreeMap<String, Param>, given: &BTreeMap<String, toml::Value>) -> Result<Values, Vec<BadParam>> {
    let mut values = Values::new();
    let mut mistakes = Vec::new();
    for name in given.keys().filter(|name| !known.contains_key(*name)) {
        mistakes.push(BadParam {
            name: name.clone(),
            wrong: format!("the profile has no parameter {name}"),
            allowed: one_of(known.keys().map(String::as_str)),
        });
    }
    for (name, param) in known {
        let Some(value) = given.get(name).or_else(|| param.default.as_ref().map(|default| default.get_ref())) else {
            if param.required {
                let (wrong, allowed) = (format!("the parameter {name} is missing"), param.help.clone());
                mistakes.push(BadParam { name: name.clone(), wrong, allowed });
            }
            continue;
        };
        match param_value(param, value) {
            Ok(value) => {
                values.insert(name.clone(), value);
            }
            Err(allowed) => {
                let wrong = format!("the parameter {name} is {value}");
                mistakes.push(BadParam { name: name.clone(), wrong, allowed });
            }
        }
    }
    if mistakes.is_empty() { Ok(values) } else { Err(mistakes) }
}

/// The longest parameter: every topic and every message holds it.
const PARAM_CHARS_MAX: usize = 100;

fn param_value(param: &Param, value: &toml::Value) -> Result<Value, String> {
    let odd: &[char] = match param.kind {
        ParamKind::Integer => {
            let (min, max) = (param.min.unwrap_or(i64::MIN), param.max.unwrap_or(i64::MAX));
            return match value.as_integer() {
                Some(number) if (min..=max).contains(&number) => Ok(Value::Integer(number)),
                Some(_) | None => Err(format!("a whole number from {min} to {max}: {}", param.help)),
            };
        }
        ParamKind::Text => &['/', '+', '#', '{', '}'],
        ParamKind::Topic => &['+', '#', '{', '}'],
    };
    let allowed = || format!("1 to {PARAM_CHARS_MAX} characters, none of {}: {}", String::from_iter(odd), param.help);
    let text = value.as_str().ok_or_else(allowed)?;
    let is_right = (1..=PARAM_CHARS_MAX).contains(&text.chars().count())
        && !text.contains(odd)
        && !text.contains(char::is_control);
    if is_right { Ok(Value::Text(text.to_owned())) } else { Err(allowed()) }
}

fn files_below(directory: &Path) -> Result<Vec<(PathBuf, String)>, Mistake> {
    let mut found = Vec::new();
    let mut waiting = vec![(directory.to_owned(), 0)];
    while let Some((path, depth)) = waiting.pop() {
        let entries = std::fs::read_dir(&path).map_err(|error| unreadable(&path, &error))?;
        for entry in entries {
            let entry = entry.map_err(|error| unreadable(&path, &error))?.path();
            if entry.is_dir() && depth < DIRECTORY_DEPTH_MAX {
                waiting.push((entry, depth + 1));
            } else if is_profile(&entry) {
                let size = entry.metadata().map_err(|error| unreadable(&entry, &error))?.len();
                if size > PROFILE_BYTES_MAX {
                    let wrong = format!("the file has {size} bytes");
                    let source = Source { file: &entry, text: "" };
                    return Err(source.whole(wrong, format!("at most {PROFILE_BYTES_MAX}")));
                }
                let text = std::fs::read_to_string(&entry).map_err(|error| unreadable(&entry, &error))?;
                found.push((entry, text));
            }
        }
    }
    found.sort();
    Ok(found)
}

fn is_profile(file: &Path) -> bool {
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.ends_with(".toml") && !name.ends_with(".recording.toml")
}

fn unreadable(path: &Path, error: &std::io::Error) -> Mistake {
    Source { file: path, text: "" }.whole(format!("cannot be read: {error}"), "a directory with profiles")
}

#[cfg(test)]
mod tests;
