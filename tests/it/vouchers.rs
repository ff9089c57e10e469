//! Paper vouchers that are keyed in: what each pays, for which stay, who owes it, and that no paper is lost or used twice.

use gatepost::domain::event::{
    BusinessDay, Fen, Input, Note, OfficeAct, Reply, StaffRefusal, StaffWish, UtcMs, VoucherGives,
};
use gatepost::domain::settlement::{Closing, Mismatch, Report};
use serde_json::{Value, json};

use crate::boxed::{Site, request};
use crate::story::{MINUTE, Story};

const PLATE: &str = "粤B12345";
const DAY: i64 = 24 * 60;

#[test]
fn an_amount_comes_off_the_fee_and_is_owed_when_the_vehicle_has_left() {
    let mut story = with(VoucherGives::Parking, 300);
    story.enter("in", PLATE);
    story.minutes(55);
    assert_eq!(key(&mut story, "k-1", 2, PLATE), Ok("it is given to S1-4; 700 fen are due now".to_owned()));
    story.arrival("out", true);
    assert_eq!(story.read("out", PLATE), 0);
    assert_eq!(legs(&story), Vec::<String>::new(), "it has not left");
    assert_eq!(story.staff("out", StaffWish::Settle { fen: Fen(700) }).0, 1);
    story.drive_through("out");
    assert_eq!(legs(&story), ["MALL parking 300"]);
    assert_eq!(story.stays(), [format!("{PLATE} closed 700 700 0")]);
    let report = close(&mut story);
    assert_eq!((report.vouchers, report.stays.benefit_fen, report.exceptions.len()), ((1, Fen(300)), Fen(300), 0));
}

#[test]
fn a_voucher_lets_the_vehicle_go_that_waits_for_it() {
    let mut story = with(VoucherGives::Minutes { minutes: 60 }, 0);
    story.enter("in", PLATE);
    story.minutes(55);
    story.arrival("out", true);
    assert_eq!(story.read("out", PLATE), 0);
    let act = act("k-1", voucher(1, PLATE));
    assert_eq!(story.feed(Input::Office(act)).0, 1, "its minutes cover the stay");
    assert_eq!(key(&mut story, "k-2", 2, PLATE).unwrap_err(), "plate", "the barrier is up: what it used is settled");
    story.drive_through("out");
    assert_eq!(legs(&story), ["MALL parking 1000"], "what the minutes were worth");
    assert_eq!(key(&mut story, "k-2", 2, PLATE), Ok(text_of_nothing()), "the paper is kept");
}

#[test]
fn a_vehicle_that_left_by_hand_leaves_the_books_with_its_voucher_and_its_money() {
    let mut story = with(VoucherGives::Parking, 300);
    story.member("M1", &[PLATE]);
    story.enter("in", PLATE);
    story.grant(300);
    story.minutes(61);
    let left = story.now();
    story.minutes(120);
    let note = |left, cash| by_hand(voucher(1, PLATE), left, cash);
    let early = UtcMs(left.0 + 1000 * MINUTE);
    assert_eq!(say(&mut story, act("k-0", note(early, 0))).unwrap_err(), "left_at", "it is still to come");
    say(&mut story, act("k-1", note(left, 1_000))).unwrap();
    assert_eq!(story.stays(), [format!("{PLATE} closed 1200 1000 200")], "what was not paid was let go");
    assert_eq!(legs(&story), ["MALL parking 300"]);
    assert_eq!(story.usable(), 0, "nothing is kept for a member without a vehicle here");
    let report = close(&mut story);
    let found: Vec<_> = report.exceptions.iter().map(|found| (found.state, found.fen.0)).collect();
    assert_eq!(found, [(Mismatch::WrittenOff, 200)], "and the day says so");
}

