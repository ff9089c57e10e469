//! What tills ask besides a plain commit, what the journal keeps of it, and what they are answered.

use serde::{Deserialize, Serialize};

use super::totals::{HourTotals, Totals};
use super::{
    CouponMove, CouponWish, Fen, MemberId, Money, OpId, Points, Shop, Shown, Stated, StayId, TerminalId, TillAnswer,
    UtcMs,
};
use crate::domain::benefit::SaleFacts;
use crate::domain::points::Part;

/// A business day of the site, in days since 1970-01-01.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BusinessDay(pub i32);

/// Where a request stands in the till's own books.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TillMark {
    /// The till's own count of its writing requests, from 1; a hole means that one was lost on the way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<u64>,
    /// The shift that the till believes to be open, as this box counts them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shift: Option<u32>,
    /// The shop where it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub merchant: Option<String>,
    /// What is known of that shop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shop: Option<Shop>,
}

/// A till's request that is not a commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TillAct {
    /// The terminal, already verified.
    pub terminal: TerminalId,
    /// The idempotency key.
    pub key: String,
    /// SHA-256 of the canonical body, in hex.
    pub fingerprint: String,
    /// Where it stands in the till's own books.
    #[serde(default)]
    pub mark: TillMark,
    /// What is asked.
    pub wish: TillWish,
}

/// What a till asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "wish", rename_all = "snake_case")]
pub enum TillWish {
    /// Set points aside for a sale that is not finished.
    Hold {
        /// Whose.
        member: MemberId,
        /// How many.
        points: Points,
        /// After how long they are free again.
        ttl_ms: i64,
        /// How the till knows whose; old journals do not say.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        shown: Option<Shown>,
    },
    /// Spend what was set aside, or a part of it; the rest is free again.
    Capture {
        /// The hold.
        hold: OpId,
        /// What the points are to pay; none: everything that was set aside.
        fen: Option<Fen>,
        /// The till's own receipt number.
        receipt: String,
    },
    /// What was set aside is not needed.
    Release {
        /// The hold.
        hold: OpId,
    },
    /// Take back a whole transaction of the same business day.
    Void {
        /// Which.
        transaction: OpId,
    },
    /// Goods come back.
    Refund {
        /// The transaction that sold them.
        transaction: OpId,
        /// What they cost.
        fen: Fen,
    },
    /// The till gives up a request whose answer it never had.
    Reverse {
        /// Its key.
        original_key: String,
    },
    /// A cashier begins.
    OpenShift {
        /// Who, where the till says.
        operator: Option<String>,
    },
    /// Something about a coupon.
    Coupon(CouponWish),
    /// What was sold in an hour to customers whom nobody knows; the newest word about an hour counts.
    Report(HourTotals),
    /// The shift is over: the Z slip.
    CloseShift {
        /// Which.
        shift: u32,
        /// What the till has counted itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stated: Option<Stated>,
    },
}

/// What was done for a till; its stored answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "did", rename_all = "snake_case")]
pub enum TillDone {
    /// Points are set aside.
    Held {
        /// The hold.
        hold: OpId,
        /// How many.
        points: Points,
        /// What they pay at most.
        fen: Fen,
        /// When they are free again.
        expires: UtcMs,
        /// What this box can still spend for the member.
        usable: Points,
    },
    /// What was set aside is spent.
    Captured {
        /// The transaction.
        transaction: OpId,
        /// The hold.
        hold: OpId,
        /// How many points.
        points: Points,
        /// What they paid.
        fen: Fen,
        /// How many are free again.
        released: Points,
        /// What this box can still spend for the member.
        usable: Points,
    },
    /// What was set aside is free again.
    Released {
        /// The hold.
        hold: OpId,
        /// How many.
        points: Points,
        /// What this box can still spend for the member.
        usable: Points,
    },
    /// A transaction was taken back, or goods of it.
    GivenBack(GivenBack),
    /// A request was given up.
    Reversed {
        /// Its key.
        original_key: String,
        /// What came of it.
        result: Reversal,
        /// What was given back, where something was.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        back: Option<GivenBack>,
    },
    /// A coupon was used, or is good again.
    Coupon(CouponMove),
    /// What was sold in an hour is kept.
    Reported(HourTotals),
    /// A shift has begun.
    ShiftOpened {
        /// Which.
        shift: u32,
        /// On which business day.
        day: BusinessDay,
    },
    /// A shift is over.
    ShiftClosed {
        /// Which.
        shift: u32,
        /// On which business day.
        day: BusinessDay,
        /// What it did.
        totals: Totals,
        /// What the till says that it did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stated: Option<Box<Stated>>,
    },
}

