//! What each record does to the tables: the same function writes them live and makes them again in a verification.

use rusqlite::{Connection, params};
use serde::Serialize;

use super::{benefits, claims, codes, feed, office, settlement, stays, tills};
use crate::domain::event::{
    EmergencySource, Fen, GrantId, LaneId, Matched, MemberId, OpId, PlateRead, Points, Record, SAME_EVENT_MS, StayId,
    Tender, UtcMs,
};
use crate::domain::matching::learning::Lesson;
use crate::domain::points::{self, Lot, Part};
use crate::domain::stay::{Reread, Stay};

/// The tables that follow from the journal alone.
pub(super) const CONSEQUENCES: [&str; 44] = [
    "box",
    "epoch",
    "fact",
    "rules",
    "lane",
    "plate_read",
    "stay",
    "zone_visit",
    "correction",
    "day_report",
    "payment",
    "debt",
    "points_grant",
    "grant_request",
    "hold",
    "points_entry",
    "benefit_use",
    "benefit_count",
    "validation",
    "coupon_shown",
    "approval",
    "campaign_share",
    "coupon_use",
    "coupon_word",
    "sale",
    "operation",
    "operation_past",
    "barrier_command",
    "alarm",
    "stay_match",
    "camera_pair",
    "camera_pair_signs",
    "till_book",
    "till_hold",
    "points_debt",
    "shift",
    "terminal",
    "member_code",
    "earning_account",
    "office_note",
    "voucher_use",
    "leg",
    "day_item",
    "day_close",
];

/// The facts that say who has called an emergency, and the value of one that is on.
pub(super) const EMERGENCY_BY_CONTACT: &str = "emergency_by_contact";
pub(super) const EMERGENCY_BY_STAFF: &str = "emergency_by_staff";
pub(super) const ON: &str = "on";
/// The fact that says how many tickets were issued.
pub(super) const TICKETS: &str = "tickets";

/// How many entries back a camera's statement is still known as a repeat: weeks of traffic, and a bounded table.
const READS_KEPT_ENTRIES: u64 = 200_000;

/// Writes whose file it is and the epoch in which its journal begins.
pub(super) fn found(db: &Connection, box_id: &str, epoch: u32) -> anyhow::Result<()> {
    one(db, "INSERT INTO box (one, box_id, epoch) VALUES (1, ?1, ?2)", params![box_id, epoch])?;
    one(db, "INSERT INTO epoch (epoch, before, reason) VALUES (?1, 0, 'first')", [epoch])
}

