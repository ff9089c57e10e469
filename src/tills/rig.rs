//! A till, a guard and a loop for tests: the room behind a real socket, and decisions that each test chooses.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::problem::Code;
use super::{Operator, Pricing, Secret, Settings, StayPrice, Terminal, open};
use crate::domain::event::{BusinessDay, Fen, Input, PhotoKind, Points, Reply, StaffRefusal, StaffWish, UtcMs};
use crate::domain::plate::Plate;
use crate::domain::tariff::{Fee, FeeLine};
use crate::photos::{Intake, Photos, sample as photos};
use crate::site::{Envelope, Handle};
use crate::store::reader::sample::{NOON_MS, Sample};
/// The rig's clock stands after the last read of its waiting vehicle, as it does at a site.
const LATER_MS: i64 = 600_000;

/// What the loop of a test does with a till's commit.
#[derive(Clone, Copy)]
pub(super) enum Decide {
    Apply,
    Refuse(&'static str),
    Wait,
}

pub(super) struct Rig {
    pub(super) base: String,
    pub(super) client: Client,
    pub(super) sample: Arc<Mutex<Sample>>,
    pub(super) handle: Handle,
    pub(super) inputs: Arc<Mutex<Vec<Input>>>,
    pub(super) decide: Arc<Mutex<Decide>>,
    pub(super) held: mpsc::UnboundedReceiver<Envelope>,
    pub(super) rejected: Arc<Mutex<Vec<String>>>,
    pub(super) cloud_is_up: Arc<AtomicBool>,
    pub(super) photos: Photos,
    pub(super) intake: Intake,
    _pictures: tempfile::TempDir,
}

impl Rig {
    pub(super) async fn new() -> Self {
        Self::with(64, Duration::from_secs(10)).await
    }

    pub(super) async fn with(queue: usize, answer_timeout: Duration) -> Self {
        // Another test of this process may have been first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (inputs, mut queued) = mpsc::channel::<Envelope>(queue);
        let (hold, held) = mpsc::unbounded_channel();
        let sample = Sample::midday();
        let (rejected, cloud_is_up) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let told = rejected.clone();
        let pictures = tempfile::tempdir().expect("a folder");
        let (photos, intake, _) = photos::open(pictures.path());
        let settings = Settings {
            photos: photos.clone(),
            handle: Handle::new(inputs),
            reader: sample.reader(),
            terminals: vec![
                terminal("T1", "token-1"),
                terminal("T2", "token-2"),
                Terminal { merchant: Some("cafe".to_owned()), ..terminal("T3", "token-3") },
                Terminal { merchant: Some("desk".to_owned()), ..terminal("D1", "token-d") },
            ],
            operators: vec![operator("li", "8888"), operator("zhao", "6666")],
            lanes: vec!["E1".into(), "X1".into()],
            scanners: vec![scanner()],
            merchants: vec![merchant(), other_merchant(), desk()],
            pricing: pricing(),
            site: "Gatepost".to_owned(),
            zone: jiff::tz::TimeZone::fixed(jiff::tz::offset(8)),
            cloud_is_up: cloud_is_up.clone(),
            reject: Arc::new(move |code| told.lock().expect("the list").push(code.to_owned())),
            open_from: None,
            answer_timeout,
            most_requests_per_s: 100_000,
            read_rules: Arc::new(|| Ok("[bundle]".to_owned())),
            ticket_key: Secret::from("the box's own"),
            code_keys: crate::member_code::Keys::default(),
        };
        let handle = settings.handle.clone();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let base = format!("http://{}/api/v1/", listener.local_addr().expect("the address"));
        tokio::spawn(axum::serve(listener, open(settings, Vec::new())).into_future());
        let rig = Self {
            base,
            client: Client::new(),
            sample: Arc::new(Mutex::new(sample)),
            handle,
            inputs: Arc::default(),
            decide: Arc::new(Mutex::new(Decide::Apply)),
            held,
            rejected,
            cloud_is_up,
            photos,
            intake,
            _pictures: pictures,
        };
        let (sample, seen, decide) = (rig.sample.clone(), rig.inputs.clone(), rig.decide.clone());
        tokio::spawn(async move {
            while let Some(envelope) = queued.recv().await {
                seen.lock().expect("the list").push(envelope.input.clone());
                let decide = *decide.lock().expect("the choice");
                if matches!(decide, Decide::Wait) {
                    hold.send(envelope).expect("the test holds it");
                    // A loop that waits reads no more, so that the queue fills.
                    std::future::pending::<()>().await;
                } else {
                    answer(envelope, decide, &sample.lock().expect("the sample"));
                }
            }
        });
        rig
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    pub(super) fn till(&self, request: RequestBuilder) -> Sent<'_> {
        Sent { request: as_till(request, "T1", "token-1"), rig: self }
    }

    pub(super) fn till_post(&self, verb: &str, key: &str, body: &Value) -> Sent<'_> {
        self.till(self.client.post(self.url(verb)).header("Idempotency-Key", key).json(body))
    }

