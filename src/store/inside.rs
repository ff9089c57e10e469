//! The vehicles inside, kept ready in memory for the matching; made from the tables at start, then from every record.

use std::collections::BTreeMap;

use anyhow::Context;
use rusqlite::Connection;

use crate::domain::decide::Found;
use crate::domain::event::{ArrivalRead, LaneId, Matched, Record, StayId, UtcMs};
use crate::domain::lane::{Lane, Phase, PossibleStay, WaitReason};
use crate::domain::matching::answer::{CERTAIN_PPM, Ppm, Thresholds, Verdict};
use crate::domain::matching::errors::ErrorModel;
use crate::domain::matching::learning::Experience;
use crate::domain::matching::members::Regular;
use crate::domain::matching::park::{Asked, Inside, Park, Seen};
use crate::domain::matching::prior::NoEntry;
use crate::domain::plate::Plate;
use crate::domain::plate::class::Format;
use crate::domain::plate::told::{Stage, Told};
use crate::domain::stay::{EntryRead, Reread, Stay};

/// Who is inside, and what each exit has shown.
pub(super) struct InsideNow {
    park: Park<StayId>,
    exits: BTreeMap<LaneId, NoEntry>,
    /// What is believed of an exit that has shown nothing since the start.
    believed: NoEntry,
}

