//! What must hold when things go wrong around the ledger: two servers at once, a full disk, a server without a second
//! one, a standby, a wrong table of members, a ledger that was lost.

use std::process::Command;

use cloud_ledger::db::{Database, PostgresSettings};
use cloud_ledger::grants::GRANTS_MAX;
use cloud_ledger::ledger::{GrantAsk, Hello, Upload};
use cloud_ledger::members::Profile;
use cloud_ledger::points::{Credit, Spend};
use cloud_ledger::{Refusal, Settings};
use serde_json::json;

use crate::host::{Journal, On, database, ledger};
use crate::postgres::{Postgres, shared};
use crate::wire::{earned, moved};

#[test]
fn two_servers_on_one_postgresql_give_no_point_twice() {
    let place = tempfile::tempdir().unwrap();
    let url = database(On::Postgres, place.path());
    let ledgers = [ledger(&url, Settings::default()), ledger(&url, Settings::default())];
    member(&ledgers[0], "M1", 1000);
    for name in ["demo-1", "demo-2"] {
        ledgers[0].hello(name, &hello(&Journal::new(name, 1)), 0).unwrap();
    }
    let (ledgers, total) = (&ledgers, std::sync::atomic::AtomicI64::new(0));
    std::thread::scope(|threads| {
        for number in 0..8_usize {
            let total = &total;
            threads.spawn(move || {
                let (ledger, name) = (&ledgers[number % 2], ["demo-1", "demo-2"][number / 4]);
                for n in 0..6 {
                    // Every wish twice, at the two servers.
                    let ask = ask(&format!("r{}-{n}", number / 2), 1, 37);
                    let granted = ledger.grant(name, &ask, GRANTS_MAX, 0).unwrap();
                    total.fetch_add(granted.points, std::sync::atomic::Ordering::Relaxed);
                    let spend = Spend { op: format!("o{number}-{n}"), points: 5 };
                    match ledger.spend("M1", &spend, 0) {
                        Ok(_) | Err(Refusal::InsufficientPoints { .. }) => {}
                        Err(other) => panic!("{other}"),
                    }
                }
            });
        }
    });
    let member = ledgers[1].member("M1").unwrap();
    assert_eq!(total.into_inner(), 2 * member.outstanding, "each wish was answered alike by both");
    assert_eq!(member.credited, member.debited + member.outstanding + member.available);
    let report = ledgers[0].verify().unwrap();
    assert!(report.ok, "{:?}", report.faults);
}

#[test]
fn the_same_upload_at_two_servers_is_applied_once() {
    let place = tempfile::tempdir().unwrap();
    let url = database(On::Postgres, place.path());
    let ledgers = [ledger(&url, Settings::default()), ledger(&url, Settings::default())];
    member(&ledgers[0], "M1", 1);
    let mut journal = Journal::new("demo-1", 1);
    ledgers[0].hello("demo-1", &hello(&journal), 0).unwrap();
    (0..60).for_each(|n| journal.add(json!([earned(&format!("op-{n}"), "M1", 1)])));
    let (ledgers, journal) = (&ledgers, &journal);
    std::thread::scope(|threads| {
        for number in 0..4_usize {
            threads.spawn(move || {
                for to in (10..=60).step_by(10) {
                    let upload: Upload = serde_json::from_value(journal.upload(to - 9, to)).unwrap();
                    match ledgers[number % 2].upload("demo-1", &upload, 0) {
                        Ok(_) | Err(Refusal::Gap { .. }) => {}
                        Err(other) => panic!("{other}"),
                    }
                }
            });
        }
    });
    assert_eq!(ledgers[0].member("M1").unwrap().credited, 61);
    assert_eq!(ledgers[0].box_view("demo-1").unwrap().alarms, []);
    assert!(ledgers[1].verify().unwrap().ok);
}

#[test]
fn a_full_disk_is_an_error_and_keeps_nothing_of_the_request() {
    let place = tempfile::tempdir().unwrap();
    let url = database(On::Sqlite, place.path());
    let full = place.path().join("cloud.db");
    let one = ledger(&url, Settings::default());
    member(&one, "M1", 100);
    let mut journal = Journal::new("demo-1", 1);
    one.hello("demo-1", &hello(&journal), 0).unwrap();
    drop(one);
    // The kernel lets no file of the child grow beyond what the database has now.
    let blocks = (std::fs::metadata(&full).unwrap().len() / 512).to_string();
    (0..400).for_each(|n| journal.add(json!([earned(&format!("op-{n}"), "M1", 1)])));
    let script = "ulimit -f \"$1\"; shift; trap '' XFSZ; exec \"$@\"";
    let table = place.path().join("members.csv");
    let rows: String = (0..3000).map(|n| format!("N{n},name,gold,no,\n")).collect();
    std::fs::write(&table, format!("id,handle,tier,consent_plates,plates\n{rows}")).unwrap();
    let done = Command::new("bash")
        .args(["-c", script, "limited", &blocks, env!("CARGO_BIN_EXE_gatepost-cloud"), "members", "import"])
        .args(["--database", &url])
        .arg(&table)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.code() == Some(2) && said.contains("the database failed"), "{said}");
    let again = ledger(&url, Settings::default());
    assert!(again.verify().unwrap().ok);
    let members = again.members("", 1000).unwrap().members.len();
    assert!(members % 200 <= 1, "{members}: whole transactions or none");
    let upload: Upload = serde_json::from_value(journal.upload(1, 400)).unwrap();
    again.upload("demo-1", &upload, 0).unwrap();
    assert_eq!(again.member("M1").unwrap().credited, 500, "with room it goes on");
}

