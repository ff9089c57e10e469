//! What may be in a camera, as its file says, and what is still to be told it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::devices::backoff::Backoff;
use crate::devices::order::Outcome;
use crate::domain::event::UtcMs;

/// A camera that confirms nothing is told everything so often: each answer that carries an order may be lost, and a plate
/// that lost its right must not stay in it for one lost answer. One that refuses to give a plate up is told as often: it
/// may not have it, because it was exchanged.
const TIMES: u8 = 3;
/// The first pause of a plate that its camera refuses, and the longest; the others of its list go on.
const REFUSED_PAUSE: (Duration, Duration) = (Duration::from_secs(300), Duration::from_secs(24 * 3600));
/// How long a camera lets a plate in without hearing of the box: then it knows by itself that its list is old.
pub(super) const VALID_MS: i64 = 30 * DAY_MS;
/// How long before its end a plate is sent again.
const RENEW_MS: i64 = 10 * DAY_MS;
pub(super) const DAY_MS: i64 = 24 * 3600 * 1000;

/// What may be in a camera.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Held {
    /// When the camera last had exactly what the box knew; 0: never.
    #[serde(default)]
    pub as_of_ms: i64,
    /// Each plate with the end of its time there; 0 where it is not known whether the camera took it.
    #[serde(default)]
    pub plates: BTreeMap<String, i64>,
    /// What it was told and did not confirm, or would not give up.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    unconfirmed: BTreeMap<String, Said>,
}

/// How often a camera was told to take a plate, or to give it up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Said {
    to_add: bool,
    times: u8,
}

impl Held {
    /// A file that cannot be read is put aside and begun anew: everything is sent again, but what is to go is not known.
    pub fn read(file: &Path) -> Self {
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
    pub fn write(&self, file: &Path) -> std::io::Result<()> {
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
    pub fn missing(&self, wanted: &BTreeSet<String>, now: UtcMs) -> Vec<Step> {
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
    pub fn told(&mut self, step: &Step, outcome: &Outcome, until: i64) -> Told {
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
pub(super) enum Told {
    /// The camera took it, or says nothing of it.
    Taken,
    /// The camera is there and does not want this plate.
    Refused,
    /// The camera is not there.
    Away,
}

/// The plates that a camera refused, each with the pause before it is told again.
#[derive(Default)]
pub(super) struct Resting(BTreeMap<String, (Backoff, Instant)>);

impl Resting {
    /// It was refused; true where it is the first time.
    pub fn put(&mut self, plate: &str, now: Instant) -> bool {
        let is_new = !self.0.contains_key(plate);
        let (backoff, until) = self.0.entry(plate.to_owned()).or_insert_with(|| (Backoff::new(REFUSED_PAUSE), now));
        *until = now + backoff.pause();
        is_new
    }

    /// The steps whose pause is over.
    pub fn due(&mut self, steps: Vec<Step>, now: Instant) -> Vec<Step> {
        self.0.retain(|plate, _| steps.iter().any(|step| step.plate() == plate));
        steps.into_iter().filter(|step| self.0.get(step.plate()).is_none_or(|(_, until)| *until <= now)).collect()
    }
}

/// One order to a camera.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Add(String),
    Delete(String),
}

impl Step {
    pub fn plate(&self) -> &str {
        match self {
            Self::Add(plate) | Self::Delete(plate) => plate,
        }
    }

    pub fn is_add(&self) -> bool {
        matches!(self, Self::Add(_))
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
