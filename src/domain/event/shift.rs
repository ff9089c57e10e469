//! A cashier's shift: its beginning, its end, and what the till itself says that it came to.

use serde::{Deserialize, Serialize};

use super::{BusinessDay, Fen, TerminalId, Totals};

/// A cashier begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShiftStart {
    /// At which terminal.
    pub terminal: TerminalId,
    /// Which of its shifts.
    pub shift: u32,
    /// On which business day.
    pub day: BusinessDay,
    /// Who, where the till says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<String>,
}

/// A shift is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShiftEnd {
    /// At which terminal.
    pub terminal: TerminalId,
    /// Which of its shifts.
    pub shift: u32,
    /// On which business day.
    pub day: BusinessDay,
    /// What it did.
    pub totals: Totals,
    /// What the till says that it did, where it says anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stated: Option<Stated>,
}

/// What a till has counted of a shift by itself; what it does not say is not compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stated {
    /// How many sales.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sales: Option<i64>,
    /// What the goods of all sales came to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sale_fen: Option<Fen>,
    /// Money of every kind, less what went back; so are the four kinds below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub money_fen: Option<Fen>,
    /// What of it lies in the drawer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cash_fen: Option<Fen>,
    /// By card.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub card_fen: Option<Fen>,
    /// By a wallet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wallet_fen: Option<Fen>,
    /// By anything else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other_fen: Option<Fen>,
}

impl Stated {
    /// What a till may state, by its names in a request.
    pub const FIELDS: [&str; 7] = ["sales", "sale_fen", "money_fen", "cash_fen", "card_fen", "wallet_fen", "other_fen"];

    /// From what a request says under each name; none where it says nothing.
    pub fn read<E>(mut said: impl FnMut(&'static str) -> Result<Option<i64>, E>) -> Result<Option<Self>, E> {
        let [sales, sale, money, cash, card, wallet, other] = Self::FIELDS;
        let mut fen = |name| Ok::<_, E>(said(name)?.map(Fen));
        let (sale_fen, money_fen, cash_fen, card_fen) = (fen(sale)?, fen(money)?, fen(cash)?, fen(card)?);
        let (wallet_fen, other_fen) = (fen(wallet)?, fen(other)?);
        let stated = Self { sales: said(sales)?, sale_fen, money_fen, cash_fen, card_fen, wallet_fen, other_fen };
        Ok((stated != Self::default()).then_some(stated))
    }

    /// How much more than these books it says, by name; what is the same is left out. Sales are counted, all else is fen.
    pub fn differences(&self, books: &Totals) -> Vec<(&'static str, i64)> {
        let sum = |fen: Option<Fen>| fen.map(|fen| fen.0);
        let (kinds, sales) = (books.not_cash, i64::try_from(books.sales.count).unwrap_or(i64::MAX));
        let pairs = [
            (self.sales, sales),
            (sum(self.sale_fen), books.sales.sale_fen.0),
            (sum(self.money_fen), books.money().0),
            (sum(self.cash_fen), books.cash().0),
            (sum(self.card_fen), kinds.card.0),
            (sum(self.wallet_fen), kinds.wallet.0),
            (sum(self.other_fen), kinds.other.0),
        ];
        let named = Self::FIELDS.into_iter().zip(pairs);
        named.filter_map(|(name, (said, kept))| Some((name, said? - kept))).filter(|(_, by)| *by != 0).collect()
    }
}
