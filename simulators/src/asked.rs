//! What devices do that are asked over HTTP: they read a request, demand a login with HTTP Digest (RFC 7616, SHA-256 as newer
//! firmware wants it), and answer, some with a stream of events that never ends.

use anyhow::{Context, Result, ensure};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// Who the device believes to be who he says.
const REALM: &str = "IP Camera(C1234)";
/// What stands between the parts of a stream.
const BOUNDARY: &str = "boundary";
/// No request of a box is longer, not even one with a picture.
const REQUEST_BYTES_MAX: usize = 2 * 1024 * 1024;

/// The answer that begins a stream of events; it names no length, because it has none.
pub(crate) fn stream_begins() -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: multipart/mixed; boundary={BOUNDARY}\r\nConnection: close\r\n\r\n")
}

/// One part of a stream. Its length counts characters, as such devices do, and is too short for every plate with a
/// Chinese character.
pub(crate) fn stream_part(content_type: &str, body: &[u8]) -> Vec<u8> {
    let characters = String::from_utf8_lossy(body).chars().count();
    let head = format!("--{BOUNDARY}\r\nContent-Type: {content_type}\r\nContent-Length: {characters}\r\n\r\n");
    [head.as_bytes(), body, b"\r\n"].concat()
}

/// An answer with a length.
pub(crate) fn respond(status: &str, more: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{more}Content-Length: {}\r\n\r\n{body}", body.len())
}

/// What a device knows of who may ask it.
#[derive(Debug)]
pub(crate) struct Login {
    username: String,
    password: String,
    nonces: u64,
    /// The highest number that the newest nonce was used with.
    used: Option<(String, u32)>,
}

/// What a proof is worth.
enum Proof {
    Good,
    /// Right, but its number is not above all before; with its nonce.
    Again(String),
    Wrong,
}

impl Login {
    /// Only for who knows this password.
    pub fn new(username: &str, password: &str) -> Self {
        Self { username: username.to_owned(), password: password.to_owned(), nonces: 0, used: None }
    }

    /// What is answered to who has not proven that he may ask; none for who has. A proof whose number does not grow is
    /// refused at the nonce that it has, as strict devices do: who begins to count again there is never heard.
    pub fn refuses(&mut self, request: &Request) -> Option<String> {
        let nonce = match request.authorization.as_deref().map(|words| self.judges(request, words)) {
            Some(Proof::Good) => return None,
            Some(Proof::Again(nonce)) => nonce,
            Some(Proof::Wrong) | None => self.new_nonce(),
        };
        let challenge = format!(
            "WWW-Authenticate: Digest realm=\"{REALM}\", qop=\"auth\", algorithm=SHA-256, nonce=\"{nonce}\"\r\n"
        );
        Some(respond("401 Unauthorized", &challenge, ""))
    }

    fn new_nonce(&mut self) -> String {
        self.nonces += 1;
        let nonce = hash(&format!("{REALM} {}", self.nonces));
        self.used = Some((nonce.clone(), 0));
        nonce
    }

    /// Whether the proof is right, of the newest nonce, and numbered above all before.
    fn judges(&mut self, request: &Request, authorization: &str) -> Proof {
        let word = |name: &str| {
            let words = authorization.trim_start_matches("Digest ").split(',');
            let mut pairs = words.filter_map(|word| word.trim().split_once('='));
            pairs.find(|(known, _)| *known == name).map(|(_, value)| value.trim_matches('"').to_owned())
        };
        let (Some(nonce), Some(number), Some(cnonce), Some(response)) =
            (word("nonce"), word("nc"), word("cnonce"), word("response"))
        else {
            return Proof::Wrong;
        };
        let Ok(count) = u32::from_str_radix(&number, 16) else { return Proof::Wrong };
        let is_right = word("username").as_ref() == Some(&self.username)
            && word("uri").as_deref() == Some(request.path.as_str())
            && response
                == proof(
                    (&self.username, &self.password),
                    REALM,
                    &request.method,
                    &request.path,
                    &nonce,
                    &number,
                    &cnonce,
                );
        match &mut self.used {
            Some((known, highest)) if is_right && *known == nonce && count > *highest => {
                *highest = count;
                Proof::Good
            }
            Some((known, _)) if is_right && *known == nonce => Proof::Again(nonce),
            Some(_) | None => Proof::Wrong,
        }
    }
}

/// What proves that somebody knows the password (RFC 7616, 3.4.1).
fn proof(who: (&str, &str), realm: &str, method: &str, path: &str, nonce: &str, number: &str, cnonce: &str) -> String {
    let who = hash(&format!("{}:{realm}:{}", who.0, who.1));
    let what = hash(&format!("{method}:{path}"));
    hash(&format!("{who}:{nonce}:{number}:{cnonce}:auth:{what}"))
}

