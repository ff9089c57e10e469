//! What a merchant's page shows: the shop's day, vehicles by a part of their plate, and a coupon.

use rusqlite::OptionalExtension;

use super::{ReadError, View, from_json};
use crate::domain::benefit::HeldCoupon;
use crate::domain::event::{BusinessDay, Fen, MerchantTold, StayId, UtcMs};
use crate::domain::plate::Plate;

/// What a shop's day has come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MerchantDay {
    /// Sales.
    pub sales: u64,
    /// Their sum, less what came back.
    pub sales_fen: Fen,
    /// What points paid of it.
    pub points_fen: Fen,
    /// Gifts to vehicles that are inside.
    pub gifts: u64,
}

impl View<'_> {
    /// A merchant as the cloud ledger told of it last.
    pub fn merchant_told(&self, merchant: &str) -> Result<Option<MerchantTold>, ReadError> {
        let sql = "SELECT told FROM cloud_merchant WHERE merchant = ?1";
        let told: Option<String> = self.tx.prepare_cached(sql)?.query_row([merchant], |row| row.get(0)).optional()?;
        told.map(|told| from_json("cloud_merchant.told", &told)).transpose()
    }

    /// What a shop's day has come to. Those inside are few and the gifts of all years many, so it begins with the stays.
    pub fn merchant_day(&self, merchant: &str, day: BusinessDay) -> Result<MerchantDay, ReadError> {
        let sql = "SELECT count(*) FILTER (WHERE what = 'sale' AND sale_fen > 0),
                   coalesce(sum(CASE WHEN what IN ('sale', 'capture') THEN sale_fen ELSE -sale_fen END), 0),
                   coalesce(sum(CASE WHEN what IN ('sale', 'capture') THEN sale_points_fen ELSE -sale_points_fen END), 0),
                   (SELECT count(*) FROM stay CROSS JOIN validation USING (stay) WHERE validation.merchant = ?1
                    AND state IN ('pending_entry', 'open', 'pending_exit'))
                   FROM till_book WHERE day = ?2 AND merchant = ?1";
        Ok(self.tx.prepare_cached(sql)?.query_row((merchant, day.0), |row| {
            let (sales, gifts) = (row.get(0)?, row.get(3)?);
            Ok(MerchantDay { sales, sales_fen: Fen(row.get(1)?), points_fen: Fen(row.get(2)?), gifts })
        })?)
    }

    /// Vehicles inside whose plate contains `part`, the last to come first.
    pub fn inside_like(&self, part: &str, most: usize) -> Result<Vec<(StayId, Plate, UtcMs)>, ReadError> {
        let sql = "SELECT stay, plate, entry_ms FROM stay INDEXED BY stay_inside_by_change
                   WHERE state IN ('pending_entry', 'open', 'pending_exit') AND instr(plate, ?1) > 0
                   ORDER BY changed_seq DESC LIMIT ?2";
        let mut query = self.tx.prepare_cached(sql)?;
        let mut rows = query.query((part, most as i64))?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let text: String = row.get(1)?;
            let foreign = |error: crate::domain::plate::NotAPlate| ReadError::Foreign {
                what: "stay.plate",
                why: error.to_string(),
            };
            found.push((StayId(row.get(0)?), text.parse().map_err(foreign)?, UtcMs(row.get(2)?)));
        }
        Ok(found)
    }

    /// A coupon as this box knows it.
    pub fn held_coupon(&self, code: &str) -> Result<Option<HeldCoupon>, ReadError> {
        crate::store::benefits::coupon(&self.tx, code, None).map_err(super::benefits::unreadable)
    }
}
