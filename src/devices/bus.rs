//! A serial bus with relay and input boards: inputs are read in turn, and a raise goes out between two reads.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::Raise;
use super::planning::{BoardPlan, BusPlan};
use super::serial::{Fault, Port};
use super::submitting::{Delivery, answered};
use super::wiring::Wiring;
use crate::domain::event::CommandAnswer;
use crate::metrics::Metrics;
use crate::profile::language::RAISE;
use crate::profile::modbus::{Answer, ModbusCodec, Request};

/// One fault is noise on the line; three in a row are a board without power.
const FAULTS_UNTIL_LOST: u32 = 3;
/// A lost board is asked this seldom, so that its silence does not hold up the others.
const LOST_POLL: Duration = Duration::from_secs(1);
/// The first pause before the port is opened again, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// One serial line and its boards.
pub struct Bus {
    plan: BusPlan,
    boards: Vec<Board>,
    deliveries: mpsc::Sender<Delivery>,
    metrics: Arc<Metrics>,
}

struct Board {
    codec: ModbusCodec,
    wiring: Wiring,
    debounce: Duration,
    polls: Vec<Poll>,
    inputs: BTreeMap<u16, Contact>,
    faults: u32,
    is_lost: bool,
}

struct Poll {
    request: Request,
    first: u16,
    every: Duration,
    due: Instant,
}

/// An input: what the loop was told, and since when it has been what it is.
struct Contact {
    told: Option<bool>,
    is_on: bool,
    since: Instant,
}

impl Bus {
    /// The bus as the settings plan it.
    pub fn new(plan: BusPlan, deliveries: mpsc::Sender<Delivery>, metrics: Arc<Metrics>) -> Self {
        let boards = plan.boards.iter().cloned().map(Board::new).collect();
        Self { plan, boards, deliveries, metrics }
    }

