//! The cloud ledger's client: the journal goes up, the feed and the grants come down, and neither waits for the other.

mod answer;
pub mod identity;
pub mod restore;
mod upload;
pub mod wire;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use serde::Deserialize;
use tokio::sync::watch;
use tracing::{info, warn};

use crate::domain::event::{CloudNews, Input, UtcMs};
use crate::site::Handle;
use crate::store::reader::{Reader, View};
pub use answer::{Cursor, StoredPage};
use identity::Identity;
pub use identity::{derived_secret, ledger_key};
use wire::{Cloud, Failure};

/// Entries in one upload, as `docs/cloud-api.md` allows.
const BATCH_ENTRIES: usize = 500;
/// Bytes in one upload: below the ledger's limit of 4 MiB with room for the envelope, in which every quote of an entry
/// takes two bytes.
const BATCH_BYTES: usize = 2 << 20;
/// Changes in one page of the feed.
const PAGE_CHANGES: usize = 500;
/// Requests for grants looked at in one round.
const ROUND_REQUESTS: usize = 64;
/// How often the feed is asked for when it had nothing more.
const FEED_PERIOD: Duration = Duration::from_secs(1);
/// How often the feed's silence is told: until then the ledger's word about members and campaigns is complete.
const HEARD_PERIOD: Duration = Duration::from_secs(600);
/// Members at home here who are looked at in one go.
const ROUND_HOMES: usize = 200;
/// How often the members at home here are looked at: a member whom the ledger could give nothing is asked for again then.
const HOMES_PERIOD: Duration = Duration::from_secs(300);
/// How often the ledger's time is reckoned on, and kept: a box that is off for a while loses no more of it.
const TICK_PERIOD: Duration = Duration::from_secs(30);
/// How often the ledger is greeted when there is nothing to upload, so that a doubt is noticed in time.
const GREETING_PERIOD: Duration = Duration::from_secs(30);
/// How much of a refusal's words staff are told.
const REASON_CHARS: usize = 300;
/// The first wait after a failure; doubled up to `retry_max_s`.
const RETRY_FIRST: Duration = Duration::from_millis(250);

/// `[cloud]`: where the ledger is.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CloudConfig {
    /// Its address, such as <https://ledger.example/>
    pub url: String,
    /// The file that holds this box's enrolment token, on one line.
    pub token_file: PathBuf,
    /// The file in which this box keeps its keys; beside the ledger file where it is not given.
    pub key_file: Option<PathBuf>,
    /// The ledger's public key in base64; learned at the enrolment where it is not given.
    pub ledger_key: Option<String>,
    /// The longest wait between two tries, in seconds; 30 where it is not given.
    #[serde(default = "retry_max_s")]
    pub retry_max_s: u32,
}

fn retry_max_s() -> u32 {
    30
}

/// What the room needs; `main` puts it together.
pub struct Settings {
    /// Where the ledger is.
    pub cloud: CloudConfig,
    /// This box's name.
    pub box_id: String,
    /// Where this box's keys are kept.
    pub key_file: PathBuf,
    /// The way into the loop.
    pub handle: Handle,
    /// The way to look at the ledger file.
    pub reader: Reader,
    /// Counts the commits of the loop; bumped here where the line comes or goes, so that the page redraws.
    pub version: watch::Sender<u64>,
    /// Whether the line to the cloud is up.
    pub is_up: Arc<AtomicBool>,
}

/// Runs until the loop stops.
pub async fn run(settings: Settings) -> anyhow::Result<()> {
    let identity = Identity::open(&settings.key_file)?;
    let cloud = Cloud::new(&settings.cloud.url, &settings.box_id, identity).context("set up the cloud's client")?;
    let latest = settings.reader.look(|view| view.ledgers_time()).await.context("read the ledger's time")?;
    let enrolled = watch::Sender::new(cloud.is_enrolled());
    let sync = Sync { cloud, time: LedgerTime::from(latest), enrolled, heard: Mutex::new(None), settings };
    tokio::join!(
        sync.keep("journal", Sync::upload),
        sync.keep("feed", Sync::follow),
        sync.keep("grants", Sync::ask),
        sync.keep("homes", Sync::look_home),
        sync.keep("time", Sync::tick),
    );
    Ok(())
}

