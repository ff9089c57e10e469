//! The folder on disk: a folder for each day, each picture written whole or not at all, the oldest gone first.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use image::ImageFormat;

use super::naming::{PhotoId, Tag, day_and_time};
use crate::domain::event::{LaneId, UtcMs};

pub const MB: u64 = 1024 * 1024;
const DAY_MS: i64 = 24 * 3600 * 1000;
/// What goes at once where room is needed, so that not every picture has to make room for itself: a twentieth.
const ROOM_MADE: u64 = 20;
/// The endings of a picture's files: as the camera sent it, and the small one.
const ENDINGS: [&str; 3] = [".jpg", ".png", SMALL];
const SMALL: &str = ".small.jpg";
/// A file that is being written; after a crash it is nobody's.
const UNFINISHED: &str = ".unfinished";

/// How much may lie there and how long.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Days that a picture is kept.
    pub keep_days: u32,
    /// Megabytes that stay free on the disk.
    pub min_free_mb: u64,
    /// Megabytes that all pictures may take.
    pub max_mb: u64,
}

/// The folder, as its only writer sees it.
pub struct Folder {
    directory: PathBuf,
    bounds: Bounds,
    /// Bytes of each day, the oldest first.
    days: BTreeMap<String, u64>,
    free_bytes: fn(&Path) -> io::Result<u64>,
}

/// Why a picture was not written.
#[derive(Debug, thiserror::Error)]
pub enum NotWritten {
    /// The disk is full, and there is nothing of ours to remove.
    #[error("no room: {free_mb} MB are free on the disk, {min_free_mb} MB stay free")]
    NoRoom {
        /// Megabytes that are free.
        free_mb: u64,
        /// Megabytes that stay free.
        min_free_mb: u64,
    },
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] io::Error),
}

impl Folder {
    /// The folder as it is found, made where there is none. What a crash left unfinished is removed.
    pub fn open(directory: &Path, bounds: Bounds) -> io::Result<Self> {
        make(directory)?;
        let mut days = BTreeMap::new();
        for day in day_names(directory)? {
            let mut bytes = 0;
            for file in fs::read_dir(directory.join(&day))? {
                let file = file?;
                if file.file_name().to_string_lossy().ends_with(UNFINISHED) {
                    fs::remove_file(file.path())?;
                } else {
                    bytes += file.metadata()?.len();
                }
            }
            days.insert(day, bytes);
        }
        Ok(Self { directory: directory.to_owned(), bounds, days, free_bytes })
    }

    /// Bytes of all pictures.
    pub fn bytes(&self) -> u64 {
        self.days.values().sum()
    }

    /// Writes a picture as the camera sent it.
    pub fn keep(&mut self, id: &PhotoId, bytes: &[u8], format: ImageFormat) -> Result<(), NotWritten> {
        self.write(id, ending(format), bytes)
    }

    /// Gives a file of the spool, which holds a picture as the camera sent it, its place and its name. Where that fails,
    /// the file is removed.
    pub fn take_in(&mut self, id: &PhotoId, spooled: &Path, bytes: u64, format: ImageFormat) -> Result<(), NotWritten> {
        let placed = self.place(id, ending(format), bytes, |file| fs::rename(spooled, file));
        if placed.is_err() {
            // Where even that fails, the next start finds it.
            let _ = fs::remove_file(spooled);
        }
        placed
    }

    /// Writes the small picture beside it.
    pub fn keep_small(&mut self, id: &PhotoId, bytes: &[u8]) -> Result<(), NotWritten> {
        self.write(id, SMALL, bytes)
    }

    /// Removes what is older than the settings allow.
    pub fn forget_the_old(&mut self, now: UtcMs) -> io::Result<()> {
        let oldest = UtcMs(now.0.saturating_sub(i64::from(self.bounds.keep_days) * DAY_MS));
        let Some((oldest, _)) = day_and_time(oldest) else { return Ok(()) };
        while let Some((day, _)) = self.days.first_key_value().filter(|(day, _)| **day < oldest) {
            let day = day.clone();
            let folder = self.directory.join(&day);
            for name in names(&folder)? {
                fs::remove_file(folder.join(name))?;
            }
            self.day_is_over(&day)?;
        }
        Ok(())
    }

