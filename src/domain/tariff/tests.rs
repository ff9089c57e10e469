//! What each switch of a tariff does, in small bundles; the tables of published rules are in the integration tests.

use proptest::prelude::*;

use super::*;
use crate::domain::event::{LaneId, StayId};
use crate::domain::rules::tests::DEMO;
use crate::domain::stay::StayState;

const MINUTE_MS: i64 = 60_000;
/// Monday 2026-03-02 at midnight in Shanghai.
const MONDAY_S: i64 = 20_514 * 86_400 - 8 * 3600;

#[test]
fn a_threshold_charges_from_the_start_and_deducted_minutes_are_never_charged() {
    let threshold = rules("free = { minutes = 15 }\nunit = { minutes = 30, fen = 300 }");
    for (seconds, fen) in [(-5, 0), (900, 0), (901, 300), (1800, 300), (1801, 600), (61 * 60, 900), (86_400, 14_400)] {
        check(&threshold, seconds, fen);
    }
    let deducted = rules("free = { minutes = 15, reading = \"deducted\" }\nunit = { minutes = 30, fen = 300 }");
    for (seconds, fen) in [(900, 0), (901, 300), (45 * 60, 300), (45 * 60 + 1, 600)] {
        check(&deducted, seconds, fen);
    }
}

#[test]
fn a_cap_holds_in_each_day_from_entry() {
    let rules = Rules::parse(DEMO).expect("the shipped bundle");
    let day = 86_400;
    for (seconds, fen) in [
        (6 * 3600, 6000),
        (6 * 3600 + 1, 6000),
        (day, 6000),
        (day + 1, 6500),
        (3 * day + 3600, 19_000),
        (300 * day, 1_800_000),
    ] {
        check(&rules, seconds, fen);
    }
}

/// The last whole day is walked and not multiplied: its night is cut short by the exit, and so stays within its free
/// hours as no night before it does.
#[test]
fn the_last_day_is_not_multiplied_where_the_exit_cuts_its_night_short() {
    let unit = "unit = { minutes = 60, fen = 100 }";
    let tariff = rules(&format!(
        "restart = \"24h\"\nsegments = [\n{{ id = \"day\", from = \"12:00\", to = \"22:00\", {unit} }},\n\
         {{ id = \"night\", from = \"22:00\", to = \"12:00\", free = {{ minutes = 780 }}, {unit} }}]"
    ));
    let at_ten = UtcMs((MONDAY_S + 10 * 3600) * 1000);
    let cost = |minutes: i64| fee(&tariff, &Question::of(at_ten, UtcMs(at_ten.0 + minutes * MINUTE_MS))).total.0;
    // The two hours to the first noon are free; a day is ten hours; a night of fourteen is charged, of thirteen not.
    assert_eq!(cost(4 * 1440 + 30), 4 * 1000 + 3 * 1400);
    assert_eq!(cost(9 * 1440 + 30), 9 * 1000 + 8 * 1400);
    assert_eq!(cost(9 * 1440 + 60), 9 * 1000 + 8 * 1400, "thirteen hours to the second");
    assert_eq!(cost(9 * 1440 + 61), 9 * 1000 + 9 * 1400, "with 61 minutes more the last night is too long");
}

#[test]
fn days_are_multiplied_only_where_their_cap_is_the_last_one() {
    let caps = "caps = [{ per = \"24h\", fen = [6000, 4000, 3000] }]";
    let tariff = rules(&format!("restart = \"24h\"\nunit = {{ minutes = 60, fen = 1000 }}\n{caps}"));
    for (days, fen) in [(1, 6000), (2, 10_000), (3, 13_000), (10, 34_000)] {
        check(&tariff, days * 86_400, fen);
    }
}

#[test]
fn a_part_of_a_fen_goes_where_the_factor_says() {
    let tariff = rules(
        "unit = { minutes = 60, fen = 333 }\nmultipliers = [{ class = \"a\", bps = 10001, round = \"up\" }, \
         { class = \"b\", bps = 10001, round = \"down\" }, { class = \"c\", bps = 15000, round = \"half_up\" }]",
    );
    for (class, fen) in [("a", 334), ("b", 333), ("c", 500)] {
        let hour = Question::of(UtcMs(MONDAY_S * 1000), UtcMs((MONDAY_S + 3600) * 1000));
        assert_eq!(fee(&tariff, &Question { class: class.to_owned(), ..hour }).total.0, fen, "{class}");
    }
}

