//! Links to the hardware: they turn what devices say into inputs of the loop and its raises into bytes on a wire.

mod allowance;
mod asking;
mod backoff;
mod bits;
mod bus;
mod calling;
pub mod check;
mod contacts;
pub mod digest;
pub mod hatch;
mod hours;
mod kept;
mod line;
pub mod lists;
mod login;
mod looking;
mod mqtt;
pub mod numbers;
mod order;
mod places;
pub mod planning;
mod polling;
mod pulse;
mod push;
mod raising;
mod readers;
mod refill;
mod serial;
pub mod settings;
pub mod signs;
mod steady;
mod stream;
mod submitting;
mod telling;
mod tunnel;
mod waiting;
mod wiring;

pub use order::Outcome;
pub use telling::{CannotTell, Teller};

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::domain::event::{CommandAnswer, LaneId, UtcMs};
use crate::metrics::Metrics;
use crate::photos::{Desk, Intake};
use crate::site::{self, Handle};
use allowance::Allowance;
use calling::Caller;
use check::Watch;
use order::Order;
use planning::{BarrierPlan, HttpDevice, Plan};
use serial::Wire;
use submitting::Delivery;
use telling::Arms;
use tunnel::Tunnel;

/// Commands that may wait for one link; more than any site has lanes.
const ORDERS_MAX: usize = 64;
/// What a connection may have to tell about commands before it waits.
const NEWS_MAX: usize = 256;

/// Civil time, as the box knows it.
pub type Clock = Arc<dyn Fn() -> UtcMs + Send + Sync>;

/// The running links. Dropping it ends them at once.
pub struct Devices {
    tasks: JoinSet<()>,
    teller: Teller,
    watch: Watch,
    signs: Vec<signs::SignPlan>,
    lists: Vec<lists::ListPlan>,
    now: Clock,
    metrics: Arc<Metrics>,
}

/// What every link needs besides its plan.
struct Shared<'s> {
    handle: Handle,
    now: Clock,
    metrics: Arc<Metrics>,
    photos: Option<&'s Intake>,
    teller: Teller,
    tasks: JoinSet<()>,
    links: BTreeMap<String, mpsc::Sender<Order>>,
}

