//! A recorded device over HTTP: it posts what it is asked to say and prints the answer; or it is asked and answers, also
//! with a stream of events.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinSet;

use super::recording::{Post, Recording};
use super::{Typed, read_typed};
use crate::asked::{Login, Request, respond, stream_begins, stream_part};
use crate::photo;

/// Events that may wait for who follows the stream; who is further behind loses it.
const EVENTS_QUEUED: usize = 64;
/// Lines about what is asked that may wait to be told.
const LINES_QUEUED: usize = 64;

pub(super) async fn post(
    recording: &Recording,
    address: &str,
    plays: bool,
    mut typed: mpsc::Receiver<String>,
    say: impl Fn(&str) + Copy,
) -> Result<()> {
    let posts: Vec<&Post> = recording.post.iter().filter(|post| post.path.is_some()).collect();
    let client = reqwest::Client::builder().no_proxy().build().context("make an HTTP client")?;
    if plays {
        for post in &posts {
            say(&posted(&client, address, post, &[]).await?);
        }
        return Ok(());
    }
    say(&format!("posts to {address}; {} things to say", posts.len()));
    while let Some(line) = typed.recv().await {
        match read_typed(&line) {
            Ok(Typed::Say(number, changes)) if number < posts.len() => {
                // A box that is off, or not yet there, is no reason for a camera to go.
                let what = posted(&client, address, posts[number], &changes).await;
                say(&what.unwrap_or_else(|error| format!("{error:#}")));
            }
            Ok(Typed::List) => {
                posts.iter().enumerate().for_each(|(number, post)| say(&format!("{number}: {}", post.what)))
            }
            Ok(Typed::Say(..) | Typed::Input(..) | Typed::Card(..)) => say("there is no such thing to say; `list`"),
            Err(allowed) => say(allowed),
        }
    }
    Ok(())
}

/// What was posted and what was answered, in one line.
async fn posted(client: &reqwest::Client, address: &str, post: &Post, changes: &[(String, String)]) -> Result<String> {
    let path = post.path.as_deref().unwrap_or_default();
    let body = post.body.with(changes)?;
    let request = client.post(format!("http://{address}{path}"));
    let request = request.header(reqwest::header::CONTENT_TYPE, &post.content_type).body(body);
    let answer = request.send().await.with_context(|| format!("post to {address}{path}"))?;
    let status = answer.status().as_u16();
    let body = answer.text().await.context("read the answer")?;
    Ok(format!("{} -> {status} {body}", post.what))
}

/// A device that is asked.
pub(super) struct Asked {
    recording: Recording,
    login: Option<Mutex<Login>>,
    /// Whether each stream is everything once, and then its end.
    plays: bool,
    events: broadcast::Sender<Vec<u8>>,
    /// Which recorded answer the next picture gets; else what stands in it, where that is known.
    next: Mutex<Option<usize>>,
}

impl Asked {
    pub fn new(recording: Recording, login: Option<Login>, plays: bool) -> Self {
        Self {
            recording,
            login: login.map(Mutex::new),
            plays,
            events: broadcast::channel(EVENTS_QUEUED).0,
            next: Mutex::default(),
        }
    }

    /// The answer about a picture: the one that was typed, or what a camera of this world has noted in it, or the first that
    /// was recorded.
    fn reads(&self, request: &Request) -> Option<(u16, &str, String)> {
        let is_picture = request.method == "POST" && self.recording.reads.as_ref() == Some(&request.path);
        if !is_picture {
            return None;
        }
        let typed = self.next.lock().unwrap_or_else(PoisonError::into_inner).take();
        let look = self.recording.look.get(typed.unwrap_or(0))?;
        let noted = photo::noted(&request.body).filter(|_| typed.is_none());
        let body = noted.map_or_else(|| look.answer.clone(), |plate| look.answer.replace("粤B12345", &plate));
        Some((look.status, &look.answer_type, body))
    }

    /// What can be said: parts of its stream, or answers about pictures.
    fn sayings(&self) -> Vec<&str> {
        let looks = self.recording.look.iter().map(|look| look.what.as_str());
        if self.recording.reads.is_some() {
            looks.collect()
        } else {
            self.parts().iter().map(|p| p.what.as_str()).collect()
        }
    }

    /// What was recorded of the stream.
    fn parts(&self) -> Vec<&Post> {
        self.recording.post.iter().filter(|post| post.path.is_none()).collect()
    }
}

