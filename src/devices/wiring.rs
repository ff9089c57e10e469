//! Which lane a device's words are about: from input 0 of a board to the arrival loop of a lane.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use tokio::sync::{mpsc, oneshot};

use super::looking::{Look, Waiting};
use super::steady::Steady;
use crate::domain::event::{CardNumber, DeviceId, EmergencySource, Input, LaneId, Limit, PlateRead, SwitchTold, UtcMs};
use crate::domain::lane::LoopRole;
use crate::domain::plate::told::{End, Told};
use crate::photos::Brought;
use crate::profile::statement::{Heading, Level, SeenPlate, Statement};

/// One device's place in the car park.
#[derive(Clone, Debug)]
pub struct Wiring {
    /// The device.
    pub device: DeviceId,
    /// The lane that it looks at.
    pub camera_of: Option<LaneId>,
    /// From which end it sees the vehicles there.
    pub end: End,
    /// The lane of whose vehicles it tells that they have passed or gone back.
    pub signs_of: Option<LaneId>,
    /// The lane whose arm it knows the position of.
    pub arm_of: Option<LaneId>,
    /// What its inputs are.
    pub inputs: BTreeMap<u16, (LaneId, InputRole)>,
    /// Which of its inputs is the fire panel's contact.
    pub emergency: Option<u16>,
    /// The lane at which its cards are shown.
    pub reader_of: Option<LaneId>,
    /// What hangs on its own ports, by their numbers.
    pub tunnels: BTreeMap<u16, mpsc::Sender<Vec<u8>>>,
    /// Who reads its pictures as well.
    pub second_reader: Option<Arc<Waiting>>,
    /// How long a level must be steady, in milliseconds.
    pub debounce_ms: u32,
    /// How long an input must be on to count, where that is longer, in milliseconds.
    pub presence_ms: BTreeMap<u16, u32>,
    /// Where levels that the device tells by itself wait until they are steady.
    pub steady: Option<Arc<Steady>>,
    /// Which way vehicles that come to its lane drive, where the settings say it.
    pub coming: Option<Heading>,
    /// The zone of a device that says its time without an offset.
    pub zone: TimeZone,
    clock_tolerance_ms: i64,
}

/// What an input contact is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputRole {
    /// A loop detector.
    Loop(LoopRole),
    /// A limit switch of the arm.
    Limit(Limit),
}

impl Wiring {
    /// A device that is wired to nothing yet.
    pub fn new(device: DeviceId, clock_tolerance_ms: i64) -> Self {
        Self {
            device,
            camera_of: None,
            end: End::Front,
            signs_of: None,
            arm_of: None,
            inputs: BTreeMap::new(),
            emergency: None,
            reader_of: None,
            tunnels: BTreeMap::new(),
            second_reader: None,
            debounce_ms: 0,
            presence_ms: BTreeMap::new(),
            steady: None,
            coming: None,
            zone: TimeZone::UTC,
            clock_tolerance_ms,
        }
    }

    /// What a statement means for the lanes; nothing where nobody uses it.
    pub fn inputs_of(&self, statement: Statement, received: UtcMs) -> Vec<Input> {
        match statement {
            Statement::PlateRead(seen) => self.plate_read(seen, received).into_iter().collect(),
            Statement::Input { number, level } => self.contact(number, level),
            Statement::Arm { position } => {
                let lane = self.arm_of.clone();
                lane.map(|lane| Input::BarrierMoved { lane, position }).into_iter().collect()
            }
            Statement::VehicleSign { sign } => {
                let lane = self.signs_of.clone();
                lane.map(|lane| Input::VehicleSeen { lane, sign }).into_iter().collect()
            }
            Statement::Inputs { count, on } => {
                let mut all: Vec<(u16, bool)> = (0..count).map(|number| (number, on.contains(&number))).collect();
                all.sort_by_key(|(number, is_on)| self.turn(*number, *is_on));
                all.into_iter().filter_map(|(number, is_on)| self.heard(number, is_on)).collect()
            }
            Statement::Card { facility, number } => {
                let card = CardNumber::new(facility, number);
                let lane = self.reader_of.clone();
                lane.map(|lane| Input::CardRead { lane, device: self.device.clone(), card }).into_iter().collect()
            }
            Statement::Tunnelled { channel, bytes } => {
                self.carry(channel, &bytes);
                Vec::new()
            }
            Statement::KeepAlive {} | Statement::Away {} => Vec::new(),
        }
    }

