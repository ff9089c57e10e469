//! The devices alone against published frames, and recordings against a real socket.

use std::collections::BTreeMap;

use super::line::Recorded;
use super::recording::Recording;
use super::*;

const PROFILES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../device-profiles");

#[test]
fn a_card_answers_published_frames() {
    let mut card = Card::new(0);
    let answer = |card: &Card, frame: &str| {
        let mut waiting = unhex(frame).unwrap();
        card.next(&mut waiting, false).and_then(|(_, answer)| answer).map(|answer| hex(&answer))
    };
    let taken = answer(&card, "00 64 FF FF 0F 06 01 01 00 00 00 01 24 A5");
    assert_eq!(taken.as_deref(), Some("00 64 FF FF 0F 01 00 06 B7"));
    card.set_input(0, true);
    card.set_input(2, true);
    let inputs = answer(&card, "00 64 FF FF D5 00 2F 67");
    assert_eq!(inputs.as_deref(), Some("00 64 FF FF D5 08 00 00 00 00 05 00 00 00 33 92"));
    assert_eq!(answer(&card, "00 64 FF FF D5 00 2F 68"), None, "a wrong check");
    assert_eq!(answer(&Card::new(5), "00 64 FF FF D5 00 2F 67"), None, "another card");
}

#[test]
fn a_reader_answers_published_packets_and_repeats_itself() {
    let mut reader = Reader::new(0);
    reader.show(1, 12345);
    let mut answer = |packet: &str| {
        let mut waiting = unhex(packet).unwrap();
        reader.next(&mut waiting, false).and_then(|(_, answer)| answer).map(|answer| hex(&answer))
    };
    let with_card = answer("53 00 08 00 05 60 DA 99");
    assert_eq!(with_card.as_deref(), Some("53 80 10 00 05 50 00 01 1A 00 80 98 1C C0 53 F1"));
    assert_eq!(answer("53 00 08 00 05 60 DA 99"), with_card, "asked again");
    assert_eq!(answer("53 00 08 00 04 60 EB AA").as_deref(), Some("53 80 08 00 04 40 59 AC"));
    assert_eq!(answer("53 65 08 00 04 60 60 90"), None, "another reader");
}

/// The keys of SIA OSDP annex E: the standard's example, not a copy of anybody's code.
#[test]
fn the_secure_channel_gives_the_standard_s_vectors() {
    let key = *b"0123456789:;<=>?";
    let session = secure::Session::new(key, *b"\xB0\xB1\xB2\xB3\xB4\xB5\xB6\xB7", *b"\xA0\xA1\xA2\xA3\xA4\xA5\xA6\xA7");
    assert_eq!(hex(&session.proof()), "FD E5 D2 F4 28 EC 16 31 24 71 EA 3C 02 BD 77 96");
    let of_box = unhex("26 D3 35 6E 07 76 2D 26 28 01 FC 8E 66 65 A8 91").unwrap();
    let first_mac = session.opens(&of_box).expect("the box has the key");
    assert_eq!(hex(&first_mac), "B2 A3 00 57 EB 98 BA 22 29 EC 1F 87 56 62 B5 24");
    assert_eq!(session.opens(&[0; 16]), None);
}

#[test]
fn a_reader_with_a_key_says_nothing_of_cards_in_the_clear() {
    let mut reader = Reader::new(0).with_key([7; 16]);
    reader.show(1, 12345);
    let mut answer = |packet: &str| {
        let mut waiting = unhex(packet).unwrap();
        reader.next(&mut waiting, false).and_then(|(_, answer)| answer).map(|answer| hex(&answer))
    };
    assert!(answer("53 00 09 00 04 61 00 C0 66").unwrap().contains(" 45 "), "who it is, it says to everybody");
    assert!(answer("53 00 08 00 05 60 DA 99").unwrap().contains(" 41 06 "), "refused: not secure");
}

#[test]
fn what_is_said_is_a_text_or_bytes_and_one_of_them() {
    let text = "[[post]]\nwhat = 'a'\npath = '/a'\nbody_hex = 'FF 61 62'\n[[post]]\nwhat = 'b'\nbody = '粤B'\n\
                [[post]]\nwhat = 'c'\nbody = ''\nbody_hex = ''\n";
    let recording = Recording::read(text, &BTreeMap::new()).unwrap();
    let changes = [("a".to_owned(), "xyz".to_owned()), ("B".to_owned(), String::new())];
    assert_eq!(recording.post[0].body.with(&changes).unwrap(), b"\xFFxyzb");
    assert_eq!(recording.post[1].body.with(&changes).unwrap(), "粤".as_bytes());
    let wrong = recording.post[2].body.with(&[]).unwrap_err().to_string();
    assert!(wrong.contains("one of body and body_hex"), "{wrong}");
}

