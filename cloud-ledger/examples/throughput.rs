//! How many entries and grants a second the ledger takes, beside bare inserts of the same rows into the same server.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use cloud_ledger::db::{Database, PostgresSettings, Value};
use cloud_ledger::grants::GRANTS_MAX;
use cloud_ledger::journal::{Cursor, Entry, Head};
use cloud_ledger::ledger::{GrantAsk, Hello, Upload};
use cloud_ledger::members::Profile;
use cloud_ledger::points::Credit;
use cloud_ledger::sign::LedgerKey;
use cloud_ledger::{Ledger, Settings};
use serde_json::json;

/// Entries of one upload.
const BATCH: usize = 200;

/// Members that park and shop.
const MEMBERS: usize = 2000;

/// Everything that one run of a kind measured.
struct Rate {
    done: usize,
    took: Duration,
}

#[allow(clippy::print_stdout, reason = "the answer of the command")]
fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().context("name an empty database: postgres://… or sqlite:FILE")?;
    let entries: usize = arguments.next().map_or(Ok(20_000), |text| text.parse()).context("how many entries")?;
    let database = Database::open(&url, &PostgresSettings::default())?;
    let ledger = Arc::new(Ledger::new(database, LedgerKey::of(&[1; 32])?, Settings::default()));
    members(&ledger)?;
    let floor = Database::open(&url, &PostgresSettings::default())?;
    floor.write(|tx| {
        tx.run("CREATE TABLE IF NOT EXISTS floor_entry (box TEXT, epoch BIGINT, seq BIGINT, body TEXT, head BYTEA, PRIMARY KEY (box, epoch, seq))", &[])?;
        tx.run("CREATE TABLE IF NOT EXISTS floor_grant (id TEXT PRIMARY KEY, member TEXT, points BIGINT)", &[])?;
        Ok(())
    })?;
    println!("{} in batches of {BATCH}, {entries} entries a box", ledger.name());
    for boxes in [1, 8] {
        let journals: Vec<Vec<Entry>> =
            (0..boxes).map(|number| journal(&format!("run{boxes}-{number}"), entries)).collect();
        let bare = together(boxes, |number| bare_entries(&floor, &format!("bare{boxes}-{number}"), &journals[number]))?;
        let real = together(boxes, |number| upload(&ledger, &format!("run{boxes}-{number}"), &journals[number]))?;
        tell(&format!("entries, {boxes} boxes"), &real, &bare);
        if boxes == 1 {
            wire(&journals[0])?;
        }
    }
    let grants = 2000;
    for askers in [1, 8] {
        let bare = together(askers, |number| bare_grants(&floor, &format!("{askers}-{number}"), grants))?;
        let real = together(askers, |number| ask(&ledger, &format!("run8-{number}"), askers, grants))?;
        tell(&format!("grants, {askers} at once"), &real, &bare);
    }
    let report = ledger.verify()?;
    ensure!(report.ok, "the books do not agree: {:?}", report.faults);
    println!("everything agrees: {} entries", report.entries);
    Ok(())
}

#[allow(clippy::print_stdout, reason = "the answer of the command")]
fn tell(what: &str, real: &Rate, bare: &Rate) {
    // In tenths of an entry a second, so that no fraction is needed.
    let rate = |rate: &Rate| rate.done as u128 * 1_000_000 / rate.took.as_micros().max(1);
    let (real_rate, bare_rate) = (rate(real), rate(bare));
    println!(
        "{what}: {real_rate}/s; bare inserts of the same rows {bare_rate}/s; {} %",
        real_rate * 100 / bare_rate.max(1)
    );
}

#[allow(clippy::print_stdout, reason = "the answer of the command")]
fn wire(journal: &[Entry]) -> anyhow::Result<()> {
    let mut bytes = 0;
    for batch in journal.chunks(500) {
        let last = batch.len() - 1;
        let entry = |(index, entry): (usize, &Entry)| {
            let head = entry.head.filter(|_| index == last).map(|head| head.to_string());
            json!({ "seq": entry.seq, "body": entry.body, "head": head })
        };
        let entries: Vec<_> = batch.iter().enumerate().map(entry).collect();
        let body = json!({ "epoch": 1, "entries": entries }).to_string();
        bytes += zstd::encode_all(body.as_bytes(), 3)?.len();
    }
    println!("on the wire: {} bytes an entry in batches of 500, zstd level 3", bytes / journal.len());
    Ok(())
}

/// Runs `work` on as many threads as there are boxes.
fn together(boxes: usize, work: impl Fn(usize) -> anyhow::Result<usize> + Sync) -> anyhow::Result<Rate> {
    let began = Instant::now();
    let done = std::thread::scope(|threads| {
        let work = &work;
        let all: Vec<_> = (0..boxes).map(|number| threads.spawn(move || work(number))).collect();
        all.into_iter().map(|one| one.join().expect("a worker does not panic")).sum::<anyhow::Result<usize>>()
    })?;
    Ok(Rate { done, took: began.elapsed() })
}

