//! Pictures from a link to the disk and to those who may see them, and what happens to those that are none.

use super::sample::{NOON_MS, jpeg, open, open_with, read, settings};
use super::*;

mod removed;
mod spooling;

/// Far beyond what any step takes, so that only a fault reaches it.
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_picture_is_on_disk_before_its_message_may_be_forgotten_and_proves_itself() {
    let place = tempfile::tempdir().expect("a folder");
    let (photos, intake, metrics) = open(place.path());
    let mut changes = photos.changes();
    let scene = jpeg(1280, 720);
    let mut read = read("exit-1", "e-1");
    let taken = intake.desk().take(&read, vec![(PhotoKind::Scene, scene.clone()), (PhotoKind::Plate, jpeg(120, 40))]);
    read.photos = taken.hashes;
    let hashes = read.photos.clone().expect("both were taken");
    let sha256 = hex::encode(Sha256::digest(&scene));
    assert_eq!(hashes.scene.as_deref(), Some(sha256.as_str()));
    all(taken.kept).await;
    let id = PhotoId::of(&read, PhotoKind::Scene, &sha256).expect("a time of ours");
    assert_eq!(folder::original(place.path(), &id).expect("read"), Some(scene), "as the camera sent it");
    assert_eq!(metrics.photos_kept(), 2);

    until(&mut changes, || photos.of_arrival(&read.lane, "e-1").plate.is_some()).await;
    let arrival = photos.of_arrival(&read.lane, "e-1");
    assert_eq!(arrival.scene.as_ref(), Some(&id));
    assert_eq!(photos.of_arrival(&read.lane, "e-2"), Arrival::default());
    let small = photos.small(id.clone()).await.expect("read").expect("there");
    let full = photos.full(id.clone()).await.expect("made").expect("there");
    assert!(small.len() < full.len() && full.starts_with(&[0xFF, 0xD8]));

    let tally = |read: &PlateRead| {
        let mut checker = Checker::new(place.path());
        checker.look(7, read).expect("looked");
        checker.tally()
    };
    assert_eq!(tally(&read), Tally { matching: 2, ..Tally::default() });
    let file = place.path().join(format!("20260302/120000000-exit-1-{}-s-{sha256}.jpg", hex_tag("e-1")));
    let mut bytes = std::fs::read(&file).expect("where the name says");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, &bytes).expect("written");
    assert_eq!(tally(&read).altered, [format!("entry 7: the picture {id}")]);
    std::fs::remove_file(&file).expect("removed");
    assert_eq!(tally(&read), Tally { matching: 1, gone: 1, altered: Vec::new() });
}

/// Time passes beside the test too, so that only the wait's end, never its length, can be held to more than this.
#[tokio::test]
async fn a_picture_takes_no_core_and_no_disk_while_its_vehicle_is_being_decided() {
    let place = tempfile::tempdir().expect("a folder");
    let (_photos, intake, metrics) = open(place.path());
    let handed_in = Instant::now();
    let mut taken = intake.desk().take(&read("exit-1", "e-1"), vec![(PhotoKind::Scene, jpeg(120, 40))]);
    let Some(Pending { on_disk, decided, .. }) = taken.kept.pop() else { panic!("it was not taken") };
    timeout(PATIENCE, on_disk).await.expect("it waits for a decision, but not for ever").expect_err("dropped");
    assert!(handed_in.elapsed() >= worker::DECISION_MAX, "on disk before its vehicle was decided");
    assert_eq!(metrics.photos_kept(), 1);
    drop(decided);
}

/// By what the kernel says of the thread: proc(5), `stat`, field 41; `SCHED_IDLE` is 5.
#[tokio::test]
async fn the_thread_that_keeps_pictures_runs_when_nothing_else_would() {
    let place = tempfile::tempdir().expect("a folder");
    let (_photos, intake, _) = open(place.path());
    all(intake.desk().take(&read("exit-1", "e-1"), vec![(PhotoKind::Scene, jpeg(120, 40))]).kept).await;
    let threads = std::fs::read_dir("/proc/self/task").expect("our threads");
    let stats = threads.filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("stat")).ok());
    let policies: Vec<String> = stats
        .filter_map(|stat| {
            let (name, rest) = stat.rsplit_once(") ")?;
            name.ends_with("(photos").then(|| rest.split(' ').nth(38).unwrap_or("no policy").to_owned())
        })
        .collect();
    // Threads of other tests may only just have begun; this one has kept a picture.
    assert!(policies.iter().any(|policy| policy == "5"), "{policies:?}");
}

