//! What Hikvision's entrance cameras do: they post events as XML in forms with pictures, and raise when they are asked with
//! HTTP Digest (RFC 7616, SHA-256 as newer firmware wants it). They know neither loops nor an arm.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::dialect::{Message, Said};
use super::{NO_PLATE, OutputCommand};
use crate::clock::rfc3339;
use crate::plates::PlateKind;

/// Who may raise, for the box's settings.
pub const LOGIN: (&str, &str) = ("box", "Circle Of Life");
const REALM: &str = "IP Camera(C1234)";
const BARRIER: &str = "/ISAPI/Parking/channels/1/barrierGate";
const BOUNDARY: &str = "MIME_boundary";
/// No request of a box is longer.
const REQUEST_BYTES_MAX: usize = 16 * 1024;
const TAKEN: &str = r#"<?xml version="1.0" encoding="UTF-8"?><ResponseStatus version="2.0" xmlns="http://www.isapi.org/ver20/XMLSchema"><statusCode>1</statusCode><statusString>OK</statusString></ResponseStatus>"#;

/// A plate in a form, its pictures beside it.
pub(super) fn message(said: &Said<'_>, name: &str) -> Option<Message> {
    let Said::Plate { capture, record, is_quick: _, pictures } = said else { return None };
    let plate = if capture.plate == NO_PLATE { "unknown" } else { capture.plate.as_str() };
    let colour = match PlateKind::of(plate) {
        PlateKind::Ordinary => "blue",
        PlateKind::NewEnergy => "newEnergyGreen",
    };
    let believe = vec![capture.confidence.to_string(); plate.chars().count()].join(",");
    let anpr = format!(
        "<ANPR><country>1</country><licensePlate>{plate}</licensePlate><line>1</line><direction>forward</direction>\
         <confidenceLevel>{}</confidenceLevel><plateColor>{colour}</plateColor>\
         <plateCharBelieve>{believe}</plateCharBelieve><detectType>2</detectType><alarmDataType>0</alarmDataType>\
         <originalLicensePlate>{plate}</originalLicensePlate></ANPR>\
         <UUID>a0fe72d4-3652-464a-aebd-{record:012}</UUID><picNum>2</picNum>",
        capture.confidence
    );
    let xml = event("ANPR", "active", &rfc3339(capture.at_ms), &anpr);
    let mut body = part("anpr.xml", "application/xml", xml.as_bytes());
    if let Some(pictures) = pictures {
        body.extend(part("licensePlatePicture.jpg", "image/jpeg", &pictures.plate));
        body.extend(part("detectionPicture.jpg", "image/jpeg", &pictures.scene));
    }
    body.extend(format!("--{BOUNDARY}--\r\n").into_bytes());
    let content_type = format!("multipart/form-data; boundary={BOUNDARY}");
    Some(Message { to: path(name), content_type, body })
}

/// The event that says nothing but that the camera is there.
pub(super) fn alive(name: &str) -> Message {
    let body = event("videoloss", "inactive", &rfc3339(0), "").into_bytes();
    Message { to: path(name), content_type: "application/xml".to_owned(), body }
}

fn path(name: &str) -> String {
    format!("/hikvision/{name}")
}

fn event(kind: &str, state: &str, at: &str, more: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<EventNotificationAlert version=\"2.0\" \
         xmlns=\"http://www.isapi.org/ver20/XMLSchema\"><macAddress>44:a6:42:00:00:01</macAddress>\
         <channelID>1</channelID><dateTime>{at}</dateTime><activePostCount>1</activePostCount>\
         <eventType>{kind}</eventType><eventState>{state}</eventState>{more}</EventNotificationAlert>\n"
    )
}

fn part(name: &str, content_type: &str, bytes: &[u8]) -> Vec<u8> {
    let head = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"{name}\"\r\n\
         Content-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
        bytes.len()
    );
    [head.as_bytes(), bytes, b"\r\n"].concat()
}

/// The camera's own address, where it is asked for the barrier; nobody answers there when it is dropped.
pub(super) struct Gate {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

struct Shared {
    commands: mpsc::Sender<OutputCommand>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    deaf_until: Option<Instant>,
    nonces: u64,
    /// The highest number that each nonce was used with, the newest nonce last.
    used: Option<(String, u32)>,
}

impl Gate {
    pub async fn open(commands: mpsc::Sender<OutputCommand>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("listen for requests to the camera")?;
        let address = listener.local_addr().context("read the camera's address")?;
        let shared = Arc::new(Shared { commands, state: Mutex::default() });
        let serving = tokio::spawn(serve(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, serving })
    }

    /// What is asked meanwhile gets no answer.
    pub fn start_anew(&self, within: Duration) {
        self.shared.state().deaf_until = Some(Instant::now() + within);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let _ = stream.set_nodelay(true);
            while let Ok(Some(request)) = Request::read(&mut stream).await {
                let Some(answer) = shared.answer(&request) else { return };
                if stream.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
            }
        });
    }
}

