//! A small mall's ledger file for tests: two lanes, four vehicles, two members, a till, one alarm.

use std::path::PathBuf;

use rusqlite::Connection;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::Reader;
use crate::domain::event::{ArmPosition, Fen, StayId, UtcMs};
use crate::domain::lane::{Lane, Phase, Visit, WaitReason, Waiting};

/// 2026-03-01 12:00 in Shanghai.
pub const NOON_MS: i64 = 1_772_337_600_000;
const MINUTE_MS: i64 = 60_000;

/// The file, and the connection that plays the loop.
pub struct Sample {
    /// The writer's connection.
    pub writer: Connection,
    directory: tempfile::TempDir,
}

impl Sample {
    /// An empty ledger file of box `demo-1`.
    pub fn empty() -> Self {
        let directory = tempfile::tempdir().expect("make a directory");
        let writer = Connection::open(directory.path().join("ledger.sqlite")).expect("make the file");
        writer.pragma_update(None, "journal_mode", "WAL").expect("set WAL");
        writer.execute_batch(include_str!("../schema.sql")).expect("make the tables");
        writer.execute("INSERT INTO box VALUES (1, 'demo-1', 1)", []).expect("name the box");
        writer.execute("INSERT INTO epoch VALUES (1, 0, 'first')", []).expect("begin its epoch");
        Self { writer, directory }
    }

    /// The same, in the middle of a day: 粤B12345 (gold member M1001) waits at X1 with ¥8.00 due, 粤A88888 is inside,
    /// 粤BD12345 has left on points, 粤B66666 left with a guard's help.
    pub fn midday() -> Self {
        let sample = Self::empty();
        for _ in 1..=9 {
            sample.entry();
        }
        sample.members();
        sample.stays();
        sample.lanes();
        sample.rest();
        sample
    }

    /// A reader of the file.
    pub fn reader(&self) -> Reader {
        Reader::open(&self.path()).expect("open the file for reading")
    }

    /// Where the file is.
    pub fn path(&self) -> PathBuf {
        self.directory.path().join("ledger.sqlite")
    }

    /// Adds an entry to the journal and says its number.
    pub fn entry(&self) -> i64 {
        self.decided(&json!([]))
    }

