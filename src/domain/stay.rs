//! One vehicle's visit, from the entry read to the moment it has passed the exit.

use serde::{Deserialize, Serialize};

use super::admission::Right;
use super::admission::table::NoEntry;
use super::event::{Fen, LaneId, MemberId, StayId, UtcMs};
use super::plate::Plate;
use super::plate::told::Told;
use super::tariff::Fee;

/// Where a stay is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StayState {
    /// The barrier was raised; the vehicle has not passed yet.
    PendingEntry,
    /// The vehicle is inside.
    Open,
    /// The vehicle is at the exit.
    PendingExit,
    /// The vehicle has left.
    Closed,
    /// It never entered, or its exit was never seen.
    Void,
}

/// One visit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stay {
    /// Its id.
    pub id: StayId,
    /// The plate, or the number of its ticket; none where a guard let an unreadable vehicle in.
    pub plate: Option<Plate>,
    /// The member whose plate it is, if the member consented.
    pub member: Option<MemberId>,
    /// Where it is in its life.
    pub state: StayState,
    /// The lane of entry.
    pub entry_lane: LaneId,
    /// When it was read at the entry.
    pub entry: UtcMs,
    /// The version of the rules that its fee follows, pinned at entry.
    pub rules: u32,
    /// The last computed fee.
    pub fee: Option<Fee>,
    /// What has been paid.
    pub paid: Fen,
    /// When it was last paid.
    pub paid_at: Option<UtcMs>,
    /// What earlier stays of the plate still owe; added to what this one costs.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub debts: Fen,
    /// On what right it is inside, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub right: Option<Right>,
    /// By which rule its entry was assumed, where none was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assumed: Option<NoEntry>,
    /// Set where the box's clock was not known to be right at its entry.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub untrusted: bool,
    /// Its parts in inner lots, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub zones: Vec<ZoneVisit>,
    /// What the camera at the entry told of it; none where a person let it in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry_read: Option<EntryRead>,
}

impl Stay {
    /// The same, as if nothing had been paid for it.
    pub fn unpaid(&self) -> Self {
        Self { paid: Fen(0), paid_at: None, ..self.clone() }
    }
}

/// A part of a stay in an inner lot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoneVisit {
    /// Which lot.
    pub zone: String,
    /// When it drove in.
    pub from: UtcMs,
    /// When it drove out; none while it is there.
    pub to: Option<UtcMs>,
}

/// What a camera told of a vehicle that came in, for the exit to compare.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryRead {
    /// The camera's identity of the event, by which its pictures are found.
    pub event: String,
    /// What it told besides the text.
    #[serde(default, skip_serializing_if = "Told::is_silent")]
    pub told: Told,
    /// Where the member's plate is not quite what was read: how it was recognised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recognised: Option<Recognised>,
}

/// What a vehicle is known by since it was read better.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reread {
    /// Which stay.
    pub stay: StayId,
    /// The plate that all statements together say.
    pub plate: Plate,
    /// Whose plate that is, if the member consented.
    pub member: Option<MemberId>,
    /// What was told of it.
    pub entry_read: EntryRead,
    /// On what right it is inside, where that plate has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub right: Option<Right>,
    /// What earlier stays of that plate still owe.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub debts: Fen,
}

/// How a member was recognised by a plate that was read a little wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recognised {
    /// The member's plate.
    pub plate: Plate,
    /// How certain it is, in millionths.
    pub posterior_ppm: u32,
    /// Whether colour and kind of vehicle are those of that plate's last visit.
    pub second_factor: bool,
}

fn is_nothing(fen: &Fen) -> bool {
    fen.0 == 0
}
