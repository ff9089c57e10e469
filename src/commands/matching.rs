//! `gatepost match`: says which vehicle inside a read is, as the daemon would, from files or line by line.

use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand};
use gatepost::domain::matching::answer::{CERTAIN_PPM, NO_ENTRY_PPM, Thresholds, Verdict};
use gatepost::domain::matching::errors::ErrorModel;
use gatepost::domain::matching::learning::Experience;
use gatepost::domain::matching::park::{Asked, Inside, Match, Park, Seen};
use gatepost::domain::matching::prior::NoEntry;
use gatepost::domain::matching::reading::Colour;
use gatepost::domain::plate::Plate;
use gatepost::domain::plate::class::Format;
use gatepost::domain::plate::told::VehicleKind;
use gatepost::store::Store;
use serde::{Deserialize, Serialize};

/// The longest line that is read: one vehicle with everything that can be said of it.
const LINE_BYTES_MAX: u64 = 64 << 10;
/// The most vehicles inside: ten times the largest car park.
const INSIDE_MAX: usize = 200_000;
/// The most statements about one arrival that a line may carry.
const READS_MAX: usize = 16;

/// What to match, and how.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Options {
    #[command(subcommand)]
    what: Option<What>,
    /// The vehicles inside, one JSON object a line; see docs/matching.md.
    #[arg(long, value_name = "FILE", required_unless_present = "stream")]
    inside: Option<PathBuf>,
    /// The reads at the exit, one JSON object a line.
    #[arg(long, value_name = "FILE", required_unless_present = "stream")]
    reads: Option<PathBuf>,
    /// Read vehicles and reads from standard input as they come, and answer each read at once.
    #[arg(long, conflicts_with_all = ["inside", "reads"])]
    stream: bool,
    /// Answer as JSON, one object a line.
    #[arg(long)]
    json: bool,
    /// How the cameras err, as JSON; without it as cameras in an ordinary lane do.
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Of a million vehicles at the exit, how many have no entry.
    #[arg(long, value_name = "PPM", default_value_t = 10_000)]
    no_entry_ppm: u32,
    /// Estimate that share from the reads themselves.
    #[arg(long, conflicts_with = "no_entry_ppm")]
    estimate_no_entry: bool,
    /// How certain an automatic match must be, in millionths.
    #[arg(long, value_name = "PPM")]
    automatic_ppm: Option<u32>,
    /// An extra plate format: A for a letter, 9 for a digit. May be given several times.
    #[arg(long = "format", value_name = "FORMAT")]
    formats: Vec<String>,
}

#[derive(Subcommand)]
enum What {
    /// What the cameras of each entry and exit have shown of each other's mistakes.
    Matrix {
        #[command(subcommand)]
        act: MatrixAct,
        /// The ledger file.
        #[arg(long, value_name = "FILE", default_value = "/var/lib/gatepost/ledger.db", global = true)]
        ledger: PathBuf,
    },
}

#[derive(Subcommand)]
enum MatrixAct {
    /// Say for each pair of cameras what was learned, and whether it is in use.
    Show,
    /// Print the counts as JSON; there are no plates in them.
    Export,
    /// Forget all of it; the daemon must be stopped. The journal keeps that it was done, and why.
    Reset {
        /// Why.
        #[arg(long)]
        reason: String,
    },
}

/// Runs the command.
pub fn run(options: Options) -> anyhow::Result<ExitCode> {
    if let Some(What::Matrix { act, ledger }) = &options.what {
        return matrix(act, ledger);
    }
    let park = Park::new(&model(options.model.as_deref())?, thresholds(&options)?, formats(&options.formats)?);
    anyhow::ensure!(
        NO_ENTRY_PPM.contains(&options.no_entry_ppm),
        "--no-entry-ppm is {}; allowed are {} to {}",
        options.no_entry_ppm,
        NO_ENTRY_PPM.start(),
        NO_ENTRY_PPM.end()
    );
    let out = BufWriter::new(std::io::stdout().lock());
    let no_entry = (!options.estimate_no_entry).then_some(options.no_entry_ppm);
    let mut desk = Desk { park, no_entry, seen: NoEntry::default(), json: options.json, out };
    if options.stream {
        desk.stream(std::io::stdin().lock())?;
    } else if let (Some(inside), Some(reads)) = (&options.inside, &options.reads) {
        each_line(inside, |line| {
            let vehicle = serde_json::from_str(line).context("read a vehicle inside")?;
            desk.enter(vehicle)
        })?;
        each_line(reads, |line| {
            let read = serde_json::from_str(line).context("read a statement")?;
            desk.answer(&read)
        })?;
    }
    desk.out.flush().context("write the answers")?;
    Ok(ExitCode::SUCCESS)
}

