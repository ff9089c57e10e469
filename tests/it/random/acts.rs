//! What tills of a random story ask besides commits: holds, what goes back, requests that are given up, shifts.

use gatepost::domain::event::{Fen, Input, MemberId, OpId, Pairing, Points, TerminalId, TillAct, TillMark, TillWish};

use super::Day;

impl Day {
    /// What tills ask besides, of what is there and of what is not. Two in a row, since the second often needs the first.
    pub(super) fn some_acts(&mut self) {
        (0..2).for_each(|_| self.some_act());
    }

    fn some_act(&mut self) {
        if self.dice.one_in(6) && !self.acts.is_empty() {
            let again = self.dice.pick(&self.acts.clone());
            self.step(Input::TillAct(again));
            return;
        }
        let unknown = OpId::from("box-9/1/1/0");
        let (holds, sales) = (self.model.tills.holds(), self.model.tills.transactions());
        let hold = if holds.is_empty() { unknown.clone() } else { self.dice.pick(&holds) };
        let newest = sales.last().cloned().unwrap_or(unknown);
        let transaction = if sales.is_empty() || self.dice.one_in(2) { newest } else { self.dice.pick(&sales) };
        let wish = match self.dice.below(18) {
            14..=16 | 0..=2 => TillWish::Hold {
                member: MemberId::from(self.dice.pick(&["M1", "M2", "M3", "M9"])),
                points: Points(self.dice.pick(&[1, 1, 5, 20, i64::MAX])),
                ttl_ms: self.dice.pick(&[1_000, 300_000]),
                shown: None,
            },
            3 => {
                let fen = self.dice.pick(&[None, None, Some(Fen(100)), Some(Fen(i64::MAX)), Some(Fen(-5))]);
                TillWish::Capture { hold, fen, receipt: "R".to_owned() }
            }
            4 => TillWish::Release { hold },
            5..=7 => TillWish::Void { transaction },
            8..=9 => {
                TillWish::Refund { transaction, fen: Fen(self.dice.pick(&[1, 300, 2_500, 5_000, 40_000, i64::MIN])) }
            }
            10 => {
                let kind = self.dice.pick(&["k", "a", "never-"]);
                let newest = if kind == "k" { self.commits.len() } else { self.acts.len() };
                TillWish::Reverse { original_key: format!("{kind}{}", newest.saturating_sub(1)) }
            }
            11 => TillWish::OpenShift { operator: None },
            12 => {
                TillWish::CloseShift { shift: self.model.tills.shift() + u32::from(self.dice.one_in(4)), stated: None }
            }
            _ => {
                let input = match self.dice.one_in(4) {
                    true => Input::TerminalChanged(pairing(self.dice.one_in(2))),
                    false => Input::TillHoldDue { hold },
                };
                self.step(input);
                return;
            }
        };
        self.ask(wish);
    }

    /// The cashier was wrong: what was sold last is taken back, where it was sold.
    pub(super) fn take_back(&mut self) {
        if let Some(transaction) = self.model.tills.newest() {
            self.ask(TillWish::Void { transaction });
        }
    }

    fn ask(&mut self, wish: TillWish) {
        let act = TillAct {
            terminal: TerminalId::from("till-1"),
            key: format!("a{}", self.acts.len()),
            fingerprint: "f".to_owned(),
            mark: TillMark::default(),
            wish,
        };
        self.acts.push(act.clone());
        self.step(Input::TillAct(act));
    }
}

fn pairing(let_in: bool) -> Pairing {
    let token_sha256 = let_in.then(|| "ab".repeat(32));
    Pairing { terminal: TerminalId::from("till-2"), merchant: None, token_sha256, by: "guard-1".to_owned() }
}
