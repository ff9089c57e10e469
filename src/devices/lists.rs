//! The plates that a camera lets in by itself while the box is away: a copy of what the box knows, kept small steps at a
//! time, with its age told.
//!
//! What may be in a camera is on disk before it is sent there, so that nobody whose right has ended is forgotten in it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

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
/// How long a camera lets a plate in without hearing of the box: then it knows by itself that its list is old.
const VALID_MS: i64 = 30 * DAY_MS;
/// How long before its end a plate is sent again.
const RENEW_MS: i64 = 10 * DAY_MS;
/// A camera that confirms nothing is told everything so often: each answer that carries an order may be lost, and a plate
/// that lost its right must not stay in it for one lost answer. One that refuses to give a plate up is told as often: it
/// may not have it, because it was exchanged.
const TIMES: u8 = 3;
/// The first pause of a plate that its camera refuses, and the longest; the others of its list go on.
const REFUSED_PAUSE: (Duration, Duration) = (Duration::from_secs(300), Duration::from_secs(24 * 3600));
const DAY_MS: i64 = 24 * 3600 * 1000;

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

/// What may be in a camera.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Held {
    /// When the camera last had exactly what the box knew; 0: never.
    #[serde(default)]
    as_of_ms: i64,
    /// Each plate with the end of its time there; 0 where it is not known whether the camera took it.
    #[serde(default)]
    plates: BTreeMap<String, i64>,
    /// What it was told and did not confirm, or would not give up.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    unconfirmed: BTreeMap<String, Said>,
}

/// How often a camera was told to take a plate, or to give it up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    to_add: bool,
    times: u8,
}

impl Held {
    /// A file that cannot be read is put aside and begun anew: everything is sent again, but what is to go is not known.
    fn read(file: &Path) -> Self {
        let text = match std::fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Self::default(),
            Err(error) => return Self::lost(file, &error),
        };
        toml::from_str(&text).unwrap_or_else(|error| Self::lost(file, &error))
    }

    fn lost(file: &Path, error: &dyn std::fmt::Display) -> Self {
        let beside = file.with_extension("broken");
        let kept =
            std::fs::rename(file, &beside).map_or_else(|error| error.to_string(), |()| beside.display().to_string());
        tracing::error!(
            file = %file.display(), %error, kept,
            "what may be in the camera cannot be read: wipe its list on its own page, or plates whose right has ended may stay in it"
        );
        Self::default()
    }

    /// Whole or not at all, and there after a power cut.
    fn write(&self, file: &Path) -> std::io::Result<()> {
        let text = toml::to_string(self).map_err(std::io::Error::other)?;
        let folder = file.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder)?;
        let beside = file.with_extension("new");
        let mut new = std::fs::File::create(&beside)?;
        new.write_all(text.as_bytes())?;
        new.sync_all()?;
        std::fs::rename(&beside, file)?;
        std::fs::File::open(folder)?.sync_all()
    }

    /// What is to be told, the most pressing first: who is to go, who is to come, whose time runs out.
    fn missing(&self, wanted: &BTreeSet<String>, now: UtcMs) -> Vec<Step> {
        let is_old = |plate: &&String| self.plates.get(*plate).is_none_or(|until| *until - now.0 < RENEW_MS);
        let is_there = |plate: &String| self.plates.get(plate).is_some_and(|until| *until > 0);
        let (old, new): (Vec<&String>, Vec<&String>) = wanted.iter().filter(is_old).partition(|plate| is_there(plate));
        let add = |plate: &String| Step::Add(plate.clone());
        let gone = self.plates.keys().filter(|plate| !wanted.contains(*plate)).map(|plate| Step::Delete(plate.clone()));
        let [gone, new, old]: [Vec<Step>; 3] =
            [gone.collect(), new.into_iter().map(add).collect(), old.into_iter().map(add).collect()];
        let seldom_first = |mut steps: Vec<Step>| {
            steps.sort_by_key(|step| self.said(step));
            steps
        };
        [gone, new, old].into_iter().flat_map(seldom_first).collect()
    }

    /// How often the camera was told this and did not confirm it.
    fn said(&self, step: &Step) -> u8 {
        let said = self.unconfirmed.get(step.plate()).filter(|said| said.to_add == step.is_add());
        said.map_or(0, |said| said.times)
    }

    /// What came back for an order. What nothing confirms is told again.
    fn told(&mut self, step: &Step, outcome: &Outcome, until: i64) -> Told {
        let plate = step.plate().to_owned();
        let times = self.said(step) + 1;
        let is_refused = matches!(outcome, Outcome::Refused(_));
        match outcome {
            Outcome::Silent(_) | Outcome::NotSent(_) => return Told::Away,
            Outcome::Refused(_) if step.is_add() => return Told::Refused,
            Outcome::Unconfirmed(_) | Outcome::Refused(_) if times < TIMES => {
                self.unconfirmed.insert(plate, Said { to_add: step.is_add(), times });
            }
            Outcome::Taken | Outcome::Unconfirmed(_) | Outcome::Refused(_) => {
                self.unconfirmed.remove(&plate);
                if step.is_add() {
                    self.plates.insert(plate, until);
                } else {
                    self.plates.remove(&plate);
                }
            }
        }
        if is_refused { Told::Refused } else { Told::Taken }
    }
}

