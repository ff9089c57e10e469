//! A device on a serial line, which is a pseudo-terminal: what comes is answered frame by frame.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::ioctl_tiocnxcl;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::card::Card;
use super::reader::{Reader, wiegand_26};
use super::recording::Recording;
use super::{Typed, hex, read_typed, tell_stroke, unhex};
use crate::faults::{Fault, Faults, Suffers};
use crate::relay_board::{LATE, STARTS_IN, open_line};

/// A pause of so long ends a frame that has no length.
const GAP: Duration = Duration::from_millis(50);
/// How often an idle line is looked at.
const IDLE_NS: i64 = 100_000_000;
/// Pieces that wait to be looked at.
const PIECES_MAX: usize = 64;

/// Both ends of a line.
pub struct Line {
    master: Arc<OwnedFd>,
    _slave: Arc<OwnedFd>,
    path: PathBuf,
    pieces: mpsc::Receiver<Vec<u8>>,
}

/// Whose habits the device has.
pub(super) enum Speaks {
    /// A display, voice and relay card.
    Card(Card),
    /// An OSDP card reader.
    Reader(Reader),
    /// Bits of cards, by a person's hand.
    Bits,
    /// Exactly what was recorded.
    Recorded(Recorded),
}

/// Requests and their recorded answers.
pub(super) struct Recorded {
    answers: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Line {
    /// Opens a pseudo-terminal.
    pub fn open() -> Result<Self> {
        let (master, slave, path) = open_line()?;
        let (master, slave) = (Arc::new(master), Arc::new(slave));
        let (heard, pieces) = mpsc::channel(PIECES_MAX);
        let (reading, other_end) = (Arc::clone(&master), Arc::clone(&slave));
        std::thread::Builder::new()
            .name("line".to_owned())
            .spawn(move || read(&reading, &other_end, &heard))
            .context("start the line's thread")?;
        Ok(Self { master, _slave: slave, path, pieces })
    }

    /// What the box opens.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The next bytes; none where nothing came for the pause that ends a frame.
    pub async fn hear(&mut self) -> Option<Vec<u8>> {
        timeout(GAP, self.pieces.recv()).await.ok().flatten()
    }

    /// Writes; a box that does not read its line loses it, as on a real one.
    pub fn write(&self, bytes: &[u8]) {
        let _ = rustix::io::write(&self.master, bytes);
    }

    /// Answers, where nothing goes wrong; while it is late or starts anew the device hears nothing.
    async fn answer(&mut self, mut answer: Vec<u8>, faults: &Faults) {
        if faults.strikes(Fault::Lost) {
            return;
        }
        let starts_anew = faults.strikes(Fault::Reboot);
        if starts_anew || faults.strikes(Fault::Late) {
            tokio::time::sleep(if starts_anew { STARTS_IN } else { LATE }).await;
            while self.pieces.try_recv().is_ok() {}
        }
        if starts_anew {
            return;
        }
        if let Some(last) = answer.last_mut().filter(|_| faults.strikes(Fault::Corrupted)) {
            *last ^= 0xFF;
        }
        self.write(&answer);
        if faults.strikes(Fault::Duplicated) {
            self.write(&answer);
        }
    }
}

fn read(master: &OwnedFd, slave: &OwnedFd, heard: &mpsc::Sender<Vec<u8>>) {
    while !heard.is_closed() {
        let idle = Timespec { tv_sec: 0, tv_nsec: IDLE_NS };
        match poll(&mut [PollFd::new(master, PollFlags::IN)], Some(&idle)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => {
                // A box that was killed leaves its claim on the line; a real adapter forgets it with the last close.
                let _ = ioctl_tiocnxcl(slave);
            }
            Ok(_) => {
                let mut piece = [0; 512];
                let count = rustix::io::read(master, &mut piece).unwrap_or(0);
                if heard.blocking_send(piece[..count].to_vec()).is_err() {
                    return;
                }
            }
            Err(_) => return,
        }
    }
}

pub(super) async fn run(
    mut line: Line,
    mut speaks: Speaks,
    recording: &Recording,
    faults: &Faults,
    mut typed: mpsc::Receiver<String>,
    say: impl Fn(&str) + Copy,
) -> Result<()> {
    let (mut strokes, faults) = (faults.watch(), faults.of_its(Suffers::Polls));
    let mut waiting = Vec::new();
    let mut typing = true;
    loop {
        tokio::select! {
            heard = line.hear() => {
                let is_quiet = heard.is_none();
                waiting.extend(heard.unwrap_or_default());
                while let Some((request, answer)) = speaks.next(&mut waiting, is_quiet) {
                    let told = answer.as_ref().map_or_else(|| "silence".to_owned(), |answer| hex(answer));
                    say(&format!("{} -> {told}", hex(&request)));
                    if let Some(answer) = answer {
                        line.answer(answer, &faults).await;
                    }
                    while let Ok(stroke) = strokes.try_recv() {
                        tell_stroke(stroke, say);
                    }
                }
            }
            text = typed.recv(), if typing => match text.as_deref().map(read_typed) {
                Some(Ok(typed)) => speaks.typed(&typed, &line, recording, say)?,
                Some(Err(allowed)) => say(allowed),
                None => typing = false,
            },
        }
    }
}

impl Speaks {
    /// The next request in what has come, and its answer.
    fn next(&mut self, waiting: &mut Vec<u8>, is_quiet: bool) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
        match self {
            Self::Card(card) => card.next(waiting, is_quiet),
            Self::Reader(reader) => reader.next(waiting, is_quiet),
            Self::Bits => None,
            Self::Recorded(recorded) => recorded.next(waiting, is_quiet),
        }
    }

