//! What an MQTT device says and hears, by its profile: topic and bytes in, statements out; a command in, bytes out.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::document;
use super::identity;
use super::json::{Body, scalar};
use super::language::{Emits, Message, MqttCommand, MqttWords};
use super::meaning;
pub use super::statement::DeviceAnswer;
use super::statement::{CannotSend, MESSAGE_BYTES_MAX, Picture, Rejection, Statement};
use super::template::{self, Values};
use super::trying::{self, Tried};

/// One device of an MQTT profile: the profile with the settings' parameters in it.
#[derive(Clone, Debug)]
pub struct MqttCodec {
    words: Arc<MqttWords>,
    layouts: Vec<String>,
    params: Values,
    routes: BTreeMap<String, Route>,
}

/// What comes on one topic: many devices have one for all that they say, answers among it.
#[derive(Clone, Debug)]
struct Route {
    layout: usize,
    messages: Vec<usize>,
    /// The commands that are answered here.
    commands: Vec<usize>,
}

/// A message that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// The topic layout in which the device spoke; commands go there.
    pub layout: usize,
    /// What it means.
    pub what: Meaning,
    /// The pictures of the vehicle that it tells of.
    pub pictures: Vec<Picture>,
    /// The device's own running number of it.
    pub number: Option<u64>,
    /// False where the message could be of any device of its topic, because it names none.
    pub names_device: bool,
    /// The fields beside the plate whose value nobody can read.
    pub strange: Vec<&'static str>,
}

impl Heard {
    /// On a topic of several devices, only what can be true of all of them needs no name.
    pub fn of_one(self, is_shared: bool) -> Result<Self, Rejection> {
        let may_lack_name = match &self.what {
            Meaning::Says(says) => identity::may_be_of_all(says),
            // Which command it answers tells whose it is.
            Meaning::Answers(_) | Meaning::AnswersNobody => true,
        };
        if self.names_device || !is_shared || may_lack_name { Ok(self) } else { Err(identity::missing()) }
    }
}

/// What a message means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// The device says something; may be nothing of interest.
    Says(Vec<Statement>),
    /// The device answers a command.
    Answers(DeviceAnswer),
    /// It is built like an answer, and to no command that is waited for.
    AnswersNobody,
}

/// A message to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// Where.
    pub topic: String,
    /// What.
    pub body: String,
}

impl MqttCodec {
    pub(super) fn new(words: Arc<MqttWords>, params: Values) -> Self {
        let layouts: Vec<String> =
            words.layouts.iter().filter_map(|layout| template::plain(layout.get_ref(), &params)).collect();
        let mut codec = Self { words, layouts, params, routes: BTreeMap::new() };
        codec.routes = codec.routed();
        codec
    }

    /// Every topic on which the device speaks.
    pub fn topics(&self) -> impl Iterator<Item = &str> {
        self.routes.keys().map(String::as_str)
    }

    /// Whether a topic says whether the device is there, and nothing else: what the broker kept of it still holds, because
    /// the device's last will takes its place.
    pub fn keeps_state(&self, topic: &str) -> bool {
        let Some(route) = self.routes.get(topic).filter(|route| route.commands.is_empty()) else { return false };
        let mut emits = self.emitted(route);
        let is_state = |emits| matches!(emits, Emits::Away | Emits::KeepAlive | Emits::Nothing);
        emits.clone().any(|emits| emits == Emits::Away) && emits.all(is_state)
    }

    /// Whether all that comes on a topic is a sign of life, said again soon: one that is lost costs nothing.
    pub fn is_only_alive(&self, topic: &str) -> bool {
        let Some(route) = self.routes.get(topic).filter(|route| route.commands.is_empty()) else { return false };
        self.emitted(route).all(|emits| matches!(emits, Emits::KeepAlive | Emits::Nothing))
    }

    fn emitted(&self, route: &Route) -> impl Iterator<Item = Emits> + Clone {
        let messages = route.messages.iter().map(|message| &self.words.messages[*message]);
        messages.flat_map(|message| message.meanings().map(|(emits, _)| *emits.get_ref()))
    }

