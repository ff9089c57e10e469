//! What the administrator does with a member's points: gives them, spends them online, undoes a spend, lets lots expire.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::apply::Taken;
use crate::boxes::{Hold, standing};
use crate::db::{Row, Tx, Value};
use crate::grants::{LOT_COLUMNS, cuts, lot_of, take_from_lots};
use crate::journal::some_points;
use crate::ledger::{Ledger, Refusal, check_name};
use crate::lot::{Lot, Terms};
use crate::members::{check_text, known, tell};
use crate::transfer::{self, Cause, What};
use crate::upload::{add_taken, give_to_lots};
use crate::values;

/// How many lots expire in one transaction.
const EXPIRED_AT_ONCE: i64 = 500;

/// Points given to a member.
#[derive(Clone, Debug, Deserialize)]
pub struct Credit {
    /// Its id; a repeat has the same.
    pub op: String,
    /// How many, from 1.
    #[serde(deserialize_with = "some_points")]
    pub points: i64,
    /// Why.
    pub reason: String,
    /// On which terms; what is missing is the default.
    #[serde(default)]
    pub lot: Option<Json>,
}

/// Points that a member spends online, or that are undone of a spend.
#[derive(Clone, Debug, Deserialize)]
pub struct Spend {
    /// Its id; a repeat has the same.
    pub op: String,
    /// How many, from 1.
    #[serde(deserialize_with = "some_points")]
    pub points: i64,
}

/// That a credit or an online spend is in the ledger. The same for every repeat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Done {
    /// Its id.
    pub op: String,
    /// The spend that it undoes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
    /// Whose points.
    pub member: String,
    /// How many.
    pub points: i64,
}

/// The lots of a member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lots {
    /// By id.
    pub lots: Vec<LotView>,
}

/// A lot with where its points are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LotView {
    /// Its id and terms.
    pub lot: Lot,
    /// What it held at first.
    pub points: i64,
    /// What can be granted or spent online.
    pub available: i64,
    /// What boxes hold of it.
    pub outstanding: i64,
    /// What was spent of it.
    pub spent: i64,
    /// What expired of it.
    pub expired: i64,
}

/// The ops of online spends are apart from those of boxes: a box could otherwise claim to reverse one.
fn online_op(op: &str) -> String {
    format!("online:{op}")
}

impl Ledger {
    /// Credits points, once per op.
    pub fn credit(&self, member: &str, credit: &Credit, now_ms: i64) -> Result<Done, Refusal> {
        check_name("op", &credit.op)?;
        check_text("reason", &credit.reason)?;
        let wrong = |(field, wrong): (String, String)| Refusal::BadRequest(format!("{field}: {wrong}"));
        let terms = Terms::read(credit.lot.as_ref(), "credit").map_err(wrong)?;
        self.database.write(|tx| write_credit(tx, member, credit, &terms, now_ms))
    }

    /// Spends points online, from what is available in lots for all places, once per op.
    pub fn spend(&self, member: &str, spend: &Spend, now_ms: i64) -> Result<Done, Refusal> {
        check_name("op", &spend.op)?;
        self.database.write(|tx| {
            hold_account(tx, member)?;
            let done = Done { op: spend.op.clone(), of: None, member: member.to_owned(), points: spend.points };
            if is_repeat(tx, &done)? {
                return Ok(done);
            }
            known(tx, member)?;
            // No box has this name, so only lots for all places are taken.
            let cuts = cuts(tx, "", member, spend.points, usize::MAX, now_ms)?;
            let available: i64 = cuts.iter().map(|cut| cut.points).sum();
            if available < spend.points {
                return Err(Refusal::InsufficientPoints { available });
            }
            keep_online(tx, &done, now_ms)?;
            take_from_lots(tx, cuts.iter().map(|cut| (cut.lot.id.as_str(), cut.points)))?;
            move_spent(tx, cuts.iter().map(|cut| (cut.lot.id.as_str(), cut.points)))?;
            let op = online_op(&spend.op);
            let cause = Cause { at_ms: now_ms, op: &spend.op, of_op: Some(&op), place: None };
            let row = |cut: &crate::grants::Cut| What::SpentOnline { lot: &cut.lot.id }.row(&cause, member, cut.points);
            transfer::write(tx, &cuts.iter().map(row).collect::<Vec<_>>())?;
            tell(tx, member)?;
            Ok(done)
        })
    }

