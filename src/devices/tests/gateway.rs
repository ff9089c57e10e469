//! Relay boards over TCP: Modbus TCP by its standard, and Modbus RTU through a gateway that passes bytes on.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::domain::lane::LoopRole;

#[tokio::test]
async fn a_board_with_a_network_plug_is_read_and_told_to_raise() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let mut site = Site::start(settings(&listener, "waveshare/modbus-poe-eth-relay-b", SLOW_BOARD_MS));
    let mut board = plugged_in(&listener).await;
    answer_tcp(&mut board, &[1, 2, 1, 5]).await;
    assert_eq!(site.committed().await, arrival(true));
    site.raise("exit-1", "box/1/7/0").await;
    let raise = in_time(async {
        loop {
            let (number, body) = hears_tcp(&mut board).await;
            if body[1] == 5 {
                // An answer to an earlier request comes first, and says something else.
                sends_tcp(&mut board, number.wrapping_sub(1), &[1, 0x85, 2]).await;
                sends_tcp(&mut board, number, &body).await;
                return body;
            }
            sends_tcp(&mut board, number, &[1, 2, 1, 5]).await;
        }
    })
    .await;
    assert_eq!(raise, [1, 5, 2, 0, 0, 5], "flash-on of relay 0 for 500 ms");
    assert_eq!(site.answer("box/1/7/0").await, CommandAnswer::Accepted);
}

#[tokio::test]
async fn a_gateway_passes_serial_frames_on() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let mut site = Site::start(settings(&listener, "waveshare/modbus-relay-8", SLOW_BOARD_MS));
    let mut board = plugged_in(&listener).await;
    assert_eq!(hears_rtu(&mut board).await, READ_INPUTS);
    board.write_all(&INPUTS_0_AND_2).await.expect("writable");
    assert_eq!(site.committed().await, arrival(true));
    site.raise("exit-1", "box/1/7/0").await;
    let raise = in_time(async {
        loop {
            let frame = hears_rtu(&mut board).await;
            if frame != READ_INPUTS {
                return frame;
            }
            board.write_all(&INPUTS_0_AND_2).await.expect("writable");
        }
    })
    .await;
    assert_eq!(raise, RAISE_FRAME);
    board.write_all(&raise).await.expect("writable");
    assert_eq!(site.answer("box/1/7/0").await, CommandAnswer::Accepted);
}

#[tokio::test]
async fn a_plug_that_is_pulled_or_falls_silent_is_connected_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let mut site = Site::start(settings(&listener, "waveshare/modbus-poe-eth-relay-b", 100));
    // It takes every byte and says nothing: only a new connection can tell whether it is there.
    let silent = plugged_in(&listener).await;
    site.until(|metrics| metrics.rejections("devices", "no-answer") >= 3).await;
    site.raise("exit-1", "box/1/7/0").await;
    assert_eq!(site.answer("box/1/7/0").await, CommandAnswer::NotSent("the board does not answer".to_owned()));
    let mut board = plugged_in(&listener).await;
    drop(silent);
    let telling = async {
        while site.inputs.is_empty() {
            answer_tcp(&mut board, &[1, 2, 1, 5]).await;
        }
    };
    in_time(telling).await;
    assert_eq!(site.committed().await, arrival(true));
    drop(board);
    let mut board = plugged_in(&listener).await;
    answer_tcp(&mut board, &[1, 2, 1, 0]).await;
    assert_eq!(site.committed().await, arrival(false));
}

#[tokio::test]
async fn a_gateway_that_hangs_up_at_once_is_called_less_and_less_often() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let _site = Site::start(settings(&listener, "waveshare/modbus-relay-8", SLOW_BOARD_MS));
    drop(plugged_in(&listener).await);
    let first = tokio::time::Instant::now();
    for _ in 0..3 {
        drop(plugged_in(&listener).await);
    }
    // 200, 400 and 800 ms, but for the moment until the box has seen it.
    assert!(first.elapsed() > Duration::from_millis(1300), "{:?}", first.elapsed());
}

const SLOW_BOARD_MS: u64 = 10_000;
const READ_INPUTS: [u8; 8] = [0x01, 0x02, 0x00, 0x00, 0x00, 0x08, 0x79, 0xCC];
const INPUTS_0_AND_2: [u8; 6] = [0x01, 0x02, 0x01, 0x05, 0x61, 0x8B];
const RAISE_FRAME: [u8; 8] = [0x01, 0x05, 0x02, 0x00, 0x00, 0x05, 0x0C, 0x71];

fn arrival(occupied: bool) -> Input {
    Input::LoopChanged { lane: LaneId::from("exit-1"), role: LoopRole::Arrival, occupied }
}

async fn plugged_in(listener: &TcpListener) -> TcpStream {
    timeout(PATIENCE, listener.accept()).await.expect("in time").expect("connected").0
}

async fn answer_tcp(board: &mut TcpStream, body: &[u8]) {
    let (number, asked) = hears_tcp(board).await;
    assert_eq!(asked, [1, 2, 0, 0, 0, 8]);
    sends_tcp(board, number, body).await;
}

async fn hears_tcp(board: &mut TcpStream) -> (u16, Vec<u8>) {
    let mut head = [0; 6];
    timeout(PATIENCE, board.read_exact(&mut head)).await.expect("in time").expect("readable");
    assert_eq!(head[2..5], [0, 0, 0], "protocol 0, a short frame");
    let mut body = vec![0; usize::from(head[5])];
    timeout(PATIENCE, board.read_exact(&mut body)).await.expect("in time").expect("readable");
    (u16::from_be_bytes([head[0], head[1]]), body)
}

async fn sends_tcp(board: &mut TcpStream, number: u16, body: &[u8]) {
    let length = u8::try_from(body.len()).expect("short");
    let [high, low] = number.to_be_bytes();
    board.write_all(&[&[high, low, 0, 0, 0, length], body].concat()).await.expect("writable");
}

async fn hears_rtu(board: &mut TcpStream) -> [u8; 8] {
    let mut frame = [0; 8];
    timeout(PATIENCE, board.read_exact(&mut frame)).await.expect("in time").expect("readable");
    frame
}

fn settings(listener: &TcpListener, profile: &str, reply_ms: u64) -> Plan {
    let own = tempfile::tempdir().expect("a directory");
    let shipped = crate::profile::shipped::SHIPPED.iter().find(|shipped| shipped.file.contains(profile));
    let text = shipped.expect("shipped").text;
    let text = text.replace("reply_timeout_ms = 200", "reply_timeout_ms = 300");
    let text = text.replace("reply_timeout_ms = 300", &format!("reply_timeout_ms = {reply_ms}"));
    std::fs::write(own.path().join("own.toml"), text).expect("written");
    let catalogue = Catalogue::load(Some(own.path())).expect("right");
    let port = listener.local_addr().expect("its address").port();
    let text = format!(
        r#"
        [[links]]
        id = "bus"
        kind = "tcp"
        host = "127.0.0.1"
        port = {port}

        [[links]]
        id = "broker"
        kind = "mqtt"
        port = 1

        [[devices]]
        id = "board"
        profile = "{profile}"
        link = "bus"
        poll_ms = 10

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
        "#
    );
    planned(&text, &catalogue).expect("right settings")
}
