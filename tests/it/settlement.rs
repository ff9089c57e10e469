//! The day's accounts: who owes whom for every spend and gift, and a day that is closed once and never edited.

use std::time::Instant;

use gatepost::domain::event::{
    BusinessDay, CloudNews, Correction, Fen, Gift, Given, GrantId, Input, MemberId, OpId, Points, Reply, StaffRefusal,
    StaffWish, Stated, TerminalId, TillAnswer, TillCommit, TillDone, TillMark, TillWish, UtcMs, Wrong,
};
use gatepost::domain::points::Lot;
use gatepost::domain::settlement::{Closing, Mismatch, Report};
use serde_json::{Value, json};

use crate::boxed::{PATIENCE, Site, request, run};
use crate::story::{MINUTE, Story};

const PLATE: &str = "粤B12345";
const GUEST: &str = "粤BD98765";
const DAY: i64 = 24 * 60;

#[test]
fn points_of_two_lots_are_owed_by_those_who_gave_them_at_their_rate() {
    let mut story = shopper();
    applied(story.commit(sale("k-1", 700)).1);
    let expect = ["spend M017 cafe A 40 400 400", "spend MALL_MKT cafe B 30 300 270"];
    assert_eq!(legs(&story), expect, "each fen of the sale has a payer, and the rate is the lot's");
}

#[test]
fn what_goes_back_is_owed_the_other_way_round_to_the_fen() {
    let mut story = shopper();
    let transaction = applied(story.commit(sale("k-1", 700)).1);
    let refund = |fen| TillWish::Refund { transaction: transaction.clone(), fen: Fen(fen) };
    for (key, fen) in [("b-1", 5), ("b-2", 5), ("b-3", 323), ("b-4", 367)] {
        assert!(matches!(story.ask(key, refund(fen)), TillAnswer::Done { .. }));
    }
    let net = "SELECT CAST(sum(CASE what WHEN 'undone' THEN -face_fen ELSE face_fen END) AS TEXT) FROM leg";
    assert_eq!(story.rows(net), ["0"]);
    let report = close(&mut story);
    let nets: i64 = report.owed.iter().map(|owed| owed.face_fen.0).sum();
    assert_eq!((nets, differences(&report)), (0, 0), "{:?}", report.owed);
}

#[test]
fn a_lot_of_several_funders_is_owed_by_each_of_them_and_goes_back_to_them() {
    let split = "\n[benefits.funder.M017]\nshares = { LANDLORD = 5000, BANK = 5000 }\nremainder = \"BANK\"\n";
    let mut story = shopper_under(include_str!("../../systemd/rules.toml").to_owned() + split);
    let transaction = applied(story.commit(sale("k-1", 333)).1);
    assert_eq!(legs(&story), ["spend BANK cafe A 20 167 167", "spend LANDLORD cafe A 20 166 166"]);
    let refund = |fen| TillWish::Refund { transaction: transaction.clone(), fen: Fen(fen) };
    for (key, fen) in [("b-1", 5), ("b-2", 101), ("b-3", 227)] {
        assert!(matches!(story.ask(key, refund(fen)), TillAnswer::Done { .. }));
    }
    let report = close(&mut story);
    let nets: Vec<i64> = report.owed.iter().map(|owed| owed.face_fen.0).collect();
    assert!(nets.len() == 2 && nets.iter().sum::<i64>() == 0 && nets.iter().all(|net| net.abs() <= 3), "{nets:?}");
    assert_eq!(differences(&report), 0);
}

#[test]
fn a_shops_gift_is_the_shops_debt_once_the_car_has_left() {
    let (mut story, _) = lunch_at_the_exit();
    assert_eq!(legs(&story), Vec::<String>::new(), "the barrier is up, and nobody has passed");
    story.drive_through("out");
    assert_eq!(legs(&story), ["benefit Noodle bar parking - 0 500 500"]);
    let report = close(&mut story);
    assert_eq!((report.stays.count, report.stays.benefit_fen, differences(&report)), (1, Fen(500), 0));
    let costs: Vec<_> =
        report.costs.iter().map(|cost| (cost.payer.as_str(), cost.benefit.as_deref(), cost.fen.0)).collect();
    assert_eq!(costs, [("Noodle bar", Some("lunch"), 500)], "what the owner of the budget paid it for");
}

