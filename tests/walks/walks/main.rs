//! Real boxes and the real ledger on random walks, each step of which the model must allow: partitions, lost and late
//! answers, repeats, power cuts, fences and old copies put back. At the end everything heals, and all grants settle.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod cloud;
#[path = "../../it/dice/generator.rs"]
mod dice;
mod healing;
mod people;
mod site;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use gatepost::domain::event::{CloudNews, EpochReason, Given, GrantId, OpId, Points, VehicleSign};
use gatepost::domain::points::Part;
use grants_model::properties;
use grants_model::protocol::{Action, Bounds, Protocol, Release, right};
use grants_model::state::{Message, Pocket, State, Upload};
use serde_json::{Value, json};

use cloud::Cloud;
use dice::Dice;
use site::{Move, Site};

/// Walks of one run. `GATEPOST_WALK=17` takes one again, `GATEPOST_WALK=300..9000` takes others.
const WALKS: u64 = 40;
const STEPS: usize = 120;
const BOXES: [&str; 3] = ["mall-1", "mall-2", "mall-3"];
const MEMBERS: [&str; 3] = ["M1", "M2", "M3"];
const PLATES: [&str; 3] = ["粤B12345", "粤A00001", "粤C77777"];
/// Few enough that the boxes compete for them.
const BALANCES: [i16; 3] = [500, 900, 250];

#[test]
fn every_step_of_the_real_boxes_and_ledger_is_one_that_the_model_allows() {
    if let Ok(seeds) = std::env::var("GATEPOST_WALK") {
        let (from, to) = seeds.split_once("..").unwrap_or((&seeds, ""));
        let from: u64 = from.parse().unwrap();
        (from..to.parse().unwrap_or(from + 1)).for_each(|seed| drop(walk(seed)));
        return;
    }
    let mut taken = BTreeMap::<&'static str, usize>::new();
    for (kind, n) in (0..WALKS).flat_map(walk) {
        *taken.entry(kind).or_default() += n;
    }
    let rare: Vec<_> = KINDS.iter().filter(|kind| taken.get(*kind).copied().unwrap_or(0) < 10).collect();
    assert!(rare.is_empty(), "walks that hardly ever come by {rare:?}: {taken:?}");
}

/// What a run must have met.
const KINDS: [&str; 21] = [
    "handshake",
    "grant",
    "accept",
    "spend",
    "hold",
    "void",
    "post",
    "return",
    "earn",
    "apply",
    "online",
    "declare",
    "backup",
    "restore",
    "repeat",
    "gap",
    "late grant",
    "recall",
    "recalled",
    "release",
    "standing",
];

/// How often each kind of step was taken.
fn walk(seed: u64) -> BTreeMap<&'static str, usize> {
    let mut world = World::new(seed);
    for _ in 0..STEPS {
        world.something();
        world.compare();
    }
    world.heal();
    std::mem::take(&mut world.taken)
}

struct World {
    seed: u64,
    dice: Dice,
    cloud: Cloud,
    sites: Vec<Site>,
    protocol: Protocol,
    model: State,
    /// Grants by the ledger's name for them, as the model numbers them.
    grants: BTreeMap<String, u8>,
    asked: BTreeSet<String>,
    /// Grants that a box keeps while the member is away.
    standing: BTreeSet<u8>,
    /// Grants of lost boxes whose points the members have back.
    released: BTreeSet<u8>,
    /// Every answer about grants that was ever given: each may still come, and come again.
    letters: Vec<(usize, CloudNews)>,
    /// Whose points a pocket that was born at a box holds.
    born: BTreeMap<String, u8>,
    /// For each epoch of each box: the length of the model's journal after each entry that the ledger has applied.
    heard: BTreeMap<(usize, u32), Vec<u16>>,
    /// The epoch that the ledger has given to each box.
    given: [u32; 3],
    /// Why a box doubts its journal, where it does.
    doubts: [Option<EpochReason>; 3],
    /// Boxes that were put back to a copy: what they lost is never settled.
    rewound: BTreeSet<usize>,
    sales: u32,
    taken: BTreeMap<&'static str, usize>,
    told: Vec<String>,
}

