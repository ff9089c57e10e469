//! What each link needs to be started, from its settings and the devices that hang on it.

use std::net::SocketAddr;

use toml::Spanned;

use super::{
    BitsPlan, BoardPlan, BrokerPlan, BusPlan, CallPlan, Device, FramedPlan, HttpDevice, Key, LinePlan, MqttDevice,
    PushPlan, ReaderPlan, ReadersPlan,
};
use crate::devices::digest::Credentials;
use crate::devices::serial::Wire;
use crate::devices::settings::{DeviceConfig, LinkConfig, LinkKind, Parity};
use crate::devices::waiting::RaisedBy;
use crate::domain::event::DeviceId;
use crate::profile::Codec;
use crate::profile::language::RAISE;

/// Where Modbus listens on TCP, by its standard.
const MODBUS_TCP_PORT: u16 = 502;

pub(super) fn broker<'d>(box_id: &str, link: &LinkConfig, devices: impl Iterator<Item = &'d Device<'d>>) -> BrokerPlan {
    let text = |value: &Option<Spanned<String>>| value.as_ref().map(|value| value.get_ref().clone());
    let password = link.password.as_ref().map_or("", |password| password.get_ref().revealed()).to_owned();
    BrokerPlan {
        id: link.id.get_ref().clone(),
        host: text(&link.host).unwrap_or_else(|| "127.0.0.1".to_owned()),
        port: link.port.as_ref().map_or(1883, |port| *port.get_ref()),
        client_id: text(&link.client_id).unwrap_or_else(|| format!("gatepost-{box_id}")),
        credentials: text(&link.username).map(|username| (username, password)),
        is_guest: false,
        devices: devices
            .filter_map(|device| match &device.codec {
                Codec::Mqtt(codec) => Some(MqttDevice { codec: codec.clone(), wiring: device.wiring.clone() }),
                Codec::Modbus(_) | Codec::Http(_) | Codec::Serial(_) | Codec::Wiegand(_) | Codec::Osdp(_) => None,
            })
            .collect(),
    }
}

pub(super) fn wire(link: &LinkConfig) -> Wire {
    match link.kind.get_ref() {
        LinkKind::Tcp => {
            let host = link.host.as_ref().map_or("127.0.0.1", |host| host.get_ref()).to_owned();
            Wire::Tcp { host, port: link.port.as_ref().map_or(MODBUS_TCP_PORT, |port| *port.get_ref()) }
        }
        LinkKind::Tunnel => Wire::Tunnel {
            device: DeviceId(link.device.as_ref().map_or("", |device| device.get_ref()).to_owned()),
            channel: link.channel.as_ref().map_or(0, |channel| *channel.get_ref()),
        },
        LinkKind::Serial | LinkKind::Mqtt | LinkKind::HttpPush | LinkKind::HttpStream | LinkKind::HttpAsk => {
            Wire::Serial {
                path: link.path.as_ref().map(|path| path.get_ref().clone()).unwrap_or_default(),
                baud: link.baud.as_ref().map_or(9600, |baud| *baud.get_ref()),
                parity: link.parity.as_ref().map_or(Parity::None, |parity| *parity.get_ref()),
                data_bits: link.data_bits.as_ref().map_or(8, |bits| *bits.get_ref()),
                stop_bits: link.stop_bits.as_ref().map_or(1, |bits| *bits.get_ref()),
            }
        }
    }
}

pub(super) fn bus(link: &LinkConfig, devices: &[&Device]) -> BusPlan {
    let board = |device: &&Device| match &device.codec {
        Codec::Modbus(codec) => Some(BoardPlan {
            codec: codec.clone(),
            wiring: device.wiring.clone(),
            debounce_ms: device.config.debounce_ms(),
            poll_ms: device.config.poll_ms.as_ref().map(|ms| *ms.get_ref()),
        }),
        Codec::Mqtt(_) | Codec::Http(_) | Codec::Serial(_) | Codec::Wiegand(_) | Codec::Osdp(_) => None,
    };
    BusPlan { id: link.id.get_ref().clone(), wire: wire(link), boards: devices.iter().filter_map(board).collect() }
}

