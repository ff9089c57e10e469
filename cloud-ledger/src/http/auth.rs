//! Who asks: the administrator by a token, a box by its signature, and how a body is read.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::ensure;
use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::{StatusCode, header, request::Parts};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::problem::Problem;
use super::{BOX_CHARS_MAX, Desk, UPLOAD_BYTES_MAX};
use crate::ledger::check_name;
use crate::sign::{PublicKey, request_text};

/// How long a body may take to arrive, so that a dead line does not keep its connection.
const BODY_WAIT: Duration = Duration::from_secs(30);

/// The largest window of a compressed body, as a power of two: twice the largest body, so that no sender is refused,
/// and no body makes the ledger take more memory.
const WINDOW_LOG_MAX: u32 = 23;

/// Who may ask with a token: the administrator, and each box that enrols. Kept as hashes, so that finding one takes
/// the same time for every wrong token, and nothing readable stays in memory.
pub struct Tokens {
    admin: Fingerprint,
    boxes: BTreeMap<Fingerprint, String>,
}

/// The SHA-256 of a token.
pub type Fingerprint = [u8; 32];

impl Tokens {
    /// The administrator's token, and each box's name with its token. No two may be the same.
    pub fn new(admin: &str, boxes: impl IntoIterator<Item = (String, String)>) -> anyhow::Result<Self> {
        ensure!(!admin.is_empty(), "the administrator's token is empty");
        let mut tokens = Self { admin: fingerprint(admin), boxes: BTreeMap::new() };
        for (name, token) in boxes {
            let is_short = name.chars().count() <= BOX_CHARS_MAX;
            let is_name = is_short && check_name("box", &name).is_ok() && !name.contains(['/', '%', '?', '#', ',']);
            ensure!(is_name, "'{name}' cannot be a box's name");
            ensure!(!token.is_empty(), "the token of box '{name}' is empty");
            ensure!(!tokens.boxes.values().any(|known| *known == name), "box '{name}' is named twice");
            let token = fingerprint(&token);
            ensure!(token != tokens.admin, "box '{name}' has the administrator's token");
            let before = tokens.boxes.insert(token, name.clone());
            ensure!(before.is_none(), "box '{name}' has the token of box '{}'", before.unwrap_or_default());
        }
        Ok(tokens)
    }
}

/// Keys that were looked up. What a key opens never changes for an epoch that has begun, so nothing here grows stale.
#[derive(Default)]
pub struct Keys(Mutex<BTreeMap<(String, u32), PublicKey>>);

/// How many keys are remembered; beyond that all are looked up anew.
const KEYS_MAX: usize = 10_000;

impl Keys {
    fn known(&self, box_name: &str, epoch: u32) -> Option<PublicKey> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&(box_name.to_owned(), epoch)).copied()
    }

    fn remember(&self, box_name: &str, epoch: u32, key: PublicKey) {
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.len() >= KEYS_MAX {
            keys.clear();
        }
        keys.insert((box_name.to_owned(), epoch), key);
    }
}

/// A box that asks, with the body that it signed.
pub struct Signed<T> {
    /// Who.
    pub caller: Caller,
    /// What.
    pub body: T,
}

/// A box that asks for a page.
pub struct Caller {
    /// Its name.
    pub name: String,
    /// The epoch that it believes to be in and the key that opens it; none where it has only a token.
    pub signer: Option<(u32, PublicKey)>,
}

/// A box or the administrator.
pub enum Reader {
    /// The administrator.
    Admin,
    /// The box.
    Box(Caller),
}

/// The caller has this token, which is the enrolment token of the box that the path names.
pub struct Enrolling {
    /// The box.
    pub name: String,
    /// Its token.
    pub token: Fingerprint,
}

/// The caller is the administrator.
pub struct Admin;

/// A JSON body, whatever the caller says its type is; what is wrong with it names the field.
pub struct Body<T>(pub T);

/// The part of an address after the question mark.
pub struct Page<T>(pub T);

impl<T: DeserializeOwned> FromRequest<Arc<Desk>> for Signed<T> {
    type Rejection = Response;

