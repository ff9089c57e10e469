//! What must hold for every stay: the books close, nothing is negative, more benefits never cost more.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::super::*;
use crate::domain::event::{MemberId, UtcMs};
use crate::domain::tariff::{Fee, FeeLine};

/// Classes that exclude each other in every way, and one that goes with all.
const CLASSES: [&str; 4] = ["a", "b", "c", "d"];

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn the_books_close_and_nothing_is_negative(world in world()) {
        // `evaluate` itself asserts that lines, legs and signs are right; these are the sums that it does not see.
        let outcome = world.reckon();
        let by_benefits: i64 = outcome.uses.iter().filter(|used| used.source != Source::Points).map(|used| used.fen.0).sum();
        let graced: i64 = outcome.legs.iter().filter(|leg| leg.of == "grace").map(|leg| leg.fen.0).sum();
        prop_assert_eq!(outcome.gross.0 - by_benefits - graced, outcome.fee.total.0);
        let by_points = outcome.points.as_ref().map_or(0, |offer| offer.fen.0);
        prop_assert_eq!(outcome.due.0 - by_points, outcome.cash.0);
        if let Some(offer) = &outcome.points {
            prop_assert_eq!(offer.points.0, offer.lots.iter().map(|part| part.points.0).sum::<i64>());
            prop_assert_eq!(offer.fen.0, offer.lots.iter().map(|part| part.fen.0).sum::<i64>());
            prop_assert!(offer.lots.iter().all(|part| part.points.0 > 0 && part.fen.0 >= 0));
            // The share is one of the whole fee, of which a part may be paid.
            let whole = outcome.due.0 + world.facts.paid.0;
            let most = outcome.due.0.min(whole * i64::from(world.rate.cap_bps) / 10_000);
            prop_assert!(offer.fen.0 <= most);
            prop_assert_eq!(offer.points.0 % world.rate.granularity, 0);
        }
        let visit = world.table.cap_fen_visit.unwrap_or(i64::MAX);
        prop_assert!(by_benefits <= visit);
    }

    #[test]
    fn the_same_facts_in_another_order_give_the_same_bytes(world in world(), turn in 0_usize..7) {
        let mut turned = world.clone();
        let by = turn % turned.facts.coupons.len().max(1);
        turned.facts.coupons.rotate_left(by);
        turned.facts.validations.reverse();
        turned.facts.lots.reverse();
        prop_assert_eq!(world.reckon(), turned.reckon());
    }

    #[test]
    fn one_more_benefit_never_raises_what_is_due(world in world(), more in coupon()) {
        let before = world.reckon();
        let mut with = world.clone();
        with.facts.coupons.push(HeldCoupon { id: "more".to_owned(), ..more });
        let after = with.reckon();
        prop_assert!(after.due <= before.due, "{} became {}: {:?}", before.due.0, after.due.0, after.fee.lines);
    }

    #[test]
    fn no_used_benefit_could_have_been_kept(mut world in world()) {
        // After a payment nothing more may be due anyway; what the payment rested on stays used.
        (world.facts.paid, world.facts.paid_at) = (Fen(0), None);
        let outcome = world.reckon();
        for used in outcome.uses.iter().filter(|used| used.source == Source::Coupon) {
            let mut without = world.clone();
            without.facts.coupons.retain(|coupon| Some(&coupon.id) != used.instance.as_ref());
            // Another coupon may step in; the one that was used then at least kept that one for the driver.
            let kept = without.reckon();
            let stepped_in = kept.uses.iter().any(|other| !outcome.uses.iter().any(|was| was.instance == other.instance));
            prop_assert!(kept.due > outcome.due || stepped_in || kept.uses.len() >= outcome.uses.len(), "{used:?}");
        }
    }

    #[test]
    fn a_refund_in_any_parts_takes_back_what_a_refund_at_once_does(
        basket in 1_i64..1_000_000, cuts in proptest::collection::vec(1_i64..200_000, 0..8), rate in earn_rate(),
        before in 0_i64..1_000_000,
    ) {
        let before = before % rate.fen;
        let whole = earn(&rate, Fen(basket), before);
        let mut left = basket;
        let (mut taken_back, mut remainder) = (0, whole.remainder);
        let mut was = whole.clone();
        for cut in cuts.into_iter().chain([i64::MAX]) {
            left -= cut.min(left);
            // Re-quoted with the remainder that was stored with the sale.
            let is = earn(&rate, Fen(left), before);
            taken_back += was.points.0 - is.points.0;
            remainder += is.remainder - was.remainder;
            was = is;
        }
        prop_assert_eq!(taken_back, whole.points.0);
        prop_assert_eq!(remainder, before);
    }

    #[test]
    fn a_sum_earns_the_same_however_it_is_cut(parts in proptest::collection::vec(0_i64..100_000, 1..9), rate in earn_rate()) {
        let mut remainder = 0;
        let mut earned = 0;
        for part in &parts {
            let one = earn(&rate, Fen(*part), remainder);
            (earned, remainder) = (earned + one.points.0, one.remainder);
        }
        let whole = earn(&rate, Fen(parts.iter().sum()), 0);
        prop_assert_eq!((earned, remainder), (whole.points.0, whole.remainder));
    }
}