    /// How much one of its messages may say.
    pub fn says_most(&self) -> usize {
        self.words.messages.iter().map(|message| message.meanings().count()).max().unwrap_or(0)
    }

    /// Patterns of topics on which devices of the same product speak that the settings do not name.
    pub fn strangers(&self) -> impl Iterator<Item = &str> {
        self.words.strangers.iter().map(|pattern| pattern.get_ref().as_str())
    }

    /// The names of what this device can be told.
    pub fn commands(&self) -> impl Iterator<Item = &str> {
        self.words.commands.iter().map(|command| command.name.get_ref().as_str())
    }

    /// How long a command's answer may take, in milliseconds; 0 where the profile has no such command.
    pub fn reply_timeout_ms(&self, command: &str) -> u64 {
        self.command(command).and_then(|command| command.reply.as_ref()).map_or(0, |reply| *reply.timeout_ms.get_ref())
    }

    /// Where in a command's answer it stands whose it is and that the device took it.
    pub fn proved_by(&self, command: &str) -> Vec<&str> {
        let reply = self.command(command).and_then(|command| command.reply.as_ref());
        let paths = reply.into_iter().flat_map(|reply| {
            let success = reply.success.as_ref().map(|success| &success.path);
            std::iter::once(&reply.id).chain(success)
        });
        paths.map(|path| path.get_ref().as_str()).collect()
    }

    /// What a message means while no command waits for its answer.
    pub fn decode(&self, topic: &str, body: &[u8]) -> Result<Heard, Rejection> {
        self.decode_awaited(topic, body, |_, _| false)
    }

    /// What a message means. `is_awaited` says of an id and a command's name whether this command was sent with this id and
    /// waits: several commands may be answered on one topic, each with a test of its own, and messages may come there too.
    pub fn decode_awaited(
        &self,
        topic: &str,
        body: &[u8],
        is_awaited: impl Fn(&str, &str) -> bool,
    ) -> Result<Heard, Rejection> {
        if body.len() > MESSAGE_BYTES_MAX {
            return Err(Rejection::TooLarge { bytes: body.len(), most: MESSAGE_BYTES_MAX });
        }
        let route = self.routes.get(topic).ok_or(Rejection::UnknownTopic)?;
        let top = document::json_or_text(body)?;
        let names_device = identity::is_named(self.words.identity.as_ref(), &self.params, Body::new(&top, ""))?;
        let heard = |what| Heard {
            layout: route.layout,
            what,
            pictures: Vec::new(),
            number: None,
            names_device,
            strange: Vec::new(),
        };
        let commands = || route.commands.iter().map(|command| &self.words.commands[*command]);
        let mut awaited = commands().filter_map(|command| answered(command, &top).ok().zip(Some(command)));
        if let Some((found, _)) = awaited.find(|(found, command)| is_awaited(&found.id, command.name.get_ref())) {
            return Ok(heard(Meaning::Answers(found)));
        }
        match self.fitting(&route.messages, &top) {
            Ok((message, body)) => {
                let what = Meaning::Says(meaning::of(message, body)?);
                let (pictures, number) = (meaning::pictures(message, body, &[]), meaning::number(message, body));
                Ok(Heard { pictures, number, strange: meaning::strange(message, body), ..heard(what) })
            }
            Err(rejection) => {
                let unasked: Vec<_> = commands().map(|command| answered(command, &top)).collect();
                if unasked.iter().any(Result::is_ok) {
                    return Ok(heard(Meaning::AnswersNobody));
                }
                // Where only answers come, it is one that lacks its id.
                let lacking = unasked.into_iter().find_map(Result::err).filter(|_| route.messages.is_empty());
                Err(lacking.unwrap_or(rejection))
            }
        }
    }

    /// What stands in the device's messages to tell it from others of its topics; `None` where only the topic tells.
    pub fn identity(&self) -> Option<String> {
        identity::of(self.words.identity.as_ref(), &self.params)
    }