    /// Opens the port, serves the boards, and opens it again when it is lost, until the loop is gone.
    pub async fn run(mut self, mut raises: mpsc::Receiver<Raise>) {
        let mut pause = PAUSE.0;
        let mut was_up = true;
        loop {
            self.metrics.link_up(&self.plan.id, false);
            let why = match Port::open(&self.plan.path, self.plan.baud, self.plan.parity) {
                Ok(mut port) => {
                    tracing::info!(link = self.plan.id, boards = self.boards.len(), "the serial port is open");
                    self.metrics.link_up(&self.plan.id, true);
                    (pause, was_up) = (PAUSE.0, true);
                    match self.serve(&mut port, &mut raises).await {
                        Some(fault) => fault.to_string(),
                        None => return,
                    }
                }
                Err(error) => error.to_string(),
            };
            self.metrics.link_up(&self.plan.id, false);
            if was_up {
                tracing::warn!(link = self.plan.id, why, "the serial port is not there; trying again");
                was_up = false;
            }
            if !self.refuse_until(Instant::now() + pause, &mut raises).await {
                return;
            }
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    /// Raises that come while the port is closed are answered at once; none waits for it.
    async fn refuse_until(&mut self, end: Instant, raises: &mut mpsc::Receiver<Raise>) -> bool {
        loop {
            tokio::select! {
                asked = raises.recv() => match asked {
                    Some(raise) => self.answer(raise, silent("the serial port is not there")).await,
                    None => return false,
                },
                () = sleep_until(end) => return !self.deliveries.is_closed(),
            }
        }
    }

    /// Until the port is lost, or `None` when the loop is gone.
    async fn serve(&mut self, port: &mut Port, raises: &mut mpsc::Receiver<Raise>) -> Option<Fault> {
        for board in &mut self.boards {
            board.start_anew();
        }
        loop {
            let next = self.next_poll();
            let due = next.map(|(_, _, due)| due);
            let turn = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            let outcome = tokio::select! {
                biased;
                asked = raises.recv() => self.raise(port, asked?).await,
                () = turn => match next {
                    Some((board, poll, _)) => self.poll(port, board, poll).await,
                    None => Ok(()),
                },
            };
            if let Err(fault) = outcome {
                return Some(fault);
            }
            if self.deliveries.is_closed() {
                return None;
            }
        }
    }

    fn next_poll(&self) -> Option<(usize, usize, Instant)> {
        let of_board = |(board, words): (usize, &Board)| {
            words.polls.iter().enumerate().map(move |(poll, words)| (board, poll, words.due)).collect::<Vec<_>>()
        };
        self.boards.iter().enumerate().flat_map(of_board).min_by_key(|(_, _, due)| *due)
    }

    async fn poll(&mut self, port: &mut Port, board: usize, poll: usize) -> Result<(), Fault> {
        let board = &mut self.boards[board];
        let words = &mut board.polls[poll];
        let (request, first) = (words.request.clone(), words.first);
        words.due = Instant::now() + if board.is_lost { LOST_POLL } else { words.every };
        let within = board.reply_within();
        let answer = match port.write(&request).await {
            Ok(_) => port.answer(&request, within).await,
            Err(fault) => Err(fault),
        };
        match answer {
            Ok(Answer::Inputs(levels)) => {
                board.answers(&self.plan.id);
                board.read(first, &levels);
                board.tell(&self.deliveries);
                Ok(())
            }
            Ok(Answer::Echo | Answer::Refused(_)) => {
                self.metrics.rejected("devices", "poll-refused");
                board.fails(&self.plan.id, "it refuses to tell its inputs");
                Ok(())
            }
            Err(fault @ Fault::Lost(_)) => Err(fault),
            Err(fault) => {
                self.metrics.rejected("devices", fault.name());
                board.fails(&self.plan.id, &fault.to_string());
                Ok(())
            }
        }
    }

    /// One frame, once. A broken or missing answer leaves the outcome unknown; the raise is not repeated.
    async fn raise(&mut self, port: &mut Port, raise: Raise) -> Result<(), Fault> {
        let Some(board) = self.boards.iter_mut().find(|board| board.wiring.device == raise.device) else {
            self.answer(raise, silent("the device is not on this link")).await;
            return Ok(());
        };
        if board.is_lost {
            self.answer(raise, silent("the board does not answer")).await;
            return Ok(());
        }
        let Ok(request) = board.codec.encode(RAISE, &raise.args) else {
            self.answer(raise, silent("the profile cannot raise")).await;
            return Ok(());
        };
        let within = board.reply_within();
        let answer = match port.write(&request).await {
            Ok(at) => {
                self.metrics.raise_sent(raise.lane.as_str(), raise.of_read, at);
                tracing::info!(lane = %raise.lane, command = %raise.command, device = %raise.device, "raising the barrier");
                port.answer(&request, within).await
            }
            Err(fault) => Err(fault),
        };
        let (answer, lost) = match answer {
            Ok(Answer::Echo) => {
                board.answers(&self.plan.id);
                (CommandAnswer::Accepted, None)
            }
            Ok(Answer::Refused(reason)) => (CommandAnswer::Refused(format!("exception {reason}")), None),
            Ok(Answer::Inputs(_)) => (silent("it answers something else"), None),
            Err(fault) => {
                self.metrics.rejected("devices", fault.name());
                board.fails(&self.plan.id, &fault.to_string());
                (silent(&fault.to_string()), matches!(fault, Fault::Lost(_)).then_some(fault))
            }
        };
        self.answer(raise, answer).await;
        lost.map_or(Ok(()), Err)
    }

    async fn answer(&self, raise: Raise, answer: CommandAnswer) {
        let input = answered(&self.metrics, raise.lane, raise.command, answer);
        // Without the loop nobody is left to tell.
        let _ = self.deliveries.send(Delivery { inputs: vec![input], receipt: None }).await;
    }
}

impl Board {
    fn new(plan: BoardPlan) -> Self {
        let due = Instant::now();
        let polls = plan.codec.polls().into_iter().map(|(request, first, every_ms)| {
            let every = Duration::from_millis(plan.poll_ms.unwrap_or(every_ms));
            Poll { request, first, every, due }
        });
        Self {
            polls: polls.collect(),
            codec: plan.codec,
            wiring: plan.wiring,
            debounce: Duration::from_millis(u64::from(plan.debounce_ms)),
            inputs: BTreeMap::new(),
            faults: 0,
            is_lost: false,
        }
    }

    fn reply_within(&self) -> Duration {
        Duration::from_millis(self.codec.reply_timeout_ms())
    }

    /// After a pause nothing is known: the first levels are news again.
    fn start_anew(&mut self) {
        self.inputs.clear();
        self.faults = 0;
        for poll in &mut self.polls {
            poll.due = Instant::now();
        }
    }

    fn answers(&mut self, link: &str) {
        self.faults = 0;
        if self.is_lost {
            self.is_lost = false;
            self.inputs.clear();
            tracing::info!(link, device = %self.wiring.device, "the board answers again");
        }
    }

    fn fails(&mut self, link: &str, why: &str) {
        self.faults += 1;
        if self.faults >= FAULTS_UNTIL_LOST && !self.is_lost {
            self.is_lost = true;
            tracing::warn!(link, device = %self.wiring.device, why, "the board is lost");
        }
    }

    fn read(&mut self, first: u16, levels: &[bool]) {
        let now = Instant::now();
        for (number, is_on) in (first..).zip(levels) {
            let contact = self.inputs.entry(number).or_insert(Contact { told: None, is_on: *is_on, since: now });
            if contact.is_on != *is_on {
                (contact.is_on, contact.since) = (*is_on, now);
            }
        }
    }

    /// What has been steady for long enough and is news. Where the loop is behind, it is told with a later poll.
    fn tell(&mut self, deliveries: &mpsc::Sender<Delivery>) {
        let now = Instant::now();
        for (number, contact) in &mut self.inputs {
            let is_steady = now.duration_since(contact.since) >= self.debounce;
            if contact.told == Some(contact.is_on) || !is_steady {
                continue;
            }
            let Some(input) = self.wiring.level(*number, contact.is_on) else { continue };
            if deliveries.try_send(Delivery { inputs: vec![input], receipt: None }).is_ok() {
                contact.told = Some(contact.is_on);
            }
        }
    }
}

fn silent(why: &str) -> CommandAnswer {
    CommandAnswer::Silent(why.to_owned())
}
