//! The journal as others need it: its head, its tail for the upload, what the cloud already holds, stored answers.

use rusqlite::OptionalExtension;
use serde::Deserialize;

use super::super::journal::genesis;
use super::{ReadError, View, from_json, from_word, unsigned};
use crate::domain::event::{Answered, EpochReason, MemberId, OpId, Points, TerminalId, TillAnswer, UtcMs};
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
    /// Its number, counted through all epochs of the file.
    pub entry: u64,
    /// Its epoch.
    pub epoch: u32,
    /// Its number in that epoch.
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
    /// The entry that holds it, counted through all epochs of the file.
    pub entry: u64,
    /// Its epoch.
    pub epoch: u32,
    /// Its number in that epoch.
    pub seq: u64,
    /// The chain's head after that entry, in hex.
    pub head: String,
}

/// An epoch of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochRow {
    /// The epoch.
    pub epoch: u32,
    /// How many entries of older epochs the file holds.
    pub before: u64,
    /// The newest entry's number in it; 0 where it has none yet.
    pub seq: u64,
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
    /// Whether they are to be kept between visits.
    pub standing: bool,
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
        let sql = "SELECT epoch, seq, lower(hex(head)) FROM journal ORDER BY entry DESC LIMIT 1";
        let newest = self
            .tx
            .query_row(sql, [], |row| Ok((row.get::<_, u32>(0)?, row.get::<_, i64>(1)?, row.get::<_, String>(2)?)))
            .optional()?;
        let (seq, head) = match newest {
            Some((of, seq, head)) if of == epoch => (unsigned("journal.seq", seq)?, head),
            Some(_) | None => (0, hex::encode(genesis(&box_id, epoch))),
        };
        Ok(Head { box_id, epoch, seq, head })
    }

    /// The head after an entry of an epoch, or before its first one; none where the file does not hold it.
    pub fn head_at(&self, epoch: u32, seq: u64) -> Result<Option<String>, ReadError> {
        if seq == 0 {
            let box_id: String = self.tx.query_row("SELECT box_id FROM box", [], |row| row.get(0))?;
            return Ok(Some(hex::encode(genesis(&box_id, epoch))));
        }
        let sql = "SELECT lower(hex(j.head)) FROM epoch e JOIN journal j ON j.entry = e.before + ?2 AND j.epoch = ?1 \
                   WHERE e.epoch = ?1";
        let seq = i64::try_from(seq).unwrap_or(i64::MAX);
        Ok(self.tx.prepare_cached(sql)?.query_row((epoch, seq), |row| row.get(0)).optional()?)
    }

    /// Every epoch of the file, oldest first.
    pub fn epochs(&self) -> Result<Vec<EpochRow>, ReadError> {
        let newest = self.newest_entry()?;
        let mut query = self.tx.prepare_cached("SELECT epoch, before FROM epoch ORDER BY epoch DESC")?;
        let mut rows = query.query([])?;
        let (mut epochs, mut end) = (Vec::new(), newest);
        while let Some(row) = rows.next()? {
            let before = unsigned("epoch.before", row.get(1)?)?;
            epochs.push(EpochRow { epoch: row.get(0)?, before, seq: end.saturating_sub(before) });
            end = before;
        }
        epochs.reverse();
        Ok(epochs)
    }

    /// The entries of one epoch from the entry `from` on, which is counted through all epochs: at most `most` of them
    /// and `most_bytes` of stored text, but always the first one, so that one large entry cannot stop the upload.
    pub fn entries(&self, from: u64, most: usize, most_bytes: usize) -> Result<Vec<Entry>, ReadError> {
        let sql = "SELECT entry, epoch, seq, CAST(body AS TEXT), lower(hex(head)) FROM journal \
                   WHERE entry >= ?1 ORDER BY entry LIMIT ?2";
        let mut query = self.tx.prepare_cached(sql)?;
        let from = i64::try_from(from).unwrap_or(i64::MAX);
        let limit = i64::try_from(most).unwrap_or(i64::MAX);
        let mut rows = query.query((from, limit))?;
        let (mut entries, mut bytes) = (Vec::<Entry>::new(), 0);
        while let Some(row) = rows.next()? {
            let body: String = row.get(3)?;
            let epoch = row.get(1)?;
            bytes += body.len();
            let is_full = bytes > most_bytes || entries.first().is_some_and(|first| first.epoch != epoch);
            if is_full && !entries.is_empty() {
                break;
            }
            let (entry, seq) = (unsigned("journal.entry", row.get(0)?)?, unsigned("journal.seq", row.get(2)?)?);
            entries.push(Entry { entry, epoch, seq, body, head: row.get(4)? });
        }
        Ok(entries)
    }

    /// The highest entry that the cloud ledger has acknowledged, counted through all epochs; 0 before the first.
    pub fn acknowledged(&self) -> Result<u64, ReadError> {
        self.cursor("acknowledged")
    }

    /// The cursor of the cloud ledger's feed; 0 before the first change.
    pub fn feed_cursor(&self) -> Result<u64, ReadError> {
        self.cursor("feed")
    }

    /// How many entries the cloud ledger does not hold yet.
    pub fn unacknowledged(&self) -> Result<u64, ReadError> {
        Ok(self.newest_entry()?.saturating_sub(self.acknowledged()?))
    }

    /// When the oldest entry was decided that the cloud does not hold; none where it holds all.
    pub fn oldest_unacknowledged_at(&self) -> Result<Option<UtcMs>, ReadError> {
        #[derive(Deserialize)]
        struct Decided {
            at_ms: UtcMs,
        }
        let sql = "SELECT body FROM journal WHERE entry > ?1 ORDER BY entry LIMIT 1";
        let body = self.tx.prepare_cached(sql)?.query_row([self.acknowledged()?], |row| row.get::<_, Vec<u8>>(0));
        let Some(body) = body.optional()? else { return Ok(None) };
        let decided: Decided = from_json("journal.body", &String::from_utf8_lossy(&body))?;
        Ok(Some(decided.at_ms))
    }

    pub(crate) fn newest_entry(&self) -> Result<u64, ReadError> {
        let newest: i64 = self.tx.query_row("SELECT coalesce(max(entry), 0) FROM journal", [], |row| row.get(0))?;
        unsigned("journal.entry", newest)
    }

    /// What is stored under a till's key.
    pub fn operation(&self, terminal: &TerminalId, key: &str) -> Result<Option<Operation>, ReadError> {
        let sql = "SELECT o.fingerprint, o.answer, o.seq, lower(hex(j.head)), j.epoch, j.seq \
                   FROM operation o JOIN journal j ON j.entry = o.seq WHERE o.terminal = ?1 AND o.key = ?2";
        let row = self
            .tx
            .prepare_cached(sql)?
            .query_row((terminal.as_str(), key), |row| {
                Ok((
                    row.get::<_, String>(0)?,
                    row.get::<_, String>(1)?,
                    row.get::<_, i64>(2)?,
                    row.get::<_, String>(3)?,
                    row.get::<_, u32>(4)?,
                    row.get::<_, i64>(5)?,
                ))
            })
            .optional()?;
        let Some((fingerprint, answer, entry, head, epoch, seq)) = row else {
            return self.past_operation(terminal, key);
        };
        let answer = from_json("operation.answer", &answer)?;
        let (entry, seq) = (unsigned("operation.seq", entry)?, unsigned("journal.seq", seq)?);
        Ok(Some(Operation { fingerprint, answer, entry, epoch, seq, head }))
    }

    /// The same of an answer that is kept in the journal alone.
    fn past_operation(&self, terminal: &TerminalId, key: &str) -> Result<Option<Operation>, ReadError> {
        let foreign = |error: anyhow::Error| ReadError::Foreign { what: "operation_past", why: format!("{error:#}") };
        let past = crate::store::tills::past_answer(&self.tx, terminal.as_str(), key).map_err(foreign)?;
        let Some((entry, Answered { fingerprint, answer, .. })) = past else { return Ok(None) };
        let sql = "SELECT epoch, seq, lower(hex(head)) FROM journal WHERE entry = ?1";
        let (epoch, seq, head) =
            self.tx.prepare_cached(sql)?.query_row([entry], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        Ok(Some(Operation { fingerprint, answer, entry, epoch, seq, head }))
    }

    /// Requests for grants that the cloud has not answered, oldest first.
    pub fn open_grant_requests(&self, most: usize) -> Result<Vec<GrantRequest>, ReadError> {
        let sql = "SELECT request, member, points, standing FROM grant_request WHERE state = 'open' ORDER BY seq, request LIMIT ?1";
        let mut query = self.tx.prepare_cached(sql)?;
        let rows = query.query_map([most as i64], |row| {
            Ok(GrantRequest {
                request: OpId(row.get(0)?),
                member: MemberId(row.get(1)?),
                points: Points(row.get(2)?),
                standing: row.get(3)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The newest alarms, newest first.
    pub fn alarms(&self, most: usize) -> Result<Vec<Alarm>, ReadError> {
        let sql = "SELECT a.seq, a.code, a.text, a.lane, a.stay, CAST(j.body AS TEXT) \
                   FROM alarm a LEFT JOIN journal j ON j.entry = a.seq ORDER BY a.seq DESC, a.n DESC LIMIT ?1";
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

    /// Why this box spends no points, in words; none where it does.
    pub fn points_stopped(&self) -> Result<Option<String>, ReadError> {
        let lapsed = || "The cloud ledger's leave to spend points here has run out".to_owned();
        Ok(self.fact("quarantined")?.or(self.fact("lease_lapsed")?.map(|_| lapsed())))
    }

    /// Why this box spends no points, in a word; none where it may.
    pub fn quarantined_why(&self) -> Result<Option<EpochReason>, ReadError> {
        let Some(_) = self.fact("quarantined")? else { return Ok(None) };
        let word = self.fact("quarantined_why")?;
        // A doubt of an older version said no word: the worst is assumed.
        Ok(Some(word.map_or(Ok(EpochReason::Fork), |word| from_word("fact.quarantined_why", word))?))
    }

    /// How late it is at least by the cloud ledger's time, where it was ever heard.
    pub fn ledgers_time(&self) -> Result<Option<UtcMs>, ReadError> {
        let latest = self.cursor("lease_latest")?;
        Ok((latest > 0).then(|| UtcMs(i64::try_from(latest).unwrap_or(i64::MAX))))
    }

    /// The version of the rules in force, the newest that ever was, and the hash of this one where it was.
    pub fn rules_known(&self, version: u32) -> Result<(u32, u32, Option<String>), ReadError> {
        let foreign =
            |e: std::num::ParseIntError| ReadError::Foreign { what: "fact.rules_version", why: e.to_string() };
        let in_force = self.fact("rules_version")?.map_or(Ok(0), |text| text.parse().map_err(foreign))?;
        let newest = self.tx.query_row("SELECT coalesce(max(version), 0) FROM rules", [], |row| row.get(0))?;
        let sql = "SELECT hash FROM rules WHERE version = ?1";
        Ok((in_force, newest, self.tx.query_row(sql, [version], |row| row.get(0)).optional()?))
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
