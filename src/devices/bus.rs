//! A bus with relay and input boards: inputs are read in turn, and a raise goes out between two reads.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::contacts::Contacts;
use super::order::{Order, Outcome};
use super::planning::{BoardPlan, BusPlan};
use super::pulse::AWAY;
use super::serial::{Fault, Port, Reopening};
use super::submitting::Delivery;
use super::wiring::Wiring;
use crate::metrics::{Metrics, Trouble};
use crate::profile::modbus::{Answer, ModbusCodec, Request};

/// One fault is noise on the line; three in a row are a board without power.
const FAULTS_UNTIL_LOST: u32 = 3;
/// A lost board is asked this seldom, so that its silence does not hold up the others; still often enough that a short loss is
/// over before staff are told of it.
const LOST_POLL: Duration = Duration::from_secs(1);
const _: () = assert!(LOST_POLL.as_millis() < AWAY.as_millis(), "a short loss would be told");

/// One line and its boards.
pub struct Bus {
    boards: Vec<Board>,
    reopening: Reopening,
    deliveries: mpsc::Sender<Delivery>,
    metrics: Arc<Metrics>,
}

struct Board {
    codec: ModbusCodec,
    wiring: Wiring,
    contacts: Contacts,
    polls: Vec<Poll>,
    faults: u32,
    is_lost: bool,
}

struct Poll {
    request: Request,
    /// The first input's number; none where what is read is told to nobody.
    first: Option<u16>,
    every: Duration,
    due: Instant,
}

impl Bus {
    /// The bus as the settings plan it.
    pub fn new(plan: BusPlan, deliveries: mpsc::Sender<Delivery>, metrics: Arc<Metrics>) -> Self {
        let boards = plan.boards.into_iter().map(Board::new).collect();
        let reopening = Reopening::new(plan.id, plan.wire, Arc::clone(&metrics));
        Self { boards, reopening, deliveries, metrics }
    }

