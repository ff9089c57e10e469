//! The serial bus against a board on a pseudo-terminal, made of frames that are written out here.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_serial::{SerialPort, SerialStream};

use super::*;
use crate::domain::lane::LoopRole;

#[tokio::test]
async fn the_first_levels_and_every_change_are_told() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut board = Board::plug_in(directory.path());
    let mut site = Site::start(settings(directory.path(), 0, SLOW_BOARD_MS));
    board.inputs_are(INPUTS_NONE).await;
    assert_eq!(site.committed().await, arrival(false));
    board.inputs_are(INPUTS_0_AND_2).await;
    assert_eq!(site.committed().await, arrival(true));
    board.inputs_are(INPUTS_0_AND_2).await;
    board.inputs_are(INPUTS_NONE).await;
    assert_eq!(site.committed().await, arrival(false), "a level that stays is no news");
}

#[tokio::test]
async fn a_raise_goes_out_between_two_polls_and_its_echo_is_the_answer() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut board = Board::plug_in(directory.path());
    let mut site = Site::start(settings(directory.path(), 0, SLOW_BOARD_MS));
    board.inputs_are(INPUTS_NONE).await;
    site.committed().await;
    site.raise("exit-1", "box/1/7/0").await;
    board.echoes_the_raise("01 05 02 00 00 05 0C 71").await;
    assert_eq!(site.answer("box/1/7/0").await, CommandAnswer::Accepted);

    site.raise("exit-1", "box/1/8/0").await;
    board.answers_the_raise("01 85 02 C3 51").await;
    assert_eq!(site.answer("box/1/8/0").await, CommandAnswer::Refused("exception 2".to_owned()));
}

#[tokio::test]
async fn a_broken_answer_to_a_raise_is_uncertain_and_the_raise_is_not_repeated() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut board = Board::plug_in(directory.path());
    let mut site = Site::start(settings(directory.path(), 0, SLOW_BOARD_MS));
    board.inputs_are(INPUTS_NONE).await;
    site.committed().await;
    site.raise("exit-1", "box/1/7/0").await;
    board.answers_the_raise("01 05 02 00 00 05 0C 72").await;
    assert_eq!(site.answer("box/1/7/0").await, CommandAnswer::Silent("the checksum is wrong".to_owned()));
    assert_eq!(site.metrics.rejections("devices", "wrong-checksum"), 1);
    for _ in 0..3 {
        board.inputs_are(INPUTS_NONE).await;
    }
}

#[tokio::test]
async fn a_board_without_an_answer_is_lost_and_comes_back() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut board = Board::plug_in(directory.path());
    let mut site = Site::start(settings(directory.path(), 0, 1_000));
    board.inputs_are(INPUTS_NONE).await;
    site.committed().await;
    board.hears().await;
    board.sends("01 02 01 04 61 8B").await;
    board.hears().await;
    board.sends("01 02 01").await;
    board.hears().await;
    board.hears().await;
    site.raise("exit-1", "box/1/7/0").await;
    assert_eq!(site.answer("box/1/7/0").await, CommandAnswer::NotSent("the board does not answer".to_owned()));
    for reason in ["wrong-checksum", "frame-cut-off"] {
        assert_eq!(site.metrics.rejections("devices", reason), 1, "{reason}");
    }
    board.inputs_are(INPUTS_NONE).await;
    assert_eq!(site.committed().await, arrival(false), "the board is back, and its first levels are news");
}

/// Two faults are noise. After the third the board is down, is asked once at once and then every second, and its first
/// answer, whenever it comes, has it up again.
#[tokio::test]
async fn a_board_is_down_from_its_third_fault_in_a_row_to_its_next_answer() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut board = Board::plug_in(directory.path());
    let site = Site::start(settings(directory.path(), 0, SLOW_BOARD_MS));
    let (good, bad) = (INPUTS_NONE, "01 02 01 04 61 8B");
    let answers =
        [(good, 1), (bad, 1), (bad, 1), (good, 1), (bad, 1), (bad, 1), (bad, 0), (good, 1), (bad, 1), (good, 1)];
    let longer = [(bad, 1), (bad, 1), (bad, 0), (bad, 0), (good, 1), (good, 1)];
    board.hears().await;
    for (number, (answer, is_up)) in answers.into_iter().chain(longer).enumerate() {
        board.sends(answer).await;
        // The next question comes when the answer was taken up.
        board.hears().await;
        let told = format!("gatepost_device_up{{device=\"board\"}} {is_up}\n");
        assert!(site.metrics.text().contains(&told), "after answer {number}: {}", site.metrics.text());
    }
}

