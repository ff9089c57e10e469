//! A cash register on the mall's network: looks members up, asks what a stay costs, takes money, and never pays twice.

use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result};
use reqwest::{Client, Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// How many codes a driver shows before giving up: in fast time half a minute is soon over.
const CODES_SHOWN: u32 = 10;
/// How long a till waits for one answer before it counts it as lost.
const ANSWER_PATIENCE: Duration = Duration::from_secs(3);
/// Pause before a till asks again.
const RETRY_PAUSE: Duration = Duration::from_millis(150);
/// How often a till asks before it gives up; with the pause, as long as a box may take to start again.
const ATTEMPTS: u32 = 200;

/// Where a till finds the box and how it says who it is.
#[derive(Clone, Debug)]
pub struct TillSettings {
    /// The box's web address without a path, such as `http://127.0.0.1:8080`.
    pub base: String,
    /// The terminal's id.
    pub terminal: String,
    /// The terminal's token.
    pub token: String,
}

/// A till.
pub struct Till {
    settings: TillSettings,
    http: Client,
}

/// What a member's code says about its owner.
#[derive(Clone, Debug, Deserialize)]
pub struct Member {
    /// What the till sends back to name the member.
    pub member_ref: String,
    /// A masked name.
    pub handle: String,
    /// Points that this box can take.
    pub points_usable: i64,
}

/// What a stay owes.
#[derive(Clone, Debug, Deserialize)]
pub struct Quote {
    /// The stay.
    pub stay: String,
    /// The fee until now.
    pub fee_fen: i64,
    /// What has been paid.
    pub paid_fen: i64,
    /// What is left.
    pub due_fen: i64,
    /// Points that would pay what is left.
    #[serde(default)]
    pub points_needed: i64,
    /// Points that this box can take.
    #[serde(default)]
    pub points_usable: i64,
}

/// One business transaction; its tenders are cash only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Transaction {
    /// The till's own receipt number.
    pub receipt_no: String,
    /// When, as RFC 3339.
    pub occurred_at: String,
    /// Who buys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member_ref: Option<String>,
    /// What was bought.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sale_fen: Option<i64>,
    /// The stay whose due is paid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stay: Option<String>,
    /// What was paid with.
    pub tenders: Vec<Tender>,
}

/// A way to pay and how much of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tender {
    /// `cash`, `wallet` or `points`.
    pub kind: &'static str,
    /// How much.
    pub fen: i64,
    /// The payment's own number.
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
}

impl Tender {
    /// Notes and coins.
    pub fn cash(fen: i64) -> Self {
        Self { kind: "cash", fen, reference: None }
    }

    /// What the driver of this number pays with: two of three with their telephone, where the payment has a number as
    /// WeChat Pay gives it.
    pub fn of_driver(number: usize, fen: i64) -> Self {
        if number.is_multiple_of(3) {
            return Self::cash(fen);
        }
        Self { kind: "wallet", fen, reference: Some(format!("42000{number:023}")) }
    }

    /// Points.
    pub fn points(fen: i64) -> Self {
        Self { kind: "points", fen, reference: None }
    }
}

/// What the box knows about a key.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    /// Done, with this answer.
    Applied(Value),
    /// Not finished.
    InProgress,
    /// Never seen.
    NotFound,
}

/// Why there is no answer that the till can use.
#[derive(Debug)]
pub enum Failure {
    /// The box refused, and says why.
    Refused(Problem),
    /// Nothing came back: it may have happened or not.
    Lost(anyhow::Error),
}

/// A refusal in the box's words (RFC 9457).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The HTTP status.
    pub status: u16,
    /// The word for it.
    pub code: String,
    /// Whether the same request may succeed a moment later.
    pub retryable: bool,
    /// Whether it may have happened all the same.
    pub outcome_unknown: bool,
    /// The whole problem as it came.
    pub text: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(problem) => write!(f, "refused with {} {}: {}", problem.status, problem.code, problem.text),
            Self::Lost(error) => write!(f, "no answer: {error:#}"),
        }
    }
}

impl std::error::Error for Failure {}

impl Failure {
    /// Whether it may have happened all the same.
    pub fn leaves_outcome_unknown(&self) -> bool {
        match self {
            Self::Refused(problem) => problem.outcome_unknown,
            Self::Lost(_) => true,
        }
    }
}

impl Till {
    /// A till that has not asked anything yet.
    pub fn new(settings: TillSettings) -> Result<Self> {
        Ok(Self { settings, http: http_client()? })
    }

    /// Finds a member by the code on a card or phone.
    pub async fn lookup_code(&self, code: &str) -> Result<Member, Failure> {
        self.ask("member-lookups", &json!({ "code": code })).await
    }

