//! The pictures on the page: the small one of a vehicle that stands in a lane, and the whole one for who has a PIN.
//!
//! The page has no login, and shows a plate in full only while its vehicle stands in a lane, or while it is one of those
//! that a vehicle in a lane may be. A picture shows the plate too, so the same holds for it: the small one is given for
//! the vehicle in the lane and for the entries that a guard compares with it, and for no other. Everything else,
//! the whole picture and those of vehicles that have gone, asks for operator and PIN.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};

use super::Console;
use super::picture::LanePicture;
use super::words::Lang;
use crate::domain::lane::Visit;
use crate::domain::plate::told::End;
use crate::photos::{Arrival, PhotoId, Tag};

/// The id of the part with a lane's pictures.
pub(super) fn id(number: usize) -> String {
    format!("lane-{number}-photos")
}

/// The pictures of the vehicle in the lane.
pub(super) fn of_lane(number: usize, lane: &LanePicture, lang: Lang) -> Markup {
    let whole = lang.pick("看整张照片", "See the whole picture");
    let are_two = lane.photos.iter().any(|seen| seen.end() == Some(End::Rear));
    html! {
        div.photos #(id(number)) {
            @for seen in &lane.photos {
                figure {
                    @if are_two { figcaption { (camera(seen, lang)) } }
                    @if let Some(scene) = &seen.scene {
                        button type="button" data-photo=(scene) title=(whole) {
                            (picture(scene, lang.pick("车道照片", "Picture of the lane")))
                        }
                    }
                    @if let Some(plate) = &seen.plate {
                        button.crop type="button" data-photo=(plate) title=(whole) {
                            (picture(plate, lang.pick("车牌特写", "Picture of the plate")))
                        }
                    }
                }
            }
        }
    }
}

fn camera(seen: &Arrival, lang: Lang) -> &'static str {
    match seen.end() {
        Some(End::Front) | None => lang.pick("前置相机", "Front camera"),
        Some(End::Rear) => lang.pick("后置相机", "Rear camera"),
    }
}

/// The page's program asks for it a moment later: a vehicle that has left by then is not asked for, because its picture
/// would not be given.
fn picture(photo: &PhotoId, words: &str) -> Markup {
    html! { img data-src={ "/console/photos/" (photo) } alt=(words); }
}

/// The picture of the entry of a stay that a guard may choose.
pub(super) fn of_entry(photos: &Arrival, lang: Lang) -> Markup {
    let whole = lang.pick("看整张照片", "See the whole picture");
    html! {
        @if let Some(photo) = photos.scene.as_ref().or(photos.plate.as_ref()) {
            button.entry type="button" data-photo=(photo) title=(whole) {
                (picture(photo, lang.pick("入场照片", "Picture of the entry")))
            }
        }
    }
}

/// The way to the whole picture of an arrival that was read before.
pub(super) fn button(photos: &Arrival, lang: Lang) -> Markup {
    html! {
        @if let Some(photo) = photos.scene.as_ref().or(photos.plate.as_ref()) {
            button type="button" data-photo=(photo) { (lang.pick("照片", "Picture")) }
        }
    }
}

/// Where the whole picture is shown.
pub(super) fn whole(lang: Lang) -> Markup {
    html! {
        dialog #photo aria-label=(lang.pick("照片", "Picture")) {
            img alt=(lang.pick("照片", "Picture")) hidden;
            output.answer role="status" hidden {}
            form method="dialog" { button type="submit" { (lang.pick("关闭", "Close")) } }
        }
    }
}

/// `GET /console/photos/{id}`: the small picture of a vehicle that stands in a lane now.
pub(super) async fn small(State(console): State<Arc<Console>>, Path(id): Path<String>) -> Response {
    let none = || (StatusCode::NOT_FOUND, "没有这张照片 · no such picture").into_response();
    let Ok(id) = id.parse::<PhotoId>() else { return none() };
    match console.stands_there(&id).await {
        Ok(true) => {}
        Ok(false) => return none(),
        Err(error) => {
            tracing::warn!(error = %error, "could not look at the ledger file for a picture");
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
    }
    match console.settings.photos.small(id).await {
        Ok(Some(picture)) => ([(header::CONTENT_TYPE, "image/jpeg")], picture).into_response(),
        Ok(None) => none(),
        Err(error) => {
            tracing::warn!(%error, "a picture cannot be read");
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
    }
}

impl Console {
    async fn stands_there(&self, id: &PhotoId) -> Result<bool, crate::store::reader::ReadError> {
        let (lane, tag) = (id.lane().clone(), id.tag().clone());
        let arrival = tag.clone();
        let is_there = move |visit: &Visit| visit.all_events().any(|event| Tag::of(event) == arrival);
        self.settings
            .reader
            .look(move |view| {
                let lanes = view.lanes()?;
                let now = lanes.iter().find(|row| row.lane == lane);
                if now.and_then(|row| row.state.visit()).is_some_and(is_there) {
                    return Ok(true);
                }
                for candidate in lanes.iter().flat_map(|row| row.state.candidates()) {
                    let stay = view.stay(&candidate.stay)?.map(|row| row.stay);
                    let read = stay.as_ref().filter(|stay| stay.entry_lane == lane);
                    let read = read.and_then(|stay| stay.entry_read.as_ref());
                    if read.is_some_and(|read| Tag::of(&read.event) == tag) {
                        return Ok(true);
                    }
                }
                Ok(false)
            })
            .await
    }
}
