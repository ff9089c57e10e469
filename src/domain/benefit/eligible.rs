//! Which benefits a stay may have at all: the tier, the day, the place, the coupon's life, the campaign.

mod goods;
mod paper;
mod pass;

use jiff::civil::DateTime;

pub use self::goods::{for_goods, pass_for_goods};
pub(super) use self::goods::{multiplier, used_at_till};
use super::budget::budget_left;
use super::facts::{CouponState, Facts, HeldCoupon, MemberFacts, Source, Validation};
use super::reason::{NotUsed, Reason};
use super::table::{
    Birthday, Bonus, Campaign, CouponKind, Dimension, Entitlement, Give, Table, ValidationKind, Vehicles, Weekday,
    When, Window,
};
use crate::domain::event::{Fen, UtcMs};

/// The merchant that the car park itself is, for a pass.
const PARKING: &str = "parking";
/// Who pays for a benefit that names nobody; the lint of the bundle tells of each.
pub const UNFUNDED: &str = "site";
const HOUR_MS: i64 = 3_600_000;

/// A benefit that this stay may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate<'a> {
    pub source: Source,
    /// The rule in the bundle.
    pub rule: &'a str,
    /// The coupon's, pass's or validation's own number.
    pub instance: Option<&'a str>,
    pub class: &'a str,
    pub zh: &'a str,
    pub en: &'a str,
    pub give: &'a Give,
    pub funder: &'a str,
    pub campaign: Option<&'a Campaign>,
    pub merchant: Option<&'a str>,
    pub operator: Option<&'a str>,
    /// Minutes that an allowance has left.
    pub minutes_left: Option<i64>,
    /// The most that it may take off, in fen.
    pub ceiling: Option<i64>,
    /// How often a pass may still be used, in all and at one merchant.
    pub uses_left: Option<i64>,
    /// When it expires: of two that are equal, the one that expires first is used.
    pub until: Option<UtcMs>,
}

impl Candidate<'_> {
    /// Whether it gives time; else it gives an amount.
    pub fn is_time(&self) -> bool {
        match self.give {
            Give::Minutes(_) | Give::FirstMinutes(_) => true,
            Give::Fen(_)
            | Give::PercentBps(_)
            | Give::FixedPriceFen(_)
            | Give::Full
            | Give::Zone(_)
            | Give::GraceMinutes(_)
            | Give::Greeting { .. }
            | Give::PriceLevel(_)
            | Give::Service(_)
            | Give::MultiplyBps(_) => false,
        }
    }
}

/// Everything that was looked at.
#[derive(Debug, Default)]
pub(super) struct Gathered<'a> {
    /// What may be used, in the declared order.
    pub candidates: Vec<Candidate<'a>>,
    /// Rights that change no fee.
    pub rights: Vec<&'a Give>,
    /// The coupons, passes and gifts that some of them come from.
    pub lent: Vec<Candidate<'a>>,
    pub not_used: Vec<NotUsed>,
    /// Whether something is to be made good to the member later.
    pub true_up: bool,
}

/// Looks at every benefit that could concern the stay. `gross` is the fee before benefits.
pub(super) fn gather<'a>(table: &'a Table, facts: &'a Facts, gross: Fen) -> Gathered<'a> {
    let mut found = Gathered::default();
    let look = Look { table, facts, gross };
    for entitlement in &table.entitlements {
        look.at_entitlement(entitlement, &mut found);
    }
    for given in sorted(&facts.validations, |given| place(&table.validations, |kind| kind.id == given.kind)) {
        found.take(look.at_gift(given), &given.kind, &given.id);
    }
    for held in sorted(&facts.passes, |held| place(&table.passes, |kind| kind.id == held.kind)) {
        let kind = table.passes.iter().find(|kind| kind.id == held.kind);
        let candidate = kind.ok_or_else(Reason::unknown_kind).and_then(|kind| look.at_pass(kind, held));
        found.take(candidate, &held.kind, &held.id);
    }
    for held in sorted(&facts.coupons, |held| place(&table.coupons, |kind| kind.id == held.kind)) {
        let kind = table.coupons.iter().find(|kind| kind.id == held.kind);
        if !held.shown && kind.is_none_or(|kind| !kind.automatic) {
            continue;
        }
        let candidate = kind.ok_or_else(Reason::unknown_kind).and_then(|kind| look.at_coupon(kind, held));
        found.take(candidate, &held.kind, &held.id);
    }
    found.true_up |= found.not_used.iter().any(|told| told.code == "tier_stale" || told.code == "clock_doubtful");
    found
}

