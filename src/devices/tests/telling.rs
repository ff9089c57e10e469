//! Telling devices what is no raise: within guards, again where the profile says so, printed where a printer hangs.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_serial::{SerialPort, SerialStream};

use super::super::check::Verdict;
use super::super::hatch;
use super::*;
use crate::profile::template::{Value, Values};

#[tokio::test]
async fn what_does_no_harm_twice_is_told_again_while_no_answer_comes() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut device = Wired::plug_in(directory.path());
    let site = Site::start(settings(directory.path(), CARD, 200));
    site.until(|metrics| metrics.is_link_up("line")).await;
    let teller = site.devices.teller();
    let (told, frames) = tokio::join!(teller.tell("card", "say", text("1")), async {
        let mut frames = Vec::new();
        for _ in 0..2 {
            frames.push(device.hears(SAY_1.len()).await);
        }
        device.sends(SAID).await;
        frames
    });
    assert_eq!(told, Ok(Outcome::Taken));
    assert_eq!(frames, [SAY_1, SAY_1], "the same frame again");

    let (told, ()) = tokio::join!(teller.tell("card", "say", text("1")), async {
        device.hears(SAY_1.len()).await;
        device.sends(&[0x00, 0x64, 0xFF, 0xFF, 0x30, 0x01, 0x01, 0xF7, 0x7B]).await;
    });
    assert_eq!(told, Ok(Outcome::Refused("data.ack 1".to_owned())), "a refusal is an answer");

    let (told, ()) = tokio::join!(teller.tell("card", "say", text("1")), async {
        for _ in 0..3 {
            device.hears(SAY_1.len()).await;
        }
    });
    assert_eq!(told, Ok(Outcome::Silent("no answer in time".to_owned())), "twice besides the first time, as it says");
}

#[tokio::test]
async fn what_wears_a_memory_out_is_told_only_so_often_a_day() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut device = Wired::plug_in(directory.path());
    let plan = settings(directory.path(), CARD, 10_000);
    let counted = plan.remembering_in(directory.path().join("told.toml"));
    let site = Site::start(counted.clone());
    let store = |site: &Site| {
        let teller = site.devices.teller();
        async move { teller.tell("card", "store", Values::new()).await }
    };
    for _ in 0..2 {
        let (told, ()) = tokio::join!(store(&site), async {
            device.hears(8).await;
            device.sends(&[0x00, 0x64, 0xFF, 0xFF, 0x67, 0x01, 0x00, 0x87, 0x6B]).await;
        });
        assert_eq!(told, Ok(Outcome::Taken));
    }
    let enough = |told| matches!(told, Err(CannotTell::Enough { most: 2, .. }));
    assert!(enough(store(&site).await), "the third of a day");
    site.devices.stop().await;
    let site = Site::start(counted);
    assert!(enough(store(&site).await), "a restart gives nothing back");
}

#[tokio::test]
async fn barriers_are_told_by_the_loop_alone_and_forbidden_commands_by_nobody() {
    let directory = tempfile::tempdir().expect("a directory");
    let _device = Wired::plug_in(directory.path());
    let site = Site::start(settings(directory.path(), CARD, 200));
    let teller = site.devices.teller();
    let args = Values::from([("output".to_owned(), Value::Integer(1)), ("pulse_ms".to_owned(), Value::Integer(1000))]);
    for command in ["raise", "lower"] {
        let told = teller.tell("card", command, args.clone()).await;
        assert_eq!(told, Err(CannotTell::OfTheLoop(command.to_owned())));
    }
    assert_eq!(teller.tell("nobody", "say", text("1")).await, Err(CannotTell::NoDevice("nobody".to_owned())));
    assert!(matches!(teller.tell("card", "reset", Values::new()).await, Err(CannotTell::Profile(_))));
    assert!(matches!(teller.tell("card", "say", text("")).await, Err(CannotTell::Profile(_))), "out of bounds");
}