/// What became of a request that the till gave up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reversal {
    /// It was applied and is undone now.
    Reversed,
    /// It was never seen, and is refused should it still come.
    Tombstoned,
    /// It had been refused, or undone before: there was nothing to undo.
    NothingToUndo,
    /// It stands, because what it did cannot be undone; its own answer says what it was.
    Kept,
}

/// What goes back to the customer and what is taken back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenBack {
    /// This giving back.
    pub back: OpId,
    /// The transaction that it is about.
    pub transaction: OpId,
    /// The goods that came back.
    pub sale_fen: Fen,
    /// Money for the customer.
    pub cash_fen: Fen,
    /// To which payments it goes back; none: cash.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub money: Vec<Money>,
    /// What the points that go back had paid.
    pub points_fen: Fen,
    /// Points that go back to the member.
    pub points: Points,
    /// Earned points that were taken back.
    pub taken: Points,
    /// Earned points that are not here any more and are owed.
    pub owed: Points,
    /// The coupon that is good again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coupon: Option<String>,
    /// The stay whose parking is unpaid again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stay: Option<StayId>,
    /// What this box can still spend for the member.
    pub usable: Points,
}

/// Points that are set aside for a till.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TillHold {
    /// The hold.
    pub op: OpId,
    /// By which terminal.
    pub terminal: TerminalId,
    /// Whose points.
    pub member: MemberId,
    /// How many.
    pub points: Points,
    /// What they pay at most.
    pub fen: Fen,
    /// From which grants.
    pub parts: Vec<Part>,
    /// When they are free again, by this box's clock.
    pub expires: UtcMs,
    /// What is known of the shop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shop: Option<Shop>,
}

/// Why points are not set aside any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldEnd {
    /// They are spent, by the spend in the same entry; what it did not take is free again.
    Captured,
    /// The till did not need them.
    Released,
    /// The till did nothing in time.
    Expired,
    /// The epoch of their grants ended.
    EpochEnded,
}

/// What a line of the tills' books is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BookingKind {
    /// Something was sold, or parking was paid.
    Sale,
    /// Points that were set aside were spent.
    Capture,
    /// A transaction was taken back.
    Void,
    /// Goods came back.
    Refund,
}

/// A till's sale.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sale {
    /// The effect's id.
    pub op: OpId,
    /// At which terminal.
    pub terminal: TerminalId,
    /// The till's receipt.
    pub receipt: String,
    /// Who bought.
    pub member: Option<MemberId>,
    /// For how much.
    pub total_fen: Fen,
    /// When.
    pub at_ms: UtcMs,
}

/// A till's answer, kept for a repeat of its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    /// Which terminal.
    pub terminal: TerminalId,
    /// Which key.
    pub key: String,
    /// SHA-256 of the canonical body, in hex; empty where the request never came.
    pub fingerprint: String,
    /// The till's own number of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u64>,
    /// The till's shift; 0 in journals from before there were shifts.
    #[serde(default)]
    pub shift: u32,
    /// The business day.
    #[serde(default)]
    pub day: BusinessDay,
    /// What was answered.
    pub answer: TillAnswer,
}

