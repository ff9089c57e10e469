//! The till's end of a folder: a request is written whole, its reversal before it, and the result read once.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::{Ask, Cut, Heard, text};

/// How long a result may take.
const PATIENCE: Duration = Duration::from_secs(12);
/// How often the folder is looked at.
const LOOK: Duration = Duration::from_millis(5);

pub(super) struct Folder {
    folder: PathBuf,
}

impl Folder {
    /// Makes the folder where it is not there yet: whoever of till and box comes first.
    pub(super) fn new(folder: PathBuf) -> Result<Self> {
        fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        Ok(Self { folder })
    }

    pub(super) fn ask(&mut self, ask: &Ask<'_>) -> Result<Heard> {
        let (request, result) = (self.folder.join("request.txt"), self.folder.join("result.txt"));
        // What was asked before is over before anything else is asked.
        wait("the box to take the last request", || Ok((!request.exists()).then_some(())))?;
        if result.exists() {
            fs::remove_file(&result).context("delete the last result")?;
        }
        let line = text::line(ask, ',') + "\r\n";
        let unfinished = self.folder.join("request.tmp");
        fs::write(&unfinished, line).context("write the request")?;
        if ask.cut == Cut::InRequest {
            return Ok(Heard::Nothing);
        }
        fs::rename(&unfinished, &request).context("put the request in place")?;
        if ask.cut == Cut::AfterRequest {
            return Ok(Heard::Nothing);
        }
        // The answer to a request whose till stopped waiting may still come; it is left for the box to put ours over it.
        let heard = wait("the result", || match fs::read_to_string(&result) {
            Ok(answer) => {
                ensure!(answer.ends_with('\n'), "half a result: {answer:?}");
                Ok(text::heard(&answer, ask, ','))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).context("read the result"),
        })?;
        fs::remove_file(&result).context("delete the result")?;
        Ok(if ask.cut == Cut::BeforeAnswer { Heard::Nothing } else { heard })
    }
}

/// A till that writes files has nothing to wait for but time.
fn wait<T>(what: &str, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        ensure!(Instant::now() < until, "waited in vain for {what}");
        std::thread::park_timeout(LOOK);
    }
}
