//! How much the ledger takes in a second, beside bare inserts of the same rows into the same PostgreSQL, all in one run.

mod day;
mod floor;
mod line;
#[path = "../../tests/it/postgres.rs"]
#[allow(dead_code, clippy::unwrap_used, reason = "the tests use more of it, and stop where they cannot go on")]
mod postgres;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Parser;
use cloud_ledger::db::{Database, PostgresSettings};
use cloud_ledger::grants::GRANTS_MAX;
use cloud_ledger::journal::{Cursor, Entry};
use cloud_ledger::ledger::{GrantAsk, Hello, Upload};
use cloud_ledger::members::Profile;
use cloud_ledger::points::Credit;
use cloud_ledger::sign::LedgerKey;
use cloud_ledger::{Ledger, Settings};

use day::MEMBERS;
use floor::Floor;
use postgres::Postgres;

/// Entries of one upload.
pub const BATCH: usize = 200;

/// Each figure is the best of so many rounds: what else the machine did is in the others.
const ROUNDS: usize = 3;

/// Grants of each asker in a round.
const GRANTS: usize = 500;

/// Measures the ledger on PostgreSQL beside the floor of the same server.
#[derive(Parser)]
struct Options {
    /// An empty database of a server that is there. Without it: a new server with PostgreSQL's own settings, then the
    /// same with a standby that has each commit before it returns.
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    /// Entries of each box in a round.
    #[arg(long, default_value_t = 20_000)]
    entries: usize,
    /// Entries of the box that was away: 30 days at 20 000.
    #[arg(long, default_value_t = 600_000)]
    away: usize,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    rustls::crypto::ring::default_provider().install_default().ok().context("install the TLS provider")?;
    if let Some(url) = &options.database {
        return measure(url, &options);
    }
    let server = Postgres::start(&[]);
    say(&format!("PostgreSQL with its own settings ({})", durability(&server)));
    measure(&server.database(), &options)?;
    let standby = server.standby();
    server.run("postgres", "ALTER SYSTEM SET synchronous_standby_names = '*'");
    server.run("postgres", "SELECT pg_reload_conf()");
    while server.run("postgres", "SELECT sync_state FROM pg_stat_replication") != "sync\n" {}
    say(&format!("\nthe same with a synchronous standby on this machine ({})", durability(&server)));
    measure(&server.database(), &options)?;
    drop(standby);
    Ok(())
}

fn durability(server: &Postgres) -> String {
    let show = |name: &str| format!("{name} {}", server.run("postgres", &format!("SHOW {name}")).trim());
    ["server_version", "fsync", "synchronous_commit", "full_page_writes"].map(show).join(", ")
}

fn measure(url: &str, options: &Options) -> anyhow::Result<()> {
    let open = || Database::open(url, &PostgresSettings::default());
    let settings = Settings { recompute: None, ..Settings::default() };
    let ledger = Arc::new(Ledger::new(open()?, LedgerKey::of(&[1; 32])?, settings));
    members(&ledger)?;
    let floor = Floor::open(open()?)?;
    for boxes in [1, 8] {
        uploads(&ledger, &floor, boxes, options.entries)?;
    }
    for askers in [1, 8] {
        grants(&ledger, &floor, askers)?;
    }
    let threads = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("start the client")?;
    let seen = threads.block_on(line::see(Arc::clone(&ledger), options.away, ROUNDS * GRANTS))?;
    let rate = per_second(seen.entries, seen.took);
    let tenths = seen.took.as_millis() / 100;
    let (whole, part) = (seen.bytes / seen.entries, seen.bytes * 10 / seen.entries % 10);
    say(&format!("catch-up over HTTP: {} entries in {}.{} s, {rate}/s", seen.entries, tenths / 10, tenths % 10));
    say(&format!("on the wire: {whole}.{part} bytes an entry of this journal, in requests of 500, zstd level 3"));
    for (what, mut times) in [("nothing else happens", seen.alone), ("another box catches up", seen.beside)] {
        times.sort_unstable();
        let at = |percent: usize| {
            let micros = times[(times.len() - 1) * percent / 100].as_micros();
            format!("{}.{}", micros / 1000, micros % 1000 / 100)
        };
        say(&format!("a grant's round trip while {what}: p50 {} ms, p99 {} ms ({})", at(50), at(99), times.len()));
    }
    let report = ledger.verify()?;
    ensure!(report.ok, "the books do not agree: {:?}", report.faults);
    say(&format!("the books agree with the journals: {} entries", report.entries));
    Ok(())
}

