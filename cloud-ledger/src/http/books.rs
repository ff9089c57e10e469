//! The books are reckoned again from the journals from time to time, and whoever asks hears how that went.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU8, Ordering};

use super::Desk;
use crate::clock::now_ms;
use crate::ledger::Refusal;
use crate::verify::Report;

/// How the last recomputation of the books went.
#[derive(Default)]
pub(super) struct Checked {
    pub(super) at_ms: AtomicI64,
    outcome: AtomicU8,
}

impl Checked {
    /// What it found, in a word.
    pub(super) fn word(&self) -> &'static str {
        match self.outcome.load(Ordering::Relaxed) {
            0 => "unchecked",
            1 => "agree",
            _ => "differ",
        }
    }

    pub(super) fn set(&self, report: &Report) {
        self.outcome.store(if report.ok { 1 } else { 2 }, Ordering::Relaxed);
        self.at_ms.store(now_ms(), Ordering::Relaxed);
    }
}

/// Lets lots expire and computes all balances again from the journals, for ever, at the times that the settings name.
pub(super) async fn keep_books(desk: Arc<Desk>) {
    let Some(period) = desk.ledger.settings.recompute else { return std::future::pending().await };
    loop {
        tokio::time::sleep(period).await;
        let done = desk.ask(|ledger| {
            ledger.restate_campaigns(now_ms())?;
            Ok::<_, Refusal>((ledger.expire(now_ms())?, ledger.verify()?))
        });
        let done = done.await;
        // What failed inside was logged there.
        let Ok((expired, report)) = done else { continue };
        for fault in &report.faults {
            tracing::error!(fault, "the books do not agree with the journals");
        }
        tracing::info!(expired, members = report.members, entries = report.entries, ok = report.ok, "books checked");
        desk.checked.set(&report);
    }
}