impl World {
    fn new(seed: u64) -> Self {
        let protocol = right(beyond_reach(), Release::ReservePays);
        let cloud = Cloud::new(&BALANCES);
        let sites: Vec<Site> = BOXES.map(Site::new).into();
        let model = protocol.first();
        let mut world = Self {
            seed,
            dice: Dice(seed),
            cloud,
            sites,
            protocol,
            model,
            grants: BTreeMap::new(),
            asked: BTreeSet::new(),
            standing: BTreeSet::new(),
            released: BTreeSet::new(),
            letters: Vec::new(),
            born: BTreeMap::new(),
            heard: BTreeMap::new(),
            given: [1; 3],
            doubts: [None; 3],
            rewound: BTreeSet::new(),
            sales: 0,
            taken: BTreeMap::new(),
            told: Vec::new(),
        };
        for at in 0..BOXES.len() {
            world.read(at);
            world.recover(at);
        }
        world
    }

    fn something(&mut self) {
        let at = self.dice.place(BOXES.len());
        let minutes = self.dice.pick(&[0, 0, 1, 20, 40, 90]);
        self.sites[at].pass_time(minutes);
        match self.dice.below(100) {
            0..=16 => self.drive(at),
            17..=33 => self.leave(at),
            34..=43 => self.sell(at),
            44..=46 => self.look_home(at),
            47 => self.recall(),
            48..=50 => self.release(),
            51..=63 => self.ask(at),
            64..=67 => self.late_letter(),
            68..=87 => self.upload(at),
            88..=91 => self.online(),
            92 => self.fence(at),
            93 => self.back_up(at),
            94..=95 => self.restore(),
            96..=98 => self.recover(at),
            _ => self.cut_the_power(at),
        }
    }

    fn drive(&mut self, at: usize) {
        let plate = self.dice.pick(&PLATES);
        if self.sites[at].inside().iter().any(|inside| inside == plate) {
            return;
        }
        self.tell(format!("{plate} drives in at {}", BOXES[at]));
        self.sites[at].drive_in(plate);
        self.commit(at);
    }

    fn leave(&mut self, at: usize) {
        let inside = self.sites[at].inside();
        if inside.is_empty() {
            return;
        }
        let plate = self.dice.pick(&inside);
        let sign = self.dice.pick(&[VehicleSign::Passed, VehicleSign::Passed, VehicleSign::TurnedBack]);
        self.tell(format!("{plate} comes to the exit of {}, then {sign:?}", BOXES[at]));
        self.sites[at].come_to_exit(&plate);
        self.commit(at);
        if self.dice.one_in(3) {
            // Other things happen while the arm is up.
            return;
        }
        self.sites[at].at_exit(sign);
        self.commit(at);
    }

    fn sell(&mut self, at: usize) {
        let member = self.dice.pick(&MEMBERS);
        let fen = self.dice.pick(&[500, 2000, 9000]);
        let by_points = self.dice.pick(&[0, 0, 500, 300, fen]).min(fen);
        // A till repeats itself now and then.
        self.sales += u32::from(!self.dice.one_in(6));
        self.tell(format!("{} sells {fen} to {member}, {by_points} by points", BOXES[at]));
        let key = self.sales;
        self.sites[at].sell(key, member, fen, by_points);
        self.commit(at);
    }