/// The basket of ¥21.90 that is returned in five parts; 1 point for every ¥10.
#[test]
fn the_published_refund_in_five_parts() {
    let rate = EarnRate { fen: 1000, points: 1 };
    let mut left = 2190;
    let mut taken = Vec::new();
    for part in [500, 500, 500, 500, 190] {
        let was = earn(&rate, Fen(left), 0).points.0;
        left -= part;
        taken.push(was - earn(&rate, Fen(left), 0).points.0);
    }
    assert_eq!(taken, [1, 0, 1, 0, 0]);
}

#[derive(Clone, Debug)]
struct World {
    table: Table,
    rate: Rate,
    unit_minutes: i64,
    unit_fen: i64,
    facts: Facts,
}

impl World {
    fn reckon(&self) -> Outcome {
        let fee = |free: i64| {
            let left = (self.facts.stay_seconds - free).max(0);
            let unit = self.unit_minutes * 60;
            let fen = Fen((left + unit - 1) / unit * self.unit_fen);
            let line = FeeLine { rule: "unit".to_owned(), fen, zh: String::new(), en: String::new() };
            Fee { total: fen, lines: vec![line], ..Fee::default() }
        };
        let earn = EarnRate { fen: 300, points: 2 };
        let terms = Terms { table: &self.table, rate: &self.rate, earn: Some(&earn), fee: &fee, grace_minutes: 15 };
        evaluate(&terms, &self.facts)
    }
}

fn plain_world() -> World {
    let member = MemberFacts {
        id: MemberId::from("M1"),
        consent: true,
        tier: "gold".to_owned(),
        tier_age_ms: None,
        plans: BTreeMap::new(),
        tags: BTreeSet::new(),
        birthday: None,
        has_earlier_vehicle: false,
    };
    World {
        table: Table::default(),
        rate: Rate {
            points: 10,
            fen: 100,
            granularity: 10,
            cap_bps: 10_000,
            cap_fen_day: None,
            min_cash: Fen(0),
            rounds_up: false,
        },
        unit_minutes: 60,
        unit_fen: 500,
        facts: Facts {
            at: UtcMs(1_772_000_000_000),
            civil: jiff::civil::date(2026, 3, 4).at(12, 0, 0, 0),
            clock_trusted: true,
            places: BTreeSet::new(),
            stay_seconds: 0,
            plate: Some("P".to_owned()),
            member: Some(member),
            blocked: None,
            coupons: Vec::new(),
            passes: Vec::new(),
            validations: Vec::new(),
            spend: Fen(0),
            operator: None,
            approved: BTreeSet::new(),
            campaigns: BTreeMap::new(),
            cloud_age_ms: Some(0),
            used: Counters::default(),
            paid: Fen(0),
            paid_by_points: Fen(0),
            paid_at: None,
            lots: Vec::new(),
            points_wish: None,
        },
    }
}

fn lot(id: &str, points: i64, until: Option<UtcMs>) -> Lot {
    Lot {
        id: id.to_owned(),
        points: Points(points),
        source: "purchase".to_owned(),
        funder: "MALL".to_owned(),
        settle_bps: 10_000,
        earned: UtcMs(0),
        from: None,
        until,
        places: BTreeSet::new(),
        weekdays: BTreeSet::new(),
    }
}

fn earn_rate() -> impl Strategy<Value = EarnRate> {
    (1_i64..2000, 0_i64..50).prop_map(|(fen, points)| EarnRate { fen, points })
}

