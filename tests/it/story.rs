//! A car park in a test: real ledger, real decisions, a clock that the story moves.

use std::path::PathBuf;

use gatepost::domain::event::{
    Action, CloudNews, CommandAnswer, CommandId, DeviceId, FeedChange, Fen, Gift, Given, GrantId, Input, LaneId,
    Member, MemberId, Now, OpId, PlateRead, Points, Reply, StaffAct, StaffWish, StayId, TerminalId, TillAct,
    TillAnswer, TillCommit, TillMark, TillWish, UtcMs, VehicleSign,
};
use gatepost::domain::lane::{Direction, LaneSettings, Lanes, LoopRole, PassedBy};
use gatepost::domain::plate::class::Format;
use gatepost::domain::points::Lot;
use gatepost::site::{Core, activate_rules};
use gatepost::store::{Store, journal, recompute};
use gatepost::{clock::Clock, store::journal::Verdict};
use rusqlite::Connection;

pub const MINUTE: i64 = 60_000;

const RULES: &str = include_str!("../../systemd/rules.toml");

/// The story's beginning: 2026-03-02T08:00:00+08:00.
const BEGIN: i64 = 1_772_409_600_000;

pub struct Story {
    dir: tempfile::TempDir,
    box_id: String,
    core: Option<Core>,
    uptime_ms: u64,
    utc: i64,
    events: u32,
    /// Commands given so far, newest last.
    pub commands: Vec<CommandId>,
    /// The same for arms that were let down.
    pub lowers: Vec<CommandId>,
    wakes: Vec<(u64, LaneId)>,
    /// As the settings have them at the next start.
    pub lanes: Lanes,
    rules: String,
}

impl Story {
    pub fn new() -> Self {
        Self::with(RULES.to_owned())
    }

    /// A story under other rules.
    pub fn with(rules: String) -> Self {
        Self::of("box-1", rules)
    }

