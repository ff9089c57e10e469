//! What is known of a vehicle in a lane: which stay its plate may be, whose it is, and what a correction touches.

use anyhow::Context;
use rusqlite::{OptionalExtension, params};

use super::facts::{
    debts_for, find_serving_lane, keep_for, look_up_plate, look_up_points, look_up_prior, parse, prior_visits,
    stay_where,
};
use super::{Store, inside};
use crate::domain::decide::{Facts, KnownMember};
use crate::domain::event::{ArrivalRead, PlateRead, ReadOutcome, StayId, UtcMs, Wrong};
use crate::domain::lane::{Lane, PossibleStay};
use crate::domain::matching::answer::Verdict;
use crate::domain::matching::park::Seen;

/// What is known of a vehicle that waits without a stay.
pub(super) fn look_up_waiting(store: &Store, facts: &mut Facts) -> anyhow::Result<()> {
    let waiting = facts.lane.visit().filter(|visit| visit.stay.is_none());
    match waiting.and_then(|visit| visit.plate.clone().map(|plate| (plate, visit.captured))) {
        Some((plate, captured)) => {
            look_up_plate(store, facts, &plate)?;
            look_up_prior(store, facts, &plate, captured)
        }
        None => Ok(()),
    }
}

/// The stay that is put right, and what its fee then depends on.
pub(super) fn look_up_correction(store: &Store, facts: &mut Facts, what: &Wrong) -> anyhow::Result<()> {
    let stay = match what {
        Wrong::Plate { stay, .. }
        | Wrong::Entry { stay, .. }
        | Wrong::Split { stay, .. }
        | Wrong::Ended { stay }
        | Wrong::Approved { stay, .. } => stay,
        Wrong::Merge { first, stay } => {
            facts.first = stay_where(store, "stay = ?1", first.as_str())?;
            stay
        }
        Wrong::Count { .. } => return Ok(()),
    };
    if let Wrong::Plate { plate, .. } = what {
        // Whose plate it is, and whether it is inside already.
        look_up_plate(store, facts, plate)?;
        facts.inside_by_plate = facts.named_stay.take().map(|inside| inside.stay.id);
    }
    facts.named_stay = stay_where(store, "stay = ?1", stay.as_str())?;
    facts.serving = None;
    find_serving_lane(store, facts);
    if facts.serving.is_none() {
        let id = facts.named_stay.as_ref().map(|inside| &inside.stay.id);
        let served = store.lanes.iter().find(|(_, lane)| id.is_some() && lane.stay() == id);
        facts.serving = served.map(|(lane, state)| (lane.clone(), state.clone()));
    }
    let Some(inside) = &facts.named_stay else { return Ok(()) };
    facts.open_debts = debts_for(&store.db, &inside.stay)?;
    let (entry, rules) = match (what, &facts.first) {
        (Wrong::Entry { entry, .. }, _) => (*entry, inside.rules.clone()),
        (Wrong::Merge { .. }, Some(first)) => (first.stay.entry, first.rules.clone()),
        _ => (inside.stay.entry, inside.rules.clone()),
    };
    let plate = if let Wrong::Plate { plate, .. } = what { Some(plate.clone()) } else { inside.stay.plate.clone() };
    facts.prior = match plate {
        Some(plate) if rules.tariffs.look_back() => prior_visits(&store.db, &plate, entry, &inside.stay.id)?,
        Some(_) | None => Vec::new(),
    };
    Ok(())
}

pub(super) fn look_up_read(store: &Store, facts: &mut Facts, read: &PlateRead) -> anyhow::Result<()> {
    let sql = "SELECT outcome, plate, captured_ms FROM plate_read WHERE device = ?1 AND event = ?2";
    let before: Option<(String, Option<String>, i64)> = store
        .db
        .prepare_cached(sql)?
        .query_row(params![read.device.as_str(), read.event], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    if let Some((outcome, plate, _)) = before.filter(|(.., first)| read.is_of_event_of(UtcMs(*first))) {
        facts.read_before = Some(parse::<ReadOutcome>(&format!("\"{outcome}\""))?);
        facts.plate_before = plate.and_then(|plate| plate.parse().ok());
    }
    // A vehicle that is being served already needs no search: a new one starts only in an idle lane.
    let finds = facts.lane.may_find_a_stay();
    let is_looked_at = read.told.picture_of.is_some() && facts.lane.is_same_arrival(read);
    let counts = finds || is_looked_at || facts.lane.may_be_corrected_by(read);
    let Some(own) = read.plate.as_ref().filter(|_| counts) else {
        return Ok(());
    };
    let mut reads = inside::seen(&all_reads(&facts.lane, read), &read.lane);
    if !finds || is_looked_at {
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
    facts.read_as = Some(plate.clone());
    if !finds {
        return Ok(());
    }
    match_plate(store, facts, read, reads)?;
    look_up_latest(store, facts)?;
    look_up_prior(store, facts, &plate, read.captured)
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
pub(super) fn match_plate(store: &Store, facts: &mut Facts, read: &PlateRead, reads: Vec<Seen>) -> anyhow::Result<()> {
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

/// The last vehicles that came in, where a guard is to be shown them.
fn look_up_latest(store: &Store, facts: &mut Facts) -> anyhow::Result<()> {
    let most = facts.rules.admission.policy.no_entry_last.0;
    if most == 0 || facts.named_stay.is_some() {
        return Ok(());
    }
    let sql = "SELECT stay, plate FROM stay WHERE state IN ('pending_entry', 'open', 'pending_exit')
               AND state = 'open' AND plate IS NOT NULL ORDER BY changed_seq DESC LIMIT ?1";
    let mut statement = store.db.prepare_cached(sql)?;
    let mut rows = statement.query([most])?;
    while let Some(row) = rows.next()? {
        let plate: String = row.get(1)?;
        let plate = plate.parse().context("read a stored plate")?;
        facts.latest.push(PossibleStay { stay: StayId(row.get(0)?), plate, posterior_ppm: 0, second_factor: false });
    }
    Ok(())
}
