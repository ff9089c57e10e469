//! What a decision needs to know, looked up before anything is decided.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::de::DeserializeOwned;

use super::{Store, benefits, codes, counts, escrow, inside, office, settlement, stays, tills, vehicle};
use crate::domain::benefit::Known;
use crate::domain::decide::{Debt, EscrowFacts, Facts, Hold, KnownMember, StayFacts};
use crate::domain::event::{
    BusinessDay, CardNumber, CloudNews, Fen, Gift, GrantId, Ids, Input, LaneId, MemberId, OpId, Points, StaffWish,
    StayId, TillCommit, UtcMs,
};
use crate::domain::lane::Lane;
use crate::domain::office::OfficeFacts;
use crate::domain::plate::Plate;
use crate::domain::points::{Lot, Part, Pocket, Purse};
use crate::domain::rules::Rules;
use crate::domain::stay::{Stay, StayState};
use crate::domain::tariff::{self, Fee, PriorVisit};
use crate::domain::till::facts::TillFacts;

const STAY_COLUMNS: &str = "stay, plate, member, state, entry_lane, entry_ms, rules, fee, paid_fen, paid_ms, exit_lane, exit_ms, debts_fen, \
     right_held, assumed, untrusted, entry_read";

/// Looks up what deciding `input` needs.
pub(super) fn look_up(store: &Store, input: &Input) -> anyhow::Result<Facts> {
    let mut facts = Facts {
        ids: Ids { box_id: store.box_id.clone(), epoch: store.epoch, seq: store.seq + 1 },
        quarantined: store.doubt.is_some(),
        emergency: store.emergency,
        rules: store.rules.get(&store.rules_version).context("find the rules in force")?.clone(),
        lane: Lane::default(),
        read_before: None,
        plate_before: None,
        visit_stay: None,
        named_stay: None,
        found: None,
        serving: None,
        read_as: None,
        recognised: None,
        member: None,
        standing: Known::default(),
        purse: Purse::new(),
        member_inside: false,
        coupon: None,
        operation: None,
        request_is_open: false,
        waiting_lanes: Vec::new(),
        acknowledged: store.acknowledged,
        civil: (1, 0),
        debts: Fen(0),
        day: BusinessDay::default(),
        tills: TillFacts::default(),
        office: OfficeFacts::default(),
        escrow: EscrowFacts {
            doubt: store.doubt,
            lease: store.lease,
            has_lapsed: store.has_lapsed,
            ..EscrowFacts::default()
        },
        counts: store.occupants.counts().clone(),
        on_passes: BTreeMap::new(),
        tickets: store.tickets,
        latest: Vec::new(),
        prior: Vec::new(),
        open_debts: Vec::new(),
        first: None,
        inside_by_plate: None,
        last_day: store.last_day.clone(),
    };
    if let Some(id) = input.lane() {
        facts.lane = lane(store, id);
        if let Some(stay) = facts.lane.stay().cloned() {
            facts.visit_stay = stay_where(store, "stay = ?1", stay.as_str())?;
        }
    }
    match input {
        Input::PlateRead(read) => vehicle::look_up_read(store, &mut facts, read)?,
        Input::VehicleFollowed(read) => {
            if let Some(plate) = &read.plate {
                look_up_plate(store, &mut facts, plate)?;
                vehicle::match_plate(store, &mut facts, read, inside::seen(&read.all_reads(), &read.lane))?;
            }
        }
        Input::LaneReconsidered { .. } | Input::LaneDue { .. } | Input::VehicleSeen { .. } => {
            vehicle::look_up_waiting(store, &mut facts)?
        }
        Input::Corrected(correction) => vehicle::look_up_correction(store, &mut facts, &correction.what)?,
        Input::Staff(act) => match &act.what {
            StaffWish::Raise { plate, .. } => {
                let read =
                    facts.lane.visit().filter(|visit| visit.stay.is_none()).and_then(|visit| visit.plate.clone());
                if let Some(plate) = plate.clone().or(read) {
                    look_up_plate(store, &mut facts, &plate)?;
                }
            }
            StaffWish::ChooseStay { stay, .. } => {
                let inside = "stay = ?1 AND state IN ('pending_entry', 'open', 'pending_exit')";
                facts.named_stay = stay_where(store, inside, stay.as_str())?;
                facts.found = store.inside.chosen(&act.lane, &facts.lane, stay);
                find_serving_lane(store, &mut facts);
            }
            StaffWish::ChargeWithoutEntry { .. } => vehicle::look_up_waiting(store, &mut facts)?,
            StaffWish::Settle { .. }
            | StaffWish::CorrectPlate { .. }
            | StaffWish::IssueTicket
            | StaffWish::ShowTicket { .. } => {}
        },
        Input::Till(commit) => look_up_commit(store, &mut facts, commit)?,
        Input::TillAct(act) => tills::look_up_act(store, &mut facts, act)?,
        Input::TillHoldDue { hold } => tills::look_up_hold(store, &mut facts, hold)?,
        Input::MemberShown(shown) => {
            facts.tills.code = codes::find(&store.db, Some(&shown.member), Some(&shown.shown))?;
            look_up_member(store, &mut facts, &shown.member)?;
        }
        Input::Office(act) => office::look_up(store, &mut facts, act)?,
        Input::DayClosing(closing) => settlement::look_up(store, &mut facts, closing)?,
        Input::Cloud(CloudNews::Granted { request, member, grants, .. }) => {
            look_up_member(store, &mut facts, member)?;
            facts.request_is_open = request_is_open(&store.db, request, member)?;
            for given in grants {
                if grant_is_known(&store.db, &given.grant)? {
                    facts.escrow.known_grants.push(given.grant.clone());
                }
            }
            facts.waiting_lanes = lanes_waiting_for(&store.db, member)?;
        }
        Input::Cloud(news) => {
            escrow::look_up_news(store, &mut facts, news)?;
            tills::look_up_epoch(store, &mut facts, news)?;
        }
        Input::Witnessed(seen) => facts.escrow.place = escrow::place(store, seen.head.epoch, seen.head.seq)?,
        Input::Undo(undo) => escrow::look_up_spends(store, &mut facts, undo)?,
        Input::CardRead { card, .. } => look_up_card(store, &mut facts, card)?,
        Input::Started { .. }
        | Input::LoopChanged { .. }
        | Input::BarrierAnswered { .. }
        | Input::BarrierMoved { .. }
        | Input::LimitSwitch(_)
        | Input::Emergency { .. }
        | Input::LaneEmergency { .. }
        | Input::LaneDevice { .. }
        | Input::DeviceLost { .. }
        | Input::DeviceBack { .. }
        | Input::ExperienceForgotten { .. }
        | Input::TerminalChanged(_)
        | Input::RulesOffered { .. }
        | Input::DayEnded(_) => {}
    }
    if let Some(member) = facts.member.as_ref().filter(|member| member.consent_plates && input.lane().is_some())
        && facts.rules.benefits.greets()
    {
        facts.standing = benefits::standing_at_lane(&store.db, &facts.rules, &member.id, &store.box_id)?;
    }
    Ok(facts)
}

