//! A camera that is asked again and again: where its arm is, that it is there, and that its cable is cut.

use std::sync::{Mutex, OnceLock};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::domain::event::{ArmPosition, DeviceId};
use crate::metrics::Trouble;

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_that_is_asked_tells_where_the_arm_is_and_is_missed_when_its_cable_is_cut() {
    let camera = Asked::start("<barrierGateStatus>1</barrierGateStatus>").await;
    let mut site = Site::watched(settings(&camera));
    let moved = |position| Input::BarrierMoved { lane: LaneId::from("exit-1"), position };
    assert_eq!(site.committed().await, moved(ArmPosition::Down));
    let before = camera.count();
    site.until(|_| camera.count() > before + 2).await;
    camera.says("<barrierGateStatus>2</barrierGateStatus>");
    assert_eq!(site.committed().await, moved(ArmPosition::Up), "and what is no news was not told");
    camera.serving.abort();
    let why = "it does not answer".to_owned();
    assert_eq!(site.committed().await, Input::DeviceLost { device: DeviceId::from("cam"), why });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_does_not_know_the_question_is_there_all_the_same_and_is_left_in_peace() {
    let camera = Asked::start("").await;
    let site = Site::watched(settings(&camera));
    site.until(|metrics| metrics.rejections("devices", "poll-refused") == 2).await;
    let health = site.metrics.health.of("cam").expect("it is known");
    assert_eq!((health.heard.is_some(), health.trouble), (true, None));
}

/// What it answers is a line of text that no message of its profile reads: enough to know that it is there.
#[tokio::test(flavor = "multi_thread")]
async fn a_camera_that_only_posts_is_asked_where_it_has_an_address_and_missed_when_its_cable_is_cut() {
    // Another test may have installed it already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    let (tell, mut asked) = mpsc::unbounded_channel();
    let serving = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let count = stream.read(&mut request).await.unwrap_or(0);
            let line = "root.Properties.System.SerialNumber=ACCC8E000001\n";
            let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length:";
            let answer = format!("{head} {}\r\n\r\n{line}", line.len());
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = tell.send(String::from_utf8_lossy(&request[..count]).into_owned());
        }
    });
    let own = tempfile::tempdir().expect("a directory");
    let profile = include_str!("../../../device-profiles/axis/lpv.toml");
    let often = profile.replace("every_ms = 10000\n", "every_ms = 500\n");
    assert_ne!(profile, often);
    std::fs::write(own.path().join("own.toml"), often).expect("written");
    let text = format!(
        r#"
        links = [{{ id = "posts", kind = "http-push", listen = "127.0.0.1:0" }}]
        devices = [
          {{ id = "asked", profile = "axis/lpv", link = "posts", params = {{ name = "a" }}, address = "{address}" }},
          {{ id = "silent", profile = "axis/lpv", link = "posts", params = {{ name = "b" }} }},
        ]
        "#
    );
    let plan = planned(&text, &Catalogue::load(Some(own.path())).expect("right")).expect("right settings");
    let mut site = Site::watched(plan);
    for _ in 0..2 {
        let request = timeout(PATIENCE, asked.recv()).await.expect("in time").expect("it serves");
        let page = "GET /axis-cgi/param.cgi?action=list&group=Properties.System.SerialNumber HTTP/1.1";
        assert!(request.starts_with(page), "{request}");
    }
    site.until(|metrics| metrics.health.of("asked").is_some_and(|health| health.heard.is_some())).await;
    assert_eq!(site.metrics.rejections("devices", "malformed"), 0, "an answer is no fault");
    serving.abort();
    let why = "it does not answer".to_owned();
    assert_eq!(site.committed().await, Input::DeviceLost { device: DeviceId::from("asked"), why });
    let silent = site.metrics.health.of("silent").expect("known");
    assert_eq!((silent.heard, silent.trouble), (None, None), "nobody asks it, and it may be silent");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_without_an_answer_is_no_word_of_the_camera() {
    let camera = Asked::start("<barrierGateStatus>1</barrierGateStatus>").await;
    let mut site = Site::watched(settings(&camera));
    site.committed().await;
    camera.says(NOTHING);
    site.until(|metrics| metrics.health.of("cam").is_some_and(|health| health.trouble == Some(Trouble::Silent))).await;
    let heard = site.metrics.health.of("cam").and_then(|health| health.heard).expect("it has spoken");
    let spoke = std::time::Instant::now().checked_sub(heard).expect("since the start");
    // It was asked one thing after the other: what it said before had been heard by then.
    let silent = camera.silent.get().expect("it was asked");
    assert!(spoke <= *silent, "heard {:?} after it fell silent", spoke - *silent);
}

/// What a camera says that hangs up.
const NOTHING: &str = "-";

/// A camera with one answer; where it is empty it knows no such page.
struct Asked {
    address: std::net::SocketAddr,
    body: Arc<Mutex<(String, usize)>>,
    serving: tokio::task::JoinHandle<()>,
    silent: Arc<OnceLock<std::time::Instant>>,
}

impl Asked {
    async fn start(says: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let body = Arc::new(Mutex::new((says.to_owned(), 0)));
        let shared = Arc::clone(&body);
        let silent = Arc::new(OnceLock::new());
        let fell_silent = Arc::clone(&silent);
        let serving = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = [0; 4096];
                let count = stream.read(&mut request).await.unwrap_or(0);
                let answer = {
                    let mut shared = shared.lock().expect("whole");
                    let is_known = String::from_utf8_lossy(&request[..count]).contains("barrierGateStatus");
                    shared.1 += usize::from(is_known);
                    if shared.0 == NOTHING {
                        fell_silent.get_or_init(std::time::Instant::now);
                        continue;
                    }
                    let other = "<DeviceStatus/>".to_owned();
                    let body =
                        if is_known { format!("<BarrierGateStatus>{}</BarrierGateStatus>", shared.0) } else { other };
                    let status = if shared.0.is_empty() { "404 Not Found" } else { "200 OK" };
                    let head = "Connection: close\r\nContent-Type: application/xml\r\nContent-Length:";
                    format!("HTTP/1.1 {status}\r\n{head} {}\r\n\r\n{body}", body.len())
                };
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        Self { address, body, serving, silent }
    }

    fn says(&self, text: &str) {
        self.body.lock().expect("whole").0 = text.to_owned();
    }

    fn count(&self) -> usize {
        self.body.lock().expect("whole").1
    }
}

fn settings(camera: &Asked) -> Plan {
    // Another test may have installed it already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let profile = include_str!("../../../device-profiles/hikvision/isapi.toml");
    let often = profile.replace("every_ms = 1000\n", "every_ms = 500\n");
    assert_ne!(profile, often);
    let text = format!(
        r#"
        links = [{{ id = "posts", kind = "http-push", listen = "127.0.0.1:0" }}]

        [[devices]]
        id = "cam"
        profile = "hikvision/isapi"
        link = "posts"
        address = "{}"
        params = {{ name = "exit-1" }}

        [[lanes]]
        id = "exit-1"
        direction = "exit"
        camera = "cam"
        barrier = {{ device = "cam", output = 0 }}
        "#,
        camera.address
    );
    planned(&text, &catalogue_with(&often)).expect("right settings")
}
