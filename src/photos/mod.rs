//! Pictures of arrivals: taken from the cameras' messages, kept beside the ledger, shown to those who may see them.
//!
//! Nothing here holds up a vehicle. A picture is put on disk (`spool`) while it is hashed, because the journal must hold
//! the hash, and before its read is decided; where the disk takes longer than a few milliseconds, the read goes on and
//! that is counted. Where there is no place in the queue, the picture is dropped and counted. Giving the file its name,
//! looking into the picture and making it small is the business of a thread of its own, after the decision.

mod checking;
mod folder;
mod font;
mod naming;
mod picture;
mod spool;
mod worker;

#[cfg(test)]
pub mod sample;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hyper::body::Bytes;
use sha2::{Digest, Sha256};
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::time::timeout;

use crate::domain::event::{LaneId, PhotoHashes, PhotoKind, PlateRead, UtcMs};
use crate::domain::plate::told::{End, PlateBox};
use crate::metrics::Metrics;

pub use checking::{Checker, Tally};
pub use folder::Bounds;
pub use naming::{PhotoId, Tag};
pub use picture::Area;

use picture::Finish;
use spool::Spool;
use worker::{Job, Left};

/// Pictures that may wait for the disk: what twenty lanes bring in ten seconds of a rush.
const QUEUE_PHOTOS: usize = 128;
/// Bytes of pictures of one link that may wait: no camera can take the box's memory.
pub const LINK_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Arrivals whose pictures the page can find: far more than it shows.
const ARRIVALS_KNOWN: usize = 1024;
/// Full pictures that are made at once; each takes tens of megabytes while it is made.
const FULL_AT_ONCE: usize = 1;
/// Small pictures that are read at once: a disk that hangs takes so many threads of those who look.
const SMALL_AT_ONCE: usize = 4;
/// How long who looks waits for such a place.
const PLACE_WITHIN: Duration = Duration::from_secs(10);

/// What is done to a stranger's picture before people see it: all of it, for those who throw harm at it. The first four
/// bytes are where a plate is said to be.
pub fn look_into(bytes: &[u8]) {
    let Some(([left, top, right, bottom], original)) = bytes.split_first_chunk::<4>() else { return };
    let [left, top, right, bottom] = [left, top, right, bottom].map(|place| u32::from(*place));
    let plate_box = PlateBox { left, top, right, bottom, of: Some(255) };
    let blur = Some(Area { x: 100, y: 100, width: 300, height: 300 });
    let finish = Finish { blur, words: "lane 1".to_owned() };
    let small = picture::thumbnails(original, &finish, Some(plate_box));
    let full = picture::full(original, &finish);
    assert_eq!(small.is_ok(), full.is_ok(), "a picture has both sizes, or is none");
}

/// Civil time, as the box knows it.
pub type Clock = Arc<dyn Fn() -> UtcMs + Send + Sync>;

/// Where the pictures are and what is done to them.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Their folder.
    pub directory: PathBuf,
    /// How many and how long. No days at all: none are taken.
    pub bounds: Bounds,
    /// The driver's seat in the pictures of a lane's cameras, which nobody is to make out.
    pub blur: BTreeMap<(LaneId, End), Area>,
    /// The site's time zone, for the time below the picture.
    pub zone: jiff::tz::TimeZone,
}

/// The pictures. Clones share them.
#[derive(Clone)]
pub struct Photos {
    shared: Arc<Shared>,
}

struct Shared {
    settings: Settings,
    metrics: Arc<Metrics>,
    known: Mutex<Known>,
    changed: watch::Sender<u64>,
    making: Arc<Semaphore>,
    reading: Arc<Semaphore>,
}

/// The pictures of one arrival that can be shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arrival {
    /// The whole scene.
    pub scene: Option<PhotoId>,
    /// The plate alone.
    pub plate: Option<PhotoId>,
}

impl Arrival {
    /// Which of the lane's cameras took them; `None` where there are none.
    pub fn end(&self) -> Option<End> {
        self.scene.as_ref().or(self.plate.as_ref()).map(PhotoId::end)
    }
}

