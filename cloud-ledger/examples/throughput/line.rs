//! What a box at the end of a line sees: the ledger is served, requests are signed, bodies compressed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{anyhow, ensure};
use cloud_ledger::journal::Entry;
use cloud_ledger::{Ledger, Tokens};
use ledger_conformance::wire::{Office, Site, Target, new_key};
use serde_json::json;

use crate::day::MEMBERS;

/// Entries of one request, as a box sends them.
const SENT_AT_ONCE: usize = 500;
/// How hard they are compressed, as a box does.
const LEVEL: i32 = 3;
const ADMIN: &str = "administrator";
/// The box that was away, and one where cars come in meanwhile.
const AWAY: &str = "away";
const HERE: &str = "here";

/// What was seen at the end of the line.
pub struct Seen {
    pub entries: usize,
    /// Bytes of the bodies of the uploads.
    pub bytes: usize,
    /// Until the ledger had all entries.
    pub took: Duration,
    /// Grants asked for one after the other, while nothing else happens.
    pub alone: Vec<Duration>,
    /// The same, while the other box catches up.
    pub beside: Vec<Duration>,
}

/// Serves the ledger, and lets one box catch up while another asks for points at its entry.
pub async fn see(ledger: Arc<Ledger>, entries: usize, grants: usize) -> anyhow::Result<Seen> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let boxes = [AWAY, HERE].map(|name| (name.to_owned(), format!("token-{name}")));
    let tokens = Tokens::new(ADMIN, boxes.clone())?;
    tokio::spawn(cloud_ledger::serve(listener, ledger, tokens, std::future::pending()));
    let target = Target { url, admin_token: ADMIN.to_owned(), boxes };
    let (office, other) = (Office::new(&target)?, Office::new(&target)?);
    let (away, here) = (enrolled(&office, 0).await?, enrolled(&other, 1).await?);
    let bodies = bodies(&crate::day::journal(AWAY, entries))?;
    let bytes = bodies.iter().map(Vec::len).sum();
    let alone = ask(&here, "alone", grants, || true).await?;
    let (done, is_done) = tokio::sync::watch::channel(false);
    let catching_up = async {
        let began = Instant::now();
        let caught_up = catch_up(&away, bodies, entries).await;
        done.send_replace(true);
        caught_up.map(|()| began.elapsed())
    };
    let (took, beside) = tokio::join!(catching_up, ask(&here, "beside", usize::MAX, || !*is_done.borrow()));
    Ok(Seen { entries, bytes, took: took?, alone, beside: beside? })
}

async fn enrolled(office: &Office, number: usize) -> anyhow::Result<Site<'_>> {
    let (name, token) = &office.target.boxes[number];
    let key = new_key().map_err(|why| anyhow!(why))?;
    Site::enrolled(office, name, token, key).await.map_err(|why| anyhow!(why))
}

/// The uploads as they go over the wire: one head proves all before it.
fn bodies(journal: &[Entry]) -> anyhow::Result<Vec<Vec<u8>>> {
    let upload = |batch: &[Entry]| {
        let last = batch.last().map_or(0, |last| last.seq);
        let entry = |entry: &Entry| match entry.head.filter(|_| entry.seq == last) {
            Some(head) => json!({"seq": entry.seq, "body": entry.body, "head": head}),
            None => json!({"seq": entry.seq, "body": entry.body}),
        };
        let entries: Vec<_> = batch.iter().map(entry).collect();
        let text = json!({"epoch": 1, "entries": entries}).to_string();
        Ok(zstd::encode_all(text.as_bytes(), LEVEL)?)
    };
    journal.chunks(SENT_AT_ONCE).map(upload).collect()
}

async fn catch_up(site: &Site<'_>, bodies: Vec<Vec<u8>>, entries: usize) -> anyhow::Result<()> {
    let path = format!("/v1/boxes/{}/journal", site.name);
    let mut seq = None;
    for body in bodies {
        let answer = site.send("POST", &path, body, Some("zstd")).await.map_err(|why| anyhow!(why))?;
        ensure!(answer.status == 200, "an upload was answered {} {}", answer.status, answer.body);
        seq = answer.body["cursor"]["seq"].as_u64();
    }
    ensure!(seq == Some(entries as u64), "the ledger is at {seq:?}, not at {entries}");
    Ok(())
}

/// Asks for the points of one member after the other, as long as it shall go on.
async fn ask(site: &Site<'_>, run: &str, most: usize, goes_on: impl Fn() -> bool) -> anyhow::Result<Vec<Duration>> {
    let mut times = Vec::new();
    while times.len() < most && goes_on() {
        let number = times.len();
        let (request, member) = (format!("{run}-{number}"), format!("M{}", number * 17 % MEMBERS));
        let began = Instant::now();
        let answer = site.post("grants", &json!({"request": request, "epoch": 1, "member": member, "points": 3})).await;
        times.push(began.elapsed());
        let answer = answer.map_err(|why| anyhow!(why))?;
        ensure!(answer.body["points"] == 3, "a grant was answered {} {}", answer.status, answer.body);
    }
    Ok(times)
}
