//! HTTP logins as devices ask for them: Basic (RFC 7617) and Digest (RFC 7616, with MD5 as old devices still want it).

use base64::Engine;
use md5::Md5;
use sha2::{Digest, Sha256};

/// Who the box is for a device.
#[derive(Clone)]
pub struct Credentials {
    /// The user.
    pub username: String,
    /// The password.
    pub password: String,
}

/// A device's challenge, and how often it was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    realm: String,
    nonce: String,
    opaque: Option<String>,
    algorithm: Algorithm,
    has_qop: bool,
    /// The device remembers the highest number of each nonce, so it only ever grows.
    count: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Algorithm {
    Md5,
    Sha256,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(secret)")
    }
}

impl Credentials {
    /// The header for a device that wants user and password readable on the line.
    pub fn basic(&self) -> String {
        let pair = format!("{}:{}", self.username, self.password);
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
    }
}

impl Challenge {
    /// The challenge in a `WWW-Authenticate` header; `None` where it is none that can be answered.
    pub fn read(header: &str) -> Option<Self> {
        let (scheme, words) = header.trim().split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("digest") {
            return None;
        }
        let words = members(words);
        let word =
            |name: &str| words.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, v)| v.clone());
        let algorithm = match word("algorithm").map(|name| name.to_ascii_uppercase()).as_deref() {
            None | Some("MD5") => Algorithm::Md5,
            Some("SHA-256") => Algorithm::Sha256,
            Some(_) => return None,
        };
        let qop = word("qop");
        let has_auth = qop.as_ref().is_some_and(|qop| qop.split(',').any(|kind| kind.trim() == "auth"));
        if qop.is_some() && !has_auth {
            return None;
        }
        Some(Self {
            realm: word("realm")?,
            nonce: word("nonce")?,
            opaque: word("opaque"),
            algorithm,
            has_qop: has_auth,
            count: 0,
        })
    }

    /// The header that answers the challenge for one request. Each answer has a higher number than the one before.
    pub fn answer(&mut self, who: &Credentials, method: &str, path: &str, cnonce: &str) -> String {
        self.count += 1;
        let count = format!("{:08x}", self.count);
        let a1 = self.hash(&format!("{}:{}:{}", who.username, self.realm, who.password));
        let a2 = self.hash(&format!("{method}:{path}"));
        let response = if self.has_qop {
            self.hash(&format!("{a1}:{}:{count}:{cnonce}:auth:{a2}", self.nonce))
        } else {
            self.hash(&format!("{a1}:{}:{a2}", self.nonce))
        };
        let mut header = format!(
            "Digest username=\"{}\", realm=\"{}\", nonce=\"{}\", uri=\"{path}\", response=\"{response}\"",
            escaped(&who.username),
            escaped(&self.realm),
            escaped(&self.nonce)
        );
        if self.algorithm == Algorithm::Sha256 {
            header.push_str(", algorithm=SHA-256");
        }
        if self.has_qop {
            header.push_str(&format!(", qop=auth, nc={count}, cnonce=\"{cnonce}\""));
        }
        if let Some(opaque) = &self.opaque {
            header.push_str(&format!(", opaque=\"{}\"", escaped(opaque)));
        }
        header
    }

    fn hash(&self, text: &str) -> String {
        match self.algorithm {
            Algorithm::Md5 => hex::encode(Md5::digest(text)),
            Algorithm::Sha256 => hex::encode(Sha256::digest(text)),
        }
    }
}

/// `name=value, name="value, with commas"`.
fn members(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while let Some((name, after)) = rest.split_once('=') {
        let after = after.trim_start();
        let (value, behind) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => {
                let end = after.find(',').unwrap_or(after.len());
                (after[..end].trim(), &after[end..])
            }
        };
        found.push((name.trim().to_owned(), value.to_owned()));
        rest = behind.trim_start_matches([',', ' ']);
    }
    found
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 2617, section 3.5, which RFC 7616 keeps with other numbers.
    #[test]
    fn the_example_of_the_standard() {
        let header = "Digest realm=\"testrealm@host.com\", qop=\"auth,auth-int\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", opaque=\"5ccc069c403ebaf9f0171e9517f40e41\"";
        let mut challenge = Challenge::read(header).expect("a challenge");
        let who = Credentials { username: "Mufasa".to_owned(), password: "Circle Of Life".to_owned() };
        let answer = challenge.answer(&who, "GET", "/dir/index.html", "0a4f113b");
        assert!(answer.contains("response=\"6629fae49393a05397450978507c4ef1\""), "{answer}");
        assert!(answer.contains("nc=00000001"), "{answer}");
        assert!(challenge.answer(&who, "GET", "/dir/index.html", "0a4f113b").contains("nc=00000002"));
    }

    /// RFC 7616, section 3.9.1.
    #[test]
    fn the_newer_standard_with_sha_256() {
        let header = "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", algorithm=SHA-256, nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\"";
        let mut challenge = Challenge::read(header).expect("a challenge");
        let who = Credentials { username: "Mufasa".to_owned(), password: "Circle of Life".to_owned() };
        let answer = challenge.answer(&who, "GET", "/dir/index.html", "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ");
        assert!(
            answer.contains("response=\"753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1\""),
            "{answer}"
        );
    }

    #[test]
    fn what_cannot_be_answered_is_no_challenge() {
        for header in
            ["Basic realm=\"x\"", "Digest realm=\"x\"", "Digest realm=\"x\", nonce=\"n\", algorithm=MD4", "", "Digest"]
        {
            assert_eq!(Challenge::read(header), None, "{header}");
        }
        assert!(!format!("{:?}", Credentials { username: "a".into(), password: "hunter2".into() }).contains("hunter2"));
    }
}
