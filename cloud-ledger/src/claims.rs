//! Which box has a coupon alone: it is had by one box at a time, by its epoch, and goes on by that box's word alone.

use serde::{Deserialize, Serialize};

use crate::apply::Book;
use crate::boxes;
use crate::db::{Row, Tx};
use crate::escrow::Release;
use crate::journal::{CouponSays, Fact};
use crate::ledger::{Ledger, Refusal};
use crate::members::{What, check_text, put_what};
use crate::offers::{Coupon, CouponState};
use crate::values;

/// Which box has a coupon alone, on the feed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedClaim {
    /// The coupon.
    pub coupon: String,
    /// Goes up whenever another box, or none, has it.
    pub turn: i64,
    /// The box that has it.
    #[serde(rename = "box")]
    pub box_name: Option<String>,
    /// In which epoch of it.
    pub epoch: u32,
    /// Whether somebody else wants it.
    pub wanted: bool,
    /// The boxes that have used it, and not taken that back.
    pub used: Vec<String>,
}

/// A coupon as the administrator reads it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CouponView {
    /// Its own number.
    pub id: String,
    /// What the administrator said last; none where only boxes have spoken of it.
    pub coupon: Option<Coupon>,
    /// Who has it.
    pub claim: FeedClaim,
    /// How that stands.
    pub state: ClaimState,
    /// Every use that was told.
    pub uses: Vec<UseView>,
}

/// How it stands with who has a coupon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ClaimState {
    /// Nobody has it.
    Free,
    /// A box has it, and may use it.
    Open,
    /// A box has it in an epoch that has ended; it waits for the journal.
    Frozen,
}

/// A use of a coupon at a box.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UseView {
    /// Where.
    #[serde(rename = "box")]
    pub box_name: String,
    /// For which stay, or with which effect at a till.
    pub by: String,
    /// What it took off.
    pub fen: i64,
    /// Whether the box had it alone.
    pub claimed: bool,
    /// Whether it was not taken back.
    pub stands: bool,
    /// When the ledger heard of it.
    pub at_ms: i64,
}

/// What is stored of a coupon, while its row is held.
struct Kept {
    id: String,
    coupon: Option<Coupon>,
    turn: i64,
    holder: Option<(String, u32)>,
    is_wanted: bool,
    wanted_by: Option<(String, u32)>,
}

impl Ledger {
    /// A coupon with who has it and what became of it.
    pub fn coupon(&self, id: &str) -> Result<CouponView, Refusal> {
        self.database.read(|tx| view(tx, id))
    }

    /// Takes a coupon from an epoch that has ended, for whoever comes next. The box may have used it: that is then a
    /// second use, and the alarm that is booked now says who decided so.
    pub fn release_coupon(&self, id: &str, release: &Release, now_ms: i64) -> Result<CouponView, Refusal> {
        check_text("reason", &release.reason)?;
        self.database.write(|tx| {
            let seen = view(tx, id)?;
            let mut kept = hold(tx, id)?;
            let Some((box_name, epoch)) = kept.holder.clone() else { return Ok(seen) };
            if current(tx, &box_name)? == Some(epoch) {
                return Err(Refusal::NotFrozen { grant: id.to_owned(), state: "open" });
            }
            let text = format!("the coupon '{id}' was taken from the box: {}", release.reason);
            boxes::alarm(tx, &box_name, epoch, 0, "claim-released", &text, now_ms)?;
            pass_on(tx, &mut kept)?;
            view(tx, id)
        })
    }
}

