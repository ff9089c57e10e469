//! What may happen next: the rules of the protocol, its sizes, and the one change that makes a broken variant.

use stateright::{Model, Property};

use crate::properties;
use crate::state::{Account, Device, Epoch, Ledger, Message, Pocket, Points, State, Truth, Upload};

/// The protocol at some size.
#[derive(Clone, Debug)]
pub struct Protocol {
    /// How much of everything there is.
    pub bounds: Bounds,
    /// What is done with a lost box's points.
    pub release: Release,
    /// The one change to the rules; none in the protocol as it is.
    pub broken: Option<Broken>,
    /// The names of the properties that are checked.
    pub checked: Vec<&'static str>,
}

/// How much of everything there is. The walks of the real box set them beyond reach.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// Boxes.
    pub boxes: u8,
    /// Each member's points at the beginning.
    pub balances: Vec<Points>,
    /// Grants in all.
    pub grants: usize,
    /// Entries of one journal.
    pub journal: usize,
    /// Back-ups, restores, declared losses, clones, lost commits.
    pub faults: u8,
    /// Fences of one box.
    pub fences: u8,
    /// How often points may be earned in all.
    pub earns: Points,
    /// Whether spends may be reversed, and how many points of them in all.
    pub reversals: Points,
    /// Whether points are bound until a vehicle has passed.
    pub has_holds: bool,
    /// Whether leases run out.
    pub has_leases: bool,
    /// Whether a box in doubt still takes grants in and lets members earn.
    pub writes_in_doubt: bool,
}

/// What may be done with the points of an epoch that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// Nothing: they wait for ever.
    Never,
    /// The member gets them back, and pays for what is heard of late.
    MemberPays,
    /// The member gets them back, and a reserve pays for what is heard of late.
    ReservePays,
}

/// A wrong protocol, one change away from the right one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// M1: an open grant ends by the clock.
    TimeFreesEscrow,
    /// M2: an upload is applied again.
    UploadAppliedTwice,
    /// M3: a grant is taken in again.
    GrantTakenTwice,
    /// M4: a restored box goes on as if nothing was.
    RestoreUnnoticed,
    /// M5: a return goes beside the journal.
    ReturnBesideJournal,
    /// M6: the barrier is raised before the commit.
    RaisedBeforeCommit,
    /// M7: what an ended epoch says is thrown away.
    LateFactsDiscarded,
    /// M8: the disk is copied together with its witness.
    WitnessRestored,
    /// M9: what is earned offline can be spent everywhere at once.
    EarnedEverywhere,
    /// A receipt is taken back at a box that did not write it.
    ReversedElsewhere,
    /// The ledger takes back a spend of an ended epoch, whose box may be alive and do the same.
    ReversedForBox,
    /// A return takes what is bound by a raised barrier.
    ReturnTakesHeld,
    /// A box in doubt gives points back.
    ReturnInDoubt,
    /// A box that was put back into an older epoch begins the newest one again.
    EpochBegunTwice,
    /// Two clones of a box run at once.
    TwoClones,
    /// The ledger loses a commit that it has answered.
    CommitLost,
}

/// Something that may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The ledger reserves points for a box.
    Grant { name: u8, member: u8, amount: Points },
    /// A member spends online.
    Online { member: u8, amount: Points },
    /// An online spend is taken back.
    OnlineReverse { member: u8, amount: Points },
    /// A grant arrives at a box.
    Accept { device: u8, grant: u8 },
    /// A box hands out goods.
    Spend { device: u8, pocket: Pocket, amount: Points },
    /// A box raises a barrier and binds the points.
    Hold { device: u8, pocket: Pocket, amount: Points },
    /// The vehicle backs out.
    Void { device: u8, pocket: Pocket, amount: Points },
    /// The vehicle has passed.
    Post { device: u8, pocket: Pocket, amount: Points },
    /// A box gives points back.
    Return { device: u8, pocket: Pocket, amount: Points },
    /// A box takes goods back.
    Reverse { device: u8, pocket: Pocket, amount: Points },
    /// A member earns at a box.
    Earn { device: u8, member: u8, amount: Points },
    /// A box sends an entry of its journal.
    Sync { device: u8, seq: u16 },
    /// The ledger hears an entry.
    Apply(Upload),
    /// The lease of a box runs out.
    Lapse { device: u8 },
    /// It is renewed.
    Renew { device: u8 },
    /// A box's disk is copied.
    Backup { device: u8 },
    /// The copy is put back.
    Restore { device: u8 },
    /// A box in doubt gets a new epoch.
    Handshake { device: u8 },
    /// People declare a box lost.
    Declare { name: u8 },
    /// People release what an ended epoch still holds.
    Release { name: u8, epoch: u8, pocket: Pocket },
    /// A second device with the same name, journal and witness. Broken variants only, as all that follow.
    Clone { device: u8 },
    /// A grant ends by the clock.
    TimeFrees { grant: u8 },
    /// A return from beside the journal arrives.
    BareReturn { grant: u8, amount: Points },
    /// The newest entry reaches the disk.
    Fsync { device: u8 },
    /// The power goes before it does.
    CrashLoses { device: u8 },
    /// The ledger forgets a grant.
    LoseCommit { grant: u8 },
    /// A box takes goods back that another box handed out.
    ReverseElsewhere { device: u8, member: u8 },
    /// The ledger takes goods back that a box of an ended epoch handed out.
    ReverseForBox { name: u8, epoch: u8, grant: u8 },
}

