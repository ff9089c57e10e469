//! The service desk and merchants: the same sale by two ways, points by hand, disputes, vouchers, and what a day's match
//! says of them.

use gatepost::domain::event::{
    Fen, GivenFor, Input, Money, MoneyKind, Note, OfficeAct, OpId, Points, Reply, Shop, StaffRefusal, TerminalId,
    TillAnswer, TillCommit, TillMark, TillWish, UtcMs, VoucherGives,
};
use gatepost::domain::settlement::{Closing, Mismatch, Report};

use crate::story::{MINUTE, Story};
use crate::tills::{sale, shopper};

#[test]
fn the_same_sale_by_two_ways_earns_once() {
    let mut story = shopper();
    let first = story.commit(at_shop("tap", "a", "R-17", 5_000)).1;
    let TillAnswer::Applied { transaction, earned, duplicate_of: None, .. } = &first else { panic!("{first:?}") };
    assert_eq!(earned.0, 50);
    let second = story.commit(at_shop("till-1", "b", "R-17", 5_000)).1;
    let TillAnswer::Applied { earned: again, duplicate_of, .. } = &second else { panic!("{second:?}") };
    assert_eq!((again.0, duplicate_of.as_ref()), (0, Some(transaction)), "booked in its drawer, and earned once");
    for (terminal, receipt, fen, why) in [
        ("till-1", "R-18", 5_000, "another receipt"),
        ("till-2", "R-17", 6_000, "another amount"),
        ("tap", "R-17", 5_000, "the same till: its keys tell its requests apart"),
    ] {
        let other = story.commit(at_shop(terminal, why, receipt, fen)).1;
        assert!(matches!(&other, TillAnswer::Applied { duplicate_of: None, .. }), "{why}: {other:?}");
    }
    story.minutes(3 * 24 * 60);
    let later = story.commit(at_shop("till-2", "c", "R-18", 5_000)).1;
    assert!(matches!(&later, TillAnswer::Applied { duplicate_of: None, .. }), "a receipt counter begins anew");
}

#[test]
fn a_sale_that_was_taken_back_is_no_twin() {
    let mut story = shopper();
    let first = story.commit(at_shop("till-1", "a", "R-17", 5_000)).1;
    let TillAnswer::Applied { transaction, .. } = first else { panic!("{first:?}") };
    story.ask_as(
        "v",
        TillMark { merchant: Some("cafe".into()), ..TillMark::default() },
        TillWish::Void { transaction },
    );
    let again = story.commit(at_shop("till-2", "b", "R-17", 5_000)).1;
    assert!(matches!(&again, TillAnswer::Applied { earned: Points(50), duplicate_of: None, .. }), "{again:?}");
}

#[test]
fn what_is_known_of_the_shop_is_stamped_and_a_shop_may_earn_nothing() {
    let mut story = shopper();
    let mut commit = at_shop("till-1", "a", "R-1", 5_000);
    commit.mark.shop = Some(Shop { floor: "B1".into(), format: "food".into(), earns_nothing: true, ..Shop::default() });
    let answer = story.commit(commit).1;
    assert!(matches!(&answer, TillAnswer::Applied { earned: Points(0), .. }), "{answer:?}");
    assert_eq!(story.rows("SELECT (line ->> '$.shop.floor') || (line ->> '$.shop.format') FROM till_book"), ["B1food"]);
}

#[test]
fn points_by_hand_have_limits_and_a_second_person_above() {
    let mut story = shopper();
    assert_eq!(give(&mut story, "g-1", 200, None), Ok("200 points are given; 500 usable".into()));
    assert_eq!(give(&mut story, "g-1", 200, None), Ok("it was done before".into()));
    assert_eq!(give(&mut story, "g-1", 100, None).unwrap_err(), "id");
    assert_eq!(story.usable(), 500, "once");
    assert_eq!(give(&mut story, "g-2", 201, None).unwrap_err(), "second");
    for n in 3..7 {
        give(&mut story, &format!("g-{n}"), 200, None).unwrap();
    }
    assert_eq!(give(&mut story, "g-7", 1, None).unwrap_err(), "second", "1000 a day");
    give(&mut story, "g-8", 5_000, Some("zhao")).unwrap();
    assert_eq!(give(&mut story, "g-9", 10_001, Some("zhao")).unwrap_err(), "points");
    story.minutes(24 * 60);
    give(&mut story, "g-10", 200, None).unwrap();
    let lots =
        "SELECT DISTINCT (lot ->> '$.source') || ' ' || (lot ->> '$.funder') FROM points_grant WHERE lot IS NOT NULL";
    assert_eq!(story.rows(lots), ["goodwill MALL"], "who pays for them stands in the lot");
}

