//! This box's part of a campaign's budget: it follows what the ledger tells, and says so before anybody else gets it.

use std::collections::BTreeMap;

use super::decide::Facts;
use super::event::{FeedChange, Fen, Record, ShareTaken, Shared};

/// What this box knows of one campaign's budget.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShareNow {
    /// What the campaign has cost here, with what is set aside.
    pub spent: Fen,
    /// This box's last word in this epoch.
    pub said: Option<ShareTaken>,
}

/// The words that a part of the feed asks for: one for each campaign whose share, turn or cost is not what was said last.
pub(super) fn words(changes: &[FeedChange], facts: &Facts) -> Vec<Record> {
    let mut newest: BTreeMap<&str, Option<&Shared>> = BTreeMap::new();
    for change in changes {
        if let FeedChange::Campaign { id, shared, .. } = change {
            newest.insert(id, shared.as_ref());
        }
    }
    let told = newest.into_iter().filter_map(|(id, shared)| Some((id, shared?)));
    told.filter_map(|(id, shared)| word(id, shared, facts)).map(Record::CampaignShareTaken).collect()
}

fn word(campaign: &str, shared: &Shared, facts: &Facts) -> Option<ShareTaken> {
    let now = facts.escrow.shares.get(campaign).cloned().unwrap_or_default();
    let is_ours = |share: &&super::event::Share| share.box_id == facts.ids.box_id && share.epoch == facts.ids.epoch;
    let told = shared.shares.iter().find(is_ours).map_or(Fen(0), |share| share.fen);
    // What has been given cannot be taken back: the share never falls below it.
    let share_fen = told.max(now.spent);
    let word = ShareTaken { campaign: campaign.to_owned(), turn: shared.turn, share_fen, spent_fen: now.spent };
    (now.said.as_ref() != Some(&word)).then_some(word)
}
