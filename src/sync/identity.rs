//! Who this box is to the cloud ledger: its own key pair, and the ledger's key that it has learned.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::rand::SecureRandom;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

/// Bytes of a private and of a public key.
const KEY_BYTES: usize = 32;

/// The keys of this box, kept in a file that only the daemon can read.
pub struct Identity {
    file: PathBuf,
    pair: Ed25519KeyPair,
    stored: Stored,
}

#[derive(Clone, Serialize, Deserialize)]
struct Stored {
    /// The private key, in base64.
    seed: String,
    /// The ledger's public key, in base64, once it is known.
    ledger_key: Option<String>,
    /// The epoch that the ledger named when this key enrolled.
    epoch: Option<u32>,
}

impl Identity {
    /// Reads the keys, or makes new ones where there is no file yet.
    pub fn open(file: &Path) -> anyhow::Result<Self> {
        match std::fs::read_to_string(file) {
            Ok(text) => {
                let stored: Stored =
                    serde_json::from_str(&text).with_context(|| format!("read the keys in {}", file.display()))?;
                Self::of(file, stored)
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let identity = Self::of(file, Stored { seed: seed()?, ledger_key: None, epoch: None })?;
                identity.keep()?;
                Ok(identity)
            }
            Err(error) => Err(error).with_context(|| format!("read the keys in {}", file.display())),
        }
    }

    fn of(file: &Path, stored: Stored) -> anyhow::Result<Self> {
        let seed = BASE64.decode(&stored.seed).context("read the private key")?;
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).ok().context("the private key is none")?;
        Ok(Self { file: file.to_owned(), pair, stored })
    }

    /// The public key, in base64.
    pub fn public_key(&self) -> String {
        BASE64.encode(self.pair.public_key().as_ref())
    }

    /// Signs a text, in base64.
    pub fn sign(&self, text: &str) -> String {
        BASE64.encode(self.pair.sign(text.as_bytes()).as_ref())
    }

    /// The ledger's key, once it is known.
    pub fn ledger_key(&self) -> Option<&str> {
        self.stored.ledger_key.as_deref()
    }

    /// The epoch in which this key enrolled; 0 before.
    pub fn epoch(&self) -> u32 {
        self.stored.epoch.unwrap_or(0)
    }

    /// Keeps what the enrolment told. The ledger's key is learned once and never changed by an answer.
    pub fn enrolled(&mut self, ledger_key: &str, epoch: u32) -> anyhow::Result<()> {
        let learned = self.stored.ledger_key.get_or_insert_with(|| ledger_key.to_owned());
        anyhow::ensure!(learned == ledger_key, "the cloud ledger shows another key than before");
        self.stored.epoch = Some(epoch);
        self.keep()
    }

    /// Written whole or not at all, and never readable by others.
    fn keep(&self) -> anyhow::Result<()> {
        let mut name = self.file.as_os_str().to_owned();
        name.push(".new");
        let text = serde_json::to_string(&self.stored).context("write the keys as JSON")?;
        let write = || -> std::io::Result<()> {
            let mut new = File::options().write(true).create(true).truncate(true).mode(0o600).open(&name)?;
            new.write_all(text.as_bytes())?;
            new.sync_all()?;
            std::fs::rename(&name, &self.file)?;
            let folder = self.file.parent().filter(|folder| !folder.as_os_str().is_empty());
            File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
        };
        write().with_context(|| format!("keep the keys in {}", self.file.display()))
    }
}

/// A secret of this box for one purpose, the same as long as it has its keys; they are made where there are none yet.
pub fn derived_secret(file: &Path, purpose: &str) -> anyhow::Result<String> {
    Ok(Identity::open(file)?.sign(&format!("gatepost-secret\n{purpose}")))
}

/// The cloud ledger's public key in base64, once the box of this key file has enrolled.
pub fn ledger_key(file: &Path) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    serde_json::from_str::<Stored>(&text).ok()?.ledger_key
}

fn seed() -> anyhow::Result<String> {
    let mut seed = [0; KEY_BYTES];
    ring::rand::SystemRandom::new().fill(&mut seed).ok().context("the system has no random numbers")?;
    Ok(BASE64.encode(seed))
}

/// Whether a signature over a text is the key's; key and signature in base64.
pub fn is_signed(key: &str, text: &str, signature: &str) -> bool {
    let (Ok(key), Ok(signature)) = (BASE64.decode(key), BASE64.decode(signature)) else { return false };
    UnparsedPublicKey::new(&ED25519, key).verify(text.as_bytes(), &signature).is_ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn keys_are_made_once_and_nobody_else_reads_them() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("box.key");
        let mut first = Identity::open(&file).expect("new keys");
        let signature = first.sign("a text");
        first.enrolled("bGVkZ2Vy", 3).expect("kept");
        let again = Identity::open(&file).expect("the same keys");
        assert!(is_signed(&again.public_key(), "a text", &signature));
        assert!(!is_signed(&again.public_key(), "another text", &signature));
        assert!(!is_signed(&again.public_key(), "a text", "no signature"));
        assert_eq!((again.ledger_key(), again.epoch()), (Some("bGVkZ2Vy"), 3));
        assert_eq!(std::fs::metadata(&file).expect("the file").permissions().mode() & 0o077, 0);
    }

    #[test]
    fn a_ledger_with_another_key_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut identity = Identity::open(&folder.path().join("box.key")).expect("new keys");
        identity.enrolled("bGVkZ2Vy", 1).expect("learned");
        assert!(identity.enrolled("ZmFsc2U=", 1).is_err());
        assert_eq!(identity.ledger_key(), Some("bGVkZ2Vy"));
    }
}
