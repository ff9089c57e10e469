//! The journal as others need it: its head, its tail for the upload, what the cloud already holds, stored answers.

use rusqlite::OptionalExtension;

use super::super::journal::genesis;
use super::{ReadError, View, from_json, unsigned};
use crate::domain::event::{MemberId, OpId, Points, TerminalId, TillAnswer};
use crate::store::tables::{EMERGENCY_BY_CONTACT, EMERGENCY_BY_STAFF, ON};

/// Where the journal stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The box's name.
    pub box_id: String,
    /// The box's epoch.
    pub epoch: u32,
    /// The newest entry's number; 0 where there is none yet.
    pub seq: u64,
    /// The chain's head in hex; the genesis head where there is no entry yet.
    pub head: String,
}

/// One entry of the journal, exactly as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number.
    pub seq: u64,
    /// The stored text.
    pub body: String,
    /// The chain's head after it, in hex.
    pub head: String,
}

/// What is known of a till's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// SHA-256 of the canonical body, in hex.
    pub fingerprint: String,
    /// What was answered.
    pub answer: TillAnswer,
    /// The entry that holds it.
    pub seq: u64,
    /// The chain's head after that entry, in hex.
    pub head: String,
}

/// Points that were asked for and not yet answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantRequest {
    /// The request's id.
    pub request: OpId,
    /// For whom.
    pub member: MemberId,
    /// How many.
    pub points: Points,
}

/// Something that staff should look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// The entry that raised it.
    pub seq: u64,
    /// A word for it.
    pub code: String,
    /// A sentence for staff.
    pub text: String,
    /// Where.
    pub lane: Option<String>,
    /// Which stay.
    pub stay: Option<String>,
    /// When, in milliseconds since 1970, by the entry that raised it.
    pub at_ms: Option<i64>,
}

