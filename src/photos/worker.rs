//! The thread that keeps the pictures: it gives each its place as it came, then looks into it and makes the small one.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};
use std::{fs, io};

use anyhow::Context as _;
use hyper::body::Bytes;
use image::ImageFormat;
use sha2::{Digest, Sha256};
use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy, set_thread_priority_and_policy, thread_native_id,
};
use tokio::sync::oneshot;

use super::folder::{Folder, NotWritten};
use super::naming::PhotoId;
use super::spool::{self, Spool, Spooled};
use super::{ARRIVALS_KNOWN, Clock, Shared, Waiting, picture};
use crate::domain::plate::told::PlateBox;

/// What the pictures are to the scheduler: what runs when nothing else would. Making a picture small takes as long as a
/// hundred decisions; a lane that wakes takes the core from such a thread at once, where from one that is merely nice it
/// would wait for the end of its slice.
const SCHEDULED: ThreadSchedulePolicy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
/// How long a picture waits at most until its own vehicle is decided, so that no core and no disk is taken from that: what
/// it takes on a slow box, and a part of what an acknowledgement waits for.
pub const DECISION_MAX: Duration = Duration::from_millis(20);
/// How often old pictures are looked for.
const TIDYING: Duration = Duration::from_secs(600);
/// One line in the log in this time for each reason; the metrics count every one.
const WARNING_PAUSE: Duration = Duration::from_secs(60);

/// A picture on its way to the disk.
#[derive(Debug)]
pub struct Job {
    pub id: PhotoId,
    pub format: ImageFormat,
    pub bytes: Bytes,
    /// Where the plate is to be cut out.
    pub plate_box: Option<PlateBox>,
    pub left: Left,
}

/// What is left to do for those who handed a picture in.
#[derive(Debug)]
pub struct Left {
    /// Its file in the spool, where it was written in time.
    pub spooled: Spooled,
    /// When it was handed in.
    pub since: Instant,
    /// Ends when its vehicle is decided.
    pub decided: Receiver<()>,
    /// Dropped when the picture is on disk, or will never be.
    pub keeping: oneshot::Sender<()>,
    pub _waiting: Waiting,
}

/// Starts the thread. It ends when nobody can hand in pictures any more.
pub fn start(shared: Arc<Shared>, spool: Spool, now: Clock, jobs: Receiver<Job>) -> std::io::Result<()> {
    let run = move || Worker { folder: None, shared, now, warned: BTreeMap::new() }.run(spool, &jobs);
    std::thread::Builder::new().name("photos".to_owned()).spawn(run).map(drop)
}

struct Worker {
    /// None until the disk lets us.
    folder: Option<Folder>,
    shared: Arc<Shared>,
    now: Clock,
    warned: BTreeMap<&'static str, Instant>,
}

impl Worker {
    fn run(mut self, spool: Spool, jobs: &Receiver<Job>) {
        // The thread's own, not the daemon's. Where it may not be changed, it stays as it is.
        if let Err(error) = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, SCHEDULED) {
            tracing::debug!(%error, "the pictures' thread stays as important as the others");
        }
        self.take_up();
        self.take_in(&spool);
        // Its writers end with the last one who hands in pictures.
        drop(spool);
        self.tidy_up();
        let mut tidied = Instant::now();
        loop {
            match jobs.recv_timeout(TIDYING) {
                Ok(job) => self.keep(job),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if tidied.elapsed() >= TIDYING {
                self.tidy_up();
                tidied = Instant::now();
            }
        }
    }

    /// What the page can find again after a restart.
    fn take_up(&mut self) {
        let Some(folder) = self.folder() else { return };
        match folder.newest(2 * ARRIVALS_KNOWN) {
            Ok(newest) => newest.into_iter().for_each(|id| self.shared.show(id)),
            Err(error) => tracing::warn!(%error, "the pictures of earlier arrivals cannot be listed"),
        }
    }

    /// What a crash has left in the spool: a picture that is whole is named like every other. Its vehicle was decided, or
    /// its message comes again.
    fn take_in(&mut self, spool: &Spool) {
        let leftovers = spool.leftovers().unwrap_or_else(|error| {
            self.complain("photo-not-written", &error);
            Vec::new()
        });
        for file in leftovers {
            if let Err(error) = self.take_in_one(&file) {
                self.complain("photo-unfinished", &error);
                // Where even that fails, the next start finds it again.
                let _ = fs::remove_file(&file);
            }
        }
    }

    fn take_in_one(&mut self, file: &Path) -> anyhow::Result<()> {
        let (id, promised) = spool::name_of(file).context("a file of the spool has no picture's name")?;
        let size = fs::metadata(file).context("measure a file of the spool")?.len();
        anyhow::ensure!(size == promised, "{size} of {promised} bytes of a picture were written");
        let bytes = Bytes::from(fs::read(file).context("read a file of the spool")?);
        let format = picture::format(&bytes)?;
        let id = id.hashed(hex::encode(Sha256::digest(&bytes)));
        self.place(&id, &bytes, format, Some(file))?;
        self.look_into(id, &bytes, None);
        Ok(())
    }

