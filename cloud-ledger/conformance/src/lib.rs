//! Whether a cloud ledger does what `docs/cloud-api.md` says, asked over the wire alone: for a chain's own ledger, too.
//!
//! - [`wire`]: the ledger under test, and a box with a key and a journal of its own, written from the page and sharing
//!   no code with the reference ledger;
//! - [`checks`]: one function for each promise of the page;
//! - [`run`]: all of them, one after the other, each with members and an epoch that nobody used before, so that the
//!   suite can run against the same ledger again and again.

pub mod checks;
mod expect;
pub mod wire;

use wire::{Office, Target};

/// What became of one promise.
#[derive(Debug)]
pub struct Outcome {
    /// The promise, in a sentence.
    pub promise: &'static str,
    /// What was otherwise; none where it was kept.
    pub broken: Option<String>,
}

/// Asks for every promise of the page. An error is a ledger that cannot be reached at all.
pub async fn run(target: &Target) -> anyhow::Result<Vec<Outcome>> {
    let office = Office::new(target)?;
    office.is_there().await?;
    let mut outcomes = Vec::new();
    for check in checks::all() {
        let broken = (check.ask)(&office).await.err();
        outcomes.push(Outcome { promise: check.promise, broken });
    }
    Ok(outcomes)
}
