//! What each record does to the tables: the same function writes them live and makes them again in a verification.

use rusqlite::{Connection, params};
use serde::Serialize;

use crate::domain::event::{
    EmergencySource, FeedChange, Fen, GrantId, LaneId, MemberId, OpId, PlateRead, Points, Record, StayId, Tender, UtcMs,
};
use crate::domain::matching::learning::Lesson;
use crate::domain::points::{self, Part};
use crate::domain::stay::Stay;

/// The tables that follow from the journal alone.
pub(super) const CONSEQUENCES: [&str; 17] = [
    "fact",
    "rules",
    "lane",
    "plate_read",
    "stay",
    "payment",
    "points_grant",
    "grant_request",
    "hold",
    "points_entry",
    "sale",
    "operation",
    "barrier_command",
    "alarm",
    "stay_match",
    "camera_pair",
    "camera_pair_signs",
];

/// The facts that say who has called an emergency, and the value of one that is on.
pub(super) const EMERGENCY_BY_CONTACT: &str = "emergency_by_contact";
pub(super) const EMERGENCY_BY_STAFF: &str = "emergency_by_staff";
pub(super) const ON: &str = "on";

/// How many entries back a camera's statement is still known as a repeat: weeks of traffic, and a bounded table.
const READS_KEPT_ENTRIES: u64 = 200_000;

