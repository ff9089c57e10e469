//! What pictures cost a vehicle: plate message to raise command of twenty lanes at four times their peak, without
//! pictures, with them, and with them where the cameras send a quick result first.
//!
//! `cargo bench --bench photos` starts Debian's mosquitto and the daemon of this build, and takes the three in turns, so
//! that whatever else the machine does hits all of them.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::codecs::jpeg::JpegEncoder;
use image::{Rgb, RgbImage};
use rumqttc::v5::Client;

use crate::site::{Broker, Daemon, PATIENCE, at, camera_ms, entry_lanes, field, folder, say, serial};

mod site;

const LANES: usize = 20;
/// A barrier lets 450 vehicles an hour through where nobody has to stop to pay; four times that, in all lanes at once.
const BETWEEN_CARS: Duration = Duration::from_millis(3_600_000 / (450 * 4 * LANES as u64));
const ROUNDS: usize = 4;
const CARS: usize = 100;
/// Taken before the first round and thrown away.
const WARM_UP: usize = 40;

/// A full-HD scene as such cameras send it.
const SCENE_BYTES_MAX: usize = 250_000;

/// How the cameras send.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    Bare,
    Pictures,
    QuickFirst,
}

fn main() {
    let folder = folder("photos");
    let broker = Broker::start(folder.path());
    // The same vehicle cannot come again in this run.
    let daemon = Daemon::start(folder.path(), "ledger", &broker, &entry_lanes(0..LANES, "same_vehicle_ms = 50"));
    let mut cameras = Cameras::start(&broker);
    let mut took: BTreeMap<Way, Vec<Duration>> = BTreeMap::new();
    let ways = [Way::Bare, Way::Pictures, Way::QuickFirst];
    ways.iter().for_each(|way| drop(cameras.take(WARM_UP, *way)));
    for _ in 0..ROUNDS {
        for way in ways {
            took.entry(way).or_default().extend(cameras.take(CARS, way));
        }
    }
    report(&mut took, &cameras, &daemon.metrics());
}

fn report(took: &mut BTreeMap<Way, Vec<Duration>>, cameras: &Cameras, metrics: &str) {
    say(&format!(
        "{LANES} lanes, a car every {} ms, {} samples each in {ROUNDS} rounds that take turns; scene {} kB, plate {} kB",
        BETWEEN_CARS.as_millis(),
        ROUNDS * CARS,
        cameras.scene.len() * 3 / 4 / 1000,
        cameras.plate.len() * 3 / 4 / 1000,
    ));
    let columns = ("p50 µs", "p99 µs", "ratio", "ratio");
    say(&format!(
        "{:<52} {:>9} {:>9} {:>7} {:>7}",
        "plate message to raise command", columns.0, columns.1, columns.2, columns.3
    ));
    took.values_mut().for_each(|samples| samples.sort_unstable());
    let bare = took[&Way::Bare].clone();
    for (way, name) in [
        (Way::Bare, "without pictures"),
        (Way::Pictures, "with pictures in the message that decides"),
        (Way::QuickFirst, "with pictures, and a quick result before them"),
    ] {
        let ratio = |per_mille| at(&took[&way], per_mille).as_secs_f64() / at(&bare, per_mille).as_secs_f64();
        let (p50, p99) = (at(&took[&way], 500).as_micros(), at(&took[&way], 990).as_micros());
        say(&format!("{name:<52} {p50:>9} {p99:>9} {:>7.2} {:>7.2}", ratio(500), ratio(990)));
    }
    say(&format!("all lanes were taken {} times", cameras.held_up));
    // How many pictures were kept and how many were left out, and why.
    let is_ours = |line: &&str| line.starts_with("gatepost_photos") || line.contains("room=\"photos\"");
    metrics.lines().filter(is_ours).for_each(say);
}

/// Twenty cameras on one connection, with their loops and outputs.
struct Cameras {
    client: Client,
    raises: Receiver<(Instant, String)>,
    cars: usize,
    begun_ms: u128,
    /// How often every lane had a car: then the machine is too slow for what this measures.
    held_up: usize,
    scene: String,
    plate: String,
}

impl Cameras {
    fn start(broker: &Broker) -> Self {
        let (client, raises) = broker.listen("cameras", "device/+/message/down/gpio_out");
        let (scene, plate) = (STANDARD.encode(picture(1920, 1080)), STANDARD.encode(picture(200, 80)));
        Self { client, raises, cars: 0, begun_ms: camera_ms(), held_up: 0, scene, plate }
    }

    /// So many cars, each to the next lane; nobody waits for the one before.
    fn take(&mut self, cars: usize, way: Way) -> Vec<Duration> {
        let begun = Instant::now();
        let mut sent = BTreeMap::new();
        let mut took = Vec::new();
        for n in 0..cars {
            // A machine that is behind would put a second car behind the first, and its waiting would be measured.
            let sn = loop {
                let mut lanes = (0..LANES).map(|lane| serial((self.cars + lane) % LANES));
                if let Some(free) = lanes.find(|sn| !sent.contains_key(sn)) {
                    break free;
                }
                assert!(begun.elapsed() < PATIENCE, "the box raises nothing any more");
                self.held_up += 1;
                self.until(Instant::now() + BETWEEN_CARS, &mut sent, &mut took);
            };
            sent.insert(sn.clone(), Instant::now());
            self.arrives(&sn, way);
            self.cars += 1;
            let next = begun + BETWEEN_CARS * (n as u32 + 1);
            self.until(next, &mut sent, &mut took);
        }
        let end = Instant::now() + PATIENCE;
        while took.len() < cars {
            assert!(Instant::now() < end, "a raise for every car: {} of {cars}", took.len());
            self.until(Instant::now() + BETWEEN_CARS, &mut sent, &mut took);
        }
        took
    }

    /// Obeys what is raised until then: each car drives through at once.
    fn until(&self, then: Instant, sent: &mut BTreeMap<String, Instant>, took: &mut Vec<Duration>) {
        while let Some(left) = then.checked_duration_since(Instant::now()) {
            let (at, command) = match self.raises.recv_timeout(left) {
                Ok(raise) => raise,
                Err(RecvTimeoutError::Timeout) => return,
                Err(RecvTimeoutError::Disconnected) => panic!("the broker went away"),
            };
            let sn = field(&command, "sn");
            took.push(at.duration_since(sent.remove(sn).expect("one car in each lane")));
            let site = site::Cameras { client: &self.client };
            site.obeys(&command);
            site.passes(sn);
        }
    }

    fn arrives(&self, sn: &str, way: Way) {
        let (n, at_ms) = (self.cars, self.begun_ms + self.cars as u128);
        let site = site::Cameras { client: &self.client };
        let pictures = format!(r#""full_image_content":"{}","small_image_content":"{}","#, self.scene, self.plate);
        match way {
            Way::Bare => site.plate(sn, "ivs_result", n, at_ms, ""),
            Way::Pictures => site.plate(sn, "ivs_result", n, at_ms, &pictures),
            Way::QuickFirst => {
                site.plate(sn, "quick_ivs_result", n, at_ms, "");
                site.plate(sn, "ivs_result", n, at_ms, &pictures);
            }
        }
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
