//! What a till should know without asking: the box's mode and its rules, told whenever one of them changes; members who
//! come, for tills that may know; and what its own shop has given to a stay.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::Tills;
use super::access::Terminal;
use super::problem::{Code, Problem};
use super::verbs::BoxState;
use crate::domain::event::{StayId, TerminalId};
use crate::store::reader::news::News;

/// How often the mode is looked at: half a second is faster than a cashier turns her head.
const LOOK: Duration = Duration::from_millis(500);
/// How often a quiet stream says that it lives, and looks whether its till may still ask.
const BEAT: Duration = Duration::from_secs(15);
/// How long a till waits before it opens a stream again.
const RETRY: Duration = Duration::from_secs(2);
/// Streams of one till: one that lost its line may have left some behind.
const MOST_STREAMS: usize = 4;
/// Messages that wait for a slow till; the stream then waits too and tells what is newest afterwards.
const MOST_WAITING: usize = 8;

/// News that wait for a slow till; it misses what is older, and may ask.
pub(super) const MOST_TOLD: usize = 256;
/// Entries that are looked at in one go: more than half a second of the busiest site.
const MOST_ENTRIES: usize = 500;
/// Arrivals that are remembered, so that a vehicle whose fee is reckoned again is not told again; the stays of some hours.
const MOST_ARRIVALS: usize = 10_000;

