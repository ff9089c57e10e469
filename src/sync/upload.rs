//! The journal's way up: epoch by epoch, what links as the ledger's own, and what does not as a branch; and what follows
//! where the ledger doubts this journal.

use anyhow::Context;
use tracing::{error, info, warn};

use super::answer::{Cursor, Hello, Verdict};
use super::wire::Failure;
use super::{BATCH_BYTES, BATCH_ENTRIES, GREETING_PERIOD, Pause, Sync};
use crate::domain::event::{CloudNews, EpochReason, JournalHead};
use crate::store::reader::View;
use crate::store::reader::journal::Entry;

/// Epochs of a box that were begun by journals that are gone: each lost ledger file leaves one at most.
const LOST_EPOCHS: u32 = 64;

impl Sync {
    /// Greets the ledger, then uploads from where it is, and on as the journal grows.
    pub(super) async fn upload(&self, failures: &mut u32) -> Result<(), Pause> {
        self.enrol().await?;
        let head = self.head().await?;
        let hello = self.greet(&head).await?;
        self.take_leave(&hello).await?;
        for grant in hello.recalls.iter().cloned() {
            self.tell(CloudNews::Recalled { grant }).await?;
        }
        if let Some(why) = self.doubts(&head, &hello).await? {
            // What is refused for now, as to a box that was revoked, is no reason to keep facts back.
            if let Err(pause) = self.take_new_epoch(why).await {
                self.hand_in(failures).await?;
                return Err(pause);
            }
        }
        let mut versions = self.settings.version.subscribe();
        loop {
            versions.mark_unchanged();
            if self.hand_in(failures).await? {
                return Ok(());
            }
            self.works("journal", failures);
            match tokio::time::timeout(GREETING_PERIOD, versions.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err(Pause::Stopped),
                Err(_) => return Ok(()),
            }
            if self.is_quarantined().await? {
                // Somebody remembers more than this journal holds: the ledger is asked at once.
                return Ok(());
            }
        }
    }

    async fn greet(&self, head: &JournalHead) -> Result<Hello, Pause> {
        match self.cloud.hello(head).await {
            Err(Failure::Unknown) => {
                self.enrol_again().await?;
                Ok(self.cloud.hello(head).await?)
            }
            other => Ok(other?),
        }
    }

    /// What the handshake says about spending.
    async fn take_leave(&self, hello: &Hello) -> Result<(), Pause> {
        match hello.lease {
            Some(lease) => {
                self.time.heard(lease.server_ms);
                self.tell(CloudNews::Leased { server_ms: lease.server_ms, length_ms: lease.length_ms }).await
            }
            None if hello.verdict == Verdict::Ok => self.tell(CloudNews::Unleased).await,
            None => Ok(()),
        }
    }

    /// Why this journal needs a new epoch, if it does; the loop is told.
    async fn doubts(&self, head: &JournalHead, hello: &Hello) -> Result<Option<EpochReason>, Pause> {
        let stored = self.settings.reader.look(|view| view.quarantined_why()).await.context("read the quarantine")?;
        let found = match hello.verdict {
            Verdict::Ok => None,
            Verdict::Behind => Some(EpochReason::Behind),
            Verdict::Fork => Some(EpochReason::Fork),
            Verdict::WrongEpoch => Some(self.is_it_whole(head, &hello.cursor).await?),
        };
        if let Some(why) = found {
            let reason = format!("{:?}: the ledger holds {} entries", hello.verdict, hello.cursor.seq);
            self.doubt(why, reason).await?;
        }
        // A journal that was in doubt before does not become whole by the end of its epoch.
        Ok(stored.filter(|why| !why.is_whole()).or(found).or(stored))
    }

    /// Whether the journal of an epoch that has ended holds all that the ledger has of it.
    async fn is_it_whole(&self, head: &JournalHead, cursor: &Cursor) -> Result<EpochReason, Pause> {
        if cursor.epoch != head.epoch {
            return Ok(EpochReason::Fenced);
        }
        Ok(match self.head_at(cursor).await? {
            Some(ours) if ours == cursor.head => EpochReason::Fenced,
            Some(_) => EpochReason::Fork,
            None => EpochReason::Behind,
        })
    }

    async fn take_new_epoch(&self, why: EpochReason) -> Result<(), Pause> {
        let head = self.head().await?;
        let reason = serde_json::to_string(&why).context("name the reason")?;
        let mut ends = head.epoch;
        for _ in 0..LOST_EPOCHS {
            let given = self.cloud.new_epoch(ends, &head, reason.trim_matches('"')).await?;
            if given.epoch <= head.epoch {
                let (given, ours) = (given.epoch, head.epoch);
                return Err(anyhow::anyhow!("the ledger gives epoch {given} to a box that is in {ours}").into());
            }
            if given.cursor.seq == 0 {
                warn!(epoch = given.epoch, "the cloud ledger gave a new epoch");
                return self.tell(CloudNews::EpochGiven { from: head.epoch, epoch: given.epoch, why }).await;
            }
            ends = given.epoch;
        }
        Err(anyhow::anyhow!("{LOST_EPOCHS} epochs of this box were begun by journals that are gone").into())
    }