#[tokio::test]
async fn a_scene_alone_gives_a_plate_where_the_camera_tells_where_it_is() {
    let place = tempfile::tempdir().expect("a folder");
    let (photos, intake, metrics) = open(place.path());
    let mut changes = photos.changes();
    let (desk, scene, lane) = (intake.desk(), jpeg(640, 360), LaneId::from("exit-1"));
    let plate_box = Some(PlateBox { left: 200, top: 100, right: 360, bottom: 140, of: None });
    let brought = |pictures: Vec<(PhotoKind, Vec<u8>)>| Brought { plate_box, ..pictures.into() };
    let taken = desk.take(&read("exit-1", "e-1"), brought(vec![(PhotoKind::Scene, scene.clone())]));
    let hashes = taken.hashes.expect("the scene was taken");
    assert_eq!(hashes.plate, None, "the journal holds what the camera sent, and nothing of ours");
    until(&mut changes, || photos.of_arrival(&lane, "e-1").plate.is_some()).await;
    let plate = photos.of_arrival(&lane, "e-1").plate.expect("cut out");
    assert_eq!(Some(plate.sha256()), hashes.scene.as_deref(), "it is called after the scene that it is of");
    let shown = photos.small(plate.clone()).await.expect("read").expect("there");
    assert_eq!(photos.full(plate.clone()).await.expect("read"), Some(shown), "there is no larger one");
    assert_eq!(metrics.photos_kept(), 1, "one picture came");

    // The camera's own picture of the plate is better than anything cut out.
    let own = vec![(PhotoKind::Scene, scene), (PhotoKind::Plate, jpeg(120, 40))];
    let own = desk.take(&read("exit-1", "e-2"), brought(own)).hashes.and_then(|hashes| hashes.plate);
    until(&mut changes, || photos.of_arrival(&lane, "e-2").plate.is_some()).await;
    let plate_of_two = photos.of_arrival(&lane, "e-2").plate.expect("the camera's");
    assert_eq!(Some(plate_of_two.sha256()), own.as_deref());
    until_so(|| metrics.photos_kept() == 3).await;
    let files = std::fs::read_dir(place.path().join("20260302")).expect("a day").count();
    assert_eq!(files, 3 + 4, "scene, small scene, cut plate; scene, plate, and both small");

    drop((photos, intake, desk));
    let (photos, _intake, _) = open(place.path());
    let mut changes = photos.changes();
    until(&mut changes, || photos.of_arrival(&lane, "e-1").plate.as_ref() == Some(&plate)).await;
}

#[test]
fn a_picture_says_its_lane_and_the_site_s_time_and_hides_the_seat_of_its_lane_s_scenes() {
    let place = tempfile::tempdir().expect("a folder");
    let seat = Area { x: 100, y: 200, width: 300, height: 400 };
    let other = Area { x: 0, ..seat };
    let blur = [((LaneId::from("exit-1"), End::Front), seat), ((LaneId::from("exit-1"), End::Rear), other)].into();
    let settings = Settings { blur, ..settings(place.path()) };
    let finish = |lane: &str, kind| {
        let id = PhotoId::of(&read(lane, "e-1"), kind, &"0".repeat(64)).expect("a time of ours");
        let Finish { blur, words } = settings.finish(&id);
        (words, blur)
    };
    assert_eq!(finish("exit-1", PhotoKind::Scene), ("exit-1 2026-03-02 20:00:00".to_owned(), Some(seat)));
    assert_eq!(finish("exit-1", PhotoKind::Plate), ("exit-1 2026-03-02 20:00:00".to_owned(), None));
    let mut rear = read("exit-1", "rear e-1");
    rear.told.end = End::Rear;
    let id = PhotoId::of(&rear, PhotoKind::Scene, &"0".repeat(64)).expect("a time of ours");
    assert_eq!(settings.finish(&id).blur, Some(other), "the seat is elsewhere from behind");
    assert_eq!(finish("exit-2", PhotoKind::Scene), ("exit-2 2026-03-02 20:00:00".to_owned(), None));
}