fn matrix(act: &MatrixAct, ledger: &Path) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    match act {
        MatrixAct::Show => {
            let mut park: Park<String> = Park::new(&ErrorModel::default(), Thresholds::default(), Vec::new());
            for ((entry, exit), experience) in Store::experiences(ledger)? {
                let (lessons, misreads) = (experience.lessons, misreads(&experience));
                park.remember(&entry, &exit, experience);
                let used = match park.bits_gained(&entry, &exit) {
                    Some(bits) => format!("in use; the vehicles held out are {bits} bits likelier with it"),
                    None => "not in use: too few, or no better".to_owned(),
                };
                writeln!(out, "{entry} -> {exit}: {lessons} vehicles, {used}")?;
                for (signs, count) in misreads {
                    writeln!(out, "  {signs} {count}")?;
                }
            }
        }
        MatrixAct::Export => {
            let all: Vec<MatrixLine> = Store::experiences(ledger)?
                .into_iter()
                .map(|((entry, exit), experience)| MatrixLine { entry, exit, experience })
                .collect();
            serde_json::to_writer_pretty(&mut out, &all).context("write the counts")?;
            writeln!(out)?;
        }
        MatrixAct::Reset { reason } => {
            let clock = gatepost::clock::Clock::new(None);
            Store::forget_experience(ledger, reason, clock.now())?;
            writeln!(out, "what the cameras have shown is forgotten")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What one pair of cameras has shown, as it is exported.
#[derive(Serialize)]
struct MatrixLine {
    entry: String,
    exit: String,
    #[serde(flatten)]
    experience: Experience,
}

/// The pairs of signs that differ, the most frequent first.
fn misreads(experience: &Experience) -> Vec<(String, u32)> {
    let differ = |signs: &str| signs.chars().next() != signs.chars().last();
    let mut all: Vec<(String, u32)> =
        experience.seen.iter().filter(|(signs, _)| differ(signs)).map(|(signs, n)| (signs.clone(), *n)).collect();
    all.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    all
}

fn model(path: Option<&Path>) -> anyhow::Result<ErrorModel> {
    let Some(path) = path else { return Ok(ErrorModel::default()) };
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let model: ErrorModel = serde_json::from_str(&text).with_context(|| format!("read {}", path.display()))?;
    match model.mistake() {
        Some(mistake) => anyhow::bail!("{}: {mistake}", path.display()),
        None => Ok(model),
    }
}

fn thresholds(options: &Options) -> anyhow::Result<Thresholds> {
    let default = Thresholds::default();
    let automatic_ppm = options.automatic_ppm.unwrap_or(default.automatic_ppm);
    anyhow::ensure!(
        (500_000..=CERTAIN_PPM).contains(&automatic_ppm),
        "--automatic-ppm is {automatic_ppm}; allowed are 500000 to {CERTAIN_PPM}"
    );
    Ok(Thresholds { automatic_ppm, exact_ppm: default.exact_ppm.min(automatic_ppm), ..default })
}

fn formats(texts: &[String]) -> anyhow::Result<Vec<Format>> {
    texts.iter().map(|text| Format::parse(text).map_err(anyhow::Error::from)).collect()
}

/// Who is inside, and where answers go.
struct Desk<W> {
    park: Park<String>,
    /// The stated share of vehicles without an entry; none where it is estimated.
    no_entry: Option<u32>,
    seen: NoEntry,
    json: bool,
    out: W,
}

impl<W: Write> Desk<W> {
    /// Answers line by line, each answer before the next line is awaited.
    fn stream(&mut self, input: impl BufRead) -> anyhow::Result<()> {
        let mut input = input;
        let mut number = 0;
        while let Some(line) = next_line(&mut input)? {
            number += 1;
            let told = serde_json::from_str(&line).with_context(|| format!("line {number}"))?;
            match told {
                Line::Inside(vehicle) => self.enter(vehicle)?,
                Line::Gone(stay) => self.park.leave(&stay),
                Line::Read(read) => self.answer(&read)?,
                Line::Clear => self.park.clear(),
                Line::Answered => self.out.flush().context("write the answers")?,
            }
        }
        Ok(())
    }

    fn enter(&mut self, vehicle: VehicleLine) -> anyhow::Result<()> {
        anyhow::ensure!(self.park.len() < INSIDE_MAX, "more than {INSIDE_MAX} vehicles inside");
        let Ok(plate) = vehicle.plate.parse::<Plate>() else {
            complain(&format!("{}: not a plate, left out", vehicle.id));
            return Ok(());
        };
        let inside = Inside {
            plate,
            confidences: basis_points(&vehicle.confidences),
            colour: vehicle.colour,
            vehicle: vehicle.vehicle,
            camera: vehicle.camera,
            entered_s: vehicle.at,
        };
        self.park.enter(vehicle.id, inside);
        Ok(())
    }

    fn answer(&mut self, read: &ReadLine) -> anyhow::Result<()> {
        let no_entry_ppm = self.no_entry.unwrap_or_else(|| self.seen.expected_ppm());
        let asked = Asked { reads: read.statements(), no_entry_ppm, at_s: read.at };
        let found = self.park.ask(&asked);
        if let Some(found) = &found {
            self.seen.saw(found.none_ppm);
        }
        let answer = AnswerLine::of(&read.id, found);
        if self.json {
            serde_json::to_writer(&mut self.out, &answer).context("write an answer")?;
            writeln!(self.out).context("write an answer")?;
        } else {
            self.write_words(&answer)?;
        }
        Ok(())
    }

    fn write_words(&mut self, answer: &AnswerLine) -> anyhow::Result<()> {
        let mut text = format!("{}  {}", answer.id, answer.read.as_deref().unwrap_or("no plate"));
        text.push_str(match answer.verdict {
            Verdict::Automatic => "  automatic",
            Verdict::Guard => "  a guard chooses",
            Verdict::None => "  no entry",
        });
        for candidate in &answer.candidates {
            let percent = f64::from(candidate.posterior_ppm) / 1e4;
            text.push_str(&format!("  {} {} {percent:.3} %", candidate.stay, candidate.plate));
        }
        writeln!(self.out, "{text}").context("write an answer")
    }
}

/// A line of the stream.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Line {
    /// A vehicle is inside.
    Inside(VehicleLine),
    /// A stay has ended.
    Gone(String),
    /// A vehicle stands at the exit.
    Read(ReadLine),
    /// Nobody is inside any more.
    Clear,
    /// The sender waits for everything that it asked.
    Answered,
}

/// A vehicle inside.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VehicleLine {
    id: String,
    plate: String,
    #[serde(default)]
    confidences: Vec<i64>,
    #[serde(default)]
    colour: Option<Colour>,
    #[serde(default)]
    vehicle: Option<VehicleKind>,
    #[serde(default)]
    camera: String,
    #[serde(default)]
    at: Option<i64>,
}