    fn tidy_up(&mut self) {
        let now = (self.now)();
        let Some(folder) = self.folder() else { return };
        let outcome = folder.look_again().and_then(|()| folder.forget_the_old(now));
        self.count();
        if let Err(error) = outcome {
            self.complain("photo-not-removed", &error);
        }
    }

    /// What lies there now, and what somebody else has removed.
    fn count(&mut self) {
        let Some(folder) = &mut self.folder else { return };
        let (bytes, lost) = (folder.bytes(), folder.lost());
        self.shared.metrics.photos_bytes(bytes);
        self.shared.metrics.photos_are_lost(lost.pictures);
        if !lost.days.is_empty() {
            tracing::warn!(pictures = lost.pictures, folders = ?lost.days, "pictures are gone: somebody removed their folders");
        }
    }

    fn keep(&mut self, job: Job) {
        let Job { id, format, bytes, plate_box, left } = job;
        let Left { spooled, since, decided, keeping, _waiting } = left;
        // Nothing is ever said: it ends by being dropped. Where the pictures are behind, none waits longer.
        let _ = decided.recv_timeout(DECISION_MAX.saturating_sub(since.elapsed()));
        // A writer that is still at it removes what it makes.
        let spooled = spooled.take();
        if let Err(error) = self.place(&id, &bytes, format, spooled.as_deref()) {
            // Where even that fails, the next start finds it.
            let _ = spooled.map(fs::remove_file);
            return self.complain(name(&error), &error);
        }
        // From here on the camera's message may be forgotten.
        drop(keeping);
        self.look_into(id, &bytes, plate_box);
    }

    /// Under its name, from the spool or from memory.
    fn place(
        &mut self,
        id: &PhotoId,
        bytes: &Bytes,
        format: ImageFormat,
        spooled: Option<&Path>,
    ) -> Result<(), NotWritten> {
        let folder = self.opened()?;
        match spooled.map(|file| folder.take_in(id, file, bytes.len() as u64, format)) {
            Some(Ok(())) => {}
            Some(Err(error @ NotWritten::NoRoom { .. })) => return Err(error),
            Some(Err(NotWritten::Disk(_))) | None => folder.keep(id, bytes, format)?,
        }
        self.shared.metrics.photo_kept();
        Ok(())
    }

    fn look_into(&mut self, id: PhotoId, bytes: &Bytes, plate_box: Option<PlateBox>) {
        let finish = self.shared.settings.finish(&id);
        // A decoder's own fault must not end the thread: the next picture is another one.
        let small = catch_unwind(AssertUnwindSafe(|| picture::thumbnails(bytes, &finish, plate_box)))
            .unwrap_or(Err(picture::NotAPicture::Damaged));
        match small {
            Ok((small, plate)) => {
                let id_of_plate = id.of_its_plate();
                self.keep_small(id, &small);
                if let Some(plate) = plate {
                    self.keep_small(id_of_plate, &plate);
                }
            }
            Err(why) => self.complain(why.name(), &why),
        }
    }

    fn keep_small(&mut self, id: PhotoId, small: &[u8]) {
        let Some(folder) = self.folder() else { return };
        let outcome = folder.keep_small(&id, small);
        self.count();
        match outcome {
            Ok(()) => self.shared.show(id),
            Err(error) => self.complain(name(&error), &error),
        }
    }

    /// The folder, opened again where the disk refused it before.
    fn folder(&mut self) -> Option<&mut Folder> {
        if let Err(error) = self.opened() {
            self.complain("photo-not-written", &error);
        }
        self.folder.as_mut()
    }

    fn opened(&mut self) -> io::Result<&mut Folder> {
        match &mut self.folder {
            Some(folder) => Ok(folder),
            none => {
                let settings = &self.shared.settings;
                Ok(none.insert(Folder::open(&settings.directory, settings.bounds)?))
            }
        }
    }

    fn complain(&mut self, reason: &'static str, why: &dyn std::fmt::Display) {
        self.shared.metrics.rejected("photos", reason);
        let is_due = self.warned.get(reason).is_none_or(|last| last.elapsed() >= WARNING_PAUSE);
        if is_due {
            self.warned.insert(reason, Instant::now());
            tracing::warn!(reason, "a picture was left out: {why}");
        }
    }
}

fn name(error: &NotWritten) -> &'static str {
    match error {
        NotWritten::NoRoom { .. } => "photo-no-room",
        NotWritten::Disk(_) => "photo-not-written",
    }
}
