//! `gatepost-sim matching`: its options and what it prints.

use std::fmt::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;

use super::score::RuleLine;
use super::{Model, Report, Settings, prove};

/// What to prove of a box's matcher.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// The box's binary; without it the one beside this program.
    #[arg(long, value_name = "FILE")]
    gatepost: Option<PathBuf>,
    /// How many vehicles come to the exit.
    #[arg(long, default_value_t = 20_000)]
    exits: usize,
    /// How many vehicles are inside.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    inside: u32,
    /// How many plates of a hundred the cameras read right: 98, 95 or 90.
    #[arg(long, default_value_t = 95)]
    read_rate: u32,
    /// How the cameras' world and the matcher's idea of it differ.
    #[arg(long, default_value = "true", value_parser = Model::parse, long_help = Model::help())]
    model: Model,
    /// What the draws start from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How certain an automatic match must be, in millionths; without it as the box has it.
    #[arg(long, value_name = "PPM")]
    automatic_ppm: Option<u32>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Options {
    /// Draws, asks and counts; the report as it is to be printed.
    pub fn run(self) -> Result<String> {
        let beside = || Ok::<_, std::io::Error>(std::env::current_exe()?.with_file_name("gatepost"));
        let gatepost = self.gatepost.map_or_else(beside, Ok).context("find the box's binary")?;
        let report = prove(&Settings {
            gatepost,
            exits: self.exits,
            inside: self.inside as usize,
            read_rate: self.read_rate,
            model: self.model,
            seed: self.seed,
            automatic_ppm: self.automatic_ppm,
        })?;
        if self.json { serde_json::to_string_pretty(&report).context("write the report") } else { Ok(report.words()) }
    }
}

impl Report {
    /// The report for a person.
    fn words(&self) -> String {
        let mut text = format!(
            "{} exits, {} inside, {} of 100 plates read right, model {}, seed {}\n\n",
            self.exits, self.inside, self.read_rate, self.model, self.seed
        );
        let own = RuleLine {
            rule: "posterior, as the box has it".to_owned(),
            automatic_correct_percent: self.automatic_correct_percent,
            false_percent: self.false_percent,
            false_pairs: self.false_pairs,
            guard_percent: self.guard_percent,
        };
        let all = std::iter::once(&own).chain(&self.thresholds).chain(&self.elsewhere);
        text.push_str("automatic   false (pairs)       guard   rule\n");
        for line in all {
            let (right, wrong, guard) = (line.automatic_correct_percent, line.false_percent, line.guard_percent);
            let _ =
                writeln!(text, "{right:8.3} %  {wrong:.4} % ({:>5})  {guard:6.3} %  {}", line.false_pairs, line.rule);
        }
        let bound = self.false_upper_95_percent;
        let _ = writeln!(
            text,
            "\nfalse pairs are below {bound:.4} % with 95 % certainty\n\nposterior   exits  predicted  observed  errors seen for each predicted"
        );
        for bin in &self.bins {
            let (from, predicted, observed) = (bin.from, bin.predicted_percent, bin.observed_percent);
            let _ =
                writeln!(text, "{from:<9}  {:>6}  {predicted:8.3}  {observed:8.3}  {:.2}", bin.exits, bin.error_ratio);
        }
        let _ = write!(text, "calibration error: {:.3} points", self.calibration_error_points);
        text
    }
}
