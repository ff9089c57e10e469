//! What stays use up of benefits, what merchants gave, and which coupons were shown.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::claims;
use super::tables::name;
use crate::domain::benefit::{
    CampaignNews, Count, CountKey, Counters, CouponState, Dimension, HeldCoupon, Known, Privileges, Table, Use,
    Validation, civil, first_day,
};
use crate::domain::event::{Approval, CouponMove, CouponUse, Fen, IssuedCoupon, MemberId, OpId, Shop, StayId, UtcMs};
use crate::domain::rules::Rules;
use crate::domain::stay::Stay;

/// The day of what was counted from the beginning on.
const EVER: jiff::civil::Date = jiff::civil::Date::constant(2000, 1, 1);
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

/// What a stay that has left used, in place of what it was said to have used: what it did not use is free again.
pub(super) fn put_right(db: &Connection, seq: u64, stay: &StayId, uses: &[Use]) -> anyhow::Result<()> {
    for used in own_uses(db, stay)? {
        count(db, &used, -1)?;
    }
    db.prepare_cached("DELETE FROM benefit_use WHERE stay = ?1 AND state <> 'void'")?.execute([stay.as_str()])?;
    let sql =
        "INSERT INTO benefit_use (stay, seq, n, source, instance, used, state) VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'used')";
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

pub(super) fn validation_given(
    db: &Connection,
    op: &OpId,
    stay: &StayId,
    given: &Validation,
    shop: Option<&Shop>,
) -> anyhow::Result<()> {
    let sql = "INSERT INTO validation (id, stay, kind, merchant, operator, spend_fen, gives, shop)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    let gives = given.gives.as_ref().map(serde_json::to_string).transpose()?;
    let shop = shop.map(serde_json::to_string).transpose()?;
    let Validation { kind, merchant, operator, spend, .. } = given;
    let values = params![op.as_str(), stay.as_str(), kind, merchant, operator, spend.0, gives, shop];
    db.prepare_cached(sql)?.execute(values)?;
    Ok(())
}

pub(super) fn coupon_shown(db: &Connection, stay: &StayId, coupon: &str) -> anyhow::Result<()> {
    let sql = "INSERT INTO coupon_shown (stay, coupon) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
    db.prepare_cached(sql)?.execute([stay.as_str(), coupon])?;
    Ok(())
}

pub(super) fn approved(db: &Connection, approval: &Approval) -> anyhow::Result<()> {
    let sql = "INSERT INTO approval (stay, limit_id) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
    db.prepare_cached(sql)?.execute([approval.stay.as_str(), &approval.limit])?;
    Ok(())
}

fn approvals(db: &Connection, stay: &StayId) -> anyhow::Result<BTreeSet<String>> {
    let mut query = db.prepare_cached("SELECT limit_id FROM approval WHERE stay = ?1")?;
    let rows = query.query_map([stay.as_str()], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
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

/// What the fee of a stay depends on besides its times. Where the rules give nothing, only what the member has is looked
/// up, so that a draft of other rules can be tried on the stay later.
pub(super) fn known(db: &Connection, rules: &Rules, stay: &Stay, here: &str) -> anyhow::Result<Known> {
    let standing = stay.member.as_ref().map_or_else(|| Ok(Standing::default()), |member| standing_of(db, member));
    let Standing { tier, privileges } = standing?;
    let has_earlier_vehicle = has_earlier_vehicle(db, stay)?;
    // A paper voucher counts also where the rules give nothing.
    let validations = validations(db, &stay.id)?;
    let paid_by_points = paid_by_points(db, &stay.id)?;
    let counts_points = rules.points.cap_fen_day.is_some();
    if rules.benefits == Table::default() && validations.is_empty() && !counts_points {
        return Ok(Known { tier, privileges, has_earlier_vehicle, paid_by_points, ..Known::default() });
    }
    let passes = privileges.held_passes(here);
    // Of a stay that has left, what it used is its own as well: a correction reckons it once more.
    let held = own_uses(db, &stay.id)?;
    let mut used = Counters::default();
    // A stay leaves after it has entered, and the first day of a window never goes back.
    let entered = civil(rules, stay.entry).date();
    let since = first_day(rules.benefits.longest_window(), entered).unwrap_or(entered);
    let mut whos: Vec<(Dimension, &str)> = Vec::new();
    whos.extend(stay.plate.as_ref().map(|plate| (Dimension::Plate, plate.as_str())));
    whos.extend(stay.member.as_ref().map(|member| (Dimension::Member, member.as_str())));
    for given in &validations {
        whos.push((Dimension::Merchant, &given.merchant));
        whos.extend(given.operator.as_deref().map(|operator| (Dimension::Operator, operator)));
    }
    whos.sort_unstable();
    whos.dedup();
    for (on, who) in whos {
        counts(db, on, who, &since.to_string(), &mut used)?;
    }
    let campaigns_of = rules.benefits.campaigns.iter().map(|campaign| (Dimension::Campaign, campaign.id.as_str()));
    for (on, who) in campaigns_of.chain(passes.iter().map(|pass| (Dimension::Pass, pass.id.as_str()))) {
        sums(db, on, who, &mut used)?;
    }
    for one in &held {
        used.uncount(one);
    }
    let (campaigns, campaigns_as_of) = campaigns(db)?;
    let coupons = coupons(db, stay)?;
    Ok(Known {
        tier,
        coupons,
        validations,
        used,
        held,
        paid_by_points,
        campaigns,
        campaigns_as_of,
        has_earlier_vehicle,
        privileges: Privileges { passes: Vec::new(), ..privileges },
        passes,
        heard: heard(db)?,
        approved: approvals(db, &stay.id)?,
        site: rules.benefits.asks_for_places().then(|| here.to_owned()),
    })
}

/// What points have paid of a stay at tills.
fn paid_by_points(db: &Connection, stay: &StayId) -> anyhow::Result<Fen> {
    let sql = "SELECT coalesce(sum(fen), 0) FROM payment WHERE stay = ?1 AND tender ->> '$.by' = 'points'";
    Ok(Fen(db.prepare_cached(sql)?.query_row([stay.as_str()], |row| row.get(0))?))
}

/// Adds what counts for a payer who is not the stay's member: caps and limits on points are for whoever spends them.
pub(super) fn know_payer(
    db: &Connection,
    rules: &Rules,
    stay: &Stay,
    payer: &MemberId,
    known: &mut Known,
) -> anyhow::Result<()> {
    if stay.member.as_ref() == Some(payer) {
        return Ok(());
    }
    let entered = civil(rules, stay.entry).date();
    let since = first_day(rules.benefits.longest_window(), entered).unwrap_or(entered);
    counts(db, Dimension::Member, payer.as_str(), &since.to_string(), &mut known.used)?;
    for held in known.held.iter().filter(|held| held.member.as_ref() == Some(payer)) {
        for (key, count) in Counters::of(held).into_iter().filter(|(key, _)| key.on == Dimension::Member) {
            let here = known.used.0.entry(key).or_default();
            (here.uses, here.minutes, here.fen) =
                (here.uses - count.uses, here.minutes - count.minutes, here.fen - count.fen);
        }
    }
    Ok(())
}

/// What of a member's standing decides how a driver is greeted who has only just come.
pub(super) fn standing_at_lane(db: &Connection, rules: &Rules, member: &MemberId, here: &str) -> anyhow::Result<Known> {
    let Standing { tier, privileges } = standing_of(db, member)?;
    let (campaigns, campaigns_as_of) = campaigns(db)?;
    let site = rules.benefits.asks_for_places().then(|| here.to_owned());
    Ok(Known { tier, privileges, campaigns, campaigns_as_of, heard: heard(db)?, site, ..Known::default() })
}

/// A coupon as it is for a stay that would use it.
pub(super) fn coupon(db: &Connection, code: &str, stay: Option<&StayId>) -> anyhow::Result<Option<HeldCoupon>> {
    let sql = "SELECT coupon, kind, merchant, from_ms, until_ms, state FROM cloud_coupon WHERE coupon = ?1";
    let found = db.prepare_cached(sql)?.query_row([code], coupon_row).optional()?;
    found.map(|(held, word)| state_here(db, held, &word, stay)).transpose()
}

/// Whose coupon it is; none where anybody may show it.
pub(super) fn coupon_member(db: &Connection, code: &str) -> anyhow::Result<Option<MemberId>> {
    let sql = "SELECT member FROM cloud_coupon WHERE coupon = ?1";
    let found: Option<Option<String>> = db.prepare_cached(sql)?.query_row([code], |row| row.get(0)).optional()?;
    Ok(found.flatten().map(MemberId))
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
    if coupon_use(db, CouponUseOf::Coupon(&held.id))?.is_some() {
        return Ok(HeldCoupon { state: CouponState::Used, ..held });
    }
    let sql = "SELECT state FROM benefit_use WHERE instance = ?1 AND state <> 'void' AND source = 'coupon'
               AND stay <> ?2 LIMIT 1";
    let stay = stay.map_or("", StayId::as_str);
    let here: Option<String> =
        db.prepare_cached(sql)?.query_row(params![held.id, stay], |row| row.get(0)).optional()?;
    let state = match here.as_deref() {
        Some("used") => CouponState::Used,
        Some(_) => CouponState::Held,
        None => match serde_json::from_value(word.into()) {
            Ok(CouponState::Issued) => claims::state(db, &held.id)?,
            word_of_issuer => word_of_issuer.with_context(|| format!("read the state {word} of a coupon"))?,
        },
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
    let sql = "SELECT id, kind, merchant, operator, spend_fen, gives FROM validation WHERE stay = ?1 ORDER BY id";
    let mut query = db.prepare_cached(sql)?;
    let mut rows = query.query([stay.as_str()])?;
    let mut given = Vec::new();
    while let Some(row) = rows.next()? {
        let gives = row.get::<_, Option<String>>(5)?.map(|text| serde_json::from_str(&text));
        given.push(Validation {
            id: row.get(0)?,
            kind: row.get(1)?,
            merchant: row.get(2)?,
            operator: row.get(3)?,
            spend: Fen(row.get(4)?),
            gives: gives.transpose().context("read what a voucher gives")?,
        });
    }
    Ok(given)
}

/// A use of a coupon for goods that was not taken back.
pub(super) enum CouponUseOf<'a> {
    /// The coupon's.
    Coupon(&'a str),
    /// This one.
    Op(&'a OpId),
}

/// The use that stands.
pub(super) fn coupon_use(db: &Connection, of: CouponUseOf<'_>) -> anyhow::Result<Option<CouponUse>> {
    let (sql, what) = match of {
        CouponUseOf::Coupon(coupon) => {
            ("SELECT line FROM coupon_use WHERE coupon = ?1 AND returned_by IS NULL ORDER BY seq DESC LIMIT 1", coupon)
        }
        CouponUseOf::Op(op) => ("SELECT line FROM coupon_use WHERE op = ?1 AND returned_by IS NULL", op.as_str()),
    };
    let line: Option<String> = db.prepare_cached(sql)?.query_row([what], |row| row.get(0)).optional()?;
    line.map(|line| serde_json::from_str(&line).context("read the use of a coupon")).transpose()
}

/// A coupon was used for goods, or is good again.
pub(super) fn coupon_moved(db: &Connection, seq: u64, moved: &CouponMove) -> anyhow::Result<()> {
    match moved {
        CouponMove::Used(used) => {
            let sql = "INSERT INTO coupon_use (op, coupon, terminal, shift, day, fen, line, seq, source)
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
            let CouponUse { op, terminal, shift, day, used: what, .. } = &**used;
            let (line, coupon) = (serde_json::to_string(used)?, what.instance.as_deref().unwrap_or_default());
            let source = name(&what.source)?;
            let values = params![op.as_str(), coupon, terminal.as_str(), shift, day.0, what.fen.0, line, seq, source];
            db.prepare_cached(sql)?.execute(values)?;
            count(db, what, 1)
        }
        CouponMove::Returned { op, of, .. } => {
            let sql = "UPDATE coupon_use SET returned_by = ?2 WHERE op = ?1 AND returned_by IS NULL";
            let touched = db.prepare_cached(sql)?.execute(params![of.op.as_str(), op.as_str()])?;
            anyhow::ensure!(touched == 1, "{touched} uses of a coupon were taken back, not one");
            count(db, &of.used, -1)
        }
    }
}

/// What a coupon for goods rests on besides itself: the campaigns, and what they have cost here.
pub(super) fn known_for_goods(db: &Connection, rules: &Rules) -> anyhow::Result<Known> {
    let (news, as_of) = campaigns(db)?;
    let mut used = Counters::default();
    for campaign in &rules.benefits.campaigns {
        counts(db, Dimension::Campaign, &campaign.id, "", &mut used)?;
    }
    Ok(Known { used, campaigns: news, campaigns_as_of: as_of, ..Known::default() })
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

/// What campaigns and passes have had from their beginning on, in one sum for each benefit: their bounds know no window.
pub(super) fn sums(db: &Connection, on: Dimension, who: &str, into: &mut Counters) -> anyhow::Result<()> {
    let sql = "SELECT class, benefit, sum(uses), sum(minutes), sum(fen) FROM benefit_count
               WHERE dimension = ?1 AND who = ?2 GROUP BY class, benefit";
    let mut query = db.prepare_cached(sql)?;
    let mut rows = query.query(params![name(&on)?, who])?;
    while let Some(row) = rows.next()? {
        let key = CountKey { on, who: who.to_owned(), day: EVER, class: row.get(0)?, benefit: row.get(1)? };
        into.0.insert(key, Count { uses: row.get(2)?, minutes: row.get(3)?, fen: row.get(4)? });
    }
    Ok(())
}

/// When the feed was last heard.
pub(super) fn heard(db: &Connection) -> anyhow::Result<Option<UtcMs>> {
    let sql = "SELECT value FROM cloud_cursor WHERE name = 'heard'";
    Ok(db.prepare_cached(sql)?.query_row((), |row| Ok(UtcMs(row.get(0)?))).optional()?)
}

pub(super) fn campaigns(db: &Connection) -> anyhow::Result<(BTreeMap<String, CampaignNews>, Option<UtcMs>)> {
    let sql = "SELECT campaign, stopped, spent_elsewhere_fen, as_of_ms, shared, share_fen
               FROM cloud_campaign LEFT JOIN campaign_share USING (campaign)";
    let mut query = db.prepare_cached(sql)?;
    let mut rows = query.query(())?;
    let (mut news, mut newest) = (BTreeMap::new(), None);
    while let Some(row) = rows.next()? {
        let is_shared: bool = row.get(4)?;
        // Before this box has said that it follows a share it has none.
        let share = is_shared.then_some(Fen(row.get::<_, Option<i64>>(5)?.unwrap_or(0)));
        let (stopped, spent_elsewhere) = (row.get(1)?, Fen(row.get(2)?));
        news.insert(row.get(0)?, CampaignNews { stopped, spent_elsewhere, share });
        newest = newest.max(Some(UtcMs(row.get(3)?)));
    }
    Ok((news, newest))
}

/// What the cloud ledger says of a stay's member.
#[derive(Default)]
pub(super) struct Standing {
    pub tier: Option<String>,
    pub privileges: Privileges,
}

pub(super) fn standing_of(db: &Connection, member: &MemberId) -> anyhow::Result<Standing> {
    let sql = "SELECT tier, privileges FROM cloud_member WHERE member = ?1";
    let found = db
        .prepare_cached(sql)?
        .query_row([member.as_str()], |row| Ok((row.get::<_, String>(0)?, row.get::<_, Option<String>>(1)?)));
    let Some((tier, text)) = found.optional()? else { return Ok(Standing::default()) };
    let privileges = text.map_or(Ok(Privileges::default()), |text| serde_json::from_str(&text));
    Ok(Standing { tier: Some(tier), privileges: privileges.context("read what a member has")? })
}

fn has_earlier_vehicle(db: &Connection, stay: &Stay) -> anyhow::Result<bool> {
    let Some(member) = &stay.member else { return Ok(false) };
    let sql = "SELECT count(*) FROM stay WHERE member = ?1 AND state IN ('pending_entry', 'open', 'pending_exit')
               AND stay <> ?2 AND entry_ms < ?3";
    let values = params![member.as_str(), stay.id.as_str(), stay.entry.0];
    Ok(db.prepare_cached(sql)?.query_row(values, |row| row.get::<_, u32>(0))? > 0)
}