/// A vehicle at the exit: one statement, or several of one arrival.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReadLine {
    id: String,
    #[serde(default)]
    at: Option<i64>,
    #[serde(default)]
    camera: String,
    #[serde(default)]
    plate: Option<String>,
    #[serde(default)]
    confidences: Vec<i64>,
    #[serde(default)]
    colour: Option<Colour>,
    #[serde(default)]
    vehicle: Option<VehicleKind>,
    #[serde(default)]
    others: Vec<(String, i64)>,
    #[serde(default)]
    reads: Vec<StatementLine>,
}

/// One statement of several.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StatementLine {
    plate: String,
    #[serde(default)]
    confidences: Vec<i64>,
    #[serde(default)]
    colour: Option<Colour>,
    #[serde(default)]
    vehicle: Option<VehicleKind>,
    #[serde(default)]
    camera: String,
    #[serde(default)]
    quick: bool,
}

impl ReadLine {
    /// Everything that was read; what is no plate is left out.
    fn statements(&self) -> Vec<Seen> {
        let own = self.plate.iter().filter_map(|text| {
            let others = self.others.iter().take(READS_MAX);
            Some(Seen {
                plate: text.parse().ok()?,
                confidences: basis_points(&self.confidences),
                others: others.filter_map(|(text, bp)| Some((text.parse().ok()?, one_basis_point(*bp)))).collect(),
                colour: self.colour,
                vehicle: self.vehicle,
                camera: self.camera.clone(),
                is_quick: false,
            })
        });
        let more = self.reads.iter().take(READS_MAX).filter_map(|read| {
            Some(Seen {
                plate: read.plate.parse().ok()?,
                confidences: basis_points(&read.confidences),
                others: Vec::new(),
                colour: read.colour,
                vehicle: read.vehicle,
                camera: read.camera.clone(),
                is_quick: read.quick,
            })
        });
        own.chain(more).collect()
    }
}