/// Keeps what the administrator says of a coupon. A use beside the boxes is refused where a box has it alone, which is
/// then asked for it, or has used it.
pub(crate) fn stated(tx: &mut Tx<'_>, id: &str, coupon: &Coupon) -> Result<Result<(), Refusal>, Refusal> {
    let mut kept = hold(tx, id)?;
    let used = used_at(tx, id)?;
    let taken = |why: String| Refusal::CouponTaken { coupon: id.to_owned(), why };
    if coupon.state == CouponState::Used {
        if let Some(name) = used.first() {
            return Ok(Err(taken(format!("was used at the box '{name}'"))));
        }
        if let Some((name, _)) = kept.holder.clone() {
            if !kept.is_wanted {
                kept.is_wanted = true;
                write(tx, &kept)?;
            }
            return Ok(Err(taken(format!("is with the box '{name}', which is asked for it; try again"))));
        }
    }
    let content = serde_json::to_string(coupon).expect("a coupon is text and numbers, which JSON can always hold");
    tx.run("UPDATE coupon SET content = $2 WHERE id = $1", values![id, content])?;
    Ok(Ok(()))
}

/// Takes a box's word about a coupon.
pub(crate) fn take(
    tx: &mut Tx<'_>,
    book: &mut Book<'_>,
    (box_name, epoch, seq): (&str, u32, i64),
    now_ms: i64,
    fact: &Fact,
) -> Result<(), Refusal> {
    let Fact::CouponTold { coupon, turn, says } = fact else { return Ok(()) };
    let mut kept = hold(tx, coupon)?;
    let speaker = (box_name.to_owned(), epoch);
    match says {
        CouponSays::Wanted => wanted(tx, &mut kept, speaker),
        CouponSays::Taken => {
            if kept.turn < *turn {
                taken_before(tx, book, &mut kept, speaker, (*turn, seq))?;
            }
            Ok(())
        }
        // Another epoch's word says nothing of what this one may have done, and an old turn's nothing of this one.
        CouponSays::Returned if kept.holder == Some(speaker) && kept.turn == *turn => pass_on(tx, &mut kept),
        CouponSays::Returned => Ok(()),
        CouponSays::Used { purpose, fen, claimed } => {
            let place = (box_name, epoch, seq);
            if said(tx, coupon, place, purpose, Some((*fen, *claimed)), now_ms)? {
                tell_second_use(tx, book, &kept, place, purpose)?;
                (kept.is_wanted, kept.wanted_by) = (false, None);
                write(tx, &kept)?;
            }
            Ok(())
        }
        CouponSays::Unused { purpose } => {
            if said(tx, coupon, (box_name, epoch, seq), purpose, None, now_ms)? {
                write(tx, &kept)?;
            }
            Ok(())
        }
    }
}

/// A box wants it: it gets what nobody has, and whoever has it is asked. An epoch that has ended gets nothing.
fn wanted(tx: &mut Tx<'_>, kept: &mut Kept, speaker: (String, u32)) -> Result<(), Refusal> {
    let is_good = kept.coupon.as_ref().is_some_and(|coupon| coupon.state == CouponState::Issued);
    if !is_good || current(tx, &speaker.0)? != Some(speaker.1) || !used_at(tx, &kept.id)?.is_empty() {
        return Ok(());
    }
    match &kept.holder {
        None => {
            kept.turn += 1;
            kept.holder = Some(speaker);
            (kept.is_wanted, kept.wanted_by) = (false, None);
            write(tx, kept)
        }
        Some(holder) if *holder == speaker => Ok(()),
        Some(_) => {
            let is_awaited = match kept.wanted_by.clone() {
                Some((name, epoch)) => current(tx, &name)? == Some(epoch),
                None => kept.is_wanted,
            };
            if is_awaited {
                return Ok(());
            }
            (kept.is_wanted, kept.wanted_by) = (true, Some(speaker));
            write(tx, kept)
        }
    }
}

/// A box has heard of a turn that this ledger has not given: it was made again, or a commit of it was lost.
fn taken_before(
    tx: &mut Tx<'_>,
    book: &mut Book<'_>,
    kept: &mut Kept,
    speaker: (String, u32),
    (turn, seq): (i64, i64),
) -> Result<(), Refusal> {
    kept.turn = turn;
    match &kept.holder {
        Some((name, _)) if *name != speaker.0 => {
            let text = format!("the coupon '{}' is with the box '{name}' too: this ledger has lost a commit", kept.id);
            book.alarm(seq, "claim-unknown", text);
        }
        Some(_) | None => kept.holder = Some(speaker),
    }
    write(tx, kept)
}