struct Sync {
    cloud: Cloud,
    time: LedgerTime,
    /// Whether the ledger knows this box's key: nothing else can be asked before.
    enrolled: watch::Sender<bool>,
    /// When the loop was last told that the feed was heard.
    heard: Mutex<Option<Instant>>,
    settings: Settings,
}

/// The ledger's time, reckoned on by the clock that never jumps. The civil clock has no part in it.
struct LedgerTime {
    heard: Mutex<Option<(UtcMs, Instant)>>,
}

impl LedgerTime {
    fn from(latest: Option<UtcMs>) -> Self {
        Self { heard: Mutex::new(latest.map(|at| (at, Instant::now()))) }
    }

    /// It only goes on: an answer that somebody kept and gives again cannot hold it back.
    fn heard(&self, server_ms: UtcMs) {
        let latest = self.at_least().map_or(server_ms, |known| known.max(server_ms));
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Some((latest, Instant::now()));
    }

    fn at_least(&self) -> Option<UtcMs> {
        let heard = *self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, since) = heard?;
        let passed = i64::try_from(since.elapsed().as_millis()).unwrap_or(i64::MAX);
        Some(UtcMs(at.0.saturating_add(passed)))
    }
}

/// Why a stream ended for now.
enum Pause {
    /// The line or the ledger failed: try again after a wait that grows.
    Failed(anyhow::Error),
    /// The ledger refuses what it was sent: the same, and staff are told.
    Refused(String),
    /// The loop has stopped.
    Stopped,
}

impl From<anyhow::Error> for Pause {
    fn from(error: anyhow::Error) -> Self {
        Pause::Failed(error)
    }
}

impl From<Failure> for Pause {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused { code, detail } => Pause::Refused(format!("{code}: {detail}")),
            Failure::Forged(_) => Pause::Refused(failure.to_string()),
            Failure::Gap(_) | Failure::Fork(_) | Failure::MemberUnknown | Failure::Unknown | Failure::Line(_) => {
                Pause::Failed(failure.into())
            }
        }
    }
}

impl Sync {
    /// Runs one stream for ever, with a wait after each failure.
    async fn keep(&self, stream: &str, run: impl AsyncFn(&Self, &mut u32) -> Result<(), Pause>) {
        let (mut failures, mut was_told) = (0, false);
        loop {
            let Err(pause) = run(self, &mut failures).await else { continue };
            match pause {
                Pause::Stopped => return,
                Pause::Failed(error) => {
                    if failures == 0 {
                        warn!(stream, "the cloud ledger cannot be used: {error:#}");
                    }
                }
                Pause::Refused(why) => {
                    // Once, until the ledger has taken something again: what is refused stays in line.
                    was_told &= failures > 0;
                    if !was_told {
                        let reason = format!("{stream}: {}", why.chars().take(REASON_CHARS).collect::<String>());
                        if self.tell(CloudNews::Refusing { reason }).await.is_err() {
                            return;
                        }
                        was_told = true;
                    }
                }
            }
            self.line_is(stream, false);
            tokio::time::sleep(self.wait(failures)).await;
            failures = failures.saturating_add(1);
        }
    }

