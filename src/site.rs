//! The loop: an input is decided, journaled, then acted on. One thread, the database's only writer.

use tokio::sync::{mpsc, oneshot};

use crate::domain::event::{Input, Reply};

/// How many inputs may wait. A full queue makes the links stop reading and the tills hear `busy`; nothing is dropped.
pub const QUEUE_INPUTS: usize = 1024;

/// An input with the place where its reply goes.
#[derive(Debug)]
pub struct Envelope {
    /// What happened.
    pub input: Input,
    /// When this process first heard of it, for the latency figures.
    pub heard: std::time::Instant,
    /// Told after the commit; the sender may have gone.
    pub reply: oneshot::Sender<Reply>,
}

/// The way into the loop, for every room that hears something.
#[derive(Clone, Debug)]
pub struct Handle {
    inputs: mpsc::Sender<Envelope>,
}

/// The loop has stopped; the process is on its way down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// The queue is full.
    #[error("the box is behind; try again")]
    Busy,
    /// The loop has ended.
    #[error("the box is stopping")]
    Stopped,
}

impl Handle {
    /// A handle that feeds `inputs`.
    pub fn new(inputs: mpsc::Sender<Envelope>) -> Self {
        Self { inputs }
    }

    /// Puts an input in line, waiting where the line is full; the receiver answers after the commit.
    pub async fn submit(&self, input: Input) -> Result<oneshot::Receiver<Reply>, Unavailable> {
        let (reply, answer) = oneshot::channel();
        let heard = std::time::Instant::now();
        self.inputs.send(Envelope { input, heard, reply }).await.map_err(|_| Unavailable::Stopped)?;
        Ok(answer)
    }

    /// Puts an input in line, or says at once that the line is full: for those who can be told to try again.
    pub fn try_submit(&self, input: Input) -> Result<oneshot::Receiver<Reply>, Unavailable> {
        let (reply, answer) = oneshot::channel();
        let heard = std::time::Instant::now();
        match self.inputs.try_send(Envelope { input, heard, reply }) {
            Ok(()) => Ok(answer),
            Err(mpsc::error::TrySendError::Full(_)) => Err(Unavailable::Busy),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(Unavailable::Stopped),
        }
    }
}
