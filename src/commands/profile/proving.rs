//! `gatepost profile test`: profiles proved by their recordings, and what was not proved.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, ensure};
use gatepost::profile::Profile;
use gatepost::profile::mistake::{Mistake, Source};
use gatepost::profile::recording::{self, Proved};
use gatepost::profile::shipped::SHIPPED;

use super::read_text;
use crate::commands::say;

/// Proves the profile of a file or all of a directory; the shipped ones where none is given.
pub fn test(path: Option<&Path>) -> anyhow::Result<ExitCode> {
    let files = match path {
        None => SHIPPED
            .iter()
            .map(|shipped| (PathBuf::from(shipped.file), shipped.text.to_owned(), Some(shipped.recording.to_owned())))
            .collect(),
        Some(path) => files_of(&proved_by(path)?)?,
    };
    ensure!(!files.is_empty(), "there is no profile at {}", path.unwrap_or(Path::new("")).display());
    let mut all = Proved::default();
    let mut not_right = 0;
    for file in &files {
        let (proved, mistakes) = prove(file);
        all.exchanges += proved.exchanges;
        all.failed += proved.failed;
        all.damaged += proved.damaged;
        not_right += usize::from(!mistakes.is_empty());
        mistakes.iter().for_each(|mistake| eprintln!("{mistake}"));
    }
    say(format_args!(
        "{}, {}, {} failed ({}); {} not right",
        counted(files.len(), "profile", "profiles"),
        counted(all.exchanges, "exchange", "exchanges"),
        all.failed,
        counted(all.damaged, "damaged copy", "damaged copies"),
        counted(not_right, "profile", "profiles"),
    ));
    Ok(if not_right == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn prove((file, text, recorded): &ProfileFile) -> (Proved, Vec<Mistake>) {
    let source = Source { file, text };
    match (Profile::parse(&source), recorded) {
        (Ok(profile), Some(recorded)) => {
            recording::prove(&profile, &Source { file: &file.with_extension("recording.toml"), text: recorded })
        }
        (Err(mistakes), Some(_)) => (Proved::default(), mistakes),
        // Its own mistakes come first: they are what the author can put right without the device.
        (parsed, None) => {
            let missing = source.whole("the profile has no recordings", "NAME.recording.toml beside it");
            (Proved::default(), parsed.err().into_iter().flatten().chain([missing]).collect())
        }
    }
}

fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// Who names a recording means the profile beside it.
fn proved_by(path: &Path) -> anyhow::Result<PathBuf> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let Some(stem) = name.strip_suffix(".recording.toml") else { return Ok(path.to_owned()) };
    let profile = path.with_file_name(format!("{stem}.toml"));
    ensure!(profile.exists(), "{} is a recording, and {} is not there", path.display(), profile.display());
    Ok(profile)
}

type ProfileFile = (PathBuf, String, Option<String>);

fn files_of(path: &Path) -> anyhow::Result<Vec<ProfileFile>> {
    let mut found = Vec::new();
    let mut waiting = vec![path.to_owned()];
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            for entry in std::fs::read_dir(&path).with_context(|| format!("look into {}", path.display()))? {
                waiting.push(entry.with_context(|| format!("look into {}", path.display()))?.path());
            }
            continue;
        }
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if !name.ends_with(".toml") || name.ends_with(".recording.toml") {
            continue;
        }
        let recorded = path.with_extension("recording.toml");
        let recorded = if recorded.exists() { Some(read_text(&recorded)?) } else { None };
        found.push((path.clone(), read_text(&path)?, recorded));
    }
    found.sort();
    Ok(found)
}
