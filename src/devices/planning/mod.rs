//! From the settings to what is started: every name is looked up, and every mistake is told with its line.

mod check;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use toml::Spanned;

use super::digest::Credentials;
use super::serial::Wire;
use super::settings::{DeviceConfig, DevicesConfig, LinkConfig, LinkKind, Parity};
use super::wiring::{InputRole, Wiring};
use crate::domain::event::{DeviceId, LaneId};
use crate::domain::lane::LoopRole;
use crate::profile::http::HttpCodec;
use crate::profile::language::{Emits, Link};
use crate::profile::mistake::{Mistake, Source, one_of};
use crate::profile::modbus::ModbusCodec;
use crate::profile::mqtt::MqttCodec;
use crate::profile::serial::SerialCodec;
use crate::profile::template::{Value, Values};
use crate::profile::{Catalogue, Codec, Profile};
use check::Check;

/// Settings without mistakes, ready to be started.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(super) brokers: Vec<BrokerPlan>,
    pub(super) buses: Vec<BusPlan>,
    pub(super) lines: Vec<LinePlan>,
    pub(super) pushes: Vec<PushPlan>,
    pub(super) streams: Vec<StreamPlan>,
    pub(super) barriers: BTreeMap<LaneId, BarrierPlan>,
}

#[derive(Clone, Debug)]
pub(super) struct BrokerPlan {
    pub id: String,
    pub host: String,
    pub port: u16,
    pub client_id: String,
    pub credentials: Option<(String, String)>,
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
    /// Whether a lane's barrier hangs on it.
    pub raises: bool,
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
}

/// Where Modbus listens on TCP, by its standard.
const MODBUS_TCP_PORT: u16 = 502;
/// Below 1200 a poll takes longer than a vehicle; above 115200 no board here answers.
const BAUD: std::ops::RangeInclusive<u32> = 1_200..=115_200;
/// Faster, the bus has no room for a command; slower, a driver waits.
const POLL_MS: std::ops::RangeInclusive<u64> = 10..=5_000;

impl DevicesConfig {
    /// What is to be started, or every mistake. `box_id` names the MQTT client where the settings do not.
    pub fn plan(&self, box_id: &str, source: &Source, catalogue: &Catalogue) -> Result<Plan, Vec<Mistake>> {
        let device_ids = self.devices.iter().map(|device| device.id.get_ref().as_str()).collect();
        let mut check = Check { source, device_ids, mistakes: Vec::new() };
        check.unique("link", self.links.iter().map(|link| &link.id));
        check.unique("device", self.devices.iter().map(|device| &device.id));
        check.unique("lane", self.lanes.iter().map(|lane| &lane.id));
        for link in &self.links {
            check.link(link);
        }
        check.clients(box_id, &self.links);
        let mut devices = self.devices(&mut check, catalogue);
        let barriers = self.wire(&mut check, &mut devices);
        check.addresses(&devices);
        check.languages(&devices);
        if !check.mistakes.is_empty() {
            return Err(check.mistakes);
        }
        Ok(self.gathered(box_id, devices, barriers))
    }