#[test]
fn a_stay_that_is_over_is_paid_as_far_as_anything_of_it_is_open() {
    let mut story = with(VoucherGives::Parking, 700);
    leaves(&mut story, false);
    assert_eq!(key(&mut story, "k-1", 1, PLATE), Ok("700 fen of S1-4, which is over, paid by MALL".to_owned()));
    assert_eq!(key(&mut story, "k-2", 2, PLATE), Ok("300 fen of S1-4, which is over, paid by MALL".to_owned()));
    assert_eq!(key(&mut story, "k-3", 3, PLATE), Ok(text_of_nothing()));
    assert_eq!(legs(&story), ["MALL parking 700", "MALL parking 300"], "never more than was let go");
    assert_eq!(close(&mut story).vouchers.0, 3);
}

#[test]
fn a_debt_of_the_plate_is_paid_before_anything_else() {
    let mut story = with(VoucherGives::Parking, 700);
    leaves(&mut story, true);
    key(&mut story, "k-1", 1, PLATE).unwrap();
    assert_eq!(story.rows("SELECT fen || ' ' || paid_fen FROM debt"), ["1000 700"]);
    key(&mut story, "k-2", 2, PLATE).unwrap();
    assert_eq!(story.rows("SELECT fen || ' ' || paid_fen FROM debt"), ["1000 1000"]);
    assert_eq!(legs(&story), ["MALL parking 700", "MALL parking 300"]);
    story.enter("in", PLATE);
    assert_eq!(story.rows("SELECT CAST(debts_fen AS TEXT) FROM stay WHERE state = 'open'"), ["0"], "it owes nothing");
}

#[test]
fn a_debt_that_paper_pays_is_not_asked_for_again_at_the_next_exit() {
    let mut story = with(VoucherGives::Parking, 700);
    leaves(&mut story, true);
    let left = story.now();
    story.minutes(60);
    story.enter("in", PLATE);
    assert_eq!(story.rows("SELECT CAST(debts_fen AS TEXT) FROM stay WHERE state = 'open'"), ["1000"]);
    say(&mut story, act("k-1", by_hand(voucher(1, PLATE), left, 0))).unwrap();
    story.minutes(55);
    story.arrival("out", true);
    assert_eq!(story.read("out", PLATE), 0);
    assert_eq!(story.staff("out", StaffWish::Settle { fen: Fen(1_300) }).0, 1, "300 of before and 1000 of now");
    story.drive_through("out");
    assert_eq!(story.rows("SELECT fen || ' ' || paid_fen FROM debt"), ["1000 1000"]);
}

#[test]
fn minutes_for_a_stay_that_is_over_are_worth_what_they_would_have_saved() {
    let mut story = with(VoucherGives::Minutes { minutes: 30 }, 0);
    leaves(&mut story, false);
    assert_eq!(key(&mut story, "k-1", 1, PLATE), Ok("500 fen of S1-4, which is over, paid by MALL".to_owned()));
}

#[test]
fn the_time_in_the_log_says_which_visit_it_was() {
    let mut story = with(VoucherGives::Parking, 700);
    leaves(&mut story, false);
    let first = story.now();
    story.minutes(60);
    story.enter("in", PLATE);
    say(&mut story, act("k-1", by_hand(voucher(1, PLATE), first, 0))).unwrap();
    assert_eq!(story.rows("SELECT how || ' ' || stay FROM voucher_use"), ["settled S1-4"], "not the visit of now");
    let long_ago = UtcMs(first.0 - 40 * DAY * MINUTE);
    say(&mut story, act("k-2", by_hand(voucher(2, PLATE), long_ago, 0))).unwrap();
    story.arrival("out", true);
    story.minutes(1);
    story.read("out", PLATE);
    story.drive_through("out");
    story.minutes(40 * DAY);
    key(&mut story, "k-3", 3, PLATE).unwrap();
    let how = story.rows("SELECT how FROM voucher_use ORDER BY number");
    assert_eq!(how, ["settled", "unmatched", "unmatched"], "no visit of weeks before or after is taken for it");
}

