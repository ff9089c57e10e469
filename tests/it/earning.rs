//! What sales earn beside the plain points: what is carried, bonuses, points that wait, points for the tier; and what
//! of it goes back with the goods, however a return is cut.

use gatepost::domain::benefit::{CouponState, MonthDay, PaidPlan};
use gatepost::domain::event::{
    CloudNews, CouponWish, FeedChange, Fen, Input, IssuedCoupon, OpId, TillAnswer, TillCommit, TillDone, TillMark,
    TillWish, UtcMs,
};
use gatepost::domain::rules::Rules;

use crate::dice::Dice;
use crate::story::{MINUTE, Story};
use crate::tills::{code, sale};

/// 1 point for ¥10 with what is left over carried on; on Mondays twice as many for gold, and 50 more from ¥300 on, which
/// wait for a week.
const EARN: &str = r#"[earn]
fen = 1000
points = 1
carry = true
status_points = 2

[benefits.tiers]
names = ["silver", "gold"]

[[benefits.bonus]]
id = "monday.gold"
when = { weekdays = ["mon"], tiers = ["gold"] }
multiply_bps = 20000
funder = "MALL"

[[benefits.bonus]]
id = "big.basket"
when = { min_spend_fen = 30000 }
points = 50
pending_days = 7
valid_days = 30
funder = "SPONSOR"

[[golden_sale]]
name = "a gold member's Monday"
sale_fen = 31900
tier = "gold"
carried = 200
points = 113
bonuses = { "monday.gold" = 31, "big.basket" = 50 }
status_points = 63
carries = 100

[[benefits.coupon]]
id = "treble"
zh = "三倍积分券"
en = "treble points"
merchants = ["till-1"]
when = { min_spend_fen = 5000 }
give = { multiply_bps = 30000 }
funder = "BRAND"

[[benefits.coupon]]
id = "coffee"
zh = "咖啡券"
en = "coffee"
merchants = ["till-1"]
give = { fen = 500 }
funder = "BRAND"

[[golden_sale]]
name = "the same with a coupon"
sale_fen = 31900
tier = "gold"
carried = 200
coupon = "treble"
points = 337
bonuses = { "monday.gold" = 31, "big.basket" = 50, "treble" = 224 }
status_points = 63
carries = 100

[[golden_sale]]
sale_fen = 999
at = "2026-03-03T12:00:00"
points = 0
status_points = 1
carries = 999
"#;

#[test]
fn small_purchases_add_up() {
    let mut story = shopper();
    story.minutes(24 * 60);
    let earned: Vec<i64> = (0..5).map(|n| sell(&mut story, &format!("k-{n}"), 450).1).collect();
    assert_eq!(earned, [0, 0, 1, 0, 1], "4.50 five times are 22.50");
    assert_eq!(story.rows("SELECT carried || ' ' || status FROM earning_account"), ["250 0"]);
}

#[test]
fn bonuses_come_in_lots_of_their_own_and_some_wait() {
    let mut story = shopper();
    let (_, earned) = sell(&mut story, "k-1", 31_900);
    assert_eq!(earned, 31 + 31 + 50);
    let lots = "SELECT points || ' ' || coalesce(lot ->> '$.source', '-') || ' ' || coalesce(lot ->> '$.funder', '-') \
                FROM points_grant ORDER BY points, lot IS NULL";
    assert_eq!(story.rows(lots), ["31 promo MALL", "31 - -", "50 promo SPONSOR"]);
    let held = |story: &mut Story, key: &str, points: i64| {
        let wish = TillWish::Hold {
            member: "M1".into(),
            points: gatepost::domain::event::Points(points),
            ttl_ms: MINUTE,
            shown: None,
        };
        matches!(story.ask(key, wish), TillAnswer::Done { .. })
    };
    assert!(!held(&mut story, "h-1", 63), "50 of 112 wait");
    assert!(held(&mut story, "h-2", 62));
    story.minutes(2);
    story.feed(gatepost::domain::event::Input::TillHoldDue { hold: OpId::from(newest_hold(&story).as_str()) });
    story.minutes(7 * 24 * 60);
    assert!(held(&mut story, "h-3", 112), "a week later all of them are there");
}

/// Bonuses for whom the cloud ledger says something of, and one of a single shop.
const ASKING: &str = r#"
[[benefits.bonus]]
id = "asleep"
when = { tags = ["asleep"] }
points = 1

[[benefits.bonus]]
id = "paid"
when = { plans = ["vip88"] }
points = 10

[[benefits.bonus]]
id = "birthday"
when = { birthday = "day" }
points = 100

