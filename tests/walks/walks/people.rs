//! What people do on a walk: grants called back, points of a lost box released, members whose home is one of the boxes.

use gatepost::domain::event::{CloudNews, GrantId, Input, MemberId};
use grants_model::protocol::Action;
use grants_model::state::Pocket;
use serde_json::{Value, json};

use super::{BOXES, MEMBERS, World, model_epoch, whose};

/// In so many walks people release what lost boxes held; in the others not a point more may be spent than there is.
const RELEASES_IN: u64 = 2;

impl World {
    /// The office wants a grant back; the box hears of it when it greets the ledger.
    pub fn recall(&mut self) {
        let Some(grant) = self.some_grant(false) else { return };
        self.tell(format!("{grant} is called back"));
        self.cloud.office_ok("POST", &format!("v1/grants/{grant}/recall"), &Value::Null);
        self.count("recall");
    }

    /// What a greeting calls back.
    pub fn hear_recalls(&mut self, at: usize, greeting: &Value) {
        for grant in greeting["recalls"].as_array().unwrap() {
            let grant = GrantId::from(grant.as_str().unwrap());
            self.count("recalled");
            self.sites[at].hear(CloudNews::Recalled { grant });
            self.commit(at);
        }
    }

    /// The points of a box that was declared lost are given back to their member, and booked as a loss.
    pub fn release(&mut self) {
        if !self.seed.is_multiple_of(RELEASES_IN) {
            return;
        }
        let Some(grant) = self.some_grant(true) else { return };
        let number = self.grants[&grant];
        let (name, epoch) = {
            let known = &self.model.ledger.grants[usize::from(number)];
            (known.name, known.epoch)
        };
        let body = json!({"reason": format!("the box is lost, {}", self.told.len())});
        let (status, answer) = self.cloud.office("POST", &format!("v1/grants/{grant}/release"), &body);
        self.tell(format!("{grant} is released: {answer}"));
        let action = Action::Release { name, epoch, pocket: Pocket::Grant(number) };
        match status {
            // A second release of the same grant is answered and changes nothing.
            200 if self.released.contains(&number) => {}
            200 => {
                self.must("release", action);
                self.released.insert(number);
            }
            409 => assert!(self.protocol.next(&self.model, action).is_none(), "{answer}"),
            _ => panic!("{status} {answer}"),
        }
    }

    /// The box looks after the member who is at home there, and asks for what it keeps while the member is away.
    pub fn look_home(&mut self, at: usize) {
        let members = vec![MemberId::from(MEMBERS[at])];
        self.tell(format!("{} looks after {}", BOXES[at], MEMBERS[at]));
        self.sites[at].step(Input::Cloud(CloudNews::HomesLooked { members }));
        self.commit(at);
    }

    /// What the ledger gives of a wish: for keeps only at home, and no more than a share of the balance.
    pub fn expected(&self, at: usize, member: &str, points: i64, is_standing: bool) -> i64 {
        let number = whose(member);
        let available = i64::from(self.model.ledger.available(number));
        if !is_standing {
            return available.min(points);
        }
        if MEMBERS[at] != member {
            return 0;
        }
        let away = |grant: &&u8| i64::from(self.model.ledger.grants[usize::from(**grant)].pot.outstanding);
        let standing: i64 =
            self.standing.iter().filter(|grant| self.is_of(**grant, number)).map(|grant| away(&grant)).sum();
        let balance = available + i64::from(self.model.ledger.escrow(number));
        available.min(points).min((balance * 3000 / 10_000 - standing).max(0))
    }

    /// Everything that is open at a box is called back, and the box hears of it: what it keeps for members at home, too.
    pub fn call_everything_back(&mut self, at: usize) {
        let newest = model_epoch(self.given[at]);
        let is_open = |number: u8| {
            let grant = &self.model.ledger.grants[usize::from(number)];
            usize::from(grant.name) == at && grant.epoch == newest && grant.pot.outstanding != 0
        };
        let open: Vec<String> =
            self.grants.iter().filter(|(_, number)| is_open(**number)).map(|(name, _)| name.clone()).collect();
        for grant in open {
            self.cloud.office_ok("POST", &format!("v1/grants/{grant}/recall"), &Value::Null);
        }
        self.recover(at);
    }

    fn is_of(&self, grant: u8, member: u8) -> bool {
        self.model.ledger.grants[usize::from(grant)].pot.member == member
    }

    /// A grant that holds points, of an epoch that has ended or not; now and then any other.
    fn some_grant(&mut self, has_ended: bool) -> Option<String> {
        let is_any = self.dice.one_in(8);
        let fits = |number: u8| {
            let grant = &self.model.ledger.grants[usize::from(number)];
            let newest = model_epoch(self.given[usize::from(grant.name)]);
            grant.pot.outstanding != 0 && (grant.epoch != newest) == has_ended
        };
        let names: Vec<String> =
            self.grants.iter().filter(|(_, number)| is_any || fits(**number)).map(|(name, _)| name.clone()).collect();
        (!names.is_empty()).then(|| self.dice.pick(&names))
    }
}
