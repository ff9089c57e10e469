//! The ledger file: journal and tables, one writer; the only place with SQL.

mod benefits;
mod bonuses;
mod claims;
mod codes;
pub mod copy;
mod counts;
pub mod day;
mod escrow;
mod facts;
mod feed;
mod file;
mod inside;
pub mod journal;
mod members;
mod mismatch;
mod office;
mod passes;
#[cfg(test)]
mod plans;
pub mod reader;
pub mod recompute;
mod settlement;
pub mod simulate;
pub mod spare;
mod stays;
mod tables;
mod tills;
mod totals;
mod vehicle;
mod ways;
mod word;

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use crate::domain::capacity::Occupants;
use crate::domain::decide::{Facts, Lease};
use crate::domain::emergency::Called;
use crate::domain::event::{BusinessDay, EpochReason, Input, JournalHead, LaneId, Now, Points, Record, UtcMs};
use crate::domain::lane::Lane;
use crate::domain::matching::learning::Experience;
use crate::domain::plate::class::Format;
use crate::domain::rules::Rules;
use inside::InsideNow;
use journal::{EntryRef, Head};
use members::MembersNow;
use word::Word;

/// How many of the site's last spends tell what is usual: some days of a small mall.
const SPENDS_KEPT: usize = 200;

/// The only writer of the ledger. Facts, append, commit: in between nothing is visible to anybody.
pub struct Store {
    db: Connection,
    box_id: String,
    epoch: u32,
    /// The newest entry's number in its epoch.
    seq: u64,
    /// The same, counted through all epochs of the file.
    entry: u64,
    head: Head,
    /// For each epoch of this file, how many entries came before it.
    epochs: BTreeMap<u32, u64>,
    rules: BTreeMap<u32, Arc<Rules>>,
    rules_version: u32,
    /// Why points are not spent here until there is a new epoch.
    doubt: Option<EpochReason>,
    emergency: Called,
    acknowledged: u64,
    lease: Option<Lease>,
    has_lapsed: bool,
    /// The site's newest spends, so that a grant can be asked for by what is usual here.
    spends: VecDeque<Points>,
    /// The lanes' states as the file has them, so that the hot path need not read them back.
    lanes: BTreeMap<LaneId, Lane>,
    /// The vehicles inside, for the matching.
    inside: InsideNow,
    /// How many vehicles are where, and on what right.
    occupants: Occupants,
    /// How many tickets were issued.
    tickets: u32,
    /// The newest day that was reported.
    last_day: Option<String>,
    /// The newest business day that is closed.
    closed_day: Option<BusinessDay>,
    /// The members' plates, for the entries.
    members: MembersNow,
    in_batch: bool,
    /// Held as long as the store lives, so that a second daemon cannot open the same ledger.
    _lock: file::Lock,
}

impl Store {
    /// Opens the ledger of `box_id`, making it where there is none. Refuses a file of another box, a second opener,
    /// an SQLite with the WAL-reset bug, and a database that does not take the durability settings.
    pub fn open(path: &Path, box_id: &str) -> anyhow::Result<Self> {
        file::check_sqlite(rusqlite::version_number())?;
        let lock = file::lock(path)?;
        let db = Connection::open(path).with_context(|| format!("open the ledger {}", path.display()))?;
        file::set_pragmas(&db).with_context(|| format!("set up the ledger {}", path.display()))?;
        file::create(&db, box_id).with_context(|| format!("make the ledger {}", path.display()))?;
        let (owner, epoch): (String, u32) =
            db.query_row("SELECT box_id, epoch FROM box", (), |row| Ok((row.get(0)?, row.get(1)?)))?;
        anyhow::ensure!(owner == box_id, "{} belongs to the box {owner:?}, not to {box_id:?}", path.display());
        let mut store = Self {
            seq: 0,
            entry: 0,
            epochs: BTreeMap::new(),
            head: journal::genesis(box_id, epoch),
            box_id: owner,
            epoch,
            rules: BTreeMap::new(),
            rules_version: 0,
            doubt: None,
            emergency: Called::default(),
            acknowledged: 0,
            lease: None,
            has_lapsed: false,
            spends: VecDeque::new(),
            lanes: BTreeMap::new(),
            inside: InsideNow::read(&db, Vec::new()).context("read who is inside")?,
            occupants: stays::occupants(&db).context("count who is inside")?,
            tickets: 0,
            last_day: None,
            closed_day: None,
            members: MembersNow::read(&db).context("read the members' plates")?,
            in_batch: false,
            db,
            _lock: lock,
        };
        store.resume()?;
        Ok(store)
    }

