//! Statements: every movement of points of some time, for the settlement between issuers, funders and acceptors.

use serde::Serialize;

use crate::db::{Row, Value};
use crate::ledger::{Ledger, Refusal, check_limit};

/// How many lines one answer may have.
pub const LINES_MAX: usize = 1000;

/// Which movements.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Period {
    /// From then on, by the ledger's clock.
    pub from_ms: i64,
    /// Before then.
    pub to_ms: i64,
    /// Only this member's.
    pub member: Option<String>,
    /// Only at this box.
    pub box_name: Option<String>,
    /// Only points of this issuer.
    pub issuer: Option<String>,
}

/// A page of movements.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Statement {
    /// In the order of the ledger.
    pub lines: Vec<Line>,
    /// Whether there are more after the last one.
    pub more: bool,
}

/// One movement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Counts all movements; pages go on after it.
    pub number: i64,
    /// When, by the ledger's clock.
    pub at_ms: i64,
    /// What.
    pub what: String,
    /// The op, request or lot that it happened with.
    pub op: String,
    /// Whose points.
    pub member: String,
    /// Where.
    #[serde(rename = "box")]
    pub box_name: Option<String>,
    /// In which epoch of the box.
    pub epoch: Option<i64>,
    /// With which of its entries; 0 where it was not one.
    pub seq: Option<i64>,
    /// The lot.
    pub lot: String,
    /// Who gave the points.
    pub issuer: String,
    /// Who pays for them.
    pub funder: String,
    /// What the acceptor is paid of the face value, in basis points.
    pub settle_bps: i64,
    /// How many.
    pub points: i64,
}

impl Ledger {
    /// At most `limit` movements of a period after number `after`.
    pub fn statement(&self, period: &Period, after: i64, limit: usize) -> Result<Statement, Refusal> {
        check_limit(limit, LINES_MAX)?;
        let mut values =
            vec![Value::from(period.from_ms), Value::from(period.to_ms), Value::from(after), Value::from(limit + 1)];
        let mut only = String::new();
        for (column, wanted) in
            [("transfer.member", &period.member), ("transfer.box", &period.box_name), ("lot.issuer", &period.issuer)]
        {
            if let Some(wanted) = wanted {
                values.push(Value::from(wanted));
                only.push_str(&format!(" AND {column} = ${}", values.len()));
            }
        }
        let rows = self.database.read(|tx| {
            Ok(tx.rows(
                &format!(
                    "SELECT transfer.number, transfer.at_ms, what, op, transfer.member, transfer.box, transfer.epoch,
                            transfer.seq, lot, issuer, funder, settle_bps, transfer.points
                     FROM transfer JOIN lot ON lot.id = transfer.lot
                     WHERE transfer.at_ms >= $1 AND transfer.at_ms < $2 AND transfer.number > $3{only}
                     ORDER BY transfer.number LIMIT $4"
                ),
                &values,
            )?)
        })?;
        let line = |row: &Row| Line {
            number: row.int(0),
            at_ms: row.int(1),
            what: row.text(2),
            op: row.text(3),
            member: row.text(4),
            box_name: row.opt_text(5),
            epoch: row.opt_int(6),
            seq: row.opt_int(7),
            lot: row.text(8),
            issuer: row.text(9),
            funder: row.text(10),
            settle_bps: row.int(11),
            points: row.int(12),
        };
        Ok(Statement { lines: rows.iter().take(limit).map(line).collect(), more: rows.len() > limit })
    }
}
