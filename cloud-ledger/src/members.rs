//! What the administrator does with members and their points, and the feed that tells the boxes of it.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension, Transaction, params};
use serde::{Deserialize, Serialize};

use crate::journal::some_points;
use crate::ledger::{Ledger, Refusal, check_name};
use crate::store::{self, Sums, begin};

/// How many plates, and how many codes, one member may have.
pub const CALLED_MAX: usize = 32;

/// How many characters a plate or a code may have; a QR code at a till holds more than a plate.
pub const CALLED_CHARS_MAX: usize = 64;

/// How many characters a handle, a tier or a reason may have.
pub const TEXT_CHARS_MAX: usize = 200;

/// How many changes one page of the feed may have.
pub const CHANGES_MAX: usize = 1000;

/// How many members one answer may list.
pub const MEMBERS_MAX: usize = 1000;

/// A member as the administrator writes it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Profile {
    /// What staff see instead of a name.
    pub handle: String,
    /// The member's tier.
    pub tier: String,
    /// Whether the member agreed to be recognised by plate.
    pub consent_plates: bool,
    /// Plates; no two members share one.
    pub plates: Vec<String>,
    /// What a till may scan; no two members share one.
    pub codes: Vec<String>,
}

/// A member as the administrator reads it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MemberView {
    /// The member's id.
    pub id: String,
    /// What staff see.
    pub handle: String,
    /// The tier.
    pub tier: String,
    /// Whether plates may be matched.
    pub consent_plates: bool,
    /// The plates, in the order given.
    pub plates: Vec<String>,
    /// The codes, in the order given.
    pub codes: Vec<String>,
    /// How often the member has changed on the feed.
    pub version: i64,
    /// Points ever credited or earned.
    pub credited: i64,
    /// Points spent.
    pub debited: i64,
    /// Points that can be granted or spent online.
    pub available: i64,
    /// Points reserved for boxes.
    pub outstanding: i64,
}

/// A page of members, by id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Members {
    /// The members.
    pub members: Vec<MemberView>,
    /// Whether there are members after the last one.
    pub more: bool,
}

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
}

/// Points that a member spends online.
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
    /// Whose points.
    pub member: String,
    /// How many.
    pub points: i64,
}

/// A page of the feed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Feed {
    /// The changes, in order.
    pub changes: Vec<Change>,
    /// What to ask after next.
    pub next: i64,
    /// Whether there are more already.
    pub more: bool,
}

/// Something that the boxes must know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Its number.
    pub change: i64,
    /// What it is.
    #[serde(flatten)]
    pub what: What,
}

/// What has changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum What {
    /// A member is new or another; this is the whole of it.
    Member {
        /// The member.
        member: FeedMember,
    },
    /// A member is gone.
    MemberRemoved {
        /// Its id.
        id: String,
    },
}

/// A member as the boxes know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedMember {
    /// The member's id.
    pub id: String,
    /// What staff see.
    pub handle: String,
    /// The tier.
    pub tier: String,
    /// Whether plates may be matched.
    pub consent_plates: bool,
    /// The plates.
    pub plates: Vec<String>,
    /// The codes.
    pub codes: Vec<String>,
    /// What was available at the change. For display: no box spends against it.
    pub balance: i64,
    /// Goes up with every change of the member.
    pub version: i64,
}

impl Ledger {
    /// Creates a member or replaces what it is called; its points stay. A repeat changes nothing.
    pub fn put_member(&self, id: &str, profile: &Profile) -> Result<MemberView, Refusal> {
        check_name("id", id)?;
        check_profile(profile)?;
        let mut db = self.writer();
        let tx = begin(&mut db)?;
        let known = view(&tx, id)?;
        if let Some(known) = known.filter(|known| is_same(known, profile)) {
            return Ok(known);
        }
        store::ensure_account(&tx, id)?;
        tx.execute(
            "INSERT INTO member (id, handle, tier, consent_plates) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE
             SET handle = excluded.handle, tier = excluded.tier, consent_plates = excluded.consent_plates",
            params![id, profile.handle, profile.tier, profile.consent_plates],
        )?;
        Called::PLATES.replace(&tx, id, &profile.plates)?;
        Called::CODES.replace(&tx, id, &profile.codes)?;
        let now = tell(&tx, id)?;
        tx.commit()?;
        Ok(now)
    }

