//! The profiles against their recordings, and what happens to bytes that no device should send.

use std::path::Path;

use hyper::body::Bytes;
use proptest::prelude::*;

use super::layout::Fault;
use super::mqtt::{Heard, Meaning};
use super::statement::{
    BODY_BYTES_MAX, MESSAGE_BYTES_MAX, NoPicture, PICTURE_BYTES_MAX, PICTURES_BYTES_MAX, Picture, Rejection, Statement,
};
use super::*;

mod answers;
mod beside;
mod besides;
mod contacts;
mod forms;
mod named;
mod plates;
mod refused;

const CAMERA: &str = "265e1040-85e01fb7";

#[test]
fn every_shipped_profile_does_what_its_recordings_say() {
    let catalogue = Catalogue::load(None).expect("the shipped profiles are right");
    for shipped in SHIPPED {
        let id = shipped.file.trim_start_matches("device-profiles/").trim_end_matches(".toml");
        let profile = catalogue.profile(id).expect("id and path agree");
        let source = Source { file: Path::new(shipped.recording_file), text: shipped.recording };
        match recording::check(profile, &source) {
            Ok(proved) => assert!(proved.exchanges >= 4, "{id}: only {} exchanges", proved.exchanges),
            Err(mistakes) => panic!("{}", listed(&mistakes)),
        }
    }
}

/// Whoever orders a device reads there what it is to be wired to.
#[test]
fn the_manual_s_table_gives_every_profile_its_link() {
    let manual = include_str!("../../device-profiles/README.md");
    let rows = manual.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    let rows: BTreeMap<&str, &str> = rows.filter_map(|(id, rest)| Some((id, rest.split_once(" |")?.0))).collect();
    let catalogue = Catalogue::load(None).expect("right");
    for id in catalogue.ids() {
        let link = catalogue.profile(id).expect("listed").link();
        assert_eq!(rows.get(id).copied(), Some(link.word()), "{id} in the manual's table, and in its profile");
    }
}

/// No loop can hang on a board that only tells what its own relays do.
#[test]
fn what_a_board_tells_of_its_own_outputs_is_no_input() {
    let catalogue = Catalogue::load(None).expect("right");
    let board = |id: &str| {
        let profile = catalogue.profile(id).expect("shipped");
        (profile.emits(Emits::Input), profile.input_count(), profile.is_heard_always())
    };
    assert_eq!(board("r4d/r413d08"), (false, None, true));
    assert_eq!(board("waveshare/modbus-relay-8"), (true, Some(8), true));
}

/// A box holds such a post once.
#[test]
fn a_picture_in_a_post_is_kept_in_the_memory_in_which_it_came() {
    let catalogue = Catalogue::load(None).expect("right");
    let params = [("name".to_owned(), toml::Value::String("exit-1".to_owned()))].into();
    let Ok(Codec::Http(codec)) = catalogue.profile("hikvision/isapi").expect("shipped").bind(&params) else {
        panic!("it speaks HTTP")
    };
    let event = "<EventNotificationAlert><eventType>ANPR</eventType><UUID>1</UUID>\
                 <ANPR><licensePlate>粤B12345</licensePlate></ANPR>\
                 <dateTime>2026-02-28T23:59:59.638+08:00</dateTime></EventNotificationAlert>";
    let part =
        |name: &str, bytes: &str| format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{bytes}\r\n");
    let scene = part("detectionPicture.jpg", &"x".repeat(9000));
    let plate = part("licensePlatePicture.jpg", "y");
    let post = Bytes::from(format!("{}{scene}{plate}--b--\r\n", part("anpr.xml", event)));
    let heard = codec.decode_whole("/hikvision/exit-1", "multipart/form-data; boundary=b", &post).expect("a plate");
    let is_inside = |picture: Picture| {
        let bytes = picture.bytes.expect("a picture");
        (bytes.len(), post.as_ptr_range().contains(&bytes.as_ptr()))
    };
    let found: Vec<(usize, bool)> = heard.pictures.into_iter().map(is_inside).collect();
    assert_eq!(found, [(9000, true), (1, false)], "a small part does not keep the whole post");

    let mut events = stream::Events::new("multipart/mixed; boundary=b").expect("a stream");
    let picture = "--b\r\nContent-Type: image/jpeg\r\n\r\nzzzz\r\n--b\r\n";
    let Some(Ok(event)) = events.take(picture.as_bytes()).pop() else { panic!("a picture") };
    assert_eq!(event.as_part().kept().as_ptr(), event.body.as_ptr(), "nor is it copied out of a stream");
}

