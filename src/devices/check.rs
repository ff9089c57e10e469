//! A dry talk to every device of the settings: whether it is there and understands, what to do where it does not, and
//! never a barrier.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::planning::Plan;
use super::settings::LinkKind;
use super::{CannotTell, Clock, Outcome, Teller};
use crate::domain::event::DeviceId;
use crate::metrics::{DeviceHealth, Metrics, Trouble};
use crate::profile::Profile;
use crate::profile::language::Link;
use crate::profile::template::Values;
use crate::site::{Envelope, Handle};

/// How often it is looked whether all is known.
const LOOK: Duration = Duration::from_millis(20);
/// How far a device's clock may be off: a minute is on a receipt.
const CLOCK_OFF_MS: u64 = 60_000;
/// What may wait for the one who looks; nobody decides anything about it.
const INPUTS_MAX: usize = 256;

/// How one device is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Its name in the settings.
    pub device: String,
    /// Its profile, and the link on which it hangs.
    pub place: String,
    /// In a word.
    pub verdict: Verdict,
    /// What was seen.
    pub seen: String,
    /// What to do about it; nothing where all is well.
    pub advice: String,
}

/// In a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is there and understands.
    Well,
    /// It was not heard, and need not have been.
    Quiet,
    /// Something is to be done.
    Fault,
}

/// What the links know of every device.
#[derive(Clone, Debug)]
pub struct Watch {
    devices: Arc<BTreeMap<DeviceId, (String, Profile)>>,
    kinds: Arc<BTreeMap<String, LinkKind>>,
    metrics: Arc<Metrics>,
}

/// What a device answered to its profile's question, by its name.
type Told = BTreeMap<DeviceId, Result<Outcome, CannotTell>>;

/// One device with what its link is and says.
struct Looked<'l> {
    device: &'l str,
    profile: &'l Profile,
    link: &'l str,
    /// Its own stream, where the link has one for each device.
    line: String,
    kind: LinkKind,
    told: Option<&'l Result<Outcome, CannotTell>>,
}

