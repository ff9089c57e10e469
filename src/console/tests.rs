//! The page and its stream through a real socket, over a small mall's ledger file.

use std::time::Duration;

use reqwest::{Client, Response};
use serde_json::Value;

use super::*;
use crate::domain::lane::Direction;
use crate::store::reader::sample::Sample;

#[tokio::test]
async fn the_page_shows_the_lanes_the_fees_and_why() {
    let rig = Rig::new().await;
    let page = rig.text("/?lang=en").await;
    for must in ["Waiting for payment", "粤B·12345", "gold · 王**", "178 points usable", "Due¥8.00", "2 h × ¥4.00"]
    {
        assert!(page.contains(must), "{must:?} is not on the page: {page}");
    }
    for must in ["Take cash ¥8.00", "Arm down", "Raise the barrier", "Last plate reads", "88%", "粤A·88888"] {
        assert!(page.contains(must), "{must:?} is not on the page: {page}");
    }
    for must in ["16 h × ¥4.00¥64.00", "at most ¥50.00 a day−¥14.00", "Cash at the lane li ¥20.00", "Points 40 = ¥4.00"]
    {
        assert!(page.contains(must), "{must:?} is not on the page: {page}");
    }
    let hash = rig.sample.reader().look(|view| view.head()).await.expect("the head").head;
    for must in ["Let go unpaid ¥30.00", "Nobody saw it leave", "Entries to upload3", "Cloud offline", &hash[..12]] {
        assert!(page.contains(must), "{must:?} is not on the page: {page}");
    }
}

#[tokio::test]
async fn a_plate_is_shown_in_full_only_at_a_lane_and_in_the_last_reads() {
    let rig = Rig::new().await;
    let page = rig.text("/").await.replace('·', "");
    assert!(page.contains("粤B12345"), "it stands in a lane");
    for gone in ["粤B66666", "粤BD12345"] {
        assert!(!page.contains(gone), "{gone} has left, yet: {page}");
    }
    assert!(page.contains("粤B••••6") && page.contains("粤B•••••5"), "{page}");
}

