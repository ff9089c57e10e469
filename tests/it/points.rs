//! Points that pay: the same answer at a lane and at a till, limits and caps on them, and what goes back.

use gatepost::domain::event::{
    CloudNews, Fen, Given, GivenBack, GivenFor, Input, MemberId, Note, OfficeAct, OpId, Points, Reply, StaffRefusal,
    StaffWish, TerminalId, TillAnswer, TillCommit, TillDone, TillMark, TillWish, UtcMs,
};
use gatepost::domain::points::Lot;

use crate::story::{MINUTE, Story, given};
use crate::tills::{code, sale, shopper};

const PLATE: &str = "粤B12345";
const OTHER: &str = "粤BD98765";
const RULES: &str = include_str!("../../systemd/rules.toml");
const DAY_MS: i64 = 24 * 60 * MINUTE;

/// A hundred points make one multiple, ¥10, and what is less is paid with money.
#[test]
fn an_amount_below_one_multiple_is_paid_with_money() {
    let mut story = Story::with(RULES.replace("granularity = 10", "granularity = 100\nrounding = \"down\""));
    story.member("M1", &[PLATE]);
    story.enter("in", PLATE);
    story.grant(300);
    story.minutes(20);
    story.arrival("out", true);
    assert_eq!((story.read("out", PLATE), story.phase("out")), (0, "waiting".to_owned()), "¥5 are no multiple");
    assert_eq!(story.rows("SELECT op FROM hold"), [""; 0]);
    let stay = story.stay_of(PLATE);
    for (key, of_goods, of_parking) in [("p", 0, 500), ("g", 500, 0)] {
        let mut commit = sale(key, of_goods, 0, 500);
        commit.stay = (of_parking > 0).then(|| stay.as_str().into());
        assert_eq!(code(&story.commit(commit).1), "tender-mismatch", "{key}");
    }
    let (_, answer) = story.till("ok", Some("M1"), 1_500, None, 500, 1_000);
    assert!(matches!(&answer, TillAnswer::Applied { spent: Points(100), .. }), "{answer:?}");
    assert_eq!(story.till("cash", None, 0, Some(&stay), 500, 0).0, 1, "money opens");
    story.drive_through("out");
}

#[test]
fn a_limit_on_points_of_one_source_holds_at_lanes_and_at_tills() {
    let mut story = Story::with(limited());
    story.member("M1", &[PLATE]);
    visit(&mut story, "a", 20);
    assert_eq!(story.read("out", PLATE), 1, "¥5 of the ¥8 of a day");
    story.drive_through("out");
    assert_eq!(counted(&story), ["promo 500 used"]);
    visit(&mut story, "b", 20);
    assert_eq!(story.read("out", PLATE), 0, "¥3 are left of the day");
    let stay = story.stay_of(PLATE);
    let (_, refused) = story.till("k1", Some("M1"), 0, Some(&stay), 0, 500);
    assert_eq!(code(&refused), "insufficient-points", "{refused:?}");
    let (raises, answer) = story.till("k2", Some("M1"), 0, Some(&stay), 200, 300);
    assert!(matches!(&answer, TillAnswer::Applied { spent: Points(30), .. }), "{answer:?}");
    assert_eq!(raises, 1);
    story.drive_through("out");
    assert_eq!(counted(&story), ["promo 500 used", "promo 300 used"], "what a till took is still counted at the exit");
    visit(&mut story, "c", 20);
    let stay = story.stay_of(PLATE);
    assert_eq!(code(&story.till("k3", Some("M1"), 0, Some(&stay), 400, 100).1), "insufficient-points");
}

#[test]
fn the_cap_of_a_day_is_the_payer_s_whosever_car_it_is() {
    let mut story = Story::with(RULES.replace("granularity = 10", "granularity = 10\ncap_fen_day = 800"));
    story.member("M1", &["粤A00001"]);
    story.enter("in", "粤A00001");
    story.grant(300);
    story.enter("in", PLATE);
    story.enter("in", OTHER);
    story.minutes(20);
    let (first, second) = (story.stay_of(PLATE), story.stay_of(OTHER));
    let pay =
        |story: &mut Story, key, stay: &str, points| story.till(key, Some("M1"), 0, Some(stay), 500 - points, points).1;
    assert!(matches!(pay(&mut story, "a", &first, 500), TillAnswer::Applied { .. }));
    assert_eq!(code(&pay(&mut story, "b", &second, 500)), "tender-mismatch", "¥3 are left of the day");
    assert!(matches!(pay(&mut story, "c", &second, 300), TillAnswer::Applied { .. }));
}

