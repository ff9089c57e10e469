//! Every door through which bytes come in from outside, for those who throw harm at them: the fuzz targets and the test that
//! replays their corpus. Whatever comes, a door neither panics nor takes more than it was given.

use std::path::Path;
use std::sync::LazyLock;

use crate::devices::digest::{Challenge, Credentials};
use crate::devices::settings::DevicesConfig;
use crate::domain::plate::Plate;
use crate::domain::rules::Rules;
use crate::photos;
use crate::profile::hostile::{self, Decoders};
use crate::profile::language::Link;
use crate::profile::mistake::Source;
use crate::profile::recording::Recording;
use crate::profile::{Catalogue, Codec, Profile, document};
use crate::tills::hostile as tills;

/// What takes bytes.
pub type Door = fn(&[u8]);

/// Every door by its name, which is also that of its fuzz target and of its corpus.
pub const DOORS: [(&str, Door); 24] = [
    ("bundle", bundle),
    ("digest", digest),
    ("document", document),
    ("event_stream", event_stream),
    ("http", |bytes| devices(Link::Http, bytes)),
    ("modbus_rtu", |bytes| devices(Link::ModbusRtu, bytes)),
    ("modbus_tcp", |bytes| devices(Link::ModbusTcp, bytes)),
    ("mqtt", |bytes| devices(Link::Mqtt, bytes)),
    ("osdp", |bytes| devices(Link::Osdp, bytes)),
    ("osdp_secure", osdp_secure),
    ("picture", photos::look_into),
    ("plate", plate),
    ("profile", profile),
    ("recording", recording),
    ("scan", tills::scans),
    ("serial", |bytes| devices(Link::Serial, bytes)),
    ("settings", settings),
    ("till_body", tills::posted),
    ("till_classic", tills::classic),
    ("till_fields", tills::fields),
    ("till_letter", tills::letter),
    ("till_paper", tills::paper),
    ("till_strong", tills::strong),
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

/// What a device asks a caller to prove itself with: the header's text.
fn digest(bytes: &[u8]) {
    let Ok(header) = std::str::from_utf8(bytes) else { return };
    let Some(mut challenge) = Challenge::best(std::iter::once(header)) else { return };
    let who = Credentials { username: "box".to_owned(), password: "secret".to_owned() };
    for _ in 0..2 {
        let answer = challenge.answer(&who, "PUT", "/a", "c");
        assert!(answer.starts_with("Digest username=\"box\""), "another user: {answer}");
    }
}

fn osdp_secure(bytes: &[u8]) {
    static READER: LazyLock<Option<Codec>> = LazyLock::new(|| {
        let catalogue = Catalogue::load(None).ok()?;
        catalogue.profile("osdp/reader")?.bind(&[("address".to_owned(), 0.into())].into()).ok()
    });
    let Some(Codec::Osdp(reader)) = READER.as_ref() else { return };
    hostile::secure(reader, bytes);
}

/// A profile, and behind a zero byte what its device says.
fn profile(bytes: &[u8]) {
    let cut = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let Ok(text) = std::str::from_utf8(&bytes[..cut]) else { return };
    let Ok(profile) = Profile::parse(&source(text)) else { return };
    hostile::device(&profile, bytes.get(cut + 1..).unwrap_or_default());
}

fn recording(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = toml::from_str::<Recording>(text);
}

fn settings(bytes: &[u8]) {
    static CATALOGUE: LazyLock<Option<Catalogue>> = LazyLock::new(|| Catalogue::load(None).ok());
    let (Ok(text), Some(catalogue)) = (std::str::from_utf8(bytes), CATALOGUE.as_ref()) else { return };
    let Ok(config) = toml::from_str::<DevicesConfig>(text) else { return };
    let _ = config.plan("box", &jiff::tz::TimeZone::UTC, &source(text), catalogue);
}

fn bundle(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = Rules::parse(text);
}

fn source(text: &str) -> Source<'_> {
    Source { file: Path::new("harm.toml"), text }
}