/// The tier that counts: the cloud's word, or the safe one where that word is too old and higher.
pub(super) fn tier<'a>(table: &'a Table, member: &'a MemberFacts) -> &'a str {
    let age_max_ms = table.tiers.max_age_hours.map(|hours| i64::from(hours) * HOUR_MS);
    let is_stale = matches!((age_max_ms, member.tier_age_ms), (Some(max), Some(age)) if age > max);
    let rank = |name: &str| table.tiers.names.iter().position(|tier| tier == name);
    let safe = table.tiers.safe.as_deref().or_else(|| table.tiers.names.first().map(String::as_str));
    match safe {
        Some(safe) if is_stale && rank(&member.tier) > rank(safe) => safe,
        Some(_) | None => &member.tier,
    }
}

/// Whether a bonus is for this member, now and for this amount.
pub(super) fn bonus_runs(table: &Table, facts: &Facts, bonus: &Bonus, spend: Fen) -> bool {
    let look = Look { table, facts, gross: spend };
    let is_for = match look.is_for(&bonus.when) {
        Audience::Everybody | Audience::This => true,
        Audience::Others | Audience::ThisIfConfirmed(_) => false,
    };
    is_for
        && look.may_have_any(true).is_ok()
        && look.holds(&bonus.when, spend).is_ok()
        && look.campaign(bonus.campaign.as_deref()).is_ok()
}

/// In the order of the file, and those of one kind by their own numbers.
fn sorted<T: Ord>(list: &[T], place: impl Fn(&T) -> usize) -> Vec<&T> {
    let mut sorted: Vec<&T> = list.iter().collect();
    sorted.sort_by(|a, b| (place(a), a).cmp(&(place(b), b)));
    sorted
}

fn place<K>(kinds: &[K], is_it: impl Fn(&K) -> bool) -> usize {
    kinds.iter().position(is_it).unwrap_or(kinds.len())
}

impl<'a> Gathered<'a> {
    fn take(&mut self, candidate: Result<Candidate<'a>, Reason>, rule: &str, instance: &str) {
        match candidate {
            Ok(candidate) if is_right(candidate.give) => {
                self.rights.push(candidate.give);
                self.lent.push(candidate);
            }
            Ok(candidate) => self.candidates.push(candidate),
            Err(reason) => self.not_used.push(reason.about(rule, Some(instance))),
        }
    }
}

/// One look at one benefit.
struct Look<'a> {
    table: &'a Table,
    facts: &'a Facts,
    gross: Fen,
}

impl<'a> Look<'a> {
    /// An entitlement that is for other tiers or plans is not the driver's, and not told of.
    fn at_entitlement(&self, rule: &'a Entitlement, found: &mut Gathered<'a>) {
        let stale = match self.is_for(&rule.when) {
            Audience::Everybody | Audience::This => None,
            Audience::Others => return,
            Audience::ThisIfConfirmed(tier) => Some(Reason::tier_stale(tier)),
        };
        let checked = stale.map_or(Ok(()), Err).and_then(|()| self.entitlement(rule));
        match (checked, is_right(&rule.give)) {
            (Ok(_), true) => found.rights.push(&rule.give),
            (Ok(candidate), false) => found.candidates.push(candidate),
            (Err(reason), _) => found.not_used.push(reason.about(&rule.id, None)),
        }
    }