    /// Removes what a member is called. Its account stays: boxes may still hold its points.
    pub fn remove_member(&self, id: &str) -> Result<(), Refusal> {
        let mut db = self.writer();
        let tx = begin(&mut db)?;
        Called::PLATES.clear(&tx, id)?;
        Called::CODES.clear(&tx, id)?;
        if tx.execute("DELETE FROM member WHERE id = ?1", [id])? == 0 {
            return Err(Refusal::MemberUnknown(id.to_owned()));
        }
        tx.execute("INSERT INTO change (member, content) VALUES (?1, NULL)", [id])?;
        tx.commit()?;
        Ok(())
    }

    /// Credits points, once per op.
    pub fn credit(&self, member: &str, credit: &Credit, now_ms: i64) -> Result<Done, Refusal> {
        check_name("op", &credit.op)?;
        check_text("reason", &credit.reason)?;
        let mut db = self.writer();
        let tx = begin(&mut db)?;
        let done = Done { op: credit.op.clone(), member: member.to_owned(), points: credit.points };
        let stored = tx
            .prepare_cached("SELECT member, points, reason FROM credit WHERE op = ?1")?
            .query_row([&credit.op], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?, row.get::<_, String>(2)?))
            });
        if let Some((whose, points, reason)) = stored.optional()? {
            let is_same = (whose.as_str(), points, reason.as_str()) == (member, credit.points, credit.reason.as_str());
            return if is_same { Ok(done) } else { Err(Refusal::RequestReused { id: done.op }) };
        }
        known(&tx, member)?;
        tx.execute(
            "INSERT INTO credit (op, member, points, reason, at_ms) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![credit.op, member, credit.points, credit.reason, now_ms],
        )?;
        store::post(&tx, member, Sums { credited: credit.points, ..Sums::default() })?;
        tell(&tx, member)?;
        tx.commit()?;
        Ok(done)
    }

    /// Spends points online, from what is available, once per op.
    pub fn spend(&self, member: &str, spend: &Spend, now_ms: i64) -> Result<Done, Refusal> {
        check_name("op", &spend.op)?;
        let mut db = self.writer();
        let tx = begin(&mut db)?;
        let done = Done { op: spend.op.clone(), member: member.to_owned(), points: spend.points };
        let stored = tx
            .prepare_cached("SELECT member, points FROM online_spend WHERE op = ?1")?
            .query_row([&spend.op], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)));
        if let Some((whose, points)) = stored.optional()? {
            let is_same = (whose.as_str(), points) == (member, spend.points);
            return if is_same { Ok(done) } else { Err(Refusal::RequestReused { id: done.op }) };
        }
        let available = known(&tx, member)?.available;
        if available < spend.points {
            return Err(Refusal::InsufficientPoints { available });
        }
        tx.execute(
            "INSERT INTO online_spend (op, member, points, at_ms) VALUES (?1, ?2, ?3, ?4)",
            params![spend.op, member, spend.points, now_ms],
        )?;
        store::post(&tx, member, Sums { debited: spend.points, ..Sums::default() })?;
        tell(&tx, member)?;
        tx.commit()?;
        Ok(done)
    }

    /// One member.
    pub fn member(&self, id: &str) -> Result<MemberView, Refusal> {
        let mut db = self.reader();
        let tx = db.transaction()?;
        known(&tx, id)
    }

    /// At most `limit` members whose id comes after `after`.
    pub fn members(&self, after: &str, limit: usize) -> Result<Members, Refusal> {
        check_limit(limit, MEMBERS_MAX)?;
        let mut db = self.reader();
        let tx = db.transaction()?;
        let mut select = tx.prepare_cached("SELECT id FROM member WHERE id > ?1 ORDER BY id LIMIT ?2")?;
        let ids: Vec<String> =
            select.query_map(params![after, limit as i64 + 1], |row| row.get(0))?.collect::<Result<_, _>>()?;
        let members = ids.iter().take(limit).map(|id| known(&tx, id)).collect::<Result<_, _>>()?;
        Ok(Members { members, more: ids.len() > limit })
    }

    /// At most `limit` changes with numbers beyond `after`. Changes are numbered as they are committed, by one writer,
    /// so no number ever appears behind one that was already read.
    pub fn feed(&self, after: i64, limit: usize) -> Result<Feed, Refusal> {
        check_limit(limit, CHANGES_MAX)?;
        let db = self.reader();
        let mut select =
            db.prepare_cached("SELECT change, member, content FROM change WHERE change > ?1 ORDER BY change LIMIT ?2")?;
        let mut changes: Vec<Change> =
            select.query_map(params![after, limit as i64 + 1], change)?.collect::<Result<_, _>>()?;
        let more = changes.len() > limit;
        changes.truncate(limit);
        let next = changes.last().map_or(after, |last| last.change);
        Ok(Feed { changes, next, more })
    }
}

