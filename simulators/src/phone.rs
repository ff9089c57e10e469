//! A member's phone: it has a key of its own, holds the ledger's word about it, and shows a new code each half minute.

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SecureRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};

/// How long a code is shown, in milliseconds.
pub const STEP_MS: i64 = 30_000;
/// What stands before the bytes that the phone signs.
const CODE_WORDS: &[u8] = b"gatepost-member-code-v1\n";

/// A phone, before and after the mall's app has got it a token.
#[derive(Clone, Debug)]
pub struct Phone {
    seed: [u8; 32],
    token: Option<String>,
}

impl Phone {
    /// The phone of a seed.
    pub fn of(seed: [u8; 32]) -> Self {
        Self { seed, token: None }
    }

    /// The phone whose seed stands in a file, in base64; a new one where there is no file.
    pub fn open(file: &Path) -> Result<Self> {
        let seed = match std::fs::read_to_string(file) {
            Ok(text) => STANDARD.decode(text.trim()).ok().and_then(|seed| seed.try_into().ok()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let mut seed = [0; 32];
                let filled = ring::rand::SystemRandom::new().fill(&mut seed);
                filled.map_err(|_| anyhow!("the system gives no random bytes"))?;
                std::fs::write(file, STANDARD.encode(seed)).with_context(|| format!("write {}", file.display()))?;
                Some(seed)
            }
            Err(error) => return Err(error).with_context(|| format!("read {}", file.display())),
        };
        Ok(Self::of(seed.with_context(|| format!("{} holds no phone's key", file.display()))?))
    }

    /// The same phone with the token that the cloud ledger gave.
    pub fn with_token(self, token: impl Into<String>) -> Self {
        Self { token: Some(token.into()), ..self }
    }

    /// What the app tells the ledger, in base64.
    pub fn public_key(&self) -> String {
        STANDARD.encode(self.pair().public_key().as_ref())
    }

    /// What the phone shows at a moment in milliseconds since 1970-01-01T00:00:00Z.
    pub fn code(&self, now_ms: i64) -> Result<String> {
        let token = self.token.as_deref().context("the phone has no token yet")?;
        let bytes = URL_SAFE_NO_PAD.decode(token).context("read the token")?;
        let step = now_ms.div_euclid(STEP_MS);
        let signature = self.pair().sign(&[CODE_WORDS, &bytes, &step.to_be_bytes()].concat());
        Ok(format!("GP2.{token}.{step}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    fn pair(&self) -> Ed25519KeyPair {
        Ed25519KeyPair::from_seed_unchecked(&self.seed).expect("any 32 bytes are a seed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phone_shows_one_code_each_half_minute() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("phone");
        let phone = Phone::open(&file).unwrap();
        assert_eq!(Phone::open(&file).unwrap().public_key(), phone.public_key());
        assert!(phone.code(0).is_err(), "nobody has said yet whose phone it is");
        let phone = phone.with_token("AQID");
        let code = |ms| phone.code(ms).unwrap();
        assert!(code(1_772_280_000_000).starts_with("GP2.AQID.59076000."));
        assert_eq!(code(1_772_280_000_000), code(1_772_280_029_999));
        assert_ne!(code(1_772_280_000_000), code(1_772_280_030_000));
    }
}
