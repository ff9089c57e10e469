//! A line with display, voice and relay cards against a card on a pseudo-terminal, made of published frames.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_serial::{SerialPort, SerialStream};

use super::*;
use crate::domain::lane::LoopRole;

#[tokio::test]
async fn the_first_levels_and_every_change_are_told() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut card = Card::plug_in(directory.path());
    let mut site = Site::start(settings(directory.path(), SLOW_CARD_MS, ""));
    card.inputs_are(INPUTS_NONE).await;
    assert_eq!(site.committed().await, arrival(false));
    card.inputs_are(INPUTS_0_AND_2).await;
    assert_eq!(site.committed().await, arrival(true));
    card.inputs_are(INPUTS_0_AND_2).await;
    card.inputs_are(INPUTS_NONE).await;
    assert_eq!(site.committed().await, arrival(false), "a level that stays is no news");
}

#[tokio::test]
async fn a_raise_is_one_frame_and_the_card_s_answer_is_its_answer() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut card = Card::plug_in(directory.path());
    let mut site = Site::start(settings(directory.path(), SLOW_CARD_MS, ""));
    card.inputs_are(INPUTS_NONE).await;
    site.committed().await;
    site.raise("exit-1", "box/1/7/0").await;
    assert_eq!(card.answers_the_raise(TAKEN).await, RAISE_FRAME);
    assert_eq!(site.answer("box/1/7/0").await, CommandAnswer::Accepted);
    site.raise("exit-1", "box/1/8/0").await;
    card.answers_the_raise("00 64 FF FF 0F 01 01 C7 77").await;
    assert_eq!(site.answer("box/1/8/0").await, CommandAnswer::Refused("data.ack 1".to_owned()));
}

#[tokio::test]
async fn a_late_or_broken_answer_is_no_answer_to_anything() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut card = Card::plug_in(directory.path());
    let mut site = Site::start(settings(directory.path(), 1_000, ""));
    card.inputs_are(INPUTS_NONE).await;
    site.committed().await;
    site.raise("exit-1", "box/1/7/0").await;
    card.answers_the_raise("00 64 FF FF 0F 01 00 06 B8").await;
    let silent = CommandAnswer::Silent("no answer in time".to_owned());
    assert_eq!(site.answer("box/1/7/0").await, silent, "its check is wrong");
    assert!(site.metrics.rejections("devices", "wrong-checksum") > 0);
    card.sends(TAKEN).await;
    site.raise("exit-1", "box/1/8/0").await;
    card.answers_the_raise("").await;
    assert_eq!(site.answer("box/1/8/0").await, silent, "the late answer was the first raise's");
    for _ in 0..3 {
        card.inputs_are(INPUTS_NONE).await;
    }
}

#[tokio::test]
async fn what_a_card_says_by_itself_is_heard_in_pieces_and_after_noise() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut card = Card::plug_in(directory.path());
    let mut site = Site::start(settings(directory.path(), SLOW_CARD_MS, "poll_ms = 5000"));
    card.inputs_are(INPUTS_NONE).await;
    site.committed().await;
    card.sends("FF 00 64 12").await;
    let (first, second) = INPUTS_0_AND_2.split_at(15);
    card.sends(first).await;
    card.sends(second).await;
    assert_eq!(site.committed().await, arrival(true));
    // A line full of noise costs nothing but itself.
    for _ in 0..200 {
        card.line.write_all(&[0x5A; 100]).await.expect("writable");
    }
    site.raise("exit-1", "box/1/7/0").await;
    assert_eq!(card.answers_the_raise(TAKEN).await, RAISE_FRAME);
    assert_eq!(site.answer("box/1/7/0").await, CommandAnswer::Accepted);
}

#[tokio::test]
async fn a_card_that_answers_nothing_is_asked_nothing_and_confirms_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut card = Card::plug_in(directory.path());
    let mut site = Site::start(settings(directory.path(), SLOW_CARD_MS, "params = { acks = \"no\" }"));
    site.until(|metrics| metrics.is_link_up("line")).await;
    site.raise("exit-1", "box/1/7/0").await;
    assert_eq!(card.hears().await, RAISE_FRAME, "the first frame: no poll before it");
    let told = "sent to a device that confirms nothing".to_owned();
    assert_eq!(site.answer("box/1/7/0").await, CommandAnswer::Unconfirmed(told));
}

#[tokio::test]
async fn a_card_without_power_is_lost_and_comes_back() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut card = Card::plug_in(directory.path());
    let mut site = Site::start(settings(directory.path(), 200, ""));
    site.until(|metrics| metrics.rejections("devices", "no-answer") >= 3).await;
    site.raise("exit-1", "box/1/7/0").await;
    assert_eq!(site.answer("box/1/7/0").await, CommandAnswer::NotSent("the device does not answer".to_owned()));
    let waiting = async {
        loop {
            card.inputs_are(INPUTS_NONE).await;
            if let Ok(envelope) = site.inputs.try_recv() {
                return envelope.input;
            }
        }
    };
    assert_eq!(timeout(PATIENCE, waiting).await.expect("in time"), arrival(false));
}

