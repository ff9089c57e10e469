//! The stream of a camera's events against a camera written out here: login, parts of wrong lengths, silence, and a raise
//! beside the stream.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::super::check::{Verdict, talk};
use super::check::told;
use super::*;
use crate::domain::event::PlateRead;

#[tokio::test]
async fn events_come_at_once_whatever_length_is_claimed_and_the_stream_is_opened_again() {
    let camera = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let mut site = Site::start(settings(&camera));
    let mut stream = opened(&camera).await;
    for (event, claim) in [("a", "Content-Length: 20\r\n"), ("b", ""), ("c", "Content-Length: 999999\r\n")] {
        // Nothing follows the part: it counts all the same.
        send(
            &mut stream,
            &format!("--boundary\r\nContent-Type: application/xml; charset=\"UTF-8\"\r\n{claim}\r\n{}", plate(event)),
        )
        .await;
        assert_eq!(read(&mut site).await, (event.to_owned(), "粤B12345".to_owned()));
        send(&mut stream, "\r\n--boundary\r\nContent-Type: image/jpeg\r\nContent-Length: 3\r\n\r\n\u{1}\u{2}--\r\n")
            .await;
    }
    send(&mut stream, "--boundary\r\nContent-Type: application/xml\r\n\r\n<EventNotificationAlert><eventType>videoloss</eventType><eventState>inactive</eventState></EventNotificationAlert>\r\n").await;
    send(&mut stream, "--boundary\r\nContent-Type: application/xml\r\n\r\n<broken\r\n--boundary\r\n").await;
    site.until(|metrics| metrics.rejections("devices", "malformed") == 1).await;
    assert!(site.metrics.is_link_up("events"));
    drop(stream);
    let mut stream = opened_with(&camera, "nc=00000002").await;
    send(
        &mut stream,
        &format!("--boundary\r\nContent-Type: application/xml\r\n\r\n{}\r\n--boundary--\r\n", plate("d")),
    )
    .await;
    assert_eq!(read(&mut site).await.0, "d");
}

