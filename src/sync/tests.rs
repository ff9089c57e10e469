//! The sync against a ledger that misbehaves.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use axum::body::Bytes;
use axum::http::{StatusCode, Uri};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::*;
use crate::clock::Clock;
use crate::domain::event::{EpochReason, FeedChange, LaneId, Member, Now, PlateRead, Reply, UtcMs};
use crate::domain::lane::{Direction, LaneSettings, Lanes, PassedBy};
use crate::site::{Core, Envelope, activate_rules};
use crate::store::Store;

#[tokio::test]
async fn a_refused_upload_is_told_once_and_tried_on() {
    let mut rig = Rig::start(|path, _| match path {
        "/v1/boxes/box-1/hello" => (200, ok(0)),
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
    let grant = || json!({"grants": [{"grant": "G-1", "points": 5, "lot": {"id": "credit:1", "places": []}}]});
    let mut rig = Rig::start(move |path, n| match (path, n) {
        ("/v1/boxes/box-1/grants", 1) => (422, json!({"code": "request-reused", "detail": "another content"})),
        ("/v1/boxes/box-1/grants", 2) => (403, json!("no JSON object")),
        ("/v1/boxes/box-1/grants", _) => (200, grant()),
        _ => (500, json!({"code": "internal"})),
    })
    .await;
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
async fn a_box_whose_epoch_has_ended_hands_in_its_facts_and_takes_the_next() {
    let mut rig = Rig::start(|path, _| match path {
        "/v1/boxes/box-1/hello" => (
            200,
            json!({"verdict": "wrong-epoch", "epoch": 2, "lease": null, "recalls": [], "wants": {"epoch": 2},
                         "cursor": {"epoch": 1, "seq": 0, "head": GENESIS}}),
        ),
        "/v1/boxes/box-1/epochs" => {
            (200, json!({"box": "box-1", "ended": 1, "epoch": 2, "cursor": {"epoch": 2, "seq": 0, "head": "00"}}))
        }
        "/v1/boxes/box-1/journal" => (200, json!({"cursor": {"epoch": 1, "seq": 0, "head": GENESIS}})),
        _ => (500, json!({"code": "internal"})),
    })
    .await;
    rig.until(|asked, _| asked.get("/v1/boxes/box-1/journal") >= Some(&2)).await;
    let why = EpochReason::Fenced;
    assert!(matches!(&rig.told[0], CloudNews::Doubted { why: EpochReason::Fenced, .. }), "{:?}", rig.told);
    assert_eq!(rig.told[1], CloudNews::EpochGiven { from: 1, epoch: 2, why });
}

#[tokio::test]
async fn what_another_key_has_signed_is_not_believed() {
    let forged = |path: &str, _: u32| match path {
        "/v1/boxes/box-1/hello" => (
            200,
            json!({"verdict": "ok", "epoch": 1, "lease": null, "recalls": [], "wants": null,
                                         "cursor": {"epoch": 1, "seq": 0, "head": GENESIS}, "signature": FALSE}),
        ),
        "/v1/boxes/box-1/grants" => (
            200,
            json!({"grants": [{"grant": "G-1", "points": 500, "lot": {},
                                                     "signature": FALSE}]}),
        ),
        _ => (500, json!({"code": "internal"})),
    };
    let mut rig = Rig::start(forged).await;
    rig.until(|asked, _| {
        asked.get("/v1/boxes/box-1/hello") >= Some(&3) && asked.get("/v1/boxes/box-1/grants") >= Some(&6)
    })
    .await;
    let only_refusals =
        |news: &CloudNews| matches!(news, CloudNews::Refusing { reason } if reason.contains("signature"));
    assert!(!rig.told.is_empty() && rig.told.iter().all(only_refusals), "{:?}", rig.told);
}

#[tokio::test]
async fn a_recall_and_a_lease_reach_the_loop() {
    let mut rig = Rig::start(|path, _| match path {
        "/v1/boxes/box-1/hello" => {
            let mut hello = ok(0);
            hello["recalls"] = json!(["G-7"]);
            hello["lease"] = json!({"length_ms": 1000, "server_ms": 1_772_000_000_000_i64});
            (200, hello)
        }
        _ => (500, json!({"code": "internal"})),
    })
    .await;
    rig.until(|_, told| told.len() >= 2).await;
    let leased = CloudNews::Leased { server_ms: UtcMs(1_772_000_000_000), length_ms: 1000 };
    assert_eq!(rig.told[..2], [leased, CloudNews::Recalled { grant: "G-7".into() }]);
}

fn granted(told: &[CloudNews]) -> Vec<i64> {
    let points = |news: &CloudNews| {
        let text = serde_json::to_value(news).expect("JSON");
        let grants = text.get("grants")?.as_array()?.clone();
        Some(grants.iter().filter_map(|given| given["points"].as_i64()).sum())
    };
    told.iter().filter_map(points).collect()
}

/// printf 'gatepost-journal-v1\nbox-1\n1' | sha256sum
const GENESIS: &str = "306cc5aa2423f3bb31cd844198c92fb8e5ab8715ef3dc7cae7c6978a2855ef0a";
/// A signature of nobody.
const FALSE: &str = "AAAA";

/// The ledger holds so many entries and has nothing against the journal.
fn ok(seq: u64) -> Value {
    json!({"verdict": "ok", "epoch": 1, "lease": null, "recalls": [], "wants": null,
           "cursor": {"epoch": 1, "seq": seq, "head": GENESIS}})
}

type Asked = BTreeMap<String, u32>;

/// The real sync with a ledger of three entries and three open requests, a loop that only listens, and a cloud that
/// signs what it says.
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
        let (counted, ledger) = (Arc::clone(&asked), Arc::new(Ledger::new(dir.path())));
        let app = Router::new().fallback(move |uri: Uri, body: Bytes| {
            let (counted, answer, ledger) = (Arc::clone(&counted), answer.clone(), Arc::clone(&ledger));
            async move {
                let n = {
                    let mut counted = counted.lock().unwrap_or_else(PoisonError::into_inner);
                    let n = counted.entry(uri.path().to_owned()).or_default();
                    *n += 1;
                    *n
                };
                let (status, body) = ledger.answer(uri.path(), &body, |path| answer(path, n));
                (StatusCode::from_u16(status).expect("a status"), Json(body))
            }
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/", listener.local_addr().expect("an address"));
        tokio::spawn(async move { axum::serve(listener, app).await });
        let (inputs_in, inputs) = mpsc::channel(64);
        let is_up = Arc::new(AtomicBool::new(false));
        let settings = Settings {
            cloud: CloudConfig { url, token_file, key_file: None, ledger_key: None, retry_max_s: 0 },
            box_id: "box-1".to_owned(),
            key_file: dir.path().join("box.key"),
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

/// A ledger's key and what it signs, written from the page and not from the code.
struct Ledger {
    key: Identity,
}

impl Ledger {
    fn new(folder: &std::path::Path) -> Self {
        Self { key: Identity::open(&folder.join("ledger.key")).expect("a key") }
    }

    fn answer(&self, path: &str, body: &[u8], answer: impl Fn(&str) -> (u16, Value)) -> (u16, Value) {
        let body = zstd::decode_all(body).unwrap_or_else(|_| body.to_vec());
        let request: Value = serde_json::from_slice(&body).unwrap_or_default();
        let text = |value: &Value| match value.as_str() {
            Some(text) => text.to_owned(),
            None if value.is_null() => "-".to_owned(),
            None => value.to_string(),
        };
        let sign = |lines: Vec<String>| Value::from(self.key.sign(&lines.join("\n")));
        if path.ends_with("/enrol") {
            let key = text(&request["public_key"]);
            let lines = ["gatepost-enrol-v1", "box-1", &key, "1", "1", "0", GENESIS].map(str::to_owned);
            let cursor = json!({"epoch": 1, "seq": 0, "head": GENESIS});
            let mut enrolled = json!({"box": "box-1", "epoch": 1, "cursor": cursor});
            enrolled["ledger_key"] = self.key.public_key().into();
            enrolled["signature"] = sign(lines.to_vec());
            return (200, enrolled);
        }
        let (status, mut said) = answer(path);
        let of = |value: &Value, names: &[&str]| names.iter().map(|name| text(&value[name])).collect::<Vec<_>>();
        let cursor = of(&said["cursor"], &["epoch", "seq", "head"]);
        let first = |name: &str| vec![format!("gatepost-{name}-v1"), "box-1".to_owned()];
        let lines = if path.ends_with("/hello") {
            let recalls: Vec<String> = said["recalls"].as_array().into_iter().flatten().map(text).collect();
            let lease = of(&said["lease"], &["length_ms", "server_ms"]);
            let end = vec![recalls.join(","), text(&said["wants"]["epoch"])];
            [
                first("hello"),
                of(&request, &["epoch", "seq", "head"]),
                of(&said, &["verdict", "epoch"]),
                cursor,
                lease,
                end,
            ]
            .concat()
        } else if path.ends_with("/epochs") {
            [first("epoch"), of(&said, &["ended", "epoch"]), cursor].concat()
        } else {
            [first("cursor"), cursor].concat()
        };
        if said.get("signature").is_none() && said.is_object() {
            said["signature"] = sign(lines);
        }
        for given in said["grants"].as_array_mut().into_iter().flatten().filter(|given| given["signature"].is_null()) {
            let asked = of(&request, &["epoch", "request", "member"]);
            let mut lines =
                [first("grant"), asked, of(given, &["grant", "points"]), of(&given["lot"], &["id"])].concat();
            lines.extend(["", "", "", "-", "-", "-", "", ""].map(str::to_owned));
            given["signature"] = sign(lines);
        }
        (status, said)
    }
}

/// Three members drive in, so that three grants are wanted.
fn fill(path: &std::path::Path) {
    let mut store = Store::open(path, "box-1").expect("a ledger");
    let rules = include_str!("../../systemd/rules.toml");
    activate_rules(&mut store, rules, &Clock::new(None)).expect("rules");
    let lane = LaneSettings { passed_by: PassedBy::Timeout, ..LaneSettings::plain(Direction::Entry) };
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
            home: None,
            privileges: Default::default(),
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
            told: Default::default(),
            earlier: Vec::new(),
        };
        let now = Now { uptime_ms: 0, utc: read.captured, trusted: true };
        let fed = CloudNews::Fed { changes: vec![FeedChange::Member { member }], next: 0 };
        core.step(Input::Cloud(fed), now).expect("a member");
        core.step(Input::PlateRead(read), now).expect("an entry");
    }
    core.commit().expect("a commit");
}