/// Writes what the `n`th record of entry `seq` means.
pub(super) fn apply(db: &Connection, seq: u64, n: u32, record: &Record) -> anyhow::Result<()> {
    match record {
        Record::Started { .. } => {}
        Record::ReadTaken { read, outcome } => read_taken(db, seq, read, &name(outcome)?)?,
        Record::LaneMoved { lane, state } => {
            let sql = "INSERT INTO lane (lane, state) VALUES (?1, ?2)
                       ON CONFLICT (lane) DO UPDATE SET state = excluded.state";
            one(db, sql, params![lane.as_str(), json(state)?])?;
        }
        Record::StayOpened { stay } => stay_opened(db, seq, stay)?,
        Record::StayEntered { stay, evidence } => {
            let sql = "UPDATE stay SET state = 'open', entry_evidence = ?3, changed_seq = ?2
                       WHERE stay = ?1 AND state = 'pending_entry'";
            one(db, sql, params![stay.as_str(), seq, name(evidence)?])?;
        }
        Record::StayMatched { stay, lane, entry_lane, read, posterior_ppm, none_ppm, by, lesson } => {
            let sql = "INSERT INTO stay_match (stay, lane, read, posterior_ppm, none_ppm, matched_by)
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                       ON CONFLICT (stay) DO UPDATE SET lane = excluded.lane, read = excluded.read,
                       posterior_ppm = excluded.posterior_ppm, none_ppm = excluded.none_ppm,
                       matched_by = excluded.matched_by";
            one(db, sql, params![stay.as_str(), lane.as_str(), read.as_str(), posterior_ppm, none_ppm, json(by)?])?;
            if let Some(lesson) = lesson {
                learned(db, entry_lane, lane, lesson)?;
            }
        }
        Record::ExperienceReset { .. } => {
            db.prepare_cached("DELETE FROM camera_pair_signs")?.execute(())?;
            db.prepare_cached("DELETE FROM camera_pair")?.execute(())?;
        }
        Record::StayExiting { stay, lane, at, fee } => {
            let sql = "UPDATE stay SET state = 'pending_exit', exit_lane = ?3, exit_ms = ?4, fee_fen = ?5, fee = ?6,
                       changed_seq = ?2 WHERE stay = ?1 AND state IN ('pending_entry', 'open', 'pending_exit')";
            one(db, sql, params![stay.as_str(), seq, lane.as_str(), at.0, fee.total.0, json(fee)?])?;
        }
        Record::StayResumed { stay } => {
            let sql = "UPDATE stay SET state = 'open', exit_lane = NULL, exit_ms = NULL, changed_seq = ?2
                       WHERE stay = ?1 AND state = 'pending_exit'";
            one(db, sql, params![stay.as_str(), seq])?;
        }
        Record::StayClosed { stay, evidence, waived } => {
            let sql = "UPDATE stay SET state = 'closed', exit_evidence = ?3, waived_fen = ?4, changed_seq = ?2
                       WHERE stay = ?1 AND state = 'pending_exit'";
            one(db, sql, params![stay.as_str(), seq, name(evidence)?, waived.0])?;
        }
        Record::StayVoided { stay, reason } => {
            let sql = "UPDATE stay SET state = 'void', void_reason = ?3, changed_seq = ?2
                       WHERE stay = ?1 AND state IN ('pending_entry', 'open', 'pending_exit')";
            one(db, sql, params![stay.as_str(), seq, reason])?;
        }
        Record::PaymentTaken { op, stay, fen, tender, at } => payment_taken(db, seq, op, stay, *fen, tender, *at)?,
        Record::HoldPlaced { op, stay, member, points, fen, parts } => {
            take_from_grants(db, parts)?;
            let sql = "INSERT INTO hold (op, stay, member, points, fen, parts, state) VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'held')";
            one(db, sql, params![op.as_str(), stay.as_str(), member.as_str(), points.0, fen.0, json(parts)?])?;
        }
        Record::HoldVoided { op, .. } => hold_voided(db, op)?,
        Record::PointsSpent { op, member, points, fen, parts, stay } => {
            points_spent(db, seq, op, member, *points, *fen, parts, stay.as_ref())?;
        }
        Record::PointsEarned { op, member, points } => points_earned(db, seq, op, member, *points)?,
        Record::PointsReturned { op, member, points, parts } => {
            take_from_grants(db, parts)?;
            points_entry(db, seq, op, member, "returned", *points, None, None)?;
        }
        Record::GrantRequested { request, member, points } => {
            let sql = "INSERT INTO grant_request (request, member, points, state, seq) VALUES (?1, ?2, ?3, 'open', ?4)";
            one(db, sql, params![request.as_str(), member.as_str(), points.0, seq])?;
        }
        Record::GrantAccepted { request, grant, member, points } => {
            answer_request(db, request, "granted")?;
            let sql = "INSERT INTO points_grant (grant_id, member, points, remaining) VALUES (?1, ?2, ?3, ?3)";
            one(db, sql, params![grant.as_str(), member.as_str(), points.0])?;
        }
        Record::GrantRefused { request } => answer_request(db, request, "refused")?,
        Record::SaleCommitted { op, terminal, receipt, member, total_fen, at_ms } => {
            let sql = "INSERT INTO sale (op, terminal, receipt, member, fen, at_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
            let member = member.as_ref().map(MemberId::as_str);
            one(db, sql, params![op.as_str(), terminal.as_str(), receipt, member, total_fen.0, at_ms.0])?;
        }
        Record::OperationAnswered { terminal, key, fingerprint, answer } => {
            let sql = "INSERT INTO operation (terminal, key, fingerprint, answer, seq) VALUES (?1, ?2, ?3, ?4, ?5)";
            one(db, sql, params![terminal.as_str(), key, fingerprint, json(answer)?, seq])?;
        }
        Record::BarrierCommanded { lane, command, cause, stay } => {
            let sql = "INSERT INTO barrier_command (command, lane, cause, stay, seq) VALUES (?1, ?2, ?3, ?4, ?5)";
            let stay = stay.as_ref().map(StayId::as_str);
            one(db, sql, params![command.as_str(), lane.as_str(), json(cause)?, stay, seq])?;
        }
        Record::BarrierAnswered { command, answer, .. } => {
            one(
                db,
                "UPDATE barrier_command SET answer = ?2 WHERE command = ?1",
                params![command.as_str(), json(answer)?],
            )?;
        }
        Record::BarrierMoved { .. } => {}
        Record::PassageSeen { command, .. } => {
            if let Some(command) = command {
                one(db, "UPDATE barrier_command SET passed = 1 WHERE command = ?1", params![command.as_str()])?;
            }
        }
        Record::AlarmRaised { code, text, lane, stay } => {
            let sql = "INSERT INTO alarm (seq, n, code, text, lane, stay) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
            let lane = lane.as_ref().map(|lane| lane.as_str());
            one(db, sql, params![seq, n, code, text, lane, stay.as_ref().map(StayId::as_str)])?;
        }
        Record::EmergencyChanged { source, active } => {
            let name = match source {
                EmergencySource::Contact => EMERGENCY_BY_CONTACT,
                EmergencySource::Staff { .. } => EMERGENCY_BY_STAFF,
            };
            set_fact(db, name, if *active { ON } else { "off" })?;
        }
        Record::Quarantined { reason } => set_fact(db, "quarantined", reason)?,
        Record::RulesActivated { version, hash, text } => {
            // A version that is put back in force is the same text again.
            let sql = "INSERT INTO rules (version, hash, text) VALUES (?1, ?2, ?3)
                       ON CONFLICT (version) DO UPDATE SET text = excluded.text WHERE hash = excluded.hash";
            one(db, sql, params![version, hash, text])?;
            set_fact(db, "rules_version", &version.to_string())?;
        }
        Record::Fed { changes, next } => {
            for change in changes {
                feed(db, change)?;
            }
            set_cursor(db, "feed", *next)?;
        }
        Record::Acknowledged { seq } => set_cursor(db, "acknowledged", *seq)?,
    }
    Ok(())
}