    fn entitlement(&self, rule: &'a Entitlement) -> Result<Candidate<'a>, Reason> {
        let is_members = self.is_for(&rule.when) != Audience::Everybody;
        self.may_have_any(is_members)?;
        self.holds(&rule.when, self.facts.spend)?;
        let member = self.facts.member.as_ref();
        if rule.vehicles == Vehicles::FirstIn && member.is_some_and(|member| member.has_earlier_vehicle) {
            return Err(Reason::other_vehicle());
        }
        let mut candidate =
            self.candidate(Source::Entitlement, &rule.id, (&rule.zh, &rule.en), &rule.class, &rule.give);
        candidate.funder = rule.funder.as_deref().unwrap_or(UNFUNDED);
        candidate.campaign = self.campaign(rule.campaign.as_deref())?;
        if let (Give::Minutes(minutes), true) = (&rule.give, rule.per != Window::Visit) {
            let left = i64::from(*minutes) - self.used_minutes(&rule.id, rule.per, is_members);
            if left <= 0 {
                return Err(Reason::allowance_used(*minutes, rule.per));
            }
            candidate.minutes_left = Some(left);
        }
        Ok(candidate)
    }

    /// Minutes of an allowance that are gone: the member's with whichever plate; everybody's own by plate.
    fn used_minutes(&self, rule: &str, per: Window, is_members: bool) -> i64 {
        let member = self.facts.member.as_ref().filter(|_| is_members).map(|member| member.id.as_str());
        let (on, who) = match (member, &self.facts.plate) {
            (Some(member), _) => (Dimension::Member, member),
            (None, Some(plate)) => (Dimension::Plate, plate.as_str()),
            (None, None) => return 0,
        };
        self.facts.used.sum(on, who, per, self.facts.civil.date(), |_, benefit| benefit == rule).minutes
    }

    fn at_validation(&self, kind: &'a ValidationKind, given: &'a Validation) -> Result<Candidate<'a>, Reason> {
        self.may_have_any(false)?;
        if !kind.merchants.is_empty() && !kind.merchants.contains(&given.merchant) {
            return Err(Reason::not_this_merchant(&given.merchant));
        }
        self.holds(&kind.when, given.spend)?;
        self.is_for_parking(&kind.give)?;
        let mut candidate = self.candidate(Source::Validation, &kind.id, (&kind.zh, &kind.en), &kind.class, &kind.give);
        candidate.instance = Some(&given.id);
        candidate.merchant = Some(&given.merchant);
        candidate.operator = given.operator.as_deref();
        candidate.funder = kind.funder.as_deref().unwrap_or(&given.merchant);
        candidate.campaign = self.campaign(kind.campaign.as_deref())?;
        Ok(candidate)
    }

    /// Whether the coupon itself is good now, for parking and for goods; the most that it may take off, where that is
    /// bound.
    fn coupon_is_good(&self, kind: &CouponKind, held: &HeldCoupon) -> Result<Option<i64>, Reason> {
        let ceiling = match held.state {
            CouponState::ClaimedHere => None,
            CouponState::Issued => Some(self.unclaimed(kind)?),
            CouponState::ClaimedElsewhere => return Err(Reason::claimed_elsewhere()),
            CouponState::Held => return Err(Reason::coupon_held()),
            CouponState::Used => return Err(Reason::coupon_used()),
            CouponState::Revoked => return Err(Reason::coupon_revoked()),
        };
        if held.from.is_some() || held.until.is_some() {
            self.clock_is_sure()?;
        }
        if let Some(from) = held.from.filter(|from| self.facts.at < *from) {
            return Err(Reason::not_yet(self.civil(from)));
        }
        if let Some(until) = held.until.filter(|until| self.facts.at >= *until) {
            return Err(Reason::expired(self.civil(until)));
        }
        Ok(ceiling)
    }