/// Nobody can use it by the turn that ends: it goes to whoever waits for it.
fn pass_on(tx: &mut Tx<'_>, kept: &mut Kept) -> Result<(), Refusal> {
    let next = kept.wanted_by.take();
    (kept.holder, kept.is_wanted) = (None, false);
    kept.turn += 1;
    let is_good = kept.coupon.as_ref().is_some_and(|coupon| coupon.state == CouponState::Issued);
    if let Some((name, epoch)) = next
        && is_good
        && current(tx, &name)? == Some(epoch)
        && used_at(tx, &kept.id)?.is_empty()
    {
        kept.holder = Some((name, epoch));
    }
    write(tx, kept)
}

/// Notes what a box says of a use; whether that is news.
fn said(
    tx: &mut Tx<'_>,
    coupon: &str,
    (box_name, epoch, seq): (&str, u32, i64),
    purpose: &str,
    used: Option<(i64, bool)>,
    now_ms: i64,
) -> Result<bool, Refusal> {
    let (fen, claimed) = used.unwrap_or((0, false));
    let changed = tx.run(
        "INSERT INTO coupon_use (coupon, box, purpose, epoch, seq, stands, fen, claimed, at_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         ON CONFLICT (coupon, box, purpose) DO UPDATE SET epoch = excluded.epoch, seq = excluded.seq,
             stands = excluded.stands,
             fen = CASE WHEN excluded.stands = 1 THEN excluded.fen ELSE coupon_use.fen END,
             claimed = CASE WHEN excluded.stands = 1 THEN excluded.claimed ELSE coupon_use.claimed END,
             at_ms = excluded.at_ms
         WHERE excluded.epoch > coupon_use.epoch
            OR (excluded.epoch = coupon_use.epoch AND excluded.seq > coupon_use.seq)",
        values![coupon, box_name, purpose, epoch, seq, used.is_some(), fen, claimed, now_ms],
    )?;
    Ok(changed > 0)
}

/// Says so where a use is not the only one. What each of them took off stands in the books of its site.
fn tell_second_use(
    tx: &mut Tx<'_>,
    book: &mut Book<'_>,
    kept: &Kept,
    (box_name, _, seq): (&str, u32, i64),
    purpose: &str,
) -> Result<(), Refusal> {
    let sql = "SELECT box, purpose, fen FROM coupon_use WHERE coupon = $1 AND stands = 1 ORDER BY box, purpose";
    let rows = tx.rows(sql, values![&kept.id])?;
    let is_other = |row: &&Row| (row.text(0).as_str(), row.text(1).as_str()) != (box_name, purpose);
    let others = rows.iter().filter(is_other);
    let mut others: Vec<String> =
        others.map(|row| format!("at '{}' by {} for {} fen", row.text(0), row.text(1), row.int(2))).collect();
    if kept.coupon.as_ref().is_some_and(|coupon| coupon.state == CouponState::Used) {
        others.push("beside the boxes".to_owned());
    }
    if !others.is_empty() {
        let text = format!("the coupon '{}' was used by {purpose} and {}", kept.id, others.join(" and "));
        book.alarm(seq, "coupon-used-twice", text);
    }
    Ok(())
}

/// The current epoch of a box that may be given something.
fn current(tx: &mut Tx<'_>, box_name: &str) -> Result<Option<u32>, Refusal> {
    let row = tx.row("SELECT epoch FROM box WHERE name = $1 AND revoked = 0", values![box_name])?;
    Ok(row.map(|row| row.epoch(0)))
}

