//! The plates of all members, kept ready in memory, so that one that was read a little wrong may still be recognised.

use anyhow::Context;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, params};

use super::inside::InsideNow;
use crate::domain::event::{FeedChange, MemberId, Record, UtcMs};
use crate::domain::matching::answer::Thresholds;
use crate::domain::matching::members::{Members, Regular, VISITS_MAX};
use crate::domain::matching::park::Seen;
use crate::domain::matching::symbols::Packed;
use crate::domain::plate::Plate;
use crate::domain::plate::told::{Colour, VehicleKind};
use crate::domain::stay::{EntryRead, Recognised};

/// Visits within this time say how often a plate comes.
const VISITS_MS: i64 = 30 * 24 * 3600 * 1000;

/// All members' plates.
pub(super) struct MembersNow {
    plates: Members,
}

impl MembersNow {
    /// From the cache of the cloud ledger's members.
    pub fn read(db: &Connection) -> anyhow::Result<Self> {
        let mut statement = db.prepare("SELECT plate FROM cloud_plate")?;
        let mut rows = statement.query(())?;
        let (mut packed, mut odd): (Vec<Packed>, Vec<Plate>) = (Vec::new(), Vec::new());
        while let Some(row) = rows.next()? {
            let ValueRef::Text(text) = row.get_ref(0)? else { continue };
            let text = std::str::from_utf8(text).context("read a member's plate")?;
            let Some(pack) = Packed::of_text(text) else { continue };
            packed.push(pack);
            if Members::is_odd(text, pack) {
                odd.push(text.parse().context("read a member's plate")?);
            }
        }
        Ok(Self { plates: Members::of(packed, odd) })
    }

    /// The plates that a change of the feed may take away; asked before the tables follow it.
    pub fn leaving(&self, db: &Connection, record: &Record) -> anyhow::Result<Vec<Plate>> {
        let Record::Fed { changes, .. } = record else { return Ok(Vec::new()) };
        let mut plates = Vec::new();
        let mut statement = db.prepare_cached("SELECT plate FROM cloud_plate WHERE member = ?1")?;
        for change in changes {
            let id = match change {
                FeedChange::Member { member } => &member.id,
                FeedChange::MemberRemoved { id } => id,
                FeedChange::Coupon { .. }
                | FeedChange::CouponClaim(_)
                | FeedChange::Campaign { .. }
                | FeedChange::Merchant { .. } => continue,
            };
            let mut rows = statement.query([id.as_str()])?;
            while let Some(row) = rows.next()? {
                plates.push(row.get::<_, String>(0)?.parse().context("read a member's plate")?);
            }
        }
        Ok(plates)
    }

    /// Follows a change of the feed, once the tables have.
    pub fn follow(&mut self, db: &Connection, record: &Record, leaving: &[Plate]) -> anyhow::Result<()> {
        let Record::Fed { changes, .. } = record else { return Ok(()) };
        let mut statement = db.prepare_cached("SELECT 1 FROM cloud_plate WHERE plate = ?1")?;
        let mut is_there = |plate: &str| statement.exists([plate]);
        for plate in leaving {
            if !is_there(plate.as_str())? {
                let mut plain = false;
                if let Some(text) = Members::plain_text(plate) {
                    plain = is_there(&text)?;
                }
                self.plates.remove(plate, plain);
            }
        }
        for change in changes {
            if let FeedChange::Member { member } = change {
                for plate in &member.plates {
                    // A later change of the same batch may have taken it away again.
                    if is_there(plate.as_str())? {
                        self.plates.add(plate);
                    }
                }
            }
        }
        Ok(())
    }

    /// The member whose plate was nearly read, where that is certain enough. Only members who agreed are weighed.
    pub fn recognise(
        &self,
        db: &Connection,
        inside: &InsideNow,
        reads: &[Seen],
        read: &Plate,
        at: UtcMs,
    ) -> anyhow::Result<Option<(MemberId, Recognised)>> {
        let mut near: Vec<(Regular, MemberId)> = Vec::new();
        for plate in self.plates.near(read) {
            if let Some(member) = consenting(db, &plate)? {
                let visits = visits(db, &plate, at)?;
                near.push((Regular { plate, visits }, member));
            }
        }
        let (regulars, members): (Vec<Regular>, Vec<MemberId>) = near.into_iter().unzip();
        let certainties = inside.weigh_members(reads, &regulars, self.plates.len());
        let best = certainties.iter().enumerate().max_by_key(|(_, posterior)| **posterior);
        let Some((place, posterior_ppm)) = best.map(|(place, posterior)| (place, *posterior)) else { return Ok(None) };
        let thresholds = Thresholds::default();
        let plate = regulars[place].plate.clone();
        let second_factor = posterior_ppm >= thresholds.automatic_ppm && looks_as_before(db, &plate, reads)?;
        if posterior_ppm < thresholds.member_ppm && !second_factor {
            return Ok(None);
        }
        Ok(Some((members[place].clone(), Recognised { plate, posterior_ppm, second_factor })))
    }
}

fn consenting(db: &Connection, plate: &Plate) -> anyhow::Result<Option<MemberId>> {
    let sql = "SELECT m.member FROM cloud_plate p JOIN cloud_member m USING (member)
               WHERE p.plate = ?1 AND m.consent_plates = 1";
    Ok(db.prepare_cached(sql)?.query_row([plate.as_str()], |row| Ok(MemberId(row.get(0)?))).optional()?)
}

fn visits(db: &Connection, plate: &Plate, at: UtcMs) -> anyhow::Result<u32> {
    let sql =
        "SELECT count(*) FROM (SELECT 1 FROM stay WHERE plate = ?1 AND state = 'closed' AND exit_ms >= ?2 LIMIT ?3)";
    let from = at.0.saturating_sub(VISITS_MS);
    Ok(db.prepare_cached(sql)?.query_row(params![plate.as_str(), from, VISITS_MAX], |row| row.get(0))?)
}

/// Whether colour and kind were told, and are what they were at the plate's last visit.
fn looks_as_before(db: &Connection, plate: &Plate, reads: &[Seen]) -> anyhow::Result<bool> {
    let sql = "SELECT entry_read FROM stay WHERE plate = ?1 AND state = 'closed' ORDER BY exit_ms DESC LIMIT 1";
    let last: Option<Option<String>> =
        db.prepare_cached(sql)?.query_row([plate.as_str()], |row| row.get(0)).optional()?;
    let Some(text) = last.flatten() else { return Ok(false) };
    let before: EntryRead = serde_json::from_str(&text).context("read what was told of an earlier visit")?;
    let colour: Option<Colour> = reads.iter().rev().find_map(|seen| seen.colour);
    let vehicle: Option<VehicleKind> = reads.iter().rev().find_map(|seen| seen.vehicle);
    let is_same = before.told.colour == colour && before.told.vehicle == vehicle;
    Ok(colour.is_some() && vehicle.is_some() && is_same)
}
