//! Which of the benefits that a stay may have are used, in which order, and how much each takes off.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use super::bounds::{Bound, Room};
use super::eligible::Candidate;
use super::reason::{NotUsed, Reason};
use super::table::{Give, Order, Table};

/// Of benefits that exclude each other so many are weighed in every combination, 256 of them; more than a driver shows
/// at a barrier. Further ones are tried one by one, the best first.
const WEIGHED_MAX: usize = 8;

/// What a fee becomes when so many seconds of the stay cost nothing, in fen.
pub(super) type PriceOf<'a> = &'a dyn Fn(i64) -> i64;

/// The fee of a stay and how it falls with free time.
pub(super) struct Price<'a> {
    pub of_free: PriceOf<'a>,
    pub stay_seconds: i64,
    known: RefCell<BTreeMap<i64, i64>>,
}

impl<'a> Price<'a> {
    pub fn new(of_free: PriceOf<'a>, stay_seconds: i64) -> Self {
        Self { of_free, stay_seconds, known: RefCell::new(BTreeMap::new()) }
    }

    /// Asked once for each length of free time.
    fn with_free(&self, seconds: i64) -> i64 {
        *self.known.borrow_mut().entry(seconds).or_insert_with(|| (self.of_free)(seconds))
    }
}

/// One benefit in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// Its place among the candidates.
    pub candidate: usize,
    /// Free time that it gave, in seconds.
    pub seconds: i64,
    /// What it takes off, in fen.
    pub fen: i64,
    /// The bound that kept it from taking off more.
    pub bound_by: Option<usize>,
}

impl Step {
    /// A use that takes nothing off.
    pub const NOTHING: Self = Self { candidate: 0, seconds: 0, fen: 0, bound_by: None };
}

/// What is used, and what is left to pay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    pub steps: Vec<Step>,
    /// Free time in all, in seconds.
    pub seconds: i64,
    /// What is left of the fee, in fen.
    pub left: i64,
    /// Candidates that a bound refused altogether, and which one.
    refused: Vec<(usize, usize)>,
}

impl Plan {
    fn seconds_of(&self, candidate: usize) -> i64 {
        self.steps.iter().find(|step| step.candidate == candidate).map_or(0, |step| step.seconds)
    }
}

/// A choice among candidates.
pub(super) struct Choice<'a> {
    pub table: &'a Table,
    pub candidates: &'a [Candidate<'a>],
    pub bounds: &'a [Bound],
    pub price: &'a Price<'a>,
}

