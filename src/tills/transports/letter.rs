//! A till's request as an MQTT message, and its answer: MQTT 5 with properties, or 3.1.1 with all of it in the body.

use std::time::Duration;

use axum::body::Bytes;
use rumqttc::v5::mqttbytes::v5::{Publish, PublishProperties};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::domain::event::UtcMs;
use crate::tills::access::check_key;
use crate::tills::body::Body;
use crate::tills::problem::{Code, Problem};
use crate::tills::verbs::{Answer, Request, Verb};

/// The longest that a request which spends may be under way: a cashier who waited longer has taken another tender.
const SPEND_WITHIN_S: u32 = 10;
/// How far a till's clock may be before the box's where it spends.
const AHEAD_MS: i64 = 60_000;
/// How long the broker keeps an answer for a till that is away; afterwards the till asks for its key.
const ANSWER_EXPIRES_S: u32 = 60;
/// Longest topic of an answer.
const MOST_TOPIC_CHARS: usize = 256;
/// The version of the envelope.
const VERSION: i64 = 1;
/// Longest token.
const MOST_TOKEN_CHARS: usize = 256;

/// A request as it came, and where its answer goes.
pub(super) struct Letter {
    /// The topic of the answer, always below the till's own.
    pub(super) reply_to: String,
    /// What the till shows, where it shows anything.
    pub(super) token: Option<String>,
    /// What is asked, or what is wrong with it.
    pub(super) request: Result<Request, Problem>,
    form: Form,
    expiry: Expiry,
}

/// How the request was written, and so how its answer is.
enum Form {
    Five { correlation: Option<Bytes> },
    Three { op: Value, key: Value },
}

/// Until when it may be done.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Expiry {
    Never,
    /// So many seconds were left when it was read.
    Left(u32, Instant),
    /// By the till's own clock: written, and until when.
    At(Option<UtcMs>, UtcMs),
}

impl Letter {
    /// Reads what a till wrote on its topic for the verb `word`. A damaged letter is one too: it says what is wrong, and
    /// where its answer goes.
    pub(super) fn read(publish: &Publish, word: &str, own: &str, read_at: Instant) -> Self {
        match publish.properties.as_ref().filter(|properties| properties.response_topic.is_some()) {
            Some(properties) => Self::five(publish, properties, word, own, read_at),
            None => Self::three(publish, word, own),
        }
    }

    fn five(publish: &Publish, properties: &PublishProperties, word: &str, own: &str, read_at: Instant) -> Self {
        let user = |name: &str| properties.user_properties.iter().find(|(key, _)| key == name).map(|(_, v)| v.clone());
        let reply_to = below(own, properties.response_topic.as_deref().unwrap_or(own));
        let request = || {
            let key = match &properties.correlation_data {
                Some(key) => std::str::from_utf8(key).map_err(|_| wrong_key())?,
                None => "",
            };
            let counts = (count("seq", user("seq"))?, count("shift", user("shift"))?);
            request(word, key, counts, object(&publish.payload)?)
        };
        Self {
            request: reply_to.as_ref().map_err(Clone::clone).and_then(|_| request()),
            reply_to: reply_to.unwrap_or_else(|_| own.to_owned()),
            token: user("token"),
            form: Form::Five { correlation: properties.correlation_data.clone() },
            expiry: properties.message_expiry_interval.map_or(Expiry::Never, |left| Expiry::Left(left, read_at)),
        }
    }

    fn three(publish: &Publish, word: &str, own: &str) -> Self {
        let mut letter = Self {
            reply_to: own.to_owned(),
            token: None,
            request: Err(Problem::field("body", "an envelope, or MQTT 5 with a response topic, is needed")),
            form: Form::Three { op: json!(word), key: Value::Null },
            expiry: Expiry::Never,
        };
        letter.request = letter.open_envelope(&publish.payload, word, own);
        letter
    }

