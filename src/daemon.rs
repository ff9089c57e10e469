//! The daemon: opens the ledger, introduces the rooms to each other, and runs until it is told to stop.

mod tls;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::http::header;
use axum::routing::get;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{error, info, warn};
use tracing_subscriber::EnvFilter;

use crate::clock::Clock;
use crate::config::{self, Settings};
use crate::domain::benefit;
use crate::domain::event::{Fen, Input, JournalHead, LaneId, Reply, RulesOffer, UtcMs};
use crate::domain::points::Purse;
use crate::domain::rules::Rules;
use crate::metrics::Metrics;
use crate::photos::{self, Photos};
use crate::site::{self, Core, Deadlines, Handle, Outputs, QUEUE_INPUTS, RulesBook, Site};
use crate::store::Store;
use crate::store::reader::Reader;
use crate::store::spare::{self, Spare};
use crate::witness::{self, WitnessFile};
use crate::{console, devices, sync, tills};

/// Raises that may wait for the device room: more than any site has lanes.
const QUEUE_RAISES: usize = 256;
/// How long the rooms may take to end.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// How often waiting rules look whether their time has come.
const RULES_LOOK: Duration = Duration::from_secs(1);
/// How often the ledger's disk is looked at.
const DISK_LOOK: Duration = Duration::from_secs(60);

/// Runs the daemon with the settings in `path`. Mistakes in the settings stop the start, each with its place.
pub fn run(path: &Path) -> anyhow::Result<ExitCode> {
    log_to_stderr();
    let settings = match config::load(path) {
        Ok(settings) => settings,
        Err(mistakes) => {
            mistakes.iter().for_each(|mistake| error!("{mistake}"));
            error!("the settings have {} mistakes; nothing was started", mistakes.len());
            return Ok(ExitCode::from(2));
        }
    };
    rustls::crypto::ring::default_provider().install_default().ok().context("install the TLS provider")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let clock = Clock::new(settings.clock);
    // A commit that failed for want of room has ended the process before this start: barriers must go on moving.
    tell_of(look_at_disk(&settings.ledger));
    let mut store = Store::open(&settings.ledger, &settings.box_id)?;
    store.know_plates(settings.plate_formats.clone())?;
    site::activate_rules(&mut store, &settings.rules, &clock).context("put the rules in force")?;
    let outcome = runtime.block_on(serve(path.to_owned(), settings, store, clock));
    runtime.shutdown_timeout(STOP_TIMEOUT);
    outcome.map(|()| ExitCode::SUCCESS)
}

/// The room that is put aside on the ledger's disk; none where that cannot be told.
fn look_at_disk(ledger: &Path) -> Option<Spare> {
    spare::look(ledger).inspect_err(|error| warn!("{error:#}")).ok()
}

fn tell_of(spare: Option<Spare>) {
    match spare {
        Some(Spare::Used) => error!("the ledger's disk is full: it works on the room that was put aside; make room"),
        Some(Spare::Kept) | None => {}
    }
}

/// Puts room aside again when there is some, and gives it up before the disk is full.
async fn keep_room(ledger: PathBuf, metrics: Arc<Metrics>) {
    let mut before = None;
    loop {
        let looked = look_at_disk(&ledger);
        if looked != before && before.is_some() {
            tell_of(looked);
        }
        metrics.disk_is_full(looked == Some(Spare::Used));
        before = looked;
        tokio::time::sleep(DISK_LOOK).await;
    }
}

/// One line a message, as journald wants it; `RUST_LOG` says which.
fn log_to_stderr() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
}

