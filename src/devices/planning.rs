//! From the settings to what is started: every name is looked up, and every mistake is told with its line.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;

use toml::Spanned;

use super::digest::Credentials;
use super::settings::{BarrierConfig, ContactConfig, DeviceConfig, DevicesConfig, LinkConfig, LinkKind, Parity};
use super::wiring::{InputRole, Wiring};
use crate::domain::event::{DeviceId, LaneId};
use crate::domain::lane::LoopRole;
use crate::profile::http::{Carrier, HttpCodec};
use crate::profile::language::{Emits, Link, RAISE};
use crate::profile::mistake::{Mistake, Source, one_of};
use crate::profile::modbus::ModbusCodec;
use crate::profile::mqtt::MqttCodec;
use crate::profile::template::{Value, Values};
use crate::profile::{Catalogue, Codec, Profile};

/// Settings without mistakes, ready to be started.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(super) brokers: Vec<BrokerPlan>,
    pub(super) buses: Vec<BusPlan>,
    pub(super) pushes: Vec<PushPlan>,
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
    pub path: PathBuf,
    pub baud: u32,
    pub parity: Parity,
    pub boards: Vec<BoardPlan>,
}

#[derive(Clone, Debug)]
pub(super) struct PushPlan {
    pub id: String,
    pub listen: SocketAddr,
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

/// What a raise of a lane is told to.
#[derive(Clone, Debug)]
pub(super) struct BarrierPlan {
    pub link: String,
    pub device: DeviceId,
    pub args: Values,
}

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
            let kind = match profile.link() {
                Link::Mqtt => LinkKind::Mqtt,
                Link::ModbusRtu => LinkKind::Serial,
                Link::Http => LinkKind::HttpPush,
                other @ (Link::ModbusTcp | Link::Serial | Link::Wiegand | Link::Osdp) => {
                    let wrong =
                        format!("this version has no link for {}, a profile of link {}", profile.id(), other.word());
                    check.wrong(&config.profile, wrong, "a profile of link mqtt, modbus-rtu or http".to_owned());
                    continue;
                }
            };
            if link.is_some_and(|link| *link.kind.get_ref() != kind) {
                let wrong = format!("{} cannot hang on this link", profile.id());
                check.wrong(&config.link, wrong, format!("a link of kind {}", kind.word()));
            }
            if let Some(poll_ms) = config.poll_ms.as_ref().filter(|ms| !POLL_MS.contains(ms.get_ref())) {
                check.wrong(poll_ms, format!("poll_ms is {}", poll_ms.get_ref()), "10 to 5000".to_owned());
            }
            let params = config.params.iter().map(|(name, value)| (name.clone(), value.get_ref().clone())).collect();
            match profile.bind(&params) {
                Ok(codec) => {
                    check.own_address(config, &codec);
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
        let mut plan = Plan { brokers: Vec::new(), buses: Vec::new(), pushes: Vec::new(), barriers };
        for link in &self.links {
            let of_link = devices.values().filter(|device| device.config.link.get_ref() == link.id.get_ref());
            match link.kind.get_ref() {
                LinkKind::Mqtt => plan.brokers.push(broker(box_id, link, of_link)),
                LinkKind::Serial => plan.buses.push(bus(link, of_link)),
                LinkKind::HttpPush => plan.pushes.push(push(link, of_link)),
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

fn bus<'d>(link: &LinkConfig, devices: impl Iterator<Item = &'d Device<'d>>) -> BusPlan {
    BusPlan {
        id: link.id.get_ref().clone(),
        path: link.path.as_ref().map(|path| path.get_ref().clone()).unwrap_or_default(),
        baud: link.baud.as_ref().map_or(9600, |baud| *baud.get_ref()),
        parity: link.parity.as_ref().map_or(Parity::None, |parity| *parity.get_ref()),
        boards: devices
            .filter_map(|device| match &device.codec {
                Codec::Modbus(codec) => Some(BoardPlan {
                    codec: codec.clone(),
                    wiring: device.wiring.clone(),
                    debounce_ms: device.config.debounce_ms,
                    poll_ms: device.config.poll_ms.as_ref().map(|ms| *ms.get_ref()),
                }),
                Codec::Mqtt(_) | Codec::Http(_) | Codec::Serial(_) | Codec::Wiegand(_) | Codec::Osdp(_) => None,
            })
            .collect(),
    }
}

fn push<'d>(link: &LinkConfig, devices: impl Iterator<Item = &'d Device<'d>>) -> PushPlan {
    PushPlan {
        id: link.id.get_ref().clone(),
        listen: link.listen.as_ref().map_or(SocketAddr::from(([127, 0, 0, 1], 8090)), |listen| *listen.get_ref()),
        devices: devices
            .filter_map(|device| match &device.codec {
                Codec::Http(codec) => Some(HttpDevice {
                    codec: codec.clone(),
                    wiring: device.wiring.clone(),
                    call: call(device.config),
                    raises: device.wiring.arm_of.is_some(),
                }),
                Codec::Mqtt(_) | Codec::Modbus(_) | Codec::Serial(_) | Codec::Wiegand(_) | Codec::Osdp(_) => None,
            })
            .collect(),
    }
}

fn call(device: &DeviceConfig) -> Option<CallPlan> {
    let address = device.address.as_ref()?.get_ref().clone();
    let credentials = device.username.as_ref().map(|username| Credentials {
        username: username.get_ref().clone(),
        password: device.password.as_ref().map_or("", |password| password.get_ref().revealed()).to_owned(),
    });
    Some(CallPlan { address, credentials })
}

struct Check<'s> {
    source: &'s Source<'s>,
    device_ids: BTreeSet<&'s str>,
    mistakes: Vec<Mistake>,
}

impl Check<'_> {
    fn wrong<T>(&mut self, at: &Spanned<T>, wrong: String, allowed: String) {
        self.mistakes.push(self.source.mistake(at.span(), wrong, allowed));
    }

    fn unique<'i>(&mut self, what: &str, ids: impl Iterator<Item = &'i Spanned<String>>) {
        let mut seen = BTreeSet::new();
        for id in ids {
            let text = id.get_ref();
            let is_right = (1..=40).contains(&text.len())
                && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
            if !is_right {
                let allowed = "1 to 40 letters, digits, hyphens and underscores".to_owned();
                self.wrong(id, format!("{text:?} cannot name a {what}"), allowed);
            }
            if !seen.insert(text) {
                self.wrong(id, format!("there are two {what}s {text:?}"), "a name of its own for each".to_owned());
            }
        }
    }

