//! One recorded exchange of each kind against the profile.

use sha2::{Digest, Sha256};
use toml::Spanned;

use super::super::modbus::{Answer as BoardAnswer, Framing, RECORDED_TRANSACTION};
use super::super::mqtt::Meaning;
use super::super::osdp::{Answer as ReaderAnswer, Packet};
use super::super::statement::{CannotSend, DeviceAnswer, Picture, Rejection, Statement};
use super::super::template::{Value, Values};
use super::super::{Codec, Profile, bytes, http, wiegand};
use super::{
    Bus, CallOf, Card, Differs, Forbidden, Frame, LookOf, PacketOf, Post, RecordedPicture, Recording, ReplyOf, Says,
    Told, args, means,
};

/// A profile with the recorded device's parameters.
#[derive(Clone, Copy)]
pub struct With<'p> {
    pub profile: &'p Profile,
    pub codec: &'p Codec,
}

impl With<'_> {
    /// Every exchange with its title, and whether it is as recorded.
    pub fn all<'r>(&self, recording: &'r Recording) -> Vec<(&'r Spanned<String>, Result<(), Differs>)> {
        let mut all = Vec::new();
        all.extend(recording.says.iter().map(|one| (&one.what, self.says(one))));
        all.extend(recording.told.iter().map(|one| (&one.what, self.told(one))));
        all.extend(recording.post.iter().map(|one| (&one.what, self.post(one))));
        all.extend(recording.reply.iter().map(|one| (&one.what, self.reply(one))));
        all.extend(recording.call.iter().map(|one| (&one.what, self.call(one))));
        all.extend(recording.look.iter().map(|one| (&one.what, self.look(one))));
        all.extend(recording.frame.iter().map(|one| (&one.what, self.frame(one))));
        all.extend(recording.bus.iter().map(|one| (&one.what, self.bus(one))));
        all.extend(recording.card.iter().map(|one| (&one.what, self.card(one))));
        all.extend(recording.packet.iter().map(|one| (&one.what, self.packet(one))));
        all.extend(recording.forbidden.iter().map(|one| (&one.what, self.forbidden(one))));
        all
    }

    /// The recorded device, or one with parameters of the exchange's own.
    pub fn own(&self, params: Option<&std::collections::BTreeMap<String, toml::Value>>) -> Result<Codec, Differs> {
        match params {
            Some(params) => self.profile.bind(params).map_err(|bad| (format!("{bad:?}"), "right params".to_owned())),
            None => Ok(self.codec.clone()),
        }
    }

    pub fn args(&self, command: &str, given: &std::collections::BTreeMap<String, toml::Value>) -> Values {
        args(self.profile, command, given)
    }

    fn says(&self, says: &Says) -> Result<(), Differs> {
        let Codec::Mqtt(codec) = self.codec else { return Err(not_for_this_link()) };
        let body = body(&says.body, says.body_hex.as_ref())?;
        let found = codec.decode(&says.topic, &body);
        let found = found.map(|heard| (heard.what, pictured(&heard.pictures)));
        let meant = (Meaning::Says(says.means.clone()), says.pictures.clone());
        as_written(&named(found), &recorded(says.rejected.as_ref(), meant), |(what, pictures)| {
            let what = match what {
                Meaning::Says(says) => means(says),
                Meaning::Answers(answer) => format!("an answer to the command {:?}", answer.id),
                Meaning::AnswersNobody => "an answer to no command: [[told]] is for answers".to_owned(),
            };
            what + &pictures_written(pictures)
        })
    }

    fn told(&self, told: &Told) -> Result<(), Differs> {
        let own = self.own(told.params.as_ref())?;
        let Codec::Mqtt(codec) = &own else { return Err(not_for_this_link()) };
        let publication = codec.encode(&told.command, told.layout, &self.args(&told.command, &told.args));
        let found = publication.map(|publication| (publication.topic, publication.body));
        same(&found, &Ok((told.topic.clone(), told.body.clone())))?;
        let Some(reply_topic) = &told.reply_topic else { return Ok(()) };
        let found = codec.decode_awaited(reply_topic, told.reply.as_bytes(), told.awaits()).map(|heard| heard.what);
        let taken = told.refused.clone().map_or(Ok(()), Err);
        same(&found, &Ok(Meaning::Answers(DeviceAnswer { id: told.reply_id.clone(), taken })))
    }

    fn post(&self, post: &Post) -> Result<(), Differs> {
        let Codec::Http(codec) = self.codec else { return Err(not_for_this_link()) };
        let body = body(&post.body, post.body_hex.as_ref())?;
        let found = match &post.path {
            Some(path) => codec.decode(path, &post.content_type, &body),
            None => codec.decode_event(&post.content_type, &body),
        };
        let found = found.map(|heard| (heard.says, heard.reply, heard.echo, pictured(&heard.pictures)));
        let meant = (post.means.clone(), post.reply.clone(), self.args("", &post.echo), post.pictures.clone());
        as_written(&named(found), &recorded(post.rejected.as_ref(), meant), |(says, reply, echo, pictures)| {
            let reply = reply.as_ref().map(|reply| format!("; reply = {reply:?}")).unwrap_or_default();
            let echoed = |(name, value): (&String, &Value)| match value {
                Value::Integer(number) => format!("{name} = {number}"),
                Value::Text(_) | Value::Bytes(_) | Value::Rows(_) => format!("{name} = {:?}", value.written()),
            };
            let echo: Vec<String> = echo.iter().map(echoed).collect();
            let echo = if echo.is_empty() { String::new() } else { format!("; echo = {{ {} }}", echo.join(", ")) };
            means(says) + &reply + &echo + &pictures_written(pictures)
        })
    }

    fn reply(&self, reply: &ReplyOf) -> Result<(), Differs> {
        let Codec::Http(codec) = self.codec else { return Err(not_for_this_link()) };
        let carried: Vec<(&str, Values)> = reply
            .carries
            .iter()
            .map(|carried| (carried.command.as_str(), self.args(&carried.command, &carried.args)))
            .collect();
        if let Some((command, _)) = carried.iter().find(|(command, _)| !codec.may_carry(&reply.reply, command)) {
            return Err((format!("that {} does not carry {command}", reply.reply), "that it does".to_owned()));
        }
        let found = codec.reply(&reply.reply, &self.args("", &reply.echo), &carried).map(|reply| reply.body);
        same(&found, &Ok(reply.body.clone()))
    }

    fn call(&self, call: &CallOf) -> Result<(), Differs> {
        let Codec::Http(codec) = self.own(call.params.as_ref())? else { return Err(not_for_this_link()) };
        let found = codec.call(&call.command, &self.args(&call.command, &call.args));
        let found = found.map(|call| (call.method, call.path, call.body));
        same(&found, &Ok((call.method.clone(), call.path.clone(), call.body.clone())))?;
        let found = codec.answered(&call.command, call.status, &call.answer_type, call.answer.as_bytes());
        same(&found.taken, &call.refused.clone().map_or(Ok(()), Err))
    }

    fn look(&self, look: &LookOf) -> Result<(), Differs> {
        let Codec::Http(codec) = self.codec else { return Err(not_for_this_link()) };
        let picture = hex(&look.picture_hex)?;
        let call = codec.picture_call(&picture);
        let call =
            call.ok_or_else(|| ("nothing: it reads no such pictures".to_owned(), "[read_picture]".to_owned()))?;
        if let Some(asks) = &look.asks {
            same(&(&call.path, &call.content_type), &(&asks.path, &asks.content_type))?;
            let on_the_wire = |text: &str| text.replace('\n', "\r\n").into_bytes();
            let body = [on_the_wire(&asks.before), picture, on_the_wire(&asks.behind)].concat();
            same(&String::from_utf8_lossy(&call.body), &String::from_utf8_lossy(&body))?;
        }
        let found = codec.decode_answer(look.status, &look.answer_type, look.answer.as_bytes());
        as_written(&named(found), &recorded(look.rejected.as_ref(), look.means.clone()), |says| means(says))
    }

    fn frame(&self, frame: &Frame) -> Result<(), Differs> {
        let own = self.own(frame.params.as_ref())?;
        let Codec::Serial(codec) = &own else { return Err(not_for_this_link()) };
        let bytes = hex(&frame.hex)?;
        if let Some(command) = &frame.command {
            if !frame.only_read {
                let found = codec.encode(command, &self.args(command, &frame.args)).map(|out| spaced(&out.frame));
                same(&found, &Ok(spaced(&bytes)))?;
            }
            let explained = codec.explain(&bytes).map_err(|rejection| (rejection.to_string(), "a frame".to_owned()))?;
            let title = format!("the command {command}");
            let found: Vec<&str> = explained.is.iter().map(|(title, _)| title.as_str()).collect();
            return if found.contains(&title.as_str()) { Ok(()) } else { Err((found.join(", "), title)) };
        }
        if let Some(command) = &frame.answers {
            let found = codec.answered(command, &bytes).map(|answer| answer.map(|answer| answer.taken));
            let answer = Some(frame.refused.clone().map_or(Ok(()), Err));
            return same(&named(found), &recorded(frame.rejected.as_ref(), answer));
        }
        as_written(&named(codec.decode(&bytes)), &recorded(frame.rejected.as_ref(), frame.means.clone()), |says| {
            means(says)
        })
    }

    fn bus(&self, bus: &Bus) -> Result<(), Differs> {
        let Codec::Modbus(codec) = self.codec else { return Err(not_for_this_link()) };
        let poll = || codec.polls().into_iter().nth(bus.poll).map(|(request, _, _)| request);
        let request = match &bus.command {
            Some(command) => codec.encode(command, &self.args(command, &bus.args)),
            None => poll().ok_or_else(|| CannotSend::NoCommand("poll".to_owned())),
        };
        let request = request.map_err(|error| (error.to_string(), bus.writes.clone()))?;
        let answer = hex(&bus.answer)?;
        let (written, found) = match codec.framing() {
            Framing::Rtu => (request.frame.clone(), request.answered(&answer)),
            Framing::Tcp => {
                let number = RECORDED_TRANSACTION;
                (request.over_tcp(number), request.answered_over_tcp(number, &answer))
            }
        };
        same(&spaced(&written), &spaced(&hex(&bus.writes)?))?;
        let found = found.map_err(|fault| fault.name().to_owned());
        let recorded = match (&bus.fault, bus.refused, &bus.inputs_on) {
            (Some(fault), _, _) => Err(fault.clone()),
            (None, Some(reason), _) => Ok(BoardAnswer::Refused(reason)),
            (None, None, Some(on)) => {
                Ok(BoardAnswer::Inputs((0..request.inputs_asked()).map(|number| on.contains(&number)).collect()))
            }
            (None, None, None) => Ok(BoardAnswer::Echo),
        };
        same(&found, &recorded)
    }

    fn card(&self, card: &Card) -> Result<(), Differs> {
        let Codec::Wiegand(cards) = self.codec else { return Err(not_for_this_link()) };
        let bits = wiegand::bits(&card.bits).map_err(|error| (error, "bits".to_owned()))?;
        let found = cards.decode(&bits).map_err(|fault| fault.name().to_owned());
        let says = Statement::Card { facility: card.facility, number: card.number };
        same(&found, &card.fault.clone().map_or(Ok(says), Err))?;
        let Some(format) = &card.format else { return Ok(()) };
        same(&cards.encode(format, card.facility, card.number), &Ok(bits))
    }

    fn packet(&self, packet: &PacketOf) -> Result<(), Differs> {
        let Codec::Osdp(codec) = self.codec else { return Err(not_for_this_link()) };
        let bytes = hex(&packet.hex)?;
        if let Some(sent) = &packet.sends {
            let made = codec.packet(packet.sequence, sent.code, &hex(&sent.data)?);
            same(&spaced(&made.bytes()), &spaced(&bytes))?;
            return same(&Packet::read(&bytes).map_err(|fault| fault.to_string()), &Ok(made));
        }
        let found = named(codec.answered(packet.sequence, &bytes));
        if let Ok(ReaderAnswer::Says(says)) = &found {
            return same(&Some(says), &packet.means.as_ref());
        }
        let found = found.map(|answer| word(&answer).to_owned());
        same(&found, &recorded(packet.rejected.as_ref(), packet.answer.clone().unwrap_or_default()))
    }

    fn forbidden(&self, forbidden: &Forbidden) -> Result<(), Differs> {
        let args = self.args(&forbidden.command, &forbidden.args);
        let command = forbidden.command.as_str();
        let made = match self.codec {
            Codec::Mqtt(codec) => codec.encode(command, 0, &args).map(|made| made.body),
            Codec::Http(codec) => match codec.carrier(command) {
                Some(http::Carrier::Request) => codec.call(command, &args).map(|made| made.body),
                Some(http::Carrier::Reply) | None => {
                    let reply = self.profile.replies().into_iter().find(|reply| codec.may_carry(reply, command));
                    codec.reply(reply.unwrap_or_default(), &Values::new(), &[(command, args)]).map(|made| made.body)
                }
            },
            Codec::Serial(codec) => codec.encode(command, &args).map(|made| spaced(&made.frame)),
            Codec::Modbus(codec) => codec.encode(command, &args).map(|made| spaced(&made.frame)),
            Codec::Wiegand(_) | Codec::Osdp(_) => return Err(not_for_this_link()),
        };
        match made {
            Err(CannotSend::Forbidden(_)) => Ok(()),
            Err(other) => Err((other.to_string(), "that a guard stops it".to_owned())),
            Ok(made) => Err((made, "that a guard stops it".to_owned())),
        }
    }
}