/// The newest arrivals; the names on disk say the same, and are read at the start.
#[derive(Debug, Default)]
struct Known {
    arrivals: BTreeMap<(LaneId, Tag), Arrival>,
    order: VecDeque<(LaneId, Tag)>,
}

/// Where one link hands its pictures in.
#[derive(Clone)]
pub struct Desk {
    queue: SyncSender<Job>,
    spool: Spool,
    waiting_bytes: Arc<AtomicUsize>,
    takes_any: bool,
    metrics: Arc<Metrics>,
}

/// The pictures that a message brought.
#[derive(Debug, Default)]
pub struct Brought {
    /// Each with what it is of.
    pub pictures: Vec<(PhotoKind, Bytes)>,
    /// Where the plate is in the scene.
    pub plate_box: Option<PlateBox>,
}

impl From<Vec<(PhotoKind, Vec<u8>)>> for Brought {
    fn from(pictures: Vec<(PhotoKind, Vec<u8>)>) -> Self {
        let pictures = pictures.into_iter().map(|(kind, bytes)| (kind, bytes.into())).collect();
        Self { pictures, plate_box: None }
    }
}

/// What became of a message's pictures before its decision.
#[derive(Debug, Default)]
pub struct Taken {
    /// For the journal; `None` where no picture was taken.
    pub hashes: Option<PhotoHashes>,
    /// One for each picture that was taken.
    pub kept: Vec<Pending>,
}

/// A picture on its way to the disk.
#[derive(Debug)]
pub struct Pending {
    /// Ends when its bytes are in the spool, or will never be; [`Desk::spooled`] waits for it.
    spooled: Option<oneshot::Receiver<()>>,
    /// Ends when the picture has its name, or will never have it.
    pub on_disk: oneshot::Receiver<()>,
    /// To be dropped when its vehicle is decided: the picture waits for that, though not for long.
    pub decided: Sender<()>,
}

/// Bytes that wait, given back when the picture is done.
#[derive(Debug)]
struct Waiting {
    of_link: Arc<AtomicUsize>,
    bytes: usize,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.of_link.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Photos {
    /// Starts the threads that keep them. A folder that cannot be used stops nothing: the pictures are then counted as
    /// not written.
    pub fn open(settings: Settings, now: Clock, metrics: Arc<Metrics>) -> std::io::Result<(Self, Intake)> {
        Self::open_on(spool::Disk::default(), settings, now, metrics)
    }

    fn open_on(
        disk: spool::Disk,
        settings: Settings,
        now: Clock,
        metrics: Arc<Metrics>,
    ) -> std::io::Result<(Self, Intake)> {
        let spool = Spool::start(&settings.directory, settings.bounds, disk)?;
        let shared = Arc::new(Shared {
            settings,
            metrics,
            known: Mutex::default(),
            changed: watch::Sender::new(0),
            making: Arc::new(Semaphore::new(FULL_AT_ONCE)),
            reading: Arc::new(Semaphore::new(SMALL_AT_ONCE)),
        });
        let (queue, jobs) = sync_channel(QUEUE_PHOTOS);
        worker::start(Arc::clone(&shared), spool.clone(), now, jobs)?;
        let intake = Intake { queue, spool, shared: Arc::clone(&shared) };
        Ok((Self { shared }, intake))
    }

    /// Counts the pictures that came or became visible, for who shows them.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changed.subscribe()
    }

    /// The pictures of a camera's event at a lane, as far as they can be shown.
    pub fn of_arrival(&self, lane: &LaneId, event: &str) -> Arrival {
        let key = (lane.clone(), Tag::of(event));
        self.shared.known().arrivals.get(&key).cloned().unwrap_or_default()
    }

