//! What a site gives: free minutes, coupons, passes, merchants' gifts and campaigns, with their limits, as typed tables.

use std::collections::BTreeMap;

use jiff::civil::{DateTime, Time};
use serde::Deserialize;

/// The benefits of a bundle. Everything is optional: a site that gives nothing has an empty table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Table {
    /// The tiers of members and how long a tier is believed.
    pub tiers: Tiers,
    /// Which benefit goes first, and which one wins where two may not be combined.
    pub order: Order,
    /// The most that all benefits together take off one visit, in fen.
    pub cap_fen_visit: Option<i64>,
    /// The most that all benefits together take off for one plate in one civil day, in fen.
    pub cap_fen_day: Option<i64>,
    /// Which classes may not be combined.
    pub stacking: Stacking,
    /// What tiers and paid plans are entitled to.
    #[serde(rename = "entitlement")]
    pub entitlements: Vec<Entitlement>,
    /// The kinds of coupons; the coupons themselves are the cloud's facts.
    #[serde(rename = "coupon")]
    pub coupons: Vec<CouponKind>,
    /// The kinds of passes.
    #[serde(rename = "pass")]
    pub passes: Vec<PassKind>,
    /// What merchants may give to a stay.
    #[serde(rename = "validation")]
    pub validations: Vec<ValidationKind>,
    /// Campaigns that benefits belong to.
    #[serde(rename = "campaign")]
    pub campaigns: Vec<Campaign>,
    /// Extra points for a sale or a payment.
    #[serde(rename = "bonus")]
    pub bonuses: Vec<Bonus>,
    /// How much of which benefit a plate, a member, a merchant or an operator gets.
    #[serde(rename = "limit")]
    pub limits: Vec<Limit>,
    /// Names that stand for several payers; a name that is not here pays alone.
    #[serde(rename = "funder")]
    pub funders: BTreeMap<String, Split>,
    /// Which points may pay for parking here.
    pub lots: LotPolicy,
}

/// The tiers of members.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tiers {
    /// Their names, the lowest first.
    pub names: Vec<String>,
    /// The tier that a member has for certain when the cloud's word is too old; left out: the lowest.
    pub safe: Option<String>,
    /// How old the cloud's word may be, in hours; left out: any age.
    pub max_age_hours: Option<u32>,
}

/// How benefits are put in order within their step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// The one that takes most off alone goes first; where benefits exclude each other, the driver gets the cheapest way.
    #[default]
    BestFirst,
    /// As written: entitlements, validations, passes, coupons, each in the order of the file; the earlier one wins.
    Declared,
}

/// Which classes exclude each other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Stacking {
    /// Pairs of classes; a class beside itself means that only one of it is used on a stay.
    pub deny: Vec<(String, String)>,
}

/// When a benefit is given. Every condition that is written must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct When {
    /// Only members of one of these tiers.
    pub tiers: Vec<String>,
    /// Only members with one of these paid plans running.
    pub plans: Vec<String>,
    /// Only members with one of these tags of the cloud.
    pub tags: Vec<String>,
    /// From this civil time on.
    pub from: Option<DateTime>,
    /// Until before this civil time.
    pub until: Option<DateTime>,
    /// Only on these weekdays.
    pub weekdays: Vec<Weekday>,
    /// Only on these days of the month.
    pub days_of_month: Vec<i8>,
    /// Only on the member's birthday, or in its month.
    pub birthday: Option<Birthday>,
    /// Only from the first to before the second time of day; over midnight where the first is later.
    pub hours: Option<(Time, Time)>,
    /// Only at these sites or zones.
    pub places: Vec<String>,
    /// Only where the parking fee before benefits is at least this, in fen.
    pub min_fee_fen: Option<i64>,
    /// Only where receipts of at least this belong to the stay, in fen.
    pub min_spend_fen: Option<i64>,
    /// Only for one part of the members: of so many parts, this one, counted from 0.
    pub variant: Option<Variant>,
}

/// A part of the members, by a stable hash of their ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// How many parts there are.
    pub of: u32,
    /// Which one it is, from 0.
    pub is: u32,
}

/// A condition on a birthday; the box knows month and day, never the year.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Birthday {
    /// On the day itself.
    Day,
    /// In its month.
    Month,
}

/// A weekday.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names say it")]
pub enum Weekday {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

/// What a benefit gives.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Give {
    /// Time: so many minutes of the stay cost nothing.
    Minutes(u32),
    /// Time: the first so many minutes cost nothing; what else is free already counts into them.
    FirstMinutes(u32),
    /// Amount: so many fen less.
    Fen(i64),
    /// Amount: such a part less, in basis points of what is left.
    PercentBps(u32),
    /// Amount: what is left costs this at most, in fen.
    FixedPriceFen(i64),
    /// Amount: everything that is left.
    Full,
    /// A right: the vehicle may stand in this zone.
    Zone(String),
    /// A right: so many minutes to leave after paying, where the tariff gives fewer.
    GraceMinutes(u32),
    /// A right: these words at the lane.
    Greeting {
        /// In Chinese.
        zh: String,
        /// In English.
        en: String,
    },
    /// A right: this list of prices at the tills.
    PriceLevel(String),
    /// Goods or a service, handed over by a person who checks the coupon; never a part of a fee.
    Service(String),
    /// Points: what a member's sale earns, so many times, in basis points; 20000 is twice. Coupons alone give it.
    MultiplyBps(u32),
}

