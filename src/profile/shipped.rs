//! The profiles that every box has, with the recordings that prove them, inside the program.

/// A profile inside the program.
#[derive(Clone, Copy, Debug)]
pub struct Shipped {
    /// Its file's name.
    pub file: &'static str,
    /// The profile.
    pub text: &'static str,
    /// Its recordings' file's name.
    pub recording_file: &'static str,
    /// Its recordings.
    pub recording: &'static str,
}

macro_rules! shipped {
    ($($id:literal),* $(,)?) => {
        &[$(Shipped {
            file: concat!("device-profiles/", $id, ".toml"),
            text: include_str!(concat!("../../device-profiles/", $id, ".toml")),
            recording_file: concat!("device-profiles/", $id, ".recording.toml"),
            recording: include_str!(concat!("../../device-profiles/", $id, ".recording.toml")),
        }),*]
    };
}

/// In the order of their ids. A file of the same id in the site's own directory replaces one.
pub const SHIPPED: &[Shipped] = shipped![
    "axis/lpv",
    "dahua/itsapi",
    "escpos/printer",
    "frigate/lpr",
    "gatepost/mqtt",
    "generic/modbus-relay-ff",
    "hikvision/isapi",
    "hyperlpr/gateway",
    "hyperlpr/rest",
    "id-innovations/id-12",
    "kf/dc199",
    "kf/dc199-long",
    "lc/modbus-8r",
    "osdp/reader",
    "qianyi/http",
    "r4d/r413d08",
    "rekor/webhook",
    "vzenith/r-http",
    "vzenith/r-mqtt",
    "waveshare/modbus-poe-eth-relay-b",
    "waveshare/modbus-relay-8",
    "wiegand/reader",
];

/// The annotated profiles of the manual, which no device has.
pub const EXAMPLES: &[Shipped] = shipped![
    "example/card-reader",
    "example/http-camera",
    "example/modbus-board",
    "example/modbus-tcp-board",
    "example/mqtt-camera",
    "example/osdp-reader",
    "example/serial-controller",
];