fn uploads(ledger: &Ledger, floor: &Floor, boxes: usize, entries: usize) -> anyhow::Result<()> {
    let mut best = [Duration::MAX; 3];
    for round in 0..ROUNDS {
        let name = |number: usize| format!("run{boxes}-{round}-{number}");
        let journals: Vec<Vec<Entry>> = (0..boxes).map(|number| day::journal(&name(number), entries)).collect();
        let uploads: Vec<Vec<String>> = journals.iter().map(|journal| texts(journal)).collect::<Result<_, _>>()?;
        let alone = together(boxes, |number| floor.entries(&name(number), &journals[number]).map(drop))?;
        let real = together(boxes, |number| upload(ledger, &name(number), &uploads[number]))?;
        let written = (0..boxes).map(|number| floor.written(&name(number), entries)).collect::<Result<Vec<_>, _>>()?;
        let bare = together(boxes, |number| floor.repeat(&written[number]))?;
        best = [best[0].min(real), best[1].min(bare), best[2].min(alone)];
    }
    tell(&format!("entries, {boxes} at once in batches of {BATCH}"), boxes * entries, best);
    Ok(())
}

fn grants(ledger: &Ledger, floor: &Floor, askers: usize) -> anyhow::Result<()> {
    let mut best = [Duration::MAX; 3];
    for round in 0..ROUNDS {
        let name = |number: usize| format!("run8-0-{number}");
        let requests = |number: usize| -> Vec<String> {
            (0..GRANTS).map(|n| format!("run8-0-{number}/1/{askers}-{round}-{n}/0")).collect()
        };
        let alone = together(askers, |number| floor.one_by_one(&format!("{askers}-{round}-{number}"), GRANTS))?;
        let real = together(askers, |number| ask(ledger, &name(number), &requests(number)))?;
        let granted = |number: usize| floor.granted(&name(number), &requests(number));
        let written = (0..askers).map(granted).collect::<Result<Vec<_>, _>>()?;
        let bare = together(askers, |number| floor.repeat(&written[number]))?;
        best = [best[0].min(real), best[1].min(bare), best[2].min(alone)];
    }
    tell(&format!("single grants, {askers} at once"), askers * GRANTS, best);
    Ok(())
}

/// The ledger's rate, those of both floors, and the ledger's parts of them.
fn tell(what: &str, done: usize, [real, bare, alone]: [Duration; 3]) {
    let part = |floor: Duration| floor.as_micros() * 100 / real.as_micros().max(1);
    say(&format!(
        "{what}: {}/s; all the same rows bare {}/s: {} %; one row each bare {}/s: {} %",
        per_second(done, real),
        per_second(done, bare),
        part(bare),
        per_second(done, alone),
        part(alone)
    ));
}

fn per_second(done: usize, took: Duration) -> u128 {
    done as u128 * 1_000_000 / took.as_micros().max(1)
}

/// Runs `work` on as many threads as there are boxes; how long all of it took.
fn together(boxes: usize, work: impl Fn(usize) -> anyhow::Result<()> + Sync) -> anyhow::Result<Duration> {
    let began = Instant::now();
    std::thread::scope(|threads| {
        let work = &work;
        let all: Vec<_> = (0..boxes).map(|number| threads.spawn(move || work(number))).collect();
        all.into_iter().try_for_each(|one| one.join().expect("a worker does not panic"))
    })?;
    Ok(began.elapsed())
}

fn members(ledger: &Ledger) -> anyhow::Result<()> {
    for number in 0..MEMBERS {
        let id = format!("M{number}");
        let (handle, tier, plates, codes) = (id.clone(), "gold".to_owned(), Vec::new(), Vec::new());
        ledger.put_member(
            &id,
            &Profile { handle, tier, consent_plates: false, plates, codes, home: None, privileges: Default::default() },
        )?;
        let (op, reason) = (format!("c{number}"), String::new());
        ledger.credit(&id, &Credit { op, points: 1_000_000, reason, lot: None }, 0)?;
    }
    Ok(())
}

/// The entries of each batch as they come over the wire.
fn texts(journal: &[Entry]) -> anyhow::Result<Vec<String>> {
    journal.chunks(BATCH).map(|batch| Ok(serde_json::to_string(batch)?)).collect()
}

/// Read from text, linked, parsed, applied.
fn upload(ledger: &Ledger, name: &str, batches: &[String]) -> anyhow::Result<()> {
    let genesis = Cursor::genesis(name, 1);
    ledger.hello(name, &Hello { epoch: 1, seq: 0, head: genesis.head }, 0)?;
    for batch in batches {
        let entries = serde_json::from_str(batch)?;
        ledger.upload(name, &Upload { epoch: 1, entries, branch: false, prev: None }, 0)?;
    }
    Ok(())
}

fn ask(ledger: &Ledger, name: &str, requests: &[String]) -> anyhow::Result<()> {
    for (number, request) in requests.iter().enumerate() {
        let member = format!("M{}", (number * 17 + name.len() * 31) % MEMBERS);
        let ask = GrantAsk { request: request.clone(), epoch: 1, member, points: 3, standing: false };
        ledger.grant(name, &ask, GRANTS_MAX, 0)?;
    }
    Ok(())
}

#[allow(clippy::print_stdout, reason = "the answer of the command")]
fn say(text: &str) {
    println!("{text}");
}