#[test]
fn what_a_day_leaves_of_its_free_minutes_is_gone() {
    let tariff = rules(
        "free = { minutes = 60, reading = \"deducted\" }\nrestart = \"midnight\"\nrestart_free = true\n\
         unit = { minutes = 30, fen = 100 }",
    );
    let before_midnight = UtcMs((MONDAY_S + 86_400 - 1800) * 1000);
    for (minutes, fen) in [(30, 0), (90, 0), (120, 100), (150, 200)] {
        let exit = UtcMs(before_midnight.0 + minutes * MINUTE_MS);
        assert_eq!(fee(&tariff, &Question::of(before_midnight, exit)).total.0, fen, "{minutes} minutes");
    }
}

/// A cap's midnight comes between the minutes of a beginning: the last of them still is one.
#[test]
fn a_beginning_lasts_to_its_last_minute() {
    let tariff = rules(
        "blocks = [{ minutes = 3, unit_minutes = 1, fen = 10 }]\nunit = { minutes = 60, fen = 100 }\n\
         caps = [{ per = \"day\", fen = 5000 }]",
    );
    let before_midnight = UtcMs((MONDAY_S + 86_400 - 120) * 1000);
    for (minutes, fen) in [(2, 20), (3, 30), (4, 130)] {
        let exit = UtcMs(before_midnight.0 + minutes * MINUTE_MS);
        assert_eq!(fee(&tariff, &Question::of(before_midnight, exit)).total.0, fen, "{minutes} minutes");
    }
}

#[test]
fn a_stay_of_wrong_clocks_costs_ten_years_at_most() {
    let dear = rules("unit = { minutes = 1, fen = 100000000 }");
    let ten_years = Fen(3650 * 1440 * 100_000_000);
    let cost = |entry, exit| fee(&dear, &Question::of(UtcMs(entry), UtcMs(exit))).total;
    assert_eq!(cost(0, i64::MAX), ten_years);
    assert_eq!(cost(i64::MIN, i64::MAX), ten_years);
    assert_eq!(cost(i64::MAX, i64::MIN), Fen(0));
    let night = rules(&format!("caps = [{{ per = \"day\", fen = 100 }}]\n{}", day_and_night("")));
    let long = fee(&night, &Question::of(UtcMs(i64::MAX - 1), UtcMs(i64::MAX)));
    assert_eq!(long.total, Fen(0));
    // It begins at eight in the morning of Shanghai and so meets one date more than it has days.
    assert_eq!(fee(&night, &Question::of(UtcMs(i64::MIN), UtcMs(i64::MAX))).total, Fen(3651 * 100));
}

#[test]
fn grace_after_paying_then_the_difference() {
    let rules = Rules::parse(DEMO).expect("the shipped bundle");
    let mut stay = stay();
    assert_eq!(quote(&rules, &stay, &[], UtcMs(29 * MINUTE_MS)).due, Fen(500));
    stay.paid = Fen(500);
    stay.paid_at = Some(UtcMs(29 * MINUTE_MS));
    let in_grace = quote(&rules, &stay, &[], UtcMs(44 * MINUTE_MS));
    assert_eq!((in_grace.due, in_grace.fee.total), (Fen(0), Fen(500)));
    assert_eq!(quote(&rules, &stay, &[], UtcMs(44 * MINUTE_MS + 1)).due, Fen(500));
}

/// The worked example of a gold member: 190 minutes at ¥10 a started hour, 120 minutes free.
#[test]
fn a_time_benefit_is_the_difference_of_two_prices() {
    let rules = rules("unit = { minutes = 60, fen = 1000 }");
    let mut question = Question::of(UtcMs(0), UtcMs(190 * MINUTE_MS));
    question.free = vec![free("gold.free", 120), free("validation", 15), free("coupon", 60)];
    let fee = fee(&rules, &question);
    let lines: Vec<(&str, i64)> = fee.lines.iter().map(|line| (line.rule.as_str(), line.fen.0)).collect();
    assert_eq!(lines, [("t.unit", 4000), ("gold.free", -2000), ("validation", -1000), ("coupon", -1000)]);
    assert_eq!(fee.total, Fen(0));
    assert_eq!(fee.lines[1].zh, "免费120分钟");
}