    /// Doubled with each failure, and up to a quarter less, so that a chain's boxes do not all come back at once.
    fn wait(&self, failures: u32) -> Duration {
        let most = Duration::from_secs(u64::from(self.settings.cloud.retry_max_s));
        let wait = RETRY_FIRST.saturating_mul(1 << failures.min(16)).min(most);
        let random = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), failures);
        let less = u32::try_from(random % 256).unwrap_or(0);
        wait - wait * less / 1024
    }

    /// The upload's line is the one that is shown: it is always in use.
    fn line_is(&self, stream: &str, up: bool) {
        if stream == "journal" && self.settings.is_up.swap(up, Ordering::Relaxed) != up {
            info!(up, "the line to the cloud ledger");
            self.settings.version.send_modify(|version| *version += 1);
        }
    }

    async fn tell(&self, news: CloudNews) -> Result<(), Pause> {
        let answer = self.settings.handle.submit(Input::Cloud(news)).await.map_err(|_| Pause::Stopped)?;
        answer.await.map_err(|_| Pause::Stopped)?;
        Ok(())
    }

    /// The ledger took or had what it was asked for.
    fn works(&self, stream: &str, failures: &mut u32) {
        *failures = 0;
        self.line_is(stream, true);
    }

    /// Waits until the ledger knows this box's key.
    async fn is_enrolled(&self) -> Result<(), Pause> {
        let mut enrolled = self.enrolled.subscribe();
        enrolled.wait_for(|is_so| *is_so).await.map_err(|_| Pause::Stopped)?;
        Ok(())
    }

    /// Follows the feed of members.
    async fn follow(&self, failures: &mut u32) -> Result<(), Pause> {
        self.is_enrolled().await?;
        let look = |view: &View<'_>| Ok((view.head()?.epoch, view.feed_cursor()?));
        let (epoch, after) = self.settings.reader.look(look).await.context("read the feed's cursor")?;
        let page = self.cloud.feed(epoch, after, PAGE_CHANGES).await?;
        let goes_on = page.next > after || (page.next == after && !page.more && page.changes.is_empty());
        if !goes_on || i64::try_from(page.next).is_err() {
            let more = page.more;
            return Err(anyhow::anyhow!("the feed goes from {after} to {}, with more: {more}", page.next).into());
        }
        self.works("feed", failures);
        if page.next > after || !page.more && self.is_silent() {
            self.tell(CloudNews::Fed { changes: page.changes, next: page.next }).await?;
            *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
        if !page.more {
            tokio::time::sleep(FEED_PERIOD).await;
        }
        Ok(())
    }

    /// Whether the feed has brought nothing for so long that the loop is told at least that it was heard.
    fn is_silent(&self) -> bool {
        let heard = *self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.is_none_or(|heard| heard.elapsed() >= HEARD_PERIOD)
    }

    /// Asks for the grants that the loop wants, one by one.
    async fn ask(&self, failures: &mut u32) -> Result<(), Pause> {
        self.is_enrolled().await?;
        let mut versions = self.settings.version.subscribe();
        versions.mark_unchanged();
        let look = |view: &View<'_>| Ok((view.head()?, view.open_grant_requests(ROUND_REQUESTS)?));
        let (head, requests) = self.settings.reader.look(look).await.context("read the requests for grants")?;
        if requests.is_empty() {
            return versions.changed().await.map_err(|_| Pause::Stopped);
        }
        let mut failed = None;
        for wanted in requests {
            let grants = match self.cloud.grant(head.epoch, &wanted).await {
                Ok(grants) => grants,
                Err(why) if is_no(&why) => {
                    warn!(request = wanted.request.as_str(), "no points for this request: {why}");
                    Vec::new()
                }
                // One request must not keep the points from everybody else.
                Err(why @ (Failure::Refused { .. } | Failure::Forged(_))) => {
                    failed = Some(why);
                    continue;
                }
                Err(other) => return Err(other.into()),
            };
            let (request, member, epoch) = (wanted.request, wanted.member, head.epoch);
            self.tell(CloudNews::Granted { request, member, epoch, grants }).await?;
        }
        if let Some(why) = failed {
            return Err(why.into());
        }
        self.works("grants", failures);
        Ok(())
    }

    /// Lets the loop look after the members who are at home here, a few hundred at a time.
    async fn look_home(&self, failures: &mut u32) -> Result<(), Pause> {
        self.is_enrolled().await?;
        *failures = 0;
        let mut after = String::new();
        loop {
            let from = after.clone();
            let look = move |view: &View<'_>| view.at_home(&from, ROUND_HOMES);
            let members = self.settings.reader.look(look).await.context("read the members at home here")?;
            let Some(last) = members.last() else { break };
            after = last.0.clone();
            self.tell(CloudNews::HomesLooked { members }).await?;
        }
        tokio::time::sleep(HOMES_PERIOD).await;
        Ok(())
    }

    /// Tells the loop how late it is by the ledger's time, whether the line is up or not.
    async fn tick(&self, failures: &mut u32) -> Result<(), Pause> {
        *failures = 0;
        tokio::time::sleep(TICK_PERIOD).await;
        match self.time.at_least() {
            Some(server_ms) => self.tell(CloudNews::TimePassed { server_ms }).await,
            None => Ok(()),
        }
    }
}

/// Whether a refusal answers a request for good: the ledger does not know the member any more, or can make no sense of
/// this request, so it will never give any points for it.
fn is_no(why: &Failure) -> bool {
    match why {
        Failure::MemberUnknown => true,
        Failure::Refused { code, .. } => code == "bad-request" || code == "request-reused",
        Failure::Gap(_) | Failure::Fork(_) | Failure::Unknown | Failure::Forged(_) | Failure::Line(_) => false,
    }
}

#[cfg(test)]
mod tests;
