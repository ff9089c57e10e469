//! What boxes ask for beside points: to be known, to hear how their journal compares, to begin a new epoch.

use serde::{Deserialize, Serialize};

use crate::db::{Row, Tx};
use crate::escrow;
use crate::journal::{Cursor, Head, natural};
use crate::ledger::{Ledger, Refusal};
use crate::sign::PublicKey;
use crate::values;

/// How many alarms of a box are shown, the newest ones.
const ALARMS_SHOWN: i64 = 200;

/// How many recalled grants one handshake names; the next one names the rest.
const RECALLS_MAX: i64 = 100;

/// How many characters the reason for a new epoch may have.
const REASON_CHARS_MAX: usize = 200;

/// What a box says of its journal when it comes up, and then now and again.
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
    /// How long the box may spend points from now; nothing where it may not.
    pub lease: Option<Lease>,
    /// Grants that are wanted back.
    pub recalls: Vec<String>,
    /// The epoch that the box must take.
    pub wants: Option<Wanted>,
    /// The ledger's, over all of this.
    pub signature: String,
}

/// How long a box may spend points.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Lease {
    /// From now.
    pub length_ms: i64,
    /// What the ledger's clock says.
    pub server_ms: i64,
}

/// The epoch that a box must take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Wanted {
    /// The one that it can expect.
    pub epoch: u32,
}

/// How a box's journal compares with what the ledger holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It continues it.
    Ok,
    /// It is shorter: it was rewound.
    Behind,
    /// It is another.
    Fork,
    /// It is of another epoch.
    WrongEpoch,
}

/// That a box's key is known, from which epoch on, and how far its journal is held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Enrolment {
    /// The box.
    #[serde(rename = "box")]
    pub name: String,
    /// Its epoch.
    pub epoch: u32,
    /// What the ledger signs with.
    pub ledger_key: String,
    /// How far the epoch's journal is held.
    pub cursor: Cursor,
    /// The ledger's, over all of this.
    pub signature: String,
}

/// What a box says of the epoch that it ends.
#[derive(Clone, Debug, Deserialize)]
pub struct EpochEnd {
    /// The epoch.
    pub epoch: u32,
    /// Where the box believes its journal to end.
    #[serde(deserialize_with = "natural")]
    pub seq: i64,
    /// The head there.
    pub head: Head,
    /// Why.
    #[serde(default)]
    pub reason: String,
}

/// A new epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NewEpoch {
    /// The box.
    #[serde(rename = "box")]
    pub name: String,
    /// The epoch that has ended.
    pub ended: u32,
    /// The current one.
    pub epoch: u32,
    /// How far the current one's journal is held: not at all, where it is new.
    pub cursor: Cursor,
    /// The ledger's, over all of this.
    pub signature: String,
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
    /// Points outstanding at it: the most that a clone of it could give twice.
    pub exposure: i64,
    /// Whether its key was taken back.
    pub revoked: bool,
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

/// A box as its row says.
pub(crate) struct Standing {
    pub epoch: u32,
    pub revoked: bool,
    token: Option<[u8; 32]>,
}

/// Whether the box's row is held until the end of the transaction.
#[derive(Clone, Copy)]
pub(crate) enum Hold {
    /// No.
    Not,
    /// So that no epoch ends meanwhile.
    Shared,
    /// So that nobody else does anything with the box.
    Alone,
}

