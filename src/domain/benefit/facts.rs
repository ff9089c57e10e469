//! What is known about one stay when its benefits are reckoned: the member, what was shown and given, and what was used.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::{Date, DateTime};
use serde::{Deserialize, Serialize};

use super::table::{Dimension, Give, Weekday, Window};
use crate::domain::event::{Fen, MemberId, Points, UtcMs};

/// Everything that the reckoning of one stay needs besides the rules. The order of the lists means nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// When the vehicle leaves, or would.
    pub at: UtcMs,
    /// The same moment by the site's own clock on the wall.
    pub civil: DateTime,
    /// Whether that clock is known to be right.
    pub clock_trusted: bool,
    /// The site, and the zones where the vehicle stood.
    pub places: BTreeSet<String>,
    /// How long it has stayed, in seconds.
    pub stay_seconds: i64,
    /// Its plate, where it was read.
    pub plate: Option<String>,
    /// The member, where one is known.
    pub member: Option<MemberFacts>,
    /// Why this plate or member gets no benefit at all.
    pub blocked: Option<String>,
    /// Coupons that were shown, and the member's own.
    pub coupons: Vec<HeldCoupon>,
    /// The member's passes.
    pub passes: Vec<HeldPass>,
    /// What merchants gave to the stay.
    pub validations: Vec<Validation>,
    /// Receipts that belong to the stay.
    pub spend: Fen,
    /// The person who does it, where one does.
    pub operator: Option<String>,
    /// Limits beyond which a second person has agreed to go.
    pub approved: BTreeSet<String>,
    /// What the cloud said about campaigns.
    pub campaigns: BTreeMap<String, CampaignNews>,
    /// How long ago the cloud was heard; `None`: never.
    pub cloud_age_ms: Option<i64>,
    /// What was used before, without what is held for this stay.
    pub used: Counters,
    /// What has been paid for the stay.
    pub paid: Fen,
    /// What of that points have paid.
    pub paid_by_points: Fen,
    /// When it was last paid.
    pub paid_at: Option<UtcMs>,
    /// Points that could pay.
    pub lots: Vec<Lot>,
    /// At most so many of them; `None`: as many as the rules allow.
    pub points_wish: Option<Points>,
}

/// A member for the reckoning of one stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberFacts {
    /// The id.
    pub id: MemberId,
    /// Whether the member agreed to be recognised this way; a member who shows a code at a till has.
    pub consent: bool,
    /// The tier by the cloud's last word.
    pub tier: String,
    /// How old that word is; `None`: it does not age.
    pub tier_age_ms: Option<i64>,
    /// Paid plans and the civil time before which they run.
    pub plans: BTreeMap<String, DateTime>,
    /// Tags that the cloud computed.
    pub tags: BTreeSet<String>,
    /// Month and day of the birthday.
    pub birthday: Option<(i8, i8)>,
    /// Whether another vehicle of the member that came in earlier is still inside.
    pub has_earlier_vehicle: bool,
}

/// A coupon.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct HeldCoupon {
    /// Its own number.
    pub id: String,
    /// Its kind in the table.
    pub kind: String,
    /// The merchant that issued it.
    pub merchant: Option<String>,
    /// Not good before.
    pub from: Option<UtcMs>,
    /// Not good from then on.
    pub until: Option<UtcMs>,
    /// Where it is in its life.
    pub state: CouponState,
    /// Whether somebody showed it for this stay.
    pub shown: bool,
}

/// Where a coupon is in its life, as this box knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CouponState {
    /// Any site may claim it.
    Issued,
    /// This site has it alone.
    ClaimedHere,
    /// Another site has it.
    ClaimedElsewhere,
    /// It is set aside for another stay.
    Held,
    /// It has been used.
    Used,
    /// Its issuer took it back.
    Revoked,
}

/// A pass that a member holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct HeldPass {
    /// Its own number.
    pub id: String,
    /// Its kind in the table.
    pub kind: String,
    /// Its first day.
    pub first_day: Date,
    /// Whether this site alone has it; one whose uses are counted is good nowhere else.
    pub state: CouponState,
}