fn word(answer: &ReaderAnswer) -> &'static str {
    match answer {
        ReaderAnswer::Taken => "taken",
        ReaderAnswer::Refused(_) => "refused",
        ReaderAnswer::Busy => "busy",
        ReaderAnswer::Says(_) => "says",
        ReaderAnswer::BadCard(_) => "bad-card",
        ReaderAnswer::Other(_) => "other",
    }
}

fn pictured(pictures: &[Picture]) -> Vec<RecordedPicture> {
    let one = |picture: &Picture| {
        let sha256 = picture.bytes.as_ref().ok().map(|bytes| hex::encode(Sha256::digest(bytes)));
        let plate_box = picture.plate_box.map(|plate| [plate.left, plate.top, plate.right, plate.bottom]);
        RecordedPicture { kind: picture.kind, sha256, refused: picture.bytes.as_ref().err().copied(), plate_box }
    };
    pictures.iter().map(one).collect()
}

fn recorded<T>(rejected: Option<&String>, means: T) -> Result<T, String> {
    rejected.map_or(Ok(means), |name| Err(name.clone()))
}

fn named<T>(found: Result<T, Rejection>) -> Result<T, String> {
    found.map_err(|rejection| rejection.name().to_owned())
}

fn hex(text: &str) -> Result<Vec<u8>, Differs> {
    bytes(text).map_err(|error| (error, "hex".to_owned()))
}