/// The boxes that have used it.
fn used_at(tx: &mut Tx<'_>, coupon: &str) -> Result<Vec<String>, Refusal> {
    let sql = "SELECT DISTINCT box FROM coupon_use WHERE coupon = $1 AND stands = 1 ORDER BY box";
    Ok(tx.rows(sql, values![coupon])?.iter().map(|row| row.text(0)).collect())
}

const KEPT: &str = "SELECT content, turn, box, epoch, wanted, wanted_box, wanted_epoch FROM coupon WHERE id = $1";

/// Holds a coupon's row, so that nobody else gives it away meanwhile; a new one is made.
fn hold(tx: &mut Tx<'_>, id: &str) -> Result<Kept, Refusal> {
    tx.run("INSERT INTO coupon (id) VALUES ($1) ON CONFLICT DO NOTHING", values![id])?;
    let row = tx.only(&format!("{KEPT} {{lock}}"), values![id])?;
    kept(id, &row)
}

fn kept(id: &str, row: &Row) -> Result<Kept, Refusal> {
    let unreadable = |error| crate::db::Error::unreadable(format!("coupon {id}: {error}"));
    let coupon = row.opt_text(0).map(|content| serde_json::from_str(&content).map_err(unreadable)).transpose()?;
    Ok(Kept {
        id: id.to_owned(),
        coupon,
        turn: row.int(1),
        holder: row.opt_text(2).map(|name| (name, row.epoch(3))),
        is_wanted: row.flag(4),
        wanted_by: row.opt_text(5).map(|name| (name, row.epoch(6))),
    })
}

/// Writes who has a coupon, and tells every box of it.
fn write(tx: &mut Tx<'_>, kept: &Kept) -> Result<(), Refusal> {
    let (holder, epoch) = kept.holder.clone().map_or((None, 0), |(name, epoch)| (Some(name), epoch));
    let (next, next_epoch) = kept.wanted_by.clone().map_or((None, 0), |(name, epoch)| (Some(name), epoch));
    tx.run(
        "UPDATE coupon SET turn = $2, box = $3, epoch = $4, wanted = $5, wanted_box = $6, wanted_epoch = $7
         WHERE id = $1",
        values![&kept.id, kept.turn, holder.as_deref(), epoch, kept.is_wanted, next.as_deref(), next_epoch],
    )?;
    let claim = told(tx, kept)?;
    put_what(tx, &What::CouponClaim(claim))
}

fn told(tx: &mut Tx<'_>, kept: &Kept) -> Result<FeedClaim, Refusal> {
    let (box_name, epoch) = kept.holder.clone().map_or((None, 0), |(name, epoch)| (Some(name), epoch));
    let used = used_at(tx, &kept.id)?;
    Ok(FeedClaim { coupon: kept.id.clone(), turn: kept.turn, box_name, epoch, wanted: kept.is_wanted, used })
}

fn view(tx: &mut Tx<'_>, id: &str) -> Result<CouponView, Refusal> {
    let row = tx.row(KEPT, values![id])?.ok_or_else(|| Refusal::CouponUnknown(id.to_owned()))?;
    let kept = kept(id, &row)?;
    let state = match &kept.holder {
        None => ClaimState::Free,
        Some((name, epoch)) if current(tx, name)? == Some(*epoch) => ClaimState::Open,
        Some(_) => ClaimState::Frozen,
    };
    let sql =
        "SELECT box, purpose, fen, claimed, stands, at_ms FROM coupon_use WHERE coupon = $1 ORDER BY box, purpose";
    let used = |row: &Row| UseView {
        box_name: row.text(0),
        by: row.text(1),
        fen: row.int(2),
        claimed: row.flag(3),
        stands: row.flag(4),
        at_ms: row.int(5),
    };
    let uses = tx.rows(sql, values![id])?.iter().map(used).collect();
    Ok(CouponView { id: id.to_owned(), claim: told(tx, &kept)?, coupon: kept.coupon, state, uses })
}
