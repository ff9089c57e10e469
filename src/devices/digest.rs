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

/// The better ones last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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
    /// The best of all challenges in the `WWW-Authenticate` headers of one answer, of which each may hold several (RFC 9110,
    /// section 11.6.1; RFC 7616, section 3.7); `None` where there is none that can be answered.
    pub fn best<'h>(headers: impl Iterator<Item = &'h str>) -> Option<Self> {
        let known = headers.flat_map(challenges).filter_map(|(scheme, words)| Self::of(&scheme, &words));
        // Of equals the first is the one that the device would rather have.
        known.reduce(|best, next| if next.algorithm > best.algorithm { next } else { best })
    }

    fn of(scheme: &str, words: &[(String, String)]) -> Option<Self> {
        if !scheme.eq_ignore_ascii_case("digest") {
            return None;
        }
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

    /// Whether it is one that was answered before; then its numbers go on, because the device remembers the highest.
    pub fn goes_on_from(&mut self, known: &Self) -> bool {
        let is_same = (&self.realm, &self.nonce, self.algorithm) == (&known.realm, &known.nonce, known.algorithm);
        if is_same {
            self.count = self.count.max(known.count);
        }
        is_same
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

/// Each challenge of a header, its scheme and its `name=value, name="value, with commas"`.
fn challenges(header: &str) -> Vec<(String, Vec<(String, String)>)> {
    let mut found: Vec<(String, Vec<(String, String)>)> = Vec::new();
    for item in items(header) {
        let (first, rest) = item.split_once(char::is_whitespace).unwrap_or((item, ""));
        // Only a scheme is followed by neither `=` nor a value.
        let is_scheme = !first.contains('=') && !rest.trim_start().starts_with('=');
        if is_scheme {
            found.push((first.to_owned(), Vec::new()));
        }
        let member = if is_scheme { rest } else { item };
        if let (Some((_, members)), Some((name, value))) = (found.last_mut(), member.split_once('=')) {
            members.push((name.trim().to_owned(), unquoted(value.trim())));
        }
    }
    found
}

/// The parts between commas, of which none inside quotes counts.
fn items(header: &str) -> impl Iterator<Item = &str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let parts = header.split(move |c: char| {
        let is_plain = !std::mem::take(&mut is_escaped);
        match c {
            '\\' if is_quoted && is_plain => is_escaped = true,
            '"' if is_plain => is_quoted = !is_quoted,
            _ => {}
        }
        c == ',' && !is_quoted
    });
    parts.map(str::trim).filter(|item| !item.is_empty())
}

fn unquoted(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"') else { return value.to_owned() };
    let mut text = String::new();
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => break,
            '\\' => text.extend(chars.next()),
            c => text.push(c),
        }
    }
    text
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
        let mut challenge = Challenge::best(std::iter::once(header)).expect("a challenge");
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
        let mut challenge = Challenge::best(std::iter::once(header)).expect("a challenge");
        let who = Credentials { username: "Mufasa".to_owned(), password: "Circle of Life".to_owned() };
        let answer = challenge.answer(&who, "GET", "/dir/index.html", "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ");
        assert!(
            answer.contains("response=\"753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1\""),
            "{answer}"
        );
    }

    /// RFC 7616, section 3.9.1, sends both; devices besides put Basic or what nobody knows before them, or all in one line.
    #[test]
    fn of_several_challenges_the_best_that_is_known_is_answered() {
        let [sha, md5] = ["SHA-256", "MD5"].map(|name| {
            let digest = "Digest realm=\"a \\\"b\\\", c\", qop=\"auth, auth-int\"";
            format!("{digest}, algorithm={name}, nonce=\"of {name}\"")
        });
        let other = md5.replace("MD5", "SHA-512-256");
        let chosen = |headers: &[&str]| {
            let best = Challenge::best(headers.iter().copied()).expect("one is known");
            assert_eq!(best.realm, "a \"b\", c");
            best.nonce
        };
        for headers in [[sha.as_str(), &md5], [&md5, &sha], [&other, &sha]] {
            assert_eq!(chosen(&headers), "of SHA-256");
            assert_eq!(chosen(&[&headers.join(", ")]), "of SHA-256");
        }
        for before in ["Basic realm=\"x\"", "Negotiate", "Negotiate YII=", other.as_str()] {
            assert_eq!(chosen(&[before, &md5]), "of MD5", "{before}");
            assert_eq!(chosen(&[&format!("{before}, {md5}, {before}")]), "of MD5", "{before}");
        }
    }

    #[test]
    fn what_cannot_be_answered_is_no_challenge() {
        for header in
            ["Basic realm=\"x\"", "Digest realm=\"x\"", "Digest realm=\"x\", nonce=\"n\", algorithm=MD4", "", "Digest"]
        {
            assert_eq!(Challenge::best(std::iter::once(header)), None, "{header}");
        }
        assert!(!format!("{:?}", Credentials { username: "a".into(), password: "hunter2".into() }).contains("hunter2"));
    }
}
