//! A line with devices on it, serial or behind a TCP port: written within a time limit, and lost when it says so.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_serial::{SerialPortBuilderExt, SerialStream};

use super::backoff::Attempts;
use super::settings::Parity;
use super::tunnel::{self, Tunnel};
use crate::domain::event::DeviceId;
use crate::metrics::Metrics;
use crate::profile::modbus::{Answer, BadFrame, FRAME_BYTES_MAX, Framing, Request};

/// A port that takes no bytes for so long is not there; a frame takes 10 ms.
const WRITE_WITHIN: Duration = Duration::from_millis(500);
/// A gateway on the local network that does not open a connection in this time is not there.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);
/// After a broken answer the line must be quiet for so long before the next frame.
const QUIET: Duration = Duration::from_millis(20);
/// Stale bytes are thrown away in so many reads; a line that brings more than that is noise, and its answers show it.
const STALE_READS_MAX: usize = 64;
/// Three and a half characters of eleven bits end a frame; never below 1.75 ms, as the standard asks.
const GAP_BITS: u64 = 39;
const GAP_MIN: Duration = Duration::from_micros(1_750);
/// A network plug can be pulled without a word. Where nothing behind a connection answers for so long, another is opened.
const CONNECTION_TRUSTED: Duration = Duration::from_secs(5);
/// The first pause before a port is opened again, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// Where a line is.
#[derive(Clone, Debug)]
pub enum Wire {
    /// A port of this machine.
    Serial {
        /// Its file.
        path: PathBuf,
        /// Bits per second.
        baud: u32,
        /// Its check bit.
        parity: Parity,
        /// Bits of a character: 7 or 8.
        data_bits: u8,
        /// Bits behind it: 1 or 2.
        stop_bits: u8,
    },
    /// A board with a network plug, or a gateway with a serial line behind it.
    Tcp {
        /// Its name or address.
        host: String,
        /// Its port.
        port: u16,
    },
    /// The serial port of another device, which carries the bytes in its own messages.
    Tunnel {
        /// Whose.
        device: DeviceId,
        /// Which of its ports.
        channel: u16,
    },
}

/// A line that is opened, and opened again when it is lost.
pub struct Reopening {
    link: String,
    wire: Wire,
    attempts: Attempts,
    metrics: Arc<Metrics>,
    tunnel: Option<Tunnel>,
}

/// An open port.
pub struct Port {
    stream: Stream,
    gap: Duration,
    free_at: Instant,
    opened: Instant,
    transaction: u16,
}

enum Stream {
    Serial(SerialStream),
    Tcp(TcpStream),
    Tunnel(Tunnel),
}

/// Why a frame got no answer.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The port is gone.
    #[error("the port is lost: {0}")]
    Lost(io::Error),
    /// It was not opened.
    #[error(transparent)]
    Closed(io::Error),
    /// Nothing came back in time.
    #[error("no answer in time")]
    Silent,
    /// What came back is no answer.
    #[error(transparent)]
    Bad(#[from] BadFrame),
}

impl Reopening {
    /// Closed as yet.
    pub fn new(link: String, wire: Wire, metrics: Arc<Metrics>) -> Self {
        metrics.link_up(&link, false);
        Self { link, wire, attempts: Attempts::new(PAUSE), metrics, tunnel: None }
    }

    /// The same through another device.
    pub fn through(self, tunnel: Option<Tunnel>) -> Self {
        Self { tunnel, ..self }
    }

    /// Opens the line.
    pub async fn open(&mut self) -> Result<Port, Fault> {
        let port = Port::open(&self.wire, self.tunnel.as_ref()).await.map_err(Fault::Closed)?;
        if self.attempts.comes(std::time::Instant::now()) {
            tracing::info!(link = self.link, "the port is open");
        }
        self.metrics.link_up(&self.link, true);
        Ok(port)
    }

    /// The line is closed, and why; until when it must rest. Once per outage it is a line in the log.
    pub fn closed(&mut self, fault: &Fault) -> Instant {
        let why = fault.to_string();
        self.metrics.link_up(&self.link, false);
        self.metrics.health.link_is_down(&self.link, &why);
        // A gateway behind which nothing answers is connected to again and again: it has not worked in between.
        let (is_news, pause) = self.attempts.goes(!matches!(fault, Fault::Silent), std::time::Instant::now());
        if is_news {
            tracing::warn!(link = self.link, why, "the port is not there; trying again");
        }
        Instant::now() + pause
    }

