//! What the administrator does with members, and the feed that tells the boxes of it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::campaigns::Shared;
use crate::claims::FeedClaim;
use crate::db::{Row, Tx, Value};
use crate::ledger::{Ledger, Refusal, check_limit, check_name};
use crate::merchants::FeedMerchant;
use crate::offers::FeedCoupon;
use crate::privileges::Privileges;
use crate::values;

/// How many plates, and how many codes, one member may have.
pub const CALLED_MAX: usize = 32;

/// How many characters a plate or a code may have; a QR code at a till holds more than a plate.
pub const CALLED_CHARS_MAX: usize = 64;

/// How many characters a handle, a tier or a reason may have.
pub const TEXT_CHARS_MAX: usize = 200;

/// How many changes one page of the feed may have.
pub const CHANGES_MAX: usize = 1000;

/// In the place of a member's id, for a change that is about none; no id is empty.
const NO_MEMBER: &str = "";

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
    /// The box of the member's home mall.
    #[serde(default)]
    pub home: Option<String>,
    /// What it has beside the tier.
    #[serde(flatten)]
    pub privileges: Privileges,
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
    /// The box of the member's home mall.
    pub home: Option<String>,
    /// What it has beside the tier.
    #[serde(flatten)]
    pub privileges: Privileges,
    /// How often the member has changed on the feed.
    pub version: i64,
    /// Points ever credited or earned.
    pub credited: i64,
    /// Points spent.
    pub debited: i64,
    /// Points that expired.
    pub expired: i64,
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// A coupon as it now is.
    Coupon {
        /// The coupon.
        coupon: FeedCoupon,
    },
    /// Which box has a coupon alone.
    CouponClaim(FeedClaim),
    /// A merchant as it now is.
    Merchant {
        /// The merchant.
        merchant: FeedMerchant,
    },
    /// A campaign as it now is.
    Campaign {
        /// Its name in the rules of the boxes.
        id: String,
        /// Whether it is stopped.
        stopped: bool,
        /// What was spent of its budget outside of the boxes.
        spent_elsewhere_fen: i64,
        /// When the ledger said so.
        as_of_ms: i64,
        /// How its budget is shared out, where it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        shared: Option<Shared>,
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
    /// The box of the member's home mall.
    #[serde(default)]
    pub home: Option<String>,
    /// What it has beside the tier.
    #[serde(flatten)]
    pub privileges: Privileges,
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
        self.database.write(|tx| write_member(tx, id, profile))
    }

    /// Removes what a member is called. Its account stays: boxes may still hold its points.
    pub fn remove_member(&self, id: &str) -> Result<(), Refusal> {
        self.database.write(|tx| {
            Called::PLATES.clear(tx, id)?;
            Called::CODES.clear(tx, id)?;
            if tx.run("DELETE FROM member WHERE id = $1", values![id])? == 0 {
                return Err(Refusal::MemberUnknown(id.to_owned()));
            }
            put_change(tx, id, None)
        })
    }

    /// One member.
    pub fn member(&self, id: &str) -> Result<MemberView, Refusal> {
        self.database.read(|tx| known(tx, id))
    }

    /// At most `limit` members whose id comes after `after`.
    pub fn members(&self, after: &str, limit: usize) -> Result<Members, Refusal> {
        check_limit(limit, MEMBERS_MAX)?;
        self.database.read(|tx| {
            let ids = tx.rows("SELECT id FROM member WHERE id > $1 ORDER BY id LIMIT $2", values![after, limit + 1])?;
            let members = ids.iter().take(limit).map(|row| known(tx, &row.text(0))).collect::<Result<_, _>>()?;
            Ok(Members { members, more: ids.len() > limit })
        })
    }

    /// At most `limit` changes with numbers beyond `after`. Whoever numbers a change holds the counter until it is
    /// committed, so no number ever appears behind one that was already read.
    pub fn feed(&self, after: i64, limit: usize) -> Result<Feed, Refusal> {
        check_limit(limit, CHANGES_MAX)?;
        let rows = self.database.read(|tx| {
            Ok(tx.rows(
                "SELECT change, member, content FROM change WHERE change > $1 ORDER BY change LIMIT $2",
                values![after, limit + 1],
            )?)
        })?;
        let changes: Vec<Change> = rows.iter().take(limit).map(change).collect::<Result<_, _>>()?;
        let next = changes.last().map_or(after, |last| last.change);
        Ok(Feed { changes, next, more: rows.len() > limit })
    }
}

