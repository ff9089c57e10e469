//! The books: everything that this box has counted, for the administrator and for comparison with the real world.

use serde::Serialize;

use super::{ReadError, View, from_json};
use crate::domain::event::{RaiseCause, Tender};

/// Everything that this box's journal has counted. Money in fen, times in milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Books {
    /// The box's name.
    #[serde(rename = "box")]
    pub box_id: String,
    /// The box's epoch.
    pub epoch: u32,
    /// The newest journal entry.
    pub seq: u64,
    /// The chain's head after it, in hex.
    pub head: String,
    /// Every stay.
    pub stays: Vec<BookedStay>,
    /// Every payment.
    pub payments: Vec<BookedPayment>,
    /// Every movement of points.
    pub points: Vec<BookedPoints>,
    /// Every sale of a till.
    pub sales: Vec<BookedSale>,
    /// Every raise of a barrier.
    pub raises: Vec<BookedRaise>,
    /// What vehicles that have left owe or owed.
    pub debts: Vec<BookedDebt>,
    /// Stays whose exit was read otherwise than their entry and that the box matched by itself.
    pub matched_automatically: u64,
    /// Stays that a guard chose for a vehicle at an exit.
    pub matched_by_guard: u64,
    /// How many entries the cloud ledger does not hold yet.
    pub unacknowledged_entries: u64,
}

/// A stay in the books.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "the names are those of the ledger file's columns")]
pub struct BookedStay {
    pub stay: String,
    pub plate: Option<String>,
    pub member: Option<String>,
    pub state: String,
    pub entry_lane: String,
    pub entry_ms: i64,
    pub exit_lane: Option<String>,
    pub exit_ms: Option<i64>,
    pub fee_fen: Option<i64>,
    pub paid_fen: i64,
    pub waived_fen: i64,
    /// What spent points paid of it.
    pub points_fen: i64,
    /// What its plate still owes, for it and for stays before it.
    pub owed_fen: i64,
    /// How many times it was in an inner lot.
    pub inner_lots: u32,
    pub void_reason: Option<String>,
}

/// A payment in the books.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "the names are those of the ledger file's columns")]
pub struct BookedPayment {
    pub op: String,
    pub stay: String,
    pub fen: i64,
    pub tender: Tender,
}

/// A movement of points in the books.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "the names are those of the ledger file's columns")]
pub struct BookedPoints {
    pub op: String,
    pub member: String,
    pub kind: String,
    pub points: i64,
    pub fen: Option<i64>,
    pub stay: Option<String>,
}

/// A till's sale in the books.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "the names are those of the ledger file's columns")]
pub struct BookedSale {
    pub op: String,
    pub terminal: String,
    pub receipt: String,
    pub member: Option<String>,
    pub fen: i64,
}

/// A parking debt in the books.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "the names are those of the ledger file's columns")]
pub struct BookedDebt {
    pub debt: String,
    pub plate: String,
    pub stay: String,
    pub fen: i64,
    pub paid_fen: i64,
}

/// A raise in the books.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "the names are those of the ledger file's columns")]
pub struct BookedRaise {
    pub command: String,
    pub lane: String,
    pub cause: RaiseCause,
    pub stay: Option<String>,
    pub passed: bool,
}

