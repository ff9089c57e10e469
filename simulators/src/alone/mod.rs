//! One device alone over its real link, for training and for integrators: it says what was recorded of the real one when a
//! person asks for it, and answers what it is told.

mod card;
mod http;
mod line;
mod mqtt;
mod reader;
mod recording;
mod secure;
mod tcp;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use tokio::sync::mpsc;

use crate::asked::Login;
use crate::faults::{Fault, Faults, Stroke};
use crate::modbus::Dialect;
use crate::relay_board::{BoardReport, BoardSettings, RelayBoard};
use line::{Line, Recorded, Speaks};
use recording::Recording;

pub use card::Card;
pub use reader::Reader;

/// One of each kind of link, for the help.
pub const EXAMPLES: &str = "\
Examples, a box at 192.168.1.10:
  A camera at a broker:
    gatepost-sim device vzenith/r-mqtt --link mqtt://192.168.1.10:1883 --param sn=265e1040-85e01fb7
  A camera that posts to the box, at the address that the box's link of the kind http-push listens at:
    gatepost-sim device rekor/webhook --link http://192.168.1.10:8081
  A camera that the box asks, which wants a login:
    gatepost-sim device hikvision/isapi --link listen://0.0.0.0:8082 --login box:secret
  A board with a network plug:
    gatepost-sim device waveshare/modbus-poe-eth-relay-b --link listen://0.0.0.0:4196
  A board on a serial line of this machine, some of whose answers are lost; the path for the box is printed:
    gatepost-sim device waveshare/modbus-relay-8 --link pty --faults lost,late
  A reader of cards on a serial line that speaks the secure channel:
    gatepost-sim device osdp/reader --link pty --key 404142434445464748494A4B4C4D4E4F";

/// Which device, and where.
#[derive(Args)]
pub struct Options {
    /// The product's profile, such as vzenith/r-mqtt; its recording is what the device says.
    pub profile: String,
    /// `mqtt://HOST:PORT` (a broker), `http://HOST:PORT` (where the device posts), `listen://HOST:PORT` (where it is asked),
    /// or `pty` (a serial line; its path is printed).
    #[arg(long, value_name = "LINK")]
    pub link: String,
    /// Where profiles and recordings are; `device-profiles` here, or where the package has put them.
    #[arg(long, value_name = "DIRECTORY")]
    pub profiles: Option<PathBuf>,
    /// NAME=VALUE instead of the recorded parameter, such as sn=265e1040-85e01fb7.
    #[arg(long = "param", value_name = "NAME=VALUE")]
    pub params: Vec<String>,
    /// Say everything that was recorded once, in order, and end; a device that is asked for its stream ends that.
    #[arg(long)]
    pub play: bool,
    /// Who may ask a device at `listen://`, by HTTP Digest; without it everybody may.
    #[arg(long, value_name = "USER:PASSWORD")]
    pub login: Option<String>,
    /// The key of an OSDP reader (SCBK) in 32 hexadecimal digits, for the secure channel; without it, it has none.
    #[arg(long, value_name = "HEX")]
    pub key: Option<String>,
    /// What goes wrong with the answers of a device at `pty` now and then: lost, late, duplicated, corrupted, reboot. Each is
    /// told with a ! when it strikes for the first time, the tenth, the hundredth.
    #[arg(long, value_delimiter = ',', value_name = "NAME,…")]
    pub faults: Vec<Fault>,
}

/// What can go wrong on a line.
const OF_LINES: [Fault; 5] = [Fault::Lost, Fault::Late, Fault::Duplicated, Fault::Corrupted, Fault::Reboot];

/// Where recordings are, in this order.
const PLACES: [&str; 2] = ["device-profiles", "/usr/share/gatepost/device-profiles"];

/// What a person typed.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Typed {
    /// The recorded exchange of this number, with texts replaced.
    Say(usize, Vec<(String, String)>),
    /// An input contact.
    Input(u8, bool),
    /// A card at the reader: facility and number.
    Card(u8, u16),
    /// What there is to say.
    List,
}

