//! Benefits: what a driver need not pay, why, who pays it instead, and what points could pay of the rest.
//!
//! Order of evaluation: eligibility, the fee before benefits, time, amounts, caps, points, budgets, cash, earnings,
//! legs. Time and amounts are different things: free minutes are taken off before the fee is rounded to its units.

mod asked;
mod bounds;
mod budget;
mod check;
mod earn;
mod eligible;
mod facts;
mod legs;
mod lint;
mod paying;
mod plan;
mod points;
mod privileges;
mod quote;
mod reason;
mod sale;
mod table;
#[cfg(test)]
mod tests;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

pub use asked::{Asked, Given};
pub use check::check;
pub use earn::{EarnRate, Earned, earn};
pub use eligible::{UNFUNDED, for_goods, pass_for_goods};
pub use facts::{
    CampaignNews, Count, CountKey, Counters, CouponState, Facts, HeldCoupon, HeldPass, Lot, MemberFacts, Source, Use,
    Validation, first_day,
};
pub use legs::{Leg, payers, shares_of};
pub use lint::{Finding, lint};
pub use paying::{ByPoints, Paying};
pub use points::{LotPart, Offer, Rate, Short};
pub use privileges::{IssuedPass, MonthDay, PaidPlan, Privileges};
pub use quote::{Known, Moment, RestsOn, answer, civil, greeting, quote, rate};
pub use reason::{Denied, NotUsed};
pub use sale::{
    Basket, SaleCoupon, SaleEarns, SaleFacts, asked_at_tills, campaign_of, points_cost, price_level, promise,
    sale_coupon, sale_earns, terms_of,
};
pub use table::{
    Beyond, Birthday, Bonus, Campaign, CouponKind, Dimension, Entitlement, Give, Limit, LotPolicy, Order, PassKind,
    Split, Stacking, Table, Tiers, ValidationKind, Variant, Vehicles, Weekday, When, Window,
};

use self::eligible::{Candidate, Gathered};
use self::plan::{Choice, Plan, Price, Step};
use self::reason::Reason;
use crate::domain::event::{Fen, Points};
use crate::domain::tariff::{Fee, FeeLine, yuan};

/// Who takes what is paid for parking.
pub const ACCEPTOR: &str = "parking";
/// Who pays with money.
pub const DRIVER: &str = "driver";

/// The rules of one reckoning.
pub struct Terms<'a> {
    /// The bundle's benefits.
    pub table: &'a Table,
    /// What points are worth.
    pub rate: &'a Rate,
    /// What money earns; `None`: parking earns nothing.
    pub earn: Option<&'a EarnRate>,
    /// The fee without payments where so many seconds from the start of the stay cost nothing.
    pub fee: &'a dyn Fn(i64) -> Fee,
    /// How long a driver who has paid may take to the exit, in minutes.
    pub grace_minutes: u32,
}

/// What a stay costs after benefits, and all that follows from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The fee before benefits.
    pub gross: Fen,
    /// The fee after benefits: its lines are those of the tariff, then one for each benefit.
    pub fee: Fee,
    /// What of the fee is still to be paid.
    pub due: Fen,
    /// What points could pay of it.
    pub points: Option<Offer>,
    /// What points may pay of it by the rules, however many there are.
    pub points_cap: Fen,
    /// What is left for money where the points are taken.
    pub cash: Fen,
    /// Benefits that were looked at and not used, or not to the full.
    pub not_used: Vec<NotUsed>,
    /// Who pays whom; sums to the gross.
    pub legs: Vec<Leg>,
    /// What is used up: held when the vehicle is let out, posted when it has passed, void if it backs out.
    pub uses: Vec<Use>,
    /// Limits gone beyond with leave, for staff to see.
    pub flags: Vec<String>,
    /// Rights that change no fee.
    pub rights: Rights,
    /// The civil day that the uses count for.
    pub day: Date,
    /// What the cash would earn.
    pub earned: Option<Earned>,
    /// Whether something is to be made good to the member when a doubt is cleared.
    pub true_up: bool,
}

/// Rights that change no fee.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rights {
    /// Zones where the vehicle may stand.
    pub zones: Vec<String>,
    /// Minutes to leave after paying.
    pub grace_minutes: u32,
    /// Words at the lane, in Chinese and English; they name neither person nor plate.
    pub greeting: Option<(String, String)>,
    /// The list of prices at the tills.
    pub price_level: Option<String>,
}

