//! How each device is: when it last spoke, what is wrong with it, how far off its clock is, which of its events are missing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicI64;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Several faults in a row are a device that is away; one is noise.
const FAULTS_UNTIL_LOST: u32 = 3;
/// A larger step back of an event number is a device that counts anew, not an event that was stored.
const BACK_MAX: u64 = 1_000;
/// A larger step ahead is no gap that anybody could ask for: by a hundred every ten seconds this takes half an hour.
const GAP_MAX: u64 = 20_000;
/// Numbers of one device that are waited for.
const NEVER_HEARD_MAX: u64 = GAP_MAX;
/// Gaps that wait for somebody to ask for them.
const GAPS_MAX: usize = 256;

/// The devices of the settings, by name.
#[derive(Debug, Default)]
pub struct Health {
    devices: Mutex<BTreeMap<String, State>>,
    links: Mutex<BTreeMap<String, String>>,
    up: Family<OfDevice, Gauge<i64, AtomicI64>>,
    clocks: Family<OfDevice, Gauge<i64, AtomicI64>>,
    missing: Family<OfDevice, Counter>,
    refilled: Family<OfDevice, Counter>,
    listed: Family<OfDevice, Gauge<i64, AtomicI64>>,
    unlisted: Family<OfDevice, Gauge<i64, AtomicI64>>,
    list_as_of: Family<OfDevice, Gauge<i64, AtomicI64>>,
    gaps: Mutex<Vec<Gap>>,
    /// The numbers of before the start, until their devices are expected.
    recalled: Mutex<BTreeMap<String, u64>>,
}

/// Numbers of a device that were never heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Whose.
    pub device: String,
    /// The first.
    pub from: u64,
    /// How many.
    pub count: u64,
}

impl Gap {
    /// One that holds both.
    pub fn with(&self, other: &Self) -> Self {
        let from = self.from.min(other.from);
        let end = self.from.saturating_add(self.count).max(other.from.saturating_add(other.count));
        Self { device: self.device.clone(), from, count: end.saturating_sub(from) }
    }
}

/// The copy of the box's plates in a camera.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Plates that are in it.
    pub held: usize,
    /// Orders that it still has to be given.
    pub pending: usize,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfDevice {
    device: String,
}

/// What went wrong with a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing came back.
    Silent,
    /// Something came back that is no answer.
    Garbled,
    /// It refuses.
    Refused,
    /// It does not accept our name and password, or our key.
    Login,
    /// It said that it goes, or its broker that it is gone.
    Gone,
}

#[derive(Clone, Debug, Default)]
struct State {
    heard: Option<Instant>,
    faults: u32,
    trouble: Option<Trouble>,
    clock_offset_ms: Option<i64>,
    last_number: Option<u64>,
    missing: u64,
    never_heard: BTreeSet<u64>,
    listed: Option<Listed>,
    unheard: BTreeSet<String>,
}

impl State {
    /// One fault is noise; but a refused login is none, and a device that was never heard has no better days behind it.
    fn is_sure_of(&self, trouble: Trouble) -> bool {
        self.faults >= FAULTS_UNTIL_LOST || self.heard.is_none() || matches!(trouble, Trouble::Login | Trouble::Gone)
    }
}

/// One device as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceHealth {
    /// Its name in the settings.
    pub device: String,
    /// How long ago it last said something; `None`: never since the start.
    pub heard: Option<Duration>,
    /// What is wrong with it, where something is.
    pub trouble: Option<Trouble>,
    /// How far its clock was ahead of the box's when it last told a time, in milliseconds.
    pub clock_offset_ms: Option<i64>,
    /// How many of its events were never heard since the start, by their numbers.
    pub missing: u64,
    /// The copy of the box's plates in it, where it keeps one.
    pub listed: Option<Listed>,
}

impl Health {
    pub(super) fn registered(registry: &mut Registry) -> Self {
        let health = Self::default();
        registry.register(
            "device_up",
            "1 while a device speaks or answers; 0 from its third fault in a row to its next word",
            health.up.clone(),
        );
        let help = "How far a device's clock is ahead of the box's, in milliseconds";
        registry.register("device_clock_offset_milliseconds", help, health.clocks.clone());
        registry.register("device_events_missing", "Gaps in the numbers of a device's events", health.missing.clone());
        let help = "Events that were missing and came after all";
        registry.register("device_events_refilled", help, health.refilled.clone());
        registry.register("device_list_plates", "Plates in a camera's own list", health.listed.clone());
        let help = "Plates that its list still lacks, or has too many";
        registry.register("device_list_pending", help, health.unlisted.clone());
        let help = "When a camera's list last was exactly what the box knew, in seconds since 1970";
        registry.register("device_list_as_of_seconds", help, health.list_as_of.clone());
        health
    }

