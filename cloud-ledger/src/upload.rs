//! Uploads: a stretch of a box's journal is linked, stored and applied in one transaction of few statements.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::apply::{Book, Pot, Taken};
use crate::boxes::{self, held_cursor, lines};
use crate::campaigns;
use crate::claims;
use crate::db::{Ask, Row, Tx, Value};
use crate::debts;
use crate::journal::{self, BodyFault, ChainFault, Cursor, Entry, Fact, Head, Linked, Movement};
use crate::ledger::{Ledger, Refusal};
use crate::transfer;
use crate::values;

/// How many entries one upload may bring; a box that was cut off for weeks sends many uploads.
pub const ENTRIES_MAX: usize = 500;

/// How many entries beside a journal are kept of one epoch: what a rewound box can do in days, and no way to fill the
/// ledger's disk.
const BRANCH_MAX: i64 = 100_000;

/// A stretch of a box's journal.
#[derive(Clone, Debug, Deserialize)]
pub struct Upload {
    /// Which epoch's journal.
    pub epoch: u32,
    /// At most [`ENTRIES_MAX`], in order.
    pub entries: Vec<Entry>,
    /// Whether these are entries beside the journal, to be kept and not applied.
    #[serde(default)]
    pub branch: bool,
    /// The head before the first entry of a branch.
    #[serde(default)]
    pub prev: Option<Head>,
}

/// The place in a box's journal that is being written, inside a transaction.
struct Desk<'a, 'tx> {
    tx: &'a mut Tx<'tx>,
    box_name: &'a str,
    epoch: u32,
    now_ms: i64,
}

/// The facts of one entry, each with its record.
struct Read<'a> {
    entry: Linked<'a>,
    facts: Vec<(usize, Fact)>,
}

impl Ledger {
    /// Applies the entries that continue the journal. What a box has done is a fact: it may cause an alarm, and is
    /// kept all the same.
    pub fn upload(&self, box_name: &str, upload: &Upload, now_ms: i64) -> Result<Cursor, Refusal> {
        if upload.entries.len() > ENTRIES_MAX {
            let sent = upload.entries.len();
            return Err(Refusal::BadRequest(format!("entries: {sent} were sent, at most {ENTRIES_MAX} are allowed")));
        }
        // A refusal inside is committed: the entries before it count, and so do the alarms.
        self.database.write(|tx| {
            let cursor = open(tx, box_name, upload.epoch)?;
            let mut desk = Desk { tx, box_name, epoch: upload.epoch, now_ms };
            if upload.branch {
                return desk.keep_branch(upload, cursor).map(Ok);
            }
            desk.apply(cursor, &upload.entries)
        })?
    }

    /// The signature over a cursor.
    pub fn sign_cursor(&self, box_name: &str, cursor: &Cursor) -> String {
        let [epoch, seq, head] = lines(cursor);
        self.key.sign(&["gatepost-cursor-v1", box_name, &epoch, &seq, &head])
    }
}

impl Desk<'_, '_> {
    /// Applies what is fresh; the inner result is what the box is told, and is committed either way.
    fn apply(&mut self, mut cursor: Cursor, entries: &[Entry]) -> Result<Result<Cursor, Refusal>, Refusal> {
        let run = match journal::split(&cursor, entries) {
            Ok(run) => run,
            Err(ChainFault::Fork { seq }) => {
                self.alarm(seq, "fork", &format!("it does not link to the head {}", cursor.head))?;
                return Ok(Err(Refusal::Fork { seq, cursor }));
            }
            Err(other) => return Ok(Err(refused(&other, cursor))),
        };
        self.compare_repeated(run.repeated)?;
        let mut read = Vec::with_capacity(run.fresh.len());
        let mut fault = None;
        for entry in run.fresh {
            match journal::facts(entry.body) {
                Ok(facts) => read.push(Read { entry, facts }),
                Err(wrong) => {
                    fault = Some((entry.seq, wrong));
                    break;
                }
            }
        }
        if let Some(last) = read.last() {
            cursor = Cursor { epoch: cursor.epoch, seq: last.entry.seq, head: last.entry.head };
            self.post(&read, &cursor)?;
        }
        match fault {
            None => Ok(Ok(cursor)),
            Some((seq, fault)) => Ok(Err(self.stop_at(seq, fault, cursor)?)),
        }
    }

