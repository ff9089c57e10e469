//! Movements of points: each from one account to another, written once and never changed.

use crate::db::{Ask, Tx, Value};
use crate::ledger::Refusal;
use crate::values;

/// What moved, between which accounts.
#[derive(Clone, Copy, Debug)]
pub enum What<'a> {
    /// Points are given to a member.
    Credited { issuer: &'a str, lot: &'a str },
    /// Points are born in a box's escrow.
    Earned { issuer: &'a str, lot: &'a str, escrow: &'a str },
    /// Points are reserved for a box.
    Granted { lot: &'a str, escrow: &'a str },
    /// Points of a box's escrow are gone, for goods.
    Spent { lot: &'a str, escrow: &'a str },
    /// The same, of points that had been released: the reserve pays.
    LateSpent { lot: &'a str, escrow: &'a str, reserve: &'a str },
    /// Points of a box's escrow are available again.
    Returned { lot: &'a str, escrow: &'a str },
    /// The same, of points that had been released: the reserve is not needed.
    LateReturned { lot: &'a str, escrow: &'a str, reserve: &'a str },
    /// A spend is undone by the box that made it.
    Reversed { lot: &'a str, escrow: &'a str },
    /// The same, where the reserve had paid.
    LateReversed { lot: &'a str, escrow: &'a str, reserve: &'a str },
    /// Points are spent online.
    SpentOnline { lot: &'a str },
    /// An online spend is undone.
    ReversedOnline { lot: &'a str },
    /// A box's spend of an epoch that has ended is undone online.
    SpendUndone { lot: &'a str, escrow: &'a str },
    /// The same, where the reserve had paid.
    LateSpendUndone { lot: &'a str, escrow: &'a str, reserve: &'a str },
    /// A lot has expired.
    Expired { issuer: &'a str, lot: &'a str },
    /// What a lost box held is given back.
    Released { lot: &'a str, escrow: &'a str },
    /// And booked as a loss, to pay what the box may have spent.
    Reserved { lot: &'a str, escrow: &'a str, reserve: &'a str },
}

/// Why points moved.
#[derive(Clone, Copy, Debug)]
pub struct Cause<'a> {
    /// By the ledger's clock.
    pub at_ms: i64,
    /// The op, request or lot that it happened with.
    pub op: &'a str,
    /// The spend that this is, or that this undoes.
    pub of_op: Option<&'a str>,
    /// The box, its epoch and its entry.
    pub place: Option<(&'a str, u32, i64)>,
}

/// Who is outside: points for goods, and losses.
const SPENT: &str = "spent";
const LOSS: &str = "loss";

impl What<'_> {
    /// The word in the table.
    pub fn word(&self) -> &'static str {
        match self {
            What::Credited { .. } => "credited",
            What::Earned { .. } => "earned",
            What::Granted { .. } => "granted",
            What::Spent { .. } => "spent",
            What::LateSpent { .. } => "late-spent",
            What::Returned { .. } => "returned",
            What::LateReturned { .. } => "late-returned",
            What::Reversed { .. } => "reversed",
            What::LateReversed { .. } => "late-reversed",
            What::SpentOnline { .. } => "spent-online",
            What::ReversedOnline { .. } => "reversed-online",
            What::SpendUndone { .. } => "spend-undone",
            What::LateSpendUndone { .. } => "late-spend-undone",
            What::Expired { .. } => "expired",
            What::Released { .. } => "released",
            What::Reserved { .. } => "reserved",
        }
    }

    /// The row for the table.
    pub fn row(&self, cause: &Cause<'_>, member: &str, points: i64) -> Vec<Value> {
        let (source, destination, lot, escrow) = self.accounts();
        let (place, epoch, seq) = match cause.place {
            Some((place, epoch, seq)) => (Some(place), Some(epoch), Some(seq)),
            None => (None, None, None),
        };
        values![
            cause.at_ms,
            self.word(),
            cause.op,
            cause.of_op,
            source,
            destination,
            points,
            member,
            lot,
            escrow,
            place,
            epoch,
            seq,
        ]
        .to_vec()
    }

    /// From where, to where, which lot, which grant or pocket.
    fn accounts(&self) -> (String, String, &str, Option<&str>) {
        let issuer_of = |issuer: &str| format!("issuer:{issuer}");
        let available = |lot: &str| format!("lot:{lot}");
        let held = |escrow: &str| format!("escrow:{escrow}");
        let reserve_of = |reserve: &str| format!("reserve:{reserve}");
        match *self {
            What::Credited { issuer, lot } => (issuer_of(issuer), available(lot), lot, None),
            What::Earned { issuer, lot, escrow } => (issuer_of(issuer), held(escrow), lot, Some(escrow)),
            What::Granted { lot, escrow } => (available(lot), held(escrow), lot, Some(escrow)),
            What::Spent { lot, escrow } => (held(escrow), SPENT.to_owned(), lot, Some(escrow)),
            What::LateSpent { lot, escrow, reserve } => (reserve_of(reserve), SPENT.to_owned(), lot, Some(escrow)),
            What::Returned { lot, escrow } | What::Released { lot, escrow } => {
                (held(escrow), available(lot), lot, Some(escrow))
            }
            What::LateReturned { lot, escrow, reserve } => (reserve_of(reserve), LOSS.to_owned(), lot, Some(escrow)),
            What::Reversed { lot, escrow } => (SPENT.to_owned(), held(escrow), lot, Some(escrow)),
            What::LateReversed { lot, escrow, reserve } => (SPENT.to_owned(), reserve_of(reserve), lot, Some(escrow)),
            What::SpentOnline { lot } => (available(lot), SPENT.to_owned(), lot, None),
            What::ReversedOnline { lot } => (SPENT.to_owned(), available(lot), lot, None),
            What::SpendUndone { lot, escrow } => (SPENT.to_owned(), available(lot), lot, Some(escrow)),
            What::LateSpendUndone { lot, escrow, .. } => (SPENT.to_owned(), LOSS.to_owned(), lot, Some(escrow)),
            What::Expired { issuer, lot } => (available(lot), format!("breakage:{issuer}"), lot, None),
            What::Reserved { lot, escrow, reserve } => (LOSS.to_owned(), reserve_of(reserve), lot, Some(escrow)),
        }
    }
}

/// What writes movements; there is no other statement that touches the table.
pub fn written(rows: &[Vec<Value>]) -> Ask<'_> {
    let sql = "INSERT INTO transfer
         (at_ms, what, op, of_op, source, destination, points, member, lot, escrow, box, epoch, seq) {rows}";
    Ask::Each(sql, "itttttittttii", rows)
}

/// Writes movements.
pub fn write(tx: &mut Tx<'_>, rows: &[Vec<Value>]) -> Result<(), Refusal> {
    tx.all(&[written(rows)])?;
    Ok(())
}
