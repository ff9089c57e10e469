//! Coupons that one box has alone: what the ledger told, what this box said, and what the next look needs to know.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::benefits::{CouponUseOf, coupon_use};
use super::tables::one;
use super::{Store, facts};
use crate::domain::benefit::{CouponState, Use};
use crate::domain::claim::{CouponNow, Holder};
use crate::domain::event::{CouponClaim, CouponSays, CouponWord, CouponsLook, Fen, LaneId, MemberId, StayId, UtcMs};
use crate::domain::lane::Phase;

/// The most coupons that one look at everything takes up: those of a large mall's members inside.
const LOOK_MAX: i64 = 1000;
/// The most coupons of a member or stay that are looked at: far more than anybody collects.
const OF_ONE_MAX: i64 = 64;

/// The newest statement about who has a coupon wins.
pub(super) fn fed(db: &Connection, claim: &CouponClaim) -> anyhow::Result<()> {
    let sql =
        "INSERT OR REPLACE INTO cloud_claim (coupon, turn, box, epoch, wanted, used) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let CouponClaim { coupon, turn, box_id, epoch, wanted, used } = claim;
    one(db, sql, params![coupon, turn, box_id, epoch, wanted, serde_json::to_string(used)?])
}

/// This box's newest word about a coupon.
pub(super) fn told(db: &Connection, word: &CouponWord) -> anyhow::Result<()> {
    let CouponWord { coupon, turn, says } = word;
    match says {
        CouponSays::Wanted => {
            let sql = "INSERT INTO coupon_word (coupon, wanted_turn) VALUES (?1, ?2)
                       ON CONFLICT (coupon) DO UPDATE SET wanted_turn = excluded.wanted_turn";
            one(db, sql, params![coupon, turn])
        }
        CouponSays::Taken => {
            let sql = "INSERT INTO coupon_word (coupon, taken_turn) VALUES (?1, ?2)
                       ON CONFLICT (coupon) DO UPDATE SET taken_turn = excluded.taken_turn";
            one(db, sql, params![coupon, turn])
        }
        CouponSays::Returned => {
            let sql = "INSERT INTO coupon_word (coupon, returned_turn) VALUES (?1, ?2)
                       ON CONFLICT (coupon) DO UPDATE SET returned_turn = excluded.returned_turn";
            one(db, sql, params![coupon, turn])
        }
        CouponSays::Used { by, .. } => {
            let sql = "INSERT INTO coupon_word (coupon, used_by, was_used) VALUES (?1, ?2, 1)
                       ON CONFLICT (coupon) DO UPDATE SET used_by = excluded.used_by, was_used = 1";
            one(db, sql, params![coupon, by])
        }
        CouponSays::Unused { by } => {
            let sql = "UPDATE coupon_word SET used_by = NULL WHERE coupon = ?1 AND used_by = ?2";
            one(db, sql, params![coupon, by])
        }
    }
}

/// In a new epoch this box has nothing alone, and has asked for nothing.
pub(super) fn epoch_began(db: &Connection) -> anyhow::Result<()> {
    let sql = "UPDATE coupon_word SET wanted_turn = NULL, taken_turn = NULL, returned_turn = NULL
               WHERE wanted_turn IS NOT NULL OR taken_turn IS NOT NULL OR returned_turn IS NOT NULL";
    db.prepare_cached(sql)?.execute(())?;
    Ok(())
}

/// Where a coupon is in its life that its issuer lets be used, and this box has neither used nor set aside.
pub(super) fn state(db: &Connection, coupon: &str) -> anyhow::Result<CouponState> {
    let Some(told) = standing(db, coupon)? else { return Ok(CouponState::Issued) };
    let sql = "SELECT 1 FROM fact WHERE name = 'quarantined'";
    let is_in_doubt = db.prepare_cached(sql)?.query_row((), |_| Ok(())).optional()?.is_some();
    Ok(match told.holder {
        _ if told.is_used_elsewhere => CouponState::Used,
        Holder::Here if !is_in_doubt => CouponState::ClaimedHere,
        Holder::Here | Holder::Nobody => CouponState::Issued,
        Holder::Other => CouponState::ClaimedElsewhere,
    })
}

