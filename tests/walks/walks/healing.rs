//! What goes wrong with whole boxes on a walk, how they come back, and what must be settled at its end.

use std::collections::BTreeMap;

use gatepost::domain::event::{CloudNews, EpochReason, GrantId, Input, LaneId, VehicleSign};
use grants_model::protocol::Action;
use grants_model::state::Pocket;
use serde_json::{Value, json};

use super::{BOXES, MEMBERS, World, model_epoch};

impl World {
    /// People declare a box lost; the box hears of it when it greets the ledger.
    pub fn fence(&mut self, at: usize) {
        self.tell(format!("{} is declared lost", BOXES[at]));
        let body = json!({"epoch": self.given[at]});
        self.cloud.office_ok("POST", &format!("v1/boxes/{}/fence", BOXES[at]), &body);
        self.ended(at, self.given[at] + 1);
    }

    /// The ledger has gone on to this epoch.
    fn ended(&mut self, at: usize, epoch: u32) {
        while self.given[at] < epoch {
            self.given[at] += 1;
            self.must("declare", Action::Declare { name: at as u8 });
        }
    }

    pub fn back_up(&mut self, at: usize) {
        if self.sites[at].copy.is_none() {
            self.tell(format!("{} is copied", BOXES[at]));
            self.sites[at].back_up();
            self.must("backup", Action::Backup { device: at as u8 });
        }
    }

    /// An old copy is put back at one of the boxes that have one. A till remembers what the box had said last.
    pub fn restore(&mut self) {
        let copied: Vec<usize> = (0..BOXES.len()).filter(|at| self.sites[*at].copy.is_some()).collect();
        if copied.is_empty() {
            return;
        }
        let at = self.dice.pick(&copied);
        let Some((epoch, copy)) = &self.sites[at].copy else { return };
        let device = &self.model.devices[at];
        let length = copy.ends.get(epoch).and_then(|ends| ends.last()).copied().unwrap_or(0);
        if (device.epoch, device.length()) == (model_epoch(*epoch), length) {
            return;
        }
        self.tell(format!("{} is put back to its copy", BOXES[at]));
        let remembered = self.sites[at].head();
        self.sites[at].restore();
        self.rewound.insert(at);
        self.must("restore", Action::Restore { device: at as u8 });
        self.sites[at].is_told(remembered);
        self.commit(at);
        self.doubts[at] = Some(EpochReason::Witness);
        assert!(self.sites[at].is_quarantined(), "a rewound box is in doubt");
    }

    /// The box greets the ledger, and takes a new epoch where it must.
    pub fn recover(&mut self, at: usize) {
        let head = self.sites[at].head();
        let greeting = json!({"epoch": head.epoch, "seq": head.seq, "head": head.head});
        let (status, answer) = self.cloud.as_box(BOXES[at], "hello", &greeting);
        assert_eq!(status, 200, "{answer}");
        self.tell(format!("{} greets: {answer}", BOXES[at]));
        self.hear_recalls(at, &answer);
        let found = match answer["verdict"].as_str().unwrap() {
            "ok" => None,
            "behind" => Some(EpochReason::Behind),
            "fork" => Some(EpochReason::Fork),
            _ => Some(self.is_it_whole(at, &answer["cursor"])),
        };
        if let Some(why) = found {
            self.sites[at].hear(CloudNews::Doubted { why, reason: "the greeting".to_owned() });
            self.commit(at);
        }
        let Some(why) = self.doubts[at].or(found) else { return };
        if !self.dice.one_in(4) {
            // Otherwise the line goes before the box has its epoch.
            self.take_epoch(at, why);
        }
    }

    fn take_epoch(&mut self, at: usize, why: EpochReason) {
        let head = self.sites[at].head();
        let mut ends = head.epoch;
        loop {
            let body = json!({"epoch": ends, "seq": head.seq, "head": head.head, "reason": "walk"});
            let (status, answer) = self.cloud.as_box(BOXES[at], "epochs", &body);
            assert_eq!(status, 200, "{answer}");
            self.tell(format!("{} asks for an epoch: {answer}", BOXES[at]));
            let epoch = u32::try_from(answer["epoch"].as_u64().unwrap()).unwrap();
            self.ended(at, epoch);
            if answer["cursor"]["seq"] == 0 {
                self.sites[at].hear(CloudNews::EpochGiven { from: head.epoch, epoch, why });
                self.commit(at);
                self.doubts[at] = None;
                assert_eq!(self.sites[at].epoch(), epoch);
                return;
            }
            ends = epoch;
        }
    }