    fn open_envelope(&mut self, payload: &[u8], word: &str, own: &str) -> Result<Request, Problem> {
        let mut fields = object(payload)?;
        let body = match fields.remove("body") {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(body)) => body,
            Some(_) => return Err(Problem::field("body", "not a JSON object; an object is allowed")),
        };
        if let Some(key) = fields.get("key") {
            self.form = Form::Three { op: json!(word), key: key.clone() };
        }
        let allowed = ["v", "op", "key", "seq", "shift", "ts", "expires_at", "reply_to", "token"];
        let envelope = Body::of(Value::Object(fields), "envelope", &allowed)?;
        if let Some(topic) = envelope.text("reply_to", MOST_TOPIC_CHARS)? {
            self.reply_to = below(own, topic)?;
        }
        if envelope.whole("v", 0, i64::MAX)? != Some(VERSION) {
            return Err(Problem::field("v", "1 is the version of this envelope"));
        }
        if !envelope.needed_text("op", 32)?.eq_ignore_ascii_case(word) {
            return Err(Problem::field("op", format!("not {word:?}, which the topic says")));
        }
        self.token = envelope.text("token", MOST_TOKEN_CHARS)?.map(str::to_owned);
        if let Some(until) = envelope.moment("expires_at")? {
            self.expiry = Expiry::At(envelope.moment("ts")?, until);
        }
        let counted = |name| Ok::<_, Problem>(envelope.whole(name, 1, i64::MAX)?.map(i64::unsigned_abs));
        let counts = (counted("seq")?, counted("shift")?);
        request(word, envelope.text("key", 128)?.unwrap_or_default(), counts, body)
    }

    /// What is wrong with the time of a request: it is over, or it spends and does not say when it is.
    pub(super) fn out_of_time(&self, spends: bool, now: UtcMs) -> Option<Problem> {
        let over = || Some(Problem::new(Code::StaleRequest, "its time was over before it could be done; ask again"));
        let needed = || {
            let allowed = format!("a request that spends says when it ends, at most {SPEND_WITHIN_S} s after it began");
            Some(Problem::field("expiry", allowed))
        };
        match self.expiry {
            Expiry::Never if spends => needed(),
            Expiry::Never => None,
            Expiry::Left(left, _) if spends && left > SPEND_WITHIN_S => needed(),
            Expiry::Left(left, since) if since.elapsed() >= Duration::from_secs(left.into()) => over(),
            Expiry::Left(..) => None,
            Expiry::At(None, _) if spends => needed(),
            Expiry::At(Some(began), until) if spends && until.0 - began.0 > i64::from(SPEND_WITHIN_S) * 1000 => {
                needed()
            }
            Expiry::At(Some(began), _) if spends && began.0 > now.0 + AHEAD_MS => {
                Some(Problem::field("ts", "far ahead of the box's clock; STATUS says what time it is here"))
            }
            Expiry::At(_, until) if until.0 <= now.0 => over(),
            Expiry::At(..) => None,
        }
    }

    /// The answer, as the till wrote.
    pub(super) fn answer(&self, outcome: Result<Answer, Problem>) -> (Vec<u8>, PublishProperties) {
        let (is_done, replayed, body) = match outcome {
            Ok(answer) => (true, answer.replayed, answer.body),
            Err(problem) => (false, problem.is_replayed(), problem.to_json()),
        };
        match &self.form {
            Form::Five { correlation } => {
                let kind = if is_done { "application/json" } else { "application/problem+json" };
                let user_properties =
                    if replayed { vec![("replayed".to_owned(), "true".to_owned())] } else { Vec::new() };
                let properties = PublishProperties {
                    correlation_data: correlation.clone(),
                    content_type: Some(kind.to_owned()),
                    message_expiry_interval: Some(ANSWER_EXPIRES_S),
                    user_properties,
                    ..PublishProperties::default()
                };
                (bytes(&body), properties)
            }
            Form::Three { op, key } => {
                let envelope = json!({
                    "v": VERSION, "op": op, "key": key, "ok": is_done, "replayed": replayed, "body": body,
                });
                let expiry = Some(ANSWER_EXPIRES_S);
                (bytes(&envelope), PublishProperties { message_expiry_interval: expiry, ..Default::default() })
            }
        }
    }
}

/// An answer goes to the till that asked, whatever it says: a topic elsewhere could open a barrier.
fn below(own: &str, topic: &str) -> Result<String, Problem> {
    let rest = topic.strip_prefix(own);
    let is_own = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    if is_own && topic.len() <= MOST_TOPIC_CHARS && !topic.contains(['+', '#', '\0']) {
        return Ok(topic.to_owned());
    }
    Err(Problem::field("reply_to", format!("answers go to {own} or below it")))
}

fn request(
    word: &str,
    key: &str,
    (number, shift): (Option<u64>, Option<u64>),
    body: Map<String, Value>,
) -> Result<Request, Problem> {
    let unknown = || {
        let names: Vec<&str> = Verb::all().map(Verb::name).collect();
        Problem::field("verb", format!("{word:?}; allowed are {}", names.join(", ")))
    };
    let verb = Verb::named(word).ok_or_else(unknown)?;
    let key = if verb.writes() { Some(check_key(key)?.to_owned()) } else { None };
    // A question is no part of what the till counts.
    let (number, shift) = (number.filter(|_| verb.writes()), shift.filter(|_| verb.writes()));
    let shift = shift.map(|shift| u32::try_from(shift).unwrap_or(u32::MAX));
    Ok(Request { verb, key, number, shift, body })
}

fn wrong_key() -> Problem {
    Problem::field("key", "1 to 128 visible ASCII characters are allowed")
}

fn count(name: &str, text: Option<String>) -> Result<Option<u64>, Problem> {
    let wrong = |_| Problem::field(name, "not a whole number; 1, 2, 3 and so on are allowed");
    text.map(|text| text.parse().map_err(wrong)).transpose()
}

fn object(payload: &[u8]) -> Result<Map<String, Value>, Problem> {
    crate::tills::body::object(Ok(Bytes::copy_from_slice(payload)))
}