/// What became of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// The camera took it, or says nothing of it.
    Taken,
    /// The camera is there and does not want this plate.
    Refused,
    /// The camera is not there.
    Away,
}

/// The plates that a camera refused, each with the pause before it is told again.
#[derive(Default)]
struct Resting(BTreeMap<String, (Backoff, Instant)>);

impl Resting {
    /// It was refused; true where it is the first time.
    fn put(&mut self, plate: &str, now: Instant) -> bool {
        let is_new = !self.0.contains_key(plate);
        let (backoff, until) = self.0.entry(plate.to_owned()).or_insert_with(|| (Backoff::new(REFUSED_PAUSE), now));
        *until = now + backoff.pause();
        is_new
    }

    /// The steps whose pause is over.
    fn due(&mut self, steps: Vec<Step>, now: Instant) -> Vec<Step> {
        self.0.retain(|plate, _| steps.iter().any(|step| step.plate() == plate));
        steps.into_iter().filter(|step| self.0.get(step.plate()).is_none_or(|(_, until)| *until <= now)).collect()
    }
}

/// One order to a camera.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Add(String),
    Delete(String),
}

impl Step {
    fn plate(&self) -> &str {
        match self {
            Self::Add(plate) | Self::Delete(plate) => plate,
        }
    }

    fn is_add(&self) -> bool {
        matches!(self, Self::Add(_))
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_to_go_goes_first_and_what_runs_out_is_sent_again() {
        let now = UtcMs(1_000 * DAY_MS);
        let fresh = now.0 + VALID_MS;
        let held = Held {
            as_of_ms: 0,
            plates: [("A", fresh), ("B", now.0 + RENEW_MS - 1), ("C", fresh), ("D", 0)]
                .map(|(plate, until)| (plate.to_owned(), until))
                .into(),
            ..Held::default()
        };
        let wanted: BTreeSet<String> = ["A", "B", "D", "E"].map(str::to_owned).into();
        let (add, delete) = (|plate: &str| Step::Add(plate.to_owned()), |plate: &str| Step::Delete(plate.to_owned()));
        assert_eq!(held.missing(&wanted, now), [delete("C"), add("D"), add("E"), add("B")]);
        let all: BTreeSet<String> = ["A", "C"].map(str::to_owned).into();
        let two =
            Held { plates: held.plates.clone().into_iter().filter(|(plate, _)| all.contains(plate)).collect(), ..held };
        assert_eq!(two.missing(&all, now), [], "nothing is told twice");
    }

    #[test]
    fn what_a_camera_never_confirms_it_is_told_three_times_and_is_pending_until_then() {
        let now = UtcMs(1_000 * DAY_MS);
        let until = now.0 + VALID_MS;
        let unconfirmed = Outcome::Unconfirmed("it confirms nothing".to_owned());
        let mut held = Held { plates: [("A".to_owned(), until)].into(), ..Held::default() };
        let (gone, come) = (Step::Delete("A".to_owned()), Step::Add("B".to_owned()));
        let wanted: BTreeSet<String> = ["B".to_owned()].into();
        for time in 0..TIMES {
            assert_eq!(held.missing(&wanted, now), [gone.clone(), come.clone()], "time {time}");
            assert_eq!([held.told(&gone, &unconfirmed, 0), held.told(&come, &unconfirmed, until)], [Told::Taken; 2]);
        }
        assert_eq!(held.missing(&wanted, now), []);
        assert_eq!(held.plates, [("B".to_owned(), until)].into());
        assert_eq!(held.unconfirmed, [].into());
        // What was begun for the other end does not count, and a camera that answers is told once.
        assert_eq!(held.told(&Step::Delete("B".to_owned()), &unconfirmed, 0), Told::Taken);
        assert_eq!(held.said(&come), 0);
        assert_eq!(held.told(&Step::Delete("B".to_owned()), &Outcome::Taken, 0), Told::Taken);
        assert_eq!(held, Held::default());
        assert_eq!(held.told(&come, &Outcome::silent("no answer in time"), until), Told::Away);
    }

    /// It was exchanged, and has none of the plates that are to go.
    #[test]
    fn what_a_camera_will_not_give_up_three_times_it_does_not_have() {
        let refused = Outcome::Refused("no such plate".to_owned());
        let mut held = Held { plates: [("A".to_owned(), 1)].into(), ..Held::default() };
        let (gone, come) = (Step::Delete("A".to_owned()), Step::Add("B".to_owned()));
        for _ in 1..TIMES {
            assert_eq!(held.told(&gone, &refused, 0), Told::Refused);
            assert!(held.plates.contains_key("A"), "it may have refused for another reason");
        }
        assert_eq!(held.told(&gone, &refused, 0), Told::Refused);
        assert_eq!(held, Held::default());
        assert_eq!([held.told(&come, &refused, 7), held.told(&come, &refused, 7)], [Told::Refused; 2]);
        assert_eq!(held, Held::default(), "what it will not take it does not have, however often");
    }

    #[test]
    fn one_refused_plate_rests_and_the_others_go_on() {
        let (add, now) = (|plate: &str| Step::Add(plate.to_owned()), Instant::now());
        let all = || vec![add("A"), add("B")];
        let mut resting = Resting::default();
        assert!(resting.put("A", now), "the first time is told");
        assert_eq!(resting.due(all(), now + REFUSED_PAUSE.0 / 2), [add("B")]);
        assert_eq!(resting.due(all(), now + REFUSED_PAUSE.0), all());
        assert!(!resting.put("A", now));
        assert_eq!(resting.due(all(), now + REFUSED_PAUSE.0), [add("B")], "longer each time");
        assert_eq!(resting.due(vec![add("B")], now), [add("B")], "nobody wants it any more");
        assert_eq!(resting.due(all(), now), all(), "and then it is new");
    }

    #[test]
    fn a_file_that_cannot_be_read_is_put_aside() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("cam.toml");
        std::fs::write(&file, "as_of_ms = 7\n[plates]\n\"粤B1").expect("written");
        assert_eq!(Held::read(&file), Held::default());
        assert!(!file.exists() && folder.path().join("cam.broken").exists());
    }

    #[test]
    fn what_may_be_in_a_camera_survives_a_restart() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("lists").join("cam.toml");
        assert_eq!(Held::read(&file), Held::default());
        let held = Held { as_of_ms: 7, plates: [("粤B12345".to_owned(), 0)].into(), ..Held::default() };
        let held = Held { unconfirmed: [("粤B12345".to_owned(), Said { to_add: true, times: 2 })].into(), ..held };
        held.write(&file).expect("written");
        assert_eq!(Held::read(&file), held);
    }
}
