//! From a stay and what the ledger knows of it to the facts of its reckoning.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::DateTime;
use serde::{Deserialize, Serialize};

use super::facts::{CampaignNews, Counters, Facts, HeldCoupon, HeldPass, Lot, MemberFacts, Use, Validation};
use super::privileges::Privileges;
use super::{EarnRate, Outcome, Rate, Table, Terms, eligible, evaluate};
use crate::domain::event::{Fen, UtcMs};
use crate::domain::points::Purse;
use crate::domain::rules::{PointsRounding, Rules};
use crate::domain::stay::Stay;
use crate::domain::tariff::{self, PriorVisit, Question};

/// Who settles points: the programme, by the lots that the cloud ledger keeps behind its grants.
const PROGRAMME: &str = "programme";
/// Where the box's points come from, as far as it knows: a grant of the cloud ledger, or a sale here.
const LEDGER: &str = "ledger";

/// What the ledger knows of a stay beside the stay itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Known {
    /// The member's tier by the cloud's last word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tier: Option<String>,
    /// Coupons that were shown for the stay, and the member's own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub coupons: Vec<HeldCoupon>,
    /// What merchants gave to it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub validations: Vec<Validation>,
    /// What was used before, without what is held for this stay.
    #[serde(skip_serializing_if = "Counters::is_empty")]
    pub used: Counters,
    /// What is held for this stay; its fee does not depend on it.
    #[serde(skip)]
    pub held: Vec<Use>,
    /// What points have paid of the stay; its fee does not depend on it either.
    #[serde(skip)]
    pub paid_by_points: Fen,
    /// What the cloud said about campaigns.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub campaigns: BTreeMap<String, CampaignNews>,
    /// When the cloud last said something about a campaign.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub campaigns_as_of: Option<UtcMs>,
    /// Whether another vehicle of the member that came in earlier is still inside.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub has_earlier_vehicle: bool,
    /// What the member has beside the tier; its passes are below, as they are good here.
    #[serde(skip_serializing_if = "Privileges::is_empty")]
    pub privileges: Privileges,
    /// The member's passes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub passes: Vec<HeldPass>,
    /// When the cloud's feed was last heard: until then its word about members and campaigns is complete.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heard: Option<UtcMs>,
    /// Limits beyond which two persons let the stay go.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub approved: BTreeSet<String>,
    /// The site's own name, where the rules ask about places.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
}

/// A moment and whether the clock is sure of it.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The moment.
    pub at: UtcMs,
    /// Whether the clock is known to be right.
    pub trusted: bool,
}

/// What a fee with benefits rested on, for the journal: the cloud's part of it is not there otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestsOn {
    /// What the ledger knew.
    pub known: Known,
    /// Whether the clock was known to be right.
    pub trusted: bool,
}

impl RestsOn {
    /// Nothing, where the rules have no benefits and the stay no member: with one, what the member had is kept, so that
    /// a draft can be tried on it.
    pub fn of(rules: &Rules, known: &Known, moment: Moment) -> Option<Box<Self>> {
        let has_some = known.tier.is_some() || !known.validations.is_empty();
        let is_worth_it = rules.benefits != Table::default() || has_some;
        is_worth_it.then(|| Box::new(Self { known: known.clone(), trusted: moment.trusted }))
    }
}

/// What `stay` costs after benefits if it leaves at that moment, under the rules of its entry. `prior` are the earlier
/// visits of the same plate that may share a cap with it; `purse` holds what may be spent here and now. What earlier
/// stays of the plate left unpaid is added behind all benefits: those are for this stay, points may pay both.
pub fn quote(
    rules: &Rules,
    stay: &Stay,
    prior: &[PriorVisit],
    known: &Known,
    purse: &Purse,
    moment: Moment,
) -> Outcome {
    answer(rules, &tariff::question(stay, prior, moment.at), stay, known, purse, moment)
}

/// The words with which the driver of a stay is greeted before anything is reckoned, in Chinese and English.
pub fn greeting(rules: &Rules, stay: &Stay, known: &Known, moment: Moment) -> Option<(String, String)> {
    let facts = facts(rules, stay, known, &Purse::new(), moment);
    let gathered = eligible::gather(&rules.benefits, &facts, Fen(0));
    super::rights(&gathered, 0).greeting
}