impl Protocol {
    /// The state before anything happened.
    pub fn first(&self) -> State {
        let members = self.bounds.balances.len();
        let account = |credited: &Points| Account { credited: *credited, debited: 0, online: 0 };
        State {
            ledger: Ledger {
                accounts: self.bounds.balances.iter().map(account).collect(),
                grants: Vec::new(),
                boxes: vec![vec![Epoch::default()]; usize::from(self.bounds.boxes)],
            },
            devices: (0..self.bounds.boxes).map(Device::new).collect(),
            network: Vec::new(),
            truth: Truth {
                goods: vec![0; members],
                earned: vec![0; members],
                released: vec![0; members],
                brought_back: vec![0; members],
                is_taken_back: false,
                has_underflowed: false,
                has_alarmed: false,
                faults: 0,
            },
        }
    }

    /// The state after `action`; none where the rules do not allow it or it changes nothing.
    pub fn next(&self, before: &State, action: Action) -> Option<State> {
        if !self.may(before, action) {
            return None;
        }
        let mut after = before.clone();
        let is_done = match action {
            Action::Grant { .. }
            | Action::Online { .. }
            | Action::OnlineReverse { .. }
            | Action::Apply(_)
            | Action::Declare { .. }
            | Action::Release { .. }
            | Action::TimeFrees { .. }
            | Action::BareReturn { .. }
            | Action::LoseCommit { .. }
            | Action::ReverseForBox { .. } => self.ledger_does(&mut after, action),
            Action::Accept { device, .. }
            | Action::Spend { device, .. }
            | Action::Hold { device, .. }
            | Action::Void { device, .. }
            | Action::Post { device, .. }
            | Action::Return { device, .. }
            | Action::Reverse { device, .. }
            | Action::Earn { device, .. }
            | Action::ReverseElsewhere { device, .. } => self.box_writes(&mut after, usize::from(device), action),
            Action::Sync { device, .. }
            | Action::Lapse { device }
            | Action::Renew { device }
            | Action::Backup { device }
            | Action::Restore { device }
            | Action::Handshake { device }
            | Action::Clone { device }
            | Action::Fsync { device }
            | Action::CrashLoses { device } => self.box_does(&mut after, usize::from(device), action),
        };
        is_done.then_some(after)
    }

    /// Whether the protocol has the action at all, and a fault is left for it where it is one.
    fn may(&self, state: &State, action: Action) -> bool {
        let has_fault = state.truth.faults < self.bounds.faults;
        match action {
            Action::Backup { .. } | Action::Restore { .. } | Action::Declare { .. } => has_fault,
            Action::Release { .. } => self.release != Release::Never,
            Action::Lapse { .. } | Action::Renew { .. } => self.bounds.has_leases,
            Action::Hold { .. } | Action::Void { .. } | Action::Post { .. } => self.bounds.has_holds,
            Action::Clone { .. } => has_fault && self.is(Broken::TwoClones),
            Action::LoseCommit { .. } => has_fault && self.is(Broken::CommitLost),
            Action::TimeFrees { .. } => self.is(Broken::TimeFreesEscrow),
            Action::BareReturn { .. } => self.is(Broken::ReturnBesideJournal),
            Action::Fsync { .. } | Action::CrashLoses { .. } => self.is(Broken::RaisedBeforeCommit),
            Action::ReverseElsewhere { .. } => self.is(Broken::ReversedElsewhere),
            Action::ReverseForBox { .. } => self.is(Broken::ReversedForBox),
            Action::Grant { .. }
            | Action::Online { .. }
            | Action::OnlineReverse { .. }
            | Action::Accept { .. }
            | Action::Spend { .. }
            | Action::Return { .. }
            | Action::Reverse { .. }
            | Action::Earn { .. }
            | Action::Sync { .. }
            | Action::Apply(_)
            | Action::Handshake { .. } => true,
        }
    }

    /// Whether this is that broken variant.
    pub(crate) fn is(&self, broken: Broken) -> bool {
        self.broken == Some(broken)
    }

