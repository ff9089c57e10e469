//! What stays use up of benefits, what merchants gave, and which coupons were shown.

use std::collections::BTreeMap;

use anyhow::Context;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::tables::name;
use crate::domain::benefit::{
    CampaignNews, Count, CountKey, Counters, CouponState, Dimension, HeldCoupon, Known, Table, Use, Validation, civil,
};
use crate::domain::event::{Fen, IssuedCoupon, MemberId, OpId, StayId, UtcMs};
use crate::domain::rules::Rules;
use crate::domain::stay::Stay;

/// The most coupons of a member that are looked at: far more than anybody collects.
const COUPONS_MAX: i64 = 64;

/// Puts `uses` in place of what is held for a stay.
pub(super) fn held(db: &Connection, seq: u64, stay: &StayId, uses: &[Use]) -> anyhow::Result<()> {
    for used in held_uses(db, stay)? {
        count(db, &used, -1)?;
    }
    let gone = "DELETE FROM benefit_use WHERE stay = ?1 AND state = 'held'";
    db.prepare_cached(gone)?.execute([stay.as_str()])?;
    let sql =
        "INSERT INTO benefit_use (stay, seq, n, source, instance, used, state) VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'held')";
    for (n, used) in (0_i64..).zip(uses) {
        count(db, used, 1)?;
        let values = params![stay.as_str(), seq, n, name(&used.source)?, used.instance, serde_json::to_string(used)?];
        db.prepare_cached(sql)?.execute(values)?;
    }
    Ok(())
}

/// The vehicle has left: what was held is used.
pub(super) fn posted(db: &Connection, stay: &StayId) -> anyhow::Result<()> {
    let sql = "UPDATE benefit_use SET state = 'used' WHERE stay = ?1 AND state = 'held'";
    db.prepare_cached(sql)?.execute([stay.as_str()])?;
    Ok(())
}

/// The vehicle went back inside, or its stay came to nothing: what was held is free again, unless a payment rests on it.
pub(super) fn gone_back(db: &Connection, stay: &StayId) -> anyhow::Result<()> {
    let sql = "SELECT paid_fen FROM stay WHERE stay = ?1";
    let paid: i64 = db.prepare_cached(sql)?.query_row([stay.as_str()], |row| row.get(0))?;
    if paid > 0 {
        return Ok(());
    }
    for used in held_uses(db, stay)? {
        count(db, &used, -1)?;
    }
    let sql = "UPDATE benefit_use SET state = 'void' WHERE stay = ?1 AND state = 'held'";
    db.prepare_cached(sql)?.execute([stay.as_str()])?;
    Ok(())
}

pub(super) fn validation_given(db: &Connection, op: &OpId, stay: &StayId, given: &Validation) -> anyhow::Result<()> {
    let sql = "INSERT INTO validation (id, stay, kind, merchant, operator, spend_fen) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let values = params![op.as_str(), stay.as_str(), given.kind, given.merchant, given.operator, given.spend.0];
    db.prepare_cached(sql)?.execute(values)?;
    Ok(())
}

pub(super) fn coupon_shown(db: &Connection, stay: &StayId, coupon: &str) -> anyhow::Result<()> {
    let sql = "INSERT INTO coupon_shown (stay, coupon) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
    db.prepare_cached(sql)?.execute([stay.as_str(), coupon])?;
    Ok(())
}

/// The newest statement about a coupon wins.
pub(super) fn fed_coupon(db: &Connection, coupon: &IssuedCoupon) -> anyhow::Result<()> {
    let sql = "INSERT OR REPLACE INTO cloud_coupon (coupon, kind, member, merchant, from_ms, until_ms, state)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let member = coupon.member.as_ref().map(MemberId::as_str);
    let (from, until) = (coupon.from_ms.map(|at| at.0), coupon.until_ms.map(|at| at.0));
    let values = params![coupon.id, coupon.kind, member, coupon.merchant, from, until, name(&coupon.state)?];
    db.prepare_cached(sql)?.execute(values)?;
    Ok(())
}

pub(super) fn fed_campaign(db: &Connection, id: &str, stopped: bool, spent: Fen, as_of: UtcMs) -> anyhow::Result<()> {
    let sql = "INSERT OR REPLACE INTO cloud_campaign (campaign, stopped, spent_elsewhere_fen, as_of_ms)
               VALUES (?1, ?2, ?3, ?4)";
    db.prepare_cached(sql)?.execute(params![id, stopped, spent.0, as_of.0])?;
    Ok(())
}