impl Shared {
    /// None from a camera that starts anew.
    fn answer(&self, request: &Request) -> Option<String> {
        let mut state = self.state();
        if state.deaf_until.is_some_and(|until| Instant::now() < until) {
            return None;
        }
        if !request.authorization.as_deref().is_some_and(|words| state.accepts(request, words)) {
            let nonce = state.new_nonce();
            let challenge = format!(
                "WWW-Authenticate: Digest realm=\"{REALM}\", qop=\"auth\", algorithm=SHA-256, nonce=\"{nonce}\"\r\n"
            );
            return Some(respond("401 Unauthorized", &challenge, ""));
        }
        if (request.method.as_str(), request.path.as_str()) != ("PUT", BARRIER) {
            return Some(respond("404 Not Found", "", ""));
        }
        if request.body.contains("<ctrlMode>open</ctrlMode>") {
            // The camera times the pulse by its own settings.
            let raise = OutputCommand { id: String::new(), io: 0, value: 2, delay_ms: 500, at: Instant::now() };
            if self.commands.try_send(raise).is_err() {
                tracing::warn!("nobody looks at the camera's barrier");
            }
        }
        Some(respond("200 OK", "Content-Type: application/xml\r\n", TAKEN))
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn new_nonce(&mut self) -> String {
        self.nonces += 1;
        let nonce = hash(&format!("{REALM} {}", self.nonces));
        self.used = Some((nonce.clone(), 0));
        nonce
    }

    /// Whether the proof is right, of the newest nonce, and numbered above all before.
    fn accepts(&mut self, request: &Request, authorization: &str) -> bool {
        let word = |name: &str| {
            let words = authorization.trim_start_matches("Digest ").split(',');
            let mut pairs = words.filter_map(|word| word.trim().split_once('='));
            pairs.find(|(known, _)| *known == name).map(|(_, value)| value.trim_matches('"').to_owned())
        };
        let (Some(nonce), Some(number), Some(cnonce), Some(response)) =
            (word("nonce"), word("nc"), word("cnonce"), word("response"))
        else {
            return false;
        };
        let Ok(count) = u32::from_str_radix(&number, 16) else { return false };
        let is_right = word("username").as_deref() == Some(LOGIN.0)
            && word("uri").as_deref() == Some(request.path.as_str())
            && response == proof(LOGIN, REALM, &request.method, &request.path, &nonce, &number, &cnonce);
        match &mut self.used {
            Some((known, highest)) if is_right && *known == nonce && count > *highest => {
                *highest = count;
                true
            }
            Some(_) | None => false,
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

fn respond(status: &str, more: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{more}Content-Length: {}\r\n\r\n{body}", body.len())
}

/// What a box asks.
#[derive(Debug)]
struct Request {
    method: String,
    path: String,
    authorization: Option<String>,
    body: String,
}

impl Request {
    /// The next one; none at the end of the connection.
    async fn read(stream: &mut TcpStream) -> Result<Option<Self>> {
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
            body: String::from_utf8_lossy(body).into_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera::{Capture, Trigger};

    #[test]
    fn a_plate_is_a_form_with_the_documented_fields() {
        let capture = Capture {
            plate: "粤B12345".to_owned(),
            at_ms: 1_772_294_399_638,
            confidence: 92,
            trigger: Trigger::VirtualLoop,
        };
        let said = Said::Plate { capture: &capture, record: 1, is_quick: false, pictures: None };
        let posted = message(&said, "exit-1").expect("a post");
        assert_eq!(
            (posted.to.as_str(), posted.content_type.as_str()),
            ("/hikvision/exit-1", "multipart/form-data; boundary=MIME_boundary")
        );
        let text = String::from_utf8(posted.body).unwrap();
        for must in [
            "name=\"anpr.xml\"",
            "<eventType>ANPR</eventType><eventState>active</eventState>",
            "<dateTime>2026-02-28T23:59:59.638+08:00</dateTime>",
            "<licensePlate>粤B12345</licensePlate>",
            "<plateCharBelieve>92,92,92,92,92,92,92</plateCharBelieve>",
            "<UUID>a0fe72d4-3652-464a-aebd-000000000001</UUID>",
        ] {
            assert!(text.contains(must), "{must} in {text}");
        }
        assert!(text.ends_with("--MIME_boundary--\r\n"));
    }

    #[test]
    fn only_who_knows_the_password_raises_and_no_proof_is_good_twice() {
        let (commands, mut raised) = mpsc::channel(4);
        let shared = Shared { commands, state: Mutex::default() };
        let body = "<BarrierGate><ctrlMode>open</ctrlMode></BarrierGate>";
        assert!(ask(&shared, None, body).starts_with("HTTP/1.1 401"));
        let nonce = shared.state().used.clone().expect("a nonce").0;
        let words = |count: u32, response: &str| {
            format!(
                "Digest username=\"box\", realm=\"{REALM}\", nonce=\"{nonce}\", uri=\"{BARRIER}\", qop=auth, \
                 nc={count:08x}, cnonce=\"0a4f113b\", response=\"{response}\""
            )
        };
        let right = |count: u32| {
            words(count, &proof(LOGIN, REALM, "PUT", BARRIER, &nonce, &format!("{count:08x}"), "0a4f113b"))
        };
        assert!(ask(&shared, Some(right(1)), body).contains("<statusCode>1</statusCode>"));
        assert!(raised.try_recv().expect("a raise").raises());
        assert!(ask(&shared, Some(right(2)), "<ctrlMode>close</ctrlMode>").starts_with("HTTP/1.1 200"));
        assert!(raised.try_recv().is_err(), "that was no raise");
        assert!(ask(&shared, Some(right(2)), body).starts_with("HTTP/1.1 401"), "the number must grow");
        assert!(ask(&shared, Some(right(3)), body).starts_with("HTTP/1.1 401"), "the nonce is an old one");
        assert!(ask(&shared, Some(words(1, "00")), body).starts_with("HTTP/1.1 401"));
        assert!(raised.try_recv().is_err());
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

    fn ask(shared: &Shared, authorization: Option<String>, body: &str) -> String {
        let request =
            Request { method: "PUT".to_owned(), path: BARRIER.to_owned(), authorization, body: body.to_owned() };
        shared.answer(&request).expect("an answer")
    }
}