fn spaced(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(" ")
}

fn same<T: PartialEq + std::fmt::Debug>(found: &T, recorded: &T) -> Result<(), Differs> {
    if found == recorded { Ok(()) } else { Err((format!("{found:?}"), format!("{recorded:?}"))) }
}

/// The same, told in the words of a recording, so that they can be taken over.
fn as_written<T: PartialEq>(
    found: &Result<T, String>,
    recorded: &Result<T, String>,
    written: impl Fn(&T) -> String,
) -> Result<(), Differs> {
    if found == recorded {
        return Ok(());
    }
    let one = |outcome: &Result<T, String>| match outcome {
        Ok(meant) => written(meant),
        Err(name) => format!("rejected = {name:?}"),
    };
    Err((one(found), one(recorded)))
}

fn pictures_written(pictures: &[RecordedPicture]) -> String {
    let one = |picture: &RecordedPicture| format!("{picture:?}");
    if pictures.is_empty() {
        return String::new();
    }
    format!("; pictures: {}", pictures.iter().map(one).collect::<Vec<_>>().join(", "))
}

/// The bytes of a message: its text, or its hex where it is no text.
pub fn body(text: &str, in_hex: Option<&String>) -> Result<Vec<u8>, Differs> {
    match in_hex {
        None => Ok(text.as_bytes().to_vec()),
        Some(digits) if text.is_empty() => hex(digits),
        Some(_) => Err(("both body and body_hex".to_owned(), "one of them".to_owned())),
    }
}

fn not_for_this_link() -> Differs {
    let allowed = "says and told for mqtt; post, reply, call and look for http; frame for serial; bus for modbus; card for wiegand; packet for osdp";
    ("nothing: the profile is for another link".to_owned(), allowed.to_owned())
}
