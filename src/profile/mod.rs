//! Device profiles: one product per TOML file says what its bytes mean and what bytes move it. Pure: bytes in, values out.

pub mod charset;
pub mod document;
pub mod framing;
pub mod hostile;
pub mod http;
pub mod identity;
pub mod language;
pub mod layout;
pub mod mistake;
pub mod modbus;
pub mod mqtt;
pub mod osdp;
pub mod recording;
pub mod serial;
pub mod shipped;
pub mod statement;
pub mod stream;
pub mod template;
pub mod trying;
pub mod wiegand;

mod check;
mod checks;
mod contacts;
mod first;
mod join;
mod json;
mod meaning;
mod params;
mod xml;
pub use json::shortened;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::HttpCodec;
use language::frame::SerialWords;
use language::http::{HttpWords, PictureForm};
use language::reader::{OsdpWords, WiegandWords};
use language::{Ack, Arg, Emits, Guard, Head, Link, Message, ModbusWords, MqttWords, Opening, Param, Retry};
use mistake::{Mistake, Source};
use modbus::ModbusCodec;
use mqtt::MqttCodec;
use osdp::OsdpCodec;
pub use params::BadParam;
use params::{bound, param_value};
use serial::SerialCodec;
use shipped::SHIPPED;
use statement::CannotSend;
use template::{Value, Values};
use wiegand::Cards;

/// The largest profile file that is read.
const PROFILE_BYTES_MAX: u64 = 256 * 1024;

/// How deep below the given directory profiles are looked for: vendor, product.
const DIRECTORY_DEPTH_MAX: usize = 3;

/// Every profile that this box knows, by id.
#[derive(Clone, Debug)]
pub struct Catalogue {
    profiles: BTreeMap<String, Profile>,
    own: BTreeSet<String>,
}

/// One product.
#[derive(Clone, Debug)]
pub struct Profile {
    words: Words,
}

/// The same for the commands of every link.
macro_rules! of_command {
    () => {
        |words| CommandOf {
            name: words.name.get_ref(),
            at: words.name.span(),
            is_service: words.service,
            only_if: &words.only_if,
            ack: words.ack,
            args: &words.args,
            guard: words.guard.as_ref(),
            retry: words.retry,
        }
    };
}

#[derive(Clone, Debug)]
enum Words {
    Mqtt(Arc<MqttWords>),
    Modbus(Arc<ModbusWords>),
    Http(Arc<HttpWords>),
    Serial(Arc<SerialWords>),
    Wiegand(Arc<WiegandWords>),
    Osdp(Arc<OsdpWords>),
}

/// One device: a profile with the settings' parameters in it.
#[derive(Clone, Debug)]
pub enum Codec {
    /// Through an MQTT broker.
    Mqtt(MqttCodec),
    /// Relay and input boards.
    Modbus(ModbusCodec),
    /// HTTP in either direction.
    Http(HttpCodec),
    /// Frames on a serial line or in a tunnel.
    Serial(SerialCodec),
    /// A reader with two data wires.
    Wiegand(Cards),
    /// A reader on an OSDP bus.
    Osdp(OsdpCodec),
}

/// One command of a profile, for people.
#[derive(Clone, Debug)]
pub struct CommandOf<'p> {
    /// Its name.
    pub name: &'p str,
    /// Where its name stands in the profile's text.
    pub at: std::ops::Range<usize>,
    /// Whether it is for an installer's hands only.
    pub is_service: bool,
    /// The parameter and its word with which it is this one, where the installation chooses.
    pub only_if: &'p BTreeMap<String, String>,
    /// How much is known once it was sent.
    pub ack: Ack,
    /// What it takes.
    pub args: &'p BTreeMap<String, Arg>,
    /// When it must not be sent.
    pub guard: Option<&'p Guard>,
    /// Whether it is repeated while no answer comes.
    pub retry: Retry,
}