    /// The newest pictures that have a small one, oldest first.
    pub fn newest(&self, most: usize) -> io::Result<VecDeque<PhotoId>> {
        let mut found = VecDeque::new();
        for day in self.days.keys().rev() {
            let mut of_day = names(&self.directory.join(day))?;
            of_day.retain(|name| name.ends_with(SMALL));
            let ids = of_day.iter().rev().filter_map(|name| PhotoId::of_file(day, name.strip_suffix(SMALL)?));
            for id in ids {
                if found.len() == most {
                    return Ok(found);
                }
                found.push_front(id);
            }
        }
        Ok(found)
    }

    /// A temporary name first: a reader finds the whole picture or none. Nothing is synced: a power cut may cost the
    /// pictures of the last seconds, and the journal tells that they are gone.
    fn write(&mut self, id: &PhotoId, ending: &str, bytes: &[u8]) -> Result<(), NotWritten> {
        self.place(id, ending, bytes.len() as u64, |file| {
            let unfinished = with_ending(file.to_owned(), UNFINISHED);
            let outcome = create(&unfinished, bytes).and_then(|()| fs::rename(&unfinished, file));
            if outcome.is_err() {
                // Where even that fails, the next start removes it.
                let _ = fs::remove_file(&unfinished);
            }
            outcome
        })
    }

    fn place(
        &mut self,
        id: &PhotoId,
        ending: &str,
        bytes: u64,
        put: impl FnOnce(&Path) -> io::Result<()>,
    ) -> Result<(), NotWritten> {
        self.make_room(bytes)?;
        let file = with_ending(id.stem(&self.directory), ending);
        make(&self.directory.join(id.day()))?;
        let before = fs::metadata(&file).map_or(0, |there| there.len());
        put(&file)?;
        let of_day = self.days.entry(id.day().to_owned()).or_default();
        *of_day = of_day.saturating_sub(before) + bytes;
        Ok(())
    }

    fn make_room(&mut self, needed: u64) -> Result<(), NotWritten> {
        let Bounds { min_free_mb, max_mb, .. } = self.bounds;
        let too_many = (self.bytes() + needed).saturating_sub(max_mb * MB);
        let free = (self.free_bytes)(&self.directory)?;
        let too_full = (min_free_mb * MB + needed).saturating_sub(free);
        let mut to_remove = match (too_many, too_full) {
            (0, 0) => return Ok(()),
            (0, too_full) => too_full + min_free_mb * MB / ROOM_MADE,
            (too_many, too_full) => too_full.max(too_many + max_mb * MB / ROOM_MADE),
        };
        while to_remove > 0
            && let Some(day) = self.days.keys().next().cloned()
        {
            to_remove = self.remove_the_oldest_of(&day, to_remove)?;
        }
        let free = (self.free_bytes)(&self.directory)?;
        if free < min_free_mb * MB + needed {
            return Err(NotWritten::NoRoom { free_mb: free / MB, min_free_mb });
        }
        Ok(())
    }

    /// How many bytes of `to_remove` are still to go afterwards.
    fn remove_the_oldest_of(&mut self, day: &str, mut to_remove: u64) -> io::Result<u64> {
        let folder = self.directory.join(day);
        for name in names(&folder)? {
            if to_remove == 0 {
                return Ok(0);
            }
            let file = folder.join(name);
            let bytes = fs::metadata(&file)?.len();
            fs::remove_file(&file)?;
            to_remove = to_remove.saturating_sub(bytes);
            if let Some(of_day) = self.days.get_mut(day) {
                *of_day = of_day.saturating_sub(bytes);
            }
        }
        self.day_is_over(day)?;
        Ok(to_remove)
    }

