//! The till's end of HTTP: one connection for each request, so that each can be cut.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value, json};

use super::{Ask, Cut, Heard, Verb};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(12);

pub(super) struct Line {
    host: String,
    terminal: String,
    token: String,
    /// A connection on which nobody listens for an answer.
    deaf: Option<TcpStream>,
}

impl Line {
    pub(super) fn new(base: &str, terminal: &str, token: &str) -> Result<Self> {
        let host = base.strip_prefix("http://").context("a box speaks plain HTTP: --base http://…")?;
        Ok(Self {
            host: host.trim_end_matches('/').to_owned(),
            terminal: terminal.to_owned(),
            token: token.to_owned(),
            deaf: None,
        })
    }

    /// The box has another address now.
    pub(super) fn find(&mut self, base: &str) -> Result<()> {
        *self = Self::new(base, &self.terminal, &self.token)?;
        Ok(())
    }

    pub(super) fn ask(&mut self, ask: &Ask<'_>) -> Result<Heard> {
        let text = self.request(ask);
        let mut stream = TcpStream::connect(&self.host).with_context(|| format!("connect to {}", self.host))?;
        let bytes = if ask.cut == Cut::InRequest { &text.as_bytes()[..text.len() - 3] } else { text.as_bytes() };
        stream.write_all(bytes).context("send the request")?;
        if matches!(ask.cut, Cut::InRequest | Cut::AfterRequest) {
            return Ok(Heard::Nothing);
        }
        if ask.cut == Cut::Deaf {
            self.deaf = Some(stream);
            return Ok(Heard::Nothing);
        }
        let answer = whole(&mut stream, Instant::now() + PATIENCE)?;
        if ask.cut == Cut::BeforeAnswer {
            return Ok(Heard::Nothing);
        }
        heard(&answer)
    }

    /// What no verb asks: a request as it stands, with whatever shows who asks.
    pub(super) fn bare(&self, method: &str, path: &str, authorization: Option<&str>, body: &Value) -> Result<Heard> {
        let mut stream = TcpStream::connect(&self.host).with_context(|| format!("connect to {}", self.host))?;
        let body = if method == "GET" { String::new() } else { body.to_string() };
        let shown = authorization.map_or_else(String::new, |secret| format!("Authorization: Bearer {secret}\r\n"));
        let request = format!(
            "{method} /api/v1{path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{shown}\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.host,
            body.len()
        );
        stream.write_all(request.as_bytes()).context("send the request")?;
        heard(&whole(&mut stream, Instant::now() + PATIENCE)?)
    }

    /// The same box, asked by another till.
    pub(super) fn as_till(&self, terminal: &str, token: &str) -> Self {
        Self { host: self.host.clone(), terminal: terminal.to_owned(), token: token.to_owned(), deaf: None }
    }

    pub(super) fn terminal(&self) -> &str {
        &self.terminal
    }

