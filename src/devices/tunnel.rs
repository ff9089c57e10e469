//! The serial port of another device: bytes go out as that device's command, and come back in what it says.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc};

use super::order::Outcome;
use super::telling::Teller;
use crate::domain::event::DeviceId;
use crate::metrics::Metrics;
use crate::profile::language::TUNNEL;
use crate::profile::template::{Value, Values};

/// How long the other device may take to fetch the bytes: one that is told in answers to its posts asks every few seconds.
pub const CARRIED_WITHIN: Duration = Duration::from_secs(6);
/// What an answer needs besides the device's own time: two more messages of the other device.
pub const DETOUR: Duration = Duration::from_secs(2);
/// Pieces that may wait to be read; a card answers one frame at a time.
pub const PIECES_MAX: usize = 64;

/// One port of another device. Clones are the same port.
#[derive(Clone, Debug)]
pub struct Tunnel {
    device: DeviceId,
    channel: u16,
    /// The link of the other device: while it is down there is no tunnel.
    link: String,
    teller: Teller,
    metrics: Arc<Metrics>,
    heard: Arc<Mutex<Heard>>,
}

#[derive(Debug)]
struct Heard {
    pieces: mpsc::Receiver<Vec<u8>>,
    rest: Vec<u8>,
}

impl Tunnel {
    /// Port `channel` of `device`, which hangs on `link`; what it says comes through `pieces`.
    pub fn new(
        device: DeviceId,
        channel: u16,
        link: String,
        teller: Teller,
        metrics: Arc<Metrics>,
        pieces: mpsc::Receiver<Vec<u8>>,
    ) -> Self {
        let heard = Arc::new(Mutex::new(Heard { pieces, rest: Vec::new() }));
        Self { device, channel, link, teller, metrics, heard }
    }

    /// What was said before does not count any more.
    pub async fn open(&self) -> io::Result<()> {
        if !self.metrics.is_link_up(&self.link) {
            return Err(io::Error::new(io::ErrorKind::NotConnected, format!("{} is not reached", self.device)));
        }
        let mut heard = self.heard.lock().await;
        heard.rest.clear();
        while heard.pieces.try_recv().is_ok() {}
        Ok(())
    }

    /// Until the other device has taken the bytes. That it never confirms them is no fault: what hangs on it answers.
    pub async fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let args = Values::from([
            ("channel".to_owned(), Value::Integer(i64::from(self.channel))),
            ("bytes".to_owned(), Value::Bytes(bytes.to_vec())),
        ]);
        let told = self.teller.tell(self.device.as_str(), TUNNEL, args).await.map_err(io::Error::other)?;
        match told {
            Outcome::Taken | Outcome::Unconfirmed(_) => Ok(()),
            Outcome::Refused(why) | Outcome::Silent(why) | Outcome::NotSent(why) => {
                Err(io::Error::other(format!("{} did not take it: {why}", self.device)))
            }
        }
    }

    /// The next bytes, whenever they come. Nothing is lost where it is not waited for to the end.
    pub async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut heard = self.heard.lock().await;
        if heard.rest.is_empty() {
            heard.rest = heard.pieces.recv().await.ok_or(io::ErrorKind::UnexpectedEof)?;
        }
        Ok(heard.take(buffer))
    }

    /// What has come by now.
    pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut heard = self.heard.try_lock().map_err(|_| io::ErrorKind::WouldBlock)?;
        if heard.rest.is_empty() {
            heard.rest = heard.pieces.try_recv().map_err(|_| io::ErrorKind::WouldBlock)?;
        }
        Ok(heard.take(buffer))
    }
}

impl Heard {
    fn take(&mut self, buffer: &mut [u8]) -> usize {
        let count = self.rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.rest[..count]);
        self.rest.drain(..count);
        count
    }
}