/// What the ledger told of a coupon, as it counts here and now.
struct Standing {
    turn: u64,
    holder: Holder,
    is_wanted: bool,
    is_used_elsewhere: bool,
}

fn standing(db: &Connection, coupon: &str) -> anyhow::Result<Option<Standing>> {
    let sql = "SELECT c.turn, c.box, c.epoch, c.wanted, c.used, b.box_id, b.epoch, w.returned_turn, w.was_used
               FROM cloud_claim c JOIN box b ON b.one = 1 LEFT JOIN coupon_word w ON w.coupon = c.coupon
               WHERE c.coupon = ?1";
    let mut query = db.prepare_cached(sql)?;
    let mut rows = query.query([coupon])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let (turn, here): (u64, String) = (row.get(0)?, row.get(5)?);
    let holder: Option<String> = row.get(1)?;
    let is_this_epoch = row.get::<_, u32>(2)? == row.get::<_, u32>(6)?;
    let is_given_back = row.get::<_, Option<u64>>(7)? == Some(turn);
    let holder = match holder {
        Some(name) if name != here => Holder::Other,
        Some(_) if is_this_epoch && !is_given_back => Holder::Here,
        Some(_) | None => Holder::Nobody,
    };
    let used: Vec<String> = facts::parse(&row.get::<_, String>(4)?)?;
    // A use of this box that its journal knows nothing of is one of a journal that is lost.
    let knows_own = row.get::<_, Option<bool>>(8)?.unwrap_or(false);
    let is_used_elsewhere = used.iter().any(|name| *name != here || !knows_own);
    Ok(Some(Standing { turn, holder, is_wanted: row.get(3)?, is_used_elsewhere }))
}

/// What is known of every coupon that a look is about.
pub(super) fn look_up(store: &Store, look: &CouponsLook) -> anyhow::Result<Vec<CouponNow>> {
    let db = &store.db;
    let mut found: BTreeMap<String, bool> = BTreeMap::new();
    if look.is_everything() {
        found.extend(everything(db, &store.box_id)?.into_iter().map(|coupon| (coupon, false)));
    }
    found.extend(look.coupons.iter().map(|coupon| (coupon.clone(), false)));
    let mut members = look.members.clone();
    for stay in &look.stays {
        members.extend(member_of(db, stay)?);
        for coupon in of_stay(db, stay)? {
            found.entry(coupon).or_insert(false);
        }
    }
    for member in members {
        let sql = "SELECT coupon FROM cloud_coupon WHERE member = ?1 ORDER BY coupon LIMIT ?2";
        found.extend(names(db, sql, params![member.as_str(), OF_ONE_MAX])?.into_iter().map(|coupon| (coupon, true)));
    }
    let nows = found.into_iter().map(|(coupon, visit_changed)| now(db, &coupon, visit_changed));
    let mut nows: Vec<CouponNow> = nows.filter_map(Result::transpose).collect::<anyhow::Result<_>>()?;
    for coupon in nows.iter_mut().filter(|coupon| coupon.just_came()) {
        coupon.waits_at = waits_at(store, coupon)?;
    }
    Ok(nows)
}

/// Where vehicles wait that a coupon may be used for: its member's, and those that it was shown for.
fn waits_at(store: &Store, coupon: &CouponNow) -> anyhow::Result<Vec<LaneId>> {
    let mut found = Vec::new();
    for (id, lane) in &store.lanes {
        let (Phase::Waiting(_), Some(stay)) = (&lane.phase, lane.stay()) else { continue };
        let is_its = coupon.member.is_some() && member_of(&store.db, stay)? == coupon.member;
        if is_its || is_shown(&store.db, stay, &coupon.coupon)? {
            found.push(id.clone());
        }
    }
    Ok(found)
}

fn is_shown(db: &Connection, stay: &StayId, coupon: &str) -> anyhow::Result<bool> {
    let sql = "SELECT 1 FROM coupon_shown WHERE stay = ?1 AND coupon = ?2";
    Ok(db.prepare_cached(sql)?.query_row([stay.as_str(), coupon], |_| Ok(())).optional()?.is_some())
}

