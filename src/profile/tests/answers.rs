//! Topics on which a device says everything: answers to several commands, and messages among them; and answers about
//! pictures, which are no part of what a device says by itself.

use super::*;
use crate::profile::http::Way;

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

/// The same bytes mean something as the answer about a picture, and nothing as a word of the device's own.
#[test]
fn what_answers_about_a_picture_is_tried_before_such_answers_only() {
    let tried = |id: &str, params: &[(&str, &str)], way: Way, body: &str| -> Vec<(bool, String)> {
        let params = params.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
        let catalogue = Catalogue::load(None).expect("right");
        let Ok(Codec::Http(codec)) = catalogue.profile(id).expect("shipped").bind(&params) else { panic!("{id}") };
        let kind = if body.starts_with('<') { "application/xml" } else { "application/json" };
        let tried = codec.tries(way, kind, body.as_bytes()).expect("it can be read");
        tried.into_iter().map(|tried| (tried.fits, tried.why_not.unwrap_or_default())).collect()
    };
    let plates = r#"{"code":5000,"result":{"plate_list":[{"code":"粤B12345","conf":0.97,"plate_type":"蓝牌"}]}}"#;
    let asked = tried("hyperlpr/rest", &[], Way::OfPicture, plates);
    assert_eq!(asked[0], (false, "result.plate_list.0 is a list or an object; asked is nothing".to_owned()));
    assert_eq!(asked[1], (true, String::new()));
    let unasked = tried("hyperlpr/rest", &[], Way::Unasked, plates);
    let answer = (false, "it is the answer about a picture that the device was given".to_owned());
    assert!(unasked.iter().all(|tried| *tried == answer), "{unasked:?}");
    let alive = "<EventNotificationAlert><eventType>videoloss</eventType><eventState>inactive</eventState>\
                 </EventNotificationAlert>";
    let fits = |way| tried("hikvision/isapi", &[("name", "in")], way, alive).iter().any(|(fits, _)| *fits);
    assert_eq!((fits(Way::Unasked), fits(Way::OfPicture)), (true, false), "a camera is asked about no picture");
}

fn one_topic() -> MqttCodec {
    let profile = Profile::parse(&Source { file: Path::new("one-topic.toml"), text: ONE_TOPIC });
    let profile = profile.unwrap_or_else(|mistakes| panic!("{}", listed(&mistakes)));
    let params = BTreeMap::from([("sn".to_owned(), toml::Value::from("A1"))]);
    let Ok(Codec::Mqtt(codec)) = profile.bind(&params) else { panic!("a camera at a broker") };
    codec
}