#[test]
fn paper_for_a_vehicle_that_nobody_saw_is_kept_and_told() {
    let mut story = with(VoucherGives::Parking, 700);
    let said = key(&mut story, "k-1", 1, "粤BD98765");
    assert_eq!(said, Ok("no stay is known for it; 700 fen, paid by MALL".to_owned()));
    assert_eq!(legs(&story), ["MALL parking 700"], "the paper says what is owed");
    print(&mut story, "p-2", 11, VoucherGives::Minutes { minutes: 60 }, 0);
    key(&mut story, "k-2", 11, "粤BD98765").unwrap();
    assert_eq!(legs(&story).len(), 1, "what the minutes were worth nobody can tell");
    let report = close(&mut story);
    let found: Vec<_> = report.exceptions.iter().map(|e| (e.state, e.about.as_str(), e.fen.0)).collect();
    assert_eq!(found, [(Mismatch::LaneOnly, "voucher 1", 700), (Mismatch::LaneOnly, "voucher 11", 0)]);
}

#[test]
fn a_gift_whose_stay_came_to_nothing_is_told() {
    let mut story = with(VoucherGives::Parking, 700);
    story.enter("in", PLATE);
    key(&mut story, "k-1", 1, PLATE).unwrap();
    let (operator, reason, evidence) = ("li".to_owned(), "gone".to_owned(), "counted".to_owned());
    let stay = story.stay_of(PLATE).as_str().into();
    let what = gatepost::domain::event::Wrong::Ended { stay };
    story.feed(Input::Corrected(gatepost::domain::event::Correction { operator, reason, evidence, what }));
    let report = close(&mut story);
    assert_eq!(report.exceptions.iter().map(|e| e.about.as_str()).collect::<Vec<_>>(), ["voucher 1"]);
}

#[test]
fn a_shop_is_owed_what_it_took_and_several_may_pay() {
    let split = "\n[benefits.funder.MALL]\nshares = { LANDLORD = 5000, BANK = 5000 }\nremainder = \"BANK\"\n";
    let mut story = Story::with(include_str!("../../systemd/rules.toml").to_owned() + split);
    print(&mut story, "p-1", 1, VoucherGives::Goods, 501);
    assert_eq!(key(&mut story, "k-0", 1, PLATE).unwrap_err(), "merchant");
    let Note::VoucherKeyed { number, plate: _, remark, left, cash, .. } = voucher(1, PLATE) else { unreachable!() };
    let taken = Note::VoucherKeyed { number, plate: String::new(), remark, left, cash, shop: Some("cafe".to_owned()) };
    say(&mut story, act("k-1", taken)).unwrap();
    assert_eq!(legs(&story), ["BANK cafe 251", "LANDLORD cafe 250"], "whole fen, and the rest to who holds it");
}

#[test]
fn each_paper_counts_once_also_where_the_answer_was_lost() {
    let mut story = with(VoucherGives::Parking, 300);
    story.enter("in", PLATE);
    story.minutes(55);
    key(&mut story, "k-1", 1, PLATE).unwrap();
    story.restart();
    assert_eq!(
        key(&mut story, "k-1", 1, PLATE),
        Ok("it was done before".to_owned()),
        "the same act, after a power cut"
    );
    assert_eq!(key(&mut story, "k-2", 1, PLATE).unwrap_err(), "number", "keyed twice");
    assert_eq!(key(&mut story, "k-3", 11, PLATE).unwrap_err(), "number", "never printed");
    assert_eq!(story.rows("SELECT CAST(count(*) AS TEXT) FROM validation"), ["1"]);
}