impl Ledger {
    /// Makes a box's public key known. Another key than the one before ends the current epoch: it is another box.
    pub fn enrol(
        &self,
        box_name: &str,
        public_key: PublicKey,
        token: [u8; 32],
        now_ms: i64,
    ) -> Result<Enrolment, Refusal> {
        let (epoch, cursor) = self.database.write(|tx| {
            tx.run("INSERT INTO box (name, epoch) VALUES ($1, 1) ON CONFLICT DO NOTHING", values![box_name])?;
            let standing = standing(tx, box_name, Hold::Alone)?;
            if standing.revoked && standing.token == Some(token) {
                return Err(Refusal::Revoked("this token was revoked with the key that it enrolled".to_owned()));
            }
            let newest = "SELECT public_key FROM box_key WHERE box = $1 ORDER BY from_epoch DESC LIMIT 1";
            let known = tx.row(newest, values![box_name])?.map(|row| row.hash(0));
            let mut epoch = standing.epoch;
            if known.is_some_and(|known| known != public_key.0) || standing.revoked {
                let text = format!("another key enrolled; epoch {epoch} has ended");
                alarm(tx, box_name, epoch, 0, "enrolled-anew", &text, now_ms)?;
                epoch = end_epoch(tx, box_name, epoch)?;
            }
            if known != Some(public_key.0) || standing.revoked {
                tx.run(
                    "INSERT INTO box_key (box, from_epoch, public_key, at_ms) VALUES ($1, $2, $3, $4)",
                    values![box_name, epoch, public_key.0, now_ms],
                )?;
                tx.run("UPDATE box SET token = $2, revoked = 0 WHERE name = $1", values![box_name, token])?;
            }
            Ok((epoch, cursor(tx, box_name, epoch)?))
        })?;
        let (epoch_text, [cursor_epoch, seq, head]) = (epoch.to_string(), lines(&cursor));
        let key = public_key.to_string();
        let signature = self.key.sign(&["gatepost-enrol-v1", box_name, &key, &epoch_text, &cursor_epoch, &seq, &head]);
        let ledger_key = self.key.public().to_string();
        Ok(Enrolment { name: box_name.to_owned(), epoch, ledger_key, cursor, signature })
    }

    /// The key that opens an epoch of a box, if it has enrolled one.
    pub fn key_of(&self, box_name: &str, epoch: u32) -> Result<Option<PublicKey>, Refusal> {
        self.database.read(|tx| {
            let held = tx.row(
                "SELECT public_key FROM box_key WHERE box = $1 AND from_epoch <= $2 ORDER BY from_epoch DESC LIMIT 1",
                values![box_name, epoch],
            )?;
            Ok(held.map(|row| PublicKey(row.hash(0))))
        })
    }

    /// The key that opens an epoch of a box, and whether that is so for ever: the epoch has begun.
    pub fn key_and_age(&self, box_name: &str, epoch: u32) -> Result<(Option<PublicKey>, bool), Refusal> {
        // First the epoch: where it has begun by now, the key that is read after it is the last one.
        let current = self.database.read(|tx| match standing(tx, box_name, Hold::Not) {
            Ok(standing) => Ok(Some(standing.epoch)),
            Err(Refusal::BoxUnknown(_)) => Ok(None),
            Err(other) => Err(other),
        })?;
        Ok((self.key_of(box_name, epoch)?, current.is_some_and(|current| epoch <= current)))
    }

    /// Whether a box has a key, so that its token opens nothing any more.
    pub fn has_key(&self, box_name: &str) -> Result<bool, Refusal> {
        Ok(self.key_of(box_name, u32::MAX)?.is_some())
    }

    /// Refuses a key that is not the box's current one, and a box whose key was taken back.
    pub fn check_current(&self, box_name: &str, key: Option<PublicKey>) -> Result<(), Refusal> {
        let standing = self.database.read(|tx| match standing(tx, box_name, Hold::Not) {
            Ok(standing) => Ok(Some(standing)),
            Err(Refusal::BoxUnknown(_)) => Ok(None),
            Err(other) => Err(other),
        })?;
        if standing.is_some_and(|standing| standing.revoked) {
            return Err(Refusal::Revoked("the key of this box was taken back".to_owned()));
        }
        if key.is_some() && self.key_of(box_name, u32::MAX)? != key {
            return Err(Refusal::Revoked("another key has followed this one".to_owned()));
        }
        Ok(())
    }