    /// Stores the entries and what they change, and moves the cursor. Statements that need nothing of each other's
    /// answers travel together: what an upload takes is mostly journeys to the database.
    fn post(&mut self, read: &[Read<'_>], cursor: &Cursor) -> Result<(), Refusal> {
        let (box_name, epoch) = (self.box_name, self.epoch);
        let row = |read: &Read<'_>| {
            let Linked { seq, body, head } = read.entry;
            values![box_name, epoch, seq, body, head.0].to_vec()
        };
        let rows: Vec<_> = read.iter().map(row).collect();
        let by_op = by_op(read);
        let op = |(op, (seq, record)): (&&str, &(i64, usize))| values![*op, box_name, epoch, *seq, *record].to_vec();
        let ops: Vec<_> = by_op.iter().map(op).collect();
        let names = Names::of(read);
        let pots = self.pots_by_id();
        let mut asks = vec![
            Ask::Each("INSERT INTO entry (box, epoch, seq, body, head) {rows}", "tiitb", &rows),
            Ask::Each(
                "INSERT INTO op (op, box, epoch, seq, record) {rows} ON CONFLICT DO NOTHING RETURNING op",
                "ttiii",
                &ops,
            ),
        ];
        let wanted = values![box_name, epoch, names.pots.iter().cloned().collect::<Vec<_>>()].to_vec();
        if !names.pots.is_empty() {
            asks.push(Ask::One(&pots, &wanted));
        }
        let mut answered = self.tx.all(&asks)?.into_iter().skip(1);
        // Which records have their effect: the first of each op, for ever.
        let new = answered.next().unwrap_or_default();
        let firsts: BTreeSet<(i64, usize)> = new.iter().map(|row| by_op[row.text(0).as_str()]).collect();
        let mut book = Book::new(box_name, epoch, self.now_ms);
        add_pots(&mut book, &answered.next().unwrap_or_default());
        self.fill(&mut book, read, &names, &firsts)?;
        for Read { entry, facts } in read {
            for (record, fact) in facts {
                match op_of(fact) {
                    Some(op) if !firsts.contains(&(entry.seq, *record)) => {
                        let text = format!("the op '{op}' was applied before; this record changed nothing");
                        book.alarm(entry.seq, "op-repeated", text);
                    }
                    Some(_) | None => book.take(entry.seq, *record, fact),
                }
                debts::take(self.tx, &mut book, box_name, epoch, entry.seq, self.now_ms, fact)?;
                campaigns::take(self.tx, &mut book, box_name, epoch, entry.seq, fact)?;
                claims::take(self.tx, &mut book, (box_name, epoch, entry.seq), self.now_ms, fact)?;
            }
        }
        self.write(&mut book, &earners(read, &firsts), cursor)
    }