fn hash(text: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a box asks.
#[derive(Debug)]
pub(crate) struct Request {
    pub method: String,
    pub path: String,
    pub authorization: Option<String>,
    pub body: Vec<u8>,
}

impl Request {
    /// The next one; none at the end of the connection.
    pub async fn read(stream: &mut TcpStream) -> Result<Option<Self>> {
        let mut bytes = Vec::new();
        loop {
            if let Some(request) = Self::whole(&bytes) {
                return Ok(Some(request));
            }
            ensure!(bytes.len() < REQUEST_BYTES_MAX, "the request is too long");
            let mut piece = [0; 4096];
            let count = stream.read(&mut piece).await.context("read a request")?;
            if count == 0 {
                return Ok(None);
            }
            bytes.extend_from_slice(&piece[..count]);
        }
    }

    /// The request, once all of its body is there.
    fn whole(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let field = |name: &str| {
            let mut fields = head.lines().filter_map(|line| line.split_once(':'));
            fields.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned())
        };
        let length = field("content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
        let body = bytes.get(end + 4..end.checked_add(4)?.checked_add(length)?)?;
        let mut words = head.split_whitespace().map(str::to_owned);
        Some(Self {
            method: words.next()?,
            path: words.next()?,
            authorization: field("authorization"),
            body: body.to_vec(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = "/ISAPI/Parking/channels/1/barrierGate";
    const LOGIN: (&str, &str) = ("box", "Circle Of Life");

    #[test]
    fn only_who_knows_the_password_is_heard_and_no_proof_is_good_twice() {
        let mut login = Login::new(LOGIN.0, LOGIN.1);
        assert!(ask(&mut login, None).is_some_and(|refusal| refusal.starts_with("HTTP/1.1 401")));
        let nonce = login.used.clone().expect("a nonce").0;
        let words = |count: u32, response: &str| {
            format!(
                "Digest username=\"box\", realm=\"{REALM}\", nonce=\"{nonce}\", uri=\"{PATH}\", qop=auth, \
                 nc={count:08x}, cnonce=\"0a4f113b\", response=\"{response}\""
            )
        };
        let right =
            |count: u32| words(count, &proof(LOGIN, REALM, "PUT", PATH, &nonce, &format!("{count:08x}"), "0a4f113b"));
        assert_eq!(ask(&mut login, Some(right(1))), None);
        assert_eq!(ask(&mut login, Some(right(2))), None);
        for count in [2, 1] {
            let refusal = ask(&mut login, Some(right(count)));
            assert!(refusal.is_some_and(|refusal| refusal.contains(&nonce)), "the number must grow, at the same nonce");
        }
        assert_eq!(ask(&mut login, Some(right(3))), None, "and it goes on there");
        assert!(ask(&mut login, Some(words(4, "00"))).is_some());
        assert!(ask(&mut login, Some(right(5))).is_some(), "the nonce is an old one");
    }

    /// Each at the newest nonce and with the number that is next, so that nothing but the proof is wrong.
    #[test]
    fn a_proof_of_another_password_name_or_path_is_none() {
        let says = |said: (&str, &str), user: &str, password: &str, uri: &str, method: &str| {
            let mut login = Login::new(LOGIN.0, LOGIN.1);
            assert!(ask(&mut login, None).is_some());
            let nonce = login.used.clone().expect("a nonce").0;
            let response = proof((user, password), REALM, method, uri, &nonce, "00000001", "0a4f113b");
            let words = format!(
                "Digest username=\"{}\", realm=\"{REALM}\", nonce=\"{nonce}\", uri=\"{}\", qop=auth, \
                 nc=00000001, cnonce=\"0a4f113b\", response=\"{response}\"",
                said.0, said.1
            );
            ask(&mut login, Some(words)).is_none()
        };
        let proofs = |user, password, uri, method| says((user, uri), user, password, uri, method);
        assert!(proofs(LOGIN.0, LOGIN.1, PATH, "PUT"));
        assert!(!proofs(LOGIN.0, "another", PATH, "PUT"));
        assert!(!proofs("another", LOGIN.1, PATH, "PUT"));
        assert!(!proofs(LOGIN.0, LOGIN.1, "/other", "PUT"), "it is for another page");
        assert!(!proofs(LOGIN.0, LOGIN.1, PATH, "GET"), "it is for another kind of request");
        // What is said beside a right proof must be right, too.
        assert!(!says((LOGIN.0, "/other"), LOGIN.0, LOGIN.1, PATH, "PUT"), "it names another page");
        assert!(!says(("another", PATH), LOGIN.0, LOGIN.1, PATH, "PUT"), "it names somebody else");
    }

    /// RFC 7616, 3.9.1.
    #[test]
    fn the_standard_s_example() {
        let nonce = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v";
        let cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
        let who = ("Mufasa", "Circle of Life");
        assert_eq!(
            proof(who, "http-auth@example.org", "GET", "/dir/index.html", nonce, "00000001", cnonce),
            "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"
        );
    }

    #[test]
    fn a_part_of_a_stream_claims_too_short_a_length() {
        let part = String::from_utf8(stream_part("application/xml", "<a>粤B</a>".as_bytes())).unwrap();
        assert_eq!(part, "--boundary\r\nContent-Type: application/xml\r\nContent-Length: 9\r\n\r\n<a>粤B</a>\r\n");
    }

    fn ask(login: &mut Login, authorization: Option<String>) -> Option<String> {
        let request = Request { method: "PUT".to_owned(), path: PATH.to_owned(), authorization, body: Vec::new() };
        login.refuses(&request)
    }
}
