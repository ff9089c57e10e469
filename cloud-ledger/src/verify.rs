//! Everything computed again from what is stored: each chain from its genesis, each balance from credits, grants,
//! online spends and journals. It shares no arithmetic with the postings that it checks.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Context;
use rusqlite::{Connection, Row};
use serde::Serialize;

use crate::journal::{self, Fact, Head, Movement};
use crate::ledger::Ledger;
use crate::store;

/// How many faults are named; beyond that a person needs the file, not the list.
const FAULTS_MAX: usize = 200;

/// What a check of everything found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether nothing is wrong.
    pub ok: bool,
    /// How many accounts were computed again.
    pub members: usize,
    /// How many entries were.
    pub entries: usize,
    /// What is wrong, at most the first 200.
    pub faults: Vec<String>,
}

impl Ledger {
    /// Checks everything against one moment's state, on a connection of its own, so that nobody waits.
    pub fn verify(&self) -> anyhow::Result<Report> {
        file(self.path())
    }
}

/// Checks the ledger in the file at `path`; another process may be serving it.
pub fn file(path: &Path) -> anyhow::Result<Report> {
    let mut db = store::open_for_reading(path)?;
    let tx = db.transaction().context("begin to read")?;
    let mut books = Books::default();
    books.pages(&tx).context("check the file's pages")?;
    books.starting_points(&tx).context("read credits, online spends and grants")?;
    let entries = books.journals(&tx).context("read the journals")?;
    books.compare_cursors(&tx).context("compare the cursors")?;
    books.compare_escrow(&tx).context("compare what is reserved")?;
    let members = books.compare_accounts(&tx).context("compare the accounts")?;
    let faults = books.faults;
    Ok(Report { ok: faults.is_empty(), members, entries, faults })
}

type Epoch = (String, u32);
type GrantKey = (String, u32, String);

/// The ledger as it ought to be.
#[derive(Default)]
struct Books {
    heads: BTreeMap<Epoch, (i64, Head)>,
    grants: BTreeMap<GrantKey, Pot>,
    credited: BTreeMap<String, i64>,
    debited: BTreeMap<String, i64>,
    ops: BTreeSet<String>,
    faults: Vec<String>,
}

/// Points reserved for a box and epoch.
#[derive(Debug, PartialEq, Eq)]
struct Pot {
    member: String,
    amount: i64,
    spent: i64,
    returned: i64,
}

impl Books {
    /// The database's own check of its pages, indexes and constraints.
    fn pages(&mut self, db: &Connection) -> rusqlite::Result<()> {
        let mut check = db.prepare("PRAGMA integrity_check(20)")?;
        let mut rows = check.query([])?;
        while let Some(row) = rows.next()? {
            let found: String = row.get(0)?;
            if found != "ok" {
                self.fault(format!("the file: {found}"));
            }
        }
        Ok(())
    }

