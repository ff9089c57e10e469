//! Codes of members' phones that were used, so that none is taken twice; also after a restart.

use rusqlite::{Connection, OptionalExtension, params};

use super::tables::one;
use crate::domain::event::{CodeUse, MemberId, Shown, UtcMs};

/// How many steps back a used code is kept: two days, far beyond any clock's error. An older one is refused by its time.
const KEPT_STEPS: u64 = 2 * 24 * 60 * 2;

/// Keeps that a code was used.
pub(super) fn used(db: &Connection, used: &CodeUse) -> anyhow::Result<()> {
    let sql = "INSERT INTO member_code (member, step, place, at_ms, paid) VALUES (?1, ?2, ?3, ?4, ?5)
               ON CONFLICT (member, step) DO UPDATE SET paid = excluded.paid";
    one(db, sql, params![used.member.as_str(), used.step, used.place, used.at.0, used.paid])?;
    let sql = "DELETE FROM member_code WHERE step < ?1";
    db.prepare_cached(sql)?.execute([used.step.saturating_sub(KEPT_STEPS)])?;
    Ok(())
}

/// What became of a code before.
pub(super) fn find(
    db: &Connection,
    member: Option<&MemberId>,
    shown: Option<&Shown>,
) -> anyhow::Result<Option<CodeUse>> {
    let (Some(member), Some(Shown::Code { step })) = (member, shown) else { return Ok(None) };
    let sql = "SELECT place, at_ms, paid FROM member_code WHERE member = ?1 AND step = ?2";
    let found = db.prepare_cached(sql)?.query_row(params![member.as_str(), step], |row| {
        let (member, step) = (member.clone(), *step);
        Ok(CodeUse { member, step, place: row.get(0)?, at: UtcMs(row.get(1)?), paid: row.get(2)? })
    });
    Ok(found.optional()?)
}
