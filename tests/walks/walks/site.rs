//! A real box: its core over a real ledger file, and what its journal says in the model's words.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use gatepost::clock::Clock;
use gatepost::domain::event::{
    CloudNews, DeviceId, FeedChange, Fen, GrantId, Input, JournalHead, LaneId, Member, MemberId, Now, PlateRead,
    Record, Reply, StaffAct, StaffWish, StayId, TerminalId, TillCommit, TillMark, UtcMs, VehicleSign, Witnessed,
};
use gatepost::domain::lane::{Direction, LaneSettings, Lanes};
use gatepost::domain::plate::told::Told;
use gatepost::domain::points::Part;
use gatepost::site::{Core, activate_rules};
use gatepost::store::{Store, journal};
use grants_model::state::Entry;
use rusqlite::Connection;
use serde_json::{Value, json};

use super::{BOXES, MEMBERS, PLATES};

/// One second of 2026-03-02 in milliseconds; every walk begins there.
const BEGIN: i64 = 1_772_409_600_000;

const RULES: &str = include_str!("../../../systemd/rules.toml");

/// A box.
pub struct Site {
    /// Its name.
    pub name: String,
    /// What was read of its journal so far.
    pub book: Book,
    core: Option<Core>,
    db: Option<Connection>,
    dir: tempfile::TempDir,
    uptime_ms: u64,
    utc: i64,
    events: u32,
    feed: u64,
    /// The copy of its file, with its epoch and what was read of it until then.
    pub copy: Option<(u32, Book)>,
}

/// What was read of a journal.
#[derive(Clone, Default)]
pub struct Book {
    /// Entries read, of all epochs.
    pub entries: usize,
    /// For each real entry of each epoch: how many entries the model's journal has after it.
    pub ends: BTreeMap<u32, Vec<u16>>,
    /// The model's journal of each epoch.
    pub model: BTreeMap<u32, Vec<Entry>>,
    /// The open holds.
    holds: BTreeMap<String, Vec<Part>>,
}

/// What a record does to points, in the box's own words.
#[derive(Clone, Debug)]
pub enum Move {
    Accept(GrantId),
    Spend(Part),
    Hold(Part),
    Void(Part),
    Post(Part),
    Return(Part),
    Earn(MemberId, String, i64),
    Begin(u32),
}

/// A request for points that waits for its answer.
pub struct Wanted {
    pub request: String,
    pub member: String,
    pub points: i64,
    /// Whether the box keeps them while the member is away.
    pub is_standing: bool,
}

impl Site {
    pub fn new(name: &str) -> Self {
        let dir = tempfile::tempdir_in(super::memory()).unwrap();
        let mut site = Self {
            name: name.to_owned(),
            book: Book::default(),
            core: None,
            db: None,
            dir,
            uptime_ms: 1000,
            utc: BEGIN,
            events: 0,
            feed: 0,
            copy: None,
        };
        site.start();
        for ((member, plate), home) in MEMBERS.iter().zip(PLATES).zip(BOXES) {
            site.know(member, plate, home);
        }
        site.commit();
        site
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("ledger.db")
    }

    /// Comes up from what is on the disk.
    pub fn start(&mut self) {
        let mut store = Store::open(&self.path(), &self.name).unwrap();
        let rules =
            RULES.replace("visit_points = 300", "visit_points = 300\nstanding_points = 80\nlow_water_points = 40");
        activate_rules(&mut store, &rules, &Clock::new(None)).unwrap();
        self.core = Some(Core::new(store, lanes()));
        self.db = Some(Connection::open(self.path()).unwrap());
        for input in self.core.as_ref().unwrap().first_inputs() {
            self.step(input);
        }
        self.commit();
    }

    /// The power goes: what was not committed never was.
    pub fn stop(&mut self) {
        (self.core, self.db) = (None, None);
        self.uptime_ms = 50;
    }

    /// Decides into the open batch.
    pub fn step(&mut self, input: Input) -> Reply {
        let now = Now { uptime_ms: self.uptime_ms, utc: UtcMs(self.utc), trusted: true };
        self.core.as_mut().unwrap().step(input, now).expect("no input may end the process").reply
    }

    /// Makes the batch durable.
    pub fn commit(&mut self) {
        self.core.as_mut().unwrap().commit().unwrap();
    }

    pub fn pass_time(&mut self, minutes: i64) {
        self.uptime_ms += u64::try_from(minutes).unwrap() * 60_000;
        self.utc += minutes * 60_000;
    }

