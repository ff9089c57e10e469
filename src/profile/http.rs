//! What a device says and hears over HTTP: a post in, statements and an answer out; a command in, a request out.

use std::collections::BTreeMap;
use std::sync::Arc;

use hyper::body::Bytes;
use serde_json::Value as Json;
use sha2::{Digest, Sha256};

use super::document::{self, Document, PartOf, type_of};
use super::identity;
use super::join::joined;
use super::json::{Body, scalar};
use super::language::Message;
use super::language::http::{HttpCommand, HttpPoll, HttpWords, InReply, Login};
use super::meaning;
use super::statement::{CannotSend, DeviceAnswer, Picture, Rejection, Statement};
use super::template::{self, Values};
use super::trying::{self, Tried};

/// One device that speaks HTTP: the profile with the settings' parameters in it.
#[derive(Clone, Debug)]
pub struct HttpCodec {
    words: Arc<HttpWords>,
    params: Values,
    routes: BTreeMap<String, Vec<usize>>,
}

/// A post that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// What it says; may be nothing of interest.
    pub says: Vec<Statement>,
    /// Which of the profile's replies answers it.
    pub reply: Option<String>,
    /// What the reply repeats of it.
    pub echo: Values,
    /// The pictures of the vehicle that it tells of.
    pub pictures: Vec<Picture>,
    /// The device's own running number of it.
    pub number: Option<u64>,
    /// False where the post could be of any device of its path, because it names none.
    pub names_device: bool,
    /// The fields beside the plate whose value nobody can read.
    pub strange: Vec<&'static str>,
}

/// The answer to a post.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Its content type.
    pub content_type: String,
    /// Its body.
    pub body: String,
}

/// A request to the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// GET, PUT, POST or DELETE.
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// The body's content type; empty where there is no body.
    pub content_type: String,
    /// The body.
    pub body: String,
    /// How long the answer may take, in milliseconds.
    pub timeout_ms: u64,
}

/// A picture on its way to who reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PictureCall {
    /// The path with its query.
    pub path: String,
    /// The content type of the form.
    pub content_type: String,
    /// The form.
    pub body: Vec<u8>,
    /// How long the answer may take, in milliseconds.
    pub timeout_ms: u64,
}

/// How something that the device says came to the box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way<'p> {
    /// As a post to a path, with or without a query behind it.
    Post(&'p str),
    /// As a part of its stream, or as the answer to a poll.
    Unasked,
    /// As the answer about a picture that it was given.
    OfPicture,
}

/// What a command is carried by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// The answer to the device's next post.
    Reply,
    /// A request of its own.
    Request,
}

impl HttpCodec {
    pub(super) fn new(words: Arc<HttpWords>, params: Values) -> Self {
        let mut routes: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (number, message) in words.messages.iter().enumerate() {
            for path in message.paths.iter().filter_map(|path| template::plain(path.get_ref(), &params)) {
                routes.entry(path).or_default().push(number);
            }
        }
        Self { words, params, routes }
    }

