//! Stays: who is inside, who has left, what each cost and why.

use rusqlite::{Params, Row};

use super::{ReadError, View, from_json, from_word, unsigned};
use crate::domain::capacity::Counts;
use crate::domain::event::{Evidence, Fen, LaneId, MemberId, Points, StayId, Tender, UtcMs};
use crate::domain::losses::DayReport;
use crate::domain::plate::Plate;
use crate::domain::stay::{Stay, StayState};
use crate::domain::tariff::{Fee, PriorVisit};

/// A stay with what happened to it beside its own decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StayRow {
    /// The stay.
    pub stay: Stay,
    /// The lane of the last exit read.
    pub exit_lane: Option<LaneId>,
    /// When it was read there.
    pub exit: Option<UtcMs>,
    /// What a guard let go unpaid.
    pub waived: Fen,
    /// What its plate still owes for it and for stays before it.
    pub owed: Fen,
    /// What corrections give back to its driver.
    pub refund: Fen,
    /// How the box knows that it came in.
    pub entry_evidence: Option<Evidence>,
    /// How the box knows that it left.
    pub exit_evidence: Option<Evidence>,
    /// Why it is void, where it is.
    pub void_reason: Option<String>,
    /// The entry that last changed it.
    pub changed_seq: u64,
}

/// Money that was taken for a stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentRow {
    /// How much.
    pub fen: Fen,
    /// From where.
    pub tender: Tender,
}

/// Points that a stay took: spent, or held until the vehicle has passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StayPoints {
    /// How many.
    pub points: Points,
    /// What they paid.
    pub fen: Fen,
}

const COLUMNS: &str = "stay, plate, member, state, entry_lane, entry_ms, exit_lane, exit_ms, rules, fee, paid_fen, \
                       paid_ms, waived_fen, entry_evidence, exit_evidence, void_reason, changed_seq, debts_fen, owed_fen, \
                       right_held, assumed, untrusted, refund_fen, entry_read";
const INSIDE: &str = "state IN ('pending_entry', 'open', 'pending_exit')";

impl View<'_> {
    /// How many vehicles are inside.
    pub fn inside_count(&self) -> Result<u64, ReadError> {
        let count = self.tx.query_row(&format!("SELECT count(*) FROM stay WHERE {INSIDE}"), [], |row| row.get(0))?;
        unsigned("count of stays", count)
    }

    /// The plates of the vehicles inside, the newest change first.
    pub fn plates_inside(&self, most: usize) -> Result<Vec<Plate>, ReadError> {
        let sql =
            format!("SELECT plate FROM stay WHERE {INSIDE} AND plate IS NOT NULL ORDER BY changed_seq DESC LIMIT ?1");
        let mut query = self.tx.prepare_cached(&sql)?;
        let rows = query.query_map([most as i64], |row| row.get::<_, String>(0))?;
        // A plate that this version would not take is no candidate.
        Ok(rows.collect::<Result<Vec<_>, _>>()?.into_iter().filter_map(|text| text.try_into().ok()).collect())
    }

    /// The vehicles inside, the newest change first.
    pub fn inside(&self, most: usize) -> Result<Vec<StayRow>, ReadError> {
        let sql = format!("SELECT {COLUMNS} FROM stay WHERE {INSIDE} ORDER BY changed_seq DESC, stay LIMIT ?1");
        self.stays(&sql, [most as i64])
    }

    /// The stays that ended last, the newest first.
    pub fn recently_ended(&self, most: usize) -> Result<Vec<StayRow>, ReadError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM stay WHERE state IN ('closed', 'void') ORDER BY changed_seq DESC, stay LIMIT ?1"
        );
        self.stays(&sql, [most as i64])
    }

    /// The stay of that id.
    pub fn stay(&self, id: &StayId) -> Result<Option<StayRow>, ReadError> {
        let sql = format!("SELECT {COLUMNS} FROM stay WHERE stay = ?1");
        self.with_zones(self.stays(&sql, [id.as_str()])?.pop())
    }

    /// The stay of a plate that is inside now.
    pub fn stay_inside_by_plate(&self, plate: &Plate) -> Result<Option<StayRow>, ReadError> {
        let sql = format!("SELECT {COLUMNS} FROM stay WHERE plate = ?1 AND {INSIDE}");
        self.with_zones(self.stays(&sql, [plate.as_str()])?.pop())
    }

    /// The visits of a plate that ended at most a day before `entry`, for fees that depend on them.
    pub fn prior_visits(&self, plate: &Plate, entry: UtcMs, of: &StayId) -> Result<Vec<PriorVisit>, ReadError> {
        crate::store::facts::prior_visits(&self.tx, plate, entry, of)
            .map_err(|error| ReadError::Foreign { what: "stay.fee", why: error.to_string() })
    }

    /// The money that was taken for a stay, in the order of the journal. What points paid is in [`View::points_of`].
    pub fn payments(&self, stay: &StayId) -> Result<Vec<PaymentRow>, ReadError> {
        let sql = "SELECT fen, tender FROM payment WHERE stay = ?1 AND tender ->> '$.by' <> 'points' ORDER BY seq, op";
        let mut query = self.tx.prepare_cached(sql)?;
        let mut rows = query.query([stay.as_str()])?;
        let mut payments = Vec::new();
        while let Some(row) = rows.next()? {
            let tender: String = row.get(1)?;
            payments.push(PaymentRow { fen: Fen(row.get(0)?), tender: from_json("payment.tender", &tender)? });
        }
        Ok(payments)
    }

    /// What a stay had been paid once the entry `seq` was written.
    pub fn paid_until(&self, stay: &StayId, seq: u64) -> Result<Fen, ReadError> {
        let sql = "SELECT coalesce(sum(fen), 0) FROM payment WHERE stay = ?1 AND seq <= ?2";
        let seq = i64::try_from(seq).unwrap_or(i64::MAX);
        Ok(Fen(self.tx.prepare_cached(sql)?.query_row((stay.as_str(), seq), |row| row.get(0))?))
    }

    /// How many vehicles are where.
    pub fn counts(&self) -> Result<Counts, ReadError> {
        crate::store::stays::occupants(&self.tx)
            .map(|occupants| occupants.counts().clone())
            .map_err(|error| ReadError::Foreign { what: "stay.right_held", why: error.to_string() })
    }

    /// What was lost on the last business days, the newest first.
    pub fn day_reports(&self, most: usize) -> Result<Vec<DayReport>, ReadError> {
        let mut query = self.tx.prepare_cached("SELECT report FROM day_report ORDER BY date DESC LIMIT ?1")?;
        let mut rows = query.query([i64::try_from(most).unwrap_or(i64::MAX)])?;
        let mut reports = Vec::new();
        while let Some(row) = rows.next()? {
            reports.push(from_json("day_report.report", &row.get::<_, String>(0)?)?);
        }
        Ok(reports)
    }

    /// How many debts are open, and what they come to.
    pub fn open_debts(&self) -> Result<(u64, Fen), ReadError> {
        let sql = "SELECT count(*), coalesce(sum(fen - paid_fen), 0) FROM debt WHERE paid_fen < fen";
        let (count, fen) = self.tx.prepare_cached(sql)?.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok((unsigned("count of debts", count)?, Fen(fen)))
    }

    /// The points that a stay took or holds. A hold that became a spend is no longer held, so
    /// nothing counts twice.
    pub fn points_of(&self, stay: &StayId) -> Result<StayPoints, ReadError> {
        let sql = "SELECT coalesce(sum(points), 0), coalesce(sum(fen), 0) FROM (\
                   SELECT points, fen FROM hold WHERE stay = ?1 AND state = 'held' \
                   UNION ALL SELECT points, fen FROM points_entry WHERE stay = ?1 AND kind = 'spent' \
                   UNION ALL SELECT -points, -fen FROM points_entry WHERE stay = ?1 AND kind = 'reversed')";
        let row = self
            .tx
            .prepare_cached(sql)?
            .query_row([stay.as_str()], |row| Ok(StayPoints { points: Points(row.get(0)?), fen: Fen(row.get(1)?) }))?;
        Ok(row)
    }

    fn with_zones(&self, row: Option<StayRow>) -> Result<Option<StayRow>, ReadError> {
        let Some(mut row) = row else { return Ok(None) };
        row.stay.zones = crate::store::stays::zone_visits(&self.tx, &row.stay.id)?;
        Ok(Some(row))
    }

    fn stays(&self, sql: &str, params: impl Params) -> Result<Vec<StayRow>, ReadError> {
        let mut query = self.tx.prepare_cached(sql)?;
        let mut rows = query.query(params)?;
        let mut stays = Vec::new();
        while let Some(row) = rows.next()? {
            stays.push(stay_row(row)?);
        }
        Ok(stays)
    }
}

