//! The words for devices that speak HTTP: what they post to the box, what the box answers, and what it asks of them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use super::{Ack, Arg, Condition, Guard, Head, Message, Param, Retry};

/// A profile for a device that speaks HTTP, in either direction.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpWords {
    /// The head.
    pub profile: Head,
    /// What the settings must or may say for each device.
    #[serde(default)]
    pub params: BTreeMap<String, Param>,
    /// Which device speaks, where the address alone does not say it.
    pub identity: Option<Identity>,
    /// Milliseconds within which a post must be answered, else the device acts by itself.
    #[schemars(with = "Option<u64>")]
    pub answer_within_ms: Option<Spanned<u64>>,
    /// The answers to posts, by the name that messages use.
    #[serde(default)]
    pub replies: BTreeMap<String, Answer>,
    /// Where the box fetches a stream of events from the device instead of waiting for posts.
    pub stream: Option<Stream>,
    /// How a picture is handed to a product that reads pictures of cameras.
    pub read_picture: Option<PictureForm>,
    /// How the device asks who calls; `none` where it is not given.
    #[serde(default)]
    pub login: Login,
    /// What the device says. The first message that fits is taken.
    #[serde(default, rename = "message")]
    pub messages: Vec<Message>,
    /// What is asked again and again, where the settings give the device an address.
    #[serde(default, rename = "poll")]
    pub polls: Vec<HttpPoll>,
    /// What the device can be told.
    #[serde(default, rename = "command")]
    pub commands: Vec<HttpCommand>,
}

/// Which device speaks: a field that holds one of its parameters.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// The parameter.
    #[schemars(with = "String")]
    pub param: Spanned<String>,
    /// Where it may stand; the first path that is there counts.
    pub paths: Vec<String>,
}

/// The answer to a post.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// Its content type; JSON where it is not given.
    #[serde(default = "json_type")]
    pub content_type: String,
    /// What it says when there is nothing to be done.
    #[schemars(with = "String")]
    pub body: Spanned<String>,
}

fn json_type() -> String {
    "application/json".to_owned()
}

/// A stream of events: one request whose answer never ends.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stream {
    /// The path of the request.
    #[schemars(with = "String")]
    pub path: Spanned<String>,
    /// After so many milliseconds without a part the line counts as dead.
    #[schemars(with = "u64")]
    pub silent_ms: Spanned<u64>,
}

/// `[[poll]]` of an HTTP device: a request that is sent again and again. Any answer shows that the device is there; what it
/// says is read by the messages without paths.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpPoll {
    /// Which of the profile's commands: one that is a GET request without arguments.
    #[schemars(with = "String")]
    pub command: Spanned<String>,
    /// Milliseconds between an answer and the next request, 500 to 3600000.
    #[schemars(with = "u64")]
    pub every_ms: Spanned<u64>,
}

/// `[read_picture]`: a picture is posted as the only part of a multipart form, and the messages with
/// `answers = "read_picture"` read the answer. In the texts `{format}` is the picture's own: `jpeg` or `png`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PictureForm {
    /// Where it is posted, with the query.
    #[schemars(with = "String")]
    pub path: Spanned<String>,
    /// The part's name in the form.
    #[schemars(with = "String")]
    pub part: Spanned<String>,
    /// Its file name; some products look at its ending.
    #[schemars(with = "String")]
    pub file_name: Spanned<String>,
    /// What it says that it is; `image/{format}` where it is not given.
    #[serde(default = "image_type")]
    #[schemars(with = "String")]
    pub content_type: Spanned<String>,
    /// Milliseconds after which the answer is not waited for any more.
    #[schemars(with = "u64")]
    pub timeout_ms: Spanned<u64>,
}

fn image_type() -> Spanned<String> {
    Spanned::new(0..0, "image/{format}".to_owned())
}

/// How a device asks who calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Login {
    /// It does not.
    #[default]
    None,
    /// User and password, readable on the line.
    Basic,
    /// RFC 7616 Digest.
    Digest,
}

/// `[[command]]` of an HTTP device: carried by the answer to its next post, or a request of its own.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpCommand {
    /// One of the house's commands, or any name with `service = true`.
    #[schemars(with = "String")]
    pub name: Spanned<String>,
    /// A command for an installer's hands, not for the house.
    #[serde(default)]
    pub service: bool,
    /// Where the installation chooses: the command is this one where the choice parameter has this word. The others of
    /// its name are for the parameter's other words.
    #[serde(default)]
    pub only_if: BTreeMap<String, String>,
    /// How much is known once it was sent.
    pub ack: Ack,
    /// Whether it is ever repeated.
    #[serde(default)]
    pub retry: Retry,
    /// When it must not be sent.
    #[serde(default)]
    pub guard: Option<Guard>,
    /// What it takes.
    #[serde(default)]
    pub args: BTreeMap<String, Arg>,
    /// Carried by the answer to a post: joined with the answer's own JSON. One for each way to say it.
    #[serde(default)]
    pub in_reply: Vec<InReply>,
    /// A request of its own.
    pub request: Option<Request>,
}

/// A command that travels in the answer to a post.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InReply {
    /// In which answers it may travel.
    #[schemars(with = "Vec<String>")]
    pub to: Vec<Spanned<String>>,
    /// The JSON that is joined with the answer's: objects are merged, lists appended, other values replaced.
    #[schemars(with = "String")]
    pub body: Spanned<String>,
}

/// A command that is a request of its own.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// GET, PUT, POST or DELETE.
    #[schemars(with = "String")]
    pub method: Spanned<String>,
    /// The path with its query.
    #[schemars(with = "String")]
    pub path: Spanned<String>,
    /// The body's content type.
    pub content_type: Option<String>,
    /// The body.
    #[schemars(with = "Option<String>")]
    pub body: Option<Spanned<String>>,
    /// What says that the device took the command; absent where any answer of 2xx says it.
    pub success: Option<Condition>,
    /// Milliseconds after which the outcome counts as unknown.
    #[schemars(with = "u64")]
    pub timeout_ms: Spanned<u64>,
}
