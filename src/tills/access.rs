//! Who may ask: tills show a token, staff a PIN, and nobody learns more from a wrong one.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::PoisonError;
use std::time::Duration;

use axum::http::{HeaderMap, header};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::Tills;
use super::problem::{Code, Problem};
use crate::domain::event::TerminalId;

/// Wrong PINs in a row before an operator has to wait: a PIN of four digits then takes days to guess.
const MOST_WRONG_PINS: u32 = 5;
/// How long an operator then waits.
const WRONG_PIN_PAUSE: Duration = Duration::from_secs(60);
/// Longest idempotency key.
const MOST_KEY_CHARS: usize = 128;

/// A till, `[[terminals]]` in the settings.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terminal {
    /// Its name.
    pub id: TerminalId,
    /// What it proves itself with.
    pub token: Secret,
    /// The shop where it stands.
    pub merchant: Option<String>,
}

/// A person who may act at a lane, `[[operators]]` in the settings.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Operator {
    /// The name that the journal will carry.
    pub id: String,
    /// The PIN.
    pub pin: Secret,
}

/// A text that is never printed and never compared in a time that tells something.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Whether `given` is the secret.
    pub fn is(&self, given: &str) -> bool {
        let (ours, theirs) = (Sha256::digest(self.0.as_bytes()), Sha256::digest(given.as_bytes()));
        ours.iter().zip(theirs.iter()).fold(0u8, |differences, (a, b)| differences | (a ^ b)) == 0
    }

    /// A name for `what` that only a holder of the secret could make.
    pub(super) fn name_for(&self, what: &str) -> String {
        let inner = Sha256::digest(format!("gatepost-name\n{}\n{what}", self.0));
        hex::encode(&Sha256::digest([self.0.as_bytes(), b"\n", &inner[..]].concat())[..16])
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Wrong PINs by operator; only operators of the settings are counted, so it cannot grow.
#[derive(Default)]
pub(super) struct Attempts {
    wrong: BTreeMap<String, (u32, Instant)>,
}

impl Tills {
    /// The till that asks.
    pub(super) fn terminal(&self, headers: &HeaderMap) -> Result<&Terminal, Problem> {
        let refused =
            || Problem::new(Code::TerminalRevoked, "Gatepost-Terminal and its Bearer token are not known here");
        let id = text_header(headers, "gatepost-terminal").ok_or_else(refused)?;
        let token = text_header(headers, header::AUTHORIZATION.as_str())
            .and_then(|value| value.strip_prefix("Bearer "))
            .ok_or_else(refused)?;
        let known = self.settings.terminals.iter().find(|terminal| terminal.id.as_str() == id);
        known.filter(|terminal| terminal.token.is(token)).ok_or_else(refused)
    }

    /// The operator, once the PIN is right.
    pub(super) fn operator(&self, id: &str, pin: &str) -> Result<String, Problem> {
        let refused = || Problem::new(Code::OperatorUnknown, "operator and pin do not belong together");
        let Some(known) = self.settings.operators.iter().find(|operator| operator.id == id) else {
            return Err(refused());
        };
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let (wrong, since) = attempts.wrong.get(id).copied().unwrap_or((0, now));
        let wrong = if now.duration_since(since) >= WRONG_PIN_PAUSE { 0 } else { wrong };
        if wrong >= MOST_WRONG_PINS {
            let detail = format!("{MOST_WRONG_PINS} wrong PINs in a row; wait {} s", WRONG_PIN_PAUSE.as_secs());
            return Err(Problem::new(Code::TooManyAttempts, detail));
        }
        if known.pin.is(pin) {
            attempts.wrong.remove(id);
            return Ok(known.id.clone());
        }
        attempts.wrong.insert(id.to_owned(), (wrong + 1, now));
        Err(refused())
    }
}

/// The idempotency key of a till's POST.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<&str, Problem> {
    let missing = || Problem::new(Code::IdempotencyKeyMissing, "the header Idempotency-Key is missing");
    let mut values = headers.get_all("idempotency-key").iter();
    let value = values.next().ok_or_else(missing)?;
    if values.next().is_some() {
        return Err(Problem::field("Idempotency-Key", "given twice; one is allowed"));
    }
    check_key(value.to_str().unwrap_or_default())
}

/// A key of 1 to 128 visible ASCII characters.
pub(super) fn check_key(key: &str) -> Result<&str, Problem> {
    let is_visible = key.bytes().all(|byte| byte.is_ascii_graphic());
    if key.is_empty() || key.len() > MOST_KEY_CHARS || !is_visible {
        let allowed = format!("1 to {MOST_KEY_CHARS} visible ASCII characters are allowed");
        return Err(Problem::field("Idempotency-Key", allowed));
    }
    Ok(key)
}

/// A header's text, where it is there once and readable.
pub(super) fn text_header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_printed() {
        let terminal = Terminal { id: "T1".into(), token: "s3cret".into(), merchant: None };
        let printed = format!("{terminal:?}");
        assert!(printed.contains("***") && !printed.contains("s3cret"), "{printed}");
    }

    #[test]
    fn a_secret_knows_itself() {
        let secret = Secret::from("8888");
        assert!(secret.is("8888"));
        assert!(!secret.is("8889") && !secret.is("888") && !secret.is(""));
    }

    #[test]
    fn a_key_is_visible_ascii() {
        assert!(check_key("A-17").is_ok() && check_key(&"k".repeat(128)).is_ok());
        for wrong in ["", "a b", "钥匙", "a\u{7f}", &"k".repeat(129)] {
            assert!(check_key(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn settings_refuse_a_key_that_nobody_knows() {
        let wrong = toml::from_str::<Operator>("id = \"li\"\npin = \"1\"\nrole = \"boss\"").expect_err("unknown key");
        assert!(wrong.to_string().contains("role"), "{wrong}");
    }
}