    /// Compares a box's journal with what is held of it; a box that was never heard of is registered.
    pub fn hello(&self, box_name: &str, hello: &Hello, now_ms: i64) -> Result<Welcome, Refusal> {
        let mut welcome = self.database.write(|tx| self.compare(tx, box_name, hello, now_ms))?;
        let number = |number: Option<i64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
        let [cursor_epoch, cursor_seq, cursor_head] = lines(&welcome.cursor);
        welcome.signature = self.key.sign(&[
            "gatepost-hello-v1",
            box_name,
            &hello.epoch.to_string(),
            &hello.seq.to_string(),
            &hello.head.to_string(),
            welcome.verdict.word(),
            &welcome.epoch.to_string(),
            &cursor_epoch,
            &cursor_seq,
            &cursor_head,
            &number(welcome.lease.map(|lease| lease.length_ms)),
            &number(welcome.lease.map(|lease| lease.server_ms)),
            &welcome.recalls.join(","),
            &number(welcome.wants.map(|wanted| i64::from(wanted.epoch))),
        ]);
        Ok(welcome)
    }

    /// Ends the epoch that a box names, where it has not ended, and answers the current one.
    pub fn new_epoch(&self, box_name: &str, end: &EpochEnd, now_ms: i64) -> Result<NewEpoch, Refusal> {
        if end.reason.chars().count() > REASON_CHARS_MAX || end.reason.chars().any(char::is_control) {
            let text = format!("reason: must be at most {REASON_CHARS_MAX} characters on one line");
            return Err(Refusal::BadRequest(text));
        }
        let (epoch, cursor) = self.database.write(|tx| {
            let mut epoch = standing(tx, box_name, Hold::Alone)?.epoch;
            if end.epoch > epoch {
                let text = format!("the box has lived in epoch {}, which this ledger has not begun", end.epoch);
                alarm(tx, box_name, end.epoch, end.seq, "ledger-behind", &text, now_ms)?;
                cursor(tx, box_name, end.epoch)?;
            }
            if end.epoch >= epoch {
                let text = format!("the box ended it at head {}: {}", end.head, end.reason);
                alarm(tx, box_name, end.epoch, end.seq, "epoch-ended", &text, now_ms)?;
                epoch = end_epoch(tx, box_name, end.epoch)?;
            } else if escrow::has_any(tx, box_name, epoch)? {
                // Points were given to it: a journal that nobody has seen may have spent them. It is not begun again.
                let text = format!("the box came back from epoch {} to one with grants in it", end.epoch);
                alarm(tx, box_name, epoch, 0, "epoch-lost", &text, now_ms)?;
                epoch = end_epoch(tx, box_name, epoch)?;
            }
            Ok((epoch, cursor(tx, box_name, epoch)?))
        })?;
        let [cursor_epoch, seq, head] = lines(&cursor);
        let (ended, current) = (end.epoch.to_string(), epoch.to_string());
        let signature = self.key.sign(&["gatepost-epoch-v1", box_name, &ended, &current, &cursor_epoch, &seq, &head]);
        Ok(NewEpoch { name: box_name.to_owned(), ended: end.epoch, epoch, cursor, signature })
    }

    /// Ends an epoch of a box (lost, stolen, installed anew): from now on only the next one gets grants. What was
    /// reserved for the old one stays reserved, and its journal is still taken. A repeat changes nothing.
    pub fn fence(&self, box_name: &str, epoch: u32, revoke: bool) -> Result<u32, Refusal> {
        self.database.write(|tx| {
            let current = standing(tx, box_name, Hold::Alone)?.epoch;
            if epoch > current {
                return Err(Refusal::WrongEpoch { current });
            }
            if revoke {
                tx.run("UPDATE box SET revoked = 1 WHERE name = $1", values![box_name])?;
            }
            if epoch == current {
                return end_epoch(tx, box_name, epoch);
            }
            Ok(epoch + 1)
        })
    }

