//! A box that burned down: its ledger file is made again from the cloud ledger's copy of its journal, and goes on in a new
//! epoch.

use std::path::Path;

use anyhow::Context;
use serde::Serialize;

use super::identity::Identity;
use super::wire::Cloud;
use super::{BATCH_ENTRIES, CloudConfig, PAGE_CHANGES};
use crate::clock::Clock;
use crate::domain::event::{CloudNews, EpochReason, Input};
use crate::domain::lane::Lanes;
use crate::site::Core;
use crate::store::Store;
use crate::store::copy::{Remade, Remake};

/// Epochs of a box that were begun by journals that are gone.
const LOST_EPOCHS: u32 = 64;

/// What a restore needs.
pub struct Restore<'a> {
    /// Where the ledger is.
    pub cloud: &'a CloudConfig,
    /// This box's name.
    pub box_id: &'a str,
    /// Where this box's keys are, or will be.
    pub key_file: &'a Path,
    /// The ledger file that is to be made.
    pub ledger: &'a Path,
    /// The lanes of the settings.
    pub lanes: &'a Lanes,
    /// The clocks.
    pub clock: &'a Clock,
}

/// What a restore does, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The ledger knows this box's new key.
    Enrolled,
    /// Entries of the journal are fetched, proved, and their consequences made again.
    Journal,
    /// The ledger file is checked and in place.
    InPlace,
    /// The members' feed is followed to its end.
    Members,
    /// The new epoch is begun.
    Epoch,
}

impl Stage {
    /// What its count is of, for a person.
    pub fn words(self, count: u64) -> String {
        match self {
            Stage::Enrolled => "enrolled".to_owned(),
            Stage::Journal => format!("{count} entries fetched and proved"),
            Stage::InPlace => format!("the ledger file with {count} entries is in place"),
            Stage::Members => format!("{count} changes of members"),
            Stage::Epoch => format!("epoch {count} has begun"),
        }
    }
}

/// What was restored.
#[derive(Debug)]
pub struct Restored {
    /// The journal.
    pub journal: Remade,
    /// The epoch in which the box now works.
    pub epoch: u32,
    /// Changes of the members' feed that were taken.
    pub changes: u64,
}

impl Restore<'_> {
    /// Restores, telling `progress` what is being done. The ledger file is put in place only when all of it is there.
    pub async fn run(&self, mut progress: impl FnMut(Stage, u64)) -> anyhow::Result<Restored> {
        let cloud = Cloud::new(&self.cloud.url, self.box_id, Identity::open(self.key_file)?)?;
        let file = &self.cloud.token_file;
        let token =
            std::fs::read_to_string(file).with_context(|| format!("read the enrolment token in {}", file.display()))?;
        cloud.enrol(token.trim(), self.cloud.ledger_key.as_deref()).await.context("enrol this box")?;
        progress(Stage::Enrolled, 0);
        let journal = self.fetch(&cloud, &mut progress).await?;
        let store = Store::open(self.ledger, self.box_id)?;
        let mut core = Core::new(store, self.lanes.clone());
        let changes = self.follow(&cloud, &mut core, &mut progress).await?;
        let epoch = self.begin(&cloud, &mut core).await?;
        progress(Stage::Epoch, u64::from(epoch));
        Ok(Restored { journal, epoch, changes })
    }

    async fn fetch(&self, cloud: &Cloud, progress: &mut impl FnMut(Stage, u64)) -> anyhow::Result<Remade> {
        let mut remake = Remake::begin(self.ledger, self.box_id)?;
        for held in cloud.epochs().await.context("ask for the epochs")? {
            let (mut after, mut more) = (0, held.seq > 0);
            while more {
                let page = cloud.stored(held.epoch, after, BATCH_ENTRIES).await.context("fetch the journal")?;
                anyhow::ensure!(!page.entries.is_empty(), "the ledger says that there is more and sends nothing");
                for entry in &page.entries {
                    remake.take(held.epoch, entry.seq, &entry.body, &entry.head)?;
                    after = entry.seq;
                }
                more = page.more;
                progress(Stage::Journal, remake.entries());
            }
            anyhow::ensure!(after == held.seq, "epoch {} ends at {after}, not at {}", held.epoch, held.seq);
        }
        let remade = remake.finish()?;
        progress(Stage::InPlace, remade.entries);
        Ok(remade)
    }

    async fn follow(
        &self,
        cloud: &Cloud,
        core: &mut Core,
        progress: &mut impl FnMut(Stage, u64),
    ) -> anyhow::Result<u64> {
        let (mut after, mut changes) = (0, 0);
        loop {
            let page = cloud.feed(0, after, PAGE_CHANGES).await.context("follow the feed")?;
            changes += page.changes.len() as u64;
            if page.next > after {
                after = page.next;
                core.step(Input::Cloud(CloudNews::Fed { changes: page.changes, next: after }), self.clock.now())?;
                core.commit()?;
            }
            if !page.more {
                progress(Stage::Members, changes);
                return Ok(changes);
            }
        }
    }

    /// Whatever the old box may still have spent is covered by what the ledger keeps for its epochs; this one begins
    /// with nothing to spend.
    async fn begin(&self, cloud: &Cloud, core: &mut Core) -> anyhow::Result<u32> {
        let head = core.head();
        let mut ends = head.epoch;
        for _ in 0..LOST_EPOCHS {
            let given = cloud.new_epoch(ends, &head, "restored").await.context("ask for a new epoch")?;
            if given.cursor.seq == 0 && given.epoch > head.epoch {
                let why = EpochReason::Restored;
                let news = CloudNews::EpochGiven { from: head.epoch, epoch: given.epoch, why };
                core.step(Input::Cloud(news), self.clock.now())?;
                core.commit()?;
                return Ok(given.epoch);
            }
            ends = given.epoch;
        }
        anyhow::bail!("{LOST_EPOCHS} epochs of this box were begun by journals that are gone")
    }
}