/// Writes what the `n`th record of entry `seq` means; `seq` counts through all epochs of the file.
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
        Record::StayReread(reread) => {
            let Reread { stay, plate, member, entry_read, right, debts } = &**reread;
            let sql = "UPDATE stay SET plate = ?3, member = ?4, entry_read = ?5, right_held = ?6, debts_fen = ?7,
                       changed_seq = ?2 WHERE stay = ?1 AND state = 'pending_entry'";
            let (member, entry_read) = (member.as_ref().map(MemberId::as_str), json(entry_read)?);
            let right = right.as_ref().map(json).transpose()?;
            one(db, sql, params![stay.as_str(), seq, plate.as_str(), member, entry_read, right, debts.0])?;
        }
        Record::StayMatched(Matched { stay, lane, entry_lane, read, posterior_ppm, none_ppm, by, lesson, .. }) => {
            let sql = "INSERT INTO stay_match (stay, lane, read, posterior_ppm, none_ppm, matched_by)
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                       ON CONFLICT (stay) DO UPDATE SET lane = excluded.lane, read = excluded.read,
                       posterior_ppm = excluded.posterior_ppm, none_ppm = excluded.none_ppm,
                       matched_by = excluded.matched_by";
            one(db, sql, params![stay.as_str(), lane.as_str(), read.as_str(), posterior_ppm, none_ppm, json(by)?])?;
            learned(db, entry_lane, lane, lesson.as_ref())?;
        }
        Record::ExperienceReset { .. } => {
            db.prepare_cached("DELETE FROM camera_pair_signs")?.execute(())?;
            db.prepare_cached("DELETE FROM camera_pair")?.execute(())?;
        }
        Record::StayExiting { stay, lane, at, fee, .. } => {
            let sql = "UPDATE stay SET state = 'pending_exit', exit_lane = ?3, exit_ms = ?4, fee_fen = ?5, fee = ?6,
                       changed_seq = ?2 WHERE stay = ?1 AND state IN ('pending_entry', 'open', 'pending_exit')";
            one(db, sql, params![stay.as_str(), seq, lane.as_str(), at.0, fee.total.0, json(fee)?])?;
        }
        Record::StayMemberShown { stay, member } => stays::member_shown(db, seq, stay, member)?,
        Record::StayResumed { stay } => {
            let sql = "UPDATE stay SET state = 'open', exit_lane = NULL, exit_ms = NULL, changed_seq = ?2
                       WHERE stay = ?1 AND state = 'pending_exit'";
            one(db, sql, params![stay.as_str(), seq])?;
            benefits::gone_back(db, stay)?;
        }
        Record::StayClosed { stay, evidence, waived, owed } => {
            let sql =
                "UPDATE stay SET state = 'closed', exit_evidence = ?3, waived_fen = ?4, owed_fen = ?5, changed_seq = ?2
                       WHERE stay = ?1 AND state = 'pending_exit'";
            one(db, sql, params![stay.as_str(), seq, name(evidence)?, waived.0, owed.0])?;
            benefits::posted(db, stay)?;
        }
        Record::StayVoided { stay, reason } => {
            let sql = "UPDATE stay SET state = 'void', void_reason = ?3, changed_seq = ?2
                       WHERE stay = ?1 AND state IN ('pending_entry', 'open', 'pending_exit')";
            one(db, sql, params![stay.as_str(), seq, reason])?;
            benefits::gone_back(db, stay)?;
        }
        Record::TicketIssued { .. } => {
            let sql = "INSERT INTO fact (name, value) VALUES (?1, '1')
                       ON CONFLICT (name) DO UPDATE SET value = CAST(CAST(value AS INTEGER) + 1 AS TEXT)";
            one(db, sql, [TICKETS])?;
        }
        Record::ZoneEntered { stay, zone, at, .. } => stays::zone_entered(db, seq, stay, zone, *at)?,
        Record::ZoneLeft { stay, zone, at, .. } => stays::zone_left(db, stay, zone, *at)?,
        Record::CountTaken { zone, counted, by_books, .. } => {
            stays::count_taken(db, zone.as_deref(), *counted, *by_books)?;
        }
        Record::TailgateSeen { .. } => {}
        Record::StayCorrected(corrected) => stays::corrected(db, seq, corrected)?,
        Record::DayReported { report } => {
            let sql = "INSERT INTO day_report (date, report) VALUES (?1, ?2)";
            one(db, sql, params![report.date, json(report)?])?;
        }
        Record::PaymentTaken { op, stay, fen, tender, at } => payment_taken(db, seq, op, stay, *fen, tender, *at)?,
        Record::BenefitsHeld { stay, uses } => benefits::held(db, seq, stay, uses)?,
        Record::ValidationGiven { op, stay, validation, shop } => {
            benefits::validation_given(db, op, stay, validation, shop.as_deref())?;
        }
        Record::CouponShown { stay, coupon, .. } => benefits::coupon_shown(db, stay, coupon)?,
        Record::HoldPlaced { op, stay, member, points, fen, parts } => {
            take_from_grants(db, parts)?;
            let sql = "INSERT INTO hold (op, stay, member, points, fen, parts, state) VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'held')";
            one(db, sql, params![op.as_str(), stay.as_str(), member.as_str(), points.0, fen.0, json(parts)?])?;
        }
        Record::HoldVoided { op, .. } => hold_voided(db, op)?,
        Record::PointsSpent { op, member, points, fen, parts, stay } => {
            points_spent(db, seq, op, member, *points, *fen, parts, stay.as_ref())?;
        }
        Record::PointsEarned { op, member, points, lot } => {
            new_pocket(db, seq, &points::born(op), member, *points, lot)?;
            points_entry(db, seq, op, member, Movement::Earned, *points)?;
        }
        Record::PointsReturned { op, member, points, parts } => {
            take_from_grants(db, parts)?;
            points_entry(db, seq, op, member, Movement::Returned, *points)?;
        }
        Record::PointsReversed { op, of, member, points, fen, parts, stay, .. } => {
            put_into_grants(db, parts)?;
            let movement = Movement::Reversed { of, fen: *fen, stay: stay.as_ref(), parts };
            points_entry(db, seq, op, member, movement, *points)?;
            if let Some(stay) = stay {
                stays::payment_reversed(db, seq, of, stay, *fen)?;
            }
        }
        Record::GrantRequested { request, member, points, standing } => {
            let sql = "INSERT INTO grant_request (request, member, points, state, standing, seq)
                       VALUES (?1, ?2, ?3, 'open', ?4, ?5)";
            one(db, sql, params![request.as_str(), member.as_str(), points.0, standing, seq])?;
        }
        Record::GrantAccepted { request, grant, member, points, lot } => {
            // One request may bring several grants.
            let sql = "UPDATE grant_request SET state = 'granted' WHERE request = ?1 AND state <> 'refused'";
            one(db, sql, params![request.as_str()])?;
            new_pocket(db, seq, grant, member, *points, lot)?;
        }
        Record::GrantRefused { request } => {
            let sql = "UPDATE grant_request SET state = 'refused' WHERE request = ?1 AND state = 'open'";
            one(db, sql, params![request.as_str()])?;
        }
        Record::DebtBooked { debt, stay, plate, fen } => {
            let sql = "INSERT INTO debt (debt, plate, stay, fen, seq) VALUES (?1, ?2, ?3, ?4, ?5)";
            one(db, sql, params![debt.as_str(), plate.as_str(), stay.as_str(), fen.0, seq])?;
        }
        Record::DebtPaid { debt, fen, stay, .. } => stays::debt_paid(db, debt, *fen, stay)?,
        Record::EpochBegan { epoch, reason, .. } => {
            one(db, "UPDATE box SET epoch = ?1 WHERE one = 1 AND epoch < ?1", [epoch])?;
            let sql = "INSERT INTO epoch (epoch, before, reason) VALUES (?1, ?2 - 1, ?3)";
            one(db, sql, params![epoch, seq, name(reason)?])?;
            for sql in [
                "UPDATE grant_request SET state = 'refused' WHERE state = 'open'",
                "DELETE FROM campaign_share",
                "DELETE FROM fact WHERE name IN ('quarantined', 'quarantined_why')",
            ] {
                db.prepare_cached(sql)?.execute(())?;
            }
            claims::epoch_began(db)?;
        }
        Record::WitnessSeen { .. } => {}
        Record::LeaseLapsed { until_ms } => set_fact(db, "lease_lapsed", &until_ms.0.to_string())?,
        Record::LeaseRenewed { .. } => {
            db.prepare_cached("DELETE FROM fact WHERE name = 'lease_lapsed'")?.execute(())?;
        }
        Record::SaleCommitted(_)
        | Record::OperationAnswered(_)
        | Record::TillBooked(_)
        | Record::TillHoldPlaced(_)
        | Record::TillHoldEnded { .. }
        | Record::PaymentVoided(_)
        | Record::PointsTakenBack(_)
        | Record::PointsOwed(_)
        | Record::ShiftOpened(_)
        | Record::ShiftClosed(_)
        | Record::CouponMoved(_)
        | Record::TerminalChanged(_) => tills::apply(db, seq, record)?,
        Record::MemberCodeUsed(used) => codes::used(db, used)?,
        Record::OfficeNoted(note) => office::noted(db, seq, note)?,
        Record::DayPosted(posting) => settlement::post(db, seq, posting)?,
        Record::DayClosed(closed) => settlement::close(db, seq, closed)?,
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
        Record::BarrierMoved { .. } | Record::CardRead(_) | Record::BarrierLowered(_) | Record::DeviceChanged(_) => {}
        Record::PassageSeen { command, .. } => {
            if let Some(command) = command {
                one(db, "UPDATE barrier_command SET passed = 1 WHERE command = ?1", params![command.as_str()])?;
            }
        }
        Record::AlarmRaised { code, text, lane, stay, within_h: _ } => {
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
        Record::Quarantined { why, reason } => {
            set_fact(db, "quarantined", reason)?;
            if let Some(why) = why {
                set_fact(db, "quarantined_why", &name(why)?)?;
            }
        }
        Record::RulesActivated { version, hash, text } => {
            // A version that is put back in force is the same text again.
            let sql = "INSERT INTO rules (version, hash, text) VALUES (?1, ?2, ?3)
                       ON CONFLICT (version) DO UPDATE SET text = excluded.text WHERE hash = excluded.hash";
            one(db, sql, params![version, hash, text])?;
            set_fact(db, "rules_version", &version.to_string())?;
        }
        Record::LimitApproved(approval) => benefits::approved(db, approval)?,
        Record::CampaignShareTaken(word) => feed::share_taken(db, word)?,
        Record::CouponTold(word) => claims::told(db, word)?,
        Record::Fed { changes, next, heard } => {
            for change in changes {
                feed::fed(db, change)?;
            }
            set_cursor(db, "feed", *next)?;
            set_cursor(db, "heard", u64::try_from(heard.0).unwrap_or(0))?;
        }
        Record::Acknowledged { entry } => set_cursor(db, "acknowledged", *entry)?,
        Record::LeaseSeen { until_ms, latest_ms } => {
            set_cursor(db, "lease_until", u64::try_from(until_ms.0).unwrap_or(0))?;
            set_cursor(db, "lease_latest", u64::try_from(latest_ms.0).unwrap_or(0))?;
        }
    }
    Ok(())
}

