//! Telling a device something for a person or for another device: within its profile's guards, and again where the profile
//! says so and no answer came. A barrier is told by the loop alone.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::mpsc;

use super::Clock;
use super::allowance::Allowance;
use super::order::{Order, Outcome};
use super::planning::{LinePlan, Plan};
use super::serial::Wire;
use crate::domain::event::{DeviceId, LaneId};
use crate::profile::Profile;
use crate::profile::language::{LOWER, RAISE, Retry, TUNNEL};
use crate::profile::recording::args;
use crate::profile::template::{Value, Values};

/// The way to every device of the settings.
#[derive(Clone)]
pub struct Teller {
    shared: Arc<Shared>,
    arms: Arc<Arms>,
}

/// Where a lane's arm hangs: what moves it is in the journal first, so that nobody tells it by hand.
#[derive(Clone, Debug, Default)]
pub struct Arms {
    barriers: BTreeMap<DeviceId, LaneId>,
    /// The links that go through another device's ports.
    ports: BTreeMap<(DeviceId, u16), String>,
}

impl Arms {
    /// As the settings have it.
    pub(super) fn of(plan: &Plan) -> Self {
        let barriers = plan.barriers.iter().map(|(lane, barrier)| (barrier.device.clone(), lane.clone())).collect();
        let port = |line: &LinePlan| match &line.wire {
            Wire::Tunnel { device, channel } => Some(((device.clone(), *channel), line.id.clone())),
            Wire::Serial { .. } | Wire::Tcp { .. } => None,
        };
        Self { barriers, ports: plan.lines.iter().filter_map(port).collect() }
    }
}

struct Shared {
    devices: BTreeMap<DeviceId, (String, Profile)>,
    links: OnceLock<BTreeMap<String, mpsc::Sender<Order>>>,
    allowance: Allowance,
    now: Clock,
    told: AtomicU64,
}

/// Why a command is not even tried.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CannotTell {
    /// The settings have no such device.
    #[error("there is no device {0}")]
    NoDevice(String),
    /// A barrier is told by the loop alone: whatever moves it is in the journal first.
    #[error("{0} is for the loop alone; staff raise a lane's barrier with a reason")]
    OfTheLoop(String),
    /// It would move a lane's arm.
    #[error(
        "{command} of {device} would move the arm of {lane} with nothing in the journal; staff raise it with a reason, and \
         whoever tests the wiring first takes the barrier out of the lane's settings"
    )]
    MovesAnArm {
        /// What was to be told.
        command: String,
        /// To whom.
        device: DeviceId,
        /// Whose arm hangs on it.
        lane: LaneId,
    },
    /// Another device hangs on the port.
    #[error("port {channel} of {device} is the link {link}; tell the device that hangs there what it is to do")]
    Carries {
        /// Whose port.
        device: DeviceId,
        /// Which.
        channel: u16,
        /// What goes through it.
        link: String,
    },
    /// What the profile forbids, or an argument that does not fit.
    #[error(transparent)]
    Profile(#[from] crate::profile::statement::CannotSend),
    /// It was told as often as the profile allows for one day.
    #[error("at most {most} a day: {because}")]
    Enough {
        /// How often.
        most: u32,
        /// Why, in the profile's words.
        because: String,
    },
    /// What was told today could not be written down, so it cannot be counted.
    #[error("today's commands cannot be counted: {0}")]
    NotCounted(String),
}

impl Teller {
    /// For these devices, each with its link and profile.
    pub fn new(devices: BTreeMap<DeviceId, (String, Profile)>, allowance: Allowance, now: Clock) -> Self {
        let (links, told) = (OnceLock::new(), AtomicU64::new(0));
        Self { shared: Arc::new(Shared { devices, links, allowance, now, told }), arms: Arc::default() }
    }

    /// The same, where these arms hang.
    pub fn beside(self, arms: Arms) -> Self {
        Self { arms: Arc::new(arms), ..self }
    }