/// What a period of an allowance or a limit is, by the civil calendar of the site.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Window {
    /// This visit alone.
    #[default]
    Visit,
    /// The day on which the vehicle leaves.
    Day,
    /// That day and the six before it.
    Week,
    /// The calendar month.
    Month,
    /// The calendar year.
    Year,
}

/// What a tier or a paid plan is entitled to.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entitlement {
    /// The rule's name, printed on every line.
    pub id: String,
    /// What a driver reads, in Chinese.
    pub zh: String,
    /// What a driver reads, in English.
    pub en: String,
    /// Whom and when.
    #[serde(default)]
    pub when: When,
    /// What.
    pub give: Give,
    /// For minutes: the period that they are for.
    #[serde(default)]
    pub per: Window,
    /// The class for the stacking rules.
    #[serde(default = "tier_class")]
    pub class: String,
    /// Who pays for it.
    pub funder: Option<String>,
    /// The campaign that it belongs to.
    pub campaign: Option<String>,
    /// Which of a member's vehicles that are inside together may use it.
    #[serde(default)]
    pub vehicles: Vehicles,
}

/// Which of a member's vehicles may use an entitlement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Vehicles {
    /// Whichever leaves first, as far as the allowance reaches.
    #[default]
    FirstOut,
    /// Only the one that came in first.
    FirstIn,
}

/// A kind of coupon.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CouponKind {
    /// The kind's name.
    pub id: String,
    /// What a driver reads, in Chinese.
    pub zh: String,
    /// What a driver reads, in English.
    pub en: String,
    /// When it is good.
    #[serde(default)]
    pub when: When,
    /// At which merchants it may be used for goods; none: parking only.
    #[serde(default)]
    pub merchants: Vec<String>,
    /// What.
    pub give: Give,
    /// The class for the stacking rules.
    #[serde(default = "coupon_class")]
    pub class: String,
    /// Who pays for it; "merchant" is the one that issued the coupon.
    pub funder: Option<String>,
    /// The campaign that it belongs to.
    pub campaign: Option<String>,
    /// Whether a member's coupon of this kind is used without being shown.
    #[serde(default)]
    pub automatic: bool,
    /// The most that an unclaimed one may take off here while another site could take it too, in fen.
    #[serde(default)]
    pub offline_risk_fen: i64,
}

/// A kind of pass: a window of days, a set of merchants, a number of uses.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PassKind {
    /// The kind's name.
    pub id: String,
    /// What a driver reads, in Chinese.
    pub zh: String,
    /// What a driver reads, in English.
    pub en: String,
    /// When it is good.
    #[serde(default)]
    pub when: When,
    /// How many days it runs, its first day included.
    pub days: u32,
    /// At which merchants it is good; the parking operator counts as the merchant "parking".
    pub merchants: Vec<String>,
    /// How often at each merchant; left out: any number of times.
    pub uses_per_merchant: Option<i64>,
    /// How often in all; left out: any number of times.
    pub uses: Option<i64>,
    /// What it gives each time.
    pub give: Give,
    /// The class for the stacking rules.
    #[serde(default = "pass_class")]
    pub class: String,
    /// Who pays for it.
    pub funder: Option<String>,
    /// The campaign that it belongs to.
    pub campaign: Option<String>,
}

/// What a merchant may give to a stay.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValidationKind {
    /// The kind's name.
    pub id: String,
    /// What a driver reads, in Chinese.
    pub zh: String,
    /// What a driver reads, in English.
    pub en: String,
    /// When it is good.
    #[serde(default)]
    pub when: When,
    /// Which merchants may give it; none: every one.
    #[serde(default)]
    pub merchants: Vec<String>,
    /// What.
    pub give: Give,
    /// The class for the stacking rules.
    #[serde(default = "merchant_class")]
    pub class: String,
    /// Who pays for it; left out: the merchant that gave it.
    pub funder: Option<String>,
    /// The campaign that it belongs to.
    pub campaign: Option<String>,
}

/// A campaign: a window, an audience and a budget for the benefits that name it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Campaign {
    /// Its name.
    pub id: String,
    /// From this civil time on.
    pub from: Option<DateTime>,
    /// Until before this civil time.
    pub until: Option<DateTime>,
    /// Only for members with one of these tags; none: for everybody.
    #[serde(default)]
    pub tags: Vec<String>,
    /// The most that it may cost in all, in fen.
    pub budget_fen: Option<i64>,
    /// This site's part of the budget while the cloud cannot be asked, in basis points.
    #[serde(default)]
    pub local_share_bps: u32,
    /// How long it goes on without word from the cloud, in hours; left out: for ever.
    pub max_age_hours: Option<u32>,
}

