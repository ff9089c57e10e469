//! What the administrator does with points that boxes hold: looks, asks for them back, and releases what is lost.

use serde::{Deserialize, Serialize};

use crate::db::{Row, Tx};
use crate::ledger::{Ledger, Refusal, check_limit};
use crate::members::{check_text, tell};
use crate::transfer::{self, Cause, What};
use crate::upload::give_to_lots;
use crate::values;

/// How many grants one answer may list.
pub const GRANTS_SHOWN: usize = 1000;

/// A grant or pocket as the administrator sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EscrowView {
    /// Its id.
    pub grant: String,
    /// Where it is.
    #[serde(rename = "box")]
    pub box_name: String,
    /// In which epoch.
    pub epoch: u32,
    /// Whose points.
    pub member: String,
    /// The lot that they come from.
    pub lot: String,
    /// What was reserved.
    pub points: i64,
    /// What was spent of it, also of what was released.
    pub spent: i64,
    /// What was returned of it, also of what was released.
    pub returned: i64,
    /// What was given back to the member before the box was heard.
    pub released: i64,
    /// What is still reserved.
    pub outstanding: i64,
    /// How it stands.
    pub state: State,
    /// Whether the box keeps it while the member is away.
    pub standing: bool,
    /// Whether it is wanted back.
    pub recalled: bool,
}

/// How a grant stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The box may spend from it.
    Open,
    /// Nothing is left of it.
    Closed,
    /// Its epoch has ended; what is left waits for the journal.
    Frozen,
    /// What was left was given back, and booked as a loss.
    Released,
}

/// A page of a box's grants, by id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Escrows {
    /// The grants.
    pub grants: Vec<EscrowView>,
    /// Whether there are more after the last one.
    pub more: bool,
}

/// Why points are released.
#[derive(Clone, Debug, Deserialize)]
pub struct Release {
    /// For the books.
    pub reason: String,
}

const VIEW: &str = "
SELECT escrow.id, escrow.box, escrow.epoch, escrow.member, escrow.lot, amount, spent, returned, released, late_spent,
       late_returned, standing, recalled, box.epoch
FROM escrow JOIN box ON box.name = escrow.box";

impl Ledger {
    /// At most `limit` grants and pockets of a box whose id comes after `after`.
    pub fn escrows(&self, box_name: &str, after: &str, limit: usize) -> Result<Escrows, Refusal> {
        check_limit(limit, GRANTS_SHOWN)?;
        self.database.read(|tx| {
            let sql = format!("{VIEW} WHERE escrow.box = $1 AND escrow.id > $2 ORDER BY escrow.id LIMIT $3");
            let rows = tx.rows(&sql, values![box_name, after, limit + 1])?;
            Ok(Escrows { grants: rows.iter().take(limit).map(view).collect(), more: rows.len() > limit })
        })
    }

    /// Asks for an open grant back; the box hears of it at its next handshakes. Frees nothing.
    pub fn recall(&self, grant: &str) -> Result<EscrowView, Refusal> {
        self.database.write(|tx| {
            tx.run("UPDATE escrow SET recalled = 1 WHERE id = $1", values![grant])?;
            known(tx, grant)
        })
    }

    /// Gives what is outstanding in a frozen grant back to its lot, and books as much as a loss. From now on what its
    /// box did with it moves the loss and not the member.
    pub fn release(&self, grant: &str, release: &Release, now_ms: i64) -> Result<EscrowView, Refusal> {
        check_text("reason", &release.reason)?;
        self.database.write(|tx| {
            let member = known(tx, grant)?.member;
            tx.run("UPDATE account SET version = version WHERE member = $1", values![&member])?;
            tx.row("SELECT id FROM escrow WHERE id = $1 {lock}", values![grant])?;
            let held = known(tx, grant)?;
            match held.state {
                State::Frozen => {}
                State::Released => return Ok(held),
                State::Open => return Err(not_frozen(grant, "open")),
                State::Closed => return Err(not_frozen(grant, "closed")),
            }
            let points = held.outstanding;
            tx.run("UPDATE escrow SET released = released + $2 WHERE id = $1", values![grant, points])?;
            give_to_lots(tx, &[values![&held.lot, points].to_vec()])?;
            let cause =
                Cause { at_ms: now_ms, op: &release.reason, of_op: None, place: Some((&held.box_name, held.epoch, 0)) };
            let reserve = format!("{}/{}", held.box_name, held.epoch);
            let lot = &held.lot;
            let given = What::Released { lot, escrow: grant }.row(&cause, &member, points);
            let booked = What::Reserved { lot, escrow: grant, reserve: &reserve }.row(&cause, &member, points);
            transfer::write(tx, &[given, booked])?;
            tell(tx, &member)?;
            known(tx, grant)
        })
    }
}

fn not_frozen(grant: &str, state: &'static str) -> Refusal {
    Refusal::NotFrozen { grant: grant.to_owned(), state }
}

fn known(tx: &mut Tx<'_>, grant: &str) -> Result<EscrowView, Refusal> {
    let row = tx.row(&format!("{VIEW} WHERE escrow.id = $1"), values![grant])?;
    row.map(|row| view(&row)).ok_or_else(|| Refusal::GrantUnknown(grant.to_owned()))
}

fn view(row: &Row) -> EscrowView {
    let (points, spent, returned, released) = (row.int(5), row.int(6), row.int(7), row.int(8));
    let outstanding = points - spent - returned - released;
    let state = match () {
        () if outstanding > 0 && row.epoch(2) < row.epoch(13) => State::Frozen,
        () if outstanding > 0 => State::Open,
        () if released > 0 => State::Released,
        () => State::Closed,
    };
    EscrowView {
        grant: row.text(0),
        box_name: row.text(1),
        epoch: row.epoch(2),
        member: row.text(3),
        lot: row.text(4),
        points,
        spent: spent + row.int(9),
        returned: returned + row.int(10),
        released,
        outstanding,
        state,
        standing: row.flag(11),
        recalled: row.flag(12),
    }
}

/// Whether points were given to an epoch of a box, or earned in it.
pub(crate) fn has_any(tx: &mut Tx<'_>, box_name: &str, epoch: u32) -> Result<bool, Refusal> {
    let sql = "SELECT 1 FROM escrow WHERE box = $1 AND epoch = $2 LIMIT 1";
    Ok(tx.row(sql, values![box_name, epoch])?.is_some())
}
