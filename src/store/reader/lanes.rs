//! The lanes as they are now and the last things that their cameras said.

use rusqlite::OptionalExtension;

use super::{ReadError, View, from_json, from_word, unsigned};
use crate::domain::event::{LaneId, ReadOutcome, UtcMs};
use crate::domain::lane::Lane;

/// A lane's stored state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneRow {
    /// The lane.
    pub lane: LaneId,
    /// What it is doing.
    pub state: Lane,
}

/// A plate read and what its lane made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadRow {
    /// The entry that took it.
    pub seq: u64,
    /// The lane.
    pub lane: LaneId,
    /// The camera.
    pub device: String,
    /// The camera's identity of the event.
    pub event: String,
    /// The plate as it was read, if it was.
    pub plate: Option<String>,
    /// The camera's confidence, 0 to 100.
    pub confidence: u8,
    /// When.
    pub captured: UtcMs,
    /// What the lane made of it.
    pub outcome: ReadOutcome,
}

impl View<'_> {
    /// Every lane, by name.
    pub fn lanes(&self) -> Result<Vec<LaneRow>, ReadError> {
        let mut query = self.tx.prepare_cached("SELECT lane, state FROM lane ORDER BY lane")?;
        let mut rows = query.query([])?;
        let mut lanes = Vec::new();
        while let Some(row) = rows.next()? {
            let state: String = row.get(1)?;
            lanes.push(LaneRow { lane: LaneId(row.get(0)?), state: from_json("lane.state", &state)? });
        }
        Ok(lanes)
    }

    /// One lane; none where nothing ever happened at it.
    pub fn lane(&self, lane: &LaneId) -> Result<Option<Lane>, ReadError> {
        let mut query = self.tx.prepare_cached("SELECT state FROM lane WHERE lane = ?1")?;
        let state: Option<String> = query.query_row([lane.as_str()], |row| row.get(0)).optional()?;
        state.map(|state| from_json("lane.state", &state)).transpose()
    }

    /// The newest plate reads, newest first.
    pub fn last_reads(&self, most: usize) -> Result<Vec<ReadRow>, ReadError> {
        let sql = "SELECT seq, lane, device, plate, confidence, captured_ms, outcome, event \
                   FROM plate_read ORDER BY seq DESC LIMIT ?1";
        let mut query = self.tx.prepare_cached(sql)?;
        let mut rows = query.query([most as i64])?;
        let mut reads = Vec::new();
        while let Some(row) = rows.next()? {
            reads.push(ReadRow {
                seq: unsigned("plate_read.seq", row.get(0)?)?,
                lane: LaneId(row.get(1)?),
                device: row.get(2)?,
                event: row.get(7)?,
                plate: row.get(3)?,
                confidence: row.get(4)?,
                captured: UtcMs(row.get(5)?),
                outcome: from_word("plate_read.outcome", row.get(6)?)?,
            });
        }
        Ok(reads)
    }
}