    /// Reads what else the facts name: all pockets of a member, and spends.
    fn fill(
        &mut self,
        book: &mut Book<'_>,
        read: &[Read<'_>],
        names: &Names,
        firsts: &BTreeSet<(i64, usize)>,
    ) -> Result<(), Refusal> {
        let born_here: BTreeSet<String> = read
            .iter()
            .flat_map(|Read { entry, facts }| facts.iter().map(|(record, fact)| ((entry.seq, *record), fact)))
            .filter_map(|(place, fact)| match fact {
                Fact::PointsEarned { op, .. } if firsts.contains(&place) => Some(format!("born:{op}")),
                Fact::PointsEarned { .. } | Fact::GrantAccepted { .. } | Fact::DebtBooked(_) => None,
                Fact::PointsSpent(_) | Fact::PointsReturned(_) | Fact::PointsReversed { .. } => None,
                Fact::DebtPaid { .. } | Fact::ShareTaken { .. } | Fact::CouponTold { .. } => None,
            })
            .collect();
        // A pocket that is neither stored nor born here may be a member's name for all pockets.
        let is_open = |name: &&String| !book.pots.contains_key(*name) && !born_here.contains(*name);
        let open = names.pots.iter().filter(is_open).filter_map(|name| name.strip_prefix("born:"));
        let members: Vec<String> = open.map(str::to_owned).collect();
        if !members.is_empty() {
            let sql = format!(
                "{POTS} WHERE box = $1 AND epoch = $2 AND member {{any $3}} AND born_seq > 0 ORDER BY id {{lock}}"
            );
            add_pots(book, &self.tx.rows(&sql, values![self.box_name, self.epoch, members])?);
        }
        self.fill_spends(book, names.undone.iter().cloned().collect())
    }

    /// The pots of a list of ids. The sums around box and epoch say nothing new; they keep the planner from reading all
    /// that this box ever had by its other key.
    fn pots_by_id(&self) -> String {
        format!(
            "{POTS} WHERE id {{any $3}} AND coalesce(box, '') = $1 AND coalesce(epoch, 0) = $2 ORDER BY id {{lock}}"
        )
    }

    fn fill_spends(&mut self, book: &mut Book<'_>, ops: Vec<String>) -> Result<(), Refusal> {
        if ops.is_empty() {
            return Ok(());
        }
        let moved = self.tx.rows(
            "SELECT of_op, escrow, what, CAST(sum(points) AS BIGINT) FROM transfer
             WHERE of_op {any $1} AND escrow IS NOT NULL AND box = $2 AND epoch = $3 GROUP BY of_op, escrow, what",
            values![ops, self.box_name, self.epoch],
        )?;
        for row in &moved {
            add_taken(book.spends.entry((row.text(0), row.text(1))).or_default(), &row.text(2), row.int(3));
        }
        Ok(())
    }

    /// Writes what has changed, on one journey. A stranger who earned points gets an account: the points are kept.
    fn write(&mut self, book: &mut Book<'_>, earners: &BTreeMap<&str, i64>, cursor: &Cursor) -> Result<(), Refusal> {
        let (box_name, epoch) = (self.box_name, self.epoch);
        let members: Vec<Vec<Value>> = earners.keys().map(|member| values![*member].to_vec()).collect();
        let born = |id: &String| {
            let pot = &book.pots[id];
            let Pot { member, lot, born_seq, place, amount, spent, returned, .. } = pot;
            values![id, box_name, epoch, member, lot, *born_seq, *place, *amount, *spent, *returned].to_vec()
        };
        let born: Vec<_> = book.born.iter().map(born).collect();
        let changed = |id: &String| {
            let Pot { spent, returned, late_spent, late_returned, accepted, .. } = &book.pots[id];
            values![id, *spent, *returned, *late_spent, *late_returned, *accepted].to_vec()
        };
        let changed: Vec<_> = book.changed.iter().map(changed).collect();
        let back: Vec<_> = book.back.iter().map(|(lot, points)| values![lot, *points].to_vec()).collect();
        let moved = values![box_name, epoch, cursor.seq, cursor.head.0];
        let done = self.tx.all(&[
            Ask::Each("INSERT INTO account (member) {rows} ON CONFLICT DO NOTHING RETURNING member", "t", &members),
            Ask::Each(
                "INSERT INTO lot (id, member, issuer, funder, source, settle_bps, expires_ms, valid_from_ms, places,
                                  times, at_ms, points) {rows}",
                "tttttiiittii",
                &book.lots,
            ),
            Ask::Each(
                "INSERT INTO escrow (id, box, epoch, member, lot, born_seq, place, amount, spent, returned) {rows}",
                "ttittiiiii",
                &born,
            ),
            Ask::Each(
                "WITH now (id, spent, returned, late_spent, late_returned, accepted) AS ({rows})
                 UPDATE escrow SET spent = now.spent, returned = now.returned, late_spent = now.late_spent,
                                   late_returned = now.late_returned, accepted = now.accepted
                 FROM now WHERE escrow.id = now.id",
                "tiiiii",
                &changed,
            ),
            Ask::Each(GIVE_TO_LOTS, "ti", &back),
            transfer::written(&book.transfers),
            Ask::Each(
                "INSERT INTO excess (box, epoch, seq, record, part, what, member, grant_id, points) {rows}",
                "tiiiittti",
                &book.excess,
            ),
            Ask::One("UPDATE cursor SET seq = $3, head = $4 WHERE box = $1 AND epoch = $2", moved),
        ])?;
        for row in done.first().into_iter().flatten() {
            let member = row.text(0);
            let text = format!("the member '{member}' earned points and is not known here");
            book.alarm(earners[member.as_str()], "member-unknown", text);
        }
        for (seq, code, text) in &book.alarms {
            self.alarm(*seq, code, text)?;
        }
        Ok(())
    }

    /// A repeat is harmless; a repeat with another content is a journal that was rewritten, and somebody should know.
    fn compare_repeated(&mut self, repeated: &[Entry]) -> Result<(), Refusal> {
        let (Some(first), Some(last)) = (repeated.first(), repeated.last()) else { return Ok(()) };
        let held = self.tx.rows(
            "SELECT seq, body FROM entry WHERE box = $1 AND epoch = $2 AND seq BETWEEN $3 AND $4 ORDER BY seq",
            values![self.box_name, self.epoch, first.seq, last.seq],
        )?;
        for (entry, held) in repeated.iter().zip(&held) {
            if entry.body != held.text(1) {
                let head = entry.head.map_or_else(|| "another head".to_owned(), |head| head.to_string());
                self.alarm(entry.seq, "fork", &format!("it came again with another content, for {head}"))?;
            }
        }
        Ok(())
    }

