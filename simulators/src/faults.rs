//! What goes wrong in a car park with devices and cables, and how often it did: the box's books must be right all the same.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tokio::sync::mpsc;

/// Strokes that may wait for whoever watches; who does not keep up misses some.
const STROKES_QUEUED: usize = 256;

/// Something that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// A camera's plate result never comes.
    Lost,
    /// It comes late, or an answer of a board or card when nobody waits for it any more.
    Late,
    /// A message comes twice.
    Duplicated,
    /// The arrival loop is heard of after the plate.
    Reordered,
    /// A message comes cut off first, an answer of a board or card with a wrong check.
    Corrupted,
    /// The camera of the way in is three hours ahead.
    Clock,
    /// A device starts anew when it should raise, tell its inputs or show something: for a while it hears and answers nothing.
    Reboot,
    /// The relay is acknowledged and the arm does not move.
    DeadRelay,
    /// The arm stops halfway up and hangs there until somebody frees it.
    StuckArm,
    /// The arm needs seconds to go up.
    SlowArm,
    /// A vehicle that nobody let out tears the arm off.
    TornArm,
    /// The limit switches of the two lanes of the inner lot are on each other's cables.
    Swapped,
    /// The relays of these lanes move each other's arms.
    SwappedRelays,
    /// The two loops of the way out of the inner lot are on each other's cables.
    SwappedLoops,
    /// Who reads a camera's picture once more reads a character wrong.
    WrongCharacter,
}

/// What of a device suffers. Each is counted apart: what is asked twenty times a second would leave nothing to the rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Suffers {
    /// What vehicles wait for: plates, loops, and the answers to raises.
    #[default]
    Words,
    /// The answers of a device that is asked again and again how it is.
    Polls,
    /// Displays and speakers, and what they answer.
    Signs,
}

/// All of them, by their names.
pub const FAULTS: [(&str, Fault); 15] = [
    ("lost", Fault::Lost),
    ("late", Fault::Late),
    ("duplicated", Fault::Duplicated),
    ("reordered", Fault::Reordered),
    ("corrupted", Fault::Corrupted),
    ("clock", Fault::Clock),
    ("reboot", Fault::Reboot),
    ("dead-relay", Fault::DeadRelay),
    ("stuck-arm", Fault::StuckArm),
    ("slow-arm", Fault::SlowArm),
    ("torn-arm", Fault::TornArm),
    ("swapped", Fault::Swapped),
    ("swapped-relays", Fault::SwappedRelays),
    ("swapped-loops", Fault::SwappedLoops),
    ("wrong-character", Fault::WrongCharacter),
];

impl FromStr for Fault {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = FAULTS.iter().find(|(known, _)| *known == name).map(|(_, fault)| *fault);
        let names = FAULTS.map(|(name, _)| name).join(", ");
        known.ok_or_else(|| format!("there is no fault {name:?}; there are {names}, and all"))
    }
}

