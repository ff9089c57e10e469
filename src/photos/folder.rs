//! The folder on disk: a folder for each day, each picture written whole or not at all, the oldest gone first.

#[cfg(test)]
mod tests;

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
    /// The oldest first. One is made for each day that the box lives through, with pictures or without.
    days: BTreeMap<String, Day>,
    lost: Lost,
    free_bytes: fn(&Path) -> io::Result<u64>,
}

/// What lies in a day's folder.
#[derive(Clone, Copy, Debug, Default)]
struct Day {
    bytes: u64,
    /// As the cameras sent them; small ones are not counted.
    pictures: u64,
}

/// What was there and is not, and the box did not remove it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// The folders of its days.
    pub days: Vec<PathBuf>,
    /// How many pictures lay in them.
    pub pictures: u64,
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
        let mut folder =
            Self { directory: directory.to_owned(), bounds, days: BTreeMap::new(), lost: Lost::default(), free_bytes };
        folder.look_again()?;
        Ok(folder)
    }

    /// Bytes of all pictures.
    pub fn bytes(&self) -> u64 {
        self.days.values().map(|day| day.bytes).sum()
    }

    /// What was found to be gone since this was asked last.
    pub fn lost(&mut self) -> Lost {
        std::mem::take(&mut self.lost)
    }

    /// What other people did to the folder meanwhile: it is made again where it is gone, days that are gone are lost, and
    /// days that came with a disk are measured.
    pub fn look_again(&mut self) -> io::Result<()> {
        make(&self.directory)?;
        let there = day_names(&self.directory)?;
        for day in self.days.keys().filter(|day| !there.contains(*day)).cloned().collect::<Vec<_>>() {
            let gone = self.days.remove(&day).unwrap_or_default();
            self.lost.pictures += gone.pictures;
            // A day without pictures is no loss.
            if gone.bytes > 0 {
                self.lost.days.push(self.directory.join(day));
            }
        }
        for day in there {
            if !self.days.contains_key(&day)
                && let Some(measured) = measure(&self.directory.join(&day))?
            {
                self.days.insert(day, measured);
            }
        }
        Ok(())
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

    /// Removes the oldest day where the settings keep it no longer: one and no more, so that a mistake can be seen before
    /// everything is gone.
    ///
    /// The clock alone is not believed. A day goes when it is too old by the clock *and* the box has lived through as many
    /// midnights since. So a clock that is wrong by years removes nothing at once, and one day for each day that passes;
    /// and a box that was off for a month keeps its pictures for that month longer.
    pub fn forget_the_old(&mut self, now: UtcMs) -> io::Result<()> {
        let kept = i64::from(self.bounds.keep_days);
        let first_kept = day_and_time(UtcMs(now.0.saturating_sub(kept * DAY_MS)));
        let (Some((today, _)), Some((first_kept, _))) = (day_and_time(now), first_kept) else { return Ok(()) };
        make(&self.directory.join(&today))?;
        self.days.entry(today).or_default();
        let oldest = self.days.keys().next().filter(|day| **day < first_kept).cloned();
        if let Some(day) = oldest.filter(|_| self.midnights() > kept) {
            self.remove_the_oldest_of(&day, u64::MAX)?;
        }
        Ok(())
    }

    /// How many nights the box has lived through since the oldest day: those with a day before and one after them.
    fn midnights(&self) -> i64 {
        let nights = self.days.keys().zip(self.days.keys().skip(1));
        nights.filter(|(before, after)| is_next(before, after)).count() as i64
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
        let day = self.directory.join(id.day());
        if !day.is_dir() {
            // It is new, or somebody has removed it.
            self.look_again()?;
        }
        self.make_room(bytes)?;
        let file = with_ending(id.stem(&self.directory), ending);
        make(&day)?;
        let before = fs::metadata(&file).ok().map(|there| there.len());
        put(&file).map_err(at(&file))?;
        let of_day = self.days.entry(id.day().to_owned()).or_default();
        of_day.bytes = of_day.bytes.saturating_sub(before.unwrap_or(0)) + bytes;
        of_day.pictures += u64::from(before.is_none() && ending != SMALL);
        Ok(())
    }

    fn make_room(&mut self, needed: u64) -> Result<(), NotWritten> {
        if self.to_remove(needed)? == 0 {
            return Ok(());
        }
        // Somebody else may have made room.
        self.look_again()?;
        let mut to_remove = self.to_remove(needed)?;
        while to_remove > 0
            && let Some(day) = self.days.keys().next().cloned()
        {
            to_remove = self.remove_the_oldest_of(&day, to_remove)?;
        }
        let (free, min_free_mb) = ((self.free_bytes)(&self.directory)?, self.bounds.min_free_mb);
        if free < min_free_mb * MB + needed {
            return Err(NotWritten::NoRoom { free_mb: free / MB, min_free_mb });
        }
        Ok(())
    }

    /// How many bytes have to go so that so many find room.
    fn to_remove(&self, needed: u64) -> io::Result<u64> {
        let Bounds { min_free_mb, max_mb, .. } = self.bounds;
        let too_many = (self.bytes() + needed).saturating_sub(max_mb * MB);
        let free = (self.free_bytes)(&self.directory)?;
        let too_full = (min_free_mb * MB + needed).saturating_sub(free);
        Ok(match (too_many, too_full) {
            (0, 0) => 0,
            (0, too_full) => too_full + min_free_mb * MB / ROOM_MADE,
            (too_many, too_full) => too_full.max(too_many + max_mb * MB / ROOM_MADE),
        })
    }

    /// How many bytes of `to_remove` are still to go afterwards.
    fn remove_the_oldest_of(&mut self, day: &str, mut to_remove: u64) -> io::Result<u64> {
        let folder = self.directory.join(day);
        for name in names(&folder)? {
            if to_remove == 0 {
                return Ok(0);
            }
            let file = folder.join(&name);
            let bytes = fs::metadata(&file).map_err(at(&file))?.len();
            fs::remove_file(&file).map_err(at(&file))?;
            to_remove = to_remove.saturating_sub(bytes);
            if let Some(of_day) = self.days.get_mut(day) {
                of_day.bytes = of_day.bytes.saturating_sub(bytes);
                of_day.pictures = of_day.pictures.saturating_sub(u64::from(!name.ends_with(SMALL)));
            }
        }
        self.day_is_over(day)?;
        Ok(to_remove)
    }

    /// What somebody else put there stays, and is no reason to stop.
    fn day_is_over(&mut self, day: &str) -> io::Result<()> {
        self.days.remove(day);
        let folder = self.directory.join(day);
        match fs::remove_dir(&folder) {
            Err(error) if error.kind() != io::ErrorKind::DirectoryNotEmpty => Err(at(&folder)(error)),
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
        Err(error) => Err(at(file)(error)),
    }
}

/// A folder with those above it. Nobody else on the box may look at what is in it.
pub fn make(directory: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(at(directory))
}

/// Nothing is synced.
pub fn create(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut open = fs::OpenOptions::new();
    let written = open.write(true).create(true).truncate(true).mode(0o600).open(file);
    written.and_then(|mut file| file.write_all(bytes)).map_err(at(file))
}

/// The system's errors do not say of which file they are.
fn at(path: &Path) -> impl FnOnce(io::Error) -> io::Error {
    let path = path.to_owned();
    move |error| io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

fn with_ending(stem: PathBuf, ending: &str) -> PathBuf {
    let mut name = stem.into_os_string();
    name.push(ending);
    name.into()
}

/// Folders of ours: eight digits. What else somebody put there is left alone.
fn day_names(directory: &Path) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).map_err(at(directory))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.len() == 8 && name.bytes().all(|byte| byte.is_ascii_digit()) && entry.file_type()?.is_dir() {
            found.push(name);
        }
    }
    Ok(found)
}