#[test]
fn a_correction_that_changes_a_gift_changes_what_is_owed_for_it() {
    let (mut story, stay) = lunch_at_the_exit();
    story.drive_through("out");
    let left = story.now();
    let put_right = |story: &mut Story, minutes: i64| {
        let what = Wrong::Entry { stay: stay.as_str().into(), entry: UtcMs(left.0 - minutes * MINUTE) };
        let (operator, reason, evidence) = ("li".to_owned(), "misread".to_owned(), "photo".to_owned());
        let reply = story.feed(Input::Corrected(Correction { operator, reason, evidence, what })).1;
        assert!(matches!(&reply, Reply::Staff(Ok(_))), "{reply:?}");
    };
    let uses = |story: &Story| story.rows("SELECT used ->> '$.benefit' FROM benefit_use WHERE state = 'used'");
    assert_eq!((legs(&story).len(), uses(&story)), (1, vec!["lunch".to_owned()]));
    put_right(&mut story, 10);
    assert_eq!(legs(&story)[1..], ["undone Noodle bar parking - 0 500 500"], "it was free anyway");
    assert_eq!(uses(&story), Vec::<String>::new(), "and the gift took nothing off");
    put_right(&mut story, 61);
    assert_eq!(legs(&story)[2..], ["benefit Noodle bar parking - 0 500 500"]);
    put_right(&mut story, 91);
    assert_eq!((legs(&story).len(), uses(&story).len()), (3, 1), "nothing more is owed for it");
    let report = close(&mut story);
    assert_eq!((report.stays.benefit_fen, report.owed[0].face_fen), (Fen(500), Fen(500)));
}

#[test]
fn points_at_the_barrier_are_owed_when_the_car_has_passed_and_not_when_it_backs_out() {
    let mut story = shopper();
    story.minutes(25);
    story.arrival("out", true);
    assert_eq!(story.read("out", PLATE), 1);
    assert_eq!(legs(&story), Vec::<String>::new());
    story.arrival("out", false);
    story.seconds(6);
    assert_eq!(legs(&story), Vec::<String>::new(), "it backed out");
    story.minutes(1);
    story.arrival("out", true);
    assert_eq!(story.read("out", PLATE), 1);
    story.drive_through("out");
    assert_eq!(legs(&story), ["spend M017 parking A 40 400 400", "spend MALL_MKT parking B 10 100 90"]);
    let report = close(&mut story);
    assert_eq!((report.stays.fee_fen, report.stays.points_fen, report.matched), (Fen(500), Fen(500), 1));
    assert_eq!(differences(&report), 0);
}

#[test]
fn a_day_is_closed_when_it_is_over_in_its_turn_and_once() {
    let mut story = shopper();
    applied(story.commit(sale("k-1", 700)).1);
    let first = today(&story);
    assert_eq!(refusal(&mut story, first), None, "it is not over");
    story.minutes(DAY);
    applied(story.commit(sale("k-2", 100)).1);
    story.minutes(DAY);
    let second = BusinessDay(first.0 + 1);
    assert_eq!(refusal(&mut story, second), Some(first), "one after the other");
    closed(&mut story, first);
    let before = story.rows("SELECT report FROM day_close");
    let entries = story.rows("SELECT CAST(count(*) AS TEXT) FROM journal");
    closed(&mut story, first);
    assert_eq!(story.rows("SELECT CAST(count(*) AS TEXT) FROM journal"), entries, "asking again changes nothing");
    closed(&mut story, second);
    assert_eq!(story.rows("SELECT report FROM day_close ORDER BY day LIMIT 1"), before);
}