    /// Takes shapes of plates that are usual at the site besides those of GA 36, for the matching.
    pub fn know_plates(&mut self, formats: Vec<Format>) -> anyhow::Result<()> {
        self.inside = InsideNow::read(&self.db, formats).context("read who is inside")?;
        Ok(())
    }

    /// What deciding `input` needs, including what this batch has already written.
    pub fn facts(&mut self, input: &Input) -> anyhow::Result<Facts> {
        self.begin()?;
        facts::look_up(self, input)
    }

    /// Adds a decision to the batch: its entry in the journal and every table that follows.
    pub fn append(&mut self, input: &Input, records: &[Record], now: Now) -> anyhow::Result<()> {
        self.begin()?;
        if let Some(Record::EpochBegan { epoch, .. }) = records.first() {
            self.turn_to(*epoch);
        }
        let journaled: Vec<&Record> = records.iter().filter(|record| record.is_journaled()).collect();
        if !journaled.is_empty() {
            self.append_entry(&EntryRef { at_ms: now.utc, trusted: now.trusted, input, records: &journaled })?;
        }
        // A verification sees only what is journaled, and numbers that alone.
        let mut n = 0;
        for record in records {
            let leaving = self.members.leaving(&self.db, record)?;
            tables::apply(&self.db, self.entry, n, record).with_context(|| format!("apply entry {}", self.entry))?;
            self.members.follow(&self.db, record, &leaving)?;
            n += u32::from(record.is_journaled());
            self.remember(record)?;
        }
        Ok(())
    }

    /// Makes the batch durable. When this returns, a power cut loses none of it.
    pub fn commit(&mut self) -> anyhow::Result<()> {
        if std::mem::take(&mut self.in_batch) {
            self.db.prepare_cached("COMMIT")?.execute(()).context("commit the batch")?;
        }
        Ok(())
    }

    /// Writes the WAL back where it has grown; for a moment when nobody waits.
    pub fn tidy_up(&self) -> anyhow::Result<()> {
        let sql = "PRAGMA wal_checkpoint(PASSIVE)";
        self.db.query_row(sql, (), |_| Ok(())).context("checkpoint the ledger")
    }

    /// The first business day that is not closed; the very first where none is.
    pub fn first_open_day(&self) -> BusinessDay {
        self.closed_day.map_or(BusinessDay(i32::MIN), |last| BusinessDay(last.0.saturating_add(1)))
    }

    /// Where the journal stands: the epoch, the newest entry's number in it, and the head after it.
    pub fn head(&self) -> JournalHead {
        JournalHead { epoch: self.epoch, seq: self.seq, head: hex::encode(self.head) }
    }

    /// How many entries the file holds, of all epochs.
    pub fn entries(&self) -> u64 {
        self.entry
    }

    /// The version of the rules in force; 0 where there are none yet.
    pub fn rules_version(&self) -> u32 {
        self.rules_version
    }

    /// Every version of the rules that was ever in force.
    pub fn rules(&self) -> &BTreeMap<u32, Arc<Rules>> {
        &self.rules
    }

    /// The rules in force.
    pub fn active_rules(&self) -> Arc<Rules> {
        self.rules.get(&self.rules_version).expect("the daemon puts rules in force before it asks for them").clone()
    }

    /// The stored hash of a version of the rules.
    pub fn rules_hash(&self, version: u32) -> anyhow::Result<Option<String>> {
        let sql = "SELECT hash FROM rules WHERE version = ?1";
        Ok(self.db.query_row(sql, [version], |row| row.get(0)).optional()?)
    }

    /// The text of a version of the rules that was ever in force.
    pub fn rules_text(&self, version: u32) -> anyhow::Result<Option<String>> {
        let sql = "SELECT text FROM rules WHERE version = ?1";
        Ok(self.db.query_row(sql, [version], |row| row.get(0)).optional()?)
    }

    /// The lanes whose state is on disk, whether the settings still have them or not.
    pub fn lanes(&self) -> impl Iterator<Item = &LaneId> {
        self.lanes.keys()
    }

