//! A naive account of what a journal says, kept beside the product's own tables: it shares no code with them.

mod tills;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use gatepost::domain::event::{
    BusinessDay, CloudNews, CommandId, Fen, GrantId, Input, LaneId, MemberId, OpId, Points, RaiseCause, Record, StayId,
    UtcMs,
};
use gatepost::domain::lane::{Direction, Lane, Lanes, Phase};
use gatepost::domain::points::Part;
use gatepost::domain::rules::Rules;
use gatepost::domain::stay::{Reread, Stay, StayState};
use gatepost::domain::tariff;
use gatepost::store::journal::Entry;
use rusqlite::Connection;

#[derive(Default)]
pub struct Model {
    pub seq: u64,
    pub commanded: BTreeSet<CommandId>,
    pub stays: BTreeMap<StayId, Visit>,
    pub grants: BTreeMap<GrantId, Pocket>,
    lanes: BTreeMap<LaneId, Lane>,
    requests: BTreeMap<OpId, (MemberId, i64)>,
    answered: BTreeSet<OpId>,
    holds: BTreeMap<OpId, (StayId, Vec<Part>)>,
    ops: BTreeSet<OpId>,
    quarantined: bool,
    /// In doubt, and not only because the epoch has ended.
    rewound: bool,
    has_lapsed: bool,
    pub epoch: u32,
    granted: BTreeSet<OpId>,
    debts: BTreeMap<OpId, (String, i64)>,
    pub spends: BTreeMap<OpId, Spend>,
    /// What points have paid, less what was undone, and what the legs say of it.
    paid_by_points: (i64, i64),
    /// Business days with something in them, of which none is closed yet.
    pub days: BTreeSet<BusinessDay>,
    closed_day: Option<BusinessDay>,
    /// What the tills did.
    pub tills: tills::Tills,
    /// How often each kind of record came.
    pub kinds: BTreeMap<String, u32>,
    db: Option<Connection>,
}

pub struct Visit {
    stay: Stay,
    exit: Option<UtcMs>,
    fee: i64,
    by_points: i64,
    waived: i64,
    owed: i64,
}

/// What is left of a spend, and whether it counts as a payment of its stay.
pub struct Spend {
    fen: i64,
    parts: Vec<Part>,
    is_payment: bool,
}

pub struct Pocket {
    member: MemberId,
    granted: i64,
    remaining: i64,
    held: i64,
    spent: i64,
    returned: i64,
    epoch: u32,
}

impl Model {
    /// Takes in what the journal has gained, and checks everything that must hold between two commits.
    pub fn read(&mut self, path: &Path, lanes: &Lanes) {
        let db = self.db.take().unwrap_or_else(|| Connection::open(path).unwrap());
        let mut statement =
            db.prepare_cached("SELECT entry, body FROM journal WHERE entry > ?1 ORDER BY entry").unwrap();
        let rows = statement.query_map([self.seq], |row| Ok((row.get::<_, u64>(0)?, row.get::<_, Vec<u8>>(1)?)));
        for row in rows.unwrap() {
            let (seq, body) = row.unwrap();
            assert!(body.len() < 64 << 10, "entry {seq} has {} bytes", body.len());
            self.seq = seq;
            let entry: Entry = serde_json::from_slice(&body).unwrap();
            entry.records.iter().for_each(|record| self.take(&entry.input, record));
        }
        drop(statement);
        self.db = Some(db);
        self.check(lanes);
    }

