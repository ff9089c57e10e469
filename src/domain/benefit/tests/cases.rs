//! Reads the tables of cases beside this file and holds every one against the reckoning.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::DateTime;
use serde::Deserialize;

use super::super::*;
use crate::domain::event::{MemberId, UtcMs};
use crate::domain::tariff::{Fee, FeeLine};

macro_rules! tables {
    ($($name:ident: $file:literal,)*) => {$(
        #[test]
        fn $name() {
            check(include_str!($file));
        }
    )*};
}

tables! {
    the_worked_example: "worked_example.toml",
    tiers_and_entitlements: "entitlements.toml",
    coupons_and_passes: "coupons.toml",
    campaigns_and_splits: "campaigns.toml",
    limits_and_stacking: "limits.toml",
    the_declared_order: "declared.toml",
    points_and_lots: "points.toml",
}

/// Holds every case of a table against the reckoning.
fn check(text: &str) {
    let file: File = toml::from_str(text).unwrap_or_else(|error| panic!("{error}"));
    super::super::check(&file.benefits).unwrap_or_else(|wrong| panic!("{wrong}"));
    assert!(!file.case.is_empty());
    for case in &file.case {
        let name = format!("{} {}", case.row, case.name);
        let outcome = reckon(&file, case);
        let expect = &case.expect;
        let benefit_lines: Vec<(String, i64)> =
            outcome.fee.lines.iter().skip(1).map(|line| (line.rule.clone(), line.fen.0)).collect();
        assert_eq!(benefit_lines, expect.lines, "{name}: lines");
        assert_eq!(outcome.due.0, expect.due, "{name}: due");
        if let Some(gross) = expect.gross {
            assert_eq!(outcome.gross.0, gross, "{name}: gross");
        }
        let mut not_used: Vec<(String, String)> =
            outcome.not_used.iter().map(|told| (told.benefit.clone(), told.code.clone())).collect();
        not_used.sort();
        let mut expected = expect.not_used.clone();
        expected.sort();
        assert_eq!(not_used, expected, "{name}: not used");
        for sentence in &expect.says {
            let said = |told: &NotUsed| told.en.contains(sentence.as_str()) || told.zh.contains(sentence.as_str());
            let in_line = |line: &FeeLine| line.en.contains(sentence.as_str()) || line.zh.contains(sentence.as_str());
            let is_said = outcome.not_used.iter().any(said) || outcome.fee.lines.iter().any(in_line);
            assert!(is_said, "{name}: nobody says {sentence}: {:?} {:?}", outcome.not_used, outcome.fee.lines);
        }
        check_tenders(&name, expect, &outcome);
        check_rights(&name, expect, &outcome);
    }
}

fn check_tenders(name: &str, expect: &Expect, outcome: &Outcome) {
    let points = outcome.points.as_ref();
    if let Some(expected) = expect.points {
        assert_eq!(points.map_or(0, |offer| offer.points.0), expected, "{name}: points");
    }
    if let Some(cash) = expect.cash {
        assert_eq!(outcome.cash.0, cash, "{name}: cash");
    }
    if let Some(lots) = &expect.lots {
        let taken: Vec<(String, i64)> = points
            .map_or(Vec::new(), |offer| offer.lots.iter().map(|part| (part.lot.clone(), part.points.0)).collect());
        assert_eq!(&taken, lots, "{name}: lots");
    }
    if let Some(legs) = &expect.legs {
        let found: Vec<(String, String, i64)> =
            outcome.legs.iter().map(|leg| (leg.payer.clone(), leg.of.clone(), leg.fen.0)).collect();
        assert_eq!(&found, legs, "{name}: legs");
        assert!(outcome.legs.iter().all(|leg| leg.acceptor == ACCEPTOR));
    }
    if let Some(settled) = expect.settled {
        let sum: i64 = outcome.legs.iter().map(|leg| leg.settle_fen.0).sum();
        assert_eq!(sum, settled, "{name}: settled");
    }
    if let Some(earned) = expect.earned {
        assert_eq!(outcome.earned.as_ref().map_or(0, |earned| earned.points.0), earned, "{name}: earned");
    }
}

