//! What boxes ask for: to be known, to hand in their journal, and to get points reserved. Each ask is one transaction.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OptionalExtension, Transaction, params};
use serde::{Deserialize, Serialize};

use crate::apply::Desk;
use crate::journal::{Cursor, Entry, Head, natural, some_points};
use crate::store::{self, Sums, begin};

/// How many entries one upload may bring; a box that was cut off for weeks sends many uploads.
pub const ENTRIES_MAX: usize = 500;

/// How many characters a name, an id, an op or a request may have.
pub const NAME_CHARS_MAX: usize = 128;

/// How many alarms of a box are shown, the newest ones.
const ALARMS_SHOWN: u32 = 200;

/// The ledger in its file. All writing goes through one connection, one transaction after the other.
pub struct Ledger {
    path: PathBuf,
    writer: Mutex<Connection>,
    reader: Mutex<Connection>,
}

/// Why the ledger did not do what was asked. `docs/cloud-api.md` has the codes.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The request is not what the page says.
    #[error("{0}")]
    BadRequest(String),
    /// An entry of an upload is not a journal entry; those before it were applied.
    #[error("entry {seq}: {field} {wrong}")]
    MalformedEntry {
        /// The entry.
        seq: i64,
        /// The field in its body.
        field: String,
        /// What is wrong.
        wrong: String,
        /// After the entries before it.
        cursor: Cursor,
    },
    /// Entries are missing; nothing was applied.
    #[error("the first entry is beyond number {}", cursor.seq + 1)]
    Gap {
        /// Where the ledger stands.
        cursor: Cursor,
    },
    /// The journal was rewritten; nothing was applied.
    #[error("entry {seq} does not link to the head before it")]
    Fork {
        /// The entry.
        seq: i64,
        /// Where the ledger stands.
        cursor: Cursor,
    },
    /// A record of an unknown kind; the entries before it were applied.
    #[error("entry {seq} has a record of the kind '{kind}', which this ledger does not know")]
    UnknownKind {
        /// The entry.
        seq: i64,
        /// The kind.
        kind: String,
        /// After the entries before it.
        cursor: Cursor,
    },
    /// The epoch is not the box's current one.
    #[error("the box's epoch is {current}")]
    WrongEpoch {
        /// The current one.
        current: u32,
    },
    /// The id of a request, credit or spend came again with another content.
    #[error("'{id}' was used before with another content")]
    RequestReused {
        /// The id.
        id: String,
    },
    /// No such member.
    #[error("there is no member '{0}'")]
    MemberUnknown(String),
    /// The box has never said hello.
    #[error("the box '{0}' has not said hello yet")]
    BoxUnknown(String),
    /// A plate or code belongs to another member.
    #[error("the {what} at place {place} of the list belongs to another member")]
    Taken {
        /// `plate` or `code`.
        what: &'static str,
        /// Its place in the list, from 1.
        place: usize,
    },
    /// The member has not that many.
    #[error("{available} points are available")]
    InsufficientPoints {
        /// How many there are.
        available: i64,
    },
    /// The database did not do it; nothing of the request was kept.
    #[error("the database failed: {0}")]
    Database(#[from] rusqlite::Error),
}

/// What a box says of its journal when it comes up.
#[derive(Clone, Debug, Deserialize)]
pub struct Hello {
    /// Its epoch.
    pub epoch: u32,
    /// Its newest entry, 0 before the first.
    #[serde(deserialize_with = "natural")]
    pub seq: i64,
    /// That entry's head, or the genesis head.
    pub head: Head,
}

/// What the ledger makes of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Welcome {
    /// How the two compare.
    pub verdict: Verdict,
    /// The box's epoch as the ledger knows it.
    pub epoch: u32,
    /// How far the ledger holds the journal of the epoch that the box said, or else of the current one.
    pub cursor: Cursor,
}

/// How a box's journal compares with what the ledger holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It continues it.
    Ok,
    /// It is shorter: it was rewound.
    Behind,
    /// It is as long, and another.
    Fork,
    /// It is of another epoch.
    WrongEpoch,
}

