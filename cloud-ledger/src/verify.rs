//! Everything computed again from what is stored: each chain from its genesis, what each record, credit and request
//! must have moved, and each balance from the movements. It shares no arithmetic with the postings that it checks.

mod coupons;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::db::{Row, Tx, Value};
use crate::journal::{self, Fact, Head, Movement};
use crate::ledger::{Ledger, Refusal};
use crate::upload::op_of;
use crate::values;

/// How many faults are named; beyond that a person needs the database, not the list.
const FAULTS_MAX: usize = 200;

/// How many rows are read at a time.
const PAGE: i64 = 2000;

/// What a check of everything found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether nothing is wrong.
    pub ok: bool,
    /// How many accounts there are.
    pub members: usize,
    /// How many entries were computed again.
    pub entries: usize,
    /// What is wrong, at most the first 200.
    pub faults: Vec<String>,
}

impl Ledger {
    /// Checks everything against one moment's state; nobody waits for it.
    pub fn verify(&self) -> Result<Report, Refusal> {
        let pages = self.database.pages()?;
        self.database.read(|tx| {
            let mut books = Books::default();
            pages.iter().for_each(|page| books.fault(format!("the file: {page}")));
            books.winners(tx)?;
            let entries = books.journals(tx)?;
            books.causes(tx)?;
            books.excess(tx)?;
            books.movements(tx)?;
            books.compare_demands();
            books.compare_lots(tx)?;
            books.compare_escrow(tx)?;
            books.coupons.clone().compare(tx, &mut books)?;
            let members = tx.only("SELECT count(*) FROM account", &[])?.int(0);
            let faults = std::mem::take(&mut books.faults);
            let members = usize::try_from(members).unwrap_or(usize::MAX);
            Ok(Report { ok: faults.is_empty(), members, entries, faults })
        })
    }
}

/// A box, an epoch, an entry.
type Place = (String, u32, i64);

