//! Card readers: OSDP on a pseudo-terminal, in the clear and over a secure channel, and two data wires behind a bridge.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_serial::{SerialPort, SerialStream};

use super::*;
use crate::domain::event::CardNumber;
use crate::metrics::Trouble;
use crate::profile::language::reader::OsdpCheck;
use crate::profile::osdp::{DEFAULT_KEY, Packet, Randoms, SecureChannel};

#[tokio::test]
async fn a_card_is_an_input_of_its_lane() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut reader = Reader::plug_in(directory.path());
    let mut site = Site::start(settings(directory.path(), SLOW_READER_MS, ""));
    reader.tells_who_it_is().await;
    reader.is_asked(1).await;
    reader.says(1, RAW, CARD).await;
    assert_eq!(site.committed().await, card("1-12345"));
    for sequence in [2, 3, 1] {
        reader.is_asked(sequence).await;
        reader.says(sequence, ACK, &[]).await;
    }
    assert_eq!(site.metrics.health.of("reader").and_then(|health| health.trouble), None);
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_and_no_card_is_lost_or_doubled() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut reader = Reader::plug_in(directory.path());
    let mut site = Site::start(settings(directory.path(), 300, ""));
    reader.tells_who_it_is().await;
    reader.is_asked(1).await;
    // Its answer is lost on the way; then damaged.
    reader.is_asked(1).await;
    reader.sends(&[0x53, 0x80, 0x08, 0x00, 0x05, 0x40, 0x00, 0x00]).await;
    reader.is_asked(1).await;
    reader.says(1, RAW, CARD).await;
    assert_eq!(site.committed().await, card("1-12345"));
    reader.is_asked(2).await;
    reader.says(2, ACK, &[]).await;
    reader.is_asked(3).await;
    assert!(site.inputs.try_recv().is_err(), "one card is one input");
    assert!(site.metrics.rejections("devices", "wrong-checksum") > 0);
}

#[tokio::test]
async fn a_reader_without_power_is_lost_and_the_talk_begins_anew() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut reader = Reader::plug_in(directory.path());
    let site = Site::start(settings(directory.path(), 100, ""));
    reader.tells_who_it_is().await;
    reader.is_asked(1).await;
    site.until(|metrics| metrics.text().contains("gatepost_device_up{device=\"reader\"} 0")).await;
    let until_it_forgets = async { while reader.hears().await.sequence != 0 {} };
    in_time(until_it_forgets).await;
    reader.says(0, PD_ID, &[0; 12]).await;
    in_time(async { while reader.hears().await.code != POLL {} }).await;
    reader.says(1, ACK, &[]).await;
    site.until(|metrics| metrics.text().contains("gatepost_device_up{device=\"reader\"} 1")).await;
}

#[tokio::test]
async fn with_a_key_nothing_in_the_clear_is_a_card() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut reader = Reader::plug_in(directory.path());
    let key = format!("password = {:?}", hex::encode(KEY));
    let mut site = Site::start(settings(directory.path(), SLOW_READER_MS, &key));
    reader.tells_who_it_is().await;
    let mut channel = reader.opens_a_channel(&KEY).await.expect("the same key");
    let asked = reader.hears().await;
    assert!(asked.mac.is_some(), "every packet is authenticated now");
    assert_eq!(channel.open(asked).expect("ours").code, POLL);
    reader.says(3, RAW, CARD).await;
    let asked_again = reader.hears().await;
    assert!(asked_again.mac.is_some());
    assert_eq!(site.metrics.rejections("devices", "wrong-checksum"), 1, "a card in the clear is none");
    let sealed = channel.seal(reader.packet(3, RAW, CARD));
    assert_ne!(sealed.data, CARD, "it is encrypted");
    reader.sends(&sealed.bytes()).await;
    assert_eq!(site.committed().await, card("1-12345"));
    let next = reader.hears().await;
    assert_eq!(channel.open(next).map(|packet| (packet.code, packet.sequence)), Ok((POLL, 1)));
}