    /// Finds a member by a plate.
    pub async fn lookup_plate(&self, plate: &str) -> Result<Member, Failure> {
        self.ask("member-lookups", &json!({ "plate": plate })).await
    }

    /// Asks what the vehicle with this plate owes now.
    pub async fn quote_plate(&self, plate: &str) -> Result<Quote, Failure> {
        self.ask("quotes", &json!({ "plate": plate })).await
    }

    /// Sends a transaction once.
    pub async fn commit(&self, key: &str, transaction: &Transaction) -> Result<Value, Failure> {
        let body = serde_json::to_value(transaction).map_err(|error| Failure::Lost(error.into()))?;
        self.post("transactions", key, &body).await
    }

    /// Sends a transaction and hangs up before the answer, as a till does whose cable is pulled.
    pub async fn commit_and_hang_up(&self, key: &str, transaction: &Transaction) -> Result<()> {
        let body = serde_json::to_string(transaction).context("write the transaction")?;
        let host = self.settings.base.strip_prefix("http://").context("hang up on a box that speaks plain HTTP")?;
        let mut stream = TcpStream::connect(host).await.context("connect to the box")?;
        let TillSettings { terminal, token, .. } = &self.settings;
        let request = format!(
            "POST /api/v1/transactions HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\
             Gatepost-Terminal: {terminal}\r\nIdempotency-Key: {key}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.context("send the transaction")?;
        stream.shutdown().await.context("hang up")
    }

    /// Asks what became of a key.
    pub async fn query(&self, key: &str) -> Result<Operation, Failure> {
        let url = format!("{}/api/v1/operations/{key}", self.settings.base);
        let request = self.signed(Method::GET, &url);
        let found = answer(request.send().await).await?;
        match found["status"].as_str() {
            Some("applied") => Ok(Operation::Applied(found["answer"].clone())),
            Some("in_progress") => Ok(Operation::InProgress),
            Some("not_found") => Ok(Operation::NotFound),
            _ => Err(Failure::Lost(anyhow::anyhow!("the box answered {found}, which names no status"))),
        }
    }

    /// Sends a transaction until its fate is known; an unknown outcome is resolved by asking, with the same key.
    pub async fn commit_until_known(&self, key: &str, transaction: &Transaction) -> Result<Value, Failure> {
        let mut attempts = Attempts::begin();
        loop {
            let mut found = self.commit(key, transaction).await;
            let is_unknown = found.as_ref().is_err_and(Failure::leaves_outcome_unknown);
            if is_unknown && let Ok(Operation::Applied(answer)) = self.query(key).await {
                found = Ok(answer);
            }
            if attempts.settle(&found).await {
                return found;
            }
        }
    }

    /// Asks what a plate owes until the box answers.
    pub async fn quote_plate_patiently(&self, plate: &str) -> Result<Quote, Failure> {
        let mut attempts = Attempts::begin();
        loop {
            let found = self.quote_plate(plate).await;
            if attempts.settle(&found).await {
                return found;
            }
        }
    }

    /// Gives a merchant's validation to a stay until the box answers.
    pub async fn validate_patiently(&self, stay: &str, kind: &str, spend_fen: i64) -> Result<(), Failure> {
        let key = format!("gift-{:016x}", fastrand::u64(..));
        let body = json!({ "kind": kind, "spend_fen": spend_fen });
        self.post_patiently(&format!("stays/{stay}/validations"), &key, &body).await.map(|_| ())
    }

    /// Shows a coupon for a stay until the box answers.
    pub async fn show_coupon_patiently(&self, stay: &str, coupon: &str) -> Result<(), Failure> {
        let key = format!("coupon-{:016x}", fastrand::u64(..));
        self.post_patiently(&format!("stays/{stay}/coupons"), &key, &json!({ "coupon": coupon })).await.map(|_| ())
    }

    /// Asks what has become of a coupon.
    pub async fn coupon_state(&self, coupon: &str) -> Result<String, Failure> {
        let url = format!("{}/api/v1/coupons/{coupon}", self.settings.base);
        let found = answer(self.signed(Method::GET, &url).send().await).await?;
        Ok(found["state"].as_str().unwrap_or_default().to_owned())
    }

    async fn post_patiently(&self, path: &str, key: &str, body: &Value) -> Result<Value, Failure> {
        let mut attempts = Attempts::begin();
        loop {
            let given = self.post(path, key, body).await;
            if attempts.settle(&given).await {
                return given;
            }
        }
    }

    /// A kiosk at an entry asks for a ticket for the vehicle that waits there; its number and its QR code.
    pub async fn ticket_patiently(&self, lane: &str) -> Result<(String, String), Failure> {
        let key = format!("ticket-{:016x}", fastrand::u64(..));
        let mut attempts = Attempts::begin();
        loop {
            let given = self.post("tickets", &key, &json!({ "lane": lane })).await;
            if attempts.settle(&given).await {
                let given = given?;
                let text = |name: &str| given[name].as_str().unwrap_or_default().to_owned();
                return Ok((text("ticket"), text("qr")));
            }
        }
    }

    /// A kiosk at an exit has read a ticket.
    pub async fn scan_patiently(&self, lane: &str, qr: &str) -> Result<(), Failure> {
        let key = format!("scan-{:016x}", fastrand::u64(..));
        let mut attempts = Attempts::begin();
        loop {
            let taken = self.post("tickets/scans", &key, &json!({ "lane": lane, "qr": qr })).await;
            if attempts.settle(&taken).await {
                return taken.map(|_| ());
            }
        }
    }

    /// Scans a member's phone until the box answers. The phone shows a new code where the box took too long for the old.
    pub async fn scan_phone_patiently(&self, code: impl Fn() -> Result<String>) -> Result<Member, Failure> {
        let mut attempts = Attempts::begin();
        let mut shown = 0;
        loop {
            let found = self.lookup_code(&code().map_err(Failure::Lost)?).await;
            let is_old = matches!(&found, Err(Failure::Refused(problem)) if problem.code == "member-code-expired");
            shown += 1;
            if (!is_old || shown == CODES_SHOWN) && attempts.settle(&found).await {
                return found;
            }
        }
    }

    /// A question that changes nothing still carries a key, because every POST does.
    async fn ask<T: for<'a> Deserialize<'a>>(&self, verb: &str, body: &Value) -> Result<T, Failure> {
        let key = format!("ask-{:016x}", fastrand::u64(..));
        let found = self.post(verb, &key, body).await?;
        serde_json::from_value(found).context("read the box's answer").map_err(Failure::Lost)
    }

    async fn post(&self, verb: &str, key: &str, body: &Value) -> Result<Value, Failure> {
        let url = format!("{}/api/v1/{verb}", self.settings.base);
        let request = self.signed(Method::POST, &url).header("Idempotency-Key", key).json(body);
        answer(request.send().await).await
    }

    fn signed(&self, method: Method, url: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, url).bearer_auth(&self.settings.token);
        request.header("Gatepost-Terminal", &self.settings.terminal)
    }
}

