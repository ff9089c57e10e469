//! The settings file: what a site is made of, with a default for everything that can have one.

mod days;
mod people;
mod pictures;
mod signs;
#[cfg(test)]
mod tests;
mod tls;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use crate::bundle;
use crate::clock::SimulatedTime;
use crate::console::LaneSign;
use crate::devices::planning::Plan;
use crate::devices::settings::{ContactConfig, DeviceConfig, DevicesConfig, LaneConfig, LinkConfig};
use crate::devices::signs::Words;
use crate::domain::event::LaneId;
use crate::domain::lane::{LaneSettings, Lanes, PassedBy};
use crate::domain::plate::class::Format;
use crate::domain::rules::Rules;
use crate::member_code::Keys;
use crate::photos;
use crate::profile::Catalogue;
use crate::profile::mistake::{Mistake, Source};
use crate::sync::CloudConfig;
use crate::tills::{MOST_REQUESTS_PER_S, Merchant, Operator, Scanner, Terminal, TillLine};
pub use tls::{Tls, TlsFiles, TlsSeen};

use people::{code_keys, people};
use pictures::PhotosConfig;

/// The settings as they are written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(rename = "box")]
    this_box: BoxConfig,
    #[serde(default)]
    site: SiteConfig,
    #[serde(default)]
    ledger: LedgerConfig,
    #[serde(default)]
    http: HttpConfig,
    rules: RulesConfig,
    cloud: Option<CloudConfig>,
    clock: Option<SimulatedTime>,
    #[serde(default)]
    profiles: ProfilesConfig,
    #[serde(default)]
    photos: PhotosConfig,
    #[serde(default)]
    links: Vec<LinkConfig>,
    #[serde(default)]
    devices: Vec<DeviceConfig>,
    #[serde(default)]
    lanes: Vec<LaneConfig>,
    emergency: Option<ContactConfig>,
    #[serde(default)]
    signs: signs::SignsConfig,
    #[serde(default)]
    members: MembersConfig,
    #[serde(default)]
    terminals: Vec<Terminal>,
    #[serde(default)]
    till_lines: Vec<TillLine>,
    #[serde(default)]
    scanners: Vec<Scanner>,
    #[serde(default)]
    merchants: Vec<Merchant>,
    #[serde(default)]
    operators: Vec<Operator>,
}

/// `[box]`: this appliance.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BoxConfig {
    /// Its name at the cloud ledger; it can never change, because the journal carries it.
    id: Spanned<String>,
}

/// `[site]`: the car park.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct SiteConfig {
    /// Its name on the page.
    name: String,
    /// Its time zone by the name of the tz database.
    timezone: Spanned<String>,
    /// Shapes of plates that are usual here besides those of GA 36.
    plate_formats: Vec<Spanned<String>>,
    /// When a business day begins, such as `04:00`.
    day_begins: Spanned<String>,
    /// When the box closes the business days that are over, such as `06:00`; not given: staff close them.
    day_closes: Option<Spanned<String>>,
}

/// `[ledger]`: the file that holds the journal.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct LedgerConfig {
    file: PathBuf,
    /// A small file on another disk that remembers how far the journal has been.
    witness: Option<PathBuf>,
}

/// `[http]`: page, tills and metrics.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct HttpConfig {
    /// Address and port; other machines reach the page only if this is not a loopback address.
    listen: SocketAddr,
    /// How many requests a second one till may make.
    till_requests_per_s: Spanned<u32>,
    /// Address and port of the same over TLS, with the two files below.
    tls_listen: Option<Spanned<SocketAddr>>,
    /// The certificate, and those that signed it, in PEM.
    certificate: Option<Spanned<PathBuf>>,
    /// Its private key in PEM.
    key: Option<Spanned<PathBuf>>,
}

/// `[rules]`: tariff and points.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RulesConfig {
    file: Spanned<PathBuf>,
    /// The site's overlay over a group's bundle.
    overlay: Option<PathBuf>,
    /// Public keys in hex of those whose bundles are taken; none named: any bundle is taken.
    #[serde(default)]
    signers: Vec<Spanned<String>>,
    /// Whether new rules come into force by two persons only, and not by a reload.
    #[serde(default)]
    two_persons: bool,
}

/// `[profiles]`: a site's own device profiles.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ProfilesConfig {
    directory: Option<PathBuf>,
}

