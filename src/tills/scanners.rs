//! Scanners of their own: what one reads at a till is that till's next lookup, what one reads at a lane is for the
//! vehicle that waits there. They speak over a serial line, a line of text each, or post.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use anyhow::Context;
use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use serde::Deserialize;
use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::time::Instant;
use tokio_serial::SerialPortBuilderExt;
use tracing::{info, warn};

use super::access::{Secret, bearer, text_header};
use super::body::Body;
use super::problem::{Code, Problem};
use super::staff::{Answer, Given};
use super::verbs::{MOST_CODE_CHARS, resolve};
use super::{Tills, tickets};
use crate::domain::event::{LaneId, MemberId, MemberShown, Shown, ShownAt, StaffWish, TerminalId};

/// How long a scan waits for its till: a cashier scans and looks, or has forgotten it.
const SCAN_LIVES: Duration = Duration::from_secs(120);
/// How long a port that was lost is left alone.
const AGAIN: Duration = Duration::from_secs(2);

/// A scanner, `[[scanners]]` in the settings: a till's or a lane's.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scanner {
    /// Its name.
    pub id: String,
    /// What it proves itself with over HTTP.
    pub token: Option<Secret>,
    /// Its serial port; a scan is a line that ends with a carriage return or a line feed.
    pub port: Option<PathBuf>,
    /// Bits a second of the port.
    #[serde(default = "usual_baud")]
    pub baud: u32,
    /// What each of its lines begins with; other lines are no scans.
    #[serde(default)]
    pub prefix: String,
    /// The till beside it.
    pub terminal: Option<TerminalId>,
    /// The lane where it stands.
    pub lane: Option<LaneId>,
}

fn usual_baud() -> u32 {
    9600
}

/// What was scanned beside a till and has not been asked for.
pub(super) struct Scan {
    pub(super) member: MemberId,
    pub(super) shown: Shown,
    at: Instant,
}

impl Scan {
    /// Whether it still waits for its till.
    fn waits(&self, now: Instant) -> bool {
        now.duration_since(self.at) < SCAN_LIVES
    }
}

/// `POST /scans`.
pub(super) async fn scan(State(tills): State<Arc<Tills>>, headers: HeaderMap, body: Given) -> Answer {
    let unknown = || Problem::new(Code::TerminalRevoked, "Gatepost-Scanner and its Bearer token are not known here");
    let id = text_header(&headers, "gatepost-scanner").ok_or_else(unknown)?;
    let token = bearer(&headers).ok_or_else(unknown)?;
    let scanner = tills.settings.scanners.iter().find(|scanner| scanner.id == id);
    let scanner = scanner.filter(|scanner| scanner.token.as_ref().is_some_and(|known| known.is(token)));
    let scanner = scanner.ok_or_else(unknown)?.clone();
    let body = Body::parse(body, &["code"])?;
    let text = tills.scanned(&scanner, body.needed_text("code", MOST_CODE_CHARS)?).await?;
    Ok(Json(json!({"done": true, "text": text})))
}

/// Listens to every scanner on a serial port until the process ends.
pub(super) fn listen(tills: &Arc<Tills>) {
    for scanner in tills.settings.scanners.clone() {
        if let Some(port) = scanner.port.clone() {
            tokio::spawn(keep(Arc::clone(tills), scanner, port));
        }
    }
}

async fn keep(tills: Arc<Tills>, scanner: Scanner, port: PathBuf) {
    let mut was_lost = false;
    loop {
        match hear(&tills, &scanner, &port).await {
            Ok(()) => info!(scanner = scanner.id, "a scanner's line was closed"),
            Err(error) if !was_lost => warn!(scanner = scanner.id, "a scanner is lost, and looked for: {error:#}"),
            Err(_) => {}
        }
        was_lost = true;
        tokio::time::sleep(AGAIN).await;
    }
}

async fn hear(tills: &Arc<Tills>, scanner: &Scanner, port: &Path) -> anyhow::Result<()> {
    let name = port.to_str().context("read the port's name")?;
    let mut line = tokio_serial::new(name, scanner.baud).open_native_async().context("open the scanner's port")?;
    let (mut kept, mut buffer) = (Lines::default(), [0; 256]);
    loop {
        let count = line.read(&mut buffer).await.context("read from the scanner")?;
        if count == 0 {
            return Ok(());
        }
        for text in buffer[..count].iter().filter_map(|byte| kept.take(*byte)).collect::<Vec<_>>() {
            let Some(code) = text.strip_prefix(&scanner.prefix) else { continue };
            match tills.scanned(scanner, code).await {
                Ok(text) => info!(scanner = scanner.id, "scanned: {text}"),
                Err(problem) => warn!(scanner = scanner.id, code = problem.code().as_str(), "a scan was refused"),
            }
        }
    }
}