    /// Every path to which the device posts.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.routes.keys().map(String::as_str)
    }

    /// What stands in the device's posts to tell it from others of its kind; `None` where only the path tells.
    pub fn identity(&self) -> Option<String> {
        identity::of(self.words.identity.as_ref(), &self.params)
    }

    /// Within how many milliseconds a post must be answered; `None` where the device does not care.
    pub fn answer_within_ms(&self) -> Option<u64> {
        self.words.answer_within_ms.as_ref().map(|ms| *ms.get_ref())
    }

    /// How the device asks who calls.
    pub fn login(&self) -> Login {
        self.words.login
    }

    /// The path of the device's stream of events, and the milliseconds of silence after which its line is dead.
    pub fn stream(&self) -> Option<(String, u64)> {
        let stream = self.words.stream.as_ref()?;
        Some((template::plain(stream.path.get_ref(), &self.params)?, *stream.silent_ms.get_ref()))
    }

    /// What is asked again and again, and after how many milliseconds.
    pub fn polls(&self) -> Vec<(Call, u64)> {
        let call =
            |poll: &HttpPoll| Some((self.call(poll.command.get_ref(), &Values::new()).ok()?, *poll.every_ms.get_ref()));
        self.words.polls.iter().filter_map(call).collect()
    }

    /// How much one of its messages may say.
    pub fn says_most(&self) -> usize {
        self.words.messages.iter().map(|message| message.meanings().count()).max().unwrap_or(0)
    }

    /// Whether something may come to this path as a GET request.
    pub fn takes_get(&self, path: &str) -> bool {
        self.routes.get(path).is_some_and(|messages| messages.iter().any(|number| self.words.messages[*number].get))
    }

    /// What a post to a path, with or without a query behind it, says. [`Rejection::NotForThis`] where it names another
    /// device.
    pub fn decode(&self, target: &str, content_type: &str, body: &[u8]) -> Result<Heard, Rejection> {
        self.decode_in(target, content_type, body, None)
    }

    /// The same of a post whose pictures, where they are parts of it, are kept without a copy.
    pub fn decode_whole(&self, target: &str, content_type: &str, body: &Bytes) -> Result<Heard, Rejection> {
        self.decode_in(target, content_type, body, Some(body))
    }

    fn decode_in(
        &self,
        target: &str,
        content_type: &str,
        body: &[u8],
        whole: Option<&Bytes>,
    ) -> Result<Heard, Rejection> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let messages = self.routes.get(path).ok_or(Rejection::UnknownTopic)?;
        let mut document = document_of(query, content_type, body)?;
        document.parts.iter_mut().for_each(|part| part.whole = whole);
        let identity = self.words.identity.as_ref();
        let names_device = identity::is_named(identity, &self.params, Body::new(&document.tree, ""))?;
        if body.is_empty() && identity.is_some() && !names_device {
            return Err(Rejection::Malformed("nothing says which device it is".to_owned()));
        }
        let messages = messages.iter().map(|number| &self.words.messages[*number]);
        Ok(Heard { names_device, ..self.said(messages, content_type, &document)? })
    }

    /// What one part of the device's stream says, or its answer to a poll.
    pub fn decode_event(&self, content_type: &str, body: &[u8]) -> Result<Heard, Rejection> {
        self.decode_with(content_type, body, &[])
    }

    /// The same with the pictures that came behind it in the stream.
    pub fn decode_with(&self, content_type: &str, body: &[u8], pictures: &[PartOf]) -> Result<Heard, Rejection> {
        let mut document = document::read(content_type, body)?;
        document.parts.extend(pictures);
        self.said(self.of_stream(), content_type, &document)
    }

    /// Every message of the profile before a body, in the order in which they are tried: the first that fits is taken.
    pub fn tries(&self, way: Way, content_type: &str, body: &[u8]) -> Result<Vec<Tried>, Rejection> {
        let (route, document) = match way {
            Way::Post(target) => {
                let (path, query) = target.split_once('?').unwrap_or((target, ""));
                let route = self.routes.get(path).ok_or(Rejection::UnknownTopic)?;
                (route.as_slice(), document_of(query, content_type, body)?)
            }
            Way::Unasked | Way::OfPicture => (&[][..], document::read(content_type, body)?),
        };
        let (kind, _) = type_of(content_type);
        let one = |(number, message): (usize, &Message)| {
            let is_here = match way {
                Way::Post(_) => route.contains(&number),
                Way::Unasked => is_unasked(message),
                Way::OfPicture => message.answers.is_some(),
            };
            if is_here && (message.content_types.is_empty() || message.content_types.contains(&kind)) {
                return trying::tried(message, &document.tree);
            }
            let why =
                if is_here { format!("it comes as {}", message.content_types.join(", ")) } else { comes(message) };
            trying::elsewhere(message, why)
        };
        Ok(self.words.messages.iter().enumerate().map(one).collect())
    }

    /// How many pictures a message of the stream brings at most.
    pub fn pictures_of_stream(&self) -> usize {
        self.of_stream().map(|message| message.pictures.len()).max().unwrap_or(0)
    }

    /// Whether anything that the device says in a stream or as the answer to a poll is known.
    pub fn hears_events(&self) -> bool {
        self.of_stream().next().is_some()
    }

    /// Whether the device reads pictures of cameras.
    pub fn reads_pictures(&self) -> bool {
        self.words.read_picture.is_some()
    }

    /// The request that hands a picture in; `None` where the device reads none, or it is neither JPEG nor PNG.
    ///
    /// What divides the form follows from the picture's hash, so that a picture that was made to hold it cannot be.
    pub fn picture_call(&self, picture: &[u8]) -> Option<PictureCall> {
        let words = self.words.read_picture.as_ref()?;
        let mut values = self.params.clone();
        values.insert("format".to_owned(), template::Value::Text(format_of(picture)?.to_owned()));
        let filled = |text: &str| template::plain(text, &values);
        let boundary = format!("gatepost-{}", hex::encode(&Sha256::digest(picture)[..12]));
        let (part, name) = (filled(words.part.get_ref())?, filled(words.file_name.get_ref())?);
        let kind = filled(words.content_type.get_ref())?;
        let head = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"{part}\"; filename=\"{name}\"\r\n\
             Content-Type: {kind}\r\n\r\n"
        );
        let body = [head.as_bytes(), picture, format!("\r\n--{boundary}--\r\n").as_bytes()].concat();
        let content_type = format!("multipart/form-data; boundary={boundary}");
        let (path, timeout_ms) = (filled(words.path.get_ref())?, *words.timeout_ms.get_ref());
        Some(PictureCall { path, content_type, body, timeout_ms })
    }

    /// What the device says of a picture that it was given. The read has no event of its own: it is that of the picture.
    pub fn decode_answer(&self, status: u16, content_type: &str, body: &[u8]) -> Result<Vec<Statement>, Rejection> {
        if !(200..300).contains(&status) {
            return Err(Rejection::Unsupported(format!("it answers with the status {status}")));
        }
        let document = document::read(content_type, body)?;
        let answers = self.words.messages.iter().filter(|message| message.answers.is_some());
        self.said(answers, content_type, &document).map(|heard| heard.says)
    }

    /// What carries a command; `None` where the product has no such command.
    pub fn carrier(&self, command: &str) -> Option<Carrier> {
        let words = self.command(command)?;
        Some(if words.in_reply.is_empty() { Carrier::Request } else { Carrier::Reply })
    }

    /// Whether anything is asked of the device besides a stream.
    pub fn is_asked(&self) -> bool {
        self.words.commands.iter().any(|command| command.request.is_some())
    }

    /// Whether the answer of this name may carry the command.
    pub fn may_carry(&self, reply: &str, command: &str) -> bool {
        self.command(command).is_some_and(|words| piece(words, reply).is_some())
    }

    /// The answer of this name, with what it repeats of its post, and with the commands in it in their order.
    pub fn reply(&self, reply: &str, echo: &Values, commands: &[(&str, Values)]) -> Result<Reply, CannotSend> {
        let words = self.words.replies.get(reply).ok_or_else(|| CannotSend::NoCommand(reply.to_owned()))?;
        let mut pieces = Vec::with_capacity(commands.len());
        for (command, args) in commands {
            let (words, values) = self.prepared(command, args)?;
            let in_reply = piece(words, reply).ok_or_else(|| CannotSend::NoCommand((*command).to_owned()))?;
            pieces.push(meaning::filled(in_reply.body.get_ref(), &values, template::json)?);
        }
        let mut values = self.params.clone();
        values.extend(echo.clone());
        let base = meaning::filled(words.body.get_ref(), &values, template::json)?;
        let body = if pieces.is_empty() { Some(base) } else { joined(&base, &pieces) };
        let body =
            body.ok_or_else(|| CannotSend::BadArgument(reply.to_owned(), "JSON that can be joined".to_owned()))?;
        Ok(Reply { content_type: words.content_type.clone(), body })
    }

    /// The request that carries a command.
    pub fn call(&self, command: &str, args: &Values) -> Result<Call, CannotSend> {
        let (words, values) = self.prepared(command, args)?;
        let request = words.request.as_ref().ok_or_else(|| CannotSend::NoCommand(command.to_owned()))?;
        let is_json = request.content_type.as_ref().is_some_and(|kind| kind.contains("json"));
        let fill = if is_json { template::json } else { template::xml };
        let body = request.body.as_ref().map(|body| meaning::filled(body.get_ref(), &values, fill)).transpose()?;
        Ok(Call {
            method: request.method.get_ref().clone(),
            path: meaning::filled(request.path.get_ref(), &values, template::plain)?,
            content_type: request.content_type.clone().filter(|_| body.is_some()).unwrap_or_default(),
            body: body.unwrap_or_default(),
            timeout_ms: *request.timeout_ms.get_ref(),
        })
    }

    /// Where in a request's answer it stands that the device took it; empty where its status says it.
    pub fn proved_by(&self, command: &str) -> Vec<&str> {
        let request = self.command(command).and_then(|command| command.request.as_ref());
        let success = request.and_then(|request| request.success.as_ref());
        success.into_iter().map(|success| success.path.get_ref().as_str()).collect()
    }

    /// What the device's answer to a request means.
    pub fn answered(&self, command: &str, status: u16, content_type: &str, body: &[u8]) -> DeviceAnswer {
        let refused = |words: String| DeviceAnswer { id: String::new(), taken: Err(words) };
        let success = self.command(command).and_then(|words| words.request.as_ref()).and_then(|r| r.success.as_ref());
        let tree = document::read(content_type, body).map(|document| document.tree);
        match (success, tree) {
            _ if !(200..300).contains(&status) => refused(format!("status {status}")),
            (None, _) => DeviceAnswer { id: String::new(), taken: Ok(()) },
            (Some(success), Ok(tree)) => meaning::answer(String::new(), Some(success), Body::new(&tree, "")),
            (Some(_), Err(rejection)) => refused(rejection.to_string()),
        }
    }

    /// The messages that come where the box asked for no certain one of them.
    fn of_stream(&self) -> impl Iterator<Item = &Message> {
        self.words.messages.iter().filter(|message| is_unasked(message))
    }

    fn prepared(&self, command: &str, args: &Values) -> Result<(&HttpCommand, Values), CannotSend> {
        let words = self.command(command).ok_or_else(|| CannotSend::NoCommand(command.to_owned()))?;
        let mut values = self.params.clone();
        values.extend(meaning::arguments(&words.args, words.guard.as_ref(), args)?);
        Ok((words, template::with_lengths(values)))
    }

    fn command(&self, name: &str) -> Option<&HttpCommand> {
        self.words.commands.iter().find(|command| command.name.get_ref() == name)
    }

    fn said<'m>(
        &'m self,
        messages: impl Iterator<Item = &'m Message>,
        content_type: &str,
        document: &Document,
    ) -> Result<Heard, Rejection> {
        let (kind, _) = type_of(content_type);
        for message in messages {
            let body = Body::new(&document.tree, &message.root);
            let type_fits = message.content_types.is_empty() || message.content_types.contains(&kind);
            if type_fits && message.when.iter().all(|condition| body.fits(condition)) {
                let says = meaning::of(message, body)?;
                let reply = message.reply.as_ref().map(|reply| reply.get_ref().clone());
                let echo = message.echo.iter().filter_map(|(name, path)| Some((name.clone(), echoed(body.at(path)?)?)));
                let pictures = meaning::pictures(message, body, &document.parts);
                let (number, strange) = (meaning::number(message, body), meaning::strange(message, body));
                return Ok(Heard { says, reply, echo: echo.collect(), pictures, number, names_device: true, strange });
            }
        }
        Err(Rejection::UnknownMessage)
    }
}

