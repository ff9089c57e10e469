//! A line with devices that speak in frames of their own: asked in turn, told what to do between two questions, and heard
//! whenever they speak by themselves.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use super::contacts::Contacts;
use super::order::{Order, Outcome};
use super::planning::{FramedPlan, LinePlan};
use super::serial::{Fault, Port, Reopening};
use super::submitting::{self, Delivery};
use super::tunnel::Tunnel;
use super::wiring::Wiring;
use super::{Clock, Sparing};
use crate::metrics::{Metrics, Trouble};
use crate::profile::framing::{Framing, Waiting};
use crate::profile::serial::{Outgoing, SerialCodec};
use crate::profile::statement::{DeviceAnswer, Rejection, Statement};
use crate::profile::template::Values;

/// One fault is noise on the line; three in a row are a device without power.
const FAULTS_UNTIL_LOST: u32 = 3;
/// A lost device is asked this seldom, so that its silence does not hold up the others.
const LOST_POLL: Duration = Duration::from_secs(1);
/// What came before a question is read in so many pieces; a line that brings more is noise.
const STALE_READS_MAX: usize = 64;

/// One line and its devices, all of one profile.
pub struct Line {
    framing: Framing,
    devices: Vec<Device>,
    reopening: Reopening,
    waiting: Waiting,
    heard_at: Instant,
    deliveries: mpsc::Sender<Delivery>,
    now: Clock,
    metrics: Arc<Metrics>,
    warned: Sparing,
}

struct Device {
    codec: SerialCodec,
    wiring: Wiring,
    contacts: Contacts,
    polls: Vec<Poll>,
    faults: u32,
    is_lost: bool,
}

struct Poll {
    outgoing: Outgoing,
    every: Duration,
    due: Instant,
}

/// What came of a frame that was sent.
enum Told {
    /// The device answered.
    Answered(DeviceAnswer),
    /// It never answers such a frame.
    Unconfirmed,
    /// Its answer did not come in time.
    Silent,
}

impl Line {
    /// The line as the settings plan it; `None` where no device hangs on it.
    pub fn new(
        plan: LinePlan,
        tunnel: Option<Tunnel>,
        deliveries: mpsc::Sender<Delivery>,
        now: Clock,
        metrics: Arc<Metrics>,
    ) -> Option<Self> {
        let framing = plan.devices.first()?.codec.framing().clone();
        // Each question is two messages of the other device: none is asked unless the settings want it.
        let asks = |device: &FramedPlan| tunnel.is_none() || device.poll_ms.is_some();
        Some(Self {
            framing,
            devices: plan.devices.into_iter().map(|device| Device::new(asks(&device), device)).collect(),
            reopening: Reopening::new(plan.id, plan.wire, Arc::clone(&metrics)).through(tunnel),
            waiting: Waiting::default(),
            heard_at: Instant::now(),
            deliveries,
            now,
            metrics,
            warned: Sparing::default(),
        })
    }

