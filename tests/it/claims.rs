//! Coupons that one box has alone: real boxes and the real ledger, hearing of each other late, killed, and put back.

use cloud_ledger::members::Profile;
use gatepost::domain::event::{
    CloudNews, CouponWish, EpochReason, Fen, Gift, Input, StaffWish, TillAnswer, TillMark, TillWish,
};
use serde_json::{Value, json};

use crate::coupons::{refused, used};
use crate::dice::Dice;
use crate::hand::{BEGIN, Cloud};
use crate::story::Story;

const PLATE: &str = "粤B12345";

const RULES: &str = r#"
[[benefits.coupon]]
id = "coffee"
zh = "咖啡券"
en = "coffee"
merchants = ["cafe"]
give = { fen = 500 }
funder = "bank"

[[benefits.coupon]]
id = "cake"
zh = "蛋糕券"
en = "cake"
merchants = ["cafe"]
give = { fen = 200 }
offline_risk_fen = 200
funder = "bank"

[[benefits.coupon]]
id = "parking"
zh = "停车券"
en = "parking"
give = { fen = 300 }
funder = "bank"
automatic = true
"#;

#[test]
fn a_coupon_that_was_claimed_is_used_without_a_line_and_at_one_box_only() {
    let (cloud, mut a, mut b) = two();
    refused(&take(&mut a, "k-0", "C-1"), "coupon-state");
    a.enter("in", PLATE);
    b.enter("in", PLATE);
    exchange(&cloud, &mut a);
    exchange(&cloud, &mut b);
    assert_eq!(cloud.claim("C-1")["box"], "box-a");
    // From here on no box hears of the other.
    refused(&take(&mut b, "k-1", "C-1"), "coupon-state");
    assert_eq!(used(&take(&mut a, "k-2", "C-1")).used.fen, Fen(500));
    refused(&take(&mut b, "k-3", "C-1"), "coupon-state");
    for _ in 0..2 {
        exchange(&cloud, &mut a);
        exchange(&cloud, &mut b);
    }
    refused(&take(&mut b, "k-4", "C-1"), "coupon-state");
    let seen = cloud.coupon("C-1");
    assert_eq!(seen["claim"]["used"], json!(["box-a"]));
    assert_eq!((&seen["uses"][0]["fen"], &seen["uses"][0]["claimed"]), (&json!(500), &json!(true)), "{seen}");
    // What comes back is good again, without a line, where it was used.
    assert!(matches!(give_back(&mut a, "k-5", "C-1"), TillAnswer::Done { .. }));
    refused(&take(&mut b, "k-6", "C-1"), "coupon-state");
    used(&take(&mut a, "k-7", "C-1"));
    exchange(&cloud, &mut a);
    cloud.agrees();
    assert_eq!(cloud.alarms(), [""; 0]);
}

#[test]
fn a_vehicle_claims_when_it_enters_and_what_it_did_not_use_goes_back_when_it_leaves() {
    let (cloud, mut a, mut b) = two();
    a.enter("in", PLATE);
    exchange(&cloud, &mut a);
    assert_eq!([cloud.claim("C-1"), cloud.claim("P-1")].map(|claim| claim["box"].clone()), ["box-a", "box-a"]);
    assert_eq!(cloud.claim("B-1")["box"], Value::Null, "whoever shows it: nobody has");
    a.minutes(25);
    a.arrival("out", true);
    a.read("out", PLATE);
    a.staff("out", StaffWish::Settle { fen: Fen(200) });
    a.drive_through("out");
    let says = "SELECT record.value ->> '$.coupon' || ' ' || (record.value ->> '$.says') FROM journal,
                json_each(CAST(body AS TEXT), '$.records') record
                WHERE record.value ->> '$.kind' = 'coupon_told' ORDER BY entry";
    let words = a.rows(says);
    assert_eq!(words[words.len() - 2..], ["C-1 returned", "P-1 used"], "{words:?}");
    b.enter("in", PLATE);
    exchange(&cloud, &mut b);
    assert_eq!(cloud.claim("C-1")["box"], "box-a", "the first has not been heard yet");
    refused(&take(&mut b, "k-1", "C-1"), "coupon-state");
    exchange(&cloud, &mut a);
    exchange(&cloud, &mut b);
    assert_eq!((&cloud.claim("C-1")["box"], &cloud.claim("P-1")["used"]), (&json!("box-b"), &json!(["box-a"])));
    used(&take(&mut b, "k-2", "C-1"));
    b.minutes(25);
    b.arrival("out", true);
    b.read("out", PLATE);
    b.staff("out", StaffWish::Settle { fen: Fen(500) });
    b.drive_through("out");
    assert_eq!(b.stays()[0], format!("{PLATE} closed 500 500 0"), "the parking coupon was used elsewhere");
    exchange(&cloud, &mut b);
    cloud.agrees();
    assert_eq!(cloud.alarms(), [""; 0]);
}