#[test]
fn the_annotated_examples_are_right() {
    for example in shipped::EXAMPLES {
        let profile = Profile::parse(&Source { file: Path::new(example.file), text: example.text });
        let profile = profile.unwrap_or_else(|mistakes| panic!("{}", listed(&mistakes)));
        let source = Source { file: Path::new(example.recording_file), text: example.recording };
        let proved = recording::check(&profile, &source).unwrap_or_else(|mistakes| panic!("{}", listed(&mistakes)));
        assert!(proved.damaged > 100, "{}: {proved:?}", example.file);
    }
}

#[test]
fn the_manual_names_every_word_of_the_language() {
    let manual = include_str!("../../device-profiles/README.md");
    let examples: String = shipped::EXAMPLES.iter().map(|example| example.text).collect();
    for link in [Link::Mqtt, Link::Http, Link::Serial, Link::ModbusRtu, Link::Wiegand, Link::Osdp] {
        let schema: serde_json::Value = serde_json::from_str(&schema(link)).expect("JSON");
        for word in words_of(&schema) {
            let is_named = manual.contains(&word) || examples.contains(&word);
            assert!(is_named, "{word}, of link {}, stands neither in the manual nor in the examples", link.word());
        }
    }
}

/// Who writes a recording must find there what it may say and what the profile may answer.
#[test]
fn the_manual_names_every_word_of_a_recording_and_every_rejection() {
    let manual = include_str!("../../device-profiles/README.md");
    let recordings =
        manual.split("\n## Recordings\n").nth(1).and_then(|rest| rest.split("\n## ").next()).expect("a section");
    let allowed = |text: &str| -> Vec<String> {
        let error = toml::from_str::<recording::Recording>(text).expect_err("no such word");
        let words = error.message().split('`').skip(3).step_by(2);
        words.map(str::to_owned).collect()
    };
    let top = allowed("no_such_word = 1");
    assert!(top.len() > 10, "{top:?}");
    let exchanges = top.iter().filter(|word| !matches!(word.as_str(), "source" | "params"));
    let inner: Vec<String> = exchanges.flat_map(|word| allowed(&format!("[[{word}]]\nno_such_word = 1"))).collect();
    assert!(inner.len() > 40, "{inner:?}");
    for word in top.iter().chain(&inner) {
        let is_named = recordings.contains(&format!("`{word}`")) || recordings.contains(&format!("[{word}]"));
        assert!(is_named, "the manual's section on recordings lacks {word}");
    }
    let text = String::new;
    let rejections = [
        Rejection::TooLarge { bytes: 1, most: 0 },
        Rejection::UnknownTopic,
        Rejection::Malformed(text()),
        Rejection::NotForThis(text()),
        Rejection::UnknownMessage,
        Rejection::Unsupported(text()),
        Rejection::MissingField(text()),
        Rejection::BadField { field: text(), why: text() },
        Fault::CutOff.into(),
        Fault::LeftOver(1).into(),
        Fault::NotThis(text()).into(),
        Fault::WrongLength(text()).into(),
        Fault::WrongCheck(text()).into(),
        Fault::BadText(text()).into(),
        Fault::TooLong.into(),
    ];
    for rejection in rejections {
        assert!(recordings.contains(&format!("`{}`", rejection.name())), "{}", rejection.name());
    }
}

#[test]
fn a_slip_of_the_finger_is_recognised() {
    mistake("name = \"raise\"", "name = \"rasie\"", "the house has no command \"rasie\" (did you mean raise?)");
    mistake("emits = \"arm\"", "emits = \"amr\"", "unknown variant `amr` (did you mean `arm`?)");
    mistake("ack = \"device\"", "akc = \"device\"", "unknown field `akc` (did you mean `ack`?)");
    mistake("ack = \"device\"", "ack = \"device\"\nretry = { again = { times = 2, pause_ms = 1 } }", "never repeated");
}

