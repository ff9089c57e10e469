//! What the cloud ledger's feed says, in its tables: members with what they have, coupons, campaigns.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, params};

use super::tables::one;
use super::{Store, benefits, claims, passes};
use crate::domain::event::{FeedChange, Fen, ShareTaken};
use crate::domain::share::ShareNow;

/// The newest statement about a member wins, and about a plate or code too: the cloud keeps them unique.
pub(super) fn fed(db: &Connection, change: &FeedChange) -> anyhow::Result<()> {
    let id = match change {
        FeedChange::Member { member } => &member.id,
        FeedChange::MemberRemoved { id } => id,
        FeedChange::Coupon { coupon } => return benefits::fed_coupon(db, coupon),
        FeedChange::CouponClaim(claim) => return claims::fed(db, claim),
        FeedChange::Merchant { merchant } => {
            let sql = "INSERT OR REPLACE INTO cloud_merchant (merchant, told) VALUES (?1, ?2)";
            return one(db, sql, params![merchant.id, serde_json::to_string(merchant)?]);
        }
        FeedChange::Campaign { id, stopped, spent_elsewhere_fen, as_of_ms, shared } => {
            let sql = "INSERT OR REPLACE INTO cloud_campaign (campaign, stopped, spent_elsewhere_fen, as_of_ms, shared)
                       VALUES (?1, ?2, ?3, ?4, ?5)";
            return one(db, sql, params![id, stopped, spent_elsewhere_fen.0, as_of_ms.0, shared.is_some()]);
        }
    };
    for sql in [
        "DELETE FROM cloud_plate WHERE member = ?1",
        "DELETE FROM cloud_code WHERE member = ?1",
        "DELETE FROM cloud_member WHERE member = ?1",
    ] {
        db.prepare_cached(sql)?.execute([id.as_str()])?;
    }
    let now = if let FeedChange::Member { member } = change { Some(member) } else { None };
    passes::fed(db, id, now)?;
    let Some(member) = now else { return Ok(()) };
    let sql = "INSERT INTO cloud_member (member, handle, tier, consent_plates, home, privileges)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let has_some = !member.privileges.is_empty();
    let privileges = has_some.then(|| serde_json::to_string(&member.privileges)).transpose()?;
    let values = params![id.as_str(), member.handle, member.tier, member.consent_plates, member.home, privileges];
    one(db, sql, values)?;
    for plate in &member.plates {
        let sql = "INSERT OR REPLACE INTO cloud_plate (plate, member) VALUES (?1, ?2)";
        one(db, sql, params![plate.as_str(), id.as_str()])?;
    }
    for code in &member.codes {
        let sql = "INSERT OR REPLACE INTO cloud_code (code, member) VALUES (?1, ?2)";
        one(db, sql, params![code, id.as_str()])?;
    }
    Ok(())
}

/// This box's newest word about its share.
pub(super) fn share_taken(db: &Connection, word: &ShareTaken) -> anyhow::Result<()> {
    let sql = "INSERT OR REPLACE INTO campaign_share (campaign, turn, share_fen, spent_fen) VALUES (?1, ?2, ?3, ?4)";
    one(db, sql, params![word.campaign, word.turn, word.share_fen.0, word.spent_fen.0])
}

/// What this box has of the campaigns that a part of the feed shares out.
pub(super) fn shares(store: &Store, changes: &[FeedChange]) -> anyhow::Result<BTreeMap<String, ShareNow>> {
    let mut shares = BTreeMap::new();
    for change in changes {
        if let FeedChange::Campaign { id, shared: Some(_), .. } = change {
            shares.insert(id.clone(), share_now(&store.db, id)?);
        }
    }
    Ok(shares)
}

fn share_now(db: &Connection, campaign: &str) -> anyhow::Result<ShareNow> {
    let sql = "SELECT coalesce(sum(fen), 0) FROM benefit_count WHERE dimension = 'campaign' AND who = ?1";
    let spent = Fen(db.prepare_cached(sql)?.query_row([campaign], |row| row.get(0))?);
    let sql = "SELECT turn, share_fen, spent_fen FROM campaign_share WHERE campaign = ?1";
    let said = db.prepare_cached(sql)?.query_row([campaign], |row| {
        Ok(ShareTaken {
            campaign: campaign.to_owned(),
            turn: row.get(0)?,
            share_fen: Fen(row.get(1)?),
            spent_fen: Fen(row.get(2)?),
        })
    });
    Ok(ShareNow { spent, said: said.optional()? })
}