    /// Opens the port, serves the boards, and opens it again when it is lost, until the loop is gone.
    pub async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        loop {
            let fault = match self.reopening.open().await {
                Ok(mut port) => match self.serve(&mut port, &mut orders).await {
                    Some(fault) => fault,
                    None => return,
                },
                Err(fault) => fault,
            };
            let until = self.reopening.closed(&fault);
            if !self.refuse_until(until, &mut orders).await {
                return;
            }
        }
    }

    /// Commands that come while the port is closed are answered at once; none waits for it.
    async fn refuse_until(&mut self, end: Instant, orders: &mut mpsc::Receiver<Order>) -> bool {
        loop {
            tokio::select! {
                asked = orders.recv() => match asked {
                    Some(order) => self.end(order, Outcome::not_sent("the port is not there")).await,
                    None => return false,
                },
                () = sleep_until(end) => return !self.deliveries.is_closed(),
            }
        }
    }

    /// Until the port is lost, or `None` when the loop is gone.
    async fn serve(&mut self, port: &mut Port, orders: &mut mpsc::Receiver<Order>) -> Option<Fault> {
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
                asked = orders.recv() => self.obey(port, asked?).await,
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
            if port.may_be_dead() && !self.boards.is_empty() && self.boards.iter().all(|board| board.is_lost) {
                return Some(Fault::Silent);
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
        let framing = board.codec.framing();
        let answer = match port.write(&request, framing).await {
            Ok(_) => port.answer(&request, framing, within).await,
            Err(fault) => Err(fault),
        };
        match answer {
            Ok(Answer::Inputs(levels)) => {
                board.answers(self.reopening.link(), &self.metrics);
                if let Some(first) = first {
                    let now = Instant::now();
                    board.contacts.read(first, levels, now);
                    board.contacts.tell(&board.wiring, &self.deliveries, now);
                }
                Ok(())
            }
            Ok(Answer::Echo | Answer::Refused(_)) => {
                self.metrics.rejected("devices", "poll-refused");
                board.refuses(self.reopening.link(), &self.metrics);
                Ok(())
            }
            Err(fault @ Fault::Lost(_)) => Err(fault),
            Err(fault) => {
                self.metrics.rejected("devices", fault.name());
                board.fails(self.reopening.link(), &fault, &self.metrics);
                Ok(())
            }
        }
    }

    /// One frame, once. A broken or missing answer leaves the outcome unknown; nothing is repeated here.
    async fn obey(&mut self, port: &mut Port, order: Order) -> Result<(), Fault> {
        let Some(board) = self.boards.iter_mut().find(|board| board.wiring.device == order.device) else {
            self.end(order, Outcome::not_sent("the device is not on this link")).await;
            return Ok(());
        };
        if board.is_lost {
            self.end(order, Outcome::not_sent("the board does not answer")).await;
            return Ok(());
        }
        let request = match board.codec.encode(&order.command, &order.args) {
            Ok(request) => request,
            Err(error) => {
                self.end(order, Outcome::NotSent(error.to_string())).await;
                return Ok(());
            }
        };
        let within = board.reply_within();
        let framing = board.codec.framing();
        let answer = match port.write(&request, framing).await {
            Ok(at) => {
                order.sent(&self.metrics, at);
                port.answer(&request, framing, within).await
            }
            Err(fault) => Err(fault),
        };
        let (outcome, lost) = match answer {
            Ok(Answer::Echo) => {
                board.answers(self.reopening.link(), &self.metrics);
                (Outcome::Taken, None)
            }
            Ok(Answer::Refused(reason)) => (Outcome::Refused(format!("exception {reason}")), None),
            Ok(Answer::Inputs(_)) => (Outcome::silent("it answers something else"), None),
            Err(fault) => {
                self.metrics.rejected("devices", fault.name());
                board.fails(self.reopening.link(), &fault, &self.metrics);
                (Outcome::Silent(fault.to_string()), matches!(fault, Fault::Lost(_)).then_some(fault))
            }
        };
        self.end(order, outcome).await;
        lost.map_or(Ok(()), Err)
    }

    async fn end(&self, order: Order, outcome: Outcome) {
        if let Some(input) = order.end(outcome, &self.metrics) {
            // Without the loop nobody is left to tell.
            let _ = self.deliveries.send(Delivery { inputs: vec![input], ..Delivery::default() }).await;
        }
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
            contacts: Contacts::new(plan.debounce_ms),
            faults: 0,
            is_lost: false,
        }
    }

    fn reply_within(&self) -> Duration {
        Duration::from_millis(self.codec.reply_timeout_ms())
    }

    /// After a pause nothing is known: the first levels are news again.
    fn start_anew(&mut self) {
        self.contacts.forget();
        self.faults = 0;
        for poll in &mut self.polls {
            poll.due = Instant::now();
        }
    }

    fn answers(&mut self, link: &str, metrics: &Metrics) {
        metrics.health.heard(self.wiring.device.as_str());
        self.faults = 0;
        if self.is_lost {
            self.is_lost = false;
            self.contacts.forget();
            tracing::info!(link, device = %self.wiring.device, "the board answers again");
        }
    }

    fn fails(&mut self, link: &str, fault: &Fault, metrics: &Metrics) {
        let trouble = if matches!(fault, Fault::Bad(_)) { Trouble::Garbled } else { Trouble::Silent };
        metrics.health.fails(self.wiring.device.as_str(), trouble);
        self.gives_up(link, &fault.to_string());
    }

    fn refuses(&mut self, link: &str, metrics: &Metrics) {
        metrics.health.fails(self.wiring.device.as_str(), Trouble::Refused);
        self.gives_up(link, "it refuses to tell its inputs");
    }

    fn gives_up(&mut self, link: &str, why: &str) {
        self.faults += 1;
        if self.faults >= FAULTS_UNTIL_LOST && !self.is_lost {
            self.is_lost = true;
            tracing::warn!(link, device = %self.wiring.device, why, "the board is lost");
        }
    }
}
