//! A serial port: opened by one program only, written within a time limit, and lost when it says so or says nothing.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_serial::{SerialPortBuilderExt, SerialStream};

use super::settings::Parity;
use crate::profile::modbus::{Answer, BadFrame, FRAME_BYTES_MAX, Request};

/// A port that takes no bytes for so long is not there; a frame takes 10 ms.
const WRITE_WITHIN: Duration = Duration::from_millis(500);
/// After a broken answer the line must be quiet for so long before the next frame.
const QUIET: Duration = Duration::from_millis(20);
/// Three and a half characters of eleven bits end a frame; never below 1.75 ms, as the standard asks.
const GAP_BITS: u64 = 39;
const GAP_MIN: Duration = Duration::from_micros(1_750);

/// An open port.
pub struct Port {
    stream: SerialStream,
    gap: Duration,
    free_at: Instant,
}

/// Why a frame got no answer.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The port is gone.
    #[error("the serial port is lost: {0}")]
    Lost(io::Error),
    /// Nothing came back in time.
    #[error("no answer in time")]
    Silent,
    /// What came back is no answer.
    #[error(transparent)]
    Bad(#[from] BadFrame),
}

impl Port {
    /// Opens a port. Modem lines are left alone: many adapters have none.
    pub fn open(path: &Path, baud: u32, parity: Parity) -> io::Result<Self> {
        let parity = match parity {
            Parity::None => tokio_serial::Parity::None,
            Parity::Even => tokio_serial::Parity::Even,
            Parity::Odd => tokio_serial::Parity::Odd,
        };
        let stream = tokio_serial::new(path.to_string_lossy(), baud).parity(parity).open_native_async()?;
        let gap = Duration::from_micros(GAP_BITS * 1_000_000 / u64::from(baud)).max(GAP_MIN);
        Ok(Self { stream, gap, free_at: Instant::now() })
    }

    /// Writes a frame; tells when its last byte was handed to the port.
    pub async fn write(&mut self, request: &Request) -> Result<std::time::Instant, Fault> {
        self.forget_late_bytes()?;
        sleep_until(self.free_at).await;
        let writing = async {
            self.stream.write_all(&request.frame).await?;
            self.stream.flush().await
        };
        match timeout(WRITE_WITHIN, writing).await {
            Ok(Ok(())) => Ok(std::time::Instant::now()),
            Ok(Err(error)) => Err(Fault::Lost(error)),
            Err(_) => Err(Fault::Lost(io::Error::new(io::ErrorKind::TimedOut, "it takes no bytes"))),
        }
    }

    /// Reads the answer to the frame that was just written.
    pub async fn answer(&mut self, request: &Request, within: Duration) -> Result<Answer, Fault> {
        let until = Instant::now() + within;
        let mut bytes = Vec::with_capacity(FRAME_BYTES_MAX);
        let mut buffer = [0; FRAME_BYTES_MAX];
        let answer = loop {
            match timeout_at(until, self.stream.read(&mut buffer)).await {
                Err(_) if bytes.is_empty() => break Err(Fault::Silent),
                Err(_) => break Err(Fault::Bad(BadFrame::CutOff)),
                Ok(Err(error)) => return Err(Fault::Lost(error)),
                Ok(Ok(0)) => return Err(Fault::Lost(io::ErrorKind::UnexpectedEof.into())),
                Ok(Ok(count)) => bytes.extend_from_slice(&buffer[..count]),
            }
            if request.awaits(&bytes).is_some_and(|expected| bytes.len() >= expected) {
                break request.answered(&bytes).map_err(Fault::Bad);
            }
        };
        if answer.is_err() {
            self.until_quiet().await?;
        }
        self.free_at = Instant::now() + self.gap;
        answer
    }

    /// What came after its time answers nothing any more.
    fn forget_late_bytes(&mut self) -> Result<(), Fault> {
        let mut buffer = [0; FRAME_BYTES_MAX];
        loop {
            match self.stream.try_read(&mut buffer) {
                Ok(0) => return Err(Fault::Lost(io::ErrorKind::UnexpectedEof.into())),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(Fault::Lost(error)),
            }
        }
    }

    /// A line that never falls quiet is given one frame's worth of bytes.
    async fn until_quiet(&mut self) -> Result<(), Fault> {
        let mut buffer = [0; FRAME_BYTES_MAX];
        let mut left = FRAME_BYTES_MAX;
        while left > 0 {
            match timeout(QUIET, self.stream.read(&mut buffer)).await {
                Err(_) => return Ok(()),
                Ok(Ok(0)) => return Err(Fault::Lost(io::ErrorKind::UnexpectedEof.into())),
                Ok(Ok(count)) => left = left.saturating_sub(count),
                Ok(Err(error)) => return Err(Fault::Lost(error)),
            }
        }
        Ok(())
    }
}

impl Fault {
    /// The name under which it is counted.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Lost(_) => "port-lost",
            Self::Silent => "no-answer",
            Self::Bad(bad) => bad.name(),
        }
    }
}
