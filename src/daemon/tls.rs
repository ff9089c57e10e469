//! The door over TLS: each connection shakes hands by itself, so that one that takes its time holds nobody up.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use axum::serve::Listener;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::{debug, info, warn};

use crate::config::{Tls, TlsFiles, TlsSeen};

/// How many connections may shake hands at a time: every till of a mall that comes back after a power cut.
const MOST_HANDSHAKES: usize = 512;
/// How long one may take.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// After a connection that could not be taken, for example because too many files are open.
const PAUSE: Duration = Duration::from_millis(100);

/// Connections that have shaken hands.
pub(super) struct Door {
    address: SocketAddr,
    ready: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
}

impl Door {
    /// Listens where the settings say. Needs a runtime.
    pub(super) async fn open(tls: &Tls) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(tls.listen).await.with_context(|| format!("listen on {}", tls.listen))?;
        let address = listener.local_addr().context("read the address of the door over TLS")?;
        let (shaken, ready) = mpsc::channel(1);
        tokio::spawn(take(listener, Arc::new(Shown::new(tls)), shaken));
        Ok(Self { address, ready })
    }

    /// Where it is.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Listener for Door {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.ready.recv().await {
            Some(connection) => connection,
            // Its task lives as long as this does.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        Ok(self.address)
    }
}

/// The certificate that is shown: that of the files, as long as they hold one that can be used.
struct Shown {
    files: TlsFiles,
    now: Mutex<(TlsSeen, Arc<ServerConfig>)>,
}

impl Shown {
    fn new(tls: &Tls) -> Self {
        Self { files: tls.files.clone(), now: Mutex::new((tls.seen, Arc::clone(&tls.server))) }
    }

    /// What the next handshake shows. A renewed certificate needs no restart; a broken one is told once, and is tried
    /// again when its files change again: the key may come a moment after the certificate. Waits for the disk.
    fn newest(&self) -> Arc<ServerConfig> {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = self.files.look();
        if seen != now.0 {
            now.0 = seen;
            match self.files.read() {
                Ok(server) => {
                    info!("the certificate was read again");
                    now.1 = Arc::new(server);
                }
                Err(error) => warn!("the certificate from before stays in use: {error}"),
            }
        }
        Arc::clone(&now.1)
    }
}

async fn take(listener: TcpListener, shown: Arc<Shown>, shaken: mpsc::Sender<(TlsStream<TcpStream>, SocketAddr)>) {
    let places = Arc::new(Semaphore::new(MOST_HANDSHAKES));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let (stream, from) = match listener.accept().await {
            Ok(taken) => taken,
            Err(error) => {
                warn!("a connection cannot be taken: {error}");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let (shown, shaken) = (Arc::clone(&shown), shaken.clone());
        tokio::spawn(async move {
            let _place = place;
            // A small answer must not wait for the next one.
            if let Err(error) = stream.set_nodelay(true) {
                warn!("TCP_NODELAY cannot be set: {error}");
            }
            let shaking = async {
                let server = tokio::task::spawn_blocking(move || shown.newest()).await?;
                TlsAcceptor::from(server).accept(stream).await
            };
            match tokio::time::timeout(HANDSHAKE, shaking).await {
                // Nobody takes it any more where the box is stopping.
                Ok(Ok(stream)) => drop(shaken.send((stream, from)).await),
                Ok(Err(error)) => debug!(%from, "no TLS: {error}"),
                Err(_) => debug!(%from, "no TLS: the handshake took too long"),
            }
        });
    }
}