    /// The pictures of the arrival that a stay began with, however long ago. Looks into the folder of its day where it is
    /// not among the newest arrivals, so call it where waiting for a disk is allowed.
    pub fn of_entry(&self, lane: &LaneId, event: &str, at: UtcMs) -> Arrival {
        let key = (lane.clone(), Tag::of(event));
        if let Some(arrival) = self.shared.known().arrivals.get(&key) {
            return arrival.clone();
        }
        let found = folder::of_arrival(&self.shared.settings.directory, lane, &key.1, at).unwrap_or_else(|error| {
            tracing::warn!(%error, "the pictures of an entry cannot be listed");
            Vec::new()
        });
        let mut known = self.shared.known();
        // That there are none is kept too, so that the folder is read once only.
        known.arrival(key.clone());
        found.into_iter().for_each(|id| known.add(id));
        known.arrivals.get(&key).cloned().unwrap_or_default()
    }

    /// The small picture as JPEG; `None` where there is none.
    pub async fn small(&self, id: PhotoId) -> std::io::Result<Option<Vec<u8>>> {
        let shared = Arc::clone(&self.shared);
        blocking(&self.shared.reading, move || folder::small(&shared.settings.directory, &id)).await
    }

    /// The picture for a person as JPEG: whole, with lane and time below it and the driver's seat blurred where the
    /// settings ask for it. `None` where it is gone or is no picture. What the camera sent leaves the box never.
    pub async fn full(&self, id: PhotoId) -> std::io::Result<Option<Vec<u8>>> {
        let shared = Arc::clone(&self.shared);
        blocking(&self.shared.making, move || {
            let Some(bytes) = folder::original(&shared.settings.directory, &id)? else {
                // A plate that the box has cut out of a scene is kept as it is shown.
                let is_cut = id.kind() == PhotoKind::Plate;
                return if is_cut { folder::small(&shared.settings.directory, &id) } else { Ok(None) };
            };
            Ok(picture::full(&bytes, &shared.settings.finish(&id)).ok())
        })
        .await
    }
}

/// Where links get their desks; the thread ends when it and the desks are gone.
#[derive(Clone)]
pub struct Intake {
    queue: SyncSender<Job>,
    spool: Spool,
    shared: Arc<Shared>,
}

impl Intake {
    /// A desk for one link.
    pub fn desk(&self) -> Desk {
        Desk {
            queue: self.queue.clone(),
            spool: self.spool.clone(),
            waiting_bytes: Arc::default(),
            takes_any: self.shared.settings.bounds.keep_days > 0,
            metrics: Arc::clone(&self.shared.metrics),
        }
    }
}

impl Desk {
    /// Where no picture is taken.
    pub fn closed(metrics: Arc<Metrics>) -> Self {
        let (queue, _) = sync_channel(1);
        Self { queue, spool: Spool::closed(), waiting_bytes: Arc::default(), takes_any: false, metrics }
    }

    /// Waits until the pictures of a message lie on disk, before its inputs go on, a few milliseconds at most. What is
    /// not there then is counted, and gets there after the decision.
    pub async fn spooled(&self, kept: &mut [Pending]) {
        let pictures: Vec<_> = kept.iter_mut().filter_map(|pending| pending.spooled.take()).collect();
        let missing = self.spool.wait(pictures).await;
        (0..missing).for_each(|_| self.metrics.photo_late());
    }

    /// Takes the pictures of a read: has them written, hashes them meanwhile and puts them in line. Never waits.
    pub fn take(&self, read: &PlateRead, brought: impl Into<Brought>) -> Taken {
        let Brought { pictures, plate_box } = brought.into();
        let is_plate = |(kind, bytes): &(PhotoKind, Bytes)| *kind == PhotoKind::Plate && picture::format(bytes).is_ok();
        let has_plate = pictures.iter().any(is_plate);
        let mut taken = Taken::default();
        for (kind, bytes) in pictures.into_iter().filter(|_| self.takes_any) {
            let plate_box = plate_box.filter(|_| kind == PhotoKind::Scene && !has_plate);
            match self.take_one(read, kind, bytes, plate_box) {
                Ok((sha256, kept)) => {
                    let hashes = taken.hashes.get_or_insert_default();
                    match kind {
                        PhotoKind::Scene => hashes.scene = Some(sha256),
                        PhotoKind::Plate => hashes.plate = Some(sha256),
                    }
                    taken.kept.push(kept);
                }
                Err(reason) => self.metrics.rejected("photos", reason),
            }
        }
        taken
    }

