//! The shipped bundle, what is refused and how it is told, and what an overlay may do.

use super::*;

/// The bundle of the demo: 15 minutes free, 5 yuan a started half hour, 60 yuan a day, 10 points a yuan.
pub const DEMO: &str = include_str!("../../../systemd/rules.toml");

#[test]
fn the_shipped_bundle_proves_itself() {
    let rules = Rules::parse(DEMO).expect("the shipped bundle is right");
    assert_eq!(rules.points_needed(Fen(500)), Points(50));
    assert_eq!(rules.points_needed(Fen(501)), Points(60));
    assert_eq!(rules.points_needed(Fen(0)), Points(0));
    assert_eq!(rules.points_worth(Points(59)), Fen(500));
    assert_eq!(rules.points_earned(Fen(12_899)), Points(128));
    assert_eq!(lint::lint(&rules), []);
}

#[test]
fn an_amount_beyond_64_bits_stays_large() {
    let mut rules = Rules::parse(DEMO).expect("the shipped bundle is right");
    (rules.points.points, rules.points.fen) = (Count(AMOUNT_MAX), Count(1));
    (rules.earn.points, rules.earn.fen) = (Price(AMOUNT_MAX), Count(1));
    assert_eq!(rules.points_needed(Fen(i64::MAX)), Points(i64::MAX));
    assert_eq!(rules.points_earned(Fen(i64::MAX)), Points(POINTS_MAX));
    (rules.points.points, rules.points.fen) = (Count(1), Count(AMOUNT_MAX));
    assert_eq!(rules.points_worth(Points(i64::MAX)), Fen(i64::MAX));
}

#[test]
fn points_round_as_the_bundle_says() {
    let down = DEMO.replace("granularity = 10", "granularity = 10\nrounding = \"down\"");
    let rules = Rules::parse(&down).expect("right");
    for (fen, pay) in [(0, 0), (99, 0), (100, 100), (599, 500), (600, 600)] {
        assert_eq!(rules.payable(Fen(fen)), Fen(pay), "points pay what they are worth, and no fen more");
    }
    let up = Rules::parse(DEMO).expect("right");
    assert_eq!((up.payable(Fen(599)), up.points_needed(Fen(599))), (Fen(599), Points(60)));
}

#[test]
fn a_wrong_bundle_says_where_what_is_wrong_and_what_is_allowed() {
    check(
        "fee_fen = 500",
        "fee_fen = 501",
        "32:1: golden case 2: must cost 501 fen, but this box computes 500 fen (standard.unit 500)",
    );
    check("minutes = 30,", "minutes = 0,", "11:20: 0 minutes; allowed: 1 to 44640");
    check("fen = 500 }", "fen = -1 }", "11:30: -1 fen; allowed: 0 to 100000000");
    check("per = \"24h\"", "per = \"week\"", "unknown variant `week`; allowed: one of `24h`, `day`, `stay`");
    check(
        "[earn]",
        "[earn]\nbonus = 2",
        "unknown field `bonus`; allowed: one of `fen`, `points`, `carry`, `pending_days`, `status_points`",
    );
    check(
        "id = \"standard\"",
        "id = \"standard\"\nfoo = 1",
        "10:1: unknown field `foo`; allowed: one of `id`, `classes`",
    );
    check(
        "id = \"standard\"",
        "id = \"standard\"\nclasses = [\"nev\"]",
        "no tariff of the car park itself is for every class",
    );
    check(
        "id = \"standard\"",
        "id = \"standard\"\nzones = [\"vip\"]",
        "9:6: tariff standard: there is no [[zones]] with the id vip",
    );
    check("timezone = \"Asia/Shanghai\"", "timezone = \"Mars/Base\"", "6:12: no time zone is called \"Mars/Base\"");
    check("version = 1 ", "version = 0 ", "5:11: version 0; allowed: 1 to");
    check("[[tariffs]]", "[calendar]\nholidays = [\"2026-02-30\"]\n[[tariffs]]", "9:13: \"2026-02-30\" is no date");
    check(
        "unit = {",
        "blocks = [{ minutes = 60, unit_minutes = 25, fen = 1 }]\nunit = {",
        "a block of 60 minutes cannot be made of units of 25 minutes",
    );
    check("points = 1\n", "points = 1\nrate = 1.5\n", "unknown field `rate`");
    check(
        "stay_seconds = 900 ",
        "stay_seconds = 900\nexit = \"2026-03-02T11:00\"",
        "one of exit, stay_minutes and stay_seconds is needed",
    );
}

#[test]
fn hours_without_a_segment_are_refused_unless_they_are_declared() {
    let day = "segments = [{ id = \"day\", from = \"08:00\", to = \"20:00\", unit = { minutes = 30, fen = 500 } }]";
    let unit = "unit = { minutes = 30, fen = 500 }  ";
    check(
        unit,
        day,
        "tariff standard: no segment holds at 00:00 on a Monday that is a day of work; write outside = \"free\"",
    );
    let free = DEMO.replacen(unit, &format!("{day}\noutside = \"free\""), 1);
    Rules::parse(&free).expect("declared; the golden cases lie in the day");
}