#[tokio::test]
async fn another_key_is_told_and_no_card_is_taken() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut reader = Reader::plug_in(directory.path());
    let key = format!("password = {:?}", hex::encode(KEY));
    let mut site = Site::start(settings(directory.path(), SLOW_READER_MS, &key));
    reader.tells_who_it_is().await;
    assert!(reader.opens_a_channel(&DEFAULT_KEY).await.is_none());
    site.until(|metrics| metrics.health.of("reader").is_some_and(|health| health.trouble == Some(Trouble::Login)))
        .await;
    reader.says(2, RAW, CARD).await;
    assert_eq!(reader.hears().await.sequence, 0, "the talk begins anew");
    assert!(site.inputs.try_recv().is_err());
}

#[tokio::test]
async fn bits_from_a_bridge_are_cards_by_line_or_by_pause() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut reader = Reader::plug_in(directory.path());
    let text = reader_settings(directory.path(), "").replace("osdp/reader", "wiegand/reader");
    let mut site = Site::start(plan(&text).expect("right settings"));
    site.until(|metrics| metrics.is_link_up("line")).await;
    reader.sends(b"10000000100110000001110011\r\n").await;
    assert_eq!(site.committed().await, card("1-12345"));
    reader.sends(b"10111101100010001110101110").await;
    assert_eq!(site.committed().await, card("123-4567"), "a pause ends a card, too");
    reader.sends(b"10000000100110000001110001\nhello\n1010\n10000000100110000001110011\n").await;
    assert_eq!(site.committed().await, card("1-12345"), "what is no card stops nothing");
    for reason in ["wrong-parity", "malformed", "wrong-length"] {
        assert_eq!(site.metrics.rejections("devices", reason), 1, "{reason}");
    }
    reader.sends(&[b'1'; 5_000]).await;
    reader.sends(b"\n10000000100110000001110011\n").await;
    assert_eq!(site.committed().await, card("1-12345"), "a line that never ends is noise and no memory");
}

#[test]
fn a_reader_that_does_not_fit_is_told_with_its_line() {
    let directory = Path::new("/dev");
    let wrong = |text: String, expect: &str| {
        let found: String = plan(&text).expect_err("a mistake").iter().map(|mistake| format!("{mistake}\n")).collect();
        assert!(found.contains(expect), "{found}\nshould say\n{expect}");
    };
    wrong(reader_settings(directory, "password = \"secret\""), "is no key; allowed: the reader's key: 32 hex digits");
    wrong(reader_settings(directory, "").replace("reader = \"reader\"", "reader = \"cam\""), "reads no cards");
    let second = "[[devices]]\nid = \"second\"\nprofile = \"osdp/reader\"\nlink = \"line\"\n";
    wrong(reader_settings(directory, second), "answer to the same name on one link");
    let board = "[[devices]]\nid = \"board\"\nprofile = \"waveshare/modbus-relay-8\"\nlink = \"line\"\n";
    wrong(reader_settings(directory, board), "one language on a line");
    let key = plan(&reader_settings(directory, &format!("password = {:?}", hex::encode(KEY)))).expect("right");
    assert!(!format!("{key:?}").contains(&hex::encode(KEY)) && !format!("{key:?}").contains("66, 66"), "never shown");
}

/// How long the box waits for an answer: so long that a busy test machine does not pass for a dead reader.
const SLOW_READER_MS: u64 = 10_000;
const KEY: [u8; 16] = [0x42; 16];
const POLL: u8 = 0x60;
const ACK: u8 = 0x40;
const PD_ID: u8 = 0x45;
const RAW: u8 = 0x50;
/// Reader 0, 26 bits: facility 1, number 12345.
const CARD: &[u8] = &[0x00, 0x01, 0x1A, 0x00, 0x80, 0x98, 0x1C, 0xC0];

fn card(number: &str) -> Input {
    let (facility, number) = number.split_once('-').expect("two numbers");
    let card = CardNumber::new(facility.parse().ok(), number.parse().expect("a number"));
    Input::CardRead { lane: LaneId::from("exit-1"), device: crate::domain::event::DeviceId::from("reader"), card }
}

