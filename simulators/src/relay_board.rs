//! A relay and input board on a serial line (Modbus RTU): it closes contacts for a set time and reads loops and switches.
//!
//! The line is a pseudo-terminal, so that the box opens it as it would open a USB adapter.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::Errno;
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{OptionalActions, ioctl_tiocnxcl, tcgetattr, tcsetattr};
use tokio::sync::{mpsc, watch};

use crate::faults::{Fault, Faults, Suffers};
use crate::modbus::{self, Framing, Reaction, Registers};
pub use crate::modbus::{Dialect, Effect};

/// Silence after which a frame is over; on a pseudo-terminal a frame arrives at once or in a few pieces.
const FRAME_GAP: Duration = Duration::from_millis(20);
/// How often an idle board looks after its line.
const IDLE: Duration = Duration::from_millis(200);
/// Reports waiting for the world; a board that is polled 20 times a second fills it in ten seconds.
const REPORTS_QUEUED: usize = 256;
/// How long a loop stays as it is, at most, for a box that does not ask for inputs: longer than a box needs to start
/// again, because a vehicle that drove over the loops meanwhile would be one that the box cannot know of.
const POLL_PATIENCE: Duration = Duration::from_secs(5);

/// How late an answer of a card or reader is that comes too late: longer than a box waits for one.
pub(crate) const LATE: Duration = Duration::from_millis(400);
/// The same of a board, for which a box waits 200 ms: well within its next question, so that one late answer is noise and
/// never three faults in a row, which is a board that is lost.
const LATE_OF_BOARD: Duration = Duration::from_millis(300);
/// How long a device is deaf and mute that starts anew.
pub(crate) const STARTS_IN: Duration = Duration::from_millis(1200);

/// How a board is set up.
#[derive(Clone, Copy, Debug)]
pub struct BoardSettings {
    /// Whose habits it has.
    pub dialect: Dialect,
    /// Its address on the line, 1 to 255.
    pub address: u8,
    /// Whether every frame is reported, for a person who watches.
    pub report_frames: bool,
}

/// What a board reports to the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BoardReport {
    /// A command did something to an output.
    Acted(Effect, Instant),
    /// A frame came, and what was answered.
    Frame {
        /// The request as it came.
        request: Vec<u8>,
        /// The answer as it was sent, if any.
        answer: Option<Vec<u8>>,
    },
}

/// What is wrong with a board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BoardFault {
    /// Nothing.
    None,
    /// It acts but never answers.
    Silent,
    /// It acts, and its answers have a wrong checksum.
    WrongChecksum,
    /// It acts, and its answers come twice.
    Doubled,
    /// It acts, and answers when nobody waits any more.
    Late,
}

/// A board on its own pseudo-terminal; it hangs up when it is dropped.
pub struct RelayBoard {
    path: PathBuf,
    shared: Arc<Shared>,
    inputs_read: watch::Receiver<u64>,
    thread: Option<JoinHandle<()>>,
}

