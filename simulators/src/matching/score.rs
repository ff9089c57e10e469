//! What came of all exits: how many were right, wrong or left to a guard, and whether the posteriors are what they say.

use serde::Serialize;

use super::Settings;
use super::asked::Answer;
use super::rules::Verdicts;

/// The bins of posteriors, in millionths: from this to the next.
const BINS: [u32; 7] = [0, 500_000, 900_000, 950_000, 990_000, 999_000, 999_900];
/// From this bin on the calibration is judged, where it holds so many exits.
const JUDGED_FROM_PPM: u32 = 950_000;
const JUDGED_EXITS: u64 = 2_000;
/// Other thresholds that are reported beside the one in use.
const THRESHOLDS: [u32; 6] = [990_000, 992_000, 993_000, 995_000, 997_000, 999_000];

/// Counts.
#[derive(Clone, Debug, Default)]
pub(super) struct Score {
    exits: u64,
    taken: Taken,
    at: [Taken; THRESHOLDS.len()],
    elsewhere: [Taken; 3],
    bins: [Bin; BINS.len()],
}

/// Exits that were paired without a person.
#[derive(Clone, Copy, Debug, Default)]
struct Taken {
    right: u64,
    wrong: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Bin {
    exits: u64,
    right: u64,
    sum_ppm: u64,
}

/// What is reported.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What the draws started from.
    pub seed: u64,
    /// How many plates of a hundred are read right.
    pub read_rate: u32,
    /// The model's name.
    pub model: String,
    /// Vehicles inside.
    pub inside: usize,
    /// Vehicles that came to the exit.
    pub exits: u64,
    /// Of these, paired by themselves and rightly, in per cent.
    pub automatic_correct_percent: f64,
    /// Paired by themselves and wrongly, in per cent.
    pub false_percent: f64,
    /// The same, counted.
    pub false_pairs: u64,
    /// Where the share of false pairs lies below with 95 % certainty, in per cent.
    pub false_upper_95_percent: f64,
    /// Left to a guard, in per cent.
    pub guard_percent: f64,
    /// The largest difference between predicted and observed share in a bin from 0.95 on with 2,000 exits or more, in
    /// percentage points.
    pub calibration_error_points: f64,
    /// The bins of posteriors.
    pub bins: Vec<BinLine>,
    /// What other thresholds would have given.
    pub thresholds: Vec<RuleLine>,
    /// What the rules in use elsewhere give for the same exits.
    pub elsewhere: Vec<RuleLine>,
}

/// A bin of posteriors.
#[derive(Clone, Debug, Serialize)]
pub struct BinLine {
    /// From this posterior on.
    pub from: f64,
    /// Exits whose best candidate lies in it.
    pub exits: u64,
    /// The mean posterior, in per cent.
    pub predicted_percent: f64,
    /// How many were right, in per cent.
    pub observed_percent: f64,
    /// Observed errors for each predicted one.
    pub error_ratio: f64,
}

/// What a rule gives.
#[derive(Clone, Debug, Serialize)]
pub struct RuleLine {
    /// Its name.
    pub rule: String,
    /// Paired rightly, in per cent.
    pub automatic_correct_percent: f64,
    /// Paired wrongly, in per cent.
    pub false_percent: f64,
    /// The same, counted.
    pub false_pairs: u64,
    /// Left to a guard, in per cent.
    pub guard_percent: f64,
}

impl Score {
    pub(super) fn count(&mut self, answer: &Answer, truth: Option<usize>) {
        self.exits += 1;
        let is_right = |stay: &str| truth.is_some_and(|truth| truth.to_string() == stay);
        if answer.verdict == "automatic"
            && let Some(stay) = &answer.stay
        {
            self.taken.count(is_right(stay));
        }
        let Some(best) = answer.candidates.first() else { return };
        let right = is_right(&best.stay);
        for (at, threshold) in self.at.iter_mut().zip(THRESHOLDS) {
            if best.posterior_ppm >= threshold {
                at.count(right);
            }
        }
        let bin = BINS.iter().rposition(|from| best.posterior_ppm >= *from).unwrap_or(0);
        self.bins[bin].exits += 1;
        self.bins[bin].right += u64::from(right);
        self.bins[bin].sum_ppm += u64::from(best.posterior_ppm);
    }

