//! Coupons at the tills: for goods, used once whoever asks, owed to the shop that took them, good again when they come
//! back; and a site whose members and coupons are there before its daemon starts.

use gatepost::domain::benefit::CouponState;
use gatepost::domain::event::{
    CloudNews, CouponMove, CouponUse, CouponWish, FeedChange, Fen, Input, IssuedCoupon, TillAnswer, TillDone, TillMark,
    TillWish,
};

use serde_json::{Value, json};

use crate::boxed::{Site, request, run};
use crate::story::Story;
use crate::till_lines::LANE;

/// Coupons that the shops "cafe" and the tills 1 to 8, which stand in none, take.
pub const COUPONS: &str = r#"
[[benefits.coupon]]
id = "coffee"
zh = "咖啡券"
en = "coffee"
merchants = ["cafe", "till-1", "till-2", "till-3", "till-4", "till-5", "till-6", "till-7", "till-8"]
give = { fen = 500 }
funder = "bank"

[[benefits.coupon]]
id = "tenth"
zh = "九折券"
en = "a tenth off"
merchants = ["cafe"]
when = { min_spend_fen = 2000 }
give = { percent_bps = 1000 }
funder = "merchant"

[[benefits.coupon]]
id = "parking"
zh = "停车券"
en = "parking"
give = { fen = 300 }

[[benefits.coupon]]
id = "cake"
zh = "蛋糕券"
en = "cake"
merchants = ["cafe"]
give = { service = "蛋糕一块" }
funder = "cafe"

[[benefits.validation]]
id = "noon"
zh = "午餐停车"
en = "with a lunch"
merchants = ["till-1", "till-2", "till-3", "till-4", "till-5", "till-6"]
give = { fen = 100 }

[[benefits.coupon]]
id = "double"
zh = "双倍积分券"
en = "double points"
merchants = ["till-1"]
give = { multiply_bps = 20000 }
funder = "bank"
"#;

#[test]
fn a_coupon_is_used_once_and_good_again_when_it_comes_back() {
    let mut story = story();
    let used = used(&story.ask_as("k-1", cafe(), take("C-1", Some(1_200))));
    assert_eq!((used.used.fen, used.merchant.as_str(), used.rules), (Fen(500), "cafe", Some(1)));
    assert_eq!(legs(&story), ["benefit bank cafe 500"]);
    refused(&story.ask_as("k-2", cafe(), take("C-1", Some(1_200))), "coupon-state");
    let again = story.ask_as("k-1", cafe(), take("C-1", Some(1_200)));
    assert!(matches!(again, TillAnswer::Done { replayed: true, .. }), "{again:?}");
    assert_eq!(legs(&story).len(), 1, "a repeat owes nothing");
    story.restart();
    for (key, shop) in [("x-1", None), ("x-2", Some("bakery"))] {
        refused(&story.ask_from("till-2", key, shop, give_back("C-1")), "coupon-state");
    }
    let back = story.ask_from("till-2", "k-3", Some("cafe"), give_back("C-1"));
    let TillAnswer::Done { done: TillDone::Coupon(CouponMove::Returned { of, .. }), .. } = &back else {
        panic!("{back:?}")
    };
    assert_eq!(of.op, used.op);
    let again = story.ask_from("till-2", "k-3", Some("cafe"), give_back("C-1"));
    assert!(matches!(again, TillAnswer::Done { replayed: true, .. }), "{again:?}");
    assert_eq!(legs(&story), ["benefit bank cafe 500", "undone bank cafe 500"]);
    refused(&story.ask_as("k-4", cafe(), give_back("C-1")), "coupon-state");
    assert_eq!(
        self::used(&story.ask_as("k-5", cafe(), take("C-1", Some(300)))).used.fen,
        Fen(300),
        "no change is given"
    );
}

