//! The service hatch: a socket on the box itself through which a technician tells devices what their profiles let them be
//! told, such as a test print, and asks how they are. Who may open the socket's file may use it.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::check::{Finding, Watch};
use super::telling::Teller;

/// The longest line of either side: how a few hundred devices are.
const LINE_BYTES_MAX: u64 = 256 * 1024;
/// A technician's command comes at once.
const LINE_WITHIN: Duration = Duration::from_secs(5);
/// Technicians at once.
const VISITORS_MAX: usize = 4;

/// What a technician asks for, one line of JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wish {
    /// The device's name in the settings.
    pub device: String,
    /// One of its profile's commands.
    pub command: String,
    /// Its arguments as they are written: numbers, texts, bytes in hex, rows.
    #[serde(default)]
    pub args: std::collections::BTreeMap<String, toml::Value>,
}

/// What comes through the hatch.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Request {
    Wish(Wish),
    Look {
        /// How the devices are is asked.
        look: bool,
    },
}

/// What came of it, one line of JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// `taken`, `refused`, `unconfirmed`, `unknown`, `not-sent`, or `not-allowed`.
    pub outcome: String,
    /// What there is to say besides.
    pub why: Option<String>,
}

/// Opens the hatch at `path` and serves it for ever. A file that a former process left there is removed.
pub async fn serve(path: &Path, teller: Teller, watch: Watch) -> anyhow::Result<()> {
    let began = Instant::now();
    let _ = std::fs::remove_file(path);
    let listener = UnixListener::bind(path).with_context(|| format!("open the service hatch {}", path.display()))?;
    let only_for_us = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(path, only_for_us).context("close the service hatch to others")?;
    let visitors = Arc::new(Semaphore::new(VISITORS_MAX));
    loop {
        let slot = Arc::clone(&visitors).acquire_owned().await.context("count the visitors")?;
        let (stream, _) = listener.accept().await.context("wait at the service hatch")?;
        let (teller, watch) = (teller.clone(), watch.clone());
        tokio::spawn(async move {
            // One who goes away concerns nobody else.
            let _ = attend(stream, &teller, &watch, began).await;
            drop(slot);
        });
    }
}

/// Tells a device something through the hatch of a running daemon.
pub async fn ask(path: &Path, wish: &Wish) -> anyhow::Result<Answer> {
    let answer = asked(path, &Request::Wish(wish.clone())).await?;
    serde_json::from_str(&answer).context("read the daemon's answer")
}

/// What a running daemon knows of its devices.
pub async fn look(path: &Path) -> anyhow::Result<Vec<Finding>> {
    let answer = asked(path, &Request::Look { look: true }).await?;
    serde_json::from_str(&answer).context("read the daemon's answer")
}

async fn asked(path: &Path, request: &Request) -> anyhow::Result<String> {
    let place = || format!("reach the daemon at {}", path.display());
    let mut stream = UnixStream::connect(path).await.with_context(place)?;
    let mut line = serde_json::to_string(request).context("write the question")?;
    line.push('\n');
    stream.write_all(line.as_bytes()).await.with_context(place)?;
    line_of(&mut stream).await.with_context(place)
}

async fn attend(mut stream: UnixStream, teller: &Teller, watch: &Watch, began: Instant) -> anyhow::Result<()> {
    let line = timeout(LINE_WITHIN, line_of(&mut stream)).await.context("wait for a question")??;
    let answer = match serde_json::from_str::<Request>(&line) {
        Ok(Request::Wish(wish)) => serde_json::to_string(&told(teller, &wish).await),
        Ok(Request::Look { .. }) => serde_json::to_string(&watch.now(began.elapsed())),
        Err(error) => serde_json::to_string(&not_allowed(&error.to_string())),
    };
    let mut line = answer.context("write the answer")?;
    line.push('\n');
    stream.write_all(line.as_bytes()).await.context("answer")
}

async fn told(teller: &Teller, wish: &Wish) -> Answer {
    let args = teller.args(&wish.device, &wish.command, &wish.args);
    match teller.tell_by_hand(&wish.device, &wish.command, args).await {
        Ok(outcome) => {
            tracing::info!(
                device = wish.device,
                command = wish.command,
                outcome = outcome.word(),
                "told by a technician"
            );
            Answer { outcome: outcome.word().to_owned(), why: outcome.why().map(str::to_owned) }
        }
        Err(error) => not_allowed(&error.to_string()),
    }
}

fn not_allowed(why: &str) -> Answer {
    Answer { outcome: "not-allowed".to_owned(), why: Some(why.to_owned()) }
}

async fn line_of(stream: &mut UnixStream) -> anyhow::Result<String> {
    let mut line = String::new();
    let read = BufReader::new(stream.take(LINE_BYTES_MAX)).read_line(&mut line).await.context("read a line")?;
    anyhow::ensure!(read > 0 && line.ends_with('\n'), "a line of at most {LINE_BYTES_MAX} bytes is expected");
    Ok(line)
}
