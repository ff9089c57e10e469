//! The link to devices that are asked for the stream of their events: one request whose answer never ends, asked again
//! when it breaks or falls silent.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::asking;
use super::backoff::Attempts;
use super::calling::Caller;
use super::order::Order;
use super::planning::{HttpDevice, StreamPlan};
use super::submitting::{self, Delivery, whole};
use super::{Clock, Sparing};
use crate::domain::event::{DeviceId, Input};
use crate::metrics::Metrics;
use crate::photos::Desk;
use crate::profile::document::PartOf;
use crate::profile::layout::Fault;
use crate::profile::statement::{Picture, Rejection};
use crate::profile::stream::{Event, Events};

/// A device that does not begin to answer in this time is not there.
const OPEN_WITHIN: Duration = Duration::from_secs(5);
/// A document whose last byte came so long ago is complete, if it is by its own syntax.
const SETTLED: Duration = Duration::from_millis(20);
/// The first pause before a stream is asked for again, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// Devices whose streams are read.
pub struct Streams {
    shared: Arc<Shared>,
    devices: Vec<Arc<Device>>,
}

struct Shared {
    id: String,
    up: AtomicUsize,
    deliveries: mpsc::Sender<Delivery>,
    now: Clock,
    metrics: Arc<Metrics>,
    desk: Desk,
}

struct Device {
    plan: HttpDevice,
    caller: Option<Arc<Caller>>,
}

impl Streams {
    /// The link as the settings plan it.
    pub fn new(
        plan: StreamPlan,
        deliveries: mpsc::Sender<Delivery>,
        now: Clock,
        metrics: Arc<Metrics>,
        desk: Desk,
    ) -> Self {
        let device = |plan: HttpDevice| {
            let call = plan.call.clone();
            let caller = call.map(|call| Caller::new(&plan, call, Arc::clone(&metrics)));
            Arc::new(Device { caller: caller.and_then(Result::ok).map(Arc::new), plan })
        };
        let devices: Vec<Arc<Device>> = plan.devices.into_iter().map(device).collect();
        metrics.link_up(&plan.id, false);
        for device in &devices {
            metrics.link_up(&line_of(&plan.id, &device.plan.wiring.device), false);
        }
        let up = AtomicUsize::new(0);
        Self { shared: Arc::new(Shared { id: plan.id, up, deliveries, now, metrics, desk }), devices }
    }

    /// The devices that can be asked.
    pub fn asked(&self) -> Vec<(HttpDevice, Arc<Caller>)> {
        let asked = |device: &Arc<Device>| Some((device.plan.clone(), Arc::clone(device.caller.as_ref()?)));
        self.devices.iter().filter_map(asked).collect()
    }

    /// Reads every stream until the loop is gone.
    pub async fn run(self, orders: mpsc::Receiver<Order>) {
        let mut reading = JoinSet::new();
        for device in &self.devices {
            reading.spawn(read(Arc::clone(&self.shared), Arc::clone(device)));
        }
        let (asked, shared) = (self.asked(), &self.shared);
        asking::carry(asked, orders, shared.deliveries.clone(), Arc::clone(&shared.metrics)).await;
    }
}

/// The line of one device's stream: whether it is there does not hang on the others of its link.
pub(super) fn line_of(link: &str, device: &DeviceId) -> String {
    format!("{link}/{device}")
}

/// Why a stream ends that brings bytes and nothing else.
const NO_PART: &str = "bytes come, but no part: their boundary is not the one that the answer names or begins with";