#[test]
fn points_that_may_not_pay_for_parking_do_not_pay_it_from_a_hold() {
    let mut story = Story::with(format!("{RULES}\n[benefits.lots]\nexclude_sources = [\"cinema\"]\n"));
    story.member("M1", &[PLATE]);
    story.enter("in", PLATE);
    grant(&mut story, &[("G-cinema", 60, of("cinema"))]);
    story.minutes(20);
    let hold = hold(&mut story, "h", 60).0;
    let stay = story.stay_of(PLATE);
    let commit = |key: &str, stay: Option<&str>, fen: i64| TillCommit {
        stay: stay.map(Into::into),
        hold: Some(hold.clone()),
        ..sale(key, if stay.is_some() { 0 } else { fen }, 0, fen)
    };
    assert_eq!(code(&story.commit(commit("p", Some(&stay), 500)).1), "insufficient-points");
    let (_, answer) = story.commit(commit("g", None, 600));
    assert!(matches!(&answer, TillAnswer::Applied { spent: Points(60), .. }), "goods they may pay: {answer:?}");
}

#[test]
fn a_till_takes_for_parking_what_points_were_worth_when_the_car_came_in() {
    let mut story = shopper();
    let stay = story.stay_of(PLATE);
    story.minutes(20);
    story.rules(|rules| rules.replace("points = 10\n", "points = 20\n"));
    let (_, answer) = story.till("k", Some("M1"), 500, Some(&stay), 0, 1_000);
    assert!(
        matches!(&answer, TillAnswer::Applied { spent: Points(150), .. }),
        "50 for parking, 100 for goods: {answer:?}"
    );
}

#[test]
fn what_a_till_calls_usable_can_be_spent_at_once() {
    let mut story = shopper();
    story.arrival("out", true);
    story.read("out", PLATE);
    story.drive_through("out");
    story.minutes(10);
    story.enter("in", PLATE);
    let later = Lot { valid_from_ms: Some(UtcMs(story.now().0 + DAY_MS)), ..Lot::default() };
    grant(&mut story, &[("G-now", 200, Lot::default()), ("G-later", 70, later)]);
    let (first, usable) = hold(&mut story, "h", 60);
    assert_eq!(usable, 140, "after setting aside");
    let release = story.ask("r", TillWish::Release { hold: first });
    assert!(
        matches!(&release, TillAnswer::Done { done: TillDone::Released { usable: Points(200), .. }, .. }),
        "{release:?}"
    );
    let second = hold(&mut story, "h2", 60).0;
    let captured = story.ask("c", TillWish::Capture { hold: second, fen: None, receipt: "R".to_owned() });
    let done = matches!(&captured, TillAnswer::Done { done: TillDone::Captured { usable: Points(140), .. }, .. });
    assert!(done, "{captured:?}");
}

#[test]
fn goods_that_came_by_two_ways_and_come_back_by_either_take_their_points_back_once() {
    for back_by in [["second", "first"], ["first", "second"]] {
        let mut story = shopper();
        let [first, second] = twice(&mut story);
        assert_eq!(story.usable(), 350);
        for (n, by) in back_by.iter().enumerate() {
            let (terminal, of) = if *by == "first" { ("tap", &first) } else { ("till-1", &second) };
            let wish = TillWish::Refund { transaction: of.clone(), fen: Fen(3_000) };
            let taken = back(&story.ask_from(terminal, &format!("r{n}"), Some("cafe"), wish)).taken.0;
            assert_eq!(taken, [30, 20][n], "{back_by:?}: by {by}");
        }
        let wish = TillWish::Refund { transaction: second, fen: Fen(2_000) };
        assert_eq!(back(&story.ask_from("till-1", "r9", Some("cafe"), wish)).taken.0, 0, "nothing of it is left");
        assert_eq!(story.usable(), 300);
    }
}