    /// Hands on what another device said through this one. Where nobody reads it, or not fast enough, it is lost as on a
    /// line: the frame's own check and the missing answer tell.
    fn carry(&self, channel: u16, bytes: &str) {
        if let (Some(port), Ok(bytes)) = (self.tunnels.get(&channel), hex::decode(bytes)) {
            let _ = port.try_send(bytes);
        }
    }

    /// When an input is told of those that are heard together, the lowest first.
    pub fn turn(&self, number: u16, is_on: bool) -> u8 {
        match self.inputs.get(&number) {
            // What is under an arm is told before anything that may let it down.
            Some((_, InputRole::Loop(LoopRole::Safety))) => 0,
            // The arm leaves one switch before it reaches the other.
            Some((_, InputRole::Limit(_))) if is_on => 2,
            Some(_) | None => 1,
        }
    }

    /// What one level of an input means.
    pub fn level(&self, number: u16, is_on: bool) -> Option<Input> {
        if self.emergency == Some(number) {
            return Some(Input::Emergency { source: EmergencySource::Contact, active: is_on });
        }
        let (lane, role) = self.inputs.get(&number)?;
        let lane = lane.clone();
        Some(match (role, is_on) {
            (InputRole::Loop(role), occupied) => Input::LoopChanged { lane, role: *role, occupied },
            (InputRole::Limit(limit), closed) => Input::LimitSwitch(SwitchTold { lane, limit: *limit, closed }),
        })
    }

    fn plate_read(&self, seen: SeenPlate, received: UtcMs) -> Option<Input> {
        let lane = self.camera_of.clone()?;
        let said = self.captured(&seen, received);
        let captured = self.believed(said, seen.stored_offline, received);
        let drives_away = match (self.coming, seen.direction) {
            (Some(coming), Some(direction)) => direction != coming,
            (None, _) | (_, None) => false,
        };
        Some(Input::PlateRead(PlateRead {
            lane,
            device: self.device.clone(),
            event: self.event(seen.event),
            plate: seen.plate,
            confidence: seen.confidence,
            captured,
            stored_offline: seen.stored_offline,
            photos: None,
            told: Told {
                stage: seen.stage,
                char_confidence: seen.char_confidence,
                candidates: seen.candidates,
                colour: seen.colour,
                vehicle: seen.vehicle,
                end: self.end,
                unread: seen.unread,
                clock: said.filter(|said| *said != captured),
                picture_of: None,
                drives_away,
            },
            earlier: Vec::new(),
        }))
    }

    /// What is to be read once more of the pictures that came with a read; to be asked when that is decided.
    pub fn look(&self, read: &PlateRead, brought: &Brought) -> Option<Look> {
        self.second_reader.as_ref()?.look(read, brought)
    }

    /// Two cameras may number their events alike, and those of one lane must not be taken for one event.
    fn event(&self, event: String) -> String {
        match self.end {
            End::Front => event,
            End::Rear => format!("rear {event}"),
        }
    }

    /// When the device says that it saw a vehicle. A time without an offset is one of the site's zone; of an hour that
    /// comes twice it is the one nearer to the time of receipt, and in an hour that the clocks leave out no clock is right.
    pub fn captured(&self, seen: &SeenPlate, received: UtcMs) -> Option<UtcMs> {
        let local = match (seen.captured, seen.captured_local) {
            (None, Some(local)) => local,
            (captured, _) => return captured,
        };
        let at = |offset: Offset| offset.to_timestamp(local).ok().map(|at| UtcMs(at.as_millisecond()));
        match self.zone.to_ambiguous_timestamp(local).offset() {
            AmbiguousOffset::Unambiguous { offset } => at(offset),
            AmbiguousOffset::Fold { before, after } => {
                let both = [at(before), at(after)].into_iter().flatten();
                both.min_by_key(|at| at.0.abs_diff(received.0))
            }
            AmbiguousOffset::Gap { .. } => None,
        }
    }

    /// Device clocks lie: one that is further off than the tolerance is not believed. What was stored while the device
    /// was cut off is old by nature, so its time is believed as long as it does not lie in the future.
    fn believed(&self, captured: Option<UtcMs>, stored_offline: bool, received: UtcMs) -> UtcMs {
        let Some(captured) = captured else { return received };
        let behind = received.0.saturating_sub(captured.0);
        let earliest = if stored_offline { i64::MAX } else { self.clock_tolerance_ms };
        if behind <= earliest && behind >= -self.clock_tolerance_ms { captured } else { received }
    }