#[test]
fn a_time_benefit_never_makes_a_stay_dearer() {
    // Free time moves the first unit from the cheap night into the dear day.
    let rules = rules(&day_and_night("rounding = \"overall\""));
    let mut question = Question::of(wall(6, 30), wall(7, 29));
    assert_eq!(total(&rules, &question), Fen(50));
    question.free = vec![free("gold.free", 30)];
    let fee = fee(&rules, &question);
    assert_eq!((fee.total, fee.lines[1].fen), (Fen(50), Fen(0)));
}

#[test]
fn the_threshold_meets_the_rest_again_only_where_it_says_so() {
    let unit = "unit = { minutes = 30, fen = 300 }";
    let mut question = Question::of(UtcMs(0), UtcMs(130 * MINUTE_MS));
    question.free = vec![free("gold.free", 120)];
    for (switch, expect) in [("once", 300), ("again", 0)] {
        let rules = rules(&format!("free = {{ minutes = 15, after_benefit = \"{switch}\" }}\n{unit}"));
        let fee = fee(&rules, &question);
        assert_eq!(fee.total, Fen(expect), "{switch}");
        assert!(fee.readings.contains(&Reading { switch: "t.free.after_benefit".into(), reading: switch.into() }));
    }
}

#[test]
fn an_inner_lot_stops_the_outer_clock_or_comes_on_top() {
    for (outer, expect) in [("paused", 2 * 300 + 2000), ("running", 4 * 300 + 2000)] {
        let lots = format!(
            "[[zones]]\nid = \"vip\"\nouter = \"{outer}\"\n[[tariffs]]\nid = \"v\"\nzones = [\"vip\"]\nunit = {{ minutes = 60, fen = 2000 }}\n"
        );
        let rules = rules_with(&lots, "unit = { minutes = 30, fen = 300 }");
        let mut question = Question::of(UtcMs(0), UtcMs(120 * MINUTE_MS));
        question.zones = vec![ZonePart { zone: "vip".into(), from: UtcMs(30 * MINUTE_MS), to: UtcMs(90 * MINUTE_MS) }];
        assert_eq!(total(&rules, &question), Fen(expect), "{outer}");
        question.zones.push(ZonePart { zone: "nowhere".into(), from: UtcMs(0), to: UtcMs(MINUTE_MS) });
        assert_eq!(total(&rules, &question), Fen(expect), "an unknown lot is the car park itself");
        question.free = vec![free("half", 45)];
        let rest = if outer == "paused" { 300 + 2000 } else { 3 * 300 + 2000 };
        assert_eq!(total(&rules, &question), Fen(rest), "{outer}: 30 minutes outside, 15 inside");
    }
}

#[test]
fn a_shared_cap_counts_the_visits_of_the_day() {
    let rules = rules(
        "free = { minutes = 30, visits = \"first_of_day\" }\nblocks = [{ minutes = 60, fen = 500 }]\nunit = { minutes = 60, fen = 100 }\ncaps = [{ per = \"day\", fen = 1000, shared = true }]",
    );
    assert!(rules.tariffs.look_back());
    let first = fee(&rules, &Question::of(wall(8, 0), wall(12, 0)));
    assert_eq!(first.total, Fen(800));
    let mut second = Question::of(wall(14, 0), wall(20, 0));
    second.prior = vec![PriorVisit { entry: wall(8, 0), exit: wall(12, 0), caps: first.caps.clone() }];
    let fee_2 = fee(&rules, &second);
    assert_eq!((fee_2.total, first.caps[0].fen, fee_2.caps[0].fen), (Fen(200), Fen(800), Fen(200)));
    let mut short = Question::of(wall(21, 0), wall(21, 20));
    assert_eq!(total(&rules, &short), Fen(0), "free as a first visit");
    short.prior = second.prior;
    assert_eq!(total(&rules, &short), Fen(200), "a second visit has no free minutes");
}