/// Extra points.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bonus {
    /// Its name.
    pub id: String,
    /// Whom and when.
    #[serde(default)]
    pub when: When,
    /// At which merchants' tills; none: at all of them. A till that stands in no shop is named by its own id.
    #[serde(default)]
    pub merchants: Vec<String>,
    /// Points on top.
    #[serde(default)]
    pub points: i64,
    /// A multiple of the plain points, in basis points; 10000 changes nothing. Only the best multiple counts.
    #[serde(default = "once")]
    pub multiply_bps: u32,
    /// Days before they may be spent.
    #[serde(default)]
    pub pending_days: u32,
    /// Days that they live, from the earning; left out: for ever.
    pub valid_days: Option<u32>,
    /// Who pays for them.
    pub funder: Option<String>,
    /// The campaign that it belongs to.
    pub campaign: Option<String>,
}

/// Whom a limit counts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Dimension {
    /// A plate, whoever the member is.
    Plate,
    /// A member, with whichever plate.
    Member,
    /// A merchant.
    Merchant,
    /// A person at a till or at the lane.
    Operator,
    /// A pass, by its own number.
    Pass,
    /// A campaign: what it has cost here.
    Campaign,
}

/// What happens beyond a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Beyond {
    /// Nothing more is given.
    #[default]
    Deny,
    /// It is given, and listed for staff.
    Flag,
    /// A second person must agree.
    SecondApproval,
}

/// How much of which benefit somebody gets in a window.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// Its name, told to the driver when it is reached.
    pub id: String,
    /// Whom it counts for.
    pub on: Dimension,
    /// The benefits that it counts, by name; none: see `classes`.
    #[serde(default)]
    pub benefits: Vec<String>,
    /// The classes that it counts; neither names nor classes: everything but points.
    #[serde(default)]
    pub classes: Vec<String>,
    /// For points: the sources of the lots that it counts.
    #[serde(default)]
    pub lot_sources: Vec<String>,
    /// The window.
    pub window: Window,
    /// At most so many uses.
    pub max_uses: Option<i64>,
    /// At most so much money, in fen.
    pub max_fen: Option<i64>,
    /// At most so many minutes.
    pub max_minutes: Option<i64>,
    /// What happens beyond it.
    #[serde(default)]
    pub beyond: Beyond,
}

/// Several payers behind one name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct Split {
    /// Who pays how much, in basis points that sum to 10000; each share is rounded down.
    pub shares: BTreeMap<String, u32>,
    /// Who pays what the rounding leaves.
    pub remainder: String,
}

/// Which points may pay for parking.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LotPolicy {
    /// Points from these sources never pay for parking.
    pub exclude_sources: Vec<String>,
    /// Points given back after they expired live at least so many days longer.
    pub min_life_days: u32,
}

impl Table {
    /// Whether somebody is greeted with words of their own.
    pub fn greets(&self) -> bool {
        self.entitlements.iter().any(|rule| matches!(rule.give, Give::Greeting { .. }))
    }

    /// Whether a condition asks where the vehicle is.
    pub fn asks_for_places(&self) -> bool {
        let whens = (self.entitlements.iter().map(|rule| &rule.when))
            .chain(self.coupons.iter().map(|rule| &rule.when))
            .chain(self.passes.iter().map(|rule| &rule.when))
            .chain(self.validations.iter().map(|rule| &rule.when))
            .chain(self.bonuses.iter().map(|rule| &rule.when));
        whens.into_iter().any(|when| !when.places.is_empty())
    }

    /// The longest window of an allowance or a limit; caps of a day count that day.
    pub fn longest_window(&self) -> Window {
        let allowances = self.entitlements.iter().map(|rule| rule.per);
        allowances.chain(self.limits.iter().map(|limit| limit.window)).fold(Window::Day, Window::max)
    }

    /// What tiers, coupons, passes and shops give, in Chinese and English, in the order of the file.
    pub fn in_words(&self) -> Vec<(String, String)> {
        let entitlements = self.entitlements.iter().map(|rule| (&rule.zh, &rule.en));
        let validations = self.validations.iter().map(|rule| (&rule.zh, &rule.en));
        let coupons = self.coupons.iter().map(|rule| (&rule.zh, &rule.en));
        entitlements.chain(validations).chain(coupons).map(|(zh, en)| (zh.clone(), en.clone())).collect()
    }

    /// Whether the stacking rules keep two classes apart.
    pub fn denies(&self, one: &str, other: &str) -> bool {
        self.stacking.deny.iter().any(|(a, b)| a == one && b == other || b == one && a == other)
    }
}

fn tier_class() -> String {
    "tier".to_owned()
}

fn coupon_class() -> String {
    "coupon".to_owned()
}

fn pass_class() -> String {
    "pass".to_owned()
}

fn merchant_class() -> String {
    "merchant".to_owned()
}

fn once() -> u32 {
    10_000
}
