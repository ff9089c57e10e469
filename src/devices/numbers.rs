//! The last number that each device gave to an event, kept over a restart: what it said while the box was away is missing
//! too, and can be asked for.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::metrics::Metrics;

/// Between two writes. After a crash the last of them is that old, and a device may be asked for what was heard; that is
/// known when it comes again.
const PAUSE: Duration = Duration::from_secs(5);

/// The numbers by the names of their devices.
type Numbers = BTreeMap<String, u64>;

/// Takes the numbers up again, before the first link starts. Without the file, or with a damaged one, devices begin anew.
pub fn recall(metrics: &Metrics, file: &Path) {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return,
        Err(error) => return tracing::warn!(file = %file.display(), %error, "the devices' numbers cannot be read"),
    };
    match toml::from_str::<Numbers>(&text) {
        Ok(numbers) => metrics.health.continue_from(numbers),
        Err(error) => tracing::warn!(file = %file.display(), %error, "the devices' numbers cannot be read"),
    }
}

/// Writes them down while the links run, and once more at the end.
pub(super) async fn keep(metrics: Arc<Metrics>, file: PathBuf) {
    let mut kept = Kept { numbers: metrics.health.last_numbers(), metrics, file };
    loop {
        tokio::time::sleep(PAUSE).await;
        kept.write();
    }
}

struct Kept {
    metrics: Arc<Metrics>,
    file: PathBuf,
    /// What the file says.
    numbers: Numbers,
}

impl Kept {
    fn write(&mut self) {
        let numbers = self.metrics.health.last_numbers();
        if numbers == self.numbers {
            return;
        }
        if let Err(error) = write(&self.file, &numbers) {
            tracing::warn!(file = %self.file.display(), %error, "the devices' numbers are not written down");
        }
        // A full disk is not asked again for the same.
        self.numbers = numbers;
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.write();
    }
}

/// Whole or not at all; nothing waits for the disk.
fn write(file: &Path, numbers: &Numbers) -> io::Result<()> {
    let beside = file.with_extension("numbers.new");
    std::fs::write(&beside, toml::to_string(numbers).map_err(io::Error::other)?)?;
    std::fs::rename(beside, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_device_said_while_the_box_was_away_is_missing() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("ledger.numbers");
        let before = Arc::new(Metrics::default());
        before.health.expect("cam");
        assert_eq!(before.health.numbered("cam", 40_300), None);
        drop(Kept { metrics: before, file: file.clone(), numbers: Numbers::new() });

        let after = Metrics::default();
        recall(&after, &file);
        after.health.expect("cam");
        assert_eq!(after.health.numbered("cam", 40_304), Some(3));
        assert_eq!(after.health.take_gaps().iter().map(|gap| (gap.from, gap.count)).collect::<Vec<_>>(), [(40_301, 3)]);

        std::fs::write(&file, "cam = ").expect("a torn file");
        let anew = Metrics::default();
        recall(&anew, &file);
        anew.health.expect("cam");
        assert_eq!(anew.health.numbered("cam", 50_000), None);
    }
}
