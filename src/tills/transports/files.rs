//! Tills that only write files: `request.txt` appears in a folder, the box leaves `result.txt` there.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::fs;

use super::Charset;
use crate::domain::event::TerminalId;
use crate::tills::Tills;

/// How often the folder is looked at: a cashier does not notice it, and a disk neither.
const LOOK: Duration = Duration::from_millis(100);
/// A request that is older than this when it is found was written for somebody who does not wait any more.
const STALE: Duration = Duration::from_secs(60);
/// The longest request.
const MOST_BYTES: u64 = 64 * 1024;

const REQUEST: &str = "request.txt";
const RESULT: &str = "result.txt";
/// Where a result is until it is whole.
const UNFINISHED: &str = "result.tmp";

/// Answers the requests in a folder, until the folder is lost.
pub(super) async fn watch(
    tills: &Arc<Tills>,
    terminal: &TerminalId,
    folder: &Path,
    charset: Charset,
) -> anyhow::Result<()> {
    fs::create_dir_all(folder).await.with_context(|| format!("make {}", folder.display()))?;
    loop {
        if let Some((text, age)) = request(folder, charset).await? {
            let answer = tills.answer_file(terminal, &text, age).await;
            finish(folder, &charset.encode(&answer)).await?;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The request in the folder and its age. One that is not ended by a newline yet is still being written.
async fn request(folder: &Path, charset: Charset) -> anyhow::Result<Option<(String, Duration)>> {
    let path = folder.join(REQUEST);
    let about = match fs::metadata(&path).await {
        Ok(about) => about,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            fs::metadata(folder).await.with_context(|| format!("look into {}", folder.display()))?;
            return Ok(None);
        }
        Err(error) => return Err(error).with_context(|| format!("look at {}", path.display())),
    };
    // A result is there until the till has read and deleted it: what it asked before is not asked twice.
    if fs::try_exists(folder.join(RESULT)).await.context("look for the last result")? {
        fs::remove_file(folder.join(RESULT)).await.context("delete the last result")?;
    }
    anyhow::ensure!(about.len() <= MOST_BYTES, "{} has {} bytes", path.display(), about.len());
    let bytes = fs::read(&path).await.with_context(|| format!("read {}", path.display()))?;
    let age = about.modified().ok().and_then(|at| at.elapsed().ok()).unwrap_or_default();
    Ok(bytes.ends_with(b"\n").then(|| (charset.decode(&bytes), age)))
}

/// Leaves the result, whole or not at all, after the request is gone: a till that sees its result may write the next
/// request at once. A box that dies in between has done what was asked, and the till asks what became of it.
async fn finish(folder: &Path, answer: &[u8]) -> anyhow::Result<()> {
    let unfinished = folder.join(UNFINISHED);
    let mut line = answer.to_vec();
    line.extend(b"\r\n");
    fs::write(&unfinished, line).await.context("write the result")?;
    fs::remove_file(folder.join(REQUEST)).await.context("delete the request")?;
    fs::rename(&unfinished, folder.join(RESULT)).await.context("put the result in place")
}

impl Tills {
    async fn answer_file(self: &Arc<Self>, terminal: &TerminalId, text: &str, age: Duration) -> String {
        match self.on_line(terminal).await {
            Ok(terminal) if age > STALE => self.ask_in_stale_text(&terminal, text, ',').await,
            Ok(terminal) => self.ask_in_text(&terminal, text, ',').await,
            Err(problem) => super::text::refusal(text, ',', problem),
        }
    }
}