/// The settings' area reaches what people see, in both sizes.
#[tokio::test]
async fn nobody_sees_the_seat_that_the_settings_hide() {
    let all = Area { x: 0, y: 0, width: 1000, height: 1000 };
    let blur = [((LaneId::from("exit-1"), End::Front), all)].into();
    let place = tempfile::tempdir().expect("a folder");
    let (photos, intake, _) = open_with(Settings { blur, ..settings(place.path()) });
    let mut changes = photos.changes();
    for lane in ["exit-1", "exit-2"] {
        intake.desk().take(&read(lane, "e-1"), vec![(PhotoKind::Scene, picture::tests::striped())]);
        let lane = LaneId::from(lane);
        until(&mut changes, || photos.of_arrival(&lane, "e-1").scene.is_some()).await;
        let id = photos.of_arrival(&lane, "e-1").scene.expect("there");
        for shown in [photos.small(id.clone()).await, photos.full(id.clone()).await] {
            let contrast = picture::tests::contrast(&shown.expect("read").expect("there"));
            assert_eq!(contrast > 100, lane.as_str() == "exit-2", "{lane}: {contrast}");
        }
    }
}

/// Thirty days are kept, and so many lie between the two.
#[tokio::test]
async fn what_is_too_old_is_gone_after_a_start() {
    let place = tempfile::tempdir().expect("a folder");
    let days_ago = |days: i64| {
        let (day, _) = naming::day_and_time(UtcMs(NOON_MS - days * 24 * 3600 * 1000)).expect("a time of ours");
        place.path().join(day)
    };
    for days in 0..=31 {
        std::fs::create_dir(days_ago(days)).expect("made");
        std::fs::write(days_ago(days).join("000000000-exit-1-0badcafe-s-0.jpg"), "a picture").expect("written");
    }
    let (_photos, _intake, _) = open(place.path());
    until_so(|| !days_ago(31).exists()).await;
    assert!(days_ago(30).exists());
}

/// A file that never ends stands for a disk that hangs.
#[tokio::test]
async fn who_looks_and_goes_away_gives_no_place_free_while_the_disk_hangs() {
    let place = tempfile::tempdir().expect("a folder");
    let (photos, _intake, _) = open(place.path());
    let id = PhotoId::of(&read("exit-1", "e-1"), PhotoKind::Scene, &"0".repeat(64)).expect("a time of ours");
    let stem = id.stem(place.path());
    std::fs::create_dir_all(stem.parent().expect("a day")).expect("made");
    let pipes = [".jpg", ".small.jpg"].map(|ending| format!("{}{ending}", stem.display()));
    let made = std::process::Command::new("mkfifo").args(&pipes).status().expect("coreutils are installed");
    assert!(made.success());
    assert!(timeout(Duration::ZERO, photos.full(id.clone())).await.is_err());
    assert!(timeout(Duration::ZERO, photos.small(id.clone())).await.is_err());
    let free = || [photos.shared.making.available_permits(), photos.shared.reading.available_permits()];
    assert_eq!(free(), [FULL_AT_ONCE - 1, SMALL_AT_ONCE - 1], "nobody asks any more, and they are at work still");
    for pipe in &pipes {
        std::fs::write(pipe, "the end").expect("somebody reads");
    }
    until_so(|| free() == [FULL_AT_ONCE, SMALL_AT_ONCE]).await;
}

/// A vehicle may have come in more arrivals ago than the page keeps in mind.
#[tokio::test]
async fn the_pictures_of_an_old_entry_are_found_in_the_folder_of_its_day() {
    let place = tempfile::tempdir().expect("a folder");
    let (photos, intake, _) = open(place.path());
    let mut changes = photos.changes();
    let read = read("entry-1", "long-ago");
    let taken = intake.desk().take(&read, vec![(PhotoKind::Scene, jpeg(64, 48)), (PhotoKind::Plate, jpeg(32, 16))]);
    all(taken.kept).await;
    until(&mut changes, || photos.of_arrival(&read.lane, "long-ago").plate.is_some()).await;
    let known = photos.of_arrival(&read.lane, "long-ago");
    *photos.shared.known() = Known::default();
    assert_eq!(photos.of_arrival(&read.lane, "long-ago"), Arrival::default());
    assert_eq!(photos.of_entry(&LaneId::from("entry-2"), "long-ago", read.captured), Arrival::default());
    assert_eq!(photos.of_entry(&read.lane, "long-ago", read.captured), known);
    std::fs::remove_dir_all(place.path()).expect("gone");
    assert_eq!(photos.of_entry(&read.lane, "long-ago", read.captured), known, "it is kept in mind again");
    assert_eq!(photos.of_entry(&read.lane, "never", UtcMs(-1)), Arrival::default());
}