#[test]
fn the_help_has_a_right_example_of_every_link() {
    #[derive(clap::Parser)]
    struct Words {
        #[command(flatten)]
        options: Options,
    }
    let mut kinds = Vec::new();
    for line in EXAMPLES.lines().filter_map(|line| line.trim().strip_prefix("gatepost-sim ")) {
        let Words { mut options } = clap::Parser::try_parse_from(line.split(' ')).unwrap();
        options.profiles = Some(PROFILES.into());
        check_faults(&options).unwrap();
        check_link(&options, &load(&options).unwrap()).unwrap();
        options.login.as_deref().map(login).transpose().unwrap();
        options.key.as_deref().map(key).transpose().unwrap();
        kinds.push(options.link.split("://").next().unwrap().to_owned());
    }
    kinds.sort();
    assert_eq!(kinds, ["http", "listen", "listen", "mqtt", "pty", "pty"]);
}

#[test]
fn a_device_at_a_link_where_it_does_nothing_is_told_its_own() {
    for (profile, link, own) in [
        ("dahua/itsapi", "listen://127.0.0.1:0", "http://HOST:PORT"),
        ("hyperlpr/rest", "http://127.0.0.1:1", "listen://HOST:PORT"),
        ("waveshare/modbus-relay-8", "listen://127.0.0.1:0", "pty"),
        ("waveshare/modbus-poe-eth-relay-b", "pty", "listen://HOST:PORT"),
        ("kf/dc199", "mqtt://127.0.0.1:1", "pty"),
        ("vzenith/r-mqtt", "pty", "mqtt://HOST:PORT"),
    ] {
        let options = Options {
            profile: profile.to_owned(),
            link: link.to_owned(),
            profiles: Some(PROFILES.into()),
            params: Vec::new(),
            play: false,
            login: None,
            key: None,
            faults: Vec::new(),
        };
        let told = check_link(&options, &load(&options).unwrap()).unwrap_err().to_string();
        assert!(
            told.ends_with(&format!("does nothing at {}; its link is {own}", link.split("://").next().unwrap())),
            "{told}"
        );
    }
}

#[test]
fn parameters_replace_recorded_ones_everywhere() {
    let text = std::fs::read_to_string(format!("{PROFILES}/vzenith/r-mqtt.recording.toml")).unwrap();
    let given = BTreeMap::from([("sn".to_owned(), "abc-1".to_owned())]);
    let recording = Recording::read(&text, &given).unwrap();
    assert!(recording.says.iter().any(|says| says.topic == "device/abc-1/message/up/ivs_result"));
    assert!(recording.told.iter().any(|told| told.topic == "device/abc-1/message/down/gpio_out"));
    let unknown = BTreeMap::from([("serial".to_owned(), "x".to_owned())]);
    let wrong = Recording::read(&text, &unknown).unwrap_err().to_string();
    assert!(wrong.contains("there is no parameter serial") && wrong.contains("sn"), "{wrong}");
}

#[test]
fn every_shipped_recording_can_be_played() {
    let mut played = 0;
    for vendor in std::fs::read_dir(PROFILES).unwrap().filter_map(|entry| std::fs::read_dir(entry.unwrap().path()).ok())
    {
        for file in vendor.map(|entry| entry.unwrap().path()) {
            if !file.display().to_string().ends_with(".recording.toml") {
                continue;
            }
            let text = std::fs::read_to_string(&file).unwrap();
            let recording = Recording::read(&text, &BTreeMap::new()).unwrap();
            Recorded::of(&recording).unwrap();
            played += 1;
        }
    }
    assert!(played >= 19, "{played}");
}

#[tokio::test]
async fn a_recorded_camera_posts_and_is_asked() {
    let text = std::fs::read_to_string(format!("{PROFILES}/hikvision/isapi.recording.toml")).unwrap();
    let recording = Recording::read(&text, &BTreeMap::new()).unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let address = free.clone();
    let (_typist, typed) = mpsc::channel(1);
    let camera =
        tokio::spawn(
            async move { http::listen(http::Asked::new(recording, None, false), &address, typed, |_| {}).await },
        );
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let raise = format!("http://{free}/ISAPI/Parking/channels/1/barrierGate");
    let until_it_listens = async {
        loop {
            match client.put(&raise).body("<BarrierGate/>").send().await {
                Ok(answer) => return answer.text().await.unwrap(),
                Err(_) => tokio::task::yield_now().await,
            }
        }
    };
    let answer = tokio::time::timeout(std::time::Duration::from_secs(20), until_it_listens).await.expect("it listens");
    assert!(answer.contains("<statusCode>1</statusCode>"), "{answer}");
    assert_eq!(client.get(format!("http://{free}/no/such")).send().await.unwrap().status().as_u16(), 404);
    camera.abort();
}

#[test]
fn what_a_person_types_is_read_or_told_what_is_allowed() {
    assert_eq!(
        read_typed("say 3 a=b c=d"),
        Ok(Typed::Say(3, vec![("a".into(), "b".into()), ("c".into(), "d".into())]))
    );
    assert_eq!(read_typed("in 2 off"), Ok(Typed::Input(2, false)));
    assert_eq!(read_typed("card 1 12345"), Ok(Typed::Card(1, 12345)));
    for wrong in ["", "say", "say x", "say 1 b", "card 300 1", "open"] {
        assert!(read_typed(wrong).is_err(), "{wrong}");
    }
}
