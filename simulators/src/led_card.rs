//! Display, voice and relay cards on one serial line, as drivers see and hear them: what stands on each screen, what was
//! said, what the relays did.
//!
//! Frames as in the maker's document v2.0; the line is a pseudo-terminal.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::ioctl_tiocnxcl;
use serde::Serialize;

use crate::faults::{Fault, Faults, Suffers};
use crate::modbus::crc16;
use crate::relay_board::{LATE, STARTS_IN, be_late, open_line};

/// How often an idle card looks whether it was unplugged.
const IDLE: Duration = Duration::from_millis(50);
/// How long a contact stays as it is, at most, for a box that does not ask: longer than a box needs to start again.
const POLL_PATIENCE: Duration = Duration::from_secs(5);
/// How often it is looked whether the box has asked.
const LOOK: Duration = Duration::from_millis(5);
/// What waits to be looked at; a test or a demo that does not look loses the newest.
const HEARD_MAX: usize = 4096;
/// Address, version, two of the packet number, command, length.
const HEAD: usize = 6;
/// The version whose length has one byte.
const SHORT: u8 = 0x64;
/// The command that asks for the inputs.
const READ_INPUTS: u8 = 0xD5;

/// What a card was told and did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Lines on its screen.
    Screen(Vec<String>),
    /// A code for paying, and the text beside it.
    Pay {
        /// What the code says.
        code: String,
        /// The text.
        text: String,
    },
    /// Free bays on its screen.
    Bays(u32),
    /// A sentence.
    Said(String),
    /// The relay that raises closed for so many seconds.
    Raised(u8),
    /// The relay that lowers closed for so many seconds.
    Lowered(u8),
    /// Its flash was written, which wears it out.
    Stored,
    /// Something else that it took.
    Other(u8),
}

/// What is wrong with the cards of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CardFault {
    /// Nothing.
    #[default]
    None,
    /// They take nothing and answer nothing: no power.
    Dead,
    /// They answer, and the relay does nothing.
    RelayBurnt,
    /// They take everything, and every answer is lost on its way.
    AnswersLost,
    /// Every answer comes with a wrong check.
    AnswersSpoilt,
    /// Every answer comes twice.
    AnswersDoubled,
    /// Every answer comes when nobody waits any more.
    AnswersLate,
}

/// What a line's cards came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// Screens of text.
    pub screens: u32,
    /// Codes for paying.
    pub codes: u32,
    /// Numbers of free bays.
    pub bays: u32,
    /// Sentences.
    pub sentences: u32,
    /// Times that a flash was written.
    pub flash_writes: u32,
}

/// Cards on one line; it hangs up when it is dropped.
pub struct LedLine {
    path: PathBuf,
    shared: Arc<Shared>,
    heard: Mutex<Receiver<(u8, Heard)>>,
    master: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    fault: CardFault,
    faults: Faults,
    is_gone: bool,
    inputs: u16,
    shown: Shown,
    screens: BTreeMap<u8, Vec<String>>,
    /// Cards that start anew.
    deaf_until: BTreeMap<u8, Instant>,
    broken_frames: u32,
    times_read: u64,
}

impl LedLine {
    /// Cards at these addresses.
    pub fn open(addresses: &[u8]) -> Result<Self> {
        let (master, slave, path) = open_line().context("open the cards' line")?;
        let (shared, master) = (Arc::new(Shared::default()), Arc::new(master));
        let (told, heard) = sync_channel(HEARD_MAX);
        let cards = Cards {
            master: Arc::clone(&master),
            slave,
            addresses: addresses.to_vec(),
            shared: Arc::clone(&shared),
            told,
        };
        let thread = std::thread::Builder::new()
            .name("led-cards".to_owned())
            .spawn(move || cards.serve())
            .context("start the cards' thread")?;
        Ok(Self { path, shared, heard: Mutex::new(heard), master, thread: Some(thread) })
    }

