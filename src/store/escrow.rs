//! What decisions about the escrow need to know: whose points are here, what is held, where the journal has been.

use anyhow::Context;
use rusqlite::{OptionalExtension, params};

use super::Store;
use super::facts::{hold_of, look_up_member, parse, pocket_of, purse, remember};
use crate::domain::decide::{Facts, Hold, Place, SpendFacts};
use crate::domain::event::{CloudNews, CouponsLook, Fen, GrantId, MemberId, OpId, Points, StayId, Undo};
use crate::domain::points::{self, Part, Purse};

/// Members whose points one entry gives back when an epoch ends: some 100 KB of journal.
const PURSES_OF_AN_ENTRY: usize = 500;
/// Members inside who get new points in the first entry of an epoch.
const MEMBERS_OF_AN_ENTRY: usize = 1000;
/// How many of a member's spends tell what is usual.
const MEMBER_SPENDS: usize = 50;
/// The spends of a till's transaction are its sixth and seventh effects.
const SPENDS_OF_A_TRANSACTION: [&str; 2] = ["/6", "/7"];

/// Looks up what deciding the cloud ledger's news needs.
pub(super) fn look_up_news(store: &Store, facts: &mut Facts, news: &CloudNews) -> anyhow::Result<()> {
    match news {
        CloudNews::Acknowledged { epoch, seq } => facts.escrow.place = place(store, *epoch, *seq)?,
        CloudNews::Recalled { grant } => facts.escrow.purses = purse_of_grant(store, grant)?,
        CloudNews::EpochGiven { .. } => {
            facts.escrow.holds = holds(store)?;
            let mut purses = purses(store)?;
            facts.escrow.has_more_purses = purses.len() > PURSES_OF_AN_ENTRY;
            purses.truncate(PURSES_OF_AN_ENTRY);
            facts.escrow.purses = purses;
            facts.escrow.coupons = super::claims::look_up(store, &CouponsLook::default())?;
        }
        CloudNews::CouponsLooked(look) => facts.escrow.coupons = super::claims::look_up(store, look)?,
        CloudNews::EpochBegins { epoch, .. } => {
            if *epoch > store.epoch {
                (facts.ids.epoch, facts.ids.seq) = (*epoch, 1);
            }
            facts.escrow.holds = holds(store)?;
            facts.escrow.previous = (store.entry > 0).then(|| store.head());
            facts.escrow.members_inside = members_inside(store)?;
            facts.escrow.usual_spend = usual_spend(store, None)?;
            facts.escrow.passed_over = store.cached("passed_over")?.unwrap_or(0);
        }
        CloudNews::HomesLooked { members } => {
            for member in members {
                if !has_open_request(store, member)? {
                    facts.escrow.purses.push((member.clone(), purse(store, member)?));
                }
            }
        }
        CloudNews::Fed { changes, .. } => facts.escrow.shares = super::feed::shares(store, changes)?,
        CloudNews::Granted { .. }
        | CloudNews::Refusing { .. }
        | CloudNews::Doubted { .. }
        | CloudNews::Leased { .. }
        | CloudNews::Unleased
        | CloudNews::TimePassed { .. } => {}
    }
    Ok(())
}

/// Where an epoch's entry is in this file. The place before the first entry of an epoch is its genesis.
pub(super) fn place(store: &Store, epoch: u32, seq: u64) -> anyhow::Result<Place> {
    let Some(before) = store.epochs.get(&epoch) else {
        return Ok(if epoch > store.epoch { Place::Beyond } else { Place::Unknown });
    };
    let entry = before.saturating_add(seq);
    if seq == 0 {
        let head = hex::encode(super::journal::genesis(&store.box_id, epoch));
        return Ok(Place::Held { entry, head });
    }
    let sql = "SELECT lower(hex(head)) FROM journal WHERE entry = ?1 AND epoch = ?2";
    let stored = i64::try_from(entry).unwrap_or(i64::MAX);
    let head: Option<String> =
        store.db.prepare_cached(sql)?.query_row(params![stored, epoch], |row| row.get(0)).optional()?;
    Ok(head.map_or(Place::Beyond, |head| Place::Held { entry, head }))
}

/// What the member, or where that is too little to tell everybody here, usually spends at most in one go.
pub(super) fn usual_spend(store: &Store, member: Option<&MemberId>) -> anyhow::Result<Option<Points>> {
    if let Some(member) = member {
        let sql = "SELECT points FROM points_entry WHERE member = ?1 AND kind = 'spent' ORDER BY seq DESC LIMIT ?2";
        let mut statement = store.db.prepare_cached(sql)?;
        let rows = statement.query_map(params![member.as_str(), MEMBER_SPENDS], |row| Ok(Points(row.get(0)?)))?;
        if let Some(usual) = points::usual_most(rows.collect::<Result<_, _>>()?) {
            return Ok(Some(usual));
        }
    }
    Ok(points::usual_most(store.spends.iter().copied().collect()))
}

