//! What a decision needs to know, looked up before anything is decided.

use std::sync::Arc;

use anyhow::Context;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::de::DeserializeOwned;

use super::{Store, benefits, escrow, inside, settlement, tills};
use crate::domain::decide::{Debt, EscrowFacts, Facts, Hold, KnownMember, StayFacts};
use crate::domain::event::{
    ArrivalRead, BusinessDay, CloudNews, Fen, Gift, GrantId, Ids, Input, LaneId, MemberId, OpId, PlateRead, Points,
    ReadOutcome, StaffWish, StayId, TillCommit, UtcMs,
};
use crate::domain::lane::Lane;
use crate::domain::matching::answer::Verdict;
use crate::domain::matching::park::Seen;
use crate::domain::plate::Plate;
use crate::domain::points::{Lot, Pocket, Purse};
use crate::domain::rules::Rules;
use crate::domain::stay::{Stay, StayState};
use crate::domain::tariff::{Fee, PriorVisit};
use crate::domain::till::facts::TillFacts;

const STAY_COLUMNS: &str = "stay, plate, member, state, entry_lane, entry_ms, rules, fee, paid_fen, paid_ms, exit_lane, exit_ms, debts_fen, \
     entry_read";

/// Looks up what deciding `input` needs.
pub(super) fn look_up(store: &Store, input: &Input) -> anyhow::Result<Facts> {
    let mut facts = Facts {
        ids: Ids { box_id: store.box_id.clone(), epoch: store.epoch, seq: store.seq + 1 },
        quarantined: store.doubt.is_some(),
        emergency: store.emergency,
        rules: store.rules.get(&store.rules_version).context("find the rules in force")?.clone(),
        lane: Lane::default(),
        read_before: None,
        visit_stay: None,
        named_stay: None,
        found: None,
        serving: None,
        read_as: None,
        recognised: None,
        member: None,
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
        escrow: EscrowFacts {
            doubt: store.doubt,
            lease: store.lease,
            has_lapsed: store.has_lapsed,
            ..EscrowFacts::default()
        },
    };
    if let Some(id) = input.lane() {
        facts.lane = lane(store, id);
        if let Some(stay) = facts.lane.stay().cloned() {
            facts.visit_stay = stay_where(store, "stay = ?1", stay.as_str())?;
        }
    }
    match input {
        Input::PlateRead(read) => look_up_read(store, &mut facts, read)?,
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
            StaffWish::Settle { .. } | StaffWish::CorrectPlate { .. } => {}
        },
        Input::Till(commit) => look_up_commit(store, &mut facts, commit)?,
        Input::TillAct(act) => tills::look_up_act(store, &mut facts, act)?,
        Input::TillHoldDue { hold } => tills::look_up_hold(store, &mut facts, hold)?,
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
        Input::Started { .. }
        | Input::LoopChanged { .. }
        | Input::VehicleSeen { .. }
        | Input::BarrierAnswered { .. }
        | Input::BarrierMoved { .. }
        | Input::LaneDue { .. }
        | Input::LaneReconsidered { .. }
        | Input::Emergency { .. }
        | Input::LaneEmergency { .. }
        | Input::ExperienceForgotten { .. }
        | Input::TerminalChanged(_)
        | Input::RulesOffered { .. } => {}
    }
    Ok(facts)
}

fn look_up_read(store: &Store, facts: &mut Facts, read: &PlateRead) -> anyhow::Result<()> {
    let sql = "SELECT outcome FROM plate_read WHERE device = ?1 AND event = ?2";
    let outcome: Option<String> = store
        .db
        .prepare_cached(sql)?
        .query_row(params![read.device.as_str(), read.event], |row| row.get(0))
        .optional()?;
    facts.read_before = outcome.map(|name| parse::<ReadOutcome>(&format!("\"{name}\""))).transpose()?;
    // A vehicle that is being served already needs no search: a new one starts only in an idle lane.
    let finds = facts.lane.may_find_a_stay();
    let Some(own) = read.plate.as_ref().filter(|_| finds || facts.lane.may_be_corrected_by(read)) else {
        return Ok(());
    };
    let mut reads = inside::seen(&all_reads(&facts.lane, read), &read.lane);
    if !finds {
        // Of two texts that are as likely the last one counts; a stay that is known by one is changed for a better only.
        reads.reverse();
    }
    let plate = store.inside.together(&reads).unwrap_or_else(|| own.clone());
    look_up_plate(store, facts, &plate)?;
    if facts.member.is_none()
        && let Some((id, recognised)) =
            store.members.recognise(&store.db, &store.inside, &reads, &plate, read.captured)?
    {
        let keep = keep_for(store, &id)?;
        // Only members who agreed are recognised.
        facts.member = Some(KnownMember { id, consent_plates: true, keep });
        facts.recognised = Some(recognised);
        look_up_points(store, facts)?;
    }
    facts.read_as = Some(plate);
    if finds { match_plate(store, facts, read, reads) } else { Ok(()) }
}