#[test]
fn a_receipt_is_made_up_for_once() {
    let mut story = shopper();
    story.commit(at_shop("till-1", "a", "R-17", 5_000));
    let fill = |story: &mut Story, id: &str, receipt: Option<(&str, &str)>| {
        let receipt = receipt.map(|(shop, receipt)| (shop.to_owned(), receipt.to_owned()));
        let (source, reason) = (GivenFor::Backfill, "the till was down".to_owned());
        let (member, funder) = ("M1".into(), "cafe".to_owned());
        act(story, id, None, Note::PointsGiven { member, points: Points(50), source, funder, reason, receipt })
    };
    assert_eq!(fill(&mut story, "b-1", None).unwrap_err(), "receipt");
    assert_eq!(fill(&mut story, "b-2", Some(("cafe", "R-17"))).unwrap_err(), "receipt", "a till has brought it");
    fill(&mut story, "b-3", Some(("cafe", "R-18"))).unwrap();
    assert_eq!(fill(&mut story, "b-4", Some(("cafe", "R-18"))).unwrap_err(), "receipt", "made up for once");
}

#[test]
fn a_days_match_tells_duplicates_late_sales_and_disputes() {
    let mut story = shopper();
    story.commit(at_shop("tap", "a", "R-17", 5_000));
    story.commit(at_shop("till-1", "b", "R-17", 5_000));
    let late = UtcMs(story.now().0 - 30 * MINUTE);
    story.commit(TillCommit { occurred: Some(late), ..at_shop("till-1", "c", "R-18", 700) });
    story.commit(TillCommit { points_cover: Fen(1_000), cash: Fen(0), ..at_shop("till-1", "d", "R-19", 1_000) });
    let entry: u64 = story.rows("SELECT CAST(seq AS TEXT) FROM leg")[0].parse().unwrap();
    let dispute = |entry, party: &str| Note::DisputeOpened { party: party.into(), entry, reason: "not ours".into() };
    assert_eq!(act(&mut story, "d-1", None, dispute(entry, "nobody")).unwrap_err(), "entry");
    assert_eq!(act(&mut story, "d-2", None, dispute(1, "cafe")).unwrap_err(), "entry");
    act(&mut story, "d-3", None, dispute(entry, "cafe")).unwrap();
    assert_eq!(act(&mut story, "d-4", None, dispute(entry, "cafe")).unwrap_err(), "entry", "it is open");
    let op = story.rows("SELECT op FROM office_note WHERE kind = 'dispute_opened'").pop().unwrap();
    let day = story.rows("SELECT CAST(max(day) AS TEXT) FROM till_book")[0].parse().unwrap();
    story.minutes(24 * 60);
    story.feed(Input::DayClosing(Closing { day: gatepost::domain::event::BusinessDay(day), by: "li".into() }));
    let report: Report = serde_json::from_str(&story.rows("SELECT report FROM day_close")[0]).unwrap();
    let states: Vec<(Mismatch, i64)> = report
        .exceptions
        .iter()
        .filter(|found| found.state != Mismatch::BoxOnly)
        .map(|found| (found.state, found.fen.0))
        .collect();
    assert_eq!(states, [(Mismatch::TimeDiff, 700), (Mismatch::Duplicate, 5_000), (Mismatch::Disputed, 1_000)]);
    let lines: u64 = story.rows("SELECT CAST(count(*) AS TEXT) FROM till_book")[0].parse().unwrap();
    assert_eq!((report.matched, lines), (1, 4), "the late one, the second of two and the disputed one match nothing");
    let settled = |of: &str| Note::DisputeSettled { of: OpId::from(of), outcome: "explained".into() };
    act(&mut story, "s-1", None, settled(&op)).unwrap();
    assert_eq!(act(&mut story, "s-2", None, settled(&op)).unwrap_err(), "dispute", "once");
}

