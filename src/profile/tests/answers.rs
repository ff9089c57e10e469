//! Topics on which a device says everything: answers to several commands, and messages among them.

use super::*;

/// One topic for all that the device says, and one for all that it is told.
const ONE_TOPIC: &str = r#"
layouts = ["acme/{sn}"]

[profile]
id = "acme/one-topic"
vendor = "Acme"
product = "a camera with one topic each way"
link = "mqtt"

[params.sn]
type = "text"
required = true
help = "serial number"

[[message]]
name = "plate"
topics = ["{layout}/up"]
when = [{ path = "cmd", is = ["plate"] }]
emits = "plate_read"
fields.event = { path = "id" }
fields.plate = { path = "text" }

[[command]]
name = "raise"
ack = "device"
topic = "{layout}/down"
payload = '{"cmd":"open","id":"{id}","relay":"{output}"}'
args.output = { min = 0, max = 1 }
reply = { topics = ["{layout}/up"], id = "id", success = { path = "result", is = [0] }, timeout_ms = 1000 }

[[command]]
name = "say"
ack = "device"
topic = "{layout}/down"
payload = '{"cmd":"say","id":"{id}","text":"{text}"}'
args.text = { type = "text", max = 40 }
reply = { topics = ["{layout}/up"], id = "id", timeout_ms = 1000 }
"#;

#[test]
fn an_answer_is_read_by_the_command_that_waits_for_it() {
    let refused = |id: &str| (id.to_owned(), Err("result 7".to_owned()));
    let taken = |id: &str| (id.to_owned(), Ok(()));
    for (waits, body, expect) in [
        (("x1", "raise"), r#"{"id":"x1","result":7}"#, Some(refused("x1"))),
        (("x1", "raise"), r#"{"id":"x1","result":0}"#, Some(taken("x1"))),
        (("x2", "say"), r#"{"id":"x2","result":7}"#, Some(taken("x2"))),
        (("x2", "say"), r#"{"id":"x1","result":0}"#, None),
        (("x2", "lower"), r#"{"id":"x2","result":0}"#, None),
    ] {
        let codec = one_topic();
        let heard = codec.decode_awaited("acme/A1/up", body.as_bytes(), |id, command| (id, command) == waits);
        let found = match heard.expect(body).what {
            Meaning::Answers(answer) => Some((answer.id, answer.taken)),
            Meaning::AnswersNobody => None,
            Meaning::Says(says) => panic!("{body}: {says:?}"),
        };
        assert_eq!(found, expect, "{body} while {waits:?} waits");
    }
}

#[test]
fn a_topic_of_answers_brings_messages_too() {
    let body = r#"{"cmd":"plate","id":"e-1","text":"粤B12345"}"#;
    let heard = one_topic().decode("acme/A1/up", body.as_bytes()).expect("a plate");
    assert!(matches!(&heard.what, Meaning::Says(says) if matches!(&says[..], [Statement::PlateRead(_)])), "{heard:?}");
    let awaited = one_topic().decode_awaited("acme/A1/up", body.as_bytes(), |id, _| id == "x1").expect("a plate");
    assert_eq!(awaited.what, heard.what, "whatever else is waited for");
    let strange = one_topic().decode("acme/A1/up", br#"{"cmd":"door"}"#).map_err(|rejection| rejection.name());
    assert_eq!(strange, Err("unknown-message"), "neither a message nor an answer");
}

fn one_topic() -> MqttCodec {
    let profile = Profile::parse(&Source { file: Path::new("one-topic.toml"), text: ONE_TOPIC });
    let profile = profile.unwrap_or_else(|mistakes| panic!("{}", listed(&mistakes)));
    let params = BTreeMap::from([("sn".to_owned(), toml::Value::from("A1"))]);
    let Ok(Codec::Mqtt(codec)) = profile.bind(&params) else { panic!("a camera at a broker") };
    codec
}
