//! A file that keeps some of the ledger's disk free: when the disk is full it goes, so that barriers go on moving.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// What the ledger file grows by in a day of a busy mall: 20 000 entries of some 800 bytes, with what follows from them.
const SPARE_BYTES: u64 = 16 << 20;
/// On a small disk, this part of it.
const PART_OF_DISK: u64 = 8;
/// The spare goes when less than this part of it is free besides.
const LOW_PART: u64 = 8;
/// It comes back when so many times its size are free.
const COMES_BACK: u64 = 2;

/// Whether the spare is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spare {
    /// The disk has room.
    Kept,
    /// The disk is full, and the ledger writes on what was spared: somebody must make room.
    Used,
}

/// Looks at the disk under the ledger file, before the ledger is opened: gives the spare up where the disk is full, and
/// makes it where there is room.
pub fn look(ledger: &Path) -> anyhow::Result<Spare> {
    let (file, folder) = (file(ledger), folder(ledger));
    let disk = rustix::fs::statvfs(&folder).with_context(|| format!("look at the disk of {}", folder.display()))?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let size = SPARE_BYTES.min(disk.f_blocks.saturating_mul(disk.f_frsize) / PART_OF_DISK);
    let is_there = fs::metadata(&file).is_ok_and(|known| known.len() > 0);
    match is_there {
        true if free < size / LOW_PART => {
            fs::remove_file(&file).with_context(|| format!("give {} up", file.display()))?;
            Ok(Spare::Used)
        }
        true => Ok(Spare::Kept),
        false if free < size.saturating_mul(COMES_BACK) => Ok(Spare::Used),
        false => {
            put_aside(&file, size).with_context(|| format!("put {} aside", file.display()))?;
            Ok(Spare::Kept)
        }
    }
}

/// Where the spare of a ledger is.
pub fn file(ledger: &Path) -> PathBuf {
    let mut name = ledger.as_os_str().to_owned();
    name.push(".spare");
    PathBuf::from(name)
}

fn put_aside(path: &Path, size: u64) -> io::Result<()> {
    let file = File::create(path)?;
    // Blocks of its own, not a hole.
    let allocated = rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, size);
    if let Err(error) = allocated {
        let _ = fs::remove_file(path);
        return Err(error.into());
    }
    Ok(())
}

fn folder(ledger: &Path) -> PathBuf {
    let folder = ledger.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new(".")).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_put_aside_once_and_found_again() {
        let place = tempfile::tempdir().expect("a folder");
        let ledger = place.path().join("ledger.db");
        for _ in 0..2 {
            assert_eq!(look(&ledger).expect("looked"), Spare::Kept);
            assert_eq!(fs::metadata(file(&ledger)).expect("there").len(), SPARE_BYTES);
        }
    }
}