async fn read(shared: Arc<Shared>, device: Arc<Device>) {
    let (Some(caller), Some((path, silent_ms))) = (&device.caller, device.plan.codec.stream()) else { return };
    let name = &device.plan.wiring.device;
    let line = line_of(&shared.id, name);
    let mut attempts = Attempts::new(PAUSE);
    let mut warned = Sparing::default();
    while !shared.deliveries.is_closed() {
        let why = match caller.open(&path, OPEN_WITHIN).await {
            Ok((content_type, answer)) => match Events::new(&content_type) {
                Some(events) => {
                    shared.comes(&line);
                    if attempts.comes(Instant::now()) {
                        tracing::info!(link = shared.id, device = %name, "the stream of events is open");
                    }
                    let stream = (answer, events, Duration::from_millis(silent_ms));
                    let why = follow(&shared, &device, stream, &mut attempts, &mut warned).await;
                    shared.goes(&line);
                    why
                }
                None => format!("what it answers is no stream of parts: {}", crate::profile::shortened(&content_type)),
            },
            Err(why) => why,
        };
        shared.metrics.health.link_is_down(&line, &why);
        let (is_news, pause) = attempts.goes(why != NO_PART, Instant::now());
        if is_news {
            tracing::warn!(link = shared.id, device = %name, why, "there is no stream of events; asking again");
        }
        tokio::time::sleep(pause).await;
    }
}

/// Until the stream breaks, and why it did.
async fn follow(
    shared: &Shared,
    device: &Device,
    (mut answer, mut events, silence): (reqwest::Response, Events, Duration),
    attempts: &mut Attempts,
    warned: &mut Sparing,
) -> String {
    // Only parts are signs of life: behind another boundary than the one that is known all that comes is lost.
    let mut heard = Instant::now();
    let mut marks = events.marks();
    let mut passes_over = false;
    let mut is_new = false;
    let mut last = None;
    loop {
        // A document need not wait for the boundary after it; half a one waits until the stream counts as dead.
        let (wait, may_settle) = if is_new && events.is_waiting() {
            (SETTLED, true)
        } else {
            (silence.saturating_sub(heard.elapsed()), false)
        };
        let mut ended = None;
        let found: Vec<Result<Event, Fault>> = match timeout(wait, answer.chunk()).await {
            Ok(Ok(Some(bytes))) => {
                is_new = true;
                let found = events.take(&bytes);
                if events.is_in_picture() || bytes.trim_ascii().is_empty() {
                    heard = Instant::now();
                }
                passes_over = true;
                found
            }
            Err(_) => {
                is_new &= !may_settle;
                events.settled().into_iter().map(Ok).collect()
            }
            over => {
                ended = Some(match over {
                    Ok(Err(error)) => error.to_string(),
                    Ok(Ok(_)) | Err(_) => "the device ended it".to_owned(),
                });
                events.settled().into_iter().map(Ok).collect()
            }
        };
        if std::mem::replace(&mut marks, events.marks()) != marks {
            (heard, passes_over) = (Instant::now(), false);
        }
        // Looked at behind bytes as well: where they come without a pause, no wait is ever over.
        if ended.is_none() && heard.elapsed() >= silence {
            ended = Some(if passes_over { NO_PART } else { "the device says nothing any more" }.to_owned());
        }
        if ended.as_deref() == Some(NO_PART) {
            shared.metrics.rejected("devices", "no-part");
        }
        if attempts.holds(Instant::now()) {
            tracing::info!(link = shared.id, device = %device.plan.wiring.device, "the stream of events holds again");
        }
        let mut told = Vec::new();
        for event in found {
            match event {
                Ok(event) if event.is_picture() => told.extend(shared.pictured(device, &mut last, event)),
                Ok(event) => {
                    told.extend(shared.complete(device, last.take()));
                    match shared.heard(device, &event) {
                        Ok(delivery) => {
                            let is_read = delivery.inputs.iter().any(|input| matches!(input, Input::PlateRead(_)));
                            last = is_read.then_some(Vehicle { event, pictures: Vec::new() });
                            told.push(delivery);
                        }
                        Err(rejection) => shared.reject(device, &rejection, warned),
                    }
                }
                Err(fault) => shared.reject(device, &Rejection::Frame(fault), warned),
            }
        }
        if ended.is_some() {
            told.extend(shared.complete(device, last.take()));
        }
        for mut delivery in told.into_iter().filter(|delivery| !delivery.inputs.is_empty()) {
            shared.desk.spooled(&mut delivery.photos).await;
            if shared.deliveries.send(delivery).await.is_err() {
                return "the box is stopping".to_owned();
            }
        }
        if let Some(why) = ended {
            return why;
        }
    }
}