async fn serve(path: PathBuf, settings: Settings, store: Store, clock: Clock) -> anyhow::Result<()> {
    let reader = Reader::open(&settings.ledger).context("open the ledger for reading")?;
    let listener =
        TcpListener::bind(settings.listen).await.with_context(|| format!("listen on {}", settings.listen))?;
    let address = listener.local_addr().context("read the address of the page")?;
    let metrics = Arc::new(Metrics::default());
    let (inputs_in, inputs) = mpsc::channel(QUEUE_INPUTS);
    let handle = Handle::new(inputs_in);
    let (raises_in, raises) = mpsc::channel(QUEUE_RAISES);
    let version = watch::Sender::new(0);
    let deadlines = Arc::new(Deadlines::default());
    let wall = clock.clone();
    let now: photos::Clock = Arc::new(move || wall.utc());
    let opened = Photos::open(settings.photos.clone(), Arc::clone(&now), Arc::clone(&metrics));
    let (photos, intake) = opened.context("start the pictures' thread")?;
    let cloud_is_up = Arc::new(AtomicBool::new(false));
    let rooms = Rooms { handle, reader, metrics, photos, clock, version, cloud_is_up };
    let head = watch::Sender::new(store.head());
    let core = Core::new(store, settings.lanes.clone()).in_zone(settings.zone.clone());
    let core = core.with_day_begin(settings.day_begins_min);
    let signs_book = core.book();
    let ticket_key = sync::derived_secret(&settings.key_file, "tickets").context("read the box's keys")?;
    let app = rooms.pages(&settings, &core.book(), &tills::Secret::from(ticket_key.as_str()));
    let outputs = Outputs {
        raises: raises_in,
        deadlines: Arc::clone(&deadlines),
        version: rooms.version.clone(),
        head,
        witnessed: rooms.remembered(&settings)?,
    };
    rooms.keep_witness(&settings, outputs.head.subscribe())?;
    let site = Site::new(core, rooms.clock.clone(), inputs, outputs);
    let mut stopped = start_loop(site)?;
    let (timer_clock, timer_handle) = (rooms.clock.clone(), rooms.handle.clone());
    tokio::spawn(async move { deadlines.keep(&timer_clock, &timer_handle).await });
    let (handle, metrics) = (rooms.handle.clone(), Arc::clone(&rooms.metrics));
    let numbers = settings.ledger.with_extension("numbers");
    devices::numbers::recall(&metrics, &numbers);
    let mut running = devices::start(settings.devices.clone(), handle, now, metrics, Some(&intake), raises);
    running.keep_numbers(numbers);
    drop(intake);
    running.show_signs(rooms.signs(&settings, &signs_book));
    running.keep_lists(rooms.lists(&settings, &signs_book));
    let (hatch, teller, watch) = (config::hatch_of(&settings.ledger), running.teller(), running.watch());
    tokio::spawn(async move {
        if let Err(error) = devices::hatch::serve(&hatch, teller, watch).await {
            warn!("technicians cannot tell devices anything: {error:#}");
        }
    });
    rooms.start_sync(&settings);
    tokio::spawn(keep_room(settings.ledger.clone(), Arc::clone(&rooms.metrics)));
    let days = (settings.ledger.clone(), settings.zone.clone(), rooms.clock.clone(), rooms.handle.clone());
    tokio::spawn(report_days(days.0, days.1, days.2, days.3, rooms.reader.clone()));
    if settings.two_persons {
        info!("new rules come into force by two persons only");
    } else {
        tokio::spawn(keep_rules(path, settings.rules.clone(), rooms.clock.clone(), rooms.handle.clone()));
    }
    if let Some(tls) = &settings.tls {
        let door = tls::Door::open(tls).await?;
        info!("tills are heard over TLS address={}", door.address());
        let app = app.clone();
        tokio::spawn(async move {
            if let Err(error) = axum::serve(door, app).await {
                error!("the page over TLS stopped: {error}");
            }
        });
    }
    tokio::spawn(async move {
        if let Err(error) = axum::serve(no_delay(listener), app).await {
            error!("the page stopped: {error}");
        }
    });
    announce(address, &settings);
    let outcome = tokio::select! {
        outcome = &mut stopped => outcome.context("the loop's thread died")?,
        name = told_to_stop() => {
            info!(signal = name?, "stopping");
            Ok(())
        }
    };
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    if tokio::time::timeout(STOP_TIMEOUT, running.stop()).await.is_err() {
        warn!("a link did not close in time");
    }
    outcome
}

/// Without Nagle's algorithm: a small answer must not wait for the next one.
fn no_delay(listener: TcpListener) -> impl axum::serve::Listener<Addr = SocketAddr> {
    listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            warn!("TCP_NODELAY cannot be set: {error}");
        }
    })
}

/// The loop has a thread of its own: it waits for the disk.
fn start_loop(site: Site) -> anyhow::Result<oneshot::Receiver<anyhow::Result<()>>> {
    let (ended, stopped) = oneshot::channel();
    std::thread::Builder::new()
        .name("loop".to_owned())
        .spawn(move || {
            let outcome = site.run();
            if let Err(error) = &outcome {
                error!("the loop stopped: {error:#}");
            }
            // The daemon may be on its way out already.
            let _ = ended.send(outcome);
        })
        .context("start the loop's thread")?;
    Ok(stopped)
}