/// An answer.
#[derive(Serialize)]
struct AnswerLine {
    id: String,
    verdict: Verdict,
    /// What was read, all statements together; none where nothing was.
    read: Option<String>,
    /// The stay that is it, where the verdict is automatic.
    stay: Option<String>,
    candidates: Vec<CandidateLine>,
    none_ppm: u32,
}

#[derive(Serialize)]
struct CandidateLine {
    stay: String,
    plate: String,
    posterior_ppm: u32,
    second_factor: bool,
}

impl AnswerLine {
    fn of(id: &str, found: Option<Match<String>>) -> Self {
        let Some(found) = found else {
            let (id, candidates) = (id.to_owned(), Vec::new());
            return Self { id, verdict: Verdict::None, read: None, stay: None, candidates, none_ppm: CERTAIN_PPM };
        };
        let best = found.candidates.first().filter(|_| found.verdict == Verdict::Automatic);
        let stay = best.map(|candidate| candidate.key.clone());
        let line = |candidate: gatepost::domain::matching::park::Candidate<String>| CandidateLine {
            stay: candidate.key,
            plate: candidate.plate.to_string(),
            posterior_ppm: candidate.posterior_ppm,
            second_factor: candidate.second_factor,
        };
        Self {
            id: id.to_owned(),
            verdict: found.verdict,
            read: Some(found.read.to_string()),
            stay,
            candidates: found.candidates.into_iter().map(line).collect(),
            none_ppm: found.none_ppm,
        }
    }
}

/// Numbers below 0 and above 100 % are taken for these; a plate has no more than ten characters.
fn basis_points(numbers: &[i64]) -> Vec<u16> {
    numbers.iter().take(READS_MAX).map(|number| one_basis_point(*number)).collect()
}

fn one_basis_point(number: i64) -> u16 {
    u16::try_from(number.clamp(0, 10_000)).expect("it was bounded")
}

fn each_line(path: &Path, mut take: impl FnMut(&str) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let file = std::fs::File::open(path).with_context(|| format!("open {}", path.display()))?;
    let mut input = BufReader::new(file);
    let mut number = 0;
    while let Some(line) = next_line(&mut input).with_context(|| path.display().to_string())? {
        number += 1;
        take(&line).with_context(|| format!("{}:{number}", path.display()))?;
    }
    Ok(())
}

/// The next line that is not empty.
fn next_line(input: &mut impl BufRead) -> anyhow::Result<Option<String>> {
    loop {
        let mut line = String::new();
        let length = input.by_ref().take(LINE_BYTES_MAX).read_line(&mut line).context("read a line")?;
        if length == 0 {
            return Ok(None);
        }
        anyhow::ensure!(length < LINE_BYTES_MAX as usize, "a line of more than {LINE_BYTES_MAX} bytes");
        if !line.trim().is_empty() {
            return Ok(Some(line));
        }
    }
}

#[allow(clippy::print_stderr, reason = "the command's own complaint")]
fn complain(text: &str) {
    eprintln!("{text}");
}
