//! Random tariffs and random stays: what the product computes is what the naive meter computes, to the fen.

use gatepost::domain::event::{Fen, UtcMs};
use gatepost::domain::rules::Rules;
use gatepost::domain::tariff::{self, CapUse, FreeTime, PriorVisit, Question, ZonePart};
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::naive::{Cap, Clock, Dates, Naive, Segment, Sheet};
use crate::dice::Dice;

/// How many fees are compared; a million in a release build is a matter of minutes.
fn fees() -> u64 {
    std::env::var("GATEPOST_FEES").ok().and_then(|text| text.parse().ok()).unwrap_or(20_000)
}

/// How many stays each random tariff prices.
const STAYS: u64 = 40;

#[test]
fn the_meter_agrees_with_a_naive_one() {
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let tariffs = fees().div_ceil(STAYS);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            scope.spawn(move || (0..tariffs).filter(|n| n % threads == thread).for_each(compare));
        }
    });
}

fn compare(seed: u64) {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) + 1);
    let zone = dice.one(&["Asia/Shanghai", "Asia/Shanghai", "Europe/Berlin", "America/New_York"]);
    let dates = Dates {
        holidays: vec![Date::constant(2026, 3, 27), Date::constant(2026, 4, 6)],
        workdays: vec![Date::constant(2026, 3, 28)],
    };
    let mut main = sheet(&mut dice, "t");
    let inner = dice.chance(15).then(|| Sheet { zone: Some("vip"), factor: None, ..sheet(&mut dice, "v") });
    if inner.is_some() {
        main.factor = None;
    }
    let is_paused = dice.chance(50);
    let text = bundle(zone, &main, inner.as_ref(), is_paused);
    let rules = Rules::parse(&text).unwrap_or_else(|bad| panic!("seed {seed}: {bad}\n{text}"));
    for stay in 0..STAYS {
        // Rarely by seconds, which the naive meter does slowly.
        let step = if dice.chance(3) { 1 } else { 60 };
        let naive = Naive { zone: TimeZone::get(zone).unwrap(), dates: &dates, step };
        // From the end of February, so that clock changes, holidays and a moved working day are met.
        let from = 1_772_200_000 / 60 * 60 + dice.upto(50 * 1440) * 60;
        let (entry, length) =
            if step == 1 { (from + dice.upto(60), dice.upto(4 * 3600)) } else { (from, minutes(&mut dice) * 60) };
        let exit = entry + length;
        let mut clocks = vec![Clock {
            sheet: &main,
            from: entry,
            to: exit,
            pauses: Vec::new(),
            prior: Vec::new(),
            is_first_visit: true,
            bays: 1,
        }];
        let mut question = Question::of(UtcMs(entry * 1000), UtcMs(exit * 1000));
        if main.factor.is_some() {
            question.class = "odd".to_owned();
        }
        question.bays = u32::try_from(1 + dice.upto(10) / 8).unwrap();
        clocks[0].bays = i64::from(question.bays);
        if let Some(inner) = &inner {
            let a = entry + dice.upto((length / step).max(1)) * step;
            let b = a + dice.upto(((exit - a) / step).max(1)) * step;
            question.zones.push(ZonePart { zone: "vip".to_owned(), from: UtcMs(a * 1000), to: UtcMs(b * 1000) });
            if is_paused && a < b {
                clocks[0].pauses.push((a, b));
            }
            if a < b {
                clocks.push(Clock {
                    sheet: inner,
                    from: a,
                    to: b,
                    pauses: Vec::new(),
                    prior: Vec::new(),
                    is_first_visit: true,
                    bays: clocks[0].bays,
                });
            }
        } else if dice.chance(30) {
            add_prior(&mut dice, &mut question, &mut clocks[0], zone);
        }
        let benefit = if dice.chance(30) { dice.upto(400) * step } else { 0 };
        let gross = naive.fee(&clocks, 0);
        let expect = if benefit > 0 { naive.fee(&clocks, benefit).min(gross) } else { gross };
        if benefit > 0 {
            let (zh, en) = (String::new(), String::new());
            question.free.push(FreeTime { source: "b".to_owned(), seconds: benefit, zh, en });
        }
        let fee = tariff::fee(&rules, &question);
        assert_eq!(
            fee.total.0, expect,
            "seed {seed} stay {stay}: {entry} {length} s, benefit {benefit} s\n{question:?}\n{fee:#?}\n{text}"
        );
        assert_eq!(fee.total.0, fee.lines.iter().map(|line| line.fen.0).sum::<i64>());
        assert_eq!(tariff::total(&rules, &question), fee.total);
    }
}