/// A stretch of a box's journal.
#[derive(Clone, Debug, Deserialize)]
pub struct Upload {
    /// Which epoch's journal.
    pub epoch: u32,
    /// At most [`ENTRIES_MAX`], in order.
    pub entries: Vec<Entry>,
}

/// A wish for points.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct GrantAsk {
    /// The box's id of the wish; a repeat has the same.
    pub request: String,
    /// The box's epoch.
    pub epoch: u32,
    /// Whose points.
    pub member: String,
    /// How many, from 1.
    #[serde(deserialize_with = "some_points")]
    pub points: i64,
}

/// Points reserved for a box, durably, before it hears of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Grant {
    /// The grant's id; none where nothing was available.
    pub grant: Option<String>,
    /// The wish that it answers.
    pub request: String,
    /// Whose points.
    pub member: String,
    /// For which epoch.
    pub epoch: u32,
    /// How many; may be less than wished.
    pub points: i64,
}

/// A box as the administrator sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BoxView {
    /// Its name.
    #[serde(rename = "box")]
    pub name: String,
    /// Its current epoch.
    pub epoch: u32,
    /// How far its current journal is held.
    pub cursor: Cursor,
    /// How many entries of all its journals are held.
    pub entries: i64,
    /// What somebody should look at, newest first.
    pub alarms: Vec<Alarm>,
}

/// Something about a box that somebody should look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Alarm {
    /// A word for it.
    pub code: String,
    /// A sentence.
    pub text: String,
    /// When the ledger noticed.
    pub at_ms: i64,
}

