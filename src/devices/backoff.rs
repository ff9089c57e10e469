//! Pauses between attempts: longer each time, up to a longest one, and short again once an attempt has worked; and which
//! of a link's ups and downs are worth a line in the log.

use std::time::{Duration, Instant};

/// A link that breaks earlier has not worked: one that comes up and breaks at once is tried less and less often.
const HELD: Duration = Duration::from_secs(5);
/// After so many of those in a row nothing is told until it holds; a cable that is torn out and put back is only one.
const SHORT_TOLD: u32 = 2;

/// The pauses of one line.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    /// From the first pause to the longest.
    pub fn new((first, longest): (Duration, Duration)) -> Self {
        Self { first, longest, next: first }
    }

    /// The pause before the next attempt.
    pub fn pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(self.longest);
        pause
    }

    /// An attempt has worked.
    pub fn worked(&mut self) {
        self.next = self.first;
    }
}

/// The attempts at one link.
#[derive(Debug)]
pub struct Attempts {
    backoff: Backoff,
    up_since: Option<Instant>,
    /// Since it last came up and that was told.
    is_outage_told: bool,
    /// So many in a row came up and did not hold.
    short: u32,
}

impl Attempts {
    /// Pauses from the first to the longest.
    pub fn new(pauses: (Duration, Duration)) -> Self {
        Self { backoff: Backoff::new(pauses), up_since: None, is_outage_told: false, short: 0 }
    }

    /// The link is up. Whether that is worth a line.
    pub fn comes(&mut self, now: Instant) -> bool {
        self.up_since = Some(now);
        !self.is_quiet()
    }

    /// Asked now and then while it is up: true once, where it holds after ones that did not, whose coming was not told.
    pub fn holds(&mut self, now: Instant) -> bool {
        let is_news = self.is_quiet() && self.has_held(now);
        if is_news {
            self.short = 0;
        }
        is_news
    }

    /// It broke, or did not come up. Whether that is worth a line, and the pause. What `works` not although it holds, such
    /// as a connection behind which nothing answers, is taken for short.
    pub fn goes(&mut self, works: bool, now: Instant) -> (bool, Duration) {
        let has_held = works && self.has_held(now);
        if has_held {
            self.backoff.worked();
        }
        let was_told = self.up_since.is_some() && !self.is_quiet();
        self.is_outage_told &= !has_held && !was_told;
        let is_short = self.up_since.take().is_some() && !has_held;
        self.short = if is_short { self.short.saturating_add(1) } else { 0 };
        (!std::mem::replace(&mut self.is_outage_told, true), self.backoff.pause())
    }

    fn is_quiet(&self) -> bool {
        self.short >= SHORT_TOLD
    }

    fn has_held(&self, now: Instant) -> bool {
        self.up_since.is_some_and(|since| now.saturating_duration_since(since) >= HELD)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_that_does_not_hold_is_tried_less_often_and_told_of_once() {
        let ms = Duration::from_millis;
        let mut now = Instant::now();
        let mut attempts = Attempts::new((ms(200), ms(800)));
        assert!(attempts.comes(now));
        assert_eq!(attempts.goes(true, now), (true, ms(200)));
        assert!(attempts.comes(now), "the first time, as after any outage");
        assert_eq!(attempts.goes(true, now), (true, ms(400)));
        for pause in [800, 800, 800] {
            assert!(!attempts.comes(now));
            now += HELD - ms(1);
            assert!(!attempts.holds(now));
            assert_eq!(attempts.goes(true, now), (false, ms(pause)));
        }
        // It holds, but nothing behind it answers.
        assert!(!attempts.comes(now));
        now += HELD;
        assert_eq!(attempts.goes(false, now), (false, ms(800)));
        assert!(!attempts.comes(now));
        now += HELD;
        assert!(attempts.holds(now), "told now");
        assert!(!attempts.holds(now), "and once");
        assert_eq!(attempts.goes(true, now), (true, ms(200)));
        // It is not there at all, for a while; then it is.
        assert_eq!([400, 800, 800].map(|_| attempts.goes(true, now)), [400, 800, 800].map(|pause| (false, ms(pause))));
        assert!(attempts.comes(now));
    }

    #[test]
    fn pauses_grow_to_the_longest_and_begin_anew_once_it_worked() {
        let ms = Duration::from_millis;
        let mut backoff = Backoff::new((ms(200), ms(1000)));
        assert_eq!([0; 5].map(|_| backoff.pause()), [200, 400, 800, 1000, 1000].map(ms));
        // A night without the line: no overflow, and never longer.
        assert!((0..10_000).all(|_| backoff.pause() == ms(1000)));
        backoff.worked();
        assert_eq!(backoff.pause(), ms(200));
    }
}
