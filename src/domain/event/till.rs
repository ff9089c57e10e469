//! What tills ask besides a plain commit, what the journal keeps of it, and what they are answered.

use serde::{Deserialize, Serialize};

use super::{Fen, MemberId, OpId, Points, StayId, TerminalId, TillAnswer, UtcMs};
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
    /// The shift is over: the Z slip.
    CloseShift {
        /// Which.
        shift: u32,
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
    /// What the points that go back had paid.
    pub points_fen: Fen,
    /// Points that go back to the member.
    pub points: Points,
    /// Earned points that were taken back.
    pub taken: Points,
    /// Earned points that are not here any more and are owed.
    pub owed: Points,
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
    /// The till's receipt.
    pub receipt: String,
    /// Who bought.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<MemberId>,
    /// The stay whose parking was paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stay: Option<StayId>,
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
    /// Points earned.
    pub earned: Points,
    /// The earning, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earning: Option<OpId>,
    /// The version of the rules by which it was reckoned.
    pub rules: u32,
    /// When it happened, by the till's clock where it says.
    pub at: UtcMs,
}

/// One kind of line in a total.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// How many lines.
    pub count: u64,
    /// Goods.
    pub sale_fen: Fen,
    /// What points paid of them.
    pub sale_points_fen: Fen,
    /// Parking.
    pub parking_fen: Fen,
    /// What points paid of it.
    pub parking_points_fen: Fen,
    /// Points spent; of what was given back, points that went back.
    pub points_spent: Points,
    /// Points earned; of what was given back, points that were taken back.
    pub points_earned: Points,
}

/// What a shift, a terminal or a day did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Commits.
    pub sales: Tally,
    /// Captures.
    pub captures: Tally,
    /// Voids, also of requests that were given up.
    pub voids: Tally,
    /// Refunds.
    pub refunds: Tally,
    /// Holds that are neither captured nor free.
    pub open_holds: u64,
    /// Numbers that are missing in the till's own count.
    pub missing_numbers: u64,
}

impl Totals {
    /// Money that lies in the drawer for it: taken less given back.
    pub fn cash(&self) -> Fen {
        let cash = |tally: &Tally| {
            tally.sale_fen.0 - tally.sale_points_fen.0 + tally.parking_fen.0 - tally.parking_points_fen.0
        };
        Fen(cash(&self.sales) - cash(&self.voids) - cash(&self.refunds))
    }
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

/// A cashier begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShiftStart {
    /// At which terminal.
    pub terminal: TerminalId,
    /// Which of its shifts.
    pub shift: u32,
    /// On which business day.
    pub day: BusinessDay,
    /// Who, where the till says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<String>,
}

/// A shift is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShiftEnd {
    /// At which terminal.
    pub terminal: TerminalId,
    /// Which of its shifts.
    pub shift: u32,
    /// On which business day.
    pub day: BusinessDay,
    /// What it did.
    pub totals: Totals,
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
