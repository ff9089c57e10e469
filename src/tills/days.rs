//! The end of a business day: staff look at what it came to, close it, and print each party's statement.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, html};
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::Body;
use super::problem::Problem;
use super::slip::{DaySlip, Wanted, day_slip};
use super::staff::{Answer, Given};
use super::{Tills, date, day_of, local_time};
use crate::domain::event::{BusinessDay, Fen, Input, JournalHead, UtcMs};
use crate::domain::settlement::{Closing, LegKind, Report, Rule};
use crate::store::reader::journal::Head;
use crate::store::reader::settlement::Evidence;

/// Longest name of a party.
const MOST_PARTY_CHARS: usize = 64;
/// The first line of a statement as CSV.
const COLUMNS: &str = "entry,head,what,op,stay,terminal,receipt,lot,payer,acceptor,points,face_fen,fen,floor,format,\
                       benefit,campaign,instance,operator,came_lane,came_at,left_lane,left_at";

/// How a statement is wanted.
#[derive(Debug, Deserialize)]
pub(super) struct Form {
    format: Option<String>,
}

/// How a day is wanted: as data where no format is named, else as a slip.
#[derive(Debug, Deserialize)]
pub(super) struct Printed {
    format: Option<String>,
    columns: Option<u64>,
    lang: Option<String>,
}

/// `GET /staff/business-days/{day}`: as data, or as a slip of paper.
pub(super) async fn look(
    State(tills): State<Arc<Tills>>,
    Path(day): Path<String>,
    Query(printed): Query<Printed>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    tills.operator_in(&headers)?;
    let day = parse_day(&day)?;
    let look = tills.settings.reader.look(move |view| {
        let now = view.head()?;
        Ok(match view.closed_day(day)? {
            Some((closed, head)) => (Some(closed.by), closed.report, head),
            None => {
                let Head { epoch, seq, head, .. } = now.clone();
                (None, Report { head: JournalHead { epoch, seq, head }, ..view.day_so_far(day)? }, now)
            }
        })
    });
    let (by, report, after) = look.await?;
    let Printed { format, columns, lang } = printed;
    if format.is_none() {
        return Ok(Json(to_json(day, by, &report, &after)).into_response());
    }
    let wanted = Wanted::of_query(format, columns, lang)?;
    let (box_id, head) = (after.box_id, format!("{}/{}/{}", after.epoch, after.seq, after.head));
    let slip = DaySlip { day: date(day), by, report, box_id, head };
    let site = &tills.settings.site;
    Ok(match wanted.bytes_of(std::iter::once(|lang| day_slip(&slip, site, lang))) {
        Some(bytes) => ([(header::CONTENT_TYPE, "application/octet-stream")], bytes).into_response(),
        None => Json(wanted.answer(|lang| day_slip(&slip, site, lang))).into_response(),
    })
}

/// `POST /staff/business-days/{day}/close`.
pub(super) async fn close(State(tills): State<Arc<Tills>>, Path(day): Path<String>, body: Given) -> Answer {
    let body = Body::parse(body, &["operator", "pin"])?;
    let by = tills.operator_of(&body)?;
    let day = parse_day(&day)?;
    let late = "the box has not answered yet; look at the day before you close it again";
    tills.decided(Input::DayClosing(Closing { day, by }), late).await
}

/// `GET /staff/business-days/{day}/statements/{party}`: what the party owes and is owed, leg by leg, with what proves it.
pub(super) async fn statement(
    State(tills): State<Arc<Tills>>,
    Path((day, party)): Path<(String, String)>,
    Query(wanted): Query<Form>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    tills.operator_in(&headers)?;
    let day = parse_day(&day)?;
    if party.is_empty() || party.chars().count() > MOST_PARTY_CHARS {
        return Err(Problem::field("party", format!("1 to {MOST_PARTY_CHARS} characters are allowed")));
    }
    let of = party.clone();
    let look = tills.settings.reader.look(move |view| Ok((view.closed_day(day)?.is_some(), view.statement(day, &of)?)));
    let (is_closed, legs) = look.await?;
    match wanted.format.as_deref() {
        None | Some("csv") => {
            let file = format!("attachment; filename=\"{}.csv\"", date(day));
            let headers = [
                (header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8")),
                (header::CONTENT_DISPOSITION, HeaderValue::try_from(file).expect("a date is plain ASCII")),
            ];
            Ok((headers, csv(&legs, &tills.settings.zone)).into_response())
        }
        Some("html") => Ok(page(day, is_closed, &party, &legs, &tills.settings.zone).into_response()),
        Some(other) => Err(Problem::field("format", format!("{other:?}; csv and html are allowed"))),
    }
}

fn parse_day(text: &str) -> Result<BusinessDay, Problem> {
    day_of(text).ok_or_else(|| Problem::field("day", "a date such as 2026-03-01 is allowed"))
}

fn to_json(day: BusinessDay, by: Option<String>, report: &Report, after: &Head) -> Value {
    let Report { tills, owed, costs, stays, matched, exceptions, more_exceptions, vouchers, head } = report;
    json!({
        "business_date": date(day),
        "closed_by": by,
        "tills": tills,
        "owed": owed,
        "costs": costs,
        "stays": stays,
        "matched": matched,
        "exceptions": exceptions,
        "more_exceptions": more_exceptions,
        "vouchers": {"count": vouchers.0, "fen": vouchers.1},
        "journal": head,
        // After the entry that closed it, or now: what the slip shows as a code.
        "journal_after": {"epoch": after.epoch, "seq": after.seq, "head": after.head},
    })
}

fn word(what: LegKind) -> &'static str {
    match what {
        LegKind::Spend => "spend",
        LegKind::Undone => "undone",
        LegKind::Benefit => "benefit",
    }
}

