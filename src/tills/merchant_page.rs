//! The merchants' page: a shop gives parking by a part of a plate, has a coupon used, sees its day and disputes a line.
//! Everything is asked with the shop's own PIN, and nobody learns a whole plate.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::access::{Terminal, check_key};
use super::body::Body;
use super::merchants::{Merchant, takes_part};
use super::office::id_of;
use super::problem::{Code, Problem};
use super::staff::{Answer, Given, MOST_NAME_CHARS};
use super::verbs::{MOST_STAY_CHARS, Verb};
use super::{Tills, date, local_time};
use crate::domain::event::{TerminalId, TillMark};
use crate::domain::plate::Plate;

/// The least of a plate that finds a vehicle: three characters of it are hardly anybody else's in one car park.
const LEAST_PLATE_CHARS: usize = 3;
/// The most vehicles that are shown: who sees more must type more.
const MOST_FOUND: usize = 5;
/// How many vehicles a shop may look for in a minute: a queue of customers, and no list of who is in the mall.
const MOST_SEARCHES: u32 = 12;
const SEARCHES_PER: Duration = Duration::from_secs(60);

/// How often each shop has searched. Only shops of the settings are counted, so it cannot grow.
#[derive(Default)]
pub(super) struct Searches(BTreeMap<String, (u32, Instant)>);

/// The page itself, beside the interface that it asks.
pub(super) fn pages() -> Router {
    Router::new().route("/merchant", get(page)).route("/merchant/app.js", get(script))
}

/// `GET /merchant`.
async fn page() -> Response {
    asset("text/html; charset=utf-8", include_str!("merchant.html"))
}

/// `GET /merchant/app.js`.
async fn script() -> Response {
    asset("text/javascript; charset=utf-8", include_str!("merchant.js"))
}

fn asset(kind: &'static str, text: &'static str) -> Response {
    let policy = "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; connect-src 'self'; \
                  form-action 'none'; base-uri 'none'; frame-ancestors 'none'";
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy)),
    ];
    (headers, text).into_response()
}

/// `POST /merchant/totals`: what the shop's tills and gifts came to today, and what is owed for it.
pub(super) async fn totals(State(tills): State<Arc<Tills>>, body: Given) -> Answer {
    let body = Body::parse(body, &["merchant", "pin"])?;
    let merchant = tills.merchant(&body)?.clone();
    let shop = tills.shop_of(Some(&merchant.id)).await?.unwrap_or_default();
    let (id, day) = (merchant.id.clone(), (tills.settings.pricing.today)());
    let look = tills.settings.reader.look(move |view| Ok((view.merchant_day(&id, day)?, view.statement(day, &id)?)));
    let (sums, legs) = look.await?;
    let zone = &tills.settings.zone;
    let now = local_time((tills.settings.pricing.now)(), zone);
    let lines = legs.iter().rev().take(MOST_LINES).map(|leg| {
        json!({"entry": leg.entry, "receipt": leg.receipt, "payer": leg.payer, "acceptor": leg.acceptor,
            "points": leg.points, "fen": leg.fen})
    });
    let owed: i64 = legs
        .iter()
        .map(|leg| (i64::from(leg.acceptor == merchant.id) - i64::from(leg.payer == merchant.id)) * leg.fen.0)
        .sum();
    let answer = json!({
        "merchant": if shop.name.is_empty() { &merchant.id } else { &shop.name },
        "business_date": date(day),
        "as_of": now,
        "gives_parking": !shop.gives_no_parking,
        "kinds": tills.kinds_of(&merchant),
        "net_to_receive_fen": owed,
        "sales": sums.sales,
        "sales_fen": sums.sales_fen,
        "points_fen": sums.points_fen,
        "gifts": sums.gifts,
        "lines": lines.collect::<Vec<_>>(),
    });
    Ok(Json(answer))
}

/// The most lines of the day that the page shows; the statement has all of them.
const MOST_LINES: usize = 20;