pub(super) fn look_up_plate(store: &Store, facts: &mut Facts, plate: &Plate) -> anyhow::Result<()> {
    let inside = "plate = ?1 AND state IN ('pending_entry', 'open', 'pending_exit')";
    facts.named_stay = stay_where(store, inside, plate.as_str())?;
    find_serving_lane(store, facts);
    facts.open_debts = open_debts(&store.db, plate)?;
    facts.debts = Fen(facts.open_debts.iter().map(|debt| debt.open.0).sum());
    let passes = facts.rules.admission.passes_of(plate);
    facts.on_passes = passes.map(|pass| (pass.clone(), store.occupants.on(&pass))).collect();
    let sql = "SELECT m.member, m.consent_plates, m.home FROM cloud_plate p JOIN cloud_member m USING (member)
               WHERE p.plate = ?1";
    let known = |row: &Row<'_>| known_member(store, row);
    facts.member = store.db.prepare_cached(sql)?.query_row([plate.as_str()], known).optional()?;
    look_up_points(store, facts)
}

/// Whose code the card is.
fn look_up_card(store: &Store, facts: &mut Facts, card: &CardNumber) -> anyhow::Result<()> {
    let sql = "SELECT m.member, m.consent_plates, m.home FROM cloud_code c JOIN cloud_member m USING (member)
               WHERE c.code = ?1";
    let known = |row: &Row<'_>| known_member(store, row);
    facts.member = store.db.prepare_cached(sql)?.query_row([card.as_str()], known).optional()?;
    Ok(())
}