    /// A box asks for points that it wants; the answer may be lost, or come late.
    fn ask(&mut self, at: usize) {
        let wanted = self.sites[at].wanted();
        if wanted.is_empty() {
            return;
        }
        let wanted = &wanted[self.dice.place(wanted.len())];
        let epoch = self.sites[at].epoch();
        let mut body =
            json!({"request": wanted.request, "epoch": epoch, "member": wanted.member, "points": wanted.points});
        if wanted.is_standing {
            body["standing"] = json!(true);
        }
        let (status, answer) = self.cloud.as_box(BOXES[at], "grants", &body);
        if self.given[at] != epoch {
            assert_eq!((status, &answer["code"]), (409, &json!("wrong-epoch")), "{answer}");
            return;
        }
        assert_eq!(status, 200, "{answer}");
        self.tell(format!("{} asks for {} of {}: {answer}", BOXES[at], wanted.points, wanted.member));
        let member = whose(&wanted.member);
        if self.asked.insert(format!("{}/{}", BOXES[at], wanted.request)) {
            let expected = self.expected(at, &wanted.member, wanted.points, wanted.is_standing);
            assert_eq!(answer["points"], json!(expected), "{answer}");
            for grant in answer["grants"].as_array().unwrap() {
                let number = u8::try_from(self.model.ledger.grants.len()).unwrap();
                self.grants.insert(grant["grant"].as_str().unwrap().to_owned(), number);
                if wanted.is_standing {
                    self.standing.insert(number);
                    self.count("standing");
                }
                let amount = i16::try_from(grant["points"].as_i64().unwrap()).unwrap();
                self.must("grant", Action::Grant { name: at as u8, member, amount });
            }
        }
        let letter = (at, granted(&wanted.member, &answer));
        if !self.dice.one_in(4) {
            self.sites[at].hear(letter.1.clone());
            self.commit(at);
        }
        self.letters.push(letter);
    }

    /// An old answer arrives, perhaps again.
    fn late_letter(&mut self) {
        if self.letters.is_empty() {
            return;
        }
        let (at, letter) = self.dice.pick(&self.letters);
        self.count("late grant");
        self.tell(format!("an old answer comes to {}: {letter:?}", BOXES[at]));
        self.sites[at].hear(letter);
        self.commit(at);
    }

    /// A box sends a stretch of its journal, from where it should or from elsewhere; the answer may be lost.
    fn upload(&mut self, at: usize) {
        let epochs: Vec<u32> = self.sites[at].book.ends.keys().copied().collect();
        let late = epochs.iter().find(|epoch| self.cursor(at, **epoch) < self.sites[at].length(**epoch));
        let epoch = if self.dice.one_in(6) { self.dice.pick(&epochs) } else { *late.unwrap_or(&epochs[0]) };
        let due = self.cursor(at, epoch) + 1;
        let from = match self.dice.below(8) {
            0 => 1 + self.dice.place(self.sites[at].length(epoch).max(1)),
            1 => due + 1,
            2 => due.saturating_sub(3).max(1),
            _ => due,
        };
        let most = self.dice.pick(&[1, 3, 40]);
        self.send(at, epoch, from, most);
    }

    /// How many entries of an epoch the ledger has applied.
    fn cursor(&self, at: usize, epoch: u32) -> usize {
        self.heard.get(&(at, epoch)).map_or(0, Vec::len)
    }

    fn send(&mut self, at: usize, epoch: u32, from: usize, most: usize) {
        let entries = self.sites[at].entries(epoch, from, most);
        let body = json!({"epoch": epoch, "entries": entries});
        let (status, answer) = self.cloud.as_box(BOXES[at], "journal", &body);
        self.tell(format!("{} sends {} entries of epoch {epoch} from {from}: {answer}", BOXES[at], entries.len()));
        let before = self.cursor(at, epoch);
        match (status, answer["code"].as_str()) {
            (200, _) => {}
            (409, Some("gap")) => {
                assert!(from > before + 1, "{answer}");
                self.count("gap");
            }
            // The journal was rewound, and another history grows on it.
            (409, Some("fork")) => assert!(self.rewound.contains(&at), "{answer}"),
            _ => panic!("{status} {answer}"),
        }
        let cursor = usize::try_from(answer["cursor"]["seq"].as_u64().unwrap()).unwrap();
        let repeated = (from..from + entries.len()).filter(|seq| *seq <= before).count();
        *self.taken.entry("repeat").or_default() += repeated;
        if status == 200 {
            let last = (from + entries.len()).saturating_sub(1);
            let expected = if !entries.is_empty() && from <= before + 1 { before.max(last) } else { before };
            assert_eq!(cursor, expected, "what links and is next is applied");
            for seq in before + 1..=cursor {
                self.apply(at, epoch, seq);
            }
        } else {
            assert_eq!(cursor, before);
        }
        let held = self.sites[at].entries(epoch, cursor, 1);
        let is_ours = cursor > 0 && held.first().is_some_and(|entry| entry["head"] == answer["cursor"]["head"]);
        if status == 200 && is_ours && !self.dice.one_in(4) {
            self.sites[at].hear(CloudNews::Acknowledged { epoch, seq: cursor as u64 });
            self.commit(at);
        }
    }

