//! The camera's own address, where it is asked for its barrier and for the stream of its events, and wants to know by whom.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinHandle;

use super::OutputCommand;
use super::dialect::Message;
use crate::asked::{Login, Request, respond, stream_begins, stream_part};

/// Who may raise and listen, for the box's settings.
pub const LOGIN: (&str, &str) = ("box", "Circle Of Life");
const BARRIER: &str = "/ISAPI/Parking/channels/1/barrierGate";
const EVENTS: &str = "/ISAPI/Event/notification/alertStream";
/// Events that may wait for a box that does not read them; then its stream breaks.
const EVENTS_QUEUED: usize = 64;
const TAKEN: &str = r#"<?xml version="1.0" encoding="UTF-8"?><ResponseStatus version="2.0" xmlns="http://www.isapi.org/ver20/XMLSchema"><statusCode>1</statusCode><statusString>OK</statusString></ResponseStatus>"#;

/// Where the camera is asked; nobody answers there when it is dropped.
pub(super) struct Gate {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

struct Shared {
    commands: mpsc::Sender<OutputCommand>,
    events: broadcast::Sender<Arc<Vec<u8>>>,
    state: Mutex<State>,
}

struct State {
    deaf_until: Option<Instant>,
    login: Login,
}

/// What becomes of a request.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Once(String),
    Stream,
    /// From a camera that starts anew.
    Nothing,
}

impl Gate {
    pub async fn open(commands: mpsc::Sender<OutputCommand>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("listen for requests to the camera")?;
        let address = listener.local_addr().context("read the camera's address")?;
        let shared = Arc::new(Shared::new(commands));
        let serving = tokio::spawn(serve(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, serving })
    }

    /// What is asked meanwhile gets no answer, and streams end after what is said now.
    pub fn start_anew(&self, within: Duration) {
        self.shared.state().deaf_until = Some(Instant::now() + within);
    }

    /// Says it to whoever follows the stream; false where nobody does, and then it is lost.
    pub fn stream(&self, message: &Message) -> bool {
        let part = stream_part(&message.content_type, &message.body);
        self.shared.events.send(Arc::new(part)).is_ok()
    }

    /// Says this often that it is there.
    pub fn keep_alive(&self, alive: Message, every: Duration) {
        let shared = Arc::downgrade(&self.shared);
        let part = Arc::new(stream_part(&alive.content_type, &alive.body));
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(every);
            loop {
                ticks.tick().await;
                let Some(shared) = shared.upgrade() else { return };
                // Where nobody listens, nobody wants to know.
                let _ = shared.events.send(Arc::clone(&part));
            }
        });
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let _ = stream.set_nodelay(true);
            while let Ok(Some(request)) = Request::read(&mut stream).await {
                match shared.answer(&request) {
                    Answer::Once(answer) if stream.write_all(answer.as_bytes()).await.is_ok() => {}
                    Answer::Stream => return shared.follow(stream).await,
                    Answer::Once(_) | Answer::Nothing => return,
                }
            }
        });
    }
}

impl Shared {
    fn new(commands: mpsc::Sender<OutputCommand>) -> Self {
        let state = State { deaf_until: None, login: Login::new(LOGIN.0, LOGIN.1) };
        Self { commands, events: broadcast::channel(EVENTS_QUEUED).0, state: Mutex::new(state) }
    }

    fn answer(&self, request: &Request) -> Answer {
        if self.is_deaf() {
            return Answer::Nothing;
        }
        if let Some(refusal) = self.state().login.refuses(request) {
            return Answer::Once(refusal);
        }
        match (request.method.as_str(), request.path.as_str()) {
            ("GET", EVENTS) => Answer::Stream,
            ("PUT", BARRIER) => {
                self.obey(&String::from_utf8_lossy(&request.body));
                Answer::Once(respond("200 OK", "Content-Type: application/xml\r\n", TAKEN))
            }
            _ => Answer::Once(respond("404 Not Found", "", "")),
        }
    }

    fn obey(&self, body: &str) {
        if !body.contains("<ctrlMode>open</ctrlMode>") {
            return;
        }
        // The camera times the pulse by its own settings.
        let raise = OutputCommand { id: String::new(), io: 0, value: 2, delay_ms: 500, at: Instant::now() };
        if self.commands.try_send(raise).is_err() {
            tracing::warn!("nobody looks at the camera's barrier");
        }
    }

    /// Events until the box hangs up, does not keep up, or the camera starts anew.
    async fn follow(&self, mut stream: TcpStream) {
        let mut events = self.events.subscribe();
        if stream.write_all(stream_begins().as_bytes()).await.is_err() {
            return;
        }
        let (mut from_box, mut to_box) = stream.split();
        let mut rest = [0; 256];
        loop {
            tokio::select! {
                event = events.recv() => {
                    let Ok(event) = event else { return };
                    if to_box.write_all(&event).await.is_err() || self.is_deaf() {
                        return;
                    }
                }
                // A box has nothing more to say here; an end or an error is the end of the stream.
                count = from_box.read(&mut rest) => if !matches!(count, Ok(1..)) { return },
            }
        }
    }

    fn is_deaf(&self) -> bool {
        self.state().deaf_until.is_some_and(|until| Instant::now() < until)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_order_to_open_from_who_may_raises() {
        let (commands, mut raised) = mpsc::channel(4);
        let shared = Shared::new(commands);
        let body = "<BarrierGate><ctrlMode>open</ctrlMode></BarrierGate>";
        let request =
            Request { method: "PUT".to_owned(), path: BARRIER.to_owned(), authorization: None, body: body.into() };
        let Answer::Once(refusal) = shared.answer(&request) else { panic!("an answer") };
        assert!(refusal.starts_with("HTTP/1.1 401") && raised.try_recv().is_err());
        shared.obey("<ctrlMode>close</ctrlMode>");
        assert!(raised.try_recv().is_err(), "that was no raise");
        shared.obey(body);
        assert!(raised.try_recv().expect("a raise").raises());
    }
}
