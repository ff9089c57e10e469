//! From the settings to what is started: every name is looked up, and every mistake is told with its line.

mod check;
mod lane_check;
mod links;
mod looks_check;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use jiff::tz::TimeZone;
use toml::Spanned;

use super::digest::Credentials;
use super::hours::Hours;
use super::lists::ListPlan;
use super::pulse::PulsePlan;
use super::serial::Wire;
use super::settings::{DeviceConfig, DevicesConfig, LaneConfig, LinkKind};
use super::signs::SignPlan;
use super::waiting::RaisedBy;
use super::wiring::{InputRole, Wiring};
use crate::domain::event::{DeviceId, LaneId, Limit};
use crate::domain::lane::LoopRole;
use crate::profile::http::HttpCodec;
use crate::profile::language::{Emits, Link, TUNNEL};
use crate::profile::mistake::{Mistake, Source, one_of};
use crate::profile::modbus::ModbusCodec;
use crate::profile::mqtt::MqttCodec;
use crate::profile::osdp::OsdpCodec;
use crate::profile::serial::SerialCodec;
use crate::profile::template::{Value, Values};
use crate::profile::wiegand::Cards;
use crate::profile::{Catalogue, Codec, Profile};
use check::Check;
use links::{bits, broker, bus, http, line, push, readers};

/// Settings without mistakes, ready to be started.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(super) brokers: Vec<BrokerPlan>,
    pub(super) buses: Vec<BusPlan>,
    pub(super) lines: Vec<LinePlan>,
    pub(super) pushes: Vec<PushPlan>,
    pub(super) streams: Vec<StreamPlan>,
    pub(super) asks: Vec<StreamPlan>,
    pub(super) readers: Vec<ReadersPlan>,
    pub(super) bits: Vec<BitsPlan>,
    /// Every device with its link and its profile.
    pub(super) devices: BTreeMap<DeviceId, (String, Profile)>,
    /// What each link is.
    pub(super) kinds: BTreeMap<String, LinkKind>,
    /// Where it is written what may be told only so often a day.
    pub(super) remembered_in: Option<PathBuf>,
    pub(super) barriers: BTreeMap<LaneId, BarrierPlan>,
    pub(super) signs: Vec<SignPlan>,
    pub(super) lists: Vec<ListPlan>,
    /// How it is known whether each device is there.
    pub(super) pulses: BTreeMap<DeviceId, PulsePlan>,
}

#[derive(Clone, Debug)]
pub(super) struct BrokerPlan {
    pub id: String,
    pub host: String,
    pub port: u16,
    pub client_id: String,
    pub credentials: Option<(String, String)>,
    /// It only looks whether the broker and its devices are there, beside a box that works.
    pub is_guest: bool,
    pub devices: Vec<MqttDevice>,
}

#[derive(Clone, Debug)]
pub(super) struct MqttDevice {
    pub codec: MqttCodec,
    pub wiring: Wiring,
}

#[derive(Clone, Debug)]
pub(super) struct BusPlan {
    pub id: String,
    pub wire: Wire,
    pub boards: Vec<BoardPlan>,
}

#[derive(Clone, Debug)]
pub(super) struct LinePlan {
    pub id: String,
    pub wire: Wire,
    pub devices: Vec<FramedPlan>,
}

#[derive(Clone, Debug)]
pub(super) struct PushPlan {
    pub id: String,
    pub listen: SocketAddr,
    pub devices: Vec<HttpDevice>,
}

/// Devices that are asked: for their stream, or for nothing but what they are asked.
#[derive(Clone, Debug)]
pub(super) struct StreamPlan {
    pub id: String,
    pub devices: Vec<HttpDevice>,
}

#[derive(Clone, Debug)]
pub(super) struct HttpDevice {
    pub codec: HttpCodec,
    pub wiring: Wiring,
    /// Where it is asked, for commands that are requests.
    pub call: Option<CallPlan>,
    /// The cameras whose pictures it reads as well.
    pub reads: Vec<DeviceId>,
    /// By what it lets a lane's barrier rise, where one hangs on it or on its tunnel.
    pub raised_by: Option<RaisedBy>,
}

