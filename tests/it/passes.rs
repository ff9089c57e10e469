//! Passes at the tills: some days, some shops, so many uses at each; counted here alone, and owed to the shop.

use gatepost::domain::benefit::IssuedPass;
use gatepost::domain::event::{CloudNews, CouponWish, FeedChange, Fen, Input, OpId, TillAnswer, TillWish};
use serde_json::{Value, json};

use crate::boxed::{Site, request, run};
use crate::coupons::{legs, refused, used};
use crate::story::Story;
use crate::till_lines::LANE;

/// Forty-seven days, two shops and the till that stands in none, once at each and twice in all.
const PASS: &str = r#"
[[benefits.pass]]
id = "foodie"
zh = "时光通行证"
en = "foodie pass"
days = 47
merchants = ["cafe", "bakery", "till-1"]
uses_per_merchant = 1
uses = 2
give = { fen = 500 }
funder = "MALL"
"#;

#[test]
fn a_pass_is_used_once_at_each_shop_and_so_often_in_all() {
    let mut story = story("box-1");
    let first = used(&at(&mut story, "k-1", "cafe", take(1_200)));
    assert_eq!((first.used.fen, first.merchant.as_str()), (Fen(500), "cafe"));
    refused(&at(&mut story, "k-2", "cafe", take(1_200)), "coupon-state");
    refused(&at(&mut story, "k-3", "bar", take(1_200)), "benefit-unknown");
    story.restart();
    used(&at(&mut story, "k-4", "bakery", take(300)));
    refused(&story.ask_from("till-1", "k-5", None, take(300)), "coupon-state");
    assert_eq!(legs(&story), ["benefit MALL cafe 500", "benefit MALL bakery 300"]);
    assert!(matches!(at(&mut story, "k-1", "cafe", take(1_200)), TillAnswer::Done { replayed: true, .. }));
    assert_eq!(legs(&story).len(), 2, "a repeat is no second use");
}

#[test]
fn a_use_that_came_back_is_there_again() {
    let mut story = story("box-1");
    let first = used(&at(&mut story, "k-1", "cafe", take(1_200)));
    refused(&story.ask_from("till-8", "r-0", Some("bakery"), back(None)), "coupon-state");
    let answer = at(&mut story, "r-1", "cafe", back(Some(&first.op)));
    assert!(matches!(&answer, TillAnswer::Done { .. }), "{answer:?}");
    refused(&at(&mut story, "r-2", "cafe", back(Some(&first.op))), "coupon-state");
    used(&at(&mut story, "k-2", "cafe", take(1_200)));
    at(&mut story, "r-3", "cafe", TillWish::Reverse { original_key: "k-2".to_owned() });
    used(&at(&mut story, "k-3", "cafe", take(1_200)));
    assert_eq!(story.rows("SELECT count(*) || '' FROM coupon_use WHERE returned_by IS NULL"), ["1"]);
}

#[test]
fn a_pass_is_good_on_its_days_and_at_the_box_that_counts_it() {
    let mut early = story("box-1");
    early.minutes(-24 * 60);
    refused(&at(&mut early, "k-1", "cafe", take(1_200)), "coupon-state");
    let mut late = story("box-1");
    late.minutes(46 * 24 * 60);
    used(&at(&mut late, "k-1", "cafe", take(1_200)));
    late.minutes(24 * 60);
    refused(&at(&mut late, "k-2", "bakery", take(1_200)), "coupon-state");
    refused(&at(&mut story("box-2"), "k-1", "cafe", take(1_200)), "coupon-state");
    let mut gone = story("box-1");
    let id = "M1".into();
    gone.feed(Input::Cloud(CloudNews::Fed { changes: vec![FeedChange::MemberRemoved { id }], next: 2 }));
    refused(&at(&mut gone, "k-1", "cafe", take(1_200)), "benefit-unknown");
}

#[test]
fn a_till_checks_a_pass_before_it_is_used_over_http() {
    let mut story = story("box-1");
    story.stop();
    let site = Site::start_by(&format!("{LANE}\n{}", crate::phones::code_keys()), |file, folder| {
        std::fs::copy(story.path(), folder.join("ledger.db")).unwrap();
        std::fs::write(folder.join("rules.toml"), rules()).unwrap();
        run(file)
    });
    let ask = |method: &str, path: &str, body: &Value| {
        let who = [("Gatepost-Terminal", "till-1"), ("Authorization", "Bearer secret"), ("Idempotency-Key", "k-1")];
        let answer = request(site.address, method, &format!("/api/v1/{path}"), &who, &body.to_string()).unwrap();
        (answer.status, serde_json::from_str::<Value>(&answer.body).unwrap())
    };
    let (status, told) = ask("GET", "coupons/P-1?sale_fen=1200", &json!({}));
    assert_eq!((status, &told["for"], &told["days"]), (200, &json!("pass"), &json!(47)), "{told}");
    assert_eq!(ask("GET", "coupons/P-2?sale_fen=1200", &json!({})).0, 404);
}

fn rules() -> String {
    format!("{}{PASS}", include_str!("../../systemd/rules.toml"))
}

/// A box of that name, and a member whose pass counts at box-1. The stories begin on 2026-03-02.
fn story(name: &str) -> Story {
    let mut story = Story::of(name, rules());
    let mut member = story.member_of("M1", &["粤B12345"]);
    let first_day = jiff::civil::date(2026, 3, 2);
    let (id, kind, at) = ("P-1".to_owned(), "foodie".to_owned(), Some("box-1".to_owned()));
    member.privileges.passes = vec![IssuedPass { id, kind, first_day, at }];
    story.feed(Input::Cloud(CloudNews::Fed { changes: vec![FeedChange::Member { member }], next: 1 }));
    story
}

fn at(story: &mut Story, key: &str, shop: &str, wish: TillWish) -> TillAnswer {
    story.ask_from("till-7", key, Some(shop), wish)
}

fn take(fen: i64) -> TillWish {
    TillWish::Coupon(CouponWish::Use { code: "P-1".to_owned(), sale: Some(Fen(fen)), receipt: "A-1".to_owned() })
}

fn back(of: Option<&OpId>) -> TillWish {
    TillWish::Coupon(CouponWish::Return { code: "P-1".to_owned(), of: of.cloned() })
}
