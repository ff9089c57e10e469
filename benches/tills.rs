//! A till's commit that pays with points, as the till sees it, while twenty lanes have traffic; beside the least that any
//! box could need: a bare HTTP echo with one durable commit to the same disk.
//!
//! `cargo bench --bench tills` starts Debian's mosquitto and the daemon of this build. Requests come at their own times,
//! whether the one before is answered or not, and each is timed from the moment at which it was due, so that a box that
//! falls behind cannot hide it. Box and floor take turns at each rate. Then every till of a large mall asks at once, see
//! `crowd`. `-- --smoke` takes a few of each, to see that it runs; its figures say nothing.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gatepost::domain::event::{CloudNews, FeedChange, Input, Member, MemberId, Now, Record, UtcMs};
use gatepost::store::Store;
use rumqttc::v5::Client;
use serde_json::{Value, json};

use crate::phones::{code_keys, phone_code};
use crate::site::{Broker, Cameras, Daemon, PATIENCE, at, camera_ms, entry_lanes, folder, say, serial};

mod crowd;
#[path = "../tests/it/phones.rs"]
mod phones;
mod site;

/// Requests a second, and how many of them are taken in each of the rounds.
const RATES: [(u32, usize); 4] = [(1, 10), (10, 100), (50, 400), (200, 1_600)];
const ROUNDS: usize = 2;
/// Tills that ask in turns, each with a connection of its own.
const TILLS: usize = 40;
/// What each member has earned, and pays with, in fen.
const EARNS_FEN: i64 = 10_000;
const PAYS_FEN: i64 = 100;
const LANES: usize = 20;
/// Plates a second at each lane: a car every four seconds everywhere is four times a busy car park.
const PLATES_PER_S: f64 = 0.25;
/// What one commit writes into the journal, roughly.
const ROW_BYTES: usize = 2048;

fn main() {
    let is_smoke = std::env::args().any(|word| word == "--smoke");
    let rates: &[(u32, usize)] = if is_smoke { &[(10, 20)] } else { &RATES };
    let folder = folder("tills");
    let broker = Broker::start(folder.path());
    let (client, _raises) = broker.listen("cameras", "device/+/message/down/gpio_out");
    let is_over = Arc::new(AtomicBool::new(false));
    let traffic = std::thread::spawn({
        let is_over = Arc::clone(&is_over);
        move || drive(&client, &is_over)
    });
    let rows = one_by_one(folder.path(), &broker, rates);
    // The crowd sells some thirty times a second.
    let beside = rows.iter().find(|row| row.rate >= 30).or(rows.last());
    let floor_p99 = beside.map(Row::floor_p99).expect("a rate");
    report(rows);
    everybody(folder.path(), &broker, if is_smoke { 1 } else { 4 }, floor_p99);
    is_over.store(true, Ordering::SeqCst);
    let vehicles = traffic.join().expect("the traffic ends");
    say(&format!("{vehicles} vehicles came in by {LANES} lanes meanwhile"));
}

/// Commits at each rate, box and floor in turns.
fn one_by_one(folder: &Path, broker: &Broker, rates: &[(u32, usize)]) -> Vec<Row> {
    // A phone's code pays once: each payment is another member's.
    let payments = ROUNDS * rates.iter().map(|(_, samples)| samples).sum::<usize>();
    know_members(folder, "ledger", payments);
    let daemon = Daemon::start(folder, "ledger", broker, &settings());
    let (box_tills, floor_tills) = (connect(daemon.address), connect(floor(folder)));
    (0..payments).for_each(|member| earn(&box_tills, member));
    let (mut rows, mut paid) = (Vec::new(), 0);
    for (rate, samples) in rates.iter().copied() {
        let (mut ours, mut least) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            ours.extend(take(&box_tills, rate, samples, paid));
            least.extend(take(&floor_tills, rate, samples, paid));
            paid += samples;
        }
        ours.sort_unstable();
        least.sort_unstable();
        rows.push(Row { rate, ours, least });
    }
    rows
}