#[tokio::test]
async fn the_page_speaks_the_language_that_is_asked_for() {
    let rig = Rig::new().await;
    assert!(rig.text("/").await.contains("等待付款"));
    assert!(rig.text("/?lang=en").await.contains("Waiting for payment"));
    let request = rig.client.get(rig.url("/")).header("Accept-Language", "en-GB,en;q=0.9");
    let page = request.send().await.expect("an answer").text().await.expect("a text");
    assert!(page.contains("Waiting for payment") && page.contains(r#"<html lang="en">"#), "{page}");
    assert!(page.contains(r#"href="/?lang=zh""#), "{page}");
}

#[tokio::test]
async fn nothing_from_outside_becomes_markup() {
    let rig = Rig::new().await;
    let evil = "<script>alert(1)</script>\"'&";
    rig.sample.run("UPDATE alarm SET text = ?1, code = ?1, lane = ?1", [evil]);
    rig.sample.run("UPDATE cloud_member SET handle = ?1, tier = ?1", [evil]);
    rig.sample.run("UPDATE stay SET void_reason = ?1 WHERE stay = 'S1-0'", [evil]);
    rig.sample.run("UPDATE plate_read SET plate = ?1 WHERE event = 'e-3'", [evil]);
    let cause = json!({"why": "staff", "operator": evil, "reason": evil});
    rig.sample.lane("E1", &json!({"phase": {"at": "raised", "cause": cause, "answer": {"refused": evil}}}));
    let page = rig.client.get(rig.url("/")).send().await.expect("an answer").text().await.expect("a text");
    assert!(page.contains("&lt;script&gt;alert(1)"), "{page}");
    assert!(!page.contains("<script>alert"), "{page}");
    let mut stream = Stream::open(&rig, "").await;
    for part in stream.until_beat().await {
        assert!(!part.html.contains("<script"), "{}", part.html);
    }
}

#[tokio::test]
async fn the_page_loads_only_its_own_files() {
    let rig = Rig::new().await;
    for (path, kind) in [
        ("/", "text/html; charset=utf-8"),
        ("/console/app.js", "text/javascript; charset=utf-8"),
        ("/console/app.css", "text/css; charset=utf-8"),
        ("/console/icon.svg", "image/svg+xml"),
    ] {
        let response = rig.client.get(rig.url(path)).send().await.expect("an answer");
        let headers = response.headers().clone();
        assert_eq!(headers["content-type"], kind, "{path}");
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(headers["cache-control"], "no-store", "{path}");
        let policy = headers["content-security-policy"].to_str().expect("a text");
        assert!(policy.contains("script-src 'self'") && !policy.contains("unsafe"), "{policy}");
        let text = response.text().await.expect("a text");
        let may_name = ["http://www.w3.org/2000/svg"];
        let foreign = text.match_indices("http").any(|(at, _)| !may_name.iter().any(|ok| text[at..].starts_with(ok)));
        assert!(!foreign && !text.contains("style=") && !text.contains("onclick="), "{path}");
    }
}

#[tokio::test]
async fn a_guard_finds_the_near_plates_of_those_inside() {
    let rig = Rig::new().await;
    let visit = json!({"plate": "粤A8888B", "stay": null});
    let phase = json!({"at": "waiting", "visit": visit, "due": null, "why": "no_entry_found"});
    rig.sample.lane("X1", &json!({"phase": phase, "arrival": true, "passage": false, "arm": null}));
    let page = rig.client.get(rig.url("/?lang=en")).send().await.expect("an answer").text().await.expect("a text");
    assert!(page.contains(r#"data-act="/api/v1/staff/lanes/X1/plate""#), "{page}");
    assert!(page.contains(r#"name="plate" value="粤A88888""#), "{page}");
    assert!(!page.contains("lanes/X1/settle"), "nothing is known to be due: {page}");
}

#[tokio::test]
async fn a_state_that_this_page_does_not_know_stops_nothing() {
    let rig = Rig::new().await;
    for state in [json!([]), json!({"phase": {"at": "dancing", "visit": 7}}), json!({"phase": 3, "arm": "bent"})] {
        rig.sample.lane("X1", &state);
        let page = rig.text("/?lang=en").await;
        assert!(page.contains("Exit X1") && page.contains("Raise the barrier"), "{state}: {page}");
    }
    rig.sample.run("DELETE FROM lane", []);
    assert!(rig.text("/?lang=en").await.contains("Exit X1"), "a lane of the settings is there before its first word");
}

#[tokio::test]
async fn a_change_reaches_the_page_and_nothing_else_is_sent() {
    let rig = Rig::new().await;
    let mut stream = Stream::open(&rig, "?lang=en").await;
    let mut ids: Vec<String> = stream.until_beat().await.into_iter().map(|part| part.id).collect();
    ids.sort();
    let every = [
        "alarms",
        "ended",
        "journal",
        "lane-0-forms",
        "lane-0-now",
        "lane-0-offers",
        "lane-1-forms",
        "lane-1-now",
        "lane-1-offers",
        "overview",
        "reads",
    ];
    assert_eq!(ids, every, "a stream begins with the whole picture");
    rig.sample.lane("E1", &json!({"phase": {"at": "raised", "cause": {"why": "entry"}}, "arm": "up"}));
    rig.versions.send_modify(|version| *version += 1);
    let changed = stream.until_beat().await;
    assert_eq!(changed.iter().map(|part| part.id.as_str()).collect::<Vec<_>>(), ["lane-0-now"]);
    assert!(changed[0].html.contains("Welcome in") && changed[0].html.contains("Arm up"), "{}", changed[0].html);
    let mut back = Stream::open(&rig, "?lang=en").await;
    let again = back.until_beat().await;
    assert_eq!(again.len(), every.len());
    assert!(again.iter().any(|part| part.html == changed[0].html), "who comes back sees what was missed");
}

#[tokio::test]
async fn a_stream_keeps_its_pace_and_shows_the_last_of_many_changes() {
    let rig = Rig::new().await;
    let mut stream = Stream::open(&rig, "").await;
    let begun = std::time::Instant::now();
    for number in 1..=4 {
        stream.until_beat().await;
        rig.change_alarm(number);
    }
    let parts = stream.until_beat().await;
    assert!(parts.iter().any(|part| part.html.contains("alarm 4<")));
    // The first picture may have been taken before the clock was read.
    assert!(begun.elapsed() >= stream::PACE * 3, "five pictures in {} ms", begun.elapsed().as_millis());
    for number in 5..=200 {
        rig.change_alarm(number);
    }
    let parts = stream.until_beat().await;
    assert!(parts.iter().any(|part| part.html.contains("alarm 200<")), "one picture of them all");
}

#[tokio::test]
async fn the_stream_ends_with_the_loop() {
    let rig = Rig::new().await;
    let mut stream = Stream::open(&rig, "").await;
    stream.until_beat().await;
    drop(rig.versions);
    while stream.response.chunk().await.expect("a clean end").is_some() {}
}

#[tokio::test]
async fn there_is_a_limit_on_open_pages() {
    let rig = Rig::new().await;
    let mut open = Vec::new();
    for _ in 0..MOST_STREAMS {
        open.push(Stream::open(&rig, "").await);
    }
    let one_more = rig.client.get(rig.url("/console/events")).send().await.expect("an answer");
    assert_eq!(one_more.status(), 503);
    assert_eq!(rig.client.get(rig.url("/")).send().await.expect("an answer").status(), 200);
}

#[tokio::test]
async fn health_says_whether_the_ledger_can_be_read() {
    let rig = Rig::new().await;
    let well: Value = rig.client.get(rig.url("/healthz")).send().await.expect("an answer").json().await.expect("JSON");
    assert_eq!(well, json!({"ok": true, "seq": 9}));
    rig.sample.run("DROP TABLE box", []);
    assert_eq!(rig.client.get(rig.url("/healthz")).send().await.expect("an answer").status(), 503);
    assert_eq!(rig.client.get(rig.url("/")).send().await.expect("an answer").status(), 503);
}

struct Rig {
    base: String,
    client: Client,
    sample: Sample,
    versions: watch::Sender<u64>,
}

impl Rig {
    async fn new() -> Self {
        // Another test of this process may have been first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let sample = Sample::midday();
        let (versions, seen) = watch::channel(0);
        let settings = Settings {
            reader: sample.reader(),
            lanes: vec![
                LaneSign { id: "E1".into(), direction: Direction::Entry },
                LaneSign { id: "X1".into(), direction: Direction::Exit },
            ],
            versions: seen,
            cloud_is_up: Arc::new(AtomicBool::new(false)),
            zone: jiff::tz::TimeZone::fixed(jiff::tz::offset(8)),
            site: "海岸城".to_owned(),
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let base = format!("http://{}", listener.local_addr().expect("the address"));
        tokio::spawn(axum::serve(listener, router(settings)).into_future());
        let client = Client::builder().timeout(Duration::from_secs(60)).build().expect("a client");
        Self { base, client, sample, versions }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    fn change_alarm(&self, number: u32) {
        self.sample.run("UPDATE alarm SET text = ?1", [format!("alarm {number}")]);
        self.versions.send_modify(|version| *version += 1);
    }

    /// What a person reads: the page without its tags.
    async fn text(&self, path: &str) -> String {
        let response = self.client.get(self.url(path)).send().await.expect("an answer");
        assert_eq!(response.status(), 200);
        let (mut text, mut is_tag) = (String::new(), false);
        for c in response.text().await.expect("a text").chars() {
            match c {
                '<' => is_tag = true,
                '>' => is_tag = false,
                _ if !is_tag => text.push(c),
                _ => {}
            }
        }
        text
    }
}

/// The stream as a browser reads it.
struct Stream {
    response: Response,
    unread: Vec<u8>,
}

struct Sent {
    id: String,
    html: String,
}

impl Stream {
    async fn open(rig: &Rig, query: &str) -> Self {
        let response = rig.client.get(rig.url(&format!("/console/events{query}"))).send().await.expect("an answer");
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, unread: Vec::new() }
    }

    /// The parts up to the end of one picture.
    async fn until_beat(&mut self) -> Vec<Sent> {
        let mut parts = Vec::new();
        loop {
            while let Some(end) = self.unread.windows(2).position(|pair| pair == b"\n\n") {
                let event: Vec<u8> = self.unread.drain(..end + 2).collect();
                let event = String::from_utf8(event).expect("UTF-8");
                if event.contains("event: beat") {
                    return parts;
                }
                let data = event.lines().find_map(|line| line.strip_prefix("data: ")).expect("data");
                let data: Value = serde_json::from_str(data).expect("JSON");
                let text = |name: &str| data[name].as_str().expect("a text").to_owned();
                parts.push(Sent { id: text("id"), html: text("html") });
            }
            let chunk = self.response.chunk().await.expect("the stream").expect("more of it");
            self.unread.extend_from_slice(&chunk);
        }
    }
}
