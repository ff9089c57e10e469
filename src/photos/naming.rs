//! What a picture is called: its name says when, at which lane, of which arrival, and the hash of its bytes, so that no
//! second list is needed to find it or to prove it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use sha2::{Digest, Sha256};

use crate::domain::event::{LaneId, PhotoKind, PlateRead, UtcMs};
use crate::domain::plate::told::End;

/// `20260302-080000638-exit-1-0badcafe-s-<64 hex>`: day and time (UTC), lane, tag of the arrival, kind, SHA-256.
///
/// The kind is `s` for a scene and `p` for a plate, `rs` and `rp` where the lane's rear camera took it. The day is also the folder. Everything in it follows from the plate read that the journal holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PhotoId {
    day: String,
    time: String,
    lane: LaneId,
    tag: Tag,
    end: End,
    kind: PhotoKind,
    sha256: String,
}

/// Which arrival at a lane a picture belongs to: the first four bytes of SHA-256 over the camera's identity of the event.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tag(String);

impl Tag {
    /// The tag of a camera's event.
    pub fn of(event: &str) -> Self {
        Self(hex::encode(&Sha256::digest(event)[..4]))
    }
}

impl PhotoId {
    /// The name of a read's picture; `None` where the read's time is no date of the years 1970 to 9999.
    pub fn of(read: &PlateRead, kind: PhotoKind, sha256: &str) -> Option<Self> {
        let (day, time) = day_and_time(read.captured)?;
        let (lane, tag) = (read.lane.clone(), Tag::of(&read.event));
        Some(Self { day, time, lane, tag, end: read.told.end, kind, sha256: sha256.to_owned() })
    }

    /// The name in the spool, before the hash is known: the number of bytes stands in its place.
    pub(super) fn unhashed(read: &PlateRead, kind: PhotoKind, bytes: usize) -> Option<Self> {
        Self::of(read, kind, &format!("{bytes:064}"))
    }

    /// How many bytes a picture of the spool has where it is whole.
    pub(super) fn bytes_of_unhashed(&self) -> Option<u64> {
        self.sha256.parse().ok()
    }

    /// The same picture under its hash.
    pub(super) fn hashed(self, sha256: String) -> Self {
        Self { sha256, ..self }
    }

    /// The lane.
    pub fn lane(&self) -> &LaneId {
        &self.lane
    }

    /// Which arrival.
    pub fn tag(&self) -> &Tag {
        &self.tag
    }

    /// Which of the lane's cameras took it.
    pub fn end(&self) -> End {
        self.end
    }

    /// Of what it is.
    pub fn kind(&self) -> PhotoKind {
        self.kind
    }

    /// SHA-256 of the bytes as the camera sent them, in hex; for a plate that the box cut out, of the scene's.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// The plate that the box cuts out of this scene. It bears the hash of what it was cut out of, which the journal
    /// holds.
    pub(super) fn of_its_plate(&self) -> Self {
        Self { kind: PhotoKind::Plate, ..self.clone() }
    }

    /// When the arrival was read.
    pub fn at(&self) -> UtcMs {
        let text = format!("{}{}", self.day, self.time);
        let civil = jiff::civil::DateTime::strptime("%Y%m%d%H%M%S%3f", &text);
        let moment = civil.and_then(|civil| civil.to_zoned(jiff::tz::TimeZone::UTC));
        UtcMs(moment.map_or(0, |moment| moment.timestamp().as_millisecond()))
    }

    /// The folder of its day.
    pub(super) fn day(&self) -> &str {
        &self.day
    }

    /// Its file, without the ending that tells what is in it.
    pub(super) fn stem(&self, directory: &Path) -> PathBuf {
        directory.join(&self.day).join(self.file_stem())
    }

    /// The picture whose file has this stem in the folder of this day.
    pub(super) fn of_file(day: &str, stem: &str) -> Option<Self> {
        format!("{day}-{stem}").parse().ok()
    }

    fn file_stem(&self) -> String {
        let kind = match (self.end, self.kind) {
            (End::Front, PhotoKind::Scene) => "s",
            (End::Front, PhotoKind::Plate) => "p",
            (End::Rear, PhotoKind::Scene) => "rs",
            (End::Rear, PhotoKind::Plate) => "rp",
        };
        format!("{}-{}-{}-{kind}-{}", self.time, self.lane, self.tag.0, self.sha256)
    }
}

impl fmt::Display for PhotoId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.day, self.file_stem())
    }
}