    fn devices<'c>(&'c self, check: &mut Check, catalogue: &'c Catalogue) -> BTreeMap<String, Device<'c>> {
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
                Link::ModbusRtu | Link::Serial => &[LinkKind::Serial, LinkKind::Tcp],
                Link::ModbusTcp => &[LinkKind::Tcp],
                Link::Http => &[LinkKind::HttpPush, LinkKind::HttpStream],
                other @ (Link::Wiegand | Link::Osdp) => {
                    let wrong =
                        format!("this version has no link for {}, a profile of link {}", profile.id(), other.word());
                    let allowed = "a profile of link mqtt, modbus-rtu, modbus-tcp, serial or http".to_owned();
                    check.wrong(&config.profile, wrong, allowed);
                    continue;
                }
            };
            if link.is_some_and(|link| !kinds.contains(link.kind.get_ref())) {
                let wrong = format!("{} cannot hang on this link", profile.id());
                let words: Vec<&str> = kinds.iter().map(|kind| kind.word()).collect();
                check.wrong(&config.link, wrong, format!("a link of kind {}", words.join(" or ")));
            }
            if let Some(poll_ms) = config.poll_ms.as_ref().filter(|ms| !POLL_MS.contains(ms.get_ref())) {
                check.wrong(poll_ms, format!("poll_ms is {}", poll_ms.get_ref()), "10 to 5000".to_owned());
            }
            let params = config.params.iter().map(|(name, value)| (name.clone(), value.get_ref().clone())).collect();
            match profile.bind(&params) {
                Ok(codec) => {
                    check.own_address(config, &codec, link);
                    let id = DeviceId(config.id.get_ref().clone());
                    let wiring = Wiring::new(id, i64::from(config.clock_tolerance_s) * 1000);
                    devices.insert(config.id.get_ref().clone(), Device { config, profile, codec, wiring });
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
            if let Some(camera) = check.device(devices, &lane.camera) {
                if !camera.profile.emits(Emits::PlateRead) {
                    let wrong = format!("{} reads no plates", camera.profile.id());
                    check.wrong(&lane.camera, wrong, "a device whose profile emits plate_read".to_owned());
                } else if let Some(other) = camera.wiring.camera_of.replace(id.clone()) {
                    let wrong = format!("{} already looks at lane {other}", lane.camera.get_ref());
                    check.wrong(&lane.camera, wrong, "a camera for each lane".to_owned());
                }
            }
            let contacts = [
                (&lane.arrival_loop, InputRole::Loop(LoopRole::Arrival)),
                (&lane.passage_loop, InputRole::Loop(LoopRole::Passage)),
                (&lane.upper_limit, InputRole::UpperLimit),
                (&lane.lower_limit, InputRole::LowerLimit),
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
                let args = Values::from([
                    ("output".to_owned(), Value::Integer(i64::from(*lane.barrier.output.get_ref()))),
                    ("pulse_ms".to_owned(), Value::Integer(i64::from(*lane.barrier.pulse_ms.get_ref()))),
                ]);
                let link = device.config.link.get_ref().clone();
                let device = DeviceId(lane.barrier.device.get_ref().clone());
                barriers.insert(id, BarrierPlan { link, device, args });
            }
        }
        if let Some(contact) = &self.emergency
            && let Some(device) = check.device(devices, &contact.device)
        {
            check.emergency(device, contact);
        }
        barriers
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
            barriers,
        };
        for link in &self.links {
            let of_link = devices.values().filter(|device| device.config.link.get_ref() == link.id.get_ref());
            match link.kind.get_ref() {
                LinkKind::Mqtt => plan.brokers.push(broker(box_id, link, of_link)),
                LinkKind::Serial | LinkKind::Tcp => {
                    let of_link: Vec<&Device> = of_link.collect();
                    if of_link.iter().any(|device| matches!(device.codec, Codec::Serial(_))) {
                        plan.lines.push(line(link, &of_link));
                    } else {
                        plan.buses.push(bus(link, &of_link));
                    }
                }
                LinkKind::HttpPush => plan.pushes.push(push(link, of_link)),
                LinkKind::HttpStream => {
                    plan.streams.push(StreamPlan { id: link.id.get_ref().clone(), devices: http(of_link) });
                }
            }
        }
        plan
    }
}

struct Device<'c> {
    config: &'c DeviceConfig,
    profile: &'c Profile,
    codec: Codec,
    wiring: Wiring,
}

fn broker<'d>(box_id: &str, link: &LinkConfig, devices: impl Iterator<Item = &'d Device<'d>>) -> BrokerPlan {
    let text = |value: &Option<Spanned<String>>| value.as_ref().map(|value| value.get_ref().clone());
    let password = link.password.as_ref().map_or("", |password| password.get_ref().revealed()).to_owned();
    BrokerPlan {
        id: link.id.get_ref().clone(),
        host: text(&link.host).unwrap_or_else(|| "127.0.0.1".to_owned()),
        port: link.port.as_ref().map_or(1883, |port| *port.get_ref()),
        client_id: text(&link.client_id).unwrap_or_else(|| format!("gatepost-{box_id}")),
        credentials: text(&link.username).map(|username| (username, password)),
        devices: devices
            .filter_map(|device| match &device.codec {
                Codec::Mqtt(codec) => Some(MqttDevice { codec: codec.clone(), wiring: device.wiring.clone() }),
                Codec::Modbus(_) | Codec::Http(_) | Codec::Serial(_) | Codec::Wiegand(_) | Codec::Osdp(_) => None,
            })
            .collect(),
    }
}

