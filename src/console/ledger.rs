//! What the ledger tells: the state at a glance, alarms, what each stay cost and why, plate reads, the journal's head.

use jiff::tz::TimeZone;
use maud::{Markup, html};

use super::lane::plate_text;
use super::photo;
use super::picture::{EndedStay, Picture};
use super::words::{Lang, day_and_time, short_hash, time_of_day, yuan};
use crate::domain::event::{Evidence, ReadOutcome, Tender, UtcMs};
use crate::domain::plate::Plate;
use crate::domain::stay::StayState;
use crate::photos::Arrival;
use crate::store::reader::lanes::ReadRow;

/// The state at a glance.
pub(super) fn overview(picture: &Picture, lang: Lang) -> Markup {
    let waiting = picture.lanes.iter().filter(|lane| lane.waiting().is_some()).count();
    let (cloud, sign, tone) = match (&picture.quarantined, picture.cloud_is_up) {
        (Some(_), _) => (lang.pick("积分已停用", "Points stopped"), "!", "bad"),
        (None, true) => (lang.pick("云端在线", "Cloud online"), "✓", "good"),
        (None, false) => (lang.pick("云端离线", "Cloud offline"), "▲", "warn"),
    };
    let note = match (&picture.quarantined, picture.cloud_is_up) {
        (Some(reason), _) => reason.as_str(),
        (None, true) => lang.pick("账本实时上传", "The journal is uploaded as it grows"),
        (None, false) => lang.pick("一切照常，恢复后自动上传", "Everything works; uploads when the line is back"),
    };
    html! {
        dl.overview #overview {
            @if picture.is_emergency {
                div.bad {
                    dt { (lang.pick("紧急情况", "Emergency")) }
                    dd.small { span.sign aria-hidden="true" { "!" } span { (lang.pick("所有道闸保持开启", "Every barrier is held up")) } }
                }
            }
            div { dt { (lang.pick("场内车辆", "Vehicles inside")) } dd { (picture.inside) } }
            @for (zone, free) in &picture.free {
                div .warn[*free <= 0] {
                    dt { (lang.pick("空余车位", "Free spaces")) @if !zone.is_empty() { " · " (zone) } }
                    dd { (free.max(&0)) }
                }
            }
            div .warn[waiting > 0] {
                dt { (lang.pick("等待处理", "Waiting at a lane")) }
                dd { @if waiting > 0 { span.sign aria-hidden="true" { "▲" } } (waiting) }
            }
            div .(tone) {
                dt { (cloud) }
                dd.small { span.sign aria-hidden="true" { (sign) } span { (note) } }
            }
            div {
                dt { (lang.pick("待上传记录", "Entries to upload")) }
                dd { (picture.unacknowledged) }
            }
        }
    }
}