/// A vehicle that was told of, and its pictures behind it in the stream: they come too late to be waited for.
struct Vehicle {
    event: Event,
    pictures: Vec<Event>,
}

impl Shared {
    /// What an event means by itself. It is counted here, once, however many parts come behind it.
    fn heard(&self, device: &Device, event: &Event) -> Result<Delivery, Rejection> {
        let read_at = Instant::now();
        let heard = device.plan.codec.decode_event(&event.content_type, &event.body)?;
        let wiring = &device.plan.wiring;
        submitting::numbered(&self.metrics, &wiring.device, heard.number);
        submitting::strange(&self.metrics, &wiring.device, &heard.strange);
        let inputs = submitting::inputs_of(&self.metrics, wiring, heard.says, (self.now)());
        for input in &inputs {
            if let Input::PlateRead(read) = input {
                self.metrics.plate_heard(read.lane.as_str(), &read.event, read_at);
            }
        }
        Ok(self.delivery_of(device, inputs, heard.pictures))
    }

    /// What inputs and the pictures of their message do.
    fn delivery_of(&self, device: &Device, inputs: Vec<Input>, mut pictures: Vec<Picture>) -> Delivery {
        let wiring = &device.plan.wiring;
        let mut delivery = Delivery { inputs, ..Delivery::default() };
        for input in &mut delivery.inputs {
            if let Input::PlateRead(read) = input {
                let brought = whole(&self.metrics, std::mem::take(&mut pictures));
                delivery.looks.extend(wiring.look(read, &brought));
                let taken = self.desk.take(read, brought);
                read.photos = taken.hashes;
                delivery.photos.extend(taken.kept);
            }
        }
        delivery
    }

    /// One more picture of the last vehicle; with the last one it is told of again. A picture of nothing that is known is
    /// passed over.
    fn pictured(&self, device: &Device, last: &mut Option<Vehicle>, picture: Event) -> Option<Delivery> {
        let vehicle = last.as_mut()?;
        vehicle.pictures.push(picture);
        let is_all = vehicle.pictures.len() >= device.plan.codec.pictures_of_stream();
        if is_all { self.complete(device, last.take()) } else { None }
    }

    /// A vehicle once more, with its pictures, where there are any: the event is known and the pictures are news.
    fn complete(&self, device: &Device, vehicle: Option<Vehicle>) -> Option<Delivery> {
        let Vehicle { event, pictures } = vehicle.filter(|vehicle| !vehicle.pictures.is_empty())?;
        let parts: Vec<PartOf> = pictures.iter().map(Event::as_part).collect();
        let heard = device.plan.codec.decode_with(&event.content_type, &event.body, &parts).ok()?;
        let (wiring, received) = (&device.plan.wiring, (self.now)());
        let inputs = heard.says.into_iter().flat_map(|says| wiring.inputs_of(says, received)).collect();
        let delivery = self.delivery_of(device, inputs, heard.pictures);
        let is_pictured = |input: &Input| matches!(input, Input::PlateRead(read) if read.photos.is_some());
        (!delivery.looks.is_empty() || delivery.inputs.iter().any(is_pictured)).then_some(delivery)
    }

    fn reject(&self, device: &Device, rejection: &Rejection, warned: &mut Sparing) {
        self.metrics.rejected("devices", rejection.name());
        let (name, reason) = (&device.plan.wiring.device, rejection.name());
        if warned.allows(reason) {
            tracing::warn!(link = self.id, device = %name, reason, "an event was rejected: {rejection}");
        }
    }

    /// The link is up while one of its streams is.
    fn comes(&self, line: &str) {
        self.metrics.link_up(line, true);
        self.up.fetch_add(1, Ordering::SeqCst);
        self.metrics.link_up(&self.id, true);
    }

    fn goes(&self, line: &str) {
        self.metrics.link_up(line, false);
        if self.up.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.metrics.link_up(&self.id, false);
        }
    }
}
