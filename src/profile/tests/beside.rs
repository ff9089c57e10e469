//! What stands beside a plate, around a body, or in an address: none of it may cost a vehicle.

use super::*;
use crate::profile::http;

/// Of all that may be strange about a vehicle's message only the plate itself is worth a refusal.
#[test]
fn a_value_beside_the_plate_that_nobody_can_read_costs_only_itself_and_is_told() {
    let codec = device("hikvision/isapi", &[("name", "in")]);
    let heard = |date: &str, confidence: &str, stored: &str| {
        let body = format!(
            "<EventNotificationAlert><dateTime>{date}</dateTime><eventType>ANPR</eventType><ANPR>\
             <licensePlate>粤B12345</licensePlate><confidenceLevel>{confidence}</confidenceLevel>\
             <alarmDataType>{stored}</alarmDataType></ANPR><UUID>u</UUID></EventNotificationAlert>"
        );
        let heard = codec.decode("/hikvision/in", "application/xml", body.as_bytes()).expect("a vehicle");
        let [Statement::PlateRead(seen)] = &heard.says[..] else { panic!("{heard:?}") };
        assert_eq!(seen.plate.as_ref().map(ToString::to_string).as_deref(), Some("粤B12345"));
        (seen.captured.map(|at| at.0), seen.confidence, seen.stored_offline, heard.strange)
    };
    let at = Some(1_772_294_399_000);
    assert_eq!(heard("2026-02-28T23:59:59+08:00", "92", "1"), (at, 92, true, vec![]));
    assert_eq!(heard("2026-02-28T23:59:59+08:00", "92.5", "0"), (at, 92, false, vec![]), "a point is not strange");
    assert_eq!(heard("", "", ""), (None, 0, false, vec![]), "what is blank says nothing");
    assert_eq!(heard("2026-02-28T23:59:59", "92", "0"), (None, 92, false, vec!["captured"]), "no offset");
    assert_eq!(heard("2026-02-28T23:59:59+08:00", "high", "0"), (at, 0, false, vec!["confidence"]));
    assert_eq!(heard("2026-02-28T23:59:59+08:00", "92", "2"), (at, 92, true, vec!["stored_offline"]));
    assert_eq!(heard("now", "-", "x"), (None, 0, true, vec!["confidence", "captured", "stored_offline"]));
}

