//! What pictures cost a vehicle: plate message to raise command of twenty lanes at four times their peak, without
//! pictures, with them, and with them after a quick result; each through the box, and through the bare broker to a
//! subscriber that only answers. What pictures add there is added by the wire, and by nobody's decision.
//!
//! Of the 0.76 ms that a 285 kB message which decides added at p50 when this was last run, the wire took 0.41, reading it
//! (JSON, base64) 0.13, SHA-256 0.12 and the wait for the spool 0.05; of the 1.3 ms at p99, the wire took 0.78 and that
//! wait 0.2. ARCHITECTURE.md says why none of the box's own steps goes behind the input.
//!
//! `cargo bench --bench photos` starts Debian's mosquitto and the daemon of this build, and takes all of it in turns, so
//! that whatever else the machine does hits every one. The time runs from the last byte of the plate message that left
//! the camera, whose connection is its own, to the command that came to another connection.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gatepost::profile::mistake::Source;
use gatepost::profile::shipped::SHIPPED;
use gatepost::profile::{Codec, Profile};
use image::codecs::jpeg::JpegEncoder;
use image::{Rgb, RgbImage};
use rumqttc::v5::Client;
use sha2::{Digest, Sha256};

use crate::site::wire::Wire;
use crate::site::{
    Broker, Daemon, PATIENCE, at, camera_ms, entry_lanes, field, folder, loop_level, obeyed, plate, say, serial, topic,
};

mod site;

const LANES: usize = 20;
/// A barrier lets 450 vehicles an hour through where nobody has to stop to pay; four times that, in all lanes at once.
const BETWEEN_CARS: Duration = Duration::from_millis(3_600_000 / (450 * 4 * LANES as u64));
const ROUNDS: usize = 4;
/// Cars of a round through the box, and through the bare broker, whose times differ less.
const CARS: [usize; 2] = [90, 30];
/// Taken before the first round and thrown away.
const WARM_UP: usize = 15;
/// How long before its full result a camera sends the quick one, as the product's document says.
const QUICK_LEAD: Duration = Duration::from_millis(100);
/// How long after the raise the vehicle drives over the passage loop: after the full result, as everywhere.
const DRIVES: Duration = Duration::from_millis(150);
/// Each step of reading a message is measured so long.
const READING: Duration = Duration::from_millis(200);

/// A full-HD scene as such cameras send it.
const SCENE_BYTES_MAX: usize = 250_000;

/// How the cameras send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    Bare,
    Pictures,
    QuickFirst,
}

/// Who commands the barriers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Through {
    TheBox,
    TheBroker,
}

type Took = BTreeMap<(Through, Way), Vec<Duration>>;

const WAYS: [(Way, &str); 3] = [
    (Way::Bare, "without pictures"),
    (Way::Pictures, "with pictures in the message that decides"),
    (Way::QuickFirst, "with pictures 100 ms after a quick result"),
];

fn main() {
    let folder = folder("photos");
    let broker = Broker::start(folder.path());
    // The same vehicle cannot come again in this run.
    let daemon = Daemon::start(folder.path(), "ledger", &broker, &entry_lanes(0..LANES, "same_vehicle_ms = 50"));
    let mut cameras = Cameras::start(&broker);
    let mut took = Took::new();
    let turns = || WAYS.into_iter().flat_map(|(way, _)| [(Through::TheBox, way), (Through::TheBroker, way)]);
    turns().for_each(|(through, way)| drop(cameras.take(WARM_UP, through, way)));
    for _ in 0..ROUNDS {
        for (through, way) in turns() {
            took.entry((through, way)).or_default().extend(cameras.take(CARS[through as usize], through, way));
        }
    }
    took.values_mut().for_each(|samples| samples.sort_unstable());
    report(&took, &cameras, &daemon.metrics());
    split(&cameras);
}

fn report(took: &Took, cameras: &Cameras, metrics: &str) {
    say(&format!(
        "{LANES} lanes, a car every {} ms on average, {ROUNDS} rounds that take turns; a message with pictures has {} kB",
        BETWEEN_CARS.as_millis(),
        cameras.pictures.len() / 1000,
    ));
    let heads = ["box p50 µs", "p99", "bare broker p50", "p99", "ratio", "ratio"];
    row("plate message to raise command", heads.map(str::to_owned));
    let us = |through, way, per_mille| at(&took[&(through, way)], per_mille).as_micros() as i64;
    for (way, name) in WAYS {
        let [p50, p99] = [500, 990].map(|of| [Through::TheBox, Through::TheBroker].map(|through| us(through, way, of)));
        let ratio = |[ours, bare]: [i64; 2]| format!("{:.2}", ours as f64 / bare as f64);
        let numbers = [p50[0], p99[0], p50[1], p99[1]].map(|number| number.to_string());
        let [ours, ours_99, bare, bare_99] = numbers;
        row(name, [ours, ours_99, bare, bare_99, ratio(p50), ratio(p99)]);
    }
    for (way, name) in
        [(Way::Pictures, "added by pictures that decide"), (Way::QuickFirst, "added by pictures after a quick result")]
    {
        let added = |through, of| format!("{:+}", us(through, way, of) - us(through, Way::Bare, of));
        let [ours, bare] = [Through::TheBox, Through::TheBroker];
        row(
            name,
            [added(ours, 500), added(ours, 990), added(bare, 500), added(bare, 990), String::new(), String::new()],
        );
    }
    let samples = |through| took[&(through, Way::Bare)].len();
    say(&format!(
        "{} samples each through the box, {} through the bare broker; all lanes were taken {} times",
        samples(Through::TheBox),
        samples(Through::TheBroker),
        cameras.held_up
    ));
    // How many pictures were kept and how many were left out, and why.
    let is_ours = |line: &&str| line.starts_with("gatepost_photos") || line.contains("room=\"photos\"");
    metrics.lines().filter(is_ours).for_each(say);
}

