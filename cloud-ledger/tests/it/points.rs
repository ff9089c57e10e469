//! Points add up, whatever boxes, members and the network do: random histories against a model that only counts.

use std::collections::{BTreeMap, BTreeSet};

use cloud_ledger::grants::GRANTS_MAX;
use cloud_ledger::ledger::{Grant, GrantAsk, Hello, Upload};
use cloud_ledger::members::Profile;
use cloud_ledger::points::{Credit, Spend};
use cloud_ledger::{Ledger, Refusal, Settings};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use crate::host::{Journal, On, database, ledger};
use crate::wire::{earned, moved};

const BOXES: [&str; 2] = ["demo-1", "demo-2"];
const MEMBERS: [&str; 2] = ["M1", "M2"];

/// What may happen next. Boxes and members are counted from 0; a `pick` chooses from what there is.
#[derive(Clone, Debug)]
enum Step {
    Credit { member: usize, points: i64 },
    Online { member: usize, points: i64 },
    Grant { at: usize, member: usize, points: i64, answer_is_lost: bool },
    AskAgain { pick: usize },
    Spend { at: usize, pick: usize, points: i64 },
    Earn { at: usize, member: usize, points: i64 },
    Return { at: usize, pick: usize },
    Upload { at: usize, from: usize, length: usize },
    UploadShuffled { at: usize, from: usize, length: usize },
}

/// A new database costs PostgreSQL more than a new file costs SQLite.
const CASES: [(On, u32); 2] = [(On::Sqlite, 64), (On::Postgres, 12)];

#[test]
fn points_are_never_given_twice() {
    for (engine, cases) in CASES {
        check(cases, prop::collection::vec(step(), 1..60), |steps| {
            let mut world = World::new(engine);
            for step in steps {
                world.take(&step);
                world.compare();
            }
            world.upload_the_rest();
            world.compare();
            let report = world.ledger.verify().unwrap();
            prop_assert!(report.ok, "{:?}", report.faults);
            for name in BOXES {
                prop_assert_eq!(world.ledger.box_view(name).unwrap().alarms, vec![]);
            }
            Ok(())
        });
    }
}

#[test]
fn a_lying_box_harms_no_member() {
    for (engine, cases) in CASES {
        let entries = prop::collection::vec(prop::collection::vec(lie(), 0..4), 1..25);
        let cuts = prop::collection::vec(1..6_usize, 1..25);
        check(cases, (entries, cuts), |(entries, cuts)| lie_to(engine, &entries, &cuts));
    }
}

fn lie_to(engine: On, entries: &[Vec<Value>], cuts: &[usize]) -> Result<(), TestCaseError> {
    let world = World::new(engine);
    for (at, name) in BOXES.iter().enumerate() {
        for (number, member) in MEMBERS.iter().enumerate() {
            let credit = Credit { op: format!("{name}-{number}"), points: 40, reason: String::new(), lot: None };
            world.ledger.credit(member, &credit, 0).unwrap();
            world.ledger.grant(name, &ask(&format!("{at}-{number}"), member, 30), GRANTS_MAX, 0).unwrap();
        }
    }
    let mut journal = Journal::new(BOXES[0], 1);
    entries.iter().for_each(|records| journal.add(json!(records)));
    let mut from = 1;
    for cut in cuts.iter().chain(&[journal.length()]) {
        let to = (from + cut - 1).min(journal.length());
        if from <= to {
            let cursor = world.ledger.upload(BOXES[0], &upload(journal.upload(from, to)), 0).unwrap();
            prop_assert_eq!(json!(cursor), journal.cursor(to), "a fact never stops the cursor");
            from = to + 1;
        }
    }
    let report = world.ledger.verify().unwrap();
    for fault in &report.faults {
        let is_excess =
            ["spent", "returned", "reversed"].iter().any(|word| fault.contains(&format!("were {word} beyond")));
        prop_assert!(is_excess, "{}", fault);
    }
    for member in MEMBERS {
        let sums = world.ledger.member(member).unwrap();
        prop_assert!(sums.available >= 0 && sums.outstanding >= 30, "{:?}: the other box keeps its 30", sums);
        prop_assert_eq!(sums.credited, sums.debited + sums.outstanding + sums.available);
    }
    Ok(())
}