    /// Whether the journal of an epoch that has ended holds all that the ledger has of it.
    fn is_it_whole(&self, at: usize, cursor: &Value) -> EpochReason {
        let (epoch, seq) = (self.sites[at].epoch(), cursor["seq"].as_u64().unwrap() as usize);
        if cursor["epoch"] != json!(epoch) || seq == 0 {
            return EpochReason::Fenced;
        }
        match self.sites[at].entries(epoch, seq, 1).first() {
            Some(entry) if entry["head"] == cursor["head"] => EpochReason::Fenced,
            Some(_) => EpochReason::Fork,
            None => EpochReason::Behind,
        }
    }

    /// The real sums are the model's.
    pub fn compare(&mut self) {
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
            let mut held = BTreeMap::<Pocket, i64>::new();
            for (grant, remaining) in site.purses() {
                *held.entry(self.pocket(&GrantId(grant))).or_default() += remaining;
            }
            for (pocket, remaining) in held {
                assert_eq!(i64::from(device.remaining(pocket)), remaining, "{pocket:?} at {}", BOXES[at]);
            }
            assert!(site.is_quarantined() || !device.is_quarantined(), "{} is in doubt", BOXES[at]);
            for ((_, epoch), ends) in self.heard.range((at, 0)..(at + 1, 0)) {
                let heard = self.model.ledger.cursor(device.name, model_epoch(*epoch));
                assert_eq!(Some(heard), ends.last().copied(), "{}: what was applied", BOXES[at]);
            }
        }
    }

    /// The lines are back, every vehicle drives home, every answer comes: nothing is left open that a journal can settle.
    pub fn heal(&mut self) {
        for at in 0..BOXES.len() {
            while self.sites[at].epoch() != self.given[at] || self.sites[at].is_quarantined() {
                self.recover(at);
            }
            self.answer_all(at);
            for lane in ["in", "out"] {
                self.sites[at].guard_raises(lane);
                let (lane, sign) = (LaneId::from(lane), VehicleSign::Passed);
                self.sites[at].step(Input::VehicleSeen { lane, sign });
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
            self.answer_all(at);
            self.call_everything_back(at);
            assert!(self.sites[at].inside().is_empty(), "{:?}", self.sites[at].inside());
            self.settle(at);
        }
        self.compare();
        let report = self.cloud.office_ok("GET", "v1/verify", &Value::Null);
        assert_eq!(report["faults"], json!([]), "{report}");
        for site in &mut self.sites {
            assert_eq!(site.prove(), Vec::<String>::new());
        }
    }

    fn answer_all(&mut self, at: usize) {
        while !self.sites[at].wanted().is_empty() {
            self.ask(at);
        }
    }

    /// Everything is sent; every entry was applied once, and no points are left at the box.
    fn settle(&mut self, at: usize) {
        let epochs: Vec<u32> = self.sites[at].book.ends.keys().copied().collect();
        for epoch in epochs {
            self.send(at, epoch, self.cursor(at, epoch) + 1, 500);
        }
        let is_whole = !self.rewound.contains(&at);
        if is_whole {
            let view = self.cloud.office_ok("GET", &format!("v1/boxes/{}", BOXES[at]), &Value::Null);
            assert_eq!(view["entries"], json!(self.sites[at].book.entries), "{}: each entry once", BOXES[at]);
        }
        let open: Vec<Pocket> = self.open_at(at, is_whole).collect();
        assert_eq!(open, [], "{}: all grants have settled", BOXES[at]);
    }

    /// Grants of a box that hold points and should not. One that the box had not heard of when its epoch was ended waits
    /// for a person, because no journal will ever name it; and so does all that a rewound journal has forgotten.
    fn open_at(&self, at: usize, is_whole: bool) -> impl Iterator<Item = Pocket> {
        let newest = model_epoch(self.given[at]);
        let heard_of = move |epoch: u8, pocket: Pocket| {
            let journal = self.sites[at].book.model.get(&(u32::from(epoch) + 1));
            journal.is_some_and(|entries| entries.iter().any(|entry| entry.pocket() == pocket))
        };
        let mine = (0..).zip(&self.model.ledger.grants).filter(move |(_, grant)| usize::from(grant.name) == at);
        mine.filter(|(_, grant)| grant.pot.outstanding != 0).filter_map(move |(number, grant)| {
            let pocket = Pocket::Grant(number);
            let waits = grant.epoch != newest && !(is_whole && heard_of(grant.epoch, pocket));
            (!waits).then_some(pocket)
        })
    }
}
