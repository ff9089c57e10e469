//! Paper mode: what is printed before the box is down, so that people go on without it: numbered and sealed vouchers, the
//! sheet of who gets what, and a log to fill in by hand; and the vouchers that are keyed in afterwards, each once.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};
use serde::Deserialize;
use serde_json::json;

use super::access::Secret;
use super::body::Body;
use super::office::id_of;
use super::problem::Problem;
use super::slip::{self, VoucherSlip};
use super::staff::{Answer, Given, MOST_NAME_CHARS, MOST_REASON_CHARS};
use super::{Tills, date};
use crate::domain::event::{Fen, Note, VoucherGives, VoucherHow};
use crate::domain::office::{VOUCHERS_MAX, Voucher};

/// The most that one voucher lets off, ¥1,000, and the longest time, a day.
const MOST_FEN: i64 = 100_000;
const MOST_MINUTES: i64 = 1_440;
/// Characters of a seal: one in four thousand million guesses is right, and each is keyed in by a person.
const SEAL_CHARS: usize = 8;
/// Rows of the manual log on one sheet of paper.
const LOG_ROWS: usize = 25;

/// Which vouchers are to be printed, and on what: a page, or the slips of a till's printer.
#[derive(Debug, Deserialize)]
pub(super) struct Wanted {
    first: u32,
    count: u32,
    format: Option<String>,
    columns: Option<u64>,
    lang: Option<String>,
}

/// `POST /staff/vouchers`: the next numbers are given out; what is printed of them is `GET /staff/vouchers`.
pub(super) async fn give_out(State(tills): State<Arc<Tills>>, body: Given) -> Answer {
    let allowed = ["operator", "pin", "id", "first", "count", "for", "fen", "minutes", "funder"];
    let body = Body::parse(body, &allowed)?;
    let by = tills.operator_of(&body)?;
    let count = number(body.needed_number("count", 1, i64::from(VOUCHERS_MAX))?);
    let first = match body.whole("first", 1, i64::from(u32::MAX))? {
        Some(first) => number(first),
        None => tills.settings.reader.look(|view| view.next_voucher()).await?,
    };
    let (gives, fen) = match body.text("for", MOST_NAME_CHARS)? {
        None | Some("parking") => (VoucherGives::Parking, Fen(body.needed_number("fen", 1, MOST_FEN)?)),
        Some("goods") => (VoucherGives::Goods, Fen(body.needed_number("fen", 1, MOST_FEN)?)),
        Some("minutes") => {
            let minutes = number(body.needed_number("minutes", 1, MOST_MINUTES)?);
            (VoucherGives::Minutes { minutes }, Fen(0))
        }
        Some(other) => {
            return Err(Problem::field("for", format!("{other:?}; parking, minutes and goods are allowed")));
        }
    };
    let (unwanted, why) = match gives {
        VoucherGives::Minutes { .. } => ("fen", "a voucher for minutes has no amount"),
        VoucherGives::Parking | VoucherGives::Goods => ("minutes", "a voucher with an amount gives no minutes"),
    };
    if body.has(unwanted) {
        return Err(Problem::field(unwanted, why));
    }
    let funder = body.needed_text("funder", MOST_NAME_CHARS)?.to_owned();
    tills.office(id_of(&body)?, by, None, Note::VouchersPrinted { first, count, fen, funder, gives }).await
}