/// `POST /merchant/stays`: vehicles inside whose plate contains some characters, with the rest of it hidden.
pub(super) async fn stays(State(tills): State<Arc<Tills>>, body: Given) -> Answer {
    let body = Body::parse(body, &["merchant", "pin", "q"])?;
    let merchant = tills.merchant(&body)?.clone();
    takes_part(tills.shop_of(Some(&merchant.id)).await?.as_ref(), Verb::Validate, false)?;
    tills.may_search(&merchant)?;
    let part = body.needed_text("q", MOST_NAME_CHARS)?.trim().to_uppercase();
    if part.chars().count() < LEAST_PLATE_CHARS {
        return Err(Problem::field("q", format!("at least {LEAST_PLATE_CHARS} characters of the plate are needed")));
    }
    let look = tills.settings.reader.look(move |view| view.inside_like(&part, MOST_FOUND + 1));
    let found = look.await?;
    let zone = &tills.settings.zone;
    let shown = found.iter().take(MOST_FOUND).map(|(stay, plate, entry)| {
        json!({"stay": stay, "plate_masked": Plate::masked(plate), "entered_at": local_time(*entry, zone)})
    });
    Ok(Json(json!({"stays": shown.collect::<Vec<Value>>(), "more": found.len() > MOST_FOUND})))
}

/// `POST /merchant/gifts`: the shop gives parking to a stay.
pub(super) async fn gift(State(tills): State<Arc<Tills>>, body: Given) -> Answer {
    let fields = ["merchant", "pin", "id", "stay", "kind", "receipt_no", "spend_fen"];
    tills.for_merchant(body, &fields, Verb::Validate).await
}

/// `POST /merchant/coupons`: a coupon is used for a stay.
pub(super) async fn coupon(State(tills): State<Arc<Tills>>, body: Given) -> Answer {
    tills.for_merchant(body, &["merchant", "pin", "id", "stay", "coupon", "receipt_no"], Verb::Coupon).await
}

/// `POST /merchant/coupon-checks`: whether a coupon can be used, before anybody relies on it.
pub(super) async fn check(State(tills): State<Arc<Tills>>, body: Given) -> Answer {
    let body = Body::parse(body, &["merchant", "pin", "coupon"])?;
    tills.merchant(&body)?;
    let code = body.needed_text("coupon", MOST_STAY_CHARS)?.to_owned();
    let found = tills.settings.reader.look(move |view| view.held_coupon(&code)).await?;
    let found = found.ok_or_else(|| Problem::new(Code::BenefitUnknown, "no coupon of that number is known here"))?;
    let until = found.until.map(|until| local_time(until, &tills.settings.zone));
    Ok(Json(json!({"coupon": found.id, "kind": found.kind, "state": found.state, "until": until})))
}

/// `POST /merchant/disputes`: the shop disputes a line of its statement.
pub(super) async fn dispute(State(tills): State<Arc<Tills>>, body: Given) -> Answer {
    let body = Body::parse(body, &["merchant", "pin", "id", "entry", "reason"])?;
    let party = tills.merchant(&body)?.id.clone();
    tills.open_dispute(&body, format!("merchant {party}"), party).await
}

impl Tills {
    /// The shop, once its PIN is right.
    fn merchant(&self, body: &Body) -> Result<&Merchant, Problem> {
        let refused = || Problem::new(Code::OperatorUnknown, "merchant and pin do not belong together");
        let id = body.needed_text("merchant", MOST_NAME_CHARS)?;
        let pin = body.needed_text("pin", MOST_NAME_CHARS)?;
        let known = self.settings.merchants.iter().find(|merchant| merchant.id == id);
        let (known, secret) = known.and_then(|known| Some((known, known.pin.as_ref()?))).ok_or_else(refused)?;
        self.with_pin(&format!("merchant {id}"), secret, pin, refused)?;
        Ok(known)
    }

