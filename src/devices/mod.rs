//! Links to the hardware: they turn what devices say into inputs of the loop and its raises into bytes on a wire.

mod bus;
mod calling;
mod contacts;
mod digest;
mod line;
mod mqtt;
pub mod planning;
mod push;
mod raising;
mod serial;
pub mod settings;
mod stream;
mod submitting;
mod wiring;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::domain::event::{CommandAnswer, CommandId, DeviceId, LaneId, UtcMs};
use crate::metrics::Metrics;
use crate::photos::Intake;
use crate::profile::template::Values;
use crate::site::{self, Handle};
use planning::{BarrierPlan, Plan};

/// Raises that may wait for one link; more than any site has lanes.
const RAISES_MAX: usize = 64;
/// What a connection may have to tell about commands before it waits.
const NEWS_MAX: usize = 256;

/// Civil time, as the box knows it.
pub type Clock = Arc<dyn Fn() -> UtcMs + Send + Sync>;

/// The running links. Dropping it ends them at once.
#[derive(Debug)]
pub struct Devices {
    tasks: JoinSet<()>,
}

/// A raise on its way to a device.
#[derive(Clone, Debug)]
struct Raise {
    lane: LaneId,
    command: CommandId,
    device: DeviceId,
    args: Values,
    /// For the latency figures, as the loop says it.
    of_read: bool,
}

/// Connects every link and keeps it connected. Raises come through `actions`, after their commit; what devices say and
/// what came back for a raise goes to `handle`. Needs a tokio runtime around it.
pub fn start(
    plan: Plan,
    handle: Handle,
    now: Clock,
    metrics: Arc<Metrics>,
    photos: &Intake,
    actions: mpsc::Receiver<site::Raise>,
) -> Devices {
    let mut tasks = JoinSet::new();
    let mut links = BTreeMap::new();
    for broker in plan.brokers {
        let deliveries = submitting::into_the_loop(handle.clone(), Arc::clone(&metrics), &mut tasks);
        let (to_raise, raises) = mpsc::channel(RAISES_MAX);
        let (news_in, news) = mpsc::channel(NEWS_MAX);
        links.insert(broker.id.clone(), to_raise);
        let raising =
            raising::Raising::new(broker.devices.clone(), deliveries.clone(), Arc::clone(&now), Arc::clone(&metrics));
        tasks.spawn(raising.run(raises, news));
        let link =
            mqtt::Broker::new(broker, deliveries, news_in, Arc::clone(&now), Arc::clone(&metrics), photos.desk());
        tasks.spawn(link.run());
    }
    for bus in plan.buses {
        let deliveries = submitting::into_the_loop(handle.clone(), Arc::clone(&metrics), &mut tasks);
        let (to_raise, raises) = mpsc::channel(RAISES_MAX);
        links.insert(bus.id.clone(), to_raise);
        tasks.spawn(bus::Bus::new(bus, deliveries, Arc::clone(&metrics)).run(raises));
    }
    for line in plan.lines {
        let deliveries = submitting::into_the_loop(handle.clone(), Arc::clone(&metrics), &mut tasks);
        let (to_raise, raises) = mpsc::channel(RAISES_MAX);
        links.insert(line.id.clone(), to_raise);
        if let Some(line) = line::Line::new(line, deliveries, Arc::clone(&now), Arc::clone(&metrics)) {
            tasks.spawn(line.run(raises));
        }
    }
    for streams in plan.streams {
        let deliveries = submitting::into_the_loop(handle.clone(), Arc::clone(&metrics), &mut tasks);
        let (to_raise, raises) = mpsc::channel(RAISES_MAX);
        links.insert(streams.id.clone(), to_raise);
        let link = stream::Streams::new(streams, deliveries, Arc::clone(&now), Arc::clone(&metrics));
        tasks.spawn(link.run(raises));
    }
    for push in plan.pushes {
        let (to_raise, raises) = mpsc::channel(RAISES_MAX);
        links.insert(push.id.clone(), to_raise);
        let link = push::Push::new(push, handle.clone(), Arc::clone(&now), Arc::clone(&metrics), photos.desk());
        tasks.spawn(link.run(raises));
    }
    tasks.spawn(dispatch(actions, plan.barriers, links, handle, metrics));
    Devices { tasks }
}

impl Devices {
    /// Ends every link and waits until its ports are closed.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

/// Never waits: the loop hands its raises over between two commits.
async fn dispatch(
    mut actions: mpsc::Receiver<site::Raise>,
    barriers: BTreeMap<LaneId, BarrierPlan>,
    links: BTreeMap<String, mpsc::Sender<Raise>>,
    handle: Handle,
    metrics: Arc<Metrics>,
) {
    let mut answers = JoinSet::new();
    while let Some(site::Raise { lane, command, of_read }) = actions.recv().await {
        while answers.try_join_next().is_some() {}
        let handed = barriers.get(&lane).map(|barrier| {
            let (device, args) = (barrier.device.clone(), barrier.args.clone());
            let raise = Raise { lane: lane.clone(), command: command.clone(), device, args, of_read };
            links.get(&barrier.link).is_some_and(|link| link.try_send(raise).is_ok())
        });
        let why = match handed {
            Some(true) => continue,
            Some(false) => "too many raises wait for the link",
            None => "the lane has no barrier",
        };
        let input = submitting::answered(&metrics, lane, command, CommandAnswer::Silent(why.to_owned()));
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