#[test]
fn nothing_reaches_a_closed_day_even_where_the_clock_is_put_back() {
    let mut story = shopper();
    applied(story.commit(sale("k-1", 700)).1);
    let first = today(&story);
    story.minutes(DAY);
    closed(&mut story, first);
    story.minutes(-DAY);
    applied(story.commit(sale("k-2", 300)).1);
    let days = story.rows("SELECT CAST(day AS TEXT) FROM till_book ORDER BY seq");
    assert_eq!(days, [first.0.to_string(), (first.0 + 1).to_string()]);
    let sums = "SELECT report ->> '$.owed[0].face_fen' FROM day_close";
    assert_eq!(story.rows(&format!("SELECT CAST(({sums}) AS TEXT)")), ["400"]);
}

#[test]
fn what_till_lane_and_journal_do_not_say_the_same_of_is_listed() {
    let mut story = shopper();
    let counted = |key: &str, number| TillCommit {
        mark: TillMark { number: Some(number), merchant: Some("cafe".to_owned()), ..TillMark::default() },
        ..sale(key, 100)
    };
    applied(story.commit(counted("k-1", 1)).1);
    applied(story.commit(counted("k-4", 4)).1);
    story.enter("in", GUEST);
    story.minutes(25);
    story.passage("in-2", true);
    story.passage("in-2", false);
    story.arrival("out-2", true);
    assert_eq!(story.read("out-2", GUEST), 0);
    let raise = StaffWish::Raise { reason: "let go".to_owned(), plate: None, debt: false, second: None };
    story.staff("out-2", raise);
    story.drive_through("out-2");
    let report = close(&mut story);
    let listed: Vec<_> = report.exceptions.iter().map(|e| (e.state, e.about.as_str(), e.fen.0, e.count)).collect();
    let stay = story.rows(&format!("SELECT stay FROM stay WHERE plate = '{GUEST}'"));
    let expect = [
        (Mismatch::TillOnly, "till-1", 0, 2),
        (Mismatch::BoxOnly, "till-1", 0, 1),
        (Mismatch::LaneOnly, "in-2", 0, 1),
        (Mismatch::WrittenOff, stay[0].as_str(), 500, 1),
    ];
    assert_eq!(listed, expect);
}

#[test]
fn what_a_till_counts_otherwise_than_the_box_is_told_with_its_z_slip_and_listed() {
    let mut story = shopper();
    applied(story.commit(TillCommit { points_cover: Fen(300), cash: Fen(400), ..sale("k-1", 700) }).1);
    let stated = Stated {
        sales: Some(2),
        sale_fen: Some(Fen(700)),
        money_fen: Some(Fen(350)),
        cash_fen: Some(Fen(400)),
        wallet_fen: Some(Fen(-50)),
        ..Stated::default()
    };
    let answer = story.ask("z-1", TillWish::CloseShift { shift: 1, stated: Some(stated) });
    let TillAnswer::Done { done: TillDone::ShiftClosed { totals, stated: said, .. }, .. } = &answer else {
        panic!("{answer:?}")
    };
    assert_eq!(said.as_ref().unwrap().differences(totals), [("sales", 1), ("money_fen", -50), ("wallet_fen", -50)]);
    story.ask("z-2", TillWish::CloseShift { shift: 2, stated: None });
    let report = close(&mut story);
    let listed: Vec<_> = report.exceptions.iter().map(|e| (e.state, e.about.as_str(), e.fen.0, e.count)).collect();
    let expect = [
        (Mismatch::AmountDiff, "till-1 shift 1 sales", 0, 1),
        (Mismatch::AmountDiff, "till-1 shift 1 money_fen", -50, 1),
        (Mismatch::AmountDiff, "till-1 shift 1 wallet_fen", -50, 1),
    ];
    assert_eq!(listed, expect, "what it does not say, and what is the same, is not listed");
    story.restart();
}

