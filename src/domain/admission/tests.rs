//! Judges over tables as a site writes them.

use super::*;
use crate::domain::rules::Rules;

const RULES: &str = include_str!("../../../systemd/rules.toml");
const TABLES: &str = r#"
[stays]
debts = "at_entry"
spaces = 2

[[zones]]
id = "vip"
outer = "paused"
access = "entitled"

[[lists]]
id = "staff"
kind = "allow"
plates = ["粤B00001"]
passback = "soft"

[[lists]]
id = "wanted"
kind = "block"
reason = "managed"
plates = ["粤B00002"]

[[passes]]
id = "P-1"
plates = ["粤B00003", "粤B00004"]
from = "2026-03-01"
until = "2026-03-31"
passback = "hard"
zones = ["vip"]

[[tariffs]]
id = "vip"
zones = ["vip"]
unit = { minutes = 60, fen = 1000 }
"#;

#[test]
fn the_first_judge_with_something_to_say_decides() {
    let usual = admission(TABLES);
    let free = |plate| asked(plate, 0, 1);
    assert_eq!(judge(&usual, free("粤B12345")), Judgement::LetIn(None));
    assert_eq!(judge(&usual, free("粤B00001")), Judgement::LetIn(Some(Right::List { id: "staff".to_owned() })));
    let blocked = Judgement::Blocked { list: "wanted".to_owned(), reason: BlockReason::Managed };
    assert_eq!(judge(&usual, free("粤B00002")), blocked);
    let full = |plate| asked(plate, 0, 0);
    assert_eq!(judge(&usual, full("粤B12345")), Judgement::Full);
    assert_eq!(judge(&usual, full("粤B00003")), Judgement::LetIn(Some(Right::Pass { id: "P-1".to_owned() })));
    assert_eq!(judge(&usual, asked("粤B12345", 500, 0)), Judgement::DebtsDue, "debts are asked before spaces");
    let order = "[stays]\njudgement_order = [\"full\", \"debts\", \"block\", \"allow\", \"pass\"]\n";
    let strict = admission(&TABLES.replace("[stays]\n", order));
    assert_eq!(judge(&strict, full("粤B00003")), Judgement::Full);
    assert_eq!(judge(&strict, asked("粤B12345", 500, 0)), Judgement::Full);
}

#[test]
fn one_pass_for_two_cars_lets_the_first_in_for_nothing() {
    let usual = admission(TABLES);
    assert_eq!(judge(&usual, Case { on_pass: 1, ..asked("粤B00004", 0, 1) }), Judgement::LetIn(None));
    let family = admission(&TABLES.replace("passback = \"hard\"", "cars = 2"));
    let second = judge(&family, Case { on_pass: 1, ..asked("粤B00004", 0, 1) });
    assert_eq!(second, Judgement::LetIn(Some(Right::Pass { id: "P-1".to_owned() })));
}

#[test]
fn a_pass_holds_on_its_days_and_covers_a_stay_until_its_end() {
    let usual = admission(TABLES);
    let plate: Plate = "粤B00003".parse().expect("a plate");
    // 2026-03-31T23:59:59 and midnight after it, in Shanghai.
    let midnight = UtcMs(1_774_972_800_000);
    let right = usual.pass_of(&plate, UtcMs(midnight.0 - 1000)).expect("it holds on its last day");
    assert_eq!(usual.pass_of(&plate, midnight), None);
    let (entry, exit) = (UtcMs(midnight.0 - 3_600_000), UtcMs(midnight.0 + 3_600_000));
    assert_eq!(usual.covered_until(&right, entry, exit), midnight);
    assert_eq!(usual.covered_until(&right, entry, UtcMs(midnight.0 - 60_000)), UtcMs(midnight.0 - 60_000));
    assert_eq!(usual.passback_of(&plate, entry), Passback::Hard);
    assert_eq!(usual.passback_of(&"粤B00001".parse().expect("a plate"), entry), Passback::Soft);
}

#[test]
fn tables_that_contradict_themselves_are_refused() {
    for (from, to, expect) in [
        ("plates = [\"粤B00002\"]", "plates = [\"粤B00001\"]", "lists exclude each other"),
        ("reason = \"managed\"\n", "", "a reason is needed"),
        ("until = \"2026-03-31\"", "until = \"2026-02-01\"", "ends before it begins"),
        ("until = \"2026-03-31\"", "until = \"March\"", "is no date"),
        ("zones = [\"vip\"]\n\n[[tariffs]]", "zones = [\"gold\"]\n\n[[tariffs]]", "no [[zones]] with the id gold"),
        ("spaces = 2", "spaces = 0", "expected 1 to 100000"),
        ("spaces = 2", "judgement_order = [\"block\"]", "names each of"),
        ("spaces = 2", "spacs = 2", "unknown field"),
        ("id = \"wanted\"", "id = \"staff\"", "two lists"),
    ] {
        assert!(TABLES.contains(from), "{from}");
        let bad = Rules::parse(&format!("{RULES}{}", TABLES.replacen(from, to, 1))).expect_err(to).to_string();
        let expect = expect.replace("expected ", "");
        assert!(bad.contains(&expect) || bad.contains("1 to 100000"), "{bad} should say {expect}");
    }
}

#[derive(Clone, Copy)]
struct Case {
    plate: &'static str,
    on_pass: u32,
    debts: i64,
    free: i64,
}

fn asked(plate: &'static str, debts: i64, free: i64) -> Case {
    Case { plate, on_pass: 0, debts, free }
}

fn judge(admission: &Admission, case: Case) -> Judgement {
    let plate: Plate = case.plate.parse().expect("a plate");
    // 2026-03-02T08:00:00+08:00.
    let at = UtcMs(1_772_409_600_000);
    let (debts, free) = (Fen(case.debts), Some(case.free));
    let on_passes = BTreeMap::from([(Right::Pass { id: "P-1".to_owned() }, case.on_pass)]);
    admission.judge(&Asked { plate: &plate, at, on_passes: &on_passes, debts, free })
}

fn admission(tables: &str) -> Admission {
    Rules::parse(&format!("{RULES}{tables}")).expect("rules").admission
}