/// `GET /staff/vouchers?first=1&count=20`: vouchers, sheet and log as a page to print, or the vouchers as slips.
pub(super) async fn print(
    State(tills): State<Arc<Tills>>,
    Query(wanted): Query<Wanted>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    tills.operator_in(&headers)?;
    let Wanted { first, count, format, columns, lang } = wanted;
    if !(1..=VOUCHERS_MAX).contains(&count) {
        return Err(Problem::field("count", format!("1 to {VOUCHERS_MAX} are allowed")));
    }
    let look = tills.settings.reader.look(move |view| view.vouchers(first, count));
    let sealed = |(number, voucher)| {
        let seal = tills.seal(number, &voucher);
        VoucherSlip { number, voucher, seal }
    };
    let vouchers: Vec<VoucherSlip> = look.await?.into_iter().map(sealed).collect();
    if vouchers.is_empty() {
        return Err(Problem::field("first", "none of these numbers was given out; POST /staff/vouchers does that"));
    }
    if format.as_deref().is_none_or(|format| format == "page") {
        let day = date((tills.settings.pricing.today)());
        return Ok(sheet(&day, &vouchers, &(tills.settings.pricing.sheet)()).into_response());
    }
    let wanted = slip::Wanted::of_query(format, columns, lang)?;
    let site = &tills.settings.site;
    match wanted.bytes_of(vouchers.iter().map(|voucher| move |lang| slip::voucher(voucher, site, lang))) {
        Some(bytes) => Ok(([(header::CONTENT_TYPE, "application/octet-stream")], bytes).into_response()),
        None => {
            let slips = vouchers.iter().map(|voucher| {
                let mut lines = wanted.answer(|lang| slip::voucher(voucher, site, lang));
                lines["number"] = json!(voucher.number);
                lines
            });
            Ok(Json(json!({"vouchers": slips.collect::<Vec<_>>()})).into_response())
        }
    }
}

/// `POST /staff/vouchers/uses`: a voucher that was used is keyed in, with what the manual log says.
pub(super) async fn key_in(State(tills): State<Arc<Tills>>, body: Given) -> Answer {
    let allowed = ["operator", "pin", "id", "number", "seal", "plate", "left_at", "cash_fen", "merchant", "remark"];
    let body = Body::parse(body, &allowed)?;
    let by = tills.operator_of(&body)?;
    let (number, voucher) = tills.sealed(&body).await?;
    let plate = body.plate("plate")?;
    let shop = body.text("merchant", MOST_NAME_CHARS)?.map(str::to_owned);
    let (left, cash) = (body.moment("left_at")?, body.fen("cash_fen")?);
    match voucher.gives {
        VoucherGives::Goods if shop.is_none() => {
            return Err(Problem::field("merchant", "missing; the shop that took this voucher"));
        }
        VoucherGives::Parking | VoucherGives::Minutes { .. } if plate.is_none() => {
            return Err(Problem::field("plate", "missing; the manual log has it"));
        }
        VoucherGives::Parking | VoucherGives::Minutes { .. } | VoucherGives::Goods => {}
    }
    if cash.is_some() && left.is_none() {
        return Err(Problem::field("cash_fen", "allowed beside left_at only: what was taken when the vehicle left"));
    }
    let note = Note::VoucherKeyed {
        number,
        plate: plate.map_or_else(String::new, |plate| plate.to_string()),
        remark: body.text("remark", MOST_REASON_CHARS)?.unwrap_or_default().to_owned(),
        left,
        cash: cash.unwrap_or(Fen(0)),
        shop,
    };
    tills.office(id_of(&body)?, by, None, note).await
}

/// `POST /staff/vouchers/checks`: whether number and seal belong together, what the voucher is good for, and whether it
/// was keyed in before.
pub(super) async fn check(State(tills): State<Arc<Tills>>, body: Given) -> Answer {
    let body = Body::parse(body, &["operator", "pin", "number", "seal"])?;
    tills.operator_of(&body)?;
    let (number, voucher) = tills.sealed(&body).await?;
    let used = tills.settings.reader.look(move |view| view.voucher_use(number)).await?;
    let keyed = used.as_ref().map(|(how, stay, fen)| json!({"how": word(*how), "stay": stay, "fen": fen}));
    let said = match &used {
        None => "not used yet".to_owned(),
        Some((how, stay, _)) => format!("keyed in before: {} {}", word(*how), stay.as_deref().unwrap_or_default()),
    };
    let Voucher { fen, funder, gives } = &voucher;
    let (what, minutes) = match gives {
        VoucherGives::Parking => (format!("{} fen off parking", fen.0), None),
        VoucherGives::Goods => (format!("{} fen for goods", fen.0), None),
        VoucherGives::Minutes { minutes } => (format!("{minutes} minutes of parking"), Some(minutes)),
    };
    let text = format!("No. {number} is genuine: {what}, paid by {funder}; {said}");
    Ok(Json(json!({
        "done": true,
        "text": text,
        "number": number,
        "for": match gives {
            VoucherGives::Parking => "parking",
            VoucherGives::Goods => "goods",
            VoucherGives::Minutes { .. } => "minutes",
        },
        "fen": fen,
        "minutes": minutes,
        "funder": funder,
        "keyed": keyed,
    })))
}