[[benefits.bonus]]
id = "of.the.cafe"
merchants = ["cafe"]
points = 1000

[[golden_sale]]
name = "a birthday at the cafe"
sale_fen = 1000
at = "2026-03-03T12:00:00"
merchant = "cafe"
birthday = "03-03"
points = 1101
bonuses = { "birthday" = 100, "of.the.cafe" = 1000 }
status_points = 2
"#;

#[test]
fn a_bonus_asks_for_tag_plan_birthday_and_shop_and_a_return_by_the_same() {
    let mut story = Story::with(rules() + ASKING);
    story.member("M1", &["粤B12345"]);
    story.enter("in", "粤B12345");
    // A Tuesday, the third of March.
    story.minutes(24 * 60);
    let earned = |story: &mut Story, key: &str, shop: Option<&str>| {
        let mark = TillMark { merchant: shop.map(str::to_owned), ..TillMark::default() };
        bought(&story.commit(TillCommit { mark, ..sale(key, 1_000, 1_000, 0) }).1)
    };
    assert_eq!(earned(&mut story, "k-1", None).1, 1, "nothing is known of the member");
    assert_eq!(earned(&mut story, "k-2", Some("cafe")).1, 1_001);
    let until_ms = UtcMs(story.now().0 + 60 * MINUTE);
    let mut member = story.member_of("M1", &["粤B12345"]);
    let of = |id: &str| PaidPlan { id: id.to_owned(), until_ms };
    member.privileges.plans = vec![of("vip88"), of("nobody-asks")];
    member.privileges.tags = vec!["asleep".to_owned(), "nobody-asks".to_owned()];
    member.privileges.birthday = Some(MonthDay { month: 3, day: 3 });
    story.feed(Input::Cloud(CloudNews::Fed { changes: vec![FeedChange::Member { member }], next: 2 }));
    let (transaction, points) = earned(&mut story, "k-3", Some("bakery"));
    assert_eq!(points, 112, "tag, plan and birthday, at another shop");
    let kept = story.rows("SELECT line ->> '$.how.sale.privileges' FROM till_book ORDER BY seq DESC LIMIT 1");
    assert!(kept[0].contains("vip88") && kept[0].contains("asleep") && !kept[0].contains("nobody-asks"), "{kept:?}");
    story.minutes(24 * 60);
    assert_eq!(earned(&mut story, "k-4", None).1, 2, "the plan has run out, and the birthday was yesterday");
    let back = story.ask_from("till-1", "b-1", Some("bakery"), TillWish::Refund { transaction, fen: Fen(1_000) });
    let TillAnswer::Done { done: TillDone::GivenBack(back), .. } = &back else { panic!("{back:?}") };
    assert_eq!(back.taken.0 + back.owed.0, 112, "all of it, whatever is true today");
}

#[test]
fn goods_that_come_back_take_their_bonuses_with_them() {
    let mut story = shopper();
    let (transaction, _) = sell(&mut story, "k-1", 31_900);
    let back = give_back(&mut story, "r-1", &transaction, 2_000);
    assert_eq!(back, (2 + 2 + 50, 0), "the basket is below 300 now: its 50 go back from the very lot that waits");
    let back = give_back(&mut story, "r-2", &transaction, 29_900);
    assert_eq!(back, (29 + 29, 0));
    assert_eq!(story.rows("SELECT carried || ' ' || status FROM earning_account"), ["0 0"]);
    assert_eq!(story.usable(), 0);
}

#[test]
fn what_a_carried_remainder_helped_to_earn_goes_back_too() {
    let mut story = shopper();
    assert_eq!(sell(&mut story, "k-0", 450).1, 0);
    let (transaction, earned) = sell(&mut story, "k-1", 600);
    assert_eq!(earned, 1, "4.50 and 6.00 are one point and 0.50; what was carried is not doubled");
    assert_eq!(give_back(&mut story, "r-1", &transaction, 600), (1, 0));
    assert_eq!(story.rows("SELECT carried || ' ' || status FROM earning_account"), ["450 0"]);
    assert_eq!(story.usable(), 0);
}