impl View<'_> {
    /// Where the journal stands.
    pub fn head(&self) -> Result<Head, ReadError> {
        let (box_id, epoch): (String, u32) =
            self.tx.query_row("SELECT box_id, epoch FROM box", [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let newest = self
            .tx
            .query_row("SELECT seq, lower(hex(head)) FROM journal ORDER BY seq DESC LIMIT 1", [], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
            })
            .optional()?;
        let (seq, head) = match newest {
            Some((seq, head)) => (unsigned("journal.seq", seq)?, head),
            None => (0, hex::encode(genesis(&box_id, epoch))),
        };
        Ok(Head { box_id, epoch, seq, head })
    }

    /// The entries from number `from_seq` on: at most `most` of them and `most_bytes` of stored text, but always the
    /// first one, so that one large entry cannot stop the upload.
    pub fn entries(&self, from_seq: u64, most: usize, most_bytes: usize) -> Result<Vec<Entry>, ReadError> {
        let sql = "SELECT seq, CAST(body AS TEXT), lower(hex(head)) FROM journal WHERE seq >= ?1 ORDER BY seq LIMIT ?2";
        let mut query = self.tx.prepare_cached(sql)?;
        let from = i64::try_from(from_seq).unwrap_or(i64::MAX);
        let limit = i64::try_from(most).unwrap_or(i64::MAX);
        let mut rows = query.query((from, limit))?;
        let (mut entries, mut bytes) = (Vec::new(), 0);
        while let Some(row) = rows.next()? {
            let body: String = row.get(1)?;
            bytes += body.len();
            if bytes > most_bytes && !entries.is_empty() {
                break;
            }
            entries.push(Entry { seq: unsigned("journal.seq", row.get(0)?)?, body, head: row.get(2)? });
        }
        Ok(entries)
    }

    /// The highest entry that the cloud ledger has acknowledged; 0 before the first.
    pub fn acknowledged(&self) -> Result<u64, ReadError> {
        self.cursor("acknowledged")
    }

    /// The cursor of the cloud ledger's feed; 0 before the first change.
    pub fn feed_cursor(&self) -> Result<u64, ReadError> {
        self.cursor("feed")
    }

    /// How many entries the cloud ledger does not hold yet.
    pub fn unacknowledged(&self) -> Result<u64, ReadError> {
        let newest: i64 = self.tx.query_row("SELECT coalesce(max(seq), 0) FROM journal", [], |row| row.get(0))?;
        Ok(unsigned("journal.seq", newest)?.saturating_sub(self.acknowledged()?))
    }

    /// What is stored under a till's key.
    pub fn operation(&self, terminal: &TerminalId, key: &str) -> Result<Option<Operation>, ReadError> {
        let sql = "SELECT o.fingerprint, o.answer, o.seq, lower(hex(j.head)) \
                   FROM operation o JOIN journal j ON j.seq = o.seq WHERE o.terminal = ?1 AND o.key = ?2";
        let row = self
            .tx
            .prepare_cached(sql)?
            .query_row((terminal.as_str(), key), |row| {
                Ok((
                    row.get::<_, String>(0)?,
                    row.get::<_, String>(1)?,
                    row.get::<_, i64>(2)?,
                    row.get::<_, String>(3)?,
                ))
            })
            .optional()?;
        let Some((fingerprint, answer, seq, head)) = row else { return Ok(None) };
        let answer = from_json("operation.answer", &answer)?;
        Ok(Some(Operation { fingerprint, answer, seq: unsigned("operation.seq", seq)?, head }))
    }

    /// Requests for grants that the cloud has not answered, oldest first.
    pub fn open_grant_requests(&self, most: usize) -> Result<Vec<GrantRequest>, ReadError> {
        let sql =
            "SELECT request, member, points FROM grant_request WHERE state = 'open' ORDER BY seq, request LIMIT ?1";
        let mut query = self.tx.prepare_cached(sql)?;
        let rows = query.query_map([most as i64], |row| {
            Ok(GrantRequest { request: OpId(row.get(0)?), member: MemberId(row.get(1)?), points: Points(row.get(2)?) })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The newest alarms, newest first.
    pub fn alarms(&self, most: usize) -> Result<Vec<Alarm>, ReadError> {
        let sql = "SELECT a.seq, a.code, a.text, a.lane, a.stay, CAST(j.body AS TEXT) \
                   FROM alarm a LEFT JOIN journal j ON j.seq = a.seq ORDER BY a.seq DESC, a.n DESC LIMIT ?1";
        let mut query = self.tx.prepare_cached(sql)?;
        let mut rows = query.query([most as i64])?;
        let mut alarms = Vec::new();
        while let Some(row) = rows.next()? {
            let body: Option<String> = row.get(5)?;
            alarms.push(Alarm {
                seq: unsigned("alarm.seq", row.get(0)?)?,
                code: row.get(1)?,
                text: row.get(2)?,
                lane: row.get(3)?,
                stay: row.get(4)?,
                at_ms: body.as_deref().and_then(entry_time),
            });
        }
        Ok(alarms)
    }

    /// Whether an emergency holds the barriers up.
    pub fn is_emergency(&self) -> Result<bool, ReadError> {
        for name in [EMERGENCY_BY_CONTACT, EMERGENCY_BY_STAFF] {
            if self.fact(name)?.is_some_and(|value| value == ON) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What the box knows of itself by name, such as `quarantined`.
    pub fn fact(&self, name: &str) -> Result<Option<String>, ReadError> {
        let sql = "SELECT value FROM fact WHERE name = ?1";
        Ok(self.tx.prepare_cached(sql)?.query_row([name], |row| row.get(0)).optional()?)
    }

    /// The rules file of a version, as it was activated.
    pub fn rules_text(&self, version: u32) -> Result<Option<String>, ReadError> {
        let sql = "SELECT text FROM rules WHERE version = ?1";
        Ok(self.tx.prepare_cached(sql)?.query_row([version], |row| row.get(0)).optional()?)
    }

    fn cursor(&self, name: &str) -> Result<u64, ReadError> {
        let sql = "SELECT value FROM cloud_cursor WHERE name = ?1";
        let value: Option<i64> = self.tx.prepare_cached(sql)?.query_row([name], |row| row.get(0)).optional()?;
        unsigned("cloud_cursor.value", value.unwrap_or(0))
    }
}

fn entry_time(body: &str) -> Option<i64> {
    serde_json::from_str::<serde_json::Value>(body).ok()?.get("at_ms")?.as_i64()
}