pub(super) fn line(link: &LinkConfig, devices: &[&Device]) -> LinePlan {
    let framed = |device: &&Device| match &device.codec {
        Codec::Serial(codec) => Some(FramedPlan {
            codec: codec.clone(),
            wiring: device.wiring.clone(),
            debounce_ms: device.config.debounce_ms(),
            poll_ms: device.config.poll_ms.as_ref().map(|ms| *ms.get_ref()),
        }),
        Codec::Mqtt(_) | Codec::Http(_) | Codec::Modbus(_) | Codec::Wiegand(_) | Codec::Osdp(_) => None,
    };
    LinePlan { id: link.id.get_ref().clone(), wire: wire(link), devices: devices.iter().filter_map(framed).collect() }
}

pub(super) fn readers(link: &LinkConfig, devices: &[&Device]) -> ReadersPlan {
    let reader = |device: &&Device| match &device.codec {
        Codec::Osdp(codec) => Some(ReaderPlan {
            codec: codec.clone(),
            wiring: device.wiring.clone(),
            key: device.key.map(Key),
            debounce_ms: device.config.debounce_ms(),
            poll_ms: device.config.poll_ms.as_ref().map(|ms| *ms.get_ref()),
        }),
        Codec::Mqtt(_) | Codec::Http(_) | Codec::Serial(_) | Codec::Modbus(_) | Codec::Wiegand(_) => None,
    };
    let readers = devices.iter().filter_map(reader).collect();
    ReadersPlan { id: link.id.get_ref().clone(), wire: wire(link), readers }
}

pub(super) fn bits(link: &LinkConfig, devices: &[&Device]) -> Option<BitsPlan> {
    devices.iter().find_map(|device| match &device.codec {
        Codec::Wiegand(cards) => Some(BitsPlan {
            id: link.id.get_ref().clone(),
            wire: wire(link),
            cards: cards.clone(),
            gap_ms: cards.gap_ms(),
            wiring: device.wiring.clone(),
        }),
        Codec::Mqtt(_) | Codec::Http(_) | Codec::Serial(_) | Codec::Modbus(_) | Codec::Osdp(_) => None,
    })
}

pub(super) fn push<'d>(link: &LinkConfig, devices: impl Iterator<Item = &'d Device<'d>>) -> PushPlan {
    PushPlan {
        id: link.id.get_ref().clone(),
        listen: link.listen.as_ref().map_or(SocketAddr::from(([127, 0, 0, 1], 8090)), |listen| *listen.get_ref()),
        devices: http(devices),
    }
}

pub(super) fn http<'d>(devices: impl Iterator<Item = &'d Device<'d>>) -> Vec<HttpDevice> {
    devices
        .filter_map(|device| match &device.codec {
            Codec::Http(codec) => Some(HttpDevice {
                codec: codec.clone(),
                wiring: device.wiring.clone(),
                call: call(device.config),
                reads: reads(device.config),
                raised_by: device.wiring.arm_of.as_ref().map(|_| RaisedBy { command: RAISE, channel: None }),
            }),
            Codec::Mqtt(_) | Codec::Modbus(_) | Codec::Serial(_) | Codec::Wiegand(_) | Codec::Osdp(_) => None,
        })
        .collect()
}

fn reads(device: &DeviceConfig) -> Vec<DeviceId> {
    let named = device.reads.iter().flat_map(|reads| reads.get_ref());
    named.map(|camera| DeviceId(camera.get_ref().clone())).collect()
}

fn call(device: &DeviceConfig) -> Option<CallPlan> {
    let address = device.address.as_ref()?.get_ref().clone();
    let credentials = device.username.as_ref().map(|username| Credentials {
        username: username.get_ref().clone(),
        password: device.password.as_ref().map_or("", |password| password.get_ref().revealed()).to_owned(),
    });
    Some(CallPlan { address, credentials })
}