/// What the member of the plate has here, and usually spends.
pub(super) fn look_up_points(store: &Store, facts: &mut Facts) -> anyhow::Result<()> {
    if let Some(member) = &facts.member {
        facts.purse = purse(store, &member.id)?;
        facts.escrow.usual_spend = escrow::usual_spend(store, Some(&member.id))?;
    }
    Ok(())
}

fn look_up_commit(store: &Store, facts: &mut Facts, commit: &TillCommit) -> anyhow::Result<()> {
    facts.operation = tills::operation(store, &commit.terminal, &commit.key)?;
    if facts.operation.is_some() {
        return Ok(());
    }
    tills::look_up_till(store, facts, &commit.terminal)?;
    counts::look_up(store, facts, &commit.terminal, &commit.mark)?;
    if let Some(hold) = &commit.hold {
        facts.tills.hold = tills::hold(store, hold)?;
    }
    if let Some(member) = &commit.member {
        look_up_member(store, facts, member)?;
        tills::remember_hold(store, facts)?;
        facts.tills.code = codes::find(&store.db, Some(member), commit.shown.as_ref())?;
        facts.tills.debts = tills::points_debts(store, member)?;
        facts.tills.earning = tills::sale_facts(&store.db, &facts.rules, member)?;
    }
    if let Some(shop) = commit.mark.merchant.as_ref().filter(|_| commit.sale.0 > 0) {
        facts.tills.twin = office::twin(&store.db, shop, commit)?;
        facts.tills.made_up = office::made_up(&store.db, shop, &commit.receipt)?;
    }
    if let Some(stay) = &commit.stay {
        let inside = "stay = ?1 AND state IN ('pending_entry', 'open', 'pending_exit')";
        facts.named_stay = stay_where(store, inside, stay.as_str())?;
        find_serving_lane(store, facts);
        if let (Some(inside), Some(payer)) = (&mut facts.named_stay, &commit.member) {
            benefits::know_payer(&store.db, &inside.rules, &inside.stay, payer, &mut inside.benefits)?;
        }
    }
    if let Some(code) = &commit.coupon {
        facts.coupon = benefits::coupon(&store.db, code, None)?;
        facts.tills.coupon_member = benefits::coupon_member(&store.db, code)?;
        facts.tills.coupons = benefits::known_for_goods(&store.db, &facts.rules)?;
    }
    if let Some(Gift::Coupon { code }) = &commit.gift {
        facts.coupon = benefits::coupon(&store.db, code, commit.stay.as_ref())?;
    }
    Ok(())
}

pub(super) fn look_up_member(store: &Store, facts: &mut Facts, member: &MemberId) -> anyhow::Result<()> {
    let sql = "SELECT member, consent_plates, home FROM cloud_member WHERE member = ?1";
    let known = |row: &Row<'_>| known_member(store, row);
    facts.member = store.db.prepare_cached(sql)?.query_row([member.as_str()], known).optional()?;
    facts.purse = purse(store, member)?;
    facts.member_inside = stays_inside(&store.db, member)? > 0;
    let sql = "SELECT stay FROM stay WHERE member = ?1 AND state IN ('pending_entry', 'open', 'pending_exit')
               ORDER BY entry_ms DESC, stay DESC LIMIT 1";
    let visit = store.db.prepare_cached(sql)?.query_row([member.as_str()], |row| row.get(0)).optional()?;
    facts.tills.visit = visit.map(StayId);
    Ok(())
}

/// The lane that serves the named stay now, if any does.
pub(super) fn find_serving_lane(store: &Store, facts: &mut Facts) {
    let Some(inside) = &facts.named_stay else { return };
    if let Some(id) = inside.at_lane.clone() {
        let state = lane(store, &id);
        facts.serving = (state.stay() == Some(&inside.stay.id)).then_some((id, state));
    }
}