/// Every till of a large mall at once, alone and beside one that floods, at a box with its usual limit for each till.
fn everybody(folder: &Path, broker: &Broker, sales_each: usize, floor_p99: Duration) {
    let payers = crowd::payers(sales_each);
    know_members(folder, "crowd", 2 * payers);
    let daemon = Daemon::with_http(folder, "crowd", broker, "", &(settings() + &crowd::settings()));
    // So many earnings are a flood themselves, so they come through many tills and slowly enough.
    let tills = connect(daemon.address);
    let begun = Instant::now();
    for member in 0..2 * payers {
        let due = begun + Duration::from_secs_f64(member as f64 / (20.0 * TILLS as f64));
        while let Some(left) = due.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            std::thread::park_timeout(left);
        }
        earn(&tills, member);
    }
    for (round, name) in ["at four times their peak", "the same beside a flood"].into_iter().enumerate() {
        let heard = crowd::run(daemon.address, sales_each, round * payers, round > 0);
        crowd::report(name, heard, floor_p99);
    }
}

fn settings() -> String {
    let terminal = |till| format!("[[terminals]]\nid = \"till-{till}\"\ntoken = \"token-{till}\"\n");
    entry_lanes(0..LANES, "") + &code_keys() + &(0..TILLS).map(terminal).collect::<String>()
}

/// What one rate came to, the quickest first.
struct Row {
    rate: u32,
    ours: Vec<Duration>,
    least: Vec<Duration>,
}

impl Row {
    fn floor_p99(&self) -> Duration {
        at(&self.least, 990)
    }
}

fn report(rows: Vec<Row>) {
    say(&format!("commit with redemption beside {LANES} lanes; floor: HTTP echo and durable commit"));
    let columns = ("req/s", "samples", "ours p50/p99/p99.9 ms", "floor p50/p99/p99.9 ms", "ratio p50/p99");
    say(&format!("{:>8} {:>8} {:>24} {:>24} {:>20}", columns.0, columns.1, columns.2, columns.3, columns.4));
    for Row { rate, ours, least } in rows {
        let ms = |sorted: &[Duration], per_mille| at(sorted, per_mille).as_secs_f64() * 1e3;
        let all = |sorted: &[Duration]| format!("{:.1}/{:.1}/{:.1}", ms(sorted, 500), ms(sorted, 990), ms(sorted, 999));
        let ratio = |per_mille| ms(&ours, per_mille) / ms(&least, per_mille);
        let ratios = format!("{:.2}/{:.2}", ratio(500), ratio(990));
        let samples = ours.len();
        say(&format!("{rate:>8} {samples:>8} {:>24} {:>24} {ratios:>20}", all(&ours), all(&least)));
    }
}

/// A connection of a till that stays open.
struct Till {
    number: usize,
    stream: BufReader<TcpStream>,
}

fn connect(address: SocketAddr) -> Vec<Arc<Mutex<Till>>> {
    let till = |number| {
        let stream = TcpStream::connect(address).expect("the box listens");
        stream.set_nodelay(true).expect("a socket");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        Arc::new(Mutex::new(Till { number, stream: BufReader::new(stream) }))
    };
    (0..TILLS).map(till).collect()
}

impl Till {
    fn sell(&mut self, key: &str, body: &Value) {
        let (n, body) = (self.number, body.to_string());
        let text = format!(
            "POST /api/v1/transactions HTTP/1.1\r\nHost: box\r\nGatepost-Terminal: till-{n}\r\n\
             Authorization: Bearer token-{n}\r\nIdempotency-Key: {key}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream.get_mut().write_all(text.as_bytes()).expect("the box takes requests");
        let (status, body) = read_message(&mut self.stream).expect("an answer");
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    }
}

/// The status of a message, or 0 of a request, and its body; none where the other side hung up.
fn read_message(stream: &mut BufReader<TcpStream>) -> Option<(u16, Vec<u8>)> {
    let (mut status, mut length, mut line) = (0, 0, String::new());
    loop {
        line.clear();
        if stream.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            break;
        }
        if let Some(rest) = line.strip_prefix("HTTP/1.1 ") {
            status = rest.get(..3)?.parse().ok()?;
        } else if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some((status, body))
}

/// A member earns enough for a payment.
fn earn(tills: &[Arc<Mutex<Till>>], member: usize) {
    let sale = json!({"receipt_no": format!("E-{member}"), "sale_fen": EARNS_FEN, "member_ref": format!("code:GPM{member}"),
        "tenders": [{"kind": "cash", "fen": EARNS_FEN}]});
    tills[member % TILLS].lock().expect("no thread has died").sell(&format!("earn-{member}"), &sale);
}

/// So many commits at a rate, by the members from `first` on; how long each took from the moment at which it was due.
fn take(tills: &[Arc<Mutex<Till>>], rate: u32, samples: usize, first: usize) -> Vec<Duration> {
    let (begun, next) = (Instant::now() + Duration::from_millis(50), Arc::new(AtomicUsize::new(0)));
    let workers: Vec<_> = tills
        .iter()
        .map(|till| {
            let (till, next) = (Arc::clone(till), Arc::clone(&next));
            std::thread::spawn(move || {
                let mut till = till.lock().expect("a till has one thread");
                let mut took = Vec::new();
                loop {
                    let n = next.fetch_add(1, Ordering::SeqCst);
                    if n >= samples {
                        return took;
                    }
                    let sale = paying(first + n);
                    let due = begun + Duration::from_secs_f64(n as f64 / f64::from(rate));
                    while let Some(left) = due.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
                        std::thread::park_timeout(left);
                    }
                    till.sell(&format!("pay-{}", first + n), &sale);
                    took.push(due.elapsed());
                }
            })
        })
        .collect();
    workers.into_iter().flat_map(|worker| worker.join().expect("a worker")).collect()
}