#[tokio::test]
async fn a_technician_prints_through_the_hatch_and_the_printer_s_paper_is_heard() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut device = Wired::plug_in(directory.path());
    let printer = include_str!("../../../device-profiles/escpos/printer.toml").replace("= 500 }", "= 10000 }");
    let site = Site::start(settings(directory.path(), &printer, 10_000));
    let hatch = directory.path().join("hatch");
    let serving = tokio::spawn({
        let (hatch, teller, watch) = (hatch.clone(), site.devices.teller(), site.devices.watch());
        async move { hatch::serve(&hatch, teller, watch).await }
    });
    site.until(|metrics| metrics.is_link_up("line") && hatch.exists()).await;
    let asked = |command: &str, text: Option<&str>| {
        let args = text.map(|text| ("text".to_owned(), toml::Value::from(text))).into_iter().collect();
        let wish = hatch::Wish { device: "card".to_owned(), command: command.to_owned(), args };
        let hatch = hatch.clone();
        async move { hatch::ask(&hatch, &wish).await.expect("answered").outcome }
    };
    let receipt = hex::decode("1B401C26CDA3B3B5B7D12031302E3030D4AA0A0A1B64031D5600").expect("hex");
    let (told, printed) = tokio::join!(asked("print", Some("停车费 10.00元\n")), device.hears(receipt.len()));
    assert_eq!((told.as_str(), printed), ("unconfirmed", receipt), "a printer confirms nothing");

    let (told, ()) = tokio::join!(asked("paper_state", None), async {
        assert_eq!(device.hears(3).await, [0x10, 0x04, 0x04]);
        device.sends(&[0x72]).await;
    });
    assert_eq!(told, "refused", "there is no paper");
    device.sends(&[0x72]).await;
    site.until(|metrics| metrics.rejections("devices", "unsupported") == 1).await;
    assert_eq!(asked("print", None).await, "not-allowed", "without a text");
    assert_eq!(asked("raise", None).await, "not-allowed");
    let found = hatch::look(&hatch).await.expect("answered");
    assert_eq!((found.len(), found[0].device.as_str(), found[0].verdict), (1, "card", Verdict::Well));
    serving.abort();
}

const SAY_1: [u8; 10] = [0x00, 0x64, 0xFF, 0xFF, 0x30, 0x02, 0x01, 0x31, 0x0B, 0x52];
const SAID: &[u8] = &[0x00, 0x64, 0xFF, 0xFF, 0x30, 0x01, 0x00, 0x36, 0xBB];

/// A display card that knows three commands: one that may be repeated, one that wears it out, one that nobody may use.
const CARD: &str = r#"
    [profile]
    id = "test/card"
    vendor = "test"
    product = "a card"
    link = "serial"

    [frame]
    gap_ms = 50
    parts = [
      { name = "address", always = "00 64 FF FF" },
      { name = "command" },
      { name = "length", counts = ["data"] },
      { bytes_of = "data" },
      { name = "crc", bytes = 2, order = "low-first", check = "crc16-modbus", over = ["address", "data"] },
    ]

    [[command]]
    name = "say"
    ack = "device"
    retry = { again = { times = 2, pause_ms = 10 } }
    set = { command = 0x30 }
    data = [{ always = "01" }, { text = "text", max = 20 }]
    args = { text = { type = "text", min = 1, max = 10 } }
    reply = { when = [{ path = "command", is = [0x30] }], data = [{ name = "ack" }], success = { path = "data.ack", is = [0] }, timeout_ms = 300 }

    [[command]]
    name = "store"
    service = true
    ack = "device"
    guard = { per_day_max = 2, because = "it wears the card out" }
    set = { command = 0x67 }
    reply = { when = [{ path = "command", is = [0x67] }], data = [{ name = "ack" }], success = { path = "data.ack", is = [0] }, timeout_ms = 300 }

    [[command]]
    name = "reset"
    service = true
    ack = "none"
    guard = { never = true, because = "the card forgets everything" }
    set = { command = 0x1E }
"#;

fn text(text: &str) -> Values {
    Values::from([("text".to_owned(), Value::Text(text.to_owned()))])
}

fn settings(directory: &Path, profile: &str, reply_ms: u64) -> Plan {
    let own = tempfile::tempdir().expect("a directory");
    let profile = profile.replace("timeout_ms = 300", &format!("timeout_ms = {reply_ms}"));
    std::fs::write(own.path().join("own.toml"), &profile).expect("written");
    let catalogue = Catalogue::load(Some(own.path())).expect("right");
    let id = if profile.contains("test/card") { "test/card" } else { "escpos/printer" };
    let text = format!(
        "links = [{{ id = \"line\", kind = \"serial\", path = {:?} }}]\n\
         devices = [{{ id = \"card\", profile = {id:?}, link = \"line\" }}]\n",
        directory.join("ttyLINE").display().to_string()
    );
    planned(&text, &catalogue).expect("right settings")
}

/// The device's end of the line.
struct Wired {
    line: SerialStream,
    _other_end: SerialStream,
}

impl Wired {
    fn plug_in(directory: &Path) -> Self {
        let (line, other_end) = SerialStream::pair().expect("a pseudo-terminal");
        let name = other_end.name().expect("a named end");
        std::os::unix::fs::symlink(name, directory.join("ttyLINE")).expect("linked");
        Self { line, _other_end: other_end }
    }

    async fn hears(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        timeout(PATIENCE, self.line.read_exact(&mut bytes)).await.expect("in time").expect("readable");
        bytes
    }

    async fn sends(&mut self, bytes: &[u8]) {
        self.line.write_all(bytes).await.expect("writable");
    }
}