/// Readers on an OSDP bus.
#[derive(Clone, Debug)]
pub(super) struct ReadersPlan {
    pub id: String,
    pub wire: Wire,
    pub readers: Vec<ReaderPlan>,
}

#[derive(Clone, Debug)]
pub(super) struct ReaderPlan {
    pub codec: OsdpCodec,
    pub wiring: Wiring,
    /// The reader's key; without one it is spoken to in the clear.
    pub key: Option<Key>,
    pub debounce_ms: u32,
    pub poll_ms: Option<u64>,
}

/// A key: never shown.
#[derive(Clone, Copy)]
pub(super) struct Key(pub [u8; 16]);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(secret)")
    }
}

/// A reader with two data wires, behind a bridge that writes its bits on a line.
#[derive(Clone, Debug)]
pub(super) struct BitsPlan {
    pub id: String,
    pub wire: Wire,
    pub cards: Cards,
    pub gap_ms: u64,
    pub wiring: Wiring,
}

#[derive(Clone, Debug)]
pub(super) struct CallPlan {
    pub address: String,
    pub credentials: Option<Credentials>,
}

#[derive(Clone, Debug)]
pub(super) struct BoardPlan {
    pub codec: ModbusCodec,
    pub wiring: Wiring,
    pub debounce_ms: u32,
    pub poll_ms: Option<u64>,
}

#[derive(Clone, Debug)]
pub(super) struct FramedPlan {
    pub codec: SerialCodec,
    pub wiring: Wiring,
    pub debounce_ms: u32,
    pub poll_ms: Option<u64>,
}

/// What a raise of a lane is told to.
#[derive(Clone, Debug)]
pub(super) struct BarrierPlan {
    pub link: String,
    pub device: DeviceId,
    pub args: Values,
    /// What lets its arm down, where something does.
    pub lower: Option<Values>,
}

/// Below 1200 a poll takes longer than a vehicle; above 115200 no board here answers.
const BAUD: std::ops::RangeInclusive<u32> = 1_200..=115_200;
/// How often a device is asked by one who only looks.
const LOOK_MS: u64 = 200;

impl DevicesConfig {
    /// What is to be started, or every mistake. `box_id` names the MQTT client where the settings do not; `zone` is that of
    /// the clocks on the site's walls.
    pub fn plan(
        &self,
        box_id: &str,
        zone: &TimeZone,
        source: &Source,
        catalogue: &Catalogue,
    ) -> Result<Plan, Vec<Mistake>> {
        let device_ids = self.devices.iter().map(|device| device.id.get_ref().as_str()).collect();
        let mut check = Check { source, device_ids, mistakes: Vec::new() };
        check.unique("link", self.links.iter().map(|link| &link.id));
        check.unique("device", self.devices.iter().map(|device| &device.id));
        check.unique("lane", self.lanes.iter().map(|lane| &lane.id));
        for link in &self.links {
            check.link(link);
        }
        check.clients(box_id, &self.links);
        let mut devices = self.devices(&mut check, zone, catalogue);
        for link in &self.links {
            check.tunnel(link, &devices);
        }
        let barriers = self.wire(&mut check, &mut devices);
        check.second_looks(&self.devices, &devices);
        check.addresses(&devices);
        check.languages(&devices);
        if !check.mistakes.is_empty() {
            return Err(check.mistakes);
        }
        Ok(self.gathered(box_id, devices, barriers))
    }