    /// The serial device that the box opens.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The next thing that a card was told, with its address; none where nothing comes for so long.
    pub fn heard_within(&self, patience: Duration) -> Option<(u8, Heard)> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(patience).ok()
    }

    /// Breaks or mends the cards.
    pub fn set_fault(&self, fault: CardFault) {
        self.shared.state().fault = fault;
    }

    /// What goes wrong with relays, screens, sentences and reads of inputs, and the answers to them, from now on.
    pub fn suffer(&self, faults: Faults) {
        self.shared.state().faults = faults;
    }

    /// A contact at one of the sixteen inputs of every card of the line.
    pub fn set_input(&self, input: u8, is_on: bool) {
        let bit = 1_u16.checked_shl(u32::from(input)).unwrap_or(0);
        let mut state = self.shared.state();
        state.inputs = if is_on { state.inputs | bit } else { state.inputs & !bit };
    }

    /// Returns when the box has heard the inputs twice from now on, or gives up on a box that does not ask.
    pub async fn inputs_noticed(&self) {
        let enough = self.shared.state().times_read + 2;
        let until = Instant::now() + POLL_PATIENCE;
        while self.shared.state().times_read < enough && Instant::now() < until {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Says this to the box as fast as the line takes it, as a card would that has gone mad.
    pub fn storm(&self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            match rustix::io::write(&*self.master, rest) {
                Ok(count) => rest = &rest[count..],
                Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => std::thread::yield_now(),
                Err(_) => return,
            }
        }
    }

    /// What all of them came to.
    pub fn shown(&self) -> Shown {
        self.shared.state().shown
    }

    /// What stands on a card's screen now.
    pub fn screen(&self, address: u8) -> Vec<String> {
        self.shared.state().screens.get(&address).cloned().unwrap_or_default()
    }

    /// Frames for these cards with a wrong check or layout.
    pub fn broken_frames(&self) -> u32 {
        self.shared.state().broken_frames
    }
}