    /// The settings name this device; it has not spoken yet.
    pub fn expect(&self, device: &str) {
        let last_number = self.recalled.lock().unwrap_or_else(PoisonError::into_inner).remove(device);
        self.devices().entry(device.to_owned()).or_insert(State { last_number, ..State::default() });
        self.up.get_or_create(&of(device)).set(0);
    }

    /// The device said something that could be understood.
    pub fn heard(&self, device: &str) {
        let mut devices = self.devices();
        let state = devices.entry(device.to_owned()).or_default();
        (state.heard, state.faults, state.trouble) = (Some(Instant::now()), 0, None);
        drop(devices);
        self.up.get_or_create(&of(device)).set(1);
    }

    /// Something went wrong with the device.
    pub fn fails(&self, device: &str, trouble: Trouble) {
        let mut devices = self.devices();
        let state = devices.entry(device.to_owned()).or_default();
        state.faults = state.faults.saturating_add(1);
        // What says more about the cause is kept: a line with the wrong speed is silent now and then.
        if trouble != Trouble::Silent || state.trouble.is_none() {
            state.trouble = Some(trouble);
        }
        let is_lost = state.faults >= FAULTS_UNTIL_LOST;
        drop(devices);
        if is_lost {
            self.up.get_or_create(&of(device)).set(0);
        }
    }

    /// The device, or its broker for it, says that it is away; the next word of it says that it is back.
    pub fn is_gone(&self, device: &str) {
        self.devices().entry(device.to_owned()).or_default().trouble = Some(Trouble::Gone);
        self.up.get_or_create(&of(device)).set(0);
    }

    /// The device told a time, so far ahead of the box's.
    pub fn clock(&self, device: &str, offset_ms: i64) {
        self.devices().entry(device.to_owned()).or_default().clock_offset_ms = Some(offset_ms);
        self.clocks.get_or_create(&of(device)).set(offset_ms);
    }

    /// The device numbered an event; how many before it were never heard, where some are missing.
    pub fn numbered(&self, device: &str, number: u64) -> Option<u64> {
        let mut devices = self.devices();
        let state = devices.entry(device.to_owned()).or_default();
        let last = state.last_number.replace(number.max(state.last_number.unwrap_or(0)));
        // What was asked for may be far behind.
        if state.never_heard.remove(&number) {
            drop(devices);
            self.refilled.get_or_create(&of(device)).inc();
            return None;
        }
        // One that is far behind counts anew; one that is a little behind was stored or came twice.
        if last.is_some_and(|last| last.saturating_sub(number) > BACK_MAX) {
            state.last_number = Some(number);
            state.never_heard.clear();
            return None;
        }
        let missing = number.checked_sub(last?)?.checked_sub(1).filter(|missing| *missing > 0)?;
        state.missing = state.missing.saturating_add(missing);
        if missing > GAP_MAX {
            drop(devices);
            self.missing.get_or_create(&of(device)).inc_by(missing);
            tracing::warn!(
                device,
                number,
                last,
                "the device's numbers made a long jump: it counts anew, or was long unheard"
            );
            return Some(missing);
        }
        let from = number - missing;
        state.never_heard.extend(number.saturating_sub(NEVER_HEARD_MAX).max(from)..number);
        while state.never_heard.len() as u64 > NEVER_HEARD_MAX {
            state.never_heard.pop_first();
        }
        drop(devices);
        self.missing.get_or_create(&of(device)).inc_by(missing);
        let mut gaps = self.gaps.lock().unwrap_or_else(PoisonError::into_inner);
        if gaps.len() < GAPS_MAX {
            gaps.push(Gap { device: device.to_owned(), from, count: missing });
        }
        Some(missing)
    }

    /// The number that each device gave to its newest event.
    pub fn last_numbers(&self) -> BTreeMap<String, u64> {
        let number = |(device, state): (&String, &State)| Some((device.clone(), state.last_number?));
        self.devices().iter().filter_map(number).collect()
    }

    /// Devices that are then expected go on from these numbers.
    pub fn continue_from(&self, numbers: BTreeMap<String, u64>) {
        *self.recalled.lock().unwrap_or_else(PoisonError::into_inner) = numbers;
    }

