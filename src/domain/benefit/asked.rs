//! A fee that somebody asks about before there is a stay: a person at a desk, or the author of a bundle in its golden cases.

use super::Outcome;
use serde::Deserialize;

use super::facts::{CouponState, HeldCoupon, HeldPass, Validation};
use super::privileges::{MonthDay, PaidPlan, Privileges};
use super::quote::{Known, Moment, answer, civil};
use crate::domain::event::{Fen, GrantId, LaneId, MemberId, Points, StayId, UtcMs};
use crate::domain::points::{Lot, Pocket, Purse};
use crate::domain::rules::Rules;
use crate::domain::stay::{Stay, StayState, ZoneVisit};
use crate::domain::tariff::Question;

/// What the driver has; nothing at all is a stranger.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Asked {
    /// The member's tier.
    pub tier: Option<String>,
    /// Paid plans that run.
    pub plans: Vec<String>,
    /// Tags of the member.
    pub tags: Vec<String>,
    /// The member's birthday.
    pub birthday: Option<MonthDay>,
    /// Passes that began on the day of the entry, by the ids of their kinds.
    pub passes: Vec<String>,
    /// Coupons that are shown, by the ids of their kinds.
    pub coupons: Vec<String>,
    /// What merchants gave.
    pub validations: Vec<Given>,
    /// Points that the member could spend.
    pub points: Points,
}

/// What a merchant gave.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Given {
    /// The id of its kind.
    pub kind: String,
    /// Who gave it.
    pub merchant: String,
    /// What the receipt came to, in fen.
    #[serde(default)]
    pub fen: Fen,
}

impl Asked {
    /// The fee after what the driver has.
    pub fn reckon(&self, rules: &Rules, question: &Question) -> Outcome {
        let mut purse = Purse::new();
        if self.points.0 > 0 {
            let (grant, lot) = (GrantId::from("asked"), Lot::default());
            purse.add(Pocket { grant, remaining: self.points, lot, since: 1 });
        }
        let moment = Moment { at: question.exit, trusted: true };
        answer(rules, question, &self.stay(rules, question), &self.known(rules, question), &purse, moment)
    }

    fn is_member(&self) -> bool {
        let has_more = !self.plans.is_empty() || !self.tags.is_empty() || !self.passes.is_empty();
        self.tier.is_some() || self.points.0 > 0 || self.birthday.is_some() || has_more
    }

    fn stay(&self, rules: &Rules, question: &Question) -> Stay {
        let zones = question.zones.iter().map(|part| {
            let (zone, from, to) = (part.zone.clone(), part.from, Some(part.to));
            ZoneVisit { zone, from, to }
        });
        Stay {
            id: StayId::from("asked"),
            plate: None,
            member: self.is_member().then(|| MemberId::from("asked")),
            state: StayState::Open,
            entry_lane: LaneId::from("asked"),
            entry: question.entry,
            rules: rules.version,
            fee: None,
            paid: Fen(0),
            paid_at: None,
            debts: Fen(0),
            right: None,
            assumed: None,
            untrusted: false,
            zones: zones.collect(),
            entry_read: None,
        }
    }

    fn known(&self, rules: &Rules, question: &Question) -> Known {
        let coupons = self.coupons.iter().enumerate().map(|(n, kind)| HeldCoupon {
            id: format!("{kind}/{}", n + 1),
            kind: kind.clone(),
            merchant: None,
            from: None,
            until: None,
            state: CouponState::ClaimedHere,
            shown: true,
        });
        let first_day = civil(rules, question.entry).date();
        let passes = self.passes.iter().enumerate().map(|(n, kind)| HeldPass {
            id: format!("{kind}/{}", n + 1),
            kind: kind.clone(),
            first_day,
            state: CouponState::ClaimedHere,
        });
        let validations = self.validations.iter().map(|given| Validation {
            id: format!("{}/{}", given.kind, given.merchant),
            kind: given.kind.clone(),
            merchant: given.merchant.clone(),
            operator: None,
            spend: given.fen,
            gives: None,
        });
        // A plan that runs now is still running when the stay ends.
        let until_ms = UtcMs(question.exit.0.saturating_add(60_000));
        let plans = self.plans.iter().map(|id| PaidPlan { id: id.clone(), until_ms });
        let (tags, birthday) = (self.tags.clone(), self.birthday);
        Known {
            tier: self.tier.clone(),
            coupons: coupons.collect(),
            passes: passes.collect(),
            validations: validations.collect(),
            privileges: Privileges { plans: plans.collect(), tags, birthday, passes: Vec::new() },
            ..Known::default()
        }
    }
}