#[test]
fn a_till_gets_a_coupon_of_nobody_and_gives_it_up_to_another() {
    let (cloud, mut a, mut b) = two();
    refused(&take(&mut a, "k-a", "B-1"), "coupon-state");
    exchange(&cloud, &mut a);
    exchange(&cloud, &mut b);
    assert_eq!(cloud.claim("B-1")["box"], "box-a");
    refused(&take(&mut b, "k-b", "B-1"), "coupon-state");
    exchange(&cloud, &mut b);
    assert_eq!((&cloud.claim("B-1")["box"], &cloud.claim("B-1")["wanted"]), (&json!("box-a"), &json!(true)));
    // Who has it hears that another wants it, and who wants it hears that it was given up.
    exchange(&cloud, &mut a);
    exchange(&cloud, &mut b);
    assert_eq!(cloud.claim("B-1")["box"], "box-b");
    refused(&take(&mut a, "k-1", "B-1"), "coupon-state");
    used(&take(&mut b, "k-2", "B-1"));
}

#[test]
fn what_is_set_aside_for_a_vehicle_is_not_given_up() {
    let (cloud, mut a, mut b) = two();
    cloud.issue("Q-1", "parking", None);
    for story in [&mut a, &mut b] {
        cloud.tell(story);
        story.enter("in", "粤A00001");
    }
    let show = || Gift::Coupon { code: "Q-1".to_owned() };
    let (here, there) = (a.stay_of("粤A00001"), b.stay_of("粤A00001"));
    a.give("k-1", &here, show());
    exchange(&cloud, &mut a);
    a.minutes(25);
    a.arrival("out", true);
    a.read("out", "粤A00001");
    b.give("k-1", &there, show());
    for _ in 0..2 {
        exchange(&cloud, &mut b);
        exchange(&cloud, &mut a);
    }
    let claim = cloud.claim("Q-1");
    assert_eq!((&claim["box"], &claim["wanted"]), (&json!("box-a"), &json!(true)), "{claim}");
    a.staff("out", StaffWish::Settle { fen: Fen(200) });
    a.drive_through("out");
    assert_eq!(a.stays()[0], "粤A00001 closed 200 200 0");
    exchange(&cloud, &mut a);
    assert_eq!(cloud.claim("Q-1")["used"], json!(["box-a"]));
}

/// The line comes back while a vehicle stands before the arm: what comes over it lowers what is due there, of the member
/// and of whoever showed a coupon at a till.
#[test]
fn a_claim_that_comes_while_the_vehicle_waits_at_the_exit_is_used_there_at_once() {
    let (cloud, mut a, _) = two();
    cloud.issue("Q-1", "parking", None);
    cloud.tell(&mut a);
    for (plate, shown) in [(PLATE, None), ("粤A00001", Some("Q-1"))] {
        a.enter("in", plate);
        let stay = a.stay_of(plate);
        if let Some(code) = shown {
            a.give(code, &stay, Gift::Coupon { code: code.to_owned() });
        }
        a.minutes(25);
        a.arrival("out", true);
        a.read("out", plate);
        assert_eq!(due(&a), "500", "{plate} has no coupon yet");
        exchange(&cloud, &mut a);
        assert_eq!(due(&a), "200", "{plate} needs no second look at its plate");
        a.staff("out", StaffWish::Settle { fen: Fen(200) });
        a.drive_through("out");
        assert_eq!(a.stays().pop().unwrap(), format!("{plate} closed 200 200 0"));
        exchange(&cloud, &mut a);
    }
    assert_eq!(
        [cloud.claim("P-1"), cloud.claim("Q-1")].map(|claim| claim["used"].clone()),
        ["box-a", "box-a"].map(|used| json!([used]))
    );
    cloud.agrees();
}