fn check_rights(name: &str, expect: &Expect, outcome: &Outcome) {
    if let Some(minutes) = &expect.minutes {
        let used: Vec<i64> = outcome.uses.iter().filter(|used| used.minutes > 0).map(|used| used.minutes).collect();
        assert_eq!(&used, minutes, "{name}: minutes used");
    }
    if let Some(zones) = &expect.zones {
        assert_eq!(&outcome.rights.zones, zones, "{name}: zones");
    }
    if let Some(used_up) = &expect.used_up {
        let used: Vec<&String> = outcome.uses.iter().map(|used| &used.benefit).collect();
        assert_eq!(used, used_up.iter().collect::<Vec<_>>(), "{name}: used up");
    }
    if let Some(grace) = expect.grace {
        assert_eq!(outcome.rights.grace_minutes, grace, "{name}: grace");
    }
    if let Some(greeting) = &expect.greeting {
        assert_eq!(outcome.rights.greeting.as_ref(), Some(greeting), "{name}: greeting");
    }
    if let Some(level) = &expect.price_level {
        assert_eq!(outcome.rights.price_level.as_ref(), Some(level), "{name}: price level");
    }
    assert_eq!(outcome.true_up, expect.true_up, "{name}: true up");
    assert_eq!(outcome.flags, expect.flags, "{name}: flags");
}

