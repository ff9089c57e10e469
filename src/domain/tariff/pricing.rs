//! From a question to numbers: which tariff counts which part of the stay, what benefits take off, what grace forgives.

use std::collections::BTreeSet;
use std::ops::Range;

use super::calendar::{Calendar, DAY_S};
use super::meter::{Count, meter};
use super::plan::Plan;
use super::run::{Run, Scale, charged_until};
use super::terms::{FreeVisits, InnerLot, Multiply, OuterClock, StayClock, Tariff};
use super::{CapUse, Fee, Fen, Question};

/// The longest stay that is charged, ten years: only a wrong clock makes a longer one, and no product of it overflows.
const STAY_SECONDS_MAX: i64 = 3650 * DAY_S;
/// The first and the last second that a stay may begin in, the years 1970 to 9999: only a wrong clock is outside.
const ENTRY_S: std::ops::RangeInclusive<i64> = 0..=253_402_300_799;
/// The most bays that one vehicle takes up: a road train's.
const BAYS_MAX: u32 = 20;
/// The most parts of a stay that are looked at: a vehicle that goes in and out of an inner lot all day.
const PARTS_MAX: usize = 64;
/// The most tariffs and inner lots of a bundle.
const TARIFFS_MAX: usize = 64;

/// All tariffs of a site, with its calendar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tariffs {
    /// Zone, holidays, moved working days.
    pub calendar: Calendar,
    pub(super) lots: Vec<InnerLot>,
    pub(super) plans: Vec<Plan>,
}

/// What a question comes to, as numbers.
#[derive(Clone, Debug)]
pub struct Priced<'a> {
    /// The car park's own count first, then one for each part in an inner lot.
    pub metered: Vec<Metered<'a>>,
    /// The total before benefits.
    pub gross: i64,
    /// The total after each time benefit in turn.
    pub lowered: Vec<i64>,
    /// What grace after a payment forgives.
    pub grace: i64,
    /// What there is to pay in all, with what has been paid.
    pub total: i64,
    /// The length of the stay in seconds.
    pub seconds: i64,
}

/// One part of a stay and its count.
#[derive(Clone, Debug)]
pub struct Metered<'a> {
    /// The tariff.
    pub plan: &'a Plan,
    /// The inner lot, where it is one.
    pub lot: Option<&'a str>,
    /// The class's factor and the bays.
    pub scale: Scale,
    /// What was counted.
    pub count: Count,
    /// How long the vehicle was there.
    pub seconds: i64,
}

/// What is wrong with a set of tariffs, and where in the text.
pub type BadTariffs = (Range<usize>, String);

impl Tariffs {
    /// Takes the tariffs of a bundle, or says which contradicts itself.
    pub fn of(calendar: Calendar, lots: Vec<InnerLot>, tariffs: Vec<Tariff>) -> Result<Self, BadTariffs> {
        if tariffs.len().max(lots.len()) > TARIFFS_MAX {
            return Err((
                0..0,
                format!("{} tariffs and {} lots; allowed are {TARIFFS_MAX}", tariffs.len(), lots.len()),
            ));
        }
        let mut names = BTreeSet::new();
        for lot in &lots {
            if !names.insert(lot.id.get_ref().clone()) {
                return Err((lot.id.span(), format!("two lots have the id {}", lot.id.get_ref())));
            }
        }
        let mut plans: Vec<Plan> = Vec::new();
        for tariff in tariffs {
            let (id, span) = (tariff.id.get_ref().clone(), tariff.id.span());
            let wrong = |text: String| (span.clone(), format!("tariff {id}: {text}"));
            if let Some(zone) = tariff.zones.iter().find(|zone| !names.contains(*zone)) {
                return Err(wrong(format!("there is no [[zones]] with the id {zone}")));
            }
            if plans.iter().any(|plan| plan.id() == id) {
                return Err(wrong("two tariffs have this id".to_owned()));
            }
            plans.push(Plan::of(tariff).map_err(wrong)?);
        }
        let tariffs = Self { calendar, lots, plans };
        for lot in std::iter::once(None).chain(names.iter().map(|name| Some(name.as_str()))) {
            if !tariffs.plans.iter().any(|plan| plan.holds_in(lot) && plan.tariff.classes.is_empty()) {
                let of = lot.map_or("of the car park itself".to_owned(), |lot| format!("of the lot {lot}"));
                return Err((0..0, format!("no tariff {of} is for every class; one without `classes` is needed")));
            }
        }
        Ok(tariffs)
    }