#[tokio::test]
async fn a_port_that_is_pulled_out_is_opened_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut board = Board::plug_in(directory.path());
    let mut site = Site::start(settings(directory.path(), 0, SLOW_BOARD_MS));
    board.inputs_are(INPUTS_NONE).await;
    site.committed().await;
    board.hears().await;
    drop(board);
    site.until(|metrics| !metrics.is_link_up("bus")).await;
    site.raise("exit-1", "box/1/7/0").await;
    assert_eq!(site.answer("box/1/7/0").await, CommandAnswer::NotSent("the port is not there".to_owned()));
    let mut board = Board::plug_in(directory.path());
    board.inputs_are(INPUTS_0_AND_2).await;
    assert_eq!(site.committed().await, arrival(true));
    assert!(site.metrics.is_link_up("bus"));
    assert_eq!(site.metrics.rejections("devices", "no-answer"), 0, "a lost port is not a slow board");
}

#[tokio::test]
async fn a_bouncing_contact_counts_once_it_is_steady() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut board = Board::plug_in(directory.path());
    let mut site = Site::start(settings(directory.path(), 60, SLOW_BOARD_MS));
    let mut polls = 0;
    in_time(async {
        while site.inputs.is_empty() {
            board.inputs_are(if polls < 6 && polls % 2 == 0 { INPUTS_NONE } else { INPUTS_0_AND_2 }).await;
            polls += 1;
        }
    })
    .await;
    assert!(polls > 6, "told after {polls} polls of 10 ms, while it bounced");
    assert_eq!(site.committed().await, arrival(true));
}

/// How long the box waits for an answer: so long that a busy test machine does not pass for a dead board.
const SLOW_BOARD_MS: u64 = 10_000;
const READ_INPUTS: &str = "01 02 00 00 00 08 79 CC";
const INPUTS_NONE: &str = "01 02 01 00 A1 88";
const INPUTS_0_AND_2: &str = "01 02 01 05 61 8B";

fn arrival(occupied: bool) -> Input {
    Input::LoopChanged { lane: LaneId::from("exit-1"), role: LoopRole::Arrival, occupied }
}

fn settings(directory: &Path, debounce_ms: u32, reply_ms: u64) -> Plan {
    let own = tempfile::tempdir().expect("a directory");
    let profile = include_str!("../../../device-profiles/waveshare/modbus-relay-8.toml");
    let profile = profile.replace("reply_timeout_ms = 200", &format!("reply_timeout_ms = {reply_ms}"));
    std::fs::write(own.path().join("own.toml"), profile).expect("written");
    let catalogue = Catalogue::load(Some(own.path())).expect("right");
    let port = port(directory);
    let text = format!(
        r#"
        links = [{{ id = "bus", kind = "serial", path = "{}" }}, {{ id = "broker", kind = "mqtt", port = 1 }}]

        [[devices]]
        id = "board"
        profile = "waveshare/modbus-relay-8"
        link = "bus"
        poll_ms = 10
        debounce_ms = {debounce_ms}

        [[devices]]
        id = "cam"
        profile = "vzenith/r-mqtt"
        link = "broker"
        params = {{ sn = "a1" }}

        [[lanes]]
        id = "exit-1"
        direction = "exit"
        camera = "cam"
        barrier = {{ device = "board", output = 0, pulse_ms = 500 }}
        arrival_loop = {{ device = "board", input = 0 }}
        "#,
        port.display()
    );
    planned(&text, &catalogue).expect("right settings")
}

fn port(directory: &Path) -> std::path::PathBuf {
    directory.join("ttyBUS")
}

/// The board's end of the line; the other end is at [`port`].
struct Board {
    line: SerialStream,
    /// Kept open, so that the line is there before the box opens it.
    _other_end: SerialStream,
}

impl Board {
    fn plug_in(directory: &Path) -> Self {
        let (line, other_end) = SerialStream::pair().expect("a pseudo-terminal");
        let name = other_end.name().expect("a named end");
        let _ = std::fs::remove_file(port(directory));
        std::os::unix::fs::symlink(name, port(directory)).expect("linked");
        Self { line, _other_end: other_end }
    }

    /// Answers one poll.
    async fn inputs_are(&mut self, answer: &str) {
        assert_eq!(self.hears().await, READ_INPUTS);
        self.sends(answer).await;
    }

    async fn echoes_the_raise(&mut self, frame: &str) {
        assert_eq!(self.answers_the_raise(frame).await, frame);
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
        let mut frame = [0; 8];
        timeout(PATIENCE, self.line.read_exact(&mut frame)).await.expect("in time").expect("readable");
        let bytes: Vec<String> = frame.iter().map(|byte| format!("{byte:02X}")).collect();
        bytes.join(" ")
    }

    async fn sends(&mut self, frame: &str) {
        let bytes = hex::decode(frame.replace(' ', "")).expect("hex");
        self.line.write_all(&bytes).await.expect("writable");
    }
}