/// A text that is no picture's name. It becomes a path only after every part of it was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the name of a picture")]
pub struct NotAPhotoId;

impl FromStr for PhotoId {
    type Err = NotAPhotoId;

    fn from_str(text: &str) -> Result<Self, NotAPhotoId> {
        parse(text).ok_or(NotAPhotoId)
    }
}

fn parse(text: &str) -> Option<PhotoId> {
    let (day, rest) = text.split_once('-')?;
    let (time, rest) = rest.split_once('-')?;
    let mut from_the_end = rest.rsplitn(4, '-');
    let (sha256, kind, tag) = (from_the_end.next()?, from_the_end.next()?, from_the_end.next()?);
    let lane = from_the_end.next()?;
    let is_digits = |text: &str, count| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_hex =
        |text: &str, count| text.len() == count && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let is_name = (1..=LANE_CHARS_MAX).contains(&lane.len())
        && lane.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    let is_right = is_digits(day, 8) && is_digits(time, 9) && is_name && is_hex(tag, 8) && is_hex(sha256, 64);
    let (end, kind) = match kind {
        "s" => (End::Front, PhotoKind::Scene),
        "p" => (End::Front, PhotoKind::Plate),
        "rs" => (End::Rear, PhotoKind::Scene),
        "rp" => (End::Rear, PhotoKind::Plate),
        _ => return None,
    };
    let (day, time, sha256) = (day.to_owned(), time.to_owned(), sha256.to_owned());
    is_right.then(|| PhotoId { day, time, lane: LaneId(lane.to_owned()), tag: Tag(tag.to_owned()), end, kind, sha256 })
}

/// As long as the settings allow a lane's name to be.
const LANE_CHARS_MAX: usize = 40;

/// The folder of a moment's day; `None` outside of the years 1970 to 9999.
pub(super) fn day_and_time(at: UtcMs) -> Option<(String, String)> {
    let moment = jiff::Timestamp::from_millisecond(at.0).ok()?.to_zoned(jiff::tz::TimeZone::UTC);
    (1970..=9999).contains(&moment.year()).then(|| {
        let text = |format| moment.strftime(format).to_string();
        (text("%Y%m%d"), text("%H%M%S%3f"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str =
        "20260302-080000638-exit-1-0badcafe-s-e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn a_name_reads_back_as_itself_and_knows_its_moment() {
        let id: PhotoId = NAME.parse().expect("a name");
        assert_eq!(id.to_string(), NAME);
        assert_eq!((id.lane().as_str(), id.end(), id.kind()), ("exit-1", End::Front, PhotoKind::Scene));
        for (letters, end, kind) in [
            ("p", End::Front, PhotoKind::Plate),
            ("rs", End::Rear, PhotoKind::Scene),
            ("rp", End::Rear, PhotoKind::Plate),
        ] {
            let name = NAME.replace("-s-", &format!("-{letters}-"));
            let other: PhotoId = name.parse().expect("a name");
            assert_eq!((other.to_string(), other.end(), other.kind()), (name, end, kind));
        }
        assert_eq!(id.at(), UtcMs(1_772_438_400_638));
        assert_eq!(day_and_time(id.at()), Some(("20260302".to_owned(), "080000638".to_owned())));
        assert_eq!(day_and_time(UtcMs(-1)), None);
        assert_eq!(day_and_time(UtcMs(i64::MAX)), None);
    }

    #[test]
    fn nothing_that_could_leave_the_folder_is_a_name() {
        let sha = &NAME[NAME.len() - 64..];
        for lane in ["..", "../..", "a/b", "a\\b", "", ".", "a.b", "ä", "a\0", "%2e%2e", &"x".repeat(41)] {
            let text = format!("20260302-080000638-{lane}-0badcafe-s-{sha}");
            assert!(text.parse::<PhotoId>().is_err(), "{text}");
        }
        for (from, to) in [
            ("20260302", "../../.."),
            ("20260302", "2026030"),
            ("080000638", "08000063/"),
            ("0badcafe", "0badcaf/"),
            ("-s-", "-x-"),
            ("-s-", "-r-"),
            ("e3b0", "E3B0"),
            ("e3b0", "e3b/"),
        ] {
            let text = NAME.replacen(from, to, 1);
            assert!(text.parse::<PhotoId>().is_err(), "{text}");
        }
        for text in ["", "-", "../../etc/passwd", "20260302", &NAME[..NAME.len() - 1], &format!("{NAME}0")] {
            assert!(text.parse::<PhotoId>().is_err(), "{text}");
        }
    }
}