/// Talks to every device for at most `wait`, and returns as soon as all is well. Nothing that devices say is written down,
/// so that they will say it again to the daemon.
pub async fn talk(plan: Plan, now: Clock, wait: Duration) -> Vec<Finding> {
    let (inputs, mut heard) = mpsc::channel::<Envelope>(INPUTS_MAX);
    let (_no_raises, actions) = mpsc::channel(1);
    let metrics = Arc::new(Metrics::default());
    let running = super::start(plan.for_a_look(), Handle::new(inputs), now, metrics, None, actions);
    let (teller, watch) = (running.teller(), running.watch());
    let look = async {
        let until = Instant::now() + wait;
        let mut asking = Asking::default();
        loop {
            asking.ask(&watch, &teller);
            if Instant::now() >= until {
                asking.give_up();
            }
            let found = watch.findings(&asking.told, wait);
            if found.iter().all(|finding| finding.verdict == Verdict::Well) || Instant::now() >= until {
                return found;
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    // Without an answer nothing counts as taken.
    let drop_all = async { while heard.recv().await.is_some() {} };
    let found = tokio::select! {
        found = look => found,
        () = drop_all => Vec::new(),
    };
    running.stop().await;
    found
}

/// The devices that are asked, and their answers so far.
#[derive(Default)]
pub(super) struct Asking {
    asked: BTreeSet<DeviceId>,
    answers: JoinSet<(DeviceId, Result<Outcome, CannotTell>)>,
    told: Told,
}

impl Asking {
    /// Asks those whose links are there now, all at once: one that does not answer takes no time from the others.
    pub fn ask(&mut self, watch: &Watch, teller: &Teller) {
        for (device, (link, profile)) in watch.devices.iter() {
            let may_ask = !self.asked.contains(device) && watch.metrics.is_link_up(&watch.line_of(device, link));
            if let Some(question) = profile.head().check.as_ref().filter(|_| may_ask) {
                self.asked.insert(device.clone());
                let (teller, device, question) = (teller.clone(), device.clone(), question.get_ref().clone());
                self.answers.spawn(async move {
                    let answer = teller.tell(device.as_str(), &question, Values::new()).await;
                    (device, answer)
                });
            }
        }
        while let Some(Ok((device, answer))) = self.answers.try_join_next() {
            self.told.insert(device, answer);
        }
    }

    /// Who has not answered by now does not.
    fn give_up(&mut self) {
        for device in &self.asked {
            self.told.entry(device.clone()).or_insert_with(|| Ok(Outcome::silent("no answer in time")));
        }
    }
}

impl Watch {
    /// For devices with their links and profiles, and what each link is.
    pub(super) fn new(
        devices: BTreeMap<DeviceId, (String, Profile)>,
        kinds: BTreeMap<String, LinkKind>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { devices: Arc::new(devices), kinds: Arc::new(kinds), metrics }
    }

    /// What is known by now, where the links have run for `since`.
    pub fn now(&self, since: Duration) -> Vec<Finding> {
        self.findings(&Told::new(), since)
    }

    fn findings(&self, told: &Told, since: Duration) -> Vec<Finding> {
        let finding = |(device, (link, profile)): (&DeviceId, &(String, Profile))| {
            let kind = self.kinds.get(link).copied().unwrap_or(LinkKind::Mqtt);
            let line = self.line_of(device, link);
            let looked = Looked { device: device.as_str(), profile, link, line, kind, told: told.get(device) };
            looked.finding(&self.metrics, since)
        };
        self.devices.iter().map(finding).collect()
    }

    /// What must be there for a device: its link, or where that has a stream for each device its own one.
    fn line_of(&self, device: &DeviceId, link: &str) -> String {
        match self.kinds.get(link) {
            Some(LinkKind::HttpStream) => super::stream::line_of(link, device),
            _ => link.to_owned(),
        }
    }
}

impl Looked<'_> {
    fn finding(&self, metrics: &Metrics, wait: Duration) -> Finding {
        let place = format!("{} on {}", self.profile.id(), self.link);
        let health = metrics.health.of(self.device);
        let unheard = metrics.health.unheard(self.device);
        let (verdict, seen, advice) = if !unheard.is_empty() {
            self.unheard(&unheard)
        } else if metrics.is_link_up(&self.line) {
            self.on_its_link(health.as_ref(), wait)
        } else if let Some(trouble) = health.as_ref().and_then(|health| health.trouble) {
            // A stream is a link of its own device.
            (Verdict::Fault, words(trouble).to_owned(), self.advice(trouble))
        } else {
            let why = metrics.health.why_down(&self.line).unwrap_or_else(|| "it is not there".to_owned());
            (Verdict::Fault, format!("the link {} is down: {why}", self.link), self.advice_for_link(&why))
        };
        Finding { device: self.device.to_owned(), place, verdict, seen, advice }
    }

    /// Whatever else is well with it: what is refused may be the vehicles.
    fn unheard(&self, topics: &[String]) -> (Verdict, String, String) {
        let topics = topics.join(" and ");
        let seen = format!("the broker of the link {} refuses the subscription to {topics}", self.link);
        let advice = format!(
            "in the broker's access list, let the username of the link {} subscribe to and read {topics}",
            self.link
        );
        (Verdict::Fault, seen, advice)
    }

    fn on_its_link(&self, health: Option<&DeviceHealth>, wait: Duration) -> (Verdict, String, String) {
        if let Some(Ok(Outcome::Refused(why))) = self.told {
            let advice = "see what it says; its own page or manual tells more".to_owned();
            let trouble = health.and_then(|health| health.trouble);
            return match trouble {
                Some(trouble) => (Verdict::Fault, words(trouble).to_owned(), self.advice(trouble)),
                None => (Verdict::Fault, format!("it answers that something is wrong: {why}"), advice),
            };
        }
        match health.map(|health| (health.heard, health.trouble, health)) {
            Some((_, Some(trouble), _)) => (Verdict::Fault, words(trouble).to_owned(), self.advice(trouble)),
            Some((Some(heard), None, health)) => {
                let mut seen = format!("heard {} ms ago", heard.as_millis());
                let Some(offset_ms) = health.clock_offset_ms else { return (Verdict::Well, seen, String::new()) };
                let (off, side) = (offset_ms.unsigned_abs(), if offset_ms < 0 { "behind" } else { "ahead" });
                seen.push_str(&format!(", its clock is {off} ms {side}"));
                if off <= CLOCK_OFF_MS {
                    return (Verdict::Well, seen, String::new());
                }
                let advice =
                    "its time, time zone and time server on its own page; the box goes by its own clock until then";
                (Verdict::Fault, seen, advice.to_owned())
            }
            _ if self.profile.is_heard_always() || self.told.is_some() => {
                let seen = format!("nothing was heard of it in {} s", wait.as_secs());
                (Verdict::Fault, seen, self.advice(Trouble::Silent))
            }
            _ => {
                let seen =
                    format!("nothing was heard of it in {} s; it speaks only when something happens", wait.as_secs());
                (Verdict::Quiet, seen, "let a vehicle, a card or a contact make it speak during the check".to_owned())
            }
        }
    }

    /// What an installer does about it.
    fn advice(&self, trouble: Trouble) -> String {
        let on_a_line = "its power, A and B of the line, its address in params, baud and parity of the link";
        let text = match (self.profile.link(), trouble) {
            (Link::Osdp, Trouble::Login) => {
                "give the reader the key that the settings have, or the settings the reader's"
            }
            (_, Trouble::Login) => {
                "set username and password of the device in the settings; many cameras lock after a few wrong tries"
            }
            (Link::ModbusRtu | Link::Serial | Link::Osdp | Link::Wiegand, Trouble::Garbled) => {
                "baud and parity of the link are not the device's, two devices share one address, or the line is not \
                 terminated"
            }
            (_, Trouble::Garbled) => {
                "`gatepost profile record` what it sends and `gatepost profile try` the profile with it: its firmware may \
                 speak otherwise"
            }
            (_, Trouble::Gone) => "its power, and its way to the broker",
            (_, Trouble::Refused) => {
                "the device knows other commands than its profile: see whether the profile is its own"
            }
            (Link::Mqtt, Trouble::Silent) => {
                "in the device: the broker's address and port, and that it is switched on; in the settings: its name in params; \
                 in the broker: that its access list lets the link's username read the device's topics, because mosquitto \
                 refuses nothing and keeps silent"
            }
            (Link::Http, Trouble::Silent) if self.kind == LinkKind::HttpAsk => {
                "in the device: its power and cable, and that its program runs; in the settings: its address with the port"
            }
            (Link::Http, Trouble::Silent) if self.profile.head().check.is_some() => {
                "its power and cable, and its address in the settings"
            }
            (Link::Http, Trouble::Silent) => {
                "in the device: the box's address, port and path; in the settings: its address and its name in params"
            }
            (Link::ModbusTcp, Trouble::Silent) => {
                "its power and cable, host and port of the link, its address in params"
            }
            (Link::ModbusRtu | Link::Serial | Link::Osdp | Link::Wiegand, Trouble::Silent) => {
                return format!("look after {on_a_line}");
            }
        };
        text.to_owned()
    }

    fn advice_for_link(&self, why: &str) -> String {
        let says = |words: &[&str]| words.iter().any(|word| why.contains(word));
        let text = match self.kind {
            _ if says(&["busy", "in use"]) => {
                "another program has it: stop the daemon for the check (systemctl stop gatepost)"
            }
            _ if says(&["ermission denied"]) => "let this user use the port: usermod -a -G dialout gatepost",
            LinkKind::Mqtt if says(&["BadUserNamePassword", "NotAuthorized", "UserName"]) => {
                "username and password of the link, as the broker's password file has them"
            }
            LinkKind::Mqtt => "start the broker (systemctl start mosquitto), or set host and port of the link",
            LinkKind::Serial => {
                "plug in the adapter and set the link's path: ls -l /dev/serial/by-id names what is there"
            }
            LinkKind::Tcp => "power and cable of the gateway or board, host and port of the link",
            LinkKind::HttpPush => "set listen to an address of this box and a free port",
            LinkKind::HttpStream | LinkKind::HttpAsk => "power and cable of the device, its address in the settings",
            LinkKind::Tunnel => "see what is wrong with the device that carries the tunnel",
        };
        text.to_owned()
    }
}

fn words(trouble: Trouble) -> &'static str {
    match trouble {
        Trouble::Silent => "it does not answer",
        Trouble::Garbled => "what it sends is no answer",
        Trouble::Refused => "it refuses what it is asked",
        Trouble::Login => "it does not accept our login or key",
        Trouble::Gone => "it said that it goes, or its broker that it is gone",
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Well => "well ",
            Verdict::Quiet => "quiet",
            Verdict::Fault => "FAULT",
        };
        write!(f, "{verdict}  {:12}  {}: {}", self.device, self.place, self.seen)?;
        if self.advice.is_empty() { Ok(()) } else { write!(f, ". To do: {}", self.advice) }
    }
}
