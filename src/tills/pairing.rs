//! A till is let in without anybody typing a secret: it shows eight digits, staff type them at the box, it gets a token.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use ring::rand::{SecureRandom, SystemRandom};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::Tills;
use super::access::{Secret, Terminal, bearer};
use super::body::Body;
use super::problem::{Code, Problem};
use crate::domain::event::{Input, Pairing, TerminalId};

/// How long a code may wait for staff.
const CODE_LIFETIME: Duration = Duration::from_secs(10 * 60);
/// How many codes may wait at once: a mall that is being fitted out, and a bound for whoever asks without end.
const MOST_WAITING: usize = 64;
/// Longest name of a terminal or a merchant.
const MOST_NAME_CHARS: usize = 40;

/// The codes that wait for staff, by the name under which the till asks for its token.
#[derive(Default)]
pub(super) struct Waiting {
    codes: BTreeMap<String, Code8>,
}

/// A till that shows a code.
struct Code8 {
    code: String,
    secret: Secret,
    since: Instant,
    let_in: Option<(TerminalId, String)>,
}

/// `POST /pairings`: a till that nobody knows yet asks to be let in.
pub(super) async fn begin(State(tills): State<Arc<Tills>>) -> Result<Json<Value>, Problem> {
    let mut waiting = tills.waiting.lock().unwrap_or_else(PoisonError::into_inner);
    let now = Instant::now();
    waiting.codes.retain(|_, code| now.duration_since(code.since) < CODE_LIFETIME);
    if waiting.codes.len() >= MOST_WAITING {
        return Err(Problem::new(Code::TooManyRequests, "too many tills wait to be let in; try again in some minutes"));
    }
    let (pairing, secret) = (random_hex(8)?, random_hex(16)?);
    let mut code = eight_digits()?;
    while waiting.codes.values().any(|other| other.code == code) {
        code = eight_digits()?;
    }
    let answer = json!({"pairing": pairing, "secret": secret, "code": code, "expires_in_s": CODE_LIFETIME.as_secs()});
    waiting.codes.insert(pairing, Code8 { code, secret: secret.as_str().into(), since: now, let_in: None });
    Ok(Json(answer))
}

/// `GET /pairings/{pairing}`: whether staff have let it in, and its token. It may be asked again where the answer was
/// lost, as long as the code lives.
pub(super) async fn poll(
    State(tills): State<Arc<Tills>>,
    Path(pairing): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Problem> {
    let waiting = tills.waiting.lock().unwrap_or_else(PoisonError::into_inner);
    let unknown = || Problem::new(Code::PairingUnknown, "no such pairing, or its time is over; begin again");
    let code = waiting.codes.get(&pairing).filter(|code| code.since.elapsed() < CODE_LIFETIME).ok_or_else(unknown)?;
    if !bearer(&headers).is_some_and(|secret| code.secret.is(secret)) {
        return Err(unknown());
    }
    Ok(Json(match &code.let_in {
        None => json!({"status": "waiting"}),
        Some((terminal, token)) => json!({"status": "approved", "terminal": terminal, "token": token}),
    }))
}

/// `POST /staff/pairings`: staff have compared the eight digits and say which till it is.
pub(super) async fn let_in(
    State(tills): State<Arc<Tills>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Value>, Problem> {
    let body = Body::parse(body, &["operator", "pin", "code", "terminal", "merchant"])?;
    let by = tills.operator(body.needed_text("operator", 64)?, body.needed_text("pin", 64)?)?;
    let code = body.needed_text("code", 16)?.replace([' ', '-'], "");
    let terminal = name(&body, "terminal")?;
    let terminal = TerminalId(terminal.ok_or_else(|| Problem::field("terminal", "missing; the till's name"))?);
    let merchant = name(&body, "merchant")?;
    let pairing = tills.waiting_for(&code)?;
    let token = random_hex(32)?;
    let change = Pairing {
        terminal: terminal.clone(),
        merchant,
        token_sha256: Some(hex::encode(Sha256::digest(token.as_bytes()))),
        by,
    };
    let answer = tills.change_terminal(change).await?;
    let mut waiting = tills.waiting.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(code) = waiting.codes.get_mut(&pairing) {
        code.let_in = Some((terminal, token));
    }
    Ok(answer)
}

/// `POST /staff/terminals/{terminal}/revocation`: a till that was stolen or sold asks no more, also one of the settings.
pub(super) async fn shut_out(
    State(tills): State<Arc<Tills>>,
    Path(terminal): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Value>, Problem> {
    let body = Body::parse(body, &["operator", "pin"])?;
    let by = tills.operator(body.needed_text("operator", 64)?, body.needed_text("pin", 64)?)?;
    let terminal = TerminalId(terminal);
    if !tills.knows(&terminal).await? {
        return Err(Problem::field("terminal", "no till of that name was ever let in"));
    }
    tills.change_terminal(Pairing { terminal, merchant: None, token_sha256: None, by }).await
}

impl Tills {
    /// The pairing that shows these eight digits.
    fn waiting_for(&self, code: &str) -> Result<String, Problem> {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lives = waiting.codes.iter().filter(|(_, code)| code.since.elapsed() < CODE_LIFETIME);
        let found = lives.find(|(_, waits)| waits.code == code && waits.let_in.is_none());
        let unknown = || Problem::new(Code::PairingUnknown, "code: no till shows these eight digits now");
        found.map(|(pairing, _)| pairing.clone()).ok_or_else(unknown)
    }

    async fn change_terminal(&self, change: Pairing) -> Result<Json<Value>, Problem> {
        self.paired().await?;
        let late = "the box has not answered yet; look whether the till may ask before you do it again";
        let answer = self.decided(Input::TerminalChanged(change.clone()), late).await?;
        let paired = self.paired().await?;
        paired.lock().unwrap_or_else(PoisonError::into_inner).insert(change.terminal.clone(), change);
        Ok(answer)
    }

    async fn knows(&self, terminal: &TerminalId) -> Result<bool, Problem> {
        let is_paired = self.paired().await?.lock().unwrap_or_else(PoisonError::into_inner).contains_key(terminal);
        Ok(is_paired || self.settings.terminals.iter().any(|known: &Terminal| known.id == *terminal))
    }
}

/// A name of letters, digits, hyphens and underscores.
fn name(body: &Body, field: &str) -> Result<Option<String>, Problem> {
    let Some(text) = body.text(field, MOST_NAME_CHARS)? else { return Ok(None) };
    if !text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')) {
        let allowed = format!("1 to {MOST_NAME_CHARS} letters, digits, hyphens and underscores are allowed");
        return Err(Problem::field(field, allowed));
    }
    Ok(Some(text.to_owned()))
}

fn random_hex(bytes: usize) -> Result<String, Problem> {
    let mut random = vec![0; bytes];
    fill(&mut random)?;
    Ok(hex::encode(random))
}

/// Eight digits, each equally likely as far as 64 bits allow.
fn eight_digits() -> Result<String, Problem> {
    let mut random = [0; 8];
    fill(&mut random)?;
    Ok(format!("{:08}", u64::from_le_bytes(random) % 100_000_000))
}

fn fill(bytes: &mut [u8]) -> Result<(), Problem> {
    SystemRandom::new().fill(bytes).map_err(|_| Problem::new(Code::Internal, "the system gave no random numbers"))
}