/// `[members]`: how members are known.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct MembersConfig {
    /// Public keys in base64 that sign members' phones, besides the key that the box learned from its cloud ledger.
    code_keys: Vec<Spanned<String>>,
}

impl Default for SiteConfig {
    fn default() -> Self {
        Self {
            name: "Gatepost".to_owned(),
            timezone: Spanned::new(0..0, "Asia/Shanghai".to_owned()),
            plate_formats: Vec::new(),
            day_begins: Spanned::new(0..0, "04:00".to_owned()),
            day_closes: None,
        }
    }
}

impl Default for LedgerConfig {
    fn default() -> Self {
        Self { file: PathBuf::from("/var/lib/gatepost/ledger.db"), witness: None }
    }
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            till_requests_per_s: Spanned::new(0..0, MOST_REQUESTS_PER_S),
            tls_listen: None,
            certificate: None,
            key: None,
        }
    }
}

/// Settings without mistakes, ready to run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The box's name.
    pub box_id: String,
    /// The site's name.
    pub site: String,
    /// The site's time zone.
    pub zone: jiff::tz::TimeZone,
    /// Shapes of plates that are usual here besides those of GA 36.
    pub plate_formats: Vec<Format>,
    /// The minute of the day at which a business day begins.
    pub day_begins_min: u16,
    /// The minute of the day at which the box closes the days that are over; none: staff alone close them.
    pub day_closes_min: Option<u16>,
    /// Where the ledger is.
    pub ledger: PathBuf,
    /// Where the file is that remembers how far the journal has been, if the site has one.
    pub witness: Option<PathBuf>,
    /// Where this box's keys are kept.
    pub key_file: PathBuf,
    /// Where the page and the tills' interface listen.
    pub listen: SocketAddr,
    /// Where they listen over TLS besides.
    pub tls: Option<Tls>,
    /// How many requests a second one till may make.
    pub till_requests_per_s: u32,
    /// The settings file itself.
    pub path: PathBuf,
    /// The rules' text, already proved.
    pub rules: String,
    /// Whether new rules come into force by two persons only, and not by a reload.
    pub two_persons: bool,
    /// The cloud ledger, if the site has one.
    pub cloud: Option<CloudConfig>,
    /// Faster time, for demos and testers.
    pub clock: Option<SimulatedTime>,
    /// Links and devices.
    pub devices: Plan,
    /// What displays and speakers say, and the address behind a payment code.
    pub words: (Words, Option<String>),
    /// Pictures of arrivals.
    pub photos: photos::Settings,
    /// How the lanes behave.
    pub lanes: Lanes,
    /// The lanes in the order of the file.
    pub signs: Vec<LaneSign>,
    /// The tills.
    pub terminals: Vec<Terminal>,
    /// The keys that sign members' phones, besides the cloud ledger's own.
    pub code_keys: Keys,
    /// Tills that do not speak HTTP.
    pub till_lines: Vec<TillLine>,
    /// The shops of the site.
    pub merchants: Vec<Merchant>,
    /// Scanners of their own.
    pub scanners: Vec<Scanner>,
    /// The people.
    pub operators: Vec<Operator>,
}

/// How long after a raise a passage may take.
const PASS_TIMEOUT_MS: u64 = 60_000;
/// How long the arrival loop must be clear before a vehicle counts as gone back: a slow car between the loops.
const BACK_OUT_MS: u64 = 8_000;
/// How long after a passage the same plate is still the same vehicle.
const SAME_VEHICLE_MS: u64 = 10_000;
/// How long a lane without an arrival loop remembers a waiting vehicle that no camera has seen again.
const FORGET_MS: u64 = 180_000;
/// How long a loop may be covered before it counts as stuck: nobody stands under an arm for so long.
const STUCK_MS: u64 = 300_000;
/// The most that any of them may be: ten minutes.
const PATIENCE_MS: std::ops::RangeInclusive<u64> = 50..=600_000;