#[test]
fn the_seal_says_whose_paper_it_is() {
    let (mut one, other) = (Site::start(crate::till_lines::LANE), Site::start(crate::till_lines::LANE));
    for site in [&one, &other] {
        for (id, fields) in [
            ("p-1", json!({"fen": 500})),
            ("p-2", json!({"for": "minutes", "minutes": 60})),
            ("p-3", json!({"for": "goods", "fen": 500})),
        ] {
            let mut body = json!({"id": id, "count": 1, "funder": "MALL"});
            body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            staff(site, "vouchers", body, 200);
        }
    }
    let seals: Vec<String> = (1..=3).map(|number| seal(&one, number)).collect();
    for (number, seal) in (1..).zip(&seals) {
        let body = |seal: &str| json!({"number": number, "seal": seal});
        let good = staff(&one, "vouchers/checks", body(seal), 200);
        assert_eq!(good["keyed"], Value::Null, "{good}");
        for (site, seal, why) in [(&other, seal.as_str(), "another box's"), (&one, "00000000", "made up")] {
            assert_eq!(staff(site, "vouchers/checks", body(seal), 400)["field"], "seal", "{why}");
        }
    }
    let use_of = |number: usize, seal: &str| json!({"id": format!("k-{number}"), "number": number, "seal": seal, "plate": PLATE, "merchant": "cafe"});
    let another = staff(&one, "vouchers/uses", use_of(2, &seals[0]), 400);
    assert_eq!(another["field"], "seal", "the seal of another number");
    for number in 1..=3 {
        staff(&one, "vouchers/uses", use_of(number, &seals[number - 1]), 200);
    }
    let seen = staff(&one, "vouchers/checks", json!({"number": 3, "seal": seals[2]}), 200);
    assert_eq!(seen["keyed"], json!({"how": "goods", "stay": null, "fen": 500}), "{seen}");
    one.daemon.kill();
    one.verify().unwrap();
}

#[test]
fn vouchers_come_as_a_page_and_as_the_bytes_of_a_printer() {
    let site = Site::start(crate::till_lines::LANE);
    staff(&site, "vouchers", json!({"id": "p-1", "count": 2, "fen": 500, "funder": "MALL"}), 200);
    let get = |what: &str| {
        let guard = [("Gatepost-Operator", "guard"), ("Gatepost-Pin", "4711")];
        request(site.address, "GET", &format!("/api/v1/staff/vouchers?first=1&count=9{what}"), &guard, "").unwrap()
    };
    let page = get("");
    assert!(page.body.contains("No. 2") && page.body.contains("手工记录"), "{}", page.body);
    let lines: Value = serde_json::from_str(&get("&format=lines&columns=32").body).unwrap();
    let first = &lines["vouchers"][0];
    assert_eq!((&first["number"], lines["vouchers"].as_array().unwrap().len()), (&json!(1), 2), "{lines}");
    assert!(first["lines"]["en"].as_array().unwrap().iter().any(|line| line.as_str().unwrap().starts_with("Seal")));
    assert_eq!(get("&format=pdf").status, 400);
}

#[test]
fn the_page_s_forms_for_vouchers_ask_what_is_served_and_name_each_act_once() {
    let site = Site::start(crate::till_lines::LANE);
    let get = |path: &str| request(site.address, "GET", path, &[], "").unwrap().body;
    let (page, document) = (get("/"), get("/api/v1/openapi.json"));
    let document: Value = serde_json::from_str(&document).unwrap();
    for (form, method) in [("act", "post"), ("print", "get")] {
        let asked: Vec<&str> =
            page.split(&format!("data-{form}=\"/api/v1")).skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
        let of_vouchers: Vec<&&str> = asked.iter().filter(|path| path.starts_with("/staff/vouchers")).collect();
        assert_eq!(of_vouchers.len(), if form == "act" { 3 } else { 1 }, "{asked:?}");
        for path in of_vouchers {
            assert!(document["paths"][path][method].is_object(), "{method} {path} is not served");
        }
    }
    assert_eq!(
        page.matches("data-once").count(),
        2,
        "giving out and keying in are done once, however often they are sent"
    );
}

/// A story with ten vouchers of the mall.
fn with(gives: VoucherGives, fen: i64) -> Story {
    let mut story = Story::new();
    print(&mut story, "p-1", 1, gives, fen);
    story
}

fn print(story: &mut Story, id: &str, first: u32, gives: VoucherGives, fen: i64) {
    let printed = Note::VouchersPrinted { first, count: 10, fen: Fen(fen), funder: "MALL".to_owned(), gives };
    say(story, act(id, printed)).unwrap();
}