#[tokio::test]
async fn a_raise_goes_beside_the_stream_with_the_next_number_of_the_login() {
    let camera = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let mut site = Site::start(settings(&camera));
    let _stream = opened(&camera).await;
    site.until(|metrics| metrics.is_link_up("events")).await;
    for (number, answer, expect) in [
        ("nc=00000002", "<ResponseStatus><statusCode>1</statusCode></ResponseStatus>", CommandAnswer::Accepted),
        (
            "nc=00000003",
            "<ResponseStatus><statusCode>4</statusCode></ResponseStatus>",
            CommandAnswer::Refused("ResponseStatus.statusCode 4".to_owned()),
        ),
    ] {
        site.raise("exit-1", number).await;
        let (mut call, request) = asked(&camera).await;
        assert!(request.starts_with("PUT /ISAPI/Parking/channels/1/barrierGate HTTP/1.1"), "{request}");
        assert!(request.contains(number), "{request}");
        let length = answer.len();
        send(&mut call, &format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/xml\r\nContent-Length: {length}\r\n\r\n{answer}"))
            .await;
        assert_eq!(site.answer(number).await, expect);
    }
}

#[tokio::test]
async fn a_refused_login_is_not_tried_again_and_again() {
    let camera = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let mut site = Site::start(settings(&camera));
    for _ in 0..2 {
        let (mut call, _) = asked(&camera).await;
        send(&mut call, REFUSED).await;
    }
    site.until(|metrics| metrics.rejections("devices", "login-refused") == 1).await;
    site.raise("exit-1", "c1").await;
    let CommandAnswer::NotSent(why) = site.answer("c1").await else { panic!("nothing was asked") };
    assert!(why.contains("nothing is asked for 1 min"), "{why}");
}

#[tokio::test]
async fn a_raise_waits_for_no_other_answer() {
    let camera = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let mut site = Site::start(settings(&camera));
    let _stream = opened(&camera).await;
    site.until(|metrics| metrics.is_link_up("events")).await;
    let teller = site.devices.teller();
    let plate = crate::profile::template::Value::Text("粤B12345".to_owned());
    let args = [("plate".to_owned(), plate)].into();
    let listing = tokio::spawn(async move { teller.tell("cam", "whitelist_delete", args).await });
    let (hanging, request) = asked(&camera).await;
    assert!(request.starts_with("DELETE ") && request.contains("nc=00000002"), "{request}");
    site.raise("exit-1", "c1").await;
    let (mut call, request) = asked(&camera).await;
    assert!(request.starts_with("PUT /ISAPI/Parking") && request.contains("nc=00000003"), "{request}");
    send(&mut call, TAKEN).await;
    assert_eq!(site.answer("c1").await, CommandAnswer::Accepted);
    assert!(!listing.is_finished(), "and the list still waits");
    drop(hanging);
}

#[tokio::test]
async fn a_raise_that_went_out_is_sent_and_one_that_found_no_camera_is_not() {
    let camera = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let mut site = Site::start(settings_with(&camera, "timeout_ms = 3000", "timeout_ms = 2500"));
    let stream = opened(&camera).await;
    site.until(|metrics| metrics.is_link_up("events")).await;
    site.raise("exit-1", "c1").await;
    let (hanging, _) = asked(&camera).await;
    assert_eq!(site.answer("c1").await, CommandAnswer::Silent("no answer in time".to_owned()));
    let sent = "gatepost_raises_sent_total{lane=\"exit-1\"} 1";
    assert!(site.metrics.text().contains(sent), "whatever came of it");
    drop((camera, stream, hanging));
    site.raise("exit-1", "c2").await;
    let CommandAnswer::NotSent(why) = site.answer("c2").await else { panic!("nobody was there") };
    assert!(why.contains("was not reached"), "{why}");
    assert!(site.metrics.text().contains(sent), "nothing went out");
}

#[tokio::test]
async fn pictures_behind_an_event_are_told_of_when_all_are_there_and_hold_up_no_vehicle() {
    let camera = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let mut site = Site::start(settings(&camera));
    let mut stream = opened(&camera).await;
    let (scene, crop) = (sample::jpeg(640, 360), sample::jpeg(120, 40));
    let part = |name: &str| {
        format!(
            "\r\n--boundary\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"{name}\"\r\nContent-Type: image/jpeg\r\n\r\n"
        )
    };
    for (event, with_scene) in [("a", true), ("b", false)] {
        send(&mut stream, &format!("--boundary\r\nContent-Type: application/xml\r\n\r\n{}", plate(event))).await;
        let Input::PlateRead(first) = site.committed().await else { panic!("a vehicle") };
        assert_eq!((first.event.as_str(), &first.photos), (event, &None), "at once");
        send(&mut stream, &part("licensePlatePicture.jpg")).await;
        stream.write_all(&crop).await.expect("writable");
        if with_scene {
            send(&mut stream, &part("detectionPicture.jpg")).await;
            // Nothing follows the last one: it counts all the same.
            stream.write_all(&scene).await.expect("writable");
        } else {
            // Without all of them the next event ends the vehicle's.
            send(&mut stream, &format!("\r\n--boundary\r\nContent-Type: application/xml\r\n\r\n{ALIVE}")).await;
        }
        let Input::PlateRead(again) = site.committed().await else { panic!("the same vehicle") };
        let hashes = again.photos.clone().expect("its pictures");
        assert!(sample::is_on_disk(site.directory.path(), &crop), "before its news is decided");
        assert_eq!((hashes.plate.is_some(), hashes.scene.is_some()), (true, with_scene));
        assert_eq!(PlateRead { photos: None, ..again }, first);
        send(&mut stream, "\r\n").await;
    }
    site.until(|metrics| metrics.photos_kept() == 3).await;
}

/// A part with the event, a part with a picture: one message, which is told of twice.
#[tokio::test]
async fn what_is_strange_about_a_vehicle_is_counted_once_though_its_picture_comes_behind_it() {
    let camera = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let mut site = Site::start(settings(&camera));
    let mut stream = opened(&camera).await;
    let strange = plate("a").replace("粤B12345", "SALE-50%").replace(">92<", ">high<");
    send(&mut stream, &format!("--boundary\r\nContent-Type: application/xml\r\n\r\n{strange}")).await;
    assert!(matches!(site.committed().await, Input::PlateRead(PlateRead { photos: None, .. })));
    let head = "Content-Disposition: form-data; name=\"licensePlatePicture.jpg\"\r\nContent-Type: image/jpeg";
    send(&mut stream, &format!("\r\n--boundary\r\n{head}\r\n\r\n")).await;
    stream.write_all(&sample::jpeg(120, 40)).await.expect("writable");
    send(&mut stream, &format!("\r\n--boundary\r\nContent-Type: application/xml\r\n\r\n{ALIVE}")).await;
    assert!(matches!(site.committed().await, Input::PlateRead(PlateRead { photos: Some(_), .. })));
    let counted = ["strange-value", "not-a-plate"].map(|name| site.metrics.rejections("devices", name));
    assert_eq!(counted, [1, 1]);
    let heard = "gatepost_reads_total{lane=\"exit-1\"} 1";
    assert!(site.metrics.text().contains(heard), "{}", site.metrics.text());
}

#[tokio::test]
async fn a_stream_that_falls_silent_is_opened_again() {
    let camera = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let mut site = Site::start(settings_with(&camera, "silent_ms = 30000", "silent_ms = 1000"));
    let mut silent = opened(&camera).await;
    send(&mut silent, "--boundary\r\nContent-Type: application/xml\r\n\r\n<Event").await;
    let mut stream = opened_with(&camera, "nc=00000002").await;
    send(&mut stream, &format!("--boundary\r\n\r\n{}", plate("e"))).await;
    assert_eq!(read(&mut site).await.0, "e");
}

/// Bytes without a part are no sign of life: whatever the camera sends behind another boundary is lost.
#[tokio::test]
async fn a_stream_of_bytes_that_are_no_part_is_opened_again() {
    for begun in ["", "--boundary\r\nContent-Type: application/xml\r\n\r\n<Event"] {
        let camera = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let mut site = Site::start(settings_with(&camera, "silent_ms = 30000", "silent_ms = 1000"));
        let mut stream = opened(&camera).await;
        send(&mut stream, &format!("--boundary\r\nContent-Type: application/xml\r\n\r\n{}\r\n", plate("a"))).await;
        assert_eq!(read(&mut site).await.0, "a");
        send(&mut stream, begun).await;
        let lost = format!("--another\r\nContent-Type: application/xml\r\n\r\n{ALIVE}");
        let flood = tokio::spawn(async move { while stream.write_all(lost.as_bytes()).await.is_ok() {} });
        let mut stream = opened_with(&camera, "nc=00000002").await;
        assert_eq!(site.metrics.rejections("devices", "no-part"), 1, "{begun:?}");
        in_time(flood).await.expect("the box has closed the first");
        send(&mut stream, &format!("--boundary\r\n\r\n{}", plate("b"))).await;
        assert_eq!(read(&mut site).await.0, "b");
    }
}

#[tokio::test]
async fn a_camera_that_writes_another_boundary_than_it_names_is_heard() {
    let camera = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let mut site = Site::start(settings(&camera));
    let mut stream = opened(&camera).await;
    for event in ["a", "b"] {
        send(&mut stream, &format!("--own\r\nContent-Type: application/xml\r\n\r\n{}\r\n", plate(event))).await;
        assert_eq!(read(&mut site).await.0, event);
    }
}

#[tokio::test]
async fn a_camera_that_ends_each_stream_at_once_is_asked_less_and_less_often() {
    let camera = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let _site = Site::start(settings(&camera));
    drop(opened(&camera).await);
    let first = tokio::time::Instant::now();
    for number in ["nc=00000002", "nc=00000003", "nc=00000004"] {
        drop(opened_with(&camera, number).await);
    }
    // 200, 400 and 800 ms, but for the moment between its end and the box's word for it.
    assert!(first.elapsed() > Duration::from_millis(1300), "{:?}", first.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_without_power_takes_no_other_of_its_link_away() {
    // Another test may have installed it already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let there = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let gone = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let [good, dead] = [&there, &gone].map(|camera| camera.local_addr().expect("its address"));
    drop(gone);
    tokio::spawn(async move {
        let mut streams = Vec::new();
        loop {
            let (mut call, request) = asked(&there).await;
            let is_stream = request.contains("alertStream");
            let rest =
                if is_stream { "multipart/mixed; boundary=b\r\n\r\n" } else { "a/b\r\nContent-Length: 0\r\n\r\n" };
            let answer = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: {rest}");
            call.write_all(answer.as_bytes()).await.expect("writable");
            streams.extend(is_stream.then_some(call));
        }
    });
    let device = |id: &str, address: std::net::SocketAddr| {
        format!(
            r#"{{ id = "{id}", profile = "hikvision/isapi", link = "events", params = {{ name = "{id}" }}, address = "{address}" }}"#
        )
    };
    let (good, dead) = (device("cam-good", good), device("cam-dead", dead));
    let text =
        format!("lanes = []\nlinks = [{{ id = \"events\", kind = \"http-stream\" }}]\ndevices = [{good}, {dead}]");
    let now: Clock = Arc::new(|| UtcMs(1_772_294_400_000));
    let found = talk(plan(&text).expect("right settings"), now, Duration::from_secs(2)).await;
    told(&found, "cam-good", Verdict::Well, "heard", "");
    told(&found, "cam-dead", Verdict::Fault, "it does not answer", "its address");
}

pub(super) const REFUSED: &str = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Digest qop=\"auth\", realm=\"cam\", nonce=\"abc\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

pub(super) const TAKEN: &str = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/xml\r\nContent-Length: 59\r\n\r\n<ResponseStatus><statusCode>1</statusCode></ResponseStatus>";

const ALIVE: &str = "<EventNotificationAlert><eventType>videoloss</eventType><eventState>inactive</eventState></EventNotificationAlert>\r\n";

fn plate(event: &str) -> String {
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?><EventNotificationAlert version="2.0" xmlns="http://www.isapi.org/ver20/XMLSchema"><eventType>ANPR</eventType><eventState>active</eventState><ANPR><licensePlate>粤B12345</licensePlate><confidenceLevel>92</confidenceLevel></ANPR><UUID>{event}</UUID></EventNotificationAlert>"#
    )
}

/// The next vehicle: its event and its plate.
async fn read(site: &mut Site) -> (String, String) {
    let Input::PlateRead(read) = site.committed().await else { panic!("a vehicle is read") };
    (read.event, read.plate.expect("with its plate").as_str().to_owned())
}

/// The first request is refused, the second brings the login.
pub(super) async fn opened(camera: &TcpListener) -> TcpStream {
    let (mut call, request) = asked(camera).await;
    assert!(request.starts_with("GET /ISAPI/Event/notification/alertStream HTTP/1.1"), "{request}");
    assert!(!request.to_lowercase().contains("authorization:"), "{request}");
    send(&mut call, REFUSED).await;
    opened_with(camera, "nc=00000001").await
}

async fn opened_with(camera: &TcpListener, number: &str) -> TcpStream {
    let (mut stream, request) = asked(camera).await;
    assert!(request.contains("username=\"admin\"") && request.contains(number), "{request}");
    send(&mut stream, "HTTP/1.1 200 OK\r\nContent-Type: multipart/mixed; boundary=boundary\r\n\r\n").await;
    stream
}

/// The next connection and the head of its request.
pub(super) async fn asked(camera: &TcpListener) -> (TcpStream, String) {
    let (mut stream, _) = timeout(PATIENCE, camera.accept()).await.expect("in time").expect("connected");
    let mut request = Vec::new();
    in_time(async {
        while !request.windows(4).any(|window| window == b"\r\n\r\n") {
            let mut piece = [0; 2048];
            let count = stream.read(&mut piece).await.expect("readable");
            assert!(count > 0, "the request is whole");
            request.extend_from_slice(&piece[..count]);
        }
    })
    .await;
    (stream, String::from_utf8_lossy(&request).into_owned())
}

pub(super) async fn send(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).await.expect("writable");
}

pub(super) fn settings(camera: &TcpListener) -> Plan {
    settings_with(camera, "silent_ms = 30000", "silent_ms = 30000")
}

/// With another profile.
fn settings_with(camera: &TcpListener, words: &str, other: &str) -> Plan {
    // Another test may have installed it already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let profile = include_str!("../../../device-profiles/hikvision/isapi.toml");
    assert!(profile.contains(words));
    // What is asked again and again would come between what a test waits for.
    let (head, rest) = profile.split_once("[[poll]]").expect("it has polls");
    let (_, rest) = rest.split_once("[replies.taken]").expect("it has a reply");
    let unasked = format!("{head}[replies.taken]{rest}").replace(words, other);
    let address = camera.local_addr().expect("its address");
    let text = format!(
        r#"
        links = [{{ id = "events", kind = "http-stream" }}]

        [[devices]]
        id = "cam"
        profile = "hikvision/isapi"
        link = "events"
        address = "{address}"
        username = "admin"
        password = "secret"
        params = {{ name = "exit-1" }}

        [[lanes]]
        id = "exit-1"
        direction = "exit"
        camera = "cam"
        barrier = {{ device = "cam", output = 0 }}
        "#
    );
    planned(&text, &catalogue_with(&unasked)).expect("right settings")
}