fn check_limit(limit: usize, most: usize) -> Result<(), Refusal> {
    if (1..=most).contains(&limit) {
        return Ok(());
    }
    Err(Refusal::BadRequest(format!("limit: must be from 1 to {most}")))
}

fn check_profile(profile: &Profile) -> Result<(), Refusal> {
    check_text("handle", &profile.handle)?;
    check_text("tier", &profile.tier)?;
    check_called("plates", &profile.plates)?;
    check_called("codes", &profile.codes)
}

fn check_text(field: &str, text: &str) -> Result<(), Refusal> {
    if text.chars().count() <= TEXT_CHARS_MAX && !text.chars().any(char::is_control) {
        return Ok(());
    }
    Err(Refusal::BadRequest(format!("{field}: must be at most {TEXT_CHARS_MAX} characters on one line")))
}

fn check_called(field: &str, called: &[String]) -> Result<(), Refusal> {
    if called.len() > CALLED_MAX {
        return Err(Refusal::BadRequest(format!("{field}: at most {CALLED_MAX} are allowed")));
    }
    let mut seen = BTreeSet::new();
    for (index, text) in called.iter().enumerate() {
        let length = text.chars().count();
        if !(1..=CALLED_CHARS_MAX).contains(&length) || text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            let wrong = format!("{field}[{index}]: must be 1 to {CALLED_CHARS_MAX} characters without spaces");
            return Err(Refusal::BadRequest(wrong));
        }
        if !seen.insert(text) {
            return Err(Refusal::BadRequest(format!("{field}[{index}]: is in the list twice")));
        }
    }
    Ok(())
}

fn is_same(known: &MemberView, profile: &Profile) -> bool {
    known.handle == profile.handle
        && known.tier == profile.tier
        && known.consent_plates == profile.consent_plates
        && known.plates == profile.plates
        && known.codes == profile.codes
}

fn known(db: &Connection, id: &str) -> Result<MemberView, Refusal> {
    view(db, id)?.ok_or_else(|| Refusal::MemberUnknown(id.to_owned()))
}