/// A vehicle that stayed for 55 minutes is let go, or its plate owes the fee of ¥10.00.
fn leaves(story: &mut Story, debt: bool) {
    story.enter("in", PLATE);
    story.minutes(55);
    story.arrival("out", true);
    assert_eq!(story.read("out", PLATE), 0);
    let raise = StaffWish::Raise { reason: "the box was down".to_owned(), plate: None, debt, second: None };
    assert_eq!(story.staff("out", raise).0, 1);
    story.drive_through("out");
}

fn voucher(number: u32, plate: &str) -> Note {
    let (plate, remark) = (plate.to_owned(), "8:10".to_owned());
    Note::VoucherKeyed { number, plate, remark, left: None, cash: Fen(0), shop: None }
}

fn by_hand(note: Note, at: UtcMs, fen: i64) -> Note {
    let Note::VoucherKeyed { number, plate, remark, shop, .. } = note else { unreachable!() };
    Note::VoucherKeyed { number, plate, remark, left: Some(at), cash: Fen(fen), shop }
}

fn act(id: &str, note: Note) -> OfficeAct {
    OfficeAct { id: id.to_owned(), by: "li".to_owned(), second: None, shop: None, note }
}

fn key(story: &mut Story, id: &str, number: u32, plate: &str) -> Result<String, String> {
    say(story, act(id, voucher(number, plate)))
}

/// What was said, or the field that was wrong.
fn say(story: &mut Story, act: OfficeAct) -> Result<String, String> {
    match story.feed(Input::Office(act)).1 {
        Reply::Staff(Ok(text)) => Ok(text),
        Reply::Staff(Err(StaffRefusal::NotThatWay { why })) => Err(why.split(':').next().unwrap().to_owned()),
        other @ (Reply::Done | Reply::Till(_) | Reply::Staff(_) | Reply::Ticket(_)) => panic!("{other:?}"),
    }
}

fn text_of_nothing() -> String {
    "S1-4 is over and nothing of it is open; the voucher is kept and owes nothing".to_owned()
}

/// Every leg as `payer acceptor owed`.
fn legs(story: &Story) -> Vec<String> {
    story.rows("SELECT payer || ' ' || acceptor || ' ' || fen FROM leg ORDER BY seq, n")
}

/// Closes the day of now on the next one.
fn close(story: &mut Story) -> Report {
    let day = "SELECT CAST(max(day) AS TEXT) FROM office_note";
    let day = BusinessDay(story.rows(day)[0].parse().unwrap());
    story.minutes(DAY);
    let reply = story.feed(Input::DayClosing(Closing { day, by: "li".to_owned() })).1;
    assert!(matches!(&reply, Reply::Staff(Ok(_))), "{reply:?}");
    serde_json::from_str(&story.rows("SELECT report FROM day_close").pop().unwrap()).unwrap()
}

fn staff(site: &Site, what: &str, mut body: Value, status: u16) -> Value {
    (body["operator"], body["pin"]) = (json!("guard"), json!("4711"));
    let answer = request(site.address, "POST", &format!("/api/v1/staff/{what}"), &[], &body.to_string()).unwrap();
    assert_eq!(answer.status, status, "{}", answer.body);
    serde_json::from_str(&answer.body).unwrap()
}

/// The seal as it is printed.
fn seal(site: &Site, number: u32) -> String {
    let guard = [("Gatepost-Operator", "guard"), ("Gatepost-Pin", "4711")];
    let path = format!("/api/v1/staff/vouchers?first={number}&count=1&format=lines");
    let answer = request(site.address, "GET", &path, &guard, "").unwrap();
    let slips: Value = serde_json::from_str(&answer.body).unwrap();
    let lines = slips["vouchers"][0]["lines"]["en"].as_array().unwrap();
    let line = lines.iter().find_map(|line| line.as_str().unwrap().strip_prefix("Seal")).unwrap();
    line.trim().to_owned()
}
