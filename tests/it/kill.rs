//! `kill -9` at any moment loses no acknowledged record and does nothing twice: the daemon is killed again and again
//! while cars and receipts keep coming.
//!
//! A killed process loses what it had not handed to the kernel; the kernel itself goes on. So this catches an answer or
//! an acknowledgement that leaves before its commit, and it cannot catch a missing fsync: the store sets
//! `synchronous=FULL` and refuses to start where it does not read it back.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{Client, Event, MqttOptions};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::boxed::{Broker, PATIENCE, Site, request};
use crate::foreign::{IN, cameras, gpio_message, now_ms, plate_message};

const ROUNDS: usize = 20;
const TILLS: usize = 4;
/// Where the daemon dies: after 1 to this many answers since its last start.
const ANSWERS_MAX: u64 = 24;
/// How many cars come at once.
const COLUMN: u64 = 24;
const SEED: u64 = 7;

#[test]
fn no_kill_loses_what_was_acknowledged_or_does_it_twice() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start(folder.path());
    let mut site = Site::start(&cameras(&broker));
    // The broker keeps what the cameras say from here on, whether the daemon lives or not.
    site.daemon.hear("connected to the broker");
    let (camera, mut stream) = Camera::start(&broker);
    let shop = Arc::new(Shop::at(site.address));
    let (answered, answers) = channel();
    let tills: Vec<_> = (0..TILLS)
        .map(|till| {
            let (shop, answered) = (Arc::clone(&shop), answered.clone());
            std::thread::spawn(move || shop.sell(till, &answered))
        })
        .collect();

    let mut acknowledged = BTreeMap::new();
    let mut random = SEED;
    for round in 0..ROUNDS {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        for _ in 0..1 + (random >> 33) % ANSWERS_MAX {
            let (key, transaction) = answers.recv_timeout(PATIENCE).unwrap();
            acknowledged.insert(key, transaction);
            camera.drive_in();
        }
        if round % 2 == 0 {
            // In the middle of a column: some cars are let in, some are decided, some only heard.
            camera.drive_in_column();
            stream.raises(1 + (random >> 40) % (COLUMN / 4));
        }
        site.daemon.kill();
        shop.closed();
        assert_eq!(site.verify().map(|_| ()), Ok(()), "round {round}");
        site.restart();
        for (key, transaction) in &acknowledged {
            assert_eq!(stored(site.address, key), Ok(transaction.clone()), "round {round}: {key}");
        }
        shop.open(site.address);
    }
    shop.end();
    tills.into_iter().for_each(|till| till.join().unwrap());
    drop(answered);
    acknowledged.extend(answers.iter());

    // All messages of one camera come in order: when its last car is let in, the others were heard.
    let last = camera.drive_in();
    site.until("the last car is inside", |site| site.stays_of(&last) == ["open"]);
    check_books(&site.books(), &acknowledged, &camera.cars());
    check_raises(&site.books(), stream.all());
    site.daemon.kill();
    site.verify().unwrap();
}

fn check_books(books: &Value, acknowledged: &BTreeMap<String, String>, cars: &[String]) {
    assert!(acknowledged.len() >= ROUNDS, "{} receipts", acknowledged.len());
    assert_eq!(not_once(books, "sales", "receipt", acknowledged.keys()), [], "each receipt is one sale");
    assert_eq!(not_once(books, "stays", "plate", cars), [], "each car has one stay");
}

/// What reached the camera was on disk before, and was sent once.
fn check_raises(books: &Value, raises: &[String]) {
    let commands = books["raises"].as_array().unwrap().iter().map(|raise| raise["command"].as_str().unwrap());
    let booked: BTreeSet<String> = commands.map(|command| hex::encode(&Sha256::digest(command)[..8])).collect();
    let mut seen = BTreeSet::new();
    for id in raises {
        assert!(booked.contains(id), "a raise that is not in the books: {id}");
        assert!(seen.insert(id), "a raise came twice: {id}");
    }
}

/// The names that the books do not have exactly once, and those that they should not have.
fn not_once<'a>(
    books: &Value,
    list: &str,
    field: &str,
    names: impl IntoIterator<Item = &'a String>,
) -> Vec<(String, i32)> {
    let mut counted: BTreeMap<String, i32> = names.into_iter().map(|name| (name.clone(), 0)).collect();
    for entry in books[list].as_array().unwrap() {
        let name = entry[field].as_str().unwrap_or("without a name");
        // What nobody expects can never count to one.
        *counted.entry(name.to_owned()).or_insert(100) += 1;
    }
    counted.into_iter().filter(|(_, count)| *count != 1).collect()
}

/// Where the tills find the box, if it lives, and whether the day is over.
struct Shop {
    state: Mutex<State>,
    changed: Condvar,
    is_over: AtomicBool,
}

#[derive(Clone, Copy)]
enum State {
    Open(SocketAddr),
    Closed,
}

impl Shop {
    fn at(address: SocketAddr) -> Self {
        Self { state: Mutex::new(State::Open(address)), changed: Condvar::new(), is_over: AtomicBool::new(false) }
    }

    fn open(&self, address: SocketAddr) {
        self.become_state(State::Open(address));
    }

    fn closed(&self) {
        self.become_state(State::Closed);
    }

    /// Receipts that were begun are brought to their end.
    fn end(&self) {
        self.is_over.store(true, Ordering::SeqCst);
    }

