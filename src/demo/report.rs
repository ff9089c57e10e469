//! What the day came to: the world's account beside the box's books and the cloud ledger's.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use simulators::books::compare;
use simulators::cables::Misled;
use simulators::coupons;
use simulators::faults::Suffers;
use simulators::led_card::Shown;
use simulators::outcome::{Hurt, Outcome};

use super::mall::Accounts;
use crate::domain::losses::DayReport;
use crate::store::journal::Verdict;

/// The demo's last line.
#[derive(Debug, Serialize)]
pub struct Report {
    cars: usize,
    entries: usize,
    exits: usize,
    raised_automatically: usize,
    manual: usize,
    /// Misread plates that the box matched by itself, and those for which a guard chose.
    matched_automatically: u64,
    matched_by_guard: u64,
    points_spent: i64,
    points_earned: i64,
    cash_fen: i64,
    /// Coupons with which a vehicle left, each once by the cloud ledger's account too, and what they took off.
    coupons_used: usize,
    coupons_fen: i64,
    books_match_world: bool,
    overspent_points: i64,
    unacknowledged_records: u64,
    journal_entries: u64,
    /// What the box's own report of the day says was lost.
    losses: Losses,
    /// How often the box let an arm down behind a vehicle.
    arms_lowered: usize,
    /// What the lanes hang on.
    devices: BTreeMap<&'static str, &'static str>,
    /// What went wrong with devices and cables, and how often.
    faults: BTreeMap<&'static str, u32>,
    /// The same by what of the devices suffered.
    suffered: BTreeMap<Suffers, BTreeMap<&'static str, u32>>,
    /// What wrong cables did to vehicles.
    misled: Vec<Misled>,
    /// Arms that broke, and whether staff were told.
    hurt: Vec<Hurt>,
    /// What staff were told, and how often.
    alarms: BTreeMap<String, u32>,
    /// What displays and speakers were told.
    shown: Shown,
    /// Plate message received to raise command sent, inside the box.
    latency_ms: Quantiles,
    /// Plate message published to raise command seen, by the simulated camera.
    latency_outside_ms: Quantiles,
    /// Everything in which the books differ from the world, in words.
    differences: Vec<String>,
}

#[derive(Debug, Default, Serialize)]
struct Quantiles {
    p50: f64,
    p99: f64,
    samples: usize,
}

/// What is compared.
pub struct Told {
    /// The world's account.
    pub outcome: Outcome,
    /// The box's books.
    pub books: Value,
    /// The ledger's accounts.
    pub cloud: Accounts,
    /// What the proof of the journal found.
    pub verdict: Verdict,
    /// What the box's own report says was lost.
    pub losses: Losses,
    /// What staff were told.
    pub alarms: BTreeMap<String, u32>,
    /// Plate message to raise command, in microseconds.
    pub latency_us: Vec<u32>,
    /// Devices that the box believes away at the end, although all of them are there.
    pub away: Vec<String>,
}

/// What the box's own report of the day says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Losses {
    entered: u32,
    left: u32,
    tailgated: u32,
    owed_fen: i64,
    waived_fen: i64,
}

impl Losses {
    /// Adds a day.
    pub fn add(&mut self, day: &DayReport) {
        self.entered += day.entered;
        self.left += day.left;
        self.tailgated += day.tailgated;
        self.owed_fen += day.owed.0;
        self.waived_fen += day.waived.0;
    }

    /// What it must say, by the world and the books.
    fn of(outcome: &Outcome, books: &Value) -> Self {
        let escapes = outcome.visits.iter().filter(|visit| visit.exit.as_ref().is_some_and(|exit| exit.escaped));
        let stays = books["stays"].as_array().map(Vec::as_slice).unwrap_or_default();
        let sum = |column: &str| stays.iter().filter_map(|stay| stay[column].as_i64()).sum();
        let counted = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Self {
            entered: counted(outcome.entries),
            left: counted(outcome.exits),
            tailgated: counted(escapes.count()),
            owed_fen: sum("owed_fen"),
            waived_fen: sum("waived_fen"),
        }
    }
}