impl View<'_> {
    /// The whole books. Ask with [`super::BOOKS_TIMEOUT`]: they grow with the site.
    pub fn books(&self) -> Result<Books, ReadError> {
        let head = self.head()?;
        Ok(Books {
            box_id: head.box_id,
            epoch: head.epoch,
            seq: head.seq,
            head: head.head,
            stays: self.booked_stays()?,
            payments: self.booked_payments()?,
            points: self.booked_points()?,
            sales: self.booked_sales()?,
            raises: self.booked_raises()?,
            debts: self.booked_debts()?,
            matched_automatically: self.matched("automatic")?,
            matched_by_guard: self.matched("guard")?,
            unacknowledged_entries: self.unacknowledged()?,
        })
    }

    /// How many stays with another plate at the exit than at the entry were matched so.
    fn matched(&self, who: &str) -> Result<u64, ReadError> {
        let sql = "SELECT count(*) FROM stay_match m JOIN stay s USING (stay)
                   WHERE m.matched_by ->> '$.who' = ?1 AND m.read <> s.plate";
        Ok(self.tx.prepare(sql)?.query_row([who], |row| row.get(0))?)
    }

    fn booked_stays(&self) -> Result<Vec<BookedStay>, ReadError> {
        let sql = "SELECT s.stay, s.plate, s.member, s.state, s.entry_lane, s.entry_ms, s.exit_lane, s.exit_ms, \
                   s.fee_fen, s.paid_fen - coalesce(t.fen, 0), s.waived_fen, coalesce(p.fen, 0), s.void_reason, s.owed_fen, \
                   (SELECT count(*) FROM zone_visit z WHERE z.stay = s.stay) \
                   FROM stay s \
                   LEFT JOIN (SELECT stay, sum(CASE kind WHEN 'spent' THEN fen ELSE -fen END) AS fen FROM points_entry \
                              WHERE kind IN ('spent', 'reversed') AND stay IS NOT NULL GROUP BY stay) p ON p.stay = s.stay \
                   LEFT JOIN (SELECT stay, sum(fen) AS fen FROM payment \
                              WHERE tender ->> '$.by' = 'points' GROUP BY stay) t ON t.stay = s.stay \
                   ORDER BY s.entry_ms, s.stay";
        let mut query = self.tx.prepare(sql)?;
        let rows = query.query_map([], |row| {
            Ok(BookedStay {
                stay: row.get(0)?,
                plate: row.get(1)?,
                member: row.get(2)?,
                state: row.get(3)?,
                entry_lane: row.get(4)?,
                entry_ms: row.get(5)?,
                exit_lane: row.get(6)?,
                exit_ms: row.get(7)?,
                fee_fen: row.get(8)?,
                paid_fen: row.get(9)?,
                waived_fen: row.get(10)?,
                points_fen: row.get(11)?,
                void_reason: row.get(12)?,
                owed_fen: row.get(13)?,
                inner_lots: row.get(14)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn booked_payments(&self) -> Result<Vec<BookedPayment>, ReadError> {
        let mut query = self.tx.prepare("SELECT op, stay, fen, tender FROM payment ORDER BY seq, op")?;
        let mut rows = query.query([])?;
        let mut payments = Vec::new();
        while let Some(row) = rows.next()? {
            let tender: String = row.get(3)?;
            payments.push(BookedPayment {
                op: row.get(0)?,
                stay: row.get(1)?,
                fen: row.get(2)?,
                tender: from_json("payment.tender", &tender)?,
            });
        }
        Ok(payments)
    }

    fn booked_points(&self) -> Result<Vec<BookedPoints>, ReadError> {
        let sql = "SELECT op, member, kind, points, fen, stay FROM points_entry ORDER BY seq, op";
        let mut query = self.tx.prepare(sql)?;
        let rows = query.query_map([], |row| {
            Ok(BookedPoints {
                op: row.get(0)?,
                member: row.get(1)?,
                kind: row.get(2)?,
                points: row.get(3)?,
                fen: row.get(4)?,
                stay: row.get(5)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn booked_sales(&self) -> Result<Vec<BookedSale>, ReadError> {
        let mut query = self.tx.prepare("SELECT op, terminal, receipt, member, fen FROM sale ORDER BY at_ms, op")?;
        let rows = query.query_map([], |row| {
            Ok(BookedSale {
                op: row.get(0)?,
                terminal: row.get(1)?,
                receipt: row.get(2)?,
                member: row.get(3)?,
                fen: row.get(4)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn booked_debts(&self) -> Result<Vec<BookedDebt>, ReadError> {
        let mut query = self.tx.prepare("SELECT debt, plate, stay, fen, paid_fen FROM debt ORDER BY seq, debt")?;
        let rows = query.query_map([], |row| {
            Ok(BookedDebt {
                debt: row.get(0)?,
                plate: row.get(1)?,
                stay: row.get(2)?,
                fen: row.get(3)?,
                paid_fen: row.get(4)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn booked_raises(&self) -> Result<Vec<BookedRaise>, ReadError> {
        let sql = "SELECT command, lane, cause, stay, passed FROM barrier_command ORDER BY seq, command";
        let mut query = self.tx.prepare(sql)?;
        let mut rows = query.query([])?;
        let mut raises = Vec::new();
        while let Some(row) = rows.next()? {
            let cause: String = row.get(2)?;
            raises.push(BookedRaise {
                command: row.get(0)?,
                lane: row.get(1)?,
                cause: from_json("barrier_command.cause", &cause)?,
                stay: row.get(3)?,
                passed: row.get(4)?,
            });
        }
        Ok(raises)
    }
}
