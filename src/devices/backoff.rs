//! Pauses between attempts: longer each time, up to a longest one, and short again once an attempt has worked.

use std::time::Duration;

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

#[cfg(test)]
mod tests {
    use super::*;

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
