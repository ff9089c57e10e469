//! A whole mall's tills at once over real connections: 500 terminals of 300 shops, each sale booked once and for its
//! shop; and one till that has lost its mind and slows nobody.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Barrier;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::boxed::{PATIENCE, Site, run};
use crate::till_lines::LANE;

const TERMINALS: usize = 500;
const MERCHANTS: usize = 300;
/// Connections are kept open, each by a till of its own; so many are served by one of the test's threads.
const TILLS_A_THREAD: usize = 25;
/// Sales of each till, one after the other without a pause: a mall's busiest minute has one for each.
const SALES: usize = 4;
/// How often the mad till asks, in all.
const FLOOD: usize = 3_000;

#[test]
fn five_hundred_tills_at_four_times_the_peak_are_booked_once_each() {
    let mut site = Site::start(&settings());
    let together = Barrier::new(TERMINALS / TILLS_A_THREAD);
    let answers: Vec<(usize, Duration, u16)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..TERMINALS)
            .step_by(TILLS_A_THREAD)
            .map(|first| {
                scope.spawn({
                    let (together, address) = (&together, site.address);
                    move || sell_all(address, first, together)
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let refused: Vec<_> = answers.iter().filter(|(_, _, status)| *status != 200).collect();
    assert!(refused.is_empty(), "{} of {}: {:?}", refused.len(), answers.len(), refused.first());
    let slowest = answers.iter().map(|(_, took, _)| *took).max().unwrap();
    assert!(slowest < Duration::from_secs(10), "nobody heard that the outcome is unknown, but {slowest:?}");

    let books = site.books();
    let mut sales: BTreeMap<&str, u32> = BTreeMap::new();
    for sale in books["sales"].as_array().unwrap() {
        *sales.entry(sale["receipt"].as_str().unwrap()).or_default() += 1;
    }
    assert_eq!(sales.len(), TERMINALS * SALES);
    assert!(sales.values().all(|count| *count == 1), "each receipt is one sale");
    site.daemon.kill();
    let db = rusqlite::Connection::open(site.folder.path().join("ledger.db")).unwrap();
    let shops: usize = db.query_row("SELECT count(DISTINCT merchant) FROM till_book", (), |row| row.get(0)).unwrap();
    let wrong: usize = db
        .query_row(
            "SELECT count(*) FROM till_book WHERE merchant <> 'shop-' || (substr(terminal, 6) % 300)",
            (),
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!((shops, wrong), (MERCHANTS, 0), "each line stands for its own shop");
    drop(db);
    site.verify().unwrap();
}

#[test]
fn a_till_that_floods_is_limited_and_slows_nobody() {
    let site = Site::start_by(&settings(), |file, _| {
        let text = std::fs::read_to_string(file).unwrap().replace("till_requests_per_s = 100000", "");
        std::fs::write(file, text).unwrap();
        run(file)
    });
    let (mut other, mut beside_it) = (Till::connect(site.address, 1), Till::connect(site.address, 2));
    let alone = median((0..45).map(|n| timed(&mut other, n).0).collect());
    let is_over = std::sync::atomic::AtomicBool::new(false);
    let (statuses, beside) = std::thread::scope(|scope| {
        let flood = scope.spawn(|| {
            let mut mad = Till::connect(site.address, 0);
            let mut statuses: BTreeMap<u16, usize> = BTreeMap::new();
            for _ in 0..FLOOD {
                *statuses.entry(mad.ask("GET", "/status", "", "").0).or_default() += 1;
            }
            is_over.store(true, std::sync::atomic::Ordering::SeqCst);
            statuses
        });
        let mut beside = Vec::new();
        // As fast as a cashier of a mall may, and never faster than the limit: what is slow here is the box.
        for n in 0..45 {
            let (took, status) = timed(&mut beside_it, n);
            assert_eq!(status, 200, "the limit is each till's own");
            beside.push(took);
            if is_over.load(std::sync::atomic::Ordering::SeqCst) {
                break;
            }
        }
        (flood.join().unwrap(), beside)
    });
    let limited = statuses.get(&429).copied().unwrap_or(0);
    assert!(limited > FLOOD / 2, "{statuses:?}");
    assert_eq!(statuses.values().sum::<usize>(), FLOOD);
    let beside = median(beside);
    assert!(beside < alone * 10 + Duration::from_millis(100), "alone {alone:?}, beside the flood {beside:?}");
}

fn settings() -> String {
    let till = |n: usize| {
        format!("[[terminals]]\nid = \"many-{n}\"\ntoken = \"token-{n}\"\nmerchant = \"shop-{}\"\n", n % MERCHANTS)
    };
    (0..TERMINALS).map(till).collect::<String>() + LANE
}

/// The sales of some tills, in turns, once everybody is connected.
fn sell_all(address: SocketAddr, first: usize, together: &Barrier) -> Vec<(usize, Duration, u16)> {
    let mut tills: Vec<Till> = (first..first + TILLS_A_THREAD).map(|till| Till::connect(address, till)).collect();
    together.wait();
    let mut answers = Vec::new();
    for n in 0..SALES {
        for till in &mut tills {
            let (took, status) = timed(till, n);
            answers.push((till.number, took, status));
        }
    }
    answers
}

fn timed(till: &mut Till, n: usize) -> (Duration, u16) {
    let receipt = format!("{}-{n}", till.number);
    let sale = json!({"receipt_no": receipt, "sale_fen": 1_250, "tenders": [{"kind": "cash", "fen": 1_250}]});
    let began = Instant::now();
    let (status, _) = till.ask("POST", "/transactions", &format!("k-{n}"), &sale.to_string());
    (began.elapsed(), status)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// A till with one connection that stays.
struct Till {
    number: usize,
    stream: BufReader<TcpStream>,
}

impl Till {
    fn connect(address: SocketAddr, number: usize) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { number, stream: BufReader::new(stream) }
    }

    fn ask(&mut self, method: &str, path: &str, key: &str, body: &str) -> (u16, Value) {
        let n = self.number;
        let mut text = format!(
            "{method} /api/v1{path} HTTP/1.1\r\nHost: box\r\nGatepost-Terminal: many-{n}\r\n\
             Authorization: Bearer token-{n}\r\n"
        );
        if !key.is_empty() {
            text.push_str(&format!("Idempotency-Key: {key}\r\n"));
        }
        text.push_str(&format!("Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
        self.stream.get_mut().write_all(text.as_bytes()).unwrap();
        let (mut status, mut length, mut line) = (0, 0, String::new());
        while self.stream.read_line(&mut line).unwrap() > 2 {
            if let Some(rest) = line.strip_prefix("HTTP/1.1 ") {
                status = rest[..3].parse().unwrap();
            } else if let Some((name, value)) = line.split_once(": ")
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap();
            }
            line.clear();
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }
}