fn coupon() -> impl Strategy<Value = HeldCoupon> {
    (0_usize..8, proptest::option::of(1_i64..1000)).prop_map(|(kind, until)| HeldCoupon {
        id: String::new(),
        kind: format!("k{kind}"),
        merchant: None,
        from: None,
        until: until.map(|hours| UtcMs(1_772_000_000_000 + hours * 3_600_000)),
        state: CouponState::ClaimedHere,
        shown: true,
    })
}

fn give() -> impl Strategy<Value = Give> {
    prop_oneof![
        (1_u32..200).prop_map(Give::Minutes),
        (1_u32..100).prop_map(Give::FirstMinutes),
        (1_i64..3000).prop_map(Give::Fen),
        (1_u32..10_000).prop_map(Give::PercentBps),
        (0_i64..3000).prop_map(Give::FixedPriceFen),
        Just(Give::Full),
    ]
}

fn table() -> impl Strategy<Value = Table> {
    let kinds = proptest::collection::vec((give(), 0..CLASSES.len()), 8);
    let deny = proptest::collection::vec((0..CLASSES.len(), 0..CLASSES.len()), 0..4);
    let limits = proptest::collection::vec(
        (0..CLASSES.len(), proptest::option::of(0_i64..3), proptest::option::of(0_i64..3000)),
        0..3,
    );
    let cap = proptest::option::of(0_i64..5000);
    (kinds, deny, limits, cap).prop_map(|(kinds, deny, limits, cap_fen_visit)| {
        let coupons = kinds.into_iter().enumerate().map(|(n, (give, class))| coupon_kind(n, give, CLASSES[class]));
        let limits = limits.into_iter().enumerate().map(|(n, (class, max_uses, max_fen))| Limit {
            id: format!("l{n}"),
            on: Dimension::Plate,
            benefits: Vec::new(),
            classes: vec![CLASSES[class].to_owned()],
            lot_sources: Vec::new(),
            window: Window::Day,
            max_uses,
            max_fen: max_fen.or(max_uses.is_none().then_some(700)),
            max_minutes: None,
            beyond: Beyond::Deny,
        });
        let name = |class: usize| CLASSES[class].to_owned();
        Table {
            cap_fen_visit,
            stacking: Stacking { deny: deny.into_iter().map(|(a, b)| (name(a), name(b))).collect() },
            coupons: coupons.collect(),
            limits: limits.collect(),
            ..Table::default()
        }
    })
}

fn coupon_kind(n: usize, give: Give, class: &str) -> CouponKind {
    CouponKind {
        id: format!("k{n}"),
        zh: "券".to_owned(),
        en: "coupon".to_owned(),
        when: When::default(),
        merchants: Vec::new(),
        give,
        class: class.to_owned(),
        funder: Some(format!("F{n}")),
        campaign: None,
        automatic: false,
        offline_risk_fen: 0,
    }
}

fn world() -> impl Strategy<Value = World> {
    let coupons = proptest::collection::vec(coupon(), 0..5);
    let lots = proptest::collection::vec((1_i64..400, proptest::option::of(1_i64..9)), 0..4);
    let rate = (1_i64..30, 1_i64..200, 1_i64..20, 1_u32..=10_000);
    let stay = (0_i64..1500, 1_i64..120, 1_i64..1500, 0_i64..2000, proptest::option::of(0_i64..40));
    (table(), coupons, lots, rate, stay).prop_map(|(table, coupons, lots, rate, stay)| {
        let mut world = plain_world();
        world.table = table;
        (world.rate.points, world.rate.fen, world.rate.granularity, world.rate.cap_bps) = rate;
        let (minutes, unit_minutes, unit_fen, paid, ago) = stay;
        (world.unit_minutes, world.unit_fen) = (unit_minutes, unit_fen);
        world.facts.stay_seconds = minutes * 60;
        world.facts.paid_at = ago.map(|minutes| UtcMs(world.facts.at.0 - minutes * 60_000));
        world.facts.paid = Fen(if ago.is_some() { paid } else { 0 });
        let named = coupons.into_iter().enumerate().map(|(n, coupon)| HeldCoupon { id: format!("c{n}"), ..coupon });
        world.facts.coupons = named.collect();
        let at = world.facts.at;
        let until = |hours: i64| UtcMs(at.0 + hours * 3_600_000);
        let lots = lots.into_iter().enumerate();
        world.facts.lots = lots.map(|(n, (points, hours))| lot(&format!("L{n}"), points, hours.map(until))).collect();
        world
    })
}
