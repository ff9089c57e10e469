//! From a camera's plate message to the raise command, as the camera sees it, beside the least that any box could need:
//! one round trip through the same broker and one durable commit to the same disk.
//!
//! `cargo bench --bench latency` starts Debian's mosquitto and the daemon of this build, and takes both in turns, so
//! that whatever else the machine does hits both.

use std::path::Path;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use rumqttc::v5::Client;
use rumqttc::v5::mqttbytes::QoS;

use crate::site::{Broker, Cameras, Daemon, PATIENCE, at, camera_ms, entry_lanes, folder, say, serial};

mod site;

const ROUNDS: usize = 10;
const SAMPLES: usize = 100;
/// Taken before the first round and thrown away: caches fill, files grow.
const WARM_UP: usize = 50;
/// What one decision of the daemon writes into its journal, roughly.
const ROW_BYTES: usize = 1024;

fn main() {
    let folder = folder("latency");
    let broker = Broker::start(folder.path());
    let daemon = Daemon::start(folder.path(), "ledger", &broker, &entry_lanes(0..1, ""));
    let mut lane = Lane::start(&broker);
    let floor = Floor::start(folder.path(), &broker);
    lane.take(WARM_UP, &daemon);
    floor.take(WARM_UP);
    let (mut ours, mut least) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.extend(lane.take(SAMPLES, &daemon));
        least.extend(floor.take(SAMPLES));
    }
    report(ours, least, &daemon.metrics());
}

fn report(mut ours: Vec<Duration>, mut least: Vec<Duration>, metrics: &str) {
    ours.sort_unstable();
    least.sort_unstable();
    say(&format!("{} samples each, in {ROUNDS} rounds that take turns", ours.len()));
    say(&format!("{:<44} {:>9} {:>9}", "", "p50 µs", "p99 µs"));
    let line = |what: &str, samples: &[Duration]| {
        say(&format!("{what:<44} {:>9} {:>9}", at(samples, 500).as_micros(), at(samples, 990).as_micros()));
    };
    line("plate message to raise command", &ours);
    line("floor: QoS 1 round trip and durable commit", &least);
    let ratio = |per_mille| at(&ours, per_mille).as_secs_f64() / at(&least, per_mille).as_secs_f64();
    say(&format!("{:<44} {:>9.2} {:>9.2}", "ratio", ratio(500), ratio(990)));
    // What the daemon itself measured, without broker and network.
    metrics.lines().filter(|line| line.starts_with("gatepost_plate_to_raise_seconds_")).for_each(say);
}

/// A camera at the entry lane, with its loops and its barrier output.
struct Lane {
    client: Client,
    raises: Receiver<(Instant, String)>,
    vehicles: usize,
    begun_ms: u128,
}

impl Lane {
    fn start(broker: &Broker) -> Self {
        let (client, raises) = broker.listen("camera", &format!("device/{}/message/down/gpio_out", serial(0)));
        Self { client, raises, vehicles: 0, begun_ms: camera_ms() }
    }

    /// So many vehicles, one after the other; each has passed before the next comes.
    fn take(&mut self, samples: usize, daemon: &Daemon) -> Vec<Duration> {
        (0..samples).map(|_| self.one(daemon)).collect()
    }

    fn one(&mut self, daemon: &Daemon) -> Duration {
        let (n, sn, cameras) = (self.vehicles, serial(0), Cameras { client: &self.client });
        self.vehicles += 1;
        let begun = Instant::now();
        cameras.plate(&sn, "ivs_result", n, self.begun_ms + n as u128, "");
        let (raised, command) = self.raises.recv_timeout(PATIENCE).expect("a raise for every vehicle");
        cameras.obeys(&command);
        cameras.passes(&sn);
        daemon.hear("a vehicle is inside");
        raised.duration_since(begun)
    }
}

/// A client that asks and one that writes one row before it answers.
struct Floor {
    client: Client,
    answers: Receiver<(Instant, String)>,
}

impl Floor {
    fn start(folder: &Path, broker: &Broker) -> Self {
        let (echo, questions) = broker.listen("echo", "floor/question");
        let db = rusqlite::Connection::open(folder.join("floor.db")).expect("a database");
        db.pragma_update(None, "journal_mode", "wal").expect("a write-ahead log");
        db.pragma_update(None, "synchronous", 2).expect("a sync with every commit");
        db.execute_batch("CREATE TABLE row (n INTEGER PRIMARY KEY, body BLOB NOT NULL)").expect("a table");
        std::thread::spawn(move || {
            let mut insert = db.prepare("INSERT INTO row (body) VALUES (?1)").expect("a statement");
            for (_, question) in questions {
                insert.execute([vec![7_u8; ROW_BYTES]]).expect("a durable row");
                if echo.publish("floor/answer", QoS::AtLeastOnce, false, question).is_err() {
                    return;
                }
            }
        });
        let (client, answers) = broker.listen("asker", "floor/answer");
        Self { client, answers }
    }

    fn take(&self, samples: usize) -> Vec<Duration> {
        (0..samples).map(|_| self.one()).collect()
    }

    fn one(&self) -> Duration {
        let begun = Instant::now();
        self.client.publish("floor/question", QoS::AtLeastOnce, false, vec![b'x'; 600]).expect("the connection lives");
        let (answered, _) = self.answers.recv_timeout(PATIENCE).expect("an answer to every question");
        answered.duration_since(begun)
    }
}