#[tokio::test]
async fn two_cards_on_one_line_are_told_apart_by_their_addresses() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut card = Card::plug_in(directory.path());
    let second = r#"
        [[devices]]
        id = "other"
        profile = "kf/dc199"
        link = "line"
        poll_ms = 5000
        params = { address = 5 }
    "#;
    let mut site = Site::start(settings(directory.path(), SLOW_CARD_MS, &format!("poll_ms = 5000\n{second}")));
    for _ in 0..2 {
        let asked = card.hears().await;
        let answer = if asked.starts_with("05") { of_card_5(INPUTS_0_AND_2) } else { INPUTS_NONE.to_owned() };
        card.sends(&answer).await;
    }
    assert_eq!(site.committed().await, arrival(false), "the other card's inputs are nobody's");
    card.sends(&of_card_5(INPUTS_NONE)).await;
    card.sends(&of_card_5(TAKEN).replacen("05", "06", 1)).await;
    card.sends(INPUTS_0_AND_2).await;
    assert_eq!(site.committed().await, arrival(true));
}

/// How long the box waits for an answer: so long that a busy test machine does not pass for a dead card.
const SLOW_CARD_MS: u64 = 10_000;
const READ_INPUTS: &str = "00 64 FF FF D5 00 2F 67";
const INPUTS_NONE: &str = "00 64 FF FF D5 08 00 00 00 00 00 00 00 00 33 5E";
const INPUTS_0_AND_2: &str = "00 64 FF FF D5 08 00 00 00 00 05 00 00 00 33 92";
const RAISE_FRAME: &str = "00 64 FF FF 0F 06 01 01 00 00 00 01 24 A5";
const TAKEN: &str = "00 64 FF FF 0F 01 00 06 B7";

fn arrival(occupied: bool) -> Input {
    Input::LoopChanged { lane: LaneId::from("exit-1"), role: LoopRole::Arrival, occupied }
}

/// The same frame with address 5.
fn of_card_5(frame: &str) -> String {
    let mut bytes = hex::decode(frame.replace(' ', "")).expect("hex");
    bytes[0] = 5;
    let end = bytes.len() - 2;
    let check = crate::profile::modbus::crc16(&bytes[..end]).to_le_bytes();
    bytes[end..].copy_from_slice(&check);
    spaced(&bytes)
}

fn settings(directory: &Path, reply_ms: u64, more: &str) -> Plan {
    let own = tempfile::tempdir().expect("a directory");
    let profile = include_str!("../../../device-profiles/kf/dc199.toml");
    let profile = profile.replace("timeout_ms = 300", &format!("timeout_ms = {reply_ms}"));
    std::fs::write(own.path().join("own.toml"), profile).expect("written");
    let catalogue = Catalogue::load(Some(own.path())).expect("right");
    let port = port(directory);
    let text = format!(
        r#"
        links = [{{ id = "line", kind = "serial", path = "{}" }}, {{ id = "broker", kind = "mqtt", port = 1 }}]

        [[devices]]
        id = "cam"
        profile = "vzenith/r-mqtt"
        link = "broker"
        params = {{ sn = "a1" }}

        [[lanes]]
        id = "exit-1"
        direction = "exit"
        camera = "cam"
        barrier = {{ device = "card", output = 1, pulse_ms = 1000 }}
        arrival_loop = {{ device = "card", input = 0 }}

        [[devices]]
        id = "card"
        profile = "kf/dc199"
        link = "line"
        {more}
        "#,
        port.display()
    );
    let text = if more.contains("poll_ms") {
        text
    } else {
        text.replace("link = \"line\"\n", "link = \"line\"\npoll_ms = 10\n")
    };
    planned(&text, &catalogue).expect("right settings")
}

fn port(directory: &Path) -> std::path::PathBuf {
    directory.join("ttyLINE")
}

fn spaced(bytes: &[u8]) -> String {
    let bytes: Vec<String> = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
    bytes.join(" ")
}

/// The card's end of the line; the other end is at [`port`].
struct Card {
    line: SerialStream,
    /// Kept open, so that the line is there before the box opens it.
    _other_end: SerialStream,
}

impl Card {
    fn plug_in(directory: &Path) -> Self {
        let (line, other_end) = SerialStream::pair().expect("a pseudo-terminal");
        let name = other_end.name().expect("a named end");
        std::os::unix::fs::symlink(name, port(directory)).expect("linked");
        Self { line, _other_end: other_end }
    }

    /// Answers one poll.
    async fn inputs_are(&mut self, answer: &str) {
        assert_eq!(self.hears().await, READ_INPUTS);
        self.sends(answer).await;
    }

    /// Answers polls until the raise comes.
    async fn answers_the_raise(&mut self, answer: &str) -> String {
        in_time(async {
            loop {
                let frame = self.hears().await;
                if frame != READ_INPUTS {
                    self.sends(answer).await;
                    return frame;
                }
                self.sends(INPUTS_NONE).await;
            }
        })
        .await
    }

    async fn hears(&mut self) -> String {
        let mut frame = vec![0; 6];
        timeout(PATIENCE, self.line.read_exact(&mut frame)).await.expect("in time").expect("readable");
        let mut rest = vec![0; usize::from(frame[5]) + 2];
        timeout(PATIENCE, self.line.read_exact(&mut rest)).await.expect("in time").expect("readable");
        frame.extend(rest);
        spaced(&frame)
    }

    async fn sends(&mut self, frame: &str) {
        let bytes = hex::decode(frame.replace(' ', "")).expect("hex");
        self.line.write_all(&bytes).await.expect("writable");
    }
}