    /// Tells a device something for a person, who moves no lane's arm with it.
    pub async fn tell_by_hand(&self, device: &str, command: &str, args: Values) -> Result<Outcome, CannotTell> {
        let id = DeviceId::from(device);
        let words = self.shared.devices.get(&id).map(|(_, profile)| profile.commands());
        let guard = words.iter().flatten().find(|words| words.name == command).and_then(|words| words.guard);
        if let Some(lane) = self.arms.barriers.get(&id).filter(|_| guard.is_some_and(|guard| guard.moves)) {
            return Err(CannotTell::MovesAnArm { command: command.to_owned(), device: id, lane: lane.clone() });
        }
        if let Some(Value::Integer(channel)) = args.get("channel").filter(|_| command == TUNNEL)
            && let Ok(channel) = u16::try_from(*channel)
            && let Some(link) = self.arms.ports.get(&(id.clone(), channel))
        {
            return Err(CannotTell::Carries { device: id, channel, link: link.clone() });
        }
        self.tell(device, command, args).await
    }

    /// The queues of the links, once they run.
    pub fn connect(&self, links: BTreeMap<String, mpsc::Sender<Order>>) {
        // Only the start of the room connects them.
        let _ = self.shared.links.set(links);
    }

    /// The link and the profile of a device.
    pub(super) fn device(&self, device: &DeviceId) -> Option<&(String, Profile)> {
        self.shared.devices.get(device)
    }

    /// Arguments as people write them, as the device's command takes them.
    pub fn args(&self, device: &str, command: &str, given: &BTreeMap<String, toml::Value>) -> Values {
        let known = self.shared.devices.get(&DeviceId::from(device));
        known.map(|(_, profile)| args(profile, command, given)).unwrap_or_default()
    }

    /// Tells a device something and waits for what comes of it; repeated as its profile says while no answer comes.
    pub async fn tell(&self, device: &str, command: &str, args: Values) -> Result<Outcome, CannotTell> {
        if matches!(command, RAISE | LOWER) {
            return Err(CannotTell::OfTheLoop(command.to_owned()));
        }
        let device = DeviceId::from(device);
        let Some((link, profile)) = self.shared.devices.get(&device) else {
            return Err(CannotTell::NoDevice(device.to_string()));
        };
        let words = profile.prepared(command, &args)?;
        let limit = words.guard.and_then(|guard| Some((guard.per_day_max?, guard.because.as_str())));
        let mut outcome = self.once(&device, link, command, &args, limit).await?;
        let Retry::Again(again) = words.retry else { return Ok(outcome) };
        for _ in 0..again.times {
            if !matches!(outcome, Outcome::Silent(_) | Outcome::NotSent(_)) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(again.pause_ms)).await;
            match self.once(&device, link, command, &args, limit).await {
                Ok(next) => outcome = next,
                // What is known so far is worth more than that the day's allowance is used up.
                Err(_) => break,
            }
        }
        Ok(outcome)
    }

    async fn once(
        &self,
        device: &DeviceId,
        link: &str,
        command: &str,
        args: &Values,
        limit: Option<(u32, &str)>,
    ) -> Result<Outcome, CannotTell> {
        if let Some((most, because)) = limit {
            let counted = self.shared.allowance.take(device.as_str(), command, most, (self.shared.now)());
            match counted {
                Ok(true) => {}
                Ok(false) => return Err(CannotTell::Enough { most, because: because.to_owned() }),
                Err(error) => return Err(CannotTell::NotCounted(error.to_string())),
            }
        }
        let number = self.shared.told.fetch_add(1, Ordering::Relaxed);
        let id = format!("{device}/{command}/{}/{number}", (self.shared.now)().0);
        let (order, answer) = Order::asked(device.clone(), command, args.clone(), id);
        let queue = self.shared.links.get().and_then(|links| links.get(link));
        let is_in_line = queue.is_some_and(|queue| queue.try_send(order).is_ok());
        if !is_in_line {
            return Ok(Outcome::not_sent("too many commands wait for the link"));
        }
        Ok(answer.await.unwrap_or_else(|_| Outcome::not_sent("the box is stopping")))
    }
}

impl std::fmt::Debug for Teller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Teller").field("devices", &self.shared.devices.keys()).finish_non_exhaustive()
    }
}
