//! Benefits at lanes and tills: held when a vehicle is let out, posted when it has passed, free again when it backs out.

use gatepost::domain::benefit::CouponState;
use gatepost::domain::event::{
    CloudNews, Correction, FeedChange, Fen, Gift, Input, IssuedCoupon, Reply, StaffWish, StayId, TillAnswer, UtcMs,
    Wrong,
};
use gatepost::domain::rules::Rules;
use gatepost::store::recompute;

use crate::story::Story;

const PLATE: &str = "粤B12345";
const OTHER: &str = "粤BD98765";

/// 5 yuan a started half hour, as shipped; gold members have half an hour a day.
const BENEFITS: &str = r#"
[benefits.tiers]
names = ["silver", "gold"]

[[benefits.entitlement]]
id = "gold.day"
zh = "金卡"
en = "gold"
when = { tiers = ["gold"] }
give = { minutes = 30 }
per = "day"
funder = "mall"

[[benefits.validation]]
id = "lunch"
zh = "午餐"
en = "lunch"
merchants = ["Noodle bar"]
when = { min_spend_fen = 5000 }
give = { fen = 500 }

[[benefits.coupon]]
id = "three"
zh = "3元券"
en = "three yuan"
give = { fen = 300 }
funder = "bank"

[[benefits.limit]]
id = "two.a.day"
on = "plate"
benefits = ["lunch"]
window = "day"
max_uses = 2
beyond = "second_approval"

[[benefits.campaign]]
id = "spring"

[[benefits.coupon]]
id = "spring.two"
zh = "春季券"
en = "spring"
give = { fen = 200 }
funder = "bank"
campaign = "spring"
class = "spring"
"#;

#[test]
fn a_draft_is_tried_on_past_stays_with_the_benefits_that_they_had() {
    let mut story = story();
    story.member("M1", &[PLATE]);
    story.enter("in", PLATE);
    story.minutes(55);
    story.arrival("out", true);
    story.read("out", PLATE);
    let priced = recompute::priced(&story.path(), 30).unwrap().remove(0);
    let total = |rules: &str| priced.under(&Rules::parse(rules).unwrap()).fee.total.0;
    let own = format!("{}{BENEFITS}", include_str!("../../systemd/rules.toml"));
    assert_eq!((priced.fee.total.0, total(&own)), (500, 500), "the same rules say the same");
    assert_eq!(total(&own.replace("give = { minutes = 30 }", "give = { minutes = 60 }")), 0);
    assert_eq!(total(include_str!("../../systemd/rules.toml")), 1000, "a draft without benefits");
}

#[test]
fn what_the_ledger_says_of_coupons_and_campaigns_is_understood() {
    let coupon = r#"{"kind":"coupon","coupon":{"id":"C-1","kind":"three","member":"M1","merchant":null,"from_ms":null,"until_ms":1775000000000,"state":"issued"}}"#;
    let campaign =
        r#"{"kind":"campaign","id":"spring","stopped":true,"spent_elsewhere_fen":900,"as_of_ms":1772409600000}"#;
    for text in [coupon, campaign] {
        let change: FeedChange = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&change).unwrap(), text);
    }
}

#[test]
fn minutes_are_held_at_the_exit_free_again_after_backing_out_and_used_when_the_car_has_left() {
    let mut story = story();
    story.member("M1", &[PLATE]);
    story.enter("in", PLATE);
    story.minutes(55);
    story.arrival("out", true);
    assert_eq!(story.read("out", PLATE), 0);
    assert_eq!(lines(&story, PLATE), ["standard.unit 1000", "gold.day -500"]);
    assert_eq!(uses(&story), ["gold.day 30 500 held"]);
    story.arrival("out", false);
    story.seconds(6);
    assert_eq!(uses(&story), ["gold.day 30 500 void"]);
    assert_eq!(minutes_of(&story, "M1"), 0);
    story.minutes(1);
    story.arrival("out", true);
    story.read("out", PLATE);
    story.restart();
    assert_eq!(story.staff("out", StaffWish::Settle { fen: Fen(500) }).0, 1);
    story.drive_through("out");
    assert_eq!(uses(&story), ["gold.day 30 500 void", "gold.day 30 500 used"]);
    assert_eq!((story.stays(), minutes_of(&story, "M1")), (vec![format!("{PLATE} closed 500 500 0")], 30));

    story.enter("in", PLATE);
    story.minutes(55);
    story.arrival("out", true);
    story.read("out", PLATE);
    assert_eq!(lines(&story, PLATE), ["standard.unit 1000"], "the day's half hour is gone");
}