/// Lines out of bytes; one that is longer than any code is forgotten to its end.
#[derive(Default)]
pub(super) struct Lines {
    kept: Vec<u8>,
    is_too_long: bool,
}

impl Lines {
    /// Takes one byte; gives the line that it ends.
    pub(super) fn take(&mut self, byte: u8) -> Option<String> {
        if byte != b'\r' && byte != b'\n' {
            self.is_too_long |= self.kept.len() >= MOST_CODE_CHARS;
            if !self.is_too_long {
                self.kept.push(byte);
            }
            return None;
        }
        let (kept, was_too_long) = (std::mem::take(&mut self.kept), std::mem::take(&mut self.is_too_long));
        (!was_too_long && !kept.is_empty()).then(|| String::from_utf8_lossy(&kept).trim().to_owned())
    }
}

impl Tills {
    /// What a scan means where it was made.
    async fn scanned(&self, scanner: &Scanner, code: &str) -> Result<String, Problem> {
        if let (Some(lane), Some(ticket)) = (&scanner.lane, tickets::ticket_of(&self.settings.ticket_key, code)) {
            let act = self.act(lane.as_str(), format!("scanner {}", scanner.id), StaffWish::ShowTicket { ticket });
            return act.await.map(|Json(answer)| answer["text"].as_str().unwrap_or_default().to_owned());
        }
        let member_ref = self.of_code(code)?;
        let found = self.settings.reader.look(move |view| resolve(view, &member_ref)).await?;
        let unknown = || Problem::new(Code::MemberUnknown, "no member of that code is known to this box");
        let (member, shown) = found.map(|(member, shown)| (member.id, shown)).ok_or_else(unknown)?;
        if let Some(lane) = &scanner.lane {
            let at = ShownAt::Lane { lane: self.lane(lane.as_str())?.clone() };
            self.claim(MemberShown { at, member, shown }).await?;
            return Ok(format!("the vehicle at {lane} is the member's"));
        }
        let Some(terminal) = &scanner.terminal else {
            return Err(Problem::new(Code::Internal, "this scanner stands neither at a till nor at a lane"));
        };
        if let Shown::Code { .. } = shown {
            let at = ShownAt::Till { terminal: terminal.clone() };
            self.claim(MemberShown { at, member: member.clone(), shown }).await?;
        }
        let scan = Scan { member, shown, at: Instant::now() };
        self.scans.lock().unwrap_or_else(PoisonError::into_inner).insert(terminal.clone(), scan);
        Ok(format!("the next lookup of {terminal} is the member"))
    }

    /// What was scanned beside a till a moment ago; it is asked for once.
    pub(super) fn take_scan(&self, terminal: &TerminalId) -> Option<(MemberId, Shown)> {
        let scan = self.scans.lock().unwrap_or_else(PoisonError::into_inner).remove(terminal)?;
        scan.waits(Instant::now()).then_some((scan.member, scan.shown))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tills::rig::{Rig, Sent};

    #[tokio::test]
    async fn what_is_scanned_beside_a_till_is_its_next_lookup() {
        let rig = Rig::new().await;
        let scan = |token: &'static str, code: &'static str| {
            let request = rig.client.post(rig.url("scans")).bearer_auth(token).header("Gatepost-Scanner", "s1");
            Sent { request: request.json(&json!({ "code": code })), rig: &rig }
        };
        rig.till_post("member-lookups", "k", &json!({})).problem("bad-request", 400).await;
        scan("scan", "134567890123456789").problem("payment-code", 400).await;
        scan("wrong", "GPM1001").problem("terminal-revoked", 401).await;
        assert_eq!(scan("scan", "GPM1001").expect(200).await["done"], true);
        let found = rig.till_post("member-lookups", "k", &json!({})).expect(200).await;
        assert_eq!((&found["handle"], &found["may_pay"]), (&json!("王**"), &json!(false)));
        rig.till_post("member-lookups", "k", &json!({})).problem("bad-request", 400).await;
    }

    #[test]
    fn a_scan_waits_two_minutes_for_its_till() {
        let at = Instant::now();
        let scan = Scan { member: "M1".into(), shown: Shown::Fixed, at };
        let after = |seconds| scan.waits(at + Duration::from_secs(seconds));
        assert!(after(0) && after(119) && !after(120));
    }

    #[test]
    fn a_scan_is_a_line_and_noise_is_none() {
        let mut lines = Lines::default();
        let long = "x".repeat(MOST_CODE_CHARS + 1);
        let bytes = format!("~GPM1\r\n\n{long}\r~GPM2\n half");
        let heard: Vec<String> = bytes.bytes().filter_map(|byte| lines.take(byte)).collect();
        assert_eq!(heard, ["~GPM1", "~GPM2"]);
    }
}