#[test]
fn what_is_repeated_counted_or_asked_at_any_time_must_make_sense() {
    let say = |more: &str| format!("name = \"say\"\n{more}");
    let again = "retry = { again = { times = 2, pause_ms = 100 } }";
    let silent = format!("name = \"say\"\nack = \"transport\"\n{again}");
    mistake("name = \"say\"\nack = \"device\"", &silent, "nothing tells whether this command must be repeated");
    mistake(
        "name = \"say\"",
        &say("retry = { again = { times = 9, pause_ms = 100 } }"),
        "9 repetitions; allowed: 1 to 5",
    );
    mistake(
        "name = \"say\"",
        &say("retry = { again = { times = 2, pause_ms = 1 } }"),
        "a pause of 1 ms; allowed: 10 to",
    );
    mistake(
        "name = \"say\"",
        &say("guard = { per_day_max = 0, because = \"x\" }"),
        "per_day_max is 0; allowed: 1 or more",
    );
    mistake("link = \"mqtt\"", "link = \"mqtt\"\ncheck = \"raise\"", "raise cannot be asked at any time");
    mistake("link = \"mqtt\"", "link = \"mqtt\"\ncheck = \"say\"", "say cannot be asked at any time");
    mistake("link = \"mqtt\"", "link = \"mqtt\"\ncheck = \"ask\"", "there is no command \"ask\"; allowed:");
}

#[test]
fn an_answer_to_another_command_is_not_this_one_s() {
    let catalogue = Catalogue::load(None).expect("right");
    let Ok(Codec::Serial(card)) = catalogue.profile("kf/dc199").expect("shipped").bind(&BTreeMap::new()) else {
        panic!("a card")
    };
    let answer = bytes("00 64 FF FF 30 01 00 36 BB").expect("hex");
    assert_eq!(card.answered("say", &answer).map(|answer| answer.map(|answer| answer.taken)), Ok(Some(Ok(()))));
    assert_eq!(card.answered("raise", &answer), Ok(None));
    let silent = BTreeMap::from([("acks".to_owned(), toml::Value::from("no"))]);
    let Ok(Codec::Serial(card)) = catalogue.profile("kf/dc199").expect("shipped").bind(&silent) else {
        panic!("a card")
    };
    let text = Values::from([("text".to_owned(), Value::Text("x".to_owned()))]);
    assert_eq!(card.encode("say", &text).expect("a frame").answer_within_ms, None, "a write-only card answers nothing");
}

#[test]
fn a_body_above_the_limit_is_refused_before_it_is_read() {
    let (bytes, most) = (MESSAGE_BYTES_MAX + 1, MESSAGE_BYTES_MAX);
    assert_eq!(decode("ivs_result", &vec![b'x'; bytes]), Err(Rejection::TooLarge { bytes, most }));
    let (bytes, most) = (BODY_BYTES_MAX + 1, BODY_BYTES_MAX);
    let read = document::read("", &vec![b'x'; bytes]).map(|document| document.tree);
    assert_eq!(read, Err(Rejection::TooLarge { bytes, most }));
}

#[test]
fn deep_nesting_is_malformed_and_not_a_crash() {
    let body = "[".repeat(1_000_000);
    assert_eq!(decode("ivs_result", body.as_bytes()).map_err(|rejection| rejection.name()), Err("malformed"));
}

#[test]
fn a_picture_above_its_limit_is_refused_and_the_vehicle_is_heard() {
    let body = |scene: usize, plate: usize| {
        let text = recorded("pictures are switched off");
        let (scene, plate) = ("A".repeat(scene / 3 * 4), "A".repeat(plate / 3 * 4));
        let text = text.replace("\"full_image_content\":\"\"", &format!("\"full_image_content\":\"{scene}\""));
        text.replace("\"small_image_content\":null", &format!("\"small_image_content\":\"{plate}\""))
    };
    let sizes = |scene, plate| {
        let heard = decode("ivs_result", body(scene, plate).as_bytes()).expect("the vehicle is heard");
        assert!(matches!(&heard.what, Meaning::Says(said) if said.len() == 1));
        heard.pictures.into_iter().map(|picture| picture.bytes.map(|bytes| bytes.len())).collect::<Vec<_>>()
    };
    let most = PICTURE_BYTES_MAX / 3 * 3;
    let rest = (PICTURES_BYTES_MAX - most) / 3 * 3;
    assert_eq!(sizes(most, rest), [Ok(most), Ok(rest)]);
    assert_eq!(sizes(most + 3, rest), [Err(NoPicture::PhotoTooLarge), Ok(rest)]);
    assert_eq!(sizes(2 * most, rest), [Err(NoPicture::PhotoTooLarge), Ok(rest)], "however large");
    assert_eq!(sizes(most, rest + 6), [Ok(most), Err(NoPicture::PhotoTooLarge)], "all of a message have a limit too");
}

