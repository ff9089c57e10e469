//! A coupon that one box has alone, as a model of its own: one coupon, two boxes, every order of words and cuts, boxes that
//! are fenced, and journals that are lost. `docs/cloud-api.md` ("A coupon, had by one box at a time") is its text.

use stateright::{Checker, HasDiscoveries, Model, Property};

/// C1: where no risk was declared, no two uses stand at once, whatever journals say.
pub const ONE_USE: &str = "C1 a coupon is used once";
/// C2: no two boxes may use it at once.
pub const ALONE: &str = "C2 one box has it alone";
/// C3: a use that stands and that the ledger heard of stands there too, whatever came before it.
pub const BOOKED: &str = "C3 a use that was told stands in the ledger";
/// R3: it can go from a box to the other, which then uses it with the line cut.
pub const PASSED_ON: &str = "R3 used by the box that it was passed on to";
/// R4: it can be used once more where its use was taken back.
pub const USED_AGAIN: &str = "R4 used again after its use was taken back";
/// R5: a declared risk can be run at both boxes.
pub const RISKED_TWICE: &str = "R5 a risk is run at both boxes";

const BOXES: usize = 2;
/// No shortest violation is longer.
const DEPTH_MAX: usize = 16;

/// The protocol, and the one change that makes a broken variant.
#[derive(Clone, Debug)]
pub struct Claims {
    /// Whether a box may use it that nobody has.
    pub is_risky: bool,
    /// Words in both journals together.
    pub words: usize,
    /// Fences and lost journals in all.
    pub faults: u8,
    /// None in the protocol as it is.
    pub broken: Option<Broken>,
}

/// A wrong protocol, one change away from the right one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The ledger gives it to who wants it while another box has it.
    GivenTwice,
    /// A fence frees it, though the box may have used it.
    FenceFrees,
    /// A box takes what it had in an epoch that has ended for its own.
    OldEpochCounts,
    /// A box that gave it back goes on using it.
    UsedAfterReturn,
    /// A box whose journal was lost goes on in its epoch.
    LossUnnoticed,
}

/// What a box says of it in its journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Word {
    /// It wants it alone.
    Wanted,
    /// It gives it back, by this turn.
    Returned(u8),
    /// It has used it.
    Used,
    /// That use was taken back.
    Unused,
}

/// Who has it, and where it was used, as the ledger tells every box.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Told {
    turn: u8,
    holder: Option<(usize, u8)>,
    used: [bool; BOXES],
}

/// A box: its journal is everything that it knows besides what it was told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Device {
    epoch: u8,
    /// Words with their epochs.
    journal: Vec<(u8, Word)>,
    heard: usize,
    /// Uses that stand in this journal.
    uses: bool,
    /// The turn at which it said that it wants it, or gave it back, in this epoch.
    wanted: Option<u8>,
    returned: Option<u8>,
}

/// Everything at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    boxes: [Device; BOXES],
    /// The newest epoch of each, how many words were applied, and who waits.
    epochs: [u8; BOXES],
    applied: [usize; BOXES],
    waits: Option<(usize, u8)>,
    /// Every statement of the ledger, in order; a box hears them one by one, when it does.
    feed: Vec<Told>,
    faults: u8,
    /// What nobody can see: how many uses stand, at each box, those of lost journals too; and whether one was taken back.
    stand: [u8; BOXES],
    taken_back: bool,
    used_again: bool,
}

/// Something that may happen at a box, or between it and the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Its member comes.
    Want(usize),
    /// It is used.
    Use(usize),
    /// Its use is taken back.
    Unuse(usize),
    /// Its member has gone.
    Return(usize),
    /// The ledger hears the next word.
    Upload(usize),
    /// The box hears the next statement.
    Hear(usize),
    /// The ledger ends its epoch.
    Fence(usize),
    /// The box hears of that; its journal is whole.
    Renew(usize),
    /// The box is gone with what it had not handed in; what takes its place begins where the ledger stands.
    Lose(usize),
}

impl State {
    fn told(&self) -> Told {
        self.feed.last().copied().unwrap_or_default()
    }

    /// What a box heard last.
    fn heard(&self, at: usize) -> Told {
        self.boxes[at].heard.checked_sub(1).map_or(Told::default(), |last| self.feed[last])
    }
}

