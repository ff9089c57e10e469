//! The way to the disk before the decision: what a camera sent lies in a file of the spool when its vehicle is decided,
//! and nobody waits long for that.
//!
//! A few threads write, and nobody else does: a disk that hangs takes these and no lane. After the decision the file only
//! gets its name. What a crash leaves in the spool is taken in by the next start.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hyper::body::Bytes;
use tokio::sync::oneshot;

use super::folder::{self, Bounds};
use super::naming::PhotoId;

/// How long a read waits for its pictures: some of the memory's speed, which is all that a file that is not synced needs,
/// and less than the ledger's own sync that comes after it on the same disk.
const WAIT_MAX: Duration = Duration::from_millis(4);
/// Threads that write: as many as such a box has cores to spare, and all that a disk that hangs can take.
const WRITERS: usize = 2;
/// Pictures that may wait for a writer; more wait in memory, for the thread that keeps them.
const WAITING_MAX: usize = 32;
/// The spool's folder, beside those of the days.
const FOLDER: &str = "spool";

/// How bytes become a file.
type Write = dyn Fn(&Path, &[u8]) -> io::Result<()> + Send + Sync;

/// Where files are made, and how long a read waits for that. Tests have one that hangs.
#[derive(Clone)]
pub struct Disk {
    pub write: Arc<Write>,
    pub wait_max: Duration,
}

impl Default for Disk {
    fn default() -> Self {
        Self { write: Arc::new(folder::create), wait_max: WAIT_MAX }
    }
}

/// Where pictures are put down as they come. Clones share it.
#[derive(Clone)]
pub struct Spool {
    work: SyncSender<Work>,
    shared: Arc<Shared>,
}

struct Shared {
    folder: PathBuf,
    bounds: Bounds,
    disk: Disk,
    /// What an earlier run left; listed before this one writes its first file.
    leftovers: Mutex<Option<Vec<PathBuf>>>,
    numbers: AtomicU64,
    /// Pictures that were handed in and are not written.
    open: AtomicUsize,
    /// Somebody waited in vain, and no picture was written fast since.
    is_behind: AtomicBool,
}

enum Work {
    Put(Sheet),
    Remove(PathBuf),
}

/// A picture that waits for a writer.
struct Sheet {
    id: PhotoId,
    stage: Arc<Mutex<Stage>>,
    is_there: oneshot::Sender<()>,
}

/// Where a picture is on its way.
#[derive(Debug)]
enum Stage {
    Waits(Bytes),
    IsWritten,
    There(PathBuf),
    /// Whoever keeps it has taken it over, with or without a file.
    Taken,
}

/// A picture that was handed in. Where nobody takes its file, the file goes.
pub struct Spooled {
    stage: Arc<Mutex<Stage>>,
    work: SyncSender<Work>,
}

impl Spool {
    /// Starts the threads; they end when nobody can hand in pictures any more.
    pub fn start(directory: &Path, bounds: Bounds, disk: Disk) -> io::Result<Self> {
        let (spool, jobs) = Self::with_room(directory, bounds, disk, WAITING_MAX);
        let jobs = Arc::new(Mutex::new(jobs));
        for _ in 0..WRITERS {
            let (shared, jobs) = (Arc::clone(&spool.shared), Arc::clone(&jobs));
            let run = move || while shared.work_on(&jobs) {};
            std::thread::Builder::new().name("photo-writer".to_owned()).spawn(run)?;
        }
        Ok(spool)
    }

    /// Where no picture is written before its time.
    pub fn closed() -> Self {
        let bounds = Bounds { keep_days: 0, min_free_mb: 0, max_mb: 0 };
        Self::with_room(Path::new(""), bounds, Disk::default(), 1).0
    }

    fn with_room(directory: &Path, bounds: Bounds, disk: Disk, most: usize) -> (Self, Receiver<Work>) {
        let (work, jobs) = sync_channel(most);
        let shared = Shared {
            folder: directory.join(FOLDER),
            bounds,
            disk,
            leftovers: Mutex::default(),
            numbers: AtomicU64::default(),
            open: AtomicUsize::default(),
            is_behind: AtomicBool::default(),
        };
        (Self { work, shared: Arc::new(shared) }, jobs)
    }

    /// Hands a picture to the writers, under its name without a hash, and says when it is there. Never waits.
    pub fn put(&self, id: &PhotoId, bytes: Bytes) -> (Spooled, oneshot::Receiver<()>) {
        let (is_there, there) = oneshot::channel();
        let stage = Arc::new(Mutex::new(Stage::Waits(bytes)));
        let sheet = Sheet { id: id.clone(), stage: Arc::clone(&stage), is_there };
        self.shared.open.fetch_add(1, Ordering::Relaxed);
        if self.work.try_send(Work::Put(sheet)).is_err() {
            self.shared.open.fetch_sub(1, Ordering::Relaxed);
        }
        (Spooled { stage, work: self.work.clone() }, there)
    }

    /// Until these are there, though not long, and not at all where somebody else has just waited in vain: how many are
    /// not.
    pub async fn wait(&self, pictures: Vec<oneshot::Receiver<()>>) -> usize {
        let until = tokio::time::Instant::now() + self.shared.disk.wait_max;
        let mut missing = 0;
        for mut there in pictures {
            let is_there = if self.shared.is_behind.load(Ordering::Relaxed) {
                there.try_recv().is_ok()
            } else {
                let waited = tokio::time::timeout_at(until, there).await;
                if waited.is_err() {
                    self.shared.is_behind.store(true, Ordering::Relaxed);
                }
                matches!(waited, Ok(Ok(())))
            };
            missing += usize::from(!is_there);
        }
        missing
    }