/// However a return is cut, and whatever was bought meanwhile, the member ends with the same.
#[test]
fn a_return_in_parts_is_a_return_at_once() {
    let mut dice = Dice(5);
    for n in 0..12 {
        let fen = 500 + 100 * dice.below(600) as i64 + dice.below(100) as i64;
        let (earlier, other) = (1 + dice.below(3_000) as i64, 1 + dice.below(3_000) as i64);
        // Every second one with a coupon, which is for baskets from 50 yuan on.
        let (coupon, fen) = if n % 2 == 0 { (true, fen + 5_000) } else { (false, fen) };
        let at_once = after(earlier, coupon, fen, other, &[fen]);
        let mut parts = Vec::new();
        let mut left = fen;
        while left > 0 {
            let part = left.min(1 + dice.below(20_000) as i64);
            parts.push(part);
            left -= part;
        }
        let in_parts = after(earlier, coupon, fen, other, &parts);
        assert_eq!(in_parts, at_once, "{fen} after {earlier}, with {other} bought meanwhile, in {parts:?}");
    }
}

#[test]
fn a_coupon_multiplies_what_one_sale_earns() {
    let mut story = shopper();
    issue(&mut story, "C-1", "treble", Some("M1"));
    let (transaction, earned) = bought(&story.commit(with("k-1", "C-1", 31_900)).1);
    assert_eq!(earned, 31 + 31 + 50 + 224);
    let lots = "SELECT points || ' ' || coalesce(lot ->> '$.source', '-') || ' ' || coalesce(lot ->> '$.funder', '-') \
                FROM points_grant ORDER BY points, lot IS NULL";
    assert_eq!(story.rows(lots), ["31 promo MALL", "31 - -", "50 promo SPONSOR", "224 promo BRAND"]);
    assert_eq!(code(&story.commit(with("k-2", "C-1", 31_900)).1), "coupon-state", "it is used");
    let back = TillWish::Coupon(CouponWish::Return { code: "C-1".to_owned(), of: None });
    assert_eq!(code(&story.ask("k-3", back)), "coupon-state", "it comes back with its sale alone");
    story.restart();
    let back = give_back(&mut story, "r-1", &transaction, 27_000);
    assert_eq!(back, (27 + 27 + 50 + 224, 0), "4900 are left of the basket: the coupon is from 5000 on");
    assert_eq!(code(&story.commit(with("k-4", "C-1", 31_900)).1), "coupon-state", "a part of the goods is still sold");
    give_back(&mut story, "r-2", &transaction, 4_900);
    assert_eq!(story.usable(), 0);
    let (transaction, _) = bought(&story.commit(with("k-5", "C-1", 10_000)).1);
    story.ask("v-1", TillWish::Void { transaction });
    bought(&story.commit(with("k-6", "C-1", 10_000)).1);
    story.ask("g-1", TillWish::Reverse { original_key: "k-6".to_owned() });
    bought(&story.commit(with("k-7", "C-1", 10_000)).1);
    assert_eq!(story.rows("SELECT count(*) || '' FROM coupon_use WHERE returned_by IS NULL"), ["1"]);
}

#[test]
fn a_coupon_that_multiplies_is_refused_in_words() {
    let mut story = shopper();
    for (id, kind, member) in
        [("C-1", "treble", None), ("C-2", "treble", Some("M2")), ("G-1", "coffee", None), ("N-1", "none", None)]
    {
        issue(&mut story, id, kind, member);
    }
    let old = IssuedCoupon { until_ms: Some(story.now()), ..issued("E-1", "treble", None) };
    tell(&mut story, old);
    tell(&mut story, IssuedCoupon { state: CouponState::Issued, ..issued("U-1", "treble", None) });
    let other_shop = TillMark { merchant: Some("bakery".to_owned()), ..TillMark::default() };
    let late = UtcMs(story.now().0 - 11 * MINUTE);
    let good = with("k", "C-1", 31_900);
    let coupon = |code: &str| TillCommit { coupon: Some(code.to_owned()), ..good.clone() };
    for (n, (commit, expect, words)) in [
        (TillCommit { member: None, ..good.clone() }, "bad-request", "member_ref"),
        (TillCommit { mark: other_shop, ..good.clone() }, "benefit-unknown", "good at till-1 only"),
        (TillCommit { occurred: Some(late), ..good.clone() }, "late-redemption", "coupons"),
        (with("k", "C-1", 4_999), "coupon-state", "needs spend of ¥50.00"),
        (TillCommit { cash: Fen(0), sale: Fen(0), ..good.clone() }, "bad-request", "sale_fen"),
        (coupon("C-2"), "coupon-state", "another member"),
        (coupon("E-1"), "coupon-state", "expired"),
        (coupon("U-1"), "coupon-state", "claimed first"),
        (coupon("G-1"), "coupon-state", "multiplies no points"),
        (coupon("N-1"), "coupon-state", "do not know"),
        (coupon("X-1"), "benefit-unknown", "no coupon"),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = story.commit(TillCommit { key: format!("k-{n}"), ..commit }).1;
        let TillAnswer::Refused { code, detail } = &answer else { panic!("{words}: {answer:?}") };
        assert!(code == expect && detail.contains(words), "{words}: {answer:?}");
    }
    let alone =
        TillWish::Coupon(CouponWish::Use { code: "C-1".to_owned(), sale: Some(Fen(9_000)), receipt: "A".into() });
    assert_eq!(code(&story.ask("u-1", alone)), "coupon-state");
    assert_eq!(story.rows("SELECT count(*) || '' FROM sale"), ["0"]);
    bought(&story.commit(good).1);
}