/// Runs a statement that must touch exactly one row: anything else would be a table that no longer follows its journal.
fn one(db: &Connection, sql: &str, values: impl rusqlite::Params) -> anyhow::Result<()> {
    let touched = db.prepare_cached(sql)?.execute(values)?;
    anyhow::ensure!(touched == 1, "{touched} rows were touched, not one, by: {sql}");
    Ok(())
}

fn json(value: &impl Serialize) -> anyhow::Result<String> {
    Ok(serde_json::to_string(value)?)
}

/// The serialised name of a plain enum.
fn name(value: &impl Serialize) -> anyhow::Result<String> {
    Ok(serde_json::to_value(value)?.as_str().unwrap_or_default().to_owned())
}

fn read_taken(db: &Connection, seq: u64, read: &PlateRead, outcome: &str) -> anyhow::Result<()> {
    let sql = "INSERT INTO plate_read (seq, device, event, lane, plate, confidence, captured_ms, outcome)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
               ON CONFLICT (device, event) DO UPDATE SET seq = excluded.seq, plate = excluded.plate,
               confidence = excluded.confidence, outcome = excluded.outcome";
    let plate = read.plate.as_ref().map(|plate| plate.as_str());
    let values = params![
        seq,
        read.device.as_str(),
        read.event,
        read.lane.as_str(),
        plate,
        read.confidence,
        read.captured.0,
        outcome
    ];
    one(db, sql, values)?;
    if let Some(old) = seq.checked_sub(READS_KEPT_ENTRIES) {
        db.prepare_cached("DELETE FROM plate_read WHERE seq <= ?1")?.execute([old])?;
    }
    Ok(())
}

/// Counts what two lanes' cameras showed of one vehicle.
fn learned(db: &Connection, entry: &LaneId, exit: &LaneId, lesson: &Lesson) -> anyhow::Result<()> {
    let sql = "INSERT INTO camera_pair (entry_lane, exit_lane, lessons) VALUES (?1, ?2, 1)
               ON CONFLICT (entry_lane, exit_lane) DO UPDATE SET lessons = lessons + 1";
    one(db, sql, params![entry.as_str(), exit.as_str()])?;
    let sql =
        "INSERT INTO camera_pair_signs (entry_lane, exit_lane, held_out, signs, count) VALUES (?1, ?2, ?3, ?4, ?5)
               ON CONFLICT (entry_lane, exit_lane, held_out, signs) DO UPDATE SET count = count + excluded.count";
    for (signs, count) in &lesson.signs {
        one(db, sql, params![entry.as_str(), exit.as_str(), lesson.is_held_out, signs, count])?;
    }
    Ok(())
}

fn stay_opened(db: &Connection, seq: u64, stay: &Stay) -> anyhow::Result<()> {
    let sql = "INSERT INTO stay (stay, plate, member, state, entry_lane, entry_ms, rules, changed_seq)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    let plate = stay.plate.as_ref().map(|plate| plate.as_str());
    let member = stay.member.as_ref().map(MemberId::as_str);
    let state = name(&stay.state)?;
    let entry_lane = stay.entry_lane.as_str();
    one(db, sql, params![stay.id.as_str(), plate, member, state, entry_lane, stay.entry.0, stay.rules, seq])
}

fn payment_taken(
    db: &Connection,
    seq: u64,
    op: &OpId,
    stay: &StayId,
    fen: Fen,
    tender: &Tender,
    at: UtcMs,
) -> anyhow::Result<()> {
    let sql = "INSERT INTO payment (op, stay, fen, tender, seq) VALUES (?1, ?2, ?3, ?4, ?5)";
    one(db, sql, params![op.as_str(), stay.as_str(), fen.0, json(tender)?, seq])?;
    let sql = "UPDATE stay SET paid_fen = paid_fen + ?3, paid_ms = ?4, changed_seq = ?2 WHERE stay = ?1";
    one(db, sql, params![stay.as_str(), seq, fen.0, at.0])
}

/// Lowers what the grants have left; the table's own check refuses to go below zero.
fn take_from_grants(db: &Connection, parts: &[Part]) -> anyhow::Result<()> {
    for part in parts {
        let sql = "UPDATE points_grant SET remaining = remaining - ?2 WHERE grant_id = ?1";
        one(db, sql, params![part.grant.as_str(), part.points.0])?;
    }
    Ok(())
}

