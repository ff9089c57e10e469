//! Asking devices over HTTP, with the login that they want: a raise goes out once and its answer is told; a stream of
//! events is opened.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use tokio::sync::Mutex;

use super::Raise;
use super::digest::{Challenge, Credentials};
use super::planning::CallPlan;
use crate::domain::event::CommandAnswer;
use crate::metrics::Metrics;
use crate::profile::http::{Call, HttpCodec};
use crate::profile::language::RAISE;
use crate::profile::language::http::Login;

/// The most that is read of an answer; a status document has a few hundred bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// After two refusals of the login in a row nothing is asked for so long: devices lock an account that guesses.
const REFUSED_PAUSE: Duration = Duration::from_secs(60);

/// One device that is asked.
pub struct Caller {
    codec: HttpCodec,
    plan: CallPlan,
    client: reqwest::Client,
    state: Mutex<State>,
    metrics: Arc<Metrics>,
}

#[derive(Default)]
struct State {
    challenge: Option<Challenge>,
    refused_at: Option<Instant>,
}

impl Caller {
    /// A device at the address of the plan.
    pub fn new(codec: HttpCodec, plan: CallPlan, metrics: Arc<Metrics>) -> Result<Self, reqwest::Error> {
        // A redirect could take the password elsewhere, and a proxy has no business between the box and a camera.
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build()?;
        Ok(Self { codec, plan, client, state: Mutex::default(), metrics })
    }

    /// Sends the raise, once. A request that went out and got no answer leaves the outcome unknown.
    pub async fn raise(&self, raise: &Raise) -> CommandAnswer {
        let call = match self.codec.call(RAISE, &raise.args) {
            Ok(call) => call,
            Err(error) => return CommandAnswer::Silent(error.to_string()),
        };
        let within = Duration::from_millis(call.timeout_ms);
        match tokio::time::timeout(within, self.told(raise, &call)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(why)) => CommandAnswer::Silent(why),
            Err(_) => CommandAnswer::Silent("no answer in time".to_owned()),
        }
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
        let asking = self.asked(&call, path);
        let answer = tokio::time::timeout(within, asking).await.map_err(|_| "no answer in time".to_owned())??;
        if !answer.status().is_success() {
            return Err(format!("status {}", answer.status().as_u16()));
        }
        Ok((header(&answer, reqwest::header::CONTENT_TYPE), answer))
    }

    async fn told(&self, raise: &Raise, call: &Call) -> Result<CommandAnswer, String> {
        let sent = Instant::now();
        let mut answer = self.asked(call, raise.command.as_str()).await?;
        self.metrics.raise_sent(raise.lane.as_str(), raise.of_read, sent);
        let (status, content_type) = (answer.status().as_u16(), header(&answer, reqwest::header::CONTENT_TYPE));
        let mut body = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(|error| error.to_string())? {
            body.extend_from_slice(&piece);
            if body.len() > ANSWER_BYTES_MAX {
                return Err("the device's answer is too long".to_owned());
            }
        }
        Ok(match self.codec.answered(RAISE, status, &content_type, &body).taken {
            Ok(()) => CommandAnswer::Accepted,
            Err(words) => CommandAnswer::Refused(words),
        })
    }

    /// A 401 did nothing at the device, so the same request may go out once more with the login. `what` makes the login
    /// of each request another one.
    async fn asked(&self, call: &Call, what: &str) -> Result<reqwest::Response, String> {
        let mut state = self.state.lock().await;
        if state.refused_at.is_some_and(|at| at.elapsed() < REFUSED_PAUSE) {
            return Err("the device refused the login a moment ago; nothing is asked for a minute".to_owned());
        }
        for attempt in 0..2 {
            let login = self.login(&mut state, call, what);
            let answer = self.send(call, login).await?;
            if answer.status().as_u16() != 401 {
                return Ok(answer);
            }
            let challenge = header(&answer, reqwest::header::WWW_AUTHENTICATE);
            state.challenge = Challenge::read(&challenge);
            let may_try = attempt == 0 && state.challenge.is_some() && self.plan.credentials.is_some();
            if !may_try {
                state.refused_at = Some(Instant::now());
                self.metrics.rejected("devices", "login-refused");
                return Ok(answer);
            }
        }
        Err("the device refused the login".to_owned())
    }

    fn login(&self, state: &mut State, call: &Call, what: &str) -> Option<String> {
        let who: &Credentials = self.plan.credentials.as_ref()?;
        match self.codec.login() {
            Login::None => None,
            Login::Basic => Some(who.basic()),
            Login::Digest => {
                let challenge = state.challenge.as_mut()?;
                // Another for each request; the device wants it different, not secret.
                let cnonce = hex::encode(&Sha256::digest(format!("{what} {challenge:?}"))[..8]);
                Some(challenge.answer(who, &call.method, &call.path, &cnonce))
            }
        }
    }

    async fn send(&self, call: &Call, login: Option<String>) -> Result<reqwest::Response, String> {
        let method = reqwest::Method::from_bytes(call.method.as_bytes()).map_err(|error| error.to_string())?;
        let mut request = self.client.request(method, format!("http://{}{}", self.plan.address, call.path));
        if let Some(login) = login {
            request = request.header(reqwest::header::AUTHORIZATION, login);
        }
        if !call.content_type.is_empty() {
            request = request.header(reqwest::header::CONTENT_TYPE, &call.content_type).body(call.body.clone());
        }
        request.send().await.map_err(|error| format!("the device was not reached: {error}"))
    }
}

fn header(answer: &reqwest::Response, name: reqwest::header::HeaderName) -> String {
    answer.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}
