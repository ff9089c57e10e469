//! What the ledger says of members beside the tier, and of budgets, at a lane: through the real ledger's feed, and back.

use cloud_ledger::members;
use gatepost::domain::event::{CloudNews, EpochReason, Fen, Input, StaffWish};
use gatepost::domain::rules::Rules;
use gatepost::store::simulate::{Basis, simulate};
use serde_json::{Value, json};

use crate::hand::{BEGIN, Cloud};
use crate::story::Story;

const PLATE: &str = "粤B12345";
const OTHER: &str = "粤BD98765";
const HOUR: i64 = 3_600_000;

/// 5 yuan a started half hour, as shipped; each benefit would pay the first half hour.
const BENEFITS: &str = r#"
[benefits.tiers]
names = ["silver", "gold"]
max_age_hours = 48

[[benefits.entitlement]]
id = "vip.hour"
zh = "会员计划"
en = "plan"
when = { plans = ["vip88"] }
give = { minutes = 60 }
funder = "mall"

[[benefits.entitlement]]
id = "tenant"
zh = "租户"
en = "tenant"
when = { tags = ["tenant"] }
give = { percent_bps = 5000 }
funder = "mall"

[[benefits.entitlement]]
id = "birthday"
zh = "生日"
en = "birthday"
when = { birthday = "day" }
give = "full"
funder = "mall"

[[benefits.entitlement]]
id = "gold.old"
zh = "金卡"
en = "gold"
when = { tiers = ["gold"], places = ["box-1"] }
give = { fen = 100 }
funder = "mall"

[[benefits.entitlement]]
id = "gold.hello"
zh = "金卡"
en = "gold"
when = { tiers = ["gold"] }
give = { greeting = { zh = "金卡会员，您好", en = "Hello, gold member" } }

[[benefits.pass]]
id = "foodie"
zh = "美食通行证"
en = "food pass"
days = 30
merchants = ["parking", "Noodle bar", "Tea house"]
uses = 2
give = { fen = 400 }
funder = "mall"
"#;

/// A campaign for everybody: 2 yuan off each stay.
const SPRING: &str = r#"
[[benefits.campaign]]
id = "spring"

[[benefits.entitlement]]
id = "spring.two"
zh = "春季"
en = "spring"
give = { fen = 200 }
funder = "mall"
campaign = "spring"
"#;

#[test]
fn a_paid_plan_pays_from_the_feed_on_until_it_is_taken_back_or_over() {
    let (cloud, mut story) = world(BENEFITS);
    cloud.member(json!({"plans": [{"id": "vip88", "until_ms": BEGIN + 2 * HOUR}]}));
    cloud.tell(&mut story);
    assert_eq!(visit(&mut story, PLATE), ["standard.unit 500", "vip.hour -500"]);
    cloud.member(json!({}));
    cloud.tell(&mut story);
    assert_eq!(visit(&mut story, PLATE), ["standard.unit 500"], "taken back");
    cloud.member(json!({"plans": [{"id": "vip88", "until_ms": BEGIN + 2 * HOUR}]}));
    cloud.tell(&mut story);
    assert_eq!(visit(&mut story, PLATE), ["standard.unit 500", "vip.hour -500"]);
    story.minutes(60);
    assert_eq!(visit(&mut story, PLATE), ["standard.unit 500"], "over, with no word from the ledger");
}

#[test]
fn a_tag_and_a_birthday_count_at_the_lane() {
    let (cloud, mut story) = world(BENEFITS);
    cloud.member(json!({"tags": ["tenant"], "birthday": "03-03"}));
    cloud.tell(&mut story);
    assert_eq!(visit(&mut story, PLATE), ["standard.unit 500", "tenant -250"]);
    cloud.member(json!({"birthday": "03-02"}));
    cloud.tell(&mut story);
    assert_eq!(visit(&mut story, PLATE), ["standard.unit 500", "birthday -500"]);
    story.minutes(24 * 60);
    assert_eq!(visit(&mut story, PLATE), ["standard.unit 500"], "the day after");
}

#[test]
fn a_pass_of_several_merchants_is_used_up_at_its_own_box_and_nowhere_else() {
    let (cloud, mut story) = world(BENEFITS);
    let pass = |at: Value| json!({"passes": [{"id": "P1", "kind": "foodie", "first_day": "2026-03-01", "box": at}]});
    cloud.member(pass(json!("box-1")));
    cloud.tell(&mut story);
    for _ in 0..2 {
        assert_eq!(visit(&mut story, PLATE), ["standard.unit 500", "foodie -400"]);
    }
    assert_eq!(visit(&mut story, PLATE), ["standard.unit 500"], "both uses are gone");
    for at in [json!("box-2"), json!(null)] {
        let (cloud, mut story) = world(BENEFITS);
        cloud.member(pass(at));
        cloud.tell(&mut story);
        assert_eq!(visit(&mut story, PLATE), ["standard.unit 500"], "another box may count its uses");
    }
}