/// The outcome of one case. A fee is so much for each started unit, at most the cap.
fn reckon(file: &File, case: &Case) -> Outcome {
    let tariff = case.tariff.clone().unwrap_or_else(|| file.tariff.clone());
    let stay_seconds = case.facts.minutes * 60;
    let fee = move |free: i64| {
        let left = (stay_seconds - free).max(0);
        let units = (left + tariff.unit_minutes * 60 - 1) / (tariff.unit_minutes * 60);
        let fen = (units * tariff.unit_fen).min(tariff.cap_fen);
        let text = |what: &str| format!("{units} {what}");
        let line = FeeLine { rule: "unit".to_owned(), fen: Fen(fen), zh: text("个"), en: text("units") };
        Fee { total: Fen(fen), lines: vec![line], ..Fee::default() }
    };
    let rate = Rate {
        points: file.rate.points,
        fen: file.rate.fen,
        granularity: file.rate.granularity,
        cap_bps: file.rate.cap_bps,
        cap_fen_day: file.rate.cap_fen_day,
        min_cash: Fen(file.rate.min_cash_fen),
        rounds_up: file.rate.rounds_up,
    };
    let earn = EarnRate { fen: 100, points: 1 };
    let terms = Terms { table: &file.benefits, rate: &rate, earn: Some(&earn), fee: &fee, grace_minutes: 15 };
    evaluate(&terms, &case.facts())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    tariff: CaseTariff,
    #[serde(default)]
    rate: CaseRate,
    #[serde(default)]
    benefits: Table,
    case: Vec<Case>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseTariff {
    unit_minutes: i64,
    unit_fen: i64,
    #[serde(default = "no_cap")]
    cap_fen: i64,
}

fn no_cap() -> i64 {
    i64::MAX
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct CaseRate {
    points: i64,
    fen: i64,
    granularity: i64,
    cap_bps: u32,
    cap_fen_day: Option<i64>,
    min_cash_fen: i64,
    rounds_up: bool,
}

impl Default for CaseRate {
    fn default() -> Self {
        Self {
            points: 10,
            fen: 100,
            granularity: 10,
            cap_bps: 10_000,
            cap_fen_day: None,
            min_cash_fen: 0,
            rounds_up: false,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    row: String,
    name: String,
    tariff: Option<CaseTariff>,
    facts: CaseFacts,
    expect: Expect,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseFacts {
    minutes: i64,
    /// The exit by the wall clock.
    #[serde(default = "wednesday_noon")]
    at: DateTime,
    #[serde(default)]
    clock_doubtful: bool,
    #[serde(default)]
    places: BTreeSet<String>,
    #[serde(default)]
    no_plate: bool,
    tier: Option<String>,
    #[serde(default)]
    tier_age_h: i64,
    #[serde(default)]
    no_consent: bool,
    #[serde(default)]
    plans: BTreeMap<String, DateTime>,
    #[serde(default)]
    tags: BTreeSet<String>,
    birthday: Option<(i8, i8)>,
    #[serde(default)]
    earlier_vehicle: bool,
    blocked: Option<String>,
    #[serde(default)]
    coupons: Vec<CaseCoupon>,
    #[serde(default)]
    passes: Vec<(String, String, jiff::civil::Date)>,
    #[serde(default)]
    validations: Vec<CaseValidation>,
    #[serde(default)]
    spend_fen: i64,
    #[serde(default)]
    approved: BTreeSet<String>,
    #[serde(default)]
    stopped: Vec<String>,
    #[serde(default)]
    spent_elsewhere: BTreeMap<String, i64>,
    #[serde(default)]
    cloud_age_h: i64,
    #[serde(default)]
    cloud_never: bool,
    #[serde(default)]
    used: Vec<CaseUse>,
    #[serde(default)]
    paid_fen: i64,
    #[serde(default)]
    paid_by_points_fen: i64,
    paid_minutes_ago: Option<i64>,
    paid_seconds_ago: Option<i64>,
    #[serde(default)]
    lots: Vec<CaseLot>,
    wish: Option<i64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseCoupon {
    id: String,
    kind: String,
    merchant: Option<String>,
    /// Hours from the exit.
    from_h: Option<i64>,
    until_h: Option<i64>,
    #[serde(default = "claimed")]
    state: CouponState,
    #[serde(default)]
    not_shown: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseValidation {
    id: String,
    kind: String,
    merchant: String,
    operator: Option<String>,
    #[serde(default)]
    spend_fen: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseUse {
    benefit: String,
    class: String,
    #[serde(default = "wednesday")]
    day: jiff::civil::Date,
    #[serde(default)]
    minutes: i64,
    #[serde(default)]
    fen: i64,
    member: Option<String>,
    plate: Option<String>,
    merchant: Option<String>,
    operator: Option<String>,
    campaign: Option<String>,
    pass: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseLot {
    id: String,
    points: i64,
    #[serde(default = "purchase")]
    source: String,
    #[serde(default = "mall")]
    funder: String,
    #[serde(default = "whole")]
    settle_bps: u32,
    #[serde(default)]
    earned_h: i64,
    from_h: Option<i64>,
    until_h: Option<i64>,
    #[serde(default)]
    places: BTreeSet<String>,
    #[serde(default)]
    weekdays: BTreeSet<Weekday>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expect {
    gross: Option<i64>,
    #[serde(default)]
    lines: Vec<(String, i64)>,
    due: i64,
    #[serde(default)]
    not_used: Vec<(String, String)>,
    #[serde(default)]
    says: Vec<String>,
    points: Option<i64>,
    cash: Option<i64>,
    lots: Option<Vec<(String, i64)>>,
    legs: Option<Vec<(String, String, i64)>>,
    settled: Option<i64>,
    earned: Option<i64>,
    minutes: Option<Vec<i64>>,
    zones: Option<Vec<String>>,
    used_up: Option<Vec<String>>,
    grace: Option<u32>,
    greeting: Option<(String, String)>,
    price_level: Option<String>,
    #[serde(default)]
    true_up: bool,
    #[serde(default)]
    flags: Vec<String>,
}

const HOUR_MS: i64 = 3_600_000;
const MEMBER: &str = "M1";
const PLATE: &str = "沪A12345";

impl Case {
    fn facts(&self) -> Facts {
        let facts = &self.facts;
        let at = UtcMs(1_772_000_000_000);
        let hours = |hours: i64| UtcMs(at.0 + hours * HOUR_MS);
        let news = |id: &String| CampaignNews {
            stopped: facts.stopped.contains(id),
            spent_elsewhere: Fen(facts.spent_elsewhere.get(id).copied().unwrap_or(0)),
            share: None,
        };
        let mut used = Counters::default();
        facts.used.iter().for_each(|one| used.count(&one.used()));
        Facts {
            at,
            civil: facts.at,
            clock_trusted: !facts.clock_doubtful,
            places: facts.places.clone(),
            stay_seconds: facts.minutes * 60,
            plate: (!facts.no_plate).then(|| PLATE.to_owned()),
            member: facts.tier.as_ref().map(|tier| facts.member(tier)),
            blocked: facts.blocked.clone(),
            coupons: facts.coupons.iter().map(|coupon| coupon.held(&hours)).collect(),
            passes: facts
                .passes
                .iter()
                .map(|(id, kind, first_day)| HeldPass {
                    id: id.clone(),
                    kind: kind.clone(),
                    first_day: *first_day,
                    state: CouponState::ClaimedHere,
                })
                .collect(),
            validations: facts.validations.iter().map(CaseValidation::given).collect(),
            spend: Fen(facts.spend_fen),
            operator: None,
            approved: facts.approved.clone(),
            campaigns: facts
                .stopped
                .iter()
                .chain(facts.spent_elsewhere.keys())
                .map(|id| (id.clone(), news(id)))
                .collect(),
            cloud_age_ms: (!facts.cloud_never).then_some(facts.cloud_age_h * HOUR_MS),
            used,
            paid: Fen(facts.paid_fen),
            paid_by_points: Fen(facts.paid_by_points_fen),
            paid_at: (facts.paid_minutes_ago.map(|minutes| minutes * 60).or(facts.paid_seconds_ago))
                .map(|seconds| UtcMs(at.0 - seconds * 1000)),
            lots: facts.lots.iter().map(|lot| lot.lot(&hours)).collect(),
            points_wish: facts.wish.map(Points),
        }
    }
}

impl CaseFacts {
    fn member(&self, tier: &str) -> MemberFacts {
        MemberFacts {
            id: MemberId::from(MEMBER),
            consent: !self.no_consent,
            tier: tier.to_owned(),
            tier_age_ms: Some(self.tier_age_h * HOUR_MS),
            plans: self.plans.clone(),
            tags: self.tags.clone(),
            birthday: self.birthday,
            has_earlier_vehicle: self.earlier_vehicle,
        }
    }
}

impl CaseCoupon {
    fn held(&self, hours: &impl Fn(i64) -> UtcMs) -> HeldCoupon {
        HeldCoupon {
            id: self.id.clone(),
            kind: self.kind.clone(),
            merchant: self.merchant.clone(),
            from: self.from_h.map(hours),
            until: self.until_h.map(hours),
            state: self.state,
            shown: !self.not_shown,
        }
    }
}

impl CaseValidation {
    fn given(&self) -> Validation {
        Validation {
            id: self.id.clone(),
            kind: self.kind.clone(),
            merchant: self.merchant.clone(),
            operator: self.operator.clone(),
            spend: Fen(self.spend_fen),
            gives: None,
        }
    }
}

impl CaseUse {
    fn used(&self) -> Use {
        Use {
            source: if self.pass.is_some() { Source::Pass } else { Source::Entitlement },
            benefit: self.benefit.clone(),
            instance: self.pass.clone(),
            class: self.class.clone(),
            campaign: self.campaign.clone(),
            member: self.member.as_deref().map(MemberId::from),
            plate: self.plate.clone(),
            merchant: self.merchant.clone(),
            operator: self.operator.clone(),
            day: self.day,
            minutes: self.minutes,
            fen: Fen(self.fen),
        }
    }
}

impl CaseLot {
    fn lot(&self, hours: &impl Fn(i64) -> UtcMs) -> Lot {
        Lot {
            id: self.id.clone(),
            points: Points(self.points),
            source: self.source.clone(),
            funder: self.funder.clone(),
            settle_bps: self.settle_bps,
            earned: hours(self.earned_h),
            from: self.from_h.map(hours),
            until: self.until_h.map(hours),
            places: self.places.clone(),
            weekdays: self.weekdays.clone(),
        }
    }
}

/// 4 March 2026 was a Wednesday.
fn wednesday_noon() -> DateTime {
    jiff::civil::date(2026, 3, 4).at(12, 0, 0, 0)
}

fn wednesday() -> jiff::civil::Date {
    wednesday_noon().date()
}

fn claimed() -> CouponState {
    CouponState::ClaimedHere
}

fn purchase() -> String {
    "purchase".to_owned()
}

fn mall() -> String {
    "MALL".to_owned()
}

fn whole() -> u32 {
    10_000
}