    /// Undoes so much of a spend: an online one, or a box's of an epoch that has ended. Once per its own op.
    pub fn reverse(&self, member: &str, of: &str, reverse: &Spend, now_ms: i64) -> Result<Done, Refusal> {
        check_name("op", &reverse.op)?;
        self.database.write(|tx| {
            hold_account(tx, member)?;
            let (op, of) = (reverse.op.clone(), Some(of.to_owned()));
            let done = Done { op, of, member: member.to_owned(), points: reverse.points };
            if is_repeat(tx, &done)? {
                return Ok(done);
            }
            let undone = parts_of(tx, member, done.of.as_deref().unwrap_or_default())?;
            let left: i64 = undone.iter().map(|part| part.left.normal + part.left.late).sum();
            if left < reverse.points {
                return Err(Refusal::InsufficientPoints { available: left });
            }
            keep_online(tx, &done, now_ms)?;
            let mut wanted = reverse.points;
            for part in undone.iter().rev() {
                wanted -= part.undo(tx, &done, wanted, now_ms)?;
            }
            tell(tx, member)?;
            Ok(done)
        })
    }

    /// The lots of a member.
    pub fn lots(&self, member: &str) -> Result<Lots, Refusal> {
        self.database.read(|tx| {
            known(tx, member)?;
            let rows = tx.rows(
                &format!(
                    "SELECT {LOT_COLUMNS}, points, available, lot.spent, lot.expired,
                            (SELECT CAST(coalesce(sum(escrow.spent), 0) AS BIGINT) FROM escrow
                              WHERE escrow.lot = lot.id AND escrow.member = $1)
                     FROM lot WHERE member = $1 ORDER BY id"
                ),
                values![member],
            )?;
            let lot = |row: &Row| {
                let (points, available, expired) = (row.int(9), row.int(10), row.int(12));
                let spent = row.int(11) + row.int(13);
                let outstanding = points - available - spent - expired;
                LotView { lot: lot_of(row), points, available, outstanding, spent, expired }
            };
            Ok(Lots { lots: rows.iter().map(lot).collect() })
        })
    }

    /// Books what is available of lots that have expired to their issuers' breakage; how many lots there were. What
    /// boxes hold of them expires when it has come back.
    pub fn expire(&self, now_ms: i64) -> Result<usize, Refusal> {
        let mut all = 0;
        loop {
            let some = self.database.write(|tx| expire_some(tx, now_ms))?;
            all += some;
            if some == 0 {
                return Ok(all);
            }
        }
    }
}

/// Credits points inside a transaction.
pub(crate) fn write_credit(
    tx: &mut Tx<'_>,
    member: &str,
    credit: &Credit,
    terms: &Terms,
    now_ms: i64,
) -> Result<Done, Refusal> {
    hold_account(tx, member)?;
    let done = Done { op: credit.op.clone(), of: None, member: member.to_owned(), points: credit.points };
    let id = format!("credit:{}", credit.op);
    let stored = tx.row(
        &format!(
            "SELECT {}, credit.member, credit.points, credit.reason FROM credit
             JOIN lot ON lot.id = 'credit:' || credit.op WHERE credit.op = $1",
            LOT_COLUMNS.split(", ").map(|column| format!("lot.{column}")).collect::<Vec<_>>().join(", ")
        ),
        values![&credit.op],
    )?;
    if let Some(row) = stored {
        let is_same = row.text(9) == member && row.int(10) == credit.points && row.text(11) == credit.reason;
        let has_same_terms = lot_of(&row).terms == *terms;
        return if is_same && has_same_terms { Ok(done) } else { Err(Refusal::RequestReused { id: done.op }) };
    }
    known(tx, member)?;
    tx.run(
        "INSERT INTO credit (op, member, points, reason, at_ms) VALUES ($1, $2, $3, $4, $5)",
        values![&credit.op, member, credit.points, &credit.reason, now_ms],
    )?;
    tx.run(
        "INSERT INTO lot (id, member, issuer, funder, source, settle_bps, expires_ms, valid_from_ms, places, times,
                          at_ms, points, available)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12)",
        values![
            &id,
            member,
            &terms.issuer,
            &terms.funder,
            &terms.source,
            terms.settle_bps,
            terms.expires_ms,
            terms.valid_from_ms,
            terms.places_text(),
            terms.times_text(),
            now_ms,
            credit.points,
        ],
    )?;
    let cause = Cause { at_ms: now_ms, op: &credit.op, of_op: None, place: None };
    let row = What::Credited { issuer: &terms.issuer, lot: &id }.row(&cause, member, credit.points);
    transfer::write(tx, &[row])?;
    tell(tx, member)?;
    Ok(done)
}