/// Reckons what a stay costs after benefits. Total: every stay has an answer, no amount in it is negative but those of
/// the lines, and the same rules and facts give the same bytes.
pub fn evaluate(terms: &Terms<'_>, facts: &Facts) -> Outcome {
    let plain = (terms.fee)(0);
    let gross = plain.total;
    let gathered = eligible::gather(terms.table, facts, gross);
    let bounds = bounds::bounds(terms.table, facts, &gathered.candidates);
    let of_free = |seconds: i64| if seconds == 0 { gross.0 } else { (terms.fee)(seconds).total.0 };
    let price = Price::new(&of_free, facts.stay_seconds.max(0));
    let choice = Choice { table: terms.table, candidates: &gathered.candidates, bounds: &bounds, price: &price };
    let (plan, not_chosen) = choice.make();
    let rights = rights(&gathered, terms.grace_minutes);

    let mut fee = plain;
    if plan.seconds > 0 {
        // Caps that the visits of a day share are charged by what is left after free time.
        fee.caps = (terms.fee)(plan.seconds).caps;
    }
    fee.lines.extend(plan.steps.iter().map(|step| line(&gathered.candidates[step.candidate], step)));
    fee.total = Fen(plan.left);
    let graced = grace(&mut fee, &rights, facts);
    let due = Fen((fee.total.0 - facts.paid.0).max(0));
    let against = points_denied_by(terms.table, &gathered.candidates, &plan);
    let (points, lots_not_used) = match against {
        None => points::offer(terms.table, terms.rate, facts, due),
        Some(_) if facts.lots.is_empty() => (None, Vec::new()),
        Some(other) => (None, vec![Reason::not_combinable(other).about(points::CLASS, None)]),
    };
    let points_cap = Fen(if against.is_some() { 0 } else { points::cap(terms.rate, facts, due) });
    let cash = Fen(due.0 - points.as_ref().map_or(0, |offer| offer.fen.0));

    let mut not_used = gathered.not_used.clone();
    not_used.extend(not_chosen);
    not_used.extend(lots_not_used);
    let mut uses: Vec<Use> =
        plan.steps.iter().map(|step| used(&gathered.candidates[step.candidate], step, facts)).collect();
    uses.extend(
        gathered.lent.iter().filter(|lent| is_taken(lent, facts)).map(|lent| used(lent, &Step::NOTHING, facts)),
    );
    uses.extend(points.iter().flat_map(|offer| offer.uses(facts)));
    let legs = legs::legs(terms.table, &gathered.candidates, &plan, points.as_ref(), graced, fee.total);
    let reckoned: Vec<(&Candidate<'_>, i64, i64)> =
        plan.steps.iter().map(|step| (&gathered.candidates[step.candidate], step.seconds, step.fen)).collect();
    let outcome = Outcome {
        gross,
        due,
        points_cap,
        cash,
        day: facts.civil.date(),
        legs,
        uses,
        not_used,
        rights,
        points,
        flags: bounds::flagged(terms.table, facts, &reckoned),
        earned: terms.earn.map(|rate| earn::of_cash(terms.table, rate, facts, cash)),
        true_up: gathered.true_up,
        fee,
    };
    outcome.assert_books();
    outcome
}

impl Outcome {
    fn assert_books(&self) {
        let lines: i64 = self.fee.lines.iter().map(|line| line.fen.0).sum();
        assert_eq!(lines, self.fee.total.0, "the lines of a fee sum to it");
        let legs: i64 = self.legs.iter().map(|leg| leg.fen.0).sum();
        assert_eq!(legs, self.gross.0, "the legs of a stay sum to its gross");
        let is_sane =
            self.fee.total.0 >= 0 && self.due.0 >= 0 && self.cash.0 >= 0 && self.legs.iter().all(|leg| leg.fen.0 >= 0);
        assert!(is_sane, "nobody is owed money by a stay");
    }

    /// What was looked at and not used, as the journal keeps it.
    pub fn denied(&self) -> Vec<Denied> {
        reason::denied(&self.not_used)
    }

    /// What a display says of the points that the outcome would take.
    pub fn points_words(&self) -> Option<(String, String)> {
        let offer = self.points.as_ref()?;
        let (points, fen) = (offer.points.0, yuan(offer.fen.0));
        Some((format!("积分{points}抵¥{fen}"), format!("{points} points pay ¥{fen}")))
    }
}

/// The benefit in use that the rules do not combine with points, if there is one.
fn points_denied_by<'a>(table: &Table, candidates: &[Candidate<'a>], plan: &Plan) -> Option<&'a str> {
    let used = plan.steps.iter().map(|step| &candidates[step.candidate]);
    used.into_iter().find(|used| table.denies(used.class, points::CLASS)).map(|used| used.rule)
}