impl Drop for LedLine {
    fn drop(&mut self) {
        self.shared.state().is_gone = true;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Cards {
    master: Arc<OwnedFd>,
    slave: OwnedFd,
    addresses: Vec<u8>,
    shared: Arc<Shared>,
    told: SyncSender<(u8, Heard)>,
}

impl Cards {
    fn serve(self) {
        let mut waiting = Vec::new();
        while !self.shared.state().is_gone {
            let idle = Timespec { tv_sec: 0, tv_nsec: i64::from(IDLE.subsec_nanos()) };
            match poll(&mut [PollFd::new(&*self.master, PollFlags::IN)], Some(&idle)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => {
                    // What did not become a frame by now never will.
                    waiting.clear();
                    // A box that was killed leaves its claim on the line; a real adapter forgets it with the last close.
                    let _ = ioctl_tiocnxcl(&self.slave);
                }
                Ok(_) => {
                    let mut piece = [0; 512];
                    let count = rustix::io::read(&*self.master, &mut piece).unwrap_or(0);
                    waiting.extend_from_slice(&piece[..count]);
                    while let Some(frame) = whole(&mut waiting) {
                        self.take(&frame);
                    }
                }
                Err(error) => return tracing::warn!(%error, "the cards' line broke"),
            }
        }
    }

    fn take(&self, frame: &[u8]) {
        let (body, check) = frame.split_at(frame.len() - 2);
        let address = body[0];
        if !self.addresses.contains(&address) || self.shared.state().is_deaf(address, Instant::now()) {
            return;
        }
        let heard =
            if check == crc16(body).to_le_bytes() && body[1] == SHORT { read(body[4], &body[HEAD..]) } else { None };
        let Some(heard) = heard else {
            self.shared.state().broken_frames += 1;
            return;
        };
        let Some(fault) = self.shared.state().struck_by(address, body[4], &heard) else { return };
        let is_nothing = fault == CardFault::RelayBurnt && matches!(heard, Heard::Raised(_) | Heard::Lowered(_));
        if !is_nothing {
            self.shared.state().count(address, &heard);
            // A watcher who does not look misses some.
            drop(self.told.try_send((address, heard)));
        }
        self.answer(address, body[4], fault);
    }

    fn answer(&self, address: u8, command: u8, fault: CardFault) {
        let data = match command {
            READ_INPUTS => {
                let is_heard = matches!(fault, CardFault::None | CardFault::RelayBurnt | CardFault::AnswersDoubled);
                self.shared.state().inputs_told(is_heard)
            }
            _ => vec![0],
        };
        let length = u8::try_from(data.len()).unwrap_or(u8::MAX);
        let mut frame = [&[address, SHORT, 0xFF, 0xFF, command, length][..], &data].concat();
        frame.extend(crc16(&frame).to_le_bytes());
        let answer = match fault {
            CardFault::None | CardFault::RelayBurnt => frame,
            CardFault::Dead | CardFault::AnswersLost => return,
            CardFault::AnswersSpoilt => {
                let last = frame.len() - 1;
                frame[last] ^= 0xFF;
                frame
            }
            CardFault::AnswersDoubled => frame.repeat(2),
            CardFault::AnswersLate => {
                be_late(&self.master, LATE);
                frame
            }
        };
        // A box that does not read its line loses it, as on a real one.
        let _ = rustix::io::write(&*self.master, &answer);
    }
}

impl State {
    /// Whether a card hears nothing: it has no power, or starts anew.
    fn is_deaf(&self, address: u8, now: Instant) -> bool {
        self.fault == CardFault::Dead || self.deaf_until.get(&address).is_some_and(|until| now < *until)
    }

    /// What is wrong with a card's answer to this; none where it starts anew instead.
    fn struck_by(&mut self, address: u8, command: u8, heard: &Heard) -> Option<CardFault> {
        let of = match heard {
            Heard::Raised(_) | Heard::Lowered(_) => Suffers::Words,
            Heard::Screen(_) | Heard::Pay { .. } | Heard::Bays(_) | Heard::Said(_) => Suffers::Signs,
            Heard::Other(_) if command == READ_INPUTS => Suffers::Polls,
            Heard::Stored | Heard::Other(_) => return Some(self.fault),
        };
        let faults = self.faults.of_its(of);
        if faults.strikes(Fault::Reboot) {
            self.deaf_until.insert(address, Instant::now() + STARTS_IN);
            self.screens.remove(&address);
            return None;
        }
        Some(of_the_answer(&faults).unwrap_or(self.fault))
    }

    /// What an answer says of the inputs, and whether the box hears it: whoever changes one counts the reads from then on.
    fn inputs_told(&mut self, is_heard: bool) -> Vec<u8> {
        self.times_read += u64::from(is_heard);
        [&[0, 0, 0, 0][..], &self.inputs.to_le_bytes(), &[0, 0]].concat()
    }

    fn count(&mut self, address: u8, heard: &Heard) {
        match heard {
            Heard::Screen(lines) => {
                self.shown.screens += 1;
                self.screens.insert(address, lines.clone());
            }
            Heard::Pay { code, text } => {
                self.shown.codes += 1;
                self.screens.insert(address, vec![text.clone(), code.clone()]);
            }
            Heard::Bays(free) => {
                self.shown.bays += 1;
                self.screens.insert(address, vec![free.to_string()]);
            }
            Heard::Said(_) => self.shown.sentences += 1,
            Heard::Stored => self.shown.flash_writes += 1,
            Heard::Raised(_) | Heard::Lowered(_) | Heard::Other(_) => {}
        }
    }
}

fn of_the_answer(faults: &Faults) -> Option<CardFault> {
    let all = [
        (Fault::Lost, CardFault::AnswersLost),
        (Fault::Corrupted, CardFault::AnswersSpoilt),
        (Fault::Duplicated, CardFault::AnswersDoubled),
        (Fault::Late, CardFault::AnswersLate),
    ];
    all.into_iter().find(|(fault, _)| faults.strikes(*fault)).map(|(_, of_answer)| of_answer)
}

/// The next frame by its own length.
fn whole(waiting: &mut Vec<u8>) -> Option<Vec<u8>> {
    let length = HEAD + usize::from(*waiting.get(HEAD - 1)?) + 2;
    (waiting.len() >= length).then(|| waiting.drain(..length).collect())
}

/// What a command means; `None` where its data is not laid out as the document says.
fn read(command: u8, data: &[u8]) -> Option<Heard> {
    Some(match command {
        0x0F => match data {
            [1, _, _, _, _, seconds] => Heard::Raised(*seconds),
            [2, _, _, _, _, seconds] => Heard::Lowered(*seconds),
            [_, _, _, _, _, _] => Heard::Other(command),
            _ => return None,
        },
        0x30 => Heard::Said(text(data.get(1..)?)?),
        0x62 => {
            let length = usize::from(*data.get(17)?);
            Heard::Screen(vec![text(data.get(19..19 + length)?)?])
        }
        0x67 => Heard::Stored,
        0x6F if data.first()? == &1 => Heard::Stored,
        0x6F => Heard::Screen(lines(data)?),
        0xE1 => {
            let (code, beside) = (usize::from(*data.get(13)?), usize::from(*data.get(14)?));
            let code_ends = 32 + code;
            let code = text(data.get(32..code_ends)?)?;
            Heard::Pay { code, text: text(data.get(code_ends + 1..code_ends + 1 + beside)?)? }
        }
        0xE3 => Heard::Bays(u32::from_le_bytes(data.get(5..9)?.try_into().ok()?)),
        _ => Heard::Other(command),
    })
}

/// Where it is kept, template, number of lines, and then each line with eleven bytes before its text.
fn lines(data: &[u8]) -> Option<Vec<String>> {
    let mut rest = data.get(3..)?;
    let mut lines = Vec::new();
    for _ in 0..*data.get(2)? {
        let length = usize::from(*rest.get(11)?);
        lines.push(text(rest.get(12..12 + length)?)?);
        rest = rest.get(13 + length..)?;
    }
    Some(lines)
}

fn text(bytes: &[u8]) -> Option<String> {
    let (text, had_errors) = encoding_rs::GBK.decode_without_bom_handling(bytes);
    (!had_errors).then(|| text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames that the maker's document prints.
    #[test]
    fn published_frames_are_read() {
        let welcome = "BBB6D3ADB9E2C1D9";
        check(0x30, &format!("01{welcome}"), Some(Heard::Said("欢迎光临".to_owned())));
        check(0xE3, "010000050 00A000000", Some(Heard::Bays(10)));
        check(0x0F, "010100000001", Some(Heard::Raised(1)));
        check(0x0F, "020100000001", Some(Heard::Lowered(1)));
        let line = |row: &str, end: &str| format!("{row}15010500030 0FF00000006B5DAD2BBD0D0{end}").replace(' ', "");
        let two = format!("000002{}{}0A00", line("00", "0D"), line("01", "00"));
        check(0x6F, &two, Some(Heard::Screen(vec!["第一行".to_owned(), "第一行".to_owned()])));
        check(0x6F, &two.replacen("00", "01", 1), Some(Heard::Stored));
        check(0x6F, "0000020015", None);
    }

    #[test]
    fn screens_and_reads_of_inputs_suffer_like_raises_and_each_is_counted_apart() {
        let bays = Heard::Bays(10);
        for (command, heard, of) in [
            (0x0F, Heard::Raised(1), Suffers::Words),
            (0xE3, bays, Suffers::Signs),
            (READ_INPUTS, Heard::Other(READ_INPUTS), Suffers::Polls),
        ] {
            for (fault, answered) in [
                (Fault::Lost, Some(CardFault::AnswersLost)),
                (Fault::Corrupted, Some(CardFault::AnswersSpoilt)),
                (Fault::Late, Some(CardFault::AnswersLate)),
                (Fault::Duplicated, Some(CardFault::AnswersDoubled)),
                (Fault::Reboot, None),
            ] {
                let faults = Faults::of([fault]);
                let mut state = State { faults: faults.clone(), ..State::default() };
                let struck = loop {
                    let found = state.struck_by(3, command, &heard);
                    if faults.suffered()[&of][fault.name()] > 0 {
                        break found;
                    }
                    assert_eq!(found, Some(CardFault::None), "{fault:?} before its time");
                };
                assert_eq!(struck, answered, "{of:?}");
                assert_eq!(state.is_deaf(3, Instant::now()), fault == Fault::Reboot, "it starts anew");
                assert!(!state.is_deaf(4, Instant::now()), "the other card of the line does not");
                assert!(!state.is_deaf(3, Instant::now() + STARTS_IN), "and it is there again");
            }
        }
    }

    fn check(command: u8, hex: &str, expect: Option<Heard>) {
        let digits: Vec<u8> = hex.bytes().filter(|byte| *byte != b' ').collect();
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16).expect("hex");
        let data: Vec<u8> = digits.chunks(2).map(byte).collect();
        assert_eq!(read(command, &data), expect, "{hex}");
    }
}