/// What the fee of a stay depends on besides its times. Where the rules give nothing, nothing is looked up.
pub(super) fn known(db: &Connection, rules: &Rules, stay: &Stay) -> anyhow::Result<Known> {
    if rules.benefits == Table::default() {
        return Ok(Known::default());
    }
    // Of a stay that has left, what it used is its own as well: a correction reckons it once more.
    let held = own_uses(db, &stay.id)?;
    let validations = validations(db, &stay.id)?;
    let mut used = Counters::default();
    // Windows reach back a year at most, and a stay leaves after it has entered.
    let since = civil(rules, stay.entry).date().saturating_sub(jiff::Span::new().days(7)).first_of_year();
    let mut whos: Vec<(Dimension, &str)> = Vec::new();
    whos.extend(stay.plate.as_ref().map(|plate| (Dimension::Plate, plate.as_str())));
    whos.extend(stay.member.as_ref().map(|member| (Dimension::Member, member.as_str())));
    for given in &validations {
        whos.push((Dimension::Merchant, &given.merchant));
        whos.extend(given.operator.as_deref().map(|operator| (Dimension::Operator, operator)));
    }
    whos.extend(rules.benefits.campaigns.iter().map(|campaign| (Dimension::Campaign, campaign.id.as_str())));
    whos.sort_unstable();
    whos.dedup();
    for (on, who) in whos {
        counts(db, on, who, &since.to_string(), &mut used)?;
    }
    for one in &held {
        used.uncount(one);
    }
    let (campaigns, campaigns_as_of) = campaigns(db)?;
    let coupons = coupons(db, stay)?;
    Ok(Known {
        tier: tier(db, stay)?,
        coupons,
        validations,
        used,
        held,
        campaigns,
        campaigns_as_of,
        has_earlier_vehicle: has_earlier_vehicle(db, stay)?,
    })
}

/// A coupon as it is for a stay that would use it.
pub(super) fn coupon(db: &Connection, code: &str, stay: Option<&StayId>) -> anyhow::Result<Option<HeldCoupon>> {
    let sql = "SELECT coupon, kind, merchant, from_ms, until_ms, state FROM cloud_coupon WHERE coupon = ?1";
    let found = db.prepare_cached(sql)?.query_row([code], coupon_row).optional()?;
    found.map(|(held, word)| state_here(db, held, &word, stay)).transpose()
}

