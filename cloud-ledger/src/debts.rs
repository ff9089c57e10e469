//! Parking debts: what vehicles left owing, as the boxes' journals say, and what was paid of it.

use serde::Serialize;

use crate::apply::Book;
use crate::db::{Row, Tx};
use crate::journal::Fact;
use crate::ledger::{Ledger, Refusal, check_limit};
use crate::values;

/// How many debts one answer may list.
pub const DEBTS_MAX: usize = 1000;

/// A debt with what was paid of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DebtView {
    /// Its id.
    pub debt: String,
    /// Where it was made.
    #[serde(rename = "box")]
    pub box_name: String,
    /// The vehicle.
    pub plate: Option<String>,
    /// The member.
    pub member: Option<String>,
    /// The stay.
    pub stay: Option<String>,
    /// How much.
    pub fen: i64,
    /// How much of it was paid, at any box.
    pub paid_fen: i64,
    /// When, by the box's clock.
    pub at_ms: i64,
}

/// A page of debts, by id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Debts {
    /// The debts.
    pub debts: Vec<DebtView>,
    /// Whether there are more after the last one.
    pub more: bool,
}

impl Ledger {
    /// At most `limit` debts whose id comes after `after`; only those not paid, where `is_open`.
    pub fn debts(&self, after: &str, limit: usize, is_open: bool) -> Result<Debts, Refusal> {
        check_limit(limit, DEBTS_MAX)?;
        self.database.read(|tx| {
            let rows = tx.rows(
                "SELECT debt, box, plate, member, stay, fen, at_ms, paid FROM (
                     SELECT debt.*, (SELECT CAST(coalesce(sum(fen), 0) AS BIGINT) FROM debt_payment
                                     WHERE debt_payment.debt = debt.debt) AS paid FROM debt) AS known
                 WHERE debt > $1 AND ($2 = 0 OR paid < fen) ORDER BY debt LIMIT $3",
                values![after, is_open, limit + 1],
            )?;
            let debt = |row: &Row| DebtView {
                debt: row.text(0),
                box_name: row.text(1),
                plate: row.opt_text(2),
                member: row.opt_text(3),
                stay: row.opt_text(4),
                fen: row.int(5),
                at_ms: row.int(6),
                paid_fen: row.int(7),
            };
            Ok(Debts { debts: rows.iter().take(limit).map(debt).collect(), more: rows.len() > limit })
        })
    }
}

/// Keeps what a fact says of a debt.
pub(crate) fn take(
    tx: &mut Tx<'_>,
    book: &mut Book<'_>,
    box_name: &str,
    epoch: u32,
    seq: i64,
    now_ms: i64,
    fact: &Fact,
) -> Result<(), Refusal> {
    match fact {
        Fact::DebtBooked(debt) => {
            let new = tx.run(
                "INSERT INTO debt (debt, box, epoch, seq, fen, plate, member, stay, at_ms)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING",
                values![
                    &debt.debt,
                    box_name,
                    epoch,
                    seq,
                    debt.fen,
                    debt.plate.as_deref(),
                    debt.member.as_deref(),
                    debt.stay.as_deref(),
                    debt.at_ms.unwrap_or(now_ms),
                ],
            )?;
            if new == 0 {
                let text = format!("the debt '{}' was booked before; this record changed nothing", debt.debt);
                book.alarm(seq, "debt-repeated", text);
            }
        }
        Fact::DebtPaid { op, debt, fen, at_ms } => {
            let new = tx.run(
                "INSERT INTO debt_payment (op, debt, box, fen, at_ms) VALUES ($1, $2, $3, $4, $5)
                 ON CONFLICT DO NOTHING",
                values![op, debt, box_name, *fen, at_ms.unwrap_or(now_ms)],
            )?;
            if new == 0 {
                book.alarm(seq, "op-repeated", format!("the payment '{op}' was taken before; it changed nothing"));
                return Ok(());
            }
            let paid = tx.only(
                "SELECT CAST(coalesce(sum(fen), 0) AS BIGINT) FROM debt_payment WHERE debt = $1",
                values![debt],
            )?;
            match tx.row("SELECT fen FROM debt WHERE debt = $1", values![debt])? {
                None => book.alarm(seq, "debt-unknown", format!("the debt '{debt}' is not known here yet")),
                Some(owed) if paid.int(0) > owed.int(0) => {
                    let beyond = paid.int(0) - owed.int(0);
                    book.alarm(seq, "debt-overpaid", format!("{beyond} fen were paid beyond the debt '{debt}'"));
                }
                Some(_) => {}
            }
        }
        Fact::GrantAccepted { .. }
        | Fact::PointsSpent(_)
        | Fact::PointsEarned { .. }
        | Fact::PointsReturned(_)
        | Fact::PointsReversed { .. }
        | Fact::ShareTaken { .. }
        | Fact::CouponTold { .. } => {}
    }
    Ok(())
}