    fn at_coupon(&self, kind: &'a CouponKind, held: &'a HeldCoupon) -> Result<Candidate<'a>, Reason> {
        self.may_have_any(!held.shown)?;
        let ceiling = self.coupon_is_good(kind, held)?;
        match self.is_for(&kind.when) {
            Audience::Everybody | Audience::This => {}
            Audience::Others => return Err(Reason::not_in_audience(&kind.id)),
            Audience::ThisIfConfirmed(tier) => return Err(Reason::tier_stale(tier)),
        }
        self.holds(&kind.when, self.facts.spend)?;
        self.is_for_parking(&kind.give)?;
        let mut candidate = self.candidate(Source::Coupon, &kind.id, (&kind.zh, &kind.en), &kind.class, &kind.give);
        candidate.instance = Some(&held.id);
        candidate.ceiling = ceiling;
        candidate.until = held.until;
        candidate.merchant = held.merchant.as_deref();
        candidate.operator = self.facts.operator.as_deref().filter(|_| held.shown);
        candidate.funder = match kind.funder.as_deref() {
            Some("merchant") => held.merchant.as_deref().unwrap_or(UNFUNDED),
            Some(funder) => funder,
            None => UNFUNDED,
        };
        candidate.campaign = self.campaign(kind.campaign.as_deref())?;
        Ok(candidate)
    }

    /// What an unclaimed coupon may take off: another site might take it too, so that only a declared risk is run.
    fn unclaimed(&self, kind: &CouponKind) -> Result<i64, Reason> {
        let is_too_dear = matches!(kind.give, Give::Fen(fen) if fen > kind.offline_risk_fen);
        if kind.offline_risk_fen == 0 || is_too_dear {
            return Err(Reason::needs_claim());
        }
        Ok(kind.offline_risk_fen)
    }

    fn candidate(
        &self,
        source: Source,
        rule: &'a str,
        label: (&'a str, &'a str),
        class: &'a str,
        give: &'a Give,
    ) -> Candidate<'a> {
        Candidate {
            source,
            rule,
            instance: None,
            class,
            zh: label.0,
            en: label.1,
            give,
            funder: UNFUNDED,
            campaign: None,
            merchant: None,
            operator: None,
            minutes_left: None,
            ceiling: None,
            uses_left: None,
            until: None,
        }
    }

    /// What stands against every benefit: a block, and for what hangs on the member, a consent that was not given.
    fn may_have_any(&self, is_members: bool) -> Result<(), Reason> {
        if let Some(why) = &self.facts.blocked {
            return Err(Reason::blocked(why));
        }
        let has_consent = self.facts.member.as_ref().is_none_or(|member| member.consent);
        if is_members && !has_consent { Err(Reason::no_consent()) } else { Ok(()) }
    }

    /// Goods and services are handed over by people, points are a till's: no part of a stay.
    fn is_for_parking(&self, give: &Give) -> Result<(), Reason> {
        let is_for_tills = matches!(give, Give::Service(_) | Give::MultiplyBps(_));
        if is_for_tills { Err(Reason::not_for_parking()) } else { Ok(()) }
    }

    fn is_for(&self, when: &When) -> Audience<'a> {
        if when.tiers.is_empty() && when.plans.is_empty() && when.tags.is_empty() && when.birthday.is_none() {
            return Audience::Everybody;
        }
        let Some(member) = &self.facts.member else { return Audience::Others };
        let runs = |plan: &String| member.plans.get(plan).is_some_and(|until| self.facts.civil < *until);
        let by_plan = when.plans.is_empty() || when.plans.iter().any(runs);
        let by_tag = when.tags.is_empty() || when.tags.iter().any(|tag| member.tags.contains(tag));
        if !by_plan || !by_tag {
            return Audience::Others;
        }
        let is_one = |tier: &str| when.tiers.is_empty() || when.tiers.iter().any(|name| name == tier);
        match (is_one(tier(self.table, member)), is_one(&member.tier)) {
            (true, _) => Audience::This,
            (false, true) => Audience::ThisIfConfirmed(&member.tier),
            (false, false) => Audience::Others,
        }
    }

    /// Whether the day, the hour, the place and the amounts are right.
    fn holds(&self, when: &When, spend: Fen) -> Result<(), Reason> {
        let now = self.facts.civil;
        let depends_on_time = when.from.is_some()
            || when.until.is_some()
            || when.hours.is_some()
            || !when.weekdays.is_empty()
            || !when.days_of_month.is_empty()
            || !when.plans.is_empty()
            || when.birthday.is_some();
        if depends_on_time {
            self.clock_is_sure()?;
        }
        if let Some(from) = when.from.filter(|from| now < *from) {
            return Err(Reason::not_yet(from));
        }
        if let Some(until) = when.until.filter(|until| now >= *until) {
            return Err(Reason::expired(until));
        }
        if !self.is_the_day(when) {
            return Err(Reason::not_today());
        }
        if let Some((from, until)) = when.hours {
            let time = now.time();
            let is_inside = if from <= until { from <= time && time < until } else { time >= from || time < until };
            if !is_inside {
                return Err(Reason::not_at_this_hour(from, until));
            }
        }
        if !when.places.is_empty() && !when.places.iter().any(|place| self.facts.places.contains(place)) {
            return Err(Reason::not_here());
        }
        if let Some(need) = when.min_fee_fen.filter(|need| self.gross.0 < *need) {
            return Err(Reason::needs_fee(Fen(need), self.gross));
        }
        if let Some(need) = when.min_spend_fen.filter(|need| spend.0 < *need) {
            return Err(Reason::needs_spend(Fen(need), spend));
        }
        Ok(())
    }

    fn is_the_day(&self, when: &When) -> bool {
        let today = self.facts.civil.date();
        let member = self.facts.member.as_ref();
        let birthday = member.and_then(|member| member.birthday);
        let is_birthday = match when.birthday {
            None => true,
            // On 28 February for those born on the 29th, in the years without one.
            Some(Birthday::Day) => birthday.is_some_and(|(month, day)| {
                today.month() == month
                    && (today.day() == day || day > today.days_in_month() && today.day() == today.days_in_month())
            }),
            Some(Birthday::Month) => birthday.is_some_and(|(month, _)| today.month() == month),
        };
        let is_variant = when.variant.is_none_or(|variant| {
            member.is_some_and(|member| {
                stable_hash(member.id.as_str()) % u64::from(variant.of.max(1)) == u64::from(variant.is)
            })
        });
        is_birthday
            && is_variant
            && (when.weekdays.is_empty() || when.weekdays.contains(&Weekday::of(today)))
            && (when.days_of_month.is_empty() || when.days_of_month.contains(&today.day()))
    }

    fn clock_is_sure(&self) -> Result<(), Reason> {
        if self.facts.clock_trusted { Ok(()) } else { Err(Reason::clock_doubtful()) }
    }

    /// The campaign that a benefit names, if it runs here and now.
    fn campaign(&self, id: Option<&str>) -> Result<Option<&'a Campaign>, Reason> {
        let Some(id) = id else { return Ok(None) };
        let Some(campaign) = self.table.campaigns.iter().find(|campaign| campaign.id == id) else {
            return Err(Reason::unknown_kind());
        };
        let facts = self.facts;
        if facts.campaigns.get(id).is_some_and(|news| news.stopped) {
            return Err(Reason::campaign_stopped(id));
        }
        if let Some(hours) = campaign.max_age_hours
            && facts.cloud_age_ms.is_none_or(|age| age > i64::from(hours) * HOUR_MS)
        {
            return Err(Reason::campaign_silent(id, hours));
        }
        let is_before = campaign.from.is_some_and(|from| facts.civil < from);
        if is_before || campaign.until.is_some_and(|until| facts.civil >= until) {
            return Err(Reason::campaign_over(id));
        }
        let is_in_audience = campaign.tags.is_empty()
            || facts.member.as_ref().is_some_and(|member| campaign.tags.iter().any(|tag| member.tags.contains(tag)));
        if !is_in_audience {
            return Err(Reason::not_in_audience(id));
        }
        if budget_left(campaign, facts).is_some_and(|left| left <= 0) {
            return Err(Reason::budget_spent(id));
        }
        Ok(Some(campaign))
    }

    /// A moment by the wall clock of the stay's day.
    fn civil(&self, at: UtcMs) -> DateTime {
        let away = jiff::SignedDuration::from_millis(at.0.saturating_sub(self.facts.at.0));
        self.facts.civil.saturating_add(away)
    }
}

/// Whom a condition is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Audience<'a> {
    Everybody,
    This,
    Others,
    /// This member, if the tier that the cloud last said is still right.
    ThisIfConfirmed(&'a str),
}

fn is_right(give: &Give) -> bool {
    match give {
        Give::Zone(_) | Give::GraceMinutes(_) | Give::Greeting { .. } | Give::PriceLevel(_) => true,
        Give::Minutes(_)
        | Give::FirstMinutes(_)
        | Give::Fen(_)
        | Give::PercentBps(_)
        | Give::FixedPriceFen(_)
        | Give::Full
        | Give::Service(_)
        | Give::MultiplyBps(_) => false,
    }
}

/// FNV-1a, 64 bits: the same on every box and for ever.
fn stable_hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}