/// Runs the device until it is stopped; lines that are typed make it speak.
pub async fn run(options: &Options, typed: mpsc::Receiver<String>, say: impl Fn(&str) + Copy) -> Result<()> {
    check_faults(options)?;
    let recording = load(options)?;
    check_link(options, &recording)?;
    if let Some(broker) = options.link.strip_prefix("mqtt://") {
        mqtt::run(&recording, broker, options.play, typed, say).await
    } else if let Some(address) = options.link.strip_prefix("http://") {
        http::post(&recording, address, options.play, typed, say).await
    } else if let Some(address) = options.link.strip_prefix("listen://").filter(|_| recording.is_of_a_board()) {
        tcp::listen(&recording, address, say).await
    } else if let Some(address) = options.link.strip_prefix("listen://") {
        let login = options.login.as_deref().map(login).transpose()?;
        http::listen(http::Asked::new(recording, login, options.play), address, typed, say).await
    } else if options.link == "pty" {
        on_a_line(options, recording, typed, say).await
    } else {
        bail!("the link {:?} is none of mqtt://HOST:PORT, http://HOST:PORT, listen://HOST:PORT, pty", options.link)
    }
}

fn check_faults(options: &Options) -> Result<()> {
    if let Some(fault) = options.faults.iter().find(|fault| !OF_LINES.contains(fault)) {
        let allowed = OF_LINES.map(Fault::name).join(", ");
        bail!("a device alone does not suffer {:?}; it suffers {allowed}", fault.name());
    }
    anyhow::ensure!(options.faults.is_empty() || options.link == "pty", "--faults is for devices at the link pty");
    Ok(())
}

/// Nobody should wait for a device at a link where it neither speaks nor answers.
fn check_link(options: &Options, recording: &Recording) -> Result<()> {
    let kind = options.link.split("://").next().unwrap_or_default();
    let links = recording.links();
    let is_known = ["mqtt", "http", "listen", "pty"].contains(&kind);
    let does_something = links.iter().any(|link| link.split("://").next() == Some(kind));
    let allowed = links.join(" or ");
    anyhow::ensure!(!is_known || does_something, "{} does nothing at {kind}; its link is {allowed}", options.profile);
    Ok(())
}

/// Each fault that strikes, for who watches.
fn tell_stroke(stroke: Stroke, say: impl Fn(&str)) {
    say(&format!("! {}, {}: {}", stroke.fault.name(), stroke.times, stroke.fault.words()));
}

fn load(options: &Options) -> Result<Recording> {
    let file = format!("{}.recording.toml", options.profile);
    let places = match &options.profiles {
        Some(place) => vec![place.clone()],
        None => PLACES.iter().map(PathBuf::from).collect(),
    };
    let found = places.iter().map(|place| place.join(&file)).find(|path| path.is_file());
    let path = found.with_context(|| format!("find {file} below {}", places[0].display()))?;
    let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let given: Result<BTreeMap<String, String>> = options
        .params
        .iter()
        .map(|param| {
            let (name, value) = param.split_once('=').with_context(|| format!("{param:?} is not NAME=VALUE"))?;
            Ok((name.to_owned(), value.to_owned()))
        })
        .collect();
    let mut recording = Recording::read(&text, &given?).with_context(|| format!("read {}", path.display()))?;
    recording.stream = path_of(&path, "stream")?;
    recording.reads = path_of(&path, "read_picture")?;
    Ok(recording)
}

/// Where the profile beside a recording has the device asked for its stream or handed pictures, if it has it asked.
fn path_of(recording: &Path, what: &str) -> Result<Option<String>> {
    let profile = recording.with_extension("").with_extension("toml");
    if !profile.is_file() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(&profile).with_context(|| format!("read {}", profile.display()))?;
    let profile: toml::Table = text.parse().with_context(|| format!("read {}", profile.display()))?;
    let path = profile.get(what).and_then(|words| words.get("path")).and_then(toml::Value::as_str);
    Ok(path.map(str::to_owned))
}

fn login(words: &str) -> Result<Login> {
    let (username, password) = words.split_once(':').context("the login is not USER:PASSWORD")?;
    Ok(Login::new(username, password))
}

