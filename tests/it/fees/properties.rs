//! What is true of every fee, whichever the tariff: it is never negative, never falls where nothing makes it fall, and a
//! stay that is cut in two where a cap's time ends costs the same in two parts.

use gatepost::domain::event::UtcMs;
use gatepost::domain::rules::Rules;
use gatepost::domain::tariff::{self, PriorVisit, Question};
use jiff::tz::TimeZone;

use super::naive::Sheet;
use super::random::{bundle, fees, minutes, sheet};
use crate::dice::Dice;

const DAY_S: i64 = 86_400;
/// How many stays each random tariff prices here.
const STAYS: u64 = 10;

#[test]
fn a_longer_stay_never_costs_less_unless_a_cap_is_for_full_periods_only() {
    for_each_tariff(|dice| {
        let mut sheet = sheet(dice, "t");
        sheet.caps.iter_mut().for_each(|cap| cap.full_only = false);
        let (rules, entry) = (rules(&sheet), entry(dice));
        let mut exits: Vec<i64> = (0..STAYS).map(|_| entry + minutes(dice) * 60 + dice.upto(60)).collect();
        exits.sort_unstable();
        let fees: Vec<i64> = exits.iter().map(|exit| fee(&rules, entry, *exit)).collect();
        assert!(fees.iter().all(|fee| *fee >= 0), "{fees:?}\n{sheet:#?}");
        assert!(fees.is_sorted(), "entered {entry}, left {exits:?}: {fees:?}\n{sheet:#?}");
    });
}

#[test]
fn a_fee_is_the_same_however_often_it_is_asked() {
    for_each_tariff(|dice| {
        let sheet = sheet(dice, "t");
        let entry = entry(dice);
        let question = question(entry, entry + minutes(dice) * 60);
        assert_eq!(tariff::fee(&rules(&sheet), &question), tariff::fee(&rules(&sheet), &question), "{sheet:#?}");
    });
}

#[test]
fn a_stay_cut_where_its_24_hours_end_costs_the_same_in_parts() {
    for_each_tariff(|dice| {
        let mut sheet = sheet(dice, "t");
        // What a visit has once, or counts from its own beginning, is no matter of the cap.
        (sheet.free, sheet.restart, sheet.from_charge) = (None, 1, false);
        sheet.caps.retain(|cap| cap.per == "24h");
        sheet.caps.iter_mut().for_each(|cap| cap.fen.truncate(1));
        sheet.caps.iter_mut().for_each(|cap| cap.full_only = false);
        no_segment_beginnings(&mut sheet);
        let (rules, entry) = (rules(&sheet), entry(dice));
        let cut = entry + (1 + dice.upto(3)) * DAY_S;
        let exit = cut + minutes(dice) * 60;
        let parts = fee(&rules, entry, cut) + fee(&rules, cut, exit);
        assert_eq!(fee(&rules, entry, exit), parts, "{entry} {cut} {exit}\n{sheet:#?}");
    });
}

#[test]
fn a_stay_cut_at_the_midnight_of_a_shared_cap_costs_the_same_in_parts() {
    for_each_tariff(|dice| {
        let mut sheet = sheet(dice, "t");
        (sheet.free, sheet.blocks, sheet.restart, sheet.restart_free) = (None, Vec::new(), 0, false);
        sheet.caps.retain(|cap| cap.per == "day");
        sheet.caps.iter_mut().for_each(|cap| (cap.shared, cap.full_only) = (true, false));
        no_segment_beginnings(&mut sheet);
        // A unit that began before the cut would be charged twice: every unit here ends on the minute.
        sheet.unit = sheet.unit.map(|(_, fen)| (1, fen / 30));
        sheet.segments.iter_mut().for_each(|segment| segment.unit = (1, segment.unit.1 / 30));
        let (rules, entry) = (rules(&sheet), entry(dice));
        let exit = entry + (1 + dice.upto(3000)) * 60;
        let midnight = midnight_after(entry);
        for cut in [midnight, entry + dice.upto((exit - entry) / 60) * 60].into_iter().filter(|cut| *cut < exit) {
            let first = tariff::fee(&rules, &question(entry, cut));
            let visit = PriorVisit { entry: UtcMs(entry * 1000), exit: UtcMs(cut * 1000), caps: first.caps };
            let rest = tariff::fee(&rules, &Question { prior: vec![visit], ..question(cut, exit) });
            let whole = fee(&rules, entry, exit);
            assert_eq!(whole, first.total.0 + rest.total.0, "{entry} {cut} {exit}\n{sheet:#?}");
        }
    });
}

fn for_each_tariff(check: impl Fn(&mut Dice)) {
    for seed in 0..fees().div_ceil(STAYS * 2) {
        check(&mut Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) + 7));
    }
}

/// A segment's own beginning, cap and free minutes belong to its whole evening and not to a part of it.
fn no_segment_beginnings(sheet: &mut Sheet) {
    for segment in &mut sheet.segments {
        (segment.free, segment.cap) = (None, None);
        segment.blocks.clear();
    }
}

fn rules(sheet: &Sheet) -> Rules {
    let text = bundle("Asia/Shanghai", &Sheet { factor: None, ..sheet.clone() }, None, false);
    Rules::parse(&text).unwrap_or_else(|bad| panic!("{bad}\n{text}"))
}

fn entry(dice: &mut Dice) -> i64 {
    1_772_200_000 / 60 * 60 + dice.upto(50 * 1440) * 60
}

fn midnight_after(at: i64) -> i64 {
    let zone = TimeZone::get("Asia/Shanghai").unwrap();
    let offset = i64::from(zone.to_offset(jiff::Timestamp::from_second(at).unwrap()).seconds());
    ((at + offset).div_euclid(DAY_S) + 1) * DAY_S - offset
}

fn question(entry: i64, exit: i64) -> Question {
    Question::of(UtcMs(entry * 1000), UtcMs(exit * 1000))
}

fn fee(rules: &Rules, entry: i64, exit: i64) -> i64 {
    tariff::fee(rules, &question(entry, exit)).total.0
}