/// Looks at the box's state and its journal until the process ends.
pub(super) async fn keep(tills: Arc<Tills>) {
    let mut journal = Followed::default();
    loop {
        // As above: what could not be read now is read with the next look.
        let _ = journal.follow(&tills).await;
        // A ledger that cannot be read now is looked at again; until then the last state stands.
        if let Ok(state) = tills.box_state().await {
            tills.news.send_if_modified(|last| last.replace(state) != Some(state));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// How far the journal was followed, and which arrivals were told.
#[derive(Default)]
struct Followed {
    entry: Option<u64>,
    arrivals: BTreeSet<(StayId, bool)>,
}

impl Followed {
    async fn follow(&mut self, tills: &Tills) -> Result<(), Problem> {
        let since = self.entry.filter(|_| tills.told.receiver_count() > 0);
        let Some(since) = since else {
            // Nobody listens: what comes from now on is told to who comes.
            self.entry = Some(tills.settings.reader.look(|view| view.newest_entry()).await?);
            return Ok(());
        };
        let (news, last) = tills.settings.reader.look(move |view| view.news_since(since, MOST_ENTRIES)).await?;
        self.entry = Some(last);
        for one in news {
            if self.is_new(&one) {
                // The last listener may have gone.
                let _ = tills.told.send(Arc::new(one));
            }
        }
        Ok(())
    }

    fn is_new(&mut self, news: &News) -> bool {
        let News::Arrived { stay, at_exit, .. } = news else { return true };
        if self.arrivals.len() >= MOST_ARRIVALS {
            self.arrivals.clear();
        }
        self.arrivals.insert((stay.clone(), *at_exit))
    }
}

/// `GET /events`: begins with what is so now, so that a till that comes back after a break misses nothing.
pub(super) async fn events(State(tills): State<Arc<Tills>>, headers: HeaderMap) -> Result<Response, Problem> {
    let terminal = tills.terminal(&headers).await?;
    let place = Place::take(&tills, &terminal.id)?;
    let (send, receive) = mpsc::channel(MOST_WAITING);
    tokio::spawn(async move {
        // The till has gone, or may ask no more.
        let _ = feed(&place.tills, &terminal, &send).await;
    });
    Ok(Sse::new(ReceiverStream::new(receive)).into_response())
}

type Sender = mpsc::Sender<Result<Event, Infallible>>;

async fn feed(tills: &Tills, terminal: &Terminal, send: &Sender) -> Result<(), Ended> {
    let (mut news, mut heard) = (tills.news.subscribe(), tills.told.subscribe());
    let mut told: BTreeMap<&str, Value> = BTreeMap::new();
    send.send(Ok(Event::default().retry(RETRY).comment("here"))).await?;
    loop {
        let state = *news.borrow_and_update();
        for (name, data) in state.iter().flat_map(|state| parts(*state)) {
            if told.get(name) != Some(&data) {
                send.send(Ok(Event::default().event(name).data(data.to_string()))).await?;
                told.insert(name, data);
            }
        }
        tokio::select! {
            changed = news.changed() => changed.map_err(|_| Ended)?,
            one = heard.recv() => match one {
                Ok(one) => if let Some((name, data)) = tills.for_till(&terminal.id, terminal.merchant.as_deref(), &one) {
                    send.send(Ok(Event::default().event(name).data(data.to_string()))).await?;
                },
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return Err(Ended),
            },
            () = tokio::time::sleep(BEAT) => send.send(Ok(Event::default().comment("beat"))).await?,
            () = send.closed() => return Err(Ended),
        }
        if !matches!(tills.terminal_named(terminal.id.as_str()).await, Ok(Some(known)) if known == *terminal) {
            return Err(Ended);
        }
    }
}

impl Tills {
    /// What of the news a till may hear, as it hears it: neither plate nor a name by which anything could be earned.
    pub(super) fn for_till(
        &self,
        terminal: &TerminalId,
        shop: Option<&str>,
        news: &News,
    ) -> Option<(&'static str, Value)> {
        match news {
            News::Arrived { handle, tier, at_exit, .. } => {
                let place = if *at_exit { "exit" } else { "entry" };
                self.hears_arrivals(shop)
                    .then(|| ("member.arrived", json!({"handle": handle, "tier": tier, "at": place})))
            }
            News::Validated { stay, validation, kind, merchant } => {
                // A till that stands in no shop gives in its own name.
                let own = shop.unwrap_or(terminal.as_str());
                let data = || json!({"stay": stay, "validation": validation, "kind": kind, "merchant": merchant});
                (own == merchant).then(|| ("parking.validated", data()))
            }
        }
    }
}

/// The events that a state is.
fn parts(state: BoxState) -> [(&'static str, Value); 2] {
    [("mode", state.to_json()), ("rules", json!({"rules_version": state.rules}))]
}

/// Nobody listens any more.
struct Ended;

impl<T> From<mpsc::error::SendError<T>> for Ended {
    fn from(_: mpsc::error::SendError<T>) -> Self {
        Self
    }
}

/// A till's place among the streams; free again when dropped.
struct Place {
    tills: Arc<Tills>,
    terminal: TerminalId,
}

impl Place {
    fn take(tills: &Arc<Tills>, terminal: &TerminalId) -> Result<Self, Problem> {
        let mut streams = tills.streams.lock().unwrap_or_else(PoisonError::into_inner);
        let open = streams.entry(terminal.clone()).or_default();
        if *open >= MOST_STREAMS {
            let detail = format!("this till has {MOST_STREAMS} streams open already; one is enough");
            return Err(Problem::new(Code::TooManyRequests, detail));
        }
        *open += 1;
        Ok(Self { tills: Arc::clone(tills), terminal: terminal.clone() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut streams = self.tills.streams.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = streams.get_mut(&self.terminal) {
            *open -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tills::rig::{Rig, as_till};

    #[tokio::test]
    async fn a_desk_hears_who_comes_a_shop_what_it_gave_and_nobody_else_anything() {
        let rig = Rig::new().await;
        let mut streams = Vec::new();
        for (id, token) in [("D1", "token-d"), ("T3", "token-3"), ("T1", "token-1")] {
            let request = as_till(rig.client.get(rig.url("events")), id, token);
            let mut heard = Heard { stream: request.send().await.expect("a stream"), text: String::new() };
            heard.until("event: mode").await;
            streams.push(heard);
        }
        let [desk, shop, other] = &mut streams[..] else { panic!("three streams") };
        rig.sample(|sample| {
            sample.run("UPDATE stay SET member = 'M2002' WHERE stay = 'S1-3'", []);
            let opened = |member: &str| {
                json!({"kind": "stay_opened", "stay": {"id": "S1-90", "plate": "粤B12345", "member": member,
                    "state": "pending_entry", "entry_lane": "E1", "entry": 0, "rules": 1, "fee": null, "paid": 0,
                    "paid_at": null}})
            };
            let exiting = |stay: &str| {
                json!({"kind": "stay_exiting", "stay": stay, "lane": "X1", "at": 0, "fee": {"total": 0, "lines": []}})
            };
            let given = json!({"kind": "validation_given", "op": "o", "stay": "S1-2", "validation": {"id": "o",
                "kind": "lunch", "merchant": "cafe", "operator": null, "spend": 0}});
            sample.decided(&json!([opened("M1001"), opened("M2002"), exiting("S1-3"), given]));
            sample.decided(&json!([exiting("S1-2"), exiting("S1-2"), {"kind": "started", "lane": "X1"}]));
        });
        desk.until("\"at\":\"exit\"").await;
        shop.until("event: parking.validated").await;
        rig.cloud_is_up.store(true, std::sync::atomic::Ordering::Relaxed);
        for heard in [desk, shop, other] {
            heard.until("\"online\"").await;
        }
        let told = |heard: &Heard, name: &str| heard.text.matches(&format!("event: {name}\n")).count();
        let counts: Vec<_> =
            streams.iter().map(|heard| (told(heard, "member.arrived"), told(heard, "parking.validated"))).collect();
        assert_eq!(counts, [(2, 0), (0, 1), (0, 0)], "once in and once at the exit; who has not agreed is nobody");
        let desk = &streams[0].text;
        assert!(desk.contains(r#"{"at":"entry","handle":"王**","tier":"gold"}"#), "{desk}");
        for hidden in ["M1001", "M2002", "李", "粤B", "S1-90"] {
            assert!(!desk.contains(hidden), "{hidden}: {desk}");
        }
        assert!(streams[1].text.contains(r#""kind":"lunch","merchant":"cafe","stay":"S1-2""#), "{}", streams[1].text);
    }

    struct Heard {
        stream: reqwest::Response,
        text: String,
    }

    impl Heard {
        async fn until(&mut self, words: &str) {
            let told = async {
                while !self.text.contains(words) {
                    let chunk = self.stream.chunk().await.expect("a line").expect("it goes on");
                    self.text.push_str(&String::from_utf8_lossy(&chunk));
                }
            };
            let told = tokio::time::timeout(Duration::from_secs(10), told).await;
            told.unwrap_or_else(|_| panic!("{words}: {}", self.text));
        }
    }
}