    /// Keeps entries that do not continue the journal, once each.
    fn keep_branch(&mut self, upload: &Upload, cursor: Cursor) -> Result<Cursor, Refusal> {
        let prev = upload
            .prev
            .ok_or_else(|| Refusal::BadRequest("prev: a branch needs the head before its first entry".to_owned()))?;
        let first = upload.entries.first().map_or(1, |first| first.seq);
        let before = Cursor { epoch: self.epoch, seq: first - 1, head: prev };
        let run = journal::split(&before, &upload.entries).map_err(|fault| refused(&fault, cursor.clone()))?;
        let held = self.tx.only(
            "SELECT count(*) FROM branch_entry WHERE box = $1 AND epoch = $2",
            values![self.box_name, self.epoch],
        )?;
        if held.int(0) + run.fresh.len() as i64 > BRANCH_MAX {
            let text = format!("entries: {} beside this journal are kept, no more than {BRANCH_MAX}", held.int(0));
            return Err(Refusal::BadRequest(text));
        }
        let (box_name, epoch, now_ms) = (self.box_name, self.epoch, self.now_ms);
        let mut prev = prev;
        let row = |entry: &Linked<'_>| {
            let row = values![box_name, epoch, entry.seq, prev.0, entry.body, entry.head.0, now_ms].to_vec();
            prev = entry.head;
            row
        };
        let rows: Vec<_> = run.fresh.iter().map(row).collect();
        self.tx.each(
            "INSERT INTO branch_entry (box, epoch, seq, prev, body, head, at_ms) {rows} ON CONFLICT DO NOTHING",
            "tiibtbi",
            &rows,
        )?;
        if let (Some(first), Some(last)) = (run.fresh.first(), run.fresh.last()) {
            let text = format!("entries {} to {} beside the journal are kept and not applied", first.seq, last.seq);
            self.alarm(first.seq, "branch-kept", &text)?;
        }
        Ok(cursor)
    }

    /// Notes why the cursor stops before this entry.
    fn stop_at(&mut self, seq: i64, fault: BodyFault, cursor: Cursor) -> Result<Refusal, Refusal> {
        match fault {
            BodyFault::UnknownKind { kind } => {
                self.alarm(seq, "unknown-kind", &format!("it has a record of the unknown kind '{kind}'"))?;
                Ok(Refusal::UnknownKind { seq, kind, cursor })
            }
            BodyFault::Malformed { field, wrong } => {
                self.alarm(seq, "malformed-entry", &format!("{field} {wrong}"))?;
                Ok(Refusal::MalformedEntry { seq, field, wrong, cursor })
            }
        }
    }

    fn alarm(&mut self, seq: i64, code: &str, text: &str) -> Result<(), Refusal> {
        boxes::alarm(self.tx, self.box_name, self.epoch, seq, code, text, self.now_ms)
    }
}

/// Where the columns of a pot are read, in the order of [`add_pots`].
const POTS: &str = "SELECT id, member, lot, born_seq, place, amount, spent, returned, released, late_spent,
                           late_returned, accepted FROM escrow";

/// Raises what is available of lots: each row is a lot and its points.
const GIVE_TO_LOTS: &str = "WITH back (id, points) AS ({rows})
    UPDATE lot SET available = lot.available + back.points FROM back WHERE lot.id = back.id";

/// Raises what is available of lots: each row is a lot and its points.
pub(crate) fn give_to_lots(tx: &mut Tx<'_>, rows: &[Vec<Value>]) -> Result<(), Refusal> {
    tx.each(GIVE_TO_LOTS, "ti", rows)?;
    Ok(())
}

/// What the facts of a stretch name.
struct Names {
    /// Grants and pockets.
    pots: BTreeSet<String>,
    /// Spends that are reversed.
    undone: BTreeSet<String>,
}

