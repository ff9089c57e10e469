//! One display or speaker: told the newest of what it is to show and say, seldom enough for it, and again when it is back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, sleep_until};

use crate::devices::order::Outcome;
use crate::devices::telling::Teller;
use crate::domain::event::{DeviceId, Fen, LaneId};
use crate::domain::notice::Word;
use crate::domain::plate::Plate;
use crate::metrics::Metrics;
use crate::profile::Profile;
use crate::profile::language::{Arg, FREE_BAYS, PAY_SCREEN, SAY, SHOW};
use crate::profile::template::{Value, Values};

/// Between two screens: nobody reads faster, and a card takes as long to draw one.
const SCREEN_PAUSE: Duration = Duration::from_millis(500);
/// Between two sentences: a shorter one is not understood.
const VOICE_PAUSE: Duration = Duration::from_millis(1_500);
/// Between two numbers of free bays.
const BAYS_PAUSE: Duration = Duration::from_secs(3);
/// How long a payment code stays; it is shown again before that, while the vehicle stands there.
const CODE_S: i64 = 120;
/// How long before its end a code is shown again.
const CODE_AGAIN: Duration = Duration::from_secs(110);
/// The first pause after a display that did not take something, and the longest.
const AWAY_PAUSE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));

/// How often it is looked whether the device was away: what it showed may be gone with its power.
const LOOK: Duration = Duration::from_secs(1);

/// What one device is to show and say now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Its screen; none where it is no display.
    pub screen: Option<Screen>,
    /// How many bays are free, and in words.
    pub bays: Option<(i64, String)>,
    /// What is said.
    pub voice: Option<Voice>,
}

/// A whole screen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Screen {
    pub lines: Vec<String>,
    /// The payment code.
    pub code: Option<String>,
}

/// A sentence, said once for what it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Voice {
    pub about: (LaneId, Word, Option<Plate>, Option<Fen>),
    pub text: String,
}

/// What a device is told with one order.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Content {
    Screen(Screen),
    Bays(i64, String),
    Voice(Voice),
}

/// One kind of what a device is told: what it was told last, and not before when it is told again.
struct Track {
    told: Option<Content>,
    /// From when on what it was told does not count any more.
    fades: Option<Instant>,
    not_before: Instant,
    pause: Duration,
}

/// One display or speaker.
pub(super) struct Sign {
    device: DeviceId,
    /// The arguments of each of its orders.
    orders: BTreeMap<&'static str, BTreeMap<String, Arg>>,
    teller: Teller,
    /// One order at a time on its link, so that a raise finds at most one before it.
    turn: Arc<Mutex<()>>,
    metrics: Arc<Metrics>,
    tracks: [Track; 3],
    away: Duration,
    was_lost: bool,
    shows_code: bool,
}

impl Sign {
    pub fn new(
        device: DeviceId,
        profile: &Profile,
        teller: Teller,
        turn: Arc<Mutex<()>>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let orders = [SHOW, SAY, PAY_SCREEN, FREE_BAYS];
        let orders = orders.into_iter().filter_map(|order| Some((order, profile.args(order)?.clone()))).collect();
        let track = |pause| Track { told: None, fades: None, not_before: Instant::now(), pause };
        let tracks = [track(SCREEN_PAUSE), track(BAYS_PAUSE), track(VOICE_PAUSE)];
        Self { device, orders, teller, turn, metrics, tracks, away: AWAY_PAUSE.0, was_lost: false, shows_code: false }
    }

    /// Until nothing is wanted of it any more.
    pub async fn run(mut self, mut wanted: watch::Receiver<Wanted>) {
        loop {
            self.look_whether_it_is_back();
            // Only the newest is told: what others of the link were told meanwhile may have taken its time.
            let turn = Arc::clone(&self.turn).lock_owned().await;
            let contents = self.contents(&wanted.borrow_and_update().clone());
            let now = Instant::now();
            let mut next: Option<Instant> = None;
            let mut is_told = false;
            for (number, content) in contents.into_iter().enumerate() {
                let track = &mut self.tracks[number];
                let Some(content) = content else {
                    track.told = None;
                    continue;
                };
                let has_faded = track.fades.is_some_and(|end| end <= now);
                if track.told.as_ref() == Some(&content) && !has_faded {
                    next = track.fades.into_iter().chain(next).min();
                } else if track.not_before > now {
                    next = Some(next.map_or(track.not_before, |next| next.min(track.not_before)));
                } else {
                    self.tell(number, content).await;
                    is_told = true;
                    // What was wanted may be old by now.
                    break;
                }
            }
            drop(turn);
            if is_told {
                continue;
            }
            let look = Instant::now() + LOOK;
            let wake = sleep_until(next.map_or(look, |next| next.min(look)));
            tokio::select! {
                changed = wanted.changed() => if changed.is_err() { return },
                () = wake => {}
            }
        }
    }