impl Catalogue {
    /// The shipped profiles, and those of a site's own directory before them. Every mistake of every file is told.
    pub fn load(directory: Option<&Path>) -> Result<Self, Vec<Mistake>> {
        let mut mistakes = Vec::new();
        let mut profiles = BTreeMap::new();
        let shipped = SHIPPED.iter().map(|profile| (PathBuf::from(profile.file), profile.text.to_owned()));
        let own = match directory {
            Some(directory) => files_below(directory).unwrap_or_else(|mistake| {
                mistakes.push(mistake);
                Vec::new()
            }),
            None => Vec::new(),
        };
        let mut owners: BTreeMap<String, PathBuf> = BTreeMap::new();
        for (number, (file, text)) in shipped.chain(own).enumerate() {
            let source = Source { file: &file, text: &text };
            match Profile::parse(&source) {
                Ok(profile) => {
                    let id = profile.head().id.clone();
                    let own = (number >= SHIPPED.len()).then(|| (id.get_ref().clone(), file.clone()));
                    if let Some(other) = own.and_then(|(id, file)| owners.insert(id, file)) {
                        let wrong = format!("{} is the id of {} too", id.get_ref(), other.display());
                        mistakes.push(source.mistake(id.span(), wrong, "an id of its own for each file"));
                    }
                    profiles.insert(id.into_inner(), profile);
                }
                Err(found) => mistakes.extend(found),
            }
        }
        if mistakes.is_empty() { Ok(Self { profiles, own: owners.into_keys().collect() }) } else { Err(mistakes) }
    }

    /// Whether the site's own directory has this id.
    pub fn is_own(&self, id: &str) -> bool {
        self.own.contains(id)
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
        let opening: Opening = toml::from_str(source.text).map_err(|error| vec![source.no_profile(&error)])?;
        let text = source.text;
        let (words, mistakes) = match opening.profile.link {
            Link::Mqtt => {
                let words: MqttWords = toml::from_str(text).map_err(unreadable)?;
                let mistakes = check::mqtt(source, &words);
                (Words::Mqtt(Arc::new(words)), mistakes)
            }
            Link::ModbusRtu | Link::ModbusTcp => {
                let words: ModbusWords = toml::from_str(text).map_err(unreadable)?;
                let mistakes = check::modbus(source, &words);
                (Words::Modbus(Arc::new(words)), mistakes)
            }
            Link::Http => {
                let words: HttpWords = toml::from_str(text).map_err(unreadable)?;
                let mistakes = check::http(source, &words);
                (Words::Http(Arc::new(words)), mistakes)
            }
            Link::Serial => {
                let words: SerialWords = toml::from_str(text).map_err(unreadable)?;
                let mistakes = check::serial(source, &words);
                (Words::Serial(Arc::new(words)), mistakes)
            }
            Link::Wiegand => {
                let words: WiegandWords = toml::from_str(text).map_err(unreadable)?;
                let mistakes = check::wiegand(source, &words);
                (Words::Wiegand(Arc::new(words)), mistakes)
            }
            Link::Osdp => {
                let words: OsdpWords = toml::from_str(text).map_err(unreadable)?;
                let mistakes = check::osdp(source, &words);
                (Words::Osdp(Arc::new(words)), mistakes)
            }
        };
        let profile = Self { words };
        let mistakes = mistakes.into_iter().chain(check::question(source, &profile));
        let mistakes: Vec<Mistake> = mistakes.chain(check::variants(source, &profile)).collect();
        if mistakes.is_empty() { Ok(profile) } else { Err(mistakes) }
    }

    /// `vendor/product`.
    pub fn id(&self) -> &str {
        self.head().id.get_ref()
    }

    /// Which product it is.
    pub fn head(&self) -> &Head {
        match &self.words {
            Words::Mqtt(words) => &words.profile,
            Words::Modbus(words) => &words.profile,
            Words::Http(words) => &words.profile,
            Words::Serial(words) => &words.profile,
            Words::Wiegand(words) => &words.profile,
            Words::Osdp(words) => &words.profile,
        }
    }

    /// How the product is reached.
    pub fn link(&self) -> Link {
        self.head().link
    }

