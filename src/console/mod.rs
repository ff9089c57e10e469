//! The web page of the box: lanes live, what each fee was and why, and a guard's buttons.

mod candidates;
mod care;
mod day;
mod devices;
mod lane;
mod ledger;
mod office;
mod page;
mod photo;
mod picture;
#[cfg(test)]
mod rig;
mod stream;
mod take;
#[cfg(test)]
mod tests;
mod words;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::{Semaphore, watch};

use crate::metrics::Metrics;
use crate::photos::Photos;
use crate::store::reader::{ReadError, Reader, View};

pub use picture::LaneSign;

use picture::Picture;
use words::Lang;

/// How many pages may be open at once: booths, a wallboard and a few desks.
const MOST_STREAMS: usize = 24;
/// What a page may load: its own files, and nothing written into the page itself. A whole picture comes with a PIN in
/// the request's head, so it is shown out of the page's memory.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' \
                      blob:; form-action 'none'; base-uri 'none'; frame-ancestors 'none'";

/// Tells how many bays there are where.
pub type Spaces = Arc<dyn Fn() -> Vec<(String, u32)> + Send + Sync>;

/// What the room needs; `main` puts it together.
#[derive(Clone)]
pub struct Settings {
    /// The way to look at the ledger file.
    pub reader: Reader,
    /// The pictures of arrivals.
    pub photos: Photos,
    /// How the devices are.
    pub metrics: Arc<Metrics>,
    /// The lanes, in the order of the page.
    pub lanes: Vec<LaneSign>,
    /// Counts the commits of the loop.
    pub versions: watch::Receiver<u64>,
    /// Whether the line to the cloud is up.
    pub cloud_is_up: Arc<AtomicBool>,
    /// The bays of the car park (the empty name) and of its inner lots, where the rules in force count them.
    pub spaces: Spaces,
    /// The site's time zone.
    pub zone: jiff::tz::TimeZone,
    /// The site's name on the page.
    pub site: String,
}

struct Console {
    settings: Settings,
    streams: Arc<Semaphore>,
}

/// What an address may ask for.
#[derive(Debug, Deserialize)]
struct Asked {
    lang: Option<String>,
}

impl Asked {
    fn lang(&self, headers: &HeaderMap) -> Lang {
        let accept = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
        Lang::choose(self.lang.as_deref(), accept)
    }
}

/// The page at `/`, its files and stream below `/console`, and `/healthz`.
pub fn router(settings: Settings) -> Router {
    let console = Arc::new(Console { settings, streams: Arc::new(Semaphore::new(MOST_STREAMS)) });
    Router::new()
        .route("/", get(index))
        .route("/console/events", get(stream::events))
        .route("/console/photos/{id}", get(photo::small))
        .route("/console/app.css", get(async || asset("text/css; charset=utf-8", include_str!("app.css"))))
        .route("/console/app.js", get(async || asset("text/javascript; charset=utf-8", include_str!("app.js"))))
        .route("/console/icon.svg", get(async || asset("image/svg+xml", include_str!("icon.svg"))))
        .route("/healthz", get(health))
        .layer(middleware::from_fn(guard_headers))
        .with_state(console)
}

async fn index(State(console): State<Arc<Console>>, Query(asked): Query<Asked>, headers: HeaderMap) -> Response {
    match console.picture().await {
        Ok(picture) => {
            let settings = &console.settings;
            page::page(&picture, asked.lang(&headers), &settings.zone, &settings.site).into_response()
        }
        Err(error) => {
            tracing::warn!(error = %error, "could not look at the ledger file for a page");
            (StatusCode::SERVICE_UNAVAILABLE, "账本暂时无法读取，请稍后再试 · the ledger cannot be read now; try again")
                .into_response()
        }
    }
}

async fn health(State(console): State<Arc<Console>>) -> Response {
    match console.settings.reader.look(|view| view.head()).await {
        Ok(head) => Json(json!({"ok": true, "seq": head.seq})).into_response(),
        Err(error) => {
            tracing::warn!(error = %error, "could not look at the ledger file for a health check");
            (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"ok": false, "why": error.to_string()}))).into_response()
        }
    }
}

fn asset(kind: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

async fn guard_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

impl Console {
    async fn picture(&self) -> Result<Picture, ReadError> {
        let (signs, photos) = (self.settings.lanes.clone(), self.settings.photos.clone());
        let cloud_is_up = self.settings.cloud_is_up.load(Ordering::Relaxed);
        let devices = self.settings.metrics.health.all();
        let spaces = (self.settings.spaces)();
        let look = move |view: &View<'_>| Picture::take(view, &signs, &photos, cloud_is_up, &spaces);
        Ok(Picture { devices, ..self.settings.reader.look(look).await? })
    }
}
