//! Rule files: reads a bundle with its overlay, and takes it only from those whose signature the settings name.

use std::path::{Path, PathBuf};

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};

use crate::domain::rules::{BadRules, Rules, composed};
use crate::profile::mistake::Mistake;

/// What is signed before the file's bytes, so that the signature means nothing elsewhere.
const SIGNED_AS: &[u8] = b"gatepost-rules-v1\n";
/// The largest file that is read as rules or as a signature.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Somebody whose bundles are taken.
#[derive(Clone, Debug)]
pub struct Signer(VerifyingKey);

impl Signer {
    /// From a public key of 64 hex digits.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes: [u8; 32] = hex::decode(text).ok()?.try_into().ok()?;
        VerifyingKey::from_bytes(&bytes).ok().map(Self)
    }
}

/// The key of a signer, kept away from every box.
pub struct Key(SigningKey);

impl Key {
    /// From a seed of 32 bytes that nobody can guess.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(SigningKey::from_bytes(&seed))
    }

    /// The public key, for the settings of the boxes.
    pub fn public(&self) -> String {
        hex::encode(self.0.verifying_key().to_bytes())
    }

    /// The content of a `.sig` file for a bundle's bytes.
    pub fn sign(&self, bundle: &[u8]) -> String {
        format!("gatepost-ed25519 {} {}\n", self.public(), hex::encode(self.0.sign(&signed(bundle)).to_bytes()))
    }
}

/// Reads a bundle, its overlay where there is one, checks the signatures where `signers` are named, and proves it.
/// Answers the text that goes into the journal, and what it says.
pub fn load(file: &Path, overlay: Option<&Path>, signers: &[Signer]) -> Result<(String, Rules), Mistake> {
    let base = read_signed(file, signers)?;
    let over = overlay.map(|overlay| Ok((overlay, read_signed(overlay, signers)?))).transpose()?;
    let rules = Rules::parse(&base).map_err(|bad| mistake(file, bad))?;
    match over {
        None => Ok((base, rules)),
        Some((overlay, over)) => composed(&base, &rules, &over).map_err(|bad| mistake(overlay, bad)),
    }
}

/// A mistake in a bundle, with its file.
pub fn mistake(file: &Path, bad: BadRules) -> Mistake {
    Mistake { file: file.to_owned(), place: bad.place, wrong: bad.wrong, allowed: bad.allowed }
}

/// Where a bundle's signature stands.
pub fn signature_path(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".sig");
    PathBuf::from(name)
}

fn read_signed(file: &Path, signers: &[Signer]) -> Result<String, Mistake> {
    let text = read(file, "a rules file in TOML")?;
    if signers.is_empty() {
        return Ok(text);
    }
    let place = signature_path(file);
    let signature = read(&place, "the signature that `gatepost bundle sign` writes")?;
    let is_right = verify(&signature, text.as_bytes(), signers);
    let wrong = |wrong: &str| Mistake {
        file: place.clone(),
        place: None,
        wrong: wrong.to_owned(),
        allowed: "a signature of this very file by one of [rules] signers".to_owned(),
    };
    match is_right {
        Some(true) => Ok(text),
        Some(false) => Err(wrong("no signer of the settings has signed this file")),
        None => Err(wrong("this is no signature")),
    }
}

/// Whether one of the signers signed the bytes; `None` where the text is no signature.
fn verify(text: &str, bundle: &[u8], signers: &[Signer]) -> Option<bool> {
    let mut words = text.split_whitespace();
    let (name, public, signature) = (words.next()?, words.next()?, words.next()?);
    if name != "gatepost-ed25519" || words.next().is_some() {
        return None;
    }
    let signature: [u8; 64] = hex::decode(signature).ok()?.try_into().ok()?;
    let signature = Signature::from_bytes(&signature);
    let signer = signers.iter().find(|signer| hex::encode(signer.0.to_bytes()) == public);
    Some(signer.is_some_and(|signer| signer.0.verify_strict(&signed(bundle), &signature).is_ok()))
}

fn signed(bundle: &[u8]) -> Vec<u8> {
    [SIGNED_AS, bundle].concat()
}

fn read(file: &Path, allowed: &str) -> Result<String, Mistake> {
    let wrong = |wrong: String| Mistake { file: file.to_owned(), place: None, wrong, allowed: allowed.to_owned() };
    let size = std::fs::metadata(file).map_err(|error| wrong(format!("it cannot be read: {error}")))?.len();
    if size > FILE_BYTES_MAX {
        return Err(wrong(format!("it has {size} bytes, and a rules file has at most {FILE_BYTES_MAX}")));
    }
    std::fs::read_to_string(file).map_err(|error| wrong(format!("it cannot be read: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_signer_of_the_settings_puts_rules_in_force() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("rules.toml");
        let bundle = include_str!("../systemd/rules.toml");
        std::fs::write(&file, bundle).expect("rules");
        let (mine, other) = (Key::from_seed([7; 32]), Key::from_seed([8; 32]));
        let signers = [Signer::parse(&mine.public()).expect("a key")];
        assert!(load(&file, None, &[]).is_ok(), "no signers are named");
        let missing = load(&file, None, &signers).expect_err("unsigned").to_string();
        assert!(missing.contains("rules.toml.sig: it cannot be read"), "{missing}");
        let sign = |text: &str| std::fs::write(signature_path(&file), text).expect("a signature");
        sign(&other.sign(bundle.as_bytes()));
        assert!(load(&file, None, &signers).expect_err("another's").to_string().contains("no signer of the settings"));
        sign("anything");
        assert!(load(&file, None, &signers).expect_err("nothing").to_string().contains("this is no signature"));
        sign(&mine.sign(bundle.as_bytes()));
        assert_eq!(load(&file, None, &signers).expect("signed").0, bundle);
        std::fs::write(&file, format!("{bundle}\n")).expect("rules");
        assert!(load(&file, None, &signers).is_err(), "a changed file is not the signed one");
    }
}