#[test]
fn a_bundle_that_would_earn_otherwise_is_refused() {
    let good = rules();
    assert!(Rules::parse(&good).is_ok());
    for (from, to) in [
        ("points = 113", "points = 112"),
        ("carries = 999", "carries = 0"),
        ("status_points = 63", ""),
        ("treble\" = 224", "treble\" = 225"),
    ] {
        let wrong = Rules::parse(&good.replace(from, to)).unwrap_err();
        assert!(wrong.to_string().contains("golden sale"), "{wrong}");
    }
}

/// What the member has after a sale of `earlier`, one of `fen`, another one, and a return of the second in such parts.
fn after(earlier: i64, coupon: bool, fen: i64, other: i64, parts: &[i64]) -> (i64, Vec<String>) {
    let mut story = shopper();
    issue(&mut story, "C-1", "treble", None);
    // What it leaves over is carried into the sale that is returned.
    sell(&mut story, "k-0", earlier);
    let (transaction, _) =
        if coupon { bought(&story.commit(with("k-1", "C-1", fen)).1) } else { sell(&mut story, "k-1", fen) };
    sell(&mut story, "k-2", other);
    let mut back = (0, 0);
    for (n, part) in parts.iter().enumerate() {
        let (taken, owed) = give_back(&mut story, &format!("r-{n}"), &transaction, *part);
        back = (back.0 + taken, back.1 + owed);
    }
    assert_eq!(back.1, 0);
    (story.usable(), story.rows("SELECT carried || ' ' || status FROM earning_account"))
}

fn rules() -> String {
    let text = include_str!("../../systemd/rules.toml");
    let i = text.find("[earn]").unwrap();
    let j = text.find("[grants]").unwrap();
    format!("{}{EARN}\n{}", &text[..i], &text[j..])
}

/// A gold member with a vehicle inside, so that points stay here. The stories begin on a Monday.
fn shopper() -> Story {
    let mut story = Story::with(rules());
    story.member("M1", &["粤B12345"]);
    story.enter("in", "粤B12345");
    story
}

/// A sale of M1's with a coupon.
fn with(key: &str, coupon: &str, fen: i64) -> TillCommit {
    TillCommit { coupon: Some(coupon.to_owned()), ..sale(key, fen, fen, 0) }
}

fn bought(answer: &TillAnswer) -> (OpId, i64) {
    let TillAnswer::Applied { transaction, earned, .. } = answer else { panic!("{answer:?}") };
    (transaction.clone(), earned.0)
}

fn issue(story: &mut Story, id: &str, kind: &str, member: Option<&str>) {
    tell(story, issued(id, kind, member));
}

fn issued(id: &str, kind: &str, member: Option<&str>) -> IssuedCoupon {
    let (id, kind, member) = (id.to_owned(), kind.to_owned(), member.map(Into::into));
    IssuedCoupon { id, kind, member, merchant: None, from_ms: None, until_ms: None, state: CouponState::ClaimedHere }
}

fn tell(story: &mut Story, coupon: IssuedCoupon) {
    story.feed(Input::Cloud(CloudNews::Fed { changes: vec![FeedChange::Coupon { coupon }], next: 1 }));
}

fn newest_hold(story: &Story) -> String {
    story.rows("SELECT op FROM till_hold WHERE ended IS NULL").pop().unwrap()
}

fn sell(story: &mut Story, key: &str, fen: i64) -> (OpId, i64) {
    let answer = story.till(key, Some("M1"), fen, None, fen, 0).1;
    let TillAnswer::Applied { transaction, earned, .. } = answer else { panic!("{answer:?}") };
    (transaction, earned.0)
}

/// Points that were taken back, and points that are owed.
fn give_back(story: &mut Story, key: &str, transaction: &OpId, fen: i64) -> (i64, i64) {
    let wish = TillWish::Refund { transaction: transaction.clone(), fen: Fen(fen) };
    let answer = story.ask(key, wish);
    let TillAnswer::Done { done: TillDone::GivenBack(back), .. } = answer else { panic!("{answer:?}") };
    (back.taken.0, back.owed.0)
}