#[test]
fn a_tier_is_believed_for_as_long_as_the_ledger_was_heard() {
    let (cloud, mut story) = world(BENEFITS);
    cloud.member_of("gold", json!({}));
    cloud.tell(&mut story);
    story.minutes(47 * 60);
    assert_eq!(visit(&mut story, PLATE), ["standard.unit 500", "gold.old -100"]);
    story.minutes(60);
    assert_eq!(visit(&mut story, PLATE), ["standard.unit 500"], "two days without a word");
    cloud.tell(&mut story);
    assert_eq!(visit(&mut story, PLATE), ["standard.unit 500", "gold.old -100"], "a silent feed says that it holds");
}

#[test]
fn a_gold_member_is_greeted_at_the_entry_and_the_exit_and_nobody_else() {
    let (cloud, mut story) = world(BENEFITS);
    cloud.member_of("gold", json!({}));
    cloud.tell(&mut story);
    for (plate, expect) in [(PLATE, "Hello, gold member"), ("粤B77777", "-")] {
        story.arrival("in", true);
        story.read("in", plate);
        let greeting = "SELECT coalesce(state ->> '$.phase.visit.greeting[1]', '-') FROM lane WHERE lane = 'in'";
        assert_eq!(story.rows(greeting), [expect], "before the arm is up");
        story.drive_through("in");
        story.minutes(25);
        story.arrival("out", true);
        story.read("out", plate);
        let greeting = "SELECT coalesce(state ->> '$.phase.visit.greeting[1]', '-') FROM lane WHERE lane = 'out'";
        assert_eq!(story.rows(greeting), [expect]);
        let reason = "a test".to_owned();
        story.staff("out", StaffWish::Raise { reason, plate: None, debt: false, second: None });
        story.drive_through("out");
        story.minutes(1);
    }
}

#[test]
fn of_several_greetings_the_one_farthest_down_counts() {
    let of_all = r#"
[[benefits.entitlement]]
id = "all.hello"
zh = "会员"
en = "member"
when = { tiers = ["silver", "gold"] }
give = { greeting = { zh = "会员，您好", en = "Hello, member" } }
"#;
    let (cloud, mut story) = world(&format!("{of_all}{BENEFITS}"));
    cloud.member_of("gold", json!({}));
    cloud.tell(&mut story);
    story.arrival("in", true);
    story.read("in", PLATE);
    let greeting = "SELECT coalesce(state ->> '$.phase.visit.greeting[1]', '-') FROM lane WHERE lane = 'in'";
    assert_eq!(story.rows(greeting), ["Hello, gold member"]);
}

#[test]
fn a_budget_is_shared_out_among_boxes_that_cannot_see_each_other() {
    let cloud = Cloud::new();
    let (mut first, mut second) = (Story::of("box-1", rules(SPRING)), Story::of("box-2", rules(SPRING)));
    cloud.greet(&first);
    cloud.greet(&second);
    cloud.budget(false);
    cloud.tell(&mut first);
    cloud.tell(&mut second);
    let given = |story: &mut Story, cars: usize| -> i64 { (0..cars).map(|_| off(&visit(story, PLATE))).sum() };
    assert_eq!(given(&mut first, 4), 500, "200, 200, and the 100 that are left of one half");
    cloud.upload(&first).unwrap();
    cloud.budget(false);
    assert_eq!(given(&mut first, 1), 0, "nothing more before the other box has said what it leaves");
    cloud.tell(&mut first);
    cloud.upload(&first).unwrap();
    cloud.budget(false);
    assert_eq!(given(&mut first, 1), 0);
    cloud.tell(&mut second);
    cloud.upload(&second).unwrap();
    cloud.budget(false);
    cloud.tell(&mut first);
    assert_eq!(given(&mut first, 3), 250, "one half of what the second had");
    assert_eq!(given(&mut second, 3), 250);
    let spent = cloud.ledger.campaign("spring").unwrap().spent_fen;
    assert_eq!(spent, 500, "by the last words");
    cloud.upload(&first).unwrap();
    cloud.budget(true);
    cloud.tell(&mut first);
    assert_eq!(given(&mut first, 1), 0, "stopped");
}

