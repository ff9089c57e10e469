//! Proves the matcher of a box as a foreign program: draws car parks, asks `gatepost match`, and counts.
//!
//! Nothing here is the box's own code. The lines that go in and come out are those of `docs/matching.md`.

mod asked;
mod command;
mod generator;
mod model;
mod rules;
mod score;

use std::path::PathBuf;

use anyhow::{Context, Result};

pub use command::Options;
pub use model::Model;
pub use score::Report;

use asked::Matcher;
use rules::Rules;
use score::Score;

/// Vehicles that come to the exit of one lot; then the lot is drawn anew, with other plates and other reads.
const EXITS_OF_A_LOT: usize = 2_000;

/// What to prove.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The box's binary.
    pub gatepost: PathBuf,
    /// How many vehicles come to the exit in all.
    pub exits: usize,
    /// How many are inside.
    pub inside: usize,
    /// How many plates of a hundred the cameras read right: 98, 95 or 90.
    pub read_rate: u32,
    /// How the cameras' world and the matcher's idea of it differ.
    pub model: Model,
    /// What the draws start from.
    pub seed: u64,
    /// How certain an automatic match must be; none for what the box takes by itself.
    pub automatic_ppm: Option<u32>,
}

/// Draws lot after lot, asks the matcher about every exit, and counts what came of it.
pub fn prove(settings: &Settings) -> Result<Report> {
    let world = settings.model.world(settings.read_rate)?;
    let mut rng = fastrand::Rng::with_seed(settings.seed);
    let mut matcher = Matcher::start(settings).context("start the matcher")?;
    let mut score = Score::default();
    let mut left = settings.exits;
    while left > 0 {
        let exits = left.min(EXITS_OF_A_LOT).min(settings.inside);
        let lot = generator::lot(&mut rng, &world, settings.inside, exits);
        let answers = matcher.ask(&lot)?;
        let rules = Rules::of(&lot.entries);
        for ((read, truth), answer) in lot.exits.iter().zip(answers) {
            score.count(&answer, *truth);
            score.count_elsewhere(&rules.apply(&read.text), *truth);
        }
        left -= lot.exits.len();
    }
    matcher.finish()?;
    Ok(score.report(settings))
}
