//! The mistakes that settings can have about links, devices and lanes, each told with its line.

use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::TimeZone;
use toml::Spanned;

use super::links::{broker, push, wire};
use super::{BAUD, Device};
use crate::devices::hours::Hours;
use crate::devices::serial::Wire;
use crate::devices::settings::{BarrierConfig, ContactConfig, DeviceConfig, LinkConfig, LinkKind};
use crate::devices::wiring::InputRole;
use crate::domain::event::LaneId;
use crate::profile::http::Carrier;
use crate::profile::language::{Arg, Emits, Link, RAISE, TUNNEL, WHITELIST_ADD};
use crate::profile::mistake::{Mistake, Source, one_of};
use crate::profile::modbus::Framing;
use crate::profile::{Codec, Profile};

/// Shorter, a busy camera is away all the time; longer than an hour nobody waits.
const SILENT_MS: std::ops::RangeInclusive<u64> = 500..=3_600_000;

/// How long a fire panel's contact behind a broker must be closed, in milliseconds, where the settings do not say it. What the
/// broker kept of an alarm that is long over, its closing and its opening, comes in less.
const KEPT_CALL_MS: u32 = 1_000;

/// What is looked up and what was found wrong.
pub(super) struct Check<'s> {
    pub source: &'s Source<'s>,
    pub device_ids: BTreeSet<&'s str>,
    pub mistakes: Vec<Mistake>,
}

