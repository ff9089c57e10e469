//! The words for devices behind an MQTT broker.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use super::{Ack, Arg, Condition, Guard, Head, Identity, Message, Param, Retry};

/// A profile for an MQTT device.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MqttWords {
    /// The head.
    pub profile: Head,
    /// What the settings must or may say for each device.
    #[serde(default)]
    pub params: BTreeMap<String, Param>,
    /// The topic layouts that the product is known to use, the usual one first; `{layout}` in a topic stands for each.
    #[schemars(with = "Vec<String>")]
    pub layouts: Vec<Spanned<String>>,
    /// Topics on which devices that the settings do not name would speak; the `{parameter}` becomes their name.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub strangers: Vec<Spanned<String>>,
    /// Which device a message is about, where several speak on one topic.
    pub identity: Option<Identity>,
    /// What the device says. The first message that fits is taken.
    #[serde(default, rename = "message")]
    pub messages: Vec<Message>,
    /// What the device can be told.
    #[serde(default, rename = "command")]
    pub commands: Vec<MqttCommand>,
}

/// `[[command]]` of an MQTT device.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MqttCommand {
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
    /// Whether it is ever repeated.
    #[serde(default)]
    pub retry: Retry,
    /// When it must not be sent.
    pub guard: Option<Guard>,
    /// How much the answer proves.
    pub ack: Ack,
    /// What it takes.
    #[serde(default)]
    pub args: BTreeMap<String, Arg>,
    /// Where it is published.
    #[schemars(with = "String")]
    pub topic: Spanned<String>,
    /// The JSON that is published; `{name}` stands for a parameter or an argument.
    #[schemars(with = "String")]
    pub payload: Spanned<String>,
    /// The device's answer; absent where it gives none.
    pub reply: Option<MqttReply>,
}

/// The device's answer to a command.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MqttReply {
    /// Where it arrives.
    #[schemars(with = "Vec<String>")]
    pub topics: Vec<Spanned<String>>,
    /// The field that repeats the command's `{id}`.
    #[schemars(with = "String")]
    pub id: Spanned<String>,
    /// What says that the device took the command; absent where the answer itself says it.
    pub success: Option<Condition>,
    /// Milliseconds after which the outcome counts as unknown.
    #[schemars(with = "u64")]
    pub timeout_ms: Spanned<u64>,
}