/// What a merchant gave to a stay.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Validation {
    /// Its own number.
    pub id: String,
    /// Its kind in the table.
    pub kind: String,
    /// The merchant.
    pub merchant: String,
    /// Who gave it.
    pub operator: Option<String>,
    /// The receipt that it was given for, in fen.
    pub spend: Fen,
    /// What it gives by itself: a paper voucher, whose kind stands in no table and which `merchant` pays for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gives: Option<Give>,
}

/// What the cloud said about a campaign.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CampaignNews {
    /// Whether it was stopped.
    pub stopped: bool,
    /// What the other sites have spent of its budget, in fen.
    pub spent_elsewhere: Fen,
    /// This box's share where the ledger shares the budget out: what it may cost here from its beginning on, in fen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<Fen>,
}

/// A lot of points.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lot {
    /// Its name; for points of a grant, the grant's.
    pub id: String,
    /// How many are left.
    pub points: Points,
    /// Where they come from, like `purchase` or `promo`.
    pub source: String,
    /// Who pays when they are spent.
    pub funder: String,
    /// What the payer settles of their value, in basis points.
    pub settle_bps: u32,
    /// When they were earned.
    pub earned: UtcMs,
    /// May not be spent before.
    pub from: Option<UtcMs>,
    /// May not be spent from then on.
    pub until: Option<UtcMs>,
    /// Where they may be spent: `parking`, a site, a merchant; none: everywhere.
    pub places: BTreeSet<String>,
    /// On which weekdays; none: on all.
    pub weekdays: BTreeSet<Weekday>,
}

/// What kind of thing a benefit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A tier's or a plan's.
    Entitlement,
    /// A merchant's gift.
    Validation,
    /// A pass.
    Pass,
    /// A coupon.
    Coupon,
    /// Points.
    Points,
}

/// One use of one benefit: held when the vehicle is let out, posted when it has passed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Use {
    /// What kind of thing it is.
    pub source: Source,
    /// The rule in the bundle; for points the source of the lot.
    pub benefit: String,
    /// The coupon's, pass's or validation's own number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// The class.
    pub class: String,
    /// The campaign that pays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub campaign: Option<String>,
    /// The member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<MemberId>,
    /// The plate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plate: Option<String>,
    /// The merchant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merchant: Option<String>,
    /// The person who gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<String>,
    /// The civil day that it counts for.
    pub day: Date,
    /// Minutes that it used up.
    pub minutes: i64,
    /// What it took off.
    pub fen: Fen,
}

impl Use {
    /// Everybody for whom this use counts.
    pub fn counted_for(&self) -> Vec<(Dimension, String)> {
        let pass = self.instance.clone().filter(|_| self.source == Source::Pass);
        [
            (Dimension::Plate, self.plate.clone()),
            (Dimension::Member, self.member.as_ref().map(|member| member.0.clone())),
            (Dimension::Merchant, self.merchant.clone()),
            (Dimension::Operator, self.operator.clone()),
            (Dimension::Pass, pass),
            (Dimension::Campaign, self.campaign.clone()),
        ]
        .into_iter()
        .filter_map(|(on, who)| Some((on, who?)))
        .collect()
    }
}

/// How much was used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// How often.
    pub uses: i64,
    /// How many minutes.
    pub minutes: i64,
    /// How much money.
    pub fen: i64,
}

/// What a count is kept for: whom, which class and rule, which day.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CountKey {
    /// Whom the count is for.
    pub on: Dimension,
    /// Their name.
    pub who: String,
    /// The civil day.
    pub day: Date,
    /// The class of the benefit.
    pub class: String,
    /// The benefit; for a pass the merchant where it was used.
    pub benefit: String,
}

/// What was used before, day by day; written as a list of pairs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<(CountKey, Count)>", into = "Vec<(CountKey, Count)>")]
pub struct Counters(pub BTreeMap<CountKey, Count>);

impl From<Vec<(CountKey, Count)>> for Counters {
    fn from(counts: Vec<(CountKey, Count)>) -> Self {
        Self(counts.into_iter().collect())
    }
}

impl From<Counters> for Vec<(CountKey, Count)> {
    fn from(counters: Counters) -> Self {
        counters.0.into_iter().collect()
    }
}