    fn devices<'c>(
        &'c self,
        check: &mut Check,
        zone: &TimeZone,
        catalogue: &'c Catalogue,
    ) -> BTreeMap<String, Device<'c>> {
        let mut devices = BTreeMap::new();
        for config in &self.devices {
            let link = self.links.iter().find(|link| link.id.get_ref() == config.link.get_ref());
            if link.is_none() {
                let known = one_of(self.links.iter().map(|link| link.id.get_ref().as_str()));
                check.wrong(&config.link, format!("there is no link {:?}", config.link.get_ref()), known);
            }
            let Some(profile) = catalogue.profile(config.profile.get_ref()) else {
                let wrong = format!("there is no profile {:?}", config.profile.get_ref());
                check.wrong(&config.profile, wrong, one_of(catalogue.ids()));
                continue;
            };
            let kinds: &[LinkKind] = match profile.link() {
                Link::Mqtt => &[LinkKind::Mqtt],
                Link::ModbusRtu | Link::Wiegand | Link::Osdp => &[LinkKind::Serial, LinkKind::Tcp],
                Link::Serial => &[LinkKind::Serial, LinkKind::Tcp, LinkKind::Tunnel],
                Link::ModbusTcp => &[LinkKind::Tcp],
                Link::Http => &[LinkKind::HttpPush, LinkKind::HttpStream, LinkKind::HttpAsk],
            };
            if link.is_some_and(|link| !kinds.contains(link.kind.get_ref())) {
                let wrong = format!("{} cannot hang on this link", profile.id());
                let words: Vec<&str> = kinds.iter().map(|kind| kind.word()).collect();
                check.wrong(&config.link, wrong, format!("a link of kind {}", words.join(" or ")));
            }
            check.whitelist(config, profile);
            check.coming(config, profile);
            check.silence(config, profile, zone);
            check.inputs(config, profile);
            let params = config.params.iter().map(|(name, value)| (name.clone(), value.get_ref().clone())).collect();
            match profile.bind(&params) {
                Ok(codec) => {
                    check.own_address(config, &codec, link);
                    let id = DeviceId(config.id.get_ref().clone());
                    let mut wiring = Wiring::new(id, i64::from(config.clock_tolerance_s) * 1000);
                    wiring.debounce_ms = config.debounce_ms();
                    wiring.zone = zone.clone();
                    wiring.coming = config.coming.as_ref().map(|coming| *coming.get_ref());
                    let key = match codec {
                        Codec::Osdp(_) => check.reader_key(config),
                        Codec::Mqtt(_) | Codec::Modbus(_) | Codec::Http(_) | Codec::Serial(_) | Codec::Wiegand(_) => {
                            None
                        }
                    };
                    devices.insert(
                        config.id.get_ref().clone(),
                        Device { config, profile, codec, wiring, key, sign_of: None },
                    );
                }
                Err(bad) => {
                    for bad in bad {
                        let at = config.params.get(&bad.name).map_or(config.id.span(), Spanned::span);
                        check.mistakes.push(check.source.mistake(at, bad.wrong, bad.allowed));
                    }
                }
            }
        }
        devices
    }

    fn wire(&self, check: &mut Check, devices: &mut BTreeMap<String, Device>) -> BTreeMap<LaneId, BarrierPlan> {
        let mut barriers = BTreeMap::new();
        for lane in &self.lanes {
            let id = LaneId(lane.id.get_ref().clone());
            check.cameras(devices, lane);
            if let Some(reader) = &lane.reader
                && let Some(device) = check.device(devices, reader)
            {
                if !device.profile.emits(Emits::Card) {
                    let wrong = format!("{} reads no cards", device.profile.id());
                    check.wrong(reader, wrong, "a device whose profile emits card".to_owned());
                } else if let Some(other) = device.wiring.reader_of.replace(id.clone()) {
                    let wrong = format!("{} is already at lane {other}", reader.get_ref());
                    check.wrong(reader, wrong, "a reader for each lane".to_owned());
                }
            }
            check.signs(devices, lane);
            let contacts = [
                (&lane.arrival_loop, InputRole::Loop(LoopRole::Arrival)),
                (&lane.passage_loop, InputRole::Loop(LoopRole::Passage)),
                (&lane.safety_loop, InputRole::Loop(LoopRole::Safety)),
                (&lane.upper_limit, InputRole::Limit(Limit::Upper)),
                (&lane.lower_limit, InputRole::Limit(Limit::Lower)),
            ];
            for (contact, role) in contacts {
                let Some(contact) = contact else { continue };
                if let Some(device) = check.device(devices, &contact.device) {
                    check.contact(device, contact, &id, role);
                }
            }
            if let Some(device) = check.device(devices, &lane.barrier.device) {
                check.barrier(device, &lane.barrier);
                device.wiring.arm_of.get_or_insert_with(|| id.clone());
                check.lowering(device, lane);
                let pulse = |output: &Spanned<u16>, pulse_ms: &Option<Spanned<u32>>| {
                    let output = ("output".to_owned(), Value::Integer(i64::from(*output.get_ref())));
                    let pulse_ms = pulse_ms.as_ref().map(|ms| Value::Integer(i64::from(*ms.get_ref())));
                    let pulse_ms = pulse_ms.map(|ms| ("pulse_ms".to_owned(), ms));
                    [Some(output), pulse_ms].into_iter().flatten().collect::<Values>()
                };
                let args = pulse(&lane.barrier.output, &lane.barrier.pulse_ms);
                let lower = lane.barrier.lower.as_ref().map(|lower| pulse(&lower.output, &lower.pulse_ms));
                let link = device.config.link.get_ref().clone();
                let device = DeviceId(lane.barrier.device.get_ref().clone());
                barriers.insert(id, BarrierPlan { link, device, args, lower });
            }
        }
        if let Some(contact) = &self.emergency
            && let Some(device) = check.device(devices, &contact.device)
        {
            check.emergency(device, contact);
        }
        barriers
    }

    /// A device whose stream is its own is known by its troubles alone.
    fn pulse(&self, device: &Device) -> PulsePlan {
        let link = self.links.iter().find(|link| link.id.get_ref() == device.config.link.get_ref());
        let link = link.filter(|link| *link.kind.get_ref() != LinkKind::HttpStream);
        let silent_ms = device.config.silent_ms.as_ref().map(|ms| *ms.get_ref()).or(device.profile.head().silent_ms);
        let hours = device.config.silent_hours.as_ref();
        PulsePlan {
            link: link.map(|link| link.id.get_ref().clone()),
            silent: silent_ms.map(Duration::from_millis),
            hours: hours.and_then(|hours| Hours::read(hours.get_ref(), &device.wiring.zone)),
        }
    }

    /// The cameras that keep a copy of the box's plates.
    fn lists(&self) -> Vec<ListPlan> {
        let plan = |device: &DeviceConfig| {
            let list = device.whitelist.as_ref()?;
            let most = usize::try_from(*list.most.get_ref()).unwrap_or(usize::MAX);
            Some(ListPlan { device: DeviceId(device.id.get_ref().clone()), of: list.of.get_ref().clone(), most })
        };
        self.devices.iter().filter_map(plan).collect()
    }

    /// What each lane has to tell its drivers with.
    fn signs(&self) -> Vec<SignPlan> {
        let device = |named: &Option<Spanned<String>>| named.as_ref().map(|id| DeviceId(id.get_ref().clone()));
        let plan = |lane: &LaneConfig| SignPlan {
            lane: LaneId(lane.id.get_ref().clone()),
            direction: lane.direction,
            zone: lane.zone.as_ref().map(|zone| zone.get_ref().clone()).unwrap_or_default(),
            display: device(&lane.display),
            speaker: device(&lane.speaker),
        };
        self.lanes.iter().map(plan).filter(|plan| plan.display.is_some() || plan.speaker.is_some()).collect()
    }

    fn gathered(
        &self,
        box_id: &str,
        devices: BTreeMap<String, Device>,
        barriers: BTreeMap<LaneId, BarrierPlan>,
    ) -> Plan {
        let mut plan = Plan {
            brokers: Vec::new(),
            buses: Vec::new(),
            lines: Vec::new(),
            pushes: Vec::new(),
            streams: Vec::new(),
            asks: Vec::new(),
            readers: Vec::new(),
            bits: Vec::new(),
            devices: BTreeMap::new(),
            kinds: BTreeMap::new(),
            remembered_in: None,
            barriers,
            signs: self.signs(),
            lists: self.lists(),
            pulses: BTreeMap::new(),
        };
        for device in devices.values() {
            let link = device.config.link.get_ref().clone();
            plan.pulses.insert(device.wiring.device.clone(), self.pulse(device));
            plan.devices.insert(device.wiring.device.clone(), (link, device.profile.clone()));
        }
        for link in &self.links {
            plan.kinds.insert(link.id.get_ref().clone(), *link.kind.get_ref());
            let of_link = devices.values().filter(|device| device.config.link.get_ref() == link.id.get_ref());
            match link.kind.get_ref() {
                LinkKind::Mqtt => plan.brokers.push(broker(box_id, link, of_link)),
                LinkKind::Serial | LinkKind::Tcp | LinkKind::Tunnel => {
                    let of_link: Vec<&Device> = of_link.collect();
                    match of_link.first().map(|device| &device.codec) {
                        Some(Codec::Serial(_)) => plan.lines.push(line(link, &of_link)),
                        Some(Codec::Osdp(_)) => plan.readers.push(readers(link, &of_link)),
                        Some(Codec::Wiegand(_)) => plan.bits.extend(bits(link, &of_link)),
                        Some(Codec::Modbus(_) | Codec::Mqtt(_) | Codec::Http(_)) | None => {
                            plan.buses.push(bus(link, &of_link));
                        }
                    }
                }
                LinkKind::HttpPush => plan.pushes.push(push(link, of_link)),
                LinkKind::HttpStream => {
                    plan.streams.push(StreamPlan { id: link.id.get_ref().clone(), devices: http(of_link) });
                }
                LinkKind::HttpAsk => {
                    plan.asks.push(StreamPlan { id: link.id.get_ref().clone(), devices: http(of_link) });
                }
            }
        }
        plan.let_tunnels_raise();
        plan
    }
}