/// Creates or replaces a member inside a transaction.
pub(crate) fn write_member(tx: &mut Tx<'_>, id: &str, profile: &Profile) -> Result<MemberView, Refusal> {
    check_taken(tx, id, profile)?;
    tx.run("INSERT INTO account (member) VALUES ($1) ON CONFLICT DO NOTHING", values![id])?;
    tx.row("SELECT member FROM account WHERE member = $1 {lock}", values![id])?;
    let known = view(tx, id)?;
    if let Some(known) = known.filter(|known| is_same(known, profile)) {
        return Ok(known);
    }
    tx.run(
        "INSERT INTO member (id, handle, tier, consent_plates, home, privileges) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (id) DO UPDATE SET handle = excluded.handle, tier = excluded.tier,
                                        consent_plates = excluded.consent_plates, home = excluded.home,
                                        privileges = excluded.privileges",
        values![
            id,
            &profile.handle,
            &profile.tier,
            profile.consent_plates,
            profile.home.as_deref(),
            profile.privileges.text()
        ],
    )?;
    Called::PLATES.replace(tx, id, &profile.plates)?;
    Called::CODES.replace(tx, id, &profile.codes)?;
    tell(tx, id)?;
    self::known(tx, id)
}

/// Refuses plates and codes that another member holds.
pub(crate) fn check_taken(tx: &mut Tx<'_>, id: &str, profile: &Profile) -> Result<(), Refusal> {
    Called::PLATES.check(tx, id, &profile.plates)?;
    Called::CODES.check(tx, id, &profile.codes)
}

/// Refuses a profile that no page or till could show.
pub(crate) fn check_profile(profile: &Profile) -> Result<(), Refusal> {
    if let Some(home) = &profile.home {
        check_name("home", home)?;
    }
    check_text("handle", &profile.handle)?;
    check_text("tier", &profile.tier)?;
    profile.privileges.check()?;
    check_called("plates", &profile.plates)?;
    check_called("codes", &profile.codes)
}

/// Refuses a text that is long or has lines.
pub(crate) fn check_text(field: &str, text: &str) -> Result<(), Refusal> {
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
        && known.home == profile.home
        && known.privileges == profile.privileges
}

/// What a member has beside the tier; nothing where it is new.
pub(crate) fn known_privileges(tx: &mut Tx<'_>, id: &str) -> Result<Privileges, Refusal> {
    let row = tx.row("SELECT privileges FROM member WHERE id = $1", values![id])?;
    Ok(row.map_or(Ok(Privileges::default()), |row| Privileges::read(&row.text(0)))?)
}

/// A member that must be there.
pub(crate) fn known(tx: &mut Tx<'_>, id: &str) -> Result<MemberView, Refusal> {
    view(tx, id)?.ok_or_else(|| Refusal::MemberUnknown(id.to_owned()))
}

fn view(tx: &mut Tx<'_>, id: &str) -> Result<Option<MemberView>, Refusal> {
    let found = tx.row(
        "SELECT handle, tier, consent_plates, home, version, privileges FROM member
         JOIN account ON account.member = member.id WHERE id = $1",
        values![id],
    )?;
    let Some(row) = found else { return Ok(None) };
    let sums = Sums::of(tx, id)?;
    Ok(Some(MemberView {
        id: id.to_owned(),
        handle: row.text(0),
        tier: row.text(1),
        consent_plates: row.flag(2),
        plates: Called::PLATES.of(tx, id)?,
        codes: Called::CODES.of(tx, id)?,
        home: row.opt_text(3),
        privileges: Privileges::read(&row.text(5))?,
        version: row.int(4),
        credited: sums.credited,
        debited: sums.debited,
        expired: sums.expired,
        available: sums.available,
        outstanding: sums.outstanding,
    }))
}

/// A member's points, added up over lots, grants and pockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sums {
    pub credited: i64,
    pub debited: i64,
    pub expired: i64,
    pub available: i64,
    pub outstanding: i64,
}

impl Sums {
    /// Adds them up.
    pub fn of(tx: &mut Tx<'_>, member: &str) -> Result<Self, Refusal> {
        let lots = tx.only(
            "SELECT CAST(coalesce(sum(points), 0) AS BIGINT), CAST(coalesce(sum(available), 0) AS BIGINT),
                    CAST(coalesce(sum(spent), 0) AS BIGINT), CAST(coalesce(sum(expired), 0) AS BIGINT)
             FROM lot WHERE member = $1",
            values![member],
        )?;
        let escrow = tx.only(
            "SELECT CAST(coalesce(sum(spent), 0) AS BIGINT),
                    CAST(coalesce(sum(amount - spent - returned - released), 0) AS BIGINT)
             FROM escrow WHERE member = $1",
            values![member],
        )?;
        Ok(Self {
            credited: lots.int(0),
            debited: lots.int(2) + escrow.int(0),
            expired: lots.int(3),
            available: lots.int(1),
            outstanding: escrow.int(1),
        })
    }
}

