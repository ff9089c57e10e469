//! The code that a member's phone shows: the cloud ledger has signed for some days whose phone it is, and the phone signs
//! each half minute. A box checks both with the ledger's public key alone, so that a stolen box cannot make members.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::signature::{ED25519, UnparsedPublicKey};

use crate::domain::event::{MemberId, UtcMs};

/// How every such code begins (`docs/member-code.md`).
const PREFIX: &str = "GP2.";
/// The form of the token.
const VERSION: u8 = 1;
/// Bytes of a key and of a signature.
const KEY: usize = 32;
const SIGNATURE: usize = 64;
/// The longest name of a member in a token, so that the code stays a QR code that a phone can show.
const MOST_MEMBER_BYTES: usize = 64;
/// What stands before the bytes that are signed, so that no signature is good for anything else.
const TOKEN_WORDS: &[u8] = b"gatepost-member-token-v1\n";
const CODE_WORDS: &[u8] = b"gatepost-member-code-v1\n";

/// The ledger's public keys, by which codes are known to be true.
#[derive(Clone, Default)]
pub struct Keys {
    named: Vec<[u8; KEY]>,
    learned: Option<Arc<Learned>>,
}

/// The key that the box learned when it enrolled; not there before.
struct Learned {
    read: Box<dyn Fn() -> Option<String> + Send + Sync>,
    key: OnceLock<[u8; KEY]>,
}

/// A code that is true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Whose.
    pub member: MemberId,
    /// Of which step of 30 seconds since 1970-01-01T00:00:00Z.
    pub step: u64,
}

/// Why a code is worth nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// It is cut off, or no such code at all.
    #[error("it is no whole code; scan it again")]
    Broken,
    /// No key that this box knows has signed it.
    #[error("it is not signed by the cloud ledger that this box knows")]
    Forged,
    /// The ledger's word about the phone is too old.
    #[error("the phone must ask the mall for a new card; it was offline for too long")]
    TokenExpired,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} named, {} learned", self.named.len(), u8::from(self.learned.is_some()))
    }
}

impl Keys {
    /// Keys of the settings, in base64; one that cannot be a key is given back.
    pub fn named(keys: &[String]) -> Result<Self, String> {
        let named = keys.iter().map(|text| key_of(text).ok_or_else(|| text.clone()));
        Ok(Self { named: named.collect::<Result<_, _>>()?, learned: None })
    }

    /// The same, and the key that the box has learned or will learn, in base64.
    pub fn and_learned(self, read: impl Fn() -> Option<String> + Send + Sync + 'static) -> Self {
        Self { learned: Some(Arc::new(Learned { read: Box::new(read), key: OnceLock::new() })), ..self }
    }

    /// The same, with the key that stands in the box's key file once it has enrolled.
    pub fn and_in(self, file: PathBuf, read: fn(&std::path::Path) -> Option<String>) -> Self {
        self.and_learned(move || read(&file))
    }

    fn has_signed(&self, words: &[u8], signature: &[u8]) -> bool {
        let learned = self.learned.as_ref().and_then(|learned| learned.key());
        self.named.iter().chain(&learned).any(|key| is_signed(key, words, signature))
    }
}

impl Learned {
    fn key(&self) -> Option<[u8; KEY]> {
        if self.key.get().is_none()
            && let Some(key) = (self.read)().and_then(|text| key_of(&text))
        {
            // Somebody else may have been faster with the same key.
            let _ = self.key.set(key);
        }
        self.key.get().copied()
    }
}

/// Whether a text is meant to be such a code.
pub fn is_meant(code: &str) -> bool {
    code.starts_with(PREFIX)
}

/// Reads a code and checks who signed it, and that the ledger's word about the phone holds now. Whether its half minute
/// is over, and whether it was used before, is decided with the ledger file.
pub fn read(code: &str, keys: &Keys, now: UtcMs) -> Result<Seen, Wrong> {
    let rest = code.strip_prefix(PREFIX).ok_or(Wrong::Broken)?;
    let mut parts = rest.split('.');
    let (Some(token), Some(step), Some(signature), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Wrong::Broken);
    };
    let (token, signature) = (bytes_of(token)?, bytes_of(signature)?);
    let is_plain = step.bytes().all(|byte| byte.is_ascii_digit()) && !step.starts_with('0');
    let step: u64 = step.parse().ok().filter(|_| is_plain).ok_or(Wrong::Broken)?;
    let (said, ledgers) = token.split_at_checked(token.len().saturating_sub(SIGNATURE)).ok_or(Wrong::Broken)?;
    let [VERSION, length, rest @ ..] = said else { return Err(Wrong::Broken) };
    let (member, rest) = rest.split_at_checked(usize::from(*length)).ok_or(Wrong::Broken)?;
    let (phone, until) = rest.split_at_checked(KEY).ok_or(Wrong::Broken)?;
    let until = i64::from_be_bytes(until.try_into().map_err(|_| Wrong::Broken)?);
    let member = std::str::from_utf8(member).map_err(|_| Wrong::Broken)?;
    if member.is_empty() || member.len() > MOST_MEMBER_BYTES {
        return Err(Wrong::Broken);
    }
    if !keys.has_signed(&[TOKEN_WORDS, said].concat(), ledgers) {
        return Err(Wrong::Forged);
    }
    let words = [CODE_WORDS, &token, &step.to_be_bytes()].concat();
    if !is_signed(phone, &words, &signature) {
        return Err(Wrong::Forged);
    }
    if now.0.div_euclid(1000) >= until {
        return Err(Wrong::TokenExpired);
    }
    Ok(Seen { member: MemberId(member.to_owned()), step })
}