    /// Every message of the profile before a body, in the order in which they are tried: the first that fits is taken.
    pub fn tries(&self, topic: &str, body: &[u8]) -> Result<Vec<Tried>, Rejection> {
        let route = self.routes.get(topic).ok_or(Rejection::UnknownTopic)?;
        let top = document::json_or_text(body)?;
        let one = |(number, message): (usize, &Message)| {
            if route.messages.contains(&number) {
                return trying::tried(message, &top);
            }
            let topics: Vec<&str> = message.topics.iter().map(|topic| topic.get_ref().as_str()).collect();
            trying::elsewhere(message, format!("it comes on {}", topics.join(", ")))
        };
        Ok(self.words.messages.iter().enumerate().map(one).collect())
    }

    /// The message that carries a command, in the layout in which the device spoke last (0 where it has not spoken).
    /// The id and the time of the command stand in `args` as `id` and `timestamp`.
    pub fn encode(&self, command: &str, layout: usize, args: &Values) -> Result<Publication, CannotSend> {
        let words = self.command(command).ok_or_else(|| CannotSend::NoCommand(command.to_owned()))?;
        let no_layout = || CannotSend::MissingArgument("layout".to_owned());
        let layout = self.layouts.get(layout).or_else(|| self.layouts.first()).ok_or_else(no_layout)?;
        let mut values = self.params.clone();
        values.extend(meaning::arguments(&words.args, words.guard.as_ref(), args)?);
        let values = template::with_lengths(values);
        let topic = meaning::filled(&in_layout(words.topic.get_ref(), layout), &values, template::plain)?;
        let body = meaning::filled(words.payload.get_ref(), &values, template::json)?;
        Ok(Publication { topic, body })
    }

    fn command(&self, name: &str) -> Option<&MqttCommand> {
        self.words.commands.iter().find(|command| command.name.get_ref() == name)
    }

    fn routed(&self) -> BTreeMap<String, Route> {
        let mut routes: BTreeMap<String, Route> = BTreeMap::new();
        let new = |layout| Route { layout, messages: Vec::new(), commands: Vec::new() };
        for (layout, prefix) in self.layouts.iter().enumerate() {
            let topic = |pattern: &str| template::plain(&in_layout(pattern, prefix), &self.params);
            for (number, message) in self.words.messages.iter().enumerate() {
                for topic in message.topics.iter().filter_map(|pattern| topic(pattern.get_ref())) {
                    routes.entry(topic).or_insert_with(|| new(layout)).messages.push(number);
                }
            }
            for (command, words) in self.words.commands.iter().enumerate() {
                let topics = words.reply.iter().flat_map(|reply| &reply.topics);
                for topic in topics.filter_map(|pattern| topic(pattern.get_ref())) {
                    routes.entry(topic).or_insert_with(|| new(layout)).commands.push(command);
                }
            }
        }
        routes
    }

    fn fitting<'m>(&'m self, messages: &[usize], top: &'m Value) -> Result<(&'m Message, Body<'m>), Rejection> {
        let bodies = messages.iter().map(|number| {
            let message = &self.words.messages[*number];
            (message, Body::new(top, &message.root))
        });
        let mut fitting = bodies.filter(|(message, body)| message.when.iter().all(|condition| body.fits(condition)));
        fitting.next().ok_or(Rejection::UnknownMessage)
    }
}

fn in_layout(pattern: &str, layout: &str) -> String {
    pattern.replace("{layout}", layout)
}

fn answered(command: &MqttCommand, top: &Value) -> Result<DeviceAnswer, Rejection> {
    let body = Body::new(top, "");
    let reply = command.reply.as_ref().ok_or(Rejection::UnknownMessage)?;
    let path = reply.id.get_ref();
    let id = body.at(path).and_then(scalar).ok_or_else(|| Rejection::MissingField(path.clone()))?;
    Ok(meaning::answer(id, reply.success.as_ref(), body))
}