impl Counters {
    /// Counts one use for everybody whom it concerns.
    pub fn count(&mut self, used: &Use) {
        for (on, who) in used.counted_for() {
            let merchant = used.merchant.as_ref().filter(|_| on == Dimension::Pass);
            let benefit = merchant.unwrap_or(&used.benefit).clone();
            let key = CountKey { on, who, day: used.day, class: used.class.clone(), benefit };
            let count = self.0.entry(key).or_default();
            count.uses += 1;
            count.minutes += used.minutes;
            count.fen += used.fen.0;
        }
    }

    /// Takes back what [`Self::count`] counted.
    pub fn uncount(&mut self, used: &Use) {
        for (key, count) in Self::of(used) {
            let here = self.0.entry(key).or_default();
            here.uses -= count.uses;
            here.minutes -= count.minutes;
            here.fen -= count.fen;
        }
    }

    /// What one use counts, for everybody whom it concerns.
    pub fn of(used: &Use) -> Vec<(CountKey, Count)> {
        let mut one = Self::default();
        one.count(used);
        one.0.into_iter().collect()
    }

    /// What `who` used in the window that ends with `today`, of what `matches(class, benefit)` names. A visit's window is
    /// empty: what a visit uses is counted while it is reckoned.
    pub fn sum(
        &self,
        on: Dimension,
        who: &str,
        window: Window,
        today: Date,
        matches: impl Fn(&str, &str) -> bool,
    ) -> Count {
        let Some(first) = first_day(window, today) else { return Count::default() };
        let key = |day| CountKey { on, who: who.to_owned(), day, class: String::new(), benefit: String::new() };
        let mut sum = Count::default();
        for (key, count) in self.0.range(key(first)..).take_while(|(key, _)| key.on == on && key.who == who) {
            if key.day <= today && matches(&key.class, &key.benefit) {
                sum.uses += count.uses;
                sum.minutes += count.minutes;
                sum.fen += count.fen;
            }
        }
        sum
    }
}

impl Counters {
    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The counts of some, and of nobody else.
    pub fn of_these(&self, whos: &[(Dimension, &str)]) -> Self {
        let mut some = Self::default();
        for (on, who) in whos {
            let (on, day) = (*on, Date::MIN);
            let first = CountKey { on, who: (*who).to_owned(), day, class: String::new(), benefit: String::new() };
            let theirs = self.0.range(first..).take_while(|(key, _)| key.on == on && key.who == *who);
            some.0.extend(theirs.map(|(key, count)| (key.clone(), *count)));
        }
        some
    }

    /// What `who` used ever, of what `matches(class, benefit)` names.
    pub fn total(&self, on: Dimension, who: &str, matches: impl Fn(&str, &str) -> bool) -> Count {
        let day = Date::MIN;
        let first = CountKey { on, who: who.to_owned(), day, class: String::new(), benefit: String::new() };
        let mut sum = Count::default();
        for (key, count) in self.0.range(first..).take_while(|(key, _)| key.on == on && key.who == who) {
            if matches(&key.class, &key.benefit) {
                sum.uses += count.uses;
                sum.minutes += count.minutes;
                sum.fen += count.fen;
            }
        }
        sum
    }
}

/// The first day of the window that ends with `today`; `None` for a visit, which counts nothing from before.
pub fn first_day(window: Window, today: Date) -> Option<Date> {
    match window {
        Window::Visit => None,
        Window::Day => Some(today),
        Window::Week => Some(today.checked_sub(jiff::Span::new().days(6)).unwrap_or(Date::MIN)),
        Window::Month => Some(today.first_of_month()),
        Window::Year => Some(today.first_of_year()),
    }
}

impl Weekday {
    /// The weekday of a civil day.
    pub fn of(day: Date) -> Self {
        match day.weekday() {
            jiff::civil::Weekday::Monday => Self::Mon,
            jiff::civil::Weekday::Tuesday => Self::Tue,
            jiff::civil::Weekday::Wednesday => Self::Wed,
            jiff::civil::Weekday::Thursday => Self::Thu,
            jiff::civil::Weekday::Friday => Self::Fri,
            jiff::civil::Weekday::Saturday => Self::Sat,
            jiff::civil::Weekday::Sunday => Self::Sun,
        }
    }
}
