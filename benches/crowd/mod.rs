//! Every till of a large mall at once: five hundred of three hundred shops at four times their peak, for a minute, alone and
//! beside a till that floods.
//!
//! The peak is an assumption: each till sells once a minute. Shops' own counters are far from that in their best hour, and
//! the checkouts of a supermarket, which come near it, are a few dozen of the five hundred.

use std::collections::BTreeMap;
use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::site::{PATIENCE, at, say};
use crate::{paying, read_message};

const TERMINALS: usize = 500;
const MERCHANTS: usize = 300;
/// A sale a minute at each till, four times.
const BETWEEN_SALES: Duration = Duration::from_secs(60 / 4);
/// Of so many sales one is paid with points in part; before each the till looks the member up.
const ONE_PAYS_OF: usize = 5;
/// Connections of the till that floods; each asks again as soon as it is answered.
const FLOODS: usize = 4;

/// How many members pay in a run of so many sales at each till.
pub fn payers(sales_each: usize) -> usize {
    (TERMINALS * sales_each).div_ceil(ONE_PAYS_OF)
}

/// The settings of the tills, and of one that is to flood.
pub fn settings() -> String {
    let terminal = |till: usize| {
        let shop = till % MERCHANTS;
        format!("[[terminals]]\nid = \"crowd-{till}\"\ntoken = \"token-{till}\"\nmerchant = \"shop-{shop}\"\n")
    };
    (0..=TERMINALS).map(terminal).collect()
}

/// What the tills of a run heard.
pub struct Heard {
    lookups: Vec<Duration>,
    commits: Vec<Duration>,
    refused: BTreeMap<String, usize>,
    /// What the till that floods asked, and what of it was refused.
    flood: Option<(usize, usize)>,
    took: Duration,
}

/// Every till sells `sales_each` times; the payers are the members from `first` on.
pub fn run(address: SocketAddr, sales_each: usize, first: usize, with_flood: bool) -> Heard {
    let (next, is_over) = (Arc::new(AtomicUsize::new(first)), Arc::new(AtomicBool::new(false)));
    let floods: Vec<_> = (0..if with_flood { FLOODS } else { 0 })
        .map(|_| {
            let is_over = Arc::clone(&is_over);
            std::thread::spawn(move || flood(address, &is_over))
        })
        .collect();
    let begun = Instant::now() + Duration::from_secs(1);
    let tills: Vec<_> = (0..TERMINALS)
        .map(|number| {
            let next = Arc::clone(&next);
            std::thread::spawn(move || sell(Till::connect(address, number), sales_each, begun, (first, &next)))
        })
        .collect();
    let mut heard =
        Heard { lookups: Vec::new(), commits: Vec::new(), refused: BTreeMap::new(), flood: None, took: Duration::ZERO };
    for till in tills {
        let (lookups, commits, refused) = till.join().expect("a till");
        heard.lookups.extend(lookups);
        heard.commits.extend(commits);
        refused.into_iter().for_each(|code| *heard.refused.entry(code).or_default() += 1);
    }
    heard.took = begun.elapsed();
    is_over.store(true, Ordering::SeqCst);
    let asked = floods.into_iter().map(|flood| flood.join().expect("the flood"));
    heard.flood = with_flood.then(|| asked.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1)));
    heard
}

/// `floor_p99` is that of the bare echo, of the rate that comes next to this one.
pub fn report(name: &str, mut heard: Heard, floor_p99: Duration) {
    heard.lookups.sort_unstable();
    heard.commits.sort_unstable();
    let ms = |sorted: &[Duration], per_mille| at(sorted, per_mille).as_secs_f64() * 1e3;
    let all = |sorted: &[Duration]| format!("{:.1}/{:.1}/{:.1}", ms(sorted, 500), ms(sorted, 990), ms(sorted, 999));
    let seconds = heard.took.as_secs_f64();
    let rate = heard.commits.len() as f64 / seconds;
    let ratio = ms(&heard.commits, 990) / (floor_p99.as_secs_f64() * 1e3);
    say(&format!(
        "{TERMINALS} tills of {MERCHANTS} shops, {name}: {} sales in {seconds:.0} s ({rate:.1}/s), refused {:?}; p50/p99/p99.9 \
         of a lookup {} ms, of a commit {} ms, {ratio:.2} times the floor's p99",
        heard.commits.len(),
        heard.refused,
        all(&heard.lookups),
        all(&heard.commits),
    ));
    if let Some((asked, refused)) = heard.flood {
        say(&format!(
            "  the till that floods asked {:.0} times a second; {refused} of {asked} were refused",
            asked as f64 / seconds
        ));
    }
}

/// A till of the crowd, with its connection.
struct Till {
    number: usize,
    stream: BufReader<TcpStream>,
}

impl Till {
    fn connect(address: SocketAddr, number: usize) -> Self {
        let stream = TcpStream::connect(address).expect("the box listens");
        stream.set_nodelay(true).expect("a socket");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        Self { number, stream: BufReader::new(stream) }
    }

    /// None where it is done, else the code of the refusal.
    fn ask(&mut self, method: &str, path: &str, key: &str, body: &str) -> Option<String> {
        let n = self.number;
        let text = format!(
            "{method} /api/v1/{path} HTTP/1.1\r\nHost: box\r\nGatepost-Terminal: crowd-{n}\r\n\
             Authorization: Bearer token-{n}\r\nIdempotency-Key: {key}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream.get_mut().write_all(text.as_bytes()).expect("the box takes requests");
        let (status, answer) = read_message(&mut self.stream).expect("an answer");
        (status != 200).then(|| {
            let problem: Value = serde_json::from_slice(&answer).unwrap_or_default();
            problem["code"].as_str().map_or_else(|| status.to_string(), str::to_owned)
        })
    }
}

/// One till's sales, each due at its own time: the tills are spread evenly over the pause between two sales.
fn sell(
    mut till: Till,
    sales: usize,
    begun: Instant,
    (first, next): (usize, &AtomicUsize),
) -> (Vec<Duration>, Vec<Duration>, Vec<String>) {
    let (mut lookups, mut commits, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    for sale in 0..sales {
        let offset = BETWEEN_SALES.mul_f64(till.number as f64 / TERMINALS as f64);
        let due = begun + BETWEEN_SALES * u32::try_from(sale).expect("few") + offset;
        while let Some(left) = due.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            std::thread::park_timeout(left);
        }
        let number = sale * TERMINALS + till.number;
        let key = format!("crowd-{first}-{number}");
        let code = json!({"code": "GPM0"}).to_string();
        refused.extend(till.ask("POST", "member-lookups", &key, &code));
        lookups.push(due.elapsed());
        let body = if number.is_multiple_of(ONE_PAYS_OF) {
            paying(next.fetch_add(1, Ordering::SeqCst))
        } else {
            json!({"receipt_no": key, "sale_fen": 4_900, "member_ref": "code:GPM0",
                "tenders": [{"kind": "cash", "fen": 4_900}]})
        };
        let due = Instant::now();
        refused.extend(till.ask("POST", "transactions", &key, &body.to_string()));
        commits.push(due.elapsed());
    }
    (lookups, commits, refused)
}

/// What it asked, and what of it was refused.
fn flood(address: SocketAddr, is_over: &AtomicBool) -> (usize, usize) {
    let mut till = Till::connect(address, TERMINALS);
    let (mut asked, mut refused) = (0, 0);
    while !is_over.load(Ordering::SeqCst) {
        asked += 1;
        refused += usize::from(till.ask("GET", "status", "-", "").is_some());
    }
    (asked, refused)
}
