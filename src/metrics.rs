//! What the box counts: rejected messages, reads, commands, links, and how fast a plate becomes a raise.

mod health;

pub use health::{DeviceHealth, Gap, Health, Listed, Trouble};

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::AtomicI64;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// How many of the last raises the quantiles are made of: a busy day of a large car park.
const SAMPLES: usize = 4096;

/// Everything that is counted; shared by all rooms.
#[derive(Debug)]
pub struct Metrics {
    /// How each device is.
    pub health: Health,
    registry: Registry,
    rejections: Family<Rejected, Counter>,
    reads: Family<OfLane, Counter>,
    commands: Family<Commanded, Counter>,
    links: Family<OfLink, Gauge<i64, AtomicI64>>,
    raises: Family<OfLane, Counter>,
    signs: Family<SignTold, Counter>,
    inputs: Counter,
    photos: Counter,
    photos_late: Counter,
    photos_lost: Counter,
    photos_bytes: Gauge<i64, AtomicI64>,
    raise_seconds: Histogram,
    exposure: Gauge<i64, AtomicI64>,
    disk_full: Gauge<i64, AtomicI64>,
    latency: Mutex<Latency>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Rejected {
    room: String,
    reason: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfLane {
    lane: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfLink {
    link: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Commanded {
    lane: String,
    answer: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct SignTold {
    device: String,
    outcome: String,
}

#[derive(Debug, Default)]
struct Latency {
    last_read: BTreeMap<String, LastRead>,
    samples_us: VecDeque<u32>,
}

#[derive(Debug)]
struct LastRead {
    event: String,
    heard: Instant,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("gatepost");
        let rejections = Family::<Rejected, Counter>::default();
        registry.register("rejections", "What was not understood, by room and reason", rejections.clone());
        let reads = Family::<OfLane, Counter>::default();
        registry.register("reads", "Plate reads taken from cameras", reads.clone());
        let commands = Family::<Commanded, Counter>::default();
        registry.register("commands", "Barrier commands by what came back", commands.clone());
        let raises = Family::<OfLane, Counter>::default();
        registry.register("raises_sent", "Raise commands put on their link", raises.clone());
        let links = Family::<OfLink, Gauge<i64, AtomicI64>>::default();
        registry.register("link_up", "1 while a link is connected", links.clone());
        let inputs = Counter::default();
        registry.register(
            "inputs",
            "What devices said over brokers and lines that is decided and on disk",
            inputs.clone(),
        );
        let signs = Family::<SignTold, Counter>::default();
        registry.register("sign_orders", "What displays and speakers were told, by what came of it", signs.clone());
        let photos = Counter::default();
        registry.register("photos_kept", "Pictures of arrivals put on disk", photos.clone());
        let photos_late = Counter::default();
        let help = "Pictures whose vehicle was decided before they were on disk, because the disk was slow";
        registry.register("photos_late", help, photos_late.clone());
        let photos_lost = Counter::default();
        let help = "Pictures whose day's folder was gone, because somebody beside the box removed it";
        registry.register("photos_lost", help, photos_lost.clone());
        let photos_bytes = Gauge::default();
        registry.register("photos_bytes", "Bytes of all pictures on disk", photos_bytes.clone());
        let raise_seconds = Histogram::new([0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0]);
        let help = "Seconds from a plate message to the raise command on its link";
        registry.register("plate_to_raise_seconds", help, raise_seconds.clone());
        let exposure = Gauge::<i64, AtomicI64>::default();
        let help = "Points that this box could still spend: what a copy of it could double";
        registry.register("exposure_points", help, exposure.clone());
        let disk_full = Gauge::<i64, AtomicI64>::default();
        let help = "1 where the ledger's disk is full and it works on the room that was put aside";
        registry.register("ledger_disk_full", help, disk_full.clone());
        let latency = Mutex::default();
        let health = Health::registered(&mut registry);
        Self {
            health,
            registry,
            rejections,
            reads,
            commands,
            links,
            raises,
            signs,
            inputs,
            photos,
            photos_late,
            photos_lost,
            photos_bytes,
            raise_seconds,
            exposure,
            disk_full,
            latency,
        }
    }
}

impl Metrics {
    /// Something was rejected, under a name from a fixed list.
    pub fn rejected(&self, room: &str, reason: &str) {
        let labels = Rejected { room: room.to_owned(), reason: reason.to_owned() };
        self.rejections.get_or_create(&labels).inc();
    }

    /// How often something was rejected.
    pub fn rejections(&self, room: &str, reason: &str) -> u64 {
        let labels = Rejected { room: room.to_owned(), reason: reason.to_owned() };
        self.rejections.get(&labels).map_or(0, |counter| counter.get())
    }

    /// A camera's plate message of this lane was read from the link at `heard`. A repeat of the same event keeps the
    /// first time.
    pub fn plate_heard(&self, lane: &str, event: &str, heard: Instant) {
        self.reads.get_or_create(&OfLane { lane: lane.to_owned() }).inc();
        let mut latency = self.latency();
        if latency.last_read.get(lane).is_some_and(|last| last.event == event) {
            return;
        }
        let read = LastRead { event: event.to_owned(), heard };
        latency.last_read.insert(lane.to_owned(), read);
    }

    /// A raise for this lane is on its link since `sent`; `of_read` says whether a plate message led to it at once.
    pub fn raise_sent(&self, lane: &str, of_read: bool, sent: Instant) {
        self.raises.get_or_create(&OfLane { lane: lane.to_owned() }).inc();
        let mut latency = self.latency();
        let Some(last) = latency.last_read.remove(lane).filter(|_| of_read) else { return };
        let took = sent.saturating_duration_since(last.heard);
        if latency.samples_us.len() == SAMPLES {
            latency.samples_us.pop_front();
        }
        latency.samples_us.push_back(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
        drop(latency);
        self.raise_seconds.observe(took.as_secs_f64());
    }

    /// How many raises of a lane were put on their link.
    pub fn raises_sent(&self, lane: &str) -> u64 {
        self.raises.get(&OfLane { lane: lane.to_owned() }).map_or(0, |counter| counter.get())
    }

    /// What came back for a raise: `accepted`, `refused` or `silent`.
    pub fn command_answered(&self, lane: &str, answer: &str) {
        let labels = Commanded { lane: lane.to_owned(), answer: answer.to_owned() };
        self.commands.get_or_create(&labels).inc();
    }

    /// Something that a device said is decided and on disk.
    pub fn input_taken(&self) {
        self.inputs.inc();
    }

    /// A display or a speaker was told something.
    pub fn sign_told(&self, device: &str, outcome: &str) {
        self.signs.get_or_create(&SignTold { device: device.to_owned(), outcome: outcome.to_owned() }).inc();
    }

    /// Whether a link is connected.
    pub fn link_up(&self, link: &str, is_up: bool) {
        self.links.get_or_create(&OfLink { link: link.to_owned() }).set(i64::from(is_up));
    }

    /// Whether a link is connected.
    pub fn is_link_up(&self, link: &str) -> bool {
        self.links.get(&OfLink { link: link.to_owned() }).is_some_and(|gauge| gauge.get() == 1)
    }

    /// A picture is on disk.
    pub fn photo_kept(&self) {
        self.photos.inc();
    }

    /// How many pictures were put on disk.
    pub fn photos_kept(&self) -> u64 {
        self.photos.get()
    }

    /// A picture was not on disk when its vehicle was to be decided.
    pub fn photo_late(&self) {
        self.photos_late.inc();
    }

    /// How many pictures were not on disk when their vehicles were to be decided.
    pub fn photos_late(&self) -> u64 {
        self.photos_late.get()
    }

    /// So many pictures are gone, and the box did not remove them.
    pub fn photos_are_lost(&self, pictures: u64) {
        self.photos_lost.inc_by(pictures);
    }

    /// How many pictures were removed, and not by the box.
    pub fn photos_lost(&self) -> u64 {
        self.photos_lost.get()
    }

    /// Bytes of all pictures on disk.
    pub fn photos_on_disk(&self) -> u64 {
        self.photos_bytes.get().try_into().unwrap_or(0)
    }

    /// So many bytes of pictures are on disk.
    pub fn photos_bytes(&self, bytes: u64) {
        self.photos_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// Plate message to raise command over the last raises: p50 and p99 in microseconds, and how many there were.
    pub fn latency_quantiles(&self) -> (u32, u32, usize) {
        let mut samples: Vec<u32> = self.latency().samples_us.iter().copied().collect();
        samples.sort_unstable();
        let at = |percent: usize| samples.get((samples.len() * percent / 100).min(samples.len().saturating_sub(1)));
        (at(50).copied().unwrap_or(0), at(99).copied().unwrap_or(0), samples.len())
    }

    /// Plate message to raise command in microseconds, of the last raises, oldest first.
    pub fn latency_samples_us(&self) -> Vec<u32> {
        self.latency().samples_us.iter().copied().collect()
    }

    /// What this box could still spend.
    pub fn exposed(&self, points: i64) {
        self.exposure.set(points);
    }

    /// Whether the ledger's disk is full.
    pub fn disk_is_full(&self, is_so: bool) {
        self.disk_full.set(i64::from(is_so));
    }

    /// Everything in the text format of Prometheus.
    pub fn text(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).expect("a String takes every write");
        text
    }

    /// A panic elsewhere leaves at worst one sample out.
    fn latency(&self) -> MutexGuard<'_, Latency> {
        self.latency.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_raise_is_measured_from_the_first_message_of_its_event() {
        let metrics = Metrics::default();
        let heard = Instant::now();
        metrics.plate_heard("exit-1", "a", heard);
        metrics.plate_heard("exit-1", "a", heard + Duration::from_millis(40));
        metrics.raise_sent("exit-1", true, heard + Duration::from_millis(100));
        assert_eq!(metrics.latency_quantiles(), (100_000, 100_000, 1));
        metrics.raise_sent("exit-1", true, heard + Duration::from_millis(200));
        assert_eq!(metrics.latency_quantiles().2, 1, "a second raise has no read");
    }

    #[test]
    fn a_raise_that_a_payment_or_a_person_caused_is_not_measured() {
        let metrics = Metrics::default();
        let heard = Instant::now();
        metrics.plate_heard("exit-1", "a", heard);
        metrics.raise_sent("exit-1", false, heard + Duration::from_millis(9));
        assert_eq!(metrics.latency_quantiles().2, 0);
        assert_eq!(metrics.raises_sent("exit-1"), 1);
    }

    #[test]
    fn the_text_names_room_and_reason() {
        let metrics = Metrics::default();
        metrics.rejected("devices", "malformed");
        let text = metrics.text();
        assert!(text.contains(r#"gatepost_rejections_total{room="devices",reason="malformed"} 1"#), "{text}");
    }
}