    /// How long a driver who has paid may take to the exit, in minutes.
    pub fn grace_minutes(&self, question: &Question) -> u32 {
        u32::try_from(self.plan_for(None, question).0.tariff.grace_minutes.0).unwrap_or(0)
    }

    /// The tariffs, as they are written.
    pub fn written(&self) -> impl Iterator<Item = &Tariff> {
        self.plans.iter().map(|plan| &plan.tariff)
    }

    /// The inner lots.
    pub fn lots(&self) -> impl Iterator<Item = &InnerLot> {
        self.lots.iter()
    }

    /// The inner lot of that name.
    pub fn lot(&self, name: &str) -> Option<&InnerLot> {
        self.lots.iter().find(|lot| lot.id.get_ref() == name)
    }

    /// The numbers for a question.
    pub fn price(&self, question: &Question) -> Priced<'_> {
        let entry = question.entry.0.div_euclid(1000).clamp(*ENTRY_S.start(), *ENTRY_S.end());
        let seconds = (question.exit.0.saturating_sub(question.entry.0) / 1000).clamp(0, STAY_SECONDS_MAX);
        let (plan, scale) = self.plan_for(None, question);
        let prior = self.prior(plan, question);
        let parts = if question.zones.is_empty() { Vec::new() } else { self.parts(question, entry, entry + seconds) };
        let pauses: Vec<(i64, i64)> =
            parts.iter().filter(|part| part.pauses_outer).map(|part| (part.from, part.to)).collect();
        let mut lots = vec![(plan, None, scale)];
        let mut runs = vec![Run { prior: &prior, pauses: &pauses, ..self.run(plan, question, scale, entry, seconds) }];
        for part in &parts {
            let (plan, scale) = self.plan_for(Some(part.zone), question);
            lots.push((plan, Some(part.zone), scale));
            runs.push(self.run(plan, question, scale, part.from, part.to - part.from));
        }
        let counts: Vec<Count> = runs.iter().map(|run| meter(*run)).collect();
        let count_of = |counts: &[Count]| {
            let amounts = counts.iter().zip(&lots).map(|(count, (plan, _, scale))| {
                let total = count.tally.total();
                if plan.tariff.multiply == Multiply::Total { scale.of(total) } else { total }
            });
            amounts.sum::<i64>()
        };
        let gross = count_of(&counts);
        let mut lowered: Vec<i64> = Vec::new();
        let mut taken = 0_i64;
        for benefit in &question.free {
            taken = taken.saturating_add(benefit.seconds.max(0));
            let from = charged_until(&runs, taken);
            let rest: Vec<Count> =
                runs.iter().map(|run| meter(Run { charge_from: from.max(run.entry), ..*run })).collect();
            // A benefit that would move a unit into a dearer hour is not used: it never raises a fee.
            lowered.push(count_of(&rest).min(lowered.last().copied().unwrap_or(gross)));
        }
        let metered = lots.into_iter().zip(counts).zip(&runs).map(|(((plan, lot, scale), count), run)| Metered {
            plan,
            lot,
            scale,
            count,
            seconds: run.exit - run.entry,
        });
        let metered: Vec<Metered<'_>> = metered.collect();
        let fee = lowered.last().copied().unwrap_or(gross);
        let grace = grace(plan, question, fee);
        Priced { metered, gross, lowered, grace, total: fee - grace, seconds }
    }

    /// The total for a question.
    pub fn total(&self, question: &Question) -> Fen {
        Fen(self.price(question).total)
    }

    /// The answer to a question.
    pub fn fee(&self, question: &Question) -> Fee {
        super::words::fee(question, &self.price(question))
    }

    /// What an earlier visit used of the shared caps, where only its whole charge is known.
    pub fn shared_caps(&self, visit: &Question, fen: Fen) -> Vec<CapUse> {
        let (plan, _) = self.plan_for(None, visit);
        let day = self.calendar.zone.local(visit.exit.0.div_euclid(1000)).div_euclid(DAY_S);
        let day = i32::try_from(day).unwrap_or(i32::MAX);
        let shared = plan.tariff.caps.iter().zip(&plan.cap_rules).filter(|(cap, _)| cap.shared);
        shared.map(|(_, rule)| CapUse { rule: rule.clone(), day, fen }).collect()
    }

    /// Whether any fee depends on earlier visits of the same plate.
    pub fn look_back(&self) -> bool {
        let shares = |tariff: &Tariff| tariff.caps.iter().any(|cap| cap.shared);
        let counts = |tariff: &Tariff| tariff.free.is_some_and(|free| free.visits == FreeVisits::FirstOfDay);
        self.written().any(|tariff| shares(tariff) || counts(tariff))
    }

    fn run<'a>(&'a self, plan: &'a Plan, question: &Question, scale: Scale, entry: i64, seconds: i64) -> Run<'a> {
        let seconds = match plan.tariff.clock {
            StayClock::Seconds => seconds,
            StayClock::StartedMinutes => (seconds + 59) / 60 * 60,
            StayClock::WholeMinutes => seconds / 60 * 60,
        };
        Run {
            plan,
            calendar: &self.calendar,
            entry,
            exit: entry + seconds,
            pauses: &[],
            charge_from: entry,
            has_free: self.has_free(plan, question, entry),
            scale: match plan.tariff.multiply {
                Multiply::Total => Scale::ONE,
                Multiply::Units => scale,
            },
            prior: &[],
        }
    }

    /// The tariff that a vehicle of the question's class pays in a lot, and its factor.
    fn plan_for(&self, lot: Option<&str>, question: &Question) -> (&Plan, Scale) {
        let bays = i64::from(question.bays.clamp(1, BAYS_MAX));
        let of_lot = || self.plans.iter().filter(move |plan| plan.holds_in(lot));
        if let Some(plan) = of_lot().find(|plan| plan.tariff.classes.contains(&question.class)) {
            return (plan, Scale { bays, ..Scale::ONE });
        }
        for plan in of_lot() {
            if let Some(factor) = plan.tariff.multipliers.iter().find(|factor| factor.class == question.class) {
                return (plan, Scale { bps: factor.bps.0, round: factor.round, bays });
            }
        }
        let plan = of_lot().find(|plan| plan.tariff.classes.is_empty());
        (plan.expect("a bundle without a tariff for every class is refused"), Scale { bays, ..Scale::ONE })
    }

    fn has_free(&self, plan: &Plan, question: &Question, entry: i64) -> bool {
        let Some((_, free)) = plan.free() else { return false };
        match free.visits {
            FreeVisits::Each => true,
            FreeVisits::FirstOfDay => {
                let day = self.calendar.zone.local(entry).div_euclid(DAY_S);
                let left = |exit_ms: i64| self.calendar.zone.local(exit_ms.div_euclid(1000)).div_euclid(DAY_S);
                !question.prior.iter().any(|visit| left(visit.exit.0) >= day)
            }
        }
    }

    fn prior(&self, plan: &Plan, question: &Question) -> Vec<(usize, i64, i64)> {
        let uses = question.prior.iter().flat_map(|visit| &visit.caps);
        uses.filter_map(|used| {
            let cap = plan.cap_rules.iter().position(|rule| *rule == used.rule)?;
            plan.tariff.caps[cap].shared.then_some((cap, i64::from(used.day), used.fen.0.max(0)))
        })
        .collect()
    }

    /// The parts of a stay in inner lots that there are, in order and apart from each other.
    fn parts(&self, question: &Question, entry: i64, exit: i64) -> Vec<Part<'_>> {
        let mut parts: Vec<Part<'_>> = Vec::new();
        let mut given: Vec<_> = question.zones.iter().take(PARTS_MAX).collect();
        given.sort_by_key(|part| (part.from, part.to));
        let mut after = entry;
        for part in given {
            let Some(lot) = self.lots.iter().find(|lot| *lot.id.get_ref() == part.zone) else { continue };
            let (from, to) = (part.from.0.div_euclid(1000).max(after), part.to.0.div_euclid(1000).min(exit));
            if from < to {
                let pauses_outer = lot.outer == OuterClock::Paused;
                parts.push(Part { zone: lot.id.get_ref(), from, to, pauses_outer });
                after = to;
            }
        }
        parts
    }
}

/// A part of a stay in an inner lot.
struct Part<'a> {
    zone: &'a str,
    from: i64,
    to: i64,
    pauses_outer: bool,
}

impl Plan {
    /// Whether the tariff is one of a lot's; `None` is the car park itself.
    pub fn holds_in(&self, lot: Option<&str>) -> bool {
        match lot {
            None => self.tariff.zones.is_empty(),
            Some(lot) => self.tariff.zones.iter().any(|zone| zone == lot),
        }
    }
}

/// What leaving soon after paying forgives.
fn grace(plan: &Plan, question: &Question, fee: i64) -> i64 {
    let grace_ms = plan.tariff.grace_minutes.0 * 60_000;
    let is_in_time = question.paid_at.is_some_and(|paid_at| question.exit.0 <= paid_at.0.saturating_add(grace_ms));
    if is_in_time { (fee - question.paid.0.max(0)).max(0) } else { 0 }
}