fn announce(address: SocketAddr, settings: &Settings) {
    info!(%address, site = settings.site, lanes = settings.lanes.len(), "ready");
    let ready = [sd_notify::NotifyState::Ready];
    if let Err(error) = sd_notify::notify(&ready) {
        warn!("systemd was not told: {error}");
    }
}

/// Waits until systemd or a person asks this process to end, and says how.
pub(crate) async fn told_to_stop() -> anyhow::Result<&'static str> {
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    Ok(tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    })
}

/// What this box could still spend is looked up when somebody wants to know.
async fn exposing<'a>(reader: &Reader, metrics: &'a Metrics) -> &'a Metrics {
    match reader.look(|view| view.exposure()).await {
        Ok(points) => metrics.exposed(points.0),
        Err(error) => warn!(%error, "the exposure cannot be read"),
    }
    metrics
}

/// Offers the rules of the settings again at every SIGHUP, and rules with a time of their own when it has come.
async fn keep_rules(path: PathBuf, mut text: String, clock: Clock, handle: Handle) {
    let mut hang_up = match signal(SignalKind::hangup()) {
        Ok(hang_up) => hang_up,
        Err(error) => return error!("SIGHUP cannot be heard, so rules are read at the start only: {error}"),
    };
    loop {
        let now = clock.now();
        let from = Rules::parse(&text).ok().and_then(|rules| rules.effective_from);
        let waits = from.is_some_and(|from| !now.trusted || now.utc < from);
        let asked = if waits {
            tokio::time::timeout(RULES_LOOK, hang_up.recv()).await.is_ok()
        } else {
            hang_up.recv().await;
            true
        };
        if asked {
            match config::load(&path) {
                Ok(settings) => {
                    text = settings.rules;
                    let from = Rules::parse(&text).ok().and_then(|rules| rules.effective_from);
                    if from.is_some_and(|from| !clock.now().trusted || clock.utc() < from) {
                        info!("the new rules wait for their time");
                        continue;
                    }
                }
                Err(mistakes) => {
                    mistakes.iter().for_each(|mistake| error!("{mistake}"));
                    error!("the rules in force stay as they are");
                    continue;
                }
            }
        } else if !clock.now().trusted || from.is_some_and(|from| clock.utc() < from) {
            continue;
        }
        offer(&text, &handle).await;
    }
}

/// The rules of the settings as they are on disk now.
fn read_rules(path: PathBuf) -> tills::ReadRules {
    Arc::new(move || {
        let in_words = |mistakes: Vec<crate::profile::mistake::Mistake>| {
            mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
        };
        config::load(&path).map(|settings| settings.rules).map_err(in_words)
    })
}

/// How many bays the rules in force count, of the car park and of its inner lots.
fn spaces(book: RulesBook) -> console::Spaces {
    Arc::new(move || {
        let Some(rules) = book.in_force() else { return Vec::new() };
        let whole = rules.admission.policy.spaces.map(|spaces| (String::new(), spaces.0));
        let lots = rules.tariffs.lots().filter_map(|lot| Some((lot.id.get_ref().clone(), lot.spaces?.0)));
        whole.into_iter().chain(lots).collect()
    })
}

/// How often is looked whether a day of the calendar has ended.
const DAYS_LOOK: Duration = Duration::from_secs(60);
/// The most days that are reported at once after a long stop.
const DAYS_BACK: i64 = 31;

/// Looks through every day of the calendar once it is over, also those that ended while the box was off.
async fn report_days(ledger: PathBuf, zone: jiff::tz::TimeZone, clock: Clock, handle: Handle, reader: Reader) {
    loop {
        if clock.now().trusted
            && let Err(error) = report_missing_days(&ledger, &zone, &clock, &handle, &reader).await
        {
            error!("a day cannot be looked through: {error:#}");
        }
        tokio::time::sleep(DAYS_LOOK).await;
    }
}