#[test]
fn a_share_is_for_one_epoch_of_one_box() {
    let (cloud, mut story) = (Cloud::new(), Story::of("box-1", rules(SPRING)));
    cloud.greet(&story);
    cloud.budget(false);
    cloud.tell(&mut story);
    assert_eq!(off(&visit(&mut story, PLATE)), 200);
    story.feed(Input::Cloud(CloudNews::EpochGiven { from: 1, epoch: 2, why: EpochReason::Fenced }));
    assert_eq!(story.epoch(), 2);
    assert_eq!(off(&visit(&mut story, PLATE)), 0, "what the old epoch had is not the new one's");
    cloud.tell_after(0, &mut story);
    assert_eq!(off(&visit(&mut story, PLATE)), 0, "nor when it is told again");
    let mut other = Story::of("box-3", rules(SPRING));
    cloud.tell(&mut other);
    assert_eq!(off(&visit(&mut other, PLATE)), 0, "a box that is not named has none");
}

#[test]
fn a_draft_with_new_benefits_is_tried_on_what_members_had_then() {
    let (cloud, mut story) = world("");
    cloud.member_of("gold", json!({"plans": [{"id": "vip88", "until_ms": BEGIN + 2 * HOUR}]}));
    cloud.tell(&mut story);
    for _ in 0..2 {
        assert_eq!(visit(&mut story, PLATE), ["standard.unit 500"], "the rules in force give nothing");
    }
    assert_eq!(visit(&mut story, "粤B77777"), ["standard.unit 500"]);
    // What the ledger says later is no matter of what was then.
    cloud.member_of("silver", json!({}));
    cloud.tell(&mut story);
    let tried = |benefits: &str| simulate(&story.path(), 30, &Rules::parse(&rules(benefits)).unwrap()).unwrap();
    let fees = |benefits: &str| tried(benefits).iter().map(|one| one.after.fee.total.0).collect::<Vec<_>>();
    assert_eq!(fees(""), [500, 500, 500], "the same rules say the same");
    assert_eq!(fees(BENEFITS), [0, 0, 500], "a plan that nobody gave anything for");
    let daily = BENEFITS.replace("give = { minutes = 60 }", "give = { minutes = 30 }\nper = \"day\"");
    assert_eq!(
        fees(&daily),
        [0, 400, 500],
        "the second has what the first would have left: five minutes, and the tier"
    );
    let basis: Vec<Basis> = tried(BENEFITS).iter().map(|one| one.basis).collect();
    assert_eq!(basis, [Basis::WithoutCoupons, Basis::WithoutCoupons, Basis::Guest]);
    let tiers: Vec<_> = tried(BENEFITS).into_iter().map(|one| one.tier).collect();
    assert_eq!(tiers, [Some("gold".to_owned()), Some("gold".to_owned()), None]);
}

fn rules(benefits: &str) -> String {
    format!("{}{benefits}", include_str!("../../systemd/rules.toml"))
}

fn world(benefits: &str) -> (Cloud, Story) {
    (Cloud::new(), Story::with(rules(benefits)))
}

/// A visit of 25 minutes, which costs 500; the lines of its fee.
fn visit(story: &mut Story, plate: &str) -> Vec<String> {
    story.enter("in", plate);
    story.minutes(25);
    story.arrival("out", true);
    story.read("out", plate);
    let sql = format!(
        "SELECT line.value ->> '$.rule' || ' ' || (line.value ->> '$.fen') FROM stay, json_each(fee, '$.lines') line
         WHERE plate = '{plate}' AND state = 'pending_exit' ORDER BY line.key"
    );
    let lines = story.rows(&sql);
    let due: i64 = lines.iter().map(|line| line.split(' ').nth(1).unwrap().parse::<i64>().unwrap()).sum();
    if due > 0 {
        story.staff("out", StaffWish::Settle { fen: Fen(due) });
    }
    story.drive_through("out");
    story.minutes(1);
    lines
}

/// What the campaign took off.
fn off(lines: &[String]) -> i64 {
    lines.iter().filter_map(|line| line.strip_prefix("spring.two -")).map(|fen| fen.parse::<i64>().unwrap()).sum()
}

impl Cloud {
    fn member(&self, privileges: Value) {
        self.member_of("silver", privileges);
    }

    fn member_of(&self, tier: &str, privileges: Value) {
        let mut profile = json!({"handle": "王**", "tier": tier, "consent_plates": true, "plates": [PLATE, OTHER],
            "codes": []});
        profile.as_object_mut().unwrap().extend(privileges.as_object().unwrap().clone());
        let profile: members::Profile = serde_json::from_value(profile).unwrap();
        self.ledger.put_member("M1", &profile).unwrap();
    }

    fn budget(&self, stopped: bool) {
        let stated = json!({"stopped": stopped, "budget_fen": 1000});
        self.ledger.put_campaign("spring", &serde_json::from_value(stated).unwrap(), BEGIN).unwrap();
    }
}
