//! Input contacts: a level counts once it has been steady, and is told when it is news.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::submitting::Delivery;
use super::wiring::Wiring;

/// The inputs of one device. What time it is comes in as an argument.
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
    pub fn read(&mut self, first: u16, levels: impl IntoIterator<Item = bool>, now: Instant) {
        for (number, is_on) in (first..).zip(levels) {
            let contact = self.known.entry(number).or_insert(Contact { told: None, is_on, since: now });
            if contact.is_on != is_on {
                (contact.is_on, contact.since) = (is_on, now);
            }
        }
    }

    /// Whether the loop knows this level of an input and has heard of no other since.
    pub fn is_known(&self, number: u16, is_on: bool) -> bool {
        self.known.get(&number).is_some_and(|contact| contact.told == Some(is_on) && contact.is_on == is_on)
    }

    /// Whether this is what an input said last.
    pub fn is_now(&self, number: u16, is_on: bool) -> bool {
        self.known.get(&number).is_some_and(|contact| contact.is_on == is_on)
    }

    /// Whether an input is as the loop was told.
    pub fn is_settled(&self, number: u16) -> bool {
        self.known.get(&number).is_none_or(|contact| contact.told == Some(contact.is_on))
    }

    /// The loop was told.
    pub fn told(&mut self, number: u16, is_on: bool) {
        if let Some(contact) = self.known.get_mut(&number) {
            contact.told = Some(is_on);
        }
    }

    /// What has been steady for long enough and is news, in the order in which it is to be told.
    pub fn news(&self, wiring: &Wiring, now: Instant) -> Vec<(u16, bool)> {
        let steady = self.unsettled(wiring).filter(|(.., at)| *at <= now).map(|(number, is_on, _)| (number, is_on));
        let mut news: Vec<(u16, bool)> = steady.collect();
        news.sort_by_key(|(number, is_on)| wiring.turn(*number, *is_on));
        news
    }

    /// When the next level that is news will have been steady for long enough.
    pub fn due(&self, wiring: &Wiring) -> Option<Instant> {
        self.unsettled(wiring).map(|(.., at)| at).min()
    }

    /// Tells what is news. Where the loop is behind, it is told with a later poll.
    pub fn tell(&mut self, wiring: &Wiring, deliveries: &mpsc::Sender<Delivery>, now: Instant) {
        for (number, is_on) in self.news(wiring, now) {
            let Some(input) = wiring.level(number, is_on) else { continue };
            if deliveries.try_send(Delivery { inputs: vec![input], ..Delivery::default() }).is_ok() {
                self.told(number, is_on);
            }
        }
    }

    /// The inputs that are not as the loop was told, and when each will have been steady for long enough.
    fn unsettled(&self, wiring: &Wiring) -> impl Iterator<Item = (u16, bool, Instant)> {
        let unsettled = self.known.iter().filter(|(_, contact)| contact.told != Some(contact.is_on));
        unsettled.map(|(number, contact)| {
            let presence = if contact.is_on { wiring.presence(*number) } else { Duration::ZERO };
            (*number, contact.is_on, contact.since + self.debounce.max(presence))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices::wiring::InputRole;
    use crate::domain::event::{DeviceId, LaneId};
    use crate::domain::lane::LoopRole;

    #[test]
    fn a_level_counts_once_it_is_steady_and_a_vehicle_once_it_has_stood_there() {
        let mut wiring = Wiring::new(DeviceId::from("cam"), 0);
        wiring.inputs.insert(0, (LaneId::from("in"), InputRole::Loop(LoopRole::Arrival)));
        wiring.presence_ms.insert(0, 300);
        let mut contacts = Contacts::new(50);
        let began = Instant::now();
        let at = |ms: u64| began + Duration::from_millis(ms);
        let mut story = Vec::new();
        // On for 299 ms is nobody; then a vehicle; then a gap of 49 ms in it; then it leaves.
        let levels = [(0, true), (299, false), (400, true), (1_000, false), (1_049, true), (2_000, false)];
        let mut levels = levels.into_iter().peekable();
        for ms in 0..3_000 {
            if let Some((_, is_on)) = levels.next_if(|(when, _)| *when == ms) {
                contacts.read(0, [is_on], at(ms));
            }
            for (number, is_on) in contacts.news(&wiring, at(ms)) {
                assert_eq!(contacts.due(&wiring), Some(at(ms)), "to the millisecond");
                contacts.told(number, is_on);
                story.push((ms, is_on));
            }
        }
        assert_eq!(story, [(349, false), (700, true), (2_050, false)]);
        assert!(contacts.is_settled(0) && contacts.is_known(0, false) && contacts.due(&wiring).is_none());
    }
}