async fn report_missing_days(
    ledger: &Path,
    zone: &jiff::tz::TimeZone,
    clock: &Clock,
    handle: &Handle,
    reader: &Reader,
) -> anyhow::Result<()> {
    let date_of = |at: UtcMs| {
        let moment = jiff::Timestamp::from_millisecond(at.0).context("read the clock")?;
        anyhow::Ok(zone.to_datetime(moment).date())
    };
    let today = date_of(clock.utc())?;
    let last = reader.look(|view| view.day_reports(1)).await?.pop();
    let mut date = match last {
        Some(last) => last.date.parse::<jiff::civil::Date>()?.tomorrow()?,
        None => match crate::store::day::begin(ledger)? {
            Some(begin) => date_of(begin)?,
            None => return Ok(()),
        },
    };
    date = date.max(today.saturating_sub(jiff::Span::new().days(DAYS_BACK)));
    while date < today {
        let (of, there) = (ledger.to_owned(), zone.clone());
        let report = tokio::task::spawn_blocking(move || crate::store::day::report(&of, date, &there)).await??;
        let Ok(answer) = handle.submit(Input::DayEnded(report)).await else { return Ok(()) };
        answer.await.context("the loop gave no answer about a day")?;
        date = date.tomorrow()?;
    }
    Ok(())
}

async fn offer(text: &str, handle: &Handle) {
    let input = Input::RulesOffered { version: 0, operator: None, offer: RulesOffer::Text(text.to_owned()) };
    let Ok(answer) = handle.submit(input).await else { return };
    match answer.await {
        Ok(Reply::Staff(Ok(text))) => info!("{text}"),
        Ok(Reply::Staff(Err(refusal))) => error!("the rules are not put in force: {refusal:?}"),
        Ok(Reply::Done | Reply::Till(_) | Reply::Ticket(_)) | Err(_) => {
            error!("the loop gave no answer about the rules")
        }
    }
}

/// What the rooms share.
struct Rooms {
    handle: Handle,
    reader: Reader,
    metrics: Arc<Metrics>,
    photos: Photos,
    clock: Clock,
    version: watch::Sender<u64>,
    cloud_is_up: Arc<AtomicBool>,
}