/// Puts a member's change on the feed, where it is still called something.
pub(crate) fn tell(tx: &mut Tx<'_>, id: &str) -> Result<(), Refusal> {
    tx.run("UPDATE account SET version = version + 1 WHERE member = $1", values![id])?;
    let Some(now) = view(tx, id)? else { return Ok(()) };
    let member = FeedMember {
        id: now.id,
        handle: now.handle,
        tier: now.tier,
        consent_plates: now.consent_plates,
        plates: now.plates,
        codes: now.codes,
        home: now.home,
        privileges: now.privileges,
        balance: now.available,
        version: now.version,
    };
    let content = serde_json::to_string(&member).expect("a member is text and numbers, which JSON can always hold");
    put_change(tx, id, Some(content))
}

fn put_change(tx: &mut Tx<'_>, id: &str, content: Option<String>) -> Result<(), Refusal> {
    let number = tx.next_number("change")?;
    tx.run("INSERT INTO change (change, member, content) VALUES ($1, $2, $3)", values![number, id, content])?;
    Ok(())
}

/// Puts on the feed what is about no member in particular.
pub(crate) fn put_what(tx: &mut Tx<'_>, what: &What) -> Result<(), Refusal> {
    let content = serde_json::to_string(what).expect("a change is text and numbers, which JSON can always hold");
    put_change(tx, NO_MEMBER, Some(content))
}

fn change(row: &Row) -> Result<Change, Refusal> {
    let unreadable = |error| crate::db::Error::unreadable(format!("change {}: {error}", row.int(0)));
    let what = match row.opt_text(2) {
        Some(content) if row.text(1) == NO_MEMBER => serde_json::from_str(&content).map_err(unreadable)?,
        Some(content) => What::Member { member: serde_json::from_str(&content).map_err(unreadable)? },
        None => What::MemberRemoved { id: row.text(1) },
    };
    Ok(Change { change: row.int(0), what })
}

/// One of the two lists of what a member is called, in its table. No two members share an item.
struct Called {
    what: &'static str,
    holders: &'static str,
    insert: &'static str,
    delete: &'static str,
    select: &'static str,
}

impl Called {
    const PLATES: Self = Self {
        what: "plate",
        holders: "SELECT plate FROM plate WHERE plate {any $1} AND member <> $2",
        insert: "INSERT INTO plate (plate, member, position) {rows}",
        delete: "DELETE FROM plate WHERE member = $1",
        select: "SELECT plate FROM plate WHERE member = $1 ORDER BY position",
    };
    const CODES: Self = Self {
        what: "code",
        holders: "SELECT code FROM code WHERE code {any $1} AND member <> $2",
        insert: "INSERT INTO code (code, member, position) {rows}",
        delete: "DELETE FROM code WHERE member = $1",
        select: "SELECT code FROM code WHERE member = $1 ORDER BY position",
    };

    fn check(&self, tx: &mut Tx<'_>, member: &str, called: &[String]) -> Result<(), Refusal> {
        let held = tx.rows(self.holders, values![called.to_vec(), member])?;
        let held: BTreeSet<String> = held.iter().map(|row| row.text(0)).collect();
        if let Some(index) = called.iter().position(|text| held.contains(text)) {
            return Err(Refusal::Taken { what: self.what, place: index + 1 });
        }
        Ok(())
    }

    fn replace(&self, tx: &mut Tx<'_>, member: &str, called: &[String]) -> Result<(), Refusal> {
        self.clear(tx, member)?;
        let row = |(index, text): (usize, &String)| values![text, member, index].to_vec();
        let rows: Vec<Vec<Value>> = called.iter().enumerate().map(row).collect();
        tx.each(self.insert, "tti", &rows)?;
        Ok(())
    }

    fn clear(&self, tx: &mut Tx<'_>, member: &str) -> Result<(), Refusal> {
        tx.run(self.delete, values![member])?;
        Ok(())
    }

    fn of(&self, tx: &mut Tx<'_>, member: &str) -> Result<Vec<String>, Refusal> {
        Ok(tx.rows(self.select, values![member])?.iter().map(|row| row.text(0)).collect())
    }
}