pub(super) fn stay_where(store: &Store, condition: &str, value: &str) -> anyhow::Result<Option<StayFacts>> {
    let sql = format!("SELECT {STAY_COLUMNS} FROM stay WHERE {condition}");
    let mut statement = store.db.prepare_cached(&sql)?;
    let mut rows = statement.query([value])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let mut stay = stay_of(row)?;
    stay.zones = stays::zone_visits(&store.db, &stay.id)?;
    let exit_read: Option<i64> = row.get("exit_ms")?;
    let at_lane = match stay.state {
        StayState::PendingEntry => Some(stay.entry_lane.clone()),
        StayState::PendingExit => row.get::<_, Option<String>>("exit_lane")?.map(LaneId),
        StayState::Open | StayState::Closed | StayState::Void => None,
    };
    let (purse, others, keep) = match &stay.member {
        Some(member) => (purse(store, member)?, stays_inside(&store.db, member)?, keep_for(store, member)?),
        None => (Purse::new(), 0, Points(0)),
    };
    let debts = match (&stay.plate, stay.state) {
        (Some(plate), StayState::Open | StayState::PendingExit) => open_debts(&store.db, plate)?,
        (Some(_) | None, _) => Vec::new(),
    };
    let is_inside = match stay.state {
        StayState::PendingEntry | StayState::Open | StayState::PendingExit => 1,
        StayState::Closed | StayState::Void => 0,
    };
    let rules = rules_of(store, stay.rules)?;
    let prior = match &stay.plate {
        Some(plate) if rules.tariffs.look_back() => prior_visits(&store.db, plate, stay.entry, &stay.id)?,
        Some(_) | None => Vec::new(),
    };
    Ok(Some(StayFacts {
        benefits: benefits::known(&store.db, &rules, &stay, &store.box_id)?,
        rules,
        prior,
        at_lane,
        exit_read: exit_read.filter(|_| stay.state == StayState::PendingExit).map(UtcMs),
        left: exit_read.filter(|_| stay.state == StayState::Closed).map(UtcMs),
        hold: open_hold(&store.db, &stay.id)?,
        purse,
        member_has_another: others > is_inside,
        keep,
        debts,
        stay,
    }))
}

pub(super) fn rules_of(store: &Store, version: u32) -> anyhow::Result<Arc<Rules>> {
    store.rules.get(&version).cloned().with_context(|| format!("find the rules of version {version}"))
}

fn stay_of(row: &Row<'_>) -> anyhow::Result<Stay> {
    let plate: Option<String> = row.get("plate")?;
    let state: String = row.get("state")?;
    let fee: Option<String> = row.get("fee")?;
    let entry_read: Option<String> = row.get("entry_read")?;
    Ok(Stay {
        id: StayId(row.get("stay")?),
        plate: plate.map(|text| text.parse::<Plate>()).transpose().context("read a stored plate")?,
        member: row.get::<_, Option<String>>("member")?.map(MemberId),
        state: parse(&format!("\"{state}\""))?,
        entry_lane: LaneId(row.get("entry_lane")?),
        entry: UtcMs(row.get("entry_ms")?),
        rules: row.get("rules")?,
        fee: fee.map(|text| parse(&text)).transpose()?,
        paid: Fen(row.get("paid_fen")?),
        paid_at: row.get::<_, Option<i64>>("paid_ms")?.map(UtcMs),
        debts: Fen(row.get("debts_fen")?),
        right: row.get::<_, Option<String>>("right_held")?.map(|text| parse(&text)).transpose()?,
        assumed: row.get::<_, Option<String>>("assumed")?.map(|text| parse(&text)).transpose()?,
        untrusted: row.get("untrusted")?,
        zones: Vec::new(),
        entry_read: entry_read.map(|text| parse(&text)).transpose()?,
    })
}

