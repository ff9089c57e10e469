//! The link to which devices post: what they say is answered after its commit and within their deadline, and the answer
//! carries commands where the device takes them that way.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::calling::Caller;
use super::looking::Look;
use super::order::{Order, Outcome};
use super::places::{LONG_BODY_BYTES, LOOK, Place, Places, Room};
use super::planning::{HttpDevice, PushPlan};
use super::submitting::{self, whole};
use super::waiting::{RaisedBy, Waiting};
use super::{Clock, Sparing};
use crate::domain::event::{Input, UtcMs};
use crate::metrics::Metrics;
use crate::photos::{Desk, Pending};
use crate::profile::http::{Carrier, Heard, Reply};
use crate::profile::identity;
use crate::profile::statement::{BODY_BYTES_MAX, Rejection};
use crate::profile::template::Values;
use crate::site::Handle;

/// Connections that wait for a place; those behind them wait in the system's own queue.
const WAITING_MAX: usize = 256;
/// A device that takes longer to say what it wants is not one of ours.
const HEADERS_WITHIN: Duration = Duration::from_secs(5);
/// The longest body over a line of 7 Mbit/s; one without pictures over the slowest line that a car park has.
const BODY_WITHIN: Duration = Duration::from_secs(10);
/// How long a post waits until it may be read. What is slow before it ends within the same time.
const BODY_TURN_WITHIN: Duration = Duration::from_secs(10);
/// How long an answer waits for the raise that its plate may lead to; the loop hands a raise over right after the commit.
const RAISE_WITHIN: Duration = Duration::from_millis(100);
/// Where a profile names no deadline.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// What is read on of a body that is too long, and for how long: whoever sends sees the answer and not only a broken line.
const PASSED_OVER_BYTES_MAX: usize = 16 * 1024 * 1024;
const PASSED_OVER_WITHIN: Duration = Duration::from_secs(5);
/// The pause before an address that is taken is tried again.
const PAUSE: Duration = Duration::from_secs(2);

/// One address to which devices post.
pub struct Push {
    plan: PushPlan,
    shared: Arc<Shared>,
}

struct Shared {
    devices: Vec<Device>,
    handle: Handle,
    now: Clock,
    metrics: Arc<Metrics>,
    desk: Desk,
    warned: Mutex<Sparing>,
}

/// Why a body was not read.
enum NoBody {
    TooLong,
    Broken,
}

struct Device {
    plan: HttpDevice,
    caller: Option<Arc<Caller>>,
    waiting: Waiting,
}

/// What a post means.
struct Said {
    inputs: Vec<Input>,
    /// On their way to the disk.
    pictures: Vec<Pending>,
    /// What somebody else is to read once it is decided.
    looks: Vec<Look>,
}

impl Push {
    /// The link as the settings plan it.
    pub fn new(plan: PushPlan, handle: Handle, now: Clock, metrics: Arc<Metrics>, desk: Desk) -> Self {
        let device = |plan: &HttpDevice| {
            let call = plan.call.clone();
            let caller = call.map(|call| Caller::new(plan, call, Arc::clone(&metrics)));
            let caller = caller.and_then(Result::ok).map(Arc::new);
            Device { plan: plan.clone(), caller, waiting: Waiting::new(plan.raised_by) }
        };
        let devices = plan.devices.iter().map(device).collect();
        let warned = Mutex::default();
        Self { plan, shared: Arc::new(Shared { devices, handle, now, metrics, desk, warned }) }
    }

    /// The devices that can be asked.
    pub fn asked(&self) -> Vec<(HttpDevice, Arc<Caller>)> {
        let asked = |device: &Device| Some((device.plan.clone(), Arc::clone(device.caller.as_ref()?)));
        self.shared.devices.iter().filter_map(asked).collect()
    }

