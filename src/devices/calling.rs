//! Asking devices over HTTP, with the login that they want: a command goes out once and its answer is told; a stream of
//! events is opened.

use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hyper::body::Bytes;
use tokio::sync::{Mutex, MutexGuard as Turn};
use tokio::time::timeout;

use super::digest::Challenge;
use super::login::Login;
use super::order::{Order, Outcome};
use super::planning::{CallPlan, HttpDevice};
use crate::metrics::{Metrics, Trouble};
use crate::profile::http::{Call, HttpCodec, PictureCall};
use crate::profile::language::http::Login as Kind;

/// The most that is read of an answer; a status document has a few hundred bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// What is connected no earlier is not there. Shorter than commands wait, so that one that never left is known from one
/// whose answer is missing.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// How long a request waits for those before it. Later, another vehicle could stand there.
const TURN_WITHIN: Duration = Duration::from_secs(5);
/// How long a raise waits for the one request that is under way, so that proofs reach the device in the order of their
/// numbers. Later that one has long been sent, or the device is not there.
const RAISE_WAITS: Duration = Duration::from_millis(300);

/// One device that is asked.
pub struct Caller {
    device: String,
    codec: HttpCodec,
    plan: CallPlan,
    client: reqwest::Client,
    /// Not held while an answer is waited for: a raise takes its next number.
    login: std::sync::Mutex<Login>,
    /// Held by all but raises while they wait for their turn and have it, so that no more than one is before a raise.
    line: Mutex<()>,
    /// Held by the request that is under way.
    turn: Mutex<()>,
    metrics: Arc<Metrics>,
}

/// Why there is no answer.
enum Failed {
    /// The request never left the box.
    NotSent(String),
    /// Nor did this one: the device does not accept the login.
    Barred(String),
    /// It went out, or may have.
    Lost(String),
}

impl Caller {
    /// A device at the address of the plan.
    pub fn new(device: &HttpDevice, plan: CallPlan, metrics: Arc<Metrics>) -> Result<Self, reqwest::Error> {
        // A redirect could take the password elsewhere, and a proxy has no business between the box and a camera.
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy();
        let client = client.connect_timeout(CONNECT_WITHIN).build()?;
        let (codec, device) = (device.codec.clone(), device.wiring.device.to_string());
        let login = std::sync::Mutex::new(Login::new(codec.login(), plan.credentials.clone()));
        Ok(Self { device, codec, plan, client, login, line: Mutex::default(), turn: Mutex::default(), metrics })
    }