fn row(what: &str, columns: [String; 6]) {
    let [a, b, c, d, e, f] = columns;
    say(&format!("{what:<44} {a:>11} {b:>7} {c:>16} {d:>7} {e:>6} {f:>6}"));
}

/// What the box does with a message before it can decide, one thing after the other, on a core of its own.
fn split(cameras: &Cameras) {
    let shipped = SHIPPED.iter().find(|shipped| shipped.file.ends_with("vzenith/r-mqtt.toml")).expect("it is shipped");
    let profile = Profile::parse(&Source { file: Path::new(shipped.file), text: shipped.text }).expect("a profile");
    let params = [("sn".to_owned(), toml::Value::String(serial(0)))];
    let Ok(Codec::Mqtt(codec)) = profile.bind(&params.into()) else { panic!("it speaks MQTT") };
    let sn = serial(0);
    let topic = topic(&sn, "up/ivs_result");
    let [bare, whole] =
        ["", cameras.pictures.as_str()].map(|pictures| plate(&sn, "ivs_result", 1, camera_ms(), pictures));
    let (scene, small) = (cameras.scene.as_slice(), cameras.plate.as_slice());
    let encoded = STANDARD.encode(scene);
    say("What reading such a message takes, in µs, each in its best round:");
    let line = |what: &str, us: f64| say(&format!("  {us:>8.1}  {what}"));
    line(
        "the message without pictures, as the profile reads it",
        least(|| drop(black_box(codec.decode(&topic, bare.as_bytes())))),
    );
    line(
        "the message with pictures, as the profile reads it",
        least(|| drop(black_box(codec.decode(&topic, whole.as_bytes())))),
    );
    line("bare: its JSON alone", least(|| drop(black_box(serde_json::from_str::<serde_json::Value>(&whole)))));
    line("bare: the base64 of the scene alone", least(|| drop(black_box(STANDARD.decode(&encoded)))));
    line("SHA-256 of both pictures", least(|| _ = black_box((Sha256::digest(scene), Sha256::digest(small)))));
}

/// Microseconds of one call, in the best of many rounds.
fn least(mut call: impl FnMut()) -> f64 {
    let begun = Instant::now();
    let mut best = f64::MAX;
    while begun.elapsed() < READING {
        let round = Instant::now();
        call();
        best = best.min(round.elapsed().as_secs_f64() * 1e6);
    }
    best
}

/// What happens at the lanes.
enum Act {
    /// A vehicle comes.
    Arrives,
    /// Its camera has made the full result.
    Says { lane: usize, made: Vec<u8> },
    /// It drives over the passage loop.
    Passes { lane: usize },
}

/// What is still to happen, in its order, and what is waited for.
#[derive(Default)]
struct Run {
    due: BTreeMap<(Instant, usize), Act>,
    acts: usize,
    sent: BTreeMap<usize, Instant>,
    taken: [bool; LANES],
    took: Vec<Duration>,
}

impl Run {
    fn then(&mut self, at: Instant, act: Act) {
        self.acts += 1;
        self.due.insert((at, self.acts), act);
    }
}

/// Twenty cameras, each on a connection of its own, with their loops and outputs.
struct Cameras {
    wires: Vec<Wire>,
    /// What the box commands, and what the bare subscriber answers; with the connections on which it comes.
    heard: [(Client, Receiver<(Instant, String)>); 2],
    cars: usize,
    begun_ms: u128,
    /// How often every lane had a car: then the machine is too slow for what this measures.
    held_up: usize,
    dice: u32,
    scene: Vec<u8>,
    plate: Vec<u8>,
    /// Both as fields of a message.
    pictures: String,
}