    /// The link's name.
    pub fn link(&self) -> &str {
        &self.link
    }
}

impl Port {
    /// Opens a port. Modem lines are left alone: many adapters have none.
    async fn open(wire: &Wire, tunnel: Option<&Tunnel>) -> io::Result<Self> {
        let (stream, gap) = match wire {
            Wire::Serial { path, baud, parity, data_bits, stop_bits } => {
                let parity = match parity {
                    Parity::None => tokio_serial::Parity::None,
                    Parity::Even => tokio_serial::Parity::Even,
                    Parity::Odd => tokio_serial::Parity::Odd,
                };
                let seven = *data_bits == 7;
                let data_bits = if seven { tokio_serial::DataBits::Seven } else { tokio_serial::DataBits::Eight };
                let two = *stop_bits == 2;
                let stop_bits = if two { tokio_serial::StopBits::Two } else { tokio_serial::StopBits::One };
                let line = tokio_serial::new(path.to_string_lossy(), *baud).parity(parity);
                let stream = line.data_bits(data_bits).stop_bits(stop_bits).open_native_async()?;
                let gap = Duration::from_micros(GAP_BITS * 1_000_000 / u64::from(*baud)).max(GAP_MIN);
                (Stream::Serial(stream), gap)
            }
            Wire::Tcp { host, port } => {
                let connecting = timeout(CONNECT_WITHIN, TcpStream::connect((host.as_str(), *port)));
                let stream = connecting.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
                // A short frame must not wait for another.
                stream.set_nodelay(true)?;
                (Stream::Tcp(stream), GAP_MIN)
            }
            Wire::Tunnel { .. } => {
                let tunnel = tunnel.cloned().ok_or_else(|| io::Error::other("nothing carries this tunnel"))?;
                tunnel.open().await?;
                (Stream::Tunnel(tunnel), GAP_MIN)
            }
        };
        let now = Instant::now();
        Ok(Self { stream, gap, free_at: now, opened: now, transaction: 0 })
    }

    /// Writes a Modbus frame in this framing; tells when its last byte was handed to the port.
    pub async fn write(&mut self, request: &Request, framing: Framing) -> Result<std::time::Instant, Fault> {
        // What came after its time answers nothing any more.
        for _ in 0..STALE_READS_MAX {
            if self.arrived()?.is_empty() {
                break;
            }
        }
        sleep_until(self.free_at).await;
        match framing {
            Framing::Rtu => self.send(&request.frame).await,
            Framing::Tcp => {
                self.transaction = self.transaction.wrapping_add(1);
                self.send(&request.over_tcp(self.transaction)).await
            }
        }
    }