impl Claims {
    /// The state after `action`; none where the rules do not allow it.
    fn next(&self, before: &State, action: Action) -> Option<State> {
        let mut after = before.clone();
        let may = match action {
            Action::Want(at) => {
                let (here, turn) = (&before.boxes[at], before.heard(at).turn);
                after.boxes[at].wanted = Some(turn);
                after.boxes[at].say(Word::Wanted);
                !self.has_alone(before, at) && here.wanted != Some(turn) && !here.uses
            }
            Action::Use(at) => {
                after.boxes[at].uses = true;
                after.stand[at] += 1;
                after.used_again = before.taken_back;
                after.boxes[at].say(Word::Used);
                self.may_use(before, at)
            }
            Action::Unuse(at) => {
                after.boxes[at].uses = false;
                after.stand[at] = before.stand[at].saturating_sub(1);
                after.taken_back = true;
                after.boxes[at].say(Word::Unused);
                before.boxes[at].uses
            }
            Action::Return(at) => self.give_back(&mut after, at),
            Action::Upload(at) => {
                let word = before.boxes[at].journal.get(before.applied[at]).copied();
                after.applied[at] += 1;
                if let Some((epoch, word)) = word {
                    self.apply(&mut after, (at, epoch), word);
                }
                word.is_some()
            }
            Action::Hear(at) => {
                after.boxes[at].heard += 1;
                before.boxes[at].heard < before.feed.len()
            }
            Action::Fence(at) => self.fence(&mut after, at),
            Action::Renew(at) => {
                // The last words of the epoch: what is free goes back.
                self.give_back(&mut after, at);
                after.boxes[at].begin(before.epochs[at]);
                before.boxes[at].epoch < before.epochs[at]
            }
            Action::Lose(at) => {
                let lost = &mut after.boxes[at];
                lost.journal.truncate(before.applied[at]);
                let last = lost.journal.iter().rev().find(|(_, word)| matches!(word, Word::Used | Word::Unused));
                lost.uses = last.is_some_and(|(_, word)| *word == Word::Used);
                lost.heard = 0;
                if self.broken == Some(Broken::LossUnnoticed) {
                    after.faults += 1;
                    before.faults < self.faults
                } else {
                    let may = self.fence(&mut after, at);
                    let epoch = after.epochs[at];
                    after.boxes[at].begin(epoch);
                    may
                }
            }
        };
        let words: usize = after.boxes.iter().map(|device| device.journal.len()).sum();
        (may && words <= self.words).then_some(after)
    }

    /// Whether a box has it alone, as far as it knows.
    fn has_alone(&self, state: &State, at: usize) -> bool {
        let (told, here) = (state.heard(at), &state.boxes[at]);
        let has_returned = here.returned == Some(told.turn) && self.broken != Some(Broken::UsedAfterReturn);
        let counts_any = self.broken == Some(Broken::OldEpochCounts);
        told.holder.is_some_and(|(name, epoch)| name == at && (epoch == here.epoch || counts_any)) && !has_returned
    }

    fn may_use(&self, state: &State, at: usize) -> bool {
        let (told, here) = (state.heard(at), &state.boxes[at]);
        let knows_own = here.journal.iter().any(|(_, word)| *word == Word::Used);
        let elsewhere = told.used[1 - at] || (told.used[at] && !knows_own);
        let is_with_another = told.holder.is_some_and(|(holder, _)| holder != at);
        !here.uses && !elsewhere && (self.has_alone(state, at) || self.is_risky && !is_with_another)
    }

    fn give_back(&self, state: &mut State, at: usize) -> bool {
        let turn = state.heard(at).turn;
        if !self.has_alone(state, at) || state.boxes[at].uses || state.boxes[at].returned == Some(turn) {
            return false;
        }
        state.boxes[at].returned = Some(turn);
        state.boxes[at].say(Word::Returned(turn));
        true
    }

    fn fence(&self, state: &mut State, at: usize) -> bool {
        state.epochs[at] += 1;
        state.faults += 1;
        if self.broken == Some(Broken::FenceFrees) && state.told().holder.is_some_and(|(holder, _)| holder == at) {
            pass_on(state);
        }
        state.faults <= self.faults
    }