/// A day's folder as it is found, without what a crash left unfinished; `None` where only other people's files are left.
fn measure(folder: &Path) -> io::Result<Option<Day>> {
    let (mut day, mut others) = (Day::default(), 0);
    for file in fs::read_dir(folder).map_err(at(folder))? {
        let file = file?;
        let name = file.file_name().to_string_lossy().into_owned();
        if name.ends_with(UNFINISHED) {
            fs::remove_file(file.path()).map_err(at(&file.path()))?;
        } else if is_ours(&name) {
            day.bytes += file.metadata()?.len();
            day.pictures += u64::from(!name.ends_with(SMALL));
        } else {
            others += 1;
        }
    }
    Ok((day.bytes > 0 || others == 0).then_some(day))
}

fn is_next(before: &str, after: &str) -> bool {
    let date = |day| jiff::civil::Date::strptime("%Y%m%d", day).ok();
    date(before).and_then(|day| day.tomorrow().ok()).is_some_and(|next| date(after) == Some(next))
}

fn is_ours(name: &str) -> bool {
    ENDINGS.iter().any(|ending| name.ends_with(ending))
}

/// The files of a day in the order of their names, which is the order of their times.
fn names(day: &Path) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(day).map_err(at(day))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if is_ours(&name) {
            found.push(name);
        }
    }
    found.sort();
    Ok(found)
}

/// What is free on the disk of a folder.
pub fn free_bytes(directory: &Path) -> io::Result<u64> {
    let disk = rustix::fs::statvfs(directory).map_err(|error| at(directory)(error.into()))?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}