#[test]
fn a_void_of_the_second_way_takes_what_the_first_had_earned() {
    let mut story = shopper();
    let [first, second] = twice(&mut story);
    let void = back(&story.ask_from("till-1", "v", Some("cafe"), TillWish::Void { transaction: second }));
    assert_eq!((void.cash_fen.0, void.taken.0, story.usable()), (5_000, 50, 300));
    let void = back(&story.ask_from("tap", "v2", Some("cafe"), TillWish::Void { transaction: first }));
    assert_eq!((void.taken.0, void.owed.0, story.usable()), (0, 0, 300), "once");
}

#[test]
fn a_request_that_is_given_up_leaves_the_points_with_the_way_that_stands() {
    for (gives_up, key, stands) in [("tap", "a", 1), ("till-1", "b", 0)] {
        let mut story = shopper();
        let ways = twice(&mut story);
        let wish = TillWish::Reverse { original_key: key.to_owned() };
        let TillAnswer::Done { done: TillDone::Reversed { back: Some(given), .. }, .. } =
            story.ask_from(gives_up, "g", Some("cafe"), wish)
        else {
            panic!("{gives_up}")
        };
        assert_eq!((given.cash_fen.0, given.taken.0, story.usable()), (5_000, 0, 350), "{gives_up}");
        let third = story.commit(at_cafe("till-2", "c")).1;
        assert!(matches!(&third, TillAnswer::Applied { earned: Points(0), .. }), "it has earned: {third:?}");
        let terminal = ["tap", "till-1"][stands];
        let void = TillWish::Void { transaction: ways[stands].clone() };
        assert_eq!(back(&story.ask_from(terminal, "v", Some("cafe"), void)).taken.0, 50, "{terminal}");
        assert_eq!(story.usable(), 300);
    }
}

#[test]
fn a_sale_that_the_desk_made_up_for_earns_nothing_when_its_till_brings_it_late() {
    let mut story = shopper();
    story.minutes(60);
    let receipt = Some(("cafe".to_owned(), "R-17".to_owned()));
    let (source, reason) = (GivenFor::Backfill, "the till was down".to_owned());
    let (member, funder) = ("M1".into(), "cafe".to_owned());
    let note = Note::PointsGiven { member, points: Points(50), source, funder, reason, receipt };
    let act = OfficeAct { id: "b".to_owned(), by: "li".to_owned(), second: None, shop: None, note };
    assert!(matches!(story.feed(Input::Office(act)).1, Reply::Staff(Ok(_))));
    let note = story.rows("SELECT op FROM office_note").remove(0);
    story.minutes(30);
    let hours_ago = |story: &Story, hours: i64| Some(UtcMs(story.now().0 - hours * 60 * MINUTE));
    let late = TillCommit { occurred: hours_ago(&story, 2), ..at_cafe("till-1", "late") };
    let answer = story.commit(late).1;
    let TillAnswer::Applied { earned, duplicate_of, .. } = &answer else { panic!("{answer:?}") };
    assert_eq!((earned.0, duplicate_of.as_ref().map(|op| op.0.as_str())), (0, Some(note.as_str())));
    story.minutes(24 * 60);
    let anew = story.commit(at_cafe("till-1", "anew")).1;
    assert!(
        matches!(&anew, TillAnswer::Applied { earned: Points(50), duplicate_of: None, .. }),
        "a new R-17: {anew:?}"
    );
}

