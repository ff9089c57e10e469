//! Displays and speakers at the lanes: whenever a decision is on disk, drivers see and hear what it means for them.
//!
//! It is told after the raise, by what the ledger says, and only the newest of it: no display ever holds up a lane.

mod telling;
mod words;

pub use words::{Language, Words};

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::telling::Teller;
use crate::domain::capacity::Counts;
use crate::domain::event::{DeviceId, LaneId};
use crate::domain::lane::Direction;
use crate::domain::notice::{Notice, Word};
use crate::metrics::Metrics;
use crate::store::reader::{ReadError, Reader, View};
use telling::{Screen, Sign, Voice, Wanted};
use words::Besides;

/// Between two looks at the ledger: faster than an eye, and a burst of decisions is one look.
const PACE: Duration = Duration::from_millis(30);

/// Between two counts of the free bays: all vehicles inside are looked at for it.
const BAYS_LOOK: Duration = Duration::from_secs(1);

/// Tells how many bays there are where.
pub type Spaces = Arc<dyn Fn() -> Vec<(String, u32)> + Send + Sync>;

/// What a lane has to tell its drivers with.
#[derive(Clone, Debug)]
pub struct SignPlan {
    /// Which lane.
    pub lane: LaneId,
    /// Which way it leads.
    pub direction: Direction,
    /// The inner lot to which it leads; empty: the car park itself.
    pub zone: String,
    /// Its display.
    pub display: Option<DeviceId>,
    /// What speaks there.
    pub speaker: Option<DeviceId>,
}

/// What the site says, and where it is looked up.
#[derive(Clone)]
pub struct Settings {
    /// The way to look at the ledger file.
    pub reader: Reader,
    /// Tells that something was written.
    pub versions: watch::Receiver<u64>,
    /// How many bays there are.
    pub spaces: Spaces,
    /// The sentences.
    pub words: Words,
    /// The address behind a payment code, with `{stay}`, `{lane}` and `{due_fen}` in it; none: no code is shown.
    pub pay_code: Option<String>,
}

/// What a lane's drivers are to be told now.
struct Told {
    notice: Notice,
    besides: Besides,
}

/// Keeps the signs of all lanes as the ledger has it, until the loop is gone.
pub(super) async fn keep(plans: Vec<SignPlan>, settings: Settings, teller: Teller, metrics: Arc<Metrics>) {
    let mut signs = JoinSet::new();
    let wanted = open(&plans, &teller, &metrics, &mut signs);
    let mut versions = settings.versions.clone();
    let counts_bays = plans.iter().any(|plan| plan.direction == Direction::Entry && plan.display.is_some());
    let mut counted: Option<(Instant, Counts)> = None;
    loop {
        versions.borrow_and_update();
        let spaces = if counts_bays { (settings.spaces)() } else { Vec::new() };
        let known = counted.as_ref().filter(|(at, _)| at.elapsed() < BAYS_LOOK).map(|(_, counts)| counts.clone());
        let is_old = known.is_some();
        let looking = plans.clone();
        match settings.reader.look(move |view| look_at_all(view, &looking, &spaces, known)).await {
            Ok((told, counts)) => {
                plans.iter().zip(&told).for_each(|(plan, told)| settings.want(plan, told, &wanted));
                if !is_old {
                    counted = Some((Instant::now(), counts));
                }
            }
            Err(error) => tracing::warn!(%error, "the signs cannot be looked up"),
        }
        let changed = if is_old {
            // The free bays may have changed since they were counted.
            timeout(BAYS_LOOK, versions.changed()).await.unwrap_or(Ok(()))
        } else {
            versions.changed().await
        };
        if changed.is_err() {
            return;
        }
        tokio::time::sleep(PACE).await;
    }
}

/// What each lane tells, and how many vehicles are where: counted now where that is not known.
fn look_at_all(
    view: &View<'_>,
    plans: &[SignPlan],
    spaces: &[(String, u32)],
    known: Option<Counts>,
) -> Result<(Vec<Told>, Counts), ReadError> {
    let counts = match known {
        Some(counts) => counts,
        None if spaces.is_empty() => Counts::default(),
        None => view.counts()?,
    };
    let told = plans.iter().map(|plan| look(view, plan, spaces, &counts)).collect::<Result<_, _>>()?;
    Ok((told, counts))
}