    async fn from_request(request: Request, desk: &Arc<Desk>) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let name = named_box(&mut parts, desk).await?;
        // Nobody without a token or a known box makes the ledger read a body.
        desk.expect_somebody(&parts, &name).map_err(IntoResponse::into_response)?;
        let encoding = parts.headers.get(header::CONTENT_ENCODING).cloned();
        let bytes = read(Request::from_parts(parts.clone(), body), desk).await?;
        let caller = desk.authenticate(&parts, &name, &bytes).await.map_err(IntoResponse::into_response)?;
        let bytes = match encoding.as_ref().map(|encoding| encoding.as_bytes()) {
            None | Some(b"identity") => bytes,
            Some(b"zstd") => inflate(&bytes).map_err(IntoResponse::into_response)?,
            Some(_) => {
                let wrong = "content-encoding: allowed is zstd, or none";
                return Err(Problem::bad_request(wrong).into_response());
            }
        };
        Ok(Self { caller, body: parse(&bytes).map_err(IntoResponse::into_response)? })
    }
}

impl FromRequestParts<Arc<Desk>> for Reader {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, desk: &Arc<Desk>) -> Result<Self, Response> {
        if bearer(parts) == Some(desk.tokens.admin) {
            return Ok(Self::Admin);
        }
        let name = match named_box(parts, desk).await {
            Ok(name) => name,
            // The feed's path names no box; the header or the token does.
            Err(_) => match said(parts, "gatepost-box") {
                Some(name) => name.to_owned(),
                None => bearer(parts).and_then(|token| desk.tokens.boxes.get(&token)).cloned().unwrap_or_default(),
            },
        };
        Ok(Self::Box(desk.authenticate(parts, &name, &[]).await.map_err(IntoResponse::into_response)?))
    }
}

impl FromRequestParts<Arc<Desk>> for Enrolling {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, desk: &Arc<Desk>) -> Result<Self, Response> {
        let name = named_box(parts, desk).await?;
        match bearer(parts) {
            Some(token) if desk.tokens.boxes.get(&token) == Some(&name) => Ok(Self { name, token }),
            Some(_) | None => Err(Problem::unauthorised("the token is not the one of this box").into_response()),
        }
    }
}

impl FromRequestParts<Arc<Desk>> for Admin {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, desk: &Arc<Desk>) -> Result<Self, Problem> {
        if bearer(parts) == Some(desk.tokens.admin) {
            return Ok(Self);
        }
        Err(Problem::unauthorised("the token is not the administrator's"))
    }
}

impl<T: DeserializeOwned> FromRequest<Arc<Desk>> for Body<T> {
    type Rejection = Response;

    async fn from_request(request: Request, desk: &Arc<Desk>) -> Result<Self, Response> {
        let bytes = read(request, desk).await?;
        parse(&bytes).map(Self).map_err(IntoResponse::into_response)
    }
}

impl<T: DeserializeOwned> FromRequestParts<Arc<Desk>> for Page<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, desk: &Arc<Desk>) -> Result<Self, Problem> {
        match Query::from_request_parts(parts, desk).await {
            Ok(Query(page)) => Ok(Self(page)),
            Err(wrong) => Err(Problem::bad_request(&wrong.body_text())),
        }
    }
}

impl Desk {
    /// Refuses whoever brings neither the box's token nor a signature that names the box.
    fn expect_somebody(&self, parts: &Parts, name: &str) -> Result<(), Problem> {
        let has_token = bearer(parts).and_then(|token| self.tokens.boxes.get(&token)).is_some_and(|of| of == name);
        if has_token || said(parts, "gatepost-box") == Some(name) {
            return Ok(());
        }
        Err(Problem::unauthorised("neither the token nor a signature of this box"))
    }