    fn take_one(
        &self,
        read: &PlateRead,
        kind: PhotoKind,
        bytes: Bytes,
        plate_box: Option<PlateBox>,
    ) -> Result<(String, Pending), &'static str> {
        let format = picture::format(&bytes).map_err(picture::NotAPicture::name)?;
        let waiting = self.room_for(bytes.len()).ok_or("photo-link-full")?;
        let id = PhotoId::unhashed(read, kind, bytes.len()).ok_or("photo-undated")?;
        // Written on another core, while this one hashes.
        let (spooled, is_spooled) = self.spool.put(&id, bytes.clone());
        let sha256 = hex::encode(Sha256::digest(&bytes));
        let id = id.hashed(sha256.clone());
        let (keeping, on_disk) = oneshot::channel();
        let (decided, is_decided) = channel();
        let since = Instant::now();
        let left = Left { spooled, since, decided: is_decided, keeping, _waiting: waiting };
        self.queue.try_send(Job { id, format, bytes, plate_box, left }).map_err(|_| "photo-queue-full")?;
        Ok((sha256, Pending { spooled: Some(is_spooled), on_disk, decided }))
    }

    fn room_for(&self, bytes: usize) -> Option<Waiting> {
        let before = self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        let waiting = Waiting { of_link: Arc::clone(&self.waiting_bytes), bytes };
        (before + bytes <= LINK_BYTES_MAX).then_some(waiting)
    }
}

impl Settings {
    /// What is done to a picture before anybody sees it.
    fn finish(&self, id: &PhotoId) -> Finish {
        let blur = match id.kind() {
            PhotoKind::Scene => self.blur.get(&(id.lane().clone(), id.end())).copied(),
            PhotoKind::Plate => None,
        };
        let moment = jiff::Timestamp::from_millisecond(id.at().0).map(|at| at.to_zoned(self.zone.clone()));
        let time = moment.map_or_else(|_| String::new(), |at| at.strftime("%Y-%m-%d %H:%M:%S").to_string());
        Finish { blur, words: format!("{} {time}", id.lane()) }
    }
}

impl Shared {
    /// A panic elsewhere leaves at worst one arrival without its picture.
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn show(&self, id: PhotoId) {
        self.known().add(id);
        self.changed.send_modify(|count| *count += 1);
    }
}

impl Known {
    fn add(&mut self, id: PhotoId) {
        let arrival = self.arrival((id.lane().clone(), id.tag().clone()));
        match id.kind() {
            PhotoKind::Scene => arrival.scene = Some(id),
            PhotoKind::Plate => arrival.plate = Some(id),
        }
    }

    fn arrival(&mut self, key: (LaneId, Tag)) -> &mut Arrival {
        if !self.arrivals.contains_key(&key) {
            self.order.push_back(key.clone());
            if self.order.len() > ARRIVALS_KNOWN
                && let Some(oldest) = self.order.pop_front()
            {
                self.arrivals.remove(&oldest);
            }
        }
        self.arrivals.entry(key).or_default()
    }
}

/// On a thread that may wait for a disk. Its place is the work's and not the asker's, who may go away meanwhile.
async fn blocking<T: Send + 'static>(
    places: &Arc<Semaphore>,
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> std::io::Result<T> {
    let place = timeout(PLACE_WITHIN, Arc::clone(places).acquire_owned()).await;
    let place = place.map_err(std::io::Error::other)?.map_err(std::io::Error::other)?;
    let work = move || {
        let outcome = work();
        drop(place);
        outcome
    };
    tokio::task::spawn_blocking(work).await.map_err(std::io::Error::other)?
}
