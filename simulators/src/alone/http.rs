//! A recorded device over HTTP: it posts what it is asked to say and prints the answer; or it is asked and answers.

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::recording::{Post, Recording};
use super::{Typed, read_typed};

/// The longest request that is looked at.
const REQUEST_BYTES_MAX: usize = 64 * 1024;

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
                say(&posted(&client, address, posts[number], &changes).await?);
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
    let body = changes.iter().fold(post.body.clone(), |body, (old, new)| body.replace(old.as_str(), new));
    let request = client.post(format!("http://{address}{path}"));
    let request = request.header(reqwest::header::CONTENT_TYPE, &post.content_type).body(body);
    let answer = request.send().await.with_context(|| format!("post to {address}{path}"))?;
    let status = answer.status().as_u16();
    let body = answer.text().await.context("read the answer")?;
    Ok(format!("{} -> {status} {body}", post.what))
}

/// Answers requests as recorded, the first that was not refused; others with 404. It asks for no login.
pub(super) async fn listen(recording: &Recording, address: &str, say: impl Fn(&str)) -> Result<()> {
    let listener = TcpListener::bind(address).await.with_context(|| format!("listen on {address}"))?;
    say(&format!("listening on {}", listener.local_addr().context("read the address")?));
    loop {
        let (mut stream, _) = listener.accept().await.context("wait for a request")?;
        while let Ok(Some((method, path))) = request(&mut stream).await {
            let known =
                recording.call.iter().find(|call| call.refused.is_none() && call.method == method && call.path == path);
            let (status, kind, body) = match known {
                Some(call) => (call.status, call.answer_type.as_str(), call.answer.as_str()),
                None => (404, "text/plain", "not recorded"),
            };
            say(&format!("{method} {path} -> {status}"));
            let answer =
                format!("HTTP/1.1 {status} -\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            if stream.write_all(answer.as_bytes()).await.is_err() {
                break;
            }
        }
    }
}

/// One request with its body, of which only method and path are of interest; none at the end of the connection.
async fn request(stream: &mut TcpStream) -> Result<Option<(String, String)>> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let length = head
                .lines()
                .filter_map(|line| line.split_once(':'))
                .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
                .and_then(|(_, value)| value.trim().parse::<usize>().ok())
                .unwrap_or(0);
            if bytes.len() >= end + 4 + length {
                let mut words = head.split_whitespace().map(str::to_owned);
                return Ok(words.next().zip(words.next()));
            }
        }
        anyhow::ensure!(bytes.len() < REQUEST_BYTES_MAX, "the request is too long");
        let mut piece = [0; 4096];
        let count = stream.read(&mut piece).await.context("read a request")?;
        if count == 0 {
            return Ok(None);
        }
        bytes.extend_from_slice(&piece[..count]);
    }
}