    /// Hands in everything that the ledger does not hold, oldest epoch first. Says whether the ledger must be greeted
    /// again, because the current journal turned out not to link.
    async fn hand_in(&self, failures: &mut u32) -> Result<bool, Pause> {
        let mut known: Option<Cursor> = None;
        loop {
            let look = |view: &View<'_>| view.entries(view.acknowledged()? + 1, BATCH_ENTRIES, BATCH_BYTES);
            let waiting = self.settings.reader.look(look).await.context("read the journal's tail")?;
            let Some(first) = waiting.first() else { return Ok(false) };
            let at = self.head().await?.epoch;
            let cursor = match known.take().filter(|cursor| cursor.epoch == first.epoch) {
                Some(cursor) => cursor,
                None => self.cloud.upload(at, first.epoch, &[]).await?,
            };
            if self.head_at(&cursor).await?.as_ref() != Some(&cursor.head) {
                let why = format!("epoch {} does not link to the ledger's entry {}", cursor.epoch, cursor.seq);
                if first.epoch == at {
                    self.doubt(EpochReason::Fork, why).await?;
                    return Ok(true);
                }
                self.hand_in_branch(at, &waiting).await?;
            } else if cursor.seq >= first.seq {
                // An answer was lost: the ledger holds more than this box has heard.
                self.tell(CloudNews::Acknowledged { epoch: cursor.epoch, seq: cursor.seq }).await?;
                known = Some(cursor);
            } else {
                let applied = self.send(at, &cursor, &waiting).await?;
                self.tell(CloudNews::Acknowledged { epoch: applied.epoch, seq: applied.seq }).await?;
                known = Some(applied);
            }
            self.works("journal", failures);
        }
    }

    /// Sends what follows on the ledger's cursor.
    async fn send(&self, at: u32, cursor: &Cursor, waiting: &[Entry]) -> Result<Cursor, Pause> {
        let Some(first) = waiting.first() else { return Ok(cursor.clone()) };
        let mut older = Vec::new();
        if cursor.seq + 1 < first.seq {
            // A ledger that was restored to an older state asks again for what it had acknowledged.
            let from = first.entry - (first.seq - cursor.seq - 1);
            let look = move |view: &View<'_>| view.entries(from, BATCH_ENTRIES, BATCH_BYTES);
            older = self.settings.reader.look(look).await.context("read the journal again")?;
        }
        let entries = if older.is_empty() { waiting } else { &older };
        let applied = self.cloud.upload(at, cursor.epoch, entries).await?;
        if applied.seq <= cursor.seq {
            let (before, now) = (cursor.seq, applied.seq);
            return Err(anyhow::anyhow!("it held {before} entries, was sent more and holds {now}").into());
        }
        Ok(applied)
    }

    /// What an ended epoch's journal did beside the ledger's is kept there as facts, for people to settle.
    async fn hand_in_branch(&self, at: u32, entries: &[Entry]) -> Result<(), Pause> {
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else { return Ok(()) };
        let (epoch, before) = (first.epoch, first.seq - 1);
        // A file that was put back may have forgotten what was acknowledged: only what differs is a branch.
        let held = self.cloud.stored(epoch, before, BATCH_ENTRIES).await?.entries;
        let same = entries.iter().zip(&held).take_while(|(ours, theirs)| ours.head == theirs.head).last();
        if let Some((ours, _)) = same {
            return self.tell(CloudNews::Acknowledged { epoch, seq: ours.seq }).await;
        }
        let look = move |view: &View<'_>| view.head_at(epoch, before);
        let prev = self.settings.reader.look(look).await.context("read the branch's beginning")?;
        let prev = prev.context("the journal lacks an entry of its own")?;
        self.cloud.hand_in_branch(at, epoch, &prev, entries).await?;
        error!(epoch, from = first.seq, to = last.seq, "handed in as a branch that the ledger does not apply");
        self.tell(CloudNews::Acknowledged { epoch, seq: last.seq }).await
    }

    async fn doubt(&self, why: EpochReason, reason: String) -> Result<(), Pause> {
        error!(reason, "this journal does not continue what the cloud ledger holds");
        self.tell(CloudNews::Doubted { why, reason }).await
    }

    async fn is_quarantined(&self) -> Result<bool, Pause> {
        let look = |view: &View<'_>| Ok(view.fact("quarantined")?.is_some());
        Ok(self.settings.reader.look(look).await.context("read the quarantine")?)
    }

    async fn head_at(&self, cursor: &Cursor) -> Result<Option<String>, Pause> {
        let (epoch, seq) = (cursor.epoch, cursor.seq);
        let look = move |view: &View<'_>| view.head_at(epoch, seq);
        Ok(self.settings.reader.look(look).await.context("read a head of the journal")?)
    }

    pub(super) async fn head(&self) -> Result<JournalHead, Pause> {
        let head = self.settings.reader.look(|view| view.head()).await.context("read the journal's head")?;
        Ok(JournalHead { epoch: head.epoch, seq: head.seq, head: head.head })
    }

    /// Makes this box's key known where it never was.
    async fn enrol(&self) -> Result<(), Pause> {
        if self.cloud.is_enrolled() { Ok(()) } else { self.enrol_again().await }
    }

    async fn enrol_again(&self) -> Result<(), Pause> {
        let file = &self.settings.cloud.token_file;
        let token =
            std::fs::read_to_string(file).with_context(|| format!("read the enrolment token in {}", file.display()))?;
        let cursor = self.cloud.enrol(token.trim(), self.settings.cloud.ledger_key.as_deref()).await?;
        info!(epoch = cursor.epoch, "this box is enrolled at the cloud ledger");
        self.enrolled.send_replace(true);
        Ok(())
    }
}
