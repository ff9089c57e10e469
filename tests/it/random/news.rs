//! What the cloud says in a random story: grants, members, leases, and epochs that end.

use gatepost::domain::event::{
    CloudNews, EpochReason, FeedChange, Given, GrantId, Input, JournalHead, Member, MemberId, OpId, Points, Undo,
    UtcMs, Witnessed,
};
use gatepost::domain::points::Lot;

use super::{Day, MEMBERS};

impl Day {
    pub(super) fn some_grant(&mut self) {
        let Some((request, (member, asked))) = self.model.some_request(self.dice.next()) else { return };
        let points = self.dice.pick(&[asked, asked, asked, asked, asked / 2, 0, 50, -20, i64::MAX, asked + 100]);
        let known: Vec<GrantId> = self.model.grants.keys().cloned().collect();
        let grant = match self.dice.below(12) {
            0 => None,
            1 if !known.is_empty() => Some(self.dice.pick(&known)),
            2 => Some(GrantId::from("born:M1")),
            _ => Some(GrantId(format!("G-{request}"))),
        };
        let member = if self.dice.one_in(10) { MemberId::from("M2") } else { member };
        let epoch = self.model.epoch.max(1) + u32::from(self.dice.one_in(12));
        let given = grant.map(|grant| Given { grant, points: Points(points), lot: Lot::default() });
        self.step(Input::Cloud(CloudNews::Granted { request, member, epoch, grants: given.into_iter().collect() }));
    }

    pub(super) fn some_change(&mut self) {
        let (id, plates) = self.dice.pick(&MEMBERS);
        match self.dice.below(6) {
            0 => {
                self.feed += 1;
                let changes = vec![FeedChange::MemberRemoved { id: MemberId::from(id) }];
                self.step(Input::Cloud(CloudNews::Fed { changes, next: self.feed }));
            }
            1 => {
                let (_, others) = self.dice.pick(&MEMBERS);
                self.member(id, others);
            }
            _ => self.member(id, plates),
        }
    }

    pub(super) fn some_news(&mut self) {
        let (now, why) = (self.ledgers_time(), self.dice.pick(&[EpochReason::Fork, EpochReason::Fenced]));
        let news = match self.dice.below(12) {
            0 => CloudNews::Doubted { why, reason: "a fork".to_owned() },
            1 => CloudNews::Fed { changes: Vec::new(), next: u64::MAX },
            2 => CloudNews::Acknowledged { epoch: 1, seq: u64::MAX },
            3 => CloudNews::Acknowledged { epoch: 1, seq: self.model.seq + 3 },
            4 => CloudNews::Leased { server_ms: now, length_ms: self.dice.pick(&[0, 600_000, 6_000_000]) },
            5 => CloudNews::TimePassed { server_ms: UtcMs(now.0 + self.dice.pick(&[-5, 60_000, 900_000])) },
            6 => CloudNews::Leased { server_ms: now, length_ms: 600_000_000 },
            7 => CloudNews::Unleased,
            8 => {
                let known: Vec<GrantId> = self.model.grants.keys().cloned().collect();
                let grant = if known.is_empty() { GrantId::from("G-0") } else { self.dice.pick(&known) };
                CloudNews::Recalled { grant }
            }
            _ => CloudNews::Acknowledged { epoch: 1, seq: self.dice.below(self.model.seq + 1) },
        };
        self.step(Input::Cloud(news));
    }

    /// The ledger's clock is nobody else's.
    pub(super) fn ledgers_time(&self) -> UtcMs {
        UtcMs(self.uptime_ms as i64 + 1_000_000_000)
    }

    /// Witnesses, spends that are undone, epochs that end.
    pub(super) fn some_turn(&mut self) {
        let epoch = self.model.epoch.max(1);
        match self.dice.below(8) {
            0 => {
                let head = JournalHead { epoch, seq: self.model.seq + self.dice.below(3), head: "ab".repeat(32) };
                self.step(Input::Witnessed(Witnessed { by: "till-1".to_owned(), head }));
            }
            1..=4 => {
                let spends: Vec<OpId> = self.model.spends.keys().cloned().collect();
                let of = if spends.is_empty() { OpId::from("box-9/1/1/0") } else { self.dice.pick(&spends) };
                self.step(Input::Undo(Undo { of, by: "guard-1".to_owned(), reason: "wrong".to_owned() }));
            }
            _ => {
                let why = self.dice.pick(&[EpochReason::Fenced, EpochReason::Fenced, EpochReason::Behind]);
                let from = epoch - u32::from(self.dice.one_in(6) && epoch > 1);
                let epoch = epoch + 1 + u32::from(self.dice.one_in(5));
                self.step(Input::Cloud(CloudNews::EpochGiven { from, epoch, why }));
                let renewed = CloudNews::Leased { server_ms: self.ledgers_time(), length_ms: 600_000_000 };
                self.step(Input::Cloud(renewed));
            }
        }
    }

    pub(super) fn member(&mut self, id: &str, plates: &[&str]) {
        self.feed += 1;
        let member = Member {
            id: MemberId::from(id),
            handle: "王**".to_owned(),
            tier: "gold".to_owned(),
            consent_plates: !self.dice.one_in(15),
            plates: plates.iter().map(|plate| plate.parse().unwrap()).collect(),
            codes: vec![format!("GP{id}"), format!("GP{id}")],
            home: None,
            privileges: Default::default(),
        };
        self.step(Input::Cloud(CloudNews::Fed { changes: vec![FeedChange::Member { member }], next: self.feed }));
    }
}