    /// The same, with what was decided; the tables stay as they are.
    pub fn decided(&self, records: &Value) -> i64 {
        let newest = "SELECT seq, head FROM journal ORDER BY seq DESC LIMIT 1";
        let newest = self.writer.query_row(newest, [], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?)));
        let genesis = || (0, Sha256::digest("gatepost-journal-v1\ndemo-1\n1").to_vec());
        let (seq, head) = newest.unwrap_or_else(|_| genesis());
        let seq = seq + 1;
        let body = json!({"at_ms": NOON_MS + seq * 1000, "trusted": true, "input": {}, "records": records}).to_string();
        let head = Sha256::digest([&head[..], body.as_bytes()].concat()).to_vec();
        self.run("INSERT INTO journal VALUES (?1, 1, ?1, ?2, ?3)", (seq, body.into_bytes(), head));
        seq
    }

    /// Writes a lane's state.
    pub fn lane(&self, lane: &str, state: &Lane) {
        let state = serde_json::to_string(state).expect("a lane is JSON");
        self.run("INSERT OR REPLACE INTO lane VALUES (?1, ?2)", (lane, state));
    }

    /// Stores a till's answer as the loop does, in an entry of its own.
    pub fn operation(&self, terminal: &str, key: &str, fingerprint: &str, answer: &Value) -> i64 {
        let seq = self.entry();
        let row = (terminal, key, fingerprint, answer.to_string(), seq);
        self.run("INSERT INTO operation VALUES (?1, ?2, ?3, ?4, ?5, NULL, 1, 20513)", row);
        seq
    }

    /// Runs one statement.
    pub fn run(&self, sql: &str, params: impl rusqlite::Params) {
        self.writer.execute(sql, params).expect("change the sample");
    }

    fn members(&self) {
        self.writer
            .execute_batch(
                "INSERT INTO cloud_member VALUES ('M1001', '王**', 'gold', 1, 'demo-1', NULL), ('M2002', '李*', 'silver', 0, NULL, NULL);
                 INSERT INTO cloud_plate VALUES ('粤B12345', 'M1001'), ('粤BD12345', 'M1001'), ('粤A88888', 'M2002');
                 INSERT INTO cloud_code VALUES ('GPM1001', 'M1001'), ('GPM2002', 'M2002');
                 INSERT INTO points_grant VALUES ('G-1', 'M1001', 200, 50, 1, NULL, 2), ('G-2', 'M1001', 100, 0, 1, NULL, 2),
                                                 ('born:demo-1/1/3/4', 'M1001', 128, 128, 1, NULL, 3);
                 INSERT INTO grant_request VALUES ('demo-1/1/2/0', 'M1001', 200, 'granted', 0, 2),
                                                  ('demo-1/1/5/0', 'M1001', 120, 'open', 0, 5);
                 INSERT INTO cloud_cursor VALUES ('acknowledged', 6), ('feed', 12);",
            )
            .expect("write the members");
    }

    fn stays(&self) {
        let entry = NOON_MS - 125 * MINUTE_MS;
        let due = fee(&[
            ("free-minutes", 0, "前30分钟免费", "first 30 min free"),
            ("unit-price", 800, "2小时 × ¥4.00", "2 h × ¥4.00"),
        ]);
        let points = fee(&[("unit-price", 400, "1小时 × ¥4.00", "1 h × ¥4.00")]);
        let daily = fee(&[
            ("unit-price", 6400, "16小时 × ¥4.00", "16 h × ¥4.00"),
            ("daily-cap", -1400, "每日最高 ¥50.00", "at most ¥50.00 a day"),
        ]);
        let sql = "INSERT INTO stay VALUES (?1, ?2, ?3, ?4, 'E1', ?5, ?6, ?7, 1, ?8, ?9, ?10, ?11, ?12, \
                   'passage_loop', ?13, ?14, ?15, 0, 0, NULL, NULL, NULL, 0, 0)";
        let none = None::<&str>;
        self.run(
            sql,
            (
                "S1-2",
                "粤B12345",
                "M1001",
                "pending_exit",
                entry,
                "X1",
                NOON_MS,
                800,
                due.to_string(),
                0,
                None::<i64>,
                0,
                none,
                none,
                9,
            ),
        );
        self.run(
            sql,
            (
                "S1-3",
                "粤A88888",
                none,
                "open",
                entry + MINUTE_MS,
                none,
                None::<i64>,
                None::<i64>,
                none,
                0,
                None::<i64>,
                0,
                none,
                none,
                3,
            ),
        );
        self.run(
            sql,
            (
                "S1-1",
                "粤BD12345",
                "M1001",
                "closed",
                entry,
                "X1",
                NOON_MS - 60 * MINUTE_MS,
                400,
                points.to_string(),
                0,
                None::<i64>,
                0,
                "passage_loop",
                none,
                7,
            ),
        );
        self.run(
            sql,
            (
                "S1-0",
                "粤B66666",
                none,
                "closed",
                entry - 900 * MINUTE_MS,
                "X1",
                NOON_MS - 30 * MINUTE_MS,
                5000,
                daily.to_string(),
                2000,
                NOON_MS,
                3000,
                "unconfirmed",
                none,
                8,
            ),
        );
    }

    fn lanes(&self) {
        self.lane("E1", &Lane { arm: Some(ArmPosition::Down), ..Lane::default() });
        let due = Waiting {
            visit: visit(Some("粤B12345"), Some("S1-2")),
            due: Some(Fen(800)),
            with_points: None,
            why: WaitReason::FeeDue,
            candidates: Vec::new(),
            asked_for_points: false,
            crossed: false,
            since_ms: 0,
        };
        self.lane("X1", &waiting(due));
        let sql = "INSERT INTO plate_read VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        self.run(sql, (3, "cam-e1", "e-3", "E1", "粤A88888", 97, NOON_MS - 124 * MINUTE_MS, "taken"));
        self.run(sql, (4, "cam-e1", "e-4", "E1", None::<&str>, 0, NOON_MS - 100 * MINUTE_MS, "no_plate"));
        self.run(sql, (9, "cam-x1", "e-9", "X1", "粤B12345", 88, NOON_MS, "taken"));
    }

    fn rest(&self) {
        self.writer
            .execute_batch(
                "INSERT INTO payment VALUES ('demo-1/1/8/0', 'S1-0', 2000, '{\"by\":\"guard\",\"operator\":\"li\"}', 8);
                 INSERT INTO points_entry VALUES ('demo-1/1/7/0', 'M1001', 'spent', 40, 400, 'S1-1', 7, '[]', NULL),
                                                 ('demo-1/1/6/0', 'M1001', 'earned', 128, NULL, NULL, 6, NULL, NULL);
                 INSERT INTO hold VALUES ('demo-1/1/7/0', 'S1-1', 'M1001', 40, 400, '[]', 'spent');
                 INSERT INTO sale VALUES ('demo-1/1/6/1', 'T1', 'A-17', 'M1001', 12800, 1772330000000);
                 INSERT INTO barrier_command VALUES
                    ('demo-1/1/8/1', 'X1', '{\"why\":\"staff\",\"operator\":\"li\",\"reason\":\"Fee waived\"}', 'S1-0', NULL, 1, 8);
                 INSERT INTO alarm VALUES (8, 0, 'unconfirmed-exit', '出口 X1:未看到 S1-0 离场', 'X1', 'S1-0');
                 INSERT INTO rules VALUES (1, 'aa', 'version = 1');
                 INSERT INTO fact VALUES ('rules_version', '1');",
            )
            .expect("write the rest");
    }
}

/// A vehicle in a lane at noon.
pub fn visit(plate: Option<&str>, stay: Option<&str>) -> Visit {
    Visit {
        plate: plate.map(|plate| plate.parse().expect("a plate")),
        event: "e-9".to_owned(),
        captured: UtcMs(NOON_MS),
        stay: stay.map(StayId::from),
        left_at_ms: None,
        matched_ppm: None,
        second_factor: false,
        reads: Vec::new(),
        events: Vec::new(),
        greeting: None,
    }
}

/// A lane where a vehicle stands before the lowered arm.
pub fn waiting(waiting: Waiting) -> Lane {
    let phase = Phase::Waiting(waiting);
    Lane { phase, arrival: true, arm: Some(ArmPosition::Down), ..Lane::default() }
}

/// A fee with its lines.
fn fee(lines: &[(&str, i64, &str, &str)]) -> Value {
    let total: i64 = lines.iter().map(|line| line.1).sum();
    let lines: Vec<Value> =
        lines.iter().map(|(rule, fen, zh, en)| json!({"rule": rule, "fen": fen, "zh": zh, "en": en})).collect();
    json!({"total": total, "lines": lines})
}
