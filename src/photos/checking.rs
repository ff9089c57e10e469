//! The proof: whether the pictures on disk are still the ones whose hashes the journal holds.

use std::path::Path;

use sha2::{Digest, Sha256};

use super::folder;
use super::naming::PhotoId;
use crate::domain::event::{PhotoKind, PlateRead};

/// What a check of pictures found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Pictures that are what the journal says.
    pub matching: u64,
    /// Pictures that are not there: forgotten in time, dropped by a power cut, or removed.
    pub gone: u64,
    /// Pictures that are not what the journal says, each with the entry that names it.
    pub altered: Vec<String>,
}

/// Compares the pictures of one read after the other with the files in a folder.
#[derive(Debug)]
pub struct Checker<'d> {
    directory: &'d Path,
    tally: Tally,
}

impl<'d> Checker<'d> {
    /// Nothing is compared yet.
    pub fn new(directory: &'d Path) -> Self {
        Self { directory, tally: Tally::default() }
    }

    /// The pictures of a read that the journal entry `seq` holds.
    pub fn look(&mut self, seq: u64, read: &PlateRead) -> std::io::Result<()> {
        let Some(hashes) = &read.photos else { return Ok(()) };
        for (kind, sha256) in [(PhotoKind::Scene, &hashes.scene), (PhotoKind::Plate, &hashes.plate)] {
            let Some(sha256) = sha256 else { continue };
            let Some(id) = PhotoId::of(read, kind, sha256) else { continue };
            match folder::original(self.directory, &id)? {
                None => self.tally.gone += 1,
                Some(bytes) if hex::encode(Sha256::digest(&bytes)) == *sha256 => self.tally.matching += 1,
                Some(_) => self.tally.altered.push(format!("entry {seq}: the picture {id}")),
            }
        }
        Ok(())
    }

    /// What was found.
    pub fn tally(self) -> Tally {
        self.tally
    }
}