/// RFC 4180, with the mark that tells a spreadsheet that it is UTF-8.
fn csv(legs: &[Evidence], zone: &jiff::tz::TimeZone) -> String {
    let mut text = format!("\u{feff}{COLUMNS}\r\n");
    for leg in legs {
        let or_none = |text: &Option<String>| cell(text.as_deref().unwrap_or_default());
        let rule = |part: fn(&Rule) -> Option<&str>| cell(leg.rule.as_ref().and_then(part).unwrap_or_default());
        let lane = |place: &Option<(String, UtcMs)>| cell(place.as_ref().map_or("", |(lane, _)| lane));
        let time =
            |place: &Option<(String, UtcMs)>| place.as_ref().map_or(String::new(), |(_, at)| local_time(*at, zone));
        let cells = [
            leg.entry.to_string(),
            leg.head.clone(),
            word(leg.what).to_owned(),
            or_none(&leg.op),
            or_none(&leg.stay),
            or_none(&leg.terminal),
            or_none(&leg.receipt),
            or_none(&leg.lot),
            cell(&leg.payer),
            cell(&leg.acceptor),
            leg.points.0.to_string(),
            leg.face_fen.0.to_string(),
            leg.fen.0.to_string(),
            cell(leg.shop.as_ref().map_or("", |shop| &shop.floor)),
            cell(leg.shop.as_ref().map_or("", |shop| &shop.format)),
            rule(|rule| Some(&rule.benefit)),
            rule(|rule| rule.campaign.as_deref()),
            rule(|rule| rule.instance.as_deref()),
            or_none(&leg.operator),
            lane(&leg.came),
            time(&leg.came),
            lane(&leg.left),
            time(&leg.left),
        ];
        text.push_str(&cells.join(","));
        text.push_str("\r\n");
    }
    text
}

/// A cell in quotes where it needs them. One that a spreadsheet would take for a formula begins with an apostrophe.
fn cell(text: &str) -> String {
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if is_formula { format!("'{text}") } else { text.to_owned() };
    if text.contains(['"', ',', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

/// What each other party owes this one, less what this one owes it.
fn balance(party: &str, legs: &[Evidence]) -> i64 {
    let way = |leg: &Evidence| i64::from(leg.acceptor == party) - i64::from(leg.payer == party);
    legs.iter().map(|leg| way(leg) * leg.fen.0).sum()
}

fn page(day: BusinessDay, is_closed: bool, party: &str, legs: &[Evidence], zone: &jiff::tz::TimeZone) -> maud::Markup {
    let state = if is_closed { "已日结 / closed" } else { "未日结 / not closed yet" };
    html! {
        (DOCTYPE)
        html lang="zh" {
            head {
                meta charset="utf-8";
                title { (date(day)) " " (party) }
                style { (maud::PreEscaped(STYLE)) }
            }
            body {
                h1 { "结算单 / Statement" }
                p { (party) " · " (date(day)) " · " (state) }
                table {
                    tr {
                        th { "凭证 / Entry" } th { "事项 / What" } th { "小票 / Receipt" } th { "付方 / Payer" }
                        th { "收方 / Payee" } th { "积分 / Points" } th { "面值 / Face ¥" } th { "结算 / Owed ¥" }
                    }
                    @for leg in legs {
                        tr {
                            td { (leg.entry) " " code { (leg.head.get(..12).unwrap_or_default()) } }
                            td {
                                (word(leg.what))
                                @if let Some(rule) = &leg.rule {
                                    " " (rule.benefit)
                                    @if let Some(campaign) = &rule.campaign { " / " (campaign) }
                                }
                            }
                            td {
                                (leg.receipt.as_deref().or(leg.stay.as_deref()).unwrap_or_default())
                                @if let Some(shop) = &leg.shop { " " (shop.floor) " " (shop.format) }
                                @if let Some(operator) = &leg.operator { " · " (operator) }
                                @if let Some((lane, at)) = &leg.left { " · " (lane) " " (local_time(*at, zone)) }
                            }
                            td { (leg.payer) } td { (leg.acceptor) }
                            td { (leg.points.0) } td { (yuan(leg.face_fen)) } td { (yuan(leg.fen)) }
                        }
                    }
                }
                p { strong { "应收净额 / Net to receive: ¥" (yuan(Fen(balance(party, legs)))) } }
                p { "有异议请在对账期内凭“凭证”号提出 / To dispute a line, name its entry." }
            }
        }
    }
}

/// Black on white, so that it prints on anything.
const STYLE: &str = "body{font:14px/1.4 sans-serif;margin:2em}table{border-collapse:collapse;width:100%}\
th,td{border:1px solid #000;padding:2px 6px;text-align:left}td:nth-child(n+6){text-align:right}";

/// Fen as yuan, `-12.30`.
fn yuan(fen: Fen) -> String {
    let sign = if fen.0 < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", fen.0.abs() / 100, fen.0.abs() % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_read_as_it_was_written_and_never_as_a_formula() {
        let table = [
            ("A-17", "A-17"),
            ("a,b", "\"a,b\""),
            ("say \"hi\"", "\"say \"\"hi\"\"\""),
            ("=1+1", "'=1+1"),
            ("-5", "'-5"),
        ];
        for (text, expect) in table {
            assert_eq!(cell(text), expect);
        }
    }

    #[test]
    fn amounts_below_a_yuan_keep_their_sign() {
        assert_eq!([yuan(Fen(-5)), yuan(Fen(1230)), yuan(Fen(-100))], ["-0.05", "12.30", "-1.00"]);
    }
}
