//! `gatepost bundle`: checks, compares, signs and tries out rule bundles before any car meets them.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Subcommand;
use gatepost::bundle::{self, Key};
use gatepost::domain::event::UtcMs;
use gatepost::domain::rules::{Rules, compose, lint};
use gatepost::domain::tariff::calendar::wall_text;
use gatepost::domain::tariff::{self, Question, yuan};
use serde_json::json;

use super::{complain, say, simulate};

/// What is done with bundles.
#[derive(Subcommand)]
pub enum What {
    /// Read a bundle and compute its golden cases.
    Test {
        /// The bundle.
        file: PathBuf,
    },
    /// Tell what a bundle says without meaning it: fees that fall, rules that never come, overlaps.
    Lint {
        /// The bundle.
        file: PathBuf,
        /// Answer as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Compare what two bundles charge for typical stays.
    Diff {
        /// The bundle in force.
        old: PathBuf,
        /// The draft.
        new: PathBuf,
    },
    /// Charge a ledger's stays of the last 30 days under a draft: who gains, who pays, and what is known of each.
    Simulate {
        /// The draft.
        file: PathBuf,
        /// The ledger.
        #[arg(long, value_name = "FILE", default_value = "/var/lib/gatepost/ledger.db")]
        ledger: PathBuf,
        /// Answer as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print the bundle that a group's base and a site's overlay make together.
    Compose {
        /// The base.
        base: PathBuf,
        /// The overlay.
        overlay: PathBuf,
    },
    /// Make a signer's key and print its public half.
    Keygen {
        /// Where the key goes; the file must not exist.
        key: PathBuf,
    },
    /// Put the rules files of a running box's settings in force. It takes two persons.
    Activate {
        #[command(flatten)]
        box_: Running,
        /// The second person; the PIN is in GATEPOST_SECOND_PIN.
        #[arg(long, value_name = "NAME")]
        second: String,
    },
    /// Go back to the rules before those in force.
    Rollback {
        #[command(flatten)]
        box_: Running,
    },
    /// Sign a bundle: writes FILE.sig.
    Sign {
        /// The bundle or the overlay.
        file: PathBuf,
        /// The signer's key.
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
    },
}

/// A running box, and who asks it.
#[derive(clap::Args)]
pub struct Running {
    /// Where its page is.
    #[arg(long = "box", value_name = "URL", default_value = "http://127.0.0.1:8080")]
    url: String,
    /// The operator; the PIN is in GATEPOST_PIN.
    #[arg(long, value_name = "NAME")]
    operator: String,
}

/// Runs the command.
pub fn run(what: &What) -> anyhow::Result<ExitCode> {
    match what {
        What::Test { file } => Ok(read(file).map_or_else(refused, |rules| {
            say(format!("{} is right: version {}, its golden cases hold", file.display(), rules.version));
            ExitCode::SUCCESS
        })),
        What::Lint { file, json } => Ok(read(file).map_or_else(refused, |rules| tell_lint(&rules, *json))),
        What::Diff { old, new } => match (read(old), read(new)) {
            (Ok(old), Ok(new)) => Ok(diff(&old, &new)),
            (Err(mistake), _) | (_, Err(mistake)) => Ok(refused(mistake)),
        },
        What::Simulate { file, ledger, json } => match read(file) {
            Ok(rules) => simulate::run(&rules, ledger, *json),
            Err(mistake) => Ok(refused(mistake)),
        },
        What::Compose { base, overlay } => {
            let text = |path: &Path| std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()));
            match compose(&text(base)?, &text(overlay)?) {
                Ok(text) => say(text.trim_end()),
                Err(bad) => return Ok(refused(bundle::mistake(overlay, bad).to_string())),
            }
            Ok(ExitCode::SUCCESS)
        }
        What::Keygen { key } => keygen(key),
        What::Sign { file, key } => sign(file, key),
        What::Activate { box_, second } => {
            let second_pin = pin("GATEPOST_SECOND_PIN")?;
            ask(box_, "activate", json!({"second": second, "second_pin": second_pin}))
        }
        What::Rollback { box_ } => ask(box_, "rollback", json!({})),
    }
}

/// A PIN from the environment, where no other user of the machine reads it off the list of processes.
fn pin(name: &str) -> anyhow::Result<String> {
    std::env::var(name).with_context(|| format!("{name} is not set; the PIN is read from there"))
}

