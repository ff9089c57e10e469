//! Staff at a lane: raise with a reason, take cash, correct a plate; and the books for the administrator.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::access::text_header;
use super::body::Body;
use super::problem::{Code, Problem};
use super::verbs::unavailable;
use super::{Tills, date, tickets};
use crate::domain::admission::table::NoEntry;
use crate::domain::event::{
    EmergencySource, Input, LaneId, OpId, Reply, StaffAct, StaffRefusal, StaffWish, StayId, Undo,
};
use crate::photos::{Arrival, PhotoId};
use crate::store::reader::BOOKS_TIMEOUT;

/// Longest reason: a sentence or two.
pub(super) const MOST_REASON_CHARS: usize = 200;
/// Longest name of a spend or transaction.
const MOST_SPEND_CHARS: usize = 128;
/// Longest operator id and PIN.
pub(super) const MOST_NAME_CHARS: usize = 64;

pub(super) type Answer = Result<Json<Value>, Problem>;
pub(super) type Given = Result<Bytes, BytesRejection>;

/// `POST /staff/lanes/{lane}/raise`.
pub(super) async fn raise(State(tills): State<Arc<Tills>>, Path(lane): Path<String>, body: Given) -> Answer {
    let allowed = ["operator", "pin", "reason", "plate", "unpaid", "second", "second_pin"];
    let body = Body::parse(body, &allowed)?;
    let operator = tills.operator_of(&body)?;
    let second = tills.second_of(&body, &operator)?;
    let reason = body.needed_text("reason", MOST_REASON_CHARS)?.to_owned();
    let debt = match body.text("unpaid", MOST_NAME_CHARS)? {
        None | Some("waive") => false,
        Some("debt") => true,
        Some(other) => return Err(Problem::field("unpaid", format!("{other:?}; waive and debt are allowed"))),
    };
    let what = StaffWish::Raise { reason, plate: body.plate("plate")?, debt, second };
    tills.act(&lane, operator, what).await
}

/// `POST /staff/lanes/{lane}/settle`.
pub(super) async fn settle(State(tills): State<Arc<Tills>>, Path(lane): Path<String>, body: Given) -> Answer {
    let body = Body::parse(body, &["operator", "pin", "fen"])?;
    let operator = tills.operator_of(&body)?;
    let what = StaffWish::Settle { fen: body.needed_fen("fen")? };
    tills.act(&lane, operator, what).await
}

/// `POST /staff/lanes/{lane}/stay`.
pub(super) async fn choose_stay(State(tills): State<Arc<Tills>>, Path(lane): Path<String>, body: Given) -> Answer {
    let body = Body::parse(body, &["operator", "pin", "stay", "reason"])?;
    let operator = tills.operator_of(&body)?;
    let stay = StayId(body.needed_text("stay", MOST_NAME_CHARS)?.to_owned());
    let reason = body.needed_text("reason", MOST_REASON_CHARS)?.to_owned();
    tills.act(&lane, operator, StaffWish::ChooseStay { stay, reason }).await
}

/// `POST /staff/lanes/{lane}/plate`.
pub(super) async fn correct_plate(State(tills): State<Arc<Tills>>, Path(lane): Path<String>, body: Given) -> Answer {
    let body = Body::parse(body, &["operator", "pin", "plate", "reason"])?;
    let operator = tills.operator_of(&body)?;
    let plate = body.plate("plate")?.ok_or_else(|| Problem::field("plate", "missing; the right plate is needed"))?;
    let reason = body.needed_text("reason", MOST_REASON_CHARS)?.to_owned();
    tills.act(&lane, operator, StaffWish::CorrectPlate { plate, reason }).await
}

/// `POST /staff/lanes/{lane}/no-entry`: what the waiting vehicle pays, whose entry nobody knows.
pub(super) async fn no_entry(State(tills): State<Arc<Tills>>, Path(lane): Path<String>, body: Given) -> Answer {
    let body = Body::parse(body, &["operator", "pin", "charge", "reason"])?;
    let operator = tills.operator_of(&body)?;
    let how = match body.needed_text("charge", MOST_NAME_CHARS)? {
        "day_max" => NoEntry::DayMax,
        "minimum" => NoEntry::Minimum,
        other => return Err(Problem::field("charge", format!("{other:?}; day_max and minimum are allowed"))),
    };
    let reason = body.needed_text("reason", MOST_REASON_CHARS)?.to_owned();
    tills.act(&lane, operator, StaffWish::ChargeWithoutEntry { how, reason }).await
}

/// `POST /staff/reversals`.
pub(super) async fn reverse(State(tills): State<Arc<Tills>>, body: Given) -> Answer {
    let body = Body::parse(body, &["operator", "pin", "spend", "reason"])?;
    let by = tills.operator_of(&body)?;
    tills.undo(&body, by).await
}