#[test]
fn a_time_that_is_none_in_one_form_is_taken_from_the_next() {
    let codec = device("axis/lpv", &[("name", "in")]);
    let captured = |times: &str| {
        let body = format!(r#"{{{times}"plateText":"AA7690EQ","carState":"new","eventID":"e"}}"#);
        let heard = codec.decode("/axis/in", "application/json", body.as_bytes()).expect("a vehicle");
        let [Statement::PlateRead(seen)] = &heard.says[..] else { panic!("{heard:?}") };
        (seen.captured.map(|at| at.0), heard.strange)
    };
    let at = Some(1_772_294_399_100);
    assert_eq!(captured(r#""datetime":1772294399100,"#), (at, vec![]));
    assert_eq!(captured(r#""datetime":"2026-02-28T15:59:59.1Z","#), (at, vec![]));
    assert_eq!(captured(r#""datetime":"20260228 155959100","capture_timestamp":"1772294399100","#), (at, vec![]));
    assert_eq!(captured(r#""datetime":"20260228 155959100","#), (None, vec!["captured"]));
    assert_eq!(captured(""), (None, vec![]));
}

/// Some devices say in the address who they are, or all that they have to say.
#[test]
fn a_query_stands_below_a_question_mark_and_an_empty_body_is_an_empty_tree() {
    let text = include_str!("asks.toml");
    let profile = Profile::parse(&Source { file: Path::new("acme/asks.toml"), text });
    let profile = profile.unwrap_or_else(|mistakes| panic!("{}", listed(&mistakes)));
    let Ok(Codec::Http(codec)) = profile.bind(&[("sn".to_owned(), "A1".into())].into()) else { panic!("HTTP") };
    let said = |target: &str, body: &str| match codec.decode(target, "", body.as_bytes()) {
        Ok(heard) => format!("{:?}", heard.says),
        Err(rejection) => rejection.name().to_owned(),
    };
    let plate = said("/asks?what=plate&id=7&plate=%E7%B2%A4B12345&flag", r#"{"in":{}}"#);
    assert!(plate.contains("event: \"7\"") && plate.contains("粤B12345"), "{plate}");
    let alive = "[KeepAlive]";
    for (target, body) in [("/alive?sn=a1&x", ""), ("/asks?sn=A1", "{}"), ("/asks", "[1]")] {
        assert_eq!(said(target, body), alive, "{target} {body}");
    }
    assert_eq!(said("/alive?sn=B2", ""), "another-device");
    assert_eq!(said("/alive?sn=%FF%FF&sn=B2", "{}"), "another-device", "what cannot be read is left out");
    assert_eq!(said("/alive?x", ""), "malformed", "where several devices post to one path, nothing is nobody's");
    assert_eq!(said("/no?sn=A1", ""), "unknown-topic");
    assert_eq!((codec.takes_get("/asks"), codec.takes_get("/alive"), codec.takes_get("/no")), (true, false, false));
}

#[test]
fn a_message_at_a_broker_may_be_in_gbk_or_a_bare_word() {
    let body = "{\"payload\":{\"AlarmInfoPlate\":{\"result\":{\"PlateResult\":{\"license\":\"57KkQjEyMzQ1\",\
                \"unique_id\":\"u\",\"where\":\"粤\"}}}}}";
    let (gbk, _, _) = encoding_rs::GBK.encode(body);
    assert!(std::str::from_utf8(&gbk).is_err());
    let heard = decode("ivs_result", &gbk).map(|heard| heard.what);
    assert!(matches!(&heard, Ok(Meaning::Says(said)) if said.len() == 1), "{heard:?}");
    let text = r#"
        layouts = ["{name}"]
        [profile]
        id = "acme/contact"
        vendor = "Acme"
        product = "Contact"
        link = "mqtt"
        [params.name]
        type = "text"
        required = true
        help = "topic"
        [[message]]
        name = "input"
        topics = ["{layout}/state"]
        emits = "input"
        fields.number = { always = 0 }
        fields.level = { path = "", map = { ON = "on", OFF = "off", 1 = "on", 0 = "off" } }
    "#;
    let profile = Profile::parse(&Source { file: Path::new("acme/contact.toml"), text });
    let profile = profile.unwrap_or_else(|mistakes| panic!("{}", listed(&mistakes)));
    let Ok(Codec::Mqtt(codec)) = profile.bind(&[("name".to_owned(), "c".into())].into()) else { panic!("MQTT") };
    let said = |body: &[u8]| match codec.decode("c/state", body).map(|heard| heard.what) {
        Ok(what) => format!("{what:?}"),
        Err(rejection) => rejection.name().to_owned(),
    };
    for on in ["ON", " ON\r\n", "\"ON\"", "1"] {
        assert_eq!(said(on.as_bytes()), "Says([Input { number: 0, level: On }])", "{on}");
    }
    assert_eq!(said(b"OFF"), "Says([Input { number: 0, level: Off }])");
    assert_eq!(
        (said(b"ONE"), said(b"{\"a\":"), said(b"")),
        ("bad-field".into(), "malformed".into(), "malformed".into())
    );
}

/// ONVIF says everything in attributes of elements that have one name.
#[test]
fn a_profile_reads_attributes_of_xml_and_chooses_an_element_by_one() {
    let text = r#"
        [profile]
        id = "acme/onvif"
        vendor = "Acme"
        product = "Onvif"
        link = "http"
        [[message]]
        name = "plate"
        paths = ["/onvif"]
        root = "Envelope.Body.Notify.NotificationMessage.Message"
        when = [{ path = "Message@PropertyOperation", is = ["Changed"] }]
        emits = "plate_read"
        fields.event = { path = "Message.Source.SimpleItem[Name=Id]@Value" }
        fields.plate = { path = "Message.Data.SimpleItem[Name=text]@Value" }
        fields.confidence = { path = "$.*.SimpleItem[Name=Likelihood]@Value", times = 100 }
        fields.captured = { path = "Message@UtcTime" }
    "#;
    let profile = Profile::parse(&Source { file: Path::new("acme/onvif.toml"), text });
    let profile = profile.unwrap_or_else(|mistakes| panic!("{}", listed(&mistakes)));
    let Ok(Codec::Http(codec)) = profile.bind(&BTreeMap::new()) else { panic!("HTTP") };
    let body = r#"<?xml version="1.0"?><s:Envelope xmlns:s="s" xmlns:t="t"><s:Body><Notify><NotificationMessage>
        <Topic Dialect="d">tnsaxis:CameraApplicationPlatform/ALPV.AllPlates</Topic><Message>
        <t:Message UtcTime="2026-02-28T15:59:59Z" PropertyOperation="Changed">
        <t:Source><t:SimpleItem Name="Rule" Value="r"/><t:SimpleItem Name="Id" Value="7"/></t:Source>
        <t:Data><t:SimpleItem Name="country" Value="CN"/><t:SimpleItem Name="text" Value="粤B12345"/>
        <t:SimpleItem Name="Likelihood" Value="0.95"/></t:Data></t:Message></Message></NotificationMessage></Notify></s:Body></s:Envelope>"#;
    let heard = codec.decode("/onvif", "application/soap+xml", body.as_bytes()).expect("a vehicle");
    let [Statement::PlateRead(seen)] = &heard.says[..] else { panic!("{heard:?}") };
    assert_eq!(
        (seen.event.as_str(), seen.confidence, seen.captured.map(|at| at.0)),
        ("7", 95, Some(1_772_294_399_000))
    );
    assert_eq!(seen.plate.as_ref().map(ToString::to_string).as_deref(), Some("粤B12345"));
}

/// Card readers and bridges write their numbers out, ten decimal digits most of all.
#[test]
fn a_number_may_be_written_in_more_digits_than_it_has_bytes() {
    let shipped = include_str!("../../../device-profiles/id-innovations/id-12.toml");
    let with = |digits: &str| {
        let text = shipped.replace("bytes = 8, digits = \"hex\"", digits).replace("bytes_max = 12", "bytes_max = 30");
        let source = Source { file: Path::new("acme/bridge.toml"), text: &text };
        Profile::parse(&source).map_err(|mistakes| listed(&mistakes))
    };
    let profile = with("bytes = 10, digits = \"decimal\"").expect("a bridge");
    let Ok(Codec::Serial(codec)) = profile.bind(&BTreeMap::new()) else { panic!("a line") };
    let said = codec.decode(b"\x026200123456786A\x0D\x0A\x03");
    assert_eq!(said, Ok(vec![Statement::Card { facility: Some(0x62), number: 12_345_678 }]));
    for too_many in ["bytes = 16, digits = \"hex\"", "bytes = 9"] {
        let told = with(too_many).expect_err("too wide");
        assert!(told.contains("bytes; allowed: 1 to 8; 1 to 15 digits of a number"), "{told}");
    }
}

pub(super) fn device(id: &str, params: &[(&str, &str)]) -> http::HttpCodec {
    let catalogue = Catalogue::load(None).expect("right");
    let params = params.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
    match catalogue.profile(id).expect("shipped").bind(&params) {
        Ok(Codec::Http(codec)) => codec,
        other => panic!("{other:?}"),
    }
}