/// `GET /staff/vouchers/next`.
pub(super) async fn next(State(tills): State<Arc<Tills>>, headers: HeaderMap) -> Answer {
    tills.operator_in(&headers)?;
    let next = tills.settings.reader.look(|view| view.next_voucher()).await?;
    Ok(Json(json!({ "next": next })))
}

fn number(given: i64) -> u32 {
    u32::try_from(given).expect("the limits of the fields fit")
}

fn word(how: VoucherHow) -> &'static str {
    match how {
        VoucherHow::Given => "given",
        VoucherHow::Left => "left",
        VoucherHow::Settled => "settled",
        VoucherHow::Unmatched => "unmatched",
        VoucherHow::Goods => "goods",
    }
}

impl Tills {
    /// The voucher of number and seal.
    async fn sealed(&self, body: &Body) -> Result<(u32, Voucher), Problem> {
        let number = number(body.needed_number("number", 1, i64::from(u32::MAX))?);
        let found = self.settings.reader.look(move |view| view.vouchers(number, 1)).await?.pop();
        let given = body.needed_text("seal", MOST_NAME_CHARS)?.to_lowercase();
        let is_its = |(number, voucher): &(u32, Voucher)| Secret::from(self.seal(*number, voucher).as_str()).is(&given);
        let other = "number and seal do not belong together; read both from the paper again. A voucher of another box is \
                     keyed in there";
        found.filter(is_its).ok_or_else(|| Problem::field("seal", other))
    }

    /// What only this box can print on a voucher of that number and worth.
    fn seal(&self, number: u32, voucher: &Voucher) -> String {
        let fen = voucher.fen.0;
        let what = match voucher.gives {
            VoucherGives::Parking => format!("voucher {number} {fen}"),
            VoucherGives::Minutes { minutes } => format!("voucher {number} minutes {minutes}"),
            VoucherGives::Goods => format!("voucher {number} goods {fen}"),
        };
        let whole = self.settings.ticket_key.name_for(&what);
        whole.get(..SEAL_CHARS).unwrap_or_default().to_owned()
    }
}

fn sheet(day: &str, vouchers: &[VoucherSlip], benefits: &[(String, String)]) -> Markup {
    html! {
        (DOCTYPE)
        html lang="zh" {
            head {
                meta charset="utf-8";
                title { "手工放行 / Paper mode " (day) }
                style { (maud::PreEscaped(STYLE)) }
            }
            body {
                h1 { "纸质券 / Vouchers" }
                div.vouchers {
                    @for voucher in vouchers {
                        div.voucher {
                            strong { "No. " (voucher.number) }
                            span { (voucher.title().0) " / " (voucher.title().1) }
                            span.worth { (voucher.worth()) }
                            code { (voucher.seal) }
                            @if voucher.voucher.gives == VoucherGives::Goods {
                                span { "商户 / Shop ______________" }
                            } @else {
                                span { "车牌 / Plate ______________" }
                            }
                        }
                    }
                }
                h1.page { "权益速查 / Who gets what" }
                table {
                    @for (zh, en) in benefits {
                        tr { td { (zh) } td { (en) } }
                    }
                }
                h1.page { "手工记录 / Manual log" }
                table.log {
                    tr {
                        th { "时间 / Time" } th { "车道 / Lane" } th { "车牌 / Plate" } th { "券号 / Voucher" }
                        th { "收款 ¥ / Cash" } th { "经手 / By" }
                    }
                    @for _ in 0..LOG_ROWS {
                        tr { td { " " } td {} td {} td {} td {} td {} }
                    }
                }
            }
        }
    }
}

/// Black on white, two vouchers a row, and a new sheet of paper for each part.
const STYLE: &str = "body{font:14px/1.5 sans-serif;margin:1.5em}h1{font-size:18px}.page{break-before:page}\
.vouchers{display:grid;grid-template-columns:1fr 1fr;gap:8px}.voucher{border:1px dashed #000;padding:10px;\
break-inside:avoid;display:flex;flex-wrap:wrap;gap:4px 16px;align-items:baseline}.worth{font-size:20px}\
table{border-collapse:collapse;width:100%}th,td{border:1px solid #000;padding:3px 8px;text-align:left}\
.log td{height:26px}";
