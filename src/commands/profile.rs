//! `gatepost profile`: looks at device profiles, proves them with their recordings, and says what bytes mean.
#![allow(clippy::print_stderr, reason = "the command's own answer")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail, ensure};
use clap::{Args, Subcommand, ValueEnum};
use gatepost::profile::language::{Ack, Link, Retry};
use gatepost::profile::mistake::{Mistake, Source};
use gatepost::profile::recording::means;
use gatepost::profile::shipped::{EXAMPLES, SHIPPED};
use gatepost::profile::{Catalogue, Codec, Profile, bytes, http, schema, wiegand};

use super::{record, say};

mod proving;
mod trying;

/// The largest file that is looked at.
const FILE_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// What to do with device profiles.
#[derive(Subcommand)]
pub enum What {
    /// List every profile that this box knows.
    List {
        /// A site's own profiles besides the shipped ones.
        #[arg(long, value_name = "DIRECTORY")]
        directory: Option<PathBuf>,
    },
    /// Say what a profile asks for, hears and can be told.
    Show {
        /// Its id, or its file.
        profile: String,
        /// A site's own profiles besides the shipped ones.
        #[arg(long, value_name = "DIRECTORY")]
        directory: Option<PathBuf>,
    },
    /// Prove profiles with their recordings, whole and damaged; exit code 1 where one fails.
    Test {
        /// A profile's file or a directory; the shipped profiles where it is not given.
        path: Option<PathBuf>,
    },
    /// Print a commented profile to begin with.
    New {
        /// How the product is reached.
        #[arg(long, value_enum, default_value = "mqtt")]
        link: Skeleton,
        /// Its recordings instead, which lie beside it as NAME.recording.toml.
        #[arg(long)]
        recording: bool,
    },
    /// Say step by step what bytes mean.
    Try(Try),
    /// Print the language as a JSON Schema, for editors.
    Schema {
        /// Of which link's profiles.
        #[arg(value_enum)]
        link: Schema,
    },
    /// Listen on a link and write down what a device says, as a recording to be completed.
    Record(record::Options),
}

/// What there is a commented profile for.
#[derive(Clone, Copy, ValueEnum)]
pub enum Skeleton {
    /// A camera behind a broker.
    Mqtt,
    /// A camera that posts.
    Http,
    /// A card or controller that speaks in frames.
    Serial,
    /// A relay and input board on a serial line: the profile of a shipped one.
    ModbusRtu,
    /// The same with a network plug.
    ModbusTcp,
    /// A card reader on two wires: the shipped one.
    Wiegand,
    /// A card reader on RS-485: the shipped one.
    Osdp,
}

/// What there is a schema of.
#[derive(Clone, Copy, ValueEnum)]
#[allow(missing_docs, reason = "the links' own words")]
pub enum Schema {
    Mqtt,
    Http,
    Serial,
    #[value(aliases = ["modbus-rtu", "modbus-tcp"])]
    Modbus,
    Wiegand,
    Osdp,
}

/// Bytes to be explained.
#[derive(Args)]
pub struct Try {
    /// The profile's id, or its file.
    profile: String,
    /// A site's own profiles besides the shipped ones.
    #[arg(long, value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
    /// The bytes in hex (bits for a Wiegand card), or @FILE with the bytes as they are.
    #[arg(long, value_name = "HEX|@FILE")]
    frame: String,
    /// MQTT: the topic.
    #[arg(long, default_value = "")]
    topic: String,
    /// HTTP: the path of the post; without it, a part of the device's stream, or the answer of one that reads pictures.
    #[arg(long)]
    path: Option<String>,
    /// HTTP: the content type.
    #[arg(long, default_value = "application/json")]
    content_type: String,
    /// A parameter of the device, as NAME=VALUE; may be repeated.
    #[arg(long = "param", value_name = "NAME=VALUE")]
    params: Vec<String>,
}

/// Runs the command.
pub fn run(what: What) -> anyhow::Result<ExitCode> {
    match what {
        What::List { directory } => list(directory.as_deref()),
        What::Show { profile, directory } => known(&profile, directory.as_deref(), |profile| {
            show(profile);
            Ok(ExitCode::SUCCESS)
        }),
        What::Test { path } => proving::test(path.as_deref()),
        What::New { link, recording } => {
            let name = match link {
                Skeleton::Mqtt => "example/mqtt-camera",
                Skeleton::Http => "example/http-camera",
                Skeleton::Serial => "example/serial-controller",
                Skeleton::ModbusRtu => "example/modbus-board",
                Skeleton::ModbusTcp => "example/modbus-tcp-board",
                Skeleton::Wiegand => "example/card-reader",
                Skeleton::Osdp => "example/osdp-reader",
            };
            let file = format!("device-profiles/{name}.toml");
            let example = EXAMPLES.iter().find(|example| example.file == file);
            let example = example.context("find the example inside the program")?;
            say(if recording { example.recording } else { example.text }.trim_end());
            Ok(ExitCode::SUCCESS)
        }
        What::Try(asked) => known(&asked.profile, asked.directory.as_deref(), |profile| explain(profile, &asked)),
        What::Schema { link } => {
            let link = match link {
                Schema::Mqtt => Link::Mqtt,
                Schema::Http => Link::Http,
                Schema::Serial => Link::Serial,
                Schema::Modbus => Link::ModbusRtu,
                Schema::Wiegand => Link::Wiegand,
                Schema::Osdp => Link::Osdp,
            };
            say(schema(link));
            Ok(ExitCode::SUCCESS)
        }
        What::Record(options) => record::run(&options),
    }
}

