//! The matcher as a foreign program: lines in, lines out.

use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde_json::json;

use super::Settings;
use super::generator::{Lot, Read};

/// `gatepost match`, running.
pub(super) struct Matcher {
    child: Child,
    input: Option<BufWriter<ChildStdin>>,
    output: BufReader<ChildStdout>,
    told: Option<PathBuf>,
}

/// What it says of one read.
#[derive(Debug, Deserialize)]
pub(super) struct Answer {
    pub verdict: String,
    pub stay: Option<String>,
    pub candidates: Vec<Candidate>,
}

/// One vehicle that it holds possible.
#[derive(Debug, Deserialize)]
pub(super) struct Candidate {
    pub stay: String,
    pub posterior_ppm: u32,
}

impl Matcher {
    pub(super) fn start(settings: &Settings) -> Result<Self> {
        let mut command = Command::new(&settings.gatepost);
        command.args(["match", "--stream", "--json"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        match settings.model.no_entry_ppm() {
            Some(ppm) => command.args(["--no-entry-ppm", &ppm.to_string()]),
            None => command.arg("--estimate-no-entry"),
        };
        if let Some(ppm) = settings.automatic_ppm {
            command.args(["--automatic-ppm", &ppm.to_string()]);
        }
        let told = match settings.model.told(settings.read_rate)? {
            Some(told) => {
                let name = format!("gatepost-sim-model-{}-{}.json", std::process::id(), settings.seed);
                let path = std::env::temp_dir().join(name);
                std::fs::write(&path, told.to_string()).with_context(|| format!("write {}", path.display()))?;
                command.arg("--model").arg(&path);
                Some(path)
            }
            None => None,
        };
        let mut child = command.spawn().with_context(|| format!("run {}", settings.gatepost.display()))?;
        let input = child.stdin.take().context("its input is a pipe")?;
        let output = child.stdout.take().context("its output is a pipe")?;
        Ok(Self { child, input: Some(BufWriter::new(input)), output: BufReader::new(output), told })
    }

    /// Fills the matcher's car park and asks about every exit.
    pub(super) fn ask(&mut self, lot: &Lot) -> Result<Vec<Answer>> {
        let input = self.input.as_mut().context("the matcher has finished")?;
        let output = &mut self.output;
        // It answers while it is still asked, so both sides must move at once.
        std::thread::scope(|scope| {
            let writing = scope.spawn(|| write_lot(input, lot));
            let answers = (0..lot.exits.len()).map(|number| read_answer(output, number)).collect();
            match writing.join() {
                Ok(written) => written.context("ask the matcher")?,
                Err(_) => bail!("the writer of the questions ended"),
            }
            answers
        })
    }

    /// Ends it, and tells whether it was content.
    pub(super) fn finish(mut self) -> Result<()> {
        self.input = None;
        let status = self.child.wait().context("wait for the matcher")?;
        ensure!(status.success(), "the matcher ended with {status}");
        Ok(())
    }
}

impl Drop for Matcher {
    fn drop(&mut self) {
        self.input = None;
        if let Some(path) = &self.told {
            let _ = std::fs::remove_file(path);
        }
        let _ = self.child.wait();
    }
}

fn write_lot(input: &mut BufWriter<ChildStdin>, lot: &Lot) -> Result<()> {
    writeln!(input, "\"clear\"")?;
    for (number, entry) in lot.entries.iter().enumerate() {
        writeln!(input, "{}", json!({ "inside": line(number, "in", entry) }))?;
    }
    for (number, (exit, _)) in lot.exits.iter().enumerate() {
        writeln!(input, "{}", json!({ "read": line(number, "out", exit) }))?;
    }
    writeln!(input, "\"answered\"")?;
    Ok(input.flush()?)
}

fn line(number: usize, camera: &str, read: &Read) -> serde_json::Value {
    let confidences: Vec<u32> = read.sure.iter().map(|sure| if *sure { 9_700 } else { 6_000 }).collect();
    json!({ "id": number.to_string(), "plate": read.text, "camera": camera, "confidences": confidences })
}

fn read_answer(output: &mut BufReader<ChildStdout>, number: usize) -> Result<Answer> {
    let mut line = String::new();
    ensure!(output.read_line(&mut line)? > 0, "the matcher ended before answer {number}");
    serde_json::from_str(&line).with_context(|| format!("read answer {number}"))
}