    /// A box with its newest alarms.
    pub fn box_view(&self, box_name: &str) -> Result<BoxView, Refusal> {
        self.database.read(|tx| {
            let standing = standing(tx, box_name, Hold::Not)?;
            let epoch = standing.epoch;
            let cursor = stored_cursor(tx, box_name, epoch, Hold::Not)?;
            let cursor = cursor.unwrap_or_else(|| Cursor::genesis(box_name, epoch));
            // Journals have no holes, so their cursors count them.
            let entries =
                tx.only("SELECT CAST(coalesce(sum(seq), 0) AS BIGINT) FROM cursor WHERE box = $1", values![box_name])?;
            let exposure = tx.only(
                "SELECT CAST(coalesce(sum(amount - spent - returned - released), 0) AS BIGINT)
                 FROM escrow WHERE box = $1",
                values![box_name],
            )?;
            let alarms = tx.rows(
                "SELECT code, text, at_ms FROM alarm WHERE box = $1 ORDER BY number DESC LIMIT $2",
                values![box_name, ALARMS_SHOWN],
            )?;
            let alarm = |row: &Row| Alarm { code: row.text(0), text: row.text(1), at_ms: row.int(2) };
            Ok(BoxView {
                name: box_name.to_owned(),
                epoch,
                cursor,
                entries: entries.int(0),
                exposure: exposure.int(0),
                revoked: standing.revoked,
                alarms: alarms.iter().map(alarm).collect(),
            })
        })
    }

    fn compare(&self, tx: &mut Tx<'_>, box_name: &str, hello: &Hello, now_ms: i64) -> Result<Welcome, Refusal> {
        tx.run("INSERT INTO box (name, epoch) VALUES ($1, $2) ON CONFLICT DO NOTHING", values![box_name, hello.epoch])?;
        let standing = standing(tx, box_name, Hold::Shared)?;
        let epoch = standing.epoch;
        let cursor = cursor(tx, box_name, hello.epoch.min(epoch))?;
        let held_head = held_head(tx, box_name, hello, &cursor)?;
        let verdict = match () {
            () if hello.epoch != epoch => Verdict::WrongEpoch,
            () if held_head.is_some_and(|held| held != hello.head) => Verdict::Fork,
            () if hello.seq < cursor.seq => Verdict::Behind,
            () => Verdict::Ok,
        };
        let mut tell = |code, text: String| alarm(tx, box_name, hello.epoch, hello.seq, code, &text, now_ms);
        match verdict {
            Verdict::Ok => {}
            Verdict::Behind => tell("rewound", format!("its journal ends before entry {}", cursor.seq))?,
            Verdict::Fork => tell("fork", format!("its head is {}, not the ledger's", hello.head))?,
            Verdict::WrongEpoch => tell("wrong-epoch", format!("its epoch is {epoch}"))?,
        }
        let may_spend = verdict == Verdict::Ok && !standing.revoked;
        let lease = may_spend.then_some(Lease { length_ms: self.settings.lease_ms, server_ms: now_ms });
        let wants = match verdict {
            Verdict::Ok => None,
            Verdict::Behind | Verdict::Fork => Some(epoch.saturating_add(1)),
            Verdict::WrongEpoch if hello.epoch > epoch => Some(hello.epoch.saturating_add(1)),
            Verdict::WrongEpoch => Some(epoch),
        };
        let recalled = tx.rows(
            "SELECT id FROM escrow WHERE box = $1 AND epoch = $2 AND recalled = 1
                    AND spent + returned + released < amount ORDER BY id LIMIT $3",
            values![box_name, epoch, RECALLS_MAX],
        )?;
        Ok(Welcome {
            verdict,
            epoch,
            cursor,
            lease,
            recalls: recalled.iter().map(|row| row.text(0)).collect(),
            wants: wants.map(|epoch| Wanted { epoch }),
            signature: String::new(),
        })
    }
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Verdict::Ok => "ok",
            Verdict::Behind => "behind",
            Verdict::Fork => "fork",
            Verdict::WrongEpoch => "wrong-epoch",
        }
    }
}

/// The lines of a signature that speak of a cursor.
pub(crate) fn lines(cursor: &Cursor) -> [String; 3] {
    [cursor.epoch.to_string(), cursor.seq.to_string(), cursor.head.to_string()]
}

/// The head that the ledger holds at the entry that a box calls its newest.
fn held_head(tx: &mut Tx<'_>, box_name: &str, hello: &Hello, cursor: &Cursor) -> Result<Option<Head>, Refusal> {
    if hello.epoch != cursor.epoch || hello.seq > cursor.seq {
        return Ok(None);
    }
    if hello.seq == cursor.seq {
        return Ok(Some(cursor.head));
    }
    if hello.seq == 0 {
        return Ok(Some(Head::genesis(box_name, hello.epoch)));
    }
    let held = tx.row(
        "SELECT head FROM entry WHERE box = $1 AND epoch = $2 AND seq = $3",
        values![box_name, hello.epoch, hello.seq],
    )?;
    Ok(held.map(|row| Head(row.hash(0))))
}

