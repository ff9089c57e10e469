//! The cloud ledger's client: the journal goes up, the feed and the grants come down, and neither waits for the other.

mod wire;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use serde::Deserialize;
use tokio::sync::watch;
use tracing::{error, info, warn};

use crate::domain::event::{CloudNews, Input, Points};
use crate::site::Handle;
use crate::store::reader::Reader;
use wire::{Cloud, Failure, Verdict};

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
    /// The file that holds this box's token, on one line.
    pub token_file: PathBuf,
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
    let token = token(&settings.cloud.token_file).await;
    let cloud = Cloud::new(&settings.cloud.url, &settings.box_id, token.trim()).context("set up the cloud's client")?;
    let sync = Sync { cloud, settings };
    tokio::join!(sync.keep("journal", Sync::upload), sync.keep("feed", Sync::follow), sync.keep("grants", Sync::ask));
    Ok(())
}

/// This box's token, waited for: barriers and tills work without the cloud, and a file that is put right needs no
/// restart.
async fn token(file: &Path) -> String {
    let mut is_told = false;
    loop {
        match std::fs::read_to_string(file) {
            Ok(token) => return token,
            Err(error) if !is_told => error!("the cloud is not used: token file {}: {error}", file.display()),
            Err(_) => {}
        }
        is_told = true;
        tokio::time::sleep(GREETING_PERIOD).await;
    }
}

struct Sync {
    cloud: Cloud,
    settings: Settings,
}

/// Why a stream ended for now.
enum Pause {
    /// The line or the ledger failed: try again after a wait that grows.
    Failed(anyhow::Error),
    /// The ledger refuses what it was sent: the same, and staff are told.
    Refused(String),
    /// This journal is in doubt: points are no longer spent, and the ledger is asked again now and then.
    Doubted,
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
            Failure::Gap(_) | Failure::Fork(_) | Failure::MemberUnknown | Failure::Line(_) => {
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
                Pause::Doubted => {
                    self.line_is(stream, false);
                    tokio::time::sleep(GREETING_PERIOD).await;
                    continue;
                }
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

    async fn doubt(&self, reason: String) -> Pause {
        error!(reason, "this journal does not continue what the cloud ledger holds");
        match self.tell(CloudNews::Doubted { reason }).await {
            Ok(()) => Pause::Doubted,
            Err(pause) => pause,
        }
    }

    /// Greets the ledger, then uploads from where it is, and on as the journal grows.
    async fn upload(&self, failures: &mut u32) -> Result<(), Pause> {
        let head = self.settings.reader.look(|view| view.head()).await.context("read the journal's head")?;
        let hello = self.cloud.hello(head.epoch, head.seq, &head.head).await?;
        if hello.verdict != Verdict::Ok {
            let cursor = hello.cursor;
            let doubt = self.doubt(format!("{:?}: the ledger holds {} entries", hello.verdict, cursor.seq)).await;
            // What the box did in an epoch that was ended is still a fact, and the ledger takes it.
            let goes_on = hello.verdict == Verdict::WrongEpoch && cursor.epoch == head.epoch;
            if !goes_on || matches!(doubt, Pause::Stopped) {
                return Err(doubt);
            }
        }
        let mut cursor = hello.cursor.seq;
        self.tell(CloudNews::Acknowledged { seq: cursor }).await?;
        let mut versions = self.settings.version.subscribe();
        loop {
            versions.mark_unchanged();
            let from = cursor.saturating_add(1);
            let look = move |view: &crate::store::reader::View<'_>| view.entries(from, BATCH_ENTRIES, BATCH_BYTES);
            let entries = self.settings.reader.look(look).await.context("read the journal's tail")?;
            if entries.is_empty() {
                self.works("journal", failures);
                match tokio::time::timeout(GREETING_PERIOD, versions.changed()).await {
                    Ok(Ok(())) => continue,
                    Ok(Err(_)) => return Err(Pause::Stopped),
                    Err(_) => return Ok(()),
                }
            }
            match self.cloud.upload(head.epoch, &entries).await {
                Ok(applied) if applied.seq >= from => cursor = applied.seq,
                Ok(applied) => {
                    let error = anyhow::anyhow!("it was sent entry {from} and says that it holds {}", applied.seq);
                    return Err(error.into());
                }
                Err(Failure::Fork(ledger)) => {
                    return Err(self.doubt(format!("fork after entry {}", ledger.seq)).await);
                }
                Err(other) => return Err(other.into()),
            }
            self.works("journal", failures);
            self.tell(CloudNews::Acknowledged { seq: cursor }).await?;
        }
    }

    /// The ledger took or had what it was asked for.
    fn works(&self, stream: &str, failures: &mut u32) {
        *failures = 0;
        self.line_is(stream, true);
    }

    /// Follows the feed of members.
    async fn follow(&self, failures: &mut u32) -> Result<(), Pause> {
        let after = self.settings.reader.look(|view| view.feed_cursor()).await.context("read the feed's cursor")?;
        let page = self.cloud.feed(after, PAGE_CHANGES).await?;
        let goes_on = page.next > after || (page.next == after && !page.more && page.changes.is_empty());
        if !goes_on || i64::try_from(page.next).is_err() {
            let more = page.more;
            return Err(anyhow::anyhow!("the feed goes from {after} to {}, with more: {more}", page.next).into());
        }
        self.works("feed", failures);
        if page.next > after {
            self.tell(CloudNews::Fed { changes: page.changes, next: page.next }).await?;
        }
        if !page.more {
            tokio::time::sleep(FEED_PERIOD).await;
        }
        Ok(())
    }

    /// Asks for the grants that the loop wants, one by one.
    async fn ask(&self, failures: &mut u32) -> Result<(), Pause> {
        let mut versions = self.settings.version.subscribe();
        versions.mark_unchanged();
        let look =
            |view: &crate::store::reader::View<'_>| Ok((view.head()?, view.open_grant_requests(ROUND_REQUESTS)?));
        let (head, requests) = self.settings.reader.look(look).await.context("read the requests for grants")?;
        if requests.is_empty() {
            return versions.changed().await.map_err(|_| Pause::Stopped);
        }
        let mut failed = None;
        for wanted in requests {
            let given = match self.cloud.grant(head.epoch, &wanted).await {
                Ok(given) => given,
                Err(why) if is_no(&why) => {
                    warn!(request = wanted.request.as_str(), "no points for this request: {why}");
                    wire::Given { grant: None, points: Points(0), epoch: head.epoch }
                }
                // One request must not keep the points from everybody else.
                Err(why @ Failure::Refused { .. }) => {
                    failed = Some(why);
                    continue;
                }
                Err(other) => return Err(other.into()),
            };
            self.tell(CloudNews::Granted {
                request: wanted.request,
                grant: given.grant,
                member: wanted.member,
                epoch: given.epoch,
                points: given.points,
            })
            .await?;
        }
        if let Some(why) = failed {
            return Err(why.into());
        }
        self.works("grants", failures);
        Ok(())
    }
}

/// Whether a refusal answers a request for good: the ledger does not know the member any more, or can make no sense of
/// this request, so it will never give any points for it.
fn is_no(why: &Failure) -> bool {
    match why {
        Failure::MemberUnknown => true,
        Failure::Refused { code, .. } => code == "bad-request" || code == "request-reused",
        Failure::Gap(_) | Failure::Fork(_) | Failure::Line(_) => false,
    }
}

#[cfg(test)]
mod tests;