    /// The model hears a real entry: all that it says about points, in order.
    fn apply(&mut self, at: usize, epoch: u32, seq: usize) {
        let end = self.sites[at].book.ends[&epoch][seq - 1];
        let heard = self.heard.entry((at, epoch)).or_default();
        let from = heard.last().copied().unwrap_or(0);
        heard.push(end);
        let (name, number) = (at as u8, model_epoch(epoch));
        for seq in from + 1..=end {
            if self.model.devices[at].epoch == number
                && let Some(after) = self.protocol.next(&self.model, Action::Sync { device: name, seq })
            {
                self.model = after;
            }
            let entry = self.sites[at].book.model[&epoch][usize::from(seq) - 1];
            let upload = Upload { name, epoch: number, seq, entry };
            assert!(self.model.network.contains(&Message::Upload(upload)), "{upload:?} was sent");
            self.must("apply", Action::Apply(upload));
            assert!(self.protocol.next(&self.model, Action::Apply(upload)).is_none(), "once");
        }
    }

    fn online(&mut self) {
        let member = self.dice.place(MEMBERS.len());
        let amount = self.dice.pick(&[1_i16, 50, 200]);
        self.sales += 1;
        let body = json!({"op": format!("online-{}", self.sales), "points": amount});
        let (status, answer) = self.cloud.office("POST", &format!("v1/members/{}/spends", MEMBERS[member]), &body);
        self.tell(format!("{} spends {amount} online: {answer}", MEMBERS[member]));
        let action = Action::Online { member: member as u8, amount };
        match status {
            200 => self.must("online", action),
            409 => assert!(self.protocol.next(&self.model, action).is_none(), "{answer}"),
            _ => panic!("{status} {answer}"),
        }
    }

    fn cut_the_power(&mut self, at: usize) {
        self.tell(format!("the power goes at {}", BOXES[at]));
        // What was decided and not committed never was.
        let plate = self.dice.pick(&PLATES);
        self.sites[at].come_to_exit(plate);
        self.sites[at].stop();
        self.sites[at].start();
        self.commit(at);
    }

    fn commit(&mut self, at: usize) {
        self.sites[at].commit();
        self.read(at);
    }

    /// What the journal has gained must be what the model allows.
    fn read(&mut self, at: usize) {
        let device = at as u8;
        for (epoch, moves) in self.sites[at].gained() {
            for what in moves {
                let Move::Begin(begun) = what else {
                    let (kind, action) = self.in_model(device, what);
                    self.must(kind, action);
                    continue;
                };
                if begun > 1 {
                    self.must("handshake", Action::Handshake { device });
                    assert_eq!(self.model.devices[at].epoch, model_epoch(begun), "no epoch is begun twice");
                }
            }
            let journal = self.model.devices[at].journal.clone();
            let book = &mut self.sites[at].book;
            book.ends.entry(epoch).or_default().push(u16::try_from(journal.len()).unwrap());
            book.model.insert(epoch, journal);
        }
    }

