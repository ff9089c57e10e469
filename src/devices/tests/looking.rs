//! A second look at pictures, at a real HTTP server that plays HyperLPR3's published answers: nobody waits for it, and what it
//! says is said of the vehicle in the picture.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::super::check::{Verdict, talk};
use super::push::{PLATE, curl};
use super::*;
use crate::domain::event::{DeviceId, PlateRead};
use crate::domain::plate::told::Colour;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_read_in_a_picture_is_said_of_its_vehicle_after_the_camera_s_own_read() {
    let mut engine = Engine::start().await;
    let (mut site, posts) = site(&engine.address.to_string()).await;
    let picture = sample::jpeg(64, 48);
    let posting = curl(posts, "/vzenith", &with_picture("101", "粤B12345", &picture));
    let envelope = site.next().await;
    let Input::PlateRead(of) = envelope.input else { panic!("a read") };
    // By the time that another post is answered, a picture that did not wait has long been handed in.
    let alive = curl(posts, "/devicemanagement/php/receivedeviceinfo.php", "serialno=0f823866-d2dc45ab").await;
    assert!(alive.expect("curl ran").ends_with(" 200"));
    assert!(engine.asked.try_recv().is_err(), "the camera's own read is not on disk");
    let _ = envelope.reply.send(Reply::Done);
    let asked = engine.next().await;
    assert!(asked.head.contains("multipart/form-data; boundary=gatepost-"), "{}", asked.head);
    let form = String::from_utf8_lossy(&asked.body);
    assert!(form.contains("name=\"file\"; filename=\"picture.jpeg\"\r\nContent-Type: image/jpeg\r\n\r\n"), "{form}");
    assert!(asked.body.windows(picture.len()).any(|part| part == picture), "the picture as the camera sent it");
    asked.answers(200, &plates(&[("粤B12845", 0.93)]));
    let Input::PlateRead(read) = site.committed().await else { panic!("a read") };
    assert!(posting.await.expect("curl ran").ends_with(" 200"));
    let plate = read.plate.as_ref().map(|plate| plate.as_str());
    assert_eq!((read.device.as_str(), plate, read.confidence), ("engine", Some("粤B12845"), 93));
    assert_eq!((read.told.picture_of.as_deref(), read.told.colour), (Some(of.event.as_str()), Some(Colour::Blue)));
    assert_eq!((&read.lane, read.captured, read.photos), (&of.lane, of.captured, None), "the picture's time");
    assert!(of.photos.is_some() && read.event != of.event && !read.event.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_hangs_delays_nobody_and_the_newest_pictures_are_kept() {
    let mut engine = Engine::start().await;
    let (mut site, posts) = site(&engine.address.to_string()).await;
    let mut events = Vec::new();
    let mut first = None;
    for number in 0..8 {
        let post = with_picture(&format!("{number}"), "粤B12345", &sample::jpeg(64 + number, 48));
        let posting = curl(posts, "/vzenith", &post);
        let Input::PlateRead(of) = site.committed().await else { panic!("a read") };
        events.push(of.event);
        assert!(posting.await.expect("curl ran").ends_with(" 200"), "answered while the engine has not");
        if number == 0 {
            first = Some(engine.next().await);
        }
    }
    site.until(|metrics| metrics.rejections("devices", "picture-passed-over") == 3).await;
    // The others have come meanwhile: it is the first one's all the same.
    first.expect("asked").answers(200, &plates(&[("粤B12845", 0.9)]));
    assert_eq!(picture_of(site.committed().await), events[0]);
    for event in &events[4..] {
        engine.next().await.answers(200, &plates(&[("粤B12845", 0.9)]));
        assert_eq!(picture_of(site.committed().await), *event, "the oldest had to go");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_too_long_or_says_nothing_is_counted_and_the_next_picture_is_asked_about() {
    let mut engine = Engine::start().await;
    let (mut site, posts) = site(&engine.address.to_string()).await;
    let long = format!("{{\"result\":{{\"plate_list\":[]}},\"code\":5000,\"msg\":\"{}\"}}", "x".repeat(70_000));
    let two = plates(&[("粤B12345", 0.9), ("湘A6Z789", 0.8)]);
    let answers = [
        (200, long.as_str(), "answer-too-long"),
        (200, r#"{"result":null,"code":5009,"msg":"服务异常"}"#, "unsupported"),
        (500, "Internal Server Error", "unsupported"),
        (200, "busy", "malformed"),
        (200, two.as_str(), "picture-of-several"),
    ];
    for (number, (status, answer, counted)) in (0..).zip(answers) {
        let before = site.metrics.rejections("devices", counted);
        let posting =
            curl(posts, "/vzenith", &with_picture(&format!("{number}"), "_无_", &sample::jpeg(64 + number, 48)));
        assert!(matches!(site.committed().await, Input::PlateRead(PlateRead { plate: None, .. })));
        assert!(posting.await.expect("curl ran").ends_with(" 200"));
        engine.next().await.answers(status, answer);
        site.until(|metrics| metrics.rejections("devices", counted) == before + 1).await;
    }
    let posting = curl(posts, "/vzenith", &with_picture("9", "_无_", &sample::jpeg(90, 48)));
    let Input::PlateRead(of) = site.committed().await else { panic!("a read") };
    assert!(posting.await.expect("curl ran").ends_with(" 200"));
    engine.next().await.answers(200, &plates(&[("粤B12345", 0.9)]));
    assert_eq!(picture_of(site.committed().await), of.event);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_does_not_answer_is_missed_and_is_back_with_its_first_answer() {
    let engine = Engine::silent().await;
    let (mut site, _) = site(&engine.address.to_string()).await;
    let device = DeviceId::from("engine");
    let why = "it does not answer".to_owned();
    assert_eq!(site.committed().await, Input::DeviceLost { device: device.clone(), why });
    engine.begin.expect("silent").send(()).expect("it waits");
    assert_eq!(site.committed().await, Input::DeviceBack { device });
}

#[tokio::test(flavor = "multi_thread")]
async fn the_check_asks_whether_the_engine_runs_and_hands_it_no_picture() {
    let mut engine = Engine::start().await;
    let closed = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("its address");
    for (address, verdict, seen, advice) in [
        (engine.address, Verdict::Well, "heard", ""),
        (closed, Verdict::Fault, "it does not answer", "its address with the port"),
    ] {
        let (text, _) = settings(&address.to_string());
        let now: Clock = Arc::new(|| UtcMs(1_772_294_400_000));
        let found = talk(plan(&text).expect("right settings"), now, Duration::from_secs(2)).await;
        let found = found.iter().find(|finding| finding.device == "engine").expect("looked at");
        assert_eq!(found.verdict, verdict, "{found}");
        assert!(found.seen.contains(seen) && found.advice.contains(advice), "{found}");
    }
    assert!(engine.asked.try_recv().is_err(), "nothing to read");
}

#[test]
fn who_reads_whose_pictures_is_said_in_the_settings_and_must_fit() {
    let refused = |from: &str, to: &str, expect: &str| {
        let (text, _) = settings("192.0.2.7:8715");
        assert!(text.contains(from), "{from} is in the settings");
        let found = plan(&text.replacen(from, to, 1)).expect_err(expect);
        let found: String = found.iter().map(|mistake| format!("{mistake}\n")).collect();
        assert!(found.contains(expect), "{found}\nshould say\n{expect}");
    };
    refused("reads = [\"cam\"]", "", "hyperlpr/rest reads pictures, and nothing says whose; allowed: reads = [");
    refused("reads = [\"cam\"]", "reads = []", "it reads nobody's pictures");
    refused("reads = [\"cam\"]", "reads = [\"cma\"]", "there is no device \"cma\"; allowed: cam, engine");
    refused("reads = [\"cam\"]", "reads = [\"engine\"]", "engine brings no pictures of a lane's vehicles");
    refused("reads = [\"cam\"]", "reads = [\"cam\", \"cam\"]", "engine reads the pictures of cam already");
    refused("link = \"engines\"", "link = \"posts\"", "hyperlpr/rest is only asked; allowed: a link of kind http-ask");
    refused("link = \"posts\"", "link = \"engines\"", "vzenith/r-http speaks by itself, and nobody would hear it here");
    refused("address = \"192.0.2.7:8715\"", "", "engine lacks its address");
    refused("params = { sn", "reads = [\"cam\"]\nparams = { sn", "vzenith/r-http reads no pictures");
    refused("kind = \"http-ask\"", "kind = \"http-ask\"\nport = 8715", "a link of kind http-ask has no port");
}

fn picture_of(input: Input) -> String {
    let Input::PlateRead(read) = input else { panic!("a read: {input:?}") };
    read.told.picture_of.expect("of a picture")
}

/// What the engine answers about a picture with these plates.
fn plates(found: &[(&str, f64)]) -> String {
    let one = |(code, conf): &(&str, f64)| {
        format!(r#"{{"code":"{code}","conf":{conf},"plate_type":"蓝牌","box":[1,2,3,4]}}"#)
    };
    let list: Vec<String> = found.iter().map(one).collect();
    format!(r#"{{"result":{{"plate_list":[{}]}},"code":5000,"msg":"请求成功"}}"#, list.join(","))
}

/// A camera's post with an event of its own and a scene.
fn with_picture(number: &str, plate: &str, picture: &[u8]) -> String {
    let image = format!("\"license\":\"{plate}\",\"imageFile\":\"{}\"", STANDARD.encode(picture));
    let post = PLATE.replace("\"license\":\"粤B12345\"", &image).replace("638740", number);
    assert!(post.contains("imageFile"));
    post
}

fn settings(engine: &str) -> (String, SocketAddr) {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address");
    let text = format!(
        r#"
        [[links]]
        id = "posts"
        kind = "http-push"
        listen = "{free}"

        [[links]]
        id = "engines"
        kind = "http-ask"

        [[devices]]
        id = "cam"
        profile = "vzenith/r-http"
        link = "posts"
        params = {{ sn = "0f823866-d2dc45ab" }}

        [[devices]]
        id = "engine"
        profile = "hyperlpr/rest"
        link = "engines"
        address = "{engine}"
        reads = ["cam"]

        [[lanes]]
        id = "entry-1"
        direction = "entry"
        camera = "cam"
        barrier = {{ device = "cam", output = 0, pulse_ms = 500 }}
        "#
    );
    (text, free)
}

async fn site(engine: &str) -> (Site, SocketAddr) {
    let (text, free) = settings(engine);
    let site = Site::watched(plan(&text).expect("right settings"));
    site.until(|metrics| metrics.text().contains("gatepost_link_up{link=\"posts\"} 1")).await;
    (site, free)
}

/// The engine's server: it says that it runs, and what it reads in a picture is the test's to say.
struct Engine {
    address: SocketAddr,
    asked: mpsc::Receiver<Asked>,
    begin: Option<oneshot::Sender<()>>,
}

/// A picture that it was handed.
struct Asked {
    head: String,
    body: Bytes,
    answer: oneshot::Sender<(u16, String)>,
}

impl Asked {
    fn answers(self, status: u16, body: &str) {
        self.answer.send((status, body.to_owned())).expect("somebody waits for it");
    }
}

impl Engine {
    async fn start() -> Self {
        let mut engine = Self::silent().await;
        engine.begin.take().expect("silent").send(()).expect("it waits");
        engine
    }

    /// It takes connections and says nothing until it is told to begin.
    async fn silent() -> Self {
        // Another test may have installed it already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let (tell, asked) = mpsc::channel(16);
        let (begin, begun) = oneshot::channel::<()>();
        tokio::spawn(async move {
            if begun.await.is_err() {
                return;
            }
            while let Ok((stream, _)) = listener.accept().await {
                let tell = tell.clone();
                let service = service_fn(move |request| answer(request, tell.clone()));
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        Self { address, asked, begin: Some(begin) }
    }

    async fn next(&mut self) -> Asked {
        timeout(PATIENCE, self.asked.recv()).await.expect("in time").expect("it runs")
    }
}

async fn answer(request: Request<Incoming>, tell: mpsc::Sender<Asked>) -> hyper::Result<Response<Full<Bytes>>> {
    let response = |status: u16, body: String| {
        let response = Response::builder().status(status).header("content-type", "application/json");
        response.body(Full::new(Bytes::from(body))).expect("a response")
    };
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/") => Ok(response(200, "\"HyperLpr3 WebApi Server Running...\"".to_owned())),
        (&Method::POST, "/api/v1/rec") => {
            let head = format!("{:?}", request.headers());
            let body = request.into_body().collect().await?.to_bytes();
            let (answer, answered) = oneshot::channel();
            // A test that is over wants no more.
            let _ = tell.send(Asked { head, body, answer }).await;
            let (status, body) = answered.await.unwrap_or((503, String::new()));
            Ok(response(status, body))
        }
        _ => Ok(response(404, String::new())),
    }
}