impl Rooms {
    fn pages(&self, settings: &Settings, book: &RulesBook, ticket_key: &tills::Secret) -> Router {
        let (metrics, samples) = (Arc::clone(&self.metrics), Arc::clone(&self.metrics));
        let reject = Arc::clone(&self.metrics);
        let tills = tills::Settings {
            handle: self.handle.clone(),
            reader: self.reader.clone(),
            photos: self.photos.clone(),
            terminals: settings.terminals.clone(),
            operators: settings.operators.clone(),
            lanes: settings.lanes.keys().cloned().collect::<Vec<LaneId>>(),
            scanners: settings.scanners.clone(),
            merchants: settings.merchants.clone(),
            pricing: self.pricing(settings, book),
            site: settings.site.clone(),
            zone: settings.zone.clone(),
            cloud_is_up: Arc::clone(&self.cloud_is_up),
            reject: Arc::new(move |code| reject.rejected("tills", code)),
            open_from: self.open_from(settings),
            answer_timeout: tills::ANSWER_TIMEOUT,
            most_requests_per_s: settings.till_requests_per_s,
            read_rules: read_rules(settings.path.clone()),
            ticket_key: ticket_key.clone(),
            code_keys: settings.code_keys.clone().and_in(settings.key_file.clone(), sync::ledger_key),
        };
        let console = console::Settings {
            reader: self.reader.clone(),
            photos: self.photos.clone(),
            metrics: Arc::clone(&self.metrics),
            lanes: settings.signs.clone(),
            versions: self.version.subscribe(),
            cloud_is_up: Arc::clone(&self.cloud_is_up),
            spaces: spaces(book.clone()),
            zone: settings.zone.clone(),
            site: settings.site.clone(),
        };
        let reader = self.reader.clone();
        let text = [(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")];
        Router::new()
            .merge(tills::open(tills, settings.till_lines.clone()))
            .merge(console::router(console))
            .route("/metrics", get(async move || (text, exposing(&reader, &metrics).await.text())))
            .route("/metrics/plate-to-raise.json", get(async move || axum::Json(samples.latency_samples_us())))
    }

    /// The first business day that is not to be closed yet, where the settings say when the box closes days.
    fn open_from(&self, settings: &Settings) -> Option<tills::OpenFrom> {
        let (clock, zone, closes_min) = (self.clock.clone(), settings.zone.clone(), settings.day_closes_min?);
        Some(Arc::new(move || {
            let now = clock.now();
            now.trusted.then(|| site::business_day(&zone, closes_min, now.utc))
        }))
    }

    fn lists(&self, settings: &Settings, book: &RulesBook) -> devices::lists::Settings {
        let book = book.clone();
        let rights: devices::lists::Rights =
            Arc::new(move |at| book.in_force().map(|rules| rules.admission.standing(at)).unwrap_or_default());
        let (reader, zone) = (self.reader.clone(), settings.zone.clone());
        devices::lists::Settings { reader, rights, folder: settings.ledger.with_extension("lists"), zone }
    }

    fn signs(&self, settings: &Settings, book: &RulesBook) -> devices::signs::Settings {
        let (words, pay_code) = settings.words.clone();
        let (reader, versions, spaces) = (self.reader.clone(), self.version.subscribe(), spaces(book.clone()));
        devices::signs::Settings { reader, versions, spaces, words, pay_code }
    }

    fn pricing(&self, settings: &Settings, book: &RulesBook) -> tills::Pricing {
        let (clock, today, at_sale) = (self.clock.clone(), self.clock.clone(), self.clock.clone());
        let (zone, day_begins_min) = (settings.zone.clone(), settings.day_begins_min);
        let (of_version, of_stay, of_sheet) = (book.clone(), book.clone(), book.clone());
        let of_gifts = book.clone();
        let (of_sale, of_points, of_zones) = (book.clone(), book.clone(), book.clone());
        tills::Pricing {
            now: Arc::new(move || clock.utc()),
            today: Arc::new(move || site::business_day(&zone, day_begins_min, today.utc())),
            rules: Arc::new(move |version| of_version.version(version)),
            quote: Arc::new(move |stay, prior, known, at| {
                let rules = of_stay.version(stay.rules)?;
                // What points the member has is told apart; here it is only what they may pay.
                let moment = benefit::Moment { at, trusted: true };
                let outcome = benefit::quote(&rules, stay, prior, known, &Purse::new(), moment);
                let points_needed = rules.points_needed(outcome.due);
                let (due, points_cap, not_used) = (outcome.due, rules.payable(outcome.points_cap), outcome.not_used);
                Some(tills::StayPrice { fee: outcome.fee, due, points_needed, points_cap, not_used })
            }),
            earned: Arc::new(move |basket| {
                let Some(rules) = of_sale.in_force() else { return (Ok(benefit::SaleEarns::default()), None) };
                let now = at_sale.now();
                let sale = benefit::SaleFacts { at: now.utc, trusted: now.trusted, ..basket.sale.clone() };
                let moment = benefit::Moment { at: now.utc, trusted: now.trusted };
                let level = benefit::price_level(&rules, basket.member, &sale, moment);
                (benefit::promise(&rules, &benefit::Basket { sale: &sale, ..*basket }), level)
            }),
            zones: Arc::new(move || {
                let rules = of_zones.in_force();
                rules.map_or(Vec::new(), |rules| rules.tariffs.lots().map(|lot| lot.id.get_ref().clone()).collect())
            }),
            gifts: Arc::new(move || of_gifts.in_force().map_or(Vec::new(), |rules| rules.benefits.validations.clone())),
            sheet: Arc::new(move || of_sheet.in_force().map_or(Vec::new(), |rules| rules.benefits.in_words())),
            worth: Arc::new(move |points, most| {
                let worth = |rules: Arc<Rules>| rules.payable(rules.points_worth(points).min(most));
                of_points.in_force().map_or(Fen(0), worth)
            }),
        }
    }

    /// What the witness on another disk remembers. One that cannot be read stops the start: its owner put it there for a
    /// reason.
    fn remembered(&self, settings: &Settings) -> anyhow::Result<Option<JournalHead>> {
        let Some(path) = &settings.witness else { return Ok(None) };
        Ok(WitnessFile::open(path)?.1)
    }

    fn keep_witness(&self, settings: &Settings, heads: watch::Receiver<JournalHead>) -> anyhow::Result<()> {
        if let Some(path) = &settings.witness {
            tokio::spawn(witness::keep(WitnessFile::open(path)?.0, heads));
        }
        Ok(())
    }

    fn start_sync(&self, settings: &Settings) {
        let Some(cloud) = settings.cloud.clone() else {
            info!("no [cloud] in the settings: members and grants stay as they are");
            return;
        };
        let sync = sync::Settings {
            cloud,
            box_id: settings.box_id.clone(),
            key_file: settings.key_file.clone(),
            handle: self.handle.clone(),
            reader: self.reader.clone(),
            version: self.version.clone(),
            is_up: Arc::clone(&self.cloud_is_up),
        };
        tokio::spawn(async move {
            if let Err(error) = sync::run(sync).await {
                error!("the sync with the cloud ledger stopped: {error:#}");
            }
        });
    }
}