/// A file system of its own that ends with the shell: `$1` is the program, `$2` the folder, `$3` the table.
const SMALL_DISK: &str = r#"
set -e
mount -t tmpfs -o size=2m,mode=0700 ledger-test "$2"
"$1" members import --database "sqlite:$2/cloud.db" "$3.few" >/dev/null
cp /dev/zero "$2/filler" 2>/dev/null || truncate -s -60000 "$2/filler"
"$1" members import --database "sqlite:$2/cloud.db" "$3" 2>&1 && exit 9
rm "$2/filler"
"$1" verify --database "sqlite:$2/cloud.db"
"$1" members import --database "sqlite:$2/cloud.db" "$3"
"$1" verify --database "sqlite:$2/cloud.db"
"#;

#[test]
fn a_disk_that_is_really_full_is_an_error_and_with_room_the_ledger_goes_on() {
    let place = tempfile::tempdir().unwrap();
    let (table, disk) = (place.path().join("members.csv"), place.path().join("disk"));
    std::fs::create_dir(&disk).unwrap();
    let rows = |count: usize| {
        let rows: String = (0..count).map(|n| format!("N{n},name,gold,no,,5\n")).collect();
        format!("id,handle,tier,consent_plates,plates,points\n{rows}")
    };
    std::fs::write(&table, rows(1200)).unwrap();
    std::fs::write(place.path().join("members.csv.few"), rows(10)).unwrap();
    let flag = if rustix::process::getuid().is_root() { "-m" } else { "-rm" };
    let done = Command::new("unshare")
        .args([flag, "sh", "-c", SMALL_DISK, "disk", env!("CARGO_BIN_EXE_gatepost-cloud")])
        .args([&disk, &table])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}");
    assert!(said.contains("the database failed") && said.contains("full"), "{said}");
    assert_eq!(said.matches("everything agrees").count(), 2, "{said}");
    assert!(said.contains("1200 members written"), "{said}");
}

#[test]
fn a_postgresql_that_may_lose_commits_is_refused_where_a_quorum_is_wanted() {
    let url = shared().database();
    assert!(Database::open(&url, &PostgresSettings::default()).is_ok(), "without the wish it is a warning");
    let refused = Database::open(&url, &PostgresSettings { require_quorum: true });
    let said = format!("{:#}", refused.err().expect("fsync is off and there is no second server"));
    assert!(said.contains("fsync is off") && said.contains("synchronous_standby_names is empty"), "{said}");

    let careless = Postgres::start(&["synchronous_commit=off"]);
    let said = Database::open(&careless.database(), &PostgresSettings { require_quorum: true });
    let said = format!("{:#}", said.err().expect("there is no second server"));
    assert!(!said.contains("synchronous_commit is"), "each connection sets it: {said}");
    assert!(!said.contains("fsync"), "{said}");
}