/// Holds the member's row, so that nobody else decides about its points meanwhile.
fn hold_account(tx: &mut Tx<'_>, member: &str) -> Result<(), Refusal> {
    tx.row("SELECT member FROM account WHERE member = $1 {lock}", values![member])?;
    Ok(())
}

/// Whether this very op is in the ledger already.
fn is_repeat(tx: &mut Tx<'_>, done: &Done) -> Result<bool, Refusal> {
    let Some(row) = tx.row("SELECT member, points, of_op FROM online WHERE op = $1", values![&done.op])? else {
        return Ok(false);
    };
    if (row.text(0), row.int(1), row.opt_text(2)) == (done.member.clone(), done.points, done.of.clone()) {
        return Ok(true);
    }
    Err(Refusal::RequestReused { id: done.op.clone() })
}

fn keep_online(tx: &mut Tx<'_>, done: &Done, now_ms: i64) -> Result<(), Refusal> {
    tx.run(
        "INSERT INTO online (op, of_op, member, points, at_ms) VALUES ($1, $2, $3, $4, $5)",
        values![&done.op, done.of.as_deref(), &done.member, done.points, now_ms],
    )?;
    Ok(())
}

/// Raises what was spent online of lots; less than nothing lowers it.
fn move_spent<'a>(tx: &mut Tx<'_>, moved: impl Iterator<Item = (&'a str, i64)>) -> Result<(), Refusal> {
    let rows: Vec<Vec<Value>> = moved.map(|(lot, points)| values![lot, points].to_vec()).collect();
    tx.each(
        "WITH moved (id, points) AS ({rows})
         UPDATE lot SET spent = lot.spent + moved.points FROM moved WHERE lot.id = moved.id",
        "ti",
        &rows,
    )?;
    Ok(())
}

/// What is left of a spend in one lot, and in the grant or pocket that a box took it from.
struct SpentPart {
    lot: String,
    held: Option<(String, String, u32)>,
    left: Taken,
}

/// The parts of a spend of a member, in the order in which they were taken.
fn parts_of(tx: &mut Tx<'_>, member: &str, of: &str) -> Result<Vec<SpentPart>, Refusal> {
    let online = tx.row("SELECT op FROM online WHERE op = $1 AND of_op IS NULL", values![of])?;
    let of_op = if online.is_some() { online_op(of) } else { of.to_owned() };
    // Held before they are added up, so that the box's late journal does not reverse the same points meanwhile.
    let pots =
        tx.rows("SELECT DISTINCT escrow FROM transfer WHERE of_op = $1 AND escrow IS NOT NULL", values![&of_op])?;
    let pots: Vec<String> = pots.iter().map(|row| row.text(0)).collect();
    tx.rows("SELECT id FROM escrow WHERE id {any $1} ORDER BY id {lock}", values![pots])?;
    let moved = tx.rows(
        "SELECT lot, escrow, box, epoch, what, points FROM transfer WHERE of_op = $1 AND member = $2 ORDER BY number",
        values![of_op, member],
    )?;
    if moved.is_empty() {
        return Err(Refusal::SpendUnknown(of.to_owned()));
    }
    let mut parts: Vec<SpentPart> = Vec::new();
    for row in &moved {
        let held = row.opt_text(1).map(|escrow| (escrow, row.text(2), row.epoch(3)));
        let place = parts.iter().position(|part| part.held == held && part.lot == row.text(0));
        let place = place.unwrap_or_else(|| {
            parts.push(SpentPart { lot: row.text(0), held, left: Taken::default() });
            parts.len() - 1
        });
        match row.text(4).as_str() {
            "spent-online" => parts[place].left.normal += row.int(5),
            "reversed-online" => parts[place].left.normal -= row.int(5),
            other => add_taken(&mut parts[place].left, other, row.int(5)),
        }
    }
    for (_, box_name, epoch) in parts.iter().filter_map(|part| part.held.as_ref()) {
        // A fenced box that does not know of it yet may still take the spend back itself and spend the points again.
        let is_open = standing(tx, box_name, Hold::Shared)?.epoch == *epoch;
        if is_open || !has_gone_on(tx, box_name, *epoch)? {
            return Err(Refusal::ReverseAtBox(box_name.clone()));
        }
    }
    Ok(parts)
}