fn members(ledger: &Ledger) -> anyhow::Result<()> {
    for number in 0..MEMBERS {
        let id = format!("M{number}");
        let (handle, tier, plates, codes) = (id.clone(), "gold".to_owned(), Vec::new(), Vec::new());
        ledger.put_member(&id, &Profile { handle, tier, consent_plates: false, plates, codes, home: None })?;
        let (op, reason) = (format!("c{number}"), String::new());
        ledger.credit(&id, &Credit { op, points: 1_000_000, reason, lot: None }, 0)?;
    }
    Ok(())
}

/// A day of a mall: cars come and go, every seventh entry sells something and every eleventh spends what was earned.
fn journal(name: &str, length: usize) -> Vec<Entry> {
    let mut head = Head::genesis(name, 1);
    let mut entries = Vec::with_capacity(length);
    let mut pocket = None;
    for number in 1..=length {
        let at_ms = 1_772_294_400_000 + number as i64 * 4_300 + (number as i64 * 7919) % 997;
        let (member, stay, lane) = (format!("M{}", number * 31 % MEMBERS), number / 3, number % 4);
        let op = format!("{name}/1/{number}/0");
        let records = match number {
            _ if number % 11 == 0 && pocket.is_some() => {
                let (member, grant): (String, String) = pocket.take().unwrap_or_default();
                json!([{"kind": "points_spent", "op": op, "member": member, "points": 3, "fen": 30, "stay": format!("s-{stay}"),
                        "parts": [{"grant": grant, "points": 3}]}])
            }
            _ if number % 7 == 0 => {
                pocket = Some((member.clone(), format!("born:{op}")));
                json!([{"kind": "sale_committed", "op": format!("{name}/1/{number}/1"), "terminal": "till-3", "member": member,
                        "total_fen": 100 * (number % 577), "at_ms": at_ms, "receipt": format!("r{number}")},
                       {"kind": "points_earned", "op": op, "member": member, "points": 5}])
            }
            _ if number % 3 == 0 => {
                json!([{"kind": "stay_entered", "stay": format!("s-{stay}"), "evidence": "passage_loop"}])
            }
            _ => {
                json!([{"kind": "lane_moved", "lane": format!("in-{lane}"), "state": {"raised": {"command": format!("c-{number}")}}}])
            }
        };
        let input = json!({"kind": "loop_changed", "lane": format!("in-{lane}"), "occupied": number % 2 == 0});
        let body = json!({"at_ms": at_ms, "trusted": true, "input": input, "records": records}).to_string();
        head = head.link(&body);
        entries.push(Entry { seq: number as i64, body, head: Some(head) });
    }
    entries
}

fn upload(ledger: &Ledger, name: &str, journal: &[Entry]) -> anyhow::Result<usize> {
    let genesis = Cursor::genesis(name, 1);
    ledger.hello(name, &Hello { epoch: 1, seq: 0, head: genesis.head }, 0)?;
    for batch in journal.chunks(BATCH) {
        // As it comes over the wire: read from text, linked, parsed, applied.
        let entries = serde_json::from_str(&serde_json::to_string(batch)?)?;
        ledger.upload(name, &Upload { epoch: 1, entries, branch: false, prev: None }, 0)?;
    }
    Ok(journal.len())
}

fn bare_entries(floor: &Database, name: &str, journal: &[Entry]) -> anyhow::Result<usize> {
    for batch in journal.chunks(BATCH) {
        let row = |entry: &Entry| {
            let head = entry.head.map_or([0; 32], |head| head.0);
            vec![
                Value::from(name),
                Value::from(1_i64),
                Value::from(entry.seq),
                Value::from(&entry.body),
                Value::from(head),
            ]
        };
        let rows: Vec<_> = batch.iter().map(row).collect();
        floor.write(|tx| {
            Ok(tx.each("INSERT INTO floor_entry (box, epoch, seq, body, head) {rows}", "tiitb", &rows)?)
        })?;
    }
    Ok(journal.len())
}

fn ask(ledger: &Ledger, name: &str, askers: usize, grants: usize) -> anyhow::Result<usize> {
    for number in 0..grants {
        let member = format!("M{}", (number * 17 + name.len() * 31) % MEMBERS);
        let request = format!("{askers}/{number}");
        let ask = GrantAsk { request, epoch: 1, member, points: 3, standing: false };
        ledger.grant(name, &ask, GRANTS_MAX, 0)?;
    }
    Ok(grants)
}

fn bare_grants(floor: &Database, name: &str, grants: usize) -> anyhow::Result<usize> {
    for number in 0..grants {
        let id = format!("{name}/{number}");
        let member = format!("M{}", number % MEMBERS);
        floor.write(|tx| {
            let values = [Value::from(&id), Value::from(&member), Value::from(3_i64)];
            Ok(tx.run("INSERT INTO floor_grant (id, member, points) VALUES ($1, $2, $3)", &values)?)
        })?;
    }
    Ok(grants)
}
