//! Cables of the inner lot's lanes that an electrician left in each other's places: one pair after the other, each until he
//! has come again. What staff must be told of them follows from what they did to a vehicle.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use crate::faults::{Fault, Faults};
use crate::world::INNER_LANES;

/// The lane whose loops are swapped: the way out, so that the box knows all the same how often somebody drove in.
const LOOPS_OF: &str = INNER_LANES[1];
/// So many vehicles in a row tell of swapped loops; one alone may have driven the wrong way.
const IN_A_ROW: u32 = 2;

/// Two cables that are in each other's places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Swap {
    /// The limit switches of the two lanes.
    Switches,
    /// The relays of the two lanes.
    Relays,
    /// The loops of the way out.
    Loops,
}

/// What wrong cables did, and what staff must have been told because of it: one of these at least.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Misled {
    /// Which.
    pub swap: Swap,
    /// The lane of the vehicle.
    pub lane: &'static str,
    /// The alarms, each with the lane that it speaks of.
    pub alarms: Vec<(&'static str, &'static str)>,
}

/// The cables of the inner lot.
#[derive(Debug)]
pub struct Cables {
    faults: Faults,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    wrong: VecDeque<Swap>,
    /// Whether the first of them shows; not while a vehicle stands where the one before was put right.
    shows: bool,
    /// Raises that moved the other lane's arm.
    astray: u32,
    /// Vehicles that went over the swapped loops.
    over_loops: u32,
}

impl Cables {
    /// As these faults have it. Never two pairs at once: swapped switches tell of swapped relays what people want to hear.
    pub fn of(faults: &Faults) -> Self {
        let all = [Swap::Switches, Swap::Relays, Swap::Loops];
        let wrong = all.into_iter().filter(|swap| faults.has(swap.fault())).collect();
        Self { faults: faults.clone(), state: Mutex::new(State { wrong, ..State::default() }) }
    }

    /// Whether nothing is wrong any more.
    pub fn are_right(&self) -> bool {
        self.state().wrong.is_empty()
    }

    /// Nobody stands in the lanes: the next pair that is wrong shows from now on.
    pub fn go_on(&self) {
        let mut state = self.state();
        if let Some(swap) = state.wrong.front().filter(|_| !state.shows) {
            self.faults.at(swap.place()).strikes(swap.fault());
            state.shows = true;
        }
    }

    /// The pair that is wrong now.
    pub fn wrong(&self) -> Option<Swap> {
        let state = self.state();
        state.wrong.front().filter(|_| state.shows).copied()
    }

    /// Whether this pair of this lane is wrong now.
    pub fn are_wrong(&self, swap: Swap, lane: &str) -> bool {
        let is_of_lane = match swap {
            Swap::Switches | Swap::Relays => INNER_LANES.contains(&lane),
            Swap::Loops => lane == LOOPS_OF,
        };
        is_of_lane && self.wrong() == Some(swap)
    }

    /// A raise has moved the other lane's arm.
    pub fn lead_astray(&self) {
        self.state().astray += 1;
    }

    /// How many raises have moved the other lane's arm.
    pub fn times_astray(&self) -> u32 {
        self.state().astray
    }

    /// A vehicle has gone through one of the lanes. What staff must be told by then, if anything.
    pub fn passed(&self, lane: &'static str) -> Option<Misled> {
        match self.wrong()? {
            Swap::Switches => Some(Misled::arm(Swap::Switches, lane)),
            Swap::Loops if lane == LOOPS_OF => {
                let mut state = self.state();
                state.over_loops += 1;
                let alarms = vec![("loops_swapped", lane)];
                (state.over_loops >= IN_A_ROW).then_some(Misled { swap: Swap::Loops, lane, alarms })
            }
            Swap::Relays | Swap::Loops => None,
        }
    }

    /// The electrician puts the pair right.
    pub fn mend(&self) {
        let mut state = self.state();
        state.wrong.pop_front();
        state.shows = false;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Swap {
    fn fault(self) -> Fault {
        match self {
            Self::Switches => Fault::Swapped,
            Self::Relays => Fault::SwappedRelays,
            Self::Loops => Fault::SwappedLoops,
        }
    }

    fn place(self) -> &'static str {
        match self {
            Self::Switches | Self::Relays => "the inner lot",
            Self::Loops => LOOPS_OF,
        }
    }

    /// What it is, for whoever watches.
    pub fn words(self) -> &'static str {
        self.fault().words()
    }
}

impl Misled {
    /// A raise at this lane, and the arm was seen where none was expected, or not where one was.
    pub fn arm(swap: Swap, lane: &'static str) -> Self {
        let other = the_other(lane);
        Self { swap, lane, alarms: vec![("arm_up_unasked", other), ("arm_not_seen_up", lane)] }
    }
}

/// The other lane of the inner lot.
pub fn the_other(lane: &'static str) -> &'static str {
    match INNER_LANES {
        [one, other] if lane == one => other,
        [one, other] if lane == other => one,
        _ => lane,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_pair_after_the_other_is_wrong_and_each_strikes_once() {
        let cables = Cables::of(&Faults::of([Fault::Swapped, Fault::SwappedRelays, Fault::SwappedLoops]));
        let [way_in, way_out] = INNER_LANES;
        assert_eq!(cables.wrong(), None, "nobody is there yet");
        cables.go_on();
        cables.go_on();
        assert!(cables.are_wrong(Swap::Switches, way_in) && !cables.are_wrong(Swap::Relays, way_in));
        assert_eq!(cables.passed(way_in).unwrap().alarms, [("arm_up_unasked", way_out), ("arm_not_seen_up", way_in)]);
        assert_eq!(cables.faults.struck().values().sum::<u32>(), 1, "what is not wrong yet has not struck");
        cables.mend();
        assert_eq!(cables.wrong(), None, "the vehicle that brought the electrician still stands there");
        cables.go_on();
        assert!(cables.are_wrong(Swap::Relays, way_out) && !cables.are_wrong(Swap::Relays, "exit-1"));
        assert_eq!(
            cables.passed(way_in),
            None,
            "whom the guard lets through was kept waiting, and that is what counts"
        );
        cables.mend();
        cables.go_on();
        assert!(
            !cables.are_right() && cables.are_wrong(Swap::Loops, way_out) && !cables.are_wrong(Swap::Loops, way_in)
        );
        assert_eq!((cables.passed(way_out), cables.passed(way_in)), (None, None), "one alone tells nothing");
        assert_eq!(cables.passed(way_out).unwrap().alarms, [("loops_swapped", way_out)]);
        cables.mend();
        cables.go_on();
        assert!(cables.are_right() && cables.wrong().is_none() && cables.passed(way_out).is_none());
        assert!(cables.faults.struck().values().all(|times| *times == 1));
    }
}
