//! The sync against a ledger that misbehaves.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use axum::http::{StatusCode, Uri};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::*;
use crate::clock::Clock;
use crate::domain::event::{FeedChange, LaneId, Member, Now, PlateRead, Reply, UtcMs};
use crate::domain::lane::{Direction, LaneSettings, Lanes, PassedBy};
use crate::site::{Core, Envelope, activate_rules};
use crate::store::Store;

#[tokio::test]
async fn a_refused_upload_is_told_once_and_tried_on() {
    let mut rig = Rig::start(|path, _| match path {
        "/v1/boxes/box-1/hello" => (200, json!({"verdict": "ok", "epoch": 1, "cursor": {"epoch": 1, "seq": 0}})),
        "/v1/boxes/box-1/journal" => (422, json!({"code": "unknown-kind", "detail": "stay_flown"})),
        _ => (500, json!({"code": "internal"})),
    })
    .await;
    rig.until(|asked, _| asked.get("/v1/boxes/box-1/journal") >= Some(&6)).await;
    let told: Vec<&CloudNews> = rig.told.iter().filter(|news| matches!(news, CloudNews::Refusing { .. })).collect();
    assert_eq!(told, [&CloudNews::Refusing { reason: "journal: unknown-kind: stay_flown".to_owned() }]);
    assert!(!rig.is_up.load(Ordering::Relaxed), "a line that takes nothing is not up");
}

#[tokio::test]
async fn a_request_that_is_refused_keeps_no_points_from_the_others() {
    let mut rig = Rig::start(|path, n| match (path, n) {
        ("/v1/boxes/box-1/grants", 1) => (422, json!({"code": "request-reused", "detail": "another content"})),
        ("/v1/boxes/box-1/grants", 2) => (403, json!("no JSON object")),
        ("/v1/boxes/box-1/grants", _) => (200, json!({"grant": "G-1", "epoch": 1, "points": 5})),
        _ => (500, json!({"code": "internal"})),
    })
    .await;
    let granted = |told: &[CloudNews]| -> Vec<i64> {
        let points = |news: &CloudNews| match news {
            CloudNews::Granted { points, .. } => Some(points.0),
            CloudNews::Acknowledged { .. }
            | CloudNews::Fed { .. }
            | CloudNews::Refusing { .. }
            | CloudNews::Doubted { .. } => None,
        };
        told.iter().filter_map(points).collect()
    };
    rig.until(|_, told| granted(told).len() >= 2).await;
    assert_eq!(granted(&rig.told)[..2], [0, 5], "the first is answered, the second waits, the third is served");
}

#[tokio::test]
async fn a_feed_that_stands_still_or_goes_back_is_a_failure() {
    for (next, more) in [(0, true), (u64::MAX, false)] {
        let mut rig = Rig::start(move |path, _| match path {
            "/v1/feed" => (200, json!({"changes": [], "next": next, "more": more})),
            _ => (500, json!({"code": "internal"})),
        })
        .await;
        rig.until(|asked, _| asked.get("/v1/feed") >= Some(&3)).await;
        assert!(!rig.told.iter().any(|news| matches!(news, CloudNews::Fed { .. })), "{next}");
    }
}

#[tokio::test]
async fn the_facts_of_an_ended_epoch_still_go_up() {
    let mut rig = Rig::start(|path, _| match path {
        "/v1/boxes/box-1/hello" => {
            (200, json!({"verdict": "wrong-epoch", "epoch": 2, "cursor": {"epoch": 1, "seq": 0}}))
        }
        "/v1/boxes/box-1/journal" => (200, json!({"cursor": {"epoch": 1, "seq": 4}})),
        _ => (500, json!({"code": "internal"})),
    })
    .await;
    rig.until(|asked, _| asked.contains_key("/v1/boxes/box-1/journal")).await;
    assert!(matches!(rig.told[0], CloudNews::Doubted { .. }), "{:?}", rig.told);
}

type Asked = BTreeMap<String, u32>;

/// The real sync with a ledger of three entries and three open requests, a loop that only listens, and a cloud.
struct Rig {
    told: Vec<CloudNews>,
    inputs: mpsc::Receiver<Envelope>,
    asked: Arc<Mutex<Asked>>,
    is_up: Arc<AtomicBool>,
    _dir: tempfile::TempDir,
}