/// Every coupon that this box has alone, and those of members inside.
fn everything(db: &Connection, here: &str) -> anyhow::Result<Vec<String>> {
    let sql = "SELECT coupon FROM cloud_claim WHERE box = ?1 LIMIT ?2";
    let mut found = names(db, sql, params![here, LOOK_MAX])?;
    let sql = "SELECT c.coupon FROM stay s JOIN cloud_coupon c ON c.member = s.member
               WHERE s.state IN ('pending_entry', 'open', 'pending_exit') AND s.member IS NOT NULL LIMIT ?1";
    found.extend(names(db, sql, params![LOOK_MAX])?);
    Ok(found)
}

fn member_of(db: &Connection, stay: &StayId) -> anyhow::Result<Option<MemberId>> {
    let sql = "SELECT member FROM stay WHERE stay = ?1";
    let member: Option<Option<String>> =
        db.prepare_cached(sql)?.query_row([stay.as_str()], |row| row.get(0)).optional()?;
    Ok(member.flatten().map(MemberId))
}

/// The coupons that a stay shows, uses or has used.
fn of_stay(db: &Connection, stay: &StayId) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    for sql in [
        "SELECT instance FROM benefit_use WHERE stay = ?1 AND source = 'coupon' AND instance IS NOT NULL LIMIT ?2",
        "SELECT coupon FROM coupon_shown WHERE stay = ?1 LIMIT ?2",
        "SELECT coupon FROM coupon_word WHERE used_by = ?1 LIMIT ?2",
    ] {
        found.extend(names(db, sql, params![stay.as_str(), OF_ONE_MAX])?);
    }
    Ok(found)
}

fn names(db: &Connection, sql: &str, values: impl rusqlite::Params) -> anyhow::Result<Vec<String>> {
    let mut query = db.prepare_cached(sql)?;
    let rows = query.query_map(values, |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn now(db: &Connection, coupon: &str, visit_changed: bool) -> anyhow::Result<Option<CouponNow>> {
    let sql = "SELECT c.kind, c.member, c.until_ms, c.state = 'issued', w.wanted_turn, w.used_by, w.taken_turn,
                      EXISTS (SELECT 1 FROM stay s WHERE s.member = c.member
                              AND s.state IN ('pending_entry', 'open', 'pending_exit'))
               FROM cloud_coupon c LEFT JOIN coupon_word w ON w.coupon = c.coupon WHERE c.coupon = ?1";
    let told = standing(db, coupon)?;
    let told = told.unwrap_or(Standing { turn: 0, holder: Holder::Nobody, is_wanted: false, is_used_elsewhere: false });
    let (is_held, used) = uses(db, coupon)?;
    let read = |row: &Row<'_>| {
        Ok(CouponNow {
            coupon: coupon.to_owned(),
            kind: row.get(0)?,
            member: row.get::<_, Option<String>>(1)?.map(MemberId),
            until: row.get::<_, Option<i64>>(2)?.map(UtcMs),
            is_issued: row.get(3)?,
            said_wanted: row.get(4)?,
            said_used: row.get(5)?,
            said_taken: row.get(6)?,
            member_inside: row.get(7)?,
            turn: told.turn,
            holder: told.holder,
            is_wanted: told.is_wanted,
            is_used_elsewhere: told.is_used_elsewhere,
            visit_changed,
            is_held,
            used: used.clone(),
            waits_at: Vec::new(),
        })
    };
    Ok(db.prepare_cached(sql)?.query_row([coupon], read).optional()?)
}

/// Whether a coupon is set aside here, and the use that stands.
fn uses(db: &Connection, coupon: &str) -> anyhow::Result<(bool, Option<(String, Fen)>)> {
    let sql = "SELECT stay, state, used FROM benefit_use
               WHERE instance = ?1 AND state <> 'void' AND source = 'coupon' ORDER BY state DESC, stay LIMIT 1";
    let found = db
        .prepare_cached(sql)?
        .query_row([coupon], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?)));
    if let Some(used) = coupon_use(db, CouponUseOf::Coupon(coupon))? {
        return Ok((false, Some((used.op.0, used.used.fen))));
    }
    let Some((stay, state, used)) = found.optional()? else { return Ok((false, None)) };
    if state == "held" {
        return Ok((true, None));
    }
    let used: Use = facts::parse(&used)?;
    Ok((false, Some((stay, used.fen))))
}