#[test]
fn a_risk_that_was_run_twice_is_told() {
    let (cloud, mut a, mut b) = two();
    assert_eq!(used(&take(&mut a, "k-1", "R-1")).used.fen, Fen(200));
    assert_eq!(used(&take(&mut b, "k-1", "R-1")).used.fen, Fen(200), "neither can know");
    exchange(&cloud, &mut a);
    assert_eq!(cloud.alarms(), [""; 0], "one use is no harm");
    exchange(&cloud, &mut b);
    let alarms = cloud.alarms();
    assert!(alarms.len() == 1 && alarms[0].starts_with("box-b coupon-used-twice"), "{alarms:?}");
    assert!(alarms[0].contains("at 'box-a'") && alarms[0].contains("200 fen"), "{alarms:?}");
    let seen = cloud.coupon("R-1");
    assert_eq!([&seen["uses"][0]["claimed"], &seen["uses"][1]["claimed"]], [false, false], "{seen}");
    cloud.agrees();
}

#[test]
fn a_fenced_box_gives_its_claims_back_where_its_journal_is_whole_and_else_never() {
    for why in [EpochReason::Fenced, EpochReason::Behind] {
        let (cloud, mut a, mut b) = two();
        a.enter("in", PLATE);
        exchange(&cloud, &mut a);
        cloud.ledger.fence("box-a", 1, false).unwrap();
        b.enter("in", PLATE);
        exchange(&cloud, &mut b);
        assert_eq!(cloud.coupon("C-1")["state"], "frozen");
        used(&take(&mut a, "k-1", "C-1"));
        a.feed(Input::Cloud(CloudNews::Doubted { why, reason: "told so".to_owned() }));
        a.feed(Input::Cloud(CloudNews::EpochGiven { from: 1, epoch: 2, why }));
        exchange(&cloud, &mut a);
        exchange(&cloud, &mut b);
        let (coffee, parking) = (cloud.coupon("C-1"), cloud.coupon("P-1"));
        assert_eq!((&coffee["claim"]["used"], &coffee["state"]), (&json!(["box-a"]), &json!("frozen")), "{coffee}");
        let goes_on = if why.is_whole() { "box-b" } else { "box-a" };
        assert_eq!(parking["claim"]["box"], goes_on, "{why:?}: {parking}");
        if !why.is_whole() {
            let release = serde_json::from_value(json!({"reason": "burned"})).unwrap();
            cloud.ledger.release_coupon("P-1", &release, BEGIN).unwrap();
            assert_eq!(cloud.claim("P-1")["box"], "box-b", "who waits for it gets it");
            assert!(cloud.alarms().iter().any(|alarm| alarm.contains("claim-released")));
        }
        cloud.agrees();
    }
}

