//! The worlds of the proof, and what the matcher is told or believes of each.

use anyhow::{Result, bail};
use serde_json::Value;

use super::generator::{self, Rates, World};

/// How the cameras' world differs from the plain one, and how wrong the matcher is told about it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Model {
    name: String,
    traits: Vec<Trait>,
}

/// One difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trait {
    Untold,
    HalfRate,
    ThirdRate,
    TwiceRate,
    SixTimesRate,
    Twins30,
    Twins95,
    NoTwins,
    HalfTwins,
    FewerMissing,
    Dirty,
    Repeats,
    NoEntryTenth,
    NoEntryTriple,
    NoEntryEstimated,
    ManyWithoutEntry,
    Fleets,
    Pairs,
    Confidence,
}

/// The names, and what they mean, for the command's help.
const NAMES: [(&str, &[Trait], &str); 20] = [
    ("true", &[], "the matcher is told the generator's error rates and twins"),
    ("untold", &[Trait::Untold], "the matcher is told nothing and takes its defaults"),
    ("half-rate", &[Trait::HalfRate], "told half the error rate"),
    ("third-rate", &[Trait::ThirdRate], "told a third of it"),
    ("twice-rate", &[Trait::TwiceRate], "told twice the error rate"),
    ("six-times-rate", &[Trait::SixTimesRate], "told six times the error rate"),
    ("twins-30", &[Trait::Twins30], "told a twin share of 0.3 instead of 0.7"),
    ("twins-95", &[Trait::Twins95], "told a twin share of 0.95"),
    ("no-twins", &[Trait::NoTwins], "told no twins"),
    (
        "half-twins",
        &[Trait::HalfTwins, Trait::FewerMissing],
        "told half of the twins and a fifth of the lost characters",
    ),
    ("dirty", &[Trait::Dirty], "one read in a hundred has fifteen times the errors; not told"),
    ("repeats", &[Trait::Repeats], "three in ten entry misreads are made again at the exit; not told"),
    (
        "everything",
        &[Trait::TwiceRate, Trait::HalfTwins, Trait::Dirty, Trait::Repeats],
        "twice-rate, half of the twins, dirty and repeats together",
    ),
    (
        "everything-twins-30",
        &[Trait::Twins30, Trait::HalfTwins, Trait::Dirty, Trait::Repeats],
        "twins-30, half of the twins, dirty and repeats together",
    ),
    ("no-entry-tenth", &[Trait::NoEntryTenth], "believes that 0.1 % and not 1 % have no entry"),
    ("no-entry-triple", &[Trait::NoEntryTriple], "believes 3 %"),
    ("no-entry-estimated", &[Trait::NoEntryEstimated], "estimates the share from its own answers"),
    ("many-without-entry", &[Trait::ManyWithoutEntry, Trait::NoEntryEstimated], "5 % have no entry; estimated"),
    ("fleets", &[Trait::Fleets], "many plates run on from others, and so do strangers'"),
    ("pairs", &[Trait::Pairs], "many owners have two vehicles inside whose plates differ in one digit"),
];

impl Model {
    /// The model of a name; several may be joined by `+`, and `confidence` added.
    pub fn parse(name: &str) -> Result<Self, String> {
        let mut traits = Vec::new();
        for part in name.split('+') {
            match NAMES.iter().find(|(known, _, _)| *known == part) {
                Some((_, found, _)) => traits.extend_from_slice(found),
                None if part == "confidence" => traits.push(Trait::Confidence),
                None => return Err(format!("no model {part:?}; there are\n{}", Self::help())),
            }
        }
        Ok(Self { name: name.to_owned(), traits })
    }

    /// All names with what they mean.
    pub fn help() -> String {
        let mut lines: Vec<String> = NAMES.iter().map(|(name, _, meaning)| format!("  {name:<20} {meaning}")).collect();
        lines.push(format!("  {:<20} cameras say of which characters they are unsure; joined with +", "confidence"));
        lines.join("\n")
    }

    /// The name that it was given.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The world that it is drawn from.
    pub fn world(&self, read_rate: u32) -> Result<World> {
        let plain = World::plain(rates(read_rate)?);
        Ok(World {
            has_dirt: self.has(Trait::Dirty),
            repeats: self.has(Trait::Repeats),
            has_fleets: self.has(Trait::Fleets),
            has_pairs: self.has(Trait::Pairs),
            tells_confidence: self.has(Trait::Confidence),
            without_entry: if self.has(Trait::ManyWithoutEntry) { 0.05 } else { plain.without_entry },
            ..plain
        })
    }

    /// What the matcher is told of the cameras; none where it takes its defaults.
    pub fn told(&self, read_rate: u32) -> Result<Option<Value>> {
        if self.has(Trait::Untold) {
            return Ok(None);
        }
        let factor = [
            (Trait::HalfRate, 0.5),
            (Trait::ThirdRate, 1.0 / 3.0),
            (Trait::TwiceRate, 2.0),
            (Trait::SixTimesRate, 6.0),
        ];
        let factor = factor.iter().find(|(wrong, _)| self.has(*wrong)).map_or(1.0, |(_, factor)| *factor);
        let mut rates = rates(read_rate)?.times(factor);
        if self.has(Trait::FewerMissing) {
            rates.missing /= 5.0;
        }
        let share = if self.has(Trait::Twins30) {
            0.3
        } else if self.has(Trait::Twins95) {
            0.95
        } else {
            0.7
        };
        let (none, half) = (self.has(Trait::NoTwins), self.has(Trait::HalfTwins));
        Ok(Some(generator::told(rates, share, |place| !none && (!half || place % 2 == 0))))
    }

    /// How many of a million the matcher believes to have no entry; none where it estimates.
    pub fn no_entry_ppm(&self) -> Option<u32> {
        if self.has(Trait::NoEntryEstimated) {
            None
        } else if self.has(Trait::NoEntryTenth) {
            Some(1_000)
        } else if self.has(Trait::NoEntryTriple) {
            Some(30_000)
        } else {
            Some(10_000)
        }
    }

    fn has(&self, wanted: Trait) -> bool {
        self.traits.contains(&wanted)
    }
}

fn rates(read_rate: u32) -> Result<Rates> {
    match read_rate {
        98 => Ok(Rates::CLEAN),
        95 => Ok(Rates::NORMAL),
        90 => Ok(Rates::DEGRADED),
        other => bail!("a read rate of {other}; there are 98, 95 and 90"),
    }
}
