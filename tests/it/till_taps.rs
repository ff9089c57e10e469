//! A till that nobody may touch: its receipts are read along on the printer's line, each earns once, and none spends.

use serde_json::{Value, json};
use simulators::conformance::pseudo_terminal;

use crate::boxed::{Site, request};
use crate::coupons::stocked;
use crate::till_lines::LANE;

#[test]
fn the_same_sale_by_a_till_and_by_its_receipt_earns_once_whichever_comes_first() {
    let (printer, slave, port) = pseudo_terminal().unwrap();
    let mut site = tapped(&port);
    let print = |text: &str| print(&printer, text);
    print("No.: A-1\nTotal 28.00\nMember: GPM1\n");
    assert!(site.daemon.hear("a receipt was read along").contains("earned=28"));
    let (status, second) = sell(&site, "A-1", 2_800);
    assert_eq!((status, &second["earned_points"]), (200, &json!(0)), "{second}");
    assert!(second["duplicate_of"].is_string(), "the till hears which one earned: {second}");

    let (status, first) = sell(&site, "A-2", 3_100);
    assert_eq!((status, &first["earned_points"], &first["duplicate_of"]), (200, &json!(31), &Value::Null), "{first}");
    print("No.: A-2\nTotal 31.00\nMember: GPM1\n");
    assert!(site.daemon.hear("a receipt was read along").contains("earned=0"));
    // What is alike in the number alone is another sale.
    print("No.: A-2\nTotal 32.00\nMember: GPM1\n");
    assert!(site.daemon.hear("a receipt was read along").contains("earned=32"));
    let books = site.books();
    let earned = books["points"].as_array().unwrap().iter().filter(|line| line["kind"] == "earned");
    let earned: Vec<_> = earned.map(|line| line["points"].as_i64().unwrap()).collect();
    assert_eq!(earned, [28, 31, 32]);
    assert_eq!(books["sales"].as_array().unwrap().len(), 5, "each drawer has its own");
    drop(slave);
    site.daemon.kill();
    site.verify().unwrap();
}

#[test]
fn what_a_printer_hears_earns_once() {
    let (printer, slave, port) = pseudo_terminal().unwrap();
    let mut site = tapped(&port);
    let print = |text: &str| print(&printer, text);
    print("No.: A-1\nTotal 28.00\nMember: GPM1\n");
    assert!(site.daemon.hear("a receipt was read along").contains("earned=28"), "a point for each yuan");
    print("No.: A-1\nTotal 28.00\nMember: GPM1\n");
    site.daemon.hear("a receipt was read along");
    print("No.: A-2\nREPRINT\nTotal 28.00\nMember: GPM1\n");
    print("No.: A-3\nTotal 1,000.01\nMember: GPM1\n");
    site.daemon.hear("larger than a tap may earn for");
    print("No.: A-4\nTotal 5.00\nMember: GPM999\n");
    assert!(site.daemon.hear("a receipt was read along").contains("earned=0"), "nobody has that code");
    let books = site.books();
    let mut sales: Vec<&str> =
        books["sales"].as_array().unwrap().iter().map(|sale| sale["receipt"].as_str().unwrap()).collect();
    sales.sort_unstable();
    assert_eq!(sales, ["A-1", "A-4"]);
    drop(slave);
    site.daemon.kill();
    site.verify().unwrap();
}

/// A site whose café has a till that is read along and one that asks over HTTP.
fn tapped(port: &std::path::Path) -> Site {
    stocked(&format!(
        "[[terminals]]\nid = \"till-2\"\ntoken = \"unused-2\"\nmerchant = \"cafe\"\n[[terminals]]\nid = \"till-3\"\n\
         token = \"secret-3\"\nmerchant = \"cafe\"\n[[till_lines]]\nkind = \"tap\"\n\
         terminal = \"till-2\"\nport = \"{}\"\namount = \"Total\"\nreceipt = \"No.\"\nmember = \"Member\"\n\
         skip = [\"REPRINT\"]\nmost_fen = 100000\n{LANE}",
        port.display()
    ))
}

/// What a till sends to its printer.
fn print(printer: &std::os::fd::OwnedFd, text: &str) {
    let bytes = format!("\x1B@\x1Ba\x01CAFE\n\x1Ba\x00{text}\x1Bd\x03\x1DV\x00");
    let mut rest = bytes.as_bytes();
    while !rest.is_empty() {
        rest = &rest[rustix::io::write(printer, rest).unwrap()..];
    }
}

/// The same sale, sent by the shop's other till.
fn sell(site: &Site, receipt: &str, fen: i64) -> (u16, Value) {
    let body = json!({"receipt_no": receipt, "sale_fen": fen, "member_ref": "code:GPM1",
        "tenders": [{"kind": "cash", "fen": fen}]});
    let who = [("Gatepost-Terminal", "till-3"), ("Authorization", "Bearer secret-3"), ("Idempotency-Key", receipt)];
    let answer = request(site.address, "POST", "/api/v1/transactions", &who, &body.to_string()).unwrap();
    (answer.status, serde_json::from_str(&answer.body).unwrap())
}
