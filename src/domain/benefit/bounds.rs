//! How much of which benefit is left: caps of a visit and a day, limits, budgets, the risk of an unclaimed coupon.

use std::collections::BTreeSet;

use super::budget::budget_left;
use super::eligible::Candidate;
use super::facts::{Facts, Source};
use super::reason::Reason;
use super::table::{Beyond, Dimension, Limit, Table, Window};
use crate::domain::event::Fen;

/// A bound on some of the candidates together.
#[derive(Clone, Debug)]
pub(super) struct Bound {
    /// Uses, fen and minutes that are left, each where it is bounded.
    pub uses: Option<i64>,
    pub fen: Option<i64>,
    pub minutes: Option<i64>,
    /// Whether what goes beyond is refused whole instead of being cut: somebody must agree to it.
    pub is_whole: bool,
    covered: BTreeSet<usize>,
    /// What a driver is told.
    pub reason: Reason,
}

impl Bound {
    pub fn covers(&self, candidate: usize) -> bool {
        self.covered.contains(&candidate)
    }

    /// How many of these it covers.
    pub fn count(&self, candidates: &[usize]) -> i64 {
        let covered = candidates.iter().filter(|candidate| self.covers(**candidate)).count();
        i64::try_from(covered).unwrap_or(i64::MAX)
    }

    /// The bound before anything is used.
    pub fn room(&self) -> Room<'_> {
        Room { bound: self, uses: 0, fen: 0, seconds: 0 }
    }
}

/// A bound while benefits are used.
pub(super) struct Room<'a> {
    bound: &'a Bound,
    uses: i64,
    fen: i64,
    seconds: i64,
}

impl Room<'_> {
    pub fn covers(&self, candidate: usize) -> bool {
        self.bound.covers(candidate)
    }

    /// Whether a benefit that would take off `fen` may not be used at all.
    pub fn refuses(&self, fen: i64) -> bool {
        let is_full = self.bound.uses.is_some_and(|uses| self.uses >= uses);
        is_full || self.bound.is_whole && self.fen(fen) < fen
    }

    /// What of `fen` may be taken off.
    pub fn fen(&self, fen: i64) -> i64 {
        self.bound.fen.map_or(fen, |bound| fen.min(bound - self.fen)).max(0)
    }

    /// What of `seconds` may be free.
    pub fn seconds(&self, seconds: i64) -> i64 {
        self.bound.minutes.map_or(seconds, |bound| seconds.min(bound * 60 - self.seconds)).max(0)
    }

    pub fn take(&mut self, seconds: i64, fen: i64) {
        self.uses += 1;
        self.fen += fen;
        self.seconds += seconds;
    }
}