    /// What the settings must or may say for each device.
    pub fn params(&self) -> &BTreeMap<String, Param> {
        match &self.words {
            Words::Mqtt(words) => &words.params,
            Words::Modbus(words) => &words.params,
            Words::Http(words) => &words.params,
            Words::Serial(words) => &words.params,
            Words::Wiegand(words) => &words.params,
            Words::Osdp(words) => &words.params,
        }
    }

    /// What the product says, where a profile lists messages.
    pub fn messages(&self) -> &[Message] {
        match &self.words {
            Words::Mqtt(words) => &words.messages,
            Words::Http(words) => &words.messages,
            Words::Serial(words) => &words.messages,
            Words::Modbus(_) | Words::Wiegand(_) | Words::Osdp(_) => &[],
        }
    }

    /// Whether the product says such things.
    pub fn emits(&self, what: Emits) -> bool {
        match &self.words {
            Words::Mqtt(_) | Words::Http(_) | Words::Serial(_) => {
                self.messages().iter().flat_map(Message::meanings).any(|(emits, _)| *emits.get_ref() == what)
            }
            Words::Modbus(words) => what == Emits::Input && words.polls.iter().any(|poll| !poll.untold),
            Words::Wiegand(_) => what == Emits::Card,
            Words::Osdp(_) => matches!(what, Emits::Card | Emits::Input),
        }
    }

    /// Whether the product is heard without anything happening at the lane: it says that it is there, or is always asked
    /// again and again.
    pub fn is_heard_always(&self) -> bool {
        match &self.words {
            Words::Mqtt(_) => self.emits(Emits::KeepAlive),
            // Only a device with an address is asked, and that it does not answer is a trouble of its own.
            Words::Http(_) => self.emits(Emits::KeepAlive),
            Words::Serial(words) => !words.polls.is_empty(),
            Words::Modbus(words) => !words.polls.is_empty(),
            Words::Wiegand(_) => false,
            Words::Osdp(_) => true,
        }
    }

    /// Whether the product is asked again and again.
    pub fn is_polled(&self) -> bool {
        match &self.words {
            Words::Serial(words) => !words.polls.is_empty(),
            Words::Modbus(words) => !words.polls.is_empty(),
            Words::Osdp(_) => true,
            Words::Mqtt(_) | Words::Http(_) | Words::Wiegand(_) => false,
        }
    }

    /// How many inputs are read, where the profile says so.
    pub fn input_count(&self) -> Option<u16> {
        match &self.words {
            Words::Modbus(words) => {
                let told = words.polls.iter().filter(|poll| !poll.untold);
                told.map(|poll| poll.first.unwrap_or(poll.address) + *poll.count.get_ref()).max()
            }
            Words::Mqtt(_) | Words::Http(_) | Words::Serial(_) | Words::Wiegand(_) | Words::Osdp(_) => None,
        }
    }

    /// How it is handed pictures, where the product reads those of cameras.
    pub fn picture_form(&self) -> Option<&PictureForm> {
        match &self.words {
            Words::Http(words) => words.read_picture.as_ref(),
            Words::Mqtt(_) | Words::Modbus(_) | Words::Serial(_) | Words::Wiegand(_) | Words::Osdp(_) => None,
        }
    }

    /// The names of the answers to posts.
    pub fn replies(&self) -> Vec<&str> {
        match &self.words {
            Words::Http(words) => words.replies.keys().map(String::as_str).collect(),
            Words::Mqtt(_) | Words::Modbus(_) | Words::Serial(_) | Words::Wiegand(_) | Words::Osdp(_) => Vec::new(),
        }
    }