fn list(directory: Option<&Path>) -> anyhow::Result<ExitCode> {
    let catalogue = match Catalogue::load(directory) {
        Ok(catalogue) => catalogue,
        Err(mistakes) => return Ok(complained(&mistakes)),
    };
    for id in catalogue.ids() {
        let Some(profile) = catalogue.profile(id) else { continue };
        let is_shipped = SHIPPED.iter().any(|shipped| shipped.file == format!("device-profiles/{id}.toml"));
        let whose = match (catalogue.is_own(id), is_shipped) {
            (true, true) => " (the site's own; it replaces the shipped one)",
            (true, false) => " (the site's own)",
            (false, _) => "",
        };
        let (link, head) = (profile.link().word(), profile.head());
        say(format_args!("{id:28} {link:12} {}, {}{whose}", head.vendor, head.product));
    }
    Ok(ExitCode::SUCCESS)
}

/// With the profile of this id, or of this file.
fn known(
    name: &str,
    directory: Option<&Path>,
    then: impl FnOnce(&Profile) -> anyhow::Result<ExitCode>,
) -> anyhow::Result<ExitCode> {
    if name.ends_with(".toml") {
        let text = read_text(Path::new(name))?;
        return match Profile::parse(&Source { file: Path::new(name), text: &text }) {
            Ok(profile) => then(&profile),
            Err(mistakes) => Ok(complained(&mistakes)),
        };
    }
    match Catalogue::load(directory) {
        Ok(catalogue) => match catalogue.profile(name) {
            Some(profile) => then(profile),
            None => {
                bail!(
                    "there is no profile {name:?}; `gatepost profile list` names them, with --directory a site's own, and a file ends with .toml"
                )
            }
        },
        Err(mistakes) => Ok(complained(&mistakes)),
    }
}

fn show(profile: &Profile) {
    let head = profile.head();
    say(format_args!("{}: {}, {}, link {}", profile.id(), head.vendor, head.product, profile.link().word()));
    if !head.notes.is_empty() {
        say(format_args!("  {}", head.notes));
    }
    for (name, param) in profile.params() {
        let need = if param.required { " (needed)" } else { "" };
        say(format_args!("  parameter {name}{need}: {}", param.help));
    }
    if let Some(form) = profile.picture_form() {
        let (part, path, within) = (form.part.get_ref(), form.path.get_ref(), form.timeout_ms.get_ref());
        say(format_args!(
            "  reads pictures of cameras: the part {part:?} of a form to {path}, answered within {within} ms"
        ));
    }
    for message in profile.messages() {
        let how = if message.answers.is_some() { "answers" } else { "hears" };
        say(format_args!("  {how} {:?}", message.name));
    }
    for command in profile.commands() {
        let args: Vec<&str> = command.args.keys().map(String::as_str).collect();
        let whose = if command.is_service { "installer's command" } else { "command" };
        say(format_args!("  {whose} {}({}), {}", command.name, args.join(", "), proves(command.ack)));
        for (param, word) in command.only_if {
            say(format_args!("    where {param} is {word}"));
        }
        if let Some(guard) = command.guard {
            let most = guard.per_day_max.map_or_else(String::new, |most| format!("at most {most} a day: "));
            say(format_args!("    guarded: {most}{}", guard.because));
        }
        if let Retry::Again(again) = command.retry {
            say(format_args!("    without an answer told up to {} times more", again.times));
        }
    }
}

fn proves(ack: Ack) -> &'static str {
    match ack {
        Ack::None => "nothing comes back",
        Ack::Transport => "the line takes it; nothing comes back",
        Ack::Device => "the device says that it took it",
        Ack::LimitSwitch => "the device says that its arm moved",
    }
}

