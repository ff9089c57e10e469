//! Asking devices over HTTP: a raise goes out once, with the login that the device wants, and its answer is told.

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

/// What came back.
struct Answer {
    status: u16,
    content_type: String,
    body: Vec<u8>,
    challenge: Option<String>,
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
        match tokio::time::timeout(within, self.asked(raise, &call)).await {
            Ok(Ok(answer)) => match self.codec.answered(RAISE, answer.status, &answer.content_type, &answer.body).taken
            {
                Ok(()) => CommandAnswer::Accepted,
                Err(words) => CommandAnswer::Refused(words),
            },
            Ok(Err(why)) => CommandAnswer::Silent(why),
            Err(_) => CommandAnswer::Silent("no answer in time".to_owned()),
        }
    }

    /// A 401 did nothing at the device, so the same request may go out once more with the login.
    async fn asked(&self, raise: &Raise, call: &Call) -> Result<Answer, String> {
        let mut state = self.state.lock().await;
        if state.refused_at.is_some_and(|at| at.elapsed() < REFUSED_PAUSE) {
            return Err("the device refused the login a moment ago; nothing is asked for a minute".to_owned());
        }
        for attempt in 0..2 {
            let login = self.login(&mut state, raise, call);
            let sent = Instant::now();
            let answer = self.send(call, login).await?;
            if answer.status != 401 {
                self.metrics.raise_sent(raise.lane.as_str(), raise.of_read, sent);
                return Ok(answer);
            }
            state.challenge = answer.challenge.as_deref().and_then(Challenge::read);
            let may_try = attempt == 0 && state.challenge.is_some() && self.plan.credentials.is_some();
            if !may_try {
                state.refused_at = Some(Instant::now());
                self.metrics.rejected("devices", "login-refused");
                return Ok(answer);
            }
        }
        Err("the device refused the login".to_owned())
    }

    fn login(&self, state: &mut State, raise: &Raise, call: &Call) -> Option<String> {
        let who: &Credentials = self.plan.credentials.as_ref()?;
        match self.codec.login() {
            Login::None => None,
            Login::Basic => Some(who.basic()),
            Login::Digest => {
                let challenge = state.challenge.as_mut()?;
                // Another for each command; the device wants it different, not secret.
                let cnonce = hex::encode(&Sha256::digest(format!("{} {challenge:?}", raise.command))[..8]);
                Some(challenge.answer(who, &call.method, &call.path, &cnonce))
            }
        }
    }

    async fn send(&self, call: &Call, login: Option<String>) -> Result<Answer, String> {
        let method = reqwest::Method::from_bytes(call.method.as_bytes()).map_err(|error| error.to_string())?;
        let mut request = self.client.request(method, format!("http://{}{}", self.plan.address, call.path));
        if let Some(login) = login {
            request = request.header(reqwest::header::AUTHORIZATION, login);
        }
        if !call.content_type.is_empty() {
            request = request.header(reqwest::header::CONTENT_TYPE, &call.content_type).body(call.body.clone());
        }
        let mut answer = request.send().await.map_err(|error| format!("the device was not reached: {error}"))?;
        let header = |name: reqwest::header::HeaderName| {
            answer.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
        };
        let content_type = header(reqwest::header::CONTENT_TYPE);
        let challenge = Some(header(reqwest::header::WWW_AUTHENTICATE)).filter(|header| !header.is_empty());
        let status = answer.status().as_u16();
        let mut body = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(|error| error.to_string())? {
            body.extend_from_slice(&piece);
            if body.len() > ANSWER_BYTES_MAX {
                return Err("the device's answer is too long".to_owned());
            }
        }
        Ok(Answer { status, content_type, body, challenge })
    }
}