fn is_signed(key: &[u8], words: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&ED25519, key).verify(words, signature).is_ok()
}

fn bytes_of(text: &str) -> Result<Vec<u8>, Wrong> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| Wrong::Broken)
}

fn key_of(text: &str) -> Option<[u8; KEY]> {
    STANDARD.decode(text).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ring::signature::{Ed25519KeyPair, KeyPair};

    use super::*;

    /// The vector of `docs/member-code.md`: ledger's seed 32 times 1, phone's seed 32 times 2, member M1001, valid until
    /// 1,772,300,000 s, step 59,076,000.
    const NOW: UtcMs = UtcMs(59_076_000 * 30_000);

    #[test]
    fn the_vector_of_the_document_is_read() {
        let document = include_str!("../docs/member-code.md");
        let code = document.lines().find(|line| line.starts_with(PREFIX)).expect("the vector");
        assert_eq!(code, phones_code(&ledgers_token(1, "M1001", 1_772_300_000), 59_076_000));
        let seen = Seen { member: MemberId::from("M1001"), step: 59_076_000 };
        assert_eq!(read(code, &keys(), NOW), Ok(seen.clone()));
        let key = STANDARD.encode(pair(1).public_key().as_ref());
        let learned = Keys::default().and_learned(move || Some(key.clone()));
        assert_eq!(read(code, &learned, NOW), Ok(seen));
        assert_eq!(read(code, &Keys::default(), NOW), Err(Wrong::Forged), "a box that knows no ledger");
    }

    #[test]
    fn a_token_of_another_ledger_or_of_another_phone_is_forged() {
        let of_another = phones_code(&ledgers_token(3, "M1001", 1_772_300_000), 59_076_000);
        assert_eq!(read(&of_another, &keys(), NOW), Err(Wrong::Forged));
        // Somebody has the token and signs with a phone of his own.
        let token = ledgers_token(1, "M1001", 1_772_300_000);
        let words = [CODE_WORDS, &token, &59_076_000_u64.to_be_bytes()].concat();
        let signature = URL_SAFE_NO_PAD.encode(pair(9).sign(&words));
        let code = format!("{PREFIX}{}.59076000.{signature}", URL_SAFE_NO_PAD.encode(token));
        assert_eq!(read(&code, &keys(), NOW), Err(Wrong::Forged));
    }

    #[test]
    fn the_ledgers_word_holds_until_its_time() {
        let code = phones_code(&ledgers_token(1, "M1001", 1_772_300_000), 59_076_000);
        assert!(read(&code, &keys(), UtcMs(1_772_299_999_999)).is_ok());
        assert_eq!(read(&code, &keys(), UtcMs(1_772_300_000_000)), Err(Wrong::TokenExpired));
    }

    proptest! {
        #[test]
        fn a_changed_code_is_worth_nothing(place in 0_usize..400, byte in 0x20_u8..0x7f) {
            let code = phones_code(&ledgers_token(1, "M1001", 1_772_300_000), 59_076_000);
            let mut changed = code.clone().into_bytes();
            let place = place % changed.len();
            changed[place] = byte;
            let changed = String::from_utf8(changed).expect("ASCII");
            prop_assert!(changed == code || read(&changed, &keys(), NOW).is_err(), "{}", changed);
        }
    }

    fn keys() -> Keys {
        Keys::named(&[STANDARD.encode(pair(1).public_key().as_ref())]).expect("a key")
    }

    fn pair(seed: u8) -> Ed25519KeyPair {
        Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).expect("a seed")
    }

    fn ledgers_token(ledger: u8, member: &str, until_s: i64) -> Vec<u8> {
        let phone = pair(2);
        let length = [VERSION, u8::try_from(member.len()).expect("short")];
        let said = [&length[..], member.as_bytes(), phone.public_key().as_ref(), &until_s.to_be_bytes()].concat();
        let signature = pair(ledger).sign(&[TOKEN_WORDS, &said].concat());
        [&said, signature.as_ref()].concat()
    }

    fn phones_code(token: &[u8], step: u64) -> String {
        let signature = pair(2).sign(&[CODE_WORDS, token, &step.to_be_bytes()].concat());
        format!("{PREFIX}{}.{step}.{}", URL_SAFE_NO_PAD.encode(token), URL_SAFE_NO_PAD.encode(signature))
    }
}
