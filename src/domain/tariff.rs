//! What a stay costs, line by line, from the rules in force when it began.

use serde::{Deserialize, Serialize};

use super::event::{Fen, UtcMs};
use super::rules::{CapPeriod, FreeReading, Rules, Tariff};
use super::stay::Stay;

const DAY_SECONDS: i64 = 24 * 60 * 60;
/// The longest stay that is charged, ten years: only a wrong clock makes a longer one, and no product of it overflows.
const STAY_SECONDS_MAX: i64 = 3650 * DAY_SECONDS;

/// One line of a fee.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeeLine {
    /// The rule's name in the bundle and what it did.
    pub rule: String,
    /// What it adds or takes away.
    pub fen: Fen,
    /// The arithmetic in Chinese.
    pub zh: String,
    /// The arithmetic in English.
    pub en: String,
}

/// A fee: lines that sum to the total.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fee {
    /// The sum of the lines, never negative.
    pub total: Fen,
    /// The lines, in the order of evaluation.
    pub lines: Vec<FeeLine>,
}

/// A fee and what of it is still to be paid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quote {
    /// The fee.
    pub fee: Fee,
    /// Its unpaid part.
    pub due: Fen,
}

/// What `stay` costs if it leaves at `at`, less what has been paid. Inside the grace after a payment nothing more is due.
pub fn quote(rules: &Rules, stay: &Stay, at: UtcMs) -> Quote {
    let mut fee = fee(&rules.tariff, stay.entry, at);
    add_debts(&mut fee, stay.debts);
    let unpaid = fee.total.0 - stay.paid.0;
    let grace_ms = i64::from(rules.tariff.grace_minutes) * 60_000;
    if unpaid > 0 && stay.paid_at.is_some_and(|paid_at| at.0 <= paid_at.0.saturating_add(grace_ms)) {
        fee.lines.push(FeeLine {
            rule: format!("{}.grace", rules.tariff.id),
            fen: Fen(-unpaid),
            zh: format!("缴费后{}分钟内离场,免补差额", rules.tariff.grace_minutes),
            en: format!("leaving within {} min of paying", rules.tariff.grace_minutes),
        });
        fee.total = stay.paid;
    }
    let due = Fen((fee.total.0 - stay.paid.0).max(0));
    Quote { fee, due }
}

/// What earlier stays of the plate left unpaid is a line of its own.
fn add_debts(fee: &mut Fee, debts: Fen) {
    if debts.0 > 0 {
        fee.lines.push(FeeLine {
            rule: "debt".to_owned(),
            fen: debts,
            zh: "此前停车未付金额".to_owned(),
            en: "unpaid from earlier stays".to_owned(),
        });
        fee.total.0 += debts.0;
    }
}

/// What a stay from `entry` to `exit` costs by `tariff` alone. Whole seconds count; an exit before the entry is a stay
/// of no length, and one of more than ten years costs ten years.
pub fn fee(tariff: &Tariff, entry: UtcMs, exit: UtcMs) -> Fee {
    let seconds = (exit.0.saturating_sub(entry.0) / 1000).clamp(0, STAY_SECONDS_MAX);
    let free_seconds = i64::from(tariff.free_minutes) * 60;
    let mut lines = Vec::new();
    let charged = match tariff.free {
        _ if seconds <= free_seconds => {
            lines.push(FeeLine {
                rule: format!("{}.free", tariff.id),
                fen: Fen(0),
                zh: format!("停车{},{}分钟内免费", clock(seconds), tariff.free_minutes),
                en: format!("{} parked, free up to {} min", clock(seconds), tariff.free_minutes),
            });
            0
        }
        FreeReading::Threshold => seconds,
        FreeReading::Deducted => seconds - free_seconds,
    };
    match tariff.cap_per {
        CapPeriod::DayFromEntry => charge_by_day(tariff, charged, &mut lines),
    }
    let total = Fen(lines.iter().map(|line| line.fen.0).sum());
    assert!(total.0 >= 0, "a cap never takes more than the units gave");
    Fee { total, lines }
}

fn charge_by_day(tariff: &Tariff, charged: i64, lines: &mut Vec<FeeLine>) {
    let days = charged / DAY_SECONDS;
    let rest = charged % DAY_SECONDS;
    if days > 0 {
        charge_block(tariff, days, DAY_SECONDS, lines);
    }
    if rest > 0 {
        charge_block(tariff, 1, rest, lines);
    }
}

/// `times` blocks of `seconds` each: the units, then what the cap takes off.
fn charge_block(tariff: &Tariff, times: i64, seconds: i64, lines: &mut Vec<FeeLine>) {
    let unit_seconds = i64::from(tariff.unit_minutes) * 60;
    let units = (seconds + unit_seconds - 1) / unit_seconds;
    let block = units * tariff.unit_fen;
    let (of_zh, of_en) =
        if times > 1 { (format!("{times}天×"), format!("{times} days × ")) } else { (String::new(), String::new()) };
    lines.push(FeeLine {
        rule: format!("{}.unit", tariff.id),
        fen: Fen(times * block),
        zh: format!("{of_zh}停车{},{units}个{}分钟×¥{}", clock(seconds), tariff.unit_minutes, yuan(tariff.unit_fen)),
        en: format!(
            "{of_en}{} parked, {units} × {} min × ¥{}",
            clock(seconds),
            tariff.unit_minutes,
            yuan(tariff.unit_fen)
        ),
    });
    if let Some(cap) = tariff.cap_fen.filter(|cap| *cap < block) {
        lines.push(FeeLine {
            rule: format!("{}.cap", tariff.id),
            fen: Fen(times * (cap - block)),
            zh: format!("{of_zh}24小时封顶¥{}", yuan(cap)),
            en: format!("{of_en}at most ¥{} in 24 h from entry", yuan(cap)),
        });
    }
}