    /// Whether nobody waits, because somebody has in vain.
    #[cfg(test)]
    pub fn is_behind(&self) -> bool {
        self.shared.is_behind.load(Ordering::Relaxed)
    }

    /// What an earlier run has left in the spool; each once.
    pub fn leftovers(&self) -> io::Result<Vec<PathBuf>> {
        let mut listed = self.shared.listed()?;
        Ok(listed.as_mut().map(std::mem::take).unwrap_or_default())
    }
}

impl Spooled {
    /// The file, which is the caller's from now on; `None` where there is none, and there will be none.
    pub fn take(&self) -> Option<PathBuf> {
        match std::mem::replace(&mut *locked(&self.stage), Stage::Taken) {
            Stage::There(file) => Some(file),
            Stage::Waits(_) | Stage::IsWritten | Stage::Taken => None,
        }
    }
}

impl Drop for Spooled {
    /// By a writer: whoever drops it may be a lane's task, which waits for no disk.
    fn drop(&mut self) {
        if let Some(file) = self.take() {
            // Where they are behind, the next start takes it in.
            let _ = self.work.try_send(Work::Remove(file));
        }
    }
}

impl std::fmt::Debug for Spooled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Spooled").field(&self.stage).finish()
    }
}

/// Of which picture a file of the spool is, and how many bytes it has where it is whole.
pub fn name_of(file: &Path) -> Option<(PhotoId, u64)> {
    let (_, id) = file.file_name()?.to_str()?.split_once('-')?;
    let id: PhotoId = id.parse().ok()?;
    let bytes = id.bytes_of_unhashed()?;
    Some((id, bytes))
}

impl Shared {
    /// One job; false where there will be none any more.
    fn work_on(&self, jobs: &Mutex<Receiver<Work>>) -> bool {
        let job = locked(jobs).recv();
        match job {
            Ok(Work::Put(sheet)) => self.put(sheet),
            Ok(Work::Remove(file)) => _ = fs::remove_file(file),
            Err(_) => return false,
        }
        true
    }

    fn put(&self, sheet: Sheet) {
        let begun = Instant::now();
        let Sheet { id, stage, is_there } = sheet;
        let bytes = match &mut *locked(&stage) {
            waits @ Stage::Waits(_) => match std::mem::replace(waits, Stage::IsWritten) {
                Stage::Waits(bytes) => Some(bytes),
                Stage::IsWritten | Stage::There(_) | Stage::Taken => None,
            },
            Stage::IsWritten | Stage::There(_) | Stage::Taken => None,
        };
        if let Some(bytes) = bytes {
            match self.written(&id, &bytes) {
                Ok(file) if arrives(&stage, &file) => _ = is_there.send(()),
                // It took so long that the picture was kept without it.
                Ok(file) => _ = fs::remove_file(file),
                Err(error) => tracing::debug!(%error, "a picture is not on disk before its vehicle is decided"),
            }
        }
        let is_last = self.open.fetch_sub(1, Ordering::Relaxed) == 1;
        if is_last && begun.elapsed() <= self.disk.wait_max {
            self.is_behind.store(false, Ordering::Relaxed);
        }
    }

    fn written(&self, id: &PhotoId, bytes: &[u8]) -> io::Result<PathBuf> {
        drop(self.listed()?);
        let file = self.folder.join(format!("{}-{id}", self.numbers.fetch_add(1, Ordering::Relaxed)));
        match self.write(&file, bytes) {
            // Somebody has removed the folder.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                folder::make(&self.folder)?;
                self.write(&file, bytes)?;
            }
            outcome => outcome?,
        }
        Ok(file)
    }

    fn write(&self, file: &Path, bytes: &[u8]) -> io::Result<()> {
        let free = folder::free_bytes(&self.folder)?;
        if free < self.bounds.min_free_mb * folder::MB + bytes.len() as u64 {
            // Whoever keeps pictures makes room first.
            return Err(io::ErrorKind::StorageFull.into());
        }
        (self.disk.write)(file, bytes).inspect_err(|_| _ = fs::remove_file(file))
    }

    /// The folder is there, and what was in it is known, before the first file of this run.
    fn listed(&self) -> io::Result<MutexGuard<'_, Option<Vec<PathBuf>>>> {
        let mut leftovers = locked(&self.leftovers);
        if leftovers.is_none() {
            folder::make(&self.folder)?;
            let files = fs::read_dir(&self.folder)?.map(|entry| Ok(entry?.path()));
            *leftovers = Some(files.collect::<io::Result<_>>()?);
        }
        Ok(leftovers)
    }
}

/// Whether the file is wanted still.
fn arrives(stage: &Mutex<Stage>, file: &Path) -> bool {
    let mut stage = locked(stage);
    let is_wanted = matches!(*stage, Stage::IsWritten);
    if is_wanted {
        *stage = Stage::There(file.to_owned());
    }
    is_wanted
}

/// A panic elsewhere leaves at worst one picture in memory only.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
