//! The stream of a camera's events against a camera written out here: login, parts of wrong lengths, silence, and a raise
//! beside the stream.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

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
    let CommandAnswer::Silent(why) = site.answer("c1").await else { panic!("nothing was asked") };
    assert!(why.contains("nothing is asked for a minute"), "{why}");
}

#[tokio::test]
async fn a_stream_that_falls_silent_is_opened_again() {
    let camera = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let mut site = Site::start(settings_with(&camera, "silent_ms = 1000"));
    let mut silent = opened(&camera).await;
    send(&mut silent, "--boundary\r\nContent-Type: application/xml\r\n\r\n<Event").await;
    let mut stream = opened_with(&camera, "nc=00000002").await;
    send(&mut stream, &format!("--boundary\r\n\r\n{}", plate("e"))).await;
    assert_eq!(read(&mut site).await.0, "e");
}

const REFUSED: &str = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Digest qop=\"auth\", realm=\"cam\", nonce=\"abc\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

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
async fn opened(camera: &TcpListener) -> TcpStream {
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
async fn asked(camera: &TcpListener) -> (TcpStream, String) {
    let (mut stream, _) = timeout(PATIENCE, camera.accept()).await.expect("in time").expect("connected");
    let mut request = Vec::new();
    while !request.windows(4).any(|window| window == b"\r\n\r\n") {
        let mut piece = [0; 2048];
        let count = timeout(PATIENCE, stream.read(&mut piece)).await.expect("in time").expect("readable");
        assert!(count > 0, "the request is whole");
        request.extend_from_slice(&piece[..count]);
    }
    (stream, String::from_utf8_lossy(&request).into_owned())
}

async fn send(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).await.expect("writable");
}

fn settings(camera: &TcpListener) -> Plan {
    settings_with(camera, "silent_ms = 30000")
}

fn settings_with(camera: &TcpListener, silent: &str) -> Plan {
    // Another test may have installed it already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let own = tempfile::tempdir().expect("a directory");
    let profile = include_str!("../../../device-profiles/hikvision/isapi.toml");
    assert!(profile.contains("silent_ms = 30000"));
    std::fs::write(own.path().join("own.toml"), profile.replace("silent_ms = 30000", silent)).expect("written");
    let catalogue = Catalogue::load(Some(own.path())).expect("right");
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
    planned(&text, &catalogue).expect("right settings")
}
