//! Pictures are on disk before their vehicles are decided; and what happens where the disk hangs or the box crashes.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};

use super::super::sample::{files_below, is_on_disk, open_on};
use super::super::spool::Disk;
use super::*;

#[tokio::test]
async fn a_picture_is_on_disk_when_its_read_goes_on_and_only_gets_its_name_afterwards() {
    let place = tempfile::tempdir().expect("a folder");
    let written = Arc::new(Mutex::new(BTreeSet::new()));
    let disk = {
        let written = Arc::clone(&written);
        written_by(move |file, bytes| {
            folder::create(file, bytes)?;
            written.lock().expect("a set").insert(std::fs::metadata(file)?.ino());
            Ok(())
        })
    };
    let (photos, intake, metrics) = open_on(disk, settings(place.path()));
    let mut changes = photos.changes();
    let desk = intake.desk();
    let pictures = vec![(PhotoKind::Scene, jpeg(640, 360)), (PhotoKind::Plate, jpeg(120, 40))];
    let mut read = read("exit-1", "e-1");
    let mut taken = desk.take(&read, pictures.clone());
    desk.spooled(&mut taken.kept).await;
    assert!(pictures.iter().all(|(_, picture)| is_on_disk(place.path(), picture)));
    assert_eq!(metrics.photos_late(), 0);

    read.photos = taken.hashes;
    all(taken.kept).await;
    let mut checker = Checker::new(place.path());
    checker.look(1, &read).expect("looked");
    assert_eq!(checker.tally(), Tally { matching: 2, ..Tally::default() }, "the hashes are of these bytes");
    until(&mut changes, || photos.of_arrival(&read.lane, "e-1").plate.is_some()).await;
    let ours = written.lock().expect("a set").clone();
    let named = files_below(&place.path().join("20260302")).into_iter().filter(|(name, _)| !name.contains("small"));
    let inodes: BTreeSet<u64> = named.map(|(name, _)| std::fs::metadata(name).expect("a file").ino()).collect();
    assert_eq!(inodes, ours, "the same files, and nothing was written twice");
    assert_eq!(files_below(&place.path().join("spool")), [], "nothing is left");
}

#[tokio::test]
async fn a_disk_that_hangs_is_waited_for_once_and_takes_no_more_threads_than_write() {
    let place = tempfile::tempdir().expect("a folder");
    let (begun, hangs) = channel();
    let (release, released) = channel();
    let (photos, intake, metrics) = open_on(hanging(begun, released), settings(place.path()));
    let mut changes = photos.changes();
    let desk = intake.desk();
    let take = |event: &str| desk.take(&read("exit-1", event), vec![(PhotoKind::Scene, jpeg(64, 48))]);

    let mut first = take("e-0");
    timeout(PATIENCE, desk.spooled(&mut first.kept)).await.expect("its read goes on");
    assert!(first.hashes.is_some(), "the journal holds its hash all the same");
    let mut others: Vec<Taken> = (1..8).map(|n| take(&format!("e-{n}"))).collect();
    for other in &mut others {
        let at_once = timeout(Duration::ZERO, desk.spooled(&mut other.kept)).await;
        assert!(at_once.is_ok(), "nobody waits where another waited in vain");
    }
    assert_eq!(metrics.photos_late(), 8);

    // Decided: the pictures are kept without the writers, as if there were none.
    others.push(first);
    all(others.into_iter().flat_map(|taken| taken.kept).collect()).await;
    assert_eq!(metrics.photos_kept(), 8);
    hangs.recv_timeout(PATIENCE).expect("one hangs");
    hangs.recv_timeout(PATIENCE).expect("and another");
    assert!(hangs.try_recv().is_err(), "and nobody else ever");

    assert!(desk.spool.is_behind());
    drop(release);
    let is_waited_for_again = async {
        while desk.spool.is_behind() {
            let mut taken = take("again");
            desk.spooled(&mut taken.kept).await;
            all(taken.kept).await;
        }
    };
    timeout(PATIENCE, is_waited_for_again).await.expect("once it has caught up");
    // What the two made at last was not wanted any more.
    until_so(|| files_below(&place.path().join("spool")).is_empty()).await;
    until(&mut changes, || photos.of_arrival(&LaneId::from("exit-1"), "again").scene.is_some()).await;
}

