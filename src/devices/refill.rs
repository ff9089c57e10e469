//! What a device said and nobody heard is asked for again, where the device can say it again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::order::Outcome;
use super::telling::Teller;
use crate::domain::event::DeviceId;
use crate::metrics::{Gap, Metrics};
use crate::profile::language::REFILL;
use crate::profile::template::{Value, Values};

/// How often it is looked for gaps.
const LOOK: Duration = Duration::from_millis(500);
/// Between two questions to one device: what it sends again takes its time, and lines are for vehicles.
const PAUSE: Duration = Duration::from_secs(10);

/// How often a question that a device did not answer, or that could not be put to it, is tried again: a camera that asks for
/// orders once a minute has heard it by then.
const TRIES_MAX: u32 = 12;

/// What is still to be asked of a device.
struct Open {
    gap: Gap,
    tries: u32,
}

/// What is still to be asked, and when each device was asked last.
#[derive(Default)]
struct Questions {
    waiting: BTreeMap<String, Open>,
    asked: BTreeMap<String, Instant>,
}

impl Questions {
    /// More of a device was never heard.
    fn add(&mut self, gap: &Gap) {
        let whole = self.waiting.remove(&gap.device).map_or(gap.clone(), |before| before.gap.with(gap));
        self.waiting.insert(gap.device.clone(), Open { gap: whole, tries: 0 });
    }

    /// What may be asked now; each device is then left in peace for a while.
    fn due(&mut self, now: Instant) -> Vec<Open> {
        let asked = &self.asked;
        let is_due = |device: &String| asked.get(device).is_none_or(|at| now.duration_since(*at) >= PAUSE);
        let due: Vec<String> = self.waiting.keys().filter(|device| is_due(device)).cloned().collect();
        self.asked.extend(due.iter().map(|device| (device.clone(), now)));
        due.iter().filter_map(|device| self.waiting.remove(device)).collect()
    }

    /// A question did not reach the line, or its answer did not come: it waits for the next time, so often and no more.
    fn again(&mut self, open: Open) {
        if open.tries < TRIES_MAX {
            self.waiting.insert(open.gap.device.clone(), Open { tries: open.tries + 1, ..open });
        }
    }

    /// So many of them were asked for; a device says only so many at once, and the rest is asked for after its pause.
    fn asked_for(&mut self, gap: &Gap, count: u64) {
        if let Some(count) = gap.count.checked_sub(count).filter(|rest| *rest > 0) {
            self.add(&Gap { device: gap.device.clone(), from: gap.from + (gap.count - count), count });
        }
    }
}

/// Looks for gaps in the devices' numbers until the loop is gone.
pub(super) async fn watch(teller: Teller, metrics: Arc<Metrics>) {
    let mut questions = Questions::default();
    loop {
        tokio::time::sleep(LOOK).await;
        metrics.health.take_gaps().iter().for_each(|gap| questions.add(gap));
        for open in questions.due(Instant::now()) {
            match ask(&teller, &open.gap).await {
                Some(count) => questions.asked_for(&open.gap, count),
                None => questions.again(open),
            }
        }
    }
}

/// How many were asked for; `None` where the question did not reach the line or was not answered. A device that cannot say it again is left
/// alone: the gap is counted.
async fn ask(teller: &Teller, gap: &Gap) -> Option<u64> {
    let Some((_, profile)) = teller.device(&DeviceId(gap.device.clone())) else { return Some(gap.count) };
    let Some(args) = profile.args(REFILL) else { return Some(gap.count) };
    let most = args.get("count").and_then(|arg| arg.max).and_then(|most| u64::try_from(most).ok());
    let count = gap.count.min(most.unwrap_or(u64::MAX));
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let all = [
        ("from", number(gap.from)),
        ("count", number(count)),
        // Some go on behind the last one that was heard.
        ("after", number(gap.from.saturating_sub(1))),
    ];
    let known = all.into_iter().filter(|(name, _)| args.contains_key(*name));
    let values: Values = known.map(|(name, value)| (name.to_owned(), Value::Integer(value))).collect();
    match teller.tell(&gap.device, REFILL, values).await {
        Ok(outcome) => {
            tracing::info!(
                device = gap.device,
                from = gap.from,
                count,
                of = gap.count,
                outcome = outcome.word(),
                "asked for what was never heard"
            );
            settled(&outcome, count, gap)
        }
        Err(error) => {
            tracing::warn!(device = gap.device, %error, "what was never heard cannot be asked for");
            Some(gap.count)
        }
    }
}

/// How many of the gap need not be asked for any more after a question for `count` of them; `None` where it is put again.
fn settled(outcome: &Outcome, count: u64, gap: &Gap) -> Option<u64> {
    match outcome {
        // Asking once more is harmless: what comes twice is known by its event.
        Outcome::NotSent(_) | Outcome::Silent(_) => None,
        Outcome::Taken | Outcome::Unconfirmed(_) => Some(count),
        // It would refuse the rest too.
        Outcome::Refused(_) => Some(gap.count),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_without_an_answer_is_put_again() {
        let why = || "why".to_owned();
        for (outcome, left) in [
            (Outcome::Taken, Some(100)),
            (Outcome::Unconfirmed(why()), Some(100)),
            (Outcome::Silent(why()), None),
            (Outcome::NotSent(why()), None),
            (Outcome::Refused(why()), Some(299)),
        ] {
            assert_eq!(settled(&outcome, 100, &gap(7, 299)), left, "{outcome:?}");
        }
    }

    #[test]
    fn a_device_is_asked_once_and_then_left_in_peace() {
        let (mut questions, now) = (Questions::default(), Instant::now());
        questions.add(&gap(7, 2));
        assert_eq!(asked(&questions.due(now)), [(7, 2)]);
        assert_eq!(asked(&questions.due(now + PAUSE * 2)), [], "the question was put");
        questions.add(&gap(12, 1));
        assert_eq!(asked(&questions.due(now + PAUSE / 2)), [], "it still answers the first");
        questions.add(&gap(20, 1));
        assert_eq!(asked(&questions.due(now + PAUSE)), [(12, 9)], "one question for all that is missing");
    }

    #[test]
    fn a_question_that_reaches_no_line_is_given_up_in_the_end() {
        let (mut questions, mut now, mut times) = (Questions::default(), Instant::now(), 0);
        questions.add(&gap(7, 2));
        while let Some(open) = questions.due(now).pop() {
            questions.again(open);
            times += 1;
            assert!(questions.due(now).is_empty(), "not before its pause is over");
            now += PAUSE;
        }
        assert_eq!(times, TRIES_MAX + 1);
    }

    #[test]
    fn what_a_device_does_not_say_at_once_is_asked_for_afterwards() {
        let (mut questions, now) = (Questions::default(), Instant::now());
        questions.add(&gap(7, 299));
        for (turn, due) in (0..).zip([(7, 299), (107, 199), (207, 99)]) {
            let open = questions.due(now + PAUSE * turn).pop().expect("the rest is asked for");
            assert_eq!((open.gap.from, open.gap.count), due);
            questions.asked_for(&open.gap, open.gap.count.min(100));
        }
        assert_eq!(asked(&questions.due(now + PAUSE * 3)), []);
    }

    fn gap(from: u64, count: u64) -> Gap {
        Gap { device: "cam".to_owned(), from, count }
    }

    fn asked(questions: &[Open]) -> Vec<(u64, u64)> {
        questions.iter().map(|open| (open.gap.from, open.gap.count)).collect()
    }
}
