//! The plates that a camera lets in by itself while the box is away: a copy of what the box knows, kept small steps at a
//! time, with its age told.
//!
//! What may be in a camera is on disk before it is sent there, so that nobody whose right has ended is forgotten in it.

mod held;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use serde::Deserialize;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use held::{DAY_MS, Held, Resting, Step, Told, VALID_MS};

use super::Clock;
use super::backoff::Backoff;
use super::order::Outcome;
use super::telling::Teller;
use crate::domain::event::{DeviceId, UtcMs};
use crate::domain::plate::Plate;
use crate::metrics::Metrics;
use crate::profile::language::{WHITELIST_ADD, WHITELIST_DELETE};
use crate::profile::template::{Value, Values};
use crate::store::reader::Reader;

/// Between two orders for one camera: it writes a memory that wears out, and a vehicle may need the line.
const ORDER_PAUSE: Duration = Duration::from_secs(1);
/// How often it is looked whether something has changed.
const LOOK: Duration = Duration::from_secs(30);
/// The first pause after an order that a camera did not take, and the longest.
const AWAY_PAUSE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(300));
/// Orders between two writes of the file.
const BATCH: usize = 20;

/// Who stands on the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entitled {
    /// The plates of members who agreed that plates are matched.
    Members,
    /// The plates of allow lists, and of passes while they hold.
    Rights,
}

/// One camera's list.
#[derive(Clone, Debug)]
pub struct ListPlan {
    /// The camera.
    pub device: DeviceId,
    /// Who stands on it.
    pub of: Vec<Entitled>,
    /// The most plates that the camera holds.
    pub most: usize,
}

/// Plates with a right, and plates that are kept out, at a moment.
pub type Rights = Arc<dyn Fn(UtcMs) -> (BTreeSet<Plate>, BTreeSet<Plate>) + Send + Sync>;

/// Where it is looked up and remembered.
#[derive(Clone)]
pub struct Settings {
    /// The way to look at the ledger file.
    pub reader: Reader,
    /// Who has a right by the rules in force.
    pub rights: Rights,
    /// The folder of what may be in the cameras.
    pub folder: PathBuf,
    /// The time that cameras go by.
    pub zone: TimeZone,
}

/// Keeps the lists of all these cameras until the loop is gone.
pub(super) async fn keep(plans: Vec<ListPlan>, settings: Settings, teller: Teller, now: Clock, metrics: Arc<Metrics>) {
    let mut copies = JoinSet::new();
    for plan in plans {
        let file = settings.folder.join(format!("{}.toml", plan.device));
        let held = Held::read(&file);
        let settings = settings.clone();
        let copy = Copied {
            plan,
            settings,
            file,
            held,
            resting: Resting::default(),
            teller: teller.clone(),
            now: Arc::clone(&now),
            metrics: Arc::clone(&metrics),
        };
        copies.spawn(copy.run());
    }
    while copies.join_next().await.is_some() {}
}

/// One camera's list.
struct Copied {
    plan: ListPlan,
    settings: Settings,
    file: PathBuf,
    held: Held,
    resting: Resting,
    teller: Teller,
    now: Clock,
    metrics: Arc<Metrics>,
}

impl Copied {
    async fn run(mut self) {
        let mut backoff = Backoff::new(AWAY_PAUSE);
        loop {
            let again = Instant::now() + LOOK;
            let Some(wanted) = self.wanted().await else {
                sleep_until(again).await;
                continue;
            };
            let steps = self.held.missing(&wanted, (self.now)());
            self.tell_health(steps.len());
            if steps.is_empty() {
                self.held.as_of_ms = (self.now)().0;
                self.remember();
                self.tell_health(0);
                sleep_until(again).await;
                continue;
            }
            let due = self.resting.due(steps, Instant::now());
            if due.is_empty() {
                sleep_until(again).await;
            } else if self.batch(&due[..due.len().min(BATCH)]).await {
                backoff.worked();
            } else {
                sleep(backoff.pause()).await;
            }
        }
    }