    fn become_state(&self, state: State) {
        *self.state.lock().unwrap() = state;
        self.changed.notify_all();
    }

    /// One receipt after the other. One without an answer is sent again with the same key until it has one.
    fn sell(&self, till: usize, answered: &Sender<(String, String)>) {
        for n in 0.. {
            if self.is_over.load(Ordering::SeqCst) {
                return;
            }
            let key = format!("{till}-{n}");
            let mut dead = None;
            let transaction = loop {
                let address = self.address_other_than(dead);
                match commit(address, &key) {
                    Some(transaction) => break transaction,
                    None => dead = Some(address),
                }
            };
            if answered.send((key, transaction)).is_err() {
                return;
            }
        }
    }

    /// After a request without an answer, only a daemon that was started since can be asked again.
    fn address_other_than(&self, dead: Option<SocketAddr>) -> SocketAddr {
        let mut state = self.state.lock().unwrap();
        let until = Instant::now() + PATIENCE;
        loop {
            match *state {
                State::Open(address) if Some(address) != dead => return address,
                State::Open(_) | State::Closed => {}
            }
            let left = until.checked_duration_since(Instant::now()).expect("the daemon starts again");
            state = self.changed.wait_timeout(state, left).unwrap().0;
        }
    }
}

const TILL: [(&str, &str); 2] = [("Authorization", "Bearer secret"), ("Gatepost-Terminal", "till-1")];

/// The transaction that was answered; none where the connection broke.
fn commit(address: SocketAddr, key: &str) -> Option<String> {
    let body = json!({"receipt_no": key, "sale_fen": 1000, "tenders": [{"kind": "cash", "fen": 1000}]}).to_string();
    let headers = [TILL[0], TILL[1], ("Idempotency-Key", key)];
    let answer = request(address, "POST", "/api/v1/transactions", &headers, &body).ok()?;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let answer: Value = serde_json::from_str(&answer.body).unwrap();
    Some(answer["transaction"].as_str().unwrap().to_owned())
}

/// What the daemon says about a key.
fn stored(address: SocketAddr, key: &str) -> Result<String, String> {
    let answer = request(address, "GET", &format!("/api/v1/operations/{key}"), &TILL, "").unwrap();
    let value: Value = serde_json::from_str(&answer.body).unwrap();
    match (value["status"].as_str(), value["answer"]["transaction"].as_str()) {
        (Some("applied"), Some(transaction)) => Ok(transaction.to_owned()),
        _ => Err(answer.body),
    }
}

/// A camera with its own session at the broker.
struct Camera {
    client: Client,
    cars: Mutex<Vec<String>>,
    begun_ms: u64,
}

/// What the broker brings to the camera.
struct Stream {
    raises: Receiver<String>,
    heard: Vec<String>,
}

impl Camera {
    fn start(broker: &Broker) -> (Self, Stream) {
        let mut options = MqttOptions::new("camera", "127.0.0.1", broker.port);
        let mut network = rumqttc::NetworkOptions::new();
        network.set_tcp_nodelay(true);
        options.set_network_options(network);
        let (client, mut connection) = Client::new(options, 1024);
        client.subscribe(format!("device/{IN}/message/down/gpio_out"), QoS::AtLeastOnce).unwrap();
        let (raised, raises) = channel();
        let (subscribed, ready) = channel();
        std::thread::spawn(move || {
            for event in connection.iter() {
                // The broker goes when the test ends.
                let Ok(event) = event else { return };
                if let Event::Incoming(Packet::SubAck(_)) = event {
                    subscribed.send(()).unwrap();
                } else if let Event::Incoming(Packet::Publish(publish)) = event {
                    let body: Value = serde_json::from_slice(&publish.payload).unwrap();
                    if raised.send(body["id"].as_str().unwrap().to_owned()).is_err() {
                        return;
                    }
                }
            }
        });
        ready.recv_timeout(PATIENCE).unwrap();
        (Self { client, cars: Mutex::default(), begun_ms: now_ms() }, Stream { raises, heard: Vec::new() })
    }

    /// A new car comes, and passes; its plate.
    fn drive_in(&self) -> String {
        let mut cars = self.cars.lock().unwrap();
        let n = cars.len();
        let car = format!("粤B{n:05}");
        let say = |name: &str, body: String| {
            let topic = format!("device/{IN}/message/up/{name}");
            self.client.publish(topic, QoS::AtLeastOnce, false, body).unwrap();
        };
        // One car every millisecond, so that no two have one identity.
        say("ivs_result", plate_message(IN, &car, self.begun_ms + u64::try_from(n).unwrap()));
        say("gpio_in", gpio_message(IN, 1, 1));
        say("gpio_in", gpio_message(IN, 1, 0));
        cars.push(car.clone());
        car
    }

    fn drive_in_column(&self) {
        for _ in 0..COLUMN {
            self.drive_in();
        }
    }

    fn cars(&self) -> Vec<String> {
        self.cars.lock().unwrap().clone()
    }
}

impl Stream {
    /// Waits for so many more raises than were heard until now.
    fn raises(&mut self, count: u64) {
        self.heard.extend(self.raises.try_iter());
        for _ in 0..count {
            self.heard.push(self.raises.recv_timeout(PATIENCE).unwrap());
        }
    }

    /// The ids of all raises.
    fn all(&mut self) -> &[String] {
        self.raises(0);
        &self.heard
    }
}