impl Names {
    fn of(read: &[Read<'_>]) -> Self {
        let (mut pots, mut undone) = (BTreeSet::new(), BTreeSet::new());
        for (_, fact) in read.iter().flat_map(|read| &read.facts) {
            match fact {
                Fact::GrantAccepted { grant, .. } => _ = pots.insert(grant.clone()),
                Fact::PointsSpent(movement) | Fact::PointsReturned(movement) => add_names(&mut pots, movement),
                Fact::PointsReversed { of, movement } => {
                    add_names(&mut pots, movement);
                    undone.insert(of.clone());
                }
                Fact::PointsEarned { .. } | Fact::DebtBooked(_) => {}
                Fact::DebtPaid { .. } | Fact::ShareTaken { .. } | Fact::CouponTold { .. } => {}
            }
        }
        Self { pots, undone }
    }
}

/// The first record of each op in a stretch.
fn by_op<'a>(read: &'a [Read<'_>]) -> BTreeMap<&'a str, (i64, usize)> {
    let mut by_op = BTreeMap::new();
    for Read { entry, facts } in read {
        for (record, fact) in facts {
            if let Some(op) = op_of(fact) {
                by_op.entry(op).or_insert((entry.seq, *record));
            }
        }
    }
    by_op
}

/// Who earned points, with the first entry that says so.
fn earners<'a>(read: &'a [Read<'_>], firsts: &BTreeSet<(i64, usize)>) -> BTreeMap<&'a str, i64> {
    let mut members = BTreeMap::new();
    for Read { entry, facts } in read {
        for (record, fact) in facts {
            if let (Fact::PointsEarned { member, .. }, true) = (fact, firsts.contains(&(entry.seq, *record))) {
                members.entry(member.as_str()).or_insert(entry.seq);
            }
        }
    }
    members
}

fn add_pots(book: &mut Book<'_>, rows: &[Row]) {
    let pot = |row: &Row| Pot {
        member: row.text(1),
        lot: row.text(2),
        born_seq: row.int(3),
        place: row.int(4),
        amount: row.int(5),
        spent: row.int(6),
        returned: row.int(7),
        released: row.int(8),
        late_spent: row.int(9),
        late_returned: row.int(10),
        accepted: row.flag(11),
    };
    book.pots.extend(rows.iter().map(|row| (row.text(0), pot(row))));
}

/// Holds the place in a box's journal that is written next, and reads it.
fn open(tx: &mut Tx<'_>, box_name: &str, epoch: u32) -> Result<Cursor, Refusal> {
    let answered = tx.all(&[
        Ask::One("SELECT epoch FROM box WHERE name = $1", values![box_name]),
        Ask::One("SELECT seq, head FROM cursor WHERE box = $1 AND epoch = $2 {lock}", values![box_name, epoch]),
    ])?;
    let standing = answered[0].first().ok_or_else(|| Refusal::BoxUnknown(box_name.to_owned()))?;
    let current = standing.epoch(0);
    if epoch > current {
        return Err(Refusal::WrongEpoch { current });
    }
    match answered[1].first() {
        Some(row) => Ok(Cursor { epoch, seq: row.int(0), head: Head(row.hash(1)) }),
        None => held_cursor(tx, box_name, epoch),
    }
}

/// Counts a movement of a spend, by its word in the table, into what is left of the spend.
pub(crate) fn add_taken(taken: &mut Taken, what: &str, points: i64) {
    match what {
        "spent" => taken.normal += points,
        "late-spent" => taken.late += points,
        "reversed" | "spend-undone" => taken.normal -= points,
        "late-reversed" | "late-spend-undone" => taken.late -= points,
        _ => unreachable!("no other movement names a spend and a pot"),
    }
}

/// The op of a record that moves points.
pub(crate) fn op_of(fact: &Fact) -> Option<&str> {
    match fact {
        Fact::PointsEarned { op, .. } => Some(op),
        Fact::PointsSpent(movement) | Fact::PointsReturned(movement) | Fact::PointsReversed { movement, .. } => {
            Some(&movement.op)
        }
        Fact::GrantAccepted { .. } | Fact::DebtBooked(_) | Fact::DebtPaid { .. } => None,
        Fact::ShareTaken { .. } | Fact::CouponTold { .. } => None,
    }
}

fn add_names(names: &mut BTreeSet<String>, movement: &Movement) {
    names.extend(movement.parts.iter().map(|part| part.grant.clone()));
}

fn refused(fault: &ChainFault, cursor: Cursor) -> Refusal {
    match fault {
        ChainFault::NotARun { index } => {
            Refusal::BadRequest(format!("entries[{index}].seq: must go up by one, from at least 1"))
        }
        ChainFault::Headless { index } => {
            Refusal::BadRequest(format!("entries[{index}].head: the last entry of a request needs its head"))
        }
        ChainFault::Gap => Refusal::Gap { cursor },
        ChainFault::Fork { seq } => Refusal::Fork { seq: *seq, cursor },
    }
}
