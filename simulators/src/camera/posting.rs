//! A camera that posts what it sees to the box, and often that it is there; the answers may command it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::OutputCommand;
use super::dialect::{Dialect, Message};
use super::messages::commands_in;

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
    deaf_until: Mutex<Option<Instant>>,
    /// One thing after the other, as one camera says them.
    turn: tokio::sync::Mutex<()>,
}

impl Poster {
    /// Posts to this address from now on; `alive` is what it asks with, if it asks.
    pub fn start(
        dialect: Dialect,
        address: SocketAddr,
        alive: Option<Message>,
        commands: mpsc::Sender<OutputCommand>,
    ) -> Result<Self> {
        let client = reqwest::Client::builder().no_proxy().timeout(ANSWER_WITHIN).pool_max_idle_per_host(1);
        let client = client.tcp_nodelay(true).build().context("make an HTTP client")?;
        let (deaf_until, turn) = (Mutex::default(), tokio::sync::Mutex::default());
        let line = Arc::new(Line { dialect, address, client, commands, deaf_until, turn });
        let asking = Arc::clone(&line);
        let asking = tokio::spawn(async move {
            if let Some(alive) = alive {
                ask(asking, alive).await;
            }
        });
        Ok(Self { line, asking })
    }

    /// Posts, again and again until the box has taken it or does not want it.
    pub async fn post(&self, message: &Message) -> Result<()> {
        let _turn = self.line.turn.lock().await;
        let until = Instant::now() + PATIENCE;
        loop {
            match self.line.send(message).await {
                Ok((200, answer)) if self.line.dialect.is_taken(&answer) => return self.line.obey(&answer),
                Ok((400, _)) => return Ok(()),
                Ok((status, _)) if Instant::now() > until => bail!("the box takes no post; it answers with {status}"),
                Err(error) if Instant::now() > until => return Err(error),
                Ok(_) | Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
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
        if let Ok((200, answer)) = line.send(&alive).await
            && line.obey(&answer).is_err()
        {
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

    fn obey(&self, answer: &str) -> Result<()> {
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
