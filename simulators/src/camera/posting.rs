//! A camera that posts what it sees to the box, and often that it is there; the answers may command it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::dialect::{Dialect, Message};
use super::messages::commands_in;
use super::offline::Offline;
use super::{Capture, OutputCommand};

/// How often it asks, in fast time; real ones every few seconds.
const ASKS_EVERY: Duration = Duration::from_millis(200);
/// How long it sends a post again to a box that does not take it: longer than a box needs to start.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(100);
/// No box needs longer for an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// A camera's posts; it asks no more when it is dropped.
pub(super) struct Poster {
    line: Arc<Line>,
    asking: JoinHandle<()>,
}

struct Line {
    dialect: Dialect,
    address: SocketAddr,
    client: reqwest::Client,
    commands: mpsc::Sender<OutputCommand>,
    offline: Option<Offline>,
    deaf_until: Mutex<Option<Instant>>,
    /// One thing after the other, as one camera says them.
    turn: tokio::sync::Mutex<()>,
}

impl Poster {
    /// Posts to this address from now on; `alive` is what it asks with, if it asks, and `offline` what it does by itself.
    pub fn start(
        dialect: Dialect,
        address: SocketAddr,
        alive: Option<Message>,
        offline: Option<Offline>,
        commands: mpsc::Sender<OutputCommand>,
    ) -> Result<Self> {
        let client = reqwest::Client::builder().no_proxy().timeout(ANSWER_WITHIN).pool_max_idle_per_host(1);
        let client = client.tcp_nodelay(true).build().context("make an HTTP client")?;
        let (deaf_until, turn) = (Mutex::default(), tokio::sync::Mutex::default());
        let line = Arc::new(Line { dialect, address, client, commands, offline, deaf_until, turn });
        let asking = Arc::clone(&line);
        let asking = tokio::spawn(async move {
            if let Some(alive) = alive {
                ask(asking, alive).await;
            }
        });
        Ok(Self { line, asking })
    }

    /// Posts, again and again until the box has taken it or does not want it; false where the camera does not wait so long,
    /// because it can do without the box.
    pub async fn post(&self, message: &Message) -> Result<bool> {
        let _turn = self.line.turn.lock().await;
        let until = Instant::now() + self.line.offline.as_ref().map_or(PATIENCE, |offline| offline.after);
        loop {
            match self.line.send(message).await {
                Ok((200, answer)) if self.line.dialect.is_taken(&answer) => {
                    return self.line.obey(&answer).map(|()| true);
                }
                Ok((400, _)) => return Ok(true),
                Ok(_) | Err(_) if Instant::now() > until && self.line.offline.is_some() => return Ok(false),
                Ok((status, _)) if Instant::now() > until => {
                    bail!("the box takes no post; it answers with {status}")
                }
                Err(error) if Instant::now() > until => return Err(error),
                Ok(_) | Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    /// What the camera does about a plate of which the box did not hear: its own list decides, and the record is kept.
    pub fn decide_alone(&self, capture: &Capture, record: u64, message: &Message) -> Result<()> {
        let Some(offline) = &self.line.offline else { return Ok(()) };
        offline.keep(record, message);
        if !offline.lets_in(&capture.plate, capture.at_ms) {
            return Ok(());
        }
        let raise = OutputCommand { id: String::new(), io: 0, value: 2, delay_ms: 500, at: Instant::now() };
        self.line.commands.try_send(raise).context("move the arm by the camera's own list")
    }

    /// What the box commands meanwhile is lost in it.
    pub fn start_anew(&self, within: Duration) {
        *self.line.deaf_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + within);
    }
}

impl Drop for Poster {
    fn drop(&mut self) {
        self.asking.abort();
    }
}

/// Asks for ever; a box that is off is asked again.
async fn ask(line: Arc<Line>, alive: Message) {
    let mut ticks = tokio::time::interval(ASKS_EVERY);
    loop {
        ticks.tick().await;
        let _turn = line.turn.lock().await;
        let Ok((200, answer)) = line.send(&alive).await else { continue };
        if line.obey(&answer).is_err() || line.release().await.is_err() {
            return;
        }
    }
}

impl Line {
    async fn send(&self, message: &Message) -> Result<(u16, String)> {
        let Message { to, content_type, body } = message;
        let request = self.client.post(format!("http://{}{to}", self.address));
        let request = request.header(reqwest::header::CONTENT_TYPE, content_type).body(body.clone());
        let answer = request.send().await.context("post to the box")?;
        let status = answer.status().as_u16();
        Ok((status, answer.text().await.context("read the box's answer")?))
    }

    /// The box is there: what it has not heard is said, the next one when it has named the one before.
    async fn release(&self) -> Result<()> {
        let Some(offline) = &self.offline else { return Ok(()) };
        while let Some((record, message)) = offline.next() {
            let Ok((200, answer)) = self.send(&message).await else { return Ok(()) };
            self.obey(&answer)?;
            if offline.next().is_some_and(|(next, _)| next == record) {
                return Ok(());
            }
        }
        Ok(())
    }

    fn obey(&self, answer: &str) -> Result<()> {
        if let Some(offline) = &self.offline {
            offline.hear(answer);
        }
        let deaf_until = *self.deaf_until.lock().unwrap_or_else(PoisonError::into_inner);
        if deaf_until.is_some_and(|until| Instant::now() < until) {
            return Ok(());
        }
        for command in commands_in(answer) {
            self.commands.try_send(command).context("hand a command to the arm")?;
        }
        Ok(())
    }
}