    /// Listens until the loop is gone.
    pub async fn run(self, orders: mpsc::Receiver<Order>) {
        let mut raising = tokio::spawn(carry(Arc::clone(&self.shared), orders));
        let listener = loop {
            self.shared.metrics.link_up(&self.plan.id, false);
            match TcpListener::bind(self.plan.listen).await {
                Ok(listener) => break listener,
                Err(error) => {
                    self.shared.metrics.health.link_is_down(&self.plan.id, &error.to_string());
                    tracing::warn!(link = self.plan.id, %error, "the address for posts is not there; trying again");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        };
        let address = listener.local_addr().unwrap_or(self.plan.listen);
        tracing::info!(link = self.plan.id, %address, devices = self.shared.devices.len(), "devices may post");
        self.shared.metrics.link_up(&self.plan.id, true);
        let mut guests = Guests::new(Arc::clone(&self.shared));
        let mut looks = tokio::time::interval(LOOK);
        loop {
            tokio::select! {
                accepted = listener.accept(), if guests.waiting.len() < WAITING_MAX => {
                    guests.waiting.extend(accepted.ok());
                }
                _ = looks.tick(), if !guests.waiting.is_empty() => {}
                _ = &mut raising => return,
            }
            guests.seat();
        }
    }
}

/// The connections of one listener.
struct Guests {
    shared: Arc<Shared>,
    places: Places,
    waiting: VecDeque<(TcpStream, SocketAddr)>,
    conversing: JoinSet<()>,
}

impl Guests {
    fn new(shared: Arc<Shared>) -> Self {
        Self { shared, places: Places::default(), waiting: VecDeque::new(), conversing: JoinSet::new() }
    }

    /// In the order in which they came; a known address need not wait for strangers.
    fn seat(&mut self) {
        while self.conversing.try_join_next().is_some() {}
        for (stream, from) in std::mem::take(&mut self.waiting) {
            match self.places.take(from.ip()) {
                Room::For(place) => {
                    self.conversing.spawn(converse(Arc::clone(&self.shared), stream, place));
                }
                Room::Later => self.waiting.push_back((stream, from)),
                Room::Never => self.shared.metrics.rejected("devices", "too-many-connections"),
            }
        }
    }
}

/// Ends with the orders: the loop is gone then.
async fn carry(shared: Arc<Shared>, mut orders: mpsc::Receiver<Order>) {
    let mut calls = JoinSet::new();
    loop {
        let due = shared.devices.iter().filter_map(|device| device.waiting.next_end()).min();
        let late = async {
            match due {
                Some(due) => tokio::time::sleep_until(due.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            asked = orders.recv() => match asked {
                Some(order) => shared.take(order, &mut calls).await,
                None => return,
            },
            () = late => shared.give_up_late().await,
        }
        while calls.try_join_next().is_some() {}
    }
}

async fn converse(shared: Arc<Shared>, stream: TcpStream, place: Place) {
    // An answer must not wait for the next one.
    let _ = stream.set_nodelay(true);
    let place = Arc::new(place);
    let service = service_fn(|request| {
        let (shared, place) = (Arc::clone(&shared), Arc::clone(&place));
        async move { Ok::<_, Infallible>(shared.answer(request, &place).await) }
    });
    let mut connection = hyper::server::conn::http1::Builder::new();
    connection.timer(TokioTimer::new()).header_read_timeout(HEADERS_WITHIN).keep_alive(true);
    tokio::select! {
        // A connection that breaks concerns its device only, which posts again.
        _ = connection.serve_connection(TokioIo::new(stream), service) => {}
        () = place.gives_way() => shared.metrics.rejected("devices", "gave-way"),
    }
}

impl Shared {
    async fn answer(&self, request: Request<Incoming>, place: &Place) -> Response<Full<Bytes>> {
        let read_at = Instant::now();
        let path = request.uri().path().to_owned();
        let takes_get = || self.devices.iter().any(|device| device.plan.codec.takes_get(&path));
        let is_get = request.method() == Method::GET && takes_get();
        if !is_get && !matches!(*request.method(), Method::POST | Method::PUT) {
            return plain(StatusCode::METHOD_NOT_ALLOWED, "POST or PUT");
        }
        if !self.devices.iter().any(|device| device.plan.codec.paths().any(|known| known == path)) {
            self.reject(None, &Rejection::UnknownTopic);
            return plain(StatusCode::NOT_FOUND, "no device posts here");
        }
        let content_type = header(&request, CONTENT_TYPE);
        let query = request.uri().query().unwrap_or_default().to_owned();
        let body = match self.body(request, place).await {
            Ok(body) => body,
            Err(status) => return plain(status, "the body is too long, too slow or broken"),
        };
        let _busy = place.answers();
        let (device, heard) = match self.heard(&path, &query, &content_type, &body) {
            Ok(found) => found,
            Err(rejection) => return plain(StatusCode::BAD_REQUEST, rejection.name()),
        };
        if heard.names_device {
            place.is_known();
        }
        // Of it only pictures are needed any more, and the commit may take its time.
        drop(body);
        self.taken(device, heard, read_at).await
    }

    async fn body(&self, request: Request<Incoming>, place: &Place) -> Result<Bytes, StatusCode> {
        let promised = header(&request, CONTENT_LENGTH).parse::<usize>().unwrap_or(0);
        let mut coming = request.into_body();
        if promised > BODY_BYTES_MAX {
            return Err(self.too_long(coming));
        }
        let fails = |why: &str, status: StatusCode| {
            self.metrics.rejected("devices", why);
            Err(status)
        };
        let Ok(Some(_busy)) = timeout(BODY_TURN_WITHIN, place.reads()).await else {
            return fails("too-many-bodies", StatusCode::SERVICE_UNAVAILABLE);
        };
        match timeout(BODY_WITHIN, all_of(&mut coming, promised, place)).await {
            Ok(Ok(whole)) => Ok(whole),
            Ok(Err(NoBody::TooLong)) => Err(self.too_long(coming)),
            Ok(Err(NoBody::Broken)) => fails("body-broken", StatusCode::BAD_REQUEST),
            Err(_) => fails("body-too-slow", StatusCode::REQUEST_TIMEOUT),
        }
    }

    /// Answered at once, while what still comes is passed over.
    fn too_long(&self, rest: Incoming) -> StatusCode {
        self.reject(None, &Rejection::TooLarge { bytes: BODY_BYTES_MAX + 1, most: BODY_BYTES_MAX });
        tokio::spawn(timeout(PASSED_OVER_WITHIN, passed_over(rest)));
        StatusCode::PAYLOAD_TOO_LARGE
    }

    /// The device that posts, and what it says. Several may post to one path; the post itself says which it is. One that names
    /// none can tell all of them that they are there, and the first answers it.
    fn heard(&self, path: &str, query: &str, content_type: &str, body: &Bytes) -> Result<(&Device, Heard), Rejection> {
        let mut of_nobody = Rejection::UnknownTopic;
        let mut nameless = Vec::new();
        let target = format!("{path}?{query}");
        let posts_here = |device: &&Device| device.plan.codec.paths().any(|known| known == path);
        let is_shared = self.devices.iter().filter(posts_here).count() > 1;
        for device in self.devices.iter().filter(posts_here) {
            match device.plan.codec.decode_whole(&target, content_type, body) {
                Ok(heard) if heard.names_device => return Ok((device, heard)),
                Ok(heard) => nameless.push((device, heard)),
                Err(rejection @ Rejection::NotForThis(_)) => of_nobody = rejection,
                Err(rejection) => {
                    self.reject(Some(device), &rejection);
                    return Err(rejection);
                }
            }
        }
        let mut nameless = nameless.into_iter();
        let found = nameless.next().ok_or(of_nobody);
        let found = found.and_then(|(device, heard)| {
            let may_be = !is_shared || identity::may_be_of_all(&heard.says);
            // Alone on its path it need not say who it is.
            let heard = Heard { names_device: !is_shared, ..heard };
            if may_be { Ok((device, heard)) } else { Err(identity::missing()) }
        });
        if let Err(rejection) = &found {
            self.reject(None, rejection);
            return found;
        }
        for (device, heard) in nameless.filter(|(_, heard)| !heard.says.is_empty()) {
            // Nothing comes of it but that they are there, or gone.
            submitting::inputs_of(&self.metrics, &device.plan.wiring, heard.says, (self.now)());
        }
        found
    }

    /// Answered after the commit. Without one in time the device is told so, and posts again; the same event is then
    /// known already.
    async fn taken(&self, device: &Device, mut heard: Heard, read_at: Instant) -> Response<Full<Bytes>> {
        let within = device.plan.codec.answer_within_ms().map_or(ANSWER_WITHIN, Duration::from_millis);
        // A tenth of the deadline is the way back.
        let until = tokio::time::Instant::from_std(read_at) + within * 9 / 10;
        let received = (self.now)();
        let Said { inputs, mut pictures, looks } = self.inputs_of(device, &mut heard, received, read_at);
        self.desk.spooled(&mut pictures).await;
        let carries =
            |by: RaisedBy| heard.reply.as_ref().is_some_and(|reply| device.plan.codec.may_carry(reply, by.command));
        let may_raise = inputs.iter().any(|input| matches!(input, Input::PlateRead(_)))
            && device.plan.raised_by.is_some_and(carries);
        if tokio::time::timeout_at(until, self.committed(inputs)).await != Ok(true) {
            self.metrics.rejected("devices", "answer-late");
            return plain(StatusCode::SERVICE_UNAVAILABLE, "not written down yet; post it again");
        }
        looks.into_iter().for_each(Look::ask);
        // A level that must first prove to be steady: the answer waits for it as long as it may.
        let _ = tokio::time::timeout_at(until, submitting::all(device.plan.wiring.waits())).await;
        // Decided: the pictures may have the core and the disk.
        drop(pictures);
        let Some(reply) = heard.reply else { return plain(StatusCode::OK, "") };
        if may_raise {
            let until = until.min(tokio::time::Instant::now() + RAISE_WITHIN);
            let _ = tokio::time::timeout_at(until, device.waiting.has_raise()).await;
        }
        // What could be of any device of the path must not carry the order of one: it would raise another one's arm.
        let orders = if heard.names_device {
            device.waiting.take_all(|order| device.plan.codec.may_carry(&reply, &order.command))
        } else {
            Vec::new()
        };
        match self.reply(device, &reply, &heard.echo, orders).await {
            Some(reply) => response(StatusCode::OK, &reply.content_type, reply.body),
            None => plain(StatusCode::INTERNAL_SERVER_ERROR, "no answer could be made"),
        }
    }

    fn inputs_of(&self, device: &Device, heard: &mut Heard, received: UtcMs, read_at: Instant) -> Said {
        let (mut pictures, mut looks) = (Vec::new(), Vec::new());
        if !heard.names_device && heard.says.is_empty() {
            // Known and of no interest, and no sign of any device in particular.
            return Said { inputs: Vec::new(), pictures, looks };
        }
        let wiring = &device.plan.wiring;
        submitting::numbered(&self.metrics, &wiring.device, heard.number);
        submitting::strange(&self.metrics, &wiring.device, &heard.strange);
        let mut inputs = submitting::inputs_of(&self.metrics, wiring, heard.says.clone(), received);
        for input in &mut inputs {
            if let Input::PlateRead(read) = input {
                self.metrics.plate_heard(read.lane.as_str(), &read.event, read_at);
                // The device waits for its answer and not for the disk.
                let brought = whole(&self.metrics, std::mem::take(&mut heard.pictures));
                looks.extend(wiring.look(read, &brought));
                let taken = self.desk.take(read, brought);
                read.photos = taken.hashes;
                pictures.extend(taken.kept);
            }
        }
        Said { inputs, pictures, looks }
    }

    /// Whether all of it is on disk.
    async fn committed(&self, inputs: Vec<Input>) -> bool {
        let mut answers = Vec::with_capacity(inputs.len());
        for input in inputs {
            let Ok(answer) = self.handle.submit(input).await else { return false };
            answers.push(answer);
        }
        for answer in answers {
            if answer.await.is_err() {
                return false;
            }
            self.metrics.input_taken();
        }
        true
    }

    /// The answer with these commands in it.
    async fn reply(&self, device: &Device, reply: &str, echo: &Values, orders: Vec<Order>) -> Option<Reply> {
        let commands: Vec<(&str, Values)> =
            orders.iter().map(|order| (order.command.as_str(), order.args.clone())).collect();
        let made = device.plan.codec.reply(reply, echo, &commands);
        for order in orders {
            let outcome = match &made {
                Ok(_) => {
                    order.sent(&self.metrics, Instant::now());
                    // The line takes it; the device confirms nothing, and saying more would be a guess.
                    let told = "sent with the answer to the device's post, which it does not confirm";
                    Outcome::Unconfirmed(told.to_owned())
                }
                Err(error) => Outcome::NotSent(error.to_string()),
            };
            self.end(order, outcome).await;
        }
        made.ok().or_else(|| device.plan.codec.reply(reply, echo, &[]).ok())
    }

    async fn take(self: &Arc<Self>, order: Order, calls: &mut JoinSet<()>) {
        let Some(position) = self.devices.iter().position(|device| device.plan.wiring.device == order.device) else {
            return self.end(order, Outcome::not_sent("the device is not on this link")).await;
        };
        let device = &self.devices[position];
        match (device.plan.codec.carrier(&order.command), &device.caller) {
            (Some(Carrier::Reply), _) => {
                if let Some(pushed_out) = device.waiting.put(order) {
                    self.end(pushed_out, Outcome::not_sent("newer commands came before the device asked")).await;
                }
            }
            (Some(Carrier::Request), Some(caller)) => {
                let (shared, caller) = (Arc::clone(self), Arc::clone(caller));
                calls.spawn(async move {
                    let outcome = caller.tell(&order).await;
                    shared.end(order, outcome).await;
                });
            }
            (Some(Carrier::Request), None) | (None, _) => {
                self.end(order, Outcome::not_sent("the device cannot be asked for this")).await;
            }
        }
    }

    async fn give_up_late(&self) {
        for device in &self.devices {
            for order in device.waiting.take_late() {
                self.end(order, Outcome::not_sent("the device did not post in time to be told")).await;
            }
        }
    }

    async fn end(&self, order: Order, outcome: Outcome) {
        if let Some(input) = order.end(outcome, &self.metrics) {
            // Without the loop nobody is left to tell.
            let _ = self.handle.submit(input).await;
        }
    }

    fn reject(&self, device: Option<&Device>, rejection: &Rejection) {
        self.metrics.rejected("devices", rejection.name());
        let device = device.map_or("(unknown)", |device| device.plan.wiring.device.as_str());
        let cause = format!("{device} {}", rejection.name());
        if self.warned.lock().unwrap_or_else(PoisonError::into_inner).allows(&cause) {
            tracing::warn!(device, reason = rejection.name(), "a post was rejected: {rejection}");
        }
    }
}

/// In one piece of memory, into which it comes: it is held once. A promise is at most the longest body.
async fn all_of(body: &mut Incoming, promised: usize, place: &Place) -> Result<Bytes, NoBody> {
    let mut long = None;
    let mut whole = Vec::with_capacity(promised);
    while let Some(frame) = body.frame().await {
        let Ok(piece) = frame.map_err(|_| NoBody::Broken)?.into_data() else { continue };
        let length = whole.len() + piece.len();
        if length > BODY_BYTES_MAX {
            return Err(NoBody::TooLong);
        }
        if length > LONG_BODY_BYTES && long.is_none() {
            long = Some(place.reads_long().await.ok_or(NoBody::Broken)?);
        }
        place.brought(piece.len());
        whole.extend_from_slice(&piece);
    }
    Ok(whole.into())
}

async fn passed_over(mut rest: Incoming) {
    let mut left = PASSED_OVER_BYTES_MAX;
    while let Some(Ok(frame)) = rest.frame().await {
        let bytes = frame.data_ref().map_or(0, Bytes::len);
        let Some(still) = left.checked_sub(bytes) else { return };
        left = still;
    }
}

fn header(request: &Request<Incoming>, name: hyper::header::HeaderName) -> String {
    request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

fn plain(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    response(status, "text/plain; charset=utf-8", text.to_owned())
}

fn response(status: StatusCode, content_type: &str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    if let Ok(content_type) = content_type.parse() {
        response.headers_mut().insert(CONTENT_TYPE, content_type);
    }
    response
}