/// Hours, minutes and seconds as `1:02:03`.
fn clock(seconds: i64) -> String {
    format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// Fen as yuan with two decimals.
pub fn yuan(fen: i64) -> String {
    let sign = if fen < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", fen.abs() / 100, fen.abs() % 100)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::event::{LaneId, StayId};
    use super::super::stay::StayState;
    use super::*;

    /// Published rule of MixC Tianjin (G1 in the reference cases): 15 min free, then 3 yuan a started half hour.
    #[test]
    fn a_threshold_charges_from_the_start() {
        let tariff = tariff(15, FreeReading::Threshold, 300, None);
        check(&tariff, 15 * 60, 0);
        check(&tariff, 15 * 60 + 1, 300);
        check(&tariff, 30 * 60, 300);
        check(&tariff, 30 * 60 + 1, 600);
        check(&tariff, 61 * 60, 900);
        check(&tariff, 24 * 3600, 14_400);
        check(&tariff, -5, 0);
    }

    #[test]
    fn deducted_minutes_are_not_charged() {
        let tariff = tariff(15, FreeReading::Deducted, 300, None);
        check(&tariff, 15 * 60 + 1, 300);
        check(&tariff, 45 * 60, 300);
        check(&tariff, 45 * 60 + 1, 600);
    }

    #[test]
    fn a_cap_holds_in_each_day_from_entry() {
        let tariff = tariff(15, FreeReading::Threshold, 500, Some(6000));
        check(&tariff, 6 * 3600, 6000);
        check(&tariff, 6 * 3600 + 1, 6000);
        check(&tariff, 24 * 3600, 6000);
        check(&tariff, 24 * 3600 + 1, 6500);
        check(&tariff, 3 * 24 * 3600 + 3600, 19_000);
    }

    #[test]
    fn a_stay_of_wrong_clocks_costs_ten_years_at_most() {
        let mut dear = tariff(0, FreeReading::Threshold, 100_000_000, None);
        dear.unit_minutes = 1;
        let ten_years = Fen(3650 * 1440 * 100_000_000);
        assert_eq!(fee(&dear, UtcMs(0), UtcMs(i64::MAX)).total, ten_years);
        assert_eq!(fee(&dear, UtcMs(i64::MIN), UtcMs(i64::MAX)).total, ten_years);
        assert_eq!(fee(&dear, UtcMs(i64::MAX), UtcMs(i64::MIN)).total, Fen(0));
    }

    #[test]
    fn grace_after_paying_then_the_difference() {
        let rules = Rules::parse(super::super::rules::tests::DEMO).expect("the shipped bundle");
        let minute = 60_000;
        let mut stay = stay();
        assert_eq!(quote(&rules, &stay, UtcMs(29 * minute)).due, Fen(500));
        stay.paid = Fen(500);
        stay.paid_at = Some(UtcMs(29 * minute));
        let in_grace = quote(&rules, &stay, UtcMs(44 * minute));
        assert_eq!((in_grace.due, in_grace.fee.total), (Fen(0), Fen(500)));
        assert_eq!(quote(&rules, &stay, UtcMs(44 * minute + 1)).due, Fen(500));
    }

    proptest! {
        #[test]
        fn lines_sum_and_a_longer_stay_never_costs_less(seconds in 0_i64..400_000, more in 0_i64..100_000) {
            let tariff = tariff(15, FreeReading::Threshold, 500, Some(6000));
            let short = fee(&tariff, UtcMs(0), UtcMs(seconds * 1000));
            let long = fee(&tariff, UtcMs(0), UtcMs((seconds + more) * 1000));
            prop_assert_eq!(short.total.0, short.lines.iter().map(|l| l.fen.0).sum::<i64>());
            prop_assert!(short.total <= long.total);
        }
    }

    fn check(tariff: &Tariff, seconds: i64, expect: i64) {
        let found = fee(tariff, UtcMs(1_000_000), UtcMs(1_000_000 + seconds * 1000));
        assert_eq!(found.total, Fen(expect), "{seconds} s: {found:?}");
    }

    fn tariff(free_minutes: u32, free: FreeReading, unit_fen: i64, cap_fen: Option<i64>) -> Tariff {
        Tariff {
            id: "t".to_owned(),
            free_minutes,
            free,
            unit_minutes: 30,
            unit_fen,
            cap_fen,
            cap_per: CapPeriod::DayFromEntry,
            grace_minutes: 15,
        }
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
        }
    }
}