/// Connects every link and keeps it connected. Raises come through `actions`, after their commit; what devices say and
/// what came back for a raise goes to `handle`; pictures to `photos`, where they are wanted. Needs a tokio runtime around
/// it.
pub fn start(
    mut plan: Plan,
    handle: Handle,
    now: Clock,
    metrics: Arc<Metrics>,
    photos: Option<&Intake>,
    actions: mpsc::Receiver<site::BarrierMove>,
) -> Devices {
    plan.devices.keys().for_each(|device| metrics.health.expect(device.as_str()));
    let allowance = Allowance::remembered_in(plan.remembered_in.as_deref());
    let pulses = std::mem::take(&mut plan.pulses);
    let watch = Watch::new(plan.devices.clone(), std::mem::take(&mut plan.kinds), Arc::clone(&metrics));
    let arms = Arms::of(&plan);
    let teller = Teller::new(std::mem::take(&mut plan.devices), allowance, Arc::clone(&now)).beside(arms);
    let (tasks, links) = (JoinSet::new(), BTreeMap::new());
    let mut shared = Shared { handle, now, metrics, photos, teller, tasks, links };
    for watch in steady::start(&mut plan, &shared.handle) {
        shared.tasks.spawn(watch);
    }
    let tunnels = shared.tunnels(&mut plan);
    let second_looks = shared.second_looks(&mut plan);
    for broker in std::mem::take(&mut plan.brokers) {
        shared.broker(broker);
    }
    for bus in std::mem::take(&mut plan.buses) {
        let (orders, deliveries, metrics) = (shared.queue(&bus.id), shared.deliveries(), Arc::clone(&shared.metrics));
        shared.tasks.spawn(bus::Bus::new(bus, deliveries, metrics).run(orders));
    }
    for (line, tunnel) in std::mem::take(&mut plan.lines).into_iter().zip(tunnels) {
        let (orders, deliveries) = (shared.queue(&line.id), shared.deliveries());
        let (now, metrics) = (Arc::clone(&shared.now), Arc::clone(&shared.metrics));
        if let Some(line) = line::Line::new(line, tunnel, deliveries, now, metrics) {
            shared.tasks.spawn(line.run(orders));
        }
    }
    for readers in std::mem::take(&mut plan.readers) {
        let (orders, deliveries) = (shared.queue(&readers.id), shared.deliveries());
        let (now, metrics) = (Arc::clone(&shared.now), Arc::clone(&shared.metrics));
        shared.tasks.spawn(readers::Readers::new(readers, deliveries, now, metrics).run(orders));
    }
    for bits in std::mem::take(&mut plan.bits) {
        let (orders, deliveries) = (shared.queue(&bits.id), shared.deliveries());
        let (now, metrics) = (Arc::clone(&shared.now), Arc::clone(&shared.metrics));
        shared.tasks.spawn(bits::Bits::new(bits, deliveries, now, metrics).run(orders));
    }
    for streams in std::mem::take(&mut plan.streams) {
        let (orders, deliveries, desk) = (shared.queue(&streams.id), shared.deliveries(), shared.desk());
        let (now, metrics) = (Arc::clone(&shared.now), Arc::clone(&shared.metrics));
        let link = stream::Streams::new(streams, deliveries, now, metrics, desk);
        shared.poll(link.asked());
        shared.tasks.spawn(link.run(orders));
    }
    for asks in std::mem::take(&mut plan.asks) {
        let (orders, deliveries) = (shared.queue(&asks.id), shared.deliveries());
        let link = asking::Asking::new(asks, &second_looks, deliveries, Arc::clone(&shared.metrics));
        shared.poll(link.asked());
        shared.tasks.spawn(link.run(orders));
    }
    for push in std::mem::take(&mut plan.pushes) {
        let (orders, handle, desk) = (shared.queue(&push.id), shared.handle.clone(), shared.desk());
        let (now, metrics) = (Arc::clone(&shared.now), Arc::clone(&shared.metrics));
        let link = push::Push::new(push, handle, now, metrics, desk);
        shared.poll(link.asked());
        shared.tasks.spawn(link.run(orders));
    }
    let Shared { handle, now, metrics, teller, mut tasks, links, .. } = shared;
    teller.connect(links.clone());
    tasks.spawn(pulse::watch(pulses, handle.clone(), Arc::clone(&now), Arc::clone(&metrics)));
    tasks.spawn(dispatch(actions, plan.barriers, links, handle, Arc::clone(&metrics)));
    tasks.spawn(refill::watch(teller.clone(), Arc::clone(&metrics)));
    Devices { tasks, teller, watch, signs: plan.signs, lists: plan.lists, now, metrics }
}