/// An earlier visit of the day that used some of a shared cap.
fn add_prior(dice: &mut Dice, question: &mut Question, clock: &mut Clock<'_>, zone: &str) {
    let zone = TimeZone::get(zone).unwrap();
    let day = |at: i64| {
        let offset = i64::from(zone.to_offset(jiff::Timestamp::from_second(at).unwrap()).seconds());
        (at + offset).div_euclid(86_400)
    };
    let exit = clock.from - dice.upto(20 * 60) * 60;
    clock.is_first_visit = day(exit) < day(clock.from);
    let mut visit = PriorVisit { entry: UtcMs((exit - 3600) * 1000), exit: UtcMs(exit * 1000), caps: Vec::new() };
    for (n, cap) in clock.sheet.caps.iter().enumerate().filter(|(_, cap)| cap.shared) {
        let fen = dice.upto(cap.fen[0] + 200);
        let names: String = cap.segments.iter().map(|segment| format!(".s{segment}")).collect();
        let (rule, on) = (format!("t.cap.day{names}"), day(exit));
        visit.caps.push(CapUse { rule, day: i32::try_from(on).unwrap(), fen: Fen(fen) });
        clock.prior.push((n, on, fen));
    }
    question.prior.push(visit);
}

fn minutes(dice: &mut Dice) -> i64 {
    match dice.upto(10) {
        0..5 => dice.upto(300),
        5..8 => dice.upto(1500),
        8 => dice.upto(3 * 1440),
        _ => dice.upto(9) * 1440 + dice.upto(3) * 60,
    }
}

fn sheet(dice: &mut Dice, id: &str) -> Sheet {
    let from_charge = dice.chance(25);
    let mut sheet = Sheet { id: id.to_owned(), ..Sheet::default() };
    if dice.chance(60) {
        sheet.free = Some((1 + dice.upto(90), dice.chance(40), dice.chance(40), dice.chance(20)));
    }
    if dice.chance(40) {
        sheet.blocks = beginning(dice);
    }
    if dice.chance(45) {
        sheet.unit = Some((unit(dice), dice.upto(800)));
    } else {
        sheet.segments = segments(dice);
    }
    sheet.overall = dice.chance(40);
    sheet.restart = dice.one(&[0, 1, 1, 2]);
    sheet.from_charge = from_charge;
    sheet.restart_free = !from_charge && sheet.restart > 0 && dice.chance(30);
    let mut pers = vec!["24h", "day", "stay"];
    while dice.chance(40) && !pers.is_empty() {
        let per = pers.remove(usize::try_from(dice.upto(pers.len() as i64)).unwrap());
        let amounts = if per == "24h" { 1 + dice.upto(3) } else { 1 };
        sheet.caps.push(Cap {
            per,
            fen: (0..amounts).map(|_| dice.upto(6000)).collect(),
            segments: (0..sheet.segments.len()).filter(|_| dice.chance(20)).collect(),
            full_only: dice.chance(30),
            shared: per == "day" && dice.chance(50),
        });
    }
    if dice.chance(20) {
        sheet.factor = Some((dice.upto(40_000), dice.chance(50)));
    }
    sheet
}

fn unit(dice: &mut Dice) -> i64 {
    dice.one(&[1, 5, 15, 20, 30, 30, 45, 60, 60, 90, 120, 720, 1440])
}

fn beginning(dice: &mut Dice) -> Vec<(i64, i64, i64)> {
    let blocks = 1 + dice.upto(3);
    (0..blocks)
        .map(|_| {
            let unit = dice.one(&[10, 15, 30, 60]);
            (unit * (1 + dice.upto(4)), unit, dice.upto(900))
        })
        .collect()
}

fn segments(dice: &mut Dice) -> Vec<Segment> {
    let number = 1 + dice.upto(4);
    (0..number)
        .map(|_| {
            let edge = |dice: &mut Dice| dice.upto(48) * 30;
            let days = ["workday", "weekend", "holiday", "mon", "tue", "wed", "thu", "fri", "sat", "sun"];
            let filtered = dice.chance(40);
            Segment {
                from: edge(dice),
                to: edge(dice),
                days: days.into_iter().filter(|_| filtered && dice.chance(30)).collect(),
                night_of_day_before: dice.chance(50),
                free: dice.chance(25).then(|| (1 + dice.upto(120), dice.chance(50))),
                blocks: if dice.chance(30) { beginning(dice) } else { Vec::new() },
                unit: (unit(dice), dice.upto(800)),
                cap: dice.chance(30).then(|| dice.upto(3000)),
            }
        })
        .collect()
}

fn bundle(zone: &str, main: &Sheet, inner: Option<&Sheet>, is_paused: bool) -> String {
    let lot = inner.map_or(String::new(), |inner| {
        let outer = if is_paused { "paused" } else { "running" };
        format!("[[zones]]\nid = \"vip\"\nouter = \"{outer}\"\n{}", inner.toml())
    });
    format!(
        "[bundle]\nversion = 1\ntimezone = \"{zone}\"\n[calendar]\nholidays = [\"2026-03-27\", \"2026-04-06\"]\n\
         workdays = [\"2026-03-28\"]\n[points]\npoints = 10\nfen = 100\ngranularity = 10\n[earn]\nfen = 100\npoints = 1\n\
         [grants]\nvisit_points = 300\n[[golden]]\nstay_seconds = 0\nfee_fen = 0\n{}{lot}",
        main.toml()
    )
}

impl Dice {
    fn upto(&mut self, most: i64) -> i64 {
        (self.next() % most.max(1) as u64) as i64
    }

    fn chance(&mut self, percent: i64) -> bool {
        self.upto(100) < percent
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.upto(of.len() as i64) as usize]
    }
}