    fn contact(&self, number: u16, level: Level) -> Vec<Input> {
        match level {
            Level::On => self.heard(number, true).into_iter().collect(),
            Level::Off => self.heard(number, false).into_iter().collect(),
            Level::Pulse => {
                if let Some(steady) = &self.steady {
                    steady.has_pulsed(number);
                }
                [true, false].into_iter().filter_map(|is_on| self.level(number, is_on)).collect()
            }
        }
    }

    /// What a level means that the device tells by itself; nothing where it must first prove to be steady.
    fn heard(&self, number: u16, is_on: bool) -> Option<Input> {
        let input = self.level(number, is_on)?;
        let must_be_steady = self.debounce_ms > 0 || self.presence_ms.contains_key(&number);
        let steady = self.steady.as_ref().filter(|_| must_be_steady);
        let is_kept_back = steady.is_some_and(|steady| steady.keeps_back(number, is_on));
        (!is_kept_back).then_some(input)
    }

    /// How long an input must be on before anybody is there.
    pub fn presence(&self, number: u16) -> Duration {
        self.presence_ms.get(&number).map_or(Duration::ZERO, |ms| Duration::from_millis(u64::from(*ms)))
    }

    /// What the acknowledgement of the levels heard last has to wait for.
    pub fn waits(&self) -> Vec<oneshot::Receiver<()>> {
        self.steady.as_ref().map(|steady| steady.waits()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_camera_s_clock_is_believed_within_the_tolerance() {
        check(Some(1_000_000), false, 1_004_000, 1_000_000);
        check(Some(1_000_000), false, 1_006_000, 1_006_000);
        check(Some(1_006_000), false, 1_000_000, 1_000_000);
        check(None, false, 1_000_000, 1_000_000);
        check(Some(-5), true, 1_000_000, -5);
        check(Some(1_006_000), true, 1_000_000, 1_000_000);
        check(Some(i64::MIN), false, i64::MAX, i64::MAX);
    }

    #[test]
    fn a_time_that_is_not_believed_is_kept_as_the_camera_said_it() {
        let wiring = Wiring { camera_of: Some(LaneId::from("in")), ..Wiring::new(DeviceId::from("cam"), 5_000) };
        let read = |captured: i64| {
            let says = format!(r#"{{"plate_read": {{"event": "7", "captured": {captured}}}}}"#);
            let says = serde_json::from_str(&says).expect("a statement");
            let heard = wiring.inputs_of(says, UtcMs(1_000_000)).remove(0);
            let Input::PlateRead(read) = heard else { panic!("{heard:?}") };
            (read.captured.0, read.told.clock)
        };
        assert_eq!(read(996_000), (996_000, None));
        assert_eq!(read(-28_800_000), (1_000_000, Some(UtcMs(-28_800_000))), "eight hours off: its time zone");
    }

    #[test]
    fn what_the_rear_camera_says_is_known_by_its_end_and_never_taken_for_an_event_of_the_front_one() {
        let read = |wiring: &Wiring| {
            let says = serde_json::from_str(r#"{"plate_read": {"event": "7"}}"#).expect("a statement");
            let heard = wiring.inputs_of(says, UtcMs(0)).remove(0);
            let Input::PlateRead(read) = heard else { panic!("{heard:?}") };
            (read.event, read.told.end)
        };
        let front = Wiring { camera_of: Some(LaneId::from("in")), ..Wiring::new(DeviceId::from("cam"), 5_000) };
        assert_eq!(read(&front), ("7".to_owned(), End::Front));
        assert_eq!(read(&Wiring { end: End::Rear, ..front }), ("rear 7".to_owned(), End::Rear));
    }

    #[test]
    fn a_contact_speaks_for_its_lane_and_an_unused_one_for_nobody() {
        let mut wiring = Wiring::new(DeviceId::from("board"), 5_000);
        let lane = LaneId::from("exit-1");
        wiring.inputs.insert(0, (lane.clone(), InputRole::Loop(LoopRole::Arrival)));
        wiring.inputs.insert(1, (lane.clone(), InputRole::Limit(Limit::Upper)));
        let wired = wiring.clone();
        let on = |number, level| wired.inputs_of(Statement::Input { number, level }, UtcMs(0));
        let arrival = |occupied| Input::LoopChanged { lane: lane.clone(), role: LoopRole::Arrival, occupied };
        assert_eq!(on(0, Level::Pulse), [arrival(true), arrival(false)]);
        let upper = |closed| Input::LimitSwitch(SwitchTold { lane: lane.clone(), limit: Limit::Upper, closed });
        assert_eq!((on(1, Level::On), on(1, Level::Off)), (vec![upper(true)], vec![upper(false)]));
        assert_eq!(on(9, Level::On), []);
        wiring.emergency = Some(9);
        let called = Input::Emergency { source: EmergencySource::Contact, active: true };
        assert_eq!(wiring.level(9, true), Some(called));
    }

    #[test]
    fn of_inputs_heard_together_the_loop_under_the_arm_comes_first_and_where_the_arm_is_last() {
        let mut wiring = Wiring::new(DeviceId::from("board"), 5_000);
        let roles = [
            InputRole::Loop(LoopRole::Passage),
            InputRole::Limit(Limit::Upper),
            InputRole::Limit(Limit::Lower),
            InputRole::Loop(LoopRole::Safety),
        ];
        for (number, role) in (0..).zip(roles) {
            wiring.inputs.insert(number, (LaneId::from("out"), role));
        }
        let told = wiring.inputs_of(Statement::Inputs { count: 4, on: [1, 3].into() }, UtcMs(0));
        let lane = LaneId::from("out");
        let turned = |role, occupied| Input::LoopChanged { lane: lane.clone(), role, occupied };
        let switch = |limit, closed| Input::LimitSwitch(SwitchTold { lane: lane.clone(), limit, closed });
        let safety = turned(LoopRole::Safety, true);
        let passage = turned(LoopRole::Passage, false);
        assert_eq!(told, [safety, passage, switch(Limit::Lower, false), switch(Limit::Upper, true)]);
    }

    /// Berlin's clocks go back on 25 October 2026 at 01:00 UTC, and went ahead on 29 March at 01:00 UTC.
    #[test]
    fn a_time_without_an_offset_is_one_of_the_site_s_zone() {
        let zone = TimeZone::get("Europe/Berlin").expect("in the bundled database");
        let wiring = Wiring { zone, ..Wiring::new(DeviceId::from("cam"), 5_000) };
        let captured = |local: &str, received: &str| {
            let read = serde_json::json!({"event": "e", "captured_local": local});
            let seen: SeenPlate = serde_json::from_value(read).expect("a read");
            let received: jiff::Timestamp = received.parse().expect("a time");
            let at = wiring.captured(&seen, UtcMs(received.as_millisecond()))?;
            Some(jiff::Timestamp::from_millisecond(at.0).expect("a time").to_string())
        };
        let now = "2026-06-01T10:00:00Z";
        assert_eq!(captured("2026-01-31T12:00:00", now).as_deref(), Some("2026-01-31T11:00:00Z"));
        assert_eq!(captured("2026-06-01T12:00:00.25", now).as_deref(), Some("2026-06-01T10:00:00.25Z"));
        let twice = "2026-10-25T02:30:00";
        assert_eq!(captured(twice, "2026-10-25T00:30:03Z").as_deref(), Some("2026-10-25T00:30:00Z"));
        assert_eq!(captured(twice, "2026-10-25T01:30:03Z").as_deref(), Some("2026-10-25T01:30:00Z"));
        assert_eq!(captured("2026-03-29T02:30:00", "2026-03-29T01:30:00Z"), None, "no clock shows it");
    }

    #[test]
    fn a_vehicle_drives_away_where_the_settings_say_which_way_is_coming() {
        let mut wiring = Wiring::new(DeviceId::from("cam"), 5_000);
        wiring.camera_of = Some(LaneId::from("out"));
        let mut drives_away = |coming, direction: Option<&str>| {
            wiring.coming = coming;
            let read = serde_json::json!({"plate_read": {"event": "e", "direction": direction}});
            let said = wiring.inputs_of(serde_json::from_value(read).expect("a statement"), UtcMs(0));
            let [Input::PlateRead(read)] = &said[..] else { panic!("one read: {said:?}") };
            read.told.drives_away
        };
        assert!(drives_away(Some(Heading::Approaching), Some("leaving")));
        assert!(drives_away(Some(Heading::Leaving), Some("approaching")), "a camera that looks at the backs");
        assert!(!drives_away(Some(Heading::Leaving), Some("leaving")));
        assert!(!drives_away(Some(Heading::Approaching), None), "who says nothing has come");
        assert!(!drives_away(None, Some("leaving")), "not used");
    }

    fn check(captured: Option<i64>, stored_offline: bool, received: i64, expect: i64) {
        let wiring = Wiring::new(DeviceId::from("cam"), 5_000);
        let found = wiring.believed(captured.map(UtcMs), stored_offline, UtcMs(received));
        assert_eq!(found, UtcMs(expect), "{captured:?} at {received}");
    }
}