    /// Opens the port, serves the devices, and opens it again when it is lost, until the loop is gone.
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
        self.waiting = Waiting::default();
        for device in &mut self.devices {
            device.start_anew();
        }
        loop {
            let next = self.next_poll();
            let turn = at(next.map(|(_, _, due)| due));
            let quiet = at((!self.waiting.is_empty()).then(|| self.heard_at + self.gap()));
            let outcome = tokio::select! {
                biased;
                asked = orders.recv() => self.obey(port, asked?).await,
                () = turn => match next {
                    Some((device, poll, _)) => self.poll(port, device, poll).await,
                    None => Ok(()),
                },
                heard = port.hear() => match heard {
                    Ok(bytes) => {
                        for frame in self.frames(&bytes) {
                            self.says(&frame).await;
                        }
                        Ok(())
                    }
                    Err(fault) => Err(fault),
                },
                () = quiet => {
                    if let Some(frame) = self.cut_off() {
                        self.says(&frame).await;
                    }
                    Ok(())
                }
            };
            if let Err(fault) = outcome {
                return Some(fault);
            }
            if self.deliveries.is_closed() {
                return None;
            }
            if port.may_be_dead() && self.devices.iter().all(|device| device.is_lost) {
                return Some(Fault::Silent);
            }
        }
    }

    fn next_poll(&self) -> Option<(usize, usize, Instant)> {
        let of_device = |(device, words): (usize, &Device)| {
            words.polls.iter().enumerate().map(move |(poll, words)| (device, poll, words.due)).collect::<Vec<_>>()
        };
        self.devices.iter().enumerate().flat_map(of_device).min_by_key(|(_, _, due)| *due)
    }

    async fn poll(&mut self, port: &mut Port, device: usize, poll: usize) -> Result<(), Fault> {
        let is_lost = self.devices[device].is_lost;
        let words = &mut self.devices[device].polls[poll];
        words.due = Instant::now() + if is_lost { LOST_POLL } else { words.every };
        let outgoing = words.outgoing.clone();
        let (_, told) = self.tell(port, device, &outgoing).await?;
        let (link, metrics) = (self.reopening.link(), &self.metrics);
        match told {
            Told::Answered(DeviceAnswer { taken: Ok(()), .. }) => self.devices[device].answers(link, metrics),
            Told::Answered(DeviceAnswer { taken: Err(why), .. }) => {
                metrics.rejected("devices", "poll-refused");
                self.devices[device].fails(link, &why, Trouble::Refused, metrics);
            }
            Told::Silent => {
                metrics.rejected("devices", "no-answer");
                self.devices[device].fails(link, "no answer in time", Trouble::Silent, metrics);
            }
            // Such a poll is not asked at all.
            Told::Unconfirmed => {}
        }
        Ok(())
    }

    /// One frame, once. A missing answer leaves the outcome unknown; nothing is repeated here.
    async fn obey(&mut self, port: &mut Port, order: Order) -> Result<(), Fault> {
        let Some(device) = self.devices.iter().position(|device| device.wiring.device == order.device) else {
            self.end(order, Outcome::not_sent("the device is not on this link")).await;
            return Ok(());
        };
        if self.devices[device].is_lost {
            self.end(order, Outcome::not_sent("the device does not answer")).await;
            return Ok(());
        }
        let outgoing = match self.devices[device].codec.encode(&order.command, &order.args) {
            Ok(outgoing) => outgoing,
            Err(error) => {
                self.end(order, Outcome::NotSent(error.to_string())).await;
                return Ok(());
            }
        };
        let (outcome, lost) = match self.tell(port, device, &outgoing).await {
            Ok((at, told)) => {
                order.sent(&self.metrics, at);
                (self.outcome(device, told), None)
            }
            Err(fault) => (Outcome::Silent(fault.to_string()), Some(fault)),
        };
        self.end(order, outcome).await;
        lost.map_or(Ok(()), Err)
    }

    fn outcome(&mut self, device: usize, told: Told) -> Outcome {
        let (link, metrics) = (self.reopening.link(), &self.metrics);
        match told {
            Told::Answered(answer) => {
                self.devices[device].answers(link, metrics);
                answer.into()
            }
            Told::Unconfirmed => Outcome::Unconfirmed("sent to a device that confirms nothing".to_owned()),
            Told::Silent => {
                metrics.rejected("devices", "no-answer");
                self.devices[device].fails(link, "no answer in time", Trouble::Silent, metrics);
                Outcome::silent("no answer in time")
            }
        }
    }

    /// Writes a frame and waits for its answer; what devices say meanwhile is heard.
    async fn tell(
        &mut self,
        port: &mut Port,
        device: usize,
        outgoing: &Outgoing,
    ) -> Result<(std::time::Instant, Told), Fault> {
        // An answer that came after its time must not pass for this one's.
        for _ in 0..STALE_READS_MAX {
            let bytes = port.arrived()?;
            if bytes.is_empty() {
                break;
            }
            for frame in self.frames(&bytes) {
                self.says(&frame).await;
            }
        }
        let at = port.send(&outgoing.frame).await?;
        let Some(within) = outgoing.answer_within_ms else { return Ok((at, Told::Unconfirmed)) };
        let until = Instant::now() + Duration::from_millis(within) + port.detour();
        loop {
            let quiet = self.heard_at + self.gap();
            let end = if self.waiting.is_empty() { until } else { until.min(quiet) };
            let frames = match timeout(end.saturating_duration_since(Instant::now()), port.hear()).await {
                Ok(bytes) => self.frames(&bytes?),
                Err(_) if self.waiting.is_empty() => return Ok((at, Told::Silent)),
                Err(_) => self.cut_off().into_iter().collect(),
            };
            let mut answer = None;
            for frame in frames {
                match self.devices[device].codec.answered(&outgoing.command, &frame) {
                    Ok(Some(found)) if answer.is_none() => {
                        answer = Some(found);
                        // The answer to a question says something besides.
                        self.also_says(device, &frame).await;
                    }
                    Ok(_) | Err(_) => self.says(&frame).await,
                }
            }
            if let Some(answer) = answer {
                return Ok((at, Told::Answered(answer)));
            }
            if Instant::now() >= until {
                return Ok((at, Told::Silent));
            }
        }
    }

    fn gap(&self) -> Duration {
        Duration::from_millis(self.framing.gap_ms())
    }

    fn frames(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        self.heard_at = Instant::now();
        let found = self.framing.take(&mut self.waiting, bytes);
        found.into_iter().filter_map(|frame| self.whole(frame)).collect()
    }

    /// The line has been quiet for so long that what has come is all there is.
    fn cut_off(&mut self) -> Option<Vec<u8>> {
        let frame = self.framing.quiet(&mut self.waiting)?;
        self.whole(frame)
    }

    fn whole(&mut self, frame: Result<Vec<u8>, crate::profile::layout::Fault>) -> Option<Vec<u8>> {
        frame.map_err(|fault| self.reject(None, &Rejection::Frame(fault))).ok()
    }

    /// What a device says by itself. On a shared line the frame tells whose it is.
    async fn says(&mut self, frame: &[u8]) {
        let mut of_nobody = Rejection::UnknownMessage;
        for device in 0..self.devices.len() {
            match self.devices[device].codec.decode(frame) {
                Ok(statements) => return self.hear(device, statements).await,
                Err(rejection @ Rejection::NotForThis(_)) => of_nobody = rejection,
                Err(rejection) => return self.reject(Some(device), &rejection),
            }
        }
        self.reject(None, &of_nobody);
    }

    async fn also_says(&mut self, device: usize, frame: &[u8]) {
        match self.devices[device].codec.decode(frame) {
            Ok(statements) => self.hear(device, statements).await,
            Err(Rejection::UnknownMessage) => {}
            Err(rejection) => self.reject(Some(device), &rejection),
        }
    }

    async fn hear(&mut self, device: usize, statements: Vec<Statement>) {
        let received = (self.now)();
        let device = &mut self.devices[device];
        for statement in statements {
            if let Statement::Inputs { count, on } = &statement {
                let now = Instant::now();
                device.contacts.read(0, (0..*count).map(|number| on.contains(&number)), now);
                device.contacts.tell(&device.wiring, &self.deliveries, now);
                continue;
            }
            let inputs = submitting::inputs_of(&self.metrics, &device.wiring, vec![statement], received);
            if !inputs.is_empty() {
                // Without the loop nobody is left to tell.
                let _ = self.deliveries.send(Delivery { inputs, ..Delivery::default() }).await;
            }
        }
    }

    fn reject(&mut self, device: Option<usize>, rejection: &Rejection) {
        self.metrics.rejected("devices", rejection.name());
        let device = device.map_or("(unknown)", |device| self.devices[device].wiring.device.as_str());
        if self.warned.allows(&format!("{device} {}", rejection.name())) {
            let (link, reason) = (self.reopening.link(), rejection.name());
            tracing::warn!(link, device, reason, "a frame was rejected: {rejection}");
        }
    }

    async fn end(&self, order: Order, outcome: Outcome) {
        if let Some(input) = order.end(outcome, &self.metrics) {
            // Without the loop nobody is left to tell.
            let _ = self.deliveries.send(Delivery { inputs: vec![input], ..Delivery::default() }).await;
        }
    }
}