/// Runs a statement that must touch exactly one row: anything else would be a table that no longer follows its journal.
pub(super) fn one(db: &Connection, sql: &str, values: impl rusqlite::Params) -> anyhow::Result<()> {
    let touched = db.prepare_cached(sql)?.execute(values)?;
    anyhow::ensure!(touched == 1, "{touched} rows were touched, not one, by: {sql}");
    Ok(())
}

pub(super) fn json(value: &impl Serialize) -> anyhow::Result<String> {
    Ok(serde_json::to_string(value)?)
}

/// The serialised name of a plain enum.
pub(super) fn name(value: &impl Serialize) -> anyhow::Result<String> {
    Ok(serde_json::to_value(value)?.as_str().unwrap_or_default().to_owned())
}

fn read_taken(db: &Connection, seq: u64, read: &PlateRead, outcome: &str) -> anyhow::Result<()> {
    // The time stays that of the event's first statement, until the camera numbers its events anew.
    let sql = "INSERT INTO plate_read (seq, device, event, lane, plate, confidence, captured_ms, outcome)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
               ON CONFLICT (device, event) DO UPDATE SET seq = excluded.seq, plate = excluded.plate,
               confidence = excluded.confidence, outcome = excluded.outcome,
               captured_ms = CASE WHEN min(abs(excluded.captured_ms - captured_ms),
               abs(coalesce(?9, excluded.captured_ms) - captured_ms)) <= ?10 THEN captured_ms ELSE excluded.captured_ms END";
    let plate = read.plate.as_ref().map(|plate| plate.as_str());
    let values = params![
        seq,
        read.device.as_str(),
        read.event,
        read.lane.as_str(),
        plate,
        read.confidence,
        read.captured.0,
        outcome,
        read.told.clock.map(|clock| clock.0),
        SAME_EVENT_MS,
    ];
    one(db, sql, values)?;
    if let Some(old) = seq.checked_sub(READS_KEPT_ENTRIES) {
        db.prepare_cached("DELETE FROM plate_read WHERE seq <= ?1")?.execute([old])?;
    }
    Ok(())
}