fn check<S: Strategy>(cases: u32, strategy: S, property: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let config = ProptestConfig { source_file: Some(file!()), ..ProptestConfig::with_cases(cases) };
    if let Err(found) = TestRunner::new(config).run(&strategy, property) {
        panic!("{found}");
    }
}

fn step() -> impl Strategy<Value = Step> {
    let (at, member, pick, points) = (0..2_usize, 0..2_usize, 0..8_usize, 1..60_i64);
    let (from, length) = (1..30_usize, 0..12_usize);
    prop_oneof![
        1 => (member.clone(), points.clone()).prop_map(|(member, points)| Step::Credit { member, points }),
        2 => (member.clone(), points.clone()).prop_map(|(member, points)| Step::Online { member, points }),
        4 => (at.clone(), member.clone(), points.clone(), prop::bool::weighted(0.3)).prop_map(
            |(at, member, points, answer_is_lost)| Step::Grant { at, member, points, answer_is_lost }),
        2 => pick.clone().prop_map(|pick| Step::AskAgain { pick }),
        4 => (at.clone(), pick.clone(), points.clone()).prop_map(|(at, pick, points)| Step::Spend { at, pick, points }),
        2 => (at.clone(), member, points).prop_map(|(at, member, points)| Step::Earn { at, member, points }),
        2 => (at.clone(), pick).prop_map(|(at, pick)| Step::Return { at, pick }),
        5 => (at.clone(), from.clone(), length.clone()).prop_map(|(at, from, length)| Step::Upload { at, from, length }),
        1 => (at, from, length).prop_map(|(at, from, length)| Step::UploadShuffled { at, from, length }),
    ]
}

/// A record of a box that says what it likes, with ids that collide.
fn lie() -> impl Strategy<Value = Value> {
    let grants = prop::sample::select(vec!["G-1", "G-2", "G-3", "G-4", "G-99", "born:M1", "born:M2"]);
    let member = prop::sample::select(vec!["M1", "M2", "M9"]);
    let op = (0..12_u32).prop_map(|number| format!("op-{number}"));
    let points = 0..50_i64;
    let parts = prop::collection::vec((grants.clone(), points.clone()), 0..4);
    let kind = prop::sample::select(vec!["points_spent", "points_returned"]);
    prop_oneof![
        4 => (kind, op.clone(), member.clone(), parts, any::<bool>()).prop_map(|(kind, op, member, parts, honest)| {
            let mut record = moved(kind, &op, member, &parts);
            if !honest {
                record["points"] = json!(7);
            }
            record
        }),
        1 => (op, member.clone(), points.clone()).prop_map(|(op, member, points)| earned(&op, member, points)),
        1 => (grants, member, points).prop_map(|(grant, member, points)| {
            json!({"kind": "grant_accepted", "grant": grant, "member": member, "points": points})
        }),
    ]
}

/// What the model remembers of a record of a box.
#[derive(Clone)]
enum Said {
    Accepted,
    Spent { member: usize, points: i64 },
    Returned { member: usize, points: i64 },
    Earned { member: usize, points: i64 },
}

/// A box as it is: its journal, and what it may still spend by grant.
struct Site {
    journal: Journal,
    said: Vec<Said>,
    purse: BTreeMap<String, (usize, i64)>,
    accepted: BTreeSet<String>,
    applied: usize,
}

/// The ledger and, beside it, everything that ever happened, kept as lists and added up anew at every look.
struct World {
    ledger: Ledger,
    sites: Vec<Site>,
    asked: Vec<(usize, usize, GrantAsk)>,
    grants: BTreeMap<String, (usize, i64)>,
    credits: Vec<(usize, i64)>,
    online: Vec<(usize, i64)>,
    _place: tempfile::TempDir,
}