/// Answers requests as recorded, the first that was not refused, others with 404; and says what is typed to whoever
/// follows its stream.
pub(super) async fn listen(
    device: Asked,
    address: &str,
    mut typed: mpsc::Receiver<String>,
    say: impl Fn(&str) + Copy,
) -> Result<()> {
    let listener = TcpListener::bind(address).await.with_context(|| format!("listen on {address}"))?;
    say(&format!("listening on {}", listener.local_addr().context("read the address")?));
    let device = Arc::new(device);
    let (tell, mut told) = mpsc::channel(LINES_QUEUED);
    // They end with this task.
    let mut connections = JoinSet::new();
    let mut typing = true;
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted.context("wait for a request")?;
                connections.spawn(serve(stream, Arc::clone(&device), tell.clone()));
            }
            Some(line) = told.recv() => say(&line),
            Some(_) = connections.join_next() => {}
            line = typed.recv(), if typing => match line {
                Some(line) => stream_what_is_typed(&device, &line, say)?,
                None => typing = false,
            },
        }
    }
}

fn stream_what_is_typed(device: &Asked, line: &str, say: impl Fn(&str) + Copy) -> Result<()> {
    let parts = device.parts();
    match read_typed(line) {
        Ok(Typed::Say(number, _)) if device.recording.reads.is_some() && number < device.recording.look.len() => {
            *device.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(number);
            say(&format!("the next picture gets: {}", device.recording.look[number].what));
        }
        Ok(Typed::Say(number, changes)) if number < parts.len() => {
            let followers = device.events.send(part(parts[number], &changes)?).unwrap_or(0);
            say(&format!("said {number} to {followers}: {}", parts[number].what));
        }
        Ok(Typed::List) => {
            device.sayings().iter().enumerate().for_each(|(number, what)| say(&format!("{number}: {what}")));
        }
        Ok(Typed::Say(..) | Typed::Input(..) | Typed::Card(..)) => say("there is no such thing to say; `list`"),
        Err(allowed) => say(allowed),
    }
    Ok(())
}

fn part(post: &Post, changes: &[(String, String)]) -> Result<Vec<u8>> {
    Ok(stream_part(&post.content_type, &post.body.with(changes)?))
}

/// One connection; what is asked there is told.
async fn serve(mut stream: TcpStream, device: Arc<Asked>, tell: mpsc::Sender<String>) {
    while let Ok(Some(request)) = Request::read(&mut stream).await {
        let (method, path) = (&request.method, &request.path);
        if let Some(refusal) = device.login.as_ref().and_then(|login| locked(login).refuses(&request)) {
            if stream.write_all(refusal.as_bytes()).await.is_err()
                || tell.send(format!("{method} {path} -> 401")).await.is_err()
            {
                return;
            }
            continue;
        }
        if method == "GET" && device.recording.stream.as_ref() == Some(path) {
            let _ = tell.send(format!("{method} {path} -> the stream")).await;
            let _ = follow(stream, &device).await;
            let _ = tell.send("the stream ends".to_owned()).await;
            return;
        }
        let mut calls = device.recording.call.iter().filter(|call| call.refused.is_none());
        let called = calls.find(|call| call.method == *method && call.path == *path);
        let called = called.map(|call| (call.status, call.answer_type.as_str(), call.answer.clone()));
        let answered = device.reads(&request).or(called);
        let (status, kind, body) = answered.unwrap_or_else(|| (404, "text/plain", "not recorded".to_owned()));
        let answer = respond(&format!("{status} -"), &format!("Content-Type: {kind}\r\n"), &body);
        if stream.write_all(answer.as_bytes()).await.is_err()
            || tell.send(format!("{method} {path} -> {status}")).await.is_err()
        {
            return;
        }
    }
}

/// What is said from now on, until the other side hangs up or does not keep up; or everything once.
async fn follow(mut stream: TcpStream, device: &Asked) -> Result<()> {
    let mut events = device.events.subscribe();
    stream.write_all(stream_begins().as_bytes()).await.context("begin the stream")?;
    if device.plays {
        for post in device.parts() {
            stream.write_all(&part(post, &[])?).await.context("say it")?;
        }
        return stream.shutdown().await.context("end the stream");
    }
    let (mut from_box, mut to_box) = stream.split();
    let mut rest = [0; 256];
    loop {
        tokio::select! {
            event = events.recv() => to_box.write_all(&event.context("keep up")?).await.context("say it")?,
            count = from_box.read(&mut rest) => if !matches!(count, Ok(1..)) { return Ok(()) },
        }
    }
}

fn locked(login: &Mutex<Login>) -> MutexGuard<'_, Login> {
    login.lock().unwrap_or_else(PoisonError::into_inner)
}