fn view(db: &Connection, id: &str) -> rusqlite::Result<Option<MemberView>> {
    let mut select = db.prepare_cached(
        "SELECT handle, tier, consent_plates, version, credited, debited, escrow
         FROM member JOIN account ON account.member = member.id WHERE id = ?1",
    )?;
    let found = select.query_row([id], |row| {
        let sums = Sums { credited: row.get(4)?, debited: row.get(5)?, escrow: row.get(6)? };
        Ok(MemberView {
            id: id.to_owned(),
            handle: row.get(0)?,
            tier: row.get(1)?,
            consent_plates: row.get(2)?,
            plates: Vec::new(),
            codes: Vec::new(),
            version: row.get(3)?,
            credited: sums.credited,
            debited: sums.debited,
            available: sums.available(),
            outstanding: sums.escrow,
        })
    });
    let Some(mut member) = found.optional()? else {
        return Ok(None);
    };
    member.plates = Called::PLATES.of(db, id)?;
    member.codes = Called::CODES.of(db, id)?;
    Ok(Some(member))
}

/// Puts a member's change on the feed; answers the member with its new version.
fn tell(tx: &Transaction<'_>, id: &str) -> Result<MemberView, Refusal> {
    tx.execute("UPDATE account SET version = version + 1 WHERE member = ?1", [id])?;
    let now = known(tx, id)?;
    let member = FeedMember {
        id: now.id.clone(),
        handle: now.handle.clone(),
        tier: now.tier.clone(),
        consent_plates: now.consent_plates,
        plates: now.plates.clone(),
        codes: now.codes.clone(),
        balance: now.available,
        version: now.version,
    };
    let content = serde_json::to_string(&member).expect("a member is text and numbers, which JSON can always hold");
    tx.execute("INSERT INTO change (member, content) VALUES (?1, ?2)", params![id, content])?;
    Ok(now)
}

fn change(row: &rusqlite::Row<'_>) -> rusqlite::Result<Change> {
    let unreadable = |error| rusqlite::Error::FromSqlConversionFailure(2, rusqlite::types::Type::Text, Box::new(error));
    let what = match row.get::<_, Option<String>>(2)? {
        Some(content) => What::Member { member: serde_json::from_str(&content).map_err(unreadable)? },
        None => What::MemberRemoved { id: row.get(1)? },
    };
    Ok(Change { change: row.get(0)?, what })
}

/// One of the two lists of what a member is called, in its table. No two members share an item.
struct Called {
    what: &'static str,
    holder: &'static str,
    insert: &'static str,
    delete: &'static str,
    select: &'static str,
}

impl Called {
    const PLATES: Self = Self {
        what: "plate",
        holder: "SELECT 1 FROM plate WHERE plate = ?1",
        insert: "INSERT INTO plate (plate, member, position) VALUES (?1, ?2, ?3)",
        delete: "DELETE FROM plate WHERE member = ?1",
        select: "SELECT plate FROM plate WHERE member = ?1 ORDER BY position",
    };
    const CODES: Self = Self {
        what: "code",
        holder: "SELECT 1 FROM code WHERE code = ?1",
        insert: "INSERT INTO code (code, member, position) VALUES (?1, ?2, ?3)",
        delete: "DELETE FROM code WHERE member = ?1",
        select: "SELECT code FROM code WHERE member = ?1 ORDER BY position",
    };

    fn replace(&self, tx: &Transaction<'_>, member: &str, called: &[String]) -> Result<(), Refusal> {
        self.clear(tx, member)?;
        for (index, text) in called.iter().enumerate() {
            if tx.prepare_cached(self.holder)?.exists([text])? {
                return Err(Refusal::Taken { what: self.what, place: index + 1 });
            }
            tx.prepare_cached(self.insert)?.execute(params![text, member, index as i64])?;
        }
        Ok(())
    }

    fn clear(&self, tx: &Transaction<'_>, member: &str) -> rusqlite::Result<()> {
        tx.prepare_cached(self.delete)?.execute([member])?;
        Ok(())
    }

    fn of(&self, db: &Connection, member: &str) -> rusqlite::Result<Vec<String>> {
        db.prepare_cached(self.select)?.query_map([member], |row| row.get(0))?.collect()
    }
}