/// Whether a message comes in a stream or as the answer to a poll.
fn is_unasked(message: &Message) -> bool {
    message.paths.is_empty() && message.answers.is_none()
}

/// Where a message comes, for people.
fn comes(message: &Message) -> String {
    let paths: Vec<&str> = message.paths.iter().map(|path| path.get_ref().as_str()).collect();
    match (paths.is_empty(), message.answers.is_some()) {
        (false, _) => format!("it comes to {}", paths.join(", ")),
        (true, true) => "it is the answer about a picture that the device was given".to_owned(),
        (true, false) => "it comes in the stream or as the answer to a poll, without a path".to_owned(),
    }
}

/// A picture's format by its first bytes.
fn format_of(picture: &[u8]) -> Option<&'static str> {
    let known: [(&[u8], &str); 2] = [(&[0xFF, 0xD8, 0xFF], "jpeg"), (b"\x89PNG\r\n\x1a\n", "png")];
    known.into_iter().find(|(begins, _)| picture.starts_with(begins)).map(|(_, format)| format)
}

fn piece<'w>(command: &'w HttpCommand, reply: &str) -> Option<&'w InReply> {
    command.in_reply.iter().find(|in_reply| in_reply.to.iter().any(|name| name.get_ref() == reply))
}

/// A number stays a number in the answer.
fn echoed(value: &Json) -> Option<template::Value> {
    value.as_i64().map(template::Value::Integer).or_else(|| scalar(value).map(template::Value::Text))
}

/// A body as a tree of values, for people who look at one.
pub fn tree(content_type: &str, body: &[u8]) -> Result<Json, Rejection> {
    document::read(content_type, body).map(|document| document.tree)
}

/// One tree of what stands in a body and, below `?`, behind the path; nothing at all is an empty one.
fn document_of<'b>(query: &str, content_type: &str, body: &'b [u8]) -> Result<Document<'b>, Rejection> {
    let mut document = if body.is_empty() {
        Document { tree: Json::Object(serde_json::Map::new()), parts: Vec::new() }
    } else {
        document::read(content_type, body)?
    };
    if let Some(members) = document.tree.as_object_mut().filter(|_| !query.is_empty()) {
        members.insert("?".to_owned(), document::query(query));
    }
    Ok(document)
}