/// What staff should look at.
pub(super) fn alarms(picture: &Picture, lang: Lang, zone: &TimeZone) -> Markup {
    html! {
        section.card.alarms .calm[picture.alarms.is_empty()] #alarms aria-labelledby="alarms-title" {
            h2 #alarms-title { (lang.pick("需要查看", "To be looked at")) }
            @if picture.alarms.is_empty() {
                p.quiet { span.sign aria-hidden="true" { "✓" } " " (lang.pick("没有需要处理的事项", "Nothing needs your attention")) }
            } @else {
                ul {
                    @for alarm in &picture.alarms {
                        li {
                            span.sign aria-hidden="true" { "!" }
                            span { (alarm.text) }
                            span.quiet {
                                @if let Some(at) = alarm.at_ms { (day_and_time(UtcMs(at), zone)) " · " }
                                @if let Some(lane) = &alarm.lane { (lane) " · " }
                                @if let Some(stay) = &alarm.stay { (stay) " · " }
                                (alarm.code) " · #" (alarm.seq)
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The stays that ended last, with every line of the fee.
pub(super) fn ended(picture: &Picture, lang: Lang, zone: &TimeZone) -> Markup {
    html! {
        section.card #ended aria-labelledby="ended-title" {
            h2 #ended-title { (lang.pick("最近离场：费用和原因", "Left lately: each fee and why")) }
            @if picture.ended.is_empty() { p.quiet { (lang.pick("还没有车离场", "No vehicle has left yet")) } }
            @for stay in &picture.ended { (ended_stay(stay, lang, zone)) }
        }
    }
}

/// The newest plate reads. Whole is a plate only while its vehicle is at a lane, where a guard has to compare it.
pub(super) fn reads(picture: &Picture, lang: Lang, zone: &TimeZone) -> Markup {
    let served = picture.lanes.iter().filter_map(|lane| lane.now.visit()?.plate.as_ref());
    let behind = picture.lanes.iter().filter_map(|lane| lane.now.next.as_ref()?.plate.as_ref());
    let here: Vec<&Plate> = served.chain(behind).collect();
    html! {
        section.card #reads aria-labelledby="reads-title" {
            h2 #reads-title { (lang.pick("最近识别", "Last plate reads")) }
            @if picture.reads.is_empty() { p.quiet { (lang.pick("还没有识别到车牌", "No plate was read yet")) } }
            table {
                tbody { @for (read, photos) in &picture.reads { (read_row(read, photos, &here, lang, zone)) } }
            }
        }
    }
}

/// Where the journal stands.
pub(super) fn journal(picture: &Picture, lang: Lang) -> Markup {
    let head = &picture.head;
    html! {
        section.card #journal aria-labelledby="journal-title" {
            h2 #journal-title { (lang.pick("账本", "Journal")) }
            dl.facts {
                dt { (lang.pick("本机", "Box")) } dd { (head.box_id) }
                dt { (lang.pick("纪元", "Epoch")) } dd { (head.epoch) }
                dt { (lang.pick("记录号", "Entry")) } dd { (head.seq) }
                dt { (lang.pick("链首", "Head")) } dd { code title=(head.head) { (short_hash(&head.head)) } }
                dt { (lang.pick("待上传", "To upload")) } dd { (picture.unacknowledged) }
                dt { (lang.pick("本机可用积分总额", "Points held here")) } dd { (picture.exposure.0) }
                dt { (lang.pick("未付欠费", "Open debts")) }
                dd { (picture.debts.0) " · " (yuan(picture.debts.1)) }
            }
        }
    }
}

fn ended_stay(of: &EndedStay, lang: Lang, zone: &TimeZone) -> Markup {
    let (row, stay) = (&of.row, &of.row.stay);
    let total = stay.fee.as_ref().map(|fee| fee.total);
    html! {
        article.stay {
            header {
                span.masked { (stay.plate.as_ref().map_or_else(|| lang.pick("无车牌", "No plate").to_owned(), Plate::masked)) }
                @if let Some(member) = &of.member { span.badge { span aria-hidden="true" { "★" } " " (member.tier) } }
                span.quiet {
                    (day_and_time(stay.entry, zone))
                    @if let Some(exit) = row.exit {
                        " – " (until(stay.entry, exit, zone)) " · " (lang.duration(exit.0 - stay.entry.0))
                    }
                }
                b.total {
                    @match (stay.state, total) {
                        (StayState::Void, _) => { (lang.pick("作废", "Void")) }
                        (_, Some(total)) => { (yuan(total)) }
                        (_, None) => { "—" }
                    }
                }
            }
            @if let Some(fee) = &stay.fee {
                ul.lines {
                    @for line in &fee.lines {
                        li {
                            span { (lang.pick(&line.zh, &line.en)) }
                            // One line alone is the total, which stands beside it already.
                            @if fee.lines.len() > 1 { b { (yuan(line.fen)) } }
                        }
                    }
                }
            }
            ul.tenders {
                @for payment in &of.payments {
                    li { (tender(&payment.tender, lang)) " " b { (yuan(payment.fen)) } }
                }
                @if of.points.points.0 > 0 {
                    li { (lang.pick("积分 ", "Points ")) b { (of.points.points.0) } " = " (yuan(of.points.fen)) }
                }
                @if row.waived.0 > 0 { li.warn { (lang.pick("▲ 未收 ", "▲ Let go unpaid ")) b { (yuan(row.waived)) } } }
                @if row.exit_evidence == Some(Evidence::Unconfirmed) {
                    li.warn { (lang.pick("▲ 未看到离场", "▲ Nobody saw it leave")) }
                }
                @if let Some(reason) = &row.void_reason { li.warn { "▲ " (reason) } }
                @if let Some(lane) = &row.exit_lane { li.quiet { (lane) " · " (stay.id) } }
            }
        }
    }
}

/// The end of a stretch of time, with its day only where that is another one.
fn until(from: UtcMs, to: UtcMs, zone: &TimeZone) -> String {
    let (begun, ended) = (day_and_time(from, zone), day_and_time(to, zone));
    match (begun.split_once(' '), ended.split_once(' ')) {
        (Some((day, _)), Some((same, time))) if day == same => time.to_owned(),
        (Some(_) | None, Some(_) | None) => ended,
    }
}

fn tender(tender: &Tender, lang: Lang) -> Markup {
    match tender {
        Tender::Till { terminal } => html! { (lang.pick("收银机 ", "Till ")) (terminal) },
        Tender::Guard { operator } => html! { (lang.pick("岗亭现金 ", "Cash at the lane ")) (operator) },
        Tender::Points { .. } => html! { (lang.pick("收银机积分", "Points at a till")) },
    }
}

fn read_row(read: &ReadRow, photos: &Arrival, here: &[&Plate], lang: Lang, zone: &TimeZone) -> Markup {
    let outcome = match read.outcome {
        ReadOutcome::Taken => lang.pick("已处理", "Taken"),
        ReadOutcome::SameVehicle => lang.pick("同一辆车", "Same vehicle"),
        ReadOutcome::Queued => lang.pick("排队中", "Waits behind"),
        ReadOutcome::Repeated => lang.pick("重复", "Repeated"),
        ReadOutcome::StoredOffline => lang.pick("离线补传", "Stored offline"),
        ReadOutcome::Lost => lang.pick("事后补报", "Out of sight"),
        ReadOutcome::Emergency => lang.pick("紧急放行", "In an emergency"),
        ReadOutcome::DrivesAway => lang.pick("驶离", "Drives away"),
        ReadOutcome::NoPlate => lang.pick("看不清", "No plate"),
    };
    let plate = read.plate.as_deref().and_then(|text| text.parse::<Plate>().ok());
    html! {
        tr {
            td.time { (time_of_day(read.captured, zone)) }
            td {
                @match &plate {
                    Some(plate) if here.contains(&plate) => { (plate_text(plate)) }
                    Some(plate) => { span.masked { (plate.masked()) } }
                    None => { span.plate.none { "—" } }
                }
            }
            td { (read.lane) }
            td.number { (read.confidence) "%" }
            td.quiet { (outcome) }
            td.look { (photo::button(photos, lang)) }
        }
    }
}
