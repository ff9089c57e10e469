//! Polled input contacts: a level counts once it has been steady, and is told when it is news.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::submitting::Delivery;
use super::wiring::Wiring;

/// The inputs of one device.
#[derive(Debug)]
pub struct Contacts {
    debounce: Duration,
    known: BTreeMap<u16, Contact>,
}

/// An input: what the loop was told, and since when it has been what it is.
#[derive(Debug)]
struct Contact {
    told: Option<bool>,
    is_on: bool,
    since: Instant,
}

impl Contacts {
    /// Inputs of which nothing is known yet.
    pub fn new(debounce_ms: u32) -> Self {
        Self { debounce: Duration::from_millis(u64::from(debounce_ms)), known: BTreeMap::new() }
    }

    /// After a pause nothing is known: the first levels are news again.
    pub fn forget(&mut self) {
        self.known.clear();
    }

    /// Levels as they were just read, from the input `first` on.
    pub fn read(&mut self, first: u16, levels: impl IntoIterator<Item = bool>) {
        let now = Instant::now();
        for (number, is_on) in (first..).zip(levels) {
            let contact = self.known.entry(number).or_insert(Contact { told: None, is_on, since: now });
            if contact.is_on != is_on {
                (contact.is_on, contact.since) = (is_on, now);
            }
        }
    }

    /// Tells what has been steady for long enough and is news. Where the loop is behind, it is told with a later poll.
    pub fn tell(&mut self, wiring: &Wiring, deliveries: &mpsc::Sender<Delivery>) {
        let now = Instant::now();
        for turn in 0..Wiring::TURNS {
            for (number, contact) in &mut self.known {
                let is_steady = now.duration_since(contact.since) >= self.debounce;
                let is_news = contact.told != Some(contact.is_on) && is_steady;
                if !is_news || wiring.turn(*number, contact.is_on) != turn {
                    continue;
                }
                let Some(input) = wiring.level(*number, contact.is_on) else { continue };
                if deliveries.try_send(Delivery { inputs: vec![input], ..Delivery::default() }).is_ok() {
                    contact.told = Some(contact.is_on);
                }
            }
        }
    }
}
