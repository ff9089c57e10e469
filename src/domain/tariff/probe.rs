//! Looks at one tariff's part of many prices, for those who check a bundle: which of its rules ever came.

use std::collections::BTreeSet;

use super::plan::Plan;
use super::pricing::Tariffs;
use super::tally::{Limit, Source};
use super::{Fen, Question};

/// One tariff under the eye.
pub struct Probe<'a> {
    tariffs: &'a Tariffs,
    plan: &'a Plan,
}

/// The rules that have come.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    sources: BTreeSet<Source>,
    limits: BTreeSet<Limit>,
    was_free: bool,
}

impl<'a> Probe<'a> {
    /// Of the tariff of that name, which must be there.
    pub fn of(tariffs: &'a Tariffs, id: &str) -> Self {
        let plan = tariffs.plans.iter().find(|plan| plan.id() == id);
        Self { tariffs, plan: plan.expect("the tariff asked for is one of them") }
    }

    /// Nothing yet.
    pub fn nothing_seen(&self) -> Seen {
        Seen::default()
    }

    /// Prices a stay, notes what came, and tells what the tariff's own part of it costs.
    pub fn look(&self, question: &Question, seen: &mut Seen) -> i64 {
        let priced = self.tariffs.price(question);
        let mut total = Fen(0);
        for metered in priced.metered.iter().filter(|metered| std::ptr::eq(metered.plan, self.plan)) {
            seen.sources.extend(metered.count.tally.charged.iter().map(|charged| charged.source));
            seen.limits.extend(metered.count.tally.cuts.iter().map(|cut| cut.limit));
            seen.was_free |= metered.count.was_free;
            total.0 += metered.count.tally.total();
        }
        total.0
    }

    /// The names of the rules that never came.
    pub fn unseen(&self, seen: &Seen) -> Vec<String> {
        let (plan, mut names) = (self.plan, Vec::new());
        let mut miss = |is_seen: bool, name: String| {
            if !is_seen {
                names.push(name);
            }
        };
        miss(plan.tariff.free.is_none() || seen.was_free, "free".to_owned());
        for n in 0..plan.blocks.steps.len() {
            miss(seen.sources.contains(&Source::Block(n)), format!("block {}", n + 1));
        }
        miss(plan.unit.is_none() || seen.sources.contains(&Source::Unit), "the unit".to_owned());
        for (n, segment) in plan.segments.iter().enumerate() {
            let id = plan.tariff.segments[n].id.get_ref();
            for block in 0..segment.blocks.steps.len() {
                miss(
                    seen.sources.contains(&Source::SegmentBlock(n, block)),
                    format!("block {} of segment {id}", block + 1),
                );
            }
            miss(seen.sources.contains(&Source::Segment(n)), format!("the unit of segment {id}"));
            miss(segment.cap.is_none() || seen.limits.contains(&Limit::Segment(n)), format!("the cap of segment {id}"));
        }
        for (n, rule) in plan.cap_rules.iter().enumerate() {
            miss(seen.limits.contains(&Limit::Cap(n)), format!("the cap {rule}"));
        }
        names
    }
}
