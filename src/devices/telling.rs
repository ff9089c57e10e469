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
use crate::domain::event::DeviceId;
use crate::profile::Profile;
use crate::profile::language::{LOWER, RAISE, Retry};
use crate::profile::recording::args;
use crate::profile::template::Values;

/// The way to every device of the settings.
#[derive(Clone)]
pub struct Teller {
    shared: Arc<Shared>,
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
        Self { shared: Arc::new(Shared { devices, links, allowance, now, told }) }
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