fn key(digits: &str) -> Result<[u8; 16]> {
    unhex(digits)?.try_into().ok().context("the key is not 32 hexadecimal digits")
}

async fn on_a_line(
    options: &Options,
    recording: Recording,
    typed: mpsc::Receiver<String>,
    say: impl Fn(&str) + Copy,
) -> Result<()> {
    let address = |default: u8| recording.params.get("address").and_then(|text| text.parse().ok()).unwrap_or(default);
    let reader = |reader: Reader| match &options.key {
        Some(digits) => anyhow::Ok(reader.with_key(key(digits)?)),
        None => Ok(reader),
    };
    let faults = Faults::of(options.faults.iter().copied());
    let speaks = match options.profile.as_str() {
        "waveshare/modbus-relay-8" => return board(Dialect::Waveshare, address(1), &faults, typed, say).await,
        "lc/modbus-8r" => return board(Dialect::Lc, address(1), &faults, typed, say).await,
        "generic/modbus-relay-ff" => return board(Dialect::Waveshare, address(255), &faults, typed, say).await,
        "kf/dc199" => Speaks::Card(Card::new(address(0))),
        "osdp/reader" => Speaks::Reader(reader(Reader::new(address(0)))?),
        "wiegand/reader" => Speaks::Bits,
        _ => Speaks::Recorded(Recorded::of(&recording)?),
    };
    let line = Line::open()?;
    say(&line.path().display().to_string());
    line::run(line, speaks, &recording, &faults, typed, say).await
}

async fn board(
    dialect: Dialect,
    address: u8,
    faults: &Faults,
    mut typed: mpsc::Receiver<String>,
    say: impl Fn(&str) + Copy,
) -> Result<()> {
    let (board, mut reports) = RelayBoard::open(BoardSettings { dialect, address, report_frames: true })?;
    board.suffer(faults.clone());
    let mut strokes = faults.watch();
    say(&board.path().display().to_string());
    let mut typing = true;
    loop {
        tokio::select! {
            report = reports.recv() => match report {
                Some(BoardReport::Acted(effect, _)) => say(&format!("  {effect:?}")),
                Some(BoardReport::Frame { request, answer }) => {
                    let answer = answer.map_or_else(|| "silence".to_owned(), |answer| hex(&answer));
                    say(&format!("{} -> {answer}", hex(&request)));
                }
                None => return Ok(()),
            },
            Some(stroke) = strokes.recv() => tell_stroke(stroke, say),
            line = typed.recv(), if typing => match line.as_deref().map(read_typed) {
                Some(Ok(Typed::Input(input, is_on))) if input < 8 => board.set_input(input, is_on),
                Some(_) => say("write `in 0 on` or `in 0 off`, inputs 0 to 7"),
                None => typing = false,
            },
        }
    }
}

/// What a person typed; what is allowed, where it is nothing of this.
fn read_typed(line: &str) -> Result<Typed, &'static str> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let allowed = "write `list`, `say NUMBER [OLD=NEW …]`, `in NUMBER on|off`, or `card FACILITY NUMBER`";
    match words.as_slice() {
        ["list"] => Ok(Typed::List),
        ["say", number, changes @ ..] => {
            let change = |text: &&str| text.split_once('=').map(|(old, new)| (old.to_owned(), new.to_owned()));
            let changes: Option<Vec<_>> = changes.iter().map(change).collect();
            Ok(Typed::Say(number.parse().map_err(|_| allowed)?, changes.ok_or(allowed)?))
        }
        ["in", number, state @ ("on" | "off")] => {
            Ok(Typed::Input(number.parse().map_err(|_| allowed)?, *state == "on"))
        }
        ["card", facility, number] => {
            Ok(Typed::Card(facility.parse().map_err(|_| allowed)?, number.parse().map_err(|_| allowed)?))
        }
        _ => Err(allowed),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(" ")
}

/// Bytes as recordings write them.
fn unhex(text: &str) -> Result<Vec<u8>> {
    let digits: Vec<char> = text.chars().filter(|c| !c.is_whitespace()).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16).context("read bytes in hex"))
        .collect()
}

#[cfg(test)]
mod tests;