/// Every exchange of the story is killed once, repeated once, and once its answer is lost.
#[test]
fn a_kill_a_repeat_or_a_lost_answer_at_any_step_changes_nothing() {
    let mut steps = 0;
    for harm in 0..=10 {
        let (cloud, mut a, mut b) = two();
        let mut step =
            |cloud: &Cloud, box_a: &mut Story, box_b: &mut Story, act: &dyn Fn(&Cloud, &mut Story, &mut Story)| {
                act(cloud, box_a, box_b);
                if steps == harm {
                    for story in [&mut *box_a, &mut *box_b] {
                        story.restart();
                        cloud.offer(story);
                        cloud.offer(story);
                        cloud.tell_after(0, story);
                        story.restart();
                    }
                    act(cloud, box_a, box_b);
                }
                steps += 1;
            };
        step(&cloud, &mut a, &mut b, &|_, a, _| _ = take(a, "w-1", "B-1"));
        step(&cloud, &mut a, &mut b, &|cloud, a, _| cloud.offer(a));
        step(&cloud, &mut a, &mut b, &|cloud, a, _| cloud.tell(a));
        step(&cloud, &mut a, &mut b, &|_, _, b| _ = take(b, "w-2", "B-1"));
        step(&cloud, &mut a, &mut b, &|cloud, _, b| cloud.offer(b));
        step(&cloud, &mut a, &mut b, &|cloud, a, _| cloud.tell(a));
        step(&cloud, &mut a, &mut b, &|cloud, a, _| cloud.offer(a));
        step(&cloud, &mut a, &mut b, &|cloud, _, b| cloud.tell(b));
        step(&cloud, &mut a, &mut b, &|_, _, b| _ = used(&take(b, "u-1", "B-1")));
        step(&cloud, &mut a, &mut b, &|_, a, _| refused(&take(a, "u-2", "B-1"), "coupon-state"));
        step(&cloud, &mut a, &mut b, &|cloud, a, b| {
            exchange(cloud, b);
            exchange(cloud, a);
        });
        let seen = cloud.coupon("B-1");
        assert_eq!((&seen["claim"]["box"], &seen["claim"]["used"]), (&json!("box-b"), &json!(["box-b"])), "{harm}");
        assert_eq!(seen["uses"].as_array().unwrap().len(), 1, "{harm}: {seen}");
        assert_eq!(cloud.alarms(), [""; 0], "{harm}");
        cloud.agrees();
        for story in [&a, &b] {
            assert_eq!(story.verdict().faults, Vec::<String>::new(), "{harm}");
        }
        steps = 0;
    }
}

/// Boxes try to use whatever they can, hear late, speak late, are killed, fenced, and put back to what they were; the
/// test alone knows every use, also those of journals that are lost.
#[test]
fn a_coupon_that_must_be_claimed_is_never_used_twice() {
    let (mut done, mut back, mut lost) = (0, 0, 0);
    for seed in 0..12 {
        let (cloud, a, b) = two();
        let mut dice = Dice(seed);
        let mut boxes = [a, b];
        let mut copies: [Option<Vec<u8>>; 2] = [None, None];
        let mut standing: Vec<(usize, &str)> = Vec::new();
        for n in 0..120 {
            let at = dice.pick(&[0, 1]);
            let story = &mut boxes[at];
            let coupon = dice.pick(&["C-1", "B-1"]);
            match dice.below(14) {
                0..3 => {
                    if let TillAnswer::Done { .. } = take(story, &format!("u-{n}"), coupon) {
                        standing.push((at, coupon));
                        done += 1;
                    }
                }
                3 => {
                    if let TillAnswer::Done { .. } = give_back(story, &format!("b-{n}"), coupon) {
                        let place = standing.iter().rposition(|used| *used == (at, coupon));
                        // A journal that was put back may hold a use that had been taken back after the copy.
                        if let Some(place) = place {
                            standing.remove(place);
                        }
                        back += 1;
                    }
                }
                4..6 => cloud.offer(story),
                6..8 => cloud.tell(story),
                8..11 => exchange(&cloud, story),
                11 => story.restart(),
                12 if dice.below(3) == 0 => {
                    let epoch = story.epoch();
                    let next = cloud.ledger.fence(story_name(at), epoch, false).unwrap();
                    turn(story, next, EpochReason::Fenced);
                }
                12 => {
                    story.stop();
                    copies[at] = Some(std::fs::read(story.path()).unwrap());
                    story.restart();
                }
                _ => {
                    let Some(copy) = copies[at].take() else { continue };
                    story.stop();
                    for ending in ["-wal", "-shm"] {
                        let path = format!("{}{ending}", story.path().display());
                        let _ = std::fs::remove_file(path);
                    }
                    std::fs::write(story.path(), copy).unwrap();
                    story.restart();
                    // A witness knows better; what the lost journal used is not known to anybody.
                    let next = cloud.ledger.fence(story_name(at), cloud.epoch(at), false).unwrap();
                    turn(story, next, EpochReason::Behind);
                    lost += 1;
                }
            }
            for coupon in ["C-1", "B-1"] {
                let uses: Vec<_> = standing.iter().filter(|(_, of)| *of == coupon).collect();
                assert!(uses.len() <= 1, "seed {seed}, step {n}: {uses:?}");
            }
        }
    }
    assert!(done > 12 && back > 2 && lost > 3, "{done} uses, {back} taken back, {lost} journals lost");
}

