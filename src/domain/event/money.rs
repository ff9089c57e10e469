//! With what kinds of money a receipt was paid.

use serde::{Deserialize, Serialize};

use super::Fen;

/// A kind of money.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MoneyKind {
    /// Notes and coins.
    Cash,
    /// A bank's card.
    Card,
    /// A telephone's purse, such as WeChat Pay, Alipay or Octopus.
    Wallet,
    /// What the mall counts as money besides: cheques, gift cards, what a department is charged.
    Other,
}

/// Money of one kind on a receipt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Money {
    /// Which.
    pub kind: MoneyKind,
    /// How much.
    pub fen: Fen,
    /// The payment's number at whoever moved the money; never a card's own number.
    #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
}

/// How much of the money was not cash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotCash {
    /// By cards.
    pub card: Fen,
    /// By telephones' purses.
    pub wallet: Fen,
    /// By what else counts as money.
    pub other: Fen,
}

impl NotCash {
    /// Adds what came in, or what went back as less than nothing. Cash is what is left of all.
    pub fn add(&mut self, kind: MoneyKind, fen: Fen) {
        match kind {
            MoneyKind::Cash => {}
            MoneyKind::Card => self.card.0 += fen.0,
            MoneyKind::Wallet => self.wallet.0 += fen.0,
            MoneyKind::Other => self.other.0 += fen.0,
        }
    }

    /// All of it.
    pub fn sum(&self) -> Fen {
        Fen(self.card.0 + self.wallet.0 + self.other.0)
    }
}

impl Money {
    /// What of the money goes back where `from` fen of it went back before and `to` fen will have: payments in their
    /// order, so that however goods come back, no payment gives back more than it was.
    pub fn going_back(paid: &[Self], from: Fen, to: Fen) -> Vec<Self> {
        let mut begins = 0;
        let part = |money: &Self| {
            let (start, end) = (begins, begins + money.fen.0);
            begins = end;
            let fen = to.0.clamp(start, end) - from.0.clamp(start, end);
            (fen > 0).then(|| Self { fen: Fen(fen), ..money.clone() })
        };
        paid.iter().filter_map(part).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn paid(fens: &[i64]) -> Vec<Money> {
        fens.iter().map(|fen| Money { kind: MoneyKind::Wallet, fen: Fen(*fen), reference: None }).collect()
    }

    fn sum(money: &[Money]) -> i64 {
        money.iter().map(|money| money.fen.0).sum()
    }

    #[test]
    fn money_goes_back_to_the_first_payment_first() {
        let paid = paid(&[300, 200]);
        let back = |from, to| Money::going_back(&paid, Fen(from), Fen(to)).iter().map(|m| m.fen.0).collect::<Vec<_>>();
        assert_eq!(back(0, 250), [250]);
        assert_eq!(back(250, 400), [50, 100]);
        assert_eq!(back(400, 500), [100]);
        assert_eq!(back(400, 400), [0i64; 0]);
    }

    proptest! {
        #[test]
        fn however_it_is_cut_all_of_it_goes_back_once(
            fens in prop::collection::vec(1i64..1000, 1..5),
            mut cuts in prop::collection::vec(0i64..5000, 0..6),
        ) {
            let paid = paid(&fens);
            let all = sum(&paid);
            cuts.iter_mut().for_each(|cut| *cut = (*cut).min(all));
            cuts.extend([0, all]);
            cuts.sort_unstable();
            let parts = cuts.windows(2).map(|cut| Money::going_back(&paid, Fen(cut[0]), Fen(cut[1])));
            let parts: Vec<Vec<Money>> = parts.collect();
            prop_assert!(parts.iter().zip(cuts.windows(2)).all(|(part, cut)| sum(part) == cut[1] - cut[0]));
            prop_assert_eq!(parts.iter().map(|part| sum(part)).sum::<i64>(), all);
        }
    }
}