    pub(super) fn count_elsewhere(&mut self, verdicts: &Verdicts, truth: Option<usize>) {
        let all = [verdicts.exact, verdicts.unique_within_one, verdicts.nearest_within_two];
        for (taken, verdict) in self.elsewhere.iter_mut().zip(all) {
            if verdict.is_some() {
                taken.count(verdict == truth);
            }
        }
    }

    pub(super) fn report(&self, settings: &Settings) -> Report {
        let line = |rule: String, taken: &Taken| RuleLine {
            rule,
            automatic_correct_percent: self.percent(taken.right),
            false_percent: self.percent(taken.wrong),
            false_pairs: taken.wrong,
            guard_percent: self.percent(self.exits - taken.right - taken.wrong),
        };
        let own = line("posterior".to_owned(), &self.taken);
        let names = ["exact", "unique within one character", "nearest within two"];
        Report {
            seed: settings.seed,
            read_rate: settings.read_rate,
            model: settings.model.name().to_owned(),
            inside: settings.inside,
            exits: self.exits,
            automatic_correct_percent: own.automatic_correct_percent,
            false_percent: own.false_percent,
            false_pairs: own.false_pairs,
            false_upper_95_percent: poisson_upper_95(own.false_pairs) * 100.0 / self.exits.max(1) as f64,
            guard_percent: own.guard_percent,
            calibration_error_points: self.calibration_error(),
            bins: self.bins.iter().zip(BINS).map(|(bin, from)| bin.line(from)).collect(),
            thresholds: self
                .at
                .iter()
                .zip(THRESHOLDS)
                .map(|(taken, ppm)| line(format!("posterior of {}", f64::from(ppm) / 1e6), taken))
                .collect(),
            elsewhere: self.elsewhere.iter().zip(names).map(|(taken, name)| line(name.to_owned(), taken)).collect(),
        }
    }

    fn percent(&self, count: u64) -> f64 {
        rounded(count as f64 * 100.0 / self.exits.max(1) as f64)
    }

    fn calibration_error(&self) -> f64 {
        let judged =
            self.bins.iter().zip(BINS).filter(|(bin, from)| *from >= JUDGED_FROM_PPM && bin.exits >= JUDGED_EXITS);
        let errors = judged.map(|(bin, _)| (bin.predicted() - bin.observed()).abs() * 100.0);
        rounded(errors.fold(0.0, f64::max))
    }
}

impl Taken {
    fn count(&mut self, is_right: bool) {
        if is_right {
            self.right += 1;
        } else {
            self.wrong += 1;
        }
    }
}

impl Bin {
    fn predicted(&self) -> f64 {
        self.sum_ppm as f64 / 1e6 / self.exits.max(1) as f64
    }

    fn observed(&self) -> f64 {
        self.right as f64 / self.exits.max(1) as f64
    }

    fn line(&self, from: u32) -> BinLine {
        let errors = self.exits as f64 * (1.0 - self.predicted());
        BinLine {
            from: f64::from(from) / 1e6,
            exits: self.exits,
            predicted_percent: rounded(self.predicted() * 100.0),
            observed_percent: rounded(self.observed() * 100.0),
            error_ratio: if self.exits == 0 {
                0.0
            } else {
                rounded((self.exits - self.right) as f64 / errors.max(1e-9))
            },
        }
    }
}

/// The one-sided upper bound of a Poisson count at 95 %: the mean for which so few or fewer come in 5 of 100 cases.
fn poisson_upper_95(count: u64) -> f64 {
    let at_most = |mean: f64| {
        let (mut term, mut sum) = ((-mean).exp(), (-mean).exp());
        for k in 1..=count {
            term *= mean / k as f64;
            sum += term;
        }
        sum
    };
    let (mut low, mut high) = (0.0, 20.0 + 2.0 * count as f64);
    if count > 600 {
        // e to the minus mean is no longer a number that counts; the normal bound is as good there.
        return count as f64 + 1.0 + 1.645 * (count as f64 + 1.0).sqrt();
    }
    for _ in 0..100 {
        let middle = (low + high) / 2.0;
        if at_most(middle) > 0.05 { low = middle } else { high = middle }
    }
    high
}

fn rounded(value: f64) -> f64 {
    (value * 1e5).round() / 1e5
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_is_the_published_one() {
        for (count, bound) in [(0, 2.996), (4, 9.154), (20, 29.06), (74, 89.79)] {
            assert!((poisson_upper_95(count) - bound).abs() < 0.1, "{count}: {}", poisson_upper_95(count));
        }
        assert!((poisson_upper_95(600) - poisson_upper_95(601)).abs() < 5.0);
    }
}