#[tokio::test]
async fn the_page_finds_the_pictures_again_after_a_restart() {
    let place = tempfile::tempdir().expect("a folder");
    let (photos, intake, _) = open(place.path());
    let mut changes = photos.changes();
    intake.desk().take(&read("exit-1", "e-1"), vec![(PhotoKind::Scene, jpeg(64, 48))]);
    until(&mut changes, || photos.of_arrival(&LaneId::from("exit-1"), "e-1").scene.is_some()).await;
    let before = photos.of_arrival(&LaneId::from("exit-1"), "e-1");
    drop((photos, intake));

    let (photos, _intake, _) = open(place.path());
    let mut changes = photos.changes();
    until(&mut changes, || photos.of_arrival(&LaneId::from("exit-1"), "e-1") == before).await;
}

#[tokio::test]
async fn what_is_no_picture_costs_nothing_but_itself() {
    let place = tempfile::tempdir().expect("a folder");
    let (photos, intake, metrics) = open(place.path());
    let mut changes = photos.changes();
    let desk = intake.desk();
    let whole = jpeg(640, 360);
    let bad: [(&str, Vec<u8>); 5] = [
        ("photo-foreign", b"a text that a camera calls a JPEG".to_vec()),
        ("photo-truncated", whole[..whole.len() / 2].to_vec()),
        ("photo-too-many-pixels", picture::tests::png_that_claims(30_000, 30_000)),
        ("photo-too-many-pixels", picture::tests::jpeg_that_claims(60_000, 60_000)),
        ("photo-damaged", [&[0xFF, 0xD8, 0xFF, 0xE0][..], b"nothing of a picture", &[0xFF, 0xD9]].concat()),
    ];
    for (number, (reason, bytes)) in bad.into_iter().enumerate() {
        let before = metrics.rejections("photos", reason);
        let taken = desk.take(&read("exit-1", &format!("bad-{number}")), vec![(PhotoKind::Scene, bytes)]);
        // What the first bytes tell is known at once; the rest is kept as it came, so that the journal's hash holds.
        assert_eq!(taken.hashes.is_none(), reason == "photo-foreign", "{reason}");
        until_so(|| metrics.rejections("photos", reason) == before + 1).await;
    }
    let odd_time = PlateRead { captured: UtcMs(-1), ..read("exit-1", "odd") };
    assert!(desk.take(&odd_time, vec![(PhotoKind::Scene, whole.clone())]).hashes.is_none());
    assert_eq!(metrics.rejections("photos", "photo-undated"), 1);

    desk.take(&read("exit-1", "good"), vec![(PhotoKind::Scene, whole)]);
    until(&mut changes, || photos.of_arrival(&LaneId::from("exit-1"), "good").scene.is_some()).await;
    for number in 0..5 {
        let shown = photos.of_arrival(&LaneId::from("exit-1"), &format!("bad-{number}"));
        assert_eq!(shown, Arrival::default(), "nothing of it is shown");
    }
    assert_eq!(metrics.photos_kept(), 5, "what the journal names is on disk");
}

#[test]
fn a_full_queue_drops_the_picture_and_says_so_at_once() {
    let metrics = Arc::new(Metrics::default());
    let (queue, jobs) = sync_channel(1);
    let desk = desk(queue, &metrics);
    let picture = || vec![(PhotoKind::Scene, jpeg(32, 32))];
    assert!(desk.take(&read("exit-1", "e-1"), picture()).hashes.is_some());
    let dropped = desk.take(&read("exit-1", "e-2"), picture());
    assert!(dropped.hashes.is_none() && dropped.kept.is_empty(), "the read goes on without it");
    assert_eq!(metrics.rejections("photos", "photo-queue-full"), 1);
    drop(jobs.recv().expect("the first one"));
    assert!(desk.take(&read("exit-1", "e-3"), picture()).hashes.is_some(), "room again");
    drop(jobs);
    assert!(desk.take(&read("exit-1", "e-4"), picture()).hashes.is_none(), "nobody keeps pictures any more");
}