fn hold_voided(db: &Connection, op: &OpId) -> anyhow::Result<()> {
    let parts: String = db
        .prepare_cached("SELECT parts FROM hold WHERE op = ?1 AND state = 'held'")?
        .query_row([op.as_str()], |row| row.get(0))?;
    for part in serde_json::from_str::<Vec<Part>>(&parts)? {
        let sql = "UPDATE points_grant SET remaining = remaining + ?2 WHERE grant_id = ?1";
        one(db, sql, params![part.grant.as_str(), part.points.0])?;
    }
    one(db, "UPDATE hold SET state = 'void' WHERE op = ?1 AND state = 'held'", [op.as_str()])
}

#[allow(clippy::too_many_arguments, reason = "the record's own fields")]
fn points_spent(
    db: &Connection,
    seq: u64,
    op: &OpId,
    member: &MemberId,
    points: Points,
    fen: Fen,
    parts: &[Part],
    stay: Option<&StayId>,
) -> anyhow::Result<()> {
    let held = "UPDATE hold SET state = 'spent' WHERE op = ?1 AND state = 'held'";
    // A hold has taken its points from the grants already; a till's spend has not.
    if db.prepare_cached(held)?.execute([op.as_str()])? == 0 {
        take_from_grants(db, parts)?;
    }
    points_entry(db, seq, op, member, "spent", points, Some(fen), stay)
}

fn points_earned(db: &Connection, seq: u64, op: &OpId, member: &MemberId, points: Points) -> anyhow::Result<()> {
    let pocket: GrantId = points::born(member);
    let sql = "INSERT INTO points_grant (grant_id, member, points, remaining) VALUES (?1, ?2, ?3, ?3)
               ON CONFLICT (grant_id) DO UPDATE SET points = points + ?3, remaining = remaining + ?3";
    one(db, sql, params![pocket.as_str(), member.as_str(), points.0])?;
    points_entry(db, seq, op, member, "earned", points, None, None)
}

#[allow(clippy::too_many_arguments, reason = "one row's columns")]
fn points_entry(
    db: &Connection,
    seq: u64,
    op: &OpId,
    member: &MemberId,
    kind: &str,
    points: Points,
    fen: Option<Fen>,
    stay: Option<&StayId>,
) -> anyhow::Result<()> {
    let sql = "INSERT INTO points_entry (op, member, kind, points, fen, stay, seq) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let (fen, stay) = (fen.map(|fen| fen.0), stay.map(StayId::as_str));
    one(db, sql, params![op.as_str(), member.as_str(), kind, points.0, fen, stay, seq])
}

fn answer_request(db: &Connection, request: &OpId, state: &str) -> anyhow::Result<()> {
    let sql = "UPDATE grant_request SET state = ?2 WHERE request = ?1 AND state = 'open'";
    one(db, sql, params![request.as_str(), state])
}

fn set_fact(db: &Connection, name: &str, value: &str) -> anyhow::Result<()> {
    let sql = "INSERT INTO fact (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    one(db, sql, params![name, value])
}

fn set_cursor(db: &Connection, name: &str, value: u64) -> anyhow::Result<()> {
    let sql = "INSERT INTO cloud_cursor (name, value) VALUES (?1, ?2)
               ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    one(db, sql, params![name, value])
}

/// The newest statement about a member wins, and about a plate or code too: the cloud keeps them unique.
fn feed(db: &Connection, change: &FeedChange) -> anyhow::Result<()> {
    let id = match change {
        FeedChange::Member { member } => &member.id,
        FeedChange::MemberRemoved { id } => id,
    };
    for sql in [
        "DELETE FROM cloud_plate WHERE member = ?1",
        "DELETE FROM cloud_code WHERE member = ?1",
        "DELETE FROM cloud_member WHERE member = ?1",
    ] {
        db.prepare_cached(sql)?.execute([id.as_str()])?;
    }
    let FeedChange::Member { member } = change else { return Ok(()) };
    let sql = "INSERT INTO cloud_member (member, handle, tier, consent_plates) VALUES (?1, ?2, ?3, ?4)";
    one(db, sql, params![id.as_str(), member.handle, member.tier, member.consent_plates])?;
    for plate in &member.plates {
        let sql = "INSERT OR REPLACE INTO cloud_plate (plate, member) VALUES (?1, ?2)";
        one(db, sql, params![plate.as_str(), id.as_str()])?;
    }
    for code in &member.codes {
        let sql = "INSERT OR REPLACE INTO cloud_code (code, member) VALUES (?1, ?2)";
        one(db, sql, params![code, id.as_str()])?;
    }
    Ok(())
}