    pub(super) fn staff(&self, path: &str, body: &Value) -> Sent<'_> {
        Sent { request: self.client.post(self.url(&format!("staff/lanes/{path}"))).json(body), rig: self }
    }

    pub(super) async fn check(&self, request: RequestBuilder, code: &str, status: u16) {
        Sent { request, rig: self }.problem(code, status).await;
    }

    pub(super) async fn member_ref(&self) -> Value {
        self.till_post("member-lookups", "k", &json!({"code": "GPM1001"})).expect(200).await["member_ref"].clone()
    }

    /// A scene of an arrival, once it is kept: its name.
    pub(super) async fn pictured(&self, lane: &str, event: &str, scene: Vec<u8>) -> String {
        let mut changes = self.photos.changes();
        self.intake.desk().take(&photos::read(lane, event), vec![(PhotoKind::Scene, scene)]);
        let kept = async {
            loop {
                if let Some(name) = self.photos.of_arrival(&lane.into(), event).scene {
                    return name.to_string();
                }
                changes.changed().await.expect("the pictures are there");
            }
        };
        tokio::time::timeout(Duration::from_secs(20), kept).await.expect("the picture is kept in time")
    }

    pub(super) fn decide(&self, decide: Decide) {
        *self.decide.lock().expect("the choice") = decide;
    }

    pub(super) fn inputs(&self) -> Vec<Input> {
        self.inputs.lock().expect("the list").clone()
    }

    pub(super) fn sample<T>(&self, with: impl FnOnce(&Sample) -> T) -> T {
        with(&self.sample.lock().expect("the sample"))
    }

    pub(super) fn settle(&self, held: Envelope) {
        answer(held, Decide::Apply, &self.sample.lock().expect("the sample"));
    }

    pub(super) fn fill_queue(&self) {
        while self.handle.try_submit(Input::LaneDue { lane: "X1".into() }).is_ok() {}
    }
}

/// A request that is about to go.
pub(super) struct Sent<'a> {
    pub(super) request: RequestBuilder,
    pub(super) rig: &'a Rig,
}

impl Sent<'_> {
    pub(super) async fn send(self) -> reqwest::Result<reqwest::Response> {
        self.request.send().await
    }

    pub(super) async fn expect(self, status: u16) -> Value {
        let response = self.send().await.expect("an answer");
        let (found, text) = (response.status().as_u16(), response.text().await.expect("a text"));
        assert_eq!(found, status, "{text}");
        serde_json::from_str(&text).expect("JSON")
    }

    /// The request is refused as the table says, and the refusal is counted.
    pub(super) async fn problem(self, code: &str, status: u16) -> Value {
        let rejected = self.rig.rejected.clone();
        let response = self.send().await.expect("an answer");
        let (found, headers) = (response.status().as_u16(), response.headers().clone());
        let problem: Value = response.json().await.expect("JSON");
        assert_eq!((problem["code"].as_str(), found), (Some(code), status), "{problem}");
        assert_eq!(headers["content-type"], "application/problem+json");
        assert_eq!(problem["status"], status);
        for field in ["type", "title", "detail", "outcome"] {
            assert!(problem[field].as_str().is_some_and(|text| !text.is_empty()), "{field}: {problem}");
        }
        assert!(problem["retryable"].is_boolean(), "{problem}");
        assert!(problem["staff_text"]["zh"].is_string() && problem["staff_text"]["en"].is_string(), "{problem}");
        assert!(Code::named(code).is_some());
        assert_eq!(rejected.lock().expect("the list").last().map(String::as_str), Some(code));
        problem
    }
}

pub(super) fn as_till(request: RequestBuilder, id: &str, token: &str) -> RequestBuilder {
    request.header("Gatepost-Terminal", id).header("Authorization", format!("Bearer {token}"))
}

pub(super) fn sale(receipt: &str) -> Value {
    json!({"receipt_no": receipt, "sale_fen": 500, "tenders": [{"kind": "cash", "fen": 500}]})
}

pub(super) fn applied() -> Value {
    json!({"result": "applied", "transaction": "demo-1/1/10/0", "earned": 128, "spent": 50, "usable": 256,
        "stay": ["S1-2", 0]})
}