#[test]
fn what_is_still_set_aside_or_was_given_up_is_listed_by_the_close() {
    let mut story = shopper();
    applied(story.commit(sale("k-1", 100)).1);
    let hold = TillWish::Hold { member: MemberId::from("M1"), points: Points(20), ttl_ms: 300_000, shown: None };
    let TillAnswer::Done { done: TillDone::Held { hold, .. }, .. } = story.ask("h-1", hold) else { panic!("no hold") };
    story.ask("r-1", TillWish::Reverse { original_key: "never-came".to_owned() });
    story.ask("z-1", TillWish::CloseShift { shift: 1, stated: None });
    let report = close(&mut story);
    let listed: Vec<_> = report.exceptions.iter().map(|e| (e.state, e.about.clone(), e.fen.0, e.count)).collect();
    let given_up = (Mismatch::TillOnly, "till-1 never-came".to_owned(), 0, 1);
    assert_eq!(listed, [given_up, (Mismatch::BoxOnly, format!("till-1 {hold}"), 200, 1)]);
    assert_eq!(report.matched, 1, "the sale itself is said by both");
}

#[test]
fn the_box_closes_a_day_by_itself_and_prints_what_proves_it() {
    let mut story = shopper();
    applied(story.commit(sale("k-1", 700)).1);
    let day = today(&story);
    story.stop();
    let settings = format!("[site]\ntimezone = \"UTC\"\nday_closes = \"04:00\"\n{}", crate::till_lines::LANE);
    let mut site = Site::start_by(&settings, |file, folder| {
        std::fs::copy(story.path(), folder.join("ledger.db")).unwrap();
        run(file)
    });
    let guard = [("Gatepost-Operator", "guard"), ("Gatepost-Pin", "4711")];
    let date = jiff::civil::date(1970, 1, 1).checked_add(jiff::Span::new().days(day.0)).unwrap();
    let look = |query: &str| {
        let path = format!("/api/v1/staff/business-days/{date}{query}");
        let answer = request(site.address, "GET", &path, &guard, "").unwrap();
        serde_json::from_str::<Value>(&answer.body).unwrap()
    };
    let until = Instant::now() + PATIENCE;
    while look("")["closed_by"] != "box" {
        assert!(Instant::now() < until, "nobody closed {date}: {}", look(""));
        std::thread::yield_now();
    }
    let slip = look("?format=lines&columns=32&lang=en");
    let lines = slip["lines"]["en"].as_array().unwrap().iter().map(|line| line.as_str().unwrap());
    let solid: String = lines.flat_map(str::split_whitespace).collect();
    assert!(solid.contains("Closedbybox") && solid.contains("M017>cafe￥4.00"), "{slip}");
    let after = &look("")["journal_after"];
    let head = after["head"].as_str().unwrap().to_owned();
    assert!(solid.contains(&format!("GPH1:box-1/{}/{}/{head}", after["epoch"], after["seq"])), "{slip}");
    site.daemon.kill();
    let db = rusqlite::Connection::open(site.folder.path().join("ledger.db")).unwrap();
    let sql = "SELECT CAST(body AS TEXT) LIKE '%\"day_closed\"%' FROM journal WHERE lower(hex(head)) = ?1";
    assert!(db.query_row(sql, [&head], |row| row.get::<_, bool>(0)).unwrap(), "the entry that closed the day");
    site.verify().unwrap();
}

#[test]
fn a_statement_names_rule_cashier_lane_and_time_of_each_leg() {
    let (mut story, _) = lunch_at_the_exit();
    story.drive_through("out");
    let mut day = today(&story);
    let parking = rows_of(&story, &crate::benefits::rules(), day, "Noodle bar");
    let (came, left) = (&parking[0][20..21], &parking[0][22..23]);
    assert_eq!((parking[0][15].as_str(), parking[0][19].as_str(), parking[0][21].as_str()), ("lunch", "in", "out"));
    assert!(came[0] < left[0] && left[0].ends_with("+08:00"), "{parking:?}");
    story = shopper();
    story.ask_as("o-1", cafe(), TillWish::OpenShift { operator: Some("chen".to_owned()) });
    applied(story.commit(sale("k-1", 700)).1);
    day = today(&story);
    let spends = rows_of(&story, include_str!("../../systemd/rules.toml"), day, "M017");
    assert_eq!((spends[0][15].as_str(), spends[0][18].as_str(), spends[0][19].as_str()), ("", "chen", ""));
}

