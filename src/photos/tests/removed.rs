//! Somebody removes pictures beside the box, or its clock goes wrong: what is left is kept, and what was lost is told.

use super::super::sample::{NOON_MS, files_below};
use super::*;

#[tokio::test]
async fn a_day_that_somebody_removes_is_made_again_by_the_next_picture_and_its_loss_is_counted() {
    check_removal(|place| place.join("20260302"), 2).await;
}

#[tokio::test]
async fn a_whole_folder_that_somebody_removes_is_made_again_by_the_next_picture() {
    check_removal(|place| place.to_owned(), 2).await;
}

/// Two arrivals, then the removal, then a third arrival, which is written before its decision as ever.
async fn check_removal(what: impl Fn(&std::path::Path) -> PathBuf, lost: u64) {
    let place = tempfile::tempdir().expect("a folder");
    let directory = place.path().join("photos");
    let (photos, intake, metrics) = open(&directory);
    let (mut changes, desk) = (photos.changes(), intake.desk());
    let lane = LaneId::from("exit-1");
    let picture = jpeg(64, 48);
    for event in ["e-1", "e-2"] {
        all(desk.take(&read("exit-1", event), vec![(PhotoKind::Scene, picture.clone())]).kept).await;
        until(&mut changes, || photos.of_arrival(&lane, event).scene.is_some()).await;
    }
    std::fs::remove_dir_all(what(&directory)).expect("removed");

    let mut third = desk.take(&read("exit-1", "e-3"), vec![(PhotoKind::Scene, picture.clone())]);
    desk.spooled(&mut third.kept).await;
    assert_eq!(metrics.photos_late(), 0, "the spool is made again too");
    all(third.kept).await;
    until(&mut changes, || photos.of_arrival(&lane, "e-3").scene.is_some()).await;
    let id = photos.of_arrival(&lane, "e-3").scene.expect("there");
    assert_eq!(folder::original(&directory, &id).expect("read"), Some(picture));
    assert_eq!((metrics.photos_kept(), metrics.photos_lost()), (3, lost));
    assert_eq!(metrics.rejections("photos", "photo-not-written"), 0, "no picture is left out for it");
    let there: u64 = files_below(&directory).iter().map(|(_, bytes)| bytes.len() as u64).sum();
    assert_eq!(metrics.photos_on_disk(), there);
}

#[tokio::test]
async fn a_start_with_a_clock_far_ahead_removes_no_picture() {
    let place = tempfile::tempdir().expect("a folder");
    let day = place.path().join("20250101");
    std::fs::create_dir(&day).expect("made");
    let file = day.join("000000000-exit-1-0badcafe-s-0.jpg");
    std::fs::write(&file, "a picture").expect("written");
    // By its clock more than a year later.
    let (photos, intake, _) = open(place.path());
    let mut changes = photos.changes();
    intake.desk().take(&read("exit-1", "e-1"), vec![(PhotoKind::Scene, jpeg(64, 48))]);
    until(&mut changes, || photos.of_arrival(&LaneId::from("exit-1"), "e-1").scene.is_some()).await;
    assert!(file.exists(), "no time has passed since it was taken");
    assert_eq!(photos.of_arrival(&LaneId::from("exit-1"), "e-1").scene.expect("there").at(), UtcMs(NOON_MS));
}
