//! How little of its line a box needs: a day of a mall, sent by the box's own client to the real ledger, counted on the
//! way.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gatepost::domain::event::{Input, PhotoHashes};
use gatepost::store::reader::Reader;
use gatepost::sync::identity::Identity;
use gatepost::sync::wire::Cloud;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::dice::Dice;
use crate::story::Story;

/// Minutes of it.
const DAY: i64 = 5 * 60;
/// Entries of one upload, as a box sends them.
const SENT_AT_ONCE: usize = 500;
/// What an entry may take on the line, both ways, with all of HTTP: a month of 600 000 is then 36 MB at most.
const ENTRY_BYTES_MAX: u64 = 60;
/// The same where reads name two pictures: each hash is 32 bytes that nothing makes smaller.
const ENTRY_BYTES_MAX_WITH_PICTURES: u64 = 70;

#[test]
#[allow(clippy::print_stdout, reason = "the figures of docs/scaling.md")]
fn a_day_of_a_mall_is_small_on_the_line() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    for has_pictures in [false, true] {
        let mut story = Story::new();
        day(&mut story, has_pictures);
        let records = "SELECT CAST(sum(json_array_length(body, '$.records')) AS TEXT) FROM
                       (SELECT CAST(body AS TEXT) AS body FROM journal)";
        let records: u64 = story.rows(records)[0].parse().unwrap();
        let bodies: u64 = story.rows("SELECT CAST(sum(length(body)) AS TEXT) FROM journal")[0].parse().unwrap();
        story.stop();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (entries, bytes) = runtime.block_on(send(&story));
        println!(
            "a day{}: {entries} entries of {} bytes with {} records each; on the line {} bytes an entry, {} a record",
            if has_pictures { " with two pictures a read" } else { "" },
            bodies / entries,
            tenths(records, entries),
            tenths(bytes, entries),
            tenths(bytes, records)
        );
        let most = if has_pictures { ENTRY_BYTES_MAX_WITH_PICTURES } else { ENTRY_BYTES_MAX };
        assert!(bytes < entries * most, "{bytes} for {entries}");
    }
}

fn tenths(of: u64, by: u64) -> String {
    format!("{}.{}", of / by, of * 10 / by % 10)
}

/// Cars come and go, members among them; shops sell.
fn day(story: &mut Story, has_pictures: bool) {
    let mut dice = Dice(5);
    for n in 0..40 {
        story.member(&format!("M{n}"), &[&plate(n)]);
    }
    let mut inside = BTreeMap::<u64, i64>::new();
    for minute in 0..DAY {
        story.minutes(1);
        let car = dice.below(120);
        if let Entry::Vacant(place) = inside.entry(car) {
            place.insert(minute + 10 + i64::try_from(dice.below(200)).unwrap());
            story.arrival("in", true);
            read(story, &mut dice, "in", car, has_pictures);
            story.drive_through("in");
            story.grant(300);
        }
        let due: Vec<u64> = inside.iter().filter(|(_, at)| **at <= minute).map(|(car, _)| *car).collect();
        for car in due {
            inside.remove(&car);
            story.arrival("out", true);
            if read(story, &mut dice, "out", car, has_pictures) == 0 {
                let stay = story.stay_of(&plate(car));
                story.till(&format!("p{minute}-{car}"), None, 0, Some(&stay), 100_000, 0);
            }
            story.drive_through("out");
            story.seconds(20);
        }
        if dice.one_in(2) {
            let member = format!("M{}", dice.below(40));
            let fen = 100 * i64::try_from(1 + dice.below(500)).unwrap();
            story.till(&format!("s{minute}"), Some(&member), fen, None, fen, 0);
        }
    }
}

/// A camera's statement, with the hashes of two pictures where it sends them; how many raises followed.
fn read(story: &mut Story, dice: &mut Dice, lane: &str, car: u64, has_pictures: bool) -> usize {
    let mut read = story.statement(lane, &plate(car));
    if has_pictures {
        let mut hash = || Some((0..4).map(|_| format!("{:016x}", dice.next())).collect());
        read.photos = Some(PhotoHashes { scene: hash(), plate: hash() });
    }
    story.feed(Input::PlateRead(read)).0
}

fn plate(car: u64) -> String {
    format!("粤B{:05}", car * 7919 % 100_000)
}

/// Uploads a story's journal; how many entries there were, and bytes on the line in both directions.
async fn send(story: &Story) -> (u64, u64) {
    let place = tempfile::tempdir().unwrap();
    let ledger = cloud_ledger::Ledger::open(&place.path().join("cloud.db")).unwrap();
    let tokens = cloud_ledger::Tokens::new("admin", [("box-1".to_owned(), "token".to_owned())]).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(cloud_ledger::serve(listener, ledger.into(), tokens, std::future::pending()));
    let counted = Arc::new(AtomicU64::new(0));
    let line = line(address, Arc::clone(&counted)).await;
    let identity = Identity::open(&place.path().join("key")).unwrap();
    let cloud = Cloud::new(&format!("http://{line}/"), "box-1", identity).unwrap();
    cloud.enrol("token", None).await.unwrap();
    let reader = Reader::open(&story.path()).unwrap();
    let (before, mut sent) = (counted.load(Ordering::Relaxed), 0);
    loop {
        let entries = reader.look(move |view| view.entries(sent + 1, SENT_AT_ONCE, 2 << 20)).await.unwrap();
        let Some(last) = entries.last() else { break };
        let cursor = cloud.upload(1, last.epoch, &entries).await.unwrap();
        assert_eq!(cursor.seq, last.seq);
        sent = last.entry;
    }
    (sent, counted.load(Ordering::Relaxed) - before)
}

/// A line to the ledger on which every byte is counted.
async fn line(ledger: SocketAddr, counted: Arc<AtomicU64>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let far = TcpStream::connect(ledger).await.unwrap();
            let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
            tokio::spawn(carry(near_in, far_out, Arc::clone(&counted)));
            tokio::spawn(carry(far_in, near_out, Arc::clone(&counted)));
        }
    });
    address
}

async fn carry(
    mut from: impl tokio::io::AsyncRead + Unpin,
    mut to: impl tokio::io::AsyncWrite + Unpin,
    counted: Arc<AtomicU64>,
) {
    let mut chunk = [0; 16 << 10];
    while let Ok(read @ 1..) = from.read(&mut chunk).await {
        counted.fetch_add(read as u64, Ordering::Relaxed);
        if to.write_all(&chunk[..read]).await.is_err() {
            return;
        }
    }
}
