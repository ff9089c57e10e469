//! Tickets: a vehicle without a readable plate comes in under a number, and its driver shows it again at the exit.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use serde_json::{Value, json};

use super::Tills;
use super::access::{Secret, idempotency_key};
use super::body::Body;
use super::problem::Problem;
use super::staff::{Answer, Given, MOST_NAME_CHARS};
use crate::domain::event::StaffWish;
use crate::domain::plate::Plate;

/// What a ticket's QR code begins with.
const PREFIX: &str = "GPT1:";
/// Longest text that a scanner may send.
const MOST_SCAN_CHARS: usize = 200;

/// `POST /tickets`: a kiosk at an entry wants a ticket for the vehicle that waits there without a plate.
pub(super) async fn issue(State(tills): State<Arc<Tills>>, headers: HeaderMap, body: Given) -> Answer {
    let by = format!("terminal {}", tills.terminal(&headers).await?.id);
    idempotency_key(&headers)?;
    let body = Body::parse(body, &["lane"])?;
    let lane = body.needed_text("lane", MOST_NAME_CHARS)?;
    tills.act(lane, by, StaffWish::IssueTicket).await
}

/// `POST /tickets/scans`: a kiosk at an exit has read a ticket.
pub(super) async fn scan(State(tills): State<Arc<Tills>>, headers: HeaderMap, body: Given) -> Answer {
    let by = format!("terminal {}", tills.terminal(&headers).await?.id);
    idempotency_key(&headers)?;
    let body = Body::parse(body, &["lane", "qr"])?;
    let ticket = ticket_of(&tills.settings.ticket_key, body.needed_text("qr", MOST_SCAN_CHARS)?)
        .ok_or_else(|| Problem::field("qr", "not a ticket of this box"))?;
    let lane = body.needed_text("lane", MOST_NAME_CHARS)?;
    tills.act(lane, by, StaffWish::ShowTicket { ticket }).await
}

/// `POST /staff/lanes/{lane}/ticket`: a guard gives a ticket out, or types the number of one that is shown.
pub(super) async fn by_guard(State(tills): State<Arc<Tills>>, Path(lane): Path<String>, body: Given) -> Answer {
    let body = Body::parse(body, &["operator", "pin", "ticket"])?;
    let operator = tills.operator_of(&body)?;
    let what = match body.plate("ticket")? {
        None => StaffWish::IssueTicket,
        Some(ticket) => StaffWish::ShowTicket { ticket },
    };
    tills.act(&lane, operator, what).await
}

/// What the driver gets: the number, and the text of the QR code.
pub(super) fn printed(key: &Secret, ticket: &Plate) -> Json<Value> {
    let qr = qr_of(key, ticket);
    Json(json!({"done": true, "text": format!("the vehicle is {ticket}"), "ticket": ticket, "qr": qr}))
}

fn qr_of(key: &Secret, ticket: &Plate) -> String {
    format!("{PREFIX}{ticket}:{}", key.name_for(ticket.as_str()))
}

/// The ticket of a QR code, where this box made it.
pub(super) fn ticket_of(key: &Secret, qr: &str) -> Option<Plate> {
    let (number, seal) = qr.strip_prefix(PREFIX)?.split_once(':')?;
    let ticket: Plate = number.parse().ok().filter(Plate::is_ticket)?;
    Secret::from(key.name_for(ticket.as_str()).as_str()).is(seal).then_some(ticket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_boxs_tickets_are_taken() {
        let key = Secret::from("the box's own");
        let ticket = Plate::of_ticket(42);
        let qr = qr_of(&key, &ticket);
        assert_eq!(ticket_of(&key, &qr), Some(ticket));
        assert_eq!(ticket_of(&key, &qr.replace("00042", "00043")), None, "another number needs another seal");
        assert_eq!(ticket_of(&Secret::from("another"), &qr), None);
        assert_eq!(ticket_of(&key, "GPT1:粤B12345:00"), None);
        assert_eq!(ticket_of(&key, "http://example.org"), None);
    }
}
