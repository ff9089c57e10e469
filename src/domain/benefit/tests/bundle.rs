//! What the check of a table refuses, and what the lint finds doubtful.

use super::super::*;

#[test]
fn a_wrong_table_says_where_and_what_is_allowed() {
    refuses("cap_fen_visit = -1", "benefits.cap_fen_visit is -1; allowed are 0 to 100000000");
    refuses(&coupon("give = { fen = 0 }"), "benefits.coupon \"c\": fen is 0; allowed are 1 to");
    refuses(&coupon("give = { percent_bps = 10001 }"), "percent_bps is 10001; allowed are 1 to 10000");
    refuses(
        &coupon("give = { minutes = 60 }\nwhen = { tiers = [\"gold\"] }"),
        "tier \"gold\" is not in benefits.tiers.names",
    );
    refuses(&coupon("give = \"full\"\ncampaign = \"x\""), "campaign \"x\" is not in benefits.campaign");
    refuses(
        &coupon("give = \"full\"\nwhen = { from = \"2026-03-02\", until = \"2026-03-02\" }"),
        "which is never; `until` must be later",
    );
    refuses(&format!("{}\n{}", coupon("give = \"full\""), coupon("give = \"full\"")), "names must be there and differ");
    refuses("[[limit]]\nid = \"l\"\non = \"plate\"\nwindow = \"day\"", "benefits.limit \"l\": it limits nothing");
    refuses(
        "[[limit]]\nid = \"l\"\non = \"plate\"\nwindow = \"day\"\nmax_uses = 1\nbenefits = [\"nil\"]",
        "no benefit is named \"nil\"",
    );
    let doubled = |rest: &str| coupon(&format!("give = {{ multiply_bps = 20000 }}\n{rest}"));
    refuses(&coupon("give = { multiply_bps = 10000 }"), "multiply_bps is 10000; allowed are 10001 to 1000000");
    refuses(&doubled("offline_risk_fen = 1"), "it takes no money off");
    refuses(&format!("{}\n[[bonus]]\nid = \"c\"\npoints = 5", doubled("")), "a bonus has this name too");
    refuses(&doubled("").replace("[[coupon]]", "[[entitlement]]"), "allowed for coupons and bonuses only");
    refuses("[funder.J]\nremainder = \"A\"\nshares = { A = 5000, B = 4000 }", "the shares sum to 9000");
    let unknown = toml::from_str::<Table>("[[coupon]]\nidd = \"c\"").expect_err("a mistyped key").to_string();
    assert!(unknown.contains("unknown field `idd`") && unknown.contains("line 2"), "{unknown}");
}

#[test]
fn the_lint_finds_what_was_hardly_meant() {
    finds("unfunded", &coupon("give = \"full\""));
    let hours = |id: &str, when: &str| {
        format!(
            "[[entitlement]]\nid = \"{id}\"\nzh = \"\"\nen = \"\"\ngive = {{ minutes = 60 }}\nfunder = \"M\"\n{when}\n"
        )
    };
    finds("overlap", &format!("{}{}", hours("a", ""), hours("b", "")));
    finds_nothing(&format!(
        "{}{}",
        hours("a", "when = { weekdays = [\"mon\"] }"),
        hours("b", "when = { weekdays = [\"tue\"] }")
    ));
    finds("unreachable", "[[campaign]]\nid = \"c\"");
    finds("stops_offline", "[[campaign]]\nid = \"c\"\nbudget_fen = 5");
    finds("pending_outlasts_validity", "[[bonus]]\nid = \"b\"\npoints = 5\npending_days = 7\nvalid_days = 5");
    let doubled = "give = { multiply_bps = 20000 }\nfunder = \"M\"";
    let at_shop = format!("{doubled}\nmerchants = [\"cafe\"]");
    finds("unreachable", &coupon(doubled));
    for stays_own in ["when = { min_fee_fen = 500 }", "when = { places = [\"B2\"] }", "automatic = true"] {
        finds("unreachable", &coupon(&format!("{at_shop}\n{stays_own}")));
    }
    assert!(found(&coupon(&at_shop)).is_empty());
    finds("unreachable", "stacking.deny = [[\"tyre\", \"points\"]]");
    let limit =
        |window: &str, rest: &str| format!("[[limit]]\nid = \"l\"\non = \"plate\"\nwindow = \"{window}\"\n{rest}");
    assert!(found(&limit("day", "max_fen = 500\nlot_sources = [\"earned\"]")).is_empty());
    finds("unreachable", &limit("day", "max_uses = 0"));
    finds("unreachable", &limit("day", "max_fen = 500\nlot_sources = [\"eanred\"]"));
    finds("unreachable", &limit("visit", "max_fen = 500\nlot_sources = [\"earned\"]"));
    let bonus = |when: &str| format!("[[bonus]]\nid = \"b\"\npoints = 5\nfunder = \"M\"\nwhen = {{ {when} }}");
    assert!(found(&bonus("min_spend_fen = 500")).is_empty());
    finds("unreachable", &bonus("min_fee_fen = 500"));
    finds("unreachable", &bonus("places = [\"B2\"]"));
    let pass = |rest: &str| {
        coupon(&format!("give = {{ fen = 500 }}\nfunder = \"M\"\ndays = 30\n{rest}")).replace("coupon", "pass")
    };
    assert!(found(&pass("merchants = [\"cafe\"]\nuses = 10")).is_empty());
    for nowhere in
        ["merchants = []", "merchants = [\"cafe\"]\nuses = 0", "merchants = [\"cafe\"]\nuses_per_merchant = 0"]
    {
        finds("unreachable", &pass(nowhere));
    }
}

fn coupon(rest: &str) -> String {
    format!("[[coupon]]\nid = \"c\"\nzh = \"券\"\nen = \"coupon\"\n{rest}")
}

fn refuses(text: &str, expect: &str) {
    let table: Table = toml::from_str(text).unwrap_or_else(|error| panic!("{text}\n{error}"));
    let wrong = check(&table).expect_err(text);
    assert!(wrong.contains(expect), "{wrong}");
}

fn found(text: &str) -> Vec<&'static str> {
    let table: Table = toml::from_str(text).unwrap_or_else(|error| panic!("{text}\n{error}"));
    lint(&table).into_iter().map(|finding| finding.code).collect()
}

fn finds(code: &str, text: &str) {
    assert!(found(text).contains(&code), "{code} in {text}: {:?}", found(text));
}

fn finds_nothing(text: &str) {
    let codes: Vec<&str> = found(text).into_iter().filter(|code| *code != "unreachable").collect();
    assert!(codes.is_empty(), "{text}: {codes:?}");
}