/// `GET /staff/lanes/{lane}/candidates`: the waiting vehicle and the stays that it may be, with the pictures to compare.
pub(super) async fn candidates(
    State(tills): State<Arc<Tills>>,
    Path(lane): Path<String>,
    headers: HeaderMap,
) -> Answer {
    tills.operator_in(&headers)?;
    let (lane, photos) = (tills.lane(&lane)?.clone(), tills.settings.photos.clone());
    let look = tills.settings.reader.look(move |view| {
        let Some(now) = view.lanes()?.into_iter().find(|row| row.lane == lane).map(|row| row.state) else {
            return Ok(None);
        };
        let (Some(visit), false) = (now.visit(), now.candidates().is_empty()) else { return Ok(None) };
        let mut found = Vec::new();
        for candidate in now.candidates() {
            let stay = view.stay(&candidate.stay)?.map(|row| row.stay);
            let entry = stay.as_ref().and_then(|stay| {
                let read = stay.entry_read.as_ref()?;
                Some(photos.of_entry(&stay.entry_lane, &read.event, stay.entry))
            });
            found.push(json!({
                "stay": candidate.stay,
                "plate": candidate.plate,
                "posterior_ppm": candidate.posterior_ppm,
                "second_factor": candidate.second_factor,
                "entry_lane": stay.as_ref().map(|stay| &stay.entry_lane),
                "entry_ms": stay.as_ref().map(|stay| stay.entry),
                "photos": pictures(&entry.unwrap_or_default()),
            }));
        }
        let of_the_exit = pictures(&photos.of_arrival(&lane, &visit.event));
        let read_ms = visit.captured;
        Ok(Some(
            json!({"lane": lane, "plate": visit.plate, "read_ms": read_ms, "photos": of_the_exit, "candidates": found}),
        ))
    });
    let found = look.await.map_err(|error| {
        tracing::warn!(%error, "could not look at the ledger file for a choice");
        Problem::new(Code::Busy, "the ledger cannot be read now; try again")
    })?;
    found.map(Json).ok_or_else(|| Problem::new(Code::NothingWaiting, "no vehicle waits for a choice in this lane"))
}

fn pictures(arrival: &Arrival) -> Value {
    let name = |photo: &Option<PhotoId>| photo.as_ref().map(ToString::to_string);
    json!({"scene": name(&arrival.scene), "plate": name(&arrival.plate)})
}

/// `GET /staff/photos/{id}`: the whole picture. Who looked at which is told to the log.
pub(super) async fn photo(
    State(tills): State<Arc<Tills>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let operator = tills.operator_in(&headers)?;
    let gone = || Problem::new(Code::PhotoUnknown, "no picture of that name; it may have been forgotten in time");
    let id: PhotoId = id.parse().map_err(|_| gone())?;
    let picture = tills.settings.photos.full(id.clone()).await.map_err(|error| {
        tracing::warn!(%error, "a picture cannot be read");
        Problem::new(Code::Internal, "the box could not read the picture; its log says why")
    })?;
    let picture = picture.ok_or_else(gone)?;
    tracing::info!(operator, photo = %id, "a picture was looked at");
    // It may show a plate and a person: no browser keeps it.
    let headers = [
        (header::CONTENT_TYPE, "image/jpeg"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'"),
    ];
    Ok((headers, picture).into_response())
}

/// `POST /staff/emergency`: raises and holds every barrier, or ends what staff have called.
pub(super) async fn emergency(State(tills): State<Arc<Tills>>, body: Given) -> Answer {
    let body = Body::parse(body, &["operator", "pin", "active", "reason"])?;
    let operator = tills.operator_of(&body)?;
    let reason = body.needed_text("reason", MOST_REASON_CHARS)?.to_owned();
    let active = body.needed_truth("active")?;
    let late = "the box has not answered yet; look at the lanes before you do it again";
    tills.decided(Input::Emergency { source: EmergencySource::Staff { operator, reason }, active }, late).await
}

/// `GET /staff/books`.
pub(super) async fn books(State(tills): State<Arc<Tills>>, headers: HeaderMap) -> Result<Response, Problem> {
    tills.operator_in(&headers)?;
    let look = tills.settings.reader.look_within(BOOKS_TIMEOUT, |view| {
        let books = view.books()?;
        Ok(serde_json::to_vec(&books).expect("the books are plain texts and numbers, which are always JSON"))
    });
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, look.await?).into_response())
}

impl Tills {
    /// The second person, where there is one: somebody else than the first.
    pub(super) fn second_of(&self, body: &Body, operator: &str) -> Result<Option<String>, Problem> {
        let Some(second) = body.text("second", MOST_NAME_CHARS)? else { return Ok(None) };
        if second == operator {
            return Err(Problem::field("second", "the same person; another one is needed"));
        }
        self.operator(second, body.needed_text("second_pin", MOST_NAME_CHARS)?).map(Some)
    }

    pub(super) fn operator_of(&self, body: &Body) -> Result<String, Problem> {
        let operator = body.needed_text("operator", MOST_NAME_CHARS)?;
        self.operator(operator, body.needed_text("pin", MOST_NAME_CHARS)?)
    }

