//! The evening's accounts: who owes whom for what was spent and given, and the day that is closed and never edited.

mod close;
mod post;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::benefit::{Split, Use};
use super::event::{BusinessDay, Fen, GrantId, JournalHead, LaneId, OpId, Points, StayId, TerminalId, Totals};

pub(super) use close::close;
pub(super) use post::post;

/// What of an entry belongs to a business day; in the same transaction as what it is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Posting {
    /// The day.
    pub day: BusinessDay,
    /// Who owes whom.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub legs: Vec<Leg>,
    /// Stays that ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stays: Vec<StayId>,
    /// Where a vehicle passed that had no stay.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub strangers: Vec<LaneId>,
    /// Names that stand for several payers, where points were spent whose lot may have such a funder.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub funders: BTreeMap<String, Split>,
}

/// Why somebody owes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LegKind {
    /// Points of one lot were spent.
    Spend,
    /// Such points went back: the debt the other way round.
    Undone,
    /// A benefit lowered a parking fee.
    Benefit,
}

/// One debt of a payer to an acceptor. Amounts are never negative: the kind says which way they go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leg {
    /// Why.
    pub what: LegKind,
    /// The spend, or what undid it; none for a benefit, which its stay names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub op: Option<OpId>,
    /// The spend that was undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<OpId>,
    /// The stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stay: Option<StayId>,
    /// Who pays; none: who funds the grant's lot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payer: Option<String>,
    /// Who is paid; none: who was paid by what is undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acceptor: Option<String>,
    /// The grant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<GrantId>,
    /// How many points of it.
    pub points: Points,
    /// What they paid, or what the benefit took off, before the lot's rate.
    pub fen: Fen,
    /// What of the rules it is for; none for points, whose lot says where they came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<Rule>,
}

/// What of the rules a party pays for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Rule {
    /// The benefit's id in the rules.
    pub benefit: String,
    /// The campaign whose budget it uses up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub campaign: Option<String>,
    /// The coupon's, pass's or validation's own number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
}

impl Rule {
    fn of(used: &Use) -> Self {
        let Use { benefit, campaign, instance, .. } = used.clone();
        Self { benefit, campaign, instance }
    }
}

/// Staff close a business day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closing {
    /// Which.
    pub day: BusinessDay,
    /// Who.
    pub by: String,
}

/// A day that was closed: nothing is ever posted to it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {
    /// Which.
    pub day: BusinessDay,
    /// Who closed it.
    pub by: String,
    /// What it came to.
    pub report: Report,
    /// Up to this entry the tills' stored answers are kept no longer: the journal alone has them from here on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forgets: Option<u64>,
}

/// How many days a stored answer is kept at least, once its own day is closed and the cloud holds its entry.
pub const ANSWERS_KEPT_DAYS: i32 = 7;

/// What deciding to close a day rests on.
#[derive(Clone, Debug, Default)]
pub struct ClosingFacts {
    /// The newest day that is closed.
    pub last: Option<BusinessDay>,
    /// The oldest day that has anything in it and is not closed.
    pub oldest: Option<BusinessDay>,
    /// What the day comes to.
    pub report: Report,
    /// Up to which entry answers may be forgotten, where there are any.
    pub forgets: Option<u64>,
}

/// What a day came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Each till.
    pub tills: Vec<TillDay>,
    /// Who owes whom, in all.
    pub owed: Vec<Owed>,
    /// What each party paid for what, less what went back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub costs: Vec<Cost>,
    /// What the vehicles that left came to.
    pub stays: StaySums,
    /// What till, lane and journal say the same of: lines of the tills' books and stays.
    pub matched: u64,
    /// What they do not say the same of, the first [`EXCEPTIONS_MAX`].
    pub exceptions: Vec<Exception>,
    /// How many more there are.
    #[serde(default)]
    pub more_exceptions: u64,
    /// Paper vouchers that were keyed in, and what they let off.
    #[serde(default)]
    pub vouchers: (u64, Fen),
    /// Where the journal stood before the entry that closed the day.
    pub head: JournalHead,
}

/// The most exceptions that a report lists: more than that nobody reads one by one, and an entry stays small.
pub const EXCEPTIONS_MAX: usize = 200;

/// A till's day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TillDay {
    /// Which till.
    pub terminal: TerminalId,
    /// What it did.
    pub totals: Totals,
    /// Shifts of the day without a Z slip.
    pub open_shifts: u64,
}

/// What one party owes another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owed {
    /// Who pays.
    pub payer: String,
    /// Who is paid.
    pub acceptor: String,
    /// For how many points.
    pub points: Points,
    /// What they and the benefits were worth to the customer.
    pub face_fen: Fen,
    /// What is owed for it, after each lot's rate.
    pub fen: Fen,
}

/// What the owner of a budget paid for one benefit, or for points.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// Who pays.
    pub payer: String,
    /// The benefit's id in the rules; none: points.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub benefit: Option<String>,
    /// The campaign.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub campaign: Option<String>,
    /// How many legs.
    pub count: u64,
    /// What they were worth to the customer.
    pub face_fen: Fen,
    /// What is owed for it, after each lot's rate.
    pub fen: Fen,
}

/// What the vehicles that left came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StaySums {
    /// How many.
    pub count: u64,
    /// Their fees, less benefits.
    pub fee_fen: Fen,
    /// What benefits took off.
    pub benefit_fen: Fen,
    /// What was paid before the exit, at tills and elsewhere.
    pub paid_fen: Fen,
    /// What points paid at the exit.
    pub points_fen: Fen,
    /// What guards let go.
    pub waived_fen: Fen,
    /// What is still owed.
    pub owed_fen: Fen,
}

/// How till, lane and journal disagree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mismatch {
    /// A till counted requests that never came here.
    TillOnly,
    /// The box holds something that no till has finished.
    BoxOnly,
    /// A vehicle passed that no stay belongs to.
    LaneOnly,
    /// Amounts that should be the same are not.
    AmountDiff,
    /// A till says that it happened at another time than this box saw.
    TimeDiff,
    /// The same sale came by two ways; it earned once.
    Duplicate,
    /// A party disputes it.
    Disputed,
    /// A guard let it go.
    WrittenOff,
}

/// Something that somebody should look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exception {
    /// How they disagree.
    pub state: Mismatch,
    /// The till, the stay, the lane or the transaction.
    pub about: String,
    /// By how much; 0 where it is no amount.
    pub fen: Fen,
    /// How many things it is about.
    pub count: u64,
}