fn open_debts(db: &Connection, plate: &Plate) -> anyhow::Result<Vec<Debt>> {
    let sql = "SELECT debt, fen - paid_fen FROM debt WHERE plate = ?1 AND paid_fen < fen ORDER BY seq";
    let mut statement = db.prepare_cached(sql)?;
    let rows =
        statement.query_map([plate.as_str()], |row| Ok(Debt { op: OpId(row.get(0)?), open: Fen(row.get(1)?) }))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// What the plate of a stay still owes for that very stay.
pub(super) fn debts_for(db: &Connection, stay: &Stay) -> anyhow::Result<Vec<Debt>> {
    let Some(plate) = &stay.plate else { return Ok(Vec::new()) };
    let sql = "SELECT debt, fen - paid_fen FROM debt WHERE plate = ?1 AND paid_fen < fen AND stay = ?2 ORDER BY seq";
    let mut statement = db.prepare_cached(sql)?;
    let debt = |row: &Row<'_>| Ok(Debt { op: OpId(row.get(0)?), open: Fen(row.get(1)?) });
    let rows = statement.query_map([plate.as_str(), stay.id.as_str()], debt)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn open_hold(db: &Connection, stay: &StayId) -> anyhow::Result<Option<Hold>> {
    let sql = "SELECT op, member, points, fen, parts FROM hold WHERE stay = ?1 AND state = 'held'";
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query([stay.as_str()])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    Ok(Some(hold_of(row)?))
}

/// A hold from its columns op, member, points, fen, parts.
pub(super) fn hold_of(row: &Row<'_>) -> anyhow::Result<Hold> {
    Ok(Hold {
        op: OpId(row.get(0)?),
        member: MemberId(row.get(1)?),
        points: Points(row.get(2)?),
        fen: Fen(row.get(3)?),
        parts: parse(&row.get::<_, String>(4)?)?,
    })
}

/// A lane that never served a vehicle is idle.
fn lane(store: &Store, id: &LaneId) -> Lane {
    store.lanes.get(id).cloned().unwrap_or_default()
}

/// From the columns member, consent_plates, home.
fn known_member(store: &Store, row: &Row<'_>) -> rusqlite::Result<KnownMember> {
    let home: Option<String> = row.get(2)?;
    Ok(KnownMember { id: MemberId(row.get(0)?), consent_plates: row.get(1)?, keep: kept_at(store, home.as_deref()) })
}

pub(super) fn keep_for(store: &Store, member: &MemberId) -> anyhow::Result<Points> {
    let sql = "SELECT home FROM cloud_member WHERE member = ?1";
    let home: Option<Option<String>> =
        store.db.prepare_cached(sql)?.query_row([member.as_str()], |row| row.get(0)).optional()?;
    Ok(kept_at(store, home.flatten().as_deref()))
}

/// What stays here between visits for a member with that home.
fn kept_at(store: &Store, home: Option<&str>) -> Points {
    let standing = store.rules.get(&store.rules_version).map_or(0, |rules| rules.grants.standing_points.0);
    Points(if home == Some(store.box_id.as_str()) { standing } else { 0 })
}

/// What this box can spend for a member in the epoch in which it works.
pub(super) fn purse(store: &Store, member: &MemberId) -> anyhow::Result<Purse> {
    let sql = "SELECT grant_id, remaining, lot, seq FROM points_grant
               WHERE member = ?1 AND remaining > 0 AND epoch = ?2";
    let mut statement = store.db.prepare_cached(sql)?;
    let mut rows = statement.query(params![member.as_str(), store.epoch])?;
    let mut pockets = Vec::new();
    while let Some(row) = rows.next()? {
        pockets.push(pocket_of(row)?);
    }
    Ok(pockets.into_iter().collect())
}

/// Puts the pockets that `parts` may go back to into a purse that lacks them because nothing is left in them: their lots
/// say what the points may be spent on.
pub(super) fn remember(store: &Store, purse: &mut Purse, parts: &[Part]) -> anyhow::Result<()> {
    let sql = "SELECT grant_id, remaining, lot, seq FROM points_grant WHERE grant_id = ?1 AND epoch = ?2";
    for part in parts {
        if purse.pockets().iter().any(|pocket| pocket.grant == part.grant) {
            continue;
        }
        let mut statement = store.db.prepare_cached(sql)?;
        let mut rows = statement.query(params![part.grant.as_str(), store.epoch])?;
        if let Some(row) = rows.next()? {
            purse.add(pocket_of(row)?);
        }
    }
    Ok(())
}

/// A pocket from its columns grant_id, remaining, lot, seq.
pub(super) fn pocket_of(row: &Row<'_>) -> anyhow::Result<Pocket> {
    let lot = row.get::<_, Option<String>>(2)?.map_or(Ok(Lot::default()), |text| parse(&text))?;
    Ok(Pocket { grant: GrantId(row.get(0)?), remaining: Points(row.get(1)?), lot, since: row.get(3)? })
}

fn stays_inside(db: &Connection, member: &MemberId) -> anyhow::Result<u32> {
    let sql = "SELECT count(*) FROM stay WHERE member = ?1 AND state IN ('pending_entry', 'open', 'pending_exit')";
    Ok(db.prepare_cached(sql)?.query_row([member.as_str()], |row| row.get(0))?)
}

fn request_is_open(db: &Connection, request: &OpId, member: &MemberId) -> anyhow::Result<bool> {
    let sql = "SELECT count(*) FROM grant_request WHERE request = ?1 AND member = ?2 AND state = 'open'";
    Ok(db.prepare_cached(sql)?.query_row([request.as_str(), member.as_str()], |row| row.get::<_, u32>(0))? > 0)
}

fn grant_is_known(db: &Connection, grant: &GrantId) -> anyhow::Result<bool> {
    let sql = "SELECT count(*) FROM points_grant WHERE grant_id = ?1";
    Ok(db.prepare_cached(sql)?.query_row([grant.as_str()], |row| row.get::<_, u32>(0))? > 0)
}

fn lanes_waiting_for(db: &Connection, member: &MemberId) -> anyhow::Result<Vec<LaneId>> {
    // The three states are named as the index names them, so that it is used and not the whole table.
    let sql = "SELECT exit_lane FROM stay WHERE member = ?1 AND state IN ('pending_entry', 'open', 'pending_exit')
               AND state = 'pending_exit' AND exit_lane IS NOT NULL ORDER BY stay";
    let mut statement = db.prepare_cached(sql)?;
    let rows = statement.query_map([member.as_str()], |row| Ok(LaneId(row.get(0)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn parse<T: DeserializeOwned>(text: &str) -> anyhow::Result<T> {
    serde_json::from_str(text).with_context(|| format!("read the stored value {text}"))
}

/// The most earlier visits of a plate that are looked at.
const PRIOR_MAX: i64 = 50;

/// The earlier visits that a stay may depend on whose entry is assumed: a day before its exit at most.
pub(super) fn look_up_prior(store: &Store, facts: &mut Facts, plate: &Plate, at: UtcMs) -> anyhow::Result<()> {
    if facts.named_stay.is_none() && facts.rules.tariffs.look_back() {
        let from = at.0.saturating_sub(tariff::LOOK_BACK_MS).saturating_sub(tariff::LOOK_BACK_MS);
        facts.prior = visits_between(&store.db, plate, from, at.0, &StayId::from(""))?;
    }
    Ok(())
}

/// The visits of a plate that ended at most a day before `entry`, oldest first, without the stay `of` itself.
pub(super) fn prior_visits(
    db: &Connection,
    plate: &Plate,
    entry: UtcMs,
    of: &StayId,
) -> anyhow::Result<Vec<PriorVisit>> {
    visits_between(db, plate, entry.0.saturating_sub(tariff::LOOK_BACK_MS), entry.0, of)
}

/// The visits of a plate that ended from `from` on and began until `until`.
fn visits_between(
    db: &Connection,
    plate: &Plate,
    from: i64,
    until: i64,
    of: &StayId,
) -> anyhow::Result<Vec<PriorVisit>> {
    let sql = "SELECT entry_ms, exit_ms, fee FROM stay WHERE plate = ?1 AND state = 'closed' AND exit_ms >= ?2
               AND entry_ms <= ?3 AND stay <> ?5 ORDER BY exit_ms LIMIT ?4";
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query(params![plate.as_str(), from, until, PRIOR_MAX, of.as_str()])?;
    let mut visits = Vec::new();
    while let Some(row) = rows.next()? {
        let fee: Option<String> = row.get(2)?;
        let caps = match fee {
            Some(text) => serde_json::from_str::<Fee>(&text).context("read the fee of an earlier visit")?.caps,
            None => Vec::new(),
        };
        visits.push(PriorVisit { entry: UtcMs(row.get(0)?), exit: UtcMs(row.get(1)?), caps });
    }
    Ok(visits)
}