#[test]
fn a_coupon_is_good_where_its_kind_says_and_for_what() {
    let mut story = story();
    let bakery = TillMark { merchant: Some("bakery".to_owned()), ..TillMark::default() };
    refused(&story.ask_as("k-1", bakery, take("C-1", Some(1_200))), "benefit-unknown");
    refused(&story.ask_as("k-2", cafe(), take("P-1", Some(1_200))), "coupon-state");
    refused(&story.ask_as("k-3", cafe(), take("T-1", Some(1_999))), "coupon-state");
    assert_eq!(used(&story.ask_as("k-4", cafe(), take("T-1", Some(2_005)))).used.fen, Fen(200), "rounded down");
    refused(&story.ask_as("k-5", cafe(), take("C-1", None)), "coupon-state");
    assert_eq!(used(&story.ask_as("k-6", cafe(), take("S-1", None))).used.fen, Fen(0), "a cake is handed over");
    refused(&story.ask_as("k-7", cafe(), take("S-1", None)), "coupon-state");
    refused(&story.ask_as("k-8", cafe(), take("U-1", Some(1_200))), "coupon-state");
    refused(&story.ask_as("k-9", cafe(), take("none", Some(1_200))), "benefit-unknown");
    assert_eq!(legs(&story), ["benefit bakery cafe 200"], "the issuer pays; a till's fee is no part of it");
}

#[test]
fn a_use_whose_answer_never_came_is_given_up() {
    let mut story = story();
    used(&story.ask_as("k-1", cafe(), take("C-1", Some(1_200))));
    let answer = story.ask_as("r-1", cafe(), TillWish::Reverse { original_key: "k-1".to_owned() });
    assert!(matches!(&answer, TillAnswer::Done { done: TillDone::Reversed { .. }, .. }), "{answer:?}");
    assert_eq!(story.rows("SELECT count(*) || '' FROM coupon_use WHERE returned_by IS NULL"), ["0"]);
    used(&story.ask_as("k-2", cafe(), take("C-1", Some(1_200))));
}

#[test]
fn a_till_names_the_coupon_that_multiplies_with_the_sale_over_http() {
    let site = stocked(LANE);
    let ask = |method: &str, path: &str, key: &str, body: &Value| {
        let who = [("Gatepost-Terminal", "till-1"), ("Authorization", "Bearer secret"), ("Idempotency-Key", key)];
        let answer = request(site.address, method, &format!("/api/v1/{path}"), &who, &body.to_string()).unwrap();
        (answer.status, serde_json::from_str::<Value>(&answer.body).unwrap())
    };
    let (_, told) = ask("GET", "coupons/D-1?sale_fen=4000", "-", &json!({}));
    assert_eq!(
        (&told["for"], &told["usable"], &told["gives"]),
        (&json!("points"), &json!(true), &json!({"multiply_bps": 20000}))
    );
    let sale = |member: &str| {
        json!({"receipt_no": "A-1", "sale_fen": 4000, "member_ref": format!("code:GP{member}"),
        "coupon": "D-1", "tenders": [{"kind": "cash", "fen": 4000}]})
    };
    assert_eq!(ask("POST", "transactions", "k-1", &sale("M2")).0, 409, "another member's");
    let mut nobody = sale("M1");
    nobody.as_object_mut().unwrap().remove("member_ref");
    assert_eq!(ask("POST", "transactions", "k-2", &nobody).0, 400);
    let quote = |fields: Value| {
        let mut body = json!({"sale_fen": 4000, "member_ref": "code:GPM1"});
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        ask("POST", "quotes", "q", &body)
    };
    assert_eq!(quote(json!({})).1["earn_points"], 40);
    let (status, promised) = quote(json!({"coupon": "D-1"}));
    assert_eq!((status, &promised["earn_points"]), (200, &json!(80)), "{promised}");
    assert_eq!(promised["coupon"], json!({"coupon": "D-1", "usable": true, "adds_points": 40}));
    assert_eq!(quote(json!({"coupon": "D-1", "points_fen": 3000})).1["earn_points"], 20, "points earn nothing");
    assert_eq!(quote(json!({"points_fen": 4001})).0, 400);
    assert_eq!(quote(json!({"coupon": "D-9"})).0, 404);
    assert_eq!(quote(json!({"coupon": "D-1", "member_ref": "code:GPM2"})).0, 409, "another member's");
    let (status, sold) = ask("POST", "transactions", "k-3", &sale("M1"));
    assert_eq!((status, &sold["earned_points"]), (200, &json!(80)), "{sold}");
    let used = quote(json!({"coupon": "D-1"})).1;
    assert_eq!((&used["earn_points"], &used["coupon"]["usable"]), (&json!(40), &json!(false)), "{used}");
    let refund = |key: &str, fen: i64| {
        let path = format!("transactions/{}/refunds", sold["transaction"].as_str().unwrap().replace('/', "%2F"));
        ask("POST", &path, key, &json!({"fen": fen})).1
    };
    let back = refund("r-1", 1_000);
    assert_eq!((&back["taken_back_points"], &back["coupon"]), (&json!(20), &Value::Null), "{back}");
    let back = refund("r-2", 3_000);
    assert_eq!((&back["taken_back_points"], &back["coupon"]), (&json!(60), &json!("D-1")), "{back}");
    assert_eq!(ask("POST", "transactions", "k-4", &sale("M1")).1["earned_points"], 80, "it is good again");
}