    /// The ledger takes a box's word in.
    fn apply(&self, state: &mut State, speaker: (usize, u8), word: Word) {
        let told = state.told();
        match word {
            Word::Wanted => {
                let is_current = state.epochs[speaker.0] == speaker.1;
                let is_given = told.holder.is_some() && self.broken != Some(Broken::GivenTwice);
                if !is_current || told.used.contains(&true) {
                    return;
                }
                if !is_given {
                    state.feed.push(Told { turn: told.turn + 1, holder: Some(speaker), ..told });
                } else if told.holder != Some(speaker)
                    && state.waits.is_none_or(|(name, epoch)| state.epochs[name] != epoch)
                {
                    state.waits = Some(speaker);
                }
            }
            Word::Returned(turn) => {
                if told.holder == Some(speaker) && told.turn == turn {
                    pass_on(state);
                }
            }
            Word::Used | Word::Unused => {
                let mut told = told;
                told.used[speaker.0] = word == Word::Used;
                state.feed.push(told);
            }
        }
    }
}

/// It goes to who waits for it, or nobody has it.
fn pass_on(state: &mut State) {
    let told = state.told();
    let epochs = state.epochs;
    let next = state.waits.take().filter(|(name, epoch)| epochs[*name] == *epoch && !told.used.contains(&true));
    state.feed.push(Told { turn: told.turn + 1, holder: next, ..told });
}

impl Device {
    fn say(&mut self, word: Word) {
        self.journal.push((self.epoch, word));
    }

    /// In a new epoch it has nothing alone, and has asked for nothing.
    fn begin(&mut self, epoch: u8) {
        (self.epoch, self.wanted, self.returned) = (epoch, None, None);
    }
}

impl Model for Claims {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            boxes: Default::default(),
            epochs: [0; BOXES],
            applied: [0; BOXES],
            waits: None,
            feed: Vec::new(),
            faults: 0,
            stand: [0; BOXES],
            taken_back: false,
            used_again: false,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        use Action::{Fence, Hear, Lose, Renew, Return, Unuse, Upload, Use, Want};
        for at in 0..BOXES {
            let all = [Want, Use, Unuse, Return, Upload, Hear, Fence, Renew, Lose].map(|of| of(at));
            actions.extend(all.into_iter().filter(|action| self.next(state, *action).is_some()));
        }
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        self.next(before, action)
    }

    /// Of a broken variant only what every one of them breaks, so that no earlier sign of it ends the search.
    fn properties(&self) -> Vec<Property<Self>> {
        let one_use = Property::always(ONE_USE, |_, state: &State| state.stand.iter().sum::<u8>() <= 1);
        if self.broken.is_some() {
            return vec![one_use];
        }
        let mut all = vec![
            Property::always(ALONE, |claims: &Claims, state: &State| !(0..BOXES).all(|at| claims.has_alone(state, at))),
            Property::always(BOOKED, |_, state: &State| {
                (0..BOXES).all(|at| {
                    let is_handed_in = state.applied[at] == state.boxes[at].journal.len();
                    !is_handed_in || state.told().used[at] == state.boxes[at].uses
                })
            }),
            Property::sometimes(PASSED_ON, |_, state: &State| {
                let had = |at| state.feed.iter().any(|told| told.holder.is_some_and(|(name, _)| name == at));
                had(0) && had(1) && state.stand == [0, 1]
            }),
            Property::sometimes(USED_AGAIN, |_, state: &State| state.used_again && state.stand.iter().sum::<u8>() == 1),
        ];
        if self.is_risky {
            all.push(Property::sometimes(RISKED_TWICE, |_, state: &State| state.stand == [1, 1]));
        } else {
            all.push(one_use);
        }
        all
    }
}

/// The protocol as it is, at the size at which every state is visited.
pub fn right() -> Claims {
    Claims { is_risky: false, words: 5, faults: 2, broken: None }
}

/// Visits every state: how many there are, and what was violated or reached.
pub fn exhaust(claims: Claims) -> (usize, Vec<&'static str>) {
    let checker = claims.checker().threads(2).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let mut discoveries: Vec<&'static str> = checker.discoveries().into_keys().collect();
    discoveries.sort_unstable();
    (checker.unique_state_count(), discoveries)
}

/// The shortest way in which a broken variant uses a coupon twice, with what happens in each step.
pub fn shortest(broken: Broken) -> Option<Vec<Action>> {
    (2..=DEPTH_MAX).find_map(|depth| {
        let claims = Claims { broken: Some(broken), ..right() };
        let checker = claims.checker().target_max_depth(depth).finish_when(HasDiscoveries::AnyFailures);
        checker.spawn_bfs().join().discoveries().remove(ONE_USE).map(|path| path.into_actions())
    })
}