    fn link(&mut self, link: &LinkConfig) {
        let kind = *link.kind.get_ref();
        let mqtt = [
            ("host", link.host.as_ref().map(Spanned::span)),
            ("port", link.port.as_ref().map(Spanned::span)),
            ("client_id", link.client_id.as_ref().map(Spanned::span)),
            ("username", link.username.as_ref().map(Spanned::span)),
            ("password", link.password.as_ref().map(Spanned::span)),
        ];
        let serial = [
            ("path", link.path.as_ref().map(Spanned::span)),
            ("baud", link.baud.as_ref().map(Spanned::span)),
            ("parity", link.parity.as_ref().map(Spanned::span)),
        ];
        let push = [("listen", link.listen.as_ref().map(Spanned::span))];
        let all: [(LinkKind, &[_]); 3] =
            [(LinkKind::Mqtt, &mqtt), (LinkKind::Serial, &serial), (LinkKind::HttpPush, &push)];
        let own = all.iter().filter(|(of, _)| *of == kind).flat_map(|(_, words)| words.iter());
        for (name, at) in all.iter().filter(|(of, _)| *of != kind).flat_map(|(_, words)| words.iter()) {
            if let Some(at) = at {
                let wrong = format!("a link of kind {} has no {name}", kind.word());
                let allowed = one_of(own.clone().map(|(name, _)| *name));
                self.mistakes.push(self.source.mistake(at.clone(), wrong, allowed));
            }
        }
        if kind == LinkKind::Serial && link.path.is_none() {
            self.wrong(&link.kind, "the link lacks its path".to_owned(), "path = \"/dev/ttyS1\"".to_owned());
        }
        if kind == LinkKind::HttpPush && link.listen.is_none() {
            self.wrong(&link.kind, "the link lacks its address".to_owned(), "listen = \"0.0.0.0:8090\"".to_owned());
        }
        if let Some(baud) = link.baud.as_ref().filter(|baud| !BAUD.contains(baud.get_ref())) {
            self.wrong(baud, format!("baud is {}", baud.get_ref()), "1200 to 115200".to_owned());
        }
    }

    /// A command that is a request needs to know where, and nothing else does.
    fn own_address(&mut self, config: &DeviceConfig, codec: &Codec) {
        let asks = match codec {
            Codec::Http(codec) => codec.carrier(RAISE) == Some(Carrier::Request),
            Codec::Mqtt(_) | Codec::Modbus(_) | Codec::Serial(_) | Codec::Wiegand(_) | Codec::Osdp(_) => false,
        };
        if asks && config.address.is_none() {
            let wrong = format!("{} lacks its address: it is asked to raise", config.id.get_ref());
            self.wrong(&config.id, wrong, "address = \"192.168.1.64\", with username and password".to_owned());
        }
        if let Some(address) = config.address.as_ref().filter(|_| !asks) {
            let wrong = "nothing is asked of this device".to_owned();
            self.wrong(address, wrong, "address only for a profile whose raise is a request".to_owned());
        }
    }

