//! The dialects that cameras speak: each says the same things in its maker's way.

use super::messages::{self, Sender};
use super::{CameraInput, Capture, GateStatus, OutputCommand};
use super::{axis, dahua, frigate, hyperlpr, isapi, native, qianyi, rekor};
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
    /// Hikvision's where the box asks for the stream of events instead.
    IsapiStream,
    /// Axis License Plate Verifier's pushes.
    Axis,
    /// The web hook of OpenALPR's and Rekor's agents.
    Rekor,
    /// Frigate's messages through a broker.
    Frigate,
    /// Dahua's posts, ITSAPI.
    Dahua,
    /// HyperLPR's answers, handed on by a gateway.
    HyperLpr,
}

/// Which way what it says goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Through a broker.
    Broker,
    /// In posts to the box.
    Posts,
    /// In a stream for which the box asks.
    Stream,
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
    /// Which way what it says goes.
    pub fn way(self) -> Way {
        match self {
            Self::VzenithMqtt | Self::Native | Self::Frigate => Way::Broker,
            Self::VzenithHttp | Self::Isapi | Self::Qianyi => Way::Posts,
            Self::Axis | Self::Rekor | Self::Dahua | Self::HyperLpr => Way::Posts,
            Self::IsapiStream => Way::Stream,
        }
    }

    /// How a camera is called in its own messages and in the box's settings.
    pub fn name_of(self, sn: &str) -> String {
        // 32 hexadecimal digits.
        if self == Self::Qianyi { sn.replace('-', "").repeat(2) } else { sn.to_owned() }
    }

    /// Whether it is asked at an address of its own.
    pub(super) fn is_asked(self) -> bool {
        matches!(self, Self::Isapi | Self::IsapiStream)
    }

    /// Whether it says something of a vehicle before it is sure.
    pub(super) fn says_quick(self) -> bool {
        matches!(self, Self::VzenithMqtt | Self::Native | Self::Axis | Self::Frigate)
    }

    /// Whether it has a clock that can be wrong.
    pub fn has_clock(self) -> bool {
        self != Self::HyperLpr
    }

    /// Whether the moment that it says can be taken for the vehicle's; Dahua's names no zone.
    pub(super) fn tells_the_moment(self) -> bool {
        !matches!(self, Self::Dahua | Self::HyperLpr)
    }

    /// Whether an answer that says nothing wrong means that the box has taken what was posted.
    pub(super) fn is_taken(self, answer: &str) -> bool {
        self != Self::Dahua || dahua::is_taken(answer)
    }

    /// What it says, as it goes on its way; none where this maker's cameras know nothing of that.
    pub(super) fn message(self, said: &Said<'_>, sender: &Sender<'_>) -> Option<Message> {
        match self {
            Self::VzenithMqtt => Some(messages::by_broker(said, sender)),
            Self::VzenithHttp => messages::by_post(said, sender),
            Self::Native => Some(native::message(said, sender.sn)),
            Self::Qianyi => qianyi::message(said, sender.sn),
            Self::Isapi => isapi::message(said, sender.sn),
            Self::IsapiStream => isapi::in_stream(said),
            Self::Axis => axis::message(said, sender.sn),
            Self::Rekor => rekor::message(said, sender.sn),
            Self::Frigate => frigate::message(said, sender.sn),
            Self::Dahua => dahua::message(said, sender.sn),
            Self::HyperLpr => hyperlpr::message(said, sender.sn),
        }
    }

    /// A sign of life; some never give one.
    pub(super) fn alive(self, sender: &Sender<'_>) -> Option<Message> {
        Some(match self {
            Self::VzenithMqtt => messages::alive(sender),
            Self::VzenithHttp | Self::Qianyi => messages::asks(sender.sn),
            Self::Native => native::alive(sender.sn),
            Self::Isapi | Self::IsapiStream => isapi::alive(sender.sn),
            Self::Rekor => rekor::alive(sender.sn),
            Self::Dahua => dahua::alive(sender.sn),
            Self::Frigate => frigate::alive(sender.sn),
            Self::Axis | Self::HyperLpr => return None,
        })
    }

    /// The topic of the commands for a camera at a broker, and where it answers.
    pub(super) fn commands(self, sn: &str) -> (String, String) {
        match self {
            Self::Native => native::topics(sn),
            Self::Frigate => frigate::topics(sn),
            Self::VzenithMqtt | Self::VzenithHttp | Self::Qianyi => messages::topics(sn),
            // At no broker.
            Self::Isapi | Self::IsapiStream | Self::Axis => messages::topics(sn),
            Self::Rekor | Self::Dahua | Self::HyperLpr => messages::topics(sn),
        }
    }

    /// A command from a broker and the camera's reply to it; none for what is no command of this camera.
    pub(super) fn obeyed(self, sn: &str, message: &[u8], now_s: i64) -> Option<(OutputCommand, serde_json::Value)> {
        match self {
            Self::Native => native::obeyed(message),
            Self::VzenithMqtt | Self::VzenithHttp | Self::Qianyi => messages::obeyed(sn, message, now_s),
            // Nothing moves at their word, or not through a broker.
            Self::Isapi | Self::IsapiStream | Self::Axis | Self::Rekor => None,
            Self::Frigate | Self::Dahua | Self::HyperLpr => None,
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