    /// One that was away shows nothing any more; a sentence was for those who stood there then.
    fn look_whether_it_is_back(&mut self) {
        let is_lost = self.metrics.health.of(self.device.as_str()).is_some_and(|health| health.trouble.is_some());
        if std::mem::replace(&mut self.was_lost, is_lost) && !is_lost {
            let [screen, bays, _] = &mut self.tracks;
            (screen.told, bays.told, self.shows_code) = (None, None, false);
        }
    }

    /// What of it this device can be told, by the orders that its profile has: screen, bays, voice.
    fn contents(&self, wanted: &Wanted) -> [Option<Content>; 3] {
        let has = |order| self.orders.contains_key(order);
        let bays = wanted.bays.clone().filter(|_| has(FREE_BAYS));
        // The number is a screen of its own.
        let screen = wanted.screen.clone().filter(|_| bays.is_none()).and_then(|screen| {
            let code = screen.code.filter(|_| has(PAY_SCREEN));
            let is_seen = has(SHOW) || code.is_some() || self.shows_code;
            is_seen.then_some(Screen { code, ..screen })
        });
        let voice = wanted.voice.clone().filter(|_| has(SAY));
        [screen.map(Content::Screen), bays.map(|(free, text)| Content::Bays(free, text)), voice.map(Content::Voice)]
    }

    async fn tell(&mut self, number: usize, content: Content) {
        let was_away = self.away > AWAY_PAUSE.0;
        let outcome = self.ordered(&content).await;
        let now = Instant::now();
        let word = outcome.as_ref().map_or("not-allowed", |outcome| outcome.word());
        self.metrics.sign_told(self.device.as_str(), word);
        let track = &mut self.tracks[number];
        track.fades = None;
        match outcome {
            Some(Outcome::Silent(why) | Outcome::NotSent(why)) => {
                // A sentence that comes late is about somebody else.
                track.told = matches!(content, Content::Voice(_)).then_some(content);
                track.not_before = now + self.away;
                if !was_away {
                    tracing::warn!(device = %self.device, why, "a sign takes nothing; the lane goes on");
                }
                self.away = (self.away * 2).min(AWAY_PAUSE.1);
            }
            // What the device or its profile refuses, it refuses again.
            Some(Outcome::Taken | Outcome::Unconfirmed(_) | Outcome::Refused(_)) | None => {
                let code = matches!(&content, Content::Screen(Screen { code: Some(_), .. }));
                if matches!(content, Content::Screen(_)) {
                    self.shows_code = code;
                }
                track.fades = code.then_some(now + CODE_AGAIN);
                track.told = Some(content);
                track.not_before = now + track.pause;
                self.away = AWAY_PAUSE.0;
            }
        }
    }

    /// `None` where the profile does not allow it, or a text does not fit its frame.
    async fn ordered(&self, content: &Content) -> Option<Outcome> {
        let (order, values) = match content {
            Content::Screen(Screen { lines, code: Some(code) }) => (PAY_SCREEN, pay(code, lines)),
            Content::Screen(Screen { lines, code: None }) => {
                if self.shows_code && self.keeps_code() {
                    let cleared = self.order(PAY_SCREEN, pay("", &[])).await;
                    if !self.orders.contains_key(SHOW) || !matches!(cleared, Some(Outcome::Taken)) {
                        return cleared;
                    }
                }
                (SHOW, show(lines))
            }
            Content::Bays(free, text) => (FREE_BAYS, bays(*free, text)),
            Content::Voice(voice) => (SAY, Values::from([("text".to_owned(), Value::Text(voice.text.clone()))])),
        };
        self.order(order, values).await
    }

    /// Whether a code stays on the device's screen until it is taken away.
    fn keeps_code(&self) -> bool {
        self.orders.get(PAY_SCREEN).is_some_and(|args| !args.contains_key("seconds"))
    }

    async fn order(&self, order: &'static str, values: Values) -> Option<Outcome> {
        let known = self.orders.get(order)?;
        let values: Values = values.into_iter().filter(|(name, _)| known.contains_key(name)).collect();
        match self.teller.tell(self.device.as_str(), order, values).await {
            Ok(outcome) => Some(outcome),
            Err(error) => {
                self.metrics.rejected("devices", "sign-not-allowed");
                tracing::warn!(device = %self.device, order, %error, "a sign cannot be told");
                None
            }
        }
    }
}

/// The house's words for a screen of text: rows for a card, one text for others.
fn show(lines: &[String]) -> Values {
    let row = |(row, line): (usize, &String)| {
        let row = i64::try_from(row).unwrap_or_default();
        Values::from([("row".to_owned(), Value::Integer(row)), ("text".to_owned(), Value::Text(line.clone()))])
    };
    let rows = lines.iter().enumerate().map(row).collect();
    Values::from([
        ("lines".to_owned(), Value::Rows(rows)),
        ("text".to_owned(), Value::Text(lines.join("\n"))),
        ("voice".to_owned(), Value::Text(String::new())),
    ])
}