    /// Who asks, with this body, for something of the box `name`.
    async fn authenticate(self: &Arc<Self>, parts: &Parts, name: &str, body: &[u8]) -> Result<Caller, Problem> {
        self.expect_somebody(parts, name)?;
        let name = name.to_owned();
        let Some(signature) = said(parts, "gatepost-signature") else {
            let has_key = name.clone();
            return match self.ask(move |ledger| ledger.has_key(&has_key)).await? {
                false => Ok(Caller { name, signer: None }),
                true => Err(Problem::unauthorised("this box has a key: its token opens only the enrolment")),
            };
        };
        let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
        let said_epoch = said(parts, "gatepost-epoch").unwrap_or_default();
        let epoch: u32 = said_epoch.parse().map_err(|_| Problem::unauthorised("gatepost-epoch: is not an epoch"))?;
        let text = request_text(parts.method.as_str(), target, &name, said_epoch, body);
        let key = self.key(&name, epoch).await?;
        match key {
            Some(key) if key.has_signed(&text, signature) => Ok(Caller { name, signer: Some((epoch, key)) }),
            Some(_) => Err(Problem::unauthorised("the signature is not one of this box over this request")),
            None => Err(Problem::unauthorised("this box has not enrolled a key for this epoch")),
        }
    }

    async fn key(self: &Arc<Self>, name: &str, epoch: u32) -> Result<Option<PublicKey>, Problem> {
        if let Some(key) = self.keys.known(name, epoch) {
            return Ok(Some(key));
        }
        let of = name.to_owned();
        let (key, is_final) = self.ask(move |ledger| ledger.key_and_age(&of, epoch)).await?;
        if let (Some(key), true) = (key, is_final) {
            self.keys.remember(name, epoch, key);
        }
        Ok(key)
    }
}

async fn named_box(parts: &mut Parts, desk: &Arc<Desk>) -> Result<String, Response> {
    let Path(name) = Path::<String>::from_request_parts(parts, desk).await.map_err(IntoResponse::into_response)?;
    Ok(name)
}

fn said<'a>(parts: &'a Parts, header: &str) -> Option<&'a str> {
    parts.headers.get(header)?.to_str().ok()
}

fn bearer(parts: &Parts) -> Option<Fingerprint> {
    let (scheme, token) = parts.headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| fingerprint(token.trim()))
}

fn fingerprint(token: &str) -> Fingerprint {
    Sha256::digest(token).into()
}

async fn read(request: Request, desk: &Arc<Desk>) -> Result<Bytes, Response> {
    let arriving = tokio::time::timeout(BODY_WAIT, Bytes::from_request(request, desk)).await;
    let late = |_| Problem::new(StatusCode::REQUEST_TIMEOUT, "too-slow", "the body did not arrive in time");
    arriving.map_err(late).map_err(IntoResponse::into_response)?.map_err(IntoResponse::into_response)
}

/// What was compressed, no more of it than an upload may have.
fn inflate(bytes: &[u8]) -> Result<Bytes, Problem> {
    let broken = |error: std::io::Error| Problem::bad_request(&format!("the body is not zstd: {error}"));
    let mut decoder = zstd::stream::read::Decoder::with_buffer(bytes).map_err(broken)?;
    decoder.window_log_max(WINDOW_LOG_MAX).map_err(broken)?;
    let mut plain = Vec::new();
    decoder.take(UPLOAD_BYTES_MAX as u64 + 1).read_to_end(&mut plain).map_err(broken)?;
    if plain.len() > UPLOAD_BYTES_MAX {
        let why = "the body is larger than this address takes";
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", why));
    }
    Ok(plain.into())
}

fn parse<T: DeserializeOwned>(bytes: &Bytes) -> Result<T, Problem> {
    match Json::from_bytes(bytes) {
        Ok(Json(body)) => Ok(body),
        Err(wrong) => {
            let text = wrong.body_text();
            let detail = text.strip_prefix("Failed to deserialize the JSON body into the target type: ");
            Err(Problem::bad_request(detail.unwrap_or(&text)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_that_would_open_two_doors_are_refused() {
        let tokens = |boxes: &[(&str, &str)]| {
            Tokens::new("a", boxes.iter().map(|(name, token)| ((*name).to_owned(), (*token).to_owned()))).is_ok()
        };
        assert!(tokens(&[("demo-1", "b"), ("demo-2", "c")]));
        assert!(!tokens(&[("demo-1", "a")]));
        assert!(!tokens(&[("demo-1", "b"), ("demo-2", "b")]));
        assert!(!tokens(&[(&"d".repeat(BOX_CHARS_MAX + 1), "b")]));
        assert!(Tokens::new("", []).is_err());
    }
}