fn story_name(at: usize) -> &'static str {
    ["box-a", "box-b"][at]
}

fn turn(story: &mut Story, epoch: u32, why: EpochReason) {
    let from = story.epoch();
    story.feed(Input::Cloud(CloudNews::Doubted { why, reason: "told so".to_owned() }));
    story.feed(Input::Cloud(CloudNews::EpochGiven { from, epoch, why }));
    assert_eq!(story.epoch(), epoch);
}

/// The ledger with a member, and two boxes that have heard of it.
fn two() -> (Cloud, Story, Story) {
    let cloud = Cloud::new();
    let profile = json!({"handle": "王**", "tier": "gold", "consent_plates": true, "plates": [PLATE], "codes": []});
    let profile: Profile = serde_json::from_value(profile).unwrap();
    cloud.ledger.put_member("M1", &profile).unwrap();
    for (id, kind, member) in [("C-1", "coffee", Some("M1")), ("P-1", "parking", Some("M1")), ("B-1", "coffee", None)] {
        cloud.issue(id, kind, member);
    }
    cloud.issue("R-1", "cake", None);
    let rules = format!("{}{RULES}", include_str!("../../systemd/rules.toml"));
    let boxes = ["box-a", "box-b"].map(|name| {
        let mut story = Story::of(name, rules.clone());
        cloud.tell(&mut story);
        cloud.greet(&story);
        story
    });
    let [a, b] = boxes;
    (cloud, a, b)
}

/// What the vehicle at the exit is asked for.
fn due(story: &Story) -> String {
    story.rows("SELECT coalesce(state ->> '$.phase.due', '-') || '' FROM lane WHERE lane = 'out'").pop().unwrap()
}

/// The line is up for a moment: what the box says goes up, what it hears comes down, and its answer goes up.
fn exchange(cloud: &Cloud, story: &mut Story) {
    cloud.offer(story);
    cloud.tell(story);
    cloud.offer(story);
}

fn cafe() -> TillMark {
    TillMark { merchant: Some("cafe".to_owned()), ..TillMark::default() }
}

fn take(story: &mut Story, key: &str, code: &str) -> TillAnswer {
    let wish = CouponWish::Use { code: code.to_owned(), sale: Some(Fen(1_200)), receipt: "A-1".to_owned() };
    story.ask_as(key, cafe(), TillWish::Coupon(wish))
}

fn give_back(story: &mut Story, key: &str, code: &str) -> TillAnswer {
    story.ask_as(key, cafe(), TillWish::Coupon(CouponWish::Return { code: code.to_owned(), of: None }))
}

impl Cloud {
    /// Every journal of the box, of which the ledger takes what it has not got; a branch it does not take.
    fn offer(&self, story: &Story) {
        let _ = self.upload(story);
    }

    fn issue(&self, id: &str, kind: &str, member: Option<&str>) {
        let coupon = json!({"kind": kind, "member": member, "state": "issued"});
        self.ledger.put_coupon(id, &serde_json::from_value(coupon).unwrap()).unwrap();
    }

    fn coupon(&self, id: &str) -> Value {
        serde_json::to_value(self.ledger.coupon(id).unwrap()).unwrap()
    }

    fn claim(&self, id: &str) -> Value {
        self.coupon(id)["claim"].clone()
    }

    fn epoch(&self, at: usize) -> u32 {
        self.ledger.box_view(story_name(at)).unwrap().epoch
    }

    fn alarms(&self) -> Vec<String> {
        let of = |name: &str| {
            let view = serde_json::to_value(self.ledger.box_view(name).unwrap()).unwrap();
            let alarms = view["alarms"].as_array().unwrap().clone();
            alarms.iter().map(|a| format!("{name} {} {}", a["code"].as_str().unwrap(), a["text"])).collect::<Vec<_>>()
        };
        ["box-a", "box-b"].iter().flat_map(|name| of(name)).collect()
    }

    fn agrees(&self) {
        let report = self.ledger.verify().unwrap();
        assert_eq!(report.faults, Vec::<String>::new());
    }
}