fn pay(code: &str, lines: &[String]) -> Values {
    Values::from([
        ("code".to_owned(), Value::Text(code.to_owned())),
        ("text".to_owned(), Value::Text(lines.join(","))),
        ("seconds".to_owned(), Value::Integer(CODE_S)),
    ])
}

fn bays(free: i64, text: &str) -> Values {
    Values::from([("count".to_owned(), Value::Integer(free.max(0))), ("text".to_owned(), Value::Text(text.to_owned()))])
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;
    use tokio::task::JoinHandle;

    use super::*;
    use crate::devices::allowance::Allowance;
    use crate::devices::order::Order;
    use crate::domain::event::UtcMs;
    use crate::profile::Catalogue;

    const ORDERS: usize = 4;

    /// Whatever is wanted in between: a display that is told more often than it can draw shows nothing at all.
    #[tokio::test]
    async fn a_screen_that_changes_all_the_time_is_told_twice_a_second_and_only_the_newest() {
        let (wanted, mut orders, sign, _) = open();
        let mut told: Vec<(Instant, i64)> = Vec::new();
        let mut newest = 0;
        while told.len() < ORDERS {
            newest += 1;
            wanted.send_replace(Wanted { screen: Some(of(newest)), ..Wanted::default() });
            let Ok(order) = tokio::time::timeout(Duration::from_millis(2), orders.recv()).await else { continue };
            let order = order.expect("the sign is there");
            told.push((Instant::now(), shown(&order)));
            assert!(newest - shown(&order) <= 1, "only the newest is told, not all that was wanted meanwhile");
            taken(order);
        }
        for pair in told.windows(2) {
            assert!(pair[1].0 - pair[0].0 >= SCREEN_PAUSE - Duration::from_millis(20), "{told:?}");
        }
        assert!(newest > told[ORDERS - 1].1.min(20), "far more was wanted than was told");
        sign.abort();
    }

    #[tokio::test]
    async fn a_sentence_is_said_once_for_what_it_is_about() {
        let (wanted, mut orders, sign, _) = open();
        for _ in 0..3 {
            let about = ("in".into(), Word::Welcome, None, None);
            let voice = Some(Voice { about, text: "欢迎光临".to_owned() });
            wanted.send_replace(Wanted { voice, ..Wanted::default() });
        }
        let order = orders.recv().await.expect("it is said");
        assert_eq!(order.command, SAY);
        taken(order);
        let again = tokio::time::timeout(VOICE_PAUSE + VOICE_PAUSE / 4, orders.recv()).await;
        assert!(again.is_err(), "and not again while nothing has changed");
        sign.abort();
    }

    /// Its screen went dark with its power, and nobody changes what it is to show.
    #[tokio::test]
    async fn a_screen_that_was_away_shows_it_again() {
        let (wanted, mut orders, sign, metrics) = open();
        wanted.send_replace(Wanted { screen: Some(of(1)), ..Wanted::default() });
        taken(orders.recv().await.expect("it is shown"));
        let unchanged = tokio::time::timeout(LOOK * 3, orders.recv()).await;
        assert!(unchanged.is_err(), "what it shows it is not told again");
        metrics.health.is_gone("card");
        assert!(tokio::time::timeout(LOOK * 3, orders.recv()).await.is_err(), "it is away");
        metrics.health.heard("card");
        let again = tokio::time::timeout(LOOK * 30, orders.recv()).await.expect("in time").expect("it is shown again");
        assert_eq!(shown(&again), 1);
        sign.abort();
    }

    /// A card as a sign, and what its link is told.
    fn open() -> (watch::Sender<Wanted>, mpsc::Receiver<Order>, JoinHandle<()>, Arc<Metrics>) {
        let catalogue = Catalogue::load(None).expect("the shipped profiles");
        let profile = catalogue.profile("kf/dc199").expect("it is shipped").clone();
        let device = DeviceId::from("card");
        let devices = BTreeMap::from([(device.clone(), ("line".to_owned(), profile.clone()))]);
        let teller = Teller::new(devices, Allowance::remembered_in(None), Arc::new(|| UtcMs(0)));
        let (queue, orders) = mpsc::channel(8);
        teller.connect(BTreeMap::from([("line".to_owned(), queue)]));
        let (wanted, newest) = watch::channel(Wanted::default());
        let metrics = Arc::new(Metrics::default());
        let sign = Sign::new(device, &profile, teller, Arc::default(), Arc::clone(&metrics));
        (wanted, orders, tokio::spawn(sign.run(newest)), metrics)
    }

    fn of(number: i64) -> Screen {
        Screen { lines: vec![number.to_string()], code: None }
    }

    fn shown(order: &Order) -> i64 {
        let Some(Value::Rows(rows)) = order.args.get("lines") else { panic!("a screen, not {order:?}") };
        rows[0]["text"].written().parse().expect("a number")
    }

    fn taken(order: Order) {
        assert!(order.end(Outcome::Taken, &Metrics::default()).is_none(), "no loop waits for it");
    }
}