impl Fault {
    /// Its name.
    pub fn name(self) -> &'static str {
        FAULTS.iter().find(|(_, fault)| *fault == self).map_or("unknown", |(name, _)| name)
    }

    /// What happens, for whoever watches.
    pub fn words(self) -> &'static str {
        match self {
            Self::Lost => "a plate result or an answer is lost",
            Self::Late => "a plate result or an answer comes late",
            Self::Duplicated => "a message comes twice",
            Self::Reordered => "the arrival loop is heard of after the plate",
            Self::Corrupted => "a message comes spoilt",
            Self::Clock => "the camera's clock is three hours ahead",
            Self::Reboot => "the device starts anew",
            Self::DeadRelay => "the relay is acknowledged and the arm does not move",
            Self::StuckArm => "the arm hangs halfway up",
            Self::SlowArm => "the arm goes up slowly",
            Self::TornArm => "a vehicle tears the arm off",
            Self::Swapped => "the limit switches are on each other's cables",
            Self::SwappedRelays => "the relays move each other's arms",
            Self::SwappedLoops => "the two loops are on each other's cables",
            Self::WrongCharacter => "a character of a plate is read wrong in its picture",
        }
    }

    /// Every how many times it strikes where it can, and from which on. Different for each, so that they meet in all ways.
    fn rhythm(self, of: Suffers) -> (u32, u32) {
        match of {
            Suffers::Words | Suffers::Signs => self.rhythm_of_words(),
            Suffers::Polls => self.rhythm_of_polls(),
        }
    }

    /// Far apart, for a lane that is asked twenty times a second must be of use between two of them, and some together.
    fn rhythm_of_polls(self) -> (u32, u32) {
        match self {
            Self::Lost => (53, 20),
            Self::Late => (61, 30),
            Self::Duplicated => (17, 5),
            Self::Corrupted => (47, 10),
            Self::Reboot => (499, 150),
            Self::Reordered
            | Self::Clock
            | Self::DeadRelay
            | Self::StuckArm
            | Self::SlowArm
            | Self::TornArm
            | Self::Swapped
            | Self::SwappedRelays
            | Self::SwappedLoops
            | Self::WrongCharacter => self.rhythm_of_words(),
        }
    }

    fn rhythm_of_words(self) -> (u32, u32) {
        match self {
            Self::Lost => (7, 3),
            Self::Late => (5, 1),
            Self::Duplicated => (3, 0),
            Self::Reordered => (4, 2),
            Self::Corrupted => (6, 4),
            Self::Clock | Self::TornArm | Self::Swapped | Self::SwappedRelays | Self::SwappedLoops => (1, 0),
            Self::WrongCharacter => (3, 1),
            Self::Reboot => (13, 5),
            // A driver waits long before a dead arm, and then calls somebody.
            Self::DeadRelay => (23, 9),
            // The box must wait long before it can tell, and so must the driver.
            Self::StuckArm => (31, 13),
            Self::SlowArm => (17, 5),
        }
    }
}

/// Which faults a world has at one of its places, and how often each struck anywhere.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    place: &'static str,
    of: Suffers,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    which: BTreeSet<Fault>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// How often each could have struck, and how often it did.
    counts: BTreeMap<(Suffers, Fault), (u32, u32)>,
    watcher: Option<mpsc::Sender<Stroke>>,
}

/// A fault that struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stroke {
    /// Which.
    pub fault: Fault,
    /// The lane.
    pub place: &'static str,
    /// What suffers.
    pub of: Suffers,
    /// How often it has struck the same by now, anywhere.
    pub times: u32,
}

impl Stroke {
    /// What strikes polls does so all the time: the first is told, the tenth, the hundredth.
    fn is_worth_a_line(&self) -> bool {
        match self.of {
            Suffers::Words | Suffers::Signs => true,
            Suffers::Polls => self.times == 10_u32.saturating_pow(self.times.ilog10()),
        }
    }
}

impl Faults {
    /// These.
    pub fn of(which: impl IntoIterator<Item = Fault>) -> Self {
        let shared = Shared { which: which.into_iter().collect(), state: Mutex::default() };
        Self { place: "", of: Suffers::Words, shared: Arc::new(shared) }
    }

    /// The same faults, as they strike at a lane.
    pub fn at(&self, place: &'static str) -> Self {
        Self { place, ..self.clone() }
    }

    /// The same faults, as they strike something else of a device.
    pub fn of_its(&self, of: Suffers) -> Self {
        Self { of, ..self.clone() }
    }

    /// Whether the world has this one at all.
    pub fn has(&self, fault: Fault) -> bool {
        self.shared.which.contains(&fault)
    }

    /// Whether it strikes now, where it can; counted and told.
    pub fn strikes(&self, fault: Fault) -> bool {
        if !self.has(fault) {
            return false;
        }
        let (every, from) = fault.rhythm(self.of);
        let mut state = self.state();
        let (chances, struck) = state.counts.entry((self.of, fault)).or_default();
        let is_now = *chances % every == from;
        *chances += 1;
        *struck += u32::from(is_now);
        let stroke = Stroke { fault, place: self.place, of: self.of, times: *struck };
        if let Some(watcher) = state.watcher.as_ref().filter(|_| is_now && stroke.is_worth_a_line()) {
            // The counts do not depend on who watches.
            let _ = watcher.try_send(stroke);
        }
        is_now
    }