/// Counts a vehicle that came by one lane and left by another, and what their cameras showed of it.
fn learned(db: &Connection, entry: &LaneId, exit: &LaneId, lesson: Option<&Lesson>) -> anyhow::Result<()> {
    let sql = "INSERT INTO camera_pair (entry_lane, exit_lane, vehicles, lessons) VALUES (?1, ?2, 1, ?3)
               ON CONFLICT (entry_lane, exit_lane) DO UPDATE SET vehicles = vehicles + 1,
               lessons = lessons + excluded.lessons";
    one(db, sql, params![entry.as_str(), exit.as_str(), lesson.is_some()])?;
    let Some(lesson) = lesson else { return Ok(()) };
    let sql =
        "INSERT INTO camera_pair_signs (entry_lane, exit_lane, held_out, signs, count) VALUES (?1, ?2, ?3, ?4, ?5)
               ON CONFLICT (entry_lane, exit_lane, held_out, signs) DO UPDATE SET count = count + excluded.count";
    for (signs, count) in &lesson.signs {
        one(db, sql, params![entry.as_str(), exit.as_str(), lesson.is_held_out, signs, count])?;
    }
    Ok(())
}

fn stay_opened(db: &Connection, seq: u64, stay: &Stay) -> anyhow::Result<()> {
    let sql = "INSERT INTO stay (stay, plate, member, state, entry_lane, entry_ms, rules, changed_seq, debts_fen,
               right_held, assumed, untrusted, entry_read)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
    let right = stay.right.as_ref().map(json).transpose()?;
    let assumed = stay.assumed.as_ref().map(json).transpose()?;
    let entry_read = stay.entry_read.as_ref().map(json).transpose()?;
    let plate = stay.plate.as_ref().map(|plate| plate.as_str());
    let member = stay.member.as_ref().map(MemberId::as_str);
    let state = name(&stay.state)?;
    let entry_lane = stay.entry_lane.as_str();
    let (id, entry, rules, debts) = (stay.id.as_str(), stay.entry.0, stay.rules, stay.debts.0);
    let row = params![
        id,
        plate,
        member,
        state,
        entry_lane,
        entry,
        rules,
        seq,
        debts,
        right,
        assumed,
        stay.untrusted,
        entry_read
    ];
    one(db, sql, row)
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
pub(super) fn take_from_grants(db: &Connection, parts: &[Part]) -> anyhow::Result<()> {
    for part in parts {
        let sql = "UPDATE points_grant SET remaining = remaining - ?2 WHERE grant_id = ?1";
        one(db, sql, params![part.grant.as_str(), part.points.0])?;
    }
    Ok(())
}