/// Begins the epoch after `epoch`. Whatever is open of older ones is frozen by that alone.
fn end_epoch(tx: &mut Tx<'_>, box_name: &str, epoch: u32) -> Result<u32, Refusal> {
    let next = epoch.checked_add(1).ok_or(Refusal::WrongEpoch { current: epoch })?;
    tx.run("UPDATE box SET epoch = $2 WHERE name = $1", values![box_name, next])?;
    cursor(tx, box_name, next)?;
    Ok(next)
}

/// The box's row, which a box has that enrolled or said hello.
pub(crate) fn standing(tx: &mut Tx<'_>, box_name: &str, hold: Hold) -> Result<Standing, Refusal> {
    let sql = match hold {
        Hold::Not => "SELECT epoch, revoked, token FROM box WHERE name = $1",
        Hold::Shared => "SELECT epoch, revoked, token FROM box WHERE name = $1 {share}",
        Hold::Alone => "SELECT epoch, revoked, token FROM box WHERE name = $1 {lock}",
    };
    let row = tx.row(sql, values![box_name])?.ok_or_else(|| Refusal::BoxUnknown(box_name.to_owned()))?;
    Ok(Standing { epoch: row.epoch(0), revoked: row.flag(1), token: row.opt_hash(2) })
}

/// The cursor of a box's epoch; one that was never heard of starts at its genesis.
fn cursor(tx: &mut Tx<'_>, box_name: &str, epoch: u32) -> Result<Cursor, Refusal> {
    if let Some(cursor) = stored_cursor(tx, box_name, epoch, Hold::Not)? {
        return Ok(cursor);
    }
    let cursor = Cursor::genesis(box_name, epoch);
    tx.run(
        "INSERT INTO cursor (box, epoch, seq, head) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
        values![box_name, epoch, cursor.seq, cursor.head.0],
    )?;
    Ok(cursor)
}

/// The cursor of a box's epoch, if the ledger has heard of it.
pub(crate) fn stored_cursor(
    tx: &mut Tx<'_>,
    box_name: &str,
    epoch: u32,
    hold: Hold,
) -> Result<Option<Cursor>, Refusal> {
    let sql = match hold {
        Hold::Not | Hold::Shared => "SELECT seq, head FROM cursor WHERE box = $1 AND epoch = $2",
        Hold::Alone => "SELECT seq, head FROM cursor WHERE box = $1 AND epoch = $2 {lock}",
    };
    let row = tx.row(sql, values![box_name, epoch])?;
    Ok(row.map(|row| Cursor { epoch, seq: row.int(0), head: Head(row.hash(1)) }))
}

/// The cursor of a box's epoch, held so that nobody else moves it; one that was never heard of starts at its genesis.
pub(crate) fn held_cursor(tx: &mut Tx<'_>, box_name: &str, epoch: u32) -> Result<Cursor, Refusal> {
    if let Some(cursor) = stored_cursor(tx, box_name, epoch, Hold::Alone)? {
        return Ok(cursor);
    }
    cursor(tx, box_name, epoch)?;
    let held = stored_cursor(tx, box_name, epoch, Hold::Alone)?;
    Ok(held.unwrap_or_else(|| Cursor::genesis(box_name, epoch)))
}

/// Stores an alarm about an entry, once.
pub(crate) fn alarm(
    tx: &mut Tx<'_>,
    box_name: &str,
    epoch: u32,
    seq: i64,
    code: &str,
    text: &str,
    now_ms: i64,
) -> Result<(), Refusal> {
    let text = format!("epoch {epoch}, entry {seq}: {text}");
    let new = tx.run(
        "INSERT INTO alarm (box, epoch, seq, code, text, at_ms) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT DO NOTHING",
        values![box_name, epoch, seq, code, &text, now_ms],
    )?;
    if new == 1 {
        tracing::warn!(box_name, code, text, "a box's journal needs a look");
    }
    Ok(())
}