    /// How often each struck what vehicles wait for.
    pub fn struck(&self) -> BTreeMap<&'static str, u32> {
        let state = self.state();
        let struck = |fault: &Fault| state.counts.get(&(Suffers::Words, *fault)).map_or(0, |(_, struck)| *struck);
        self.shared.which.iter().map(|fault| (fault.name(), struck(fault))).collect()
    }

    /// How often each struck anything at all.
    pub fn suffered(&self) -> BTreeMap<Suffers, BTreeMap<&'static str, u32>> {
        let mut suffered = BTreeMap::<_, BTreeMap<_, _>>::new();
        for ((of, fault), (_, struck)) in &self.state().counts {
            suffered.entry(*of).or_default().insert(fault.name(), *struck);
        }
        suffered
    }

    /// Every stroke from now on, for one who watches.
    pub fn watch(&self) -> mpsc::Receiver<Stroke> {
        let (watcher, strokes) = mpsc::channel(STROKES_QUEUED);
        self.state().watcher = Some(watcher);
        strokes
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_strikes_in_its_rhythm_and_only_where_the_world_has_it() {
        let faults = Faults::of([Fault::Duplicated]);
        let struck: Vec<bool> = (0..7).map(|_| faults.strikes(Fault::Duplicated)).collect();
        assert_eq!(struck, [true, false, false, true, false, false, true]);
        assert!(!faults.strikes(Fault::Lost));
        assert_eq!(faults.struck(), BTreeMap::from([("duplicated", 3)]));
    }

    #[test]
    fn each_stroke_is_told_with_its_lane_and_counted_over_all_of_them() {
        let faults = Faults::of([Fault::Duplicated]);
        let mut strokes = faults.watch();
        for lane in ["entry-1", "exit-1", "exit-1", "exit-1"] {
            faults.at(lane).strikes(Fault::Duplicated);
        }
        for (place, times) in [("entry-1", 1), ("exit-1", 2)] {
            assert_eq!(strokes.try_recv(), Ok(Stroke { fault: Fault::Duplicated, place, of: Suffers::Words, times }));
        }
        assert!(strokes.try_recv().is_err(), "what does not strike is not told");
    }

    #[test]
    fn polls_are_counted_apart_and_told_ever_more_seldom() {
        let faults = Faults::of([Fault::Duplicated]);
        let mut strokes = faults.watch();
        let polls = faults.of_its(Suffers::Polls);
        let struck = (0..17 * 12).filter(|_| polls.strikes(Fault::Duplicated)).count();
        assert_eq!(struck, 12);
        assert!(faults.strikes(Fault::Duplicated), "the first word all the same");
        let told: Vec<(Suffers, u32)> =
            std::iter::from_fn(|| strokes.try_recv().ok()).map(|stroke| (stroke.of, stroke.times)).collect();
        assert_eq!(told, [(Suffers::Polls, 1), (Suffers::Polls, 10), (Suffers::Words, 1)]);
        assert_eq!(faults.struck(), BTreeMap::from([("duplicated", 1)]));
        let all = [(Suffers::Words, 1), (Suffers::Polls, 12)].map(|(of, n)| (of, BTreeMap::from([("duplicated", n)])));
        assert_eq!(faults.suffered(), BTreeMap::from(all));
    }

    #[test]
    fn names_are_read_and_an_unknown_one_is_told_with_the_list() {
        for (name, fault) in FAULTS {
            assert_eq!((name.parse(), fault.name()), (Ok(fault), name));
        }
        let told = "lightning".parse::<Fault>().unwrap_err();
        assert!(
            told.contains("\"lightning\"")
                && told.contains("torn-arm, swapped, swapped-relays, swapped-loops, wrong-character, and all"),
            "{told}"
        );
    }
}