    /// The gaps that were noticed since somebody asked.
    pub fn take_gaps(&self) -> Vec<Gap> {
        std::mem::take(&mut *self.gaps.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How the copy of the box's plates in a camera is, and when it last was whole.
    pub fn listed(&self, device: &str, held: usize, pending: usize, as_of_ms: i64) {
        self.devices().entry(device.to_owned()).or_default().listed = Some(Listed { held, pending });
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.listed.get_or_create(&of(device)).set(number(held));
        self.unlisted.get_or_create(&of(device)).set(number(pending));
        self.list_as_of.get_or_create(&of(device)).set(as_of_ms / 1000);
    }

    /// Nothing is known to keep the box from hearing the device.
    pub fn hears_all(&self, device: &str) {
        self.devices().entry(device.to_owned()).or_default().unheard.clear();
    }

    /// The device's broker does not let the box hear this topic of it.
    pub fn may_not_hear(&self, device: &str, topic: &str) {
        self.devices().entry(device.to_owned()).or_default().unheard.insert(topic.to_owned());
    }

    /// The topics of the device that its broker does not let the box hear.
    pub fn unheard(&self, device: &str) -> Vec<String> {
        self.devices().get(device).into_iter().flat_map(|state| state.unheard.iter().cloned()).collect()
    }

    /// Why a link is not there.
    pub fn link_is_down(&self, link: &str, why: &str) {
        self.links.lock().unwrap_or_else(PoisonError::into_inner).insert(link.to_owned(), why.to_owned());
    }

    /// Why a link was last not there.
    pub fn why_down(&self, link: &str) -> Option<String> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner).get(link).cloned()
    }

    /// Every device, by name.
    pub fn all(&self) -> Vec<DeviceHealth> {
        let now = Instant::now();
        let health = |(device, state): (&String, &State)| DeviceHealth {
            device: device.clone(),
            heard: state.heard.map(|heard| now.saturating_duration_since(heard)),
            trouble: state.trouble.filter(|trouble| state.is_sure_of(*trouble)),
            clock_offset_ms: state.clock_offset_ms,
            missing: state.missing,
            listed: state.listed,
        };
        self.devices().iter().map(health).collect()
    }

    /// One device; `None` where nothing is known of it.
    pub fn of(&self, device: &str) -> Option<DeviceHealth> {
        self.all().into_iter().find(|health| health.device == device)
    }

    /// A panic elsewhere leaves at worst one fact out.
    fn devices(&self) -> MutexGuard<'_, BTreeMap<String, State>> {
        self.devices.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn of(device: &str) -> OfDevice {
    OfDevice { device: device.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_in_the_numbers_is_counted_once_and_a_device_that_counts_anew_has_none() {
        let health = Health::default();
        let told: Vec<Option<u64>> =
            [7, 8, 11, 11, 9, 12, 40_000, 40_002, 3, 4].iter().map(|number| health.numbered("cam", *number)).collect();
        assert_eq!(told, [None, None, Some(2), None, None, None, Some(39_987), Some(1), None, None]);
        assert_eq!(health.of("cam").map(|health| health.missing), Some(39_990), "each is counted, however many");
        assert_eq!(health.refilled.get_or_create(&of("cam")).get(), 1, "the 9 came after all");
        let gap = |from, count| Gap { device: "cam".to_owned(), from, count };
        assert_eq!(health.take_gaps(), [gap(9, 2), gap(40_001, 1)]);
        assert_eq!(gap(9, 2).with(&gap(20, 1)), gap(9, 12));
    }

    #[test]
    fn a_night_s_gap_is_counted_and_asked_for() {
        let health = Health::default();
        health.numbered("cam", 7);
        assert_eq!(health.numbered("cam", 5_008), Some(5_000));
        assert_eq!(health.take_gaps(), [Gap { device: "cam".to_owned(), from: 8, count: 5_000 }]);
        assert_eq!(health.numbered("cam", 8), None);
        assert_eq!(health.refilled.get_or_create(&of("cam")).get(), 1, "the first of them came after all");
    }

    #[test]
    fn a_device_is_away_after_three_faults_and_back_with_one_word() {
        let health = Health::default();
        health.heard("board");
        for _ in 0..3 {
            assert_eq!(health.of("board").and_then(|health| health.trouble), None, "noise");
            assert_eq!(health.up.get_or_create(&of("board")).get(), 1);
            health.fails("board", Trouble::Garbled);
        }
        assert_eq!(health.up.get_or_create(&of("board")).get(), 0);
        health.fails("board", Trouble::Silent);
        assert_eq!(health.of("board").and_then(|health| health.trouble), Some(Trouble::Garbled), "it says more");
        health.heard("board");
        assert_eq!(health.of("board").and_then(|health| health.trouble), None);
    }
}