#[test]
fn points_that_come_back_after_their_lot_is_over_live_as_long_as_the_rules_say() {
    for (days, usable) in [(7, 100), (0, 0)] {
        let mut story = Story::with(format!("{RULES}\n[benefits.lots]\nmin_life_days = {days}\n"));
        story.member("M1", &[PLATE]);
        story.enter("in", PLATE);
        let soon = Lot { expires_ms: Some(UtcMs(story.now().0 + DAY_MS)), funder: "BANK".to_owned(), ..of("promo") };
        grant(&mut story, &[("G-soon", 100, soon)]);
        let (_, answer) = story.till("k", Some("M1"), 1_000, None, 0, 1_000);
        let TillAnswer::Applied { transaction, .. } = answer else { panic!("{answer:?}") };
        story.minutes(2 * 24 * 60);
        let wish = TillWish::Refund { transaction, fen: Fen(1_000) };
        let given = back(&story.ask("r", wish));
        assert_eq!((given.points.0, given.usable.0), (100, usable), "{days} days");
        if days > 0 {
            let lot = "SELECT (lot ->> '$.funder') || ' ' || (lot ->> '$.source') || ' ' || (lot ->> '$.expires_ms')
                       FROM points_grant WHERE remaining > 0";
            assert_eq!(story.rows(lot), [format!("BANK promo {}", story.now().0 + 7 * DAY_MS)]);
            let (_, again) = story.till("k2", Some("M1"), 1_000, None, 0, 1_000);
            assert!(matches!(&again, TillAnswer::Applied { spent: Points(100), .. }), "{again:?}");
        }
    }
}

#[test]
fn a_spend_that_staff_undo_after_its_lot_is_over_lives_on_too() {
    let mut story = Story::with(format!("{RULES}\n[benefits.lots]\nmin_life_days = 7\n"));
    story.member("M1", &[PLATE]);
    story.enter("in", PLATE);
    let soon = Lot { expires_ms: Some(UtcMs(story.now().0 + DAY_MS)), ..of("promo") };
    grant(&mut story, &[("G-soon", 100, soon)]);
    let (_, answer) = story.till("k", Some("M1"), 1_000, None, 0, 1_000);
    let TillAnswer::Applied { transaction, .. } = answer else { panic!("{answer:?}") };
    story.minutes(2 * 24 * 60);
    let undo = gatepost::domain::event::Undo { of: transaction, by: "guard".to_owned(), reason: "wrong".to_owned() };
    assert!(matches!(story.feed(Input::Undo(undo)).1, Reply::Staff(Ok(_))));
    let left = "SELECT substr(grant_id, 1, 4) || ' ' || remaining FROM points_grant WHERE remaining > 0";
    assert_eq!(story.rows(left), ["born 100"]);
}

#[test]
fn a_tier_that_is_too_old_counts_as_the_safe_one_at_a_till() {
    let tiers = "[benefits.tiers]\nnames = [\"silver\", \"gold\"]\nsafe = \"silver\"\nmax_age_hours = 48\n\
                 [[benefits.bonus]]\nid = \"gold.more\"\npoints = 20\nwhen = { tiers = [\"gold\"] }\n\
                 [[benefits.entitlement]]\nid = \"gold.price\"\nzh = \"金\"\nen = \"gold\"\nfunder = \"mall\"\n\
                 when = { tiers = [\"gold\"] }\ngive = { price_level = \"P2\" }\n";
    let mut story = Story::with(format!("{RULES}\n{tiers}"));
    story.member("M1", &[PLATE]);
    story.feed(Input::Cloud(CloudNews::Fed { changes: Vec::new(), next: 2 }));
    for (key, minutes, earned, level) in [("a", 47 * 60, 70, "P2"), ("b", 2 * 60, 50, "-")] {
        story.minutes(minutes);
        let answer = story.commit(sale(key, 5_000, 5_000, 0)).1;
        let TillAnswer::Applied { earned: points, .. } = &answer else { panic!("{answer:?}") };
        assert_eq!(points.0, earned, "{key}");
        let sql = "SELECT coalesce(line ->> '$.price_level', '-') FROM till_book ORDER BY seq DESC LIMIT 1";
        assert_eq!(story.rows(sql), [level]);
    }
}

