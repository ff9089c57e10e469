//! Tokens for members' phones: the ledger signs for some days whose phone a key is, so that boxes know its codes offline.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::ledger::{Ledger, Refusal};
use crate::sign::PublicKey;

/// How long a token holds where the app does not say, and at most, in days: a phone that was lost is known for so long.
pub const DAYS_DEFAULT: i64 = 7;
pub const DAYS_MAX: i64 = 30;
/// The longest name of a member in a token, in bytes: a phone shows it in a QR code.
const MEMBER_BYTES_MAX: usize = 64;
/// The form of the token.
const VERSION: u8 = 1;
/// What stands before the bytes that are signed.
const TOKEN_WORDS: &[u8] = b"gatepost-member-token-v1\n";
/// Milliseconds of a day.
const DAY_MS: i64 = 24 * 3600 * 1000;

/// What the mall's app asks for a member who has logged in.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct PhoneAsk {
    /// The phone's own public key, in base64.
    pub phone_key: String,
    /// For how many days.
    pub days: Option<i64>,
}

/// The ledger's word about a phone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PhoneToken {
    /// The token, in base64url without padding.
    pub token: String,
    /// Until when it holds.
    pub expires_ms: i64,
    /// The key that has signed it, in base64: what boxes check it with.
    pub ledger_key: String,
}

impl Ledger {
    /// Signs whose phone a key is.
    pub fn phone_token(&self, member: &str, ask: &PhoneAsk, now_ms: i64) -> Result<PhoneToken, Refusal> {
        let wrong = |text: &str| Refusal::BadRequest(text.to_owned());
        let key = PublicKey::read(&ask.phone_key).ok_or_else(|| wrong("phone_key: 32 bytes in base64 are allowed"))?;
        let days = ask.days.unwrap_or(DAYS_DEFAULT);
        if !(1..=DAYS_MAX).contains(&days) {
            return Err(Refusal::BadRequest(format!("days: must be from 1 to {DAYS_MAX}")));
        }
        self.member(member)?;
        let length = u8::try_from(member.len()).ok().filter(|length| usize::from(*length) <= MEMBER_BYTES_MAX);
        let length = length.ok_or_else(|| wrong("id: longer than 64 bytes, which no phone's code can carry"))?;
        let expires_s = (now_ms + days * DAY_MS).div_euclid(1000);
        let said = [&[VERSION, length], member.as_bytes(), &key.0, &expires_s.to_be_bytes()].concat();
        let signature = self.key.sign_bytes(&[TOKEN_WORDS, &said].concat());
        let token = URL_SAFE_NO_PAD.encode([said, signature].concat());
        Ok(PhoneToken { token, expires_ms: expires_s * 1000, ledger_key: self.public_key().to_string() })
    }
}