/// The statement of a party as a box over this story's ledger gives it: a row of cells for each leg.
fn rows_of(story: &Story, rules: &str, day: BusinessDay, party: &str) -> Vec<Vec<String>> {
    let site = Site::start_by(crate::till_lines::LANE, |file, folder| {
        let copy = folder.join("ledger.db").display().to_string();
        rusqlite::Connection::open(story.path()).unwrap().execute("VACUUM INTO ?1", [copy]).unwrap();
        std::fs::write(folder.join("rules.toml"), rules).unwrap();
        run(file)
    });
    let guard = [("Gatepost-Operator", "guard"), ("Gatepost-Pin", "4711")];
    let date = jiff::civil::date(1970, 1, 1).checked_add(jiff::Span::new().days(day.0)).unwrap();
    let path = format!("/api/v1/staff/business-days/{date}/statements/{}", party.replace(' ', "%20"));
    let csv = request(site.address, "GET", &path, &guard, "").unwrap().body;
    let rows: Vec<Vec<String>> = csv.lines().map(|line| line.split(',').map(str::to_owned).collect()).collect();
    let names = ["benefit", "campaign", "instance", "operator", "came_lane", "came_at", "left_lane", "left_at"];
    assert_eq!(rows[0][15..], names, "{csv}");
    assert!(rows.len() > 1 && rows.iter().all(|row| row.len() == rows[0].len()), "{csv}");
    rows[1..].to_vec()
}

fn cafe() -> TillMark {
    TillMark { merchant: Some("cafe".to_owned()), ..TillMark::default() }
}

#[test]
fn staff_look_at_a_day_and_print_a_statement_and_nobody_else_does() {
    let site = Site::start(crate::till_lines::LANE);
    let guard = [("Gatepost-Operator", "guard"), ("Gatepost-Pin", "4711")];
    let ask = |method: &str, path: &str, headers: &[(&str, &str)], body: &str| {
        request(site.address, method, &format!("/api/v1/staff/business-days/{path}"), headers, body).unwrap()
    };
    let day = ask("GET", "2026-03-01", &guard, "");
    let report: Value = serde_json::from_str(&day.body).unwrap();
    assert_eq!((day.status, &report["closed_by"], &report["matched"]), (200, &json!(null), &json!(0)), "{report}");
    let csv = ask("GET", "2026-03-01/statements/cafe", &guard, "");
    assert_eq!((csv.status, csv.body.lines().count()), (200, 1));
    assert!(csv.body.starts_with("\u{feff}entry,head,what,"), "{}", csv.body);
    let page = ask("GET", "2026-03-01/statements/%3Cb%3E?format=html", &guard, "");
    assert!(page.status == 200 && page.body.contains("&lt;b&gt;") && !page.body.contains("<b>"), "{}", page.body);
    for (path, expect) in [("2026-03-01", 401), ("2026-03-01/statements/cafe", 401)] {
        assert_eq!(ask("GET", path, &[], "").status, expect, "{path}");
    }
    for path in ["2026-02-30", "2026-03-01/statements/cafe?format=pdf"] {
        assert_eq!(ask("GET", path, &guard, "").status, 400, "{path}");
    }
    let body = json!({"operator": "guard", "pin": "4711"}).to_string();
    let refused = ask("POST", "2999-01-01/close", &[], &body);
    assert!(refused.status == 409 && refused.body.contains("day-open"), "{}", refused.body);
    assert_eq!(ask("POST", "2026-03-01/close", &[], &body).status, 200, "an empty day of the past");
    let report: Value = serde_json::from_str(&ask("GET", "2026-03-01", &guard, "").body).unwrap();
    assert_eq!(report["closed_by"], "guard");
}

/// A vehicle that a shop's gift has let through: the barrier is up, and it has not passed.
fn lunch_at_the_exit() -> (Story, String) {
    let mut story = crate::benefits::story();
    story.enter("in", PLATE);
    story.minutes(25);
    story.arrival("out", true);
    story.read("out", PLATE);
    let stay = story.stay_of(PLATE);
    let lunch = Gift::Validation { kind: "lunch".to_owned(), merchant: "Noodle bar".to_owned(), spend: Fen(5000) };
    story.give("k-1", &stay, lunch);
    (story, stay)
}