    /// Copies the file as a technician would.
    pub fn back_up(&mut self) {
        let copy = self.dir.path().join("copy.db");
        let _ = std::fs::remove_file(&copy);
        self.db.as_ref().unwrap().execute("VACUUM INTO ?1", [copy.to_str().unwrap()]).unwrap();
        self.copy = Some((self.epoch(), self.book.clone()));
    }

    /// Puts the copy back.
    pub fn restore(&mut self) {
        self.stop();
        for end in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(self.dir.path().join(format!("ledger.db{end}")));
        }
        std::fs::copy(self.dir.path().join("copy.db"), self.path()).unwrap();
        self.book = self.copy.clone().unwrap().1;
        self.start();
    }

    pub fn drive_in(&mut self, plate: &str) {
        self.read("in", plate);
        self.step(Input::VehicleSeen { lane: LaneId::from("in"), sign: VehicleSign::Passed });
    }

    /// A vehicle comes to the exit; whether its arm goes up is for the box to say.
    pub fn come_to_exit(&mut self, plate: &str) {
        self.read("out", plate);
    }

    pub fn at_exit(&mut self, sign: VehicleSign) {
        self.step(Input::VehicleSeen { lane: LaneId::from("out"), sign });
    }

    pub fn guard_raises(&mut self, lane: &str) {
        let what = StaffWish::Raise { reason: "seen".to_owned(), plate: None, debt: false, second: None };
        let act = StaffAct { lane: LaneId::from(lane), operator: "guard-1".to_owned(), what };
        self.step(Input::Staff(act));
    }

    /// A sale at the till, partly with points.
    pub fn sell(&mut self, key: u32, member: &str, fen: i64, by_points: i64) -> Reply {
        self.step(Input::Till(TillCommit {
            terminal: TerminalId::from("till-1"),
            key: format!("k{key}"),
            fingerprint: "f".to_owned(),
            receipt: "R".to_owned(),
            occurred: None,
            member: Some(MemberId::from(member)),
            shown: None,
            sale: Fen(fen),
            stay: None::<StayId>,
            cash: Fen(fen - by_points),
            money: Vec::new(),
            points_cover: Fen(by_points),
            list: None,
            coupon: None,
            gift: None,
            hold: None,
            mark: TillMark::default(),
        }))
    }

    pub fn hear(&mut self, news: CloudNews) {
        self.step(Input::Cloud(news));
    }

    fn know(&mut self, member: &str, plate: &str, home: &str) {
        self.feed += 1;
        let member = Member {
            id: MemberId::from(member),
            handle: "王**".to_owned(),
            tier: "gold".to_owned(),
            consent_plates: true,
            plates: vec![plate.parse().unwrap()],
            codes: Vec::new(),
            home: Some(home.to_owned()),
            privileges: Default::default(),
        };
        self.hear(CloudNews::Fed { changes: vec![FeedChange::Member { member }], next: self.feed });
    }

    fn read(&mut self, lane: &str, plate: &str) {
        self.events += 1;
        self.step(Input::PlateRead(PlateRead {
            device: DeviceId(format!("camera-{lane}")),
            lane: LaneId::from(lane),
            event: format!("event-{}-{}", self.uptime_ms, self.events),
            plate: Some(plate.parse().unwrap()),
            confidence: 97,
            captured: UtcMs(self.utc),
            stored_offline: false,
            photos: None,
            told: Told::default(),
            earlier: Vec::new(),
        }));
    }

    /// What the journal has gained, as moves of points, entry by entry with the entry's epoch.
    pub fn gained(&mut self) -> Vec<(u32, Vec<Move>)> {
        let sql = "SELECT epoch, body FROM journal WHERE entry > ?1 ORDER BY entry";
        let db = self.db.as_ref().unwrap();
        let mut query = db.prepare_cached(sql).unwrap();
        let rows = query.query_map([self.book.entries], |row| Ok((row.get(0)?, row.get::<_, Vec<u8>>(1)?))).unwrap();
        let rows: Vec<(u32, Vec<u8>)> = rows.map(Result::unwrap).collect();
        drop(query);
        self.book.entries += rows.len();
        let mut gained = Vec::new();
        for (epoch, body) in rows {
            let entry: journal::Entry = serde_json::from_slice(&body).unwrap();
            let moves = entry.records.iter().flat_map(|record| self.book.moves(record)).collect();
            gained.push((epoch, moves));
        }
        gained
    }

    /// How many entries the journal of an epoch has.
    pub fn length(&self, epoch: u32) -> usize {
        self.book.ends.get(&epoch).map_or(0, Vec::len)
    }

    /// The box's epoch.
    pub fn epoch(&self) -> u32 {
        self.core.as_ref().unwrap().head().epoch
    }

    /// Entries for an upload, as they go over the wire.
    pub fn entries(&self, epoch: u32, from: usize, most: usize) -> Vec<Value> {
        let sql = "SELECT seq, CAST(body AS TEXT), lower(hex(head)) FROM journal
                   WHERE epoch = ?1 AND seq >= ?2 ORDER BY seq LIMIT ?3";
        let mut query = self.db.as_ref().unwrap().prepare_cached(sql).unwrap();
        let rows = query.query_map((epoch, from, most), |row| {
            Ok(json!({"seq": row.get::<_, i64>(0)?, "body": row.get::<_, String>(1)?, "head": row.get::<_, String>(2)?}))
        });
        rows.unwrap().map(Result::unwrap).collect()
    }

    /// Where the journal stands.
    pub fn head(&self) -> JournalHead {
        self.core.as_ref().unwrap().head()
    }

    /// A till remembers this of the journal.
    pub fn is_told(&mut self, head: JournalHead) {
        self.step(Input::Witnessed(Witnessed { by: "till-1".to_owned(), head }));
    }

    pub fn wanted(&self) -> Vec<Wanted> {
        let sql =
            "SELECT request, member, points, standing FROM grant_request WHERE state = 'open' ORDER BY seq, request";
        let mut query = self.db.as_ref().unwrap().prepare_cached(sql).unwrap();
        let rows = query.query_map((), |row| {
            let (request, member, points, is_standing) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
            Ok(Wanted { request, member, points, is_standing })
        });
        rows.unwrap().map(Result::unwrap).collect()
    }

    /// What every pocket has left.
    pub fn purses(&self) -> BTreeMap<String, i64> {
        let sql = "SELECT grant_id, remaining FROM points_grant WHERE epoch = ?1";
        let mut query = self.db.as_ref().unwrap().prepare_cached(sql).unwrap();
        let rows = query.query_map([self.epoch()], |row| Ok((row.get(0)?, row.get(1)?)));
        rows.unwrap().map(Result::unwrap).collect()
    }

    pub fn is_quarantined(&self) -> bool {
        let sql = "SELECT count(*) FROM fact WHERE name = 'quarantined'";
        self.db.as_ref().unwrap().query_row(sql, (), |row| row.get::<_, i64>(0)).unwrap() > 0
    }

    /// The plates of vehicles inside.
    pub fn inside(&self) -> Vec<String> {
        let sql = "SELECT plate FROM stay WHERE state IN ('pending_entry', 'open', 'pending_exit')";
        let mut query = self.db.as_ref().unwrap().prepare_cached(sql).unwrap();
        let rows = query.query_map((), |row| row.get(0));
        rows.unwrap().map(Result::unwrap).collect()
    }

    /// Stops, and proves the whole file.
    pub fn prove(&mut self) -> Vec<String> {
        self.stop();
        journal::verify(Path::new(&self.path())).unwrap().faults
    }
}