impl Report {
    /// Compares everything with everything.
    pub fn make(told: &Told) -> anyhow::Result<Self> {
        let Told { outcome, books, cloud, verdict, losses: _, alarms, latency_us, away } = told;
        let mut differences = compare(outcome, books, &cloud.members);
        differences.extend(coupons::compare(outcome, &cloud.coupons));
        differences.extend(outcome.troubles.iter().map(|trouble| format!("trouble: {trouble}")));
        differences.extend(verdict.faults.iter().map(|fault| format!("journal: {fault}")));
        differences.extend(away.iter().map(|device| format!("the box believes that {device} is away")));
        let expected = Losses::of(outcome, books);
        if told.losses != expected {
            differences.push(format!("the day's report says {:?} instead of {expected:?}", told.losses));
        }
        if outcome.faults.get("swapped").is_some_and(|struck| *struck > 0) && !alarms.contains_key("arm_up_unasked") {
            differences.push("cables were swapped and nobody was told".to_owned());
        }
        differences.extend(outcome.misled.iter().filter_map(|misled| untold(misled, alarms)));
        // As with cables: a box that believes a device away has nothing to tell of what hangs on it.
        let is_untold = |hurt: &&Hurt| !hurt.is_told && !hurt.is_excused && !alarms.contains_key("device_lost");
        let untold_arms = outcome.hurt.iter().filter(is_untold);
        differences.extend(
            untold_arms
                .map(|hurt| format!("at {} {}, and nobody was told {}", hurt.lane, hurt.what.words(), hurt.alarm)),
        );
        if cloud.verification["ok"] != true {
            differences.push(format!("cloud ledger: {}", cloud.verification));
        }
        if cloud.this_box["alarms"].as_array().is_none_or(|alarms| !alarms.is_empty()) {
            differences.push(format!("cloud ledger's alarms: {}", cloud.this_box["alarms"]));
        }
        if cloud.this_box["cursor"]["seq"] != books["seq"] {
            differences.push(format!("the cloud is at {}, the box at {}", cloud.this_box["cursor"], books["seq"]));
        }
        let outside: Vec<u32> = outcome.latency_us.iter().map(|us| u32::try_from(*us).unwrap_or(u32::MAX)).collect();
        let overspent_points = overspent(outcome, books, &cloud.members);
        let unacknowledged_records = books["unacknowledged_entries"].as_u64().unwrap_or(u64::MAX);
        Ok(Self {
            cars: outcome.cars,
            entries: outcome.entries,
            exits: outcome.exits,
            raised_automatically: outcome.raised_automatically,
            manual: outcome.manual,
            matched_automatically: books["matched_automatically"].as_u64().unwrap_or(0),
            matched_by_guard: books["matched_by_guard"].as_u64().unwrap_or(0),
            points_spent: sum_of(books, "spent"),
            points_earned: sum_of(books, "earned"),
            cash_fen: cash(books),
            coupons_used: coupons::used(outcome),
            coupons_fen: taken_off(&cloud.coupons),
            books_match_world: differences.is_empty() && overspent_points == 0 && unacknowledged_records == 0,
            overspent_points,
            unacknowledged_records,
            journal_entries: verdict.entries,
            losses: told.losses,
            arms_lowered: outcome.arms_lowered,
            devices: outcome.devices.clone(),
            faults: outcome.faults.clone(),
            suffered: outcome.suffered.clone(),
            misled: outcome.misled.clone(),
            hurt: outcome.hurt.clone(),
            alarms: alarms.clone(),
            shown: outcome.shown,
            latency_ms: quantiles(latency_us.clone()),
            latency_outside_ms: quantiles(outside),
            differences,
        })
    }

    /// Whether the box's books match the simulated world.
    pub fn is_good(&self) -> bool {
        self.books_match_world
    }

    /// One line of JSON.
    pub fn as_json_line(&self) -> String {
        serde_json::to_string(self).expect("a report has only plain fields")
    }
}

/// What wrong cables did to a vehicle and none of the alarms that follow from it was raised, in words. Nothing follows where
/// the box believed a device away: then it had no wires to hold against each other.
fn untold(misled: &Misled, alarms: &BTreeMap<String, u32>) -> Option<String> {
    let codes: Vec<&str> = misled.alarms.iter().map(|(code, _)| *code).collect();
    let is_told = codes.iter().chain(&["device_lost"]).any(|code| alarms.contains_key(*code));
    (!is_told).then(|| {
        let (lane, what) = (misled.lane, misled.swap.words());
        format!("at {lane} {what}, and nobody was told {}", codes.join(" or "))
    })
}

/// Points that were handed out beyond what members had: by the box's books beside the opening balances, and by the
/// ledger's own accounts. Zero, or the product has failed.
fn overspent(outcome: &Outcome, books: &Value, cloud_members: &Value) -> i64 {
    let beyond = outcome.members.iter().map(|member| {
        let of = |kind| sum_where(books, kind, Some(&member.id));
        (of("spent") - member.balance - of("earned")).max(0)
    });
    let members = cloud_members["members"].as_array().map(Vec::as_slice).unwrap_or_default();
    let below_zero = members.iter().map(|member| (-member["available"].as_i64().unwrap_or(i64::MIN / 2)).max(0));
    beyond.chain(below_zero).sum()
}

fn sum_of(books: &Value, kind: &str) -> i64 {
    sum_where(books, kind, None)
}

fn sum_where(books: &Value, kind: &str, member: Option<&str>) -> i64 {
    let entries = books["points"].as_array().map(Vec::as_slice).unwrap_or_default();
    let of_kind = entries.iter().filter(|entry| entry["kind"] == kind);
    let of_member = of_kind.filter(|entry| member.is_none_or(|id| entry["member"] == id));
    of_member.filter_map(|entry| entry["points"].as_i64()).sum()
}

/// What coupons took off, by the cloud ledger's account.
fn taken_off(coupons: &[Value]) -> i64 {
    let uses = coupons.iter().filter_map(|coupon| coupon["uses"].as_array()).flatten();
    uses.filter(|one| one["stands"] == true).filter_map(|one| one["fen"].as_i64()).sum()
}

/// Money taken for stays by tills and guards; what points paid is not money.
fn cash(books: &Value) -> i64 {
    let payments = books["payments"].as_array().map(Vec::as_slice).unwrap_or_default();
    payments.iter().filter(|payment| payment["tender"]["by"] != "points").filter_map(|p| p["fen"].as_i64()).sum()
}

fn quantiles(mut samples_us: Vec<u32>) -> Quantiles {
    samples_us.sort_unstable();
    let at = |percent: usize| {
        let place = (samples_us.len() * percent / 100).min(samples_us.len().saturating_sub(1));
        samples_us.get(place).map_or(0.0, |us| f64::from(*us) / 1000.0)
    };
    Quantiles { p50: at(50), p99: at(99), samples: samples_us.len() }
}