    /// Why this file is not what it was, where it is behind what the cloud has acknowledged. The barriers go on without
    /// points: a box that refused to start would strand every driver.
    pub fn rewound(&self) -> Option<String> {
        (self.acknowledged > self.entry).then(|| {
            format!("the cloud holds {} entries and this ledger only {}: rewound", self.acknowledged, self.entry)
        })
    }

    /// What a pair of lanes' cameras has shown, read from a ledger that may be in use.
    pub fn experiences(path: &Path) -> anyhow::Result<BTreeMap<(String, String), Experience>> {
        let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
            .with_context(|| format!("open the ledger {}", path.display()))?;
        inside::experiences(&db)
    }

    /// Forgets what cameras have shown. The ledger must not be in use.
    pub fn forget_experience(path: &Path, reason: &str, now: Now) -> anyhow::Result<()> {
        let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
            .with_context(|| format!("open the ledger {}", path.display()))?;
        let box_id: String = db.query_row("SELECT box_id FROM box", (), |row| row.get(0))?;
        drop(db);
        let mut store = Self::open(path, &box_id)?;
        let input = Input::ExperienceForgotten { reason: reason.to_owned() };
        store.append(&input, &[Record::ExperienceReset { reason: reason.to_owned() }], now)?;
        store.commit()
    }

    fn begin(&mut self) -> anyhow::Result<()> {
        if !self.in_batch {
            self.db.prepare_cached("BEGIN IMMEDIATE")?.execute(()).context("begin a batch")?;
            self.in_batch = true;
        }
        Ok(())
    }

    fn append_entry(&mut self, entry: &EntryRef<'_>) -> anyhow::Result<()> {
        let body = serde_json::to_vec(entry).context("write an entry as JSON")?;
        self.head = journal::link(&self.head, &body);
        self.seq += 1;
        self.entry += 1;
        let sql = "INSERT INTO journal (entry, epoch, seq, body, head) VALUES (?1, ?2, ?3, ?4, ?5)";
        let values = params![self.entry, self.epoch, self.seq, body, self.head];
        self.db.prepare_cached(sql)?.execute(values).context("append to the journal")?;
        Ok(())
    }

    /// The next entry is the first of a new epoch.
    fn turn_to(&mut self, epoch: u32) {
        assert!(epoch > self.epoch, "epochs only rise");
        self.epoch = epoch;
        self.seq = 0;
        self.head = journal::genesis(&self.box_id, epoch);
        self.epochs.insert(epoch, self.entry);
    }

    fn remember(&mut self, record: &Record) -> anyhow::Result<()> {
        let before = if let Record::LaneMoved { lane, .. } = record { self.lanes.get(lane) } else { None };
        self.inside.follow(record, before);
        self.occupants.follow(record);
        if let Record::RulesActivated { version, text, .. } = record {
            self.rules.insert(*version, Arc::new(Rules::parse(text)?));
            self.rules_version = *version;
        } else if let Record::Quarantined { why, .. } = record {
            self.doubt = Some(why.unwrap_or(EpochReason::Fork));
        } else if let Record::EmergencyChanged { source, active } = record {
            self.emergency = self.emergency.after(source, *active);
        } else if let Record::EpochBegan { .. } = record {
            self.doubt = None;
        } else if let Record::Acknowledged { entry } = record {
            self.acknowledged = *entry;
        } else if let Record::LeaseSeen { until_ms, latest_ms } = record {
            self.lease = Some(Lease { until_ms: *until_ms, latest_ms: *latest_ms });
        } else if let Record::LeaseLapsed { .. } = record {
            self.has_lapsed = true;
        } else if let Record::LeaseRenewed { .. } = record {
            self.has_lapsed = false;
        } else if let Record::PointsSpent { points, .. } = record {
            self.spends.push_back(*points);
            if self.spends.len() > SPENDS_KEPT {
                self.spends.pop_front();
            }
        } else if let Record::TicketIssued { .. } = record {
            self.tickets = self.tickets.wrapping_add(1);
        } else if let Record::DayReported { report } = record {
            self.last_day = Some(report.date.clone());
        } else if let Record::DayClosed(closed) = record {
            self.closed_day = Some(closed.day);
        } else if let Record::LaneMoved { lane, state } = record {
            self.lanes.insert(lane.clone(), state.clone());
        }
        Ok(())
    }