fn bytes(value: &Value) -> Vec<u8> {
    serde_json::to_vec(value).expect("a JSON value is always JSON")
}

#[cfg(test)]
mod tests {
    use rumqttc::v5::mqttbytes::QoS;

    use super::*;

    const OWN: &str = "gp/site/pos/T1/res";
    const NOON: UtcMs = UtcMs(1_772_337_600_000);

    #[test]
    fn an_answer_never_leaves_the_tills_own_topics() {
        for topic in [OWN, "gp/site/pos/T1/res/a", "gp/site/pos/T1/res/a/b"] {
            assert_eq!(five(topic, Some(5)).reply_to, topic);
        }
        for topic in ["device/sn/command", "gp/site/pos/T2/res", "gp/site/pos/T1/res2", "gp/site/pos/T1/res/+", ""] {
            let letter = five(topic, Some(5));
            assert_eq!(letter.reply_to, OWN, "{topic}");
            assert!(letter.request.is_err_and(|problem| problem.to_json()["field"] == "reply_to"), "{topic}");
        }
    }

    #[test]
    fn a_spend_says_when_it_ends_and_is_not_done_later() {
        let code = |letter: &Letter, spends| letter.out_of_time(spends, NOON).map(|problem| problem.code());
        assert_eq!(code(&five(OWN, None), false), None, "an earning may come at any time");
        assert_eq!(code(&five(OWN, None), true), Some(Code::BadRequest));
        assert_eq!(code(&five(OWN, Some(11)), true), Some(Code::BadRequest));
        assert_eq!(code(&five(OWN, Some(10)), true), None);
        assert_eq!(code(&five(OWN, Some(0)), true), Some(Code::StaleRequest));
        let table = [
            (r#""ts":"2026-03-01T11:59:55+08:00","expires_at":"2026-03-01T12:00:05+08:00""#, None),
            (r#""ts":"2026-03-01T11:59:50+08:00","expires_at":"2026-03-01T12:00:00+08:00""#, Some(Code::StaleRequest)),
            (r#""ts":"2026-03-01T11:59:50+08:00","expires_at":"2026-03-01T12:00:05+08:00""#, Some(Code::BadRequest)),
            (r#""expires_at":"2026-03-01T12:00:05+08:00""#, Some(Code::BadRequest)),
            (r#""ts":"2026-03-01T12:30:00+08:00","expires_at":"2026-03-01T12:30:05+08:00""#, Some(Code::BadRequest)),
        ];
        for (times, expect) in table {
            assert_eq!(code(&three(&format!(r#"{{"v":1,"op":"HOLD","key":"k",{times}}}"#)), true), expect, "{times}");
        }
    }

    #[test]
    fn an_envelope_is_read_and_a_wrong_one_is_answered() {
        let letter = three(r#"{"v":1,"op":"hold","key":"k-1","seq":7,"shift":2,"body":{"points":5}}"#);
        let request = letter.request.as_ref().map_err(Problem::to_json).expect("a request");
        assert_eq!((request.verb, request.number, request.shift), (Verb::Hold, Some(7), Some(2)));
        assert_eq!((request.key.as_deref(), &request.body["points"]), (Some("k-1"), &json!(5)));
        let (answer, _) = letter.answer(Ok(json!({"hold": "h"}).into()));
        let answer: Value = serde_json::from_slice(&answer).expect("JSON");
        let expect = json!({"v": 1, "op": "HOLD", "key": "k-1", "ok": true, "replayed": false, "body": {"hold": "h"}});
        assert_eq!(answer, expect);
        for wrong in [
            "",
            "{",
            "[]",
            r#"{"v":2,"op":"HOLD","key":"k"}"#,
            r#"{"v":1,"op":"VOID","key":"k"}"#,
            r#"{"v":1,"op":"HOLD"}"#,
            r#"{"v":1,"op":"HOLD","key":"k","more":1}"#,
            r#"{"v":1,"op":"HOLD","key":"k","reply_to":"elsewhere"}"#,
        ] {
            let letter = three(wrong);
            assert!(letter.request.is_err(), "{wrong}");
            assert_eq!(letter.reply_to, OWN);
        }
    }

    fn five(response_topic: &str, expiry: Option<u32>) -> Letter {
        let properties = PublishProperties {
            response_topic: Some(response_topic.to_owned()),
            correlation_data: Some(Bytes::from_static(b"k-1")),
            message_expiry_interval: expiry,
            ..PublishProperties::default()
        };
        let publish = Publish::new("gp/site/pos/T1/req/HOLD", QoS::AtLeastOnce, "{}", Some(properties));
        Letter::read(&publish, "HOLD", OWN, Instant::now())
    }

    fn three(text: &str) -> Letter {
        let publish = Publish::new("gp/site/pos/T1/req/HOLD", QoS::AtLeastOnce, text.to_owned(), None);
        Letter::read(&publish, "HOLD", OWN, Instant::now())
    }
}
