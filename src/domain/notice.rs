//! What the driver before a barrier is told: which of the site's sentences, and what is filled in.

use serde::Deserialize;

use super::event::{Fen, RaiseCause, StayId};
use super::lane::{Direction, Lane, Phase, Raised, WaitReason, Waiting};
use super::plate::Plate;
use super::stay::Stay;

/// What there is to say. Each has its words in every language of the site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// Nobody is there.
    Standby,
    /// The vehicle may come in.
    Welcome,
    /// It may leave, and nothing was due.
    Farewell,
    /// It may leave; money covers the fee.
    Paid,
    /// It may leave; points cover the fee.
    PaidByPoints,
    /// It may leave, and its plate owes the fee.
    OnAccount,
    /// A person lets it through.
    GoAhead,
    /// An emergency holds the barrier up.
    Emergency,
    /// A fee is due.
    PleasePay,
    /// Earlier stays owe money.
    PayDebts,
    /// No entry of this vehicle is known.
    NoEntry,
    /// A person has to look.
    AskGuard,
    /// The plate cannot be read.
    NoPlate,
    /// No bay is free.
    Full,
    /// It has no right to come in here.
    NoRight,
}

impl Word {
    /// All of them: a site's words name each.
    pub const ALL: [Self; 15] = [
        Self::Standby,
        Self::Welcome,
        Self::Farewell,
        Self::Paid,
        Self::PaidByPoints,
        Self::OnAccount,
        Self::GoAhead,
        Self::Emergency,
        Self::PleasePay,
        Self::PayDebts,
        Self::NoEntry,
        Self::AskGuard,
        Self::NoPlate,
        Self::Full,
        Self::NoRight,
    ];
}

/// What is told at a lane now. Two that are equal need not be told twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// What there is to say.
    pub word: Word,
    /// The vehicle's plate, where one was read.
    pub plate: Option<Plate>,
    /// Its stay.
    pub stay: Option<StayId>,
    /// What its stay costs in all, where it leaves.
    pub fee: Option<Fen>,
    /// What is still to be paid.
    pub due: Option<Fen>,
    /// How long it was inside, in whole minutes, where it leaves.
    pub parked_min: Option<i64>,
}

impl Notice {
    /// What a lane's state means to the driver before it; `stay` is the stay of the vehicle that the lane serves.
    pub fn of(lane: &Lane, direction: Direction, stay: Option<&Stay>) -> Self {
        let visit = lane.visit();
        let leaving = stay.filter(|_| direction == Direction::Exit);
        let fee = leaving.and_then(|stay| stay.fee.as_ref()).map(|fee| fee.total);
        let parked_min = leaving.zip(visit).map(|(stay, visit)| (visit.captured.0 - stay.entry.0).max(0) / 60_000);
        let (word, due) = match &lane.phase {
            _ if lane.emergency.is_some() => (Word::Emergency, None),
            Phase::Idle => (Word::Standby, None),
            Phase::Waiting(waiting) => missing(waiting),
            Phase::Raised(raised) => (allowed(raised, direction, fee), None),
        };
        Self {
            word,
            plate: visit.and_then(|visit| visit.plate.clone()),
            stay: visit.and_then(|visit| visit.stay.clone()),
            fee,
            due,
            parked_min,
        }
    }
}

fn missing(waiting: &Waiting) -> (Word, Option<Fen>) {
    let word = match waiting.why {
        WaitReason::FeeDue => Word::PleasePay,
        WaitReason::DebtsDue => Word::PayDebts,
        WaitReason::NoEntryFound => Word::NoEntry,
        WaitReason::NoPlate => Word::NoPlate,
        WaitReason::Full => Word::Full,
        WaitReason::Blocked | WaitReason::NoZoneRight => Word::NoRight,
        WaitReason::ChoiceOfStay | WaitReason::LeavingElsewhere | WaitReason::InsideAlready => Word::AskGuard,
    };
    (word, waiting.due.filter(|due| due.0 > 0))
}

fn allowed(raised: &Raised, direction: Direction, fee: Option<Fen>) -> Word {
    let by_direction = match direction {
        Direction::Entry => Word::Welcome,
        Direction::Exit if fee.is_some_and(|fee| fee.0 > 0) => Word::Paid,
        Direction::Exit => Word::Farewell,
    };
    match &raised.cause {
        RaiseCause::Entry | RaiseCause::NothingDue | RaiseCause::StillThere => by_direction,
        RaiseCause::Points => Word::PaidByPoints,
        RaiseCause::Paid => Word::Paid,
        RaiseCause::Debt => Word::OnAccount,
        RaiseCause::Staff { .. } | RaiseCause::Zone | RaiseCause::HeldByLoop | RaiseCause::SafetyLoop => Word::GoAhead,
        RaiseCause::Emergency => Word::Emergency,
    }
}