    /// What may be tried at a device: `next` has the last word, and what it would surely refuse is left out for speed.
    fn at_device(&self, state: &State, device: u8, actions: &mut Vec<Action>) {
        let here = &state.devices[usize::from(device)];
        let grants = state.ledger.grants.iter().enumerate();
        let mine = grants.filter(|(_, grant)| grant.name == here.name && grant.epoch == here.epoch);
        actions.extend(mine.map(|(grant, _)| Action::Accept { device, grant: small(grant) }));
        for pocket in here.pockets() {
            let remaining = here.remaining(pocket);
            for amount in 1..=remaining.min(2) {
                actions.push(Action::Spend { device, pocket, amount });
                actions.push(Action::Hold { device, pocket, amount });
            }
            let held = here.held(pocket);
            for amount in 1..=held.min(2) {
                actions.push(Action::Void { device, pocket, amount });
                actions.push(Action::Post { device, pocket, amount });
            }
            let given_back = if self.is(Broken::ReturnTakesHeld) { remaining + held } else { remaining };
            actions.push(Action::Return { device, pocket, amount: given_back });
            if self.bounds.reversals > 0 {
                actions.extend((1..=here.spent(pocket).min(2)).map(|amount| Action::Reverse {
                    device,
                    pocket,
                    amount,
                }));
            }
        }
        for member in 0..small(self.bounds.balances.len()) {
            if self.bounds.earns > 0 {
                actions.push(Action::Earn { device, member, amount: 1 });
            }
            actions.push(Action::ReverseElsewhere { device, member });
        }
        let cursor = state.ledger.cursor(here.name, here.epoch);
        if cursor < here.length() {
            actions.push(Action::Sync { device, seq: cursor + 1 });
        }
        let is_behind = here.epoch != state.ledger.epoch(here.name) || here.length() < cursor;
        if is_behind || here.is_quarantined() {
            actions.push(Action::Handshake { device });
        }
        if here.backup.is_none() {
            actions.push(Action::Backup { device });
        } else {
            actions.push(Action::Restore { device });
        }
        actions.extend([
            Action::Lapse { device },
            Action::Renew { device },
            Action::Clone { device },
            Action::Fsync { device },
            Action::CrashLoses { device },
        ]);
    }

    fn at_ledger(&self, state: &State, actions: &mut Vec<Action>) {
        for member in 0..small(self.bounds.balances.len()) {
            for amount in 1..=state.ledger.available(member).min(2) {
                actions.extend((0..self.bounds.boxes).map(|name| Action::Grant { name, member, amount }));
                actions.push(Action::Online { member, amount });
            }
            if self.bounds.reversals > 0 {
                let online = state.ledger.accounts[usize::from(member)].online;
                actions.extend((1..=online.min(2)).map(|amount| Action::OnlineReverse { member, amount }));
            }
        }
        for (number, grant) in state.ledger.grants.iter().enumerate() {
            let number = small(number);
            actions.push(Action::TimeFrees { grant: number });
            actions.push(Action::LoseCommit { grant: number });
            actions.push(Action::ReverseForBox { name: grant.name, epoch: grant.epoch, grant: number });
            if self.release != Release::Never {
                let pocket = Pocket::Grant(number);
                actions.push(Action::Release { name: grant.name, epoch: grant.epoch, pocket });
            }
        }
        for name in 0..self.bounds.boxes {
            actions.push(Action::Declare { name });
            if self.release == Release::ReservePays {
                for (epoch, row) in state.ledger.boxes[usize::from(name)].iter().enumerate() {
                    let epoch = small(epoch);
                    let born = row.born.iter().map(|pot| Pocket::Born(pot.member));
                    actions.extend(born.map(|pocket| Action::Release { name, epoch, pocket }));
                }
            }
        }
        for message in &state.network {
            match *message {
                Message::Upload(upload) => {
                    let cursor = state.ledger.cursor(upload.name, upload.epoch);
                    if upload.seq == cursor + 1 || self.is(Broken::UploadAppliedTwice) {
                        actions.push(Action::Apply(upload));
                    }
                }
                Message::BareReturn(grant, amount) => actions.push(Action::BareReturn { grant, amount }),
            }
        }
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![self.first()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        self.at_ledger(state, actions);
        for device in 0..small(state.devices.len()) {
            self.at_device(state, device, actions);
        }
        actions.retain(|action| self.may(state, *action));
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        self.next(before, action)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        self.checked.iter().map(|name| properties::one(name)).collect()
    }
}

/// Puts a message into the network; says whether it is a new one.
pub(crate) fn send(network: &mut Vec<Message>, message: Message) -> bool {
    match network.binary_search(&message) {
        Ok(_) => false,
        Err(place) => {
            network.insert(place, message);
            true
        }
    }
}

/// A number of a list.
pub(crate) fn small(number: usize) -> u8 {
    u8::try_from(number).expect("no list of a model or a walk is so long")
}

/// The protocol as it is, with every property.
pub fn right(bounds: Bounds, release: Release) -> Protocol {
    Protocol { bounds, release, broken: None, checked: properties::all(release) }
}