/// Counts attempts and decides which answer is final.
pub(crate) struct Attempts(u32);

impl Attempts {
    pub(crate) fn begin() -> Self {
        Self(0)
    }

    /// Whether to give up asking: there is an answer, or a refusal that will stay one, or there were enough attempts.
    /// Otherwise a pause has passed.
    pub(crate) async fn settle<T>(&mut self, found: &Result<T, Failure>) -> bool {
        self.0 += 1;
        let will_stay = match found {
            Ok(_) => true,
            Err(Failure::Refused(problem)) => !problem.retryable && !problem.outcome_unknown,
            Err(Failure::Lost(_)) => false,
        };
        if will_stay || self.0 >= ATTEMPTS {
            return true;
        }
        tokio::time::sleep(RETRY_PAUSE).await;
        false
    }
}

/// An HTTP client for a box on the local network.
pub(crate) fn http_client() -> Result<Client> {
    // The client insists on a provider for HTTPS even where it speaks plain HTTP; a second installation is refused
    // and harmless.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().no_proxy().timeout(ANSWER_PATIENCE).build().context("make an HTTP client")
}

/// Turns a response into JSON, a refusal, or a lost answer.
pub(crate) async fn answer(response: reqwest::Result<reqwest::Response>) -> Result<Value, Failure> {
    let lost = |error: reqwest::Error| Failure::Lost(error.into());
    let response = response.map_err(lost)?;
    let status = response.status();
    let text = response.text().await.map_err(lost)?;
    if status == StatusCode::OK || status == StatusCode::CREATED {
        return serde_json::from_str(&text).context("read the box's answer").map_err(Failure::Lost);
    }
    let problem: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
    let code = problem["code"].as_str().unwrap_or("none").to_owned();
    let retryable = problem["retryable"] == true;
    let outcome_unknown = problem["outcome"] == "unknown";
    Err(Failure::Refused(Problem { status: status.as_u16(), code, retryable, outcome_unknown, text }))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
    use tokio::net::TcpListener;

    use super::*;

    /// What a scripted box does with the next request.
    #[derive(Clone, Copy)]
    enum Turn {
        Answer(u16, &'static str),
        HangUp,
    }

    #[tokio::test]
    async fn a_lost_answer_is_asked_for_and_not_paid_again() {
        let script = [Turn::HangUp, Turn::Answer(200, r#"{"status":"applied","answer":{"transaction":"T1"}}"#)];
        let (found, asked) = commit_against(&script).await;
        assert_eq!(found.unwrap()["transaction"], "T1");
        assert_eq!(asked, ["POST /api/v1/transactions K1", "GET /api/v1/operations/K1 "]);
    }

    #[tokio::test]
    async fn an_unheard_transaction_is_sent_again_with_its_key() {
        let script = [
            Turn::HangUp,
            Turn::Answer(200, r#"{"status":"not_found"}"#),
            Turn::Answer(503, r#"{"code":"busy","retryable":true,"outcome":"none"}"#),
            Turn::Answer(200, r#"{"transaction":"T2"}"#),
        ];
        let (found, asked) = commit_against(&script).await;
        assert_eq!(found.unwrap()["transaction"], "T2");
        let post = "POST /api/v1/transactions K1";
        assert_eq!(asked, [post, "GET /api/v1/operations/K1 ", post, post]);
    }

    #[tokio::test]
    async fn an_answer_that_came_too_late_is_asked_for() {
        let script = [
            Turn::Answer(503, r#"{"code":"answer-late","retryable":false,"outcome":"unknown"}"#),
            Turn::Answer(200, r#"{"status":"in_progress"}"#),
            Turn::Answer(409, r#"{"code":"idempotency-key-in-progress","retryable":true,"outcome":"unknown"}"#),
            Turn::Answer(200, r#"{"status":"applied","answer":{"transaction":"T3"}}"#),
        ];
        let (found, asked) = commit_against(&script).await;
        assert_eq!(found.unwrap()["transaction"], "T3");
        assert_eq!(asked.len(), script.len());
    }

    #[tokio::test]
    async fn a_refusal_is_final() {
        let script = [Turn::Answer(409, r#"{"code":"tender-mismatch","retryable":false,"outcome":"none"}"#)];
        let (found, asked) = commit_against(&script).await;
        let Err(Failure::Refused(problem)) = found else { panic!("a refusal") };
        assert_eq!((problem.status, problem.code.as_str()), (409, "tender-mismatch"));
        assert_eq!(asked.len(), 1);
    }

    async fn commit_against(script: &[Turn]) -> (Result<Value, Failure>, Vec<String>) {
        let (base, asked) = scripted_box(script.to_vec()).await;
        let till = Till::new(TillSettings { base, terminal: "t1".to_owned(), token: "secret".to_owned() }).unwrap();
        let transaction = Transaction {
            receipt_no: "A-1".to_owned(),
            occurred_at: "2026-02-28T23:59:59.000+08:00".to_owned(),
            member_ref: None,
            sale_fen: Some(500),
            stay: None,
            tenders: vec![Tender::cash(500)],
        };
        let found = till.commit_until_known("K1", &transaction).await;
        let asked = asked.lock().unwrap().clone();
        (found, asked)
    }

    /// Takes one request per connection and notes method, path and key.
    async fn scripted_box(script: Vec<Turn>) -> (String, Arc<Mutex<Vec<String>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let notes = Arc::clone(&asked);
        tokio::spawn(async move {
            for turn in script {
                let (stream, _) = listener.accept().await.unwrap();
                let mut stream = BufReader::new(stream);
                let note = read_request(&mut stream).await;
                notes.lock().unwrap().push(note);
                if let Turn::Answer(status, body) = turn {
                    let head = format!("HTTP/1.1 {status} Scripted\r\nConnection: close\r\n");
                    let text = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
                    stream.write_all(text.as_bytes()).await.unwrap();
                }
            }
        });
        (base, asked)
    }

    async fn read_request(stream: &mut BufReader<TcpStream>) -> String {
        let (mut first, mut key, mut length) = (String::new(), String::new(), 0);
        stream.read_line(&mut first).await.unwrap();
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await.unwrap();
            let (name, value) = line.trim_end().split_once(": ").unwrap_or(("", ""));
            match name.to_ascii_lowercase().as_str() {
                "" => break,
                "idempotency-key" => key = value.to_owned(),
                "content-length" => length = value.parse().unwrap(),
                _ => {}
            }
        }
        stream.read_exact(&mut vec![0; length]).await.unwrap();
        let target = first.trim_end().trim_end_matches(" HTTP/1.1");
        format!("{target} {key}")
    }
}
