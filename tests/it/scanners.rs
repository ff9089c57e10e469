//! Scanners on real lines: what one reads beside a till is that till's next lookup, what one reads at an exit is for the
//! vehicle that waits there, and noise is nobody's.

use std::os::fd::OwnedFd;

use serde_json::{Value, json};
use simulators::conformance::pseudo_terminal;

use crate::boxed::{Broker, Site, request};
use crate::coupons::stocked;
use crate::foreign::{IN, OUT, cameras, commands, now_ms, pass, plate, raise_of};
use crate::phones::phone_code;
use crate::till_lines::LANE;

#[test]
fn a_scan_beside_a_till_is_its_next_lookup_however_the_line_cuts_it() {
    let (scanner, slave, port) = pseudo_terminal().unwrap();
    let settings = format!(
        "[[terminals]]\nid = \"till-2\"\ntoken = \"unused-2\"\n[[scanners]]\nid = \"s-1\"\nport = \"{}\"\n\
         prefix = \"~\"\nterminal = \"till-1\"\ntoken = \"scan\"\n{LANE}",
        port.display()
    );
    let mut site = stocked(&settings);
    let is_of = |site: &Site, member: &str| look_up(site, &json!({})).1["member_ref"] == name_of(site, member);
    assert_eq!(look_up(&site, &json!({})).0, 400, "nothing was scanned");

    write(&scanner, b"~GP");
    write(&scanner, b"M1\r");
    site.daemon.hear("scanned: the next lookup of till-1");
    assert!(is_of(&site, "M1"), "a code in two halves is one");
    assert_eq!(look_up(&site, &json!({})).0, 400, "a scan is asked for once");

    write(&scanner, b"~GPM1\r\n~GPM2\r\n");
    site.daemon.hear("scanned: the next lookup of till-1");
    site.daemon.hear("scanned: the next lookup of till-1");
    assert!(is_of(&site, "M2"), "of two codes in one read the later one counts");

    // What another wallet's phone shows, a line of no scanner, bytes that are no text, a code that is too long, and one
    // that was cut off and is finished by the next: none is a member, and what comes after them is heard.
    write(&scanner, b"~134567890123456789\r");
    site.daemon.hear("payment-code");
    write(&scanner, b"GPM3\r~\xFF\xFE\x00\r");
    site.daemon.hear("member-unknown");
    write(&scanner, &[b"~", &[b'x'; 600][..], b"\r"].concat());
    write(&scanner, b"~GP2.half~GPM4\r");
    site.daemon.hear("member-unknown");
    assert_eq!(look_up(&site, &json!({})).0, 400, "none of them waits for the till");
    write(&scanner, b"~GPM4\r");
    site.daemon.hear("scanned: the next lookup of till-1");
    assert!(is_of(&site, "M4"));

    // A phone's code that was scanned here pays here, and at no other till.
    let code = phone_code("M5");
    write(&scanner, format!("~{code}\r").as_bytes());
    site.daemon.hear("scanned: the next lookup of till-1");
    let elsewhere = [("Gatepost-Terminal", "till-2"), ("Authorization", "Bearer unused-2"), ("Idempotency-Key", "x")];
    let copied = json!({ "code": code }).to_string();
    let copied = request(site.address, "POST", "/api/v1/member-lookups", &elsewhere, &copied).unwrap();
    assert!(copied.status == 409 && copied.body.contains("member-code-replayed"), "{}", copied.body);
    let (_, found) = look_up(&site, &json!({}));
    assert_eq!(found["may_pay"], true, "{found}");

    // The same over HTTP.
    assert_eq!(post_scan(&site, "scan", "GPM6").0, 200);
    assert!(is_of(&site, "M6"));
    for (token, code, expect) in [
        ("wrong", "GPM6", (401, "terminal-revoked")),
        ("scan", "134567890123456789", (400, "payment-code")),
        ("scan", "nobody", (404, "member-unknown")),
        ("scan", &"x".repeat(600), (400, "bad-request")),
    ] {
        let (status, answer) = post_scan(&site, token, code);
        assert_eq!((status, answer["code"].as_str().unwrap()), expect);
    }
    assert_eq!(look_up(&site, &json!({})).0, 400, "what was refused waits for nobody");
    drop(slave);
    site.daemon.kill();
    site.verify().unwrap();
}

#[test]
fn a_phone_that_is_scanned_at_the_exit_pays_for_the_car_that_waits() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start(folder.path());
    let mut commands = commands(&broker);
    let (scanner, slave, port) = pseudo_terminal().unwrap();
    let settings = format!(
        "[[scanners]]\nid = \"s-out\"\nport = \"{}\"\nlane = \"exit-1\"\ntoken = \"scan\"\n{}",
        port.display(),
        cameras(&broker)
    );
    let mut site = stocked(&settings);
    site.daemon.hear("connected to the broker");
    let code = phone_code("M1");
    write(&scanner, format!("{code}\r").as_bytes());
    site.daemon.hear("nothing-waiting");

    plate(&broker, IN, "粤B77777", now_ms() - 7_199_000);
    commands.hear(&raise_of(IN));
    pass(&broker, IN);
    site.daemon.hear("a vehicle is inside");
    plate(&broker, OUT, "粤B77777", now_ms());
    site.until("the car stands at the exit", |site| site.stays_of("粤B77777") == ["pending_exit"]);
    write(&scanner, b"GPM1\r");
    site.daemon.hear("member-code-static");
    write(&scanner, b"6212345678901234567\r");
    site.daemon.hear("payment-code");
    write(&scanner, format!("{}\r", phone_code("M1")).as_bytes());
    site.daemon.hear("the vehicle at exit-1 is the member's");
    commands.hear(&raise_of(OUT));
    pass(&broker, OUT);
    site.daemon.hear("a vehicle has left");
    let books = site.books();
    let points = books["points"].as_array().unwrap().iter().filter(|line| line["kind"] == "spent");
    let spent: Vec<_> = points.map(|line| (line["member"].clone(), line["points"].clone())).collect();
    assert_eq!(spent, [(json!("M1"), json!(200))], "four half hours at five yuan");
    drop(slave);
    site.daemon.kill();
    site.verify().unwrap();
}

fn write(line: &OwnedFd, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        bytes = &bytes[rustix::io::write(line, bytes).unwrap()..];
    }
}

/// What the till hears of a lookup.
fn look_up(site: &Site, body: &Value) -> (u16, Value) {
    let who = [("Gatepost-Terminal", "till-1"), ("Authorization", "Bearer secret"), ("Idempotency-Key", "l")];
    let answer = request(site.address, "POST", "/api/v1/member-lookups", &who, &body.to_string()).unwrap();
    (answer.status, serde_json::from_str(&answer.body).unwrap())
}

/// The till's name for a member.
fn name_of(site: &Site, member: &str) -> Value {
    look_up(site, &json!({"code": format!("GP{member}")})).1["member_ref"].clone()
}

fn post_scan(site: &Site, token: &str, code: &str) -> (u16, Value) {
    let bearer = format!("Bearer {token}");
    let headers = [("Gatepost-Scanner", "s-1"), ("Authorization", bearer.as_str())];
    let answer = request(site.address, "POST", "/api/v1/scans", &headers, &json!({"code": code}).to_string()).unwrap();
    (answer.status, serde_json::from_str(&answer.body).unwrap())
}