/// A line of the tills' books. Amounts are never negative: the kind says which way they went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Booking {
    /// The transaction, or the giving back.
    pub op: OpId,
    /// What it is.
    pub what: BookingKind,
    /// The transaction that is taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<OpId>,
    /// At which terminal.
    pub terminal: TerminalId,
    /// In which of its shifts.
    pub shift: u32,
    /// On which business day.
    pub day: BusinessDay,
    /// The shop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merchant: Option<String>,
    /// What is known of the shop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shop: Option<Shop>,
    /// The till's receipt.
    pub receipt: String,
    /// The same sale that came by another way before, and has earned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duplicate_of: Option<OpId>,
    /// Of a request that was given up: the same sale by another way, which stands and keeps what it earned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_with: Option<OpId>,
    /// By how many milliseconds the till's clock or a late line puts it before this box's own time, where that is much.
    #[serde(default, skip_serializing_if = "super::kept::is_nothing")]
    pub late_ms: i64,
    /// Who bought.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<MemberId>,
    /// The stay whose parking was paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stay: Option<StayId>,
    /// The list of prices that the member has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_level: Option<String>,
    /// What the goods would have cost without it, where the till said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list_fen: Option<Fen>,
    /// The visit during which the member bought: the member's stay that was inside then, where plates may be matched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visit: Option<StayId>,
    /// What was bought.
    pub sale_fen: Fen,
    /// What points paid of it.
    pub sale_points_fen: Fen,
    /// How many points that were.
    pub sale_points: Points,
    /// What parking cost.
    pub parking_fen: Fen,
    /// What points paid of it.
    pub parking_points_fen: Fen,
    /// How many points that were.
    pub parking_points: Points,
    /// With what kinds of money the rest was paid, or goes back; none: cash.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub money: Vec<Money>,
    /// Points earned.
    pub earned: Points,
    /// The earning, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earning: Option<OpId>,
    /// How the earning came about, where a member bought; of what came back, what of it is taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub how: Option<Box<EarnedHow>>,
    /// The version of the rules by which it was reckoned.
    pub rules: u32,
    /// When it happened, by the till's clock where it says.
    pub at: UtcMs,
}

/// How what a sale earned came about, so that goods that come back are reckoned by the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EarnedHow {
    /// What was known.
    pub sale: SaleFacts,
    /// What bonuses added.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extra: Vec<ExtraPoints>,
    /// Status points: they count for the tier and buy nothing.
    #[serde(default)]
    pub status: Points,
    /// By how much it changed what the member carries to the next sale, in parts of a point.
    #[serde(default)]
    pub carried_by: i64,
}

/// Points that a bonus added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtraPoints {
    /// The bonus.
    pub bonus: String,
    /// The earning.
    pub op: OpId,
    /// How many.
    pub points: Points,
    /// The campaign whose budget pays for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub campaign: Option<String>,
    /// What they cost it.
    #[serde(default, skip_serializing_if = "super::kept::is_zero")]
    pub cost: Fen,
}

/// Money that a till took for parking is given back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentVoid {
    /// The effect's id.
    pub op: OpId,
    /// The payment.
    pub of: OpId,
    /// For which stay.
    pub stay: StayId,
    /// How much.
    pub fen: Fen,
}

/// Earned points that are taken back: they are gone from this box and from the member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakenBack {
    /// The effect's id.
    pub op: OpId,
    /// The earning that was too much.
    pub of: OpId,
    /// Whose.
    pub member: MemberId,
    /// How many.
    pub points: Points,
    /// From which grants.
    pub parts: Vec<Part>,
    /// The debt of points that this pays, where the earning itself was gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub debt: Option<OpId>,
}

/// Points that were earned too much and are not here any more: the next earning pays them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PointsDebt {
    /// The effect's id, and the debt's name.
    pub debt: OpId,
    /// The earning that was too much.
    pub of: OpId,
    /// Whose.
    pub member: MemberId,
    /// How many.
    pub points: Points,
}

/// A till is let in, or shut out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pairing {
    /// Which.
    pub terminal: TerminalId,
    /// The shop where it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merchant: Option<String>,
    /// SHA-256 of its token, in hex; none: it is shut out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_sha256: Option<String>,
    /// Who decided it.
    pub by: String,
}
