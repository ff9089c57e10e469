//! The devices that a lane is made of, and what the lane makes of one that is away.

use std::collections::{BTreeMap, BTreeSet};

use super::arm;
use super::decide::Work;
use super::detectors;
use super::event::{Action, Decision, DeviceChange, DeviceId, Input, Record};
use super::lane::{Lanes, LoopRole, Phase};

/// What hangs on a lane.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gear {
    /// What reads its plates.
    pub camera: Option<DeviceId>,
    /// What reads them from behind as well.
    pub rear_camera: Option<DeviceId>,
    /// What reads the pictures of its cameras once more.
    pub second_reader: Option<DeviceId>,
    /// What moves its arm.
    pub barrier: Option<DeviceId>,
    /// What tells its loops.
    pub loops: BTreeMap<LoopRole, DeviceId>,
    /// What tells its limit switches.
    pub switches: BTreeSet<DeviceId>,
    /// What reads its cards.
    pub reader: Option<DeviceId>,
    /// What shows its drivers what happens.
    pub display: Option<DeviceId>,
    /// What says it.
    pub speaker: Option<DeviceId>,
}

impl Gear {
    /// Whether a device is one of them.
    pub fn has(&self, device: &DeviceId) -> bool {
        let single = [&self.camera, &self.rear_camera, &self.barrier, &self.reader, &self.display, &self.speaker];
        let single = single.into_iter().chain([&self.second_reader]);
        let all = single.flatten().chain(self.loops.values()).chain(&self.switches);
        all.into_iter().any(|own| own == device)
    }
}

/// A device is away or there again: on record, and every lane that it belongs to is told.
pub(super) fn changed(device: &DeviceId, lost: Option<&String>, lanes: &Lanes) -> Decision {
    let change = DeviceChange { device: device.clone(), lost: lost.cloned() };
    let told = lanes.iter().filter(|(_, settings)| settings.gear.has(device));
    let told = told.map(|(lane, _)| {
        let (lane, device, is_lost) = (lane.clone(), device.clone(), lost.is_some());
        Action::Then(Box::new(Input::LaneDevice { lane, device, is_lost }))
    });
    Decision { records: vec![Record::DeviceChanged(change)], actions: told.collect(), ..Decision::nothing() }
}

/// The lane's part. Staff hear what is missing; a loop of which nothing is known holds up nobody and lowers nothing.
pub(super) fn lane_told(work: &mut Work<'_>, device: &DeviceId, is_lost: bool) {
    if !is_lost {
        work.lane.lost.remove(device);
        return;
    }
    let is_news = work.lane.lost.insert(device.clone());
    if work.is_blind(LoopRole::Safety) {
        detectors::unknown(work);
    }
    if !is_news {
        return;
    }
    let text = format!("{device} is away: {}", missing(work, device));
    work.alarm("device_lost", text);
    detectors::lost_sight(work);
    arm::lost_sight(work);
    let is_waiting = matches!(work.lane.phase, Phase::Waiting(_));
    if is_waiting && !work.sees_arrivals() && work.settings.forget_ms > 0 {
        work.wake_in(work.settings.forget_ms);
    }
}

/// What a lane lacks without the device.
fn missing(work: &Work<'_>, device: &DeviceId) -> String {
    let gear = &work.settings.gear;
    let is = |own: &Option<DeviceId>| own.as_ref() == Some(device);
    let mut lacks = Vec::new();
    let sees = |camera: &Option<DeviceId>| camera.as_ref().is_some_and(|own| !work.lane.lost.contains(own));
    if is(&gear.camera) || is(&gear.rear_camera) {
        lacks.push(match (sees(&gear.camera), sees(&gear.rear_camera)) {
            (true, _) => "plates are read from the front alone",
            (false, true) => "plates are read from the rear alone",
            (false, false) => "plates are not read",
        });
    }
    if is(&gear.second_reader) {
        lacks.push("plates are read by the cameras alone");
    }
    if is(&gear.barrier) {
        lacks.push("the arm cannot be moved from here");
    }
    if gear.loops.values().any(|own| own == device) {
        lacks.push("the loops are not known");
    }
    if gear.switches.contains(device) {
        lacks.push("the arm is not seen");
    }
    if is(&gear.reader) {
        lacks.push("cards are not read");
    }
    if is(&gear.display) {
        lacks.push("drivers are shown nothing");
    }
    if is(&gear.speaker) {
        lacks.push("drivers are told nothing");
    }
    format!("at {} {}", work.lane_id, lacks.join(", "))
}