impl Choice<'_> {
    /// The plan to use, and why each other candidate is not in it.
    pub fn make(&self) -> (Plan, Vec<NotUsed>) {
        let order = self.order();
        let chosen = match self.table.order {
            Order::Declared => self.first_come(&order),
            Order::BestFirst => self.cheapest(&order),
        };
        let lean = self.without_idle(chosen.clone());
        let plan = self.reckon(&lean);
        let told = self.why_not(&order, &chosen, &plan);
        (plan, told)
    }

    /// All candidates in the order of use: time before amounts; then the best alone, and of equals the one that expires
    /// first; or as declared. The place of one does not depend on the others.
    fn order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.candidates.len()).collect();
        let rank = |index: &usize| {
            let candidate = &self.candidates[*index];
            let alone = match self.table.order {
                Order::Declared => 0,
                Order::BestFirst => self.reckon(&[*index]).left,
            };
            let until = candidate.until.map_or(i64::MAX, |until| until.0);
            (!candidate.is_time(), alone, candidate.source, until, *index)
        };
        order.sort_by_cached_key(rank);
        order
    }

    /// Takes each in the declared order unless one before it stands against it.
    fn first_come(&self, order: &[usize]) -> Vec<usize> {
        let mut declared = order.to_vec();
        declared.sort_unstable();
        let mut chosen: BTreeSet<usize> = BTreeSet::new();
        for candidate in declared {
            chosen.insert(candidate);
            if !self.is_allowed(&in_order(order, &chosen)) {
                chosen.remove(&candidate);
            }
        }
        in_order(order, &chosen)
    }

    /// Weighs the combinations of those that exclude each other; all others are used anyway.
    fn cheapest(&self, order: &[usize]) -> Vec<usize> {
        let contested: Vec<usize> = order.iter().copied().filter(|c| self.is_contested(*c)).collect();
        let (weighed, tried) = contested.split_at(contested.len().min(WEIGHED_MAX));
        let free: BTreeSet<usize> = order.iter().copied().filter(|c| !contested.contains(c)).collect();
        let mut best: Option<(i64, u32, Vec<usize>)> = None;
        for mask in 0_u32..1 << weighed.len() {
            let mut chosen = free.clone();
            chosen.extend(weighed.iter().enumerate().filter(|(n, _)| mask >> n & 1 == 1).map(|(_, c)| *c));
            let chosen = in_order(order, &chosen);
            if !self.is_allowed(&chosen) {
                continue;
            }
            let found = (self.reckon(&chosen).left, mask.count_ones(), chosen);
            if best.as_ref().is_none_or(|best| (found.0, found.1) < (best.0, best.1)) {
                best = Some(found);
            }
        }
        let mut chosen: BTreeSet<usize> = best.map_or(free, |(_, _, chosen)| chosen.into_iter().collect());
        for candidate in tried {
            let before = self.reckon(&in_order(order, &chosen)).left;
            chosen.insert(*candidate);
            let with = in_order(order, &chosen);
            if !self.is_allowed(&with) || self.reckon(&with).left >= before {
                chosen.remove(candidate);
            }
        }
        in_order(order, &chosen)
    }

    /// Leaves out, from the last to the first, what changes nothing: a coupon is not used up for nothing. But free time
    /// of one is not kept by using up more of another's, where that one's minutes are counted.
    fn without_idle(&self, mut chosen: Vec<usize>) -> Vec<usize> {
        let mut plan = self.reckon(&chosen);
        for place in (0..chosen.len()).rev() {
            let mut fewer = chosen.clone();
            fewer.remove(place);
            let without = self.reckon(&fewer);
            let uses_more =
                |step: &Step| self.is_counted(step.candidate) && plan.seconds_of(step.candidate) < step.seconds;
            if without.left <= plan.left && !without.steps.iter().any(uses_more) {
                (chosen, plan) = (fewer, without);
            }
        }
        chosen
    }

    /// Whether the minutes of a candidate are a stock that they use up.
    fn is_counted(&self, candidate: usize) -> bool {
        let is_bound = |bound: &Bound| bound.covers(candidate) && bound.minutes.is_some();
        self.candidates[candidate].minutes_left.is_some() || self.bounds.iter().any(is_bound)
    }

    /// Whether a candidate cannot simply be used beside all others.
    fn is_contested(&self, candidate: usize) -> bool {
        let class = self.candidates[candidate].class;
        let is_denied = (0..self.candidates.len())
            .any(|other| other != candidate && self.table.denies(class, self.candidates[other].class));
        is_denied || self.bounds.iter().any(|bound| bound.covers(candidate) && self.is_short(bound))
    }

    /// Whether a bound may not have room for everything that it covers.
    fn is_short(&self, bound: &Bound) -> bool {
        let covered: Vec<usize> = (0..self.candidates.len()).filter(|candidate| bound.covers(*candidate)).collect();
        if bound.is_whole || bound.uses.is_some_and(|uses| uses < bound.count(&covered)) {
            return true;
        }
        if covered.len() < 2 {
            return false;
        }
        let gross = self.price.with_free(0);
        let free = Choice { bounds: &[], ..*self };
        let (time, amounts): (Vec<usize>, Vec<usize>) = covered.iter().partition(|c| self.candidates[**c].is_time());
        // Time of several adds up before it is rounded; amounts never take more together than each alone.
        let most = gross - free.reckon(&time).left
            + amounts.iter().map(|candidate| gross - free.reckon(&[*candidate]).left).sum::<i64>();
        bound.fen.is_some_and(|fen| fen < most) || bound.minutes.is_some() && time.len() > 1
    }

    fn is_allowed(&self, chosen: &[usize]) -> bool {
        let class = |candidate: usize| self.candidates[candidate].class;
        let stack = chosen
            .iter()
            .enumerate()
            .all(|(n, a)| chosen[n + 1..].iter().all(|b| !self.table.denies(class(*a), class(*b))));
        let in_bounds = self.bounds.iter().all(|bound| bound.uses.is_none_or(|uses| bound.count(chosen) <= uses));
        stack && in_bounds
    }

    /// Reckons the chosen ones in their order.
    pub fn reckon(&self, chosen: &[usize]) -> Plan {
        let gross = self.price.with_free(0);
        let mut plan = Plan { left: gross, ..Plan::default() };
        let mut rooms: Vec<Room> = self.bounds.iter().map(Bound::room).collect();
        let mut price = gross;
        for index in chosen {
            let candidate = &self.candidates[*index];
            let wanted = self.seconds_of(candidate, plan.seconds);
            let seconds = rooms.iter().filter(|room| room.covers(*index)).fold(wanted, |s, room| room.seconds(s));
            let priced = self.price.with_free(plan.seconds + seconds);
            let raw = match candidate.give {
                Give::Minutes(_) | Give::FirstMinutes(_) => (price - priced).clamp(0, plan.left),
                Give::Fen(fen) => (*fen).min(plan.left),
                Give::PercentBps(bps) => percent(plan.left, *bps),
                Give::FixedPriceFen(fen) => (plan.left - fen).max(0),
                Give::Full => plan.left,
                Give::Zone(_)
                | Give::GraceMinutes(_)
                | Give::Greeting { .. }
                | Give::PriceLevel(_)
                | Give::Service(_)
                | Give::MultiplyBps(_) => 0,
            };
            let refusing = rooms.iter().position(|room| room.covers(*index) && room.refuses(raw));
            if let Some(bound) = refusing {
                plan.refused.push((*index, bound));
                continue;
            }
            let covering = rooms.iter().enumerate().filter(|(_, room)| room.covers(*index));
            let tightest = covering.filter(|(_, room)| room.fen(raw) < raw).min_by_key(|(_, room)| room.fen(raw));
            let (fen, bound_by) = tightest.map_or((raw, None), |(n, room)| (room.fen(raw), Some(n)));
            for room in rooms.iter_mut().filter(|room| room.covers(*index)) {
                room.take(seconds, fen);
            }
            (price, plan.seconds, plan.left) = (priced.min(price), plan.seconds + seconds, plan.left - fen);
            plan.steps.push(Step { candidate: *index, seconds, fen, bound_by });
        }
        plan
    }

    /// Free time that a candidate gives beside what is free already; never more than what is left of the stay.
    fn seconds_of(&self, candidate: &Candidate<'_>, free: i64) -> i64 {
        let wanted = match candidate.give {
            Give::Minutes(minutes) => i64::from(*minutes),
            Give::FirstMinutes(minutes) => i64::from(*minutes) - free / 60,
            Give::Fen(_)
            | Give::PercentBps(_)
            | Give::FixedPriceFen(_)
            | Give::Full
            | Give::Zone(_)
            | Give::GraceMinutes(_)
            | Give::Greeting { .. }
            | Give::PriceLevel(_)
            | Give::Service(_)
            | Give::MultiplyBps(_) => 0,
        };
        let allowed = candidate.minutes_left.map_or(wanted, |left| wanted.min(left));
        (allowed * 60).min(self.price.stay_seconds - free).max(0)
    }

    fn why_not(&self, order: &[usize], chosen: &[usize], plan: &Plan) -> Vec<NotUsed> {
        let used = |candidate: usize| plan.steps.iter().any(|step| step.candidate == candidate);
        let unused = order.iter().filter(|candidate| !used(**candidate));
        let mut told: Vec<NotUsed> =
            unused.map(|index| self.about(*index, self.reason(*index, order, chosen, plan))).collect();
        for step in &plan.steps {
            if let Some(bound) = step.bound_by {
                told.push(self.about(step.candidate, self.bounds[bound].reason.clone()));
            }
        }
        told
    }

    fn about(&self, index: usize, reason: Reason) -> NotUsed {
        reason.about(self.candidates[index].rule, self.candidates[index].instance)
    }

    /// What would have come of the candidate beside those that were chosen says why it was not.
    fn reason(&self, index: usize, order: &[usize], chosen: &[usize], plan: &Plan) -> Reason {
        let class = self.candidates[index].class;
        let mut against = plan.steps.iter().map(|step| &self.candidates[step.candidate]);
        if let Some(other) = against.find(|other| self.table.denies(class, other.class)) {
            return Reason::not_combinable(other.rule);
        }
        let mut all: BTreeSet<usize> = chosen.iter().copied().collect();
        all.insert(index);
        let with = self.reckon(&in_order(order, &all));
        let refused = with.refused.iter().map(|(_, bound)| *bound).find(|bound| self.bounds[*bound].covers(index));
        let step = with.steps.iter().find(|step| step.candidate == index);
        match refused.or(step.and_then(|step| step.bound_by)) {
            Some(bound) => self.bounds[bound].reason.clone(),
            None if with.left == plan.left => Reason::nothing_left(),
            None => Reason::cheaper_without(),
        }
    }
}

/// `chosen` in the order of use.
fn in_order(order: &[usize], chosen: &BTreeSet<usize>) -> Vec<usize> {
    order.iter().copied().filter(|candidate| chosen.contains(candidate)).collect()
}

/// A part in basis points, rounded down: the driver never pays less than the rule says, nor more than the fee.
fn percent(fen: i64, bps: u32) -> i64 {
    let part = i128::from(fen) * i128::from(bps.min(10_000)) / 10_000;
    i64::try_from(part).expect("a part of an amount is not more than the amount")
}