/// What was read of the vehicle before this read, and this.
fn all_reads(lane: &Lane, read: &PlateRead) -> Vec<ArrivalRead> {
    let before = lane.visit().filter(|_| read.earlier.is_empty() && lane.is_same_arrival(read));
    match before {
        Some(visit) => PlateRead { earlier: visit.reads.clone(), ..read.clone() }.all_reads(),
        None => read.all_reads(),
    }
}

/// Which stay the read is. Where no stay has this very plate and another is certainly meant, that one is named.
fn match_plate(store: &Store, facts: &mut Facts, read: &PlateRead, reads: Vec<Seen>) -> anyhow::Result<()> {
    facts.found = store.inside.find(reads, &read.lane, read.captured);
    let Some(found) = &facts.found else { return Ok(()) };
    let meant = found.candidates.first().filter(|_| found.verdict == Verdict::Automatic);
    if let Some(meant) = meant.filter(|_| facts.named_stay.is_none()) {
        let inside = "stay = ?1 AND state IN ('pending_entry', 'open', 'pending_exit')";
        facts.named_stay = stay_where(store, inside, meant.stay.as_str())?;
        find_serving_lane(store, facts);
    }
    Ok(())
}

fn look_up_plate(store: &Store, facts: &mut Facts, plate: &Plate) -> anyhow::Result<()> {
    let inside = "plate = ?1 AND state IN ('pending_entry', 'open', 'pending_exit')";
    facts.named_stay = stay_where(store, inside, plate.as_str())?;
    find_serving_lane(store, facts);
    facts.debts = Fen(open_debts(&store.db, plate)?.iter().map(|debt| debt.open.0).sum());
    let sql = "SELECT m.member, m.consent_plates, m.home FROM cloud_plate p JOIN cloud_member m USING (member)
               WHERE p.plate = ?1";
    let known = |row: &Row<'_>| known_member(store, row);
    facts.member = store.db.prepare_cached(sql)?.query_row([plate.as_str()], known).optional()?;
    look_up_points(store, facts)
}

/// What the member of the plate has here, and usually spends.
fn look_up_points(store: &Store, facts: &mut Facts) -> anyhow::Result<()> {
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
    if let Some(hold) = &commit.hold {
        facts.tills.hold = tills::hold(store, hold)?;
    }
    if let Some(member) = &commit.member {
        look_up_member(store, facts, member)?;
        facts.tills.debts = tills::points_debts(store, member)?;
    }
    if let Some(stay) = &commit.stay {
        let inside = "stay = ?1 AND state IN ('pending_entry', 'open', 'pending_exit')";
        facts.named_stay = stay_where(store, inside, stay.as_str())?;
        find_serving_lane(store, facts);
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
    Ok(())
}

/// The lane that serves the named stay now, if any does.
fn find_serving_lane(store: &Store, facts: &mut Facts) {
    let Some(inside) = &facts.named_stay else { return };
    if let Some(id) = inside.at_lane.clone() {
        let state = lane(store, &id);
        facts.serving = (state.stay() == Some(&inside.stay.id)).then_some((id, state));
    }
}

fn stay_where(store: &Store, condition: &str, value: &str) -> anyhow::Result<Option<StayFacts>> {
    let sql = format!("SELECT {STAY_COLUMNS} FROM stay WHERE {condition}");
    let mut statement = store.db.prepare_cached(&sql)?;
    let mut rows = statement.query([value])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let stay = stay_of(row)?;
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
        Some(plate) if rules.tariffs.look_back() => prior_visits(&store.db, plate, stay.entry)?,
        Some(_) | None => Vec::new(),
    };
    Ok(Some(StayFacts {
        benefits: benefits::known(&store.db, &rules, &stay)?,
        rules,
        prior,
        at_lane,
        exit_read: exit_read.filter(|_| stay.state == StayState::PendingExit).map(UtcMs),
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

fn keep_for(store: &Store, member: &MemberId) -> anyhow::Result<Points> {
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

/// How far back an earlier visit may have ended: the longest civil day, with room.
const LOOK_BACK_MS: i64 = 26 * 3600 * 1000;
/// The most earlier visits of a plate that are looked at.
const PRIOR_MAX: i64 = 50;

/// Whether an earlier visit is one that a fee of a stay from `entry` may depend on: what the query below asks for.
pub(super) fn is_prior(visit_entry: UtcMs, visit_exit: UtcMs, entry: UtcMs) -> bool {
    visit_exit.0 >= entry.0.saturating_sub(LOOK_BACK_MS) && visit_entry.0 <= entry.0
}

/// The visits of a plate that ended at most a day before `entry`, oldest first.
pub(super) fn prior_visits(db: &Connection, plate: &Plate, entry: UtcMs) -> anyhow::Result<Vec<PriorVisit>> {
    let sql = "SELECT entry_ms, exit_ms, fee FROM stay WHERE plate = ?1 AND state = 'closed' AND exit_ms >= ?2
               AND entry_ms <= ?3 ORDER BY exit_ms LIMIT ?4";
    let mut statement = db.prepare_cached(sql)?;
    let from = entry.0.saturating_sub(LOOK_BACK_MS);
    let mut rows = statement.query(params![plate.as_str(), from, entry.0, PRIOR_MAX])?;
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
