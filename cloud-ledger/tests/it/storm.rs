//! A box and the ledger with a bad line between them and a database that is killed: what was answered is there
//! afterwards, and everything counts once.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ledger_conformance::wire::{Answer, Office, Site, Target};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use crate::host::{ADMIN, BOX_1, BOX_2, Host};
use crate::postgres::Postgres;

const ROUNDS: u64 = 60;
/// The rounds after which PostgreSQL is killed.
const KILLS: [u64; 2] = [15, 35];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_survives_a_killed_database_and_a_bad_line() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let postgres = tokio::task::spawn_blocking(|| Postgres::start(&[])).await.unwrap();
    let url = postgres.database();
    let host = Host::start_at(url).await;
    let line = Line::start(host.address, 17).await;
    let boxes = [("demo-1", BOX_1), ("demo-2", BOX_2)].map(|(name, token)| (name.to_owned(), token.to_owned()));
    let straight = Target { url: format!("http://{}", host.address), admin_token: ADMIN.to_owned(), boxes };
    let good = Office::new(&straight).unwrap();
    let bad = Office::new(&Target { url: line.url(), ..straight }).unwrap();
    let member = good.member(10_000).await.unwrap();
    let mut site = enrolled(&bad).await;
    let mut restarted: Vec<Child> = Vec::new();
    let (mut process, mut given, mut spent, mut answers) = (postgres.process, 0, 0, Vec::new());
    for round in 0..ROUNDS {
        if KILLS.contains(&round) {
            kill(process, Signal::KILL);
            if let Some(killed) = restarted.last_mut() {
                let _ = killed.wait();
            }
            let again = start_again(&postgres);
            process = again.id();
            restarted.push(again);
        }
        let ask = json!({"request": format!("storm-{round}"), "epoch": site.epoch, "member": member, "points": 100});
        let answer = insist(|| site.post("grants", &ask)).await;
        let (grant, points) = (answer["grants"][0]["grant"].clone(), answer["points"].as_i64().unwrap());
        given += points;
        site.write(&json!([{"kind": "grant_accepted", "grant": grant, "member": member, "points": points}]));
        let record = site.moved("points_spent", &member, &[(grant.as_str().unwrap(), 40)]);
        spent += 40;
        site.write(&json!([record]));
        answers.push((ask, answer));
        let seq = site.journal.len();
        // Always more than is new: whatever was lost or came twice must not matter.
        let cursor = insist(|| site.upload(seq.saturating_sub(7).max(1), seq)).await;
        assert_eq!(cursor["cursor"], site.cursor(seq));
    }
    line.deliver_all().await;
    for (ask, answer) in &answers {
        assert_eq!(insist(|| site.post("grants", ask)).await, *answer, "the same answer as before the kills");
    }
    assert_eq!(good.sums(&member).await.unwrap(), [10_000, spent, 10_000 - given, given - spent]);
    let report = good.ask("GET", "/v1/verify", &Value::Null).await.unwrap();
    assert_eq!(report.body["faults"], json!([]), "{}", report.body);
    let harm: Vec<u64> = line.bad.harm.iter().map(|harm| harm.load(Ordering::Relaxed)).collect();
    assert!(harm.iter().all(|harm| *harm > ROUNDS / 8), "the line was bad in every way: {harm:?}");
    host.stop().await;
    for mut server in restarted {
        stop(&mut server);
    }
}

async fn enrolled(office: &Office) -> Site<'_> {
    let long_enough = Instant::now() + COMES_BACK_IN;
    while Instant::now() < long_enough {
        if let Ok(site) = office.site(0).await {
            return site;
        }
    }
    panic!("the box could not enrol")
}

/// Asks until there is an answer, as a box does.
pub async fn insist<F: Future<Output = Result<Answer, String>>>(ask: impl Fn() -> F) -> Value {
    let mut last = String::new();
    let long_enough = Instant::now() + COMES_BACK_IN;
    while Instant::now() < long_enough {
        match ask().await {
            Ok(answer) if answer.status == 200 => return answer.body,
            Ok(answer) if answer.status == 500 || answer.status == 503 => last = answer.body.to_string(),
            Ok(answer) => panic!("{} {}", answer.status, answer.body),
            Err(why) => last = why,
        }
    }
    panic!("no answer: {last}")
}

/// After so long the test says that the ledger does not come back: a killed server's last child may take its time on a
/// busy machine.
const COMES_BACK_IN: Duration = Duration::from_secs(120);

/// Starts a database that was killed, as by a power cut, again on the same files.
fn start_again(postgres: &Postgres) -> Child {
    let programs = crate::postgres::programs();
    let place = &postgres.place;
    let long_enough = Instant::now() + COMES_BACK_IN;
    let log = place.join("restart.log");
    while Instant::now() < long_enough {
        let log = std::fs::File::create(&log).unwrap();
        let mut command = if rustix::process::getuid().is_root() {
            // The same process becomes the server, so that its number is the server's.
            let mut as_user = Command::new("setpriv");
            as_user
                .args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"])
                .arg(programs.join("postgres"));
            as_user
        } else {
            Command::new(programs.join("postgres"))
        };
        command.arg("-D").arg(place.join("data")).arg("-k").arg(place).args(["-c", "listen_addresses="]);
        let mut server = command.current_dir("/").stdin(Stdio::null()).stderr(log).spawn().unwrap();
        let ready = || {
            let mut look = Command::new(programs.join("pg_isready"));
            look.args(["-q", "-h"]).arg(place).env_remove("PGPORT").status().unwrap().success()
        };
        // Until the last child of the killed one is gone, the new one gives up at once.
        while server.try_wait().unwrap().is_none() {
            if ready() {
                return server;
            }
        }
    }
    panic!("PostgreSQL does not come back: {}", std::fs::read_to_string(&log).unwrap())
}