impl InsideNow {
    /// From the tables; `formats` are plates' shapes besides those of GA 36. While the box was off vehicles may have come in that it does not know.
    pub fn read(db: &Connection, formats: Vec<Format>) -> anyhow::Result<Self> {
        let mut park = Park::new(&ErrorModel::default(), Thresholds::default(), formats);
        let sql = "SELECT stay, plate, entry_lane, entry_ms, entry_read FROM stay INDEXED BY stay_inside_by_plate
                   WHERE plate IS NOT NULL AND state IN ('pending_entry', 'open', 'pending_exit')";
        let mut statement = db.prepare(sql)?;
        let mut rows = statement.query(())?;
        while let Some(row) = rows.next()? {
            let (stay, plate, lane, entry): (String, String, String, i64) =
                (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
            let plate = plate.parse().context("read a stored plate")?;
            let told: Option<String> = row.get(4)?;
            let told: Option<EntryRead> =
                told.map(|text| serde_json::from_str(&text)).transpose().context("read what was told of an entry")?;
            park.enter(StayId(stay), vehicle(plate, &LaneId(lane), UtcMs(entry), told.map(|read| read.told)));
        }
        for ((entry, exit), experience) in experiences(db)? {
            park.remember(&entry, &exit, experience);
        }
        let mut statement = db.prepare("SELECT entry_lane, exit_lane, vehicles FROM camera_pair")?;
        let mut rows = statement.query(())?;
        while let Some(row) = rows.next()? {
            let (entry, exit): (String, String) = (row.get(0)?, row.get(1)?);
            park.left_by(&entry, &exit, row.get(2)?);
        }
        let mut believed = NoEntry::default();
        if !park.is_empty() {
            believed.after_outage();
        }
        Ok(Self { park, exits: BTreeMap::new(), believed })
    }

    /// The plate that all reads of one vehicle say together; none where it cannot be weighed.
    pub fn together(&self, reads: &[Seen]) -> Option<Plate> {
        self.park.together(reads)
    }

    /// How certain it is that a vehicle is each of the members whose plates are near.
    pub fn weigh_members(&self, reads: &[Seen], near: &[Regular], members: usize) -> Vec<Ppm> {
        self.park.weigh_members(reads, near, members)
    }

    /// Which stay a vehicle is whose plate was read so at a lane; none where nobody is inside.
    pub fn find(&self, reads: Vec<Seen>, lane: &LaneId, at: UtcMs) -> Option<Found> {
        if self.park.is_empty() {
            return None;
        }
        let asked = Asked {
            reads,
            no_entry_ppm: self.exits.get(lane).unwrap_or(&self.believed).expected_ppm(),
            at_s: Some(at.0.div_euclid(1000)),
        };
        let found = self.park.ask(&asked)?;
        let thresholds = self.park.thresholds();
        let teaches = |candidate: &PossibleStay| candidate.posterior_ppm >= thresholds.member_ppm;
        let candidates: Vec<PossibleStay> = found
            .candidates
            .into_iter()
            .map(|candidate| PossibleStay {
                stay: candidate.key,
                plate: candidate.plate,
                posterior_ppm: candidate.posterior_ppm,
                second_factor: candidate.second_factor,
            })
            .collect();
        let best = candidates.first().filter(|best| teaches(best));
        let lesson = best.and_then(|best| self.park.lesson(&best.stay, lane.as_str(), &found.read, false));
        Some(Found { verdict: found.verdict, read: found.read, candidates, none_ppm: found.none_ppm, lesson })
    }

    /// What a guard's choice among the candidates of a waiting vehicle amounts to.
    pub fn chosen(&self, lane_id: &LaneId, lane: &Lane, stay: &StayId) -> Option<Found> {
        let Phase::Waiting(waiting) = &lane.phase else { return None };
        let read = waiting.visit.plate.clone()?;
        let lesson = self.park.lesson(stay, lane_id.as_str(), &read, true);
        Some(Found { verdict: Verdict::Guard, read, candidates: waiting.candidates.clone(), none_ppm: 0, lesson })
    }

    /// Follows a record. `before` is the lane's state before it, where it moves one.
    pub fn follow(&mut self, record: &Record, before: Option<&Lane>) {
        if let Record::StayOpened { stay } = record {
            self.opened(stay);
        } else if let Record::StayClosed { stay, .. } | Record::StayVoided { stay, .. } = record {
            self.park.leave(stay);
        } else if let Record::StayCorrected(corrected) = record {
            if corrected.exit.is_none() {
                self.park.leave(&corrected.stay.id);
                self.opened(&corrected.stay);
            }
        } else if let Record::StayReread(reread) = record {
            let Reread { stay, plate, entry_read, .. } = &**reread;
            if let Some(known) = self.park.inside(stay).cloned() {
                let (lane, entry) = (LaneId(known.camera), UtcMs(known.entered_s.unwrap_or(0) * 1000));
                let better = vehicle(plate.clone(), &lane, entry, Some(entry_read.told.clone()));
                self.park.enter(stay.clone(), better);
            }
        } else if let Record::StayMatched(Matched { lane, entry_lane, none_ppm, lesson, .. }) = record {
            self.exit(lane).saw(*none_ppm);
            self.park.left_by(entry_lane.as_str(), lane.as_str(), 1);
            if let Some(lesson) = lesson {
                self.park.learn(entry_lane.as_str(), lane.as_str(), lesson);
            }
        } else if let Record::LaneMoved { lane, state } = record {
            if is_new_stranger(before, state) {
                self.exit(lane).saw(CERTAIN_PPM);
            }
        } else if let Record::ExperienceReset { .. } = record {
            self.park.unlearn();
        }
    }

    fn opened(&mut self, stay: &Stay) {
        if let Some(plate) = &stay.plate {
            let told = stay.entry_read.as_ref().map(|read| read.told.clone());
            self.park.enter(stay.id.clone(), vehicle(plate.clone(), &stay.entry_lane, stay.entry, told));
        }
    }

    fn exit(&mut self, lane: &LaneId) -> &mut NoEntry {
        self.exits.entry(lane.clone()).or_insert(self.believed)
    }
}

/// All that the camera pairs have shown, by entry lane and exit lane.
pub(super) fn experiences(db: &Connection) -> anyhow::Result<BTreeMap<(String, String), Experience>> {
    let mut all: BTreeMap<(String, String), Experience> = BTreeMap::new();
    let mut statement = db.prepare("SELECT entry_lane, exit_lane, lessons FROM camera_pair WHERE lessons > 0")?;
    let mut rows = statement.query(())?;
    while let Some(row) = rows.next()? {
        all.entry((row.get(0)?, row.get(1)?)).or_default().lessons = row.get(2)?;
    }
    let mut statement = db.prepare("SELECT entry_lane, exit_lane, held_out, signs, count FROM camera_pair_signs")?;
    let mut rows = statement.query(())?;
    while let Some(row) = rows.next()? {
        let experience = all.entry((row.get(0)?, row.get(1)?)).or_default();
        let counts = if row.get(2)? { &mut experience.held_out } else { &mut experience.seen };
        counts.insert(row.get(3)?, row.get(4)?);
    }
    Ok(all)
}

/// Whether a lane's state says, for the first time of this vehicle, that it has no entry.
fn is_new_stranger(before: Option<&Lane>, now: &Lane) -> bool {
    let stranger = |lane: &Lane| match &lane.phase {
        Phase::Waiting(waiting) if waiting.why == WaitReason::NoEntryFound => Some(waiting.visit.event.clone()),
        Phase::Waiting(_) | Phase::Idle | Phase::Raised(_) => None,
    };
    let now = stranger(now);
    now.is_some() && before.and_then(stranger) != now
}

/// All reads of one vehicle at a lane, as the matching takes them, the oldest first. A camera's result replaces what it said
/// of the same event before: they are no two witnesses.
pub(super) fn seen(reads: &[ArrivalRead], lane: &LaneId) -> Vec<Seen> {
    let one = |read: &ArrivalRead| Seen {
        plate: read.plate.clone(),
        confidences: basis_points(&read.told),
        others: read
            .told
            .candidates
            .iter()
            .map(|other| (other.plate.clone(), u16::from(other.confidence.min(100)) * 100))
            .collect(),
        colour: read.told.colour,
        vehicle: read.told.vehicle,
        camera: lane.to_string(),
        // Who reads a picture and says nothing of its characters is no better witness than a camera's first guess.
        is_quick: read.told.stage == Stage::Quick
            || read.told.picture_of.is_some() && read.told.char_confidence.is_empty(),
    };
    let is_replaced = |place: usize| {
        let is_result = |read: &ArrivalRead| read.told.stage != Stage::Quick && read.event == reads[place].event;
        reads[place + 1..].iter().any(is_result)
    };
    (0..reads.len()).filter(|place| !is_replaced(*place)).map(|place| one(&reads[place])).collect()
}

fn basis_points(told: &Told) -> Vec<u16> {
    told.char_confidence.iter().map(|confidence| u16::from((*confidence).min(100)) * 100).collect()
}

fn vehicle(plate: Plate, lane: &LaneId, entry: UtcMs, told: Option<Told>) -> Inside {
    let told = told.unwrap_or_default();
    Inside {
        plate,
        confidences: basis_points(&told),
        colour: told.colour,
        vehicle: told.vehicle,
        // A lane has one camera for plates; that of the stay's entry is known by its lane.
        camera: lane.to_string(),
        entered_s: Some(entry.0.div_euclid(1000)),
    }
}