    pub fn phase(&self, lane: &LaneId) -> &'static str {
        match self.lanes.get(lane).map(|lane| &lane.phase) {
            None | Some(Phase::Idle) => "idle",
            Some(Phase::Waiting(_)) => "waiting",
            Some(Phase::Raised(_)) => "raised",
        }
    }

    pub fn plates_inside(&self) -> BTreeSet<String> {
        self.inside().filter_map(|visit| visit.stay.plate.as_ref().map(ToString::to_string)).collect()
    }

    /// What the vehicle that waits in a lane owes.
    pub fn due_at(&self, lane: &LaneId) -> Option<Fen> {
        match &self.lanes.get(lane)?.phase {
            Phase::Waiting(waiting) => waiting.due,
            Phase::Idle | Phase::Raised(_) => None,
        }
    }

    /// What a till would take for a stay now.
    pub fn due_of(&self, stay: &StayId, utc: i64) -> Fen {
        let rules = Rules::parse(include_str!("../../systemd/rules.toml")).unwrap();
        let visit = &self.stays[stay];
        tariff::quote(&rules, &visit.stay, &[], visit.exit.unwrap_or(UtcMs(utc))).due
    }

    pub fn is_inside(&self, stay: &StayId) -> bool {
        match self.stays[stay].stay.state {
            StayState::PendingEntry | StayState::Open | StayState::PendingExit => true,
            StayState::Closed | StayState::Void => false,
        }
    }

    /// A request for a grant, answered or not, and mostly one of the newest.
    pub fn some_request(&self, dice: u64) -> Option<(OpId, (MemberId, i64))> {
        let n = dice.checked_rem(self.requests.len() as u64)?;
        if dice >> 62 > 0 {
            return self
                .requests
                .iter()
                .filter(|(op, _)| !self.answered.contains(*op))
                .last()
                .map(|(op, wanted)| (op.clone(), wanted.clone()));
        }
        self.requests.iter().nth(usize::try_from(n).unwrap()).map(|(op, wanted)| (op.clone(), wanted.clone()))
    }

    fn take(&mut self, input: &Input, record: &Record) {
        let kind = serde_json::to_value(record).unwrap()["kind"].as_str().unwrap().to_owned();
        *self.kinds.entry(kind).or_default() += 1;
        match record {
            Record::LaneMoved { lane, state } => {
                self.lanes.insert(lane.clone(), state.clone());
            }
            Record::StayOpened { stay } => {
                let visit = Visit { stay: stay.clone(), exit: None, fee: 0, by_points: 0, waived: 0, owed: 0 };
                let open: i64 = self.debts_of(&visit).map(|(_, open)| *open).sum();
                assert_eq!(stay.debts.0, open, "{} knows what its plate owes", stay.id);
                assert!(self.stays.insert(stay.id.clone(), visit).is_none(), "{} opens once", stay.id);
            }
            Record::StayEntered { stay, .. } => self.go(stay, &[StayState::PendingEntry], StayState::Open),
            Record::StayExiting { stay, at, fee, .. } => {
                let from = [StayState::PendingEntry, StayState::Open, StayState::PendingExit];
                self.go(stay, &from, StayState::PendingExit);
                let visit = self.stays.get_mut(stay).unwrap();
                (visit.exit, visit.fee) = (Some(*at), fee.total.0);
            }
            Record::StayReread(reread) => {
                let Reread { stay, plate, member, debts, .. } = &**reread;
                self.go(stay, &[StayState::PendingEntry], StayState::PendingEntry);
                let known = &mut self.stays.get_mut(stay).unwrap().stay;
                (known.plate, known.member, known.debts) = (Some(plate.clone()), member.clone(), *debts);
            }
            Record::StayMatched(_) | Record::ExperienceReset { .. } => {}
            Record::StayResumed { stay } => {
                self.go(stay, &[StayState::PendingExit], StayState::Open);
                self.stays.get_mut(stay).unwrap().exit = None;
            }
            Record::StayClosed { stay, waived, owed, .. } => {
                self.go(stay, &[StayState::PendingExit], StayState::Closed);
                let visit = self.stays.get_mut(stay).unwrap();
                (visit.waived, visit.owed) = (waived.0, owed.0);
            }
            Record::DebtBooked { debt, stay, plate, fen } => {
                self.once(debt);
                assert!(fen.0 > 0 && self.stays[stay].stay.plate.as_ref() == Some(plate), "{stay} owes {fen:?}");
                self.debts.insert(debt.clone(), (plate.to_string(), fen.0));
            }
            Record::DebtPaid { op, debt, fen, stay } => {
                self.once(op);
                assert!(self.stays[stay].stay.plate.is_some() && fen.0 > 0);
                let (_, open) = self.debts.get_mut(debt).expect("a known debt");
                *open -= fen.0;
                assert!(*open >= 0, "{debt} is paid once");
            }
            Record::EpochBegan { epoch, .. } => {
                assert!(*epoch > self.epoch.max(1), "epochs only rise");
                (self.epoch, self.quarantined, self.rewound) = (*epoch, false, false);
                self.answered.extend(self.requests.keys().cloned());
            }
            Record::LeaseLapsed { .. } => {
                assert!(!std::mem::replace(&mut self.has_lapsed, true), "said once");
            }
            Record::LeaseRenewed { .. } => {
                assert!(std::mem::replace(&mut self.has_lapsed, false), "said once");
            }
            Record::WitnessSeen { .. } => {}
            Record::TicketIssued { .. }
            | Record::ZoneEntered { .. }
            | Record::ZoneLeft { .. }
            | Record::CountTaken { .. }
            | Record::StayCorrected(_)
            | Record::LimitApproved(_)
            | Record::CampaignShareTaken(_)
            | Record::CouponTold(_)
            | Record::DayReported { .. } => panic!("random stories do not tell of {record:?}"),
            Record::StayVoided { stay, .. } => {
                let from = [StayState::PendingEntry, StayState::Open, StayState::PendingExit];
                self.go(stay, &from, StayState::Void);
            }
            Record::PaymentTaken { op, stay, fen, at, .. } => {
                self.once(op);
                assert!(fen.0 > 0);
                let visit = self.stays.get_mut(stay).unwrap();
                assert!(!matches!(visit.stay.state, StayState::Closed | StayState::Void), "{stay} is over");
                visit.stay.paid.0 += fen.0;
                visit.stay.paid_at = Some(*at);
            }
            Record::BarrierCommanded { command, cause, lane, .. } => {
                assert!(self.commanded.insert(command.clone()), "{command} is given once");
                let is_held = self.lanes.get(lane).is_some_and(|state| state.emergency.is_some());
                let is_reason = if *cause == RaiseCause::Emergency {
                    is_held || matches!(input, Input::LaneEmergency { active: true, .. })
                } else {
                    matches!(input, Input::PlateRead(_) | Input::Staff(_) | Input::LaneReconsidered { .. })
                };
                assert!(is_reason, "{input:?} is no reason to raise");
                assert!(!is_held || *cause == RaiseCause::Emergency, "an emergency outranks {input:?}");
            }
            Record::Quarantined { why, .. } => {
                assert!(!self.rewound, "a doubt is said once");
                self.quarantined = true;
                self.rewound = why.is_none_or(|why| !why.is_whole());
            }
            Record::GrantRequested { request, member, points, .. } => {
                self.once(request);
                assert!((1..=1_000_000_000).contains(&points.0), "{points:?} is what may be asked for");
                self.requests.insert(request.clone(), (member.clone(), points.0));
            }
            Record::StayMemberShown { stay, member } => {
                self.stays.get_mut(stay).unwrap().stay.member = Some(member.clone());
            }
            Record::GrantRefused { request } => {
                assert!(self.answered.insert(request.clone()), "{request} is answered once")
            }
            Record::HoldPlaced { .. }
            | Record::HoldVoided { .. }
            | Record::PointsSpent { .. }
            | Record::PointsEarned { .. }
            | Record::PointsReturned { .. }
            | Record::PointsReversed { .. }
            | Record::GrantAccepted { .. } => self.take_points(input, record),
            Record::TillBooked(_)
            | Record::TillHoldPlaced(_)
            | Record::TillHoldEnded { .. }
            | Record::PaymentVoided(_)
            | Record::PointsTakenBack(_)
            | Record::PointsOwed(_)
            | Record::ShiftOpened(_)
            | Record::ShiftClosed(_)
            | Record::TerminalChanged(_)
            | Record::MemberCodeUsed(_)
            | Record::OperationAnswered(_) => self.take_till(record),
            Record::DayPosted(posting) => self.take_posting(posting),
            Record::DayClosed(closed) => self.take_closed(closed),
            Record::Started { .. }
            | Record::BenefitsHeld { .. }
            | Record::ValidationGiven { .. }
            | Record::CouponShown { .. }
            | Record::CouponMoved(_)
            | Record::EmergencyChanged { .. }
            | Record::ReadTaken { .. }
            | Record::SaleCommitted { .. }
            | Record::BarrierAnswered { .. }
            | Record::BarrierMoved { .. }
            | Record::PassageSeen { .. }
            | Record::TailgateSeen { .. }
            | Record::OfficeNoted(_)
            | Record::AlarmRaised { .. }
            | Record::CardRead { .. }
            | Record::BarrierLowered(_)
            | Record::DeviceChanged(_)
            | Record::RulesActivated { .. } => {}
            Record::Fed { .. } | Record::Acknowledged { .. } | Record::LeaseSeen { .. } => {
                panic!("what the cloud owns is not journaled")
            }
        }
    }

    #[allow(clippy::wildcard_enum_match_arm, reason = "the caller passes six kinds")]
    fn take_points(&mut self, input: &Input, record: &Record) {
        let may_spend = !self.quarantined && !self.has_lapsed;
        match record {
            Record::HoldPlaced { op, stay, points, fen, parts, .. } => {
                self.once(op);
                assert!(may_spend, "a doubted journal spends nothing, nor one without leave");
                self.move_points(points, parts, |pocket, n| {
                    (pocket.remaining, pocket.held) = (pocket.remaining - n, pocket.held + n)
                });
                assert_eq!(self.holds.values().filter(|(held, _)| held == stay).count(), 0, "one hold for {stay}");
                self.holds.insert(op.clone(), (stay.clone(), parts.clone()));
                assert!(fen.0 > 0);
            }
            Record::HoldVoided { op, .. } => {
                let (_, parts) = self.holds.remove(op).expect("an open hold");
                for part in parts {
                    let pocket = self.grants.get_mut(&part.grant).unwrap();
                    (pocket.remaining, pocket.held) = (pocket.remaining + part.points.0, pocket.held - part.points.0);
                }
            }
            Record::PointsSpent { op, points, parts, fen, stay, .. } => {
                self.paid_by_points.0 += fen.0;
                if let Some((held_for, held)) = self.holds.remove(op) {
                    assert_eq!((&held, Some(&held_for)), (parts, stay.as_ref()));
                    // At the end of an epoch what is held becomes a payment.
                    let is_payment = matches!(input, Input::Cloud(_));
                    self.stays.get_mut(&held_for).unwrap().by_points += if is_payment { 0 } else { fen.0 };
                    self.spends.insert(op.clone(), Spend::of(fen, parts, is_payment));
                    self.move_points(points, parts, |pocket, n| {
                        (pocket.held, pocket.spent) = (pocket.held - n, pocket.spent + n)
                    });
                } else {
                    self.once(op);
                    assert!(may_spend, "a doubted journal spends nothing, nor one without leave");
                    self.move_points(points, parts, |pocket, n| {
                        (pocket.remaining, pocket.spent) = (pocket.remaining - n, pocket.spent + n)
                    });
                    self.spends.insert(op.clone(), Spend::of(fen, parts, true));
                }
            }
            Record::PointsReversed { op, of, points, fen, parts, stay, .. } => {
                self.once(op);
                let spend = self.spends.get_mut(of).expect("a spend of this journal");
                assert!(!parts.is_empty() && fen.0 <= spend.fen, "{of} is undone once");
                self.paid_by_points.0 -= fen.0;
                spend.fen -= fen.0;
                for part in parts {
                    let left = spend.parts.iter_mut().find(|left| left.grant == part.grant);
                    let left = &mut left.unwrap_or_else(|| panic!("{of} took nothing from {}", part.grant)).points.0;
                    *left -= part.points.0;
                    assert!(*left >= 0, "{of} is undone once");
                }
                let is_payment = spend.is_payment;
                if let Some(stay) = stay {
                    let visit = self.stays.get_mut(stay).unwrap();
                    let covered = if is_payment { &mut visit.stay.paid.0 } else { &mut visit.by_points };
                    *covered -= fen.0;
                    assert!(*covered >= 0);
                    if visit.stay.state == StayState::Closed {
                        visit.waived += fen.0;
                    }
                }
                self.move_points(points, parts, |pocket, n| {
                    (pocket.spent, pocket.remaining) = (pocket.spent - n, pocket.remaining + n)
                });
            }
            Record::PointsReturned { op, points, parts, .. } => {
                self.once(op);
                assert!(!self.rewound, "a doubted journal gives nothing back");
                let is_end = matches!(input, Input::Cloud(CloudNews::EpochGiven { .. }));
                assert!(!self.quarantined || is_end, "a journal whose epoch is over gives back at its end only");
                self.move_points(points, parts, |pocket, n| {
                    (pocket.remaining, pocket.returned) = (pocket.remaining - n, pocket.returned + n)
                });
            }
            Record::PointsEarned { op, member, points, .. } => {
                self.once(op);
                let mut pocket = Pocket::of(member, self.epoch);
                (pocket.granted, pocket.remaining) = (points.0, points.0);
                let born = GrantId(format!("born:{op}"));
                assert!(self.grants.insert(born, pocket).is_none(), "{op} earns once");
            }
            Record::GrantAccepted { request, grant, member, points, .. } => {
                let (asker, _) = &self.requests[request];
                assert_eq!(asker, member, "who asked for it");
                let is_first = self.answered.insert(request.clone());
                assert!(self.granted.insert(request.clone()) == is_first, "{request} is answered once");
                let mut pocket = Pocket::of(member, self.epoch);
                (pocket.granted, pocket.remaining) = (points.0, points.0);
                assert!(self.grants.insert(grant.clone(), pocket).is_none(), "{grant} is accepted once");
            }
            other => panic!("{other:?} moves no points"),
        }
    }

    fn go(&mut self, id: &StayId, from: &[StayState], to: StayState) {
        let visit = self.stays.get_mut(id).expect("a known stay");
        assert!(from.contains(&visit.stay.state), "{id} goes from {:?} to {to:?}", visit.stay.state);
        visit.stay.state = to;
    }

    fn once(&mut self, op: &OpId) {
        assert!(self.ops.insert(op.clone()), "{op} happens once");
    }

    fn move_points(&mut self, points: &Points, parts: &[Part], how: impl Fn(&mut Pocket, i64)) {
        assert_eq!(points.0, parts.iter().map(|part| part.points.0).sum::<i64>());
        for part in parts {
            assert!(part.points.0 > 0);
            how(self.grants.get_mut(&part.grant).expect("a known grant"), part.points.0);
        }
    }

    fn check(&self, lanes: &Lanes) {
        for (id, pocket) in &self.grants {
            let Pocket { granted, remaining, held, spent, returned, member, epoch } = pocket;
            assert_eq!(*granted, remaining + held + spent + returned, "{id}");
            assert!([remaining, held, spent, returned].into_iter().all(|n| *n >= 0), "{id}");
            let is_inside = self.inside().any(|visit| visit.stay.member.as_ref() == Some(member));
            assert!(
                *remaining == 0 || is_inside || self.quarantined || *epoch < self.epoch,
                "{id} is kept for {member}, who has no vehicle here"
            );
        }
        self.check_tills();
        assert_eq!(self.paid_by_points.0, self.paid_by_points.1, "what points paid is what the legs say");
        let mut served = BTreeMap::new();
        for (id, lane) in &self.lanes {
            let Some(stay) = lane.stay() else { continue };
            assert!(served.insert(stay.clone(), id.clone()).is_none(), "two lanes serve {stay}");
            let state = self.stays[stay].stay.state;
            let expect = match lanes[id].direction {
                Direction::Entry => StayState::PendingEntry,
                Direction::Exit => StayState::PendingExit,
            };
            assert_eq!(state, expect, "{id} serves {stay}");
        }
        let mut plates = BTreeSet::new();
        for visit in self.inside() {
            let id = &visit.stay.id;
            let is_new = visit.stay.plate.as_ref().is_none_or(|plate| plates.insert(plate.clone()));
            assert!(is_new, "two stays with the plate of {id}");
            assert!(visit.stay.state == StayState::Open || served.contains_key(id), "nobody serves {id}");
        }
        for (op, (stay, parts)) in &self.holds {
            let is_of_now = |part: &Part| self.grants[&part.grant].epoch == self.epoch;
            assert!(parts.iter().all(is_of_now), "{op} is held over an epoch's end");
            let lane = served.get(stay).unwrap_or_else(|| panic!("{op} is held for nobody"));
            assert_eq!(self.phase(lane), "raised", "{op} is held only until the vehicle has passed");
        }
        for visit in self.stays.values().filter(|visit| visit.stay.state == StayState::Closed) {
            let covered = visit.stay.paid.0 + visit.by_points + visit.waived + visit.owed;
            assert!(covered >= visit.fee, "{} is closed with {covered} of {} fen", visit.stay.id, visit.fee);
            let beyond = visit.waived > 0 && covered > visit.fee;
            assert!(!beyond, "{} lets go what was paid", visit.stay.id);
        }
    }

    fn debts_of<'a>(&'a self, visit: &Visit) -> impl Iterator<Item = &'a (String, i64)> {
        let plate = visit.stay.plate.as_ref().map(ToString::to_string);
        self.debts.values().filter(move |(owes, _)| Some(owes) == plate.as_ref())
    }

    fn inside(&self) -> impl Iterator<Item = &Visit> {
        self.stays.values().filter(|visit| !matches!(visit.stay.state, StayState::Closed | StayState::Void))
    }
}

impl Spend {
    fn of(fen: &Fen, parts: &[Part], is_payment: bool) -> Self {
        Self { fen: fen.0, parts: parts.to_vec(), is_payment }
    }
}

impl Pocket {
    fn of(member: &MemberId, epoch: u32) -> Self {
        Self { member: member.clone(), granted: 0, remaining: 0, held: 0, spent: 0, returned: 0, epoch }
    }
}
