//! A camera that posts what it sees to the box, and asks often whether there is anything to do; the answers command it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::OutputCommand;
use super::messages::commands_in;

/// Where the vendor's cameras post plates, where this one posts its inputs, and where they ask.
const PLATES: &str = "/devicemanagement/php/plateresult.php";
const INPUTS: &str = "/vzenith/input";
const ASKS: &str = "/devicemanagement/php/receivedeviceinfo.php";
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
    address: SocketAddr,
    client: reqwest::Client,
    commands: mpsc::Sender<OutputCommand>,
    deaf_until: Mutex<Option<Instant>>,
    /// One thing after the other, as one camera says them.
    turn: tokio::sync::Mutex<()>,
}

impl Poster {
    /// Posts to this address from now on.
    pub fn start(address: SocketAddr, sn: &str, commands: mpsc::Sender<OutputCommand>) -> Result<Self> {
        let client = reqwest::Client::builder().no_proxy().timeout(ANSWER_WITHIN).pool_max_idle_per_host(1);
        let client = client.tcp_nodelay(true).build().context("make an HTTP client")?;
        let line =
            Line { address, client, commands, deaf_until: Mutex::default(), turn: tokio::sync::Mutex::default() };
        let line = Arc::new(line);
        let asking = tokio::spawn(ask(Arc::clone(&line), format!("serialno={sn}")));
        Ok(Self { line, asking })
    }

    /// Posts, again and again until the box has taken it or does not want it.
    pub async fn post(&self, is_plate: bool, document: String) -> Result<()> {
        let path = if is_plate { PLATES } else { INPUTS };
        let _turn = self.line.turn.lock().await;
        let until = Instant::now() + PATIENCE;
        loop {
            match self.line.send(path, "application/json", document.clone()).await {
                Ok((200 | 400, answer)) => return self.line.obey(&answer),
                Ok((status, _)) if Instant::now() > until => bail!("the box answers a post with {status}"),
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
async fn ask(line: Arc<Line>, who: String) {
    let mut ticks = tokio::time::interval(ASKS_EVERY);
    loop {
        ticks.tick().await;
        let _turn = line.turn.lock().await;
        if let Ok((200, answer)) = line.send(ASKS, "application/x-www-form-urlencoded", who.clone()).await
            && line.obey(&answer).is_err()
        {
            return;
        }
    }
}

impl Line {
    async fn send(&self, path: &str, content_type: &str, body: String) -> Result<(u16, String)> {
        let request = self.client.post(format!("http://{}{path}", self.address));
        let request = request.header(reqwest::header::CONTENT_TYPE, content_type).body(body);
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