    /// A story of a box with another name.
    pub fn of(box_id: &str, rules: String) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut story = Self {
            dir,
            box_id: box_id.to_owned(),
            core: None,
            uptime_ms: 1000,
            utc: BEGIN,
            events: 0,
            commands: Vec::new(),
            lowers: Vec::new(),
            wakes: Vec::new(),
            lanes: lanes(),
            rules,
        };
        story.open();
        story
    }

    /// Cuts the power: what was not committed is gone, and the daemon starts anew.
    pub fn restart(&mut self) {
        self.core = None;
        self.wakes.clear();
        self.uptime_ms = 50;
        self.open();
    }

    /// The daemon ends, so that another program may open the ledger.
    pub fn stop(&mut self) {
        self.core = None;
    }

    fn open(&mut self) {
        let mut store = Store::open(&self.path(), &self.box_id).unwrap();
        activate_rules(&mut store, &self.rules, &Clock::new(None)).unwrap();
        self.core = Some(Core::new(store, self.lanes.clone()));
        for input in self.core.as_ref().unwrap().first_inputs() {
            self.feed(input);
        }
    }

    pub fn path(&self) -> PathBuf {
        self.dir.path().join("ledger.db")
    }

    /// Decides, commits, and gives the number of raises that went out and the reply.
    pub fn feed(&mut self, input: Input) -> (usize, Reply) {
        let now = Now { uptime_ms: self.uptime_ms, utc: UtcMs(self.utc), trusted: true };
        let core = self.core.as_mut().unwrap();
        let step = core.step(input, now).unwrap();
        core.commit().unwrap();
        let mut raises = 0;
        for action in step.actions {
            match action {
                Action::Raise { command, .. } => {
                    raises += 1;
                    self.commands.push(command);
                }
                Action::Lower { command, .. } => self.lowers.push(command),
                Action::Wake { lane, at_uptime_ms } => self.wakes.push((at_uptime_ms, lane)),
                Action::Then(_) => unreachable!(),
            }
        }
        (raises, step.reply)
    }

    pub fn minutes(&mut self, minutes: i64) {
        self.utc += minutes * MINUTE;
    }

    /// Lets real seconds pass and calls the lanes that are due.
    pub fn seconds(&mut self, seconds: u64) {
        self.uptime_ms += seconds * 1000;
        self.utc += i64::try_from(seconds).unwrap() * 1000;
        let due: Vec<LaneId> = {
            let now = self.uptime_ms;
            let (due, later) = self.wakes.drain(..).partition(|(at, _)| *at <= now);
            self.wakes = later;
            let due: Vec<(u64, LaneId)> = due;
            due.into_iter().map(|(_, lane)| lane).collect()
        };
        for lane in due {
            self.feed(Input::LaneDue { lane });
        }
    }

    pub fn statement(&mut self, lane: &str, plate: &str) -> PlateRead {
        self.events += 1;
        PlateRead {
            lane: LaneId::from(lane),
            device: DeviceId(format!("camera-{lane}")),
            event: format!("event-{}", self.events),
            plate: (!plate.is_empty()).then(|| plate.parse().unwrap()),
            confidence: 97,
            captured: UtcMs(self.utc),
            stored_offline: false,
            photos: None,
            told: Default::default(),
            earlier: Vec::new(),
        }
    }

    /// A camera's new statement; how many raises followed.
    pub fn read(&mut self, lane: &str, plate: &str) -> usize {
        let read = self.statement(lane, plate);
        self.feed(Input::PlateRead(read)).0
    }

    pub fn arrival(&mut self, lane: &str, occupied: bool) {
        self.feed(Input::LoopChanged { lane: LaneId::from(lane), role: LoopRole::Arrival, occupied });
    }

    pub fn passage(&mut self, lane: &str, occupied: bool) {
        self.feed(Input::LoopChanged { lane: LaneId::from(lane), role: LoopRole::Passage, occupied });
    }

    /// The loop under the arm.
    pub fn safety(&mut self, lane: &str, occupied: bool) {
        self.feed(Input::LoopChanged { lane: LaneId::from(lane), role: LoopRole::Safety, occupied });
    }

    pub fn sign(&mut self, lane: &str, sign: VehicleSign) {
        self.feed(Input::VehicleSeen { lane: LaneId::from(lane), sign });
    }

    pub fn answer(&mut self, lane: &str, answer: CommandAnswer) {
        let command = self.commands.last().unwrap().clone();
        self.feed(Input::BarrierAnswered { lane: LaneId::from(lane), command, answer });
    }

    /// Over both loops and away.
    pub fn drive_through(&mut self, lane: &str) {
        self.passage(lane, true);
        self.arrival(lane, false);
        self.passage(lane, false);
    }

    /// A whole entry.
    pub fn enter(&mut self, lane: &str, plate: &str) {
        self.arrival(lane, true);
        assert_eq!(self.read(lane, plate), 1, "the entry raises for {plate}");
        self.drive_through(lane);
    }

    pub fn member(&mut self, id: &str, plates: &[&str]) {
        let changes = vec![FeedChange::Member { member: self.member_of(id, plates) }];
        self.feed(Input::Cloud(CloudNews::Fed { changes, next: 1 }));
    }

    pub fn member_of(&self, id: &str, plates: &[&str]) -> Member {
        Member {
            id: MemberId::from(id),
            handle: "王**".to_owned(),
            tier: "gold".to_owned(),
            consent_plates: true,
            plates: plates.iter().map(|plate| plate.parse().unwrap()).collect(),
            codes: vec![format!("GP{id}")],
            home: None,
            privileges: Default::default(),
        }
    }

    /// Civil time now.
    pub fn now(&self) -> UtcMs {
        UtcMs(self.utc)
    }

    /// Puts changed rules in force, as version 2.
    pub fn rules(&mut self, change: impl Fn(&str) -> String) {
        self.core = None;
        let mut store = Store::open(&self.path(), &self.box_id).unwrap();
        self.rules = change(&self.rules).replace("version = 1 ", "version = 2 ");
        activate_rules(&mut store, &self.rules, &Clock::new(None)).unwrap();
        self.core = Some(Core::new(store, self.lanes.clone()));
    }

    /// Starts again with shapes of plates that are usual at the site.
    pub fn know_plates(&mut self, formats: Vec<Format>) {
        self.core = None;
        let mut store = Store::open(&self.path(), &self.box_id).unwrap();
        store.know_plates(formats).unwrap();
        activate_rules(&mut store, &self.rules, &Clock::new(None)).unwrap();
        self.core = Some(Core::new(store, self.lanes.clone()));
    }

    /// Answers every open request for a grant with `points`.
    pub fn grant(&mut self, points: i64) -> usize {
        let requests =
            self.rows("SELECT request || ' ' || member FROM grant_request WHERE state = 'open' ORDER BY seq");
        let mut raises = 0;
        for request in requests {
            let (request, member) = request.split_once(' ').unwrap();
            raises += self
                .feed(Input::Cloud(CloudNews::Granted {
                    request: OpId::from(request),
                    member: MemberId::from(member),
                    epoch: self.epoch(),
                    grants: vec![given(&format!("G-{request}"), points)],
                }))
                .0;
        }
        raises
    }

    pub fn staff(&mut self, lane: &str, what: StaffWish) -> (usize, Reply) {
        let act = StaffAct { lane: LaneId::from(lane), operator: "guard-1".to_owned(), what };
        self.feed(Input::Staff(act))
    }

    pub fn till(
        &mut self,
        key: &str,
        member: Option<&str>,
        sale: i64,
        stay: Option<&str>,
        cash: i64,
        points: i64,
    ) -> (usize, TillAnswer) {
        let commit = TillCommit {
            terminal: TerminalId::from("till-1"),
            key: key.to_owned(),
            fingerprint: format!("{member:?} {sale} {stay:?} {cash} {points}"),
            receipt: format!("R-{key}"),
            occurred: None,
            member: member.map(MemberId::from),
            shown: None,
            sale: Fen(sale),
            stay: stay.map(StayId::from),
            cash: Fen(cash),
            money: Vec::new(),
            points_cover: Fen(points),
            list: None,
            coupon: None,
            gift: None,
            hold: None,
            mark: TillMark::default(),
        };
        self.commit(commit)
    }

    /// A merchant's validation or a coupon at the till.
    pub fn give(&mut self, key: &str, stay: &str, gift: Gift) -> (usize, TillAnswer) {
        self.commit(TillCommit {
            terminal: TerminalId::from("till-1"),
            key: key.to_owned(),
            fingerprint: format!("{stay} {gift:?}"),
            receipt: String::new(),
            occurred: None,
            member: None,
            shown: None,
            sale: Fen(0),
            stay: Some(StayId::from(stay)),
            cash: Fen(0),
            money: Vec::new(),
            points_cover: Fen(0),
            list: None,
            coupon: None,
            gift: Some(gift),
            hold: None,
            mark: TillMark::default(),
        })
    }

    pub fn commit(&mut self, commit: TillCommit) -> (usize, TillAnswer) {
        match self.feed(Input::Till(commit)) {
            (raises, Reply::Till(answer)) => (raises, answer),
            (_, other) => panic!("a till got {other:?}"),
        }
    }

    /// What a till asks besides.
    pub fn ask(&mut self, key: &str, wish: TillWish) -> TillAnswer {
        self.ask_as(key, TillMark::default(), wish)
    }

    pub fn ask_as(&mut self, key: &str, mark: TillMark, wish: TillWish) -> TillAnswer {
        self.ask_of("till-1", key, mark, wish)
    }

    /// The same from another till, of a shop or of none.
    pub fn ask_from(&mut self, till: &str, key: &str, shop: Option<&str>, wish: TillWish) -> TillAnswer {
        self.ask_of(till, key, TillMark { merchant: shop.map(str::to_owned), ..TillMark::default() }, wish)
    }

    fn ask_of(&mut self, till: &str, key: &str, mark: TillMark, wish: TillWish) -> TillAnswer {
        let (terminal, fingerprint) = (TerminalId::from(till), format!("{wish:?}"));
        match self.feed(Input::TillAct(TillAct { terminal, key: key.to_owned(), fingerprint, mark, wish })) {
            (_, Reply::Till(answer)) => answer,
            (_, other) => panic!("a till got {other:?}"),
        }
    }

    pub fn rows(&self, sql: &str) -> Vec<String> {
        let db = Connection::open(self.path()).unwrap();
        let mut statement = db.prepare(sql).unwrap();
        statement.query_map((), |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    }

    /// Every stay as `plate state fee paid waived`.
    pub fn stays(&self) -> Vec<String> {
        self.rows(
            "SELECT coalesce(plate, '-') || ' ' || state || ' ' || coalesce(fee_fen, '-') || ' ' || paid_fen || ' ' || waived_fen
             FROM stay ORDER BY CAST(substr(stay, 4) AS INTEGER)",
        )
    }

    /// What the lane is doing: `idle`, `waiting`, `raised`.
    pub fn phase(&self, lane: &str) -> String {
        let sql = format!("SELECT state ->> '$.phase.at' FROM lane WHERE lane = '{lane}'");
        self.rows(&sql).pop().unwrap_or_else(|| "idle".to_owned())
    }

    pub fn alarms(&self) -> Vec<String> {
        self.rows("SELECT code FROM alarm ORDER BY seq, n")
    }

    /// Points that this box can still spend, of everybody.
    pub fn usable(&self) -> i64 {
        self.rows(
            "SELECT CAST(coalesce(sum(remaining), 0) AS TEXT) FROM points_grant WHERE epoch = (SELECT epoch FROM box)",
        )[0]
        .parse()
        .unwrap()
    }

    pub fn points(&self, kind: &str) -> i64 {
        let sql = format!("SELECT CAST(coalesce(sum(points), 0) AS TEXT) FROM points_entry WHERE kind = '{kind}'");
        self.rows(&sql)[0].parse().unwrap()
    }

    /// The stay of a plate that is inside.
    pub fn stay_of(&self, plate: &str) -> String {
        let sql = format!("SELECT stay FROM stay WHERE plate = '{plate}' AND state NOT IN ('closed', 'void')");
        self.rows(&sql).pop().unwrap()
    }

    /// The epoch in which the box works.
    pub fn epoch(&self) -> u32 {
        self.rows("SELECT CAST(epoch AS TEXT) FROM box")[0].parse().unwrap()
    }

    pub fn verdict(&self) -> Verdict {
        journal::verify(&self.path()).unwrap()
    }
}