fn explain(profile: &Profile, asked: &Try) -> anyhow::Result<ExitCode> {
    let codec = match profile.bind(&params(profile, &asked.params)?) {
        Ok(codec) => codec,
        Err(bad) => {
            bad.iter().for_each(|bad| eprintln!("{}; allowed: {} (give it with --param)", bad.wrong, bad.allowed));
            return Ok(ExitCode::from(2));
        }
    };
    if let Codec::Wiegand(cards) = &codec {
        let bits = wiegand::bits(&asked.frame).map_err(anyhow::Error::msg)?;
        say(format_args!("{} bits", bits.len()));
        return Ok(told(cards.decode(&bits).map(|card| means(&[card]))));
    }
    let frame = match asked.frame.strip_prefix('@') {
        Some(file) => std::fs::read(limited(Path::new(file))?).with_context(|| format!("read {file}"))?,
        None => bytes(&asked.frame).map_err(anyhow::Error::msg)?,
    };
    say(format_args!("{} bytes", frame.len()));
    Ok(match &codec {
        Codec::Serial(codec) => told(codec.explain(&frame).map(|explained| {
            for step in &explained.steps {
                say(format_args!(
                    "  bytes {:>3} to {:>3}  {:12} {}",
                    step.at.start,
                    step.at.end.saturating_sub(1),
                    step.part,
                    step.says
                ));
            }
            for (title, steps) in &explained.is {
                say(format_args!("it can be {title}"));
                for step in steps {
                    say(format_args!("    {:16} {}", step.part, step.says));
                }
            }
            trying::messages(codec.tries(&frame));
            match codec.decode(&frame) {
                Ok(says) => means(&says),
                Err(why) => format!("as something that the device says by itself it means nothing: {why}"),
            }
        })),
        Codec::Mqtt(codec) => {
            if let Ok(tree) = http::tree("application/json", &frame) {
                say(format_args!("{tree:#}"));
            }
            trying::places("topics", codec.topics(), &asked.topic);
            trying::messages(codec.tries(&asked.topic, &frame));
            told(trying::published(codec, &asked.topic, &frame))
        }
        Codec::Http(codec) => {
            if let Ok(tree) = http::tree(&asked.content_type, &frame) {
                say(format_args!("{tree:#}"));
            }
            let path = asked.path.as_deref().unwrap_or_default();
            trying::places("paths", codec.paths(), path);
            let way = match &asked.path {
                Some(path) => http::Way::Post(path),
                None if codec.reads_pictures() => http::Way::OfPicture,
                None => http::Way::Unasked,
            };
            trying::messages(codec.tries(way, &asked.content_type, &frame));
            let heard = match way {
                http::Way::Post(path) => codec.decode(path, &asked.content_type, &frame),
                http::Way::Unasked => codec.decode_event(&asked.content_type, &frame),
                http::Way::OfPicture => {
                    say("as the answer about a picture, whose event is the box's own:");
                    return Ok(told(codec.decode_answer(200, &asked.content_type, &frame).map(|says| means(&says))));
                }
            };
            told(heard.map(|heard| trying::posted(codec, &heard)))
        }
        Codec::Modbus(codec) => told(trying::on_the_bus(codec, &frame)),
        Codec::Osdp(codec) => told(trying::packet(codec, &frame)),
        Codec::Wiegand(_) => ExitCode::SUCCESS,
    })
}

fn told<E: std::fmt::Display>(meaning: Result<String, E>) -> ExitCode {
    match meaning {
        Ok(meaning) => {
            say(format_args!("{meaning}"));
            ExitCode::SUCCESS
        }
        Err(why) => {
            say(format_args!("it is rejected: {why}"));
            ExitCode::FAILURE
        }
    }
}

fn params(profile: &Profile, given: &[String]) -> anyhow::Result<BTreeMap<String, toml::Value>> {
    let mut params = BTreeMap::new();
    for pair in given {
        let (name, value) = pair.split_once('=').with_context(|| format!("{pair:?} is not NAME=VALUE"))?;
        let value = value.parse::<i64>().map_or_else(|_| toml::Value::from(value), toml::Value::from);
        params.insert(name.to_owned(), value);
    }
    // A text of digits only is a text all the same.
    for (name, value) in &mut params {
        let is_text = profile.params().get(name).is_some_and(|param| param.default.is_none() && param.min.is_none());
        if is_text && let Some(number) = value.as_integer() {
            *value = toml::Value::from(number.to_string());
        }
    }
    Ok(params)
}

fn read_text(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(limited(path)?).with_context(|| format!("read {}", path.display()))
}

fn limited(path: &Path) -> anyhow::Result<&Path> {
    let size = std::fs::metadata(path).with_context(|| format!("read {}", path.display()))?.len();
    ensure!(size <= FILE_BYTES_MAX, "{} has {size} bytes; at most {FILE_BYTES_MAX} are read", path.display());
    Ok(path)
}

fn complained(mistakes: &[Mistake]) -> ExitCode {
    mistakes.iter().for_each(|mistake| eprintln!("{mistake}"));
    ExitCode::from(2)
}
