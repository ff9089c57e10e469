//! A network line that can be cut and mended: the box's way to the cloud.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A TCP relay on a port of the loopback interface; it stops when it is dropped.
pub struct Line {
    address: SocketAddr,
    whole: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Line {
    /// Opens a whole line to `upstream` on a port that the system chooses.
    pub async fn open(upstream: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("listen for the line")?;
        let address = listener.local_addr().context("ask for the line's address")?;
        let (whole, state) = watch::channel(true);
        let task = tokio::spawn(accept(listener, upstream, state));
        Ok(Self { address, whole, task })
    }

    /// Where to connect to instead of the upstream address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts the line: connections break at once and new ones are closed at once.
    pub fn cut(&self) {
        self.whole.send_replace(false);
    }

    /// Mends the line for new connections.
    pub fn restore(&self) {
        self.whole.send_replace(true);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.cut();
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, upstream: SocketAddr, state: watch::Receiver<bool>) {
    loop {
        let Ok((near, _)) = listener.accept().await else { continue };
        if *state.borrow() {
            tokio::spawn(carry(near, upstream, state.clone()));
        }
    }
}

/// Carries bytes both ways until one end closes or the line is cut.
async fn carry(mut near: TcpStream, upstream: SocketAddr, mut state: watch::Receiver<bool>) {
    let Ok(mut far) = TcpStream::connect(upstream).await else { return };
    // Without this a small request waits for the answer to the one before it.
    if near.set_nodelay(true).and(far.set_nodelay(true)).is_err() {
        return;
    }
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
        _ = state.wait_for(|whole| !whole) => {}
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn a_cut_line_breaks_connections_and_a_mended_one_carries_new_ones() {
        let line = Line::open(echo().await).await.unwrap();
        let mut first = TcpStream::connect(line.address()).await.unwrap();
        assert_eq!(round_trip(&mut first).await.unwrap(), *b"ping");

        line.cut();
        round_trip(&mut first).await.expect_err("the connection broke");
        let mut refused = TcpStream::connect(line.address()).await.unwrap();
        round_trip(&mut refused).await.expect_err("a new connection is closed");

        line.restore();
        let mut second = TcpStream::connect(line.address()).await.unwrap();
        assert_eq!(round_trip(&mut second).await.unwrap(), *b"ping");
    }

    async fn round_trip(stream: &mut TcpStream) -> std::io::Result<[u8; 4]> {
        stream.write_all(b"ping").await?;
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).await?;
        Ok(answer)
    }

    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    tokio::io::copy(&mut from, &mut to).await
                });
            }
        });
        address
    }
}
