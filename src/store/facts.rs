//! What a decision needs to know, looked up before anything is decided.

use std::sync::Arc;

use anyhow::Context;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::de::DeserializeOwned;

use super::Store;
use crate::domain::decide::{Facts, Hold, KnownMember, StayFacts, StoredOperation};
use crate::domain::event::{
    CloudNews, Fen, GrantId, Ids, Input, LaneId, MemberId, OpId, PlateRead, Points, Purse, ReadOutcome, StaffWish,
    StayId, TillCommit, UtcMs,
};
use crate::domain::lane::Lane;
use crate::domain::matching::answer::Verdict;
use crate::domain::plate::Plate;
use crate::domain::rules::Rules;
use crate::domain::stay::{Stay, StayState};
use crate::domain::tariff::{Fee, PriorVisit};

const STAY_COLUMNS: &str =
    "stay, plate, member, state, entry_lane, entry_ms, rules, fee, paid_fen, paid_ms, exit_lane, exit_ms";

/// Looks up what deciding `input` needs.
pub(super) fn look_up(store: &Store, input: &Input) -> anyhow::Result<Facts> {
    let mut facts = Facts {
        ids: Ids { box_id: store.box_id.clone(), epoch: store.epoch, seq: store.seq + 1 },
        quarantined: store.quarantined,
        emergency: store.emergency,
        rules: store.rules.get(&store.rules_version).context("find the rules in force")?.clone(),
        lane: Lane::default(),
        read_before: None,
        visit_stay: None,
        named_stay: None,
        found: None,
        serving: None,
        member: None,
        purse: Purse::new(),
        member_inside: false,
        operation: None,
        request_is_open: false,
        grant_is_known: false,
        waiting_lanes: Vec::new(),
        acknowledged: store.acknowledged,
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
        Input::Cloud(CloudNews::Granted { request, member, grant, .. }) => {
            look_up_member(store, &mut facts, member)?;
            facts.request_is_open = request_is_open(&store.db, request, member)?;
            facts.grant_is_known = grant.as_ref().map_or(Ok(false), |grant| grant_is_known(&store.db, grant))?;
            facts.waiting_lanes = lanes_waiting_for(&store.db, member)?;
        }
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
        | Input::RulesOffered { .. }
        | Input::Cloud(
            CloudNews::Acknowledged { .. }
            | CloudNews::Fed { .. }
            | CloudNews::Refusing { .. }
            | CloudNews::Doubted { .. },
        ) => {}
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
    match &read.plate {
        Some(plate) if facts.lane.may_find_a_stay() => {
            look_up_plate(store, facts, plate)?;
            match_plate(store, facts, read, plate)
        }
        Some(_) | None => Ok(()),
    }
}

/// Which stay the read is. Where no stay has this very plate and another is certainly meant, that one is named.
fn match_plate(store: &Store, facts: &mut Facts, read: &PlateRead, plate: &Plate) -> anyhow::Result<()> {
    facts.found = store.inside.find(plate, &read.lane, read.captured);
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
    let sql =
        "SELECT m.member, m.consent_plates FROM cloud_plate p JOIN cloud_member m USING (member) WHERE p.plate = ?1";
    facts.member = store.db.prepare_cached(sql)?.query_row([plate.as_str()], known_member).optional()?;
    Ok(())
}

fn look_up_commit(store: &Store, facts: &mut Facts, commit: &TillCommit) -> anyhow::Result<()> {
    let sql = "SELECT fingerprint, answer FROM operation WHERE terminal = ?1 AND key = ?2";
    let stored: Option<(String, String)> = store
        .db
        .prepare_cached(sql)?
        .query_row(params![commit.terminal.as_str(), commit.key], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    if let Some((fingerprint, answer)) = stored {
        facts.operation = Some(StoredOperation { fingerprint, answer: parse(&answer)? });
        return Ok(());
    }
    if let Some(member) = &commit.member {
        look_up_member(store, facts, member)?;
    }
    if let Some(stay) = &commit.stay {
        let inside = "stay = ?1 AND state IN ('pending_entry', 'open', 'pending_exit')";
        facts.named_stay = stay_where(store, inside, stay.as_str())?;
        find_serving_lane(store, facts);
    }
    Ok(())
}

fn look_up_member(store: &Store, facts: &mut Facts, member: &MemberId) -> anyhow::Result<()> {
    let sql = "SELECT member, consent_plates FROM cloud_member WHERE member = ?1";
    facts.member = store.db.prepare_cached(sql)?.query_row([member.as_str()], known_member).optional()?;
    facts.purse = purse(&store.db, member)?;
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
    let (purse, others) = match &stay.member {
        Some(member) => (purse(&store.db, member)?, stays_inside(&store.db, member)?),
        None => (Purse::new(), 0),
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
        rules,
        prior,
        at_lane,
        exit_read: exit_read.filter(|_| stay.state == StayState::PendingExit).map(UtcMs),
        hold: open_hold(&store.db, &stay.id)?,
        purse,
        member_has_another: others > is_inside,
        stay,
    }))
}

fn rules_of(store: &Store, version: u32) -> anyhow::Result<Arc<Rules>> {
    store.rules.get(&version).cloned().with_context(|| format!("find the rules of version {version}"))
}

fn stay_of(row: &Row<'_>) -> anyhow::Result<Stay> {
    let plate: Option<String> = row.get("plate")?;
    let state: String = row.get("state")?;
    let fee: Option<String> = row.get("fee")?;
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
    })
}

fn open_hold(db: &Connection, stay: &StayId) -> anyhow::Result<Option<Hold>> {
    let sql = "SELECT op, member, points, fen, parts FROM hold WHERE stay = ?1 AND state = 'held'";
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query([stay.as_str()])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    Ok(Some(Hold {
        op: OpId(row.get(0)?),
        member: MemberId(row.get(1)?),
        points: Points(row.get(2)?),
        fen: Fen(row.get(3)?),
        parts: parse(&row.get::<_, String>(4)?)?,
    }))
}

/// A lane that never served a vehicle is idle.
fn lane(store: &Store, id: &LaneId) -> Lane {
    store.lanes.get(id).cloned().unwrap_or_default()
}

fn known_member(row: &Row<'_>) -> rusqlite::Result<KnownMember> {
    Ok(KnownMember { id: MemberId(row.get(0)?), consent_plates: row.get(1)? })
}

fn purse(db: &Connection, member: &MemberId) -> anyhow::Result<Purse> {
    let sql = "SELECT grant_id, remaining FROM points_grant WHERE member = ?1 AND remaining > 0";
    let mut statement = db.prepare_cached(sql)?;
    let rows = statement.query_map([member.as_str()], |row| Ok((GrantId(row.get(0)?), Points(row.get(1)?))))?;
    Ok(rows.collect::<Result<_, _>>()?)
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

fn parse<T: DeserializeOwned>(text: &str) -> anyhow::Result<T> {
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