impl World {
    fn new(engine: On) -> Self {
        let place = tempfile::tempdir().unwrap();
        let ledger = ledger(&database(engine, place.path()), Settings::default());
        for member in MEMBERS {
            let (plates, codes) = (Vec::new(), Vec::new());
            let profile = Profile {
                handle: String::new(),
                tier: String::new(),
                consent_plates: false,
                plates,
                codes,
                home: None,
                privileges: Default::default(),
            };
            ledger.put_member(member, &profile).unwrap();
        }
        let site = |name: &&str| {
            let journal = Journal::new(name, 1);
            let hello: Hello = serde_json::from_value(journal.hello()).unwrap();
            ledger.hello(name, &hello, 0).unwrap();
            Site { journal, said: Vec::new(), purse: BTreeMap::new(), accepted: BTreeSet::new(), applied: 0 }
        };
        let sites = BOXES.iter().map(site).collect();
        let (asked, grants, credits, online) = (Vec::new(), BTreeMap::new(), Vec::new(), Vec::new());
        Self { ledger, sites, asked, grants, credits, online, _place: place }
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Credit { member, points } => {
                let op = format!("credit-{}", self.credits.len());
                self.ledger
                    .credit(MEMBERS[member], &Credit { op, points, reason: String::new(), lot: None }, 0)
                    .unwrap();
                self.credits.push((member, points));
            }
            Step::Online { member, points } => self.spend_online(member, points),
            Step::Grant { at, member, points, answer_is_lost } => {
                let ask = ask(&format!("r-{}", self.asked.len()), MEMBERS[member], points);
                self.asked.push((at, member, ask.clone()));
                let expected = self.available(member).min(points);
                let grant = self.ledger.grant(BOXES[at], &ask, GRANTS_MAX, 0).unwrap();
                assert_eq!(grant.points, expected);
                for given in &grant.grants {
                    self.grants.insert(given.grant.clone(), (member, given.points));
                }
                if !answer_is_lost {
                    self.accept(at, member, grant);
                }
            }
            Step::AskAgain { pick } => {
                if let Some((at, member, ask)) = self.asked.get(pick).cloned() {
                    let grant = self.ledger.grant(BOXES[at], &ask, GRANTS_MAX, 0).unwrap();
                    self.accept(at, member, grant);
                }
            }
            Step::Spend { at, pick, points } => self.take_out(at, pick, Some(points)),
            Step::Return { at, pick } => self.take_out(at, pick, None),
            Step::Earn { at, member, points } => {
                let site = &mut self.sites[at];
                let op = format!("{}/{}", BOXES[at], site.said.len());
                site.write(earned(&op, MEMBERS[member], points), Said::Earned { member, points });
                // A box of the first kind has one pocket for each member, the next kind one for each earning.
                let pocket = if at == 0 { MEMBERS[member] } else { &op };
                site.purse.entry(format!("born:{pocket}")).or_insert((member, 0)).1 += points;
            }
            Step::Upload { at, from, length } => self.upload(at, from, length),
            Step::UploadShuffled { at, from, length } => {
                let to = (from + length).min(self.sites[at].journal.length());
                if from < to {
                    let mut shuffled = upload(self.sites[at].journal.upload(from, to));
                    shuffled.entries.reverse();
                    let refused = self.ledger.upload(BOXES[at], &shuffled, 0);
                    assert!(matches!(refused, Err(Refusal::BadRequest(_))), "{refused:?}");
                }
            }
        }
    }

    fn spend_online(&mut self, member: usize, points: i64) {
        let spend = Spend { op: format!("online-{}", self.online.len()), points };
        let outcome = self.ledger.spend(MEMBERS[member], &spend, 0);
        if points <= self.available(member) {
            outcome.unwrap();
            self.online.push((member, points));
        } else {
            assert!(matches!(outcome, Err(Refusal::InsufficientPoints { .. })), "{outcome:?}");
        }
    }

    /// A box takes grants into its purse, each once.
    fn accept(&mut self, at: usize, member: usize, grant: Grant) {
        let site = &mut self.sites[at];
        for given in grant.grants {
            if site.accepted.insert(given.grant.clone()) {
                let record = json!({
                    "kind": "grant_accepted", "grant": given.grant, "member": MEMBERS[member], "points": given.points});
                site.write(record, Said::Accepted);
                site.purse.insert(given.grant, (member, given.points));
            }
        }
    }

    /// A box spends up to `points` from one of its grants, or returns all that is left of it.
    fn take_out(&mut self, at: usize, pick: usize, points: Option<i64>) {
        let site = &mut self.sites[at];
        let Some((grant, (member, left))) = site.purse.iter().nth(pick).map(|(grant, held)| (grant.clone(), *held))
        else {
            return;
        };
        let (kind, points) = match points {
            Some(points) => ("points_spent", points.min(left)),
            None => ("points_returned", left),
        };
        if points == 0 {
            return;
        }
        let op = format!("{}/{}", BOXES[at], site.said.len());
        site.purse.get_mut(&grant).unwrap().1 -= points;
        let said =
            if kind == "points_spent" { Said::Spent { member, points } } else { Said::Returned { member, points } };
        site.write(moved(kind, &op, MEMBERS[member], &[(&grant, points)]), said);
    }

    fn upload(&mut self, at: usize, from: usize, length: usize) {
        let site = &mut self.sites[at];
        let to = (from + length).min(site.journal.length());
        if from > to {
            return;
        }
        let outcome = self.ledger.upload(BOXES[at], &upload(site.journal.upload(from, to)), 0);
        if from > site.applied + 1 {
            assert!(matches!(outcome, Err(Refusal::Gap { .. })), "{outcome:?}");
            return;
        }
        site.applied = site.applied.max(to);
        assert_eq!(json!(outcome.unwrap()), site.journal.cursor(site.applied));
    }

    fn upload_the_rest(&mut self) {
        for at in 0..BOXES.len() {
            let (from, length) = (self.sites[at].applied + 1, self.sites[at].journal.length());
            self.upload(at, from, length);
        }
    }

    /// The ledger's sums are the model's, and nobody got goods for points that never were.
    fn compare(&self) {
        for (member, name) in MEMBERS.iter().enumerate() {
            let view = self.ledger.member(name).unwrap();
            assert_eq!(view.available, self.available(member), "{name}");
            assert_eq!(view.credited, view.debited + view.outstanding + view.available, "{name}");
            assert!(view.available >= 0, "{name}");
            let all = || self.sites.iter().flat_map(|site| &site.said);
            let goods = self.online(member) + all().map(|said| said.spent(member)).sum::<i64>();
            let given = self.credited(member) + all().map(|said| said.earned(member)).sum::<i64>();
            assert!(goods <= given, "{name}: {goods} points of goods for {given} points");
        }
    }

    fn available(&self, member: usize) -> i64 {
        let applied = || self.sites.iter().flat_map(|site| &site.said[..site.applied]);
        let granted: i64 = self.grants.values().filter(|grant| grant.0 == member).map(|grant| grant.1).sum();
        let given_back: i64 = applied().map(|said| said.returned(member)).sum();
        // What is earned is credited and reserved at once, and what is spent leaves what is reserved: both cancel out.
        self.credited(member) - self.online(member) - granted + given_back
    }

    fn credited(&self, member: usize) -> i64 {
        self.credits.iter().filter(|credit| credit.0 == member).map(|credit| credit.1).sum()
    }

    fn online(&self, member: usize) -> i64 {
        self.online.iter().filter(|spend| spend.0 == member).map(|spend| spend.1).sum()
    }
}

impl Site {
    fn write(&mut self, record: Value, said: Said) {
        self.journal.add(json!([record]));
        self.said.push(said);
    }
}

impl Said {
    fn spent(&self, whose: usize) -> i64 {
        match self {
            Said::Spent { member, points } if *member == whose => *points,
            Said::Spent { .. } | Said::Accepted | Said::Returned { .. } | Said::Earned { .. } => 0,
        }
    }

    fn returned(&self, whose: usize) -> i64 {
        match self {
            Said::Returned { member, points } if *member == whose => *points,
            Said::Returned { .. } | Said::Accepted | Said::Spent { .. } | Said::Earned { .. } => 0,
        }
    }

    fn earned(&self, whose: usize) -> i64 {
        match self {
            Said::Earned { member, points } if *member == whose => *points,
            Said::Earned { .. } | Said::Accepted | Said::Spent { .. } | Said::Returned { .. } => 0,
        }
    }
}

fn ask(request: &str, member: &str, points: i64) -> GrantAsk {
    GrantAsk { request: request.into(), epoch: 1, member: member.into(), points, standing: false }
}

fn upload(body: Value) -> Upload {
    serde_json::from_value(body).unwrap()
}