/// The spends that are meant by a spend's own name or by its transaction's, with their member's purse.
pub(super) fn look_up_spends(store: &Store, facts: &mut Facts, undo: &Undo) -> anyhow::Result<()> {
    let mut names = vec![undo.of.0.clone()];
    if let Some(transaction) = undo.of.0.strip_suffix("/0") {
        names.extend(SPENDS_OF_A_TRANSACTION.map(|n| format!("{transaction}{n}")));
    }
    for name in names {
        facts.escrow.spends.extend(spend(store, &name)?);
    }
    if let Some(member) = facts.escrow.spends.first().map(|spend| spend.member.clone()) {
        look_up_member(store, facts, &member)?;
        for spend in &facts.escrow.spends {
            remember(store, &mut facts.purse, &spend.parts)?;
        }
    }
    Ok(())
}

/// A spend with what is left of it: goods come back in parts, and staff may undo the rest.
pub(super) fn spend(store: &Store, op: &str) -> anyhow::Result<Option<SpendFacts>> {
    let sql = "SELECT e.op, e.member, e.points, e.fen, e.parts, e.stay, s.state, j.epoch
               FROM points_entry e JOIN journal j ON j.entry = e.seq LEFT JOIN stay s ON s.stay = e.stay
               WHERE e.op = ?1 AND e.kind = 'spent'";
    let mut statement = store.db.prepare_cached(sql)?;
    let mut rows = statement.query([op])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let state: Option<String> = row.get(6)?;
    let mut spend = SpendFacts {
        op: OpId(row.get(0)?),
        member: MemberId(row.get(1)?),
        taken: Points(row.get(2)?),
        points: Points(row.get(2)?),
        fen: Fen(row.get(3)?),
        parts: parse(&row.get::<_, String>(4)?)?,
        stay: row.get::<_, Option<String>>(5)?.map(StayId),
        stay_state: state.map(|state| parse(&format!("\"{state}\""))).transpose()?,
        is_reversed: false,
        is_of_this_epoch: row.get::<_, u32>(7)? == store.epoch,
    };
    let sql = "SELECT points, fen, parts FROM points_entry WHERE of = ?1 AND kind = 'reversed'";
    let mut statement = store.db.prepare_cached(sql)?;
    let mut rows = statement.query([op])?;
    while let Some(row) = rows.next()? {
        let parts: Vec<Part> = parse(&row.get::<_, String>(2)?)?;
        spend.points.0 -= row.get::<_, i64>(0)?;
        spend.fen.0 -= row.get::<_, i64>(1)?;
        points::less(&mut spend.parts, &parts);
    }
    spend.is_reversed = spend.points.0 == 0;
    Ok(Some(spend))
}

fn purse_of_grant(store: &Store, grant: &GrantId) -> anyhow::Result<Vec<(MemberId, Purse)>> {
    let sql = "SELECT grant_id, remaining, lot, seq, member FROM points_grant
               WHERE grant_id = ?1 AND remaining > 0 AND epoch = ?2";
    let mut statement = store.db.prepare_cached(sql)?;
    let mut rows = statement.query(params![grant.as_str(), store.epoch])?;
    let Some(row) = rows.next()? else { return Ok(Vec::new()) };
    Ok(vec![(MemberId(row.get(4)?), Purse::from_iter([pocket_of(row)?]))])
}

/// Every hold there is: only vehicles before a raised arm have one.
fn holds(store: &Store) -> anyhow::Result<Vec<(StayId, Hold)>> {
    let sql = "SELECT op, member, points, fen, parts, stay FROM hold INDEXED BY hold_by_stay WHERE state = 'held' ORDER BY op";
    let mut statement = store.db.prepare_cached(sql)?;
    let mut rows = statement.query(())?;
    let mut holds = Vec::new();
    while let Some(row) = rows.next()? {
        holds.push((StayId(row.get(5)?), hold_of(row)?));
    }
    Ok(holds)
}

/// The purses that still hold something in this epoch, up to one more than an entry takes.
fn purses(store: &Store) -> anyhow::Result<Vec<(MemberId, Purse)>> {
    let sql = "SELECT DISTINCT member FROM points_grant WHERE remaining > 0 AND epoch = ?1 ORDER BY member LIMIT ?2";
    let mut statement = store.db.prepare_cached(sql)?;
    let rows = statement.query_map(params![store.epoch, PURSES_OF_AN_ENTRY + 1], |row| row.get(0))?;
    let members: Vec<String> = rows.collect::<Result<_, _>>().context("read whose points are here")?;
    members.into_iter().map(|member| Ok((MemberId(member.clone()), purse(store, &MemberId(member))?))).collect()
}

fn members_inside(store: &Store) -> anyhow::Result<Vec<MemberId>> {
    let sql = "SELECT DISTINCT member FROM stay WHERE state IN ('pending_entry', 'open', 'pending_exit')
               AND member IS NOT NULL ORDER BY member LIMIT ?1";
    let mut statement = store.db.prepare_cached(sql)?;
    let rows = statement.query_map([MEMBERS_OF_AN_ENTRY], |row| Ok(MemberId(row.get(0)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn has_open_request(store: &Store, member: &MemberId) -> anyhow::Result<bool> {
    let sql = "SELECT count(*) FROM grant_request WHERE member = ?1 AND state = 'open'";
    Ok(store.db.prepare_cached(sql)?.query_row([member.as_str()], |row| row.get::<_, u32>(0))? > 0)
}