/// Asks a running box what its own rules are to be.
fn ask(box_: &Running, verb: &str, more: serde_json::Value) -> anyhow::Result<ExitCode> {
    let mut body = json!({"operator": box_.operator, "pin": pin("GATEPOST_PIN")?});
    let fields = body.as_object_mut().context("make the request")?;
    fields.extend(more.as_object().cloned().unwrap_or_default());
    // Only for a box behind TLS; another part of the process may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let url = format!("{}/api/v1/staff/rules/{verb}", box_.url.trim_end_matches('/'));
    let answer: serde_json::Value = runtime.block_on(async {
        let answer = reqwest::Client::new().post(&url).json(&body).send().await.context("ask the box")?;
        answer.json().await.context("read the box's answer")
    })?;
    let text = |name: &str| answer.get(name).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
    if answer.get("done").is_some() {
        say(text("text"));
        return Ok(ExitCode::SUCCESS);
    }
    complain(&format!("{}: {}", text("title"), text("detail")));
    Ok(ExitCode::FAILURE)
}

fn read(file: &Path) -> Result<Rules, String> {
    bundle::load(file, None, &[]).map(|(_, rules)| rules).map_err(|mistake| mistake.to_string())
}

fn refused(mistake: String) -> ExitCode {
    complain(&mistake);
    ExitCode::from(2)
}

fn tell_lint(rules: &Rules, as_json: bool) -> ExitCode {
    let findings = lint::lint(rules);
    if as_json {
        let list: Vec<_> = findings
            .iter()
            .map(|found| json!({"code": found.code, "tariff": found.tariff, "text": found.text}))
            .collect();
        say(json!(list).to_string());
    } else {
        for found in &findings {
            say(format!("{}: tariff {}: {}", found.code, found.tariff, found.text));
        }
        say(format!("{} findings", findings.len()));
    }
    if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Lengths of typical stays, in minutes.
const LENGTHS: [i64; 14] = [10, 15, 20, 30, 45, 60, 90, 120, 180, 240, 480, 720, 1440, 2880];
/// Monday 2026-03-02, Saturday and Sunday of that week: when typical stays begin, in seconds of the wall clock.
const ENTRIES: [i64; 4] = [
    20_514 * 86_400 + 9 * 3600,
    20_514 * 86_400 + 18 * 3600 + 1800,
    20_519 * 86_400 + 11 * 3600,
    20_520 * 86_400 + 22 * 3600,
];

fn diff(old: &Rules, new: &Rules) -> ExitCode {
    let mut differing = 0;
    for wall in ENTRIES {
        for minutes in LENGTHS {
            let fee = |rules: &Rules| {
                let entry = UtcMs(rules.tariffs.calendar.zone.utc(wall) * 1000);
                tariff::total(rules, &Question::of(entry, UtcMs(entry.0 + minutes * 60_000))).0
            };
            let (before, after) = (fee(old), fee(new));
            if before != after {
                differing += 1;
                let text = format!(
                    "{} {minutes:>5} min  {:>8} -> {:>8}  {:+}",
                    wall_text(wall),
                    yuan(before),
                    yuan(after),
                    after - before
                );
                say(&text);
            }
        }
    }
    say(format!("{differing} of {} typical stays cost something else", ENTRIES.len() * LENGTHS.len()));
    ExitCode::SUCCESS
}

fn keygen(path: &Path) -> anyhow::Result<ExitCode> {
    let mut seed = [0; 32];
    let mut source = std::fs::File::open("/dev/urandom").context("open the system's random source")?;
    source.read_exact(&mut seed).context("read the system's random source")?;
    let mut file =
        std::os::unix::fs::OpenOptionsExt::mode(std::fs::File::options().write(true).create_new(true), 0o600)
            .open(path)
            .with_context(|| format!("make {}", path.display()))?;
    std::io::Write::write_all(&mut file, format!("{}\n", hex::encode(seed)).as_bytes()).context("write the key")?;
    say(Key::from_seed(seed).public());
    Ok(ExitCode::SUCCESS)
}

fn sign(file: &Path, key: &Path) -> anyhow::Result<ExitCode> {
    let text = std::fs::read_to_string(key).with_context(|| format!("read {}", key.display()))?;
    let seed = hex::decode(text.trim()).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    let seed = seed.with_context(|| {
        format!("read {}; allowed: 64 hex digits, as `gatepost bundle keygen` writes", key.display())
    })?;
    let bundle = std::fs::read(file).with_context(|| format!("read {}", file.display()))?;
    let place = bundle::signature_path(file);
    std::fs::write(&place, Key::from_seed(seed).sign(&bundle)).with_context(|| format!("write {}", place.display()))?;
    say(format!("wrote {}", place.display()));
    Ok(ExitCode::SUCCESS)
}