    /// What the product can be told.
    pub fn commands(&self) -> Vec<CommandOf<'_>> {
        match &self.words {
            Words::Mqtt(words) => words.commands.iter().map(of_command!()).collect(),
            Words::Modbus(words) => words.commands.iter().map(of_command!()).collect(),
            Words::Http(words) => words.commands.iter().map(of_command!()).collect(),
            Words::Serial(words) => words.commands.iter().map(of_command!()).collect(),
            Words::Wiegand(_) | Words::Osdp(_) => Vec::new(),
        }
    }

    /// The bounds of a command's arguments; `None` where the product has no such command.
    pub fn args(&self, command: &str) -> Option<&BTreeMap<String, Arg>> {
        self.commands().into_iter().find(|words| words.name == command).map(|words| words.args)
    }

    /// The command of this name, with arguments that fit it and that its guard allows.
    pub fn prepared(&self, command: &str, args: &Values) -> Result<CommandOf<'_>, CannotSend> {
        let words = self.commands().into_iter().find(|words| words.name == command);
        let words = words.ok_or_else(|| CannotSend::NoCommand(command.to_owned()))?;
        meaning::arguments(words.args, words.guard, args)?;
        Ok(words)
    }

    /// The device that these parameters describe.
    pub fn bind(&self, given: &BTreeMap<String, toml::Value>) -> Result<Codec, Vec<BadParam>> {
        let values = bound(self.params(), given)?;
        Ok(match &self.words {
            Words::Mqtt(words) => {
                let mut words = MqttWords::clone(words);
                with_params(&mut words.messages, &values);
                words.commands.retain(|command| is_chosen(&command.only_if, &values));
                Codec::Mqtt(MqttCodec::new(Arc::new(words), values))
            }
            Words::Modbus(words) => {
                let mut words = ModbusWords::clone(words);
                words.commands.retain(|command| is_chosen(&command.only_if, &values));
                Codec::Modbus(ModbusCodec::new(Arc::new(words), &values))
            }
            Words::Http(words) => {
                let mut words = HttpWords::clone(words);
                with_params(&mut words.messages, &values);
                words.commands.retain(|command| is_chosen(&command.only_if, &values));
                Codec::Http(HttpCodec::new(Arc::new(words), values))
            }
            Words::Serial(words) => {
                let mut words = SerialWords::clone(words);
                with_params(&mut words.messages, &values);
                words.commands.retain(|command| is_chosen(&command.only_if, &values));
                Codec::Serial(SerialCodec::new(Arc::new(words), values))
            }
            Words::Wiegand(words) => Codec::Wiegand(Cards::new(&words.cards, *words.gap_ms.get_ref())),
            Words::Osdp(words) => Codec::Osdp(OsdpCodec::new(Arc::clone(words), &values)),
        })
    }
}

/// The words of a link's profiles as a JSON Schema, for editors; made from the same types that read the profiles.
pub fn schema(link: Link) -> String {
    let schema = match link {
        Link::Mqtt => schemars::schema_for!(MqttWords),
        Link::ModbusRtu | Link::ModbusTcp => schemars::schema_for!(ModbusWords),
        Link::Http => schemars::schema_for!(HttpWords),
        Link::Serial => schemars::schema_for!(SerialWords),
        Link::Wiegand => schemars::schema_for!(WiegandWords),
        Link::Osdp => schemars::schema_for!(OsdpWords),
    };
    format!("{:#}", schema.as_value())
}

/// Tests against a parameter become tests against its value, and parameters in paths what they are; a parameter that is not
/// given fits nothing.
fn with_params(messages: &mut [Message], values: &Values) {
    for condition in messages.iter_mut().flat_map(|message| &mut message.when) {
        if let Some(path) = template::plain(condition.path.get_ref(), values) {
            *condition.path.get_mut() = path;
        }
        if let Some(name) = &condition.is_param {
            let value = values.get(name.get_ref()).map(|value| toml::Value::String(value.written()));
            condition.is = Some(value.into_iter().collect());
        }
    }
}

/// Whether a command is the one of its name that the settings choose.
fn is_chosen(only_if: &BTreeMap<String, String>, values: &Values) -> bool {
    only_if.iter().all(|(param, word)| values.get(param) == Some(&Value::Text(word.clone())))
}

/// Bytes as a person writes them: hex digits in pairs, blanks between them as one likes.
pub fn bytes(text: &str) -> Result<Vec<u8>, String> {
    let digits: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    hex::decode(&digits).map_err(|error| format!("bytes in hex such as \"00 64 FF FF\" are expected: {error}"))
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
