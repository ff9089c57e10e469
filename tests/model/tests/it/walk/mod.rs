//! Real boxes and the real ledger on random walks, each step of which the model must allow: partitions, lost and late
//! answers, repeats, power cuts, fences and old copies put back. At the end everything heals, and all grants settle.

mod cloud;
mod dice;
mod site;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use gatepost::domain::event::{CloudNews, GrantId, OpId, Points, VehicleSign};
use gatepost::domain::points::Part;
use grants_model::properties;
use grants_model::protocol::{Action, Bounds, Protocol, Release, right};
use grants_model::state::{Message, Pocket, State};
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
const KINDS: [&str; 16] = [
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
    /// Every answer about grants that was ever given: each may still come, and come again.
    letters: Vec<(usize, CloudNews)>,
    /// How many entries of each box the ledger has applied.
    cursors: Vec<usize>,
    fenced: BTreeSet<usize>,
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
            letters: Vec::new(),
            cursors: vec![0; BOXES.len()],
            fenced: BTreeSet::new(),
            sales: 0,
            taken: BTreeMap::new(),
            told: Vec::new(),
        };
        for at in 0..BOXES.len() {
            world.read(at);
            world.greet(at);
        }
        world
    }

    fn something(&mut self) {
        let at = self.dice.below(BOXES.len());
        let minutes = self.dice.pick(&[0, 0, 1, 20, 40, 90]);
        self.sites[at].pass_time(minutes);
        match self.dice.below(100) {
            0..=17 => self.drive(at),
            18..=35 => self.leave(at),
            36..=47 => self.sell(at),
            48..=63 => self.ask(at),
            64..=67 => self.late_letter(),
            68..=87 => self.upload(at),
            88..=91 => self.online(),
            92 => self.fence(at),
            93..=94 => self.back_up(at),
            95..=98 => self.restore(at),
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
        let wanted = &wanted[self.dice.below(wanted.len())];
        let body = json!({"request": wanted.request, "epoch": 1, "member": wanted.member, "points": wanted.points});
        let (status, answer) = self.cloud.as_box(BOXES[at], "grants", &body);
        if self.fenced.contains(&at) {
            assert_eq!((status, &answer["code"]), (409, &json!("wrong-epoch")), "{answer}");
            return;
        }
        assert_eq!(status, 200, "{answer}");
        self.tell(format!("{} asks for {} of {}: {answer}", BOXES[at], wanted.points, wanted.member));
        let member = whose(&wanted.member);
        if self.asked.insert(format!("{}/{}", BOXES[at], wanted.request)) {
            let available = i64::from(self.model.ledger.available(member));
            assert_eq!(answer["points"], json!(available.min(wanted.points)), "{answer}");
            if let Some(grant) = answer["grant"].as_str() {
                let number = u8::try_from(self.model.ledger.grants.len()).unwrap();
                self.grants.insert(grant.to_owned(), number);
                let amount = i16::try_from(answer["points"].as_i64().unwrap()).unwrap();
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
        let length = self.sites[at].book.seq;
        let due = self.cursors[at] + 1;
        let from = match self.dice.below(8) {
            0 => 1 + self.dice.below(length),
            1 => due + 1,
            2 => due.saturating_sub(3).max(1),
            _ => due,
        };
        let most = self.dice.pick(&[1, 3, 40]);
        self.send(at, from, most);
    }

    fn send(&mut self, at: usize, from: usize, most: usize) {
        let entries = self.sites[at].entries(from, most);
        let (status, answer) = self.cloud.as_box(BOXES[at], "journal", &json!({"epoch": 1, "entries": entries}));
        self.tell(format!("{} sends {} entries from {from}: {answer}", BOXES[at], entries.len()));
        let before = self.cursors[at];
        match (status, answer["code"].as_str()) {
            (200, _) => {}
            (409, Some("gap")) => {
                assert!(from > before + 1, "{answer}");
                self.count("gap");
            }
            // The journal was rewound, and another history grows on it.
            (409, Some("fork")) => assert!(self.sites[at].is_quarantined(), "{answer}"),
            _ => panic!("{status} {answer}"),
        }
        let cursor = usize::try_from(answer["cursor"]["seq"].as_u64().unwrap()).unwrap();
        let sent = from..from + entries.len();
        let repeated = sent.clone().filter(|seq| *seq <= before).count();
        self.taken.entry("repeat").and_modify(|n| *n += repeated).or_insert(repeated);
        if status == 200 {
            let expected = if sent.start <= before + 1 { before.max(sent.end - 1) } else { before };
            assert_eq!(cursor, expected, "what links and is next is applied");
            for seq in before + 1..=cursor {
                self.apply(at, seq);
            }
        } else {
            assert_eq!(cursor, before);
        }
        self.cursors[at] = cursor;
        if status == 200 && !self.dice.one_in(4) {
            let length = self.sites[at].book.seq;
            // A box that was rewound learns of it by the greeting.
            if cursor <= length {
                self.sites[at].hear(CloudNews::Acknowledged { seq: cursor as u64 });
                self.commit(at);
            }
        }
    }

    /// The model hears a real entry: all that it says about points, in order.
    fn apply(&mut self, at: usize, seq: usize) {
        let ends = &self.sites[at].book.ends;
        let from = if seq == 1 { 0 } else { ends[seq - 2] };
        let device = at as u8;
        for seq in from + 1..=ends[seq - 1] {
            let sync = self.protocol.next(&self.model, Action::Sync { device, seq });
            if let Some(after) = sync {
                self.model = after;
            }
            let here = &self.model.devices[at];
            let (name, epoch, entry) = (here.name, here.epoch, here.journal[usize::from(seq) - 1]);
            let upload = grants_model::state::Upload { name, epoch, seq, entry };
            assert!(self.model.network.contains(&Message::Upload(upload)), "it was sent");
            self.must("apply", Action::Apply(upload));
            assert!(self.protocol.next(&self.model, Action::Apply(upload)).is_none(), "once");
        }
    }

    fn online(&mut self) {
        let member = self.dice.below(MEMBERS.len());
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

    /// People declare a box lost; the box hears of it when it greets the ledger.
    fn fence(&mut self, at: usize) {
        if !self.fenced.insert(at) {
            return;
        }
        self.tell(format!("{} is declared lost", BOXES[at]));
        self.cloud.office_ok("POST", &format!("v1/boxes/{}/fence", BOXES[at]), &json!({"epoch": 1}));
        self.must("declare", Action::Declare { name: at as u8 });
    }

    fn back_up(&mut self, at: usize) {
        if self.sites[at].copy.is_none() {
            self.tell(format!("{} is copied", BOXES[at]));
            self.sites[at].back_up();
            self.must("backup", Action::Backup { device: at as u8 });
        }
    }

    /// An old copy is put back. The ledger has heard more, and says so at the greeting.
    fn restore(&mut self, at: usize) {
        let Some(copy) = &self.sites[at].copy else { return };
        if copy.seq >= self.cursors[at] || self.sites[at].is_quarantined() {
            return;
        }
        let differs = self.model.devices[at].length() > copy.ends.last().copied().unwrap_or(0);
        if !differs {
            return;
        }
        self.tell(format!("{} is put back to its copy", BOXES[at]));
        self.sites[at].restore();
        self.must("restore", Action::Restore { device: at as u8 });
        self.read(at);
        self.greet(at);
        assert!(self.sites[at].is_quarantined(), "a rewound box is in doubt");
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

    fn greet(&mut self, at: usize) {
        let (status, answer) = self.cloud.as_box(BOXES[at], "hello", &self.sites[at].hello());
        assert_eq!(status, 200, "{answer}");
        self.tell(format!("{} greets: {answer}", BOXES[at]));
        let verdict = answer["verdict"].as_str().unwrap();
        if verdict != "ok" {
            self.sites[at].hear(CloudNews::Doubted { reason: verdict.to_owned() });
            self.commit(at);
        }
    }

    fn commit(&mut self, at: usize) {
        self.sites[at].commit();
        self.read(at);
    }

    /// What the journal has gained must be what the model allows.
    fn read(&mut self, at: usize) {
        let device = at as u8;
        for moves in self.sites[at].gained() {
            for action in moves {
                let (kind, action) = self.in_model(device, action);
                self.must(kind, action);
            }
            let length = self.model.devices[at].length();
            self.sites[at].book.ends.push(length);
        }
    }

    fn in_model(&self, device: u8, what: Move) -> (&'static str, Action) {
        let pocket = |part: &Part| (self.pocket(&part.grant), i16::try_from(part.points.0).unwrap());
        let (kind, part) = match &what {
            Move::Accept(grant) => return ("accept", Action::Accept { device, grant: self.grants[grant.as_str()] }),
            Move::Earn(member, points) => {
                let (member, amount) = (whose(member.as_str()), i16::try_from(*points).unwrap());
                return ("earn", Action::Earn { device, member, amount });
            }
            Move::Spend(part) => ("spend", part),
            Move::Hold(part) => ("hold", part),
            Move::Void(part) => ("void", part),
            Move::Post(part) => ("post", part),
            Move::Return(part) => ("return", part),
        };
        let (pocket, amount) = pocket(part);
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
            Some(member) => Pocket::Born(whose(member)),
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

    /// The real sums are the model's.
    fn compare(&mut self) {
        for (number, member) in (0..).zip(MEMBERS) {
            let view = self.cloud.office_ok("GET", &format!("v1/members/{member}"), &Value::Null);
            let account = &self.model.ledger.accounts[usize::from(number)];
            let escrow = self.model.ledger.escrow(number);
            let ours = json!([account.credited, account.debited, escrow, self.model.ledger.available(number)]);
            let theirs = json!([view["credited"], view["debited"], view["outstanding"], view["available"]]);
            assert_eq!(ours, theirs, "{member}: credited, debited, outstanding, available");
        }
        for (at, site) in self.sites.iter().enumerate() {
            let device = &self.model.devices[at];
            for (grant, remaining) in site.purses() {
                let pocket = self.pocket(&GrantId(grant.clone()));
                assert_eq!(i64::from(device.remaining(pocket)), remaining, "{grant} at {}", BOXES[at]);
            }
            assert!(site.is_quarantined() || !device.is_quarantined(), "{} is in doubt", BOXES[at]);
            let heard = self.model.ledger.cursor(device.name, device.epoch);
            if !device.is_quarantined() {
                let ends = self.cursors[at].checked_sub(1).map_or(0, |last| site.book.ends[last]);
                assert_eq!(heard, ends, "{}: what was applied", BOXES[at]);
            }
        }
    }

    /// The lines are back, every vehicle drives home, every answer comes: nothing is left open at any box that was
    /// neither fenced nor rewound.
    fn heal(&mut self) {
        for at in 0..BOXES.len() {
            while !self.sites[at].wanted().is_empty() && !self.fenced.contains(&at) {
                self.ask(at);
            }
            for lane in ["in", "out"] {
                self.sites[at].guard_raises(lane);
                let lane = gatepost::domain::event::LaneId::from(lane);
                let sign = VehicleSign::Passed;
                self.sites[at].step(gatepost::domain::event::Input::VehicleSeen { lane, sign });
                self.commit(at);
            }
            for plate in self.sites[at].inside() {
                self.sites[at].pass_time(1);
                self.sites[at].come_to_exit(&plate);
                self.commit(at);
                self.sites[at].guard_raises("out");
                self.sites[at].at_exit(VehicleSign::Passed);
                self.commit(at);
            }
            while !self.sites[at].wanted().is_empty() && !self.fenced.contains(&at) {
                self.ask(at);
            }
            assert!(self.sites[at].inside().is_empty(), "{:?}", self.sites[at].inside());
            self.settle(at);
        }
        self.compare();
        let report = self.cloud.office_ok("GET", "v1/verify", &Value::Null);
        assert_eq!(report["faults"], json!([]), "{report}");
        for at in 0..BOXES.len() {
            assert_eq!(self.sites[at].prove(), Vec::<String>::new());
        }
    }

    /// Everything is sent; every entry was applied once, and no points are left at the box.
    fn settle(&mut self, at: usize) {
        if self.model.devices[at].is_quarantined() {
            return;
        }
        let length = self.sites[at].book.seq;
        self.send(at, self.cursors[at] + 1, 500);
        let view = self.cloud.office_ok("GET", &format!("v1/boxes/{}", BOXES[at]), &Value::Null);
        assert_eq!(view["entries"], json!(length), "{}: each entry once", BOXES[at]);
        if !self.sites[at].is_quarantined() && !self.fenced.contains(&at) {
            let mine = self.model.ledger.grants.iter().filter(|grant| usize::from(grant.name) == at);
            let open: i16 = mine.map(|grant| grant.pot.outstanding).sum();
            assert_eq!(open, 0, "{}: all grants have settled", BOXES[at]);
        }
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

/// The answer to a request for points, as the box's own client reads it.
fn granted(member: &str, answer: &Value) -> CloudNews {
    CloudNews::Granted {
        request: OpId(answer["request"].as_str().unwrap().to_owned()),
        grant: answer["grant"].as_str().map(GrantId::from),
        member: member.into(),
        epoch: u32::try_from(answer["epoch"].as_u64().unwrap()).unwrap(),
        points: Points(answer["points"].as_i64().unwrap()),
    }
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