#[test]
fn two_cars_of_one_member_do_not_have_the_same_half_hour() {
    let mut story = story();
    story.member("M1", &[PLATE, OTHER]);
    story.enter("in", PLATE);
    story.enter("in", OTHER);
    story.minutes(25);
    story.arrival("out", true);
    assert_eq!(story.read("out", PLATE), 1, "free by the half hour");
    story.arrival("out-2", true);
    assert_eq!(story.read("out-2", OTHER), 0, "of which five minutes are left");
    assert_eq!(lines(&story, OTHER), ["standard.unit 500"]);
    story.arrival("out", false);
    story.seconds(6);
    assert_eq!(story.phase("out"), "idle", "the first one backed out");
    story.feed(Input::LaneReconsidered { lane: "out-2".into() });
    assert_eq!(lines(&story, OTHER), ["standard.unit 500", "gold.day -500"], "now the second one has it");
    assert_eq!(story.phase("out-2"), "raised");
    story.drive_through("out-2");
    assert_eq!(minutes_of(&story, "M1"), 25, "to the read before the arm; the wait there is free");
}

#[test]
fn what_a_payment_rests_on_stays_with_the_car() {
    let mut story = story();
    story.member("M1", &[PLATE, OTHER]);
    story.enter("in", PLATE);
    story.enter("in", OTHER);
    story.minutes(55);
    let stay = story.stay_of(PLATE);
    let (_, answer) = story.till("pay", None, 0, Some(&stay), 500, 0);
    assert!(matches!(answer, TillAnswer::Applied { .. }), "{answer:?}");
    story.arrival("out-2", true);
    story.read("out-2", OTHER);
    assert_eq!(lines(&story, OTHER), ["standard.unit 1000"], "the half hour is the paid car's");
    story.arrival("out", true);
    assert_eq!(story.read("out", PLATE), 1, "and is still its own at the exit");
    story.drive_through("out");
}

#[test]
fn a_shop_gives_a_guest_five_yuan_and_the_barrier_goes_up() {
    let mut story = story();
    story.enter("in", PLATE);
    story.minutes(25);
    story.arrival("out", true);
    assert_eq!(story.read("out", PLATE), 0);
    let stay = story.stay_of(PLATE);
    let gift = |merchant: &str, spend| Gift::Validation {
        kind: "lunch".to_owned(),
        merchant: merchant.to_owned(),
        spend: Fen(spend),
    };
    refused(story.give("k1", &stay, gift("Shoes", 9000)).1, "benefit-unknown");
    assert_eq!(story.give("k2", &stay, gift("Noodle bar", 4900)).0, 0, "a small lunch is kept and does not count");
    let (raises, answer) = story.give("k3", &stay, gift("Noodle bar", 5000));
    assert_eq!((raises, due(&answer)), (1, 0));
    assert_eq!(story.give("k3", &stay, gift("Noodle bar", 5000)).0, 0, "the same key gives nothing twice");
    story.drive_through("out");
    assert_eq!(lines_of_closed(&story), ["standard.unit 500", "lunch -500"]);
    assert_eq!(story.rows("SELECT merchant FROM validation"), ["Noodle bar", "Noodle bar"]);
    refused(story.give("k4", &stay, gift("Noodle bar", 5000)).1, "stay-unknown");
}

#[test]
fn two_persons_let_a_stay_go_beyond_a_limit() {
    let mut story = story();
    story.enter("in", PLATE);
    story.minutes(85);
    let stay = story.stay_of(PLATE);
    for key in ["k1", "k2", "k3"] {
        let (kind, merchant) = ("lunch".to_owned(), "Noodle bar".to_owned());
        story.give(key, &stay, Gift::Validation { kind, merchant, spend: Fen(5000) });
    }
    story.arrival("out", true);
    assert_eq!(story.read("out", PLATE), 0);
    assert_eq!(lines(&story, PLATE), ["standard.unit 1500", "lunch -500", "lunch -500"], "the third needs a word");
    let mut approve = |limit: &str| {
        let what = Wrong::Approved { stay: StayId(stay.clone()), limit: limit.to_owned(), second: "boss".to_owned() };
        let (operator, reason, evidence) = ("guard-1".to_owned(), "a feast".to_owned(), "three receipts".to_owned());
        story.feed(Input::Corrected(Correction { operator, reason, evidence, what }))
    };
    assert!(matches!(approve("three").1, Reply::Staff(Err(_))), "no such limit");
    assert_eq!(approve("two.a.day").0, 1, "free, and looked at again at once");
    story.drive_through("out");
    assert_eq!(lines_of_closed(&story), ["standard.unit 1500", "lunch -500", "lunch -500", "lunch -500"]);
}