/// What [`quote`] says of a stay, where the question about its fee is asked in full; without payments, which the stay
/// has.
pub fn answer(rules: &Rules, plain: &Question, stay: &Stay, known: &Known, purse: &Purse, moment: Moment) -> Outcome {
    let fee = |seconds: i64| {
        let mut question = plain.clone();
        if seconds > 0 {
            let (zh, en) = (String::new(), String::new());
            question.free.push(tariff::FreeTime { source: "benefits".to_owned(), seconds, zh, en });
        }
        tariff::fee_of(rules, stay, question)
    };
    let (rate, earn) = (rate(rules), earn_rate(rules));
    let grace_minutes = rules.tariffs.grace_minutes(plain);
    let terms = Terms { table: &rules.benefits, rate: &rate, earn: Some(&earn), fee: &fee, grace_minutes };
    let mut outcome = evaluate(&terms, &facts(rules, stay, known, purse, moment));
    if stay.debts.0 > 0 {
        tariff::add_debts(&mut outcome.fee, stay.debts);
        let by_points = outcome.due.0 - outcome.cash.0;
        let open = Fen((outcome.fee.total.0 - stay.paid.0).max(0) - outcome.due.0);
        outcome.due.0 += open.0;
        outcome.points_cap.0 += open.0;
        outcome.cash = Fen(outcome.due.0 - by_points);
    }
    outcome
}

/// What points are worth for parking, from the bundle.
pub fn rate(rules: &Rules) -> Rate {
    Rate {
        points: rules.points.points.0,
        fen: rules.points.fen.0,
        granularity: rules.points.granularity.0,
        cap_bps: u32::try_from(rules.points.cap_bps.0).unwrap_or(u32::MAX),
        cap_fen_day: rules.points.cap_fen_day.map(|cap| cap.0),
        min_cash: Fen(rules.points.min_cash_fen.0),
        rounds_up: rules.points.rounding == PointsRounding::Up,
    }
}

fn earn_rate(rules: &Rules) -> EarnRate {
    EarnRate { fen: rules.earn.fen.0, points: rules.earn.points.0 }
}

pub(super) fn facts(rules: &Rules, stay: &Stay, known: &Known, purse: &Purse, moment: Moment) -> Facts {
    // Debts are paid first; the grace after a payment is for what was paid for this stay.
    let paid = Fen((stay.paid.0 - stay.debts.0).max(0));
    let member = stay.member.as_ref().map(|id| MemberFacts {
        id: id.clone(),
        // A stay names a member only where that member has agreed.
        consent: true,
        tier: known.tier.clone().unwrap_or_default(),
        tier_age_ms: known.heard.map(|heard| age_ms(moment.at, heard)),
        plans: known.privileges.running_until(|until| civil(rules, until)),
        tags: known.privileges.tags.iter().cloned().collect(),
        birthday: known.privileges.birthday.map(|birthday| (birthday.month, birthday.day)),
        has_earlier_vehicle: known.has_earlier_vehicle,
    });
    Facts {
        at: moment.at,
        civil: civil(rules, moment.at),
        clock_trusted: moment.trusted,
        places: stay.zones.iter().map(|part| part.zone.clone()).chain(known.site.clone()).collect(),
        stay_seconds: (moment.at.0.saturating_sub(stay.entry.0) / 1000).max(0),
        plate: stay.plate.as_ref().map(|plate| plate.as_str().to_owned()),
        member,
        blocked: None,
        coupons: known.coupons.clone(),
        passes: known.passes.clone(),
        validations: known.validations.clone(),
        spend: Fen(known.validations.iter().map(|given| given.spend.0).fold(0, i64::saturating_add)),
        operator: None,
        approved: known.approved.clone(),
        campaigns: known.campaigns.clone(),
        cloud_age_ms: known.heard.max(known.campaigns_as_of).map(|heard| age_ms(moment.at, heard)),
        used: known.used.clone(),
        paid,
        paid_by_points: Fen(known.paid_by_points.0.min(paid.0)),
        paid_at: stay.paid_at.filter(|_| paid.0 > 0),
        lots: (0..)
            .zip(purse.pockets())
            .map(|(turn, pocket)| Lot {
                id: pocket.grant.0.clone(),
                points: pocket.remaining,
                source: named(&pocket.lot.source, LEDGER),
                funder: named(&pocket.lot.funder, PROGRAMME),
                settle_bps: pocket.lot.settle_bps.unwrap_or(10_000),
                // The purse is in the order of taking already.
                earned: UtcMs(turn),
                from: None,
                until: None,
                places: BTreeSet::new(),
                weekdays: BTreeSet::new(),
            })
            .collect(),
        points_wish: None,
    }
}

/// How long before a moment something was heard; never negative, whatever a clock says.
fn age_ms(at: UtcMs, heard: UtcMs) -> i64 {
    at.0.saturating_sub(heard.0).max(0)
}

fn named(name: &str, otherwise: &str) -> String {
    if name.is_empty() { otherwise.to_owned() } else { name.to_owned() }
}

/// The moment by the site's clock on the wall.
pub fn civil(rules: &Rules, at: UtcMs) -> DateTime {
    let local = rules.tariffs.calendar.zone.local(at.0.div_euclid(1000));
    let epoch = jiff::civil::date(1970, 1, 1).at(0, 0, 0, 0);
    epoch.saturating_add(jiff::SignedDuration::from_secs(local))
}