impl RelayBoard {
    /// Opens a pseudo-terminal and serves the board on it.
    pub fn open(settings: BoardSettings) -> Result<(Self, mpsc::Receiver<BoardReport>)> {
        let (master, slave, path) = open_line()?;
        let (reports, received) = mpsc::channel(REPORTS_QUEUED);
        let (inputs_counted, inputs_read) = watch::channel(0);
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                registers: Registers::new(settings.dialect, settings.address),
                fault: BoardFault::None,
                fault_of_pulses: BoardFault::None,
                faults: Faults::default(),
                deaf_until: None,
                hung_up: false,
            }),
            bell: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).context("make the board's bell")?,
        });
        let board = Board {
            master,
            slave,
            shared: Arc::clone(&shared),
            reports,
            inputs_counted,
            report_frames: settings.report_frames,
        };
        let thread = std::thread::Builder::new()
            .name("relay-board".to_owned())
            .spawn(move || board.serve())
            .context("start the board's thread")?;
        Ok((Self { path, shared, inputs_read, thread: Some(thread) }, received))
    }

    /// The serial device that the box opens.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Closes or opens the contact at an input, 0 to 7.
    pub fn set_input(&self, input: u8, closed: bool) {
        self.shared.state().registers.set_input(input, closed);
    }

    /// Returns when the box has heard the inputs twice from now on, or gives up on a box that does not ask.
    ///
    /// A vehicle stands on a loop for longer than a box takes to ask; in fast time this keeps it so.
    pub async fn inputs_noticed(&self) {
        let mut counted = self.inputs_read.clone();
        let enough = *counted.borrow() + 2;
        let noticed = counted.wait_for(|count| *count >= enough);
        // A box that is off does not ask, and the vehicle drives on all the same.
        drop(tokio::time::timeout(POLL_PATIENCE, noticed).await);
    }

    /// Breaks or mends the board.
    pub fn set_fault(&self, fault: BoardFault) {
        self.shared.state().fault = fault;
    }

    /// Breaks or mends only what it answers to pulses: it tells its inputs all the same, and is not taken for lost.
    pub fn set_fault_of_pulses(&self, fault: BoardFault) {
        self.shared.state().fault_of_pulses = fault;
    }

    /// What goes wrong with pulses, with reads of inputs and with the answers to them from now on.
    pub fn suffer(&self, faults: Faults) {
        self.shared.state().faults = faults;
    }

    /// Pulls the plug: the box's end of the line hangs up.
    pub fn hang_up(&mut self) {
        self.shared.state().hung_up = true;
        // A bell that already rings cannot be rung louder, and that is just as well.
        let _ = rustix::io::write(&self.shared.bell, &1_u64.to_ne_bytes());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl Drop for RelayBoard {
    fn drop(&mut self) {
        self.hang_up();
    }
}

/// What the board's thread and its owner both touch.
struct Shared {
    state: Mutex<State>,
    bell: OwnedFd,
}

struct State {
    registers: Registers,
    fault: BoardFault,
    /// Instead of the other, where it is one.
    fault_of_pulses: BoardFault,
    faults: Faults,
    /// While it starts anew.
    deaf_until: Option<Instant>,
    hung_up: bool,
}

impl State {
    /// Does what a frame asks, and what is wrong with the answer; none where the board hears nothing.
    fn react(&mut self, frame: &[u8], now: Instant) -> Option<(Reaction, BoardFault)> {
        if self.deaf_until.is_some_and(|until| now < until) {
            return None;
        }
        let reaction = self.registers.react(frame, now);
        let suffers = match reaction.effect {
            Some(Effect::Pulsed { .. }) => Some(Suffers::Words),
            Some(Effect::Switched { .. }) => None,
            None => reaction.read_inputs.then_some(Suffers::Polls),
        };
        let fault = match suffers {
            Some(Suffers::Words) if self.fault_of_pulses != BoardFault::None => self.fault_of_pulses,
            Some(_) | None => self.fault,
        };
        let Some(faults) = suffers.map(|of| self.faults.of_its(of)) else { return Some((reaction, fault)) };
        if faults.strikes(Fault::Reboot) {
            self.deaf_until = Some(now + STARTS_IN);
            self.registers.start_anew();
            return None;
        }
        Some((reaction, of_the_answer(&faults).unwrap_or(fault)))
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The board itself, in its own thread.
struct Board {
    master: OwnedFd,
    /// Kept open, because a master whose slave is closed answers every read with an error at once.
    slave: OwnedFd,
    shared: Arc<Shared>,
    reports: mpsc::Sender<BoardReport>,
    inputs_counted: watch::Sender<u64>,
    report_frames: bool,
}

impl Board {
    fn serve(self) {
        let mut pending = Vec::new();
        while !self.shared.state().hung_up {
            match self.wait(if pending.is_empty() { IDLE } else { FRAME_GAP }) {
                Ok(true) => self.read(&mut pending),
                Ok(false) => self.after_silence(&mut pending),
                Err(error) => return tracing::warn!(%error, "the relay board's line broke"),
            }
        }
    }

    /// Whether there is something to read before the time is over.
    fn wait(&self, at_most: Duration) -> Result<bool, Errno> {
        let mut watched = [PollFd::new(&self.master, PollFlags::IN), PollFd::new(&self.shared.bell, PollFlags::IN)];
        let timeout = Timespec { tv_sec: 0, tv_nsec: i64::from(at_most.subsec_nanos()) };
        match poll(&mut watched, Some(&timeout)) {
            Ok(_) => Ok(watched[0].revents().contains(PollFlags::IN)),
            Err(Errno::INTR) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn read(&self, pending: &mut Vec<u8>) {
        let mut piece = [0; 256];
        let read = rustix::io::read(&self.master, &mut piece).unwrap_or(0);
        pending.extend_from_slice(&piece[..read]);
        loop {
            match modbus::framing(pending) {
                Framing::Complete(length) => {
                    let frame: Vec<u8> = pending.drain(..length).collect();
                    self.take(&frame);
                }
                Framing::Incomplete | Framing::UntilSilence => return,
            }
        }
    }

    fn after_silence(&self, pending: &mut Vec<u8>) {
        if pending.is_empty() {
            // A box that was killed leaves its claim on the line; a real adapter forgets it with the last close.
            let _ = ioctl_tiocnxcl(&self.slave);
            return;
        }
        let frame = std::mem::take(pending);
        self.take(&frame);
    }

    fn take(&self, frame: &[u8]) {
        let now = Instant::now();
        let (reaction, fault) = {
            let mut state = self.shared.state();
            let (reaction, fault) = state.react(frame, now).unwrap_or((Reaction::default(), BoardFault::None));
            if reaction.read_inputs && matches!(fault, BoardFault::None | BoardFault::Doubled) {
                // Before an input can change again: whoever changes one counts the reads from then on.
                self.inputs_counted.send_modify(|count| *count += 1);
            }
            (reaction, fault)
        };
        let answer = reaction.answer.and_then(|answer| spoil(answer, fault));
        if self.report_frames {
            self.report(BoardReport::Frame { request: frame.to_vec(), answer: answer.clone() });
        }
        if let Some(effect) = reaction.effect {
            self.report(BoardReport::Acted(effect, now));
        }
        let Some(answer) = answer else { return };
        if fault == BoardFault::Late {
            be_late(&self.master, LATE_OF_BOARD);
        }
        // A box that does not read its line loses the answer, as on a real line.
        let _ = rustix::io::write(&self.master, &answer);
    }

    fn report(&self, report: BoardReport) {
        if self.reports.try_send(report).is_err() {
            tracing::debug!("nobody looks at the relay board");
        }
    }
}

fn of_the_answer(faults: &Faults) -> Option<BoardFault> {
    let all = [
        (Fault::Lost, BoardFault::Silent),
        (Fault::Corrupted, BoardFault::WrongChecksum),
        (Fault::Duplicated, BoardFault::Doubled),
        (Fault::Late, BoardFault::Late),
    ];
    all.into_iter().find(|(fault, _)| faults.strikes(*fault)).map(|(_, of_answer)| of_answer)
}

fn spoil(mut answer: Vec<u8>, fault: BoardFault) -> Option<Vec<u8>> {
    match fault {
        BoardFault::None | BoardFault::Late => Some(answer),
        BoardFault::Silent => None,
        BoardFault::Doubled => Some(answer.repeat(2)),
        BoardFault::WrongChecksum => {
            if let Some(last) = answer.last_mut() {
                *last ^= 0xFF;
            }
            Some(answer)
        }
    }
}

/// Lets the time pass in which a box waits for an answer. A device that is busy for so long hears nothing meanwhile; else it
/// would go on answering what nobody asks any more.
pub(crate) fn be_late(master: &OwnedFd, so_long: Duration) {
    let late = Timespec { tv_sec: 0, tv_nsec: i64::from(so_long.subsec_nanos()) };
    // Nothing is watched: only the time ends it, and a signal that ends it sooner makes an answer that is less late.
    let _ = poll(&mut [], Some(&late));
    let mut piece = [0; 256];
    while matches!(rustix::io::read(master, &mut piece), Ok(1..)) {}
}

/// Both ends of a raw pseudo-terminal, and the path of the end that the box opens.
pub(crate) fn open_line() -> Result<(OwnedFd, OwnedFd, PathBuf)> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = openpt(flags).context("open a pseudo-terminal")?;
    grantpt(&master).context("grant the pseudo-terminal")?;
    unlockpt(&master).context("unlock the pseudo-terminal")?;
    let path = rustix::pty::ptsname(&master, Vec::new()).context("ask for the pseudo-terminal's name")?;
    let slave = ioctl_tiocgptpeer(&master, flags).context("open the pseudo-terminal's other end")?;
    for end in [&master, &slave] {
        // Cooked mode would echo the box's bytes back to it and change carriage returns.
        let mut mode = tcgetattr(end).context("read the pseudo-terminal's mode")?;
        mode.make_raw();
        tcsetattr(end, OptionalActions::Now, &mode).context("make the pseudo-terminal raw")?;
    }
    fcntl_setfl(&master, OFlags::NONBLOCK | OFlags::RDWR).context("make the line non-blocking")?;
    let path = path.into_string().context("read the pseudo-terminal's name")?;
    Ok((master, slave, PathBuf::from(path)))
}

#[cfg(test)]
mod tests {
    use std::fs::{File, OpenOptions};
    use std::io::{Read, Write};

    use super::*;

    const RAISE: [u8; 8] = [0x01, 0x05, 0x02, 0x00, 0x00, 0x05, 0x0C, 0x71];
    const READ_INPUTS: [u8; 8] = [0x01, 0x02, 0x00, 0x00, 0x00, 0x08, 0x79, 0xCC];

    #[test]
    fn a_pulse_is_echoed_and_reported() {
        let (board, mut reports) = open();
        let mut line = plug_in(&board);
        line.write_all(&RAISE).unwrap();
        assert_eq!(answer::<8>(&mut line), RAISE);
        let Some(BoardReport::Acted(effect, _)) = reports.blocking_recv() else { panic!("a report") };
        assert_eq!(effect, Effect::Pulsed { output: 0, duration_ms: 500 });
    }

    #[test]
    fn a_frame_in_pieces_and_two_frames_at_once_are_all_answered() {
        let (board, _reports) = open();
        let mut line = plug_in(&board);
        line.write_all(&RAISE[..3]).unwrap();
        line.write_all(&RAISE[3..]).unwrap();
        assert_eq!(answer::<8>(&mut line), RAISE);
        line.write_all(&[RAISE, RAISE].concat()).unwrap();
        assert_eq!(answer::<16>(&mut line).to_vec(), [RAISE, RAISE].concat());
    }

    #[test]
    fn inputs_are_read_as_the_world_sets_them() {
        let (board, _reports) = open();
        let mut line = plug_in(&board);
        board.set_input(0, true);
        board.set_input(2, true);
        line.write_all(&READ_INPUTS).unwrap();
        assert_eq!(answer::<6>(&mut line), [0x01, 0x02, 0x01, 0x05, 0x61, 0x8B]);
        assert_eq!(*board.inputs_read.borrow(), 1);
    }

    #[test]
    fn a_wrong_checksum_gets_no_answer_and_the_next_frame_does() {
        let (board, mut reports) = open_reporting();
        let mut line = plug_in(&board);
        line.write_all(&[0x01, 0x05, 0x02, 0x00, 0x00, 0x05, 0x0C, 0x72]).unwrap();
        line.write_all(&READ_INPUTS).unwrap();
        assert_eq!(answer::<6>(&mut line)[..2], [0x01, 0x02]);
        let Some(BoardReport::Frame { answer, .. }) = reports.blocking_recv() else { panic!("a report") };
        assert_eq!(answer, None);
    }

    #[test]
    fn a_faulty_board_acts_and_spoils_its_answer() {
        let (board, mut reports) = open();
        let mut line = plug_in(&board);
        board.set_fault(BoardFault::WrongChecksum);
        line.write_all(&RAISE).unwrap();
        assert_eq!(answer::<8>(&mut line), [0x01, 0x05, 0x02, 0x00, 0x00, 0x05, 0x0C, 0x71 ^ 0xFF]);
        board.set_fault(BoardFault::Silent);
        line.write_all(&RAISE).unwrap();
        for _ in 0..2 {
            assert!(matches!(reports.blocking_recv(), Some(BoardReport::Acted(Effect::Pulsed { .. }, _))));
        }
        board.set_fault(BoardFault::None);
        line.write_all(&READ_INPUTS).unwrap();
        assert_eq!(answer::<6>(&mut line)[..2], [0x01, 0x02]);
    }

    #[test]
    fn reads_of_inputs_suffer_like_pulses() {
        for (fault, answered) in [
            (Fault::Lost, Some(BoardFault::Silent)),
            (Fault::Corrupted, Some(BoardFault::WrongChecksum)),
            (Fault::Late, Some(BoardFault::Late)),
            (Fault::Duplicated, Some(BoardFault::Doubled)),
            (Fault::Reboot, None),
        ] {
            let (board, _reports) = open();
            let faults = Faults::of([fault]);
            board.suffer(faults.clone());
            let mut state = board.shared.state();
            let struck = loop {
                let found = state.react(&READ_INPUTS, Instant::now()).map(|(_, fault)| fault);
                if faults.suffered()[&Suffers::Polls][fault.name()] > 0 {
                    break found;
                }
                assert_eq!(found, Some(BoardFault::None), "{fault:?} before its time");
            };
            assert_eq!(struck, answered);
            assert_eq!(state.react(&RAISE, Instant::now()).is_none(), fault == Fault::Reboot, "deaf for a while");
            assert!(state.react(&READ_INPUTS, Instant::now() + STARTS_IN).is_some(), "and there again");
        }
    }

    #[test]
    fn the_box_has_noticed_what_it_could_hear() {
        let (board, mut reports) = open_reporting();
        let mut line = plug_in(&board);
        for (fault, noticed) in [(BoardFault::Silent, 0), (BoardFault::WrongChecksum, 0), (BoardFault::None, 1)] {
            board.set_fault(fault);
            line.write_all(&READ_INPUTS).unwrap();
            assert!(matches!(reports.blocking_recv(), Some(BoardReport::Frame { .. })), "it has come");
            board.set_fault(BoardFault::None);
            if fault != BoardFault::Silent {
                answer::<6>(&mut line);
            }
            line.write_all(&RAISE).unwrap();
            answer::<8>(&mut line);
            while !matches!(reports.blocking_recv(), Some(BoardReport::Acted(..))) {}
            assert_eq!(*board.inputs_read.borrow(), noticed, "{fault:?}");
        }
    }

    #[test]
    fn the_line_can_be_opened_again_and_hangs_up_with_its_board() {
        let (mut board, _reports) = open();
        drop(plug_in(&board));
        let mut line = plug_in(&board);
        line.write_all(&RAISE).unwrap();
        assert_eq!(answer::<8>(&mut line), RAISE);
        board.hang_up();
        assert!(!matches!(line.read(&mut [0; 8]), Ok(1..)), "a line that hung up has nothing to say");
    }

    fn open() -> (RelayBoard, mpsc::Receiver<BoardReport>) {
        RelayBoard::open(BoardSettings { dialect: Dialect::Waveshare, address: 1, report_frames: false }).unwrap()
    }

    fn open_reporting() -> (RelayBoard, mpsc::Receiver<BoardReport>) {
        RelayBoard::open(BoardSettings { dialect: Dialect::Waveshare, address: 1, report_frames: true }).unwrap()
    }

    fn plug_in(board: &RelayBoard) -> File {
        OpenOptions::new().read(true).write(true).open(board.path()).unwrap()
    }

    /// The next bytes of the line, or a failure where they do not come.
    fn answer<const N: usize>(line: &mut File) -> [u8; N] {
        let mut answer = [0; N];
        let mut read = 0;
        while read < N {
            let patience = Timespec { tv_sec: 5, tv_nsec: 0 };
            let ready = poll(&mut [PollFd::new(line, PollFlags::IN)], Some(&patience)).unwrap();
            assert_eq!(ready, 1, "the line says no more after {:02X?}", &answer[..read]);
            read += line.read(&mut answer[read..]).unwrap();
        }
        answer
    }
}