fn stop(server: &mut Child) {
    if server.try_wait().unwrap().is_none() {
        kill(server.id(), Signal::QUIT);
        let _ = server.wait();
    }
}

pub fn kill(process: u32, signal: Signal) {
    let process = Pid::from_raw(i32::try_from(process).unwrap()).unwrap();
    let _ = kill_process(process, signal);
}

/// What a bad line does to a request; the same for a seed.
#[derive(Clone, Copy)]
enum Fate {
    /// It is lost.
    Lost,
    /// Its answer is lost.
    Unanswered,
    /// It comes a second time, when it was answered.
    Twice,
    /// It comes when others, and its own repeat, have overtaken it; nobody waits for the answer any more.
    Overtaken,
    /// It stands still on the way until the next one comes, or for a while.
    Stalled,
}

/// Of so many requests each bad thing happens to one.
const FATES: u64 = 9;
/// How long a request stands still where none follows.
const STALL: Duration = Duration::from_millis(50);

/// A line between boxes and the ledger.
struct Line {
    address: SocketAddr,
    bad: Arc<Bad>,
}

/// What is wrong with a line.
struct Bad {
    ledger: SocketAddr,
    /// How often each of the fates befell.
    harm: [AtomicU64; 5],
    /// Requests that were overtaken and are still to come.
    late: Mutex<Vec<Vec<u8>>>,
    /// A request has come in.
    next: Notify,
}

impl Line {
    async fn start(ledger: SocketAddr, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let bad = Bad { ledger, harm: Default::default(), late: Mutex::default(), next: Notify::new() };
        let bad = Arc::new(bad);
        let carrier = Arc::clone(&bad);
        tokio::spawn(async move {
            let mut dice = seed;
            while let Ok((near, _)) = listener.accept().await {
                // The generator of Knuth's MMIX; its upper bits are good enough for a bad line.
                dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let fate = match (dice >> 33) % FATES {
                    0 => Some(Fate::Lost),
                    1 => Some(Fate::Unanswered),
                    2 => Some(Fate::Twice),
                    3 => Some(Fate::Overtaken),
                    4 => Some(Fate::Stalled),
                    _ => None,
                };
                tokio::spawn(carry(near, Arc::clone(&carrier), fate));
            }
        });
        Self { address, bad }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Everything that was overtaken comes now, the newest first.
    async fn deliver_all(&self) {
        while let Some(request) = self.bad.latest() {
            let _ = ask(self.bad.ledger, &request).await;
        }
    }
}

impl Bad {
    fn latest(&self) -> Option<Vec<u8>> {
        self.late.lock().unwrap().pop()
    }
}

/// Carries one request and its answer, or does not.
async fn carry(mut near: TcpStream, line: Arc<Bad>, fate: Option<Fate>) {
    let Some(request) = message(&mut near).await else { return };
    line.next.notify_waiters();
    if let Some(fate) = fate {
        line.harm[fate as usize].fetch_add(1, Ordering::Relaxed);
    }
    match fate {
        Some(Fate::Lost) => return,
        Some(Fate::Overtaken) => return line.late.lock().unwrap().push(request),
        Some(Fate::Stalled) => drop(tokio::time::timeout(STALL, line.next.notified()).await),
        Some(Fate::Unanswered | Fate::Twice) | None => {}
    }
    let Some(answer) = ask(line.ledger, &request).await else { return };
    if matches!(fate, Some(Fate::Unanswered)) {
        return;
    }
    let _ = near.write_all(&answer).await;
    let _ = near.shutdown().await;
    match fate {
        // The same request once more, when everybody has forgotten it.
        Some(Fate::Twice) => drop(ask(line.ledger, &request).await),
        // One that was overtaken comes long after its repeat.
        Some(Fate::Stalled) => {
            if let Some(late) = line.latest() {
                drop(ask(line.ledger, &late).await);
            }
        }
        Some(Fate::Lost | Fate::Unanswered | Fate::Overtaken) | None => {}
    }
}

async fn ask(ledger: SocketAddr, request: &[u8]) -> Option<Vec<u8>> {
    let mut far = TcpStream::connect(ledger).await.ok()?;
    far.write_all(request).await.ok()?;
    message(&mut far).await
}

/// One message of HTTP with a length, whole.
async fn message(from: &mut TcpStream) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 16 << 10];
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
            if bytes.len() >= end + 4 + length.unwrap_or(0_usize) {
                return Some(bytes);
            }
        }
        match from.read(&mut chunk).await.ok()? {
            0 => return None,
            read => bytes.extend_from_slice(&chunk[..read]),
        }
    }
}