/// Decides as the loop would, with the answer in the ledger file before it is given.
fn answer(envelope: Envelope, decide: Decide, sample: &Sample) {
    let reply = match &envelope.input {
        Input::Till(commit) => {
            let stored = match decide {
                Decide::Apply | Decide::Wait => applied(),
                Decide::Refuse(code) => json!({"result": "refused", "code": code, "detail": "178 points are usable"}),
            };
            sample.operation(commit.terminal.as_str(), &commit.key, &commit.fingerprint, &stored);
            Reply::Till(serde_json::from_value(stored).expect("a till's answer"))
        }
        Input::Staff(act) => Reply::Staff(match &act.what {
            StaffWish::Settle { fen } if fen.0 != 800 => Err(StaffRefusal::AmountMismatch { due: Fen(800) }),
            StaffWish::IssueTicket => return answered(envelope, Reply::Ticket(Plate::of_ticket(7))),
            StaffWish::CorrectPlate { .. } => Err(StaffRefusal::NothingWaiting),
            StaffWish::ChooseStay { stay, .. } if stay.as_str() != "S1-7" => Err(StaffRefusal::NotPossible),
            StaffWish::Raise { .. }
            | StaffWish::Settle { .. }
            | StaffWish::ChooseStay { .. }
            | StaffWish::ShowTicket { .. }
            | StaffWish::ChargeWithoutEntry { .. } => Ok("raised".to_owned()),
        }),
        Input::Undo(_) => Reply::Staff(Ok("50 points are back".to_owned())),
        Input::RulesOffered { operator, .. } => {
            Reply::Staff(Ok(format!("by {}", operator.clone().unwrap_or_default())))
        }
        Input::Corrected(_) => Reply::Staff(Ok("put right".to_owned())),
        Input::Witnessed(_) => Reply::Done,
        Input::Emergency { .. } => Reply::Staff(Ok("every barrier is raised".to_owned())),
        Input::Started { .. }
        | Input::LaneEmergency { .. }
        | Input::PlateRead(_)
        | Input::VehicleFollowed(_)
        | Input::DayEnded(_)
        | Input::LoopChanged { .. }
        | Input::VehicleSeen { .. }
        | Input::BarrierAnswered { .. }
        | Input::BarrierMoved { .. }
        | Input::LimitSwitch(_)
        | Input::CardRead { .. }
        | Input::LaneDevice { .. }
        | Input::DeviceLost { .. }
        | Input::DeviceBack { .. }
        | Input::LaneDue { .. }
        | Input::LaneReconsidered { .. }
        | Input::ExperienceForgotten { .. }
        | Input::TillAct(_)
        | Input::TillHoldDue { .. }
        | Input::MemberShown(_)
        | Input::Office(_)
        | Input::TerminalChanged(_)
        | Input::DayClosing(_)
        | Input::Cloud(_) => panic!("no till or guard sent {:?}", envelope.input),
    };
    answered(envelope, reply);
}

fn answered(envelope: Envelope, reply: Reply) {
    // A till that hung up has no ear for it.
    let _ = envelope.reply.send(reply);
}

fn terminal(id: &str, token: &str) -> Terminal {
    Terminal { id: id.into(), token: token.into(), merchant: None }
}

fn merchant() -> super::Merchant {
    toml::from_str("id = 'cafe'\nname = 'Café'\npin = '2468'").expect("a merchant")
}

fn desk() -> super::Merchant {
    toml::from_str("id = 'desk'\nhears_arrivals = true").expect("a service desk")
}

/// Another shop, with a PIN of its own.
fn other_merchant() -> super::Merchant {
    toml::from_str("id = 'bar'\nname = 'Bar'\npin = '1357'").expect("a merchant")
}

fn scanner() -> super::Scanner {
    let scanner = "id = 's1'\ntoken = 'scan'\nterminal = 'T1'";
    toml::from_str(scanner).expect("a scanner")
}

fn operator(id: &str, pin: &str) -> Operator {
    Operator { id: id.to_owned(), pin: pin.into() }
}

fn shipped() -> crate::domain::rules::Rules {
    crate::domain::rules::Rules::parse(include_str!("../../systemd/rules.toml")).expect("the shipped rules")
}

/// One price for everything: ¥8.00 a stay, one point for a yuan spent, ten points pay a yuan.
fn pricing() -> Pricing {
    let line = FeeLine {
        rule: "unit-price".to_owned(),
        fen: Fen(800),
        zh: "2小时 × ¥4.00".to_owned(),
        en: "2 h × ¥4.00".to_owned(),
    };
    let price = StayPrice {
        fee: Fee { total: Fen(800), lines: vec![line], ..Fee::default() },
        due: Fen(800),
        points_needed: Points(80),
        points_cap: Fen(800),
        not_used: Vec::new(),
    };
    Pricing {
        now: Arc::new(|| UtcMs(NOON_MS + LATER_MS)),
        today: Arc::new(|| BusinessDay(20_513)),
        rules: Arc::new(|_| Some(Arc::new(shipped()))),
        quote: Arc::new(move |_, _, _, _| Some(price.clone())),
        earned: Arc::new(|basket| {
            let plain = Points(basket.fen.0 / 100);
            (Ok(crate::domain::benefit::SaleEarns { plain, ..Default::default() }), Some("P2".to_owned()))
        }),
        zones: Arc::new(|| vec!["vip".to_owned()]),
        gifts: Arc::new(Vec::new),
        sheet: Arc::new(|| vec![("金卡免费2小时".to_owned(), "Gold: 2 hours free".to_owned())]),
        worth: Arc::new(|points, most| Fen((points.0 * 10).min(most.0))),
    }
}