    /// What somebody else put there stays, and is no reason to stop.
    fn day_is_over(&mut self, day: &str) -> io::Result<()> {
        self.days.remove(day);
        match fs::remove_dir(self.directory.join(day)) {
            Err(error) if error.kind() != io::ErrorKind::DirectoryNotEmpty => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

fn ending(format: ImageFormat) -> &'static str {
    if format == ImageFormat::Png { ".png" } else { ".jpg" }
}

/// A picture as the camera sent it; `None` where it is gone.
pub fn original(directory: &Path, id: &PhotoId) -> io::Result<Option<Vec<u8>>> {
    for ending in [".jpg", ".png"] {
        if let Some(bytes) = read(&with_ending(id.stem(directory), ending))? {
            return Ok(Some(bytes));
        }
    }
    Ok(None)
}

/// The small picture; `None` where it is gone.
pub fn small(directory: &Path, id: &PhotoId) -> io::Result<Option<Vec<u8>>> {
    read(&with_ending(id.stem(directory), SMALL))
}

/// The pictures of one arrival that have a small one; they lie in the folder of its day.
pub fn of_arrival(directory: &Path, lane: &LaneId, tag: &Tag, at: UtcMs) -> io::Result<Vec<PhotoId>> {
    let Some((day, _)) = day_and_time(at) else { return Ok(Vec::new()) };
    let names = match names(&directory.join(&day)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        names => names?,
    };
    let ids = names.iter().filter_map(|name| PhotoId::of_file(&day, name.strip_suffix(SMALL)?));
    Ok(ids.filter(|id| id.lane() == lane && id.tag() == tag).collect())
}

fn read(file: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(file) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// A folder with those above it. Nobody else on the box may look at what is in it.
pub fn make(directory: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

/// Nothing is synced.
pub fn create(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut open = fs::OpenOptions::new();
    open.write(true).create(true).truncate(true).mode(0o600).open(file)?.write_all(bytes)
}

fn with_ending(stem: PathBuf, ending: &str) -> PathBuf {
    let mut name = stem.into_os_string();
    name.push(ending);
    name.into()
}

/// Folders of ours: eight digits. What else somebody put there is left alone.
fn day_names(directory: &Path) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.len() == 8 && name.bytes().all(|byte| byte.is_ascii_digit()) && entry.file_type()?.is_dir() {
            found.push(name);
        }
    }
    Ok(found)
}

/// The files of a day in the order of their names, which is the order of their times.
fn names(day: &Path) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(day)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if ENDINGS.iter().any(|ending| name.ends_with(ending)) {
            found.push(name);
        }
    }
    found.sort();
    Ok(found)
}