/// Sixty points are worth ¥6.00 and pay ¥5.55: each lot by its points, and its payer is asked for what is counted.
#[test]
fn the_lots_that_pay_are_taken_in_their_order_and_billed_for_what_is_counted() {
    let mut story = Story::with(
        limited()
            .replace("fen = 500 }", "fen = 555 }")
            .replace("fee_fen = 500", "fee_fen = 555")
            .replace("fee_fen = 1500", "fee_fen = 1665")
            .replace("fee_fen = 7500", "fee_fen = 7665"),
    );
    story.member("M1", &[PLATE]);
    story.enter("in", PLATE);
    let until = Some(UtcMs(story.now().0 + DAY_MS));
    let first = Lot { expires_ms: until, funder: "BANK".to_owned(), ..of("promo") };
    grant(&mut story, &[("A-last", 90, Lot { funder: "MALL".to_owned(), ..of("visit") }), ("Z-first", 30, first)]);
    story.minutes(20);
    story.arrival("out", true);
    assert_eq!(story.read("out", PLATE), 1);
    story.drive_through("out");
    let parts = "SELECT (value ->> '$.grant') || ' ' || (value ->> '$.points') FROM points_entry, json_each(parts) WHERE kind = 'spent'";
    assert_eq!(story.rows(parts), ["Z-first 30", "A-last 30"]);
    assert_eq!(story.rows("SELECT payer || ' ' || face_fen FROM leg ORDER BY face_fen"), ["BANK 277", "MALL 278"]);
    assert_eq!(counted(&story), ["promo 277 used", "visit 278 used"]);
}

#[test]
fn a_limit_that_only_tells_is_told_to_staff_once() {
    let free = "[benefits.tiers]\nnames = [\"gold\"]\n\
                [[benefits.entitlement]]\nid = \"half\"\nzh = \"免\"\nen = \"half\"\nfunder = \"mall\"\n\
                when = { tiers = [\"gold\"] }\ngive = { fen = 300 }\n\
                [[benefits.limit]]\nid = \"half.once\"\non = \"plate\"\nbenefits = [\"half\"]\nwindow = \"day\"\n\
                max_uses = 1\nbeyond = \"flag\"\n";
    let mut story = Story::with(format!("{RULES}\n{free}"));
    story.member("M1", &[PLATE]);
    for told in [[""; 0].to_vec(), vec!["limit_exceeded"]] {
        story.minutes(10);
        story.enter("in", PLATE);
        story.minutes(20);
        story.arrival("out", true);
        assert_eq!(story.read("out", PLATE), 0, "¥2 are due");
        story.feed(Input::LaneReconsidered { lane: "out".into() });
        assert_eq!(story.alarms(), told);
        assert_eq!(story.staff("out", StaffWish::Settle { fen: Fen(200) }).0, 1);
        story.drive_through("out");
    }
}

/// What is left for money where points may not pay all of a fee, at the barrier.
#[test]
fn a_guard_takes_what_points_leave_to_pay_and_the_points_are_spent_beside_it() {
    for (rules, granted, rest, points) in [("cap_bps = 5000", 300, 800, 70), ("cap_bps = 10000", 40, 1_100, 40)] {
        let mut story = Story::with(RULES.replace("granularity = 10", &format!("granularity = 10\n{rules}")));
        story.member("M1", &[PLATE]);
        story.enter("in", PLATE);
        grant(&mut story, &[("G", granted, Lot::default())]);
        story.minutes(65);
        story.arrival("out", true);
        assert_eq!((story.read("out", PLATE), story.phase("out")), (0, "waiting".to_owned()));
        let shown =
            "SELECT (state ->> '$.phase.due') || ' ' || (state ->> '$.phase.with_points') FROM lane WHERE lane = 'out'";
        assert_eq!(story.rows(shown), [format!("1500 {rest}")], "{rules}");
        let wrong = story.staff("out", StaffWish::Settle { fen: Fen(rest + 1) });
        assert_eq!((wrong.0, wrong.1), (0, Reply::Staff(Err(StaffRefusal::AmountMismatch { due: Fen(1_500) }))));
        assert_eq!(story.staff("out", StaffWish::Settle { fen: Fen(rest) }).0, 1);
        assert_eq!(story.points("spent"), points);
        let tenders = "SELECT (tender ->> '$.by') || ' ' || fen FROM payment ORDER BY op";
        assert_eq!(story.rows(tenders), [format!("guard {rest}"), format!("points {}", 1_500 - rest)]);
        story.drive_through("out");
        assert_eq!(story.stays(), [format!("{PLATE} closed 1500 1500 0")]);
        assert_eq!(counted(&story), [format!("ledger {} used", 1_500 - rest)]);
    }
}