    /// Takes up what is on disk.
    fn resume(&mut self) -> anyhow::Result<()> {
        let sql = "SELECT entry, epoch, seq, head FROM journal ORDER BY entry DESC LIMIT 1";
        let newest: Option<(u64, u32, u64, Head)> = self
            .db
            .query_row(sql, (), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
            .optional()
            .context("read the newest entry")?;
        if let Some((entry, epoch, seq, head)) = newest {
            anyhow::ensure!(epoch == self.epoch, "the newest entry is of epoch {epoch}, not of {}", self.epoch);
            (self.entry, self.seq, self.head) = (entry, seq, head);
        }
        let mut statement = self.db.prepare("SELECT version, text FROM rules")?;
        let mut rows = statement.query(())?;
        while let Some(row) = rows.next()? {
            let (version, text): (u32, String) = (row.get(0)?, row.get(1)?);
            let rules = Rules::parse(&text).with_context(|| format!("read the stored rules of version {version}"))?;
            self.rules.insert(version, Arc::new(rules));
        }
        drop(rows);
        drop(statement);
        let mut statement = self.db.prepare("SELECT epoch, before FROM epoch")?;
        let epochs = statement.query_map((), |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
        let sql = "SELECT points FROM points_entry WHERE kind = 'spent' ORDER BY seq DESC LIMIT ?1";
        let mut newest = self.db.prepare(sql)?;
        let spends: Vec<i64> = newest.query_map([SPENDS_KEPT], |row| row.get(0))?.collect::<Result<_, _>>()?;
        drop(statement);
        drop(newest);
        self.epochs = epochs;
        self.spends = spends.into_iter().rev().map(Points).collect();
        self.lanes = self.stored_lanes()?;
        self.rules_version = self.fact("rules_version")?.map_or(Ok(0), |text| text.parse())?;
        let sql = "SELECT value FROM fact WHERE name = 'quarantined_why'";
        let why = self.db.query_row(sql, (), |row| row.get(0)).optional()?.map(|Word(why)| why);
        // A doubt of an older version said no word: the worst is assumed.
        self.doubt = self.fact("quarantined")?.map(|_| why.unwrap_or(EpochReason::Fork));
        self.has_lapsed = self.fact("lease_lapsed")?.is_some();
        self.acknowledged = self.cached("acknowledged")?.unwrap_or(0);
        self.tickets = self.fact(tables::TICKETS)?.map_or(Ok(0), |text| text.parse())?;
        let sql = "SELECT date FROM day_report ORDER BY date DESC LIMIT 1";
        self.last_day = self.db.query_row(sql, (), |row| row.get(0)).optional()?;
        self.closed_day = settlement::last_closed(&self.db).context("look for the last closed day")?;
        let lease = (self.cached("lease_until")?, self.cached("lease_latest")?);
        if let (Some(until), Some(latest)) = lease {
            let at = |ms: u64| UtcMs(i64::try_from(ms).unwrap_or(i64::MAX));
            self.lease = Some(Lease { until_ms: at(until), latest_ms: at(latest) });
        }
        let is_on = |value: Option<String>| value.is_some_and(|value| value == tables::ON);
        self.emergency.by_contact = is_on(self.fact(tables::EMERGENCY_BY_CONTACT)?);
        self.emergency.by_staff = is_on(self.fact(tables::EMERGENCY_BY_STAFF)?);
        Ok(())
    }

    fn cached(&self, name: &str) -> anyhow::Result<Option<u64>> {
        let sql = "SELECT value FROM cloud_cursor WHERE name = ?1";
        Ok(self.db.query_row(sql, [name], |row| row.get(0)).optional()?)
    }

    fn stored_lanes(&self) -> anyhow::Result<BTreeMap<LaneId, Lane>> {
        let mut statement = self.db.prepare("SELECT lane, state FROM lane")?;
        let mut rows = statement.query(())?;
        let mut lanes = BTreeMap::new();
        while let Some(row) = rows.next()? {
            let (lane, state): (String, String) = (row.get(0)?, row.get(1)?);
            let state =
                serde_json::from_str(&state).with_context(|| format!("read the stored state of lane {lane}"))?;
            lanes.insert(LaneId(lane), state);
        }
        Ok(lanes)
    }

    fn fact(&self, name: &str) -> anyhow::Result<Option<String>> {
        let sql = "SELECT value FROM fact WHERE name = ?1";
        Ok(self.db.query_row(sql, [name], |row| row.get(0)).optional()?)
    }
}