#[test]
fn classes_pay_their_own_tariff_or_a_factor_and_bays_multiply() {
    let nev = "[[tariffs]]\nid = \"nev\"\nclasses = [\"nev\"]\nfree = { minutes = 120 }\nunit = { minutes = 60, fen = 250 }\n";
    let tariff = "unit = { minutes = 60, fen = 333 }\ncaps = [{ per = \"24h\", fen = 700 }]\nmultipliers = [{ class = \"bus\", bps = 15000 }]\nmultiply = \"";
    for (multiply, bus, two_bays) in [("total", 1050, 1400), ("units", 700, 700)] {
        let rules = rules_with(nev, &format!("{tariff}{multiply}\""));
        let mut question = Question::of(UtcMs(0), UtcMs(121 * MINUTE_MS));
        let mut check = |class: &str, bays, expect| {
            (question.class, question.bays) = (class.to_owned(), bays);
            let fee = fee(&rules, &question);
            assert_eq!(fee.total, Fen(expect), "{multiply} {class}: {fee:?}");
        };
        check("car", 1, 700);
        check("nev", 1, 750);
        check("bus", 1, bus);
        check("car", 2, two_bays);
        check("spaceship", 0, 700);
    }
    let rules =
        rules("unit = { minutes = 60, fen = 333 }\nmultipliers = [{ class = \"bus\", bps = 15000, round = \"down\" }]");
    let question = Question { class: "bus".into(), ..Question::of(UtcMs(0), UtcMs(MINUTE_MS)) };
    assert_eq!(total(&rules, &question), Fen(499));
}

#[test]
fn what_counts_of_a_minute_that_has_begun() {
    for (clock, fees) in
        [("seconds", [0, 100, 100]), ("started_minutes", [0, 100, 100]), ("whole_minutes", [0, 0, 100])]
    {
        let rules =
            rules(&format!("clock = \"{clock}\"\nfree = {{ minutes = 15 }}\nunit = {{ minutes = 60, fen = 100 }}"));
        for (seconds, fen) in [900, 959, 960].into_iter().zip(fees) {
            check(&rules, seconds, fen);
        }
    }
}

proptest! {
    #[test]
    fn lines_sum_and_a_longer_stay_never_costs_less(seconds in 0_i64..400_000, more in 0_i64..100_000) {
        let rules = Rules::parse(DEMO).expect("the shipped bundle");
        let short = fee(&rules, &Question::of(UtcMs(0), UtcMs(seconds * 1000)));
        let long = fee(&rules, &Question::of(UtcMs(0), UtcMs((seconds + more) * 1000)));
        prop_assert_eq!(short.total.0, short.lines.iter().map(|l| l.fen.0).sum::<i64>());
        prop_assert!(short.total <= long.total);
    }
}

fn check(rules: &Rules, seconds: i64, expect: i64) {
    let found = fee(rules, &Question::of(UtcMs(1_000_000), UtcMs(1_000_000 + seconds * 1000)));
    assert_eq!(found.total, Fen(expect), "{seconds} s: {found:?}");
}

fn wall(hour: i64, minute: i64) -> UtcMs {
    UtcMs((MONDAY_S + hour * 3600 + minute * 60) * 1000)
}

fn free(source: &str, minutes: i64) -> FreeTime {
    let (zh, en) = (format!("免费{minutes}分钟"), format!("{minutes} min free"));
    FreeTime { source: source.to_owned(), seconds: minutes * 60, zh, en }
}

/// Dear days in half hours, cheap nights in hours.
fn day_and_night(switches: &str) -> String {
    format!(
        "{switches}\nsegments = [\n{{ id = \"day\", from = \"07:00\", to = \"19:00\", unit = {{ minutes = 30, fen = 100 }} }},\n\
         {{ id = \"night\", from = \"19:00\", to = \"07:00\", unit = {{ minutes = 60, fen = 50 }} }}]"
    )
}

fn rules(tariff: &str) -> Rules {
    rules_with("", tariff)
}

/// A bundle around one tariff; its golden case is an empty stay, which is free everywhere.
fn rules_with(more: &str, tariff: &str) -> Rules {
    let text = format!(
        "[bundle]\nversion = 1\n{more}[[tariffs]]\nid = \"t\"\n{tariff}\n[points]\npoints = 10\nfen = 100\ngranularity = 10\n\
         [earn]\nfen = 100\npoints = 1\n[grants]\nvisit_points = 300\n[[golden]]\nstay_seconds = 0\nfee_fen = 0\n"
    );
    Rules::parse(&text).unwrap_or_else(|bad| panic!("{bad}\n{text}"))
}

fn stay() -> Stay {
    Stay {
        id: StayId::from("S1-1"),
        plate: None,
        member: None,
        state: StayState::Open,
        entry_lane: LaneId::from("entry-1"),
        entry: UtcMs(0),
        rules: 1,
        fee: None,
        paid: Fen(0),
        paid_at: None,
        debts: Fen(0),
        right: None,
        assumed: None,
        untrusted: false,
        zones: Vec::new(),
        entry_read: None,
    }
}
