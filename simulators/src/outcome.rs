//! What happened in the simulated mall, by the world's own account.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::cables::Misled;
use crate::faults::{Fault, Suffers};
use crate::led_card::Shown;
use crate::plan::Way;
use crate::tariff::{Rights, Tariff, points_earned_by, points_for_fen};

/// The world's account of a day.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Outcome {
    /// Cars that came.
    pub cars: usize,
    /// Cars that drove in.
    pub entries: usize,
    /// Cars that drove out.
    pub exits: usize,
    /// Times that a vehicle went through a barrier that nobody of the staff had raised.
    pub raised_automatically: usize,
    /// Times that a guard raised.
    pub manual: usize,
    /// Points that must have been spent.
    pub points_spent: i64,
    /// Points that must have been earned.
    pub points_earned: i64,
    /// Cash taken for parking.
    pub cash_fen: i64,
    /// Car by car.
    pub visits: Vec<Visit>,
    /// Member by member.
    pub members: Vec<MemberAccount>,
    /// Purchases.
    pub sales: Vec<Sale>,
    /// How often the box let an arm down behind a vehicle; never on one, or it is a trouble.
    pub arms_lowered: usize,
    /// What went wrong with devices and cables, and how often.
    pub faults: BTreeMap<&'static str, u32>,
    /// The same by what of the devices suffered.
    pub suffered: BTreeMap<Suffers, BTreeMap<&'static str, u32>>,
    /// What wrong cables did to vehicles, and what staff must have been told of it.
    pub misled: Vec<Misled>,
    /// Arms that broke, and whether staff were told.
    pub hurt: Vec<Hurt>,
    /// What each lane hangs on.
    pub devices: BTreeMap<&'static str, &'static str>,
    /// What displays and speakers were told.
    pub shown: Shown,
    /// What should not have happened, in words.
    pub troubles: Vec<String>,
    /// Plate message sent to raise seen, in microseconds, for every raise that followed a first read at once.
    #[serde(skip)]
    pub latency_us: Vec<u64>,
    /// The price list.
    #[serde(skip)]
    pub tariff: Option<Tariff>,
}

/// An arm that broke at a vehicle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hurt {
    /// How.
    pub what: Fault,
    /// The lane.
    pub lane: &'static str,
    /// What staff must be told.
    pub alarm: &'static str,
    /// Whether they were.
    pub is_told: bool,
    /// Whether the box was off while it happened, and need not have seen it.
    pub is_excused: bool,
}

/// One car's visit.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Visit {
    /// Its plate.
    pub plate: String,
    /// Its owner.
    pub member: Option<String>,
    /// How its driver meant to pay.
    pub way: Option<Way>,
    /// Its way in; none where it went back.
    pub entry: Option<Passage>,
    /// Its ways into the inner lot and out of it.
    pub inner: Vec<Passage>,
    /// Its way out; none while it is inside.
    pub exit: Option<Passage>,
    /// What was paid in cash.
    pub payments: Vec<Payment>,
    /// The coupon that was shown for it.
    pub coupon: Option<String>,
    /// What its driver need not pay.
    pub rights: Rights,
    /// Whether the box was off while the car stood at a lane, so that a guard may have had to help.
    pub disturbed: bool,
}

/// One way through a barrier.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Passage {
    /// The lane.
    pub lane: String,
    /// The camera's times of this vehicle's reads there, in milliseconds since 1970-01-01T00:00:00Z.
    pub captures_ms: Vec<i64>,
    /// Whether a guard raised.
    pub manual: bool,
    /// Whether nobody raised, and it went all the same.
    pub escaped: bool,
    /// Whether the camera there tells no time, or one so wrong that the box takes its own.
    pub is_by_the_box: bool,
    /// Whether a device failed the driver there, so that a guard may have had to help.
    pub is_failed: bool,
}

/// Cash for a stay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Payment {
    /// How much.
    pub fen: i64,
    /// `till` or `guard`.
    pub by: &'static str,
    /// When, in milliseconds since 1970-01-01T00:00:00Z.
    pub at_ms: i64,
}

/// What the day must have done to a member's points.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MemberAccount {
    /// The ledger's id.
    pub id: String,
    /// Before the day.
    pub balance: i64,
    /// Earned at tills.
    pub earned: i64,
    /// Spent on parking.
    pub spent: i64,
}

/// A purchase.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Sale {
    /// Where.
    pub terminal: String,
    /// The till's receipt.
    pub receipt: String,
    /// Who.
    pub member: Option<String>,
    /// For how much.
    pub fen: i64,
}

impl Visit {
    /// Cash in all.
    pub fn cash_fen(&self) -> i64 {
        self.payments.iter().map(|payment| payment.fen).sum()
    }

    /// The fee in fen by the first read at either end; none while the car is inside.
    pub fn fee_fen(&self, tariff: &Tariff) -> Option<i64> {
        let entry_ms = self.entry.as_ref()?.captures_ms.first()?;
        let exit_ms = self.exit.as_ref()?.captures_ms.first()?;
        Some(tariff.fee_fen_after(*entry_ms, *exit_ms, self.rights))
    }

    /// Points that must have paid for it: whatever cash did not pay, unless a guard let the car go.
    pub fn points(&self, tariff: &Tariff) -> i64 {
        let by_itself = self.exit.as_ref().is_some_and(|exit| !exit.manual);
        let fee_fen = self.fee_fen(tariff).filter(|_| by_itself && self.member.is_some());
        fee_fen.map_or(0, |fen| points_for_fen(fen - self.cash_fen()))
    }
}

impl Outcome {
    /// Adds visits and sales up; `balances` are the members' ids and points before the day.
    pub fn sum_up(&mut self, tariff: Tariff, balances: impl IntoIterator<Item = (String, i64)>) {
        let visits = &self.visits;
        let passages = || visits.iter().flat_map(|visit| visit.entry.iter().chain(&visit.inner).chain(&visit.exit));
        self.cars = visits.len();
        self.entries = visits.iter().filter(|visit| visit.entry.is_some()).count();
        self.exits = visits.iter().filter(|visit| visit.exit.is_some()).count();
        self.raised_automatically = passages().filter(|passage| !passage.manual && !passage.escaped).count();
        self.cash_fen = visits.iter().map(Visit::cash_fen).sum();
        let account = |(id, balance): (String, i64)| {
            let whose = |member: &Option<String>| member.as_deref() == Some(id.as_str());
            let bought = self.sales.iter().filter(|sale| whose(&sale.member));
            let earned = bought.map(|sale| points_earned_by(sale.fen)).sum();
            let spent = visits.iter().filter(|visit| whose(&visit.member)).map(|visit| visit.points(&tariff)).sum();
            MemberAccount { id, balance, earned, spent }
        };
        self.members = balances.into_iter().map(account).collect();
        self.points_spent = self.members.iter().map(|member| member.spent).sum();
        self.points_earned = self.members.iter().map(|member| member.earned).sum();
        self.tariff = Some(tariff);
    }
}
