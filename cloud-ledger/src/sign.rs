//! Ed25519 signatures: the ledger's own key, and the exact lines that a box or the ledger signs.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context, anyhow};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use sha2::{Digest, Sha256};

/// A public key, as it is sent and stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKey(pub [u8; 32]);

/// The key that the ledger signs its answers with.
pub struct LedgerKey(Ed25519KeyPair);

impl PublicKey {
    /// Reads 44 characters of base64.
    pub fn read(text: &str) -> Option<Self> {
        let bytes = BASE64.decode(text).ok()?;
        bytes.try_into().ok().map(Self)
    }

    /// Whether this key has signed the text.
    pub fn has_signed(&self, text: &str, signature: &str) -> bool {
        let Ok(signature) = BASE64.decode(signature) else { return false };
        UnparsedPublicKey::new(&ED25519, self.0).verify(text.as_bytes(), &signature).is_ok()
    }
}

impl std::fmt::Display for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&BASE64.encode(self.0))
    }
}

impl LedgerKey {
    /// Reads the key in a file; makes the file, readable by its owner alone, where it is missing.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => make(path)?,
            Err(error) => return Err(error).with_context(|| format!("read the ledger's key in {}", path.display())),
        };
        let seed = BASE64.decode(text.trim()).ok().filter(|seed| seed.len() == 32);
        let seed = seed.ok_or_else(|| anyhow!("{} is not a ledger's key: 32 bytes in base64", path.display()))?;
        Self::of(&seed)
    }

    /// The key of a seed of 32 bytes.
    pub fn of(seed: &[u8]) -> anyhow::Result<Self> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|why| anyhow!("read the ledger's key: {why}"))?;
        Ok(Self(pair))
    }

    /// What boxes check the answers with.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.public_key().as_ref().try_into().expect("an Ed25519 key has 32 bytes"))
    }

    /// The signature over bytes.
    pub fn sign_bytes(&self, words: &[u8]) -> Vec<u8> {
        self.0.sign(words).as_ref().to_vec()
    }

    /// The signature over lines, in base64.
    pub fn sign(&self, lines: &[&str]) -> String {
        BASE64.encode(self.0.sign(lines.join("\n").as_bytes()))
    }
}

/// What a box signs of a request. `target` is the path with its query.
pub fn request_text(method: &str, target: &str, box_name: &str, epoch: &str, body: &[u8]) -> String {
    let hash = hex::encode(Sha256::digest(body));
    ["gatepost-request-v1", method, target, box_name, epoch, &hash].join("\n")
}

/// Makes a key. It is on the disk before it is used, and no second process makes another at the same moment.
fn make(path: &Path) -> anyhow::Result<String> {
    let what = || format!("make the ledger's key in {}", path.display());
    let mut seed = [0; 32];
    SystemRandom::new().fill(&mut seed).map_err(|_| anyhow!("the system gives no random bytes")).with_context(what)?;
    let text = BASE64.encode(seed);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).with_context(what)?;
    file.write_all(text.as_bytes()).and_then(|()| file.write_all(b"\n")).with_context(what)?;
    file.sync_all().with_context(what)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).with_context(what)?;
    tracing::info!(file = %path.display(), "a new key of the ledger; keep a copy, because boxes pin it");
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_stays_the_same_and_is_its_owners_alone() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("key");
        let first = LedgerKey::open(&path).unwrap();
        assert_eq!(LedgerKey::open(&path).unwrap().public(), first.public());
        let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&path).unwrap());
        assert_eq!(mode & 0o777, 0o600);
        std::fs::write(&path, "nonsense").unwrap();
        assert!(LedgerKey::open(&path).is_err());
    }

    #[test]
    fn the_signature_of_the_standard_is_ours() {
        // RFC 8032, section 7.1, test 1: the empty text.
        let seed = hex::decode("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60").unwrap();
        let key = LedgerKey::of(&seed).unwrap();
        let public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        assert_eq!(hex::encode(key.public().0), public);
        let signature = key.sign(&[]);
        assert!(hex::encode(BASE64.decode(&signature).unwrap()).starts_with("e5564300c360ac729086e2cc806e828a"));
        assert!(key.public().has_signed("", &signature));
        assert!(!key.public().has_signed("x", &signature));
        assert!(!key.public().has_signed("", "nonsense"));
        assert_eq!(PublicKey::read(&key.public().to_string()), Some(key.public()));
        assert_eq!(PublicKey::read("AAAA"), None);
    }
}