#[test]
fn a_ledger_that_was_lost_is_made_again_from_the_boxes() {
    for engine in [On::Sqlite, On::Postgres] {
        let place = tempfile::tempdir().unwrap();
        let lost = ledger(&database(engine, place.path()), Settings::default());
        member(&lost, "M1", 300);
        let mut journal = Journal::new("demo-1", 1);
        lost.hello("demo-1", &hello(&journal), 0).unwrap();
        lost.grant("demo-1", &ask("r1", 1, 200), GRANTS_MAX, 0).unwrap();
        journal.add(json!([{"kind": "grant_accepted", "grant": "G-1", "member": "M1", "points": 200}]));
        journal.add(json!([moved("points_spent", "a", "M1", &[("G-1", 150)]), earned("demo-1/1/2/1", "M1", 10)]));
        journal.add(json!([moved("points_returned", "b", "M1", &[("G-1", 20)])]));
        let upload: Upload = serde_json::from_value(journal.upload(1, 3)).unwrap();
        lost.upload("demo-1", &upload, 0).unwrap();
        let before = lost.member("M1").unwrap();

        let file = place.path().join("demo-1.jsonl");
        let entries = journal.upload(1, 3)["entries"].as_array().unwrap().clone();
        let line = |entry: &serde_json::Value| {
            let mut line = json!({"box": "demo-1", "epoch": 1});
            line.as_object_mut().unwrap().extend(entry.as_object().unwrap().clone());
            format!("{line}\n")
        };
        std::fs::write(&file, entries.iter().map(line).collect::<String>()).unwrap();
        let table = place.path().join("members.csv");
        std::fs::write(&table, "id,handle,tier,consent_plates,plates,codes,home,points\nM1,,,no,,,,300\n").unwrap();
        let other = tempfile::tempdir().unwrap();
        let made = ledger(&database(engine, other.path()), Settings::default());
        let done = made.rebuild(&table, std::slice::from_ref(&file), 0).unwrap();
        assert_eq!((done.entries, done.grants, done.warnings.len()), (3, 1, 0));
        let after = made.member("M1").unwrap();
        let sums =
            |view: &cloud_ledger::members::MemberView| [view.credited, view.debited, view.outstanding, view.available];
        assert_eq!(sums(&after), sums(&before));
        assert!(made.verify().unwrap().ok);
        assert_eq!(made.box_view("demo-1").unwrap().alarms, []);
        let next = made.grant("demo-1", &ask("r2", 1, 10), GRANTS_MAX, 0).unwrap();
        assert_eq!(next.grant.as_deref(), Some("G-2"), "no new grant has the name of an old one");
        assert!(made.rebuild(&table, &[file], 0).unwrap_err().to_string().contains("is not empty"));
    }
}

#[test]
fn a_table_of_members_is_looked_at_before_a_row_is_written() {
    let place = tempfile::tempdir().unwrap();
    let url = database(On::Sqlite, place.path());
    let table = place.path().join("members.csv");
    let text = "\u{feff}id,handle,tier,consent_plates,plates,codes,points\n\
                M1,王**,gold,yes,粤B12345 粤BD12345,GPM1,100\n\
                M2,李**,gold,maybe,,,\n\
                M3,张**,gold,no,粤B12345,,5\n\
                M4,赵**,gold\n\
                M 5,钱**,gold,no,,,\n\
                M6,孙**,gold,no,,,1.5\n\
                M7,周**,gold,no,,,7\n";
    std::fs::write(&table, text).unwrap();
    let run = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost-cloud"));
        let done = command.args(["members", "import", "--database", &url]).arg(&table).args(more).output().unwrap();
        (done.status.code(), String::from_utf8(done.stdout).unwrap())
    };
    let (code, said) = run(&[]);
    assert_eq!(code, Some(1), "{said}");
    for expected in [
        "line 3: consent_plates: 'maybe' is not understood",
        "line 4: its plate is also on line 2",
        "line 5: has 3 fields, the first line 7",
        "line 6: id: must be",
        "line 7: points: '1.5' is not a whole number",
        "0 members written, 0 points credited, 5 rows broken",
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    assert_eq!(ledger(&url, Settings::default()).members("", 10).unwrap().members, []);
    for _ in 0..2 {
        let (code, said) = run(&["--only-good"]);
        assert!(code == Some(1) && said.contains("2 members written"), "{said}");
    }
    let written = ledger(&url, Settings::default()).members("", 10).unwrap().members;
    let sums: Vec<_> = written.iter().map(|member| (member.id.as_str(), member.available)).collect();
    assert_eq!(sums, [("M1", 100), ("M7", 7)], "a second import credits nothing twice");

    let statement = Command::new(env!("CARGO_BIN_EXE_gatepost-cloud"))
        .args(["statement", "--database", &url, "--from", "2020-01-01", "--to", "2100-01-01", "--csv"])
        .output()
        .unwrap();
    let said = String::from_utf8(statement.stdout).unwrap();
    assert_eq!(said.lines().count(), 3, "{said}");
    assert!(said.starts_with("number,at_ms,what,op,member,box,"), "{said}");
}

fn member(ledger: &cloud_ledger::Ledger, id: &str, points: i64) {
    let (handle, tier, plates, codes) = (String::new(), String::new(), Vec::new(), Vec::new());
    let profile =
        Profile { handle, tier, consent_plates: false, plates, codes, home: None, privileges: Default::default() };
    ledger.put_member(id, &profile).unwrap();
    let credit = Credit { op: format!("start-{id}"), points, reason: String::new(), lot: None };
    ledger.credit(id, &credit, 0).unwrap();
}

fn hello(journal: &Journal) -> Hello {
    serde_json::from_value(journal.hello()).unwrap()
}

fn ask(request: &str, epoch: u32, points: i64) -> GrantAsk {
    GrantAsk { request: request.into(), epoch, member: "M1".into(), points, standing: false }
}