    /// A broker closes the older of two connections with one client id, so that two such links would fight for ever.
    fn clients(&mut self, box_id: &str, links: &[LinkConfig]) {
        let mut seen = BTreeSet::new();
        for link in links {
            let same = match link.kind.get_ref() {
                LinkKind::Mqtt => {
                    let plan = broker(box_id, link, std::iter::empty());
                    !seen.insert((plan.host, plan.port.to_string(), plan.client_id))
                }
                LinkKind::HttpPush => {
                    let listen = push(link, std::iter::empty()).listen.to_string();
                    !seen.insert((listen, String::new(), String::new()))
                }
                LinkKind::Serial => {
                    let path = bus(link, std::iter::empty()).path.display().to_string();
                    !seen.insert((path, String::new(), String::new()))
                }
            };
            if same {
                let wrong = format!("the link {} goes where another one goes", link.id.get_ref());
                self.wrong(
                    &link.id,
                    wrong,
                    "one link for each serial port, for each address and for each client_id of a broker".to_owned(),
                );
            }
        }
    }

    /// The device of this name; a known one with mistakes of its own was already told.
    fn device<'d, 'c>(
        &mut self,
        devices: &'d mut BTreeMap<String, Device<'c>>,
        id: &Spanned<String>,
    ) -> Option<&'d mut Device<'c>> {
        let found = devices.get_mut(id.get_ref());
        if found.is_none() && !self.device_ids.contains(id.get_ref().as_str()) {
            let known = one_of(self.device_ids.iter().copied());
            self.wrong(id, format!("there is no device {:?}", id.get_ref()), known);
        }
        found
    }

    fn contact(&mut self, device: &mut Device, contact: &ContactConfig, lane: &LaneId, role: InputRole) {
        let input = *contact.input.get_ref();
        if !self.has_input(device, contact) {
            return;
        }
        if let Some((other, _)) = device.wiring.inputs.insert(input, (lane.clone(), role)) {
            let wrong = format!("input {input} of {} already belongs to lane {other}", contact.device.get_ref());
            self.wrong(&contact.input, wrong, "an input for each contact".to_owned());
        }
    }

    fn emergency(&mut self, device: &mut Device, contact: &ContactConfig) {
        let input = *contact.input.get_ref();
        if let Some((lane, _)) = device.wiring.inputs.get(&input) {
            let wrong = format!("input {input} of {} already belongs to lane {lane}", contact.device.get_ref());
            self.wrong(&contact.input, wrong, "an input for each contact".to_owned());
        } else if self.has_input(device, contact) {
            device.wiring.emergency = Some(input);
        }
    }

    /// Whether the device has such an input at all.
    fn has_input(&mut self, device: &Device, contact: &ContactConfig) -> bool {
        let input = *contact.input.get_ref();
        if !device.profile.emits(Emits::Input) {
            let wrong = format!("{} has no inputs", device.profile.id());
            self.wrong(&contact.device, wrong, "a device whose profile emits input".to_owned());
            return false;
        }
        if let Some(count) = device.profile.input_count().filter(|count| input >= *count) {
            let wrong = format!("{} has no input {input}", device.profile.id());
            self.wrong(&contact.input, wrong, format!("0 to {}", count - 1));
            return false;
        }
        true
    }

    fn barrier(&mut self, device: &Device, barrier: &BarrierConfig) {
        let Some(args) = device.profile.args(RAISE) else {
            let wrong = format!("{} raises no barrier", device.profile.id());
            self.wrong(&barrier.device, wrong, "a device whose profile has the command raise".to_owned());
            return;
        };
        let given = [
            ("output", barrier.output.span(), i64::from(*barrier.output.get_ref())),
            ("pulse_ms", barrier.pulse_ms.span(), i64::from(*barrier.pulse_ms.get_ref())),
        ];
        for (name, at, value) in given {
            let Some(arg) = args.get(name) else { continue };
            let (min, max) = (arg.min.unwrap_or(0), arg.max.unwrap_or(i64::MAX));
            if !(min..=max).contains(&value) || value % arg.step != 0 {
                let allowed = format!("{min} to {max} in steps of {}", arg.step);
                self.mistakes.push(self.source.mistake(at, format!("{name} is {value}"), allowed));
            }
        }
    }

    /// Two devices that answer to the same name on one link cannot be told apart.
    fn addresses(&mut self, devices: &BTreeMap<String, Device>) {
        let mut seen: BTreeMap<(&str, String), &str> = BTreeMap::new();
        for device in devices.values() {
            let addresses: Vec<String> = match &device.codec {
                Codec::Mqtt(codec) => codec.topics().map(str::to_owned).collect(),
                Codec::Modbus(codec) => vec![codec.address().to_string()],
                Codec::Http(codec) => {
                    let who = codec.identity().unwrap_or_default();
                    codec.paths().map(|path| format!("{path} {who}")).collect()
                }
                Codec::Serial(_) | Codec::Wiegand(_) | Codec::Osdp(_) => Vec::new(),
            };
            let id = device.config.id.get_ref().as_str();
            let other = addresses
                .into_iter()
                .filter_map(|address| seen.insert((device.config.link.get_ref(), address), id))
                .next();
            if let Some(other) = other {
                let wrong = format!("{id} and {other} answer to the same name on one link");
                self.wrong(&device.config.id, wrong, "params of its own for each device".to_owned());
            }
        }
    }
}