    fn may_search(&self, merchant: &Merchant) -> Result<(), Problem> {
        let now = Instant::now();
        let mut searches = self.searches.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, since) = searches.0.get(&merchant.id).copied().unwrap_or((0, now));
        let (count, since) = if now.duration_since(since) >= SEARCHES_PER { (0, now) } else { (count, since) };
        if count >= MOST_SEARCHES {
            let detail = format!("{MOST_SEARCHES} vehicles a minute are looked for; wait a moment");
            return Err(Problem::new(Code::TooManyRequests, detail));
        }
        searches.0.insert(merchant.id.clone(), (count + 1, since));
        Ok(())
    }

    /// What the shop may give under the rules in force.
    fn kinds_of(&self, merchant: &Merchant) -> Vec<Value> {
        let kinds = (self.settings.pricing.gifts)();
        let mine = kinds.iter().filter(|kind| kind.merchants.is_empty() || kind.merchants.contains(&merchant.id));
        mine.map(|kind| json!({"kind": kind.id, "zh": kind.zh, "en": kind.en})).collect()
    }

    /// Does for a shop what one of its tills could do, at a terminal of its own: the shop's page.
    async fn for_merchant(self: &Arc<Self>, body: Given, allowed: &[&'static str], verb: Verb) -> Answer {
        let body = Body::parse(body, allowed)?;
        body.refuse_cards()?;
        let merchant = self.merchant(&body)?;
        let pin = merchant.pin.clone().expect("the merchant's PIN was right");
        let id = TerminalId(format!("page {}", merchant.id));
        let terminal = Terminal { id, token: pin, merchant: Some(merchant.id.clone()) };
        let key = check_key(&id_of(&body)?)?.to_owned();
        self.slow_down(&terminal)?;
        let merchant = terminal.merchant.clone();
        let shop = self.shop_of(merchant.as_deref()).await?;
        let mark = TillMark { number: None, shift: None, merchant, shop };
        let answer = self.write(&terminal, verb, key, mark, &body.without(&["merchant", "pin", "id"])).await?;
        Ok(Json(answer.body))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::domain::event::{Gift, Input};
    use crate::tills::rig::{Rig, Sent};

    #[tokio::test]
    async fn a_shop_finds_a_vehicle_by_a_part_of_its_plate_and_learns_no_more() {
        let rig = Rig::new().await;
        let found = ask(&rig, "stays", &json!({"q": "b123"})).expect(200).await;
        assert_eq!(found["stays"][0]["plate_masked"], "粤B·••••5");
        assert!(!found.to_string().contains("12345"), "{found}");
        ask(&rig, "stays", &json!({"q": "12"})).problem("bad-request", 400).await;
        for _ in 2..super::MOST_SEARCHES {
            ask(&rig, "stays", &json!({"q": "ZZZ"})).expect(200).await;
        }
        ask(&rig, "stays", &json!({"q": "ZZZ"})).problem("too-many-requests", 429).await;
    }

    #[tokio::test]
    async fn a_shop_gives_in_its_own_name_alone() {
        let rig = Rig::new().await;
        let gift = json!({"id": "g-1", "stay": "S1-2", "kind": "lunch"});
        ask(&rig, "gifts", &gift).expect(200).await;
        ask(&rig, "gifts", &gift).expect(200).await;
        let [Input::Till(commit)] = &rig.inputs()[..] else { panic!("{:?}", rig.inputs()) };
        assert_eq!(commit.terminal.as_str(), "page cafe");
        assert!(matches!(&commit.gift, Some(Gift::Validation { merchant, .. }) if merchant == "cafe"));
        let day = ask(&rig, "totals", &json!({})).expect(200).await;
        assert_eq!((&day["merchant"], &day["business_date"]), (&json!("Café"), &json!("2026-03-01")));
    }

    #[tokio::test]
    async fn the_pin_of_another_shop_opens_nothing() {
        let rig = Rig::new().await;
        let with = |merchant: &str, pin: &str| {
            let body = json!({"merchant": merchant, "pin": pin});
            Sent { request: rig.client.post(rig.url("merchant/totals")).json(&body), rig: &rig }
        };
        assert_eq!(with("bar", "1357").expect(200).await["merchant"], "Bar");
        with("cafe", "1357").problem("operator-unknown", 401).await;
        with("bar", "2468").problem("operator-unknown", 401).await;
    }

    #[tokio::test]
    async fn a_wrong_pin_opens_nothing_and_is_tried_five_times() {
        let rig = Rig::new().await;
        let wrong = |merchant: &str| {
            let body = json!({"merchant": merchant, "pin": "0000"});
            Sent { request: rig.client.post(rig.url("merchant/totals")).json(&body), rig: &rig }
        };
        wrong("nobody").problem("operator-unknown", 401).await;
        for _ in 0..5 {
            wrong("cafe").problem("operator-unknown", 401).await;
        }
        wrong("cafe").problem("too-many-attempts", 429).await;
        ask(&rig, "totals", &json!({})).problem("too-many-attempts", 429).await;
    }

    fn ask<'a>(rig: &'a Rig, what: &str, fields: &Value) -> Sent<'a> {
        let mut body = fields.clone();
        (body["merchant"], body["pin"]) = (json!("cafe"), json!("2468"));
        Sent { request: rig.client.post(rig.url(&format!("merchant/{what}"))).json(&body), rig }
    }
}