/// A limit that was gone beyond, with leave: listed for staff.
pub(super) fn flagged(table: &Table, facts: &Facts, used: &[(&Candidate<'_>, i64, i64)]) -> Vec<String> {
    let over = |limit: &&Limit| {
        let candidates = used.iter().filter(|(candidate, ..)| counts(limit, candidate.class, candidate.rule));
        let whos: BTreeSet<&str> =
            candidates.clone().filter_map(|(candidate, ..)| who(limit.on, candidate, facts)).collect();
        whos.into_iter().any(|name| {
            let before = before(limit, name, facts);
            let mine = candidates.clone().filter(|(candidate, ..)| who(limit.on, candidate, facts) == Some(name));
            let (uses, seconds, fen) =
                mine.fold((0, 0, 0), |(n, s, f), (_, seconds, fen)| (n + 1, s + seconds, f + fen));
            limit.max_uses.is_some_and(|max| before.uses + uses > max)
                || limit.max_fen.is_some_and(|max| before.fen + fen > max)
                || limit.max_minutes.is_some_and(|max| before.minutes + seconds / 60 > max)
        })
    };
    let flags = table.limits.iter().filter(|limit| limit.beyond == Beyond::Flag && limit.lot_sources.is_empty());
    flags.filter(over).map(|limit| limit.id.clone()).collect()
}

/// Every bound that concerns the candidates.
pub(super) fn bounds(table: &Table, facts: &Facts, candidates: &[Candidate<'_>]) -> Vec<Bound> {
    let mut bounds = caps(table, facts, candidates.len());
    for limit in table.limits.iter().filter(|limit| limit.lot_sources.is_empty()) {
        bounds.extend(limit_bounds(limit, facts, candidates));
    }
    for campaign in &table.campaigns {
        let covered = places(candidates, |candidate| candidate.campaign == Some(campaign));
        if let Some(left) = budget_left(campaign, facts).filter(|_| !covered.is_empty()) {
            bounds.push(of_fen(left, covered, Reason::budget_spent(&campaign.id)));
        }
    }
    for (n, candidate) in candidates.iter().enumerate() {
        if let Some(ceiling) = candidate.ceiling {
            bounds.push(of_fen(ceiling, BTreeSet::from([n]), Reason::needs_claim()));
        }
    }
    let passes: BTreeSet<&str> = candidates
        .iter()
        .filter(|candidate| candidate.source == Source::Pass && candidate.uses_left.is_some())
        .filter_map(|candidate| candidate.instance)
        .collect();
    for pass in passes {
        let covered = places(candidates, |c| c.source == Source::Pass && c.instance == Some(pass));
        let uses = candidates.iter().filter(|c| c.instance == Some(pass)).filter_map(|c| c.uses_left).min();
        bounds.push(Bound { uses, fen: None, minutes: None, is_whole: false, covered, reason: Reason::coupon_used() });
    }
    bounds
}

fn caps(table: &Table, facts: &Facts, candidates: usize) -> Vec<Bound> {
    let all: BTreeSet<usize> = (0..candidates).collect();
    let today = facts.civil.date();
    let used_today = facts.plate.as_ref().map_or(0, |plate| {
        facts.used.sum(Dimension::Plate, plate, Window::Day, today, |class, _| class != super::points::CLASS).fen
    });
    let visit = table.cap_fen_visit.map(|cap| of_fen(cap, all.clone(), Reason::cap_reached(Fen(cap))));
    let day = table.cap_fen_day.map(|cap| of_fen(cap - used_today, all.clone(), Reason::cap_reached(Fen(cap))));
    visit.into_iter().chain(day).collect()
}

fn of_fen(fen: i64, covered: BTreeSet<usize>, reason: Reason) -> Bound {
    Bound { uses: None, fen: Some(fen.max(0)), minutes: None, is_whole: false, covered, reason }
}

/// One bound for each plate, member, merchant or operator that the limit counts for here.
fn limit_bounds(limit: &Limit, facts: &Facts, candidates: &[Candidate<'_>]) -> Vec<Bound> {
    let (is_whole, reason) = match limit.beyond {
        Beyond::Flag => return Vec::new(),
        Beyond::SecondApproval if facts.approved.contains(&limit.id) => return Vec::new(),
        Beyond::SecondApproval => (true, Reason::needs_approval(&limit.id)),
        Beyond::Deny => (false, Reason::limit_reached(limit)),
    };
    let counted = |candidate: &Candidate<'_>| counts(limit, candidate.class, candidate.rule);
    let whos: BTreeSet<&str> =
        candidates.iter().filter(|c| counted(c)).filter_map(|c| who(limit.on, c, facts)).collect();
    let bound = |name: &str| {
        let before = before(limit, name, facts);
        Bound {
            uses: limit.max_uses.map(|max| (max - before.uses).max(0)),
            fen: limit.max_fen.map(|max| (max - before.fen).max(0)),
            minutes: limit.max_minutes.map(|max| (max - before.minutes).max(0)),
            is_whole,
            covered: places(candidates, |c| counted(c) && who(limit.on, c, facts) == Some(name)),
            reason: reason.clone(),
        }
    };
    whos.into_iter().map(bound).collect()
}

/// Whether a limit counts a benefit.
pub(super) fn counts(limit: &Limit, class: &str, rule: &str) -> bool {
    if limit.benefits.is_empty() && limit.classes.is_empty() {
        return class != super::points::CLASS;
    }
    limit.benefits.iter().any(|name| name == rule) || limit.classes.iter().any(|name| name == class)
}

fn before(limit: &Limit, who: &str, facts: &Facts) -> super::facts::Count {
    facts.used.sum(limit.on, who, limit.window, facts.civil.date(), |class, rule| counts(limit, class, rule))
}

fn who<'a>(on: Dimension, candidate: &Candidate<'a>, facts: &'a Facts) -> Option<&'a str> {
    match on {
        Dimension::Plate => facts.plate.as_deref(),
        Dimension::Member => facts.member.as_ref().map(|member| member.id.as_str()),
        Dimension::Merchant => candidate.merchant,
        Dimension::Operator => candidate.operator,
        Dimension::Pass => candidate.instance.filter(|_| candidate.source == Source::Pass),
        Dimension::Campaign => candidate.campaign.map(|campaign| campaign.id.as_str()),
    }
}

fn places(candidates: &[Candidate<'_>], is_one: impl Fn(&Candidate<'_>) -> bool) -> BTreeSet<usize> {
    candidates.iter().enumerate().filter(|(_, candidate)| is_one(candidate)).map(|(n, _)| n).collect()
}
