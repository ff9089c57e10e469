//! `gatepost bundle simulate`: a draft on the stays of the last 30 days; who gains, who pays, and how sure that is.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use gatepost::domain::benefit::Leg;
use gatepost::domain::rules::Rules;
use gatepost::domain::tariff::yuan;
use gatepost::store::simulate::{Basis, Tried, simulate};
use serde_json::{Value, json};

use super::say;

/// Days that are looked at.
const DAYS: i64 = 30;
/// What drivers without a tier are called.
const GUESTS: &str = "guests";

/// Tries the draft and tells what comes of it.
pub fn run(draft: &Rules, ledger: &Path, as_json: bool) -> anyhow::Result<ExitCode> {
    let tried = simulate(ledger, DAYS, draft)?;
    let sums = Sums::of(&tried);
    if as_json {
        say(sums.json(&tried).to_string())
    } else {
        sums.tell(tried.len())
    }
    Ok(ExitCode::SUCCESS)
}

/// How many stays cost more or less, and by how much.
#[derive(Default)]
struct Change {
    stays: u64,
    less: (u64, i64),
    more: (u64, i64),
}

impl Change {
    fn count(&mut self, before: i64, after: i64) {
        self.stays += 1;
        let side = if after < before { &mut self.less } else { &mut self.more };
        if after != before {
            *side = (side.0 + 1, side.1 + (after - before).abs());
        }
    }
}

/// What the draft does to everybody.
#[derive(Default)]
struct Sums {
    before: i64,
    after: i64,
    all: Change,
    /// By tier.
    tiers: BTreeMap<String, Change>,
    /// Who pays for parking, before and under the draft, in fen.
    payers: BTreeMap<String, (i64, i64)>,
    /// Uses and fen of each benefit.
    benefits: BTreeMap<String, (u64, i64)>,
    basis: BTreeMap<Basis, u64>,
}

impl Sums {
    fn of(tried: &[Tried]) -> Self {
        let mut sums = Self::default();
        for one in tried {
            let (before, after) = (one.before.total.0, one.after.fee.total.0);
            (sums.before, sums.after) = (sums.before + before, sums.after + after);
            sums.all.count(before, after);
            let tier = one.tier.clone().filter(|tier| !tier.is_empty()).unwrap_or_else(|| GUESTS.to_owned());
            sums.tiers.entry(tier).or_default().count(before, after);
            let fen = |leg: &Leg| (leg.payer.clone(), leg.fen.0);
            for (payer, fen) in one.legs_before.iter().map(fen) {
                sums.payers.entry(payer).or_default().0 += fen;
            }
            for (payer, fen) in one.after.legs.iter().map(fen) {
                sums.payers.entry(payer).or_default().1 += fen;
            }
            for used in &one.after.uses {
                let sum = sums.benefits.entry(used.benefit.clone()).or_default();
                *sum = (sum.0 + 1, sum.1 + used.fen.0);
            }
            *sums.basis.entry(one.basis).or_default() += 1;
        }
        sums
    }

    fn json(&self, tried: &[Tried]) -> Value {
        let side = |(stays, fen): (u64, i64)| json!({"stays": stays, "fen": fen});
        let changed = tried.iter().filter(|one| one.before.total != one.after.fee.total).map(|one| {
            json!({"stay": one.stay, "before_fen": one.before.total, "after_fen": one.after.fee.total,
                "known": basis(one.basis).0})
        });
        json!({
            "stays": tried.len(), "before_fen": self.before, "after_fen": self.after,
            "gain": side(self.all.less), "pay_more": side(self.all.more),
            "tiers": self.tiers.iter().map(|(tier, change)| json!({"tier": tier, "stays": change.stays,
                "gain": side(change.less), "pay_more": side(change.more)})).collect::<Vec<_>>(),
            "payers": self.payers.iter().map(|(payer, (before, after))|
                json!({"payer": payer, "before_fen": before, "after_fen": after})).collect::<Vec<_>>(),
            "benefits": self.benefits.iter().map(|(id, (uses, fen))|
                json!({"id": id, "uses": uses, "fen": fen})).collect::<Vec<_>>(),
            "known": self.basis.iter().map(|(one, stays)| (basis(*one).0.to_owned(), json!(stays)))
                .collect::<serde_json::Map<_, _>>(),
            "changed": changed.collect::<Vec<_>>(),
        })
    }

    fn tell(&self, stays: usize) {
        let (before, after) = (yuan(self.before), yuan(self.after));
        say(format!("{stays} stays of the last {DAYS} days: ¥{before} before, ¥{after} under the draft"));
        say(format!("{} pay less, ¥{} in all", self.all.less.0, yuan(self.all.less.1)));
        say(format!("{} pay more, ¥{} in all", self.all.more.0, yuan(self.all.more.1)));
        for (tier, Change { stays, less, more }) in &self.tiers {
            let (gain, loss) = (yuan(less.1), yuan(more.1));
            say(format!("{tier}: {stays} stays, {} pay ¥{gain} less, {} pay ¥{loss} more", less.0, more.0));
        }
        for (payer, (before, after)) in &self.payers {
            say(format!("paid by {payer}: ¥{} before, ¥{} under the draft", yuan(*before), yuan(*after)));
        }
        for (id, (uses, fen)) in &self.benefits {
            say(format!("benefit {id}: {uses} uses, ¥{} in all", yuan(*fen)));
        }
        for (one, stays) in &self.basis {
            say(format!("of {stays} stays {}", basis(*one).1));
        }
    }
}

/// What is known of a stay, in a word and in a sentence.
fn basis(basis: Basis) -> (&'static str, &'static str) {
    match basis {
        Basis::Guest => ("guest", "there was no member; coupons and gifts that were shown are known"),
        Basis::Then => ("then", "everything is known as it was at the exit"),
        Basis::WithoutCoupons => (
            "without_coupons",
            "tier, plans, tags, birthday and passes are known as they were; coupons are not, for the rules had no benefits",
        ),
        Basis::Today => ("today", "only the member is known; tier and all else are taken as they are today"),
    }
}
