//! Members as the cloud ledger told of them, and the points that this box may spend for them.

use rusqlite::OptionalExtension;

use super::{ReadError, View};
use crate::domain::event::{MemberId, Points, UtcMs};
use crate::domain::plate::Plate;

/// A member as a till or a lane may see one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberRow {
    /// The id.
    pub id: MemberId,
    /// A masked name.
    pub handle: String,
    /// The tier's name.
    pub tier: String,
    /// Whether the member agreed that plates are matched.
    pub consent_plates: bool,
}

/// A member's points at this box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PointsHere {
    /// What may be spent now.
    pub usable: Points,
    /// What may be spent later.
    pub pending: Points,
    /// What counts for the tier and buys nothing, as far as it was earned here.
    pub status: Points,
}

impl View<'_> {
    /// The member of that id.
    pub fn member(&self, id: &MemberId) -> Result<Option<MemberRow>, ReadError> {
        self.member_by("SELECT member, handle, tier, consent_plates FROM cloud_member WHERE member = ?1", id.as_str())
    }

    /// The member whose code was scanned.
    pub fn member_by_code(&self, code: &str) -> Result<Option<MemberRow>, ReadError> {
        let sql = "SELECT m.member, m.handle, m.tier, m.consent_plates \
                   FROM cloud_code c JOIN cloud_member m ON m.member = c.member WHERE c.code = ?1";
        self.member_by(sql, code)
    }

    /// The member whose plate it is; the caller looks at the consent.
    pub fn member_by_plate(&self, plate: &Plate) -> Result<Option<MemberRow>, ReadError> {
        let sql = "SELECT m.member, m.handle, m.tier, m.consent_plates \
                   FROM cloud_plate p JOIN cloud_member m ON m.member = p.member WHERE p.plate = ?1";
        self.member_by(sql, plate.as_str())
    }

    /// The plates of members who agreed that plates are matched, in their order.
    pub fn consenting_plates(&self, most: usize) -> Result<Vec<String>, ReadError> {
        let sql = "SELECT p.plate FROM cloud_plate p JOIN cloud_member m USING (member) \
                   WHERE m.consent_plates ORDER BY p.plate LIMIT ?1";
        let mut query = self.tx.prepare_cached(sql)?;
        let rows = query.query_map([most as i64], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The points that this box can still spend for a member.
    pub fn usable_points(&self, member: &MemberId) -> Result<Points, ReadError> {
        let sql = "SELECT coalesce(sum(remaining), 0) FROM points_grant WHERE member = ?1 AND remaining > 0 \
                   AND epoch = (SELECT epoch FROM box WHERE one = 1)";
        Ok(Points(self.tx.prepare_cached(sql)?.query_row([member.as_str()], |row| row.get(0))?))
    }

    /// A member's points at this box: what is usable at a moment, what is not yet, and what was earned for the tier.
    pub fn points_here(&self, member: &MemberId, now: UtcMs) -> Result<PointsHere, ReadError> {
        let sql = "SELECT coalesce(sum(remaining) FILTER (WHERE coalesce(lot ->> '$.valid_from_ms', 0) <= ?2), 0),
                   coalesce(sum(remaining) FILTER (WHERE lot ->> '$.valid_from_ms' > ?2), 0),
                   coalesce((SELECT status FROM earning_account WHERE member = ?1), 0)
                   FROM points_grant WHERE member = ?1 AND remaining > 0
                   AND epoch = (SELECT epoch FROM box WHERE one = 1)
                   AND coalesce(lot ->> '$.expires_ms', 9223372036854775807) > ?2";
        Ok(self.tx.prepare_cached(sql)?.query_row((member.as_str(), now.0), |row| {
            let (usable, pending, status) = (Points(row.get(0)?), Points(row.get(1)?), Points(row.get(2)?));
            Ok(PointsHere { usable, pending, status })
        })?)
    }

    /// All points that this box could still spend: what a copy of it could double.
    pub fn exposure(&self) -> Result<Points, ReadError> {
        let sql = "SELECT coalesce(sum(remaining), 0) FROM points_grant WHERE remaining > 0 \
                   AND epoch = (SELECT epoch FROM box WHERE one = 1)";
        Ok(Points(self.tx.prepare_cached(sql)?.query_row([], |row| row.get(0))?))
    }

    /// Members at home here, by id from after `after` on.
    pub fn at_home(&self, after: &str, most: usize) -> Result<Vec<MemberId>, ReadError> {
        let sql = "SELECT member FROM cloud_member WHERE home = (SELECT box_id FROM box WHERE one = 1) \
                   AND member > ?1 ORDER BY member LIMIT ?2";
        let mut query = self.tx.prepare_cached(sql)?;
        let rows = query.query_map((after, most as i64), |row| Ok(MemberId(row.get(0)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn member_by(&self, sql: &str, what: &str) -> Result<Option<MemberRow>, ReadError> {
        let row = self.tx.prepare_cached(sql)?.query_row([what], |row| {
            Ok(MemberRow {
                id: MemberId(row.get(0)?),
                handle: row.get(1)?,
                tier: row.get(2)?,
                consent_plates: row.get(3)?,
            })
        });
        Ok(row.optional()?)
    }
}