    fn typed(&mut self, typed: &Typed, line: &Line, recording: &Recording, say: impl Fn(&str)) -> Result<()> {
        match (self, typed) {
            (Self::Card(card), Typed::Input(input, is_on)) => card.set_input(*input, *is_on),
            (Self::Reader(reader), Typed::Card(facility, number)) => reader.show(*facility, *number),
            (Self::Bits, Typed::Card(facility, number)) => {
                let bits = wiegand_26(*facility, *number);
                let text: String = bits.iter().map(|bit| if *bit { '1' } else { '0' }).collect();
                line.write(format!("{text}\r\n").as_bytes());
                say(&text);
            }
            (Self::Bits, Typed::Say(number, _)) if *number < recording.card.len() => {
                let text: String = recording.card[*number].bits.split_whitespace().collect();
                line.write(format!("{text}\r\n").as_bytes());
                say(&text);
            }
            (_, Typed::List) => {
                let frames = recording.frame.iter().filter(|frame| !frame.means.is_empty()).map(|frame| &frame.what);
                let said = frames.chain(recording.card.iter().map(|card| &card.what));
                said.enumerate().for_each(|(number, what)| say(&format!("{number}: {what}")));
            }
            (_, Typed::Say(number, _)) => {
                match recording.frame.iter().filter(|frame| !frame.means.is_empty()).nth(*number) {
                    Some(frame) => {
                        line.write(&unhex(&frame.hex)?);
                        say(&format!("said {number}: {}", frame.what));
                    }
                    None => say("there is no such thing to say; `list`"),
                }
            }
            (Self::Card(_) | Self::Reader(_) | Self::Bits | Self::Recorded(_), Typed::Input(..) | Typed::Card(..)) => {
                say("this device has none");
            }
        }
        Ok(())
    }
}

impl Recorded {
    pub fn of(recording: &Recording) -> Result<Self> {
        let mut answers = Vec::new();
        for bus in &recording.bus {
            answers.push((unhex(&bus.writes)?, unhex(&bus.answer)?));
        }
        for asked in &recording.frame {
            let Some(command) = &asked.command else { continue };
            let answer = recording
                .frame
                .iter()
                .find(|frame| frame.answers.as_ref() == Some(command) && frame.refused.is_none())
                .map_or(Ok(Vec::new()), |frame| unhex(&frame.hex))?;
            answers.push((unhex(&asked.hex)?, answer));
        }
        Ok(Self { answers })
    }

    fn next(&self, waiting: &mut Vec<u8>, is_quiet: bool) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
        if waiting.is_empty() {
            return None;
        }
        let known = self.answers.iter().find(|(request, _)| waiting.starts_with(request));
        match known {
            Some((request, answer)) => {
                waiting.drain(..request.len());
                Some((request.clone(), (!answer.is_empty()).then(|| answer.clone())))
            }
            None if is_quiet => Some((std::mem::take(waiting), None)),
            None => None,
        }
    }
}