fn coupons(db: &Connection, stay: &Stay) -> anyhow::Result<Vec<HeldCoupon>> {
    let sql = "SELECT coupon, kind, merchant, from_ms, until_ms, state FROM cloud_coupon WHERE member = ?1
               ORDER BY coupon LIMIT ?2";
    let mut found: BTreeMap<String, HeldCoupon> = BTreeMap::new();
    if let Some(member) = &stay.member {
        let mut query = db.prepare_cached(sql)?;
        let rows = query.query_map(params![member.as_str(), COUPONS_MAX], coupon_row)?;
        for row in rows.collect::<Result<Vec<_>, _>>()? {
            found.insert(row.0.id.clone(), state_here(db, row.0, &row.1, Some(&stay.id))?);
        }
    }
    let mut shown = db.prepare_cached("SELECT coupon FROM coupon_shown WHERE stay = ?1")?;
    let codes = shown.query_map([stay.id.as_str()], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
    for code in codes {
        if let Some(held) = coupon(db, &code, Some(&stay.id))? {
            found.insert(code, HeldCoupon { shown: true, ..held });
        }
    }
    Ok(found.into_values().collect())
}

fn coupon_row(row: &Row<'_>) -> rusqlite::Result<(HeldCoupon, String)> {
    let held = HeldCoupon {
        id: row.get(0)?,
        kind: row.get(1)?,
        merchant: row.get(2)?,
        from: row.get::<_, Option<i64>>(3)?.map(UtcMs),
        until: row.get::<_, Option<i64>>(4)?.map(UtcMs),
        state: CouponState::Issued,
        shown: false,
    };
    Ok((held, row.get(5)?))
}

/// What this box did with a coupon comes before what the cloud last said of it.
fn state_here(db: &Connection, held: HeldCoupon, word: &str, stay: Option<&StayId>) -> anyhow::Result<HeldCoupon> {
    let sql = "SELECT state FROM benefit_use WHERE instance = ?1 AND state <> 'void' AND source = 'coupon'
               AND stay <> ?2 LIMIT 1";
    let stay = stay.map_or("", StayId::as_str);
    let here: Option<String> =
        db.prepare_cached(sql)?.query_row(params![held.id, stay], |row| row.get(0)).optional()?;
    let state = match here.as_deref() {
        Some("used") => CouponState::Used,
        Some(_) => CouponState::Held,
        None => serde_json::from_value(word.into()).with_context(|| format!("read the state {word} of a coupon"))?,
    };
    Ok(HeldCoupon { state, ..held })
}

fn held_uses(db: &Connection, stay: &StayId) -> anyhow::Result<Vec<Use>> {
    uses(db, "SELECT used FROM benefit_use WHERE stay = ?1 AND state = 'held' ORDER BY seq, n", stay)
}

fn own_uses(db: &Connection, stay: &StayId) -> anyhow::Result<Vec<Use>> {
    uses(db, "SELECT used FROM benefit_use WHERE stay = ?1 AND state <> 'void' ORDER BY seq, n", stay)
}

fn uses(db: &Connection, sql: &str, stay: &StayId) -> anyhow::Result<Vec<Use>> {
    let mut query = db.prepare_cached(sql)?;
    let texts = query.query_map([stay.as_str()], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
    texts.iter().map(|text| serde_json::from_str(text).context("read a stored use")).collect()
}

fn validations(db: &Connection, stay: &StayId) -> anyhow::Result<Vec<Validation>> {
    let sql = "SELECT id, kind, merchant, operator, spend_fen FROM validation WHERE stay = ?1 ORDER BY id";
    let mut query = db.prepare_cached(sql)?;
    let rows = query.query_map([stay.as_str()], |row| {
        Ok(Validation {
            id: row.get(0)?,
            kind: row.get(1)?,
            merchant: row.get(2)?,
            operator: row.get(3)?,
            spend: Fen(row.get(4)?),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Adds a use to the counts, or takes it out of them.
fn count(db: &Connection, used: &Use, sign: i64) -> anyhow::Result<()> {
    let sql = "INSERT INTO benefit_count (dimension, who, day, class, benefit, uses, minutes, fen)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
               ON CONFLICT (dimension, who, day, class, benefit) DO UPDATE SET
               uses = uses + excluded.uses, minutes = minutes + excluded.minutes, fen = fen + excluded.fen";
    let less = "UPDATE benefit_count SET uses = uses - ?6, minutes = minutes - ?7, fen = fen - ?8
                WHERE dimension = ?1 AND who = ?2 AND day = ?3 AND class = ?4 AND benefit = ?5";
    for (key, one) in Counters::of(used) {
        let (on, day) = (name(&key.on)?, key.day.to_string());
        let values = params![on, key.who, day, key.class, key.benefit, one.uses, one.minutes, one.fen];
        let touched = db.prepare_cached(if sign > 0 { sql } else { less })?.execute(values)?;
        anyhow::ensure!(touched == 1, "{touched} counts of {} were touched, not one", key.benefit);
    }
    Ok(())
}

fn counts(db: &Connection, on: Dimension, who: &str, since: &str, into: &mut Counters) -> anyhow::Result<()> {
    let sql = "SELECT day, class, benefit, uses, minutes, fen FROM benefit_count
               WHERE dimension = ?1 AND who = ?2 AND day >= ?3";
    let mut query = db.prepare_cached(sql)?;
    let mut rows = query.query(params![name(&on)?, who, since])?;
    while let Some(row) = rows.next()? {
        let day: String = row.get(0)?;
        let day = day.parse().with_context(|| format!("read the day {day} of a count"))?;
        let key = CountKey { on, who: who.to_owned(), day, class: row.get(1)?, benefit: row.get(2)? };
        into.0.insert(key, Count { uses: row.get(3)?, minutes: row.get(4)?, fen: row.get(5)? });
    }
    Ok(())
}

fn campaigns(db: &Connection) -> anyhow::Result<(BTreeMap<String, CampaignNews>, Option<UtcMs>)> {
    let mut query = db.prepare_cached("SELECT campaign, stopped, spent_elsewhere_fen, as_of_ms FROM cloud_campaign")?;
    let mut rows = query.query(())?;
    let (mut news, mut newest) = (BTreeMap::new(), None);
    while let Some(row) = rows.next()? {
        news.insert(row.get(0)?, CampaignNews { stopped: row.get(1)?, spent_elsewhere: Fen(row.get(2)?) });
        newest = newest.max(Some(UtcMs(row.get(3)?)));
    }
    Ok((news, newest))
}

fn tier(db: &Connection, stay: &Stay) -> anyhow::Result<Option<String>> {
    let Some(member) = &stay.member else { return Ok(None) };
    let sql = "SELECT tier FROM cloud_member WHERE member = ?1";
    Ok(db.prepare_cached(sql)?.query_row([member.as_str()], |row| row.get(0)).optional()?)
}

fn has_earlier_vehicle(db: &Connection, stay: &Stay) -> anyhow::Result<bool> {
    let Some(member) = &stay.member else { return Ok(false) };
    let sql = "SELECT count(*) FROM stay WHERE member = ?1 AND state IN ('pending_entry', 'open', 'pending_exit')
               AND stay <> ?2 AND entry_ms < ?3";
    let values = params![member.as_str(), stay.id.as_str(), stay.entry.0];
    Ok(db.prepare_cached(sql)?.query_row(values, |row| row.get::<_, u32>(0))? > 0)
}
