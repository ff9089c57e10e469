//! What is kept, what goes in its time, and what other people and clocks do to it.

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
fn old_days_are_forgotten_one_at_a_time_and_young_ones_kept() {
    let place = tempfile::tempdir().expect("a folder");
    let mut folder = days_of(place.path(), 2, -4..=0);
    fs::write(place.path().join("20260226/notes.txt"), "of a person").expect("written");
    folder.forget_the_old(UtcMs(0)).expect("a clock that lost its battery forgets nothing");
    assert_eq!(folder.bytes(), 5);
    for left in [4, 3, 3] {
        folder.look_again().expect("looked");
        folder.forget_the_old(UtcMs(NOON)).expect("forgotten");
        assert_eq!(folder.bytes(), left, "one day a round");
    }
    assert_eq!(there(place.path(), -4..=0), [-2, -1, 0]);
    assert!(!place.path().join("20260227").exists(), "no empty folder stays");
    assert!(place.path().join("20260226/notes.txt").exists(), "what is somebody else's stays");
}

#[test]
fn a_clock_far_ahead_removes_nothing_until_so_many_days_have_passed() {
    let place = tempfile::tempdir().expect("a folder");
    let mut folder = days_of(place.path(), 3, -3..=0);
    let left_after_rounds_on = |folder: &mut Folder, day: i64| {
        let ahead = UtcMs(NOON + (5000 + day) * DAY_MS);
        (0..10).for_each(|_| folder.forget_the_old(ahead).expect("a round"));
        there(place.path(), -3..=0)
    };
    assert_eq!(left_after_rounds_on(&mut folder, 0), [-3, -2, -1, 0], "no day has passed");
    assert_eq!(left_after_rounds_on(&mut folder, 1), [-2, -1, 0], "it was kept for three days");
    let mut folder = Folder::open(place.path(), folder.bounds).expect("a restart learns nothing new");
    assert_eq!(left_after_rounds_on(&mut folder, 1), [-2, -1, 0]);
    assert_eq!(left_after_rounds_on(&mut folder, 2), [-1, 0]);
    assert_eq!(left_after_rounds_on(&mut folder, 9), [-1, 0], "the clock jumps once more");
    assert_eq!(left_after_rounds_on(&mut folder, 10), [0]);
    assert_eq!(left_after_rounds_on(&mut folder, 11), [0; 0]);
}

#[test]
fn days_without_vehicles_pass_too() {
    let place = tempfile::tempdir().expect("a folder");
    let mut folder = days_of(place.path(), 2, 0..=0);
    for day in 1..=3 {
        assert_eq!(there(place.path(), 0..=0), [0], "on day {day}");
        folder.forget_the_old(UtcMs(NOON + day * DAY_MS)).expect("forgotten");
    }
    assert_eq!(there(place.path(), 0..=0), [0; 0]);
}

#[test]
fn what_somebody_removed_is_told_once_and_what_came_with_a_disk_is_measured() {
    let place = tempfile::tempdir().expect("a folder");
    let mut folder = days_of(place.path(), 30, -1..=0);
    folder.keep_small(&photo(-1, "a"), b"small").expect("kept");
    folder.forget_the_old(UtcMs(NOON + DAY_MS)).expect("an empty day");
    fs::remove_dir_all(place.path()).expect("removed");
    let other = place.path().join("20260220");
    fs::create_dir_all(&other).expect("made");
    fs::write(other.join("000000000-exit-1-0badcafe-s-0.jpg"), "of a disk").expect("written");
    folder.look_again().expect("looked");
    let days = ["20260301", "20260302"].map(|day| place.path().join(day)).to_vec();
    assert_eq!(folder.lost(), Lost { days, pictures: 2 });
    assert_eq!(folder.bytes(), 9);
    folder.look_again().expect("looked");
    assert_eq!(folder.lost(), Lost::default());
}

/// With one picture a day.
fn days_of(place: &Path, keep_days: u32, days: std::ops::RangeInclusive<i64>) -> Folder {
    let mut folder = Folder::open(place, Bounds { keep_days, ..ROOMY }).expect("opened");
    days.for_each(|day| folder.keep(&photo(day, "a"), b"x", ImageFormat::Jpeg).expect("kept"));
    folder
}

fn there(place: &Path, days: std::ops::RangeInclusive<i64>) -> Vec<i64> {
    days.filter(|day| original(place, &photo(*day, "a")).expect("read").is_some()).collect()
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
fn where_somebody_has_made_room_nothing_of_ours_goes() {
    let place = tempfile::tempdir().expect("a folder");
    let mut folder = Folder::open(place.path(), Bounds { max_mb: 1, ..ROOMY }).expect("opened");
    let third = vec![7; 340 * 1024];
    for day in [-2, -1, 0] {
        folder.keep(&photo(day, "a"), &third, ImageFormat::Jpeg).expect("kept");
    }
    fs::remove_dir_all(place.path().join("20260301")).expect("removed");
    folder.keep(&photo(0, "b"), &third, ImageFormat::Jpeg).expect("kept");
    assert_eq!(there(place.path(), -2..=0), [-2, 0]);
    assert_eq!(folder.lost().pictures, 1);
}

#[test]
fn a_disk_that_refuses_leaves_nothing_behind() {
    let place = tempfile::tempdir().expect("a folder");
    let mut folder = Folder::open(place.path(), ROOMY).expect("opened");
    fs::write(place.path().join("20260302"), "no folder").expect("written");
    let refused = folder.keep(&photo(0, "a"), b"new", ImageFormat::Jpeg).expect_err("no folder");
    assert!(matches!(refused, NotWritten::Disk(_)), "{refused}");
    assert!(refused.to_string().starts_with(&format!("{}/20260302: ", place.path().display())), "{refused}");
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