    fn in_model(&mut self, device: u8, what: Move) -> (&'static str, Action) {
        let (kind, part): (_, &Part) = match &what {
            Move::Begin(_) => unreachable!("the caller has seen to it"),
            Move::Accept(grant) => return ("accept", Action::Accept { device, grant: self.grants[grant.as_str()] }),
            Move::Earn(member, op, points) => {
                self.born.insert(op.clone(), whose(member.as_str()));
                let (member, amount) = (whose(member.as_str()), i16::try_from(*points).unwrap());
                return ("earn", Action::Earn { device, member, amount });
            }
            Move::Spend(part) => ("spend", part),
            Move::Hold(part) => ("hold", part),
            Move::Void(part) => ("void", part),
            Move::Post(part) => ("post", part),
            Move::Return(part) => ("return", part),
        };
        let (pocket, amount) = (self.pocket(&part.grant), i16::try_from(part.points.0).unwrap());
        let action = match kind {
            "spend" => Action::Spend { device, pocket, amount },
            "hold" => Action::Hold { device, pocket, amount },
            "void" => Action::Void { device, pocket, amount },
            "post" => Action::Post { device, pocket, amount },
            _ => Action::Return { device, pocket, amount },
        };
        (kind, action)
    }

    fn pocket(&self, grant: &GrantId) -> Pocket {
        match grant.as_str().strip_prefix("born:") {
            Some(op) => Pocket::Born(self.born[op]),
            None => Pocket::Grant(self.grants[grant.as_str()]),
        }
    }

    /// The model must allow the step; afterwards everything that must hold, holds.
    fn must(&mut self, kind: &'static str, action: Action) {
        let Some(after) = self.protocol.next(&self.model, action) else {
            panic!("the model does not allow {action:?} in {:#?}", self.model)
        };
        self.model = after;
        self.count(kind);
        let (protocol, model) = (&self.protocol, &self.model);
        assert!(properties::no_overspend(protocol, model), "P1 after {action:?}");
        assert!(properties::cover(protocol, model), "P2 after {action:?}");
        assert!(properties::not_negative(protocol, model), "P3 after {action:?}");
        assert!(properties::applicable(protocol, model), "P4 after {action:?}");
        assert!(!model.truth.has_underflowed, "P5 after {action:?}");
    }

    fn count(&mut self, kind: &'static str) {
        *self.taken.entry(kind).or_default() += 1;
    }

    fn tell(&mut self, what: String) {
        self.told.push(what);
    }
}

impl Drop for World {
    #[allow(clippy::print_stderr, reason = "a failed walk is told")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            let from = self.told.len().saturating_sub(40);
            eprintln!("the walk of GATEPOST_WALK={}, its end:\n{}", self.seed, self.told[from..].join("\n"));
        }
    }
}

/// The answer to a request for points, as the box's own client reads it: a grant for each lot that it was cut from.
fn granted(member: &str, answer: &Value) -> CloudNews {
    let given = |grant: &Value| Given {
        grant: GrantId::from(grant["grant"].as_str().unwrap()),
        points: Points(grant["points"].as_i64().unwrap()),
        lot: serde_json::from_value(grant["lot"].clone()).unwrap(),
    };
    CloudNews::Granted {
        request: OpId(answer["request"].as_str().unwrap().to_owned()),
        member: member.into(),
        epoch: u32::try_from(answer["epoch"].as_u64().unwrap()).unwrap(),
        grants: answer["grants"].as_array().unwrap().iter().map(given).collect(),
    }
}

/// The boxes count epochs from 1, the model from 0.
fn model_epoch(epoch: u32) -> u8 {
    u8::try_from(epoch - 1).unwrap()
}

fn whose(member: &str) -> u8 {
    u8::try_from(MEMBERS.iter().position(|known| *known == member).unwrap()).unwrap()
}

/// A folder in memory where there is one: these walks cut the power by forgetting, not by pulling a plug.
fn memory() -> PathBuf {
    let shared = PathBuf::from("/dev/shm");
    if shared.is_dir() { shared } else { std::env::temp_dir() }
}

/// Real boxes have no small bounds; the model takes them as they come.
fn beyond_reach() -> Bounds {
    Bounds {
        boxes: BOXES.len() as u8,
        balances: BALANCES.to_vec(),
        grants: 250,
        journal: 10_000,
        faults: 250,
        fences: 250,
        earns: 10_000,
        reversals: 10_000,
        has_holds: true,
        has_leases: true,
        writes_in_doubt: true,
    }
}