impl Shared<'_> {
    /// The queue of a link's commands.
    fn queue(&mut self, link: &str) -> mpsc::Receiver<Order> {
        let (queue, orders) = mpsc::channel(ORDERS_MAX);
        self.links.insert(link.to_owned(), queue);
        orders
    }

    fn deliveries(&mut self) -> mpsc::Sender<Delivery> {
        submitting::into_the_loop(self.handle.clone(), Arc::clone(&self.metrics), &mut self.tasks)
    }

    /// Asks those devices whose profiles have polls.
    fn poll(&mut self, devices: Vec<(HttpDevice, Arc<Caller>)>) {
        for (device, caller) in devices.into_iter().filter(|(device, _)| !device.codec.polls().is_empty()) {
            let (deliveries, now, metrics) = (self.deliveries(), Arc::clone(&self.now), Arc::clone(&self.metrics));
            self.tasks.spawn(polling::Polling::new(device, caller, deliveries, now, metrics).run());
        }
    }

    fn desk(&self) -> Desk {
        self.photos.map_or_else(|| Desk::closed(Arc::clone(&self.metrics)), Intake::desk)
    }

    fn broker(&mut self, broker: planning::BrokerPlan) {
        let (orders, deliveries) = (self.queue(&broker.id), self.deliveries());
        let (news_in, news) = mpsc::channel(NEWS_MAX);
        let (now, metrics) = (Arc::clone(&self.now), Arc::clone(&self.metrics));
        let raising =
            raising::Raising::new(broker.devices.clone(), deliveries.clone(), Arc::clone(&now), Arc::clone(&metrics));
        let (awaited, desk) = (raising.awaited(), self.desk());
        self.tasks.spawn(raising.run(orders, news));
        let link = mqtt::Broker::new(broker, deliveries, news_in, awaited, now, metrics, desk);
        self.tasks.spawn(link.run());
    }

    /// For each device that reads pictures the line in which they wait; its cameras put them there.
    fn second_looks(&self, plan: &mut Plan) -> Vec<Arc<looking::Waiting>> {
        let Plan { asks, brokers, pushes, streams, .. } = plan;
        let of_brokers = brokers.iter_mut().flat_map(|link| &mut link.devices).map(|device| &mut device.wiring);
        let of_pushes = pushes.iter_mut().flat_map(|link| &mut link.devices).map(|device| &mut device.wiring);
        let of_streams = streams.iter_mut().flat_map(|link| &mut link.devices).map(|device| &mut device.wiring);
        let mut cameras: Vec<_> = of_brokers.chain(of_pushes).chain(of_streams).collect();
        let readers = asks.iter().flat_map(|link| &link.devices).filter(|device| !device.reads.is_empty());
        let waiting = readers.map(|reader| {
            let waiting = looking::Waiting::new(reader.wiring.device.clone(), Arc::clone(&self.metrics));
            for camera in cameras.iter_mut().filter(|camera| reader.reads.contains(&camera.device)) {
                camera.second_reader = Some(Arc::clone(&waiting));
            }
            waiting
        });
        waiting.collect()
    }

    /// For each line the port of another device through which it goes, where it does; that device is told to hand on what
    /// comes back.
    fn tunnels(&self, plan: &mut Plan) -> Vec<Option<Tunnel>> {
        let mut tunnels = Vec::with_capacity(plan.lines.len());
        let Plan { lines, brokers, pushes, streams, .. } = plan;
        for line in lines.iter() {
            let Wire::Tunnel { device, channel } = &line.wire else {
                tunnels.push(None);
                continue;
            };
            let (heard, pieces) = mpsc::channel(tunnel::PIECES_MAX);
            let mut link = String::new();
            let of_brokers = brokers.iter_mut().flat_map(|broker| {
                let id = &broker.id;
                broker.devices.iter_mut().map(move |device| (id, &mut device.wiring))
            });
            let of_pushes = pushes.iter_mut().flat_map(|push| {
                let id = &push.id;
                push.devices.iter_mut().map(move |device| (id, &mut device.wiring))
            });
            let of_streams = streams.iter_mut().flat_map(|streams| {
                let id = &streams.id;
                streams.devices.iter_mut().map(move |device| (id, &mut device.wiring))
            });
            for (id, wiring) in of_brokers.chain(of_pushes) {
                if wiring.device == *device {
                    wiring.tunnels.insert(*channel, heard.clone());
                    link.clone_from(id);
                }
            }
            for (id, wiring) in of_streams.filter(|(_, wiring)| wiring.device == *device) {
                wiring.tunnels.insert(*channel, heard.clone());
                link = stream::line_of(id, device);
            }
            let (teller, metrics) = (self.teller.clone(), Arc::clone(&self.metrics));
            tunnels.push(Some(Tunnel::new(device.clone(), *channel, link, teller, metrics, pieces)));
        }
        tunnels
    }
}