#[test]
fn one_payment_by_two_ways_is_one_sale() {
    let mut story = shopper();
    let paid = |terminal: &str, key: &str, receipt: &str, payment: &str, fen| {
        let money = vec![Money { kind: MoneyKind::Wallet, fen: Fen(fen), reference: Some(payment.to_owned()) }];
        TillCommit { money, ..at_shop(terminal, key, receipt, fen) }
    };
    let twins = "SELECT count(*) || '' FROM till_book WHERE line ->> '$.duplicate_of' IS NOT NULL";
    story.commit(paid("till-1", "a", "R-17", "4200001", 5_000));
    for (terminal, payment, fen, found) in [
        ("desk", "4200002", 5_000, "0"),
        ("desk", "4200001", 4_999, "0"),
        ("till-1", "4200001", 5_000, "0"),
        ("desk", "4200001", 5_000, "1"),
    ] {
        let key = format!("{terminal} {payment} {fen}");
        story.commit(paid(terminal, &key, &key, payment, fen));
        assert_eq!(story.rows(twins), [found], "{key}");
        story.minutes(1);
    }
    let earned = "SELECT CAST(earned AS TEXT) FROM till_book ORDER BY seq DESC LIMIT 1";
    assert_eq!(story.rows(earned), ["0"], "it earns once");
}

#[test]
fn a_paper_voucher_is_keyed_in_once() {
    let mut story = shopper();
    let print = |first, count| Note::VouchersPrinted {
        first,
        count,
        fen: Fen(1_000),
        funder: "MALL".into(),
        gives: VoucherGives::Parking,
    };
    act(&mut story, "p-1", None, print(1, 20)).unwrap();
    assert_eq!(act(&mut story, "p-2", None, print(1, 20)).unwrap_err(), "first", "no number is printed twice");
    assert_eq!(act(&mut story, "p-3", None, print(21, 501)).unwrap_err(), "count");
    act(&mut story, "p-4", None, print(21, 5)).unwrap();
    let key = |number| Note::VoucherKeyed {
        number,
        plate: "粤B12345".into(),
        remark: "8:10".into(),
        left: None,
        cash: Fen(0),
        shop: None,
    };
    act(&mut story, "k-1", None, key(25)).unwrap();
    assert_eq!(act(&mut story, "k-2", None, key(25)).unwrap_err(), "number", "once");
    assert_eq!(act(&mut story, "k-3", None, key(26)).unwrap_err(), "number", "never printed");
    act(&mut story, "k-4", None, key(3)).unwrap();
    story.commit(at_shop("till-1", "a", "R-17", 5_000));
    let day = story.rows("SELECT CAST(max(day) AS TEXT) FROM till_book")[0].parse().unwrap();
    story.minutes(24 * 60);
    story.feed(Input::DayClosing(Closing { day: gatepost::domain::event::BusinessDay(day), by: "li".into() }));
    let report: Report = serde_json::from_str(&story.rows("SELECT report FROM day_close")[0]).unwrap();
    assert_eq!(report.vouchers, (2, Fen(2_000)));
}

/// A sale of the café, which two terminals may bring.
fn at_shop(terminal: &str, key: &str, receipt: &str, fen: i64) -> TillCommit {
    TillCommit {
        terminal: TerminalId::from(terminal),
        receipt: receipt.to_owned(),
        mark: TillMark { merchant: Some("cafe".to_owned()), ..TillMark::default() },
        ..sale(key, fen, fen, 0)
    }
}

fn give(story: &mut Story, id: &str, points: i64, second: Option<&str>) -> Result<String, String> {
    let (member, funder, reason) = ("M1".into(), "MALL".to_owned(), "waited long".to_owned());
    let (points, source) = (Points(points), GivenFor::Goodwill);
    let said = act(story, id, second, Note::PointsGiven { member, points, source, funder, reason, receipt: None })?;
    Ok(said.replace(" are usable here", " usable"))
}

/// What was said, or the field that was wrong.
fn act(story: &mut Story, id: &str, second: Option<&str>, note: Note) -> Result<String, String> {
    let second = second.map(str::to_owned);
    match story.feed(Input::Office(OfficeAct { id: id.to_owned(), by: "li".to_owned(), second, shop: None, note })).1 {
        Reply::Staff(Ok(text)) => Ok(text),
        Reply::Staff(Err(StaffRefusal::PointsSecondNeeded { .. })) => Err("second".to_owned()),
        Reply::Staff(Err(StaffRefusal::NotThatWay { why })) => Err(why.split(':').next().unwrap().to_owned()),
        other @ (Reply::Done | Reply::Till(_) | Reply::Staff(_) | Reply::Ticket(_)) => panic!("{other:?}"),
    }
}
