//! Who may ask: tills show a token, staff a PIN, and nobody learns more from a wrong one.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::http::{HeaderMap, header};
use serde::{Deserialize, Deserializer};
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::Tills;
use super::problem::{Code, Problem};
use crate::domain::event::{Pairing, TerminalId};

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

/// A text that is never printed and never compared in a time that tells something; only its SHA-256 is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; 32]);

impl Secret {
    /// The secret whose SHA-256 in hex this is.
    pub(super) fn of_digest(digest: &str) -> Option<Self> {
        Some(Self(hex::decode(digest).ok()?.try_into().ok()?))
    }

    /// Whether `given` is the secret.
    pub fn is(&self, given: &str) -> bool {
        let theirs = Sha256::digest(given.as_bytes());
        self.0.iter().zip(theirs.iter()).fold(0u8, |differences, (a, b)| differences | (a ^ b)) == 0
    }

    /// A name for `what` that only a holder of the secret, or of its digest, could make.
    pub(super) fn name_for(&self, what: &str) -> String {
        let inner = Sha256::digest([b"gatepost-name\n", &self.0[..], b"\n", what.as_bytes()].concat());
        hex::encode(&Sha256::digest([&self.0[..], b"\n", &inner[..]].concat())[..16])
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        Ok(Self::from(String::deserialize(source)?.as_str()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// How fast each till asks. Only tills that have shown who they are are counted, so it cannot grow.
#[derive(Default)]
pub(super) struct Pace {
    /// How many requests of the last second are not worn off yet, in thousandths, and when that was.
    by_terminal: BTreeMap<TerminalId, (u64, Instant)>,
}

impl Pace {
    /// Counts one request and says whether it is within `most_per_s`.
    fn may_ask(&mut self, terminal: &TerminalId, most_per_s: u32, now: Instant) -> bool {
        let (level, since) = self.by_terminal.get(terminal).copied().unwrap_or((0, now));
        let passed = u64::try_from(now.duration_since(since).as_millis()).unwrap_or(u64::MAX);
        let level = level.saturating_sub(passed.saturating_mul(u64::from(most_per_s)));
        let is_within = level + 1000 <= u64::from(most_per_s) * 1000;
        self.by_terminal.insert(terminal.clone(), (if is_within { level + 1000 } else { level }, now));
        is_within
    }
}

/// Wrong PINs by operator or merchant; only those of the settings are counted, so it cannot grow.
#[derive(Default)]
pub(super) struct Attempts {
    wrong: BTreeMap<String, (u32, Instant)>,
}

impl Tills {
    /// The till that asks.
    pub(super) async fn terminal(&self, headers: &HeaderMap) -> Result<Terminal, Problem> {
        let refused =
            || Problem::new(Code::TerminalRevoked, "Gatepost-Terminal and its Bearer token are not known here");
        let id = text_header(headers, "gatepost-terminal").ok_or_else(refused)?;
        self.terminal_with(id, bearer(headers).ok_or_else(refused)?).await?.ok_or_else(refused)
    }

    /// The till of a name, where the token is its own.
    pub(super) async fn terminal_with(&self, id: &str, token: &str) -> Result<Option<Terminal>, Problem> {
        Ok(self.terminal_named(id).await?.filter(|known| known.token.is(token)))
    }

    /// The till of a name, for a line on which nobody else can speak.
    pub(super) async fn terminal_named(&self, id: &str) -> Result<Option<Terminal>, Problem> {
        let paired = self.paired().await?;
        let paired = paired.lock().unwrap_or_else(PoisonError::into_inner);
        // What staff have decided at the box counts before the settings.
        if let Some(known) = paired.get(&TerminalId(id.to_owned())) {
            let token = known.token_sha256.as_deref().and_then(Secret::of_digest);
            let (id, merchant) = (known.terminal.clone(), known.merchant.clone());
            return Ok(token.map(|token| Terminal { id, token, merchant }));
        }
        Ok(self.settings.terminals.iter().find(|terminal| terminal.id.as_str() == id).cloned())
    }

    /// The tills that staff let in or shut out, read from the ledger file once.
    pub(super) async fn paired(&self) -> Result<&Mutex<BTreeMap<TerminalId, Pairing>>, Problem> {
        let read = async || {
            let rows = self.settings.reader.look(|view| view.terminals()).await?;
            let rows = rows.into_iter().map(|row| (row.terminal.clone(), row));
            Ok::<_, Problem>(Mutex::new(rows.collect()))
        };
        self.paired.get_or_try_init(read).await
    }

    /// A till that floods is slowed down before it slows another.
    pub(super) fn slow_down(&self, terminal: &Terminal) -> Result<(), Problem> {
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        if pace.may_ask(&terminal.id, self.settings.most_requests_per_s, Instant::now()) {
            return Ok(());
        }
        let detail = format!("more than {} requests a second", self.settings.most_requests_per_s);
        Err(Problem::new(Code::TooManyRequests, detail))
    }

    /// The operator, once the PIN is right.
    pub(super) fn operator(&self, id: &str, pin: &str) -> Result<String, Problem> {
        let refused = || Problem::new(Code::OperatorUnknown, "operator and pin do not belong together");
        let Some(known) = self.settings.operators.iter().find(|operator| operator.id == id) else {
            return Err(refused());
        };
        self.with_pin(id, &known.pin, pin, refused).map(|()| known.id.clone())
    }

    /// Whether a PIN is right; who types a wrong one too often waits.
    pub(super) fn with_pin(
        &self,
        who: &str,
        known: &Secret,
        pin: &str,
        refused: impl Fn() -> Problem,
    ) -> Result<(), Problem> {
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let (wrong, since) = attempts.wrong.get(who).copied().unwrap_or((0, now));
        let wrong = if now.duration_since(since) >= WRONG_PIN_PAUSE { 0 } else { wrong };
        if wrong >= MOST_WRONG_PINS {
            let detail = format!("{MOST_WRONG_PINS} wrong PINs in a row; wait {} s", WRONG_PIN_PAUSE.as_secs());
            return Err(Problem::new(Code::TooManyAttempts, detail));
        }
        if known.is(pin) {
            attempts.wrong.remove(who);
            return Ok(());
        }
        attempts.wrong.insert(who.to_owned(), (wrong + 1, now));
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

/// The token of a request.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    text_header(headers, header::AUTHORIZATION.as_str())?.strip_prefix("Bearer ")
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
    fn a_till_that_floods_waits_and_another_does_not() {
        let (one, two, start) = (TerminalId::from("T1"), TerminalId::from("T2"), Instant::now());
        let mut pace = Pace::default();
        let asked = |pace: &mut Pace, till, ms| pace.may_ask(till, 3, start + Duration::from_millis(ms));
        assert!((0..3).all(|_| asked(&mut pace, &one, 0)));
        assert!(!asked(&mut pace, &one, 0) && asked(&mut pace, &two, 0));
        assert!(asked(&mut pace, &one, 334) && !asked(&mut pace, &one, 335));
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
