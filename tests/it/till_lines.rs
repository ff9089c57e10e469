//! One suite drives a real daemon over every line that a till may have, and cuts it where it hurts.

use serde_json::{Value, json};
use simulators::conformance::{Options, Report, Transport, pseudo_terminal, run, run_over};

use crate::boxed::{Site, request};

#[test]
fn every_line_keeps_every_promise() {
    let (classic, classic_end, classic_port) = pseudo_terminal().unwrap();
    let (strong, strong_end, strong_port) = pseudo_terminal().unwrap();
    let settings = format!(
        r#"
[[terminals]]
id = "till-2"
token = "unused-2"
[[terminals]]
id = "till-3"
token = "unused-3"
[[terminals]]
id = "till-4"
token = "unused-4"
[[till_lines]]
kind = "serial-classic"
terminal = "till-2"
port = "{}"
check_seed = 0x7F
check_with_stx = true
[[till_lines]]
kind = "serial-strong"
terminal = "till-3"
port = "{}"
[[till_lines]]
kind = "files"
terminal = "till-4"
folder = "{{folder}}/till-4"
{LANE}"#,
        classic_port.display(),
        strong_port.display(),
    );
    let mut site = Site::start(&settings);
    let base = format!("http://{}", site.address);
    let folder = site.folder.path().join("till-4");
    std::thread::scope(|scope| {
        let http = scope.spawn(|| run(&options(Transport::Http), &base, "till-1", "secret").unwrap());
        let classic = scope.spawn(|| run_over(&options(Transport::SerialClassic), classic).unwrap());
        let strong = scope.spawn(|| run_over(&options(Transport::SerialStrong), strong).unwrap());
        let files = Options { folder: Some(folder), ..options(Transport::Files) };
        let files = scope.spawn(move || run(&files, "", "", "").unwrap());
        check("http", &http.join().unwrap());
        check("serial-classic", &classic.join().unwrap());
        check("serial-strong", &strong.join().unwrap());
        check("files", &files.join().unwrap());
    });
    drop((classic_end, strong_end));
    site.daemon.kill();
    site.verify().unwrap();
}

#[test]
fn another_storm_in_a_shift_of_its_own_is_kept_apart() {
    let site = Site::start(LANE);
    let base = format!("http://{}", site.address);
    check("http", &run(&options(Transport::Http), &base, "till-1", "secret").unwrap());
    let again = Options { seed: 7, ..options(Transport::Http) };
    check("http, another shift", &run(&again, &base, "till-1", "secret").unwrap());
}

#[test]
fn a_till_is_let_in_by_eight_digits_and_shut_out_again() {
    let mut site = Site::start(LANE);
    let ask = |site: &Site, method: &str, path: &str, headers: &[(&str, &str)], body: &Value| {
        let answer = request(site.address, method, &format!("/api/v1{path}"), headers, &body.to_string()).unwrap();
        (answer.status, serde_json::from_str::<Value>(&answer.body).unwrap())
    };
    let (status, asked) = ask(&site, "POST", "/pairings", &[], &json!({}));
    assert_eq!((status, asked["code"].as_str().unwrap().len()), (200, 8), "{asked}");
    let path = format!("/pairings/{}", asked["pairing"].as_str().unwrap());
    let secret = format!("Bearer {}", asked["secret"].as_str().unwrap());
    let poll = |site: &Site, secret: &str| ask(site, "GET", &path, &[("Authorization", secret)], &json!({}));
    assert_eq!(poll(&site, &secret), (200, json!({"status": "waiting"})));
    assert_eq!(poll(&site, "Bearer guessed").0, 404);
    let approve = |site: &Site, code: &Value| {
        let body = json!({"operator": "guard", "pin": "4711", "code": code, "terminal": "till-9", "merchant": "cafe"});
        ask(site, "POST", "/staff/pairings", &[], &body)
    };
    assert_eq!(approve(&site, &json!("00000000x")).0, 404);
    assert_eq!(approve(&site, &asked["code"]).0, 200);
    assert_eq!(approve(&site, &asked["code"]).0, 404, "a code lets one till in");
    let (_, approved) = poll(&site, &secret);
    let token = format!("Bearer {}", approved["token"].as_str().unwrap());
    let status = |site: &Site| {
        let headers = [("Gatepost-Terminal", "till-9"), ("Authorization", token.as_str())];
        ask(site, "GET", "/status", &headers, &json!({})).0
    };
    assert_eq!(status(&site), 200);
    site.daemon.kill();
    site.restart();
    assert_eq!(status(&site), 200, "the journal knows it");
    let staff = json!({"operator": "guard", "pin": "4711"});
    assert_eq!(ask(&site, "POST", "/staff/terminals/till-9/revocation", &[], &staff).0, 200);
    assert_eq!(status(&site), 401);
    site.daemon.kill();
    let token = approved["token"].as_str().unwrap();
    let ledger = std::fs::read(site.folder.path().join("ledger.db")).unwrap();
    assert!(!ledger.windows(token.len()).any(|bytes| bytes == token.as_bytes()), "no token is kept");
    site.verify().unwrap();
}

#[test]
fn the_box_serves_the_description_of_its_addresses() {
    let site = Site::start(LANE);
    let answer = request(site.address, "GET", "/api/v1/openapi.json", &[], "").unwrap();
    let document: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!((answer.status, &document["openapi"]), (200, &json!("3.1.0")));
}

fn options(transport: Transport) -> Options {
    Options {
        transport,
        port: None,
        check_seed: 0x7F,
        check_with_stx: true,
        folder: None,
        member_code: None,
        storm: 25,
        seed: 1,
    }
}

fn check(line: &str, report: &Report) {
    assert!(report.is_good(), "{line}\n{report}");
}

/// A site has a lane; nobody drives here.
pub const LANE: &str = r#"
[[links]]
id = "broker"
kind = "mqtt"
host = "127.0.0.1"
port = 1
[[devices]]
id = "camera-1"
link = "broker"
profile = "vzenith/r-mqtt"
params = { sn = "0001" }
[[lanes]]
id = "in"
direction = "entry"
camera = "camera-1"
barrier = { device = "camera-1", output = 0, pulse_ms = 500 }
"#;