/// A member with forty points of a shop's lot, which expire first, and two hundred of the mall's, settled at 90 %.
fn shopper() -> Story {
    shopper_under(include_str!("../../systemd/rules.toml").to_owned())
}

fn shopper_under(rules: String) -> Story {
    let mut story = Story::with(rules);
    story.member("M1", &[PLATE]);
    story.enter("in", PLATE);
    let request = story.rows("SELECT request FROM grant_request WHERE state = 'open'").pop().unwrap();
    let lot = |grant: &str, points, lot| Given { grant: GrantId::from(grant), points: Points(points), lot };
    let soon = UtcMs(story.now().0 + 100 * DAY * MINUTE);
    let (id, funder) = (Some("A".to_owned()), "M017".to_owned());
    let of_shop = Lot { id, funder, expires_ms: Some(soon), ..Lot::default() };
    let (id, funder) = (Some("B".to_owned()), "MALL_MKT".to_owned());
    let of_mall = Lot { id, funder, settle_bps: Some(9_000), ..Lot::default() };
    story.feed(Input::Cloud(CloudNews::Granted {
        request: OpId(request),
        member: MemberId::from("M1"),
        epoch: 1,
        grants: vec![lot("G-A", 40, of_shop), lot("G-B", 200, of_mall)],
    }));
    assert_eq!(story.usable(), 240);
    story
}

/// A sale that points pay, at a till of the café.
fn sale(key: &str, fen: i64) -> TillCommit {
    TillCommit {
        terminal: TerminalId::from("till-1"),
        key: key.to_owned(),
        fingerprint: key.to_owned(),
        receipt: format!("R-{key}"),
        occurred: None,
        member: Some(MemberId::from("M1")),
        shown: None,
        sale: Fen(fen),
        stay: None,
        cash: Fen(0),
        money: Vec::new(),
        points_cover: Fen(fen),
        list: None,
        coupon: None,
        gift: None,
        hold: None,
        mark: TillMark { merchant: Some("cafe".to_owned()), ..TillMark::default() },
    }
}

fn applied(answer: TillAnswer) -> OpId {
    let TillAnswer::Applied { transaction, .. } = answer else { panic!("{answer:?}") };
    transaction
}

/// Every leg as `what payer acceptor lot points face owed`.
fn legs(story: &Story) -> Vec<String> {
    story.rows(
        "SELECT what || ' ' || payer || ' ' || acceptor || ' ' || coalesce(lot, '-') || ' ' || points || ' '
         || face_fen || ' ' || fen FROM leg ORDER BY seq, n",
    )
}

/// The newest day that has something in it.
fn today(story: &Story) -> BusinessDay {
    let days = "SELECT CAST(max(day) AS TEXT) FROM (SELECT day FROM leg UNION SELECT day FROM day_item)";
    BusinessDay(story.rows(days)[0].parse().unwrap())
}

/// Closes the day of now, on the next one.
fn close(story: &mut Story) -> Report {
    let day = today(story);
    story.minutes(DAY);
    closed(story, day);
    let report = story.rows("SELECT report FROM day_close ORDER BY day DESC LIMIT 1").pop().unwrap();
    serde_json::from_str(&report).unwrap()
}

/// What does not add up.
fn differences(report: &Report) -> usize {
    report.exceptions.iter().filter(|found| found.state == Mismatch::AmountDiff).count()
}

fn closed(story: &mut Story, day: BusinessDay) {
    let reply = story.feed(Input::DayClosing(Closing { day, by: "guard-1".to_owned() })).1;
    assert!(matches!(&reply, Reply::Staff(Ok(_))), "{reply:?}");
}

fn refusal(story: &mut Story, day: BusinessDay) -> Option<BusinessDay> {
    let reply = story.feed(Input::DayClosing(Closing { day, by: "guard-1".to_owned() })).1;
    let Reply::Staff(Err(StaffRefusal::DayRefused { first })) = reply else { panic!("{reply:?}") };
    first
}