#[test]
fn a_rejection_never_tells_the_plate() {
    // 粤B12345 is in it, and what is wrong is something else.
    let body = recorded("a message without any identity");
    let rejection = decode("ivs_result", body.as_bytes()).expect_err("nothing tells which event it is");
    assert!(!rejection.to_string().contains("12345") && !rejection.to_string().contains("57Kk"), "{rejection}");
}

#[test]
fn a_text_that_is_no_plate_is_a_vehicle_without_one_and_kept_up_to_its_limit() {
    use base64::Engine;
    let (long, kept) = ("停车场入口".repeat(9), "停车场入口".repeat(7));
    for (said, unread) in [("B12", Some("B12")), (long.as_str(), Some(&kept[..96])), ("无牌车", None)] {
        let text = base64::engine::general_purpose::STANDARD.encode(said);
        let body = recorded("an advertisement read as a plate").replace("Q0FNRVJB", &text);
        let heard = decode("ivs_result", body.as_bytes()).expect("a vehicle is there");
        let Meaning::Says(said) = heard.what else { panic!("it says something") };
        let [Statement::PlateRead(read)] = &said[..] else { panic!("a read") };
        assert_eq!((&read.plate, read.unread.as_deref()), (&None, unread));
    }
}

#[test]
fn a_mistake_in_a_profile_is_told_with_its_line_and_what_is_allowed() {
    mistake("vendor = ", "colour = ", ":13:1: unknown field `colour`");
    mistake("1 = \"up\"", "1 = \"open\"", "position cannot be \"open\"; allowed: up, down, between");
    mistake("fields.number = { path = \"source\" }", "", "lacks the field number; allowed: it must have number, level");
    mistake("fields.number", "fields.count", "a message of this kind has no field count; allowed: number, level");
    mistake(
        "{layout}/up/gpio_in",
        "{layuot}/up/gpio_in",
        "{layuot} is not known here; allowed: data_len, raise_by, root, sn, layout",
    );
    mistake("\"version\":\"1.0\",\"timestamp\"", "\"version\":,\"timestamp\"", "the payload is not JSON");
    mistake("timeout_ms = 10000", "timeout_ms = 0", "timeout_ms is 0; allowed: 20 to 60000");
    mistake("output = { min = 0, max = 3 }", "", "the argument output has no bounds");
    mistake("path = \"code\", is = [200]", "path = \"code\"", "nothing is tested about code; allowed: is = […]");
    mistake("small_image_content\", encoding = \"base64\"", "small_image_content\", encoding = \"base65\"", ":118:");
    mistake(
        "full_image_content\", encoding = \"base64\"",
        "full_image_content\", encoding = \"base65\"",
        "unknown variant `base65` (did you mean `base64`?); allowed: `base64`, `base64-url`",
    );
    mistake(
        "\nscene = {",
        "\nscenery = {",
        ":117:1: unknown variant `scenery` (did you mean `scene`?); allowed: `scene` or `plate`",
    );
    mistake(
        "path = \"full_image_content\"",
        "path = \"\"",
        "nothing tells where the picture stands; allowed: path and encoding, or over http",
    );
    mistake(
        "{ path = \"full_image_content\", ",
        "{ paht = \"\", ",
        "unknown field `paht` (did you mean `part`?); allowed: `path`, `encoding`, `part`, `plate_box`",
    );
    mistake(
        "fields.number = { path = \"source\" }",
        "fields.number = { path = \"source\" }\npictures.scene = { path = \"x\", encoding = \"base64\" }",
        "the message \"input\" has pictures and tells of no vehicle; allowed: pictures with emits = \"plate_read\" only",
    );
    mistake("id = \"vzenith/r-mqtt\"", "id = \"Vzenith\"", "allowed: vendor/product");
}