    pub(super) fn operator_in(&self, headers: &HeaderMap) -> Result<String, Problem> {
        let needed =
            || Problem::new(Code::OperatorUnknown, "the headers Gatepost-Operator and Gatepost-Pin are needed");
        let operator = text_header(headers, "gatepost-operator").ok_or_else(needed)?;
        self.operator(operator, text_header(headers, "gatepost-pin").ok_or_else(needed)?)
    }

    pub(super) async fn act(&self, lane: &str, operator: String, what: StaffWish) -> Answer {
        let act = StaffAct { lane: self.lane(lane)?.clone(), operator, what };
        self.decided(Input::Staff(act), "the box has not answered yet; look at the lane before you do it again").await
    }

    pub(super) fn lane(&self, name: &str) -> Result<&LaneId, Problem> {
        self.settings.lanes.iter().find(|known| known.as_str() == name).ok_or_else(|| {
            let known: Vec<&str> = self.settings.lanes.iter().map(LaneId::as_str).collect();
            Problem::new(Code::LaneUnknown, format!("no lane of that name; there are {}", known.join(", ")))
        })
    }

    /// Undoing is the same however often it is asked for, so a repeat needs no key of its own.
    async fn undo(&self, body: &Body, by: String) -> Answer {
        let of = OpId::from(body.needed_text("spend", MOST_SPEND_CHARS)?);
        let reason = body.needed_text("reason", MOST_REASON_CHARS)?.to_owned();
        let late = "the box has not answered yet; ask for the same again";
        self.decided(Input::Undo(Undo { of, by, reason }), late).await
    }

    /// Puts what staff want in line and waits for the answer.
    pub(super) async fn decided(&self, input: Input, detail: &'static str) -> Answer {
        let reply = self.settings.handle.try_submit(input).map_err(unavailable)?;
        let unknown = || Problem::new(Code::AnswerLate, detail).with_unknown_outcome();
        let reply = tokio::time::timeout(self.settings.answer_timeout, reply).await.map_err(|_| unknown())?;
        match reply.map_err(|_| unknown())? {
            Reply::Staff(Ok(text)) => Ok(Json(json!({"done": true, "text": text}))),
            Reply::Ticket(ticket) => Ok(tickets::printed(&self.settings.ticket_key, &ticket)),
            Reply::Staff(Err(StaffRefusal::SecondNeeded { fen })) => {
                let detail = format!(
                    "{} fen would be let go: second and second_pin of another operator are needed, or unpaid: debt",
                    fen.0
                );
                Err(Problem::new(Code::SecondNeeded, detail).with("let_go_fen", fen.0))
            }
            Reply::Staff(Err(StaffRefusal::PointsSecondNeeded { points })) => {
                let detail =
                    format!("{} points, or so many of one person on one day, need second and second_pin", points.0);
                Err(Problem::new(Code::SecondNeeded, detail))
            }
            Reply::Staff(Err(StaffRefusal::NotThatWay { why })) => Err(Problem::new(Code::NotThatWay, why)),
            Reply::Staff(Err(StaffRefusal::NothingWaiting)) => {
                Err(Problem::new(Code::NothingWaiting, "no vehicle waits in this lane"))
            }
            Reply::Staff(Err(StaffRefusal::AmountMismatch { due })) => {
                Err(Problem::new(Code::AmountMismatch, format!("fen: what is due is {} fen", due.0))
                    .with("due_fen", due.0))
            }
            Reply::Staff(Err(StaffRefusal::NotPossible)) => Err(Problem::field(
                "stay",
                "not among the stays that the waiting vehicle may be; look at the lane again",
            )),
            Reply::Staff(Err(StaffRefusal::SpentElsewhere)) => {
                let detail = "spend: this box's journal holds no such spend; where another box or the cloud ledger made \
                              it, only that one can undo it, because two could otherwise give the same points back";
                Err(Problem::new(Code::SpendElsewhere, detail))
            }
            Reply::Staff(Err(StaffRefusal::EpochEnded)) => {
                let detail =
                    "spend: this box has begun a new epoch since; the cloud ledger undoes what it spent before";
                Err(Problem::new(Code::SpendElsewhere, detail))
            }
            Reply::Staff(Err(StaffRefusal::BusyAtLane)) => {
                let detail =
                    "the vehicle whose parking the points paid stands at a lane now; ask again when it has gone";
                Err(Problem::new(Code::BusyAtLane, detail))
            }
            Reply::Staff(Err(StaffRefusal::RulesRefused { why })) => Err(Problem::new(Code::RulesRefused, why)),
            Reply::Staff(Err(StaffRefusal::DayRefused { first: None })) => {
                Err(Problem::new(Code::DayOpen, "day: it is not over; a day of the past can be closed"))
            }
            Reply::Staff(Err(StaffRefusal::DayRefused { first: Some(first) })) => {
                let detail = format!("day: {} is not closed yet; the days are closed one after the other", date(first));
                Err(Problem::new(Code::DayOpen, detail))
            }
            Reply::Done | Reply::Till(_) => {
                tracing::error!("the loop answered staff with another's reply");
                Err(Problem::new(Code::Internal, "the box gave no answer for staff").with_unknown_outcome())
            }
        }
    }
}