impl Check<'_> {
    pub fn wrong<T>(&mut self, at: &Spanned<T>, wrong: String, allowed: String) {
        self.mistakes.push(self.source.mistake(at.span(), wrong, allowed));
    }

    pub fn unique<'i>(&mut self, what: &str, ids: impl Iterator<Item = &'i Spanned<String>>) {
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

    pub fn link(&mut self, link: &LinkConfig) {
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
            ("data_bits", link.data_bits.as_ref().map(Spanned::span)),
            ("stop_bits", link.stop_bits.as_ref().map(Spanned::span)),
        ];
        let push = [("listen", link.listen.as_ref().map(Spanned::span))];
        let tunnel = [
            ("device", link.device.as_ref().map(Spanned::span)),
            ("channel", link.channel.as_ref().map(Spanned::span)),
        ];
        let (tcp, none) = (&mqtt[..2], &mqtt[..0]);
        let own: &[_] = match kind {
            LinkKind::Mqtt => &mqtt,
            LinkKind::Serial => &serial,
            LinkKind::Tcp => tcp,
            LinkKind::HttpPush => &push,
            LinkKind::HttpStream | LinkKind::HttpAsk => none,
            LinkKind::Tunnel => &tunnel,
        };
        let is_own = |name: &str| own.iter().any(|(own, _)| *own == name);
        for (name, at) in mqtt.iter().chain(&serial).chain(&push).chain(&tunnel).filter(|(name, _)| !is_own(name)) {
            if let Some(at) = at {
                let wrong = format!("a link of kind {} has no {name}", kind.word());
                let allowed =
                    if own.is_empty() { "no more words".to_owned() } else { one_of(own.iter().map(|(name, _)| *name)) };
                self.mistakes.push(self.source.mistake(at.clone(), wrong, allowed));
            }
        }
        if kind == LinkKind::Serial && link.path.is_none() {
            self.wrong(&link.kind, "the link lacks its path".to_owned(), "path = \"/dev/ttyS1\"".to_owned());
        }
        if kind == LinkKind::Tcp && link.host.is_none() {
            self.wrong(&link.kind, "the link lacks its host".to_owned(), "host = \"192.168.1.200\"".to_owned());
        }
        if kind == LinkKind::HttpPush && link.listen.is_none() {
            self.wrong(&link.kind, "the link lacks its address".to_owned(), "listen = \"0.0.0.0:8090\"".to_owned());
        }
        if kind == LinkKind::Tunnel && link.device.is_none() {
            self.wrong(
                &link.kind,
                "the link lacks its device".to_owned(),
                "device = \"cam-in\", channel = 0".to_owned(),
            );
        }
        if let Some(baud) = link.baud.as_ref().filter(|baud| !BAUD.contains(baud.get_ref())) {
            self.wrong(baud, format!("baud is {}", baud.get_ref()), "1200 to 115200".to_owned());
        }
        if let Some(bits) = link.data_bits.as_ref().filter(|bits| !matches!(bits.get_ref(), 7 | 8)) {
            self.wrong(bits, format!("data_bits is {}", bits.get_ref()), "7 or 8".to_owned());
        }
        if let Some(bits) = link.stop_bits.as_ref().filter(|bits| !matches!(bits.get_ref(), 1 | 2)) {
            self.wrong(bits, format!("stop_bits is {}", bits.get_ref()), "1 or 2".to_owned());
        }
    }

    /// What is asked over HTTP may have an address. It needs one where there is no other way to it: for a stream, for a raise
    /// or a list that are requests, and where it never posts.
    pub fn own_address(&mut self, config: &DeviceConfig, codec: &Codec, link: Option<&LinkConfig>) {
        let is_stream = link.is_some_and(|link| *link.kind.get_ref() == LinkKind::HttpStream);
        let is_ask = link.is_some_and(|link| *link.kind.get_ref() == LinkKind::HttpAsk);
        let (needs, may) = match codec {
            Codec::Http(codec) => {
                if is_stream && codec.stream().is_none() {
                    let wrong = format!("{} has no stream", config.profile.get_ref());
                    self.wrong(&config.link, wrong, "a link of kind http-push".to_owned());
                }
                if is_stream && codec.carrier(RAISE) == Some(Carrier::Reply) {
                    let wrong = format!("{} is told in answers to its posts", config.profile.get_ref());
                    self.wrong(&config.link, wrong, "a link of kind http-push".to_owned());
                }
                if is_ask && (codec.paths().next().is_some() || codec.stream().is_some()) {
                    let wrong = format!("{} speaks by itself, and nobody would hear it here", config.profile.get_ref());
                    self.wrong(&config.link, wrong, "a link of kind http-push or http-stream".to_owned());
                }
                if codec.reads_pictures() && !is_ask {
                    let wrong = format!("{} is only asked", config.profile.get_ref());
                    self.wrong(&config.link, wrong, "a link of kind http-ask".to_owned());
                }
                let is_request = |command: &str| codec.carrier(command) == Some(Carrier::Request);
                let keeps_list = config.whitelist.is_some() && is_request(WHITELIST_ADD);
                let is_only_asked = codec.is_asked() && codec.paths().next().is_none();
                let needs = is_stream || is_ask || is_request(RAISE) || keeps_list || is_only_asked;
                (needs, is_stream || is_ask || codec.is_asked())
            }
            Codec::Mqtt(_) | Codec::Modbus(_) | Codec::Serial(_) | Codec::Wiegand(_) | Codec::Osdp(_) => (false, false),
        };
        if needs && config.address.is_none() {
            self.lacks_address(config, &config.id);
        }
        if let Some(address) = config.address.as_ref().filter(|_| !may) {
            let wrong = "nothing is asked of this device".to_owned();
            let allowed =
                "address only where a command is a request, or on a link of kind http-stream or http-ask".to_owned();
            self.wrong(address, wrong, allowed);
        }
    }

    /// `at` is what needs it.
    pub fn lacks_address(&mut self, config: &DeviceConfig, at: &Spanned<String>) {
        let wrong = format!("{} lacks its address: it is asked over HTTP", config.id.get_ref());
        self.wrong(at, wrong, "address = \"192.168.1.64\", with username and password".to_owned());
    }

    /// How long a device may be silent, and when that counts.
    pub fn silence(&mut self, config: &DeviceConfig, profile: &Profile, zone: &TimeZone) {
        if let Some(silent_ms) = config.silent_ms.as_ref().filter(|ms| !SILENT_MS.contains(ms.get_ref())) {
            self.wrong(silent_ms, format!("silent_ms is {}", silent_ms.get_ref()), "500 to 3600000".to_owned());
        }
        let Some(hours) = &config.silent_hours else { return };
        if Hours::read(hours.get_ref(), zone).is_none() {
            let allowed = "two times of the day, such as [\"08:00\", \"22:00\"]".to_owned();
            self.wrong(hours, "silent_hours are no hours".to_owned(), allowed);
        }
        if config.silent_ms.is_none() && profile.head().silent_ms.is_none() {
            let wrong = format!("{} may be silent as long as it likes", config.id.get_ref());
            self.wrong(hours, wrong, "silent_hours with silent_ms".to_owned());
        }
    }

    /// A direction counts only where the device tells one.
    pub fn coming(&mut self, config: &DeviceConfig, profile: &Profile) {
        let tells = profile.messages().iter().any(|message| message.fields.contains_key("direction"));
        if let Some(coming) = config.coming.as_ref().filter(|_| !tells) {
            let wrong = format!("{} tells no direction", profile.id());
            self.wrong(coming, wrong, "coming with a profile whose plate_read has a direction".to_owned());
        }
    }

    /// A reader's key stands where others have their password.
    pub fn reader_key(&mut self, config: &DeviceConfig) -> Option<[u8; 16]> {
        let password = config.password.as_ref()?;
        let key = hex::decode(password.get_ref().revealed().trim()).ok().and_then(|bytes| bytes.try_into().ok());
        if key.is_none() {
            let allowed = "the reader's key: 32 hex digits".to_owned();
            self.wrong(password, "the password of an OSDP reader is no key".to_owned(), allowed);
        }
        key
    }

    /// A tunnel is a port of a device that takes bytes for it and tells what comes back.
    pub fn tunnel(&mut self, link: &LinkConfig, devices: &BTreeMap<String, Device>) {
        let Some(through) = &link.device else { return };
        let Some(device) = devices.get(through.get_ref()) else {
            if !self.device_ids.contains(through.get_ref().as_str()) {
                let known = one_of(self.device_ids.iter().copied());
                self.wrong(through, format!("there is no device {:?}", through.get_ref()), known);
            }
            return;
        };
        let args = device.profile.args(TUNNEL);
        let Some(args) = args.filter(|_| device.profile.emits(Emits::Tunnelled)) else {
            let wrong = format!("{} has no tunnel", device.profile.id());
            let allowed = "a device whose profile has the command tunnel and emits tunnelled".to_owned();
            return self.wrong(through, wrong, allowed);
        };
        let most = args.get("channel").and_then(|arg| arg.max).unwrap_or(0);
        if let Some(channel) = link.channel.as_ref().filter(|channel| i64::from(*channel.get_ref()) > most) {
            let wrong = format!("{} has no port {}", device.profile.id(), channel.get_ref());
            self.wrong(channel, wrong, format!("0 to {most}"));
        }
    }

    /// A broker closes the older of two connections with one client id, so that two such links would fight for ever.
    pub fn clients(&mut self, box_id: &str, links: &[LinkConfig]) {
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
                LinkKind::Serial | LinkKind::Tcp | LinkKind::Tunnel => {
                    let place = match wire(link) {
                        Wire::Serial { path, .. } => (path.display().to_string(), String::new(), String::new()),
                        Wire::Tcp { host, port } => (host, port.to_string(), "tcp".to_owned()),
                        Wire::Tunnel { device, channel } => (device.0, channel.to_string(), "tunnel".to_owned()),
                    };
                    !seen.insert(place)
                }
                LinkKind::HttpStream | LinkKind::HttpAsk => false,
            };
            if same {
                let wrong = format!("the link {} goes where another one goes", link.id.get_ref());
                self.wrong(
                    &link.id,
                    wrong,
                    "one link for each port, for each address and for each client_id of a broker".to_owned(),
                );
            }
        }
    }

    /// The device of this name; a known one with mistakes of its own was already told.
    pub fn device<'d, 'c>(
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

    pub fn contact(&mut self, device: &mut Device, contact: &ContactConfig, lane: &LaneId, role: InputRole) {
        let input = *contact.input.get_ref();
        if !self.has_input(device, contact) {
            return;
        }
        self.presence(device, contact);
        if let Some((other, _)) = device.wiring.inputs.insert(input, (lane.clone(), role)) {
            let wrong = format!("input {input} of {} already belongs to lane {other}", contact.device.get_ref());
            self.wrong(&contact.input, wrong, "an input for each contact".to_owned());
        }
    }

    pub fn emergency(&mut self, device: &mut Device, contact: &ContactConfig) {
        let input = *contact.input.get_ref();
        if let Some((lane, _)) = device.wiring.inputs.get(&input) {
            let wrong = format!("input {input} of {} already belongs to lane {lane}", contact.device.get_ref());
            self.wrong(&contact.input, wrong, "an input for each contact".to_owned());
        } else if self.has_input(device, contact) {
            self.presence(device, contact);
            if device.profile.link() == Link::Mqtt {
                device.wiring.presence_ms.entry(input).or_insert(KEPT_CALL_MS);
            }
            device.wiring.emergency = Some(input);
        }
    }

    /// How long the input must be on to count.
    fn presence(&mut self, device: &mut Device, contact: &ContactConfig) {
        if let Some(presence_ms) = &contact.presence_ms {
            self.steady("presence_ms", presence_ms);
            device.wiring.presence_ms.insert(*contact.input.get_ref(), *presence_ms.get_ref());
        }
    }

    /// Whether the device has such an input at all.
    fn has_input(&mut self, device: &Device, contact: &ContactConfig) -> bool {
        let input = *contact.input.get_ref();
        if !device.profile.emits(Emits::Input) && !device.profile.emits(Emits::Inputs) {
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

    pub fn barrier(&mut self, device: &Device, barrier: &BarrierConfig) {
        let Some(args) = device.profile.args(RAISE) else {
            let wrong = format!("{} raises no barrier", device.profile.id());
            self.wrong(&barrier.device, wrong, "a device whose profile has the command raise".to_owned());
            return;
        };
        self.fit(args, &barrier.output, &barrier.pulse_ms);
    }

    /// Whether an output and its pulse are within the profile's bounds, and the pulse is one that somebody times.
    pub fn fit(&mut self, args: &BTreeMap<String, Arg>, output: &Spanned<u16>, pulse_ms: &Option<Spanned<u32>>) {
        match (args.contains_key("pulse_ms"), pulse_ms) {
            (true, None) => {
                let wrong = "pulse_ms is missing: the device must be told how long the contact closes".to_owned();
                self.wrong(output, wrong, "pulse_ms = 500, or what the barrier's controller needs".to_owned());
            }
            (false, Some(given)) => {
                let wrong = "the device times the pulse by its own settings and is told of none".to_owned();
                self.wrong(given, wrong, "no pulse_ms".to_owned());
            }
            (true, Some(_)) | (false, None) => {}
        }
        let output = Some(("output", output.span(), i64::from(*output.get_ref())));
        let pulse_ms = pulse_ms.as_ref().map(|ms| ("pulse_ms", ms.span(), i64::from(*ms.get_ref())));
        for (name, at, value) in output.into_iter().chain(pulse_ms) {
            let Some(arg) = args.get(name) else { continue };
            let (min, max) = (arg.min.unwrap_or(0), arg.max.unwrap_or(i64::MAX));
            if !(min..=max).contains(&value) || value % arg.step != 0 {
                let allowed = format!("{min} to {max} in steps of {}", arg.step);
                self.mistakes.push(self.source.mistake(at, format!("{name} is {value}"), allowed));
            }
        }
    }

    /// Two devices that answer to the same name on one link cannot be told apart. On one topic or path each has a name of its
    /// own in what it says; one without would take what the others say for its own.
    pub fn addresses(&mut self, devices: &BTreeMap<String, Device>) {
        let mut seen: BTreeMap<(&str, String), Vec<(String, &str)>> = BTreeMap::new();
        for device in devices.values() {
            let (places, who) = places(&device.codec);
            let id = device.config.id.get_ref().as_str();
            let mut others = Vec::new();
            for place in places {
                let there = seen.entry((device.config.link.get_ref(), place)).or_default();
                let is_same = |other: &&(String, &str)| other.0 == who || other.0.is_empty() || who.is_empty();
                others.extend(there.iter().find(is_same).map(|(_, other)| *other));
                there.push((who.clone(), id));
            }
            if let Some(other) = others.first() {
                let wrong = format!("{id} and {other} answer to the same name on one link");
                self.wrong(&device.config.id, wrong, "params of its own for each device".to_owned());
            }
        }
    }

    /// Devices of two languages on one line would take each other's frames for noise, or for their own.
    pub fn languages(&mut self, devices: &BTreeMap<String, Device>) {
        let mut spoken: BTreeMap<&str, (&str, &str)> = BTreeMap::new();
        for device in devices.values() {
            let language = match &device.codec {
                Codec::Modbus(codec) => match codec.framing() {
                    Framing::Rtu => "modbus-rtu",
                    Framing::Tcp => "modbus-tcp",
                },
                Codec::Serial(_) => device.profile.id(),
                Codec::Wiegand(_) => "wiegand",
                Codec::Osdp(_) => "osdp",
                Codec::Mqtt(_) | Codec::Http(_) => continue,
            };
            let id = device.config.id.get_ref().as_str();
            let (other, before) = *spoken.entry(device.config.link.get_ref()).or_insert((id, language));
            if before != language {
                let wrong = format!("{id} speaks {language}, and {other} on the same line speaks {before}");
                self.wrong(&device.config.link, wrong, "one language on a line".to_owned());
            }
        }
    }
}

/// Where a device is heard on its link, and how it is called there; nothing where the place alone tells.
fn places(codec: &Codec) -> (Vec<String>, String) {
    let alone = |address: String| (vec![address], String::new());
    // Who compares names does so in any case.
    let named = |places: Vec<String>, who: Option<String>| (places, who.unwrap_or_default().to_ascii_lowercase());
    match codec {
        Codec::Mqtt(codec) => named(codec.topics().map(str::to_owned).collect(), codec.identity()),
        Codec::Http(codec) => named(codec.paths().map(str::to_owned).collect(), codec.identity()),
        Codec::Modbus(codec) => alone(codec.address().to_string()),
        Codec::Serial(codec) => alone(codec.address()),
        Codec::Osdp(codec) => alone(codec.address().to_string()),
        // Bits say nothing of who sent them.
        Codec::Wiegand(_) => alone(String::new()),
    }
}