/// What must have moved, or has: the word, where, the op, and the grant or pocket.
type Demand = (&'static str, Option<Place>, String, String);

/// The ledger as it ought to be.
#[derive(Default)]
struct Books {
    winners: BTreeMap<String, (Place, i64)>,
    demands: BTreeMap<Demand, i64>,
    lots: BTreeMap<String, Pile>,
    pots: BTreeMap<String, Pot>,
    accounts: BTreeMap<String, i64>,
    coupons: coupons::Said,
    faults: Vec<String>,
}

/// A lot: where its points are.
#[derive(Debug, Default, PartialEq, Eq)]
struct Pile {
    points: i64,
    available: i64,
    spent: i64,
    expired: i64,
}

/// A grant or pocket: what became of its points.
#[derive(Debug, Default, PartialEq, Eq)]
struct Pot {
    amount: i64,
    spent: i64,
    returned: i64,
    released: i64,
    late_spent: i64,
    late_returned: i64,
}

impl Books {
    /// Which record each op had its effect with. That there is such a record is looked at with the journals.
    fn winners(&mut self, tx: &mut Tx<'_>) -> Result<(), Refusal> {
        let sql = "SELECT op, box, epoch, seq, record FROM op WHERE op > $1 ORDER BY op LIMIT $2";
        pages(
            tx,
            sql,
            &[],
            |row| row.text(0).into(),
            "".into(),
            |row| {
                let place = (row.text(1), row.epoch(2), row.int(3));
                self.winners.insert(row.text(0), (place, row.int(4)));
                Ok(())
            },
        )
    }

    /// Links every chain, and notes what each record must have moved.
    fn journals(&mut self, tx: &mut Tx<'_>) -> Result<usize, Refusal> {
        let (mut entries, mut seen) = (0, 0);
        for cursor in tx.rows("SELECT box, epoch, seq, head FROM cursor ORDER BY box, epoch", &[])? {
            let (name, epoch) = (cursor.text(0), cursor.epoch(1));
            let mut held = (0, Head::genesis(&name, epoch));
            let sql = "SELECT seq, body, head FROM entry WHERE box = $3 AND epoch = $4 AND seq > $1
                       ORDER BY seq LIMIT $2";
            pages(
                tx,
                sql,
                values![&name, epoch],
                |row| row.int(0).into(),
                0_i64.into(),
                |row| {
                    let place = (name.clone(), epoch, row.int(0));
                    let (body, head) = (row.text(1), Head(row.hash(2)));
                    if place.2 != held.0 + 1 {
                        self.fault(format!("{}: comes after entry {}", entry_name(&place), held.0));
                    }
                    if held.1.link(&body) != head {
                        self.fault(format!("{}: its head is not the hash of what is stored", entry_name(&place)));
                    }
                    held = (place.2, head);
                    entries += 1;
                    match journal::facts(&body) {
                        Ok(facts) => {
                            seen += facts.into_iter().filter(|(n, fact)| self.record(&place, *n, fact)).count()
                        }
                        Err(fault) => self.fault(format!("{}: {fault:?}", entry_name(&place))),
                    }
                    Ok(())
                },
            )?;
            if (cursor.int(2), Head(cursor.hash(3))) != held {
                let at = cursor.int(2);
                self.fault(format!("box '{name}', epoch {epoch}: the cursor is at {at}, the journal at {}", held.0));
            }
        }
        let stored = tx.only("SELECT count(*) FROM entry", &[])?.int(0);
        if usize::try_from(stored) != Ok(entries) {
            self.fault(format!("{stored} entries are stored, {entries} of them belong to a cursor"));
        }
        if seen != self.winners.len() {
            let ops = self.winners.len();
            self.fault(format!("{ops} ops had their effect, {seen} records in the journals say so"));
        }
        Ok(entries)
    }

    /// Notes what a record must have moved; whether it is the one that its op had its effect with.
    fn record(&mut self, place: &Place, number: usize, fact: &Fact) -> bool {
        self.coupons.hear(place, fact);
        let Some(op) = op_of(fact) else { return false };
        match self.winners.get(op) {
            None => {
                self.fault(format!("{}: the op '{op}' is not among those that were applied", entry_name(place)));
                return false;
            }
            Some((winner, record)) if (winner, usize::try_from(*record)) != (place, Ok(number)) => return false,
            Some(_) => {}
        }
        match fact {
            Fact::PointsEarned { op, points, .. } => self.demand("earned", place, op, &format!("born:{op}"), *points),
            Fact::PointsSpent(movement) => self.demand_parts("spent", place, movement),
            Fact::PointsReturned(movement) => self.demand_parts("returned", place, movement),
            Fact::PointsReversed { movement, .. } => self.demand_parts("reversed", place, movement),
            Fact::GrantAccepted { .. } | Fact::DebtBooked(_) | Fact::DebtPaid { .. } => {}
            Fact::ShareTaken { .. } | Fact::CouponTold { .. } => {}
        }
        true
    }

    fn demand_parts(&mut self, what: &'static str, place: &Place, movement: &Movement) {
        for part in &movement.parts {
            self.demand(what, place, &movement.op, &part.grant, part.points);
        }
    }

    fn demand(&mut self, what: &'static str, place: &Place, op: &str, grant: &str, points: i64) {
        *self.demands.entry((what, Some(place.clone()), op.to_owned(), grant.to_owned())).or_default() += points;
    }

    /// What credits, online spends and requests must have moved.
    fn causes(&mut self, tx: &mut Tx<'_>) -> Result<(), Refusal> {
        let mut note = |what, op: String, points| {
            *self.demands.entry((what, None, op, String::new())).or_default() += points;
        };
        let sql = "SELECT op, points FROM credit WHERE op > $1 ORDER BY op LIMIT $2";
        pages(
            tx,
            sql,
            &[],
            |row| row.text(0).into(),
            "".into(),
            |row| {
                note("credited", row.text(0), row.int(1));
                Ok(())
            },
        )?;
        let sql = "SELECT op, points, of_op FROM online WHERE op > $1 ORDER BY op LIMIT $2";
        pages(
            tx,
            sql,
            &[],
            |row| row.text(0).into(),
            "".into(),
            |row| {
                let what = if row.opt_text(2).is_some() { "undone" } else { "spent-online" };
                note(what, row.text(0), row.int(1));
                Ok(())
            },
        )?;
        let sql = "SELECT number, box, request, granted FROM grant_request WHERE number > $1 ORDER BY number LIMIT $2";
        pages(
            tx,
            sql,
            &[],
            |row| row.int(0).into(),
            0_i64.into(),
            |row| {
                note("granted", format!("{} of {}", row.text(2), row.text(1)), row.int(3));
                Ok(())
            },
        )
    }

    /// What was booked beside the accounts was not moved, and is a fault until people have settled it.
    fn excess(&mut self, tx: &mut Tx<'_>) -> Result<(), Refusal> {
        let rows = tx.rows(
            "SELECT excess.box, excess.epoch, excess.seq, what, member, grant_id, points, op.op FROM excess
             JOIN op ON op.box = excess.box AND op.epoch = excess.epoch AND op.seq = excess.seq
                        AND op.record = excess.record
             ORDER BY excess.box, excess.epoch, excess.seq, excess.record, part",
            &[],
        )?;
        for row in &rows {
            let place = (row.text(0), row.epoch(1), row.int(2));
            let what = ["spent", "returned", "reversed"].into_iter().find(|what| *what == row.text(3));
            let what = what.expect("the table checks it");
            let (member, grant, points) = (row.text(4), row.text(5), row.int(6));
            self.demand(what, &place, &row.text(7), &grant, -points);
            let entry = entry_name(&place);
            self.fault(format!("{entry}: {points} points of '{member}' were {what} beyond '{grant}'"));
        }
        Ok(())
    }

    /// Adds up every movement, and crosses it off what was demanded.
    fn movements(&mut self, tx: &mut Tx<'_>) -> Result<(), Refusal> {
        let sql = "SELECT number, what, op, source, destination, points, member, lot, escrow, box, epoch, seq
                   FROM transfer WHERE number > $1 ORDER BY number LIMIT $2";
        pages(
            tx,
            sql,
            &[],
            |row| row.int(0).into(),
            0_i64.into(),
            |row| {
                let points = row.int(5);
                *self.accounts.entry(row.text(3)).or_default() -= points;
                *self.accounts.entry(row.text(4)).or_default() += points;
                self.add(&row.text(1), &row.text(7), row.opt_text(8).as_deref(), points);
                self.cross_off(row);
                Ok(())
            },
        )
    }

    fn add(&mut self, what: &str, lot: &str, escrow: Option<&str>, points: i64) {
        let mut none = Pot::default();
        let pile = self.lots.entry(lot.to_owned()).or_default();
        let pot = match escrow {
            Some(escrow) => self.pots.entry(escrow.to_owned()).or_default(),
            None => &mut none,
        };
        match what {
            "credited" => (pile.points, pile.available) = (pile.points + points, pile.available + points),
            "earned" => (pile.points, pot.amount) = (pile.points + points, pot.amount + points),
            "granted" => (pile.available, pot.amount) = (pile.available - points, pot.amount + points),
            "spent" => pot.spent += points,
            "late-spent" => pot.late_spent += points,
            "returned" => (pile.available, pot.returned) = (pile.available + points, pot.returned + points),
            "late-returned" => pot.late_returned += points,
            "reversed" => pot.spent -= points,
            "late-reversed" => pot.late_spent -= points,
            "spent-online" => (pile.available, pile.spent) = (pile.available - points, pile.spent + points),
            "reversed-online" => (pile.available, pile.spent) = (pile.available + points, pile.spent - points),
            "spend-undone" => {
                (pot.spent, pot.returned) = (pot.spent - points, pot.returned + points);
                pile.available += points;
            }
            "late-spend-undone" => {
                (pot.late_spent, pot.late_returned) = (pot.late_spent - points, pot.late_returned + points);
            }
            "expired" => (pile.available, pile.expired) = (pile.available - points, pile.expired + points),
            "released" => (pile.available, pot.released) = (pile.available + points, pot.released + points),
            "reserved" => {}
            other => self.fault(format!("a movement of the unknown kind '{other}'")),
        }
    }

    fn cross_off(&mut self, row: &Row) {
        let (op, points) = (row.text(2), row.int(5));
        let place = || Some((row.text(9), row.epoch(10), row.int(11)));
        let escrow = || row.opt_text(8).unwrap_or_default();
        let demand: Demand = match row.text(1).as_str() {
            "credited" => ("credited", None, op, String::new()),
            "granted" => ("granted", None, format!("{op} of {}", row.text(9)), String::new()),
            "spent-online" => ("spent-online", None, op, String::new()),
            "reversed-online" | "spend-undone" | "late-spend-undone" => ("undone", None, op, String::new()),
            "earned" => ("earned", place(), op, escrow()),
            "spent" | "late-spent" => ("spent", place(), op, escrow()),
            "returned" | "late-returned" => ("returned", place(), op, escrow()),
            "reversed" | "late-reversed" => ("reversed", place(), op, escrow()),
            _ => return,
        };
        if let Some(open) = self.demands.get_mut(&demand) {
            *open -= points;
            return;
        }
        // A record may name all pockets of a member at once.
        let pockets = format!("born:{}", row.text(6));
        *self.demands.entry((demand.0, demand.1, demand.2, pockets)).or_default() -= points;
    }

    fn compare_demands(&mut self) {
        for ((what, place, op, grant), points) in std::mem::take(&mut self.demands) {
            if points == 0 {
                continue;
            }
            let entry = place.map_or_else(String::new, |place| format!("{}: ", entry_name(&place)));
            let of = if grant.is_empty() { String::new() } else { format!(" of '{grant}'") };
            let word = if points > 0 { "missing among" } else { "too many among" };
            let points = points.abs();
            self.fault(format!("{entry}'{op}', {what}{of}: {points} points are {word} the movements"));
        }
    }

    fn compare_lots(&mut self, tx: &mut Tx<'_>) -> Result<(), Refusal> {
        let mut lots = std::mem::take(&mut self.lots);
        let sql = "SELECT lot.id, points, available, spent, expired, lot.member, account.member FROM lot
                   LEFT JOIN account ON account.member = lot.member WHERE lot.id > $1 ORDER BY lot.id LIMIT $2";
        pages(
            tx,
            sql,
            &[],
            |row| row.text(0).into(),
            "".into(),
            |row| {
                let id = row.text(0);
                let stored = Pile { points: row.int(1), available: row.int(2), spent: row.int(3), expired: row.int(4) };
                let computed = lots.remove(&id).unwrap_or_default();
                if stored != computed {
                    let member = row.text(5);
                    self.fault(format!("'{member}', lot '{id}': stored {stored:?}, computed {computed:?}"));
                }
                if row.opt_text(6).is_none() {
                    self.fault(format!("'{}': has points and no account", row.text(5)));
                }
                let account = self.accounts.get(&format!("lot:{id}")).copied().unwrap_or(0);
                if account != computed.available {
                    self.fault(format!("lot '{id}': its account is {account}, available is {}", computed.available));
                }
                Ok(())
            },
        )?;
        lots.keys().for_each(|id| self.fault(format!("the lot '{id}' has movements and no row")));
        Ok(())
    }

    fn compare_escrow(&mut self, tx: &mut Tx<'_>) -> Result<(), Refusal> {
        let mut pots = std::mem::take(&mut self.pots);
        let mut reserves: BTreeMap<String, i64> = BTreeMap::new();
        let sql = "SELECT id, box, epoch, amount, spent, returned, released, late_spent, late_returned FROM escrow
                   WHERE id > $1 ORDER BY id LIMIT $2";
        pages(
            tx,
            sql,
            &[],
            |row| row.text(0).into(),
            "".into(),
            |row| {
                let (id, name, epoch) = (row.text(0), row.text(1), row.epoch(2));
                let stored = Pot {
                    amount: row.int(3),
                    spent: row.int(4),
                    returned: row.int(5),
                    released: row.int(6),
                    late_spent: row.int(7),
                    late_returned: row.int(8),
                };
                let computed = pots.remove(&id).unwrap_or_default();
                if stored != computed {
                    self.fault(format!(
                        "box '{name}', epoch {epoch}, '{id}': stored {stored:?}, computed {computed:?}"
                    ));
                }
                let outstanding = computed.amount - computed.spent - computed.returned - computed.released;
                let account = self.accounts.get(&format!("escrow:{id}")).copied().unwrap_or(0);
                if account != outstanding || outstanding < 0 {
                    self.fault(format!("'{id}': its account is {account}, outstanding is {outstanding}"));
                }
                let kept = computed.released - computed.late_spent - computed.late_returned;
                *reserves.entry(format!("reserve:{name}/{epoch}")).or_default() += kept;
                Ok(())
            },
        )?;
        pots.keys().for_each(|id| self.fault(format!("the grant '{id}' has movements and no row")));
        let stored: BTreeSet<&String> = self.accounts.keys().filter(|name| name.starts_with("reserve:")).collect();
        let differing: Vec<String> = stored
            .into_iter()
            .filter(|name| reserves.get(*name).copied().unwrap_or(0) != self.accounts[*name])
            .cloned()
            .collect();
        differing.iter().for_each(|name| self.fault(format!("'{name}' does not hold what was released")));
        Ok(())
    }

    fn fault(&mut self, text: String) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(text);
        }
    }
}

/// Reads all rows of a query page by page: `$1` is the key after which a page begins, `$2` its length.
fn pages(
    tx: &mut Tx<'_>,
    sql: &str,
    values: &[Value],
    key: impl Fn(&Row) -> Value,
    mut after: Value,
    mut each: impl FnMut(&Row) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    loop {
        let mut all = vec![after.clone(), Value::from(PAGE)];
        all.extend_from_slice(values);
        let rows = tx.rows(sql, &all)?;
        rows.iter().try_for_each(&mut each)?;
        match rows.last() {
            Some(last) if rows.len() as i64 == PAGE => after = key(last),
            Some(_) | None => return Ok(()),
        }
    }
}

fn entry_name((name, epoch, seq): &Place) -> String {
    format!("box '{name}', epoch {epoch}, entry {seq}")
}