    fn starting_points(&mut self, db: &Connection) -> rusqlite::Result<()> {
        let member_points = |row: &Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?));
        for row in db.prepare("SELECT member, points FROM credit")?.query_map([], member_points)? {
            let (member, points) = row?;
            *self.credited.entry(member).or_default() += points;
        }
        for row in db.prepare("SELECT member, points FROM online_spend")?.query_map([], member_points)? {
            let (member, points) = row?;
            *self.debited.entry(member).or_default() += points;
        }
        let mut grants =
            db.prepare("SELECT box, epoch, grant_id, member, granted FROM grant_request WHERE grant_id IS NOT NULL")?;
        let mut rows = grants.query([])?;
        while let Some(row) = rows.next()? {
            let key = (row.get(0)?, row.get(1)?, row.get(2)?);
            let pot = Pot { member: row.get(3)?, amount: row.get(4)?, spent: 0, returned: 0 };
            self.grants.insert(key, pot);
        }
        Ok(())
    }

    /// Repeats every entry in the order in which it was applied.
    fn journals(&mut self, db: &Connection) -> rusqlite::Result<usize> {
        let mut entries = 0;
        let mut select = db.prepare("SELECT box, epoch, seq, body, head FROM entry ORDER BY arrival")?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            let epoch: Epoch = (row.get(0)?, row.get(1)?);
            let (seq, body, head): (i64, String, [u8; 32]) = (row.get(2)?, row.get(3)?, row.get(4)?);
            self.link(&epoch, seq, &body, Head(head));
            match journal::facts(&body) {
                Ok(facts) => facts.into_iter().for_each(|(_, fact)| self.apply(&epoch, seq, fact)),
                Err(fault) => self.fault(format!("{}: {fault:?}", entry_name(&epoch, seq))),
            }
            entries += 1;
        }
        Ok(entries)
    }

    fn link(&mut self, epoch: &Epoch, seq: i64, body: &str, head: Head) {
        let genesis = || (0, Head::genesis(&epoch.0, epoch.1));
        let (before, previous) = *self.heads.entry(epoch.clone()).or_insert_with(genesis);
        if seq != before + 1 {
            self.fault(format!("{}: comes after entry {before}", entry_name(epoch, seq)));
        }
        if previous.link(body) != head {
            self.fault(format!("{}: its head is not the hash of what is stored", entry_name(epoch, seq)));
        }
        self.heads.insert(epoch.clone(), (seq, head));
    }

    fn apply(&mut self, epoch: &Epoch, seq: i64, fact: Fact) {
        match fact {
            Fact::GrantAccepted { .. } => {}
            Fact::PointsEarned { op, member, points } => {
                if self.ops.insert(op) {
                    let key = (epoch.0.clone(), epoch.1, format!("born:{member}"));
                    let none = Pot { member: member.clone(), amount: 0, spent: 0, returned: 0 };
                    self.grants.entry(key).or_insert(none).amount += points;
                    *self.credited.entry(member).or_default() += points;
                }
            }
            Fact::PointsSpent(movement) => {
                for (member, points) in self.release(epoch, seq, movement, "spent", |pot| &mut pot.spent) {
                    *self.debited.entry(member).or_default() += points;
                }
            }
            Fact::PointsReturned(movement) => {
                self.release(epoch, seq, movement, "returned", |pot| &mut pot.returned);
            }
        }
    }

    /// Takes a movement out of its grants; answers what they covered.
    fn release(
        &mut self,
        epoch: &Epoch,
        seq: i64,
        movement: Movement,
        word: &str,
        side: fn(&mut Pot) -> &mut i64,
    ) -> Vec<(String, i64)> {
        if !self.ops.insert(movement.op) {
            return Vec::new();
        }
        let mut covered = Vec::new();
        for part in movement.parts {
            let key = (epoch.0.clone(), epoch.1, part.grant.clone());
            let pot = self.grants.get_mut(&key).filter(|pot| pot.member == movement.member);
            let left = pot.as_ref().map_or(0, |pot| pot.amount - pot.spent - pot.returned);
            let taken = part.points.min(left);
            if let Some(pot) = pot {
                *side(pot) += taken;
            }
            if taken < part.points {
                let beyond = part.points - taken;
                let (entry, member) = (entry_name(epoch, seq), &movement.member);
                self.fault(format!("{entry}: {beyond} points of '{member}' were {word} beyond '{}'", part.grant));
            }
            if taken > 0 {
                covered.push((movement.member.clone(), taken));
            }
        }
        covered
    }

    fn compare_cursors(&mut self, db: &Connection) -> rusqlite::Result<()> {
        let mut select = db.prepare("SELECT box, epoch, seq, head FROM cursor")?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            let epoch: Epoch = (row.get(0)?, row.get(1)?);
            let stored = (row.get(2)?, Head(row.get(3)?));
            let computed = self.heads.remove(&epoch).unwrap_or_else(|| (0, Head::genesis(&epoch.0, epoch.1)));
            if stored != computed {
                let (name, number) = &epoch;
                self.fault(format!(
                    "box '{name}', epoch {number}: the cursor is at {}, the journal at {}",
                    stored.0, computed.0
                ));
            }
        }
        Ok(())
    }

    fn compare_escrow(&mut self, db: &Connection) -> rusqlite::Result<()> {
        let mut stored = BTreeMap::new();
        let mut select = db.prepare("SELECT box, epoch, grant_id, member, amount, spent, returned FROM escrow")?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            let pot = Pot { member: row.get(3)?, amount: row.get(4)?, spent: row.get(5)?, returned: row.get(6)? };
            let key: GrantKey = (row.get(0)?, row.get(1)?, row.get(2)?);
            stored.insert(key, pot);
        }
        let keys: BTreeSet<&GrantKey> = stored.keys().chain(self.grants.keys()).collect();
        let differing = keys.into_iter().filter(|key| stored.get(key) != self.grants.get(key));
        let name = |key: &GrantKey| {
            let (name, epoch, grant) = key;
            let (stored, computed) = (stored.get(key), self.grants.get(key));
            format!("box '{name}', epoch {epoch}, '{grant}': stored {stored:?}, computed {computed:?}")
        };
        let faults: Vec<String> = differing.map(name).collect();
        faults.into_iter().for_each(|fault| self.fault(fault));
        Ok(())
    }

    fn compare_accounts(&mut self, db: &Connection) -> rusqlite::Result<usize> {
        let mut escrow: BTreeMap<&str, i64> = BTreeMap::new();
        for pot in self.grants.values() {
            *escrow.entry(&pot.member).or_default() += pot.amount - pot.spent - pot.returned;
        }
        let mut missing: BTreeSet<&str> =
            self.credited.keys().chain(self.debited.keys()).map(String::as_str).chain(escrow.keys().copied()).collect();
        let (mut members, mut faults) = (0, Vec::new());
        let mut select = db.prepare("SELECT member, credited, debited, escrow FROM account")?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            let member: String = row.get(0)?;
            let stored: [i64; 3] = [row.get(1)?, row.get(2)?, row.get(3)?];
            let sum = |sums: &BTreeMap<String, i64>| sums.get(&member).copied().unwrap_or(0);
            let reserved = escrow.get(member.as_str()).copied().unwrap_or(0);
            let computed = [sum(&self.credited), sum(&self.debited), reserved];
            if stored != computed {
                faults
                    .push(format!("'{member}': credited, debited, outstanding are {stored:?}, computed {computed:?}"));
            }
            if computed[0] < computed[1] + computed[2] {
                faults.push(format!("'{member}': more points are gone or reserved than were credited: {computed:?}"));
            }
            missing.remove(member.as_str());
            members += 1;
        }
        faults.extend(missing.iter().map(|member| format!("'{member}': has points and no account")));
        faults.into_iter().for_each(|fault| self.fault(fault));
        Ok(members)
    }

    fn fault(&mut self, text: String) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(text);
        }
    }
}

fn entry_name(epoch: &Epoch, seq: i64) -> String {
    format!("box '{}', epoch {}, entry {seq}", epoch.0, epoch.1)
}
