//! A draft of other rules on the stays of a ledger: what each would have cost, and on what that answer rests.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use rusqlite::{Connection, OpenFlags};

use super::benefits::standing_of;
use super::recompute::{Priced, all_priced};
use crate::domain::benefit::{self, Counters, Dimension, Known, Leg, Moment, Outcome, Table, Window};
use crate::domain::event::MemberId;
use crate::domain::points::Purse;
use crate::domain::rules::Rules;
use crate::domain::tariff::{self, Fee, PriorVisit};

const DAY_MS: i64 = 86_400_000;

/// A stay under a draft.
#[derive(Debug)]
pub struct Tried {
    /// The stay.
    pub stay: String,
    /// The tier of its member; none: nobody's, or not known.
    pub tier: Option<String>,
    /// What it cost under its own rules.
    pub before: Fee,
    /// Who paid for that.
    pub legs_before: Vec<Leg>,
    /// What it would cost.
    pub after: Outcome,
    /// What is known of what its driver had.
    pub basis: Basis,
}

/// What is known of what a driver had when a stay ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Basis {
    /// No member: only coupons and merchants' gifts could have counted, and those that were shown are known.
    Guest,
    /// Everything: the rules of then had benefits, so that all was written down.
    Then,
    /// The member's tier, plans, tags, birthday and passes, but not its coupons: the rules of then had no benefits.
    WithoutCoupons,
    /// Nothing was written down: the member is taken as the ledger file knows it today.
    Today,
}

/// Tries a draft on the stays of the last `days` days of a ledger. Stays before them are tried as well, as far back as an
/// allowance of the draft reaches, so that what they would have used up is gone.
pub fn simulate(ledger: &Path, days: i64, draft: &Rules) -> anyhow::Result<Vec<Tried>> {
    let mut stays = all_priced(ledger)?;
    stays.sort_by(|a, b| (a.at, &a.stay.id).cmp(&(b.at, &b.stay.id)));
    let from = stays.last().map_or(0, |newest| newest.at.0) - days * DAY_MS;
    let reach = reach_days(draft);
    let db = Connection::open_with_flags(ledger, OpenFlags::SQLITE_OPEN_READ_ONLY)
        .with_context(|| format!("open the ledger {}", ledger.display()))?;
    let here =
        db.query_row("SELECT box_id FROM box WHERE one = 1", (), |row| row.get(0)).context("read the box's name")?;
    let mut trial = Trial { db, here, draft, used: Counters::default(), visits: BTreeMap::new() };
    let mut tried = Vec::new();
    for priced in stays.into_iter().filter(|priced| priced.at.0 >= from.saturating_sub(reach * DAY_MS)) {
        let one = trial.of(&priced)?;
        if priced.at.0 >= from {
            tried.push(one);
        }
    }
    Ok(tried)
}

/// How many days back what stays use up still counts: budgets and passes know no window.
fn reach_days(draft: &Rules) -> i64 {
    if !draft.benefits.campaigns.is_empty() || !draft.benefits.passes.is_empty() {
        return i64::MAX / DAY_MS;
    }
    match draft.benefits.longest_window() {
        Window::Visit | Window::Day => 2,
        Window::Week => 8,
        Window::Month => 32,
        Window::Year => 367,
    }
}

/// The draft and what stays have used up under it.
struct Trial<'a> {
    db: Connection,
    /// The box's name.
    here: String,
    draft: &'a Rules,
    used: Counters,
    visits: BTreeMap<String, Vec<PriorVisit>>,
}

impl Trial<'_> {
    fn of(&mut self, priced: &Priced) -> anyhow::Result<Tried> {
        let (known, basis) = self.known(priced)?;
        let stay = &priced.stay;
        let trusted = priced.rests_on.as_ref().is_none_or(|rests_on| rests_on.trusted);
        let moment = Moment { at: priced.at, trusted };
        let prior = self.prior(priced);
        let mut after = benefit::quote(self.draft, stay, &prior, &known, &Purse::new(), moment);
        after.uses.iter().for_each(|used| self.used.count(used));
        after.not_used.clear();
        if let Some(plate) = &stay.plate {
            let visit = PriorVisit { entry: stay.entry, exit: priced.at, caps: after.fee.caps.clone() };
            self.visits.entry(plate.as_str().to_owned()).or_default().push(visit);
        }
        Ok(Tried {
            stay: stay.id.0.clone(),
            tier: known.tier,
            before: priced.fee.clone(),
            legs_before: priced.under(&priced.own).legs,
            after,
            basis,
        })
    }

    /// What the driver had, with what earlier stays would have used up under the draft.
    fn known(&self, priced: &Priced) -> anyhow::Result<(Known, Basis)> {
        let mut known = priced.rests_on.as_ref().map_or_else(Known::default, |rests_on| rests_on.known.clone());
        let member: Option<&MemberId> = priced.stay.member.as_ref();
        let basis = match (member, &known.tier) {
            (None, _) => Basis::Guest,
            (Some(_), Some(_)) if priced.own.benefits != Table::default() => Basis::Then,
            (Some(_), Some(_)) => Basis::WithoutCoupons,
            (Some(member), None) => {
                let standing = standing_of(&self.db, member)?;
                (known.tier, known.privileges) = (standing.tier, standing.privileges);
                Basis::Today
            }
        };
        if known.passes.is_empty() && !known.privileges.passes.is_empty() {
            known.passes = known.privileges.held_passes(&self.here);
        }
        known.site = self.draft.benefits.asks_for_places().then(|| self.here.clone());
        known.used = self.used.of_these(&whos(priced, &known, self.draft));
        known.site.get_or_insert_with(String::new);
        Ok((known, basis))
    }

    fn prior(&self, priced: &Priced) -> Vec<PriorVisit> {
        let plate = priced.stay.plate.as_ref().filter(|_| self.draft.tariffs.look_back());
        let visits = plate.and_then(|plate| self.visits.get(plate.as_str()));
        let prior = visits.into_iter().flatten().filter(|visit| tariff::is_prior(visit, priced.stay.entry));
        prior.cloned().collect()
    }
}

/// Everybody whose counts a stay depends on.
fn whos<'a>(priced: &'a Priced, known: &'a Known, draft: &'a Rules) -> Vec<(Dimension, &'a str)> {
    let stay = &priced.stay;
    let mut whos: Vec<(Dimension, &str)> = Vec::new();
    whos.extend(stay.plate.as_ref().map(|plate| (Dimension::Plate, plate.as_str())));
    whos.extend(stay.member.as_ref().map(|member| (Dimension::Member, member.as_str())));
    for given in &known.validations {
        whos.push((Dimension::Merchant, &given.merchant));
        whos.extend(given.operator.as_deref().map(|operator| (Dimension::Operator, operator)));
    }
    whos.extend(known.passes.iter().map(|pass| (Dimension::Pass, pass.id.as_str())));
    whos.extend(draft.benefits.campaigns.iter().map(|campaign| (Dimension::Campaign, campaign.id.as_str())));
    whos
}