#[test]
fn a_link_has_a_share_of_the_memory_and_gives_it_back() {
    let metrics = Arc::new(Metrics::default());
    let (queue, jobs) = sync_channel(100);
    let desk = desk(queue, &metrics);
    let other = Desk { waiting_bytes: Arc::default(), ..desk.clone() };
    let mut large = jpeg(32, 32);
    large.resize(LINK_BYTES_MAX / 2, 0);
    let picture = || vec![(PhotoKind::Scene, large.clone())];
    assert!(desk.take(&read("exit-1", "e-1"), picture()).hashes.is_some());
    assert!(desk.take(&read("exit-1", "e-2"), picture()).hashes.is_some());
    assert!(desk.take(&read("exit-1", "e-3"), picture()).hashes.is_none());
    assert_eq!(metrics.rejections("photos", "photo-link-full"), 1);
    assert!(other.take(&read("exit-2", "e-3"), picture()).hashes.is_some(), "another link has its own");
    drop(jobs.try_iter().collect::<Vec<_>>());
    assert!(desk.take(&read("exit-1", "e-4"), picture()).hashes.is_some(), "room again");
}

#[tokio::test]
async fn a_disk_that_refuses_disturbs_nothing_and_is_tried_again() {
    let place = tempfile::tempdir().expect("a folder");
    let directory = place.path().join("photos");
    std::fs::write(&directory, "in the way").expect("written");
    let (photos, intake, metrics) = open(&directory);
    let mut changes = photos.changes();
    let taken = intake.desk().take(&read("exit-1", "e-1"), vec![(PhotoKind::Scene, jpeg(32, 32))]);
    assert!(taken.hashes.is_some());
    all(taken.kept).await;
    until_so(|| metrics.rejections("photos", "photo-not-written") > 0).await;
    assert_eq!(metrics.photos_kept(), 0);

    std::fs::remove_file(&directory).expect("removed");
    intake.desk().take(&read("exit-1", "e-2"), vec![(PhotoKind::Scene, jpeg(32, 32))]);
    until(&mut changes, || photos.of_arrival(&LaneId::from("exit-1"), "e-2").scene.is_some()).await;
}

#[test]
fn no_days_means_no_pictures() {
    let place = tempfile::tempdir().expect("a folder");
    let bounds = Bounds { keep_days: 0, ..settings(place.path()).bounds };
    let (_photos, intake, _) = open_with(Settings { bounds, ..settings(place.path()) });
    let taken = intake.desk().take(&read("exit-1", "e-1"), vec![(PhotoKind::Scene, jpeg(32, 32))]);
    assert!(taken.hashes.is_none() && taken.kept.is_empty());
}

#[test]
fn only_the_newest_arrivals_are_known() {
    let mut known = Known::default();
    for number in 0..ARRIVALS_KNOWN + 3 {
        let read = read("exit-1", &format!("e-{number}"));
        known.add(PhotoId::of(&read, PhotoKind::Scene, &"0".repeat(64)).expect("a time of ours"));
        known.add(PhotoId::of(&read, PhotoKind::Plate, &"1".repeat(64)).expect("a time of ours"));
    }
    assert_eq!((known.arrivals.len(), known.order.len()), (ARRIVALS_KNOWN, ARRIVALS_KNOWN));
    let there = |event| known.arrivals.contains_key(&(LaneId::from("exit-1"), Tag::of(event)));
    assert!(!there("e-2") && there("e-3"));
}

fn desk(queue: SyncSender<Job>, metrics: &Arc<Metrics>) -> Desk {
    let (spool, metrics) = (Spool::closed(), Arc::clone(metrics));
    Desk { queue, spool, waiting_bytes: Arc::default(), takes_any: true, metrics }
}

fn hex_tag(event: &str) -> String {
    hex::encode(&Sha256::digest(event)[..4])
}

async fn all(kept: Vec<Pending>) {
    for picture in kept.into_iter().map(|pending| pending.on_disk) {
        // It ends by being dropped.
        let _ = timeout(PATIENCE, picture).await.expect("in time");
    }
}

async fn until(changes: &mut watch::Receiver<u64>, is_so: impl Fn() -> bool) {
    let seen = async {
        while !is_so() {
            changes.changed().await.expect("the pictures are there");
        }
    };
    timeout(PATIENCE, seen).await.expect("in time");
}

async fn until_so(is_so: impl Fn() -> bool) {
    let seen = async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, seen).await.expect("in time");
}
