//! The mistakes that a lane's settings can have about its cameras, its signs and what lets its arm down.

use std::collections::BTreeMap;

use toml::Spanned;

use super::Device;
use super::check::Check;
use crate::devices::settings::{DeviceConfig, LaneConfig};
use crate::domain::event::LaneId;
use crate::domain::plate::told::End;
use crate::profile::http::Carrier;
use crate::profile::language::{Emits, FREE_BAYS, LOWER, PAY_SCREEN, SAY, SHOW, WHITELIST_ADD, WHITELIST_DELETE};
use crate::profile::{Codec, Profile};

/// Longer, a vehicle is past the loop before it counts, and a broker waits too long for its acknowledgement.
const STEADY_MS: std::ops::RangeInclusive<u32> = 0..=2_000;
/// Faster, the bus has no room for a command; slower, a driver waits.
const POLL_MS: std::ops::RangeInclusive<u64> = 10..=5_000;
/// No camera holds more.
const PLATES: std::ops::RangeInclusive<u32> = 1..=50_000;

impl Check<'_> {
    /// A camera belongs to one lane and to one end of its vehicles.
    pub fn cameras(&mut self, devices: &mut BTreeMap<String, Device>, lane: &LaneConfig) {
        let id = LaneId(lane.id.get_ref().clone());
        let mut told_of_passages = false;
        for (named, end) in [(Some(&lane.camera), End::Front), (lane.rear_camera.as_ref(), End::Rear)] {
            let Some(named) = named else { continue };
            let Some(camera) = self.device(devices, named) else { continue };
            if !camera.profile.emits(Emits::PlateRead) {
                let wrong = format!("{} reads no plates", camera.profile.id());
                self.wrong(named, wrong, "a device whose profile emits plate_read".to_owned());
                continue;
            }
            if let Some(other) = camera.wiring.camera_of.replace(id.clone()) {
                let wrong = format!("{} already looks at lane {other}", named.get_ref());
                self.wrong(named, wrong, "a camera for each lane and each end".to_owned());
                continue;
            }
            camera.wiring.end = end;
            // Were both heard, the second to say that a vehicle has passed would say it of the next one.
            if camera.profile.emits(Emits::VehicleSign) && !told_of_passages {
                camera.wiring.signs_of = Some(id.clone());
                told_of_passages = true;
            }
        }
    }

    /// A display shows something, a speaker says something, and each belongs to one lane.
    pub fn signs(&mut self, devices: &mut BTreeMap<String, Device>, lane: &LaneConfig) {
        let signs: [(_, &[&str], &str); 2] =
            [(&lane.display, &[SHOW, PAY_SCREEN, FREE_BAYS], "shows nothing"), (&lane.speaker, &[SAY], "says nothing")];
        for (named, orders, wrong) in signs {
            let Some(named) = named else { continue };
            let Some(device) = self.device(devices, named) else { continue };
            let id = device.profile.id().to_owned();
            if !orders.iter().any(|order| device.profile.args(order).is_some()) {
                let allowed = format!("a device whose profile has the command {}", orders.join(" or "));
                self.wrong(named, format!("{id} {wrong}"), allowed);
                continue;
            }
            let is_request = |order: &str| match &device.codec {
                Codec::Http(codec) => codec.carrier(order) == Some(Carrier::Request),
                Codec::Mqtt(_) | Codec::Modbus(_) | Codec::Serial(_) | Codec::Wiegand(_) | Codec::Osdp(_) => false,
            };
            if device.config.address.is_none() && orders.iter().any(|order| is_request(order)) {
                self.lacks_address(device.config, named);
            }
            let own = lane.id.get_ref();
            let other = device.sign_of.get_or_insert_with(|| own.clone()).clone();
            if other != *own {
                let wrong = format!("{} already speaks for lane {other}", named.get_ref());
                self.wrong(named, wrong, "a display and a speaker for each lane".to_owned());
            }
        }
    }

    /// A lane whose arm the box lets down needs an order for it and loops that forbid it; what is given must fit.
    pub fn lowering(&mut self, device: &Device, lane: &LaneConfig) {
        let id = device.profile.id().to_owned();
        if let Some(lower) = &lane.barrier.lower {
            let Some(args) = device.profile.args(LOWER) else {
                let wrong = format!("{id} lets no arm down");
                return self.wrong(&lower.output, wrong, "a device whose profile has the command lower".to_owned());
            };
            self.fit(args, &lower.output, &lower.pulse_ms);
        }
        let Some(mode) = lane.detectors.as_ref().filter(|mode| mode.get_ref().lowers()) else { return };
        let lacks = [
            (lane.barrier.lower.is_none(), "what lets its arm down", "barrier = { …, lower = { output, pulse_ms } }"),
            (lane.safety_loop.is_none(), "the loop under its arm", "safety_loop = { device, input }"),
            (lane.passage_loop.is_none(), "the loop beyond its arm", "passage_loop = { device, input }"),
            (lane.arrival_loop.is_none(), "the loop before its arm", "arrival_loop = { device, input }"),
        ];
        for (_, what, allowed) in lacks.into_iter().filter(|(lacks, ..)| *lacks) {
            let wrong = format!("the lane {} lacks {what}", lane.id.get_ref());
            self.wrong(mode, wrong, format!("{allowed}, or detectors = hold, timer or one_by_one"));
        }
    }

    /// How a device's inputs are asked and how long they must be steady, for devices that have some or are asked.
    pub fn inputs(&mut self, device: &DeviceConfig, profile: &Profile) {
        if let Some(poll_ms) = &device.poll_ms {
            if !profile.is_polled() {
                let wrong = format!("{} is not polled: it speaks by itself", profile.id());
                self.wrong(poll_ms, wrong, "no poll_ms; debounce_ms for its inputs".to_owned());
            } else if !POLL_MS.contains(poll_ms.get_ref()) {
                self.wrong(poll_ms, format!("poll_ms is {}", poll_ms.get_ref()), "10 to 5000".to_owned());
            }
        }
        let Some(debounce_ms) = &device.debounce_ms else { return };
        if !profile.emits(Emits::Input) && !profile.emits(Emits::Inputs) {
            let wrong = format!("{} has no inputs", profile.id());
            self.wrong(debounce_ms, wrong, "no debounce_ms".to_owned());
        }
        self.steady("debounce_ms", debounce_ms);
    }

    /// Whether a level can be waited for so long.
    pub fn steady(&mut self, name: &str, ms: &Spanned<u32>) {
        if !STEADY_MS.contains(ms.get_ref()) {
            self.wrong(ms, format!("{name} is {}", ms.get_ref()), "0 to 2000".to_owned());
        }
    }

    /// A camera with a list of its own needs the orders for it, and somebody to stand on it.
    pub fn whitelist(&mut self, device: &DeviceConfig, profile: &Profile) {
        let Some(list) = &device.whitelist else { return };
        if [WHITELIST_ADD, WHITELIST_DELETE].iter().any(|order| profile.args(order).is_none()) {
            let allowed = "a device whose profile has the commands whitelist_add and whitelist_delete".to_owned();
            self.wrong(&list.of, format!("{} keeps no list", profile.id()), allowed);
        }
        if list.of.get_ref().is_empty() {
            self.wrong(&list.of, "nobody stands on the list".to_owned(), "members, rights".to_owned());
        }
        if !PLATES.contains(list.most.get_ref()) {
            self.wrong(&list.most, format!("most is {}", list.most.get_ref()), "1 to 50000".to_owned());
        }
    }
}
