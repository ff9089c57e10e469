//! Passes by their own numbers, as a till asks for them, with how often each was used here.

use rusqlite::{Connection, OptionalExtension, params};

use super::benefits::{standing_of, sums};
use crate::domain::benefit::{Counters, Dimension, HeldPass};
use crate::domain::event::{Member, MemberId};

/// Keeps whose the passes of a member are; the newest word wins.
pub(super) fn fed(db: &Connection, member: &MemberId, now: Option<&Member>) -> anyhow::Result<()> {
    db.prepare_cached("DELETE FROM cloud_pass WHERE member = ?1")?.execute([member.as_str()])?;
    for pass in now.iter().flat_map(|member| &member.privileges.passes) {
        let sql = "INSERT OR REPLACE INTO cloud_pass (pass, member) VALUES (?1, ?2)";
        db.prepare_cached(sql)?.execute(params![pass.id, member.as_str()])?;
    }
    Ok(())
}

/// The pass of a number and whose it is; its uses are added to `used`.
pub(super) fn held(
    db: &Connection,
    number: &str,
    here: &str,
    used: &mut Counters,
) -> anyhow::Result<Option<(HeldPass, MemberId)>> {
    let sql = "SELECT member FROM cloud_pass WHERE pass = ?1";
    let member: Option<String> = db.prepare_cached(sql)?.query_row([number], |row| row.get(0)).optional()?;
    let Some(member) = member.map(MemberId) else { return Ok(None) };
    let passes = standing_of(db, &member)?.privileges.held_passes(here);
    let Some(pass) = passes.into_iter().find(|pass| pass.id == number) else { return Ok(None) };
    sums(db, Dimension::Pass, number, used)?;
    Ok(Some((pass, member)))
}
