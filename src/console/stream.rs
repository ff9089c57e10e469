//! The live stream: whenever the ledger has changed, the parts of the page that look different are sent again.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;

use super::page::{Part, parts};
use super::words::Lang;
use super::{Asked, Console};

/// Between two looks of one stream: ten pictures a second are more than an eye can follow.
pub(super) const PACE: Duration = Duration::from_millis(100);
/// How often a quiet stream says that it is alive; the page calls the line lost after two and a half of these.
const BEAT: Duration = Duration::from_secs(15);
/// How long a browser waits before it comes back.
const RETRY: Duration = Duration::from_millis(1000);
/// How many messages wait for a slow browser; the stream then waits too and sends what is newest afterwards.
const MOST_WAITING: usize = 8;

/// `GET /console/events`.
pub(super) async fn events(
    State(console): State<Arc<Console>>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Response {
    let Ok(permit) = console.streams.clone().try_acquire_owned() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "too many open pages").into_response();
    };
    let (send, receive) = mpsc::channel(MOST_WAITING);
    tokio::spawn(feed(console, asked.lang(&headers), send, permit));
    Sse::new(ReceiverStream::new(receive)).into_response()
}

type Sender = mpsc::Sender<Result<Event, Infallible>>;

/// Sends until the browser has gone or the loop has ended. Every stream begins with the whole picture, so a browser
/// that comes back after a break misses nothing.
async fn feed(console: Arc<Console>, lang: Lang, send: Sender, _permit: OwnedSemaphorePermit) {
    let (mut versions, mut photos) = (console.settings.versions.clone(), console.settings.photos.changes());
    let mut shown = BTreeMap::new();
    loop {
        let looked = Instant::now();
        let version = *versions.borrow_and_update();
        photos.borrow_and_update();
        if let Some(parts) = console.look(lang).await
            && send_changed(&send, version, parts, &mut shown).await.is_err()
        {
            return;
        }
        if send.send(Ok(Event::default().event("beat").data(version.to_string()).retry(RETRY))).await.is_err() {
            return;
        }
        tokio::select! {
            changed = versions.changed() => if changed.is_err() { return },
            // The pictures never end before the page.
            Ok(()) = photos.changed() => {}
            () = tokio::time::sleep(BEAT) => {}
            () = send.closed() => return,
        }
        tokio::time::sleep_until(looked + PACE).await;
    }
}

async fn send_changed(
    send: &Sender,
    version: u64,
    parts: Vec<Part>,
    shown: &mut BTreeMap<String, String>,
) -> Result<(), mpsc::error::SendError<Result<Event, Infallible>>> {
    for part in parts {
        if shown.get(&part.id) == Some(&part.html) {
            continue;
        }
        let data = json!({"id": part.id, "html": part.html}).to_string();
        send.send(Ok(Event::default().event("part").id(version.to_string()).data(data))).await?;
        shown.insert(part.id, part.html);
    }
    Ok(())
}

impl Console {
    /// The parts as they look now; none where the ledger file cannot be read at the moment.
    async fn look(&self, lang: Lang) -> Option<Vec<Part>> {
        match self.picture().await {
            Ok(picture) => Some(parts(&picture, lang, &self.settings.zone)),
            Err(error) => {
                tracing::warn!(error = %error, "could not look at the ledger file for a page");
                None
            }
        }
    }
}
