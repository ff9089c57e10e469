//! What points pay of a stay: the one answer of an offer, a lane and a till, and what is counted of it.

use super::facts::{Facts, MemberFacts, Source, Use};
use super::points::{self, Offer, Short};
use super::quote::{Known, Moment, facts, rate};
use super::{Outcome, Rate};
use crate::domain::event::{Fen, MemberId, Points};
use crate::domain::points::Purse;
use crate::domain::rules::Rules;
use crate::domain::stay::Stay;

/// Whose points are to pay for which stay.
pub struct Paying<'a> {
    /// The rules of the stay: by them its points are worth what they are.
    pub rules: &'a Rules,
    /// The stay.
    pub stay: &'a Stay,
    /// What is known of it, and of the payer.
    pub known: &'a Known,
    /// Whose points; at a till that need not be the stay's member.
    pub payer: &'a MemberId,
    /// What of them may be spent here and now.
    pub purse: &'a Purse,
    /// When.
    pub moment: Moment,
}

/// Points for a stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ByPoints {
    /// How many, what they pay, and from which grants.
    pub offer: Offer,
    /// What is counted of it, for limits and the cap of a day.
    pub uses: Vec<Use>,
}

impl Outcome {
    /// The most that points pay of what is due, within the caps, the limits and what the member has.
    pub fn most_by_points(&self, paying: &Paying<'_>) -> Option<ByPoints> {
        let (facts, rate) = paying.asked();
        let cap = self.cap_of(paying, &facts, &rate);
        let (offer, _) = points::most(&paying.rules.benefits, &rate, &facts, cap, self.due);
        offer.map(|offer| ByPoints { uses: offer.uses(&facts), offer })
    }

    /// The points that pay just `fen` of what is due. The caller has looked at [`Self::points_may_pay`].
    pub fn just_by_points(&self, paying: &Paying<'_>, fen: Fen) -> Result<ByPoints, Short> {
        let (facts, rate) = paying.asked();
        let offer = points::exactly(&paying.rules.benefits, &rate, &facts, fen)?;
        Ok(ByPoints { uses: offer.uses(&facts), offer })
    }

    /// What the payer's points may pay of what is due by the caps, however many there are.
    pub fn points_may_pay(&self, paying: &Paying<'_>) -> Fen {
        let (facts, rate) = paying.asked();
        Fen(self.cap_of(paying, &facts, &rate))
    }

    /// How many points more would pay as much as they may, where only their number is in the way.
    pub fn points_lacking(&self, paying: &Paying<'_>) -> Points {
        let (facts, rate) = paying.asked();
        let cap = self.cap_of(paying, &facts, &rate);
        points::lacking(&paying.rules.benefits, &rate, &facts, cap, self.due)
    }

    /// Neither the stay's own day nor the payer's goes beyond its cap. Debts of earlier stays know none.
    fn cap_of(&self, paying: &Paying<'_>, facts: &Facts, rate: &Rate) -> i64 {
        if paying.stay.member.as_ref() == Some(paying.payer) {
            return self.points_cap.0;
        }
        let debts = (paying.stay.debts.0 - paying.stay.paid.0).clamp(0, self.due.0);
        let own = points::cap(rate, facts, Fen(self.due.0 - debts));
        self.points_cap.0.min(own + debts)
    }

    /// The uses of benefits without points.
    pub fn uses_without_points(&self) -> Vec<Use> {
        self.uses.iter().filter(|used| used.source != Source::Points).cloned().collect()
    }

    /// The uses of benefits beside what points have paid before and what they pay now.
    pub fn uses_with(&self, known: &Known, by_points: &[Use]) -> Vec<Use> {
        [self.uses_without_points(), known.paid_uses(), by_points.to_vec()].concat()
    }
}

impl Known {
    /// What is held of points that have paid for the stay at a till. What was set aside at a lane stands behind it, and
    /// is no payment.
    fn paid_uses(&self) -> Vec<Use> {
        let mut paid = self.paid_by_points.0;
        let is_paid = |used: &&Use| {
            paid -= used.fen.0;
            paid >= 0
        };
        self.held.iter().filter(|used| used.source == Source::Points).take_while(is_paid).cloned().collect()
    }
}

impl Paying<'_> {
    /// The facts with the payer in the place of the member, and what points are worth.
    fn asked(&self) -> (Facts, Rate) {
        let mut facts = facts(self.rules, self.stay, self.known, self.purse, self.moment);
        if facts.member.as_ref().is_none_or(|member| member.id != *self.payer) {
            facts.member = Some(MemberFacts::of(self.payer));
        }
        (facts, rate(self.rules))
    }
}

impl MemberFacts {
    /// Somebody of whom nothing else is asked.
    fn of(member: &MemberId) -> Self {
        Self {
            id: member.clone(),
            consent: true,
            tier: String::new(),
            tier_age_ms: None,
            plans: Default::default(),
            tags: Default::default(),
            birthday: None,
            has_earlier_vehicle: false,
        }
    }
}