    fn request(&self, ask: &Ask<'_>) -> String {
        let mut fields = ask.fields.clone();
        let key = |number: &Value| json!(format!("s{}-{number}", ask.shift));
        if let Some(original) = fields.remove("original") {
            let name = if ask.verb == Verb::Reverse { "original_key" } else { "key" };
            fields.insert(name.to_owned(), key(&original));
        }
        let (method, path) = address(ask, &mut fields);
        let Self { host, terminal, token, deaf: _ } = self;
        let mut head = format!(
            "{method} /api/v1{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nGatepost-Terminal: {terminal}\r\n\
             Authorization: Bearer {token}\r\n"
        );
        if method == "GET" {
            return head + "\r\n";
        }
        let name = if ask.verb.writes() { "s" } else { "ask" };
        head.push_str(&format!("Idempotency-Key: {name}{}-{}\r\n", ask.shift, ask.number));
        if ask.verb.writes() {
            head.push_str(&format!("Gatepost-Seq: {}\r\nGatepost-Shift: {}\r\n", ask.number, ask.shift));
        }
        let body = Value::Object(fields).to_string();
        format!("{head}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    }
}

/// The answer to its end, with one deadline in all: a box that says a little now and then has not answered.
fn whole(stream: &mut TcpStream, until: Instant) -> Result<String> {
    let mut answer = Vec::new();
    loop {
        let left = until.saturating_duration_since(Instant::now());
        ensure!(!left.is_zero(), "the answer is not whole after {} bytes", answer.len());
        stream.set_read_timeout(Some(left))?;
        let mut piece = [0; 4096];
        match stream.read(&mut piece).context("read the answer")? {
            0 => return String::from_utf8(answer).context("read the answer's text"),
            count => answer.extend_from_slice(&piece[..count]),
        }
    }
}

/// What an answer says.
fn heard(answer: &str) -> Result<Heard> {
    let (head, body) = answer.split_once("\r\n\r\n").context("read the answer's head")?;
    let status = head.split(' ').nth(1).unwrap_or_default();
    let body: Value = serde_json::from_str(body).with_context(|| format!("read the answer {body:?}"))?;
    if status != "200" {
        return Ok(Heard::Refused(body["code"].as_str().unwrap_or("none").to_owned()));
    }
    let replayed = head.lines().any(|line| line.eq_ignore_ascii_case("idempotency-replayed: true"));
    Ok(Heard::Done(body, replayed))
}

/// Where the verb is; what stands in the address leaves the body.
fn address(ask: &Ask<'_>, fields: &mut Map<String, Value>) -> (&'static str, String) {
    let mut part = |name: &str| {
        let value = fields.remove(name).unwrap_or_default();
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        text.replace('%', "%25").replace('/', "%2F")
    };
    match ask.verb {
        Verb::Hello => ("POST", "/shifts".to_owned()),
        Verb::Status => ("GET", "/status".to_owned()),
        Verb::Quote => ("POST", "/quotes".to_owned()),
        Verb::Lookup => ("POST", "/member-lookups".to_owned()),
        Verb::Hold => ("POST", "/holds".to_owned()),
        Verb::Capture => ("POST", format!("/holds/{}/capture", part("hold"))),
        Verb::Release => ("POST", format!("/holds/{}/release", part("hold"))),
        Verb::Commit => ("POST", "/transactions".to_owned()),
        Verb::Void => ("POST", format!("/transactions/{}/voids", part("transaction"))),
        Verb::Refund => ("POST", format!("/transactions/{}/refunds", part("transaction"))),
        Verb::Reverse => ("POST", "/reversals".to_owned()),
        Verb::Query => ("GET", format!("/operations/{}", part("key"))),
        Verb::Totals => ("GET", format!("/shifts/{}/totals", part("shift"))),
        Verb::Close => ("POST", format!("/shifts/{}/close", part("shift"))),
        Verb::Validate => ("POST", format!("/stays/{}/validations", part("stay"))),
        Verb::CouponUse => ("POST", format!("/coupons/{}/redeem", part("coupon"))),
        Verb::CouponReturn => ("POST", format!("/coupons/{}/return", part("coupon"))),
        Verb::CouponCheck => {
            let path = format!("/coupons/{}", part("coupon"));
            ("GET", format!("{path}?sale_fen={}", part("sale_fen")))
        }
        Verb::Receipt => {
            let path = format!("/receipts/{}", part("transaction"));
            ("GET", format!("{path}?columns={}", part("columns")))
        }
        Verb::Report => ("POST", "/hours".to_owned()),
        Verb::Slip => ("GET", format!("/shifts/{}/slip?columns={}", part("shift"), part("columns"))),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_box_that_goes_on_saying_something_has_not_answered_in_time() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut till = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut chatty, _) = listener.accept().unwrap();
        chatty.write_all(b"HTTP/1.1 200 OK\r\n\r\n{}").unwrap();
        drop(chatty);
        let late = whole(&mut till, Instant::now()).unwrap_err().to_string();
        assert!(late.contains("not whole"), "{late}");
        assert!(whole(&mut till, Instant::now() + PATIENCE).unwrap().ends_with("{}"));
    }
}