fn wire(link: &LinkConfig) -> Wire {
    match link.kind.get_ref() {
        LinkKind::Tcp => {
            let host = link.host.as_ref().map_or("127.0.0.1", |host| host.get_ref()).to_owned();
            Wire::Tcp { host, port: link.port.as_ref().map_or(MODBUS_TCP_PORT, |port| *port.get_ref()) }
        }
        LinkKind::Serial | LinkKind::Mqtt | LinkKind::HttpPush | LinkKind::HttpStream => Wire::Serial {
            path: link.path.as_ref().map(|path| path.get_ref().clone()).unwrap_or_default(),
            baud: link.baud.as_ref().map_or(9600, |baud| *baud.get_ref()),
            parity: link.parity.as_ref().map_or(Parity::None, |parity| *parity.get_ref()),
        },
    }
}

fn bus(link: &LinkConfig, devices: &[&Device]) -> BusPlan {
    let board = |device: &&Device| match &device.codec {
        Codec::Modbus(codec) => Some(BoardPlan {
            codec: codec.clone(),
            wiring: device.wiring.clone(),
            debounce_ms: device.config.debounce_ms,
            poll_ms: device.config.poll_ms.as_ref().map(|ms| *ms.get_ref()),
        }),
        Codec::Mqtt(_) | Codec::Http(_) | Codec::Serial(_) | Codec::Wiegand(_) | Codec::Osdp(_) => None,
    };
    BusPlan { id: link.id.get_ref().clone(), wire: wire(link), boards: devices.iter().filter_map(board).collect() }
}

fn line(link: &LinkConfig, devices: &[&Device]) -> LinePlan {
    let framed = |device: &&Device| match &device.codec {
        Codec::Serial(codec) => Some(FramedPlan {
            codec: codec.clone(),
            wiring: device.wiring.clone(),
            debounce_ms: device.config.debounce_ms,
            poll_ms: device.config.poll_ms.as_ref().map(|ms| *ms.get_ref()),
        }),
        Codec::Mqtt(_) | Codec::Http(_) | Codec::Modbus(_) | Codec::Wiegand(_) | Codec::Osdp(_) => None,
    };
    LinePlan { id: link.id.get_ref().clone(), wire: wire(link), devices: devices.iter().filter_map(framed).collect() }
}

fn push<'d>(link: &LinkConfig, devices: impl Iterator<Item = &'d Device<'d>>) -> PushPlan {
    PushPlan {
        id: link.id.get_ref().clone(),
        listen: link.listen.as_ref().map_or(SocketAddr::from(([127, 0, 0, 1], 8090)), |listen| *listen.get_ref()),
        devices: http(devices),
    }
}

fn http<'d>(devices: impl Iterator<Item = &'d Device<'d>>) -> Vec<HttpDevice> {
    devices
        .filter_map(|device| match &device.codec {
            Codec::Http(codec) => Some(HttpDevice {
                codec: codec.clone(),
                wiring: device.wiring.clone(),
                call: call(device.config),
                raises: device.wiring.arm_of.is_some(),
            }),
            Codec::Mqtt(_) | Codec::Modbus(_) | Codec::Serial(_) | Codec::Wiegand(_) | Codec::Osdp(_) => None,
        })
        .collect()
}

fn call(device: &DeviceConfig) -> Option<CallPlan> {
    let address = device.address.as_ref()?.get_ref().clone();
    let credentials = device.username.as_ref().map(|username| Credentials {
        username: username.get_ref().clone(),
        password: device.password.as_ref().map_or("", |password| password.get_ref().revealed()).to_owned(),
    });
    Some(CallPlan { address, credentials })
}