impl std::fmt::Debug for Devices {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Devices").field("teller", &self.teller).finish_non_exhaustive()
    }
}

impl Devices {
    /// The way to tell devices what is no raise.
    pub fn teller(&self) -> Teller {
        self.teller.clone()
    }

    /// What the links know of every device.
    pub fn watch(&self) -> Watch {
        self.watch.clone()
    }

    /// Tells the drivers at every lane that has a display or a speaker what the ledger says of it.
    pub fn show_signs(&mut self, settings: signs::Settings) {
        let signs = std::mem::take(&mut self.signs);
        if !signs.is_empty() {
            self.tasks.spawn(signs::keep(signs, settings, self.teller.clone(), Arc::clone(&self.metrics)));
        }
    }

    /// Keeps a copy of the plates that may come in by themselves in every camera that is to have one.
    pub fn keep_lists(&mut self, settings: lists::Settings) {
        let lists = std::mem::take(&mut self.lists);
        if !lists.is_empty() {
            let (teller, now, metrics) = (self.teller.clone(), Arc::clone(&self.now), Arc::clone(&self.metrics));
            self.tasks.spawn(lists::keep(lists, settings, teller, now, metrics));
        }
    }

    /// Writes down the numbers of the devices' events, so that after a restart it is known what was missed.
    pub fn keep_numbers(&mut self, file: PathBuf) {
        self.tasks.spawn(numbers::keep(Arc::clone(&self.metrics), file));
    }

    /// Ends every link and waits until its ports are closed.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

/// Never waits: the loop hands its raises over between two commits.
async fn dispatch(
    mut actions: mpsc::Receiver<site::BarrierMove>,
    barriers: BTreeMap<LaneId, BarrierPlan>,
    links: BTreeMap<String, mpsc::Sender<Order>>,
    handle: Handle,
    metrics: Arc<Metrics>,
) {
    let mut answers = JoinSet::new();
    while let Some(site::BarrierMove { lane, command, motion, of_read }) = actions.recv().await {
        while answers.try_join_next().is_some() {}
        let handed = barriers.get(&lane).and_then(|barrier| {
            let (device, lane, command) = (barrier.device.clone(), lane.clone(), command.clone());
            let order = match motion {
                site::Motion::Raise => Order::raise(lane, command, device, barrier.args.clone(), of_read),
                site::Motion::Lower => Order::lower(lane, command, device, barrier.lower.clone()?),
            };
            Some(links.get(&barrier.link).is_some_and(|link| link.try_send(order).is_ok()))
        });
        let why = match handed {
            Some(true) => continue,
            Some(false) => "too many raises wait for the link",
            None => "the lane has no barrier",
        };
        let input = submitting::answered(&metrics, lane, command, CommandAnswer::NotSent(why.to_owned()));
        let handle = handle.clone();
        answers.spawn(async move {
            // Without the loop nobody is left to tell.
            let _ = handle.submit(input).await;
        });
    }
}

/// Lets a repeated warning through once in a while; the metrics count every one.
#[derive(Debug, Default)]
struct Sparing {
    last: BTreeMap<String, Instant>,
}

impl Sparing {
    /// One line in this time for each cause.
    const PAUSE: Duration = Duration::from_secs(60);
    /// Causes that are remembered; a flood of invented names gets no line at all.
    const CAUSES_MAX: usize = 256;

    fn allows(&mut self, cause: &str) -> bool {
        let now = Instant::now();
        if self.last.len() >= Self::CAUSES_MAX {
            self.last.retain(|_, last| now.duration_since(*last) < Self::PAUSE);
        }
        if self.last.get(cause).is_some_and(|last| now.duration_since(*last) < Self::PAUSE) {
            return false;
        }
        let has_room = self.last.len() < Self::CAUSES_MAX || self.last.contains_key(cause);
        if has_room {
            self.last.insert(cause.to_owned(), now);
        }
        has_room
    }
}

#[cfg(test)]
mod tests;
