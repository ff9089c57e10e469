//! A small file on another disk that remembers how far the journal has been, so that a ledger file that was put back to
//! an older state is noticed at the next start.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tracing::warn;

use crate::domain::event::JournalHead;

/// How often it is written at most: a flash chip outlives that by far, and what was spent within it is what a rewound
/// ledger could spend twice unnoticed by this file.
pub const PERIOD: Duration = Duration::from_secs(1);
/// A slot is one sector, so that a cut leaves the other slot whole.
const SLOT_BYTES: usize = 512;
/// Written by turns.
const SLOTS: u64 = 2;

/// The file.
pub struct WitnessFile {
    file: File,
    turn: u64,
}

impl WitnessFile {
    /// Opens or makes the file, and says what it remembers.
    pub fn open(path: &Path) -> anyhow::Result<(Self, Option<JournalHead>)> {
        let file = File::options().read(true).write(true).create(true).truncate(false).open(path);
        let file = file.with_context(|| format!("open the witness {}", path.display()))?;
        let slots: Vec<Option<(u64, JournalHead)>> = (0..SLOTS).map(|slot| read(&file, slot)).collect();
        let newest = slots.into_iter().flatten().max_by_key(|(turn, _)| *turn);
        let turn = newest.as_ref().map_or(0, |(turn, _)| *turn);
        Ok((Self { file, turn }, newest.map(|(_, head)| head)))
    }

    /// Remembers a head; on disk when this returns.
    pub fn remember(&mut self, head: &JournalHead) -> anyhow::Result<()> {
        self.turn += 1;
        let slot = slot(self.turn, head);
        let at = self.turn % SLOTS * SLOT_BYTES as u64;
        self.file.write_all_at(&slot, at).context("write the witness")?;
        self.file.sync_data().context("write the witness to the disk")
    }
}

/// Remembers every head that the loop tells of, at most once a [`PERIOD`], until the loop ends.
pub async fn keep(mut file: WitnessFile, mut heads: watch::Receiver<JournalHead>) {
    let mut is_told = false;
    while heads.changed().await.is_ok() {
        let head = heads.borrow_and_update().clone();
        let written = tokio::task::spawn_blocking(move || {
            let outcome = file.remember(&head);
            (file, outcome)
        });
        let Ok((same, outcome)) = written.await else { return };
        file = same;
        if let Err(error) = outcome
            && !std::mem::replace(&mut is_told, true)
        {
            warn!("the witness cannot be written: {error:#}");
        }
        tokio::time::sleep(PERIOD).await;
    }
}

fn slot(turn: u64, head: &JournalHead) -> [u8; SLOT_BYTES] {
    let JournalHead { epoch, seq, head } = head;
    let text = format!("gatepost-witness-v1 {turn} {epoch} {seq} {head}");
    let text = format!("{text} {}\n", hex::encode(Sha256::digest(&text)));
    let mut slot = [0; SLOT_BYTES];
    slot[..text.len()].copy_from_slice(text.as_bytes());
    slot
}

/// What a slot holds; nothing where it was never written, or not to its end.
fn read(file: &File, slot: u64) -> Option<(u64, JournalHead)> {
    let mut bytes = [0; SLOT_BYTES];
    file.read_exact_at(&mut bytes, slot * SLOT_BYTES as u64).ok()?;
    let line = std::str::from_utf8(&bytes).ok()?.lines().next()?;
    let (text, digest) = line.rsplit_once(' ')?;
    if hex::encode(Sha256::digest(text)) != digest {
        return None;
    }
    let mut words = text.strip_prefix("gatepost-witness-v1 ")?.split(' ');
    let turn = words.next()?.parse().ok()?;
    let (epoch, seq) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    Some((turn, JournalHead { epoch, seq, head: words.next()?.to_owned() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_whole_slot_counts() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("witness");
        let head = |seq| JournalHead { epoch: 1, seq, head: "ab".repeat(32) };
        let (mut file, nothing) = WitnessFile::open(&path).expect("a new file");
        assert_eq!(nothing, None);
        for seq in 1..=5 {
            file.remember(&head(seq)).expect("written");
        }
        assert_eq!(WitnessFile::open(&path).expect("the file").1, Some(head(5)));
        // The power went in the middle of the fifth.
        let mut bytes = std::fs::read(&path).expect("the bytes");
        bytes[SLOT_BYTES + 30] ^= 1;
        std::fs::write(&path, bytes).expect("torn");
        let (mut file, before) = WitnessFile::open(&path).expect("the file");
        assert_eq!(before, Some(head(4)));
        file.remember(&head(6)).expect("written");
        assert_eq!(WitnessFile::open(&path).expect("the file").1, Some(head(6)));
    }
}