impl Ledger {
    /// Opens the ledger in the file at `path`; makes the file where it is missing.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let writer = store::open(path)?;
        let reader = store::open_for_reading(path)?;
        Ok(Self { path: path.to_owned(), writer: Mutex::new(writer), reader: Mutex::new(reader) })
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Compares a box's journal with what is held of it; a box that was never heard of is registered.
    pub fn hello(&self, box_name: &str, hello: &Hello, now_ms: i64) -> Result<Welcome, Refusal> {
        let mut db = self.writer();
        let tx = begin(&mut db)?;
        tx.prepare_cached("INSERT INTO box (name, epoch) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
            .execute(params![box_name, hello.epoch])?;
        let epoch = current_epoch(&tx, box_name)?;
        let held = if hello.epoch <= epoch { hello.epoch } else { epoch };
        let cursor = cursor(&tx, box_name, held)?;
        let verdict = compare(epoch, &cursor, hello);
        let desk = Desk { tx: &tx, box_name, epoch: hello.epoch, seq: hello.seq, now_ms };
        match verdict {
            Verdict::Ok => {}
            Verdict::Behind => desk.alarm("rewound", format!("its journal ends before entry {}", cursor.seq))?,
            Verdict::Fork => desk.alarm("fork", format!("its head is {}, the ledger's {}", hello.head, cursor.head))?,
            Verdict::WrongEpoch => desk.alarm("wrong-epoch", format!("its epoch is {epoch}"))?,
        }
        tx.commit()?;
        Ok(Welcome { verdict, epoch, cursor })
    }

    /// Applies the entries that continue the journal. What a box has done is a fact: it may cause an alarm, and is
    /// kept all the same.
    pub fn upload(&self, box_name: &str, upload: &Upload, now_ms: i64) -> Result<Cursor, Refusal> {
        if upload.entries.len() > ENTRIES_MAX {
            let sent = upload.entries.len();
            return Err(Refusal::BadRequest(format!("entries: {sent} were sent, at most {ENTRIES_MAX} are allowed")));
        }
        let mut db = self.writer();
        let tx = begin(&mut db)?;
        let current = current_epoch(&tx, box_name)?;
        if upload.epoch > current {
            return Err(Refusal::WrongEpoch { current });
        }
        let cursor = cursor(&tx, box_name, upload.epoch)?;
        let mut desk = Desk { tx: &tx, box_name, epoch: upload.epoch, seq: 0, now_ms };
        // A refusal inside is committed: the entries before it count, and so do the alarms.
        let outcome = desk.apply(cursor, &upload.entries)?;
        tx.commit()?;
        outcome
    }

    /// Reserves what is available, up to what is asked, in one commit before it answers. Nothing but the box's own
    /// journal ever frees it.
    pub fn grant(&self, box_name: &str, ask: &GrantAsk) -> Result<Grant, Refusal> {
        check_name("request", &ask.request)?;
        let mut db = self.writer();
        let tx = begin(&mut db)?;
        let current = current_epoch(&tx, box_name)?;
        if ask.epoch != current {
            return Err(Refusal::WrongEpoch { current });
        }
        if let Some(stored) = stored_grant(&tx, box_name, ask)? {
            return Ok(stored);
        }
        let is_member = tx.prepare_cached("SELECT 1 FROM member WHERE id = ?1")?.exists([&ask.member])?;
        let sums = store::sums(&tx, &ask.member)?.filter(|_| is_member);
        let available = sums.ok_or_else(|| Refusal::MemberUnknown(ask.member.clone()))?.available();
        let grant = reserve(&tx, box_name, ask, available.min(ask.points))?;
        tx.commit()?;
        Ok(grant)
    }

    /// Ends an epoch of a box (lost, stolen, installed anew): from now on only the next one gets grants. What was
    /// reserved for the old one stays reserved, and its journal is still taken. A repeat changes nothing.
    pub fn fence(&self, box_name: &str, epoch: u32) -> Result<u32, Refusal> {
        let mut db = self.writer();
        let tx = begin(&mut db)?;
        let current = current_epoch(&tx, box_name)?;
        if epoch > current {
            return Err(Refusal::WrongEpoch { current });
        }
        let next = epoch.checked_add(1).ok_or(Refusal::WrongEpoch { current })?;
        if epoch == current {
            tx.execute("UPDATE box SET epoch = ?2 WHERE name = ?1", params![box_name, next])?;
            cursor(&tx, box_name, next)?;
        }
        tx.commit()?;
        Ok(next)
    }

    /// A box with its newest alarms.
    pub fn box_view(&self, box_name: &str) -> Result<BoxView, Refusal> {
        let mut db = self.reader();
        let tx = db.transaction()?;
        let epoch = current_epoch(&tx, box_name)?;
        let cursor = stored_cursor(&tx, box_name, epoch)?;
        let cursor = cursor.unwrap_or_else(|| Cursor::genesis(box_name, epoch));
        let entries = tx.query_row("SELECT count(*) FROM entry WHERE box = ?1", [box_name], |row| row.get(0))?;
        let mut select =
            tx.prepare_cached("SELECT code, text, at_ms FROM alarm WHERE box = ?1 ORDER BY number DESC LIMIT ?2")?;
        let alarm = |row: &rusqlite::Row<'_>| Ok(Alarm { code: row.get(0)?, text: row.get(1)?, at_ms: row.get(2)? });
        let alarms = select.query_map(params![box_name, ALARMS_SHOWN], alarm)?.collect::<Result<_, _>>()?;
        Ok(BoxView { name: box_name.to_owned(), epoch, cursor, entries, alarms })
    }

    /// The one connection that writes. After a panic its transaction was rolled back, so it is as good as before.
    pub(crate) fn writer(&self) -> MutexGuard<'_, Connection> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection that only reads, and so never waits for a commit.
    pub(crate) fn reader(&self) -> MutexGuard<'_, Connection> {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Refuses an id that no page, log or path could carry; `field` is what the message calls it.
pub(crate) fn check_name(field: &str, name: &str) -> Result<(), Refusal> {
    let carries = |c: char| !c.is_control() && !c.is_whitespace();
    if (1..=NAME_CHARS_MAX).contains(&name.chars().count()) && name.chars().all(carries) {
        return Ok(());
    }
    Err(Refusal::BadRequest(format!("{field}: must be 1 to {NAME_CHARS_MAX} characters without spaces")))
}

fn compare(epoch: u32, cursor: &Cursor, hello: &Hello) -> Verdict {
    if hello.epoch != epoch {
        return Verdict::WrongEpoch;
    }
    match hello.seq.cmp(&cursor.seq) {
        std::cmp::Ordering::Less => Verdict::Behind,
        std::cmp::Ordering::Equal if hello.head != cursor.head => Verdict::Fork,
        std::cmp::Ordering::Equal | std::cmp::Ordering::Greater => Verdict::Ok,
    }
}

fn current_epoch(db: &Connection, box_name: &str) -> Result<u32, Refusal> {
    let mut select = db.prepare_cached("SELECT epoch FROM box WHERE name = ?1")?;
    let epoch = select.query_row([box_name], |row| row.get(0)).optional()?;
    epoch.ok_or_else(|| Refusal::BoxUnknown(box_name.to_owned()))
}

/// The cursor of a box's epoch; one that was never heard of starts at its genesis.
fn cursor(tx: &Transaction<'_>, box_name: &str, epoch: u32) -> Result<Cursor, Refusal> {
    if let Some(cursor) = stored_cursor(tx, box_name, epoch)? {
        return Ok(cursor);
    }
    let cursor = Cursor::genesis(box_name, epoch);
    tx.prepare_cached("INSERT INTO cursor (box, epoch, seq, head) VALUES (?1, ?2, ?3, ?4)")?.execute(params![
        box_name,
        epoch,
        cursor.seq,
        cursor.head.0
    ])?;
    Ok(cursor)
}

fn stored_cursor(db: &Connection, box_name: &str, epoch: u32) -> rusqlite::Result<Option<Cursor>> {
    db.prepare_cached("SELECT seq, head FROM cursor WHERE box = ?1 AND epoch = ?2")?
        .query_row(params![box_name, epoch], |row| Ok(Cursor { epoch, seq: row.get(0)?, head: Head(row.get(1)?) }))
        .optional()
}

fn stored_grant(tx: &Transaction<'_>, box_name: &str, ask: &GrantAsk) -> Result<Option<Grant>, Refusal> {
    let mut select = tx.prepare_cached(
        "SELECT epoch, member, asked, granted, grant_id FROM grant_request WHERE box = ?1 AND request = ?2",
    )?;
    let stored = select.query_row(params![box_name, ask.request], |row| {
        let asked =
            GrantAsk { request: ask.request.clone(), epoch: row.get(0)?, member: row.get(1)?, points: row.get(2)? };
        Ok((asked, row.get(3)?, row.get(4)?))
    });
    let Some((asked, points, grant)) = stored.optional()? else {
        return Ok(None);
    };
    if asked != *ask {
        return Err(Refusal::RequestReused { id: ask.request.clone() });
    }
    Ok(Some(Grant { grant, request: asked.request, member: asked.member, epoch: asked.epoch, points }))
}

fn reserve(tx: &Transaction<'_>, box_name: &str, ask: &GrantAsk, points: i64) -> Result<Grant, Refusal> {
    let number: i64 = tx.query_row("SELECT coalesce(max(number), 0) + 1 FROM grant_request", [], |row| row.get(0))?;
    let grant = (points > 0).then(|| format!("G-{number}"));
    tx.prepare_cached(
        "INSERT INTO grant_request (number, box, request, epoch, member, asked, granted, grant_id)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute(params![number, box_name, ask.request, ask.epoch, ask.member, ask.points, points, grant])?;
    if let Some(grant) = &grant {
        tx.prepare_cached("INSERT INTO escrow (box, epoch, grant_id, member, amount) VALUES (?1, ?2, ?3, ?4, ?5)")?
            .execute(params![box_name, ask.epoch, grant, ask.member, points])?;
        store::post(tx, &ask.member, Sums { escrow: points, ..Sums::default() })?;
    }
    Ok(Grant { grant, request: ask.request.clone(), member: ask.member.clone(), epoch: ask.epoch, points })
}