fn stay_row(row: &Row<'_>) -> Result<StayRow, ReadError> {
    let plate: Option<String> = row.get("plate")?;
    let plate = plate.map(Plate::try_from).transpose();
    let fee: Option<String> = row.get("fee")?;
    let entry_read: Option<String> = row.get("entry_read")?;
    let stay = Stay {
        id: StayId(row.get("stay")?),
        plate: plate.map_err(|e| ReadError::Foreign { what: "stay.plate", why: e.to_string() })?,
        member: row.get::<_, Option<String>>("member")?.map(MemberId),
        state: from_word::<StayState>("stay.state", row.get("state")?)?,
        entry_lane: LaneId(row.get("entry_lane")?),
        entry: UtcMs(row.get("entry_ms")?),
        rules: row.get("rules")?,
        fee: fee.as_deref().map(|text| from_json::<Fee>("stay.fee", text)).transpose()?,
        paid: Fen(row.get("paid_fen")?),
        paid_at: row.get::<_, Option<i64>>("paid_ms")?.map(UtcMs),
        debts: Fen(row.get("debts_fen")?),
        right: from_text("stay.right_held", row.get("right_held")?)?,
        assumed: from_text("stay.assumed", row.get("assumed")?)?,
        untrusted: row.get("untrusted")?,
        zones: Vec::new(),
        entry_read: entry_read.as_deref().map(|text| from_json("stay.entry_read", text)).transpose()?,
    };
    Ok(StayRow {
        stay,
        exit_lane: row.get::<_, Option<String>>("exit_lane")?.map(LaneId),
        exit: row.get::<_, Option<i64>>("exit_ms")?.map(UtcMs),
        waived: Fen(row.get("waived_fen")?),
        owed: Fen(row.get("owed_fen")?),
        refund: Fen(row.get("refund_fen")?),
        entry_evidence: evidence("stay.entry_evidence", row.get("entry_evidence")?)?,
        exit_evidence: evidence("stay.exit_evidence", row.get("exit_evidence")?)?,
        void_reason: row.get("void_reason")?,
        changed_seq: unsigned("stay.changed_seq", row.get("changed_seq")?)?,
    })
}

fn from_text<T: serde::de::DeserializeOwned>(what: &'static str, text: Option<String>) -> Result<Option<T>, ReadError> {
    text.as_deref().map(|text| from_json(what, text)).transpose()
}

fn evidence(what: &'static str, word: Option<String>) -> Result<Option<Evidence>, ReadError> {
    word.map(|word| from_word(what, word)).transpose()
}
