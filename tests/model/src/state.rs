//! What the ledger, the boxes and the network hold at one moment, and the sums over them.

/// An amount of points.
pub type Points = i16;

/// Everything at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// The cloud ledger.
    pub ledger: Ledger,
    /// The boxes: one device for each, and one more for each that was cloned.
    pub devices: Vec<Device>,
    /// Every message ever sent, in order and once. Delivery takes none away, so each may be lost, repeated, overtaken
    /// or late. A grant is not in this list: it may arrive from the moment at which the ledger has it.
    pub network: Vec<Message>,
    /// What nobody in the system can see.
    pub truth: Truth,
}

/// The cloud ledger.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ledger {
    /// By member.
    pub accounts: Vec<Account>,
    /// By number.
    pub grants: Vec<Grant>,
    /// By the box's number; the newest epoch is the last one.
    pub boxes: Vec<Vec<Epoch>>,
}

/// One member's sums.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Account {
    /// Points that the member ever got.
    pub credited: Points,
    /// Points that are gone.
    pub debited: Points,
    /// Of these, points spent online and not taken back.
    pub online: Points,
}

/// A grant: points of a member reserved for an epoch of a box.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Grant {
    /// For which box.
    pub name: u8,
    /// For which of its epochs.
    pub epoch: u8,
    /// How many at first.
    pub amount: Points,
    /// What the ledger holds of it.
    pub pot: Pot,
}

/// What one box has done and earned in one epoch, as far as the ledger knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Epoch {
    /// How many entries of the journal were applied.
    pub cursor: u16,
    /// What the box earned, one pot for each member that earned, by member.
    pub born: Vec<Pot>,
}

/// Points that the ledger keeps for a box.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pot {
    /// Whose.
    pub member: u8,
    /// Reserved, and neither spent nor returned.
    pub outstanding: Points,
    /// Given to the member a second time by a release, and booked as what may still be a loss.
    pub reserved: Points,
    /// Spent from `reserved`: the loss that came true.
    pub lost: Points,
    /// Where it stands.
    pub standing: Standing,
}

/// Where a grant stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Standing {
    /// Its box may spend it.
    Open,
    /// Nothing is left of it.
    Closed,
    /// Its epoch was ended; what is left waits for late facts.
    Frozen,
    /// What was left was released by a person.
    Released,
    /// A ledger that lost a commit does not know it any more.
    Forgotten,
}

/// One box, or one of two clones of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Device {
    /// The box's number.
    pub name: u8,
    /// Its epoch.
    pub epoch: u8,
    /// Its journal of that epoch.
    pub journal: Vec<Entry>,
    /// The epoch and length that something outside the journal remembers.
    pub witness: (u8, u16),
    /// Whether the newest entry is not on the disk yet.
    pub is_dirty: bool,
    /// Whether its lease has run out.
    pub has_lapsed: bool,
    /// An old copy of epoch and journal.
    pub backup: Option<(u8, Vec<Entry>)>,
}

/// Which points a box takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Pocket {
    /// Those of a grant, by its number.
    Grant(u8),
    /// Those of a member that were earned here in this epoch.
    Born(u8),
}

/// A line of a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Entry {
    /// A grant was taken in.
    Accept(Pocket, Points),
    /// Goods were handed out.
    Spend(Pocket, Points),
    /// Points go back to the member.
    Return(Pocket, Points),
    /// A member earned points.
    Earn(Pocket, Points),
    /// Goods came back.
    Reverse(Pocket, Points),
    /// A barrier was raised: the points are bound until the vehicle has passed.
    Hold(Pocket, Points),
    /// It backed out.
    Void(Pocket, Points),
    /// It passed.
    Post(Pocket, Points),
}

/// A message to the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Message {
    /// An entry of a journal.
    Upload(Upload),
    /// A return that stands in no journal; only the broken variant sends it.
    BareReturn(u8, Points),
}

/// An entry on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Upload {
    /// Of which box.
    pub name: u8,
    /// Of which epoch.
    pub epoch: u8,
    /// Its number, from 1.
    pub seq: u16,
    /// What it says.
    pub entry: Entry,
}

/// What only the model knows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Truth {
    /// Points' worth of goods handed out and not brought back, by member.
    pub goods: Vec<Points>,
    /// Points earned at boxes, by member.
    pub earned: Vec<Points>,
    /// Points that people released, by member.
    pub released: Vec<Points>,
    /// Points' worth of goods that came back, by member.
    pub brought_back: Vec<Points>,
    /// Whether the ledger took a box's receipt back; only the broken variant does.
    pub is_taken_back: bool,
    /// Whether the ledger ever took more out of something than was in it.
    pub has_underflowed: bool,
    /// Whether the ledger ever raised an alarm.
    pub has_alarmed: bool,
    /// How many faults were used up.
    pub faults: u8,
}

impl Ledger {
    /// What of a member's points can be granted or spent online.
    pub fn available(&self, member: u8) -> Points {
        let account = &self.accounts[usize::from(member)];
        account.credited - account.debited - self.escrow(member)
    }

    /// What of a member's points is kept for boxes.
    pub fn escrow(&self, member: u8) -> Points {
        self.pots().filter(|pot| pot.member == member).map(|pot| pot.outstanding).sum()
    }

