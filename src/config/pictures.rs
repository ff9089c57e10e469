//! `[photos]`, and `photos` of lanes and cameras: where pictures are, how long, and what of them nobody sees.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use super::File;
use crate::devices::settings::{LaneConfig, SeenConfig};
use crate::domain::event::LaneId;
use crate::domain::plate::told::End;
use crate::photos::{Area, Bounds, Settings};
use crate::profile::mistake::{Mistake, Source};

/// How long a picture may be kept: above a year nobody could say what for.
const KEEP_DAYS: std::ops::RangeInclusive<u32> = 0..=366;
/// Megabytes; the least holds a day of a small site, the most is a disk of sixteen terabytes.
const PHOTOS_MB: std::ops::RangeInclusive<u64> = 16..=16_000_000;
/// Megabytes that can be asked to stay free.
const FREE_MB: std::ops::RangeInclusive<u64> = 0..=16_000_000;

/// `[photos]`: pictures of arrivals.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct PhotosConfig {
    /// Where they are; beside the ledger where it is not given.
    directory: Option<PathBuf>,
    /// Days that a picture is kept; 0: none are taken.
    keep_days: Spanned<u32>,
    /// Megabytes that stay free on their disk.
    min_free_mb: Spanned<u64>,
    /// Megabytes that all of them may take.
    max_mb: Spanned<u64>,
}

impl Default for PhotosConfig {
    fn default() -> Self {
        Self {
            directory: None,
            keep_days: Spanned::new(0..0, 30),
            min_free_mb: Spanned::new(0..0, 512),
            max_mb: Spanned::new(0..0, 8192),
        }
    }
}

/// The pictures' settings, as far as they are right.
pub(super) fn photos_of(
    file: &File,
    zone: &jiff::tz::TimeZone,
    source: &Source<'_>,
    mistakes: &mut Vec<Mistake>,
) -> Settings {
    let PhotosConfig { directory, keep_days, min_free_mb, max_mb } = &file.photos;
    if !KEEP_DAYS.contains(keep_days.get_ref()) {
        let wrong = format!("keep_days is {}", keep_days.get_ref());
        mistakes.push(source.mistake(keep_days.span(), wrong, "0 (none are taken) to 366"));
    }
    for (name, given, range) in [("min_free_mb", min_free_mb, FREE_MB), ("max_mb", max_mb, PHOTOS_MB)] {
        if !range.contains(given.get_ref()) {
            let allowed = format!("{} to {}", range.start(), range.end());
            mistakes.push(source.mistake(given.span(), format!("{name} is {}", given.get_ref()), allowed));
        }
    }
    let beside = file.ledger.file.parent().unwrap_or(Path::new("")).join("photos");
    Settings {
        directory: directory.clone().unwrap_or(beside),
        bounds: Bounds {
            keep_days: *keep_days.get_ref(),
            min_free_mb: *min_free_mb.get_ref(),
            max_mb: *max_mb.get_ref(),
        },
        blur: blur(file, source, mistakes),
        zone: zone.clone(),
    }
}

/// A camera's own area, or that of its lane.
fn blur(file: &File, source: &Source<'_>, mistakes: &mut Vec<Mistake>) -> BTreeMap<(LaneId, End), Area> {
    let mut of_devices = BTreeMap::new();
    for device in file.devices.iter().filter(|device| device.photos.blur.is_some()) {
        let id = device.id.get_ref();
        if !file.lanes.iter().any(|lane| cameras(lane).any(|(_, camera)| camera == id)) {
            let wrong = format!("{id} is the camera of no lane, and its pictures are no lane's");
            mistakes.push(source.mistake(device.id.span(), wrong, "photos of a lane's camera or rear_camera"));
        }
        of_devices.insert(id, area(&device.photos, source, mistakes));
    }
    let mut blur = BTreeMap::new();
    for lane in &file.lanes {
        let of_lane = area(&lane.photos, source, mistakes);
        for (end, camera) in cameras(lane) {
            if let Some(area) = of_devices.get(camera).copied().flatten().or(of_lane) {
                blur.insert((LaneId(lane.id.get_ref().clone()), end), area);
            }
        }
    }
    blur
}

fn cameras(lane: &LaneConfig) -> impl Iterator<Item = (End, &String)> {
    let front = (End::Front, lane.camera.get_ref());
    let rear = lane.rear_camera.as_ref().map(|rear| (End::Rear, rear.get_ref()));
    std::iter::once(front).chain(rear)
}

fn area(of: &SeenConfig, source: &Source<'_>, mistakes: &mut Vec<Mistake>) -> Option<Area> {
    let given = of.blur.as_ref()?;
    let [x, y, width, height] = *given.get_ref();
    let fits = |from: u16, size: u16| size > 0 && u32::from(from) + u32::from(size) <= 1000;
    if !(fits(x, width) && fits(y, height)) {
        let allowed = "left, top, width, height in thousandths; neither beyond 1000 nor without size";
        mistakes.push(source.mistake(given.span(), "the area does not lie in the picture", allowed));
    }
    Some(Area { x, y, width, height })
}