/// The share is one of the whole fee, whichever tender comes first.
#[test]
fn points_do_not_pay_their_share_twice() {
    let mut story = Story::with(RULES.replace("granularity = 10", "granularity = 10\ncap_bps = 5000"));
    story.member("M1", &[PLATE]);
    story.enter("in", PLATE);
    story.grant(300);
    story.minutes(25);
    let stay = story.stay_of(PLATE);
    assert!(matches!(story.till("a", Some("M1"), 0, Some(&stay), 300, 200).1, TillAnswer::Applied { .. }));
    story.minutes(30);
    let more = story.till("b", Some("M1"), 0, Some(&stay), 200, 300).1;
    assert!(matches!(more, TillAnswer::Applied { .. }), "¥2 and ¥3 of ¥10: {more:?}");
    story.minutes(30);
    assert_eq!(code(&story.till("c", Some("M1"), 0, Some(&stay), 200, 300).1), "tender-mismatch");
}

/// Points of promotions pay at most ¥8 a day for one plate.
fn limited() -> String {
    format!(
        "{RULES}\n[[benefits.limit]]\nid = \"promo.day\"\non = \"plate\"\nlot_sources = [\"promo\"]\nwindow = \"day\"\n\
         max_fen = 800\nbeyond = \"deny\"\n"
    )
}

/// Comes in, has a hundred points of a promotion, and stands at the exit.
fn visit(story: &mut Story, grant_id: &str, minutes: i64) {
    story.minutes(10);
    story.enter("in", PLATE);
    grant(story, &[(grant_id, 100, of("promo"))]);
    story.minutes(minutes);
    story.arrival("out", true);
}

fn grant(story: &mut Story, lots: &[(&str, i64, Lot)]) {
    let request = story.rows("SELECT request FROM grant_request WHERE state = 'open'").remove(0);
    let grants = lots.iter().map(|(id, points, lot)| Given { lot: lot.clone(), ..given(id, *points) }).collect();
    let (request, member, epoch) = (OpId(request), MemberId::from("M1"), story.epoch());
    story.feed(Input::Cloud(CloudNews::Granted { request, member, epoch, grants }));
}

fn of(source: &str) -> Lot {
    Lot { source: source.to_owned(), ..Lot::default() }
}

fn hold(story: &mut Story, key: &str, points: i64) -> (OpId, i64) {
    let wish = TillWish::Hold { member: "M1".into(), points: Points(points), ttl_ms: 5 * MINUTE, shown: None };
    let answer = story.ask(key, wish);
    let TillAnswer::Done { done: TillDone::Held { hold, usable, .. }, .. } = answer else { panic!("{answer:?}") };
    (hold, usable.0)
}

/// What points paid of parking, as it is counted.
fn counted(story: &Story) -> Vec<String> {
    story.rows(
        "SELECT (used ->> '$.benefit') || ' ' || (used ->> '$.fen') || ' ' || state FROM benefit_use
         WHERE source = 'points' AND state <> 'void' ORDER BY seq, n",
    )
}

fn at_cafe(terminal: &str, key: &str) -> TillCommit {
    TillCommit {
        terminal: TerminalId::from(terminal),
        receipt: "R-17".to_owned(),
        mark: TillMark { merchant: Some("cafe".to_owned()), ..TillMark::default() },
        ..sale(key, 5_000, 5_000, 0)
    }
}

/// The same sale by a tap and by a till: the first has earned.
fn twice(story: &mut Story) -> [OpId; 2] {
    [("tap", "a"), ("till-1", "b")].map(|(terminal, key)| {
        let answer = story.commit(at_cafe(terminal, key)).1;
        let TillAnswer::Applied { transaction, .. } = answer else { panic!("{answer:?}") };
        transaction
    })
}

fn back(answer: &TillAnswer) -> GivenBack {
    let TillAnswer::Done { done: TillDone::GivenBack(back), .. } = answer else { panic!("{answer:?}") };
    back.clone()
}