    /// Every grant and everything born.
    pub fn pots(&self) -> impl Iterator<Item = &Pot> {
        let born = self.boxes.iter().flatten().flat_map(|epoch| &epoch.born);
        self.grants.iter().map(|grant| &grant.pot).chain(born)
    }

    /// The number of a box's newest epoch, from 0.
    pub fn epoch(&self, name: u8) -> u8 {
        u8::try_from(self.boxes[usize::from(name)].len() - 1).expect("no walk has so many epochs")
    }

    /// The pot of a pocket of this box and epoch, where the ledger has one.
    pub fn pot(&self, name: u8, epoch: u8, pocket: Pocket) -> Option<&Pot> {
        match pocket {
            Pocket::Grant(number) => {
                let grant = self.grants.get(usize::from(number))?;
                (grant.name == name && grant.epoch == epoch).then_some(&grant.pot)
            }
            Pocket::Born(member) => {
                self.boxes[usize::from(name)][usize::from(epoch)].born.iter().find(|pot| pot.member == member)
            }
        }
    }

    /// How many entries of a journal were applied.
    pub fn cursor(&self, name: u8, epoch: u8) -> u16 {
        self.boxes[usize::from(name)][usize::from(epoch)].cursor
    }
}

impl Device {
    /// A new box.
    pub fn new(name: u8) -> Self {
        let (journal, backup) = (Vec::new(), None);
        Self { name, epoch: 0, journal, witness: (0, 0), is_dirty: false, has_lapsed: false, backup }
    }

    /// How many entries it has.
    pub fn length(&self) -> u16 {
        u16::try_from(self.journal.len()).expect("no walk has so many entries")
    }

    /// Whether a witness knows of more than the journal has: such a box spends nothing until it has a new epoch.
    pub fn is_quarantined(&self) -> bool {
        self.witness > (self.epoch, self.length())
    }

    /// What a pocket has left to spend.
    pub fn remaining(&self, pocket: Pocket) -> Points {
        self.sum(pocket, |entry| match entry {
            Entry::Accept(_, n) | Entry::Earn(_, n) | Entry::Reverse(_, n) | Entry::Void(_, n) => n,
            Entry::Spend(_, n) | Entry::Return(_, n) | Entry::Hold(_, n) => -n,
            Entry::Post(..) => 0,
        })
    }

    /// What is bound of a pocket by vehicles on their way.
    pub fn held(&self, pocket: Pocket) -> Points {
        self.sum(pocket, |entry| match entry {
            Entry::Hold(_, n) => n,
            Entry::Void(_, n) | Entry::Post(_, n) => -n,
            Entry::Accept(..) | Entry::Spend(..) | Entry::Return(..) | Entry::Earn(..) | Entry::Reverse(..) => 0,
        })
    }

    /// What this journal says was spent from a pocket and not reversed.
    pub fn spent(&self, pocket: Pocket) -> Points {
        self.sum(pocket, |entry| match entry {
            Entry::Spend(_, n) | Entry::Post(_, n) => n,
            Entry::Reverse(_, n) => -n,
            Entry::Accept(..) | Entry::Return(..) | Entry::Earn(..) | Entry::Hold(..) | Entry::Void(..) => 0,
        })
    }

    /// What the entries after the first `cursor` ones will take out of the ledger's pot.
    pub fn underway(&self, pocket: Pocket, cursor: u16) -> Points {
        let late = self.journal.iter().skip(usize::from(cursor)).filter(|entry| entry.pocket() == pocket);
        late.map(|entry| match *entry {
            Entry::Spend(_, n) | Entry::Post(_, n) | Entry::Return(_, n) => n,
            Entry::Reverse(_, n) | Entry::Earn(_, n) => -n,
            Entry::Accept(..) | Entry::Hold(..) | Entry::Void(..) => 0,
        })
        .sum()
    }

    /// The pockets that the journal names, each once.
    pub fn pockets(&self) -> Vec<Pocket> {
        let mut pockets: Vec<Pocket> = Vec::new();
        for entry in &self.journal {
            if !pockets.contains(&entry.pocket()) {
                pockets.push(entry.pocket());
            }
        }
        pockets
    }

    fn sum(&self, pocket: Pocket, of: impl Fn(Entry) -> Points) -> Points {
        self.journal.iter().filter(|entry| entry.pocket() == pocket).map(|entry| of(*entry)).sum()
    }
}

impl Entry {
    /// Which points it is about.
    pub fn pocket(self) -> Pocket {
        match self {
            Entry::Accept(pocket, _)
            | Entry::Spend(pocket, _)
            | Entry::Return(pocket, _)
            | Entry::Earn(pocket, _)
            | Entry::Reverse(pocket, _)
            | Entry::Hold(pocket, _)
            | Entry::Void(pocket, _)
            | Entry::Post(pocket, _) => pocket,
        }
    }
}

impl Pot {
    /// Newly reserved points.
    pub fn new(member: u8, outstanding: Points) -> Self {
        Self { member, outstanding, reserved: 0, lost: 0, standing: Standing::Open }
    }
}