/// A task for each device that shows or says something.
fn open(
    plans: &[SignPlan],
    teller: &Teller,
    metrics: &Arc<Metrics>,
    signs: &mut JoinSet<()>,
) -> BTreeMap<DeviceId, watch::Sender<Wanted>> {
    let mut links: BTreeMap<String, Arc<Mutex<()>>> = BTreeMap::new();
    let mut wanted = BTreeMap::new();
    for device in plans.iter().flat_map(|plan| plan.display.iter().chain(&plan.speaker)) {
        let Some((link, profile)) = teller.device(device) else { continue };
        if wanted.contains_key(device) {
            continue;
        }
        let turn = Arc::clone(links.entry(link.clone()).or_default());
        let (sender, receiver) = watch::channel(Wanted::default());
        let sign = Sign::new(device.clone(), profile, teller.clone(), turn, Arc::clone(metrics));
        signs.spawn(sign.run(receiver));
        wanted.insert(device.clone(), sender);
    }
    wanted
}

impl Settings {
    fn want(&self, plan: &SignPlan, told: &Told, wanted: &BTreeMap<DeviceId, watch::Sender<Wanted>>) {
        let Told { notice, besides } = told;
        let (lines, voice) = (self.words.lines(notice, besides), self.words.voice(notice, besides));
        let bays = besides.free.filter(|_| notice.word == Word::Standby);
        let code = self.pay_code(plan, notice);
        if let Some(display) = plan.display.as_ref().and_then(|display| wanted.get(display)) {
            let screen = Some(Screen { lines: lines.clone(), code });
            let bays = bays.map(|free| (free, self.words.free_bays(free)));
            change(display, |wanted| (wanted.screen, wanted.bays) = (screen, bays));
        }
        if let Some(speaker) = plan.speaker.as_ref().and_then(|speaker| wanted.get(speaker)) {
            let about = (plan.lane.clone(), notice.word, notice.plate.clone(), notice.due);
            let voice = voice.map(|text| Voice { about, text });
            change(speaker, |wanted| wanted.voice = voice);
        }
    }

    /// What is due is asked for with a code; a plate is in none, because whoever stands behind could read it.
    fn pay_code(&self, plan: &SignPlan, notice: &Notice) -> Option<String> {
        let (template, stay, due) = (self.pay_code.as_ref()?, notice.stay.as_ref()?, notice.due?);
        let code = template.replace("{stay}", stay.as_str()).replace("{lane}", plan.lane.as_str());
        Some(code.replace("{due_fen}", &due.0.to_string()))
    }
}

/// Wakes the device's task only where something is new.
fn change(sender: &watch::Sender<Wanted>, write: impl FnOnce(&mut Wanted)) {
    sender.send_if_modified(|wanted| {
        let before = wanted.clone();
        write(wanted);
        *wanted != before
    });
}

fn look(view: &View<'_>, plan: &SignPlan, spaces: &[(String, u32)], counts: &Counts) -> Result<Told, ReadError> {
    let lane = view.lane(&plan.lane)?.unwrap_or_default();
    let stay = lane.stay().map(|stay| view.stay(stay)).transpose()?.flatten().map(|row| row.stay);
    let member = stay.as_ref().and_then(|stay| stay.member.as_ref());
    let tier = member.map(|member| view.member(member)).transpose()?.flatten().map(|row| row.tier);
    let notice = Notice::of(&lane, plan.direction, stay.as_ref());
    let is_asked = plan.direction == Direction::Entry && notice.word == Word::Standby;
    let here = spaces.iter().find(|(zone, _)| *zone == plan.zone).filter(|_| is_asked);
    let free = here.map(|(zone, spaces)| counts.free(zone, *spaces));
    let greeting = lane.visit().and_then(|visit| visit.greeting.clone());
    Ok(Told { notice, besides: Besides { tier, greeting, free } })
}
