//! The vehicles inside, kept ready in memory for the matching; made from the tables at start, then from every record.

use std::collections::BTreeMap;

use anyhow::Context;
use rusqlite::Connection;

use crate::domain::decide::Found;
use crate::domain::event::{LaneId, Record, StayId, UtcMs};
use crate::domain::lane::{Lane, Phase, PossibleStay, WaitReason};
use crate::domain::matching::answer::{CERTAIN_PPM, Thresholds, Verdict};
use crate::domain::matching::errors::ErrorModel;
use crate::domain::matching::learning::Experience;
use crate::domain::matching::park::{Asked, Inside, Park, Seen};
use crate::domain::matching::prior::NoEntry;
use crate::domain::plate::Plate;
use crate::domain::stay::Stay;

/// Who is inside, and what each exit has shown.
pub(super) struct InsideNow {
    park: Park<StayId>,
    exits: BTreeMap<LaneId, NoEntry>,
    /// What is believed of an exit that has shown nothing since the start.
    believed: NoEntry,
}

impl InsideNow {
    /// From the tables. While the box was off vehicles may have come in that it does not know.
    pub fn read(db: &Connection) -> anyhow::Result<Self> {
        let mut park = Park::new(&ErrorModel::default(), Thresholds::default(), Vec::new());
        let sql = "SELECT stay, plate, entry_lane, entry_ms FROM stay INDEXED BY stay_inside_by_plate
                   WHERE plate IS NOT NULL AND state IN ('pending_entry', 'open', 'pending_exit')";
        let mut statement = db.prepare(sql)?;
        let mut rows = statement.query(())?;
        while let Some(row) = rows.next()? {
            let (stay, plate, lane, entry): (String, String, String, i64) =
                (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
            let plate = plate.parse().context("read a stored plate")?;
            park.enter(StayId(stay), vehicle(plate, &LaneId(lane), UtcMs(entry)));
        }
        for ((entry, exit), experience) in experiences(db)? {
            park.remember(&entry, &exit, experience);
        }
        let mut believed = NoEntry::default();
        if !park.is_empty() {
            believed.after_outage();
        }
        Ok(Self { park, exits: BTreeMap::new(), believed })
    }

    /// Which stay a plate is that was read at a lane; none where nobody is inside.
    pub fn find(&self, plate: &Plate, lane: &LaneId, at: UtcMs) -> Option<Found> {
        if self.park.is_empty() {
            return None;
        }
        let asked = Asked {
            reads: vec![Seen {
                plate: plate.clone(),
                confidences: Vec::new(),
                others: Vec::new(),
                colour: None,
                camera: lane.to_string(),
                is_quick: false,
            }],
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
            })
            .collect();
        let best = candidates.first().filter(|best| teaches(best));
        let lesson = best.and_then(|best| self.park.lesson(&best.stay, lane.as_str(), plate, false));
        Some(Found { verdict: found.verdict, read: plate.clone(), candidates, none_ppm: found.none_ppm, lesson })
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
        } else if let Record::StayMatched { lane, entry_lane, none_ppm, lesson, .. } = record {
            self.exit(lane).saw(*none_ppm);
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
            self.park.enter(stay.id.clone(), vehicle(plate.clone(), &stay.entry_lane, stay.entry));
        }
    }

    fn exit(&mut self, lane: &LaneId) -> &mut NoEntry {
        self.exits.entry(lane.clone()).or_insert(self.believed)
    }
}

/// All that the camera pairs have shown, by entry lane and exit lane.
pub(super) fn experiences(db: &Connection) -> anyhow::Result<BTreeMap<(String, String), Experience>> {
    let mut all: BTreeMap<(String, String), Experience> = BTreeMap::new();
    let mut statement = db.prepare("SELECT entry_lane, exit_lane, lessons FROM camera_pair")?;
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

fn vehicle(plate: Plate, lane: &LaneId, entry: UtcMs) -> Inside {
    Inside {
        plate,
        confidences: Vec::new(),
        colour: None,
        // A lane has one camera for plates; that of the stay's entry is known by its lane.
        camera: lane.to_string(),
        entered_s: Some(entry.0.div_euclid(1000)),
    }
}
