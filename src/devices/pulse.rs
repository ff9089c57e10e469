//! Whether each device is there: the loop is told when one is away for more than a moment, and when it is back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Clock;
use super::hours::Hours;
use crate::domain::event::{DeviceId, Input, UtcMs};
use crate::metrics::{Metrics, Trouble};
use crate::site::Handle;

/// How often it is looked.
const LOOK: Duration = Duration::from_millis(250);
/// A shorter pause is a cable that was touched, or a broker that started again.
pub(super) const AWAY: Duration = Duration::from_secs(3);
/// A device that comes and goes is told ever more seldom, so that it cannot fill the journal.
const AWAY_MAX: Duration = Duration::from_secs(300);
/// One that stayed for so long is a good one again.
const STEADY: Duration = Duration::from_secs(600);

/// How it is known whether a device is there.
#[derive(Clone, Debug)]
pub struct PulsePlan {
    /// The link that it needs; none where its link is its own.
    pub link: Option<String>,
    /// After how long a silence it is away; none: it may be silent.
    pub silent: Option<Duration>,
    /// When a silence counts; none: always.
    pub hours: Option<Hours>,
}

/// What is known of one device.
struct Pulse {
    device: DeviceId,
    plan: PulsePlan,
    /// Since when something is wrong, and what.
    wrong: Option<(Instant, String)>,
    is_away: bool,
    patience: Duration,
    /// Since when it is as it is.
    since: Instant,
}

/// Looks after every device until the loop is gone.
pub(super) async fn watch(plans: BTreeMap<DeviceId, PulsePlan>, handle: Handle, clock: Clock, metrics: Arc<Metrics>) {
    let began = Instant::now();
    let pulse = |(device, plan)| Pulse { device, plan, wrong: None, is_away: false, patience: AWAY, since: began };
    let mut pulses: Vec<Pulse> = plans.into_iter().map(pulse).collect();
    loop {
        tokio::time::sleep(LOOK).await;
        for pulse in &mut pulses {
            let Some(input) = pulse.look(&metrics, began, clock()) else { continue };
            // Without the loop nobody is left to tell.
            if handle.submit(input).await.is_err() {
                return;
            }
        }
    }
}

impl Pulse {
    fn look(&mut self, metrics: &Metrics, began: Instant, time: UtcMs) -> Option<Input> {
        let now = Instant::now();
        let Some((why, is_certain)) = self.what_is_wrong(metrics, began, time) else {
            self.wrong = None;
            if now.duration_since(self.since) >= STEADY && !self.is_away {
                self.patience = AWAY;
            }
            return self.is_away.then(|| {
                (self.is_away, self.since) = (false, now);
                Input::DeviceBack { device: self.device.clone() }
            });
        };
        let (since, why) = self.wrong.get_or_insert((now, why)).clone();
        // What is certain need not be waited for, unless it has been said too often.
        let patience = if is_certain && self.patience == AWAY { Duration::ZERO } else { self.patience };
        if self.is_away || now.duration_since(since) < patience {
            return None;
        }
        (self.is_away, self.since) = (true, now);
        self.patience = (self.patience * 2).min(AWAY_MAX);
        Some(Input::DeviceLost { device: self.device.clone(), why })
    }

    /// What is wrong, and whether that is certain already.
    fn what_is_wrong(&self, metrics: &Metrics, began: Instant, time: UtcMs) -> Option<(String, bool)> {
        if let Some(link) = self.plan.link.as_ref().filter(|link| !metrics.is_link_up(link)) {
            return Some((format!("its link {link} is down"), false));
        }
        let health = metrics.health.of(self.device.as_str())?;
        if let Some(trouble) = health.trouble {
            return Some((words(trouble).to_owned(), trouble == Trouble::Gone));
        }
        let silent = self.plan.silent?;
        let heard = health.heard.unwrap_or_else(|| began.elapsed());
        // What is away stays so until it says something, whatever the hour.
        let counted = match &self.plan.hours {
            Some(hours) if !self.is_away => heard.min(hours.lasted(time)?),
            Some(_) | None => heard,
        };
        (counted >= silent).then(|| (format!("it has said nothing for {} s", silent.as_secs()), false))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silence_counts_within_its_hours_and_from_their_beginning_on() {
        let metrics = Metrics::default();
        metrics.health.expect("cam");
        let began = Instant::now() - Duration::from_secs(12 * 3600);
        let hours = Hours::read(&["08:00".to_owned(), "22:00".to_owned()], &jiff::tz::TimeZone::UTC);
        let plan = PulsePlan { link: None, silent: Some(Duration::from_secs(3600)), hours };
        let device = DeviceId::from("cam");
        let mut pulse = Pulse { device, plan, wrong: None, is_away: false, patience: AWAY, since: began };
        let at = |hour: i64, minute: i64| UtcMs(1_772_236_800_000 + (hour * 60 + minute) * 60_000);
        for (hour, minute, is_wrong) in [(7, 59, false), (8, 59, false), (9, 0, true), (21, 59, true), (22, 0, false)] {
            assert_eq!(pulse.what_is_wrong(&metrics, began, at(hour, minute)).is_some(), is_wrong, "{hour}:{minute}");
        }
        pulse.is_away = true;
        assert!(pulse.what_is_wrong(&metrics, began, at(22, 0)).is_some(), "it has not come back");
        metrics.health.heard("cam");
        assert!(pulse.what_is_wrong(&metrics, began, at(22, 0)).is_none());
        (pulse.is_away, pulse.plan.hours) = (false, None);
        assert!(pulse.what_is_wrong(&Metrics::default(), began, at(3, 0)).is_none(), "nothing is known of it");
    }
}