impl Rig {
    async fn start(answer: impl Fn(&str, u32) -> (u16, Value) + Clone + Send + std::marker::Sync + 'static) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("ledger.db");
        let token_file = dir.path().join("token");
        std::fs::write(&token_file, "secret\n").expect("a token");
        fill(&path);
        let asked = Arc::new(Mutex::new(Asked::new()));
        let counted = Arc::clone(&asked);
        let app = Router::new().fallback(move |uri: Uri| {
            let (counted, answer) = (Arc::clone(&counted), answer.clone());
            async move {
                let n = {
                    let mut counted = counted.lock().unwrap_or_else(PoisonError::into_inner);
                    let n = counted.entry(uri.path().to_owned()).or_default();
                    *n += 1;
                    *n
                };
                let (status, body) = answer(uri.path(), n);
                (StatusCode::from_u16(status).expect("a status"), Json(body))
            }
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/", listener.local_addr().expect("an address"));
        tokio::spawn(async move { axum::serve(listener, app).await });
        let (inputs_in, inputs) = mpsc::channel(64);
        let is_up = Arc::new(AtomicBool::new(false));
        let settings = Settings {
            cloud: CloudConfig { url, token_file, retry_max_s: 0 },
            box_id: "box-1".to_owned(),
            handle: Handle::new(inputs_in),
            reader: Reader::open(&path).expect("a reader"),
            version: watch::Sender::new(0),
            is_up: Arc::clone(&is_up),
        };
        tokio::spawn(run(settings));
        Self { told: Vec::new(), inputs, asked, is_up, _dir: dir }
    }

    /// Listens until what was asked of the cloud and told to the loop is enough.
    async fn until(&mut self, is_enough: impl Fn(&Asked, &[CloudNews]) -> bool) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        while !is_enough(&self.asked.lock().unwrap_or_else(PoisonError::into_inner), &self.told) {
            assert!(tokio::time::Instant::now() < deadline, "{:?} {:?}", self.asked, self.told);
            if let Ok(Some(envelope)) = tokio::time::timeout(Duration::from_millis(5), self.inputs.recv()).await {
                if let Input::Cloud(news) = envelope.input {
                    self.told.push(news);
                }
                let _ = envelope.reply.send(Reply::Done);
            }
        }
    }
}

/// Three members drive in, so that three grants are wanted.
fn fill(path: &std::path::Path) {
    let mut store = Store::open(path, "box-1").expect("a ledger");
    let rules = include_str!("../../systemd/rules.toml");
    activate_rules(&mut store, rules, &Clock::new(None)).expect("rules");
    let lane = LaneSettings {
        direction: Direction::Entry,
        has_arrival_loop: false,
        passed_by: PassedBy::Timeout,
        pass_timeout_ms: 60_000,
        back_out_ms: 5_000,
        same_vehicle_ms: 10_000,
    };
    let lanes: Lanes = (1..=3).map(|n| (LaneId(format!("in-{n}")), lane.clone())).collect();
    let mut core = Core::new(store, lanes);
    for n in 1..=3 {
        let plate: crate::domain::plate::Plate = format!("粤B1234{n}").parse().expect("a plate");
        let member = Member {
            id: format!("M{n}").as_str().into(),
            handle: "王**".to_owned(),
            tier: "gold".to_owned(),
            consent_plates: true,
            plates: vec![plate.clone()],
            codes: Vec::new(),
        };
        let read = PlateRead {
            lane: LaneId(format!("in-{n}")),
            device: "camera".into(),
            event: format!("event-{n}"),
            plate: Some(plate),
            confidence: 97,
            captured: UtcMs(1_772_409_600_000),
            stored_offline: false,
            photos: None,
        };
        let now = Now { uptime_ms: 0, utc: read.captured, trusted: true };
        let fed = CloudNews::Fed { changes: vec![FeedChange::Member { member }], next: 0 };
        core.step(Input::Cloud(fed), now).expect("a member");
        core.step(Input::PlateRead(read), now).expect("an entry");
    }
    core.commit().expect("a commit");
}
