//! A folder of pictures for the tests of the rooms that show them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::spool::Disk;
use super::{Bounds, Clock, Intake, Photos, Settings};
use crate::domain::event::{DeviceId, LaneId, PlateRead, UtcMs};
use crate::metrics::Metrics;

/// 2026-03-02T12:00:00Z.
pub const NOON_MS: i64 = 1_772_452_800_000;

/// Pictures in a folder, nothing blurred.
pub fn open(directory: &Path) -> (Photos, Intake, Arc<Metrics>) {
    open_with(settings(directory))
}

/// The same with other settings. A test's machine may be slow: every read waits for its pictures.
pub fn open_with(settings: Settings) -> (Photos, Intake, Arc<Metrics>) {
    open_on(Disk { wait_max: Duration::from_secs(20), ..Disk::default() }, settings)
}

/// The same on a disk of the test's.
pub(super) fn open_on(disk: Disk, settings: Settings) -> (Photos, Intake, Arc<Metrics>) {
    let metrics = Arc::new(Metrics::default());
    let now: Clock = Arc::new(|| UtcMs(NOON_MS));
    let (photos, intake) = Photos::open_on(disk, settings, now, Arc::clone(&metrics)).expect("a thread");
    (photos, intake, metrics)
}

/// A site's, without a bound on the free disk: a test's machine may be full.
pub fn settings(directory: &Path) -> Settings {
    Settings {
        directory: directory.to_owned(),
        bounds: Bounds { keep_days: 30, min_free_mb: 0, max_mb: 100 },
        blur: BTreeMap::new(),
        zone: jiff::tz::TimeZone::fixed(jiff::tz::offset(8)),
    }
}

/// A read at a lane.
pub fn read(lane: &str, event: &str) -> PlateRead {
    PlateRead {
        lane: LaneId::from(lane),
        device: DeviceId::from("camera"),
        event: event.to_owned(),
        plate: None,
        confidence: 90,
        captured: UtcMs(NOON_MS),
        stored_offline: false,
        photos: None,
        told: Default::default(),
        earlier: Vec::new(),
    }
}

/// Whether a file of the folder or its spool holds these bytes.
pub fn is_on_disk(directory: &Path, bytes: &[u8]) -> bool {
    files_below(directory).iter().any(|(_, found)| found == bytes)
}

/// Every file with its bytes.
pub fn files_below(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let found = paths.flat_map(|path| match std::fs::read(&path) {
        Ok(bytes) => vec![(path.to_string_lossy().into_owned(), bytes)],
        Err(_) => files_below(&path),
    });
    found.collect()
}

/// A right JPEG.
pub fn jpeg(width: u32, height: u32) -> Vec<u8> {
    super::picture::tests::jpeg(width, height)
}