/// A sale that a member pays in part with the phone.
fn paying(member: usize) -> Value {
    json!({"receipt_no": format!("P-{member}"), "sale_fen": 1_250,
        "member_ref": format!("code:{}", phone_code(&format!("M{member}"))),
        "tenders": [{"kind": "cash", "fen": 1_250 - PAYS_FEN}, {"kind": "points", "fen": PAYS_FEN}]})
}

/// A server that writes one durable row for each request and sends the request back.
fn floor(folder: &Path) -> SocketAddr {
    let db = rusqlite::Connection::open(folder.join("floor.db")).expect("a database");
    db.pragma_update(None, "journal_mode", "wal").expect("a write-ahead log");
    db.pragma_update(None, "synchronous", 2).expect("a sync with every commit");
    db.execute_batch("CREATE TABLE row (n INTEGER PRIMARY KEY, body BLOB NOT NULL)").expect("a table");
    let db = Arc::new(Mutex::new(db));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let db = Arc::clone(&db);
            stream.set_nodelay(true).expect("a socket");
            std::thread::spawn(move || {
                let mut stream = BufReader::new(stream);
                while let Some((_, body)) = read_message(&mut stream) {
                    let row = [body.clone(), vec![7; ROW_BYTES - body.len().min(ROW_BYTES)]].concat();
                    let db = db.lock().expect("no thread has died");
                    db.execute("INSERT INTO row (body) VALUES (?1)", [row]).expect("a durable row");
                    drop(db);
                    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
                    if stream.get_mut().write_all(&[head.as_bytes(), &body].concat()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// The members, as the cloud ledger would have told of them.
fn know_members(folder: &Path, ledger: &str, count: usize) {
    let member = |n: usize| Member {
        id: MemberId(format!("M{n}")),
        handle: "王**".to_owned(),
        tier: "gold".to_owned(),
        consent_plates: true,
        plates: Vec::new(),
        codes: vec![format!("GPM{n}")],
        // Points that are earned at home may be spent there at once.
        home: Some("box-1".to_owned()),
        privileges: Default::default(),
    };
    let changes: Vec<FeedChange> = (0..count).map(|n| FeedChange::Member { member: member(n) }).collect();
    let mut store = Store::open(&folder.join(format!("{ledger}.db")), "box-1").expect("a ledger");
    let now = Now { uptime_ms: 1, utc: UtcMs(1_772_409_600_000), trusted: true };
    let fed = Record::Fed { changes: changes.clone(), next: 1, heard: now.utc };
    store.append(&Input::Cloud(CloudNews::Fed { changes, next: 1 }), &[fed], now).expect("members");
    store.commit().expect("a commit");
}

/// Vehicles at every lane until the run is over, and how many there were.
fn drive(client: &Client, is_over: &AtomicBool) -> usize {
    let cameras = Cameras { client };
    let (begun_ms, pause) = (camera_ms(), Duration::from_secs_f64(1.0 / (PLATES_PER_S * LANES as f64)));
    let mut vehicles = 0;
    while !is_over.load(Ordering::SeqCst) {
        let sn = serial(vehicles % LANES);
        cameras.plate(&sn, "ivs_result", vehicles, begun_ms + vehicles as u128 * pause.as_millis(), "");
        cameras.passes(&sn);
        vehicles += 1;
        std::thread::park_timeout(pause);
    }
    vehicles
}