pub(super) fn put_into_grants(db: &Connection, parts: &[Part]) -> anyhow::Result<()> {
    for part in parts {
        let sql = "UPDATE points_grant SET remaining = remaining + ?2 WHERE grant_id = ?1";
        one(db, sql, params![part.grant.as_str(), part.points.0])?;
    }
    Ok(())
}

fn hold_voided(db: &Connection, op: &OpId) -> anyhow::Result<()> {
    let parts: String = db
        .prepare_cached("SELECT parts FROM hold WHERE op = ?1 AND state = 'held'")?
        .query_row([op.as_str()], |row| row.get(0))?;
    put_into_grants(db, &serde_json::from_str::<Vec<Part>>(&parts)?)?;
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
    points_entry(db, seq, op, member, Movement::Spent { fen, stay, parts }, points)
}

/// A grant, or what an earning brought, belongs to the epoch in which it came.
fn new_pocket(
    db: &Connection,
    seq: u64,
    grant: &GrantId,
    member: &MemberId,
    points: Points,
    lot: &Lot,
) -> anyhow::Result<()> {
    let sql = "INSERT INTO points_grant (grant_id, member, points, remaining, epoch, lot, seq)
               VALUES (?1, ?2, ?3, ?3, (SELECT epoch FROM box WHERE one = 1), ?4, ?5)";
    let lot = if *lot == Lot::default() { None } else { Some(json(lot)?) };
    one(db, sql, params![grant.as_str(), member.as_str(), points.0, lot, seq])
}

/// What moved points.
pub(super) enum Movement<'a> {
    Spent { fen: Fen, stay: Option<&'a StayId>, parts: &'a [Part] },
    Earned,
    Returned,
    Reversed { of: &'a OpId, fen: Fen, stay: Option<&'a StayId>, parts: &'a [Part] },
    TakenBack { of: &'a OpId },
}

pub(super) fn points_entry(
    db: &Connection,
    seq: u64,
    op: &OpId,
    member: &MemberId,
    movement: Movement<'_>,
    points: Points,
) -> anyhow::Result<()> {
    let (kind, fen, stay, parts, of) = match movement {
        Movement::Spent { fen, stay, parts } => ("spent", Some(fen.0), stay, Some(json(&parts)?), None),
        Movement::Earned => ("earned", None, None, None, None),
        Movement::Returned => ("returned", None, None, None, None),
        Movement::Reversed { of, fen, stay, parts } => {
            ("reversed", Some(fen.0), stay, Some(json(&parts)?), Some(of.as_str()))
        }
        Movement::TakenBack { of } => ("taken_back", None, None, None, Some(of.as_str())),
    };
    let sql = "INSERT INTO points_entry (op, member, kind, points, fen, stay, seq, parts, of)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    let stay = stay.map(StayId::as_str);
    one(db, sql, params![op.as_str(), member.as_str(), kind, points.0, fen, stay, seq, parts, of])
}

pub(super) fn set_fact(db: &Connection, name: &str, value: &str) -> anyhow::Result<()> {
    let sql = "INSERT INTO fact (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    one(db, sql, params![name, value])
}

fn set_cursor(db: &Connection, name: &str, value: u64) -> anyhow::Result<()> {
    let sql = "INSERT INTO cloud_cursor (name, value) VALUES (?1, ?2)
               ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    one(db, sql, params![name, value])
}
