//! The picture: everything that the page shows, read from the ledger file in one look.

use serde_json::Value;

use super::candidates;
use crate::domain::event::{ArmPosition, CommandAnswer, Fen, LaneId, Points, RaiseCause, StayId};
use crate::domain::lane::Direction;
use crate::domain::plate::Plate;
use crate::store::reader::journal::{Alarm, Head};
use crate::store::reader::lanes::ReadRow;
use crate::store::reader::members::MemberRow;
use crate::store::reader::stays::{PaymentRow, StayPoints, StayRow};
use crate::store::reader::{ReadError, View};

/// How many plate reads are shown.
const READS_SHOWN: usize = 10;
/// How many stays that ended are shown.
const ENDED_SHOWN: usize = 8;
/// How many alarms are shown.
const ALARMS_SHOWN: usize = 6;
/// How many vehicles inside are compared with a plate that has no entry: a big site's whole car park.
const MOST_COMPARED: usize = 4000;

/// A lane's sign on the page, from the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneSign {
    /// The lane.
    pub id: LaneId,
    /// Which way it leads.
    pub direction: Direction,
}

/// Everything that the page shows.
pub struct Picture {
    pub head: Head,
    pub unacknowledged: u64,
    pub quarantined: Option<String>,
    pub inside: u64,
    pub lanes: Vec<LanePicture>,
    pub reads: Vec<ReadRow>,
    pub ended: Vec<EndedStay>,
    pub alarms: Vec<Alarm>,
    pub cloud_is_up: bool,
}

/// One lane.
pub struct LanePicture {
    pub sign: LaneSign,
    pub now: LaneNow,
    pub stay: Option<StayRow>,
    pub member: Option<MemberRow>,
    pub usable: Points,
    pub candidates: Vec<Plate>,
}

/// One stay that ended, and how it was paid.
pub struct EndedStay {
    pub row: StayRow,
    pub payments: Vec<PaymentRow>,
    pub points: StayPoints,
    pub member: Option<MemberRow>,
}

/// What a lane is doing, as far as this page understands it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nobody is there.
    Idle,
    /// A vehicle stands and may not go yet.
    Waiting {
        /// What is due, where it is known.
        due: Option<Fen>,
        /// Why it waits, in the domain's word.
        why: Option<String>,
    },
    /// The barrier was commanded up.
    Raised {
        /// Why.
        cause: Option<RaiseCause>,
        /// What the device said.
        answer: Option<CommandAnswer>,
    },
    /// A word that this page does not know.
    Other(String),
}

/// A lane's state, as far as this page understands it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneNow {
    pub phase: Phase,
    pub plate: Option<Plate>,
    pub stay: Option<StayId>,
    pub arrival: bool,
    pub passage: bool,
    pub arm: Option<ArmPosition>,
}

impl LaneNow {
    /// The state from its stored form. What is missing or strange is shown as unknown: a screen never stops a lane.
    fn of(state: &Value) -> Self {
        let phase = &state["phase"];
        let visit = &phase["visit"];
        Self {
            phase: phase_of(phase),
            plate: part(&visit["plate"]),
            stay: part(&visit["stay"]),
            arrival: state["arrival"].as_bool().unwrap_or(false),
            passage: state["passage"].as_bool().unwrap_or(false),
            arm: part(&state["arm"]),
        }
    }

    /// Whether a vehicle waits for money or a person.
    pub fn is_waiting(&self) -> bool {
        matches!(self.phase, Phase::Waiting { .. })
    }
}

impl Picture {
    /// Looks at everything.
    pub fn take(view: &View<'_>, signs: &[LaneSign], cloud_is_up: bool) -> Result<Self, ReadError> {
        Ok(Self {
            head: view.head()?,
            unacknowledged: view.unacknowledged()?,
            quarantined: view.fact("quarantined")?,
            inside: view.inside_count()?,
            lanes: lanes(view, signs)?,
            reads: view.last_reads(READS_SHOWN)?,
            ended: ended(view)?,
            alarms: view.alarms(ALARMS_SHOWN)?,
            cloud_is_up,
        })
    }
}

fn lanes(view: &View<'_>, signs: &[LaneSign]) -> Result<Vec<LanePicture>, ReadError> {
    let rows = view.lanes()?;
    let mut lanes = Vec::new();
    for sign in signs {
        let state = rows.iter().find(|row| row.lane == sign.id).map_or(&Value::Null, |row| &row.state);
        lanes.push(lane(view, sign.clone(), LaneNow::of(state))?);
    }
    Ok(lanes)
}

fn lane(view: &View<'_>, sign: LaneSign, now: LaneNow) -> Result<LanePicture, ReadError> {
    let stay = now.stay.as_ref().map(|stay| view.stay(stay)).transpose()?.flatten();
    let member_id = stay.as_ref().and_then(|row| row.stay.member.clone());
    let member = member_id.as_ref().map(|id| view.member(id)).transpose()?.flatten();
    let usable = member_id.as_ref().map(|id| view.usable_points(id)).transpose()?.unwrap_or_default();
    let candidates = match (&now.plate, now.is_waiting()) {
        (Some(plate), true) => candidates::near(plate.as_str(), &view.plates_inside(MOST_COMPARED)?),
        (Some(_), false) | (None, true | false) => Vec::new(),
    };
    Ok(LanePicture { sign, now, stay, member, usable, candidates })
}

fn ended(view: &View<'_>) -> Result<Vec<EndedStay>, ReadError> {
    let mut ended = Vec::new();
    for row in view.recently_ended(ENDED_SHOWN)? {
        let id = row.stay.id.clone();
        let member = row.stay.member.as_ref().map(|member| view.member(member)).transpose()?.flatten();
        ended.push(EndedStay { payments: view.payments(&id)?, points: view.points_of(&id)?, member, row });
    }
    Ok(ended)
}

fn phase_of(phase: &Value) -> Phase {
    match phase["at"].as_str() {
        Some("idle") | None => Phase::Idle,
        Some("waiting") => Phase::Waiting { due: part(&phase["due"]), why: part(&phase["why"]) },
        Some("raised") => Phase::Raised { cause: part(&phase["cause"]), answer: part(&phase["answer"]) },
        Some(other) => Phase::Other(other.to_owned()),
    }
}

fn part<T: serde::de::DeserializeOwned>(value: &Value) -> Option<T> {
    serde_json::from_value(value.clone()).ok()
}
