//! One suite drives a real daemon over every line that a till may have, and cuts it where it hurts.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use simulators::conformance::{Options, Report, Transport, pseudo_terminal, run, run_over};

use crate::boxed::{self, PATIENCE, Site, request};
use crate::coupons::{MEMBERS, member_at, stocked};
use crate::phones::phone_code;

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
    let mut site = stocked(&settings);
    let base = format!("http://{}", site.address);
    let folder = site.folder.path().join("till-4");
    std::thread::scope(|scope| {
        let http = scope.spawn(|| run(&rich(1, Transport::Http), &base, "till-1", "secret").unwrap());
        let classic = scope.spawn(|| run_over(&rich(2, Transport::SerialClassic), classic).unwrap());
        let strong = scope.spawn(|| run_over(&rich(3, Transport::SerialStrong), strong).unwrap());
        let files = Options { folder: Some(folder), ..rich(4, Transport::Files) };
        let files = scope.spawn(move || run(&files, "", "", "").unwrap());
        check("http", &http.join().unwrap());
        check("serial-classic", &classic.join().unwrap());
        check("serial-strong", &strong.join().unwrap());
        check("files", &files.join().unwrap());
    });
    drop((classic_end, strong_end));
    site.daemon.kill();
    site.verify().unwrap();
    // Who is at the till no till is told: the house hears of each cashier once.
    let ledger = rusqlite::Connection::open(site.folder.path().join("ledger.db")).unwrap();
    let sql =
        "SELECT CAST(body AS TEXT) ->> '$.input' FROM journal, json_each(CAST(body AS TEXT), '$.records') AS record
               WHERE record.value ->> '$.kind' = 'shift_opened' AND record.value ->> '$.terminal' = ?1
               AND record.value ->> '$.operator' = 'conformance'";
    let mut opened = ledger.prepare(sql).unwrap();
    for till in ["till-1", "till-2", "till-3", "till-4"] {
        let asked: Vec<String> = opened.query_map([till], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        // One besides the three of the cut lines: while the status is asked.
        assert_eq!(asked.len(), 4, "{till}: {asked:#?}");
    }
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
fn a_z_slip_is_bytes_for_a_printer_and_proves_the_journal() {
    let mut site = Site::start(LANE);
    let base = format!("http://{}", site.address);
    check("http", &run(&options(Transport::Http), &base, "till-1", "secret").unwrap());
    let mut stream = std::net::TcpStream::connect(site.address).unwrap();
    let request = "GET /api/v1/shifts/2/slip?format=escpos&columns=48 HTTP/1.1\r\nHost: box\r\nConnection: close\r\n\
                   Gatepost-Terminal: till-1\r\nAuthorization: Bearer secret\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let has = |bytes: &[u8]| answer.windows(bytes.len()).any(|found| found == bytes);
    assert!(has(b"content-type: application/octet-stream") && has(b"\x1B@\x1C&"), "{answer:?}");
    assert!(has(b"\xC8\xD5\xBD\xE1\xB5\xA5 (Z)"), "GBK");
    let at = answer.windows(11).position(|found| found == b"GPH1:box-1/").expect("the head as a QR code") + 11;
    let head: String = answer[at..].iter().map(|byte| char::from(*byte)).take_while(|c| *c != '\u{1D}').collect();
    let [epoch, seq, head] = head.split('/').collect::<Vec<_>>()[..] else { panic!("{head}") };
    site.daemon.kill();
    let db = rusqlite::Connection::open(site.folder.path().join("ledger.db")).unwrap();
    let sql = "SELECT lower(hex(head)) FROM journal WHERE epoch = ?1 AND seq = ?2 AND body LIKE '%shift_closed%'";
    let found: String = db.query_row(sql, (epoch, seq), |row| row.get(0)).unwrap();
    assert_eq!(found, head, "the entry that closed the shift");
}

#[test]
fn a_file_that_was_written_long_ago_is_not_done_any_more() {
    let settings = "[[till_lines]]\nkind = \"files\"\nterminal = \"till-1\"\nfolder = \"{folder}/till-1\"\n";
    let site = Site::start_by(&format!("{settings}{LANE}"), |file, folder| {
        let folder = folder.join("till-1");
        std::fs::create_dir_all(&folder).unwrap();
        let request = std::fs::File::create(folder.join("request.txt")).unwrap();
        (&request).write_all(b"COMMIT,1,1,receipt_no=old,sale_fen=500,cash_fen=500\r\n").unwrap();
        let hours_ago = request.metadata().unwrap().modified().unwrap() - 2 * PATIENCE.max(Duration::from_secs(3_600));
        request.set_modified(hours_ago).unwrap();
        boxed::run(file)
    });
    let result = site.folder.path().join("till-1/result.txt");
    let until = Instant::now() + PATIENCE;
    while !result.exists() {
        assert!(Instant::now() < until, "no result");
        std::thread::yield_now();
    }
    let answer = std::fs::read_to_string(result).unwrap();
    assert!(answer.starts_with("COMMIT,1,stale-request,outcome=none"), "{answer}");
    assert_eq!(site.books()["sales"], json!([]));
}

#[test]
fn half_a_file_is_no_request_until_its_line_is_whole() {
    let settings = "[[terminals]]\nid = \"till-2\"\ntoken = \"unused-2\"\n\
         [[till_lines]]\nkind = \"files\"\nterminal = \"till-1\"\nfolder = \"{folder}/till-1\"\n\
         [[till_lines]]\nkind = \"files\"\nterminal = \"till-2\"\nfolder = \"{folder}/till-2\"\n";
    let site = Site::start(&format!("{settings}{LANE}"));
    let of = |till: &str, name: &str| site.folder.path().join(till).join(name);
    let answer_to = |till: &str| {
        let until = Instant::now() + PATIENCE;
        while !of(till, "result.txt").exists() {
            assert!(Instant::now() < until, "no result for {till}");
            std::thread::yield_now();
        }
        let answer = std::fs::read_to_string(of(till, "result.txt")).unwrap();
        std::fs::remove_file(of(till, "result.txt")).unwrap();
        answer
    };
    std::fs::create_dir_all(of("till-1", "")).unwrap();
    std::fs::create_dir_all(of("till-2", "")).unwrap();
    // A till that writes in two strokes, and is cut off between them.
    std::fs::write(of("till-1", "request.txt"), "COMMIT,1,1,receipt_no=A,sale_fen=50,cash_fen=50").unwrap();
    // The other folder's answers tell that the box has looked several times meanwhile.
    for number in 1..=5 {
        std::fs::write(of("till-2", "written.txt"), format!("STATUS,{number},1\n")).unwrap();
        std::fs::rename(of("till-2", "written.txt"), of("till-2", "request.txt")).unwrap();
        assert!(answer_to("till-2").starts_with(&format!("STATUS,{number},0,")));
    }
    assert!(!of("till-1", "result.txt").exists(), "half a line is answered");
    // A file that is not ended by a newline is not begun with either: what follows belongs to the same line.
    let mut rest = std::fs::OpenOptions::new().append(true).open(of("till-1", "request.txt")).unwrap();
    rest.write_all(b"0,sale_fen=500\n").unwrap();
    assert!(answer_to("till-1").starts_with("COMMIT,1,bad-request,"), "a field that stands twice is refused");
    std::fs::write(of("till-1", "request.txt"), "COMMIT,2,1,receipt_no=A,sale_fen=500,cash_fen=500\r\n").unwrap();
    assert!(answer_to("till-1").starts_with("COMMIT,2,0,"));
    let fen: Vec<_> = site.books()["sales"].as_array().unwrap().iter().map(|sale| sale["fen"].clone()).collect();
    assert_eq!(fen, [json!(500)]);
}

#[test]
fn a_hole_in_a_tills_count_is_shown_to_staff_until_it_is_filled() {
    let mut site = Site::start(LANE);
    let sell = |number: &str| {
        let (key, sale) =
            (format!("k-{number}"), r#"{"receipt_no":"A","sale_fen":5,"tenders":[{"kind":"cash","fen":5}]}"#);
        let who = [("Gatepost-Terminal", "till-1"), ("Authorization", "Bearer secret")];
        let headers = [who[0], who[1], ("Idempotency-Key", &key), ("Gatepost-Seq", number)];
        assert_eq!(request(site.address, "POST", "/api/v1/transactions", &headers, sale).unwrap().status, 200);
    };
    let shown = || {
        let guard = [("Gatepost-Operator", "guard"), ("Gatepost-Pin", "4711")];
        let answer = request(site.address, "GET", "/api/v1/staff/terminals", &guard, "").unwrap();
        let list: Value = serde_json::from_str(&answer.body).unwrap();
        let till = &list["terminals"][0];
        (till["terminal"].clone(), till["last_number"].clone(), till["missing_numbers"].clone())
    };
    sell("1");
    assert_eq!(shown(), (json!("till-1"), json!(1), json!(0)));
    sell("4");
    assert_eq!(shown(), (json!("till-1"), json!(4), json!(2)));
    sell("2");
    assert_eq!(shown(), (json!("till-1"), json!(4), json!(1)), "one that comes late fills its hole");
    sell("3");
    assert_eq!(shown(), (json!("till-1"), json!(4), json!(0)));
    site.daemon.hear("till_numbers_missing");
    site.daemon.hear("till_numbers_complete");
}

#[test]
fn a_strong_line_sends_its_answer_again_until_its_own_receipt_comes() {
    let (line, slave, port) = pseudo_terminal().unwrap();
    let settings =
        format!("[[till_lines]]\nkind = \"serial-strong\"\nterminal = \"till-1\"\nport = \"{}\"\n", port.display());
    let site = Site::start(&format!("{settings}{LANE}"));
    let mut line = std::fs::File::from(line);
    // The receipt of another exchange comes with the request, so that it is read right after the first answer.
    line.write_all(&[strong(0x00, 7), strong(0x02, 6)].concat()).unwrap();
    let until = Instant::now() + PATIENCE;
    let mut answers = 0;
    while answers < 3 {
        // 02 is the receipt of our request; 01 is the answer, which nobody has receipted yet.
        answers += usize::from(next_frame(&mut line, until) == (0x01, 7));
    }
    line.write_all(&strong(0x02, 7)).unwrap();
    line.write_all(&strong(0x00, 8)).unwrap();
    while next_frame(&mut line, until) != (0x01, 8) {}
    drop((site, slave));
}

/// A frame that asks for the status, or receipts.
fn strong(flags: u8, number: u16) -> Vec<u8> {
    let mut bytes = vec![1, flags];
    bytes.extend(number.to_be_bytes());
    bytes.push(2);
    bytes.extend([0; 16]);
    bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
    let mut wire = cobs::encode_vec(&bytes);
    wire.push(0);
    wire
}

/// Flags and number of the next whole frame.
fn next_frame(line: &mut std::fs::File, until: Instant) -> (u8, u16) {
    let mut wire = Vec::new();
    loop {
        assert!(Instant::now() < until, "the frame did not come");
        let mut byte = [0];
        match line.read(&mut byte) {
            Ok(1) if byte == [0] => {
                let bytes = cobs::decode_vec(&wire).unwrap();
                return (bytes[1], u16::from_be_bytes([bytes[2], bytes[3]]));
            }
            Ok(count) => wire.extend(&byte[..count]),
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
        }
        std::thread::yield_now();
    }
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

/// The same with the members of a till of [`stocked`], their phones in their hands.
pub fn rich(till: u32, transport: Transport) -> Options {
    let member_code = (0..MEMBERS).map(|number| phone_code(&member_at(till, number))).collect();
    Options { member_code, ..stock_of(till, transport) }
}

/// The same with the coupon of a till of [`stocked`], a vehicle that it may give something, and the staff.
pub fn stock_of(till: u32, transport: Transport) -> Options {
    let (coupon, plate) = (Some(format!("C-{till}")), Some(format!("粤B1234{till}")));
    let (operator, pin) = (Some("guard".to_owned()), Some("4711".to_owned()));
    Options { coupon, plate, validation: Some("noon".to_owned()), operator, pin, ..options(transport) }
}

pub fn options(transport: Transport) -> Options {
    Options {
        transport,
        port: None,
        check_seed: 0x7F,
        check_with_stx: true,
        folder: None,
        broker: None,
        broker_password: None,
        site: "site".to_owned(),
        show_token: false,
        member_code: Vec::new(),
        coupon: None,
        plate: None,
        validation: None,
        operator: None,
        pin: None,
        storm: 25,
        seed: 1,
    }
}

pub fn check(line: &str, report: &Report) {
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