fn line(candidate: &Candidate<'_>, step: &Step) -> FeeLine {
    let (zh, en) = match candidate.give {
        Give::Minutes(_) | Give::FirstMinutes(_) => {
            let minutes = minutes(step.seconds);
            (format!("免费{minutes}分钟"), format!("{minutes} min free"))
        }
        Give::PercentBps(bps) => {
            let part = format!("{}.{:02}%", bps / 100, bps % 100);
            (format!("减{part}"), format!("{part} off"))
        }
        Give::FixedPriceFen(fen) => (format!("一口价¥{}", yuan(*fen)), format!("costs ¥{}", yuan(*fen))),
        Give::Full => ("全免".to_owned(), "free".to_owned()),
        Give::Fen(_)
        | Give::Zone(_)
        | Give::GraceMinutes(_)
        | Give::Greeting { .. }
        | Give::PriceLevel(_)
        | Give::Service(_)
        | Give::MultiplyBps(_) => (format!("减¥{}", yuan(step.fen)), format!("¥{} off", yuan(step.fen))),
    };
    FeeLine {
        rule: candidate.rule.to_owned(),
        fen: Fen(-step.fen),
        zh: format!("{}:{zh}", candidate.zh),
        en: format!("{}: {en}", candidate.en),
    }
}

/// Whether a right that a coupon, pass or gift lends is used up by this stay: a lot that the vehicle was in.
fn is_taken(lent: &Candidate<'_>, facts: &Facts) -> bool {
    matches!(lent.give, Give::Zone(zone) if facts.places.contains(zone))
}

/// Started minutes.
fn minutes(seconds: i64) -> i64 {
    (seconds + 59) / 60
}

fn used(candidate: &Candidate<'_>, step: &Step, facts: &Facts) -> Use {
    Use {
        source: candidate.source,
        benefit: candidate.rule.to_owned(),
        instance: candidate.instance.map(str::to_owned),
        class: candidate.class.to_owned(),
        campaign: candidate.campaign.map(|campaign| campaign.id.clone()),
        member: facts.member.as_ref().map(|member| member.id.clone()),
        plate: facts.plate.clone(),
        merchant: candidate.merchant.map(str::to_owned),
        operator: candidate.operator.map(str::to_owned),
        day: facts.civil.date(),
        minutes: minutes(step.seconds),
        fen: Fen(step.fen),
    }
}

fn rights(gathered: &Gathered<'_>, grace_minutes: u32) -> Rights {
    let mut rights = Rights { grace_minutes, ..Rights::default() };
    for give in &gathered.rights {
        match give {
            Give::Zone(zone) => rights.zones.push(zone.clone()),
            Give::GraceMinutes(minutes) => rights.grace_minutes = rights.grace_minutes.max(*minutes),
            // Of several the last one counts: the table goes from the lowest tier to the highest.
            Give::Greeting { zh, en } => rights.greeting = Some((zh.clone(), en.clone())),
            Give::PriceLevel(level) => rights.price_level = Some(level.clone()),
            Give::Minutes(_)
            | Give::FirstMinutes(_)
            | Give::Fen(_)
            | Give::PercentBps(_)
            | Give::FixedPriceFen(_)
            | Give::Full
            | Give::Service(_)
            | Give::MultiplyBps(_) => {}
        }
    }
    rights
}

/// Within the grace after a payment nothing more is due; returns what that let go.
fn grace(fee: &mut Fee, rights: &Rights, facts: &Facts) -> Fen {
    let unpaid = fee.total.0 - facts.paid.0;
    let grace_ms = i64::from(rights.grace_minutes) * 60_000;
    let is_in_time = facts.paid_at.is_some_and(|paid_at| facts.at.0 <= paid_at.0.saturating_add(grace_ms));
    if unpaid <= 0 || !is_in_time {
        return Fen(0);
    }
    let minutes = rights.grace_minutes;
    fee.lines.push(FeeLine {
        rule: "grace".to_owned(),
        fen: Fen(-unpaid),
        zh: format!("缴费后{minutes}分钟内离场,免补差额"),
        en: format!("leaving within {minutes} min of paying"),
    });
    fee.total = facts.paid;
    Fen(unpaid)
}

impl Rate {
    /// What `points` are worth at most, in whole multiples.
    pub fn worth(&self, points: Points) -> Fen {
        let whole = points.0.max(0) / self.granularity * self.granularity;
        Fen(points::fen_of(self, whole))
    }
}