impl Device {
    fn new(is_asked: bool, plan: FramedPlan) -> Self {
        let codec = plan.codec;
        let poll = |(command, every_ms): (&str, u64)| {
            let outgoing = codec.encode(command, &Values::new()).ok()?;
            // A device that answers nothing cannot be asked.
            outgoing.answer_within_ms?;
            let every = Duration::from_millis(plan.poll_ms.unwrap_or(every_ms));
            Some(Poll { outgoing, every, due: Instant::now() })
        };
        let polls = codec.polls().filter(|_| is_asked).filter_map(poll).collect();
        let contacts = Contacts::new(plan.debounce_ms);
        Self { codec, wiring: plan.wiring, contacts, polls, faults: 0, is_lost: false }
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
            tracing::info!(link, device = %self.wiring.device, "the device answers again");
        }
    }

    /// Only what is asked regularly can be found again, so nothing else is given up.
    fn fails(&mut self, link: &str, why: &str, trouble: Trouble, metrics: &Metrics) {
        metrics.health.fails(self.wiring.device.as_str(), trouble);
        self.faults += 1;
        if self.faults >= FAULTS_UNTIL_LOST && !self.is_lost && !self.polls.is_empty() {
            self.is_lost = true;
            tracing::warn!(link, device = %self.wiring.device, why, "the device is lost");
        }
    }
}

async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}
