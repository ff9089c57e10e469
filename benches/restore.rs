//! How long a box takes that burned down: a site's whole journal and members come back from the cloud ledger, stage by
//! stage. `cargo bench --bench restore -- 100000` has a journal of so many entries; 5 000 members, 800 vehicles inside.
#![allow(clippy::print_stdout, reason = "the answer of the measurement")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use cloud_ledger::members::Profile;
use cloud_ledger::{Ledger, Tokens};
use gatepost::clock::Clock;
use gatepost::domain::event::{DeviceId, Input, LaneId, Now, PlateRead, UtcMs, VehicleSign};
use gatepost::domain::lane::{Direction, LaneSettings, Lanes};
use gatepost::domain::plate::told::Told;
use gatepost::site::{Core, activate_rules};
use gatepost::store::Store;
use gatepost::store::reader::Reader;
use gatepost::sync::CloudConfig;
use gatepost::sync::identity::Identity;
use gatepost::sync::restore::{Restore, Stage};
use gatepost::sync::wire::Cloud;

const MEMBERS: u64 = 5_000;
const INSIDE: u64 = 800;
/// Inputs of one commit while the journal is made, as the loop has them at most.
const BATCH: u64 = 64;
/// 2026-03-02T08:00:00+08:00.
const BEGIN: i64 = 1_772_409_600_000;

fn main() -> anyhow::Result<()> {
    let entries: u64 = std::env::args().skip(1).find_map(|text| text.parse().ok()).unwrap_or(100_000);
    rustls::crypto::ring::default_provider().install_default().ok().context("install the TLS provider")?;
    let place = tempfile::tempdir()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let ledger = Arc::new(Ledger::open(&place.path().join("cloud.db"))?);
    members(&ledger)?;
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))?;
    let url = format!("http://{}/", listener.local_addr()?);
    let tokens = Tokens::new("admin", [("box-1".to_owned(), "token".to_owned())])?;
    runtime.spawn(cloud_ledger::serve(listener, ledger, tokens, std::future::pending()));

    let old = place.path().join("old.db");
    let stays = live(&old, entries)?;
    let sent = runtime.block_on(send(&url, &old, &place.path().join("old.key")))?;
    println!("{sent} entries, {MEMBERS} members, {stays} vehicles inside");
    let token_file = place.path().join("token");
    std::fs::write(&token_file, "token\n")?;
    let cloud = CloudConfig { url, token_file, key_file: None, ledger_key: None, retry_max_s: 1 };
    let (key_file, made, lanes, clock) =
        (place.path().join("new.key"), place.path().join("new.db"), lanes(), Clock::new(None));
    let restore =
        Restore { cloud: &cloud, box_id: "box-1", key_file: &key_file, ledger: &made, lanes: &lanes, clock: &clock };
    let (begun, mut reached) = (Instant::now(), BTreeMap::<Stage, (Duration, u64)>::new());
    let progress = |stage, count| {
        reached.insert(stage, (begun.elapsed(), count));
    };
    let restored = runtime.block_on(restore.run(progress))?;
    let total = begun.elapsed();
    assert_eq!((restored.journal.entries, restored.changes), (sent, MEMBERS));
    for (stage, (at, count)) in reached {
        println!("{} s  {}", seconds(at), stage.words(count));
    }
    let rate = u128::from(sent) * 1000 / total.as_millis().max(1);
    println!("{} s in all: {rate} entries a second", seconds(total));
    Ok(())
}

fn seconds(time: Duration) -> String {
    format!("{:>5}.{}", time.as_secs(), time.subsec_millis() / 100)
}

fn members(ledger: &Ledger) -> anyhow::Result<()> {
    for number in 0..MEMBERS {
        let (handle, tier, plates, codes) = ("王**".to_owned(), "gold".to_owned(), vec![plate(number)], Vec::new());
        let profile =
            Profile { handle, tier, consent_plates: true, plates, codes, home: None, privileges: Default::default() };
        ledger.put_member(&format!("M{number}"), &profile)?;
    }
    Ok(())
}

/// Lets a box live until its journal is that long; how many vehicles are inside at the end.
fn live(path: &Path, entries: u64) -> anyhow::Result<u64> {
    let mut store = Store::open(path, "box-1")?;
    activate_rules(&mut store, include_str!("../systemd/rules.toml"), &Clock::new(None))?;
    let mut core = Core::new(store, lanes());
    let (mut steps, mut car, mut at) = (0, 0, BEGIN);
    while core.head().seq < entries {
        at += 5_000;
        // The first ones stay; the others leave before they have to pay.
        let passes = if car < INSIDE { vec![("in", car)] } else { vec![("in", car), ("out", car)] };
        for (lane, car) in passes {
            at += 60_000;
            for input in [read(lane, car, at)?, seen(lane)] {
                core.step(
                    input,
                    Now { uptime_ms: at.unsigned_abs() - BEGIN.unsigned_abs(), utc: UtcMs(at), trusted: true },
                )?;
                steps += 1;
                if steps % BATCH == 0 {
                    core.commit()?;
                }
            }
        }
        car += 1;
    }
    core.commit()?;
    Ok(INSIDE.min(car))
}

fn read(lane: &str, car: u64, at: i64) -> anyhow::Result<Input> {
    Ok(Input::PlateRead(PlateRead {
        lane: LaneId::from(lane),
        device: DeviceId(format!("camera-{lane}")),
        event: format!("event-{at}"),
        plate: Some(plate(MEMBERS + car).parse()?),
        confidence: 97,
        captured: UtcMs(at),
        stored_offline: false,
        photos: None,
        told: Told::default(),
        earlier: Vec::new(),
    }))
}

fn seen(lane: &str) -> Input {
    Input::VehicleSeen { lane: LaneId::from(lane), sign: VehicleSign::Passed }
}

fn plate(number: u64) -> String {
    let letter = ['A', 'B', 'C', 'D'][usize::from(number >= 100_000) + 2 * usize::from(number >= 200_000)];
    format!("粤{letter}{:05}", number % 100_000)
}

async fn send(url: &str, ledger: &Path, key: &Path) -> anyhow::Result<u64> {
    let cloud = Cloud::new(url, "box-1", Identity::open(key)?)?;
    cloud.enrol("token", None).await?;
    let (reader, mut sent) = (Reader::open(ledger)?, 0);
    loop {
        let entries = reader.look(move |view| view.entries(sent + 1, 500, 2 << 20)).await?;
        let Some(last) = entries.last() else { return Ok(sent) };
        cloud.upload(1, last.epoch, &entries).await?;
        sent = last.entry;
    }
}

fn lanes() -> Lanes {
    Lanes::from([
        (LaneId::from("in"), LaneSettings::plain(Direction::Entry)),
        (LaneId::from("out"), LaneSettings::plain(Direction::Exit)),
    ])
}