#[tokio::test]
async fn what_a_crash_leaves_in_the_spool_is_taken_in_where_it_is_whole_and_removed_where_it_is_not() {
    let place = tempfile::tempdir().expect("a folder");
    let scene = jpeg(640, 360);
    let mut read = read("exit-1", "e-1");
    let spool = Spool::start(place.path(), settings(place.path()).bounds, Disk::default()).expect("threads");
    let id = PhotoId::unhashed(&read, PhotoKind::Scene, scene.len()).expect("a time of ours");
    let (spooled, is_there) = spool.put(&id, scene.clone().into());
    timeout(PATIENCE, is_there).await.expect("in time").expect("written");
    // As after a crash: nobody takes it.
    std::mem::forget(spooled);
    let folder = place.path().join("spool");
    let (whole, _) = files_below(&folder).pop().expect("the picture");
    std::fs::write(whole.replace("spool/0-", "spool/1-"), &scene[..scene.len() / 2]).expect("half of it");
    std::fs::write(folder.join("2-what"), "a stranger's").expect("written");

    let (photos, _intake, metrics) = open(place.path());
    let mut changes = photos.changes();
    until(&mut changes, || photos.of_arrival(&read.lane, "e-1").scene.is_some()).await;
    until_so(|| files_below(&folder).is_empty()).await;
    assert_eq!((metrics.photos_kept(), metrics.rejections("photos", "photo-unfinished")), (1, 2));
    let sha256 = hex::encode(Sha256::digest(&scene));
    read.photos = Some(PhotoHashes { scene: Some(sha256), plate: None });
    let mut checker = Checker::new(place.path());
    checker.look(1, &read).expect("looked");
    assert_eq!(checker.tally(), Tally { matching: 1, ..Tally::default() });
    assert_eq!(files_below(&place.path().join("20260302")).len(), 2, "the picture and its small one");
}

#[tokio::test]
async fn a_picture_that_finds_no_place_leaves_no_file_behind() {
    let place = tempfile::tempdir().expect("a folder");
    let metrics = Arc::new(Metrics::default());
    let (queue, jobs) = sync_channel(1);
    let disk = Disk { wait_max: PATIENCE, ..Disk::default() };
    let spool = Spool::start(place.path(), settings(place.path()).bounds, disk).expect("threads");
    let desk = Desk { spool, ..desk(queue, &metrics) };
    let picture = || vec![(PhotoKind::Scene, jpeg(32, 32))];
    let mut first = desk.take(&read("exit-1", "e-1"), picture());
    desk.spooled(&mut first.kept).await;
    assert!(desk.take(&read("exit-1", "e-2"), picture()).kept.is_empty(), "the queue is full");
    let folder = place.path().join("spool");
    // A third one: the two before it are done with when it is there.
    drop(jobs.recv().expect("the first"));
    let mut third = desk.take(&read("exit-1", "e-3"), picture());
    desk.spooled(&mut third.kept).await;
    until_so(|| files_below(&folder).len() == 1).await;
    assert!(files_below(&folder)[0].0.contains(&hex_tag("e-3")));
    drop((jobs, desk));
    until_so(|| files_below(&folder).is_empty()).await;
}

/// A disk on which every read waits.
fn written_by(write: impl Fn(&Path, &[u8]) -> std::io::Result<()> + Send + Sync + 'static) -> Disk {
    Disk { write: Arc::new(write), wait_max: PATIENCE }
}

/// A disk that says when it begins and goes on when the other end of `released` is dropped. Reads wait for it as long as
/// for any other.
fn hanging(begun: Sender<()>, released: Receiver<()>) -> Disk {
    let (begun, released) = (Mutex::new(begun), Mutex::new(released));
    let write = move |file: &Path, bytes: &[u8]| {
        let _ = begun.lock().expect("a channel").send(());
        let _ = released.lock().expect("a channel").recv();
        folder::create(file, bytes)
    };
    Disk { write: Arc::new(write), ..Disk::default() }
}