/// Reads the settings, or tells every mistake with its place.
pub fn load(path: &Path) -> Result<Settings, Vec<Mistake>> {
    let text = read(path).map_err(|mistake| vec![mistake])?;
    let source = Source { file: path, text: &text };
    let file: File = toml::from_str(&text).map_err(|error| vec![source.unreadable(&error)])?;
    let catalogue = Catalogue::load(file.profiles.directory.as_deref())?;
    let mut mistakes = Vec::new();
    let (box_id, id_span) = (file.this_box.id.get_ref().clone(), file.this_box.id.span());
    if !is_name(&box_id) {
        mistakes.push(source.mistake(id_span, format!("{box_id:?} cannot name a box"), NAME_ALLOWED));
    }
    let zone = jiff::tz::TimeZone::get(file.site.timezone.get_ref()).unwrap_or_else(|error| {
        let allowed = "a name of the tz database such as Asia/Shanghai";
        mistakes.push(source.mistake(file.site.timezone.span(), error.to_string(), allowed));
        jiff::tz::TimeZone::UTC
    });
    let (day_begins_min, day_closes_min) = days::minutes(&file.site, &source, &mut mistakes);
    if *file.http.till_requests_per_s.get_ref() == 0 {
        mistakes.push(source.mistake(file.http.till_requests_per_s.span(), "0 requests a second", "1 or more"));
    }
    let tls = tls::of(path, &file.http, &source, &mut mistakes);
    let rules = read_rules(path, &source, &file.rules).map_err(|mistake| mistakes.push(mistake)).ok();
    let plate_formats = plate_formats(&file.site, &source, &mut mistakes);
    let lanes = lanes(&file, &source, &mut mistakes);
    if let Some((_, rules)) = &rules {
        inner_lots(&file.lanes, rules, &source, &mut mistakes);
    }
    if file.lanes.is_empty() {
        mistakes.push(source.whole("there is no lane", "at least one [[lanes]]"));
    }
    people(&file, &source, &mut mistakes);
    let words = signs::words(path, &file.signs, &source).map_err(|mistake| mistakes.push(mistake));
    let code_keys = code_keys(&file.members, &source, &mut mistakes);
    let photos = pictures::photos_of(&file, &zone, &source, &mut mistakes);
    let signs = file.lanes.iter().map(sign).collect();
    let devices =
        DevicesConfig { links: file.links, devices: file.devices, lanes: file.lanes, emergency: file.emergency };
    let plan = devices.plan(&box_id, &zone, &source, &catalogue).map_err(|more| mistakes.extend(more));
    match (plan, words) {
        (Ok(devices), Ok(words)) if mistakes.is_empty() => Ok(Settings {
            box_id,
            site: file.site.name,
            zone,
            plate_formats,
            day_begins_min,
            day_closes_min,
            key_file: key_file(&file.ledger.file, file.cloud.as_ref()),
            devices: devices.remembering_in(file.ledger.file.with_extension("told.toml")),
            ledger: file.ledger.file,
            witness: file.ledger.witness,
            listen: file.http.listen,
            tls,
            till_requests_per_s: *file.http.till_requests_per_s.get_ref(),
            path: path.to_owned(),
            rules: rules.map(|(text, _)| text).unwrap_or_default(),
            two_persons: file.rules.two_persons,
            cloud: file.cloud,
            clock: file.clock,
            words: (words, file.signs.pay_code),
            photos,
            lanes,
            signs,
            terminals: file.terminals,
            till_lines: file.till_lines,
            code_keys,
            scanners: file.scanners,
            merchants: file.merchants,
            operators: file.operators,
        }),
        (Ok(_) | Err(()), Ok(_) | Err(())) => Err(mistakes),
    }
}

/// Where a technician reaches the running daemon: a socket beside the ledger file.
pub fn hatch_of(ledger: &Path) -> PathBuf {
    ledger.with_extension("hatch")
}

/// Beside the ledger file where the settings name no other place.
fn key_file(ledger: &Path, cloud: Option<&CloudConfig>) -> PathBuf {
    let beside = || ledger.with_extension("key");
    cloud.and_then(|cloud| cloud.key_file.clone()).unwrap_or_else(beside)
}

const NAME_ALLOWED: &str = "1 to 40 letters, digits, hyphens and underscores";

fn is_name(text: &str) -> bool {
    (1..=40).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
}

fn read(path: &Path) -> Result<String, Mistake> {
    std::fs::read_to_string(path).map_err(|error| Mistake {
        file: path.to_owned(),
        place: None,
        wrong: format!("it cannot be read: {error}"),
        allowed: "a settings file in TOML and UTF-8, readable by this user".to_owned(),
    })
}

