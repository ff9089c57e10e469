//! Merchants as the cloud ledger tells of them: what they do bears what was known of them then, whatever is said later.

use gatepost::domain::benefit::CouponState;
use gatepost::domain::event::{
    BusinessDay, CloudNews, CouponWish, FeedChange, Fen, Gift, Input, IssuedCoupon, MerchantTold, Note, OfficeAct,
    Points, Shop, TillCommit, TillMark, TillWish, UtcMs,
};
use gatepost::store::reader::Reader;
use serde_json::json;

use crate::coupons::COUPONS;
use crate::story::Story;
use crate::tills::sale;

#[test]
fn a_merchant_takes_part_from_its_beginning_to_its_end() {
    let told: FeedChange = serde_json::from_value(json!({"change": 7, "kind": "merchant", "merchant": {
        "id": "cafe", "name": "Café", "floor": "B1", "format": "food", "tags": ["own"], "accepts_points": true,
        "earns_points": false, "gives_parking": true, "from_ms": 1000, "until_ms": 2000}}))
    .unwrap();
    let FeedChange::Merchant { merchant } = told else { panic!("a merchant") };
    let known = Shop {
        id: "cafe".into(),
        name: "Café".into(),
        floor: "B1".into(),
        format: "food".into(),
        tags: vec!["own".into()],
        earns_nothing: true,
        ..Shop::default()
    };
    assert_eq!(merchant.shop(UtcMs(1000)), known);
    let over = Shop { refuses_points: true, gives_no_parking: true, ..known };
    for at in [999, 2000] {
        assert_eq!(merchant.shop(UtcMs(at)), over, "{at}");
    }
}

#[test]
fn each_kind_of_record_bears_what_was_known_of_the_shop() {
    let mut story = benefits();
    story.member("M1", &["粤B12345"]);
    story.enter("in", "粤B12345");
    story.grant(300);
    let stay = story.stay_of("粤B12345");
    let at = |key: &str, commit: TillCommit| TillCommit { key: key.into(), mark: mark("B1"), ..commit };
    story.commit(at("k-1", sale("k-1", 500, 0, 500)));
    let hold = TillWish::Hold { member: "M1".into(), points: Points(10), ttl_ms: 1000, shown: None };
    story.ask_as("k-2", mark("B1"), hold);
    let wish = CouponWish::Use { code: "C-1".into(), sale: Some(Fen(900)), receipt: "R".into() };
    story.ask_as("k-3", mark("B1"), TillWish::Coupon(wish));
    for (key, gift) in [
        ("k-4", Gift::Coupon { code: "P-1".into() }),
        ("k-5", Gift::Validation { kind: "lunch".into(), merchant: "cafe".into(), spend: Fen(0) }),
    ] {
        let shown =
            TillCommit { stay: Some(stay.as_str().into()), cash: Fen(0), gift: Some(gift), ..sale(key, 0, 0, 0) };
        story.commit(at(key, shown));
    }
    let shop = mark("B1").shop;
    let entry = story.rows("SELECT CAST(seq AS TEXT) FROM leg WHERE payer = 'bank'")[0].parse().unwrap();
    let note = Note::DisputeOpened { party: "cafe".into(), entry, reason: "not ours".into() };
    story.feed(Input::Office(OfficeAct { id: "d-1".into(), by: "li".into(), second: None, shop, note }));
    let stamped = story.rows(
        "SELECT DISTINCT record.value ->> '$.kind' FROM journal, json_each(CAST(body AS TEXT), '$.records') AS record
         WHERE record.value LIKE '%\"floor\":\"B1\"%' ORDER BY 1",
    );
    let kinds = [
        "coupon_moved",
        "coupon_shown",
        "office_noted",
        "operation_answered",
        "till_booked",
        "till_hold_placed",
        "validation_given",
    ];
    assert_eq!(stamped, kinds);
}

#[tokio::test]
async fn a_statement_says_what_was_known_then() {
    let mut story = crate::tills::shopper();
    let sold = |key: &str, floor| TillCommit { mark: mark(floor), ..sale(key, 100, 0, 100) };
    story.commit(sold("k-1", "B1"));
    let moved = MerchantTold {
        id: "cafe".into(),
        name: String::new(),
        floor: "L3".into(),
        format: String::new(),
        tags: Vec::new(),
        accepts_points: true,
        earns_points: true,
        gives_parking: true,
        from_ms: None,
        until_ms: None,
    };
    let changes = vec![FeedChange::Merchant { merchant: moved.clone() }];
    story.feed(Input::Cloud(CloudNews::Fed { changes, next: 9 }));
    story.commit(sold("k-2", "L3"));
    let reader = Reader::open(&story.path()).unwrap();
    let day = BusinessDay(story.rows("SELECT CAST(day AS TEXT) FROM leg")[0].parse().unwrap());
    let look = reader.look(move |view| Ok((view.statement(day, "cafe")?, view.merchant_told("cafe")?)));
    let (legs, told) = look.await.unwrap();
    let floors: Vec<&str> = legs.iter().map(|leg| leg.shop.as_ref().map_or("", |shop| shop.floor.as_str())).collect();
    assert_eq!((floors, told), (vec!["B1", "L3"], Some(moved)), "what is said later changes nothing that was stamped");
}

#[tokio::test]
async fn a_shop_sees_its_own_day_and_lines_and_no_other_shops() {
    let mut story = crate::tills::shopper();
    for (key, shop, fen) in [("k-1", "cafe", 100), ("k-2", "bakery", 200), ("k-3", "cafe", 300)] {
        let of = TillMark { merchant: Some(shop.into()), ..TillMark::default() };
        story.commit(TillCommit { mark: of, ..sale(key, fen, 0, fen) });
    }
    let reader = Reader::open(&story.path()).unwrap();
    let day = BusinessDay(story.rows("SELECT CAST(day AS TEXT) FROM leg")[0].parse().unwrap());
    let look = reader.look(move |view| Ok((view.statement(day, "cafe")?, view.merchant_day("cafe", day)?)));
    let (legs, sums) = look.await.unwrap();
    let lines: Vec<(&str, i64)> = legs.iter().map(|leg| (leg.acceptor.as_str(), leg.fen.0)).collect();
    assert_eq!(lines, [("cafe", 100), ("cafe", 300)]);
    assert_eq!((sums.sales, sums.sales_fen, sums.points_fen), (2, Fen(400), Fen(400)));
}

/// A car park with coupons for goods and for parking, and a lunch that any shop gives.
fn benefits() -> Story {
    let lunch = "\n[[benefits.validation]]\nid = \"lunch\"\nzh = \"午餐\"\nen = \"lunch\"\ngive = { fen = 100 }\n";
    let mut story = Story::with(format!("{}{COUPONS}{lunch}", include_str!("../../systemd/rules.toml")));
    for (id, kind) in [("C-1", "coffee"), ("P-1", "parking")] {
        let (id, kind, state) = (id.to_owned(), kind.to_owned(), CouponState::ClaimedHere);
        let coupon = IssuedCoupon { id, kind, member: None, merchant: None, from_ms: None, until_ms: None, state };
        story.feed(Input::Cloud(CloudNews::Fed { changes: vec![FeedChange::Coupon { coupon }], next: 1 }));
    }
    story
}

fn mark(floor: &str) -> TillMark {
    let shop = Shop { id: "cafe".into(), floor: floor.into(), ..Shop::default() };
    TillMark { merchant: Some("cafe".into()), shop: Some(shop), ..TillMark::default() }
}
