//! The picture: everything that the page shows, read from the ledger file in one look.

use std::collections::BTreeMap;

use super::candidates;
use crate::domain::capacity::Counts;
use crate::domain::event::{Fen, LaneId, Points, UtcMs};
use crate::domain::lane::{Direction, Lane, Phase, PossibleStay, Visit, Waiting};
use crate::domain::losses::DayReport;
use crate::domain::plate::Plate;
use crate::domain::plate::told::End;
use crate::metrics::DeviceHealth;
use crate::photos::{Arrival, Photos};
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
    /// Why no points are spent, where they are not.
    pub quarantined: Option<String>,
    /// All points that this box could still spend.
    pub exposure: Points,
    /// How many debts are open, and of how much.
    pub debts: (u64, Fen),
    pub is_emergency: bool,
    pub inside: u64,
    pub lanes: Vec<LanePicture>,
    pub reads: Vec<(ReadRow, Arrival)>,
    pub ended: Vec<EndedStay>,
    pub alarms: Vec<Alarm>,
    pub cloud_is_up: bool,
    /// How the devices are; not from the ledger file.
    pub devices: Vec<DeviceHealth>,
    /// How many bays are free, of the car park (the empty name) and of its inner lots, where they are counted.
    pub free: Vec<(String, i64)>,
    /// What was lost on the last day that is over.
    pub last_day: Option<DayReport>,
}

/// One lane.
pub struct LanePicture {
    pub sign: LaneSign,
    pub now: Lane,
    pub stay: Option<StayRow>,
    pub member: Option<MemberRow>,
    pub usable: Points,
    pub candidates: Vec<Plate>,
    pub possible: Vec<Possible>,
    /// Of each of its cameras that took any, the front one first.
    pub photos: Vec<Arrival>,
}

/// A stay that the waiting vehicle may be, as a guard compares it.
pub struct Possible {
    pub stay: PossibleStay,
    /// When it came in, and where.
    pub entered: Option<(UtcMs, LaneId)>,
    /// What was seen of it then.
    pub photos: Arrival,
}

/// One stay that ended, and how it was paid.
pub struct EndedStay {
    pub row: StayRow,
    pub payments: Vec<PaymentRow>,
    pub points: StayPoints,
    pub member: Option<MemberRow>,
}

impl Picture {
    /// Looks at everything.
    pub fn take(
        view: &View<'_>,
        signs: &[LaneSign],
        photos: &Photos,
        cloud_is_up: bool,
        spaces: &[(String, u32)],
    ) -> Result<Self, ReadError> {
        let counts = if spaces.is_empty() { Counts::default() } else { view.counts()? };
        Ok(Self {
            head: view.head()?,
            unacknowledged: view.unacknowledged()?,
            quarantined: view.points_stopped()?,
            exposure: view.exposure()?,
            debts: view.open_debts()?,
            is_emergency: view.is_emergency()?,
            inside: view.inside_count()?,
            lanes: lanes(view, signs, photos)?,
            reads: reads(view, photos)?,
            ended: ended(view)?,
            alarms: view.alarms(ALARMS_SHOWN)?,
            cloud_is_up,
            devices: Vec::new(),
            free: spaces.iter().map(|(zone, spaces)| (zone.clone(), counts.free(zone, *spaces))).collect(),
            last_day: view.day_reports(1)?.pop(),
        })
    }
}

impl LanePicture {
    /// The vehicle that waits for money or a person.
    pub fn waiting(&self) -> Option<&Waiting> {
        match &self.now.phase {
            Phase::Waiting(waiting) => Some(waiting),
            Phase::Idle | Phase::Raised(_) => None,
        }
    }
}

/// The lanes of the settings; one of which the ledger knows nothing yet is idle.
fn lanes(view: &View<'_>, signs: &[LaneSign], photos: &Photos) -> Result<Vec<LanePicture>, ReadError> {
    let mut known: BTreeMap<LaneId, Lane> = view.lanes()?.into_iter().map(|row| (row.lane, row.state)).collect();
    signs.iter().map(|sign| lane(view, photos, sign.clone(), known.remove(&sign.id).unwrap_or_default())).collect()
}

fn lane(view: &View<'_>, photos: &Photos, sign: LaneSign, now: Lane) -> Result<LanePicture, ReadError> {
    let stay = now.stay().map(|stay| view.stay(stay)).transpose()?.flatten();
    let member_id = stay.as_ref().and_then(|row| row.stay.member.clone());
    let member = member_id.as_ref().map(|id| view.member(id)).transpose()?.flatten();
    let usable = member_id.as_ref().map(|id| view.usable_points(id)).transpose()?.unwrap_or_default();
    let possible = now.candidates().iter().map(|stay| possible(view, photos, stay)).collect::<Result<_, _>>()?;
    let photos = now.visit().map(|visit| of_visit(photos, &sign.id, visit)).unwrap_or_default();
    let mut lane = LanePicture { sign, now, stay, member, usable, candidates: Vec::new(), possible, photos };
    if let Some(plate) = lane.waiting().and_then(|waiting| waiting.visit.plate.as_ref()) {
        lane.candidates = candidates::near(plate.as_str(), &view.plates_inside(MOST_COMPARED)?);
    }
    Ok(lane)
}

/// Of each of the lane's cameras, the front one first: both may have read the vehicle, and each more than once.
fn of_visit(photos: &Photos, lane: &LaneId, visit: &Visit) -> Vec<Arrival> {
    let all: Vec<Arrival> = visit.all_events().map(|event| photos.of_arrival(lane, event)).collect();
    let of_end = |end| all.iter().find(|arrival| arrival.end() == Some(end)).cloned();
    [End::Front, End::Rear].into_iter().filter_map(of_end).collect()
}

/// What a guard compares of a stay with the vehicle at the exit: when it came in, and its picture then.
fn possible(view: &View<'_>, photos: &Photos, stay: &PossibleStay) -> Result<Possible, ReadError> {
    let row = view.stay(&stay.stay)?;
    let entered = row.as_ref().map(|row| (row.stay.entry, row.stay.entry_lane.clone()));
    let photos = row.as_ref().and_then(|row| {
        let read = row.stay.entry_read.as_ref()?;
        Some(photos.of_entry(&row.stay.entry_lane, &read.event, row.stay.entry))
    });
    Ok(Possible { stay: stay.clone(), entered, photos: photos.unwrap_or_default() })
}

fn reads(view: &View<'_>, photos: &Photos) -> Result<Vec<(ReadRow, Arrival)>, ReadError> {
    let with_photos = |read: ReadRow| {
        let arrival = photos.of_arrival(&read.lane, &read.event);
        (read, arrival)
    };
    Ok(view.last_reads(READS_SHOWN)?.into_iter().map(with_photos).collect())
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