/// The rules stand beside the settings unless their path is absolute.
fn read_rules(settings: &Path, source: &Source<'_>, rules: &RulesConfig) -> Result<(String, Rules), Mistake> {
    let beside = |file: &Path| settings.parent().unwrap_or(Path::new("")).join(file);
    let mut signers = Vec::new();
    for key in &rules.signers {
        let wrong =
            || source.mistake(key.span(), "this is no public key", "64 hex digits, as `gatepost bundle keygen` prints");
        signers.push(bundle::Signer::parse(key.get_ref()).ok_or_else(wrong)?);
    }
    let path = beside(rules.file.get_ref());
    if let Err(error) = std::fs::metadata(&path) {
        let wrong = format!("{} cannot be read: {error}", path.display());
        return Err(source.mistake(rules.file.span(), wrong, "a rules file in TOML"));
    }
    bundle::load(&path, rules.overlay.as_deref().map(beside).as_deref(), &signers)
}

fn lanes(file: &File, source: &Source<'_>, mistakes: &mut Vec<Mistake>) -> Lanes {
    let mut lanes = Lanes::new();
    for config in &file.lanes {
        let passed_by = config.passed_by.as_ref().map_or_else(
            || if config.passage_loop.is_some() { PassedBy::PassageLoop } else { PassedBy::Camera },
            |given| *given.get_ref(),
        );
        if let (PassedBy::PassageLoop, None, Some(given)) = (passed_by, &config.passage_loop, &config.passed_by) {
            let allowed = "camera or timeout, or a passage_loop";
            mistakes.push(source.mistake(given.span(), "this lane has no passage_loop", allowed));
        }
        let mut patience = |given: &Option<Spanned<u64>>, default: u64| match given {
            Some(ms) if !PATIENCE_MS.contains(ms.get_ref()) => {
                mistakes.push(source.mistake(ms.span(), format!("{} ms", ms.get_ref()), "50 to 600000"));
                default
            }
            Some(ms) => *ms.get_ref(),
            None => default,
        };
        let settings = LaneSettings {
            direction: config.direction,
            has_arrival_loop: config.arrival_loop.is_some(),
            passed_by,
            pass_timeout_ms: patience(&config.pass_timeout_ms, PASS_TIMEOUT_MS),
            back_out_ms: patience(&config.back_out_ms, BACK_OUT_MS),
            same_vehicle_ms: i64::try_from(patience(&config.same_vehicle_ms, SAME_VEHICLE_MS)).unwrap_or(i64::MAX),
            unpaid: config.unpaid,
            zone: config.zone.as_ref().map(|zone| zone.get_ref().clone()),
            forget_ms: patience(&config.forget_ms, FORGET_MS),
            stuck_ms: patience(&config.stuck_ms, STUCK_MS),
            detectors: config.detectors(),
            gear: config.gear(&file.devices),
        };
        lanes.insert(LaneId(config.id.get_ref().clone()), settings);
    }
    lanes
}

fn plate_formats(site: &SiteConfig, source: &Source<'_>, mistakes: &mut Vec<Mistake>) -> Vec<Format> {
    let parse = |text: &Spanned<String>| Format::parse(text.get_ref()).map_err(|wrong| (text.span(), wrong));
    let (formats, wrong): (Vec<_>, Vec<_>) = site.plate_formats.iter().map(parse).partition(Result::is_ok);
    for (span, wrong) in wrong.into_iter().filter_map(Result::err) {
        mistakes.push(source.mistake(span, wrong.to_string(), "a shape such as AAA9999"));
    }
    formats.into_iter().flatten().collect()
}

/// A lane leads into a lot that the rules know.
fn inner_lots(configs: &[LaneConfig], rules: &Rules, source: &Source<'_>, mistakes: &mut Vec<Mistake>) {
    for zone in configs.iter().filter_map(|config| config.zone.as_ref()) {
        if rules.tariffs.lot(zone.get_ref()).is_none() {
            let known: Vec<&str> = rules.tariffs.lots().map(|lot| lot.id.get_ref().as_str()).collect();
            let wrong = format!("the rules have no [[zones]] {:?}", zone.get_ref());
            let allowed =
                if known.is_empty() { "no zone, because the rules have none".to_owned() } else { known.join(", ") };
            mistakes.push(source.mistake(zone.span(), wrong, allowed));
        }
    }
}

fn sign(config: &LaneConfig) -> LaneSign {
    LaneSign { id: LaneId(config.id.get_ref().clone()), direction: config.direction }
}