/// Every story ends with books that its journal can prove, and fees that it can compute again to the byte.
impl Drop for Story {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(self.verdict().faults, Vec::<String>::new());
            assert_eq!(recompute::fees(&self.path(), None).unwrap().faults, Vec::<String>::new());
        }
    }
}

/// A grant without restrictions.
pub fn given(grant: &str, points: i64) -> Given {
    Given { grant: GrantId::from(grant), points: Points(points), lot: Lot::default() }
}

fn lanes() -> Lanes {
    let lane = |direction, has_arrival_loop, passed_by| LaneSettings {
        has_arrival_loop,
        passed_by,
        ..LaneSettings::plain(direction)
    };
    Lanes::from([
        (LaneId::from("in"), lane(Direction::Entry, true, PassedBy::PassageLoop)),
        (LaneId::from("in-2"), lane(Direction::Entry, true, PassedBy::PassageLoop)),
        (LaneId::from("in-blind"), lane(Direction::Entry, true, PassedBy::Timeout)),
        (LaneId::from("out"), lane(Direction::Exit, true, PassedBy::PassageLoop)),
        (LaneId::from("out-2"), lane(Direction::Exit, true, PassedBy::PassageLoop)),
        (LaneId::from("out-bare"), lane(Direction::Exit, false, PassedBy::Camera)),
    ])
}