impl Book {
    #[allow(clippy::wildcard_enum_match_arm, reason = "only what moves points is looked at; the sums are compared")]
    fn moves(&mut self, record: &Record) -> Vec<Move> {
        let each = |parts: &[Part], how: fn(Part) -> Move| parts.iter().cloned().map(how).collect();
        match record {
            Record::GrantAccepted { grant, .. } => vec![Move::Accept(grant.clone())],
            Record::HoldPlaced { op, parts, .. } => {
                self.holds.insert(op.to_string(), parts.clone());
                each(parts, Move::Hold)
            }
            Record::HoldVoided { op, .. } => each(&self.holds.remove(op.as_str()).unwrap(), Move::Void),
            Record::PointsSpent { op, parts, .. } => match self.holds.remove(op.as_str()) {
                Some(_) => each(parts, Move::Post),
                None => each(parts, Move::Spend),
            },
            Record::PointsReturned { parts, .. } => each(parts, Move::Return),
            Record::PointsEarned { op, member, points, .. } => {
                vec![Move::Earn(member.clone(), op.to_string(), points.0)]
            }
            Record::EpochBegan { epoch, .. } => {
                vec![Move::Begin(*epoch)]
            }
            _ => Vec::new(),
        }
    }
}

fn lanes() -> Lanes {
    Lanes::from([
        (LaneId::from("in"), LaneSettings::plain(Direction::Entry)),
        (LaneId::from("out"), LaneSettings::plain(Direction::Exit)),
    ])
}
