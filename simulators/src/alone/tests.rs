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
    let camera = tokio::spawn(async move { http::listen(&recording, &address, |_| {}).await });
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let raise = format!("http://{free}/ISAPI/Parking/channels/1/barrierGate");
    let answer = loop {
        match client.put(&raise).body("<BarrierGate/>").send().await {
            Ok(answer) => break answer.text().await.unwrap(),
            Err(_) => tokio::task::yield_now().await,
        }
    };
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