#[test]
fn a_coupon_pays_once() {
    let mut story = story();
    coupon(&mut story, "C1", "three", CouponState::ClaimedHere, 1);
    story.enter("in", PLATE);
    story.enter("in", OTHER);
    story.minutes(25);
    let (first, second) = (story.stay_of(PLATE), story.stay_of(OTHER));
    let show = || Gift::Coupon { code: "C1".to_owned() };
    refused(story.give("k0", &first, Gift::Coupon { code: "C9".to_owned() }).1, "benefit-unknown");
    assert_eq!(due(&story.give("k1", &first, show()).1), 200);
    assert_eq!(due(&story.give("k2", &second, show()).1), 200, "shown is not used");
    story.arrival("out", true);
    story.read("out", PLATE);
    refused(story.give("k3", &second, show()).1, "coupon-state");
    story.arrival("out-2", true);
    story.read("out-2", OTHER);
    assert_eq!(lines(&story, OTHER), ["standard.unit 500"], "it is set aside for the first car");
    story.staff("out", StaffWish::Settle { fen: Fen(200) });
    story.drive_through("out");
    story.staff("out-2", StaffWish::Settle { fen: Fen(500) });
    story.drive_through("out-2");
    assert_eq!(uses(&story), ["three 0 300 used"]);
}

#[test]
fn a_stopped_campaign_gives_nothing_from_the_next_car_on() {
    let mut story = story();
    coupon(&mut story, "C1", "spring.two", CouponState::ClaimedHere, 1);
    story.enter("in", PLATE);
    story.minutes(25);
    let stay = story.stay_of(PLATE);
    assert_eq!(due(&story.give("k1", &stay, Gift::Coupon { code: "C1".to_owned() }).1), 300);
    let change = FeedChange::Campaign {
        id: "spring".to_owned(),
        stopped: true,
        spent_elsewhere_fen: Fen(0),
        as_of_ms: UtcMs(1_772_409_600_000),
        shared: None,
    };
    story.feed(Input::Cloud(CloudNews::Fed { changes: vec![change], next: 2 }));
    story.arrival("out", true);
    story.read("out", PLATE);
    assert_eq!(lines(&story, PLATE), ["standard.unit 500"]);
}

pub fn story() -> Story {
    Story::with(rules())
}

/// The rules of [`story`].
pub fn rules() -> String {
    format!("{}{BENEFITS}", include_str!("../../systemd/rules.toml"))
}

fn coupon(story: &mut Story, id: &str, kind: &str, state: CouponState, next: u64) {
    let coupon = IssuedCoupon {
        id: id.to_owned(),
        kind: kind.to_owned(),
        member: None,
        merchant: None,
        from_ms: None,
        until_ms: None,
        state,
    };
    story.feed(Input::Cloud(CloudNews::Fed { changes: vec![FeedChange::Coupon { coupon }], next }));
}

fn refused(answer: TillAnswer, expect: &str) {
    assert!(matches!(&answer, TillAnswer::Refused { code, .. } if code == expect), "{expect}: {answer:?}");
}

fn due(answer: &TillAnswer) -> i64 {
    match answer {
        TillAnswer::Applied { stay: Some((_, due)), .. } => due.0,
        TillAnswer::Applied { stay: None, .. } | TillAnswer::Done { .. } | TillAnswer::Refused { .. } => {
            panic!("{answer:?}")
        }
    }
}

/// The lines of the fee of a plate that is inside.
fn lines(story: &Story, plate: &str) -> Vec<String> {
    let sql = format!(
        "SELECT line.value ->> '$.rule' || ' ' || (line.value ->> '$.fen') FROM stay, json_each(fee, '$.lines') line
         WHERE plate = '{plate}' AND state NOT IN ('closed', 'void') ORDER BY line.key"
    );
    story.rows(&sql)
}

fn lines_of_closed(story: &Story) -> Vec<String> {
    let sql =
        "SELECT line.value ->> '$.rule' || ' ' || (line.value ->> '$.fen') FROM stay, json_each(fee, '$.lines') line
               WHERE state = 'closed' ORDER BY line.key";
    story.rows(sql)
}

/// Every use as `rule minutes fen state`.
fn uses(story: &Story) -> Vec<String> {
    story.rows(
        "SELECT used ->> '$.benefit' || ' ' || (used ->> '$.minutes') || ' ' || (used ->> '$.fen') || ' ' || state
         FROM benefit_use ORDER BY seq, n",
    )
}

fn minutes_of(story: &Story, member: &str) -> i64 {
    let sql = format!(
        "SELECT CAST(coalesce(sum(minutes), 0) AS TEXT) FROM benefit_count WHERE dimension = 'member' AND who = '{member}'"
    );
    story.rows(&sql)[0].parse().unwrap()
}