    /// Sends a command, once. A request that went out and got no answer leaves the outcome unknown.
    pub async fn tell(&self, order: &Order) -> Outcome {
        let call = match self.codec.call(&order.command, &order.args) {
            Ok(call) => call,
            Err(error) => return Outcome::NotSent(error.to_string()),
        };
        let Ok(_turn) = timeout(TURN_WITHIN, self.turn(order.is_raise())).await else {
            return Outcome::not_sent("the device has not answered what it was asked before");
        };
        let began = Instant::now();
        let outcome = match timeout(Duration::from_millis(call.timeout_ms), self.told(order, &call)).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(Failed::Barred(why))) => return Outcome::NotSent(why),
            Ok(Err(Failed::NotSent(why))) => Outcome::NotSent(why),
            Ok(Err(Failed::Lost(why))) => Outcome::Silent(why),
            Err(_) => Outcome::silent("no answer in time"),
        };
        if !matches!(outcome, Outcome::NotSent(_)) {
            order.sent(&self.metrics, began);
        }
        if matches!(outcome, Outcome::Silent(_) | Outcome::NotSent(_)) {
            self.metrics.health.fails(&self.device, Trouble::Silent);
        }
        outcome
    }

    /// Opens a stream of events: its content type, and the answer that never ends.
    pub async fn open(&self, path: &str, within: Duration) -> Result<(String, reqwest::Response), String> {
        let call = Call {
            method: "GET".to_owned(),
            path: path.to_owned(),
            content_type: String::new(),
            body: String::new(),
            timeout_ms: 0,
        };
        let asking = async {
            let _turn = self.turn(false).await;
            self.asked(&call, &Bytes::new(), false).await
        };
        let why = match timeout(within, asking).await {
            Ok(Ok(answer)) if answer.status().is_success() => {
                return Ok((header(&answer, reqwest::header::CONTENT_TYPE), answer));
            }
            Ok(Ok(answer)) => return Err(format!("status {}", answer.status().as_u16())),
            Ok(Err(Failed::Barred(why))) => return Err(why),
            Ok(Err(Failed::NotSent(why) | Failed::Lost(why))) => why,
            Err(_) => "no answer in time".to_owned(),
        };
        self.metrics.health.fails(&self.device, Trouble::Silent);
        Err(why)
    }

    /// Asks for a poll: its status, content type and body. Any answer shows that the device is there.
    pub async fn poll(&self, call: &Call) -> Result<(u16, String, Vec<u8>), String> {
        self.put(call, call.body.as_bytes().to_vec()).await
    }

    /// Hands in a picture, and returns the answer as for a poll.
    pub async fn look(&self, call: PictureCall) -> Result<(u16, String, Vec<u8>), String> {
        let PictureCall { path, content_type, body, timeout_ms } = call;
        let call = Call { method: "POST".to_owned(), path, content_type, body: String::new(), timeout_ms };
        self.put(&call, body).await
    }

    async fn put(&self, call: &Call, body: Vec<u8>) -> Result<(u16, String, Vec<u8>), String> {
        let asking = async {
            let mut answer = self.asked(call, &Bytes::from(body), false).await?;
            let head = (answer.status().as_u16(), header(&answer, reqwest::header::CONTENT_TYPE));
            Ok((head, self.body(&mut answer).await?))
        };
        let Ok(_turn) = timeout(TURN_WITHIN, self.turn(false)).await else {
            return Err("the device has not answered what it was asked before".to_owned());
        };
        let why = match timeout(Duration::from_millis(call.timeout_ms), asking).await {
            Ok(Ok(((status, content_type), body))) => return Ok((status, content_type, body)),
            Ok(Err(Failed::Barred(why))) => return Err(why),
            Ok(Err(Failed::NotSent(why) | Failed::Lost(why))) => why,
            Err(_) => "no answer in time".to_owned(),
        };
        self.metrics.health.fails(&self.device, Trouble::Silent);
        Err(why)
    }

    /// Until a request may go out: where there is a login one after the other, because the device wants its numbers in their
    /// order and locks an account that guesses. A raise comes first, and waits no longer than for the one under way.
    async fn turn(&self, is_raise: bool) -> Option<(Option<Turn<'_, ()>>, Option<Turn<'_, ()>>)> {
        match (self.codec.login(), is_raise) {
            (Kind::None, _) | (Kind::Basic, true) => None,
            (Kind::Digest, true) => Some((timeout(RAISE_WAITS, self.turn.lock()).await.ok(), None)),
            (Kind::Basic | Kind::Digest, false) => {
                let line = self.line.lock().await;
                // The first one is let go first, so that a raise has it before the next of the line.
                Some((Some(self.turn.lock().await), Some(line)))
            }
        }
    }

    async fn told(&self, order: &Order, call: &Call) -> Result<Outcome, Failed> {
        let body = Bytes::from(call.body.clone());
        let mut answer = self.asked(call, &body, order.is_raise()).await?;
        let (status, content_type) = (answer.status().as_u16(), header(&answer, reqwest::header::CONTENT_TYPE));
        let body = self.body(&mut answer).await?;
        Ok(self.codec.answered(&order.command, status, &content_type, &body).into())
    }

    async fn body(&self, answer: &mut reqwest::Response) -> Result<Vec<u8>, Failed> {
        let mut body = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(|error| Failed::Lost(error.to_string()))? {
            body.extend_from_slice(&piece);
            if body.len() > ANSWER_BYTES_MAX {
                self.metrics.rejected("devices", "answer-too-long");
                return Err(Failed::Lost("the device's answer is too long".to_owned()));
            }
        }
        Ok(body)
    }

    /// A 401 did nothing at the device, so the same request may go out once more with another proof.
    async fn asked(&self, call: &Call, body: &Bytes, is_raise: bool) -> Result<reqwest::Response, Failed> {
        let tries = self.login().tries(is_raise, Instant::now());
        let mut tries = tries.map_err(|why| {
            self.metrics.health.fails(&self.device, Trouble::Login);
            Failed::Barred(why)
        })?;
        loop {
            let proof = self.login().proof(call);
            let was_proven = proof.is_some();
            let answer = self.send(call, body, proof).await?;
            if answer.status().as_u16() != 401 {
                self.login().taken();
                self.metrics.health.heard(&self.device);
                return Ok(answer);
            }
            let headers = answer.headers().get_all(reqwest::header::WWW_AUTHENTICATE);
            let headers: Vec<_> = headers.iter().map(|header| String::from_utf8_lossy(header.as_bytes())).collect();
            let challenge = Challenge::best(headers.iter().map(AsRef::as_ref));
            tries -= 1;
            if !self.login().refused(challenge, was_proven) || tries == 0 {
                self.refuses();
                return Ok(answer);
            }
        }
    }

    fn refuses(&self) {
        let now = Instant::now();
        let mut login = self.login();
        if login.gives_up(now) {
            self.metrics.rejected("devices", "login-refused");
        }
        if login.is_paused(now) {
            self.metrics.health.fails(&self.device, Trouble::Login);
        }
    }

    async fn send(&self, call: &Call, body: &Bytes, login: Option<String>) -> Result<reqwest::Response, Failed> {
        let method = reqwest::Method::from_bytes(call.method.as_bytes());
        let method = method.map_err(|error| Failed::NotSent(error.to_string()))?;
        let mut request = self.client.request(method, format!("http://{}{}", self.plan.address, call.path));
        if let Some(login) = login {
            request = request.header(reqwest::header::AUTHORIZATION, login);
        }
        if !call.content_type.is_empty() {
            request = request.header(reqwest::header::CONTENT_TYPE, &call.content_type).body(body.clone());
        }
        request.send().await.map_err(|error| {
            let why = format!("the device was not reached: {error}");
            // Without a connection not a byte of it has left.
            if error.is_connect() || error.is_builder() { Failed::NotSent(why) } else { Failed::Lost(why) }
        })
    }

    /// A panic elsewhere costs at worst a challenge.
    fn login(&self) -> MutexGuard<'_, Login> {
        self.login.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn header(answer: &reqwest::Response, name: reqwest::header::HeaderName) -> String {
    answer.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}