    /// Writes bytes as they are; tells when the last was handed to the port.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<std::time::Instant, Fault> {
        let within = match self.stream {
            Stream::Tunnel(_) => tunnel::CARRIED_WITHIN,
            Stream::Serial(_) | Stream::Tcp(_) => WRITE_WITHIN,
        };
        match timeout(within, self.stream.write(bytes)).await {
            Ok(Ok(())) => Ok(std::time::Instant::now()),
            Ok(Err(error)) => Err(Fault::Lost(error)),
            Err(_) => Err(Fault::Lost(io::Error::new(io::ErrorKind::TimedOut, "it takes no bytes"))),
        }
    }

    /// Reads the answer to the frame that was just written.
    pub async fn answer(&mut self, request: &Request, framing: Framing, within: Duration) -> Result<Answer, Fault> {
        let until = Instant::now() + within;
        let answer = match framing {
            Framing::Rtu => self.answer_rtu(request, until).await,
            Framing::Tcp => self.answer_tcp(request, until).await,
        };
        if matches!(answer, Err(Fault::Silent | Fault::Bad(_))) {
            self.until_quiet().await?;
        }
        self.free_at = Instant::now() + self.gap;
        answer
    }

    /// Whether it should be opened anew where nothing on it answers.
    pub fn may_be_dead(&self) -> bool {
        match self.stream {
            Stream::Serial(_) | Stream::Tunnel(_) => false,
            Stream::Tcp(_) => self.opened.elapsed() >= CONNECTION_TRUSTED,
        }
    }

    /// How much longer an answer may take than the device itself: the way through another device.
    pub fn detour(&self) -> Duration {
        match self.stream {
            Stream::Tunnel(_) => tunnel::DETOUR,
            Stream::Serial(_) | Stream::Tcp(_) => Duration::ZERO,
        }
    }

    /// The next bytes, whenever they come. Nothing is lost where it is not waited for to the end.
    pub async fn hear(&mut self) -> Result<Vec<u8>, Fault> {
        let mut buffer = [0; FRAME_BYTES_MAX];
        match self.stream.read(&mut buffer).await {
            Ok(0) => Err(Fault::Lost(io::ErrorKind::UnexpectedEof.into())),
            Ok(count) => Ok(buffer[..count].to_vec()),
            Err(error) => Err(Fault::Lost(error)),
        }
    }

    /// Some of the bytes that have come by now; none where there are none.
    pub fn arrived(&mut self) -> Result<Vec<u8>, Fault> {
        let mut buffer = [0; FRAME_BYTES_MAX];
        match self.stream.try_read(&mut buffer) {
            Ok(0) => Err(Fault::Lost(io::ErrorKind::UnexpectedEof.into())),
            Ok(count) => Ok(buffer[..count].to_vec()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Vec::new()),
            Err(error) => Err(Fault::Lost(error)),
        }
    }

    async fn answer_rtu(&mut self, request: &Request, until: Instant) -> Result<Answer, Fault> {
        let mut bytes = Vec::with_capacity(FRAME_BYTES_MAX);
        loop {
            self.more(&mut bytes, until).await?;
            if request.awaits(&bytes).is_some_and(|expected| bytes.len() >= expected) {
                return request.answered(&bytes).map_err(Fault::Bad);
            }
        }
    }

    /// An answer to an earlier request may come first; its number tells.
    async fn answer_tcp(&mut self, request: &Request, until: Instant) -> Result<Answer, Fault> {
        let mut bytes = Vec::with_capacity(FRAME_BYTES_MAX);
        loop {
            self.more(&mut bytes, until).await?;
            while let Some(expected) = Request::awaits_over_tcp(&bytes)? {
                if bytes.len() < expected {
                    break;
                }
                let rest = bytes.split_off(expected);
                let frame = std::mem::replace(&mut bytes, rest);
                if frame[..2] == self.transaction.to_be_bytes() {
                    return request.answered_over_tcp(self.transaction, &frame).map_err(Fault::Bad);
                }
            }
        }
    }

    async fn more(&mut self, bytes: &mut Vec<u8>, until: Instant) -> Result<(), Fault> {
        match timeout_at(until, self.hear()).await {
            Err(_) if bytes.is_empty() => Err(Fault::Silent),
            Err(_) => Err(Fault::Bad(BadFrame::CutOff)),
            Ok(heard) => {
                bytes.extend(heard?);
                Ok(())
            }
        }
    }

    /// A line that never falls quiet is given one frame's worth of bytes.
    async fn until_quiet(&mut self) -> Result<(), Fault> {
        let mut left = FRAME_BYTES_MAX;
        while left > 0 {
            match timeout(QUIET, self.hear()).await {
                Err(_) => return Ok(()),
                Ok(heard) => left = left.saturating_sub(heard?.len()),
            }
        }
        Ok(())
    }
}

impl Stream {
    async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Serial(stream) => stream.read(buffer).await,
            Self::Tcp(stream) => stream.read(buffer).await,
            Self::Tunnel(tunnel) => tunnel.read(buffer).await,
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Serial(stream) => {
                stream.write_all(bytes).await?;
                stream.flush().await
            }
            Self::Tcp(stream) => stream.write_all(bytes).await,
            Self::Tunnel(tunnel) => tunnel.write(bytes).await,
        }
    }

    fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Serial(stream) => stream.try_read(buffer),
            Self::Tcp(stream) => stream.try_read(buffer),
            Self::Tunnel(tunnel) => tunnel.try_read(buffer),
        }
    }
}

impl Fault {
    /// The name under which it is counted.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Lost(_) | Self::Closed(_) => "port-lost",
            Self::Silent => "no-answer",
            Self::Bad(bad) => bad.name(),
        }
    }
}