impl Plan {
    /// What may be told only so often a day is counted in this file, so that a restart gives nothing back.
    pub fn remembering_in(self, file: PathBuf) -> Self {
        Self { remembered_in: Some(file), ..self }
    }

    /// The same for one who only looks: no barrier can be raised, brokers keep nothing, and devices in tunnels are asked, too.
    pub(super) fn for_a_look(mut self) -> Self {
        self.barriers.clear();
        for broker in &mut self.brokers {
            broker.is_guest = true;
            broker.client_id.push_str("-check");
        }
        for device in self.lines.iter_mut().flat_map(|line| &mut line.devices) {
            device.poll_ms = device.poll_ms.or(Some(LOOK_MS));
        }
        self
    }

    /// A camera's answer waits for the raise of a barrier that hangs on its tunnel, as it does for its own.
    fn let_tunnels_raise(&mut self) {
        let links: BTreeSet<&str> = self.barriers.values().map(|barrier| barrier.link.as_str()).collect();
        let raising = self.lines.iter().filter(|line| links.contains(line.id.as_str()));
        let through: BTreeMap<DeviceId, u16> = raising
            .filter_map(|line| match &line.wire {
                Wire::Tunnel { device, channel } => Some((device.clone(), *channel)),
                Wire::Serial { .. } | Wire::Tcp { .. } => None,
            })
            .collect();
        for device in self.pushes.iter_mut().flat_map(|push| &mut push.devices) {
            if let Some(channel) = through.get(&device.wiring.device) {
                device.raised_by.get_or_insert(RaisedBy { command: TUNNEL, channel: Some(*channel) });
            }
        }
    }
}

struct Device<'c> {
    config: &'c DeviceConfig,
    profile: &'c Profile,
    codec: Codec,
    wiring: Wiring,
    /// A reader's key.
    key: Option<[u8; 16]>,
    /// The lane whose drivers it tells something.
    sign_of: Option<String>,
}