#[test]
fn a_site_s_own_profile_replaces_the_shipped_one() {
    let directory = tempfile::tempdir().expect("a directory");
    let text = vzenith().text.replace("value\":2", "value\":1");
    std::fs::write(directory.path().join("camera.toml"), text).expect("written");
    let catalogue = Catalogue::load(Some(directory.path())).expect("a right profile");
    assert_eq!(catalogue.ids().count(), SHIPPED.len());
    let codec = camera(&catalogue);
    let args = Values::from([
        ("id".to_owned(), Value::Text("a".to_owned())),
        ("timestamp".to_owned(), Value::Integer(1)),
        ("output".to_owned(), Value::Integer(0)),
        ("pulse_ms".to_owned(), Value::Integer(500)),
    ]);
    assert!(codec.encode(language::RAISE, 0, &args).expect("encoded").body.contains("\"value\":1"));
}

#[test]
fn parameters_that_do_not_fit_are_all_told() {
    let catalogue = Catalogue::load(None).expect("right");
    let profile = catalogue.profile("vzenith/r-mqtt").expect("shipped");
    let given = BTreeMap::from([("snn".to_owned(), toml::Value::from("x"))]);
    let wrong: Vec<String> = profile.bind(&given).expect_err("two mistakes").into_iter().map(|bad| bad.wrong).collect();
    assert_eq!(wrong, ["the profile has no parameter snn", "the parameter sn is missing"]);
    let given = BTreeMap::from([("sn".to_owned(), toml::Value::from("a/+"))]);
    assert!(profile.bind(&given).is_err(), "a wildcard is no serial number");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn arbitrary_bytes_never_panic(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        for topic in ["ivs_result", "gpio_in", "barr_gate_status", "keep_alive"] {
            let _ = decode(topic, &body);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic_on_any_link(bytes in proptest::collection::vec(any::<u8>(), 0..400), kind in 0usize..5) {
        static CODECS: std::sync::LazyLock<Vec<Codec>> = std::sync::LazyLock::new(every_codec);
        let kind = ["", "application/xml", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded", "application/json"][kind];
        let _ = document::read(kind, &bytes);
        let bits: Vec<bool> = bytes.iter().map(|byte| byte & 1 == 1).collect();
        for codec in CODECS.iter() {
            match codec {
                Codec::Serial(codec) => {
                    let _ = codec.explain(&bytes);
                    let _ = codec.decode(&bytes);
                    let mut waiting = framing::Waiting::default();
                    for piece in bytes.chunks(7) {
                        for frame in codec.framing().take(&mut waiting, piece).into_iter().flatten() {
                            prop_assert!(codec.framing().read(&frame).is_ok() || codec.decode(&frame).is_err());
                        }
                    }
                    let _ = codec.framing().quiet(&mut waiting);
                }
                Codec::Http(codec) => { let _ = codec.decode_event(kind, &bytes); }
                Codec::Wiegand(cards) => { let _ = cards.decode(&bits); }
                Codec::Osdp(codec) => { let _ = codec.answered(0, &bytes); }
                Codec::Mqtt(_) | Codec::Modbus(_) => {}
            }
        }
    }

    #[test]
    fn any_text_survives_a_frame(text in "[a-zA-Z0-9\u{4e00}-\u{4eff}]{1,60}", mode in 0i64..3) {
        static CODECS: std::sync::LazyLock<Vec<Codec>> = std::sync::LazyLock::new(every_codec);
        let serial = |codec: &'static Codec| if let Codec::Serial(codec) = codec { Some(codec) } else { None };
        let card = CODECS.iter().filter_map(serial).find(|codec| codec.polls().any(|(name, _)| name == "read_inputs"));
        let card = card.expect("the display card is asked for its inputs");
        let args = Values::from([("text".to_owned(), Value::Text(text.clone())), ("mode".to_owned(), Value::Integer(mode))]);
        let Ok(out) = card.encode("say", &args) else { return Ok(()) };
        let explained = card.explain(&out.frame).expect("our own frame");
        let (_, steps) = explained.is.iter().find(|(title, _)| title == "the command say").expect("recognised");
        prop_assert!(steps.iter().any(|step| step.says == text));
    }

    #[test]
    fn a_damaged_message_is_a_statement_or_a_named_rejection(at in 0usize..900, byte in any::<u8>(), cut in 0usize..900) {
        let mut body = recorded("the full result of a vehicle").into_bytes();
        let at = at % body.len();
        body[at] = byte;
        if let Ok(Heard { what: Meaning::Says(said), .. }) = decode("ivs_result", &body) {
            prop_assert!(said.len() <= 1);
            prop_assert!(!matches!(&said[..], [Statement::PlateRead(read)] if read.confidence > 100));
        }
        body.truncate(cut % body.len());
        prop_assert!(decode("ivs_result", &body).is_err(), "a part of a message is no message");
    }

    #[test]
    fn a_damaged_frame_is_never_taken_for_the_answer(bit in 0usize..48) {
        let catalogue = Catalogue::load(None).expect("right");
        let Ok(Codec::Modbus(codec)) = catalogue.profile("waveshare/modbus-relay-8").expect("shipped").bind(&BTreeMap::new())
        else { panic!("a board") };
        let (request, _, _) = codec.polls().remove(0);
        let mut answer = vec![0x01, 0x02, 0x01, 0x05, 0x61, 0x8B];
        answer[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(request.answered(&answer).is_err());
    }
}

fn mistake(right: &str, wrong: &str, expect: &str) {
    let (file, text) = (vzenith().file, vzenith().text);
    assert!(text.contains(right), "{right} is in the profile");
    let text = text.replacen(right, wrong, 1);
    let found = Profile::parse(&Source { file: Path::new(file), text: &text }).expect_err(wrong);
    let found = listed(&found);
    assert!(found.contains(expect), "{found}\nshould say\n{expect}");
    assert!(found.contains("r-mqtt.toml:"), "{found} should tell the line");
}

/// Every device of every shipped profile, with the recorded parameters.
fn every_codec() -> Vec<Codec> {
    let catalogue = Catalogue::load(None).expect("right");
    let codec = |shipped: &shipped::Shipped| {
        let recording: recording::Recording = toml::from_str(shipped.recording).expect("right");
        let id = shipped.file.trim_start_matches("device-profiles/").trim_end_matches(".toml");
        catalogue.profile(id).expect("shipped").bind(&recording.params).expect("right")
    };
    SHIPPED.iter().map(codec).collect()
}

/// The names of all members that a schema allows.
fn words_of(schema: &serde_json::Value) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(members) = schema.as_object() {
        for (name, value) in members {
            if name == "properties" {
                found.extend(value.as_object().into_iter().flat_map(|words| words.keys().cloned()));
            }
            found.extend(words_of(value));
        }
    }
    found.extend(schema.as_array().into_iter().flatten().flat_map(words_of));
    found
}

fn listed(mistakes: &[Mistake]) -> String {
    mistakes.iter().map(|mistake| format!("{mistake}\n")).collect()
}

fn vzenith() -> &'static shipped::Shipped {
    SHIPPED.iter().find(|shipped| shipped.file.ends_with("vzenith/r-mqtt.toml")).expect("shipped")
}

fn camera(catalogue: &Catalogue) -> MqttCodec {
    let params = BTreeMap::from([("sn".to_owned(), toml::Value::from(CAMERA))]);
    match catalogue.profile("vzenith/r-mqtt").expect("shipped").bind(&params).expect("right") {
        Codec::Mqtt(codec) => codec,
        Codec::Modbus(_) | Codec::Http(_) | Codec::Serial(_) | Codec::Wiegand(_) | Codec::Osdp(_) => {
            panic!("a camera speaks MQTT")
        }
    }
}

fn decode(name: &str, body: &[u8]) -> Result<Heard, Rejection> {
    static CODEC: std::sync::LazyLock<MqttCodec> =
        std::sync::LazyLock::new(|| camera(&Catalogue::load(None).expect("right")));
    CODEC.decode(&format!("device/{CAMERA}/message/up/{name}"), body)
}

fn recorded(what: &str) -> String {
    let text = include_str!("../../device-profiles/vzenith/r-mqtt.recording.toml");
    let recording: recording::Recording = toml::from_str(text).expect("right");
    recording.says.into_iter().find(|says| says.what.get_ref() == what).expect("recorded").body
}
