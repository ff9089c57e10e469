//! What the tests of the page stand on: a small mall's ledger, the page's server, and a browser.

use std::time::Duration;

use reqwest::{Client, Response};
use serde_json::Value;

use super::*;
use crate::domain::event::PhotoKind;
use crate::domain::lane::Direction;
use crate::photos::{Intake, sample as photos};
use crate::store::reader::sample::Sample;

/// A page over the ledger of a small mall at noon.
pub(super) struct Rig {
    pub(super) base: String,
    pub(super) client: Client,
    pub(super) sample: Sample,
    pub(super) versions: watch::Sender<u64>,
    pub(super) photos: Photos,
    pub(super) intake: Intake,
    _pictures: tempfile::TempDir,
}

impl Rig {
    pub(super) async fn new() -> Self {
        // Another test of this process may have been first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let sample = Sample::midday();
        let (versions, seen) = watch::channel(0);
        let pictures = tempfile::tempdir().expect("a folder");
        let (photos, intake, _) = photos::open(pictures.path());
        let settings = Settings {
            reader: sample.reader(),
            photos: photos.clone(),
            lanes: vec![
                LaneSign { id: "E1".into(), direction: Direction::Entry },
                LaneSign { id: "X1".into(), direction: Direction::Exit },
            ],
            versions: seen,
            cloud_is_up: Arc::new(AtomicBool::new(false)),
            spaces: Arc::new(|| vec![(String::new(), 40)]),
            zone: jiff::tz::TimeZone::fixed(jiff::tz::offset(8)),
            site: "海岸城".to_owned(),
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let base = format!("http://{}", listener.local_addr().expect("the address"));
        tokio::spawn(axum::serve(listener, router(settings)).into_future());
        let client = Client::builder().timeout(Duration::from_secs(60)).build().expect("a client");
        Self { base, client, sample, versions, photos, intake, _pictures: pictures }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    pub(super) async fn take_a_picture(&self, lane: &str, event: &str, width: u32) {
        let mut changes = self.photos.changes();
        self.intake.desk().take(&photos::read(lane, event), vec![(PhotoKind::Scene, photos::jpeg(width, 48))]);
        while self.photos.of_arrival(&lane.into(), event).scene.is_none() {
            changes.changed().await.expect("the pictures are there");
        }
    }

    pub(super) fn change_alarm(&self, number: u32) {
        self.sample.run("UPDATE alarm SET text = ?1", [format!("alarm {number}")]);
        self.versions.send_modify(|version| *version += 1);
    }

    /// What a person reads: the page without its tags.
    pub(super) async fn text(&self, path: &str) -> String {
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
pub(super) struct Stream {
    pub(super) response: Response,
    unread: Vec<u8>,
}

pub(super) struct Sent {
    pub(super) id: String,
    pub(super) html: String,
}

impl Stream {
    pub(super) async fn open(rig: &Rig, query: &str) -> Self {
        let response = rig.client.get(rig.url(&format!("/console/events{query}"))).send().await.expect("an answer");
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, unread: Vec::new() }
    }

    /// The parts up to the end of one picture.
    pub(super) async fn until_beat(&mut self) -> Vec<Sent> {
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