#[test]
fn the_lint_finds_what_a_tariff_hardly_meant() {
    let unit = "unit = { minutes = 30, fen = 500 }  ";
    let found = |from: &str, to: &str| {
        assert!(DEMO.contains(from), "{from}");
        let rules = Rules::parse(&DEMO.replacen(from, to, 1)).expect("it is right, if hardly meant");
        let found =
            lint::lint(&rules).into_iter().map(|found| format!("{}: {} {}", found.tariff, found.code, found.text));
        found.collect::<Vec<_>>()
    };
    let hours = |id: &str, from: &str, to: &str| {
        format!("{{ id = \"{id}\", from = \"{from}\", to = \"{to}\", unit = {{ minutes = 30, fen = 500 }} }}")
    };
    let (whole, noon) = (hours("whole", "00:00", "24:00"), hours("noon", "12:00", "14:00"));
    assert_eq!(
        found(unit, &format!("segments = [{whole}, {noon}]")),
        [
            "standard: overlap segments whole and noon both hold at 12:00 on a Monday that is a day of work; the first \
             counts",
            "standard: unreachable the unit of segment noon came in none of the stays tried, up to five days",
        ]
    );
    let second =
        |classes: &str| format!("[[tariffs]]\nid = \"second\"\n{classes}unit = {{ minutes = 30, fen = 500 }}\n");
    let (nev, van) = ("classes = [\"nev\"]\n", "classes = [\"van\", \"nev\"]\n");
    let third = format!("[[tariffs]]\nid = \"third\"\n{nev}unit = {{ minutes = 30, fen = 500 }}\n");
    let reached = |more: &str| {
        let found = found("[[golden]]", &format!("{more}[[golden]]"));
        found.into_iter().filter(|text| text.contains("class")).collect::<Vec<_>>()
    };
    assert_eq!(reached(&second("")), ["second: unreachable every class pays tariff standard already"]);
    assert_eq!(reached(&second(nev)), [""; 0]);
    assert_eq!(reached(&(second(van) + &third)), ["third: unreachable class nev pays tariff second already"]);
}

#[test]
fn an_overlay_sets_what_the_base_lets_it_set() {
    let base =
        DEMO.replace("timezone = ", "overridable = [\"tariffs.*.free.minutes\", \"points.granularity\"]\ntimezone = ");
    let golden = "[[golden]]\nstay_seconds = 1200\nfee_fen = 0\n";
    let overlay = |set: &str| format!("[overlay]\nversion = 5\n[set]\n{set}\n{golden}");
    let text = compose(&base, &overlay("\"tariffs.standard.free.minutes\" = 20")).expect("allowed");
    let rules = Rules::parse(&text).expect("it was proved");
    assert_eq!(rules.version, 1005);
    assert_eq!(rules.tariffs.written().next().and_then(|tariff| tariff.free).map(|free| free.minutes.0), Some(20));
    let refused = |set: &str, expect: &str| {
        let bad = compose(&base, &overlay(set)).expect_err(set).to_string();
        assert!(bad.contains(expect), "{bad}");
    };
    refused(
        "\"tariffs.standard.unit.fen\" = 1",
        "4:1: tariffs.standard.unit.fen may not be set by a site; allowed: tariffs.*.free.minutes, points.gran",
    );
    refused("\"tariffs.vip.free.minutes\" = 1", "is not in the base");
    refused("\"points.granularity\" = \"ten\"", "is string; allowed: integer, as in the base");
    refused("\"tariffs.standard.free.minutes\" = 10", "must cost 0 fen, but this box computes 500 fen");
}

/// The demo's mall proves what it gives to a gold member and what its noodle bar gives.
#[test]
fn a_golden_stay_has_what_its_driver_has() {
    let mall = DEMO.to_owned() + include_str!("../../demo/benefits.toml");
    Rules::parse(&mall).expect("the demo's bundle is right");
    for (from, to, says) in [
        ("minutes = 16", "minutes = 15", "must cost 500 fen, but this box computes 1000 fen"),
        (
            "= 100 }\ngive = { fen = 200 }",
            "= 100 }\ngive = { fen = 300 }",
            "must cost 100 fen, but this box computes 0 fen",
        ),
        ("points_fen = 800", "points_fen = 700", "points must pay 700 fen, but this box lets them pay 800"),
        ("points = 300,", "points = 20,", "points must pay 800 fen, but this box lets them pay 200"),
        ("{ tier = \"gold\" }", "{ tiers = \"gold\" }", "unknown field `tiers`"),
        ("points = 300,", "points = -1,", "-1 is out of range; allowed: 0 to 1000000000"),
        (
            "points = 300, validations = [{ kind = \"noodles\", merchant = \"Noodle bar\", fen = 3000 }",
            "points = 300, validations = [{ kind = \"noodles\", merchant = \"Noodle bar\", fen = 99 }",
            "computes 1000 fen (standard.unit 1000; not used: noodles",
        ),
    ] {
        assert_eq!(mall.matches(from).count(), 1, "{from}");
        let error = Rules::parse(&mall.replacen(from, to, 1)).expect_err(to).to_string();
        assert!(error.contains(says), "{error}\nshould say\n{says}");
    }
}

fn check(from: &str, to: &str, expect: &str) {
    assert!(DEMO.contains(from), "{from} is in the bundle");
    let error = Rules::parse(&DEMO.replacen(from, to, 1)).expect_err(to).to_string();
    assert!(error.contains(expect), "{error}\nshould say\n{expect}");
}