/// How many members each till of [`stocked`] has: a phone's code pays once, and a hold may be cut in three places before
/// it is captured and in three before it is released.
pub const MEMBERS: u32 = 6;

/// A site that knows, for each of the tills 1 to 8, members with 300 points each, who are inside, and a coupon for goods:
/// the members are `M1` to `M8` and `M11` to `M85`, the coupons `C-1` to `C-8`, the vehicles 粤B12341 and so on.
pub fn stocked(settings: &str) -> Site {
    let mut story = Story::with(rules());
    for till in 1..=8 {
        for number in 0..MEMBERS {
            let plate = format!("粤B{}234{till}", number + 1);
            story.member(&member_at(till, number), &[&plate]);
            story.enter("in", &plate);
            story.grant(300);
        }
        issue(&mut story, &format!("C-{till}"), "coffee", None, CouponState::ClaimedHere);
    }
    let double = IssuedCoupon { member: Some("M1".into()), ..issued("D-1", "double", None, CouponState::ClaimedHere) };
    tell(&mut story, double);
    story.stop();
    let settings = format!("{settings}\n{}", crate::phones::code_keys());
    Site::start_by(&settings, |file, folder| {
        std::fs::copy(story.path(), folder.join("ledger.db")).unwrap();
        std::fs::write(folder.join("rules.toml"), rules()).unwrap();
        run(file)
    })
}

/// The name of one of a till's members in [`stocked`].
pub fn member_at(till: u32, number: u32) -> String {
    if number == 0 { format!("M{till}") } else { format!("M{till}{number}") }
}

fn rules() -> String {
    format!("{}{COUPONS}", include_str!("../../systemd/rules.toml"))
}

fn story() -> Story {
    let mut story = Story::with(rules());
    issue(&mut story, "C-1", "coffee", None, CouponState::ClaimedHere);
    issue(&mut story, "U-1", "coffee", None, CouponState::Issued);
    issue(&mut story, "T-1", "tenth", Some("bakery"), CouponState::ClaimedHere);
    issue(&mut story, "P-1", "parking", None, CouponState::ClaimedHere);
    issue(&mut story, "S-1", "cake", None, CouponState::ClaimedHere);
    story
}

fn issue(story: &mut Story, id: &str, kind: &str, merchant: Option<&str>, state: CouponState) {
    tell(story, issued(id, kind, merchant, state));
}

fn issued(id: &str, kind: &str, merchant: Option<&str>, state: CouponState) -> IssuedCoupon {
    let (id, kind, merchant) = (id.to_owned(), kind.to_owned(), merchant.map(str::to_owned));
    IssuedCoupon { id, kind, member: None, merchant, from_ms: None, until_ms: None, state }
}

fn tell(story: &mut Story, coupon: IssuedCoupon) {
    story.feed(Input::Cloud(CloudNews::Fed { changes: vec![FeedChange::Coupon { coupon }], next: 1 }));
}

fn cafe() -> TillMark {
    TillMark { merchant: Some("cafe".to_owned()), ..TillMark::default() }
}

fn take(code: &str, sale: Option<i64>) -> TillWish {
    TillWish::Coupon(CouponWish::Use { code: code.to_owned(), sale: sale.map(Fen), receipt: "A-1".to_owned() })
}

fn give_back(code: &str) -> TillWish {
    TillWish::Coupon(CouponWish::Return { code: code.to_owned(), of: None })
}

/// What was used up.
pub fn used(answer: &TillAnswer) -> CouponUse {
    let TillAnswer::Done { done: TillDone::Coupon(CouponMove::Used(used)), .. } = answer else { panic!("{answer:?}") };
    (**used).clone()
}

/// The answer is a refusal with this code.
pub fn refused(answer: &TillAnswer, expect: &str) {
    assert!(matches!(answer, TillAnswer::Refused { code, .. } if code == expect), "{expect}: {answer:?}");
}

/// Every leg, and what it is worth before the lot's rate.
pub fn legs(story: &Story) -> Vec<String> {
    story.rows("SELECT what || ' ' || payer || ' ' || acceptor || ' ' || face_fen FROM leg ORDER BY seq, n")
}