/// Whether the box itself has begun a later epoch: it takes nothing back of the epochs before.
fn has_gone_on(tx: &mut Tx<'_>, box_name: &str, epoch: u32) -> Result<bool, Refusal> {
    let sql = "SELECT 1 FROM cursor WHERE box = $1 AND epoch > $2 AND seq > 0 LIMIT 1";
    Ok(tx.row(sql, values![box_name, epoch])?.is_some())
}

impl SpentPart {
    /// Puts up to `wanted` points back into the lot; how many.
    fn undo(&self, tx: &mut Tx<'_>, done: &Done, wanted: i64, now_ms: i64) -> Result<i64, Refusal> {
        let normal = wanted.min(self.left.normal);
        let late = (wanted - normal).min(self.left.late);
        let of = done.of.as_deref().unwrap_or_default();
        let (lot, member) = (self.lot.as_str(), done.member.as_str());
        let mut rows = Vec::new();
        match &self.held {
            None => {
                move_spent(tx, [(lot, -normal)].into_iter())?;
                let of_op = online_op(of);
                let cause = Cause { at_ms: now_ms, op: &done.op, of_op: Some(&of_op), place: None };
                rows.extend((normal > 0).then(|| What::ReversedOnline { lot }.row(&cause, member, normal)));
            }
            Some((escrow, box_name, epoch)) => {
                tx.run(
                    "UPDATE escrow SET spent = spent - $2, returned = returned + $2, late_spent = late_spent - $3,
                                       late_returned = late_returned + $3 WHERE id = $1",
                    values![escrow, normal, late],
                )?;
                let place = Some((box_name.as_str(), *epoch, 0));
                let cause = Cause { at_ms: now_ms, op: &done.op, of_op: Some(of), place };
                let reserve = format!("{box_name}/{epoch}");
                rows.extend((normal > 0).then(|| What::SpendUndone { lot, escrow }.row(&cause, member, normal)));
                let what = What::LateSpendUndone { lot, escrow, reserve: &reserve };
                rows.extend((late > 0).then(|| what.row(&cause, member, late)));
            }
        }
        give_to_lots(tx, &[values![lot, normal].to_vec()])?;
        transfer::write(tx, &rows)?;
        Ok(normal + late)
    }
}

fn expire_some(tx: &mut Tx<'_>, now_ms: i64) -> Result<usize, Refusal> {
    let due = tx.rows(
        "SELECT member, id FROM lot WHERE available > 0 AND expires_ms <= $1 ORDER BY member, id LIMIT $2",
        values![now_ms, EXPIRED_AT_ONCE],
    )?;
    let mut members: Vec<String> = due.iter().map(|row| row.text(0)).collect();
    members.dedup();
    for member in &members {
        hold_account(tx, member)?;
    }
    for row in &due {
        let (member, id) = (row.text(0), row.text(1));
        let lot = tx.only("SELECT issuer, available FROM lot WHERE id = $1 {lock}", values![&id])?;
        let (issuer, points) = (lot.text(0), lot.int(1));
        if points == 0 {
            continue;
        }
        tx.run(
            "UPDATE lot SET available = available - $2, expired = expired + $2 WHERE id = $1",
            values![&id, points],
        )?;
        let cause = Cause { at_ms: now_ms, op: &id, of_op: None, place: None };
        let row = What::Expired { issuer: &issuer, lot: &id }.row(&cause, &member, points);
        transfer::write(tx, &[row])?;
    }
    for member in &members {
        tell(tx, member)?;
    }
    Ok(due.len())
}
