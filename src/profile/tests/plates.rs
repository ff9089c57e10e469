//! Plates whose bytes could be another text, and vehicles without one: neither costs the vehicle.

use super::*;

fn read(codec: &HttpCodec, path: &str, content_type: &str, body: &[u8]) -> Vec<Statement> {
    codec.decode(path, content_type, body).unwrap_or_else(|why| panic!("{why}")).says
}

const ASKS: &str = r#"
    [profile]
    id = "acme/form"
    vendor = "Acme"
    product = "Form"
    link = "http"
    [[message]]
    name = "plate"
    paths = ["/form"]
    emits = "plate_read"
    [message.fields]
    event = { path = "id" }
    plate = { path = "plate", decode = ["utf8-or-gbk"], nulls = ["none"], first_before = "|" }
    candidates = { path = "more", plate = "text", confidence = "sure", decode = ["base64", "utf8-or-gbk"], nulls = ["bm9uZTE="], first_before = "|" }
"#;

fn acme() -> HttpCodec {
    let profile = Profile::parse(&Source { file: Path::new("form.toml"), text: ASKS });
    match profile.unwrap_or_else(|mistakes| panic!("{}", listed(&mistakes))).bind(&BTreeMap::new()) {
        Ok(Codec::Http(codec)) => codec,
        other => panic!("{other:?}"),
    }
}

fn plate_of(says: &[Statement]) -> Option<String> {
    let [Statement::PlateRead(read)] = says else { panic!("{says:?}") };
    read.plate.as_ref().map(ToString::to_string)
}

#[test]
fn a_form_in_gbk_has_plates_of_every_province() {
    let codec = acme();
    let form = "application/x-www-form-urlencoded";
    for sign in charset::SIGNS.chars() {
        let plate = format!("{sign}B12345");
        let (gbk, _, _) = encoding_rs::GBK.encode(&plate);
        for (bytes, content_type) in [(plate.as_bytes(), form), (&*gbk, form), (&*gbk, "text/plain; charset=gb2312")] {
            let written: String = bytes.iter().map(|byte| format!("%{byte:02X}")).collect();
            let says = read(&codec, "/form", content_type, format!("id=1&plate={written}").as_bytes());
            assert_eq!(plate_of(&says).as_deref(), Some(plate.as_str()), "{content_type}");
        }
    }
}

/// The box of one maker puts the camera's bytes as they are into a text of its own.
#[test]
fn a_plate_in_gbk_within_a_text_in_utf_8_is_a_plate() {
    let body = "{\"id\":\"1\",\"place\":\"东门\",\"plate\":\"³B12345\"}";
    assert_eq!(plate_of(&read(&acme(), "/form", "", body.as_bytes())).as_deref(), Some("鲁B12345"));
}

#[test]
fn of_repeated_members_the_first_counts_as_in_a_form_and_in_xml() {
    let body = r#"{"id":"1","plate":"AB12345","plate":"XY98765"}"#;
    assert_eq!(plate_of(&read(&acme(), "/form", "", body.as_bytes())).as_deref(), Some("AB12345"));
}

#[test]
fn candidates_take_the_same_steps_as_the_plate() {
    use base64::Engine;
    let encoded = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
    let two = encoded(&encoding_rs::GBK.encode("鲁B12345|AB12345").0);
    let one = encoded(&encoding_rs::GBK.encode("豫B12345").0);
    let body = format!(
        r#"{{"id":"1","plate":"none","more":[{{"text":"{two}","sure":9}},{{"text":"bm9uZTE="}},{{"text":"{one}"}}]}}"#
    );
    let says = read(&acme(), "/form", "", body.as_bytes());
    let [Statement::PlateRead(seen)] = &says[..] else { panic!("{says:?}") };
    let found: Vec<(&str, u8)> =
        seen.candidates.iter().map(|candidate| (candidate.plate.as_str(), candidate.confidence)).collect();
    assert_eq!(found, [("鲁B12345", 9), ("豫B12345", 0)]);
}

#[test]
fn a_vehicle_without_a_word_about_its_plate_is_heard_where_the_profile_says_so() {
    let said = |codec: &HttpCodec, body: &str| codec.decode("/form", "", body.as_bytes()).map(|heard| heard.says);
    let without = acme();
    assert_eq!(plate_of(&said(&without, r#"{"id":"1","plate":null}"#).expect("a vehicle")), None);
    assert_eq!(said(&without, r#"{"id":"1"}"#), Err(Rejection::MissingField("plate".to_owned())));
    let text = ASKS.replace("nulls = [\"none\"]", "nulls = [\"none\"], default = \"none\"");
    let profile = Profile::parse(&Source { file: Path::new("form.toml"), text: &text }).expect("right");
    let Ok(Codec::Http(with)) = profile.bind(&BTreeMap::new()) else { panic!("it speaks HTTP") };
    let says = said(&with, r#"{"id":"1"}"#).expect("a vehicle");
    let [Statement::PlateRead(seen)] = &says[..] else { panic!("{says:?}") };
    assert_eq!((&seen.plate, &seen.unread), (&None, &None));
}

#[test]
fn what_has_no_identity_is_told_with_what_lacks() {
    let codec = beside::device("hikvision/isapi", &[("name", "in")]);
    let body = "<EventNotificationAlert><eventType>ANPR</eventType><macAddress>1</macAddress>\
                <ANPR><licensePlate>AB12345</licensePlate></ANPR></EventNotificationAlert>";
    let why = codec.decode("/hikvision/in", "", body.as_bytes()).expect_err("no identity");
    assert_eq!(why.to_string(), "the field UUID (and what could stand for it, dateTime) is missing");
}
