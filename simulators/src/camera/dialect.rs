//! The dialects that cameras speak: each says the same things in its maker's way.

use super::messages::{self, Sender};
use super::{CameraInput, Capture, GateStatus, OutputCommand, isapi, native, qianyi};
use crate::photo::Pictures;

/// Whose protocol a camera speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Vzenith's, through a broker.
    VzenithMqtt,
    /// Vzenith's posts.
    VzenithHttp,
    /// Gatepost's own, through a broker.
    Native,
    /// QianYi's posts.
    Qianyi,
    /// Hikvision's: events are posted, and the barrier is asked for at the camera.
    Isapi,
}

/// Something that a camera says.
pub(super) enum Said<'a> {
    Plate { capture: &'a Capture, record: u64, is_quick: bool, pictures: Option<&'a Pictures> },
    Input(CameraInput, bool),
    Gate(GateStatus),
}

/// How it says it: to a topic or a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub to: String,
    pub content_type: String,
    pub body: Vec<u8>,
}

impl Message {
    pub fn json(to: String, body: &serde_json::Value) -> Self {
        Self { to, content_type: "application/json".to_owned(), body: body.to_string().into_bytes() }
    }
}

impl Dialect {
    /// How a camera is called in its own messages and in the box's settings.
    pub fn name_of(self, sn: &str) -> String {
        match self {
            Self::VzenithMqtt | Self::VzenithHttp | Self::Native | Self::Isapi => sn.to_owned(),
            // 32 hexadecimal digits.
            Self::Qianyi => sn.replace('-', "").repeat(2),
        }
    }

    /// What it says, as it goes on its way; none where this maker's cameras know nothing of that.
    pub(super) fn message(self, said: &Said<'_>, sender: &Sender<'_>) -> Option<Message> {
        match self {
            Self::VzenithMqtt => Some(messages::by_broker(said, sender)),
            Self::VzenithHttp => messages::by_post(said, sender),
            Self::Native => Some(native::message(said, sender.sn)),
            Self::Qianyi => qianyi::message(said, sender.sn),
            Self::Isapi => isapi::message(said, sender.sn),
        }
    }

    /// A sign of life.
    pub(super) fn alive(self, sender: &Sender<'_>) -> Message {
        match self {
            Self::VzenithMqtt => messages::alive(sender),
            Self::VzenithHttp | Self::Qianyi => messages::asks(sender.sn),
            Self::Native => native::alive(sender.sn),
            Self::Isapi => isapi::alive(sender.sn),
        }
    }

    /// The topic of the commands for a camera at a broker, and where it answers.
    pub(super) fn commands(self, sn: &str) -> (String, String) {
        match self {
            Self::Native => native::topics(sn),
            Self::VzenithMqtt | Self::VzenithHttp | Self::Qianyi | Self::Isapi => messages::topics(sn),
        }
    }

    /// A command from a broker and the camera's reply to it; none for what is no command of this camera.
    pub(super) fn obeyed(self, sn: &str, message: &[u8], now_s: i64) -> Option<(OutputCommand, serde_json::Value)> {
        match self {
            Self::Native => native::obeyed(message),
            Self::VzenithMqtt | Self::VzenithHttp | Self::Qianyi | Self::Isapi => messages::obeyed(sn, message, now_s),
        }
    }

    /// What is published when the connection breaks, for dialects that have a last will.
    pub(super) fn last_will(self, sn: &str) -> Option<Message> {
        (self == Self::Native).then(|| native::gone(sn))
    }

    /// Whether messages of this topic stay at the broker.
    pub(super) fn retains(self, topic: &str) -> bool {
        self == Self::Native && topic.ends_with("/state")
    }
}