impl Cameras {
    fn start(broker: &Broker) -> Self {
        let heard =
            [broker.listen("barriers", "device/+/message/down/gpio_out"), broker.listen("bare-barriers", "bare/raise")];
        let bare = Wire::connect(broker, "bare");
        std::thread::spawn(move || bare.answer("bare/says/#", "bare/says/first/", "bare/raise"));
        let wires = (0..LANES).map(|lane| Wire::connect(broker, &serial(lane))).collect();
        let (scene, plate) = (picture(1920, 1080), picture(200, 80));
        let [large, small] = [&scene, &plate].map(|picture| STANDARD.encode(picture));
        let pictures = format!(r#""full_image_content":"{large}","small_image_content":"{small}","#);
        Self { wires, heard, cars: 0, begun_ms: camera_ms(), held_up: 0, dice: 7, scene, plate, pictures }
    }

    /// So many cars, each to the next lane; nobody waits for the one before.
    fn take(&mut self, cars: usize, through: Through, way: Way) -> Vec<Duration> {
        let mut run = Run::default();
        let begun = Instant::now();
        let mut comes = begun;
        for _ in 0..cars {
            run.then(comes, Act::Arrives);
            // No two lanes go in step: from nothing to twice the time between cars.
            self.dice = self.dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            comes += BETWEEN_CARS * (self.dice >> 16) / 0x8000;
        }
        while run.took.len() < cars || !run.due.is_empty() {
            assert!(begun.elapsed() < PATIENCE, "a raise for every car: {} of {cars}", run.took.len());
            let next = run.due.first_key_value().map_or(begun + PATIENCE, |((at, _), _)| *at);
            match self.heard[through as usize].1.recv_timeout(next.saturating_duration_since(Instant::now())) {
                Ok((at, command)) => self.obey(&mut run, through, at, &command),
                Err(RecvTimeoutError::Timeout) => match run.due.pop_first() {
                    Some((_, Act::Arrives)) => self.arrives(&mut run, through, way),
                    Some((_, Act::Says { lane, made })) => _ = self.wires[lane].send(&made),
                    Some((_, Act::Passes { lane })) => self.passes(&mut run, through, lane),
                    None => {}
                },
                Err(RecvTimeoutError::Disconnected) => panic!("the broker went away"),
            }
        }
        run.took
    }

    fn arrives(&mut self, run: &mut Run, through: Through, way: Way) {
        // A machine that is behind would put a second car behind the first, and its waiting would be measured.
        let Some(lane) = (0..LANES).map(|lane| (self.cars + lane) % LANES).find(|lane| !run.taken[*lane]) else {
            self.held_up += 1;
            return run.then(Instant::now() + BETWEEN_CARS, Act::Arrives);
        };
        let (n, at_ms, sn) = (self.cars, self.begun_ms + self.cars as u128, serial(lane));
        let mut made = |name: &str, is_first: bool, pictures: &str| {
            let topic = match (through, is_first) {
                (Through::TheBox, _) => topic(&sn, &format!("up/{name}")),
                (Through::TheBroker, true) => format!("bare/says/first/{sn}"),
                (Through::TheBroker, false) => format!("bare/says/more/{sn}"),
            };
            self.wires[lane].made(&topic, plate(&sn, name, n, at_ms, pictures))
        };
        let (first, more) = match way {
            Way::Bare => (made("ivs_result", true, ""), None),
            Way::Pictures => (made("ivs_result", true, &self.pictures), None),
            Way::QuickFirst => (made("quick_ivs_result", true, ""), Some(made("ivs_result", false, &self.pictures))),
        };
        self.cars += 1;
        let sent = self.wires[lane].send(&first);
        run.taken[lane] = true;
        run.sent.insert(lane, sent);
        if let Some(made) = more {
            run.then(sent + QUICK_LEAD, Act::Says { lane, made });
        }
    }

    fn obey(&mut self, run: &mut Run, through: Through, at: Instant, command: &str) {
        let lane = (0..LANES).find(|lane| serial(*lane) == field(command, "sn")).expect("a lane of ours");
        run.took.push(at.duration_since(run.sent.remove(&lane).expect("one car in each lane")));
        if through == Through::TheBox {
            self.say(lane, "down/gpio_out/reply", obeyed(command));
        }
        run.then(at + DRIVES, Act::Passes { lane });
    }

    fn passes(&mut self, run: &mut Run, through: Through, lane: usize) {
        run.taken[lane] = false;
        for level in [1, 0] {
            if through == Through::TheBox {
                self.say(lane, "up/gpio_in", loop_level(&serial(lane), level));
            }
        }
    }

    fn say(&mut self, lane: usize, name: &str, body: String) {
        let wire = &mut self.wires[lane];
        let made = wire.made(&topic(&serial(lane), name), body);
        wire.send(&made);
    }
}

/// As large as a camera's: detail that a JPEG cannot fold away.
fn picture(width: u32, height: u32) -> Vec<u8> {
    let mut dice: u32 = 7;
    let picture = RgbImage::from_fn(width, height, |x, y| {
        dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let grain = if (x / 6 + y / 6) % 3 == 0 { (dice >> 28) as u8 } else { 0 };
        Rgb([(x / 8) as u8 ^ grain, (y / 5) as u8 ^ grain, 96 + grain])
    });
    let encoded = |quality| {
        let mut bytes = Vec::new();
        picture
            .write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, quality))
            .expect("memory takes every write");
        bytes
    };
    let qualities = (1..=9).rev().map(|tenth| encoded(tenth * 10));
    qualities.into_iter().find(|bytes| bytes.len() <= SCENE_BYTES_MAX).expect("some quality is small enough")
}
