//! Every door through which bytes come in from outside, for those who throw harm at them: the fuzz targets and the test that
//! replays their corpus. Whatever comes, a door neither panics nor takes more than it was given.

use std::path::Path;
use std::sync::LazyLock;

use crate::devices::settings::DevicesConfig;
use crate::domain::plate::Plate;
use crate::domain::rules::Rules;
use crate::profile::hostile::{self, Decoders};
use crate::profile::language::Link;
use crate::profile::mistake::Source;
use crate::profile::recording::Recording;
use crate::profile::{Catalogue, Profile, document};

/// What takes bytes.
pub type Door = fn(&[u8]);

/// Every door by its name, which is also that of its fuzz target and of its corpus.
pub const DOORS: [(&str, Door); 14] = [
    ("bundle", bundle),
    ("document", document),
    ("event_stream", event_stream),
    ("http", |bytes| devices(Link::Http, bytes)),
    ("modbus_rtu", |bytes| devices(Link::ModbusRtu, bytes)),
    ("modbus_tcp", |bytes| devices(Link::ModbusTcp, bytes)),
    ("mqtt", |bytes| devices(Link::Mqtt, bytes)),
    ("osdp", |bytes| devices(Link::Osdp, bytes)),
    ("plate", plate),
    ("profile", profile),
    ("recording", recording),
    ("serial", |bytes| devices(Link::Serial, bytes)),
    ("settings", settings),
    ("wiegand", |bytes| devices(Link::Wiegand, bytes)),
];

/// The door of this name.
pub fn door(name: &str) -> Option<Door> {
    DOORS.iter().find(|(known, _)| *known == name).map(|(_, door)| *door)
}

/// What a post may say that it is.
const CONTENT_TYPES: [&str; 6] = [
    "application/json",
    "application/xml",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "multipart/mixed; boundary=--boundary",
    "",
];

fn devices(link: Link, bytes: &[u8]) {
    static DECODERS: LazyLock<Decoders> = LazyLock::new(Decoders::shipped);
    DECODERS.feed_link(link, bytes);
}

fn document(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    let _ = document::read(CONTENT_TYPES[usize::from(*kind) % CONTENT_TYPES.len()], bytes);
}

fn event_stream(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    hostile::stream(CONTENT_TYPES[usize::from(*kind) % CONTENT_TYPES.len()], bytes);
}

fn plate(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(plate) = text.parse::<Plate>() {
        let again = plate.as_str().parse::<Plate>();
        assert_eq!(again.as_ref(), Ok(&plate), "a plate as it is written is the same plate");
    }
}

fn profile(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = Profile::parse(&source(text));
}

fn recording(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = toml::from_str::<Recording>(text);
}

fn settings(bytes: &[u8]) {
    static CATALOGUE: LazyLock<Option<Catalogue>> = LazyLock::new(|| Catalogue::load(None).ok());
    let (Ok(text), Some(catalogue)) = (std::str::from_utf8(bytes), CATALOGUE.as_ref()) else { return };
    let Ok(config) = toml::from_str::<DevicesConfig>(text) else { return };
    let _ = config.plan("box", &source(text), catalogue);
}

fn bundle(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = Rules::parse(text);
}

fn source(text: &str) -> Source<'_> {
    Source { file: Path::new("harm.toml"), text }
}