    /// The plates that are to be in the camera. Where there are more than it holds, those with a right come first.
    async fn wanted(&self) -> Option<BTreeSet<String>> {
        let (rights, blocked) = (self.settings.rights)((self.now)());
        let has = |who| self.plan.of.contains(&who);
        let mut wanted: Vec<String> = Vec::new();
        if has(Entitled::Rights) {
            wanted.extend(rights.iter().map(ToString::to_string));
        }
        if has(Entitled::Members) {
            let most = self.plan.most;
            match self.settings.reader.look(move |view| view.consenting_plates(most)).await {
                Ok(plates) => wanted.extend(plates),
                Err(error) => {
                    tracing::warn!(device = %self.plan.device, %error, "the list of the camera cannot be looked up");
                    return None;
                }
            }
        }
        let is_kept_out = |plate: &String| blocked.iter().any(|kept_out| kept_out.as_str() == plate);
        wanted.retain(|plate| !is_kept_out(plate));
        let mut seen = BTreeSet::new();
        wanted.retain(|plate| seen.insert(plate.clone()));
        if wanted.len() > self.plan.most {
            self.metrics.rejected("devices", "list-too-long");
        }
        wanted.truncate(self.plan.most);
        Some(wanted.into_iter().collect())
    }

    /// Some orders, one after the other; false where the camera is not there.
    async fn batch(&mut self, steps: &[Step]) -> bool {
        for step in steps {
            if let Step::Add(plate) = step {
                self.held.plates.entry(plate.clone()).or_insert(0);
            }
        }
        if !self.remember() {
            return false;
        }
        let mut is_there = true;
        for step in steps {
            is_there = self.order(step).await != Told::Away;
            if !is_there {
                break;
            }
            sleep(ORDER_PAUSE).await;
        }
        self.remember() && is_there
    }

    async fn order(&mut self, step: &Step) -> Told {
        let now = (self.now)();
        let (command, values, until) = match step {
            Step::Add(plate) => {
                let until = now.0 + VALID_MS;
                (WHITELIST_ADD, self.entry(plate, now.0 - DAY_MS, until), until)
            }
            Step::Delete(plate) => (WHITELIST_DELETE, vec![("plate", plate.clone())], 0),
        };
        let values: Values = values.into_iter().map(|(name, value)| (name.to_owned(), Value::Text(value))).collect();
        match self.teller.tell(self.plan.device.as_str(), command, values).await {
            Ok(outcome) => {
                let told = self.held.told(step, &outcome, until);
                if told == Told::Refused {
                    self.refused(step, &outcome);
                }
                told
            }
            Err(error) => {
                self.metrics.rejected("devices", "list-not-allowed");
                tracing::warn!(device = %self.plan.device, %error, "the camera's list cannot be told");
                Told::Away
            }
        }
    }

    /// One plate that a camera does not want holds up no other; it is told again much later.
    fn refused(&mut self, step: &Step, outcome: &Outcome) {
        self.metrics.rejected("devices", "list-refused");
        if self.resting.put(step.plate(), Instant::now()) {
            let order = if step.is_add() { WHITELIST_ADD } else { WHITELIST_DELETE };
            tracing::warn!(
                device = %self.plan.device, order, ?outcome,
                "the camera refuses a plate of its list; the others go on"
            );
        }
    }

    /// What the camera's profile has a place for of a plate and its time: whole moments, or their dates and times apart.
    fn entry(&self, plate: &str, from_ms: i64, until_ms: i64) -> Vec<(&'static str, String)> {
        let (from, until) = (self.local(from_ms), self.local(until_ms));
        let parts =
            |moment: &str| moment.split_once(' ').map_or_else(Default::default, |(d, t)| (d.to_owned(), t.to_owned()));
        let ((from_date, from_time), (until_date, until_time)) = (parts(&from), parts(&until));
        let known = self.teller.device(&self.plan.device).and_then(|(_, profile)| profile.args(WHITELIST_ADD));
        let all = [
            ("plate", plate.to_owned()),
            ("from", from),
            ("until", until),
            ("from_date", from_date),
            ("from_time", from_time),
            ("until_date", until_date),
            ("until_time", until_time),
        ];
        all.into_iter().filter(|(name, _)| known.is_some_and(|args| args.contains_key(*name))).collect()
    }

    /// As cameras write it, by their own clock.
    fn local(&self, ms: i64) -> String {
        let moment = jiff::Timestamp::from_millisecond(ms).unwrap_or_default();
        moment.to_zoned(self.settings.zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string()
    }

    fn remember(&self) -> bool {
        self.held
            .write(&self.file)
            .inspect_err(
                |error| tracing::warn!(device = %self.plan.device, %error, "the camera's list is not written down"),
            )
            .is_ok()
    }

    fn tell_health(&self, pending: usize) {
        let held = self.held.plates.values().filter(|until| **until > 0).count();
        self.metrics.health.listed(self.plan.device.as_str(), held, pending, self.held.as_of_ms);
    }
}
