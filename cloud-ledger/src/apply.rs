//! What a box's entries do to the accounts, and the alarms that they cause. A fact is never refused.

use rusqlite::{OptionalExtension, Transaction, params};

use crate::journal::{self, BodyFault, ChainFault, Cursor, Entry, Fact, Head, Movement};
use crate::ledger::Refusal;
use crate::store::{self, Sums};

/// The place in a box's journal that is being looked at, inside a transaction.
pub struct Desk<'a> {
    /// The transaction that everything is written in.
    pub tx: &'a Transaction<'a>,
    /// Whose journal.
    pub box_name: &'a str,
    /// Of which epoch.
    pub epoch: u32,
    /// The entry that is being looked at.
    pub seq: i64,
    /// When the alarms are noticed.
    pub now_ms: i64,
}

/// How points leave a box's escrow.
#[derive(Clone, Copy)]
enum Way {
    Spent,
    Returned,
}

impl Desk<'_> {
    /// Applies what is fresh; the inner result is what the box is told, and is committed either way.
    pub fn apply(&mut self, mut cursor: Cursor, entries: &[Entry]) -> Result<Result<Cursor, Refusal>, Refusal> {
        let run = match journal::split(&cursor, entries) {
            Ok(run) => run,
            Err(ChainFault::NotARun { index }) => {
                let text = format!("entries[{index}].seq: must go up by one, from at least 1");
                return Ok(Err(Refusal::BadRequest(text)));
            }
            Err(ChainFault::Gap) => return Ok(Err(Refusal::Gap { cursor })),
            Err(ChainFault::Fork { seq }) => {
                self.seq = seq;
                self.alarm("fork", format!("it does not link to the head {}", cursor.head))?;
                return Ok(Err(Refusal::Fork { seq, cursor }));
            }
        };
        self.compare_repeated(run.repeated)?;
        let mut outcome = Ok(());
        for entry in run.fresh {
            self.seq = entry.seq;
            let facts = match journal::facts(&entry.body) {
                Ok(facts) => facts,
                Err(fault) => {
                    outcome = Err(fault);
                    break;
                }
            };
            self.keep(entry)?;
            for (record, fact) in &facts {
                self.take(*record, fact)?;
            }
            cursor = Cursor { epoch: cursor.epoch, seq: entry.seq, head: entry.head };
        }
        self.tx
            .prepare_cached("UPDATE cursor SET seq = ?3, head = ?4 WHERE box = ?1 AND epoch = ?2")?
            .execute(params![self.box_name, self.epoch, cursor.seq, cursor.head.0])?;
        match outcome {
            Ok(()) => Ok(Ok(cursor)),
            Err(fault) => Ok(Err(self.stop_at(fault, cursor)?)),
        }
    }

    /// A repeat is harmless; a repeat with another content is a journal that was rewritten, and somebody should know.
    fn compare_repeated(&mut self, repeated: &[Entry]) -> rusqlite::Result<()> {
        let mut select = self.tx.prepare_cached("SELECT head FROM entry WHERE box = ?1 AND epoch = ?2 AND seq = ?3")?;
        for entry in repeated {
            let held: [u8; 32] = select.query_row(params![self.box_name, self.epoch, entry.seq], |row| row.get(0))?;
            if held != entry.head.0 {
                self.seq = entry.seq;
                self.alarm("fork", format!("it came again with the head {} instead of {}", entry.head, Head(held)))?;
            }
        }
        Ok(())
    }

    /// Notes why the cursor stops before this entry.
    fn stop_at(&self, fault: BodyFault, cursor: Cursor) -> rusqlite::Result<Refusal> {
        let seq = self.seq;
        match fault {
            BodyFault::UnknownKind { kind } => {
                self.alarm("unknown-kind", format!("it has a record of the unknown kind '{kind}'"))?;
                Ok(Refusal::UnknownKind { seq, kind, cursor })
            }
            BodyFault::Malformed { field, wrong } => {
                self.alarm("malformed-entry", format!("{field} {wrong}"))?;
                Ok(Refusal::MalformedEntry { seq, field, wrong, cursor })
            }
        }
    }

    fn keep(&self, entry: &Entry) -> rusqlite::Result<()> {
        self.tx
            .prepare_cached("INSERT INTO entry (box, epoch, seq, body, head) VALUES (?1, ?2, ?3, ?4, ?5)")?
            .execute(params![self.box_name, self.epoch, entry.seq, entry.body, entry.head.0])?;
        Ok(())
    }

    fn take(&self, record: usize, fact: &Fact) -> rusqlite::Result<()> {
        match fact {
            Fact::GrantAccepted { grant, member, points } => self.accept(grant, member, *points),
            Fact::PointsEarned { op, member, points } => self.once(op, || self.earn(member, *points)),
            Fact::PointsSpent(movement) => self.once(&movement.op, || self.release(record, movement, Way::Spent)),
            Fact::PointsReturned(movement) => self.once(&movement.op, || self.release(record, movement, Way::Returned)),
        }
    }

    /// Lets an op have its effect the first time only.
    fn once(&self, op: &str, effect: impl FnOnce() -> rusqlite::Result<()>) -> rusqlite::Result<()> {
        let first = self
            .tx
            .prepare_cached("INSERT INTO op (op, box, epoch, seq) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING")?
            .execute(params![op, self.box_name, self.epoch, self.seq])?;
        if first == 1 {
            return effect();
        }
        self.alarm("op-repeated", format!("the op '{op}' was applied before; this record changed nothing"))
    }

    fn accept(&self, grant: &str, member: &str, points: i64) -> rusqlite::Result<()> {
        let mut update = self.tx.prepare_cached(
            "UPDATE escrow SET accepted = 1
             WHERE box = ?1 AND epoch = ?2 AND grant_id = ?3 AND member = ?4 AND amount = ?5 AND accepted = 0
                   AND grant_id NOT LIKE 'born:%'",
        )?;
        if update.execute(params![self.box_name, self.epoch, grant, member, points])? == 1 {
            return Ok(());
        }
        let mut select =
            self.tx.prepare_cached("SELECT accepted FROM escrow WHERE box = ?1 AND epoch = ?2 AND grant_id = ?3")?;
        let accepted = select.query_row(params![self.box_name, self.epoch, grant], |row| row.get::<_, bool>(0));
        match accepted.optional()? {
            Some(true) => self.alarm("grant-accepted-twice", format!("the grant '{grant}' was accepted before")),
            Some(false) => self.alarm("grant-altered", format!("the grant '{grant}' has another member or amount")),
            None => self.alarm("grant-unknown", format!("the grant '{grant}' is not one of this box and epoch")),
        }
    }

    fn earn(&self, member: &str, points: i64) -> rusqlite::Result<()> {
        if store::ensure_account(self.tx, member)? {
            self.alarm("member-unknown", format!("the member '{member}' earned points and is not known here"))?;
        }
        let mut born = self.tx.prepare_cached(
            "INSERT INTO escrow (box, epoch, grant_id, member, amount) VALUES (?1, ?2, 'born:' || ?3, ?3, ?4)
             ON CONFLICT DO UPDATE SET amount = amount + excluded.amount",
        )?;
        born.execute(params![self.box_name, self.epoch, member, points])?;
        store::post(self.tx, member, Sums { credited: points, escrow: points, ..Sums::default() })
    }

    /// Takes points out of the box's escrow. What is not covered is booked beside the accounts, never on them.
    fn release(&self, record: usize, movement: &Movement, way: Way) -> rusqlite::Result<()> {
        let in_parts: i64 = movement.parts.iter().map(|part| part.points).sum();
        if in_parts != movement.points {
            let text = format!("the parts of '{}' are {in_parts} points, not {}", movement.op, movement.points);
            self.alarm("parts-differ", text)?;
        }
        for (index, part) in movement.parts.iter().enumerate() {
            let outstanding = self.outstanding(&part.grant, &movement.member)?;
            let covered = part.points.min(outstanding);
            if covered > 0 {
                self.move_covered(&part.grant, &movement.member, covered, way)?;
            }
            if covered < part.points {
                let grant = &part.grant;
                let excess = part.points - covered;
                let text = format!("{excess} points of '{}' were {} beyond '{grant}'", movement.member, way.word());
                self.alarm(way.alarm(), text)?;
                self.tx.execute(
                    "INSERT INTO excess (box, epoch, seq, record, part, what, member, grant_id, points)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
                    params![
                        self.box_name,
                        self.epoch,
                        self.seq,
                        record as i64,
                        index as i64,
                        way.word(),
                        movement.member,
                        grant,
                        excess
                    ],
                )?;
            }
        }
        Ok(())
    }

    /// What a grant of this box and epoch still covers for the member.
    fn outstanding(&self, grant: &str, member: &str) -> rusqlite::Result<i64> {
        let mut select = self.tx.prepare_cached(
            "SELECT amount - spent - returned FROM escrow
             WHERE box = ?1 AND epoch = ?2 AND grant_id = ?3 AND member = ?4",
        )?;
        let outstanding = select.query_row(params![self.box_name, self.epoch, grant, member], |row| row.get(0));
        Ok(outstanding.optional()?.unwrap_or(0))
    }

    fn move_covered(&self, grant: &str, member: &str, points: i64, way: Way) -> rusqlite::Result<()> {
        let (spent, returned) = match way {
            Way::Spent => (points, 0),
            Way::Returned => (0, points),
        };
        let moved = self
            .tx
            .prepare_cached(
                "UPDATE escrow SET spent = spent + ?4, returned = returned + ?5
                 WHERE box = ?1 AND epoch = ?2 AND grant_id = ?3",
            )?
            .execute(params![self.box_name, self.epoch, grant, spent, returned])?;
        assert_eq!(moved, 1, "the grant was read in this transaction");
        store::post(self.tx, member, Sums { credited: 0, debited: spent, escrow: -points })
    }

    /// Stores an alarm about the entry at the desk, once.
    pub fn alarm(&self, code: &str, text: String) -> rusqlite::Result<()> {
        let text = format!("epoch {}, entry {}: {text}", self.epoch, self.seq);
        let new = self
            .tx
            .prepare_cached(
                "INSERT INTO alarm (box, epoch, seq, code, text, at_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT DO NOTHING",
            )?
            .execute(params![self.box_name, self.epoch, self.seq, code, text, self.now_ms])?;
        if new == 1 {
            tracing::warn!(box_name = self.box_name, code, text, "a box's journal needs a look");
        }
        Ok(())
    }
}

impl Way {
    fn word(self) -> &'static str {
        match self {
            Way::Spent => "spent",
            Way::Returned => "returned",
        }
    }

    fn alarm(self) -> &'static str {
        match self {
            Way::Spent => "overspent",
            Way::Returned => "over-returned",
        }
    }
}
