//! What bonuses cost their campaigns: counted with each sale, and less again with each return.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};

use crate::domain::event::{BookingKind, EarnedHow, Fen};
use crate::domain::rules::Rules;

/// The class under which a campaign's bonuses are counted.
const CLASS: &str = "bonus";

/// Counts what the bonuses of a line of the tills' books cost, or what came back of it.
pub(super) fn cost(db: &Connection, what: BookingKind, how: &EarnedHow) -> anyhow::Result<()> {
    let (uses, way) = match what {
        BookingKind::Sale | BookingKind::Capture => (1, 1),
        // The use stays counted: a campaign's budget is money.
        BookingKind::Void | BookingKind::Refund => (0, -1),
    };
    // A return names the sale's own day, so that it finds the count that it lowers.
    let day = jiff::Timestamp::from_millisecond(how.sale.at.0)?.to_zoned(jiff::tz::TimeZone::UTC).date().to_string();
    for extra in how.extra.iter().filter(|extra| extra.cost.0 != 0) {
        let Some(campaign) = &extra.campaign else { continue };
        // What goes back is less than nothing by itself, so the count is there before it is changed.
        let sql = "INSERT INTO benefit_count (dimension, who, day, class, benefit, uses, minutes, fen)
                   VALUES ('campaign', ?1, ?2, ?3, ?4, 0, 0, 0) ON CONFLICT DO NOTHING";
        db.prepare_cached(sql)?.execute(params![campaign, day, CLASS, extra.bonus])?;
        let sql = "UPDATE benefit_count SET uses = uses + ?5, fen = fen + ?6
                   WHERE dimension = 'campaign' AND who = ?1 AND day = ?2 AND class = ?3 AND benefit = ?4";
        let values = params![campaign, day, CLASS, extra.bonus, uses, way * extra.cost.0];
        super::tables::one(db, sql, values)?;
    }
    Ok(())
}

/// What the campaigns of bonuses and of coupons that multiply points have cost here, from their beginning on.
pub(super) fn spent(db: &Connection, rules: &Rules) -> anyhow::Result<BTreeMap<String, Fen>> {
    let mut spent = BTreeMap::new();
    let of_bonuses = rules.benefits.bonuses.iter().filter_map(|bonus| bonus.campaign.as_ref());
    let of_coupons = rules.benefits.coupons.iter().filter_map(|kind| kind.campaign.as_ref());
    for campaign in of_bonuses.chain(of_coupons) {
        if spent.contains_key(campaign) {
            continue;
        }
        let sql = "SELECT coalesce(sum(fen), 0) FROM benefit_count WHERE dimension = 'campaign' AND who = ?1";
        let fen: i64 = db.prepare_cached(sql)?.query_row([campaign], |row| row.get(0))?;
        spent.insert(campaign.clone(), Fen(fen));
    }
    spent.retain(|_, fen| fen.0 > 0);
    Ok(spent)
}