/// What is free on the disk of a folder.
pub fn free_bytes(directory: &Path) -> io::Result<u64> {
    let disk = rustix::fs::statvfs(directory)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::{DeviceId, LaneId, PhotoKind, PlateRead};

    const NOON: i64 = 1_772_452_800_000;
    const ROOMY: Bounds = Bounds { keep_days: 30, min_free_mb: 0, max_mb: 1000 };

    #[test]
    fn what_is_kept_is_found_again_and_counted() {
        let place = tempfile::tempdir().expect("a folder");
        let mut folder = Folder::open(place.path(), ROOMY).expect("opened");
        let id = photo(0, "a");
        folder.keep(&id, b"original", ImageFormat::Png).expect("kept");
        folder.keep_small(&id, b"small").expect("kept");
        folder.keep_small(&id, b"smaller").expect("again, by a repeat of the message");
        assert_eq!(folder.bytes(), 8 + 7);
        assert_eq!(original(place.path(), &id).expect("read").as_deref(), Some(&b"original"[..]));
        assert_eq!(small(place.path(), &id).expect("read").as_deref(), Some(&b"smaller"[..]));
        assert_eq!(original(place.path(), &photo(0, "b")).expect("read"), None);

        let leftover = with_ending(photo(0, "c").stem(place.path()), ".jpg.unfinished");
        fs::write(&leftover, "half of a pic").expect("written");
        fs::write(place.path().join("notes.txt"), "of a person").expect("written");
        let again = Folder::open(place.path(), ROOMY).expect("opened");
        assert_eq!(again.bytes(), 15);
        assert!(!leftover.exists() && place.path().join("notes.txt").exists());
        assert_eq!(again.newest(10).expect("listed"), [id]);
    }

    #[test]
    fn old_days_are_forgotten_and_young_ones_kept() {
        let place = tempfile::tempdir().expect("a folder");
        let mut folder = Folder::open(place.path(), Bounds { keep_days: 2, ..ROOMY }).expect("opened");
        for days_ago in 0..5 {
            folder.keep(&photo(-days_ago, "a"), b"x", ImageFormat::Jpeg).expect("kept");
        }
        folder.forget_the_old(UtcMs(0)).expect("a clock that lost its battery forgets nothing");
        assert_eq!(folder.bytes(), 5);
        folder.forget_the_old(UtcMs(NOON)).expect("forgotten");
        let there = |days| original(place.path(), &photo(days, "a")).expect("read").is_some();
        assert_eq!([0, -1, -2, -3, -4].map(there), [true, true, true, false, false]);
        assert_eq!(day_names(place.path()).expect("listed").len(), 3, "no empty folders stay");
    }

    #[test]
    fn the_oldest_go_first_where_there_are_too_many() {
        let place = tempfile::tempdir().expect("a folder");
        let mut folder = Folder::open(place.path(), Bounds { max_mb: 1, ..ROOMY }).expect("opened");
        let quarter = vec![7; 256 * 1024];
        for n in 0..6 {
            folder.keep(&photo_at(NOON + n, "a"), &quarter, ImageFormat::Jpeg).expect("kept");
            assert!(folder.bytes() <= MB);
        }
        let there = |n| original(place.path(), &photo_at(NOON + n, "a")).expect("read").is_some();
        assert_eq!([0, 1, 2, 3, 4, 5].map(there), [false, false, true, true, true, true]);
    }

    #[test]
    fn a_full_disk_takes_the_oldest_and_then_nothing_more() {
        thread_local!(static FREE: std::cell::Cell<u64> = const { std::cell::Cell::new(0) });
        let place = tempfile::tempdir().expect("a folder");
        let mut folder = Folder::open(place.path(), Bounds { min_free_mb: 10, ..ROOMY }).expect("opened");
        folder.free_bytes = |_| Ok(FREE.get());
        FREE.set(20 * MB);
        folder.keep(&photo(-1, "a"), b"old", ImageFormat::Jpeg).expect("room enough");
        FREE.set(5 * MB);
        let refused = folder.keep(&photo(0, "a"), b"new", ImageFormat::Jpeg).expect_err("no room");
        assert!(matches!(refused, NotWritten::NoRoom { free_mb: 5, min_free_mb: 10 }), "{refused}");
        assert_eq!(folder.bytes(), 0, "the old one went, and it was not enough");
        assert!(!place.path().join("20260302").exists());
    }

    #[test]
    fn a_disk_that_refuses_leaves_nothing_behind() {
        let place = tempfile::tempdir().expect("a folder");
        let mut folder = Folder::open(place.path(), ROOMY).expect("opened");
        fs::write(place.path().join("20260302"), "no folder").expect("written");
        let refused = folder.keep(&photo(0, "a"), b"new", ImageFormat::Jpeg).expect_err("no folder");
        assert!(matches!(refused, NotWritten::Disk(_)), "{refused}");
        assert_eq!(folder.bytes(), 0);
    }

    fn photo(days: i64, event: &str) -> PhotoId {
        photo_at(NOON + days * DAY_MS, event)
    }

    fn photo_at(at: i64, event: &str) -> PhotoId {
        let read = PlateRead {
            lane: LaneId::from("exit-1"),
            device: DeviceId::from("camera"),
            event: event.to_owned(),
            plate: None,
            confidence: 0,
            captured: UtcMs(at),
            stored_offline: false,
            photos: None,
            told: Default::default(),
            earlier: Vec::new(),
        };
        PhotoId::of(&read, PhotoKind::Scene, &"0".repeat(64)).expect("a time of ours")
    }
}