fn settings(directory: &Path, reply_ms: u64, more: &str) -> Plan {
    let own = tempfile::tempdir().expect("a directory");
    let profile = include_str!("../../../device-profiles/osdp/reader.toml");
    let profile = profile.replace("reply_timeout_ms = 200", &format!("reply_timeout_ms = {reply_ms}"));
    std::fs::write(own.path().join("own.toml"), profile).expect("written");
    let catalogue = Catalogue::load(Some(own.path())).expect("right");
    planned(&reader_settings(directory, &format!("poll_ms = 10\n{more}")), &catalogue).expect("right settings")
}

fn reader_settings(directory: &Path, more: &str) -> String {
    format!(
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
        reader = "reader"
        barrier = {{ device = "cam", output = 0, pulse_ms = 500 }}

        [[devices]]
        id = "reader"
        profile = "osdp/reader"
        link = "line"
        {more}
        "#,
        port(directory).display()
    )
}

fn port(directory: &Path) -> std::path::PathBuf {
    directory.join("ttyREADER")
}

/// The reader's end of the line; the other end is at [`port`].
struct Reader {
    line: SerialStream,
    /// Kept open, so that the line is there before the box opens it.
    _other_end: SerialStream,
}

impl Reader {
    fn plug_in(directory: &Path) -> Self {
        let (line, other_end) = SerialStream::pair().expect("a pseudo-terminal");
        let name = other_end.name().expect("a named end");
        std::os::unix::fs::symlink(name, port(directory)).expect("linked");
        Self { line, _other_end: other_end }
    }

    async fn tells_who_it_is(&mut self) {
        let asked = self.hears().await;
        assert_eq!((asked.code, asked.sequence), (0x61, 0));
        self.says(0, PD_ID, &[0; 12]).await;
    }

    async fn is_asked(&mut self, sequence: u8) {
        let asked = self.hears().await;
        assert_eq!((asked.code, asked.sequence, asked.security), (POLL, sequence, None));
    }

    /// The reader's part of the handshake; `None` where the box does not go on with it.
    async fn opens_a_channel(&mut self, key: &[u8; 16]) -> Option<SecureChannel> {
        let challenge = self.hears().await;
        assert_eq!((challenge.code, challenge.security), (0x76, Some((0x11, vec![1]))));
        let controller = challenge.data.try_into().expect("eight bytes");
        let channel = SecureChannel::new(key, Randoms { controller, reader: *b"01234567" });
        let shown = [&[0; 8][..], b"01234567", &channel.reader_cryptogram()].concat();
        let mut reply = self.packet(1, 0x76, &shown);
        reply.security = Some((0x12, vec![1]));
        self.sends(&reply.bytes()).await;
        let proof = self.hears().await;
        if proof.code != 0x77 {
            return None;
        }
        assert_eq!(proof.data, channel.controller_cryptogram());
        let mut reply = self.packet(2, 0x78, &channel.first_mac());
        reply.security = Some((0x14, vec![1]));
        self.sends(&reply.bytes()).await;
        Some(channel)
    }

    fn packet(&self, sequence: u8, code: u8, data: &[u8]) -> Packet {
        let data = data.to_vec();
        let (check, security, mac) = (OsdpCheck::Crc, None, None);
        Packet { address: 0, is_reply: true, sequence, check, security, code, data, mac }
    }

    async fn says(&mut self, sequence: u8, code: u8, data: &[u8]) {
        let packet = self.packet(sequence, code, data);
        self.sends(&packet.bytes()).await;
    }

    async fn hears(&mut self) -> Packet {
        let mut packet = vec![0; 4];
        timeout(PATIENCE, self.line.read_exact(&mut packet)).await.expect("in time").expect("readable");
        let mut rest = vec![0; usize::from(u16::from_le_bytes([packet[2], packet[3]])) - 4];
        timeout(PATIENCE, self.line.read_exact(&mut rest)).await.expect("in time").expect("readable");
        packet.extend(rest);
        Packet::read(&packet).expect("a right packet")
    }

    async fn sends(&mut self, bytes: &[u8]) {
        self.line.write_all(bytes).await.expect("writable");
    }
}
