//! What a campaign may still cost here: the share that the ledger gave, or what the bundle says where it gave none.

use super::facts::Facts;
use super::table::{Campaign, Dimension};

/// A campaign's news is fresh for an hour after the cloud was heard; after that the local share of the budget counts.
const FRESH_MS: i64 = 3_600_000;

/// What a campaign may still cost here, in fen, from its beginning on; `None`: as much as it comes to. This box's share
/// where the ledger shares the budget out; else with fresh news what the other sites have left, without it the local
/// share of the bundle.
pub(super) fn budget_left(campaign: &Campaign, facts: &Facts) -> Option<i64> {
    let here = facts.used.total(Dimension::Campaign, &campaign.id, |_, _| true).fen;
    let news = facts.campaigns.get(&campaign.id);
    if let Some(share) = news.and_then(|news| news.share) {
        return Some(share.0 - here);
    }
    let budget = campaign.budget_fen?;
    let is_fresh = facts.cloud_age_ms.is_some_and(|age| age <= FRESH_MS);
    let bound = match news.filter(|_| is_fresh) {
        Some(news) => budget.saturating_sub(news.spent_elsewhere.0),
        None => share(budget, campaign.local_share_bps),
    };
    Some(bound - here)
}

fn share(fen: i64, bps: u32) -> i64 {
    let part = i128::from(fen) * i128::from(bps) / 10_000;
    i64::try_from(part).unwrap_or(i64::MAX)
}
